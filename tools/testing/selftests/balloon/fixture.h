/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Every test starts with an empty balloon and a host that does what it is
 * asked, and ends with everything as it was.
 */
#ifndef _SELFTESTS_BALLOON_FIXTURE_H
#define _SELFTESTS_BALLOON_FIXTURE_H

#include <errno.h>

#include "../kselftest_harness.h"
#include "balloon.h"

/* Seconds for a test, on a machine that is emulated and has all checks on. */
#define LONG		900

FIXTURE(balloon)
{
	long memtotal;
	long min_free;
};

FIXTURE_SETUP(balloon)
{
	const char *why = unusable();
	int err;

	if (why)
		SKIP(return, "%s", why);
	ASSERT_EQ(0, sim_disable());
	sim_defaults();
	self->memtotal = meminfo_kb("MemTotal");
	self->min_free = read_number(PROC_VM "min_free_kbytes");
	ASSERT_LT(0, self->min_free);
	ASSERT_GT(self->memtotal, 0);
	err = sim_enable();
	if (err == -EBUSY)
		SKIP(return, "there is another balloon already");
	ASSERT_EQ(0, err);
	ASSERT_EQ(0, sum_pages());
}

FIXTURE_TEARDOWN(balloon)
{
	proactive_compaction(true);
	sim_defaults();
	sim_set("lend", 0);
	EXPECT_TRUE(set_target(0));
	EXPECT_TRUE(wait_settled(10));
	EXPECT_STREQ("", broken());
	EXPECT_EQ(0, sum_pages());
	EXPECT_EQ(0, sim_get("held"));
	/* Watermarks are to be computed from what all of the memory is. */
	if (read_number(PROC_VM "min_free_kbytes") != self->min_free)
		EXPECT_EQ(0, write_number(PROC_VM "min_free_kbytes", self->min_free));
	EXPECT_EQ(0, sim_disable());
	EXPECT_EQ(self->memtotal, meminfo_kb("MemTotal"));
}

/* Half of what can be had of superframes, in base pages. */
static inline long half(void)
{
	struct node_memory m;

	all_memory(&m);
	return m.spare / 2 * SUPERFRAME;
}

/* Enable again with another kind of host. */
static inline int sim_enable_as(const char *knob, const char *value)
{
	char path[128];
	int err = sim_disable();

	snprintf(path, sizeof(path), SIM "%s", knob);
	if (!err)
		err = write_text(path, value);
	return err ? err : sim_enable();
}

#endif /* _SELFTESTS_BALLOON_FIXTURE_H */
