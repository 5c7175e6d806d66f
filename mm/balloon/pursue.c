// SPDX-License-Identifier: GPL-2.0
/*
 * One pass of the worker: the plan is carried out batch by batch, giving and taking in
 * turn. What is learnt on the way (a node has no superframe left, the host gives
 * nothing behind another) makes for a new plan, until the target is met or nothing
 * more can be done.
 *
 * Memory is taken in stages: whole superframes of all nodes, free ones and such as have
 * to be evacuated; free base pages only if these do not suffice; then what can be
 * reclaimed.
 */
#include <linux/mm.h>
#include <linux/topology.h>

#include "internal.h"

#include <trace/events/balloon.h>

/*
 * What a node's target has got elsewhere, for want of memory or by exchanges, comes home
 * when the node has so many superframes and this part of its memory to spare, and when
 * nobody had an exchange made for it lately: so that worker and refills never undo each
 * other. A target that is raised has all that is free.
 */
#define HOME_SUPERFRAMES	8UL
#define HOME_PART		32

/* So often in a row reclaim may bring nothing that can be taken. */
#define VAIN_MAX		64

/* Before there is a plan, nobody knows whether something is to move. */
static void say_what_it_is_at(struct balloon *b, bool unmet)
{
	enum balloon_state state = balloon_direction(b);

	if (unmet || state != BALLOON_MOVING)
		balloon_set_state(b, state);
}

static unsigned long machine_spare(void)
{
	struct balloon_node *bn;
	unsigned long sum = 0;
	int nid;

	for_each_balloon_node(bn, nid)
		sum += balloon_node_spare(nid);
	return sum;
}

/* What CPUs keep on lists of their own becomes plainly free. */
static void drain_nodes(void)
{
	struct balloon_node *bn;
	int nid;

	for_each_balloon_node(bn, nid)
		balloon_drain_node(nid);
}

/* For the total, or for a limit. */
static bool has_to_give_back(struct balloon *b)
{
	struct balloon_node *bn;
	int nid;

	if (balloon_total() > balloon_goal(b))
		return true;
	for_each_balloon_node(bn, nid)
		if (balloon_node_over(nid))
			return true;
	return false;
}

/**
 * balloon_pass_begin - begin to pursue what is wanted now
 * @b: the balloon
 * @fresh: because that has changed, and not to try again
 *
 * Context: the worker, without balloon_host_lock. Sleeps; after an OOM it waits for memory
 *	hotplug, too, and if @fresh, unless memory is to be given back.
 */
void balloon_pass_begin(struct balloon *b, bool fresh)
{
	struct balloon_pass *p = b->pass;
	int generation = atomic_read(&b->generation);

	/* Before the plan is this one's: see balloon_stand_back(). */
	if (fresh) {
		WRITE_ONCE(b->looking, true);
		say_what_it_is_at(b, false);
	}
	/* Who sees that sees that it looks, too: see balloon_print_state(). */
	smp_store_release(&b->planned, generation);
	if (READ_ONCE(b->oom_at) && !balloon_oom_rest(b)) {
		drain_nodes();
		balloon_oom_over(b, machine_spare() >= SUPERFRAME_PAGES);
	}
	p->stage = b->max_order >= SUPERFRAME_ORDER ? PASS_SUPERFRAMES : PASS_PAGES;
	p->open = true;
	p->fresh = fresh;
	p->raised |= xchg(&b->raised, false);
	p->booting = balloon_booting();
	p->moved = false;
	p->inflate_refused = false;
	p->deflate_refused = false;
	p->pressed = false;
	p->all_moved = false;
	p->drained = false;
	p->vain = 0;
	p->pause = 0;
	p->retry = false;
	nodes_clear(p->no_superframe);
	nodes_clear(p->no_page);
	nodes_clear(p->no_reclaim);
	nodes_clear(p->kept);
	WRITE_ONCE(b->hurry, false);
	balloon_evacuate_anew();
	if (fresh) {
		b->retry_delay = 0;
		p->short_since = 0;
		balloon_brake_release();
		/*
		 * Nodes are compared, and what lists hide of one would be left to it, by what
		 * only moves, too. Not where something is to be given back: draining waits for
		 * who offlines memory, and he may wait for that.
		 */
		if (!has_to_give_back(b))
			drain_nodes();
	}
}

/* Base pages of a node that the host may be asked for, and those of them in partial blocks. */
static unsigned long node_holds(int nid, unsigned long *superframes, unsigned long *partial)
{
	balloon_node_count(nid, superframes, partial, NULL);
	return *superframes * SUPERFRAME_PAGES + *partial;
}

/* How many of them its limit allows: lent ones, which are none of them, count for it. */
static unsigned long node_limit(struct balloon_node *bn, int nid)
{
	unsigned long limit = READ_ONCE(bn->limit), foreign;

	if (limit == BALLOON_LIMIT_MAX)
		return limit;
	balloon_node_count(nid, NULL, NULL, &foreign);
	return limit - min(limit, foreign);
}

/* What of it could come home; see HOME_PART. */
static unsigned long home_room(struct balloon *b, struct balloon_node *bn, unsigned long spare,
			       unsigned long present)
{
	unsigned long keep = max(HOME_SUPERFRAMES * SUPERFRAME_PAGES, present / HOME_PART);
	unsigned long exchanged = READ_ONCE(bn->exchanged);

	if (!b->pass->afar)
		return 0;
	if (exchanged && time_in_range_open(jiffies, exchanged, exchanged + BALLOON_HOME_PAUSE))
		return 0;
	spare -= min(spare, keep);
	/* No superframe is split for that. */
	return b->max_order < SUPERFRAME_ORDER ? spare : round_down(spare, SUPERFRAME_PAGES);
}

static void snapshot_node(struct balloon *b, struct balloon_node *bn, int nid)
{
	struct balloon_pass *p = b->pass;
	struct balloon_plan_node *node = &p->plan.node[nid];
	unsigned long superframes, present = NODE_DATA(nid)->node_present_pages;
	unsigned long spare = balloon_node_spare(nid), whole = 0, room = 0;

	*node = (struct balloon_plan_node){
		.rings = rcu_dereference(bn->rings),
		.target = READ_ONCE(bn->target),
		.limit = node_limit(bn, nid),
		.present = present,
	};
	node->held = node_holds(nid, &superframes, &node->partial);
	if (node_isset(nid, p->kept))
		node->least = node->held;
	bn->remote = min(bn->remote, node->held);

	/* Where no page could be taken, what seems to be free is not to be had. */
	if (!node_isset(nid, p->no_page)) {
		if (b->max_order < SUPERFRAME_ORDER)
			whole = spare;
		else if (!node_isset(nid, p->no_superframe))
			whole = round_down(spare, SUPERFRAME_PAGES);
		if (p->stage >= PASS_PAGES)
			room = spare;
	}
	if (p->stage >= PASS_RECLAIM && !node_isset(nid, p->no_reclaim))
		room += balloon_reclaimable(nid);
	node->free = max(spare, room);
	if (p->inflate_refused)
		return;
	node->grow = max(whole, room);
	/*
	 * Nothing is reclaimed for what only moves, and once a pass that is enough. It waits for
	 * the total: the room for it may not be there, and nearer nodes would have given back
	 * for nothing.
	 */
	if (p->all_moved || balloon_total() > balloon_goal(b))
		return;
	node->shift = whole;
	node->move = p->raised ? whole : min(whole, home_room(b, bn, spare, present));
}

/* What the balloon is to hold now: during boot, no more than is plainly free. */
static unsigned long pass_goal(struct balloon *b)
{
	unsigned long goal = balloon_goal(b), total = balloon_total(), all, floor, spare;

	if (balloon_oom_rest(b))
		return min(goal, total);
	if (!b->pass->booting || goal <= total)
		return goal;
	all = get_num_physpages();
	floor = balloon_boot_floor(all - min(all, goal));
	spare = machine_spare();
	return min(goal, total + spare - min(spare, floor));
}

/* A plan for what is there now. */
static void make_plan(struct balloon *b)
{
	struct balloon_pass *p = b->pass;
	struct balloon_plan *plan = &p->plan;
	unsigned long held = 0, total;
	struct balloon_node *bn;
	int nid;

	memset(plan->node, 0, plan->nr * sizeof(*plan->node));
	rcu_read_lock();
	for_each_balloon_node(bn, nid) {
		snapshot_node(b, bn, nid);
		held += plan->node[nid].held;
	}
	/* Lent pages count for the host's target, but can't be moved. */
	total = balloon_total();
	plan->goal = pass_goal(b);
	plan->goal -= min(plan->goal, total - min(total, held));
	plan->policy = READ_ONCE(balloon_policy);
	plan->origin = READ_ONCE(b->origin);
	if (!balloon_nodes[plan->origin])
		plan->origin = first_online_node;
	plan->hungry = xchg(&b->hungry, NUMA_NO_NODE);
	if (plan->hungry != NUMA_NO_NODE)
		p->next = plan->hungry;
	balloon_plan(plan);
	rcu_read_unlock();
	p->done = false;
	p->learned = false;
}

/* Is there still something to do, and time for it? */
static bool pass_goes_on(struct balloon *b)
{
	return !balloon_slice_over(b);
}

static void pass_learns(struct balloon_pass *p, int nid, nodemask_t *mask)
{
	node_set(nid, *mask);
	p->learned = true;
}

/* The nodes from where the last batch ended, each once. */
static int node_in_turn(struct balloon_pass *p, int *left)
{
	while ((*left)-- > 0) {
		int nid = p->next;

		p->next = nid + 1 < p->plan.nr ? nid + 1 : 0;
		if (balloon_nodes[nid])
			return nid;
	}
	return NUMA_NO_NODE;
}

static void count_inflated(struct balloon_pass *p, int nid, unsigned long pages)
{
	struct balloon_node *bn = balloon_nodes[nid];
	unsigned long remote = p->plan.node[nid].remote;

	remote = min(pages, remote - min(remote, bn->remote));
	bn->remote += remote;
	balloon_stat_add(nid, BALLOON_INFLATE_REMOTE, remote);
	balloon_stat_add(nid, BALLOON_INFLATE_LOCAL, pages - remote);
}

static void count_deflated(struct balloon_pass *p, int nid, unsigned long pages)
{
	struct balloon_node *bn = balloon_nodes[nid];
	unsigned long remote = p->plan.node[nid].remote;

	remote = min(pages, bn->remote - min(bn->remote, remote));
	bn->remote -= remote;
	balloon_stat_add(nid, BALLOON_DEFLATE_REMOTE, remote);
	balloon_stat_add(nid, BALLOON_DEFLATE_LOCAL, pages - remote);
}

/* A batch of a node's memory, off its free lists, to the host. Returns base pages. */
static unsigned long give_batch(struct balloon *b, int nid, struct balloon_extent *ext,
				unsigned int nr)
{
	struct balloon_pass *p = b->pass;
	unsigned int order = ext->order, given;
	bool full;

	if (!nr)
		return 0;
	mutex_lock(&balloon_host_lock);
	given = balloon_give(b, ext, nr);
	/* Before somebody else takes back what made it so. */
	full = balloon_node_full(nid, order);
	count_inflated(p, nid, (unsigned long)given << order);
	balloon_host_update(b, true);
	mutex_unlock(&balloon_host_lock);

	trace_balloon_inflate(nid, p->plan.node[nid].origin, order, (unsigned long)nr << order,
			      (unsigned long)given << order);
	/* It will not take more on other nodes. That a node has come to its limit is no refusal. */
	if (given < nr) {
		p->inflate_refused |= !full;
		p->learned = true;
	}
	if (given) {
		p->done = true;
		p->moved |= p->stage < PASS_RECLAIM;
	}
	/* A host that answers at once never has it sleep. */
	cond_resched();
	return (unsigned long)given << order;
}

/*
 * Superframes of a node, free ones or such as have to be evacuated first, off its free
 * lists. Returns how many; *@pages are base pages behind them in @ext, the rest
 * of a block that was ballooned in part.
 */
static unsigned int take_whole(struct balloon *b, int nid, struct balloon_extent *ext,
			       unsigned int nr, unsigned int *pages, bool *evacuated)
{
	struct balloon_pass *p = b->pass;
	unsigned int got;

	*pages = 0;
	*evacuated = false;
	got = balloon_take_superframes(nid, ext, nr);
	if (got || p->booting)
		return got;
	*evacuated = true;
	while (pass_goes_on(b)) {
		if (!balloon_evacuate(b, nid, nr * SUPERFRAME_PAGES, ext, &got, pages)) {
			/* That it was cut short is not known of the node. */
			if (pass_goes_on(b))
				pass_learns(p, nid, &p->no_superframe);
			break;
		}
		if (got || *pages)
			break;
		cond_resched();
	}
	return got;
}

/* Superframes that the host is given at once. */
static unsigned int superframe_batch(const struct balloon *b)
{
	return min(b->inflate_batch ?: BALLOON_BATCH_SUPERFRAMES, BALLOON_BATCH_SUPERFRAMES);
}

static void grow_by_superframes(struct balloon *b, int nid, unsigned long nr)
{
	unsigned int got, pages, given;
	bool evacuated;
	struct page *head;

	nr = min_t(unsigned long, nr, superframe_batch(b));
	got = take_whole(b, nid, b->ext, nr, &pages, &evacuated);
	if (!got && !pages && b->pass->booting)
		pass_learns(b->pass, nid, &b->pass->no_superframe);
	head = got ? pfn_to_page(b->ext->pfn) : NULL;
	if (got) {
		given = give_batch(b, nid, b->ext, got) / SUPERFRAME_PAGES;
		/* What the balloon emptied itself it owes nobody. */
		if (evacuated)
			balloon_not_owed(head, given);
	}
	if (pages)
		give_batch(b, nid, b->ext + got, pages);
}

/* Have free pages made on a node, and take them. Returns how many. */
static unsigned int take_by_reclaim(struct balloon *b, int nid, unsigned long want)
{
	struct balloon_pass *p = b->pass;
	unsigned long reclaimed;
	unsigned int got;

	if (node_isset(nid, p->no_reclaim))
		return 0;
	p->pause = balloon_brake(&p->pressed);
	if (p->pause)
		return 0;
	reclaimed = balloon_reclaim(nid, want);
	if (reclaimed) {
		p->done = true;
		got = balloon_take_reclaimed(nid, b->ext, min(want, reclaimed));
		p->vain = got ? 0 : p->vain + 1;
		/* Others take all of it: with the guest there is no race to be run. */
		if (p->vain >= VAIN_MAX)
			pass_learns(p, nid, &p->no_reclaim);
		return got;
	}
	/* For want of a quota, or because there is nothing? */
	p->pause = balloon_brake(&p->pressed);
	if (!p->pause && !balloon_slice_over(b))
		pass_learns(p, nid, &p->no_reclaim);
	return 0;
}

static void grow_by_pages(struct balloon *b, int nid, unsigned long want)
{
	struct balloon_pass *p = b->pass;
	unsigned int got = 0;

	want = min_t(unsigned long, want, BALLOON_BATCH_PAGES);
	if (!node_isset(nid, p->no_page))
		got = balloon_take_pages(nid, b->ext, want);
	if (!got && p->stage == PASS_RECLAIM)
		got = take_by_reclaim(b, nid, want);
	if (got)
		give_batch(b, nid, b->ext, got);
	else if (p->stage < PASS_RECLAIM)
		pass_learns(p, nid, &p->no_page);
}

/**
 * balloon_pass_missing - how much the balloon should hold more than it does
 * @b: the balloon
 *
 * Context: the worker.
 * Return: base pages.
 */
unsigned long balloon_pass_missing(struct balloon *b)
{
	unsigned long goal = pass_goal(b), total = balloon_total();

	return goal - min(goal, total);
}

/* One batch on one node towards what it shall hold. Returns whether one was due. */
static bool grow_node(struct balloon *b, int nid, bool whole)
{
	struct balloon_pass *p = b->pass;
	unsigned long want = p->plan.node[nid].want, missing = balloon_pass_missing(b);
	unsigned long superframes, partial, held, nr;

	held = node_holds(nid, &superframes, &partial);
	if (held >= want || !missing)
		return false;
	if (whole) {
		/* One too many, for which base pages go back, there may be up to the limit. */
		nr = min3(want / SUPERFRAME_PAGES - min(want / SUPERFRAME_PAGES, superframes),
			  DIV_ROUND_UP(missing, SUPERFRAME_PAGES),
			  balloon_node_room(nid) / SUPERFRAME_PAGES);
		if (!nr || node_isset(nid, p->no_superframe))
			return false;
		grow_by_superframes(b, nid, nr);
	} else {
		if (node_isset(nid, p->no_page) &&
		    (p->stage < PASS_RECLAIM || node_isset(nid, p->no_reclaim)))
			return false;
		grow_by_pages(b, nid, min(want - held, missing));
	}
	return true;
}

static void grow_all(struct balloon *b, bool whole)
{
	struct balloon_pass *p = b->pass;
	bool due = true;
	int left, nid;

	while (due && pass_goes_on(b) && !p->inflate_refused) {
		unsigned long before = balloon_total();

		due = false;
		for (left = p->plan.nr; (nid = node_in_turn(p, &left)) != NUMA_NO_NODE;) {
			if (!pass_goes_on(b) || p->inflate_refused || p->pause)
				return;
			due |= grow_node(b, nid, whole);
		}
		/* What is due and can't be done is for another plan. */
		if (balloon_total() == before)
			return;
	}
}

/*
 * A batch back from the host: as far as it allows, or, for a node that is above its limit,
 * in any case. Returns base pages.
 */
static unsigned long get_batch(struct balloon *b, int nid, unsigned int order, unsigned long want,
			       bool over)
{
	struct balloon_pass *p = b->pass;
	unsigned long reserved, got = 0;
	unsigned int nr = 0;

	mutex_lock(&balloon_host_lock);
	if (over) {
		reserved = round_down(min(want, balloon_node_over(nid)), 1UL << order);
		balloon_reserve(reserved);
	} else {
		reserved = balloon_reserve_credit(balloon_goal(b), want, 1UL << order);
	}
	if (reserved)
		nr = order ? balloon_dequeue_superframes(nid, b->ext, reserved >> order) :
			     balloon_dequeue_pages(nid, b->ext, reserved);
	if (reserved) {
		got = balloon_take_back(b, b->ext, nr, reserved);
		count_deflated(p, nid, got);
		balloon_host_update(b, true);
	}
	mutex_unlock(&balloon_host_lock);

	if (nr)
		trace_balloon_deflate(nid, p->plan.node[nid].origin, order,
				      (unsigned long)nr << order, got);
	if (got) {
		p->done = true;
		p->moved = true;
		/* Allocations may have some of it, too. */
		balloon_forget_refusals();
	}
	if (nr && got < (unsigned long)nr << order)
		p->deflate_refused = true;
	cond_resched();
	return got;
}

/*
 * The host has refused a whole superframe: it may have its pieces. The block stays
 * split until the host gives superframes again, so that the next try needs no other.
 */
static unsigned long get_pieces(struct balloon *b, int nid, unsigned long want, bool over)
{
	unsigned long superframes, partial;

	node_holds(nid, &superframes, &partial);
	WRITE_ONCE(b->pieces, true);
	if (!partial && !balloon_split_superframe(nid))
		return 0;
	return get_batch(b, nid, 0, min(want, SUPERFRAME_PAGES), over);
}

/* By how much the balloon is to shrink on a node. */
static unsigned long node_surplus(struct balloon *b, int nid, bool limit)
{
	unsigned long goal = balloon_goal(b), total = balloon_total();
	unsigned long superframes, partial, held, want = b->pass->plan.node[nid].want;

	if (limit)
		return balloon_node_over(nid);
	held = node_holds(nid, &superframes, &partial);
	return min(held - min(held, want), total - min(total, goal));
}

/*
 * One batch of a node that holds too much: for the total, or, whatever that is, for its
 * @limit. Returns whether one was due.
 */
static bool shrink_node(struct balloon *b, int nid, bool limit)
{
	unsigned long over = node_surplus(b, nid, limit);
	struct balloon_pass *p = b->pass;
	unsigned long superframes, partial, held, want, whole, pages, got, batch;

	held = node_holds(nid, &superframes, &partial);
	over = min(over, held);
	if (!over || node_isset(nid, p->kept))
		return false;
	want = held - over;
	/* Base pages first, but so that whole superframes are left: none is split for them. */
	whole = min(superframes, want / SUPERFRAME_PAGES);
	pages = want - whole * SUPERFRAME_PAGES;
	pages = pages <= partial ? partial - pages : min(partial, over);
	if (pages) {
		got = get_batch(b, nid, 0, min_t(unsigned long, pages, BALLOON_BATCH_PAGES), limit);
		/* Others may have them in hand: that does not keep superframes here. */
		if (!got && (p->deflate_refused || over < SUPERFRAME_PAGES))
			pass_learns(p, nid, &p->kept);
		if (got || node_isset(nid, p->kept))
			return true;
	}
	if (over >= SUPERFRAME_PAGES) {
		batch = min(b->deflate_batch ?: BALLOON_BATCH_DEFLATE, BALLOON_BATCH_SUPERFRAMES);
		got = get_batch(b, nid, SUPERFRAME_ORDER,
				min(round_down(over, SUPERFRAME_PAGES), batch * SUPERFRAME_PAGES),
				limit);
		if (got)
			WRITE_ONCE(b->pieces, false);
		else if (p->deflate_refused)
			got = get_pieces(b, nid, over, limit);
	} else {
		got = balloon_split_superframe(nid) ? get_batch(b, nid, 0, over, limit) : 0;
	}
	if (!got)
		pass_learns(p, nid, &p->kept);
	return true;
}

static void shrink_all(struct balloon *b, bool limit)
{
	struct balloon_pass *p = b->pass;
	bool due = true;
	int left, nid;

	while (due && pass_goes_on(b)) {
		due = false;
		for (left = p->plan.nr; (nid = node_in_turn(p, &left)) != NUMA_NO_NODE;) {
			if (!pass_goes_on(b))
				return;
			due |= shrink_node(b, nid, limit);
		}
	}
}

/* By how much a node holds more than it shall. */
static unsigned long node_excess(struct balloon_pass *p, int nid, unsigned long *superframes,
				 unsigned long *partial)
{
	unsigned long held = node_holds(nid, superframes, partial);

	return held - min(held, p->plan.node[nid].want);
}

/* Batches of one order from node to node. Returns base pages that moved. */
static unsigned long swap_batch(struct balloon *b, int to, int from, struct balloon_extent *give,
				unsigned int nr)
{
	struct balloon_extent *take = b->ext + BALLOON_BATCH_PAGES;
	struct balloon_pass *p = b->pass;
	unsigned int order = give->order, found, given = 0, taken = 0, i;
	bool full;

	mutex_lock(&balloon_host_lock);
	found = order ? balloon_dequeue_superframes(from, take, nr) :
			balloon_dequeue_pages(from, take, nr);
	if (found)
		given = balloon_swap(b, give, take, found, &taken);
	full = balloon_node_full(to, order);
	count_inflated(p, to, (unsigned long)given << order);
	count_deflated(p, from, (unsigned long)taken << order);
	balloon_host_update(b, true);
	mutex_unlock(&balloon_host_lock);

	for (i = found; i < nr; i++) {
		if (order)
			balloon_put_superframe(pfn_to_page(give[i].pfn));
		else
			balloon_put_page(pfn_to_page(give[i].pfn));
	}
	trace_balloon_inflate(to, from, order, (unsigned long)nr << order,
			      (unsigned long)given << order);
	trace_balloon_deflate(from, to, order, (unsigned long)found << order,
			      (unsigned long)taken << order);
	if (given < found) {
		p->inflate_refused |= !full;
		p->learned = true;
	}
	if (taken < given || !found) {
		p->deflate_refused |= found;
		pass_learns(p, from, &p->kept);
	}
	if (taken) {
		p->done = true;
		p->moved = true;
	}
	cond_resched();
	return (unsigned long)taken << order;
}

/* Move up to @pages from one node to another, one batch. Returns base pages that moved. */
static unsigned long move_batch(struct balloon *b, int to, int from, unsigned long pages)
{
	unsigned long superframes, partial;
	struct balloon_pass *p = b->pass;
	unsigned int nr, rest;
	bool evacuated;

	node_holds(from, &superframes, &partial);
	if (pages >= SUPERFRAME_PAGES && superframes && !node_isset(to, p->no_superframe)) {
		nr = min3(pages / SUPERFRAME_PAGES, superframes,
			  (unsigned long)superframe_batch(b));
		nr = take_whole(b, to, b->ext, nr, &rest, &evacuated);
		/* A block that was ballooned in part is filled up: as good as any. */
		if (nr || !rest) {
			unsigned int i;

			for (i = 0; i < rest; i++)
				balloon_put_page(pfn_to_page(b->ext[nr + i].pfn));
			if (!nr && !evacuated)
				pass_learns(p, to, &p->no_superframe);
			return nr ? swap_batch(b, to, from, b->ext, nr) : 0;
		}
		nr = rest;
	} else {
		if (pages >= SUPERFRAME_PAGES && superframes) {
			pass_learns(p, to, &p->no_page);
			return 0;
		}
		nr = balloon_take_pages(to, b->ext, min(pages, SUPERFRAME_PAGES));
		if (!nr) {
			pass_learns(p, to, &p->no_page);
			return 0;
		}
	}
	if (partial < nr)
		balloon_split_superframe(from);
	return swap_batch(b, to, from, b->ext, nr);
}

/*
 * The total is as wanted, but not where: batch by batch, given on one node and taken
 * back on another, the balloon is never above its goal by more than that.
 */
static void move_all(struct balloon *b)
{
	unsigned long superframes, partial, held, excess, pages;
	struct balloon_pass *p = b->pass;
	bool moved = false;
	int to, from = 0;

	for (to = 0; to < p->plan.nr; to++) {
		while (balloon_nodes[to] && pass_goes_on(b)) {
			if (p->inflate_refused || balloon_has_surplus(b) ||
			    node_isset(to, p->no_page) || balloon_total() != balloon_goal(b))
				break;
			held = node_holds(to, &superframes, &partial);
			pages = p->plan.node[to].want - min(p->plan.node[to].want, held);
			if (!pages)
				break;
			for (excess = 0; from < p->plan.nr && !excess; from += !excess)
				if (balloon_nodes[from] && !node_isset(from, p->kept))
					excess = node_excess(p, from, &superframes, &partial);
			if (!excess)
				return;
			pages = min(pages, excess);
			if (move_batch(b, to, from, pages))
				moved = true;
			/* Or it has come to its limit since that was planned. */
			else if (node_isset(to, p->no_superframe) ||
				 balloon_node_room(to) < min(pages, SUPERFRAME_PAGES))
				break;
		}
	}
	p->all_moved |= moved && !p->learned && pass_goes_on(b);
}

/* Before anything is reclaimed, and before the pass ends short: once. */
static void drain_lists(struct balloon_pass *p)
{
	drain_nodes();
	p->drained = true;
	nodes_clear(p->no_page);
}

/*
 * What a node holds beyond its limit, and has found no place elsewhere, goes back: the
 * total falls short for it. Returns whether there is such a node.
 */
static bool obey_limits(struct balloon *b)
{
	struct balloon_pass *p = b->pass;
	struct balloon_node *bn;
	bool over = false;
	int nid;

	for_each_balloon_node(bn, nid)
		over |= balloon_node_over(nid) && !node_isset(nid, p->kept);
	if (over)
		shrink_all(b, true);
	return over;
}

/* Does every node hold what it shall? As of the plan, which can't do what a limit wants. */
static bool plan_is_met(struct balloon *b)
{
	struct balloon_pass *p = b->pass;
	unsigned long superframes, partial;
	struct balloon_node *bn;
	int nid;

	if (balloon_total() != balloon_goal(b))
		return false;
	for_each_balloon_node(bn, nid)
		if (node_holds(nid, &superframes, &partial) != p->plan.node[nid].want ||
		    balloon_node_over(nid))
			return false;
	return true;
}

/*
 * What is above the goal goes back first: who waits for it waits no longer than that.
 * What is missing then is taken; superframes of all nodes before base pages of any.
 */
static void carry_out(struct balloon *b)
{
	struct balloon_pass *p = b->pass;

	shrink_all(b, false);
	if (b->max_order >= SUPERFRAME_ORDER)
		grow_all(b, true);
	/* A superframe that is missing elsewhere is no reason for base pages here. */
	if (!p->learned || p->stage > PASS_SUPERFRAMES)
		grow_all(b, false);
	/* One superframe too many was taken so that base pages can go back. */
	shrink_all(b, false);
	move_all(b);
}

/**
 * balloon_pursue - go on with a pass
 * @b: the balloon
 *
 * Until there is nothing left to do, or nothing more can be done, or others are to have
 * their turn: then this is to be called again.
 *
 * Context: the worker; sleeps, allocates, and reclaims at the last stage.
 * Return: how it ended.
 */
enum balloon_pass_end balloon_pursue(struct balloon *b)
{
	struct balloon_pass *p = b->pass;
	bool met;

	for (;;) {
		make_plan(b);
		/* A retry that brings nothing has not ended the wait. */
		met = plan_is_met(b);
		if (p->fresh || p->moved)
			say_what_it_is_at(b, !met);
		if (!met) {
			/* What it is at is said. Where all is met that is said at rest. */
			smp_store_release(&b->looking, false);
		}
		carry_out(b);
		if (balloon_plan_changed(b))
			return PASS_CHANGED;
		if (balloon_slice_over(b))
			return PASS_CUT;
		if (p->pause)
			return p->pressed ? PASS_SHORT : PASS_PACED;
		if (p->done || p->learned)
			continue;
		if (plan_is_met(b))
			return PASS_MET;
		if (obey_limits(b))
			continue;
		/* What moves only is not taken in pieces, nor reclaimed. */
		if (!balloon_pass_missing(b) || p->inflate_refused || p->stage == PASS_RECLAIM)
			return PASS_SHORT;
		if (p->stage < PASS_PAGES) {
			p->stage = PASS_PAGES;
			continue;
		}
		if (!p->drained) {
			drain_lists(p);
			continue;
		}
		if (p->booting)
			return PASS_SHORT;
		p->stage = PASS_RECLAIM;
	}
}
