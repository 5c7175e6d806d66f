// SPDX-License-Identifier: GPL-2.0
/*
 * Nodes, and memory of nodes, that are there at boot or come and go.
 */
#define pr_fmt(fmt) "balloon: " fmt

#include <linux/init.h>
#include <linux/memory.h>

#include "internal.h"

/* Prepare for every node that is online. */
static int update_nodes(void)
{
	int nid;

	for_each_online_node(nid) {
		if (balloon_nodes[nid])
			continue;
		if (!balloon_node_add(nid))
			return -ENOMEM;
		balloon_sysfs_add_node(nid);
	}
	return balloon_rings_update();
}

/* Called under mem_hotplug_lock: one at a time. */
static int memory_callback(struct notifier_block *nb, unsigned long action, void *arg)
{
	if (action != MEM_ONLINE && action != MEM_OFFLINE)
		return NOTIFY_OK;

	if (update_nodes())
		pr_warn("no memory to follow a change of nodes\n");
	balloon_set_baseline();
	balloon_replan();
	return NOTIFY_OK;
}

static int __init balloon_nodes_init(void)
{
	int err = update_nodes();

	if (err)
		return err;
	hotplug_memory_notifier(memory_callback, DEFAULT_CALLBACK_PRI);
	return 0;
}
/* After the nodes' devices, before the drivers. */
subsys_initcall(balloon_nodes_init);
