/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Fragments: the first one has the ports and chooses, the others follow it. */
#ifndef SHUNT_FRAGMENT_H
#define SHUNT_FRAGMENT_H

#include "maps.h"
#include "parse.h"

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
	struct fragment value = {.member = r->index};

	return bpf_map_update_elem(&fragments, &key, &value, BPF_ANY);
}

static __always_inline struct fragment *find_fragment(const struct request *r)
{
	struct fragment_key key = fragment_key(r);

	return bpf_map_lookup_elem(&fragments, &key);
}

#endif
