// SPDX-License-Identifier: GPL-2.0
/*
 * Gathering: partial blocks that compaction has left are put together.
 *
 * Compaction moves pages from the lower end of a zone to free pages at the upper
 * end, and is over where both meet. It counts as used what the balloon only lent
 * it, see migrate.c, so partial blocks above that place stay. When compaction is at
 * rest the worker empties them, the emptiest first, into the fullest.
 *
 * No page is moved to a block that holds less than its own: it ends.
 */
#include <linux/memory_hotplug.h>
#include <linux/mm.h>
#include <linux/mutex.h>

#include "../internal.h"
#include "internal.h"

/* Has compaction moved no page of the zone for half a second? */
static bool compaction_rests(struct balloon_zone *bz)
{
	return time_after(jiffies, READ_ONCE(bz->compacted) + HZ / 2);
}

/* Where compaction never rests (huge pages always, proactive), it is looked at less often. */
#define GATHER_PAUSE_MAX	(8 * HZ)

static void gather_again(struct balloon *b, struct balloon_zone *bz)
{
	unsigned long pause = bz->gather_pause, now = jiffies;

	/* The worker may have come early, and for something else. */
	if (!pause || !time_before(now, bz->gather_at)) {
		pause = clamp(2 * pause, (unsigned long)HZ, (unsigned long)GATHER_PAUSE_MAX);
		bz->gather_at = now + pause;
		WRITE_ONCE(bz->gather_pause, pause);
	}
	balloon_kick_within(b, bz->gather_at - now, true);
}

/*
 * One block's pages, as far as there are holes for them. Returns whether more may
 * be done: not after the host has kept some.
 */
static bool gather_zone(struct balloon *b, struct balloon_zone *bz)
{
	struct balloon_extent *out = b->ext, *in = b->ext + SUPERFRAME_PAGES;
	unsigned int nr, holes, given = 0, taken = 0;

	BUILD_BUG_ON(2 * SUPERFRAME_PAGES > BALLOON_BATCH_PAGES);
	nr = balloon_dequeue_emptiest(bz, out);
	if (!nr)
		return false;
	holes = balloon_take_holes(pfn_to_page(out->pfn), in, nr);
	/* Which hole is for which page does not matter. */
	if (holes) {
		mutex_lock(&balloon_host_lock);
		given = balloon_swap(b, in, out, holes, &taken);
		mutex_unlock(&balloon_host_lock);
	}
	/* There was no place for the others. */
	balloon_settle(b, out + holes, nr - holes, 0);
	return taken && taken == given;
}

/**
 * balloon_gather_later - compaction has moved a page of a partial block
 * @b: the balloon
 * @bz: the page's zone
 *
 * Context: any.
 */
void balloon_gather_later(struct balloon *b, struct balloon_zone *bz)
{
	WRITE_ONCE(bz->compacted, jiffies);
	WRITE_ONCE(bz->scattered, true);
	balloon_kick_within(b, READ_ONCE(bz->gather_pause) ?: HZ, true);
}

/**
 * balloon_gather - put partial blocks together that compaction has left
 * @b: the balloon
 *
 * Those of all zones where compaction is at rest. For others, and for what is
 * left undone, the worker comes again.
 *
 * Context: the worker; may sleep and allocate.
 */
void balloon_gather(struct balloon *b)
{
	struct balloon_node *bn;
	int nid, z;

	for_each_balloon_node(bn, nid) {
		for (z = 0; z < MAX_NR_ZONES; z++) {
			struct balloon_zone *bz = &bn->zones[z];

			if (!READ_ONCE(bz->scattered))
				continue;
			if (!compaction_rests(bz)) {
				gather_again(b, bz);
				continue;
			}
			WRITE_ONCE(bz->gather_pause, 0);
			/* What a host has kept of an exchange it is to give back first. */
			if (balloon_has_surplus(b) || balloon_slice_over(b)) {
				balloon_kick_later(b);
				continue;
			}
			/* Before it is looked at: what is scattered anew is not missed. */
			WRITE_ONCE(bz->scattered, false);
			/* What compaction has freed is a hole once it is off the CPUs' lists. */
			balloon_drain_zone(&NODE_DATA(nid)->node_zones[z]);
			while (gather_zone(b, bz)) {
				cond_resched();
				if (balloon_slice_over(b)) {
					WRITE_ONCE(bz->scattered, true);
					balloon_kick_later(b);
					return;
				}
			}
			/* It goes on when the host has given back what it kept. */
			if (balloon_has_surplus(b))
				WRITE_ONCE(bz->scattered, true);
		}
	}
}
