// SPDX-License-Identifier: GPL-2.0
/*
 * Refill: the page allocator takes pages back from the balloon before it
 * leaves a zone for want of free memory, and before somebody is killed for it.
 *
 * What an allocation gets depends on what it may do:
 *
 *   any context, backend with deflate_nowait
 *	superframes, as far as the host's target allows (credit): one where it may
 *	not sleep, and none there if freeing one writes to all of it
 *   may wait (__GFP_DIRECT_RECLAIM) and does not reclaim itself (PF_MEMALLOC)
 *	credit from any backend, of base pages too, and exchange: it asks, and waits
 *	a little
 *   about to call the OOM killer
 *	the same once more, but waits for seconds if need be; then pages beyond
 *	the target, where the host permits it
 *   ALLOC_NO_WATERMARKS, the balloon's own worker, and who describes a
 *   ballooned page
 *	nothing: they are what the balloon needs to work at all
 *   ALLOC_NOLOCK
 *	nothing: it comes from anywhere, an NMI or the middle of this file too, where
 *	no lock may be waited for, nor a work be queued
 *   __GFP_HIGH without __GFP_RECLAIM
 *	nothing: debugobjects' way to say that any lock may be held, a work queue's
 *	or a runqueue's too (newer kernels ask gfpflags_allow_spinning()), and the one
 *	under which the worker is woken. Zones' locks of the balloon do not depend on
 *	that, see balloon_block_writing()
 *
 * Who waits does not talk to the host itself: it would have balloon_host_lock, with
 * whatever makes it slow (a quota of CPU time, a low priority), and everybody would wait
 * for it. What is asked for a node is written down there, and one work answers for all
 * who ask. So an allocation makes one request, which is for all that its zone lacks.
 *
 * A host that refuses is not asked by every allocation: see balloon_refused(). Only the
 * worker asks it for less, or elsewhere.
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
#include <linux/init.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/oom.h>
#include <linux/psi.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/suspend.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "../internal.h"
#include "../page_alloc.h"
#include "internal.h"
#include "refill.h"

#include <trace/events/balloon.h>

DEFINE_STATIC_KEY_FALSE(balloon_refill_key);

enum balloon_refill_mode balloon_refill_mode = BALLOON_REFILL_CREDIT;

/* Superframes that one allocation takes back at most. */
#define REFILL_MAX		4UL
/* Base pages of one host conversation. */
#define REFILL_PAGES		256UL

/*
 * A node has plenty, and gives for others, while it can spare more than so many
 * superframes and this part of its memory: far enough not to need a refill itself
 * a moment later.
 */
#define PLENTY_SUPERFRAMES	8UL
#define PLENTY_PART		32
/* Nodes with plenty that are tried for a whole superframe. */
#define PLENTY_TRIES		4

/* After a node found no other with plenty, or the host refused. */
#define EXCHANGE_PAUSE		(HZ / 10)

/*
 * For an answer, in ticks: a batch of the worker's, or a virtual CPU that the host takes
 * away in the middle of one. Where there was none in time, nobody else waits there for a
 * while, or, the first time, until it comes: many threads would be sent elsewhere for one
 * CPU that was away.
 */
#define ANSWER_WAIT		DIV_ROUND_UP(HZ, 20)
#define ANSWER_PAUSE		(HZ / 10)
/*
 * The same where the OOM killer is next. When somebody has waited that long, the
 * host is taken for dead: for a while, or until it answers, nobody else waits.
 */
#define OOM_PATIENCE		(10 * HZ)
#define OOM_PAUSE		(60 * HZ)
/* No lock: who reads an old one waits once more, or not for a while. */
static unsigned long oom_pause = INITIAL_JIFFIES;

/* What is asked for a zone, beside credit. */
#define ASK_CREDIT		BIT(0)
#define ASK_PAGES		BIT(1)	/* base pages will do */
#define ASK_EXCHANGE		BIT(2)
#define ASK_BEYOND		BIT(3)	/* beyond the target */

/* Nodes for which something is asked. */
static nodemask_t refill_asking;
static struct workqueue_struct *refill_wq;

/* Is it less than a pause until @end, in jiffies? It may be an old one. */
static bool refill_pausing(unsigned long end, unsigned long pause)
{
	return time_in_range_open(jiffies, end - pause, end);
}

/* What an allocation wants. */
struct refill {
	struct zone *zone;
	struct balloon_node *bn;
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

static unsigned long refill_mark(const struct refill *r)
{
	return wmark_pages(r->zone, r->alloc_flags & ALLOC_WMARK_MASK);
}

static bool refill_above_mark(const struct refill *r, unsigned int order)
{
	return zone_watermark_ok(r->zone, order, refill_mark(r), r->highest_zoneidx,
				 r->alloc_flags);
}

/*
 * What its zone lacks, in base pages; at least what is to be allocated, as for want of
 * whole blocks the mark may fail, too. 0 where lower zones' reserves keep it out anyway.
 */
static unsigned long refill_lack(const struct refill *r, unsigned long mark)
{
	unsigned long reserve = r->zone->lowmem_reserve[r->highest_zoneidx];
	unsigned long free = zone_page_state(r->zone, NR_FREE_PAGES);
	unsigned long most = REFILL_MAX * SUPERFRAME_PAGES, want;

	want = mark + reserve + READ_ONCE(r->zone->nr_free_highatomic);
	if (!(r->alloc_flags & ALLOC_CMA))
		want += zone_page_state(r->zone, NR_FREE_CMA_PAGES);
	want += 1UL << r->order;
	want -= min(want, free);
	if (reserve && want > most)
		return 0;
	return clamp(want, 1UL << r->order, most);
}

static bool refill_has_superframe(const struct refill *r)
{
	return READ_ONCE(r->bz->nr_superframes) > READ_ONCE(r->bz->superframes_away);
}

/* Has its zone anything that could be asked back? Lent pages can't, and count as credit. */
static bool refill_zone_has(const struct refill *r)
{
	const struct balloon_zone *bz = r->bz;

	return refill_has_superframe(r) ||
	       (!r->order && READ_ONCE(bz->nr_partial) > READ_ONCE(bz->partial_away));
}

/* Has the guest less than the host allows? */
static bool refill_has_credit(struct balloon *b)
{
	return balloon_kept() > (long)balloon_goal(b);
}

/* The host has answered an allocation. What it gives a part of, it may give more of. */
static void refill_note(struct balloon_zone *bz, bool refused)
{
	if (refused)
		balloon_note_refusal(bz);
	else
		WRITE_ONCE(bz->refused_pause, 0);
}

/* The host need not be waited for. Returns base pages. */
static unsigned long refill_nowait(struct refill *r)
{
	unsigned long lack = refill_lack(r, refill_mark(r)), reserved, got = 0;
	struct balloon_extent ext[REFILL_MAX];
	struct balloon *b;
	unsigned int nr;

	r->mode = BALLOON_REFILL_CREDIT;
	/* 2M are not written to where nothing else can run meanwhile. */
	if (!lack || (!r->may_sleep && balloon_put_touches()))
		return 0;
	nr = r->may_sleep ? DIV_ROUND_UP(lack, SUPERFRAME_PAGES) : 1;

	rcu_read_lock();
	b = balloon_current();
	if (!b || !b->ops->deflate_nowait || READ_ONCE(b->stopped) || balloon_refused(r->bz))
		goto unlock;
	reserved = balloon_reserve_credit(balloon_goal(b), nr * SUPERFRAME_PAGES,
					  SUPERFRAME_PAGES);
	if (!reserved)
		goto unlock;
	nr = balloon_dequeue_zone_superframes(r->bz, ext, reserved >> SUPERFRAME_ORDER);
	if (nr) {
		int done = balloon_host_deflate_nowait(b, ext, nr);

		if (done != -EAGAIN)
			refill_note(r->bz, !done);
		done = max(done, 0);
		balloon_settle(b, ext, nr, done);
		got = (unsigned long)done << SUPERFRAME_ORDER;
		r->failed |= !got;
	}
	balloon_unreserve(reserved - got);
unlock:
	rcu_read_unlock();
	if (got)
		balloon_stat_add(r->bn->nid, BALLOON_REFILL, got);
	return got;
}

/*
 * What follows is the work's, with balloon_host_lock held.
 */

/* What the work is at. */
struct refill_job {
	struct balloon *b;
	struct zone *zone;
	struct balloon_node *bn;
	struct balloon_zone *bz;
	struct balloon_ask_zone ask;
	nodemask_t givers;
	enum balloon_refill_mode mode;
};

static struct balloon_extent job_ext[REFILL_PAGES];

/*
 * Extents of one order, @reserved before, back from the host: in one request. Returns
 * base pages; says in *@asked whether there was anything to ask for.
 */
static unsigned long job_ask_back(struct refill_job *j, unsigned int order,
				  unsigned long reserved, bool *asked)
{
	struct balloon *b = j->b;
	unsigned long got;
	unsigned int nr;

	if (!reserved)
		return 0;
	nr = order ? balloon_dequeue_zone_superframes(j->bz, job_ext, reserved >> order) :
		     balloon_dequeue_zone_pages(j->bz, job_ext, reserved);
	/* No smaller pieces, and of no other node: that is the worker's to try. */
	b->brief = true;
	got = balloon_take_back(b, job_ext, nr, reserved);
	b->brief = false;
	if (nr) {
		*asked = true;
		refill_note(j->bz, !got);
	}
	return got;
}

static unsigned long job_superframe_pages(const struct refill_job *j)
{
	return min(round_up(j->ask.pages, SUPERFRAME_PAGES), REFILL_MAX * SUPERFRAME_PAGES);
}

/* What the host allows. Returns base pages. */
static unsigned long job_credit(struct refill_job *j)
{
	unsigned long goal = balloon_goal(j->b), got;
	bool asked = false;

	j->mode = BALLOON_REFILL_CREDIT;
	if (!(j->ask.flags & ASK_CREDIT) || balloon_refused(j->bz))
		return 0;
	got = job_ask_back(j, SUPERFRAME_ORDER,
			   balloon_reserve_credit(goal, job_superframe_pages(j),
						  SUPERFRAME_PAGES), &asked);
	if (!got && !asked && (j->ask.flags & ASK_PAGES))
		got = job_ask_back(j, 0,
				   balloon_reserve_credit(goal, min(j->ask.pages, REFILL_PAGES),
							  1), &asked);
	return got;
}

/* Base pages by which a node is above the level at which it has plenty, within its limit. */
static unsigned long refill_plenty(int nid)
{
	unsigned long keep = max(PLENTY_SUPERFRAMES * SUPERFRAME_PAGES,
				 NODE_DATA(nid)->node_present_pages / PLENTY_PART);
	unsigned long spare = balloon_node_spare(nid);

	if (balloon_node_full(nid, SUPERFRAME_ORDER))
		return 0;
	return spare - min(spare, keep);
}

/* The node that may give for @nid: in the farthest ring, whoever has most. */
static int refill_farthest_with_plenty(int nid, const nodemask_t *givers)
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
		if (!node_isset(rings->node[i].nid, *givers))
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
static int job_take_elsewhere(struct refill_job *j, struct balloon_extent *ext)
{
	int nid = j->bn->nid, other, tries;

	node_clear(nid, j->givers);
	/* Who has plenty may have it in pieces. */
	for (tries = 0; tries < PLENTY_TRIES; tries++) {
		other = refill_farthest_with_plenty(nid, &j->givers);
		if (other == NUMA_NO_NODE)
			break;
		if (balloon_take_superframe_nowait(other, ext))
			return other;
		node_clear(other, j->givers);
	}
	return NUMA_NO_NODE;
}

static bool refill_may_exchange(struct balloon_node *bn, struct balloon_zone *bz)
{
	return READ_ONCE(bz->nr_superframes) &&
	       !refill_pausing(READ_ONCE(bn->exchange_after), EXCHANGE_PAUSE);
}

/* A free superframe of another node for a ballooned one of this zone. Returns base pages. */
static unsigned long job_exchange(struct refill_job *j)
{
	struct balloon_node *bn = j->bn;
	struct balloon_extent give, take;
	struct balloon *b = j->b;
	unsigned int given, taken;
	int other;

	/* Others may have tried meanwhile. */
	if (!(j->ask.flags & ASK_EXCHANGE) || b->max_order < SUPERFRAME_ORDER ||
	    !refill_may_exchange(bn, j->bz))
		return 0;
	/* Not while the host still has what it kept of the last one. */
	if (balloon_has_surplus(b))
		goto pause;
	if (!balloon_dequeue_zone_superframes(j->bz, &take, 1))
		return 0;
	j->mode = BALLOON_REFILL_EXCHANGE;
	other = job_take_elsewhere(j, &give);
	if (other == NUMA_NO_NODE) {
		balloon_requeue_superframe(pfn_to_page(take.pfn));
		goto pause;
	}

	given = balloon_swap(b, &give, &take, 1, &taken);
	if (taken) {
		/* The worker is not to bring it home at once. 0 would be never. */
		WRITE_ONCE(bn->exchanged, jiffies | 1);
		balloon_stat_add(bn->nid, BALLOON_EXCHANGE, SUPERFRAME_PAGES);
		return SUPERFRAME_PAGES;
	}
	if (given)
		balloon_stat_add(other, BALLOON_INFLATE_REMOTE, SUPERFRAME_PAGES);
pause:
	WRITE_ONCE(bn->exchange_after, jiffies + EXCHANGE_PAUSE);
	return 0;
}

/*
 * Beyond the target. What was given back is taken off the goal for a while. Returns base
 * pages.
 */
static unsigned long job_beyond(struct refill_job *j)
{
	unsigned long pages = job_superframe_pages(j), got;
	bool asked = false;

	if (!(j->ask.flags & ASK_BEYOND))
		return 0;
	j->mode = BALLOON_REFILL_OOM;
	balloon_reserve(pages);
	got = job_ask_back(j, SUPERFRAME_ORDER, pages, &asked);
	/* In smaller pieces, too: somebody is killed otherwise. */
	if (!got && (j->ask.flags & ASK_PAGES)) {
		pages = min(j->ask.pages, REFILL_PAGES);
		balloon_reserve(pages);
		got = job_ask_back(j, 0, pages, &asked);
	}
	if (got)
		balloon_stay_below(j->b, got);
	return got;
}

/* Returns whether base pages came back. */
static bool job_do(struct refill_job *j)
{
	unsigned long got = job_credit(j);

	if (!got)
		got = job_exchange(j);
	if (!got)
		got = job_beyond(j);
	balloon_stat_add(j->bn->nid, BALLOON_REFILL, got);
	WRITE_ONCE(j->bn->ask.mode, j->mode);
	return got % SUPERFRAME_PAGES;
}

static void refill_answer(struct balloon_node *bn)
{
	struct balloon_ask_zone asked[MAX_NR_ZONES];
	struct refill_job j = { .bn = bn };
	struct balloon_ask *ask = &bn->ask;
	unsigned int ticket;
	bool pages, late;
	int z;

	spin_lock(&ask->lock);
	memcpy(asked, ask->zones, sizeof(asked));
	memset(ask->zones, 0, sizeof(ask->zones));
	j.givers = ask->givers;
	nodes_clear(ask->givers);
	ticket = ask->tickets;
	spin_unlock(&ask->lock);

	for (z = 0; z < MAX_NR_ZONES; z++) {
		if (!asked[z].pages)
			continue;
		j.zone = &NODE_DATA(bn->nid)->node_zones[z];
		j.bz = &bn->zones[z];
		j.ask = asked[z];
		pages = false;
		mutex_lock(&balloon_host_lock);
		j.b = balloon_current();
		if (j.b && !READ_ONCE(j.b->stopped) && !j.b->suspended)
			pages = job_do(&j);
		mutex_unlock(&balloon_host_lock);
		/* On this CPU's list no watermark sees them. */
		if (pages)
			drain_all_pages(j.zone);
	}
	late = READ_ONCE(ask->overdue);
	WRITE_ONCE(ask->overdue, false);
	if (late && !ask->late)
		WRITE_ONCE(ask->after, jiffies);
	ask->late = late;
	/* The host is alive. */
	if (refill_pausing(READ_ONCE(oom_pause), OOM_PAUSE))
		WRITE_ONCE(oom_pause, jiffies);
	/* What has come is seen by who sees the answer. */
	smp_store_release(&ask->answered, ticket);
	wake_up_all(&ask->wait);
}

static void refill_work_fn(struct work_struct *work)
{
	int nid;

	for_each_node_mask(nid, refill_asking)
		if (test_and_clear_bit(nid, refill_asking.bits))
			refill_answer(balloon_nodes[nid]);
}

static DECLARE_WORK(refill_work, refill_work_fn);

/*
 * The end of the work's part.
 */

static bool refill_answered(struct balloon_ask *ask, unsigned int ticket)
{
	/* Pairs with the release of refill_answer(). */
	return (int)(smp_load_acquire(&ask->answered) - ticket) >= 0;
}

/*
 * Ask for what the zone lacks, and wait for the answer: @patience ticks, or until a fatal
 * signal if @killable. Says in *@answered whether there was one. Returns base pages that
 * came to the node meanwhile, for whomever.
 */
static unsigned long refill_ask(struct refill *r, unsigned int flags, unsigned long pages,
				unsigned long patience, bool killable, bool *answered)
{
	struct balloon_ask *ask = &r->bn->ask;
	atomic_long_t *stat = &r->bn->stats[BALLOON_REFILL];
	struct balloon_ask_zone *az = &ask->zones[zone_idx(r->zone)];
	unsigned long pflags, before = atomic_long_read(stat);
	unsigned int ticket;
	long left;

	spin_lock(&ask->lock);
	az->pages = max(az->pages, pages);
	az->flags |= flags;
	/* Who may not use a node's memory gives none of it away. */
	if (flags & ASK_EXCHANGE)
		nodes_or(ask->givers, ask->givers, cpuset_current_mems_allowed);
	ticket = ++ask->tickets;
	spin_unlock(&ask->lock);
	set_bit(r->bn->nid, refill_asking.bits);
	queue_work(READ_ONCE(refill_wq), &refill_work);

	psi_memstall_enter(&pflags);
	if (killable)
		left = wait_event_killable_timeout(ask->wait, refill_answered(ask, ticket),
						   patience);
	else
		left = wait_event_timeout(ask->wait, refill_answered(ask, ticket), patience);
	psi_memstall_leave(&pflags);
	*answered = left > 0;
	if (!*answered && (flags & ASK_BEYOND)) {
		/* Nobody is spared by what comes too late. Nobody else has said so: oom_lock. */
		spin_lock(&ask->lock);
		az->flags &= ~ASK_BEYOND;
		spin_unlock(&ask->lock);
	}
	r->mode = READ_ONCE(ask->mode);
	return atomic_long_read(stat) - before;
}

/* What is to be had for asking; 0: nothing, and then nobody is asked. */
static unsigned int refill_flags(struct refill *r, enum balloon_refill_mode mode)
{
	unsigned int flags = 0;
	struct balloon *b;

	rcu_read_lock();
	b = balloon_current();
	if (b && !READ_ONCE(b->stopped)) {
		if (refill_has_credit(b) && !balloon_refused(r->bz))
			flags |= ASK_CREDIT;
		/* Where free memory is in pieces, only, that is compaction's business. */
		if (mode >= BALLOON_REFILL_EXCHANGE && refill_may_exchange(r->bn, r->bz) &&
		    !refill_above_mark(r, 0))
			flags |= ASK_EXCHANGE;
	}
	rcu_read_unlock();
	if (flags && !r->order)
		flags |= ASK_PAGES;
	return flags;
}

/* The host is asked, and waited for. Returns base pages. */
static unsigned long refill_wait(struct refill *r, enum balloon_refill_mode mode)
{
	struct balloon_ask *ask = &r->bn->ask;
	unsigned long pages, got;
	unsigned int flags;
	bool answered;

	if (!r->may_wait || !READ_ONCE(refill_wq))
		return 0;
	pages = refill_lack(r, refill_mark(r));
	flags = pages ? refill_flags(r, mode) : 0;
	if (!flags)
		return 0;
	if (refill_pausing(READ_ONCE(ask->after), ANSWER_PAUSE)) {
		r->failed = true;
		return 0;
	}
	got = refill_ask(r, flags, pages, ANSWER_WAIT, false, &answered);
	if (!answered) {
		WRITE_ONCE(ask->after, jiffies + ANSWER_PAUSE);
		WRITE_ONCE(ask->overdue, true);
	}
	r->failed |= !got;
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

/*
 * What an allocation wants of a zone. Returns false where it gets nothing, whatever it
 * lacks, or where the balloon has nothing.
 */
static bool refill_init(struct refill *r, struct zone *zone, unsigned int order, gfp_t gfp_mask,
			unsigned int alloc_flags, const struct alloc_context *ac)
{
	struct balloon_node *bn = READ_ONCE(balloon_nodes[zone_to_nid(zone)]);

	if (!bn || (alloc_flags & (ALLOC_NO_WATERMARKS | ALLOC_NOLOCK)) ||
	    !refill_order_served(order) ||
	    (gfp_mask & (__GFP_HIGH | __GFP_RECLAIM)) == __GFP_HIGH)
		return false;
	*r = (struct refill){
		.zone = zone, .bn = bn, .bz = &bn->zones[zone_idx(zone)], .order = order,
		.alloc_flags = alloc_flags, .highest_zoneidx = ac->highest_zoneidx,
		.may_sleep = gfpflags_allow_blocking(gfp_mask),
	};
	r->may_wait = r->may_sleep && !(current->flags & PF_MEMALLOC);
	if (!READ_ONCE(r->bz->nr_superframes) && (order || !READ_ONCE(r->bz->nr_partial)))
		return false;
	return !balloon_own_task() && !balloon_block_writing();
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
	unsigned long done, got;
	struct refill r;
	u64 began = 0;
	bool ok;

	if (mode == BALLOON_REFILL_OFF ||
	    !refill_init(&r, zone, order, gfp_mask, alloc_flags, ac))
		return false;

	if (trace_balloon_refill_enabled())
		began = ktime_get_mono_fast_ns();
	done = refill_nowait(&r);
	ok = done && refill_above_mark(&r, order);
	/* What came for all who asked may be gone again. */
	while (!ok && done < REFILL_MAX * SUPERFRAME_PAGES) {
		got = refill_wait(&r, mode);
		if (!got)
			break;
		done += got;
		ok = refill_above_mark(&r, order);
	}

	if (!ok && r.failed)
		balloon_stat_add(r.bn->nid, BALLOON_REFILL_FAIL, 1L << order);
	if ((done || r.failed) && (alloc_flags & ALLOC_KSWAPD))
		refill_wake_worker(&r, done);
	if (done || r.failed)
		trace_balloon_refill(r.bn->nid, order, gfp_mask, r.mode, done, began);
	return ok;
}

/**
 * __balloon_may_refill - is there anything to refill a zone with?
 * @zone: the zone, which the allocation may use, of a node whose kswapd works
 * @order: of the allocation
 * @gfp_mask: of the allocation
 * @alloc_flags: of the allocation, ALLOC_*
 * @ac: of the allocation
 *
 * On several nodes, newer kernels leave one whose kswapd is awake for another whose is
 * not, before they look at a watermark. So nothing would be refilled where memory is
 * short, and what is allocated would be remote although the host grants local memory.
 *
 * Context: as __balloon_refill(). Neither allocates nor asks anybody.
 * Return: whether __balloon_refill() would try.
 */
bool __balloon_may_refill(struct zone *zone, unsigned int order, gfp_t gfp_mask,
			  unsigned int alloc_flags, const struct alloc_context *ac)
{
	enum balloon_refill_mode mode = READ_ONCE(balloon_refill_mode);
	struct refill r;
	struct balloon *b;
	bool may;

	if (mode == BALLOON_REFILL_OFF ||
	    !refill_init(&r, zone, order, gfp_mask, alloc_flags, ac) || !refill_zone_has(&r) ||
	    !refill_lack(&r, refill_mark(&r)))
		return false;
	if (r.may_wait && READ_ONCE(refill_wq) &&
	    !refill_pausing(READ_ONCE(r.bn->ask.after), ANSWER_PAUSE) && refill_flags(&r, mode))
		return true;
	/* Who does not wait gets whole superframes only. */
	if (!refill_has_superframe(&r) || (!r.may_sleep && balloon_put_touches()))
		return false;
	rcu_read_lock();
	b = balloon_current();
	may = b && b->ops->deflate_nowait && !READ_ONCE(b->stopped) && refill_has_credit(b) &&
	      !balloon_refused(r.bz);
	rcu_read_unlock();
	return may;
}

/* May this allocation have pages that the host wants to keep? */
static bool refill_may_go_beyond(enum balloon_refill_mode mode, gfp_t gfp)
{
	struct balloon *b;
	bool may;

	rcu_read_lock();
	b = balloon_current();
	may = b && (b->flags & BALLOON_KEEP_MANAGED);
	rcu_read_unlock();
	if (!may || (gfp & (__GFP_NORETRY | __GFP_RETRY_MAYFAIL)))
		return false;
	/* The OOM killer would not help it either; and it may mean to fail. */
	if (gfp & __GFP_THISNODE)
		return mode == BALLOON_REFILL_OOM && !(gfp & __GFP_NOWARN);
	return true;
}

static bool oom_low_mark_holds(const struct refill *r)
{
	return zone_watermark_ok(r->zone, r->order, low_wmark_pages(r->zone),
				 r->highest_zoneidx, 0);
}

/* What one zone has for who would have somebody killed. Returns whether to try again. */
static bool oom_refill_zone(struct refill *r, gfp_t gfp_mask, enum balloon_refill_mode mode)
{
	unsigned int flags = ASK_CREDIT;
	unsigned long pages, got;
	bool answered;
	u64 began = 0;

	if (!refill_zone_has(r))
		return false;
	if (!r->order)
		flags |= ASK_PAGES;
	if (mode >= BALLOON_REFILL_EXCHANGE)
		flags |= ASK_EXCHANGE;
	if (refill_may_go_beyond(mode, gfp_mask))
		flags |= ASK_BEYOND;
	pages = refill_lack(r, low_wmark_pages(r->zone));
	if (!pages || !READ_ONCE(refill_wq) || refill_pausing(READ_ONCE(oom_pause), OOM_PAUSE))
		return false;

	if (trace_balloon_refill_enabled())
		began = ktime_get_mono_fast_ns();
	got = refill_ask(r, flags, pages, OOM_PATIENCE, true, &answered);
	if (!answered && !fatal_signal_pending(current))
		WRITE_ONCE(oom_pause, jiffies + OOM_PAUSE);
	if (got) {
		balloon_kick_current_later();
		trace_balloon_refill(r->bn->nid, r->order, gfp_mask, r->mode, got, began);
	}
	return got || oom_low_mark_holds(r);
}

/*
 * Who has looked here, under oom_lock, and found nothing: what follows is no OOM that
 * somebody forces.
 */
static struct task_struct *oom_refused;

static bool oom_refill(gfp_t gfp_mask, unsigned int order, const struct alloc_context *ac)
{
	enum balloon_refill_mode mode = READ_ONCE(balloon_refill_mode);
	struct refill r = {
		.order = order, .highest_zoneidx = ac->highest_zoneidx,
		.may_sleep = true, .may_wait = true,
	};
	struct zoneref *z;

	/* Nor for what nobody would be killed for. */
	if (mode == BALLOON_REFILL_OFF || !refill_order_served(order) || balloon_own_task() ||
	    ac->highest_zoneidx < ZONE_NORMAL || pm_suspended_storage())
		return false;

	z = ac->preferred_zoneref;
	for_next_zone_zonelist_nodemask(r.zone, z, ac->highest_zoneidx, ac->nodemask) {
		r.bn = READ_ONCE(balloon_nodes[zone_to_nid(r.zone)]);
		if (!r.bn || (cpusets_enabled() &&
			      !__cpuset_zone_allowed(r.zone, gfp_mask | __GFP_HARDWALL)))
			continue;
		r.bz = &r.bn->zones[zone_idx(r.zone)];
		/* Who was here before us may have done it for us. */
		if (oom_low_mark_holds(&r) || oom_refill_zone(&r, gfp_mask, mode))
			return true;
	}
	return false;
}

/**
 * __balloon_refill_oom - take pages back instead of killing somebody for them
 * @gfp_mask: of the allocation
 * @order: of the allocation
 * @ac: of the allocation: the zones that it may use
 *
 * What __balloon_refill() could have had and did not get, for want of an answer; then
 * pages beyond the target, where the host permits that (BALLOON_KEEP_MANAGED), in every
 * mode but off: drivers did so before there were modes. No more than the low watermark
 * of a zone needs.
 *
 * Context: may sleep, under oom_lock, after the allocation's last try; does not allocate.
 * Return: whether it is worthwhile to try the allocation again.
 */
bool __balloon_refill_oom(gfp_t gfp_mask, unsigned int order, const struct alloc_context *ac)
{
	bool again = oom_refill(gfp_mask, order, ac);

	oom_refused = again ? NULL : current;
	return again;
}

/*
 * An OOM. One of an allocation has been here before; the others are somebody's order
 * (SysRq-f), and take from the node that has most in the balloon.
 */
static int balloon_oom_notify(struct notifier_block *nb, unsigned long unused, void *freed)
{
	struct task_struct *refused = oom_refused;
	unsigned long superframes, partial, most = 0;
	struct refill r = { .may_sleep = true, .may_wait = true };
	struct balloon_node *bn;
	bool answered;
	int nid, z;

	oom_refused = NULL;
	if (refused == current || !static_key_enabled(&balloon_refill_key) ||
	    !READ_ONCE(refill_wq) || !refill_may_go_beyond(BALLOON_REFILL_OOM, GFP_KERNEL) ||
	    READ_ONCE(balloon_refill_mode) == BALLOON_REFILL_OFF)
		return NOTIFY_OK;
	for_each_balloon_node(bn, nid) {
		balloon_node_count(nid, &superframes, &partial, NULL);
		if (superframes * SUPERFRAME_PAGES + partial > most) {
			most = superframes * SUPERFRAME_PAGES + partial;
			r.bn = bn;
		}
	}
	for (z = MAX_NR_ZONES - 1; most && z >= 0; z--) {
		r.bz = &r.bn->zones[z];
		r.zone = &NODE_DATA(r.bn->nid)->node_zones[z];
		if (!refill_zone_has(&r))
			continue;
		*(unsigned long *)freed += refill_ask(&r, ASK_CREDIT | ASK_PAGES | ASK_BEYOND,
						      REFILL_PAGES, OOM_PATIENCE, true,
						      &answered);
		break;
	}
	return NOTIFY_OK;
}

static struct notifier_block balloon_oom_nb = { .notifier_call = balloon_oom_notify };

static int __init balloon_refill_init(void)
{
	return register_oom_notifier(&balloon_oom_nb);
}
core_initcall(balloon_refill_init);

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

	/* Without it, whoever would have to wait gets nothing. */
	if (b && !READ_ONCE(refill_wq))
		WRITE_ONCE(refill_wq, alloc_workqueue("balloon_refill", WQ_UNBOUND | WQ_HIGHPRI |
						      WQ_MEM_RECLAIM, 1));
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
