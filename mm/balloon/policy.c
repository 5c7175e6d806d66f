// SPDX-License-Identifier: GPL-2.0
/*
 * Which node gives or gets back, and how much at a time. Pure arithmetic on
 * numbers that others collect, so that it can be tested by itself.
 */
#include <linux/math64.h>

#include "internal.h"

enum balloon_policy balloon_policy = BALLOON_BALANCE;

/* Shares of free memory are compared in 2^-29; 2^34 pages still fit. */
#define SHARE_SHIFT	29

static u64 share_of(u64 free, u64 present)
{
	return present ? div64_u64(free << SHARE_SHIFT, present) : 0;
}

/* What the level of free memory could come to: where everybody has got all back. */
static u64 top_level(const struct balloon_share *share, unsigned int nr)
{
	u64 top = 0;
	unsigned int i;

	for (i = 0; i < nr; i++)
		top = max(top, share_of((u64)share[i].free + share[i].room, share[i].present));
	return top + 1;
}

/* What a node gives, or gets back, so that it comes to the level. */
static unsigned long get_at_level(const struct balloon_share *share, u64 level, bool inflate)
{
	u64 free = mul_u64_u64_shr(level, share->present, SHARE_SHIFT);
	u64 get = inflate ? share->free - min_t(u64, share->free, free) :
			    free - min_t(u64, share->free, free);

	/* Odd pages are for the last, when there is no room for a superframe anywhere. */
	return min_t(u64, get, round_down(share->room, SUPERFRAME_PAGES));
}

/* The level farthest from where all is, to which all come without exceeding @want. */
static u64 find_level(const struct balloon_share *share, unsigned int nr, unsigned long want,
		      bool inflate)
{
	u64 top = top_level(share, nr), low = 0, high = top, mid;
	unsigned long sum;
	unsigned int i;

	/* As a distance from the top (from 0, when deflating): the sum grows with it. */
	while (low < high) {
		mid = high - (high - low) / 2;
		for (i = 0, sum = 0; i < nr && sum <= want; i++)
			sum += get_at_level(&share[i], inflate ? top - mid : mid, inflate);
		if (sum > want)
			high = mid - 1;
		else
			low = mid;
	}
	return inflate ? top - low : low;
}

/* Whose turn it is: the highest share of what is left, or the lowest. */
static u64 urgency(const struct balloon_share *share, u64 top, bool inflate)
{
	u64 s;

	if (inflate)
		return share_of(share->free - min(share->free, share->get), share->present);
	s = share_of((u64)share->free + share->get, share->present);
	return top - min(top, s);
}

/* One more superframe each for the @count nodes whose turn it is. Returns how many had room. */
static unsigned int one_more(struct balloon_share *share, unsigned int nr, unsigned int count,
			     bool inflate)
{
	u64 top = top_level(share, nr), low = 0, high = top, mid;
	unsigned int i, n, done = 0, pass;

	/* The lowest urgency that is exceeded by no more than @count. */
	while (low < high) {
		mid = low + (high - low) / 2;
		for (i = 0, n = 0; i < nr; i++)
			n += share[i].room - share[i].get >= SUPERFRAME_PAGES &&
			     urgency(&share[i], top, inflate) > mid;
		if (n > count)
			low = mid + 1;
		else
			high = mid;
	}
	/* Those above it, then those at it: which have not changed, but for those above. */
	for (pass = 0; pass < 2; pass++) {
		for (i = 0; i < nr && done < count; i++) {
			u64 u = urgency(&share[i], top, inflate);

			if (share[i].room - share[i].get < SUPERFRAME_PAGES ||
			    (pass ? u != low : u <= low))
				continue;
			share[i].get += SUPERFRAME_PAGES;
			done++;
		}
	}
	return done;
}

/* The node whose turn it is among those with room for @pages more; @nr if there is none. */
static unsigned int most_urgent(const struct balloon_share *share, unsigned int nr,
				unsigned long pages, bool inflate)
{
	u64 top = top_level(share, nr), u, most = 0;
	unsigned int i, best = nr;

	for (i = 0; i < nr; i++) {
		if (share[i].room - share[i].get < pages)
			continue;
		u = urgency(&share[i], top, inflate);
		if (best == nr || u > most) {
			best = i;
			most = u;
		}
	}
	return best;
}

/**
 * balloon_level - spread memory over nodes so that their shares of free memory end up equal
 * @share: the nodes; the answer is in @share->get
 * @nr: how many
 * @want: base pages to give (to get back, when deflating) together
 * @inflate: direction
 *
 * As if memory were water: those with the largest share of free memory give first,
 * until all are at one level; those with the smallest get back first. In whole
 * superframes, but for what is less than one, or where a node has no room for one.
 *
 * Return: base pages that have found room: @want, unless there is less of it.
 */
unsigned long balloon_level(struct balloon_share *share, unsigned int nr, unsigned long want,
			    bool inflate)
{
	u64 level = find_level(share, nr, want, inflate);
	unsigned long left = want, more;
	unsigned int i, count;

	for (i = 0; i < nr; i++) {
		share[i].get = round_down(get_at_level(&share[i], level, inflate),
					  SUPERFRAME_PAGES);
		left -= share[i].get;
	}
	while (left >= SUPERFRAME_PAGES) {
		count = one_more(share, nr, min_t(unsigned long, left / SUPERFRAME_PAGES, nr),
				 inflate);
		if (!count)
			break;
		left -= (unsigned long)count * SUPERFRAME_PAGES;
	}
	/* The rest in one place, if there is one for it. */
	i = left && left < SUPERFRAME_PAGES ? most_urgent(share, nr, left, inflate) : nr;
	if (i < nr) {
		share[i].get += left;
		left = 0;
	}
	for (i = 0; i < nr && left; i++) {
		more = min(left, share[i].room - share[i].get);
		share[i].get += more;
		left -= more;
	}
	return want - left;
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
