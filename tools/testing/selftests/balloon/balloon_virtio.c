// SPDX-License-Identifier: GPL-2.0
/*
 * The virtio driver on devices that behave as several VMMs' do
 * (CONFIG_VIRTIO_BALLOON_MODEL), which overwrite what they are given.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "fixture.h"
#include "memory.h"

#define MODEL		"/sys/kernel/debug/virtio_balloon_model/"
#define DRIVER		"/sys/bus/virtio/drivers/virtio_balloon"
#define PARAMETERS	"/sys/module/virtio_balloon/parameters/"
#define CHUNK		(2UL << 20)
#define MAX_RANGE	(4L << 20)
/* What moves: enough for many requests, and not for minutes. */
#define MUCH		(64 * SUPERFRAME)

static int model_set(const char *name, long value)
{
	char path[128];

	snprintf(path, sizeof(path), MODEL "%s", name);
	return write_number(path, value);
}

static long model_get(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), MODEL "%s", name);
	return read_number(path);
}

static int plug(const char *name)
{
	return write_text(MODEL "enable", name);
}

static void unplug(void)
{
	plug("none");
}

/* The host's target, until the device knows that it is met. */
static bool reach(long pages)
{
	double end = now() + 300;

	if (model_set("target", pages))
		return false;
	while (model_get("actual") != pages || sum_pages() != pages) {
		if (now() > end)
			return false;
		usleep(20000);
	}
	return true;
}

/* "" or what does not hold while the balloon rests. */
static const char *wrong(void)
{
	static char why[4096];
	double end = now() + 60;

	do {
		usleep(50000);
		if (read_text(CHECK, why, sizeof(why)) < 0)
			return "no " CHECK;
		if (!strcmp(why, "ok\n"))
			why[0] = 0;
		else
			continue;
		if (model_get("wrong"))
			snprintf(why, sizeof(why), "%ld pages were in use", model_get("wrong"));
		else if (model_get("dead"))
			snprintf(why, sizeof(why), "the VMM has ended");
		else if (model_get("oversize"))
			snprintf(why, sizeof(why), "%ld arrays too long", model_get("oversize"));
		else if (model_get("largest") > MAX_RANGE || model_get("crossing"))
			snprintf(why, sizeof(why), "%ld ranges cross, the largest is of %ld",
				 model_get("crossing"), model_get("largest"));
		else if (model_get("held") != sum_pages())
			snprintf(why, sizeof(why), "%ld pages, the device holds %ld", sum_pages(),
				 model_get("held"));
	} while (why[0] && now() < end);
	return why;
}

/* Chunks that children have verified. */
static volatile unsigned long *progress;

/* A child that fills and verifies so much memory all the time: ends if a byte ever differs. */
static pid_t load(size_t bytes)
{
	size_t chunks = bytes / CHUNK, i;
	uint64_t *seed;
	char **p;
	pid_t pid;

	if (!progress)
		progress = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
				0);
	pid = fork();
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	p = calloc(chunks, sizeof(*p));
	seed = calloc(chunks, sizeof(*seed));
	srandom(getpid());
	for (;;) {
		i = random() % chunks;
		if (p[i] && !verify(p[i], CHUNK, seed[i]))
			_exit(1);
		*progress += !!p[i];
		if (p[i])
			munmap(p[i], CHUNK);
		seed[i] = random();
		p[i] = map(CHUNK, -1, i & 1 ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
		if (!p[i])
			_exit(2);
		fill(p[i], CHUNK, seed[i]);
	}
}

/* So many chunks more, of all children. */
static bool goes_on(unsigned long chunks)
{
	unsigned long want = *progress + chunks;
	/* Beside other guests it takes minutes. */
	double end = now() + 600;

	while (*progress < want && now() < end)
		usleep(10000);
	return *progress >= want;
}

/* Its end: false if it had ended by itself. */
static bool still_right(pid_t pid)
{
	int status;

	kill(pid, SIGKILL);
	return waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) &&
	       WTERMSIG(status) == SIGKILL;
}

FIXTURE(virtio)
{
	long memtotal;
};

FIXTURE_VARIANT(virtio)
{
	const char *model;
	/* ms before each discard */
	long delay;
	/* Superframes do not go out as ranges */
	bool arrays;
};

FIXTURE_VARIANT_ADD(virtio, firecracker_1_12_0) { .model = "firecracker-1.12.0", .delay = 3 };
FIXTURE_VARIANT_ADD(virtio, firecracker_1_12_1) { .model = "firecracker-1.12.1" };
FIXTURE_VARIANT_ADD(virtio, firecracker_1_14) { .model = "firecracker-1.14" };
FIXTURE_VARIANT_ADD(virtio, cloud_hypervisor_51) { .model = "cloud-hypervisor-51" };
FIXTURE_VARIANT_ADD(virtio, cloud_hypervisor_52) { .model = "cloud-hypervisor-52" };
FIXTURE_VARIANT_ADD(virtio, arrays) { .model = "cloud-hypervisor-52", .arrays = true };
FIXTURE_VARIANT_ADD(virtio, crosvm) { .model = "crosvm" };
FIXTURE_VARIANT_ADD(virtio, dragonball) { .model = "dragonball" };
FIXTURE_VARIANT_ADD(virtio, stratovirt) { .model = "stratovirt" };

static void setup(struct __test_metadata *_metadata, const char *model)
{
	const char *why = unusable();

	if (!why && access(MODEL "enable", F_OK))
		why = "this kernel has no models of devices";
	if (!why && access(DRIVER, F_OK))
		why = "virtio_balloon is not loaded";
	if (why)
		SKIP(return, "%s", why);
	ASSERT_EQ(0, sim_disable());
	sim_defaults();
	unplug();
	/* What is reported free is not the balloon's. */
	write_text(PARAMETERS "free_page_reporting", "0\n");
	ASSERT_EQ(0, model_set("granule", 1));
	ASSERT_EQ(0, model_set("delay_ms", 0));
	ASSERT_EQ(0, plug(model));
}

static void teardown(struct __test_metadata *_metadata)
{
	model_set("delay_ms", 0);
	model_set("hang", 0);
	write_text(PARAMETERS "ranges", "1\n");
	unplug();
	write_text(PARAMETERS "free_page_reporting", "1\n");
	EXPECT_EQ(0, sum_pages());
}

FIXTURE_SETUP(virtio)
{
	setup(_metadata, variant->model);
	if (_metadata->exit_code)
		return;
	write_text(PARAMETERS "ranges", variant->arrays ? "0\n" : "1\n");
	self->memtotal = meminfo_kb("MemTotal");
	ASSERT_EQ(0, model_set("delay_ms", variant->delay));
}

FIXTURE_TEARDOWN(virtio)
{
	teardown(_metadata);
	EXPECT_EQ(self->memtotal, meminfo_kb("MemTotal"));
}

/* Down, to and fro, and up, with a program beside it. */
TEST_F_TIMEOUT(virtio, down_and_up, LONG)
{
	long pages = MUCH + scaled(300);
	pid_t pid = load(pages / 2 * PAGE);
	int i;

	ASSERT_TRUE(reach(pages));
	EXPECT_STREQ("", wrong());
	/* A model may keep what is merged across its mappings: no more than that. */
	EXPECT_LT(pages * 9 / 10, model_get("discarded"));
	if (variant->arrays)
		EXPECT_EQ(0, model_get("largest"));
	srandom(1);
	for (i = 0; i < 20; i++) {
		ASSERT_EQ(0, model_set("target", random() % pages));
		usleep(random() % 50000);
	}
	ASSERT_TRUE(reach(0));
	EXPECT_STREQ("", wrong());
	EXPECT_TRUE(goes_on(1));
	EXPECT_TRUE(still_right(pid));
}

/* On one VMM, what is the same on all. */
FIXTURE(virtio_once)
{
	int unused;
};

FIXTURE_SETUP(virtio_once)
{
	setup(_metadata, "cloud-hypervisor-52");
}

FIXTURE_TEARDOWN(virtio_once)
{
	teardown(_metadata);
}

/*
 * Programs get what the target lets them have, without the worker: also what was inflated
 * last, of a host that answers before it discards, and of one that must be told first.
 */
TEST_F_TIMEOUT(virtio_once, refills, LONG)
{
	static const char * const models[] = { "firecracker-1.12.0", "crosvm" };
	struct node_memory m;
	long pages, before;
	unsigned int i;
	pid_t pid[2];

	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, plug(models[i]));
		ASSERT_EQ(0, model_set("delay_ms", 3 * !i));
		all_memory(&m);
		pages = (m.spare - 8) * SUPERFRAME;
		ASSERT_TRUE(reach(pages));
		before = sum_stat("refill");
		ASSERT_EQ(0, write_number(HOLD, 1));
		ASSERT_EQ(0, model_set("target", pages / 2));
		pid[0] = load(pages / 8 * PAGE);
		pid[1] = load(pages / 8 * PAGE);
		EXPECT_TRUE(goes_on(pages / SUPERFRAME / 8));
		EXPECT_LT(before, sum_stat("refill"));
		ASSERT_EQ(0, write_number(HOLD, 0));
		ASSERT_TRUE(reach(pages / 2));
		EXPECT_STREQ("", wrong());
		EXPECT_TRUE(still_right(pid[0]));
		EXPECT_TRUE(still_right(pid[1]));
	}
}

/* Huge pages come back whole, though the host hears of base pages only. */
TEST_F_TIMEOUT(virtio_once, huge_pages_by_arrays, LONG)
{
	long pages = half();

	ASSERT_EQ(0, plug("firecracker-1.14"));
	ASSERT_EQ(0, model_set("granule", SUPERFRAME));
	TH_LOG("%ld MiB", pages * PAGE >> 20);
	ASSERT_TRUE(reach(pages));
	EXPECT_EQ(pages, SUPERFRAME * sum_of("nr_superframes"));
	EXPECT_EQ(pages, model_get("discarded"));
	EXPECT_STREQ("", wrong());
}

/* What fills up piece by piece is told of again, as a whole. */
TEST_F_TIMEOUT(virtio_once, pieces_become_huge_pages, LONG)
{
	static const char * const models[] = { "firecracker-1.14", "cloud-hypervisor-52" };
	unsigned int i;
	long pages;

	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, plug(models[i]));
		ASSERT_EQ(0, model_set("granule", SUPERFRAME));
		ASSERT_EQ(0, node_target(nodes[0], 2 * SUPERFRAME));
		for (pages = scaled(100); pages < 2 * SUPERFRAME; pages += scaled(100))
			ASSERT_TRUE(reach(pages));
		ASSERT_TRUE(reach(2 * SUPERFRAME));
		ASSERT_TRUE(wait_settled(10));
		EXPECT_EQ(2, sum_of("nr_superframes"));
		EXPECT_EQ(2 * SUPERFRAME, model_get("discarded"));
		EXPECT_STREQ("", wrong());
		ASSERT_EQ(0, node_target_auto(nodes[0]));
	}
}

/* Seconds since the balloon came to rest short of its target; -1: it is not at rest. */
static long waited(void)
{
	char text[64];
	long seconds;

	if (read_text(ALL "state", text, sizeof(text)) <= 0 ||
	    sscanf(text, "waiting: %*s %ld", &seconds) != 1)
		return -1;
	return seconds;
}

/* A config interrupt without a new target changes nothing. */
TEST_F_TIMEOUT(virtio_once, nothing_new, LONG)
{
	long retries, before;
	struct node_memory m;
	double end;

	all_memory(&m);
	ASSERT_EQ(0, model_set("target", m.present));
	ASSERT_TRUE(wait_state("waiting: ", 60));
	for (end = now() + 60; waited() < 2 && now() < end; usleep(20000))
		;
	retries = read_number(ALL "retries");
	before = waited();
	ASSERT_LE(2, before);
	ASSERT_EQ(0, model_set("storm", 1000));
	sleep(3);
	/* It waits since then, if it has not tried again by itself. */
	if (read_number(ALL "retries") == retries)
		EXPECT_LE(before + 2, waited());
	EXPECT_STREQ("", wrong());
}

static bool grow_to(long pages)
{
	double end = now() + 60;

	while (sum_pages() < pages && now() < end)
		usleep(1000);
	return sum_pages() >= pages;
}

/* What is in a ring that breaks may be discarded at any time: it comes back when that is over. */
TEST_F_TIMEOUT(virtio_once, a_broken_ring, LONG)
{
	static const char * const models[] = { "firecracker-1.12.1", "cloud-hypervisor-52" };
	long pages = 2 * MUCH, memtotal = meminfo_kb("MemTotal"), held;
	unsigned int i;
	pid_t pid;

	for (i = 0; i < 2; i++) {
		unplug();
		memtotal = meminfo_kb("MemTotal");
		ASSERT_EQ(0, plug(models[i]));
		pid = load(pages / 2 * PAGE);
		/* It goes on to discard what it has answered wrongly, and what comes next. */
		ASSERT_EQ(0, model_set("delay_ms", 20));
		ASSERT_EQ(0, model_set("target", pages));
		ASSERT_TRUE(grow_to(pages / 4));
		ASSERT_EQ(0, model_set("lie", 1));
		EXPECT_TRUE(goes_on(pages / SUPERFRAME / 4));
		held = sum_pages();
		EXPECT_LT(held, pages);
		ASSERT_EQ(0, model_set("target", 0));
		EXPECT_TRUE(goes_on(pages / SUPERFRAME / 4));
		/* Not that it would tell. */
		EXPECT_EQ(held, sum_pages());
		EXPECT_EQ(0, model_get("wrong"));
		ASSERT_EQ(0, model_set("delay_ms", 0));
		unplug();
		EXPECT_EQ(0, sum_pages());
		EXPECT_EQ(memtotal, meminfo_kb("MemTotal"));
		EXPECT_TRUE(still_right(pid));
	}
}

/* Who waits for a host that does not answer waits alone; and gets what it waits for. */
TEST_F_TIMEOUT(virtio_once, a_host_that_stops, LONG)
{
	long pages = 2 * MUCH;
	pid_t pid;

	ASSERT_EQ(0, model_set("delay_ms", 5));
	ASSERT_EQ(0, model_set("target", pages));
	ASSERT_TRUE(grow_to(pages / 4));
	ASSERT_EQ(0, model_set("hang", 1));
	pid = load(MUCH * PAGE);
	EXPECT_TRUE(goes_on(MUCH / SUPERFRAME));
	EXPECT_TRUE(still_right(pid));
	ASSERT_EQ(0, model_set("hang", 0));
	ASSERT_TRUE(reach(pages));
	EXPECT_STREQ("", wrong());
	/* It can be unplugged then, too. */
	ASSERT_EQ(0, model_set("delay_ms", 1));
	ASSERT_EQ(0, model_set("target", 0));
	unplug();
	EXPECT_EQ(0, sum_pages());
}

/* crosvm answers whoever asked when what is held is what was asked for, to the page. */
TEST_F_TIMEOUT(virtio_once, to_the_page, LONG)
{
	long reached;

	ASSERT_EQ(0, plug("crosvm"));
	reached = model_get("reached");
	ASSERT_TRUE(reach(MUCH + 77));
	EXPECT_LT(reached, model_get("reached"));
	reached = model_get("reached");
	ASSERT_TRUE(reach(1));
	EXPECT_LT(reached, model_get("reached"));
	EXPECT_STREQ("", wrong());
}

TEST_HARNESS_MAIN
