// SPDX-License-Identifier: GPL-2.0
/*
 * /sys/devices/system/node/nodeN/balloon/ and /sys/kernel/mm/balloon/, as
 * Documentation/ABI/testing/ describes them.
 */
#define pr_fmt(fmt) "balloon: " fmt

#include <linux/device.h>
#include <linux/init.h>
#include <linux/kobject.h>
#include <linux/mm.h>
#include <linux/node.h>
#include <linux/slab.h>
#include <linux/sysfs.h>

#include "internal.h"

/**
 * balloon_parse_pages - read a node's target or limit
 * @buf: what was written
 * @none: the word that means that there is none
 * @present: the system's present base pages: who writes more has mistaken the unit
 * @pages: where to store base pages, or ULONG_MAX for @none
 *
 * Return: 0; -EINVAL, with @pages unchanged, for anything that is neither
 * @none nor a decimal number up to @present.
 */
int balloon_parse_pages(const char *buf, const char *none, unsigned long present,
			unsigned long *pages)
{
	unsigned long value;

	if (sysfs_streq(buf, none)) {
		*pages = ULONG_MAX;
		return 0;
	}
	if (kstrtoul(buf, 10, &value) || value > present)
		return -EINVAL;
	*pages = value;
	return 0;
}

/* Those of them that are the core's. */
static unsigned long own_pages(int nid)
{
	unsigned long foreign, pages = balloon_node_count(nid, NULL, NULL, &foreign);

	return pages - foreign;
}

/*
 * Base pages of balloons that keep their own lists (VMware, pseries cmm). The core's come
 * and go meanwhile, and are none of them.
 */
static unsigned long others_pages(int nid)
{
	unsigned long before = own_pages(nid), counted = max(balloon_node_counted(nid), 0L);

	return counted - min(counted, max(before, own_pages(nid)));
}

#ifdef CONFIG_NUMA
static unsigned long all_present_pages(void)
{
	unsigned long pages = 0;
	int nid;

	for_each_online_node(nid)
		pages += NODE_DATA(nid)->node_present_pages;
	return pages;
}

static ssize_t nr_pages_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%lu\n", balloon_node_count(dev->id, NULL, NULL, NULL) +
			  others_pages(dev->id));
}
static DEVICE_ATTR_RO(nr_pages);

static ssize_t nr_superframes_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	unsigned long superframes;

	balloon_node_count(dev->id, &superframes, NULL, NULL);
	return sysfs_emit(buf, "%lu\n", superframes);
}
static DEVICE_ATTR_RO(nr_superframes);

static ssize_t nr_partial_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	unsigned long partial;

	balloon_node_count(dev->id, NULL, &partial, NULL);
	return sysfs_emit(buf, "%lu\n", partial + others_pages(dev->id));
}
static DEVICE_ATTR_RO(nr_partial);

static ssize_t nr_foreign_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	unsigned long foreign;

	balloon_node_count(dev->id, NULL, NULL, &foreign);
	return sysfs_emit(buf, "%lu\n", foreign);
}
static DEVICE_ATTR_RO(nr_foreign);

static ssize_t emit_pages(char *buf, unsigned long pages, const char *none)
{
	return pages == ULONG_MAX ? sysfs_emit(buf, "%s\n", none) :
				    sysfs_emit(buf, "%lu\n", pages);
}

static ssize_t target_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	static_assert(BALLOON_TARGET_AUTO == ULONG_MAX);
	return emit_pages(buf, READ_ONCE(balloon_nodes[dev->id]->target), "auto");
}

static ssize_t target_store(struct device *dev, struct device_attribute *attr,
			    const char *buf, size_t len)
{
	unsigned long target;
	int err;

	err = balloon_parse_pages(buf, "auto", all_present_pages(), &target);
	if (!err)
		err = balloon_set_node_target(dev->id, target);
	return err ? err : len;
}
static DEVICE_ATTR_RW(target);

static ssize_t limit_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	static_assert(BALLOON_LIMIT_MAX == ULONG_MAX);
	return emit_pages(buf, READ_ONCE(balloon_nodes[dev->id]->limit), "max");
}

static ssize_t limit_store(struct device *dev, struct device_attribute *attr,
			   const char *buf, size_t len)
{
	unsigned long limit;
	int err;

	err = balloon_parse_pages(buf, "max", all_present_pages(), &limit);
	if (!err)
		err = balloon_set_node_limit(dev->id, limit);
	return err ? err : len;
}
static DEVICE_ATTR_RW(limit);

static ssize_t available_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct balloon_available a;
	int err = lock_device_hotplug_sysfs();

	if (err)
		return err;
	balloon_node_available(dev->id, &a);
	unlock_device_hotplug();
	return sysfs_emit(buf, "superframes %lu\nevacuation %lu\npages %lu\n", a.superframes,
			  a.evacuation, a.pages);
}
static DEVICE_ATTR_RO(available);

/* A binary attribute, const or not as groups have them. */
#define group_bin_attribute	typeof(**((struct attribute_group *)NULL)->bin_attrs)

/* Not a text attribute: with 1024 nodes, the lists can be longer than a page. */
static ssize_t rings_read(struct file *file, struct kobject *kobj, group_bin_attribute *attr,
			  char *buf, loff_t off, size_t count)
{
	size_t size = nr_node_ids * BALLOON_RINGS_TEXT + 1;
	struct balloon_rings *r;
	char *text = kvmalloc(size, GFP_KERNEL);
	ssize_t len = 0;

	if (!text)
		return -ENOMEM;

	rcu_read_lock();
	r = rcu_dereference(balloon_nodes[kobj_to_dev(kobj)->id]->rings);
	if (r)
		len = balloon_rings_print(r, text, size);
	rcu_read_unlock();
	len = memory_read_from_buffer(buf, count, &off, text, len);
	kvfree(text);
	return len;
}
static BIN_ATTR_RO(rings, 0);

static const char * const stat_names[NR_BALLOON_STATS] = {
	[BALLOON_INFLATE_LOCAL]		= "inflate_local",
	[BALLOON_INFLATE_REMOTE]	= "inflate_remote",
	[BALLOON_DEFLATE_LOCAL]		= "deflate_local",
	[BALLOON_DEFLATE_REMOTE]	= "deflate_remote",
	[BALLOON_REFILL]		= "refill",
	[BALLOON_REFILL_FAIL]		= "refill_fail",
	[BALLOON_EXCHANGE]		= "exchange",
	[BALLOON_STAT_MIGRATE]		= "migrate",
	[BALLOON_COALESCE]		= "coalesce",
	[BALLOON_SPLIT]			= "split",
	[BALLOON_LOST]			= "lost",
};

static ssize_t stat_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	int i, len = 0;

	for (i = 0; i < NR_BALLOON_STATS; i++)
		len += sysfs_emit_at(buf, len, "%s %ld\n", stat_names[i],
				     atomic_long_read(&balloon_nodes[dev->id]->stats[i]));
	return len;
}
static DEVICE_ATTR_RO(stat);

static struct attribute *node_attrs[] = {
	&dev_attr_nr_pages.attr,
	&dev_attr_nr_superframes.attr,
	&dev_attr_nr_partial.attr,
	&dev_attr_nr_foreign.attr,
	&dev_attr_target.attr,
	&dev_attr_limit.attr,
	&dev_attr_available.attr,
	&dev_attr_stat.attr,
	NULL
};

static group_bin_attribute *node_bin_attrs[] = {
	&bin_attr_rings,
	NULL
};

static const struct attribute_group node_group = {
	.name = "balloon",
	.attrs = node_attrs,
	.bin_attrs = node_bin_attrs,
};

/**
 * balloon_sysfs_add_node - make nodeN/balloon/
 * @nid: a node that balloon_node_add() has prepared
 *
 * It goes away with the node's device, and may have to be made again.
 *
 * Context: may sleep.
 */
void balloon_sysfs_add_node(int nid)
{
	struct node *node = node_devices[nid];
	struct kernfs_node *kn;

	kn = node ? kernfs_find_and_get(node->dev.kobj.sd, node_group.name) : NULL;
	if (kn)
		kernfs_put(kn);
	else if (!node || sysfs_create_group(&node->dev.kobj, &node_group))
		pr_warn("node %d: no files in sysfs\n", nid);
}
#else
void balloon_sysfs_add_node(int nid)
{
	/* A machine without NUMA has no files for its only node. */
}
#endif /* CONFIG_NUMA */

static const char * const policy_names[NR_BALLOON_POLICIES] = {
	[BALLOON_BALANCE]	= "balance",
	[BALLOON_LOCAL]		= "local",
};

/* The possible values, the current one in brackets. */
static ssize_t emit_choice(char *buf, const char * const *names, int nr, int current_one)
{
	int i, len = 0;

	for (i = 0; i < nr; i++)
		len += sysfs_emit_at(buf, len, i == current_one ? "%s[%s]" : "%s%s",
				     i ? " " : "", names[i]);
	return len + sysfs_emit_at(buf, len, "\n");
}

static ssize_t policy_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	return emit_choice(buf, policy_names, NR_BALLOON_POLICIES, READ_ONCE(balloon_policy));
}

static ssize_t policy_store(struct kobject *kobj, struct kobj_attribute *attr,
			    const char *buf, size_t len)
{
	int policy = sysfs_match_string(policy_names, buf);

	if (policy < 0)
		return -EINVAL;
	WRITE_ONCE(balloon_policy, policy);
	balloon_replan();
	return len;
}

static struct kobj_attribute policy_attr = __ATTR_RW(policy);

static ssize_t superframe_targets_show(struct kobject *kobj, struct kobj_attribute *attr,
				       char *buf)
{
	return sysfs_emit(buf, READ_ONCE(balloon_superframe_targets) ? "0 [1]\n" : "[0] 1\n");
}

static ssize_t superframe_targets_store(struct kobject *kobj, struct kobj_attribute *attr,
					const char *buf, size_t len)
{
	unsigned int on;

	if (kstrtouint(buf, 10, &on) || on > 1)
		return -EINVAL;
	WRITE_ONCE(balloon_superframe_targets, on);
	balloon_replan();
	return len;
}

static struct kobj_attribute superframe_targets_attr = __ATTR_RW(superframe_targets);

static const char * const refill_names[NR_BALLOON_REFILL_MODES] = {
	[BALLOON_REFILL_OFF]		= "off",
	[BALLOON_REFILL_CREDIT]		= "credit",
	[BALLOON_REFILL_EXCHANGE]	= "exchange",
	[BALLOON_REFILL_OOM]		= "oom",
};

static ssize_t refill_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	return emit_choice(buf, refill_names, NR_BALLOON_REFILL_MODES,
			   READ_ONCE(balloon_refill_mode));
}

static ssize_t refill_store(struct kobject *kobj, struct kobj_attribute *attr,
			    const char *buf, size_t len)
{
	int mode = sysfs_match_string(refill_names, buf);

	if (mode < 0)
		return -EINVAL;
	WRITE_ONCE(balloon_refill_mode, mode);
	balloon_replan();
	return len;
}

static struct kobj_attribute refill_attr = __ATTR_RW(refill);

static const char * const reclaim_names[NR_BALLOON_RECLAIM_MODES] = {
	[BALLOON_RECLAIM_NONE]		= "none",
	[BALLOON_RECLAIM_CACHE]		= "cache",
	[BALLOON_RECLAIM_SWAP]		= "swap",
};

static ssize_t reclaim_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	return emit_choice(buf, reclaim_names, NR_BALLOON_RECLAIM_MODES,
			   READ_ONCE(balloon_reclaim_mode));
}

static ssize_t reclaim_store(struct kobject *kobj, struct kobj_attribute *attr,
			     const char *buf, size_t len)
{
	int mode = sysfs_match_string(reclaim_names, buf);

	if (mode < 0)
		return -EINVAL;
	WRITE_ONCE(balloon_reclaim_mode, mode);
	balloon_replan();
	return len;
}

static struct kobj_attribute reclaim_attr = __ATTR_RW(reclaim);

static ssize_t state_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	return balloon_print_state(buf, PAGE_SIZE);
}

static struct kobj_attribute state_attr = __ATTR_RO(state);

static ssize_t nr_pages_all_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	unsigned long pages = balloon_total();
	struct balloon_node *bn;
	int nid;

	for_each_balloon_node(bn, nid)
		pages += others_pages(nid);
	return sysfs_emit(buf, "%lu\n", pages);
}

static struct kobj_attribute nr_pages_all_attr = __ATTR(nr_pages, 0444, nr_pages_all_show, NULL);

static ssize_t target_all_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%lu\n", balloon_host_target());
}

static struct kobj_attribute target_all_attr = __ATTR(target, 0444, target_all_show, NULL);

static ssize_t retries_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%ld\n", atomic_long_read(&balloon_retries));
}

static struct kobj_attribute retries_attr = __ATTR_RO(retries);

static struct attribute *balloon_attrs[] = {
	&policy_attr.attr,
	&refill_attr.attr,
	&reclaim_attr.attr,
	&superframe_targets_attr.attr,
	&nr_pages_all_attr.attr,
	&target_all_attr.attr,
	&retries_attr.attr,
	&state_attr.attr,
	NULL
};

static const struct attribute_group balloon_group = {
	.name = "balloon",
	.attrs = balloon_attrs,
};

static int __init balloon_sysfs_init(void)
{
	struct kernfs_node *folder;
	int err;

	err = sysfs_create_group(mm_kobj, &balloon_group);
	folder = err ? NULL : sysfs_get_dirent(mm_kobj->sd, balloon_group.name);
	if (folder) {
		/* For poll(); both are there for good. */
		WRITE_ONCE(balloon_state_file, sysfs_get_dirent(folder, "state"));
		sysfs_put(folder);
	}
	return err;
}
subsys_initcall(balloon_sysfs_init);
