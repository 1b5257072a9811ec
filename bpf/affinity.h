/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Client affinity: which server a client's flows go to that are no exceptions. */
#ifndef SHUNT_AFFINITY_H
#define SHUNT_AFFINITY_H

#include "remember.h"

static __always_inline struct affinity_key affinity_key(const struct flow_key *flow,
							const struct service *service)
{
	return (struct affinity_key){
	    .client = {{flow->client.halves[0] & service->sticky_mask.halves[0],
			flow->client.halves[1] & service->sticky_mask.halves[1]}},
	    .affinity = service->affinity,
	};
}

static __always_inline void renew(const struct question *q, struct affinity *affinity)
{
	if (!q->dry && !(q->tcp_flags & TCP_RST) && affinity->seen != q->now)
		affinity->seen = q->now;
}

/* A client whose flow is an exception is active, too. */
static __noinline int renew_affinity(struct question *q, __u16 local)
{
	struct affinity_key key = affinity_key(&q->flow, &q->service);
	struct affinity *affinity = bpf_map_lookup_elem(&affinities, &key);

	if (affinity && affinity->member == local && !(member_flags(q, local) & MEMBER_AVOID))
		renew(q, affinity);
	return 0;
}

/* The client's affinity is to its flow's server from now on. */
static __noinline int record_affinity(struct question *q)
{
	struct affinity_key key = affinity_key(&q->flow, &q->service);
	struct affinity fresh = {.seen = q->now, .hash = q->hash, .member = q->member};

	if (q->dry || q->member == SLOT_NONE || !take_budget(q, BUDGET_AFFINITIES))
		return 0;
	return !bpf_map_update_elem(&affinities, &key, &fresh, BPF_ANY);
}

/* The flow goes to the slot's server, if there is one, and is an exception beside the affinity. */
static __always_inline void go_beside(struct question *q, __u16 reason)
{
	if (q->state.current == SLOT_NONE)
		return;
	q->member = q->state.current;
	q->reason = reason;
	if (is_new(q) || q->flow.protocol != IPPROTO_TCP)
		record_flow(q, q->member, 1);
}

/*
 * TCP: new connections are exceptions beside the affinity when its time is up, or when its server
 * takes no new ones. It lives on for the older ones.
 */
static __always_inline void follow_with_tcp(struct question *q, struct affinity *affinity,
					    __u16 flags)
{
	int avoid = flags & MEMBER_AVOID;

	if (is_new(q) && (avoid || since(q, affinity->seen) > (__s32)q->service.sticky)) {
		if (q->state.current == SLOT_NONE)
			return;
		q->member = q->state.current;
		q->reason = REASON_new_flow;
		if (record_flow(q, q->member, avoid))
			return;
	}
	q->member = affinity->member;
	q->reason = REASON_affinity;
	renew(q, affinity);
}

/*
 * UDP, when the affinity's server takes no new flows: as with slots, what is unknown counts as old
 * for udp_idle seconds and is remembered, so that all that is unknown later is new. The time runs
 * from the last packet before, for the affinity is not renewed any more.
 */
static __always_inline void leave_with_udp(struct question *q, struct affinity *affinity,
					   __u16 flags)
{
	int early = since(q, affinity->seen) < (__s32)q->service.udp_idle;

	if (early && (!(flags & MEMBER_DOWN) || q->state.current == SLOT_NONE)) {
		q->member = affinity->member;
		q->reason = REASON_affinity;
		if (!record_flow(q, q->member, 0))
			renew(q, affinity);
		return;
	}
	go_beside(q, early ? REASON_udp_elder_down : REASON_udp_new);
	if (!early)
		record_affinity(q);
}

static __noinline int follow_affinity(struct question *q, struct affinity *affinity)
{
	__u16 flags;

	if (!affinity)
		return 0;
	flags = member_flags(q, affinity->member);
	if (flags & MEMBER_MOVE) { /* other services may share the affinity, so it stays */
		go_beside(q, REASON_affinity_moved);
	} else if (q->flow.protocol == IPPROTO_TCP) {
		follow_with_tcp(q, affinity, flags);
	} else if (flags & MEMBER_AVOID) {
		leave_with_udp(q, affinity, flags);
	} else {
		q->member = affinity->member;
		q->reason = REASON_affinity;
		renew(q, affinity);
	}
	return 1;
}

#endif
