// SPDX-License-Identifier: GPL-2.0
/*
 * The conversation with the host: which balloon there is, what its host wants, and
 * batches of extents to it and back. Its answers are checked, and what they say is
 * done to the queues.
 */
#define pr_fmt(fmt) "balloon: " fmt

#include <linux/delay.h>
#include <linux/jiffies.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/sysfs.h>
#include <linux/topology.h>
#include <linux/vmstat.h>
#include <linux/workqueue.h>

#include "internal.h"

#include <trace/events/balloon.h>

bool balloon_superframe_targets;
/* For tests: the worker does not act. */
bool balloon_hold;
/* Passes that the timer has begun again. */
atomic_long_t balloon_retries = ATOMIC_LONG_INIT(0);

/*
 * One host conversation at a time; keeps the registered balloon where it is. Not in
 * struct balloon: migration must be able to let go of it after the balloon that it
 * found has gone.
 */
DEFINE_MUTEX(balloon_host_lock);

/* Protects which balloon is registered. */
DEFINE_MUTEX(balloon_mutex);
static struct balloon *balloon;

/* Who waits for a change of state is told by this file, once there is one. */
struct kernfs_node *balloon_state_file;

/* Protects the target, and what was given back beyond it: set from any context. */
DEFINE_SPINLOCK(balloon_goal_lock);

/*
 * Protects when the worker runs next: a timer must not put off what is due before. Under it
 * are the workqueue's own locks, which nobody holds who comes here.
 */
DEFINE_SPINLOCK(balloon_kick_lock);

/* Hibernation's: everything is asked back. */
static bool standing_back;

/*
 * The worker's: not any CPU's own, since a pass may scan for long; it stops when the
 * system freezes, and goes on where there is no memory for a new thread.
 */
static struct workqueue_struct *balloon_wq;

/**
 * balloon_current - the balloon that ballooned pages belong to
 *
 * Return: the registered balloon; NULL if there is none, and no page in a balloon
 * then. Stays registered under balloon_host_lock, and under RCU.
 */
struct balloon *balloon_current(void)
{
	return READ_ONCE(balloon);
}

/*
 * Who talks to the host now: a backend may allocate, which must not come to wait for that.
 * Written under balloon_host_lock, read without: only a task itself makes this be itself.
 */
static struct task_struct *talker;

/**
 * balloon_own_task - is this the worker that pursues the target, or who talks to the host?
 *
 * What the worker allocates must not come out of what it inflates; and the other has
 * balloon_host_lock, which it would wait for.
 *
 * Context: any.
 * Return: whether it is one of them.
 */
bool balloon_own_task(void)
{
	struct balloon *b;
	bool is;

	if (READ_ONCE(talker) == current)
		return true;
	rcu_read_lock();
	b = balloon_current();
	is = b && READ_ONCE(b->worker) == current;
	rcu_read_unlock();
	return is;
}

/* A call of the backend, and its end; with balloon_host_lock held. */
static void talk_begin(void)
{
	lockdep_assert_held(&balloon_host_lock);
	WRITE_ONCE(talker, current);
}

static void talk_end(void)
{
	WRITE_ONCE(talker, NULL);
}

/* What the host wants, as the user wants it. */
static unsigned long wanted_pages(struct balloon *b, unsigned long target)
{
	if (READ_ONCE(balloon_superframe_targets) && !(b->flags & BALLOON_EXACT_TARGET))
		target = round_down(target, SUPERFRAME_PAGES);
	return target;
}

/**
 * balloon_goal - base pages that the balloon should hold now
 * @b: the balloon
 *
 * Context: any. Without a lock: a target that is being set is seen before it or after.
 * Return: the host's target, less what somebody was spared by; at most LONG_MAX.
 */
unsigned long balloon_goal(struct balloon *b)
{
	unsigned long goal = wanted_pages(b, READ_ONCE(b->target));

	if (READ_ONCE(standing_back))
		return 0;
	return goal - min(goal, READ_ONCE(b->oom_deflated));
}

/**
 * balloon_host_target - what the host wants the balloon to hold
 *
 * Context: may sleep.
 * Return: base pages; 0 where no balloon is registered.
 */
unsigned long balloon_host_target(void)
{
	unsigned long target;

	mutex_lock(&balloon_mutex);
	target = balloon ? READ_ONCE(balloon->target) : 0;
	mutex_unlock(&balloon_mutex);
	return target;
}

/* So long the balloon does not grow after somebody was spared by it. */
#define OOM_REST	(20 * HZ)

/**
 * balloon_stay_below - pages were given back beyond the target, so that nobody is killed
 * @b: the balloon, with balloon_host_lock held
 * @pages: base pages; they are taken off the goal
 *
 * Until balloon_oom_over(), or until the host's target is set again.
 */
void balloon_stay_below(struct balloon *b, unsigned long pages)
{
	unsigned long flags, want;

	lockdep_assert_held(&balloon_host_lock);
	spin_lock_irqsave(&balloon_goal_lock, flags);
	want = wanted_pages(b, b->target);
	WRITE_ONCE(b->oom_deflated, min(want, b->oom_deflated + pages));
	/* 0 would be never. */
	WRITE_ONCE(b->oom_at, jiffies | 1);
	spin_unlock_irqrestore(&balloon_goal_lock, flags);
	/* The worker may be inflating: its plan is not what is wanted now. It need not hurry. */
	atomic_inc(&b->generation);
	balloon_kick_after(b, HZ);
	balloon_host_update(b, true);
}

/**
 * balloon_oom_rest - how long the balloon is not to grow, because somebody was spared
 * @b: the balloon
 *
 * Context: any.
 * Return: jiffies; 0: it may.
 */
unsigned long balloon_oom_rest(struct balloon *b)
{
	unsigned long at = READ_ONCE(b->oom_at), now = jiffies;

	return at && time_before(now, at + OOM_REST) ? at + OOM_REST - now : 0;
}

/**
 * balloon_oom_over - balloon_oom_rest() is over
 * @b: the balloon
 * @forget: there is memory again: the goal is what the host wants. Otherwise it begins
 *	anew
 *
 * Context: the worker.
 */
void balloon_oom_over(struct balloon *b, bool forget)
{
	unsigned long flags;

	spin_lock_irqsave(&balloon_goal_lock, flags);
	/* It may have happened again. */
	if (b->oom_at && !balloon_oom_rest(b)) {
		/* Nor is there anything to wait for where the host wants no more. */
		forget |= !b->oom_deflated;
		WRITE_ONCE(b->oom_at, forget ? 0 : jiffies | 1);
		if (forget)
			WRITE_ONCE(b->oom_deflated, 0);
	}
	spin_unlock_irqrestore(&balloon_goal_lock, flags);
}

/* The first pause after a refusal, and the longest, as the worker's. */
#define REFUSED_MIN	DIV_ROUND_UP(HZ, 10)
#define REFUSED_MAX	(32UL * HZ)

/* Refusals of an epoch count until its end: when the host has memory, or may have. */
static atomic_t refusal_epoch = ATOMIC_INIT(0);

/**
 * balloon_refused - has the host just refused what allocations asked for?
 * @bz: the zone that it was asked for
 *
 * It would refuse the next one, too, and there may be many of them.
 *
 * Context: any.
 * Return: whether it is not to be asked now.
 */
bool balloon_refused(struct balloon_zone *bz)
{
	unsigned long pause = READ_ONCE(bz->refused_pause), until = READ_ONCE(bz->refused_until);

	return pause && READ_ONCE(bz->refused_epoch) == atomic_read(&refusal_epoch) &&
	       time_in_range_open(jiffies, until - pause, until);
}

/**
 * balloon_note_refusal - the host has refused what an allocation asked for
 * @bz: the zone that it was asked for
 *
 * It is not asked there for 100 ms, and twice as long each time, until the worker gets
 * something or the host sets a target. Who does so at the same time as others may count
 * one for two, or two for one.
 *
 * Context: any.
 */
void balloon_note_refusal(struct balloon_zone *bz)
{
	unsigned long pause = READ_ONCE(bz->refused_pause);
	int epoch = atomic_read(&refusal_epoch);

	if (!pause || READ_ONCE(bz->refused_epoch) != epoch)
		pause = REFUSED_MIN;
	else
		pause = min(2 * pause, REFUSED_MAX);
	WRITE_ONCE(bz->refused_until, jiffies + pause);
	WRITE_ONCE(bz->refused_epoch, epoch);
	WRITE_ONCE(bz->refused_pause, pause);
}

/**
 * balloon_forget_refusals - the host has memory, or may have
 *
 * Context: any.
 */
void balloon_forget_refusals(void)
{
	atomic_inc(&refusal_epoch);
}

/**
 * balloon_raise_target - pages have entered the balloon without the guest giving them
 * @b: the balloon
 * @pages: base pages by which the host's target rises
 *
 * Callers serialise with balloon_set_target(), whose target would not know of them.
 *
 * Context: any.
 */
void balloon_raise_target(struct balloon *b, unsigned long pages)
{
	unsigned long flags;

	spin_lock_irqsave(&balloon_goal_lock, flags);
	WRITE_ONCE(b->target, min_t(unsigned long, b->target + pages, LONG_MAX));
	spin_unlock_irqrestore(&balloon_goal_lock, flags);
}

/**
 * balloon_host_wants - the host has said how much the balloon should hold
 * @b: the balloon
 * @pages: base pages
 *
 * What is more than can be counted is as much as can be: differences are signed.
 *
 * Context: any.
 */
void balloon_host_wants(struct balloon *b, unsigned long pages)
{
	unsigned long flags;

	spin_lock_irqsave(&balloon_goal_lock, flags);
	WRITE_ONCE(b->target, min_t(unsigned long, pages, LONG_MAX));
	WRITE_ONCE(b->oom_deflated, 0);
	WRITE_ONCE(b->oom_at, 0);
	WRITE_ONCE(b->origin, numa_mem_id());
	spin_unlock_irqrestore(&balloon_goal_lock, flags);
	balloon_forget_refusals();
}

/* A host's answer is input: more than it was asked for can't be true. */
static unsigned int checked_answer(struct balloon *b, const char *what, long done,
				   unsigned int nr)
{
	if (done >= 0 && done <= nr)
		return done;
	if (done > nr)
		pr_warn_ratelimited("%s: host claims to have %s %ld extents of %u\n",
				    b->name, what, done, nr);
	else
		pr_warn_ratelimited("%s: none of %u extents %s: error %ld\n",
				    b->name, nr, what, done);
	return done < 0 ? 0 : nr;
}

static unsigned int ask_host(struct balloon *b,
			     long (*call)(struct balloon *b, const struct balloon_extent *ext,
					  unsigned int nr),
			     const struct balloon_extent *ext, unsigned int nr, const char *what)
{
	long done;

	talk_begin();
	done = call(b, ext, nr);
	talk_end();
	return checked_answer(b, what, done, nr);
}

/**
 * balloon_host_inflate - give extents to the host
 * @b: the balloon, with balloon_host_lock held
 * @ext: extents of one node, sorted
 * @nr: how many
 *
 * A backend is not to allocate in a way that reclaims. If it does, that must not wait for
 * I/O, which may need the very memory; and the reserves are not for it, as it frees nothing.
 *
 * Return: how many the host has taken, from the first.
 */
unsigned int balloon_host_inflate(struct balloon *b,
				  const struct balloon_extent *ext, unsigned int nr)
{
	unsigned int noio = memalloc_noio_save();
	unsigned int taken = ask_host(b, b->ops->inflate, ext, nr, "taken");

	memalloc_noio_restore(noio);
	return taken;
}

/**
 * balloon_host_deflate - ask for extents back from the host
 * @b: the balloon, with balloon_host_lock held
 * @ext: extents of one node
 * @nr: how many
 *
 * It makes memory: what a backend allocates for that may come out of the reserves.
 *
 * Return: how many may be used, from the first.
 */
unsigned int balloon_host_deflate(struct balloon *b,
				  const struct balloon_extent *ext, unsigned int nr)
{
	unsigned int noreclaim = memalloc_noreclaim_save();
	unsigned int given = ask_host(b, b->ops->deflate, ext, nr, "given back");

	memalloc_noreclaim_restore(noreclaim);
	return given;
}

/**
 * balloon_host_deflate_nowait - give extents back to the guest, the host hears of it later
 * @b: the balloon, which can; under RCU
 * @ext: extents of one node
 * @nr: how many
 *
 * Context: any.
 * Return: how many may be used, from the first; -EAGAIN: none without waiting.
 */
int balloon_host_deflate_nowait(struct balloon *b, const struct balloon_extent *ext,
				unsigned int nr)
{
	long done = b->ops->deflate_nowait(b, ext, nr);

	return done == -EAGAIN ? done : checked_answer(b, "given back", done, nr);
}

/**
 * balloon_has_surplus - has the host kept some of an exchange?
 * @b: the balloon
 *
 * The worker asks for it back. A host that refuses that would otherwise get
 * something more with each further exchange.
 *
 * Context: any.
 * Return: whether it has.
 */
bool balloon_has_surplus(struct balloon *b)
{
	return READ_ONCE(b->surplus) && balloon_total() > balloon_goal(b);
}

/**
 * balloon_host_exchange - give extents to the host, for others
 * @b: the balloon, with balloon_host_lock held
 * @give: the extents to give, of one order, off the guest's lists
 * @take: the extents to take, of the same order and of one node, chosen from the
 *	balloon
 * @nr: how many of each
 * @taken: where to store how many of @take may be used, from the first
 *
 * Atomically where the backend can. Where it can't, the guest gives first, so
 * that it never holds more than the host granted; the caller has reserved
 * @take's pages. Nobody does so again before the host has given back what it kept
 * of the last one: see balloon_has_surplus().
 *
 * Return: how many of @give the host has, from the first: *@taken at least.
 */
unsigned int balloon_host_exchange(struct balloon *b, const struct balloon_extent *give,
				   const struct balloon_extent *take, unsigned int nr,
				   unsigned int *taken)
{
	long done = -EOPNOTSUPP;
	unsigned int noio, given;

	*taken = 0;
	if (b->ops->exchange) {
		noio = memalloc_noio_save();
		talk_begin();
		done = b->ops->exchange(b, give, take, nr, taken);
		talk_end();
		memalloc_noio_restore(noio);
	}
	if (done == -EOPNOTSUPP) {
		given = balloon_host_inflate(b, give, nr);
		*taken = given ? balloon_host_deflate(b, take, given) : 0;
	} else {
		given = checked_answer(b, "exchanged", done, nr);
		*taken = checked_answer(b, "exchanged", *taken, given);
	}
	if (*taken < given)
		WRITE_ONCE(b->surplus, true);
	return given;
}

static int cmp_extents(const void *a, const void *b)
{
	const struct balloon_extent *x = a, *y = b;

	return x->pfn < y->pfn ? -1 : x->pfn > y->pfn;
}

/* A batch of them, and no more: others wait for the mutex. Returns whether there were any. */
static bool tell_coalesced(struct balloon *b, struct balloon_zone *bz)
{
	unsigned int noio, nr = 0, i;

	mutex_lock(&balloon_host_lock);
	while (!b->suspended && nr < BALLOON_BATCH_DEFLATE &&
	       balloon_dequeue_coalesced(bz, &b->ext[nr]))
		nr++;
	if (nr) {
		sort(b->ext, nr, sizeof(*b->ext), cmp_extents, NULL);
		noio = memalloc_noio_save();
		talk_begin();
		b->ops->coalesced(b, b->ext, nr);
		talk_end();
		memalloc_noio_restore(noio);
	}
	for (i = 0; i < nr; i++)
		balloon_requeue_superframe(pfn_to_page(b->ext[i].pfn));
	mutex_unlock(&balloon_host_lock);
	return nr;
}

/**
 * balloon_host_coalesced - the host hears which pieces have become superframes
 * @b: the balloon
 *
 * None of them comes back to the guest while it is told of.
 *
 * Context: the worker.
 */
void balloon_host_coalesced(struct balloon *b)
{
	struct balloon_node *bn;
	int nid, z;

	if (!b->ops->coalesced)
		return;
	for_each_balloon_node(bn, nid)
		for (z = 0; z < MAX_NR_ZONES; z++)
			while (READ_ONCE(bn->zones[z].coalesced)) {
				if (!tell_coalesced(b, &bn->zones[z]))
					break;
				if (balloon_plan_changed(b))
					return;
			}
}

/**
 * balloon_host_update - tell the backend how much the balloon holds
 * @b: the balloon, with balloon_host_lock held
 * @busy: the worker goes on
 */
void balloon_host_update(struct balloon *b, bool busy)
{
	unsigned int noreclaim;

	if (!b->ops->update || b->suspended)
		return;
	noreclaim = memalloc_noreclaim_save();
	talk_begin();
	b->ops->update(b, balloon_total(), busy);
	talk_end();
	memalloc_noreclaim_restore(noreclaim);
}

static void settle_extent(struct balloon *b, const struct balloon_extent *ext, bool leaves)
{
	struct page *page = pfn_to_page(ext->pfn);

	if (ext->order) {
		if (leaves)
			balloon_free_superframe(b, page);
		else
			balloon_requeue_superframe(page);
	} else {
		if (leaves)
			balloon_free_page(b, page);
		else
			balloon_requeue_page(b, page);
	}
}

/**
 * balloon_settle - what becomes of dequeued extents after the host has answered
 * @b: the balloon
 * @ext: extents of one order, from balloon_dequeue_superframes() or
 *	balloon_dequeue_pages()
 * @nr: how many
 * @done: how many of them, from the first, leave the balloon; the rest is
 *	queued again
 *
 * Context: may sleep if they are base pages; any if they are superframes.
 */
void balloon_settle(struct balloon *b, const struct balloon_extent *ext,
		    unsigned int nr, unsigned int done)
{
	unsigned int i;

	for (i = 0; i < nr; i++)
		settle_extent(b, &ext[i], i < done);
}

/* Extents that were offered to the host: what it took enters the balloon. */
static void settle_given(struct balloon *b, const struct balloon_extent *ext,
			 unsigned int nr, unsigned int given)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		struct page *page = pfn_to_page(ext[i].pfn);

		if (ext[i].order) {
			if (i < given)
				balloon_queue_superframe(b, page);
			else
				balloon_put_superframe(page);
		} else {
			if (i < given)
				balloon_queue_page(b, page);
			else
				balloon_put_page(page);
		}
	}
}

/* How many of a node's extents may enter the balloon. With balloon_host_lock held, or a guess. */
static unsigned int extents_within_limit(int nid, unsigned int order, unsigned int nr)
{
	return min_t(unsigned long, nr, balloon_node_room(nid) >> order);
}

/* It may have been lowered while the host was asked. */
static void look_at_limit(struct balloon *b, int nid)
{
	if (balloon_node_over(nid))
		balloon_kick_later(b);
}

/**
 * balloon_give - a batch of the guest's memory to the host
 * @b: the balloon, with balloon_host_lock held
 * @ext: extents of one order and one node, from balloon_take_superframes(),
 *	balloon_take_pages() or the like; they are sorted, so that a backend may make
 *	one range of neighbours
 * @nr: how many
 *
 * What the host does not take, or the node's limit forbids, goes back to the free lists.
 *
 * Context: may sleep.
 * Return: how many extents are in the balloon now. Fewer than @nr: the host has refused
 * some, unless balloon_node_full() says that it was the limit.
 */
unsigned int balloon_give(struct balloon *b, struct balloon_extent *ext, unsigned int nr)
{
	unsigned int given = 0, fit;

	lockdep_assert_held(&balloon_host_lock);
	if (!nr)
		return 0;
	sort(ext, nr, sizeof(*ext), cmp_extents, NULL);
	fit = extents_within_limit(pfn_to_nid(ext->pfn), ext->order, nr);
	if (!b->suspended && fit)
		given = balloon_host_inflate(b, ext, fit);
	settle_given(b, ext, nr, given);
	look_at_limit(b, pfn_to_nid(ext->pfn));
	return given;
}

/**
 * balloon_node_full - does a node's limit leave no room for one more extent?
 * @nid: the node
 * @order: the extent's order
 *
 * Context: any.
 * Return: whether it leaves none.
 */
bool balloon_node_full(int nid, unsigned int order)
{
	return !extents_within_limit(nid, order, 1);
}

/**
 * balloon_take_back - a batch of ballooned memory back from the host
 * @b: the balloon, with balloon_host_lock held
 * @ext: extents of one order and one node, from balloon_dequeue_superframes(),
 *	balloon_dequeue_pages() or the like; what the host keeps is queued again
 * @nr: how many
 * @reserved: base pages that are reserved for this, as many as @ext has at least;
 *	the reservation ends here
 *
 * Context: may sleep if they are base pages, or the backend may.
 * Return: base pages that left the balloon.
 */
unsigned long balloon_take_back(struct balloon *b, const struct balloon_extent *ext,
				unsigned int nr, unsigned long reserved)
{
	unsigned long got = 0;
	unsigned int done;

	lockdep_assert_held(&balloon_host_lock);
	if (nr) {
		done = balloon_host_deflate(b, ext, nr);
		balloon_settle(b, ext, nr, done);
		got = (unsigned long)done << ext[0].order;
	}
	balloon_unreserve(reserved - got);
	return got;
}

/**
 * balloon_swap - a batch of the guest's memory for as much of what is ballooned
 * @b: the balloon, with balloon_host_lock held
 * @give: extents of one order and one node, off the guest's lists; they are sorted.
 *	What the host does not take, or the node's limit forbids, goes back there
 * @take: as many extents of the same order, and of one node, chosen from the balloon;
 *	what the host keeps is queued again
 * @nr: how many of each
 * @taken: where to store how many of @take left the balloon, from the first
 *
 * Between the two the balloon may hold more than the host wants, by this batch, and
 * nobody may take that for credit. Where it ends so, the worker asks it back.
 *
 * Context: may sleep if they are base pages, or the backend may.
 * Return: how many of @give entered the balloon: *@taken at least.
 */
unsigned int balloon_swap(struct balloon *b, struct balloon_extent *give,
			  const struct balloon_extent *take, unsigned int nr,
			  unsigned int *taken)
{
	unsigned long pages = (unsigned long)nr << give[0].order;
	unsigned int given = 0, fit = nr, i;

	lockdep_assert_held(&balloon_host_lock);
	*taken = 0;
	sort(give, nr, sizeof(*give), cmp_extents, NULL);
	if (pfn_to_nid(give->pfn) != pfn_to_nid(take->pfn))
		fit = extents_within_limit(pfn_to_nid(give->pfn), give->order, nr);
	balloon_reserve(pages);
	if (!b->suspended && fit)
		given = balloon_host_exchange(b, give, take, fit, taken);
	for (i = 0; i < *taken; i++)
		balloon_count_migrated(&take[i], &give[i]);
	settle_given(b, give, nr, given);
	balloon_settle(b, take, nr, *taken);
	balloon_unreserve(pages - ((unsigned long)*taken << give[0].order));
	if (*taken < given)
		balloon_kick_later(b);
	look_at_limit(b, pfn_to_nid(give->pfn));
	return given;
}

/**
 * balloon_count_migrated - the role of a ballooned extent has moved
 * @from: from here
 * @to: to here, of the same order
 *
 * Context: any.
 */
void balloon_count_migrated(const struct balloon_extent *from, const struct balloon_extent *to)
{
	int nid = pfn_to_nid(to->pfn);

#ifdef CONFIG_BALLOON_MIGRATION
	count_vm_events(BALLOON_MIGRATE, 1UL << to->order);
#endif
	balloon_stat_add(nid, BALLOON_STAT_MIGRATE, 1L << to->order);
	trace_balloon_migrate(pfn_to_nid(from->pfn), nid, from->pfn, to->pfn);
}

static void kick(struct balloon *b, unsigned long delay, bool idle)
{
	unsigned long due = jiffies + delay, flags;

	spin_lock_irqsave(&balloon_kick_lock, flags);
	if (!READ_ONCE(b->stopped) &&
	    (!delayed_work_pending(&b->work) || time_before(due, b->due))) {
		WRITE_ONCE(b->due, due);
		WRITE_ONCE(b->due_idle, idle);
		mod_delayed_work(balloon_wq, &b->work, delay);
	}
	spin_unlock_irqrestore(&balloon_kick_lock, flags);
}

/**
 * balloon_kick_after - let the worker look at the targets in some time
 * @b: the balloon
 * @delay: in jiffies; where it waits already, the shorter one counts
 *
 * Context: any.
 */
void balloon_kick_after(struct balloon *b, unsigned long delay)
{
	kick(b, delay, false);
}

/**
 * balloon_kick - let the worker look at the targets now
 * @b: the balloon
 *
 * Context: any.
 */
void balloon_kick(struct balloon *b)
{
	balloon_kick_after(b, 0);
}

/**
 * balloon_kick_within - have the worker look at things in some time, or when it does
 * @b: the balloon
 * @delay: in jiffies, if it waits for nothing yet, or only for what could wait
 * @idle: whether this can wait, for what others have to do sooner
 *
 * Context: any.
 */
void balloon_kick_within(struct balloon *b, unsigned long delay, bool idle)
{
	/*
	 * Refills come here, and they share no lock. Either the worker sees what the caller
	 * has written, or it is not pending any more: as test_and_set_bit() has it. When it is
	 * due is read as it comes: who sees an older time comes as late as gathering at most.
	 */
	smp_mb();
	if (delayed_work_pending(&b->work) &&
	    (!READ_ONCE(b->due_idle) || !time_before(jiffies + delay, READ_ONCE(b->due))))
		return;
	kick(b, delay, idle);
}

/**
 * balloon_kick_later - have the worker look at things in a second
 * @b: the balloon
 *
 * Where it waits already, but for gathering, it does so then.
 *
 * Context: any.
 */
void balloon_kick_later(struct balloon *b)
{
	balloon_kick_within(b, HZ, false);
}

/**
 * balloon_kick_current_later - as balloon_kick_later(), for whatever balloon there is
 *
 * Context: any.
 */
void balloon_kick_current_later(void)
{
	struct balloon *b;

	rcu_read_lock();
	b = balloon_current();
	if (b)
		balloon_kick_later(b);
	rcu_read_unlock();
}

/**
 * balloon_plan_anew - what the worker is at is not what is wanted any more
 * @b: the balloon
 *
 * It begins anew, and so does the retry timer.
 *
 * Context: any.
 */
void balloon_plan_anew(struct balloon *b)
{
	atomic_inc(&b->generation);
	balloon_kick(b);
}

/**
 * balloon_retarget - a node's target has changed
 * @raised: it was raised: what lies elsewhere may move for it
 *
 * Context: may sleep.
 */
void balloon_retarget(bool raised)
{
	mutex_lock(&balloon_mutex);
	if (balloon) {
		if (raised)
			WRITE_ONCE(balloon->raised, true);
		balloon_plan_anew(balloon);
	}
	mutex_unlock(&balloon_mutex);
}

/**
 * balloon_replan - a policy or the nodes have changed
 *
 * Context: may sleep.
 */
void balloon_replan(void)
{
	balloon_retarget(false);
}

/**
 * balloon_plan_changed - is what the worker is at not what is wanted any more?
 * @b: the balloon
 *
 * Context: any.
 * Return: whether it is not.
 */
bool balloon_plan_changed(struct balloon *b)
{
	return READ_ONCE(b->stopped) || READ_ONCE(balloon_hold) ||
	       b->planned != atomic_read(&b->generation);
}

/**
 * balloon_slice_over - is the worker to let others work?
 * @b: the balloon
 *
 * It goes on at once, where it stopped, unless its plan has changed. How long a pass
 * takes says nothing about the plan.
 *
 * Context: any.
 * Return: whether it is.
 */
bool balloon_slice_over(struct balloon *b)
{
	return balloon_plan_changed(b) || time_after(jiffies, b->deadline);
}

/* The worker is at rest, or at work on something else than before. */
static void wait_for_worker(bool (*until)(struct balloon *b), unsigned int seconds)
{
	unsigned long end = jiffies + seconds * HZ;
	struct balloon *b;
	bool over;

	/* Not flushed under balloon_mutex: hotplug takes that, and stops cpus. */
	do {
		rcu_read_lock();
		b = balloon_current();
		over = !b || until(b);
		rcu_read_unlock();
	} while (!over && time_before(jiffies, end) && !msleep_interruptible(10));
}

static bool worker_rests(struct balloon *b)
{
	return !work_busy(&b->work.work);
}

/**
 * balloon_set_hold - keep the worker from acting, or let it
 * @hold: which
 *
 * For tests: what is inflated stays, and only refills deflate.
 *
 * Context: may sleep. When it returns, the worker is at rest.
 */
void balloon_set_hold(bool hold)
{
	WRITE_ONCE(balloon_hold, hold);
	balloon_replan();
	if (hold)
		wait_for_worker(worker_rests, 3600);
}

static bool nothing_to_give_back(struct balloon *b)
{
	return !balloon_total() || (READ_ONCE(b->state) >= BALLOON_WAIT_GUEST_MEMORY &&
				    b->planned == atomic_read(&b->generation));
}

/* A host that gives nothing back is not waited for much longer than that. */
#define STAND_BACK_SECONDS	30

/**
 * balloon_stand_back - everything is asked back, until further notice
 * @back: do so; false: pursue the host's target again
 *
 * For who needs all of the guest's memory for a while, and does not reset the device.
 *
 * Context: may sleep. When it returns, the host has given back what it wants to.
 */
void balloon_stand_back(bool back)
{
	WRITE_ONCE(standing_back, back);
	balloon_replan();
	if (back)
		wait_for_worker(nothing_to_give_back, STAND_BACK_SECONDS);
}

static const char * const state_names[NR_BALLOON_STATES] = {
	[BALLOON_SETTLED]		= "settled",
	[BALLOON_INFLATING]		= "inflating",
	[BALLOON_DEFLATING]		= "deflating",
	[BALLOON_MOVING]		= "moving",
	[BALLOON_WAIT_GUEST_MEMORY]	= "guest-memory",
	[BALLOON_WAIT_PRESSURE]		= "pressure",
	[BALLOON_WAIT_HOST]		= "host-refused",
	[BALLOON_WAIT_LIMIT]		= "limit",
	[BALLOON_WAIT_HELD]		= "held",
};

/**
 * balloon_notify_state - who polls the file with the state is to look again
 *
 * Context: process context.
 */
void balloon_notify_state(void)
{
	struct kernfs_node *file = READ_ONCE(balloon_state_file);

	if (file)
		sysfs_notify_dirent(file);
}

/**
 * balloon_set_state - what the balloon is at, or why it rests
 * @b: the balloon
 * @state: which
 *
 * Context: the worker, or while it is stopped.
 */
void balloon_set_state(struct balloon *b, enum balloon_state state)
{
	unsigned long now = jiffies;

	if (READ_ONCE(b->state) == state)
		return;
	trace_balloon_state(b->state, state, (now - b->state_since) / HZ, READ_ONCE(b->target),
			    balloon_total());
	WRITE_ONCE(b->state_since, now);
	WRITE_ONCE(b->state, state);
	balloon_notify_state();
}

/**
 * balloon_direction - where a balloon goes that is not as it should be
 * @b: the balloon
 *
 * Context: any.
 * Return: the state for that.
 */
enum balloon_state balloon_direction(struct balloon *b)
{
	unsigned long goal = balloon_goal(b), total = balloon_total();

	if (total == goal)
		return BALLOON_MOVING;
	return total < goal ? BALLOON_INFLATING : BALLOON_DEFLATING;
}

/*
 * What was wanted before may be met, or be short of something, and what is wanted now not have
 * been looked at: who has just asked for it is not told that all is well, or what is in the
 * way. When the worker has looked he is told to look again. What is held is not looked at.
 */
static enum balloon_state state_of(struct balloon *b)
{
	/* Pairs with the release of balloon_pass_begin(): it looks, or is through with that. */
	bool pending = smp_load_acquire(&b->planned) != atomic_read(&b->generation);
	enum balloon_state state;

	/* Pairs with the releases at the end of looking: the state is of after that. */
	pending |= smp_load_acquire(&b->looking);
	state = READ_ONCE(b->state);
	if (pending && state != BALLOON_WAIT_HELD && !READ_ONCE(b->stopped) &&
	    (state == BALLOON_SETTLED || state >= BALLOON_WAIT_GUEST_MEMORY))
		return balloon_direction(b);
	return state;
}

/**
 * balloon_print_state - what the balloon is at, as text
 * @buf: where to
 * @size: room there
 *
 * Without a balloon there is nothing to do.
 *
 * Context: any.
 * Return: length of the text.
 */
unsigned int balloon_print_state(char *buf, size_t size)
{
	enum balloon_state state = BALLOON_SETTLED;
	unsigned long since = jiffies;
	struct balloon *b;

	rcu_read_lock();
	b = balloon_current();
	if (b) {
		state = state_of(b);
		since = READ_ONCE(b->state_since);
	}
	rcu_read_unlock();
	if (state < BALLOON_WAIT_GUEST_MEMORY)
		return scnprintf(buf, size, "%s\n", state_names[state]);
	return scnprintf(buf, size, "waiting: %s %lu\n", state_names[state],
			 (jiffies - since) / HZ);
}

static int balloon_wq_get(void)
{
	struct workqueue_struct *wq;

	if (READ_ONCE(balloon_wq))
		return 0;
	wq = alloc_workqueue("balloon", WQ_UNBOUND | WQ_FREEZABLE | WQ_MEM_RECLAIM, 1);
	if (!wq)
		return -ENOMEM;
	if (cmpxchg(&balloon_wq, NULL, wq))
		destroy_workqueue(wq);
	return 0;
}

/* The first balloon may come before initcalls, when no node is known. */
static int balloon_nodes_get(void)
{
	int err;

	if (READ_ONCE(balloon_nodes[first_online_node]))
		return 0;
	err = balloon_nodes_add();
	return err ?: balloon_rings_update();
}

/**
 * balloon_host_attach - a balloon becomes the balloon
 * @b: the balloon: its name, operations, order and flags filled in
 * @worker: what pursues its target
 *
 * There is one balloon at a time, as there is one host. It begins with nothing.
 *
 * Context: may sleep; before the device is ready.
 * Return: 0; -EBUSY if another balloon is registered; -EINVAL if its order is
 * none that the core uses; -ENOMEM.
 */
int balloon_host_attach(struct balloon *b, work_func_t worker)
{
	int err;

	if (b->max_order && b->max_order != SUPERFRAME_ORDER)
		return -EINVAL;
	err = balloon_wq_get() ?: balloon_nodes_get();
	if (err)
		return err;
	b->ext = kvmalloc_array(2 * max(BALLOON_BATCH_SUPERFRAMES, BALLOON_BATCH_PAGES),
				sizeof(*b->ext), GFP_KERNEL);
	if (!b->ext)
		return -ENOMEM;
	INIT_DELAYED_WORK(&b->work, worker);
	b->hungry = NUMA_NO_NODE;
	b->origin = numa_mem_id();
	b->planned = atomic_read(&b->generation);
	b->state = BALLOON_SETTLED;
	b->state_since = jiffies;
	b->looking = false;

	mutex_lock(&balloon_mutex);
	if (balloon) {
		pr_err("%s: %s is the balloon already\n", b->name, balloon->name);
		mutex_unlock(&balloon_mutex);
		kvfree(b->ext);
		return -EBUSY;
	}
	WRITE_ONCE(balloon, b);
	mutex_unlock(&balloon_mutex);
	return 0;
}

/**
 * balloon_host_detach - the end of balloon_host_attach()
 * @b: the balloon, stopped
 *
 * What its host kept is written off: another host knows nothing of it.
 *
 * Context: may sleep.
 */
void balloon_host_detach(struct balloon *b)
{
	unsigned long lost;

	mutex_lock(&balloon_mutex);
	mutex_lock(&balloon_host_lock);
	WRITE_ONCE(balloon, NULL);
	mutex_unlock(&balloon_host_lock);
	/* What is wanted of nobody is met. */
	balloon_set_state(b, BALLOON_SETTLED);
	/* Who migrates one of its pages may be waiting for that lock, and then puts it back. */
	lost = balloon_write_off(b);
	mutex_unlock(&balloon_mutex);
	if (lost)
		pr_warn("%s: host kept %lu pages, they are lost\n", b->name, lost);
	/* Nobody kicks it any more, now that it can't be found. */
	synchronize_rcu();
	cancel_delayed_work_sync(&b->work);
	kvfree(b->ext);
}
