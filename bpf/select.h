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

static __always_inline __u32 address_flags(const struct address *address)
{
	__u32 *flags = bpf_map_lookup_elem(&addresses, address);

	return flags ? *flags : 0;
}

/* Services for any cluster address, except where the host itself is addressed. */
static __noinline struct service *find_wildcard(struct request *r)
{
	struct service_key key = {.port = r->flow.port, .protocol = r->flow.protocol};
	struct settings *now = get_settings();
	struct service *service;

	if (!now || !now->wildcards || address_flags(&r->flow.cluster) & ADDRESS_HOST)
		return NULL;
	if (r->version == 4)
		key.address = mapped(0);
	service = bpf_map_lookup_elem(&services, &key);
	r->matched = 3;
	if (!service) {
		key.port = 0;
		service = bpf_map_lookup_elem(&services, &key);
		r->matched = 4;
	}
	return service;
}

/* The most exact service for the packet's (cluster address, protocol, port), or NULL. */
static __always_inline struct service *find_service(struct request *r)
{
	struct service_key key = {
	    .address = r->flow.cluster, .port = r->flow.port, .protocol = r->flow.protocol};
	struct service *service = bpf_map_lookup_elem(&services, &key);

	r->matched = 1;
	if (service)
		return service;
	key.port = 0;
	service = bpf_map_lookup_elem(&services, &key);
	r->matched = 2;
	if (service)
		return service;
	return find_wildcard(r);
}

static __always_inline __u64 hash_flow(const struct request *r)
{
	const struct flow_key *flow = &r->flow;
	__u64 ports = flow->client_port | (__u64)flow->port << 16;
	struct sip s;

#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	ports = __builtin_bswap16(flow->client_port) | (__u64)__builtin_bswap16(flow->port) << 16;
#endif
	sip_start(&s);
	if (r->version == 4) {
		__u64 client = le64(flow->client.halves[1]) >> 32;
		__u64 cluster = le64(flow->cluster.halves[1]) >> 32;

		sip_word(&s, client | ports << 32);
		return sip_end(&s, cluster | (__u64)flow->protocol << 32, 13);
	}
	sip_word(&s, le64(flow->client.halves[0]));
	sip_word(&s, le64(flow->client.halves[1]));
	sip_word(&s, le64(flow->cluster.halves[0]));
	sip_word(&s, le64(flow->cluster.halves[1]));
	return sip_end(&s, ports | (__u64)flow->protocol << 32, 37);
}

static __always_inline __u64 hash_client(const struct affinity_key *key)
{
	struct sip s;

	sip_start(&s);
	sip_word(&s, le64(key->client.halves[0]));
	sip_word(&s, le64(key->client.halves[1]));
	return sip_end(&s, key->affinity, 20);
}

#endif
