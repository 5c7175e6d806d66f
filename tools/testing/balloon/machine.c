// SPDX-License-Identifier: GPL-2.0
/*
 * The machine's memory: nodes and zones, a buddy allocator as mm/page_alloc.c has it as
 * far as the balloon can see, and struct pages that are checked.
 */
#include "machine.h"

struct page *mem_map;
unsigned long mem_map_pages;
unsigned long max_pfn_value;
unsigned long totalram;
struct pglist_data *node_data[MAX_NUMNODES];
nodemask_t node_states[NR_NODE_STATES];
unsigned int nr_node_ids;
struct zonelist *zonelists[MAX_NUMNODES];
unsigned long vm_events[NR_VM_EVENT_ITEMS];
bool init_on_free, page_poisoning;
bool pcp_lists;
bool guest_took, spare_exempt, spare_reclaimed;
struct frame *frame;
struct notifier_block *memory_notifier, *node_notifier;

static unsigned char *block_type;
static unsigned short distances[MACHINE_NODES][MACHINE_NODES];
static int this_node;

int node_distance(int from, int to)
{
	return distances[from][to];
}

int numa_mem_id(void)
{
	return this_node;
}

enum migratetype get_pageblock_migratetype(const struct page *page)
{
	return block_type[page_to_pfn(page) >> pageblock_order];
}

struct page *pfn_to_online_page(unsigned long pfn)
{
	return pfn_valid(pfn) && mem_map[pfn].online ? &mem_map[pfn] : NULL;
}

struct page *pageblock_pfn_to_page(unsigned long start, unsigned long end, struct zone *zone)
{
	struct page *a = pfn_to_online_page(start), *b = pfn_to_online_page(end - 1);

	return a && b && page_zone(a) == zone && page_zone(b) == zone ? a : NULL;
}

struct zone *next_zone(struct zone *zone)
{
	int nid = zone ? zone_to_nid(zone) : 0, z = zone ? zone_idx(zone) + 1 : 0;

	for (; nid < (int)nr_node_ids; nid++, z = 0)
		for (; z < MAX_NR_ZONES; z++)
			if (node_data[nid])
				return &node_data[nid]->node_zones[z];
	return NULL;
}

struct zone *first_zone(void)
{
	return next_zone(NULL);
}

/* Counters */

static void zone_state_add(struct zone *zone, enum zone_stat_item item, long n)
{
	atomic_long_add(n, &zone->vm_stat[item]);
	if (atomic_long_read(&zone->vm_stat[item]) < 0)
		fail("zone counter %d below 0", item);
}

static void account_free(struct zone *zone, long pages, int mt)
{
	if (mt == MIGRATE_ISOLATE)
		return;
	zone_state_add(zone, NR_FREE_PAGES, pages);
	if (mt == MIGRATE_CMA)
		zone_state_add(zone, NR_FREE_CMA_PAGES, pages);
	if (mt == MIGRATE_HIGHATOMIC)
		zone->nr_free_highatomic += pages;
}

unsigned long global_zone_page_state(enum zone_stat_item item)
{
	unsigned long sum = 0;
	struct zone *zone;

	for (zone = first_zone(); zone; zone = next_zone(zone))
		sum += zone_page_state(zone, item);
	return sum;
}

unsigned long global_node_page_state(enum node_stat_item item)
{
	unsigned long sum = 0;
	unsigned int nid;

	for (nid = 0; nid < nr_node_ids; nid++)
		if (node_data[nid])
			sum += node_page_state(node_data[nid], item);
	return sum;
}

void mod_node_page_state(struct pglist_data *pgdat, enum node_stat_item item, long n)
{
	atomic_long_add(n, &pgdat->vm_stat[item]);
	if (atomic_long_read(&pgdat->vm_stat[item]) < 0)
		fail("node counter %d below 0", item);
}

void adjust_managed_page_count(struct page *page, long count)
{
	struct zone *zone = page_zone(page);

	atomic_long_add(count, &zone->managed_pages);
	totalram += count;
	if (atomic_long_read(&zone->managed_pages) < 0)
		fail("managed pages below 0");
}

long si_mem_available(void)
{
	return global_zone_page_state(NR_FREE_PAGES);
}

bool zone_watermark_ok(struct zone *z, unsigned int order, unsigned long mark,
		       int highest_zoneidx, unsigned int alloc_flags)
{
	long free = zone_page_state(z, NR_FREE_PAGES) - ((1 << order) - 1), min = mark;
	unsigned int o;
	int mt;

	if (!(alloc_flags & ALLOC_RESERVES))
		free -= z->nr_free_highatomic;
	if (!(alloc_flags & ALLOC_CMA))
		free -= zone_page_state(z, NR_FREE_CMA_PAGES);
	if (alloc_flags & ALLOC_MIN_RESERVE)
		min -= min / 2;
	if (free <= min + z->lowmem_reserve[highest_zoneidx])
		return false;
	if (!order)
		return true;
	for (o = order; o <= MAX_PAGE_ORDER; o++)
		for (mt = 0; mt < MIGRATE_PCPTYPES; mt++)
			if (!list_empty(&z->free_area[o].free_list[mt]))
				return true;
	return false;
}

/* Allocation tags: none, one that is counted, or one that says that nothing is. */
enum { TAG_NONE, TAG_COUNTED, TAG_EMPTY };
static typeof(*((struct alloc_tag *)NULL)->counters) tag_counters;
static struct alloc_tag the_tag = { .counters = &tag_counters };

static void pgalloc_tag_add(struct page *page, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		if (page[i].tags == TAG_COUNTED)
			fail("pfn %lu is tagged twice", page_to_pfn(page) + i);
		page[i].tags = TAG_COUNTED;
		tag_counters.bytes += PAGE_SIZE;
		tag_counters.calls++;
	}
}

static void pgalloc_tag_sub(struct page *page, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		if (page[i].tags == TAG_NONE)
			fail("pfn %lu was not tagged", page_to_pfn(page) + i);
		if (page[i].tags == TAG_COUNTED) {
			tag_counters.bytes -= PAGE_SIZE;
			tag_counters.calls--;
		}
		page[i].tags = TAG_NONE;
	}
}

/* As the oldest kernel has it, it must not be asked of one where nothing is counted. */
struct alloc_tag *pgalloc_tag_get(struct page *page)
{
	if (page->tags != TAG_COUNTED)
		fail("pgalloc_tag_get(%lu) of %d", page_to_pfn(page), page->tags);
	return &the_tag;
}

void clear_page_tag_ref(struct page *page)
{
	page->tags = TAG_EMPTY;
}

/* Free lists */

static void add_free(struct page *page, struct zone *zone, unsigned int order, int mt, bool tail)
{
	struct list_head *list = &zone->free_area[order].free_list[mt];

	if (tail)
		list_add_tail(&page->buddy_list, list);
	else
		list_add(&page->buddy_list, list);
	zone->free_area[order].nr_free++;
	set_page_type(page, PGTY_none, PGTY_buddy);
	page->private = order;
	account_free(zone, 1L << order, mt);
}

static void del_free(struct page *page, struct zone *zone, unsigned int order, int mt)
{
	list_del(&page->buddy_list);
	zone->free_area[order].nr_free--;
	set_page_type(page, PGTY_buddy, PGTY_none);
	page->private = 0;
	account_free(zone, -(1L << order), mt);
}

static void free_one(struct page *page, struct zone *zone, unsigned int order, bool tail)
{
	unsigned long pfn = page_to_pfn(page), buddy_pfn, i;
	int mt = get_pageblock_migratetype(page), buddy_mt;
	struct page *buddy;

	if (pfn & ((1UL << order) - 1))
		fail("pfn %lu of order %u is freed", pfn, order);
	for (i = 0; i < 1UL << order; i++) {
		struct page *p = page + i;

		if (page_count(p) || p->page_type != PGTY_none ||
		    p->flags & PAGE_FLAGS_CHECK_AT_PREP || p->mapping || p->owned || p->mapped ||
		    p->tags == TAG_COUNTED || p->private || !p->online || page_zone(p) != zone)
			fail("pfn %lu is freed: count %d type %x flags %lx mapping %p owned %d mapped %d tags %d online %d",
			     pfn + i, page_count(p), p->page_type, p->flags, (void *)p->mapping,
			     p->owned, p->mapped, p->tags, p->online);
		if (frame[pfn + i].host)
			fail("pfn %lu is freed, but the host has it", pfn + i);
		if (frame[pfn + i].use != FRAME_FREE)
			fail("pfn %lu is freed, but is in use (%d)", pfn + i, frame[pfn + i].use);
	}
	while (order < MAX_PAGE_ORDER) {
		buddy_pfn = pfn ^ (1UL << order);
		buddy = pfn_to_online_page(buddy_pfn);
		if (!buddy || !PageBuddy(buddy) || buddy_order(buddy) != order ||
		    page_zone(buddy) != zone)
			break;
		buddy_mt = get_pageblock_migratetype(buddy);
		if (order >= pageblock_order && mt != buddy_mt &&
		    (!migratetype_is_mergeable(mt) || !migratetype_is_mergeable(buddy_mt)))
			break;
		del_free(buddy, zone, order, buddy_mt);
		/* Who takes it apart finds all of it of one type. */
		for (i = 0; mt != buddy_mt && i < 1UL << order; i += pageblock_nr_pages)
			block_type[(buddy_pfn + i) >> pageblock_order] = mt;
		pfn &= ~(1UL << order);
		page = &mem_map[pfn];
		order++;
	}
	add_free(page, zone, order, get_pageblock_migratetype(page), tail);
}

int __isolate_free_page(struct page *page, unsigned int order)
{
	struct zone *zone = page_zone(page);
	int mt = get_pageblock_migratetype(page);
	unsigned long i;

	lockdep_assert_held(&zone->lock);
	if (!PageBuddy(page) || buddy_order(page) != order)
		fail("__isolate_free_page(%lu, %u): it is not free", page_to_pfn(page), order);
	if (mt != MIGRATE_ISOLATE &&
	    !zone_watermark_ok(zone, 0, zone->_watermark[WMARK_MIN] + (1UL << order), 0, ALLOC_CMA))
		return 0;
	del_free(page, zone, order, mt);
	if (order >= pageblock_order)
		for (i = 0; i < 1UL << order; i += pageblock_nr_pages)
			if (migratetype_is_mergeable(get_pageblock_migratetype(page + i)))
				block_type[(page_to_pfn(page) + i) >> pageblock_order] =
					MIGRATE_MOVABLE;
	return 1 << order;
}

void __putback_isolated_page(struct page *page, unsigned int order, int mt)
{
	struct zone *zone = page_zone(page);

	lockdep_assert_held(&zone->lock);
	if (mt != get_pageblock_migratetype(page))
		fail("putback with migratetype %d", mt);
	free_one(page, zone, order, true);
}

/* The first part of a free page is taken, the others stay free. */
static void page_del_and_expand(struct zone *zone, struct page *page, unsigned int low,
				unsigned int high, int mt)
{
	lockdep_assert_held(&zone->lock);
	if (!PageBuddy(page) || buddy_order(page) != high || get_pageblock_migratetype(page) != mt)
		fail("page_del_and_expand(%lu, %u): it is not free", page_to_pfn(page), high);
	del_free(page, zone, high, mt);
	while (high-- > low)
		add_free(page + (1UL << high), zone, high, mt, false);
}

/* Of mm/page_alloc.c. */
#include "isolate.h"

/* Change a pageblock's type, and move its free pages to other lists. */
void pageblock_set_type(unsigned long pfn, int mt)
{
	unsigned long start = pageblock_start_pfn(pfn), end = start + pageblock_nr_pages, i;
	struct page *head;
	unsigned int order;

	/* A free page that is larger is taken apart. */
	for (order = pageblock_order + 1; order <= MAX_PAGE_ORDER; order++) {
		head = &mem_map[ALIGN_DOWN(start, 1UL << order)];
		if (!PageBuddy(head) || buddy_order(head) != order)
			continue;
		del_free(head, page_zone(head), order, get_pageblock_migratetype(head));
		block_type[start >> pageblock_order] = mt;
		for (i = 0; i < 1UL << order; i += pageblock_nr_pages)
			free_one(head + i, page_zone(head), pageblock_order, true);
		return;
	}
	for (i = start; i < end; i += 1UL << order) {
		order = 0;
		if (!pfn_to_online_page(i) || !PageBuddy(&mem_map[i]))
			continue;
		order = buddy_order(&mem_map[i]);
		/* Another zone's part of the block has lists of its own. */
		del_free(&mem_map[i], page_zone(&mem_map[i]), order,
			 block_type[start >> pageblock_order]);
		mem_map[i].private = order | 1UL << 32;
	}
	block_type[start >> pageblock_order] = mt;
	for (i = start; i < end; i += 1UL << order) {
		order = 0;
		if (!pfn_to_online_page(i) || !(mem_map[i].private >> 32 == 1) ||
		    mem_map[i].page_type != PGTY_none || page_count(&mem_map[i]))
			continue;
		order = (unsigned int)mem_map[i].private;
		mem_map[i].private = 0;
		free_one(&mem_map[i], page_zone(&mem_map[i]), order, true);
	}
}

/* Per-cpu lists */

static void drain_pcp(struct zone *zone)
{
	while (!list_empty(&zone->pcp)) {
		struct page *page = list_first_entry(&zone->pcp, struct page, pcp_list);

		list_del(&page->pcp_list);
		zone->pcp_count--;
		free_one(page, zone, 0, false);
	}
}

void drain_all_pages(struct zone *zone)
{
	unsigned long flags;
	struct zone *z;

	might_sleep();
	for (z = first_zone(); z; z = next_zone(z)) {
		if (zone && z != zone)
			continue;
		spin_lock_irqsave(&z->lock, flags);
		drain_pcp(z);
		spin_unlock_irqrestore(&z->lock, flags);
	}
}

/*
 * What free_pages_prepare() does: who has been movable is not so any more. Returns false if
 * the page is kept out, as it is.
 */
static bool free_prepare(struct page *page, unsigned int order)
{
	unsigned long i, pfn = page_to_pfn(page);

	if (page->owned)
		reset_page_owner(page, order);
	pgalloc_tag_sub(page, 1UL << order);
	if (PageOffline(page))
		page->page_type = PGTY_none;
	if (!order && PageHWPoison(page)) {
		/* Its mapping in the direct map stays. */
		frame[pfn].use = FRAME_POISONED;
		return false;
	}
	if (PageLocked(page))
		fail("pfn %lu is freed, and locked", pfn);
	for (i = 0; i < 1UL << order; i++) {
		if (i && (page[i].page_type != PGTY_none || page[i].private))
			fail("pfn %lu is freed in an order %u: type %x private %lx", pfn + i,
			     order, page[i].page_type, page[i].private);
		page[i].flags &= ~PAGE_FLAGS_CHECK_AT_PREP;
		if (order && PageHWPoison(page + i))
			fail("a poisoned page is freed as part of an order %u", order);
	}
	page->private = 0;
	for (i = 0; i < 1UL << order; i++)
		if (!page[i].mapped)
			fail("pfn %lu is freed without being mapped", pfn + i);
	debug_pagealloc_unmap_pages(page, 1 << order);
	return true;
}

static void free_prepared(struct page *page, unsigned int order)
{
	struct zone *zone = page_zone(page);
	unsigned long flags;

	spin_lock_irqsave(&zone->lock, flags);
	if (!order && pcp_lists && migratetype_is_mergeable(get_pageblock_migratetype(page))) {
		if (page_count(page) || page->page_type || page->owned || page->mapped ||
		    page->tags == TAG_COUNTED || page->mapping || frame[page_to_pfn(page)].host ||
		    frame[page_to_pfn(page)].use != FRAME_FREE ||
		    page->flags & PAGE_FLAGS_CHECK_AT_PREP)
			fail("pfn %lu is freed: count %d type %x host %d mapping %p use %d",
			     page_to_pfn(page), page_count(page), page->page_type,
			     frame[page_to_pfn(page)].host, (void *)page->mapping,
			     frame[page_to_pfn(page)].use);
		list_add(&page->pcp_list, &zone->pcp);
		if (++zone->pcp_count > 8)
			drain_pcp(zone);
	} else if (order > pageblock_order) {
		unsigned long i;

		/* Its blocks may have become different ones meanwhile. */
		for (i = 0; i < 1UL << order; i += pageblock_nr_pages)
			free_one(page + i, zone, pageblock_order, false);
	} else {
		free_one(page, zone, order, false);
	}
	spin_unlock_irqrestore(&zone->lock, flags);
}

static void free_unref(struct page *page, unsigned int order)
{
	if (free_prepare(page, order))
		free_prepared(page, order);
}

void __free_page_order(struct page *page, unsigned int order)
{
	if (put_page_testzero(page)) {
		free_unref(page, order);
		return;
	}
	/* Whoever has the last reference frees the head, and this the rest. */
	while (order-- > 0)
		free_unref(page + (1UL << order), order);
}

void put_page(struct page *page)
{
	if (put_page_testzero(page))
		free_unref(page, 0);
}

/* References and locks */

/* Others' references and page locks, for a moment. */
static struct page *transient[16];
static bool transient_is_lock[16], transient_movable[16];
static unsigned int nr_transient;

void transient_lock(struct page *page)
{
	if (nr_transient < ARRAY_SIZE(transient) && get_page_unless_zero(page)) {
		if (!trylock_page(page)) {
			put_page(page);
			return;
		}
		transient_is_lock[nr_transient] = true;
		transient_movable[nr_transient] = page_has_movable_ops(page);
		transient[nr_transient++] = page;
	}
}

void transient_get(struct page *page)
{
	if (nr_transient < ARRAY_SIZE(transient) && get_page_unless_zero(page)) {
		transient_is_lock[nr_transient] = false;
		transient_movable[nr_transient] = page_has_movable_ops(page);
		transient[nr_transient++] = page;
	}
}

static void transient_end_at(unsigned int i)
{
	struct page *page = transient[i];
	bool lock = transient_is_lock[i];

	if (transient_movable[i] && !page_has_movable_ops(page))
		fail("pfn %lu was movable, and is not any more: who has a reference counts on it",
		     page_to_pfn(page));
	transient[i] = transient[--nr_transient];
	transient_is_lock[i] = transient_is_lock[nr_transient];
	transient_movable[i] = transient_movable[nr_transient];
	if (lock)
		unlock_page(page);
	put_page(page);
}

void transient_end(void)
{
	while (nr_transient)
		transient_end_at(0);
}

unsigned int transient_refs(struct page *page)
{
	unsigned int i, n = 0;

	for (i = 0; i < nr_transient; i++)
		n += transient[i] == page;
	return n;
}

bool page_is_transient(struct page *page)
{
	unsigned int i;

	for (i = 0; i < nr_transient; i++)
		if (transient[i] == page)
			return true;
	return false;
}

void set_page_refcounted(struct page *page)
{
	if (page_count(page))
		fail("set_page_refcounted(%lu) of a page with %d", page_to_pfn(page),
		     page_count(page));
	set_page_count(page, 1);
}

void get_page(struct page *page)
{
	if (page_count(page) <= 0)
		fail("get_page(%lu) without a reference", page_to_pfn(page));
	atomic_inc(&page->_refcount);
}

bool get_page_unless_zero(struct page *page)
{
	if (page_count(page) <= 0)
		return false;
	atomic_inc(&page->_refcount);
	return true;
}

bool put_page_testzero(struct page *page)
{
	if (page_count(page) <= 0)
		fail("put_page(%lu) without a reference", page_to_pfn(page));
	return atomic_dec_and_test(&page->_refcount);
}

int page_ref_freeze(struct page *page, int count)
{
	return atomic_cmpxchg(&page->_refcount, count, 0) == count;
}

void page_ref_unfreeze(struct page *page, int count)
{
	if (page_count(page))
		fail("page_ref_unfreeze(%lu)", page_to_pfn(page));
	set_page_count(page, count);
}

bool trylock_page(struct page *page)
{
	return !__test_and_set_bit(PG_locked, &page->flags);
}

void lock_page_at(struct page *page, const char *file, int line)
{
	unsigned int i;

	might_sleep_at("lock_page()", file, line);
	/* Who looks at it for a moment is waited for. */
	for (i = 0; i < nr_transient; i++)
		if (transient[i] == page && transient_is_lock[i]) {
			transient_end_at(i);
			break;
		}
	if (!trylock_page(page))
		fail("deadlock: %s:%d waits for the lock of pfn %lu", file, line,
		     page_to_pfn(page));
}

void unlock_page(struct page *page)
{
	if (!__test_and_clear_bit(PG_locked, &page->flags))
		fail("unlock_page(%lu): it is not locked", page_to_pfn(page));
}

void set_page_type(struct page *page, unsigned int from, unsigned int to)
{
	if (page->page_type != from)
		fail("pfn %lu has type %x, not %x", page_to_pfn(page), page->page_type, from);
	page->page_type = to;
}

/* Who isolates it looks twice: whose it is, and then where it is. */
void set_page_private(struct page *page, unsigned long private)
{
	if (page_has_movable_ops(page) && page_count(page) && !page->private && private)
		fail("pfn %lu had left, and is the balloon's again", page_to_pfn(page));
	page->private = private;
}

void __ClearPageOffline(struct page *page)
{
	if (page_has_movable_ops(page) && page_count(page))
		fail("pfn %lu is movable, has %d references, and its type is cleared",
		     page_to_pfn(page), page_count(page));
	set_page_type(page, PGTY_offline, PGTY_none);
}

/* Debugging aids */

void set_page_owner(struct page *page, unsigned int order, gfp_t gfp)
{
	unsigned long i;

	for (i = 0; i < 1UL << order; i++) {
		if (page[i].owned)
			fail("pfn %lu is owned already", page_to_pfn(page) + i);
		page[i].owned = true;
		page[i].owned_order = order;
	}
}

void reset_page_owner(struct page *page, unsigned int order)
{
	unsigned long i;

	for (i = 0; i < 1UL << order; i++) {
		if (!page[i].owned)
			fail("pfn %lu is not owned", page_to_pfn(page) + i);
		page[i].owned = false;
	}
}

void debug_pagealloc_map_pages(struct page *page, int n)
{
	int i;

	for (i = 0; i < n; i++) {
		if (page[i].mapped)
			fail("pfn %lu is mapped already", page_to_pfn(page) + i);
		page[i].mapped = true;
	}
}

void debug_pagealloc_unmap_pages(struct page *page, int n)
{
	int i;

	for (i = 0; i < n; i++) {
		if (!page[i].mapped)
			fail("pfn %lu is not mapped", page_to_pfn(page) + i);
		page[i].mapped = false;
	}
}

static bool offline_locked;

void page_offline_lock(bool begin)
{
	might_sleep();
	preempted("page_offline");
	if (offline_locked == begin)
		fail("page_offline_%s()", begin ? "begin" : "end");
	offline_locked = begin;
}

/* zone->lock: what is taken under it leaves what has to be left. */

static struct zone *zone_of_lock(spinlock_t *lock)
{
	return container_of(lock, struct zone, lock);
}

void zone_lock_taken(spinlock_t *lock)
{
	zone_of_lock(lock)->free_before = zone_page_state(zone_of_lock(lock), NR_FREE_PAGES);
}

/* Negative: so much is missing. What was just reclaimed has but the low mark to keep. */
long zone_raw_spare(struct zone *zone)
{
	long mark = spare_reclaimed ? low_wmark_pages(zone) :
				      high_wmark_pages(zone) + zone->present_pages / 64;

	return (long)zone_page_state(zone, NR_FREE_PAGES) -
	       (long)zone_page_state(zone, NR_FREE_CMA_PAGES) - (long)zone->nr_free_highatomic -
	       zone->lowmem_reserve[ZONE_MOVABLE] - mark;
}

void zone_lock_released(spinlock_t *lock)
{
	struct zone *zone = zone_of_lock(lock);

	if (zone_page_state(zone, NR_FREE_PAGES) < zone->free_before && !spare_exempt &&
	    zone_raw_spare(zone) < 0)
		fail("node %d zone %s: %lu of %lu free pages were taken, %ld too many",
		     zone_to_nid(zone), zone->name,
		     zone->free_before - zone_page_state(zone, NR_FREE_PAGES), zone->free_before,
		     -zone_raw_spare(zone));
}

/* The guest */

static struct page *take_from(struct zone *zone, unsigned int order, unsigned int o, int mt,
			      u64 *rnd)
{
	struct list_head *list = &zone->free_area[o].free_list[mt];
	struct page *page;

	if (list_empty(list))
		return NULL;
	page = next_random(rnd) & 1 ? list_first_entry(list, struct page, buddy_list) :
				      list_last_entry(list, struct page, buddy_list);
	del_free(page, zone, o, mt);
	/* Either half, so that memory is fragmented. */
	while (o > order) {
		o--;
		if (next_random(rnd) & 1) {
			add_free(page, zone, o, get_pageblock_migratetype(page), true);
			page += 1UL << o;
		} else {
			add_free(page + (1UL << o), zone, o,
				 get_pageblock_migratetype(page + (1UL << o)), true);
		}
	}
	return page;
}

struct page *guest_alloc(struct zone *zone, unsigned int order, unsigned int flags, int mt,
			 bool atomic, u64 *rnd)
{
	static const int fallback[] = { MIGRATE_MOVABLE, MIGRATE_UNMOVABLE, MIGRATE_RECLAIMABLE,
					MIGRATE_CMA };
	struct page *page = NULL;
	unsigned long i, pfn;
	unsigned int o, t;

	if (!order && zone->pcp_count) {
		page = list_first_entry(&zone->pcp, struct page, pcp_list);
		list_del(&page->pcp_list);
		zone->pcp_count--;
	}
	for (o = order; !page && o <= MAX_PAGE_ORDER; o++)
		page = take_from(zone, order, o, mt, rnd);
	for (t = 0; !page && t < ARRAY_SIZE(fallback); t++)
		if (fallback[t] != MIGRATE_CMA || flags & ALLOC_CMA)
			for (o = order; !page && o <= MAX_PAGE_ORDER; o++)
				page = take_from(zone, order, o, fallback[t], rnd);
	if (!page)
		return NULL;
	guest_took = true;
	pfn = page_to_pfn(page);
	set_page_refcounted(page);
	set_page_owner(page, order, 0);
	debug_pagealloc_map_pages(page, 1 << order);
	pgalloc_tag_add(page, 1U << order);
	frame[pfn].order = order;
	frame[pfn].head = true;
	for (i = 0; i < 1UL << order; i++) {
		if (frame[pfn + i].use != FRAME_FREE || frame[pfn + i].host)
			fail("the guest gets pfn %lu, which is in use (%d), host %d", pfn + i,
			     frame[pfn + i].use, frame[pfn + i].host);
		frame[pfn + i].use = FRAME_GUEST;
	}
	return page;
}

void guest_free(unsigned long pfn)
{
	unsigned int order = frame[pfn].order;
	unsigned long i;

	if (!frame[pfn].head)
		fail("guest_free(%lu)", pfn);
	frame[pfn].head = false;
	for (i = 0; i < 1UL << order; i++) {
		if (frame[pfn + i].host)
			fail("the host has pfn %lu, which the guest used", pfn + i);
		frame[pfn + i].use = FRAME_FREE;
	}
	/* A scanner's reference is not the guest's business here. */
	set_page_count(&mem_map[pfn], page_count(&mem_map[pfn]) - 1);
	if (!page_count(&mem_map[pfn]))
		free_unref(&mem_map[pfn], order);
}

struct page *alloc_pages_node(int nid, gfp_t gfp, unsigned int order)
{
	return NULL;
}

/* Memory comes: whole range to the free lists. Counts are the caller's. */
void free_frames(unsigned long pfn, unsigned long nr)
{
	unsigned long flags, end = pfn + nr;
	unsigned int order;

	for (; pfn < end; pfn += 1UL << order) {
		struct zone *zone = page_zone(&mem_map[pfn]);

		for (order = 0; order < pageblock_order && !(pfn & (1UL << order)) &&
		     pfn + (2UL << order) <= end &&
		     page_zone(&mem_map[pfn + (2UL << order) - 1]) == zone; order++)
			;
		spin_lock_irqsave(&zone->lock, flags);
		free_one(&mem_map[pfn], zone, order, true);
		spin_unlock_irqrestore(&zone->lock, flags);
	}
}

/* A free page goes off the lists, or what is none comes to be nobody's. */
void page_out(unsigned long pfn, bool online)
{
	struct page *page = &mem_map[pfn];
	unsigned int order;

	if (!PageBuddy(page))
		return;
	order = buddy_order(page);
	del_free(page, page_zone(page), order, get_pageblock_migratetype(page));
}

void machine_watermarks(void)
{
	struct zone *zone;

	for (zone = first_zone(); zone; zone = next_zone(zone)) {
		unsigned long managed = zone_managed_pages(zone);

		zone->_watermark[WMARK_MIN] = managed / 64 + (managed > SF);
		zone->_watermark[WMARK_LOW] = managed / 48 + 2 * (managed > SF);
		zone->_watermark[WMARK_HIGH] = managed / 32 + 3 * (managed > SF);
		zone->_watermark[WMARK_PROMO] = zone->_watermark[WMARK_HIGH] + 1;
	}
}

static int cmp_near;

static int nearer(const void *a, const void *b)
{
	int x = *(const int *)a, y = *(const int *)b;
	int dx = distances[cmp_near][x], dy = distances[cmp_near][y];

	if (x == cmp_near || y == cmp_near)
		return x == cmp_near ? -1 : 1;
	return dx != dy ? dx - dy : x - y;
}

void machine_zonelists(void)
{
	int nid, order[MACHINE_NODES], i, z, n;

	for (nid = 0; nid < (int)nr_node_ids; nid++) {
		if (!zonelists[nid])
			zonelists[nid] = calloc(1, sizeof(struct zoneref) *
							   (MACHINE_NODES * MAX_NR_ZONES + 1));
		for (i = 0; i < (int)nr_node_ids; i++)
			order[i] = i;
		cmp_near = nid;
		qsort(order, nr_node_ids, sizeof(int), nearer);
		n = 0;
		for (i = 0; i < (int)nr_node_ids; i++)
			for (z = MAX_NR_ZONES - 1; z >= 0; z--) {
				struct zone *zone = node_data[order[i]] ?
							    &node_data[order[i]]->node_zones[z] :
							    NULL;

				if (zone && populated_zone(zone))
					zonelists[nid]->_zonerefs[n++] =
						(struct zoneref){ zone, z };
			}
		zonelists[nid]->_zonerefs[n] = (struct zoneref){ NULL, 0 };
	}
}

void machine_build(u64 *rnd, bool large)
{
	static const char *const names[] = { "DMA32", "Normal", "Movable" };
	unsigned int nodes = 1 + next_random(rnd) % 4, nid, other, z, o, t;
	unsigned long pfn = SF, size, i, cap = SECTION_PAGES * (large ? 64 : 20) * 4;
	bool odd = next_random(rnd) % 4 == 0;

	mem_map_pages = ALIGN(cap + 64 * SECTION_PAGES, MAX_ORDER_NR_PAGES * 2);
	mem_map = calloc(mem_map_pages, sizeof(*mem_map));
	frame = calloc(mem_map_pages, sizeof(*frame));
	block_type = calloc((mem_map_pages >> pageblock_order) + 1, 1);
	memset(block_type, MIGRATE_MOVABLE, (mem_map_pages >> pageblock_order) + 1);
	if (next_random(rnd) % 4 == 0)
		nodes = MACHINE_NODES;
	nr_node_ids = nodes;
	this_node = 0;
	memset(node_states, 0, sizeof(node_states));
	totalram = 0;
	pcp_lists = next_random(rnd) % 2;
	init_on_free = next_random(rnd) % 4 == 0;
	page_poisoning = next_random(rnd) % 8 == 0;
	for (nid = 0; nid < nodes; nid++)
		for (other = 0; other < nodes; other++)
			distances[nid][other] = nid == other ? 10 : 11 + next_random(rnd) % 4 * 5;

	for (nid = 0; nid < nodes; nid++) {
		struct pglist_data *pgdat = calloc(1, sizeof(*pgdat));
		bool empty = nid && next_random(rnd) % 6 == 0;

		node_data[nid] = pgdat;
		pgdat->node_id = nid;
		pgdat->node_start_pfn = pfn;
		node_set(nid, node_states[N_ONLINE]);
		node_set(nid, node_states[N_POSSIBLE]);
		node_set(nid, node_states[N_CPU]);
		if (nid && next_random(rnd) % 3 == 0)
			pfn += SF * (next_random(rnd) % 8);
		for (z = 0; z < MAX_NR_ZONES; z++) {
			struct zone *zone = &pgdat->node_zones[z];

			zone->name = names[z];
			zone->zone_pgdat = pgdat;
			spin_lock_init(&zone->lock);
			zone->lock.name = "zone->lock";
			zone->lock.alone = true;
			INIT_LIST_HEAD(&zone->pcp);
			for (o = 0; o <= MAX_PAGE_ORDER; o++)
				for (t = 0; t < MIGRATE_TYPES; t++)
					INIT_LIST_HEAD(&zone->free_area[o].free_list[t]);
			zone->zone_start_pfn = pfn;
			size = 0;
			if (!empty && (z == ZONE_NORMAL ||
				       (z == ZONE_DMA32 && !nid && next_random(rnd) % 2) ||
				       (z == ZONE_MOVABLE && next_random(rnd) % 3 == 0)))
				size = SF * (2 + next_random(rnd) % (large ? 100 : 14));
			if (size && odd)
				size += next_random(rnd) % SF;
			for (i = pfn; i < pfn + size; i++) {
				struct page *page = &mem_map[i];

				/* A hole now and then, of a superframe or of a page. */
				page->nid = nid;
				page->zone = z;
				if ((next_random(rnd) % (64 * SF) == 0 && odd)) {
					frame[i].use = FRAME_HOLE;
					continue;
				}
				page->online = true;
				frame[i].use = FRAME_FREE;
				zone->present_pages++;
			}
			zone->spanned_pages = size;
			pfn += size;
			if (!odd)
				pfn = ALIGN(pfn, SF);
			pgdat->node_present_pages += zone->present_pages;
			atomic_long_set(&zone->managed_pages, zone->present_pages);
			totalram += zone->present_pages;
			if (zone->present_pages)
				node_set(nid, node_states[N_MEMORY]);
		}
		pgdat->node_spanned_pages = pfn - pgdat->node_start_pfn;
		for (z = 0; z < MAX_NR_ZONES; z++)
			for (o = 0; o < z; o++)
				if (pgdat->node_zones[z].present_pages && next_random(rnd) % 2)
					pgdat->node_zones[o].lowmem_reserve[z] =
						pgdat->node_zones[o].present_pages / 16;
		for (z = 0; z < MAX_NR_ZONES; z++)
			for (o = z + 1; o < MAX_NR_ZONES; o++)
				pgdat->node_zones[z].lowmem_reserve[o] =
					max(pgdat->node_zones[z].lowmem_reserve[o],
					    pgdat->node_zones[z].lowmem_reserve[o - 1]);
	}
	if (!node_isset(0, node_states[N_MEMORY]))
		fail("node 0 is empty");
	max_pfn_value = pfn;
	machine_watermarks();
	machine_zonelists();
	for (i = 0; i < pfn; i++)
		if (frame[i].use == FRAME_FREE)
			free_frames(i, 1);
}

void machine_free(void)
{
	unsigned int nid;

	for (nid = 0; nid < nr_node_ids; nid++) {
		free(node_data[nid]);
		free(zonelists[nid]);
		node_data[nid] = NULL;
		zonelists[nid] = NULL;
	}
	free(mem_map);
	free(frame);
	free(block_type);
	nr_transient = 0;
	memset(&tag_counters, 0, sizeof(tag_counters));
}

/* The allocator's own books. */
void machine_check(void)
{
	unsigned long pfn, counted = 0;
	struct zone *zone;
	unsigned int o, t;

	for (pfn = 0; pfn < max_pfn_value; pfn++)
		counted += mem_map[pfn].tags == TAG_COUNTED;
	if (counted != tag_counters.calls || counted * PAGE_SIZE != tag_counters.bytes)
		fail("%lu pages are counted as allocations, and %lu counted", counted,
		     (unsigned long)tag_counters.calls);
	for (zone = first_zone(); zone; zone = next_zone(zone)) {
		unsigned long free = 0, cma = 0, high = 0, nr;
		struct page *page;

		for (o = 0; o <= MAX_PAGE_ORDER; o++) {
			nr = 0;
			for (t = 0; t < MIGRATE_TYPES; t++)
				list_for_each_entry(page, &zone->free_area[o].free_list[t],
						    buddy_list) {
					nr++;
					if (!PageBuddy(page) || buddy_order(page) != o ||
					    page_zone(page) != zone)
						fail("pfn %lu on a free list of order %u",
						     page_to_pfn(page), o);
					if ((int)t != (int)get_pageblock_migratetype(page))
						fail("pfn %lu on the free list of type %u, its block is of %d",
						     page_to_pfn(page), t,
						     get_pageblock_migratetype(page));
					for (pfn = pageblock_nr_pages; pfn < 1UL << o;
					     pfn += pageblock_nr_pages) {
						int other = get_pageblock_migratetype(page + pfn);

						if (other != (int)t)
							fail("pfn %lu: a free page of types %u and %d",
							     page_to_pfn(page), t, other);
					}
					if (t != MIGRATE_ISOLATE)
						free += 1UL << o;
					if (t == MIGRATE_CMA)
						cma += 1UL << o;
					if (t == MIGRATE_HIGHATOMIC)
						high += 1UL << o;
				}
			if (nr != zone->free_area[o].nr_free)
				fail("nr_free of order %u", o);
		}
		if (free != zone_page_state(zone, NR_FREE_PAGES) ||
		    cma != zone_page_state(zone, NR_FREE_CMA_PAGES) ||
		    high != zone->nr_free_highatomic)
			fail("free pages of a zone: %lu, counted %lu", free,
			     zone_page_state(zone, NR_FREE_PAGES));
	}
}
