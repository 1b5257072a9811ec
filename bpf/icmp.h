/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * ICMP to a cluster address. Errors (fragmentation needed, packet too big, unreachable, time
 * exceeded, parameter problem) are about a packet that a server sent: the packet inside is that
 * one, and turned round it names the flow (RFC 792, RFC 4443). They must reach that server, or
 * path MTU discovery fails.
 */
#ifndef SHUNT_ICMP_H
#define SHUNT_ICMP_H

#include "answer.h"

#define ICMP_DEST_UNREACH  3
#define ICMP_TIME_EXCEEDED 11
#define ICMP_PARAMETERPROB 12

static __always_inline int is_icmp_error(__u8 version, __u8 type)
{
	if (version == 6)
		return type >= ICMPV6_DEST_UNREACH && type <= ICMPV6_PARAMPROB;
	return type == ICMP_DEST_UNREACH || type == ICMP_TIME_EXCEEDED ||
	       type == ICMP_PARAMETERPROB;
}

/* Only the first 8 bytes of the transport header are sure to be there (RFC 792). */
static __always_inline int inner_ports(struct packet *p, struct request *r, void *transport)
{
	__be16 *ports = transport;

	if (transport + 8 > p->end)
		return -1;
	r->flow.port = ports[0];
	r->flow.client_port = ports[1];
	return 0;
}

static __always_inline int parse_inner_ipv4(struct packet *p, struct request *r)
{
	struct iphdr *ip = p->position;

	if ((void *)(ip + 1) > p->end || ip->version != 4 || ip->ihl < 5 ||
	    ip->saddr != unmapped(&r->flow.cluster) || ip->frag_off & bpf_htons(IP_OFFSET))
		return -1;
	r->flow.client = mapped(ip->daddr);
	r->flow.protocol = ip->protocol;
	p->position += ip->ihl * 4;
	return 0;
}

static __always_inline int parse_inner_ipv6(struct xdp_md *ctx, struct packet *p, struct request *r)
{
	struct ipv6hdr *ip = p->position;
	struct address source;

	if ((void *)(ip + 1) > p->end || ip->version != 6)
		return -1;
	source = load_address(&ip->saddr);
	if (source.halves[0] != r->flow.cluster.halves[0] ||
	    source.halves[1] != r->flow.cluster.halves[1])
		return -1;
	r->flow.client = load_address(&ip->daddr);
	r->flow.protocol = ip->nexthdr;
	p->position = ip + 1;
	if (!is_extension(ip->nexthdr))
		return 0;
	r->place = FRAGMENT_NONE; /* the inner packet's counts from here on */
	if (walk_extensions(ctx, r, (__u32)(p->position - (void *)p->eth)) < 0 ||
	    r->place == FRAGMENT_LATER || r->l4_offset > EXTENSIONS_END)
		return -1;
	p->position = (void *)p->eth + r->l4_offset;
	return 0;
}

/* Make the packet's flow that of the packet inside, as the client would send it. */
static __noinline int parse_inner(struct xdp_md *ctx, struct packet *p, struct request *r)
{
	p->position = p->l4 + sizeof(struct icmp_header);
	if (r->version == 4 ? parse_inner_ipv4(p, r) : parse_inner_ipv6(ctx, p, r))
		return -1;
	r->tcp_flags = TCP_ACK;
	r->plain = 0; /* what is behind the IP header is not the transport's */
	if (r->flow.protocol != IPPROTO_TCP && r->flow.protocol != IPPROTO_UDP)
		return -1;
	return inner_ports(p, r, p->position);
}

#endif
