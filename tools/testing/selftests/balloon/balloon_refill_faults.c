// SPDX-License-Identifier: GPL-2.0
/*
 * Refill where the host does not do what it should, and where many want the
 * same pages at once.
 */
#define _GNU_SOURCE
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "refill.h"

#define ALWAYS		4294967295L
#define THREADS		64

/* Microseconds. */
#define SHORT		40000

/* How often the host changes its mind. */
#define MOVES		8

/* A host that gives nothing is not the end: memory comes from elsewhere. */
TEST_F_TIMEOUT(refill, refused, LONG)
{
	struct account before, after;
	double began, seconds;
	long pages, local, calls;
	struct own had;

	pages = squeeze(here(), -1);
	ASSERT_LT(0, pages);
	ASSERT_EQ(0, give_credit(pages, CREDIT));
	ASSERT_EQ(0, sim_set("refuse_deflate", ALWAYS));
	ASSERT_EQ(0, numa_run_on_node(here()));
	take_account(&before);
	had = own_before(here());
	began = now();
	calls = sim_get("calls");
	local = want_on(here(), MADV_NOHUGEPAGE);
	calls = sim_get("calls") - calls;
	seconds = now() - began;
	take_account(&after);
	EXPECT_LE(0, local);
	EXPECT_GE(own_after(here(), had), local);
	EXPECT_EQ(before.refills, after.refills);
	EXPECT_LT(before.fails, after.fails);
	EXPECT_EQ(pages, after.held);
	EXPECT_EQ(pages, sim_get("least_held"));
	/* Not each of thousands of allocations asks: after 100 ms, 200 ms, ... */
	TH_LOG("%ld calls in %.1f s", calls, seconds);
	EXPECT_LE(calls, 4 + 10 * seconds);
	EXPECT_STREQ("", broken());

	/* It has memory now: who asks next gets it, which is no later than it took up to now. */
	ASSERT_EQ(0, sim_set("refuse_deflate", 0));
	usleep((seconds + 1) * 1000000);
	take_account(&before);
	local = want_on(here(), MADV_NOHUGEPAGE);
	take_account(&after);
	/* Or all that the host gives, when KASAN keeps what was read with large base pages. */
	EXPECT_TRUE(mostly_in_time(local, WANT / PAGE, PLACED, &before, &after) ||
		    after.held < pages - CREDIT + SUPERFRAME)
		TH_LOG("%ld of %ld pages, %ld held of %ld", local, WANT / PAGE, after.held, pages);
	expect_refills(_metadata, &before, &after);
	EXPECT_LE(pages - CREDIT, sim_get("least_held"));
	EXPECT_STREQ("", broken());
}

/* A target beyond counting is no credit: it wants everything. */
TEST_F_TIMEOUT(refill_once, target_beyond_counting, LONG)
{
	static const char * const targets[] = {
		"18446744073709551615\n", "18446744073709550615\n", "9223372036854775808\n",
		"9223372036854775807\n",
	};
	struct account before, after;
	unsigned int i;
	long pages;

	pages = squeeze(here(), -1);
	ASSERT_LT(0, pages);
	ASSERT_EQ(0, sim_set("least_held", 0));
	ASSERT_EQ(0, numa_run_on_node(here()));
	for (i = 0; i < ARRAY_SIZE(targets); i++) {
		ASSERT_EQ(0, write_text(SIM "target", targets[i]));
		EXPECT_EQ(LONG_MAX, read_number(ALL "target"));
		take_account(&before);
		EXPECT_LE(0, want_on(here(), MADV_NOHUGEPAGE));
		take_account(&after);
		EXPECT_EQ(before.refills, after.refills)
			TH_LOG("%s", targets[i]);
		EXPECT_EQ(pages, after.held);
		EXPECT_EQ(pages, sim_get("least_held"));
	}
	ASSERT_EQ(0, sim_set("target", pages));
	EXPECT_STREQ("", broken());
}

/* The host does not answer the worker: memory comes from elsewhere, and the guest lives. */
TEST_F_TIMEOUT(refill_once, host_hangs, LONG)
{
	long pages, local;
	double began;

	pages = squeeze(here(), -1);
	ASSERT_LT(0, pages);
	ASSERT_EQ(0, sim_set("hang", 1));
	ASSERT_EQ(0, give_credit(pages, CREDIT));
	ASSERT_EQ(0, write_number(HOLD, 0));
	sleep(1);
	ASSERT_EQ(0, numa_run_on_node(here()));
	began = now();
	local = want_on(here(), MADV_NOHUGEPAGE);
	TH_LOG("%ld of %ld pages local, after %.1f s", local, WANT / PAGE, now() - began);
	EXPECT_LE(0, local);
	/* Half a minute is much for an emulated machine, and nothing for a host that hangs. */
	EXPECT_GT(30, now() - began);
	EXPECT_EQ(pages, sum_pages());
	ASSERT_EQ(0, sim_set("hang", 0));
	EXPECT_TRUE(wait_pages(pages - CREDIT, 20));
	EXPECT_STREQ("", broken());
}

/* The host has less for this node than it allows. */
TEST_F_TIMEOUT(refill, host_runs_short, LONG)
{
	struct account before, after;
	long pages, little = 10 * SUPERFRAME;

	pages = squeeze(here(), -1);
	ASSERT_LT(0, pages);
	ASSERT_EQ(0, sim_free(here(), little));
	ASSERT_EQ(0, give_credit(pages, CREDIT));
	ASSERT_EQ(0, numa_run_on_node(here()));
	take_account(&before);
	EXPECT_LE(0, want_on(here(), MADV_NOHUGEPAGE));
	take_account(&after);
	EXPECT_EQ(little, after.refills - before.refills);
	EXPECT_EQ(pages - little, after.held);
	EXPECT_LT(before.fails, after.fails);
	expect_refills(_metadata, &before, &after);
	EXPECT_STREQ("", broken());
	/* And has it later, when the worker asks. */
	ASSERT_EQ(0, sim_free(here(), -1));
	ASSERT_EQ(0, write_number(HOLD, 0));
	EXPECT_TRUE(wait_pages(pages - CREDIT, 10));
	EXPECT_LE(pages - CREDIT, sim_get("least_held"));
}

/* Base pages, and few of them at a time. */
TEST_F_TIMEOUT(refill_once, short_answers, LONG)
{
	size_t want = 24 * MIB;
	struct account before, after;
	long pages, local;
	char *p;

	ASSERT_EQ(0, sim_enable_as("max_order", "0\n"));
	pages = squeeze(here(), -1);
	ASSERT_LT(0, pages);
	ASSERT_EQ(0, sim_set("short", 3));
	ASSERT_EQ(0, give_credit(pages, CREDIT));
	ASSERT_EQ(0, numa_run_on_node(here()));
	p = map_blocks(want, MADV_NOHUGEPAGE);
	ASSERT_NE(NULL, p);
	take_account(&before);
	touch(p, want);
	take_account(&after);
	local = pages_on(p, want, here());
	unmap_blocks(p, want);
	TH_LOG("%ld of %ld pages local, %ld refilled", local, want / PAGE,
	       after.refills - before.refills);
	/*
	 * 1 %: so few pages at a time are on a cpu's list, where another task
	 * of this cpu may take them first.
	 */
	EXPECT_TRUE(mostly_in_time(local, want / PAGE, 990, &before, &after));
	EXPECT_LT(before.refills, after.refills);
	expect_refills(_metadata, &before, &after);
	EXPECT_LE(pages - CREDIT, sim_get("least_held"));
	EXPECT_STREQ("", broken());
}

/* Errors: what they were for goes elsewhere, and after a while it is asked anew. */
TEST_F_TIMEOUT(refill, errors, LONG)
{
	struct account before, middle, after;
	long pages, local;
	int i;

	pages = squeeze(here(), -1);
	ASSERT_LT(0, pages);
	ASSERT_EQ(0, give_credit(pages, CREDIT));
	ASSERT_EQ(0, sim_set("fail", 3));
	ASSERT_EQ(0, numa_run_on_node(here()));
	take_account(&before);
	local = want_on(here(), MADV_NOHUGEPAGE);
	take_account(&after);
	TH_LOG("%ld of %ld pages local, %ld failed", local, WANT / PAGE,
	       after.fails - before.fails);
	EXPECT_LT(before.fails, after.fails);
	/* Asked again after 100, 200, 400 ms, if somebody asks. */
	for (i = 0; sim_get("fail") && i < 10; i++) {
		usleep(1000000);
		EXPECT_LE(0, want_on(here(), MADV_NOHUGEPAGE));
	}
	usleep(1000000);
	take_account(&middle);
	local = want_on(here(), MADV_NOHUGEPAGE);
	take_account(&after);
	TH_LOG("then %ld of %ld pages local", local, WANT / PAGE);
	EXPECT_EQ(0, sim_get("fail"));
	EXPECT_TRUE(mostly_in_time(local, WANT / PAGE, PLACED, &middle, &after));
	expect_refills(_metadata, &before, &after);
	EXPECT_LE(pages - CREDIT, sim_get("least_held"));
	EXPECT_STREQ("", broken());
}

/* More than was asked for can't be true. */
TEST_F_TIMEOUT(refill, false_answers, LONG)
{
	static const long lies[] = { 1, 1000, 4000000000 };
	struct account before, after;
	long pages, local;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(lies); i++) {
		pages = squeeze(here(), -1);
		ASSERT_LT(0, pages);
		ASSERT_EQ(0, sim_set("lie", lies[i]));
		ASSERT_EQ(0, give_credit(pages, CREDIT));
		ASSERT_EQ(0, numa_run_on_node(here()));
		take_account(&before);
		local = want_on(here(), MADV_NOHUGEPAGE);
		take_account(&after);
		EXPECT_TRUE(mostly_in_time(local, WANT / PAGE, PLACED, &before, &after))
			TH_LOG("%ld of %ld pages", local, WANT / PAGE);
		expect_refills(_metadata, &before, &after);
		EXPECT_LE(pages - CREDIT, sim_get("least_held"));
		EXPECT_STREQ("", broken());
		ASSERT_EQ(0, numa_run_on_node(-1));
		ASSERT_EQ(0, sim_set("lie", 0));
		ASSERT_EQ(0, write_number(HOLD, 0));
		ASSERT_TRUE(set_target(0));
	}
}

/*
 * An exchange that stops halfway: the host has taken one and gives none. It has
 * one too many, and the worker brings that back.
 */
TEST_F_TIMEOUT(refill_once, half_an_exchange, LONG)
{
	struct account before, after;
	long pages;

	pages = squeeze(here(), -1);
	ASSERT_LT(0, pages);
	ASSERT_EQ(0, write_text(MODE, "exchange\n"));
	ASSERT_EQ(0, give_credit(pages, 0));
	take_account(&before);
	ASSERT_EQ(0, sim_set("refuse_deflate", 3));
	ASSERT_EQ(0, numa_run_on_node(here()));
	EXPECT_LE(0, want_on(here(), MADV_NOHUGEPAGE));
	EXPECT_EQ(0, sim_get("refuse_deflate"));
	take_account(&after);
	TH_LOG("%ld pages, then %ld; %ld exchanged, %ld failed", pages, after.total,
	       after.exchanges - before.exchanges, after.fails - before.fails);
	EXPECT_LT(before.fails, after.fails);
	EXPECT_LE(pages, after.held);
	EXPECT_STREQ("", broken());
	ASSERT_EQ(0, write_number(HOLD, 0));
	EXPECT_TRUE(wait_pages(pages, 10));
	ASSERT_TRUE(wait_settled(10));
	EXPECT_LE(pages, sim_get("least_held"));
	EXPECT_STREQ("", broken());
	/* What came and what went add up to what is there. */
	take_account(&after);
	EXPECT_EQ(after.total - before.total, after.moved - before.moved -
		  (after.refills - before.refills) + (after.exchanges - before.exchanges));
}

/* Refused at once, atomically or not: nothing is given away. */
TEST_F_TIMEOUT(refill, exchange_refused, LONG)
{
	struct account before, after;
	long pages;

	ASSERT_EQ(0, sim_enable_as("atomic", variant->nowait ? "1\n" : "0\n"));
	pages = squeeze(here(), -1);
	ASSERT_LT(0, pages);
	ASSERT_EQ(0, write_text(MODE, "exchange\n"));
	ASSERT_EQ(0, give_credit(pages, 0));
	ASSERT_EQ(0, sim_set("refuse_inflate", ALWAYS));
	ASSERT_EQ(0, numa_run_on_node(here()));
	take_account(&before);
	EXPECT_LE(0, want_on(here(), MADV_NOHUGEPAGE));
	take_account(&after);
	EXPECT_EQ(before.exchanges, after.exchanges);
	EXPECT_EQ(before.refills, after.refills);
	EXPECT_LT(before.fails, after.fails);
	EXPECT_EQ(pages, after.held);
	EXPECT_EQ(pages, sim_get("least_held"));
	EXPECT_STREQ("", broken());
}

/* Threads that take memory and let go of it, each on a node: half of them on one. */
struct thread {
	pthread_t id;
	int nid;
	unsigned int seed;
	/* Bytes at a time, at most. */
	size_t most;
	/* So many times; 0: until told to end. */
	long times;
	/* Microseconds for which it keeps what it has, at most. */
	long nap;
	long all;
	long bad;
};

static volatile bool end;

static void *use(void *arg)
{
	struct thread *t = arg;
	long n;

	if (numa_run_on_node(t->nid))
		t->bad++;
	for (n = 0; t->times ? n < t->times : !end; n++) {
		size_t bytes = (t->most / 4 + rand_r(&t->seed) % (t->most * 3 / 4)) / PAGE * PAGE;
		char *p = map(bytes, -1, rand_r(&t->seed) % 2 ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);

		if (!p) {
			t->bad++;
			break;
		}
		fill(p, bytes, (uintptr_t)p ^ n);
		/* Others want theirs meanwhile. */
		usleep(rand_r(&t->seed) % t->nap);
		t->bad += !verify(p, bytes, (uintptr_t)p ^ n);
		munmap(p, bytes);
		t->all += bytes / PAGE;
	}
	return NULL;
}

static bool start(struct thread *t, int nr, size_t most, long times, long nap, int nid)
{
	int i;

	end = false;
	for (i = 0; i < nr; i++) {
		t[i] = (struct thread) {
			.nid = nid >= 0 ? nid : i & 1 ? here() : nodes[i / 2 % nr_nodes],
			.seed = i + 1, .most = most, .times = times, .nap = nap,
		};
		if (pthread_create(&t[i].id, NULL, use, &t[i]))
			return false;
	}
	return true;
}

/* Returns how often a thread got no memory, or not what it had written. */
static long stop(struct thread *t, int nr)
{
	long bad = 0, all = 0;
	int i;

	end = true;
	for (i = 0; i < nr; i++) {
		pthread_join(t[i].id, NULL);
		bad += t[i].bad;
		all += t[i].all;
	}
	return all ? bad : -1;
}

static struct thread threads[THREADS];

/* All at one node, with much less credit than they want together. */
TEST_F_TIMEOUT(refill, no_overshoot, LONG)
{
	long pages, credit = 12 * SUPERFRAME + scaled(300);
	size_t most = PAGE > 4096 ? 8 * MIB : 2 * MIB;
	struct account before, after;

	/* What CPUs keep may be more than all threads use. */
	limit_cpu_lists(true);
	pages = squeeze(here(), -1);
	ASSERT_LT(0, pages);
	ASSERT_EQ(0, give_credit(pages, credit));
	take_account(&before);
	ASSERT_TRUE(start(threads, THREADS, most, 2, SHORT, here()));
	EXPECT_EQ(0, stop(threads, THREADS));
	limit_cpu_lists(false);
	take_account(&after);
	TH_LOG("%ld of %ld pages refilled", after.refills - before.refills, credit);
	EXPECT_LT(0, after.refills - before.refills);
	EXPECT_GE(credit, after.refills - before.refills);
	EXPECT_LE(pages - credit, sim_get("least_held"));
	expect_refills(_metadata, &before, &after);
	EXPECT_STREQ("", broken());
}

/* Who finds another one talking to a slow host does not wait. */
TEST_F_TIMEOUT(refill_once, slow_host, LONG)
{
	struct account before, after;
	double began;
	long pages;

	pages = squeeze(here(), -1);
	ASSERT_LT(0, pages);
	ASSERT_EQ(0, sim_set("delay_ms", 100));
	ASSERT_EQ(0, give_credit(pages, CREDIT));
	take_account(&before);
	began = now();
	ASSERT_TRUE(start(threads, 8, 12 * MIB, 3, SHORT, here()));
	EXPECT_EQ(0, stop(threads, 8));
	take_account(&after);
	TH_LOG("%ld refilled in %.1f s", after.refills - before.refills, now() - began);
	EXPECT_LT(before.refills, after.refills);
	expect_refills(_metadata, &before, &after);
	EXPECT_LE(pages - CREDIT, sim_get("least_held"));
	EXPECT_STREQ("", broken());
}

/* Seconds: for how long somebody waits, and then nobody else. The kernel counts in ticks. */
#define WAITED		0.05
#define PAUSE		0.1
#define TICK		0.01

/*
 * Touch a page at a time, until a counter of this node's rises. Says when the last one began,
 * how long that took, and the one that took longest.
 */
static bool touch_until(char *p, size_t *at, const char *name, double *began, double *took,
			double *longest)
{
	long before = node_stat(here(), name);

	*longest = 0;
	for (; *at < WANT && node_stat(here(), name) == before; *at += PAGE) {
		*began = now();
		p[*at] = 1;
		*took = now() - *began;
		*longest = *took > *longest ? *took : *longest;
	}
	return node_stat(here(), name) > before;
}

/*
 * One late answer is no reason not to wait once it has come: a CPU may have been away. Timed
 * by the clock that the pause goes by. A slow machine needs more attempts, and where nobody
 * was sent away either, what there is to see is over before it comes to that.
 */
TEST_F_TIMEOUT(refill_once, late_for_once, LONG)
{
	double began = 0, waited = 0, start, took = 0, longest;
	bool soon = false, refused = false;
	long pages, before, fails;
	size_t at = 0;
	int attempt;
	char *p;

	ASSERT_EQ(0, sim_enable_as("max_order", "0\n"));
	pages = squeeze(here(), -1);
	ASSERT_LT(0, pages);
	ASSERT_EQ(0, give_credit(pages, pages));
	ASSERT_EQ(0, numa_run_on_node(here()));
	p = map_blocks(WANT, MADV_NOHUGEPAGE);
	ASSERT_NE(NULL, p);
	for (attempt = 0; attempt < 20 && !soon; attempt++) {
		/* What was late before is forgotten with an answer in time. */
		usleep(2 * PAUSE * 1000000);
		ASSERT_TRUE(touch_until(p, &at, "refill", &start, &took, &longest));
		before = node_stat(here(), "refill");
		ASSERT_EQ(0, sim_set("hang", 1));
		EXPECT_TRUE(touch_until(p, &at, "refill_fail", &began, &waited, &longest));
		ASSERT_EQ(0, sim_set("hang", 0));
		while (node_stat(here(), "refill") == before && now() < began + 10)
			usleep(100);
		ASSERT_LT(before, node_stat(here(), "refill"));
		fails = node_stat(here(), "refill_fail");
		ASSERT_TRUE(touch_until(p, &at, "refill", &start, &took, &longest));
		took = now() - began;
		/* Others may have waited before, and had this one not wait. */
		soon = waited > WAITED - TICK && took < WAITED + PAUSE - TICK;
		refused |= node_stat(here(), "refill_fail") > fails && longest < WAITED - TICK;
	}
	unmap_blocks(p, WANT);
	TH_LOG("%.3f s from a late question to the next one's answer, attempt %d", took, attempt);
	EXPECT_STREQ("", broken());
	if (!soon && !refused)
		SKIP(return, "each attempt took longer than nobody is waited for");
	EXPECT_TRUE(soon);
}

/* The device goes while its pages are being taken back. */
TEST_F_TIMEOUT(refill, removed, LONG)
{
	long pages;
	int round;

	for (round = 0; round < 2; round++) {
		pages = squeeze(here(), there());
		ASSERT_LT(0, pages);
		ASSERT_EQ(0, give_credit(pages, pages));
		/* Only a host that is waited for is slow. */
		ASSERT_EQ(0, sim_set("delay_ms", 5));
		ASSERT_TRUE(start(threads, 16, 8 * MIB, 0, SHORT, -1));
		usleep(400000);
		EXPECT_EQ(0, sim_set("enable", 0));
		EXPECT_EQ(0, sum_pages());
		usleep(200000);
		EXPECT_EQ(0, stop(threads, 16));
		refresh_vmstat();
		EXPECT_EQ(0, vmstat_balloon());
		EXPECT_EQ(0, sim_get("held"));
		ASSERT_EQ(0, sim_set("delay_ms", 0));
		ASSERT_EQ(0, write_number(HOLD, 0));
		ASSERT_EQ(0, sim_enable());
		EXPECT_STREQ("", broken());
	}
}

/*
 * 64 threads on all nodes while the host's target moves, and the worker is held
 * or not: with it, without it and against it.
 */
static void contention(struct __test_metadata *_metadata, const char *mode)
{
	long most, lowest, least, target, each, above = LONG_MAX;
	struct account before, after;
	int nid = -1, i, rounds;
	struct node_memory m;
	double end;

	/* What CPUs keep may be more than all threads use. */
	limit_cpu_lists(true);
	all_memory(&m);
	/*
	 * When the balloon is largest, the nodes have 6 superframes each above
	 * what it must leave, whether whole or in pieces. All nodes together have
	 * enough for all threads; but one of them has more than half of these, and
	 * is short of memory for them.
	 */
	most = (m.spare - 6 * nr_nodes) * SUPERFRAME;
	lowest = most - 16 * nr_nodes * SUPERFRAME;
	least = most;
	ASSERT_LT(0, lowest);
	ASSERT_TRUE(set_target(most));
	ASSERT_TRUE(wait_settled(20));
	for (i = 0; i < nr_nodes; i++)
		ASSERT_TRUE(use_the_rest(nodes[i], 6 + reserve_of(nodes[i])));
	all_memory(&m);
	/* They seldom have all of it at a time, and refills begin below the low marks only. */
	each = (m.above + m.usable) / 2 * PAGE / THREADS / PAGE * PAGE;
	ASSERT_EQ(0, write_text(MODE, mode));
	ASSERT_EQ(0, sim_set("least_held", 0));
	take_account(&before);
	srandom(1);
	/* If by chance that was enough for all of them, all are on one node the second time. */
	for (rounds = 0; rounds < 2 && sum_stat("refill") == before.refills; rounds++) {
		/*
		 * They keep it for longer than all of them need to write to theirs: few have it
		 * at a time otherwise, and nothing is refilled for as long as they try.
		 */
		ASSERT_TRUE(start(threads, THREADS, each, 0, 200 * SHORT, nid));
		nid = here();
		/* Emulated, so many threads need a while to get going, one CPU's above all. */
		end = now() + (rounds ? 240 : 30);
		for (i = 0; i < MOVES || (sum_stat("refill") == before.refills && now() < end);
		     i++) {
			/* Held when there is credit, so that threads get some of it. */
			target = lowest + random() % (most - lowest);
			least = target < least ? target : least;
			ASSERT_EQ(0, write_number(HOLD, target < sum_pages()));
			ASSERT_EQ(0, sim_set("target", target));
			usleep(200000 + random() % 200000);
			node_memory(nid, &m);
			above = m.above < above ? m.above : above;
		}
		EXPECT_EQ(0, stop(threads, THREADS));
	}
	limit_cpu_lists(false);
	ASSERT_EQ(0, write_number(HOLD, 0));
	ASSERT_EQ(0, sim_set("target", most));
	EXPECT_TRUE(wait_pages(most, 30));
	ASSERT_TRUE(wait_settled(10));
	take_account(&after);
	TH_LOG("%d rounds: %ld refilled, %ld exchanged, %ld failed; least held %ld of %ld..%ld",
	       rounds, after.refills - before.refills, after.exchanges - before.exchanges,
	       after.fails - before.fails, sim_get("least_held"), least, most);
	TH_LOG("up to %ld KiB a thread, here %ld pages above the watermarks at least",
	       each / 1024, above);
	EXPECT_LE(least, sim_get("least_held"));
	EXPECT_LT(before.refills, after.refills);
	EXPECT_EQ(after.total - before.total, after.moved - before.moved -
		  (after.refills - before.refills) + (after.exchanges - before.exchanges));
	EXPECT_STREQ("", broken());
}

TEST_F_TIMEOUT(refill, contention_credit, 3 * LONG)
{
	contention(_metadata, "credit\n");
}

TEST_F_TIMEOUT(refill_once, contention_exchange, 3 * LONG)
{
	contention(_metadata, "exchange\n");
}

/* What the zones keep in reserve, and what they manage if @managed. */
static void reserves(char *text, size_t size, bool managed)
{
	FILE *f = fopen("/proc/zoneinfo", "r");
	char line[512], zone[64] = "";
	long value;
	size_t len = 0;

	text[0] = '\0';
	while (f && fgets(line, sizeof(line), f) && len + 256 < size) {
		char name[16];

		if (!strncmp(line, "Node", 4)) {
			snprintf(zone, sizeof(zone), "%.*s", (int)strcspn(line, "\n"), line);
			len += snprintf(text + len, size - len, "%s:", zone);
		} else if (sscanf(line, " %15[a-z] %ld", name, &value) == 2) {
			if (!strcmp(name, "min") || !strcmp(name, "low") || !strcmp(name, "high"))
				len += snprintf(text + len, size - len, " %s %ld", name,
						value);
			if (managed && !strcmp(name, "managed"))
				len += snprintf(text + len, size - len, " managed %ld", value);
		} else if (strstr(line, "protection:")) {
			len += snprintf(text + len, size - len, "%s", line);
		}
	}
	if (f)
		fclose(f);
}

TEST_F_TIMEOUT(refill, watermarks, LONG)
{
	static char before[16384], during[16384], after[16384];
	static char all_before[16384], all_after[16384];
	struct account first, last;
	long pages, total_pages = meminfo_kb("MemTotal");

	reserves(before, sizeof(before), false);
	reserves(all_before, sizeof(all_before), true);
	/* The text has what it should: zones with watermarks and reserves. */
	ASSERT_NE(NULL, strstr(before, " high "));
	ASSERT_NE(NULL, strstr(before, "protection: ("));
	ASSERT_NE(NULL, strstr(all_before, " managed "));

	pages = squeeze(here(), there());
	ASSERT_LT(0, pages);
	EXPECT_EQ(total_pages - kib(pages), meminfo_kb("MemTotal"));
	reserves(during, sizeof(during), false);
	EXPECT_STREQ(before, during);

	ASSERT_EQ(0, give_credit(pages, CREDIT));
	take_account(&first);
	ASSERT_EQ(0, numa_run_on_node(here()));
	EXPECT_LE(0, want_on(here(), MADV_NOHUGEPAGE));
	take_account(&last);
	EXPECT_LT(first.refills, last.refills);
	EXPECT_EQ(total_pages - kib(last.total), meminfo_kb("MemTotal"));
	reserves(during, sizeof(during), false);
	EXPECT_STREQ(before, during);

	ASSERT_EQ(0, write_number(HOLD, 0));
	ASSERT_TRUE(set_target(0));
	reserves(after, sizeof(after), false);
	EXPECT_STREQ(before, after);
	reserves(all_after, sizeof(all_after), true);
	EXPECT_STREQ(all_before, all_after);
	EXPECT_EQ(total_pages, meminfo_kb("MemTotal"));
}

TEST_HARNESS_MAIN
