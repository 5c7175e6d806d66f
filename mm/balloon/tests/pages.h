/* SPDX-License-Identifier: GPL-2.0 */
/*
 * For tests with real pages: a balloon whose host is the test, and a look at
 * the queues.
 */
#ifndef _MM_BALLOON_TESTS_PAGES_H
#define _MM_BALLOON_TESTS_PAGES_H

#include <kunit/test.h>

#include <linux/vmstat.h>

#include "../internal.h"

/**
 * struct test_balloon - the balloon of a test, in test->priv
 * @b: registered, so that migration finds it; its worker never runs
 * @nid: the node whose pages are used
 * @ext: room for two blocks' pages
 * @refuse_inflate: the host takes nothing
 * @refuse_deflate: the host gives nothing back
 * @inflated: base pages that the host was given
 * @deflated: base pages that it gave back
 */
struct test_balloon {
	struct balloon b;
	int nid;
	struct balloon_extent *ext;
	bool refuse_inflate;
	bool refuse_deflate;
	unsigned long inflated;
	unsigned long deflated;
	/* private: how things were */
	unsigned long managed;
	long vmstat;
};

long test_inflate(struct balloon *b, const struct balloon_extent *ext, unsigned int nr);
long test_deflate(struct balloon *b, const struct balloon_extent *ext, unsigned int nr);
int test_balloon_init(struct kunit *test);
int test_range_init(struct kunit *test);
void test_balloon_exit(struct kunit *test);

void expect_pages(struct kunit *test, unsigned long superframes, unsigned long partial,
		  unsigned long foreign);
struct balloon_block *find_block(struct page *page, unsigned int *bucket);
long node_stat(int nid, enum balloon_stat item);
unsigned long node_free(int nid);
unsigned long node_populated(int nid);
unsigned long vm_event(enum vm_event_item item);
struct page *take_block(struct kunit *test);
struct page *fill_block(struct kunit *test, unsigned int nr);
void fill_two_blocks(struct kunit *test, const unsigned int nr[2], struct page *heads[2]);
void free_pages_of(struct kunit *test, unsigned int nr);

#endif /* _MM_BALLOON_TESTS_PAGES_H */
