/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The packet that an ICMP error is about (RFC 792; RFC 4443, section 3): its flow replaces that of
 * the error. What it was sent to or from must be what the error itself is from or for.
 */
#ifndef PLUMBLINE_INNER_H
#define PLUMBLINE_INNER_H

#include "address.h"
#include "extensions.h"
#include "transport.h"
#include <linux/ip.h>
#include <linux/ipv6.h>

static __always_inline bool pl_is_error(bool four, __u8 type)
{
	if (!four)
		return type < 128; /* RFC 4443, section 2.1 */
	return type == PL_ICMP_UNREACHABLE || type == PL_ICMP_SOURCE_QUENCH ||
	       type == PL_ICMP_REDIRECT || type == PL_ICMP_TIME_EXCEEDED ||
	       type == PL_ICMP_PARAMETER_PROBLEM;
}

/* The ports of the inner packet, or of an echo what stands for them. `way` is the inner one's. */
static __always_inline bool pl_inner_ports(struct __sk_buff *skb, struct pl_scratch *s,
					   enum pl_way way, __u32 offset)
{
	__be16 head[4];

	s->flow.own_port = 0;
	s->flow.peer_port = 0;
	if (offset + sizeof(head) > s->end || bpf_skb_load_bytes(skb, offset, head, sizeof(head)))
		return false;
	switch (s->flow.protocol) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
	case IPPROTO_SCTP:
		pl_ports(s, way, head[0], head[1]);
		return true;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6: {
		__u8 type = ((__u8 *)head)[0];
		bool four = s->flow.protocol == IPPROTO_ICMP;

		if (pl_is_error(four, type)) /* about which there is none: RFC 1122, 3.2.2 */
			return false;
		if (type == (four ? PL_ICMP_ECHO_REQUEST : ICMPV6_ECHO_REQUEST) ||
		    type == (four ? PL_ICMP_ECHO_REPLY : ICMPV6_ECHO_REPLY))
			pl_echo(s, way, type == (four ? PL_ICMP_ECHO_REQUEST : ICMPV6_ECHO_REQUEST),
				head[2]);
		s->starts = PL_STARTS_NONE;
		return true;
	}
	default:
		return true;
	}
}

/* The addresses: `own` and the peer's by the way of the inner packet. */
static __always_inline bool pl_inner_addresses(struct pl_scratch *s, enum pl_way error_way,
					       const __u8 *source, const __u8 *destination)
{
	if (error_way == PL_OUT) {
		/* About a packet that the container got, and back to who sent it. */
		pl_copy16(s->flow.peer, source);
		return pl_same16(destination, s->source) && pl_same16(source, s->destination);
	}
	/* About a packet that the container sent, by anyone on its way. */
	pl_copy16(s->flow.peer, destination);
	return pl_same16(source, s->destination);
}

static __always_inline bool pl_parse_inner_v4(struct __sk_buff *skb, struct pl_scratch *s,
					      enum pl_way error_way)
{
	struct iphdr ip;
	__u8 source[16] __attribute__((aligned(4))), destination[16] __attribute__((aligned(4)));

	if (bpf_skb_load_bytes(skb, s->inner, &ip, sizeof(ip)) || ip.version != 4 || ip.ihl < 5)
		return false;
	if (ip.frag_off & bpf_htons(0x1fff)) /* a later fragment: no ports */
		return false;
	s->flow.protocol = ip.protocol;
	pl_set_v4(source, ip.saddr);
	pl_set_v4(destination, ip.daddr);
	if (!pl_inner_addresses(s, error_way, source, destination))
		return false;
	return pl_inner_ports(skb, s, error_way == PL_OUT ? PL_IN : PL_OUT, s->inner + ip.ihl * 4);
}

static __always_inline bool pl_parse_inner_v6(struct __sk_buff *skb, struct pl_scratch *s,
					      enum pl_way error_way)
{
	struct ipv6hdr ip;
	int offset;

	if (bpf_skb_load_bytes(skb, s->inner, &ip, sizeof(ip)) || ip.version != 6)
		return false;
	s->flow.protocol = ip.nexthdr;
	if (!pl_inner_addresses(s, error_way, (__u8 *)&ip.saddr, (__u8 *)&ip.daddr))
		return false;
	offset = pl_parse_extensions(skb, s, s->inner + sizeof(ip));
	if (offset < 0 || s->fragment == PL_LATER)
		return false;
	return pl_inner_ports(skb, s, error_way == PL_OUT ? PL_IN : PL_OUT, offset);
}

/* False where it cannot be read, or is about no packet between the error's own two ends. */
static __always_inline bool pl_parse_inner(struct __sk_buff *skb, struct pl_scratch *s,
					   enum pl_way error_way)
{
	bool read = s->flow.family == 4 ? pl_parse_inner_v4(skb, s, error_way) :
					  pl_parse_inner_v6(skb, s, error_way);

	/* Should the error itself be in parts, its flow's later fragments are not its. */
	s->fragment = PL_WHOLE;
	s->starts = PL_STARTS_NONE;
	return read;
}

#endif
