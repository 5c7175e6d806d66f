// SPDX-License-Identifier: GPL-2.0
/*
 * Which nodes give and get back: rings, targets of nodes, policies.
 */
#define _GNU_SOURCE
#include <numa.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fixture.h"
#include "memory.h"

#define MAX_RINGS	64

/* Read "1,3-5". Returns how many numbers there are. */
static int parse_list(const char *text, int *list, int max)
{
	int nr = 0, from, to, n;

	while (sscanf(text, "%d%n", &from, &n) == 1) {
		text += n;
		to = from;
		if (*text == '-' && sscanf(++text, "%d%n", &to, &n) == 1)
			text += n;
		while (from <= to && nr < max)
			list[nr++] = from++;
		if (*text == ',')
			text++;
	}
	return nr;
}

struct ring {
	int distance;
	int nr;
	int nid[MAX_NODES];
};

static int read_rings(int nid, struct ring *ring)
{
	static char buf[4096];
	char *line, *colon;
	int nr = 0;

	if (read_text(node_path(nid, "rings"), buf, sizeof(buf)) <= 0)
		return 0;
	for (line = strtok(buf, "\n"); line && nr < MAX_RINGS; line = strtok(NULL, "\n")) {
		colon = strchr(line, ':');
		if (!colon)
			return 0;
		ring[nr].distance = atoi(line);
		ring[nr].nr = parse_list(colon + 1, ring[nr].nid, MAX_NODES);
		nr++;
	}
	return nr;
}

/* How far a node is from another, of all that are online. */
static int how_far(int from, int to)
{
	static char buf[8192];
	static int online[MAX_NODES];
	char path[64], *p = buf;
	int i, nr, d, n;

	read_text("/sys/devices/system/node/online", buf, sizeof(buf));
	nr = parse_list(buf, online, MAX_NODES);
	snprintf(path, sizeof(path), "/sys/devices/system/node/node%d/distance", from);
	read_text(path, buf, sizeof(buf));
	for (i = 0; i < nr && sscanf(p, "%d%n", &d, &n) == 1; i++, p += n)
		if (online[i] == to)
			return d;
	return -1;
}

static long ring_sum(const struct ring *ring, const char *name)
{
	long sum = 0;
	int i;

	for (i = 0; i < ring->nr; i++)
		sum += node_number(ring->nid[i], name);
	return sum;
}

static long ring_spare(const struct ring *ring)
{
	struct node_memory m;
	long sum = 0;
	int i;

	for (i = 0; i < ring->nr; i++) {
		node_memory(ring->nid[i], &m);
		sum += m.spare;
	}
	return sum;
}

static struct ring rings[MAX_RINGS];

TEST_F_TIMEOUT(balloon, rings_by_distance, LONG)
{
	int n, nr, r, i, seen;

	for (n = 0; n < nr_nodes; n++) {
		nr = read_rings(nodes[n], rings);
		ASSERT_LT(0, nr);
		EXPECT_EQ(1, rings[0].nr);
		EXPECT_EQ(nodes[n], rings[0].nid[0]);
		for (r = 0, seen = 0; r < nr; r++) {
			if (r > 1)
				EXPECT_LT(rings[r - 1].distance, rings[r].distance);
			for (i = 0; i < rings[r].nr; i++)
				EXPECT_EQ(how_far(nodes[n], rings[r].nid[i]),
					  rings[r].distance);
			seen += rings[r].nr;
		}
		EXPECT_EQ(nr_nodes, seen);
	}
}

/*
 * What lies in the first rings together is no less than before: what is free meanwhile
 * may have come home from farther out.
 */
static void expect_inner(struct __test_metadata *_metadata, const long *have, int nr)
{
	long before = 0, now = 0;
	int r;

	for (r = 0; r < nr; r++) {
		before += have[r];
		now += ring_sum(&rings[r], "nr_pages");
		EXPECT_LE(before, now)
			TH_LOG("rings 0 to %d: %ld of %ld pages", r, now, before);
	}
}

/*
 * A target above the node's memory fills its rings strictly in order, and gives
 * back the outermost ring first.
 */
static void fill_rings(struct __test_metadata *_metadata, int nid)
{
	int nr = read_rings(nid, rings), used, r;
	long spare[MAX_RINGS], have[MAX_RINGS], pages = 0, want, outer;

	ASSERT_LT(0, nr);
	limit_cpu_lists(true);
	/* What others use is not what rings are about, nor what they need meanwhile. */
	ASSERT_EQ(0, write_text(ALL "reclaim", "none\n"));
	ASSERT_EQ(0, write_text(ALL "refill", "off\n"));
	/* All of the inner rings, and half of one more. */
	used = nr > 3 ? 3 : nr;
	for (r = 0; r < nr; r++)
		spare[r] = ring_spare(&rings[r]);
	for (r = 0; r < used - 1; r++)
		pages += spare[r] * SUPERFRAME;
	pages += spare[r] / 2 * SUPERFRAME;

	ASSERT_EQ(0, node_target(nid, pages));
	ASSERT_TRUE(set_target(pages));
	ASSERT_TRUE(wait_settled(10));
	ASSERT_STREQ("", broken());
	for (r = 0; r < nr; r++) {
		have[r] = ring_sum(&rings[r], "nr_pages");
		TH_LOG("origin %d, distance %d: %ld of %ld superframes, %ld left", nid,
		       rings[r].distance, have[r] / SUPERFRAME, spare[r],
		       ring_spare(&rings[r]));
		/* Some may have become free since: small nodes are never quiet. */
		if (r < used - 1)
			EXPECT_GE(8 + spare[r] / 8, ring_spare(&rings[r]));
		if (r == used - 1)
			EXPECT_LT(0, have[r]);
		if (r > used - 1)
			EXPECT_EQ(0, have[r]);
	}

	/* Outermost first: half of that ring, then all of it, then the next. */
	for (outer = used - 1; outer >= 0; outer--) {
		long keep = have[outer] / 2 / SUPERFRAME * SUPERFRAME;

		for (;;) {
			want = keep;
			for (r = 0; r < outer; r++)
				want += have[r];
			/* Half of the time the node's target, else the host's alone. */
			if (outer & 1)
				ASSERT_EQ(0, node_target(nid, want));
			ASSERT_TRUE(set_target(want));
			ASSERT_TRUE(wait_settled(10));
			expect_inner(_metadata, have, outer);
			EXPECT_GE(keep, ring_sum(&rings[outer], "nr_pages"));
			EXPECT_EQ(want, sum_pages());
			for (r = outer + 1; r < nr; r++)
				EXPECT_EQ(0, ring_sum(&rings[r], "nr_pages"));
			ASSERT_STREQ("", broken());
			if (!keep)
				break;
			keep = 0;
		}
	}
	ASSERT_EQ(0, node_target_auto(nid));
	limit_cpu_lists(false);
}

TEST_F_TIMEOUT(balloon, ring_order_first_node, LONG)
{
	fill_rings(_metadata, nodes[0]);
}

TEST_F_TIMEOUT(balloon, ring_order_last_node, LONG)
{
	if (nr_nodes < 2)
		SKIP(return, "needs two nodes");
	fill_rings(_metadata, nodes[nr_nodes - 1]);
}

/* Taken for another node, less what of it was given up since. */
static long sum_remote(void)
{
	return sum_stat("inflate_remote") - sum_stat("deflate_remote");
}

/* Told apart by who asked: what is near is local, the rest remote. */
TEST_F_TIMEOUT(balloon, remote_is_counted, LONG)
{
	struct node_memory m;
	long pages, remote;

	if (nr_nodes < 2)
		SKIP(return, "needs two nodes");
	ASSERT_EQ(0, write_text(ALL "reclaim", "none\n"));
	node_memory(nodes[1], &m);
	pages = (m.give / SUPERFRAME + 20) * SUPERFRAME;
	remote = sum_remote();
	ASSERT_EQ(0, node_target(nodes[1], pages));
	ASSERT_TRUE(set_target(pages));
	/* The total is there before all is where it shall be. */
	ASSERT_TRUE(wait_settled(20));
	remote = sum_remote() - remote;
	EXPECT_EQ(pages - node_number(nodes[1], "nr_pages"), remote);
	EXPECT_LE(17 * SUPERFRAME, remote);
	ASSERT_EQ(0, node_target_auto(nodes[1]));
}

/* Superframes: more come home without being asked for. */
#define LISTED	6
#define PIECES	8

/*
 * What CPUs keep on lists of their own is as free as anything: who raises a node's target
 * gets that, too, though nothing is missing.
 */
TEST_F_TIMEOUT(balloon, raised_has_what_lists_keep, LONG)
{
	struct node_memory m;
	long pages, before;
	char *pieces, *p;

	if (nr_nodes < 2)
		SKIP(return, "needs two nodes");
	ASSERT_EQ(0, write_text(ALL "reclaim", "none\n"));
	/* As much as they may: what is freed is seen nowhere else. */
	ASSERT_EQ(0, write_number(PROC_VM "percpu_pagelist_high_fraction", 8));
	/* Of nodes farther off they keep it for some seconds only. */
	numa_run_on_node(nodes[1]);
	/* Without huge pages, what may not make up a whole superframe when freed is used first. */
	pieces = map_used(PIECES * SUPERFRAME * PAGE, nodes[1]);
	ASSERT_NE(NULL, pieces);
	p = map_used(LISTED * SUPERFRAME * PAGE, nodes[1]);
	ASSERT_NE(NULL, p);
	node_memory(nodes[1], &m);
	pages = (m.give / SUPERFRAME + 20) * SUPERFRAME;
	ASSERT_EQ(0, node_target(nodes[1], pages));
	ASSERT_TRUE(set_target(pages));
	ASSERT_TRUE(wait_settled(20));
	before = node_number(nodes[1], "nr_pages");
	munmap(p, LISTED * SUPERFRAME * PAGE);
	ASSERT_EQ(0, node_target(nodes[1], pages + SUPERFRAME));
	ASSERT_TRUE(wait_settled(20));
	TH_LOG("%ld superframes before, %d on lists, then %ld", before / SUPERFRAME, LISTED,
	       node_number(nodes[1], "nr_pages") / SUPERFRAME);
	/* Others use some of it. */
	EXPECT_LE(before + (LISTED - 2) * SUPERFRAME, node_number(nodes[1], "nr_pages"));
	EXPECT_EQ(pages, sum_pages());
	munmap(pieces, PIECES * SUPERFRAME * PAGE);
	numa_run_on_node(-1);
	limit_cpu_lists(false);
	ASSERT_EQ(0, node_target_auto(nodes[1]));
}

/* Targets of nodes may come before the host's. */
TEST_F_TIMEOUT(balloon, targets_before_total, LONG)
{
	long sum = 0;
	int i;

	for (i = 0; i < nr_nodes; i++) {
		ASSERT_EQ(0, node_target(nodes[i], (i + 3) * SUPERFRAME));
		EXPECT_EQ((i + 3) * SUPERFRAME, node_number(nodes[i], "target"));
		sum += (i + 3) * SUPERFRAME;
	}
	ASSERT_TRUE(wait_settled(10));
	EXPECT_EQ(0, sum_pages());
	ASSERT_TRUE(set_target(sum));
	ASSERT_TRUE(wait_settled(10));
	for (i = 0; i < nr_nodes; i++)
		EXPECT_EQ((i + 3) * SUPERFRAME, node_number(nodes[i], "nr_pages"));
	EXPECT_STREQ("", broken());
}

/* Or after it: then pages move, and the total stands. */
TEST_F_TIMEOUT(balloon, targets_after_total, LONG)
{
	long total = nr_nodes * 10 * SUPERFRAME, least = total;
	double end;
	int i;

	if (nr_nodes < 2)
		SKIP(return, "needs two nodes");
	ASSERT_TRUE(set_target(total));
	/* Slow enough to be watched. */
	ASSERT_EQ(0, sim_set("delay_ms", 100));
	ASSERT_EQ(0, node_target(nodes[1], total));
	end = now() + 20;
	while (node_number(nodes[1], "nr_pages") != total && now() < end) {
		long pages = read_number(ALL "nr_pages");

		if (pages < least)
			least = pages;
	}
	ASSERT_EQ(0, sim_set("delay_ms", 0));
	EXPECT_TRUE(wait_pages(total, 10));
	ASSERT_TRUE(wait_settled(10));
	EXPECT_EQ(total, node_number(nodes[1], "nr_pages"));
	EXPECT_EQ(total, sum_pages());
	/* The guest never has more than the host granted. */
	EXPECT_EQ(total, least);

	/* One node lets go, another wants it. */
	ASSERT_EQ(0, node_target(nodes[1], 0));
	ASSERT_EQ(0, node_target(nodes[0], total));
	ASSERT_TRUE(wait_settled(10));
	EXPECT_EQ(total, node_number(nodes[0], "nr_pages"));
	EXPECT_EQ(0, node_number(nodes[1], "nr_pages"));
	EXPECT_EQ(total, sum_pages());

	/* Nobody wants it: it stays, and nothing is moved for balance's sake. */
	for (i = 0; i < nr_nodes; i++)
		ASSERT_EQ(0, node_target_auto(nodes[i]));
	ASSERT_TRUE(wait_settled(10));
	EXPECT_EQ(total, sum_pages());
	EXPECT_EQ(total, node_number(nodes[0], "nr_pages"));
	EXPECT_STREQ("", broken());
}

/* The worker's largest batch. */
#define BATCH		(128 * SUPERFRAME)

/* Wait until all is on one node. Returns the seconds that took, or -1. */
static double wait_node(int nid, long pages, long *least, long *most)
{
	double began = now();

	while (node_number(nid, "nr_pages") != pages || sum_pages() != pages) {
		long sum = read_number(ALL "nr_pages");

		*least = sum < *least ? sum : *least;
		*most = sum > *most ? sum : *most;
		if (now() - began > 120)
			return -1;
		usleep(2000);
	}
	return now() - began;
}

/*
 * All that is ballooned moves from one node to another, batch by batch: the host
 * has no less than it wants at any time, hardly more, and nobody's memory is
 * reclaimed for it.
 */
static void move_all(struct __test_metadata *_metadata, bool atomic)
{
	long total, least, most, stolen, events, in;
	struct node_memory from, to;
	double afresh, moved;
	int a, b;

	if (nr_nodes < 2)
		SKIP(return, "needs two nodes");
	/* The kernel's own memory is mostly on the first. */
	a = nodes[nr_nodes - 2];
	b = nodes[nr_nodes - 1];
	if (atomic)
		ASSERT_EQ(0, sim_enable_as("atomic", "1\n"));
	limit_cpu_lists(true);
	node_memory(a, &from);
	node_memory(b, &to);
	total = (from.spare < to.spare ? from.spare : to.spare) * 4 / 5 * SUPERFRAME;
	if (total < BATCH + 8 * SUPERFRAME)
		TH_LOG("%ld pages are one batch: more would be seen on larger nodes", total);

	least = total;
	most = total;
	ASSERT_EQ(0, node_target(b, total));
	afresh = now();
	ASSERT_TRUE(set_target(total));
	afresh = now() - afresh;
	ASSERT_EQ(total, node_number(b, "nr_pages"));
	ASSERT_TRUE(set_target(0));
	ASSERT_EQ(0, node_target_auto(b));

	ASSERT_EQ(0, node_target(a, total));
	ASSERT_TRUE(set_target(total));
	ASSERT_TRUE(wait_settled(20));
	ASSERT_EQ(total, node_number(a, "nr_pages"));
	ASSERT_EQ(0, node_target_auto(a));
	ASSERT_TRUE(wait_settled(20));

	ASSERT_EQ(0, sim_set("least_held", 0));
	ASSERT_EQ(0, sim_set("most_held", 0));
	refresh_vmstat();
	stolen = reclaimed_pages();
	events = balloon_events();
	in = sum_stat("inflate_local") + sum_stat("inflate_remote");
	ASSERT_EQ(0, node_target(b, total));
	moved = wait_node(b, total, &least, &most);
	TH_LOG("%ld superframes: %.2f s afresh, %.2f s to move; host held %ld to %ld",
	       total / SUPERFRAME, afresh, moved, sim_get("least_held") / SUPERFRAME,
	       sim_get("most_held") / SUPERFRAME);
	EXPECT_LE(0, moved);
	ASSERT_TRUE(wait_settled(20));
	EXPECT_EQ(total, node_number(b, "nr_pages"));
	EXPECT_EQ(total, sum_pages());
	EXPECT_EQ(total, least);
	EXPECT_LE(total, sim_get("least_held"));
	EXPECT_GE(total + BATCH, most);
	EXPECT_GE(total + (atomic ? SUPERFRAME : BATCH), sim_get("most_held"));
	refresh_vmstat();
	EXPECT_EQ(stolen, reclaimed_pages());
	/* As much has entered as has left. */
	EXPECT_EQ(events, balloon_events());
	EXPECT_LE(in + total, sum_stat("inflate_local") + sum_stat("inflate_remote"));
	EXPECT_STREQ("", broken());
	limit_cpu_lists(false);
}

TEST_F_TIMEOUT(balloon, moves_all, LONG)
{
	move_all(_metadata, false);
}

TEST_F_TIMEOUT(balloon, moves_all_atomically, LONG)
{
	move_all(_metadata, true);
}

/* The host wants less in the middle of a move: both are pursued. */
TEST_F_TIMEOUT(balloon, moves_while_total_falls, LONG)
{
	long total = 60 * SUPERFRAME, less = 25 * SUPERFRAME + 100;

	if (nr_nodes < 2)
		SKIP(return, "needs two nodes");
	ASSERT_EQ(0, node_target(nodes[0], total));
	ASSERT_TRUE(set_target(total));
	ASSERT_EQ(0, node_target_auto(nodes[0]));
	ASSERT_TRUE(wait_settled(10));
	ASSERT_EQ(0, sim_set("delay_ms", 100));
	ASSERT_EQ(0, node_target(nodes[1], total));
	usleep(150000);
	ASSERT_EQ(0, sim_set("target", less));
	ASSERT_EQ(0, sim_set("delay_ms", 0));
	EXPECT_TRUE(wait_pages(less, 10));
	ASSERT_TRUE(wait_settled(10));
	EXPECT_EQ(less, node_number(nodes[1], "nr_pages"));
	EXPECT_EQ(less, sum_pages());
	EXPECT_STREQ("", broken());
}

/* Nodes without a target share what the others leave. */
TEST_F_TIMEOUT(balloon, auto_shares_the_rest, LONG)
{
	long mine = 5 * SUPERFRAME, total = 60 * SUPERFRAME + 11;
	char text[32];

	if (nr_nodes < 2)
		SKIP(return, "needs two nodes");
	ASSERT_LT(0, read_text(node_path(nodes[0], "target"), text, sizeof(text)));
	EXPECT_STREQ("auto\n", text);
	ASSERT_EQ(0, node_target(nodes[0], mine));
	ASSERT_TRUE(set_target(total));
	ASSERT_TRUE(wait_settled(10));
	/* No more than its target, as long as there is room elsewhere. */
	EXPECT_EQ(mine, node_number(nodes[0], "nr_pages"));
	EXPECT_EQ(total, sum_pages());
	ASSERT_EQ(0, node_target(nodes[0], 2 * mine));
	ASSERT_TRUE(wait_settled(10));
	EXPECT_EQ(2 * mine, node_number(nodes[0], "nr_pages"));
	EXPECT_EQ(total, sum_pages());
	ASSERT_EQ(0, node_target(nodes[0], 0));
	ASSERT_TRUE(wait_settled(10));
	EXPECT_EQ(0, node_number(nodes[0], "nr_pages"));
	EXPECT_EQ(total, sum_pages());
	/* Nothing is asked of it any more: what lies elsewhere stays there. */
	ASSERT_EQ(0, node_target_auto(nodes[0]));
	ASSERT_TRUE(wait_settled(10));
	EXPECT_EQ(0, node_number(nodes[0], "nr_pages"));
	EXPECT_EQ(total, sum_pages());
	EXPECT_STREQ("", broken());
}

/* More than the host wants is scaled. */
TEST_F_TIMEOUT(balloon, targets_above_total, LONG)
{
	long total = nr_nodes * 20 * SUPERFRAME + 7, sum = 0;
	int i;

	for (i = 0; i < nr_nodes; i++)
		ASSERT_EQ(0, node_target(nodes[i], 30 * SUPERFRAME));
	ASSERT_TRUE(set_target(total));
	ASSERT_TRUE(wait_settled(10));
	for (i = 0; i < nr_nodes; i++) {
		long pages = node_number(nodes[i], "nr_pages");

		EXPECT_LE(19 * SUPERFRAME, pages);
		EXPECT_GE(21 * SUPERFRAME, pages);
		sum += pages;
		/* What was asked for is not forgotten. */
		EXPECT_EQ(30 * SUPERFRAME, node_number(nodes[i], "target"));
	}
	EXPECT_EQ(total, sum);
	ASSERT_TRUE(set_target(nr_nodes * 30 * SUPERFRAME));
	ASSERT_TRUE(wait_settled(10));
	for (i = 0; i < nr_nodes; i++)
		EXPECT_EQ(30 * SUPERFRAME, node_number(nodes[i], "nr_pages"));
	EXPECT_STREQ("", broken());
}

/*
 * What each node has to keep. When the balloon comes to rest it may recompute watermarks;
 * what it has done follows from those before.
 */
static long keep[MAX_NODES];

static void read_keep(void)
{
	struct node_memory m;
	int i;

	for (i = 0; i < nr_nodes; i++) {
		node_memory(nodes[i], &m);
		keep[i] = m.free - m.give;
	}
}

/* Hundredths of a percent of nodes[i] that are free for the balloon. */
static long free_share(int i)
{
	struct node_memory m;

	node_memory(nodes[i], &m);
	return (m.free - keep[i]) * 10000 / m.present;
}

/*
 * How far apart the nodes are that gave. One that gave nothing, or a few pages that
 * were not a superframe, may have less than they, but not more.
 */
static long spread(void)
{
	long most = 0, least = 10000, share;
	int i;

	for (i = 0; i < nr_nodes; i++) {
		share = free_share(i);
		most = share > most ? share : most;
		if (node_number(nodes[i], "nr_superframes"))
			least = share < least ? share : least;
	}
	return most - least;
}

TEST_F_TIMEOUT(balloon, balance, LONG)
{
	long most = 2 * half(), target, tenths, slack;
	struct node_memory m;

	node_memory(nodes[0], &m);
	slack = 2 * SUPERFRAME * 10000 / m.present;
	limit_cpu_lists(true);
	/* Up, until every node takes part, and down again. */
	for (tenths = 3; tenths < 14; tenths++) {
		target = most * (tenths < 9 ? tenths : 16 - tenths) / 10;
		read_keep();
		ASSERT_TRUE(set_target(target));
		ASSERT_TRUE(wait_settled(10));
		/*
		 * 2 %, what one superframe more or less makes, and what else
		 * goes on in nodes as small as these.
		 */
		EXPECT_GE(300 + slack, spread())
			TH_LOG("%ld of %ld pages: %ld hundredths", target, most, spread());
		EXPECT_STREQ("", broken());
	}
	limit_cpu_lists(false);
}

/* Base pages of a node that CPUs have on lists of their own. */
static long on_lists(int nid)
{
	FILE *f = fopen("/proc/zoneinfo", "r");
	int node = -1, count;
	char line[256];
	long sum = 0;

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "Node %d,", &node) != 1 && node == nid &&
		    sscanf(line, " count: %d", &count) == 1)
			sum += count;
	}
	if (f)
		fclose(f);
	return sum;
}

/* What CPUs have on their lists is as free as all else of a node. */
TEST_F_TIMEOUT(balloon, balance_counts_lists, LONG)
{
	int nid = nodes[nr_nodes - 1], tries;
	long lists = 0, target = half(), slack;
	struct node_memory m;
	size_t bytes, i;
	char *p;

	if (nr_nodes < 2)
		SKIP(return, "needs two nodes");
	node_memory(nid, &m);
	slack = 2 * SUPERFRAME * 10000 / m.present;
	limit_cpu_lists(true);
	read_keep();
	limit_cpu_lists(false);
	bytes = m.present / 8 * PAGE;
	for (tries = 0; tries < 10 && lists < m.present / 25; tries++) {
		p = map(bytes, nid, MADV_NOHUGEPAGE);
		ASSERT_NE(NULL, p);
		for (i = 0; i < bytes; i += PAGE)
			p[i] = 1;
		munmap(p, bytes);
		lists = on_lists(nid);
	}
	if (lists < m.present / 25)
		SKIP(return, "this kernel keeps less there than the nodes may differ by");
	ASSERT_TRUE(set_target(target));
	ASSERT_TRUE(wait_settled(10));
	limit_cpu_lists(true);
	EXPECT_GE(300 + slack, spread())
		TH_LOG("%ld pages were on lists: %ld hundredths", lists, spread());
	EXPECT_STREQ("", broken());
	limit_cpu_lists(false);
}

/* Deflating goes to the node that has least. */
TEST_F_TIMEOUT(balloon, balance_refills_the_poorest, LONG)
{
	struct node_memory m;
	long pages;

	if (nr_nodes < 2)
		SKIP(return, "needs two nodes");
	node_memory(nodes[1], &m);
	/* A few are the kernel's before they are had. */
	pages = (m.spare - 4) * SUPERFRAME;
	ASSERT_EQ(0, node_target(nodes[1], pages));
	ASSERT_TRUE(set_target(pages));
	ASSERT_EQ(0, node_target_auto(nodes[1]));
	ASSERT_TRUE(set_target(pages + 10 * SUPERFRAME));
	pages = node_number(nodes[1], "nr_pages");
	ASSERT_TRUE(set_target(pages));
	ASSERT_TRUE(wait_settled(10));
	EXPECT_EQ(pages - 10 * SUPERFRAME, node_number(nodes[1], "nr_pages"));
}

/* The first cpu of a node, or -1. */
static int cpu_of(int nid)
{
	char path[64], buf[1024];
	int cpu;

	snprintf(path, sizeof(path), "/sys/devices/system/node/node%d/cpulist", nid);
	if (read_text(path, buf, sizeof(buf)) <= 0 || !parse_list(buf, &cpu, 1))
		return -1;
	return cpu;
}

TEST_F_TIMEOUT(balloon, local, LONG)
{
	long total = 0;
	int i, done = 0;

	ASSERT_EQ(0, write_text(ALL "policy", "local\n"));
	for (i = 0; i < nr_nodes; i++) {
		int cpu = cpu_of(nodes[i]);
		long before = node_number(nodes[i], "nr_pages");
		cpu_set_t set;

		if (cpu < 0)
			continue;
		CPU_ZERO(&set);
		CPU_SET(cpu, &set);
		ASSERT_EQ(0, sched_setaffinity(0, sizeof(set), &set));
		total += 4 * SUPERFRAME;
		ASSERT_TRUE(set_target(total));
		ASSERT_TRUE(wait_settled(10));
		EXPECT_EQ(before + 4 * SUPERFRAME, node_number(nodes[i], "nr_pages"));
		done++;
	}
	EXPECT_LT(0, done);
	EXPECT_STREQ("", broken());
}

TEST_HARNESS_MAIN
