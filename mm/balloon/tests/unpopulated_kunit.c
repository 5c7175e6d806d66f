// SPDX-License-Identifier: GPL-2.0
/*
 * Memory that the guest never had: as boot leaves it and as hotplug hands it
 * over, in whole blocks and in pieces.
 */
#include <kunit/test.h>

#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/pgalloc_tag.h>

#include "../internal.h"
#include "../superframe.h"
#include "pages.h"

/* Make a block that is in use one that never was managed. */
static void forget(struct kunit *test, struct page *page, unsigned int nr, bool hotplugged)
{
	unsigned int i;

	split_page(page, ilog2(nr));
	for (i = 0; i < nr; i++) {
		/* Nobody ever allocated it. */
		clear_page_tag_ref(page + i);
		if (hotplugged)
			__SetPageOffline(page + i);
		else
			__SetPageReserved(page + i);
	}
	adjust_managed_page_count(page, -(long)nr);
}

static struct page *alloc_unpopulated(struct kunit *test, unsigned int order, bool hotplugged)
{
	struct test_balloon *t = test->priv;
	struct page *page;

	page = alloc_pages_node(t->nid, GFP_KERNEL | __GFP_THISNODE | __GFP_NOWARN, order);
	if (!page)
		kunit_skip(test, "no free block of order %u", order);
	forget(test, page, 1U << order, hotplugged);
	return page;
}

static void free_superframes_of(struct kunit *test, unsigned int nr)
{
	struct test_balloon *t = test->priv;
	struct balloon_extent ext;

	while (nr--) {
		KUNIT_ASSERT_EQ(test, balloon_dequeue_superframes(t->nid, &ext, 1), 1);
		balloon_free_superframe(&t->b, pfn_to_page(ext.pfn));
	}
}

/* While some of the test's own pages are nobody's. */
static void expect_held(struct kunit *test, unsigned long superframes, unsigned long partial,
			unsigned long populated)
{
	struct test_balloon *t = test->priv;
	unsigned long s, p;

	balloon_node_count(t->nid, &s, &p, NULL);
	KUNIT_EXPECT_EQ(test, s, superframes);
	KUNIT_EXPECT_EQ(test, p, partial);
	KUNIT_EXPECT_EQ(test, node_populated(t->nid), populated);
}

static void unpopulated_block(struct kunit *test)
{
	struct test_balloon *t = test->priv;
	struct balloon_zone *bz;
	unsigned long owed, populated = node_populated(t->nid);
	struct page *head;
	bool hotplugged;
	int i;

	for (i = 0; i < 2; i++) {
		hotplugged = i;
		head = alloc_unpopulated(test, SUPERFRAME_ORDER, hotplugged);
		bz = balloon_page_bz(head);
		owed = bz->owed;
		t->b.target = 7;
		KUNIT_EXPECT_EQ(test,
				balloon_add_unpopulated(&t->b, page_to_pfn(head), SUPERFRAME_PAGES),
				SUPERFRAME_PAGES);
		/* Nothing is to move for it, nor does the balloon owe the guest a block. */
		KUNIT_EXPECT_EQ(test, t->b.target, 7 + SUPERFRAME_PAGES);
		KUNIT_EXPECT_EQ(test, bz->owed, owed);
		KUNIT_EXPECT_TRUE(test, balloon_is_superframe(head));
		KUNIT_EXPECT_FALSE(test, PageReserved(head) || PageReserved(head + 1));
		expect_pages(test, 1, 0, 0);
		KUNIT_EXPECT_EQ(test, node_populated(t->nid), populated);

		/* Once the host populates it, it is memory like any other. */
		free_superframes_of(test, 1);
		expect_pages(test, 0, 0, 0);
		KUNIT_EXPECT_EQ(test, node_populated(t->nid), populated);
	}
	t->b.target = 0;
}

/* All but the first page and the last of two blocks. */
static void unpopulated_pieces(struct kunit *test)
{
	unsigned int nr = 2 * SUPERFRAME_PAGES - 2;
	struct test_balloon *t = test->priv;
	unsigned long populated = node_populated(t->nid);
	struct page *page;

	if (SUPERFRAME_ORDER >= MAX_PAGE_ORDER)
		kunit_skip(test, "no two blocks in a row");
	page = alloc_unpopulated(test, SUPERFRAME_ORDER + 1, false);
	KUNIT_EXPECT_EQ(test, balloon_add_unpopulated(&t->b, page_to_pfn(page) + 1, nr), nr);
	expect_held(test, 0, nr, populated - 2);
	/* The missing ones come, and make superframes of both. */
	KUNIT_EXPECT_EQ(test, balloon_add_unpopulated(&t->b, page_to_pfn(page), 1), 1);
	expect_held(test, 1, SUPERFRAME_PAGES - 1, populated - 1);
	KUNIT_EXPECT_EQ(test, balloon_add_unpopulated(&t->b, page_to_pfn(page) + nr + 1, 1), 1);
	expect_pages(test, 2, 0, 0);
	KUNIT_EXPECT_EQ(test, node_populated(t->nid), populated);
	free_superframes_of(test, 2);
	t->b.target = 0;
}

/* A host that takes base pages only. */
static void unpopulated_pages_only(struct kunit *test)
{
	struct test_balloon *t = test->priv;
	unsigned long populated = node_populated(t->nid);
	struct page *head = alloc_unpopulated(test, SUPERFRAME_ORDER, true);

	t->b.max_order = 0;
	KUNIT_EXPECT_EQ(test, balloon_add_unpopulated(&t->b, page_to_pfn(head), SUPERFRAME_PAGES),
			SUPERFRAME_PAGES);
	expect_pages(test, 0, SUPERFRAME_PAGES, 0);
	KUNIT_EXPECT_EQ(test, node_populated(t->nid), populated);
	free_pages_of(test, SUPERFRAME_PAGES);
	expect_pages(test, 0, 0, 0);
	t->b.target = 0;
}

static struct kunit_case unpopulated_cases[] = {
	KUNIT_CASE(unpopulated_block),
	KUNIT_CASE(unpopulated_pieces),
	KUNIT_CASE(unpopulated_pages_only),
	{}
};

static struct kunit_suite unpopulated_suite = {
	.name = "balloon_unpopulated",
	.init = test_balloon_init,
	.exit = test_balloon_exit,
	.test_cases = unpopulated_cases,
};

kunit_test_suite(unpopulated_suite);
