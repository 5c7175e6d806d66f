// SPDX-License-Identifier: GPL-2.0
/*
 * Xen as a backend of mm/balloon, for guests whose physical memory Xen translates
 * (PVH and HVM): extents of 2M and 4K, asked for on the node that they belong to.
 *
 * Pages that never were populated, that were hotplugged, or that were lent to
 * map foreign memory stay in balloon.c's own list; PV guests have all there.
 */
#define pr_fmt(fmt) "xen:balloon: " fmt

#include <linux/balloon_numa.h>
#include <linux/mm.h>

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
/* Refusals of memory on a node, after which memory elsewhere is better than none. */
#define EXACT_TRIES		3

/* Under the conversation mutex. */
static xen_pfn_t frames[FRAMES];
static unsigned char refusals[MAX_NUMNODES];

static bool active;

/**
 * xen_numa_balloon_vnode - what Xen calls a node
 * @nid: the node
 *
 * Return: its ACPI proximity domain; negative where it has none.
 */
int xen_numa_balloon_vnode(int nid)
{
	return IS_ENABLED(CONFIG_ACPI_NUMA) ? node_to_pxm(nid) : NUMA_NO_NODE;
}

/* Which node of the host memory of one of ours should come from. */
static unsigned int mem_flags(int nid, bool exact)
{
	int vnode = xen_numa_balloon_vnode(nid);

	if (!xen_feature(XENFEAT_memory_op_vnode_supported) || vnode < 0 || vnode > MEMF_NODE_MAX)
		return 0;
	return MEMF_VNODE | MEMF_NODE(vnode) | (exact ? MEMF_EXACT_NODE : 0);
}

/* One hypercall, for @nr extents. Returns for how many it was done, from the first. */
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

	set_xen_guest_handle(reservation.extent_start, list);
	rc = HYPERVISOR_memory_op(op, &reservation);
	return clamp(rc, 0, (int)nr);
}

/* @ext in as many hypercalls as @list, which has @room, makes of them. */
static unsigned int memory_ops(unsigned int op, xen_pfn_t *list, unsigned int room,
			       const struct balloon_extent *ext, unsigned int nr,
			       unsigned int flags)
{
	unsigned int done = 0, n, i, got;

	do {
		n = min(nr - done, room);
		for (i = 0; i < n; i++)
			list[i] = page_to_xen_pfn(pfn_to_page(ext[done + i].pfn));
		got = memory_op(op, list, n, ext->order, flags);
		done += got;
	} while (got == n && done < nr);
	return done;
}

/* The first @nr base pages of an extent, one by one. */
static unsigned long page_ops(unsigned int op, const struct balloon_extent *ext,
			      unsigned long nr, unsigned int flags)
{
	unsigned long done = 0, n, i, got;

	do {
		n = min_t(unsigned long, nr - done, FRAMES);
		for (i = 0; i < n; i++)
			frames[i] = page_to_xen_pfn(pfn_to_page(ext->pfn + done + i));
		got = memory_op(op, frames, n, 0, flags);
		done += got;
	} while (got == n && done < nr);
	return done;
}

/* The host has no 2M there any more: an extent in base pages, whole or not at all. */
static bool populate_pages(const struct balloon_extent *ext, unsigned int flags)
{
	unsigned long pages = 1UL << ext->order, got, back;

	got = page_ops(XENMEM_populate_physmap, ext, pages, flags);
	if (got == pages)
		return true;
	back = got ? page_ops(XENMEM_decrease_reservation, ext, got, 0) : 0;
	if (back < got)
		pr_warn_ratelimited("host keeps %lu pages populated\n", got - back);
	return false;
}

static long inflate(struct balloon *b, const struct balloon_extent *ext, unsigned int nr)
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
	return memory_ops(XENMEM_decrease_reservation, frames, FRAMES, ext, nr, 0);
}

/*
 * On the node it belongs to: as it is, then in base pages. Elsewhere only after
 * that was refused some times; the retry timer comes back.
 */
static long deflate(struct balloon *b, const struct balloon_extent *ext, unsigned int nr)
{
	int nid = page_to_nid(pfn_to_page(ext->pfn));
	bool exact = refusals[nid] < EXACT_TRIES;
	unsigned int flags = mem_flags(nid, exact);
	unsigned int done = memory_ops(XENMEM_populate_physmap, frames, FRAMES, ext, nr, flags);

	while (ext->order && done < nr && populate_pages(ext + done, flags))
		done++;
	if (done == nr)
		refusals[nid] = 0;
	else if (exact && !done)
		refusals[nid]++;
	return done;
}

/* For an allocation: on its node or not at all. */
static long deflate_nowait(struct balloon *b, const struct balloon_extent *ext, unsigned int nr)
{
	unsigned int flags = mem_flags(page_to_nid(pfn_to_page(ext->pfn)), true);
	xen_pfn_t list[FRAMES_NOWAIT];

	return memory_ops(XENMEM_populate_physmap, list, FRAMES_NOWAIT, ext, nr, flags);
}

static void update(struct balloon *b, unsigned long pages, bool busy)
{
	xen_balloon_core_holds(pages);
	if (!busy)
		xen_numa_balloon_publish();
}

static const struct balloon_ops ops = {
	.inflate = inflate,
	.deflate = deflate,
	.deflate_nowait = deflate_nowait,
	.update = update,
};

/* xl waits until its target is met to the page. */
static struct balloon balloon = {
	.name = "xen",
	.ops = &ops,
	.max_order = BALLOON_SUPERFRAME_ORDER,
	.flags = BALLOON_EXACT_TARGET,
};

/**
 * xen_numa_balloon_active - is there a core that gives this guest's pages to Xen?
 *
 * Return: whether; else balloon.c's own list has to do.
 */
bool xen_numa_balloon_active(void)
{
	return active;
}

/**
 * xen_numa_balloon_set_target - how much the core should hold
 * @pages: base pages
 *
 * A target that is set again begins anew with the retries: only news is passed on.
 *
 * Context: balloon.c's thread.
 */
void xen_numa_balloon_set_target(unsigned long pages)
{
	static unsigned long target;

	if (pages == target)
		return;
	target = pages;
	balloon_set_target(&balloon, pages);
}

/**
 * xen_numa_balloon_init - register with the core, if this guest can
 *
 * Context: process context, once, before targets come.
 * Return: 0, also where balloon.c's own list has to do; or an errno.
 */
int xen_numa_balloon_init(void)
{
	int rc;

	if (!xen_feature(XENFEAT_auto_translated_physmap))
		return 0;
	rc = balloon_register(&balloon);
	if (rc)
		return rc;
	active = true;
	if (num_online_nodes() > 1 && !xen_feature(XENFEAT_memory_op_vnode_supported))
		pr_warn("Xen does not know our nodes: what comes back lies anywhere\n");
	return 0;
}
