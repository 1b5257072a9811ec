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

#define FINISHED_SECONDS 4

static __always_inline struct sight *find_sight(const struct request *r,
						const struct service *service)
{
	__u32 slot = service->slots_base + r->slot;

	return bpf_map_lookup_elem(&sights, &slot);
}

/* A reset ends a flow: it is no sign that one lives. */
static __always_inline void see_elder(const struct request *r, const struct service *service)
{
	struct sight *sight = find_sight(r, service);

	if (sight && !r->dry && !(r->tcp_flags & TCP_RST) && sight->seen != r->now)
		sight->seen = r->now;
}

/*
 * Does this SYN begin another flow, whose client uses the port of a finished one again? A FIN or
 * RST that anyone has made up gets here, too, and the server ignores it (RFC 9293, section
 * 3.10.7.4; RFC 5961, section 3). So a flow is over only if it has been silent since.
 */
static __always_inline int is_another(const struct request *r, const struct flow *flow)
{
	return flow->closed && since(r, flow->seen) > FINISHED_SECONDS;
}

/*
 * The remembered server of this flow; 0 if there is none, or none that it may go to. What is over
 * is forgotten at once: packets of the flow's next life must not find it, even if that is not
 * remembered itself.
 */
static __always_inline int follow_flow(struct request *r, const struct service *service)
{
	struct flow *flow = find_flow(r, service);
	__u16 flags;

	if (!flow)
		return 0;
	flags = member_flags(service, flow->member);
	if (flags & MEMBER_MOVE || /* or the port is used again */
	    (is_new(r) && (is_another(r, flow) || flags & (MEMBER_RESET | MEMBER_DOWN)))) {
		forget_flow(r);
		return 0;
	}
	r->member = flow->member;
	r->reason = REASON_exception;
	if (r->dry)
		return 1;
	if (r->tcp_flags & (TCP_FIN | TCP_RST))
		flow->closed = 1;
	else if (is_new(r))
		flow->closed = 0;
	if (flow->seen != r->now) {
		flow->seen = r->now;
		if (service->sticky)
			renew_affinity(r, service);
	}
	return 1;
}

/* May a flow that is refused not go to the elder? It may be down, or about to be forgotten. */
static __always_inline int shuns_elder(__u16 elders)
{
	struct settings *s = get_settings();

	return elders & MEMBER_AVOID || (s && s->settling);
}

/* TCP in an unsettled slot: a SYN begins a flow of `current`; what is unknown is the elder's. */
static __always_inline void choose_tcp(struct request *r, const struct service *service,
				       __u16 elder, __u16 elders)
{
	if (is_new(r)) {
		if (r->state.current == SLOT_NONE)
			return;
		r->member = r->state.current;
		r->reason = REASON_new_flow;
		if (record_flow(r, service, r->member, shuns_elder(elders)) || elder == SLOT_GONE)
			return;
		/* Not remembered: then it must go where unknown flows go, and stay there. */
		r->reason = REASON_new_flow_refused;
	} else if (elder == SLOT_GONE) {
		r->member = r->state.current;
		r->reason = REASON_elder_gone;
		return;
	} else {
		r->reason = REASON_elder;
	}
	r->member = elder;
	see_elder(r, service);
}

/*
 * UDP in an unsettled slot: nothing marks a new flow but that it comes long after the change. That
 * holds only if all old ones have been remembered; so a refusal puts the time off.
 */
static __always_inline void choose_udp(struct request *r, const struct service *service,
				       __u16 elder, __u16 elders)
{
	struct sight *sight = find_sight(r, service);
	int early = sight && since(r, sight->since) <= (__s32)service->udp_idle;
	int leaves = elders & MEMBER_DOWN && r->state.current != SLOT_NONE;

	if (sight && early && elder != SLOT_GONE && !leaves) {
		r->member = elder;
		r->reason = REASON_udp_old;
		see_elder(r, service);
		if (record_flow(r, service, r->member, 0))
			return;
		r->reason = REASON_udp_old_refused;
		if (!r->dry)
			sight->since = r->now;
		return;
	}
	r->member = r->state.current;
	r->reason = early && leaves ? REASON_udp_elder_down : REASON_udp_new;
	record_flow(r, service, r->member, 1);
}

static __noinline int choose_unsettled(struct request *r, const struct service *service)
{
	__u16 elder = r->state.elder;
	__u16 elders = elder == SLOT_GONE ? 0 : member_flags(service, elder);

	if (elders & MEMBER_MOVE) {
		elder = SLOT_GONE;
		elders = 0;
	}
	if (r->flow.protocol == IPPROTO_TCP)
		choose_tcp(r, service, elder, elders);
	else
		choose_udp(r, service, elder, elders);
	return 0;
}

static __always_inline void choose_sticky(struct request *r, const struct service *service)
{
	if (follow_affinity(r, service))
		return;
	if (r->state.elder == SLOT_SETTLED) {
		r->member = r->state.current;
		r->reason = REASON_settled;
	} else {
		choose_unsettled(r, service);
	}
	record_affinity(r, service);
}

/* Fills in member and reason; member is SLOT_NONE when it is called. */
__noinline int choose_tracked(struct request *r, const struct service *service)
{
	if (!r || !service)
		return 0;
	r->now = coarse_now();
	if (follow_flow(r, service))
		return 0;
	if (service->sticky) {
		choose_sticky(r, service);
	} else if (r->state.elder != SLOT_SETTLED) {
		choose_unsettled(r, service);
		if (service->track == TRACK_ALL && r->reason == REASON_elder)
			record_flow(r, service, r->member, 0);
	} else {
		r->member = r->state.current;
		r->reason = REASON_recorded;
		if (!record_flow(r, service, r->member, 0))
			r->reason = REASON_recorded_refused;
	}
	return 0;
}

#endif
