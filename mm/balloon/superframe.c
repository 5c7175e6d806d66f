// SPDX-License-Identifier: GPL-2.0
/*
 * Superframes: whole 2M blocks, from the free lists to the balloon and back.
 *
 * They are taken and put back as mm/page_reporting.c does it, beside the
 * allocator: nothing is zeroed, nothing waits on a per-cpu list and nobody is
 * told to reclaim. A superframe is not compound: all its pages are
 * PageOffline, the head has one reference and the tails have none, so that
 * nobody else can get one.
 */
#include <linux/highmem.h>
#include <linux/kasan.h>
#include <linux/page-isolation.h>
#include <linux/page_owner.h>
#include <linux/slab.h>
#include <linux/mm.h>
#include <linux/vmstat.h>

#include "../internal.h"
#include "../page_reporting.h"
#include "internal.h"
#include "vacate.h"

#define CREATE_TRACE_POINTS
#include <trace/events/balloon.h>

/* Superframes taken without letting others have the zone's lock. */
#define TAKE_MAX	32U

/*
 * Free pages of these types may leave as a superframe: it can't be migrated,
 * so not CMA; the others are reserves or being isolated.
 */
static const int take_types[] = {
	MIGRATE_MOVABLE, MIGRATE_RECLAIMABLE, MIGRATE_UNMOVABLE,
};

/* With zone->lock held. */
static void put_locked(struct page *head)
{
	__putback_isolated_page(head, SUPERFRAME_ORDER, get_pageblock_migratetype(head));
}

/* The first page of a free list that is not in the range from @start to @end. */
static struct page *first_free(struct list_head *list, int order, unsigned long start,
			       unsigned long end)
{
	struct page *page;

	list_for_each_entry(page, list, buddy_list) {
		unsigned long pfn = page_to_pfn(page);

		if (pfn + (1UL << order) <= start || pfn >= end)
			return page;
	}
	return NULL;
}

/*
 * Take up to @nr superframes off @zone's free lists, none in the range from
 * @start to @end, with zone->lock held.
 */
static unsigned int take_locked(struct zone *zone, struct balloon_extent *ext, unsigned int nr,
				unsigned long start, unsigned long end)
{
	unsigned int order, t, n = 0;
	unsigned long i, pfn;
	struct page *page;

	for (order = SUPERFRAME_ORDER; order <= MAX_PAGE_ORDER; order++) {
		for (t = 0; t < ARRAY_SIZE(take_types); t++) {
			struct list_head *list = &zone->free_area[order].free_list[take_types[t]];

			while (n < nr) {
				page = first_free(list, order, start, end);
				if (!page)
					break;
				/*
				 * Stay above the high watermark, or the next
				 * allocation wakes kswapd to make up for it.
				 */
				if (!zone_watermark_ok(zone, 0,
						       high_wmark_pages(zone) + (1UL << order),
						       gfp_zone(GFP_HIGHUSER_MOVABLE), 0))
					return n;
				if (!__isolate_free_page(page, order))
					return n;

				pfn = page_to_pfn(page);
				for (i = 0; i < 1UL << order; i += SUPERFRAME_PAGES) {
					if (n == nr) {
						put_locked(page + i);
						continue;
					}
					ext[n].order = SUPERFRAME_ORDER;
					ext[n++].pfn = pfn + i;
				}
			}
		}
	}
	return n;
}

/* Take up to @nr superframes off @nid's free lists, none from @start to @end. */
static unsigned int take(int nid, struct balloon_extent *ext, unsigned int nr,
			 unsigned long start, unsigned long end)
{
	struct zone *zones = NODE_DATA(nid)->node_zones;
	unsigned int n = 0, got;
	unsigned long flags;
	int z;

	/* Highest zone first, as the zonelists do: low memory is the scarcest. */
	for (z = MAX_NR_ZONES - 1; z >= 0 && n < nr; z--) {
		if (!balloon_may_take(&zones[z]))
			continue;
		do {
			spin_lock_irqsave(&zones[z].lock, flags);
			got = take_locked(&zones[z], ext + n, min(nr - n, TAKE_MAX), start, end);
			spin_unlock_irqrestore(&zones[z].lock, flags);
			n += got;
		} while (got && n < nr);
	}
	return n;
}

/**
 * balloon_set_offline - mark superframes that were taken off the free lists
 * @ext: they
 * @nr: how many
 */
void balloon_set_offline(const struct balloon_extent *ext, unsigned int nr)
{
	unsigned int i;
	unsigned long j;

	for (i = 0; i < nr; i++) {
		struct page *head = pfn_to_page(ext[i].pfn);

		/* First: offline without a reference is left to offlining. */
		set_page_refcounted(head);
		set_page_owner(head, SUPERFRAME_ORDER, OWNER_GFP);
		for (j = 0; j < SUPERFRAME_PAGES; j++)
			__SetPageOffline(head + j);
	}
}

/**
 * balloon_take_superframes - take whole free superframes of a node
 * @nid: the node
 * @ext: where to store them
 * @nr: how many at most
 *
 * Every one is to be passed to balloon_queue_superframe() or
 * balloon_put_superframe().
 *
 * Context: process context, may sleep.
 * Return: how many there were, without going below a high watermark.
 */
unsigned int balloon_take_superframes(int nid, struct balloon_extent *ext,
				      unsigned int nr)
{
	nr = take(nid, ext, nr, 0, 0);
	/* Readers of /proc/kcore must be out of pages that the host takes. */
	page_offline_begin();
	balloon_set_offline(ext, nr);
	page_offline_end();
	return nr;
}

/**
 * balloon_take_superframe_nowait - take a whole free superframe for an allocation
 * @nid: the node
 * @ext: where to store it
 *
 * As balloon_take_superframes(), but without waiting for readers of /proc/kcore:
 * one that faults may be what is allocated for. It copes with a page that the
 * host has taken.
 *
 * Context: any.
 * Return: whether there was one.
 */
bool balloon_take_superframe_nowait(int nid, struct balloon_extent *ext)
{
	return balloon_take_superframe_outside(nid, ext, 0, 0);
}

/**
 * balloon_take_superframe_outside - take a free superframe that is not in a range
 * @nid: the node
 * @ext: where to store it
 * @start: the range's first page frame
 * @end: the one after its last
 *
 * As balloon_take_superframe_nowait().
 *
 * Context: any.
 * Return: whether there was one.
 */
bool balloon_take_superframe_outside(int nid, struct balloon_extent *ext, unsigned long start,
				     unsigned long end)
{
	unsigned int nr = take(nid, ext, 1, start, end);

	balloon_set_offline(ext, nr);
	return nr;
}

/**
 * balloon_put_superframe - put a superframe back on the free lists
 * @head: its first page, in no queue, with its frames in the guest's hands
 *
 * Context: any.
 */
void balloon_put_superframe(struct page *head)
{
	struct zone *zone = page_zone(head);
	unsigned long i, flags;
	bool touched = want_init_on_free() || page_poisoning_enabled_static();

	for (i = 0; i < SUPERFRAME_PAGES; i++)
		__ClearPageOffline(head + i);

	/*
	 * A scanner may have a reference for a moment. Its put then frees the
	 * head, and this the rest.
	 */
	if (!page_ref_freeze(head, 1)) {
		debug_pagealloc_map_pages(head, SUPERFRAME_PAGES);
		__free_pages(head, SUPERFRAME_ORDER);
		return;
	}

	reset_page_owner(head, SUPERFRAME_ORDER);
	/* What the host hands back is not what the allocator left in it. */
	if (touched) {
		debug_pagealloc_map_pages(head, SUPERFRAME_PAGES);
		if (want_init_on_free())
			for (i = 0; i < SUPERFRAME_PAGES; i++)
				clear_highpage_kasan_tagged(head + i);
		kernel_poison_pages(head, SUPERFRAME_PAGES);
		debug_pagealloc_unmap_pages(head, SUPERFRAME_PAGES);
	}

	spin_lock_irqsave(&zone->lock, flags);
	put_locked(head);
	/* The host has what is not touched; the rest is news to it. */
	if (touched)
		page_reporting_notify_free(SUPERFRAME_ORDER);
	spin_unlock_irqrestore(&zone->lock, flags);
}

static void enqueue(struct balloon_zone *bz, struct page *head)
{
	list_add(&head->lru, &bz->superframes);
	set_page_private(head, BALLOON_SUPERFRAME_MARK);
}

static void dequeue(struct balloon_zone *bz, struct page *head)
{
	set_page_private(head, 0);
	list_del(&head->lru);
	bz->superframes_away++;
}

/**
 * balloon_queue_superframe - a superframe that the host has taken enters the balloon
 * @b: the balloon
 * @head: its first page, from balloon_take_superframes()
 */
void balloon_queue_superframe(struct balloon *b, struct page *head)
{
	struct balloon_zone *bz = balloon_page_bz(head);
	unsigned long flags;

	spin_lock_irqsave(&bz->lock, flags);
	enqueue(bz, head);
	bz->nr_superframes++;
	bz->owed++;
	balloon_account(b, bz, head, SUPERFRAME_PAGES);
	spin_unlock_irqrestore(&bz->lock, flags);
	count_vm_events(BALLOON_INFLATE, SUPERFRAME_PAGES);
}

/**
 * balloon_dequeue_zone_superframes - choose superframes to ask back from the host
 * @bz: their zone
 * @ext: where to store them
 * @nr: how many at most
 *
 * They stay in the balloon, on no list: each is to be passed to
 * balloon_free_superframe() or balloon_requeue_superframe().
 *
 * Context: any.
 * Return: how many there were.
 */
unsigned int balloon_dequeue_zone_superframes(struct balloon_zone *bz,
					      struct balloon_extent *ext, unsigned int nr)
{
	struct page *head, *next;
	unsigned long flags;
	unsigned int n = 0;

	spin_lock_irqsave(&bz->lock, flags);
	list_for_each_entry_safe(head, next, &bz->superframes, lru) {
		if (n == nr)
			break;
		dequeue(bz, head);
		ext[n++] = (struct balloon_extent){ page_to_pfn(head), SUPERFRAME_ORDER };
	}
	spin_unlock_irqrestore(&bz->lock, flags);
	return n;
}

/**
 * balloon_dequeue_superframes - choose superframes to ask back from the host
 * @nid: their node
 * @ext: where to store them
 * @nr: how many at most
 *
 * As balloon_dequeue_zone_superframes().
 *
 * Return: how many there were.
 */
unsigned int balloon_dequeue_superframes(int nid, struct balloon_extent *ext,
					 unsigned int nr)
{
	struct balloon_node *bn = balloon_nodes[nid];
	unsigned int n = 0;
	int z;

	/* Low memory was taken last and is given back first. */
	for (z = 0; bn && z < MAX_NR_ZONES && n < nr; z++)
		n += balloon_dequeue_zone_superframes(&bn->zones[z], ext + n, nr - n);
	return n;
}

/**
 * balloon_requeue_superframe - a superframe that the host keeps goes back to its queue
 * @head: its first page, from balloon_dequeue_superframes()
 */
void balloon_requeue_superframe(struct page *head)
{
	struct balloon_zone *bz = balloon_page_bz(head);
	unsigned long flags;

	spin_lock_irqsave(&bz->lock, flags);
	enqueue(bz, head);
	bz->superframes_away--;
	spin_unlock_irqrestore(&bz->lock, flags);
}

/**
 * balloon_free_superframe - a superframe that the host gave back leaves the balloon
 * @b: the balloon
 * @head: its first page, from balloon_dequeue_superframes()
 *
 * Context: any.
 */
void balloon_free_superframe(struct balloon *b, struct page *head)
{
	struct balloon_zone *bz = balloon_page_bz(head);
	unsigned long flags;

	spin_lock_irqsave(&bz->lock, flags);
	bz->superframes_away--;
	bz->nr_superframes--;
	if (bz->owed)
		bz->owed--;
	balloon_account(b, bz, head, -(long)SUPERFRAME_PAGES);
	spin_unlock_irqrestore(&bz->lock, flags);
	count_vm_events(BALLOON_DEFLATE, SUPERFRAME_PAGES);
	balloon_put_superframe(head);
}

/**
 * balloon_break_superframe - make a superframe a block of base pages
 * @head: its first page, from balloon_dequeue_superframes()
 *
 * Its pages become movable one by one. Their number does not change.
 *
 * Context: may sleep and allocate.
 * Return: false if there was no memory to describe the block: it is queued again.
 */
bool balloon_break_superframe(struct page *head)
{
	int nid = page_to_nid(head);
	unsigned long i;

	if (balloon_block_reserve(head, GFP_KERNEL | __GFP_NORETRY | __GFP_NOWARN)) {
		balloon_requeue_superframe(head);
		return false;
	}

	reset_page_owner(head, SUPERFRAME_ORDER);
	for (i = 0; i < SUPERFRAME_PAGES; i++) {
		if (i)
			set_page_refcounted(head + i);
		balloon_page_adopt(head + i);
		lock_page(head + i);
		balloon_page_set_movable(head + i);
		unlock_page(head + i);
	}
	balloon_block_fill(head);
	balloon_stat_add(nid, BALLOON_SPLIT, 1);
	trace_balloon_split(nid, page_to_pfn(head));
	return true;
}

/**
 * balloon_split_superframe - make a superframe of a node a block of base pages
 * @nid: the node
 *
 * Context: may sleep and allocate.
 * Return: whether one was split; not where the node has none, or there is no
 * memory to describe the block.
 */
bool balloon_split_superframe(int nid)
{
	struct balloon_extent ext;

	return balloon_dequeue_superframes(nid, &ext, 1) &&
	       balloon_break_superframe(pfn_to_page(ext.pfn));
}

/**
 * balloon_dequeue_superframe - choose a certain superframe to ask back from the host
 * @head: the page that may be its first
 *
 * As balloon_dequeue_zone_superframes().
 *
 * Context: any.
 * Return: whether it is one, and was in its queue.
 */
bool balloon_dequeue_superframe(struct page *head)
{
	struct balloon_zone *bz;
	unsigned long flags;
	bool found;

	if (!balloon_is_superframe(head))
		return false;
	bz = balloon_page_bz(head);
	spin_lock_irqsave(&bz->lock, flags);
	found = balloon_is_superframe(head);
	if (found)
		dequeue(bz, head);
	spin_unlock_irqrestore(&bz->lock, flags);
	return found;
}

/**
 * balloon_coalesce - make a full block a superframe
 * @b: the balloon
 * @bz: the block's zone
 * @index: pfn >> SUPERFRAME_ORDER of the block
 *
 * Nothing happens where the block is not full, or where one of its pages is in
 * use by somebody who looks at it (compaction, isolation): balloon_coalesce_full()
 * tries again.
 *
 * Context: process context, no page of the block locked by the caller.
 * Return: whether it is one now.
 */
bool balloon_coalesce(struct balloon *b, struct balloon_zone *bz, unsigned long index)
{
	struct page *head;
	unsigned long i;

	/* The host could not be asked for it back. */
	if (b->max_order < SUPERFRAME_ORDER)
		return false;
	head = balloon_block_claim(bz, index);
	if (!head)
		return false;
	for (i = 0; i < SUPERFRAME_PAGES; i++)
		balloon_page_disown(head + i);
	set_page_owner(head, SUPERFRAME_ORDER, OWNER_GFP);
	balloon_requeue_superframe(head);
	balloon_stat_add(page_to_nid(head), BALLOON_COALESCE, 1);
	trace_balloon_coalesce(page_to_nid(head), page_to_pfn(head));
	return true;
}
