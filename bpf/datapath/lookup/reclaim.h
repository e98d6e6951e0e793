/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Room for a new connection in a full map. One that has closed keeps its entry for what is still
 * under way, and that is worth less than a connection: so the quota is one of those that are open,
 * however fast they come and go.
 */
#ifndef PLUMBLINE_RECLAIM_H
#define PLUMBLINE_RECLAIM_H

#include "connections.h"

/* After a search no other is made on this CPU for one jiffy by so many entries that there are, and
 * longer where nothing was found. */
#define PL_RECLAIM_ENTRIES 1024
#define PL_RECLAIM_ENTRIES_IN_VAIN 256
/* The longest rest is that of a quota of 2^20, twice; what is further off is a number long past. */
#define PL_RECLAIM_REST 16384
/* Seconds for which a closed one is spared, and the part of all that others must be for it. */
#define PL_RECLAIM_SPARED_S 1
#define PL_RECLAIM_PART 8

struct pl_reclaim_call {
	__u32 now;
	__u32 before; /* closed ones that expire later are spared */
	__u32 seen;
	__u32 freed;
};

static long pl_reclaim_entry(void *map, const void *key, struct pl_connection *entry,
			     struct pl_reclaim_call *call)
{
	call->seen++;
	if (!pl_expired(entry->expires, call->now) &&
	    (!pl_is_closed(entry->word) || !pl_expired(entry->expires, call->before)))
		return 0;
	if (!bpf_map_delete_elem(map, key))
		call->freed++;
	return 0;
}

/*
 * 1 where established connections of an endpoint that have closed or expired were removed, else 0.
 * A full map is not searched at every packet: of what is truly open nothing is found.
 */
__noinline __weak int pl_reclaim(__u32 endpoint, __u32 now)
{
	struct pl_reclaim_call call = {
		.now = now,
		.before = now + (PL_EXPIRY_CLOSED_S - PL_RECLAIM_SPARED_S) * pl_hz,
	};
	void *inner = bpf_map_lookup_elem(&all_counters, &endpoint);
	struct pl_counters *row;
	__u32 zero = 0;

	row = inner ? bpf_map_lookup_elem(inner, &zero) : NULL;
	inner = bpf_map_lookup_elem(&all_established, &endpoint);
	if (!row || !inner || row->reclaim - now - 1 < PL_RECLAIM_REST)
		return 0;
	bpf_for_each_map_elem(inner, pl_reclaim_entry, &call, 0);
	if (call.freed <= call.seen / PL_RECLAIM_PART) {
		call.before = now + (PL_EXPIRY_CLOSED_S + 1) * pl_hz;
		bpf_for_each_map_elem(inner, pl_reclaim_entry, &call, 0);
	}
	row->reclaim =
		now + call.seen / (call.freed ? PL_RECLAIM_ENTRIES : PL_RECLAIM_ENTRIES_IN_VAIN);
	return call.freed > 0;
}

#endif
