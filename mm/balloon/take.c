// SPDX-License-Identifier: GPL-2.0
/*
 * Free memory of the guest: how much of it the balloon may have, and the way
 * from the free lists to the balloon and back.
 *
 * Pages are taken and put back as mm/page_reporting.c does it, beside the
 * allocator: nothing is zeroed, nothing waits on a per-cpu list and nobody is
 * told to reclaim. What free lists look like is known to mm/page_alloc.c.
 *
 * A free page is taken as a whole, and most of a large one goes back at once: a zone
 * has to keep its min watermark beside all of it. Where MAX_PAGE_ORDER is large (512M
 * with base pages of 64K), the last free page of a small zone would be out of reach for
 * that: then a part of it is taken.
 */
#include <linux/highmem.h>
#include <linux/kasan.h>
#include <linux/memory_hotplug.h>
#include <linux/mm.h>
#include <linux/page-isolation.h>
#include <linux/page_owner.h>
#include <linux/vmstat.h>

#include "../internal.h"
#include "../page_alloc.h"
#include "../page_reporting.h"
#include "internal.h"
#include "superframe.h"

/* What is done without letting others have the zone's lock: interrupts are off. */
#define HOLD_SUPERFRAMES	16U
#define HOLD_PAGES		((unsigned int)SUPERFRAME_PAGES)

/* May a free page be more than a zone can spare that has a superframe to spare? */
#define LARGE_FREE_PAGES	(MAX_PAGE_ORDER - SUPERFRAME_ORDER > 1)

/*
 * Free memory of a zone that may leave, beyond a mark and what is reserved beside it, if
 * @more pages were free than there are.
 */
static unsigned long zone_above(struct zone *zone, unsigned long mark, unsigned long more)
{
	unsigned long free, keep;

	if (!balloon_may_take(zone))
		return 0;
	free = zone_page_state(zone, NR_FREE_PAGES) + more;
	keep = zone_page_state(zone, NR_FREE_CMA_PAGES) + READ_ONCE(zone->nr_free_highatomic) +
	       zone->lowmem_reserve[gfp_zone(GFP_HIGHUSER_MOVABLE)] + mark;
	return free - min(free, keep);
}

/**
 * balloon_zone_spare - free memory of a zone that the balloon may have
 * @zone: the zone
 *
 * All that is free, but for CMA, the reserve for high-order atomic allocations, the
 * high watermark, what lower zones keep for themselves, and 1/64 of the zone: so that
 * neither kswapd nor who allocates next has to make up for it.
 *
 * Context: any.
 * Return: base pages.
 */
unsigned long balloon_zone_spare(struct zone *zone)
{
	return balloon_zone_spare_with(zone, 0);
}

/**
 * balloon_zone_spare_with - the same if more of it were free
 * @zone: the zone
 * @more: so many base pages
 *
 * Context: any.
 * Return: base pages.
 */
unsigned long balloon_zone_spare_with(struct zone *zone, unsigned long more)
{
	return zone_above(zone, high_wmark_pages(zone) + zone->present_pages / 64, more);
}

/*
 * What the balloon may have of pages that were just reclaimed for it: the zone has no less
 * than before. Where somebody reads through a file, free memory is between the low mark and
 * the high one for good, and who waits for more has lost the race.
 */
static unsigned long zone_reclaimed(struct zone *zone)
{
	return zone_above(zone, low_wmark_pages(zone), 0);
}

/**
 * balloon_node_spare - free memory of a node that the balloon may have
 * @nid: an online node
 *
 * Context: any.
 * Return: base pages, those of balloon_zone_spare() of all zones.
 */
unsigned long balloon_node_spare(int nid)
{
	struct zone *zones = NODE_DATA(nid)->node_zones;
	unsigned long spare = 0;
	int z;

	for (z = 0; z < MAX_NR_ZONES; z++)
		spare += balloon_zone_spare(&zones[z]);
	return spare;
}

/**
 * balloon_drain_zone - what CPUs keep on lists of their own becomes plainly free
 * @zone: the zone
 *
 * That may be up to an eighth of it, and is not seen by balloon_zone_spare().
 *
 * Context: may sleep.
 */
void balloon_drain_zone(struct zone *zone)
{
	/* The lists of a zone go with its last memory. */
	get_online_mems();
	if (populated_zone(zone))
		drain_all_pages(zone);
	put_online_mems();
}

/**
 * balloon_drain_node - the same for all zones of a node
 * @nid: the node
 *
 * Context: may sleep.
 */
void balloon_drain_node(int nid)
{
	int z;

	for (z = 0; z < MAX_NR_ZONES; z++)
		balloon_drain_zone(&NODE_DATA(nid)->node_zones[z]);
}

/* Take up to @nr superframes off @zone's free lists, with zone->lock held. Small pages first. */
static unsigned int take_superframes_locked(struct zone *zone, struct balloon_extent *ext,
					    unsigned int nr)
{
	unsigned int order, n = 0;
	unsigned long i, pfn;
	struct page *page;

	nr = min_t(unsigned long, nr, balloon_zone_spare(zone) / SUPERFRAME_PAGES);
	for (order = SUPERFRAME_ORDER; order <= MAX_PAGE_ORDER; order++) {
		while (n < nr) {
			page = take_free_block(zone, order, NULL);
			if (!page)
				break;
			pfn = page_to_pfn(page);
			for (i = 0; i < 1UL << order && n < nr; i += SUPERFRAME_PAGES)
				ext[n++] = (struct balloon_extent){ pfn + i, SUPERFRAME_ORDER };
			put_free_range(page + i, (1UL << order) - i);
		}
	}
	while (LARGE_FREE_PAGES && n < nr) {
		page = take_free_part(zone, SUPERFRAME_ORDER, NULL);
		if (!page)
			break;
		ext[n++] = (struct balloon_extent){ page_to_pfn(page), SUPERFRAME_ORDER };
	}
	return n;
}

/* Take up to @nr superframes off @nid's free lists. */
static unsigned int take_node_superframes(int nid, struct balloon_extent *ext, unsigned int nr)
{
	struct zone *zones = NODE_DATA(nid)->node_zones;
	unsigned int n = 0, got;
	unsigned long flags;
	int z;

	/* Highest zone first, as the zonelists do: low memory is the scarcest. */
	for (z = MAX_NR_ZONES - 1; z >= 0 && n < nr; z--) {
		if (balloon_zone_spare(&zones[z]) < SUPERFRAME_PAGES)
			continue;
		do {
			spin_lock_irqsave(&zones[z].lock, flags);
			got = take_superframes_locked(&zones[z], ext + n,
						      min(nr - n, HOLD_SUPERFRAMES));
			spin_unlock_irqrestore(&zones[z].lock, flags);
			n += got;
		} while (n < nr && got);
	}
	return n;
}

/**
 * balloon_set_offline - mark superframes that were taken off the free lists
 * @ext: they
 * @nr: how many
 *
 * Who may sleep calls it between page_offline_begin() and page_offline_end(): readers
 * of /proc/kcore must be out of pages that the host takes. Who may not need not: such
 * a reader copes with a page that the host has taken.
 *
 * Context: any.
 */
void balloon_set_offline(const struct balloon_extent *ext, unsigned int nr)
{
	unsigned int i;
	unsigned long j;

	for (i = 0; i < nr; i++) {
		struct page *head = pfn_to_page(ext[i].pfn);

		balloon_page_set_movable(head);
		set_page_private(head, BALLOON_SUPERFRAME_AWAY);
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
 * Return: how many there were, within balloon_zone_spare().
 */
unsigned int balloon_take_superframes(int nid, struct balloon_extent *ext,
				      unsigned int nr)
{
	nr = take_node_superframes(nid, ext, nr);
	if (nr) {
		page_offline_begin();
		balloon_set_offline(ext, nr);
		page_offline_end();
	}
	return nr;
}

/**
 * balloon_take_superframe_nowait - take a whole free superframe for who may not wait
 * @nid: the node
 * @ext: where to store it
 *
 * As balloon_take_superframes(), but without waiting for readers of /proc/kcore:
 * one that faults may be what is allocated for.
 *
 * Context: any.
 * Return: whether there was one.
 */
bool balloon_take_superframe_nowait(int nid, struct balloon_extent *ext)
{
	unsigned int nr = take_node_superframes(nid, ext, 1);

	balloon_set_offline(ext, nr);
	return nr;
}

/*
 * May @pages of the block at @pfn leave? What is isolated is not counted as free: it
 * is enough that the zone has its reserve without that.
 */
static bool block_is_spare(struct zone *zone, unsigned long pfn, unsigned long pages)
{
	if (is_migrate_isolate_page(pfn_to_page(pfn)))
		pages = 1;
	return balloon_zone_spare(zone) >= pages;
}

/**
 * balloon_take_superframe_at - take a certain superframe, if it is free
 * @zone: its zone
 * @pfn: its first page frame; its pageblock may be isolated
 * @ext: where to store it
 *
 * It is to be passed to balloon_set_offline(), then to balloon_queue_superframe() or
 * balloon_put_superframe().
 *
 * Context: process context; all of it is online, and stays so.
 * Return: whether all of it was free, and could be spared.
 */
bool balloon_take_superframe_at(struct zone *zone, unsigned long pfn, struct balloon_extent *ext)
{
	bool taken;

	spin_lock_irq(&zone->lock);
	taken = block_is_spare(zone, pfn, SUPERFRAME_PAGES) &&
		take_free_range(zone, pfn, SUPERFRAME_ORDER);
	spin_unlock_irq(&zone->lock);
	if (taken)
		*ext = (struct balloon_extent){ pfn, SUPERFRAME_ORDER };
	return taken;
}

/* The host hands back other contents than the allocator left in them. */
static void init_pages(struct page *page, unsigned long nr)
{
	unsigned long i;

	debug_pagealloc_map_pages(page, nr);
	if (want_init_on_free())
		for (i = 0; i < nr; i++)
			clear_highpage_kasan_tagged(page + i);
	kernel_poison_pages(page, nr);
	debug_pagealloc_unmap_pages(page, nr);
}

/* Pages of a superframe go back to the free lists, but for those that others look at. */
static void put_pages(struct page *page, unsigned long nr)
{
	struct zone *zone = page_zone(page);
	unsigned long flags;

	if (balloon_put_touches())
		init_pages(page, nr);
	spin_lock_irqsave(&zone->lock, flags);
	put_free_range(page, nr);
	/* The host has what is not touched; the rest is news to it. */
	if (balloon_put_touches())
		page_reporting_notify_free(SUPERFRAME_ORDER);
	spin_unlock_irqrestore(&zone->lock, flags);
}

/*
 * Free a superframe page by page: the allocator then looks at each of them, and keeps
 * those out whose memory has failed. All are PageOffline still, for it to reset.
 */
static void put_superframe_pages(struct page *head)
{
	unsigned long i;

	for (i = 0; i < SUPERFRAME_PAGES; i++) {
		balloon_page_adopt(head + i);
		/* Movable first: offline and referenced, it would have offlining fail. */
		if (i)
			set_page_refcounted(head + i);
		balloon_page_put(head + i);
	}
}

/**
 * balloon_put_superframe - put a superframe back on the free lists
 * @head: its first page, in no queue, with its frames in the guest's hands
 *
 * All of it is written to where balloon_put_touches().
 *
 * Context: any.
 */
void balloon_put_superframe(struct page *head)
{
	bool poisoned = false;
	unsigned long i;

	for (i = 0; i < SUPERFRAME_PAGES; i++)
		poisoned |= PageHWPoison(head + i);
	reset_page_owner(head, SUPERFRAME_ORDER);
	if (poisoned) {
		put_superframe_pages(head);
		return;
	}
	/* Nobody can have a reference to the others. */
	for (i = 1; i < SUPERFRAME_PAGES; i++)
		__ClearPageOffline(head + i);
	if (page_ref_freeze(head, 1)) {
		balloon_page_unset_movable(head);
		__ClearPageOffline(head);
		put_pages(head, SUPERFRAME_PAGES);
	} else {
		/*
		 * A scanner may have a reference for a moment, and who migrates it has one.
		 * Their put then frees the head.
		 */
		put_pages(head + 1, SUPERFRAME_PAGES - 1);
		balloon_page_adopt(head);
		balloon_page_put(head);
	}
}

/**
 * balloon_put_page - free a base page that the host did not take
 * @page: the page, from balloon_take_pages(), balloon_take_holes() or
 *	balloon_take_rest()
 *
 * Context: any.
 */
void balloon_put_page(struct page *page)
{
	balloon_block_cancel(page);
	balloon_page_put(page);
}

/*
 * Keep up to @nr base pages of an isolated free page of @order, put the others back to the
 * free lists. With zone->lock held.
 */
static unsigned int carve_locked(struct page *page, unsigned int order,
				 struct balloon_extent *ext, unsigned int nr)
{
	unsigned long pfn = page_to_pfn(page), i;

	for (i = 0; i < 1UL << order && i < nr; i++) {
		set_page_refcounted(page + i);
		ext[i] = (struct balloon_extent){ pfn + i, 0 };
	}
	put_free_range(page + i, (1UL << order) - i);
	return i;
}

/* What a zone can do without; who gives another page for each need not ask. */
typedef unsigned long (*zone_spare_fn)(struct zone *zone);

/* Free pages of block @index, which is partly ballooned already. */
static unsigned int take_block_holes(struct zone *zone, unsigned long index,
				     struct balloon_extent *ext, unsigned int nr,
				     zone_spare_fn spare)
{
	unsigned long pfn = index << SUPERFRAME_ORDER;
	unsigned long end = pfn + SUPERFRAME_PAGES;
	unsigned int n = 0;

	spin_lock_irq(&zone->lock);
	if (spare)
		nr = min_t(unsigned long, nr, spare(zone));
	while (pfn < end && n < nr) {
		struct page *page = pfn_to_online_page(pfn);
		unsigned int order = 0;

		if (page && page_zone(page) == zone && PageBuddy(page) &&
		    migratetype_is_mergeable(get_pageblock_migratetype(page))) {
			order = buddy_order(page);
			if (__isolate_free_page(page, order))
				n += carve_locked(page, order, ext + n, nr - n);
		}
		pfn += 1UL << order;
	}
	spin_unlock_irq(&zone->lock);
	return n;
}

/*
 * Is all of @page's block in its zone? Where a block straddles, the other zone may have
 * claimed it. There are two of those in a zone, or few more.
 */
static bool block_is_whole(struct page *page)
{
	unsigned long pfn = ALIGN_DOWN(page_to_pfn(page), SUPERFRAME_PAGES);
	struct page *first = pfn_to_online_page(pfn);
	struct page *last = pfn_to_online_page(pfn + SUPERFRAME_PAGES - 1);

	return (!first || page_zone(first) == page_zone(page)) &&
	       (!last || page_zone(last) == page_zone(page));
}

/* Up to @nr free pages anywhere in the zone, in as few blocks as can be. */
static unsigned int take_fragments(struct zone *zone, struct balloon_extent *ext,
				   unsigned int nr, zone_spare_fn spare)
{
	unsigned int fit, order, i, n = 0;
	struct page *page;

	spin_lock_irq(&zone->lock);
	nr = min_t(unsigned long, nr, spare(zone));
	/*
	 * The smallest free page that holds all of them first, so that they lie
	 * in one block; then ever smaller ones.
	 */
	fit = nr ? min_t(unsigned int, order_base_2(nr), SUPERFRAME_ORDER) : 0;
	for (i = 0; i <= MAX_PAGE_ORDER && n < nr; i++) {
		order = i <= MAX_PAGE_ORDER - fit ? fit + i : MAX_PAGE_ORDER - i;
		while (n < nr) {
			page = take_free_block(zone, order, block_is_whole);
			if (!page)
				break;
			n += carve_locked(page, order, ext + n, nr - n);
		}
	}
	while (LARGE_FREE_PAGES && n < nr) {
		order = min_t(unsigned int, order_base_2(nr - n), SUPERFRAME_ORDER);
		page = take_free_part(zone, order, block_is_whole);
		if (!page)
			break;
		n += carve_locked(page, order, ext + n, nr - n);
	}
	spin_unlock_irq(&zone->lock);
	return n;
}

/* How many partial blocks are tried for holes per batch and zone. */
#define HOLE_BLOCKS	8

/*
 * Offline at once, not only when the host is to have them: newer kernels go by that, too,
 * when they ask what is movable.
 */
static void adopt_pages(const struct balloon_extent *ext, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		struct page *page = pfn_to_page(ext[i].pfn);

		balloon_page_adopt(page);
		__SetPageOffline(page);
	}
}

/* Pages get a place in their block, or are freed. Returns how many are left. */
static unsigned int keep_places(struct balloon_extent *ext, unsigned int nr)
{
	unsigned int kept = 0, i;

	for (i = 0; i < nr; i++) {
		struct page *page = pfn_to_page(ext[i].pfn);

		if (balloon_block_reserve(page, GFP_KERNEL | __GFP_NORETRY | __GFP_NOWARN))
			balloon_page_put(page);
		else
			ext[kept++] = ext[i];
	}
	if (kept) {
		/* Readers of /proc/kcore who found one that was not offline are out of it then. */
		page_offline_begin();
		page_offline_end();
	}
	return kept;
}

/* Free pages of the fullest blocks of a zone. */
static unsigned int take_zone_holes(struct zone *zone, struct balloon_zone *bz,
				    struct balloon_extent *ext, unsigned int nr,
				    zone_spare_fn spare)
{
	unsigned int nr_blocks, i, got, n = 0;
	unsigned long index[HOLE_BLOCKS];

	nr_blocks = balloon_fullest_blocks(bz, index, HOLE_BLOCKS);
	/* A zone that can spare nothing does not say whether its blocks have holes. */
	for (i = 0; i < nr_blocks && n < nr && spare(zone); i++) {
		got = take_block_holes(zone, index[i], ext + n, nr - n, spare);
		if (!got)
			balloon_block_stuck(bz, index[i]);
		n += got;
	}
	return n;
}

/* Off the free lists, movable and offline, and without a place in their blocks yet. */
static unsigned int take_off_lists(int nid, struct balloon_extent *ext, unsigned int nr,
				   zone_spare_fn spare)
{
	struct zone *zones = NODE_DATA(nid)->node_zones;
	struct balloon_node *bn = READ_ONCE(balloon_nodes[nid]);
	unsigned int n = 0, got;
	int z;

	if (!bn)
		return 0;
	for (z = MAX_NR_ZONES - 1; z >= 0 && n < nr; z--)
		if (spare(&zones[z]))
			n += take_zone_holes(&zones[z], &bn->zones[z], ext + n, nr - n, spare);
	for (z = MAX_NR_ZONES - 1; z >= 0 && n < nr; z--) {
		if (!spare(&zones[z]))
			continue;
		do {
			got = take_fragments(&zones[z], ext + n, min(nr - n, HOLD_PAGES), spare);
			n += got;
		} while (got && n < nr);
	}
	adopt_pages(ext, n);
	return n;
}

static unsigned int take_pages(int nid, struct balloon_extent *ext, unsigned int nr,
			       zone_spare_fn spare)
{
	return keep_places(ext, take_off_lists(nid, ext, nr, spare));
}

/**
 * balloon_take_pages - take free base pages of a node
 * @nid: the node
 * @ext: where to store them
 * @nr: how many at most
 *
 * Holes of the fullest partial blocks first, then pieces of few other blocks. Each has
 * a place in its block, and is to be passed to balloon_queue_page() or
 * balloon_put_page().
 *
 * Context: may sleep and allocate.
 * Return: how many there were, within balloon_zone_spare().
 */
unsigned int balloon_take_pages(int nid, struct balloon_extent *ext, unsigned int nr)
{
	return take_pages(nid, ext, nr, balloon_zone_spare);
}

/**
 * balloon_take_reclaimed - the same right after pages were reclaimed there
 * @nid: the node
 * @ext: where to store them
 * @nr: how many at most: no more than were reclaimed
 *
 * The zones keep their low watermarks, and what they had before the reclaim.
 *
 * Context: may sleep and allocate.
 * Return: how many there were.
 */
unsigned int balloon_take_reclaimed(int nid, struct balloon_extent *ext, unsigned int nr)
{
	return take_pages(nid, ext, nr, zone_reclaimed);
}

/* Without reclaim, nor waiting for readers of /proc/kcore: one that faults may be why. */
static struct page *keep_place_nowait(const struct balloon_extent *ext)
{
	struct page *page = pfn_to_page(ext->pfn);

	if (!balloon_block_reserve(page, GFP_NOWAIT | __GFP_NOWARN))
		return page;
	balloon_page_put(page);
	return NULL;
}

/**
 * balloon_take_page_nowait - take a free base page of a node, for one that migrates
 * @nid: the node
 *
 * Context: process context; does not reclaim.
 * Return: the page, to be passed to balloon_page_arrives() with another reference, or to
 * balloon_put_page(); NULL if there is none within balloon_zone_spare().
 */
struct page *balloon_take_page_nowait(int nid)
{
	struct balloon_extent ext;

	return take_off_lists(nid, &ext, 1, balloon_zone_spare) ? keep_place_nowait(&ext) : NULL;
}

/*
 * Free pages of some of the fullest blocks, for pages of @src's block. Says in
 * *@stuck whether some had none: others get their turn next.
 */
static unsigned int take_holes_for(struct page *src, bool fuller, struct balloon_extent *ext,
				   unsigned int nr, bool *stuck)
{
	unsigned long index[HOLE_BLOCKS], src_index = balloon_block_index(src);
	struct balloon_zone *bz = balloon_page_bz(src);
	unsigned int nr_blocks, have, least, i, got, n = 0;

	*stuck = false;
	if (!bz)
		return 0;

	least = fuller ? balloon_block_pages(src) : 0;
	nr_blocks = balloon_fullest_blocks(bz, index, HOLE_BLOCKS);
	for (i = 0; i < nr_blocks && n < nr; i++) {
		if (index[i] == src_index)
			continue;
		/* Of two alike, the first fills the other. */
		have = balloon_block_pages(pfn_to_page(index[i] << SUPERFRAME_ORDER));
		if (have < least || (have == least && fuller && index[i] < src_index))
			continue;
		got = take_block_holes(page_zone(src), index[i], ext + n, nr - n, NULL);
		if (!got) {
			balloon_block_stuck(bz, index[i]);
			*stuck = true;
		}
		n += got;
	}
	adopt_pages(ext, n);
	return n;
}

/**
 * balloon_take_hole - take one free page of a block that is ballooned in part
 * @src: a ballooned base page whose place it is to take: a page of the same
 *	zone, not of the same block
 * @fuller: only of a block that holds more than @src's
 *
 * Context: process context; does not reclaim.
 * Return: the page, to be passed to balloon_page_arrives() with another reference, or to
 * balloon_put_page(); NULL if there is none in some of the fullest blocks.
 */
struct page *balloon_take_hole(struct page *src, bool fuller)
{
	struct balloon_extent ext;
	bool stuck;

	return take_holes_for(src, fuller, &ext, 1, &stuck) ? keep_place_nowait(&ext) : NULL;
}

/* How often others get their turn. */
#define HOLE_TURNS	64

/**
 * balloon_take_holes - take free pages of blocks that hold more than a page's
 * @src: a ballooned base page
 * @ext: where to store them
 * @nr: how many at most
 *
 * As balloon_take_pages(), but for pages that leave the balloon in exchange: whether
 * the zone can spare them does not matter.
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

/* Free pages of the block at @pfn if none is in use but by the balloon; zone->lock held. */
static unsigned int take_rest_locked(unsigned long pfn, struct balloon_extent *ext)
{
	unsigned long i, step;
	unsigned int order, n = 0;

	for (i = 0; i < SUPERFRAME_PAGES; i += step) {
		struct page *page = pfn_to_page(pfn + i);

		step = 1;
		if (PageBuddy(page))
			step = 1UL << buddy_order(page);
		else if (!PageOffline(page) || !balloon_numa_page(page))
			return 0;
	}
	for (i = 0; i < SUPERFRAME_PAGES; i += step) {
		struct page *page = pfn_to_page(pfn + i);

		step = 1;
		if (!PageBuddy(page))
			continue;
		order = buddy_order(page);
		step = 1UL << order;
		if (__isolate_free_page(page, order))
			n += carve_locked(page, order, ext + n, SUPERFRAME_PAGES - n);
	}
	return n;
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
 * Return: how many there were, 0 unless the rest of the block is free as a whole and
 * can be spared.
 */
unsigned int balloon_take_rest(struct zone *zone, unsigned long pfn,
			       struct balloon_extent *ext)
{
	unsigned int n = 0;

	spin_lock_irq(&zone->lock);
	if (block_is_spare(zone, pfn, SUPERFRAME_PAGES))
		n = take_rest_locked(pfn, ext);
	spin_unlock_irq(&zone->lock);
	adopt_pages(ext, n);
	return keep_places(ext, n);
}
