/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who began a flow on an interface that carries traffic already, while all of it passes. The first
 * commit would take an answer that is under way for the beginning; the record says whose answer it
 * is. It lets nothing pass: by it a flow is judged as begun by who did begin it.
 */
#ifndef PLUMBLINE_SEEN_H
#define PLUMBLINE_SEEN_H

#include "connections.h"

static __always_inline void pl_seen_key(struct pl_flow *key, const struct pl_flow *flow)
{
	*key = *flow;
	key->kind = PL_SEEN;
}

/* The record of a flow among the container's datagrams; NULL where there is none that counts. */
static __always_inline struct pl_connection *pl_seen(void *map, const struct pl_flow *key,
						     __u32 own_fold, __u32 now)
{
	struct pl_connection *record = bpf_map_lookup_elem(map, key);

	if (!record || pl_expired(record->expires, now) ||
	    ((record->word ^ pl_tag(key, own_fold)) & PL_WORD_TAG))
		return NULL;
	return record;
}

/* The number that proves the handshake, as of a half-open entry, and then the last one that did. */
static __always_inline void pl_see_handshake(struct pl_connection *record,
					     const struct pl_scratch *s, bool out)
{
	bool initiator_sends = !(record->word & PL_WORD_INITIATOR) != out;

	if (s->tcp_flags == (PL_TCP_SYN | PL_TCP_ACK) && !initiator_sends) {
		record->acknowledges = s->sequence + 1;
		record->answered = 1;
	} else if (s->tcp_flags & PL_TCP_ACK && initiator_sends && record->answered &&
		   pl_proves(record, s->acknowledgement)) {
		record->acknowledges = s->acknowledgement;
	}
}

/* A packet passes that nobody judges. By which interface it came in, the judge is to say whether it
 * may have: what each address is, only the next slot knows. */
static __always_inline void pl_see(const struct pl_scratch *s, __u32 own_fold, bool out,
				   __u32 ingress)
{
	struct pl_connection begun = { .ingress = ingress };
	struct pl_connection *record;
	struct pl_flow key;
	__u32 now = pl_now();

	if (s->class != PL_PLAIN || s->fragment == PL_LATER)
		return;
	pl_seen_key(&key, &s->flow);
	record = pl_seen(&datagrams, &key, own_fold, now);
	if (record && s->starts != PL_STARTS_OPENER) {
		pl_refresh(record, now, PL_EXPIRY_SEEN_S);
		pl_see_handshake(record, s, out);
		return;
	}
	if (!s->starts)
		return;
	begun.word = pl_tag(&key, own_fold) | (out ? PL_WORD_INITIATOR : 0);
	begun.expires = now + PL_EXPIRY_SEEN_S * pl_hz;
	bpf_map_update_elem(&datagrams, &key, &begun, BPF_ANY);
}

#endif
