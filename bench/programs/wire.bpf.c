/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Both ends of the wire of `bench.machines`: a sender that is run with live frames, so that they
 * come to the director as a driver's do, and a sink that counts them by the last byte of their MAC.
 * The time is taken where one poll ends and the next begins, so set-up and tear-down stay out.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define FRAME 64
#define SENT  60 /* bytes of it: the least that Ethernet carries */

struct frame {
	__u64 words[FRAME / 8];
};

struct run {
	__u64 flows; /* frames that take turns */
	__u64 next;  /* whose turn it is */
	__u64 sent;
	__u64 from, to; /* the frames between which the time is taken */
	__u64 began, ended;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct frame);
} frames SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct run);
} runs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 256);
	__type(key, __u32);
	__type(value, __u64);
} arrived SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} wire SEC(".maps");

SEC("xdp")
int sender(struct xdp_md *ctx)
{
	void *start = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u32 zero = 0, turn;
	struct run *run = bpf_map_lookup_elem(&runs, &zero);
	struct frame *frame;

	if (!run || start + SENT > end)
		return XDP_ABORTED;
	if (run->sent == run->from)
		run->began = bpf_ktime_get_ns();
	if (run->sent == run->to)
		run->ended = bpf_ktime_get_ns();
	run->sent++;
	turn = run->next;
	run->next = turn + 1 < run->flows ? turn + 1 : 0;
	frame = bpf_map_lookup_elem(&frames, &turn);
	if (!frame)
		return XDP_ABORTED;
	__builtin_memcpy(start, frame, SENT);
	return bpf_redirect_map(&wire, 0, 0);
}

SEC("xdp")
int sink(struct xdp_md *ctx)
{
	void *start = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u64 *count;
	__u32 last;

	if (start + ETH_HLEN > end)
		return XDP_DROP;
	if (((struct ethhdr *)start)->h_proto != bpf_htons(ETH_P_IP))
		return XDP_DROP; /* what a director announces is none of ours */
	last = ((__u8 *)start)[ETH_ALEN - 1];
	count = bpf_map_lookup_elem(&arrived, &last);
	if (count)
		(*count)++;
	return XDP_DROP;
}

/* The least that a director does: nothing, pass to the kernel, or write a MAC and send back. */
SEC("xdp")
int drop(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_DROP;
}

SEC("xdp")
int pass(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_PASS;
}

SEC("xdp")
int hop(struct xdp_md *ctx)
{
	static const __u8 server[ETH_ALEN] = {2, 0, 0, 0, 1, 1};
	void *start = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;

	if (start + ETH_HLEN > end)
		return XDP_DROP;
	__builtin_memcpy(start + ETH_ALEN, start, ETH_ALEN);
	__builtin_memcpy(start, server, ETH_ALEN);
	return XDP_TX;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
