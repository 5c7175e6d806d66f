// SPDX-License-Identifier: GPL-2.0
/*
 * What the toolstack and mm/balloon say to each other about nodes, in xenstore,
 * under the guest's own path:
 *
 *	memory/node/VNODE/target	KiB that the host leaves to that node, as far
 *					as memory/target allows; absent: the node
 *					takes its share
 *	data/balloon/feature-node-target	1: this guest takes such targets
 *	data/balloon/node/VNODE/total		KiB that the node has, ballooned or not
 *	data/balloon/node/VNODE/balloon		KiB of it that Xen has got
 *	data/balloon/node/VNODE/superframes	whole 2M among them
 *
 * A virtual node's number is its ACPI proximity domain.
 */
#define pr_fmt(fmt) "xen:balloon: " fmt

#include <linux/balloon_numa.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/nodemask.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#include <xen/xenbus.h>

#include "balloon_numa.h"

/* Nodes whose target came from the toolstack: others' are the guest's own. */
static nodemask_t told;

/* Characters of a bad value that are worth a line in the log. */
#define SHOWN		24

#define KIB(pages)	((unsigned long long)(pages) << (PAGE_SHIFT - 10))

/* Xenstore is there. */
static bool watching;

/*
 * What it was told last. Each write is looked at by all who watch, and counts against what
 * the guest may write, its devices' drivers included.
 */
static struct {
	unsigned long long total, balloon, superframes;
} published[MAX_NUMNODES];
/* It has none of that: this is the first time, or another xenstore. */
static bool publish_all;
#define PUBLISH_PAUSE	HZ
static unsigned long publish_after;

static void publish_value(int vnode, const char *name, unsigned long long *old,
			  unsigned long long value, bool all)
{
	char path[48];

	if (value == *old && !all)
		return;
	snprintf(path, sizeof(path), "data/balloon/node/%d", vnode);
	/* What failed is said next time. */
	if (xenbus_printf(XBT_NIL, path, name, "%llu", value))
		WRITE_ONCE(publish_all, true);
	else
		*old = value;
}

static void publish(struct work_struct *work)
{
	bool all = xchg(&publish_all, false);
	unsigned long superframes, pages;
	int nid, vnode;

	WRITE_ONCE(publish_after, jiffies + PUBLISH_PAUSE);
	for_each_online_node(nid) {
		vnode = xen_numa_balloon_vnode(nid);
		if (vnode < 0)
			continue;
		pages = balloon_node_count(nid, &superframes, NULL, NULL);
		publish_value(vnode, "total", &published[nid].total,
			      KIB(NODE_DATA(nid)->node_present_pages), all);
		publish_value(vnode, "balloon", &published[nid].balloon, KIB(pages), all);
		publish_value(vnode, "superframes", &published[nid].superframes, superframes, all);
	}
}

static DECLARE_DELAYED_WORK(publish_work, publish);

/**
 * xen_numa_balloon_publish - tell the toolstack what the nodes hold
 *
 * Context: any; it is told later, once a second at most.
 */
void xen_numa_balloon_publish(void)
{
	unsigned long now = jiffies, after = READ_ONCE(publish_after);

	if (READ_ONCE(watching))
		schedule_delayed_work(&publish_work,
				      time_in_range_open(now, after - PUBLISH_PAUSE, after) ?
				      after - now : 0);
}

/* What the host leaves to a node is what it doesn't want of it. */
static void read_target(int vnode, int nid)
{
	unsigned long present = NODE_DATA(nid)->node_present_pages;
	unsigned long long kib;
	char path[32];
	char *text;

	snprintf(path, sizeof(path), "memory/node/%d", vnode);
	text = xenbus_read(XBT_NIL, path, "target", NULL);
	if (IS_ERR(text)) {
		if (PTR_ERR(text) == -ENOENT && node_isset(nid, told)) {
			balloon_set_node_target(nid, BALLOON_TARGET_AUTO);
			node_clear(nid, told);
		}
		return;
	}
	if (kstrtoull(text, 10, &kib) || kib > KIB(present)) {
		pr_warn_ratelimited("%s/target: '%*pE' is no number of KiB from 0 to %llu\n", path,
				    (int)strnlen(text, SHOWN), text, KIB(present));
	} else {
		int err = balloon_set_node_target(nid, present - (kib >> (PAGE_SHIFT - 10)));

		if (err)
			pr_warn_ratelimited("%s/target: error %d\n", path, err);
		else
			node_set(nid, told);
	}
	kfree(text);
}

static void target_changed(struct xenbus_watch *watch, const char *path, const char *token)
{
	int nid, vnode, wanted;
	bool found = false, one;

	/* When the watch is set, anew after a resume, and where a whole folder goes. */
	one = sscanf(path, "memory/node/%d", &wanted) == 1;
	if (!one && strlen(path) > strlen(watch->node)) {
		pr_warn_ratelimited("%s: the name of a node is a number\n", path);
		return;
	}
	if (!one) {
		xenbus_write(XBT_NIL, "data/balloon", "feature-node-target", "1");
		WRITE_ONCE(publish_all, true);
		xen_numa_balloon_publish();
	}
	for_each_online_node(nid) {
		vnode = xen_numa_balloon_vnode(nid);
		if (vnode < 0 || (one && vnode != wanted))
			continue;
		read_target(vnode, nid);
		found = true;
	}
	if (one && !found)
		pr_warn_ratelimited("%s: this guest has no such node\n", path);
}

static struct xenbus_watch target_watch = {
	.node = "memory/node",
	.callback = target_changed,
};

/**
 * xen_numa_balloon_watch - begin to talk about nodes
 *
 * Context: process context, xenstore being there.
 */
void xen_numa_balloon_watch(void)
{
	WRITE_ONCE(watching, true);
	if (register_xenbus_watch(&target_watch))
		pr_err("no watch on memory/node: its targets are not heard of\n");
}
