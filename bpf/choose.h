/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Which server of the service: the settled slot answers at once, all else is tracked (track.h). */
#ifndef SHUNT_CHOOSE_H
#define SHUNT_CHOOSE_H

#include "track.h"

/* The slot of a flow: sticky services hash the client, all others the whole flow. */
static __always_inline __u64 hash_request(const struct request *r, const struct service *service)
{
	struct affinity_key key;

	if (!service->sticky)
		return hash_flow(r);
	key = affinity_key(&r->flow, service);
	return hash_client(&key);
}

/* Fill in hash, slot, its state, member and reason. */
static __always_inline void choose_member(struct request *r, const struct service *service)
{
	struct slot_pair *pair;
	__u32 at, slot;

	r->member = SLOT_NONE;
	r->hash = hash_request(r, service);
	r->slot = (__u32)r->hash & service->slots_mask;
	slot = service->slots_base + r->slot;
	at = slot / 2;
	pair = bpf_map_lookup_elem(&slots, &at);
	if (!pair)
		return;
	*(__u32 *)&r->state = *(volatile __u32 *)&pair->slots[slot & 1];
	if (service->track == TRACK_NONE) {
		r->member = r->state.current;
		r->reason = REASON_untracked;
	} else if (r->state.elder == SLOT_SETTLED && service->track == TRACK_AUTO &&
		   !service->sticky) {
		r->member = r->state.current;
		r->reason = REASON_settled;
	} else {
		choose_tracked(r, service);
	}
}

#endif
