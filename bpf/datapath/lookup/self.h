/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A container's constants as its programs read them. The loader sets them after compilation, so
 * every read is volatile: a compiler that may look through takes the zeroes it sees for the truth.
 */
#ifndef PLUMBLINE_SELF_H
#define PLUMBLINE_SELF_H

#include "../constants.h"
#include "../packet/address.h"
#include "commit.h"

/* The constants for a packet of this slot. */
static __always_inline const volatile struct pl_constants *pl_self_of(__u64 commit_word)
{
	return pl_transition && pl_slot_of(commit_word) ? &pl_self[1] : &pl_self[0];
}

static __always_inline bool pl_is_own_v4(const volatile struct pl_constants *self,
					 const void *address)
{
	return self->has_v4 && pl_word_of(address, 0) == *(const volatile __u32 *)self->v4;
}

static __always_inline bool pl_is_own_v6(const volatile struct pl_constants *self,
					 const void *address)
{
	const volatile __u32 *own = (const volatile __u32 *)self->v6;

	return self->has_v6 &&
	       !((pl_word_of(address, 0) ^ own[0]) | (pl_word_of(address, 1) ^ own[1]) |
		 (pl_word_of(address, 2) ^ own[2]) | (pl_word_of(address, 3) ^ own[3]));
}

/* Whether an address of this family is the container's own. */
static __always_inline bool pl_is_own(const volatile struct pl_constants *self, __u8 family,
				      const void *address)
{
	return family == 4 ? pl_is_own_v4(self, address) : pl_is_own_v6(self, address);
}

static __always_inline bool pl_is_own_mac(const volatile struct pl_constants *self, const void *mac)
{
	const volatile __u16 *own = (const volatile __u16 *)self->mac;
	const __u16 *m = mac;

	return !((m[0] ^ own[0]) | (m[1] ^ own[1]) | (m[2] ^ own[2]));
}

static __always_inline void pl_copy_gateway_mac(const volatile struct pl_constants *self, void *to)
{
	const volatile __u16 *gateway = (const volatile __u16 *)self->gateway_mac;
	__u16 *t = to;

	t[0] = gateway[0];
	t[1] = gateway[1];
	t[2] = gateway[2];
}

#endif
