/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a program build is made of. Set by the loader before the program is loaded, so the verifier
 * removes every branch that the container does not need. Defined once, in from_container.bpf.c.
 */
#ifndef PLUMBLINE_CONSTANTS_H
#define PLUMBLINE_CONSTANTS_H

#include "plumbline.h"

/* The container's own, by slot. A plain build holds the same twice and reads the first alone; a
 * transition build, which a commit that changes them swaps in, reads by the packet's slot. */
extern const volatile struct pl_constants pl_self[2];

/* Whether this is a transition build. */
extern const volatile __u32 pl_transition;

/* Jiffies in a second (clock_getres of CLOCK_MONOTONIC_COARSE): what expiries are counted in. */
extern const volatile __u32 pl_hz;

/* The build hash, hex: shown by `bpftool prog show`, and how the live build is read back. */
extern const volatile char bpf_metadata_build[72];

#endif
