// SPDX-License-Identifier: GPL-2.0
/*
 * Plans where nodes have limits. What plans are otherwise is tried in user space, against
 * a model: see tools/testing/balloon/plan_test.c.
 */
#include <kunit/test.h>

#include <linux/slab.h>

#include "../internal.h"

#define NODES		4
#define SF		((unsigned long)SUPERFRAME_PAGES)
/* What each node has: some of it in the balloon, the rest free. */
#define PRESENT		(100 * SF)

/* 0 and 1 are near each other, and so are 2 and 3. */
static int distance(int from, int to)
{
	return from == to ? 10 : from / 2 == to / 2 ? 20 : 30;
}

KUNIT_DEFINE_ACTION_WRAPPER(free_plan, balloon_plan_free, struct balloon_plan *);
KUNIT_DEFINE_ACTION_WRAPPER(free_rings, kfree, const void *);

static struct balloon_plan *new_plan(struct kunit *test)
{
	struct balloon_plan *plan = kunit_kzalloc(test, sizeof(*plan), GFP_KERNEL);
	unsigned long nodes = BIT(NODES) - 1;
	struct balloon_rings *rings;
	int nid;

	KUNIT_ASSERT_NOT_NULL(test, plan);
	KUNIT_ASSERT_EQ(test, balloon_plan_alloc(plan, NODES), 0);
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, free_plan, plan), 0);
	for (nid = 0; nid < NODES; nid++) {
		rings = balloon_rings_build(nid, &nodes, NODES, distance);
		KUNIT_ASSERT_NOT_NULL(test, rings);
		KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, free_rings, rings), 0);
		plan->node[nid].rings = rings;
		plan->node[nid].target = BALLOON_TARGET_AUTO;
		plan->node[nid].limit = BALLOON_LIMIT_MAX;
	}
	plan->policy = BALLOON_BALANCE;
	plan->hungry = NUMA_NO_NODE;
	return plan;
}

/* What nodes hold is free no more. */
static void make_plan(struct balloon_plan *plan, unsigned long goal, unsigned long held0,
		      unsigned long held1, unsigned long held2, unsigned long held3)
{
	unsigned long held[NODES] = { held0, held1, held2, held3 };
	int nid;

	for (nid = 0; nid < NODES; nid++) {
		struct balloon_plan_node *node = &plan->node[nid];

		node->held = held[nid];
		node->present = PRESENT;
		node->free = PRESENT - held[nid];
		node->grow = node->free;
		node->move = node->free;
		node->shift = node->free;
	}
	plan->goal = goal;
	balloon_plan(plan);
}

static void expect_wants(struct kunit *test, const struct balloon_plan *plan,
			 unsigned long want0, unsigned long want1, unsigned long want2,
			 unsigned long want3)
{
	KUNIT_EXPECT_EQ(test, plan->node[0].want, want0);
	KUNIT_EXPECT_EQ(test, plan->node[1].want, want1);
	KUNIT_EXPECT_EQ(test, plan->node[2].want, want2);
	KUNIT_EXPECT_EQ(test, plan->node[3].want, want3);
}

/* The others share what the policy would have had of it. */
static void limit_grows(struct kunit *test)
{
	struct balloon_plan *plan = new_plan(test);

	plan->node[0].limit = 0;
	plan->node[1].limit = 4 * SF;
	make_plan(plan, 84 * SF, 0, 0, 0, 0);
	expect_wants(test, plan, 0, 4 * SF, 40 * SF, 40 * SF);
	KUNIT_EXPECT_EQ(test, plan->missing, 0);

	plan->policy = BALLOON_LOCAL;
	plan->origin = 0;
	make_plan(plan, 84 * SF, 0, 0, 0, 0);
	expect_wants(test, plan, 0, 4 * SF, 80 * SF, 0);
	KUNIT_EXPECT_EQ(test, plan->missing, 0);
}

/* A limit is to the page, if nothing else is left. */
static void limit_odd(struct kunit *test)
{
	struct balloon_plan *plan = new_plan(test);
	int nid;

	for (nid = 0; nid < NODES; nid++)
		plan->node[nid].limit = nid * SF + 7;
	make_plan(plan, 50 * SF, 0, 0, 0, 0);
	expect_wants(test, plan, 7, SF + 7, 2 * SF + 7, 3 * SF + 7);
	KUNIT_EXPECT_EQ(test, plan->missing, 44 * SF - 28);
	KUNIT_EXPECT_EQ(test, plan->extra, 0);
}

/* Lowered: it moves while the total stands, and the rest of the node's stays. */
static void limit_lowered(struct kunit *test)
{
	struct balloon_plan *plan = new_plan(test);

	plan->node[0].limit = 10 * SF;
	make_plan(plan, 60 * SF, 60 * SF, 0, 0, 0);
	KUNIT_EXPECT_EQ(test, plan->node[0].want, 10 * SF);
	KUNIT_EXPECT_EQ(test, plan->node[1].want + plan->node[2].want + plan->node[3].want,
			50 * SF);
	KUNIT_EXPECT_EQ(test, plan->missing, 0);
	KUNIT_EXPECT_EQ(test, plan->extra, 0);

	/* No page moves beyond that. */
	make_plan(plan, 60 * SF, 10 * SF, 50 * SF, 0, 0);
	expect_wants(test, plan, 10 * SF, 50 * SF, 0, 0);
}

/* There is no other place: it goes back, and the total is short by it. */
static void limit_has_no_room(struct kunit *test)
{
	struct balloon_plan *plan = new_plan(test);
	int nid;

	for (nid = 0; nid < NODES; nid++)
		plan->node[nid].limit = 10 * SF;
	make_plan(plan, 100 * SF, 40 * SF, 30 * SF, 20 * SF, 10 * SF);
	expect_wants(test, plan, 10 * SF, 10 * SF, 10 * SF, 10 * SF);
	KUNIT_EXPECT_EQ(test, plan->missing, 60 * SF);
	/* What the host keeps stays all the same. */
	plan->node[0].least = 40 * SF;
	make_plan(plan, 100 * SF, 40 * SF, 30 * SF, 20 * SF, 10 * SF);
	KUNIT_EXPECT_EQ(test, plan->node[0].want, 40 * SF);
	KUNIT_EXPECT_EQ(test, plan->node[1].want, 10 * SF);
}

/* A node's target that its limit forbids is met as near as can be, and by no limited node. */
static void limit_and_target(struct kunit *test)
{
	struct balloon_plan *plan = new_plan(test);

	plan->node[0].target = 50 * SF;
	plan->node[0].limit = 10 * SF;
	plan->node[1].limit = 20 * SF;
	make_plan(plan, 50 * SF, 0, 0, 0, 0);
	KUNIT_EXPECT_EQ(test, plan->node[0].want, 10 * SF);
	KUNIT_EXPECT_EQ(test, plan->node[1].want, 20 * SF);
	KUNIT_EXPECT_EQ(test, plan->node[2].want + plan->node[3].want, 20 * SF);
	KUNIT_EXPECT_EQ(test, plan->afar, 40 * SF);

	/* Others hold all of it, and the limit is lowered once more. */
	plan->node[0].limit = 0;
	make_plan(plan, 50 * SF, 10 * SF, 20 * SF, 20 * SF, 0);
	KUNIT_EXPECT_EQ(test, plan->node[0].want, 0);
	KUNIT_EXPECT_EQ(test, plan->node[1].want, 20 * SF);
	KUNIT_EXPECT_EQ(test, plan->node[2].want + plan->node[3].want, 30 * SF);
}

/* What is above a limit leaves first when the host wants less. */
static void limit_and_less(struct kunit *test)
{
	struct balloon_plan *plan = new_plan(test);

	plan->node[3].limit = 5 * SF;
	make_plan(plan, 45 * SF, 20 * SF, 20 * SF, 0, 25 * SF);
	expect_wants(test, plan, 20 * SF, 20 * SF, 0, 5 * SF);
	KUNIT_EXPECT_EQ(test, plan->extra, 0);
}

static struct kunit_case plan_cases[] = {
	KUNIT_CASE(limit_grows),
	KUNIT_CASE(limit_odd),
	KUNIT_CASE(limit_lowered),
	KUNIT_CASE(limit_has_no_room),
	KUNIT_CASE(limit_and_target),
	KUNIT_CASE(limit_and_less),
	{}
};

static struct kunit_suite plan_suite = {
	.name = "balloon_plan",
	.test_cases = plan_cases,
};

kunit_test_suite(plan_suite);
