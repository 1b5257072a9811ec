/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * A TCP reset in place of a packet whose server is down, or that has none (RFC 9293,
 * section 3.10.7.1), so that the client connects anew at once instead of waiting for its time-out.
 */
#ifndef SHUNT_RESET_H
#define SHUNT_RESET_H

#include "answer.h"

#define LEAST_FIRST_BUFFER 512 /* bytes; no driver splits frames into less */

/* A jumbo frame's first buffer is full: only then there can be more of them to be asked for. */
static __always_inline __u32 frame_size(struct xdp_md *ctx)
{
	__u32 first = ctx->data_end - ctx->data;

	return first < LEAST_FIRST_BUFFER ? first : bpf_xdp_get_buff_len(ctx);
}

static __always_inline void reset_tcp(struct tcphdr *tcp, __u32 payload)
{
	struct tcphdr reset = {.source = tcp->dest, .dest = tcp->source, .doff = 5, .rst = 1};

	if (tcp->ack) {
		reset.seq = tcp->ack_seq;
	} else {
		reset.ack = 1;
		reset.ack_seq = bpf_htonl(bpf_ntohl(tcp->seq) + payload + tcp->syn + tcp->fin);
	}
	*tcp = reset;
}

/* Bytes behind the IP header, by the header's word: a short frame has padding behind them. */
static __always_inline __u32 ip_payload(const struct request *r, void *l3)
{
	if (r->version == 4)
		return bpf_ntohs(((struct iphdr *)l3)->tot_len) - sizeof(struct iphdr);
	return bpf_ntohs(((struct ipv6hdr *)l3)->payload_len);
}

static __always_inline void finish_ipv4(const struct request *r, struct iphdr *ip,
					struct tcphdr *tcp)
{
	ip->saddr = unmapped(&r->flow.cluster);
	ip->daddr = unmapped(&r->flow.client);
	ip->tot_len = bpf_htons(sizeof(*ip) + sizeof(*tcp));
	ip->ttl = ANSWER_TTL;
	ip->check = 0;
	ip->check = fold(sum_bytes(ip, sizeof(*ip)));
	tcp->check =
	    fold(sum_pseudo4(ip, sizeof(*tcp), IPPROTO_TCP) + sum_bytes(tcp, sizeof(*tcp)));
}

static __always_inline void finish_ipv6(const struct request *r, struct ipv6hdr *ip,
					struct tcphdr *tcp)
{
	__builtin_memcpy(&ip->saddr, &r->flow.cluster, sizeof(ip->saddr));
	__builtin_memcpy(&ip->daddr, &r->flow.client, sizeof(ip->daddr));
	ip->payload_len = bpf_htons(sizeof(*tcp));
	ip->hop_limit = ANSWER_TTL;
	tcp->check =
	    fold(sum_pseudo6(ip, sizeof(*tcp), IPPROTO_TCP) + sum_bytes(tcp, sizeof(*tcp)));
}

/* Cut the frame to its headers, turn it round and make it a reset. */
static __noinline int answer_reset(struct xdp_md *ctx, struct request *r)
{
	__u32 headers = r->version == 4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
	__u32 size = (r->l2_size & 31) + headers + sizeof(struct tcphdr);
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = (void *)(long)ctx->data;
	void *l3 = (void *)eth + (r->l2_size & 31);
	struct tcphdr *tcp = l3 + headers;
	__u32 payload, have = frame_size(ctx);
	__u8 own[6];

	r->cause = CAUSE_dropped_no_reset;
	if (!r->plain || r->flow.protocol != IPPROTO_TCP || r->tcp_flags & TCP_RST ||
	    r->place != FRAGMENT_NONE || (void *)(tcp + 1) > end)
		return XDP_DROP;
	if (is_from_many(eth, end) || is_martian(r)) {
		r->cause = CAUSE_dropped_martian;
		return XDP_DROP;
	}
	payload = ip_payload(r, l3) - tcp->doff * 4;
	if (have > size && bpf_xdp_adjust_tail(ctx, (int)size - (int)have))
		return XDP_DROP;
	end = (void *)(long)ctx->data_end;
	eth = (void *)(long)ctx->data;
	l3 = (void *)eth + (r->l2_size & 31);
	tcp = l3 + headers;
	if ((void *)(eth + 1) > end || (void *)(tcp + 1) > end)
		return XDP_DROP;
	copy_mac(own, eth->h_dest);
	turn_back(eth, own);
	reset_tcp(tcp, payload);
	if (r->version == 4)
		finish_ipv4(r, l3, tcp);
	else
		finish_ipv6(r, l3, tcp);
	r->cause = CAUSE_answered_reset;
	return XDP_TX;
}

#endif
