/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Internet checksums (RFC 1071; IPv6 pseudo-header: RFC 8200, section 8.1). */
#ifndef SHUNT_CHECKSUM_H
#define SHUNT_CHECKSUM_H

#include "parse.h"

static __always_inline __u16 fold(__u64 sum)
{
#pragma unroll
	for (int i = 0; i < 4; i++)
		sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/* Sum over `size` bytes, a multiple of 4. */
static __always_inline __u64 sum_bytes(void *start, __u32 size)
{
	return (__u32)bpf_csum_diff(NULL, 0, start, size, 0);
}

/* Pseudo-header of IPv4 (RFC 9293, section 3.1) or IPv6 at `ip`, for `length` bytes of payload. */
static __always_inline __u64 sum_pseudo4(struct iphdr *ip, __u32 length, __u8 protocol)
{
	return sum_bytes(&ip->saddr, 8) + bpf_htons(length) + bpf_htons(protocol);
}

static __always_inline __u64 sum_pseudo6(struct ipv6hdr *ip, __u32 length, __u8 protocol)
{
	return sum_bytes(&ip->saddr, 32) + bpf_htons(length) + bpf_htons(protocol);
}

/* The checksum after one 16-bit word of the data has changed (RFC 1624, equation 3). */
static __always_inline __u16 replace_word(__u16 checksum, __u16 old, __u16 new)
{
	return fold((__u64)(__u16)~checksum + (__u16)~old + new);
}

#endif
