/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What the two objects `shapes` and `moved` share; MOVED makes a struct of another layout. */
#ifndef RECORD_H
#define RECORD_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

enum colour { COLOUR_RED, COLOUR_GREEN = 7, COLOUR_BLUE };

struct inner {
	__u16 low;
	__u16 high;
};

struct record {
	__be16 port;
#ifdef MOVED
	__u16 narrow;
	__u8 wide;
#else
	__u8 wide;
	__u8 narrow;
#endif
	__be32 address;
	union {
		__u64 whole;
		struct inner parts[2];
		struct {
			__u32 front;
			__u32 back;
		};
	};
	__s32 signed_one;
	enum colour colour;
	__u8 mac[6];
	__u16 flags;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct record);
} records SEC(".maps");

#endif
