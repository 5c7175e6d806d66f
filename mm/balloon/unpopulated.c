// SPDX-License-Identifier: GPL-2.0
/*
 * Unpopulated memory: the guest has page frames for it, but never had the
 * memory. Some hosts boot guests with less than they may grow to, and some
 * guests make room for more by hotplug. To the balloon it is memory that the
 * host has taken.
 */
#include <linux/export.h>
#include <linux/mm.h>

#include "../internal.h"
#include "internal.h"

/* As it comes off the free lists. What boot made is reserved, what hotplug made offline. */
static void reset(struct page *page)
{
	__ClearPageReserved(page);
	if (PageOffline(page))
		__ClearPageOffline(page);
	set_page_count(page, 0);
}

/* While pages of one zone enter the balloon, nothing of what the guest manages changes. */
static void add_managed(struct balloon_zone *bz, struct page *page, unsigned long pages)
{
	spin_lock_irq(&bz->lock);
	adjust_managed_page_count(page, pages);
	bz->baseline += pages;
	spin_unlock_irq(&bz->lock);
}

static void add_superframe(struct balloon *b, struct balloon_zone *bz, struct page *head)
{
	struct balloon_extent ext = { page_to_pfn(head), SUPERFRAME_ORDER };
	unsigned long i;

	page_offline_begin();
	for (i = 0; i < SUPERFRAME_PAGES; i++)
		reset(head + i);
	balloon_set_offline(&ext, 1);
	page_offline_end();

	add_managed(bz, head, SUPERFRAME_PAGES);
	balloon_queue_superframe(b, head);
	/* It was not the guest's. */
	spin_lock_irq(&bz->lock);
	bz->owed -= min(bz->owed, 1UL);
	spin_unlock_irq(&bz->lock);
}

static bool add_page(struct balloon *b, struct balloon_zone *bz, struct page *page)
{
	if (balloon_block_reserve(page, GFP_KERNEL))
		return false;
	page_offline_begin();
	reset(page);
	set_page_refcounted(page);
	balloon_page_adopt(page);
	__SetPageOffline(page);
	page_offline_end();

	add_managed(bz, page, 1);
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
 * Return: how many there are now; fewer than @nr where there was no memory to
 * describe them: the rest is nobody's.
 */
unsigned long balloon_add_unpopulated(struct balloon *b, unsigned long pfn, unsigned long nr)
{
	unsigned long end = pfn + nr, done = 0, step;

	/* None of it is anybody's credit before the target has risen. */
	balloon_reserve(nr);
	for (; pfn < end; pfn += step) {
		struct page *page = pfn_to_page(pfn);
		struct balloon_zone *bz;

		step = 1;
		if (!balloon_node_add(page_to_nid(page)))
			continue;
		bz = balloon_page_bz(page);
		if (b->max_order && IS_ALIGNED(pfn, SUPERFRAME_PAGES) &&
		    end - pfn >= SUPERFRAME_PAGES &&
		    page_zone(page + SUPERFRAME_PAGES - 1) == page_zone(page)) {
			step = SUPERFRAME_PAGES;
			add_superframe(b, bz, page);
			done += step;
		} else {
			done += add_page(b, bz, page);
		}
		cond_resched();
	}
	WRITE_ONCE(b->target, b->target + done);
	balloon_unreserve(nr);
	balloon_kick(b);
	return done;
}
EXPORT_SYMBOL_GPL(balloon_add_unpopulated);
