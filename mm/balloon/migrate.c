// SPDX-License-Identifier: GPL-2.0
/*
 * Migration: the role of ballooned memory moves to other frames, and the counts of nodes
 * and zones with it. Base pages go one by one, also where compaction has them go. A
 * superframe goes as a whole, and only if somebody must have its range, to offline it or
 * for a contiguous allocation: isolated pageblocks tell. Another one takes its place, of
 * the node or else of the nearest that can spare one; where there is none it is split.
 *
 * What is on its way to the host or back is waited for there: nothing new can come to
 * such a range.
 */
#include <linux/migrate.h>
#include <linux/mm.h>
#include <linux/page-isolation.h>
#include <linux/pagemap.h>

#include "../internal.h"
#include "internal.h"
#include "movable.h"
#include "superframe.h"

/*
 * For the host's answer, where somebody must have the range. When somebody has waited that
 * long, nobody else does for a while.
 */
#define AWAY_PATIENCE	HZ
#define AWAY_PAUSE	(10 * HZ)

static bool extent_away(struct page *page)
{
	if (balloon_is_superframe(page))
		return !balloon_superframe_is_queued(page);
	return balloon_page_away(page);
}

/*
 * With the page locked, by who is to isolate it. Who has it on its way does not wait for
 * that: another page is lent.
 */
static void await_host(struct page *page)
{
	static unsigned long pause = INITIAL_JIFFIES;
	unsigned long end = jiffies + AWAY_PATIENCE, until;

	while (extent_away(page) && !balloon_own_task() && !fatal_signal_pending(current)) {
		until = READ_ONCE(pause);
		if (time_in_range_open(jiffies, until - AWAY_PAUSE, until))
			return;
		if (time_after(jiffies, end)) {
			WRITE_ONCE(pause, jiffies + AWAY_PAUSE);
			return;
		}
		schedule_timeout_uninterruptible(1);
	}
}

/* May what is ballooned on one node come to another? On the same one it is no more than before. */
static bool may_move(int from, int to, unsigned int order)
{
	return from == to || !balloon_node_full(to, order);
}

/* A free superframe for one of @nid: from there, or ring by ring. */
static bool take_substitute(int nid, struct balloon_extent *ext)
{
	struct balloon_rings *rings;
	bool taken = false;
	unsigned int i;

	rcu_read_lock();
	rings = rcu_dereference(balloon_nodes[nid]->rings);
	for (i = 0; rings && i < rings->nr && !taken; i++)
		taken = may_move(nid, rings->node[i].nid, SUPERFRAME_ORDER) &&
			balloon_take_superframe_nowait(rings->node[i].nid, ext);
	rcu_read_unlock();
	return taken;
}

/* The same for a base page. */
static struct page *take_substitute_page(int nid)
{
	struct balloon_rings *rings;
	struct page *page = NULL;
	unsigned int i;

	rcu_read_lock();
	rings = rcu_dereference(balloon_nodes[nid]->rings);
	for (i = 0; rings && i < rings->nr && !page; i++)
		if (may_move(nid, rings->node[i].nid, 0))
			page = balloon_take_page_nowait(rings->node[i].nid);
	rcu_read_unlock();
	return page;
}

/* Where its substitute is kept, so that who may not have it in the end gives it back. */
static struct page *substitute(struct page *head)
{
	unsigned long pfn = page_private(head + 1);

	return pfn ? pfn_to_page(pfn) : NULL;
}

static void set_substitute(struct page *head, unsigned long pfn)
{
	set_page_private(head + 1, pfn);
}

/* May superframes be traded with the host? Not while it has kept some of what was. */
static bool host_trades(void)
{
	struct balloon *b;
	bool may;

	rcu_read_lock();
	b = balloon_current();
	may = b && !READ_ONCE(b->suspended) && !balloon_has_surplus(b);
	rcu_read_unlock();
	return may;
}

static bool isolate_superframe(struct page *head)
{
	struct balloon_extent ext;

	if (host_trades() && take_substitute(page_to_nid(head), &ext)) {
		if (balloon_dequeue_superframe(head)) {
			set_substitute(head, ext.pfn);
			return true;
		}
		balloon_put_superframe(pfn_to_page(ext.pfn));
		return false;
	}
	if (!balloon_dequeue_superframe(head) ||
	    !balloon_break_superframe(head, GFP_NOWAIT | __GFP_NOWARN))
		return false;
	/* Who must have the range may yet fail to get it. */
	balloon_kick_current_later();
	return balloon_page_isolate(head, true);
}

/* In page_private() of a base page that is isolated: somebody must have this very page. */
#define PAGE_WANTED	(BALLOON_NUMA_PAGE | BIT(1))

static bool must_have(struct page *page)
{
	return is_migrate_isolate_page(page) || page_private(page) == PAGE_WANTED;
}

/*
 * Who soft-offlines a page has a reference beside ours and that of isolating, which he
 * drops before he migrates it. Compaction has one only, but for two that come at once.
 */
static bool soft_offlined(struct page *page, isolate_mode_t mode)
{
	return !(mode & ISOLATE_ASYNC_MIGRATE) && page_ref_count(page) > 2;
}

/**
 * balloon_numa_isolate - a page of the balloon is to be migrated
 * @page: a base page, or a superframe's first, locked and with a reference; that it is
 *	movable may be all that is left of its having been in the balloon
 * @mode: for whom
 *
 * Context: may sleep if somebody must have the range.
 * Return: whether it is isolated: in the balloon, and on none of its lists.
 */
bool balloon_numa_isolate(struct page *page, isolate_mode_t mode)
{
	bool must = is_migrate_isolate_page(page), wanted;

	if (must)
		await_host(page);
	if (balloon_is_superframe(page))
		return must && isolate_superframe(page);
	wanted = !must && soft_offlined(page, mode);
	if (!balloon_page_isolate(page, must || wanted))
		return false;
	if (wanted)
		set_page_private(page, PAGE_WANTED);
	return true;
}

static void putback_superframe(struct page *head)
{
	struct page *other = substitute(head);

	set_substitute(head, 0);
	if (other)
		balloon_put_superframe(other);
	balloon_requeue_superframe(head);
}

/**
 * balloon_numa_putback - a page stays where it is, after all
 * @page: the page, from balloon_numa_isolate(), locked
 *
 * Context: any.
 */
void balloon_numa_putback(struct page *page)
{
	if (balloon_is_superframe(page)) {
		putback_superframe(page);
		return;
	}
	set_page_private(page, BALLOON_NUMA_PAGE);
	/* A full block can't be coalesced while one of its pages is locked. */
	if (balloon_page_putback(page))
		balloon_kick_current_later();
}

/*
 * @src is the guest's again. Locked, as is balloon_host_lock. Who migrates it counts on its
 * being movable until he is done.
 */
static void migrate_free_src(struct balloon *b, struct page *src)
{
	balloon_page_leaves(b, src);
	balloon_page_put(src);		/* the balloon's */
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
 * where somebody @must have the range, any hole, or @dst, or, if the limit of that one's node
 * forbids it, a page of the nearest node that may hold more. Others than @dst have a
 * reference. An error is returned as such.
 */
static struct page *migrate_pick_dst(struct page *dst, struct page *src, bool must)
{
	bool may = may_move(page_to_nid(src), page_to_nid(dst), 0);
	struct page *hole = NULL;
	int err;

	if (must || balloon_block_pages(dst) <= balloon_block_pages(src)) {
		hole = balloon_take_hole(src, !must);
		if (!hole && !must)
			return ERR_PTR(-EBUSY);
	}
	if (!hole && !may && must)
		hole = take_substitute_page(page_to_nid(src));
	if (hole)
		return hole;
	if (!may)
		return ERR_PTR(-EBUSY);

	err = balloon_block_reserve(dst, GFP_NOWAIT | __GFP_NOWARN);
	if (err)
		return ERR_PTR(err);
	/*
	 * As a hole, it is movable while it is offline: who offlines its range waits for the
	 * host, and does not fail. Who migrates has it locked, so nobody isolates it.
	 */
	balloon_page_adopt_allocated(dst);
	/*
	 * Without page_offline_begin(): a reader of /proc/kcore that faults may be
	 * what we migrate for. It copes with a page that the host has taken.
	 */
	__SetPageOffline(dst);
	return dst;
}

/* Exchange @dst for @src, which is locked, with balloon_host_lock held. */
static int migrate_exchange(struct balloon *b, struct page *dst, struct page *src, bool isolated)
{
	struct balloon_extent out = { page_to_pfn(src), 0 }, in = { page_to_pfn(dst), 0 };
	unsigned int given, taken;

	/* While both are in the balloon, one of them is nobody's credit. */
	balloon_reserve(1);
	given = balloon_host_exchange(b, &in, &out, 1, &taken);
	if (!given) {
		balloon_unreserve(1);
		balloon_block_cancel(dst);
		/* It is movable, and so keeps its type until it is free. */
		set_page_private(dst, 0);
		return -EBUSY;
	}
	get_page(dst);		/* the balloon's */
	/* If that fills its block, the worker sees to it: kicked below. */
	balloon_page_arrives(b, dst);

	if (!taken) {
		balloon_unreserve(1);
		balloon_kick_later(b);
		/* Not -EAGAIN: @dst can't be tried again. */
		return -EBUSY;
	}
	migrate_free_src(b, src);
	balloon_count_migrated(&out, &in);
	/* Where nobody compacts, it is what was taken instead that is scattered. */
	balloon_gather_later(b, balloon_page_bz(isolated ? dst : src));
	return 0;
}

/*
 * Where it fails the superframe is the caller's as before, and on no list of the balloon.
 * With balloon_host_lock held.
 */
static int migrate_superframe(struct balloon *b, struct page *head)
{
	struct balloon_extent take = { page_to_pfn(head), SUPERFRAME_ORDER };
	struct page *other = substitute(head);
	struct balloon_extent give;
	unsigned int given, taken;

	/* It was tried, and the host refused. */
	if (!other)
		return -EBUSY;
	set_substitute(head, 0);
	/*
	 * Since it was isolated, others of the range may have been traded, in vain, and the
	 * other node may have come to its limit.
	 */
	if (balloon_has_surplus(b) ||
	    !may_move(page_to_nid(head), page_to_nid(other), SUPERFRAME_ORDER)) {
		balloon_put_superframe(other);
		return -EBUSY;
	}
	give = (struct balloon_extent){ page_to_pfn(other), SUPERFRAME_ORDER };
	/* While both are in the balloon, one of them is nobody's credit. */
	balloon_reserve(SUPERFRAME_PAGES);
	given = balloon_host_exchange(b, &give, &take, 1, &taken);
	if (!given) {
		balloon_unreserve(SUPERFRAME_PAGES);
		balloon_put_superframe(other);
		return -EBUSY;
	}
	balloon_queue_superframe(b, other);
	if (!taken) {
		balloon_unreserve(SUPERFRAME_PAGES);
		balloon_stat_add(page_to_nid(other), BALLOON_INFLATE_LOCAL, SUPERFRAME_PAGES);
		balloon_kick_later(b);
		return -EBUSY;
	}
	/* The balloon owes the guest no more than before. */
	balloon_free_superframe(b, head);
	balloon_count_migrated(&take, &give);
	/* It may have been there for a node's target, and comes home when there is room. */
	if (page_to_nid(head) != page_to_nid(other))
		balloon_kick_later(b);
	return 0;
}

/*
 * Exchange a page for @src: @dst or a hole, which leaves @dst free. Compaction on its
 * own would spread ballooned pages over its destinations.
 *
 * The host may refuse: nothing has happened then, or, where it can't do both at
 * once, both pages are in the balloon, and the worker brings one back. Both pages
 * are locked.
 */
static int migrate_page(struct balloon *b, struct page *dst, struct page *src, bool must)
{
	struct page *page;
	int err;

	/* Where somebody must have the range, it need not have another one for it. */
	if (balloon_has_surplus(b))
		return must && migrate_give_back(b, src) ? 0 : -EBUSY;

	page = migrate_pick_dst(dst, src, must);
	if (IS_ERR(page))
		return PTR_ERR(page);
	err = migrate_exchange(b, page, src, must);
	if (page != dst)
		put_page(page);
	return err;
}

/*
 * Who must have the range waits for its turn to talk to the host. The page that it has
 * locked is isolated, on no list of the balloon: who has the host's lock can't come upon
 * it. Who compacts memory does not wait, it may be the worker that has it compacted.
 */
static bool migrate_lock_host(bool must)
{
	if (mutex_trylock(&balloon_host_lock))
		return true;
	return must && !balloon_own_task() && !mutex_lock_killable(&balloon_host_lock);
}

/**
 * balloon_numa_migrate - another page is to be in the balloon in a page's place
 * @dst: a free page, locked; of no use for a superframe, which finds one itself
 * @src: the page, from balloon_numa_isolate(), locked
 * @mode: whether it may be waited for others
 *
 * Context: may sleep.
 * Return: 0: @src has left the balloon, and the caller has the last reference; -EAGAIN if
 * it may be tried again now; -EBUSY or -ENOMEM if not.
 */
int balloon_numa_migrate(struct page *dst, struct page *src, enum migrate_mode mode)
{
	bool must = must_have(src);
	int err = -EBUSY;
	struct balloon *b;

	if (!migrate_lock_host(must))
		return -EAGAIN;
	b = balloon_current();
	if (b && !b->suspended) {
		if (balloon_is_superframe(src))
			err = migrate_superframe(b, src);
		else
			err = migrate_page(b, dst, src, must);
	}
	mutex_unlock(&balloon_host_lock);
	return err;
}
