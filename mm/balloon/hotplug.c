// SPDX-License-Identifier: GPL-2.0
/*
 * Nodes, and memory of nodes, that are there at boot or come and go.
 */
#define pr_fmt(fmt) "balloon: " fmt

#include <linux/init.h>
#include <linux/memory.h>

#include "internal.h"
#include "vacate.h"

/* Prepare for every node that is online. */
static int update_nodes(void)
{
	int nid;

	for_each_online_node(nid) {
		if (!balloon_node_add(nid))
			return -ENOMEM;
		balloon_sysfs_add_node(nid);
	}
	return balloon_rings_update();
}

/**
 * balloon_nodes_early - know the nodes if the first balloon comes before initcalls
 *
 * Their folders in sysfs follow when there are folders. The frames of Xen's grant
 * table are mapped at ballooned pages, on some machines in an early_initcall().
 *
 * Context: may sleep and allocate.
 * Return: 0 or -ENOMEM.
 */
int balloon_nodes_early(void)
{
	int nid;

	if (READ_ONCE(balloon_nodes[first_online_node]))
		return 0;
	for_each_online_node(nid)
		if (!balloon_node_add(nid))
			return -ENOMEM;
	return balloon_rings_update();
}

/* Called under mem_hotplug_lock: one at a time. */
static int memory_callback(struct notifier_block *nb, unsigned long action, void *arg)
{
	const struct memory_notify *mn = arg;
	int nid = mn->status_change_nid;

	switch (action) {
	case MEM_GOING_OFFLINE:
		/* The range is isolated, and vacant but for what came just before that. */
		if (!balloon_vacate(mn->start_pfn, mn->start_pfn + mn->nr_pages))
			return notifier_from_errno(-ENOMEM);
		return NOTIFY_OK;
	case MEM_CANCEL_OFFLINE:
		balloon_coalesce_later();
		return NOTIFY_OK;
	case MEM_ONLINE:
	case MEM_OFFLINE:
		break;
	default:
		return NOTIFY_OK;
	}

	/* Only the first memory of a node, and its last, change the rings. */
	if (nid != NUMA_NO_NODE && update_nodes())
		pr_warn("no memory to follow a change of nodes\n");
	/* What was wanted on behalf of a node ends with it. */
	if (nid != NUMA_NO_NODE && action == MEM_OFFLINE && balloon_nodes[nid])
		WRITE_ONCE(balloon_nodes[nid]->target, BALLOON_TARGET_AUTO);
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

/* The nodes' devices are there before any initcall of this kind. */
pure_initcall(balloon_nodes_init);
