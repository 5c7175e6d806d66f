/* SPDX-License-Identifier: GPL-2.0 */
/*
 * NUMA-aware memory ballooning: what the files of mm/balloon/ share.
 *
 * Locks, outermost first:
 *   balloon_host_lock (mutex)	one host conversation at a time, and the pages
 *				held on behalf of each origin. Only try-locked
 *				in migration and in the page allocator, until
 *				the OOM killer is the alternative.
 *   page lock			of a base page that is put on or taken off a map.
 *				Under balloon_zone->lock only try-locked.
 *   balloon_zone->lock		queues, blocks and counters of one zone, irq-safe.
 *				Nothing is allocated and no host is called
 *				under it.
 *   xa_lock of the blocks	stores into the xarray.
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

#define SUPERFRAME_ORDER	BALLOON_SUPERFRAME_ORDER
#define SUPERFRAME_PAGES	BALLOON_SUPERFRAME_PAGES

/*
 * What page_owner says of ballooned pages. It allocates as this says, also where
 * somebody waits for balloon_host_lock in order to reclaim: without reclaim.
 */
#define OWNER_GFP		((GFP_HIGHUSER_MOVABLE & ~__GFP_RECLAIM) | __GFP_NOWARN)

/* The origin of pages that were not inflated on behalf of a node's target. */
#define BALLOON_NO_ORIGIN	NUMA_NO_NODE

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
#define BALLOON_NR_BUCKETS	18

/**
 * struct balloon_block - a 2M block some of whose base pages are ballooned
 * @list: in the bucket of its zone that its fullness asks for
 * @bz: the zone; a block that straddles two zones belongs to the one whose
 *	page came first, and pages of the other are not taken
 * @index: pfn >> SUPERFRAME_ORDER
 * @nr: pages on @map
 * @away: pages that have a place in the block but are not on @map: on their
 *	way to or from the host, or isolated for migration. They keep the block
 *	alive.
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
 * @baseline: managed pages + @accounted, which ballooning does not change
 * @stuck_since: when, in jiffies, BALLOON_STUCK_BUCKET got its first block
 * @evacuate_pfn: where evacuation goes on; the worker's, not under @lock
 * @evacuate_level: and how much a block may cost there
 * @owed: whole blocks that the balloon took from the guest since it last made
 *	some whole for it; see balloon_mend()
 * @compacted: when, in jiffies, compaction last moved pages of partial blocks;
 *	not under @lock, nor is the next
 * @scattered: whether it may have left some of them; see balloon_gather()
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
	unsigned long baseline;
	unsigned long stuck_since;
	unsigned long evacuate_pfn;
	unsigned int evacuate_level;
	unsigned long owed;
	unsigned long compacted;
	bool scattered;
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

/**
 * struct balloon_node - what the balloon knows of one node
 * @nid: its number
 * @zones: its zones' queues
 * @stats: see enum balloon_stat
 * @legacy: base pages in balloons that keep their own lists, see legacy.c
 * @rings: nodes around it; replaced under RCU when memory comes or goes
 * @target: base pages wanted on behalf of this node, or BALLOON_TARGET_AUTO
 * @held: held[n]: base pages that node n gave on behalf of this one, NULL
 *	before its first target. Protected by the balloon's mutex.
 * @exchange_after: when, in jiffies, it may be exchanged for again
 */
struct balloon_node {
	int nid;
	struct balloon_zone zones[MAX_NR_ZONES];
	atomic_long_t stats[NR_BALLOON_STATS];
	atomic_long_t legacy;
	struct balloon_rings __rcu *rings;
	unsigned long target;
	unsigned long *held;
	unsigned long exchange_after;
};

/**
 * struct balloon_share - a node's memory, as policies compare it
 * @nid: the node
 * @free: its free base pages
 * @present: its present base pages
 * @limit: base pages that it can give or take back
 */
struct balloon_share {
	int nid;
	unsigned long free;
	unsigned long present;
	unsigned long limit;
};

enum balloon_policy { BALLOON_BALANCE, BALLOON_LOCAL, NR_BALLOON_POLICIES };

/* core.c */
extern struct mutex balloon_host_lock;
extern bool balloon_superframe_targets;
extern bool balloon_hold;
extern nodemask_t balloon_origins;
extern atomic_long_t balloon_retries;
struct balloon *balloon_current(void);
void balloon_kick(struct balloon *b);
void balloon_kick_later(struct balloon *b);
void balloon_replan(void);
bool balloon_stale(struct balloon *b, int generation);
unsigned long balloon_goal(struct balloon *b);
unsigned long balloon_host_target(void);
void balloon_stay_below(struct balloon *b);
unsigned int balloon_host_inflate(struct balloon *b,
				  const struct balloon_extent *ext, unsigned int nr);
unsigned int balloon_host_deflate(struct balloon *b,
				  const struct balloon_extent *ext, unsigned int nr);
unsigned int balloon_host_deflate_nowait(struct balloon *b,
					 const struct balloon_extent *ext, unsigned int nr);
bool balloon_has_surplus(struct balloon *b);
unsigned int balloon_host_exchange(struct balloon *b, const struct balloon_extent *give,
				   const struct balloon_extent *take, unsigned int nr,
				   unsigned int *taken);
void balloon_settle(struct balloon *b, const struct balloon_extent *ext,
		    unsigned int nr, unsigned int done);
unsigned int balloon_take_back(struct balloon *b, const struct balloon_extent *ext,
			       unsigned int nr);
unsigned int balloon_exchange_superframe(struct balloon *b, const struct balloon_extent *give,
					 const struct balloon_extent *take);
void balloon_set_hold(bool hold);
void balloon_host_update(struct balloon *b, bool busy);

/* search.c */
int balloon_cmp_pfn(const void *a, const void *b);
unsigned long balloon_inflate_around(struct balloon *b, int origin, int owner,
				     unsigned long want, int generation);
unsigned long balloon_deflate_around(struct balloon *b, int origin, int owner,
				     unsigned long want, int generation);
int balloon_hungry_origin(struct balloon *b, unsigned long want, unsigned long *quota);
void balloon_keep_surplus(unsigned long pages);
void balloon_move_claim(int from, int to, unsigned long pages);
int balloon_next_origin(bool inflate, unsigned long want, unsigned long *quota);
unsigned long balloon_held(struct balloon_node *origin);
unsigned long balloon_unclaimed(int nid);
void balloon_settle_claims(void);
void balloon_adopt(struct balloon_node *origin, unsigned long want);

/* policy.c */
extern enum balloon_policy balloon_policy;
int balloon_pick(const struct balloon_share *share, unsigned int nr, bool inflate);
unsigned long balloon_quota(const struct balloon_share *share, unsigned int nr,
			    unsigned int pick, unsigned long want, bool inflate);
void balloon_scale_targets(unsigned long *target, unsigned int nr,
			   unsigned long total);

/* ring.c */
struct balloon_rings *balloon_rings_build(int nid, const unsigned long *nodes, unsigned int nr,
					  int (*distance)(int from, int to));
unsigned int balloon_ring_end(const struct balloon_rings *rings, unsigned int first);
unsigned int balloon_rings_print(const struct balloon_rings *rings, char *buf, size_t size);
int balloon_rings_update(void);

/* A node alone in its ring, "65535: 1023\n", is what takes most room for each. */
#define BALLOON_RINGS_TEXT	12

/* node.c */
extern struct balloon_node *balloon_nodes[MAX_NUMNODES];
struct balloon_node *balloon_node_add(int nid);
int balloon_nodes_early(void);
struct balloon_zone *balloon_page_bz(const struct page *page);
unsigned long balloon_total(void);
long balloon_kept(void);
unsigned long balloon_reserve_credit(unsigned long goal, unsigned long want,
				     unsigned long unit);
void balloon_reserve(unsigned long pages);
void balloon_unreserve(unsigned long pages);
unsigned long balloon_total_partial(void);
void balloon_account(struct balloon *b, struct balloon_zone *bz,
		     struct page *page, long pages);
void balloon_set_baseline(void);
unsigned long balloon_node_free(int nid);

static inline void balloon_stat_add(int nid, enum balloon_stat item, long n)
{
	if (balloon_nodes[nid])
		atomic_long_add(n, &balloon_nodes[nid]->stats[item]);
}

/* Pages that can't be migrated have no business in a zone of movable ones. */
static inline bool balloon_may_take(struct zone *zone)
{
	return managed_zone(zone) &&
	       (IS_ENABLED(CONFIG_BALLOON_COMPACTION) || zone_idx(zone) != ZONE_MOVABLE);
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

/* superframe.c */
unsigned int balloon_take_superframes(int nid, struct balloon_extent *ext,
				      unsigned int nr);
bool balloon_take_superframe_nowait(int nid, struct balloon_extent *ext);
bool balloon_take_superframe_outside(int nid, struct balloon_extent *ext, unsigned long start,
				     unsigned long end);
void balloon_set_offline(const struct balloon_extent *ext, unsigned int nr);
void balloon_put_superframe(struct page *head);
void balloon_queue_superframe(struct balloon *b, struct page *head);
unsigned int balloon_dequeue_zone_superframes(struct balloon_zone *bz,
					      struct balloon_extent *ext, unsigned int nr);
unsigned int balloon_dequeue_superframes(int nid, struct balloon_extent *ext,
					 unsigned int nr);
void balloon_requeue_superframe(struct page *head);
void balloon_free_superframe(struct balloon *b, struct page *head);
bool balloon_split_superframe(int nid);
bool balloon_break_superframe(struct page *head);
bool balloon_dequeue_superframe(struct page *head);
bool balloon_coalesce(struct balloon *b, struct balloon_zone *bz,
		      unsigned long index);

/* block.c */
static inline unsigned int balloon_bucket(unsigned int nr)
{
	return nr * BALLOON_FULL_BUCKET / SUPERFRAME_PAGES;
}

bool balloon_block_reserving(void);
int balloon_block_reserve(struct page *page, gfp_t gfp);
void balloon_block_cancel(struct page *page);
void balloon_block_fill(struct page *head);
struct page *balloon_block_claim(struct balloon_zone *bz, unsigned long index);
void balloon_page_adopt(struct page *page);
void balloon_page_disown(struct page *page);
void balloon_page_set_movable(struct page *page);
void balloon_page_clear_movable(struct page *page);
bool balloon_page_arrives(struct balloon *b, struct page *page);
void balloon_page_arrives_unlocked(struct balloon *b, struct page *page);
void balloon_queue_page(struct balloon *b, struct page *page);
void balloon_requeue_page(struct balloon *b, struct page *page);
void balloon_coalesce_full(struct balloon *b);
unsigned int balloon_dequeue_zone_pages(struct balloon_zone *bz,
					struct balloon_extent *ext, unsigned int nr);
unsigned int balloon_dequeue_pages(int nid, struct balloon_extent *ext,
				   unsigned int nr);
void balloon_page_leaves(struct balloon *b, struct page *page);
void balloon_free_page(struct balloon *b, struct page *page);
bool balloon_page_isolate(struct page *page);
void balloon_page_putback(struct page *page);
void balloon_coalesce_later(void);
unsigned int balloon_take_pages(int nid, struct balloon_extent *ext,
				unsigned int nr, bool reclaim);
unsigned int balloon_take_rest(struct zone *zone, unsigned long pfn,
			       struct balloon_extent *ext);
unsigned int balloon_block_pages(struct page *page);
struct page *balloon_take_hole(struct page *src, bool fuller);
unsigned int balloon_take_holes(struct page *src, struct balloon_extent *ext, unsigned int nr);
unsigned int balloon_dequeue_emptiest(struct balloon_zone *bz, struct balloon_extent *ext);
void balloon_put_page(struct page *page);

/* evacuate.c */
#ifdef CONFIG_COMPACTION
void balloon_evacuate_anew(void);
bool balloon_evacuate(int nid, unsigned long pages, struct balloon_extent *ext,
		      unsigned int *nr_superframes, unsigned int *nr_pages);
void balloon_not_owed(struct page *page, unsigned int nr);
bool balloon_mend(void);
#else
static inline void balloon_evacuate_anew(void) { }
static inline void balloon_not_owed(struct page *page, unsigned int nr) { }
static inline bool balloon_evacuate(int nid, unsigned long pages, struct balloon_extent *ext,
				    unsigned int *nr_superframes, unsigned int *nr_pages)
{
	return false;
}

static inline bool balloon_mend(void)
{
	return false;
}
#endif

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

/* migrate.c */
extern const struct movable_operations balloon_numa_mops;
void balloon_count_migrated(const struct balloon_extent *from, const struct balloon_extent *to);

/* gather.c */
#ifdef CONFIG_BALLOON_COMPACTION
void balloon_gather_later(struct balloon *b, struct balloon_zone *bz);
void balloon_gather(struct balloon *b, int generation);
#else
static inline void balloon_gather(struct balloon *b, int generation) { }
#endif

/* sysfs.c */
#ifdef CONFIG_SYSFS
void balloon_sysfs_add_node(int nid);
#else
static inline void balloon_sysfs_add_node(int nid) { }
#endif
int balloon_parse_target(const char *buf, unsigned long present,
			 unsigned long *target);

#endif /* _MM_BALLOON_INTERNAL_H */
