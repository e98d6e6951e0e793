/* SPDX-License-Identifier: GPL-2.0-only */
/* A drop is always counted, for the container and by its reason. */
#ifndef PLUMBLINE_DROP_H
#define PLUMBLINE_DROP_H

#include "../maps.h"
#include <linux/pkt_cls.h>

static __always_inline int pl_count(struct pl_counters *row, enum pl_reason reason)
{
	if (row && reason < PL_REASONS_MOST)
		row->drops[reason]++;
	return TC_ACT_SHOT;
}

/* In a container's own program. */
static __always_inline int pl_drop(enum pl_reason reason)
{
	__u32 zero = 0;

	return pl_count(bpf_map_lookup_elem(&counters, &zero), reason);
}

/* In a shared block. */
static __always_inline int pl_drop_at(__u32 endpoint, enum pl_reason reason)
{
	void *inner = bpf_map_lookup_elem(&all_counters, &endpoint);
	__u32 zero = 0;

	return inner ? pl_count(bpf_map_lookup_elem(inner, &zero), reason) : TC_ACT_SHOT;
}

#endif
