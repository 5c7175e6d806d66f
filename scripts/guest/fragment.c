// SPDX-License-Identifier: GPL-2.0
/*
 * Fragments a node's free memory: of every 2M block that it can get whole, it
 * keeps some base pages, which can be moved, and frees the others.
 *
 *	fragment --node N [--keep PAGES[-MOST]] [--pin PERCENT] [--leave MIB] [--seed S]
 *
 * Keeps PAGES (1 to 511, default 1) of each block, or PAGES to MOST of them, at
 * places that depend on the seed only, after having taken all of the node's free
 * memory but MIB (default 16). Of PERCENT of the blocks (default 0), one page is held by a
 * pipe, too, so that it can't be moved. Prints "fragment BLOCKS KEPT PINNED" in
 * blocks, base pages and blocks, and holds on until it is killed. Needs to be
 * root, to see page frame numbers and to have many pipes.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* From linux/mempolicy.h: spares the guest program libnuma. */
#define MPOL_BIND	2
#define MAX_NODES	1024
#define BITS		(8 * sizeof(unsigned long))

#define PAGE		4096UL
#define BLOCK_PAGES	512
#define PFN_MASK	(UINT64_C(0x7fffffffffffff))
#define PRESENT		(UINT64_C(0x8000000000000000))

static const char usage[] =
	"usage: fragment --node N [--keep 1..511[-511]] [--pin 0..100] [--leave MIB] [--seed S]\n";

struct page {
	uint64_t pfn;
	char *address;
};

static void die(const char *what)
{
	fprintf(stderr, "fragment: %s: %s\n", what, strerror(errno));
	exit(1);
}

static size_t free_bytes(int node)
{
	char path[64], line[128];
	size_t kib = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/sys/devices/system/node/node%d/meminfo", node);
	f = fopen(path, "r");
	if (!f)
		die(path);
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "Node %*d MemFree: %zu", &kib) == 1)
			break;
	fclose(f);
	return kib << 10;
}

static int by_pfn(const void *a, const void *b)
{
	const struct page *x = a, *y = b;

	return x->pfn < y->pfn ? -1 : x->pfn > y->pfn;
}

static uint64_t mix(uint64_t seed, uint64_t block)
{
	return (seed + 1) * 0x9e3779b97f4a7c15ULL ^ (block + 1) * 0xd1342543de82ef95ULL;
}

/* The numbers 0 to 511 in an order that depends on the seed and the block. */
static void shuffle(unsigned short *order, uint64_t seed, uint64_t block)
{
	uint64_t x = mix(seed, block);
	int i, j;

	for (i = 0; i < BLOCK_PAGES; i++)
		order[i] = i;
	for (i = BLOCK_PAGES - 1; i > 0; i--) {
		unsigned short was = order[i];

		x ^= x >> 12, x ^= x << 25, x ^= x >> 27;
		j = (x * 0x2545f4914f6cdd1dULL >> 33) % (i + 1);
		order[i] = order[j];
		order[j] = was;
	}
}

/* Have a pipe hold a page, for good. */
static void pin(char *address)
{
	/* What fits into a pipe. */
	enum { SLOTS = 16 };
	static int pipes[2], used = SLOTS;
	struct iovec page = { address, PAGE };

	if (used == SLOTS) {
		if (pipe(pipes))
			die("pipe");
		used = 0;
	}
	if (vmsplice(pipes[1], &page, 1, 0) != PAGE)
		die("vmsplice");
	used++;
}

int main(int argc, char **argv)
{
	unsigned long nodes[MAX_NODES / BITS] = { 0 };
	size_t leave = 16 << 20, size, nr, i, n, blocks = 0, kept = 0, pinned = 0;
	struct rlimit files = { 1 << 16, 1 << 16 };
	unsigned short order[BLOCK_PAGES];
	int node = -1, keep, least = 1, most = 1, percent = 0, fd, k;
	uint64_t seed = 1, entry;
	bool hold, two = false;
	struct page *pages;
	char *memory;

	for (k = 1; k + 1 < argc; k += 2) {
		if (!strcmp(argv[k], "--node"))
			node = atoi(argv[k + 1]);
		else if (!strcmp(argv[k], "--keep"))
			two = sscanf(argv[k + 1], "%d-%d", &least, &most) == 2;
		else if (!strcmp(argv[k], "--pin"))
			percent = atoi(argv[k + 1]);
		else if (!strcmp(argv[k], "--leave"))
			leave = (size_t)atol(argv[k + 1]) << 20;
		else if (!strcmp(argv[k], "--seed"))
			seed = strtoull(argv[k + 1], NULL, 0);
		else
			break;
	}
	if (!two)
		most = least;
	if (k < argc || node < 0 || node >= MAX_NODES || least < 1 || most < least ||
	    most >= BLOCK_PAGES || percent < 0 || percent > 100) {
		fputs(usage, stderr);
		return 2;
	}

	if (percent && setrlimit(RLIMIT_NOFILE, &files))
		die("setrlimit");
	nodes[node / BITS] = 1UL << node % BITS;
	if (syscall(SYS_set_mempolicy, MPOL_BIND, nodes, MAX_NODES + 1))
		die("set_mempolicy");
	size = free_bytes(node);
	/* Page tables, and the table of pages below, lie there too. */
	size = size > leave ? (size - leave) / 101 * 100 : 0;
	nr = size / PAGE;
	memory = mmap(NULL, nr * PAGE, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory == MAP_FAILED)
		die("mmap");
	if (madvise(memory, nr * PAGE, MADV_NOHUGEPAGE) && errno != EINVAL)
		die("madvise");
	for (i = 0; i < nr; i++)
		memory[i * PAGE] = 1;

	/* The table itself: anywhere, or it would be in the way. */
	if (syscall(SYS_set_mempolicy, 0, NULL, 0))
		die("set_mempolicy");
	pages = calloc(nr, sizeof(*pages));
	fd = open("/proc/self/pagemap", O_RDONLY);
	if (!pages || fd < 0)
		die("pagemap");
	for (i = 0; i < nr; i++) {
		off_t at = (uintptr_t)(memory + i * PAGE) / PAGE * sizeof(entry);

		if (pread(fd, &entry, sizeof(entry), at) != sizeof(entry))
			die("pagemap");
		if (!(entry & PRESENT) || !(entry & PFN_MASK)) {
			errno = EPERM;
			die("page frame numbers");
		}
		pages[i] = (struct page){ entry & PFN_MASK, memory + i * PAGE };
	}
	qsort(pages, nr, sizeof(*pages), by_pfn);

	for (i = 0; i < nr; i = n) {
		uint64_t block = pages[i].pfn / BLOCK_PAGES;

		for (n = i; n < nr && pages[n].pfn / BLOCK_PAGES == block; n++)
			;
		shuffle(order, seed, block);
		keep = least + (mix(seed, block) >> 33) % (most - least + 1);
		blocks++;
		/* As many of the blocks so far as asked for. */
		hold = pinned * 100 < blocks * percent;
		for (; i < n; i++) {
			if (order[pages[i].pfn % BLOCK_PAGES] < keep) {
				kept++;
				if (hold) {
					pin(pages[i].address);
					pinned++;
					hold = false;
				}
				continue;
			}
			if (madvise(pages[i].address, PAGE, MADV_DONTNEED))
				die("madvise");
		}
	}
	printf("fragment %zu %zu %zu\n", blocks, kept, pinned);
	fflush(stdout);
	for (;;)
		pause();
}
