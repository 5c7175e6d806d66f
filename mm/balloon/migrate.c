// SPDX-License-Identifier: GPL-2.0
/*
 * Migration of ballooned base pages: the page's role moves to another frame,
 * and the counts of nodes and zones with it.
 */
#include <linux/migrate.h>
#include <linux/mm.h>
#include <linux/page-isolation.h>
#include <linux/pagemap.h>

#include "../internal.h"
#include "internal.h"

static bool balloon_mops_isolate(struct page *page, isolate_mode_t mode)
{
	return balloon_page_isolate(page);
}

static void balloon_mops_putback(struct page *page)
{
	/* A full block can't be coalesced while one of its pages is locked. */
	if (balloon_page_putback(page))
		balloon_kick_current_later();
}

/* @src is the guest's again. Locked, as is balloon_host_lock. */
static void migrate_free_src(struct balloon *b, struct page *src)
{
	balloon_page_clear_movable(src);
	balloon_page_leaves(b, src);
	put_page(src);		/* the balloon's */
}

/* @src leaves the balloon, as the host has one too many. Locked, as is balloon_host_lock. */
static bool migrate_give_back(struct balloon *b, struct page *src)
{
	struct balloon_extent ext = { page_to_pfn(src), 0 };
	unsigned long reserved = balloon_reserve_credit(balloon_goal(b), 1, 1);

	if (!reserved)
		return false;
	if (!balloon_host_deflate(b, &ext, 1)) {
		balloon_unreserve(reserved);
		return false;
	}
	migrate_free_src(b, src);
	return true;
}

/*
 * The page that is to take @src's place, offline and with a place in its block: @dst if
 * its block holds more of the balloon than @src's, else a hole of a block that does;
 * where somebody @must have the range, any hole, or @dst. A hole is locked, and has a
 * reference. An error is returned as such.
 */
static struct page *migrate_pick_dst(struct page *dst, struct page *src, bool must)
{
	struct page *hole = NULL;
	int err;

	if (must || balloon_block_pages(dst) <= balloon_block_pages(src)) {
		hole = balloon_take_hole(src, !must);
		if (!hole && !must)
			return ERR_PTR(-EBUSY);
	}
	if (hole) {
		lock_page(hole);
		return hole;
	}

	err = balloon_block_reserve(dst, GFP_NOWAIT | __GFP_NOWARN);
	if (err)
		return ERR_PTR(err);
	/*
	 * Without page_offline_begin(): a reader of /proc/kcore that faults may be
	 * what we migrate for. It copes with a page that the host has taken.
	 */
	__SetPageOffline(dst);
	return dst;
}

/* Exchange @dst for @src, both locked, with balloon_host_lock held. */
static int migrate_exchange(struct balloon *b, struct page *dst, struct page *src, bool isolated)
{
	struct balloon_extent out = { page_to_pfn(src), 0 }, in = { page_to_pfn(dst), 0 };
	unsigned int given, taken;
	bool full;

	/* While both are in the balloon, one of them is nobody's credit. */
	balloon_reserve(1);
	given = balloon_host_exchange(b, &in, &out, 1, &taken);
	if (!given) {
		balloon_unreserve(1);
		__ClearPageOffline(dst);
		balloon_block_cancel(dst);
		return -EBUSY;
	}
	get_page(dst);		/* the balloon's */
	full = balloon_page_arrives(b, dst);

	if (!taken) {
		balloon_unreserve(1);
		balloon_kick_later(b);
		/* Not -EAGAIN: @dst can't be tried again. */
		return -EBUSY;
	}
	migrate_free_src(b, src);
	balloon_count_migrated(&out, &in);
	if (!isolated)
		balloon_gather_later(b, balloon_page_bz(src));
	else if (full)
		balloon_kick_later(b);
	return MIGRATEPAGE_SUCCESS;
}

/*
 * Exchange a page for @src: @dst or a hole, which leaves @dst free. Compaction on its
 * own would spread ballooned pages over its destinations.
 *
 * The host may refuse: nothing has happened then, or, where it can't do both at
 * once, both pages are in the balloon, and the worker brings one back. Both pages
 * are locked.
 */
static int balloon_mops_migrate(struct page *dst, struct page *src, enum migrate_mode mode)
{
	bool isolated = is_migrate_isolate_page(src);
	struct balloon *b;
	struct page *page;
	int err;

	/*
	 * The worker may wait for this very page, or be the one that caused
	 * the compaction: come again later.
	 */
	if (!mutex_trylock(&balloon_host_lock))
		return -EAGAIN;

	b = balloon_current();
	err = -EBUSY;
	if (!b || b->suspended)
		goto unlock;
	/* Where somebody must have the range, it need not have another one for it. */
	if (balloon_has_surplus(b)) {
		if (isolated && migrate_give_back(b, src))
			err = MIGRATEPAGE_SUCCESS;
		goto unlock;
	}

	page = migrate_pick_dst(dst, src, isolated);
	if (IS_ERR(page)) {
		err = PTR_ERR(page);
		goto unlock;
	}
	err = migrate_exchange(b, page, src, isolated);
	if (page != dst) {
		unlock_page(page);
		put_page(page);
	}
unlock:
	mutex_unlock(&balloon_host_lock);
	return err;
}

const struct movable_operations balloon_numa_mops = {
	.isolate_page = balloon_mops_isolate,
	.migrate_page = balloon_mops_migrate,
	.putback_page = balloon_mops_putback,
};
