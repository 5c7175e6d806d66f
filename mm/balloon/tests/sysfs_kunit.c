// SPDX-License-Identifier: GPL-2.0
/*
 * What may be written to a node's target, and to its limit.
 */
#include <kunit/test.h>

#include "../internal.h"

#define PRESENT		1000000UL

struct target_case {
	const char *text;
	/* What it means, or REFUSED. */
	unsigned long target;
};

#define REFUSED		(BALLOON_TARGET_AUTO - 1)

static const struct target_case target_cases[] = {
	{ "0", 0 },
	{ "0\n", 0 },
	{ "1", 1 },
	{ "512\n", 512 },
	{ "007", 7 },
	{ "999999", PRESENT - 1 },
	{ "1000000", PRESENT },
	{ "auto", BALLOON_TARGET_AUTO },
	{ "auto\n", BALLOON_TARGET_AUTO },
	{ "1000001", REFUSED },
	{ "4294967296", REFUSED },
	{ "18446744073709551614", REFUSED },
	{ "18446744073709551615", REFUSED },
	{ "18446744073709551616", REFUSED },
	{ "-1", REFUSED },
	{ "-0", REFUSED },
	{ "1e9", REFUSED },
	{ "1.5", REFUSED },
	{ "", REFUSED },
	{ "\n", REFUSED },
	{ "\n\n", REFUSED },
	{ " ", REFUSED },
	{ " 5", REFUSED },
	{ "5 ", REFUSED },
	{ "5 6", REFUSED },
	{ "5\n6", REFUSED },
	{ "5\n\n", REFUSED },
	{ "\t5", REFUSED },
	{ "0x10", REFUSED },
	{ "10h", REFUSED },
	{ "5K", REFUSED },
	{ "5%", REFUSED },
	{ "max", REFUSED },
	{ "Auto", REFUSED },
	{ "AUTO", REFUSED },
	{ "aut", REFUSED },
	{ "automatic", REFUSED },
	{ "auto ", REFUSED },
	{ " auto", REFUSED },
	{ "auto 5", REFUSED },
	{ "\xff\xfe", REFUSED },
};

static void target_desc(const struct target_case *c, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "'%*pE'", (int)strlen(c->text), c->text);
}

static void target_text(struct kunit *test)
{
	const struct target_case *c = test->param_value;
	const unsigned long before = 4711;
	unsigned long target = before;
	int err = balloon_parse_pages(c->text, "auto", PRESENT, &target);

	if (c->target == REFUSED) {
		KUNIT_EXPECT_EQ(test, err, -EINVAL);
		KUNIT_EXPECT_EQ(test, target, before);
	} else {
		KUNIT_EXPECT_EQ(test, err, 0);
		KUNIT_EXPECT_EQ(test, target, c->target);
	}
}

/* Each has its own word, and not the other's. */
static void limit_text(struct kunit *test)
{
	const struct target_case *c = test->param_value;
	bool number = c->target < REFUSED;
	unsigned long limit = 4711;
	int err = balloon_parse_pages(c->text, "max", PRESENT, &limit);

	if (!strcmp(c->text, "max")) {
		KUNIT_EXPECT_EQ(test, err, 0);
		KUNIT_EXPECT_EQ(test, limit, BALLOON_LIMIT_MAX);
	} else {
		KUNIT_EXPECT_EQ(test, err, number ? 0 : -EINVAL);
		KUNIT_EXPECT_EQ(test, limit, number ? c->target : 4711);
	}
}

/* As much as sysfs passes on in one write. */
static void target_long(struct kunit *test)
{
	char *text = kunit_kzalloc(test, PAGE_SIZE + 1, GFP_KERNEL);
	unsigned long target = 7;

	KUNIT_ASSERT_NOT_NULL(test, text);
	memset(text, '9', PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, balloon_parse_pages(text, "auto", PRESENT, &target), -EINVAL);
	KUNIT_EXPECT_EQ(test, target, 7);

	/* Leading zeros are no reason to refuse, however many there are. */
	memset(text, '0', PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, balloon_parse_pages(text, "auto", PRESENT, &target), 0);
	KUNIT_EXPECT_EQ(test, target, 0);
	text[PAGE_SIZE - 1] = '5';
	KUNIT_EXPECT_EQ(test, balloon_parse_pages(text, "auto", PRESENT, &target), 0);
	KUNIT_EXPECT_EQ(test, target, 5);
}

KUNIT_ARRAY_PARAM(target, target_cases, target_desc);

static struct kunit_case sysfs_cases[] = {
	KUNIT_CASE_PARAM(target_text, target_gen_params),
	KUNIT_CASE_PARAM(limit_text, target_gen_params),
	KUNIT_CASE(target_long),
	{}
};

static struct kunit_suite sysfs_suite = {
	.name = "balloon_sysfs",
	.test_cases = sysfs_cases,
};

kunit_test_suite(sysfs_suite);
