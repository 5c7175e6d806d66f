// SPDX-License-Identifier: GPL-2.0
/*
 * Compaction moves ballooned base pages: every count follows, no total changes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fixture.h"
#include "memory.h"

/*
 * Leave node @nid with hardly a block that is whole: use @share percent of what
 * is free there, and free every other page.
 */
static char *fragment(int nid, int share, size_t *bytes)
{
	struct node_memory m;
	char *p;
	size_t i;

	node_memory(nid, &m);
	*bytes = m.free * share / 100 * PAGE;
	p = map(*bytes, nid, MADV_NOHUGEPAGE);
	if (!p)
		return NULL;
	for (i = 0; i < *bytes; i += PAGE)
		*(size_t *)(p + i) = i;
	for (i = 0; i < *bytes; i += 2 * PAGE)
		madvise(p + i, PAGE, MADV_DONTNEED);
	return p;
}

static bool untouched(const char *p, size_t bytes)
{
	size_t i;

	for (i = PAGE; i < bytes; i += 2 * PAGE)
		if (*(const size_t *)(p + i) != i)
			return false;
	return true;
}

static void compact(void)
{
	write_text("/proc/sys/vm/compact_memory", "1\n");
}

TEST_F_TIMEOUT(balloon, compaction, LONG)
{
	int nid = nodes[nr_nodes - 1];
	long pages, migrated, events, moved;
	struct node_memory m;
	size_t bytes;
	char *p;

	/* Base pages, of whatever is left of the node. */
	ASSERT_EQ(0, sim_enable_as("max_order", "0\n"));
	p = fragment(nid, 70, &bytes);
	ASSERT_NE(NULL, p);
	node_memory(nid, &m);
	pages = m.give * 9 / 10;
	ASSERT_EQ(0, node_target(nid, pages));
	ASSERT_TRUE(set_target(pages));
	ASSERT_TRUE(wait_settled(20));
	ASSERT_STREQ("", broken());
	TH_LOG("%ld pages, %ld of them in partial blocks", pages, sum_of("nr_partial"));
	EXPECT_LE(10 * SUPERFRAME, sum_of("nr_partial"));
	EXPECT_TRUE(untouched(p, bytes));

	/* As soon as there is room, others may have some of it compacted. */
	migrated = sum_stat("migrate");
	events = balloon_events();
	moved = read_vmstat("balloon_migrate");
	munmap(p, bytes);
	compact();
	ASSERT_TRUE(wait_settled(20));
	TH_LOG("%ld pages migrated", sum_stat("migrate") - migrated);
	EXPECT_LT(migrated, sum_stat("migrate"));
	EXPECT_EQ(pages, sum_pages());
	EXPECT_STREQ("", broken());
	/* A page that is replaced has left, and another one has entered. */
	EXPECT_EQ(events, balloon_events());
	EXPECT_LT(moved, read_vmstat("balloon_migrate"));

	/* Emptiest first: what was nearly whole is whole again for the guest. */
	ASSERT_TRUE(set_target(pages / 2));
	compact();
	ASSERT_TRUE(wait_settled(20));
	EXPECT_EQ(pages / 2, sum_pages());
	EXPECT_STREQ("", broken());
	node_target_auto(nid);
}

/* The host refuses while compaction runs: nothing is lost. */
TEST_F_TIMEOUT(balloon, compaction_refused, LONG)
{
	int nid = nodes[nr_nodes - 1];
	struct node_memory m;
	size_t bytes;
	long pages;
	char *p;

	ASSERT_EQ(0, sim_enable_as("max_order", "0\n"));
	p = fragment(nid, 60, &bytes);
	ASSERT_NE(NULL, p);
	node_memory(nid, &m);
	pages = m.give * 9 / 10;
	ASSERT_EQ(0, node_target(nid, pages));
	ASSERT_TRUE(set_target(pages));
	ASSERT_TRUE(wait_settled(20));
	munmap(p, bytes);

	/* It takes nothing. */
	ASSERT_EQ(0, sim_set("refuse_inflate", 200));
	compact();
	ASSERT_EQ(0, sim_set("refuse_inflate", 0));
	EXPECT_TRUE(wait_pages(pages, 10));
	EXPECT_TRUE(wait_settled(10));
	EXPECT_STREQ("", broken());

	/* It takes the new frame and keeps the old: the worker brings one back. */
	ASSERT_EQ(0, sim_set("refuse_deflate", 50));
	compact();
	ASSERT_EQ(0, sim_set("refuse_deflate", 0));
	EXPECT_TRUE(wait_pages(pages, 20));
	EXPECT_TRUE(wait_settled(10));
	EXPECT_STREQ("", broken());
	node_target_auto(nid);
}

/* The balloon is filled, moved about and emptied while compaction goes on. */
TEST_F_TIMEOUT(balloon, compaction_all_along, LONG)
{
	long most = half() / 2;
	int child, status, i;

	child = fork();
	ASSERT_LE(0, child);
	if (!child)
		for (;;)
			compact();

	for (i = 0; i < 10; i++)
		ASSERT_TRUE(set_target(random() % most));
	kill(child, SIGKILL);
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_TRUE(wait_settled(10));
	EXPECT_STREQ("", broken());
}

TEST_HARNESS_MAIN
