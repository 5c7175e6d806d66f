// SPDX-License-Identifier: GPL-2.0
/*
 * Fragments a node's free memory: of every 2M block that it can get whole, it
 * keeps some base pages, which can be moved, and frees the others.
 *
 *	fragment --node N [--keep PAGES] [--leave MIB] [--seed S]
 *
 * Keeps PAGES (1 to 511, default 1) of each block, at places that depend on
 * the seed only, after having taken all of the node's free memory but MIB
 * (default 16). Prints "fragment BLOCKS KEPT" in blocks and base pages and
 * holds on until it is killed. Needs to be root, to see page frame numbers.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
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
	"usage: fragment --node N [--keep 1..511] [--leave MIB] [--seed S]\n";

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

/* The numbers 0 to 511 in an order that depends on the seed and the block. */
static void shuffle(unsigned short *order, uint64_t seed, uint64_t block)
{
	uint64_t x = (seed + 1) * 0x9e3779b97f4a7c15ULL ^ (block + 1) * 0xd1342543de82ef95ULL;
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

int main(int argc, char **argv)
{
	unsigned long nodes[MAX_NODES / BITS] = { 0 };
	size_t leave = 16 << 20, size, nr, i, n, blocks = 0, kept = 0;
	unsigned short order[BLOCK_PAGES];
	int node = -1, keep = 1, fd, k;
	uint64_t seed = 1, entry;
	struct page *pages;
	char *memory;

	for (k = 1; k + 1 < argc; k += 2) {
		if (!strcmp(argv[k], "--node"))
			node = atoi(argv[k + 1]);
		else if (!strcmp(argv[k], "--keep"))
			keep = atoi(argv[k + 1]);
		else if (!strcmp(argv[k], "--leave"))
			leave = (size_t)atol(argv[k + 1]) << 20;
		else if (!strcmp(argv[k], "--seed"))
			seed = strtoull(argv[k + 1], NULL, 0);
		else
			break;
	}
	if (k < argc || node < 0 || node >= MAX_NODES || keep < 1 || keep >= BLOCK_PAGES) {
		fputs(usage, stderr);
		return 2;
	}

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
		blocks++;
		for (; i < n; i++) {
			if (order[pages[i].pfn % BLOCK_PAGES] < keep) {
				kept++;
				continue;
			}
			if (madvise(pages[i].address, PAGE, MADV_DONTNEED))
				die("madvise");
		}
	}
	printf("fragment %zu %zu\n", blocks, kept);
	fflush(stdout);
	for (;;)
		pause();
}
