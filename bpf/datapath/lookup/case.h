/* SPDX-License-Identifier: GPL-2.0-only */
/* All that the judge knows of one packet. */
#ifndef PLUMBLINE_CASE_H
#define PLUMBLINE_CASE_H

#include "scratch.h"
#include "sides.h"
#include "verdict.h"

struct pl_case {
	struct pl_scratch *s;
	__u32 slot;
	__u32 now;
	__u32 ingress; /* by which interface the peer's packets come in */
	__u8 out; /* the container sends; else it receives */
	__u8 pair; /* both ends are containers of this host, and the sender's program delivers */
	struct pl_party own;
	struct pl_party peer;
	struct pl_side mine;
	struct pl_side theirs; /* of a pair */
};

/* The policy on the case's flow, as begun by the container itself or by its peer. */
static __always_inline enum pl_reason pl_case_verdict(struct pl_case *c, bool own_began)
{
	struct pl_flow *flow = &c->s->flow;
	__be16 port = 0;

	switch (flow->protocol) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
	case IPPROTO_SCTP:
		port = own_began ? flow->peer_port : flow->own_port;
	}
	if (own_began)
		return pl_verdict(c->slot, &c->own, &c->peer, flow->protocol, port);
	return pl_verdict(c->slot, &c->peer, &c->own, flow->protocol, port);
}

/* A fresh entry's word on the container's own side. */
static __always_inline __u64 pl_case_word(struct pl_case *c, bool own_began)
{
	return pl_generation_of(c->s->commit) | (__u64)c->peer.endpoint << PL_WORD_ENDPOINT_SHIFT |
	       (own_began ? PL_WORD_INITIATOR : 0);
}

/* The same on the peer's side of a pair. */
static __always_inline __u64 pl_case_peer_word(struct pl_case *c, __u64 word)
{
	return pl_mirror_word(word) | (__u64)c->s->endpoint << PL_WORD_ENDPOINT_SHIFT;
}

#endif
