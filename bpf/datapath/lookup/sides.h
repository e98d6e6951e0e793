/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The connection maps of one container, and its view of a flow. The judge holds the side of the
 * container whose program ran, and of a local pair also the peer's.
 */
#ifndef PLUMBLINE_SIDES_H
#define PLUMBLINE_SIDES_H

#include "connections.h"

struct pl_side {
	void *established; /* NULL: the container has no maps in the registry */
	void *half_open;
	void *datagrams;
	struct pl_flow key;
	__u32 own_fold;
	__u32 expiry_s; /* of an entry that is made now */
};

/* Takes the maps of an endpoint. False where one is missing. */
static __always_inline bool pl_take_maps(struct pl_side *side, __u32 endpoint)
{
	side->established = bpf_map_lookup_elem(&all_established, &endpoint);
	side->half_open = bpf_map_lookup_elem(&all_half_open, &endpoint);
	side->datagrams = bpf_map_lookup_elem(&all_datagrams, &endpoint);
	return side->established && side->half_open && side->datagrams;
}

/* The other end's view of a flow: its peer is `own`, and the ports change places. */
static __always_inline void pl_mirror(struct pl_flow *to, const struct pl_flow *from,
				      const __u8 *own)
{
	pl_copy16(to->peer, own);
	to->peer_port = from->own_port;
	to->own_port = from->peer_port;
	to->protocol = from->protocol;
	to->family = from->family;
	to->kind = from->kind;
	to->unused = 0;
}

/* The other end's view of a word: who began and who has finished change places. */
static __always_inline __u64 pl_mirror_word(__u64 word)
{
	__u64 fins = (word & PL_WORD_FIN_OUT) << 1 | (word & PL_WORD_FIN_IN) >> 1;

	word &= ~(PL_WORD_FIN_OUT | PL_WORD_FIN_IN | PL_WORD_TAG | PL_WORD_ENDPOINT);
	return (word ^ PL_WORD_INITIATOR) | fins;
}

/* A live entry of a side; one that is dead, or of an own address long gone, is removed. */
static __always_inline struct pl_connection *pl_find(void *map, struct pl_side *side, __u32 now)
{
	struct pl_connection *entry;

	if (!map)
		return NULL;
	entry = bpf_map_lookup_elem(map, &side->key);
	if (!entry)
		return NULL;
	if (((entry->word ^ pl_tag(&side->key, side->own_fold)) & PL_WORD_TAG) ||
	    pl_expired(entry->expires, now)) {
		bpf_map_delete_elem(map, &side->key);
		return NULL;
	}
	return entry;
}

/* Makes an entry, never over another. False where the map is full. */
static __always_inline bool pl_make(void *map, struct pl_side *side,
				    const struct pl_connection *like, __u64 word, __u32 ingress,
				    __u32 expires)
{
	struct pl_connection entry = {
		.word = (word & ~PL_WORD_TAG) | pl_tag(&side->key, side->own_fold),
		.expires = expires,
		.ingress = ingress,
	};
	long error;

	if (!map)
		return false;
	if (like) {
		entry.acknowledges = like->acknowledges;
		entry.answered = like->answered;
	}
	error = bpf_map_update_elem(map, &side->key, &entry, BPF_NOEXIST);
	return !error || error == -17 /* EEXIST: another CPU was first */;
}

static __always_inline void pl_erase(void *map, struct pl_side *side)
{
	if (map)
		bpf_map_delete_elem(map, &side->key);
}

/* Forgets a flow wherever it stands. */
static __always_inline void pl_forget(struct pl_side *side)
{
	if (side->key.protocol == IPPROTO_TCP) {
		pl_erase(side->established, side);
		pl_erase(side->half_open, side);
	} else {
		pl_erase(side->datagrams, side);
	}
}

/*
 * Changes bits of an entry's word as a whole: clears, then sets. 0 where the element has gone to
 * another flow, or others were always faster, else 1. A global function, so that the verifier walks
 * it once.
 */
__noinline __weak int pl_change(struct pl_connection *entry, __u64 tag, __u64 clear, __u64 set)
{
	if (!entry)
		return 0;
	for (int i = 0; i < 8; i++) {
		__u64 old = *(volatile __u64 *)&entry->word;
		__u64 new = (old & ~clear) | set;

		if ((old ^ tag) & PL_WORD_TAG)
			return 0;
		if (old == new || __sync_val_compare_and_swap(&entry->word, old, new) == old)
			return 1;
	}
	return 0;
}

#endif
