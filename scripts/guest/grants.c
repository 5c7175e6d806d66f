// SPDX-License-Identifier: GPL-2.0
/*
 * Maps pages that a guest of Xen grants to itself, as a backend maps others':
 *
 *	grants DOMID SECONDS [SEED]
 *
 * Again and again a number of pages is granted to domain DOMID (one's own) and
 * mapped in their order; what is written on one side has to be read on the
 * other. Prints "grants MAPPED" in pages at the end; says what went wrong and
 * ends with 1 if anything did.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* What these headers take for granted. */
typedef uint32_t grant_ref_t;
typedef uint16_t domid_t;

#include <xen/gntalloc.h>
#include <xen/gntdev.h>

#define PAGE	4096UL
#define MOST	64

static int granting, mapping;

static int fail(const char *what)
{
	fprintf(stderr, "grants: %s: %s\n", what, strerror(errno));
	return -1;
}

/* Grants and maps @nr pages; returns -1 if that goes wrong. */
static int round_of(uint16_t domid, unsigned int nr, uint64_t mark)
{
	static char alloc_room[sizeof(struct ioctl_gntalloc_alloc_gref) + MOST * 4];
	static char map_room[sizeof(struct ioctl_gntdev_map_grant_ref) +
			     MOST * sizeof(struct ioctl_gntdev_grant_ref)];
	struct ioctl_gntalloc_alloc_gref *alloc = (void *)alloc_room;
	struct ioctl_gntdev_map_grant_ref *map = (void *)map_room;
	struct ioctl_gntalloc_dealloc_gref dealloc = { .count = nr };
	struct ioctl_gntdev_unmap_grant_ref unmap = { .count = nr };
	const uint32_t *refs = (const uint32_t *)&alloc->gref_ids;
	char *ours, *theirs;
	unsigned int i;
	int err = -1;

	alloc->domid = domid;
	alloc->flags = GNTALLOC_FLAG_WRITABLE;
	alloc->count = nr;
	if (ioctl(granting, IOCTL_GNTALLOC_ALLOC_GREF, alloc))
		return fail("granting");
	dealloc.index = alloc->index;
	ours = mmap(NULL, nr * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, granting, alloc->index);
	if (ours == MAP_FAILED) {
		fail("mmap of what is granted");
		goto dealloc;
	}

	map->count = nr;
	for (i = 0; i < nr; i++)
		map->refs[i] = (struct ioctl_gntdev_grant_ref){ domid, refs[i] };
	if (ioctl(mapping, IOCTL_GNTDEV_MAP_GRANT_REF, map)) {
		fail("mapping");
		goto unmap_ours;
	}
	unmap.index = map->index;
	theirs = mmap(NULL, nr * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, mapping, map->index);
	if (theirs == MAP_FAILED) {
		fail("mmap of what is mapped");
		goto unmap;
	}

	err = 0;
	for (i = 0; i < nr; i++)
		*(volatile uint64_t *)(ours + i * PAGE) = mark + i;
	for (i = 0; i < nr; i++) {
		if (*(volatile uint64_t *)(theirs + i * PAGE) == mark + i)
			continue;
		fprintf(stderr, "grants: page %u of %u is another one\n", i, nr);
		err = -1;
	}
	munmap(theirs, nr * PAGE);
unmap:
	if (ioctl(mapping, IOCTL_GNTDEV_UNMAP_GRANT_REF, &unmap))
		err = fail("unmapping");
unmap_ours:
	munmap(ours, nr * PAGE);
dealloc:
	if (ioctl(granting, IOCTL_GNTALLOC_DEALLOC_GREF, &dealloc))
		err = fail("the end of granting");
	return err;
}

int main(int argc, char **argv)
{
	unsigned long mapped = 0;
	unsigned int nr;
	time_t end;

	if (argc < 3 || argc > 4) {
		fprintf(stderr, "usage: grants DOMID SECONDS [SEED]\n");
		return 2;
	}
	granting = open("/dev/xen/gntalloc", O_RDWR);
	mapping = open("/dev/xen/gntdev", O_RDWR);
	if (granting < 0 || mapping < 0) {
		fail("/dev/xen");
		return 1;
	}
	srandom(argc > 3 ? atoi(argv[3]) : 1);
	end = time(NULL) + atoi(argv[2]);
	do {
		nr = 1 + random() % MOST;
		if (round_of(atoi(argv[1]), nr, (uint64_t)mapped << 16))
			return 1;
		mapped += nr;
	} while (time(NULL) < end);
	printf("grants %lu\n", mapped);
	return 0;
}
