// SPDX-License-Identifier: GPL-2.0
/*
 * Measures how long page faults take while the guest's memory shrinks.
 *
 *	faults MIB [--cpu N]
 *
 * Touches MIB of memory page by page, gives them back, and begins again, until it
 * gets SIGTERM. Then prints "NS COUNT" lines: of the faults that began while the
 * balloon inflated, how many took NS nanoseconds or up to a sixteenth more. When
 * it inflated is seen by the sum of all memory, which a second thread watches.
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
#define SUB		16		/* buckets a power of 2 */
#define WATCH_NS	200000
/* Without a step for so long, the balloon is at rest. */
#define REST_NS		50000000ULL

static struct { uint64_t from, to; } inflated[MAX_CHANGES];
static uint64_t began[MAX_FAULTS];
static uint32_t took[MAX_FAULTS];
static unsigned long nr_inflated, nr_faults, counts[64 * SUB];
static volatile sig_atomic_t stopped;

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

int main(int argc, char **argv)
{
	unsigned long size = argc > 1 ? strtoul(argv[1], NULL, 10) << 20 : 0, i, w = 0;
	pthread_t watcher;
	char *memory;

	if (!size || (argc != 2 && (argc != 4 || strcmp(argv[2], "--cpu")))) {
		fputs("usage: faults MIB [--cpu N]\n", stderr);
		return 2;
	}
	signal(SIGTERM, stop);
	/* Faults of its own are not to be among those that it measures. */
	memset(began, 0, sizeof(began));
	memset(took, 0, sizeof(took));
	if (pthread_create(&watcher, NULL, watch, NULL)) {
		fputs("faults: no thread\n", stderr);
		return 1;
	}
	if (argc == 4) {
		cpu_set_t cpus;

		CPU_ZERO(&cpus);
		CPU_SET(atoi(argv[3]), &cpus);
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
	while (!stopped) {
		for (i = 0; i < size && !stopped; i += PAGE) {
			uint64_t start = now(), ns;

			*(volatile char *)(memory + i) = 1;
			ns = now() - start;
			began[nr_faults % MAX_FAULTS] = start;
			took[nr_faults++ % MAX_FAULTS] = ns < UINT32_MAX ? ns : UINT32_MAX;
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
			counts[bucket_of(took[i])]++;
	}
	for (i = 0; i < 64 * SUB; i++)
		if (counts[i])
			printf("%lu %lu\n", lowest_of(i), counts[i]);
	return 0;
}
