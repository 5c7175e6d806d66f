// SPDX-License-Identifier: GPL-2.0
/*
 * What ballooning is to a PV guest beside giving and taking: it keeps its own
 * table of machine frames (the p2m), and Xen can give no frame to others while
 * the guest has it mapped. The direct map has base pages only; changes to it go
 * to Xen by the hundred (multicall).
 */
#define pr_fmt(fmt) "xen:balloon: " fmt

#include <linux/balloon_numa.h>
#include <linux/mm.h>

#include <asm/xen/hypercall.h>
#include <asm/xen/page.h>

#include <xen/features.h>

#include "balloon_numa.h"

/* Changes of one hypercall. */
#define CALLS		128U

/* Under the conversation mutex. */
static struct multicall_entry calls[CALLS];
static unsigned int nr_calls;

/* Returns whether Xen has done all of it. */
static bool flush(void)
{
	unsigned int i, nr = nr_calls;
	bool ok = true;

	nr_calls = 0;
	if (nr && HYPERVISOR_multicall(calls, nr))
		return false;
	for (i = 0; i < nr; i++)
		ok &= !calls[i].result;
	return ok;
}

/* With @tlb, no CPU of the guest knows the old mapping afterwards, nor those before it. */
static bool change(unsigned long pfn, pte_t pte, bool tlb)
{
	MULTI_update_va_mapping(&calls[nr_calls++], (unsigned long)__va(PFN_PHYS(pfn)), pte,
				tlb ? UVMF_TLB_FLUSH | UVMF_ALL : 0);
	return nr_calls < CALLS || flush();
}

/**
 * xen_pv_balloon_contiguous - can Xen take an extent as one?
 * @ext: the extent
 *
 * Return: whether its machine frames follow each other.
 */
bool xen_pv_balloon_contiguous(const struct balloon_extent *ext)
{
	unsigned long i, mfn;

	if (!ext->order || xen_feature(XENFEAT_auto_translated_physmap))
		return true;
	mfn = pfn_to_mfn(ext->pfn);
	for (i = 1; i < 1UL << ext->order; i++)
		if (pfn_to_mfn(ext->pfn + i) != mfn + i)
			return false;
	return true;
}

/**
 * xen_pv_balloon_unmap - forget extents' frames, so that Xen can take them
 * @ext: the extents
 * @nr: how many
 *
 * Context: under the conversation mutex.
 */
void xen_pv_balloon_unmap(const struct balloon_extent *ext, unsigned int nr)
{
	unsigned long pages = 1UL << ext->order, j;
	unsigned int i;
	bool ok = true;

	if (xen_feature(XENFEAT_auto_translated_physmap))
		return;
	for (i = 0; i < nr; i++) {
		for (j = 0; j < pages; j++) {
			ok &= change(ext[i].pfn + j, __pte_ma(0), i == nr - 1 && j == pages - 1);
			__set_phys_to_machine(ext[i].pfn + j, INVALID_P2M_ENTRY);
		}
	}
	/* Xen does not exchange such frames; what it takes it can use when they are unmapped. */
	if (!flush() || !ok)
		pr_warn_ratelimited("pages stay mapped\n");
}

/**
 * xen_pv_balloon_prepare - have room in the p2m for frames that are to come
 * @ext: the extents that are to get them
 * @nr: how many
 *
 * Memory that the guest never had may be without. After this, only Xen can keep
 * the frames from being mapped.
 *
 * Context: under the conversation mutex; allocates, without reclaim there.
 * Return: for how many there is, from the first.
 */
unsigned int xen_pv_balloon_prepare(const struct balloon_extent *ext, unsigned int nr)
{
	unsigned int i;

	if (xen_feature(XENFEAT_auto_translated_physmap))
		return nr;
	/* A page of the p2m is for as many pages as a superframe has, and aligned so. */
	BUILD_BUG_ON(P2M_PER_PAGE % BALLOON_SUPERFRAME_PAGES);
	for (i = 0; i < nr; i++)
		if (ext[i].pfn >= xen_p2m_size || xen_alloc_p2m_entry(ext[i].pfn) < 0)
			break;
	return i;
}

/**
 * xen_pv_balloon_map - use the frames that Xen has given, or given back
 * @ext: the extents, prepared
 * @nr: how many
 * @mfn: the first machine frame of each piece of them
 * @order: of a piece; at most that of the extents
 *
 * Context: under the conversation mutex.
 * Return: whether all of them are mapped; else none.
 */
bool xen_pv_balloon_map(const struct balloon_extent *ext, unsigned int nr,
			const xen_pfn_t *mfn, unsigned int order)
{
	unsigned long j, piece = (1UL << order) - 1, frame;
	unsigned int i;
	bool ok = true;

	if (!nr || xen_feature(XENFEAT_auto_translated_physmap))
		return true;
	for (i = 0; i < nr; i++) {
		for (j = 0; j < 1UL << ext->order; j++) {
			frame = *mfn + (j & piece);
			ok &= __set_phys_to_machine(ext[i].pfn + j, frame);
			ok &= change(ext[i].pfn + j, mfn_pte(frame, PAGE_KERNEL), false);
			mfn += (j & piece) == piece;
		}
	}
	ok &= flush();
	if (!ok)
		xen_pv_balloon_unmap(ext, nr);
	return ok;
}
