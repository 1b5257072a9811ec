/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Service, slot, server, out: the main way of a request. */
#ifndef SHUNT_FORWARD_H
#define SHUNT_FORWARD_H

#include "fragment.h"
#include "send.h"

static __always_inline int end(struct request *r, __u32 cause, int verdict)
{
	r->cause = cause;
	return verdict;
}

/* What is for no service is dropped for `cause` if it is for a cluster address, else the host's. */
static __noinline int refuse(struct request *r, __u32 cause)
{
	if (address_flags(r->flow.cluster) & ADDRESS_CLUSTER)
		return end(r, cause, XDP_DROP);
	return end(r, CAUSE_passed_not_ours, XDP_PASS);
}

static __always_inline int has_reset(const struct request *r, const struct service *service)
{
	return service->flags & SERVICE_RESET && r->flow.protocol == IPPROTO_TCP &&
	       r->cause == CAUSE_forwarded;
}

/* r->cause is what success counts as: a request forwarded, or an ICMP error. */
__noinline int forward(struct xdp_md *ctx, struct request *r)
{
	struct service *service;

	if (!r)
		return XDP_DROP;
	service = find_service(r);
	if (!service) {
		r->matched = 0;
		return refuse(r, r->cause == CAUSE_forwarded ? CAUSE_dropped_no_service
							     : CAUSE_dropped_icmp);
	}
	choose_member(r, service);
	r->service = service->number;
	r->index = service->members_base + r->member;
	if (r->member == SLOT_NONE)
		return has_reset(r, service) ? answer_reset(ctx, r)
					     : end(r, CAUSE_dropped_no_server, XDP_DROP);
	if (r->place == FRAGMENT_FIRST && !r->dry)
		remember_fragment(r);
	return send(ctx, r);
}

__noinline int forward_fragment(struct xdp_md *ctx, struct request *r)
{
	if (!r)
		return XDP_DROP;
	if (follow_fragment(r))
		return refuse(r, CAUSE_dropped_early_fragment);
	r->reason = REASON_first_fragment;
	r->cause = CAUSE_forwarded_fragment;
	r->tcp_flags = TCP_ACK;
	return send(ctx, r);
}

#endif
