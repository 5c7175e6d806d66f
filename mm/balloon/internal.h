/* SPDX-License-Identifier: GPL-2.0 */
/*
 * NUMA-aware memory ballooning: what the files of mm/balloon/ share.
 *
 * Locks, outermost first:
 *   mem_hotplug_lock		the mm's: notifiers run under it, and scans hold it for
 *				reading, so that memory stays. Readers of nodes' files, for
 *				which it waits, hold device_hotplug_lock for that.
 *   balloon_mutex (host.c)	which balloon is registered.
 *   balloon_host_lock (mutex)	one host conversation at a time. Never taken in the page
 *				allocator, which has a work do so; try-locked in
 *				migration, unless somebody must have the range.
 *   page lock			of a base page that is made part of a superframe: under
 *				balloon_zone->lock, so only try-locked. Who migrates a
 *				page for somebody who must have its range holds that
 *				page's while it waits for balloon_host_lock: it is on no
 *				list, nobody else wants it.
 *   balloon_zone->lock		queues, blocks and counters of one zone, irq-safe.
 *				Nothing is allocated and no host is called
 *				under it.
 *   xa_lock of the blocks	stores into the xarray.
 *   balloon_node->ask.lock	what allocations ask; nothing is taken under it.
 *   balloon_goal_lock (host.c)	the target, and what was given back beyond it; irq-safe,
 *				nothing is taken under it.
 * zone->lock is taken alone.
 */
#ifndef _MM_BALLOON_INTERNAL_H
#define _MM_BALLOON_INTERNAL_H

#include <linux/atomic.h>
#include <linux/balloon_numa.h>
#include <linux/bitmap.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/nodemask.h>
#include <linux/spinlock.h>
#include <linux/wait.h>

#define SUPERFRAME_ORDER	BALLOON_SUPERFRAME_ORDER
#define SUPERFRAME_PAGES	BALLOON_SUPERFRAME_PAGES

/*
 * What page_owner says of ballooned pages. It allocates as this says, also where
 * somebody waits for balloon_host_lock in order to reclaim: without reclaim.
 */
#define OWNER_GFP		((GFP_HIGHUSER_MOVABLE & ~__GFP_RECLAIM) | __GFP_NOWARN)

/*
 * Extents of one host conversation: 256M of superframes, or 4M of base pages,
 * is much for a host call and little for a guest that waits for its turn.
 */
#define BALLOON_BATCH_SUPERFRAMES	128U
#define BALLOON_BATCH_PAGES		1024U
/* Superframes that an allocation can't have while the worker asks for them, by default. */
#define BALLOON_BATCH_DEFLATE		32U

/*
 * Partial blocks are kept by sixteenths of their fullness, full ones apart; so
 * are, for a while, those that have no free page, whatever their fullness.
 */
#define BALLOON_FULL_BUCKET	16
#define BALLOON_STUCK_BUCKET	17
#define BALLOON_EMPTY_BUCKET	18
#define BALLOON_NR_BUCKETS	19

/**
 * struct balloon_block - a 2M block some of whose base pages are ballooned
 * @list: in the bucket of its zone that its fullness asks for
 * @bz: the zone; a block that straddles two zones belongs to the one whose
 *	page came first, and pages of the other are not taken
 * @index: pfn >> SUPERFRAME_ORDER
 * @nr: pages on @map
 * @away: pages that have a place in the block but are not on @map: on their
 *	way to or from the host, isolated for migration, or lent. They keep the
 *	block alive.
 * @map: ballooned pages that may be deflated
 * @rcu: blocks are looked up under RCU
 */
struct balloon_block {
	struct list_head list;
	struct balloon_zone *bz;
	unsigned long index;
	unsigned int nr;
	unsigned int away;
	DECLARE_BITMAP(map, BALLOON_SUPERFRAME_PAGES);
	struct rcu_head rcu;
};

/**
 * struct balloon_zone - the ballooned pages of one zone
 * @lock: protects all of this
 * @superframes: heads of whole superframes, by page->lru
 * @buckets: partial blocks by fullness, emptiest first
 * @nr_superframes: superframes in the balloon
 * @nr_partial: base pages of partial blocks in the balloon
 * @nr_foreign: ballooned base pages that are lent out
 * @superframes_away: those of @nr_superframes that are talked about with the
 *	host and on no list
 * @partial_away: those of @nr_partial that are on no block's map
 * @accounted: pages by which the zone's managed pages were lowered
 * @stuck_since: when, in jiffies, BALLOON_STUCK_BUCKET got its first block
 * @evacuate_pfn: where evacuation goes on; the worker's, not under @lock
 * @evacuate_level: and how much a block may cost there
 * @mending: they are mending's, not inflation's
 * @least_managed: the fewest managed pages since watermarks were last computed for
 *	the worker; see balloon_watermarks_update()
 * @reserved_at: @accounted when the reserves of lower zones were last computed for the
 *	worker; its own
 * @owed: whole blocks that the balloon took from the guest since it last made
 *	some whole for it; see balloon_mend()
 * @coalesced: superframes at the end of @superframes that were made of pieces, or as
 *	many others, of which the host is yet to hear; see balloon_host_coalesced()
 * @refused_until: when, in jiffies, the host may be asked for an allocation again; not
 *	under @lock, nor are the next two: see balloon_refused()
 * @refused_pause: how long that pause is, in jiffies; 0: it has not refused
 * @refused_epoch: since when refusals count
 * @compacted: when, in jiffies, compaction last moved pages of partial blocks;
 *	not under @lock, nor are the next three
 * @scattered: whether it may have left some of them; see balloon_gather()
 * @gather_pause: for how long, in jiffies, compaction is left to go on; 0: it rests
 * @gather_at: until when; the worker's
 */
struct balloon_zone {
	spinlock_t lock;	/* all of this, see above */
	struct list_head superframes;
	struct list_head buckets[BALLOON_NR_BUCKETS];
	unsigned long nr_superframes;
	unsigned long nr_partial;
	unsigned long nr_foreign;
	unsigned long superframes_away;
	unsigned long partial_away;
	unsigned long accounted;
	unsigned long stuck_since;
	unsigned long evacuate_pfn;
	unsigned int evacuate_level;
	bool mending;
	unsigned long least_managed;
	unsigned long reserved_at;
	unsigned long owed;
	unsigned long coalesced;
	unsigned long refused_until;
	unsigned long refused_pause;
	int refused_epoch;
	unsigned long compacted;
	bool scattered;
	unsigned long gather_pause;
	unsigned long gather_at;
};

/* In the order of the lines of nodeN/balloon/stat. */
enum balloon_stat {
	BALLOON_INFLATE_LOCAL,
	BALLOON_INFLATE_REMOTE,
	BALLOON_DEFLATE_LOCAL,
	BALLOON_DEFLATE_REMOTE,
	BALLOON_REFILL,
	BALLOON_REFILL_FAIL,
	BALLOON_EXCHANGE,
	BALLOON_STAT_MIGRATE,
	BALLOON_COALESCE,
	BALLOON_SPLIT,
	BALLOON_LOST,
	NR_BALLOON_STATS
};

/**
 * struct balloon_rings - the nodes with memory around one node, nearest first
 * @rcu: they are read under RCU
 * @nid: the node in the middle
 * @nr: how many nodes
 * @node: they; nodes of one distance, a ring, are neighbours
 * @node.nid: a node's number
 * @node.distance: and its distance from the node in the middle
 */
struct balloon_rings {
	struct rcu_head rcu;
	int nid;
	unsigned int nr;
	struct {
		unsigned short nid;
		unsigned short distance;
	} node[];
};

/* What allocations ask for a zone: base pages, and of what kind; see refill.c. */
struct balloon_ask_zone {
	unsigned long pages;
	unsigned int flags;
};

/**
 * struct balloon_ask - what allocations of a node wait for
 * @lock: protects @zones, @givers and @tickets; the others are read and written without
 * @zones: what is asked, and not answered yet
 * @givers: nodes whose memory may be given for it
 * @tickets: how often something was asked
 * @answered: up to which of them it was answered
 * @wait: who waits
 * @after: when, in jiffies, it may be waited again; after there was no answer in time
 * @overdue: somebody has given up waiting for the next answer
 * @late: so it was with the last one
 * @mode: what the last answer came to
 */
struct balloon_ask {
	spinlock_t lock;	/* what is asked, up to the tickets */
	struct balloon_ask_zone zones[MAX_NR_ZONES];
	nodemask_t givers;
	unsigned int tickets;
	unsigned int answered;
	wait_queue_head_t wait;
	unsigned long after;
	bool overdue;
	bool late;
	int mode;
};

/**
 * struct balloon_node - what the balloon knows of one node
 * @nid: its number
 * @zones: its zones' queues
 * @stats: see enum balloon_stat
 * @rings: nodes around it; replaced under RCU when memory comes or goes
 * @target: base pages wanted on behalf of this node, or BALLOON_TARGET_AUTO
 * @limit: base pages that may be ballooned here at most, or BALLOON_LIMIT_MAX. No
 *	lock: who gives pages to the host looks at it last of all, see
 *	balloon_node_room()
 * @remote: base pages that lie here on behalf of other nodes' targets, as far as
 *	the worker knows; for the counters
 * @ask: what allocations wait for
 * @exchange_after: when, in jiffies, it may be exchanged for again
 * @exchanged: when, in jiffies, an allocation last had an exchange made for it; 0:
 *	never
 * @sampled: for which interval of reclaim its page cache was looked at; the worker's,
 *	as is the next
 * @read_again: what share of that was read more than once; see pressure.c
 */
struct balloon_node {
	int nid;
	struct balloon_zone zones[MAX_NR_ZONES];
	atomic_long_t stats[NR_BALLOON_STATS];
	struct balloon_rings __rcu *rings;
	unsigned long target;
	unsigned long limit;
	unsigned long remote;
	struct balloon_ask ask;
	unsigned long exchange_after;
	unsigned long exchanged;
	unsigned long sampled;
	unsigned int read_again;
};

/**
 * struct balloon_share - a node's memory, as policies compare it
 * @free: its free base pages
 * @present: its present base pages
 * @room: base pages that it can give or take back
 * @get: balloon_level()'s answer: how many of them it is to give or take back
 */
struct balloon_share {
	unsigned long free;
	unsigned long present;
	unsigned long room;
	unsigned long get;
};

/* The balloon may have as much of a node as it can spare. */
#define BALLOON_LIMIT_MAX	ULONG_MAX

enum balloon_policy { BALLOON_BALANCE, BALLOON_LOCAL, NR_BALLOON_POLICIES };

/*
 * Four floors: a file uses its own floor and those below it, and files of one floor
 * form no circle. scripts/floors.py (part of 'make lint') has the list.
 *
 * Floor 1: what is held. Pages, queues, counters; no target, no host.
 */

/* node.c: queues per zone, counts per node */
extern struct balloon_node *balloon_nodes[MAX_NUMNODES];
struct balloon_node *balloon_node_add(int nid);
int balloon_nodes_add(void);
struct balloon_zone *balloon_page_bz(const struct page *page);
unsigned long balloon_node_room(int nid);
unsigned long balloon_node_over(int nid);
unsigned long balloon_total(void);
unsigned long balloon_total_partial(void);
long balloon_kept(void);
unsigned long balloon_reserve_credit(unsigned long goal, unsigned long want,
				     unsigned long unit);
void balloon_reserve(unsigned long pages);
void balloon_unreserve(unsigned long pages);
long balloon_node_counted(int nid);
void balloon_add_managed(struct page *page, long pages);
void balloon_account(struct balloon *b, struct balloon_zone *bz,
		     struct page *page, long pages);
void balloon_account_lost(struct balloon *b, struct balloon_zone *bz,
			  struct page *page, unsigned long pages);

static inline void balloon_stat_add(int nid, enum balloon_stat item, long n)
{
	if (balloon_nodes[nid])
		atomic_long_add(n, &balloon_nodes[nid]->stats[item]);
}

/* The first node from @nid on that is known here, which @nid becomes, or NULL. */
static inline struct balloon_node *balloon_node_from(int *nid)
{
	for (; *nid < nr_node_ids; (*nid)++) {
		struct balloon_node *bn = READ_ONCE(balloon_nodes[*nid]);

		if (bn)
			return bn;
	}
	return NULL;
}

#define for_each_balloon_node(bn, nid) \
	for ((nid) = 0; ((bn) = balloon_node_from(&(nid))); (nid)++)

/* block.c: partial blocks, and which of their base pages are ballooned */
static inline unsigned int balloon_bucket(unsigned int nr)
{
	return nr ? nr * BALLOON_FULL_BUCKET / SUPERFRAME_PAGES : BALLOON_EMPTY_BUCKET;
}

static inline unsigned long balloon_block_index(const struct page *page)
{
	return page_to_pfn(page) >> SUPERFRAME_ORDER;
}

bool balloon_block_writing(void);
int balloon_block_reserve(struct page *page, gfp_t gfp);
void balloon_block_cancel(struct page *page);
void balloon_block_fill(struct page *head);
bool balloon_block_mergeable(struct page *head);
struct page *balloon_block_claim(struct balloon_zone *bz, unsigned long index);
unsigned int balloon_block_pages(struct page *page);
unsigned int balloon_fullest_blocks(struct balloon_zone *bz, unsigned long *index,
				    unsigned int nr);
void balloon_block_stuck(struct balloon_zone *bz, unsigned long index);
void balloon_page_adopt(struct page *page);
void balloon_page_disown(struct page *page);
void balloon_page_set_movable(struct page *page);
void balloon_page_unset_movable(struct page *page);
bool balloon_page_keep(struct page *page, bool offline);
void balloon_page_put(struct page *page);
bool balloon_page_away(struct page *page);
void balloon_page_adopt_allocated(struct page *page);
bool balloon_page_arrives(struct balloon *b, struct page *page);
void balloon_page_leaves(struct balloon *b, struct page *page);
void balloon_free_page(struct balloon *b, struct page *page);
bool balloon_page_isolate(struct page *page, bool must);
bool balloon_page_putback(struct page *page);
unsigned int balloon_dequeue_zone_pages(struct balloon_zone *bz,
					struct balloon_extent *ext, unsigned int nr);
unsigned int balloon_dequeue_pages(int nid, struct balloon_extent *ext,
				   unsigned int nr);
unsigned int balloon_dequeue_emptiest(struct balloon_zone *bz, struct balloon_extent *ext);

/* take.c: free memory of the guest, taken beside the allocator, and put back */
unsigned long balloon_zone_spare(struct zone *zone);
unsigned long balloon_zone_spare_with(struct zone *zone, unsigned long more);
unsigned long balloon_node_spare(int nid);
void balloon_drain_zone(struct zone *zone);
void balloon_drain_node(int nid);
unsigned int balloon_take_superframes(int nid, struct balloon_extent *ext,
				      unsigned int nr);
bool balloon_take_superframe_nowait(int nid, struct balloon_extent *ext);
bool balloon_take_superframe_at(struct zone *zone, unsigned long pfn, struct balloon_extent *ext);
unsigned int balloon_take_pages(int nid, struct balloon_extent *ext, unsigned int nr);
unsigned int balloon_take_reclaimed(int nid, struct balloon_extent *ext, unsigned int nr);
unsigned int balloon_take_rest(struct zone *zone, unsigned long pfn,
			       struct balloon_extent *ext);
struct page *balloon_take_page_nowait(int nid);
struct page *balloon_take_hole(struct page *src, bool fuller);
unsigned int balloon_take_holes(struct page *src, struct balloon_extent *ext, unsigned int nr);
void balloon_set_offline(const struct balloon_extent *ext, unsigned int nr);
void balloon_put_superframe(struct page *head);
void balloon_put_page(struct page *page);

/* Are pages written to on their way back to the free lists? Not for who may not wait. */
static inline bool balloon_put_touches(void)
{
	return want_init_on_free() || page_poisoning_enabled_static();
}

/* Pages that can't be migrated have no business in a zone of movable ones. */
static inline bool balloon_may_take(struct zone *zone)
{
	return managed_zone(zone) &&
	       (IS_ENABLED(CONFIG_BALLOON_MIGRATION) || zone_idx(zone) != ZONE_MOVABLE);
}

/* superframe.c: queues of whole superframes */
void balloon_queue_superframe(struct balloon *b, struct page *head);
void balloon_requeue_superframe(struct page *head);
void balloon_queue_coalesced(struct page *head);
unsigned int balloon_dequeue_coalesced(struct balloon_zone *bz, struct balloon_extent *ext);
void balloon_free_superframe(struct balloon *b, struct page *head);
unsigned int balloon_dequeue_zone_superframes(struct balloon_zone *bz,
					      struct balloon_extent *ext, unsigned int nr);
unsigned int balloon_dequeue_superframes(int nid, struct balloon_extent *ext,
					 unsigned int nr);
bool balloon_dequeue_superframe(struct page *head);
void balloon_not_owed(struct page *page, unsigned int nr);

/* coalesce.c: blocks that fill up become superframes, superframes are split */
bool balloon_coalesce(struct balloon *b, struct balloon_zone *bz, unsigned long index);
bool balloon_coalesce_full(struct balloon *b);
bool balloon_break_superframe(struct page *head, gfp_t gfp);
bool balloon_split_superframe(int nid);
void balloon_queue_page(struct balloon *b, struct page *page);
void balloon_requeue_page(struct balloon *b, struct page *page);

/* lost.c: what a host kept for good */
unsigned long balloon_write_off(struct balloon *b);

/*
 * Floor 2: what to do. Arithmetic on a snapshot; no page, no lock, no host.
 */

/* ring.c */
struct balloon_rings *balloon_rings_build(int nid, const unsigned long *nodes, unsigned int nr,
					  int (*distance)(int from, int to));
unsigned int balloon_ring_end(const struct balloon_rings *rings, unsigned int first);
unsigned int balloon_rings_print(const struct balloon_rings *rings, char *buf, size_t size);
int balloon_rings_update(void);

/* A node alone in its ring, "65535: 1023\n", is what takes most room for each. */
#define BALLOON_RINGS_TEXT	12

/* policy.c */
extern enum balloon_policy balloon_policy;
unsigned long balloon_level(struct balloon_share *share, unsigned int nr, unsigned long want,
			    bool inflate);
void balloon_scale_targets(unsigned long *target, unsigned int nr,
			   unsigned long total);

/**
 * struct balloon_plan_node - one node in a plan
 * @rings: the nodes around it, itself first; NULL where it is not to be planned for
 * @target: base pages wanted on its behalf, or BALLOON_TARGET_AUTO
 * @limit: base pages that it may hold at most, without lent ones, or BALLOON_LIMIT_MAX
 * @held: base pages that it holds, without lent ones
 * @partial: those of @held that are in partial blocks
 * @least: to so many of @held it can go down: where the host refuses, to all
 * @grow: base pages that it could take as long as the balloon is to grow
 * @move: base pages that it could take for a target in place of others'
 * @shift: base pages that it could take of what nodes with targets let go
 * @free: its free base pages, as the policy compares them
 * @present: its present base pages
 * @unclaimed: scratch: those of @held that no target has claimed yet
 * @claimed: scratch: what it shall hold on behalf of targets
 * @want: out: what it shall hold of what may move
 * @remote: out: how much of @want is on behalf of other nodes' targets, or, under
 *	policy local, of the node where the request arrived
 * @origin: out: the last of these nodes
 */
struct balloon_plan_node {
	const struct balloon_rings *rings;
	unsigned long target;
	unsigned long limit;
	unsigned long held;
	unsigned long partial;
	unsigned long least;
	unsigned long grow;
	unsigned long move;
	unsigned long shift;
	unsigned long free;
	unsigned long present;
	unsigned long unclaimed;
	unsigned long claimed;
	unsigned long want;
	unsigned long remote;
	int origin;
};

/**
 * struct balloon_plan - what each node shall hold, and what that follows from
 * @goal: base pages that may move and that all nodes are to hold together
 * @policy: how `auto` nodes share the rest
 * @origin: the node that policy local starts at
 * @hungry: the node that is first in line when pages leave, or NUMA_NO_NODE
 * @nr: length of @node, which is indexed by node numbers
 * @node: the nodes
 * @missing: out: how much of @goal has no place
 * @extra: out: how much more than @goal is held by nodes that can't go down
 * @afar: out: how much of nodes' targets lies on other nodes
 * @targets: scratch, @nr of them
 * @shares: scratch, @nr of them
 * @index: scratch, @nr of them
 */
struct balloon_plan {
	unsigned long goal;
	enum balloon_policy policy;
	int origin;
	int hungry;
	unsigned int nr;
	struct balloon_plan_node *node;
	unsigned long missing;
	unsigned long extra;
	unsigned long afar;
	unsigned long *targets;
	struct balloon_share *shares;
	unsigned short *index;
};

/* plan.c */
int balloon_plan_alloc(struct balloon_plan *plan, unsigned int nr);
void balloon_plan_free(struct balloon_plan *plan);
void balloon_plan(struct balloon_plan *plan);

/*
 * Floor 3: the host. One conversation at a time.
 */

/* host.c */
extern struct mutex balloon_host_lock;
extern bool balloon_superframe_targets;
extern bool balloon_hold;
extern atomic_long_t balloon_retries;
struct balloon *balloon_current(void);
int balloon_host_attach(struct balloon *b, work_func_t worker);
void balloon_host_detach(struct balloon *b);
void balloon_kick(struct balloon *b);
void balloon_kick_after(struct balloon *b, unsigned long delay);
void balloon_kick_within(struct balloon *b, unsigned long delay, bool idle);
void balloon_kick_later(struct balloon *b);
void balloon_kick_current_later(void);
void balloon_plan_anew(struct balloon *b);
void balloon_replan(void);
void balloon_retarget(bool raised);
void balloon_set_hold(bool hold);
bool balloon_plan_changed(struct balloon *b);
bool balloon_slice_over(struct balloon *b);
unsigned long balloon_goal(struct balloon *b);
unsigned long balloon_host_target(void);
void balloon_stay_below(struct balloon *b, unsigned long pages);
unsigned long balloon_oom_rest(struct balloon *b);
void balloon_oom_over(struct balloon *b, bool forget);
bool balloon_refused(struct balloon_zone *bz);
void balloon_note_refusal(struct balloon_zone *bz);
void balloon_forget_refusals(void);
void balloon_raise_target(struct balloon *b, unsigned long pages);
void balloon_host_wants(struct balloon *b, unsigned long pages);
void balloon_stand_back(bool back);
bool balloon_own_task(void);
bool balloon_has_surplus(struct balloon *b);
unsigned int balloon_host_inflate(struct balloon *b,
				  const struct balloon_extent *ext, unsigned int nr);
unsigned int balloon_host_deflate(struct balloon *b,
				  const struct balloon_extent *ext, unsigned int nr);
int balloon_host_deflate_nowait(struct balloon *b, const struct balloon_extent *ext,
				unsigned int nr);
unsigned int balloon_host_exchange(struct balloon *b, const struct balloon_extent *give,
				   const struct balloon_extent *take, unsigned int nr,
				   unsigned int *taken);
void balloon_host_update(struct balloon *b, bool busy);
void balloon_host_coalesced(struct balloon *b);
void balloon_settle(struct balloon *b, const struct balloon_extent *ext,
		    unsigned int nr, unsigned int done);
unsigned int balloon_give(struct balloon *b, struct balloon_extent *ext, unsigned int nr);
bool balloon_node_full(int nid, unsigned int order);
unsigned long balloon_take_back(struct balloon *b, const struct balloon_extent *ext,
				unsigned int nr, unsigned long reserved);
unsigned int balloon_swap(struct balloon *b, struct balloon_extent *give,
			  const struct balloon_extent *take, unsigned int nr,
			  unsigned int *taken);
void balloon_count_migrated(const struct balloon_extent *from, const struct balloon_extent *to);

/* Why the balloon rests short of its target, or what it is at; see Documentation/ABI. */
enum balloon_state {
	BALLOON_SETTLED,
	BALLOON_INFLATING,
	BALLOON_DEFLATING,
	BALLOON_MOVING,
	BALLOON_WAIT_GUEST_MEMORY,
	BALLOON_WAIT_PRESSURE,
	BALLOON_WAIT_HOST,
	BALLOON_WAIT_LIMIT,
	BALLOON_WAIT_HELD,
	NR_BALLOON_STATES
};

extern struct kernfs_node *balloon_state_file;
void balloon_set_state(struct balloon *b, enum balloon_state state);
void balloon_notify_state(void);
enum balloon_state balloon_direction(struct balloon *b);
unsigned int balloon_print_state(char *buf, size_t size);

/*
 * Floor 4: who asks.
 */

/* evacuate.c */
#if defined(CONFIG_COMPACTION) && defined(CONFIG_BALLOON_NUMA)
void balloon_evacuate_anew(void);
bool balloon_evacuate(struct balloon *b, int nid, unsigned long pages,
		      struct balloon_extent *ext, unsigned int *nr_superframes,
		      unsigned int *nr_pages);
bool balloon_mend(struct balloon *b);
unsigned long balloon_evacuable(struct zone *zone);
#else
static inline void balloon_evacuate_anew(void) { }
static inline bool balloon_evacuate(struct balloon *b, int nid, unsigned long pages,
				    struct balloon_extent *ext, unsigned int *nr_superframes,
				    unsigned int *nr_pages)
{
	*nr_superframes = 0;
	*nr_pages = 0;
	return false;
}

static inline bool balloon_mend(struct balloon *b)
{
	return false;
}

static inline unsigned long balloon_evacuable(struct zone *zone)
{
	return 0;
}
#endif

/**
 * struct balloon_available - what could be inflated on a node, each page once
 * @superframes: superframes that are free
 * @evacuation: superframes that evacuation could make, an estimate
 * @pages: base pages beside these
 */
struct balloon_available {
	unsigned long superframes;
	unsigned long evacuation;
	unsigned long pages;
};

/* available.c */
void balloon_node_available(int nid, struct balloon_available *a);

/* pressure.c: what inflation may reclaim, and the brake */
enum balloon_reclaim_mode {
	BALLOON_RECLAIM_NONE,
	BALLOON_RECLAIM_CACHE,
	BALLOON_RECLAIM_SWAP,
	NR_BALLOON_RECLAIM_MODES
};

extern enum balloon_reclaim_mode balloon_reclaim_mode;
void balloon_brake_release(void);
unsigned long balloon_brake(bool *pressed);
unsigned long balloon_reclaimable(int nid);
unsigned long balloon_reclaim(int nid, unsigned long want);
bool balloon_booting(void);
unsigned long balloon_boot_floor(unsigned long kept);
bool balloon_watermarks_update(void);

/* For so long after an exchange for an allocation, nothing comes home to its node. */
#define BALLOON_HOME_PAUSE	(10 * HZ)

/* worker.c */
int balloon_set_node_limit(int nid, unsigned long pages);

/* pursue.c: one pass of the worker, batch by batch */
enum balloon_pass_stage { PASS_SUPERFRAMES, PASS_PAGES, PASS_RECLAIM };

/* How a slice ended. */
enum balloon_pass_end {
	/* Nothing is left to do. */
	PASS_MET,
	/* Nothing more can be done now. */
	PASS_SHORT,
	/* It goes on in some time, see @pause. */
	PASS_PACED,
	/* Others get their turn. */
	PASS_CUT,
	/* It is not what is wanted any more. */
	PASS_CHANGED,
};

/**
 * struct balloon_pass - what the worker is at
 * @plan: what each node shall hold
 * @stage: what may be taken for it
 * @open: it is not over: the next slice goes on with it
 * @fresh: it began with a new target, and not to try again
 * @raised: a node's target was raised, and no pass for it has come to its end
 * @afar: some of a node's target lies elsewhere, and may come home when there is plenty
 * @booting: it takes but plainly free memory
 * @moved: something was done that the host had to agree to, by reclaim apart
 * @done: something was done since the plan was made
 * @learned: something was learnt since then that the next plan will know
 * @inflate_refused: the host takes nothing
 * @deflate_refused: the host has refused to give something back
 * @pressed: the guest misses what was reclaimed
 * @all_moved: what was to move from node to node has done so
 * @drained: what CPUs kept on lists of their own is free
 * @vain: how often in a row nothing could be taken of what was reclaimed
 * @pause: until reclaim may go on, in jiffies
 * @retry_at: when to try again, in jiffies; where the last pass ended short
 * @retry: there is something to be tried again
 * @short_since: since when, in jiffies, it came to its end short; 0: it did not
 * @short_said: and the log has it
 * @next: the node that batches begin with
 * @no_superframe: nodes that have no superframe left, not by evacuation either
 * @no_page: nodes that have no free base page left
 * @no_reclaim: nodes where reclaim brings nothing
 * @kept: nodes behind which the host gives nothing back
 */
struct balloon_pass {
	struct balloon_plan plan;
	enum balloon_pass_stage stage;
	bool open;
	bool fresh;
	bool raised;
	bool afar;
	bool booting;
	bool moved;
	bool done;
	bool learned;
	bool inflate_refused;
	bool deflate_refused;
	bool pressed;
	bool all_moved;
	bool drained;
	unsigned int vain;
	unsigned long pause;
	unsigned long retry_at;
	bool retry;
	unsigned long short_since;
	bool short_said;
	int next;
	nodemask_t no_superframe;
	nodemask_t no_page;
	nodemask_t no_reclaim;
	nodemask_t kept;
};

void balloon_pass_begin(struct balloon *b, bool fresh);
enum balloon_pass_end balloon_pursue(struct balloon *b);
unsigned long balloon_pass_missing(struct balloon *b);

/* refill.c */
enum balloon_refill_mode {
	BALLOON_REFILL_OFF,
	BALLOON_REFILL_CREDIT,
	BALLOON_REFILL_EXCHANGE,
	BALLOON_REFILL_OOM,
	NR_BALLOON_REFILL_MODES
};

/* Patching the allocator's code back and forth costs more than the hook does. */
#define BALLOON_REFILL_LINGER	(10 * HZ)

extern enum balloon_refill_mode balloon_refill_mode;
bool balloon_refill_switch(struct balloon *b);

/* gather.c */
#ifdef CONFIG_BALLOON_MIGRATION
void balloon_gather_later(struct balloon *b, struct balloon_zone *bz);
void balloon_gather(struct balloon *b);
#else
static inline void balloon_gather(struct balloon *b) { }
#endif

/* sysfs.c */
#ifdef CONFIG_SYSFS
void balloon_sysfs_add_node(int nid);
#else
static inline void balloon_sysfs_add_node(int nid) { }
#endif
int balloon_parse_pages(const char *buf, const char *none, unsigned long present,
			unsigned long *pages);

/* No other file takes these, but for a test that holds all locks. */
extern struct mutex balloon_mutex;
extern struct mutex balloon_nodes_mutex;
extern spinlock_t balloon_goal_lock;
extern spinlock_t balloon_kick_lock;
extern struct xarray balloon_blocks;

#endif /* _MM_BALLOON_INTERNAL_H */
