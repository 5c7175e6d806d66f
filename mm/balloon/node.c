// SPDX-License-Identifier: GPL-2.0
/*
 * Per-zone queues and per-node accounting of ballooned pages.
 */
#include <linux/export.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/vmstat.h>

#include "internal.h"

#define CREATE_TRACE_POINTS
#include <trace/events/balloon.h>

struct balloon_node *balloon_nodes[MAX_NUMNODES];

/* Base pages in the balloon, lent ones included. */
static atomic_long_t total;
/*
 * Those of them that nobody is about to take back. Who is to deflate pages
 * takes them off this figure first, so that two who see the same surplus over
 * the target can't both have it.
 */
static atomic_long_t kept;

/**
 * balloon_node_add - prepare for ballooning on a node
 * @nid: an online node, with or without memory
 *
 * Context: may sleep; callers are serialised by the caller.
 * Return: the node, new or known before, or NULL if there is no memory.
 */
struct balloon_node *balloon_node_add(int nid)
{
	struct balloon_node *bn = balloon_nodes[nid];
	int z, i, home;

	if (bn)
		return bn;

	/* A node that comes later may go again: nothing of ours is to keep its memory. */
	home = system_state < SYSTEM_RUNNING ? nid : first_memory_node;
	bn = kzalloc_node(sizeof(*bn), GFP_KERNEL, home);
	if (!bn)
		return NULL;

	bn->nid = nid;
	bn->target = BALLOON_TARGET_AUTO;
	bn->limit = BALLOON_LIMIT_MAX;
	bn->exchange_after = jiffies;
	spin_lock_init(&bn->ask.lock);
	init_waitqueue_head(&bn->ask.wait);
	bn->ask.after = jiffies;
	for (z = 0; z < MAX_NR_ZONES; z++) {
		struct balloon_zone *bz = &bn->zones[z];

		spin_lock_init(&bz->lock);
		bz->least_managed = ULONG_MAX;
		INIT_LIST_HEAD(&bz->superframes);
		for (i = 0; i < BALLOON_NR_BUCKETS; i++)
			INIT_LIST_HEAD(&bz->buckets[i]);
	}
	/* Pairs with the READ_ONCE() of balloon_node_from(). */
	smp_store_release(&balloon_nodes[nid], bn);
	return bn;
}

/**
 * balloon_nodes_add - prepare for ballooning on all nodes that are online
 *
 * Context: may sleep and allocate; callers are serialised by the caller.
 * Return: 0 or -ENOMEM.
 */
int balloon_nodes_add(void)
{
	int nid;

	for_each_online_node(nid)
		if (!balloon_node_add(nid))
			return -ENOMEM;
	return 0;
}

/**
 * balloon_page_bz - the queues that a page belongs to
 * @page: a page of a node that is online
 *
 * Return: its zone's queues; NULL where memory of a node came online and there
 * was no memory to prepare for it.
 */
struct balloon_zone *balloon_page_bz(const struct page *page)
{
	struct balloon_node *bn = READ_ONCE(balloon_nodes[page_to_nid(page)]);

	return bn ? &bn->zones[page_zonenum(page)] : NULL;
}

/**
 * balloon_node_count - ballooned pages of one node
 * @nid: the node
 * @superframes: where to store whole superframes, or NULL
 * @partial: where to store base pages of partial blocks, or NULL
 * @foreign: where to store lent base pages, or NULL
 *
 * Without a lock: each figure is right by itself. A superframe that is being put together, or
 * taken apart, may be missing in the sum.
 *
 * Return: base pages in all.
 */
unsigned long balloon_node_count(int nid, unsigned long *superframes,
				 unsigned long *partial, unsigned long *foreign)
{
	struct balloon_node *bn = READ_ONCE(balloon_nodes[nid]);
	unsigned long s = 0, p = 0, f = 0;
	int z;

	for (z = 0; bn && z < MAX_NR_ZONES; z++) {
		s += READ_ONCE(bn->zones[z].nr_superframes);
		p += READ_ONCE(bn->zones[z].nr_partial);
		f += READ_ONCE(bn->zones[z].nr_foreign);
	}
	if (superframes)
		*superframes = s;
	if (partial)
		*partial = p;
	if (foreign)
		*foreign = f;
	return s * SUPERFRAME_PAGES + p + f;
}
EXPORT_SYMBOL_GPL(balloon_node_count);

/* The same, with nothing missing. */
static unsigned long count_exactly(struct balloon_node *bn, unsigned long *foreign)
{
	unsigned long pages = 0, flags;
	struct balloon_zone *bz;
	int z;

	*foreign = 0;
	for (z = 0; z < MAX_NR_ZONES; z++) {
		bz = &bn->zones[z];
		spin_lock_irqsave(&bz->lock, flags);
		pages += bz->nr_superframes * SUPERFRAME_PAGES + bz->nr_partial + bz->nr_foreign;
		*foreign += bz->nr_foreign;
		spin_unlock_irqrestore(&bz->lock, flags);
	}
	return pages;
}

/**
 * balloon_node_room - how much more may be ballooned on a node by its limit
 * @nid: the node
 *
 * Who is about to give pages of the node to the host asks last of all, with
 * balloon_host_lock held: pages enter the balloon under it, so that no two of them
 * have the same room. What takes another's place on the same node needs none.
 *
 * Context: any.
 * Return: base pages.
 */
unsigned long balloon_node_room(int nid)
{
	struct balloon_node *bn = READ_ONCE(balloon_nodes[nid]);
	unsigned long limit = bn ? READ_ONCE(bn->limit) : 0, foreign;

	if (limit == BALLOON_LIMIT_MAX || !limit)
		return limit;
	return limit - min(limit, count_exactly(bn, &foreign));
}

/**
 * balloon_node_over - what a node has to give back, as it holds more than its limit
 * @nid: the node
 *
 * Context: any.
 * Return: base pages; lent ones count, but can't be given back.
 */
unsigned long balloon_node_over(int nid)
{
	struct balloon_node *bn = READ_ONCE(balloon_nodes[nid]);
	unsigned long limit = bn ? READ_ONCE(bn->limit) : BALLOON_LIMIT_MAX, pages, foreign;

	if (limit == BALLOON_LIMIT_MAX)
		return 0;
	pages = count_exactly(bn, &foreign);
	return min(pages - min(pages, limit), pages - foreign);
}

/**
 * balloon_total - base pages that the registered balloon holds, lent ones included
 *
 * Return: their number.
 */
unsigned long balloon_total(void)
{
	return atomic_long_read(&total);
}

/**
 * balloon_kept - those of balloon_total() that nobody is about to take back
 *
 * Return: their number; below 0 for a moment where more was reserved than there is.
 */
long balloon_kept(void)
{
	return atomic_long_read(&kept);
}

/**
 * balloon_reserve_credit - reserve pages that the host allows to be taken back
 * @goal: base pages that are to stay in the balloon
 * @want: base pages wanted
 * @unit: reserve only multiples of it, a power of 2
 *
 * To be called before pages are dequeued. What does not leave the balloon in the
 * end is to be passed to balloon_unreserve().
 *
 * Context: any.
 * Return: base pages reserved, at most @want.
 */
unsigned long balloon_reserve_credit(unsigned long goal, unsigned long want,
				     unsigned long unit)
{
	long old = atomic_long_read(&kept);
	unsigned long n;

	do {
		/* @goal is the host's, and may be beyond what a long holds. */
		if (old <= 0 || (unsigned long)old <= goal)
			return 0;
		n = round_down(min(want, (unsigned long)old - goal), unit);
		if (!n)
			return 0;
	} while (!atomic_long_try_cmpxchg(&kept, &old, old - n));
	return n;
}

/**
 * balloon_reserve - reserve pages to be taken back whatever the target is
 * @pages: base pages
 *
 * Context: any.
 */
void balloon_reserve(unsigned long pages)
{
	atomic_long_sub(pages, &kept);
}

/**
 * balloon_unreserve - reserved pages stay in the balloon
 * @pages: base pages
 *
 * Context: any.
 */
void balloon_unreserve(unsigned long pages)
{
	atomic_long_add(pages, &kept);
}

/**
 * balloon_total_partial - base pages in partial blocks of all nodes
 *
 * Return: their number.
 */
unsigned long balloon_total_partial(void)
{
	unsigned long partial, sum = 0;
	struct balloon_node *bn;
	int nid;

	for_each_balloon_node(bn, nid) {
		balloon_node_count(nid, NULL, &partial, NULL);
		sum += partial;
	}
	return sum;
}

/**
 * balloon_node_counted - NR_BALLOON_PAGES of a node, to the page
 * @nid: a node that is or was online
 *
 * With what CPUs have not passed on yet.
 *
 * Context: any.
 * Return: base pages, of any balloon; while they change it may be a few less, even below 0.
 */
long balloon_node_counted(int nid)
{
	pg_data_t *pgdat = NODE_DATA(nid);
	long pages = atomic_long_read(&pgdat->vm_stat[NR_BALLOON_PAGES]);
#ifdef CONFIG_SMP
	int cpu;

	for_each_online_cpu(cpu)
		pages += per_cpu_ptr(pgdat->per_cpu_nodestats,
				     cpu)->vm_node_stat_diff[NR_BALLOON_PAGES];
#endif
	return pages;
}

/**
 * balloon_add_managed - a zone's managed pages change
 * @page: a page of the zone
 * @pages: by how many base pages
 *
 * Not adjust_managed_page_count(): in newer kernels that computes the reserves of all
 * zones anew, each time. For what the balloon takes and gives it is done once, at rest: see
 * balloon_watermarks_update().
 *
 * Context: any.
 */
void balloon_add_managed(struct page *page, long pages)
{
	atomic_long_add(pages, &page_zone(page)->managed_pages);
	totalram_pages_add(pages);
}

/* The same for pages of the balloon. */
static void account_managed(struct balloon_zone *bz, struct page *page, long pages)
{
	balloon_add_managed(page, pages);
	if (pages < 0)
		bz->least_managed = min(bz->least_managed, zone_managed_pages(page_zone(page)));
}

/**
 * balloon_account - pages come to the balloon or leave it
 * @b: the balloon
 * @bz: their zone's queues, with @bz->lock held
 * @page: one of the pages
 * @pages: how many base pages come; negative: leave
 *
 * Keeps managed + accounted of the zone constant. Pages that leave were
 * reserved before: balloon_reserve(), balloon_reserve_credit().
 */
void balloon_account(struct balloon *b, struct balloon_zone *bz,
		     struct page *page, long pages)
{
	lockdep_assert_held(&bz->lock);

	mod_node_page_state(page_pgdat(page), NR_BALLOON_PAGES, pages);
	atomic_long_add(pages, &total);
	if (pages > 0)
		balloon_unreserve(pages);
	if (b->flags & BALLOON_KEEP_MANAGED)
		return;
	bz->accounted += pages;
	account_managed(bz, page, -pages);
}

/**
 * balloon_account_lost - pages leave the balloon, but do not come back to the guest
 * @b: the balloon
 * @bz: their zone's queues, with @bz->lock held
 * @page: one of the pages
 * @pages: how many base pages
 *
 * They are not managed by the guest from now on, whatever the balloon's flags, and
 * nobody has reserved them.
 */
void balloon_account_lost(struct balloon *b, struct balloon_zone *bz,
			  struct page *page, unsigned long pages)
{
	lockdep_assert_held(&bz->lock);

	mod_node_page_state(page_pgdat(page), NR_BALLOON_PAGES, -(long)pages);
	atomic_long_sub(pages, &total);
	balloon_reserve(pages);
	if (b->flags & BALLOON_KEEP_MANAGED)
		account_managed(bz, page, -(long)pages);
	else
		bz->accounted -= pages;
}
