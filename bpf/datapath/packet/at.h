/* SPDX-License-Identifier: GPL-2.0-only */
/* Bytes of a packet by direct access. */
#ifndef PLUMBLINE_AT_H
#define PLUMBLINE_AT_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <linux/if_ether.h>
#include <stddef.h>

/* Which way a packet goes, as the container sees it. */
enum pl_way {
	PL_OUT,
	PL_IN,
};

/* The packet's ends. In assembly, for clang would compute the address of a context field apart from
 * reading it, which the verifier refuses. */
static __always_inline void *pl_data(struct __sk_buff *skb)
{
	void *data;

	asm volatile("%[data] = *(u32 *)(%[skb] + %[offset])"
		     : [data] "=r"(data)
		     : [skb] "r"(skb), [offset] "i"(offsetof(struct __sk_buff, data)));
	return data;
}

static __always_inline void *pl_data_end(struct __sk_buff *skb)
{
	void *end;

	asm volatile("%[end] = *(u32 *)(%[skb] + %[offset])"
		     : [end] "=r"(end)
		     : [skb] "r"(skb), [offset] "i"(offsetof(struct __sk_buff, data_end)));
	return end;
}

/*
 * `length` bytes at `offset`, pulled into the linear part where they are not there yet. NULL where
 * the packet is shorter. Pointers got before are invalid after it.
 */
static __always_inline void *pl_at(struct __sk_buff *skb, __u32 offset, __u32 length)
{
	void *data = pl_data(skb);
	void *end = pl_data_end(skb);

	offset &= 0x7ff;
	if (data + offset + length <= end)
		return data + offset;
	if (skb->len < offset + length || bpf_skb_pull_data(skb, offset + length))
		return NULL;
	data = pl_data(skb);
	end = pl_data_end(skb);
	if (data + offset + length > end)
		return NULL;
	return data + offset;
}

#endif
