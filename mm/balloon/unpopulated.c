// SPDX-License-Identifier: GPL-2.0
/*
 * Unpopulated memory: the guest has page frames for it, but never had the
 * memory. Some hosts boot guests with less than they may grow to, and some
 * guests make room for more by hotplug. To the balloon it is memory that the
 * host has taken.
 */
#define pr_fmt(fmt) "balloon: " fmt

#include <linux/export.h>
#include <linux/mm.h>

#include "../internal.h"
#include "internal.h"

/* As it comes off the free lists. What boot made is reserved, what hotplug made offline. */
static void unpopulated_reset_page(struct page *page)
{
	__ClearPageReserved(page);
	if (PageOffline(page))
		__ClearPageOffline(page);
	set_page_count(page, 0);
}

/* Is it one zone's, without a hole? Not online yet, if it is being hotplugged. */
static bool unpopulated_is_superframe(unsigned long pfn)
{
	struct zone *zone = page_zone(pfn_to_page(pfn));
	unsigned long i;

	for (i = 1; i < SUPERFRAME_PAGES; i++)
		if (!pfn_valid(pfn + i) || page_zone(pfn_to_page(pfn + i)) != zone)
			return false;
	return true;
}

static void unpopulated_add_superframe(struct balloon *b, struct page *head)
{
	struct balloon_extent ext = { page_to_pfn(head), SUPERFRAME_ORDER };
	unsigned long i;

	page_offline_begin();
	for (i = 0; i < SUPERFRAME_PAGES; i++)
		unpopulated_reset_page(head + i);
	balloon_set_offline(&ext, 1);
	page_offline_end();

	/* As if the guest had managed it before. */
	balloon_add_managed(head, SUPERFRAME_PAGES);
	balloon_queue_superframe(b, head);
	balloon_not_owed(head, 1);
}

static bool unpopulated_add_page(struct balloon *b, struct page *page)
{
	if (balloon_block_reserve(page, GFP_KERNEL))
		return false;
	page_offline_begin();
	unpopulated_reset_page(page);
	set_page_refcounted(page);
	balloon_page_adopt(page);
	__SetPageOffline(page);
	page_offline_end();

	balloon_add_managed(page, 1);
	balloon_queue_page(b, page);
	return true;
}

/**
 * balloon_add_unpopulated - memory that the guest never had enters the balloon
 * @b: the balloon
 * @pfn: its first page frame
 * @nr: how many base pages; nobody else knows them: reserved since boot, or
 *	handed to an online_page_callback_t
 *
 * The host's target rises by as much: nothing is to move for it. Callers
 * serialise with balloon_set_target().
 *
 * Context: may sleep and allocate; at boot, or under mem_hotplug_lock.
 * Return: how many there are now; fewer than @nr where there are holes, or was no
 * memory to describe them: the rest is nobody's.
 */
unsigned long balloon_add_unpopulated(struct balloon *b, unsigned long pfn, unsigned long nr)
{
	unsigned long end = pfn + nr, done = 0, step;
	struct page *page = NULL;

	/* None of it is anybody's credit before the target has risen. */
	balloon_reserve(nr);
	for (; pfn < end; pfn += step) {
		step = 1;
		cond_resched();
		if (!pfn_valid(pfn))
			continue;
		page = pfn_to_page(pfn);
		if (!balloon_node_add(page_to_nid(page)))
			continue;
		if (b->max_order && IS_ALIGNED(pfn, SUPERFRAME_PAGES) &&
		    end - pfn >= SUPERFRAME_PAGES && unpopulated_is_superframe(pfn)) {
			step = SUPERFRAME_PAGES;
			unpopulated_add_superframe(b, page);
			done += step;
		} else {
			done += unpopulated_add_page(b, page);
		}
	}
	/* The reserves of lower zones, once for all that the guest manages now. */
	if (done)
		adjust_managed_page_count(page, 0);
	balloon_raise_target(b, done);
	balloon_unreserve(nr);
	balloon_kick(b);
	if (done < nr)
		pr_warn("%s: %lu of %lu pages from 0x%lx on stay out of reach\n", b->name,
			nr - done, nr, end - nr);
	return done;
}
EXPORT_SYMBOL_GPL(balloon_add_unpopulated);
