// SPDX-License-Identifier: GPL-2.0
/*
 * Partial blocks: 2M blocks some of whose base pages are in the balloon, found
 * by number and kept by fullness.
 *
 * A ballooned base page looks to the rest of mm like any allocated page: it has
 * an owner and one reference, and is freed by put_page(). That is what lets
 * compaction move it.
 */
#include <linux/balloon_compaction.h>
#include <linux/kasan.h>
#include <linux/migrate.h>
#include <linux/page-isolation.h>
#include <linux/page_owner.h>
#include <linux/pagemap.h>
#include <linux/pgalloc_tag.h>
#include <linux/slab.h>
#include <linux/mm.h>
#include <linux/vmstat.h>
#include <linux/xarray.h>

#include "../internal.h"
#include "internal.h"

/* By pfn >> SUPERFRAME_ORDER: holes cost nothing. Written under a bz->lock. */
static DEFINE_XARRAY_FLAGS(blocks, XA_FLAGS_LOCK_IRQ);

static unsigned long block_index(struct page *page)
{
	return page_to_pfn(page) >> SUPERFRAME_ORDER;
}

static unsigned int block_bit(struct page *page)
{
	return page_to_pfn(page) & (SUPERFRAME_PAGES - 1);
}

/* The block of this number, if it belongs to this zone. */
static struct balloon_block *block_find(struct balloon_zone *bz, unsigned long index)
{
	struct balloon_block *block = xa_load(&blocks, index);

	lockdep_assert_held(&bz->lock);
	return block && block->bz == bz ? block : NULL;
}

/* Its fullness has changed. */
static void block_move(struct balloon_block *block)
{
	list_move_tail(&block->list, &block->bz->buckets[balloon_bucket(block->nr)]);
}

/* How long a block without a free page is left alone. */
#define STUCK_PAUSE	(HZ / 10)

/* Blocks that had no free page may have some now. */
static void unstick(struct balloon_zone *bz)
{
	struct balloon_block *block, *next;

	lockdep_assert_held(&bz->lock);
	if (time_in_range_open(jiffies, bz->stuck_since, bz->stuck_since + STUCK_PAUSE))
		return;
	list_for_each_entry_safe(block, next, &bz->buckets[BALLOON_STUCK_BUCKET], list)
		block_move(block);
}

/* Who has the lock of @blocks and may allocate under it. */
static struct task_struct *reserver;

/*
 * As xa_reserve(). The xarray allocates with its lock held before it does without,
 * and a refill for that would take a bz->lock, which nests the other way round:
 * the refill is told, see balloon_block_reserving().
 */
static int slot_reserve(unsigned long index, gfp_t gfp)
{
	XA_STATE(xas, &blocks, index);

	do {
		xas_lock_irq(&xas);
		WRITE_ONCE(reserver, current);
		if (!xas_load(&xas))
			xas_store(&xas, XA_ZERO_ENTRY);
		WRITE_ONCE(reserver, NULL);
		xas_unlock_irq(&xas);
	} while (xas_nomem(&xas, gfp));
	return xas_error(&xas);
}

/**
 * balloon_block_reserving - does this task allocate with the blocks' lock held?
 *
 * Context: any.
 */
bool balloon_block_reserving(void)
{
	return READ_ONCE(reserver) == current;
}

/* Put a block where a slot was reserved: nothing is allocated under the lock. */
static bool block_insert(struct balloon_zone *bz, unsigned long index,
			 struct balloon_block *block)
{
	XA_STATE(xas, &blocks, index);
	bool reserved;

	block->bz = bz;
	block->index = index;
	INIT_LIST_HEAD(&block->list);
	xas_lock(&xas);
	reserved = xa_is_zero(xas_load(&xas));
	if (reserved)
		xas_store(&xas, block);
	xas_unlock(&xas);
	return reserved;
}

static void block_remove(struct balloon_block *block)
{
	list_del(&block->list);
	xa_erase(&blocks, block->index);
	kfree_rcu(block, rcu);
}

/* A page came to the map or left it, or no longer has a place in the block. */
static void block_changed(struct balloon_block *block)
{
	if (block->nr || block->away)
		block_move(block);
	else
		block_remove(block);
}

/**
 * balloon_block_reserve - keep a place for a page in its block
 * @page: a page that is about to enter the balloon
 * @gfp: how to allocate the block, if the page is its first
 *
 * The place is taken by balloon_queue_page() or balloon_block_fill(), or given
 * up by balloon_block_cancel().
 *
 * Return: 0; -ENOMEM; -EBUSY if the block straddles zones and belongs to another.
 */
int balloon_block_reserve(struct page *page, gfp_t gfp)
{
	struct balloon_zone *bz = balloon_page_bz(page);
	unsigned long flags, index = block_index(page);
	struct balloon_block *block, *new = NULL;
	int err = 0;

	if (!bz)
		return -ENOMEM;

again:
	if (!new && !xa_load(&blocks, index)) {
		new = kzalloc(sizeof(*new), gfp);
		if (!new || slot_reserve(index, gfp)) {
			kfree(new);
			return -ENOMEM;
		}
	}

	spin_lock_irqsave(&bz->lock, flags);
	block = xa_load(&blocks, index);
	if (!block && new && block_insert(bz, index, new)) {
		block = new;
		new = NULL;
	}
	if (!block) {
		/* The block, or the slot reserved for it, went meanwhile. */
		spin_unlock_irqrestore(&bz->lock, flags);
		kfree(new);
		new = NULL;
		goto again;
	}
	if (block->bz != bz) {
		err = -EBUSY;
	} else {
		block->away++;
		block_move(block);
	}
	spin_unlock_irqrestore(&bz->lock, flags);
	kfree(new);
	return err;
}

/**
 * balloon_block_cancel - give up a place kept by balloon_block_reserve()
 * @page: the page
 */
void balloon_block_cancel(struct page *page)
{
	struct balloon_zone *bz = balloon_page_bz(page);
	struct balloon_block *block;
	unsigned long flags;

	spin_lock_irqsave(&bz->lock, flags);
	block = block_find(bz, block_index(page));
	if (!WARN_ON_ONCE(!block)) {
		block->away--;
		block_changed(block);
	}
	spin_unlock_irqrestore(&bz->lock, flags);
}

/**
 * balloon_block_fill - a split superframe becomes a full block
 * @head: its first page, from balloon_dequeue_superframes(), with a place
 *	reserved; all its pages adopted and movable
 */
void balloon_block_fill(struct page *head)
{
	struct balloon_zone *bz = balloon_page_bz(head);
	struct balloon_block *block;
	unsigned long flags;

	spin_lock_irqsave(&bz->lock, flags);
	block = block_find(bz, block_index(head));
	bitmap_fill(block->map, SUPERFRAME_PAGES);
	block->nr = SUPERFRAME_PAGES;
	block->away--;
	block_move(block);
	bz->superframes_away--;
	bz->nr_superframes--;
	bz->nr_partial += SUPERFRAME_PAGES;
	spin_unlock_irqrestore(&bz->lock, flags);
}

/**
 * balloon_block_claim - take a full block away to make it a superframe
 * @bz: its zone
 * @index: its number
 *
 * Return: its first page, as if from balloon_dequeue_superframes() but still
 * adopted; NULL if the block is not full or one of its
 * pages is being looked at.
 */
struct page *balloon_block_claim(struct balloon_zone *bz, unsigned long index)
{
	struct page *head = pfn_to_page(index << SUPERFRAME_ORDER);
	struct balloon_block *block;
	unsigned long i, flags;

	spin_lock_irqsave(&bz->lock, flags);
	block = block_find(bz, index);
	if (!block || block->nr != SUPERFRAME_PAGES)
		goto none;
	/* Base pages can leave a CMA area or a range being isolated; they can't. */
	if (!migratetype_is_mergeable(get_pageblock_migratetype(head)))
		goto next;

	for (i = 0; i < SUPERFRAME_PAGES; i++) {
		if (PageHWPoison(head + i) || !trylock_page(head + i))
			goto undo;
		if (!page_ref_freeze(head + i, 1)) {
			unlock_page(head + i);
			goto undo;
		}
	}
	for (i = 0; i < SUPERFRAME_PAGES; i++) {
		balloon_page_clear_movable(head + i);
		head[i].mapping = NULL;
		unlock_page(head + i);
		/* As freeing would: waiters, for one, may leave a flag behind. */
		head[i].flags &= ~PAGE_FLAGS_CHECK_AT_PREP;
		/*
		 * While others can still be migrated: where all are offline without
		 * a reference, they are left to offlining.
		 */
		if (!i)
			page_ref_unfreeze(head, 1);
	}

	block_remove(block);
	bz->nr_partial -= SUPERFRAME_PAGES;
	bz->nr_superframes++;
	bz->superframes_away++;
	spin_unlock_irqrestore(&bz->lock, flags);
	return head;

undo:
	while (i--) {
		page_ref_unfreeze(head + i, 1);
		unlock_page(head + i);
	}
next:
	/* Others get their turn first. */
	block_move(block);
none:
	spin_unlock_irqrestore(&bz->lock, flags);
	return NULL;
}

/**
 * balloon_page_adopt - make a page off the free lists one that is in use
 * @page: a page with a reference, from __isolate_free_page()
 *
 * What post_alloc_hook() does, but for the contents: they are the host's, and
 * touching them would populate the memory that is to be given away.
 */
void balloon_page_adopt(struct page *page)
{
	debug_pagealloc_map_pages(page, 1);
	set_page_owner(page, 0, OWNER_GFP);
	pgalloc_tag_add(page, current, 1);
}

/**
 * balloon_page_disown - undo balloon_page_adopt()
 * @page: a page without a reference that becomes part of a superframe
 */
void balloon_page_disown(struct page *page)
{
	pgalloc_tag_sub(page, 1);
	reset_page_owner(page, 0);
	kasan_poison_pages(page, 0, false);
	debug_pagealloc_unmap_pages(page, 1);
}

/**
 * balloon_page_set_movable - let compaction migrate a ballooned base page
 * @page: the page, locked
 */
void balloon_page_set_movable(struct page *page)
{
#ifdef CONFIG_BALLOON_COMPACTION
	__SetPageMovable(page, &balloon_numa_mops);
#endif
}

/**
 * balloon_page_clear_movable - the end of balloon_page_set_movable()
 * @page: the page, locked
 */
void balloon_page_clear_movable(struct page *page)
{
	if (IS_ENABLED(CONFIG_BALLOON_COMPACTION))
		__ClearPageMovable(page);
}

/* Put @page, locked, on its block's map. Returns whether the block is full. */
static bool page_to_map(struct balloon *b, struct page *page, bool counted)
{
	struct balloon_zone *bz = balloon_page_bz(page);
	struct balloon_block *block;
	unsigned long flags;
	bool full;

	balloon_page_set_movable(page);
	spin_lock_irqsave(&bz->lock, flags);
	block = block_find(bz, block_index(page));
	__set_bit(block_bit(page), block->map);
	block->nr++;
	block->away--;
	block_move(block);
	full = block->nr == SUPERFRAME_PAGES;
	if (counted) {
		bz->partial_away--;
	} else {
		bz->nr_partial++;
		balloon_account(b, bz, page, 1);
	}
	spin_unlock_irqrestore(&bz->lock, flags);
	return full;
}

/**
 * balloon_page_arrives - a base page that the host has taken enters the balloon
 * @b: the balloon
 * @page: the page, locked, with a place reserved in its block
 *
 * Return: whether the block is full and waits for balloon_coalesce().
 */
bool balloon_page_arrives(struct balloon *b, struct page *page)
{
	return page_to_map(b, page, false);
}

/* As page_to_map(), with @page not locked; a block that is full is coalesced. */
static void lock_to_map(struct balloon *b, struct page *page, bool counted)
{
	bool full;

	lock_page(page);
	full = page_to_map(b, page, counted);
	unlock_page(page);
	if (full)
		balloon_coalesce(b, balloon_page_bz(page), block_index(page));
}

/**
 * balloon_page_arrives_unlocked - as balloon_page_arrives(), and coalesce
 * @b: the balloon
 * @page: the page, not locked, with a place reserved in its block
 *
 * Context: may sleep.
 */
void balloon_page_arrives_unlocked(struct balloon *b, struct page *page)
{
	lock_to_map(b, page, false);
}

/**
 * balloon_queue_page - a base page that the host has taken enters the balloon
 * @b: the balloon
 * @page: the page, from balloon_take_pages()
 *
 * If it fills its block, that becomes a superframe.
 *
 * Context: may sleep.
 */
void balloon_queue_page(struct balloon *b, struct page *page)
{
	lock_to_map(b, page, false);
	count_vm_event(BALLOON_INFLATE);
}

/**
 * balloon_requeue_page - a base page that the host keeps goes back to its block
 * @b: the balloon
 * @page: the page, from balloon_dequeue_pages()
 *
 * Context: may sleep.
 */
void balloon_requeue_page(struct balloon *b, struct page *page)
{
	lock_to_map(b, page, true);
}

/**
 * balloon_coalesce_later - a block has become full, or may stay so
 *
 * Context: any.
 */
void balloon_coalesce_later(void)
{
	struct balloon *b;

	rcu_read_lock();
	b = balloon_current();
	if (b)
		balloon_kick_later(b);
	rcu_read_unlock();
}

/* Full blocks of one zone that are coalesced per run of the worker. */
#define COALESCE_BATCH	32

/**
 * balloon_coalesce_full - make superframes of the blocks that filled up
 * @b: the balloon
 *
 * A block that is filled by migration can't be coalesced there, where the page
 * that arrived is still locked: the worker does it here. So it does with blocks
 * one of whose pages was looked at by others at the time.
 *
 * A batch a zone; while some of a batch come of it, the worker comes again.
 *
 * Context: may sleep.
 */
void balloon_coalesce_full(struct balloon *b)
{
	unsigned long index[COALESCE_BATCH];
	struct balloon_block *block;
	struct balloon_node *bn;
	unsigned int n, coalesced;
	bool batch;
	int nid, z;

	for (nid = 0; (bn = balloon_node_from(&nid)); nid++) {
		for (z = 0; z < MAX_NR_ZONES; z++) {
			struct balloon_zone *bz = &bn->zones[z];

			n = 0;
			coalesced = 0;
			spin_lock_irq(&bz->lock);
			list_for_each_entry(block, &bz->buckets[BALLOON_FULL_BUCKET], list) {
				if (n == COALESCE_BATCH)
					break;
				index[n++] = block->index;
			}
			spin_unlock_irq(&bz->lock);
			batch = n == COALESCE_BATCH;
			while (n--)
				coalesced += balloon_coalesce(b, bz, index[n]);
			if (batch && coalesced)
				balloon_kick_later(b);
		}
	}
}

/* Take @block's pages, all of them or as many as are wanted. */
static unsigned int block_dequeue(struct balloon_block *block,
				  struct balloon_extent *ext, unsigned int nr)
{
	unsigned long pfn = block->index << SUPERFRAME_ORDER;
	unsigned int bit, n = 0;

	for_each_set_bit(bit, block->map, SUPERFRAME_PAGES) {
		struct page *page = pfn_to_page(pfn + bit);

		if (n == nr)
			break;
		if (!trylock_page(page))
			continue;
		balloon_page_clear_movable(page);
		unlock_page(page);
		__clear_bit(bit, block->map);
		ext[n++] = (struct balloon_extent){ pfn + bit, 0 };
	}
	/* A block that gave nothing stays, or its caller would meet it for ever. */
	if (!n)
		return 0;
	block->nr -= n;
	block->away += n;
	block->bz->partial_away += n;
	block_move(block);
	return n;
}

/**
 * balloon_dequeue_zone_pages - choose base pages of a zone to ask back from the host
 * @bz: the zone
 * @ext: where to store them
 * @nr: how many at most
 *
 * Out of the emptiest blocks first: they are nearest to being whole for the
 * guest. The pages stay in the balloon: each is to be passed to
 * balloon_free_page() or balloon_requeue_page().
 *
 * Return: how many there were.
 */
unsigned int balloon_dequeue_zone_pages(struct balloon_zone *bz,
					struct balloon_extent *ext, unsigned int nr)
{
	struct balloon_block *block, *next;
	unsigned int n = 0;
	int i;

	for (i = 0; i < BALLOON_NR_BUCKETS && n < nr; i++) {
		spin_lock_irq(&bz->lock);
		list_for_each_entry_safe(block, next, &bz->buckets[i], list) {
			if (n == nr)
				break;
			n += block_dequeue(block, ext + n, nr - n);
		}
		spin_unlock_irq(&bz->lock);
	}
	return n;
}

/**
 * balloon_dequeue_pages - choose base pages of a node to ask back from the host
 * @nid: the node
 * @ext: where to store them
 * @nr: how many at most
 *
 * As balloon_dequeue_zone_pages().
 *
 * Return: how many there were.
 */
unsigned int balloon_dequeue_pages(int nid, struct balloon_extent *ext,
				   unsigned int nr)
{
	struct balloon_node *bn = balloon_nodes[nid];
	unsigned int n = 0;
	int z;

	for (z = 0; bn && z < MAX_NR_ZONES && n < nr; z++)
		n += balloon_dequeue_zone_pages(&bn->zones[z], ext + n, nr - n);
	return n;
}

/* Blocks that are compared to find the emptiest. */
#define EMPTIEST_OF	64

/**
 * balloon_dequeue_emptiest - choose the pages of a zone's emptiest partial block
 * @bz: the zone
 * @ext: where to store them, room for a whole block
 *
 * The pages stay in the balloon: each is to be passed to balloon_page_leaves() or
 * balloon_requeue_page().
 *
 * Return: how many there were.
 */
unsigned int balloon_dequeue_emptiest(struct balloon_zone *bz, struct balloon_extent *ext)
{
	struct balloon_block *block, *emptiest = NULL;
	unsigned int n = 0, seen = 0;
	int i;

	spin_lock_irq(&bz->lock);
	unstick(bz);
	for (i = 0; i < BALLOON_FULL_BUCKET && !emptiest; i++) {
		list_for_each_entry(block, &bz->buckets[i], list) {
			if (seen++ >= EMPTIEST_OF)
				break;
			if (block->nr && (!emptiest || block->nr < emptiest->nr))
				emptiest = block;
		}
	}
	if (emptiest)
		n = block_dequeue(emptiest, ext, SUPERFRAME_PAGES);
	spin_unlock_irq(&bz->lock);
	return n;
}

/**
 * balloon_page_leaves - a base page is no longer in the balloon
 * @b: the balloon
 * @page: the page, off its block's map
 */
void balloon_page_leaves(struct balloon *b, struct page *page)
{
	struct balloon_zone *bz = balloon_page_bz(page);
	struct balloon_block *block;
	unsigned long flags;

	spin_lock_irqsave(&bz->lock, flags);
	block = block_find(bz, block_index(page));
	block->away--;
	block_changed(block);
	bz->partial_away--;
	bz->nr_partial--;
	balloon_account(b, bz, page, -1);
	spin_unlock_irqrestore(&bz->lock, flags);
	__ClearPageOffline(page);
}

/**
 * balloon_free_page - a base page that the host gave back leaves the balloon
 * @b: the balloon
 * @page: the page, from balloon_dequeue_pages()
 */
void balloon_free_page(struct balloon *b, struct page *page)
{
	balloon_page_leaves(b, page);
	count_vm_event(BALLOON_DEFLATE);
	put_page(page);
}

#ifdef CONFIG_BALLOON_COMPACTION
/* Is there another block that its pages had better lie in? */
static bool fuller_exists(struct balloon_block *block)
{
	struct balloon_block *first;
	struct list_head *bucket;
	int i;

	unstick(block->bz);
	for (i = balloon_bucket(block->nr); i < BALLOON_FULL_BUCKET; i++) {
		bucket = &block->bz->buckets[i];
		first = list_first_entry_or_null(bucket, struct balloon_block, list);
		if (first && (first != block || !list_is_singular(bucket)))
			return true;
	}
	return false;
}

/**
 * balloon_page_isolate - compaction takes a page off its block's map
 * @page: a ballooned base page, locked
 *
 * It stays in the balloon, until balloon_page_putback() or balloon_page_leaves().
 * Pages of the fullest block stay where they are, unless somebody must have the
 * range: the others are to fill it.
 *
 * Return: false if it is being deflated, or is to stay.
 */
bool balloon_page_isolate(struct page *page)
{
	struct balloon_zone *bz = balloon_page_bz(page);
	struct balloon_block *block;
	unsigned long flags;
	bool found;

	spin_lock_irqsave(&bz->lock, flags);
	block = block_find(bz, block_index(page));
	found = block && test_bit(block_bit(page), block->map) &&
		(is_migrate_isolate_page(page) || fuller_exists(block));
	if (found) {
		__clear_bit(block_bit(page), block->map);
		block->nr--;
		block->away++;
		block_move(block);
		bz->partial_away++;
	}
	spin_unlock_irqrestore(&bz->lock, flags);
	return found;
}

/**
 * balloon_page_putback - compaction puts a page back on its block's map
 * @page: a ballooned base page, locked, from balloon_page_isolate()
 *
 * The block is not coalesced here, where the page is locked:
 * balloon_coalesce_full() sees to that.
 */
void balloon_page_putback(struct page *page)
{
	struct balloon_zone *bz = balloon_page_bz(page);
	struct balloon_block *block;
	unsigned long flags;
	bool full;

	spin_lock_irqsave(&bz->lock, flags);
	block = block_find(bz, block_index(page));
	__set_bit(block_bit(page), block->map);
	block->nr++;
	block->away--;
	block_move(block);
	bz->partial_away--;
	full = block->nr == SUPERFRAME_PAGES;
	spin_unlock_irqrestore(&bz->lock, flags);
	if (full)
		balloon_coalesce_later();
}
#endif /* CONFIG_BALLOON_COMPACTION */

/**
 * balloon_put_page - free a base page that the host did not take
 * @page: the page, from balloon_take_pages()
 */
void balloon_put_page(struct page *page)
{
	balloon_block_cancel(page);
	__ClearPageOffline(page);
	put_page(page);
}

/*
 * Take a free page of @order apart: up to @nr of its base pages into @ext, the
 * others back to the free lists. With zone->lock held.
 */
static unsigned int carve_locked(struct page *page, unsigned int order,
				 struct balloon_extent *ext, unsigned int nr)
{
	unsigned long i, pfn = page_to_pfn(page);
	unsigned int n = 0;

	if (!__isolate_free_page(page, order))
		return 0;
	for (i = 0; i < 1UL << order; i++) {
		if (n < nr) {
			set_page_refcounted(page + i);
			ext[n++] = (struct balloon_extent){ pfn + i, 0 };
		} else {
			__putback_isolated_page(page + i, 0,
						get_pageblock_migratetype(page + i));
		}
	}
	return n;
}

/* Free pages of block @index, which is partly ballooned already. */
static unsigned int take_holes(struct zone *zone, unsigned long index,
			       struct balloon_extent *ext, unsigned int nr)
{
	unsigned long pfn = index << SUPERFRAME_ORDER;
	unsigned long end = pfn + SUPERFRAME_PAGES;
	unsigned int n = 0;

	spin_lock_irq(&zone->lock);
	while (pfn < end && n < nr) {
		struct page *page = pfn_to_online_page(pfn);
		unsigned int order = 0;

		if (page && page_zone(page) == zone && PageBuddy(page) &&
		    migratetype_is_mergeable(get_pageblock_migratetype(page))) {
			order = buddy_order(page);
			n += carve_locked(page, order, ext + n, nr - n);
		}
		pfn += 1UL << order;
	}
	spin_unlock_irq(&zone->lock);
	return n;
}

/* Numbers of some of the fullest blocks that are not full. */
static unsigned int fullest_blocks(struct balloon_zone *bz, unsigned long *index,
				   unsigned int nr)
{
	struct balloon_block *block;
	unsigned int n = 0;
	int i;

	spin_lock_irq(&bz->lock);
	unstick(bz);
	for (i = BALLOON_FULL_BUCKET - 1; i >= 0; i--) {
		list_for_each_entry(block, &bz->buckets[i], list) {
			if (n == nr)
				goto out;
			if (block->nr + block->away < SUPERFRAME_PAGES)
				index[n++] = block->index;
		}
	}
out:
	spin_unlock_irq(&bz->lock);
	return n;
}

/* It has no free page: let others have their turn. */
static void block_stuck(struct balloon_zone *bz, unsigned long index)
{
	struct list_head *stuck = &bz->buckets[BALLOON_STUCK_BUCKET];
	struct balloon_block *block;

	spin_lock_irq(&bz->lock);
	block = block_find(bz, index);
	/* It may have become full meanwhile. */
	if (block && block->nr < SUPERFRAME_PAGES) {
		if (list_empty(stuck))
			bz->stuck_since = jiffies;
		list_move_tail(&block->list, stuck);
	}
	spin_unlock_irq(&bz->lock);
}

/* Free pages anywhere in the zone, in as few blocks as can be. */
static unsigned int take_fragments(struct zone *zone, struct balloon_extent *ext,
				   unsigned int nr)
{
	static const int types[] = {
		MIGRATE_MOVABLE, MIGRATE_RECLAIMABLE, MIGRATE_UNMOVABLE,
	};
	int fit = min_t(int, order_base_2(nr), SUPERFRAME_ORDER);
	unsigned int t, n = 0, got;
	struct page *page;
	int i, order;

	/*
	 * The smallest free page that holds all of them first, so that they lie
	 * in one block; then ever smaller ones.
	 */
	spin_lock_irq(&zone->lock);
	for (i = 0; i <= MAX_PAGE_ORDER && n < nr; i++) {
		order = i <= MAX_PAGE_ORDER - fit ? fit + i : MAX_PAGE_ORDER - i;
		for (t = 0; t < ARRAY_SIZE(types) && n < nr; t++) {
			struct list_head *list = &zone->free_area[order].free_list[types[t]];

			while (n < nr) {
				page = list_first_entry_or_null(list, struct page, buddy_list);
				if (!page)
					break;
				/* As for superframes: let kswapd sleep. */
				if (!zone_watermark_ok(zone, 0,
						       high_wmark_pages(zone) + (1UL << order),
						       gfp_zone(GFP_HIGHUSER_MOVABLE), 0))
					break;
				got = carve_locked(page, order, ext + n, nr - n);
				if (!got)
					break;
				n += got;
			}
		}
	}
	spin_unlock_irq(&zone->lock);
	return n;
}

/* How many partial blocks are tried for holes per batch and zone. */
#define HOLE_BLOCKS	8
/* Pages taken without letting others have the zone's lock. */
#define TAKE_MAX	((unsigned int)SUPERFRAME_PAGES)

static void adopt_all(const struct balloon_extent *ext, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++)
		balloon_page_adopt(pfn_to_page(ext[i].pfn));
}

/* Pages get a place in their block, or are freed. Returns how many are left. */
static unsigned int keep_places(struct balloon_extent *ext, unsigned int nr)
{
	unsigned int kept = 0, i;

	for (i = 0; i < nr; i++) {
		struct page *page = pfn_to_page(ext[i].pfn);

		if (balloon_block_reserve(page, GFP_KERNEL | __GFP_NORETRY | __GFP_NOWARN))
			put_page(page);
		else
			ext[kept++] = ext[i];
	}

	/* Readers of /proc/kcore must be out of pages that the host takes. */
	page_offline_begin();
	for (i = 0; i < kept; i++)
		__SetPageOffline(pfn_to_page(ext[i].pfn));
	page_offline_end();
	return kept;
}

/**
 * balloon_take_pages - take base pages of a node
 * @nid: the node
 * @ext: where to store them
 * @nr: how many at most
 * @reclaim: allocate them, so that others' pages are reclaimed or moved for
 *	them, as long as memory is available to the guest; otherwise take only
 *	what is free: holes of the fullest partial blocks first, then pieces of
 *	few other blocks
 *
 * Each has a place in its block, and is to be passed to balloon_queue_page() or
 * balloon_put_page().
 *
 * Context: may sleep, allocate and reclaim.
 * Return: how many there were.
 */
unsigned int balloon_take_pages(int nid, struct balloon_extent *ext,
				unsigned int nr, bool reclaim)
{
	const gfp_t gfp = balloon_mapping_gfp_mask() | __GFP_THISNODE |
			  __GFP_NOMEMALLOC | __GFP_NORETRY | __GFP_NOWARN;
	struct zone *zones = NODE_DATA(nid)->node_zones;
	struct balloon_node *bn = balloon_nodes[nid];
	unsigned long index[HOLE_BLOCKS];
	unsigned int n = 0, i, nr_blocks, got;
	struct page *page;
	int z;

	if (reclaim) {
		/* What others hold and could do without, and no more than that. */
		while (n < nr && si_mem_available() > (long)SUPERFRAME_PAGES &&
		       (page = alloc_pages_node(nid, gfp, 0)))
			ext[n++] = (struct balloon_extent){ page_to_pfn(page), 0 };
	} else {
		for (z = MAX_NR_ZONES - 1; z >= 0 && n < nr; z--) {
			if (!balloon_may_take(&zones[z]))
				continue;
			nr_blocks = fullest_blocks(&bn->zones[z], index, HOLE_BLOCKS);
			for (i = 0; i < nr_blocks && n < nr; i++) {
				got = take_holes(&zones[z], index[i], ext + n, nr - n);
				if (!got)
					block_stuck(&bn->zones[z], index[i]);
				n += got;
			}
		}
		for (z = MAX_NR_ZONES - 1; z >= 0 && n < nr; z--) {
			if (!balloon_may_take(&zones[z]))
				continue;
			do {
				got = take_fragments(&zones[z], ext + n, min(nr - n, TAKE_MAX));
				n += got;
			} while (got && n < nr);
		}
		adopt_all(ext, n);
	}

	return keep_places(ext, n);
}

/**
 * balloon_block_pages - how many base pages of a page's block are ballooned
 * @page: the page
 *
 * Return: their number, with those on their way to the balloon or out of it.
 */
unsigned int balloon_block_pages(struct page *page)
{
	struct balloon_zone *bz = balloon_page_bz(page);
	struct balloon_block *block;
	unsigned int nr;

	if (!bz)
		return 0;
	spin_lock_irq(&bz->lock);
	block = block_find(bz, block_index(page));
	nr = block ? block->nr + block->away : 0;
	spin_unlock_irq(&bz->lock);
	return nr;
}

/*
 * Free pages of some of the fullest blocks, for pages of @src's block. Says in
 * *@stuck whether some had none: others get their turn next.
 */
static unsigned int take_holes_for(struct page *src, bool fuller, struct balloon_extent *ext,
				   unsigned int nr, bool *stuck)
{
	struct balloon_zone *bz = balloon_page_bz(src);
	unsigned int nr_blocks, have, least, i, got, n = 0;
	unsigned long index[HOLE_BLOCKS];

	*stuck = false;

	least = fuller ? balloon_block_pages(src) : 0;
	nr_blocks = fullest_blocks(bz, index, HOLE_BLOCKS);
	for (i = 0; i < nr_blocks && n < nr; i++) {
		if (index[i] == block_index(src))
			continue;
		/* Of two alike, the first fills the other. */
		have = balloon_block_pages(pfn_to_page(index[i] << SUPERFRAME_ORDER));
		if (have < least || (have == least && fuller && index[i] < block_index(src)))
			continue;
		got = take_holes(page_zone(src), index[i], ext + n, nr - n);
		if (!got) {
			block_stuck(bz, index[i]);
			*stuck = true;
		}
		n += got;
	}
	adopt_all(ext, n);
	return n;
}

/**
 * balloon_take_hole - take one free page of a block that is ballooned in part
 * @src: a ballooned base page whose place it is to take: a page of the same
 *	zone, not of the same block
 * @fuller: only of a block that holds more than @src's
 *
 * Context: process context; does not reclaim.
 * Return: the page, to be passed to balloon_page_arrives() or
 * balloon_block_cancel() with a reference that is the caller's; NULL if there
 * is none in some of the fullest blocks.
 */
struct page *balloon_take_hole(struct page *src, bool fuller)
{
	struct balloon_extent ext;
	struct page *page;
	bool stuck;

	if (!take_holes_for(src, fuller, &ext, 1, &stuck))
		return NULL;
	page = pfn_to_page(ext.pfn);
	if (balloon_block_reserve(page, GFP_NOWAIT | __GFP_NOWARN)) {
		put_page(page);
		return NULL;
	}
	__SetPageOffline(page);
	return page;
}

/* How often others get their turn. */
#define HOLE_TURNS	64

/**
 * balloon_take_holes - take free pages of blocks that hold more than a page's
 * @src: a ballooned base page
 * @ext: where to store them
 * @nr: how many at most
 *
 * As balloon_take_pages().
 *
 * Context: may sleep and allocate.
 * Return: how many there were in some of the fullest blocks of the same zone.
 */
unsigned int balloon_take_holes(struct page *src, struct balloon_extent *ext, unsigned int nr)
{
	unsigned int n, turns = 0;
	bool stuck;

	do {
		n = take_holes_for(src, true, ext, nr, &stuck);
		cond_resched();
	} while (!n && stuck && ++turns < HOLE_TURNS);
	return keep_places(ext, n);
}

/**
 * balloon_take_rest - take what is free of a block that is ballooned in part
 * @zone: its zone
 * @pfn: its first page frame, of a pageblock that is isolated
 * @ext: where to store the pages, room for a whole block
 *
 * Each is to be passed to balloon_queue_page() or balloon_put_page().
 *
 * Context: may sleep and allocate.
 * Return: how many there were, 0 unless the rest of the block is free as a whole.
 */
unsigned int balloon_take_rest(struct zone *zone, unsigned long pfn,
			       struct balloon_extent *ext)
{
	unsigned long i, step;
	unsigned int n = 0;

	spin_lock_irq(&zone->lock);
	for (i = 0; i < SUPERFRAME_PAGES; i += step) {
		struct page *page = pfn_to_page(pfn + i);

		step = 1;
		if (PageBuddy(page))
			step = 1UL << buddy_order(page);
		else if (!PageOffline(page))
			goto unlock;
	}
	for (i = 0; i < SUPERFRAME_PAGES; i += step) {
		struct page *page = pfn_to_page(pfn + i);

		step = 1;
		if (!PageBuddy(page))
			continue;
		step = 1UL << buddy_order(page);
		n += carve_locked(page, buddy_order(page), ext + n, SUPERFRAME_PAGES - n);
	}
unlock:
	spin_unlock_irq(&zone->lock);
	adopt_all(ext, n);
	return keep_places(ext, n);
}
