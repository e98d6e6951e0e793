// SPDX-License-Identifier: GPL-2.0-only
/*
 * A test run repeats one packet. This program stands before the one that is measured: it makes the
 * packet one of another flow, and hands it on by a tail call. Handed on to `nothing`, it is what
 * the harness costs.
 *
 * What it writes: the source MAC address, which delivery has changed, and of the IP and transport
 * headers the address and the port of one end. Checksums stay wrong: nobody reads them.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>
#include <stdbool.h>

#define FLOWS_MOST 65536
#define SENDERS_MOST 256
#define FRAME_LEAST 58 /* the last port of IPv6 ends there */

/* One of many flows. */
struct flow {
	__be16 port;
	__u16 sender;
};

struct flows {
	struct flow all[FLOWS_MOST];
};

/* Whose programs packets go to. */
struct sender {
	__u8 v6[16];
	__u8 v4[4];
	__u8 mac[8]; /* six, and two of nothing */
	__u8 unused[4];
};

struct senders {
	struct sender all[SENDERS_MOST];
};

struct control {
	__u32 next; /* flow */
	__u32 mask; /* how many there are, less one */
	__u32 base; /* where the targets of senders begin */
	__u32 receiver; /* the target of what the other end sends */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct flows);
} flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct senders);
} senders SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct control);
} control SEC(".maps");

/* The datapath's own. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, __u64);
} commit SEC(".maps");

/* Programs of senders, then as many times `nothing`. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 2 * SENDERS_MOST);
	__type(key, __u32);
	__type(value, __u32);
} targets SEC(".maps");

char LICENSE[] SEC("license") = "GPL";

/* What an end of a packet of this family looks like. */
struct end {
	__u32 address;
	__u32 port;
};

static const struct end source_v4 = { ETH_HLEN + 12, ETH_HLEN + 20 };
static const struct end source_v6 = { ETH_HLEN + 8, ETH_HLEN + 40 };
static const struct end destination_v4 = { ETH_HLEN + 16, ETH_HLEN + 22 };
static const struct end destination_v6 = { ETH_HLEN + 24, ETH_HLEN + 42 };

static __always_inline int hand_on(struct __sk_buff *skb, const struct end end, bool six,
				   bool answers, bool judged_anew)
{
	void *data = (void *)(long)skb->data;
	__u32 zero = 0, target;
	struct control *c = bpf_map_lookup_elem(&control, &zero);
	struct flows *f = bpf_map_lookup_elem(&flows, &zero);
	struct senders *s = bpf_map_lookup_elem(&senders, &zero);
	__u64 *word = bpf_map_lookup_elem(&commit, &zero);
	const struct sender *sender, *from;
	struct flow flow;

	if (!c || !f || !s || !word || data + FRAME_LEAST > (void *)(long)skb->data_end)
		return TC_ACT_SHOT;
	flow = f->all[c->next++ & c->mask & (FLOWS_MOST - 1)];
	sender = &s->all[flow.sender & (SENDERS_MOST - 1)];
	target = answers ? c->receiver : flow.sender;
	from = &s->all[target & (SENDERS_MOST - 1)];
	__builtin_memcpy(data + ETH_ALEN, from->mac, ETH_ALEN);
	if (six)
		__builtin_memcpy(data + end.address, sender->v6, 16);
	else
		__builtin_memcpy(data + end.address, sender->v4, 4);
	*(__be16 *)(data + end.port) = flow.port;
	/* The next generation of the same slot. */
	if (judged_anew)
		*(volatile __u64 *)word += 2;
	bpf_tail_call(skb, &targets, c->base + target);
	return TC_ACT_SHOT;
}

SEC("tc")
int sends_v4(struct __sk_buff *skb)
{
	return hand_on(skb, source_v4, false, false, false);
}

SEC("tc")
int sends_v6(struct __sk_buff *skb)
{
	return hand_on(skb, source_v6, true, false, false);
}

SEC("tc")
int answers_v4(struct __sk_buff *skb)
{
	return hand_on(skb, destination_v4, false, true, false);
}

SEC("tc")
int answers_v6(struct __sk_buff *skb)
{
	return hand_on(skb, destination_v6, true, true, false);
}

SEC("tc")
int commits_v4(struct __sk_buff *skb)
{
	return hand_on(skb, source_v4, false, false, true);
}

SEC("tc")
int commits_v6(struct __sk_buff *skb)
{
	return hand_on(skb, source_v6, true, false, true);
}

/* The answer of a program that delivers, so that the harness takes the same way after it. */
SEC("tc")
int nothing(struct __sk_buff *skb)
{
	return TC_ACT_REDIRECT;
}
