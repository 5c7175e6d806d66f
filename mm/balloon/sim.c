// SPDX-License-Identifier: GPL-2.0
/*
 * A simulated host, for what real hosts won't do on demand: to refuse, to
 * answer short or falsely, to be slow, to run out of memory on one node.
 *
 * It keeps a bit for every frame that it holds and overwrites what it is given,
 * so that it notices every breach of the protocol: a page inflated twice, given
 * back without having been taken, or touched in between.
 *
 * /sys/kernel/debug/balloon_sim/
 *   enable		1 registers the balloon, 0 unregisters it
 *   max_order		largest order it takes: 0 or 9; before it is enabled
 *   keep_managed	1: the guest may take everything back (BALLOON_KEEP_MANAGED)
 *   exact_target	1: BALLOON_EXACT_TARGET
 *   nowait		1: it need not be waited for to deflate; before it is enabled
 *   atomic		1: it exchanges atomically; before it is enabled
 *   target		base pages that the host wants
 *   free		"NODE PAGES": what the host can give back on a node; one
 *			line a node, "max" for any amount
 *   refuse_inflate	so many calls take nothing; 4294967295: for ever
 *   refuse_deflate	so many calls give nothing
 *   fail		so many calls return -EIO
 *   short		at most so many extents a call; 0: any number
 *   lie		so many more than true in every answer
 *   delay_ms		every call takes so long, unless it need not be waited for
 *   lend		base pages lent out, as for foreign mappings
 *   held		base pages that the host holds
 *   least_held		the fewest since this file was written to
 *   calls		host calls so far
 *   violations		breaches of the protocol so far
 */
#define pr_fmt(fmt) "balloon_sim: " fmt

#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/highmem.h>
#include <linux/init.h>
#include <linux/mutex.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

#include "internal.h"

static struct balloon sim;
/* Protects enabling, the lent pages, and what the host has free. */
static DEFINE_MUTEX(sim_mutex);
/* Protects what the host knows, against calls that don't wait for it. */
static DEFINE_SPINLOCK(sim_lock);
static bool enabled;
static unsigned long *frames;
static unsigned long nr_frames;
static u64 held, least_held, calls, violations;
static u64 host_free[MAX_NUMNODES];
static u32 max_order = BALLOON_SUPERFRAME_ORDER;
static bool keep_managed, exact_target, nowait, atomic;
static u32 refuse_inflate, refuse_deflate, fail, short_answer, lie, delay_ms;
static struct page **lent;
static unsigned int nr_lent;

static void violation(const char *what, unsigned long pfn)
{
	violations++;
	pr_err_ratelimited("page 0x%lx %s\n", pfn, what);
}

/* KASAN must not see these: the guest's pages are free, and none of its own. */
static void discard(struct page *page)
{
	if (!debug_pagealloc_enabled_static())
		memset(page_address(page), 0, PAGE_SIZE);
}

static bool discarded(struct page *page)
{
	unsigned long *word = page_address(page);
	unsigned int i;

	if (debug_pagealloc_enabled_static())
		return true;
	for (i = 0; i < PAGE_SIZE / sizeof(*word); i++)
		if (word[i])
			return false;
	return true;
}

/* Uses up one of the calls that a knob is to spoil; with sim_lock held. */
static bool spoilt(u32 *knob)
{
	if (!*knob)
		return false;
	if (*knob != U32_MAX)
		(*knob)--;
	return true;
}

static void dawdle(void)
{
	if (delay_ms)
		msleep(delay_ms);
}

/* How many of @nr extents the host does, or an error. */
static long verdict(u32 *refuse, unsigned int nr)
{
	unsigned long flags;
	long n;

	spin_lock_irqsave(&sim_lock, flags);
	calls++;
	if (spoilt(&fail))
		n = -EIO;
	else if (spoilt(refuse))
		n = 0;
	else
		n = short_answer ? min(nr, short_answer) : nr;
	spin_unlock_irqrestore(&sim_lock, flags);
	return n;
}

static void take_one(struct balloon *b, const struct balloon_extent *ext)
{
	u64 *avail = &host_free[page_to_nid(pfn_to_page(ext->pfn))];
	unsigned long pfn, flags;

	spin_lock_irqsave(&sim_lock, flags);
	if (ext->order > b->max_order)
		violation("comes in an extent too large", ext->pfn);
	for (pfn = ext->pfn; pfn < ext->pfn + (1UL << ext->order); pfn++) {
		if (pfn >= nr_frames || __test_and_set_bit(pfn, frames)) {
			violation("was inflated twice", pfn);
			continue;
		}
		discard(pfn_to_page(pfn));
		held++;
		if (*avail != U64_MAX)
			(*avail)++;
	}
	spin_unlock_irqrestore(&sim_lock, flags);
}

/* Returns whether there was memory for it. */
static bool give_one(struct balloon *b, const struct balloon_extent *ext)
{
	u64 *avail = &host_free[page_to_nid(pfn_to_page(ext->pfn))];
	unsigned long pfn, flags;
	bool given = false;

	spin_lock_irqsave(&sim_lock, flags);
	if (ext->order > b->max_order)
		violation("is wanted in an extent too large", ext->pfn);
	if (*avail != U64_MAX) {
		if (*avail < 1UL << ext->order)
			goto unlock;
		*avail -= 1UL << ext->order;
	}
	given = true;
	for (pfn = ext->pfn; pfn < ext->pfn + (1UL << ext->order); pfn++) {
		if (pfn >= nr_frames || !__test_and_clear_bit(pfn, frames)) {
			violation("was deflated and not held", pfn);
			continue;
		}
		if (!discarded(pfn_to_page(pfn)))
			violation("was written to by the guest", pfn);
		held--;
	}
	least_held = min(least_held, held);
unlock:
	spin_unlock_irqrestore(&sim_lock, flags);
	return given;
}

static long sim_inflate(struct balloon *b, const struct balloon_extent *ext, unsigned int nr)
{
	long i, n;

	dawdle();
	n = verdict(&refuse_inflate, nr);
	for (i = 0; i < n; i++)
		take_one(b, ext + i);
	/* A host that claims more than it was given has only what it was given. */
	return n > 0 ? n + lie : n;
}

static long sim_deflate_nowait(struct balloon *b, const struct balloon_extent *ext,
			       unsigned int nr)
{
	long i, n = verdict(&refuse_deflate, nr);

	for (i = 0; i < n; i++)
		if (!give_one(b, ext + i))
			break;
	return n > 0 ? i + lie : n;
}

static long sim_deflate(struct balloon *b, const struct balloon_extent *ext, unsigned int nr)
{
	dawdle();
	return sim_deflate_nowait(b, ext, nr);
}

/* At no moment does it hold less than before. */
static long sim_exchange(struct balloon *b, const struct balloon_extent *in,
			 const struct balloon_extent *out, unsigned int nr)
{
	long i, n;

	dawdle();
	n = verdict(&refuse_inflate, nr);
	for (i = 0; i < n; i++) {
		take_one(b, in + i);
		if (give_one(b, out + i))
			continue;
		give_one(b, in + i);
		break;
	}
	return n > 0 ? i : n;
}

static struct balloon_ops sim_ops = {
	.inflate = sim_inflate,
	.deflate = sim_deflate,
};

static int enable(void)
{
	int err;

	nr_frames = max_pfn;
	frames = vzalloc(BITS_TO_LONGS(nr_frames) * sizeof(long));
	if (!frames)
		return -ENOMEM;
	sim = (struct balloon){
		.name = "sim",
		.ops = &sim_ops,
		.max_order = max_order,
		.flags = (keep_managed ? BALLOON_KEEP_MANAGED : 0) |
			 (exact_target ? BALLOON_EXACT_TARGET : 0),
	};
	sim_ops.deflate_nowait = nowait ? sim_deflate_nowait : NULL;
	sim_ops.exchange = atomic ? sim_exchange : NULL;
	held = 0;
	err = balloon_register(&sim);
	if (err)
		vfree(frames);
	return err;
}

static int enable_set(void *data, u64 val)
{
	int err = 0;

	if (val > 1)
		return -EINVAL;
	mutex_lock(&sim_mutex);
	if (val && !enabled) {
		err = enable();
	} else if (!val && enabled) {
		if (nr_lent) {
			err = -EBUSY;
		} else {
			balloon_unregister(&sim);
			vfree(frames);
		}
	}
	if (!err)
		enabled = val;
	mutex_unlock(&sim_mutex);
	return err;
}

static int enable_get(void *data, u64 *val)
{
	*val = enabled;
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(enable_fops, enable_get, enable_set, "%llu\n");

static int target_set(void *data, u64 val)
{
	int err = -ENODEV;

	mutex_lock(&sim_mutex);
	if (enabled) {
		balloon_set_target(&sim, val);
		err = 0;
	}
	mutex_unlock(&sim_mutex);
	return err;
}

static int target_get(void *data, u64 *val)
{
	*val = enabled ? sim.target : 0;
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(target_fops, target_get, target_set, "%llu\n");

static int lend_set(void *data, u64 val)
{
	int err = 0;

	if (val > SUPERFRAME_PAGES * 16)
		return -EINVAL;
	mutex_lock(&sim_mutex);
	if (!enabled) {
		err = -ENODEV;
		goto unlock;
	}
	if (!lent)
		lent = kvcalloc(SUPERFRAME_PAGES * 16, sizeof(*lent), GFP_KERNEL);
	if (!lent) {
		err = -ENOMEM;
		goto unlock;
	}
	if (val > nr_lent) {
		nr_lent += balloon_lend(&sim, lent + nr_lent, val - nr_lent);
	} else {
		balloon_reclaim_lent(&sim, lent + val, nr_lent - val);
		nr_lent = val;
	}
unlock:
	mutex_unlock(&sim_mutex);
	return err;
}

static int lend_get(void *data, u64 *val)
{
	*val = nr_lent;
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(lend_fops, lend_get, lend_set, "%llu\n");

static int free_show(struct seq_file *m, void *unused)
{
	int nid;

	for_each_online_node(nid) {
		if (host_free[nid] == U64_MAX)
			seq_printf(m, "%d max\n", nid);
		else
			seq_printf(m, "%d %llu\n", nid, host_free[nid]);
	}
	return 0;
}

static int free_open(struct inode *inode, struct file *file)
{
	return single_open(file, free_show, NULL);
}

static ssize_t free_write(struct file *file, const char __user *ubuf, size_t len, loff_t *pos)
{
	char buf[48], word[24];
	unsigned int nid;
	u64 pages = U64_MAX;
	ssize_t n;

	n = simple_write_to_buffer(buf, sizeof(buf) - 1, pos, ubuf, len);
	if (n < 0)
		return n;
	buf[n] = '\0';
	if (n != len || sscanf(buf, "%u %23s", &nid, word) != 2 ||
	    nid >= MAX_NUMNODES || !node_online(nid) ||
	    (strcmp(word, "max") && kstrtou64(word, 10, &pages)))
		return -EINVAL;
	spin_lock_irq(&sim_lock);
	host_free[nid] = pages;
	spin_unlock_irq(&sim_lock);
	return len;
}

static const struct file_operations free_fops = {
	.owner = THIS_MODULE,
	.open = free_open,
	.read = seq_read,
	.write = free_write,
	.llseek = seq_lseek,
	.release = single_release,
};

static int least_held_set(void *data, u64 val)
{
	spin_lock_irq(&sim_lock);
	least_held = held;
	spin_unlock_irq(&sim_lock);
	return 0;
}

static int least_held_get(void *data, u64 *val)
{
	*val = least_held;
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(least_held_fops, least_held_get, least_held_set, "%llu\n");

static int __init sim_init(void)
{
	struct dentry *dir = debugfs_create_dir("balloon_sim", NULL);

	memset(host_free, 0xff, sizeof(host_free));
	debugfs_create_file("enable", 0600, dir, NULL, &enable_fops);
	debugfs_create_u32("max_order", 0600, dir, &max_order);
	debugfs_create_bool("keep_managed", 0600, dir, &keep_managed);
	debugfs_create_bool("exact_target", 0600, dir, &exact_target);
	debugfs_create_bool("nowait", 0600, dir, &nowait);
	debugfs_create_bool("atomic", 0600, dir, &atomic);
	debugfs_create_file("target", 0600, dir, NULL, &target_fops);
	debugfs_create_file("free", 0600, dir, NULL, &free_fops);
	debugfs_create_u32("refuse_inflate", 0600, dir, &refuse_inflate);
	debugfs_create_u32("refuse_deflate", 0600, dir, &refuse_deflate);
	debugfs_create_u32("fail", 0600, dir, &fail);
	debugfs_create_u32("short", 0600, dir, &short_answer);
	debugfs_create_u32("lie", 0600, dir, &lie);
	debugfs_create_u32("delay_ms", 0600, dir, &delay_ms);
	debugfs_create_file("lend", 0600, dir, NULL, &lend_fops);
	debugfs_create_u64("held", 0400, dir, &held);
	debugfs_create_file("least_held", 0600, dir, NULL, &least_held_fops);
	debugfs_create_u64("calls", 0400, dir, &calls);
	debugfs_create_u64("violations", 0400, dir, &violations);
	return 0;
}
late_initcall(sim_init);
