/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Frames of known sizes, chains of known depths, and a helper that came with Linux 6.2. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

static __noinline int leaf(int seed)
{
	return seed * 3;
}

static __noinline int shallow(int seed)
{
	volatile __u64 room[4] = {seed};

	return (int)room[0] + leaf(seed);
}

__noinline int wide(int seed)
{
	volatile __u64 room[20] = {seed};

	return (int)room[0];
}

SEC("xdp")
int deep(struct xdp_md *ctx)
{
	volatile __u64 room = ctx->ingress_ifindex;

	return shallow((int)room) + wide((int)room);
}

SEC("xdp")
int newer(struct xdp_md *ctx)
{
	return (int)(long)bpf_cgrp_storage_delete((void *)ctx, (void *)ctx);
}

char LICENSE[] SEC("license") = "GPL";
