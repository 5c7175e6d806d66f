// SPDX-License-Identifier: GPL-2.0
/*
 * Migration of ballooned base pages: by compaction's own means, and with a host
 * that refuses.
 */
#include <kunit/test.h>

#include <linux/gfp.h>
#include <linux/migrate.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/page-isolation.h>
#include <linux/pagemap.h>

#include "../../internal.h"
#include "../../page_alloc.h"
#include "../movable.h"
#include "pages.h"

/* Isolate the ballooned @page as compaction does, and migrate it to @nid. */
static int compact_to(struct kunit *test, struct page *page, int nid)
{
	struct migration_target_control mtc = {
		.nid = nid,
		.gfp_mask = GFP_HIGHUSER_MOVABLE | __GFP_THISNODE,
	};
	LIST_HEAD(list);
	int err;

	KUNIT_ASSERT_TRUE(test, isolate_movable_ops_page(page, 0));
	list_add(&page->lru, &list);
	err = migrate_pages(&list, alloc_migration_target, NULL, (unsigned long)&mtc,
			    MIGRATE_SYNC, MR_SYSCALL, NULL);
	if (err)
		putback_movable_pages(&list);
	return err;
}

/* Somebody must have the @page's pageblock, */
static void vacate(struct kunit *test, struct page *page)
{
	unsigned long pfn = ALIGN_DOWN(page_to_pfn(page), pageblock_nr_pages);

	KUNIT_ASSERT_EQ(test, 0, start_isolate_page_range(pfn, pfn + pageblock_nr_pages,
							  PB_ISOLATE_MODE_OTHER));
}

/* or has had it. */
static void vacated(struct page *page)
{
	unsigned long pfn = ALIGN_DOWN(page_to_pfn(page), pageblock_nr_pages);

	undo_isolate_page_range(pfn, pfn + pageblock_nr_pages);
}

static int migrate_to(struct kunit *test, struct page *page, int nid)
{
	int err;

	vacate(test, page);
	err = compact_to(test, page, nid);
	vacated(page);
	return err;
}

static int other_node(int nid)
{
	int other;

	for_each_node_state(other, N_MEMORY)
		if (other != nid)
			return other;
	return NUMA_NO_NODE;
}

static void isolate_putback(struct kunit *test)
{
	struct test_balloon *t = test->priv;
	struct page *head = fill_block(test, 10);
	struct balloon_block *block = find_block(head, NULL);

	KUNIT_ASSERT_NOT_NULL(test, block);
	vacate(test, head);
	lock_page(head);
	KUNIT_EXPECT_TRUE(test, balloon_page_isolate(head, true));
	KUNIT_EXPECT_FALSE(test, balloon_page_isolate(head, true));
	unlock_page(head);
	vacated(head);
	KUNIT_EXPECT_EQ(test, block->nr, 9);
	KUNIT_EXPECT_EQ(test, block->away, 1);
	expect_pages(test, 0, 10, 0);

	/* It is out of the host conversation's reach. */
	KUNIT_EXPECT_EQ(test, balloon_dequeue_pages(t->nid, t->ext, 10), 9);
	for (unsigned int i = 0; i < 9; i++)
		balloon_free_page(&t->b, pfn_to_page(t->ext[i].pfn));
	expect_pages(test, 0, 1, 0);
	KUNIT_EXPECT_EQ(test, block->nr, 0);

	lock_page(head);
	KUNIT_EXPECT_FALSE(test, balloon_page_putback(head));
	unlock_page(head);
	KUNIT_EXPECT_EQ(test, block->nr, 1);
	KUNIT_EXPECT_EQ(test, block->away, 0);
	free_pages_of(test, 1);
	KUNIT_EXPECT_NULL(test, find_block(head, NULL));
}

static void migrate_within(struct kunit *test)
{
	struct test_balloon *t = test->priv;
	struct page *head = fill_block(test, 20);
	long migrated = node_stat(t->nid, BALLOON_STAT_MIGRATE);
	unsigned long inflate = vm_event(BALLOON_INFLATE), deflate = vm_event(BALLOON_DEFLATE);
	unsigned long migrate = vm_event(BALLOON_MIGRATE);
	unsigned int i;

	for (i = 0; i < 20; i++) {
		KUNIT_EXPECT_EQ(test, migrate_to(test, head + i, t->nid), 0);
		KUNIT_EXPECT_FALSE(test, PageOffline(head + i));
		expect_pages(test, 0, 20, 0);
	}
	KUNIT_EXPECT_EQ(test, node_stat(t->nid, BALLOON_STAT_MIGRATE), migrated + 20);
	KUNIT_EXPECT_EQ(test, t->inflated, 20);
	KUNIT_EXPECT_EQ(test, t->deflated, 20);
	if (IS_ENABLED(CONFIG_VM_EVENT_COUNTERS)) {
		/* A page that is replaced is counted in all three. */
		KUNIT_EXPECT_EQ(test, vm_event(BALLOON_INFLATE), inflate + 20);
		KUNIT_EXPECT_EQ(test, vm_event(BALLOON_DEFLATE), deflate + 20);
		KUNIT_EXPECT_EQ(test, vm_event(BALLOON_MIGRATE), migrate + 20);
	}
	free_pages_of(test, 20);
}

/* The counts of nodes and zones follow the page. */
static void migrate_across(struct kunit *test)
{
	struct test_balloon *t = test->priv;
	int home = t->nid, away = other_node(home);
	struct page *head;
	unsigned int i;

	if (away == NUMA_NO_NODE)
		kunit_skip(test, "needs two nodes with memory");
	head = fill_block(test, 30);
	for (i = 0; i < 30; i++) {
		KUNIT_EXPECT_EQ(test, migrate_to(test, head + i, away), 0);
		expect_pages(test, 0, 30 - i - 1, 0);
		KUNIT_EXPECT_EQ(test, balloon_node_count(away, NULL, NULL, NULL), i + 1);
		KUNIT_EXPECT_EQ(test, balloon_total(), 30);
	}
	t->nid = away;
	free_pages_of(test, 30);
	t->nid = home;
}

/* The host takes nothing: the page stays where it is. */
static void migrate_refused(struct kunit *test)
{
	struct test_balloon *t = test->priv;
	struct page *head = fill_block(test, 3);
	long migrated = node_stat(t->nid, BALLOON_STAT_MIGRATE);

	t->refuse_inflate = true;
	KUNIT_EXPECT_NE(test, migrate_to(test, head, t->nid), 0);
	t->refuse_inflate = false;
	KUNIT_EXPECT_EQ(test, node_stat(t->nid, BALLOON_STAT_MIGRATE), migrated);
	KUNIT_EXPECT_EQ(test, t->inflated, 0);
	expect_pages(test, 0, 3, 0);
	KUNIT_EXPECT_TRUE(test, PageOffline(head));
	/* And can be moved as soon as the host agrees. */
	KUNIT_EXPECT_EQ(test, migrate_to(test, head, t->nid), 0);
	expect_pages(test, 0, 3, 0);
	free_pages_of(test, 3);
}

/* It takes the new frame and keeps the old one: both are in the balloon. */
static void migrate_halfway(struct kunit *test)
{
	struct test_balloon *t = test->priv;
	struct page *head = fill_block(test, 3);

	t->refuse_deflate = true;
	KUNIT_EXPECT_NE(test, migrate_to(test, head, t->nid), 0);
	t->refuse_deflate = false;
	KUNIT_EXPECT_GE(test, t->inflated, 1);
	KUNIT_EXPECT_EQ(test, t->deflated, 0);
	KUNIT_EXPECT_TRUE(test, PageOffline(head));
	expect_pages(test, 0, 3 + t->inflated, 0);
	free_pages_of(test, 3 + t->inflated);
}

/* A host conversation goes on: compaction does not wait for it. */
static void migrate_contended(struct kunit *test)
{
	struct test_balloon *t = test->priv;
	const unsigned int nr[] = { 3, 40 };
	struct page *heads[2];

	fill_two_blocks(test, nr, heads);
	drain_all_pages(page_zone(heads[1]));
	mutex_lock(&balloon_host_lock);
	KUNIT_EXPECT_NE(test, compact_to(test, heads[0], t->nid), 0);
	mutex_unlock(&balloon_host_lock);
	KUNIT_EXPECT_EQ(test, t->inflated, 0);
	expect_pages(test, 0, 43, 0);
	free_pages_of(test, 43);
}

/* The last page of a block arrives by migration: the worker coalesces it. */
static void migrate_fills(struct kunit *test)
{
	struct test_balloon *t = test->priv;
	struct page *head = take_block(test), *last = head + SUPERFRAME_PAGES - 1;
	struct page *src, *dst;
	unsigned int i, err;

	for (i = 0; i < SUPERFRAME_PAGES - 1; i++)
		balloon_queue_page(&t->b, head + i);
	KUNIT_ASSERT_EQ(test, balloon_take_pages(t->nid, t->ext, 1), 1);
	src = pfn_to_page(t->ext[0].pfn);
	balloon_queue_page(&t->b, src);
	expect_pages(test, 0, SUPERFRAME_PAGES, 0);
	dst = alloc_pages_node(t->nid, GFP_KERNEL | __GFP_THISNODE, 0);
	KUNIT_ASSERT_NOT_NULL(test, dst);
	/* A hole, where the buddy allocator has it. */
	balloon_put_page(last);
	drain_all_pages(page_zone(last));

	get_page(src);
	lock_page(src);
	lock_page(dst);
	KUNIT_EXPECT_TRUE(test, balloon_page_isolate(src, false));
	err = balloon_numa_migrate(dst, src, MIGRATE_SYNC);
	unlock_page(dst);
	unlock_page(src);
	put_page(src);
	KUNIT_EXPECT_FALSE(test, PageOffline(dst));
	put_page(dst);
	KUNIT_EXPECT_EQ(test, err, 0);
	expect_pages(test, 0, SUPERFRAME_PAGES, 0);
	balloon_coalesce_full(&t->b);
	expect_pages(test, 1, 0, 0);

	KUNIT_ASSERT_EQ(test, balloon_dequeue_superframes(t->nid, t->ext, 1), 1);
	KUNIT_EXPECT_EQ(test, t->ext[0].pfn, page_to_pfn(head));
	balloon_free_superframe(&t->b, head);
}

/*
 * Who looks at a page as it leaves finds it movable until it is free, and gets nothing, at
 * once: not by waiting for others of its block that are on their way.
 */
static void isolate_left(struct kunit *test)
{
	struct test_balloon *t = test->priv;
	struct page *head = fill_block(test, 3);
	unsigned long began = jiffies;

	KUNIT_ASSERT_EQ(test, balloon_dequeue_pages(t->nid, t->ext, 3), 3);
	get_page(head);
	balloon_free_page(&t->b, head);
	KUNIT_EXPECT_TRUE(test, PageOffline(head));
	KUNIT_EXPECT_TRUE(test, page_has_movable_ops(head));
	KUNIT_EXPECT_FALSE(test, balloon_numa_page(head));
	vacate(test, head);
	KUNIT_EXPECT_FALSE(test, isolate_movable_ops_page(head, 0));
	vacated(head);
	KUNIT_EXPECT_TRUE(test, time_before(jiffies, began + HZ));
	put_page(head);
	KUNIT_EXPECT_FALSE(test, PageOffline(head));
	KUNIT_EXPECT_FALSE(test, page_has_movable_ops(head));
	balloon_free_page(&t->b, head + 1);
	balloon_free_page(&t->b, head + 2);
}

/* Compaction fills the fuller block, and leaves the fullest alone. */
static void compact_fuller(struct kunit *test)
{
	struct test_balloon *t = test->priv;
	long migrated = node_stat(t->nid, BALLOON_STAT_MIGRATE);
	struct page *heads[2], *empty, *full;
	const unsigned int nr[] = { 5, 40 };
	unsigned int i;

	fill_two_blocks(test, nr, heads);
	empty = heads[0];
	full = heads[1];
	/* Its holes, where the buddy allocator has them. */
	drain_all_pages(page_zone(full));
	KUNIT_ASSERT_FALSE(test, isolate_movable_ops_page(full, 0));
	for (i = 0; i < 5; i++)
		KUNIT_EXPECT_EQ(test, compact_to(test, empty + i, t->nid), 0);
	KUNIT_EXPECT_EQ(test, node_stat(t->nid, BALLOON_STAT_MIGRATE), migrated + 5);
	KUNIT_EXPECT_NULL(test, find_block(empty, NULL));
	KUNIT_ASSERT_NOT_NULL(test, find_block(full, NULL));
	KUNIT_EXPECT_EQ(test, find_block(full, NULL)->nr, 45);
	KUNIT_EXPECT_FALSE(test, isolate_movable_ops_page(full, 0));
	free_pages_of(test, 45);
}

/* Who soft-offlines a page has it moved, also one of the fullest block. */
static void migrate_wanted(struct kunit *test)
{
	struct test_balloon *t = test->priv;
	struct page *head = fill_block(test, 10);
	long migrated = node_stat(t->nid, BALLOON_STAT_MIGRATE);
	struct migration_target_control mtc = {
		.nid = t->nid,
		.gfp_mask = GFP_HIGHUSER_MOVABLE | __GFP_THISNODE,
	};
	LIST_HEAD(list);

	KUNIT_ASSERT_FALSE(test, isolate_movable_ops_page(head, ISOLATE_UNEVICTABLE));
	/* Looked at by two who compact for an allocation. */
	get_page(head);
	KUNIT_ASSERT_FALSE(test, isolate_movable_ops_page(head, ISOLATE_ASYNC_MIGRATE |
								ISOLATE_UNEVICTABLE));
	KUNIT_ASSERT_TRUE(test, isolate_movable_ops_page(head, ISOLATE_UNEVICTABLE));
	put_page(head);
	list_add(&head->lru, &list);
	putback_movable_pages(&list);
	KUNIT_EXPECT_EQ(test, page_private(head), BALLOON_NUMA_PAGE);
	KUNIT_EXPECT_EQ(test, find_block(head, NULL)->nr, 10);

	get_page(head);
	KUNIT_ASSERT_TRUE(test, isolate_movable_ops_page(head, ISOLATE_UNEVICTABLE));
	put_page(head);
	list_add(&head->lru, &list);
	KUNIT_EXPECT_EQ(test, migrate_pages(&list, alloc_migration_target, NULL,
					    (unsigned long)&mtc, MIGRATE_SYNC,
					    MR_MEMORY_FAILURE, NULL), 0);
	KUNIT_EXPECT_EQ(test, node_stat(t->nid, BALLOON_STAT_MIGRATE), migrated + 1);
	/* The last reference is his, until he has said that it is poisoned. */
	KUNIT_EXPECT_EQ(test, page_ref_count(head), 1);
	KUNIT_EXPECT_FALSE(test, balloon_numa_page(head));
	put_page(head);
	KUNIT_EXPECT_FALSE(test, PageOffline(head));
	expect_pages(test, 0, 10, 0);
	free_pages_of(test, 10);
}

/* Where compaction never rests, the worker comes to gather ever less often. */
static void gather_backs_off(struct kunit *test)
{
	struct test_balloon *t = test->priv;
	struct balloon_zone *bz = &balloon_nodes[t->nid]->zones[ZONE_NORMAL];
	unsigned int i;

	bz->scattered = true;
	for (i = 0; i < 8; i++) {
		bz->compacted = jiffies;
		bz->gather_at = jiffies;
		balloon_gather(&t->b);
		KUNIT_EXPECT_EQ(test, bz->gather_pause, HZ << min(i, 3U));
		/* Who comes for something else, and early, is nobody who has waited. */
		bz->compacted = jiffies;
		balloon_gather(&t->b);
		KUNIT_EXPECT_EQ(test, bz->gather_pause, HZ << min(i, 3U));
		KUNIT_EXPECT_TRUE(test, bz->scattered);
	}
	bz->compacted = jiffies - HZ;
	/* It would have started its slice. */
	t->b.deadline = jiffies + 60 * HZ;
	t->b.planned = atomic_read(&t->b.generation);
	balloon_gather(&t->b);
	KUNIT_EXPECT_EQ(test, bz->gather_pause, 0);
	bz->scattered = false;
}

static struct kunit_case migrate_cases[] = {
	KUNIT_CASE(isolate_putback),
	KUNIT_CASE(isolate_left),
	KUNIT_CASE(migrate_within),
	KUNIT_CASE(migrate_across),
	KUNIT_CASE(migrate_refused),
	KUNIT_CASE(migrate_halfway),
	KUNIT_CASE(migrate_contended),
	KUNIT_CASE(migrate_fills),
	KUNIT_CASE(compact_fuller),
	KUNIT_CASE(migrate_wanted),
	KUNIT_CASE(gather_backs_off),
	{}
};

static struct kunit_suite migrate_suite = {
	.name = "balloon_migrate",
	.init = test_range_init,
	.exit = test_balloon_exit,
	.test_cases = migrate_cases,
};

kunit_test_suite(migrate_suite);
