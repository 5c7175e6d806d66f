// SPDX-License-Identifier: GPL-2.0
/*
 * Who else moves, shares and watches pages, in blocks that the balloon empties: NUMA
 * balancing, KSM and userfaultfd. What they have done lasts, and every byte is there.
 */
#include <linux/userfaultfd.h>
#include <numa.h>
#include <poll.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/ioctl.h>

#include "fragmented.h"

#ifndef BIT_ULL
#define BIT_ULL(bit)	(1ULL << (bit))
#endif

#ifndef MPOL_DEFAULT
#define MPOL_DEFAULT	0
#endif

/* Less to move than where the balloon is alone: others work on it, too. */
#define FEW_BLOCKS	32
/* Of 512 parts of a block, so many are in use. */
#define FEW_PAGES	64
/* One of so many pages is moved at least: some blocks are emptied, and others are not. */
#define A_FEW		32

#define BALANCING	"/sys/kernel/debug/sched/numa_balancing/"
#define KSM		"/sys/kernel/mm/ksm/"

/* Whose values are restored afterwards. */
static const char * const knobs[] = {
	"/proc/sys/kernel/numa_balancing",
	BALANCING "scan_delay_ms",
	BALANCING "scan_period_min_ms",
	BALANCING "scan_period_max_ms",
	KSM "pages_to_scan",
	KSM "sleep_millisecs",
	KSM "run",
};

FIXTURE(neighbours)
{
	FIXTURE_DATA(balloon) balloon;
	long knob[ARRAY_SIZE(knobs)];
	bool merged;
};

FIXTURE_SETUP(neighbours)
{
	size_t k;

	balloon_setup(_metadata, &self->balloon, NULL);
	if (_metadata->exit_code)
		return;
	for (k = 0; k < ARRAY_SIZE(knobs); k++)
		self->knob[k] = read_number(knobs[k]);
	/* What is freed is to be seen as free, and nobody else is to move it. */
	limit_cpu_lists(true);
	proactive_compaction(false);
}

FIXTURE_TEARDOWN(neighbours)
{
	size_t k;

	limit_cpu_lists(false);
	/* Nothing stays shared. */
	if (self->merged)
		EXPECT_EQ(0, write_number(KSM "run", 2));
	for (k = 0; k < ARRAY_SIZE(knobs); k++)
		if (self->knob[k] >= 0)
			EXPECT_EQ(0, write_number(knobs[k], self->knob[k]));
	balloon_teardown(_metadata, &self->balloon, NULL);
}

/* Pages that were moved for another reason than to be near their user. */
static long moved_otherwise(void)
{
	refresh_vmstat();
	return read_vmstat("pgmigrate_success") - read_vmstat("numa_pages_migrated");
}

/* Who works with memory on the CPUs of a node. */
struct worker {
	struct used *u;
	int nid;
	pthread_t thread;
	/* How often each page was written to: that is added to its first word. */
	uint64_t rounds;
	bool stop;
	/* What was written was not there any more. */
	bool lost;
};

static bool write_round(struct worker *w, uint64_t before, uint64_t after)
{
	size_t i;

	for (i = 0; i < w->u->bytes; i += PAGE) {
		volatile uint64_t *first = (uint64_t *)(w->u->p + i);

		if (!w->u->kept[i / PAGE])
			continue;
		if (*first != word(1, i / 8) + before)
			return false;
		*first = word(1, i / 8) + after;
	}
	return true;
}

static void *work(void *arg)
{
	struct worker *w = arg;

	if (numa_run_on_node(w->nid)) {
		w->lost = true;
		return NULL;
	}
	while (!w->lost && !__atomic_load_n(&w->stop, __ATOMIC_RELAXED)) {
		w->lost = !write_round(w, w->rounds, w->rounds + 1);
		w->rounds++;
	}
	/* As it was. */
	if (!w->lost)
		w->lost = !write_round(w, w->rounds, 0);
	return NULL;
}

static bool start_work(struct worker *w, struct used *u, int nid)
{
	*w = (struct worker){ .u = u, .nid = nid };
	return !pthread_create(&w->thread, NULL, work, w);
}

/* Returns whether all that was written was there to be read. */
static bool end_work(struct worker *w)
{
	__atomic_store_n(&w->stop, true, __ATOMIC_RELAXED);
	return !pthread_join(w->thread, NULL) && !w->lost;
}

/* Of each sixteenth page, how many are on a node: to look at all takes long. */
static long some_on_node(const struct used *u, int nid)
{
	long nr = 0, n = 0;
	size_t i;

	for (i = 0; i < u->bytes; i += PAGE) {
		void *page = u->p + i;
		int status;

		if (u->kept[i / PAGE] && nr++ % 16 == 0 &&
		    !syscall(SYS_move_pages, 0, 1UL, &page, NULL, &status, 0))
			n += status == nid;
	}
	return n;
}

/* Other programs' pages are balanced, too: these are our own. */
static bool some_come_to(const struct used *u, int nid, long before)
{
	double end = now() + 240;

	while (some_on_node(u, nid) <= before) {
		if (now() > end)
			return false;
		usleep(10000);
	}
	return true;
}

/*
 * NUMA balancing moves pages to where they are used, while the balloon has them moved within
 * their node to empty their blocks; and brings them back while it gives these up.
 */
TEST_F_TIMEOUT(neighbours, numa_balancing, LONG)
{
	const char *why = no_evacuation();
	long want, before, balanced, otherwise;
	struct worker w;
	struct used u;
	int i, nid;

	if (why)
		SKIP(return, "%s", why);
	if (self->knob[0] < 0)
		SKIP(return, "this kernel has no CONFIG_NUMA_BALANCING");
	if (self->knob[1] < 0)
		SKIP(return, "this kernel has no " BALANCING);
	if (nr_nodes < 2 || numa_available() < 0)
		SKIP(return, "needs two nodes");
	for (i = 0; i < 2; i++)
		if (numa_run_on_node(i ? last() : nodes[0]))
			SKIP(return, "a node has no CPU");
	numa_run_on_node(-1);

	for (i = 1; i <= 3; i++)
		ASSERT_EQ(0, write_number(knobs[i], 100));
	ASSERT_EQ(0, write_number(knobs[0], 1));
	ASSERT_TRUE(use(&u, last(), FEW_BLOCKS, FEW_PAGES, FEW_PAGES, 0));
	/* What is bound to a node stays there; what is there already may go now. */
	ASSERT_EQ(0, syscall(SYS_mbind, u.p, u.bytes, MPOL_DEFAULT, NULL, 0, 0));
	want = half_of_free();
	for (i = 0; i < 2; i++) {
		nid = i ? last() : nodes[0];
		before = some_on_node(&u, nid);
		refresh_vmstat();
		balanced = read_vmstat("numa_pages_migrated");
		ASSERT_TRUE(start_work(&w, &u, nid));
		EXPECT_TRUE(some_come_to(&u, nid, before));
		otherwise = moved_otherwise();
		inflate(_metadata, &u, want, 90);
		otherwise = moved_otherwise() - otherwise;
		balanced = read_vmstat("numa_pages_migrated") - balanced;
		ASSERT_TRUE(set_target(0));
		EXPECT_TRUE(end_work(&w));
		TH_LOG("%ld pages came to node %d, %ld were moved otherwise, of %ld", balanced,
		       nid, otherwise, u.pages);
		EXPECT_LT(0, balanced);
		/* When they are back, there may be whole blocks enough. */
		if (!i)
			EXPECT_LE(u.pages / A_FEW, otherwise);
		EXPECT_TRUE(intact(&u));
		EXPECT_STREQ("", broken());
	}
	unuse(&u);
}

/* All pages that are in use, in the order of their addresses. */
static char **list_pages(const struct used *u)
{
	char **page = calloc(u->pages, sizeof(*page));
	size_t i;
	long n = 0;

	for (i = 0; page && i < u->bytes; i += PAGE)
		if (u->kept[i / PAGE])
			page[n++] = u->p + i;
	return page;
}

/* How many of the first pages lie where their twins do; says where. */
static long shared(int fd, char **page, long pairs, uint64_t *pfn)
{
	long n = 0, k;

	for (k = 0; k < pairs; k++) {
		pfn[k] = pfn_of(fd, page[k]);
		n += pfn[k] && pfn[k] == pfn_of(fd, page[pairs + k]);
	}
	return n;
}

/* Pages of one content, of which the kernel keeps one: that is moved, and stays the only one. */
TEST_F_TIMEOUT(neighbours, ksm, LONG)
{
	int fd = open("/proc/self/pagemap", O_RDONLY);
	const char *why = no_evacuation();
	uint64_t *before, *after;
	long pairs, merged, still, k, moved = 0, sharing, want;
	struct used u;
	double end;
	char **page;

	if (why)
		SKIP(return, "%s", why);
	if (read_number(KSM "run") < 0)
		SKIP(return, "this kernel has no CONFIG_KSM");
	ASSERT_LE(0, fd);
	ASSERT_TRUE(use(&u, last(), FEW_BLOCKS, FEW_PAGES, FEW_PAGES, 0));
	pairs = u.pages / 2;
	page = list_pages(&u);
	before = calloc(pairs, sizeof(*before));
	after = calloc(pairs, sizeof(*after));
	ASSERT_NE(NULL, page);
	ASSERT_NE(NULL, before);
	ASSERT_NE(NULL, after);
	for (k = 0; k < 2 * pairs; k++)
		fill(page[k], PAGE, k % pairs);
	ASSERT_EQ(0, madvise(u.p, u.bytes, MADV_MERGEABLE));
	self->merged = true;
	ASSERT_EQ(0, write_number(KSM "sleep_millisecs", 10));
	ASSERT_EQ(0, write_number(KSM "pages_to_scan", 1000));
	ASSERT_EQ(0, write_number(KSM "run", 1));
	end = now() + 120;
	while (read_number(KSM "pages_sharing") < pairs && now() < end)
		usleep(50000);
	/* They stay as they are. */
	ASSERT_EQ(0, write_number(KSM "run", 0));
	sharing = read_number(KSM "pages_sharing");
	merged = shared(fd, page, pairs, before);
	ASSERT_LE(pairs * 9 / 10, merged);
	ASSERT_LE(merged, sharing);

	want = half_of_free();
	inflate(_metadata, &u, want, 95);
	/* One that is being moved is nowhere at the moment. */
	end = now() + 60;
	while ((still = shared(fd, page, pairs, after)) < merged && now() < end)
		usleep(50000);
	EXPECT_EQ(merged, still);
	EXPECT_EQ(sharing, read_number(KSM "pages_sharing"));
	for (k = 0; k < pairs; k++)
		moved += before[k] != after[k];
	TH_LOG("%ld of %ld pairs share a page, %ld of these were moved", merged, pairs, moved);
	EXPECT_LE(merged / A_FEW, moved);
	for (k = 0; k < 2 * pairs; k++)
		if (!verify(page[k], PAGE, k % pairs))
			break;
	EXPECT_EQ(2 * pairs, k);
	/* Who writes to one of two has one of its own. */
	for (k = 0; k < pairs; k++)
		++*(uint64_t *)page[k];
	for (k = 0; k < pairs; k++)
		if (!verify(page[pairs + k], PAGE, k) || *(uint64_t *)page[k] != word(k, 0) + 1)
			break;
	EXPECT_EQ(pairs, k);
	EXPECT_STREQ("", broken());
	ASSERT_TRUE(set_target(0));
	unuse(&u);
}

/* What becomes of a page of memory that is watched, beside those that are in use. */
enum { MISSING = 0, PRESENT = 1, PROTECTED = 2 };

/* Who is told of faults, and sees to them. */
struct watcher {
	struct used *u;
	char *state;
	char *page;
	int fd;
	int end[2];
	pthread_t thread;
	long missing;
	long protected;
	bool failed;
};

/* What is not there is different from all else. */
static uint64_t seed_of(const struct watcher *w, const char *p)
{
	return 2 + (p - w->u->p) / PAGE;
}

static bool provide(struct watcher *w, char *p)
{
	struct uffdio_copy copy = {
		.dst = (uintptr_t)p, .src = (uintptr_t)w->page, .len = PAGE,
	};

	fill(w->page, PAGE, seed_of(w, p));
	return !ioctl(w->fd, UFFDIO_COPY, &copy);
}

static bool protect(struct watcher *w, char *p, bool on)
{
	struct uffdio_writeprotect wp = {
		.range = { .start = (uintptr_t)p, .len = PAGE },
		.mode = on ? UFFDIO_WRITEPROTECT_MODE_WP : 0,
	};

	return !ioctl(w->fd, UFFDIO_WRITEPROTECT, &wp);
}

static void *watch(void *arg)
{
	struct watcher *w = arg;
	struct pollfd fds[2] = { { w->fd, POLLIN, 0 }, { w->end[0], POLLIN, 0 } };
	struct uffd_msg msg;
	char *p;

	while (poll(fds, 2, -1) > 0 && !fds[1].revents) {
		if (read(w->fd, &msg, sizeof(msg)) != sizeof(msg) ||
		    msg.event != UFFD_EVENT_PAGEFAULT)
			continue;
		p = (char *)(uintptr_t)(msg.arg.pagefault.address & ~(PAGE - 1));
		if (msg.arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WP) {
			w->protected++;
			w->failed |= !protect(w, p, false);
		} else {
			w->missing++;
			w->failed |= !provide(w, p);
		}
	}
	return NULL;
}

/* Why it can't be, or NULL. */
static const char *start_watch(struct watcher *w, struct used *u)
{
	struct uffdio_api api = {
		.api = UFFD_API, .features = UFFD_FEATURE_PAGEFAULT_FLAG_WP,
	};
	struct uffdio_register reg = {
		.range = { .start = (uintptr_t)u->p, .len = u->bytes },
		.mode = UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP,
	};

	*w = (struct watcher){ .u = u };
	w->fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (w->fd < 0)
		return "this kernel has no CONFIG_USERFAULTFD";
	if (ioctl(w->fd, UFFDIO_API, &api) || ioctl(w->fd, UFFDIO_REGISTER, &reg))
		return "this kernel's userfaultfd does not protect from writing";
	w->state = calloc(u->bytes / PAGE, 1);
	w->page = map(PAGE, -1, MADV_NOHUGEPAGE);
	return !w->state || !w->page || pipe(w->end) ||
	       pthread_create(&w->thread, NULL, watch, w) ? "no memory to watch with" : NULL;
}

static bool end_watch(struct watcher *w)
{
	close(w->end[1]);
	pthread_join(w->thread, NULL);
	close(w->fd);
	return !w->failed;
}

/* In /proc/self/pagemap: who writes is told of. */
#define MARKED		BIT_ULL(57)

/*
 * Who watches memory is told of what he would have been told without the balloon, and
 * of nothing else.
 */
TEST_F_TIMEOUT(neighbours, userfaultfd, LONG)
{
	int fd = open("/proc/self/pagemap", O_RDONLY);
	long present = 0, protected = 0, moved = 0, wrong = 0, missing = 0, want;
	const char *why = no_evacuation();
	uint64_t *before, *after, first;
	struct watcher w;
	struct used u;
	size_t i, n;
	char *p;

	if (why)
		SKIP(return, "%s", why);
	ASSERT_LE(0, fd);
	ASSERT_TRUE(use(&u, last(), FEW_BLOCKS, FEW_PAGES, FEW_PAGES, 0));
	why = start_watch(&w, &u);
	if (why)
		SKIP(return, "%s", why);
	n = u.bytes / PAGE;
	before = calloc(n, sizeof(*before));
	after = calloc(n, sizeof(*after));
	ASSERT_NE(NULL, before);
	ASSERT_NE(NULL, after);
	for (i = 0; i < n; i++) {
		p = u.p + i * PAGE;
		if (!u.kept[i]) {
			if (hash(i) % 64)
				continue;
			ASSERT_TRUE(provide(&w, p));
		}
		w.state[i] = PRESENT;
		present++;
		if (hash(~i) % 4 == 0) {
			ASSERT_TRUE(protect(&w, p, true));
			w.state[i] = PROTECTED;
			protected++;
		}
	}
	ASSERT_LT(u.pages, present);
	ASSERT_TRUE(read_pagemap(fd, u.p, before, n));

	want = half_of_free();
	inflate(_metadata, &u, want, 95);
	ASSERT_TRUE(read_pagemap(fd, u.p, after, n));
	for (i = 0; i < n; i++) {
		p = u.p + i * PAGE;
		wrong += !!(after[i] & MARKED) != (w.state[i] == PROTECTED);
		if (w.state[i] != MISSING && !u.kept[i])
			wrong += !verify(p, PAGE, seed_of(&w, p));
		moved += w.state[i] == PROTECTED && (before[i] ^ after[i]) & PFN_MASK;
	}
	EXPECT_EQ(0, wrong);
	EXPECT_TRUE(intact(&u));
	TH_LOG("%ld pages, %ld of them protected, %ld of these were moved", present, protected,
	       moved);
	EXPECT_LE(protected / A_FEW, moved);

	/* None of that was told of, but what now comes is. */
	EXPECT_EQ(0, w.missing);
	EXPECT_EQ(0, w.protected);
	for (i = 0; i < n; i++) {
		p = u.p + i * PAGE;
		if (w.state[i] == MISSING && hash(i) % 64 != 1)
			continue;
		missing += w.state[i] == MISSING;
		first = *(volatile uint64_t *)p;
		*(volatile uint64_t *)p = first + 1;
		*(volatile uint64_t *)p = first;
		if (!u.kept[i])
			wrong += !verify(p, PAGE, seed_of(&w, p));
	}
	EXPECT_EQ(0, wrong);
	EXPECT_TRUE(intact(&u));
	EXPECT_EQ(missing, w.missing);
	EXPECT_EQ(protected, w.protected);
	EXPECT_STREQ("", broken());
	ASSERT_TRUE(set_target(0));
	EXPECT_TRUE(end_watch(&w));
	unuse(&u);
}

TEST_HARNESS_MAIN
