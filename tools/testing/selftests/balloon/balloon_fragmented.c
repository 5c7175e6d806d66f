// SPDX-License-Identifier: GPL-2.0
/*
 * Fragmented memory: whole superframes come out of it all the same, nobody's
 * pages are lost on the way, and what had to become partial blocks is put
 * together by compaction.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/uio.h>

#include "fixture.h"
#include "memory.h"

#define PFN_MASK	((1ULL << 55) - 1)

/* Pages of a node that are in use: some of each block. */
struct used {
	char *p;
	size_t bytes;
	/* The rest of the node. */
	char *rest;
	size_t rest_bytes;
	/* Per page: is it there? */
	bool *kept;
	long pages;
	long blocks;
	/* Pages that can't be moved are in these. */
	int pipes[1024];
	int nr_pipes;
};

static unsigned int hash(uint64_t x)
{
	x = (x + 1) * 0x9e3779b97f4a7c15ULL;
	x = (x ^ x >> 32) * 0xd6e8feb86659fd93ULL;
	return x >> 32;
}

static uint64_t pfn_of(int fd, const char *p)
{
	uint64_t entry;

	if (pread(fd, &entry, sizeof(entry), (uintptr_t)p / PAGE * 8) != sizeof(entry))
		return 0;
	return entry & PFN_MASK;
}

/* Have a pipe hold a page: sixteen fit into one. */
static bool pin(struct used *u, char *page)
{
	static int slots, fds[2];
	struct iovec v = { page, PAGE };

	if (!u->nr_pipes || slots == 16) {
		if (u->nr_pipes + 2 > (int)ARRAY_SIZE(u->pipes) || pipe(fds))
			return false;
		u->pipes[u->nr_pipes++] = fds[0];
		u->pipes[u->nr_pipes++] = fds[1];
		slots = 0;
	}
	slots++;
	return vmsplice(fds[1], &v, 1, 0) == PAGE;
}

static void unpin(struct used *u)
{
	while (u->nr_pipes)
		close(u->pipes[--u->nr_pipes]);
}

/* How many are enough. */
#define BLOCKS		96

/*
 * Use all of a node's memory but a little, then free all but @least to @most of
 * 512 parts of each of about @blocks blocks, at places that depend on the block. One page
 * of every @nth block can't be moved (0: none).
 */
static bool use(struct used *u, int nid, long blocks, int least, int most, int nth)
{
	int fd = open("/proc/self/pagemap", O_RDONLY);
	struct rlimit files = { 8192, 8192 };
	struct node_memory m;
	uint8_t *seen;
	size_t i;

	memset(u, 0, sizeof(*u));
	least = least * SUPERFRAME / 512;
	most = (most * SUPERFRAME + 511) / 512;
	setrlimit(RLIMIT_NOFILE, &files);
	node_memory(nid, &m);
	if (m.spare > blocks) {
		u->rest_bytes = (m.spare - blocks) * SUPERFRAME * PAGE;
		u->rest = map_used(u->rest_bytes, nid);
		if (!u->rest)
			return false;
	}
	node_memory(nid, &m);
	u->bytes = (m.above - 4 * SUPERFRAME) / 64 * 63 * PAGE;
	u->p = map(u->bytes, nid, MADV_NOHUGEPAGE);
	u->kept = calloc(u->bytes / PAGE, 1);
	seen = calloc(1 << 22, 1);
	if (fd < 0 || !u->p || !u->kept || !seen)
		return false;
	fill(u->p, u->bytes, 1);
	for (i = 0; i < u->bytes; i += PAGE) {
		uint64_t pfn = pfn_of(fd, u->p + i), block = pfn / SUPERFRAME;
		int keep = least + hash(block) % (most - least + 1);

		if (!pfn || block >= 1 << 22)
			return false;
		/* An odd number of steps through the block: each place once. */
		u->kept[i / PAGE] = (int)(pfn % SUPERFRAME * (2 * hash(~block) + 1) %
					  SUPERFRAME) < keep;
		if (!u->kept[i / PAGE])
			continue;
		u->pages++;
		if (seen[block])
			continue;
		seen[block] = 1;
		if (nth && u->blocks % nth == 0 && !pin(u, u->p + i))
			return false;
		u->blocks++;
	}
	for (i = 0; i < u->bytes; i += PAGE)
		if (!u->kept[i / PAGE])
			madvise(u->p + i, PAGE, MADV_DONTNEED);
	free(seen);
	close(fd);
	return u->pages;
}

/* Is every byte there that should be? */
static bool intact(const struct used *u)
{
	const uint64_t *w = (const uint64_t *)u->p;
	size_t i;

	for (i = 0; i < u->bytes / 8; i++)
		if (u->kept[i * 8 / PAGE] && w[i] != word(1, i))
			return false;
	return true;
}

static bool touched_once(const char *page)
{
	return *(const volatile char *)page || true;
}

/* How many of its pages are on the node. */
static long on_node(const struct used *u, int nid)
{
	long n = 0;
	size_t i;

	for (i = 0; i < u->bytes; i += PAGE) {
		void *page = u->p + i;
		int status = -ENOENT;

		/* Compaction may be moving it this very moment: touching it waits. */
		while (u->kept[i / PAGE] && status == -ENOENT && touched_once(page) &&
		       !syscall(SYS_move_pages, 0, 1UL, &page, NULL, &status, 0))
			;
		n += status == nid;
	}
	return n;
}

static void unuse(struct used *u)
{
	unpin(u);
	munmap(u->p, u->bytes);
	if (u->rest)
		munmap(u->rest, u->rest_bytes);
	free(u->kept);
}

/* The node that the kernel's own pages are least in the way of. */
static int last(void)
{
	return nodes[nr_nodes - 1];
}

/* Half of what the node has free. */
static long half_of_free(void)
{
	struct node_memory m;

	node_memory(last(), &m);
	return m.above / 2 / SUPERFRAME * SUPERFRAME;
}

/* Have @want inflated there, and @percent of it at least in superframes. */
static void inflate(struct __test_metadata *_metadata, const struct used *u, long want, int percent)
{
	ASSERT_EQ(0, node_target(last(), want));
	ASSERT_TRUE(set_target(want));
	ASSERT_TRUE(wait_settled(20));
	TH_LOG("%ld blocks, %ld pages wanted, %ld in superframes", u->blocks, want,
	       node_number(last(), "nr_superframes") * SUPERFRAME);
	EXPECT_LE(want * percent / 100, node_number(last(), "nr_superframes") * SUPERFRAME);
}

/* Half of what is free, of blocks that are three tenths in use. */
TEST_F_TIMEOUT(balloon, evacuates, LONG)
{
	const char *why = no_evacuation();
	long want, cache, remote;
	struct used u;

	if (why)
		SKIP(return, "%s", why);
	ASSERT_TRUE(use(&u, last(), BLOCKS, 154, 154, 0));
	want = half_of_free();
	cache = read_vmstat("nr_file_pages");
	remote = sum_stat("inflate_remote");
	inflate(_metadata, &u, want, 95);
	EXPECT_EQ(want, node_number(last(), "nr_pages"));
	EXPECT_EQ(remote, sum_stat("inflate_remote"));
	EXPECT_TRUE(intact(&u));
	EXPECT_EQ(u.pages, on_node(&u, last()));
	/* Nothing was dropped for it; others may come and go. */
	EXPECT_LE(cache - 64, read_vmstat("nr_file_pages"));
	EXPECT_STREQ("", broken());
	ASSERT_TRUE(set_target(0));
	EXPECT_TRUE(intact(&u));
	unuse(&u);
}

/* Blocks with a page that can't be moved are left alone. */
TEST_F_TIMEOUT(balloon, evacuates_others_than_pinned, LONG)
{
	const char *why = no_evacuation();
	struct used u;

	if (why)
		SKIP(return, "%s", why);
	ASSERT_TRUE(use(&u, last(), BLOCKS, 50, 150, 4));
	inflate(_metadata, &u, half_of_free(), 90);
	EXPECT_TRUE(intact(&u));
	EXPECT_STREQ("", broken());
	unuse(&u);
}

/*
 * The host refuses while blocks are evacuated: what was moved stays moved, what
 * was taken is free again, and the retry timer goes on.
 */
TEST_F_TIMEOUT(balloon, evacuates_for_a_host_that_refuses, LONG)
{
	const char *why = no_evacuation();
	struct used u;
	long want;

	if (why)
		SKIP(return, "%s", why);
	ASSERT_TRUE(use(&u, last(), BLOCKS, 100, 100, 0));
	want = half_of_free();
	ASSERT_EQ(0, node_target(last(), want));
	ASSERT_EQ(0, sim_set("refuse_inflate", 3));
	ASSERT_EQ(0, sim_set("target", want));
	EXPECT_TRUE(wait_pages(want, 60));
	ASSERT_TRUE(wait_settled(20));
	EXPECT_LE(want * 95 / 100, node_number(last(), "nr_superframes") * SUPERFRAME);
	EXPECT_TRUE(intact(&u));
	EXPECT_STREQ("", broken());
	unuse(&u);
}

/*
 * Count @whole blocks, which are all free, and @partial ones, of which some pages,
 * not all, are offline, and some others free.
 */
static bool count_blocks(long *whole, long *partial)
{
	int fd = open("/proc/kpageflags", O_RDONLY);
	static uint64_t flags[MAX_SUPERFRAME];
	const ssize_t size = SUPERFRAME * sizeof(*flags);
	long offline, free;
	int i;

	*whole = 0;
	*partial = 0;
	if (fd < 0)
		return false;
	while (read(fd, flags, size) == size) {
		for (i = 0, offline = free = 0; i < SUPERFRAME; i++) {
			offline += flags[i] >> KPF_OFFLINE & 1;
			free += flags[i] >> KPF_BUDDY & 1;
		}
		*whole += free == SUPERFRAME;
		*partial += offline && free;
	}
	close(fd);
	return true;
}

/* What is taken from whole blocks is made up for out of those in use in part. */
TEST_F_TIMEOUT(balloon, mends_what_it_took, LONG)
{
	const char *why = no_evacuation();
	long before, after, left, partial, want = 50 * SUPERFRAME;
	struct used u;
	double end;

	if (why)
		SKIP(return, "%s", why);
	/* Of every second block, one page. */
	ASSERT_TRUE(use(&u, last(), 2 * BLOCKS, 0, 1, 0));
	if (u.blocks < 60)
		SKIP(return, "the node is too small");
	limit_cpu_lists(true);
	ASSERT_TRUE(count_blocks(&before, &partial));
	inflate(_metadata, &u, want, 100);
	left = before - want / SUPERFRAME;
	end = now() + 300;
	do {
		ASSERT_TRUE(count_blocks(&after, &partial));
	} while (after < left + 40 && now() < end);
	limit_cpu_lists(false);
	TH_LOG("%ld whole blocks were free, 50 were taken, %ld are free", before, after);
	EXPECT_LE(left + 40, after);
	EXPECT_TRUE(intact(&u));
	EXPECT_EQ(u.pages, on_node(&u, last()));
	EXPECT_STREQ("", broken());
	unuse(&u);
}

/*
 * Partial blocks of any fullness, whose other pages are free later: compaction
 * fills some of them and empties the others.
 */
TEST_F_TIMEOUT(balloon, partial_blocks_are_put_together, LONG)
{
	long want, whole, blocks, few, after, migrated;
	struct node_memory m;
	struct used u;
	double end;
	int i;

	ASSERT_EQ(0, sim_enable_as("max_order", "0\n"));
	proactive_compaction(false);
	ASSERT_TRUE(use(&u, last(), BLOCKS, 12, 502, 0));
	node_memory(last(), &m);
	want = m.give - 2 * SUPERFRAME;
	ASSERT_EQ(0, node_target(last(), want));
	ASSERT_TRUE(set_target(want));
	ASSERT_TRUE(wait_settled(20));
	ASSERT_STREQ("", broken());
	EXPECT_TRUE(intact(&u));
	/* The kernel compacts of its own accord: the worker shall not end that yet. */
	ASSERT_EQ(0, write_number(HOLD, 1));
	/* Not to the CPUs' lists: these may have an eighth of the node before they give. */
	limit_cpu_lists(true);
	unuse(&u);
	ASSERT_TRUE(count_blocks(&whole, &blocks));
	/* Each zone keeps its fullest. */
	few = blocks / 20 + nr_nodes;
	EXPECT_LE(4 * few, blocks);

	migrated = sum_stat("migrate");
	ASSERT_EQ(0, write_text("/proc/sys/vm/compact_memory", "1\n"));
	ASSERT_EQ(0, write_number(HOLD, 0));
	/* The worker sees to what compaction leaves. */
	end = now() + 300;
	do {
		ASSERT_TRUE(wait_settled(20));
		ASSERT_TRUE(count_blocks(&whole, &after));
	} while (after > few && now() < end);
	limit_cpu_lists(false);
	TH_LOG("%ld of %ld partial blocks are left, %ld pages moved", after, blocks,
	       sum_stat("migrate") - migrated);
	EXPECT_LE(after, few);
	EXPECT_LT(migrated, sum_stat("migrate"));
	/* What the node could not give at first lay elsewhere: it has come home, too. */
	for (i = 0; i < nr_nodes; i++)
		EXPECT_EQ(nodes[i] == last() ? want : 0, node_number(nodes[i], "nr_pages"));
	EXPECT_STREQ("", broken());
}

TEST_HARNESS_MAIN
