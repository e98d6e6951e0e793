/* SPDX-License-Identifier: GPL-2.0-only */
/* The commit record: read once by each packet, at entry, and used to its end. */
#ifndef PLUMBLINE_COMMIT_H
#define PLUMBLINE_COMMIT_H

#include "../maps.h"

/* generation << 1 | slot, by one aligned load. 0, before the first commit, where it is missing. */
static __always_inline __u64 pl_read_commit(void)
{
	__u32 zero = 0;
	__u64 *word = bpf_map_lookup_elem(&commit, &zero);

	return word ? *(volatile __u64 *)word : 0;
}

static __always_inline __u32 pl_slot_of(__u64 commit_word)
{
	return commit_word & 1;
}

/* The part of the generation that entries cache. */
static __always_inline __u64 pl_generation_of(__u64 commit_word)
{
	return (commit_word >> 1) & PL_WORD_GENERATION;
}

#endif
