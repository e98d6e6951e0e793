/* SPDX-License-Identifier: GPL-2.0-only */
/* Who the two ends are, and what the policy of a slot says of a flow between them. */
#ifndef PLUMBLINE_VERDICT_H
#define PLUMBLINE_VERDICT_H

#include "tables.h"

/* An address as an argument: a pointer alone would say nothing of its length. */
struct pl_bytes16 {
	__u8 bytes[16];
};

/* One end of a flow. */
struct pl_party {
	__u64 identity;
	__u64 subject; /* where `owner` is PL_LOCAL */
	__u32 ifindex; /* the same */
	__u32 endpoint; /* the same; else PL_ENDPOINT_STACK */
	__u32 owner; /* enum pl_owner */
	__u32 unused;
};

/*
 * Who has an address in a slot. 0 where it is a container's that is absent, else 1. A global
 * function, so that the verifier walks it once.
 */
__noinline __weak int pl_party_of(struct pl_party *party, __u32 slot, __u32 family,
				  const struct pl_bytes16 *address)
{
	struct pl_endpoint *endpoint;
	struct pl_address *row;

	if (!party || !address)
		return 0;
	party->identity = 0;
	party->subject = 0;
	party->ifindex = 0;
	party->endpoint = PL_ENDPOINT_STACK;
	party->owner = PL_ELSEWHERE;
	row = pl_address_row(slot, family, address->bytes);
	if (!row)
		return 1;
	party->identity = row->identity;
	party->owner = row->owner;
	if (row->owner != PL_LOCAL)
		return 1;
	endpoint = pl_endpoint_row(slot, row->endpoint);
	if (!endpoint)
		return 0;
	party->endpoint = row->endpoint;
	party->subject = endpoint->subject;
	party->ifindex = endpoint->ifindex;
	return 1;
}

/* The policy of both ends. A container and its own host always reach each other, as does a
 * container itself; an end that is elsewhere has no policy here. */
static __always_inline enum pl_reason pl_verdict(__u32 slot, const struct pl_party *initiator,
						 const struct pl_party *responder, __u8 protocol,
						 __be16 port)
{
	__u32 protocol_port = (__u32)protocol << 16 | port;

	if (initiator->owner == PL_HOST || responder->owner == PL_HOST)
		return PL_PASS;
	if (initiator->owner == PL_LOCAL && responder->owner == PL_LOCAL &&
	    initiator->endpoint == responder->endpoint)
		return PL_PASS;
	if (initiator->owner == PL_LOCAL &&
	    !pl_permits(slot, initiator->subject, PL_EGRESS, responder->identity, protocol_port))
		return PL_DENIED_EGRESS;
	if (responder->owner == PL_LOCAL &&
	    !pl_permits(slot, responder->subject, PL_INGRESS, initiator->identity, protocol_port))
		return PL_DENIED_INGRESS;
	return PL_PASS;
}

#endif
