// SPDX-License-Identifier: GPL-2.0
/*
 * The largest machine: 1024 nodes, 16 TiB. It exists only here.
 */
#include <kunit/test.h>

#include <linux/kernfs.h>
#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/mm.h>
#include <linux/prandom.h>
#include <linux/slab.h>
#include <linux/topology.h>
#include <linux/vmstat.h>
#include <linux/xarray.h>

#include "../internal.h"

#define NODES		1024
#define MEMORY		(16ULL << 40)
#define FOLDER		8	/* nodeN/balloon/ and its files */

struct order {
	unsigned int nr;
	struct {
		int nid;
		int distance;
	} node[NODES];
};

struct machine {
	const char *name;
	int (*distance)(int from, int to);
	unsigned int step;	/* look at each so many-th node's rings */
};

static DECLARE_BITMAP(nodes, NODES);

/* A node is next to those whose number differs in one bit. */
static int hypercube(int from, int to)
{
	return LOCAL_DISTANCE + 4 * hweight32(from ^ to);
}

/* 16 racks of 8 boards of 8 nodes. */
static int racks(int from, int to)
{
	if (from == to)
		return LOCAL_DISTANCE;
	if (from / 8 == to / 8)
		return 12;
	return from / 64 == to / 64 ? 20 : 40;
}

/* Nothing is like anything, in no direction; a fixed sequence all the same. */
static int scattered(int from, int to)
{
	struct rnd_state state;

	if (from == to)
		return LOCAL_DISTANCE;
	prandom_seed_state(&state, from * NODES + to + 1);
	return LOCAL_DISTANCE + prandom_u32_state(&state) % (256 - LOCAL_DISTANCE);
}

static const struct machine machines[] = {
	{ "hypercube", hypercube, 17 },
	{ "racks", racks, 17 },
	{ "scattered", scattered, 61 },
};

static void machine_desc(const struct machine *m, char *desc)
{
	strscpy(desc, m->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(machine, machines, machine_desc);

KUNIT_DEFINE_ACTION_WRAPPER(free_rings, kfree, const void *);

static struct balloon_rings *build(struct kunit *test, const struct machine *m, int nid)
{
	struct balloon_rings *r = balloon_rings_build(nid, nodes, NODES, m->distance);

	KUNIT_ASSERT_NOT_NULL(test, r);
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, free_rings, r));
	return r;
}

/* The same without sorting: for each distance, all nodes that have it. */
static void reference(struct order *o, const struct machine *m, int nid)
{
	static u8 distance[NODES];
	int d, n;

	o->nr = 0;
	for (n = 0; n < NODES; n++)
		distance[n] = m->distance(nid, n);
	for (d = 0; d < 256; d++) {
		for (n = 0; n < NODES; n++) {
			if ((n == nid ? 0 : distance[n]) != d)
				continue;
			o->node[o->nr].nid = n;
			o->node[o->nr++].distance = distance[n];
		}
	}
}

static void scale_rings(struct kunit *test)
{
	const struct machine *m = test->param_value;
	struct order *o = kunit_kzalloc(test, sizeof(*o), GFP_KERNEL);
	unsigned int i, bad, end, rings, most = 0;
	int nid;

	KUNIT_ASSERT_NOT_NULL(test, o);
	bitmap_fill(nodes, NODES);
	for (nid = 0; nid < NODES; nid += m->step) {
		struct balloon_rings *r = build(test, m, nid);

		reference(o, m, nid);
		KUNIT_ASSERT_EQ(test, r->nr, NODES);
		for (i = 0, bad = 0; i < NODES; i++)
			bad += r->node[i].nid != o->node[i].nid ||
			       r->node[i].distance != o->node[i].distance;
		KUNIT_ASSERT_EQ_MSG(test, bad, 0, "around node %d", nid);

		for (i = 0, rings = 0; i < NODES; i = end, rings++) {
			end = balloon_ring_end(r, i);
			KUNIT_ASSERT_LE(test, end, NODES);
			/* As wide as the distance is the same; the node itself is alone. */
			KUNIT_ASSERT_EQ(test, r->node[end - 1].distance, r->node[i].distance);
			if (i && end < NODES)
				KUNIT_ASSERT_LT(test, r->node[i].distance, r->node[end].distance);
		}
		most = max(most, rings);
		kunit_release_action(test, free_rings, r);
	}
	kunit_info(test, "%u rings at most\n", most);
}

/* As many nodes at each distance as there are ways to differ in so many bits. */
static void scale_ring_sizes(struct kunit *test)
{
	static const unsigned int hypercube_rings[] = {
		1, 10, 45, 120, 210, 252, 210, 120, 45, 10, 1,
	}, rack_rings[] = { 1, 7, 56, 960 };
	static const struct {
		unsigned int machine, nr;
		const unsigned int *want;
	} of[] = {
		{ 0, ARRAY_SIZE(hypercube_rings), hypercube_rings },
		{ 1, ARRAY_SIZE(rack_rings), rack_rings },
	};
	unsigned int i, ring, first, end;

	bitmap_fill(nodes, NODES);
	for (i = 0; i < ARRAY_SIZE(of); i++) {
		struct balloon_rings *r = build(test, &machines[of[i].machine], 777);

		for (first = 0, ring = 0; first < NODES; first = end, ring++) {
			end = balloon_ring_end(r, first);
			KUNIT_ASSERT_LT(test, ring, of[i].nr);
			KUNIT_EXPECT_EQ(test, end - first, of[i].want[ring]);
		}
		KUNIT_EXPECT_EQ(test, ring, of[i].nr);
	}
}

/* nodeN/balloon/rings: every node, in its line, whatever the length. */
static void scale_text(struct kunit *test)
{
	const struct machine *m = test->param_value;
	struct balloon_rings *r;
	unsigned int first = 0, end, i, len, lines = 0, distance;
	char *text, *rest, *line, *list;
	DECLARE_BITMAP(ring, NODES);

	text = kunit_kzalloc(test, NODES * BALLOON_RINGS_TEXT + 1, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, text);
	bitmap_fill(nodes, NODES);
	r = build(test, m, 500);
	len = balloon_rings_print(r, text, NODES * BALLOON_RINGS_TEXT + 1);
	KUNIT_EXPECT_EQ(test, strlen(text), len);
	KUNIT_EXPECT_EQ(test, text[len - 1], '\n');
	text[len - 1] = '\0';

	for (rest = text; (line = strsep(&rest, "\n")); lines++, first = end) {
		KUNIT_ASSERT_LT(test, first, NODES);
		end = balloon_ring_end(r, first);
		list = strchr(line, ' ');
		KUNIT_ASSERT_NOT_NULL(test, list);
		list[-1] = '\0';
		KUNIT_ASSERT_EQ(test, kstrtouint(line, 10, &distance), 0);
		KUNIT_EXPECT_EQ(test, distance, r->node[first].distance);
		KUNIT_ASSERT_EQ(test, bitmap_parselist(list + 1, ring, NODES), 0);
		KUNIT_EXPECT_EQ(test, bitmap_weight(ring, NODES), end - first);
		for (i = first; i < end; i++)
			KUNIT_EXPECT_TRUE(test, test_bit(r->node[i].nid, ring));
	}
	KUNIT_EXPECT_EQ(test, first, NODES);
	kunit_info(test, "%u rings, %u bytes\n", lines, len);
}

KUNIT_DEFINE_ACTION_WRAPPER(free_plan, balloon_plan_free, struct balloon_plan *);

/* What a node of these machines has free and all together, in base pages. */
static unsigned long free_of(unsigned int nid)
{
	return 512 * (16 + nid % 7);
}

static unsigned long present_of(unsigned int nid)
{
	return 512 * (64 + nid % 5);
}

/*
 * A plan for a machine on which nothing is ballooned. Each @step-th node has rings of
 * its own; the others, whose rings nobody looks at, have those of node 0.
 */
static struct balloon_plan *new_plan(struct kunit *test, const struct machine *m,
				     unsigned int step)
{
	struct balloon_plan *plan = kunit_kzalloc(test, sizeof(*plan), GFP_KERNEL);
	unsigned int nid;

	KUNIT_ASSERT_NOT_NULL(test, plan);
	KUNIT_ASSERT_EQ(test, balloon_plan_alloc(plan, NODES), 0);
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, free_plan, plan), 0);
	bitmap_fill(nodes, NODES);
	for (nid = 0; nid < NODES; nid++) {
		struct balloon_plan_node *node = &plan->node[nid];

		node->target = BALLOON_TARGET_AUTO;
		node->limit = BALLOON_LIMIT_MAX;
		node->rings = nid % step ? plan->node[0].rings : build(test, m, nid);
		node->present = present_of(nid);
	}
	plan->policy = BALLOON_BALANCE;
	plan->origin = 0;
	plan->hungry = NUMA_NO_NODE;
	return plan;
}

/* What is free is used up by a plan: it is filled in for each. */
static void plan_once(struct balloon_plan *plan)
{
	unsigned int nid;

	for (nid = 0; nid < NODES; nid++) {
		struct balloon_plan_node *node = &plan->node[nid];

		node->free = free_of(nid) - min(free_of(nid), node->held);
		node->grow = node->free;
		node->move = node->free;
	}
	balloon_plan(plan);
}

static void expect_plan(struct kunit *test, const struct balloon_plan *plan)
{
	unsigned long sum = 0;
	unsigned int nid, bad = 0;

	for (nid = 0; nid < NODES; nid++) {
		sum += plan->node[nid].want;
		bad += plan->node[nid].want > free_of(nid);
	}
	KUNIT_EXPECT_EQ(test, sum, plan->goal);
	KUNIT_EXPECT_EQ(test, plan->missing, 0);
	KUNIT_EXPECT_EQ(test, plan->extra, 0);
	KUNIT_EXPECT_EQ(test, bad, 0);
}

static unsigned long free_of_all(void)
{
	unsigned long sum = 0;
	unsigned int nid;

	for (nid = 0; nid < NODES; nid++)
		sum += free_of(nid);
	return sum;
}

/*
 * One node's target, of a third of all that is free: a ring gives all it has before
 * the next gives anything.
 */
static void scale_target_order(struct kunit *test)
{
	struct balloon_plan *plan = new_plan(test, test->param_value, 60);
	const struct balloon_rings *r = plan->node[300].rings;
	unsigned long want = round_down(free_of_all() / 3, SUPERFRAME_PAGES), total = 0;
	unsigned int i, first, end;

	plan->node[300].target = want;
	plan->goal = want;
	plan_once(plan);
	expect_plan(test, plan);
	for (first = 0; first < NODES; first = end) {
		unsigned long has = 0, sum = 0;

		end = balloon_ring_end(r, first);
		for (i = first; i < end; i++) {
			has += free_of(r->node[i].nid);
			sum += plan->node[r->node[i].nid].want;
		}
		KUNIT_EXPECT_EQ(test, sum, min(has, want - total));
		total += sum;
	}
	KUNIT_EXPECT_EQ(test, total, want);
}

/* Where no node has a target, shares of free memory end up equal. */
static void scale_balance(struct kunit *test)
{
	struct balloon_plan *plan = new_plan(test, &machines[1], NODES);
	unsigned long most = 0, least = ULONG_MAX;
	unsigned int nid;

	plan->goal = free_of_all() / 2 + 77;
	plan_once(plan);
	expect_plan(test, plan);
	for (nid = 0; nid < NODES; nid++) {
		unsigned long want = plan->node[nid].want, left;

		/* In thousandths of the node. */
		left = (free_of(nid) - want) * 1000 / present_of(nid);
		most = max(most, left);
		if (want)
			least = min(least, left);
	}
	/* A superframe is one of 64. */
	KUNIT_EXPECT_LE(test, most, least + 2 * 1000 / 64 + 2);
}

static u64 time_plan(struct kunit *test, struct balloon_plan *plan)
{
	u64 best = U64_MAX, began;
	unsigned int i;

	for (i = 0; i < 3; i++) {
		began = ktime_get_ns();
		plan_once(plan);
		best = min(best, ktime_get_ns() - began);
		cond_resched();
	}
	expect_plan(test, plan);
	return best;
}

/* A target for each node: what fits on it, or twice as much on every other one. */
static void scale_plan(struct kunit *test)
{
	/* An emulated machine with all checks on is not what the limit is for. */
	u64 limit = (IS_ENABLED(CONFIG_KASAN) || IS_ENABLED(CONFIG_LOCKDEP) ? 100 : 5) *
		    NSEC_PER_MSEC;
	struct balloon_plan *plan = new_plan(test, test->param_value, 1);
	u64 fits, beyond, moves;
	unsigned int nid;

	plan->goal = 0;
	for (nid = 0; nid < NODES; nid++) {
		plan->node[nid].target = free_of(nid) - 512 * (nid % 3);
		plan->goal += plan->node[nid].target;
	}
	/* What is asked for is scaled down to the host's total. */
	plan->goal -= 12345;
	fits = time_plan(test, plan);

	plan->goal = 0;
	for (nid = 0; nid < NODES; nid++) {
		plan->node[nid].target = nid & 1 ? 0 : 2 * free_of(nid) - 512 * 16;
		plan->goal += plan->node[nid].target;
	}
	beyond = time_plan(test, plan);

	/* All that is ballooned is on the nodes that are to hold nothing. */
	plan->goal = 0;
	for (nid = 0; nid < NODES; nid++) {
		plan->node[nid].target = nid & 1 ? 0 : 512 * 16;
		plan->node[nid].held = nid & 1 ? 512 * 16 : 0;
		plan->goal += 512 * 8;
	}
	moves = time_plan(test, plan);
	for (nid = 0; nid < NODES; nid++)
		KUNIT_EXPECT_EQ(test, plan->node[nid].want, plan->node[nid].target);

	kunit_info(test, "a target on each node: %llu us; twice as much on each second: %llu us; "
		   "all moves: %llu us\n", fits / 1000, beyond / 1000, moves / 1000);
	KUNIT_EXPECT_LT(test, fits, limit);
	KUNIT_EXPECT_LT(test, beyond, limit);
	KUNIT_EXPECT_LT(test, moves, limit);
}

/* Slab pages in use, with what the cpus have not passed on yet. */
static unsigned long slab_pages(void)
{
	static const enum node_stat_item items[] = {
		NR_SLAB_RECLAIMABLE_B, NR_SLAB_UNRECLAIMABLE_B,
	};
	unsigned long pages = 0;
	int nid, i;

	for_each_online_node(nid) {
		pg_data_t *pgdat = NODE_DATA(nid);

		for (i = 0; i < ARRAY_SIZE(items); i++) {
			pages += atomic_long_read(&pgdat->vm_stat[items[i]]);
#ifdef CONFIG_SMP
			int cpu;

			for_each_online_cpu(cpu)
				pages += per_cpu_ptr(pgdat->per_cpu_nodestats,
						     cpu)->vm_node_stat_diff[items[i]];
#endif
		}
	}
	return pages;
}

/* Nodes of an xarray with @nr entries side by side, the last one at @last. */
static unsigned long xa_nodes(unsigned long last, unsigned long nr)
{
	unsigned long first = last - nr + 1, sum = 0;

	for (; last; first >>= XA_CHUNK_SHIFT, last >>= XA_CHUNK_SHIFT)
		sum += (last >> XA_CHUNK_SHIFT) - (first >> XA_CHUNK_SHIFT) + 1;
	return sum;
}

#define SAMPLE	8192UL

/* What a block costs in truth, in slab pages: the last 16 GiB of the machine. */
static u64 block_cost(struct kunit *test)
{
	unsigned long index, end = MEMORY >> (SUPERFRAME_ORDER + PAGE_SHIFT), before;
	struct xarray sample;
	u64 cost;

	xa_init(&sample);
	before = slab_pages();
	for (index = end - SAMPLE; index < end; index++) {
		struct balloon_block *block = kzalloc(sizeof(*block), GFP_KERNEL);

		if (!block || xa_err(xa_store(&sample, index, block, GFP_KERNEL))) {
			kfree(block);
			break;
		}
	}
	cost = (u64)(slab_pages() - before) << PAGE_SHIFT;
	KUNIT_EXPECT_EQ(test, index, end);
	for (index = end - SAMPLE; index < end; index++)
		kfree(xa_load(&sample, index));
	xa_destroy(&sample);
	return div64_u64(cost, SAMPLE);
}

static void expect_below(struct kunit *test, const char *what, u64 bytes)
{
	/* In millionths of a percent. */
	u64 part = div64_u64(bytes * 100, MEMORY / 1000000);

	kunit_info(test, "%s: %llu KiB, 0.%06llu %% of 16 TiB\n", what, bytes >> 10, part);
	/* 0.01 % */
	KUNIT_EXPECT_LE(test, part, 10000);
}

/* All that is kept, by the sizes of what is really allocated. */
static void scale_memory(struct kunit *test)
{
	u64 node, rings, folder, fixed, planned, block, tree, measured;
	unsigned long blocks = MEMORY >> (SUPERFRAME_ORDER + PAGE_SHIFT);
	struct balloon_rings *r;

	if (SUPERFRAME_PAGES < 512 || !IS_ENABLED(CONFIG_64BIT))
		kunit_skip(test, "no machine of this kind is that large");

	bitmap_fill(nodes, NODES);
	r = build(test, &machines[0], 0);
	node = kmalloc_size_roundup(sizeof(struct balloon_node));
	rings = kmalloc_size_roundup(struct_size(r, node, r->nr));
	folder = FOLDER * sizeof(struct kernfs_node);
	/* balloon_nodes; extents of a batch; a plan. */
	planned = sizeof(struct balloon_plan_node) + sizeof(unsigned long) +
		  sizeof(struct balloon_share) + sizeof(unsigned short);
	fixed = NODES * (sizeof(void *) + planned) +
		BALLOON_BATCH_PAGES * sizeof(struct balloon_extent);
	block = kmalloc_size_roundup(sizeof(struct balloon_block));
	tree = xa_nodes(blocks - 1, blocks) * sizeof(struct xa_node);

	kunit_info(test, "a node: %llu bytes, its rings: %llu, its folder: %llu, in the plan: %llu; "
		   "a block: %llu, with its part of the tree: %llu\n", node, rings, folder, planned,
		   block, block + div64_u64(tree, blocks));

	fixed += NODES * (node + rings + folder);
	/* Superframes are linked by their pages: they cost nothing. */
	expect_below(test, "idle, or all in superframes", fixed);
	fixed += blocks * block + tree;
	expect_below(test, "with a page of each block as well", fixed);

	measured = block_cost(test);
	kunit_info(test, "a block by what slabs grew: %llu bytes\n", measured);
	tree = xa_nodes(blocks - 1, SAMPLE) * sizeof(struct xa_node);
	block += div64_u64(tree, SAMPLE);
	/* Slabs may have had room for some. */
	KUNIT_EXPECT_GE(test, measured + measured / 8, block);
	/* KASAN keeps more with each object. */
	if (!IS_ENABLED(CONFIG_KASAN_GENERIC))
		KUNIT_EXPECT_LE(test, measured, block + block / 8);
}

static struct kunit_case scale_cases[] = {
	KUNIT_CASE_PARAM(scale_rings, machine_gen_params),
	KUNIT_CASE(scale_ring_sizes),
	KUNIT_CASE_PARAM(scale_text, machine_gen_params),
	KUNIT_CASE_PARAM(scale_target_order, machine_gen_params),
	KUNIT_CASE(scale_balance),
	KUNIT_CASE_PARAM(scale_plan, machine_gen_params),
	KUNIT_CASE(scale_memory),
	{}
};

static struct kunit_suite scale_suite = {
	.name = "balloon_scale",
	.test_cases = scale_cases,
};

kunit_test_suite(scale_suite);
