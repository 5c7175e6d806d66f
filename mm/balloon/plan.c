// SPDX-License-Identifier: GPL-2.0
/*
 * The plan: what each node shall hold, as a pure function of a snapshot.
 *
 * Targets of nodes come first. Each is looked for from its node outwards, ring by
 * ring, and there in this order: what is held already stays; as far as the balloon
 * is to grow, what the node can give; then what it can give in place of others'.
 * `auto` nodes hold the rest. What they hold stays where it is while the total stands.
 * A node with a target holds more than was claimed there only if `auto` nodes have no
 * room for it.
 *
 * No node is to hold more than its limit. What it does hold beyond that has to leave,
 * whether there is another place for it or not: it is planned for as if it had left.
 *
 * No page, no lock, no host: tools/testing/balloon/ compares it with brute force.
 */
#include <linux/mm.h>
#include <linux/slab.h>

#include "internal.h"

/**
 * balloon_plan_alloc - get the memory of a plan
 * @plan: the plan
 * @nr: how many node numbers there are
 *
 * Context: may sleep.
 * Return: 0 or -ENOMEM.
 */
int balloon_plan_alloc(struct balloon_plan *plan, unsigned int nr)
{
	*plan = (struct balloon_plan){ .nr = nr };
	plan->node = kvcalloc(nr, sizeof(*plan->node), GFP_KERNEL);
	plan->targets = kvcalloc(nr, sizeof(*plan->targets), GFP_KERNEL);
	plan->shares = kvcalloc(nr, sizeof(*plan->shares), GFP_KERNEL);
	plan->index = kvcalloc(nr, sizeof(*plan->index), GFP_KERNEL);
	if (plan->node && plan->targets && plan->shares && plan->index)
		return 0;
	balloon_plan_free(plan);
	return -ENOMEM;
}

/**
 * balloon_plan_free - the end of balloon_plan_alloc()
 * @plan: the plan
 *
 * Context: may sleep.
 */
void balloon_plan_free(struct balloon_plan *plan)
{
	kvfree(plan->node);
	kvfree(plan->targets);
	kvfree(plan->shares);
	kvfree(plan->index);
	*plan = (struct balloon_plan){ };
}

/* What is still to be had, so that nobody looks for what is nowhere. */
struct pool {
	/* Held by some node, and claimed by nobody yet. */
	unsigned long unclaimed;
	/* By so much the balloon is to grow yet, and so much could be taken for that. */
	unsigned long growth;
	unsigned long grow;
	/* What could be taken in place of others', and what of these can leave for it. */
	unsigned long move;
	unsigned long leave;
};

/* What of a node's unclaimed pages can leave it. */
static unsigned long can_leave(const struct balloon_plan_node *node)
{
	return min(node->unclaimed, node->held - node->least);
}

static void take_room(struct balloon_plan_node *node, struct pool *pool, unsigned long pages,
		      bool growth)
{
	unsigned long grow = min(pages, node->grow), move = min(pages, node->move);

	node->grow -= grow;
	pool->grow -= grow;
	node->move -= move;
	pool->move -= move;
	node->shift -= min(pages, node->shift);
	if (growth)
		pool->growth -= pages;
	else
		pool->leave -= pages;
}

/* What is held already, unless it has to leave for what moves. */
static unsigned long claim_held(struct balloon_plan_node *node, struct pool *pool,
				unsigned long want)
{
	unsigned long leave = can_leave(node);
	unsigned long pages = min3(want, node->unclaimed, node->unclaimed - leave + pool->leave);

	node->unclaimed -= pages;
	pool->unclaimed -= pages;
	pool->leave -= leave - can_leave(node);
	return pages;
}

/* A free page less: the policy compares what is left. */
static void will_hold(struct balloon_plan_node *node, unsigned long pages)
{
	node->free -= min(node->free, pages);
}

static void claim_on(struct balloon_plan *plan, int nid, int owner, unsigned long pages)
{
	struct balloon_plan_node *node = &plan->node[nid];

	node->claimed += pages;
	if (nid != owner && pages) {
		node->remote += pages;
		node->origin = owner;
		plan->afar += pages;
	}
}

static unsigned long claim_room(const struct balloon_plan_node *node, bool growth)
{
	return growth ? node->grow : node->move;
}

static void claim_new(struct balloon_plan *plan, struct pool *pool, int nid, int owner,
		      unsigned long pages, bool growth)
{
	struct balloon_plan_node *node = &plan->node[nid];

	take_room(node, pool, pages, growth);
	will_hold(node, pages);
	claim_on(plan, nid, owner, pages);
}

/* Whether a larger part of @a is free than of @b, without a division. */
static bool richer(const struct balloon_plan_node *a, const struct balloon_plan_node *b)
{
	return (u64)(a->free >> 4) * b->present > (u64)(b->free >> 4) * a->present;
}

/* In large rings, where a level would take too long: the richest first. */
static unsigned long claim_richest(struct balloon_plan *plan, struct pool *pool,
				   const struct balloon_rings *r, unsigned int first,
				   unsigned int end, unsigned long want, bool growth)
{
	struct balloon_plan_node *node, *best;
	unsigned long left = want, get;
	unsigned int i;
	int nid;

	do {
		best = NULL;
		for (i = first; i < end; i++) {
			node = &plan->node[r->node[i].nid];
			if (claim_room(node, growth) && (!best || richer(node, best)))
				best = node;
		}
		if (!best)
			break;
		nid = best - plan->node;
		get = min(left, claim_room(best, growth));
		claim_new(plan, pool, nid, r->nid, get, growth);
		left -= get;
	} while (left);
	return want - left;
}

/* Rings of more nodes are not levelled: a plan has to be quick on the largest machines, too. */
#define LEVEL_NODES	32

/* Spread over a ring, by its nodes' room. Returns how much has found some. */
static unsigned long spread_claim(struct balloon_plan *plan, struct pool *pool,
				  const struct balloon_rings *r, unsigned int first,
				  unsigned int end, unsigned long want, bool growth)
{
	unsigned long got;
	unsigned int i;

	if (end - first == 1) {
		int nid = r->node[first].nid;

		got = min(want, claim_room(&plan->node[nid], growth));
		claim_new(plan, pool, nid, r->nid, got, growth);
		return got;
	}
	if (end - first > LEVEL_NODES)
		return claim_richest(plan, pool, r, first, end, want, growth);
	for (i = first; i < end; i++) {
		struct balloon_plan_node *node = &plan->node[r->node[i].nid];

		plan->shares[i - first] = (struct balloon_share){
			.free = node->free,
			.present = node->present,
			.room = claim_room(node, growth),
		};
	}
	got = balloon_level(plan->shares, end - first, want, true);
	for (i = first; i < end; i++)
		claim_new(plan, pool, r->node[i].nid, r->nid, plan->shares[i - first].get,
			  growth);
	return got;
}

/*
 * What a ring holds already, of the node with most of it first: what another target has
 * got moved to one of these nodes is left to it, or plans would creep.
 */
static unsigned long claim_ring_held(struct balloon_plan *plan, struct pool *pool,
				     const struct balloon_rings *r, unsigned int first,
				     unsigned int end, unsigned long want)
{
	bool by_most = end - first <= LEVEL_NODES;
	unsigned long left = want, pages;
	struct balloon_plan_node *node;
	unsigned int i, n, most;

	for (n = first; n < end && left && pool->unclaimed; n++) {
		for (i = first, most = by_most ? first : n; by_most && i < end; i++)
			if (plan->node[r->node[i].nid].unclaimed >
			    plan->node[r->node[most].nid].unclaimed)
				most = i;
		node = &plan->node[r->node[most].nid];
		pages = claim_held(node, pool, left);
		claim_on(plan, r->node[most].nid, r->nid, pages);
		left -= pages;
	}
	return want - left;
}

/* As much of a node's target as one of its rings has. Returns what is left of it. */
static unsigned long claim_in_ring(struct balloon_plan *plan, struct pool *pool,
				   const struct balloon_rings *r, unsigned int first,
				   unsigned int end, unsigned long want)
{
	unsigned long pages;

	want -= claim_ring_held(plan, pool, r, first, end, want);
	pages = min3(want, pool->growth, pool->grow);
	if (pages)
		want -= spread_claim(plan, pool, r, first, end, pages, true);
	pages = min3(want, pool->move, pool->leave);
	if (pages)
		want -= spread_claim(plan, pool, r, first, end, pages, false);
	return want;
}

/* Targets are looked for on their own nodes first, so that none is another's remote memory. */
static unsigned long claim_targets(struct balloon_plan *plan, struct pool *pool)
{
	const struct balloon_rings *r;
	unsigned int nid, first, end;
	unsigned long missing = 0;

	for (nid = 0; nid < plan->nr; nid++) {
		r = plan->node[nid].rings;
		if (plan->targets[nid] && r && r->nr && r->node[0].nid == nid)
			plan->targets[nid] = claim_in_ring(plan, pool, r, 0, 1,
							   plan->targets[nid]);
	}
	for (nid = 0; nid < plan->nr; nid++) {
		r = plan->node[nid].rings;
		first = r && r->nr && r->node[0].nid == nid;
		for (; plan->targets[nid] && r && first < r->nr; first = end) {
			if (!pool->unclaimed && !min(pool->growth, pool->grow) &&
			    !min(pool->move, pool->leave))
				break;
			end = balloon_ring_end(r, first);
			plan->targets[nid] = claim_in_ring(plan, pool, r, first, end,
							   plan->targets[nid]);
		}
		missing += plan->targets[nid];
	}
	return missing;
}

static bool is_auto(const struct balloon_plan_node *node)
{
	return node->target == BALLOON_TARGET_AUTO;
}

/* What may leave a node of what no target has claimed. */
static unsigned long may_leave(const struct balloon_plan_node *node)
{
	unsigned long floor = node->claimed + node->want;

	return floor - min(floor, max(node->least, node->claimed));
}

enum rest { REST_GROWS, REST_MOVES, REST_LEAVES };

static unsigned long rest_room(const struct balloon_plan_node *node, enum rest how)
{
	switch (how) {
	case REST_GROWS:
		return node->grow;
	case REST_MOVES:
		return node->shift;
	default:
		return may_leave(node);
	}
}

static void apply_rest(struct balloon_plan *plan, struct pool *pool, int nid,
		       unsigned long pages, enum rest how)
{
	struct balloon_plan_node *node = &plan->node[nid];

	if (how == REST_LEAVES) {
		node->want -= pages;
		node->free += pages;
		node->grow += pages;
		pool->grow += pages;
		node->move += pages;
		pool->move += pages;
		node->shift += pages;
		return;
	}
	node->want += pages;
	take_room(node, pool, pages, how == REST_GROWS);
	will_hold(node, pages);
	if (plan->policy == BALLOON_LOCAL && nid != plan->origin && pages) {
		node->remote += pages;
		node->origin = plan->origin;
	}
}

/* Among all nodes of one kind, by level. */
static unsigned long balance_rest(struct balloon_plan *plan, struct pool *pool,
				  unsigned long pages, bool autos, enum rest how)
{
	unsigned int nid, i, nr = 0;
	unsigned long got;

	for (nid = 0; nid < plan->nr; nid++) {
		struct balloon_plan_node *node = &plan->node[nid];

		if (!node->rings || is_auto(node) != autos || !rest_room(node, how))
			continue;
		plan->index[nr] = nid;
		plan->shares[nr++] = (struct balloon_share){
			.free = node->free,
			.present = node->present,
			.room = rest_room(node, how),
		};
	}
	got = balloon_level(plan->shares, nr, pages, how != REST_LEAVES);
	for (i = 0; i < nr; i++)
		apply_rest(plan, pool, plan->index[i], plan->shares[i].get, how);
	return got;
}

/* The same from one node outwards: whole superframes as far as they go. */
static unsigned long local_rest(struct balloon_plan *plan, struct pool *pool,
				unsigned long pages, bool autos, enum rest how)
{
	const struct balloon_rings *r = plan->node[plan->origin].rings;
	unsigned long left = pages, get;
	unsigned int i;

	for (i = 0; r && i < r->nr && left; i++) {
		int nid = r->node[i].nid;

		if (is_auto(&plan->node[nid]) != autos)
			continue;
		get = min(left, rest_room(&plan->node[nid], how));
		/* The next one has room for a whole superframe, or all is filled up to the page. */
		if (get < left)
			get = round_down(get, SUPERFRAME_PAGES);
		apply_rest(plan, pool, nid, get, how);
		left -= get;
	}
	for (i = 0; r && i < r->nr && left; i++) {
		int nid = r->node[i].nid;

		if (is_auto(&plan->node[nid]) != autos)
			continue;
		get = min(left, rest_room(&plan->node[nid], how));
		apply_rest(plan, pool, nid, get, how);
		left -= get;
	}
	return pages - left;
}

static unsigned long spread_rest(struct balloon_plan *plan, struct pool *pool,
				 unsigned long pages, bool autos, enum rest how)
{
	if (!pages)
		return 0;
	if (plan->policy == BALLOON_LOCAL && plan->node[plan->origin].rings)
		return local_rest(plan, pool, pages, autos, how);
	return balance_rest(plan, pool, pages, autos, how);
}

/*
 * Less than a superframe more is wanted: one block need be partial, not two. It goes
 * into the partial block that there is; where that would overflow, one superframe more
 * is taken and base pages leave. Returns what is left to spread.
 */
static unsigned long remainder_grows(struct balloon_plan *plan, struct pool *pool,
				     unsigned long pages)
{
	unsigned long rest = pages % SUPERFRAME_PAGES, back = SUPERFRAME_PAGES - rest;
	unsigned long room = 0;
	unsigned int nid;

	for (nid = 0; nid < plan->nr; nid++)
		if (is_auto(&plan->node[nid]))
			room += round_down(plan->node[nid].grow, SUPERFRAME_PAGES);
	for (nid = 0; rest && nid < plan->nr; nid++) {
		struct balloon_plan_node *node = &plan->node[nid];
		unsigned long partial = node->partial;

		if (!node->rings || !is_auto(node) || !partial || partial >= SUPERFRAME_PAGES)
			continue;
		if (rest + partial < SUPERFRAME_PAGES) {
			if (node->grow < rest)
				continue;
			apply_rest(plan, pool, nid, rest, REST_GROWS);
			return pages - rest;
		}
		if (room < pages + back || may_leave(node) < back)
			continue;
		apply_rest(plan, pool, nid, back, REST_LEAVES);
		pool->growth += back;
		return pages + back;
	}
	return pages;
}

/*
 * Less than a superframe leaves: out of base pages, if some node has so many; else where
 * there are some, so that the superframe that is split leaves no second partial block.
 */
static unsigned long remainder_leaves(struct balloon_plan *plan, struct pool *pool,
				      unsigned long pages)
{
	unsigned long rest = pages % SUPERFRAME_PAGES;
	unsigned int nid, best = plan->nr;

	for (nid = 0; rest && nid < plan->nr; nid++) {
		struct balloon_plan_node *node = &plan->node[nid];
		unsigned long partial = node->partial % SUPERFRAME_PAGES;

		if (!node->rings || !is_auto(node) || !partial || may_leave(node) < rest)
			continue;
		if (best == plan->nr || partial >= rest)
			best = nid;
		if (partial >= rest)
			break;
	}
	if (best == plan->nr)
		return pages;
	apply_rest(plan, pool, best, rest, REST_LEAVES);
	return pages - rest;
}

/* What a node that refilled gets before the policy's rule goes on. */
#define HUNGRY_PAGES	(16 * SUPERFRAME_PAGES)

static unsigned long hungry_first(struct balloon_plan *plan, struct pool *pool,
				  unsigned long pages)
{
	unsigned long get;

	if (plan->hungry < 0 || plan->hungry >= plan->nr || !is_auto(&plan->node[plan->hungry]))
		return pages;
	get = min3(pages, HUNGRY_PAGES, may_leave(&plan->node[plan->hungry]));
	apply_rest(plan, pool, plan->hungry, get, REST_LEAVES);
	return pages - get;
}

/* `auto` nodes keep what they have; others only what can't leave. Returns the sum. */
static unsigned long keep_rest(struct balloon_plan *plan, bool autos_all)
{
	unsigned long sum = 0;
	unsigned int nid;

	for (nid = 0; nid < plan->nr; nid++) {
		struct balloon_plan_node *node = &plan->node[nid];

		node->want = node->unclaimed;
		if (!is_auto(node) || !autos_all)
			node->want = min(node->unclaimed,
					 node->least - min(node->least, node->claimed));
		sum += node->want;
	}
	return sum;
}

/* Nodes with targets keep what has no room elsewhere. Returns what is left to place. */
static unsigned long stay(struct balloon_plan *plan, unsigned long pages)
{
	unsigned int nid;

	for (nid = 0; nid < plan->nr && pages; nid++) {
		struct balloon_plan_node *node = &plan->node[nid];
		unsigned long more;

		if (is_auto(node))
			continue;
		more = min(pages, node->unclaimed - node->want);
		node->want += more;
		pages -= more;
	}
	return pages;
}

static void plan_rest(struct balloon_plan *plan, struct pool *pool, unsigned long rest)
{
	unsigned long kept = keep_rest(plan, true), more, left;

	if (kept > rest) {
		left = hungry_first(plan, pool, kept - rest);
		left = remainder_leaves(plan, pool, left);
		left -= spread_rest(plan, pool, left, true, REST_LEAVES);
		plan->extra = left;
		return;
	}
	left = rest - kept;
	more = min(left, pool->growth);
	left -= more;
	more = remainder_grows(plan, pool, more);
	more -= spread_rest(plan, pool, more, true, REST_GROWS);
	/* What lies on nodes with targets, and nobody claimed, had better lie elsewhere. */
	left -= spread_rest(plan, pool, min(left, pool->leave), true, REST_MOVES);
	left = stay(plan, left + more);
	left -= spread_rest(plan, pool, min(left, pool->growth), false, REST_GROWS);
	plan->missing += left;
}

/* What is beyond the limit is as good as gone; up to the limit there is room. */
static void obey_limit(struct balloon_plan_node *node)
{
	unsigned long most = max(node->limit, node->least);
	unsigned long over = node->held - min(node->held, most);

	node->held -= over;
	node->free += over;
	node->partial = min(node->partial, node->held);
	node->grow = min(node->grow, node->limit - min(node->limit, node->held));
}

/**
 * balloon_plan - say what each node shall hold
 * @plan: the snapshot, and the answer: @want, @remote and @origin of each node,
 *	@missing, @extra and @afar. What nodes have to give (@grow, @move, @shift, @free) is
 *	used up, and @held is no more than the limit, but for what can't leave.
 *
 * All @want together are @goal, less @missing, plus @extra.
 *
 * Context: any; O(nodes log nodes) where targets find their pages near.
 */
void balloon_plan(struct balloon_plan *plan)
{
	struct pool pool = { };
	unsigned long claimed = 0;
	unsigned int nid;

	plan->missing = 0;
	plan->extra = 0;
	plan->afar = 0;
	for (nid = 0; nid < plan->nr; nid++) {
		struct balloon_plan_node *node = &plan->node[nid];

		node->least = min(node->least, node->held);
		obey_limit(node);
		node->unclaimed = node->held;
		node->claimed = 0;
		node->want = 0;
		node->remote = 0;
		node->origin = nid;
		if (!node->rings)
			node->grow = 0;
		node->move = min(node->move, node->grow);
		node->shift = min(node->shift, node->grow);
		plan->targets[nid] = is_auto(node) || !node->rings ? 0 : node->target;
		pool.unclaimed += node->held;
		pool.grow += node->grow;
		pool.move += node->move;
		pool.leave += can_leave(node);
	}
	pool.growth = plan->goal - min(plan->goal, pool.unclaimed);

	balloon_scale_targets(plan->targets, plan->nr, plan->goal);
	for (nid = 0; nid < plan->nr; nid++)
		claimed += plan->targets[nid];
	plan->missing = claim_targets(plan, &pool);
	plan_rest(plan, &pool, plan->goal - claimed);
	for (nid = 0; nid < plan->nr; nid++)
		plan->node[nid].want += plan->node[nid].claimed;
}
