/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Whether a question may be answered. Hosts discard what is broken, and what comes from where no
 * packet can come from (RFC 1122, sections 3.2.1 and 3.2.2.6; RFC 4861, section 7.1.1): an answer
 * would go to others than who asked. Requests are not judged so, but by the servers they go to.
 */
#ifndef SHUNT_SOUND_H
#define SHUNT_SOUND_H

#include <linux/icmpv6.h>
#include "checksum.h"
#include "select.h"

#define SUM_STEP	    64
#define SUM_STEPS	    1024 /* of the longest packet there is */
#define IPV4_OPTIONS	    40
#define OPTION_END	    0
#define OPTION_NOTHING	    1
#define OPTION_LOOSE_ROUTE  131
#define OPTION_STRICT_ROUTE 137
#define ND_OPTIONS	    16
#define ND_SOURCE_ADDRESS   1

/* Is the checksum over `length` bytes at `offset` wrong, or are they not there? */
__noinline int is_sum_wrong(struct xdp_md *ctx, __u32 offset, __u32 length, __u32 sum)
{
	__u8 step[SUM_STEP] __attribute__((aligned(8)));
	__u64 total = sum;

	for (int i = 0; i < SUM_STEPS && length >= SUM_STEP; i++) {
		if (bpf_xdp_load_bytes(ctx, offset, step, SUM_STEP))
			return 1;
		total += sum_bytes(step, SUM_STEP);
		offset += SUM_STEP;
		length -= SUM_STEP;
	}
	if (length >= SUM_STEP)
		return 1;
	if (length) {
		__builtin_memset(step, 0, SUM_STEP);
		length = ((length - 1) & (SUM_STEP - 1)) + 1; /* as it is; for the verifier */
		if (bpf_xdp_load_bytes(ctx, offset, step, length))
			return 1;
		total += sum_bytes(step, SUM_STEP);
	}
	return fold(total) != 0;
}

static __always_inline int is_from_many(const struct ethhdr *eth, const void *end)
{
	return (void *)(eth + 1) > end || eth->h_source[0] & 1;
}

/* 0.0.0.0/8, 127.0.0.0/8, 224.0.0.0/4, 240.0.0.0/4: this network, loopback, groups, reserved. */
static __always_inline int is_martian4(__be32 source)
{
	__u8 first = bpf_ntohl(source) >> 24;

	return !first || first == 127 || first >= 224;
}

/* ff00::/8, ::, ::1, and IPv4 mapped (RFC 4291, sections 2.5 and 2.7). */
static __always_inline int is_martian6(struct address source)
{
	__u64 high = bpf_be64_to_cpu(source.halves[0]), low = bpf_be64_to_cpu(source.halves[1]);

	return high >> 56 == 0xff || (!high && (low <= 1 || low >> 32 == 0xffff));
}

/* May no packet have the source that this one has? */
static __noinline int is_martian(const struct request *r)
{
	if (r->version == 4 ? is_martian4(unmapped(&r->flow.client)) : is_martian6(r->flow.client))
		return 1;
	return address_flags(r->flow.client) & (ADDRESS_CLUSTER | ADDRESS_BROADCAST);
}

/* Do these options of IPv4 say where the packet and its answer have to pass (RFC 791)? */
__noinline int is_source_routed(struct xdp_md *ctx, __u32 at, __u32 end)
{
	for (int i = 0; i < IPV4_OPTIONS && at < end; i++) {
		__u8 option[2] = {};

		if (bpf_xdp_load_bytes(ctx, at, option, sizeof(option)))
			return 1;
		if (option[0] == OPTION_END)
			return 0;
		if (option[0] == OPTION_LOOSE_ROUTE || option[0] == OPTION_STRICT_ROUTE)
			return 1;
		if (option[0] != OPTION_NOTHING && option[1] < 2)
			return 1;
		at += option[0] == OPTION_NOTHING ? 1 : option[1];
	}
	return 0;
}

static __always_inline __u32 ping4_flaw(struct xdp_md *ctx, struct packet *p, struct request *r)
{
	__u32 offset = r->l2_size & 31, size;
	struct iphdr *ip = p->l3;

	if ((void *)(ip + 1) > p->end)
		return CAUSE_dropped_malformed;
	size = ip->ihl * 4;
	if (is_source_routed(ctx, offset + sizeof(*ip), offset + size))
		return CAUSE_dropped_martian;
	if (!ip->ttl || is_sum_wrong(ctx, offset, size, 0) ||
	    is_sum_wrong(ctx, offset + size, bpf_ntohs(ip->tot_len) - size, 0))
		return CAUSE_dropped_malformed;
	return 0;
}

static __always_inline __u32 ping6_flaw(struct xdp_md *ctx, struct packet *p, struct request *r)
{
	__u32 offset = (r->l2_size & 31) + sizeof(struct ipv6hdr), extensions, length;
	struct ipv6hdr *ip = p->l3;

	if ((void *)(ip + 1) > p->end)
		return CAUSE_dropped_malformed;
	if (r->routed)
		return CAUSE_dropped_martian;
	extensions = r->plain ? 0 : r->l4_offset - offset;
	length = bpf_ntohs(ip->payload_len) - extensions;
	if (!ip->hop_limit ||
	    is_sum_wrong(ctx, offset + extensions, length, sum_pseudo6(ip, length, IPPROTO_ICMPV6)))
		return CAUSE_dropped_malformed;
	return 0;
}

/* Under which cause a ping is dropped; 0 if it may be answered. */
static __noinline __u32 ping_flaw(struct xdp_md *ctx, struct packet *p, struct request *r)
{
	if (is_from_many(p->eth, p->end) || is_martian(r))
		return CAUSE_dropped_martian;
	return r->version == 4 ? ping4_flaw(ctx, p, r) : ping6_flaw(ctx, p, r);
}

/* Options of neighbour discovery have a length; who has no address yet tells no MAC, either. */
__noinline int are_options_wrong(struct xdp_md *ctx, __u32 at, __u32 end, __u32 anonymous)
{
	for (int i = 0; i < ND_OPTIONS && at < end; i++) {
		__u8 option[2] = {};

		if (bpf_xdp_load_bytes(ctx, at, option, sizeof(option)) || !option[1] ||
		    (anonymous && option[0] == ND_SOURCE_ADDRESS))
			return 1;
		at += option[1] * 8;
	}
	return at != end;
}

/* ff02::1:ffXX:XXXX (RFC 4291, section 2.7.1). */
static __always_inline int is_solicited_node(struct address group, struct address target)
{
	return group.halves[0] == bpf_cpu_to_be64(0xff02ULL << 48) &&
	       bpf_be64_to_cpu(group.halves[1]) ==
		   (0x1ff000000ULL | (bpf_be64_to_cpu(target.halves[1]) & 0xffffff));
}

/* Under which cause a solicitation for `target` is dropped; 0 if it may be answered. */
static __noinline __u32 solicitation_flaw(struct xdp_md *ctx, struct packet *p, struct request *r,
					  struct address *target, __u32 size)
{
	__u32 offset = (r->l2_size & 31) + sizeof(struct ipv6hdr), length;
	int anonymous = !r->flow.client.halves[0] && !r->flow.client.halves[1];
	struct ipv6hdr *ip = p->l3;

	if ((void *)(ip + 1) > p->end)
		return CAUSE_dropped_malformed;
	if (is_from_many(p->eth, p->end) || (!anonymous && is_martian(r)))
		return CAUSE_dropped_martian;
	length = bpf_ntohs(ip->payload_len);
	if (is_sum_wrong(ctx, offset, length, sum_pseudo6(ip, length, IPPROTO_ICMPV6)) ||
	    are_options_wrong(ctx, offset + size, offset + length, anonymous) ||
	    (anonymous && !is_solicited_node(r->flow.cluster, *target)))
		return CAUSE_dropped_malformed;
	return 0;
}

#endif
