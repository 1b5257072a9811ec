/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Headers, one function each. Every parse_x() checks its bounds, moves the cursor past the
 * header and returns the number of the next protocol, or -1 if the header is cut off or
 * nonsense. What later steps need is left in struct request.
 */
#ifndef SHUNT_PARSE_H
#define SHUNT_PARSE_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "abi.h"

#define VLAN_TAGS	  2
#define EXTENSION_HEADERS 6
#define EXTENSIONS_END	  1023 /* bytes into the frame; nothing real comes near */
#define IP_MORE_FRAGMENTS 0x2000
#define IP_OFFSET	  0x1fff

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10

enum fragment_place { FRAGMENT_NONE, FRAGMENT_FIRST, FRAGMENT_LATER };

/* Where the headers are. */
struct packet {
	void *position; /* the cursor */
	void *end;
	struct ethhdr *eth;
	void *l3;
	void *l4;
};

/*
 * What is known of a packet, and what becomes of it. It holds no pointers, so that it can be
 * handed to global functions, which the verifier checks by themselves and only once.
 */
struct request {
	struct flow_key flow;
	__u64 hash;
	__u32 fragment_id;
	__u16 l4_offset;   /* in the frame, behind extension headers only */
	__u16 routed;	   /* by a routing header */
	__u32 ingress;	   /* the interface that it came in by */
	__u32 cause;	   /* enum cause */
	__u32 service;	   /* number of the service */
	__u32 slot;	   /* within the service */
	__u32 index;	   /* of the member in members */
	struct slot state; /* of the slot, read once */
	__u16 member;	   /* local number, or SLOT_NONE */
	__u16 reason;	   /* enum reason */
	__u8 matched;	   /* as in struct decision */
	__u8 version;	   /* of IP: 4 or 6 */
	__u8 place;	   /* enum fragment_place */
	__u8 tcp_flags;
	__u8 l2_size; /* Ethernet and tags, bytes */
	__u8 plain;   /* no options and no extension headers */
	__u8 dry;     /* nothing may be remembered: a trace, or an ICMP error about the flow */
	__u8 trace;   /* nothing may be counted, either */
	__u32 now;    /* coarse clock, seconds; of tracked flows only */
};

struct vlan_header {
	__be16 tci;
	__be16 protocol;
};

struct extension_header {
	__u8 next;
	__u8 length; /* in 8 bytes, the first 8 not counted */
	__u8 rest[6];
};

struct fragment_header {
	__u8 next;
	__u8 reserved;
	__be16 offset; /* in 8 bytes, shifted by 3; lowest bit: more fragments */
	__be32 id;
};

static __always_inline struct address mapped(__be32 ipv4)
{
	return (struct address){{0, 0xffff0000ULL | (__u64)ipv4 << 32}};
}

static __always_inline __be32 unmapped(const struct address *address)
{
	return address->halves[1] >> 32;
}

static __always_inline struct address load_address(const struct in6_addr *ipv6)
{
	struct address address;

	__builtin_memcpy(&address, ipv6, sizeof(address));
	return address;
}

static __always_inline int parse_ethernet(struct packet *p, struct request *r)
{
	struct ethhdr *eth = p->position;
	__be16 protocol;

	if ((void *)(eth + 1) > p->end)
		return -1;
	p->eth = eth;
	p->position = eth + 1;
	protocol = eth->h_proto;
#pragma unroll
	for (int tag = 0; tag < VLAN_TAGS; tag++) {
		struct vlan_header *vlan = p->position;

		if (protocol != bpf_htons(ETH_P_8021Q) && protocol != bpf_htons(ETH_P_8021AD))
			break;
		if ((void *)(vlan + 1) > p->end)
			return -1;
		protocol = vlan->protocol;
		p->position = vlan + 1;
	}
	p->l3 = p->position;
	r->l2_size = p->l3 - (void *)eth;
	return bpf_ntohs(protocol);
}

static __always_inline int parse_ipv4(struct packet *p, struct request *r)
{
	struct iphdr *ip = p->position;
	__u16 fragment;

	if ((void *)(ip + 1) > p->end || ip->version != 4 || ip->ihl < 5)
		return -1;
	r->version = 4;
	r->flow.client = mapped(ip->saddr);
	r->flow.cluster = mapped(ip->daddr);
	r->flow.protocol = ip->protocol;
	r->plain = ip->ihl == 5;
	fragment = bpf_ntohs(ip->frag_off);
	if (fragment & (IP_OFFSET | IP_MORE_FRAGMENTS)) {
		r->place = fragment & IP_OFFSET ? FRAGMENT_LATER : FRAGMENT_FIRST;
		r->fragment_id = ip->id;
	}
	p->position += ip->ihl * 4;
	p->l4 = p->position;
	return ip->protocol;
}

static __always_inline int parse_ipv6(struct packet *p, struct request *r)
{
	struct ipv6hdr *ip = p->position;

	if ((void *)(ip + 1) > p->end || ip->version != 6)
		return -1;
	r->version = 6;
	r->flow.client = load_address(&ip->saddr);
	r->flow.cluster = load_address(&ip->daddr);
	r->flow.protocol = ip->nexthdr;
	r->plain = 1;
	p->position = ip + 1;
	p->l4 = p->position;
	return ip->nexthdr;
}

static __always_inline int is_extension(__u8 protocol)
{
	return protocol == IPPROTO_HOPOPTS || protocol == IPPROTO_ROUTING ||
	       protocol == IPPROTO_DSTOPTS || protocol == IPPROTO_FRAGMENT ||
	       protocol == IPPROTO_AH;
}

/*
 * RFC 8200, section 4, from `offset` in the frame. In a later fragment what follows the fragment
 * header is payload. A global function: the verifier walks its loop once, not once per caller.
 */
__noinline int walk_extensions(struct xdp_md *ctx, struct request *r, __u32 offset)
{
	void *end = (void *)(long)ctx->data_end;
	void *start = (void *)(long)ctx->data;
	__u8 next;

	if (!r)
		return -1;
	next = r->flow.protocol;
	for (int i = 0; i < EXTENSION_HEADERS && is_extension(next); i++) {
		struct extension_header *extension = start + (offset & EXTENSIONS_END);
		struct fragment_header *fragment = (void *)extension;

		if (offset > EXTENSIONS_END || (void *)(extension + 1) > end)
			return -1;
		if (next == IPPROTO_ROUTING)
			r->routed = 1;
		if (next == IPPROTO_FRAGMENT) {
			__u16 field = bpf_ntohs(fragment->offset);

			if (field & ~6) /* not an atomic fragment (RFC 6946) */
				r->place = field & ~7 ? FRAGMENT_LATER : FRAGMENT_FIRST;
			r->fragment_id = fragment->id;
			offset += sizeof(*fragment);
		} else if (next == IPPROTO_AH) {
			offset += (extension->length + 2) * 4; /* RFC 4302, section 2.2 */
		} else {
			offset += (extension->length + 1) * 8;
		}
		next = extension->next;
		if (r->place == FRAGMENT_LATER)
			break;
	}
	r->flow.protocol = next;
	r->l4_offset = offset;
	return is_extension(next) && r->place != FRAGMENT_LATER ? -1 : next;
}

static __always_inline int parse_extensions(struct xdp_md *ctx, struct packet *p, struct request *r)
{
	int next;

	r->plain = 0;
	next = walk_extensions(ctx, r, (r->l2_size & 31) + sizeof(struct ipv6hdr));
	if (next < 0 || r->l4_offset > EXTENSIONS_END)
		return -1;
	p->l4 = p->position = (void *)p->eth + r->l4_offset;
	return next;
}

static __always_inline int parse_tcp(struct packet *p, struct request *r)
{
	struct tcphdr *tcp = p->position;

	if ((void *)(tcp + 1) > p->end || tcp->doff < 5)
		return -1;
	r->flow.client_port = tcp->source;
	r->flow.port = tcp->dest;
	r->tcp_flags = ((__u8 *)tcp)[13];
	return 0;
}

static __always_inline int parse_udp(struct packet *p, struct request *r)
{
	struct udphdr *udp = p->position;

	if ((void *)(udp + 1) > p->end)
		return -1;
	r->flow.client_port = udp->source;
	r->flow.port = udp->dest;
	return 0;
}

#endif
