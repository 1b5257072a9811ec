/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What is remembered of single flows: exceptions, and newcomers.
 *
 * An exception is a flow that must not follow its slot. New ones are admitted at a limited rate, or
 * a flood of new flows would push live ones out of the LRU map. What is beyond the rate goes where
 * unknown flows go, and so needs no memory. Only where that would be wrong, since it is a server to
 * be avoided, the flow is remembered as a newcomer, in a map that the flood may have: with its next
 * packet, which made-up clients do not send, it becomes an exception.
 */
#ifndef SHUNT_REMEMBER_H
#define SHUNT_REMEMBER_H

#include "budget.h"

/* Seconds since `then`; less than 0 if another CPU, whose second came earlier, has written it. */
static __always_inline __s32 since(const struct request *r, __u32 then)
{
	return r->now - then;
}

static __always_inline __u16 member_flags(const struct service *service, __u16 local)
{
	struct member *member = NULL;

	if (local != SLOT_NONE)
		member = find_member(service->members_base + local);
	return member ? member->flags : MEMBER_MOVE;
}

static __always_inline int is_new_connection(__u8 protocol, __u8 tcp_flags)
{
	return protocol == IPPROTO_TCP && (tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
}

static __always_inline int is_new(const struct request *r)
{
	return is_new_connection(r->flow.protocol, r->tcp_flags);
}

/* May one more of this kind be remembered now? Who writes nothing spends nothing. */
static __always_inline int take_budget(const struct request *r, __u32 kind)
{
	struct settings *s = get_settings();
	struct budget *budget = bpf_map_lookup_elem(&budgets, &kind);

	if (!s || !budget)
		return 0;
	if (r->dry)
		return (budget->second == r->now ? budget->used : 0) < s->exceptions_rate;
	return spend(budget, r->now, s->exceptions_rate);
}

/*
 * Remember the flow on `local`; 0 if it may not be, and then it must do without. `badly`: it
 * cannot do without, and is a newcomer at least.
 */
static __noinline int record_flow(const struct request *r, const struct service *service,
				  __u16 local, int badly)
{
	struct settings *s = get_settings();
	struct flow_key key = r->flow;
	struct flow flow = {.service = service->number,
			    .hash = r->hash,
			    .seen = r->now,
			    .member = local,
			    .closed = !!(r->tcp_flags & (TCP_FIN | TCP_RST))};

	if (local == SLOT_NONE)
		return 0;
	if (take_budget(r, BUDGET_FLOWS) &&
	    (r->dry || !bpf_map_update_elem(&flows, &key, &flow, BPF_ANY)))
		return 1;
	if (!badly || !s)
		return 0;
	if (r->dry)
		return 1;
	if (s->newcomers != r->now)
		s->newcomers = r->now;
	return !bpf_map_update_elem(&newcomers, &key, &flow, BPF_ANY);
}

static __noinline int forget_flow(const struct request *r)
{
	struct flow_key key = r->flow;

	if (r->dry)
		return 0;
	bpf_map_delete_elem(&flows, &key);
	bpf_map_delete_elem(&newcomers, &key);
	return 0;
}

/*
 * A newcomer that speaks again becomes an exception, if it may. What is returned is the entry that
 * is left: the other one may be another flow's by now.
 */
static __noinline struct flow *find_newcomer(const struct request *r)
{
	struct settings *s = get_settings();
	struct flow_key key = r->flow;
	struct flow *flow;

	if (!s || !s->newcomers) /* as always, but after a flood while a server was to be avoided */
		return NULL;
	flow = bpf_map_lookup_elem(&newcomers, &key);
	if (flow && !r->dry && !is_new(r) && take_budget(r, BUDGET_NEWCOMERS)) {
		struct flow settled_in = *flow;

		if (!bpf_map_update_elem(&flows, &key, &settled_in, BPF_ANY)) {
			bpf_map_delete_elem(&newcomers, &key);
			return bpf_map_lookup_elem(&flows, &key);
		}
	}
	return flow;
}

/* A function for the sake of the stack: what the key takes of it is given back at once. */
static __noinline struct flow *find_exception(const struct request *r)
{
	struct flow_key key = r->flow;

	return bpf_map_lookup_elem(&flows, &key);
}

/* What is remembered of this flow in this service; one that is gone hides none. */
static __always_inline int is_flow_of(const struct flow *flow, const struct service *service)
{
	return flow->service == service->number ||
	       (service->before && flow->service == service->before);
}

static __always_inline struct flow *find_flow(const struct request *r,
					      const struct service *service)
{
	struct flow *flow = find_exception(r);

	if (!flow || !is_flow_of(flow, service))
		flow = find_newcomer(r);
	return flow && is_flow_of(flow, service) ? flow : NULL;
}

#endif
