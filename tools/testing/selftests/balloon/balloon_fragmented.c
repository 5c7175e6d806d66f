// SPDX-License-Identifier: GPL-2.0
/*
 * Fragmented memory: whole superframes come out of it all the same, nobody's
 * pages are lost on the way, and what had to become partial blocks is put
 * together by compaction.
 */
#include <numa.h>

#include "fragmented.h"

/* Half of what is free, of blocks that are three tenths in use. */
TEST_F_TIMEOUT(balloon, evacuates, LONG)
{
	const char *why = no_evacuation();
	long want, cache, remote;
	struct used u;

	if (why)
		SKIP(return, "%s", why);
	ASSERT_TRUE(use(&u, last(), BLOCKS, 154, 154, 0));
	want = half_of_free();
	cache = read_vmstat("nr_file_pages");
	remote = sum_stat("inflate_remote");
	inflate(_metadata, &u, want, 95);
	EXPECT_EQ(want, node_number(last(), "nr_pages"));
	EXPECT_EQ(remote, sum_stat("inflate_remote"));
	EXPECT_TRUE(intact(&u));
	EXPECT_EQ(u.pages, on_node(&u, last()));
	/* Nothing was dropped for it; others may come and go. */
	EXPECT_LE(cache - 64, read_vmstat("nr_file_pages"));
	EXPECT_STREQ("", broken());
	ASSERT_TRUE(set_target(0));
	EXPECT_TRUE(intact(&u));
	unuse(&u);
}

/* Blocks with a page that can't be moved are left alone. */
TEST_F_TIMEOUT(balloon, evacuates_others_than_pinned, LONG)
{
	const char *why = no_evacuation();
	struct used u;

	if (why)
		SKIP(return, "%s", why);
	ASSERT_TRUE(use(&u, last(), BLOCKS, 50, 150, 4));
	inflate(_metadata, &u, half_of_free(), 90);
	EXPECT_TRUE(intact(&u));
	EXPECT_STREQ("", broken());
	unuse(&u);
}

/* The nearest node but for one; that may be none. */
static int nearest(int nid, int but)
{
	int i, best = -1;

	for (i = 0; i < nr_nodes; i++) {
		if (nodes[i] == nid || nodes[i] == but)
			continue;
		if (best < 0 || numa_distance(nid, nodes[i]) < numa_distance(nid, best))
			best = nodes[i];
	}
	return best;
}

/*
 * A node has much free, and no superframe can be made of it: what lies farther out does not
 * come home. Nothing is given back of a nearer node for such hopes, but of the farthest.
 */
TEST_F_TIMEOUT(balloon, farthest_first_all_the_same, LONG)
{
	const char *why = no_evacuation();
	int near = nearest(last(), -1), far = nearest(last(), near);
	struct node_memory m;
	struct used u;
	long pages;

	if (nr_nodes < 3)
		SKIP(return, "needs three nodes");
	/* In one ring, both give back. */
	if (numa_distance(last(), near) == numa_distance(last(), far))
		SKIP(return, "needs nodes of two distances");
	if (why)
		SKIP(return, "%s", why);
	ASSERT_EQ(0, write_text(ALL "reclaim", "none\n"));
	ASSERT_TRUE(use(&u, last(), BLOCKS, 50, 150, 1));
	node_memory(near, &m);
	pages = m.spare * SUPERFRAME;
	node_memory(far, &m);
	pages += m.spare / 2 * SUPERFRAME;
	ASSERT_EQ(0, node_target(last(), 2 * pages));
	ASSERT_TRUE(set_target(pages));
	ASSERT_TRUE(wait_settled(20));
	pages -= node_number(far, "nr_pages");
	node_memory(last(), &m);
	TH_LOG("%ld superframes on node %d, %ld on node %d, %ld free on node %d",
	       node_number(near, "nr_pages") / SUPERFRAME, near,
	       node_number(far, "nr_pages") / SUPERFRAME, far, m.give / SUPERFRAME, last());
	EXPECT_LT(0, node_number(far, "nr_pages"));
	EXPECT_LT(16, m.give / SUPERFRAME);
	ASSERT_TRUE(set_target(pages));
	ASSERT_TRUE(wait_settled(20));
	EXPECT_EQ(0, node_number(far, "nr_pages"));
	/* Where some can be made after all, it has come home since. */
	EXPECT_EQ(pages, node_number(near, "nr_pages") + node_number(last(), "nr_pages"));
	EXPECT_STREQ("", broken());
	ASSERT_EQ(0, node_target_auto(last()));
	unuse(&u);
}

/*
 * The host refuses while blocks are evacuated: what was moved stays moved, what
 * was taken is free again, and the retry timer goes on.
 */
TEST_F_TIMEOUT(balloon, evacuates_for_a_host_that_refuses, LONG)
{
	const char *why = no_evacuation();
	struct used u;
	long want;

	if (why)
		SKIP(return, "%s", why);
	ASSERT_TRUE(use(&u, last(), BLOCKS, 100, 100, 0));
	want = half_of_free();
	ASSERT_EQ(0, node_target(last(), want));
	ASSERT_EQ(0, sim_set("refuse_inflate", 3));
	ASSERT_EQ(0, sim_set("target", want));
	EXPECT_TRUE(wait_pages(want, 60));
	ASSERT_TRUE(wait_settled(20));
	EXPECT_LE(want * 95 / 100, node_number(last(), "nr_superframes") * SUPERFRAME);
	EXPECT_TRUE(intact(&u));
	EXPECT_STREQ("", broken());
	unuse(&u);
}

/*
 * Count @whole blocks, which are all free, and @partial ones, of which some pages,
 * not all, are offline, and some others free.
 */
static bool count_blocks(long *whole, long *partial)
{
	int fd = open("/proc/kpageflags", O_RDONLY);
	static uint64_t flags[MAX_SUPERFRAME];
	const ssize_t size = SUPERFRAME * sizeof(*flags);
	long offline, free;
	int i;

	*whole = 0;
	*partial = 0;
	if (fd < 0)
		return false;
	while (read(fd, flags, size) == size) {
		for (i = 0, offline = free = 0; i < SUPERFRAME; i++) {
			offline += flags[i] >> KPF_OFFLINE & 1;
			free += flags[i] >> KPF_BUDDY & 1;
		}
		*whole += free == SUPERFRAME;
		*partial += offline && free;
	}
	close(fd);
	return true;
}

/* What is taken from whole blocks is made up for out of those in use in part. */
TEST_F_TIMEOUT(balloon, mends_what_it_took, LONG)
{
	const char *why = no_evacuation();
	long before, after, left, partial, want = 50 * SUPERFRAME;
	struct used u;
	double end;

	if (why)
		SKIP(return, "%s", why);
	/* Of every second block, one page. */
	ASSERT_TRUE(use(&u, last(), 2 * BLOCKS, 0, 1, 0));
	if (u.blocks < 60)
		SKIP(return, "the node is too small");
	limit_cpu_lists(true);
	ASSERT_TRUE(count_blocks(&before, &partial));
	inflate(_metadata, &u, want, 100);
	left = before - want / SUPERFRAME;
	end = now() + 300;
	do {
		ASSERT_TRUE(count_blocks(&after, &partial));
	} while (after < left + 40 && now() < end);
	limit_cpu_lists(false);
	TH_LOG("%ld whole blocks were free, 50 were taken, %ld are free", before, after);
	EXPECT_LE(left + 40, after);
	EXPECT_TRUE(intact(&u));
	EXPECT_EQ(u.pages, on_node(&u, last()));
	EXPECT_STREQ("", broken());
	unuse(&u);
}

/*
 * Partial blocks of any fullness, whose other pages are free later: compaction
 * fills some of them and empties the others.
 */
TEST_F_TIMEOUT(balloon, partial_blocks_are_put_together, LONG)
{
	long want, whole, blocks, few, after, migrated;
	struct node_memory m;
	struct used u;
	double end;
	int i;

	ASSERT_EQ(0, sim_enable_as("max_order", "0\n"));
	proactive_compaction(false);
	ASSERT_TRUE(use(&u, last(), BLOCKS, 12, 502, 0));
	/*
	 * All that is free is wanted, so that it has to share blocks with the program: what is
	 * on CPUs' lists, too, of which they may have an eighth of the node.
	 */
	limit_cpu_lists(true);
	node_memory(last(), &m);
	want = m.give - 2 * SUPERFRAME;
	ASSERT_EQ(0, node_target(last(), want));
	ASSERT_TRUE(set_target(want));
	ASSERT_TRUE(wait_settled(20));
	ASSERT_STREQ("", broken());
	EXPECT_TRUE(intact(&u));
	/* The kernel compacts of its own accord: the worker shall not end that yet. */
	ASSERT_EQ(0, write_number(HOLD, 1));
	unuse(&u);
	ASSERT_TRUE(count_blocks(&whole, &blocks));
	/* Each zone keeps its fullest. */
	few = blocks / 20 + nr_nodes;
	EXPECT_LE(4 * few, blocks);

	migrated = sum_stat("migrate");
	ASSERT_EQ(0, write_text("/proc/sys/vm/compact_memory", "1\n"));
	ASSERT_EQ(0, write_number(HOLD, 0));
	/* It moves from one pageblock to another. Of large ones, one may have them all. */
	if (no_evacuation() && sum_stat("migrate") == migrated) {
		limit_cpu_lists(false);
		SKIP(return, "compaction moves nothing of what is in one pageblock");
	}
	/* The worker sees to what compaction leaves. */
	end = now() + 300;
	do {
		ASSERT_TRUE(wait_settled(20));
		ASSERT_TRUE(count_blocks(&whole, &after));
	} while (after > few && now() < end);
	limit_cpu_lists(false);
	TH_LOG("%ld of %ld partial blocks are left, %ld pages moved", after, blocks,
	       sum_stat("migrate") - migrated);
	EXPECT_LE(after, few);
	EXPECT_LT(migrated, sum_stat("migrate"));
	/* What the node could not give at first lay elsewhere: it has come home, too. */
	for (i = 0; i < nr_nodes; i++)
		EXPECT_EQ(nodes[i] == last() ? want : 0, node_number(nodes[i], "nr_pages"));
	EXPECT_STREQ("", broken());
}

TEST_HARNESS_MAIN
