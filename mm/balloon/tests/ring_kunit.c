// SPDX-License-Identifier: GPL-2.0
/*
 * Distance rings, of machines that exist only here.
 */
#include <kunit/test.h>

#include <linux/bitmap.h>
#include <linux/prandom.h>
#include <linux/topology.h>

#include "../internal.h"

#define MAX_MACHINE	1024

/* The machine of the test that runs: it may have more nodes than this kernel can. */
static DECLARE_BITMAP(nodes, MAX_MACHINE);
static const u8 (*matrix)[4];
static struct rnd_state rnd;

static int from_matrix(int from, int to)
{
	return matrix[from][to];
}

KUNIT_DEFINE_ACTION_WRAPPER(free_rings, kfree, const void *);

static struct balloon_rings *build(struct kunit *test, int nid,
				   int (*distance)(int from, int to))
{
	struct balloon_rings *r = balloon_rings_build(nid, nodes, MAX_MACHINE, distance);

	KUNIT_ASSERT_NOT_NULL(test, r);
	KUNIT_ASSERT_EQ(test, r->nr, bitmap_weight(nodes, MAX_MACHINE));
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, free_rings, r));
	return r;
}

/* Compare rings with @want: node numbers, nearest first, '|' between rings. */
static void expect_rings(struct kunit *test, int nid, const char *want)
{
	struct balloon_rings *r = build(test, nid, from_matrix);
	unsigned int first, end, i, len = 0;
	char have[64] = "";

	for (first = 0; first < r->nr; first = end) {
		end = balloon_ring_end(r, first);
		KUNIT_ASSERT_GT(test, end, first);
		KUNIT_ASSERT_LE(test, end, r->nr);
		if (first)
			len += scnprintf(have + len, sizeof(have) - len, "|");
		for (i = first; i < end; i++) {
			len += scnprintf(have + len, sizeof(have) - len, "%u", r->node[i].nid);
			KUNIT_EXPECT_EQ(test, r->node[i].distance,
					from_matrix(nid, r->node[i].nid));
		}
	}
	KUNIT_EXPECT_STREQ_MSG(test, have, want, "rings of node %d", nid);
}

static void first_nodes(unsigned int nr)
{
	bitmap_zero(nodes, MAX_MACHINE);
	bitmap_set(nodes, 0, nr);
}

static void ring_symmetric(struct kunit *test)
{
	static const u8 square[4][4] = {
		{ 10, 16, 22, 28 },
		{ 16, 10, 28, 22 },
		{ 22, 28, 10, 16 },
		{ 28, 22, 16, 10 },
	};

	first_nodes(4);
	matrix = square;
	expect_rings(test, 0, "0|1|2|3");
	expect_rings(test, 1, "1|0|3|2");
	expect_rings(test, 2, "2|3|0|1");
	expect_rings(test, 3, "3|2|1|0");
}

static void ring_asymmetric(struct kunit *test)
{
	static const u8 oneway[4][4] = {
		{ 10, 40, 20, 30 },
		{ 11, 10, 13, 12 },
		{ 90, 80, 10, 70 },
		{ 20, 30, 40, 10 },
	};

	first_nodes(4);
	/* What counts is the distance from the node, not to it. */
	matrix = oneway;
	expect_rings(test, 0, "0|2|3|1");
	expect_rings(test, 1, "1|0|3|2");
	expect_rings(test, 2, "2|3|1|0");
	expect_rings(test, 3, "3|0|1|2");
}

static void ring_ties(struct kunit *test)
{
	static const u8 ties[4][4] = {
		{ 10, 20, 20, 20 },
		{ 30, 10, 20, 20 },
		{ 20, 20, 10, 30 },
		{ 20, 30, 20, 10 },
	};

	first_nodes(4);
	matrix = ties;
	expect_rings(test, 0, "0|123");
	expect_rings(test, 1, "1|23|0");
	expect_rings(test, 2, "2|01|3");
	expect_rings(test, 3, "3|02|1");
}

/* Firmware may call any distance local: the node itself is still ring 0. */
static void ring_self_first(struct kunit *test)
{
	static const u8 near[4][4] = {
		{ 10, 10, 10, 10 },
		{ 10, 10, 10, 20 },
		{ 20, 15, 20, 20 },
		{ 10, 10, 20, 40 },
	};

	first_nodes(4);
	matrix = near;
	expect_rings(test, 0, "0|123");
	expect_rings(test, 1, "1|02|3");
	expect_rings(test, 2, "2|1|03");
	expect_rings(test, 3, "3|01|2");
}

static void ring_memoryless(struct kunit *test)
{
	static const u8 some[4][4] = {
		{ 10, 20, 30, 40 },
		{ 20, 10, 10, 10 },
		{ 30, 20, 10, 20 },
		{ 40, 30, 20, 10 },
	};

	first_nodes(4);
	matrix = some;
	__clear_bit(1, nodes);
	expect_rings(test, 0, "0|2|3");
	expect_rings(test, 2, "2|3|0");
	expect_rings(test, 3, "3|2|0");
	/* The node in the middle is not in its own rings, and no other is alone. */
	expect_rings(test, 1, "23|0");

	bitmap_zero(nodes, MAX_MACHINE);
	expect_rings(test, 0, "");
	__set_bit(3, nodes);
	expect_rings(test, 0, "3");
	expect_rings(test, 3, "3");
}

/* A different distance for every pair, in both directions, but few enough for ties. */
static int random_distance(int from, int to)
{
	struct rnd_state state;

	if (from == to)
		return LOCAL_DISTANCE;
	prandom_seed_state(&state, ((u64)from << 32) + to + 1);
	return LOCAL_DISTANCE + prandom_u32_state(&state) % 40;
}

static void expect_sorted(struct kunit *test, int nid)
{
	struct balloon_rings *r = build(test, nid, random_distance);
	DECLARE_BITMAP(seen, MAX_MACHINE) = { };
	unsigned int first, end, i;
	int last = -1;

	if (test_bit(nid, nodes)) {
		KUNIT_ASSERT_EQ(test, r->node[0].nid, nid);
		KUNIT_ASSERT_EQ(test, balloon_ring_end(r, 0), 1);
	}
	for (first = 0; first < r->nr; first = end) {
		end = balloon_ring_end(r, first);
		KUNIT_ASSERT_GT(test, end, first);
		KUNIT_ASSERT_LE(test, end, r->nr);
		/* Rings never touch, but for the first: others may be as near as the node. */
		if (first > 1)
			KUNIT_ASSERT_GT(test, (int)r->node[first].distance, last);
		last = r->node[first].distance;
		for (i = first; i < end; i++) {
			int n = r->node[i].nid;

			KUNIT_ASSERT_EQ(test, r->node[i].distance, last);
			KUNIT_ASSERT_EQ(test, last, random_distance(nid, n));
			KUNIT_ASSERT_FALSE(test, __test_and_set_bit(n, seen));
			if (i > first)
				KUNIT_ASSERT_GT(test, n, (int)r->node[i - 1].nid);
		}
	}
	KUNIT_EXPECT_TRUE(test, bitmap_equal(seen, nodes, MAX_MACHINE));
}

static const unsigned int machine_sizes[] = { 1, 2, 3, 8, 64, 256, MAX_MACHINE };

static void size_desc(const unsigned int *nr, char *desc)
{
	sprintf(desc, "%u nodes", *nr);
}

KUNIT_ARRAY_PARAM(size, machine_sizes, size_desc);

static void ring_sizes(struct kunit *test)
{
	unsigned int nr = *(const unsigned int *)test->param_value, n, round;

	first_nodes(nr);
	expect_sorted(test, 0);
	expect_sorted(test, nr / 2);
	expect_sorted(test, nr - 1);

	prandom_seed_state(&rnd, nr);
	for (round = 0; round < 8; round++) {
		bitmap_zero(nodes, MAX_MACHINE);
		for (n = 0; n < nr; n++)
			if (prandom_u32_state(&rnd) & 1)
				__set_bit(n, nodes);
		expect_sorted(test, prandom_u32_state(&rnd) % nr);
	}
}

/* What this machine's nodes have. */
static void ring_live(struct kunit *test)
{
	struct balloon_node *bn;
	int nid;

	for_each_balloon_node(bn, nid) {
		struct balloon_rings *r;
		unsigned int nr = 0;
		int first = -1;

		rcu_read_lock();
		r = rcu_dereference(bn->rings);
		if (r && r->nr) {
			nr = r->nr;
			first = r->node[0].nid;
		}
		rcu_read_unlock();

		KUNIT_EXPECT_EQ(test, nr, num_node_state(N_MEMORY));
		if (node_state(nid, N_MEMORY))
			KUNIT_EXPECT_EQ(test, first, nid);
	}
}

static struct kunit_case ring_cases[] = {
	KUNIT_CASE(ring_symmetric),
	KUNIT_CASE(ring_asymmetric),
	KUNIT_CASE(ring_ties),
	KUNIT_CASE(ring_self_first),
	KUNIT_CASE(ring_memoryless),
	KUNIT_CASE_PARAM(ring_sizes, size_gen_params),
	KUNIT_CASE(ring_live),
	{}
};

static struct kunit_suite ring_suite = {
	.name = "balloon_ring",
	.test_cases = ring_cases,
};

kunit_test_suite(ring_suite);
