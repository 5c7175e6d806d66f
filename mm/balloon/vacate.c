// SPDX-License-Identifier: GPL-2.0
/*
 * Vacating a range that somebody must have: superframes can't be migrated.
 * Another one of the same node takes a superframe's place; where there is none,
 * it is split into base pages, which can be.
 *
 * Page isolation asks for it, because contiguous allocation tells nobody else,
 * and a page that is isolated for migration can't tell who wants it.
 */
#include <linux/memory_hotplug.h>
#include <linux/mm.h>

#include "../internal.h"
#include "internal.h"
#include "vacate.h"

/* Have another superframe of the node take this one's place. */
static bool vacate_trade(struct page *head, unsigned long start_pfn, unsigned long end_pfn)
{
	struct balloon_extent take = { page_to_pfn(head), SUPERFRAME_ORDER }, give;
	unsigned int given, taken = 0;
	int nid = page_to_nid(head);
	struct balloon *b;

	/* Who has it may be waiting for the range. */
	if (!mutex_trylock(&balloon_host_lock))
		return false;
	b = balloon_current();
	if (!b || b->suspended || b->max_order < SUPERFRAME_ORDER || balloon_has_surplus(b) ||
	    !balloon_take_superframe_outside(nid, &give, start_pfn, end_pfn))
		goto unlock;
	if (!balloon_dequeue_superframe(head)) {
		balloon_put_superframe(pfn_to_page(give.pfn));
		goto unlock;
	}
	given = balloon_swap(b, &give, &take, 1, &taken);
	if (given > taken)
		balloon_stat_add(nid, BALLOON_INFLATE_LOCAL, SUPERFRAME_PAGES);
unlock:
	mutex_unlock(&balloon_host_lock);
	return taken;
}

/**
 * balloon_vacate - have no superframe in a range
 * @start_pfn: the range's first page frame
 * @end_pfn: the one after its last
 *
 * What is left then of the balloon is base pages, for the caller to migrate, and
 * superframes that are on their way to the host or back: the caller, who can't
 * have those, tries again.
 *
 * Context: may sleep and allocate; the range stays online meanwhile.
 * Return: false if a superframe stays: there is no memory to describe its base
 * pages, or the kernel can't migrate them.
 */
bool balloon_vacate(unsigned long start_pfn, unsigned long end_pfn)
{
	bool vacant = true, broken = false;
	unsigned long pfn;

	if (!balloon_total())
		return true;
	for (pfn = ALIGN_DOWN(start_pfn, SUPERFRAME_PAGES); pfn < end_pfn;
	     pfn += SUPERFRAME_PAGES) {
		struct page *head = pfn_to_online_page(pfn);

		cond_resched();
		if (!head || !balloon_is_superframe(head) ||
		    vacate_trade(head, start_pfn, end_pfn))
			continue;
		if (!IS_ENABLED(CONFIG_BALLOON_COMPACTION)) {
			vacant = false;
		} else if (balloon_dequeue_superframe(head)) {
			if (balloon_break_superframe(head))
				broken = true;
			else
				vacant = false;
		}
	}
	/* Who wants the range may yet fail to get it. */
	if (broken)
		balloon_kick_current_later();
	return vacant;
}
