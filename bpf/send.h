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
	tally->bytes += frame_size(ctx);
	if (r->flow.protocol != IPPROTO_TCP)
		return;
	if (is_new_connection(r->flow.protocol, r->tcp_flags))
		tally->opened++;
	else if (r->tcp_flags & (TCP_FIN | TCP_RST))
		tally->closed++;
}

/* One comparison for all but the server's own frames: the last four bytes tell cards apart. */
static __always_inline int is_from(const struct ethhdr *eth, __u64 mac)
{
	return *(__u32 *)(eth->h_source + 2) == (__u32)(mac >> 16) &&
	       *(__u16 *)eth->h_source == (__u16)mac;
}

/*
 * Whoever sent this frame would get it back: it has no use for it, and the frame would go to and
 * fro for ever, for nothing on its way counts hops. Either the server (or another dispatcher) sends
 * back what it was given, or it has a request of its own and does not hold the cluster address.
 */
static __noinline int drop_loop(struct request *r)
{
	struct member *member = find_member(r->index);
	struct tally *tally;
	__u32 index = r->index;

	if (member && member->address.halves[0] == r->flow.client.halves[0] &&
	    member->address.halves[1] == r->flow.client.halves[1]) {
		r->cause = CAUSE_dropped_own;
		return XDP_DROP;
	}
	r->cause = CAUSE_dropped_loop;
	tally = bpf_map_lookup_elem(&tallies, &index);
	if (tally && !r->trace)
		tally->loops++;
	return XDP_DROP;
}

/*
 * The destination becomes the server, the source the interface that the frame leaves by:
 * with the client's or the router's MAC as source, switches would learn it at our port.
 */
static __always_inline int rewrite(struct xdp_md *ctx, struct request *r, __u32 ifindex, __u64 word)
{
	struct ethhdr *eth = (void *)(long)ctx->data;

	if ((void *)(eth + 1) > (void *)(long)ctx->data_end)
		return XDP_DROP;
	if (is_from(eth, word))
		return drop_loop(r);
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
	copy_mac(eth->h_dest, (__u8 *)&word);
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
	verdict = rewrite(ctx, r, member->ifindex, word);
	if (verdict != XDP_DROP)
		count_member(ctx, r, &index);
	return verdict;
}

#endif
