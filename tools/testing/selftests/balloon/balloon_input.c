// SPDX-License-Identifier: GPL-2.0
/*
 * What may be written where, and by whom.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fixture.h"

static const char * const nonsense[] = {
	"\n", "\t\n", "-1\n", "-0\n", "1e9\n", "1.5\n", "0x10\n", " 5\n", "5 6\n", "5\n6\n",
	"five\n", "max\n", "AUTO\n", "auto auto\n", "\xff\xfe\n", "%s%n\n", "../../target\n",
	"18446744073709551615\n", "18446744073709551616\n", "99999999999999999999999999\n",
	"9223372036854775807\n",
};

#define LARGE		(64 * 1024)

/* Write all that is no value to a file, but this: it is refused, and changes nothing. */
static void refuse_but(struct __test_metadata *_metadata, const char *path, const char *word)
{
	char before[256], after[256];
	char *large;
	unsigned int i;
	long pages;

	/* What was written before may still have pages move from node to node. */
	EXPECT_TRUE(wait_settled(10));
	pages = sum_pages();
	ASSERT_LT(0, read_text(path, before, sizeof(before)));
	for (i = 0; i < ARRAY_SIZE(nonsense); i++) {
		if (!strcmp(nonsense[i], word))
			continue;
		EXPECT_EQ(-EINVAL, write_text(path, nonsense[i]))
			TH_LOG("%s <- %s", path, nonsense[i]);
		read_text(path, after, sizeof(after));
		ASSERT_STREQ(before, after);
	}

	large = malloc(LARGE);
	ASSERT_NE(NULL, large);
	for (i = 0; i < 10; i++) {
		/* All zeros would be a long way to write 0. */
		if (!i)
			continue;
		memset(large, '0' + i, LARGE);
		EXPECT_EQ(-EINVAL, write_bytes(path, large, LARGE));
	}
	memset(large, 0, LARGE);
	EXPECT_EQ(-EINVAL, write_bytes(path, large, LARGE));
	memset(large, 'x', LARGE);
	EXPECT_EQ(-EINVAL, write_bytes(path, large, LARGE));
	free(large);

	/* Nothing at all never reaches the kernel's parser. */
	EXPECT_GE(0, write_bytes(path, "", 0));

	read_text(path, after, sizeof(after));
	EXPECT_STREQ(before, after);
	EXPECT_TRUE(wait_settled(10));
	EXPECT_EQ(pages, sum_pages());
}

static void refuse(struct __test_metadata *_metadata, const char *path)
{
	refuse_but(_metadata, path, "");
}

static void expect_text(struct __test_metadata *_metadata, const char *path, const char *want)
{
	char text[256];

	ASSERT_LT(0, read_text(path, text, sizeof(text)));
	EXPECT_STREQ(want, text);
}

TEST_F_TIMEOUT(balloon, node_target, LONG)
{
	struct node_memory all;
	int i;

	ASSERT_TRUE(set_target(1000));
	all_memory(&all);
	for (i = 0; i < nr_nodes; i++) {
		char path[128];

		snprintf(path, sizeof(path), "%s", node_path(nodes[i], "target"));
		expect_text(_metadata, path, "auto\n");
		refuse(_metadata, path);
		EXPECT_EQ(-EINVAL, write_number(path, all.present + 1));
		expect_text(_metadata, path, "auto\n");
		EXPECT_EQ(0, write_text(path, "0"));
		expect_text(_metadata, path, "0\n");
		refuse(_metadata, path);
		EXPECT_EQ(0, write_text(path, "auto"));
	}
	/* As much as there is, on any node. */
	EXPECT_EQ(0, node_target(nodes[0], all.present));
	EXPECT_EQ(all.present, node_number(nodes[0], "target"));
	EXPECT_EQ(0, node_target_auto(nodes[0]));
	expect_text(_metadata, node_path(nodes[0], "target"), "auto\n");
	EXPECT_TRUE(wait_settled(10));
	EXPECT_EQ(1000, sum_pages());
}

TEST_F_TIMEOUT(balloon, node_limit, LONG)
{
	struct node_memory all;
	int i;

	ASSERT_TRUE(set_target(1000));
	all_memory(&all);
	for (i = 0; i < nr_nodes; i++) {
		char path[128];

		snprintf(path, sizeof(path), "%s", node_path(nodes[i], "limit"));
		expect_text(_metadata, path, "max\n");
		refuse_but(_metadata, path, "max\n");
		EXPECT_EQ(-EINVAL, write_text(path, "auto\n"));
		EXPECT_EQ(-EINVAL, write_text(path, "Max\n"));
		EXPECT_EQ(-EINVAL, write_text(path, "maximum\n"));
		EXPECT_EQ(-EINVAL, write_text(path, "max 5\n"));
		/* Bytes are no pages. */
		EXPECT_EQ(-EINVAL, write_number(path, all.present + 1));
		expect_text(_metadata, path, "max\n");
		EXPECT_EQ(0, write_text(path, "1000"));
		expect_text(_metadata, path, "1000\n");
		refuse_but(_metadata, path, "max\n");
		EXPECT_EQ(0, write_text(path, "max"));
	}
	/* More than the node has is no limit, and is remembered as it was said. */
	EXPECT_EQ(0, write_number(node_path(nodes[0], "limit"), all.present));
	EXPECT_EQ(all.present, node_number(nodes[0], "limit"));
	EXPECT_EQ(0, write_text(node_path(nodes[0], "limit"), "max\n"));
	EXPECT_TRUE(wait_settled(10));
	EXPECT_EQ(1000, sum_pages());
}

TEST_F_TIMEOUT(balloon, policy, LONG)
{
	expect_text(_metadata, ALL "policy", "[balance] local\n");
	refuse(_metadata, ALL "policy");
	EXPECT_EQ(-EINVAL, write_text(ALL "policy", "balance local\n"));
	EXPECT_EQ(-EINVAL, write_text(ALL "policy", "[local]\n"));
	EXPECT_EQ(-EINVAL, write_text(ALL "policy", "loca\n"));
	EXPECT_EQ(-EINVAL, write_text(ALL "policy", "0\n"));
	EXPECT_EQ(0, write_text(ALL "policy", "local\n"));
	expect_text(_metadata, ALL "policy", "balance [local]\n");
	refuse(_metadata, ALL "policy");
	EXPECT_EQ(0, write_text(ALL "policy", "balance"));
	expect_text(_metadata, ALL "policy", "[balance] local\n");
}

TEST_F_TIMEOUT(balloon, superframe_targets, LONG)
{
	expect_text(_metadata, ALL "superframe_targets", "[0] 1\n");
	refuse(_metadata, ALL "superframe_targets");
	EXPECT_EQ(-EINVAL, write_text(ALL "superframe_targets", "2\n"));
	EXPECT_EQ(-EINVAL, write_text(ALL "superframe_targets", "y\n"));
	EXPECT_EQ(0, write_text(ALL "superframe_targets", "1\n"));
	expect_text(_metadata, ALL "superframe_targets", "0 [1]\n");
	refuse(_metadata, ALL "superframe_targets");
	EXPECT_EQ(0, write_text(ALL "superframe_targets", "0\n"));
	expect_text(_metadata, ALL "superframe_targets", "[0] 1\n");
}

TEST_F_TIMEOUT(balloon, reclaim, LONG)
{
	static const char * const modes[] = { "none", "cache", "swap" };
	static const char * const shown[] = {
		"[none] cache swap\n", "none [cache] swap\n", "none cache [swap]\n",
	};
	static const char * const bad[] = {
		"None\n", "non\n", "nonee\n", "none cache\n", "[none]\n", "cache swap\n", " swap\n",
		"swap\n\n", "0\n", "2\n", "anon\n",
	};
	unsigned int i, k;

	expect_text(_metadata, ALL "reclaim", shown[2]);
	for (i = 0; i < ARRAY_SIZE(modes); i++) {
		EXPECT_EQ(0, write_text(ALL "reclaim", modes[i]));
		expect_text(_metadata, ALL "reclaim", shown[i]);
		for (k = 0; k < ARRAY_SIZE(bad); k++)
			EXPECT_EQ(-EINVAL, write_text(ALL "reclaim", bad[k]))
				TH_LOG("word %u, mode %u", k, i);
		refuse(_metadata, ALL "reclaim");
	}
}

static void expect_mode(struct __test_metadata *_metadata, const char *path, unsigned int mode)
{
	struct stat st;

	ASSERT_EQ(0, stat(path, &st))
		TH_LOG("%s", path);
	EXPECT_EQ(mode, st.st_mode & 07777)
		TH_LOG("%s", path);
	EXPECT_EQ(0U, st.st_uid);
	if (!(mode & 0222))
		EXPECT_GT(0, write_text(path, "0\n"))
			TH_LOG("%s", path);
}

TEST_F_TIMEOUT(balloon, modes, LONG)
{
	static const char * const shown[] = {
		"nr_pages", "nr_superframes", "nr_partial", "nr_foreign", "rings", "stat",
		"available",
	};
	unsigned int i;
	int n;

	for (n = 0; n < nr_nodes; n++) {
		for (i = 0; i < ARRAY_SIZE(shown); i++)
			expect_mode(_metadata, node_path(nodes[n], shown[i]), 0444);
		expect_mode(_metadata, node_path(nodes[n], "target"), 0644);
		expect_mode(_metadata, node_path(nodes[n], "limit"), 0644);
	}
	expect_mode(_metadata, ALL "nr_pages", 0444);
	expect_mode(_metadata, ALL "target", 0444);
	expect_mode(_metadata, ALL "retries", 0444);
	expect_mode(_metadata, ALL "state", 0444);
	expect_mode(_metadata, ALL "reclaim", 0644);
	expect_mode(_metadata, ALL "policy", 0644);
	expect_mode(_metadata, ALL "superframe_targets", 0644);
}

/* Read by anyone, written by root only. */
TEST_F_TIMEOUT(balloon, not_root, LONG)
{
	char text[256];

	ASSERT_EQ(0, seteuid(65534));
	EXPECT_EQ(-EACCES, write_text(node_path(nodes[0], "target"), "0\n"));
	EXPECT_EQ(-EACCES, write_text(node_path(nodes[0], "limit"), "0\n"));
	EXPECT_EQ(-EACCES, write_text(ALL "policy", "local\n"));
	EXPECT_EQ(-EACCES, write_text(ALL "superframe_targets", "1\n"));
	EXPECT_EQ(-EACCES, write_text(ALL "reclaim", "none\n"));
	EXPECT_LT(0, read_text(node_path(nodes[0], "target"), text, sizeof(text)));
	EXPECT_LT(0, read_text(node_path(nodes[0], "limit"), text, sizeof(text)));
	EXPECT_LT(0, read_text(node_path(nodes[0], "available"), text, sizeof(text)));
	EXPECT_LT(0, read_text(node_path(nodes[0], "stat"), text, sizeof(text)));
	EXPECT_LT(0, read_text(ALL "policy", text, sizeof(text)));
	EXPECT_LT(0, read_text(ALL "retries", text, sizeof(text)));
	EXPECT_LT(0, read_text(ALL "state", text, sizeof(text)));
	EXPECT_LT(0, read_text(ALL "reclaim", text, sizeof(text)));
	ASSERT_EQ(0, seteuid(0));
}

/* Names and number of the lines are what others rely on. */
TEST_F_TIMEOUT(balloon, stat_format, LONG)
{
	static const char * const names[] = {
		"inflate_local", "inflate_remote", "deflate_local", "deflate_remote",
		"refill", "refill_fail", "exchange", "migrate", "coalesce", "split", "lost",
	};
	char text[1024], *line;
	unsigned int i = 0;

	ASSERT_LT(0, read_text(node_path(nodes[0], "stat"), text, sizeof(text)));
	for (line = strtok(text, "\n"); line; line = strtok(NULL, "\n"), i++) {
		size_t len;

		ASSERT_GT(ARRAY_SIZE(names), i);
		len = strlen(names[i]);
		EXPECT_EQ(0, strncmp(line, names[i], len));
		EXPECT_EQ(' ', line[len]);
		EXPECT_EQ(strlen(line + len + 1), strspn(line + len + 1, "0123456789"));
	}
	EXPECT_EQ(ARRAY_SIZE(names), i);
}

TEST_HARNESS_MAIN
