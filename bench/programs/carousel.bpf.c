/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Feeds a program under test with frames of many flows, inside BPF_PROG_TEST_RUN: the kernel does
 * not restore the frame between runs, so this does, and numbers the flow by a counter. Measured
 * beside `bare`, which gets the same frames and sends them back; the difference is the program.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define FRAME 80

struct belt {
	__u64 counter;
	__u64 flows;
	__u32 address_at; /* offset of the last 2 bytes of the client's address */
	__u32 port_at;	  /* offset of the client's port */
	__u64 frame[FRAME / 8];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct belt);
} belts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} under_test SEC(".maps");

struct key4 {
	__u8 address[4];
	__be16 port;
	__u8 protocol;
	__u8 zero;
};

struct key6 {
	__u64 address[2];
	__be16 port;
	__u8 protocol;
	__u8 zero[5];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, struct key4);
	__type(value, __u64);
} services4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, struct key6);
	__type(value, __u64);
} services6 SEC(".maps");

struct flow_key {
	__u64 client[2];
	__u64 cluster[2];
	__u64 ports_and_protocol;
};

struct flow {
	__u64 words[2];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024); /* set at load */
	__type(key, struct flow_key);
	__type(value, struct flow);
} flows SEC(".maps");

SEC("xdp.frags")
int carousel(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end, *start = (void *)(long)ctx->data;
	__u64 *frame = start;
	__u32 zero = 0;
	struct belt *belt = bpf_map_lookup_elem(&belts, &zero);
	__be16 *address, *port;
	__u64 flow;

	if (!belt || start + FRAME > end)
		return XDP_ABORTED;
#pragma unroll
	for (int i = 0; i < FRAME / 8; i++)
		frame[i] = belt->frame[i];
	flow = belt->counter + 1;
	if (flow >= belt->flows)
		flow = 0;
	belt->counter = flow;
	address = start + (belt->address_at & 63);
	port = start + (belt->port_at & 63);
	if ((void *)(address + 1) > end || (void *)(port + 1) > end)
		return XDP_ABORTED;
	*address = bpf_htons(flow >> 14);
	*port = bpf_htons(1024 + (flow & 16383));
	bpf_tail_call(ctx, &under_test, 0);
	return XDP_ABORTED;
}

SEC("xdp.frags")
int bare(struct xdp_md *ctx)
{
	return XDP_TX;
}

/* The least that any balancer does: find the headers, look one service up. */
SEC("xdp.frags")
int lookup(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end, *start = (void *)(long)ctx->data;
	struct ethhdr *eth = start;
	struct iphdr *ipv4 = (void *)(eth + 1);
	struct ipv6hdr *ipv6 = (void *)(eth + 1);
	struct key6 key6 = {};
	__u64 key4, *found;
	__be16 *ports;

	if ((void *)(ipv6 + 1) + 4 > end)
		return XDP_PASS;
	if (eth->h_proto == bpf_htons(ETH_P_IP)) {
		ports = (void *)(ipv4 + 1);
		key4 = ipv4->daddr | (__u64)ports[1] << 32 | (__u64)ipv4->protocol << 48;
		found = bpf_map_lookup_elem(&services4, &key4);
		asm volatile("%0 = %0" : "+r"(found));
		return found ? XDP_TX : XDP_PASS;
	}
	ports = (void *)(ipv6 + 1);
	__builtin_memcpy(key6.address, &ipv6->daddr, 16);
	*(__u64 *)&key6.port = ports[1] | (__u64)ipv6->nexthdr << 16;
	found = bpf_map_lookup_elem(&services6, &key6);
	return found ? XDP_TX : XDP_PASS;
}

/* The least that a balancer with a table of all flows does for a known one, IPv4 only. */
SEC("xdp.frags")
int table(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end, *start = (void *)(long)ctx->data;
	struct ethhdr *eth = start;
	struct iphdr *ip = (void *)(eth + 1);
	__u32 *ports = (void *)(ip + 1);
	struct flow_key key = {};
	struct flow fresh = {}, *flow;

	if ((void *)(ports + 1) > end)
		return XDP_PASS;
	key.client[1] = (__u64)ip->saddr << 32;
	key.cluster[1] = (__u64)ip->daddr << 32;
	key.ports_and_protocol = *ports | (__u64)ip->protocol << 32;
	flow = bpf_map_lookup_elem(&flows, &key);
	if (!flow)
		bpf_map_update_elem(&flows, &key, &fresh, BPF_ANY);
	else if (flow->words[0])
		return XDP_PASS;
	return XDP_TX;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
