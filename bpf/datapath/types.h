/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Clang leaves a struct that only an inner map's definition names as a forward declaration in the
 * BTF. This function, which nothing calls and no program holds, names them all, so that every
 * object's BTF has them whole.
 */
#ifndef PLUMBLINE_TYPES_H
#define PLUMBLINE_TYPES_H

#include "plumbline.h"

struct pl_types {
	struct pl_slot slot;
	struct pl_prefix_v4 prefix_v4;
	struct pl_prefix_v6 prefix_v6;
	struct pl_address address;
	struct pl_endpoint endpoint;
	struct pl_policy_key policy_key;
	struct pl_port_key port_key;
	struct pl_flow flow;
	struct pl_connection connection;
	struct pl_constants constants;
	struct pl_counters counters;
	enum pl_mark mark;
	enum pl_owner owner;
	enum pl_direction direction;
	enum pl_kind kind;
	enum pl_reason reason;
	enum pl_block block;
};

static __attribute__((used, noinline)) int pl_types(struct pl_types *types)
{
	return !types;
}

#endif
