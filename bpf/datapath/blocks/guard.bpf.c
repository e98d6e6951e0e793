// SPDX-License-Identifier: GPL-2.0-only
/*
 * Behind our programs, as a filter that the device owns: reached only where our links have
 * vanished, and then nothing passes. It outlives all that is pinned, and is known by its name and
 * its instructions: whoever changes these adds to TAGS of guard.rs.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <linux/pkt_cls.h>

SEC("tc")
int plumbline_guard(struct __sk_buff *skb)
{
	return TC_ACT_SHOT;
}
