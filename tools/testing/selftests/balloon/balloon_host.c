// SPDX-License-Identifier: GPL-2.0
/*
 * A host that refuses, errs, lies or is slow.
 */
#include <stdio.h>
#include <stdlib.h>

#include "fixture.h"

#define ALWAYS		4294967295L

static long retries(void)
{
	return read_number(ALL "retries");
}

/* Nothing is taken; it is tried again until it is. */
TEST_F_TIMEOUT(balloon, inflate_refused, LONG)
{
	long before = retries();

	ASSERT_EQ(0, sim_set("refuse_inflate", ALWAYS));
	ASSERT_EQ(0, sim_set("target", 5000));
	sleep(2);
	EXPECT_EQ(0, sum_pages());
	EXPECT_LE(before + 1, retries());
	EXPECT_GE(before + 3, retries());
	EXPECT_STREQ("", broken());
	/* The next attempt is at most twice as far away as the last one was. */
	ASSERT_EQ(0, sim_set("refuse_inflate", 0));
	EXPECT_TRUE(wait_pages(5000, 6));
	before = retries();
	sleep(2);
	EXPECT_EQ(before, retries());
}

TEST_F_TIMEOUT(balloon, deflate_refused, LONG)
{
	long before;

	ASSERT_TRUE(set_target(5000));
	ASSERT_TRUE(wait_settled(10));
	before = retries();
	ASSERT_EQ(0, sim_set("refuse_deflate", ALWAYS));
	ASSERT_EQ(0, sim_set("target", 0));
	sleep(2);
	EXPECT_EQ(5000, sum_pages());
	EXPECT_LE(before + 1, retries());
	EXPECT_GE(before + 3, retries());
	EXPECT_STREQ("", broken());
	ASSERT_EQ(0, sim_set("refuse_deflate", 0));
	EXPECT_TRUE(wait_pages(0, 6));
}

/* 1 s, 2 s, 4 s, ...; a new target starts at once, and from 1 s again. */
TEST_F_TIMEOUT(balloon, retries_back_off, LONG)
{
	long before = retries();

	ASSERT_EQ(0, sim_set("refuse_inflate", ALWAYS));
	ASSERT_EQ(0, sim_set("target", SUPERFRAME));
	/* At 0, 1, 3, 7 s; the next would be at 15 s. */
	sleep(10);
	EXPECT_LE(before + 3, retries());
	EXPECT_GE(before + 4, retries());
	EXPECT_EQ(0, sum_pages());

	ASSERT_EQ(0, sim_set("refuse_inflate", 0));
	EXPECT_EQ(0, sum_pages());
	ASSERT_EQ(0, sim_set("target", 2 * SUPERFRAME));
	EXPECT_TRUE(wait_pages(2 * SUPERFRAME, 2));
	EXPECT_STREQ("", broken());
}

/* What was granted is kept, and the rest tried again. */
TEST_F_TIMEOUT(balloon, short_answers, LONG)
{
	long pages = 100 * SUPERFRAME, last = 0, now_pages;
	double end;

	ASSERT_EQ(0, sim_set("short", 40));
	ASSERT_EQ(0, sim_set("target", pages));
	end = now() + 20;
	while (last != pages && now() < end) {
		now_pages = sum_pages();
		EXPECT_LE(last, now_pages);
		/* Never more at a time than the host takes. */
		EXPECT_EQ(0, now_pages % SUPERFRAME);
		last = now_pages;
		usleep(50000);
	}
	EXPECT_EQ(pages, sum_pages());
	EXPECT_STREQ("", broken());

	ASSERT_EQ(0, sim_set("target", 20 * SUPERFRAME));
	EXPECT_TRUE(wait_pages(20 * SUPERFRAME, 20));
	EXPECT_STREQ("", broken());
}

TEST_F_TIMEOUT(balloon, partial_success_kept, LONG)
{
	long granted;

	ASSERT_EQ(0, sim_set("short", 10));
	ASSERT_EQ(0, sim_set("target", 100 * SUPERFRAME));
	ASSERT_TRUE(wait_settled(10));
	granted = sum_pages();
	EXPECT_LE(10 * SUPERFRAME, granted);
	/* From now on it grants nothing. */
	ASSERT_EQ(0, sim_set("refuse_inflate", ALWAYS));
	granted = sum_pages();
	sleep(3);
	EXPECT_EQ(granted, sum_pages());
	EXPECT_STREQ("", broken());
	ASSERT_EQ(0, sim_set("short", 0));
	ASSERT_EQ(0, sim_set("refuse_inflate", 0));
	EXPECT_TRUE(wait_pages(100 * SUPERFRAME, 10));
}

TEST_F_TIMEOUT(balloon, errors, LONG)
{
	ASSERT_EQ(0, sim_set("fail", 1));
	ASSERT_EQ(0, sim_set("target", 3000));
	EXPECT_TRUE(wait_pages(3000, 5));
	EXPECT_STREQ("", broken());

	ASSERT_EQ(0, sim_set("fail", 2));
	ASSERT_EQ(0, sim_set("target", 100));
	EXPECT_TRUE(wait_pages(100, 8));
	EXPECT_STREQ("", broken());
}

/* More than it was asked for can't be true, and does no harm. */
TEST_F_TIMEOUT(balloon, false_answers, LONG)
{
	static const long lies[] = { 1, 1000, 4000000000 };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(lies); i++) {
		ASSERT_EQ(0, sim_set("lie", lies[i]));
		EXPECT_TRUE(set_target(20 * SUPERFRAME + 100));
		ASSERT_TRUE(wait_settled(10));
		ASSERT_STREQ("", broken());
		EXPECT_TRUE(set_target(3));
		ASSERT_TRUE(wait_settled(10));
		ASSERT_STREQ("", broken());
	}
}

/* The host has no memory for one node: the others do not wait for it. */
TEST_F_TIMEOUT(balloon, one_node_short, LONG)
{
	long pages = (nr_nodes + 2) * 20 * SUPERFRAME, stuck;
	int i;

	if (nr_nodes < 2)
		SKIP(return, "needs two nodes");
	/* It is also the one that needs memory most: it is asked for first. */
	for (i = 0; i < nr_nodes; i++)
		ASSERT_EQ(0, node_target(nodes[i], (i == 1 ? 60 : 20) * SUPERFRAME));
	ASSERT_TRUE(set_target(pages));
	ASSERT_TRUE(wait_settled(10));
	for (i = 0; i < nr_nodes; i++)
		ASSERT_EQ(0, node_target_auto(nodes[i]));
	stuck = node_number(nodes[1], "nr_pages");
	ASSERT_EQ(60 * SUPERFRAME, stuck);

	/* Part of what the node had comes back. */
	ASSERT_EQ(0, sim_free(nodes[1], 5 * SUPERFRAME));
	stuck -= 5 * SUPERFRAME;
	ASSERT_EQ(0, sim_set("target", 0));
	EXPECT_TRUE(wait_pages(stuck, 20))
		TH_LOG("%ld pages, %ld of them stuck", sum_pages(), stuck);
	EXPECT_EQ(stuck, node_number(nodes[1], "nr_pages"));
	EXPECT_STREQ("", broken());
	ASSERT_EQ(0, sim_free(nodes[1], -1));
	EXPECT_TRUE(wait_pages(0, 40));
}

/* The target changes while the host is busy: the last one counts. */
TEST_F_TIMEOUT(balloon, slow_host, LONG)
{
	int i;

	ASSERT_EQ(0, sim_set("delay_ms", 30));
	for (i = 0; i < 60; i++) {
		ASSERT_EQ(0, sim_set("target", random() % (100 * SUPERFRAME)));
		usleep(random() % 100000);
	}
	EXPECT_TRUE(set_target(12345));
	EXPECT_TRUE(wait_settled(10));
	EXPECT_STREQ("", broken());
}

/* Ten targets a second, no host call waited for. */
TEST_F_TIMEOUT(balloon, restless_host, LONG)
{
	long most = half();
	int i;

	for (i = 0; i < 50; i++) {
		ASSERT_EQ(0, sim_set("target", i & 1 ? most : 0));
		usleep(100000);
	}
	EXPECT_TRUE(set_target(777));
	EXPECT_TRUE(wait_settled(10));
	EXPECT_STREQ("", broken());
}

/* It asks for more than there is: what can be spared is taken, and nobody is killed. */
TEST_F_TIMEOUT(balloon, beyond_memory, LONG)
{
	struct node_memory m;
	long killed = read_vmstat("oom_kill");

	all_memory(&m);
	ASSERT_EQ(0, sim_set("target", m.present * 4));
	sleep(8);
	EXPECT_LE(m.spare * SUPERFRAME, sum_pages());
	EXPECT_GT(m.present, sum_pages());
	EXPECT_EQ(killed, read_vmstat("oom_kill"));
	EXPECT_TRUE(set_target(1000));
	EXPECT_TRUE(wait_settled(10));
	EXPECT_STREQ("", broken());
}

/* The backend goes while the balloon is full: everything is given back. */
TEST_F_TIMEOUT(balloon, disabled_while_inflating, LONG)
{
	ASSERT_EQ(0, sim_set("delay_ms", 20));
	ASSERT_EQ(0, sim_set("target", half()));
	usleep(300000);
	EXPECT_EQ(0, sim_set("enable", 0));
	EXPECT_EQ(0, sum_pages());
	refresh_vmstat();
	EXPECT_EQ(0, vmstat_balloon());
	ASSERT_EQ(0, sim_set("delay_ms", 0));
	EXPECT_EQ(0, sim_enable());
}

TEST_HARNESS_MAIN
