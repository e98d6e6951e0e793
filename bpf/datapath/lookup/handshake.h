/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Half-open connections (RFC 9293, section 3.5). One becomes established, on both sides at once,
 * with the segment that acknowledges the SYN-ACK: proof that the initiator is where it says.
 */
#ifndef PLUMBLINE_HANDSHAKE_H
#define PLUMBLINE_HANDSHAKE_H

#include "flow.h"

static __always_inline void pl_answer(struct pl_connection *entry, __u32 acknowledges)
{
	if (!entry)
		return;
	entry->acknowledges = acknowledges;
	entry->answered = 1;
}

/* The responder's SYN-ACK: both sides keep the number that will prove it was received. */
static __always_inline void pl_case_answer(struct pl_case *c, struct pl_found *mine)
{
	struct pl_found theirs;

	pl_answer(mine->entry, c->s->sequence + 1);
	if (!c->pair)
		return;
	pl_look(&theirs, &c->theirs, c->now);
	if (theirs.half_open)
		pl_answer(theirs.entry, c->s->sequence + 1);
}

/* The initiator's proof: both sides are established. Leaves the new entry in `found`. */
static __always_inline enum pl_reason pl_case_promote(struct pl_case *c, struct pl_found *found,
						      __u64 word)
{
	enum pl_reason reason;

	/* A RST that the initiator has outlived was none. */
	word &= ~(PL_WORD_TAG | PL_WORD_RESET);
	reason = pl_case_make(c, c->mine.established, c->theirs.established, word,
			      pl_expiry_s(word, IPPROTO_TCP));
	if (reason != PL_PASS)
		return reason;
	pl_erase(c->mine.half_open, &c->mine);
	if (c->pair)
		pl_erase(c->theirs.half_open, &c->theirs);
	found->half_open = 0;
	found->map = c->mine.established;
	found->entry = pl_find(found->map, &c->mine, c->now);
	return PL_PASS;
}

/* A segment of a half-open connection, already under the present generation. */
static __always_inline enum pl_reason pl_case_handshake(struct pl_case *c, struct pl_found *found,
							__u64 word, bool initiator_sends)
{
	__u8 flags = c->s->tcp_flags;
	struct pl_connection *entry = found->entry;

	if (!entry)
		return PL_RACED;
	/* A later fragment bears no number: what stands in the record is another packet's. */
	if (c->s->fragment == PL_LATER)
		return PL_STRAY;
	if (flags & PL_TCP_RST)
		return PL_PASS;
	if (initiator_sends) {
		if (flags & PL_TCP_SYN)
			return flags & PL_TCP_ACK ? PL_STRAY : PL_PASS;
		if (!(flags & PL_TCP_ACK) || !entry->answered ||
		    !pl_proves(entry, c->s->acknowledgement))
			return PL_STRAY;
		return pl_case_promote(c, found, word);
	}
	if ((flags & (PL_TCP_SYN | PL_TCP_ACK)) == (PL_TCP_SYN | PL_TCP_ACK)) {
		pl_case_answer(c, found);
		return PL_PASS;
	}
	return entry->answered && (flags & PL_TCP_ACK) ? PL_PASS : PL_STRAY;
}

#endif
