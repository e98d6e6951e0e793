/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a container on somebody else's interface says of itself: the host, which is told no
 * neighbour there, asks for it by ARP (RFC 826) or neighbour discovery (RFC 4861). Only an answer
 * about its own address, with its own MAC, is true.
 */
#ifndef PLUMBLINE_ADVERTISEMENT_H
#define PLUMBLINE_ADVERTISEMENT_H

#include "../packet/at.h"
#include "../packet/neighbours.h"
#include "self.h"
#include <linux/if_ether.h>
#include <linux/in6.h>

static __always_inline bool pl_is_own_reply(struct __sk_buff *skb,
					    const volatile struct pl_constants *self)
{
	struct ethhdr *eth = pl_at(skb, 0, sizeof(*eth) + sizeof(struct pl_arp));
	struct pl_arp *arp = (void *)(eth + 1);

	return eth && arp->hardware == bpf_htons(PL_ARP_ETHERNET) &&
	       arp->protocol == bpf_htons(ETH_P_IP) && arp->hardware_length == ETH_ALEN &&
	       arp->protocol_length == 4 && arp->operation == bpf_htons(PL_ARP_REPLY) &&
	       pl_is_own_mac(self, arp->sender_mac) && pl_is_own_v4(self, arp->sender);
}

static __always_inline bool pl_is_own_advertisement(struct __sk_buff *skb,
						    const volatile struct pl_constants *self)
{
	struct ethhdr *eth = pl_at(skb, 0, sizeof(*eth) + sizeof(struct pl_discovery));
	struct pl_discovery *p = (void *)(eth + 1);

	if (!eth || p->ip.nexthdr != IPPROTO_ICMPV6 || p->type != PL_ADVERTISEMENT || p->code ||
	    p->ip.hop_limit != 255 || !pl_is_own_v6(self, &p->ip.saddr) ||
	    !pl_is_own_v6(self, p->target))
		return false;
	if (p->ip.payload_len == bpf_htons(sizeof(*p) - sizeof(p->ip)))
		return true;
	/* With the one option that hosts send (section 4.4), and no other. */
	eth = pl_at(skb, 0, sizeof(*eth) + sizeof(struct pl_discovery_of_mac));
	if (!eth)
		return false;
	struct pl_discovery_of_mac *with = (void *)(eth + 1);

	return with->about.ip.payload_len == bpf_htons(sizeof(*with) - sizeof(with->about.ip)) &&
	       with->option == PL_OPTION_TARGET && with->option_length == 1 &&
	       pl_is_own_mac(self, with->mac);
}

static __always_inline bool pl_advertises_itself(struct __sk_buff *skb,
						 const volatile struct pl_constants *self)
{
	return skb->protocol == bpf_htons(ETH_P_ARP) ? pl_is_own_reply(skb, self) :
						       pl_is_own_advertisement(skb, self);
}

#endif
