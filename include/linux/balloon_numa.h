/* SPDX-License-Identifier: GPL-2.0 */
/*
 * NUMA-aware memory ballooning: what a backend (the driver that talks to a
 * hypervisor) sees of mm/balloon/. The core picks nodes, pages and orders,
 * keeps the lists and runs the timers; a backend passes extents to its host.
 * balloon_core.rst says how to write one.
 */
#ifndef _LINUX_BALLOON_NUMA_H
#define _LINUX_BALLOON_NUMA_H

#include <linux/bits.h>
#include <linux/limits.h>
#include <linux/log2.h>
#include <linux/minmax.h>
#include <linux/mmzone.h>
#include <linux/types.h>
#include <linux/sizes.h>
#include <linux/workqueue.h>

/*
 * A superframe is 2M on every architecture: the unit in which hosts map
 * memory, whatever the guest's base page size makes of it.
 */
#define BALLOON_SUPERFRAME_ORDER	MIN(ilog2(SZ_2M) - PAGE_SHIFT, MAX_PAGE_ORDER)
#define BALLOON_SUPERFRAME_PAGES	BIT(BALLOON_SUPERFRAME_ORDER)

/* No target of its own: the node takes its share of what the host asks. */
#define BALLOON_TARGET_AUTO		ULONG_MAX

struct balloon;
struct balloon_pass;
struct task_struct;

/**
 * struct balloon_extent - a run of naturally aligned page frames
 * @pfn: its first page frame
 * @order: it has 1 << @order pages; 0 or BALLOON_SUPERFRAME_ORDER
 */
struct balloon_extent {
	unsigned long pfn;
	unsigned int order;
};

/**
 * struct balloon_ops - how the core talks to a host
 * @inflate: Give @nr extents of one node to the host. The pages are off every
 *	list of the guest and nobody reads or writes them until they are
 *	deflated. Returns how many extents, counted from the first, the host
 *	has taken and acknowledged; fewer than @nr, none included, is no error:
 *	the rest is tried again later. A negative errno counts as none.
 *	Required.
 * @deflate: Ask for @nr extents of one node back. Returns how many extents,
 *	counted from the first, the guest may use from now on; fewer than @nr
 *	is no error, and a negative errno counts as none. Required.
 * @deflate_nowait: As @deflate, for a host that need not be waited for: the
 *	guest may use the extents at once, and the backend tells the host later,
 *	but before it inflates any of them again and before it stops. Without
 *	the conversation mutex, under RCU, in any context: must neither sleep
 *	nor allocate. -EAGAIN: these are not to be had without waiting, which
 *	is no refusal. Optional.
 * @exchange: Give @nr extents to the host, and get as many back for them,
 *	each pair at once, so that the guest holds as much as before at any
 *	moment. Returns how many of @give the host has, from the first, and
 *	stores in @taken how many of @take may be used: as many, or fewer where
 *	a pair broke in its middle. -EOPNOTSUPP: not these, or not by this host;
 *	nothing was done then, and it is done in two steps. Optional.
 * @coalesced: @nr superframes of one node, most of which the host got in pieces.
 *	Where it keeps a huge page until it is told of all of it at once, it is told
 *	now. Optional.
 * @update: The balloon holds @pages base pages now; @busy is false when the
 *	worker goes to rest, because the target is met or because it waits to
 *	try again. Optional.
 *
 * All extents of a call have one order, and those of @inflate and @coalesced are sorted by
 * page frame.
 *
 * All but @deflate_nowait are called under the conversation mutex (one call at a
 * time), in process context, with interrupts on and no spinlock held, and may
 * sleep, but may not allocate memory in a way that reclaims: they also run
 * inside page migration and inside the page allocator.
 */
struct balloon_ops {
	long (*inflate)(struct balloon *b, const struct balloon_extent *ext,
			unsigned int nr);
	long (*deflate)(struct balloon *b, const struct balloon_extent *ext,
			unsigned int nr);
	long (*deflate_nowait)(struct balloon *b, const struct balloon_extent *ext,
			       unsigned int nr);
	long (*exchange)(struct balloon *b, const struct balloon_extent *give,
			 const struct balloon_extent *take, unsigned int nr,
			 unsigned int *taken);
	void (*coalesced)(struct balloon *b, const struct balloon_extent *ext,
			  unsigned int nr);
	void (*update)(struct balloon *b, unsigned long pages, bool busy);
};

/*
 * Flags of a balloon.
 *
 * BALLOON_KEEP_MANAGED: ballooned pages stay part of the zone's managed pages
 * and of MemTotal, because the host lets the guest take them back at will
 * (virtio's DEFLATE_ON_OOM).
 * BALLOON_EXACT_TARGET: the host waits for its target to be met to the page;
 * superframe_targets does not apply.
 */
#define BALLOON_KEEP_MANAGED	BIT(0)
#define BALLOON_EXACT_TARGET	BIT(1)

/**
 * struct balloon - one device's balloon, embedded in the backend's own structure
 * @name: the backend's name, for messages
 * @ops: how to talk to the host
 * @max_order: largest order that @ops take: 0 or BALLOON_SUPERFRAME_ORDER
 * @flags: BALLOON_KEEP_MANAGED, BALLOON_EXACT_TARGET
 * @inflate_batch: superframes that the worker gives at once, 128 at most; 0: as many.
 *	Others wait for the conversation mutex meanwhile
 * @deflate_batch: superframes that the worker asks back at once, 128 at most;
 *	0: few, as no allocation can have them until the host has answered
 * @brief: set by the core while it calls @deflate for an allocation that waits: the
 *	backend asks its host once, for what was asked for, and for nothing else instead
 *
 * The backend fills in the members above, but for @brief, before balloon_register();
 * the ones below belong to the core.
 */
struct balloon {
	const char *name;
	const struct balloon_ops *ops;
	unsigned int max_order;
	unsigned int flags;
	unsigned int inflate_batch;
	unsigned int deflate_batch;
	bool brief;

	/* private: the worker's, or who stopped it */
	struct balloon_extent *ext;
	struct balloon_pass *pass;
	unsigned long deadline;
	unsigned int retry_delay;
	int planned;
	/* private: the worker's task, the node that is first in line, and where the target came */
	struct task_struct *worker;
	int hungry;
	int origin;
	/* private: what the host wants, and what was given back under OOM; one lock for both */
	unsigned long target;
	unsigned long oom_deflated;
	unsigned long oom_at;
	/* private: raised by whatever makes the worker's plan stale */
	atomic_t generation;
	bool stopped;
	/* private: a node's target was raised: what lies elsewhere may move for it */
	bool raised;
	/* private: an allocation found that the host gives again: the worker need not wait */
	bool hurry;
	/* private: the host kept some of an exchange, and has not given it back */
	bool surplus;
	/* private: it refuses superframes, and is asked for pieces: blocks stay split */
	bool pieces;
	/* private: its host can't be called, under the conversation mutex */
	bool suspended;
	/* private: why it rests or what it is at, and since when; and whether it looks into that */
	int state;
	unsigned long state_since;
	bool looking;
	/* private: the worker, when it runs next if that is pending, and whether only to gather */
	unsigned long due;
	bool due_idle;
	struct delayed_work work;
};

int balloon_register(struct balloon *b);
void balloon_unregister(struct balloon *b);
void balloon_set_target(struct balloon *b, unsigned long pages);
bool balloon_target_pending(struct balloon *b);
int balloon_set_node_target(int nid, unsigned long pages);
unsigned long balloon_node_count(int nid, unsigned long *superframes,
				 unsigned long *partial, unsigned long *foreign);
void balloon_suspend(struct balloon *b);
void balloon_freeze(struct balloon *b);
void balloon_resume(struct balloon *b);
int balloon_lend(struct balloon *b, struct page **pages, unsigned int nr);
void balloon_reclaim_lent(struct balloon *b, struct page **pages, unsigned int nr);
unsigned long balloon_add_unpopulated(struct balloon *b, unsigned long pfn, unsigned long nr);

#endif /* _LINUX_BALLOON_NUMA_H */
