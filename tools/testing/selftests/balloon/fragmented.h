/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Fragmented memory: a node whose blocks are all in use in part, by pages that are
 * looked at afterwards.
 */
#ifndef _SELFTESTS_BALLOON_FRAGMENTED_H
#define _SELFTESTS_BALLOON_FRAGMENTED_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/uio.h>

#include "fixture.h"
#include "memory.h"

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

static inline unsigned int hash(uint64_t x)
{
	x = (x + 1) * 0x9e3779b97f4a7c15ULL;
	x = (x ^ x >> 32) * 0xd6e8feb86659fd93ULL;
	return x >> 32;
}

/* Have a pipe hold a page: sixteen fit into one. */
static inline bool pin(struct used *u, char *page)
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

static inline void unpin(struct used *u)
{
	while (u->nr_pipes)
		close(u->pipes[--u->nr_pipes]);
}

/* How many are enough. */
#define BLOCKS		96

/* Use a node's memory but for about @blocks blocks. */
static inline bool use_rest(struct used *u, int nid, long blocks)
{
	memset(u, 0, sizeof(*u));
	return use_all_but(nid, blocks, &u->rest, &u->rest_bytes);
}

/*
 * Use what use_rest() left of it but a little, then free all but @least to @most of 512
 * parts of each block, at places that depend on the block. One page of every @nth block
 * can't be moved (0: none).
 */
static inline bool use_in_part(struct used *u, int nid, int least, int most, int nth)
{
	int fd = open("/proc/self/pagemap", O_RDONLY);
	struct rlimit files = { 8192, 8192 };
	uint64_t *pagemap;
	struct node_memory m;
	uint8_t *seen;
	size_t i, end;

	least = least * SUPERFRAME / 512;
	most = (most * SUPERFRAME + 511) / 512;
	setrlimit(RLIMIT_NOFILE, &files);
	node_memory(nid, &m);
	u->bytes = (m.above - 4 * SUPERFRAME) / 64 * 63 * PAGE;
	u->p = map(u->bytes, nid, MADV_NOHUGEPAGE);
	u->kept = calloc(u->bytes / PAGE, 1);
	seen = calloc(1 << 22, 1);
	pagemap = calloc(u->bytes / PAGE, sizeof(*pagemap));
	if (fd < 0 || !u->p || !u->kept || !seen || !pagemap)
		return false;
	fill(u->p, u->bytes, 1);
	if (!read_pagemap(fd, u->p, pagemap, u->bytes / PAGE))
		return false;
	for (i = 0; i < u->bytes; i += PAGE) {
		uint64_t pfn = pagemap[i / PAGE] & PFN_MASK, block = pfn / SUPERFRAME;
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
	for (i = 0; i < u->bytes; i = end + PAGE) {
		for (end = i; end < u->bytes && !u->kept[end / PAGE]; end += PAGE)
			;
		if (end > i)
			madvise(u->p + i, end - i, MADV_DONTNEED);
	}
	free(pagemap);
	free(seen);
	close(fd);
	return u->pages;
}

static inline bool use(struct used *u, int nid, long blocks, int least, int most, int nth)
{
	return use_rest(u, nid, blocks) && use_in_part(u, nid, least, most, nth);
}

/* Is every byte there that should be? */
static inline bool intact(const struct used *u)
{
	const uint64_t *w = (const uint64_t *)u->p;
	size_t i;

	for (i = 0; i < u->bytes / 8; i++)
		if (u->kept[i * 8 / PAGE] && w[i] != word(1, i))
			return false;
	return true;
}

static inline bool touched_once(const char *page)
{
	return *(const volatile char *)page || true;
}

/* How many of its pages are on the node. */
static inline long on_node(const struct used *u, int nid)
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

static inline void unuse(struct used *u)
{
	unpin(u);
	munmap(u->p, u->bytes);
	if (u->rest)
		munmap(u->rest, u->rest_bytes);
	free(u->kept);
}

/* The node that the kernel's own pages are least in the way of. */
static inline int last(void)
{
	return nodes[nr_nodes - 1];
}

/* Half of what the node has free. */
static inline long half_of_free(void)
{
	struct node_memory m;

	node_memory(last(), &m);
	return m.above / 2 / SUPERFRAME * SUPERFRAME;
}

/* Have @want inflated there, and @percent of it at least in superframes. */
static inline void inflate(struct __test_metadata *_metadata, const struct used *u, long want,
			   int percent)
{
	ASSERT_EQ(0, node_target(last(), want));
	ASSERT_TRUE(set_target(want));
	ASSERT_TRUE(wait_settled(20));
	TH_LOG("%ld blocks, %ld pages wanted, %ld in superframes", u->blocks, want,
	       node_number(last(), "nr_superframes") * SUPERFRAME);
	EXPECT_LE(want * percent / 100, node_number(last(), "nr_superframes") * SUPERFRAME);
}

#endif /* _SELFTESTS_BALLOON_FRAGMENTED_H */
