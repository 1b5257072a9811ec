/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Just-enough tracking: which server of the service takes a packet that its slot alone does not
 * decide. That is: slots that changed hands and have not settled, services that remember every
 * flow, and client affinity. docs/tracking.md has the argument.
 *
 * choose_tracked() is a global function, which the verifier checks by itself and once; so packets
 * in settled slots never pay.
 */
#ifndef SHUNT_TRACK_H
#define SHUNT_TRACK_H

#include "affinity.h"

/* A reset ends a flow: it is no sign that one lives. */
static __always_inline void see_elder(const struct question *q)
{
	struct sight *sight = bpf_map_lookup_elem(&sights, &q->slot);

	if (sight && !q->dry && !(q->tcp_flags & TCP_RST) && sight->seen != q->now)
		sight->seen = q->now;
}

/*
 * The remembered server of this flow; 0 if there is none, or none that it may go to. What is over
 * is forgotten at once: packets of the flow's next life must not find it, even if that is not
 * remembered itself.
 */
static __always_inline int follow_flow(struct question *q)
{
	struct flow *flow = bpf_map_lookup_elem(&flows, &q->flow);
	__u16 flags;

	if (!flow || flow->service != q->service.number) /* a service that is gone hides none */
		flow = find_newcomer(q);
	if (!flow || flow->service != q->service.number)
		return 0;
	q->member = flow->member;
	flags = member_flags(q, q->member);
	if (flags & MEMBER_MOVE || /* or the port is used again */
	    (is_new(q) && (flow->closed || flags & (MEMBER_RESET | MEMBER_DOWN)))) {
		q->member = SLOT_NONE;
		forget_flow(q);
		return 0;
	}
	q->reason = REASON_exception;
	if (q->dry)
		return 1;
	if (q->tcp_flags & (TCP_FIN | TCP_RST))
		flow->closed = 1;
	if (flow->seen != q->now) {
		flow->seen = q->now;
		if (q->service.sticky)
			renew_affinity(q, q->member);
	}
	return 1;
}

/* TCP in an unsettled slot: a SYN begins a flow of `current`; what is unknown is the elder's. */
static __always_inline void choose_tcp(struct question *q, __u16 elders)
{
	if (is_new(q)) {
		if (q->state.current == SLOT_NONE)
			return;
		q->member = q->state.current;
		q->reason = REASON_new_flow;
		if (record_flow(q, q->member, elders & MEMBER_AVOID) || q->state.elder == SLOT_GONE)
			return;
		/* Not remembered: then it must go where unknown flows go, and stay there. */
		q->reason = REASON_new_flow_refused;
	} else if (q->state.elder == SLOT_GONE) {
		q->member = q->state.current;
		q->reason = REASON_elder_gone;
		return;
	} else {
		q->reason = REASON_elder;
	}
	q->member = q->state.elder;
	see_elder(q);
}

/*
 * UDP in an unsettled slot: nothing marks a new flow but that it comes long after the change. That
 * holds only if all old ones have been remembered; so a refusal puts the time off.
 */
static __always_inline void choose_udp(struct question *q, __u16 elders)
{
	struct sight *sight = bpf_map_lookup_elem(&sights, &q->slot);
	int early = sight && since(q, sight->since) < (__s32)q->service.udp_idle;
	int leaves = elders & MEMBER_DOWN && q->state.current != SLOT_NONE;

	if (sight && early && q->state.elder != SLOT_GONE && !leaves) {
		q->member = q->state.elder;
		q->reason = REASON_udp_old;
		see_elder(q);
		if (!record_flow(q, q->member, 0))
			sight->since = q->now;
		return;
	}
	q->member = q->state.current;
	q->reason = early && leaves ? REASON_udp_elder_down : REASON_udp_new;
	record_flow(q, q->member, 1);
}

static __noinline int choose_unsettled(struct question *q)
{
	__u16 elders = q->state.elder == SLOT_GONE ? 0 : member_flags(q, q->state.elder);

	if (elders & MEMBER_MOVE) {
		q->state.elder = SLOT_GONE;
		elders = 0;
	}
	if (q->flow.protocol == IPPROTO_TCP)
		choose_tcp(q, elders);
	else
		choose_udp(q, elders);
	return 0;
}

static __noinline int choose_sticky(struct question *q)
{
	struct affinity_key key = affinity_key(&q->flow, &q->service);
	struct affinity *known = bpf_map_lookup_elem(&affinities, &key);

	if (follow_affinity(q, known))
		return 0;
	if (q->state.elder == SLOT_SETTLED) {
		q->member = q->state.current;
		q->reason = REASON_settled;
	} else {
		choose_unsettled(q);
	}
	record_affinity(q);
	return 0;
}

/* Answers the question: fills in member and reason. */
__noinline int choose_tracked(struct question *q)
{
	if (!q)
		return 0;
	q->now = coarse_now();
	if (follow_flow(q))
		return 0;
	if (q->service.sticky)
		return choose_sticky(q);
	if (q->state.elder != SLOT_SETTLED) {
		choose_unsettled(q);
		if (q->service.track == TRACK_ALL && q->reason == REASON_elder)
			record_flow(q, q->member, 0);
	} else {
		q->member = q->state.current;
		q->reason = REASON_recorded;
		record_flow(q, q->member, 0);
	}
	return 0;
}

#endif
