/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Addresses as 16 bytes: IPv4 in the first four, before zeroes. The family is known beside them.
 */
#ifndef PLUMBLINE_ADDRESS_H
#define PLUMBLINE_ADDRESS_H

#include "../plumbline.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
#include <stdbool.h>

#define memcpy __builtin_memcpy
#define memset __builtin_memset

/* Copies of 16 bytes that lie at any alignment of four. */
static __always_inline void pl_copy16(void *to, const void *from)
{
	__u32 *t = to;
	const __u32 *f = from;

	t[0] = f[0];
	t[1] = f[1];
	t[2] = f[2];
	t[3] = f[3];
}

static __always_inline void pl_set_v4(__u8 *to, __be32 address)
{
	__u32 *t = (__u32 *)to;

	t[0] = address;
	t[1] = 0;
	t[2] = 0;
	t[3] = 0;
}

static __always_inline __u32 pl_word_of(const void *address, int index)
{
	return ((const __u32 *)address)[index];
}

static __always_inline bool pl_same16(const void *a, const void *b)
{
	const __u32 *x = a, *y = b;

	return !((x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]) | (x[3] ^ y[3]));
}

/* The unspecified address. */
static __always_inline bool pl_is_any16(const void *a)
{
	return !(pl_word_of(a, 0) | pl_word_of(a, 1) | pl_word_of(a, 2) | pl_word_of(a, 3));
}

static __always_inline bool pl_same_mac(const void *a, const void *b)
{
	const __u16 *x = a, *y = b;

	return !((x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]));
}

/* ::ffff:0:0/96 (RFC 4291, section 2.5.5.2) has no place on the wire. */
static __always_inline bool pl_is_v4_mapped(const void *address)
{
	return !pl_word_of(address, 0) && !pl_word_of(address, 1) &&
	       pl_word_of(address, 2) == bpf_htonl(0xffff);
}

/* 32 bits of an address, for tags. */
static __always_inline __u32 pl_fold(const void *address)
{
	return pl_word_of(address, 0) + pl_word_of(address, 1) * 3 + pl_word_of(address, 2) * 5 +
	       pl_word_of(address, 3) * 7;
}

#endif
