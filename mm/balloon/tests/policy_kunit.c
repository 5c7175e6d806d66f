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

#define MAX_SHARES	64

/* Free memory in units that make rounding small: 2^-16 of what is there. */
static u64 level_of(unsigned long free, unsigned long present)
{
	return present ? div64_u64((u64)free << 16, present) : 0;
}

/*
 * Shares are equal: where a node gave some, no other that still could is more
 * than a superframe better off. The mirror of it where it took some.
 */
static void expect_level(struct kunit *test, const struct balloon_share *share,
			 unsigned int nr, bool inflate)
{
	unsigned int i, j;

	for (i = 0; i < nr; i++) {
		if (!share[i].get)
			continue;
		for (j = 0; j < nr; j++) {
			u64 mine = level_of(share[i].free, share[i].present);
			u64 other = level_of(share[j].free, share[j].present), slack;

			/* Base pages are the last resort. */
			if (share[j].room < SUPERFRAME_PAGES || !share[i].present)
				continue;
			slack = 4 + level_of(SUPERFRAME_PAGES, share[i].present) +
				level_of(SUPERFRAME_PAGES, share[j].present);
			if (inflate)
				KUNIT_ASSERT_LE_MSG(test, other, mine + slack,
						    "%u gave too much, %u too little", i, j);
			else
				KUNIT_ASSERT_LE_MSG(test, mine, other + slack,
						    "%u got too much, %u too little", i, j);
		}
	}
}

/*
 * Spread @want, look at what must hold of any answer, and do it: what is left in
 * @share is what the nodes have afterwards. Returns what found no room.
 */
static unsigned long spread(struct kunit *test, struct balloon_share *share, unsigned int nr,
			    unsigned long want, bool inflate)
{
	unsigned long got, sum = 0, room = 0;
	unsigned int i, odd = 0;

	for (i = 0; i < nr; i++)
		room += share[i].room;
	got = balloon_level(share, nr, want, inflate);
	for (i = 0; i < nr; i++) {
		KUNIT_ASSERT_LE(test, share[i].get, share[i].room);
		/* Whole superframes, but for the last ones of all. */
		odd += share[i].get % SUPERFRAME_PAGES && share[i].get != share[i].room;
		sum += share[i].get;
		share[i].room -= share[i].get;
		if (inflate)
			share[i].free -= min(share[i].free, share[i].get);
		else
			share[i].free += share[i].get;
	}
	KUNIT_ASSERT_EQ(test, got, min(want, room));
	KUNIT_ASSERT_EQ(test, sum, got);
	KUNIT_ASSERT_LE(test, odd, 1);
	expect_level(test, share, nr, inflate);
	return want - got;
}

static void level_largest_share(struct kunit *test)
{
	/* The largest share of free memory is not the most of it. */
	struct balloon_share share[] = {
		{ .free = GIB, .present = 4 * GIB, .room = GIB },
		{ .free = GIB / 2, .present = GIB, .room = GIB / 2 },
		{ .free = GIB / 8, .present = 8 * GIB, .room = GIB / 8 },
	};
	unsigned int i;

	for (i = 0; i < 2; i++) {
		unsigned long want = i ? SUPERFRAME_PAGES : 1;

		KUNIT_EXPECT_EQ(test, balloon_level(share, 3, want, true), want);
		KUNIT_EXPECT_EQ(test, share[1].get, want);
		KUNIT_EXPECT_EQ(test, balloon_level(share, 3, want, false), want);
		KUNIT_EXPECT_EQ(test, share[2].get, want);
	}
}

static void level_within_room(struct kunit *test)
{
	struct balloon_share share[] = {
		{ .free = 900, .present = 1000, .room = 0 },
		{ .free = 500, .present = 1000, .room = 1 },
		{ .free = 100, .present = 1000, .room = 0 },
	};
	unsigned int i;

	for (i = 0; i < 2; i++) {
		KUNIT_EXPECT_EQ(test, balloon_level(share, 3, SUPERFRAME_PAGES, i), 1);
		KUNIT_EXPECT_EQ(test, share[0].get, 0);
		KUNIT_EXPECT_EQ(test, share[1].get, 1);
		KUNIT_EXPECT_EQ(test, share[2].get, 0);
	}
	share[1].room = 0;
	for (i = 0; i < 2; i++) {
		KUNIT_EXPECT_EQ(test, balloon_level(share, 3, GIB, i), 0);
		KUNIT_EXPECT_EQ(test, share[1].get, 0);
		KUNIT_EXPECT_EQ(test, balloon_level(share, 0, GIB, i), 0);
	}
	/* Nothing is wanted. What an earlier call had come to is not kept. */
	share[0].room = GIB;
	share[0].get = 77;
	KUNIT_EXPECT_EQ(test, balloon_level(share, 3, 0, true), 0);
	KUNIT_EXPECT_EQ(test, share[0].get, 0);
}

/* A node without memory divides nothing by zero, and is not in the others' way. */
static void level_no_memory(struct kunit *test)
{
	struct balloon_share share[] = {
		{ .free = 0, .present = 0, .room = 0 },
		{ .free = 16 * SUPERFRAME_PAGES, .present = GIB, .room = 8 * SUPERFRAME_PAGES },
		{ .free = 16 * SUPERFRAME_PAGES, .present = GIB, .room = 8 * SUPERFRAME_PAGES },
	};
	unsigned int i;

	for (i = 0; i < 2; i++) {
		KUNIT_EXPECT_EQ(test, balloon_level(share, 3, 8 * SUPERFRAME_PAGES, i),
				8 * SUPERFRAME_PAGES);
		KUNIT_EXPECT_EQ(test, share[0].get, 0);
		KUNIT_EXPECT_EQ(test, share[1].get, 4 * SUPERFRAME_PAGES);
		KUNIT_EXPECT_EQ(test, share[2].get, 4 * SUPERFRAME_PAGES);
	}
	/* Its pages are to be had all the same: it may have lost its memory to hotplug. */
	share[0].room = 5;
	KUNIT_EXPECT_EQ(test, balloon_level(share, 1, 7, false), 5);
	KUNIT_EXPECT_EQ(test, balloon_level(share, 1, 7, true), 5);
}

static void level_huge(struct kunit *test)
{
	struct balloon_share share[] = {
		{ .free = 8 * TIB, .present = 16 * TIB, .room = 8 * TIB },
		{ .free = 9 * TIB, .present = 16 * TIB, .room = 9 * TIB },
		{ .free = 16 * TIB, .present = 16 * TIB, .room = 16 * TIB },
	};

	if (!IS_ENABLED(CONFIG_64BIT))
		kunit_skip(test, "no machine of this kind is that large");
	KUNIT_EXPECT_EQ(test, spread(test, share, 3, 6 * TIB, true), 0);
	KUNIT_EXPECT_EQ(test, share[2].get, 6 * TIB);
	KUNIT_EXPECT_EQ(test, spread(test, share, 3, 3 * TIB, true), 0);
	KUNIT_EXPECT_LE(test, abs_diff(share[2].get, 2 * TIB), SUPERFRAME_PAGES);
	KUNIT_EXPECT_LE(test, abs_diff(share[1].get, TIB), SUPERFRAME_PAGES);
	KUNIT_EXPECT_EQ(test, share[0].get, 0);
	/* More than is thinkable is all there is. */
	KUNIT_EXPECT_EQ(test, spread(test, share, 3, ULONG_MAX, true), ULONG_MAX - 24 * TIB);
}

static void level_gives(struct kunit *test)
{
	struct balloon_share share[] = {
		{ .free = GIB / 2, .present = GIB, .room = GIB / 2 },
		{ .free = GIB, .present = GIB, .room = GIB },
		{ .free = GIB, .present = 2 * GIB, .room = GIB },
		{ .free = 0, .present = 0, .room = 0 },
	};

	/* The richest alone, until it is level with the others. */
	KUNIT_EXPECT_EQ(test, spread(test, share, 4, GIB / 4, true), 0);
	KUNIT_EXPECT_EQ(test, share[1].get, GIB / 4);
	KUNIT_EXPECT_EQ(test, spread(test, share, 4, GIB / 4, true), 0);
	KUNIT_EXPECT_EQ(test, share[1].get, GIB / 4);
	/* Then all, by what they have. */
	KUNIT_EXPECT_EQ(test, spread(test, share, 4, GIB, true), 0);
	KUNIT_EXPECT_LE(test, abs_diff(share[0].get, GIB / 4), SUPERFRAME_PAGES);
	KUNIT_EXPECT_LE(test, abs_diff(share[1].get, GIB / 4), SUPERFRAME_PAGES);
	KUNIT_EXPECT_LE(test, abs_diff(share[2].get, GIB / 2), SUPERFRAME_PAGES);
	/* All there is, and not a page more. */
	KUNIT_EXPECT_EQ(test, spread(test, share, 4, 2 * GIB, true), GIB);
	KUNIT_EXPECT_EQ(test, share[0].free + share[1].free + share[2].free, 0);
}

static void level_gets(struct kunit *test)
{
	struct balloon_share share[] = {
		{ .free = GIB / 2, .present = GIB, .room = GIB / 2 },
		{ .free = 0, .present = GIB, .room = GIB },
		{ .free = GIB, .present = 2 * GIB, .room = GIB },
	};

	KUNIT_EXPECT_EQ(test, spread(test, share, 3, GIB / 2, false), 0);
	KUNIT_EXPECT_EQ(test, share[1].get, GIB / 2);
	KUNIT_EXPECT_EQ(test, spread(test, share, 3, GIB, false), 0);
	KUNIT_EXPECT_LE(test, abs_diff(share[0].get, GIB / 4), SUPERFRAME_PAGES);
	KUNIT_EXPECT_LE(test, abs_diff(share[2].get, GIB / 2), SUPERFRAME_PAGES);
	KUNIT_EXPECT_EQ(test, spread(test, share, 3, 2 * GIB, false), GIB);
}

/* A node that can give little leaves the rest to the others. */
static void level_little_room(struct kunit *test)
{
	struct balloon_share share[] = {
		{ .free = GIB, .present = GIB, .room = 3 * SUPERFRAME_PAGES },
		{ .free = GIB, .present = GIB, .room = GIB },
		{ .free = GIB, .present = GIB, .room = GIB },
	};

	KUNIT_EXPECT_EQ(test, spread(test, share, 3, GIB, true), 0);
	KUNIT_EXPECT_EQ(test, share[0].get, 3 * SUPERFRAME_PAGES);
	KUNIT_EXPECT_LE(test, abs_diff(share[1].get, share[2].get), 2 * SUPERFRAME_PAGES);
}

/* Less than a superframe comes from one node, the one whose turn it is. */
static void level_remainder(struct kunit *test)
{
	struct balloon_share share[] = {
		{ .free = GIB / 8, .present = GIB, .room = GIB / 8 },
		{ .free = GIB / 2, .present = GIB, .room = GIB / 2 },
		{ .free = GIB / 4, .present = GIB, .room = 5 },
	};
	unsigned long step = SUPERFRAME_PAGES / 2 + 1;
	unsigned int i;

	KUNIT_EXPECT_EQ(test, balloon_level(share, 3, SUPERFRAME_PAGES - 1, true),
			SUPERFRAME_PAGES - 1);
	KUNIT_EXPECT_EQ(test, share[1].get, SUPERFRAME_PAGES - 1);
	KUNIT_EXPECT_EQ(test, balloon_level(share, 3, SUPERFRAME_PAGES - 1, false),
			SUPERFRAME_PAGES - 1);
	KUNIT_EXPECT_EQ(test, share[0].get, SUPERFRAME_PAGES - 1);
	/* It is in one piece wherever there is room for it. */
	share[1].room = 7;
	KUNIT_EXPECT_EQ(test, balloon_level(share, 3, 10, true), 10);
	KUNIT_EXPECT_EQ(test, share[0].get, 10);
	/* Or in pieces. */
	share[0].room = 2;
	KUNIT_EXPECT_EQ(test, balloon_level(share, 3, 10, true), 10);
	KUNIT_EXPECT_EQ(test, balloon_level(share, 3, 30, true), 14);

	/* A host that goes by small steps does not get them all from one node. */
	share[0].room = GIB / 8;
	share[1].room = GIB / 2;
	for (i = 0; i < 100; i++)
		KUNIT_ASSERT_EQ(test, spread(test, share, 2, step, true), 0);
	KUNIT_EXPECT_EQ(test, share[0].free, GIB / 8);
	KUNIT_EXPECT_EQ(test, share[1].free, GIB / 2 - 100 * step);
}

static void level_random(struct kunit *test)
{
	struct balloon_share *share;
	unsigned int round, nr, i;

	share = kunit_kcalloc(test, MAX_SHARES, sizeof(*share), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, share);

	prandom_seed_state(&rnd, 4096);
	for (round = 0; round < 400; round++) {
		unsigned long can = 0, want;
		bool inflate = round & 1;

		nr = 1 + below(round & 2 ? 4 : MAX_SHARES);
		for (i = 0; i < nr; i++) {
			unsigned long present = SUPERFRAME_PAGES + below(GIB / 4);
			unsigned long free = below(present + 1);
			unsigned long most = inflate ? free : present - free;

			share[i] = (struct balloon_share){
				.free = free, .present = present,
				/* Some can give all, some little, some nothing. */
				.room = below(3) ? most : below(most + 1),
			};
			can += share[i].room;
		}
		want = below(8) ? below(can + can / 8 + 1) : below(2 * SUPERFRAME_PAGES);
		spread(test, share, nr, want, inflate);
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
	KUNIT_CASE(level_largest_share),
	KUNIT_CASE(level_within_room),
	KUNIT_CASE(level_no_memory),
	KUNIT_CASE(level_huge),
	KUNIT_CASE(level_gives),
	KUNIT_CASE(level_gets),
	KUNIT_CASE(level_little_room),
	KUNIT_CASE(level_remainder),
	KUNIT_CASE(level_random),
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
