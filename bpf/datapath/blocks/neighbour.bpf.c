// SPDX-License-Identifier: GPL-2.0-only
/*
 * ARP (RFC 826) and neighbour discovery (RFC 4861) of a container. Its gateway is a permanent
 * neighbour, so it need not ask; should it ask all the same, for any address but its own, the
 * answer is the host-side interface. Everything else is dropped, so nobody learns anything from
 * anybody.
 */
#include "../action/deliver.h"
#include "../action/drop.h"
#include "../lookup/scratch.h"
#include "../packet/address.h"
#include "../packet/at.h"
#include "../packet/neighbours.h"
#include <linux/in6.h>

/* Back where it came from, under the gateway's MAC. */
static __always_inline int pl_send_back(struct __sk_buff *skb, struct ethhdr *eth,
					const struct pl_scratch *s)
{
	__u32 ifindex = skb->ifindex;

	memcpy(eth->h_dest, eth->h_source, ETH_ALEN);
	memcpy(eth->h_source, s->gateway_mac, ETH_ALEN);
	return pl_hand_over(skb, ifindex, s->tap);
}

static __always_inline int pl_answer_arp(struct __sk_buff *skb, struct pl_scratch *s)
{
	struct ethhdr *eth = pl_at(skb, 0, sizeof(*eth) + sizeof(struct pl_arp));
	struct pl_arp *arp = (void *)(eth + 1);
	__u8 sender[4];

	if (!eth || arp->hardware != bpf_htons(PL_ARP_ETHERNET) ||
	    arp->protocol != bpf_htons(ETH_P_IP) || arp->hardware_length != ETH_ALEN ||
	    arp->protocol_length != 4 || arp->operation != bpf_htons(PL_ARP_REQUEST) ||
	    !pl_same_mac(arp->sender_mac, eth->h_source))
		return pl_drop_at(s->endpoint, PL_ARP);
	/* A question for its own address asks for duplicates; a sender of 0 is a probe. */
	if (!__builtin_memcmp(arp->sender, arp->target, 4) ||
	    !(arp->sender[0] | arp->sender[1] | arp->sender[2] | arp->sender[3]))
		return pl_drop_at(s->endpoint, PL_ARP);
	arp->operation = bpf_htons(PL_ARP_REPLY);
	memcpy(sender, arp->sender, 4);
	memcpy(arp->sender, arp->target, 4);
	memcpy(arp->target, sender, 4);
	memcpy(arp->target_mac, arp->sender_mac, ETH_ALEN);
	memcpy(arp->sender_mac, s->gateway_mac, ETH_ALEN);
	return pl_send_back(skb, eth, s);
}

static __always_inline __u16 pl_checksum(struct pl_discovery_of_mac *p)
{
	__u32 length = sizeof(*p) - sizeof(p->about.ip);
	__be32 pseudo[2] = { bpf_htonl(length), bpf_htonl(IPPROTO_ICMPV6) };
	__s64 sum;

	sum = bpf_csum_diff(NULL, 0, pseudo, sizeof(pseudo), 0);
	sum = bpf_csum_diff(NULL, 0, (void *)&p->about.ip.saddr, 32, sum);
	sum = bpf_csum_diff(NULL, 0, (void *)&p->about.type, 32, sum);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

static __always_inline int pl_answer_solicitation(struct __sk_buff *skb, struct pl_scratch *s)
{
	struct ethhdr *eth = pl_at(skb, 0, sizeof(*eth) + sizeof(struct pl_discovery_of_mac));
	struct pl_discovery_of_mac *p = (void *)(eth + 1);

	/* From an address that is not its own (DAD asks from ::), or no solicitation at all. */
	if (!eth || p->about.ip.nexthdr != IPPROTO_ICMPV6 || p->about.type != PL_SOLICITATION ||
	    p->about.code || p->about.ip.hop_limit != 255 || p->option != PL_OPTION_SOURCE ||
	    p->option_length != 1 ||
	    p->about.ip.payload_len != bpf_htons(sizeof(*p) - sizeof(p->about.ip)) ||
	    !pl_same_mac(p->mac, eth->h_source) || pl_same16(p->about.target, &p->about.ip.saddr) ||
	    pl_is_any16(&p->about.ip.saddr))
		return pl_drop_at(s->endpoint, PL_NEIGHBOUR_DISCOVERY);
	pl_copy16(&p->about.ip.daddr, &p->about.ip.saddr);
	pl_copy16(&p->about.ip.saddr, p->about.target);
	p->about.type = PL_ADVERTISEMENT;
	p->about.flags = PL_ADVERTISE_FLAGS;
	p->option = PL_OPTION_TARGET;
	memcpy(p->mac, s->gateway_mac, ETH_ALEN);
	p->about.checksum = 0;
	p->about.checksum = pl_checksum(p);
	return pl_send_back(skb, eth, s);
}

SEC("tc")
int neighbour(struct __sk_buff *skb)
{
	struct pl_scratch *s = pl_scratch_record();

	if (!s)
		return TC_ACT_SHOT;
	if (skb->protocol == bpf_htons(ETH_P_ARP))
		return pl_answer_arp(skb, s);
	return pl_answer_solicitation(skb, s);
}
