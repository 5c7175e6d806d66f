/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the tests of refill share: a node whose memory is in the balloon but for
 * what the allocator keeps, the host's leave to take some back, a worker that
 * stands still meanwhile, and a look at where memory came from.
 */
#ifndef _SELFTESTS_BALLOON_REFILL_H
#define _SELFTESTS_BALLOON_REFILL_H

#include <numa.h>
#include <numaif.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#include "fixture.h"
#include "memory.h"

#define MODE		ALL "refill"

#define MIB		0x100000UL

/* What the host lets the guest take back, and what a program then wants. */
#define CREDIT		(28 * SUPERFRAME)
#define WANT		(48 * MIB)

/*
 * Placement is right if 999 of 1000 pages are where they should be: the rest
 * may be what another task took between a refill and the allocation it was for.
 */
#define PLACED		999

/* What stays free on a squeezed node beyond what a target of it may take. */
#define SLACK		2

/* Superframes that the balloon leaves to a node, beyond its watermarks. */
static inline long reserve_of(int nid)
{
	struct node_memory m;

	node_memory(nid, &m);
	return (m.above - m.give + SUPERFRAME - 1) / SUPERFRAME;
}

/* What use_the_rest() uses, by node. */
static struct { char *p; size_t bytes; } rest[MAX_NODES];

/* What the nodes have and what refills did, by index into nodes[]. */
struct account {
	long pages[MAX_NODES];
	long refill[MAX_NODES];
	long exchange[MAX_NODES];
	long total;
	long refills;
	long exchanges;
	long fails;
	long held;
	long moved;
};

static inline void read_account(struct account *a)
{
	int i;

	memset(a, 0, sizeof(*a));
	for (i = 0; i < nr_nodes; i++) {
		a->pages[i] = node_number(nodes[i], "nr_pages");
		a->refill[i] = node_stat(nodes[i], "refill");
		a->exchange[i] = node_stat(nodes[i], "exchange");
		a->total += a->pages[i];
		a->refills += a->refill[i];
		a->exchanges += a->exchange[i];
	}
	a->fails = sum_stat("refill_fail");
	a->held = sim_get("held");
	a->moved = sum_stat("inflate_local") + sum_stat("inflate_remote") -
		   sum_stat("deflate_local") - sum_stat("deflate_remote");
}

/* Other tasks of the guest may be in a refill while the files are read. */
static inline void take_account(struct account *a)
{
	double end = now() + 5;

	do {
		read_account(a);
	} while ((sum_stat("refill") != a->refills || sim_get("held") != a->held ||
		  a->total != a->held) && now() < end);
}

/*
 * With the worker held, what left the balloon was refilled, node by node, and
 * the host has as much less. An exchange puts back elsewhere what it refills.
 */
static inline void expect_refills(struct __test_metadata *_metadata,
				  const struct account *before, const struct account *after)
{
	long exchanged = after->exchanges - before->exchanges;
	int i;

	EXPECT_EQ(before->total - after->total,
		  after->refills - before->refills - exchanged);
	EXPECT_EQ(before->held - after->held, before->total - after->total);
	for (i = 0; !exchanged && i < nr_nodes; i++)
		EXPECT_EQ(before->pages[i] - after->pages[i],
			  after->refill[i] - before->refill[i]);
}

static inline long index_of(int nid)
{
	int i;

	for (i = 0; nodes[i] != nid; i++)
		;
	return i;
}

static inline bool has_cpu(int nid)
{
	struct bitmask *cpus = numa_allocate_cpumask();
	bool has = !numa_node_to_cpus(nid, cpus) && numa_bitmask_weight(cpus);

	numa_free_cpumask(cpus);
	return has;
}

static inline struct bitmask *mask_of(int a, int b)
{
	struct bitmask *mask = numa_allocate_nodemask();

	numa_bitmask_setbit(mask, a);
	if (b >= 0)
		numa_bitmask_setbit(mask, b);
	return mask;
}

/* Anonymous memory that begins with a block of 2M. */
static inline char *map_blocks(size_t bytes, int advice)
{
	char *p = map(bytes + SUPERFRAME * PAGE, -1, advice);

	return p ? p + (-(unsigned long)p & (SUPERFRAME * PAGE - 1)) : NULL;
}

static inline void unmap_blocks(char *p, size_t bytes)
{
	/* The odd ends of its mapping hold no pages. */
	munmap(p, bytes);
}

static inline void touch(char *p, size_t bytes)
{
	size_t i;

	for (i = 0; i < bytes; i += PAGE)
		*(volatile size_t *)(p + i) = i + 1;
}

static inline bool touched(const char *p, size_t bytes)
{
	size_t i;

	for (i = 0; i < bytes; i += PAGE)
		if (*(const size_t *)(p + i) != i + 1)
			return false;
	return true;
}

/* How many base pages lie on a node, or -1. */
static inline long pages_on(char *p, size_t bytes, int nid)
{
	static void *page[1024];
	static int status[1024];
	size_t at = 0, i, n;
	long sum = 0;

	while (at < bytes) {
		for (n = 0; n < 1024 && at < bytes; n++, at += PAGE)
			page[n] = p + at;
		if (numa_move_pages(0, n, page, NULL, status, 0))
			return -1;
		for (i = 0; i < n; i++)
			sum += status[i] == nid;
	}
	return sum;
}

/* The one node of an address, by the other system call that tells. */
static inline int node_of(void *p)
{
	int nid = -1;

	return get_mempolicy(&nid, NULL, 0, p, MPOL_F_NODE | MPOL_F_ADDR) ? -1 : nid;
}

/* Whether at least so many of a thousand pages are where they should be. */
static inline bool mostly(long there, long all, int thousandths)
{
	return there >= 0 && (all - there) * 1000 <= all * (1000 - thousandths);
}

/*
 * The same where the host is waited for. On a busy machine it may answer late, and those
 * who would have waited go elsewhere meanwhile, which is counted: a fifth of them may.
 */
static inline bool mostly_in_time(long there, long all, int thousandths,
				  const struct account *before, const struct account *after)
{
	long late = after->fails - before->fails;
	char nowait[8];

	if (read_text(SIM "nowait", nowait, sizeof(nowait)) <= 0 || nowait[0] == 'Y')
		late = 0;
	late = late < all / 5 ? late : all / 5;
	return there >= 0 && mostly(there + late < all ? there + late : all, all, thousandths);
}

/*
 * Use what is free of a node in blocks that are too small for the balloon, all
 * but so many superframes.
 */
static inline bool use_the_rest(int nid, long slack)
{
	struct node_memory m;
	size_t bytes;
	char *p;

	node_memory(nid, &m);
	if (m.above <= slack * SUPERFRAME)
		return true;
	bytes = (m.above - slack * SUPERFRAME) * PAGE;
	p = map(bytes, nid, MADV_NOHUGEPAGE);
	if (!p)
		return false;
	touch(p, bytes);
	rest[nid].p = p;
	rest[nid].bytes = bytes;
	return true;
}

/* Let go of what any node's turn had used. */
static inline void free_the_rest(void)
{
	int nid;

	for (nid = 0; nid < MAX_NODES; nid++) {
		if (rest[nid].p)
			munmap(rest[nid].p, rest[nid].bytes);
		rest[nid].p = NULL;
	}
}

/*
 * Put two nodes (or one: @b is -1) into the balloon, but for what the allocator
 * keeps in reserve and so many superframes, and hold the worker. Returns base
 * pages ballooned, 0 if that is too little to test with.
 */
static inline long squeeze_but(int a, int b, long slack)
{
	struct node_memory m;
	long pages = 0, want;
	int i, nid;

	free_the_rest();
	for (i = 0; i < 2; i++) {
		nid = i ? b : a;
		if (nid < 0)
			continue;
		node_memory(nid, &m);
		want = (m.spare - slack) * SUPERFRAME;
		if (want < CREDIT || node_target(nid, want))
			return 0;
		pages += want;
	}
	if (!set_target(pages) || !wait_settled(20) || write_number(HOLD, 1))
		return 0;
	/* The ring may have had to help out with a few. */
	for (i = 0; i < 2; i++) {
		nid = i ? b : a;
		if (nid >= 0 && (node_number(nid, "nr_pages") < CREDIT ||
				 !use_the_rest(nid, slack + 1)))
			return 0;
	}
	return pages;
}

static inline long squeeze(int a, int b)
{
	return squeeze_but(a, b, SLACK);
}

/*
 * How much of WANT, in base pages, a squeezed node may give without a refill,
 * asked before and, for slab, after: what it has above its low watermark, what
 * others let go of (less than a sixth of WANT), and what slab gave back meanwhile,
 * KASAN's quarantine above all.
 */
struct own {
	long free;
	long slab;
};

static inline struct own own_before(int nid)
{
	struct own own;
	struct node_memory m;

	node_memory(nid, &m);
	own.free = m.easy + (long)(WANT / PAGE) / 6;
	own.slab = node_meminfo_kb(nid, "Slab") * 1024 / PAGE;
	return own;
}

static inline long own_after(int nid, struct own before)
{
	long slab = before.slab - node_meminfo_kb(nid, "Slab") * 1024 / PAGE;

	return before.free + (slab > 0 ? slab : 0);
}

/* The host's target falls below what is ballooned, and is watched from now on. */
static inline int give_credit(long pages, long credit)
{
	int err = sim_set("target", pages - credit);

	return err ? err : sim_set("least_held", 0);
}

/* A child that does not outlive the test, first in line where one is to be killed. */
static inline pid_t fork_victim(void)
{
	pid_t pid = fork();

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		write_text("/proc/self/oom_score_adj", "1000\n");
	}
	return pid;
}

/* Its exit status, or -SIGNAL. */
static inline int wait_victim(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid)
		return -1000;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/*
 * Free memory that comes and goes: when memory is fragmented, the allocator
 * keeps up to as much again as its high watermark free, for a while; and few
 * cpus keep much on their lists, here more than a tenth of a node. Have none of
 * that, or all of it again.
 */
static inline void steady_memory(bool on)
{
	static long factor = -1;

	if (factor < 0)
		factor = read_number(PROC_VM "watermark_boost_factor");
	write_number(PROC_VM "watermark_boost_factor", on ? 0 : factor);
	/* Watermarks are computed anew, without what had been added. */
	write_number(PROC_VM "min_free_kbytes", read_number(PROC_VM "min_free_kbytes"));
	limit_cpu_lists(on);
}

/* The fixture's host, with two more knobs. */
static inline void begin(struct __test_metadata *_metadata, bool nowait, bool atomic)
{
	if (_metadata->exit_code)
		return;
	if (numa_available() < 0 || nr_nodes < 2)
		SKIP(return, "needs two nodes");
	ASSERT_EQ(0, sim_disable());
	steady_memory(true);
	ASSERT_EQ(0, write_text(SIM "nowait", nowait ? "1\n" : "0\n"));
	ASSERT_EQ(0, write_text(SIM "atomic", atomic ? "1\n" : "0\n"));
	ASSERT_EQ(0, sim_enable());
	/* The tests' own children are to be killed, if any. */
	ASSERT_EQ(0, write_text("/proc/self/oom_score_adj", "-1000\n"));
}

/* Hosts that must be waited for, and those that need not. */
FIXTURE(refill)
{
	FIXTURE_DATA(balloon) balloon;
};

FIXTURE_VARIANT(refill)
{
	bool nowait;
};

FIXTURE_VARIANT_ADD(refill, waited) { };
FIXTURE_VARIANT_ADD(refill, nowait) { .nowait = true };

FIXTURE_SETUP(refill)
{
	balloon_setup(_metadata, &self->balloon, NULL);
	begin(_metadata, variant->nowait, false);
}

FIXTURE_TEARDOWN(refill)
{
	balloon_teardown(_metadata, &self->balloon, NULL);
	steady_memory(false);
}

/* For what is the same with both. */
FIXTURE(refill_once)
{
	FIXTURE_DATA(balloon) balloon;
};

FIXTURE_SETUP(refill_once)
{
	balloon_setup(_metadata, &self->balloon, NULL);
	begin(_metadata, false, false);
}

FIXTURE_TEARDOWN(refill_once)
{
	balloon_teardown(_metadata, &self->balloon, NULL);
	steady_memory(false);
}

/* The node that most tests look at, and another one. */
static inline int here(void)
{
	return nodes[nr_nodes - 1];
}

static inline int there(void)
{
	return nodes[0];
}

/*
 * Touch WANT bytes under the policy in force. Returns how many pages are on
 * @nid, -1 if there are none at all.
 */
static inline long want_on(int nid, int advice)
{
	char *p = map_blocks(WANT, advice);
	long pages;

	if (!p)
		return -1;
	touch(p, WANT);
	pages = touched(p, WANT) ? pages_on(p, WANT, nid) : -1;
	/* Two system calls, one opinion. */
	if (pages == WANT / PAGE && node_of(p) != nid)
		pages = -1;
	unmap_blocks(p, WANT);
	return pages;
}

#endif /* _SELFTESTS_BALLOON_REFILL_H */
