// SPDX-License-Identifier: GPL-2.0
/*
 * Refill: the page allocator takes pages back from the balloon before it
 * leaves a zone for want of free memory, and before somebody is killed for it.
 *
 * What an allocation gets depends on what it may do:
 *
 *   any context, backend with deflate_nowait
 *	superframes, as far as the host's target allows (credit); where freeing
 *	one writes to all of it, only if the context may sleep
 *   may wait (__GFP_DIRECT_RECLAIM) and does not reclaim itself (PF_MEMALLOC)
 *	credit from any backend, of base pages too, and exchange; waits a
 *	little for its turn to talk to the host
 *   about to call the OOM killer
 *	the same once more, but waits for seconds if need be; then pages beyond
 *	the target, where the host permits it
 *   ALLOC_NO_WATERMARKS, the balloon's own worker, and who describes a
 *   ballooned page
 *	nothing: they are what the balloon needs to work at all
 *   __GFP_HIGH without __GFP_RECLAIM
 *	nothing: debugobjects' way to say that any lock may be held, the
 *	balloon's own too
 *
 * Nothing is allocated here.
 *
 * Watermarks and lowmem reserves are taken as they are: the worker sees to it
 * that they suit a zone whose managed pages came or went, when it is at rest.
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
 * A node has plenty, and gives for others, while it can spare more than so many
 * superframes and this part of its memory: far enough not to need a refill itself
 * a moment later.
 */
#define PLENTY_SUPERFRAMES	8UL
#define PLENTY_PART		32

/* After a node found no other with plenty, or the host refused. */
#define EXCHANGE_PAUSE		(HZ / 10)

/*
 * For one's turn to talk to the host, in ticks: a batch of the worker's, or a
 * virtual CPU that the host takes away in the middle of one. A host that does
 * not answer at all is not waited for by every allocation.
 */
#define TURN_WAIT		DIV_ROUND_UP(HZ, 50)
#define TURN_PAUSE		(HZ / 10)
/*
 * The same where the OOM killer is next. When somebody has waited that long, the
 * host is taken for dead: for a while nobody else waits.
 */
#define OOM_PATIENCE		(10 * HZ)
#define OOM_PAUSE		(60 * HZ)

/* Is it less than a pause until @end, in jiffies? It may be an old one. */
static bool refill_pausing(unsigned long end, unsigned long pause)
{
	return time_in_range_open(jiffies, end - pause, end);
}

/* What an allocation wants. */
struct refill {
	struct zone *zone;
	struct balloon_zone *bz;
	unsigned int order;
	unsigned int alloc_flags;
	enum zone_type highest_zoneidx;
	/* It may sleep, and wait for the host. */
	bool may_sleep;
	bool may_wait;
	/* What it came to, for who looks on. */
	enum balloon_refill_mode mode;
	/* Its zone has pages that it could have had. */
	bool failed;
};

static bool refill_above_mark(struct refill *r)
{
	return zone_watermark_ok(r->zone, r->order,
				 wmark_pages(r->zone, r->alloc_flags & ALLOC_WMARK_MASK),
				 r->highest_zoneidx, r->alloc_flags);
}

/* Has its zone anything that could be asked back? Lent pages can't, and count as credit. */
static bool refill_zone_has(const struct refill *r)
{
	const struct balloon_zone *bz = r->bz;

	return READ_ONCE(bz->nr_superframes) > READ_ONCE(bz->superframes_away) ||
	       (!r->order && READ_ONCE(bz->nr_partial) > READ_ONCE(bz->partial_away));
}

/* Has the guest less than the host allows? */
static bool refill_has_credit(struct balloon *b)
{
	return balloon_kept() > (long)balloon_goal(b);
}

/* The host need not be asked. Returns base pages. */
static unsigned long refill_nowait(struct refill *r)
{
	unsigned long reserved, got = 0;
	struct balloon_extent ext;
	struct balloon *b;

	r->mode = BALLOON_REFILL_CREDIT;
	/* 2M are not written to where nothing else can run meanwhile. */
	if (!r->may_sleep && balloon_put_touches())
		return 0;

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
static unsigned long refill_ask_back(struct refill *r, struct balloon *b, unsigned int order,
				     unsigned long reserved)
{
	struct balloon_extent ext[REFILL_PAGES];
	unsigned long got;
	unsigned int nr;

	if (!reserved)
		return 0;
	nr = order ? balloon_dequeue_zone_superframes(r->bz, ext, reserved >> order) :
		     balloon_dequeue_zone_pages(r->bz, ext, reserved);
	got = balloon_take_back(b, ext, nr, reserved);
	r->failed |= nr && !got;
	return got;
}

/* The host is asked. Returns base pages. */
static unsigned long refill_credit(struct refill *r, struct balloon *b)
{
	unsigned long goal = balloon_goal(b), got;

	r->mode = BALLOON_REFILL_CREDIT;
	got = refill_ask_back(r, b, SUPERFRAME_ORDER,
			      balloon_reserve_credit(goal, SUPERFRAME_PAGES, SUPERFRAME_PAGES));
	/* A block that is nearly whole for the guest may be so then, or not. */
	if (!got)
		got = refill_ask_back(r, b, 0, balloon_reserve_credit(goal, REFILL_PAGES, 1));
	return got;
}

/* Base pages by which a node is above the level at which it has plenty. */
static unsigned long refill_plenty(int nid)
{
	unsigned long keep = max(PLENTY_SUPERFRAMES * SUPERFRAME_PAGES,
				 NODE_DATA(nid)->node_present_pages / PLENTY_PART);
	unsigned long spare = balloon_node_spare(nid);

	return spare - min(spare, keep);
}

/* The node that may give for @nid: in the farthest ring, whoever has most. */
static int refill_farthest_with_plenty(int nid, const nodemask_t *tried)
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
		if (node_isset(rings->node[i].nid, *tried))
			continue;
		pages = refill_plenty(rings->node[i].nid);
		if (pages > most) {
			most = pages;
			best = rings->node[i].nid;
		}
	}
	rcu_read_unlock();
	return best;
}

/* A free superframe of another node. Returns the node. */
static int refill_take_elsewhere(int nid, struct balloon_extent *ext)
{
	nodemask_t tried = nodemask_of_node(nid);
	int other;

	/* Who has plenty may have it in pieces. */
	while ((other = refill_farthest_with_plenty(nid, &tried)) != NUMA_NO_NODE) {
		if (balloon_take_superframe_nowait(other, ext))
			break;
		node_set(other, tried);
	}
	return other;
}

static bool refill_may_exchange(struct refill *r)
{
	struct balloon_node *bn = balloon_nodes[zone_to_nid(r->zone)];

	return READ_ONCE(r->bz->nr_superframes) &&
	       !refill_pausing(READ_ONCE(bn->exchange_after), EXCHANGE_PAUSE);
}

/* A free superframe of another node for a ballooned one of this zone. Returns base pages. */
static unsigned long refill_exchange(struct refill *r, struct balloon *b)
{
	int nid = zone_to_nid(r->zone), other;
	struct balloon_node *bn = balloon_nodes[nid];
	struct balloon_extent give, take;
	unsigned int given, taken;

	/* Not while the host still has what it kept of the last one. */
	if (b->max_order < SUPERFRAME_ORDER || balloon_has_surplus(b) ||
	    !balloon_dequeue_zone_superframes(r->bz, &take, 1))
		return 0;
	r->mode = BALLOON_REFILL_EXCHANGE;
	r->failed = true;
	other = refill_take_elsewhere(nid, &give);
	if (other == NUMA_NO_NODE) {
		balloon_requeue_superframe(pfn_to_page(take.pfn));
		goto pause;
	}

	given = balloon_swap(b, &give, &take, 1, &taken);
	if (taken) {
		/* The worker is not to bring it home at once. 0 would be never. */
		WRITE_ONCE(bn->exchanged, jiffies | 1);
		balloon_stat_add(nid, BALLOON_EXCHANGE, SUPERFRAME_PAGES);
		return SUPERFRAME_PAGES;
	}
	if (given)
		balloon_stat_add(other, BALLOON_INFLATE_REMOTE, SUPERFRAME_PAGES);
pause:
	WRITE_ONCE(bn->exchange_after, jiffies + EXCHANGE_PAUSE);
	return 0;
}

/*
 * Who has the lock may be waiting for what this allocation is for: it is never
 * waited for without end.
 */
static bool refill_lock_host(struct refill *r)
{
	static unsigned long pause = INITIAL_JIFFIES;
	int ticks;

	for (ticks = 0; !mutex_trylock(&balloon_host_lock); ticks++) {
		if (ticks == TURN_WAIT)
			WRITE_ONCE(pause, jiffies + TURN_PAUSE);
		if (ticks == TURN_WAIT || refill_pausing(READ_ONCE(pause), TURN_PAUSE)) {
			r->failed = true;
			return false;
		}
		schedule_timeout_uninterruptible(1);
		/* Whoever had it may have done so for this zone. */
		if (refill_above_mark(r))
			return false;
	}
	return true;
}

/* Before somebody is killed it may take longer; if the host is dead, the OOM killer is not. */
static bool refill_lock_host_patiently(void)
{
	static unsigned long pause = INITIAL_JIFFIES;
	unsigned long end = jiffies + OOM_PATIENCE;

	while (!mutex_trylock(&balloon_host_lock)) {
		if (time_after(jiffies, end))
			WRITE_ONCE(pause, jiffies + OOM_PAUSE);
		if (fatal_signal_pending(current) ||
		    refill_pausing(READ_ONCE(pause), OOM_PAUSE))
			return false;
		schedule_timeout_killable(1);
	}
	/* It does answer. */
	WRITE_ONCE(pause, jiffies);
	return true;
}

static unsigned long refill_wait(struct refill *r, enum balloon_refill_mode mode)
{
	unsigned long got = 0;
	bool exchange, credit;
	struct balloon *b;

	if (!r->may_wait)
		return 0;
	exchange = mode >= BALLOON_REFILL_EXCHANGE && refill_may_exchange(r);
	/* Most of the time there is nothing to be had: nobody's lock is touched then. */
	rcu_read_lock();
	b = balloon_current();
	credit = b && !READ_ONCE(b->stopped) && refill_has_credit(b);
	rcu_read_unlock();
	if (!credit && !exchange)
		return 0;

	if (!refill_lock_host(r))
		return 0;
	b = balloon_current();
	if (b && !READ_ONCE(b->stopped)) {
		got = refill_credit(r, b);
		/* Others have tried, or done so, while this one waited. */
		if (!got && exchange && refill_may_exchange(r))
			got = refill_exchange(r, b);
	}
	mutex_unlock(&balloon_host_lock);
	return got;
}

/* The worker goes on with this node, and tells the host what there is now. */
static void refill_wake_worker(const struct refill *r, bool got)
{
	bool has = refill_zone_has(r);
	struct balloon *b;

	if (!got && !has)
		return;
	rcu_read_lock();
	b = balloon_current();
	if (b && has && refill_has_credit(b)) {
		WRITE_ONCE(b->hungry, zone_to_nid(r->zone));
		/* A host that refused has memory now. */
		if (got && READ_ONCE(b->retry_delay) && !READ_ONCE(balloon_hold)) {
			WRITE_ONCE(b->hurry, true);
			balloon_kick(b);
		}
	}
	if (b)
		balloon_kick_later(b);
	rcu_read_unlock();
}

/* No superframe serves the largest order, nor does free page hinting want any. */
static bool refill_order_served(unsigned int order)
{
	return order <= SUPERFRAME_ORDER && order < MAX_PAGE_ORDER;
}

/**
 * __balloon_refill - take pages back where an allocation would leave a zone
 * @zone: the zone, which the allocation may use and whose watermark failed
 * @order: of the allocation
 * @gfp_mask: of the allocation
 * @alloc_flags: of the allocation, ALLOC_*: which watermark it was, for one
 * @ac: of the allocation
 *
 * Takes no more than REFILL_MAX superframes, and only of this zone. An order
 * that no superframe can serve is left alone, which free page hinting counts
 * on: it drains memory on purpose.
 *
 * Context: any, see above; no lock of the zone held. Does not allocate.
 * Return: whether the watermark holds now.
 */
bool __balloon_refill(struct zone *zone, unsigned int order, gfp_t gfp_mask,
		      unsigned int alloc_flags, const struct alloc_context *ac)
{
	enum balloon_refill_mode mode = READ_ONCE(balloon_refill_mode);
	int nid = zone_to_nid(zone);
	struct balloon_node *bn = READ_ONCE(balloon_nodes[nid]);
	struct refill r = {
		.zone = zone, .order = order,
		.alloc_flags = alloc_flags, .highest_zoneidx = ac->highest_zoneidx,
		.may_sleep = gfpflags_allow_blocking(gfp_mask),
	};
	unsigned long done = 0, got;
	u64 began = 0;
	bool ok = false;
	int i;

	if (mode == BALLOON_REFILL_OFF || !bn || (alloc_flags & ALLOC_NO_WATERMARKS) ||
	    !refill_order_served(order) ||
	    (gfp_mask & (__GFP_HIGH | __GFP_RECLAIM)) == __GFP_HIGH)
		return false;
	r.may_wait = r.may_sleep && !(current->flags & PF_MEMALLOC);
	r.bz = &bn->zones[zone_idx(zone)];
	if (!READ_ONCE(r.bz->nr_superframes) && (order || !READ_ONCE(r.bz->nr_partial)))
		return false;
	if (balloon_own_task() || balloon_block_reserving())
		return false;

	if (trace_balloon_refill_enabled())
		began = ktime_get_mono_fast_ns();
	for (i = 0; i < REFILL_MAX && !ok; i++) {
		got = refill_nowait(&r);
		if (!got)
			got = refill_wait(&r, mode);
		done += got;
		ok = refill_above_mark(&r);
		if (!got)
			break;
		/* Base pages are on this CPU's list, where no watermark sees them. */
		if (!order && got < SUPERFRAME_PAGES)
			ok = true;
	}

	if (done)
		balloon_stat_add(nid, BALLOON_REFILL, done);
	if (!ok && r.failed)
		balloon_stat_add(nid, BALLOON_REFILL_FAIL, 1L << order);
	if ((done || r.failed) && (alloc_flags & ALLOC_KSWAPD))
		refill_wake_worker(&r, done);
	if (done || r.failed)
		trace_balloon_refill(nid, order, gfp_mask, r.mode, done, began);
	return ok;
}

/*
 * Beyond the target, out of one zone. The balloon then stays at what it holds,
 * until the host's target is set again. Returns base pages.
 */
static unsigned long refill_beyond(struct refill *r, struct balloon *b)
{
	unsigned long got;

	r->mode = BALLOON_REFILL_OOM;
	balloon_reserve(SUPERFRAME_PAGES);
	got = refill_ask_back(r, b, SUPERFRAME_ORDER, SUPERFRAME_PAGES);
	if (!got && !r->order) {
		balloon_reserve(REFILL_PAGES);
		got = refill_ask_back(r, b, 0, REFILL_PAGES);
	}
	if (got)
		balloon_stay_below(b);
	return got;
}

/* May this allocation have pages that the host wants to keep? */
static bool refill_may_go_beyond(struct balloon *b, enum balloon_refill_mode mode, gfp_t gfp)
{
	if (!(b->flags & BALLOON_KEEP_MANAGED) || (gfp & (__GFP_NORETRY | __GFP_RETRY_MAYFAIL)))
		return false;
	/* The OOM killer would not help it either; and it may mean to fail. */
	if (gfp & __GFP_THISNODE)
		return mode == BALLOON_REFILL_OOM && !(gfp & __GFP_NOWARN);
	return true;
}

/**
 * __balloon_refill_oom - take pages back instead of killing somebody for them
 * @gfp_mask: of the allocation
 * @order: of the allocation
 * @ac: of the allocation: the zones that it may use
 *
 * What __balloon_refill() could have had and did not get, because others talked
 * to the host; then pages beyond the target, where the host permits that
 * (BALLOON_KEEP_MANAGED), in every mode but off: drivers did so before there
 * were modes.
 *
 * Context: may sleep, before oom_lock is taken; does not allocate.
 * Return: whether it is worthwhile to try the allocation again.
 */
bool __balloon_refill_oom(gfp_t gfp_mask, unsigned int order, const struct alloc_context *ac)
{
	enum balloon_refill_mode mode = READ_ONCE(balloon_refill_mode);
	struct refill r = { .order = order, .may_sleep = true, .may_wait = true };
	unsigned long done = 0;
	bool enough = false, waited;
	struct balloon *b;
	struct zoneref *z;
	u64 began = 0;

	if (mode == BALLOON_REFILL_OFF || !refill_order_served(order) || balloon_own_task())
		return false;

	if (trace_balloon_refill_enabled())
		began = ktime_get_mono_fast_ns();
	waited = !mutex_trylock(&balloon_host_lock);
	if (waited && !refill_lock_host_patiently())
		return false;
	b = balloon_current();
	if (!b || b->suspended)
		goto unlock;

	z = ac->preferred_zoneref;
	for_next_zone_zonelist_nodemask(r.zone, z, ac->highest_zoneidx, ac->nodemask) {
		struct balloon_node *bn = READ_ONCE(balloon_nodes[zone_to_nid(r.zone)]);

		if (!bn || (cpusets_enabled() &&
			    !__cpuset_zone_allowed(r.zone, gfp_mask | __GFP_HARDWALL)))
			continue;
		r.bz = &bn->zones[zone_idx(r.zone)];
		/* Who talked to the host while we waited may have done it for us. */
		enough = waited && zone_watermark_ok(r.zone, order, high_wmark_pages(r.zone),
						     ac->highest_zoneidx, 0);
		while (done < REFILL_MAX * SUPERFRAME_PAGES && !enough) {
			unsigned long got = refill_credit(&r, b);

			if (!got && mode >= BALLOON_REFILL_EXCHANGE)
				got = refill_exchange(&r, b);
			if (!got && refill_may_go_beyond(b, mode, gfp_mask))
				got = refill_beyond(&r, b);
			if (!got)
				break;
			done += got;
			enough = zone_watermark_ok(r.zone, order, low_wmark_pages(r.zone),
						   ac->highest_zoneidx, 0);
		}
		if (done || enough)
			break;
	}
	if (done) {
		balloon_kick_later(b);
		balloon_stat_add(zone_to_nid(r.zone), BALLOON_REFILL, done);
		trace_balloon_refill(zone_to_nid(r.zone), order, gfp_mask, r.mode, done, began);
	}
unlock:
	mutex_unlock(&balloon_host_lock);
	return done || enough;
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
