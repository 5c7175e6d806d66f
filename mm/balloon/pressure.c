// SPDX-License-Identifier: GPL-2.0
/*
 * Pressure: what inflation may take beyond free memory, and how fast.
 *
 * What is free goes first; see pursue.c. Then pages are reclaimed, node by node:
 * clean page cache that nobody came back for; then, in mode swap, what the mm's
 * own reclaim picks of cache and anonymous memory, as far as there is swap for it;
 * else cache that is in use. Pages are made free here and not allocated: the worker
 * takes them as it takes any free page, and so no reserve is broken into.
 *
 * A brake watches what that does to the guest. Reclaim has a quota per interval,
 * which grows while the guest does not miss what it lost. When pages come back
 * soon after they went (refaults, of cache and of swap), or when somebody must
 * reclaim directly, reclaim pauses; it tries again with half the quota, and pauses
 * twice as long if that does harm again. PSI is no sign here: its sums are two
 * seconds old. As for memory.reclaim, the time spent here counts as nobody's stall.
 *
 * All but balloon_brake_release() runs in the worker.
 */
#include <linux/gfp.h>
#include <linux/initrd.h>
#include <linux/jiffies.h>
#include <linux/khugepaged.h>
#include <linux/memory_hotplug.h>
#include <linux/mm.h>
#include <linux/mm_inline.h>
#include <linux/mmzone.h>
#include <linux/random.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/swap.h>
#include <linux/vmstat.h>

#include "../internal.h"
#include "../page_alloc.h"
#include "internal.h"

/* Quotas hold for one interval, and the guest is looked at after each. */
#define BRAKE_INTERVAL		(HZ / 10UL)
#define BRAKE_PAUSE		(4UL * HZ)
#define BRAKE_PAUSE_MAX		(32UL * HZ)
/* What is usual is found out in so many intervals: it comes in bursts. */
#define BRAKE_WATCH		20UL
/* So many intervals without a look are a rest; after so many, all begins anew. */
#define BRAKE_REST		50UL
#define BRAKE_FORGET		600UL
/* Base pages per interval to begin with, and after each that does no harm so many more. */
#define BRAKE_QUOTA		SUPERFRAME_PAGES
#define BRAKE_QUOTA_LEAST	SWAP_CLUSTER_MAX
/* The same for cache that is in use. */
#define BRAKE_QUOTA_USED	max(SUPERFRAME_PAGES / 16, BRAKE_QUOTA_LEAST)
#define BRAKE_GROWTH_USED	DIV_ROUND_UP(SUPERFRAME_PAGES, 64)
/* What was reclaimed, and the harm of it, fade by this share per interval. */
#define BRAKE_FADE		64
/* Harm is more than this share of what was reclaimed, and some pages. */
#define BRAKE_TOLERANCE		8
#define BRAKE_SLACK		16
/* Nodes where reclaim found nothing are left alone so long. */
#define BRAKE_BARREN		(8UL * HZ)
/* So often reclaim waits for others' writes, an interval each. */
#define FUTILE_MAX		16
/* No more is sent to swap while so many base pages are being written. */
#define WRITES_MAX		(2 * SUPERFRAME_PAGES)
/* And once so many are written, they go first. */
#define SWAPPED_MIN		(SUPERFRAME_PAGES / 4)
/* A node is looked at in so many places, or until so many pages of cache were seen. */
#define CACHE_LOOKS		512
#define CACHE_SAMPLE		32U
/* What that tells is a share of this, and fades by one of so many per interval. */
#define CACHE_ALL		1024U
#define CACHE_FADE		256
/* Of cache, and of anonymous memory, no less is left than this share of present pages. */
#define PRESSURE_FLOOR		64
/* What stays free during boot: a share of what is kept, and the initramfs so many times. */
#define BOOT_FLOOR		16
#define INITRAMFS_UNPACKED	4

/* What reclaim may have at a time. */
enum balloon_prey {
	PREY_NONE,
	PREY_UNUSED_CACHE,
	PREY_SWAPPED,
	PREY_ANY,
	PREY_USED_CACHE,
};

/**
 * struct balloon_brake - how fast may be reclaimed
 * @since: when the interval began, in jiffies
 * @quota: base pages per interval
 * @quota_used: and of page cache that is in use
 * @left: what is left of @quota in this interval
 * @left_used: and of @quota_used
 * @done: base pages reclaimed lately, fading
 * @harm: base pages that the guest missed lately, fading
 * @refaults: all refaults of cache by then
 * @activated: those of cache that was evicted too early, and of swap
 * @stalls: direct reclaims by then, but for ours
 * @usual: refaults of cache per interval, at most, before anything was reclaimed: who
 *	passes through a large file has them, too
 * @usual_early: and those that @activated counts
 * @usual_stalls: and direct reclaims
 * @watching: @usual is being found out, for so many intervals more
 * @watched: it is known
 * @held: a node got nothing in this interval for want of quota
 * @pause: how long the last pause was, 0 if there was none lately
 * @until: when it ends
 * @pausing: it has not ended
 * @calls: how often this file reclaimed: a direct reclaim, as the mm counts
 * @futile: how often in a row that brought nothing, as others still write
 * @barren: when nodes were last found to have nothing, in jiffies
 * @no_cache: nodes whose cache can't be had now
 * @no_anon: nodes whose anonymous memory can't
 * @no_swapped: nodes where that of it that is written already can't
 */
static struct balloon_brake {
	unsigned long since;
	unsigned long quota;
	unsigned long quota_used;
	unsigned long left;
	unsigned long left_used;
	unsigned long done;
	unsigned long harm;
	unsigned long refaults;
	unsigned long activated;
	unsigned long stalls;
	unsigned long usual;
	unsigned long usual_early;
	unsigned long usual_stalls;
	unsigned int watching;
	bool watched;
	bool held;
	unsigned long pause;
	unsigned long until;
	bool pausing;
	unsigned long calls;
	unsigned int futile;
	unsigned long barren;
	nodemask_t no_cache;
	nodemask_t no_anon;
	nodemask_t no_swapped;
} brake;

static bool brake_released;

/* What inflation may reclaim; see sysfs.c. */
enum balloon_reclaim_mode balloon_reclaim_mode = BALLOON_RECLAIM_SWAP;

static unsigned long pressure_floor(int nid)
{
	return node_present_pages(nid) / PRESSURE_FLOOR;
}

static unsigned long pressure_above(unsigned long pages, unsigned long floor)
{
	return pages > floor ? pages - floor : 0;
}

/* A function: without NUMA, node_page_state() is a macro that leaves the node unused. */
static unsigned long pressure_state(int nid, enum node_stat_item item)
{
	return node_page_state(NODE_DATA(nid), item);
}

/* Base pages of a node's page cache that could be dropped, by their state alone. */
static unsigned long pressure_cache(int nid)
{
	unsigned long busy = pressure_state(nid, NR_FILE_DIRTY) +
			     pressure_state(nid, NR_WRITEBACK);

	if (node_isset(nid, brake.no_cache))
		return 0;
	return pressure_above(pressure_state(nid, NR_INACTIVE_FILE) +
			      pressure_state(nid, NR_ACTIVE_FILE),
			      pressure_floor(nid) + busy);
}

/* Base pages of a node that could go to swap, by their number alone. */
static unsigned long pressure_anon(int nid)
{
	unsigned long swap = max(get_nr_swap_pages(), 0L);
	unsigned long anon = pressure_state(nid, NR_INACTIVE_ANON) +
			     pressure_state(nid, NR_ACTIVE_ANON);

	if (balloon_reclaim_mode < BALLOON_RECLAIM_SWAP || node_isset(nid, brake.no_anon))
		return 0;
	return min(pressure_above(anon, pressure_floor(nid)), swap);
}

#ifdef CONFIG_SWAP
static unsigned long pressure_swapcache(int nid)
{
	return pressure_state(nid, NR_SWAPCACHE);
}
#else
static unsigned long pressure_swapcache(int nid)
{
	return 0;
}
#endif

/*
 * Whether pages were sent to swap that are still there. When a huge page is swapped out,
 * many of its pages are written before they are back on the LRU, and end up at its far
 * end: reclaim would write all that is before them.
 */
static bool pressure_swapped(int nid)
{
	return !node_isset(nid, brake.no_swapped) &&
	       pressure_swapcache(nid) > pressure_state(nid, NR_WRITEBACK) + SWAPPED_MIN;
}

#ifdef CONFIG_LRU_GEN
/* What share of a node's cache was read more than once, of CACHE_ALL. */
static unsigned int cache_sample(int nid)
{
	unsigned long spanned = node_spanned_pages(nid);
	unsigned int seen = 0, again = 0, looks;

	get_online_mems();
	for (looks = 0; spanned && looks < CACHE_LOOKS && seen < CACHE_SAMPLE; looks++) {
		unsigned long pfn = node_start_pfn(nid) + get_random_long() % spanned;
		struct page *page = pfn_to_online_page(pfn);
		struct folio *folio;

		if (!page || page_to_nid(page) != nid || PageBuddy(page) || PageOffline(page))
			continue;
		folio = page_folio(page);
		if (!folio_try_get(folio))
			continue;
		if (page_folio(page) == folio && folio_test_lru(folio) &&
		    folio_is_file_lru(folio) && !folio_test_unevictable(folio)) {
			seen++;
			/* Before 6.14 that is the mark of the second time, later of the last. */
			again += folio_test_workingset(folio) || folio_lru_refs(folio) > 1;
		}
		folio_put(folio);
	}
	put_online_mems();
	/* Of so few nothing can be said. */
	return seen < CACHE_SAMPLE / 4 ? 0 : again * CACHE_ALL / seen;
}
#else
static unsigned int cache_sample(int nid)
{
	return 0;
}
#endif

/*
 * How many of so many inactive pages of cache are in use. Where the LRU has generations,
 * what is read by system calls never becomes active, however often; reclaim protects it
 * once much of it was missed. It is counted how often each page was read, though; but
 * with each new generation the count begins anew, so what was seen holds for a while.
 */
static unsigned long pressure_read_again(int nid, unsigned long pages)
{
	struct balloon_node *bn = balloon_nodes[nid];

	if (!lru_gen_enabled() || !bn)
		return 0;
	if (bn->sampled != brake.since) {
		bn->sampled = brake.since;
		bn->read_again -= DIV_ROUND_UP(bn->read_again, CACHE_FADE);
		bn->read_again = max(bn->read_again, cache_sample(nid));
	}
	return mult_frac(pages, bn->read_again, CACHE_ALL);
}

/* Whether reclaim finds cache without turning to what is in use, as inactive_is_low() says. */
static bool pressure_cache_unused(int nid)
{
	unsigned long inactive = pressure_state(nid, NR_INACTIVE_FILE);
	unsigned long active = pressure_state(nid, NR_ACTIVE_FILE);
	unsigned long gib = (inactive + active) >> (30 - PAGE_SHIFT);
	unsigned long again = pressure_read_again(nid, inactive);

	inactive -= again;
	active += again;
	return inactive * (gib ? int_sqrt(10 * gib) : 1) > active;
}

static enum balloon_prey pressure_prey(int nid)
{
	unsigned long cache = pressure_cache(nid);

	if (balloon_reclaim_mode == BALLOON_RECLAIM_NONE)
		return PREY_NONE;
	if (cache && pressure_cache_unused(nid))
		return PREY_UNUSED_CACHE;
	if (pressure_anon(nid))
		return pressure_swapped(nid) ? PREY_SWAPPED : PREY_ANY;
	return cache ? PREY_USED_CACHE : PREY_NONE;
}

/**
 * balloon_reclaimable - what a node could give by reclaim
 * @nid: the node
 *
 * Clean page cache, and in mode swap anonymous memory for which there is swap, each
 * down to a floor. Free swap is counted for each node that asks.
 *
 * Context: the worker. Takes no locks.
 * Return: an estimate in base pages; 0 if the mode allows none.
 */
unsigned long balloon_reclaimable(int nid)
{
	if (balloon_reclaim_mode == BALLOON_RECLAIM_NONE)
		return 0;
	return pressure_cache(nid) + pressure_anon(nid);
}

/*
 * One step of the mm's reclaim on one node. Returns base pages reclaimed. Without
 * I/O and file systems, anonymous and dirty pages stay where they are.
 */
static unsigned long pressure_reclaim_step(int nid, enum balloon_prey prey)
{
	gfp_t gfp = GFP_HIGHUSER_MOVABLE;
	unsigned int noreclaim;
	unsigned long done;

	if (prey != PREY_ANY)
		gfp &= ~(__GFP_IO | __GFP_FS);
	fs_reclaim_acquire(gfp);
	noreclaim = memalloc_noreclaim_save();
	done = try_to_free_pages(node_zonelist(nid, gfp | __GFP_THISNODE), 0, gfp, NULL);
	memalloc_noreclaim_restore(noreclaim);
	fs_reclaim_release(gfp);

	/* In vain, it may have tried up to three ways, and counts each. */
	brake.calls += done ? 1 : 3;
	cond_resched();
	return done;
}

/*
 * Pages that are sent to swap are free when they are written. Until then every step
 * would send more of them, without end where the disk is slow.
 */
static void pressure_await_writes(struct balloon *b, int nid)
{
	unsigned long until = jiffies + BRAKE_INTERVAL;

	while (pressure_state(nid, NR_WRITEBACK) > WRITES_MAX &&
	       time_before(jiffies, until) && !balloon_slice_over(b))
		schedule_timeout_uninterruptible(1);
}

/* A step brought nothing, and has scanned all there is. Returns whether to try what is left. */
static bool pressure_in_vain(int nid, enum balloon_prey prey)
{
	/* What was sent to swap comes as soon as it is written. */
	if (prey == PREY_ANY && pressure_state(nid, NR_WRITEBACK) &&
	    brake.futile++ < FUTILE_MAX)
		return false;

	brake.futile = 0;
	if (prey == PREY_ANY)
		node_set(nid, brake.no_anon);
	else if (prey == PREY_SWAPPED)
		node_set(nid, brake.no_swapped);
	else
		node_set(nid, brake.no_cache);
	brake.barren = jiffies;
	return true;
}

/**
 * balloon_reclaim - make free pages on a node
 * @nid: the node
 * @want: so many base pages are wanted; the last step may bring some more
 *
 * To be called when balloon_brake() has said 0, for each node that wants pages. It
 * ends when so many were reclaimed, when this interval's quota is used up, when nothing
 * more comes, or when the worker's slice is over. What was reclaimed is free then, unless
 * somebody else was faster; it may be passed to balloon_take_reclaimed().
 *
 * Context: the worker, without balloon_host_lock, which reclaim may want. Sleeps.
 * Return: base pages reclaimed; 0 if none. Then balloon_brake() says when to try again, or
 *	0 if there is no use.
 */
unsigned long balloon_reclaim(int nid, unsigned long want)
{
	struct balloon *b = balloon_current();
	unsigned long done = 0, got, *left;
	enum balloon_prey prey;

	while (b && done < want && (prey = pressure_prey(nid)) != PREY_NONE) {
		left = prey == PREY_USED_CACHE ? &brake.left_used : &brake.left;
		if (!*left) {
			brake.held |= !done;
			break;
		}
		if (prey == PREY_ANY)
			pressure_await_writes(b, nid);
		if (balloon_slice_over(b))
			break;
		got = pressure_reclaim_step(nid, prey);
		if (got) {
			*left -= min(*left, got);
			brake.done += got;
			done += got;
			brake.futile = 0;
		} else if (!pressure_in_vain(nid, prey)) {
			brake.held |= !done;
			break;
		}
	}

	if (done)
		balloon_drain_node(nid);
	return done;
}

/* How often others had to reclaim directly. */
static unsigned long brake_stalls(void)
{
	static unsigned long events[NR_VM_EVENT_ITEMS];
	unsigned long stalls = 0;
	int z;

	all_vm_events(events);
	for (z = 0; z < MAX_NR_ZONES; z++)
		stalls += events[ALLOCSTALL_NORMAL - ZONE_NORMAL + z];
	return stalls - brake.calls;
}

static unsigned long brake_faded(unsigned long pages, unsigned long intervals)
{
	/* By then it is next to nothing. */
	if (intervals > 8 * BRAKE_FADE)
		return 0;
	while (intervals-- && pages)
		pages -= DIV_ROUND_UP(pages, BRAKE_FADE);
	return pages;
}

/* What is more than usual: a usual rate is not the same all the time. */
static unsigned long brake_unusual(unsigned long pages, unsigned long usual,
				   unsigned long intervals)
{
	return pressure_above(pages, (usual + usual / 2) * intervals);
}

/* What the guest missed in so many intervals. */
static unsigned long brake_look(unsigned long intervals)
{
	unsigned long refaults = global_node_page_state(WORKINGSET_REFAULT_FILE);
	unsigned long activated = global_node_page_state(WORKINGSET_ACTIVATE_FILE) +
				  global_node_page_state(WORKINGSET_REFAULT_ANON);
	unsigned long stalls = brake_stalls();
	unsigned long file = refaults - brake.refaults;
	unsigned long missed = activated - brake.activated;
	unsigned long stalled = max_t(long, stalls - brake.stalls, 0);

	brake.refaults = refaults;
	brake.activated = activated;
	brake.stalls = stalls;

	if (brake.watching) {
		brake.usual = max(brake.usual, file / intervals);
		brake.usual_early = max(brake.usual_early, missed / intervals);
		brake.usual_stalls = max(brake.usual_stalls, stalled / intervals);
	}
	missed = max(brake_unusual(missed, brake.usual_early, intervals),
		     brake_unusual(file, brake.usual, intervals));
	return missed + brake_unusual(stalled, brake.usual_stalls, intervals) * SWAP_CLUSTER_MAX;
}

/*
 * An interval begins. Whoever got nothing for want of quota is told to come again, and
 * not that there is no use.
 */
static unsigned long brake_begin(unsigned long now)
{
	unsigned long again = brake.held;

	brake.since = now;
	brake.left = brake.quota;
	brake.left_used = brake.quota_used;
	brake.held = false;
	if (time_after(now, brake.barren + BRAKE_BARREN)) {
		nodes_clear(brake.no_cache);
		nodes_clear(brake.no_anon);
		nodes_clear(brake.no_swapped);
	}
	return again;
}

/* Before anything is reclaimed, the guest is looked at for a while. */
static unsigned long brake_watch(unsigned long now)
{
	brake.quota = BRAKE_QUOTA;
	brake.quota_used = BRAKE_QUOTA_USED;
	brake.done = 0;
	brake.harm = 0;
	brake.pause = 0;
	brake.pausing = false;
	brake.watched = false;
	brake.watching = 0;
	brake_look(1);
	brake.usual = 0;
	brake.usual_early = 0;
	brake.usual_stalls = 0;
	brake.watching = BRAKE_WATCH;
	brake_begin(now);
	return BRAKE_INTERVAL;
}

static unsigned long brake_press(unsigned long now)
{
	brake.pause = brake.pause ? min(2 * brake.pause, BRAKE_PAUSE_MAX) : BRAKE_PAUSE;
	brake.until = now + brake.pause;
	brake.pausing = true;
	brake.quota = clamp(brake.quota / 2, BRAKE_QUOTA_LEAST, BRAKE_QUOTA);
	brake.quota_used = clamp(brake.quota_used / 2, BRAKE_QUOTA_LEAST, BRAKE_QUOTA_USED);
	return brake.pause;
}

/* A pause is over: what happens from now on counts. */
static unsigned long brake_try(unsigned long now)
{
	brake_look(1);
	brake.pausing = false;
	brake.done = 0;
	brake.harm = 0;
	return brake_begin(now);
}

/**
 * balloon_brake_release - a new target: a pause of reclaim ends
 *
 * What was learnt of the guest stays for a while: a host that says a new target each
 * second does not get by the brake.
 *
 * Context: any.
 */
void balloon_brake_release(void)
{
	WRITE_ONCE(brake_released, true);
}

/**
 * balloon_brake - whether balloon_reclaim() may be called
 * @pressed: whether it may not because the guest needs what it has; otherwise, if it
 *	may not, that is for a moment
 *
 * Context: the worker.
 * Return: 0 if it may, or in how many jiffies that is to be asked again.
 */
unsigned long balloon_brake(bool *pressed)
{
	unsigned long now = jiffies, intervals = (now - brake.since) / BRAKE_INTERVAL;
	unsigned long missed;

	*pressed = false;
	if (READ_ONCE(brake_released)) {
		WRITE_ONCE(brake_released, false);
		brake.until = now;
		/* It may do something else than before; what it does is not of this. */
		if (!brake.done)
			brake.watched = false;
		nodes_clear(brake.no_cache);
		nodes_clear(brake.no_anon);
		nodes_clear(brake.no_swapped);
	}

	if (brake.pausing) {
		if (!time_before(now, brake.until))
			return brake_try(now);
		*pressed = true;
		return brake.until - now;
	}
	/* What was learnt long ago is of no use. */
	if (intervals > BRAKE_FORGET || (!brake.watching && !brake.watched))
		return brake_watch(now);
	if (!intervals)
		return brake.watching || brake.held || !brake.left ?
			brake.since + BRAKE_INTERVAL - now : 0;

	missed = brake_look(intervals);
	if (brake.watching) {
		brake.watching -= min(brake.watching, intervals);
		brake_begin(now);
		brake.watched = !brake.watching;
		return brake.watching ? BRAKE_INTERVAL : 0;
	}
	/* What it misses while the balloon rests is not of this. */
	if (intervals > BRAKE_REST)
		missed = 0;
	brake.done = brake_faded(brake.done, intervals);
	brake.harm = brake_faded(brake.harm, intervals) + missed;
	if (!brake.done) {
		brake.harm = 0;
		return brake_begin(now);
	}
	if (brake.harm > brake.done / BRAKE_TOLERANCE + BRAKE_SLACK) {
		*pressed = true;
		return brake_press(now);
	}
	if (brake.pause) {
		/* It may take a while until the guest misses something. */
		if (time_after(now, brake.until + brake.pause))
			brake.pause = 0;
	} else {
		/* What was not made use of tells nothing. */
		if (brake.left < brake.quota)
			brake.quota += BRAKE_QUOTA;
		if (brake.left_used < brake.quota_used)
			brake.quota_used += BRAKE_GROWTH_USED;
	}
	return brake_begin(now);
}

/**
 * balloon_booting - whether the kernel boots
 *
 * Context: any.
 * Return: false once init runs.
 */
bool balloon_booting(void)
{
	return system_state < SYSTEM_RUNNING;
}

/**
 * balloon_boot_floor - what must stay free while the kernel boots
 * @kept: base pages that the host leaves to the guest
 *
 * The initramfs is still to be unpacked then, and nothing can be reclaimed for it.
 * How large it will be is not known: four times of what it is packed, at least
 * where it is no more than a usual one. A guest that is to keep a small part of its
 * memory has no share of the whole to spare, and may not be booted before it has given
 * up the rest: Xen's with populate-on-demand.
 *
 * Context: any.
 * Return: base pages, for the machine as a whole.
 */
unsigned long balloon_boot_floor(unsigned long kept)
{
	unsigned long floor = kept / BOOT_FLOOR;

	if (IS_ENABLED(CONFIG_BLK_DEV_INITRD) && initrd_end > initrd_start)
		floor += INITRAMFS_UNPACKED * PFN_UP(initrd_end - initrd_start);
	return floor;
}

/*
 * min_free_kbytes, too, follows from how large zones are, unless it is what the
 * administrator wrote: memory hotplug would overrule a small one.
 */
static void watermarks_recompute(void)
{
	if (user_min_free_kbytes >= 0 && min_free_kbytes == user_min_free_kbytes) {
		setup_per_zone_wmarks();
	} else if (IS_ENABLED(CONFIG_MEMORY_HOTPLUG)) {
		/* Without, it is gone after boot. */
		init_per_zone_wmark_min();
	} else {
		calculate_min_free_kbytes();
		setup_per_zone_wmarks();
		khugepaged_min_free_kbytes_update();
	}
}

/*
 * Whether a zone's watermarks are those of a much smaller zone: it has grown since, or
 * they were computed while it was small, be it by somebody else.
 */
static bool watermarks_outgrown(struct zone *zone, struct balloon_zone *bz)
{
	unsigned long managed = zone_managed_pages(zone);
	unsigned long grown = pressure_above(managed, READ_ONCE(bz->least_managed));
	unsigned long gap = low_wmark_pages(zone) - min_wmark_pages(zone);
	/* Of all that there may be: what is ballooned does not make others' share larger. */
	unsigned long share = mult_frac(managed, min_free_kbytes >> (PAGE_SHIFT - 10),
					get_num_physpages());

	if (grown > zone->present_pages / 8)
		return true;
	/* All is back: to the page, or nearly so. */
	if (grown > zone->present_pages / 64 && !READ_ONCE(bz->accounted))
		return true;
	/* Between two marks lies a fourth of its share at least; see __setup_per_zone_wmarks(). */
	return gap < share / 4 / 8 * 7;
}

/* What is computed from now on is right as long as zones don't grow. */
static void watermarks_follow(struct balloon_node *bn)
{
	struct balloon_zone *bz;
	int z;

	for (z = 0; z < MAX_NR_ZONES; z++) {
		bz = &bn->zones[z];
		spin_lock_irq(&bz->lock);
		bz->least_managed = zone_managed_pages(&NODE_DATA(bn->nid)->node_zones[z]);
		spin_unlock_irq(&bz->lock);
	}
}

/* Whether the balloon has more or less of the node than when reserves were last computed. */
static bool reserves_stale(struct balloon_node *bn)
{
	struct balloon_zone *bz;
	unsigned long accounted;
	bool stale = false;
	int z;

	for (z = 0; z < MAX_NR_ZONES; z++) {
		bz = &bn->zones[z];
		accounted = READ_ONCE(bz->accounted);
		stale |= accounted != bz->reserved_at;
		bz->reserved_at = accounted;
	}
	return stale;
}

/**
 * balloon_watermarks_update - recompute watermarks that the balloon made stale
 *
 * Whoever computes watermarks while memory is ballooned (memory hotplug, a write to
 * min_free_kbytes, THP switched on) takes zones for as small as they are then. Their
 * watermarks stay so when pages come back, until somebody computes them again. And newer
 * kernels have what lower zones keep for themselves follow each change of managed pages:
 * here once for all changes. To be called when the worker comes to rest.
 *
 * Context: the worker, without balloon_host_lock: notifiers of memory hotplug take
 *	that under the lock that is taken here. Sleeps.
 * Return: whether they were recomputed.
 */
bool balloon_watermarks_update(void)
{
	struct balloon_node *bn;
	bool outgrown = false, stale = false;
	struct zone *zone;
	int nid, z;

	get_online_mems();
	for_each_balloon_node(bn, nid) {
		for (z = 0; z < MAX_NR_ZONES && !outgrown; z++) {
			zone = &NODE_DATA(nid)->node_zones[z];
			outgrown = managed_zone(zone) &&
				   watermarks_outgrown(zone, &bn->zones[z]);
		}
	}
	if (outgrown) {
		for_each_balloon_node(bn, nid)
			watermarks_follow(bn);
		watermarks_recompute();
	}
	for_each_balloon_node(bn, nid)
		stale |= reserves_stale(bn);
	/* For what it does beside adding nothing. */
	if (stale)
		adjust_managed_page_count(ZERO_PAGE(0), 0);
	put_online_mems();
	return outgrown;
}
