// SPDX-License-Identifier: GPL-2.0
/*
 * /sys/kernel/debug/balloon/check: walk the queues and compare them with the
 * counters and the pages (invariants 1, 3 and 4 of balloon_core.rst).
 *
 * /sys/kernel/debug/balloon/busy: 1 while the worker has something to do; waiting
 * to try again is nothing to do.
 *
 * /sys/kernel/debug/balloon/hold: 1 keeps the worker from acting; refills go on.
 */
#include <linux/debugfs.h>
#include <linux/init.h>
#include <linux/memory_hotplug.h>
#include <linux/rcupdate.h>
#include <linux/seq_file.h>
#include <linux/timer.h>
#include <linux/workqueue.h>

#include "internal.h"
#include "superframe.h"

/* Superframes, and partial blocks, that are looked at in one go: interrupts are off. */
#define CHECK_SUPERFRAMES	64U
#define CHECK_BLOCKS		8U
/* What goes on meanwhile spoils a walk in parts: so often it is tried, then done in one go. */
#define CHECK_TRIES		3

/* What is compared, and where complaints go. */
struct check {
	struct seq_file *m;
	int nid;
	struct zone *zone;
	struct balloon_zone *bz;
};

static void complain(struct check *c, const char *what, unsigned long have, unsigned long want)
{
	seq_printf(c->m, "node %d zone %s: %s: %lu, not %lu\n", c->nid, c->zone->name, what,
		   have, want);
}

/* Is the page as one of a superframe has to be? */
static bool superframe_page_ok(struct check *c, unsigned long pfn, bool head)
{
	struct page *page = pfn_to_online_page(pfn);

	return page && page_zone(page) == c->zone && PageOffline(page) &&
	       page_ref_count(page) <= head;
}

/*
 * The pages of a superframe, which may leave the queue at any time, and others may look
 * at them: what looks wrong is looked at again, last where it can't leave.
 */
static void check_superframe(struct check *c, unsigned long pfn)
{
	struct page *head = pfn_to_page(pfn);
	unsigned long i;
	int tries;

	if (!IS_ALIGNED(pfn, SUPERFRAME_PAGES))
		complain(c, "superframe is not aligned", pfn, round_down(pfn, SUPERFRAME_PAGES));
	for (i = 0; i < SUPERFRAME_PAGES; i++) {
		for (tries = 0; tries < CHECK_TRIES; tries++) {
			if (superframe_page_ok(c, pfn + i, !i))
				break;
			cond_resched();
		}
		if (tries < CHECK_TRIES)
			continue;
		spin_lock_irq(&c->bz->lock);
		if (balloon_superframe_is_queued(head) &&
		    !superframe_page_ok(c, pfn + i, !i))
			complain(c, "page of a superframe is in use, or elsewhere", pfn + i, pfn);
		spin_unlock_irq(&c->bz->lock);
	}
}

/*
 * All superframes of a zone, some at a time, which go to the other end of the queue.
 * Returns whether as many are there as there should be; not where they come and go.
 */
static bool check_superframes(struct check *c, bool pages)
{
	unsigned long heads[CHECK_SUPERFRAMES], want, seen = 0;
	struct list_head *queue = &c->bz->superframes, *first, *pos;
	unsigned int n, i;
	bool ok;

	spin_lock_irq(&c->bz->lock);
	first = queue->next;
	want = c->bz->nr_superframes - c->bz->superframes_away;
	while (seen < want) {
		n = 0;
		list_for_each(pos, queue) {
			heads[n++] = page_to_pfn(list_entry(pos, struct page, lru));
			if (n == CHECK_SUPERFRAMES || seen + n == want)
				break;
		}
		if (!n)
			break;
		list_bulk_move_tail(queue, queue->next, &pfn_to_page(heads[n - 1])->lru);
		spin_unlock_irq(&c->bz->lock);
		for (i = 0; pages && i < n; i++)
			check_superframe(c, heads[i]);
		seen += n;
		cond_resched();
		spin_lock_irq(&c->bz->lock);
	}
	ok = seen == want && queue->next == first && (want || list_empty(queue));
	spin_unlock_irq(&c->bz->lock);
	return ok;
}

static void count_superframes(struct check *c)
{
	unsigned long seen;

	spin_lock_irq(&c->bz->lock);
	seen = list_count_nodes(&c->bz->superframes) + c->bz->superframes_away;
	if (seen != c->bz->nr_superframes)
		complain(c, "superframes", seen, c->bz->nr_superframes);
	spin_unlock_irq(&c->bz->lock);
}

/* One partial block, with bz->lock held. Returns its pages. */
static unsigned int check_block(struct check *c, struct balloon_block *block, int bucket)
{
	unsigned int weight = bitmap_weight(block->map, SUPERFRAME_PAGES);
	unsigned long bit;

	if (block->nr != weight)
		complain(c, "pages of a block", block->nr, weight);
	if (bucket != BALLOON_STUCK_BUCKET && balloon_bucket(block->nr) != bucket)
		complain(c, "bucket of a block", bucket, block->nr);
	for_each_set_bit(bit, block->map, SUPERFRAME_PAGES) {
		unsigned long pfn = (block->index << SUPERFRAME_ORDER) + bit;
		struct page *page = pfn_to_online_page(pfn);

		if (!page || !PageOffline(page) || page_zone(page) != c->zone)
			complain(c, "page of a block is in use", pfn, block->index);
	}
	return weight;
}

/* The blocks of one bucket, as check_superframes(). Returns false where they come and go. */
static bool check_bucket(struct check *c, int bucket, bool look, unsigned long *pages)
{
	struct list_head *queue = &c->bz->buckets[bucket];
	struct balloon_block *block, *next;
	unsigned long first, left;
	unsigned int n;
	bool over;

	spin_lock_irq(&c->bz->lock);
	block = list_first_entry_or_null(queue, struct balloon_block, list);
	first = block ? block->index : 0;
	over = !block;
	/* Each has a page, or had one a moment ago, or has lent one. */
	left = c->bz->nr_partial + c->bz->nr_foreign + 1;
	while (!over && left) {
		n = 0;
		list_for_each_entry_safe(block, next, queue, list) {
			*pages += look ? check_block(c, block, bucket) : block->nr;
			list_move_tail(&block->list, queue);
			over = list_first_entry(queue, struct balloon_block, list)->index == first;
			if (over || !--left || ++n == CHECK_BLOCKS)
				break;
		}
		if (!n && !over)
			break;
		spin_unlock_irq(&c->bz->lock);
		cond_resched();
		spin_lock_irq(&c->bz->lock);
		over |= list_empty(queue);
	}
	spin_unlock_irq(&c->bz->lock);
	return over;
}

/* All partial blocks of a zone. Returns whether they have as many pages as they should. */
static bool check_blocks(struct check *c, bool look)
{
	unsigned long pages = 0;
	bool ok = true;
	int i;

	for (i = 0; i < BALLOON_NR_BUCKETS; i++)
		ok &= check_bucket(c, i, look, &pages);
	spin_lock_irq(&c->bz->lock);
	ok &= pages + c->bz->partial_away == c->bz->nr_partial;
	spin_unlock_irq(&c->bz->lock);
	return ok;
}

static void count_block_pages(struct check *c)
{
	struct balloon_block *block;
	unsigned long pages = 0;
	int i;

	spin_lock_irq(&c->bz->lock);
	for (i = 0; i < BALLOON_NR_BUCKETS; i++)
		list_for_each_entry(block, &c->bz->buckets[i], list)
			pages += block->nr;
	pages += c->bz->partial_away;
	if (pages != c->bz->nr_partial)
		complain(c, "base pages", pages, c->bz->nr_partial);
	spin_unlock_irq(&c->bz->lock);
}

/* Managed pages were lowered by what is ballooned, where the balloon does that. */
static void check_accounted(struct check *c)
{
	struct balloon_zone *bz = c->bz;
	unsigned long pages;
	struct balloon *b;

	rcu_read_lock();
	b = balloon_current();
	if (b) {
		spin_lock_irq(&bz->lock);
		pages = b->flags & BALLOON_KEEP_MANAGED ? 0 :
			bz->nr_superframes * SUPERFRAME_PAGES + bz->nr_partial + bz->nr_foreign;
		if (bz->accounted != pages)
			complain(c, "accounted pages", bz->accounted, pages);
		if (zone_managed_pages(c->zone) > c->zone->present_pages)
			complain(c, "managed pages", zone_managed_pages(c->zone),
				 c->zone->present_pages);
		spin_unlock_irq(&bz->lock);
	}
	rcu_read_unlock();
}

static void check_zone(struct seq_file *m, int nid, struct zone *zone,
		       struct balloon_zone *bz)
{
	struct check c = { m, nid, zone, bz };
	int i;

	/* Pages are looked at once. */
	for (i = 0; i < CHECK_TRIES; i++)
		if (check_superframes(&c, !i))
			break;
	if (i == CHECK_TRIES)
		count_superframes(&c);
	for (i = 0; i < CHECK_TRIES; i++)
		if (check_blocks(&c, !i))
			break;
	if (i == CHECK_TRIES)
		count_block_pages(&c);
	check_accounted(&c);
}

static int check_show(struct seq_file *m, void *unused)
{
	struct balloon_node *bn;
	int nid, z;

	for_each_balloon_node(bn, nid) {
		for (z = 0; z < MAX_NR_ZONES; z++) {
			/* What is looked at stays there. */
			get_online_mems();
			check_zone(m, nid, &NODE_DATA(nid)->node_zones[z], &bn->zones[z]);
			put_online_mems();
		}
	}
	if (!seq_has_overflowed(m) && !m->count)
		seq_puts(m, "ok\n");
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(check);

static int busy_get(void *data, u64 *val)
{
	unsigned int busy;
	struct balloon *b;

	rcu_read_lock();
	b = balloon_current();
	busy = b ? work_busy(&b->work.work) : 0;
	/* Who waits for a timer is at rest, unless somebody has set it while it runs. */
	*val = busy & WORK_BUSY_RUNNING || (busy && !timer_pending(&b->work.timer));
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
