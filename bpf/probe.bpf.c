/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Lets a socket of the dispatcher reach a cluster address at a chosen server: the socket's mark
 * names the server, and this classifier, at the interface's way out, writes that server's MAC.
 * So health is checked along the way that requests take. Frames without such a mark are left alone.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "probe.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, PROBE_SERVERS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct probe_way);
} ways SEC(".maps");

/* For Python: compilers leave out the enums that no object uses. */
const struct {
	enum probe_marks marks;
} enumerations SEC("shunt.words.enums") = {0};

SEC("tc")
int shunt_probe(struct __sk_buff *skb)
{
	__u32 number = skb->mark ^ PROBE_MARK;
	const struct probe_way *way;

	if (number >= PROBE_SERVERS)
		return TC_ACT_UNSPEC;
	if (skb->protocol != bpf_htons(ETH_P_IP) && skb->protocol != bpf_htons(ETH_P_IPV6))
		return TC_ACT_UNSPEC;
	way = bpf_map_lookup_elem(&ways, &number);
	if (!way) /* a check at another server than the one that is meant would tell a lie */
		return TC_ACT_SHOT;
	if (bpf_skb_store_bytes(skb, 0, way, 2 * ETH_ALEN, 0))
		return TC_ACT_SHOT;
	if (way->ifindex != skb->ifindex)
		return bpf_redirect(way->ifindex, 0);
	return TC_ACT_UNSPEC;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
