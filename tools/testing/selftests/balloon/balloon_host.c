// SPDX-License-Identifier: GPL-2.0
/*
 * A host that refuses, errs, lies or is slow.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "fixture.h"
#include "memory.h"

#define ALWAYS		4294967295L

static long retries(void)
{
	return read_number(ALL "retries");
}

/* Retries come after 1, 2, 4, ... s, each a little late: how many there may be by now, at most. */
static long retries_in(double seconds)
{
	long n = 1, delay;
	double at = 0;

	for (delay = 1; (at += delay) <= seconds; delay *= 2)
		n++;
	return n;
}

static bool wait_retries(long count, double seconds)
{
	double end = now() + seconds;

	while (retries() < count && now() < end)
		usleep(50000);
	return retries() >= count;
}

/* Nothing is taken; it is tried again until it is. */
TEST_F_TIMEOUT(balloon, inflate_refused, LONG)
{
	long before = retries(), pages = scaled(5000);
	double began = now();

	ASSERT_EQ(0, sim_set("refuse_inflate", ALWAYS));
	ASSERT_EQ(0, sim_set("target", pages));
	EXPECT_TRUE(wait_retries(before + 1, 20));
	EXPECT_EQ(0, sum_pages());
	EXPECT_GE(before + retries_in(now() - began), retries());
	EXPECT_STREQ("", broken());
	/* The next attempt is at most twice as far away as the last one was. */
	ASSERT_EQ(0, sim_set("refuse_inflate", 0));
	EXPECT_TRUE(wait_pages(pages, 6));
	before = retries();
	sleep(2);
	EXPECT_EQ(before, retries());
}

TEST_F_TIMEOUT(balloon, deflate_refused, LONG)
{
	long before, pages = scaled(5000);
	double began;

	ASSERT_TRUE(set_target(pages));
	ASSERT_TRUE(wait_settled(10));
	before = retries();
	began = now();
	ASSERT_EQ(0, sim_set("refuse_deflate", ALWAYS));
	ASSERT_EQ(0, sim_set("target", 0));
	EXPECT_TRUE(wait_retries(before + 1, 20));
	EXPECT_EQ(pages, sum_pages());
	EXPECT_GE(before + retries_in(now() - began), retries());
	EXPECT_STREQ("", broken());
	ASSERT_EQ(0, sim_set("refuse_deflate", 0));
	EXPECT_TRUE(wait_pages(0, 6));
}

/* 1 s, 2 s, 4 s, ...; a new target starts at once, and from 1 s again. */
TEST_F_TIMEOUT(balloon, retries_back_off, LONG)
{
	long before = retries();
	double began = now();

	ASSERT_EQ(0, sim_set("refuse_inflate", ALWAYS));
	ASSERT_EQ(0, sim_set("target", SUPERFRAME));
	/* At 0, 1, 3, 7 s; the next would be at 15 s. */
	EXPECT_TRUE(wait_retries(before + 3, 60));
	EXPECT_LE(6.9, now() - began);
	EXPECT_GE(before + retries_in(now() - began), retries());
	EXPECT_EQ(0, sum_pages());

	/* After 1 s again: the next would have been in 8 s. */
	before = retries();
	began = now();
	ASSERT_EQ(0, sim_set("target", 3 * SUPERFRAME));
	EXPECT_TRUE(wait_retries(before + 1, 6));
	EXPECT_GE(before + retries_in(now() - began), retries());

	EXPECT_EQ(0, sum_pages());
	ASSERT_EQ(0, sim_set("refuse_inflate", 0));
	ASSERT_EQ(0, sim_set("target", 2 * SUPERFRAME));
	EXPECT_TRUE(wait_pages(2 * SUPERFRAME, 2));
	EXPECT_STREQ("", broken());
}

/* A pass that takes longer than a second has come to its end all the same. */
TEST_F_TIMEOUT(balloon, slow_refusals_back_off, LONG)
{
	long before = retries(), calls;
	bool rested = false;
	double end;

	ASSERT_EQ(0, sim_set("delay_ms", 1100));
	ASSERT_EQ(0, sim_set("refuse_inflate", ALWAYS));
	calls = sim_get("calls");
	ASSERT_EQ(0, sim_set("target", scaled(5000)));
	end = now() + 12;
	while (now() < end) {
		rested |= sim_get("calls") != calls && !read_number(BUSY);
		usleep(20000);
	}
	TH_LOG("%ld calls, %ld retries", sim_get("calls") - calls, retries() - before);
	/* At 0, 1, 3, 7 s, and the calls' own time. */
	EXPECT_GE(5, sim_get("calls") - calls);
	EXPECT_LE(2, sim_get("calls") - calls);
	EXPECT_LT(before, retries());
	EXPECT_TRUE(rested);
	EXPECT_EQ(0, sum_pages());
	EXPECT_TRUE(wait_state("waiting: host-refused ", 3));
}

/* What can't be inflated is not in the way of what is to be deflated. */
TEST_F_TIMEOUT(balloon, refused_target_starves_nobody, LONG)
{
	long total = 40 * SUPERFRAME, less = 10 * SUPERFRAME;

	if (nr_nodes < 2)
		SKIP(return, "needs two nodes");
	ASSERT_EQ(0, node_target(nodes[0], total));
	ASSERT_TRUE(set_target(total));
	ASSERT_EQ(0, node_target_auto(nodes[0]));
	ASSERT_TRUE(wait_settled(10));
	ASSERT_EQ(0, sim_set("delay_ms", 1100));
	ASSERT_EQ(0, sim_set("refuse_inflate", ALWAYS));
	ASSERT_EQ(0, node_target(nodes[1], total));
	usleep(500000);
	ASSERT_EQ(0, sim_set("target", less));
	EXPECT_TRUE(wait_pages(less, 5))
		TH_LOG("%ld of %ld pages", sum_pages(), less);
	ASSERT_EQ(0, sim_set("delay_ms", 0));
	EXPECT_EQ(less, sum_pages());
	EXPECT_STREQ("", broken());
	ASSERT_EQ(0, sim_set("refuse_inflate", 0));
	EXPECT_TRUE(wait_settled(10));
}

/* A host that gives nothing is asked for pieces once, not for those of one more with each retry. */
TEST_F_TIMEOUT(balloon, refusals_split_once, LONG)
{
	long pages = 20 * SUPERFRAME, before, split;
	double end = now() + 60;

	ASSERT_TRUE(set_target(pages));
	ASSERT_TRUE(wait_settled(10));
	before = retries();
	split = sum_stat("split");
	ASSERT_EQ(0, sim_set("refuse_deflate", ALWAYS));
	ASSERT_EQ(0, sim_set("target", 0));
	while (retries() < before + 4 && now() < end)
		usleep(100000);
	TH_LOG("%ld retries, %ld splits", retries() - before, sum_stat("split") - split);
	EXPECT_LE(before + 4, retries());
	EXPECT_GE(split + nr_nodes, sum_stat("split"));
	EXPECT_EQ(pages, sum_pages());
	EXPECT_STREQ("", broken());
	ASSERT_EQ(0, sim_set("refuse_deflate", 0));
	ASSERT_EQ(0, sim_set("target", 1));
	EXPECT_TRUE(wait_pages(1, 20));
}

/* It has no 2M in one piece: it gives what it has. */
TEST_F_TIMEOUT(balloon, host_has_pieces_only, LONG)
{
	ASSERT_TRUE(set_target(6 * SUPERFRAME));
	ASSERT_TRUE(wait_settled(10));
	ASSERT_EQ(0, sim_set("refuse_order", ALWAYS));
	ASSERT_EQ(0, sim_set("target", scaled(100)));
	EXPECT_TRUE(wait_pages(scaled(100), 60))
		TH_LOG("%ld pages", sum_pages());
	EXPECT_STREQ("", broken());
	ASSERT_EQ(0, sim_set("target", 0));
	EXPECT_TRUE(wait_pages(0, 60));
	/* When it has again, it is superframes again. */
	ASSERT_EQ(0, sim_set("refuse_order", 0));
	ASSERT_TRUE(set_target(6 * SUPERFRAME));
	ASSERT_TRUE(wait_settled(10));
	EXPECT_EQ(6, sum_of("nr_superframes"));
	EXPECT_STREQ("", broken());
}

/* What was granted is kept, and the rest tried again. */
TEST_F_TIMEOUT(balloon, short_answers, LONG)
{
	long pages = 100 * SUPERFRAME, last = 0, now_pages;
	double end;

	ASSERT_EQ(0, sim_set("short", 40));
	ASSERT_EQ(0, sim_set("target", pages));
	end = now() + 20;
	while (last != pages && now() < end) {
		now_pages = sum_pages();
		EXPECT_LE(last, now_pages);
		/* Never more at a time than the host takes. */
		EXPECT_EQ(0, now_pages % SUPERFRAME);
		last = now_pages;
		usleep(50000);
	}
	EXPECT_EQ(pages, sum_pages());
	EXPECT_STREQ("", broken());

	ASSERT_EQ(0, sim_set("target", 20 * SUPERFRAME));
	EXPECT_TRUE(wait_pages(20 * SUPERFRAME, 20));
	EXPECT_STREQ("", broken());
}

TEST_F_TIMEOUT(balloon, partial_success_kept, LONG)
{
	long granted;

	ASSERT_EQ(0, sim_set("short", 10));
	ASSERT_EQ(0, sim_set("target", 100 * SUPERFRAME));
	ASSERT_TRUE(wait_settled(10));
	granted = sum_pages();
	EXPECT_LE(10 * SUPERFRAME, granted);
	/* From now on it grants nothing. */
	ASSERT_EQ(0, sim_set("refuse_inflate", ALWAYS));
	granted = sum_pages();
	sleep(3);
	EXPECT_EQ(granted, sum_pages());
	EXPECT_STREQ("", broken());
	ASSERT_EQ(0, sim_set("short", 0));
	ASSERT_EQ(0, sim_set("refuse_inflate", 0));
	EXPECT_TRUE(wait_pages(100 * SUPERFRAME, 10));
}

TEST_F_TIMEOUT(balloon, errors, LONG)
{
	ASSERT_EQ(0, sim_set("fail", 1));
	ASSERT_EQ(0, sim_set("target", scaled(3000)));
	EXPECT_TRUE(wait_pages(scaled(3000), 5));
	EXPECT_STREQ("", broken());

	ASSERT_EQ(0, sim_set("fail", 2));
	ASSERT_EQ(0, sim_set("target", scaled(100)));
	EXPECT_TRUE(wait_pages(scaled(100), 8));
	EXPECT_STREQ("", broken());
}

/* More than it was asked for can't be true, and does no harm. */
TEST_F_TIMEOUT(balloon, false_answers, LONG)
{
	static const long lies[] = { 1, 1000, 4000000000 };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(lies); i++) {
		ASSERT_EQ(0, sim_set("lie", lies[i]));
		EXPECT_TRUE(set_target(20 * SUPERFRAME + scaled(100)));
		ASSERT_TRUE(wait_settled(10));
		ASSERT_STREQ("", broken());
		EXPECT_TRUE(set_target(3));
		ASSERT_TRUE(wait_settled(10));
		ASSERT_STREQ("", broken());
	}
}

/* The host has no memory for one node: the others do not wait for it. */
TEST_F_TIMEOUT(balloon, one_node_short, LONG)
{
	long pages = (nr_nodes + 2) * 20 * SUPERFRAME, stuck;
	int i;

	if (nr_nodes < 2)
		SKIP(return, "needs two nodes");
	/* It is also the one that needs memory most: it is asked for first. */
	for (i = 0; i < nr_nodes; i++)
		ASSERT_EQ(0, node_target(nodes[i], (i == 1 ? 60 : 20) * SUPERFRAME));
	ASSERT_TRUE(set_target(pages));
	ASSERT_TRUE(wait_settled(10));
	for (i = 0; i < nr_nodes; i++)
		ASSERT_EQ(0, node_target_auto(nodes[i]));
	stuck = node_number(nodes[1], "nr_pages");
	ASSERT_EQ(60 * SUPERFRAME, stuck);

	/* Part of what the node had comes back. */
	ASSERT_EQ(0, sim_free(nodes[1], 5 * SUPERFRAME));
	stuck -= 5 * SUPERFRAME;
	ASSERT_EQ(0, sim_set("target", 0));
	EXPECT_TRUE(wait_pages(stuck, 20))
		TH_LOG("%ld pages, %ld of them stuck", sum_pages(), stuck);
	EXPECT_EQ(stuck, node_number(nodes[1], "nr_pages"));
	EXPECT_STREQ("", broken());
	ASSERT_EQ(0, sim_free(nodes[1], -1));
	EXPECT_TRUE(wait_pages(0, 40));
}

/* The target changes while the host is busy: the last one counts. */
TEST_F_TIMEOUT(balloon, slow_host, LONG)
{
	int i;

	ASSERT_EQ(0, sim_set("delay_ms", 30));
	for (i = 0; i < 60; i++) {
		ASSERT_EQ(0, sim_set("target", random() % (100 * SUPERFRAME)));
		usleep(random() % 100000);
	}
	EXPECT_TRUE(set_target(scaled(12345)));
	EXPECT_TRUE(wait_settled(10));
	EXPECT_STREQ("", broken());
}

/* Ten targets a second, no host call waited for. */
TEST_F_TIMEOUT(balloon, restless_host, LONG)
{
	long most = half();
	int i;

	for (i = 0; i < 50; i++) {
		ASSERT_EQ(0, sim_set("target", i & 1 ? most : 0));
		usleep(100000);
	}
	EXPECT_TRUE(set_target(777));
	EXPECT_TRUE(wait_settled(10));
	EXPECT_STREQ("", broken());
}

/* It asks for more than there is: what can be spared is taken, and nobody is killed. */
TEST_F_TIMEOUT(balloon, beyond_memory, LONG)
{
	struct node_memory m;
	long killed = read_vmstat("oom_kill");
	double end;

	all_memory(&m);
	ASSERT_EQ(0, sim_set("target", m.present * 4));
	end = now() + 120;
	while (sum_pages() < m.spare * SUPERFRAME && now() < end)
		usleep(100000);
	EXPECT_LE(m.spare * SUPERFRAME, sum_pages());
	EXPECT_GT(m.present, sum_pages());
	EXPECT_EQ(killed, read_vmstat("oom_kill"));
	EXPECT_TRUE(set_target(1000));
	EXPECT_TRUE(wait_settled(10));
	EXPECT_STREQ("", broken());
}

/* The backend goes while the balloon is full: everything is given back. */
TEST_F_TIMEOUT(balloon, disabled_while_inflating, LONG)
{
	ASSERT_EQ(0, sim_set("delay_ms", 20));
	ASSERT_EQ(0, sim_set("target", half()));
	usleep(300000);
	EXPECT_EQ(0, sim_set("enable", 0));
	EXPECT_EQ(0, sum_pages());
	refresh_vmstat();
	EXPECT_EQ(0, vmstat_balloon());
	ASSERT_EQ(0, sim_set("delay_ms", 0));
	EXPECT_EQ(0, sim_enable());
}

/* Messages of the kernel that are read from now on; -1 if there are none. */
static int open_log(void)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK);

	if (fd >= 0)
		lseek(fd, 0, SEEK_END);
	return fd;
}

static bool in_log(int fd, const char *text)
{
	char line[8192];
	ssize_t n;

	/* A message that was overwritten before it was read is an error, but not the end. */
	while ((n = read(fd, line, sizeof(line) - 1)) > 0 || (n < 0 && errno == EPIPE)) {
		if (n <= 0)
			continue;
		line[n] = '\0';
		if (strstr(line, text))
			return true;
	}
	return false;
}

/*
 * What a host keeps when its device goes is lost, and said so: the next balloon begins
 * with nothing, whatever kind of host it is, and asks it for nothing of that.
 */
TEST_F_TIMEOUT(balloon, leftovers_are_lost, LONG)
{
	static const char * const kinds[] = { "1\n", "0\n" };
	long kept = 2 * SUPERFRAME, total, lost, managed;
	char text[64];
	unsigned int i;
	int log;

	snprintf(text, sizeof(text), "kept %ld pages", kept);
	/* A host that lets the guest have it all, then one that does not; and the reverse. */
	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		ASSERT_EQ(0, sim_enable_as("keep_managed", kinds[i]));
		refresh_vmstat();
		total = meminfo_kb("MemTotal");
		lost = sum_stat("lost");
		ASSERT_TRUE(set_target(kept));
		ASSERT_TRUE(wait_settled(10));
		ASSERT_EQ(kept / SUPERFRAME, sum_of("nr_superframes"));
		ASSERT_EQ(0, sim_set("refuse_deflate", ALWAYS));
		log = open_log();
		EXPECT_EQ(0, sim_disable());
		EXPECT_EQ(lost + kept, sum_stat("lost"));
		EXPECT_EQ(0, sum_pages());
		EXPECT_EQ(0, read_number(ALL "nr_pages"));
		refresh_vmstat();
		EXPECT_EQ(0, vmstat_balloon());
		if (log >= 0) {
			EXPECT_TRUE(in_log(log, text));
			close(log);
		}
		EXPECT_EQ(total - kib(kept), meminfo_kb("MemTotal"));
		/* The fixture's end is to find what is left. */
		self->memtotal -= kib(kept);

		ASSERT_EQ(0, sim_set("refuse_deflate", 0));
		managed = !i ? 1 : 0;
		ASSERT_EQ(0, write_text(SIM "keep_managed", kinds[!i]));
		ASSERT_EQ(0, sim_enable());
		EXPECT_EQ(0, sum_pages());
		EXPECT_EQ(0, sim_get("held"));
		ASSERT_TRUE(set_target(1));
		EXPECT_EQ(self->memtotal - kib(managed), meminfo_kb("MemTotal"));
		EXPECT_STREQ("", broken());
		ASSERT_TRUE(set_target(20 * SUPERFRAME));
		EXPECT_STREQ("", broken());
		ASSERT_TRUE(set_target(0));
		ASSERT_TRUE(wait_settled(10));
		EXPECT_EQ(self->memtotal, meminfo_kb("MemTotal"));
		EXPECT_EQ(lost + kept, sum_stat("lost"));
		EXPECT_STREQ("", broken());
	}
}

/* The host's wish may come out of an interrupt, whatever the worker is at. */
TEST_F_TIMEOUT(balloon, target_from_interrupt, LONG)
{
	long last = scaled(12345);
	int i;

	for (i = 0; i < 50; i++) {
		ASSERT_EQ(0, sim_set("target_irq", random() % (100 * SUPERFRAME)));
		usleep(random() % 50000);
	}
	ASSERT_EQ(0, sim_set("target_irq", last));
	EXPECT_EQ(last, read_number(ALL "target"));
	EXPECT_TRUE(wait_pages(last, 20));
	EXPECT_TRUE(wait_settled(10));
	EXPECT_STREQ("", broken());
	ASSERT_EQ(0, sim_set("target_irq", 0));
	EXPECT_TRUE(wait_pages(0, 20));
}

/* Whether a command in the guest comes to its end. */
static bool guest_lives(double seconds)
{
	double end = now() + seconds;
	int child = fork(), status;

	if (!child) {
		char *p = map(32 << 20, -1, MADV_NOHUGEPAGE);

		if (!p)
			_exit(1);
		fill(p, 32 << 20, 1);
		_exit(!verify(p, 32 << 20, 1));
	}
	while (!waitpid(child, &status, WNOHANG)) {
		if (now() > end)
			return false;
		usleep(20000);
	}
	return WIFEXITED(status) && !WEXITSTATUS(status);
}

/* It does not answer at all: the guest goes on, and the device's end waits for it. */
TEST_F_TIMEOUT(balloon, host_hangs, LONG)
{
	int child, status = -1;
	char text[64];
	double end;

	ASSERT_TRUE(set_target(10 * SUPERFRAME));
	ASSERT_EQ(0, sim_set("hang", 1));
	ASSERT_EQ(0, sim_set("target", 20 * SUPERFRAME));
	EXPECT_TRUE(wait_state("inflating\n", 5));
	EXPECT_TRUE(guest_lives(240));
	/* Nobody who looks waits for it. */
	EXPECT_EQ(10 * SUPERFRAME, sum_pages());
	EXPECT_EQ(20 * SUPERFRAME, read_number(ALL "target"));
	EXPECT_EQ(1, read_number(BUSY));
	EXPECT_LT(0, read_text(ALL "state", text, sizeof(text)));
	EXPECT_STREQ("inflating\n", text);
	/* Nor does who changes what is wanted. */
	EXPECT_EQ(0, node_target(nodes[0], 5 * SUPERFRAME));
	EXPECT_EQ(0, node_target_auto(nodes[0]));
	EXPECT_EQ(0, sim_set("target", 15 * SUPERFRAME));

	child = fork();
	ASSERT_LE(0, child);
	if (!child)
		_exit(sim_set("enable", 0) ? 1 : 0);
	sleep(2);
	EXPECT_EQ(0, waitpid(child, &status, WNOHANG));
	EXPECT_TRUE(guest_lives(240));
	ASSERT_EQ(0, sim_set("hang", 0));
	end = now() + 240;
	while (!waitpid(child, &status, WNOHANG) && now() < end)
		usleep(20000);
	EXPECT_TRUE(WIFEXITED(status));
	EXPECT_EQ(0, WEXITSTATUS(status));
	EXPECT_EQ(0, sum_pages());
	EXPECT_EQ(0, sim_get("held"));
	EXPECT_EQ(0, sim_enable());
	EXPECT_STREQ("", broken());
}

static long waited(const char *reason)
{
	char text[64], want[64];

	snprintf(want, sizeof(want), "waiting: %s ", reason);
	if (read_text(ALL "state", text, sizeof(text)) <= 0 ||
	    strncmp(text, want, strlen(want)))
		return -1;
	return atol(text + strlen(want));
}

/* What it is at, and why it waits. */
TEST_F_TIMEOUT(balloon, state, LONG)
{
	struct node_memory m;
	double began;
	long since;

	EXPECT_TRUE(wait_state("settled\n", 3));
	ASSERT_EQ(0, sim_set("delay_ms", 1000));
	ASSERT_EQ(0, sim_set("target", 5 * SUPERFRAME));
	EXPECT_TRUE(wait_state("inflating\n", 5));
	ASSERT_TRUE(wait_pages(5 * SUPERFRAME, 20));
	EXPECT_TRUE(wait_state("settled\n", 3));
	ASSERT_EQ(0, sim_set("target", 0));
	EXPECT_TRUE(wait_state("deflating\n", 5));
	ASSERT_TRUE(wait_pages(0, 20));
	EXPECT_TRUE(wait_state("settled\n", 3));
	ASSERT_EQ(0, sim_set("delay_ms", 0));

	ASSERT_EQ(0, sim_set("refuse_inflate", ALWAYS));
	ASSERT_EQ(0, sim_set("target", SUPERFRAME));
	EXPECT_TRUE(wait_state("waiting: host-refused ", 3));
	/* Retries that bring nothing are part of the wait. */
	since = waited("host-refused");
	began = now();
	sleep(4);
	EXPECT_LE(since + 3, waited("host-refused"));
	EXPECT_GE(since + 2 + now() - began, waited("host-refused"));
	ASSERT_EQ(0, sim_set("refuse_inflate", 0));
	EXPECT_TRUE(wait_state("settled\n", 10));

	ASSERT_EQ(0, sim_set("refuse_deflate", ALWAYS));
	ASSERT_EQ(0, sim_set("target", 0));
	EXPECT_TRUE(wait_state("waiting: host-refused ", 3));
	ASSERT_EQ(0, sim_set("refuse_deflate", 0));
	EXPECT_TRUE(wait_state("settled\n", 10));

	ASSERT_EQ(0, write_number(HOLD, 1));
	ASSERT_EQ(0, sim_set("target", SUPERFRAME));
	EXPECT_TRUE(wait_state("waiting: held ", 3));
	ASSERT_EQ(0, write_number(HOLD, 0));
	EXPECT_TRUE(wait_state("settled\n", 5));

	all_memory(&m);
	ASSERT_EQ(0, write_text(ALL "reclaim", "none\n"));
	ASSERT_EQ(0, sim_set("target", m.present));
	EXPECT_TRUE(wait_state("waiting: guest-memory ", 60));
	EXPECT_TRUE(set_target(0));
	EXPECT_TRUE(wait_state("settled\n", 5));
}

TEST_HARNESS_MAIN
