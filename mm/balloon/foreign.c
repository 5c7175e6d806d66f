// SPDX-License-Identifier: GPL-2.0
/*
 * Foreign pages: ballooned pages that a backend borrows to map another domain's
 * memory where their own frames were. The borrower has them, so they are on no
 * list, only counted; they are not PageOffline, never migrated or coalesced. Their
 * place in their block is kept, so that nothing is allocated when they come back: that
 * may be in the way of the very I/O that would free memory.
 */

#include <linux/export.h>
#include <linux/kasan.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/vmstat.h>

#include "internal.h"

/* Returns whether that is done: not while others look at the page. */
static bool foreign_lend_page(struct page *page)
{
	struct balloon_zone *bz = balloon_page_bz(page);
	unsigned long flags;

	/* What is left of a movable page would confuse who maps it. */
	if (!balloon_page_keep(page, false))
		return false;
	spin_lock_irqsave(&bz->lock, flags);
	bz->partial_away--;
	bz->nr_partial--;
	bz->nr_foreign++;
	mod_node_page_state(page_pgdat(page), NR_BALLOON_PAGES, -1);
	spin_unlock_irqrestore(&bz->lock, flags);
	/* It was never allocated, but now it is used. */
	kasan_unpoison_pages(page, 0, false);
	return true;
}

static void foreign_reclaim_page(struct balloon *b, struct page *page)
{
	struct balloon_zone *bz = balloon_page_bz(page);
	unsigned long flags;

	balloon_page_set_movable(page);
	/* Readers of /proc/kcore must be out of it. */
	page_offline_begin();
	__SetPageOffline(page);
	page_offline_end();
	spin_lock_irqsave(&bz->lock, flags);
	bz->nr_foreign--;
	bz->nr_partial++;
	bz->partial_away++;
	mod_node_page_state(page_pgdat(page), NR_BALLOON_PAGES, 1);
	spin_unlock_irqrestore(&bz->lock, flags);
	balloon_requeue_page(b, page);
}

/*
 * Who stops it is to find nothing lent of what it takes back. One that is not registered
 * has no worker, and so is stopped: a test's.
 */
static bool foreign_may_lend(struct balloon *b)
{
	return !b->suspended && !(READ_ONCE(b->stopped) && b == balloon_current());
}

/* So many pages that others look at are passed over. */
#define LEND_BUSY	16

/* Base pages of partial blocks. Returns how many. */
static unsigned int foreign_lend_pages(struct balloon *b, int nid, struct page **pages,
				       unsigned int nr)
{
	struct balloon_extent busy[LEND_BUSY];
	unsigned int n = 0, nr_busy = 0;

	mutex_lock(&balloon_host_lock);
	while (n < nr && nr_busy < LEND_BUSY && foreign_may_lend(b) &&
	       balloon_dequeue_pages(nid, &busy[nr_busy], 1)) {
		pages[n] = pfn_to_page(busy[nr_busy].pfn);
		if (foreign_lend_page(pages[n]))
			n++;
		else
			nr_busy++;
	}
	balloon_settle(b, busy, nr_busy, 0);
	mutex_unlock(&balloon_host_lock);
	return n;
}

/**
 * balloon_lend - borrow ballooned pages to map foreign memory
 * @b: the balloon; nothing is lent while it is suspended
 * @pages: where to store them
 * @nr: how many are wanted
 *
 * Base pages of partial blocks are lent first; a superframe is split only where
 * there are none. Lent pages count as ballooned for the host's target.
 *
 * Context: may sleep and allocate.
 * Return: how many were lent; fewer than @nr where the balloon holds no more, or others
 * look at what it holds.
 */
int balloon_lend(struct balloon *b, struct page **pages, unsigned int nr)
{
	unsigned int n = 0;
	int nid;

	for_each_online_node(nid)
		n += foreign_lend_pages(b, nid, pages + n, nr - n);
	for_each_online_node(nid) {
		/* Others may take what was split. Splitting allocates: not under the mutex. */
		while (n < nr && foreign_may_lend(b) && balloon_split_superframe(nid))
			n += foreign_lend_pages(b, nid, pages + n, nr - n);
	}
	return n;
}
EXPORT_SYMBOL_GPL(balloon_lend);

/**
 * balloon_reclaim_lent - the end of balloon_lend()
 * @b: the balloon
 * @pages: pages that nothing foreign is mapped at any more
 * @nr: how many
 *
 * Context: may sleep; does not allocate.
 */
void balloon_reclaim_lent(struct balloon *b, struct page **pages, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++)
		foreign_reclaim_page(b, pages[i]);
	/* They may be more than the target now. */
	balloon_kick(b);
}
EXPORT_SYMBOL_GPL(balloon_reclaim_lent);
