// SPDX-License-Identifier: GPL-2.0
/*
 * Measures how long page faults take.
 *
 *	faults MIB [--cpu N]
 *	faults MIB [--cpu N] [--threads 1..64] --all | --once
 *
 * Says "ready", touches MIB of memory page by page, gives them back, and begins
 * again, until it gets SIGTERM. Then prints "NS COUNT" lines: of the faults that
 * began while the balloon inflated, how many took NS nanoseconds or up to a
 * sixteenth more. When it inflated is seen by the sum of all memory, which a
 * second thread watches.
 *
 * With --all, all faults count, and threads share the memory. With --once, they
 * do, too, and touch it once; it says "held" after its figures and keeps the
 * memory until it gets SIGTERM, so that one can see where it lies.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>

#define PAGE		4096UL
#define MAX_FAULTS	4194304
#define MAX_CHANGES	1048576
#define MAX_THREADS	64
#define SUB		16		/* buckets a power of 2 */
#define WATCH_NS	200000
/* Without a step for so long, the balloon is at rest. */
#define REST_NS		50000000ULL

static struct { uint64_t from, to; } inflated[MAX_CHANGES];
static uint64_t began[MAX_FAULTS];
static uint32_t took[MAX_FAULTS];
static unsigned long nr_inflated, nr_faults, counts[MAX_THREADS][64 * SUB];
static volatile sig_atomic_t stopped;
static const char usage[] =
	"usage: faults MIB [--cpu N] [[--threads 1..64] --all | --once]\n";

/* Of --all and --once: each thread has its part of the memory, and its counts. */
static pthread_barrier_t all_there;
static unsigned long part;
static char *memory;
static bool all, once;

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

static void stop(int sig)
{
	(void)sig;
	stopped = 1;
}

/* Each step down: from the last look that did not see it. */
static void *watch(void *unused)
{
	struct timespec pause = { .tv_nsec = WATCH_NS };
	unsigned long total, last = 0;
	uint64_t seen = 0, at;
	struct sysinfo info;

	(void)unused;
	while (!stopped && nr_inflated < MAX_CHANGES) {
		sysinfo(&info);
		total = info.totalram;
		at = now();
		if (last && total < last) {
			uint64_t *to = nr_inflated ? &inflated[nr_inflated - 1].to : NULL;

			if (to && seen - *to < REST_NS) {
				*to = at;
			} else {
				inflated[nr_inflated].from = seen;
				inflated[nr_inflated++].to = at;
			}
		} else if (last && total > last && nr_inflated) {
			/* What comes back ends it. */
			inflated[nr_inflated].from = at;
			inflated[nr_inflated].to = at;
			nr_inflated++;
		}
		last = total;
		seen = at;
		nanosleep(&pause, NULL);
	}
	return NULL;
}

static unsigned int bucket_of(uint32_t ns)
{
	unsigned int order = 31 - __builtin_clz(ns | SUB);

	/* Below SUB each value has its own. */
	return ns < SUB ? ns : (order - 3) * SUB + ((ns >> (order - 4)) & (SUB - 1));
}

static unsigned long lowest_of(unsigned int bucket)
{
	unsigned int order = bucket / SUB + 3;

	return bucket < SUB ? bucket : (SUB + bucket % SUB) << (order - 4);
}

/* Returns how long it took, and says in *@start when it began. */
static uint32_t touch(char *page, uint64_t *start)
{
	uint64_t ns;

	*start = now();
	*(volatile char *)page = 1;
	ns = now() - *start;
	return ns < UINT32_MAX ? ns : UINT32_MAX;
}

static void *touch_part(void *arg)
{
	unsigned long nr = (unsigned long)arg, i;
	char *mine = memory + nr * part;
	uint64_t start;

	pthread_barrier_wait(&all_there);
	do {
		for (i = 0; i < part && !stopped; i += PAGE)
			counts[nr][bucket_of(touch(mine + i, &start))]++;
		if (!once)
			madvise(mine, part, MADV_DONTNEED);
	} while (!once && !stopped);
	return NULL;
}

static int touch_all(unsigned long size, unsigned int threads)
{
	pthread_t thread[MAX_THREADS];
	unsigned long t;

	part = size / threads / PAGE * PAGE;
	pthread_barrier_init(&all_there, NULL, threads);
	for (t = 1; t < threads; t++)
		if (pthread_create(&thread[t], NULL, touch_part, (void *)t)) {
			fputs("faults: no thread\n", stderr);
			return 1;
		}
	touch_part(NULL);
	for (t = 1; t < threads; t++)
		pthread_join(thread[t], NULL);
	return 0;
}

/* Those that began while the balloon inflated. */
static int touch_while_inflating(unsigned long size, pthread_t watcher)
{
	unsigned long i, w = 0;

	while (!stopped) {
		for (i = 0; i < size && !stopped; i += PAGE) {
			unsigned long nr = nr_faults++ % MAX_FAULTS;

			took[nr] = touch(memory + i, &began[nr]);
		}
		madvise(memory, size, MADV_DONTNEED);
	}
	pthread_join(watcher, NULL);

	if (nr_faults > MAX_FAULTS) {
		fprintf(stderr, "faults: %lu are too many, %d at most\n", nr_faults, MAX_FAULTS);
		return 1;
	}
	for (i = 0; i < nr_faults; i++) {
		while (w < nr_inflated && inflated[w].to < began[i])
			w++;
		if (w < nr_inflated && inflated[w].from <= began[i])
			counts[0][bucket_of(took[i])]++;
	}
	return 0;
}

int main(int argc, char **argv)
{
	unsigned long size = argc > 1 ? strtoul(argv[1], NULL, 10) << 20 : 0, sum;
	int cpu = -1, threads = 1, i, t;
	pthread_t watcher = 0;

	for (i = 2; i < argc; i++) {
		if (!strcmp(argv[i], "--cpu") && i + 1 < argc)
			cpu = atoi(argv[++i]);
		else if (!strcmp(argv[i], "--threads") && i + 1 < argc)
			threads = atoi(argv[++i]);
		else if (!strcmp(argv[i], "--all"))
			all = true;
		else if (!strcmp(argv[i], "--once"))
			once = true;
		else
			size = 0;
	}
	if (!size || threads < 1 || threads > MAX_THREADS || (threads > 1 && !all && !once)) {
		fputs(usage, stderr);
		return 2;
	}
	signal(SIGTERM, stop);
	/* Faults of its own are not to be among those that it measures. */
	memset(counts, 0, sizeof(counts));
	if (!all && !once) {
		memset(began, 0, sizeof(began));
		memset(took, 0, sizeof(took));
		/* On any CPU: it must not wait for who is watched. */
		if (pthread_create(&watcher, NULL, watch, NULL)) {
			fputs("faults: no thread\n", stderr);
			return 1;
		}
	}
	if (cpu >= 0) {
		cpu_set_t cpus;

		CPU_ZERO(&cpus);
		CPU_SET(cpu, &cpus);
		if (sched_setaffinity(0, sizeof(cpus), &cpus)) {
			perror("faults: sched_setaffinity");
			return 1;
		}
	}
	memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED || madvise(memory, size, MADV_NOHUGEPAGE)) {
		perror("faults: mmap");
		return 1;
	}
	puts("ready");
	fflush(stdout);
	if (all || once ? touch_all(size, threads) : touch_while_inflating(size, watcher))
		return 1;
	for (i = 0; i < 64 * SUB; i++) {
		for (sum = 0, t = 0; t < threads; t++)
			sum += counts[t][i];
		if (sum)
			printf("%lu %lu\n", lowest_of(i), sum);
	}
	if (once) {
		puts("held");
		fflush(stdout);
		while (!stopped)
			usleep(10000);
	}
	return 0;
}
