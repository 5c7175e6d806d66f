/* SPDX-License-Identifier: GPL-2.0 */
/*
 * NUMA-aware memory ballooning: what mm/balloon.c, whose operations all PageOffline pages
 * have, sees of how the core's pages are migrated.
 *
 * Such a page is PageOffline and movable from before the host takes it until it is free.
 * It may have left the balloon long before, as long as somebody looks at it.
 */
#ifndef _MM_BALLOON_MOVABLE_H
#define _MM_BALLOON_MOVABLE_H

#include <linux/bits.h>
#include <linux/migrate_mode.h>
#include <linux/mm_types.h>
#include <linux/mmzone.h>

/*
 * In page_private() of the core's base pages and superframes until they leave the balloon.
 * It is there before they are movable, and does not come back before they are free.
 */
#define BALLOON_NUMA_PAGE	BIT(0)

/* As opposed to another balloon's, which has the address of a balloon_dev_info there. */
static inline bool balloon_numa_page(const struct page *page)
{
	return READ_ONCE(page_private(page)) & BALLOON_NUMA_PAGE;
}

bool balloon_numa_isolate(struct page *page, isolate_mode_t mode);
int balloon_numa_migrate(struct page *dst, struct page *src, enum migrate_mode mode);
void balloon_numa_putback(struct page *page);

#endif /* _MM_BALLOON_MOVABLE_H */
