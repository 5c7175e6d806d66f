/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Memory that a test uses while the balloon moves, and looks at afterwards.
 */
#ifndef _SELFTESTS_BALLOON_MEMORY_H
#define _SELFTESTS_BALLOON_MEMORY_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "balloon.h"

#ifndef MPOL_BIND
#define MPOL_BIND	2
#endif

/* Anonymous memory, of one node or (-1) of any, NULL if there is none. */
static inline char *map(size_t bytes, int nid, int advice)
{
	unsigned long mask[MAX_NODES / 64] = { 0 };
	char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	madvise(p, bytes, advice);
	if (nid < 0)
		return p;
	mask[nid / 64] |= 1UL << nid % 64;
	if (syscall(SYS_mbind, p, bytes, MPOL_BIND, mask, MAX_NODES + 1, 0)) {
		munmap(p, bytes);
		return NULL;
	}
	return p;
}

/* The same in use, in huge pages where that can be: it is quick. */
static inline char *map_used(size_t bytes, int nid)
{
	char *p = map(bytes, nid, MADV_HUGEPAGE);
	size_t i;

	for (i = 0; p && i < bytes; i += PAGE)
		*(volatile char *)(p + i) = 1;
	return p;
}

/* Use a node but for so many superframes; says what, which may be nothing. */
static inline bool use_all_but(int nid, long superframes, char **p, size_t *bytes)
{
	struct node_memory m;

	*p = NULL;
	*bytes = 0;
	node_memory(nid, &m);
	if (m.spare <= superframes)
		return true;
	*bytes = (m.spare - superframes) * SUPERFRAME * PAGE;
	*p = map_used(*bytes, nid);
	return *p;
}

/* No two words alike. */
static inline uint64_t word(uint64_t seed, size_t i)
{
	uint64_t x = ((seed << 40) ^ i) * 0x9e3779b97f4a7c15ULL;

	return x ^ x >> 29;
}

static inline void fill(char *p, size_t bytes, uint64_t seed)
{
	uint64_t *w = (uint64_t *)p;
	size_t i;

	for (i = 0; i < bytes / 8; i++)
		w[i] = word(seed, i);
}

static inline bool verify(const char *p, size_t bytes, uint64_t seed)
{
	const uint64_t *w = (const uint64_t *)p;
	size_t i;

	for (i = 0; i < bytes / 8; i++)
		if (w[i] != word(seed, i))
			return false;
	return true;
}

#define PFN_MASK	((1ULL << 55) - 1)

/* What /proc/self/pagemap says of @nr pages, from an address on. */
static inline bool read_pagemap(int fd, const char *p, uint64_t *entry, size_t nr)
{
	ssize_t bytes = nr * sizeof(*entry);

	return pread(fd, entry, bytes, (uintptr_t)p / PAGE * sizeof(*entry)) == bytes;
}

/* The page frame of an address, or 0. */
static inline uint64_t pfn_of(int fd, const char *p)
{
	uint64_t entry;

	return read_pagemap(fd, p, &entry, 1) ? entry & PFN_MASK : 0;
}

#endif /* _SELFTESTS_BALLOON_MEMORY_H */
