// SPDX-License-Identifier: GPL-2.0
/*
 * Where pages lie, and pages that lie where they are wanted.
 *
 *	frames table NODE		has a page table of its own on the node, prints
 *					"frames table NODE" and stays until it is killed
 *	frames range PFN PAGES		what the range's pages are, as "NAME COUNT" lines, and
 *					the first and the last "fixed" page frame: a page
 *					table or a slab
 *	frames read FILE		has all of the file in the page cache, in single pages:
 *					of a large folio no page can be dropped by itself
 *	frames drop FILE N		drops of the file's page cache all but each Nth page
 *	frames cache FILE OUT [WAS]	counts the file's pages in the page cache and those of
 *					them in ZONE_MOVABLE; keeps their page frames in OUT.
 *					With the OUT of an earlier call, also how many of that
 *					are gone, have moved, and have moved into ZONE_MOVABLE
 *
 * Needs to be root, to see page frame numbers. FILE may be a disk.
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
#include <sys/syscall.h>
#include <unistd.h>

/* From linux/mempolicy.h: spares the guest program libnuma. */
#define MPOL_BIND	2
#define MAX_NODES	64

#define PAGE		4096UL
#define HUGE		(512 * PAGE)
#define PFN_MASK	(UINT64_C(0x7fffffffffffff))
#define PRESENT		(UINT64_C(0x8000000000000000))
#define BATCH		4096UL

/* From linux/kernel-page-flags.h, and the kernel's own after those. */
#define KPF_LRU		5
#define KPF_SLAB	7
#define KPF_BUDDY	10
#define KPF_HUGE	17
#define KPF_NOPAGE	20
#define KPF_OFFLINE	23
#define KPF_PGTABLE	26
#define KPF_RESERVED	32

static const char usage[] =
	"usage: frames table NODE | range PFN PAGES | read FILE | drop FILE N |\n"
	"              cache FILE OUT [WAS]\n";

static void die(const char *what)
{
	fprintf(stderr, "frames: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int open_or_die(const char *path, int flags)
{
	int fd = open(path, flags, 0600);

	if (fd < 0)
		die(path);
	return fd;
}

static void place_table(int node)
{
	unsigned long nodes = 1UL << node;
	volatile char *memory;

	memory = mmap(NULL, 2 * HUGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		die("mmap");
	if (madvise((void *)memory, 2 * HUGE, MADV_NOHUGEPAGE))
		die("madvise");
	/* The first read of 2M needs a table, and what is read is the zero page. */
	if (syscall(SYS_set_mempolicy, MPOL_BIND, &nodes, MAX_NODES + 1))
		die("set_mempolicy");
	memory[HUGE];
	if (syscall(SYS_set_mempolicy, 0, NULL, 0))
		die("set_mempolicy");
	printf("frames table %d\n", node);
	fflush(stdout);
	for (;;)
		pause();
}

static void range(uint64_t pfn, uint64_t pages)
{
	static const struct { const char *name; int bit; } kinds[] = {
		{ "nopage", KPF_NOPAGE }, { "reserved", KPF_RESERVED }, { "huge", KPF_HUGE },
		{ "table", KPF_PGTABLE }, { "slab", KPF_SLAB }, { "offline", KPF_OFFLINE },
		{ "free", KPF_BUDDY }, { "lru", KPF_LRU }, { "other", -1 },
	};
	enum { NR = sizeof(kinds) / sizeof(*kinds) };
	int fd = open_or_die("/proc/kpageflags", O_RDONLY), k;
	uint64_t counts[NR] = { 0 }, first = 0, last = 0, end = pfn + pages, i;
	static uint64_t flags[BATCH];

	for (; pfn < end; pfn += BATCH) {
		ssize_t bytes = (end - pfn < BATCH ? end - pfn : BATCH) * sizeof(*flags);

		if (pread(fd, flags, bytes, pfn * sizeof(*flags)) != bytes)
			die("/proc/kpageflags");
		for (i = 0; i < bytes / sizeof(*flags); i++) {
			for (k = 0; k < NR - 1 && !(flags[i] >> kinds[k].bit & 1); k++)
				;
			counts[k]++;
			if (flags[i] & (1UL << KPF_PGTABLE | 1UL << KPF_SLAB)) {
				first = first ? first : pfn + i;
				last = pfn + i;
			}
		}
	}
	for (k = 0; k < NR; k++)
		printf("%s %llu\n", kinds[k].name, (unsigned long long)counts[k]);
	printf("first %llu\nlast %llu\n", (unsigned long long)first, (unsigned long long)last);
}

static uint64_t pages_of(int fd)
{
	off_t bytes = lseek(fd, 0, SEEK_END);

	if (bytes < (off_t)PAGE)
		die("size");
	return bytes / PAGE;
}

static void read_all(const char *path)
{
	static char buffer[1 << 20];
	int fd = open_or_die(path, O_RDONLY);
	ssize_t n;

	if (posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM))
		die("fadvise");
	while ((n = read(fd, buffer, sizeof(buffer))) > 0)
		;
	if (n < 0)
		die(path);
}

static void drop(const char *path, unsigned long nth)
{
	int fd = open_or_die(path, O_RDONLY);
	uint64_t pages = pages_of(fd), i;

	for (i = 0; nth && i < pages; i++)
		if (i % nth && posix_fadvise(fd, i * PAGE, PAGE, POSIX_FADV_DONTNEED))
			die("fadvise");
}

/* The page frames of all zones of movable pages. */
static struct { uint64_t start, end; } movable[MAX_NODES];
static int nr_movable;

static void find_movable(void)
{
	unsigned long long start, spanned = 0;
	char line[256], name[32] = "";
	FILE *f = fopen("/proc/zoneinfo", "r");

	if (!f)
		die("/proc/zoneinfo");
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "Node %*d, zone %31s", name) == 1 ||
		    sscanf(line, " spanned %llu", &spanned) == 1)
			continue;
		if (sscanf(line, " start_pfn: %llu", &start) == 1 && spanned &&
		    !strcmp(name, "Movable") && nr_movable < MAX_NODES) {
			movable[nr_movable].start = start;
			movable[nr_movable++].end = start + spanned;
		}
	}
	fclose(f);
}

static bool in_movable(uint64_t pfn)
{
	int i;

	for (i = 0; i < nr_movable; i++)
		if (pfn >= movable[i].start && pfn < movable[i].end)
			return true;
	return false;
}

static void cache(const char *path, const char *out, const char *was)
{
	unsigned long cached = 0, there = 0, gone = 0, moved = 0, came = 0;
	int fd = open_or_die(path, O_RDONLY), map;
	uint64_t pages = pages_of(fd), i, entry, *now, *old;
	unsigned char *resident;
	volatile char *memory;
	FILE *f;

	find_movable();
	now = calloc(pages, sizeof(*now));
	old = calloc(pages, sizeof(*old));
	resident = calloc(pages, 1);
	memory = mmap(NULL, pages * PAGE, PROT_READ, MAP_SHARED, fd, 0);
	map = open_or_die("/proc/self/pagemap", O_RDONLY);
	if (!now || !old || !resident || memory == MAP_FAILED)
		die("memory");
	/* What is not in the page cache shall not come there. */
	if (madvise((void *)memory, pages * PAGE, MADV_RANDOM) ||
	    mincore((void *)memory, pages * PAGE, resident))
		die("mincore");
	if (was) {
		f = fopen(was, "r");
		if (!f || fread(old, sizeof(*old), pages, f) != pages)
			die(was);
		fclose(f);
	}
	for (i = 0; i < pages; i++) {
		if (resident[i] & 1) {
			memory[i * PAGE];
			if (pread(map, &entry, sizeof(entry), ((uintptr_t)memory / PAGE + i) *
				  sizeof(entry)) != sizeof(entry))
				die("pagemap");
			now[i] = entry & PRESENT ? entry & PFN_MASK : 0;
			if (!now[i]) {
				errno = EPERM;
				die("page frame numbers");
			}
			cached++;
			there += in_movable(now[i]);
		}
		if (!old[i])
			continue;
		gone += !now[i];
		moved += now[i] && now[i] != old[i];
		came += in_movable(now[i]) && !in_movable(old[i]);
	}
	f = fopen(out, "w");
	if (!f || fwrite(now, sizeof(*now), pages, f) != pages || fclose(f))
		die(out);
	printf("cached %lu\nmovable %lu\ngone %lu\nmoved %lu\ncame %lu\n", cached, there, gone,
	       moved, came);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (!strcmp(what, "table") && argc == 3 && strtoul(argv[2], NULL, 0) < MAX_NODES) {
		place_table(atoi(argv[2]));
	} else if (!strcmp(what, "range") && argc == 4) {
		range(strtoull(argv[2], NULL, 0), strtoull(argv[3], NULL, 0));
	} else if (!strcmp(what, "read") && argc == 3) {
		read_all(argv[2]);
	} else if (!strcmp(what, "drop") && argc == 4) {
		drop(argv[2], strtoul(argv[3], NULL, 0));
	} else if (!strcmp(what, "cache") && (argc == 4 || argc == 5)) {
		cache(argv[2], argv[3], argv[4]);
	} else {
		fputs(usage, stderr);
		return 2;
	}
	return 0;
}
