/* SPDX-License-Identifier: GPL-2.0 */
/*
 * NUMA-aware memory ballooning: what compaction sees of whole superframes.
 */
#ifndef _MM_BALLOON_SUPERFRAME_H
#define _MM_BALLOON_SUPERFRAME_H

#include <linux/balloon_numa.h>
#include <linux/mm.h>
#include <linux/page-flags.h>

#include "movable.h"

/*
 * In the private field of the first page of each superframe in its queue; another bit while
 * it is on its way to the host or back.
 */
#define BALLOON_SUPERFRAME_MARK	(0x6e6f6f6cUL | BALLOON_NUMA_PAGE)
#define BALLOON_SUPERFRAME_AWAY	(BALLOON_SUPERFRAME_MARK | BIT(1))

/* In its queue, or on its way. */
static inline bool balloon_is_superframe(struct page *page)
{
	return PageOffline(page) && (page_private(page) & ~BIT(1)) == BALLOON_SUPERFRAME_MARK;
}

/* For compaction: how many pages behind this one are not worth a look. */
static inline unsigned long balloon_pages_behind(struct page *page)
{
	return IS_ENABLED(CONFIG_BALLOON_NUMA) && balloon_is_superframe(page) ?
	       BALLOON_SUPERFRAME_PAGES - 1 : 0;
}

/* In its queue: as long as the zone's balloon_zone->lock is held. */
static inline bool balloon_superframe_is_queued(struct page *page)
{
	return PageOffline(page) && page_private(page) == BALLOON_SUPERFRAME_MARK;
}

#endif /* _MM_BALLOON_SUPERFRAME_H */
