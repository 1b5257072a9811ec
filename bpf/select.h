/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Which service, and which slot of it. */
#ifndef SHUNT_SELECT_H
#define SHUNT_SELECT_H

#include "parse.h"
#include "siphash.h"

static __always_inline struct settings *get_settings(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&settings, &zero);
}

/*
 * What is looked up by a field of a struct that a global function was given is looked up by a copy:
 * for Linux 6.1 a map's key may lie on the stack, but not in such a function's argument. Handed
 * over by value, the key lives in a block of its own, and blocks share their place on the stack.
 */
static __always_inline __u32 address_flags(struct address address)
{
	__u32 *flags = bpf_map_lookup_elem(&addresses, &address);

	return flags ? *flags : 0;
}

static __always_inline struct member *find_member(__u32 index)
{
	return bpf_map_lookup_elem(&members, &index);
}

/*
 * Keys are written in whole words: the hash table reads them so, and a load that spans several
 * smaller stores waits for them to leave the processor's store buffer.
 */
static __always_inline __u64 port_word(__be16 port, __u8 protocol)
{
	return port | (__u64)protocol << 16;
}

/*
 * Two look-ups merged into one call, with the map in a register, would not be inlined. A move that
 * does nothing, written in two ways, keeps the compiler from merging them.
 */
#define APART(way, value) asm volatile("%0 = %0 " way : "+r"(value))

static __always_inline struct service *look_up(const struct request *r,
					       const struct address *cluster, __be16 port)
{
	__u64 word = port_word(port, r->flow.protocol);
	struct service *service;
	__u64 key[3] = {cluster->halves[0], cluster->halves[1], word};

	if (r->version == 6) {
		service = bpf_map_lookup_elem(&services6, key);
		APART("", service);
		return service;
	}
	key[0] = unmapped(cluster) | word << 32;
	service = bpf_map_lookup_elem(&services4, key);
	APART(";", service);
	return service;
}

/* Services for any cluster address that is not named, nor the host's own. */
static __noinline struct service *find_wildcard(struct request *r)
{
	struct address any = {{0, 0}};
	struct settings *now = get_settings();
	struct service *service;

	if (!now || !now->wildcards || address_flags(r->flow.cluster))
		return NULL;
	r->matched = 3;
	service = look_up(r, &any, r->flow.port);
	if (service)
		return service;
	r->matched = 4;
	return look_up(r, &any, 0);
}

/* The most exact service for the packet's (cluster address, protocol, port), or NULL. */
static __always_inline struct service *find_service(struct request *r)
{
	struct service *service = look_up(r, &r->flow.cluster, r->flow.port);

	r->matched = 1;
	if (service)
		return service;
	r->matched = 2;
	service = look_up(r, &r->flow.cluster, 0);
	return service ? service : find_wildcard(r);
}

static __always_inline __u64 hash_flow(const struct request *r)
{
	const struct flow_key *flow = &r->flow;
	__u64 tail = port_word(flow->client_port, flow->protocol);
	struct sip s;

	sip_start(&s);
	if (r->version == 4)
		return sip_end(&s, unmapped(&flow->client) | tail << 32, 7);
	sip_word(&s, flow->client.halves[0]);
	sip_word(&s, flow->client.halves[1]);
	return sip_end(&s, tail, 19);
}

static __always_inline __u64 hash_client(const struct affinity_key *key)
{
	struct sip s;

	sip_start(&s);
	sip_word(&s, key->client.halves[0]);
	sip_word(&s, key->client.halves[1]);
	return sip_end(&s, key->affinity, 20);
}

#endif
