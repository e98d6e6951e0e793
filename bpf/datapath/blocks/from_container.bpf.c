// SPDX-License-Identifier: GPL-2.0-only
/*
 * Entry, on ingress of the host-side interface: what a container sends. Its source is checked
 * against constants, an established flow is delivered after one lookup, and all else goes to the
 * judge.
 */
#include "../action/deliver.h"
#include "../action/drop.h"
#include "../lookup/connections.h"
#include "../lookup/advertisement.h"
#include "../lookup/scratch.h"
#include "../lookup/seen.h"
#include "../lookup/self.h"
#include "../packet/parse.h"

const volatile struct pl_constants pl_self[2] = {};
const volatile __u32 pl_transition = 0;
const volatile __u32 pl_hz = 250;
const volatile char bpf_metadata_build[72] = {};

char LICENSE[] SEC("license") = "GPL";

/* A flow that the present generation has judged: the word of its entry, or 0. */
static __always_inline __u64 pl_established(struct pl_scratch *s)
{
	struct pl_connection *entry;
	__u32 now = pl_now();
	__u64 word;

	if (s->class != PL_PLAIN || s->fragment != PL_WHOLE)
		return 0;
	if (s->flow.protocol == IPPROTO_TCP &&
	    (s->tcp_flags & (PL_TCP_SYN | PL_TCP_FIN | PL_TCP_RST)))
		return 0;
	entry = pl_own_entry(&s->flow);
	word = pl_judged(entry, s, pl_fold(s->source), now);
	/* That the container still sends takes a reset back: the judge's. */
	if (!word || (word & PL_WORD_RESET) ||
	    (s->starts == PL_STARTS_OPENER && !(word & PL_WORD_INITIATOR)))
		return 0;
	pl_refresh(entry, now, pl_expiry_s(word, s->flow.protocol));
	return word;
}

SEC("tc")
int from_container(struct __sk_buff *skb)
{
	struct pl_scratch *s = pl_scratch_record();
	const volatile struct pl_constants *self;
	struct ethhdr *eth = pl_at(skb, 0, sizeof(*eth));
	enum pl_reason reason;
	bool absent, own_mac;
	__u64 word;
	int action;

	if (!s || !eth)
		return pl_drop(PL_MALFORMED);
	s->commit = pl_read_commit();
	self = pl_self_of(s->commit);
	own_mac = pl_is_own_mac(self, eth->h_source);
	if (!self->passes && !own_mac)
		return pl_drop(PL_SPOOFED_MAC);
	s->endpoint = self->endpoint;
	s->tap = self->tap;
	s->theirs = self->theirs;
	pl_copy_gateway_mac(self, s->gateway_mac);
	reason = pl_parse(skb, s, PL_OUT);
	if (self->passes) {
		if (reason == PL_PASS && own_mac && pl_is_own(self, s->flow.family, s->source))
			pl_see(s, pl_fold(s->source), true, PL_INGRESS_ANY);
		return TC_ACT_OK;
	}
	if (reason == PL_ARP || reason == PL_NEIGHBOUR_DISCOVERY) {
		if (self->theirs && pl_advertises_itself(skb, self))
			return TC_ACT_OK;
		bpf_tail_call(skb, &blocks, PL_BLOCK_NEIGHBOUR);
		return pl_drop(PL_MISSED_BLOCK);
	}
	if (reason != PL_PASS)
		return pl_drop(reason);
	if (s->class != PL_TRIED && !pl_is_own(self, s->flow.family, s->source))
		return pl_drop(PL_SPOOFED_SOURCE);
	word = pl_established(s);
	if (!word) {
		bpf_tail_call(skb, &blocks, PL_BLOCK_JUDGE_OUT);
		return pl_drop(PL_MISSED_BLOCK);
	}
	action = pl_deliver(skb, pl_slot_of(s->commit), pl_endpoint_of(word), s->gateway_mac,
			    &absent);
	return absent ? pl_drop(PL_ABSENT) : action;
}
