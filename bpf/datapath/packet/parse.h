/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * From bytes to the scratch record. Nothing is written to the packet and nothing is skipped over:
 * what cannot be read is dropped with its reason, and never "no match".
 *
 * Parsing leaves source, destination, the flow as its container sees it, TCP's numbers, and
 * whether the packet may start a flow.
 */
#ifndef PLUMBLINE_PARSE_H
#define PLUMBLINE_PARSE_H

#include "address.h"
#include "at.h"
#include "extensions.h"
#include "transport.h"
#include <linux/ip.h>
#include <linux/ipv6.h>

#define PL_IP_MORE 0x2000
#define PL_IP_OFFSET 0x1fff

/* Loose and strict source routes (RFC 791, section 3.1) would carry a packet past its verdict. */
__noinline __weak int pl_source_routed(struct __sk_buff *skb, __u32 from, __u32 to)
{
	__u8 option[2];

	for (int i = 0; i < 40; i++) {
		if (from >= to)
			return 0;
		if (bpf_skb_load_bytes(skb, from, option, 1))
			return 1;
		if (option[0] == 0) /* end of list */
			return 0;
		if (option[0] == 1) { /* no operation */
			from++;
			continue;
		}
		if (bpf_skb_load_bytes(skb, from, option, 2) || option[1] < 2)
			return 1;
		if (option[0] == 131 || option[0] == 137)
			return 1;
		from += option[1];
	}
	return 0;
}

/*
 * The length that an IP header says, of what begins at `offset`. Zero means all that there is where
 * the stack writes it, for segments beyond 64 KiB (BIG TCP), and where a jumbo payload option may
 * follow (RFC 2675).
 */
static __always_inline __u32 pl_length_of(struct __sk_buff *skb, __u32 length, __u32 offset,
					  bool jumbo)
{
	if (length || !(jumbo || skb->gso_size))
		return length;
	return skb->len - offset;
}

static __always_inline enum pl_reason pl_parse_v4(struct __sk_buff *skb, struct pl_scratch *s,
						  enum pl_way way)
{
	struct iphdr *ip = pl_at(skb, ETH_HLEN, sizeof(*ip));
	__u32 header, total, fragment;

	if (!ip || ip->version != 4 || ip->ihl < 5)
		return PL_MALFORMED;
	header = ip->ihl * 4;
	total = pl_length_of(skb, bpf_ntohs(ip->tot_len), ETH_HLEN, false);
	if (total < header || skb->len < ETH_HLEN + total)
		return PL_MALFORMED;
	s->flow.family = 4;
	s->flow.protocol = ip->protocol;
	pl_set_v4(s->source, ip->saddr);
	pl_set_v4(s->destination, ip->daddr);
	pl_set_v4(s->flow.peer, way == PL_OUT ? ip->daddr : ip->saddr);
	fragment = bpf_ntohs(ip->frag_off);
	if (fragment & (PL_IP_MORE | PL_IP_OFFSET)) {
		s->identification = ip->id;
		s->fragment = fragment & PL_IP_OFFSET ? PL_LATER : PL_FIRST;
	}
	if (header > sizeof(*ip) &&
	    pl_source_routed(skb, ETH_HLEN + sizeof(*ip), ETH_HLEN + header))
		return PL_IP_OPTIONS;
	if (s->fragment == PL_LATER)
		return pl_overlaps_tcp(s->flow.protocol, (fragment & PL_IP_OFFSET) * 8) ?
			       PL_MALFORMED :
			       PL_PASS;
	return pl_parse_transport(skb, s, way, ETH_HLEN + header, ETH_HLEN + total);
}

static __always_inline enum pl_reason pl_parse_v6(struct __sk_buff *skb, struct pl_scratch *s,
						  enum pl_way way)
{
	struct ipv6hdr *ip = pl_at(skb, ETH_HLEN, sizeof(*ip));
	__u32 offset = ETH_HLEN + sizeof(*ip);
	__u32 end;

	if (!ip || ip->version != 6)
		return PL_MALFORMED;
	end = offset +
	      pl_length_of(skb, bpf_ntohs(ip->payload_len), offset, ip->nexthdr == IPPROTO_HOPOPTS);
	if (skb->len < end)
		return PL_MALFORMED;
	s->flow.family = 6;
	s->flow.protocol = ip->nexthdr;
	pl_copy16(s->source, &ip->saddr);
	pl_copy16(s->destination, &ip->daddr);
	pl_copy16(s->flow.peer, way == PL_OUT ? &ip->daddr : &ip->saddr);
	if (pl_is_v4_mapped(s->source) || pl_is_v4_mapped(s->destination))
		return PL_V4_MAPPED;
	if (s->flow.protocol != IPPROTO_TCP && s->flow.protocol != IPPROTO_UDP) {
		int upper = pl_parse_extensions(skb, s, offset);

		if (upper < 0)
			return -upper;
		if ((__u32)upper > end)
			return PL_MALFORMED;
		if (s->fragment == PL_LATER)
			return PL_PASS;
		offset = upper;
	}
	return pl_parse_transport(skb, s, way, offset, end);
}

/* Forgets the packet before. Addresses are always written, so they may stay. */
static __always_inline void pl_parse_begin(struct pl_scratch *s)
{
	s->flow.own_port = 0;
	s->flow.peer_port = 0;
	s->flow.kind = PL_FLOW;
	s->flow.unused = 0;
	s->tcp_flags = 0;
	s->starts = PL_STARTS_NONE;
	s->class = PL_PLAIN;
	s->fragment = PL_WHOLE;
}

/* The whole packet. PL_ARP and PL_NEIGHBOUR_DISCOVERY are what the neighbour block may answer. */
static __always_inline enum pl_reason pl_parse(struct __sk_buff *skb, struct pl_scratch *s,
					       enum pl_way way)
{
	pl_parse_begin(s);
	if (skb->vlan_present)
		return PL_ETHERTYPE;
	switch (skb->protocol) {
	case bpf_htons(ETH_P_IP):
		return pl_parse_v4(skb, s, way);
	case bpf_htons(ETH_P_IPV6):
		return pl_parse_v6(skb, s, way);
	case bpf_htons(ETH_P_ARP):
		return PL_ARP;
	case bpf_htons(PL_ETHERTYPE_TRIAL):
		s->class = PL_TRIED;
		return PL_PASS;
	default:
		return PL_ETHERTYPE;
	}
}

#endif
