/* SPDX-License-Identifier: GPL-2.0-only */
/* IPv6 extension headers (RFC 8200, section 4). */
#ifndef PLUMBLINE_EXTENSIONS_H
#define PLUMBLINE_EXTENSIONS_H

#include "../plumbline.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <stdbool.h>

#define PL_EXTENSIONS_MOST 4 /* that are walked */
#define PL_V6_MORE 0x0001
#define PL_V6_OFFSET 0xfff8

/* What a header number means for the walk. */
enum pl_extension {
	PL_UPPER, /* the upper protocol: AH, ESP and "no next header" are protocols of their own */
	PL_WALK,
	PL_REFUSE, /* would carry a packet past its verdict: routing; or has no business here */
};

static __always_inline enum pl_extension pl_extension_of(__u8 protocol)
{
	switch (protocol) {
	case IPPROTO_HOPOPTS:
	case IPPROTO_DSTOPTS:
	case IPPROTO_FRAGMENT:
		return PL_WALK;
	case IPPROTO_ROUTING:
	case IPPROTO_MH:
	case 139: /* HIP, RFC 7401 */
	case 140: /* Shim6, RFC 5533 */
		return PL_REFUSE;
	default:
		return PL_UPPER;
	}
}

/* The least that a TCP header is long, in bytes. */
#define PL_TCP_LEAST 20

/*
 * Whether a later fragment lies over a TCP header, of which none is passed that is not whole in
 * its first fragment: it could put other flags in place of those that were judged (RFC 1858).
 */
static __always_inline bool pl_overlaps_tcp(__u8 protocol, __u32 offset)
{
	return protocol == IPPROTO_TCP && offset < PL_TCP_LEAST;
}

/*
 * Takes the fragment header (RFC 8200, section 4.5). What a first fragment says of the next header
 * holds for the datagram, and later ones are found by it: so the upper one must be next.
 */
static __always_inline enum pl_reason pl_take_fragment(struct pl_scratch *s, const __u8 *head)
{
	__u16 fragment = bpf_ntohs(*(const __be16 *)&head[2]);

	s->identification = *(const __be32 *)&head[4];
	if (fragment & PL_V6_OFFSET) {
		s->fragment = PL_LATER;
		return pl_overlaps_tcp(head[0], fragment & PL_V6_OFFSET) ? PL_MALFORMED : PL_PASS;
	}
	if (!(fragment & PL_V6_MORE))
		return PL_PASS; /* an atomic fragment, whole in itself (RFC 6946) */
	s->fragment = PL_FIRST;
	return pl_extension_of(head[0]) == PL_UPPER ? PL_PASS : PL_EXTENSION_HEADERS;
}

/*
 * Walks the headers from `offset` on and leaves the upper protocol in the flow. The offset of the
 * upper header, or the negated reason of a drop.
 */
__noinline __weak int pl_parse_extensions(struct __sk_buff *skb, struct pl_scratch *s, int offset)
{
	bool fragmented = false;

	if (!s)
		return -PL_MALFORMED;
	for (int i = 0; i <= PL_EXTENSIONS_MOST; i++) {
		__u32 aligned[2];
		__u8 *head = (__u8 *)aligned;
		__u8 protocol = s->flow.protocol;
		enum pl_extension extension = pl_extension_of(protocol);

		if (extension == PL_UPPER)
			return offset;
		/* Hop-by-hop options stand first or nowhere. */
		if (extension == PL_REFUSE || i == PL_EXTENSIONS_MOST ||
		    (protocol == IPPROTO_HOPOPTS && i > 0))
			return -PL_EXTENSION_HEADERS;
		if (bpf_skb_load_bytes(skb, offset, head, sizeof(aligned)))
			return -PL_MALFORMED;
		s->flow.protocol = head[0];
		if (protocol == IPPROTO_FRAGMENT) {
			enum pl_reason reason =
				fragmented ? PL_EXTENSION_HEADERS : pl_take_fragment(s, head);

			if (reason != PL_PASS)
				return -(int)reason;
			fragmented = true;
			offset += 8;
			if (s->fragment == PL_LATER)
				return offset;
			continue;
		}
		offset += 8 + head[1] * 8;
		if (offset > 1024)
			return -PL_EXTENSION_HEADERS;
	}
	return -PL_EXTENSION_HEADERS;
}

#endif
