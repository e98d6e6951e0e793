/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Connection entries. A pointer to one may belong to another flow by the time it is used, for maps
 * reuse elements at once: what decides is the word, read once, whose tag says whose it is, and it
 * changes by compare-and-exchange alone. A late write of an expiry can only prolong a life.
 */
#ifndef PLUMBLINE_CONNECTIONS_H
#define PLUMBLINE_CONNECTIONS_H

#include "../constants.h"
#include "../maps.h"
#include "../packet/address.h"
#include "commit.h"
#include <linux/in.h>
#include <linux/in6.h>

/* 16 bits that tell a flow of an own address from others, where they stand in the word. */
static __always_inline __u64 pl_tag(const struct pl_flow *flow, __u32 own_fold)
{
	__u32 ports = (__u32)flow->own_port << 16 | flow->peer_port;
	__u32 hash = pl_fold(flow->peer) * 0x9e3779b1 ^ own_fold * 0xc2b2ae35 ^ ports * 0x85ebca6b;

	hash ^= hash >> 15;
	hash = (hash + flow->protocol + flow->kind) * 0x27d4eb2f;
	return (__u64)(hash >> 16) << PL_WORD_TAG_SHIFT;
}

/*
 * An entry among the container's own, alive or not. The two calls stay apart: of one call for both
 * maps the verifier could not say which it is for, and would leave it indirect. (The assembly is
 * empty; after it clang cannot take the calls for the same.)
 */
static __always_inline struct pl_connection *pl_own_entry(const struct pl_flow *flow)
{
	struct pl_connection *entry;

	if (flow->protocol != IPPROTO_TCP)
		return bpf_map_lookup_elem(&datagrams, flow);
	entry = bpf_map_lookup_elem(&established, flow);
	asm volatile("" : "+r"(entry));
	return entry;
}

static __always_inline __u32 pl_now(void)
{
	return (__u32)bpf_jiffies64();
}

static __always_inline bool pl_expired(__u32 expires, __u32 now)
{
	return (__s32)(expires - now) < 0;
}

/* Both sides have finished, or one has reset: the ports may be used again. */
static __always_inline bool pl_is_closed(__u64 word)
{
	return (word & PL_WORD_RESET) ||
	       (word & (PL_WORD_FIN_OUT | PL_WORD_FIN_IN)) == (PL_WORD_FIN_OUT | PL_WORD_FIN_IN);
}

/* Seconds that an entry of an established connection or a datagram flow lives on. */
static __always_inline __u32 pl_expiry_s(__u64 word, __u8 protocol)
{
	if (protocol == IPPROTO_TCP) {
		if (!(word & (PL_WORD_FIN_OUT | PL_WORD_FIN_IN | PL_WORD_RESET)))
			return PL_EXPIRY_ESTABLISHED_S;
		if (word & PL_WORD_RESET)
			return PL_EXPIRY_RESET_S;
		return pl_is_closed(word) ? PL_EXPIRY_CLOSED_S : PL_EXPIRY_CLOSING_S;
	}
	if (protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6)
		return PL_EXPIRY_ICMP_S;
	return PL_EXPIRY_DATAGRAM_S;
}

/* Prolongs a life, at most once a second, so that CPUs do not take the line from each other. */
static __always_inline void pl_refresh(struct pl_connection *entry, __u32 now, __u32 seconds)
{
	__u32 expires = now + seconds * pl_hz;

	if ((__s32)(expires - entry->expires) > (__s32)pl_hz)
		*(volatile __u32 *)&entry->expires = expires;
}

/*
 * The word of a live entry that the present generation has judged; 0 where there is none. No word
 * of an entry is 0: generation 0 is before the first commit.
 */
static __always_inline __u64 pl_judged(struct pl_connection *entry, const struct pl_scratch *s,
				       __u32 own_fold, __u32 now)
{
	__u64 word, expected;

	if (!entry)
		return 0;
	word = *(volatile __u64 *)&entry->word;
	expected = pl_tag(&s->flow, own_fold) | pl_generation_of(s->commit);
	if ((word ^ expected) & (PL_WORD_TAG | PL_WORD_GENERATION))
		return 0;
	return pl_expired(entry->expires, now) ? 0 : word;
}

/* How far beyond the SYN-ACK the proof may acknowledge: a responder may have sent data with TCP
 * Fast Open (RFC 7413). A guess hits one time in 65,536. */
#define PL_PROOF_WINDOW 65535

/* Whether the initiator acknowledges what proves the handshake. */
static __always_inline bool pl_proves(const struct pl_connection *entry, __u32 acknowledgement)
{
	return acknowledgement - entry->acknowledges <= PL_PROOF_WINDOW;
}

static __always_inline __u32 pl_endpoint_of(__u64 word)
{
	return (word >> PL_WORD_ENDPOINT_SHIFT) & 0xffff;
}

#endif
