// SPDX-License-Identifier: GPL-2.0
/*
 * The arithmetic of policies and targets.
 */
#include <kunit/test.h>

#include <linux/math64.h>
#include <linux/prandom.h>

#include "../internal.h"

#define TIB		(1UL << (40 - PAGE_SHIFT))
#define GIB		(1UL << (30 - PAGE_SHIFT))

static struct rnd_state rnd;

static unsigned long below(unsigned long n)
{
	return n ? (((u64)prandom_u32_state(&rnd) << 32) | prandom_u32_state(&rnd)) % n : 0;
}

static void pick_largest_share(struct kunit *test)
{
	/* The largest share of free memory is not the most of it. */
	struct balloon_share share[] = {
		{ .nid = 0, .free = 900, .present = 2000, .limit = 900 },
		{ .nid = 1, .free = 500, .present = 1000, .limit = 500 },
		{ .nid = 2, .free = 100, .present = 4000, .limit = 100 },
	};

	KUNIT_EXPECT_EQ(test, balloon_pick(share, 3, true), 1);
	KUNIT_EXPECT_EQ(test, balloon_pick(share, 3, false), 2);
	KUNIT_EXPECT_EQ(test, balloon_pick(share, 2, false), 0);
	KUNIT_EXPECT_EQ(test, balloon_pick(share, 1, false), 0);
}

static void pick_within_limits(struct kunit *test)
{
	struct balloon_share share[] = {
		{ .nid = 0, .free = 900, .present = 1000, .limit = 0 },
		{ .nid = 1, .free = 500, .present = 1000, .limit = 1 },
		{ .nid = 2, .free = 100, .present = 1000, .limit = 0 },
	};

	KUNIT_EXPECT_EQ(test, balloon_pick(share, 3, true), 1);
	KUNIT_EXPECT_EQ(test, balloon_pick(share, 3, false), 1);
	share[1].limit = 0;
	KUNIT_EXPECT_EQ(test, balloon_pick(share, 3, true), -1);
	KUNIT_EXPECT_EQ(test, balloon_pick(share, 3, false), -1);
	KUNIT_EXPECT_EQ(test, balloon_pick(share, 0, true), -1);
}

static void pick_ties(struct kunit *test)
{
	struct balloon_share share[] = {
		{ .nid = 5, .free = 0, .present = 0, .limit = 0 },
		{ .nid = 6, .free = 500, .present = 1000, .limit = 1 },
		{ .nid = 7, .free = 1000, .present = 2000, .limit = 1 },
	};

	KUNIT_EXPECT_EQ(test, balloon_pick(share, 3, true), 1);
	KUNIT_EXPECT_EQ(test, balloon_pick(share, 3, false), 1);
	/* A node without memory divides nothing by zero. */
	share[0].limit = 1;
	KUNIT_EXPECT_EQ(test, balloon_pick(share, 3, true), 1);
	KUNIT_EXPECT_EQ(test, balloon_pick(share, 3, false), 0);
}

static void pick_huge(struct kunit *test)
{
	struct balloon_share share[] = {
		{ .nid = 0, .free = 8 * TIB, .present = 16 * TIB, .limit = 8 * TIB },
		{ .nid = 1, .free = 9 * TIB, .present = 16 * TIB, .limit = 9 * TIB },
		{ .nid = 2, .free = 16 * TIB, .present = 16 * TIB, .limit = 16 * TIB },
	};

	if (!IS_ENABLED(CONFIG_64BIT))
		kunit_skip(test, "no machine of this kind is that large");
	KUNIT_EXPECT_EQ(test, balloon_pick(share, 3, true), 2);
	KUNIT_EXPECT_EQ(test, balloon_pick(share, 3, false), 0);
	KUNIT_EXPECT_EQ(test, balloon_quota(share, 3, 2, 6 * TIB, true), 6 * TIB);
	KUNIT_EXPECT_EQ(test, balloon_quota(share, 2, 1, 3 * TIB, true), 2 * TIB);
	KUNIT_EXPECT_EQ(test, balloon_quota(share, 3, 0, 3 * TIB, false), 2 * TIB);
}

#define MAX_SHARES	64

/*
 * Do what the search does: pick, take the quota, again, until @want is gone or
 * nobody can more. Returns what is left of it.
 */
static unsigned long spread(struct kunit *test, struct balloon_share *share, unsigned int nr,
			    unsigned long want, bool inflate, unsigned long *moved)
{
	unsigned long rounds = 0;

	memset(moved, 0, nr * sizeof(*moved));
	while (want) {
		int i = balloon_pick(share, nr, inflate);
		unsigned long pages;

		if (i < 0)
			break;
		KUNIT_ASSERT_LT(test, i, (int)nr);
		pages = balloon_quota(share, nr, i, want, inflate);
		KUNIT_ASSERT_GT(test, pages, 0);
		KUNIT_ASSERT_LE(test, pages, want);
		KUNIT_ASSERT_LE(test, pages, share[i].limit);
		/* Whole superframes, but for the last ones of all. */
		if (pages % SUPERFRAME_PAGES)
			KUNIT_ASSERT_TRUE(test, pages == want || pages == share[i].limit);

		want -= pages;
		moved[i] += pages;
		share[i].limit -= pages;
		if (inflate)
			share[i].free -= pages;
		else
			share[i].free += pages;
		KUNIT_ASSERT_LT(test, rounds++, 100000);
	}
	return want;
}

/* Free memory in units that make rounding small: 2^-16 of what is there. */
static u64 level_of(const struct balloon_share *share)
{
	return share->present ? div64_u64((u64)share->free << 16, share->present) : 0;
}

/*
 * Shares are equal: where a node gave some, no other that still could is more
 * than a superframe better off. The mirror of it where it took some.
 */
static void expect_level(struct kunit *test, const struct balloon_share *share,
			 unsigned int nr, const unsigned long *moved, bool inflate)
{
	unsigned int i, j;

	for (i = 0; i < nr; i++) {
		if (!moved[i])
			continue;
		for (j = 0; j < nr; j++) {
			u64 mine = level_of(&share[i]), other = level_of(&share[j]), slack;

			if (!share[j].limit)
				continue;
			slack = 4 + div64_u64((u64)SUPERFRAME_PAGES << 16, share[i].present) +
				div64_u64((u64)SUPERFRAME_PAGES << 16, share[j].present);
			if (inflate)
				KUNIT_ASSERT_LE_MSG(test, other, mine + slack,
						    "%u gave too much, %u too little", i, j);
			else
				KUNIT_ASSERT_LE_MSG(test, mine, other + slack,
						    "%u got too much, %u too little", i, j);
		}
	}
}

static void quota_levels(struct kunit *test)
{
	struct balloon_share share[] = {
		{ .nid = 0, .free = GIB / 2, .present = GIB, .limit = GIB / 2 },
		{ .nid = 1, .free = GIB, .present = GIB, .limit = GIB },
		{ .nid = 2, .free = GIB, .present = 2 * GIB, .limit = GIB },
		{ .nid = 3, .free = 0, .present = 0, .limit = 0 },
	};
	unsigned long moved[ARRAY_SIZE(share)];

	/* The richest alone, until it is level with the others. */
	KUNIT_EXPECT_EQ(test, spread(test, share, 4, GIB / 4, true, moved), 0);
	KUNIT_EXPECT_EQ(test, moved[1], GIB / 4);
	KUNIT_EXPECT_EQ(test, spread(test, share, 4, GIB / 4, true, moved), 0);
	KUNIT_EXPECT_EQ(test, moved[1], GIB / 4);
	/* Then all, by what they have. */
	KUNIT_EXPECT_EQ(test, spread(test, share, 4, GIB, true, moved), 0);
	expect_level(test, share, 4, moved, true);
	KUNIT_EXPECT_LE(test, abs_diff(moved[0], GIB / 4), SUPERFRAME_PAGES);
	KUNIT_EXPECT_LE(test, abs_diff(moved[1], GIB / 4), SUPERFRAME_PAGES);
	KUNIT_EXPECT_LE(test, abs_diff(moved[2], GIB / 2), SUPERFRAME_PAGES);
	/* All there is, and not a page more. */
	KUNIT_EXPECT_EQ(test, spread(test, share, 4, 2 * GIB, true, moved), GIB);
	KUNIT_EXPECT_EQ(test, share[0].free + share[1].free + share[2].free, 0);
}

static void quota_mirror(struct kunit *test)
{
	struct balloon_share share[] = {
		{ .nid = 0, .free = GIB / 2, .present = GIB, .limit = GIB / 2 },
		{ .nid = 1, .free = 0, .present = GIB, .limit = GIB },
		{ .nid = 2, .free = GIB, .present = 2 * GIB, .limit = GIB },
	};
	unsigned long moved[ARRAY_SIZE(share)];

	KUNIT_EXPECT_EQ(test, spread(test, share, 3, GIB / 2, false, moved), 0);
	KUNIT_EXPECT_EQ(test, moved[1], GIB / 2);
	KUNIT_EXPECT_EQ(test, spread(test, share, 3, GIB, false, moved), 0);
	expect_level(test, share, 3, moved, false);
	KUNIT_EXPECT_LE(test, abs_diff(moved[0], GIB / 4), SUPERFRAME_PAGES);
	KUNIT_EXPECT_LE(test, abs_diff(moved[2], GIB / 2), SUPERFRAME_PAGES);
	KUNIT_EXPECT_EQ(test, spread(test, share, 3, 2 * GIB, false, moved), GIB);
}

/* A node that can give little leaves the rest to the others. */
static void quota_limited(struct kunit *test)
{
	struct balloon_share share[] = {
		{ .nid = 0, .free = GIB, .present = GIB, .limit = 3 * SUPERFRAME_PAGES + 7 },
		{ .nid = 1, .free = GIB, .present = GIB, .limit = GIB },
		{ .nid = 2, .free = GIB, .present = GIB, .limit = GIB },
	};
	unsigned long moved[ARRAY_SIZE(share)];

	KUNIT_EXPECT_EQ(test, spread(test, share, 3, GIB, true, moved), 0);
	KUNIT_EXPECT_EQ(test, moved[0], 3 * SUPERFRAME_PAGES + 7);
	KUNIT_EXPECT_LE(test, abs_diff(moved[1], moved[2]), 2 * SUPERFRAME_PAGES);
	expect_level(test, share, 3, moved, true);
}

static void quota_small(struct kunit *test)
{
	struct balloon_share share[] = {
		{ .nid = 0, .free = GIB, .present = GIB, .limit = GIB },
		{ .nid = 1, .free = GIB, .present = GIB, .limit = 5 },
	};

	KUNIT_EXPECT_EQ(test, balloon_quota(share, 2, 0, 1, true), 1);
	KUNIT_EXPECT_EQ(test, balloon_quota(share, 2, 0, SUPERFRAME_PAGES - 1, true),
			SUPERFRAME_PAGES - 1);
	KUNIT_EXPECT_EQ(test, balloon_quota(share, 2, 0, SUPERFRAME_PAGES, true),
			SUPERFRAME_PAGES);
	KUNIT_EXPECT_EQ(test, balloon_quota(share, 2, 1, SUPERFRAME_PAGES, true), 5);
	KUNIT_EXPECT_EQ(test, balloon_quota(share, 2, 1, 3, false), 3);
	KUNIT_EXPECT_EQ(test, balloon_quota(share, 2, 1, 30, false), 5);
}

static void quota_random(struct kunit *test)
{
	struct balloon_share *share;
	unsigned long *moved;
	unsigned int round, nr, i;

	share = kunit_kcalloc(test, MAX_SHARES, sizeof(*share), GFP_KERNEL);
	moved = kunit_kcalloc(test, MAX_SHARES, sizeof(*moved), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, share);
	KUNIT_ASSERT_NOT_NULL(test, moved);

	prandom_seed_state(&rnd, 4096);
	for (round = 0; round < 200; round++) {
		bool inflate = round & 1;
		unsigned long can = 0, want, left;

		nr = 1 + below(round & 2 ? 4 : MAX_SHARES);
		for (i = 0; i < nr; i++) {
			unsigned long present = SUPERFRAME_PAGES + below(GIB / 4);
			unsigned long free = below(present + 1);
			unsigned long most = inflate ? free : present - free;

			share[i] = (struct balloon_share){
				.nid = i, .free = free, .present = present,
				/* Some can give all, some little, some nothing. */
				.limit = below(3) ? most : below(most + 1),
			};
			can += share[i].limit;
		}
		want = below(can + can / 8 + 1);
		left = spread(test, share, nr, want, inflate, moved);
		KUNIT_ASSERT_EQ(test, left, want - min(want, can));
		expect_level(test, share, nr, moved, inflate);
	}
}

static unsigned long sum_of(const unsigned long *target, unsigned int nr)
{
	unsigned long sum = 0;

	while (nr--)
		sum += target[nr];
	return sum;
}

static void targets_that_fit(struct kunit *test)
{
	unsigned long target[] = { 1000, 0, 24, 7 };

	balloon_scale_targets(target, 4, 1031);
	KUNIT_EXPECT_EQ(test, target[0], 1000);
	KUNIT_EXPECT_EQ(test, target[1], 0);
	KUNIT_EXPECT_EQ(test, target[2], 24);
	KUNIT_EXPECT_EQ(test, target[3], 7);
	balloon_scale_targets(target, 4, GIB);
	KUNIT_EXPECT_EQ(test, sum_of(target, 4), 1031);
	balloon_scale_targets(target, 0, 0);
	KUNIT_EXPECT_EQ(test, sum_of(target, 4), 1031);
}

static void targets_zero(struct kunit *test)
{
	unsigned long target[] = { GIB, 1, 0, 511 };

	balloon_scale_targets(target, 4, 0);
	KUNIT_EXPECT_EQ(test, sum_of(target, 4), 0);
	/* Nothing was asked for, and there is nothing to share out. */
	balloon_scale_targets(target, 4, 0);
	KUNIT_EXPECT_EQ(test, sum_of(target, 4), 0);
	balloon_scale_targets(target, 4, 100);
	KUNIT_EXPECT_EQ(test, sum_of(target, 4), 0);
}

static void targets_halved(struct kunit *test)
{
	unsigned long target[] = { 2 * GIB, GIB, 0, GIB };

	balloon_scale_targets(target, 4, 2 * GIB);
	KUNIT_EXPECT_EQ(test, target[0], GIB);
	KUNIT_EXPECT_EQ(test, target[1], GIB / 2);
	KUNIT_EXPECT_EQ(test, target[2], 0);
	KUNIT_EXPECT_EQ(test, target[3], GIB / 2);

	/* To the page. */
	balloon_scale_targets(target, 4, GIB + 3);
	KUNIT_EXPECT_EQ(test, sum_of(target, 4), GIB + 3);
	KUNIT_EXPECT_EQ(test, target[2], 0);
	balloon_scale_targets(target, 4, 3);
	KUNIT_EXPECT_EQ(test, sum_of(target, 4), 3);
}

static void targets_huge(struct kunit *test)
{
	unsigned long target[] = { 16 * TIB, 16 * TIB, 8 * TIB, 0 };

	if (!IS_ENABLED(CONFIG_64BIT))
		kunit_skip(test, "no machine of this kind is that large");
	balloon_scale_targets(target, 4, 16 * TIB);
	KUNIT_EXPECT_EQ(test, sum_of(target, 4), 16 * TIB);
	KUNIT_EXPECT_LE(test, abs_diff(target[0], 16 * TIB / 5 * 2), SUPERFRAME_PAGES);
	KUNIT_EXPECT_LE(test, abs_diff(target[1], 16 * TIB / 5 * 2), SUPERFRAME_PAGES);
	KUNIT_EXPECT_LE(test, abs_diff(target[2], 16 * TIB / 5), SUPERFRAME_PAGES);
}

static void targets_random(struct kunit *test)
{
	unsigned long *target, *before;
	unsigned int round, i;

	target = kunit_kcalloc(test, MAX_SHARES, sizeof(*target), GFP_KERNEL);
	before = kunit_kcalloc(test, MAX_SHARES, sizeof(*before), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, target);
	KUNIT_ASSERT_NOT_NULL(test, before);

	prandom_seed_state(&rnd, 2048);
	for (round = 0; round < 500; round++) {
		unsigned int nr = 1 + below(MAX_SHARES);
		unsigned long total, sum, max = round & 1 ? 4 * SUPERFRAME_PAGES : GIB;

		for (i = 0; i < nr; i++) {
			target[i] = below(4) ? below(max) : 0;
			before[i] = target[i];
		}
		sum = sum_of(target, nr);
		total = below(sum + sum / 8 + 1);
		balloon_scale_targets(target, nr, total);
		KUNIT_ASSERT_EQ(test, sum_of(target, nr), min(sum, total));
		for (i = 0; i < nr; i++) {
			u64 share = before[i];

			if (total < sum)
				share = mul_u64_u64_div_u64(share, total, sum);
			/* Rounding is of superframes, up or down. */
			KUNIT_ASSERT_LE_MSG(test, abs_diff((u64)target[i], share),
					    SUPERFRAME_PAGES, "%lu of %lu, total %lu of %lu",
					    target[i], before[i], total, sum);
		}
	}
}

static struct kunit_case policy_cases[] = {
	KUNIT_CASE(pick_largest_share),
	KUNIT_CASE(pick_within_limits),
	KUNIT_CASE(pick_ties),
	KUNIT_CASE(pick_huge),
	KUNIT_CASE(quota_levels),
	KUNIT_CASE(quota_mirror),
	KUNIT_CASE(quota_limited),
	KUNIT_CASE(quota_small),
	KUNIT_CASE(quota_random),
	KUNIT_CASE(targets_that_fit),
	KUNIT_CASE(targets_zero),
	KUNIT_CASE(targets_halved),
	KUNIT_CASE(targets_huge),
	KUNIT_CASE(targets_random),
	{}
};

static struct kunit_suite policy_suite = {
	.name = "balloon_policy",
	.test_cases = policy_cases,
};

kunit_test_suite(policy_suite);
