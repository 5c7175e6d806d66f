// SPDX-License-Identifier: GPL-2.0
/*
 * What the kernel counts elsewhere: pages of other balloons, and whose allocations pages are.
 */
#include <kunit/test.h>

#include <linux/balloon.h>
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/page-flags.h>
#include <linux/pgalloc_tag.h>

#include "pages.h"

#define OURS		10
#define OTHERS		7

static struct page *node_page(struct kunit *test)
{
	struct test_balloon *t = test->priv;
	struct page *page = alloc_pages_node(t->nid, GFP_KERNEL | __GFP_THISNODE, 0);

	KUNIT_ASSERT_NOT_NULL(test, page);
	return page;
}

/* Those of a driver that keeps its pages with mm/'s lists are counted once, and not as ours. */
static void others_counted_once(struct kunit *test)
{
	struct test_balloon *t = test->priv;
	struct balloon_dev_info others;
	struct page *page;
	unsigned int i;

	balloon_devinfo_init(&others);
	for (i = 0; i < OTHERS; i++)
		balloon_page_enqueue(&others, node_page(test));
	KUNIT_EXPECT_EQ(test, balloon_node_counted(t->nid) - t->vmstat, OTHERS);
	fill_block(test, OURS);
	KUNIT_EXPECT_EQ(test, balloon_node_counted(t->nid) - t->vmstat, OURS + OTHERS);
	KUNIT_EXPECT_EQ(test, balloon_node_count(t->nid, NULL, NULL, NULL), OURS);
	KUNIT_EXPECT_EQ(test, balloon_total(), OURS);

	for (i = 0; i < OTHERS; i++) {
		page = balloon_page_dequeue(&others);
		KUNIT_ASSERT_NOT_NULL(test, page);
		put_page(page);
	}
	KUNIT_EXPECT_EQ(test, balloon_node_counted(t->nid) - t->vmstat, OURS);
	free_pages_of(test, OURS);
}

#ifdef CONFIG_MEM_ALLOC_PROFILING
/* What was allocated for a page to migrate to is in the balloon then, and no allocation. */
static void tag_of_allocated(struct kunit *test)
{
	struct alloc_tag_counters before, after;
	struct alloc_tag *tag;
	struct page *page;

	if (!mem_alloc_profiling_enabled())
		kunit_skip(test, "allocations are not counted by who made them");
	page = node_page(test);
	tag = pgalloc_tag_get(page);
	KUNIT_ASSERT_NOT_NULL(test, tag);
	before = alloc_tag_read(tag);
	balloon_page_adopt_allocated(page);
	__SetPageOffline(page);
	after = alloc_tag_read(tag);
	KUNIT_EXPECT_EQ(test, after.bytes, before.bytes - PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, after.calls, before.calls - 1);
	KUNIT_EXPECT_NULL(test, pgalloc_tag_get(page));
	balloon_page_put(page);
	after = alloc_tag_read(tag);
	KUNIT_EXPECT_EQ(test, after.bytes, before.bytes - PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, after.calls, before.calls - 1);
}

/*
 * What came off the free lists is nobody's allocation, and can be one when it is free again.
 * With CONFIG_MEM_ALLOC_PROFILING_DEBUG the kernel complains where that was not said.
 */
static void tag_of_adopted(struct kunit *test)
{
	struct page *head, *page;
	unsigned int i;

	if (!mem_alloc_profiling_enabled())
		kunit_skip(test, "allocations are not counted by who made them");
	head = fill_block(test, OURS);
	for (i = 0; i < OURS; i++)
		KUNIT_EXPECT_NULL(test, pgalloc_tag_get(head + i));
	free_pages_of(test, OURS);
	for (i = 0; i < OURS; i++) {
		page = node_page(test);
		KUNIT_EXPECT_NOT_NULL(test, pgalloc_tag_get(page));
		__free_page(page);
	}
}
#endif

static struct kunit_case count_cases[] = {
	KUNIT_CASE(others_counted_once),
#ifdef CONFIG_MEM_ALLOC_PROFILING
	KUNIT_CASE(tag_of_allocated),
	KUNIT_CASE(tag_of_adopted),
#endif
	{}
};

static struct kunit_suite count_suite = {
	.name = "balloon_count",
	.init = test_balloon_init,
	.exit = test_balloon_exit,
	.test_cases = count_cases,
};

kunit_test_suite(count_suite);
