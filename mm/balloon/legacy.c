// SPDX-License-Identifier: GPL-2.0
/*
 * Balloons that keep their own lists of base pages (VMware, pseries cmm) by
 * include/linux/balloon_compaction.h: their pages are counted per node.
 */
#include <linux/balloon_compaction.h>
#include <linux/export.h>
#include <linux/mm.h>
#include <linux/vmstat.h>

#include "internal.h"

/**
 * balloon_legacy_account - count pages of a balloon that keeps its own lists
 * @page: the first of them
 * @pages: how many base pages come to the balloon; negative: leave it
 *
 * Context: any.
 */
void balloon_legacy_account(struct page *page, long pages)
{
	struct balloon_node *bn = READ_ONCE(balloon_nodes[page_to_nid(page)]);

	mod_node_page_state(page_pgdat(page), NR_BALLOON_PAGES, pages);
	if (bn)
		atomic_long_add(pages, &bn->legacy);
}
EXPORT_SYMBOL_GPL(balloon_legacy_account);
