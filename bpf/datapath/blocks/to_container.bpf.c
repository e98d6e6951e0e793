// SPDX-License-Identifier: GPL-2.0-only
/*
 * Entry, on egress of the host-side interface: what the host's stack sends to a container, its own
 * packets (ingress interface 0) and those that it forwards. Packets of a local pair that their
 * sender's program delivered do not come by here, or only pass.
 */
#include "../action/drop.h"
#include "../lookup/connections.h"
#include "../lookup/scratch.h"
#include "../lookup/seen.h"
#include "../lookup/self.h"
#include "../packet/parse.h"

/*
 * Whether an entry lets the packet in as it is: judged by the present generation, and from the
 * interface by which its peer's packets come.
 */
static __always_inline bool pl_is_established(struct __sk_buff *skb, struct pl_scratch *s)
{
	struct pl_connection *entry;
	__u32 now = pl_now();
	__u64 word;

	if (s->class != PL_PLAIN || s->fragment != PL_WHOLE)
		return false;
	if (s->flow.protocol == IPPROTO_TCP &&
	    (s->tcp_flags & (PL_TCP_SYN | PL_TCP_FIN | PL_TCP_RST)))
		return false;
	entry = pl_own_entry(&s->flow);
	word = pl_judged(entry, s, pl_fold(s->destination), now);
	if (!word || (s->starts == PL_STARTS_OPENER && (word & PL_WORD_INITIATOR)))
		return false;
	if (entry->ingress != PL_INGRESS_ANY && entry->ingress != skb->ingress_ifindex)
		return false;
	pl_refresh(entry, now, pl_expiry_s(word, s->flow.protocol));
	return true;
}

SEC("tc")
int to_container(struct __sk_buff *skb)
{
	struct pl_scratch *s = pl_scratch_record();
	const volatile struct pl_constants *self;
	enum pl_reason reason;

	if (!s)
		return pl_drop(PL_MALFORMED);
	s->commit = pl_read_commit();
	self = pl_self_of(s->commit);
	if (self->tap && skb->mark == PL_MARK_JUDGED && skb->ingress_ifindex) {
		skb->mark = 0;
		return TC_ACT_OK;
	}
	s->endpoint = self->endpoint;
	s->theirs = self->theirs;
	reason = pl_parse(skb, s, PL_IN);
	if (self->passes) {
		if (reason == PL_PASS && pl_is_own(self, s->flow.family, s->destination))
			pl_see(s, pl_fold(s->destination), false, skb->ingress_ifindex);
		return TC_ACT_OK;
	}
	/* The host asks for its neighbour, where it is not told. */
	if (self->theirs && !skb->ingress_ifindex &&
	    (reason == PL_ARP || reason == PL_NEIGHBOUR_DISCOVERY))
		return TC_ACT_OK;
	if (reason != PL_PASS)
		return pl_drop(reason);
	if (s->class != PL_TRIED && !pl_is_own(self, s->flow.family, s->destination))
		return pl_drop(PL_NOT_FOR_CONTAINER);
	if (pl_is_established(skb, s))
		return TC_ACT_OK;
	bpf_tail_call(skb, &blocks, PL_BLOCK_JUDGE_IN);
	return pl_drop(PL_MISSED_BLOCK);
}
