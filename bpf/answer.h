/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What the program answers itself, in the received frame: ARP (RFC 826), neighbour solicitations
 * (RFC 4861, section 7.2) and pings for the cluster addresses. The host's kernel never holds them.
 * Every function returns the XDP verdict and sets the cause.
 */
#ifndef SHUNT_ANSWER_H
#define SHUNT_ANSWER_H

#include "budget.h"
#include "sound.h"

#define ND_SOLICITATION	  135
#define ND_ADVERTISEMENT  136
#define ND_TARGET_ADDRESS 2
#define NA_SOLICITED	  0x40000000
#define NA_OVERRIDE	  0x20000000

#define ARP_ETHERNET	  1
#define ARP_REQUEST	  1
#define ARP_REPLY	  2
#define ICMP_ECHO_REPLY	  0
#define ICMP_ECHO_REQUEST 8

#define ANSWER_TTL 64

struct arp_ipv4 {
	__be16 hardware;
	__be16 protocol;
	__u8 hardware_size;
	__u8 protocol_size;
	__be16 operation;
	__u8 sender_mac[6];
	__be32 sender;
	__u8 target_mac[6];
	__be32 target;
} __attribute__((packed));

struct icmp_header { /* what ICMP and ICMPv6 have in common */
	__u8 type;
	__u8 code;
	__sum16 checksum;
	__be32 rest;
};

struct solicitation {
	struct icmp6hdr icmp;
	struct in6_addr target;
	struct {
		__u8 type;
		__u8 length; /* in 8 bytes */
		__u8 mac[6];
	} option;
};

#define BARE_SOLICITATION (sizeof(struct icmp6hdr) + sizeof(struct in6_addr))

static __always_inline void copy_mac(__u8 *to, const __u8 *from)
{
	__builtin_memcpy(to, from, 6);
}

static __always_inline int same_mac(const __u8 *a, const __u8 *b)
{
	const __u16 *x = (const __u16 *)a, *y = (const __u16 *)b;

	return x[0] == y[0] && x[1] == y[1] && x[2] == y[2];
}

/* Switches flood what is for other machines, and a NIC may let it in; only they may answer. */
static __always_inline int is_for_us(const struct ethhdr *eth, const struct port *port)
{
	return eth->h_dest[0] & 1 || same_mac(eth->h_dest, port->mac);
}

static __always_inline void turn_back(struct ethhdr *eth, const __u8 *own)
{
	copy_mac(eth->h_dest, eth->h_source);
	copy_mac(eth->h_source, own);
}

static __noinline int answer_arp(struct packet *p, struct request *r, struct port *port)
{
	struct arp_ipv4 *arp = p->l3;
	struct address target, sender;
	__u32 senders;

	r->cause = CAUSE_passed_arp;
	if ((void *)(arp + 1) > p->end || arp->hardware != bpf_htons(ARP_ETHERNET) ||
	    arp->protocol != bpf_htons(ETH_P_IP) || arp->hardware_size != 6 ||
	    arp->protocol_size != 4)
		return XDP_PASS;
	sender = mapped(arp->sender);
	senders = address_flags(sender);
	if (senders & ADDRESS_CLUSTER && !same_mac(arp->sender_mac, port->mac)) {
		r->cause = CAUSE_passed_claim;
		return XDP_PASS;
	}
	target = mapped(arp->target);
	if (arp->operation != bpf_htons(ARP_REQUEST) || !(address_flags(target) & ADDRESS_ACTIVE))
		return XDP_PASS;
	if (!is_for_us(p->eth, port)) {
		r->cause = CAUSE_passed_other_mac;
		return XDP_PASS;
	}
	if (is_from_many(p->eth, p->end) || arp->sender_mac[0] & 1 || senders & ADDRESS_BROADCAST ||
	    (arp->sender && is_martian4(arp->sender))) { /* a probe has none (RFC 5227) */
		r->cause = CAUSE_dropped_martian;
		return XDP_DROP;
	}
	turn_back(p->eth, port->mac);
	arp->operation = bpf_htons(ARP_REPLY);
	copy_mac(arp->target_mac, arp->sender_mac);
	arp->target = arp->sender;
	copy_mac(arp->sender_mac, port->mac);
	arp->sender = unmapped(&target);
	r->cause = CAUSE_answered_arp;
	return XDP_TX;
}

/* Duplicate address detection asks without a link-layer option: make room for ours. */
static __always_inline int grow_solicitation(struct xdp_md *ctx, struct packet *p,
					     struct request *r)
{
	int have = p->end - p->l4 - (int)BARE_SOLICITATION;

	if (have < 8 && bpf_xdp_adjust_tail(ctx, 8 - have))
		return -1;
	p->eth = (void *)(long)ctx->data;
	p->end = (void *)(long)ctx->data_end;
	p->l3 = (void *)p->eth + (r->l2_size & 31);
	p->l4 = p->l3 + sizeof(struct ipv6hdr);
	return 0;
}

static __noinline int answer_solicitation(struct xdp_md *ctx, struct packet *p, struct request *r,
					  struct port *port)
{
	struct solicitation *nd = p->l4;
	struct ipv6hdr *ip = p->l3;
	struct address target;
	__u32 flaw;
	int anonymous;

	r->cause = CAUSE_passed_not_ours;
	if ((void *)nd + BARE_SOLICITATION > p->end || !r->plain || ip->hop_limit != 255 ||
	    nd->icmp.icmp6_code || bpf_ntohs(ip->payload_len) < BARE_SOLICITATION)
		return XDP_PASS;
	target = load_address(&nd->target);
	if (!(address_flags(target) & ADDRESS_ACTIVE))
		return XDP_PASS;
	if (!is_for_us(p->eth, port)) {
		r->cause = CAUSE_passed_other_mac;
		return XDP_PASS;
	}
	if (address_flags(r->flow.client) & ADDRESS_CLUSTER &&
	    !same_mac(p->eth->h_source, port->mac)) {
		r->cause = CAUSE_passed_claim;
		return XDP_PASS;
	}
	flaw = solicitation_flaw(ctx, p, r, &target, BARE_SOLICITATION);
	if (flaw) {
		r->cause = flaw;
		return XDP_DROP;
	}
	if (grow_solicitation(ctx, p, r))
		return XDP_PASS;
	nd = p->l4;
	ip = p->l3;
	if ((void *)(p->eth + 1) > p->end || (void *)(nd + 1) > p->end || (void *)(ip + 1) > p->end)
		return XDP_DROP;
	anonymous = !r->flow.client.halves[0] && !r->flow.client.halves[1];
	turn_back(p->eth, port->mac);
	ip->daddr = ip->saddr;
	if (anonymous) { /* RFC 4861, section 7.2.4: to all nodes, not solicited */
		static const __u8 all_nodes[6] = {0x33, 0x33, 0, 0, 0, 1};

		copy_mac(p->eth->h_dest, all_nodes);
		ip->daddr = (struct in6_addr){
		    .in6_u.u6_addr32 = {bpf_htonl(0xff020000), 0, 0, bpf_htonl(1)}};
	}
	__builtin_memcpy(&ip->saddr, &target, sizeof(target));
	ip->payload_len = bpf_htons(sizeof(*nd));
	nd->icmp.icmp6_type = ND_ADVERTISEMENT;
	nd->icmp.icmp6_dataun.un_data32[0] =
	    bpf_htonl(anonymous ? NA_OVERRIDE : NA_SOLICITED | NA_OVERRIDE);
	nd->option.type = ND_TARGET_ADDRESS;
	nd->option.length = 1;
	copy_mac(nd->option.mac, port->mac);
	nd->icmp.icmp6_cksum = 0;
	nd->icmp.icmp6_cksum =
	    fold(sum_pseudo6(ip, sizeof(*nd), IPPROTO_ICMPV6) + sum_bytes(nd, sizeof(*nd)));
	r->cause = CAUSE_answered_nd;
	return XDP_TX;
}

/* Another machine advertises a cluster address as its own. */
static __noinline int see_advertisement(struct packet *p, struct request *r, struct port *port)
{
	struct solicitation *nd = p->l4;
	struct ipv6hdr *ip = p->l3;
	struct address target;

	r->cause = CAUSE_passed_not_ours;
	if ((void *)nd + BARE_SOLICITATION > p->end || ip->hop_limit != 255)
		return XDP_PASS;
	target = load_address(&nd->target);
	if (address_flags(target) & ADDRESS_CLUSTER && !same_mac(p->eth->h_source, port->mac))
		r->cause = CAUSE_passed_claim;
	return XDP_PASS;
}

static __always_inline int may_answer_ping(struct request *r)
{
	__u32 kind = BUDGET_PINGS;
	struct budget *budget = bpf_map_lookup_elem(&budgets, &kind);

	return r->trace || (budget && spend(budget, coarse_now(), PINGS_RATE));
}

/* A ping: only two words change but for the addresses, and those, swapped, keep the sums. */
static __always_inline int answer_ping(struct xdp_md *ctx, struct packet *p, struct request *r)
{
	struct icmp_header *icmp = p->l4;
	struct ethhdr *eth = p->eth;
	__u8 own[6];
	__u16 old, new;

	r->cause = ping_flaw(ctx, p, r);
	if (r->cause)
		return XDP_DROP;
	if (!may_answer_ping(r)) {
		r->cause = CAUSE_dropped_ping_rate;
		return XDP_DROP;
	}
	copy_mac(own, eth->h_dest);
	turn_back(eth, own);
	if (r->version == 4) {
		struct iphdr *ip = p->l3;

		if ((void *)(ip + 1) > p->end)
			return XDP_DROP;
		ip->saddr = unmapped(&r->flow.cluster);
		ip->daddr = unmapped(&r->flow.client);
		old = *(__u16 *)&ip->ttl;
		ip->ttl = ANSWER_TTL;
		ip->check = replace_word(ip->check, old, *(__u16 *)&ip->ttl);
		new = bpf_htons(ICMP_ECHO_REPLY << 8);
	} else {
		struct ipv6hdr *ip = p->l3;

		if ((void *)(ip + 1) > p->end)
			return XDP_DROP;
		__builtin_memcpy(&ip->saddr, &r->flow.cluster, sizeof(ip->saddr));
		__builtin_memcpy(&ip->daddr, &r->flow.client, sizeof(ip->daddr));
		ip->hop_limit = ANSWER_TTL;
		new = bpf_htons(ICMPV6_ECHO_REPLY << 8);
	}
	old = *(__u16 *)icmp;
	*(__u16 *)icmp = new;
	icmp->checksum = replace_word(icmp->checksum, old, new);
	r->cause = CAUSE_answered_ping;
	return XDP_TX;
}

#endif
