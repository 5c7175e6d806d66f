// SPDX-License-Identifier: GPL-2.0
/*
 * Memory that fails while it is in the balloon, or on its way back: it is never used
 * again, what lies beside it is, and every count is right all the while.
 *
 * A page that is poisoned in the balloon is marked, and that is all that the kernel can do
 * then. When it leaves the balloon the allocator keeps it out. Nobody has a reference to
 * it any more, so that unpoisoning only takes the mark away: the page is lost until the next
 * boot, as is what others free when it is poisoned. What is soft offlined in the balloon
 * comes back. A page that is in the balloon can't be unpoisoned.
 */
#include <numa.h>

#include "fragmented.h"

#define HWPOISON	"/sys/kernel/debug/hwpoison/"
#define SOFT_OFFLINE	"/sys/devices/system/memory/soft_offline_page"

#ifndef MADV_SOFT_OFFLINE
#define MADV_SOFT_OFFLINE	101
#endif

/* In /proc/kpageflags. */
#define KPF_LRU		5
#define KPF_SLAB	7
#define KPF_MMAP	11
#define KPF_HWPOISON	19

#define BIT(bit)	(1ULL << (bit))
/* Free, in the balloon, or in use by somebody. */
#define ANYWHERE	(BIT(KPF_BUDDY) | BIT(KPF_OFFLINE) | BIT(KPF_LRU) | BIT(KPF_SLAB) | \
			 BIT(KPF_MMAP))

#define MAX_POISONED	4

/* A node's memory: what of it is ballooned, and what is poisoned. */
struct node_pages {
	/* Page frames, and what they were when nothing was ballooned. */
	unsigned long start;
	unsigned long nr;
	uint64_t *before;
	/* Those that are ballooned. */
	unsigned long *ours;
	long nr_ours;
	/* Those that are poisoned. */
	unsigned long poisoned[MAX_POISONED];
	int nr_poisoned;
	/* MemTotal with nothing ballooned, and HardwareCorrupted with nothing poisoned. */
	long memtotal;
	long corrupted;
	/* A page of the node that is in use. */
	char *spare;
	/* Open files. */
	int flags;
	int pagemap;
};

FIXTURE(poison)
{
	FIXTURE_DATA(balloon) balloon;
	struct node_pages node;
};

/* Neither the node that most tests look at nor the one that has the kernel in it. */
static int where(void)
{
	return nodes[nr_nodes / 2];
}

static const char *why_not(void)
{
	const char *why = unusable();

	if (why)
		return why;
	if (access(HWPOISON "corrupt-pfn", F_OK))
		return "this kernel has no CONFIG_HWPOISON_INJECT";
	return access(SOFT_OFFLINE, F_OK) ? "this kernel has no " SOFT_OFFLINE : NULL;
}

/* Page frames of a node, with what lies between its zones. */
static bool find_range(int nid, unsigned long *start, unsigned long *pages)
{
	FILE *f = fopen("/proc/zoneinfo", "r");
	unsigned long from, spanned = 0, end = 0;
	char line[512], zone[32];
	int node, ours = 0;

	*start = -1UL;
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "Node %d, zone %31s", &node, zone) == 2)
			ours = node == nid;
		if (!ours || sscanf(line, " spanned %lu", &spanned) == 1 ||
		    sscanf(line, " start_pfn: %lu", &from) != 1)
			continue;
		*start = from < *start ? from : *start;
		end = from + spanned > end ? from + spanned : end;
	}
	if (f)
		fclose(f);
	*pages = end - *start;
	return end;
}

static bool read_flags(int fd, unsigned long pfn, uint64_t *flags, unsigned long nr)
{
	char *p = (char *)flags;
	size_t left = nr * sizeof(*flags);
	ssize_t n;

	while (left) {
		n = pread(fd, p, left, pfn * sizeof(*flags) + (p - (char *)flags));
		if (n <= 0)
			return false;
		p += n;
		left -= n;
	}
	return true;
}

static uint64_t flags_of(struct node_pages *n, unsigned long pfn)
{
	uint64_t flags = 0;

	read_flags(n->flags, pfn, &flags, 1);
	return flags;
}

FIXTURE_SETUP(poison)
{
	struct node_pages *n = &self->node;
	const char *why = why_not();

	if (why)
		SKIP(return, "%s", why);
	balloon_setup(_metadata, &self->balloon, NULL);
	if (_metadata->exit_code)
		return;
	n->memtotal = self->balloon.memtotal;
	n->corrupted = meminfo_kb("HardwareCorrupted");
	n->flags = open("/proc/kpageflags", O_RDONLY);
	n->pagemap = open("/proc/self/pagemap", O_RDONLY);
	ASSERT_LE(0, n->flags);
	ASSERT_LE(0, n->pagemap);
	n->spare = map(PAGE, where(), MADV_NOHUGEPAGE);
	ASSERT_NE(NULL, n->spare);
	n->spare[0] = 1;
	ASSERT_TRUE(find_range(where(), &n->start, &n->nr));
	n->before = calloc(n->nr, sizeof(*n->before));
	n->ours = calloc(n->nr, sizeof(*n->ours));
	ASSERT_NE(NULL, n->before);
	ASSERT_NE(NULL, n->ours);
	ASSERT_TRUE(read_flags(n->flags, n->start, n->before, n->nr));
}

static int mend(unsigned long pfn)
{
	return write_number(HWPOISON "unpoison-pfn", pfn);
}

FIXTURE_TEARDOWN(poison)
{
	struct node_pages *n = &self->node;
	int i;

	limit_cpu_lists(false);
	/* What is ballooned still can't be unpoisoned. */
	sim_defaults();
	set_target(0);
	wait_settled(10);
	for (i = 0; i < n->nr_poisoned; i++)
		if (flags_of(n, n->poisoned[i]) & BIT(KPF_HWPOISON))
			mend(n->poisoned[i]);
	EXPECT_EQ(n->corrupted, meminfo_kb("HardwareCorrupted"));
	balloon_teardown(_metadata, &self->balloon, NULL);
}

/*
 * What CPUs have on lists of their own is free as all else. The kernel sees to that where it
 * offlines a page, which is the one that was in use, and where that is unpoisoned.
 */
static bool drain(struct node_pages *n)
{
	unsigned long pfn = pfn_of(n->pagemap, n->spare);
	int tries = 10;

	/* Somebody may look at it, or move it. */
	while (pfn && madvise(n->spare, PAGE, MADV_SOFT_OFFLINE)) {
		if (!--tries)
			return false;
		pfn = pfn_of(n->pagemap, n->spare);
	}
	return pfn && !mend(pfn);
}

/* See which pages of the node are ballooned. Returns how many, or -1. */
static long look(struct node_pages *n)
{
	uint64_t *flags = calloc(n->nr, sizeof(*flags));
	unsigned long i;

	if (!flags || !read_flags(n->flags, n->start, flags, n->nr)) {
		free(flags);
		return -1;
	}
	n->nr_ours = 0;
	for (i = 0; i < n->nr; i++)
		if (flags[i] & ~n->before[i] & BIT(KPF_OFFLINE))
			n->ours[n->nr_ours++] = n->start + i;
	free(flags);
	return n->nr_ours;
}

/* Have so many pages of the node ballooned. */
static void hold(struct __test_metadata *_metadata, struct node_pages *n, long pages)
{
	ASSERT_EQ(0, node_target(where(), pages));
	ASSERT_TRUE(set_target(pages));
	ASSERT_TRUE(wait_settled(10));
	ASSERT_EQ(pages, node_number(where(), "nr_pages"));
	ASSERT_EQ(pages, look(n));
}

static void poisoned(struct node_pages *n, unsigned long pfn)
{
	n->poisoned[n->nr_poisoned++] = pfn;
}

/* A ballooned page fails. */
static void spoil(struct __test_metadata *_metadata, struct node_pages *n, unsigned long pfn)
{
	long pages = sum_pages();

	/* The kernel says that it could do nothing about it. */
	EXPECT_GT(0, write_number(HWPOISON "corrupt-pfn", pfn));
	poisoned(n, pfn);
	EXPECT_EQ(BIT(KPF_HWPOISON) | BIT(KPF_OFFLINE),
		  flags_of(n, pfn) & (BIT(KPF_HWPOISON) | ANYWHERE));
	EXPECT_EQ(n->corrupted + kib(n->nr_poisoned), meminfo_kb("HardwareCorrupted"));
	EXPECT_EQ(pages, sum_pages());
}

/* So many of what the balloon gives up may be in use again before anybody has looked. */
#define AT_ONCE		8

/* The balloon has given up all, and all but what is poisoned becomes free. */
static void expect_kept_out(struct __test_metadata *_metadata, struct node_pages *n)
{
	long i, left, offline;
	double end = now() + 60;
	uint64_t flags;

	EXPECT_STREQ("", broken());
	EXPECT_EQ(0, sum_pages());
	EXPECT_EQ(n->memtotal, meminfo_kb("MemTotal"));
	do {
		ASSERT_TRUE(drain(n));
		for (i = 0, left = 0, offline = 0; i < n->nr_ours; i++) {
			flags = flags_of(n, n->ours[i]);
			offline += flags >> KPF_OFFLINE & 1;
			/* Once is enough: somebody may use it the next moment. */
			if (flags & BIT(KPF_BUDDY))
				n->ours[i--] = n->ours[--n->nr_ours];
			else
				left += !(flags & BIT(KPF_HWPOISON));
		}
	} while (left > AT_ONCE && now() < end);
	TH_LOG("%ld pages were not free at any time", left);
	EXPECT_GE(AT_ONCE, left);
	EXPECT_EQ(0, offline);
	for (i = 0; i < n->nr_poisoned; i++)
		EXPECT_EQ(BIT(KPF_HWPOISON), flags_of(n, n->poisoned[i]) &
			  (BIT(KPF_HWPOISON) | ANYWHERE));
	EXPECT_EQ(n->corrupted + kib(n->nr_poisoned), meminfo_kb("HardwareCorrupted"));
}

static void deflate(struct __test_metadata *_metadata, struct node_pages *n)
{
	ASSERT_TRUE(set_target(0));
	ASSERT_TRUE(wait_settled(10));
	expect_kept_out(_metadata, n);
}

/* Nothing is left of it but the lack of the pages. */
static void expect_unpoisoned(struct __test_metadata *_metadata, struct node_pages *n)
{
	int i;

	for (i = 0; i < n->nr_poisoned; i++) {
		EXPECT_EQ(0, mend(n->poisoned[i]));
		EXPECT_EQ(0, flags_of(n, n->poisoned[i]) & BIT(KPF_HWPOISON));
	}
	EXPECT_EQ(n->corrupted, meminfo_kb("HardwareCorrupted"));
}

/* As many base pages as fit into one batch. */
#define PAGES		scaled(400)

TEST_F_TIMEOUT(poison, base_page, LONG)
{
	struct node_pages *n = &self->node;

	ASSERT_EQ(0, sim_enable_as("max_order", "0\n"));
	hold(_metadata, n, PAGES);
	spoil(_metadata, n, n->ours[PAGES / 2]);
	EXPECT_STREQ("", broken());
	/* Nor can it be had as long as it is there. */
	EXPECT_GT(0, mend(n->poisoned[0]));
	EXPECT_STREQ("", broken());
	deflate(_metadata, n);
	expect_unpoisoned(_metadata, n);
}

/* Of two superframes, the first page of one, and one in the middle of the other. */
TEST_F_TIMEOUT(poison, superframe, LONG)
{
	struct node_pages *n = &self->node;
	struct node_memory m;
	unsigned long head, other;
	int i;

	hold(_metadata, n, 4 * SUPERFRAME);
	ASSERT_EQ(4, node_number(where(), "nr_superframes"));
	head = n->ours[0];
	other = n->ours[2 * SUPERFRAME];
	ASSERT_EQ(0, head % SUPERFRAME);
	ASSERT_EQ(0, other % SUPERFRAME);
	spoil(_metadata, n, head);
	spoil(_metadata, n, other + SUPERFRAME / 3);
	EXPECT_STREQ("", broken());
	EXPECT_EQ(4, node_number(where(), "nr_superframes"));
	deflate(_metadata, n);

	/* Whatever is taken of the node, it is not these. */
	node_memory(where(), &m);
	ASSERT_EQ(0, node_target(where(), m.give));
	ASSERT_TRUE(set_target(m.give));
	ASSERT_TRUE(wait_settled(20));
	EXPECT_STREQ("", broken());
	TH_LOG("%ld pages taken, %ld of them in superframes", node_number(where(), "nr_pages"),
	       node_number(where(), "nr_superframes") * SUPERFRAME);
	EXPECT_LT(m.give / 2, node_number(where(), "nr_pages"));
	for (i = 0; i < n->nr_poisoned; i++)
		EXPECT_EQ(BIT(KPF_HWPOISON), flags_of(n, n->poisoned[i]) &
			  (BIT(KPF_HWPOISON) | ANYWHERE));
	ASSERT_TRUE(set_target(0));
	ASSERT_TRUE(wait_settled(20));
	expect_unpoisoned(_metadata, n);
}

/* The worker is with the host, for what has been chosen to come back. */
static void begin_deflate(struct __test_metadata *_metadata, long pages)
{
	double end = now() + 60;

	ASSERT_EQ(0, sim_set("hang", 1));
	ASSERT_EQ(0, sim_set("target", 0));
	while (read_number(BUSY) != 1 && now() < end)
		usleep(10000);
	/* It has but to choose them. */
	usleep(500000);
	ASSERT_EQ(1, read_number(BUSY));
	EXPECT_EQ(pages, sum_pages());
	EXPECT_EQ(pages, sim_get("held"));
}

static void end_deflate(struct __test_metadata *_metadata, struct node_pages *n, long pages)
{
	/* All of it was on its way until now. */
	EXPECT_EQ(1, read_number(BUSY));
	EXPECT_EQ(pages, sim_get("held"));
	ASSERT_EQ(0, sim_set("hang", 0));
	ASSERT_TRUE(wait_pages(0, 20));
	ASSERT_TRUE(wait_settled(10));
	expect_kept_out(_metadata, n);
	expect_unpoisoned(_metadata, n);
}

TEST_F_TIMEOUT(poison, base_page_on_its_way, LONG)
{
	struct node_pages *n = &self->node;

	ASSERT_EQ(0, sim_enable_as("max_order", "0\n"));
	hold(_metadata, n, PAGES);
	begin_deflate(_metadata, PAGES);
	spoil(_metadata, n, n->ours[PAGES / 2]);
	end_deflate(_metadata, n, PAGES);
}

TEST_F_TIMEOUT(poison, superframe_on_its_way, LONG)
{
	struct node_pages *n = &self->node;

	hold(_metadata, n, SUPERFRAME);
	ASSERT_EQ(1, node_number(where(), "nr_superframes"));
	begin_deflate(_metadata, SUPERFRAME);
	spoil(_metadata, n, n->ours[SUPERFRAME / 3]);
	end_deflate(_metadata, n, SUPERFRAME);
}

/* How many pages of the block at @pfn are in the balloon. */
static long offline_of_block(struct node_pages *n, unsigned long pfn)
{
	uint64_t flags[MAX_SUPERFRAME];
	long offline = 0, i;

	if (!read_flags(n->flags, pfn, flags, SUPERFRAME))
		return -1;
	for (i = 0; i < SUPERFRAME; i++)
		offline += flags[i] >> KPF_OFFLINE & 1;
	return offline;
}

/*
 * A block with such a page becomes no superframe, though all of it is in the balloon: it
 * has lent some pages, and gets them back.
 */
TEST_F_TIMEOUT(poison, block_fills_up, LONG)
{
	struct node_pages *n = &self->node;
	long lent = SUPERFRAME / 8;
	unsigned long pfn;

	hold(_metadata, n, SUPERFRAME);
	pfn = n->ours[0];
	ASSERT_EQ(0, sim_set("lend", lent));
	ASSERT_EQ(0, node_number(where(), "nr_superframes"));
	ASSERT_EQ(0, sim_set("lend", 0));
	ASSERT_TRUE(wait_settled(10));
	EXPECT_EQ(1, node_number(where(), "nr_superframes"));

	ASSERT_EQ(0, sim_set("lend", lent));
	ASSERT_EQ(SUPERFRAME - lent, node_number(where(), "nr_partial"));
	/* The first ones are lent. */
	spoil(_metadata, n, pfn + SUPERFRAME - 1);
	ASSERT_EQ(0, sim_set("lend", 0));
	ASSERT_TRUE(wait_settled(10));
	ASSERT_EQ(SUPERFRAME, offline_of_block(n, pfn));
	EXPECT_EQ(0, node_number(where(), "nr_superframes"));
	EXPECT_EQ(SUPERFRAME, node_number(where(), "nr_partial"));
	EXPECT_STREQ("", broken());
	deflate(_metadata, n);
	expect_unpoisoned(_metadata, n);
}

/* Nor is anything moved out of such a block when others are emptied. */
TEST_F_TIMEOUT(poison, block_is_left_alone, LONG)
{
	struct node_pages *n = &self->node;
	const char *why = no_evacuation();
	unsigned long block, pfn;
	long there = 0, stayed = 0, want;
	uint64_t *before, *after;
	struct node_memory m;
	struct used u;
	size_t i, nr;

	if (why)
		SKIP(return, "%s", why);
	/* What the kernel allocates for us, and can't move, is to be elsewhere. */
	if (where() != nodes[0] && numa_available() >= 0)
		numa_run_on_node(nodes[0]);
	proactive_compaction(false);
	limit_cpu_lists(true);
	/* First: in base pages it would take what is left of a block before whole ones. */
	ASSERT_TRUE(use_rest(&u, where(), 24));
	hold(_metadata, n, SUPERFRAME);
	block = n->ours[0] / SUPERFRAME;
	spoil(_metadata, n, n->ours[SUPERFRAME / 3]);
	deflate(_metadata, n);

	ASSERT_TRUE(use_in_part(&u, where(), 100, 100, 0));
	nr = u.bytes / PAGE;
	before = calloc(nr, sizeof(*before));
	after = calloc(nr, sizeof(*after));
	ASSERT_NE(NULL, before);
	ASSERT_NE(NULL, after);
	ASSERT_TRUE(read_pagemap(n->pagemap, u.p, before, nr));
	/* With but a few in use it would be the first to be emptied. */
	for (i = 0; i < nr; i++) {
		if (!u.kept[i] || (before[i] & PFN_MASK) / SUPERFRAME != block)
			continue;
		u.kept[i] = there++ < SUPERFRAME / 16;
		if (!u.kept[i])
			madvise(u.p + i * PAGE, PAGE, MADV_DONTNEED);
	}
	there = 0;
	node_memory(where(), &m);
	want = m.above / 2 / SUPERFRAME * SUPERFRAME;
	ASSERT_EQ(0, node_target(where(), want));
	ASSERT_TRUE(set_target(want));
	ASSERT_TRUE(wait_settled(20));
	ASSERT_TRUE(read_pagemap(n->pagemap, u.p, after, nr));
	for (i = 0; i < nr; i++) {
		pfn = before[i] & PFN_MASK;
		if (!u.kept[i] || pfn / SUPERFRAME != block)
			continue;
		there++;
		stayed += pfn == (after[i] & PFN_MASK);
	}
	TH_LOG("%ld pages in superframes of %ld, %ld of %ld are where they were",
	       node_number(where(), "nr_superframes") * SUPERFRAME, want, stayed, there);
	EXPECT_LE(want / 10 * 9, node_number(where(), "nr_superframes") * SUPERFRAME);
	EXPECT_LT(0, there);
	/* Compaction may have had some of them. */
	EXPECT_LE(there / 2, stayed);
	EXPECT_TRUE(intact(&u));
	EXPECT_STREQ("", broken());
	unuse(&u);
	ASSERT_TRUE(set_target(0));
	ASSERT_TRUE(wait_settled(10));
	expect_unpoisoned(_metadata, n);
}

/* A page that may fail soon is wanted: another one takes its place. */
TEST_F_TIMEOUT(poison, soft_offline_base_page, LONG)
{
	struct node_pages *n = &self->node;
	long migrated = sum_stat("migrate");
	unsigned long pfn;
	double end;

	if (read_vmstat("balloon_migrate") < 0)
		SKIP(return, "this kernel does not migrate ballooned pages");
	ASSERT_EQ(0, sim_enable_as("max_order", "0\n"));
	hold(_metadata, n, PAGES);
	pfn = n->ours[PAGES / 2];
	ASSERT_EQ(0, write_number(SOFT_OFFLINE, pfn * PAGE));
	poisoned(n, pfn);
	EXPECT_EQ(BIT(KPF_HWPOISON), flags_of(n, pfn) & (BIT(KPF_HWPOISON) | ANYWHERE));
	EXPECT_EQ(n->corrupted + kib(1), meminfo_kb("HardwareCorrupted"));
	ASSERT_TRUE(wait_settled(10));
	EXPECT_EQ(PAGES, node_number(where(), "nr_pages"));
	EXPECT_EQ(PAGES, sum_pages());
	/* What was taken instead is put beside the others soon: one may be seen twice. */
	end = now() + 30;
	while (look(n) != PAGES && now() < end)
		;
	EXPECT_EQ(PAGES, n->nr_ours);
	EXPECT_LE(migrated + 1, sum_stat("migrate"));
	EXPECT_EQ(n->memtotal - kib(PAGES), meminfo_kb("MemTotal"));
	EXPECT_STREQ("", broken());
	deflate(_metadata, n);
	expect_unpoisoned(_metadata, n);

	/* This one had a reference, and is free now, or somebody has it already. */
	end = now() + 60;
	while (!(flags_of(n, pfn) & ANYWHERE) && now() < end)
		ASSERT_TRUE(drain(n));
	EXPECT_NE(0, flags_of(n, pfn) & ANYWHERE);
}

/* A page of a superframe: the kernel may refuse, but then nothing has happened. */
TEST_F_TIMEOUT(poison, soft_offline_superframe, LONG)
{
	struct node_pages *n = &self->node;
	unsigned long pfn;
	int i, err;

	hold(_metadata, n, 2 * SUPERFRAME);
	ASSERT_EQ(2, node_number(where(), "nr_superframes"));
	for (i = 0; i < 2; i++) {
		pfn = n->ours[i * (SUPERFRAME + SUPERFRAME / 3)];
		err = write_number(SOFT_OFFLINE, pfn * PAGE);
		TH_LOG("the %s page of a superframe: %s", i ? "171st" : "first", strerror(-err));
		if (!err)
			poisoned(n, pfn);
		EXPECT_EQ(err ? BIT(KPF_OFFLINE) : BIT(KPF_HWPOISON),
			  flags_of(n, pfn) & (BIT(KPF_HWPOISON) | ANYWHERE));
		EXPECT_EQ(n->corrupted + kib(n->nr_poisoned), meminfo_kb("HardwareCorrupted"));
		ASSERT_TRUE(wait_settled(10));
		EXPECT_EQ(2 * SUPERFRAME, sum_pages());
		EXPECT_EQ(2 - n->nr_poisoned, node_number(where(), "nr_superframes"));
		EXPECT_STREQ("", broken());
	}
	deflate(_metadata, n);
	expect_unpoisoned(_metadata, n);
}

TEST_HARNESS_MAIN
