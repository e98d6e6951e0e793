/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Every struct, enum and constant that the datapath and the loader both read. Fixed width, no
 * padding left unnamed. Rust takes these types from the object's BTF, and a test walks them, so
 * nothing here is written twice.
 */
#ifndef PLUMBLINE_H
#define PLUMBLINE_H

#include <linux/bpf.h>
#include <linux/types.h>

/* Version of the layouts below, for maps that outlive a program. */
#define PL_LAYOUT 1

/* How many endpoints a host may have: the size of the registries, which cannot grow. */
#define PL_ENDPOINTS_MOST 8192
#define PL_HELD_MOST 8 /* commits that are held */

enum pl_direction {
	PL_INGRESS = 0,
	PL_EGRESS = 1,
};

/* ---- The commit record: generation << 1 | slot, one aligned 64-bit word. ---- */

/* How far a slot is. */
enum pl_mark {
	PL_EMPTY = 0,
	PL_PREPARING = 1,
	PL_READY = 2,
	PL_SETTLED = 3,
};

/* What `status` needs to know of a slot, so that it needs no file. */
struct pl_slot {
	__u64 generation;
	__u64 time_s; /* of the commit, since 1970 */
	__u32 mark; /* enum pl_mark */
	__u32 layout; /* PL_LAYOUT of who wrote it */
	char commit[72]; /* hex, NUL-terminated */
	char tree[72]; /* the same */
	char held[PL_HELD_MOST][72]; /* the same: commits that were gone back from */
};

/* ---- Tables of a slot. ---- */

/* Whose an address is. */
enum pl_owner {
	PL_ELSEWHERE = 0,
	PL_HOST = 1,
	PL_LOCAL = 2, /* `endpoint` says which */
};

struct pl_prefix_v4 {
	__u32 bits;
	__u8 address[4];
};

struct pl_prefix_v6 {
	__u32 bits;
	__u8 address[16];
};

struct pl_address {
	__u64 identity;
	__u16 endpoint;
	__u8 owner; /* enum pl_owner */
	__u8 unused[5];
};

/* A row of zeroes is `absent`. */
struct pl_endpoint {
	__u64 subject;
	__u32 ifindex;
	__u8 mac[6];
	__u8 present;
	__u8 tap; /* no end of a pair: what is delivered goes out by it */
	__u8 unused[4];
};

struct pl_policy_key {
	__u64 subject;
	__u64 identity;
	__u32 direction; /* enum pl_direction */
	__u32 unused;
};

/* Longest prefix match over ruleset, protocol and port: 64, 72 or up to 88 bits. */
struct pl_port_key {
	__u32 bits;
	__u8 ruleset[8]; /* little-endian, as the number lies in memory */
	__u8 protocol;
	__u8 port[2]; /* network order */
	__u8 unused;
};

#define PL_PORT_KEY_BITS_EVERYTHING 64
#define PL_PORT_KEY_BITS_PROTOCOL 72

/* ---- Connection state, one set of maps for each container. ---- */

/* What an entry of the datagram map is about. */
enum pl_kind {
	PL_FLOW = 0,
	PL_FRAGMENT_OUT = 1, /* the first fragment of a datagram from the container was let pass */
	PL_FRAGMENT_IN = 2, /* the same towards it */
	PL_SEEN = 3, /* who began a flow that passed before any commit judged it */
};

/*
 * Key of a connection, as seen from the container that owns the map: its own address is the
 * map's. An IPv4 address stands in the first four bytes, before zeroes; the family tells ::/96 from
 * it. For a fragment the two ports hold the datagram's identification.
 */
struct pl_flow {
	__u8 peer[16];
	__be16 peer_port;
	__be16 own_port;
	__u8 protocol;
	__u8 family; /* 4 or 6 */
	__u8 kind; /* enum pl_kind */
	__u8 unused;
};

/*
 * The word of an entry changes as a whole, by compare-and-exchange, because a map may reuse the
 * element while another CPU still holds its pointer. The tag says whose the element is now.
 *
 *   63      62     61      60        59..44  43..28    27..0
 *   reset   fin in fin out initiator tag     endpoint  generation
 */
#define PL_WORD_GENERATION 0x000000000fffffffULL
#define PL_WORD_ENDPOINT_SHIFT 28
#define PL_WORD_ENDPOINT (0xffffULL << PL_WORD_ENDPOINT_SHIFT)
#define PL_WORD_TAG_SHIFT 44
#define PL_WORD_TAG (0xffffULL << PL_WORD_TAG_SHIFT)
#define PL_WORD_INITIATOR (1ULL << 60) /* the map's container began it */
#define PL_WORD_FIN_OUT (1ULL << 61)
#define PL_WORD_FIN_IN (1ULL << 62)
#define PL_WORD_RESET (1ULL << 63)

/* Delivered by the host's stack. */
#define PL_ENDPOINT_STACK 0xffff

/* `ingress` of a peer that may come in by any interface. */
#define PL_INGRESS_ANY 0xffffffff

struct pl_connection {
	__u64 word;
	__u32 expires; /* low half of jiffies64 */
	__u32 ingress; /* interface the peer's packets come in by; 0: they are the host's own */
	__u32 acknowledges; /* half-open: the number that proves the handshake */
	__be16 peer_port; /* fragment: the datagram's */
	__be16 own_port; /* the same */
	__u8 answered; /* half-open: `acknowledges` is known */
	__u8 unused[7];
};

/* Seconds until an idle entry expires. */
#define PL_EXPIRY_ESTABLISHED_S 432000 /* as nf_conntrack: five days */
#define PL_EXPIRY_HALF_OPEN_S 60
#define PL_EXPIRY_CLOSING_S                                                                        \
	3600 /* one side has finished, and the other may be gone without a word */
#define PL_EXPIRY_CLOSED_S 120 /* twice the maximum segment lifetime that hosts use */
#define PL_EXPIRY_RESET_S 10
#define PL_EXPIRY_DATAGRAM_S 300 /* RFC 4787, REQ-5: five minutes recommended */
#define PL_EXPIRY_ICMP_S 30
#define PL_EXPIRY_FRAGMENT_S 30 /* as the kernel's reassembly */
#define PL_EXPIRY_SEEN_S 30 /* longer than anybody waits for an answer */

/* Sizes of the maps that the quota does not set. */
#define PL_HALF_OPEN_MOST 512
#define PL_DATAGRAMS_MOST 1024

/* ---- Constants of a container's programs. ---- */

struct pl_constants {
	__u8 v6[16];
	__u8 v4[4];
	__u8 mac[6];
	__u8 gateway_mac[6]; /* of the host-side interface */
	__u16 endpoint;
	__u8 has_v4;
	__u8 has_v6;
	__u8 theirs; /* somebody else's interface: host and container ask for each other */
	__u8 passes; /* it carried traffic before us: what is judged by this slot passes */
	__u8 tap; /* it is a tap, and no end of a pair */
	__u8 unused;
};

/*
 * The mark of a packet that its sender's program has judged for both sides and that goes out by a
 * tap, past the receiver's program. It is taken off there. Counts only of what came in by an
 * interface; none that comes into the host has a mark yet.
 */
#define PL_MARK_JUDGED 0x504c4a44

/* ---- Drops. ---- */

/* Why a packet was dropped: the closed list. Counted for each container in `counters`. */
enum pl_reason {
	PL_PASS = 0, /* none: it was let pass */
	PL_MALFORMED, /* header cut short, lengths that contradict each other */
	PL_ETHERTYPE, /* neither IPv4, IPv6 nor ARP, or tagged */
	PL_SPOOFED_MAC, /* source MAC is not the container's */
	PL_SPOOFED_SOURCE, /* source address is not the sender's */
	PL_NOT_FOR_CONTAINER, /* destination address is not the container's */
	PL_ARP, /* ARP other than a question for another's address */
	PL_NEIGHBOUR_DISCOVERY, /* ND, router discovery or MLD other than such a question */
	PL_IP_OPTIONS, /* IPv4 source routing */
	PL_EXTENSION_HEADERS, /* more or other IPv6 extension headers than are judged */
	PL_V4_MAPPED, /* an IPv4-mapped IPv6 address on the wire */
	PL_FRAGMENT, /* a later fragment whose first was not seen */
	PL_ICMP_TYPE, /* redirect, router advertisement */
	PL_ICMP_ERROR, /* an error about no flow of the container */
	PL_STRAY, /* no state, and may not start any */
	PL_ABSENT, /* the container is not in this slot */
	PL_DENIED_EGRESS, /* policy of the initiator */
	PL_DENIED_INGRESS, /* policy of the responder */
	PL_QUOTA, /* connection map is full */
	PL_MISSED_BLOCK, /* a tail call found no block */
	PL_MISSED_MAP, /* a table or connection map is missing */
	PL_RACED, /* an entry changed hands while the packet was judged */
	PL_TRIAL, /* the trial packet of an apply reached the judge */
	PL_REASONS,
};

#define PL_REASONS_MOST 31

struct pl_counters {
	__u64 drops[PL_REASONS_MOST]; /* by enum pl_reason */
	__u32 reclaim; /* low half of jiffies64: not before it is a full map searched again */
	__u32 unused;
};

/* The trial packet's EtherType (IEEE 802 local experimental 1): judged to its slot and dropped. */
#define PL_ETHERTYPE_TRIAL 0x88b5

/* ---- Blocks: indices of the block table. ---- */

enum pl_block {
	PL_BLOCK_JUDGE_OUT = 0,
	PL_BLOCK_JUDGE_IN = 1,
	PL_BLOCK_NEIGHBOUR = 2,
	PL_BLOCKS = 8,
};

/* ---- What a tail call hands on: the parsed packet, one record for each CPU. ---- */

struct pl_scratch {
	__u64 commit; /* the commit record as read at entry */
	__u8 source[16]; /* of the outermost IP header; IPv4 in the first four bytes */
	__u8 destination[16];
	struct pl_flow flow; /* key in the maps of `endpoint`; of an error, its inner packet's */
	__u32 sequence; /* TCP, host order */
	__u32 acknowledgement; /* the same */
	__be32 identification; /* of a fragment */
	__u16 endpoint; /* the container whose program runs */
	__u16 inner; /* of an ICMP error: offset of the packet it is about */
	__u8 gateway_mac[6];
	__u8 tcp_flags; /* of enum pl_tcp_flags; 0 where it is not TCP */
	__u8 starts; /* enum pl_starts */
	__u8 class; /* enum pl_class */
	__u8 fragment; /* enum pl_fragment */
	__u8 tap; /* `endpoint` is behind a tap */
	__u8 theirs; /* it is on somebody else's interface */
	__u32 end; /* of an ICMP error: where it ends, before the frame's padding */
};

/* What kind of packet it is, as far as the judge must know. */
enum pl_class {
	PL_PLAIN = 0,
	PL_ERROR = 1, /* an ICMP error */
	PL_TRIED = 2, /* the trial packet */
};

/* Whether a packet may start a flow. */
enum pl_starts {
	PL_STARTS_NONE = 0,
	PL_STARTS_ANY = 1, /* yes, and the other end of the flow may send such a one, too */
	PL_STARTS_OPENER =
		2, /* yes, and only the flow's initiator sends it: SYN, INIT, echo request */
};

enum pl_fragment {
	PL_WHOLE = 0,
	PL_FIRST = 1,
	PL_LATER = 2,
};

enum pl_tcp_flags {
	PL_TCP_FIN = 0x01,
	PL_TCP_SYN = 0x02,
	PL_TCP_RST = 0x04,
	PL_TCP_ACK = 0x10,
};

#endif
