// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reclaims expired connection entries by a kernel timer, one container at a firing, with no process
 * of ours alive. Lookups honour expiry by themselves; the sweep only gives room back.
 *
 * `sweep_start` is run once by the loader. A timer goes on with the callback it was given, so a new
 * build of the blocks takes it over by running its own.
 */
#include "../constants.h"
#include "../lookup/connections.h"
#include "../maps.h"
#include <linux/errno.h>

#define PL_SWEEP_NEXT_NS (10 * 1000 * 1000ULL) /* between two containers of a round */
#define PL_SWEEP_ROUND_NS (10 * 1000 * 1000 * 1000ULL) /* between two rounds */
#define PL_CLOCK_MONOTONIC 1

struct pl_sweep_call {
	__u32 now;
	__u32 swept;
	__u32 endpoint;
};

static long pl_sweep_entry(void *map, const void *key, struct pl_connection *entry,
			   struct pl_sweep_call *call)
{
	if (pl_expired(entry->expires, call->now) && !bpf_map_delete_elem(map, key))
		call->swept++;
	return 0;
}

/* Stops at the first endpoint from `endpoint` on that has maps. */
static long pl_sweep_next(__u32 index, struct pl_sweep_call *call)
{
	__u32 endpoint = call->endpoint;

	if (endpoint >= PL_ENDPOINTS_MOST || bpf_map_lookup_elem(&all_established, &endpoint))
		return 1;
	call->endpoint++;
	return 0;
}

static int pl_sweep_fire(void *map, __u32 *key, struct pl_sweep *record)
{
	struct pl_sweep_call call = { .now = pl_now(), .endpoint = record->next };
	void *inner;

	bpf_loop(PL_ENDPOINTS_MOST, pl_sweep_next, &call, 0);
	if (call.endpoint >= PL_ENDPOINTS_MOST) {
		record->next = 0;
		bpf_timer_start(&record->timer, PL_SWEEP_ROUND_NS, 0);
		return 0;
	}
	inner = bpf_map_lookup_elem(&all_established, &call.endpoint);
	if (inner)
		bpf_for_each_map_elem(inner, pl_sweep_entry, &call, 0);
	inner = bpf_map_lookup_elem(&all_half_open, &call.endpoint);
	if (inner)
		bpf_for_each_map_elem(inner, pl_sweep_entry, &call, 0);
	inner = bpf_map_lookup_elem(&all_datagrams, &call.endpoint);
	if (inner)
		bpf_for_each_map_elem(inner, pl_sweep_entry, &call, 0);
	record->swept += call.swept;
	record->next = call.endpoint + 1;
	bpf_timer_start(&record->timer, PL_SWEEP_NEXT_NS, 0);
	return 0;
}

/* Answers 0 or an errno. */
SEC("tc")
int sweep_start(struct __sk_buff *skb)
{
	__u32 zero = 0;
	struct pl_sweep *record = bpf_map_lookup_elem(&sweep, &zero);
	long error;

	if (!record)
		return ENOENT;
	error = bpf_timer_init(&record->timer, &sweep, PL_CLOCK_MONOTONIC);
	/* Already made where a former build's is taken over. */
	if (error && error != -EBUSY)
		return -error;
	error = bpf_timer_set_callback(&record->timer, pl_sweep_fire);
	if (!error)
		error = bpf_timer_start(&record->timer, PL_SWEEP_NEXT_NS, 0);
	return -error;
}
