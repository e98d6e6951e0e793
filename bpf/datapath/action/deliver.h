/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Straight into the namespace of a local container, out by its tap, or on through the host's
 * stack.
 */
#ifndef PLUMBLINE_DELIVER_H
#define PLUMBLINE_DELIVER_H

#include "../lookup/tables.h"
#include "../packet/at.h"
#include <linux/pkt_cls.h>

/*
 * To what is behind an interface: the other end of a pair, in its namespace. Behind a tap is a
 * program that reads what goes out by it.
 */
static __always_inline int pl_hand_over(struct __sk_buff *skb, __u32 ifindex, bool tap)
{
	if (!tap)
		return bpf_redirect_peer(ifindex, 0);
	skb->mark = PL_MARK_JUDGED;
	return bpf_redirect(ifindex, 0);
}

/*
 * To the endpoint that a judged word names. PL_ABSENT where it is not in this slot. Otherwise what
 * the program returns, negated nowhere: actions are never PL_ABSENT.
 */
static __always_inline int pl_deliver(struct __sk_buff *skb, __u32 slot, __u32 endpoint,
				      const __u8 *gateway_mac, bool *absent)
{
	struct pl_endpoint *row;
	struct ethhdr *eth;

	*absent = false;
	if (endpoint == PL_ENDPOINT_STACK)
		return TC_ACT_OK;
	row = pl_endpoint_row(slot, endpoint);
	eth = pl_at(skb, 0, sizeof(*eth));
	if (!row || !eth) {
		*absent = true;
		return TC_ACT_SHOT;
	}
	memcpy(eth->h_dest, row->mac, ETH_ALEN);
	memcpy(eth->h_source, gateway_mac, ETH_ALEN);
	return pl_hand_over(skb, row->ifindex, row->tap);
}

#endif
