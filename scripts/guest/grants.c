// SPDX-License-Identifier: GPL-2.0
/*
 * Maps pages that another guest of Xen grants, as a backend does:
 *
 *	grants offer DOMID COUNT		let domain DOMID map COUNT pages
 *	grants map DOMID SECONDS REF...		map those of domain DOMID
 *	grants hold DOMID REF			map one until killed, once "held" is said
 *
 * "offer" prints the grants' references, then waits to be killed. "map" maps some
 * of them at a time, again and again, and looks whether each is the page that
 * was offered as such; at the end it prints "grants MAPPED", in pages. Both say
 * what went wrong and end with 1 if anything did.
 *
 * A PV guest may map what it grants itself; in another one Xen then forgets where
 * the page was.
 */
#include <errno.h>
#include <fcntl.h>
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
#define MARK	0x6772616e74ULL

static int fail(const char *what)
{
	fprintf(stderr, "grants: %s: %s\n", what, strerror(errno));
	return 1;
}

static int offer(domid_t domid, unsigned int count)
{
	static char room[sizeof(struct ioctl_gntalloc_alloc_gref) + MOST * 4];
	struct ioctl_gntalloc_alloc_gref *alloc = (void *)room;
	const uint32_t *refs = (const uint32_t *)&alloc->gref_ids;
	int fd = open("/dev/xen/gntalloc", O_RDWR);
	unsigned int i;
	char *p;

	alloc->domid = domid;
	alloc->flags = GNTALLOC_FLAG_WRITABLE;
	alloc->count = count;
	if (fd < 0 || ioctl(fd, IOCTL_GNTALLOC_ALLOC_GREF, alloc))
		return fail("granting");
	p = mmap(NULL, count * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, alloc->index);
	if (p == MAP_FAILED)
		return fail("mmap of what is granted");
	for (i = 0; i < count; i++)
		*(volatile uint64_t *)(p + i * PAGE) = MARK + i;
	for (i = 0; i < count; i++)
		printf("%u%c", refs[i], i + 1 < count ? ' ' : '\n');
	fflush(stdout);
	pause();
	return 0;
}

/* Some of the pages, once. */
static int map_some(int fd, domid_t domid, const grant_ref_t *refs, unsigned int first,
		    unsigned int nr)
{
	static char room[sizeof(struct ioctl_gntdev_map_grant_ref) +
			 MOST * sizeof(struct ioctl_gntdev_grant_ref)];
	struct ioctl_gntdev_map_grant_ref *map = (void *)room;
	struct ioctl_gntdev_unmap_grant_ref unmap = { .count = nr };
	unsigned int i;
	int err = 0;
	char *p;

	map->count = nr;
	for (i = 0; i < nr; i++)
		map->refs[i] = (struct ioctl_gntdev_grant_ref){ domid, refs[first + i] };
	if (ioctl(fd, IOCTL_GNTDEV_MAP_GRANT_REF, map))
		return fail("mapping");
	unmap.index = map->index;
	p = mmap(NULL, nr * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, map->index);
	if (p == MAP_FAILED)
		return fail("mmap of what is mapped");
	for (i = 0; i < nr; i++) {
		if (*(volatile uint64_t *)(p + i * PAGE) == MARK + first + i)
			continue;
		fprintf(stderr, "grants: page %u is another one\n", first + i);
		err = 1;
	}
	munmap(p, nr * PAGE);
	if (ioctl(fd, IOCTL_GNTDEV_UNMAP_GRANT_REF, &unmap))
		return fail("unmapping");
	return err;
}

static int map_for(domid_t domid, time_t seconds, const grant_ref_t *refs, unsigned int count)
{
	int fd = open("/dev/xen/gntdev", O_RDWR);
	time_t end = time(NULL) + seconds;
	unsigned int first, nr;
	unsigned long mapped = 0;

	if (fd < 0)
		return fail("/dev/xen/gntdev");
	do {
		first = random() % count;
		nr = 1 + random() % (count - first);
		if (map_some(fd, domid, refs, first, nr))
			return 1;
		mapped += nr;
	} while (time(NULL) < end);
	printf("grants %lu\n", mapped);
	return 0;
}

static int hold(domid_t domid, grant_ref_t ref)
{
	struct ioctl_gntdev_map_grant_ref map = { .count = 1, .refs[0] = { domid, ref } };
	int fd = open("/dev/xen/gntdev", O_RDWR);
	char *p;

	if (fd < 0 || ioctl(fd, IOCTL_GNTDEV_MAP_GRANT_REF, &map))
		return fail("mapping");
	p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, map.index);
	if (p == MAP_FAILED)
		return fail("mmap of what is mapped");
	printf("held %d\n", *(volatile char *)p);
	fflush(stdout);
	pause();
	return 0;
}

int main(int argc, char **argv)
{
	grant_ref_t refs[MOST];
	int i, count;

	if (argc == 4 && !strcmp(argv[1], "offer")) {
		count = atoi(argv[3]);
		if (count >= 1 && count <= MOST)
			return offer(atoi(argv[2]), count);
	}
	if (argc >= 5 && argc - 4 <= MOST && !strcmp(argv[1], "map")) {
		for (i = 4; i < argc; i++)
			refs[i - 4] = strtoul(argv[i], NULL, 10);
		return map_for(atoi(argv[2]), atoi(argv[3]), refs, argc - 4);
	}
	if (argc == 4 && !strcmp(argv[1], "hold"))
		return hold(atoi(argv[2]), strtoul(argv[3], NULL, 10));
	fprintf(stderr, "usage: grants offer DOMID COUNT\n"
			"       grants map DOMID SECONDS REF...\n"
			"       grants hold DOMID REF\n"
			"%d pages at most\n", MOST);
	return 2;
}
