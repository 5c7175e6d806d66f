// SPDX-License-Identifier: GPL-2.0
/*
 * Under Xen: has it do to the guest's memory what the kernel would ask for, or what one that
 * was there before may have asked for (kexec).
 *
 *	memop holes AT...	has Xen take page AT (0 to 511) of a superframe that is free, of
 *				another one for each; prints "hole PFN" for each
 *	memop area		has a superframe of its own and another page, and does with them
 *				what the lines of its standard input say; answers each with "OP RC":
 *		out a|b		Xen takes page 256 of the superframe, or the other page
 *		in a|b		and gives memory for it
 *		move a b	the frame of one becomes the other's
 *		swap a b F	XENMEM_exchange_gfns: memory for a, b is taken; F: its flags
 *		churn N		N times: page 256 is taken, and comes back by
 *				XENMEM_exchange_gfns, the superframe whole; answers with how
 *				often that worked
 *		verify		whether the superframe's other pages are as they were
 *		low		the other page is another one from now on, that of the lowest
 *				number of 64 MiB; answers with the number
 *		write V		writes that to the other page
 *		read		answers with what is there
 *		grant D		the other page is one that domain D may map; answers with the
 *				reference, by which "grants hold" knows it
 *	memop random N THREADS	swaps N times, and takes and gives pages meanwhile, at random, in
 *				superframes that all threads share; looks at what is in them, and
 *				prints "random SWAPS REFUSED WRONG"
 *
 * Needs xen_privcmd.unrestricted=1 on the kernel's command line.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

/* From xen/privcmd.h and Xen's public headers, which not every machine has. */
struct privcmd_hypercall {
	uint64_t op;
	uint64_t arg[5];
};

#define IOCTL_PRIVCMD_HYPERCALL	_IOC(_IOC_NONE, 'P', 0, sizeof(struct privcmd_hypercall))
#define MEMORY_OP		12
#define DECREASE_RESERVATION	1
#define POPULATE_PHYSMAP	6
#define ADD_TO_PHYSMAP		7
#define EXCHANGE_GFNS		30
#define MAPSPACE_GMFN		2
#define SWAP_WHOLE		1
#define DOMID_SELF		0x7ff0

struct reservation {
	uint64_t *extent_start;
	uint64_t nr_extents;
	uint32_t extent_order;
	uint32_t mem_flags;
	uint16_t domid;
};

struct add_to_physmap {
	uint16_t domid;
	uint16_t size;
	uint32_t space;
	uint64_t idx;
	uint64_t gpfn;
};

struct exchange_gfns {
	uint16_t domid;
	uint16_t flags;
	uint32_t nr;
	uint32_t extent_order;
	uint32_t mem_flags;
	uint64_t *populate;
	uint64_t *depopulate;
};

/* What this header takes for granted. */
typedef uint32_t grant_ref_t;
typedef uint16_t domid_t;

#include <xen/gntalloc.h>

/* From linux/kernel-page-flags.h. */
#define BUDDY		0x400
#define PAGE		4096UL
#define SUPERFRAME	512

static int flags_fd, privcmd_fd;
/* What a hypercall reads has to be there. */
static __thread struct {
	struct reservation op;
	struct add_to_physmap move;
	struct exchange_gfns swap;
	uint64_t frame, other;
} *call;

static void die(const char *what)
{
	fprintf(stderr, "memop: %s: %s\n", what, strerror(errno));
	exit(1);
}

static long memory_op(uint64_t op, void *arg)
{
	struct privcmd_hypercall h = { MEMORY_OP, { op, (uintptr_t)arg } };
	long rc = ioctl(privcmd_fd, IOCTL_PRIVCMD_HYPERCALL, &h);

	return rc < 0 ? -errno : rc;
}

static long change(uint64_t op, uint64_t pfn)
{
	call->frame = pfn;
	call->op = (struct reservation){ &call->frame, 1, 0, 0, DOMID_SELF };
	return memory_op(op, &call->op);
}

static long swap(uint64_t populate, uint64_t depopulate, int flags)
{
	call->frame = populate;
	call->other = depopulate;
	call->swap = (struct exchange_gfns){
		DOMID_SELF, flags, 1, 0, 0, &call->frame, &call->other };
	return memory_op(EXCHANGE_GFNS, &call->swap);
}

static void begin_thread(void)
{
	call = mmap(NULL, sizeof(*call), PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE | MAP_LOCKED, -1, 0);
	if (call == MAP_FAILED)
		die("mmap");
}

static void begin(void)
{
	privcmd_fd = open("/dev/xen/privcmd", O_RDWR | O_CLOEXEC);
	if (privcmd_fd < 0)
		die("/dev/xen/privcmd");
	begin_thread();
}

static bool is_free(uint64_t pfn)
{
	uint64_t flags[SUPERFRAME];
	int i;

	if (pread(flags_fd, flags, sizeof(flags), pfn * sizeof(*flags)) != sizeof(flags))
		return false;
	for (i = 0; i < SUPERFRAME; i++)
		if (!(flags[i] & BUDDY))
			return false;
	return true;
}

static int holes(int argc, char **argv)
{
	uint64_t pfn;
	int n = 0;
	long at;

	flags_fd = open("/proc/kpageflags", O_RDONLY);
	if (flags_fd < 0)
		die("/proc/kpageflags");
	/* The first 16 MiB are for devices. */
	for (pfn = 8 * SUPERFRAME; n < argc && pfn < (64ULL << 18); pfn += SUPERFRAME) {
		if (!is_free(pfn))
			continue;
		at = atol(argv[n]);
		if (change(DECREASE_RESERVATION, pfn + at) != 1)
			die("XENMEM_decrease_reservation");
		/* Somebody may just have got it. */
		if (!is_free(pfn)) {
			if (change(POPULATE_PHYSMAP, pfn + at) != 1)
				die("XENMEM_populate_physmap");
			continue;
		}
		printf("hole %llu\n", (unsigned long long)(pfn + at));
		n++;
	}
	return n < argc;
}

static uint64_t pfn_of(void *at)
{
	static int fd = -1;
	uint64_t entry = 0;

	if (fd < 0)
		fd = open("/proc/self/pagemap", O_RDONLY);
	if (pread(fd, &entry, sizeof(entry), (uintptr_t)at / PAGE * sizeof(entry)) != sizeof(entry))
		die("/proc/self/pagemap");
	return entry & ((1ULL << 55) - 1);
}

/* 2M in one piece of the guest's. */
static char *superframe(void)
{
	char *at = mmap(NULL, 2 * SUPERFRAME * PAGE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int i;

	if (at == MAP_FAILED)
		die("mmap");
	at = (char *)(((uintptr_t)at + SUPERFRAME * PAGE - 1) & ~(SUPERFRAME * PAGE - 1));
	if (madvise(at, SUPERFRAME * PAGE, MADV_HUGEPAGE) || mlock(at, SUPERFRAME * PAGE))
		die("2M");
	for (i = 0; i < SUPERFRAME; i++)
		*(uint64_t *)(at + i * PAGE) = i * 7919 + 1;
	if (pfn_of(at) % SUPERFRAME || pfn_of(at + 511 * PAGE) != pfn_of(at) + 511) {
		fprintf(stderr, "memop: 2M are not to be had in one piece\n");
		exit(1);
	}
	return at;
}

static long verify(char *at)
{
	long bad = 0;
	int i;

	for (i = 0; i < SUPERFRAME; i++)
		bad += i != 256 && *(uint64_t *)(at + i * PAGE) != (uint64_t)(i * 7919 + 1);
	return bad;
}

/* A page of the guest's that domain DOMID may map; returns the reference. */
static long grant(int domid, char **page)
{
	static char room[sizeof(struct ioctl_gntalloc_alloc_gref) + 4];
	struct ioctl_gntalloc_alloc_gref *alloc = (void *)room;
	int fd = open("/dev/xen/gntalloc", O_RDWR | O_CLOEXEC);

	alloc->domid = domid;
	alloc->flags = GNTALLOC_FLAG_WRITABLE;
	alloc->count = 1;
	if (fd < 0 || ioctl(fd, IOCTL_GNTALLOC_ALLOC_GREF, alloc))
		return -errno;
	*page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, alloc->index);
	if (*page == MAP_FAILED)
		return -errno;
	**page = 1;
	return *(uint32_t *)&alloc->gref_ids;
}

/*
 * Random swaps. Each thread has pages of its own, so that none loses what another
 * is about to give; the superframes are everybody's, and so are Xen's tables.
 */
#define AREAS		6
#define MOST_THREADS	16

static char *areas[AREAS];
static uint64_t area_pfn[AREAS];
static atomic_long swaps, refused, wrong;
static long wanted;

struct worker {
	pthread_t thread;
	unsigned int seed;
	int nr;				/* of both */
	int page[AREAS * SUPERFRAME];	/* those that are there, then those that Xen has */
	int there;
};

static uint64_t *at_page(int page)
{
	return (uint64_t *)(areas[page / SUPERFRAME] + page % SUPERFRAME * PAGE);
}

static uint64_t pfn_at(int page)
{
	return area_pfn[page / SUPERFRAME] + page % SUPERFRAME;
}

static void mark(int page)
{
	*at_page(page) = page * 104729UL + 1;
	at_page(page)[511] = page;
}

static bool is_marked(int page)
{
	return *at_page(page) == page * 104729UL + 1 && at_page(page)[511] == (uint64_t)page;
}

static void switch_pages(struct worker *w, int a, int b)
{
	int page = w->page[a];

	w->page[a] = w->page[b];
	w->page[b] = page;
}

static void *work(void *arg)
{
	struct worker *w = arg;
	int i, in, out, kind;

	begin_thread();
	while (atomic_load(&swaps) < wanted) {
		in = rand_r(&w->seed) % w->there;
		kind = rand_r(&w->seed) % 10;
		if (!is_marked(w->page[in]))
			atomic_fetch_add(&wrong, 1);
		if (w->there < w->nr && kind == 0) {
			/* Give one, and it is as it was made. */
			if (change(POPULATE_PHYSMAP, pfn_at(w->page[w->there])) == 1)
				mark(w->page[w->there++]);
			else
				atomic_fetch_add(&refused, 1);
		} else if (w->there == w->nr || (kind == 1 && w->there > w->nr / 2)) {
			if (change(DECREASE_RESERVATION, pfn_at(w->page[in])) == 1)
				switch_pages(w, in, --w->there);
			else
				atomic_fetch_add(&refused, 1);
		} else {
			out = w->there + rand_r(&w->seed) % (w->nr - w->there);
			if (swap(pfn_at(w->page[out]), pfn_at(w->page[in]),
				 rand_r(&w->seed) % 3) == 1) {
				switch_pages(w, in, out);
				mark(w->page[in]);
				atomic_fetch_add(&swaps, 1);
			} else {
				atomic_fetch_add(&refused, 1);
			}
		}
	}
	while (w->there < w->nr) {
		if (change(POPULATE_PHYSMAP, pfn_at(w->page[w->there])) == 1)
			mark(w->page[w->there++]);
		else
			usleep(1000);
	}
	for (i = 0; i < w->nr; i++)
		if (!is_marked(w->page[i]))
			atomic_fetch_add(&wrong, 1);
	return NULL;
}

static int at_random(long count, int threads)
{
	static struct worker worker[MOST_THREADS];
	int i, page;

	wanted = count;
	for (i = 0; i < AREAS; i++) {
		areas[i] = superframe();
		area_pfn[i] = pfn_of(areas[i]);
	}
	for (page = 0; page < AREAS * SUPERFRAME; page++) {
		struct worker *w = &worker[page % threads];

		w->page[w->nr++] = page;
		mark(page);
	}
	for (i = 0; i < threads; i++) {
		worker[i].seed = i + 1;
		worker[i].there = worker[i].nr;
		if (pthread_create(&worker[i].thread, NULL, work, &worker[i]))
			die("a thread");
	}
	for (i = 0; i < threads; i++)
		pthread_join(worker[i].thread, NULL);
	printf("random %ld %ld %ld\n", atomic_load(&swaps), atomic_load(&refused),
	       atomic_load(&wrong));
	return atomic_load(&wrong) != 0;
}

static char *lowest(void)
{
	const size_t size = 64 << 20;
	char *from = mmap(NULL, size, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE | MAP_LOCKED, -1, 0);
	char *at, *found = from;

	if (from == MAP_FAILED)
		die("64 MiB");
	for (at = from; at < from + size; at += PAGE)
		if (pfn_of(at) < pfn_of(found))
			found = at;
	return found;
}

static long churn(uint64_t a, uint64_t b, long times)
{
	long done;

	for (done = 0; done < times; done++)
		if (change(DECREASE_RESERVATION, a) != 1 || swap(a, b, SWAP_WHOLE) != 1 ||
		    change(POPULATE_PHYSMAP, b) != 1)
			break;
	return done;
}

static int area(void)
{
	char line[64], op[16], first[8], second[8], *at = superframe(), *other;
	bool out[2] = { false, false };
	uint64_t pfn[2];
	int flags, n, i;
	long rc;

	other = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE | MAP_LOCKED, -1, 0);
	if (other == MAP_FAILED)
		die("mmap");
	*other = 1;
	pfn[0] = pfn_of(at + 256 * PAGE);
	pfn[1] = pfn_of(other);
	printf("pages %llu and %llu\n", (unsigned long long)pfn_of(at),
	       (unsigned long long)pfn[1]);
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		flags = 0;
		n = sscanf(line, "%15s %7s %7s %d", op, first, second, &flags);
		i = n > 1 && first[0] == 'b';
		rc = -1000;
		if (n >= 1 && !strcmp(op, "verify")) {
			rc = verify(at);
		} else if (n >= 1 && !strcmp(op, "low") && !out[1]) {
			other = lowest();
			pfn[1] = pfn_of(other);
			rc = pfn[1];
		} else if (n >= 2 && !strcmp(op, "write") && !out[1]) {
			*(volatile long *)other = atol(first);
			rc = 0;
		} else if (n >= 1 && !strcmp(op, "read") && !out[1]) {
			rc = *(volatile long *)other;
		} else if (n >= 2 && !strcmp(op, "churn")) {
			rc = churn(pfn[0], pfn[1], atol(first));
		} else if (n >= 2 && !strcmp(op, "out")) {
			rc = change(DECREASE_RESERVATION, pfn[i]);
			out[i] |= rc == 1;
		} else if (n >= 2 && !strcmp(op, "in")) {
			rc = change(POPULATE_PHYSMAP, pfn[i]);
			out[i] &= rc != 1;
		} else if (n >= 3 && !strcmp(op, "move")) {
			call->move = (struct add_to_physmap){
				DOMID_SELF, 0, MAPSPACE_GMFN, pfn[i], pfn[!i] };
			rc = memory_op(ADD_TO_PHYSMAP, &call->move);
			if (!rc)
				out[i] = true, out[!i] = false;
		} else if (n >= 3 && !strcmp(op, "swap")) {
			rc = swap(pfn[i], pfn[!i], flags);
			if (rc == 1)
				out[i] = false, out[!i] = true;
		} else if (n >= 2 && !strcmp(op, "grant") && !out[1]) {
			rc = grant(atoi(first), &other);
			if (rc >= 0)
				pfn[1] = pfn_of(other);
		}
		printf("%s %ld\n", op, rc);
		fflush(stdout);
	}
	/* The kernel is to get back what it gave. */
	for (i = 0; i < 2; i++)
		if (out[i] && change(POPULATE_PHYSMAP, pfn[i]) != 1)
			pause();
	return 0;
}

int main(int argc, char **argv)
{
	int i;

	if (argc == 4 && !strcmp(argv[1], "random") && atol(argv[2]) > 0 && atoi(argv[3]) > 0 &&
	    atoi(argv[3]) <= MOST_THREADS) {
		begin();
		return at_random(atol(argv[2]), atoi(argv[3]));
	}
	for (i = 2; i < argc; i++)
		if (atol(argv[i]) < 0 || atol(argv[i]) >= SUPERFRAME)
			break;
	if (argc > 2 && i == argc && !strcmp(argv[1], "holes")) {
		begin();
		return holes(argc - 2, argv + 2);
	}
	if (argc == 2 && !strcmp(argv[1], "area")) {
		begin();
		return area();
	}
	fprintf(stderr, "usage: memop holes 0..511... | memop area | memop random N THREADS\n");
	return 2;
}
