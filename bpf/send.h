/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Out to the server: MAC addresses, the way out, and the count. */
#ifndef SHUNT_SEND_H
#define SHUNT_SEND_H

#include "reset.h"
#include "choose.h"

static __always_inline void count_cause(__u32 cause)
{
	__u64 *count = bpf_map_lookup_elem(&causes, &cause);

	if (count)
		++*count;
}

static __always_inline void count_member(struct xdp_md *ctx, const struct request *r,
					 const __u32 *index)
{
	struct tally *tally = bpf_map_lookup_elem(&tallies, index);

	if (!tally || r->trace)
		return;
	tally->packets++;
	tally->bytes += ctx->data_end - ctx->data;
	if (r->flow.protocol != IPPROTO_TCP)
		return;
	if (is_new_connection(r->flow.protocol, r->tcp_flags))
		tally->opened++;
	else if (r->tcp_flags & (TCP_FIN | TCP_RST))
		tally->closed++;
}

/*
 * The destination becomes the server, the source the interface that the frame leaves by:
 * with the client's or the router's MAC as source, switches would learn it at our port.
 */
static __always_inline int rewrite(struct xdp_md *ctx, struct request *r, __u32 ifindex,
				   const __u8 *mac)
{
	struct ethhdr *eth = (void *)(long)ctx->data;

	if ((void *)(eth + 1) > (void *)(long)ctx->data_end)
		return XDP_DROP;
	if (ifindex == r->ingress) {
		copy_mac(eth->h_source, eth->h_dest);
	} else {
		struct port *port = bpf_map_lookup_elem(&ports, &ifindex);

		if (!port || !port->enabled || !bpf_map_lookup_elem(&devices, &ifindex)) {
			r->cause = CAUSE_dropped_no_device;
			return XDP_DROP;
		}
		copy_mac(eth->h_source, port->mac);
	}
	copy_mac(eth->h_dest, mac);
	if (ifindex == r->ingress)
		return XDP_TX;
	return bpf_redirect_map(&devices, ifindex, XDP_DROP);
}

/* Send the packet to the member r->index; r->cause is what it counts as if all goes well. */
static __always_inline int send(struct xdp_md *ctx, struct request *r)
{
	__u32 index = r->index;
	struct member *member = bpf_map_lookup_elem(&members, &index);
	__u64 word; /* MAC and flags, read once */
	__u16 flags;
	int verdict;

	if (!member) {
		r->cause = CAUSE_dropped_no_server;
		return XDP_DROP;
	}
	word = *(volatile __u64 *)member;
	flags = ((__u16 *)&word)[3];
	if (flags & MEMBER_RESET)
		return answer_reset(ctx, r);
	if (!(flags & MEMBER_READY)) {
		r->cause = CAUSE_dropped_no_mac;
		return XDP_DROP;
	}
	verdict = rewrite(ctx, r, member->ifindex, (__u8 *)&word);
	if (verdict != XDP_DROP)
		count_member(ctx, r, &index);
	return verdict;
}

#endif
