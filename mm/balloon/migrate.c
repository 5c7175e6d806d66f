// SPDX-License-Identifier: GPL-2.0
/*
 * Migration of ballooned base pages: the page's role moves to another frame,
 * and the counts of nodes and zones with it.
 */
#include <linux/migrate.h>
#include <linux/mm.h>
#include <linux/page-isolation.h>
#include <linux/pagemap.h>
#include <linux/vmstat.h>

#include "../internal.h"
#include "internal.h"

#include <trace/events/balloon.h>

static bool isolate(struct page *page, isolate_mode_t mode)
{
	return balloon_page_isolate(page);
}

static void putback(struct page *page)
{
	balloon_page_putback(page);
}

/**
 * balloon_count_migrated - the role of a base page has moved
 * @from: from here
 * @to: to here
 *
 * Context: any.
 */
void balloon_count_migrated(const struct balloon_extent *from, const struct balloon_extent *to)
{
	int nid = pfn_to_nid(to->pfn);

	count_vm_event(BALLOON_MIGRATE);
	balloon_stat_add(nid, BALLOON_STAT_MIGRATE, 1);
	trace_balloon_migrate(pfn_to_nid(from->pfn), nid, from->pfn, to->pfn);
}

/* @src leaves the balloon, as the host has one too many. Locked, as is balloon_host_lock. */
static bool give_back(struct balloon *b, struct page *src)
{
	struct balloon_extent ext = { page_to_pfn(src), 0 };
	unsigned long reserved = balloon_reserve_credit(balloon_goal(b), 1, 1);

	if (!reserved)
		return false;
	if (!balloon_host_deflate(b, &ext, 1)) {
		balloon_unreserve(reserved);
		return false;
	}
	balloon_page_clear_movable(src);
	balloon_page_leaves(b, src);
	put_page(src);		/* the balloon's */
	return true;
}

/*
 * Exchange a page for @src: @dst if its block holds more of the balloon than
 * @src's, else a hole of a block that does, and @dst is free then. Compaction on
 * its own would spread ballooned pages over its destinations. Where somebody must
 * have the range, any hole will do, or @dst.
 *
 * The host may refuse: nothing has happened then, or, where it can't do both at
 * once, both pages are in the balloon, and the worker brings one back. Both pages
 * are locked.
 */
static int migrate(struct page *dst, struct page *src, enum migrate_mode mode)
{
	struct balloon_extent out = { page_to_pfn(src), 0 }, in;
	bool isolated = is_migrate_isolate_page(src), must = isolated;
	unsigned int given, taken;
	struct page *hole = NULL;
	struct balloon *b;
	bool full;
	int err;

	/*
	 * The worker may wait for this very page, or be the one that caused
	 * the compaction: come again later.
	 */
	if (!mutex_trylock(&balloon_host_lock))
		return -EAGAIN;

	/* Its host kept the page when the device went. */
	b = balloon_current();
	if (!b || b->suspended) {
		err = -EBUSY;
		goto unlock;
	}
	/* Where somebody must have the range, it need not have another one for it. */
	if (balloon_has_surplus(b)) {
		err = isolated && give_back(b, src) ? MIGRATEPAGE_SUCCESS : -EBUSY;
		goto unlock;
	}

	if (must || balloon_block_pages(dst) <= balloon_block_pages(src))
		hole = balloon_take_hole(src, !must);
	else
		must = true;
	if (hole) {
		lock_page(hole);
		dst = hole;
	} else if (!must) {
		err = -EBUSY;
		goto unlock;
	} else {
		err = balloon_block_reserve(dst, GFP_NOWAIT | __GFP_NOWARN);
		if (err)
			goto unlock;
		/*
		 * Without page_offline_begin(): a reader of /proc/kcore that
		 * faults may be what we migrate for. It copes with a page that
		 * the host has taken.
		 */
		__SetPageOffline(dst);
	}
	in = (struct balloon_extent){ page_to_pfn(dst), 0 };

	/* While both are in the balloon, one of them is nobody's credit. */
	balloon_reserve(1);
	given = balloon_host_exchange(b, &in, &out, 1, &taken);
	if (!given) {
		balloon_unreserve(1);
		__ClearPageOffline(dst);
		balloon_block_cancel(dst);
		err = -EBUSY;
		goto put_hole;
	}
	get_page(dst);		/* the balloon's */
	full = balloon_page_arrives(b, dst);

	if (!taken) {
		/* Not -EAGAIN: @dst can't be tried again. */
		err = -EBUSY;
		balloon_unreserve(1);
		balloon_kick_later(b);
		goto put_hole;
	}
	balloon_page_clear_movable(src);
	balloon_page_leaves(b, src);
	put_page(src);		/* the balloon's */

	balloon_count_migrated(&out, &in);
	if (!isolated)
		balloon_gather_later(b, balloon_page_bz(src));
	else if (full)
		balloon_kick_later(b);
	err = MIGRATEPAGE_SUCCESS;
put_hole:
	if (hole) {
		unlock_page(hole);
		put_page(hole);
	}
unlock:
	mutex_unlock(&balloon_host_lock);
	return err;
}

const struct movable_operations balloon_numa_mops = {
	.isolate_page = isolate,
	.migrate_page = migrate,
	.putback_page = putback,
};
