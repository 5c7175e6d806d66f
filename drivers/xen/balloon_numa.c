// SPDX-License-Identifier: GPL-2.0
/*
 * Xen as a backend of mm/balloon: extents of 2M and 4K, asked for on the node
 * that they belong to. balloon.c has the target, and makes room for more.
 */
#define pr_fmt(fmt) "xen:balloon: " fmt

#include <linux/balloon_numa.h>
#include <linux/highmem.h>
#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/pm.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

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
/*
 * Superframes of one conversation: others wait for it. And how long a hypercall may take that
 * gives some of them, as no other task gets its CPU meanwhile: most Xens take a superframe apart,
 * page by page, with the TLBs flushed for each.
 */
#define INFLATE_BATCH		16U
#define RELEASE_US		2000U
/* Of one that has no more than its stack. */
#define FRAMES_NOWAIT		8U
/*
 * Refusals of memory on a node, after which memory elsewhere is better than none.
 * Only the worker tries again later: what allocations try in between is no time
 * for the host to find some.
 */
#define EXACT_TRIES		3
#define EXACT_PAUSE		(HZ / 2)

/* Under the conversation mutex: of what is given or taken, and of what comes for it. */
static xen_pfn_t frames[FRAMES], for_frames[FRAMES];
static struct {
	unsigned int nr;
	unsigned long last;		/* in jiffies */
} refusals[MAX_NUMNODES];

/*
 * What was learned of this host, until the guest is restored on another one: it takes no
 * extents of 2M (memop-max-order), exchanges for frames of any node only, knows nothing of
 * these nodes, and takes so many superframes in RELEASE_US. Written under the conversation
 * mutex, and at restore, when nobody calls. deflate_nowait() reads the nodes without: with an
 * old bit it is refused, as before.
 */
static struct {
	bool no_large;
	bool exchanges_anywhere;
	nodemask_t strange;
	unsigned int at_once;		/* superframes of a hypercall; 0: one */
} host;

/*
 * Until the first target is met, a guest may have less memory than it believes to have
 * (populate-on-demand): to write to superframes only to give them away would use it up.
 */
static bool booted;

/*
 * What the host wants to have, what others have borrowed, that and some more for who
 * borrows next, and how much is held for all of them.
 */
static unsigned long wanted, lent, borrowed, target;
static DEFINE_MUTEX(target_lock);	/* all of them */

static bool registered;

/* The worker went to rest so often. */
static atomic_t rests;
static DECLARE_WAIT_QUEUE_HEAD(rest_wq);

static int node_vnode(int nid)
{
	int vnode = IS_ENABLED(CONFIG_ACPI_NUMA) ? node_to_pxm(nid) : NUMA_NO_NODE;

	/* Where NUMA is off, a node that was read of before is not the host's. */
	return pxm_to_node(vnode) == NUMA_NO_NODE ? NUMA_NO_NODE : vnode;
}

/**
 * xen_numa_balloon_vnode - what Xen calls a node
 * @nid: the node
 *
 * Return: its ACPI proximity domain; negative where it has none, or where it is one of
 * several (numa=fake) and not the one that stands for it.
 */
int xen_numa_balloon_vnode(int nid)
{
	int vnode = node_vnode(nid);

	return vnode < 0 || pxm_to_node(vnode) != nid ? NUMA_NO_NODE : vnode;
}

/* Which node of the host memory of one of ours should come from. */
static unsigned int mem_flags(int nid, bool exact)
{
	int vnode = node_vnode(nid);

	if (!xen_feature(XENFEAT_memory_op_vnode_supported) || vnode < 0 ||
	    vnode > MEMF_NODE_MAX || node_isset(nid, host.strange))
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
	rc = HYPERVISOR_memory_op(op, &reservation);
	trace_memory_op(op, reservation.extent_order, nr, rc, flags);
	return clamp(rc, 0, (int)nr);
}

/*
 * What is left of a superframe of which Xen has a part, or may have: nobody can use it. Xen
 * stopped at the first of @nr frames, and goes on behind it: what it has not when the rest
 * comes back would be a page too many for the guest. Returns how many it does not take.
 */
static unsigned int release_rest(xen_pfn_t *list, unsigned int nr)
{
	unsigned int i, left = 0;

	for (i = 1; i <= nr; i++) {
		left++;
		i += memory_op(XENMEM_decrease_reservation, list + i, nr - i, 0, 0);
	}
	return left;
}

/*
 * One hypercall's extents to Xen, in pieces of @order; @list has room for them. Says in
 * *@got how many pieces it has taken. Returns how many extents, from the first.
 */
static unsigned int release(xen_pfn_t *list, const struct balloon_extent *ext, unsigned int nr,
			    unsigned int order, unsigned int *got)
{
	unsigned int shift = ext->order - order;
	unsigned int frames = list_frames(list, ext, nr, order, true), done, rest;

	xen_pv_balloon_unmap(ext, nr);
	*got = memory_op(XENMEM_decrease_reservation, list, frames, order, 0);
	/* It is Xen's if a part of it is. */
	done = DIV_ROUND_UP(*got, 1U << shift);
	rest = (done << shift) - *got;
	if (rest) {
		rest = release_rest(list + *got, rest);
		pr_warn_ratelimited("host does not take %u pages of the superframe at 0x%lx\n",
				    rest, ext[done - 1].pfn);
	}
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

	if (!READ_ONCE(booted) && ext->order && xen_feature(XENFEAT_auto_translated_physmap))
		return;
	for (i = 0; i < nr && xen_scrub_pages; i++) {
		struct page *page = pfn_to_page(ext[i].pfn);

		/* What is free is unmapped then. */
		debug_pagealloc_map_pages(page, 1 << ext[i].order);
		for (j = 0; j < 1UL << ext[i].order; j++)
			xenmem_reservation_scrub_page(page + j);
		if (ext[i].order)
			debug_pagealloc_unmap_pages(page, 1 << ext[i].order);
		if (ext[i].order || i % FRAMES == FRAMES - 1)
			cond_resched();
	}
}

/* What is written to where there is no memory is gone; on x86, which does not trap then. */
static bool is_there(struct page *page)
{
	unsigned long *word, value = ~page_to_pfn(page) << 1;
	bool there;

	if (!IS_ENABLED(CONFIG_X86))
		return false;
	debug_pagealloc_map_pages(page, 1);
	word = kmap_local_page(page);
	WRITE_ONCE(*word, value);
	there = READ_ONCE(*word) == value;
	kunmap_local(word);
	debug_pagealloc_unmap_pages(page, 1);
	return there;
}

/*
 * A superframe that Xen does not take as one, in base pages. Returns whether it is Xen's.
 *
 * Xen counts what it took whole: where it stopped in the middle (at a hole, or a page that
 * somebody else has), the first pages are gone, and the answer is the same as where it took
 * nothing. So an answer of nothing now does not say that the pages are there: who used them
 * would lose what is written to them. A PV guest can tell, as it maps them again.
 */
static bool release_in_pieces(const struct balloon_extent *ext, unsigned int *got)
{
	unsigned int rest;

	if (release(frames, ext, 1, 0, got))
		return true;
	if (!xen_feature(XENFEAT_auto_translated_physmap) || is_there(pfn_to_page(ext->pfn)))
		return false;
	rest = release_rest(frames, BALLOON_SUPERFRAME_PAGES);
	pr_warn_ratelimited("host does not take %u pages of the superframe at 0x%lx, or has them\n",
			    rest, ext->pfn);
	return true;
}

/* As many as Xen can take in one piece each. */
static unsigned int contiguous(const struct balloon_extent *ext, unsigned int nr)
{
	unsigned int n, most = ext->order ? host.at_once ?: 1 : FRAMES;

	if (ext->order && host.no_large)
		return 0;
	for (n = 0; n < min(nr, most); n++)
		if (!xen_pv_balloon_contiguous(ext + n))
			break;
	return n;
}

/* A hypercall for @nr superframes is over: more of them next time, or fewer. */
static void adapt_pace(unsigned int nr, ktime_t began)
{
	u64 us = ktime_us_delta(ktime_get(), began);

	if (us > RELEASE_US)
		host.at_once = max_t(u64, div64_u64(nr * RELEASE_US, us), 1);
	else if (us < RELEASE_US / 2 && nr >= host.at_once)
		host.at_once = min(2 * nr, INFLATE_BATCH);
}

static long inflate(struct balloon *b, const struct balloon_extent *ext, unsigned int nr)
{
	unsigned int done = 0, n, got, pieces;
	ktime_t began;

	while (done < nr) {
		n = contiguous(ext + done, nr - done);
		scrub(ext + done, n ?: 1);
		began = ktime_get();
		got = n ? release(frames, ext + done, n, ext->order, &pieces) : 0;
		if (n && ext->order)
			adapt_pace(n, began);
		done += got;
		if (got < n || !n) {
			if (!ext->order || !release_in_pieces(ext + done, &pieces))
				break;
			done++;
			/* All others of a batch would be unmapped in vain, and mapped again. */
			if (n && !got && pieces == BALLOON_SUPERFRAME_PAGES) {
				host.no_large = true;
				pr_info_once("host takes no extents of 2M: memop-max-order\n");
			}
		}
		cond_resched();
	}
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

/* As they are; one that is not to be had so, in base pages. */
static unsigned int populate_either(const struct balloon_extent *ext, unsigned int nr,
				    unsigned int flags)
{
	unsigned int done = 0;

	while (done < nr) {
		if (!ext->order || !host.no_large)
			done += populate_all(frames, FRAMES, ext + done, nr - done, flags);
		if (!ext->order || done == nr || !populate(frames, ext + done, 1, 0, flags))
			break;
		done++;
		cond_resched();
	}
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

/*
 * Nothing came from the node, nor from elsewhere for it: is there no memory, or no such node
 * (that of a guest that was restored with fewer, or of memory that was added)? Xen answers
 * both alike. Returns how many came without a word on nodes.
 */
static unsigned int populate_strange(const struct balloon_extent *ext, unsigned int nr, int nid)
{
	unsigned int done = populate_either(ext, 1, 0), more;

	if (!done || nr == 1)
		return done;
	/* Memory may have come meanwhile, or have come and gone. */
	if (populate_either(ext + 1, 1, mem_flags(nid, false)))
		return done + 1;
	more = populate_either(ext + 1, nr - 1, 0);
	if (!more)
		return done;
	pr_warn("host has no node %d: what comes back to node %d lies anywhere\n",
		node_vnode(nid), nid);
	node_set(nid, host.strange);
	return done + more;
}

/* On the node it belongs to; elsewhere only after that was refused some times. */
static long deflate(struct balloon *b, const struct balloon_extent *ext, unsigned int nr)
{
	int nid = page_to_nid(pfn_to_page(ext->pfn));
	unsigned int done, more;

	/* An allocation waits: one hypercall, and what is not to be had so is the worker's. */
	if (b->brief && ext->order && host.no_large)
		return populate(frames, ext, 1, 0, mem_flags(nid, true));
	if (b->brief)
		return populate(frames, ext, min(nr, FRAMES), ext->order, mem_flags(nid, true));
	done = populate_either(ext, nr, mem_flags(nid, true));
	/* A node that trickles is as good as one that has nothing. */
	if (done == nr) {
		refusals[nid].nr = 0;
	} else if (refused_often(nid) && mem_flags(nid, true)) {
		more = populate_either(ext + done, nr - done, mem_flags(nid, false));
		if (!done && !more)
			more = populate_strange(ext, nr, nid);
		done += more;
	}
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
 * Xen changes as many frames for one as make a superframe at once, or none. Without the patch
 * of this project it takes them from wherever it likes, and it is no business of a guest's
 * from where: -EINVAL.
 */
static long exchange(struct balloon *b, const struct balloon_extent *give,
		     const struct balloon_extent *take, unsigned int nr, unsigned int *taken)
{
	struct xen_memory_exchange op;
	unsigned int done = 0, order, n, got;
	unsigned int flags = mem_flags(page_to_nid(pfn_to_page(take->pfn)), true);
	bool mapped;
	int rc;

	if (flags && host.exchanges_anywhere)
		return -EOPNOTSUPP;
	nr = xen_pv_balloon_prepare(take, nr);
	scrub(give, nr);
	while (done < nr) {
		n = give->order ? 1 : min(nr - done, FRAMES);
		order = xen_pv_balloon_contiguous(give + done) ? give->order : 0;
		op = (struct xen_memory_exchange) {
			.in.nr_extents = list_frames(frames, give + done, n, order, true),
			.in.extent_order = order,
			.in.domid = DOMID_SELF,
			.out.nr_extents = list_frames(for_frames, take + done, n,
						      take->order, false),
			.out.extent_order = take->order,
			.out.address_bits = flags,
			.out.domid = DOMID_SELF,
		};
		set_xen_guest_handle(op.in.extent_start, frames);
		set_xen_guest_handle(op.out.extent_start, for_frames);
		xen_pv_balloon_unmap(give + done, n);
		rc = HYPERVISOR_memory_op(XENMEM_exchange, &op);
		trace_memory_op(XENMEM_exchange, order, op.in.nr_extents,
				op.nr_exchanged ? (long)op.nr_exchanged : rc, flags);
		got = min_t(xen_ulong_t, op.nr_exchanged >> (give->order - order), n);
		mapped = xen_pv_balloon_map(take + done, got, for_frames, take->order);
		mapped &= xen_pv_balloon_map(give + done + got, n - got,
					     frames + (got << (give->order - order)), order);
		if (!mapped)
			pr_err_ratelimited("host does not let us have our pages\n");
		done += got;
		if (!done && flags && rc == -EINVAL) {
			host.exchanges_anywhere = true;
			return -EOPNOTSUPP;
		}
		if (got < n)
			break;
	}
	*taken = done;
	return done;
}

static int move_frame(unsigned long from, unsigned long to)
{
	struct xen_add_to_physmap op = {
		.domid = DOMID_SELF,
		.space = XENMAPSPACE_gmfn,
		.idx = from,
		.gpfn = to,
	};
	int rc = HYPERVISOR_memory_op(XENMEM_add_to_physmap, &op);

	trace_memory_op(XENMEM_add_to_physmap, 0, 1, rc ?: 1, 0);
	return rc;
}

/*
 * The frame of one page becomes another's, which has none: no memory is allocated for it
 * or freed, whatever the host has or allows. Xen can on x86 since 2009 (XENMAPSPACE_gmfn),
 * with base pages. The frame stays where it is, so it has to be one node's.
 */
static long move_frames(const struct balloon_extent *give, const struct balloon_extent *take,
			unsigned int nr, unsigned int *taken)
{
	unsigned int i;
	int rc = 0;

	for (i = 0; i < nr; i++) {
		rc = move_frame(give[i].pfn, take[i].pfn);
		if (rc)
			break;
	}
	*taken = i;
	/*
	 * There was no memory for a table. If there is none again, nothing has happened. Else the
	 * frame had a place no longer, and had none yet: it is gone.
	 */
	if (rc == -ENOMEM) {
		rc = move_frame(give[i].pfn, take[i].pfn);
		*taken += !rc;
		if (rc != -ENOMEM)
			return i + 1;
	}
	return i ?: -EOPNOTSUPP;
}

/*
 * Where the hypervisor has the patch of this project: a page's frame goes back to it, and
 * another one comes, that which makes the 2M around it whole if it is free.
 */
static long exchange_gfns(const struct balloon_extent *give, const struct balloon_extent *take,
			  unsigned int nr, unsigned int *taken)
{
	struct xen_exchange_gfns op = {
		.domid = DOMID_SELF,
		.flags = XENMEM_xg_superpage,
		.mem_flags = mem_flags(page_to_nid(pfn_to_page(take->pfn)), true),
	};
	unsigned int done = 0;
	int rc;

	set_xen_guest_handle(op.depopulate, frames);
	set_xen_guest_handle(op.populate, for_frames);
	scrub(give, nr);
	do {
		op.nr = list_frames(frames, give + done, min(nr - done, FRAMES), 0, true);
		list_frames(for_frames, take + done, op.nr, 0, false);
		rc = HYPERVISOR_memory_op(XENMEM_exchange_gfns, &op);
		trace_memory_op(XENMEM_exchange_gfns, 0, op.nr, rc, op.mem_flags);
		done += clamp(rc, 0, (int)op.nr);
	} while (rc == op.nr && done < nr);
	*taken = done;
	/* There may be no memory on the node, or somebody else has the first page (a grant). */
	return done ?: -EOPNOTSUPP;
}

static long exchange_translated(struct balloon *b, const struct balloon_extent *give,
				const struct balloon_extent *take, unsigned int nr,
				unsigned int *taken)
{
	long done = -EOPNOTSUPP;

	/* To give 2M and to take them is what makes them whole. */
	if (!IS_ENABLED(CONFIG_X86) || give->order)
		return done;
	if (xen_feature(XENFEAT_memory_op_exchange_gfns))
		done = exchange_gfns(give, take, nr, taken);
	if (done == -EOPNOTSUPP &&
	    page_to_nid(pfn_to_page(give->pfn)) == page_to_nid(pfn_to_page(take->pfn)))
		done = move_frames(give, take, nr, taken);
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
	.exchange = exchange_translated,
	.update = update,
};

/* Mapping a frame takes locks, and may take memory. */
static const struct balloon_ops ops_pv = {
	.inflate = inflate,
	.deflate = deflate,
	.exchange = exchange,
	.update = update,
};

/* xl waits until its target is met to the page. */
static struct balloon balloon = {
	.name = "xen",
	.ops = &ops,
	.max_order = BALLOON_SUPERFRAME_ORDER,
	.flags = BALLOON_EXACT_TARGET,
	.inflate_batch = INFLATE_BATCH,
	/* One hypercall, and a short one. */
	.deflate_batch = 128,
};

/* Pages of which what is borrowed is a multiple: who asks for one at a time waits for few. */
#define LEND_CHUNK	64UL

/*
 * With target_lock held. A target that is set again begins anew with the retries, which is
 * what @again is for.
 */
static void apply(bool again)
{
	if (target == max(wanted, borrowed) && !again)
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
	apply(false);
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
	apply(false);
	mutex_unlock(&target_lock);
	return nr;
}

/* What nobody has borrowed by now is the guest's: the host wants it to have it. */
static void repay(struct work_struct *work)
{
	mutex_lock(&target_lock);
	borrowed = lent;
	apply(false);
	mutex_unlock(&target_lock);
}

static DECLARE_DELAYED_WORK(repay_work, repay);

static void borrow(long pages, bool again)
{
	unsigned long most;

	mutex_lock(&target_lock);
	lent += pages;
	most = round_up(lent, LEND_CHUNK);
	/* One who gives back may borrow again at once. */
	if (lent > borrowed || borrowed > most + LEND_CHUNK)
		borrowed = most;
	/* But some of it, as the grant table, may be lent for good. */
	if (borrowed > lent)
		schedule_delayed_work(&repay_work, HZ);
	apply(again);
	mutex_unlock(&target_lock);
}

/*
 * How long the worker may take to inflate what is to be lent. Twice that, and who waits is
 * not to have a guest not be saved: tasks have 20 s to freeze.
 */
#define LEND_PATIENCE	(4 * HZ)

/**
 * xen_numa_balloon_lend - get pages without frames, to map foreign ones at
 * @pages: where to store them
 * @nr: how many
 *
 * Inflates more than the host wants where that is not enough.
 *
 * Context: may sleep and allocate.
 * Return: 0; -ENOMEM where the guest has no memory to spare for it; -EINTR after a fatal
 * signal.
 */
int xen_numa_balloon_lend(struct page **pages, unsigned int nr)
{
	unsigned int n, tries;
	int seen, rc = 0;

	/* The grant table is mapped before drivers begin. */
	if (xen_numa_balloon_init())
		return -ENOMEM;
	borrow(nr, false);
	seen = atomic_read(&rests);
	n = balloon_lend(&balloon, pages, nr);
	/* It may wait to try again, for half a minute. */
	if (n < nr)
		borrow(0, true);
	/* The worker may have been on its way to rest: after the second time, that is all. */
	for (tries = 0; n < nr && tries < 2 && rc >= 0; tries++) {
		rc = wait_event_killable_timeout(rest_wq, atomic_read(&rests) != seen,
						 LEND_PATIENCE);
		seen = atomic_read(&rests);
		n += balloon_lend(&balloon, pages + n, nr - n);
	}
	if (n == nr)
		return 0;
	balloon_reclaim_lent(&balloon, pages, n);
	borrow(-(long)nr, false);
	return rc < 0 ? -EINTR : -ENOMEM;
}

/**
 * xen_numa_balloon_reclaim_lent - the end of xen_numa_balloon_lend()
 * @pages: pages that nothing is mapped at any more
 * @nr: how many
 *
 * Context: may sleep; does not allocate.
 */
void xen_numa_balloon_reclaim_lent(struct page **pages, unsigned int nr)
{
	balloon_reclaim_lent(&balloon, pages, nr);
	borrow(-(long)nr, false);
}

/**
 * xen_numa_balloon_booted - the first target is met, or there was none
 *
 * Context: any.
 */
void xen_numa_balloon_booted(void)
{
	WRITE_ONCE(booted, true);
}

/*
 * The guest is saved. Tasks are frozen by now, but not all kernel threads: machine frames
 * that one of them has just got from Xen would be another host's afterwards.
 */
static int numa_balloon_freeze(struct device *dev)
{
	if (registered)
		balloon_freeze(&balloon);
	return 0;
}

static int numa_balloon_thaw(struct device *dev)
{
	if (registered)
		balloon_resume(&balloon);
	return 0;
}

/* It may be on another host. */
static int numa_balloon_restore(struct device *dev)
{
	xen_setup_features();
	memset(&host, 0, sizeof(host));
	memset(refusals, 0, sizeof(refusals));
	return numa_balloon_thaw(dev);
}

const struct dev_pm_ops xen_numa_balloon_pm = {
	.freeze = numa_balloon_freeze,
	.thaw = numa_balloon_thaw,
	.restore = numa_balloon_restore,
};

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
		balloon.ops = &ops_pv;
	/* Machine frames are not Xen's to choose; of static memory it refuses more than one. */
	if (xen_feature(XENFEAT_auto_translated_physmap) && xen_feature(XENFEAT_direct_mapped))
		balloon.max_order = 0;
	rc = balloon_register(&balloon);
	if (rc)
		return rc;
	registered = true;
	if (num_online_nodes() > 1 && !xen_feature(XENFEAT_memory_op_vnode_supported))
		pr_warn("Xen does not know our nodes: what comes back lies anywhere\n");
	return 0;
}
