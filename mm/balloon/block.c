// SPDX-License-Identifier: GPL-2.0
/*
 * Partial blocks: 2M blocks some of whose base pages are in the balloon, found
 * by number and kept by fullness.
 *
 * A ballooned base page looks to the rest of mm like any allocated page: it has
 * an owner and one reference, and is freed by put_page(). That is what lets
 * compaction move it. That it is PageOffline and movable is for good: who finds it so
 * need not know whether it has left the balloon meanwhile, he is told when he isolates
 * it. Where it does not become free it is frozen first, so that nobody looks.
 */
#include <linux/bitmap.h>
#include <linux/kasan.h>
#include <linux/list.h>
#include <linux/migrate.h>
#include <linux/mm.h>
#include <linux/page-isolation.h>
#include <linux/page_owner.h>
#include <linux/pagemap.h>
#include <linux/pgalloc_tag.h>
#include <linux/slab.h>
#include <linux/vmstat.h>
#include <linux/xarray.h>

#include "../internal.h"
#include "internal.h"
#include "movable.h"

/*
 * What is done under a zone's lock at a time, as interrupts are off meanwhile: as soon
 * as it is so much, others have their turn.
 */
#define HOLD_BLOCKS	64U
#define HOLD_PAGES	((unsigned int)SUPERFRAME_PAGES / 2)

/* By pfn >> SUPERFRAME_ORDER: holes cost nothing. Written under a bz->lock. */
DEFINE_XARRAY_FLAGS(balloon_blocks, XA_FLAGS_LOCK_IRQ);

static unsigned int block_bit(struct page *page)
{
	return page_to_pfn(page) & (SUPERFRAME_PAGES - 1);
}

/* The block of this number, if it belongs to this zone. */
static struct balloon_block *block_find(struct balloon_zone *bz, unsigned long index)
{
	struct balloon_block *block = xa_load(&balloon_blocks, index);

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

/* Blocks that had no free page may have some now. Those that are left wait for the next call. */
static void unstick_blocks(struct balloon_zone *bz)
{
	struct balloon_block *block, *next;
	unsigned int n = 0;

	lockdep_assert_held(&bz->lock);
	if (time_in_range_open(jiffies, bz->stuck_since, bz->stuck_since + STUCK_PAUSE))
		return;
	list_for_each_entry_safe(block, next, &bz->buckets[BALLOON_STUCK_BUCKET], list) {
		if (n++ == HOLD_BLOCKS)
			break;
		block_move(block);
	}
}

/*
 * Who has the lock of @balloon_blocks and may allocate under it, with interrupts off: a
 * refill for that would take a bz->lock, which nests the other way round, or is held already.
 * It is told, see balloon_block_writing().
 */
static struct task_struct *block_writer;

/* As xa_reserve(). The xarray allocates with its lock held before it does without. */
static int block_slot_reserve(unsigned long index, gfp_t gfp)
{
	XA_STATE(xas, &balloon_blocks, index);

	do {
		xas_lock_irq(&xas);
		WRITE_ONCE(block_writer, current);
		if (!xas_load(&xas))
			xas_store(&xas, XA_ZERO_ENTRY);
		WRITE_ONCE(block_writer, NULL);
		xas_unlock_irq(&xas);
	} while (xas_nomem(&xas, gfp));
	return xas_error(&xas);
}

/**
 * balloon_block_writing - does this task allocate with the blocks' lock held?
 *
 * Context: any.
 * Return: whether it does: a refill would deadlock there.
 */
bool balloon_block_writing(void)
{
	return READ_ONCE(block_writer) == current;
}

/* Put a block where a slot was reserved: nothing is allocated under the lock. */
static bool block_insert(struct balloon_zone *bz, unsigned long index,
			 struct balloon_block *block)
{
	XA_STATE(xas, &balloon_blocks, index);
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

/* Where objects that are freed are tracked, to free them may allocate. */
static void block_remove(struct balloon_block *block)
{
	list_del(&block->list);
	xa_lock(&balloon_blocks);
	WRITE_ONCE(block_writer, current);
	__xa_erase(&balloon_blocks, block->index);
	kfree_rcu(block, rcu);
	WRITE_ONCE(block_writer, NULL);
	xa_unlock(&balloon_blocks);
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
 * Context: as @gfp says; process context.
 * Return: 0; -ENOMEM; -EBUSY if the block straddles zones and belongs to another.
 */
int balloon_block_reserve(struct page *page, gfp_t gfp)
{
	struct balloon_zone *bz = balloon_page_bz(page);
	unsigned long flags, index = balloon_block_index(page);
	struct balloon_block *block, *new = NULL;
	int err = 0;

	if (!bz)
		return -ENOMEM;

again:
	if (!new && !xa_load(&balloon_blocks, index)) {
		new = kzalloc_obj(*new, gfp);
		if (!new || block_slot_reserve(index, gfp)) {
			kfree(new);
			return -ENOMEM;
		}
	}

	spin_lock_irqsave(&bz->lock, flags);
	block = xa_load(&balloon_blocks, index);
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
 *
 * Context: any.
 */
void balloon_block_cancel(struct page *page)
{
	struct balloon_zone *bz = balloon_page_bz(page);
	struct balloon_block *block;
	unsigned long flags;

	spin_lock_irqsave(&bz->lock, flags);
	block = block_find(bz, balloon_block_index(page));
	if (block) {
		block->away--;
		block_changed(block);
	}
	spin_unlock_irqrestore(&bz->lock, flags);
	/* Consoles may allocate. */
	WARN_ON_ONCE(!block);
}

/**
 * balloon_block_fill - a split superframe becomes a full block
 * @head: its first page, from balloon_dequeue_superframes(), with a place
 *	reserved; all its pages adopted and movable
 *
 * Context: any.
 */
void balloon_block_fill(struct page *head)
{
	struct balloon_zone *bz = balloon_page_bz(head);
	struct balloon_block *block;
	unsigned long flags;

	spin_lock_irqsave(&bz->lock, flags);
	block = block_find(bz, balloon_block_index(head));
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
 * balloon_block_mergeable - may all of a block become a superframe?
 * @head: its first page; all of it is online, and stays so
 *
 * Base pages can leave a CMA area or a range being isolated; superframes can't.
 *
 * Context: any.
 * Return: whether none of its pageblocks is one of these, nor a reserve.
 */
bool balloon_block_mergeable(struct page *head)
{
	unsigned long i;

	/* Some architectures have pageblocks that are smaller. */
	for (i = 0; i < SUPERFRAME_PAGES; i += pageblock_nr_pages)
		if (!migratetype_is_mergeable(get_pageblock_migratetype(head + i)))
			return false;
	return true;
}

/**
 * balloon_block_claim - take a full block away to make it a superframe
 * @bz: its zone
 * @index: its number
 *
 * Context: any.
 * Return: its first page, as if from balloon_dequeue_superframes() but still
 * adopted; NULL if the block is not full or one of its pages is being looked at.
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
	if (!balloon_block_mergeable(head))
		goto next;

	for (i = 0; i < SUPERFRAME_PAGES; i++) {
		if (PageHWPoison(head + i) || !trylock_page(head + i))
			goto undo;
		/*
		 * The first page stays movable: it stands for all, whoever looks at it. It
		 * keeps its reference all the while: where all are offline without one, they
		 * are left to offlining.
		 */
		if (i && !page_ref_freeze(head + i, 1)) {
			unlock_page(head + i);
			goto undo;
		}
	}
	for (i = 0; i < SUPERFRAME_PAGES; i++) {
		unlock_page(head + i);
		if (i)
			balloon_page_unset_movable(head + i);
	}

	block_remove(block);
	bz->nr_partial -= SUPERFRAME_PAGES;
	bz->nr_superframes++;
	bz->superframes_away++;
	spin_unlock_irqrestore(&bz->lock, flags);
	return head;

undo:
	while (i--) {
		if (i)
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
 * balloon_page_set_movable - let others migrate a ballooned base page, or a superframe
 * @page: the page, or the superframe's first, that is new to the balloon, or was movable
 *
 * Who looks at it before it is on a list of the balloon can't isolate it.
 *
 * Context: any.
 */
void balloon_page_set_movable(struct page *page)
{
	set_page_private(page, BALLOON_NUMA_PAGE);
	if (!IS_ENABLED(CONFIG_BALLOON_MIGRATION))
		return;
	/* Pairs with the trylock_page() of who finds the flag: he sees whose page it is. */
	smp_wmb();
	SetPageMovableOps(page);
}

/**
 * balloon_page_unset_movable - undo balloon_page_set_movable()
 * @page: the page, frozen: nobody can get a reference
 *
 * Only then, as who finds it movable may rely on that while he has one.
 *
 * Context: any.
 */
void balloon_page_unset_movable(struct page *page)
{
	/* The type of page->flags differs, but not what is in it. */
	unsigned long *flags = (unsigned long *)&page->flags;

	set_page_private(page, 0);
	page->mapping = NULL;
	/* As freeing would: waiters, for one, may leave a flag behind, too. */
	*flags &= ~PAGE_FLAGS_CHECK_AT_PREP;
}

/**
 * balloon_page_keep - a page that leaves the balloon without being freed is not movable
 * @page: a base page, or a superframe's first, on no list
 * @offline: it remains PageOffline
 *
 * The reference is the caller's. While there is none, who offlines memory would take the
 * page for one that he may have: he looks under zone->lock.
 *
 * Context: any.
 * Return: false if somebody looks at it now, and may isolate it: it is as it was.
 */
bool balloon_page_keep(struct page *page, bool offline)
{
	struct zone *zone = page_zone(page);
	unsigned long flags;
	bool kept;

	spin_lock_irqsave(&zone->lock, flags);
	kept = page_ref_freeze(page, 1);
	if (kept) {
		balloon_page_unset_movable(page);
		if (!offline)
			__ClearPageOffline(page);
		page_ref_unfreeze(page, 1);
	}
	spin_unlock_irqrestore(&zone->lock, flags);
	return kept;
}

/**
 * balloon_page_put - free a base page that is not in the balloon, or not any more
 * @page: the page
 *
 * It is PageOffline and movable until nobody looks at it: the allocator resets both. Where
 * its memory has failed meanwhile the allocator keeps it out.
 *
 * Context: any.
 */
void balloon_page_put(struct page *page)
{
	/* Whoever has another reference isolates it in vain, and waits for nothing. */
	set_page_private(page, 0);
	put_page(page);
}

/**
 * balloon_page_adopt - make a page off the free lists one that is in use
 * @page: a page with a reference, from __isolate_free_page()
 *
 * What post_alloc_hook() does, but for the contents: they are the host's, and
 * touching them would populate the memory that is to be given away. Nor is it counted as
 * anybody's allocation (CONFIG_MEM_ALLOC_PROFILING). It is movable from when it is
 * PageOffline, too, until it is free: who must have it waits while it is on its way to the
 * host or back.
 *
 * Context: any.
 */
void balloon_page_adopt(struct page *page)
{
	debug_pagealloc_map_pages(page, 1);
	set_page_owner(page, 0, OWNER_GFP);
	clear_page_tag_ref(page);
	balloon_page_set_movable(page);
}

/**
 * balloon_page_adopt_allocated - as balloon_page_adopt(), of a page to migrate to
 * @page: a page that was allocated
 *
 * It is counted as that, and is nobody's allocation any more.
 *
 * Context: process context.
 */
void balloon_page_adopt_allocated(struct page *page)
{
	struct alloc_tag *tag = pgalloc_tag_get(page);

	if (tag) {
		this_cpu_sub(tag->counters->bytes, PAGE_SIZE);
		this_cpu_dec(tag->counters->calls);
	}
	clear_page_tag_ref(page);
	balloon_page_set_movable(page);
}

/**
 * balloon_page_disown - undo balloon_page_adopt()
 * @page: a page without a reference that becomes part of a superframe
 *
 * Context: any.
 */
void balloon_page_disown(struct page *page)
{
	reset_page_owner(page, 0);
	kasan_poison_pages(page, 0, false);
	debug_pagealloc_unmap_pages(page, 1);
}

/*
 * @page takes its place on the map. Returns how many pages the block has then, 0 if there
 * is no such block. @bz->lock held.
 */
static unsigned int block_set(struct balloon_zone *bz, struct page *page)
{
	struct balloon_block *block = block_find(bz, balloon_block_index(page));

	if (!block)
		return 0;
	__set_bit(block_bit(page), block->map);
	block->nr++;
	block->away--;
	block_move(block);
	return block->nr;
}

/**
 * balloon_page_arrives - a base page that the host has taken enters the balloon
 * @b: the balloon
 * @page: the page, with a place reserved in its block
 *
 * Context: any.
 * Return: whether the block is full and waits for balloon_coalesce().
 */
bool balloon_page_arrives(struct balloon *b, struct page *page)
{
	struct balloon_zone *bz = balloon_page_bz(page);
	unsigned long flags;
	unsigned int nr;

	spin_lock_irqsave(&bz->lock, flags);
	nr = block_set(bz, page);
	bz->nr_partial++;
	balloon_account(b, bz, page, 1);
	spin_unlock_irqrestore(&bz->lock, flags);
	WARN_ON_ONCE(!nr);
	count_vm_event(BALLOON_INFLATE);
	return nr == SUPERFRAME_PAGES;
}

/**
 * balloon_page_putback - a page that stays in the balloon goes back to its block's map
 * @page: a ballooned base page, from balloon_page_isolate() or balloon_dequeue_pages()
 *
 * Context: any.
 * Return: whether the block is full and waits for balloon_coalesce().
 */
bool balloon_page_putback(struct page *page)
{
	struct balloon_zone *bz = balloon_page_bz(page);
	unsigned long flags;
	unsigned int nr;

	spin_lock_irqsave(&bz->lock, flags);
	nr = block_set(bz, page);
	bz->partial_away--;
	spin_unlock_irqrestore(&bz->lock, flags);
	WARN_ON_ONCE(!nr);
	return nr == SUPERFRAME_PAGES;
}

/* Take @block's pages, all of them or as many as are wanted. */
static unsigned int block_dequeue(struct balloon_block *block,
				  struct balloon_extent *ext, unsigned int nr)
{
	unsigned long pfn = block->index << SUPERFRAME_ORDER;
	unsigned int bit, n = 0;

	for_each_set_bit(bit, block->map, SUPERFRAME_PAGES) {
		if (n == nr)
			break;
		__clear_bit(bit, block->map);
		ext[n++] = (struct balloon_extent){ pfn + bit, 0 };
	}
	if (!n)
		return 0;
	block->nr -= n;
	block->away += n;
	block->bz->partial_away += n;
	block_move(block);
	return n;
}

/*
 * Up to @nr pages of one bucket's blocks, as far as that goes under one hold of the
 * lock. Says in *@end whether it has been through the bucket.
 */
static unsigned int bucket_dequeue(struct balloon_zone *bz, struct list_head *bucket,
				   struct balloon_extent *ext, unsigned int nr, bool *end)
{
	struct balloon_block *block, *next, *last;
	unsigned int n = 0, got, seen = 0;

	*end = true;
	spin_lock_irq(&bz->lock);
	if (list_empty(bucket))
		goto unlock;
	last = list_last_entry(bucket, struct balloon_block, list);
	list_for_each_entry_safe(block, next, bucket, list) {
		/* No block is left half way for the lock's sake: its bucket would be another. */
		if (n == nr || n >= HOLD_PAGES || seen++ == HOLD_BLOCKS) {
			*end = false;
			break;
		}
		got = block_dequeue(block, ext + n, nr - n);
		n += got;
		/* Others get their turn before one that has nothing to give now. */
		if (!got)
			list_move_tail(&block->list, bucket);
		if (block == last)
			break;
	}
unlock:
	spin_unlock_irq(&bz->lock);
	return n;
}

/* How often in a row a bucket is gone on with where nothing came of it. */
#define IDLE_TURNS	16

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
 * Context: process context.
 * Return: how many there were.
 */
unsigned int balloon_dequeue_zone_pages(struct balloon_zone *bz,
					struct balloon_extent *ext, unsigned int nr)
{
	unsigned int n = 0, idle, got;
	bool end;
	int i;

	for (i = 0; i <= BALLOON_STUCK_BUCKET && n < nr; i++) {
		idle = 0;
		do {
			got = bucket_dequeue(bz, &bz->buckets[i], ext + n, nr - n, &end);
			n += got;
			idle = got ? 0 : idle + 1;
		} while (!end && n < nr && idle < IDLE_TURNS);
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
 * Context: process context.
 * Return: how many there were.
 */
unsigned int balloon_dequeue_pages(int nid, struct balloon_extent *ext,
				   unsigned int nr)
{
	struct balloon_node *bn = READ_ONCE(balloon_nodes[nid]);
	unsigned int n = 0;
	int z;

	for (z = 0; bn && z < MAX_NR_ZONES && n < nr; z++)
		n += balloon_dequeue_zone_pages(&bn->zones[z], ext + n, nr - n);
	return n;
}

/**
 * balloon_dequeue_emptiest - choose the pages of a zone's emptiest partial block
 * @bz: the zone
 * @ext: where to store them, room for a whole block
 *
 * The pages stay in the balloon: each is to be passed to balloon_page_leaves() or
 * balloon_requeue_page().
 *
 * Context: process context.
 * Return: how many there were.
 */
unsigned int balloon_dequeue_emptiest(struct balloon_zone *bz, struct balloon_extent *ext)
{
	struct balloon_block *block, *emptiest = NULL;
	unsigned int n = 0, seen;
	int i;

	spin_lock_irq(&bz->lock);
	unstick_blocks(bz);
	for (i = 0; i < BALLOON_FULL_BUCKET && !emptiest; i++) {
		seen = 0;
		list_for_each_entry(block, &bz->buckets[i], list) {
			/* With a page that is lent, it would be no whole block for the guest. */
			if (!block->away && (!emptiest || block->nr < emptiest->nr))
				emptiest = block;
			if (++seen == HOLD_BLOCKS)
				break;
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
 *
 * Its reference is the caller's then, who is to free it.
 *
 * Context: any.
 */
void balloon_page_leaves(struct balloon *b, struct page *page)
{
	struct balloon_zone *bz = balloon_page_bz(page);
	struct balloon_block *block;
	unsigned long flags;

	spin_lock_irqsave(&bz->lock, flags);
	block = block_find(bz, balloon_block_index(page));
	block->away--;
	block_changed(block);
	bz->partial_away--;
	bz->nr_partial--;
	balloon_account(b, bz, page, -1);
	/* Also if it is not free yet: see balloon_page_put(). */
	set_page_private(page, 0);
	spin_unlock_irqrestore(&bz->lock, flags);
	count_vm_event(BALLOON_DEFLATE);
}

/**
 * balloon_free_page - a base page that the host gave back leaves the balloon
 * @b: the balloon
 * @page: the page, from balloon_dequeue_pages()
 *
 * Where its memory has failed meanwhile the allocator keeps it out.
 *
 * Context: any.
 */
void balloon_free_page(struct balloon *b, struct page *page)
{
	balloon_page_leaves(b, page);
	balloon_page_put(page);
}

/**
 * balloon_page_away - is a base page on its way to the host, or back?
 * @page: a page
 *
 * Or isolated, for migration.
 *
 * Context: any.
 * Return: whether it is; not once it has left the balloon.
 */
bool balloon_page_away(struct page *page)
{
	struct balloon_zone *bz = balloon_page_bz(page);
	struct balloon_block *block;
	unsigned long flags;
	bool away;

	if (!bz || !PageOffline(page) || !balloon_numa_page(page))
		return false;
	spin_lock_irqsave(&bz->lock, flags);
	block = block_find(bz, balloon_block_index(page));
	away = block && block->away && !test_bit(block_bit(page), block->map);
	spin_unlock_irqrestore(&bz->lock, flags);
	return away;
}

/* Is there another block that its pages had better lie in? */
static bool fuller_exists(struct balloon_block *block)
{
	struct balloon_block *first;
	struct list_head *bucket;
	int i;

	unstick_blocks(block->bz);
	for (i = balloon_bucket(block->nr + block->away); i < BALLOON_FULL_BUCKET; i++) {
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
 * @must: whether somebody must have this page, or the range that it is in
 *
 * It stays in the balloon, until balloon_page_putback() or balloon_page_leaves().
 * Pages of the fullest block stay where they are, unless somebody must have them:
 * the others are to fill it.
 *
 * Context: any.
 * Return: false if it is being deflated, or is to stay.
 */
bool balloon_page_isolate(struct page *page, bool must)
{
	struct balloon_zone *bz = balloon_page_bz(page);
	struct balloon_block *block;
	unsigned long flags;
	bool found;

	spin_lock_irqsave(&bz->lock, flags);
	block = block_find(bz, balloon_block_index(page));
	found = block && test_bit(block_bit(page), block->map) &&
		(must || fuller_exists(block));
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
 * balloon_fullest_blocks - some of the fullest blocks that are not full
 * @bz: their zone
 * @index: where to store their numbers
 * @nr: how many at most
 *
 * Without those that had no free page a moment ago: balloon_block_stuck().
 *
 * Context: process context.
 * Return: how many there were.
 */
unsigned int balloon_fullest_blocks(struct balloon_zone *bz, unsigned long *index,
				    unsigned int nr)
{
	struct balloon_block *block;
	unsigned int n = 0, seen;
	int i;

	spin_lock_irq(&bz->lock);
	unstick_blocks(bz);
	for (i = BALLOON_FULL_BUCKET - 1; i >= 0 && n < nr; i--) {
		seen = 0;
		list_for_each_entry(block, &bz->buckets[i], list) {
			if (n == nr || seen++ == HOLD_BLOCKS)
				break;
			if (block->nr + block->away < SUPERFRAME_PAGES)
				index[n++] = block->index;
		}
	}
	spin_unlock_irq(&bz->lock);
	return n;
}

/**
 * balloon_block_stuck - a block has no free page: others are to have their turn
 * @bz: its zone
 * @index: pfn >> SUPERFRAME_ORDER of the block
 *
 * Context: process context.
 */
void balloon_block_stuck(struct balloon_zone *bz, unsigned long index)
{
	struct list_head *stuck = &bz->buckets[BALLOON_STUCK_BUCKET];
	struct balloon_block *block;

	spin_lock_irq(&bz->lock);
	block = block_find(bz, index);
	/* It may have become full meanwhile, or empty. */
	if (block && block->nr && block->nr < SUPERFRAME_PAGES) {
		if (list_empty(stuck))
			bz->stuck_since = jiffies;
		list_move_tail(&block->list, stuck);
	}
	spin_unlock_irq(&bz->lock);
}

/**
 * balloon_block_pages - how many base pages of a page's block are ballooned
 * @page: the page
 *
 * Context: process context.
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
	block = block_find(bz, balloon_block_index(page));
	nr = block ? block->nr + block->away : 0;
	spin_unlock_irq(&bz->lock);
	return nr;
}
