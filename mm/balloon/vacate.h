/* SPDX-License-Identifier: GPL-2.0 */
/*
 * NUMA-aware memory ballooning: what page isolation and compaction see of it.
 */
#ifndef _MM_BALLOON_VACATE_H
#define _MM_BALLOON_VACATE_H

#include <linux/balloon_numa.h>
#include <linux/mm.h>
#include <linux/page-flags.h>

#ifdef CONFIG_BALLOON_NUMA
/* In the private field of the first page of each superframe in its queue. */
#define BALLOON_SUPERFRAME_MARK	0x6e6f6f6cUL

/* Nothing up to BALLOON_SUPERFRAME_PAGES from here can be migrated. */
static inline bool balloon_is_superframe(struct page *page)
{
	return PageOffline(page) && page_private(page) == BALLOON_SUPERFRAME_MARK;
}

bool balloon_vacate(unsigned long start_pfn, unsigned long end_pfn);
#else
static inline bool balloon_is_superframe(struct page *page)
{
	return false;
}

static inline bool balloon_vacate(unsigned long start_pfn, unsigned long end_pfn)
{
	return true;
}
#endif /* CONFIG_BALLOON_NUMA */

#endif /* _MM_BALLOON_VACATE_H */
