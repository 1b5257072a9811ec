/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Time, and what may be had so many times in a second. */
#ifndef SHUNT_BUDGET_H
#define SHUNT_BUDGET_H

#include "select.h"

#define NANOSECONDS 1000000000ULL

static __always_inline __u32 coarse_now(void)
{
	struct settings *s = get_settings();

	if (s && s->clock_stopped)
		return s->clock_offset / NANOSECONDS;
	return (bpf_ktime_get_coarse_ns() + (s ? s->clock_offset : 0)) / NANOSECONDS;
}

/* May one more of this kind be had in the second `now`, on this CPU? */
static __always_inline int spend(struct budget *budget, __u32 now, __u32 rate)
{
	if (budget->second != now) {
		budget->second = now;
		budget->used = 0;
	}
	if (budget->used >= rate) {
		budget->refused++;
		return 0;
	}
	budget->used++;
	budget->recorded++;
	return 1;
}

#endif
