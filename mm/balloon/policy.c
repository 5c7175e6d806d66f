// SPDX-License-Identifier: GPL-2.0
/*
 * Which node gives or gets back, and how much at a time. Pure arithmetic on
 * numbers that others collect, so that it can be tested by itself.
 */
#include <linux/math64.h>

#include "internal.h"

enum balloon_policy balloon_policy = BALLOON_BALANCE;

/* Shares of free memory are compared in 2^-20; 2^34 pages still fit. */
#define SHARE_SHIFT	20

static u64 share_of(u64 free, u64 present)
{
	return present ? div64_u64(free << SHARE_SHIFT, present) : 0;
}

/**
 * balloon_pick - the node whose turn it is under policy balance
 * @share: nodes to choose from; those with a limit of 0 can't be chosen
 * @nr: how many
 * @inflate: true: the node with the largest share of free memory; false: the
 *	one with the smallest
 *
 * Return: index into @share, the lower one of equals; -1 if there is none.
 */
int balloon_pick(const struct balloon_share *share, unsigned int nr, bool inflate)
{
	u64 best_share = 0;
	int best = -1;
	unsigned int i;

	for (i = 0; i < nr; i++) {
		u64 s = share_of(share[i].free, share[i].present);

		if (!share[i].limit)
			continue;
		if (best < 0 || (inflate ? s > best_share : s < best_share)) {
			best = i;
			best_share = s;
		}
	}
	return best;
}

/**
 * balloon_quota - how much the chosen node takes so that shares end up equal
 * @share: nodes among which @want is to be spread
 * @nr: how many
 * @pick: the one chosen by balloon_pick()
 * @want: base pages to spread
 * @inflate: direction
 *
 * As if memory were water: find the level at which all nodes above it (below
 * it when deflating), brought to that level, give @want together.
 *
 * Return: base pages for @pick, whole superframes unless less than one is
 * wanted: at least one superframe, at most @want and the node's limit.
 */
unsigned long balloon_quota(const struct balloon_share *share, unsigned int nr,
			    unsigned int pick, unsigned long want, bool inflate)
{
	u64 free, present, level = inflate ? 0 : ~0ULL;
	unsigned long quota, max = min(want, share[pick].limit);
	unsigned int i, used, last = 0;

	/* Each round drops nodes that are on the other side of the level. */
	for (;;) {
		free = 0;
		present = 0;
		used = 0;
		for (i = 0; i < nr; i++) {
			u64 s = share_of(share[i].free, share[i].present);

			if (!share[i].limit || (inflate ? s < level : s > level))
				continue;
			free += share[i].free;
			present += share[i].present;
			used++;
		}
		if (used == last || !present)
			break;
		last = used;
		if (inflate)
			level = free > want ? share_of(free - want, present) : 0;
		else
			level = share_of(free + want, present);
	}

	free = (level * share[pick].present) >> SHARE_SHIFT;
	if (inflate)
		quota = share[pick].free > free ? share[pick].free - free : 0;
	else
		quota = free > share[pick].free ? free - share[pick].free : 0;

	quota = max(round_down(quota, SUPERFRAME_PAGES), SUPERFRAME_PAGES);
	return min(quota, max);
}

/**
 * balloon_scale_targets - make node targets fit into the host's total
 * @target: base pages wanted on behalf of each node; changed in place
 * @nr: how many
 * @total: base pages that the host wants
 *
 * Targets that ask for more than the total together are lowered in proportion.
 * Their running sum is rounded down to whole superframes, and not each of them,
 * so that together they are @total to the page.
 */
void balloon_scale_targets(unsigned long *target, unsigned int nr,
			   unsigned long total)
{
	u64 asked = 0, sum = 0, given = 0;
	unsigned int i;

	for (i = 0; i < nr; i++)
		sum += target[i];
	if (sum <= total)
		return;

	for (i = 0; i < nr; i++) {
		u64 limit = total;

		asked += target[i];
		if (asked < sum)
			limit = round_down(mul_u64_u64_div_u64(asked, total, sum),
					   SUPERFRAME_PAGES);
		target[i] = limit - given;
		given = limit;
	}
}
