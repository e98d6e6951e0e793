/* SPDX-License-Identifier: GPL-2.0-only */
/* Transport headers: ports, what may start a flow, and which ICMP messages there are. */
#ifndef PLUMBLINE_TRANSPORT_H
#define PLUMBLINE_TRANSPORT_H

#include "../plumbline.h"
#include "at.h"
#include <bpf/bpf_endian.h>
#include <linux/icmpv6.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/tcp.h>
#include <stdbool.h>

/* ICMP messages by what they mean here (RFC 792); <linux/icmp.h> cannot be had without libc. */
enum pl_icmp {
	PL_ICMP_ECHO_REPLY = 0,
	PL_ICMP_UNREACHABLE = 3,
	PL_ICMP_SOURCE_QUENCH = 4,
	PL_ICMP_REDIRECT = 5,
	PL_ICMP_ECHO_REQUEST = 8,
	PL_ICMP_ROUTER_ADVERTISEMENT = 9, /* RFC 1256 */
	PL_ICMP_ROUTER_SOLICITATION = 10,
	PL_ICMP_TIME_EXCEEDED = 11,
	PL_ICMP_PARAMETER_PROBLEM = 12,
};

struct pl_icmp_header {
	__u8 type;
	__u8 code;
	__be16 checksum;
	__be16 identifier; /* of an echo */
	__be16 sequence;
};

#define PL_SCTP_INIT 1 /* RFC 9260, section 3.2 */
#define PL_ICMP_MARK bpf_htons(8) /* the other port of an echo: not its initiator's */

/* A header, whole before the packet's end. */
static __always_inline void *pl_within(struct __sk_buff *skb, __u32 offset, __u32 length, __u32 end)
{
	return offset + length <= end ? pl_at(skb, offset, length) : NULL;
}

/* Sets the ports of the flow from those of the packet. */
static __always_inline void pl_ports(struct pl_scratch *s, enum pl_way way, __be16 source,
				     __be16 destination)
{
	s->flow.own_port = way == PL_OUT ? source : destination;
	s->flow.peer_port = way == PL_OUT ? destination : source;
}

static __always_inline enum pl_reason pl_parse_tcp(struct __sk_buff *skb, struct pl_scratch *s,
						   enum pl_way way, __u32 offset, __u32 end)
{
	struct tcphdr *tcp = pl_within(skb, offset, sizeof(*tcp), end);

	if (!tcp || tcp->doff < 5 || offset + tcp->doff * 4 > end)
		return PL_MALFORMED;
	pl_ports(s, way, tcp->source, tcp->dest);
	s->sequence = bpf_ntohl(tcp->seq);
	s->acknowledgement = bpf_ntohl(tcp->ack_seq);
	s->tcp_flags = ((__u8 *)tcp)[13] & (PL_TCP_FIN | PL_TCP_SYN | PL_TCP_RST | PL_TCP_ACK);
	s->starts = s->tcp_flags == PL_TCP_SYN ? PL_STARTS_OPENER : PL_STARTS_NONE;
	return PL_PASS;
}

static __always_inline enum pl_reason pl_parse_datagram(struct __sk_buff *skb, struct pl_scratch *s,
							enum pl_way way, __u32 offset, __u32 end)
{
	bool sctp = s->flow.protocol == IPPROTO_SCTP;
	/* SCTP: twelve bytes of common header, then the first chunk. */
	__be16 *ports = pl_within(skb, offset, sctp ? 16 : 8, end);

	if (!ports)
		return PL_MALFORMED;
	pl_ports(s, way, ports[0], ports[1]);
	if (!sctp)
		s->starts = PL_STARTS_ANY;
	else if (((__u8 *)ports)[12] == PL_SCTP_INIT)
		s->starts = PL_STARTS_OPENER;
	return PL_PASS;
}

/*
 * An echo's flow has its identifier on the initiator's side and a mark on the other, so a request
 * from the other side is another flow, save where the identifier is the mark.
 */
static __always_inline void pl_echo(struct pl_scratch *s, enum pl_way way, bool request, __be16 id)
{
	bool own = (way == PL_OUT) == request;

	s->flow.own_port = own ? id : PL_ICMP_MARK;
	s->flow.peer_port = own ? PL_ICMP_MARK : id;
	s->starts = request ? PL_STARTS_OPENER : PL_STARTS_NONE;
}

static __always_inline enum pl_reason pl_parse_icmp(struct __sk_buff *skb, struct pl_scratch *s,
						    enum pl_way way, __u32 offset, __u32 end)
{
	struct pl_icmp_header *icmp = pl_within(skb, offset, sizeof(*icmp), end);

	if (!icmp)
		return PL_MALFORMED;
	switch (icmp->type) {
	case PL_ICMP_ECHO_REQUEST:
	case PL_ICMP_ECHO_REPLY:
		pl_echo(s, way, icmp->type == PL_ICMP_ECHO_REQUEST, icmp->identifier);
		return PL_PASS;
	case PL_ICMP_UNREACHABLE:
	case PL_ICMP_SOURCE_QUENCH:
	case PL_ICMP_TIME_EXCEEDED:
	case PL_ICMP_PARAMETER_PROBLEM:
		s->class = PL_ERROR;
		s->inner = offset + 8;
		s->end = end;
		return PL_PASS;
	case PL_ICMP_REDIRECT:
	case PL_ICMP_ROUTER_ADVERTISEMENT:
	case PL_ICMP_ROUTER_SOLICITATION:
		return PL_ICMP_TYPE;
	default:
		s->starts = PL_STARTS_ANY;
		return PL_PASS;
	}
}

static __always_inline enum pl_reason pl_parse_icmpv6(struct __sk_buff *skb, struct pl_scratch *s,
						      enum pl_way way, __u32 offset, __u32 end)
{
	struct icmp6hdr *icmp = pl_within(skb, offset, sizeof(*icmp), end);

	if (!icmp)
		return PL_MALFORMED;
	switch (icmp->icmp6_type) {
	case ICMPV6_ECHO_REQUEST:
	case ICMPV6_ECHO_REPLY:
		pl_echo(s, way, icmp->icmp6_type == ICMPV6_ECHO_REQUEST, icmp->icmp6_identifier);
		return PL_PASS;
	case 0 ... 127: /* errors have the high bit clear: RFC 4443, section 2.1 */
		s->class = PL_ERROR;
		s->inner = offset + 8;
		s->end = end;
		return PL_PASS;
	case 130 ... 137: /* MLD, router and neighbour discovery, redirect */
	case 141 ... 143: /* inverse discovery, MLDv2 */
	case 148 ... 149: /* certification paths of discovery */
	case 151 ... 153: /* multicast router discovery */
		return PL_NEIGHBOUR_DISCOVERY;
	default:
		s->starts = PL_STARTS_ANY;
		return PL_PASS;
	}
}

/*
 * The transport header at `offset`, of the protocol in the flow. Others have ports 0. The packet
 * ends at `end`: what lies behind it in the frame is padding, and a receiver does not read it.
 */
static __always_inline enum pl_reason pl_parse_transport(struct __sk_buff *skb,
							 struct pl_scratch *s, enum pl_way way,
							 __u32 offset, __u32 end)
{
	switch (s->flow.protocol) {
	case IPPROTO_TCP:
		return pl_parse_tcp(skb, s, way, offset, end);
	case IPPROTO_UDP:
	case IPPROTO_SCTP:
		return pl_parse_datagram(skb, s, way, offset, end);
	case IPPROTO_ICMP:
		return s->flow.family == 4 ? pl_parse_icmp(skb, s, way, offset, end) : PL_ICMP_TYPE;
	case IPPROTO_ICMPV6:
		return s->flow.family == 6 ? pl_parse_icmpv6(skb, s, way, offset, end) :
					     PL_ICMP_TYPE;
	default:
		s->starts = PL_STARTS_ANY;
		return PL_PASS;
	}
}

#endif
