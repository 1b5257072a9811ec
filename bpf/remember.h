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

#include "select.h"

#define NANOSECONDS 1000000000ULL

/* What tracking (track.h) is asked. A copy of all that it needs, without pointers. */
struct question {
	struct flow_key flow;
	struct service service;
	__u64 hash;
	__u32 slot;	   /* index into slots */
	struct slot state; /* of the slot, read once */
	__u32 now;	   /* coarse clock, seconds */
	__u8 tcp_flags;
	__u8 dry;     /* nothing may be written: a trace, or an ICMP error about the flow */
	__u16 member; /* the answer: local number, or SLOT_NONE */
	__u16 reason; /* enum reason */
	__u8 zero[6];
};

static __always_inline __u32 coarse_now(void)
{
	struct settings *s = get_settings();

	return (bpf_ktime_get_coarse_ns() + (s ? s->clock_offset : 0)) / NANOSECONDS;
}

/* Seconds since `then`; less than 0 if another CPU, whose second came earlier, has written it. */
static __always_inline __s32 since(const struct question *q, __u32 then)
{
	return q->now - then;
}

static __always_inline __u16 member_flags(const struct question *q, __u16 local)
{
	__u32 index = q->service.members_base + local;
	struct member *member = local == SLOT_NONE ? NULL : bpf_map_lookup_elem(&members, &index);

	return member ? member->flags : MEMBER_MOVE;
}

static __always_inline int is_new_connection(__u8 protocol, __u8 tcp_flags)
{
	return protocol == IPPROTO_TCP && (tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
}

static __always_inline int is_new(const struct question *q)
{
	return is_new_connection(q->flow.protocol, q->tcp_flags);
}

/* May one more of this kind be remembered now? */
static __always_inline int take_budget(const struct question *q, __u32 kind)
{
	struct settings *s = get_settings();
	struct budget *budget = bpf_map_lookup_elem(&budgets, &kind);

	if (!s || !budget)
		return 0;
	if (budget->second != q->now) {
		budget->second = q->now;
		budget->used = 0;
	}
	if (budget->used >= s->exceptions_rate) {
		budget->refused++;
		return 0;
	}
	budget->used++;
	budget->recorded++;
	return 1;
}

/*
 * Remember the flow on `local`; 0 if it may not be, and then it must do without. `badly`: it
 * cannot do without, and is a newcomer at least.
 */
static __noinline int record_flow(struct question *q, __u16 local, int badly)
{
	struct settings *s = get_settings();
	struct flow flow = {.service = q->service.number,
			    .hash = q->hash,
			    .seen = q->now,
			    .member = local,
			    .closed = !!(q->tcp_flags & (TCP_FIN | TCP_RST))};

	if (q->dry)
		return 1;
	if (local == SLOT_NONE)
		return 0;
	if (take_budget(q, BUDGET_FLOWS) && !bpf_map_update_elem(&flows, &q->flow, &flow, BPF_ANY))
		return 1;
	if (!badly || !s)
		return 0;
	if (s->newcomers != q->now)
		s->newcomers = q->now;
	return !bpf_map_update_elem(&newcomers, &q->flow, &flow, BPF_ANY);
}

static __noinline int forget_flow(struct question *q)
{
	if (q->dry)
		return 0;
	bpf_map_delete_elem(&flows, &q->flow);
	bpf_map_delete_elem(&newcomers, &q->flow);
	return 0;
}

/* A newcomer that speaks again becomes an exception, if it may. */
static __always_inline struct flow *find_newcomer(struct question *q)
{
	struct settings *s = get_settings();
	struct flow *flow;

	if (!s || !s->newcomers) /* as always, but after a flood while a server was to be avoided */
		return NULL;
	flow = bpf_map_lookup_elem(&newcomers, &q->flow);
	if (flow && !q->dry && !is_new(q) && take_budget(q, BUDGET_NEWCOMERS)) {
		struct flow settled_in = *flow;

		if (!bpf_map_update_elem(&flows, &q->flow, &settled_in, BPF_ANY))
			bpf_map_delete_elem(&newcomers, &q->flow);
	}
	return flow;
}

#endif
