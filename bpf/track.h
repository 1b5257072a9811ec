/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Just-enough tracking: which server of the service takes a packet that its slot alone does not
 * decide. That is: slots that changed hands and have not settled, services that remember every
 * flow, and client affinity. docs/tracking.md has the argument.
 *
 * choose_tracked() is a global function, which the verifier checks by itself and once; so it
 * gets a copy of all that it needs, without pointers, and packets in settled slots never pay.
 */
#ifndef SHUNT_TRACK_H
#define SHUNT_TRACK_H

#include "select.h"

#define NANOSECONDS 1000000000ULL

struct question {
	struct flow_key flow;
	struct service service;
	__u64 hash;
	__u32 slot;	   /* index into slots */
	struct slot state; /* of the slot, read once */
	__u32 now;	   /* coarse clock, seconds */
	__u8 tcp_flags;
	__u8 dry;     /* nothing may be written: a trace, or an ICMP error about the flow */
	__u16 member; /* the answer: local number, or SLOT_NONE */
	__u16 reason; /* enum reason */
	__u8 zero[6];
};

static __always_inline __u32 coarse_now(void)
{
	struct settings *s = get_settings();

	return (bpf_ktime_get_coarse_ns() + (s ? s->clock_offset : 0)) / NANOSECONDS;
}

static __always_inline __u16 member_flags(const struct question *q, __u16 local)
{
	__u32 index = q->service.members_base + local;
	struct member *member = local == SLOT_NONE ? NULL : bpf_map_lookup_elem(&members, &index);

	return member ? member->flags : MEMBER_MOVE;
}

static __always_inline int is_new_connection(__u8 protocol, __u8 tcp_flags)
{
	return protocol == IPPROTO_TCP && (tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
}

static __always_inline int is_new(const struct question *q)
{
	return is_new_connection(q->flow.protocol, q->tcp_flags);
}

/*
 * May one more flow be remembered now? Keeps a flood of new flows from pushing live ones out of
 * the LRU map faster than a known rate.
 */
static __always_inline int take_budget(const struct question *q)
{
	struct settings *s = get_settings();
	__u32 zero = 0;
	struct budget *budget = bpf_map_lookup_elem(&budgets, &zero);

	if (!s || !budget)
		return 0;
	if (budget->second != q->now) {
		budget->second = q->now;
		budget->used = 0;
	}
	if (budget->used >= s->exceptions_rate) {
		budget->refused++;
		return 0;
	}
	budget->used++;
	budget->recorded++;
	return 1;
}

/* Remember the flow on `local`; 0 if it may not be, and then it must do without. */
static __noinline int record_flow(struct question *q, __u16 local)
{
	struct flow flow = {.service = q->service.number,
			    .hash = q->hash,
			    .seen = q->now,
			    .member = local,
			    .closed = !!(q->tcp_flags & (TCP_FIN | TCP_RST))};

	if (q->dry)
		return 1;
	return local != SLOT_NONE && take_budget(q) &&
	       !bpf_map_update_elem(&flows, &q->flow, &flow, BPF_ANY);
}

static __always_inline void see_elder(const struct question *q)
{
	struct sight *sight = bpf_map_lookup_elem(&sights, &q->slot);

	if (sight && !q->dry && sight->seen != q->now)
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

	if (!flow || flow->service != q->service.number)
		return 0;
	flags = member_flags(q, flow->member);
	if (flags & MEMBER_MOVE ||
	    (is_new(q) && (flow->closed || flags & MEMBER_RESET))) { /* the port is used again */
		if (!q->dry)
			bpf_map_delete_elem(&flows, &q->flow);
		return 0;
	}
	if (!q->dry) {
		if (flow->seen != q->now)
			flow->seen = q->now;
		if (q->tcp_flags & (TCP_FIN | TCP_RST))
			flow->closed = 1;
	}
	q->member = flow->member;
	q->reason = REASON_exception;
	return 1;
}

/* TCP in an unsettled slot: a SYN begins a flow of `current`; what is unknown is the elder's. */
static __always_inline void choose_tcp(struct question *q)
{
	if (is_new(q)) {
		if (q->state.current == SLOT_NONE)
			return;
		q->member = q->state.current;
		q->reason = REASON_new_flow;
		if (record_flow(q, q->state.current) || q->state.elder == SLOT_GONE)
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

/* UDP in an unsettled slot: nothing marks a new flow but that it comes long after the change. */
static __always_inline void choose_udp(struct question *q)
{
	struct sight *sight = bpf_map_lookup_elem(&sights, &q->slot);
	int early = sight && q->now - sight->since < q->service.udp_idle;

	if (early && q->state.elder != SLOT_GONE) {
		q->member = q->state.elder;
		q->reason = REASON_udp_old;
		see_elder(q);
	} else {
		q->member = q->state.current;
		q->reason = REASON_udp_new;
	}
	record_flow(q, q->member);
}

static __noinline int choose_unsettled(struct question *q)
{
	if (q->state.elder != SLOT_GONE && member_flags(q, q->state.elder) & MEMBER_MOVE)
		q->state.elder = SLOT_GONE;
	if (q->flow.protocol == IPPROTO_TCP)
		choose_tcp(q);
	else
		choose_udp(q);
	return 0;
}

/*
 * The client's affinity decides. It lives on for its old connections after its time is up, or
 * when its server takes no new ones; then new connections are exceptions beside it.
 */
static __always_inline int follow_affinity(struct question *q, struct affinity *affinity)
{
	__u16 flags = member_flags(q, affinity->member);
	int takes_new = q->now - affinity->seen <= q->service.sticky && !(flags & MEMBER_AVOID);

	if (flags & MEMBER_MOVE)
		return 0;
	if (is_new(q) && !takes_new) {
		if (q->state.current == SLOT_NONE)
			return 1;
		if (record_flow(q, q->state.current)) {
			q->member = q->state.current;
			q->reason = REASON_new_flow;
			return 1;
		}
	}
	if (!q->dry && affinity->seen != q->now)
		affinity->seen = q->now;
	q->member = affinity->member;
	q->reason = REASON_affinity;
	return 1;
}

static __always_inline struct affinity_key affinity_key(const struct flow_key *flow,
							const struct service *service)
{
	return (struct affinity_key){
	    .client = {{flow->client.halves[0] & service->sticky_mask.halves[0],
			flow->client.halves[1] & service->sticky_mask.halves[1]}},
	    .affinity = service->affinity,
	};
}

static __noinline int choose_sticky(struct question *q)
{
	struct affinity_key key = affinity_key(&q->flow, &q->service);
	struct affinity fresh = {.seen = q->now, .hash = q->hash};
	struct affinity *known = bpf_map_lookup_elem(&affinities, &key);

	if (known && follow_affinity(q, known))
		return 0;
	if (q->state.elder == SLOT_SETTLED) {
		q->member = q->state.current;
		q->reason = REASON_settled;
	} else {
		choose_unsettled(q);
	}
	fresh.member = q->member;
	if (q->member != SLOT_NONE && !q->dry && take_budget(q))
		bpf_map_update_elem(&affinities, &key, &fresh, BPF_ANY);
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
			record_flow(q, q->member);
	} else {
		q->member = q->state.current;
		q->reason = REASON_recorded;
		record_flow(q, q->member);
	}
	return 0;
}

#endif
