// SPDX-License-Identifier: GPL-2.0
/*
 * Random targets, of the host and of nodes, while a program that checks its
 * memory uses much of it. BALLOON_ROUNDS in the environment says how many.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fixture.h"
#include "memory.h"

#define ROUNDS		200
#define CHUNKS		32

/* Percent of free memory that the program uses. */
#define USED		40

static volatile sig_atomic_t end;

static void on_term(int sig)
{
	end = 1;
}

/*
 * Fill memory, then free, fill and verify parts of it all the time. Ends with 0
 * if no byte ever differed.
 */
static int use_memory(size_t bytes)
{
	struct {
		char *p;
		uint64_t seed;
	} chunk[CHUNKS] = { 0 };
	size_t size = bytes / CHUNKS / (2 << 20) * (2 << 20);
	unsigned int i;

	srandom(getpid());
	signal(SIGTERM, on_term);
	for (i = 0; !end; i++) {
		unsigned int c = i < CHUNKS ? i : random() % CHUNKS;

		if (chunk[c].p && !verify(chunk[c].p, size, chunk[c].seed))
			return 1;
		/* Many are only looked at: what stays for long matters most. */
		if (chunk[c].p && random() % 4)
			continue;
		if (chunk[c].p)
			munmap(chunk[c].p, size);
		chunk[c].p = map(size, -1, c & 1 ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
		if (!chunk[c].p)
			return 2;
		chunk[c].seed = random();
		fill(chunk[c].p, size, chunk[c].seed);
	}
	for (i = 0; i < CHUNKS; i++)
		if (chunk[i].p && !verify(chunk[i].p, size, chunk[i].seed))
			return 1;
	return 0;
}

static long below(long n)
{
	return n > 0 ? random() % n : 0;
}

/*
 * A child that uses much of what is free. Returns the largest target, so that the guest
 * does not run out of what it needs itself.
 */
static long with_load(struct __test_metadata *_metadata, int *child)
{
	struct node_memory m;

	all_memory(&m);
	*child = fork();
	EXPECT_LE(0, *child);
	if (!*child)
		_exit(use_memory(m.free * USED / 100 * PAGE));
	return m.free * (85 - USED) / 100;
}

TEST_F_TIMEOUT(balloon, random_targets, 24 * 3600)
{
	const char *wanted = getenv("BALLOON_ROUNDS");
	long rounds = wanted ? atol(wanted) : ROUNDS;
	long most, round;
	int child, status;

	most = with_load(_metadata, &child);
	ASSERT_LE(0, child);

	srandom(1);
	for (round = 0; round < rounds; round++) {
		int nid = nodes[below(nr_nodes)];
		long target;

		switch (below(8)) {
		case 0:
			ASSERT_EQ(0, node_target(nid, below(most / 2)));
			break;
		case 1:
			ASSERT_EQ(0, node_target_auto(nid));
			break;
		case 2:
			ASSERT_EQ(0, write_text(ALL "policy", round & 1 ? "local" : "balance"));
			break;
		case 3:
			write_text("/proc/sys/vm/compact_memory", "1\n");
			break;
		default:
			/* Small steps and large ones. */
			target = read_number(ALL "target");
			target += below(2) ? below(scaled(5000)) - scaled(2500) :
					     below(most) - most / 2;
			target = target < 0 ? 0 : target > most ? most : target;
			ASSERT_EQ(0, sim_set("target", target));
			break;
		}
		/* Some come before the one before was met. */
		if (below(4))
			ASSERT_TRUE(wait_pages(read_number(ALL "target"), 60))
				TH_LOG("round %ld: %ld of %ld pages", round, sum_pages(),
				       read_number(ALL "target"));
		if (round % 10 == 9)
			ASSERT_STREQ("", broken())
				TH_LOG("round %ld", round);
		ASSERT_EQ(0, waitpid(child, &status, WNOHANG))
			TH_LOG("round %ld: the program ended with %#x", round, status);
	}

	kill(child, SIGTERM);
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_TRUE(WIFEXITED(status));
	EXPECT_EQ(0, WEXITSTATUS(status));
}

/*
 * Targets that come much faster than they can be met, some of them out of an
 * interrupt: what was asked for last counts. The kernel's log tells of the rest.
 */
TEST_F_TIMEOUT(balloon, rapid_targets, 4 * LONG)
{
	int child, status, i;
	long most, target;

	most = with_load(_metadata, &child);
	ASSERT_LE(0, child);

	srandom(2);
	for (i = 0; i < ROUNDS; i++) {
		target = below(most);
		if (i % 8 == 7)
			ASSERT_EQ(0, node_target(nodes[below(nr_nodes)], below(most / 2)));
		ASSERT_EQ(0, sim_set(i & 1 ? "target_irq" : "target", target));
		EXPECT_EQ(target, read_number(ALL "target"));
		usleep(below(40000));
		ASSERT_EQ(0, waitpid(child, &status, WNOHANG))
			TH_LOG("round %d: the program ended with %#x", i, status);
	}
	EXPECT_TRUE(wait_pages(target, 60))
		TH_LOG("%ld of %ld pages", sum_pages(), target);
	ASSERT_STREQ("", broken());

	kill(child, SIGTERM);
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_TRUE(WIFEXITED(status));
	EXPECT_EQ(0, WEXITSTATUS(status));
}

TEST_HARNESS_MAIN
