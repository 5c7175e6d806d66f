// SPDX-License-Identifier: GPL-2.0
/*
 * What is ballooned, to the page, and every place that says so.
 */
#include <stdio.h>
#include <stdlib.h>

#include "fixture.h"

TEST_F_TIMEOUT(balloon, every_counter_agrees, LONG)
{
	long pages = half() + 123, offline, before, blocks, kb = 0;
	int i;

	ASSERT_TRUE(offline_pages(&before, &blocks));
	ASSERT_TRUE(set_target(pages));
	ASSERT_TRUE(wait_settled(10));
	EXPECT_STREQ("", broken());
	EXPECT_EQ(pages, read_number(ALL "target"));
	EXPECT_EQ(pages, sum_pages());
	EXPECT_EQ(pages, vmstat_balloon());
	EXPECT_EQ(pages * 4, meminfo_kb("Balloon"));
	for (i = 0; i < nr_nodes; i++) {
		EXPECT_EQ(node_number(nodes[i], "nr_pages") * 4,
			  node_meminfo_kb(nodes[i], "Balloon"));
		kb += node_meminfo_kb(nodes[i], "MemTotal");
	}
	EXPECT_EQ(kb, meminfo_kb("MemTotal"));
	EXPECT_EQ(self->memtotal - pages * 4, meminfo_kb("MemTotal"));
	ASSERT_TRUE(offline_pages(&offline, &blocks));
	EXPECT_EQ(before + pages, offline);
}

TEST_F_TIMEOUT(balloon, stat_counts_what_moved, LONG)
{
	long in = sum_stat("inflate_local") + sum_stat("inflate_remote");
	long out = sum_stat("deflate_local") + sum_stat("deflate_remote");

	ASSERT_TRUE(set_target(20 * SUPERFRAME));
	EXPECT_EQ(in + 20 * SUPERFRAME, sum_stat("inflate_local") + sum_stat("inflate_remote"));
	EXPECT_EQ(out, sum_stat("deflate_local") + sum_stat("deflate_remote"));
	ASSERT_TRUE(set_target(5 * SUPERFRAME));
	EXPECT_EQ(out + 15 * SUPERFRAME, sum_stat("deflate_local") + sum_stat("deflate_remote"));
}

TEST_F_TIMEOUT(balloon, to_the_page, LONG)
{
	static const long targets[] = {
		1, 2, 511, 512, 513, 1023, 1024, 5000, 5001, 4999, 20000, 19488, 19487,
		1537, 1536, 700, 3, 0, 512 * 40 + 1, 512 * 39 + 511, 512 * 39, 1,
		30000, 30100, 30400, 30300, 30720, 30721, 31231,
	};
	long offline, blocks;
	unsigned int i, n, partial;

	for (i = 0; i < ARRAY_SIZE(targets); i++) {
		ASSERT_TRUE(set_target(targets[i]))
			TH_LOG("target %ld: %ld", targets[i], sum_pages());
		ASSERT_TRUE(wait_settled(10));
		EXPECT_EQ(targets[i], sum_pages());
		ASSERT_STREQ("", broken());
		/* One partial block at most, so pages of one node at most. */
		EXPECT_EQ(targets[i] % SUPERFRAME, sum_of("nr_partial"));
		for (n = 0, partial = 0; n < (unsigned int)nr_nodes; n++)
			partial += node_number(nodes[n], "nr_partial") > 0;
		EXPECT_GE(1, partial)
			TH_LOG("target %ld: %u partial blocks", targets[i], partial);
	}
	ASSERT_TRUE(set_target(0));
	ASSERT_TRUE(set_target(31231));
	ASSERT_TRUE(offline_pages(&offline, &blocks));
	EXPECT_EQ(1, blocks);
}

/* Nothing but whole superframes is used as long as there are any. */
TEST_F_TIMEOUT(balloon, superframes_whole, LONG)
{
	struct node_memory m;
	long pages;

	all_memory(&m);
	pages = m.spare * 9 / 10 * SUPERFRAME;
	ASSERT_TRUE(set_target(pages));
	EXPECT_GE(sum_of("nr_superframes") * SUPERFRAME, pages / 100 * 99);
	EXPECT_STREQ("", broken());
}

TEST_F_TIMEOUT(balloon, superframe_targets, LONG)
{
	long pages = 7 * SUPERFRAME;

	ASSERT_EQ(0, write_text(ALL "superframe_targets", "1\n"));
	ASSERT_EQ(0, sim_set("target", pages + 300));
	EXPECT_TRUE(wait_pages(pages, 10));
	EXPECT_TRUE(wait_settled(10));
	EXPECT_EQ(pages, sum_pages());
	EXPECT_EQ(pages + 300, read_number(ALL "target"));
	/* It applies at once, both ways. */
	ASSERT_EQ(0, write_text(ALL "superframe_targets", "0\n"));
	EXPECT_TRUE(wait_pages(pages + 300, 10));
	ASSERT_EQ(0, write_text(ALL "superframe_targets", "1\n"));
	EXPECT_TRUE(wait_pages(pages, 10));
	ASSERT_EQ(0, sim_set("target", 511));
	EXPECT_TRUE(wait_pages(0, 10));
}

/* Not to a host that waits for its target. */
TEST_F_TIMEOUT(balloon, superframe_targets_exact, LONG)
{
	ASSERT_EQ(0, sim_enable_as("exact_target", "1\n"));
	ASSERT_EQ(0, write_text(ALL "superframe_targets", "1\n"));
	EXPECT_TRUE(set_target(7 * SUPERFRAME + 300));
	EXPECT_TRUE(set_target(300));
}

TEST_F_TIMEOUT(balloon, keep_managed, LONG)
{
	long pages = half() + 5, memtotal;

	ASSERT_EQ(0, sim_enable_as("keep_managed", "1\n"));
	memtotal = meminfo_kb("MemTotal");
	ASSERT_TRUE(set_target(pages));
	ASSERT_TRUE(wait_settled(10));
	EXPECT_EQ(memtotal, meminfo_kb("MemTotal"));
	EXPECT_STREQ("", broken());
	ASSERT_TRUE(set_target(pages / 2));
	EXPECT_EQ(memtotal, meminfo_kb("MemTotal"));
}

/* A host that takes base pages only. */
TEST_F_TIMEOUT(balloon, base_pages_only, LONG)
{
	static const long targets[] = { 3, 1000, 10000, 10007, 5000, 4999, 512, 1 };
	unsigned int i;

	ASSERT_EQ(0, sim_enable_as("max_order", "0\n"));
	for (i = 0; i < ARRAY_SIZE(targets); i++) {
		ASSERT_TRUE(set_target(targets[i]));
		ASSERT_TRUE(wait_settled(10));
		ASSERT_STREQ("", broken());
		EXPECT_EQ(targets[i], sum_pages());
	}
}

TEST_F_TIMEOUT(balloon, lent_pages, LONG)
{
	long pages = 30 * SUPERFRAME + 17, offline, before, blocks, coalesce;

	ASSERT_TRUE(set_target(pages));
	ASSERT_TRUE(wait_settled(10));
	ASSERT_TRUE(offline_pages(&before, &blocks));

	ASSERT_EQ(0, sim_set("lend", 1000));
	EXPECT_EQ(1000, sim_get("lend"));
	EXPECT_EQ(1000, sum_of("nr_foreign"));
	EXPECT_EQ(pages, sum_pages());
	EXPECT_STREQ("", broken());
	EXPECT_EQ(pages - 1000, vmstat_balloon());
	ASSERT_TRUE(offline_pages(&offline, &blocks));
	EXPECT_EQ(before - 1000, offline);

	ASSERT_EQ(0, sim_set("lend", 400));
	EXPECT_EQ(400, sum_of("nr_foreign"));
	EXPECT_EQ(pages, sum_pages());
	EXPECT_STREQ("", broken());

	/* Whole blocks are superframes again when all of their pages are back. */
	coalesce = sum_stat("coalesce");
	ASSERT_EQ(0, sim_set("lend", 0));
	ASSERT_TRUE(wait_settled(10));
	EXPECT_EQ(0, sum_of("nr_foreign"));
	EXPECT_EQ(pages, sum_pages());
	EXPECT_LT(coalesce, sum_stat("coalesce"));
	EXPECT_EQ(30, sum_of("nr_superframes"));
	EXPECT_EQ(17, sum_of("nr_partial"));
	EXPECT_STREQ("", broken());
}

/* What is lent can't be given back: it counts until it is returned. */
TEST_F_TIMEOUT(balloon, lent_pages_stay, LONG)
{
	ASSERT_TRUE(set_target(10 * SUPERFRAME));
	ASSERT_EQ(0, sim_set("lend", 700));
	EXPECT_EQ(-EBUSY, sim_set("enable", 0));
	ASSERT_EQ(0, sim_set("target", 0));
	EXPECT_TRUE(wait_pages(700, 10));
	EXPECT_EQ(700, sum_of("nr_foreign"));
	EXPECT_STREQ("", broken());

	ASSERT_TRUE(set_target(2 * SUPERFRAME));
	EXPECT_EQ(700, sum_of("nr_foreign"));
	ASSERT_EQ(0, sim_set("target", 0));
	EXPECT_TRUE(wait_pages(700, 10));
	ASSERT_EQ(0, sim_set("lend", 0));
	EXPECT_TRUE(wait_pages(0, 10));
}

/* There is one balloon. */
TEST_F_TIMEOUT(balloon, enable_twice, LONG)
{
	ASSERT_TRUE(set_target(1000));
	EXPECT_EQ(0, sim_enable());
	EXPECT_EQ(1000, sum_pages());
	/* Disabling gives everything back. */
	EXPECT_EQ(0, sim_set("enable", 0));
	EXPECT_EQ(0, sum_pages());
	refresh_vmstat();
	EXPECT_EQ(0, vmstat_balloon());
	EXPECT_EQ(0, read_number(ALL "target"));
	EXPECT_EQ(-ENODEV, sim_set("target", 5));
	EXPECT_EQ(0, sim_enable());
	EXPECT_EQ(0, sim_get("held"));
}

/* A driver's device is there already: the simulated host is told so. */
TEST(busy)
{
	const char *why = unusable();

	if (why)
		SKIP(return, "%s", why);
	if (access("/sys/bus/virtio/drivers/virtio_balloon/virtio0", F_OK))
		SKIP(return, "needs a virtio balloon");
	EXPECT_EQ(-EBUSY, sim_enable());
	EXPECT_EQ(0, sim_get("enable"));
}

TEST_HARNESS_MAIN
