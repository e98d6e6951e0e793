/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Fragments. The first one of a datagram, once let pass, leaves its ports under the datagram's
 * identification in the container's own datagram map; later ones are judged by them. One without
 * its first is dropped.
 */
#ifndef PLUMBLINE_FRAGMENTS_H
#define PLUMBLINE_FRAGMENTS_H

#include "case.h"

static __always_inline void pl_fragment_key(struct pl_flow *key, struct pl_case *c)
{
	*key = c->s->flow;
	key->own_port = c->s->identification >> 16;
	key->peer_port = (__be16)c->s->identification;
	key->kind = c->out ? PL_FRAGMENT_OUT : PL_FRAGMENT_IN;
}

/* Remembers the ports of a first fragment that is let pass. False where there is no room. */
static __always_inline bool pl_fragment_remember(struct pl_case *c)
{
	struct pl_connection entry = {
		.expires = c->now + PL_EXPIRY_FRAGMENT_S * pl_hz,
		.own_port = c->s->flow.own_port,
		.peer_port = c->s->flow.peer_port,
	};
	struct pl_flow key;

	pl_fragment_key(&key, c);
	entry.word = pl_generation_of(c->s->commit) | pl_tag(&key, c->mine.own_fold);
	return c->mine.datagrams && !bpf_map_update_elem(c->mine.datagrams, &key, &entry, BPF_ANY);
}

/* Gives a later fragment the ports of its first. False where that was not seen. */
static __always_inline bool pl_fragment_recall(struct pl_case *c)
{
	struct pl_connection *entry;
	struct pl_flow key;

	pl_fragment_key(&key, c);
	entry = c->mine.datagrams ? bpf_map_lookup_elem(c->mine.datagrams, &key) : NULL;
	if (!entry || pl_expired(entry->expires, c->now) ||
	    ((entry->word ^ pl_tag(&key, c->mine.own_fold)) & PL_WORD_TAG))
		return false;
	c->s->flow.own_port = entry->own_port;
	c->s->flow.peer_port = entry->peer_port;
	c->s->tcp_flags = PL_TCP_ACK;
	return true;
}

#endif
