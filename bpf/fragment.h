/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Fragments: the first one has the ports and chooses, the others follow it. */
#ifndef SHUNT_FRAGMENT_H
#define SHUNT_FRAGMENT_H

#include "choose.h"

#define FRAGMENT_SECONDS 60

/*
 * IPv4 numbers the packets of each protocol (RFC 791), IPv6 all together, and only the first
 * fragment's header says for certain what is inside (RFC 8200, section 4.5).
 */
static __always_inline struct fragment_key fragment_key(const struct request *r)
{
	return (struct fragment_key){
	    .client = r->flow.client,
	    .cluster = r->flow.cluster,
	    .id = r->fragment_id,
	    .protocol = r->version == 4 ? r->flow.protocol : 0,
	};
}

static __noinline int remember_fragment(struct request *r)
{
	struct fragment_key key = fragment_key(r);
	struct fragment first = {.service = r->service,
				 .seen = coarse_now(),
				 .member = r->member,
				 .port = r->flow.port,
				 .protocol = r->flow.protocol};

	return bpf_map_update_elem(&fragments, &key, &first, BPF_ANY);
}

/*
 * Take the server of the packet's first fragment; -1 if there was none in the time in which a
 * packet can be put together (RFC 8200, section 4.5), or its service is another one by now.
 */
static __noinline int follow_fragment(struct request *r)
{
	struct fragment_key key = fragment_key(r);
	struct fragment *first = bpf_map_lookup_elem(&fragments, &key);
	struct service *service;

	if (!first || (__s32)(coarse_now() - first->seen) > FRAGMENT_SECONDS)
		return -1;
	r->flow.port = first->port;
	r->flow.protocol = first->protocol;
	service = find_service(r);
	if (!service || service->number != first->service) {
		r->matched = 0;
		return -1;
	}
	r->service = service->number;
	r->member = first->member;
	r->index = service->members_base + first->member;
	return 0;
}

#endif
