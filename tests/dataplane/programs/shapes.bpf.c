/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* One program that writes through every kind of map that the bindings know. */
#include "record.h"

struct key {
	__u32 number;
	__u32 zero;
};

struct pair {
	__u16 current;
	__u16 elder;
};

struct wide {
	__u64 head;
	__u64 body[2];
};

struct event {
	__u32 number;
	__be16 port;
	__u16 zero;
};

#define TABLE(kind, entries, key_type, value_type, flags, table)                                   \
	struct {                                                                                   \
		__uint(type, kind);                                                                \
		__uint(max_entries, entries);                                                      \
		__uint(map_flags, flags);                                                          \
		__type(key, key_type);                                                             \
		__type(value, value_type);                                                         \
	} table SEC(".maps")

TABLE(BPF_MAP_TYPE_HASH, 4096, struct key, struct wide, 0, table);
TABLE(BPF_MAP_TYPE_LRU_HASH, 4096, struct key, __u64, 0, recent);
TABLE(BPF_MAP_TYPE_PERCPU_ARRAY, 4, __u32, __u32, 0, counts);
TABLE(BPF_MAP_TYPE_PERCPU_HASH, 64, struct key, struct inner, 0, spread);
TABLE(BPF_MAP_TYPE_ARRAY, 64, __u32, struct pair, BPF_F_MMAPABLE, pairs);
TABLE(BPF_MAP_TYPE_ARRAY, 64, __u32, struct wide, BPF_F_MMAPABLE, wides);
TABLE(BPF_MAP_TYPE_DEVMAP_HASH, 8, __u32, __u32, 0, devices);

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} ring SEC(".maps");

const volatile __u32 answer = 41;
const volatile __u64 secret[2] = {1, 2};
const volatile struct inner limits = {3, 4};
const char poem[] SEC("words") = "first\0second\0";

__attribute__((noinline)) static void fill(struct record *record)
{
	record->port = __builtin_bswap16(443);
	record->wide = 0xab;
	record->address = __builtin_bswap32(0xc0000201);
	record->parts[0].low = 0x1111;
	record->parts[0].high = 0x2222;
	record->parts[1].low = 0x3333;
	record->parts[1].high = 0x4444;
	record->signed_one = -5;
	record->colour = COLOUR_GREEN;
	record->mac[0] = 2;
	record->mac[5] = 9;
	record->flags = limits.high;
}

__attribute__((noinline)) static void tell(struct event *event, __u32 number)
{
	event->number = number;
	event->port = __builtin_bswap16(80);
	event->zero = 0;
}

static void send(__u32 number)
{
	struct event *event = bpf_ringbuf_reserve(&ring, sizeof(*event), 0);

	if (!event)
		return;
	tell(event, number);
	bpf_ringbuf_submit(event, 0);
}

SEC("xdp")
int shapes(struct xdp_md *ctx)
{
	__u32 zero = 0, one = 1;
	struct key key = {.number = answer};
	struct record *record = bpf_map_lookup_elem(&records, &zero);
	__u32 *count = bpf_map_lookup_elem(&counts, &one);
	struct pair *pair = bpf_map_lookup_elem(&pairs, &one);
	__u64 sum = secret[0] + secret[1];

	if (!record || !count || !pair)
		return XDP_ABORTED;
	fill(record);
	*count += 1;
	pair->elder = pair->current;
	bpf_map_update_elem(&recent, &key, &sum, BPF_ANY);

	send(*count);
	return ctx->ingress_ifindex == 1 ? XDP_PASS : XDP_TX;
}

SEC("xdp")
int dropper(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_DROP;
}

/* Counts under 3 when it meets a pair whose halves differ, and always under 2. */
SEC("xdp")
int watcher(struct xdp_md *ctx)
{
	__u32 two = 2, three = 3;
	__u32 *pair = bpf_map_lookup_elem(&pairs, &two);
	__u32 *met = bpf_map_lookup_elem(&counts, &two);
	__u32 *torn = bpf_map_lookup_elem(&counts, &three);
	__u32 seen;

	(void)ctx;
	if (!pair || !met || !torn)
		return XDP_ABORTED;
	seen = *(volatile __u32 *)pair;
	*met += 1;
	if (seen >> 16 != (seen & 0xffff))
		*torn += 1;
	return XDP_PASS;
}

/* Cuts the first four bytes off. */
SEC("xdp")
int cutter(struct xdp_md *ctx)
{
	return bpf_xdp_adjust_head(ctx, 4) ? XDP_ABORTED : XDP_TX;
}

/* The accepted name of a classifier's section in every libbpf. */
SEC("classifier")
int marked(struct __sk_buff *skb)
{
	return skb->mark == 7 ? 2 /* TC_ACT_SHOT */ : 0 /* TC_ACT_OK */;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
