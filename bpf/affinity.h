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

static __always_inline void renew(const struct request *r, struct affinity *affinity)
{
	if (!r->dry && !(r->tcp_flags & TCP_RST) && affinity->seen != r->now)
		affinity->seen = r->now;
}

static __noinline struct affinity *find_affinity(const struct request *r,
						 const struct service *service)
{
	struct affinity_key key = affinity_key(&r->flow, service);

	return bpf_map_lookup_elem(&affinities, &key);
}

/* A client whose flow is an exception is active, too. */
static __always_inline void renew_affinity(const struct request *r, const struct service *service)
{
	struct affinity *affinity = find_affinity(r, service);

	if (affinity && affinity->member == r->member &&
	    !(member_flags(service, r->member) & MEMBER_AVOID))
		renew(r, affinity);
}

/* The client's affinity is to its flow's server from now on. */
static __noinline int record_affinity(const struct request *r, const struct service *service)
{
	struct affinity_key key = affinity_key(&r->flow, service);
	struct affinity fresh = {.seen = r->now, .hash = r->hash, .member = r->member};

	if (r->dry || r->member == SLOT_NONE || !take_budget(r, BUDGET_AFFINITIES))
		return 0;
	return !bpf_map_update_elem(&affinities, &key, &fresh, BPF_ANY);
}

/* The flow goes to the slot's server, if there is one, and is an exception beside the affinity. */
static __always_inline void go_beside(struct request *r, const struct service *service,
				      __u16 reason)
{
	if (r->state.current == SLOT_NONE)
		return;
	r->member = r->state.current;
	r->reason = reason;
	if (is_new(r) || r->flow.protocol != IPPROTO_TCP)
		record_flow(r, service, r->member, 1);
}

/*
 * TCP: new connections are exceptions beside the affinity when its time is up, or when its server
 * takes no new ones. It lives on for the older ones.
 */
static __always_inline void follow_with_tcp(struct request *r, const struct service *service,
					    struct affinity *affinity, __u16 flags)
{
	int avoid = flags & MEMBER_AVOID;

	if (is_new(r) && (avoid || since(r, affinity->seen) > (__s32)service->sticky)) {
		if (r->state.current == SLOT_NONE)
			return;
		r->member = r->state.current;
		r->reason = REASON_new_flow;
		if (record_flow(r, service, r->member, avoid))
			return;
	}
	r->member = affinity->member;
	r->reason = REASON_affinity;
	renew(r, affinity);
}

/*
 * UDP, when the affinity's server takes no new flows: as with slots, what is unknown counts as old
 * for udp_idle seconds and is remembered, so that all that is unknown later is new. The time runs
 * from the last packet before, for the affinity is not renewed any more.
 */
static __always_inline void leave_with_udp(struct request *r, const struct service *service,
					   struct affinity *affinity, __u16 flags)
{
	int early = since(r, affinity->seen) <= (__s32)service->udp_idle;

	if (early && (!(flags & MEMBER_DOWN) || r->state.current == SLOT_NONE)) {
		r->member = affinity->member;
		r->reason = REASON_affinity;
		if (!record_flow(r, service, r->member, 0))
			renew(r, affinity);
		return;
	}
	go_beside(r, service, early ? REASON_udp_elder_down : REASON_udp_new);
	if (!early)
		record_affinity(r, service);
}

static __noinline int follow_affinity(struct request *r, const struct service *service)
{
	struct affinity *affinity = find_affinity(r, service);
	__u16 flags;

	if (!affinity)
		return 0;
	flags = member_flags(service, affinity->member);
	if (flags & MEMBER_MOVE) { /* other services may share the affinity, so it stays */
		go_beside(r, service, REASON_affinity_moved);
	} else if (r->flow.protocol == IPPROTO_TCP) {
		follow_with_tcp(r, service, affinity, flags);
	} else if (flags & MEMBER_AVOID) {
		leave_with_udp(r, service, affinity, flags);
	} else {
		r->member = affinity->member;
		r->reason = REASON_affinity;
		renew(r, affinity);
	}
	return 1;
}

#endif
