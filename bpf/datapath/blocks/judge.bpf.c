// SPDX-License-Identifier: GPL-2.0-only
/*
 * The slow path, shared by all containers: a new flow, a known one under a new generation, and
 * whatever changes a connection's state. A local pair is judged here once, by its sender's
 * program, for both sides.
 */
#include "../action/deliver.h"
#include "../action/drop.h"
#include "../lookup/flow.h"
#include "../lookup/fragments.h"
#include "../lookup/handshake.h"
#include "../lookup/seen.h"
#include "../packet/inner.h"

const volatile __u32 pl_hz = 250;
const volatile char bpf_metadata_build[72] = {};

char LICENSE[] SEC("license") = "GPL";

/*
 * Whether the source of a packet from the host's stack may be what it says. The host's own packets
 * have no ingress interface. A local container's come in by its own interface alone. One that bears
 * an address of the host but came in by an interface was translated by the host if that interface
 * is a container's, for there the source was checked on entry; from anywhere else it is spoofed.
 */
static __always_inline bool pl_is_source_true(struct pl_case *c, struct pl_party *source,
					      __u32 ifindex)
{
	if (source->owner == PL_LOCAL)
		return ifindex && source->ifindex == ifindex;
	if (source->owner == PL_HOST && ifindex)
		return pl_is_container_interface(c->slot, ifindex);
	if (!ifindex)
		source->owner = PL_HOST;
	return true;
}

/*
 * By which interface the host took the packet; 0 where it is the host's own. An IPv6 datagram that
 * the host put together (connection tracking does) and cut again is new packets, for which the
 * kernel forgets it: those have no socket, and parts of the host's own datagrams do. Nobody knows
 * where they came from.
 */
static __always_inline __u32 pl_ifindex_of(struct __sk_buff *skb, const struct pl_scratch *s)
{
	__u32 ifindex = skb->ingress_ifindex;

	return !ifindex && s->fragment != PL_WHOLE && !skb->sk ? PL_INGRESS_ANY : ifindex;
}

/*
 * Whether an error about a flow of the container may have come in by this interface: between two
 * containers there is nobody but the host who could tell, and they themselves.
 */
static __always_inline bool pl_is_error_true(struct pl_case *c, __u32 ifindex)
{
	return c->peer.owner != PL_LOCAL || !ifindex || ifindex == c->peer.ifindex;
}

/* By which interface the peer's packets come to the container. */
static __always_inline __u32 pl_ingress_of(struct pl_case *c, __u32 ifindex)
{
	if (c->peer.owner == PL_ELSEWHERE)
		return PL_INGRESS_ANY;
	if (!c->out)
		return ifindex;
	return c->peer.owner == PL_LOCAL ? c->peer.ifindex : 0;
}

/* Who the two ends are, and their maps. */
static __always_inline enum pl_reason pl_open_case(struct __sk_buff *skb, struct pl_case *c)
{
	struct pl_scratch *s = c->s;
	__u8 *own = c->out ? s->source : s->destination;
	__u32 ifindex = pl_ifindex_of(skb, s);

	c->slot = pl_slot_of(s->commit);
	c->now = pl_now();
	if (!pl_endpoint_row(c->slot, s->endpoint))
		return PL_ABSENT;
	if (s->class == PL_TRIED)
		return PL_TRIAL;
	if (!pl_party_of(&c->own, c->slot, s->flow.family, (void *)own) ||
	    c->own.endpoint != s->endpoint)
		return PL_ABSENT;
	if (!c->out && s->class == PL_ERROR) {
		struct pl_party router;

		if (!pl_party_of(&router, c->slot, s->flow.family, (void *)s->source))
			return PL_ABSENT;
		if (!pl_is_source_true(c, &router, ifindex))
			return PL_SPOOFED_SOURCE;
	}
	if (s->class == PL_ERROR && !pl_parse_inner(skb, s, c->out ? PL_OUT : PL_IN))
		return PL_ICMP_ERROR;
	if (!pl_party_of(&c->peer, c->slot, s->flow.family, (void *)s->flow.peer))
		return PL_ABSENT;
	if (!c->out && s->class == PL_ERROR && !pl_is_error_true(c, ifindex))
		return PL_ICMP_ERROR;
	if (!c->out && s->class != PL_ERROR && !pl_is_source_true(c, &c->peer, ifindex))
		return PL_SPOOFED_SOURCE;
	if (!c->out)
		c->peer.endpoint = PL_ENDPOINT_STACK;
	c->ingress = pl_ingress_of(c, ifindex);
	c->pair = c->out && c->peer.owner == PL_LOCAL;
	c->mine.own_fold = pl_fold(own);
	if (!pl_take_maps(&c->mine, s->endpoint))
		return PL_MISSED_MAP;
	if (s->fragment == PL_LATER && !pl_fragment_recall(c))
		return PL_FRAGMENT;
	c->mine.key = s->flow;
	if (c->pair) {
		pl_mirror(&c->theirs.key, &s->flow, own);
		c->theirs.own_fold = pl_fold(s->flow.peer);
		if (!pl_take_maps(&c->theirs, c->peer.endpoint))
			return PL_MISSED_MAP;
	}
	return PL_PASS;
}

/*
 * What may not begin may be the answer to what began before any commit judged it: 1 where a record
 * says so, which is made an entry as of who began. It is of no generation that was: the policy is
 * asked about it. The record's own element is what is copied, for the stack has no room; one that
 * has gone to another flow meanwhile has another word, and is left. A global function, so that the
 * verifier walks it once.
 */
__noinline __weak int pl_recall(__u32 own_fold, const struct pl_party *peer)
{
	struct pl_scratch *s = pl_scratch_record();
	struct pl_connection *record;
	bool of_container, believed;
	void *datagrams, *map;
	__u64 was, word, tag;
	__u32 endpoint;

	if (!peer || !s || s->class != PL_PLAIN || s->fragment == PL_LATER)
		return 0;
	endpoint = s->endpoint;
	datagrams = bpf_map_lookup_elem(&all_datagrams, &endpoint);
	map = s->flow.protocol == IPPROTO_TCP ? bpf_map_lookup_elem(&all_half_open, &endpoint) :
						datagrams;
	if (!datagrams || !map)
		return 0;
	s->flow.kind = PL_SEEN;
	record = pl_seen(datagrams, &s->flow, own_fold, pl_now());
	tag = pl_tag(&s->flow, own_fold);
	s->flow.kind = PL_FLOW;
	if (!record)
		return 0;
	was = *(volatile __u64 *)&record->word;
	if ((was ^ tag) & PL_WORD_TAG)
		return 0;
	word = was & PL_WORD_INITIATOR;
	/*
	 * A container's packets come in by its interface, and nobody else's by any container's;
	 * but for those that the host sends, or has translated for a container.
	 */
	of_container = pl_is_container_interface(pl_slot_of(s->commit), record->ingress);
	if (peer->owner == PL_LOCAL)
		believed = record->ingress == peer->ifindex;
	else
		believed =
			peer->owner == PL_HOST ? !record->ingress || of_container : !of_container;
	if (!word && !believed)
		return 0;
	word |= pl_generation_of(s->commit) ^ PL_WORD_GENERATION;
	word |= pl_tag(&s->flow, own_fold);
	if (__sync_val_compare_and_swap(&record->word, was, word) != was)
		return 0;
	record->ingress = PL_INGRESS_ANY;
	bpf_map_update_elem(map, &s->flow, record, BPF_NOEXIST);
	s->flow.kind = PL_SEEN;
	bpf_map_delete_elem(datagrams, &s->flow);
	s->flow.kind = PL_FLOW;
	return 1;
}

/*
 * Whether somebody else may have sent what the peer seems to have sent, with whatever numbers: a
 * RST, or a SYN after it. The container's stack knows better, so what it sends decides. (Of other
 * peers the source is checked.)
 */
static __always_inline bool pl_is_doubtful(struct pl_case *c, struct pl_found *found)
{
	return found->entry && !found->half_open && c->peer.owner == PL_ELSEWHERE;
}

/* Whether the segment begins a connection over one that has closed: a SYN, or the container's
 * answer to a doubtful one. */
static __always_inline bool pl_reopens(struct pl_case *c, struct pl_found *found, __u64 word)
{
	__u8 flags = c->s->tcp_flags & (PL_TCP_SYN | PL_TCP_ACK | PL_TCP_RST);

	if (c->s->flow.protocol != IPPROTO_TCP || c->s->class != PL_PLAIN || !pl_is_closed(word))
		return false;
	return c->s->starts ||
	       (c->out && flags == (PL_TCP_SYN | PL_TCP_ACK) && pl_is_doubtful(c, found));
}

/* A flow that begins, over a closed connection at most. */
static __always_inline enum pl_reason pl_begin(struct pl_case *c, struct pl_found *found)
{
	bool doubtful = pl_is_doubtful(c, found);
	bool answers = doubtful && c->out && !c->s->starts;
	bool own_began = c->out && !answers;
	enum pl_reason reason;
	__u64 word;

	if (!c->s->starts && !answers)
		return c->s->class == PL_ERROR ? PL_ICMP_ERROR : PL_STRAY;
	reason = pl_case_verdict(c, own_began);
	if (reason != PL_PASS || (doubtful && !c->out))
		return reason;
	word = pl_case_word(c, own_began);
	if (c->s->flow.protocol != IPPROTO_TCP)
		return pl_case_make(c, c->mine.datagrams, c->theirs.datagrams, word,
				    pl_expiry_s(word, c->s->flow.protocol));
	pl_case_forget(c);
	reason = pl_case_make(c, c->mine.half_open, c->theirs.half_open, word,
			      PL_EXPIRY_HALF_OPEN_S);
	if (reason != PL_PASS || !answers)
		return reason;
	pl_look(found, &c->mine, c->now);
	pl_answer(found->entry, c->s->sequence + 1);
	return PL_PASS;
}

/* The container goes on with a connection that was reset: its stack did not believe it. */
static __always_inline __u64 pl_outlive(struct pl_case *c, struct pl_found *found, __u64 word)
{
	if (!(word & PL_WORD_RESET) || (c->s->tcp_flags & PL_TCP_RST) || !c->out ||
	    !pl_is_doubtful(c, found))
		return word;
	pl_change(found->entry, pl_tag(&c->mine.key, c->mine.own_fold), PL_WORD_RESET, 0);
	return word & ~PL_WORD_RESET;
}

/* Brings an entry under the present generation, or forgets the flow: not where the packet came in
 * by another interface than the flow's, for then somebody else may have sent it. */
static __always_inline enum pl_reason pl_judge_again(struct pl_case *c, struct pl_found *found,
						     __u64 *word, bool moved)
{
	__u64 tag = pl_tag(&c->mine.key, c->mine.own_fold);
	enum pl_reason reason = pl_case_verdict(c, *word & PL_WORD_INITIATOR);
	__u64 set = pl_generation_of(c->s->commit) | (__u64)c->peer.endpoint
							     << PL_WORD_ENDPOINT_SHIFT;

	if (reason != PL_PASS) {
		if (c->out || !moved)
			pl_case_forget(c);
		return reason;
	}
	if (!found->entry ||
	    !pl_change(found->entry, tag, PL_WORD_GENERATION | PL_WORD_ENDPOINT, set))
		return PL_RACED;
	*word = (*word & ~(PL_WORD_GENERATION | PL_WORD_ENDPOINT)) | set;
	return PL_PASS;
}

/* The peer's packets come in by another interface than before, or its address has another owner
 * under this generation: an entry like the old one. */
static __always_inline void pl_move(struct pl_case *c, struct pl_found *found)
{
	struct pl_connection moved = *found->entry;

	moved.ingress = c->ingress;
	bpf_map_update_elem(found->map, &c->mine.key, &moved, BPF_EXIST);
	found->entry = pl_find(found->map, &c->mine, c->now);
}

/* A packet of a flow that has an entry. */
static __always_inline enum pl_reason pl_go_on(struct pl_case *c, struct pl_found *found,
					       __u64 word)
{
	struct pl_scratch *s = c->s;
	bool initiator_sends = !(word & PL_WORD_INITIATOR) == !c->out;
	bool moved = s->class == PL_PLAIN && found->entry && found->entry->ingress != c->ingress;
	enum pl_reason reason = PL_PASS;

	if (s->class == PL_PLAIN && s->starts == PL_STARTS_OPENER && !initiator_sends)
		/* The responder opens over it: judged as a new flow; the entry stays as it is. */
		return pl_case_verdict(c, c->out);
	if ((word ^ pl_generation_of(s->commit)) & PL_WORD_GENERATION)
		reason = pl_judge_again(c, found, &word, moved);
	else if (moved && !c->out)
		/* What was true of the host, or of a container, is not of who sends this. */
		reason = pl_case_verdict(c, word & PL_WORD_INITIATOR);
	if (reason != PL_PASS || s->class == PL_ERROR)
		return reason;
	if (moved && found->entry && !(c->out && c->ingress == PL_INGRESS_ANY))
		pl_move(c, found);
	if (s->flow.protocol == IPPROTO_TCP && found->half_open) {
		reason = pl_case_handshake(c, found, word, initiator_sends);
		if (reason != PL_PASS)
			return reason;
	}
	if (!found->entry)
		return PL_RACED;
	word = pl_outlive(c, found, word);
	if (s->tcp_flags & (PL_TCP_FIN | PL_TCP_RST))
		pl_case_close(c, found);
	else
		pl_refresh(found->entry, c->now,
			   found->half_open ? PL_EXPIRY_HALF_OPEN_S :
					      pl_expiry_s(word, s->flow.protocol));
	return PL_PASS;
}

static __always_inline int pl_judge(struct __sk_buff *skb, bool out)
{
	struct pl_case c = { .s = pl_scratch_record(), .out = out };
	struct pl_found found;
	enum pl_reason reason;
	bool absent;
	int action;
	__u64 word;

	if (!c.s)
		return TC_ACT_SHOT;
	reason = pl_open_case(skb, &c);
	if (reason != PL_PASS)
		return pl_drop_at(c.s->endpoint, reason);
	pl_case_look(&c, &found);
	word = found.entry ? *(volatile __u64 *)&found.entry->word : 0;
	if (!found.entry || pl_reopens(&c, &found, word)) {
		reason = pl_begin(&c, &found);
		if (reason != PL_PASS && c.s->theirs && pl_recall(c.mine.own_fold, &c.peer))
			/* It has an entry now. */
			bpf_tail_call(skb, &blocks, out ? PL_BLOCK_JUDGE_OUT : PL_BLOCK_JUDGE_IN);
	} else {
		reason = pl_go_on(&c, &found, word);
	}
	if (reason == PL_PASS && c.s->fragment == PL_FIRST && !pl_fragment_remember(&c))
		reason = PL_QUOTA;
	if (reason != PL_PASS)
		return pl_drop_at(c.s->endpoint, reason);
	if (!out)
		return TC_ACT_OK;
	action = pl_deliver(skb, c.slot, c.peer.endpoint, c.s->gateway_mac, &absent);
	return absent ? pl_drop_at(c.s->endpoint, PL_ABSENT) : action;
}

SEC("tc")
int judge_out(struct __sk_buff *skb)
{
	return pl_judge(skb, true);
}

SEC("tc")
int judge_in(struct __sk_buff *skb)
{
	return pl_judge(skb, false);
}
