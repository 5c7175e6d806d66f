// SPDX-License-Identifier: GPL-2.0
/*
 * Superframes and partial blocks, of real pages of one node.
 */
#include <kunit/test.h>

#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/migrate.h>
#include <linux/pagemap.h>
#include <linux/prandom.h>

#include "../../internal.h"
#include "../../page_alloc.h"
#include "../superframe.h"
#include "pages.h"

/* So many 512ths of a block. */
#define PART(n)		((unsigned int)(SUPERFRAME_PAGES * (n) / 512))

/* Few, but not one. */
#define FEW		(PART(8) + 2)

static bool movable(struct page *page)
{
	return !IS_ENABLED(CONFIG_BALLOON_MIGRATION) || page_has_movable_ops(page);
}

/* The block of @head has @nr pages on its map and @away others, and is where it belongs. */
static void expect_block(struct kunit *test, struct page *head, unsigned int nr,
			 unsigned int away)
{
	struct balloon_block *block;
	unsigned int bucket;

	block = find_block(head, &bucket);
	if (!nr && !away) {
		KUNIT_EXPECT_NULL(test, block);
		return;
	}
	KUNIT_ASSERT_NOT_NULL(test, block);
	KUNIT_EXPECT_EQ(test, block->nr, nr);
	KUNIT_EXPECT_EQ(test, block->away, away);
	KUNIT_EXPECT_EQ(test, bucket, balloon_bucket(nr));
}

/* Nothing of @head's pages tells of the balloon any more. */
static void expect_free(struct kunit *test, struct page *head)
{
	unsigned int i, bad = 0;

	for (i = 0; i < SUPERFRAME_PAGES; i++)
		bad += PageOffline(head + i);
	KUNIT_EXPECT_EQ(test, bad, 0);
}

static void superframe_take(struct kunit *test)
{
	struct test_balloon *t = test->priv;
	unsigned int nr, i, j, bad = 0;

	KUNIT_EXPECT_EQ(test, balloon_take_superframes(t->nid, t->ext, 0), 0);
	nr = balloon_take_superframes(t->nid, t->ext, 5);
	KUNIT_ASSERT_GT(test, nr, 0);
	KUNIT_EXPECT_LE(test, nr, 5);
	for (i = 0; i < nr; i++) {
		struct page *head = pfn_to_page(t->ext[i].pfn);

		KUNIT_EXPECT_EQ(test, t->ext[i].order, SUPERFRAME_ORDER);
		KUNIT_EXPECT_EQ(test, t->ext[i].pfn % SUPERFRAME_PAGES, 0);
		KUNIT_EXPECT_EQ(test, page_ref_count(head), 1);
		for (j = 0; j < SUPERFRAME_PAGES; j++) {
			bad += !PageOffline(head + j);
			bad += page_to_nid(head + j) != t->nid;
			bad += page_zone(head + j) != page_zone(head);
			bad += j && page_ref_count(head + j);
			bad += PageBuddy(head + j);
		}
		for (j = 0; j < i; j++)
			KUNIT_EXPECT_NE(test, t->ext[i].pfn, t->ext[j].pfn);
	}
	KUNIT_EXPECT_EQ(test, bad, 0);
	/* The host did not take them: nothing is counted. */
	expect_pages(test, 0, 0, 0);
	for (i = 0; i < nr; i++) {
		balloon_put_superframe(pfn_to_page(t->ext[i].pfn));
		expect_free(test, pfn_to_page(t->ext[i].pfn));
	}
}

/* All that the watermarks leave, and no more; and all of it comes back. */
static void superframe_take_all(struct kunit *test)
{
	struct test_balloon *t = test->priv;
	unsigned long before = node_free(t->nid), max;
	struct balloon_extent *ext;
	unsigned int nr, i;

	max = before / SUPERFRAME_PAGES + 1;
	ext = kvcalloc(max, sizeof(*ext), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, ext);
	nr = balloon_take_superframes(t->nid, ext, max);
	KUNIT_EXPECT_GT(test, nr, 0);
	KUNIT_EXPECT_LT(test, nr, max);
	for (i = 0; i < MAX_NR_ZONES; i++) {
		struct zone *zone = &NODE_DATA(t->nid)->node_zones[i];

		if (managed_zone(zone))
			KUNIT_EXPECT_TRUE(test, zone_watermark_ok(zone, 0, low_wmark_pages(zone),
								  0, 0));
	}
	KUNIT_EXPECT_EQ(test, balloon_take_superframes(t->nid, t->ext, 1), 0);
	for (i = 0; i < nr; i++)
		balloon_put_superframe(pfn_to_page(ext[i].pfn));
	kvfree(ext);
	/* Others allocate too, but not by superframes. */
	KUNIT_EXPECT_LT(test, abs_diff(node_free(t->nid), before), 2 * SUPERFRAME_PAGES);
}

/* What the balloon may not have stays, holes of its own blocks included. */
static void take_reserve(struct kunit *test)
{
	struct test_balloon *t = test->priv;
	unsigned int max_frames, max_pages = 1 << 17, nr_frames, nr_pages = 0, got, i;
	struct balloon_extent *frames, *pages;

	fill_block(test, PART(100));
	max_frames = node_free(t->nid) / SUPERFRAME_PAGES + 1;
	frames = kvcalloc(max_frames + max_pages, sizeof(*frames), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, frames);
	pages = frames + max_frames;

	nr_frames = balloon_take_superframes(t->nid, frames, max_frames);
	while (nr_pages < max_pages) {
		got = balloon_take_pages(t->nid, pages + nr_pages,
					 min_t(unsigned int, max_pages - nr_pages, 100));
		if (!got)
			break;
		nr_pages += got;
	}
	KUNIT_EXPECT_LT(test, nr_pages, max_pages);
	for (i = 0; i < MAX_NR_ZONES; i++) {
		struct zone *zone = &NODE_DATA(t->nid)->node_zones[i];

		if (!balloon_may_take(zone))
			continue;
		/* Others allocate at the same time: 1/64 is more than they need. */
		KUNIT_EXPECT_TRUE(test, zone_watermark_ok(zone, 0, high_wmark_pages(zone), 0, 0));
	}

	for (i = 0; i < nr_pages; i++)
		balloon_put_page(pfn_to_page(pages[i].pfn));
	for (i = 0; i < nr_frames; i++)
		balloon_put_superframe(pfn_to_page(frames[i].pfn));
	kvfree(frames);
	free_pages_of(test, PART(100));
}

/* A certain block, as a whole or not at all. */
static void superframe_take_at(struct kunit *test)
{
	struct test_balloon *t = test->priv;
	struct balloon_extent ext = { 0, 0 };
	struct page *head, *used;

	KUNIT_ASSERT_TRUE(test, balloon_take_superframe_nowait(t->nid, &t->ext[0]));
	head = pfn_to_page(t->ext[0].pfn);
	KUNIT_EXPECT_FALSE(test, balloon_take_superframe_at(page_zone(head), t->ext[0].pfn, &ext));
	balloon_put_superframe(head);
	KUNIT_ASSERT_TRUE(test, balloon_take_superframe_at(page_zone(head), t->ext[0].pfn, &ext));
	KUNIT_EXPECT_EQ(test, ext.pfn, t->ext[0].pfn);
	KUNIT_EXPECT_EQ(test, ext.order, SUPERFRAME_ORDER);
	balloon_set_offline(&ext, 1);
	balloon_queue_superframe(&t->b, head);
	expect_pages(test, 1, 0, 0);
	KUNIT_ASSERT_EQ(test, balloon_dequeue_superframes(t->nid, t->ext, 1), 1);
	balloon_free_superframe(&t->b, head);

	used = alloc_pages_node(t->nid, GFP_KERNEL | __GFP_THISNODE, 0);
	KUNIT_ASSERT_NOT_NULL(test, used);
	KUNIT_EXPECT_FALSE(test, balloon_take_superframe_at(page_zone(used),
							    ALIGN_DOWN(page_to_pfn(used),
								       SUPERFRAME_PAGES), &ext));
	__free_page(used);
}

/* A page whose memory has failed is not for the allocator, however it comes back. */
static void poisoned(struct kunit *test)
{
	struct test_balloon *t = test->priv;
	unsigned int turn, i, bad;
	struct page *head, *page;

	if (!IS_ENABLED(CONFIG_MEMORY_FAILURE))
		kunit_skip(test, "needs CONFIG_MEMORY_FAILURE");
	for (turn = 0; turn < 3; turn++) {
		head = fill_block(test, SUPERFRAME_PAGES);
		page = head + (turn == 2 ? 0 : 5);
		KUNIT_ASSERT_EQ(test, balloon_dequeue_superframes(t->nid, t->ext, 1), 1);
		SetPageHWPoison(page);
		if (turn) {
			balloon_free_superframe(&t->b, head);
		} else {
			KUNIT_ASSERT_TRUE(test, balloon_break_superframe(head, GFP_KERNEL));
			KUNIT_EXPECT_FALSE(test, balloon_coalesce(&t->b, balloon_page_bz(head),
								  balloon_block_index(head)));
			free_pages_of(test, SUPERFRAME_PAGES);
		}
		expect_pages(test, 0, 0, 0);
		expect_free(test, head);
		drain_all_pages(page_zone(head));
		KUNIT_EXPECT_FALSE(test, PageBuddy(page));
		KUNIT_EXPECT_EQ(test, page_ref_count(page), 0);
		/* Or else offlining would try to move it for ever. */
		KUNIT_EXPECT_FALSE(test, page_has_movable_ops(page));
		/* No larger free page begins before it and goes beyond it. */
		for (i = 0, bad = 0; i < SUPERFRAME_PAGES; i++)
			bad += PageBuddy(head + i) && head + i < page &&
			       head + i + (1UL << buddy_order_unsafe(head + i)) > page;
		KUNIT_EXPECT_EQ(test, bad, 0);

		ClearPageHWPoison(page);
		set_page_refcounted(page);
		balloon_page_adopt(page);
		__free_page(page);
	}
}

static void superframe_cycle(struct kunit *test)
{
	struct test_balloon *t = test->priv;
	unsigned int nr, i;

	nr = balloon_take_superframes(t->nid, t->ext, 3);
	KUNIT_ASSERT_EQ(test, nr, 3);
	for (i = 0; i < 3; i++) {
		balloon_queue_superframe(&t->b, pfn_to_page(t->ext[i].pfn));
		expect_pages(test, i + 1, 0, 0);
	}

	KUNIT_EXPECT_EQ(test, balloon_dequeue_superframes(t->nid, t->ext, 2), 2);
	/* The host has not given them back yet. */
	expect_pages(test, 3, 0, 0);
	balloon_requeue_superframe(pfn_to_page(t->ext[1].pfn));
	expect_pages(test, 3, 0, 0);
	balloon_free_superframe(&t->b, pfn_to_page(t->ext[0].pfn));
	expect_pages(test, 2, 0, 0);
	expect_free(test, pfn_to_page(t->ext[0].pfn));

	KUNIT_EXPECT_EQ(test, balloon_dequeue_superframes(t->nid, t->ext, 9), 2);
	KUNIT_EXPECT_EQ(test, balloon_dequeue_superframes(t->nid, t->ext + 2, 1), 0);
	for (i = 0; i < 2; i++)
		balloon_free_superframe(&t->b, pfn_to_page(t->ext[i].pfn));
	expect_pages(test, 0, 0, 0);
}

/* Pages that the host did not take leave no trace. */
static void block_put(struct kunit *test)
{
	struct page *head = take_block(test);
	unsigned int i, bad = 0;

	for (i = 0; i < SUPERFRAME_PAGES; i++) {
		bad += !PageOffline(head + i);
		bad += page_ref_count(head + i) != 1;
	}
	KUNIT_EXPECT_EQ(test, bad, 0);
	expect_block(test, head, 0, SUPERFRAME_PAGES);
	expect_pages(test, 0, 0, 0);
	for (i = 0; i < SUPERFRAME_PAGES; i++) {
		expect_block(test, head, 0, SUPERFRAME_PAGES - i);
		balloon_put_page(head + i);
	}
	expect_block(test, head, 0, 0);
	expect_free(test, head);
}

static void block_reserve(struct kunit *test)
{
	struct page *head = fill_block(test, 1);

	/* A place is kept for as many as ask for one. */
	KUNIT_EXPECT_EQ(test, balloon_block_reserve(head + 1, GFP_KERNEL), 0);
	expect_block(test, head, 1, 1);
	KUNIT_EXPECT_EQ(test, balloon_block_reserve(head + 2, GFP_KERNEL), 0);
	expect_block(test, head, 1, 2);
	balloon_block_cancel(head + 1);
	/* It keeps the block alive when the only page leaves. */
	free_pages_of(test, 1);
	expect_block(test, head, 0, 1);
	expect_pages(test, 0, 0, 0);
	balloon_block_cancel(head + 2);
	expect_block(test, head, 0, 0);
}

/* From empty to full, page by page; full is a superframe. */
static void block_fills(struct kunit *test)
{
	struct test_balloon *t = test->priv;
	long coalesced = node_stat(t->nid, BALLOON_COALESCE);
	struct page *head = take_block(test);
	unsigned int i, bad = 0;

	for (i = 0; i < SUPERFRAME_PAGES - 1; i++) {
		balloon_queue_page(&t->b, head + i);
		expect_block(test, head, i + 1, SUPERFRAME_PAGES - i - 1);
		expect_pages(test, 0, i + 1, 0);
		bad += !movable(head + i);
	}
	KUNIT_EXPECT_EQ(test, bad, 0);
	KUNIT_EXPECT_EQ(test, node_stat(t->nid, BALLOON_COALESCE), coalesced);

	balloon_queue_page(&t->b, head + i);
	KUNIT_EXPECT_EQ(test, node_stat(t->nid, BALLOON_COALESCE), coalesced + 1);
	KUNIT_EXPECT_NULL(test, find_block(head, NULL));
	/* The walk also sees that its tails have no reference. */
	expect_pages(test, 1, 0, 0);
	/* The first one stands for all of them. */
	for (i = 0; i < SUPERFRAME_PAGES; i++)
		bad += IS_ENABLED(CONFIG_BALLOON_MIGRATION) && page_has_movable_ops(head + i) != !i;
	KUNIT_EXPECT_EQ(test, bad, 0);

	KUNIT_ASSERT_EQ(test, balloon_dequeue_superframes(t->nid, t->ext, 2), 1);
	KUNIT_EXPECT_EQ(test, t->ext[0].pfn, page_to_pfn(head));
	balloon_free_superframe(&t->b, head);
}

/* From full to empty, page by page. */
static void block_drains(struct kunit *test)
{
	struct test_balloon *t = test->priv;
	long split = node_stat(t->nid, BALLOON_SPLIT);
	struct page *head = fill_block(test, SUPERFRAME_PAGES);
	unsigned int i, bad = 0;

	expect_pages(test, 1, 0, 0);
	KUNIT_ASSERT_TRUE(test, balloon_split_superframe(t->nid));
	KUNIT_EXPECT_EQ(test, node_stat(t->nid, BALLOON_SPLIT), split + 1);
	expect_pages(test, 0, SUPERFRAME_PAGES, 0);
	expect_block(test, head, SUPERFRAME_PAGES, 0);
	for (i = 0; i < SUPERFRAME_PAGES; i++) {
		bad += page_ref_count(head + i) != 1;
		bad += !PageOffline(head + i);
		bad += !movable(head + i);
		bad += PageLocked(head + i);
	}
	KUNIT_EXPECT_EQ(test, bad, 0);
	KUNIT_EXPECT_FALSE(test, balloon_split_superframe(t->nid));

	for (i = SUPERFRAME_PAGES; i; i--) {
		struct page *page;

		KUNIT_ASSERT_EQ(test, balloon_dequeue_pages(t->nid, t->ext, 1), 1);
		page = pfn_to_page(t->ext[0].pfn);
		KUNIT_EXPECT_TRUE(test, page >= head && page < head + SUPERFRAME_PAGES);
		/* Until the host agrees it is in the balloon, and in nobody's way. */
		expect_block(test, head, i - 1, 1);
		expect_pages(test, 0, i, 0);
		balloon_free_page(&t->b, page);
		expect_block(test, head, i - 1, 0);
		expect_pages(test, 0, i - 1, 0);
	}
	KUNIT_EXPECT_EQ(test, balloon_dequeue_pages(t->nid, t->ext, 1), 0);
	expect_free(test, head);
}

/* What the host keeps goes back, and the block may be full again. */
static void block_requeue(struct kunit *test)
{
	struct test_balloon *t = test->priv;
	long coalesced = node_stat(t->nid, BALLOON_COALESCE);
	const unsigned int all = PART(100), some = PART(60);
	struct page *head = fill_block(test, all);
	unsigned int i;

	KUNIT_ASSERT_EQ(test, balloon_dequeue_pages(t->nid, t->ext, some), some);
	expect_block(test, head, all - some, some);
	for (i = 0; i < some; i++)
		balloon_requeue_page(&t->b, pfn_to_page(t->ext[i].pfn));
	expect_block(test, head, all, 0);
	expect_pages(test, 0, all, 0);
	free_pages_of(test, all);

	head = fill_block(test, SUPERFRAME_PAGES);
	KUNIT_ASSERT_TRUE(test, balloon_split_superframe(t->nid));
	KUNIT_ASSERT_EQ(test, balloon_dequeue_pages(t->nid, t->ext, SUPERFRAME_PAGES),
			SUPERFRAME_PAGES);
	expect_block(test, head, 0, SUPERFRAME_PAGES);
	for (i = 0; i < SUPERFRAME_PAGES - 1; i++)
		balloon_requeue_page(&t->b, pfn_to_page(t->ext[i].pfn));
	KUNIT_EXPECT_EQ(test, node_stat(t->nid, BALLOON_COALESCE), coalesced + 1);
	balloon_requeue_page(&t->b, pfn_to_page(t->ext[i].pfn));
	KUNIT_EXPECT_EQ(test, node_stat(t->nid, BALLOON_COALESCE), coalesced + 2);
	expect_pages(test, 1, 0, 0);
	KUNIT_ASSERT_EQ(test, balloon_dequeue_superframes(t->nid, t->ext, 1), 1);
	balloon_free_superframe(&t->b, head);
}

/* The block that is nearest to being whole for the guest gives back first. */
static void block_order(struct kunit *test)
{
	const unsigned int many = PART(300), less = PART(100), some = PART(60), few = FEW;
	const unsigned int nr[] = { many, less };
	struct page *heads[2], *full, *empty;

	fill_two_blocks(test, nr, heads);
	full = heads[0];
	empty = heads[1];
	expect_block(test, full, many, 0);
	expect_block(test, empty, less, 0);
	expect_pages(test, 0, many + less, 0);

	free_pages_of(test, some);
	expect_block(test, full, many, 0);
	expect_block(test, empty, less - some, 0);
	free_pages_of(test, less - some + few);
	expect_block(test, full, many - few, 0);
	expect_block(test, empty, 0, 0);
	free_pages_of(test, many - few);
}

/* Who looks at a page for a moment does not keep it in the balloon. */
static void block_order_busy(struct kunit *test)
{
	struct test_balloon *t = test->priv;
	struct page *head = fill_block(test, 3);
	unsigned int i;

	lock_page(head);
	get_page(head + 1);
	KUNIT_EXPECT_EQ(test, balloon_dequeue_pages(t->nid, t->ext, 9), 3);
	KUNIT_EXPECT_EQ(test, balloon_dequeue_pages(t->nid, t->ext + 3, 9), 0);
	expect_block(test, head, 0, 3);
	/* It is movable until it is free, but not to be had now. */
	KUNIT_EXPECT_TRUE(test, movable(head));
	KUNIT_EXPECT_TRUE(test, balloon_page_away(head));
	KUNIT_EXPECT_FALSE(test, balloon_page_isolate(head, true));
	unlock_page(head);
	put_page(head + 1);
	balloon_requeue_page(&t->b, head);
	KUNIT_EXPECT_FALSE(test, balloon_page_away(head));
	KUNIT_ASSERT_EQ(test, balloon_dequeue_pages(t->nid, t->ext, 1), 1);
	for (i = 0; i < 3; i++)
		balloon_free_page(&t->b, head + i);
}

/* A hole in a block is taken before anything else. */
static void block_holes(struct kunit *test)
{
	struct test_balloon *t = test->priv;
	struct page *head = fill_block(test, SUPERFRAME_PAGES - 1);
	struct page *hole = head + SUPERFRAME_PAGES - 1;
	unsigned int tries;
	bool was_free = false;

	for (tries = 0; tries < 10; tries++) {
		drain_all_pages(NULL);
		was_free = PageBuddy(hole);
		KUNIT_ASSERT_EQ(test, balloon_take_pages(t->nid, t->ext, 1), 1);
		if (t->ext[0].pfn == page_to_pfn(hole))
			break;
		balloon_put_page(pfn_to_page(t->ext[0].pfn));
		if (was_free)
			break;
	}
	if (!was_free)
		kunit_info(test, "somebody else uses the hole");
	else
		KUNIT_EXPECT_EQ(test, t->ext[0].pfn, page_to_pfn(hole));

	if (t->ext[0].pfn == page_to_pfn(hole)) {
		balloon_queue_page(&t->b, hole);
		expect_pages(test, 1, 0, 0);
		KUNIT_ASSERT_EQ(test, balloon_dequeue_superframes(t->nid, t->ext, 1), 1);
		balloon_free_superframe(&t->b, head);
	} else {
		free_pages_of(test, SUPERFRAME_PAGES - 1);
	}
}

/* Somebody looks at a page: the block waits for the worker to coalesce it. */
static void block_busy(struct kunit *test)
{
	struct test_balloon *t = test->priv;
	long coalesced = node_stat(t->nid, BALLOON_COALESCE);
	struct page *head = fill_block(test, SUPERFRAME_PAGES);
	struct page *page = head + PART(77);
	struct balloon_zone *bz = balloon_page_bz(head);
	unsigned long index = page_to_pfn(head) >> SUPERFRAME_ORDER;

	coalesced++;
	KUNIT_ASSERT_TRUE(test, balloon_split_superframe(t->nid));

	lock_page(page);
	balloon_coalesce(&t->b, bz, index);
	balloon_coalesce_full(&t->b);
	unlock_page(page);
	expect_block(test, head, SUPERFRAME_PAGES, 0);
	expect_pages(test, 0, SUPERFRAME_PAGES, 0);

	get_page(page);
	balloon_coalesce(&t->b, bz, index);
	balloon_coalesce_full(&t->b);
	put_page(page);
	expect_block(test, head, SUPERFRAME_PAGES, 0);
	expect_pages(test, 0, SUPERFRAME_PAGES, 0);
	KUNIT_EXPECT_EQ(test, node_stat(t->nid, BALLOON_COALESCE), coalesced);

	balloon_coalesce_full(&t->b);
	expect_pages(test, 1, 0, 0);

	KUNIT_ASSERT_TRUE(test, balloon_split_superframe(t->nid));
	balloon_coalesce_full(&t->b);
	expect_pages(test, 1, 0, 0);
	KUNIT_EXPECT_EQ(test, node_stat(t->nid, BALLOON_COALESCE), coalesced + 2);
	balloon_coalesce(&t->b, bz, index);
	KUNIT_EXPECT_EQ(test, node_stat(t->nid, BALLOON_COALESCE), coalesced + 2);

	KUNIT_ASSERT_EQ(test, balloon_dequeue_superframes(t->nid, t->ext, 1), 1);
	balloon_free_superframe(&t->b, head);
}

static void block_keep_managed(struct kunit *test)
{
	struct test_balloon *t = test->priv;
	struct page *head;

	/* expect_pages() knows what that means for the zones. */
	t->b.flags |= BALLOON_KEEP_MANAGED;
	head = fill_block(test, SUPERFRAME_PAGES);
	expect_pages(test, 1, 0, 0);
	KUNIT_ASSERT_TRUE(test, balloon_split_superframe(t->nid));
	expect_pages(test, 0, SUPERFRAME_PAGES, 0);
	free_pages_of(test, SUPERFRAME_PAGES);
	expect_free(test, head);
}

/* A balloon that is stopped lends nothing; the worker is not told of what is lent. */
static int lend_pages(struct test_balloon *t, struct page **pages, unsigned int nr)
{
	int n;

	WRITE_ONCE(t->b.stopped, false);
	n = balloon_lend(&t->b, pages, nr);
	WRITE_ONCE(t->b.stopped, true);
	return n;
}

static void block_lent(struct kunit *test)
{
	struct test_balloon *t = test->priv;
	struct page *head = fill_block(test, SUPERFRAME_PAGES);
	unsigned int i, bad = 0;
	struct page **pages;

	pages = kunit_kcalloc(test, SUPERFRAME_PAGES + 1, sizeof(*pages), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, pages);
	KUNIT_EXPECT_EQ(test, lend_pages(t, pages, 0), 0);
	KUNIT_EXPECT_EQ(test, balloon_lend(&t->b, pages, 10), 0);
	expect_pages(test, 1, 0, 0);

	KUNIT_ASSERT_EQ(test, lend_pages(t, pages, 10), 10);
	expect_pages(test, 0, SUPERFRAME_PAGES - 10, 10);
	/* Their places are kept: to take them back allocates nothing. */
	expect_block(test, head, SUPERFRAME_PAGES - 10, 10);
	for (i = 0; i < 10; i++) {
		bad += PageOffline(pages[i]);
		bad += page_has_movable_ops(pages[i]);
		bad += page_ref_count(pages[i]) != 1;
	}
	KUNIT_EXPECT_EQ(test, bad, 0);

	/* All there is. */
	KUNIT_ASSERT_EQ(test, lend_pages(t, pages + 10, SUPERFRAME_PAGES),
			SUPERFRAME_PAGES - 10);
	expect_pages(test, 0, 0, SUPERFRAME_PAGES);
	expect_block(test, head, 0, SUPERFRAME_PAGES);
	balloon_reclaim_lent(&t->b, pages, SUPERFRAME_PAGES - 1);
	expect_pages(test, 0, SUPERFRAME_PAGES - 1, 1);
	balloon_reclaim_lent(&t->b, pages + SUPERFRAME_PAGES - 1, 1);
	expect_pages(test, 1, 0, 0);

	KUNIT_ASSERT_EQ(test, balloon_dequeue_superframes(t->nid, t->ext, 1), 1);
	balloon_free_superframe(&t->b, head);
}

/* What others look at is not lent, as they may find it movable. */
static void block_lent_busy(struct kunit *test)
{
	struct test_balloon *t = test->priv;
	struct page *head = fill_block(test, 3), *pages[3];

	get_page(head);
	KUNIT_ASSERT_EQ(test, lend_pages(t, pages, 3), 2);
	KUNIT_EXPECT_TRUE(test, pages[0] != head && pages[1] != head);
	KUNIT_EXPECT_TRUE(test, PageOffline(head));
	expect_pages(test, 0, 1, 2);
	expect_block(test, head, 1, 2);
	put_page(head);
	KUNIT_ASSERT_EQ(test, lend_pages(t, pages + 2, 1), 1);
	expect_pages(test, 0, 0, 3);
	balloon_reclaim_lent(&t->b, pages, 3);
	expect_pages(test, 0, 3, 0);
	free_pages_of(test, 3);
}

/* Blocks whose pages are all on their way do not hide others. */
static void block_emptiest(struct kunit *test)
{
	struct test_balloon *t = test->priv;
	const unsigned int many = PART(200), few = FEW;
	struct page *head = fill_block(test, many), *page;
	struct page *away[80];
	unsigned int nr = 0, i;
	unsigned long pfn;

	/* They need not be the balloon's for that. */
	for (pfn = ALIGN_DOWN(page_zone(head)->zone_start_pfn, SUPERFRAME_PAGES);
	     pfn < zone_end_pfn(page_zone(head)) && nr < ARRAY_SIZE(away);
	     pfn += SUPERFRAME_PAGES) {
		page = pfn_to_online_page(pfn);
		if (!page || page == head || page_zone(page) != page_zone(head))
			continue;
		KUNIT_ASSERT_EQ(test, balloon_block_reserve(page, GFP_KERNEL), 0);
		away[nr++] = page;
	}
	/* In the same bucket, behind them. */
	free_pages_of(test, many - few);
	expect_block(test, head, few, 0);
	KUNIT_EXPECT_EQ(test, balloon_dequeue_emptiest(balloon_page_bz(head), t->ext), few);
	for (i = 0; i < few; i++)
		balloon_requeue_page(&t->b, pfn_to_page(t->ext[i].pfn));
	KUNIT_EXPECT_EQ(test, balloon_dequeue_pages(t->nid, t->ext, few), few);
	for (i = 0; i < few; i++)
		balloon_free_page(&t->b, pfn_to_page(t->ext[i].pfn));
	for (i = 0; i < nr; i++)
		balloon_block_cancel(away[i]);
}

/* A host that refuses superframes is asked for pieces: what was split for it stays so. */
static void block_pieces(struct kunit *test)
{
	struct test_balloon *t = test->priv;
	long coalesced = node_stat(t->nid, BALLOON_COALESCE);
	struct page *head = fill_block(test, SUPERFRAME_PAGES);

	t->b.pieces = true;
	KUNIT_ASSERT_TRUE(test, balloon_split_superframe(t->nid));
	KUNIT_ASSERT_EQ(test, balloon_dequeue_pages(t->nid, t->ext, SUPERFRAME_PAGES),
			SUPERFRAME_PAGES);
	for (unsigned int i = 0; i < SUPERFRAME_PAGES; i++)
		balloon_requeue_page(&t->b, pfn_to_page(t->ext[i].pfn));
	KUNIT_EXPECT_FALSE(test, balloon_coalesce_full(&t->b));
	expect_block(test, head, SUPERFRAME_PAGES, 0);
	KUNIT_EXPECT_EQ(test, node_stat(t->nid, BALLOON_COALESCE), coalesced + 1);

	t->b.pieces = false;
	KUNIT_EXPECT_FALSE(test, balloon_coalesce_full(&t->b));
	expect_pages(test, 1, 0, 0);
	KUNIT_ASSERT_EQ(test, balloon_dequeue_superframes(t->nid, t->ext, 1), 1);
	balloon_free_superframe(&t->b, head);
}

/* What enters and what leaves is counted, once. */
static void block_events(struct kunit *test)
{
	struct test_balloon *t = test->priv;
	unsigned long inflate = vm_event(BALLOON_INFLATE), deflate = vm_event(BALLOON_DEFLATE);
	struct page *head;

	if (!IS_ENABLED(CONFIG_VM_EVENT_COUNTERS))
		kunit_skip(test, "needs CONFIG_VM_EVENT_COUNTERS");
	fill_block(test, SUPERFRAME_PAGES);
	KUNIT_EXPECT_EQ(test, vm_event(BALLOON_INFLATE), inflate + SUPERFRAME_PAGES);
	KUNIT_ASSERT_TRUE(test, balloon_split_superframe(t->nid));
	KUNIT_ASSERT_EQ(test, balloon_dequeue_pages(t->nid, t->ext, 2), 2);
	balloon_requeue_page(&t->b, pfn_to_page(t->ext[0].pfn));
	KUNIT_EXPECT_EQ(test, vm_event(BALLOON_DEFLATE), deflate);
	balloon_free_page(&t->b, pfn_to_page(t->ext[1].pfn));
	KUNIT_EXPECT_EQ(test, vm_event(BALLOON_DEFLATE), deflate + 1);
	free_pages_of(test, SUPERFRAME_PAGES - 1);
	KUNIT_ASSERT_EQ(test, balloon_take_superframes(t->nid, t->ext, 1), 1);
	head = pfn_to_page(t->ext[0].pfn);
	balloon_queue_superframe(&t->b, head);
	KUNIT_ASSERT_TRUE(test, balloon_dequeue_superframe(head));
	balloon_requeue_superframe(head);
	KUNIT_ASSERT_TRUE(test, balloon_dequeue_superframe(head));
	balloon_free_superframe(&t->b, head);
	KUNIT_EXPECT_EQ(test, vm_event(BALLOON_INFLATE), inflate + 2 * SUPERFRAME_PAGES);
	KUNIT_EXPECT_EQ(test, vm_event(BALLOON_DEFLATE), deflate + 2 * SUPERFRAME_PAGES);
}

/* A goal is the host's, and may be anything: nothing of it is credit beyond what there is. */
static void block_credit(struct kunit *test)
{
	if (SUPERFRAME_PAGES < 100)
		kunit_skip(test, "a block has less than 100 pages");
	fill_block(test, 100);
	KUNIT_EXPECT_EQ(test, balloon_reserve_credit(ULONG_MAX, 50, 1), 0);
	KUNIT_EXPECT_EQ(test, balloon_reserve_credit((unsigned long)LONG_MAX + 1, 50, 1), 0);
	KUNIT_EXPECT_EQ(test, balloon_reserve_credit(100, 50, 1), 0);
	KUNIT_EXPECT_EQ(test, balloon_reserve_credit(0, 100, SUPERFRAME_PAGES), 0);
	KUNIT_EXPECT_EQ(test, balloon_reserve_credit(40, ULONG_MAX, 16), 48);
	balloon_unreserve(48);
	KUNIT_EXPECT_EQ(test, balloon_reserve_credit(90, 50, 1), 10);
	balloon_unreserve(10);
	free_pages_of(test, 100);
}

/* What the host kept when its device went is nobody's, and the next balloon is empty. */
static void block_lost(struct kunit *test)
{
	struct test_balloon *t = test->priv;
	unsigned int turn, i, bad, nr = SUPERFRAME_PAGES + 20;
	struct page *super, *head;
	unsigned long vm;
	long lost;

	for (turn = 0; turn < 2; turn++) {
		t->b.flags = turn ? BALLOON_KEEP_MANAGED : 0;
		lost = node_stat(t->nid, BALLOON_LOST);
		super = fill_block(test, SUPERFRAME_PAGES);
		head = fill_block(test, 20);
		expect_pages(test, 1, 20, 0);
		vm = vm_event(BALLOON_DEFLATE);

		/* Tests free pages without having reserved them. */
		balloon_reserve(balloon_kept() - balloon_total());
		KUNIT_EXPECT_EQ(test, balloon_write_off(&t->b), nr);
		KUNIT_EXPECT_EQ(test, balloon_total(), 0);
		KUNIT_EXPECT_EQ(test, balloon_kept(), 0);
		KUNIT_EXPECT_EQ(test, vm_event(BALLOON_DEFLATE), vm);
		KUNIT_EXPECT_EQ(test, node_stat(t->nid, BALLOON_LOST), lost + nr);
		KUNIT_EXPECT_NULL(test, find_block(head, NULL));
		KUNIT_EXPECT_FALSE(test, balloon_is_superframe(super));
		/* Whatever the flags: the guest does not manage them. */
		KUNIT_EXPECT_EQ(test, node_populated(t->nid), t->managed - nr);
		for (i = 0, bad = 0; i < SUPERFRAME_PAGES; i++) {
			bad += !PageOffline(super + i);
			bad += page_ref_count(super + i) != !i;
			bad += i < 20 && !PageOffline(head + i);
			bad += i < 20 && page_ref_count(head + i) != 1;
			bad += i < 20 && page_has_movable_ops(head + i);
		}
		KUNIT_EXPECT_EQ(test, bad, 0);

		/* The guest had better not lose them to a test. */
		adjust_managed_page_count(super, SUPERFRAME_PAGES);
		balloon_put_superframe(super);
		adjust_managed_page_count(head, 20);
		for (i = 0; i < 20; i++) {
			__ClearPageOffline(head + i);
			put_page(head + i);
		}
		expect_pages(test, 0, 0, 0);
	}
	t->b.flags = 0;
}

#define RANDOM_STEPS	400

/* Any sequence: the counters agree with the walk, always. */
static void block_random(struct kunit *test)
{
	struct test_balloon *t = test->priv;
	unsigned long partial = 0, superframes = 0, away = 0, now_superframes;
	struct rnd_state rnd;
	unsigned int step, nr, i, n;

	prandom_seed_state(&rnd, 1);
	for (step = 0; step < RANDOM_STEPS; step++) {
		n = 1 + prandom_u32_state(&rnd) % SUPERFRAME_PAGES;
		switch (prandom_u32_state(&rnd) % 5) {
		case 0:
			if (superframes > 8)
				continue;
			nr = balloon_take_pages(t->nid, t->ext, n);
			for (i = 0; i < nr; i++) {
				if (prandom_u32_state(&rnd) % 16) {
					balloon_queue_page(&t->b, pfn_to_page(t->ext[i].pfn));
					partial++;
				} else {
					balloon_put_page(pfn_to_page(t->ext[i].pfn));
				}
			}
			break;
		case 1:
		case 2:
			nr = balloon_dequeue_pages(t->nid, t->ext, n);
			away += nr;
			for (i = 0; i < nr; i++) {
				if (prandom_u32_state(&rnd) % 4) {
					balloon_free_page(&t->b, pfn_to_page(t->ext[i].pfn));
					partial--;
				} else {
					balloon_requeue_page(&t->b, pfn_to_page(t->ext[i].pfn));
				}
			}
			break;
		case 3:
			if (balloon_split_superframe(t->nid)) {
				superframes--;
				partial += SUPERFRAME_PAGES;
			}
			break;
		case 4:
			balloon_coalesce_full(&t->b);
			break;
		}
		/* What coalesced only the counters know; their sum is ours. */
		balloon_node_count(t->nid, &now_superframes, NULL, NULL);
		KUNIT_ASSERT_GE(test, now_superframes, superframes);
		partial -= (now_superframes - superframes) * SUPERFRAME_PAGES;
		superframes = now_superframes;
		if (step % 8 == 0)
			expect_pages(test, superframes, partial, 0);
	}
	expect_pages(test, superframes, partial, 0);
	/* It did what it is for. */
	KUNIT_EXPECT_GT(test, away, PART(RANDOM_STEPS));

	while (balloon_split_superframe(t->nid))
		partial += SUPERFRAME_PAGES;
	free_pages_of(test, partial);
}

static struct kunit_case block_cases[] = {
	KUNIT_CASE(superframe_take),
	KUNIT_CASE(superframe_take_all),
	KUNIT_CASE_SLOW(take_reserve),
	KUNIT_CASE(superframe_take_at),
	KUNIT_CASE(poisoned),
	KUNIT_CASE(superframe_cycle),
	KUNIT_CASE(block_put),
	KUNIT_CASE(block_reserve),
	KUNIT_CASE(block_fills),
	KUNIT_CASE(block_drains),
	KUNIT_CASE(block_requeue),
	KUNIT_CASE(block_order),
	KUNIT_CASE(block_order_busy),
	KUNIT_CASE(block_holes),
	KUNIT_CASE(block_busy),
	KUNIT_CASE(block_keep_managed),
	KUNIT_CASE(block_lent),
	KUNIT_CASE(block_lent_busy),
	KUNIT_CASE(block_emptiest),
	KUNIT_CASE(block_pieces),
	KUNIT_CASE(block_events),
	KUNIT_CASE(block_credit),
	KUNIT_CASE(block_lost),
	KUNIT_CASE_SLOW(block_random),
	{}
};

static struct kunit_suite block_suite = {
	.name = "balloon_block",
	.init = test_balloon_init,
	.exit = test_balloon_exit,
	.test_cases = block_cases,
};

kunit_test_suite(block_suite);
