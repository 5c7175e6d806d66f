// SPDX-License-Identifier: GPL-2.0
/*
 * What is ballooned, to the page, and every place that says so.
 */
#include <stdio.h>
#include <stdlib.h>

#include "fixture.h"

TEST_F_TIMEOUT(balloon, every_counter_agrees, LONG)
{
	long pages = half() + scaled(123), offline, before, blocks, kb = 0;
	int i;

	ASSERT_TRUE(offline_pages(&before, &blocks));
	ASSERT_TRUE(set_target(pages));
	ASSERT_TRUE(wait_settled(10));
	EXPECT_STREQ("", broken());
	EXPECT_EQ(pages, read_number(ALL "target"));
	EXPECT_EQ(pages, sum_pages());
	EXPECT_EQ(pages, vmstat_balloon());
	EXPECT_EQ(kib(pages), meminfo_kb("Balloon"));
	for (i = 0; i < nr_nodes; i++) {
		EXPECT_EQ(kib(node_number(nodes[i], "nr_pages")),
			  node_meminfo_kb(nodes[i], "Balloon"));
		kb += node_meminfo_kb(nodes[i], "MemTotal");
	}
	EXPECT_EQ(kb, meminfo_kb("MemTotal"));
	EXPECT_EQ(self->memtotal - kib(pages), meminfo_kb("MemTotal"));
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
	const long sf = SUPERFRAME, odd = 61 * sf - 1;
	const long targets[] = {
		1, 2, sf - 1, sf, sf + 1, 2 * sf - 1, 2 * sf, scaled(5000), scaled(5000) + 1,
		scaled(5000) - 1, scaled(20000), scaled(19488), scaled(19488) - 1,
		3 * sf + 1, 3 * sf, scaled(700), 3, 0, sf * 40 + 1, sf * 39 + sf - 1, sf * 39, 1,
		scaled(30000), scaled(30100), scaled(30400), scaled(30300), 60 * sf, 60 * sf + 1,
		odd,
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
	ASSERT_TRUE(set_target(odd));
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
	long pages = 7 * SUPERFRAME, more = scaled(300);

	ASSERT_EQ(0, write_text(ALL "superframe_targets", "1\n"));
	ASSERT_EQ(0, sim_set("target", pages + more));
	EXPECT_TRUE(wait_pages(pages, 10));
	EXPECT_TRUE(wait_settled(10));
	EXPECT_EQ(pages, sum_pages());
	EXPECT_EQ(pages + more, read_number(ALL "target"));
	/* It applies at once, both ways. */
	ASSERT_EQ(0, write_text(ALL "superframe_targets", "0\n"));
	EXPECT_TRUE(wait_pages(pages + more, 10));
	ASSERT_EQ(0, write_text(ALL "superframe_targets", "1\n"));
	EXPECT_TRUE(wait_pages(pages, 10));
	ASSERT_EQ(0, sim_set("target", SUPERFRAME - 1));
	EXPECT_TRUE(wait_pages(0, 10));
}

/* Not to a host that waits for its target. */
TEST_F_TIMEOUT(balloon, superframe_targets_exact, LONG)
{
	ASSERT_EQ(0, sim_enable_as("exact_target", "1\n"));
	ASSERT_EQ(0, write_text(ALL "superframe_targets", "1\n"));
	EXPECT_TRUE(set_target(7 * SUPERFRAME + scaled(300)));
	EXPECT_TRUE(set_target(scaled(300)));
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
	const long targets[] = {
		3, scaled(1000), scaled(10000), scaled(10000) + 7, scaled(5000), scaled(5000) - 1,
		SUPERFRAME, 1,
	};
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
	long pages = 30 * SUPERFRAME + 17, lent = scaled(1000), fewer = scaled(400);
	long offline, before, blocks, coalesce;

	ASSERT_TRUE(set_target(pages));
	ASSERT_TRUE(wait_settled(10));
	ASSERT_TRUE(offline_pages(&before, &blocks));

	ASSERT_EQ(0, sim_set("lend", lent));
	EXPECT_EQ(lent, sim_get("lend"));
	EXPECT_EQ(lent, sum_of("nr_foreign"));
	EXPECT_EQ(pages, sum_pages());
	EXPECT_STREQ("", broken());
	EXPECT_EQ(pages - lent, vmstat_balloon());
	ASSERT_TRUE(offline_pages(&offline, &blocks));
	EXPECT_EQ(before - lent, offline);

	ASSERT_EQ(0, sim_set("lend", fewer));
	EXPECT_EQ(fewer, sum_of("nr_foreign"));
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
	long lent = scaled(700);

	ASSERT_TRUE(set_target(10 * SUPERFRAME));
	ASSERT_EQ(0, sim_set("lend", lent));
	EXPECT_EQ(-EBUSY, sim_set("enable", 0));
	ASSERT_EQ(0, sim_set("target", 0));
	EXPECT_TRUE(wait_pages(lent, 10));
	EXPECT_EQ(lent, sum_of("nr_foreign"));
	EXPECT_STREQ("", broken());

	ASSERT_TRUE(set_target(2 * SUPERFRAME));
	EXPECT_EQ(lent, sum_of("nr_foreign"));
	ASSERT_EQ(0, sim_set("target", 0));
	EXPECT_TRUE(wait_pages(lent, 10));
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
