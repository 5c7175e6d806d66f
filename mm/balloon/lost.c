// SPDX-License-Identifier: GPL-2.0
/*
 * What a host kept for good: when its device goes, the guest gives up what it did
 * not get back, so that the next balloon begins with nothing.
 */
#include <linux/delay.h>
#include <linux/mm.h>
#include <linux/pagemap.h>

#include "internal.h"

/* Extents at a time: they are on the stack, and so much is done under a lock. */
#define LOST_BATCH	32U

/* Who has a page in hand gives it back, or has it, in no time: 20 ms each. */
#define LOST_TRIES	500

/*
 * What is left of a movable page would keep offlining waiting. Others look at it for a
 * moment only, or else it remains so: they are told that it is not to be had. All pages
 * share *@tries, or else a device with many of them would not go for hours.
 */
static void write_off_page(struct page *page, unsigned int *tries)
{
	while (!balloon_page_keep(page, true) && *tries) {
		--*tries;
		msleep(20);
	}
}

/* Extents of one order that are on no list any more. */
static void write_off_extents(struct balloon *b, struct balloon_zone *bz,
			      const struct balloon_extent *ext, unsigned int nr,
			      unsigned int *tries)
{
	unsigned int i, order = ext->order;
	unsigned long pages = (unsigned long)nr << order;
	struct page *page = pfn_to_page(ext->pfn);

	spin_lock_irq(&bz->lock);
	if (order) {
		bz->superframes_away -= nr;
		bz->nr_superframes -= nr;
	} else {
		bz->partial_away -= nr;
		bz->nr_partial -= nr;
	}
	balloon_account_lost(b, bz, page, pages);
	spin_unlock_irq(&bz->lock);

	/* They keep their references and stay offline: nobody can ever have them. */
	for (i = 0; i < nr; i++) {
		page = pfn_to_page(ext[i].pfn);
		set_page_private(page, 0);
		if (!order)
			balloon_block_cancel(page);
		write_off_page(page, tries);
	}
	balloon_stat_add(page_to_nid(page), BALLOON_LOST, pages);
}

/* All of one zone that is on its lists now. Returns base pages. */
static unsigned long write_off_zone(struct balloon *b, struct balloon_zone *bz,
				    unsigned int *tries)
{
	struct balloon_extent ext[LOST_BATCH];
	unsigned long pages = 0;
	unsigned int nr;

	while ((nr = balloon_dequeue_zone_superframes(bz, ext, LOST_BATCH))) {
		write_off_extents(b, bz, ext, nr, tries);
		pages += nr * SUPERFRAME_PAGES;
		cond_resched();
	}
	while ((nr = balloon_dequeue_zone_pages(bz, ext, LOST_BATCH))) {
		write_off_extents(b, bz, ext, nr, tries);
		pages += nr;
		cond_resched();
	}
	return pages;
}

/**
 * balloon_write_off - give up what the host has not given back
 * @b: a balloon that is about to go: nobody talks to its host any more, and nothing
 *	of it is lent
 *
 * The pages leave the balloon but stay out of the guest's reach, and count as not
 * managed by it. Compaction may have some of them isolated: they are waited for.
 *
 * Context: may sleep.
 * Return: base pages that were given up.
 */
unsigned long balloon_write_off(struct balloon *b)
{
	unsigned int page_tries = LOST_TRIES;
	unsigned long pages = 0;
	struct balloon_node *bn;
	int nid, z, tries;

	for (tries = 0; balloon_total() && tries < LOST_TRIES; tries++) {
		if (tries)
			msleep(20);
		for_each_balloon_node(bn, nid)
			for (z = 0; z < MAX_NR_ZONES; z++)
				pages += write_off_zone(b, &bn->zones[z], &page_tries);
	}
	return pages;
}
