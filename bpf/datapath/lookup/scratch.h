/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a tail call hands on. One record for each CPU serves, because a program and the blocks it
 * calls run to their end on one CPU with bottom halves off.
 */
#ifndef PLUMBLINE_SCRATCH_H
#define PLUMBLINE_SCRATCH_H

#include "../maps.h"

static __always_inline struct pl_scratch *pl_scratch_record(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&scratch, &zero);
}

#endif
