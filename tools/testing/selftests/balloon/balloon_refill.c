// SPDX-License-Identifier: GPL-2.0
/*
 * Refill: an allocation takes pages back from the balloon before it leaves its
 * node. Where memory then lies, in every mode and under every policy.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "refill.h"

#ifndef MPOL_WEIGHTED_INTERLEAVE
#define MPOL_WEIGHTED_INTERLEAVE	6
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE			25
#endif

#define CGROUP		"/sys/fs/cgroup/"
#define GROUP		CGROUP "balloon_refill/"
#define MEMORY_POLICY	"/sys/kernel/mm/mempolicy/weighted_interleave/"

/* All hosts, for exchanges. */
FIXTURE(exchange)
{
	FIXTURE_DATA(balloon) balloon;
};

FIXTURE_VARIANT(exchange)
{
	bool nowait;
	bool atomic;
};

FIXTURE_VARIANT_ADD(exchange, waited) { };
FIXTURE_VARIANT_ADD(exchange, nowait) { .nowait = true };
FIXTURE_VARIANT_ADD(exchange, atomic) { .atomic = true };
FIXTURE_VARIANT_ADD(exchange, nowait_atomic) { .nowait = true, .atomic = true };

FIXTURE_SETUP(exchange)
{
	balloon_setup(_metadata, &self->balloon, NULL);
	begin(_metadata, variant->nowait, variant->atomic);
}

FIXTURE_TEARDOWN(exchange)
{
	balloon_teardown(_metadata, &self->balloon, NULL);
	steady_memory(false);
}

/* Default policy: the node is the cpu's. */
TEST_F_TIMEOUT(refill, credit_by_cpu, LONG)
{
	struct account before, after;
	long pages, local, own;
	struct own had;
	int i, nid;

	for (i = 0; i < nr_nodes; i++) {
		nid = nodes[i];
		if (!has_cpu(nid))
			continue;
		pages = squeeze(nid, -1);
		ASSERT_LT(0, pages);
		ASSERT_EQ(0, give_credit(pages, CREDIT));
		take_account(&before);
		had = own_before(nid);
		ASSERT_EQ(0, numa_run_on_node(nid));
		local = want_on(nid, MADV_NOHUGEPAGE);
		take_account(&after);
		own = own_after(nid, had);
		TH_LOG("node %d: %ld of %ld pages local, %ld refilled, %ld its own at most",
		       nid, local, WANT / PAGE, after.refills - before.refills, own);
		EXPECT_TRUE(mostly_in_time(local, WANT / PAGE, PLACED, &before, &after));
		expect_refills(_metadata, &before, &after);
		/* The node can't have had the rest. */
		EXPECT_LE((long)(WANT / PAGE) - own, after.refill[i] - before.refill[i]);
		EXPECT_LT(0, after.refill[i] - before.refill[i]);
		EXPECT_EQ(after.refills - before.refills, after.refill[i] - before.refill[i]);
		EXPECT_LE(pages - CREDIT, sim_get("least_held"));
		EXPECT_STREQ("", broken());
		ASSERT_EQ(0, numa_run_on_node(-1));
		ASSERT_EQ(0, write_number(HOLD, 0));
		ASSERT_EQ(0, node_target_auto(nid));
		ASSERT_TRUE(set_target(0));
	}
}

/* Light faults of huge pages may not wait for anything. */
TEST_F_TIMEOUT(refill, credit_huge_faults, LONG)
{
	struct account before, after;
	long pages, local;

	pages = squeeze(here(), -1);
	ASSERT_LT(0, pages);
	ASSERT_EQ(0, give_credit(pages, CREDIT));
	take_account(&before);
	ASSERT_EQ(0, numa_run_on_node(here()));
	/* The system's default: huge pages are for the taking, not to be waited for. */
	local = want_on(here(), MADV_NORMAL);
	take_account(&after);
	EXPECT_TRUE(mostly_in_time(local, WANT / PAGE, PLACED, &before, &after))
		TH_LOG("%ld of %ld pages", local, WANT / PAGE);
	EXPECT_LT(before.refills, after.refills);
	expect_refills(_metadata, &before, &after);
	EXPECT_LE(pages - CREDIT, sim_get("least_held"));
	EXPECT_STREQ("", broken());
}

/* What the host has not granted is not taken, however much is wanted. */
TEST_F_TIMEOUT(refill, credit_is_the_limit, LONG)
{
	long pages, credit = 4 * SUPERFRAME + scaled(100), local, left;
	struct account before, after;

	pages = squeeze(here(), -1);
	ASSERT_LT(0, pages);
	ASSERT_EQ(0, give_credit(pages, credit));
	take_account(&before);
	ASSERT_EQ(0, numa_run_on_node(here()));
	local = want_on(here(), MADV_NOHUGEPAGE);
	take_account(&after);
	/* The rest of a superframe: the host must be asked for it page by page. */
	left = after.held - (pages - credit);
	TH_LOG("%ld of %ld pages local, %ld of credit left", local, WANT / PAGE, left);
	expect_refills(_metadata, &before, &after);
	EXPECT_LE(0, left);
	EXPECT_GT(SUPERFRAME, left);
	EXPECT_LE(pages - credit, sim_get("least_held"));
	EXPECT_LE(credit - left, local);
	EXPECT_GT((long)(WANT / PAGE) * 9 / 10, local);
	EXPECT_STREQ("", broken());
}

/* Nothing is refilled in mode off, nor without credit in mode credit. */
TEST_F_TIMEOUT(refill, off, LONG)
{
	struct account before, after;
	long pages, local;
	struct own had;
	int round;

	pages = squeeze(here(), -1);
	ASSERT_LT(0, pages);
	ASSERT_EQ(0, numa_run_on_node(here()));
	for (round = 0; round < 2; round++) {
		/* A new mode lets the worker look at things, if it may. */
		ASSERT_EQ(0, write_text(MODE, round ? "credit\n" : "off\n"));
		ASSERT_EQ(0, give_credit(pages, round ? 0 : CREDIT));
		take_account(&before);
		had = own_before(here());
		local = want_on(here(), MADV_NOHUGEPAGE);
		take_account(&after);
		EXPECT_EQ(before.refills, after.refills);
		EXPECT_EQ(before.held, after.held);
		EXPECT_EQ(pages, sim_get("least_held"));
		/* The rest of the system has it. */
		EXPECT_LE(0, local);
		EXPECT_GE(own_after(here(), had), local);
		EXPECT_STREQ("", broken());
	}
}

/* The worker takes back what is left, and no more. */
TEST_F_TIMEOUT(refill_once, worker_goes_on, LONG)
{
	long pages;

	pages = squeeze(here(), -1);
	ASSERT_LT(0, pages);
	ASSERT_EQ(0, give_credit(pages, CREDIT + 77));
	ASSERT_EQ(0, numa_run_on_node(here()));
	EXPECT_LE(0, want_on(here(), MADV_NOHUGEPAGE));
	ASSERT_EQ(0, write_number(HOLD, 0));
	EXPECT_TRUE(wait_pages(pages - CREDIT - 77, 10));
	ASSERT_TRUE(wait_settled(10));
	EXPECT_EQ(pages - CREDIT - 77, sum_pages());
	EXPECT_EQ(pages - CREDIT - 77, sim_get("least_held"));
	EXPECT_STREQ("", broken());
}

/* Without credit, a superframe of a far node is given for one of here. */
TEST_F_TIMEOUT(exchange, by_cpu, LONG)
{
	struct account before, after;
	long pages, local, held, most = 0, least, calls;
	volatile long *result;
	pid_t child;

	pages = squeeze(here(), -1);
	ASSERT_LT(0, pages);
	ASSERT_EQ(0, write_text(MODE, "exchange\n"));
	ASSERT_EQ(0, give_credit(pages, 0));
	result = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, (void *)result);
	take_account(&before);
	least = before.held;

	child = fork_victim();
	ASSERT_LE(0, child);
	if (!child) {
		if (numa_run_on_node(here()))
			_exit(1);
		*result = want_on(here(), MADV_NOHUGEPAGE);
		_exit(0);
	}
	while (!waitpid(child, NULL, WNOHANG)) {
		held = sim_get("held");
		most = held > most ? held : most;
		least = held < least ? held : least;
		usleep(1000);
	}
	local = *result;
	take_account(&after);
	TH_LOG("%ld of %ld pages local, %ld exchanged, held %ld..%ld of %ld", local,
	       WANT / PAGE, after.exchanges - before.exchanges, least, most, pages);
	EXPECT_TRUE(mostly_in_time(local, WANT / PAGE, 950, &before, &after));
	/* Some may be free: the worker empties the lists of the cpus. */
	EXPECT_LE((long)(WANT / PAGE) / 4, after.exchanges - before.exchanges);
	EXPECT_EQ(after.refills - before.refills, after.exchanges - before.exchanges);
	expect_refills(_metadata, &before, &after);
	/*
	 * One refill was in flight at a time, and the guest gives first. So does
	 * an atomic exchange look to us, who see the host at work.
	 */
	EXPECT_EQ(pages, after.held);
	EXPECT_LE(pages, least);
	EXPECT_GE(pages + SUPERFRAME, most);
	EXPECT_LE(pages, sim_get("least_held"));
	EXPECT_STREQ("", broken());

	/* The node's claim followed its pages: the worker has nothing to undo. */
	held = node_number(here(), "nr_pages");
	EXPECT_GT(pages, held);
	calls = sim_get("calls");
	ASSERT_EQ(0, write_number(HOLD, 0));
	ASSERT_TRUE(wait_settled(10));
	EXPECT_EQ(calls, sim_get("calls"));
	EXPECT_EQ(held, node_number(here(), "nr_pages"));
	EXPECT_EQ(pages, sum_pages());
	munmap((void *)result, PAGE);
}

/* Nobody has plenty: nothing is exchanged, and nothing is lost. */
TEST_F_TIMEOUT(refill_once, nobody_has_plenty, LONG)
{
	struct account before, after;
	struct node_memory m;
	long sum = 0, want;
	char *p;
	int i;

	/* Less is left anywhere than a node keeps when it gives for others. */
	for (i = 0; i < nr_nodes; i++) {
		node_memory(nodes[i], &m);
		want = (m.spare - SLACK) * SUPERFRAME;
		ASSERT_EQ(0, node_target(nodes[i], want));
		sum += want;
	}
	ASSERT_TRUE(set_target(sum));
	ASSERT_TRUE(wait_settled(20));
	ASSERT_EQ(0, write_number(HOLD, 1));
	/* Nor in pieces. */
	for (i = 0; i < nr_nodes; i++)
		ASSERT_TRUE(use_the_rest(nodes[i], SLACK + 1));
	ASSERT_EQ(0, write_text(MODE, "exchange\n"));
	ASSERT_EQ(0, give_credit(sum, 0));
	take_account(&before);
	ASSERT_EQ(0, numa_run_on_node(here()));
	/* Somewhat more than the node has, and much less than all have. */
	node_memory(here(), &m);
	p = map_blocks(m.free * PAGE, MADV_NOHUGEPAGE);
	ASSERT_NE(NULL, p);
	touch(p, m.free * PAGE);
	take_account(&after);
	unmap_blocks(p, m.free * PAGE);
	EXPECT_EQ(before.exchanges, after.exchanges);
	EXPECT_EQ(before.refills, after.refills);
	EXPECT_EQ(sum, after.held);
	EXPECT_EQ(sum, sim_get("least_held"));
	EXPECT_STREQ("", broken());
}

/* Policies of a program that runs elsewhere. */

/* Squeeze a node, run on another, touch under a policy. Returns pages on the node. */
static long under_policy(struct __test_metadata *_metadata, int mode, int nid, int also,
			 struct account *first, struct account *last)
{
	struct bitmask *mask = mask_of(nid, also);
	struct account before, after;
	long pages, local;

	pages = squeeze(nid, -1);
	ASSERT_LT(0, pages);
	ASSERT_EQ(0, give_credit(pages, CREDIT));
	ASSERT_EQ(0, numa_run_on_node(there()));
	ASSERT_EQ(0, set_mempolicy(mode, mask->maskp, mask->size + 1));
	take_account(&before);
	local = want_on(nid, MADV_NOHUGEPAGE);
	take_account(&after);
	ASSERT_EQ(0, set_mempolicy(MPOL_DEFAULT, NULL, 0));
	expect_refills(_metadata, &before, &after);
	/* Nobody asked another node. */
	EXPECT_EQ(after.refills - before.refills, after.refill[index_of(nid)] -
		  before.refill[index_of(nid)]);
	EXPECT_LE(pages - CREDIT, sim_get("least_held"));
	EXPECT_STREQ("", broken());
	TH_LOG("%ld of %ld pages on node %d, %ld refilled", local, WANT / PAGE, nid,
	       after.refills - before.refills);
	numa_free_nodemask(mask);
	*first = before;
	*last = after;
	return local;
}

TEST_F_TIMEOUT(refill_once, policy_bind, LONG)
{
	struct account before, after;

	EXPECT_EQ(WANT / PAGE, under_policy(_metadata, MPOL_BIND, here(), -1, &before, &after));
}

TEST_F_TIMEOUT(refill_once, policy_preferred, LONG)
{
	struct account before, after;
	long local = under_policy(_metadata, MPOL_PREFERRED, here(), -1, &before, &after);

	EXPECT_TRUE(mostly_in_time(local, WANT / PAGE, PLACED, &before, &after));
}

/*
 * The nearest of the preferred nodes comes first, in a pass that may not wait:
 * only a host that need not be waited for can serve it. Else memory comes from
 * a node that has some free, preferred or not.
 */
TEST_F_TIMEOUT(refill, policy_preferred_many, LONG)
{
	struct account before, after;
	long local;

	if (!numa_has_preferred_many())
		SKIP(return, "no MPOL_PREFERRED_MANY");
	local = under_policy(_metadata, MPOL_PREFERRED_MANY, here(), -1, &before, &after);
	EXPECT_LE(0, local);
	if (variant->nowait)
		EXPECT_TRUE(mostly(local, WANT / PAGE, PLACED));
}

/* Both nodes of the mask are squeezed; @part of 4 parts belong to the first. */
static void interleaved(struct __test_metadata *_metadata, int mode, int part)
{
	struct bitmask *mask = mask_of(here(), there());
	struct account before, after;
	long pages, on[2], all = WANT / PAGE;
	char *p;

	pages = squeeze(here(), there());
	ASSERT_LT(0, pages);
	/* There is enough for each, whichever comes first. */
	ASSERT_EQ(0, give_credit(pages, 2 * CREDIT));
	p = map_blocks(WANT, MADV_NOHUGEPAGE);
	ASSERT_NE(NULL, p);
	ASSERT_EQ(0, mbind(p, WANT, mode, mask->maskp, mask->size + 1, 0));
	take_account(&before);
	touch(p, WANT);
	take_account(&after);
	on[0] = pages_on(p, WANT, here());
	on[1] = pages_on(p, WANT, there());
	unmap_blocks(p, WANT);
	numa_free_nodemask(mask);
	TH_LOG("%ld and %ld of %ld pages", on[0], on[1], all);
	EXPECT_TRUE(mostly_in_time(on[0], all * part / 4, PLACED, &before, &after));
	EXPECT_TRUE(mostly_in_time(on[1], all * (4 - part) / 4, PLACED, &before, &after));
	EXPECT_LT(before.refill[index_of(here())], after.refill[index_of(here())]);
	expect_refills(_metadata, &before, &after);
	EXPECT_LE(pages - 2 * CREDIT, sim_get("least_held"));
	EXPECT_STREQ("", broken());
}

TEST_F_TIMEOUT(refill_once, policy_interleave, LONG)
{
	interleaved(_metadata, MPOL_INTERLEAVE, 2);
}

TEST_F_TIMEOUT(refill_once, policy_weighted_interleave, LONG)
{
	char path[128];
	int i, nid;

	if (access(MEMORY_POLICY, F_OK))
		SKIP(return, "no weighted interleaving");
	for (i = 0; i < nr_nodes; i++) {
		nid = nodes[i];
		snprintf(path, sizeof(path), MEMORY_POLICY "node%d", nid);
		ASSERT_EQ(0, write_number(path, nid == here() ? 3 : 1));
	}
	interleaved(_metadata, MPOL_WEIGHTED_INTERLEAVE, 3);
	for (i = 0; i < nr_nodes; i++) {
		snprintf(path, sizeof(path), MEMORY_POLICY "node%d", nodes[i]);
		/* All alike, as at first: not all kernels can be told to forget a weight. */
		ASSERT_EQ(0, write_number(path, 1));
	}
}

/* The pool of one node grows by __GFP_THISNODE. */
TEST_F_TIMEOUT(refill_once, hugetlb_pool, LONG)
{
	long want = WANT / PAGE / SUPERFRAME, pages;
	struct account before, after;
	char path[128];
	int round;

	snprintf(path, sizeof(path),
		 "/sys/devices/system/node/node%d/hugepages/hugepages-2048kB/nr_hugepages",
		 here());
	if (access(path, F_OK))
		SKIP(return, "no hugetlb pages of 2M");
	ASSERT_EQ(0, read_number(path));
	pages = squeeze(here(), -1);
	ASSERT_LT(0, pages);
	for (round = 0; round < 2; round++) {
		/* First without: what the pool gets is none of the balloon's. */
		ASSERT_EQ(0, give_credit(pages, round ? CREDIT : 0));
		take_account(&before);
		ASSERT_EQ(0, write_number(path, want));
		take_account(&after);
		TH_LOG("%ld of %ld huge pages, %ld superframes refilled", read_number(path),
		       want, (after.refills - before.refills) / SUPERFRAME);
		if (round)
			EXPECT_EQ(want, read_number(path));
		if (!round)
			EXPECT_GT(want, read_number(path));
		EXPECT_EQ(0, write_number(path, 0));
		EXPECT_EQ(0, read_number(path));
		expect_refills(_metadata, &before, &after);
		if (round)
			EXPECT_LT(before.refills, after.refills);
		if (!round)
			EXPECT_EQ(before.refills, after.refills);
		EXPECT_LE(pages - (round ? CREDIT : 0), sim_get("least_held"));
	}
	EXPECT_STREQ("", broken());
}

/* A control group with the controllers that the test needs. */
static const char *make_group(void)
{
	if (access(CGROUP "cgroup.controllers", F_OK))
		return "control groups (v2) are not mounted";
	rmdir(GROUP);
	if (write_text(CGROUP "cgroup.subtree_control", "+cpuset\n") ||
	    write_text(CGROUP "cgroup.subtree_control", "+memory\n"))
		return "no cpuset or memory controller";
	if (mkdir(GROUP, 0755))
		return "no control group can be made";
	return NULL;
}

static void remove_group(void)
{
	int i;

	/* Whoever was in it is on his way out. */
	for (i = 0; i < 100 && rmdir(GROUP); i++)
		usleep(20000);
}

/*
 * A cpuset: only the nodes that it allows are refilled, the cpu's own is not.
 * Then it moves, and the memory with it, to the other node.
 */
TEST_F_TIMEOUT(refill_once, cpuset, LONG)
{
	int a = index_of(here()), b = index_of(there()), step[2];
	struct account before, after, moved;
	volatile long *result;
	const char *why = make_group();
	char list[16];
	long pages;
	pid_t child;

	if (why)
		SKIP(return, "%s", why);
	result = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, (void *)result);
	ASSERT_EQ(0, pipe(step));
	pages = squeeze(here(), there());
	ASSERT_LT(0, pages);
	ASSERT_EQ(0, give_credit(pages, 2 * CREDIT));
	snprintf(list, sizeof(list), "%d\n", here());
	ASSERT_EQ(0, write_text(GROUP "cpuset.mems", list));
	take_account(&before);

	child = fork_victim();
	ASSERT_LE(0, child);
	if (!child) {
		char *p = map_blocks(WANT, MADV_NOHUGEPAGE), byte;

		close(step[1]);
		if (!p || numa_run_on_node(there()) ||
		    write_number(GROUP "cgroup.procs", getpid()))
			_exit(1);
		touch(p, WANT);
		result[0] = pages_on(p, WANT, here());
		result[2] = 1;
		/* Until it has moved. */
		if (read(step[0], &byte, 1) < 0)
			_exit(2);
		result[1] = pages_on(p, WANT, there());
		_exit(!touched(p, WANT));
	}
	close(step[0]);
	while (!result[2] && !waitpid(child, NULL, WNOHANG))
		usleep(10000);
	take_account(&after);
	EXPECT_EQ(WANT / PAGE, result[0]);
	expect_refills(_metadata, &before, &after);
	EXPECT_LT(before.refill[a], after.refill[a]);
	/*
	 * Page tables and the like may come from anywhere, but are few: the
	 * node still has what it kept free.
	 */
	EXPECT_EQ(before.refill[b], after.refill[b]);

	snprintf(list, sizeof(list), "%d\n", there());
	EXPECT_EQ(0, write_text(GROUP "cpuset.mems", list));
	/* Memory moves in the background, and who reads this waits for it. */
	close(step[1]);
	EXPECT_EQ(0, wait_victim(child));
	take_account(&moved);
	TH_LOG("%ld pages of %ld, then %ld; %ld and %ld refilled", result[0], WANT / PAGE,
	       result[1], after.refill[a] - before.refill[a], moved.refill[b] - after.refill[b]);
	EXPECT_TRUE(mostly_in_time(result[1], WANT / PAGE, PLACED, &after, &moved));
	EXPECT_LT(after.refill[b], moved.refill[b]);
	expect_refills(_metadata, &after, &moved);
	EXPECT_LE(pages - 2 * CREDIT, sim_get("least_held"));
	EXPECT_STREQ("", broken());
	remove_group();
	munmap((void *)result, PAGE);
}

/* Free blocks of 2M or more of a node. */
static long free_blocks(int nid)
{
	FILE *f = fopen("/proc/buddyinfo", "r");
	char line[512], zone[32];
	long sum = 0, nr;
	int n, at, order;

	while (f && fgets(line, sizeof(line), f)) {
		char *p = line;

		if (sscanf(line, "Node %d, zone %31s%n", &n, zone, &at) != 2 || n != nid)
			continue;
		for (p += at, order = 0; sscanf(p, "%ld%n", &nr, &n) == 1; p += n, order++)
			if (order >= superframe_order())
				sum += nr << (order - superframe_order());
	}
	if (f)
		fclose(f);
	return sum;
}

/* The page frame of an address of ours, or -1. */
static long frame_of(int fd, const char *p)
{
	uint64_t entry;

	if (pread(fd, &entry, 8, (unsigned long)p / PAGE * 8) != 8 || !(entry >> 63))
		return -1;
	return entry & ((1UL << 55) - 1);
}

/*
 * Take all that is free on the node, then give back all but one page of each
 * block. Returns the memory, @bytes long.
 */
static char *fragment_node(int nid, size_t bytes)
{
	static char seen[1 << 20];
	int fd = open("/proc/self/pagemap", O_RDONLY);
	char *p = map_blocks(bytes, MADV_NOHUGEPAGE);
	size_t i;

	if (fd < 0 || !p || numa_run_on_node(nid))
		return NULL;
	memset(seen, 0, sizeof(seen));
	touch(p, bytes);
	for (i = 0; i < bytes; i += PAGE) {
		long block = frame_of(fd, p + i) / SUPERFRAME;

		if (block <= 0 || block >= (long)sizeof(seen))
			continue;
		if (!seen[block])
			seen[block] = 1;
		else
			madvise(p + i, PAGE, MADV_DONTNEED);
	}
	close(fd);
	return p;
}

static long huge_kb(void)
{
	static char buf[4096];
	char *line;

	read_text("/proc/self/smaps_rollup", buf, sizeof(buf));
	line = strstr(buf, "AnonHugePages:");
	return line ? strtol(line + strlen("AnonHugePages:"), NULL, 10) : -1;
}

/*
 * No free block of 2M on the node, and superframes ballooned with credit: huge
 * pages come from the balloon, before anything is compacted.
 */
TEST_F_TIMEOUT(refill, huge_pages_of_a_fragmented_node, LONG)
{
	long pages, stalls, huge, want, small;
	struct account before, after;
	struct node_memory m;
	char *hog, *p;
	size_t i, bytes;

	if (read_number("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size") != 2 * MIB)
		SKIP(return, "huge pages are not of 2M");
	/*
	 * The allocator's own reserve could hide a free block: make it small.
	 * And nobody is to put blocks together behind our back.
	 */
	ASSERT_EQ(0, write_number(PROC_VM "min_free_kbytes", 2048));
	proactive_compaction(false);

	/* Not much is left to be fragmented: that is quick. */
	pages = squeeze_but(here(), -1, 20);
	ASSERT_LT(0, pages);
	node_memory(here(), &m);
	bytes = (m.free * PAGE / (2 * MIB) + 1) * (2 * MIB);
	hog = fragment_node(here(), bytes);
	ASSERT_NE(NULL, hog);
	node_memory(here(), &m);
	TH_LOG("%ld pages free, %ld blocks", m.free, free_blocks(here()));
	ASSERT_EQ(0, free_blocks(here()));
	/* It is fragmented, not full. */
	ASSERT_LT(2 * SUPERFRAME, m.free);

	ASSERT_EQ(0, give_credit(pages, CREDIT));
	take_account(&before);
	stalls = read_vmstat("compact_stall");

	/* By faults: half of the credit. */
	want = CREDIT / SUPERFRAME / 2;
	p = map_blocks(want * SUPERFRAME * PAGE, MADV_HUGEPAGE);
	ASSERT_NE(NULL, p);
	huge = huge_kb();
	touch(p, want * SUPERFRAME * PAGE);
	huge = (huge_kb() - huge) / 2048;
	TH_LOG("faults: %ld of %ld huge pages, %ld stalls", huge, want,
	       read_vmstat("compact_stall") - stalls);
	/* 250 of 256 is what is asked for: with so few, all but one. */
	EXPECT_LE(want - 1, huge);
	EXPECT_LE((want - 1) * SUPERFRAME, pages_on(p, want * SUPERFRAME * PAGE, here()));
	EXPECT_EQ(stalls, read_vmstat("compact_stall"));
	take_account(&after);
	EXPECT_LE((want - 1) * SUPERFRAME, after.refill[index_of(here())] -
		  before.refill[index_of(here())]);
	expect_refills(_metadata, &before, &after);
	unmap_blocks(p, want * SUPERFRAME * PAGE);

	/* By MADV_COLLAPSE, of base pages that lie there: they use it up again. */
	ASSERT_EQ(0, give_credit(after.held, CREDIT));
	want /= 2;
	p = map_blocks(want * SUPERFRAME * PAGE, MADV_NOHUGEPAGE);
	ASSERT_NE(NULL, p);
	touch(p, want * SUPERFRAME * PAGE);
	small = pages_on(p, want * SUPERFRAME * PAGE, here());
	EXPECT_TRUE(mostly(small, want * SUPERFRAME, PLACED));
	madvise(p, want * SUPERFRAME * PAGE, MADV_HUGEPAGE);
	huge = huge_kb();
	for (i = 0; i < (size_t)want; i++)
		madvise(p + i * SUPERFRAME * PAGE, SUPERFRAME * PAGE, MADV_COLLAPSE);
	huge = (huge_kb() - huge) / 2048;
	TH_LOG("collapse: %ld of %ld huge pages, %ld stalls", huge, want,
	       read_vmstat("compact_stall") - stalls);
	EXPECT_LE(want - 1, huge);
	EXPECT_LE((want - 1) * SUPERFRAME, pages_on(p, want * SUPERFRAME * PAGE, here()));
	EXPECT_TRUE(touched(p, want * SUPERFRAME * PAGE));
	EXPECT_LE(pages - 2 * CREDIT, sim_get("least_held"));
	EXPECT_STREQ("", broken());
	unmap_blocks(p, want * SUPERFRAME * PAGE);
	unmap_blocks(hog, bytes);
}

/*
 * The cache of a file system that has no blocks to write to; of those that do
 * there is none here. What such a one adds: a writer that is over the limit of
 * dirty pages of a node skips the node before it comes to the balloon.
 */
static long file_pages_on(const char *type, int nid)
{
	char folder[] = "/tmp/balloon_refill.XXXXXX", path[64];
	long pages = -1;
	char *p, *buf;
	size_t at;
	int fd;

	if (!mkdtemp(folder))
		return -1;
	if (mount("none", folder, type, 0, NULL)) {
		rmdir(folder);
		return -ENODEV;
	}
	snprintf(path, sizeof(path), "%s/file", folder);
	fd = open(path, O_RDWR | O_CREAT, 0600);
	buf = calloc(1, MIB);
	for (at = 0; fd >= 0 && buf && at < WANT; at += MIB)
		if (write(fd, buf, MIB) != MIB)
			break;
	if (at == WANT) {
		p = mmap(NULL, WANT, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (p != MAP_FAILED) {
			touch(p, WANT);
			pages = pages_on(p, WANT, nid);
			munmap(p, WANT);
		}
	}
	free(buf);
	close(fd);
	umount(folder);
	rmdir(folder);
	return pages;
}

static void file_cache(struct __test_metadata *_metadata, const char *type)
{
	struct account before, after;
	long pages, local;

	pages = squeeze(here(), -1);
	ASSERT_LT(0, pages);
	ASSERT_EQ(0, give_credit(pages, CREDIT));
	ASSERT_EQ(0, numa_run_on_node(here()));
	take_account(&before);
	local = file_pages_on(type, here());
	take_account(&after);
	if (local == -ENODEV)
		SKIP(return, "no %s", type);
	TH_LOG("%s: %ld of %ld pages local", type, local, WANT / PAGE);
	EXPECT_TRUE(mostly_in_time(local, WANT / PAGE, PLACED, &before, &after));
	EXPECT_LT(before.refills, after.refills);
	expect_refills(_metadata, &before, &after);
	EXPECT_LE(pages - CREDIT, sim_get("least_held"));
	EXPECT_STREQ("", broken());
}

TEST_F_TIMEOUT(refill_once, file_cache_tmpfs, LONG)
{
	file_cache(_metadata, "tmpfs");
}

TEST_F_TIMEOUT(refill_once, file_cache_ramfs, LONG)
{
	file_cache(_metadata, "ramfs");
}

/*
 * Slab: messages that nobody reads. SLUB first tries blocks of several pages,
 * and does not wait for them: those come from here only if the host need not be
 * waited for. Else from a node that has some free; only the accounts are exact.
 */
TEST_F_TIMEOUT(refill, slab, LONG)
{
	static struct { long type; char text[8192 - 64]; } message = { .type = 1 };
	long most = read_number("/proc/sys/kernel/msgmnb"), slab = 0, sum = 0, pages, sent;
	struct account before, after;
	int i, queue;

	pages = squeeze(here(), -1);
	ASSERT_LT(0, pages);
	ASSERT_EQ(0, give_credit(pages, CREDIT));
	ASSERT_EQ(0, write_number("/proc/sys/kernel/msgmnb", WANT));
	queue = msgget(IPC_PRIVATE, 0600);
	ASSERT_LE(0, queue);
	ASSERT_EQ(0, numa_run_on_node(here()));
	refresh_vmstat();
	for (i = 0; i < nr_nodes; i++)
		sum -= node_meminfo_kb(nodes[i], "SUnreclaim");
	slab -= node_meminfo_kb(here(), "SUnreclaim");
	take_account(&before);
	for (sent = 0; sent < (long)(20 * MIB); sent += sizeof(message.text))
		if (msgsnd(queue, &message, sizeof(message.text), IPC_NOWAIT))
			break;
	take_account(&after);
	refresh_vmstat();
	for (i = 0; i < nr_nodes; i++)
		sum += node_meminfo_kb(nodes[i], "SUnreclaim");
	slab += node_meminfo_kb(here(), "SUnreclaim");
	EXPECT_EQ(0, msgctl(queue, IPC_RMID, NULL));
	write_number("/proc/sys/kernel/msgmnb", most);

	TH_LOG("%ld KiB sent, %ld of %ld KiB of slab here, %ld pages refilled", sent / 1024,
	       slab, sum, after.refills - before.refills);
	EXPECT_LE((long)(20 * MIB), sent);
	/* It is slab that it went into. */
	EXPECT_LE((long)(18 * MIB) / 1024, sum);
	expect_refills(_metadata, &before, &after);
	EXPECT_LE(pages - CREDIT, sim_get("least_held"));
	if (variant->nowait) {
		/* 5 %: slabs that had room left, wherever, and what others do. */
		EXPECT_TRUE(mostly(slab, sum, 950));
		EXPECT_LT(0, after.refills - before.refills);
	}
	EXPECT_STREQ("", broken());
}

/* Many children at once, each with a little memory of its own. */
TEST_F_TIMEOUT(refill_once, fork_storm, LONG)
{
	enum { CHILDREN = 24, EACH = 2 };
	struct account before, after;
	long pages, local = 0;
	volatile long *result;
	pid_t child[CHILDREN];
	int i;

	result = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, (void *)result);
	pages = squeeze(here(), -1);
	ASSERT_LT(0, pages);
	ASSERT_EQ(0, give_credit(pages, CREDIT));
	ASSERT_EQ(0, numa_run_on_node(here()));
	take_account(&before);
	for (i = 0; i < CHILDREN; i++) {
		child[i] = fork_victim();
		ASSERT_LE(0, child[i]);
		if (!child[i]) {
			char *p = map_blocks(EACH * MIB, MADV_NOHUGEPAGE);

			if (!p)
				_exit(1);
			touch(p, EACH * MIB);
			result[i] = pages_on(p, EACH * MIB, here());
			/* It stays until all have theirs. */
			pause();
		}
	}
	for (i = 0; i < CHILDREN; i++)
		while (!result[i] && !waitpid(child[i], NULL, WNOHANG))
			usleep(10000);
	take_account(&after);
	for (i = 0; i < CHILDREN; i++) {
		kill(child[i], SIGKILL);
		EXPECT_EQ(-SIGKILL, wait_victim(child[i]));
		local += result[i];
	}
	TH_LOG("%ld of %ld pages local, %ld refilled", local, CHILDREN * EACH * MIB / PAGE,
	       after.refills - before.refills);
	/*
	 * 5 %: who finds another one talking to the host does not wait, and goes
	 * elsewhere; so does who comes when the tasks' own needs, stacks and page
	 * tables, have used up what the node kept free.
	 */
	EXPECT_TRUE(mostly_in_time(local, CHILDREN * EACH * MIB / PAGE, 950, &before, &after));
	EXPECT_LT(before.refills, after.refills);
	expect_refills(_metadata, &before, &after);
	EXPECT_LE(pages - CREDIT, sim_get("least_held"));
	EXPECT_STREQ("", broken());
	munmap((void *)result, PAGE);
}

/*
 * Sockets: buffers are blocks of several pages that are not waited for, as in
 * an interrupt. Without them it is base pages, which may wait.
 */
TEST_F_TIMEOUT(refill, sockets, LONG)
{
	enum { PAIRS = 12, SIZE = 2 << 20 };
	struct account before, after;
	int pair[PAIRS][2], i, size = SIZE;
	struct node_memory m;
	long pages, elsewhere = 0, sent = 0, n;
	char *buf = calloc(1, 64 << 10);

	ASSERT_NE(NULL, buf);
	for (i = 0; i < PAIRS; i++) {
		ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair[i]));
		ASSERT_EQ(0, setsockopt(pair[i][0], SOL_SOCKET, SO_SNDBUFFORCE, &size,
					sizeof(size)));
	}
	pages = squeeze(here(), -1);
	ASSERT_LT(0, pages);
	ASSERT_EQ(0, give_credit(pages, CREDIT));
	ASSERT_EQ(0, numa_run_on_node(here()));
	for (i = 0; i < nr_nodes; i++) {
		node_memory(nodes[i], &m);
		if (nodes[i] != here())
			elsewhere += m.free;
	}
	take_account(&before);
	for (i = 0; i < PAIRS; i++)
		while ((n = write(pair[i][0], buf, 64 << 10)) > 0)
			sent += n;
	take_account(&after);
	for (i = 0; i < nr_nodes; i++) {
		node_memory(nodes[i], &m);
		if (nodes[i] != here())
			elsewhere -= m.free;
	}
	for (i = 0; i < PAIRS; i++) {
		close(pair[i][0]);
		close(pair[i][1]);
	}
	free(buf);
	TH_LOG("%ld MiB sent, %ld pages refilled, %ld taken elsewhere", sent / (long)MIB,
	       after.refills - before.refills, elsewhere);
	/* It was enough to find the node empty. */
	EXPECT_LE((long)(24 * MIB), sent);
	expect_refills(_metadata, &before, &after);
	EXPECT_LE(pages - CREDIT, sim_get("least_held"));
	if (variant->nowait) {
		EXPECT_LT(0, after.refills - before.refills);
		/*
		 * A quarter: nothing tells where a buffer lies but what other
		 * nodes miss, and they have cpus that keep pages for themselves.
		 */
		EXPECT_GT(sent / (long)PAGE / 4, elsewhere);
	}
	EXPECT_STREQ("", broken());
}

/* A group that is at its limit has no use for the balloon's memory. */
TEST_F_TIMEOUT(refill_once, memcg_limit, LONG)
{
	const char *why = make_group();
	struct account before, after;
	char text[512], *kills;
	long pages, round;
	pid_t child;

	if (why)
		SKIP(return, "%s", why);
	ASSERT_EQ(0, sim_enable_as("keep_managed", "1\n"));
	pages = squeeze(here(), -1);
	ASSERT_LT(0, pages);
	ASSERT_EQ(0, write_number(GROUP "memory.max", 24 * MIB));
	for (round = 0; round < 2; round++) {
		/* Pages beyond the target are for those that need memory, not for it. */
		ASSERT_EQ(0, write_text(MODE, round ? "oom\n" : "credit\n"));
		ASSERT_EQ(0, give_credit(pages, round ? 0 : 4 * SUPERFRAME));
		take_account(&before);
		child = fork_victim();
		ASSERT_LE(0, child);
		if (!child) {
			char *p = map_blocks(64 * MIB, MADV_NOHUGEPAGE);

			if (!p || numa_run_on_node(here()) ||
			    write_number(GROUP "cgroup.procs", getpid()))
				_exit(1);
			touch(p, 64 * MIB);
			_exit(0);
		}
		EXPECT_EQ(-SIGKILL, wait_victim(child));
		take_account(&after);
		expect_refills(_metadata, &before, &after);
		EXPECT_LE(pages - (round ? 0 : 4 * SUPERFRAME), sim_get("least_held"));
		pages = after.held;
	}
	read_text(GROUP "memory.events", text, sizeof(text));
	kills = strstr(text, "oom_kill ");
	EXPECT_TRUE(kills && atoi(kills + strlen("oom_kill ")) == 2);
	EXPECT_STREQ("", broken());
	remove_group();
}

/*
 * What is wanted beyond what programs can have: each superframe is a long way to the OOM killer,
 * a second or two of looking for what could be reclaimed. What is found after all is less than
 * half of it.
 */
#define BEYOND		(4 * SUPERFRAME)
#define WANTED		(2 * BEYOND)

/* Where nothing is to be had it ends with the first one: what nobody finds. */
#define TOO_MUCH	(128 * SUPERFRAME)

/*
 * Squeeze all nodes, with refills in @mode, and @keep, a host that permits to take back
 * more than it wants given up. Returns base pages ballooned.
 */
static long squeeze_all(const char *mode, bool keep)
{
	struct node_memory m;
	long pages;

	if (sim_enable_as("keep_managed", keep ? "1\n" : "0\n"))
		return 0;
	all_memory(&m);
	pages = (m.spare - SLACK * nr_nodes) * SUPERFRAME;
	return set_target(pages) && wait_settled(20) && !write_text(MODE, mode) ? pages : 0;
}

/* A program that touches more than it can have, and then keeps it until it is told to end. */
struct greedy {
	pid_t pid;
	int said;
	int end;
};

/*
 * Returns whether it has all that it wants. What the balloon does after it has spared
 * somebody is seen while the program lives: that it gives all back may take longer.
 */
static bool greedy_begin(struct greedy *g, long more)
{
	int said[2], end[2];
	struct node_memory m;
	char c;

	if (pipe(said) || pipe(end))
		return false;
	all_memory(&m);
	g->pid = fork_victim();
	if (!g->pid) {
		size_t bytes = (m.usable + more) * PAGE / MIB * MIB;
		char *p = map_blocks(bytes, MADV_NOHUGEPAGE);

		close(end[1]);
		if (!p)
			_exit(1);
		touch(p, bytes);
		if (write(said[1], p, 1) != 1 || read(end[0], &c, 1))
			_exit(1);
		_exit(touched(p, bytes) ? 0 : 2);
	}
	close(said[1]);
	close(end[0]);
	g->said = said[0];
	g->end = end[1];
	return read(g->said, &c, 1) == 1;
}

/* Returns its exit status or -SIGNAL. */
static int greedy_end(struct greedy *g)
{
	close(g->said);
	close(g->end);
	return wait_victim(g->pid);
}

/* From begin to end. */
static int use_too_much(long more)
{
	struct greedy g;

	return greedy_begin(&g, more) ? greedy_end(&g) : wait_victim(g.pid);
}

/* Memory that the host lets the guest have is had before anybody is killed for it. */
TEST_F_TIMEOUT(refill_once, oom_permitted, LONG)
{
	static const char * const modes[] = { "oom\n", "credit\n" };
	struct account before, after;
	struct greedy g;
	long pages, kills;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(modes); i++) {
		pages = squeeze_all(modes[i], true);
		ASSERT_LT(0, pages);
		kills = read_vmstat("oom_kill");
		take_account(&before);
		ASSERT_TRUE(greedy_begin(&g, WANTED));
		EXPECT_EQ(kills, read_vmstat("oom_kill"));
		take_account(&after);
		TH_LOG("%ld pages, %ld refilled, %ld left", pages, after.refills - before.refills,
		       after.total);
		EXPECT_LE(BEYOND, after.refills - before.refills);
		EXPECT_GT(pages, after.total);
		EXPECT_STREQ("", broken());
		/* It stays so for a while, or until the host says again what it wants. */
		sleep(2);
		EXPECT_GE(after.total, sum_pages());
		EXPECT_EQ(0, greedy_end(&g));
		EXPECT_TRUE(set_target(pages - 10 * SUPERFRAME));
	}
}

static bool wait_more_pages(long pages, double seconds)
{
	double end = now() + seconds;

	while (sum_pages() < pages) {
		if (now() > end)
			return false;
		usleep(100000);
	}
	return true;
}

/* Once there is memory again, what the guest was spared by is pursued again, after a while. */
TEST_F_TIMEOUT(refill_once, oom_wears_off, LONG)
{
	struct account before, after;
	long pages, left;
	struct greedy g;
	char state[64];
	double spared;

	pages = squeeze_all("credit\n", true);
	ASSERT_LT(0, pages);
	take_account(&before);
	/* Of what the host wants beside, nothing is forgotten. */
	ASSERT_EQ(0, sim_set("target", 8 * pages));
	ASSERT_TRUE(greedy_begin(&g, WANTED));
	left = sum_pages();
	take_account(&after);
	EXPECT_LT(before.refills, after.refills);
	/* The worker may have had more by then than the program was short of. */
	if (pages < left + BEYOND)
		pages = left + BEYOND;
	spared = now();
	/* The worker may still be at what it was at before. */
	EXPECT_TRUE(wait_state("waiting: pressure", 15)) {
		read_text(ALL "state", state, sizeof(state));
		TH_LOG("%s", state);
	}
	EXPECT_GE(left, sum_pages())
		TH_LOG("%ld pages, then %ld, now %ld", pages, left, sum_pages());
	EXPECT_EQ(0, greedy_end(&g));
	/* 20 s, again where nothing was to be had meanwhile, and the time to inflate. */
	EXPECT_TRUE(wait_more_pages(pages, 240))
		TH_LOG("%ld pages, then %ld, now %ld", pages, left, sum_pages());
	TH_LOG("%ld pages, then %ld; as many again after %.1f s", pages, left, now() - spared);
	ASSERT_TRUE(set_target(0));
	EXPECT_STREQ("", broken());
}

/* A host that is late for once is not taken for dead once it has answered. */
TEST_F_TIMEOUT(refill_once, oom_late_for_once, LONG)
{
	double end = now() + 300;
	long pages, kills;

	pages = squeeze_all("credit\n", true);
	ASSERT_LT(0, pages);
	/* Nobody waits that long. */
	ASSERT_EQ(0, sim_set("delay_ms", 15000));
	EXPECT_EQ(-SIGKILL, use_too_much(TOO_MUCH));
	ASSERT_EQ(0, sim_set("delay_ms", 0));
	while (sum_pages() == pages && now() < end)
		usleep(100000);
	EXPECT_GT(pages, sum_pages());

	kills = read_vmstat("oom_kill");
	EXPECT_EQ(0, use_too_much(WANTED));
	EXPECT_EQ(kills, read_vmstat("oom_kill"));
	EXPECT_STREQ("", broken());
}

/* Once there is memory again, the host has but to say what it had said. */
TEST_F_TIMEOUT(refill_once, oom_same_target_again, LONG)
{
	long pages, left;
	struct greedy g;

	pages = squeeze_all("oom\n", true);
	ASSERT_LT(0, pages);
	ASSERT_TRUE(greedy_begin(&g, WANTED));
	left = sum_pages();
	EXPECT_GT(pages, left);
	EXPECT_EQ(0, greedy_end(&g));
	ASSERT_EQ(0, sim_set("target", pages));
	EXPECT_TRUE(wait_pages(pages, 60))
		TH_LOG("%ld pages, then %ld, now %ld", pages, left, sum_pages());
	EXPECT_STREQ("", broken());
}

/* Where it does not, the target is held and somebody is killed. */
TEST_F_TIMEOUT(refill_once, oom_not_permitted, LONG)
{
	long pages, kills;

	pages = squeeze_all("oom\n", false);
	ASSERT_LT(0, pages);
	ASSERT_EQ(0, sim_set("least_held", 0));
	kills = read_vmstat("oom_kill");
	EXPECT_EQ(-SIGKILL, use_too_much(TOO_MUCH));
	EXPECT_LT(kills, read_vmstat("oom_kill"));
	EXPECT_LE(pages, sim_get("least_held"));
	EXPECT_TRUE(wait_pages(pages, 10));
	EXPECT_STREQ("", broken());
}

/* Neither in mode off, whatever the host permits. */
TEST_F_TIMEOUT(refill_once, oom_off, LONG)
{
	long pages, kills;

	pages = squeeze_all("off\n", true);
	ASSERT_LT(0, pages);
	ASSERT_EQ(0, sim_set("least_held", 0));
	kills = read_vmstat("oom_kill");
	EXPECT_EQ(-SIGKILL, use_too_much(TOO_MUCH));
	EXPECT_LT(kills, read_vmstat("oom_kill"));
	EXPECT_LE(pages, sim_get("least_held"));
	EXPECT_STREQ("", broken());
}

static void refuse(struct __test_metadata *_metadata, const char *path, const char *bad)
{
	char before[64], after[64];

	ASSERT_LT(0, read_text(path, before, sizeof(before)));
	EXPECT_EQ(-EINVAL, write_text(path, bad))
		TH_LOG("%s <- %s", path, bad);
	ASSERT_LT(0, read_text(path, after, sizeof(after)));
	EXPECT_STREQ(before, after);
}

TEST_F_TIMEOUT(balloon, input, LONG)
{
	static const char * const modes[] = { "off", "credit", "exchange", "oom" };
	static const char * const shown[] = {
		"[off] credit exchange oom\n", "off [credit] exchange oom\n",
		"off credit [exchange] oom\n", "off credit exchange [oom]\n",
	};
	static const char * const bad_modes[] = {
		"\n", "\t\n", "on\n", "OFF\n", "of\n", "off credit\n", "offf\n", "[off]\n", "0\n",
		"-1\n", "credit\t\n", " credit\n", "credit\n\n", "\xff\n", "%s%n\n",
	};
	static const char * const bad_holds[] = {
		"2\n", "-1\n", "x\n", "yes\n", "1 1\n", "1.0\n", "\n", "4294967297\n",
	};
	char large[4096 + 1], text[64];
	unsigned int i, k;

	memset(large, 'x', sizeof(large) - 1);
	large[sizeof(large) - 1] = '\0';
	for (i = 0; i < ARRAY_SIZE(modes); i++) {
		ASSERT_EQ(0, write_text(MODE, modes[i]));
		read_text(MODE, text, sizeof(text));
		EXPECT_STREQ(shown[i], text);
		for (k = 0; k < ARRAY_SIZE(bad_modes); k++)
			refuse(_metadata, MODE, bad_modes[k]);
		refuse(_metadata, MODE, large + 1);
	}
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, write_number(HOLD, !i));
		EXPECT_EQ(!i, read_number(HOLD));
		for (k = 0; k < ARRAY_SIZE(bad_holds); k++)
			refuse(_metadata, HOLD, bad_holds[k]);
	}
}

/* The worker stands still while it is held, and only then. */
TEST_F_TIMEOUT(balloon, hold, LONG)
{
	ASSERT_TRUE(set_target(10 * SUPERFRAME));
	ASSERT_EQ(0, write_number(HOLD, 1));
	ASSERT_EQ(0, sim_set("target", 0));
	sleep(3);
	EXPECT_EQ(10 * SUPERFRAME, sum_pages());
	ASSERT_EQ(0, sim_set("target", 20 * SUPERFRAME));
	sleep(1);
	EXPECT_EQ(10 * SUPERFRAME, sum_pages());
	ASSERT_EQ(0, write_number(HOLD, 0));
	EXPECT_TRUE(wait_pages(20 * SUPERFRAME, 5));
	/* The device may go all the same. */
	ASSERT_EQ(0, write_number(HOLD, 1));
	EXPECT_EQ(0, sim_set("enable", 0));
	EXPECT_EQ(0, sum_pages());
	EXPECT_EQ(0, sim_enable());
}

TEST_HARNESS_MAIN
