/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* A hash key with bytes that no field names. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct holey {
	__u32 number;
	__u8 kind;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4);
	__type(key, struct holey);
	__type(value, __u32);
} holes SEC(".maps");

char LICENSE[] SEC("license") = "Dual BSD/GPL";
