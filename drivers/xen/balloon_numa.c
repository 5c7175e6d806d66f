// SPDX-License-Identifier: GPL-2.0
/*
 * Xen as a backend of mm/balloon: extents of 2M and 4K, asked for on the node
 * that they belong to. balloon.c has the target, and makes room for more.
 */
#define pr_fmt(fmt) "xen:balloon: " fmt

#include <linux/balloon_numa.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/wait.h>

#include <acpi/acpi_numa.h>
#include <asm/xen/hypercall.h>

#include <xen/balloon.h>
#include <xen/features.h>
#include <xen/interface/features.h>
#include <xen/interface/memory.h>
#include <xen/mem-reservation.h>
#include <xen/page.h>
#include <xen/xen.h>

#include "balloon_numa.h"

#define CREATE_TRACE_POINTS
#include <trace/events/xen_balloon.h>

/*
 * Bits of what Linux calls address_bits, which Xen made mem_flags: the node's
 * number plus one from bit 8 on, and whether another one will not do. From
 * public/memory.h of Xen.
 */
#define MEMF_NODE(n)		(((n) + 1U) << 8)
#define MEMF_NODE_MAX		0xfeU
#define MEMF_EXACT_NODE		BIT(17)
#define MEMF_VNODE		BIT(18)

/* Xen's own pages are of 4K, whatever ours are. */
#define XEN_ORDER(order)	((order) + PAGE_SHIFT - XEN_PAGE_SHIFT)

/* Extents of one hypercall. */
#define FRAMES			512U
/* Of one that has no more than its stack. */
#define FRAMES_NOWAIT		8U
/*
 * Refusals of memory on a node, after which memory elsewhere is better than none.
 * Only the worker tries again later: what allocations try in between is no time
 * for the host to find some.
 */
#define EXACT_TRIES		3
#define EXACT_PAUSE		(HZ / 2)

/* Under the conversation mutex. */
static xen_pfn_t frames[FRAMES];
static struct {
	unsigned int nr;
	unsigned long last;		/* in jiffies */
} refusals[MAX_NUMNODES];

/* What the host wants to have, what others have borrowed or want to, and the larger. */
static unsigned long wanted, borrowed, target;
static DEFINE_MUTEX(target_lock);	/* all of them */

static bool registered;

/* The worker went to rest so often. */
static atomic_t rests;
static DECLARE_WAIT_QUEUE_HEAD(rest_wq);

/**
 * xen_numa_balloon_vnode - what Xen calls a node
 * @nid: the node
 *
 * Return: its ACPI proximity domain; negative where it has none.
 */
int xen_numa_balloon_vnode(int nid)
{
	int vnode = IS_ENABLED(CONFIG_ACPI_NUMA) ? node_to_pxm(nid) : NUMA_NO_NODE;

	/* Where NUMA is off, a node that was read of before is not the host's. */
	return pxm_to_node(vnode) == NUMA_NO_NODE ? NUMA_NO_NODE : vnode;
}

/* Which node of the host memory of one of ours should come from. */
static unsigned int mem_flags(int nid, bool exact)
{
	int vnode = xen_numa_balloon_vnode(nid);

	if (!xen_feature(XENFEAT_memory_op_vnode_supported) || vnode < 0 || vnode > MEMF_NODE_MAX)
		return 0;
	return MEMF_VNODE | MEMF_NODE(vnode) | (exact ? MEMF_EXACT_NODE : 0);
}

/* Xen's frames of @nr extents, one of each piece: where they are, or where they are to be. */
static unsigned int list_frames(xen_pfn_t *list, const struct balloon_extent *ext,
				unsigned int nr, unsigned int order, bool populated)
{
	unsigned int i, n = 0;
	unsigned long at;

	for (i = 0; i < nr; i++) {
		for (at = 0; at < 1UL << ext->order; at += 1UL << order) {
			struct page *page = pfn_to_page(ext[i].pfn + at);

			list[n++] = populated ? xen_page_to_gfn(page) : page_to_xen_pfn(page);
		}
	}
	return n;
}

/* One hypercall, for @nr frames. Returns for how many it was done, from the first. */
static unsigned int memory_op(unsigned int op, xen_pfn_t *list, unsigned int nr,
			      unsigned int order, unsigned int flags)
{
	struct xen_memory_reservation reservation = {
		.nr_extents = nr,
		.extent_order = XEN_ORDER(order),
		.address_bits = flags,
		.domid = DOMID_SELF,
	};
	int rc;

	if (!nr)
		return 0;
	set_xen_guest_handle(reservation.extent_start, list);
	rc = clamp(HYPERVISOR_memory_op(op, &reservation), 0, (int)nr);
	trace_memory_op(op, reservation.extent_order, nr, rc, flags);
	return rc;
}

/*
 * One hypercall's extents to Xen, in pieces of @order; @list has room for them.
 * Returns how many, from the first.
 */
static unsigned int release(xen_pfn_t *list, const struct balloon_extent *ext, unsigned int nr,
			    unsigned int order)
{
	unsigned int shift = ext->order - order;
	unsigned int frames = list_frames(list, ext, nr, order, true), got, done;

	xen_pv_balloon_unmap(ext, nr);
	got = memory_op(XENMEM_decrease_reservation, list, frames, order, 0);
	/* It is Xen's if a part of it is; the rest is nobody's. */
	done = DIV_ROUND_UP(got, 1U << shift);
	if ((done << shift) > got)
		pr_warn_ratelimited("host left %u pages of a superframe\n",
				    ((done << shift) - got) << order);
	if (xen_pv_balloon_map(ext + done, nr - done, list + (done << shift), order))
		return done;
	/* The allocator can't have what nothing is mapped at. */
	pr_err_ratelimited("host neither takes pages nor lets us have them\n");
	return nr;
}

/*
 * One hypercall's extents back from Xen, in pieces of @order. A superframe comes
 * whole or not at all. Returns how many, from the first.
 */
static unsigned int populate(xen_pfn_t *list, const struct balloon_extent *ext, unsigned int nr,
			     unsigned int order, unsigned int flags)
{
	unsigned int shift = ext->order - order;
	unsigned int frames, got, done, rest;

	nr = xen_pv_balloon_prepare(ext, nr);
	frames = list_frames(list, ext, nr, order, false);
	got = memory_op(XENMEM_populate_physmap, list, frames, order, flags);
	done = got >> shift;
	if (!xen_pv_balloon_map(ext, done, list, order))
		done = 0;
	rest = got - (done << shift);
	if (memory_op(XENMEM_decrease_reservation, list + (done << shift), rest, order, 0) < rest)
		pr_warn_ratelimited("host keeps pages populated\n");
	return done;
}

static void scrub(const struct balloon_extent *ext, unsigned int nr)
{
	unsigned int i;
	unsigned long j;

	for (i = 0; i < nr && xen_scrub_pages; i++) {
		struct page *page = pfn_to_page(ext[i].pfn);

		/* What is free is unmapped then. */
		debug_pagealloc_map_pages(page, 1 << ext[i].order);
		for (j = 0; j < 1UL << ext[i].order; j++)
			xenmem_reservation_scrub_page(page + j);
		if (ext[i].order)
			debug_pagealloc_unmap_pages(page, 1 << ext[i].order);
	}
}

/* As many as Xen can take in one piece each, then one that it can't. */
static long inflate(struct balloon *b, const struct balloon_extent *ext, unsigned int nr)
{
	unsigned int done = 0, order, n, got;

	scrub(ext, nr);
	do {
		order = ext->order;
		for (n = 0; n < min(nr - done, FRAMES); n++)
			if (!xen_pv_balloon_contiguous(ext + done + n))
				break;
		if (!n) {
			n = 1;
			order = 0;
		}
		got = release(frames, ext + done, n, order);
		/* Xen may be told to take no large extents of guests: memop-max-order. */
		if (got < n && order) {
			done += got;
			n = 1;
			got = release(frames, ext + done, n, 0);
		}
		done += got;
	} while (got == n && done < nr);
	return done;
}

/* In one piece each, in as many hypercalls as @list, which has @room, makes of them. */
static unsigned int populate_all(xen_pfn_t *list, unsigned int room,
				 const struct balloon_extent *ext, unsigned int nr,
				 unsigned int flags)
{
	unsigned int done = 0, n, got;

	do {
		n = min(nr - done, room);
		got = populate(list, ext + done, n, ext->order, flags);
		done += got;
	} while (got == n && done < nr);
	return done;
}

/* As it is, then in base pages. */
static unsigned int populate_either(const struct balloon_extent *ext, unsigned int nr,
				    unsigned int flags)
{
	unsigned int done = populate_all(frames, FRAMES, ext, nr, flags);

	while (ext->order && done < nr && populate(frames, ext + done, 1, 0, flags))
		done++;
	return done;
}

/* Counts a refusal. Returns whether there were enough of them. */
static bool refused_often(int nid)
{
	if (refusals[nid].nr >= EXACT_TRIES)
		return true;
	/* The last one may be long ago: on 32 bit, jiffies have come round since. */
	if (!refusals[nid].nr || !time_in_range(jiffies, refusals[nid].last,
						refusals[nid].last + EXACT_PAUSE)) {
		refusals[nid].nr++;
		refusals[nid].last = jiffies;
	}
	return false;
}

/* On the node it belongs to; elsewhere only after that was refused some times. */
static long deflate(struct balloon *b, const struct balloon_extent *ext, unsigned int nr)
{
	int nid = page_to_nid(pfn_to_page(ext->pfn));
	unsigned int done;

	/* An allocation waits: one hypercall, and what is not to be had so is the worker's. */
	if (b->brief)
		return populate(frames, ext, min(nr, FRAMES), ext->order, mem_flags(nid, true));
	done = populate_either(ext, nr, mem_flags(nid, true));
	if (done)
		refusals[nid].nr = 0;
	else if (refused_often(nid) && mem_flags(nid, true))
		done = populate_either(ext, nr, mem_flags(nid, false));
	return done;
}

/* For an allocation: on its node or not at all. */
static long deflate_nowait(struct balloon *b, const struct balloon_extent *ext, unsigned int nr)
{
	unsigned int flags = mem_flags(page_to_nid(pfn_to_page(ext->pfn)), true);
	xen_pfn_t list[FRAMES_NOWAIT];

	return populate_all(list, FRAMES_NOWAIT, ext, nr, flags);
}

/*
 * Xen changes as many frames for one as make a superframe at once, or none; it
 * takes them from wherever it likes.
 */
static long exchange(struct balloon *b, const struct balloon_extent *give,
		     const struct balloon_extent *take, unsigned int nr)
{
	static xen_pfn_t taken[FRAMES];
	struct xen_memory_exchange op;
	unsigned int done = 0, order, n, got;
	bool mapped;

	nr = xen_pv_balloon_prepare(take, nr);
	scrub(give, nr);
	while (done < nr) {
		n = give->order ? 1 : min(nr - done, FRAMES);
		order = xen_pv_balloon_contiguous(give + done) ? give->order : 0;
		op = (struct xen_memory_exchange) {
			.in.nr_extents = list_frames(frames, give + done, n, order, true),
			.in.extent_order = order,
			.in.domid = DOMID_SELF,
			.out.nr_extents = list_frames(taken, take + done, n, take->order, false),
			.out.extent_order = take->order,
			.out.domid = DOMID_SELF,
		};
		set_xen_guest_handle(op.in.extent_start, frames);
		set_xen_guest_handle(op.out.extent_start, taken);
		xen_pv_balloon_unmap(give + done, n);
		HYPERVISOR_memory_op(XENMEM_exchange, &op);
		trace_memory_op(XENMEM_exchange, order, op.in.nr_extents, op.nr_exchanged, 0);
		got = min_t(xen_ulong_t, op.nr_exchanged >> (give->order - order), n);
		mapped = xen_pv_balloon_map(take + done, got, taken, take->order);
		mapped &= xen_pv_balloon_map(give + done + got, n - got,
					     frames + (got << (give->order - order)), order);
		if (!mapped)
			pr_err_ratelimited("host does not let us have our pages\n");
		done += got;
		if (got < n)
			break;
	}
	return done;
}

static void update(struct balloon *b, unsigned long pages, bool busy)
{
	xen_balloon_core_holds(pages);
	if (busy)
		return;
	xen_numa_balloon_publish();
	atomic_inc(&rests);
	wake_up_all(&rest_wq);
}

static const struct balloon_ops ops = {
	.inflate = inflate,
	.deflate = deflate,
	.deflate_nowait = deflate_nowait,
	.update = update,
};

/* Mapping a frame takes locks, and may take memory. */
static const struct balloon_ops ops_pv = {
	.inflate = inflate,
	.deflate = deflate,
	.exchange = exchange,
	.update = update,
};

/* As Xen can't be told where to take what it exchanges from. */
static const struct balloon_ops ops_pv_nodes = {
	.inflate = inflate,
	.deflate = deflate,
	.update = update,
};

/* xl waits until its target is met to the page. */
static struct balloon balloon = {
	.name = "xen",
	.ops = &ops,
	.max_order = BALLOON_SUPERFRAME_ORDER,
	.flags = BALLOON_EXACT_TARGET,
	/* One hypercall, and a short one. */
	.deflate_batch = 128,
};

/* With target_lock held. A target that is set again begins anew with the retries. */
static void apply(void)
{
	if (target == max(wanted, borrowed))
		return;
	target = max(wanted, borrowed);
	balloon_set_target(&balloon, target);
}

/**
 * xen_numa_balloon_set_target - how much the host wants the core to hold
 * @pages: base pages
 *
 * Context: may sleep.
 */
void xen_numa_balloon_set_target(unsigned long pages)
{
	if (!registered)
		return;
	mutex_lock(&target_lock);
	wanted = pages;
	apply();
	mutex_unlock(&target_lock);
}

/**
 * xen_numa_balloon_add - memory that the guest never had
 * @pfn: its first page frame
 * @nr: how many
 *
 * The host is thought to want it all, until it says something else.
 *
 * Context: as balloon_add_unpopulated().
 * Return: how many pages there was room for.
 */
unsigned long xen_numa_balloon_add(unsigned long pfn, unsigned long nr)
{
	if (!registered)
		return 0;
	mutex_lock(&target_lock);
	nr = balloon_add_unpopulated(&balloon, pfn, nr);
	wanted += nr;
	target += nr;
	apply();
	mutex_unlock(&target_lock);
	return nr;
}

static void borrow(long pages)
{
	mutex_lock(&target_lock);
	borrowed += pages;
	apply();
	mutex_unlock(&target_lock);
}

/* How long the worker may take to inflate what is to be lent. */
#define LEND_PATIENCE	(10 * HZ)

/**
 * xen_numa_balloon_lend - get pages without frames, to map foreign ones at
 * @pages: where to store them
 * @nr: how many
 *
 * Inflates more than the host wants where that is not enough.
 *
 * Context: may sleep and allocate.
 * Return: 0, or -ENOMEM where the guest has no memory to spare for it.
 */
int xen_numa_balloon_lend(struct page **pages, unsigned int nr)
{
	unsigned int n, tries;
	int seen;

	/* The grant table is mapped before drivers begin. */
	if (xen_numa_balloon_init())
		return -ENOMEM;
	borrow(nr);
	seen = atomic_read(&rests);
	n = balloon_lend(&balloon, pages, nr);
	/* The worker may have been on its way to rest: after the second time, that is all. */
	for (tries = 0; n < nr && tries < 2; tries++) {
		wait_event_timeout(rest_wq, atomic_read(&rests) != seen, LEND_PATIENCE);
		seen = atomic_read(&rests);
		n += balloon_lend(&balloon, pages + n, nr - n);
	}
	if (n == nr)
		return 0;
	balloon_reclaim_lent(&balloon, pages, n);
	borrow(-(long)nr);
	return -ENOMEM;
}

/**
 * xen_numa_balloon_reclaim_lent - the end of xen_numa_balloon_lend()
 * @pages: pages that nothing is mapped at any more
 * @nr: how many
 *
 * Context: may sleep and allocate.
 */
void xen_numa_balloon_reclaim_lent(struct page **pages, unsigned int nr)
{
	balloon_reclaim_lent(&balloon, pages, nr);
	borrow(-(long)nr);
}

/**
 * xen_numa_balloon_init - register with the core
 *
 * Context: process context; for the first time at boot, before targets come.
 * Return: 0, also where that was done before; or an errno.
 */
int xen_numa_balloon_init(void)
{
	int rc;

	if (registered)
		return 0;
	if (!xen_feature(XENFEAT_auto_translated_physmap))
		balloon.ops = mem_flags(first_online_node, true) ? &ops_pv_nodes : &ops_pv;
	rc = balloon_register(&balloon);
	if (rc)
		return rc;
	registered = true;
	if (num_online_nodes() > 1 && !xen_feature(XENFEAT_memory_op_vnode_supported))
		pr_warn("Xen does not know our nodes: what comes back lies anywhere\n");
	return 0;
}
