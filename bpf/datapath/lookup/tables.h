/* SPDX-License-Identifier: GPL-2.0-only */
/* The tables of a slot: from two addresses to a verdict. */
#ifndef PLUMBLINE_TABLES_H
#define PLUMBLINE_TABLES_H

#include "../maps.h"
#include "../packet/address.h"
#include <linux/in.h>

/* A row of a slot's table, or NULL where either is missing. */
#define pl_row(table, slot, key)                                                                   \
	({                                                                                         \
		__u32 index = slot;                                                                \
		void *inner = bpf_map_lookup_elem(&(table), &index);                               \
		inner ? bpf_map_lookup_elem(inner, key) : NULL;                                    \
	})

/* What an address is; NULL where no prefix holds it: any other peer, elsewhere. */
static __always_inline struct pl_address *pl_address_row(__u32 slot, __u8 family,
							 const __u8 *address)
{
	if (family == 4) {
		struct pl_prefix_v4 key = { .bits = 32 };

		memcpy(key.address, address, sizeof(key.address));
		return pl_row(addresses_v4, slot, &key);
	}
	struct pl_prefix_v6 key = { .bits = 128 };

	pl_copy16(key.address, address);
	return pl_row(addresses_v6, slot, &key);
}

/* A container of this slot; NULL where it is absent. */
static __always_inline struct pl_endpoint *pl_endpoint_row(__u32 slot, __u32 endpoint)
{
	struct pl_endpoint *row = pl_row(endpoints, slot, &endpoint);

	return row && row->present ? row : NULL;
}

/* Whether an interface is a container's of this slot. */
static __always_inline bool pl_is_container_interface(__u32 slot, __u32 ifindex)
{
	return pl_row(interfaces, slot, &ifindex) != NULL;
}

/*
 * 1 where what a subject may do with an identity in a direction covers a protocol and port (network
 * order, in the lower half), else 0. A global function, so that the verifier walks it once and not
 * for each caller.
 */
__noinline __weak int pl_permits(__u32 slot, __u64 subject, __u32 direction, __u64 identity,
				 __u32 protocol_port)
{
	struct pl_policy_key key = {
		.subject = subject,
		.identity = identity,
		.direction = direction,
	};
	struct pl_port_key ports = {
		.bits = 88,
		.protocol = protocol_port >> 16,
	};
	__be16 port = protocol_port;
	__u64 *ruleset = pl_row(policy, slot, &key);

	if (!ruleset && identity) {
		key.identity = 0;
		ruleset = pl_row(policy, slot, &key);
	}
	if (!ruleset)
		return 0;
	memcpy(ports.ruleset, ruleset, sizeof(ports.ruleset));
	memcpy(ports.port, &port, sizeof(ports.port));
	return pl_row(rulesets, slot, &ports) != NULL;
}

#endif
