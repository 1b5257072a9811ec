/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The maps. Sizes marked "set at load" are the loader's; the figure here is the least. */
#ifndef SHUNT_MAPS_H
#define SHUNT_MAPS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "abi.h"

/* Which abi.h the pinned maps were made by: compared before another release takes them over. */
const volatile __u32 abi_version = SHUNT_ABI_VERSION;

/* Key of the flow hash; the same on every start, so that flows keep their slots. */
const volatile __u64 hash_key[2] = {0, 0};

#define MAP(kind, entries, key_type, value_type, map_name)                                         \
	struct {                                                                                   \
		__uint(type, kind);                                                                \
		__uint(max_entries, entries);                                                      \
		__type(key, key_type);                                                             \
		__type(value, value_type);                                                         \
	} map_name SEC(".maps")

#define MAPPED_ARRAY(entries, value_type, map_name)                                                \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_ARRAY);                                                  \
		__uint(map_flags, BPF_F_MMAPABLE);                                                 \
		__uint(max_entries, entries);                                                      \
		__type(key, __u32);                                                                \
		__type(value, value_type);                                                         \
	} map_name SEC(".maps")

/* Written by the control plane, read by the program. */
MAP(BPF_MAP_TYPE_HASH, 65536, struct service4_key, struct service, services4);
MAP(BPF_MAP_TYPE_HASH, 65536, struct service6_key, struct service, services6);
MAP(BPF_MAP_TYPE_HASH, 65536, struct address, __u32, addresses);
MAPPED_ARRAY(512, struct slot_pair, slots); /* set at load */
MAPPED_ARRAY(1024, struct sight, sights);   /* set at load; like slots */
MAPPED_ARRAY(1024, struct member, members); /* set at load */
MAPPED_ARRAY(1, struct settings, settings);
MAP(BPF_MAP_TYPE_ARRAY, 256, __u32, struct port, ports); /* set at load */
MAP(BPF_MAP_TYPE_DEVMAP_HASH, 256, __u32, __u32, devices);

/* Written by the program, read and swept by the control plane. LRU maps are sized at load. */
MAP(BPF_MAP_TYPE_LRU_HASH, 1024, struct flow_key, struct flow, flows);
MAP(BPF_MAP_TYPE_LRU_HASH, 65536, struct flow_key, struct flow, newcomers);
MAP(BPF_MAP_TYPE_LRU_HASH, 1024, struct affinity_key, struct affinity, affinities);
MAP(BPF_MAP_TYPE_LRU_HASH, 8192, struct fragment_key, struct fragment, fragments);
MAP(BPF_MAP_TYPE_PERCPU_ARRAY, 1024, __u32, struct tally, tallies); /* set at load; like members */
MAP(BPF_MAP_TYPE_PERCPU_ARRAY, CAUSES, __u32, __u64, causes);
MAP(BPF_MAP_TYPE_PERCPU_ARRAY, BUDGETS, __u32, struct budget, budgets);
MAP(BPF_MAP_TYPE_ARRAY, 1, __u32, struct decision, decisions);

#endif
