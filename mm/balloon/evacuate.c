// SPDX-License-Identifier: GPL-2.0
/*
 * Evacuation: whole blocks out of fragmented memory. Where a node has free
 * memory but no free superframe, what lies in some blocks moves to free pages
 * of the same node elsewhere.
 *
 * Mending: the same for the guest's sake. Superframes are taken where they are
 * free, which is fast, and leaves the guest with what is in use in part. So when
 * targets are met, as many blocks are emptied and left free, while free memory
 * elsewhere has room for what was in them.
 *
 * Blocks are looked at in the order of their page frames, four times over:
 * first those are taken that cost little, where few pages are to be moved, then
 * those that cost more. A pass of the worker looks at each block no more than
 * these four times, over as many slices as it takes; the next pass begins anew.
 * Mending has one look of its own at each block and each cost, however many passes
 * of the worker there are meanwhile. At most BATCH blocks are worked on at once,
 * which is what other allocations can't have meanwhile.
 *
 * alloc_contig_range() is not used: it drains all CPUs for each call, drops
 * clean page cache, and would move the block's ballooned pages out. Here they
 * stay where they are, only the others move, to free memory: nothing is
 * reclaimed for it.
 *
 * Everything here but the estimate runs in the worker.
 */
#include <linux/memory_hotplug.h>
#include <linux/migrate.h>
#include <linux/mm.h>
#include <linux/page-isolation.h>
#include <linux/pagemap.h>
#include <linux/random.h>
#include <linux/sched.h>
#include <linux/swap.h>

#include "../internal.h"
#include "../page_alloc.h"
#include "internal.h"
#include "superframe.h"

#include <trace/events/balloon.h>

/* Blocks isolated at once. */
#define BATCH	16U

/*
 * How many pages may have to be moved for a block. Beyond the last, more than
 * 3 of 4 pages, the gain is not worth it: the guest is close to full.
 */
static const int most_moved[] = {
	SUPERFRAME_PAGES / 8, SUPERFRAME_PAGES / 4, SUPERFRAME_PAGES / 2, SUPERFRAME_PAGES / 4 * 3,
};

/* For the guest's sake, nothing dear is done: the first three. */
#define MEND_LEVELS	3

/* Whether pages that were on their way to an LRU list have come there, in this pass. */
static bool lru_drained;

/* A block that is worked on. */
struct victim {
	struct zone *zone;
	unsigned long pfn;
	/* Pages of it that are ballooned already. */
	unsigned int ballooned;
};

/* Somebody else than we holds it, for how long nobody knows. */
static bool evacuate_pinned(struct folio *folio)
{
	int refs = folio_mapcount(folio) + 1;

	if (folio_mapping(folio))
		refs += folio_nr_pages(folio) + folio_test_private(folio);
	return folio_ref_count(folio) > refs;
}

/* Is the block part of a larger one that is free? Only that one's first page tells. */
static bool in_free_block(unsigned long pfn)
{
	unsigned int order;

	for (order = SUPERFRAME_ORDER + 1; order <= MAX_PAGE_ORDER; order++) {
		struct page *head = pfn_to_page(ALIGN_DOWN(pfn, 1UL << order));

		if (PageBuddy(head) && buddy_order_unsafe(head) == order)
			return true;
	}
	return false;
}

/* Is all of it free? */
static bool is_free_block(unsigned long pfn)
{
	struct page *page = pfn_to_page(pfn);

	return in_free_block(pfn) ||
	       (PageBuddy(page) && buddy_order_unsafe(page) >= SUPERFRAME_ORDER);
}

/*
 * Compaction asks /proc/sys/vm/compact_unevictable_allowed, which is its own: as
 * that is by default. For the guest's sake nobody's locked memory is touched.
 */
static bool evacuate_may_move(struct folio *folio, bool mend)
{
	return !folio_test_unevictable(folio) || (!mend && !IS_ENABLED(CONFIG_PREEMPT_RT));
}

/* Can what @page, which was in use a moment ago, is part of be moved? Its base pages, or -1. */
static int pages_to_move(struct page *page, bool mend)
{
	struct folio *folio = page_folio(page);
	int pages = -1;

	/* Without a reference it may become part of a larger one as we look. */
	if (!folio_try_get(folio))
		return 1;
	if (page_folio(page) != folio)
		pages = 1;
	else if (!folio_test_hugetlb(folio) && evacuate_may_move(folio, mend) &&
		 (page_has_movable_ops(&folio->page) ||
		  (folio_test_lru(folio) && !evacuate_pinned(folio))))
		pages = folio_nr_pages(folio);
	folio_put(folio);
	return pages;
}

/*
 * How many pages have to be moved for the block at @pfn, -1 if more than @most
 * or one that can't be. Nobody is kept from changing it meanwhile: an estimate.
 */
static int cost_of(unsigned long pfn, int most, bool mend, unsigned int *ballooned)
{
	unsigned long i, step;
	int cost = 0, pages;

	*ballooned = 0;
	if (in_free_block(pfn))
		return 0;
	for (i = 0; i < SUPERFRAME_PAGES; i += step) {
		struct page *page = pfn_to_page(pfn + i), *head;

		step = 1;
		if (PageBuddy(page)) {
			step = min(1UL << min(buddy_order_unsafe(page), MAX_PAGE_ORDER),
				   SUPERFRAME_PAGES);
			continue;
		}
		/*
		 * It never is whole again. What failed in the balloon looks as if it were on its
		 * way to the free lists when it has left it.
		 */
		if (PageHWPoison(page))
			return -1;
		if (PageOffline(page)) {
			/* A superframe, or another subsystem's. */
			if (!page_has_movable_ops(page) || !balloon_numa_page(page) ||
			    balloon_is_superframe(page))
				return -1;
			++*ballooned;
			continue;
		}
		/*
		 * Slab, page tables: in use, though newer kernels have no reference to some.
		 * What a slab is linked by may look like a movable page's mapping.
		 */
		head = compound_head(page);
		if (PageSlab(head) || (page_has_type(head) && !page_has_movable_ops(head)))
			return -1;
		/* On its way to the free lists. */
		if (!PageCompound(page) && !page_count(page))
			continue;
		pages = pages_to_move(page, mend);
		if (pages < 0)
			return -1;
		step = min(pages, SUPERFRAME_PAGES);
		cost += step;
		if (cost > most)
			return -1;
	}
	return cost;
}

/*
 * Is the block at @pfn to be tried, given how many pages may have to be moved?
 * To be left free (@mend), it may have no ballooned page, nor be free already.
 */
static bool evacuate_suits(struct zone *zone, unsigned long pfn, int most, bool mend,
			   struct victim *v)
{
	struct page *page = pageblock_pfn_to_page(pfn, pfn + SUPERFRAME_PAGES, zone);
	int cost;

	if (!page)
		return false;
	/* What is isolated becomes movable in the end, all of it. */
	if (!balloon_block_mergeable(page))
		return false;
	*v = (struct victim){ .zone = zone, .pfn = pfn };
	cost = cost_of(pfn, most, mend, &v->ballooned);
	return cost >= 0 &&
	       (mend ? cost && !v->ballooned : v->ballooned < SUPERFRAME_PAGES);
}

/* So many blocks of a zone tell how many could be had: whoever reads a file has them looked at. */
#define ESTIMATE_LOOKS	64UL

/**
 * balloon_evacuable - how many blocks of a zone could be made whole
 * @zone: the zone, whose memory is to stay online meanwhile
 *
 * As far as there is free memory for what lies in them, which is not asked here.
 *
 * Context: may sleep.
 * Return: an estimate: some blocks all over the zone speak for the others.
 */
unsigned long balloon_evacuable(struct zone *zone)
{
	unsigned long pfn = ALIGN(zone->zone_start_pfn, SUPERFRAME_PAGES), i;
	unsigned long blocks = zone_end_pfn(zone) > pfn ?
			       (zone_end_pfn(zone) - pfn) / SUPERFRAME_PAGES : 0;
	unsigned long looks = min(blocks, ESTIMATE_LOOKS), found = 0;
	int most = most_moved[ARRAY_SIZE(most_moved) - 1];
	struct victim v;

	if (pageblock_order > SUPERFRAME_ORDER)
		return 0;
	for (i = 0; i < looks; i++) {
		/* Not the same ones each time: who reads in a loop would keep them from moving. */
		unsigned long at = pfn + (blocks * i + get_random_u32_below(blocks)) / looks *
					 SUPERFRAME_PAGES;

		/* What is free already, or in the balloon in part, makes no superframe more. */
		found += evacuate_suits(zone, at, most, false, &v) && !v.ballooned &&
			 !is_free_block(at);
		cond_resched();
	}
	return looks ? DIV_ROUND_UP(found * blocks, looks) : 0;
}

/* Looked at in one go: meanwhile memory can't go offline. */
#define LOOK_MAX	4096
/* So often others may run, and it is asked whether the worker's slice is over. */
#define LOOK_PAUSE	64

/*
 * The zone's blocks from where the last batch ended, up to @nr, which is not 0;
 * for @pages, or, if that is 0, to be left free. None may yet mean that there are
 * some further on, see evacuate_exhausted().
 */
static unsigned int find_victims(struct balloon *b, struct zone *zone, struct balloon_zone *bz,
				 struct victim *v, unsigned int nr, unsigned long pages)
{
	unsigned int levels = pages ? ARRAY_SIZE(most_moved) : MEND_LEVELS;
	unsigned long end = zone_end_pfn(zone), pfn;
	unsigned int n = 0, partial = 0, look = LOOK_MAX;
	bool mend = !pages, over = false;

	while (!n && look && !over && bz->evacuate_level < levels) {
		pfn = max(bz->evacuate_pfn, ALIGN(zone->zone_start_pfn, SUPERFRAME_PAGES));
		for (; pfn + SUPERFRAME_PAGES <= end && n < nr && look;
		     pfn += SUPERFRAME_PAGES, look--) {
			if (look % LOOK_PAUSE == 0) {
				cond_resched();
				over = balloon_slice_over(b);
				/* A slice without a step would have no end. */
				if (over && look < LOOK_MAX)
					break;
			}
			if (!evacuate_suits(zone, pfn, most_moved[bz->evacuate_level], mend,
					    &v[n]))
				continue;
			if (mend) {
				n++;
				continue;
			}
			if (SUPERFRAME_PAGES - v[n].ballooned > pages)
				continue;
			/* One at a time: its pages are many extents. */
			if (v[n].ballooned && partial++)
				break;
			pages -= SUPERFRAME_PAGES - v[n].ballooned;
			n++;
			if (!pages) {
				pfn += SUPERFRAME_PAGES;
				break;
			}
		}
		bz->evacuate_pfn = pfn;
		if (pfn + SUPERFRAME_PAGES > end) {
			bz->evacuate_pfn = 0;
			bz->evacuate_level++;
		}
	}
	return n;
}

/* Has find_victims() been through all of the zone, at all costs? */
static bool evacuate_exhausted(const struct balloon_zone *bz, bool mend)
{
	return bz->evacuate_level >= (mend ? MEND_LEVELS : ARRAY_SIZE(most_moved));
}

/* From the zone's first block on, and what costs least first. */
static void evacuate_rewind(struct balloon_zone *bz, bool mend)
{
	bz->evacuate_pfn = 0;
	bz->evacuate_level = 0;
	bz->mending = mend;
}

/* The zones in which a folio's contents may lie, and whether they are movable there. */
static gfp_t evacuate_zone_gfp(struct folio *src)
{
	enum zone_type zidx = folio_zonenum(src);
	gfp_t gfp = __GFP_HIGHMEM | __GFP_MOVABLE;
	struct address_space *mapping;

	if (!folio_test_anon(src) && !page_has_movable_ops(&src->page) &&
	    !folio_test_swapcache(src)) {
		/* The lock keeps the mapping. Without it: what any mapping can do with. */
		gfp = zidx < ZONE_NORMAL ? __GFP_DMA32 : 0;
		if (folio_trylock(src)) {
			mapping = folio_mapping(src);
			if (mapping)
				gfp = mapping_gfp_mask(mapping) & GFP_ZONEMASK;
			folio_unlock(src);
		}
	}
	/* As alloc_migration_target(): what lies in low memory may be needed there. */
	if (!is_highmem_idx(zidx) && zidx != ZONE_MOVABLE)
		gfp &= ~__GFP_HIGHMEM;
	return gfp;
}

/*
 * Free memory of the same node, and no effort to get it. What was not allocated as
 * movable goes neither to CMA nor to a zone of movable pages.
 */
static struct folio *evacuate_alloc(struct folio *src, int nid)
{
	gfp_t gfp = (GFP_USER & ~__GFP_RECLAIM) | evacuate_zone_gfp(src) | __GFP_THISNODE |
		    __GFP_NOWARN | __GFP_NOMEMALLOC;

	if (folio_test_large(src))
		gfp |= __GFP_COMP;
	return __folio_alloc(gfp, folio_order(src), nid, NULL);
}

/* Where pages are to go. */
struct destination {
	int nid;
	/* For large folios, in advance. */
	struct list_head large;
};

static struct folio *evacuate_new_folio(struct folio *src, unsigned long private)
{
	struct destination *d = (struct destination *)private;
	struct folio *dst;

	if (!folio_test_large(src))
		return evacuate_alloc(src, d->nid);
	list_for_each_entry(dst, &d->large, lru) {
		if (folio_order(dst) == folio_order(src)) {
			list_del(&dst->lru);
			return dst;
		}
	}
	return NULL;
}

/* A large one is there for the next; migration gives it back as it was. */
static void evacuate_put_folio(struct folio *dst, unsigned long private)
{
	struct destination *d = (struct destination *)private;

	if (folio_test_large(dst))
		list_add(&dst->lru, &d->large);
	else
		folio_put(dst);
}

/*
 * What is whole stays whole: migration would split a large folio for which there is no
 * free memory, so there is some before it is begun.
 */
static bool evacuate_has_room(struct folio *src, struct destination *d)
{
	struct folio *dst;

	if (!folio_test_large(src))
		return true;
	dst = evacuate_alloc(src, d->nid);
	if (!dst)
		return false;
	list_add(&dst->lru, &d->large);
	return true;
}

/*
 * Move what can be moved of an isolated block, but for ballooned pages. Nothing is waited
 * for: blocks are isolated meanwhile, and memory can't go offline.
 */
static void evacuate_block(const struct victim *v, bool mend)
{
	struct destination d = { .nid = zone_to_nid(v->zone) };
	struct folio *dst, *next;
	unsigned long i, step;
	LIST_HEAD(source);

	INIT_LIST_HEAD(&d.large);
	for (i = 0; i < SUPERFRAME_PAGES; i += step) {
		struct page *page = pfn_to_page(v->pfn + i);
		struct folio *folio;

		step = 1;
		if (PageBuddy(page)) {
			step = 1UL << min(buddy_order_unsafe(page), MAX_PAGE_ORDER);
			continue;
		}
		if (PageOffline(page))
			continue;
		folio = page_folio(page);
		if (!folio_try_get(folio))
			continue;
		if (page_folio(page) == folio && !folio_test_hugetlb(folio) &&
		    evacuate_may_move(folio, mend)) {
			step = folio_nr_pages(folio) - folio_page_idx(folio, page);
			if (!evacuate_has_room(folio, &d)) {
				folio_put(folio);
				break;
			}
			isolate_folio_to_list(folio, &source);
		}
		folio_put(folio);
	}
	/* With one page left it is not had: nothing is moved for that. */
	if (i >= SUPERFRAME_PAGES && !list_empty(&source))
		migrate_pages(&source, evacuate_new_folio, evacuate_put_folio, (unsigned long)&d,
			      MIGRATE_ASYNC, MR_COMPACTION, NULL);
	putback_movable_pages(&source);
	list_for_each_entry_safe(dst, next, &d.large, lru)
		folio_put(dst);
}

/**
 * balloon_evacuate_anew - begin again with the blocks that cost least
 *
 * For inflation. Mending goes on where it is, unless inflation comes to its zone.
 *
 * Context: the worker, at the beginning of a pass.
 */
void balloon_evacuate_anew(void)
{
	struct balloon_node *bn;
	int nid, z;

	lru_drained = false;
	for_each_balloon_node(bn, nid)
		for (z = 0; z < MAX_NR_ZONES; z++)
			if (!bn->zones[z].mending)
				evacuate_rewind(&bn->zones[z], false);
}

/* Blocks whose free pages the zone can do without. */
static unsigned int evacuate_budget(struct zone *zone)
{
	return min(balloon_zone_spare(zone) / SUPERFRAME_PAGES, BATCH);
}

/* Keep others from allocating in the @nr blocks. Returns in how many that could be done. */
static unsigned int isolate_victims(struct victim *v, unsigned int nr)
{
	unsigned int i, n = 0;

	for (i = 0; i < nr; i++) {
		if (!start_isolate_page_range(v[i].pfn, v[i].pfn + SUPERFRAME_PAGES,
					      PB_ISOLATE_MODE_OTHER))
			v[n++] = v[i];
	}
	/* What was freed before and waits on a list of some CPU. */
	if (n)
		drain_all_pages(v->zone);
	return n;
}

static void unisolate_victim(const struct victim *v)
{
	undo_isolate_page_range(v->pfn, v->pfn + SUPERFRAME_PAGES);
}

/* The next look begins with the block at @pfn, which the last one has found. */
static void evacuate_go_back(struct balloon_zone *bz, unsigned long pfn)
{
	/* With that one it was through. */
	if (!bz->evacuate_pfn)
		bz->evacuate_level--;
	bz->evacuate_pfn = pfn;
}

/*
 * One batch of up to @most blocks of a zone. Returns whether there are more to try; says in
 * *@undrained that it did nothing because LRU lists are to be drained first.
 */
static bool evacuate_zone(struct balloon *b, struct zone *zone, struct balloon_zone *bz,
			  unsigned int most, unsigned long pages, struct balloon_extent *ext,
			  unsigned int *nr_superframes, unsigned int *nr_pages, bool *undrained)
{
	unsigned int nr, i, isolated, n = 0;
	struct victim v[BATCH];

	nr = find_victims(b, zone, bz, v, most, pages);
	if (nr && !lru_drained) {
		evacuate_go_back(bz, v->pfn);
		*undrained = true;
		return true;
	}
	isolated = isolate_victims(v, nr);
	for (i = 0; i < isolated; i++) {
		evacuate_block(&v[i], false);
		if (!v[i].ballooned && balloon_take_superframe_at(zone, v[i].pfn, &ext[n]))
			n++;
	}
	for (i = 0; i < isolated; i++) {
		if (v[i].ballooned)
			*nr_pages += balloon_take_rest(zone, v[i].pfn, ext + n);
		unisolate_victim(&v[i]);
	}
	*nr_superframes = n;
	if (nr)
		trace_balloon_evacuate(zone_to_nid(zone), nr, n + !!*nr_pages);
	return nr || !evacuate_exhausted(bz, false);
}

/**
 * balloon_evacuate - make whole blocks of a node free, and take them
 * @b: the balloon
 * @nid: the node
 * @pages: base pages wanted
 * @ext: where to store what was taken, BALLOON_BATCH_PAGES at least
 * @nr_superframes: where to store how many superframes that is, all of one zone;
 *	each is to be passed to balloon_queue_superframe(), and those to
 *	balloon_not_owed(), or to balloon_put_superframe()
 * @nr_pages: where to store how many base pages follow them, the rest of a
 *	block that was ballooned in part; each is to be passed to
 *	balloon_queue_page() or balloon_put_page()
 *
 * One batch; it may come to nothing though another one would not, and where the
 * worker's slice is over.
 *
 * Context: the worker; may sleep and allocate.
 * Return: false where no block is left to be tried before
 * balloon_evacuate_anew(), or no memory to move pages to.
 */
bool balloon_evacuate(struct balloon *b, int nid, unsigned long pages,
		      struct balloon_extent *ext, unsigned int *nr_superframes,
		      unsigned int *nr_pages)
{
	struct zone *zones = NODE_DATA(nid)->node_zones;
	struct balloon_zone *bz = balloon_nodes[nid]->zones;
	bool tried = false, undrained = false;
	unsigned int most;
	int z;

	*nr_superframes = 0;
	*nr_pages = 0;
	/* Only whole pageblocks can be isolated. */
	if (pageblock_order > SUPERFRAME_ORDER)
		return false;

	/* What is scanned stays there. */
	get_online_mems();
	for (z = MAX_NR_ZONES - 1; z >= 0 && !tried; z--) {
		most = evacuate_budget(&zones[z]);
		if (!most)
			continue;
		/* Both would skip what the other has seen. */
		if (bz[z].mending)
			evacuate_rewind(&bz[z], false);
		if (evacuate_exhausted(&bz[z], false))
			continue;
		tried = evacuate_zone(b, &zones[z], &bz[z], most, pages, ext, nr_superframes,
				      nr_pages, &undrained);
	}
	if (*nr_superframes) {
		/* Readers of /proc/kcore must be out of pages that the host takes. */
		page_offline_begin();
		balloon_set_offline(ext, *nr_superframes);
		page_offline_end();
	}
	put_online_mems();
	/*
	 * A page on its way to an LRU list looks like one that can't be moved. Once a pass, and
	 * only if there is something to be moved: every CPU is disturbed. Not with memory kept
	 * online: one that is busy with a real-time task may take for ever.
	 */
	if (undrained) {
		lru_add_drain_all();
		lru_drained = true;
	}
	return tried;
}

/* Free pages of the zone that are in whole blocks, and that are not. */
static void count_free(struct zone *zone, unsigned long *whole, unsigned long *rest)
{
	unsigned int order;

	*whole = 0;
	*rest = 0;
	for (order = 0; order <= MAX_PAGE_ORDER; order++) {
		unsigned long pages = READ_ONCE(zone->free_area[order].nr_free) << order;

		*(order < SUPERFRAME_ORDER ? rest : whole) += pages;
	}
}

/*
 * One batch of a zone, unless the slice is over before one is found. What becomes of
 * it is the zone's @owed: 0 is the end.
 */
static void mend_zone(struct balloon *b, struct zone *zone, struct balloon_zone *bz)
{
	unsigned long before, after, rest, gained = 0;
	unsigned int nr, isolated, i;
	struct victim v[BATCH];

	count_free(zone, &before, &rest);
	/* Nothing is gained where whole blocks have to take what is moved. */
	nr = min3((unsigned long)evacuate_budget(zone), rest / SUPERFRAME_PAGES,
		  READ_ONCE(bz->owed));
	if (nr) {
		nr = find_victims(b, zone, bz, v, nr, 0);
		if (!nr && !evacuate_exhausted(bz, true))
			return;
	}
	isolated = isolate_victims(v, nr);
	for (i = 0; i < isolated; i++)
		evacuate_block(&v[i], true);
	/* What was moved is free when no CPU has it on a list of its own. */
	if (isolated)
		drain_all_pages(zone);
	for (i = 0; i < isolated; i++)
		unisolate_victim(&v[i]);

	if (nr) {
		count_free(zone, &after, &rest);
		gained = (after - min(after, before)) / SUPERFRAME_PAGES;
		trace_balloon_mend(zone_to_nid(zone), nr, gained);
	}
	/*
	 * Others allocate, too: a batch without gain is the end, so that it has one,
	 * and so is the last block.
	 */
	if (evacuate_exhausted(bz, true))
		gained = 0;
	spin_lock_irq(&bz->lock);
	bz->owed = gained ? bz->owed - min(bz->owed, gained) : 0;
	spin_unlock_irq(&bz->lock);
}

/* Returns whether there is more to do in the zone. */
static bool mend_zone_on(struct balloon *b, struct zone *zone, struct balloon_zone *bz)
{
	/* It goes on where it was, over slices and passes. */
	if (!bz->mending)
		evacuate_rewind(bz, true);
	mend_zone(b, zone, bz);
	if (READ_ONCE(bz->owed))
		return true;
	evacuate_rewind(bz, false);
	return false;
}

/**
 * balloon_mend - make whole blocks free in place of those that the balloon took
 * @b: the balloon
 *
 * One batch of each zone. At most as many blocks as the balloon has taken since,
 * and only while free memory in other blocks that are in use in part has room for
 * what is moved. What is not gained in one look at a zone's blocks, at each cost, is
 * forgotten.
 *
 * Context: the worker, when targets are met; may sleep and allocate.
 * Return: whether there is more to do, now or, where the slice is over, later.
 */
bool balloon_mend(struct balloon *b)
{
	struct balloon_node *bn;
	bool more = false;
	struct zone *zone;
	int nid, z;

	if (pageblock_order > SUPERFRAME_ORDER)
		return false;
	for_each_balloon_node(bn, nid) {
		for (z = MAX_NR_ZONES - 1; z >= 0; z--) {
			if (!READ_ONCE(bn->zones[z].owed))
				continue;
			if (balloon_slice_over(b))
				return true;
			zone = &NODE_DATA(nid)->node_zones[z];
			/* What is scanned stays there. */
			get_online_mems();
			if (managed_zone(zone))
				more |= mend_zone_on(b, zone, &bn->zones[z]);
			put_online_mems();
		}
	}
	return more;
}
