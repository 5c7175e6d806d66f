// SPDX-License-Identifier: GPL-2.0
#include <kunit/test.h>

#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/vmstat.h>

#include "pages.h"

/**
 * test_inflate - the host takes everything, or refuses
 * @b: the test's balloon
 * @ext: what it is given
 * @nr: how many
 *
 * Return: how many it took.
 */
long test_inflate(struct balloon *b, const struct balloon_extent *ext, unsigned int nr)
{
	struct test_balloon *t = container_of(b, struct test_balloon, b);
	unsigned int i;

	if (t->refuse_inflate)
		return 0;
	for (i = 0; i < nr; i++)
		t->inflated += 1UL << ext[i].order;
	return nr;
}

/**
 * test_deflate - the host gives everything back, or refuses
 * @b: the test's balloon
 * @ext: what is asked for
 * @nr: how many
 *
 * Return: how many it gave.
 */
long test_deflate(struct balloon *b, const struct balloon_extent *ext, unsigned int nr)
{
	struct test_balloon *t = container_of(b, struct test_balloon, b);
	unsigned int i;

	if (t->refuse_deflate)
		return 0;
	for (i = 0; i < nr; i++)
		t->deflated += 1UL << ext[i].order;
	return nr;
}

static const struct balloon_ops test_ops = {
	.inflate = test_inflate,
	.deflate = test_deflate,
};

static unsigned long managed(int nid)
{
	unsigned long pages = 0;
	int z;

	for (z = 0; z < MAX_NR_ZONES; z++)
		pages += zone_managed_pages(&NODE_DATA(nid)->node_zones[z]);
	return pages;
}

/**
 * node_free - free memory of a node
 * @nid: the node
 *
 * Return: free base pages, as vmstat sees them.
 */
unsigned long node_free(int nid)
{
	struct zone *zones = NODE_DATA(nid)->node_zones;
	unsigned long free = 0;
	int z;

	for (z = 0; z < MAX_NR_ZONES; z++)
		if (populated_zone(&zones[z]))
			free += zone_page_state(&zones[z], NR_FREE_PAGES);
	return free;
}

/**
 * node_populated - what ballooning does not change
 * @nid: the node
 *
 * Return: managed pages, and those that the balloon took from them.
 */
unsigned long node_populated(int nid)
{
	unsigned long pages = managed(nid);
	int z;

	for (z = 0; z < MAX_NR_ZONES; z++)
		pages += balloon_nodes[nid]->zones[z].accounted;
	return pages;
}

/**
 * vm_event - a line of /proc/vmstat
 * @item: which
 *
 * Return: its value, of all cpus.
 */
unsigned long vm_event(enum vm_event_item item)
{
	unsigned long sum = 0;
#ifdef CONFIG_VM_EVENT_COUNTERS
	int cpu;

	for_each_possible_cpu(cpu)
		sum += per_cpu(vm_event_states, cpu).event[item];
#endif
	return sum;
}

/**
 * test_balloon_init - prepare a test with real pages
 * @test: the test
 *
 * Return: 0 or -ENOMEM. The test is skipped where there is a balloon already.
 */
int test_balloon_init(struct kunit *test)
{
	struct test_balloon *t = kunit_kzalloc(test, sizeof(*t), GFP_KERNEL);

	if (!t)
		return -ENOMEM;
	t->ext = kunit_kcalloc(test, 2 * SUPERFRAME_PAGES, sizeof(*t->ext), GFP_KERNEL);
	if (!t->ext)
		return -ENOMEM;

	/* The node with most to spare. */
	t->nid = numa_mem_id();
	if (MAX_NUMNODES > 1) {
		int nid;

		for_each_node_state(nid, N_MEMORY)
			if (node_free(nid) > node_free(t->nid))
				t->nid = nid;
	}
	t->managed = managed(t->nid);
	t->vmstat = balloon_node_counted(t->nid);

	t->b.name = "kunit";
	t->b.ops = &test_ops;
	t->b.max_order = SUPERFRAME_ORDER;
	if (balloon_register(&t->b))
		kunit_skip(test, "there is a balloon that is not the test's");
	/* What moves pages is the test, nobody else. */
	t->b.stopped = true;
	test->priv = t;
	return 0;
}

/**
 * test_range_init - prepare a test with real pages and their pageblocks
 * @test: the test
 *
 * Return: as test_balloon_init(). It is skipped, too, where a pageblock is more than a block.
 */
int test_range_init(struct kunit *test)
{
	if (pageblock_order > SUPERFRAME_ORDER)
		kunit_skip(test, "what is isolated would have others' pages, too");
	return test_balloon_init(test);
}

/**
 * test_balloon_exit - everything is as it was, after a test
 * @test: the test
 */
void test_balloon_exit(struct kunit *test)
{
	struct test_balloon *t = test->priv;
	struct balloon_node *bn;
	int z, i;

	if (!t)
		return;
	bn = balloon_nodes[t->nid];
	expect_pages(test, 0, 0, 0);
	for (z = 0; z < MAX_NR_ZONES; z++)
		for (i = 0; i < BALLOON_NR_BUCKETS; i++)
			KUNIT_EXPECT_TRUE(test, list_empty(&bn->zones[z].buckets[i]));
	/* Tests free pages without having reserved them. */
	balloon_reserve(balloon_kept() - balloon_total());
	/* If the test went wrong it may have left something; not for long. */
	balloon_unregister(&t->b);
}

/* Walk the queues of one zone. */
static void walk(struct kunit *test, struct balloon_zone *bz, unsigned long *accounted)
{
	unsigned long superframes = 0, pages = 0, bad = 0, nr_superframes, nr_partial;
	struct balloon_block *block;
	struct page *head;
	int i;

	spin_lock_irq(&bz->lock);
	list_for_each_entry(head, &bz->superframes, lru) {
		superframes++;
		bad += page_to_pfn(head) % SUPERFRAME_PAGES != 0;
		bad += balloon_page_bz(head) != bz;
		bad += page_ref_count(head) != 1;
		for (i = 0; i < SUPERFRAME_PAGES; i++) {
			bad += !PageOffline(head + i);
			bad += i && page_ref_count(head + i);
		}
	}
	for (i = 0; i < BALLOON_NR_BUCKETS; i++) {
		list_for_each_entry(block, &bz->buckets[i], list) {
			pages += bitmap_weight(block->map, SUPERFRAME_PAGES);
			bad += bitmap_weight(block->map, SUPERFRAME_PAGES) != block->nr;
			bad += i != BALLOON_STUCK_BUCKET && balloon_bucket(block->nr) != i;
			bad += !block->nr && !block->away;
			bad += block->nr + block->away > SUPERFRAME_PAGES;
			bad += block->bz != bz;
		}
	}
	superframes += bz->superframes_away;
	pages += bz->partial_away;
	nr_superframes = bz->nr_superframes;
	nr_partial = bz->nr_partial;
	*accounted += bz->accounted;
	spin_unlock_irq(&bz->lock);

	KUNIT_EXPECT_EQ(test, nr_superframes, superframes);
	KUNIT_EXPECT_EQ(test, nr_partial, pages);
	KUNIT_EXPECT_EQ(test, bad, 0);
}

/**
 * expect_pages - compare what the balloon holds on the test's node with a walk,
 * with the zones and with what the test expects
 * @test: the test
 * @superframes: whole superframes
 * @partial: base pages in partial blocks
 * @foreign: lent base pages
 */
void expect_pages(struct kunit *test, unsigned long superframes, unsigned long partial,
		  unsigned long foreign)
{
	struct test_balloon *t = test->priv;
	unsigned long s, p, f, total, accounted = 0, want;
	int z;

	total = balloon_node_count(t->nid, &s, &p, &f);
	KUNIT_EXPECT_EQ(test, s, superframes);
	KUNIT_EXPECT_EQ(test, p, partial);
	KUNIT_EXPECT_EQ(test, f, foreign);
	KUNIT_EXPECT_EQ(test, total, superframes * SUPERFRAME_PAGES + partial + foreign);
	KUNIT_EXPECT_EQ(test, balloon_node_counted(t->nid) - t->vmstat, (long)(total - foreign));

	for (z = 0; z < MAX_NR_ZONES; z++)
		walk(test, &balloon_nodes[t->nid]->zones[z], &accounted);
	want = t->b.flags & BALLOON_KEEP_MANAGED ? 0 : total;
	KUNIT_EXPECT_EQ(test, accounted, want);
	KUNIT_EXPECT_EQ(test, managed(t->nid) + want, t->managed);
}

/**
 * find_block - the partial block that a page belongs to
 * @page: the page
 * @bucket: where to store which bucket it is in, or NULL
 *
 * Return: the block, or NULL. Nobody else changes it.
 */
struct balloon_block *find_block(struct page *page, unsigned int *bucket)
{
	struct balloon_zone *bz = balloon_page_bz(page);
	struct balloon_block *block, *found = NULL;
	int i;

	spin_lock_irq(&bz->lock);
	for (i = 0; i < BALLOON_NR_BUCKETS; i++) {
		list_for_each_entry(block, &bz->buckets[i], list) {
			if (block->index != page_to_pfn(page) >> SUPERFRAME_ORDER)
				continue;
			if (bucket)
				*bucket = i;
			found = block;
		}
	}
	spin_unlock_irq(&bz->lock);
	return found;
}

/**
 * node_stat - a line of nodeN/balloon/stat
 * @nid: the node
 * @item: which
 *
 * Return: its value.
 */
long node_stat(int nid, enum balloon_stat item)
{
	return atomic_long_read(&balloon_nodes[nid]->stats[item]);
}

/**
 * take_block - take all pages of a free block, each with its place reserved
 * @test: the test
 *
 * Return: its first page.
 */
struct page *take_block(struct kunit *test)
{
	struct test_balloon *t = test->priv;
	unsigned int i, nr;

	nr = balloon_take_pages(t->nid, t->ext, SUPERFRAME_PAGES);
	/* Where there is a free block they are all of that one, in order. */
	for (i = 0; i < nr; i++)
		if (t->ext[i].order || t->ext[i].pfn != t->ext[0].pfn + i)
			break;
	if (i < SUPERFRAME_PAGES || t->ext[0].pfn % SUPERFRAME_PAGES) {
		while (nr--)
			balloon_put_page(pfn_to_page(t->ext[nr].pfn));
		KUNIT_FAIL_AND_ABORT(test, "%u pages, not those of one block", i);
	}
	return pfn_to_page(t->ext[0].pfn);
}

/* Of a block that is taken, the first @nr pages go into the balloon and the others back. */
static void fill(struct test_balloon *t, struct page *head, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < SUPERFRAME_PAGES; i++) {
		if (i < nr)
			balloon_queue_page(&t->b, head + i);
		else
			balloon_put_page(head + i);
	}
}

/**
 * fill_block - a partial block
 * @test: the test
 * @nr: how many of its pages, from the first, are to be ballooned
 *
 * Return: its first page.
 */
struct page *fill_block(struct kunit *test, unsigned int nr)
{
	struct page *head = take_block(test);

	fill(test->priv, head, nr);
	return head;
}

/**
 * fill_two_blocks - two partial blocks
 * @test: the test
 * @nr: how many pages of each, from the first, are to be ballooned
 * @heads: where to store their first pages
 */
void fill_two_blocks(struct kunit *test, const unsigned int nr[2], struct page *heads[2])
{
	/* Both first: what one puts back would be used to fill it up. */
	heads[0] = take_block(test);
	heads[1] = take_block(test);
	fill(test->priv, heads[0], nr[0]);
	fill(test->priv, heads[1], nr[1]);
}

/**
 * free_pages_of - take base pages out of the balloon and free them
 * @test: the test
 * @nr: how many
 */
void free_pages_of(struct kunit *test, unsigned int nr)
{
	struct test_balloon *t = test->priv;
	unsigned int i, got;

	while (nr) {
		got = balloon_dequeue_pages(t->nid, t->ext, min(nr, SUPERFRAME_PAGES));
		KUNIT_ASSERT_GT(test, got, 0);
		for (i = 0; i < got; i++)
			balloon_free_page(&t->b, pfn_to_page(t->ext[i].pfn));
		nr -= got;
	}
}
