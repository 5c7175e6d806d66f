// SPDX-License-Identifier: GPL-2.0
/*
 * Refill: the page allocator takes pages back from the balloon before it
 * leaves a zone for want of free memory, and before somebody is killed for it.
 *
 * What an allocation gets depends on what it may do:
 *
 *   any context, backend with deflate_nowait
 *	superframes, as far as the host's target allows (credit)
 *   may wait (__GFP_DIRECT_RECLAIM) and does not reclaim itself (PF_MEMALLOC)
 *	credit from any backend, of base pages too, and exchange; only if no
 *	other conversation with the host goes on
 *   about to call the OOM killer
 *	pages beyond the target, where the host permits it
 *   ALLOC_NO_WATERMARKS, and the balloon's own worker
 *	nothing: they are what the balloon needs to work at all
 *
 * Nothing is allocated here.
 *
 * The zone's watermarks and lowmem reserves are what they were before anything
 * was ballooned, and stay so: managed pages come and go, and what a full guest
 * keeps in reserve is never too little for one that is less than full.
 * kswapd is not woken for a zone that a refill has brought above its low
 * watermark: that is decided where all zones have failed.
 */
#include <linux/cpuset.h>
#include <linux/gfp.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>

#include "../internal.h"
#include "internal.h"
#include "refill.h"

#include <trace/events/balloon.h>

DEFINE_STATIC_KEY_FALSE(balloon_refill_key);

enum balloon_refill_mode balloon_refill_mode = BALLOON_REFILL_CREDIT;

/* Superframes that one allocation takes back at most. */
#define REFILL_MAX		4
/* Base pages of one host conversation: they fit on the stack. */
#define REFILL_PAGES		16U

/*
 * A node has plenty, and gives for others, while it is so many superframes and
 * this part of its memory above its high watermarks: far enough not to need a
 * refill itself a moment later.
 */
#define PLENTY_SUPERFRAMES	8UL
#define PLENTY_PART		32

/* After a node found no other with plenty, or the host refused. */
#define EXCHANGE_PAUSE		(HZ / 10)

/* What an allocation wants. */
struct refill {
	struct zone *zone;
	struct balloon_zone *bz;
	unsigned int order;
	gfp_t gfp;
	/* It may wait for the host. */
	bool may_wait;
	/* Its zone has pages that it could have had. */
	bool failed;
};

/* The host need not be asked. Returns base pages. */
static unsigned long refill_nowait(struct refill *r)
{
	struct balloon_extent ext;
	unsigned long reserved, got = 0;
	struct balloon *b;

	rcu_read_lock();
	b = balloon_current();
	if (!b || !b->ops->deflate_nowait || READ_ONCE(b->stopped))
		goto unlock;
	reserved = balloon_reserve_credit(balloon_goal(b), SUPERFRAME_PAGES, SUPERFRAME_PAGES);
	if (!reserved)
		goto unlock;
	if (balloon_dequeue_zone_superframes(r->bz, &ext, 1)) {
		got = balloon_host_deflate_nowait(b, &ext, 1) << SUPERFRAME_ORDER;
		balloon_settle(b, &ext, 1, got ? 1 : 0);
		r->failed |= !got;
	}
	balloon_unreserve(reserved - got);
unlock:
	rcu_read_unlock();
	return got;
}

/* Reserved extents of one order, back from the host. Returns base pages. */
static unsigned long ask_back(struct refill *r, struct balloon *b, unsigned int order,
			      unsigned long reserved)
{
	struct balloon_extent ext[REFILL_PAGES];
	unsigned long got = 0;
	unsigned int nr;

	if (!reserved)
		return 0;
	nr = order ? balloon_dequeue_zone_superframes(r->bz, ext, reserved >> order) :
		     balloon_dequeue_zone_pages(r->bz, ext, reserved);
	if (nr) {
		got = (unsigned long)balloon_take_back(b, ext, nr) << order;
		r->failed |= !got;
	}
	balloon_unreserve(reserved - got);
	return got;
}

/* The host is asked. Returns base pages. */
static unsigned long refill_credit(struct refill *r, struct balloon *b)
{
	unsigned long goal = balloon_goal(b), got;

	got = ask_back(r, b, SUPERFRAME_ORDER,
		       balloon_reserve_credit(goal, SUPERFRAME_PAGES, SUPERFRAME_PAGES));
	/* A block that is nearly whole for the guest may be so then, or not. */
	if (!got)
		got = ask_back(r, b, 0, balloon_reserve_credit(goal, REFILL_PAGES, 1));
	return got;
}

/* Base pages by which a node is above the level at which it has plenty. */
static unsigned long plenty(int nid)
{
	struct zone *zones = NODE_DATA(nid)->node_zones;
	unsigned long free = 0, keep = 0;
	int z;

	for (z = 0; z < MAX_NR_ZONES; z++) {
		if (!managed_zone(&zones[z]))
			continue;
		free += zone_page_state(&zones[z], NR_FREE_PAGES);
		keep += high_wmark_pages(&zones[z]);
	}
	keep += max(PLENTY_SUPERFRAMES * SUPERFRAME_PAGES,
		    NODE_DATA(nid)->node_present_pages / PLENTY_PART);
	return free - min(free, keep);
}

/* The node that gives for @nid: in the farthest ring that can, whoever has most. */
static int farthest_with_plenty(int nid)
{
	unsigned long most = 0;
	struct balloon_rings *rings;
	int best = NUMA_NO_NODE, i;

	rcu_read_lock();
	rings = rcu_dereference(balloon_nodes[nid]->rings);
	for (i = rings ? rings->nr - 1 : -1; i >= 0; i--) {
		unsigned long pages;

		/* The next ring begins. */
		if (best != NUMA_NO_NODE && rings->node[i].distance != rings->node[i + 1].distance)
			break;
		if (rings->node[i].nid == nid)
			continue;
		pages = plenty(rings->node[i].nid);
		if (pages > most) {
			most = pages;
			best = rings->node[i].nid;
		}
	}
	rcu_read_unlock();
	return best;
}

/*
 * A free superframe of another node for a ballooned one of this zone. Between
 * the two the balloon holds one more than the host wants, and nobody may take
 * that for credit. Returns base pages.
 */
static unsigned long refill_exchange(struct refill *r, struct balloon *b)
{
	int nid = zone_to_nid(r->zone), other;
	struct balloon_node *bn = balloon_nodes[nid];
	struct balloon_extent give, take;
	unsigned int done;

	if (b->max_order < SUPERFRAME_ORDER || time_before(jiffies, READ_ONCE(bn->exchange_after)))
		return 0;
	r->failed = true;
	other = farthest_with_plenty(nid);
	if (other == NUMA_NO_NODE || !balloon_take_superframe_nowait(other, &give))
		goto pause;
	if (!balloon_dequeue_zone_superframes(r->bz, &take, 1)) {
		balloon_put_superframe(pfn_to_page(give.pfn));
		goto pause;
	}

	balloon_reserve(SUPERFRAME_PAGES);
	done = balloon_host_exchange(b, &give, &take);
	if (done)
		balloon_queue_superframe(b, pfn_to_page(give.pfn));
	else
		balloon_put_superframe(pfn_to_page(give.pfn));
	balloon_settle(b, &take, 1, done == 2);
	if (done == 2) {
		balloon_move_claim(nid, other, SUPERFRAME_PAGES);
		balloon_stat_add(nid, BALLOON_EXCHANGE, SUPERFRAME_PAGES);
		return SUPERFRAME_PAGES;
	}
	balloon_unreserve(SUPERFRAME_PAGES);
	/* The host has one too many: the worker asks one back. */
	if (done)
		balloon_kick_later(b);
pause:
	WRITE_ONCE(bn->exchange_after, jiffies + EXCHANGE_PAUSE);
	return 0;
}

static unsigned long refill_wait(struct refill *r, enum balloon_refill_mode mode)
{
	unsigned long got = 0;
	struct balloon *b;

	/* Who has it may be waiting for what this allocation is for. */
	if (!r->may_wait || !mutex_trylock(&balloon_host_lock))
		return 0;
	b = balloon_current();
	if (b && !READ_ONCE(b->stopped)) {
		got = refill_credit(r, b);
		if (!got && mode >= BALLOON_REFILL_EXCHANGE)
			got = refill_exchange(r, b);
	}
	mutex_unlock(&balloon_host_lock);
	return got;
}

/* The worker goes on with this node, and tells the host what there is now. */
static void wake_worker(int nid, bool got)
{
	struct balloon *b;

	rcu_read_lock();
	b = balloon_current();
	if (b) {
		WRITE_ONCE(b->hungry, nid);
		/* A host that refused has memory now. */
		if (got && READ_ONCE(b->retry_delay) && !READ_ONCE(balloon_hold))
			balloon_kick(b);
		else
			balloon_kick_later(b);
	}
	rcu_read_unlock();
}

static bool is_worker(void)
{
	struct balloon *b;
	bool is;

	rcu_read_lock();
	b = balloon_current();
	is = b && READ_ONCE(b->worker) == current;
	rcu_read_unlock();
	return is;
}

/**
 * __balloon_refill - take pages back where an allocation would leave a zone
 * @zone: the zone, which the allocation may use and whose watermark failed
 * @order: of the allocation
 * @mark: the watermark, in base pages
 * @highest_zoneidx: of the allocation
 * @alloc_flags: of the allocation, ALLOC_*
 * @gfp_mask: of the allocation
 *
 * Takes no more than REFILL_MAX superframes, and only of this zone. An order
 * that no superframe can serve is left alone, which free page hinting counts
 * on: it drains memory on purpose.
 *
 * Context: any, see above; no lock of the zone held. Does not allocate.
 * Return: whether the watermark holds now.
 */
bool __balloon_refill(struct zone *zone, unsigned int order, unsigned long mark,
		      int highest_zoneidx, unsigned int alloc_flags, gfp_t gfp_mask)
{
	enum balloon_refill_mode mode = READ_ONCE(balloon_refill_mode);
	int nid = zone_to_nid(zone);
	struct balloon_node *bn = READ_ONCE(balloon_nodes[nid]);
	struct refill r = {
		.zone = zone, .order = order, .gfp = gfp_mask,
		.may_wait = gfpflags_allow_blocking(gfp_mask) && !(current->flags & PF_MEMALLOC),
	};
	unsigned long done = 0, got;
	u64 began = 0;
	bool ok = false;
	int i;

	if (mode == BALLOON_REFILL_OFF || !bn || (alloc_flags & ALLOC_NO_WATERMARKS) ||
	    order > SUPERFRAME_ORDER || order == MAX_PAGE_ORDER)
		return false;
	r.bz = &bn->zones[zone_idx(zone)];
	if (!READ_ONCE(r.bz->nr_superframes) && (order || !READ_ONCE(r.bz->nr_partial)))
		return false;
	if (is_worker())
		return false;

	if (trace_balloon_refill_enabled())
		began = ktime_get_mono_fast_ns();
	for (i = 0; i < REFILL_MAX && !ok; i++) {
		got = refill_nowait(&r);
		if (!got)
			got = refill_wait(&r, mode);
		if (!got)
			break;
		done += got;
		ok = zone_watermark_ok(zone, order, mark, highest_zoneidx, alloc_flags);
		/* Base pages are on this CPU's list, where no watermark sees them. */
		if (!order && got < SUPERFRAME_PAGES)
			ok = true;
	}

	if (done)
		balloon_stat_add(nid, BALLOON_REFILL, done);
	if (!ok && r.failed)
		balloon_stat_add(nid, BALLOON_REFILL_FAIL, 1L << order);
	if ((done || r.failed) && (alloc_flags & ALLOC_KSWAPD))
		wake_worker(nid, done);
	if (done || r.failed)
		trace_balloon_refill(nid, order, gfp_mask, mode, done, began);
	return ok;
}

/* Beyond the target, out of one zone. Returns base pages. */
static unsigned long refill_beyond(struct refill *r, struct balloon *b)
{
	unsigned long got;

	balloon_reserve(SUPERFRAME_PAGES);
	got = ask_back(r, b, SUPERFRAME_ORDER, SUPERFRAME_PAGES);
	if (!got && !r->order) {
		balloon_reserve(REFILL_PAGES);
		got = ask_back(r, b, 0, REFILL_PAGES);
	}
	return got;
}

/**
 * __balloon_refill_oom - take pages back instead of killing somebody for them
 * @gfp_mask: of the allocation
 * @order: of the allocation
 * @ac: of the allocation: the zones that it may use
 *
 * Where the host permits it (BALLOON_KEEP_MANAGED), in every mode but off. The
 * balloon stays below the host's target until that is set again. Allocations
 * that mean to fail do; those that insist on a node get something in mode oom
 * only, as the OOM killer would not help them either.
 *
 * Context: may sleep, with oom_lock held; does not allocate.
 * Return: whether it is worthwhile to try the allocation again.
 */
bool __balloon_refill_oom(gfp_t gfp_mask, unsigned int order, const struct alloc_context *ac)
{
	enum balloon_refill_mode mode = READ_ONCE(balloon_refill_mode);
	struct refill r = { .order = order, .gfp = gfp_mask };
	unsigned long done = 0;
	struct balloon *b;
	struct zoneref *z;
	u64 began = 0;

	if (mode == BALLOON_REFILL_OFF || order > SUPERFRAME_ORDER || order == MAX_PAGE_ORDER ||
	    (gfp_mask & (__GFP_NORETRY | __GFP_RETRY_MAYFAIL)) ||
	    ((gfp_mask & __GFP_THISNODE) &&
	     (mode != BALLOON_REFILL_OOM || (gfp_mask & __GFP_NOWARN))) ||
	    is_worker())
		return false;

	if (trace_balloon_refill_enabled())
		began = ktime_get_mono_fast_ns();
	mutex_lock(&balloon_host_lock);
	b = balloon_current();
	if (!b || !(b->flags & BALLOON_KEEP_MANAGED) || b->suspended)
		goto unlock;

	z = ac->preferred_zoneref;
	for_next_zone_zonelist_nodemask(r.zone, z, ac->highest_zoneidx, ac->nodemask) {
		struct balloon_node *bn = READ_ONCE(balloon_nodes[zone_to_nid(r.zone)]);

		if (!bn || (cpusets_enabled() &&
			    !__cpuset_zone_allowed(r.zone, gfp_mask | __GFP_HARDWALL)))
			continue;
		r.bz = &bn->zones[zone_idx(r.zone)];
		do {
			unsigned long got = refill_beyond(&r, b);

			if (!got)
				break;
			done += got;
		} while (done < SUPERFRAME_PAGES &&
			 !zone_watermark_ok(r.zone, order, min_wmark_pages(r.zone),
					    ac->highest_zoneidx, 0));
		if (done)
			break;
	}
	if (done) {
		int nid = zone_to_nid(r.zone);

		/* The worker may be inflating: its plan is not what is wanted now. */
		atomic_long_add(done, &b->oom_deflated);
		atomic_inc(&b->generation);
		balloon_host_update(b, true);
		balloon_stat_add(nid, BALLOON_REFILL, done);
		trace_balloon_refill(nid, order, gfp_mask, mode, done, began);
	}
unlock:
	mutex_unlock(&balloon_host_lock);
	return done;
}

/**
 * balloon_refill_switch - have the allocator ask for refills, or not
 * @b: the balloon; NULL: there is none any more
 *
 * Switches the static key: on while there is something in the balloon or is to
 * be, off some time after that, or at once in mode off.
 *
 * Context: may sleep, with no lock held; callers are serialised by being the
 * worker, or by there being none.
 * Return: whether to be called again after BALLOON_REFILL_LINGER.
 */
bool balloon_refill_switch(struct balloon *b)
{
	static unsigned long idle_since;
	bool on = static_key_enabled(&balloon_refill_key);

	if (b && READ_ONCE(balloon_refill_mode) != BALLOON_REFILL_OFF) {
		if (balloon_total() || balloon_goal(b)) {
			if (!on)
				static_branch_enable(&balloon_refill_key);
			idle_since = 0;
			return false;
		}
		if (on && !idle_since)
			idle_since = jiffies | 1;
		if (on && time_before(jiffies, idle_since + BALLOON_REFILL_LINGER))
			return true;
	}
	if (on)
		static_branch_disable(&balloon_refill_key);
	idle_since = 0;
	return false;
}
