// SPDX-License-Identifier: GPL-2.0
/*
 * A contiguous allocation gets its range though superframes lie in it.
 */
#include <kunit/test.h>

#include <linux/delay.h>
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/sizes.h>
#include <linux/workqueue.h>

#include "../../internal.h"
#include "../../page_alloc.h"
#include "../superframe.h"
#include "pages.h"

#define RANGE_PAGES	(SZ_128M >> PAGE_SHIFT)
#define IN_RANGE	32

/* The first page frame of a range of the test's node that can be had as a whole. */
static unsigned long find_range(struct kunit *test)
{
	struct test_balloon *t = test->priv;
	gfp_t gfp = GFP_KERNEL | __GFP_THISNODE | __GFP_NOWARN;
	struct page *page;

	if (!IS_ENABLED(CONFIG_BALLOON_MIGRATION))
		kunit_skip(test, "no page of the balloon can be migrated");
	page = alloc_contig_pages(RANGE_PAGES, gfp, t->nid, NULL);
	if (!page)
		kunit_skip(test, "no range of 128M can be had");
	free_contig_range(page_to_pfn(page), RANGE_PAGES);
	return page_to_pfn(page);
}

static bool inside(unsigned long start, unsigned long pfn)
{
	return pfn >= start && pfn < start + RANGE_PAGES;
}

/* Put IN_RANGE superframes of the range into the balloon. */
static void fill_range(struct kunit *test, unsigned long start)
{
	struct test_balloon *t = test->priv;
	unsigned int nr = 0, n = 0;

	while (n < IN_RANGE && nr < 2 * SUPERFRAME_PAGES &&
	       balloon_take_superframe_nowait(t->nid, &t->ext[nr])) {
		if (!inside(start, t->ext[nr].pfn)) {
			nr++;
			continue;
		}
		balloon_queue_superframe(&t->b, pfn_to_page(t->ext[nr].pfn));
		n++;
	}
	while (nr--)
		balloon_put_superframe(pfn_to_page(t->ext[nr].pfn));
	KUNIT_ASSERT_EQ(test, n, IN_RANGE);
	expect_pages(test, IN_RANGE, 0, 0);
}

static bool range_is_had(unsigned long start)
{
	return !alloc_contig_range(start, start + RANGE_PAGES, ACR_FLAGS_NONE, GFP_KERNEL);
}

/* As CMA does, not at once taken aback where somebody holds a page for a moment. */
static int alloc_range(unsigned long start)
{
	int rc, tries;

	for (tries = 0; tries < 5; tries++) {
		rc = alloc_contig_range(start, start + RANGE_PAGES, ACR_FLAGS_NONE, GFP_KERNEL);
		if (rc != -EBUSY)
			break;
		msleep(20);
	}
	return rc;
}

static void empty(struct kunit *test)
{
	struct test_balloon *t = test->priv;
	unsigned int nr, i;

	nr = balloon_dequeue_superframes(t->nid, t->ext, 2 * SUPERFRAME_PAGES);
	for (i = 0; i < nr; i++)
		balloon_free_superframe(&t->b, pfn_to_page(t->ext[i].pfn));
	while ((nr = balloon_dequeue_pages(t->nid, t->ext, 2 * SUPERFRAME_PAGES)))
		for (i = 0; i < nr; i++)
			balloon_free_page(&t->b, pfn_to_page(t->ext[i].pfn));
}

/* Other superframes take the place of those in the range. */
static void vacate_by_trade(struct kunit *test)
{
	struct test_balloon *t = test->priv;
	unsigned long start = find_range(test), i;
	long migrated = node_stat(t->nid, BALLOON_STAT_MIGRATE);

	fill_range(test, start);
	KUNIT_ASSERT_EQ(test, 0, alloc_range(start));
	for (i = 0; i < RANGE_PAGES; i++)
		if (PageOffline(pfn_to_page(start + i)))
			KUNIT_FAIL(test, "page %lu of the range is ballooned", i);
	free_contig_range(start, RANGE_PAGES);
	expect_pages(test, IN_RANGE, 0, 0);
	KUNIT_EXPECT_EQ(test, node_stat(t->nid, BALLOON_STAT_MIGRATE),
			migrated + IN_RANGE * SUPERFRAME_PAGES);
	KUNIT_EXPECT_EQ(test, t->inflated, IN_RANGE * SUPERFRAME_PAGES);
	KUNIT_EXPECT_EQ(test, t->deflated, IN_RANGE * SUPERFRAME_PAGES);
	empty(test);
}

/* A host that takes nothing: the range can't be had, and superframes stay as they are. */
static void vacate_refused(struct kunit *test)
{
	struct test_balloon *t = test->priv;
	unsigned long start = find_range(test);

	fill_range(test, start);
	t->refuse_inflate = true;
	KUNIT_EXPECT_FALSE(test, range_is_had(start));
	expect_pages(test, IN_RANGE, 0, 0);
	KUNIT_EXPECT_EQ(test, t->deflated, 0);
	t->refuse_inflate = false;
	KUNIT_ASSERT_EQ(test, 0, alloc_range(start));
	free_contig_range(start, RANGE_PAGES);
	expect_pages(test, IN_RANGE, 0, 0);
	empty(test);
}

/* A host that takes and gives nothing for it: it is not given one for each of the range. */
static void vacate_halfway(struct kunit *test)
{
	struct test_balloon *t = test->priv;
	unsigned long start = find_range(test);

	fill_range(test, start);
	t->refuse_deflate = true;
	KUNIT_EXPECT_FALSE(test, range_is_had(start));
	KUNIT_EXPECT_GE(test, SUPERFRAME_PAGES, t->inflated);
	KUNIT_EXPECT_EQ(test, t->deflated, 0);
	t->refuse_deflate = false;
	empty(test);
}

/*
 * A host that has kept some of an exchange: it is not trusted with another one. Superframes
 * are split, and their pages given back to the guest.
 */
static void vacate_by_splitting(struct kunit *test)
{
	struct test_balloon *t = test->priv;
	unsigned long start = find_range(test);
	long split = node_stat(t->nid, BALLOON_SPLIT);

	fill_range(test, start);
	t->b.surplus = true;
	KUNIT_ASSERT_EQ(test, 0, alloc_range(start));
	free_contig_range(start, RANGE_PAGES);
	KUNIT_EXPECT_EQ(test, node_stat(t->nid, BALLOON_SPLIT), split + IN_RANGE);
	expect_pages(test, 0, 0, 0);
	KUNIT_EXPECT_EQ(test, t->inflated, 0);
	KUNIT_EXPECT_EQ(test, t->deflated, IN_RANGE * SUPERFRAME_PAGES);
	t->b.surplus = false;
}

/* A range with a page that can't be moved: nobody moves for it. */
static void vacate_in_vain(struct kunit *test)
{
	struct test_balloon *t = test->priv;
	unsigned long start = find_range(test);

	KUNIT_ASSERT_EQ(test, 0, alloc_range(start));
	free_contig_range(start, RANGE_PAGES - 1);
	fill_range(test, start);
	KUNIT_EXPECT_FALSE(test, range_is_had(start));
	expect_pages(test, IN_RANGE, 0, 0);
	KUNIT_EXPECT_EQ(test, t->inflated, 0);
	KUNIT_EXPECT_EQ(test, t->deflated, 0);
	free_contig_range(start + RANGE_PAGES - 1, 1);
	empty(test);
}

/* A superframe on its way, and when it arrives. */
struct traveller {
	struct delayed_work work;
	struct page *head;
};

static void arrive(struct work_struct *work)
{
	struct traveller *t = container_of(to_delayed_work(work), struct traveller, work);

	balloon_requeue_superframe(t->head);
}

/* One that is on its way to the host, or back, is waited for. */
static void vacate_away(struct kunit *test)
{
	struct test_balloon *t = test->priv;
	unsigned long start = find_range(test);
	struct traveller away;

	fill_range(test, start);
	KUNIT_ASSERT_EQ(test, balloon_dequeue_superframes(t->nid, t->ext, 1), 1);
	away.head = pfn_to_page(t->ext[0].pfn);
	KUNIT_EXPECT_TRUE(test, balloon_is_superframe(away.head));
	KUNIT_EXPECT_FALSE(test, balloon_dequeue_superframe(away.head));

	INIT_DELAYED_WORK_ONSTACK(&away.work, arrive);
	schedule_delayed_work(&away.work, HZ / 5);
	KUNIT_EXPECT_EQ(test, 0, alloc_contig_range(start, start + RANGE_PAGES, ACR_FLAGS_NONE,
						    GFP_KERNEL));
	/* It had come, or there would have been nothing to trade. */
	KUNIT_EXPECT_FALSE(test, flush_delayed_work(&away.work));
	destroy_delayed_work_on_stack(&away.work);
	free_contig_range(start, RANGE_PAGES);
	expect_pages(test, IN_RANGE, 0, 0);
	empty(test);
}

static struct kunit_case vacate_cases[] = {
	KUNIT_CASE_SLOW(vacate_by_trade),
	KUNIT_CASE_SLOW(vacate_refused),
	KUNIT_CASE_SLOW(vacate_halfway),
	KUNIT_CASE_SLOW(vacate_by_splitting),
	KUNIT_CASE_SLOW(vacate_in_vain),
	KUNIT_CASE_SLOW(vacate_away),
	{}
};

static struct kunit_suite vacate_suite = {
	.name = "balloon_vacate",
	.init = test_range_init,
	.exit = test_balloon_exit,
	.test_cases = vacate_cases,
};

kunit_test_suite(vacate_suite);
