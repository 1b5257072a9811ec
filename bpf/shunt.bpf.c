/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The dispatcher's data plane: one XDP program.
 *
 *   frame -> parse -> for us? (ARP, solicitation, ping: answer) -> service -> slot -> server
 *         -> rewrite -> out
 *
 * Begin at dispatch(), below. Every packet ends under exactly one cause (abi.h).
 */
#include "forward.h"
#include "icmp.h"
#include "words.h"

#define TO_BE_FORWARDED -1 /* by the caller, so that two frames do not share the stack */

static __noinline int handle_icmp(struct xdp_md *ctx, struct packet *p, struct request *r,
				  struct port *port)
{
	struct icmp_header *icmp = p->l4;
	int is_error;
	__u32 flags;

	if (r->place == FRAGMENT_LATER)
		return refuse(r, CAUSE_dropped_icmp);
	if ((void *)(icmp + 1) > p->end)
		return refuse(r, CAUSE_dropped_malformed);
	if (r->version == 6 && icmp->type == ND_SOLICITATION)
		return answer_solicitation(ctx, p, r, port);
	if (r->version == 6 && icmp->type == ND_ADVERTISEMENT)
		return see_advertisement(p, r, port);
	flags = address_flags(r->flow.cluster);
	is_error = is_icmp_error(r->version, icmp->type);
	if (!(flags & ADDRESS_CLUSTER) && !is_error) /* an error may be for any cluster */
		return end(r, CAUSE_passed_not_ours, XDP_PASS);
	if (!same_mac(p->eth->h_dest, port->mac))
		return end(r, CAUSE_passed_other_mac, XDP_PASS);
	if (icmp->type == (r->version == 4 ? ICMP_ECHO_REQUEST : ICMPV6_ECHO_REQUEST) &&
	    !icmp->code && r->place == FRAGMENT_NONE && flags & ADDRESS_ACTIVE)
		return answer_ping(ctx, p, r);
	if (!is_error || parse_inner(ctx, p, r))
		return refuse(r, CAUSE_dropped_icmp);
	r->dry = 1;
	r->cause = CAUSE_forwarded_icmp_error;
	return TO_BE_FORWARDED;
}

static __always_inline int handle_transport(struct xdp_md *ctx, struct packet *p, struct request *r,
					    struct port *port)
{
	int cut;

	if (!same_mac(p->eth->h_dest, port->mac))
		return end(r, CAUSE_passed_other_mac, XDP_PASS);
	if (r->place == FRAGMENT_LATER)
		return forward_fragment(ctx, r);
	if (r->flow.protocol == IPPROTO_TCP)
		cut = parse_tcp(p, r);
	else if (r->flow.protocol == IPPROTO_UDP)
		cut = parse_udp(p, r);
	else
		return refuse(r, CAUSE_dropped_protocol);
	if (cut)
		return refuse(r, CAUSE_dropped_malformed);
	r->cause = CAUSE_forwarded;
	return forward(ctx, r);
}

/*
 * What is cut off before its addresses; or seems so, since the driver leaves the first buffer empty
 * where frames take several.
 */
static __noinline int pass_truncated(struct xdp_md *ctx, struct request *r)
{
	__u32 first = ctx->data_end - ctx->data;

	r->cause =
	    first < bpf_xdp_get_buff_len(ctx) ? CAUSE_passed_no_headers : CAUSE_passed_truncated;
	return XDP_PASS;
}

static __always_inline int handle_ip(struct xdp_md *ctx, struct packet *p, struct request *r,
				     struct port *port, int protocol)
{
	int verdict;

	if (protocol < 0)
		return pass_truncated(ctx, r);
	if (r->version == 6 && is_extension(protocol)) {
		protocol = parse_extensions(ctx, p, r);
		if (protocol < 0)
			return refuse(r, CAUSE_dropped_malformed);
	}
	if (protocol != (r->version == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6))
		return handle_transport(ctx, p, r, port);
	verdict = handle_icmp(ctx, p, r, port);
	return verdict == TO_BE_FORWARDED ? forward(ctx, r) : verdict;
}

static __always_inline int dispatch(struct xdp_md *ctx, struct request *r, __u32 ifindex)
{
	struct packet p = {.position = (void *)(long)ctx->data, .end = (void *)(long)ctx->data_end};
	struct port *port = bpf_map_lookup_elem(&ports, &ifindex);

	r->ingress = ifindex;
	if (!port || !port->enabled)
		return end(r, CAUSE_passed_unknown_port, XDP_PASS);

	switch (parse_ethernet(&p, r)) {
	case -1:
		return pass_truncated(ctx, r);
	case ETH_P_ARP:
		return answer_arp(&p, r, port);
	case ETH_P_IP:
		return handle_ip(ctx, &p, r, port, parse_ipv4(&p, r));
	case ETH_P_IPV6:
		return handle_ip(ctx, &p, r, port, parse_ipv6(&p, r));
	default:
		return end(r, CAUSE_passed_not_ip, XDP_PASS);
	}
}

SEC("xdp.frags")
int shunt(struct xdp_md *ctx)
{
	struct request r = {};
	int verdict = dispatch(ctx, &r, ctx->ingress_ifindex);

	count_cause(r.cause);
	return verdict;
}

static __always_inline void report(struct decision *decision, const struct request *r)
{
	struct member *member = NULL;

	*decision = (struct decision){
	    .hash = r->hash,
	    .cause = r->cause,
	    .reason = r->reason,
	    .service = r->service,
	    .slot = r->slot,
	    .state = r->state,
	    .member = r->matched ? r->member : SLOT_NONE,
	    .matched = r->matched,
	};
	if (r->matched && r->member != SLOT_NONE)
		member = find_member(r->index);
	if (member) {
		copy_mac(decision->mac, member->mac);
		decision->flags = member->flags;
	}
}

/* The same for one made packet: nothing is remembered or counted, the decision is reported. */
SEC("xdp.frags")
int shunt_trace(struct xdp_md *ctx)
{
	struct request r = {.dry = 1, .trace = 1};
	__u32 zero = 0;
	struct settings *now = get_settings();
	int verdict = dispatch(ctx, &r, now ? now->trace_ifindex : 0);
	struct decision *decision = bpf_map_lookup_elem(&decisions, &zero);

	if (decision)
		report(decision, &r);
	return verdict;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
