// SPDX-License-Identifier: GPL-2.0
/*
 * NUMA-aware memory ballooning: registration, the target, the worker that
 * pursues it, and the timer that lets it try again.
 */
#define pr_fmt(fmt) "balloon: " fmt

#include <linux/delay.h>
#include <linux/export.h>
#include <linux/module.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/topology.h>

#include "internal.h"

#include <trace/events/balloon.h>

/* A host that refuses is asked again after 1 s, 2 s, ... 32 s. */
#define RETRY_MIN	1U
#define RETRY_MAX	32U

/* The worker lets others work, and the system freeze, this often. */
#define RUN_MAX		HZ

bool balloon_superframe_targets;
/* For tests: the worker does not act. */
bool balloon_hold;

/* Nodes that have, or once had, a target: node->held is there. */
nodemask_t balloon_origins;
atomic_long_t balloon_retries = ATOMIC_LONG_INIT(0);

/*
 * One host conversation at a time; protects node->held, and keeps the registered
 * balloon where it is. Not in struct balloon: migration must be able to let go
 * of it after the balloon that it found has gone.
 */
DEFINE_MUTEX(balloon_host_lock);

/* Protects which balloon is registered. */
static DEFINE_MUTEX(balloon_mutex);
static struct balloon *balloon;

/* The worker's own: what each node's target comes to under the host's total. */
static unsigned long node_goal[MAX_NUMNODES];

/**
 * balloon_current - the balloon that ballooned pages belong to
 *
 * Return: the registered balloon; NULL if there is none, also where there still
 * are pages that its host kept. Stays registered under balloon_host_lock.
 */
struct balloon *balloon_current(void)
{
	return READ_ONCE(balloon);
}

/* What the host wants, as the user wants it. */
static unsigned long wanted(struct balloon *b)
{
	unsigned long target = READ_ONCE(b->target);

	if (READ_ONCE(balloon_superframe_targets) && !(b->flags & BALLOON_EXACT_TARGET))
		target = round_down(target, SUPERFRAME_PAGES);
	return target;
}

/**
 * balloon_goal - base pages that the balloon should hold now
 * @b: the balloon
 *
 * Return: the host's target, less what the OOM killer was spared by.
 */
unsigned long balloon_goal(struct balloon *b)
{
	unsigned long goal = wanted(b);

	return goal - min_t(unsigned long, goal, atomic_long_read(&b->oom_deflated));
}

/**
 * balloon_stay_below - the balloon keeps what it holds, less than the host wants
 * @b: the balloon, with balloon_host_lock held
 *
 * Until the host's target is set again. For pages that were taken back so that
 * nobody is killed for them.
 */
void balloon_stay_below(struct balloon *b)
{
	unsigned long want = wanted(b), kept = max(0L, balloon_kept());

	lockdep_assert_held(&balloon_host_lock);
	atomic_long_set(&b->oom_deflated, want - min(want, kept));
	/* A target that was set meanwhile begins afresh. */
	if (wanted(b) != want)
		atomic_long_set(&b->oom_deflated, 0);
	/* The worker may be inflating: its plan is not what is wanted now. */
	atomic_inc(&b->generation);
	balloon_host_update(b, true);
}

/* A host's answer is input: more than it was asked for can't be true. */
static unsigned int checked(struct balloon *b, const char *what, long done, unsigned int nr)
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

/**
 * balloon_host_inflate - give extents to the host
 * @b: the balloon, with balloon_host_lock held
 * @ext: extents of one node
 * @nr: how many
 *
 * Return: how many the host has taken, from the first.
 */
unsigned int balloon_host_inflate(struct balloon *b,
				  const struct balloon_extent *ext, unsigned int nr)
{
	unsigned int noreclaim = memalloc_noreclaim_save();
	long done = b->ops->inflate(b, ext, nr);

	memalloc_noreclaim_restore(noreclaim);
	return checked(b, "taken", done, nr);
}

/**
 * balloon_host_deflate - ask for extents back from the host
 * @b: the balloon, with balloon_host_lock held
 * @ext: extents of one node
 * @nr: how many
 *
 * Return: how many may be used, from the first.
 */
unsigned int balloon_host_deflate(struct balloon *b,
				  const struct balloon_extent *ext, unsigned int nr)
{
	unsigned int noreclaim = memalloc_noreclaim_save();
	long done = b->ops->deflate(b, ext, nr);

	memalloc_noreclaim_restore(noreclaim);
	return checked(b, "given back", done, nr);
}

/**
 * balloon_host_deflate_nowait - give extents back to the guest, the host hears of it later
 * @b: the balloon, which can; under RCU
 * @ext: extents of one node
 * @nr: how many
 *
 * Context: any.
 * Return: how many may be used, from the first.
 */
unsigned int balloon_host_deflate_nowait(struct balloon *b,
					 const struct balloon_extent *ext, unsigned int nr)
{
	return checked(b, "given back", b->ops->deflate_nowait(b, ext, nr), nr);
}

/**
 * balloon_has_surplus - has the host kept some of an exchange?
 * @b: the balloon
 *
 * The worker asks for it back. A host that refuses that would otherwise get
 * something more with each further exchange.
 *
 * Context: any.
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
	unsigned int noreclaim, given;

	if (!b->ops->exchange) {
		given = balloon_host_inflate(b, give, nr);
		*taken = given ? balloon_host_deflate(b, take, given) : 0;
		if (*taken < given)
			WRITE_ONCE(b->surplus, true);
		return given;
	}
	noreclaim = memalloc_noreclaim_save();
	given = checked(b, "exchanged", b->ops->exchange(b, give, take, nr), nr);
	memalloc_noreclaim_restore(noreclaim);
	*taken = given;
	return given;
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

	for (i = 0; i < nr; i++) {
		struct page *page = pfn_to_page(ext[i].pfn);

		if (ext[i].order && i < done)
			balloon_free_superframe(b, page);
		else if (ext[i].order)
			balloon_requeue_superframe(page);
		else if (i < done)
			balloon_free_page(b, page);
		else
			balloon_requeue_page(b, page);
	}
}

/**
 * balloon_take_back - ask for dequeued extents, and free what the host gives back
 * @b: the balloon, with balloon_host_lock held
 * @ext: extents of one node and one order, from balloon_dequeue_superframes() or
 *	balloon_dequeue_pages(), reserved
 * @nr: how many; what the host keeps is queued again
 *
 * Return: how many left the balloon.
 */
unsigned int balloon_take_back(struct balloon *b, const struct balloon_extent *ext,
			       unsigned int nr)
{
	unsigned int done = balloon_host_deflate(b, ext, nr);

	balloon_settle(b, ext, nr, done);
	return done;
}

/**
 * balloon_exchange_superframe - give a superframe to the host for another one
 * @b: the balloon, with balloon_host_lock held
 * @give: a superframe that was taken off the free lists
 * @take: one from balloon_dequeue_superframes(); the host may keep it: it is
 *	queued again then
 *
 * Between the two the balloon may hold one more than the host wants, and nobody
 * may take that for credit.
 *
 * Return: how far it got: 0, nothing has happened; 1, the host has both; 2.
 */
unsigned int balloon_exchange_superframe(struct balloon *b, const struct balloon_extent *give,
					 const struct balloon_extent *take)
{
	unsigned int given, taken;

	balloon_reserve(SUPERFRAME_PAGES);
	given = balloon_host_exchange(b, give, take, 1, &taken);
	if (given)
		balloon_queue_superframe(b, pfn_to_page(give->pfn));
	else
		balloon_put_superframe(pfn_to_page(give->pfn));
	balloon_settle(b, take, 1, taken);
	if (!taken)
		balloon_unreserve(SUPERFRAME_PAGES);
	/* The host has one too many: the worker asks one back. */
	if (taken < given)
		balloon_kick_later(b);
	return given + taken;
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
	b->ops->update(b, balloon_total(), busy);
	memalloc_noreclaim_restore(noreclaim);
}

/**
 * balloon_kick - let the worker look at the targets now
 * @b: the balloon
 *
 * Context: any.
 */
void balloon_kick(struct balloon *b)
{
	if (!READ_ONCE(b->stopped))
		mod_delayed_work(system_freezable_wq, &b->work, 0);
}

/**
 * balloon_kick_later - have the worker look at things in a second
 * @b: the balloon
 *
 * Where it waits to try again it does so then.
 *
 * Context: any.
 */
void balloon_kick_later(struct balloon *b)
{
	if (!READ_ONCE(b->stopped))
		queue_delayed_work(system_freezable_wq, &b->work, HZ);
}

/* What the worker is at is not what is wanted any more, or takes too long. */
bool balloon_stale(struct balloon *b, int generation)
{
	return READ_ONCE(b->stopped) || READ_ONCE(balloon_hold) ||
	       generation != atomic_read(&b->generation) ||
	       time_after(jiffies, b->deadline);
}

static void plan_anew(struct balloon *b)
{
	WRITE_ONCE(b->retry_delay, 0);
	atomic_inc(&b->generation);
	balloon_kick(b);
}

/**
 * balloon_replan - a target, a policy or the nodes have changed
 *
 * Context: may sleep.
 */
void balloon_replan(void)
{
	mutex_lock(&balloon_mutex);
	if (balloon)
		plan_anew(balloon);
	mutex_unlock(&balloon_mutex);
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
	struct balloon *b;
	bool busy;

	WRITE_ONCE(balloon_hold, hold);
	balloon_replan();
	/* Not flushed under balloon_mutex: hotplug takes that, and stops cpus. */
	do {
		rcu_read_lock();
		b = balloon_current();
		busy = b && work_busy(&b->work.work);
		rcu_read_unlock();
	} while (busy && hold && !msleep_interruptible(10));
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

/* Fill in node_goal[]; returns how much of @goal is left for `auto` nodes. */
static unsigned long plan(unsigned long goal)
{
	struct balloon_node *bn;
	int nid;

	memset(node_goal, 0, sizeof(node_goal));
	for (nid = 0; (bn = balloon_node_from(&nid)); nid++) {
		unsigned long target = READ_ONCE(bn->target);

		if (target != BALLOON_TARGET_AUTO)
			node_goal[nid] = target;
	}
	balloon_scale_targets(node_goal, nr_node_ids, goal);
	for (nid = 0; (bn = balloon_node_from(&nid)); nid++)
		goal -= node_goal[nid];
	return goal;
}

static unsigned long total_held(void)
{
	unsigned long sum = 0;
	int nid;

	for_each_node_mask(nid, balloon_origins)
		sum += balloon_held(balloon_nodes[nid]);
	return sum;
}

/* Pages inflated on no node's behalf. */
static unsigned long auto_pages(void)
{
	unsigned long total = balloon_total();

	return total - min(total, total_held());
}

/*
 * One pass over everything that is not as it should be: inflate first, deflate
 * second, so that a node target that moves while the total stands never gives
 * the guest more than the host granted. Returns base pages that moved.
 */
static unsigned long converge(struct balloon *b, int generation)
{
	unsigned long auto_goal = plan(balloon_goal(b));
	unsigned long moved = 0, have, want, got;
	struct balloon_node *bn;
	int nid, origin;

	mutex_lock(&balloon_host_lock);
	balloon_settle_claims();
	for (nid = 0; (bn = balloon_node_from(&nid)); nid++) {
		/* A node without a target claims nothing, and moves nothing. */
		if (bn->held && READ_ONCE(bn->target) == BALLOON_TARGET_AUTO)
			memset(bn->held, 0, nr_node_ids * sizeof(*bn->held));
	}
	for (nid = 0; (bn = balloon_node_from(&nid)); nid++) {
		have = auto_pages();
		want = node_goal[nid] - min(node_goal[nid], balloon_held(bn));
		if (want && have > auto_goal)
			balloon_adopt(bn, min(want, have - auto_goal));
	}
	mutex_unlock(&balloon_host_lock);

	for (nid = 0; (bn = balloon_node_from(&nid)); nid++) {
		have = balloon_held(bn);
		if (have < node_goal[nid] && !balloon_stale(b, generation))
			moved += balloon_inflate_around(b, nid, nid, node_goal[nid] - have,
							generation);
	}
	while ((have = auto_pages()) < auto_goal && !balloon_stale(b, generation)) {
		origin = balloon_next_origin(true, auto_goal - have, &want);
		got = balloon_inflate_around(b, origin, BALLOON_NO_ORIGIN, want, generation);
		moved += got;
		if (got < want)
			break;
	}

	/* What is above the total now is the worker's, for the other half. */
	have = balloon_total();
	balloon_keep_surplus(have - min(have, balloon_goal(b)));

	for (nid = 0; (bn = balloon_node_from(&nid)); nid++) {
		have = balloon_held(bn);
		if (have > node_goal[nid] && !balloon_stale(b, generation))
			moved += balloon_deflate_around(b, nid, nid, have - node_goal[nid],
							generation);
	}
	while ((have = auto_pages()) > auto_goal && !balloon_stale(b, generation)) {
		origin = balloon_hungry_origin(b, have - auto_goal, &want);
		if (origin == NUMA_NO_NODE)
			origin = balloon_next_origin(false, have - auto_goal, &want);
		got = balloon_deflate_around(b, origin, BALLOON_NO_ORIGIN, want, generation);
		moved += got;
		if (got < want)
			break;
	}
	balloon_keep_surplus(0);
	return moved;
}

/* Is every target met? As of converge(): node_goal[] is its. */
static bool settled(struct balloon *b)
{
	struct balloon_node *bn;
	int nid;

	if (balloon_total() != balloon_goal(b))
		return false;
	for (nid = 0; (bn = balloon_node_from(&nid)); nid++)
		if (balloon_held(bn) != node_goal[nid])
			return false;
	return true;
}

/* What the balloon took whole, it makes whole for the guest, as far as that goes. */
static void mend(struct balloon *b, int generation)
{
	bool more = true;

	balloon_evacuate_anew();
	while (more && !balloon_stale(b, generation)) {
		more = balloon_mend();
		cond_resched();
	}
	if (more)
		balloon_kick_later(b);
}

static void report(struct balloon *b)
{
	mutex_lock(&balloon_host_lock);
	balloon_host_update(b, false);
	mutex_unlock(&balloon_host_lock);
}

static void balloon_run(struct balloon *b)
{
	int generation = atomic_read(&b->generation);
	unsigned long moved;
	bool met;

	if (READ_ONCE(b->stopped))
		return;
	balloon_refill_switch(b);
	if (READ_ONCE(balloon_hold)) {
		report(b);
		return;
	}

	/* Until then others may add managed pages: init memory that is freed. */
	if (!balloon_total())
		balloon_set_baseline();
	balloon_coalesce_full(b);
	if (!b->goes_on)
		balloon_evacuate_anew();
	b->goes_on = false;
	b->deadline = jiffies + RUN_MAX;
	moved = converge(b, generation);

	if (READ_ONCE(b->stopped))
		return;
	if (balloon_stale(b, generation)) {
		b->goes_on = atomic_read(&b->generation) == generation;
		balloon_kick(b);
		return;
	}
	report(b);

	/* What the host kept of exchanges it has given back, or it counts for the target. */
	if (balloon_total() <= balloon_goal(b))
		WRITE_ONCE(b->surplus, false);
	met = settled(b);
	if (met) {
		b->retry_delay = 0;
		if (balloon_refill_switch(b))
			queue_delayed_work(system_freezable_wq, &b->work, BALLOON_REFILL_LINGER);
	} else {
		b->retry_delay = moved || !b->retry_delay ?
				 RETRY_MIN : min(b->retry_delay * 2, RETRY_MAX);
		atomic_long_inc(&balloon_retries);
		queue_delayed_work(system_freezable_wq, &b->work, b->retry_delay * HZ);
	}
	trace_balloon_target(balloon_goal(b), balloon_total(), b->retry_delay);
	if (met)
		mend(b, generation);
	balloon_gather(b, generation);
}

static void balloon_work(struct work_struct *work)
{
	struct balloon *b = container_of(to_delayed_work(work), struct balloon, work);

	/* What it allocates must not come out of what it inflates. */
	WRITE_ONCE(b->worker, current);
	balloon_run(b);
	WRITE_ONCE(b->worker, NULL);
}

/**
 * balloon_set_target - the host wants the balloon to hold this much
 * @b: the balloon
 * @pages: base pages; more than the guest can spare is pursued as far as it goes
 *
 * Starts over with what the retry timer and the OOM killer had come to.
 *
 * Context: any.
 */
void balloon_set_target(struct balloon *b, unsigned long pages)
{
	WRITE_ONCE(b->target, pages);
	atomic_long_set(&b->oom_deflated, 0);
	plan_anew(b);
}
EXPORT_SYMBOL_GPL(balloon_set_target);

/**
 * balloon_set_node_target - how much to inflate on behalf of a node
 * @nid: the node
 * @pages: base pages of the host's target, or BALLOON_TARGET_AUTO
 *
 * For hosts that have targets for nodes; the users' file does the same.
 *
 * Context: may sleep and allocate; not from the backend's operations.
 * Return: 0; -ENODEV where there is no such node; -EINVAL if @pages is more than
 * all nodes have; -ENOMEM.
 */
int balloon_set_node_target(int nid, unsigned long pages)
{
	unsigned long present = 0, *held;
	struct balloon_node *bn;
	int node;

	if (nid < 0 || nid >= MAX_NUMNODES || !node_online(nid))
		return -ENODEV;
	bn = READ_ONCE(balloon_nodes[nid]);
	if (!bn)
		return -ENODEV;
	for_each_online_node(node)
		present += NODE_DATA(node)->node_present_pages;
	if (pages != BALLOON_TARGET_AUTO && pages > present)
		return -EINVAL;

	/* Kept once it is there; two writers may race to be the first. */
	if (!READ_ONCE(bn->held)) {
		held = kcalloc(nr_node_ids, sizeof(*held), GFP_KERNEL);
		if (!held)
			return -ENOMEM;
		if (cmpxchg(&bn->held, NULL, held))
			kfree(held);
		node_set(nid, balloon_origins);
	}
	WRITE_ONCE(bn->target, pages);
	balloon_replan();
	return 0;
}
EXPORT_SYMBOL_GPL(balloon_set_node_target);

/* One batch of one node, of superframes or base pages. Base pages done. */
static unsigned long deflate_batch(struct balloon *b, int nid, unsigned int order,
				   struct balloon_extent *ext, unsigned int nr)
{
	unsigned int done = 0;

	nr = order ? balloon_dequeue_superframes(nid, ext, nr) :
		     balloon_dequeue_pages(nid, ext, nr);
	if (nr) {
		balloon_reserve((unsigned long)nr << order);
		done = balloon_take_back(b, ext, nr);
		balloon_unreserve((unsigned long)(nr - done) << order);
	}
	balloon_stat_add(nid, BALLOON_DEFLATE_LOCAL, (long)done << order);
	return (unsigned long)done << order;
}

/**
 * balloon_suspend - stop the balloon and take everything back
 * @b: the balloon
 *
 * For a device that is about to be reset. Targets of nodes are kept. When it
 * returns, the backend is not called until balloon_resume().
 *
 * Pages that the host does not give back stay in the balloon, with a message.
 *
 * Context: may sleep; not from the backend's operations.
 */
void balloon_suspend(struct balloon *b)
{
	unsigned long moved, left;
	struct balloon_node *bn;
	int nid, tries = 0;

	WRITE_ONCE(b->stopped, true);
	atomic_inc(&b->generation);
	/* Refills that do not wait for the host have seen that it is stopped. */
	synchronize_rcu();
	cancel_delayed_work_sync(&b->work);

	while ((left = balloon_total())) {
		moved = 0;
		for_each_online_node(nid) {
			mutex_lock(&balloon_host_lock);
			moved += deflate_batch(b, nid, 0, b->ext, BALLOON_BATCH_PAGES);
			moved += deflate_batch(b, nid, SUPERFRAME_ORDER, b->ext,
					       BALLOON_BATCH_SUPERFRAMES);
			mutex_unlock(&balloon_host_lock);
		}
		if (moved) {
			tries = 0;
			continue;
		}
		/* Pages under migration come back, or are gone, in no time. */
		if (++tries == 50) {
			pr_warn("%s: host keeps %lu pages\n", b->name, left);
			break;
		}
		msleep(20);
	}

	mutex_lock(&balloon_host_lock);
	for (nid = 0; (bn = balloon_node_from(&nid)); nid++)
		if (bn->held)
			memset(bn->held, 0, nr_node_ids * sizeof(*bn->held));
	balloon_host_update(b, false);
	b->suspended = true;
	mutex_unlock(&balloon_host_lock);
}
EXPORT_SYMBOL_GPL(balloon_suspend);

/**
 * balloon_resume - pursue the targets again after balloon_suspend()
 * @b: the balloon, its device ready
 *
 * Context: may sleep.
 */
void balloon_resume(struct balloon *b)
{
	mutex_lock(&balloon_host_lock);
	b->suspended = false;
	mutex_unlock(&balloon_host_lock);
	WRITE_ONCE(b->stopped, false);
	balloon_kick(b);
}
EXPORT_SYMBOL_GPL(balloon_resume);

/**
 * balloon_register - start ballooning
 * @b: the balloon: its name, operations, order and flags filled in, the rest zero
 *
 * There is one balloon at a time, as there is one host. It holds nothing and its
 * target is 0 until balloon_set_target().
 *
 * Context: may sleep; before the device is ready.
 * Return: 0; -EBUSY if another balloon is registered; -EINVAL if its order is
 * none that the core uses; -ENOMEM.
 */
int balloon_register(struct balloon *b)
{
	int rc;

	if (b->max_order && b->max_order != SUPERFRAME_ORDER)
		return -EINVAL;

	b->ext = kvmalloc_array(max(BALLOON_BATCH_SUPERFRAMES, BALLOON_BATCH_PAGES),
				sizeof(*b->ext), GFP_KERNEL);
	if (!b->ext)
		return -ENOMEM;
	rc = balloon_nodes_early();
	if (rc) {
		kvfree(b->ext);
		return rc;
	}
	INIT_DELAYED_WORK(&b->work, balloon_work);
	b->hungry = NUMA_NO_NODE;

	mutex_lock(&balloon_mutex);
	if (balloon) {
		mutex_unlock(&balloon_mutex);
		pr_err("%s: %s is the balloon already\n", b->name, balloon->name);
		kvfree(b->ext);
		return -EBUSY;
	}
	WRITE_ONCE(balloon, b);
	mutex_unlock(&balloon_mutex);
	return 0;
}
EXPORT_SYMBOL_GPL(balloon_register);

/**
 * balloon_unregister - the end of balloon_register()
 * @b: the balloon
 *
 * Takes everything back first, as balloon_suspend() does.
 *
 * Context: may sleep; the device must still answer.
 */
void balloon_unregister(struct balloon *b)
{
	balloon_suspend(b);
	/* While no other can have come: it would be its key. */
	balloon_refill_switch(NULL);
	mutex_lock(&balloon_mutex);
	mutex_lock(&balloon_host_lock);
	WRITE_ONCE(balloon, NULL);
	mutex_unlock(&balloon_host_lock);
	mutex_unlock(&balloon_mutex);
	/* Nobody kicks it any more, now that it can't be found. */
	synchronize_rcu();
	cancel_delayed_work_sync(&b->work);
	kvfree(b->ext);
}
EXPORT_SYMBOL_GPL(balloon_unregister);
