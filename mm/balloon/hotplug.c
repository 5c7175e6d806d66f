// SPDX-License-Identifier: GPL-2.0
/*
 * Nodes, and memory of nodes, that are there at boot or come and go.
 */
#define pr_fmt(fmt) "balloon: " fmt

#include <linux/cpuhotplug.h>
#include <linux/init.h>
#include <linux/memory.h>
#include <linux/mutex.h>
#include <linux/node.h>
#include <linux/topology.h>
#include <linux/workqueue.h>

#include "internal.h"

/* Memory and CPUs bring nodes, at the same time if they like. */
DEFINE_MUTEX(balloon_nodes_mutex);

/* Prepare for every node that is online. */
static int balloon_update_nodes(void)
{
	int nid, err;

	mutex_lock(&balloon_nodes_mutex);
	err = balloon_nodes_add();
	if (!err)
		err = balloon_rings_update();
	for_each_online_node(nid)
		if (balloon_nodes[nid])
			balloon_sysfs_add_node(nid);
	mutex_unlock(&balloon_nodes_mutex);
	return err;
}

/* What could not be prepared for want of memory is so when there is some. */
static struct delayed_work nodes_retry;

/* For a change of nodes. */
static void balloon_follow_nodes(void)
{
	if (!balloon_update_nodes())
		return;
	pr_warn_ratelimited("no memory to follow a change of nodes: tried again\n");
	schedule_delayed_work(&nodes_retry, HZ);
}

static void balloon_nodes_retry(struct work_struct *work)
{
	balloon_follow_nodes();
	/* What lies on a node that was not known yet can be planned for. */
	balloon_replan();
}

/* A node without memory comes with its first CPU. No CPU is kept off for our sake. */
static int balloon_cpu_online(unsigned int cpu)
{
	int nid = cpu_to_node(cpu);

	if (!READ_ONCE(balloon_nodes[nid])) {
		balloon_follow_nodes();
		return 0;
	}
	/* It may have been here before, and its folder gone with its device. */
	mutex_lock(&balloon_nodes_mutex);
	balloon_sysfs_add_node(nid);
	mutex_unlock(&balloon_nodes_mutex);
	return 0;
}

/*
 * Both under mem_hotplug_lock: one at a time. Only the first memory of a node, and its
 * last, change the rings; what is planned with those follows, as MEM_ONLINE or MEM_OFFLINE.
 */
static int balloon_node_callback(struct notifier_block *nb, unsigned long action, void *arg)
{
	const struct node_notify *nn = arg;

	if (action != NODE_ADDED_FIRST_MEMORY && action != NODE_REMOVED_LAST_MEMORY)
		return NOTIFY_OK;
	balloon_follow_nodes();
	/* What was wanted on behalf of a node ends with it. */
	if (action == NODE_REMOVED_LAST_MEMORY && balloon_nodes[nn->nid])
		WRITE_ONCE(balloon_nodes[nn->nid]->target, BALLOON_TARGET_AUTO);
	return NOTIFY_OK;
}

static int balloon_memory_callback(struct notifier_block *nb, unsigned long action, void *arg)
{
	switch (action) {
	case MEM_CANCEL_OFFLINE:
		/* What was split for it is to be whole again. */
		balloon_kick_current_later();
		break;
	case MEM_ONLINE:
	case MEM_OFFLINE:
		balloon_replan();
		break;
	}
	return NOTIFY_OK;
}

static int __init balloon_nodes_init(void)
{
	int err;

	INIT_DELAYED_WORK(&nodes_retry, balloon_nodes_retry);
	err = balloon_update_nodes();
	if (err)
		return err;
	hotplug_node_notifier(balloon_node_callback, DEFAULT_CALLBACK_PRI);
	hotplug_memory_notifier(balloon_memory_callback, DEFAULT_CALLBACK_PRI);
	/* CPUs that are online have their nodes online. */
	err = cpuhp_setup_state_nocalls(CPUHP_AP_ONLINE_DYN, "mm/balloon:online",
					balloon_cpu_online, NULL);
	return err < 0 ? err : 0;
}

/* The nodes' devices are there before any initcall of this kind. */
pure_initcall(balloon_nodes_init);
