// SPDX-License-Identifier: GPL-2.0
/*
 * A guest, its host, and whoever else has to do with ballooned pages: operations at
 * random, and what must hold after each of them (DESIGN, section 6).
 *
 * There is one thread. Where others could run (a host is waited for, a lock is given up,
 * somebody sleeps or allocates), some operations are done right there, in a context of
 * their own: allocations, migrations, new targets.
 */
#include "world.h"
#include "../../../mm/balloon/movable.h"
#include "../../../mm/balloon/refill.h"
#include "../../../mm/balloon/superframe.h"

extern initcall_t __start_initcalls[], __stop_initcalls[];

struct world world;
static unsigned char *where;

#define B		(&world.b)
#define rnd(n)		((unsigned long)(next_random(&world.rnd) % (n)))
#define one_in(n)	(!rnd(n))

/* The host. What it says goes by what it is told to be. */

static struct page *allocate(int nid, unsigned int order, gfp_t gfp, unsigned int flags, bool oom);
static int some_node(void);

/* A backend should not, and some may: it must not come to wait for itself. */
static void backend_allocates(void)
{
	struct page *page = allocate(some_node(), 0, GFP_NOIO, ALLOC_KSWAPD, true);

	if (page)
		guest_free(page_to_pfn(page));
}

static void host_called(bool sleeps)
{
	if (sleeps) {
		might_sleep();
		if (balloon_host_lock.owner != current)
			fail("the host is called without balloon_host_lock");
		if (B->suspended && !world.unregisters)
			fail("the host is called while suspended");
		world.calls++;
		if (one_in(16))
			backend_allocates();
	}
	if (world.host.late && sleeps) {
		jiffies += rnd(world.host.late) + 1;
		preempted("host");
	} else if (sleeps) {
		preempted("host");
	}
}

/* How many of @nr it does, and what it says in *@said. */
static unsigned int host_decides(unsigned int order, unsigned int nr, bool in, long *said)
{
	struct host_mode *h = &world.host;
	unsigned int n = nr;

	if ((in ? h->refuse_in : h->refuse_out) >> !!order & 1)
		n = 0;
	if (h->count) {
		if (!h->left)
			n = 0;
		n = min(n, h->left);
	}
	if (h->shorten)
		n = min(n, (unsigned int)rnd(nr + 1));
	if (h->count)
		h->left -= n;
	*said = n;
	if (!n && h->error)
		*said = -(long)(1 + rnd(100));
	/* It has all of them, and says so of more. */
	if (n == nr && h->lie)
		*said = nr + 1 + (one_in(2) ? rnd(1000) : (unsigned long)LONG_MAX / 2);
	return n;
}

static void check_extents(const struct balloon_extent *ext, unsigned int nr, bool in)
{
	unsigned int i;

	if (!nr)
		fail("the host is called for nothing");
	if (nr > BALLOON_BATCH_PAGES || (ext[0].order && nr > BALLOON_BATCH_SUPERFRAMES))
		fail("a batch of %u extents of order %u", nr, ext[0].order);
	for (i = 0; i < nr; i++) {
		unsigned long pfn = ext[i].pfn, j;
		struct page *head = &mem_map[pfn];

		if (ext[i].order != ext[0].order ||
		    (ext[i].order && ext[i].order != SUPERFRAME_ORDER))
			fail("extents of orders %u and %u", ext[0].order, ext[i].order);
		if (ext[i].order > B->max_order)
			fail("an extent of order %u", ext[i].order);
		if (pfn & ((1UL << ext[i].order) - 1))
			fail("pfn %lu is not aligned", pfn);
		if (head->nid != mem_map[ext[0].pfn].nid)
			fail("extents of two nodes");
		if (in && i && ext[i].pfn <= ext[i - 1].pfn)
			fail("extents are not sorted");
		if (page_count(head) < 1)
			fail("pfn %lu goes %s without a reference", pfn, in ? "in" : "out");
		for (j = 0; j < 1UL << ext[i].order; j++) {
			struct page *page = head + j;

			if (frame[pfn + j].host == in)
				fail("pfn %lu goes %s, the host has it: %d", pfn + j,
				     in ? "in" : "out", frame[pfn + j].host);
			if (in && frame[pfn + j].notice)
				fail("pfn %lu is inflated before the notice of its deflation",
				     pfn + j);
			if (!PageOffline(page) || !page->online)
				fail("pfn %lu goes %s, and is not offline", pfn + j,
				     in ? "in" : "out");
			if (page_zone(page) != page_zone(head))
				fail("a superframe spans zones");
			if (frame[pfn + j].use != FRAME_FREE &&
			    frame[pfn + j].use != FRAME_ISOLATED)
				fail("pfn %lu goes %s, and is in use (%d)", pfn + j,
				     in ? "in" : "out", frame[pfn + j].use);
			if (j && page_count(page) && ext[i].order)
				fail("a superframe's tail %lu has a reference", pfn + j);
		}
	}
}

/*
 * What comes to a node that is at its limit takes the place of something that is away, of the
 * same node.
 */
static void check_limit(const struct balloon_extent *ext, unsigned int nr)
{
	struct balloon_node *bn = balloon_nodes[mem_map[ext->pfn].nid];
	unsigned long held = balloon_node_count(bn->nid, NULL, NULL, NULL), away = 0;
	unsigned int z;

	for (z = 0; z < MAX_NR_ZONES; z++)
		away += bn->zones[z].superframes_away * SF + bn->zones[z].partial_away;
	if (held - away + ((unsigned long)nr << ext->order) > max(bn->limit, held))
		fail("node %d holds %lu, %lu of them away, and gets %u extents of order %u: limit %lu",
		     bn->nid, held, away, nr, ext->order, bn->limit);
}

static void goal_moves(void);

static void host_has(const struct balloon_extent *ext, unsigned int nr, bool has)
{
	unsigned long j;
	unsigned int i;

	for (i = 0; i < nr; i++)
		for (j = 0; j < 1UL << ext[i].order; j++) {
			frame[ext[i].pfn + j].host = has;
			world.host_pages += has ? 1 : -1;
		}
}

static void send_notices(void)
{
	unsigned long pfn;

	if (!world.notices)
		return;
	for (pfn = 0; pfn < max_pfn_value; pfn++)
		frame[pfn].notice = false;
	world.notices = false;
}

static long host_inflate(struct balloon *b, const struct balloon_extent *ext, unsigned int nr)
{
	unsigned long pages = (unsigned long)nr << ext[0].order, total = balloon_total();
	long said, reserved = (long)total - balloon_kept();
	unsigned int n;

	send_notices();
	check_extents(ext, nr, true);
	check_limit(ext, nr);
	/* What somebody was spared by wears off. */
	world.goal_max = max(world.goal_max, balloon_goal(b));
	/*
	 * Pages that are given for others are reserved; the others are to grow the balloon.
	 * Since it was looked how much is missing, exchanges may have ended half way.
	 */
	if (reserved < (long)pages && total + pages > world.goal_max + SF + world.kept && pages)
		fail("the balloon is to hold %lu + %lu, the goal was %lu at most", total, pages,
		     world.goal_max);
	if (total > max(world.goal_max, world.total_before) + max(pages, SF))
		fail("the balloon holds %lu before a batch of %lu, goal %lu, it was %lu", total,
		     pages, world.goal_max, world.total_before);
	host_called(true);
	n = host_decides(ext[0].order, nr, true, &said);
	host_has(ext, n, true);
	return said;
}

/*
 * Until when, in jiffies, allocations are not to ask for a zone: the host has refused. A
 * refusal just after the worker got something is forgotten with those before it.
 */
static unsigned long no_asking[MACHINE_NODES][MAX_NR_ZONES];
static unsigned int asked_early;

#define ASKED_EARLY_MAX	3

/* Before somebody is killed, a host is asked that has refused. */
static bool last_resort;

/* With a new target refusals are forgotten, somewhere in the middle of its being set. */
static bool target_comes;

static void ask_anew(void)
{
	memset(no_asking, 0, sizeof(no_asking));
	asked_early = 0;
}

/* An allocation asks, or the worker. Returns where it is written down. */
static unsigned long *who_asks(const struct balloon_extent *ext, bool allocation)
{
	struct page *page = pfn_to_page(ext->pfn);
	unsigned long *until = &no_asking[page->nid][zone_idx(page_zone(page))];

	if (allocation && !last_resort && !target_comes && time_before(jiffies, *until) &&
	    ++asked_early > ASKED_EARLY_MAX)
		fail("an allocation asks a host that has just refused, node %d", page->nid);
	return until;
}

static void note_answer(unsigned long *until, bool allocation, bool refused)
{
	if (allocation)
		*until = refused ? jiffies + HZ / 10 : 0;
	else if (!refused)
		ask_anew();
}

static long host_deflate(struct balloon *b, const struct balloon_extent *ext, unsigned int nr)
{
	unsigned long *until = who_asks(ext, b->brief);
	unsigned int n;
	long said;

	check_extents(ext, nr, false);
	host_called(true);
	n = host_decides(ext[0].order, nr, false, &said);
	host_has(ext, n, false);
	world.kept += (unsigned long)(nr - n) << ext[0].order;
	note_answer(until, b->brief, !n);
	return said;
}

static long host_deflate_nowait(struct balloon *b, const struct balloon_extent *ext,
				unsigned int nr)
{
	unsigned long *until = who_asks(ext, true);
	unsigned long j;
	unsigned int n, i;
	long said;

	check_extents(ext, nr, false);
	host_called(false);
	if (!context.rcu)
		fail("deflate_nowait() without RCU");
	/* Not these, not now; that refuses nothing. */
	if (one_in(16))
		return -EAGAIN;
	n = host_decides(ext[0].order, nr, false, &said);
	host_has(ext, n, false);
	for (i = 0; i < n; i++)
		for (j = 0; j < 1UL << ext[i].order; j++)
			frame[ext[i].pfn + j].notice = true;
	world.notices |= n > 0;
	note_answer(until, true, !n);
	return said;
}

static long host_exchange(struct balloon *b, const struct balloon_extent *give,
			  const struct balloon_extent *take, unsigned int nr,
			  unsigned int *taken)
{
	unsigned int n;
	long said;

	send_notices();
	/* A host that can't, or not these. */
	if (one_in(8))
		return -EOPNOTSUPP;
	check_extents(give, nr, true);
	check_limit(give, nr);
	check_extents(take, nr, false);
	if (give[0].order != take[0].order)
		fail("an exchange of two orders");
	host_called(true);
	n = host_decides(give[0].order, nr, true, &said);
	host_has(give, n, true);
	host_has(take, n, false);
	*taken = said < 0 ? 0 : said;
	/* A pair that breaks in its middle. */
	if (n < nr && said == n && one_in(4)) {
		host_has(give + n, 1, true);
		world.kept += 1UL << give[0].order;
		said++;
	}
	return said;
}

static void host_update(struct balloon *b, unsigned long pages, bool busy)
{
	might_sleep();
	if (balloon_host_lock.owner != current)
		fail("update() without balloon_host_lock");
	if (pages != balloon_total())
		fail("update(%lu), it holds %lu", pages, balloon_total());
	world.busy = busy;
}

/* What it is told of as a whole, it has. */
static void host_coalesced(struct balloon *b, const struct balloon_extent *ext, unsigned int nr)
{
	unsigned int i, j;

	if (!nr)
		fail("coalesced() of nothing");
	might_sleep();
	if (balloon_host_lock.owner != current)
		fail("coalesced() without balloon_host_lock");
	send_notices();
	for (i = 0; i < nr; i++) {
		if (ext[i].order != SUPERFRAME_ORDER || (i && ext[i].pfn <= ext[i - 1].pfn))
			fail("coalesced(): extent %u of order %u", i, ext[i].order);
		for (j = 0; j < SF; j++)
			if (!frame[ext[i].pfn + j].host)
				fail("pfn %lu is told of as a whole, and not with the host",
				     ext[i].pfn + j);
	}
}

static const struct balloon_ops host_ops[] = {
	{
		.inflate = host_inflate, .deflate = host_deflate, .update = host_update,
	}, {
		.inflate = host_inflate, .deflate = host_deflate, .update = host_update,
		.deflate_nowait = host_deflate_nowait, .coalesced = host_coalesced,
	}, {
		.inflate = host_inflate, .deflate = host_deflate, .update = host_update,
		.exchange = host_exchange, .coalesced = host_coalesced,
	}, {
		.inflate = host_inflate, .deflate = host_deflate,
		.deflate_nowait = host_deflate_nowait, .exchange = host_exchange,
	},
};

/* Floor 4 that is not here: what reclaims, evacuates, and has files. */

enum balloon_reclaim_mode balloon_reclaim_mode = BALLOON_RECLAIM_SWAP;

void balloon_brake_release(void) { }

unsigned long balloon_brake(bool *pressed)
{
	*pressed = world.brake && one_in(2);
	return world.brake ? 1 + rnd(world.brake) : 0;
}

static unsigned long cache_of(int nid)
{
	unsigned long pfn, n = 0;

	for (pfn = 0; pfn < max_pfn_value; pfn++)
		n += frame[pfn].use == FRAME_CACHE && mem_map[pfn].nid == nid;
	return n;
}

unsigned long balloon_reclaimable(int nid)
{
	return balloon_reclaim_mode == BALLOON_RECLAIM_NONE ? 0 : cache_of(nid);
}

unsigned long balloon_reclaim(int nid, unsigned long want)
{
	unsigned long pfn, n = 0;

	might_sleep();
	if (balloon_reclaim_mode == BALLOON_RECLAIM_NONE)
		return 0;
	/* What somebody was spared by wears off. */
	world.goal_max = max(world.goal_max, balloon_goal(B));
	if (balloon_total() >= world.goal_max)
		fail("reclaim though nothing is missing");
	world.reclaimed++;
	for (pfn = 0; pfn < max_pfn_value && n < want; pfn++) {
		if (frame[pfn].use != FRAME_CACHE || mem_map[pfn].nid != nid)
			continue;
		if (one_in(16))
			continue;
		guest_free(pfn);
		n++;
	}
	preempted("reclaim");
	world.just_reclaimed = n;
	return n;
}

bool balloon_booting(void)
{
	return world.boot_floor;
}

unsigned long balloon_boot_floor(unsigned long kept)
{
	return world.boot_floor;
}

bool balloon_watermarks_update(void)
{
	return false;
}

void balloon_evacuate_anew(void)
{
	world.evacuated = 0;
}

static void range_set_type(unsigned long pfn, unsigned long nr, int mt)
{
	unsigned long i;

	for (i = pfn; i < pfn + nr; i += pageblock_nr_pages)
		pageblock_set_type(i, mt);
}

/* One block: guest's pages move elsewhere in the zone. */
static bool evacuate_block(struct zone *zone, unsigned long pfn)
{
	unsigned long i;

	if (!pageblock_pfn_to_page(pfn, pfn + SF, zone) ||
	    !balloon_block_mergeable(&mem_map[pfn]))
		return false;
	for (i = pfn; i < pfn + SF; i++) {
		if (page_zone(&mem_map[i]) != zone || !mem_map[i].online ||
		    frame[i].use == FRAME_LENT || frame[i].use == FRAME_ISOLATED || frame[i].lost ||
		    frame[i].use == FRAME_POISONED || frame[i].use == FRAME_UNPOPULATED ||
		    (PageOffline(&mem_map[i]) && !page_has_movable_ops(&mem_map[i])) ||
		    (frame[i].use == FRAME_GUEST && one_in(64)))
			return false;
	}
	range_set_type(pfn, SF, MIGRATE_ISOLATE);
	for (i = pfn; i < pfn + SF; i++)
		if (frame[i].head)
			guest_free(i);
	drain_all_pages(zone);
	return true;
}

bool balloon_evacuate(struct balloon *b, int nid, unsigned long pages, struct balloon_extent *ext,
		      unsigned int *nr, unsigned int *nr_pages)
{
	unsigned long pfn;
	int z;

	*nr = 0;
	*nr_pages = 0;
	if (world.evacuated++ > 4 || one_in(2))
		return false;
	spare_exempt = false;
	for (z = MAX_NR_ZONES - 1; z >= 0; z--) {
		struct zone *zone = &NODE_DATA(nid)->node_zones[z];

		if (!populated_zone(zone) || !balloon_zone_spare(zone))
			continue;
		pfn = ALIGN(zone->zone_start_pfn, SF) + rnd(zone->spanned_pages / SF + 1) * SF;
		if (pfn + SF > zone_end_pfn(zone) || !evacuate_block(zone, pfn))
			continue;
		if (balloon_block_pages(&mem_map[pfn])) {
			if (SF - balloon_block_pages(&mem_map[pfn]) <= pages)
				*nr_pages = balloon_take_rest(zone, pfn, ext);
		} else if (pages >= SF && balloon_take_superframe_at(zone, pfn, ext)) {
			page_offline_begin();
			balloon_set_offline(ext, 1);
			page_offline_end();
			*nr = 1;
		}
		range_set_type(pfn, SF, MIGRATE_MOVABLE);
		break;
	}
	return true;
}

bool balloon_mend(struct balloon *b)
{
	return false;
}

void balloon_sysfs_add_node(int nid) { }

/* Pages that are given for others need not be spared. */
struct page *__real_balloon_take_hole(struct page *src, bool fuller);
unsigned int __real_balloon_take_holes(struct page *src, struct balloon_extent *ext,
				       unsigned int nr);
struct page *__wrap_balloon_take_hole(struct page *src, bool fuller);
unsigned int __wrap_balloon_take_holes(struct page *src, struct balloon_extent *ext,
				       unsigned int nr);

struct page *__wrap_balloon_take_hole(struct page *src, bool fuller)
{
	bool was = spare_exempt;
	struct page *page;

	spare_exempt = true;
	page = __real_balloon_take_hole(src, fuller);
	spare_exempt = was;
	return page;
}

unsigned int __real_balloon_take_reclaimed(int nid, struct balloon_extent *ext, unsigned int nr);
unsigned int __wrap_balloon_take_reclaimed(int nid, struct balloon_extent *ext, unsigned int nr);

unsigned int __wrap_balloon_take_reclaimed(int nid, struct balloon_extent *ext, unsigned int nr)
{
	unsigned int n;

	if (nr > world.just_reclaimed)
		fail("%u pages are taken, %lu were reclaimed", nr, world.just_reclaimed);
	world.just_reclaimed = 0;
	spare_reclaimed = true;
	n = __real_balloon_take_reclaimed(nid, ext, nr);
	spare_reclaimed = false;
	return n;
}

unsigned int __wrap_balloon_take_holes(struct page *src, struct balloon_extent *ext,
				       unsigned int nr)
{
	bool was = spare_exempt;
	unsigned int n;

	spare_exempt = true;
	n = __real_balloon_take_holes(src, ext, nr);
	spare_exempt = was;
	return n;
}

/* The guest */

static struct task_struct guest_task = { .name = "guest" }, other_task = { .name = "other guest" },
			  irq_task = { .name = "interrupt" };
static struct task_struct compaction_task = { .name = "compaction" };

/* It is a node that is passed over where nothing is to be had. */
static bool may_refill(struct zone *zone, unsigned int order, gfp_t gfp, unsigned int flags,
		       const struct alloc_context *ac)
{
	struct balloon_zone *bz = &balloon_nodes[zone_to_nid(zone)]->zones[zone_idx(zone)];

	if (!balloon_may_refill(zone, order, gfp, flags, ac))
		return false;
	if (!(gfp & __GFP_DIRECT_RECLAIM) && bz->nr_superframes == bz->superframes_away)
		fail("node %d has no superframe for who does not wait", zone_to_nid(zone));
	return true;
}

/* An allocation as get_page_from_freelist() does it, with the hooks. */
static struct page *allocate(int nid, unsigned int order, gfp_t gfp, unsigned int flags, bool oom)
{
	struct alloc_context ac = {
		.zonelist = zonelists[nid],
		.preferred_zoneref = zonelists[nid]->_zonerefs,
		.highest_zoneidx = gfp_zone(gfp),
		.migratetype = gfp & __GFP_MOVABLE ? MIGRATE_MOVABLE : MIGRATE_UNMOVABLE,
	};
	struct page *page = NULL;
	struct zoneref *ref;
	struct zone *zone;
	int pass;

	for (pass = 0; pass < 3 && !page; pass++) {
		bool passed_over = !pass && one_in(4);

		/* One try, if no lock may be waited for. */
		if (pass && flags & ALLOC_NOLOCK)
			break;
		flags &= ~ALLOC_WMARK_MASK;
		flags |= pass ? ALLOC_WMARK_MIN : ALLOC_WMARK_LOW;
		if (pass == 2 && !oom)
			break;
		if (pass == 2) {
			/* There is one at a time: oom_lock. */
			if (last_resort)
				break;
			last_resort = true;
			oom = balloon_refill_oom(gfp, order, &ac);
			last_resort = false;
			if (!oom)
				break;
		}
		ref = ac.preferred_zoneref;
		for_next_zone_zonelist_nodemask(zone, ref, ac.highest_zoneidx, ac.nodemask) {
			if (gfp & __GFP_THISNODE && zone_to_nid(zone) != nid)
				continue;
			/* kswapd of that node is awake, and there are others. */
			if (passed_over && !may_refill(zone, order, gfp, flags, &ac))
				continue;
			if (!(flags & ALLOC_NO_WATERMARKS) &&
			    !zone_watermark_ok(zone, order,
					       wmark_pages(zone, flags & ALLOC_WMARK_MASK),
					       ac.highest_zoneidx, flags) &&
			    !balloon_refill(zone, order, gfp, flags, &ac))
				continue;
			page = guest_alloc(zone, order, flags, ac.migratetype, context.atomic,
					   &world.rnd);
			if (page)
				break;
		}
	}
	return page;
}

static int some_node(void)
{
	return rnd(nr_node_ids);
}

static void guest_allocates(bool nested)
{
	unsigned int order = one_in(3) ? rnd(SUPERFRAME_ORDER + 1) : 0, n, flags = ALLOC_KSWAPD;
	gfp_t gfp = one_in(3) ? GFP_KERNEL : GFP_HIGHUSER_MOVABLE;
	struct context saved;
	struct task_struct *was, *task = nested ? &other_task : &guest_task;
	int nid = some_node();
	bool cache = one_in(2), irq = false;

	if (one_in(12))
		order = SUPERFRAME_ORDER + 1;
	switch (rnd(6)) {
	case 0:
		gfp = GFP_ATOMIC;
		irq = true;
		flags |= ALLOC_MIN_RESERVE | ALLOC_NON_BLOCK;
		break;
	case 1:
		gfp &= ~__GFP_DIRECT_RECLAIM;
		irq = one_in(2);
		break;
	case 2:
		gfp = (gfp & ~__GFP_RECLAIM) | __GFP_HIGH;
		break;
	}
	if (one_in(6))
		gfp |= __GFP_THISNODE;
	if (one_in(6))
		gfp |= __GFP_NOWARN;
	if (one_in(8))
		gfp |= __GFP_NORETRY;
	if (one_in(8))
		flags |= ALLOC_CMA;
	if (one_in(24))
		flags |= ALLOC_NO_WATERMARKS;
	if (one_in(24)) {
		flags |= ALLOC_NOLOCK;
		irq = true;
	}
	saved = context_enter(irq ? &irq_task : task, &was);
	context.nolock = flags & ALLOC_NOLOCK;
	task->flags = one_in(8) ? PF_MEMALLOC : 0;
	context.atomic = irq;
	if (irq)
		irq_off();
	n = one_in(8) ? rnd(8 * SF) + 1 : rnd(SF) + 1;
	for (n = max(1UL, n >> order); n; n--) {
		struct page *page = allocate(nid, order, gfp, flags,
					     gfpflags_allow_blocking(gfp) && !nested &&
					     !(task->flags & PF_MEMALLOC));

		if (!page)
			break;
		if (cache && !order && !(flags & ALLOC_NO_WATERMARKS))
			frame[page_to_pfn(page)].use = FRAME_CACHE;
	}
	context.irq_off = false;
	context.nolock = false;
	context_leave(&saved, was);
}

static void op_alloc(void)
{
	guest_allocates(false);
}

static bool guest_has(unsigned long pfn)
{
	return frame[pfn].head && (frame[pfn].use == FRAME_GUEST || frame[pfn].use == FRAME_CACHE);
}

static void op_free(void)
{
	unsigned long pfn = rnd(max_pfn_value), n = one_in(6) ? max_pfn_value : rnd(2 * SF) + 1, i;
	unsigned int keep = one_in(2) ? 0 : 2 + rnd(4);

	for (i = 0; i < max_pfn_value && n; i++, pfn = pfn + 1 < max_pfn_value ? pfn + 1 : 0) {
		if (!guest_has(pfn) || (keep && one_in(keep)))
			continue;
		guest_free(pfn);
		n--;
	}
}

/* Compaction: a ballooned base page is isolated, and later migrated or put back. */

static LIST_HEAD(isolated_list);

/* As mm/balloon.c does it, whose operations all movable PageOffline pages have. */
static bool balloon_isolate(struct page *page, isolate_mode_t mode)
{
	return balloon_numa_page(page) && balloon_numa_isolate(page, mode);
}

static void check_isolated(struct page *page)
{
	if (!page_has_movable_ops(page) || !PageMovableOpsIsolated(page) ||
	    !balloon_numa_page(page))
		fail("pfn %lu is isolated: type %x flags %lx private %lx", page_to_pfn(page),
		     page->page_type, page->flags, page->private);
}

static bool isolate_page_at(unsigned long pfn)
{
	struct page *page = &mem_map[pfn];
	bool wanted, ok;

	if (world.nr_isolated >= ARRAY_SIZE(world.isolated) / 2 || !get_page_unless_zero(page))
		return false;
	if (!page_has_movable_ops(page) || !trylock_page(page)) {
		put_page(page);
		return false;
	}
	if (PageMovableOpsIsolated(page)) {
		unlock_page(page);
		put_page(page);
		return false;
	}
	/* Who soft-offlines it drops his reference when it is isolated. */
	wanted = one_in(6);
	if (wanted)
		get_page(page);
	ok = balloon_isolate(page, one_in(2) ? ISOLATE_ASYNC_MIGRATE : 0);
	if (!page_has_movable_ops(page))
		fail("pfn %lu is not movable any more, and who isolates it counts on it", pfn);
	if (wanted)
		put_page(page);
	if (!ok) {
		unlock_page(page);
		put_page(page);
		return false;
	}
	if (frame[pfn].use != FRAME_FREE || !frame[pfn].host)
		fail("pfn %lu is isolated", pfn);
	frame[pfn].use = FRAME_ISOLATED;
	SetPageMovableOpsIsolated(page);
	unlock_page(page);
	world.isolated[world.nr_isolated++] = pfn;
	/* As who migrates it does: it is on no list of ours. */
	list_add(&page->lru, &isolated_list);
	return true;
}

static void putback_pfn(unsigned long pfn)
{
	struct page *page = &mem_map[pfn];
	struct context saved;
	struct task_struct *was;

	saved = context_enter(&compaction_task, &was);
	lock_page(page);
	frame[pfn].use = FRAME_FREE;
	check_isolated(page);
	balloon_numa_putback(page);
	ClearPageMovableOpsIsolated(page);
	unlock_page(page);
	put_page(page);
	context_leave(&saved, was);
}

static unsigned long take_isolated(unsigned int i)
{
	unsigned long pfn = world.isolated[i];

	list_del_init(&mem_map[pfn].lru);
	world.isolated[i] = world.isolated[--world.nr_isolated];
	return pfn;
}

static void putback_at(unsigned int i)
{
	putback_pfn(take_isolated(i));
}

static void putback_all(void)
{
	while (world.nr_isolated)
		putback_at(0);
}

static struct page *any_free_page(int nid, bool here)
{
	struct page *page = NULL;
	struct zoneref *ref;

	for (ref = zonelists[nid]->_zonerefs; ref->zone && !page; ref++) {
		if (here && zone_to_nid(ref->zone) != nid)
			continue;
		if (zone_page_state(ref->zone, NR_FREE_PAGES) > min_wmark_pages(ref->zone))
			page = guest_alloc(ref->zone, 0, 0, MIGRATE_MOVABLE, false, &world.rnd);
	}
	return page;
}

/* Migrates what is isolated; -EAGAIN and the like put it back. */
static int migrate_at(unsigned int i, bool here)
{
	unsigned long pfn = take_isolated(i);
	struct page *src = &mem_map[pfn], *dst;
	bool in_range = is_migrate_isolate_page(src);
	struct context saved;
	struct task_struct *was;
	int rc;

	dst = any_free_page(src->nid, here);
	if (!dst) {
		putback_pfn(pfn);
		return -ENOMEM;
	}
	frame[page_to_pfn(dst)].use = FRAME_FREE;
	frame[page_to_pfn(dst)].head = false;
	saved = context_enter(&compaction_task, &was);
	lock_page(src);
	if (!trylock_page(dst))
		fail("a new page is locked");
	/* The exchange may end with either in the balloon. */
	world.migrating = pfn;
	check_isolated(src);
	rc = balloon_numa_migrate(dst, src, MIGRATE_SYNC);
	world.migrating = 0;
	if (rc > 0)
		fail("migrate_page() says %d", rc);
	if (!page_has_movable_ops(src))
		fail("pfn %lu is not movable after its migration: %d", pfn, rc);
	if (!rc)
		ClearPageMovableOpsIsolated(src);
	unlock_page(dst);
	unlock_page(src);
	put_page(dst);
	if (rc) {
		context_leave(&saved, was);
		putback_pfn(pfn);
		return rc;
	}
	if (frame[pfn].host)
		fail("pfn %lu was migrated, and the host has it", pfn);
	frame[pfn].use = FRAME_FREE;
	put_page(src);
	context_leave(&saved, was);
	world.migrated++;
	(void)in_range;
	return 0;
}

static void op_isolate(void)
{
	unsigned long pfn = rnd(max_pfn_value), i, n = 1 + rnd(6);

	for (i = 0; i < max_pfn_value && n; i++, pfn = pfn + 1 < max_pfn_value ? pfn + 1 : 0)
		if (page_has_movable_ops(&mem_map[pfn])) {
			isolate_page_at(pfn);
			n--;
		}
}

static bool host_is_idle(void)
{
	return !balloon_host_lock.owner;
}

static void op_migrate(void)
{
	unsigned int n = 1 + rnd(6);

	if (!world.nr_isolated)
		op_isolate();
	while (world.nr_isolated && n--) {
		if (one_in(6))
			putback_at(rnd(world.nr_isolated));
		else
			migrate_at(rnd(world.nr_isolated), one_in(2));
	}
}

/* Somebody looks at a page for a moment, or its memory fails. */
static void op_look(void)
{
	unsigned long pfn = rnd(max_pfn_value), i, n = 1 + rnd(4);

	if (one_in(3)) {
		transient_end();
		return;
	}
	for (i = 0; i < max_pfn_value && n; i++, pfn = pfn + 1 < max_pfn_value ? pfn + 1 : 0) {
		struct page *page = &mem_map[pfn];

		if (!PageOffline(page) || frame[pfn].use != FRAME_FREE || frame[pfn].lost)
			continue;
		n--;
		if (one_in(2) && page_has_movable_ops(page))
			transient_lock(page);
		else
			transient_get(page);
	}
}

static void op_poison(void)
{
	unsigned long pfn = rnd(max_pfn_value), i;

	for (i = 0; i < max_pfn_value; i++, pfn = pfn + 1 < max_pfn_value ? pfn + 1 : 0)
		if (PageOffline(&mem_map[pfn]) && !frame[pfn].lost && world.poisoned < 8) {
			SetPageHWPoison(&mem_map[pfn]);
			world.poisoned++;
			return;
		}
}

/* Targets */

static void goal_moves(void)
{
	ask_anew();
	if (world.registered)
		world.goal_max = max(world.goal_max, balloon_goal(B));
}

static unsigned long some_pages(void)
{
	switch (rnd(8)) {
	case 0:
		return 0;
	case 1:
		return rnd(SF * 2);
	case 2:
		return balloon_total() + rnd(SF);
	case 3:
		return balloon_total() - min(balloon_total(), rnd(2 * SF));
	case 4:
		return round_down(rnd(world.present + 1), SF);
	default:
		return rnd(world.present * 3 / 4 + 1);
	}
}

static void op_target(void)
{
	unsigned long pages = one_in(30) ? (one_in(2) ? ULONG_MAX : world.present * 2) :
					   some_pages();

	if (!world.registered)
		return;
	target_comes = true;
	balloon_set_target(B, pages);
	target_comes = false;
	goal_moves();
}

static void resume(void)
{
	target_comes = true;
	balloon_resume(B);
	target_comes = false;
	ask_anew();
}

static void op_node_target(void)
{
	int nid = one_in(20) ? (int)rnd(20) - 5 : some_node(), err;
	unsigned long pages = one_in(3) ? BALLOON_TARGET_AUTO : some_pages();

	err = balloon_set_node_target(nid, pages);
	if (err && nid >= 0 && nid < (int)nr_node_ids && balloon_nodes[nid] &&
	    (pages == BALLOON_TARGET_AUTO || pages <= world.present - 0))
		if (pages == BALLOON_TARGET_AUTO)
			fail("balloon_set_node_target(%d, auto): %d", nid, err);
	if (!err && (nid < 0 || nid >= (int)nr_node_ids))
		fail("node %d has a target", nid);
}

static void op_limit(void)
{
	unsigned long pages = BALLOON_LIMIT_MAX;
	int nid = one_in(20) ? (int)rnd(20) - 5 : some_node();

	if (one_in(2))
		pages = one_in(2) ? 0 : rnd(2 * world.present / nr_node_ids);
	if (!balloon_set_node_limit(nid, pages) && (nid < 0 || nid >= (int)nr_node_ids))
		fail("node %d has a limit", nid);
}

static void op_settings(void)
{
	switch (rnd(6)) {
	case 0:
		balloon_policy = rnd(NR_BALLOON_POLICIES);
		balloon_replan();
		break;
	case 1:
		balloon_refill_mode = rnd(NR_BALLOON_REFILL_MODES);
		balloon_replan();
		break;
	case 2:
		balloon_reclaim_mode = rnd(NR_BALLOON_RECLAIM_MODES);
		balloon_replan();
		break;
	case 3:
		balloon_superframe_targets = one_in(2);
		balloon_replan();
		goal_moves();
		break;
	case 4:
		world.brake = one_in(2) ? rnd(HZ) : 0;
		break;
	default:
		world.boot_floor = one_in(3) ? rnd(world.present / 2) : 0;
	}
}

static void op_hold(void)
{
	if (one_in(2)) {
		world.hold = !world.hold;
		balloon_set_hold(world.hold);
	} else if (world.registered) {
		world.back = !world.back;
		balloon_stand_back(world.back);
		goal_moves();
	}
}

static void op_host(void)
{
	struct host_mode *h = &world.host;

	memset(h, 0, sizeof(*h));
	if (one_in(3))
		return;
	if (one_in(3))
		h->refuse_in = 1 + rnd(3);
	if (one_in(3))
		h->refuse_out = 1 + rnd(3);
	h->shorten = one_in(3);
	h->lie = one_in(4);
	h->error = one_in(3);
	h->late = one_in(4) ? 1 + rnd(2 * HZ) : 0;
	if (one_in(4)) {
		h->count = true;
		h->left = rnd(4 * SF);
	}
}

static void op_fail_alloc(void)
{
	world.alloc_fails = one_in(2) ? 0 : 1 + rnd(6);
}

/* Time passes, the worker works. */

static void run_for(unsigned long ticks, unsigned int most)
{
	unsigned long end = jiffies + ticks, due;

	while (most--) {
		if (run_due_work())
			continue;
		if (!next_work(&due) || time_after(due, end))
			break;
		if (time_after(due, jiffies))
			jiffies = due;
	}
	if (time_before(jiffies, end))
		jiffies = end;
}

static void op_run(void)
{
	run_for(one_in(4) ? rnd(20 * HZ) : rnd(HZ), 1 + rnd(12));
}

static void op_sleep(void)
{
	jiffies += one_in(4) ? rnd(100 * HZ) : rnd(HZ / 2);
}

/* Lending */

static void op_lend(void)
{
	struct page *pages[64];
	unsigned int n, i;

	if (!world.registered)
		return;
	n = 1 + rnd(min(ARRAY_SIZE(pages), ARRAY_SIZE(world.lent) - world.nr_lent + 1));
	n = min(n, ARRAY_SIZE(world.lent) - world.nr_lent);
	if (!n)
		return;
	n = balloon_lend(B, pages, n);
	for (i = 0; i < n; i++) {
		unsigned long pfn = page_to_pfn(pages[i]);

		if (frame[pfn].use != FRAME_FREE || !frame[pfn].host || PageOffline(pages[i]) ||
		    PageMovableOps(pages[i]) || page_private(pages[i]) ||
		    page_count(pages[i]) != 1)
			fail("pfn %lu is lent", pfn);
		frame[pfn].use = FRAME_LENT;
		world.lent[world.nr_lent++] = pages[i];
	}
}

static void reclaim_lent(unsigned int n)
{
	struct page *pages[64];
	unsigned int i;

	n = min3(n, world.nr_lent, (unsigned int)ARRAY_SIZE(pages));
	for (i = 0; i < n; i++) {
		unsigned int at = rnd(world.nr_lent);

		pages[i] = world.lent[at];
		world.lent[at] = world.lent[--world.nr_lent];
		frame[page_to_pfn(pages[i])].use = FRAME_FREE;
	}
	if (n)
		balloon_reclaim_lent(B, pages, n);
	for (i = 0; i < n; i++) {
		struct frame *f = &frame[page_to_pfn(pages[i])];

		if (PageOffline(pages[i]) || !f->host)
			continue;
		f->use = FRAME_LENT;
		f->stuck_lent = true;
	}
}

static void op_reclaim_lent(void)
{
	if (world.registered)
		reclaim_lent(1 + rnd(64));
}

/* Memory that comes and goes */

static void notify(unsigned long action, unsigned long pfn, unsigned long nr)
{
	struct memory_notify mn = { .start_pfn = pfn, .nr_pages = nr };

	world.notified = memory_notifier->notifier_call(memory_notifier, action, &mn);
}

/* Of a node's first memory, or its last; before the memory's own. */
static void notify_node(unsigned long action, int nid)
{
	struct node_notify nn = { .nid = nid };

	if (node_notifier->notifier_call(node_notifier, action, &nn) != NOTIFY_OK)
		fail("the node notifier refuses %lx", action);
}

static void zone_resize(unsigned long pfn, long nr, bool managed)
{
	struct zone *zone = page_zone(&mem_map[pfn]);

	zone->present_pages += nr;
	zone->zone_pgdat->node_present_pages += nr;
	world.present += nr;
	if (managed) {
		atomic_long_add(nr, &zone->managed_pages);
		totalram += nr;
		world.baseline[zone_to_nid(zone)][zone_idx(zone)] += nr;
	}
	if (zone->zone_pgdat->node_present_pages)
		node_set(zone_to_nid(zone), node_states[N_MEMORY]);
	else
		node_clear(zone_to_nid(zone), node_states[N_MEMORY]);
	machine_zonelists();
}

static unsigned long mergeable_range(unsigned long *nr)
{
	unsigned long pfn = round_down(rnd(max_pfn_value), SF), i;
	unsigned long n = SF * (1 + rnd(SECTION_BLOCKS));

	if (one_in(3)) {
		pfn = round_down(pfn, SECTION_PAGES);
		n = SECTION_PAGES;
	}
	if (!pfn || pfn + n > max_pfn_value)
		return 0;
	for (i = pfn; i < pfn + n; i++)
		if (!mem_map[i].online || page_zone(&mem_map[i]) != page_zone(&mem_map[pfn]) ||
		    !migratetype_is_mergeable(get_pageblock_migratetype(&mem_map[i])))
			return 0;
	*nr = n;
	return pfn;
}

static bool range_is_free(unsigned long pfn, unsigned long nr)
{
	unsigned long i, step;

	for (i = pfn; i < pfn + nr; i += step) {
		if (!PageBuddy(&mem_map[i]))
			return false;
		step = 1UL << buddy_order(&mem_map[i]);
		/* One with a neighbour that is isolated, too: not here. */
		if (i + step > pfn + nr)
			return false;
	}
	return true;
}

/* Everything out of an isolated range that can go. */
static void empty_range(unsigned long pfn, unsigned long nr, bool friendly)
{
	unsigned long i;

	for (i = pfn; i < pfn + nr; i++)
		if (guest_has(i) && (friendly || !one_in(64)))
			guest_free(i);
	for (i = pfn; i < pfn + nr; i++) {
		unsigned int at;

		if (!page_has_movable_ops(&mem_map[i]) || !isolate_page_at(i))
			continue;
		/* Others may have put it back meanwhile. */
		for (at = 0; at < world.nr_isolated; at++)
			if (world.isolated[at] == i) {
				migrate_at(at, false);
				break;
			}
	}
	drain_all_pages(NULL);
}

static void op_offline(void)
{
	unsigned long nr, pfn = mergeable_range(&nr), i;
	bool friendly = one_in(2), last;
	int tries;

	if (!pfn)
		return;
	/* The kernel's own code needs some memory. */
	if (page_zone(&mem_map[pfn]) == &node_data[0]->node_zones[ZONE_NORMAL])
		return;
	range_set_type(pfn, nr, MIGRATE_ISOLATE);
	last = page_pgdat(&mem_map[pfn])->node_present_pages == nr;
	if (last)
		notify_node(NODE_REMOVING_LAST_MEMORY, mem_map[pfn].nid);
	notify(MEM_GOING_OFFLINE, pfn, nr);
	for (tries = 0; tries < 3 && !range_is_free(pfn, nr) && world.notified == NOTIFY_OK;
	     tries++)
		empty_range(pfn, nr, friendly);
	if (world.notified != NOTIFY_OK || !range_is_free(pfn, nr)) {
		range_set_type(pfn, nr, MIGRATE_MOVABLE);
		notify(MEM_CANCEL_OFFLINE, pfn, nr);
		if (last)
			notify_node(NODE_CANCEL_REMOVING_LAST_MEMORY, mem_map[pfn].nid);
		return;
	}
	guest_took = true;
	for (i = pfn; i < pfn + nr; i++)
		page_out(i, false);
	for (i = pfn; i < pfn + nr; i++) {
		mem_map[i].online = false;
		frame[i].use = FRAME_HOLE;
		frame[i].notice = false;
	}
	range_set_type(pfn, nr, MIGRATE_MOVABLE);
	zone_resize(pfn, -(long)nr, true);
	machine_watermarks();
	if (last)
		notify_node(NODE_REMOVED_LAST_MEMORY, mem_map[pfn].nid);
	notify(MEM_OFFLINE, pfn, nr);
	for (i = 0; i < ARRAY_SIZE(world.offline); i++)
		if (!world.offline[i].nr) {
			world.offline[i].pfn = pfn;
			world.offline[i].nr = nr;
			break;
		}
	world.offlined++;
}

static void op_online(void)
{
	unsigned int at = rnd(ARRAY_SIZE(world.offline));
	unsigned long pfn = world.offline[at].pfn, nr = world.offline[at].nr, i;
	bool first, unpopulated = world.registered && !B->suspended && one_in(3);

	if (!nr)
		return;
	world.offline[at].nr = 0;
	first = !page_pgdat(&mem_map[pfn])->node_present_pages;
	if (first)
		notify_node(NODE_ADDING_FIRST_MEMORY, mem_map[pfn].nid);
	for (i = pfn; i < pfn + nr; i++) {
		mem_map[i].online = true;
		frame[i].use = FRAME_FREE;
	}
	zone_resize(pfn, nr, !unpopulated);
	machine_watermarks();
	if (unpopulated) {
		unsigned long done, held = world.host_pages;

		for (i = pfn; i < pfn + nr; i++) {
			__SetPageOffline(&mem_map[i]);
			set_page_count(&mem_map[i], 1);
			frame[i].host = true;
			world.host_pages++;
		}
		/* Nobody else sees them yet. */
		world.nesting = 0;
		done = balloon_add_unpopulated(B, pfn, nr);
		goal_moves();
		world.baseline[mem_map[pfn].nid][mem_map[pfn].zone] += done;
		if (done > nr)
			fail("unpopulated: %lu of %lu", done, nr);
		if (done < nr) {
			/* Out of reach. */
			world.host_pages = held + done;
			for (i = pfn; i < pfn + nr; i++)
				if (!page_private(&mem_map[i]) && !mem_map[i].owned)
					frame[i].lost = true;
		}
	} else {
		free_frames(pfn, nr);
	}
	if (first)
		notify_node(NODE_ADDED_FIRST_MEMORY, mem_map[pfn].nid);
	notify(MEM_ONLINE, pfn, nr);
}

/* A contiguous allocation: all or nothing, and then it gives it back. */
static void op_contig(void)
{
	unsigned long nr, pfn = mergeable_range(&nr);
	int tries;

	if (!pfn)
		return;
	range_set_type(pfn, nr, MIGRATE_ISOLATE);
	for (tries = 0; tries < 2 && !range_is_free(pfn, nr); tries++)
		empty_range(pfn, nr, one_in(2));
	range_set_type(pfn, nr, MIGRATE_MOVABLE);
}

/* Pageblocks become reserves, or CMA's, and cease to. */
static void op_pageblock(void)
{
	static const int types[] = { MIGRATE_UNMOVABLE, MIGRATE_RECLAIMABLE, MIGRATE_CMA,
				     MIGRATE_HIGHATOMIC, MIGRATE_MOVABLE, MIGRATE_MOVABLE,
				     MIGRATE_ISOLATE };
	unsigned long pfn = pageblock_start_pfn(rnd(max_pfn_value)), i;

	for (i = pfn; i < pfn + pageblock_nr_pages; i++)
		if (!mem_map[i].online || page_zone(&mem_map[i]) != page_zone(&mem_map[pfn]))
			return;
	guest_took = true;
	pageblock_set_type(pfn, types[rnd(ARRAY_SIZE(types))]);
}

/* The device comes and goes. */

static void do_register(void)
{
	int err;

	forget_work(&B->work);
	memset(B, 0, sizeof(*B));
	B->name = "test";
	B->ops = &host_ops[rnd(ARRAY_SIZE(host_ops))];
	B->max_order = one_in(5) ? 0 : SUPERFRAME_ORDER;
	B->flags = rnd(4);
	B->inflate_batch = one_in(2) ? rnd(200) : 0;
	B->deflate_batch = one_in(2) ? rnd(200) : 0;
	B->name = one_in(2) ? "test" : "host";
	err = balloon_register(B);
	if (err && err != -ENOMEM)
		fail("balloon_register(): %d", err);
	world.registered = !err;
	/* One that was frozen has said no more. */
	world.busy = false;
	if (err)
		return;
	if (balloon_total())
		fail("a balloon begins with %lu pages", balloon_total());
	if (one_in(4)) {
		static struct balloon other;

		forget_work(&other.work);
		memset(&other, 0, sizeof(other));
		other.name = "other";
		other.ops = B->ops;
		err = balloon_register(&other);
		if (err != -EBUSY && err != -ENOMEM)
			fail("a second balloon: %d", err);
		forget_work(&other.work);
	}
	if (balloon_nodes[0])
		goal_moves();
}

static void do_unregister(void)
{
	unsigned long pfn, lost = 0;

	world.unregisters = true;
	if (B->suspended && one_in(2))
		resume();
	while (world.nr_lent)
		reclaim_lent(64);
	for (pfn = 0; pfn < max_pfn_value; pfn++)
		if (frame[pfn].stuck_lent) {
			world.unregisters = false;
			return;
		}
	/* Compaction's are waited for, unless nobody ever puts them back. */
	balloon_unregister(B);
	world.registered = false;
	world.unregisters = false;
	if (world.back)
		balloon_stand_back(world.back = false);
	if (balloon_total() && !world.nr_isolated)
		fail("%lu pages are left", balloon_total());
	for (pfn = 0; pfn < max_pfn_value; pfn++)
		if (frame[pfn].host && !frame[pfn].lost) {
			struct page *page = &mem_map[pfn];

			frame[pfn].lost = true;
			lost++;
			world.baseline[page->nid][page->zone]--;
		}
	world.lost += lost;
	world.host_pages -= lost;
}

static void op_device(void)
{
	if (!world.registered) {
		do_register();
		return;
	}
	switch (rnd(4)) {
	case 0:
		putback_all();
		do_unregister();
		break;
	case 1:
		if (!B->suspended) {
			if (one_in(2))
				balloon_suspend(B);
			else
				balloon_freeze(B);
			break;
		}
		fallthrough;
	default:
		if (B->suspended)
			resume();
	}
}

static void op_read(void)
{
	char text[4096];
	int nid = some_node();
	unsigned long s, p, f;
	struct balloon_rings *r;

	balloon_print_state(text, sizeof(text));
	if (balloon_node_count(nid, &s, &p, &f) != s * SF + p + f)
		fail("balloon_node_count()");
	if (balloon_total_partial() > balloon_total())
		fail("balloon_total_partial()");
	if (balloon_host_target() > LONG_MAX)
		fail("the target is %lu", balloon_host_target());
	rcu_read_lock();
	r = balloon_nodes[nid] ? rcu_dereference(balloon_nodes[nid]->rings) : NULL;
	if (r)
		balloon_rings_print(r, text, sizeof(text));
	rcu_read_unlock();
}

/* There was no memory to follow a change of nodes: some are out of others' reach. */
static bool rings_are_old(void)
{
	unsigned int nid, memory = num_node_state(N_MEMORY);
	struct balloon_rings *r;

	for (nid = 0; nid < nr_node_ids; nid++) {
		r = balloon_nodes[nid] ? balloon_nodes[nid]->rings : NULL;
		if (!r || r->nr != memory)
			return true;
	}
	return false;
}

/* What is off the lists for a moment where a free page is taken, or a part of it. */
static unsigned long taken_at_once(struct page *page)
{
	unsigned int order = buddy_order(page);

	return 1UL << (MAX_PAGE_ORDER - SUPERFRAME_ORDER > 1 && order > SUPERFRAME_ORDER ?
		       SUPERFRAME_ORDER : order);
}

/* Everybody is well-behaved, and time passes: the target is met, or there is a reason. */
static void op_quiet(void)
{
	unsigned long before, goal, total, nid, spare = 0, due, pfn, nearer = 0;
	unsigned long began = jiffies;
	bool allowed = false;
	unsigned int n;

	/* Nobody does anything beside it. */
	world.calm = true;
	putback_all();
	transient_end();
	memset(&world.host, 0, sizeof(world.host));
	world.alloc_fails = 0;
	world.brake = 0;
	world.boot_floor = 0;
	if (!world.registered) {
		world.calm = false;
		return;
	}
	if (world.hold)
		balloon_set_hold(world.hold = false);
	if (world.back)
		balloon_stand_back(world.back = false);
	goal_moves();
	if (B->suspended)
		resume();
	for (n = 0; n < 4000; n++) {
		if (run_due_work())
			continue;
		if (!next_work(&due) || time_after(due, jiffies + 100 * HZ) ||
		    (n > 300 && (B->state >= BALLOON_WAIT_GUEST_MEMORY || B->pass->afar)) ||
		    n > 3000)
			break;
		if (time_after(due, jiffies))
			jiffies = due;
	}
	goal = balloon_goal(B);
	total = balloon_total();
	for (nid = 0; nid < nr_node_ids; nid++)
		if (balloon_nodes[nid] && balloon_node_over(nid))
			fail("node %lu rests above its limit of %lu, by %lu", nid,
			     balloon_nodes[nid]->limit, balloon_node_over(nid));
	if (n > 3000 && !(total < goal))
		fail("the worker does not come to rest: %lu of %lu", total, goal);
	if (total > goal) {
		/* All of it is lent, or its block is out of reach. */
		unsigned long rest = 0;

		for (nid = 0; nid < nr_node_ids; nid++) {
			unsigned long s, p, f;

			balloon_node_count(nid, &s, &p, &f);
			rest += s * SF + p;
		}
		for (pfn = 0; pfn < max_pfn_value && rest && verbose; pfn++)
			if (where[pfn] == 2)
				printf("pfn %lu: flags %lx count %d\n", pfn, mem_map[pfn].flags,
				       page_count(&mem_map[pfn]));
		if (rest)
			fail("the balloon rests at %lu, %lu of them not lent, goal %lu, state %d after %u turns",
			     total, rest, goal, B->state, n);
	}
	if (total < goal) {
		/* What CPUs kept for themselves could have been had, too. */
		drain_all_pages(NULL);
		if (verbose) {
			printf("after %u turns, %lu ticks, policy %d retry %u\n", n,
			       jiffies - began, balloon_policy, B->retry_delay);
			for (nid = 0; nid < nr_node_ids; nid++) {
				unsigned long s, p, f;

				balloon_node_count(nid, &s, &p, &f);
				printf("node %lu: %lu superframes %lu partial %lu lent, target %ld limit %ld\n",
				       nid, s, p, f,
				       balloon_nodes[nid] ? (long)balloon_nodes[nid]->target : 0,
				       balloon_nodes[nid] ? (long)balloon_nodes[nid]->limit : 0);
			}
		}
		for (nid = 0; nid < nr_node_ids; nid++) {
			unsigned long on_node = 0;

			for (n = 0; n < MAX_NR_ZONES; n++) {
				struct zone *zone = &node_data[nid]->node_zones[n];
				unsigned long can = 0, z;

				if (!populated_zone(zone))
					continue;
				/* Spare, and free in blocks that it may be taken from. */
				for (pfn = zone->zone_start_pfn; pfn < zone_end_pfn(zone); pfn++) {
					struct page *page = &mem_map[pfn];

					z = page->online && PageBuddy(page) &&
					    page_zone(page) == zone;
					if (z &&
					    migratetype_is_mergeable(
						    get_pageblock_migratetype(page)) &&
					    !world_straddles(pfn) &&
					    /* Nor what the zone has to keep. */
					    zone_watermark_ok(zone, 0,
							      zone->_watermark[WMARK_MIN] +
								      taken_at_once(page),
							      0, ALLOC_CMA))
						can += 1UL << buddy_order(page);
				}
				z = balloon_zone_spare(zone);
				on_node += min(z, can);
				if (verbose)
					printf("node %lu zone %u: spare %lu can %lu free %lu present %lu min %lu high %lu\n",
					       nid, n, z, can, zone_page_state(zone, NR_FREE_PAGES),
					       zone->present_pages, zone->_watermark[0],
					       zone->_watermark[2]);
			}
			spare += min(on_node, balloon_node_room(nid));
			allowed |= balloon_node_spare(nid) + balloon_reclaimable(nid) >
				   balloon_node_room(nid);
		}
		if (B->state == BALLOON_WAIT_LIMIT && !allowed)
			fail("it waits for a limit, and none is in its way");
		if (!rings_are_old() && spare > 8 * SF / 4 + nr_node_ids * 2)
			fail("the balloon rests at %lu of %lu, %lu could be had, state %d", total,
			     goal, spare, B->state);
		world.short_quiets++;
	} else if (total == goal) {
		char text[64];

		balloon_print_state(text, sizeof(text));
		/* It rests. */
		run_for(15 * HZ, 400);
		/* But for what comes home, or nearer, and stays there: it has an end. */
		do {
			before = world.calls;
			run_for(100 * HZ, 400);
		} while (world.calls != before && B->pass->plan.afar && ++nearer < 64);
		if (world.calls != before)
			fail("at rest with its target met, it called the host %lu times",
			     world.calls - before);
		if (world.busy && B->ops->update)
			fail("update(busy) was the last that the host heard");
		world.quiets++;
	}
	world.calm = false;
}

/* May a page's block belong to another zone? */
bool world_straddles(unsigned long pfn)
{
	unsigned long start = round_down(pfn, SF), i;

	for (i = start; i < start + SF; i++)
		if (!mem_map[i].online || page_zone(&mem_map[i]) != page_zone(&mem_map[pfn]))
			return true;
	return false;
}

/* What must hold after every operation. */

/* One that is isolated, and what is to take its place. Returns 1. */
static unsigned int isolated_superframe(struct page *head)
{
	unsigned long pfn = page_to_pfn(head), other = page_private(head + 1), i;

	if (page_private(head) != BALLOON_SUPERFRAME_AWAY || !other)
		fail("superframe %lu is isolated, without a substitute", pfn);
	for (i = 0; i < SF; i++) {
		if (where[pfn + i] || where[other + i])
			fail("superframe %lu or %lu is in two places", pfn, other);
		/* Its first page is who is isolated. */
		where[pfn + i] = i ? 1 : 0;
		where[other + i] = 4;
	}
	return 1;
}

/* Its place in its block is kept. */
static bool page_is_away(unsigned long pfn)
{
	return frame[pfn].use == FRAME_ISOLATED || frame[pfn].use == FRAME_LENT;
}

static void check_zone(struct balloon_zone *bz, struct zone *zone)
{
	unsigned long superframes = 0, partial = 0, away = 0, whole_away = 0, i, bit, lent = 0;
	struct balloon_block *block;
	struct page *head;
	unsigned int n;

	if (bz->lock.owner)
		fail("a zone's lock is held");
	list_for_each_entry(head, &bz->superframes, lru) {
		unsigned long pfn = page_to_pfn(head);

		superframes++;
		if (pfn % SF || page_zone(head) != zone ||
		    page_private(head) != BALLOON_SUPERFRAME_MARK)
			fail("superframe %lu", pfn);
		if (page_count(head) != 1 + (int)transient_refs(head))
			fail("superframe %lu has %d references", pfn, page_count(head));
		if (!head->owned || head->owned_order != SUPERFRAME_ORDER)
			fail("superframe %lu is not owned", pfn);
		for (i = 0; i < SF; i++) {
			if (where[pfn + i])
				fail("pfn %lu is in two places", pfn + i);
			where[pfn + i] = 1;
			if (!PageOffline(head + i) || page_zone(head + i) != zone ||
			    head[i].mapped || head[i].tags == 1 || (i && page_count(head + i)) ||
			    (i && head[i].private) || PageMovableOps(head + i) != !i)
				fail("superframe %lu, page %lu: type %x count %d mapped %d tags %d",
				     pfn, i, head[i].page_type, page_count(head + i),
				     head[i].mapped, head[i].tags);
		}
	}
	for (n = 0; n < BALLOON_NR_BUCKETS; n++)
		list_for_each_entry(block, &bz->buckets[n], list) {
			world.blocks++;
			if (block->bz != bz)
				fail("block %lu of another zone", block->index);
			if (bitmap_weight(block->map, SF) != block->nr)
				fail("block %lu has %u pages, counts %u", block->index,
				     bitmap_weight(block->map, SF), block->nr);
			if (n == BALLOON_STUCK_BUCKET ? block->nr == SF :
							n != balloon_bucket(block->nr))
				fail("block %lu with %u pages in bucket %u", block->index,
				     block->nr, n);
			if (!block->nr && !block->away)
				fail("block %lu is empty", block->index);
			if (block->nr + block->away > SF)
				fail("block %lu: %u + %u pages", block->index, block->nr,
				     block->away);
			if (xa_load(world_xarray(), block->index) != block)
				fail("block %lu is not found", block->index);
			partial += block->nr;
			for (i = 0, away = 0; i < SF; i++)
				away += page_is_away((block->index << SUPERFRAME_ORDER) + i);
			if (away != block->away)
				fail("block %lu: %u pages are away, not %lu", block->index,
				     block->away, away);
			for_each_set_bit(bit, block->map, SF) {
				unsigned long pfn = (block->index << SUPERFRAME_ORDER) + bit;
				struct page *page = &mem_map[pfn];

				if (where[pfn])
					fail("pfn %lu is in two places", pfn);
				where[pfn] = 2;
				if (!PageOffline(page) || page_zone(page) != zone ||
				    page_count(page) != 1 + (int)transient_refs(page) ||
				    !page_has_movable_ops(page) ||
				    page_private(page) != BALLOON_NUMA_PAGE ||
				    (PageLocked(page) && !page_is_transient(page)) ||
				    !page->owned || !page->mapped || page->tags != 2)
					fail("ballooned page %lu: type %x count %d movable %d owned %d mapped %d tags %d",
					     pfn, page->page_type, page_count(page),
					     page_has_movable_ops(page), page->owned, page->mapped,
					     page->tags);
			}
		}
	away = 0;
	for (i = 0; i < world.nr_isolated; i++) {
		head = &mem_map[world.isolated[i]];
		if (page_zone(head) != zone)
			continue;
		if (balloon_is_superframe(head))
			whole_away += isolated_superframe(head);
		else
			away++;
	}
	for (i = zone->zone_start_pfn; i < zone_end_pfn(zone); i++)
		lent += frame[i].use == FRAME_LENT && page_zone(&mem_map[i]) == zone;
	if (bz->superframes_away != whole_away || superframes + whole_away != bz->nr_superframes)
		fail("%lu superframes and %lu isolated, counted %lu, %lu away", superframes,
		     whole_away, bz->nr_superframes, bz->superframes_away);
	if (bz->partial_away != away || partial + away != bz->nr_partial)
		fail("%lu base pages and %lu isolated, counted %lu, %lu away", partial, away,
		     bz->nr_partial, bz->partial_away);
	if (bz->nr_foreign != lent)
		fail("%lu pages are lent, counted %lu", lent, bz->nr_foreign);
	if (world.registered && B->flags & BALLOON_KEEP_MANAGED && bz->accounted)
		fail("pages are accounted for though they stay managed");
	if (zone_managed_pages(zone) + bz->accounted !=
	    world.baseline[zone_to_nid(zone)][zone_idx(zone)])
		fail("node %d zone %d: managed %lu accounted %lu, together they should be %lu",
		     zone_to_nid(zone), zone_idx(zone), zone_managed_pages(zone), bz->accounted,
		     world.baseline[zone_to_nid(zone)][zone_idx(zone)]);
	world.sum += bz->nr_superframes * SF + bz->nr_partial + bz->nr_foreign;
	world.node_sum += bz->nr_superframes * SF + bz->nr_partial;
}

static unsigned long xarray_entries(struct xarray *xa)
{
	unsigned long i, n = 0;

	for (i = 0; xa && i < xa->size; i++)
		n += !!xa->slot[i];
	return n;
}

/* Of kernfs. */
void sysfs_notify_dirent(struct kernfs_node *file)
{
	world.notified_state++;
}

/* Who has read what it is at, and polls, is told when it is something else. */
static void check_state(void)
{
	char text[64], *seconds;

	balloon_print_state(text, sizeof(text));
	seconds = strpbrk(text, "0123456789");
	if (seconds)
		*seconds = 0;
	/* What is pending is said to who asks: when it rests, the worker tells everybody. */
	if (strcmp(text, world.state) && (*text == 's' || *text == 'w') &&
	    world.notified_state == world.notified_before)
		fail("it was '%s', is '%s', and nobody was told", world.state, text);
	snprintf(world.state, sizeof(world.state), "%s", text);
	world.notified_before = world.notified_state;
}

/* What is wanted now is not left to a timer that was set for what was wanted before. */
static void check_worker(void)
{
	struct balloon *b = balloon_current();

	if (!b || b->stopped || balloon_hold || b->planned == atomic_read(&b->generation))
		return;
	if (!b->work.work.pending)
		fail("nobody looks at what is wanted now");
	/* After a refill beyond the target, which stays below it, there is no hurry. */
	if (time_after(b->work.due, jiffies + HZ))
		fail("what is wanted now has to wait for %lu jiffies", b->work.due - jiffies);
}

void world_check(void)
{
	unsigned long pfn, i, host = 0;
	struct zone *zone;
	struct page *page;
	unsigned int nid, z, o, t;

	machine_check();
	if (mutexes_held)
		fail("a mutex is held");
	check_worker();
	check_state();
	memset(where, 0, max_pfn_value);
	world.sum = 0;
	world.blocks = 0;
	for (nid = 0; nid < nr_node_ids; nid++) {
		world.node_sum = 0;
		for (z = 0; balloon_nodes[nid] && z < MAX_NR_ZONES; z++)
			check_zone(&balloon_nodes[nid]->zones[z], &node_data[nid]->node_zones[z]);
		if (node_page_state(node_data[nid], NR_BALLOON_PAGES) != world.node_sum)
			fail("node %u: %lu ballooned pages, counted %lu", nid, world.node_sum,
			     node_page_state(node_data[nid], NR_BALLOON_PAGES));
	}
	if (xarray_entries(world_xarray()) != world.blocks)
		fail("%lu blocks, %lu in the xarray", world.blocks, xarray_entries(world_xarray()));
	if (world.sum != balloon_total())
		fail("%lu pages in the balloon, counted %lu", world.sum, balloon_total());
	if (balloon_kept() != (long)balloon_total())
		fail("%ld pages are kept of %lu: a reservation is left", balloon_kept(),
		     balloon_total());
	if (world.host_pages != balloon_total())
		fail("the host has %lu pages, the balloon counts %lu", world.host_pages,
		     balloon_total());
	if (vm_events[BALLOON_INFLATE] - vm_events[BALLOON_DEFLATE] != balloon_total() + world.lost)
		fail("events: %lu in, %lu out, %lu there, %lu lost", vm_events[BALLOON_INFLATE],
		     vm_events[BALLOON_DEFLATE], balloon_total(), world.lost);

	for (zone = first_zone(); zone; zone = next_zone(zone)) {
		for (o = 0; o <= MAX_PAGE_ORDER; o++)
			for (t = 0; t < MIGRATE_TYPES; t++)
				list_for_each_entry(page, &zone->free_area[o].free_list[t],
						    buddy_list)
					for (i = 0; i < 1UL << o; i++) {
						if (where[page_to_pfn(page) + i])
							fail("pfn %lu is free and ballooned",
							     page_to_pfn(page) + i);
						where[page_to_pfn(page) + i] = 3;
					}
		list_for_each_entry(page, &zone->pcp, pcp_list)
			where[page_to_pfn(page)] = 3;
	}
	for (pfn = 0; pfn < max_pfn_value; pfn++) {
		const struct frame *f = &frame[pfn];

		page = &mem_map[pfn];
		host += f->host && !f->lost;
		switch (f->use) {
		case FRAME_HOLE:
			if (f->host || where[pfn])
				fail("pfn %lu is a hole", pfn);
			break;
		case FRAME_FREE:
			if (where[pfn] == 4) {
				if (f->host || !PageOffline(page))
					fail("pfn %lu is no substitute", pfn);
				break;
			}
			if (where[pfn] == 3 ? f->host :
			    !f->host || !PageOffline(page) || (!where[pfn] && !f->lost))
				if (!transient_refs(page))
					fail("pfn %lu is nowhere: host %d type %x count %d private %lx where %d",
					     pfn, f->host, page->page_type, page_count(page),
					     page->private, where[pfn]);
			break;
		case FRAME_GUEST:
		case FRAME_CACHE:
		case FRAME_POISONED:
			if (f->host || PageOffline(page) || where[pfn])
				fail("pfn %lu is the guest's: host %d type %x where %d", pfn,
				     f->host, page->page_type, where[pfn]);
			break;
		case FRAME_LENT:
			if (!f->host || PageOffline(page) || where[pfn] || page_count(page) < 1)
				fail("pfn %lu is lent", pfn);
			break;
		case FRAME_ISOLATED:
			if (!f->host || !PageOffline(page) || where[pfn] || page_count(page) < 2)
				fail("pfn %lu is isolated", pfn);
			break;
		}
	}
	if (host != world.host_pages)
		fail("the host's books: %lu, %lu", host, world.host_pages);
}

/* What others do in the middle of an operation. */

static void nested_op(void)
{
	struct context saved;
	struct task_struct *was;

	saved = context_enter(&other_task, &was);
	switch (rnd(9)) {
	case 0:
	case 1:
	case 2:
		guest_allocates(true);
		break;
	case 3:
		op_free();
		break;
	case 4:
		if (world.registered && one_in(2))
			op_target();
		break;
	case 5:
		if (!world.calm)
			op_look();
		break;
	case 6:
		if (!world.calm)
			op_isolate();
		break;
	case 7:
		if (world.nr_isolated)
			putback_at(rnd(world.nr_isolated));
		break;
	default:
		if (!world.calm && !world.migrating)
			op_migrate();
	}
	context_leave(&saved, was);
}

static void on_preempt(const char *where_at)
{
	bool sleeps = *where_at == 's' && where_at[1] == 'l';

	/* What was wanted when the worker looked may be no more when it calls the host. */
	if (world.registered)
		world.goal_max = max(world.goal_max, balloon_goal(B));
	if (world.nested || (!world.nesting && !sleeps))
		return;
	world.nested = true;
	/* Whoever waits for what compaction has in hand gets it sooner or later. */
	if (sleeps && one_in(4)) {
		if (world.nr_isolated)
			putback_at(rnd(world.nr_isolated));
		transient_end();
	} else if (world.nesting && !world.calm && one_in(12)) {
		world.nesting--;
		nested_op();
	}
	world.nested = false;
}

static bool on_alloc(gfp_t gfp)
{
	/* The kernel's own allocations call for refills, too. */
	if (world.nesting && !world.nested && !world.calm && one_in(3) && nr_node_ids &&
	    balloon_nodes[0] && static_branch_unlikely(&balloon_refill_key)) {
		struct alloc_context ac = { .highest_zoneidx = ZONE_NORMAL };
		struct zone *zone = &node_data[some_node()]->node_zones[ZONE_NORMAL];

		world.nested = true;
		if (populated_zone(zone))
			balloon_refill(zone, 0, gfp & ~__GFP_DIRECT_RECLAIM,
				       ALLOC_KSWAPD | WMARK_HIGH, &ac);
		world.nested = false;
	}
	return world.alloc_fails && one_in(world.alloc_fails);
}

/*
 * What is freed is tracked, and tracking allocates, whatever locks are held: also those
 * that a refill takes, if it isn't told. Of a zone that lacks memory by all means.
 */
static void on_track(void)
{
	struct alloc_context ac = { .highest_zoneidx = ZONE_NORMAL };
	unsigned long mark;
	struct zone *zone;

	if (world.nested || world.calm || !one_in(8) || !nr_node_ids || !balloon_nodes[0] ||
	    !static_branch_unlikely(&balloon_refill_key))
		return;
	zone = &node_data[some_node()]->node_zones[ZONE_NORMAL];
	if (!populated_zone(zone))
		return;
	world.nested = true;
	mark = zone->_watermark[WMARK_HIGH];
	zone->_watermark[WMARK_HIGH] = zone_page_state(zone, NR_FREE_PAGES) + 1;
	balloon_refill(zone, 0, __GFP_HIGH | __GFP_KSWAPD_RECLAIM, ALLOC_KSWAPD | WMARK_HIGH,
		       &ac);
	zone->_watermark[WMARK_HIGH] = mark;
	world.nested = false;
}

static const struct {
	const char *name;
	unsigned int weight;
	void (*fn)(void);
} ops[NR_OPS] = {
	[OP_TARGET] = { "target", 10, op_target },
	[OP_NODE_TARGET] = { "node target", 6, op_node_target },
	[OP_RUN] = { "run", 26, op_run },
	[OP_SLEEP] = { "sleep", 3, op_sleep },
	[OP_ALLOC] = { "alloc", 14, op_alloc },
	[OP_FREE] = { "free", 8, op_free },
	[OP_HOST] = { "host", 4, op_host },
	[OP_ISOLATE] = { "isolate", 3, op_isolate },
	[OP_MIGRATE] = { "migrate", 6, op_migrate },
	[OP_LOOK] = { "look", 3, op_look },
	[OP_POISON] = { "poison", 1, op_poison },
	[OP_SETTINGS] = { "settings", 3, op_settings },
	[OP_HOLD] = { "hold", 1, op_hold },
	[OP_FAIL_ALLOC] = { "fail alloc", 2, op_fail_alloc },
	[OP_LEND] = { "lend", 2, op_lend },
	[OP_RECLAIM_LENT] = { "reclaim lent", 3, op_reclaim_lent },
	[OP_OFFLINE] = { "offline", 2, op_offline },
	[OP_ONLINE] = { "online", 3, op_online },
	[OP_CONTIG] = { "contig", 2, op_contig },
	[OP_PAGEBLOCK] = { "pageblock", 2, op_pageblock },
	[OP_DEVICE] = { "device", 2, op_device },
	[OP_READ] = { "read", 2, op_read },
	[OP_QUIET] = { "quiet", 1, op_quiet },
	[OP_LIMIT] = { "limit", 4, op_limit },
};

const char *op_name(unsigned int type)
{
	return ops[type].name;
}

unsigned int op_choose(u64 *state)
{
	static unsigned int sum;
	unsigned int i, n;

	if (!sum)
		for (i = 0; i < NR_OPS; i++)
			sum += ops[i].weight;
	n = next_random(state) % sum;
	for (i = 0; n >= ops[i].weight; i++)
		n -= ops[i].weight;
	return i;
}

void world_begin(u64 seed, bool large)
{
	unsigned int nid, z;
	initcall_t *init;

	memset(&world, 0, sizeof(world));
	world.rnd = seed;
	world.large = large;
	world.hold = false;
	memset(vm_events, 0, sizeof(vm_events));
	balloon_policy = BALLOON_BALANCE;
	balloon_refill_mode = BALLOON_REFILL_CREDIT;
	balloon_reclaim_mode = BALLOON_RECLAIM_SWAP;
	balloon_superframe_targets = false;
	context.check_irq = false;
	/* Only that there is one matters. */
	balloon_state_file = (struct kernfs_node *)&world;
	snprintf(world.state, sizeof(world.state), "settled\n");
	machine_build(&world.rnd, large);
	where = calloc(max_pfn_value, 1);
	for (nid = 0; nid < nr_node_ids; nid++)
		for (z = 0; z < MAX_NR_ZONES; z++) {
			world.baseline[nid][z] = zone_managed_pages(&node_data[nid]->node_zones[z]);
			world.present += world.baseline[nid][z];
		}
	preempt_hook = on_preempt;
	work_hook = host_is_idle;
	alloc_hook = on_alloc;
	track_hook = on_track;
	for (init = __start_initcalls; init < __stop_initcalls; init++)
		if ((*init)())
			fail("an initcall fails");
	do_register();
}

void world_op(const struct op *op)
{
	world.rnd = op->r;
	world.nesting = one_in(2) ? rnd(4) : 0;
	world.total_before = balloon_total();
	world.kept = 0;
	ask_anew();
	world.goal_max = world.registered ? balloon_goal(B) : 0;
	guest_took = false;
	spare_exempt = false;
	ops[op->type].fn();
	world.nesting = 0;
	rcu_quiescent();
	if (!world.large || one_in(16))
		world_check();
}

/* All goes back, and all is as it was. */
void world_end(void)
{
	unsigned int nid, i;
	struct xarray *xa;

	world.nesting = 0;
	world.calm = true;
	putback_all();
	transient_end();
	memset(&world.host, 0, sizeof(world.host));
	world.alloc_fails = 0;
	if (world.hold)
		balloon_set_hold(world.hold = false);
	if (world.registered) {
		do_unregister();
		if (!world.registered && balloon_total())
			fail("%lu pages are left in the end", balloon_total());
	}
	world_check();
	rcu_quiescent();
	if (world.registered)
		return;
	if (static_key_enabled(&balloon_refill_key))
		fail("the allocator still asks for refills");
	for (nid = 0; nid < nr_node_ids; nid++)
		if (balloon_nodes[nid]) {
			kfree(balloon_nodes[nid]->rings);
			kfree(balloon_nodes[nid]);
			balloon_nodes[nid] = NULL;
		}
	if (allocations)
		fail("%lu allocations are left", allocations);
	xa = world_xarray();
	for (i = 0; xa && i < xa->size; i++)
		if (xa->slot[i])
			fail("slot %u is left", i);
	machine_free();
	free(where);
	forget_works();
}
