// SPDX-License-Identifier: GPL-2.0
/*
 * /sys/kernel/debug/balloon/check: walk the queues and compare them with the
 * counters and the pages (invariants 1, 3 and 4 of
 * Documentation/vm/balloon_numa.rst).
 *
 * /sys/kernel/debug/balloon/busy: 1 while the worker has something to do; waiting
 * to try again is nothing to do.
 *
 * /sys/kernel/debug/balloon/hold: 1 keeps the worker from acting; refills go on.
 */
#include <linux/debugfs.h>
#include <linux/init.h>
#include <linux/rcupdate.h>
#include <linux/seq_file.h>
#include <linux/timer.h>
#include <linux/workqueue.h>

#include "internal.h"

static void complain(struct seq_file *m, int nid, struct zone *zone, const char *what,
		     unsigned long have, unsigned long want)
{
	seq_printf(m, "node %d zone %s: %s: %lu, not %lu\n", nid, zone->name, what,
		   have, want);
}

static void check_superframe(struct seq_file *m, int nid, struct zone *zone,
			     struct page *head)
{
	unsigned long i, pfn = page_to_pfn(head);

	if (pfn & (SUPERFRAME_PAGES - 1))
		complain(m, nid, zone, "superframe is not aligned", pfn,
			 round_down(pfn, SUPERFRAME_PAGES));
	for (i = 0; i < SUPERFRAME_PAGES; i++) {
		struct page *page = pfn_to_online_page(pfn + i);

		if (!page || page_zone(page) != zone)
			complain(m, nid, zone, "superframe leaves its zone at", pfn + i, pfn);
		else if (!PageOffline(page) || page_ref_count(page) > !i)
			complain(m, nid, zone, "page of a superframe is in use", pfn + i, pfn);
	}
}

static void check_zone(struct seq_file *m, int nid, struct zone *zone,
		       struct balloon_zone *bz)
{
	unsigned long superframes = 0, pages = 0, bit, accounted;
	struct balloon_block *block;
	struct page *head;
	int i;

	spin_lock_irq(&bz->lock);
	list_for_each_entry(head, &bz->superframes, lru) {
		check_superframe(m, nid, zone, head);
		superframes++;
	}
	for (i = 0; i < BALLOON_NR_BUCKETS; i++) {
		list_for_each_entry(block, &bz->buckets[i], list) {
			unsigned int weight = bitmap_weight(block->map, SUPERFRAME_PAGES);

			if (block->nr != weight)
				complain(m, nid, zone, "pages of a block", block->nr, weight);
			if (i != BALLOON_STUCK_BUCKET && balloon_bucket(block->nr) != i)
				complain(m, nid, zone, "bucket of a block", i, block->nr);
			for_each_set_bit(bit, block->map, SUPERFRAME_PAGES) {
				unsigned long pfn = (block->index << SUPERFRAME_ORDER) + bit;
				struct page *page = pfn_to_page(pfn);

				if (!PageOffline(page) || page_zone(page) != zone)
					complain(m, nid, zone, "page of a block is in use",
						 pfn, block->index);
			}
			pages += weight;
		}
	}
	if (superframes + bz->superframes_away != bz->nr_superframes)
		complain(m, nid, zone, "superframes", superframes + bz->superframes_away,
			 bz->nr_superframes);
	if (pages + bz->partial_away != bz->nr_partial)
		complain(m, nid, zone, "base pages", pages + bz->partial_away, bz->nr_partial);

	accounted = bz->accounted;
	if (balloon_current()) {
		if (zone_managed_pages(zone) + accounted != bz->baseline)
			complain(m, nid, zone, "managed and accounted pages",
				 zone_managed_pages(zone) + accounted, bz->baseline);
		if (!(balloon_current()->flags & BALLOON_KEEP_MANAGED) &&
		    accounted != bz->nr_superframes * SUPERFRAME_PAGES +
				 bz->nr_partial + bz->nr_foreign)
			complain(m, nid, zone, "accounted pages", accounted,
				 bz->nr_superframes * SUPERFRAME_PAGES +
				 bz->nr_partial + bz->nr_foreign);
	}
	spin_unlock_irq(&bz->lock);
}

static int check_show(struct seq_file *m, void *unused)
{
	struct balloon_node *bn;
	int nid, z;

	for (nid = 0; (bn = balloon_node_from(&nid)); nid++)
		for (z = 0; z < MAX_NR_ZONES; z++)
			check_zone(m, nid, &NODE_DATA(nid)->node_zones[z], &bn->zones[z]);
	if (!seq_has_overflowed(m) && !m->count)
		seq_puts(m, "ok\n");
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(check);

static int busy_get(void *data, u64 *val)
{
	struct balloon *b;

	rcu_read_lock();
	b = balloon_current();
	*val = b && work_busy(&b->work.work) && !timer_pending(&b->work.timer);
	rcu_read_unlock();
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(busy_fops, busy_get, NULL, "%llu\n");

static int hold_set(void *data, u64 val)
{
	if (val > 1)
		return -EINVAL;
	balloon_set_hold(val);
	return 0;
}

static int hold_get(void *data, u64 *val)
{
	*val = READ_ONCE(balloon_hold);
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(hold_fops, hold_get, hold_set, "%llu\n");

static int __init balloon_debug_init(void)
{
	struct dentry *dir = debugfs_create_dir("balloon", NULL);

	debugfs_create_file("check", 0400, dir, NULL, &check_fops);
	debugfs_create_file("busy", 0400, dir, NULL, &busy_fops);
	debugfs_create_file("hold", 0600, dir, NULL, &hold_fops);
	return 0;
}
late_initcall(balloon_debug_init);
