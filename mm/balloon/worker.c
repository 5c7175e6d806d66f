// SPDX-License-Identifier: GPL-2.0
/*
 * The worker: pursues the host's target by a plan, batch by batch, and tries again
 * what the host, or the guest, can't give now.
 *
 * A pass that takes long is done in slices, each of which goes on where the last one
 * stopped: see pursue.c. When it is over the worker rests. What came to its end short
 * waits for the timer, however long it took.
 */
#define pr_fmt(fmt) "balloon: " fmt

#include <linux/delay.h>
#include <linux/export.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/topology.h>

#include "internal.h"

#include <trace/events/balloon.h>

/* A host that refuses is asked again after 1 s, 2 s, ... 32 s. */
#define RETRY_MIN	1U
#define RETRY_MAX	32U

/* The worker lets others work, and the system freeze, this often. */
#define SLICE_MAX	HZ

/* Before init runs, memory becomes free and is used up all the time. */
#define BOOT_PAUSE	(HZ / 10)

/* Tell the backend that the worker goes to rest. */
static void report_rest(struct balloon *b)
{
	mutex_lock(&balloon_host_lock);
	balloon_host_update(b, false);
	mutex_unlock(&balloon_host_lock);
}

/* What the balloon took whole, it makes whole for the guest, as far as that goes. */
static void mend_blocks(struct balloon *b)
{
	bool more = true;

	while (more && !balloon_slice_over(b)) {
		more = balloon_mend(b);
		cond_resched();
	}
	if (more)
		balloon_kick_after(b, HZ);
}

/* Would more be taken if nodes had no limits? Of what is free, or @used as well. */
static bool limits_forbid(struct balloon *b, bool used)
{
	unsigned long missing = balloon_pass_missing(b), forbidden = 0, has;
	struct balloon_node *bn;
	int nid;

	for_each_balloon_node(bn, nid) {
		has = balloon_node_spare(nid);
		if (used)
			has += balloon_reclaimable(nid);
		forbidden += has - min(has, balloon_node_room(nid));
	}
	return missing && forbidden >= min(missing, SUPERFRAME_PAGES);
}

static enum balloon_state why_short(struct balloon *b)
{
	struct balloon_pass *p = b->pass;

	if (p->inflate_refused || p->deflate_refused)
		return BALLOON_WAIT_HOST;
	if (p->booting)
		return BALLOON_WAIT_HELD;
	if (balloon_oom_rest(b))
		return BALLOON_WAIT_PRESSURE;
	/* Who raises it gets what is free there. */
	if (limits_forbid(b, false))
		return BALLOON_WAIT_LIMIT;
	if (p->pressed)
		return BALLOON_WAIT_PRESSURE;
	/* Nothing is missing but what a node above its limit has in other hands for a moment. */
	if (limits_forbid(b, true) || !balloon_pass_missing(b))
		return BALLOON_WAIT_LIMIT;
	return BALLOON_WAIT_GUEST_MEMORY;
}

/* Who wonders where the memory is finds it in the log: once, and when it is over. */
#define SHORT_SAY	(60 * HZ)

static void say_short(struct balloon *b)
{
	struct balloon_pass *p = b->pass;
	char why[48];

	if (!p->short_since)
		p->short_since = jiffies | 1;
	if (p->short_said || time_before(jiffies, p->short_since + SHORT_SAY))
		return;
	balloon_print_state(why, sizeof(why));
	pr_info("%s: target of %lu pages not met for a minute, %lu are in the balloon; %s\n",
		b->name, READ_ONCE(b->target), balloon_total(), strim(why));
	p->short_said = true;
}

static void say_met(struct balloon *b)
{
	struct balloon_pass *p = b->pass;

	p->short_since = 0;
	if (!p->short_said || READ_ONCE(b->oom_deflated))
		return;
	pr_info("%s: target of %lu pages met\n", b->name, READ_ONCE(b->target));
	p->short_said = false;
}

static void rest_short(struct balloon *b)
{
	struct balloon_pass *p = b->pass;
	unsigned long delay;

	b->retry_delay = p->moved || !b->retry_delay ? RETRY_MIN :
						       min(b->retry_delay * 2, RETRY_MAX);
	delay = b->retry_delay * HZ;
	if (p->booting && !p->inflate_refused)
		delay = BOOT_PAUSE;
	else if (balloon_oom_rest(b))
		delay = balloon_oom_rest(b) + 1;
	else if (p->pressed)
		delay = p->pause;
	p->retry_at = jiffies + delay;
	p->retry = true;
	balloon_set_state(b, why_short(b));
	say_short(b);
	balloon_kick_after(b, delay);
}

static void come_to_rest(struct balloon *b, enum balloon_pass_end end)
{
	struct balloon_pass *p = b->pass;

	p->open = false;
	p->afar = p->plan.afar;
	/* What the host kept of exchanges it has given back, or it counts for the target. */
	if (balloon_total() <= balloon_goal(b)) {
		WRITE_ONCE(b->surplus, false);
		WRITE_ONCE(b->pieces, false);
	}
	if (end == PASS_MET) {
		b->retry_delay = 0;
		p->raised = false;
		say_met(b);
		/* Somebody was spared: it is not all that the host wants. */
		balloon_set_state(b, READ_ONCE(b->oom_deflated) ? BALLOON_WAIT_PRESSURE :
								  BALLOON_SETTLED);
		if (balloon_refill_switch(b) || p->afar)
			balloon_kick_after(b, BALLOON_HOME_PAUSE);
		/* The host's target is pursued again when that is over. */
		if (READ_ONCE(b->oom_at))
			balloon_kick_after(b, balloon_oom_rest(b) + 1);
	} else {
		/* A host that refused has only put it off. */
		if (!p->inflate_refused && !p->deflate_refused)
			p->raised = false;
		rest_short(b);
	}
	/* Whatever it was, the state has it. */
	smp_store_release(&b->looking, false);
	/* Even if it is as before: who has read that something was pending waits for this. */
	if (p->fresh)
		balloon_notify_state();
	balloon_host_coalesced(b);
	report_rest(b);
	trace_balloon_target(balloon_goal(b), balloon_total(),
			     end == PASS_MET ? 0 : (p->retry_at - jiffies) / HZ);
	balloon_watermarks_update();
}

/* Without the guest's memory there is nothing to try: who looks only tells the time. */
static bool something_to_be_had(struct balloon *b)
{
	unsigned long missing = balloon_pass_missing(b), spare = 0;
	struct balloon_node *bn;
	bool pressed = false;
	int nid;

	if (!missing ||
	    (b->state != BALLOON_WAIT_GUEST_MEMORY && b->state != BALLOON_WAIT_LIMIT))
		return true;
	missing = min(missing, SUPERFRAME_PAGES);
	for_each_balloon_node(bn, nid) {
		unsigned long room = balloon_node_room(nid);

		if (balloon_node_over(nid))
			return true;
		balloon_drain_node(nid);
		spare += min(balloon_node_spare(nid), room);
		if (spare >= missing)
			return true;
	}
	if (balloon_brake(&pressed))
		return false;
	spare = 0;
	for_each_balloon_node(bn, nid)
		spare += min(balloon_reclaimable(nid), balloon_node_room(nid));
	return spare >= missing;
}

/* Woken without a new target: is it time to try again? */
static bool time_to_retry(struct balloon *b)
{
	struct balloon_pass *p = b->pass;

	if (!p->retry || READ_ONCE(b->hurry))
		return true;
	if (time_before(jiffies, p->retry_at)) {
		balloon_kick_after(b, p->retry_at - jiffies);
		return false;
	}
	if (something_to_be_had(b))
		return true;
	/* That was another pass's. */
	p->moved = false;
	rest_short(b);
	return false;
}

static void run_slice(struct balloon *b)
{
	struct balloon_pass *p = b->pass;
	enum balloon_pass_end end;

	if (READ_ONCE(b->stopped))
		return;
	balloon_refill_switch(b);
	if (READ_ONCE(balloon_hold)) {
		p->open = false;
		balloon_set_state(b, BALLOON_WAIT_HELD);
		report_rest(b);
		return;
	}

	if (b->planned != atomic_read(&b->generation)) {
		balloon_pass_begin(b, true);
	} else if (!p->open) {
		if (!time_to_retry(b)) {
			balloon_gather(b);
			return;
		}
		if (p->retry && !p->booting)
			atomic_long_inc(&balloon_retries);
		balloon_pass_begin(b, false);
	}
	b->deadline = jiffies + SLICE_MAX;
	p->pause = 0;
	while (balloon_coalesce_full(b))
		if (balloon_slice_over(b)) {
			balloon_kick_later(b);
			break;
		}
	end = balloon_pursue(b);

	if (READ_ONCE(b->stopped))
		return;
	switch (end) {
	case PASS_CUT:
	case PASS_CHANGED:
		balloon_kick(b);
		return;
	case PASS_PACED:
		balloon_kick_after(b, p->pause);
		return;
	default:
		break;
	}
	come_to_rest(b, end);
	b->deadline = jiffies + SLICE_MAX;
	if (end == PASS_MET)
		mend_blocks(b);
	balloon_gather(b);
}

static void balloon_worker(struct work_struct *work)
{
	struct balloon *b = container_of(to_delayed_work(work), struct balloon, work);

	/* What it allocates must not come out of what it inflates. */
	WRITE_ONCE(b->worker, current);
	run_slice(b);
	WRITE_ONCE(b->worker, NULL);
}

/**
 * balloon_set_target - the host wants the balloon to hold this much
 * @b: the balloon
 * @pages: base pages; more than the guest can spare is pursued as far as it goes
 *
 * Starts over with what the retry timer and the OOM killer had come to, even if the
 * target is the same. Under policy local, the node where it is called is where the
 * search starts.
 *
 * Context: any.
 */
void balloon_set_target(struct balloon *b, unsigned long pages)
{
	balloon_host_wants(b, pages);
	balloon_plan_anew(b);
}
EXPORT_SYMBOL_GPL(balloon_set_target);

/**
 * balloon_target_pending - is there a target that the worker has yet to look at?
 * @b: the balloon
 *
 * For a backend that lets the system sleep while the balloon rests: it is to come to
 * rest once more.
 *
 * Context: any.
 * Return: whether there is.
 */
bool balloon_target_pending(struct balloon *b)
{
	return !READ_ONCE(b->stopped) && READ_ONCE(b->planned) != atomic_read(&b->generation);
}
EXPORT_SYMBOL_GPL(balloon_target_pending);

/**
 * balloon_set_node_target - how much to inflate on behalf of a node
 * @nid: the node
 * @pages: base pages of the host's target, or BALLOON_TARGET_AUTO
 *
 * For hosts that have targets for nodes; the users' file does the same.
 *
 * Context: may sleep; not from the backend's operations.
 * Return: 0; -ENODEV where there is no such node; -EINVAL if @pages is more than
 * all nodes have.
 */
int balloon_set_node_target(int nid, unsigned long pages)
{
	unsigned long present = 0, was;
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
	was = xchg(&bn->target, pages);
	balloon_retarget(pages != BALLOON_TARGET_AUTO &&
			 (was == BALLOON_TARGET_AUTO || pages > was));
	return 0;
}
EXPORT_SYMBOL_GPL(balloon_set_node_target);

/**
 * balloon_set_node_limit - how much may be ballooned on a node at most
 * @nid: the node
 * @pages: base pages, or BALLOON_LIMIT_MAX
 *
 * From now on nothing is begun that would bring the node above it. A batch that is on its
 * way to the host may still arrive, and goes back like what the node holds beyond it.
 *
 * Context: may sleep; not from the backend's operations.
 * Return: 0; -ENODEV where there is no such node.
 */
int balloon_set_node_limit(int nid, unsigned long pages)
{
	struct balloon_node *bn;

	if (nid < 0 || nid >= MAX_NUMNODES || !node_online(nid))
		return -ENODEV;
	bn = READ_ONCE(balloon_nodes[nid]);
	if (!bn)
		return -ENODEV;
	/* What lies elsewhere for want of room here may come home. */
	balloon_retarget(pages > xchg(&bn->limit, pages));
	return 0;
}

/* Everything of one node that the host gives back in one go. Returns base pages. */
static unsigned long drain_node(struct balloon *b, int nid, unsigned int order, bool *found)
{
	unsigned long got;
	unsigned int nr;

	mutex_lock(&balloon_host_lock);
	nr = order ? balloon_dequeue_superframes(nid, b->ext, BALLOON_BATCH_DEFLATE) :
		     balloon_dequeue_pages(nid, b->ext, BALLOON_BATCH_PAGES);
	balloon_reserve((unsigned long)nr << order);
	got = balloon_take_back(b, b->ext, nr, (unsigned long)nr << order);
	balloon_stat_add(nid, BALLOON_DEFLATE_LOCAL, got);
	mutex_unlock(&balloon_host_lock);
	*found |= nr;
	/* A host that answers at once never has it sleep. */
	cond_resched();
	return got;
}

/* Tries of 20 ms: a host that keeps pages; and pages that others have in hand for a moment. */
#define DRAIN_TRIES	50
#define AWAY_TRIES	500

/* Nobody begins anything any more. Who is in the middle of it has balloon_host_lock. */
static void stop_balloon(struct balloon *b)
{
	WRITE_ONCE(b->stopped, true);
	atomic_inc(&b->generation);
	/* Refills that do not wait for the host have seen that it is stopped. */
	synchronize_rcu();
	cancel_delayed_work_sync(&b->work);
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
	bool found;

	stop_balloon(b);
	balloon_set_state(b, BALLOON_WAIT_HELD);
	/* Once it is suspended, the device is not there to be asked. */
	while ((left = balloon_total()) && !b->suspended) {
		moved = 0;
		found = false;
		for_each_balloon_node(bn, nid) {
			moved += drain_node(b, nid, 0, &found);
			moved += drain_node(b, nid, SUPERFRAME_ORDER, &found);
		}
		if (moved) {
			tries = 0;
			continue;
		}
		/* Pages under migration come back, or are gone, in no time. */
		if (++tries >= (found ? DRAIN_TRIES : AWAY_TRIES)) {
			pr_warn("%s: host keeps %lu pages\n", b->name, left);
			break;
		}
		msleep(20);
	}

	mutex_lock(&balloon_host_lock);
	for_each_balloon_node(bn, nid)
		bn->remote = 0;
	balloon_host_update(b, false);
	b->suspended = true;
	mutex_unlock(&balloon_host_lock);
}
EXPORT_SYMBOL_GPL(balloon_suspend);

/**
 * balloon_freeze - stop the balloon as it is
 * @b: the balloon
 *
 * For a guest that is saved with what is in its balloon, and restored, maybe elsewhere:
 * what the host has said before has come to where it belongs, and the backend is not
 * called until balloon_resume(). Targets are kept.
 *
 * Context: may sleep; not from the backend's operations.
 */
void balloon_freeze(struct balloon *b)
{
	stop_balloon(b);
	mutex_lock(&balloon_host_lock);
	b->suspended = true;
	mutex_unlock(&balloon_host_lock);
	balloon_set_state(b, BALLOON_WAIT_HELD);
}
EXPORT_SYMBOL_GPL(balloon_freeze);

/**
 * balloon_resume - pursue the targets again after balloon_suspend() or balloon_freeze()
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
	balloon_forget_refusals();
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
	int err;

	b->pass = kvzalloc_obj(*b->pass, GFP_KERNEL);
	if (!b->pass)
		return -ENOMEM;
	err = balloon_plan_alloc(&b->pass->plan, nr_node_ids);
	if (err)
		goto free;
	err = balloon_host_attach(b, balloon_worker);
	if (!err)
		return 0;
	balloon_plan_free(&b->pass->plan);
free:
	kvfree(b->pass);
	return err;
}
EXPORT_SYMBOL_GPL(balloon_register);

/**
 * balloon_unregister - the end of balloon_register()
 * @b: the balloon
 *
 * Takes everything back first, as balloon_suspend() does. What the host keeps is
 * lost to the guest, with a message.
 *
 * Context: may sleep; the device must still answer.
 */
void balloon_unregister(struct balloon *b)
{
	balloon_suspend(b);
	/* While no other can have come: it would be its key. */
	balloon_refill_switch(NULL);
	balloon_host_detach(b);
	balloon_plan_free(&b->pass->plan);
	kvfree(b->pass);
}
EXPORT_SYMBOL_GPL(balloon_unregister);
