/* SPDX-License-Identifier: GPL-2.0-only */
/* ARP (RFC 826) and neighbour discovery (RFC 4861) as they stand in a packet. */
#ifndef PLUMBLINE_NEIGHBOURS_H
#define PLUMBLINE_NEIGHBOURS_H

#include "address.h"
#include <linux/if_ether.h>
#include <linux/ipv6.h>

#define PL_ARP_ETHERNET 1 /* RFC 826 */
#define PL_ARP_REQUEST 1
#define PL_ARP_REPLY 2
#define PL_ADVERTISE_FLAGS bpf_htonl(0x60000000) /* solicited, override */
#define PL_SOLICITATION 135
#define PL_ADVERTISEMENT 136
#define PL_OPTION_SOURCE 1
#define PL_OPTION_TARGET 2

struct pl_arp {
	__be16 hardware;
	__be16 protocol;
	__u8 hardware_length;
	__u8 protocol_length;
	__be16 operation;
	__u8 sender_mac[ETH_ALEN];
	__u8 sender[4];
	__u8 target_mac[ETH_ALEN];
	__u8 target[4];
} __attribute__((packed));

/* A solicitation or an advertisement without options (RFC 4861, sections 4.3 and 4.4). */
struct pl_discovery {
	struct ipv6hdr ip;
	__u8 type;
	__u8 code;
	__be16 checksum;
	__be32 flags;
	__u8 target[16];
} __attribute__((packed));

/* The same with the one option that hosts send: a MAC address. */
struct pl_discovery_of_mac {
	struct pl_discovery about;
	__u8 option;
	__u8 option_length;
	__u8 mac[ETH_ALEN];
} __attribute__((packed));

#endif
