/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#define MOVED
#include "record.h"

SEC("xdp")
int touch(struct xdp_md *ctx)
{
	__u32 zero = 0;
	struct record *record = bpf_map_lookup_elem(&records, &zero);

	(void)ctx;
	return record ? XDP_PASS : XDP_ABORTED;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
