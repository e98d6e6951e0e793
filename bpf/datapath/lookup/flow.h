/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What becomes of a flow's entries: found on one side or both, judged again under a new
 * generation, made, promoted, closed, forgotten.
 */
#ifndef PLUMBLINE_FLOW_H
#define PLUMBLINE_FLOW_H

#include "case.h"
#include "reclaim.h"

/* An entry and the map that holds it. */
struct pl_found {
	struct pl_connection *entry; /* NULL: none */
	void *map;
	__u8 half_open;
};

static __always_inline void pl_look(struct pl_found *found, struct pl_side *side, __u32 now)
{
	found->half_open = 0;
	if (side->key.protocol != IPPROTO_TCP) {
		found->map = side->datagrams;
		found->entry = pl_find(found->map, side, now);
		return;
	}
	found->map = side->established;
	found->entry = pl_find(found->map, side, now);
	if (found->entry)
		return;
	found->half_open = 1;
	found->map = side->half_open;
	found->entry = pl_find(found->map, side, now);
}

/*
 * The case's entry. Where the container's own side has none but its peer's has, the own one is
 * made again from it: a flow that only one end sends on must not die at the other.
 */
static __always_inline void pl_case_look(struct pl_case *c, struct pl_found *found)
{
	struct pl_connection *like;
	__u64 word;
	void *map;

	pl_look(found, &c->mine, c->now);
	if (found->entry || !c->pair)
		return;
	pl_look(found, &c->theirs, c->now);
	like = found->entry;
	found->entry = NULL;
	if (!like)
		return;
	map = c->mine.key.protocol != IPPROTO_TCP ? c->mine.datagrams :
	      found->half_open			  ? c->mine.half_open :
						    c->mine.established;
	word = pl_mirror_word(like->word) | (__u64)c->peer.endpoint << PL_WORD_ENDPOINT_SHIFT;
	if (!map || !pl_make(map, &c->mine, like, word, c->ingress, like->expires))
		return;
	found->map = map;
	found->entry = pl_find(map, &c->mine, c->now);
}

/* Forgets the flow on both sides: what half of it is left could bring it back. */
static __always_inline void pl_case_forget(struct pl_case *c)
{
	pl_forget(&c->mine);
	if (c->pair)
		pl_forget(&c->theirs);
}

/* Makes an entry, in the place of others that have closed where the map of established connections
 * is full. */
static __always_inline bool pl_make_room(void *map, struct pl_side *side, __u64 word, __u32 ingress,
					 __u32 expires, __u32 endpoint, __u32 now)
{
	if (pl_make(map, side, NULL, word, ingress, expires))
		return true;
	return map == side->established && pl_reclaim(endpoint, now) &&
	       pl_make(map, side, NULL, word, ingress, expires);
}

/* Makes both sides' entries in the maps given. PL_QUOTA where one is full: then none is left. */
static __always_inline enum pl_reason pl_case_make(struct pl_case *c, void *mine, void *theirs,
						   __u64 word, __u32 seconds)
{
	__u32 expires = c->now + seconds * pl_hz;

	if (!pl_make_room(mine, &c->mine, word, c->ingress, expires, c->s->endpoint, c->now))
		return PL_QUOTA;
	/* Should the peer get a packet of it by the stack, it is true from this interface alone. */
	if (c->pair && !pl_make_room(theirs, &c->theirs, pl_case_peer_word(c, word), c->own.ifindex,
				     expires, c->peer.endpoint, c->now)) {
		pl_erase(mine, &c->mine);
		return PL_QUOTA;
	}
	return PL_PASS;
}

/* Sets bits of a side's entry and the expiry that follows from them. */
static __always_inline void pl_mark(struct pl_found *found, struct pl_side *side, __u32 now,
				    __u64 set)
{
	struct pl_connection *entry = found->entry;
	__u64 tag = pl_tag(&side->key, side->own_fold);

	if (!entry || !pl_change(entry, tag, 0, set))
		return;
	if (!found->half_open || pl_is_closed(entry->word | set))
		*(volatile __u32 *)&entry->expires =
			now + pl_expiry_s(entry->word | set, IPPROTO_TCP) * pl_hz;
}

/* A FIN or RST has passed: both sides know. */
static __always_inline void pl_case_close(struct pl_case *c, struct pl_found *mine)
{
	__u64 own = c->out ? PL_WORD_FIN_OUT : PL_WORD_FIN_IN;
	__u64 peer = c->out ? PL_WORD_FIN_IN : PL_WORD_FIN_OUT;
	struct pl_found theirs;

	if (c->s->tcp_flags & PL_TCP_RST)
		own = peer = PL_WORD_RESET;
	pl_mark(mine, &c->mine, c->now, own);
	if (!c->pair)
		return;
	pl_look(&theirs, &c->theirs, c->now);
	pl_mark(&theirs, &c->theirs, c->now, peer);
}

#endif
