/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Every map: what it holds, who writes it. All are pinned; those that are one for each slot are
 * arrays of two inner maps, so a slot that is not live can get a freshly built, larger map.
 */
#ifndef PLUMBLINE_MAPS_H
#define PLUMBLINE_MAPS_H

#include "plumbline.h"
#include "types.h"
#include <bpf/bpf_helpers.h>

/* The commit record. Written by the loader's one store, read once by each packet. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, __u64);
} commit SEC(".maps") __weak;

/* What each slot was made from. The loader's alone. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct pl_slot);
} slots SEC(".maps") __weak;

/* ---- By slot. Written by the loader while the slot is not live. ---- */

struct pl_inner_addresses_v4 {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 1024);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct pl_prefix_v4);
	__type(value, struct pl_address);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, __u32);
	__array(values, struct pl_inner_addresses_v4);
} addresses_v4 SEC(".maps") __weak;

struct pl_inner_addresses_v6 {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 1024);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct pl_prefix_v6);
	__type(value, struct pl_address);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, __u32);
	__array(values, struct pl_inner_addresses_v6);
} addresses_v6 SEC(".maps") __weak;

/* Interface index to endpoint index. */
struct pl_inner_interfaces {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, __u32);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, __u32);
	__array(values, struct pl_inner_interfaces);
} interfaces SEC(".maps") __weak;

/* Of one size, so that the JIT inlines the lookup. */
struct pl_inner_endpoints {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PL_ENDPOINTS_MOST);
	__type(key, __u32);
	__type(value, struct pl_endpoint);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, __u32);
	__array(values, struct pl_inner_endpoints);
} endpoints SEC(".maps") __weak;

struct pl_inner_policy {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct pl_policy_key);
	__type(value, __u64); /* ruleset */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, __u32);
	__array(values, struct pl_inner_policy);
} policy SEC(".maps") __weak;

struct pl_inner_rulesets {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 1024);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct pl_port_key);
	__type(value, __u64); /* rule */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, __u32);
	__array(values, struct pl_inner_rulesets);
} rulesets SEC(".maps") __weak;

/* ---- By container: its programs' own, and in a registry by endpoint for shared blocks. ---- */

/* Established TCP: allocates on demand, its size is the container's quota. */
struct pl_inner_established {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct pl_flow);
	__type(value, struct pl_connection);
};

/* Half-open TCP. */
struct pl_inner_half_open {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, PL_HALF_OPEN_MOST);
	__type(key, struct pl_flow);
	__type(value, struct pl_connection);
};

/* Everything else, the fragments under way, and who began what passed unjudged. */
struct pl_inner_datagrams {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, PL_DATAGRAMS_MOST);
	__type(key, struct pl_flow);
	__type(value, struct pl_connection);
};

struct pl_inner_counters {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct pl_counters);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, PL_ENDPOINTS_MOST);
	__type(key, __u32);
	__array(values, struct pl_inner_established);
} all_established SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, PL_ENDPOINTS_MOST);
	__type(key, __u32);
	__array(values, struct pl_inner_half_open);
} all_half_open SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, PL_ENDPOINTS_MOST);
	__type(key, __u32);
	__array(values, struct pl_inner_datagrams);
} all_datagrams SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, PL_ENDPOINTS_MOST);
	__type(key, __u32);
	__array(values, struct pl_inner_counters);
} all_counters SEC(".maps") __weak;

struct pl_inner_established established SEC(".maps") __weak;
struct pl_inner_half_open half_open SEC(".maps") __weak;
struct pl_inner_datagrams datagrams SEC(".maps") __weak;
struct pl_inner_counters counters SEC(".maps") __weak;

/* ---- The machinery. ---- */

/* The blocks. Never changed while a program can reach it; pinned, for the kernel empties it with
 * its last user reference. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, PL_BLOCKS);
	__type(key, __u32);
	__type(value, __u32);
} blocks SEC(".maps") __weak;

/* What a tail call hands on. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct pl_scratch);
} scratch SEC(".maps") __weak;

/* The kernel timer that reclaims, and where it is. Written by the sweep block alone. */
struct pl_sweep {
	struct bpf_timer timer;
	__u32 next; /* endpoint to sweep at the next firing */
	__u32 swept; /* entries reclaimed so far, for `status` */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct pl_sweep);
} sweep SEC(".maps") __weak;

/* An update of an array of maps waits for a grace period: the loader's barrier. */
struct pl_inner_barrier {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct pl_inner_barrier);
} barrier SEC(".maps") __weak;

#endif
