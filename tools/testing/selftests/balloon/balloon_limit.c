// SPDX-License-Identifier: GPL-2.0
/*
 * Limits of nodes on each way into the balloon, what a node says that it could give, and
 * who waits for the balloon's state.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "refill.h"

/* The worker's largest batch. */
#define BATCH		(128 * SUPERFRAME)

static int node_limit(int nid, long pages)
{
	return write_number(node_path(nid, "limit"), pages);
}

/* What no limit is: every test is to leave it so. */
static void no_limits(void)
{
	int i;

	for (i = 0; i < nr_nodes; i++)
		write_text(node_path(nodes[i], "limit"), "max\n");
}

/* What a node could give: -1 where the file is not as it should be. */
struct available {
	long superframes;
	long evacuation;
	long pages;
	long sum;
};

static int read_available(int nid, struct available *a)
{
	char text[128];
	int n = 0;

	memset(a, 0, sizeof(*a));
	if (read_text(node_path(nid, "available"), text, sizeof(text)) <= 0)
		return -1;
	if (sscanf(text, "superframes %ld\nevacuation %ld\npages %ld\n%n", &a->superframes,
		   &a->evacuation, &a->pages, &n) != 3 || text[n])
		return -1;
	a->sum = (a->superframes + a->evacuation) * SUPERFRAME + a->pages;
	return 0;
}

/* Looks at a node all the time, from another thread. */
struct watch {
	int nid;
	bool stop;
	long most;
	long looks;
	pthread_t thread;
};

static void *watch_node(void *arg)
{
	struct watch *w = arg;
	char text[128];
	int fd;

	snprintf(text, sizeof(text), "/sys/devices/system/node/node%d/balloon/nr_pages", w->nid);
	fd = open(text, O_RDONLY);
	while (!__atomic_load_n(&w->stop, __ATOMIC_ACQUIRE)) {
		ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

		if (n > 0) {
			text[n] = '\0';
			w->most = atol(text) > w->most ? atol(text) : w->most;
			w->looks++;
		}
		/* A CPU of its own would be missed by what it looks at. */
		usleep(1000);
	}
	close(fd);
	return NULL;
}

static int watch_begin(struct watch *w, int nid)
{
	*w = (struct watch){ .nid = nid };
	return pthread_create(&w->thread, NULL, watch_node, w);
}

/* The most that it held. */
static long watch_end(struct watch *w)
{
	__atomic_store_n(&w->stop, true, __ATOMIC_RELEASE);
	pthread_join(w->thread, NULL);
	return w->most;
}

FIXTURE(limit)
{
	FIXTURE_DATA(balloon) balloon;
};

FIXTURE_SETUP(limit)
{
	balloon_setup(_metadata, &self->balloon, NULL);
	if (_metadata->exit_code)
		return;
	no_limits();
	if (nr_nodes < 2)
		SKIP(return, "needs two nodes");
	/* What others use is not what limits are about. */
	ASSERT_EQ(0, write_text(ALL "reclaim", "none\n"));
	limit_cpu_lists(true);
}

FIXTURE_TEARDOWN(limit)
{
	no_limits();
	limit_cpu_lists(false);
	balloon_teardown(_metadata, &self->balloon, NULL);
}

static int last(void)
{
	return nodes[nr_nodes - 1];
}

/* The host wants more than all others have: the node stays empty, and that is why it waits. */
TEST_F_TIMEOUT(limit, zero_and_a_large_total, LONG)
{
	struct node_memory m, all;
	struct watch w;

	ASSERT_EQ(0, node_limit(last(), 0));
	EXPECT_EQ(0, node_number(last(), "limit"));
	ASSERT_EQ(0, watch_begin(&w, last()));
	all_memory(&all);
	ASSERT_EQ(0, sim_set("target", all.present));
	EXPECT_TRUE(wait_state("waiting: limit ", 60));
	EXPECT_EQ(0, watch_end(&w));
	EXPECT_LT(0L, w.looks);
	node_memory(last(), &m);
	TH_LOG("%ld pages; node %d has %ld to spare, looked at %ld times", sum_pages(), last(),
	       m.give, w.looks);
	EXPECT_LT(0, sum_pages());
	EXPECT_EQ(0, node_number(last(), "nr_pages"));
	EXPECT_STREQ("", broken());

	/* Who raises it gets what is there: up to it, and then all. */
	ASSERT_EQ(0, node_limit(last(), scaled(1000)));
	EXPECT_TRUE(wait_state("waiting: limit ", 30));
	EXPECT_TRUE(wait_settled(20));
	EXPECT_EQ(scaled(1000), node_number(last(), "nr_pages"));
	ASSERT_EQ(0, write_text(node_path(last(), "limit"), "max\n"));
	EXPECT_TRUE(wait_state("waiting: guest-memory ", 60));
	EXPECT_LT(m.give / 2, node_number(last(), "nr_pages"));
	EXPECT_STREQ("", broken());
	ASSERT_TRUE(set_target(0));
}

/* With policy local, and where the request arrives on that very node. */
TEST_F_TIMEOUT(limit, zero_and_policies, LONG)
{
	static const char * const policies[] = { "balance\n", "local\n" };
	struct watch w;
	unsigned int i;

	ASSERT_EQ(0, node_limit(last(), 0));
	if (has_cpu(last()))
		ASSERT_EQ(0, numa_run_on_node(last()));
	ASSERT_EQ(0, watch_begin(&w, last()));
	for (i = 0; i < ARRAY_SIZE(policies); i++) {
		ASSERT_EQ(0, write_text(ALL "policy", policies[i]));
		ASSERT_TRUE(set_target(40 * SUPERFRAME + 77));
		ASSERT_TRUE(wait_settled(10));
		ASSERT_TRUE(set_target(0));
	}
	EXPECT_EQ(0, watch_end(&w));
	EXPECT_STREQ("", broken());
}

/* A target of the node itself goes to the others around it, before the total and after. */
TEST_F_TIMEOUT(limit, zero_and_a_target, LONG)
{
	long pages = 20 * SUPERFRAME;
	struct watch w;

	ASSERT_EQ(0, node_limit(last(), 0));
	ASSERT_EQ(0, watch_begin(&w, last()));
	ASSERT_EQ(0, node_target(last(), pages));
	ASSERT_TRUE(set_target(pages));
	EXPECT_TRUE(wait_state("settled\n", 10));
	ASSERT_EQ(0, node_target_auto(last()));
	ASSERT_TRUE(wait_settled(10));
	ASSERT_EQ(0, node_target(last(), pages));
	ASSERT_TRUE(wait_settled(10));
	EXPECT_EQ(pages, sum_pages());
	EXPECT_EQ(0, watch_end(&w));

	/* It has its target as soon as it may. */
	ASSERT_EQ(0, node_limit(last(), pages / 2));
	ASSERT_TRUE(wait_settled(10));
	EXPECT_EQ(pages / 2, node_number(last(), "nr_pages"));
	EXPECT_EQ(pages, sum_pages());
	EXPECT_STREQ("", broken());
}

/* To the page, whatever is ballooned there in whole superframes or in pieces. */
TEST_F_TIMEOUT(limit, to_the_page, LONG)
{
	const long limits[] = {
		1, SUPERFRAME - 1, SUPERFRAME, SUPERFRAME + 1, 2 * SUPERFRAME - scaled(24),
		2 * SUPERFRAME, 3 * SUPERFRAME + scaled(100),
	};
	struct node_memory all;
	unsigned int i, k;

	all_memory(&all);
	for (i = 0; (int)i < nr_nodes - 1; i++)
		ASSERT_EQ(0, node_limit(nodes[i], 0));
	for (k = 0; k < 2; k++) {
		for (i = 0; i < ARRAY_SIZE(limits); i++) {
			long limit = limits[k ? ARRAY_SIZE(limits) - 1 - i : i];

			ASSERT_EQ(0, node_limit(last(), limit));
			ASSERT_EQ(0, sim_set("target", all.present));
			EXPECT_TRUE(wait_state("waiting: limit ", 60));
			ASSERT_TRUE(wait_settled(20));
			EXPECT_EQ(limit, node_number(last(), "nr_pages"));
			EXPECT_STREQ("", broken());
			/* In one go, and from what is there already. */
			if (!k)
				ASSERT_TRUE(set_target(0));
		}
	}
	ASSERT_TRUE(set_target(0));
}

/* Wait until a node holds no more than that. Returns the seconds it took, or -1. */
static double wait_node(int nid, bool below, long pages, long *least)
{
	double began = now();

	while (below ? node_number(nid, "nr_pages") > pages :
		       node_number(nid, "nr_pages") < pages) {
		long sum = read_number(ALL "nr_pages");

		*least = sum < *least ? sum : *least;
		if (now() - began > 120)
			return -1;
		usleep(2000);
	}
	return now() - began;
}

/* Lowered below what the node holds: that moves, and the host has no less meanwhile. */
TEST_F_TIMEOUT(limit, lowered, LONG)
{
	int a = nodes[nr_nodes - 2], b = last();
	struct node_memory from, to;
	double target, limit;
	long total, least;

	node_memory(a, &from);
	node_memory(b, &to);
	total = (from.spare < to.spare ? from.spare : to.spare) / 2 * SUPERFRAME;
	ASSERT_EQ(0, node_target(b, total));
	ASSERT_TRUE(set_target(total));
	ASSERT_TRUE(wait_settled(20));
	ASSERT_EQ(total, node_number(b, "nr_pages"));

	/* As long as the same takes for a node's target, at most twice. */
	least = total;
	ASSERT_EQ(0, node_target(a, total));
	ASSERT_EQ(0, node_target_auto(b));
	target = wait_node(a, false, total, &least);
	ASSERT_EQ(0, node_target_auto(a));
	ASSERT_TRUE(wait_settled(20));

	ASSERT_EQ(0, sim_set("least_held", 0));
	ASSERT_EQ(0, sim_set("most_held", 0));
	ASSERT_EQ(0, node_limit(a, total / 4));
	limit = wait_node(a, true, total / 4, &least);
	TH_LOG("%ld pages: target %.2f s, limit %.2f s; host held %ld to %ld", total, target,
	       limit, sim_get("least_held"), sim_get("most_held"));
	ASSERT_TRUE(wait_settled(20));
	EXPECT_LE(0, limit);
	/* Three quarters of it move. */
	EXPECT_GE(2 * target * 3 / 4 + 0.5, limit);
	EXPECT_EQ(total / 4, node_number(a, "nr_pages"));
	EXPECT_EQ(total, sum_pages());
	EXPECT_EQ(total, least);
	EXPECT_LE(total, sim_get("least_held"));
	EXPECT_GE(total + BATCH, sim_get("most_held"));
	EXPECT_TRUE(wait_state("settled\n", 5));
	EXPECT_STREQ("", broken());
}

/* There is no other place for it: it goes back, and the host's target waits for the limit. */
TEST_F_TIMEOUT(limit, lowered_without_room, LONG)
{
	long total = nr_nodes * 12 * SUPERFRAME;
	int i;

	ASSERT_TRUE(set_target(total));
	ASSERT_TRUE(wait_settled(10));
	for (i = 0; i < nr_nodes; i++)
		ASSERT_EQ(0, node_limit(nodes[i], 5 * SUPERFRAME + 3));
	EXPECT_TRUE(wait_state("waiting: limit ", 30));
	ASSERT_TRUE(wait_settled(20));
	for (i = 0; i < nr_nodes; i++)
		EXPECT_EQ(5 * SUPERFRAME + 3, node_number(nodes[i], "nr_pages"));
	EXPECT_EQ(total, read_number(ALL "target"));
	EXPECT_STREQ("", broken());
	/* It waits, and does nothing else. */
	EXPECT_EQ(0, read_number(BUSY));
	no_limits();
	EXPECT_TRUE(wait_pages(total, 20));
	EXPECT_TRUE(wait_state("settled\n", 10));
	EXPECT_STREQ("", broken());
}

/* A host that gives nothing back keeps it there; when it does again, the limit is obeyed. */
TEST_F_TIMEOUT(limit, lowered_and_refused, LONG)
{
	long pages = 20 * SUPERFRAME;

	ASSERT_EQ(0, node_target(last(), pages));
	ASSERT_TRUE(set_target(pages));
	ASSERT_TRUE(wait_settled(10));
	ASSERT_EQ(0, sim_set("refuse_deflate", 4294967295L));
	ASSERT_EQ(0, node_limit(last(), 0));
	EXPECT_TRUE(wait_state("waiting: host-refused ", 20));
	EXPECT_LT(0, node_number(last(), "nr_pages"));
	EXPECT_STREQ("", broken());
	ASSERT_EQ(0, sim_set("refuse_deflate", 0));
	/* The timer is what tries again. */
	EXPECT_TRUE(wait_state("settled\n", 40));
	EXPECT_EQ(0, node_number(last(), "nr_pages"));
	EXPECT_EQ(pages, sum_pages());
	EXPECT_STREQ("", broken());
}

/* Lent pages count for it, and are nobody's to give back. */
TEST_F_TIMEOUT(limit, lent_pages, LONG)
{
	long lend = scaled(300), limit = scaled(100), lent;

	ASSERT_EQ(0, node_target(last(), 4 * SUPERFRAME));
	ASSERT_TRUE(set_target(4 * SUPERFRAME));
	ASSERT_TRUE(wait_settled(10));
	ASSERT_EQ(0, sim_set("lend", lend));
	ASSERT_EQ(lend, node_number(last(), "nr_foreign"));
	ASSERT_EQ(0, node_limit(last(), limit));
	ASSERT_TRUE(wait_settled(20));
	lent = node_number(last(), "nr_foreign");
	EXPECT_EQ(lend, lent);
	EXPECT_EQ(lent, node_number(last(), "nr_pages"));
	EXPECT_EQ(4 * SUPERFRAME, sum_pages());
	EXPECT_STREQ("", broken());
	ASSERT_EQ(0, sim_set("lend", 0));
	ASSERT_TRUE(wait_settled(20));
	EXPECT_EQ(limit, node_number(last(), "nr_pages"));
	EXPECT_EQ(4 * SUPERFRAME, sum_pages());
	EXPECT_STREQ("", broken());
}

/* A node that is kept off gives nothing for others' refills either. */
TEST_F_TIMEOUT(limit, zero_and_exchanges, LONG)
{
	struct account before, after;
	struct watch w;
	long pages;
	int i;

	if (numa_available() < 0 || !has_cpu(here()))
		SKIP(return, "needs CPUs on the last node");
	steady_memory(true);
	pages = squeeze(here(), -1);
	ASSERT_LT(0, pages);
	ASSERT_EQ(0, write_text(MODE, "exchange\n"));
	ASSERT_EQ(0, give_credit(pages, 0));
	for (i = 0; i < nr_nodes - 1; i++)
		ASSERT_EQ(0, node_limit(nodes[i], 0));
	ASSERT_EQ(0, write_text("/proc/self/oom_score_adj", "-1000\n"));
	ASSERT_EQ(0, numa_run_on_node(here()));

	ASSERT_EQ(0, watch_begin(&w, there()));
	take_account(&before);
	EXPECT_LE(0, want_on(here(), MADV_NOHUGEPAGE));
	take_account(&after);
	EXPECT_EQ(before.exchanges, after.exchanges);
	EXPECT_EQ(0, watch_end(&w));
	for (i = 0; i < nr_nodes - 1; i++)
		EXPECT_EQ(0, node_number(nodes[i], "nr_pages"));
	EXPECT_EQ(pages, after.held);

	/* One may give again, up to its limit. */
	ASSERT_EQ(0, node_limit(there(), 3 * SUPERFRAME));
	ASSERT_EQ(0, watch_begin(&w, there()));
	usleep(300000);
	EXPECT_LE(0, want_on(here(), MADV_NOHUGEPAGE));
	take_account(&after);
	TH_LOG("%ld pages exchanged", after.exchanges - before.exchanges);
	EXPECT_LT(before.exchanges, after.exchanges);
	EXPECT_GE(3 * SUPERFRAME, watch_end(&w));
	EXPECT_LT(0, node_number(there(), "nr_pages"));
	EXPECT_STREQ("", broken());
	free_the_rest();
	steady_memory(false);
}

/* Superframes of a node that are fragmented; it takes its time. */
#define FRAGMENTED	64

/* A node that is used: whole blocks, then every other page of some. */
struct use {
	char *whole;
	size_t whole_bytes;
	char *half;
	size_t half_bytes;
};

static void free_use(struct use *u)
{
	if (u->whole)
		munmap(u->whole, u->whole_bytes);
	if (u->half)
		munmap(u->half, u->half_bytes);
	*u = (struct use){ };
}

/* Use a node so that nearly all superframes that are left have to be made. */
static bool fragment(struct use *u, int nid)
{
	struct node_memory m;
	size_t i;

	*u = (struct use){ };
	if (!use_all_but(nid, FRAGMENTED, &u->whole, &u->whole_bytes))
		return false;
	node_memory(nid, &m);
	u->half_bytes = m.give * 9 / 10 * PAGE;
	u->half = map(u->half_bytes, nid, MADV_NOHUGEPAGE);
	if (!u->half)
		return false;
	touch(u->half, u->half_bytes);
	for (i = 0; i < u->half_bytes; i += 2 * PAGE)
		madvise(u->half + i, PAGE, MADV_DONTNEED);
	return true;
}

/* Evacuation and compaction: what is put together is no more than the limit. */
TEST_F_TIMEOUT(limit, evacuation_and_compaction, LONG)
{
	struct available a;
	struct watch w;
	struct use use;
	long limit;
	int i;

	ASSERT_TRUE(fragment(&use, last()));
	ASSERT_EQ(0, read_available(last(), &a));
	limit = a.sum / 3;
	ASSERT_EQ(0, node_limit(last(), limit));
	ASSERT_EQ(0, watch_begin(&w, last()));
	ASSERT_EQ(0, node_target(last(), a.sum));
	ASSERT_EQ(0, sim_set("target", a.sum));
	EXPECT_TRUE(wait_pages(a.sum, 60));
	for (i = 0; i < 5; i++) {
		EXPECT_EQ(0, write_text(PROC_VM "compact_memory", "1\n"));
		ASSERT_TRUE(wait_settled(20));
	}
	TH_LOG("limit %ld, held %ld at most; %ld superframes", limit, watch_end(&w),
	       node_number(last(), "nr_superframes"));
	EXPECT_EQ(limit, node_number(last(), "nr_pages"));
	/* A batch of pages that take each other's place is in twice for a moment. */
	EXPECT_GE(limit + SUPERFRAME, w.most);
	EXPECT_STREQ("", broken());
	free_use(&use);
}

/* All ways at once, from several threads, for a while: not a page. */
static void *mess(void *arg)
{
	bool *stop = arg;

	while (!__atomic_load_n(stop, __ATOMIC_ACQUIRE)) {
		char *p = map(16 * MIB, -1, MADV_NOHUGEPAGE);

		if (p) {
			touch(p, 16 * MIB);
			munmap(p, 16 * MIB);
		}
		write_text(PROC_VM "compact_memory", "1\n");
	}
	return NULL;
}

TEST_F_TIMEOUT(limit, zero_throughout, LONG)
{
	long most = half(), rounds = 0;
	bool stop = false;
	pthread_t thread;
	struct watch w;
	double end;

	ASSERT_EQ(0, node_limit(last(), 0));
	ASSERT_EQ(0, write_text(MODE, "exchange\n"));
	ASSERT_EQ(0, write_text(ALL "reclaim", "swap\n"));
	ASSERT_EQ(0, watch_begin(&w, last()));
	ASSERT_EQ(0, pthread_create(&thread, NULL, mess, &stop));
	srand(19);
	for (end = now() + 20; now() < end; rounds++) {
		int nid = nodes[rand() % nr_nodes];

		sim_set("target", rand() % (most + most / 4));
		if (rand() % 3)
			node_target(nid, rand() % most);
		else
			node_target_auto(nid);
		if (nid != last() && rand() % 2)
			node_limit(nid, rand() % most);
		usleep(rand() % 200000);
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	EXPECT_EQ(0, watch_end(&w));
	TH_LOG("%ld rounds, %ld looks", rounds, w.looks);
	EXPECT_TRUE(wait_settled(60));
	EXPECT_EQ(0, node_number(last(), "nr_pages"));
	EXPECT_STREQ("", broken());
}

/*
 * A target of exactly what a node says that it could give. The others give nothing: what is
 * in pieces is taken only when nobody has a superframe left.
 */
static void inflate_available(struct __test_metadata *_metadata, int nid, const char *how)
{
	struct node_memory m;
	struct available a;
	long got, said, slack;
	int i;

	for (i = 0; i < nr_nodes; i++)
		ASSERT_EQ(0, nodes[i] == nid ? 0 : node_limit(nodes[i], 0));
	/* What other CPUs keep counts, too. */
	ASSERT_EQ(0, read_available(nid, &a));
	ASSERT_EQ(0, node_target(nid, a.sum));
	ASSERT_EQ(0, sim_set("target", a.sum));
	ASSERT_TRUE(wait_settled(60));
	got = node_number(nid, "nr_pages");
	TH_LOG("node %d, %s: superframes %ld + %ld by evacuation, pages %ld: %ld; got %ld in %ld",
	       nid, how, a.superframes, a.evacuation, a.pages, a.sum, got,
	       node_number(nid, "nr_superframes"));
	/*
	 * 5 %, but of small nodes that is less than what a superframe or two make that can't
	 * be emptied after all, with the pages that were to come beside them.
	 */
	slack = a.sum / 20 > 3 * SUPERFRAME ? a.sum / 20 : 3 * SUPERFRAME;
	EXPECT_LE(a.sum - slack, got);
	/* All superframes that are free are had as such. */
	EXPECT_LE(a.superframes * 95 / 100, node_number(nid, "nr_superframes"));
	/* What is had is not available any more; but some becomes free. */
	said = a.sum;
	ASSERT_EQ(0, read_available(nid, &a));
	EXPECT_GE(got / 20 + 2 * SUPERFRAME, a.sum);
	/* Nor is there more than was said, for a target of all that the node has. */
	node_memory(nid, &m);
	ASSERT_EQ(0, node_target(nid, m.present));
	ASSERT_EQ(0, sim_set("target", m.present));
	ASSERT_TRUE(wait_settled(60));
	got = node_number(nid, "nr_pages");
	TH_LOG("node %d, %s: %ld at most", nid, how, got);
	EXPECT_LE(got * 95 / 100, said);
	EXPECT_GE(got * 105 / 100, said);
	EXPECT_STREQ("", broken());
	ASSERT_EQ(0, node_target_auto(nid));
	no_limits();
	ASSERT_TRUE(set_target(0));
	ASSERT_TRUE(wait_settled(20));
}

TEST_F_TIMEOUT(limit, available_idle, LONG)
{
	int i;

	for (i = 0; i < nr_nodes; i++)
		inflate_available(_metadata, nodes[i], "idle");
}

TEST_F_TIMEOUT(limit, available_in_use, LONG)
{
	struct node_memory m;
	size_t bytes;
	char *p;
	int i;

	for (i = 0; i < nr_nodes; i++) {
		node_memory(nodes[i], &m);
		bytes = m.give / 2 * PAGE;
		p = map_used(bytes, nodes[i]);
		ASSERT_NE(NULL, p);
		touch(p, bytes);
		inflate_available(_metadata, nodes[i], "half used");
		EXPECT_TRUE(touched(p, bytes));
		munmap(p, bytes);
	}
}

TEST_F_TIMEOUT(limit, available_fragmented, LONG)
{
	struct use use;
	int i;

	/* The first, which the kernel has its own memory on, and the last. */
	for (i = 0; i < nr_nodes; i += nr_nodes - 1) {
		ASSERT_TRUE(fragment(&use, nodes[i]));
		inflate_available(_metadata, nodes[i], "fragmented");
		free_use(&use);
	}
}

/* The limit is part of what could be inflated; and a host without superframes gets none. */
TEST_F_TIMEOUT(limit, available_within_limit, LONG)
{
	struct available all, a;

	ASSERT_EQ(0, read_available(last(), &all));
	EXPECT_LT(10, all.superframes);
	ASSERT_EQ(0, node_limit(last(), 0));
	ASSERT_EQ(0, read_available(last(), &a));
	EXPECT_EQ(0, a.sum);
	ASSERT_EQ(0, node_limit(last(), 2 * SUPERFRAME + 9));
	ASSERT_EQ(0, read_available(last(), &a));
	EXPECT_EQ(2, a.superframes);
	EXPECT_EQ(0, a.evacuation);
	EXPECT_EQ(9, a.pages);
	ASSERT_TRUE(set_target(nr_nodes * 10 * SUPERFRAME));
	ASSERT_TRUE(wait_settled(10));
	ASSERT_EQ(0, read_available(last(), &a));
	EXPECT_EQ(2 * SUPERFRAME + 9 - node_number(last(), "nr_pages"), a.sum);
	ASSERT_TRUE(set_target(0));

	no_limits();
	ASSERT_EQ(0, sim_enable_as("max_order", "0\n"));
	ASSERT_EQ(0, read_available(last(), &a));
	EXPECT_EQ(0, a.superframes);
	EXPECT_EQ(0, a.evacuation);
	EXPECT_LT(all.sum * 9 / 10, a.sum);
}

/* Waits for changes of the state, and says when it has read them. */
struct waiter {
	pthread_t thread;
	bool stop;
	int wakes;
	char text[64];
	double at;
};

static bool read_state(int fd, char *text, size_t size)
{
	ssize_t n = pread(fd, text, size - 1, 0);

	text[n > 0 ? n : 0] = 0;
	return n > 0;
}

static void *wait_for_state(void *arg)
{
	struct waiter *w = arg;
	int fd = open(ALL "state", O_RDONLY);
	struct pollfd pfd = { .fd = fd, .events = POLLPRI };
	char text[64];

	if (fd < 0 || !read_state(fd, text, sizeof(text)))
		return NULL;
	while (!__atomic_load_n(&w->stop, __ATOMIC_ACQUIRE)) {
		if (poll(&pfd, 1, 100) <= 0)
			continue;
		w->at = now();
		read_state(fd, w->text, sizeof(w->text));
		__atomic_fetch_add(&w->wakes, 1, __ATOMIC_RELEASE);
	}
	close(fd);
	return NULL;
}

/* The file is read in a loop until it says something else; who polls it was as quick. */
static double late(struct waiter *w, const char *state)
{
	double end = now() + 60, seen;
	char text[64];

	while (read_text(ALL "state", text, sizeof(text)) <= 0 ||
	       strncmp(text, state, strlen(state)))
		if (now() > end)
			return 1e9;
	seen = now();
	while (__atomic_load_n(&w->wakes, __ATOMIC_ACQUIRE) == 0 ||
	       strncmp(w->text, state, strlen(state)))
		if (now() > end)
			return 1e9;
	return w->at - seen;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

TEST_F_TIMEOUT(limit, state_is_polled, LONG)
{
	double t[20];
	struct waiter w = { };
	int i, before;

	EXPECT_TRUE(wait_state("settled\n", 5));
	ASSERT_EQ(0, pthread_create(&w.thread, NULL, wait_for_state, &w));
	usleep(300000);
	/* Nobody is woken for nothing. */
	EXPECT_EQ(0, w.wakes);
	for (i = 0; i < 10; i++) {
		ASSERT_EQ(0, write_number(HOLD, 1));
		t[2 * i] = late(&w, "waiting: held ");
		ASSERT_EQ(0, write_number(HOLD, 0));
		t[2 * i + 1] = late(&w, "settled\n");
	}
	/* One may be held up on a busy machine. */
	qsort(t, 20, sizeof(*t), by_size);
	TH_LOG("woken %.1f to %.1f ms late, in the middle %.1f", t[0] * 1e3, t[19] * 1e3,
	       t[10] * 1e3);
	EXPECT_GE(0.1, t[15]);
	EXPECT_GE(10, t[19]);

	/* What is asked for is pending until it is settled, and that is told, too. */
	before = w.wakes;
	ASSERT_EQ(0, sim_set("target", 0));
	EXPECT_TRUE(wait_settled(5));
	EXPECT_LT(before, w.wakes);
	EXPECT_STREQ("settled\n", w.text);
	__atomic_store_n(&w.stop, true, __ATOMIC_RELEASE);
	pthread_join(w.thread, NULL);
}

/* Who has set a target is not told that all is settled before it is. */
TEST_F_TIMEOUT(limit, state_is_not_stale, LONG)
{
	char text[64];
	int i;

	for (i = 1; i <= 200; i++) {
		long pages = (i % 7 + 1) * SUPERFRAME;

		ASSERT_EQ(0, sim_set("target", pages));
		do {
			ASSERT_LT(0, read_text(ALL "state", text, sizeof(text)));
		} while (strcmp(text, "settled\n"));
		ASSERT_EQ(pages, read_number(ALL "nr_pages"))
			TH_LOG("round %d", i);
	}
	/* Nor where pages only move. */
	ASSERT_TRUE(set_target(20 * SUPERFRAME));
	for (i = 0; i < 40; i++) {
		int nid = nodes[i % nr_nodes];

		ASSERT_EQ(0, node_target(nid, 20 * SUPERFRAME));
		do {
			ASSERT_LT(0, read_text(ALL "state", text, sizeof(text)));
		} while (strcmp(text, "settled\n"));
		ASSERT_EQ(20 * SUPERFRAME, node_number(nid, "nr_pages"))
			TH_LOG("round %d", i);
		ASSERT_EQ(0, node_target_auto(nid));
	}
}

/* Nor of what was in the way of a former one. */
TEST_F_TIMEOUT(limit, state_has_no_old_reason, LONG)
{
	long pages = (nr_nodes + 2) * SUPERFRAME;
	char text[64];
	int i, n;

	for (i = 0; i < 20; i++) {
		for (n = 0; n < nr_nodes; n++)
			ASSERT_EQ(0, node_limit(nodes[n], SUPERFRAME));
		ASSERT_EQ(0, sim_set("target", pages));
		ASSERT_TRUE(wait_state("waiting: limit ", 20));
		no_limits();
		do {
			ASSERT_LT(0, read_text(ALL "state", text, sizeof(text)));
			ASSERT_NE(0, strncmp(text, "waiting", 7))
				TH_LOG("round %d: %s", i, text);
		} while (strcmp(text, "settled\n"));
		ASSERT_EQ(pages, sum_pages());
	}
}

/* What moves is not settled, and takes its seconds. */
TEST_F_TIMEOUT(limit, state_while_it_moves, LONG)
{
	long pages = 40 * SUPERFRAME;

	ASSERT_EQ(0, node_target(last(), pages));
	ASSERT_TRUE(set_target(pages));
	ASSERT_TRUE(wait_settled(10));
	ASSERT_EQ(0, sim_set("delay_ms", 500));
	ASSERT_EQ(0, node_limit(last(), 0));
	EXPECT_TRUE(wait_state("moving\n", 5));
	EXPECT_TRUE(wait_state("settled\n", 30));
	ASSERT_EQ(0, sim_set("delay_ms", 0));
	EXPECT_EQ(0, node_number(last(), "nr_pages"));
	EXPECT_EQ(pages, sum_pages());
}

/* Without a balloon, nothing is missing. */
TEST_F_TIMEOUT(limit, state_without_balloon, LONG)
{
	ASSERT_EQ(0, write_number(HOLD, 1));
	EXPECT_TRUE(wait_state("waiting: held ", 5));
	ASSERT_EQ(0, sim_disable());
	EXPECT_TRUE(wait_state("settled\n", 0.1));
	ASSERT_EQ(0, write_number(HOLD, 0));
	/* Limits outlive the device. */
	ASSERT_EQ(0, node_limit(last(), 77));
	ASSERT_EQ(0, sim_enable());
	EXPECT_EQ(77, node_number(last(), "limit"));
}

/* Each change of state is an event, with how long the former lasted. */
TEST_F_TIMEOUT(limit, state_is_traced, LONG)
{
#define TRACING	"/sys/kernel/tracing/"
	static char trace[1 << 16];
	char want[64];

	if (write_text(TRACING "events/balloon/balloon_state/enable", "1\n"))
		SKIP(return, "no tracefs");
	write_text(TRACING "trace", "\n");
	ASSERT_EQ(0, write_number(HOLD, 1));
	EXPECT_TRUE(wait_state("waiting: held ", 5));
	sleep(2);
	ASSERT_EQ(0, write_number(HOLD, 0));
	EXPECT_TRUE(wait_state("settled\n", 5));
	ASSERT_TRUE(set_target(4 * SUPERFRAME));
	EXPECT_TRUE(wait_state("settled\n", 5));
	write_text(TRACING "events/balloon/balloon_state/enable", "0\n");
	ASSERT_LT(0, read_text(TRACING "trace", trace, sizeof(trace)));
	EXPECT_NE(NULL, strstr(trace, "balloon_state: from=settled to=held seconds="));
	EXPECT_NE(NULL, strstr(trace, "balloon_state: from=held to=settled seconds=2 ") ?:
			strstr(trace, "balloon_state: from=held to=settled seconds=3 "));
	EXPECT_NE(NULL, strstr(trace, "balloon_state: from=settled to=inflating seconds="));
	EXPECT_NE(NULL, strstr(trace, "balloon_state: from=inflating to=settled seconds="));
	snprintf(want, sizeof(want), "target=%ld pages=%ld", 4 * SUPERFRAME, 4 * SUPERFRAME);
	EXPECT_NE(NULL, strstr(trace, want));
}

TEST_HARNESS_MAIN
