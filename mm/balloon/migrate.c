// SPDX-License-Identifier: GPL-2.0
/*
 * Migration of ballooned base pages: the page's role moves to another frame,
 * and the counts of nodes and zones with it.
 *
 * Gathering: compaction looks at no block from which it has taken destinations,
 * so it leaves partial blocks in the upper half of a zone. The worker empties
 * those into the fullest when compaction is over.
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

static void count_migrated(unsigned long from, unsigned long to)
{
	int nid = pfn_to_nid(to);

	count_vm_event(BALLOON_MIGRATE);
	balloon_stat_add(nid, BALLOON_STAT_MIGRATE, 1);
	trace_balloon_migrate(pfn_to_nid(from), nid, from, to);
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
	bool must = is_migrate_isolate_page(src);
	struct page *hole = NULL;
	struct balloon *b;
	unsigned int done;
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
	done = balloon_host_exchange(b, &in, &out);
	if (!done) {
		balloon_unreserve(1);
		__ClearPageOffline(dst);
		balloon_block_cancel(dst);
		err = -EBUSY;
		goto put_hole;
	}
	get_page(dst);		/* the balloon's */
	full = balloon_page_arrives(b, dst);

	if (done == 1) {
		/* Not -EAGAIN: @dst can't be tried again. */
		err = -EBUSY;
		balloon_unreserve(1);
		balloon_kick_later(b);
		goto put_hole;
	}
	balloon_page_clear_movable(src);
	balloon_page_leaves(b, src);
	put_page(src);		/* the balloon's */

	count_migrated(out.pfn, in.pfn);
	if (!is_migrate_isolate_page(src)) {
		struct balloon_zone *bz = balloon_page_bz(src);

		WRITE_ONCE(bz->compacted, jiffies);
		WRITE_ONCE(bz->scattered, true);
		full = true;
	}
	if (full)
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

/* The pages @in come to the balloon for those of @out, as far as the host goes along. */
static unsigned int exchange_all(struct balloon *b, const struct balloon_extent *in,
				 const struct balloon_extent *out, unsigned int nr)
{
	unsigned int given, taken, i;

	balloon_reserve(nr);
	given = balloon_host_inflate(b, in, nr);
	taken = given ? balloon_host_deflate(b, out, given) : 0;
	for (i = 0; i < nr; i++) {
		struct page *page = pfn_to_page(in[i].pfn);

		if (i >= given) {
			balloon_put_page(page);
			continue;
		}
		lock_page(page);
		if (balloon_page_arrives(b, page)) {
			unlock_page(page);
			balloon_coalesce(b, balloon_page_bz(page), in[i].pfn >> SUPERFRAME_ORDER);
		} else {
			unlock_page(page);
		}
	}
	for (i = 0; i < taken; i++) {
		struct page *page = pfn_to_page(out[i].pfn);

		balloon_page_leaves(b, page);
		put_page(page);
		count_migrated(out[i].pfn, in[i].pfn);
	}
	balloon_unreserve(nr - taken);
	/* The host has too many: the worker asks them back. */
	if (taken < given)
		balloon_kick_later(b);
	return taken;
}

/* Empty the zone's emptiest block into the fullest. Returns how many pages moved. */
static unsigned int gather_zone(struct balloon *b, struct balloon_zone *bz)
{
	struct balloon_extent *out = b->ext, *in = b->ext + SUPERFRAME_PAGES;
	unsigned int nr, got, moved = 0, i;

	BUILD_BUG_ON(2 * SUPERFRAME_PAGES > BALLOON_BATCH_PAGES);

	nr = balloon_dequeue_emptiest(bz, out);
	if (!nr)
		return 0;
	got = balloon_take_holes(pfn_to_page(out->pfn), in, nr);
	if (got)
		moved = exchange_all(b, in, out, got);
	for (i = moved; i < nr; i++)
		balloon_requeue_page(b, pfn_to_page(out[i].pfn));
	return moved;
}

/* Does compaction still move pages of the zone? */
static bool at_rest(struct balloon_zone *bz)
{
	return time_after(jiffies, READ_ONCE(bz->compacted) + HZ / 2);
}

/**
 * balloon_gather - put partial blocks together that compaction has left
 * @b: the balloon
 *
 * One block of a zone in which compaction moved ballooned pages, and is over.
 * No page is moved to a block that holds less than its own: it ends.
 *
 * Context: the worker; may sleep and allocate.
 * Return: whether there is more to do now.
 */
bool balloon_gather(struct balloon *b)
{
	struct balloon_node *bn;
	int nid, z;

	for (nid = 0; (bn = balloon_node_from(&nid)); nid++) {
		for (z = 0; z < MAX_NR_ZONES; z++) {
			struct balloon_zone *bz = &bn->zones[z];
			unsigned int moved;

			if (!READ_ONCE(bz->scattered) || !at_rest(bz))
				continue;
			mutex_lock(&balloon_host_lock);
			moved = b->suspended ? 0 : gather_zone(b, bz);
			mutex_unlock(&balloon_host_lock);
			if (!moved)
				WRITE_ONCE(bz->scattered, false);
			return true;
		}
	}
	return false;
}

/**
 * balloon_is_scattered - is there a zone that balloon_gather() has to look at?
 *
 * Return: whether.
 */
bool balloon_is_scattered(void)
{
	struct balloon_node *bn;
	int nid, z;

	for (nid = 0; (bn = balloon_node_from(&nid)); nid++)
		for (z = 0; z < MAX_NR_ZONES; z++)
			if (READ_ONCE(bn->zones[z].scattered))
				return true;
	return false;
}
