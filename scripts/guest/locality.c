// SPDX-License-Identifier: GPL-2.0
/*
 * Touches memory and tells on which nodes it lies.
 *
 *	locality MIB [--cpu N] [--thp | --no-thp] [--threads N] [--hold]
 *
 * No memory policy is set: pages come from wherever the kernel thinks best for
 * the CPU. Prints "locality PAGES node0 PAGES node1 PAGES ... huge KIB", in base
 * pages, then exits, or with --hold keeps the memory until it is killed.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE		4096UL
#define HUGE		(512 * PAGE)
#define MAX_NODES	64
#define MAX_THREADS	64
#define BATCH		1024

static const char usage[] =
	"usage: locality MIB [--cpu N] [--thp | --no-thp] [--threads 1..64] [--hold]\n";

static char *memory;
static size_t size;
static int cpu = -1, advice, threads = 1;

static void die(const char *what)
{
	fprintf(stderr, "locality: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void *touch(void *arg)
{
	size_t share = size / threads / HUGE * HUGE, nr = (size_t)arg, at;
	size_t end = nr == (size_t)threads - 1 ? size : (nr + 1) * share;

	for (at = nr * share; at < end; at += PAGE)
		memory[at] = 1;
	return NULL;
}

static void count(void)
{
	unsigned long nodes[MAX_NODES] = { 0 }, bad = 0;
	static void *pages[BATCH];
	static int status[BATCH];
	size_t at, i, n;

	for (at = 0; at < size; at += n * PAGE) {
		for (n = 0; n < BATCH && at + n * PAGE < size; n++)
			pages[n] = memory + at + n * PAGE;
		if (syscall(SYS_move_pages, 0, n, pages, NULL, status, 0))
			die("move_pages");
		for (i = 0; i < n; i++) {
			if (status[i] >= 0 && status[i] < MAX_NODES)
				nodes[status[i]]++;
			else
				bad++;
		}
	}
	printf("locality %zu", size / PAGE);
	for (i = 0; i < MAX_NODES; i++)
		if (nodes[i])
			printf(" node%zu %lu", i, nodes[i]);
	if (bad)
		printf(" nowhere %lu", bad);
}

static long huge_kib(void)
{
	char line[256];
	long kib = 0, sum = 0;
	FILE *f = fopen("/proc/self/smaps_rollup", "r");

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "AnonHugePages: %ld kB", &kib) == 1)
			sum += kib;
	if (f)
		fclose(f);
	return sum;
}

int main(int argc, char **argv)
{
	pthread_t thread[MAX_THREADS];
	bool hold = false;
	size_t t;
	int i;

	for (i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--cpu") && i + 1 < argc)
			cpu = atoi(argv[++i]);
		else if (!strcmp(argv[i], "--threads") && i + 1 < argc)
			threads = atoi(argv[++i]);
		else if (!strcmp(argv[i], "--thp"))
			advice = MADV_HUGEPAGE;
		else if (!strcmp(argv[i], "--no-thp"))
			advice = MADV_NOHUGEPAGE;
		else if (!strcmp(argv[i], "--hold"))
			hold = true;
		else if (!size && atol(argv[i]) > 0)
			size = (size_t)atol(argv[i]) << 20;
		else
			size = 0, i = argc;
	}
	if (!size || threads < 1 || threads > MAX_THREADS) {
		fputs(usage, stderr);
		return 2;
	}
	if (cpu >= 0) {
		cpu_set_t set;

		CPU_ZERO(&set);
		CPU_SET(cpu, &set);
		if (sched_setaffinity(0, sizeof(set), &set))
			die("sched_setaffinity");
	}
	memory = mmap(NULL, size + HUGE, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory == MAP_FAILED)
		die("mmap");
	memory += -(unsigned long)memory & (HUGE - 1);
	if (advice && madvise(memory, size, advice) && errno != EINVAL)
		die("madvise");

	for (t = 1; t < (size_t)threads; t++)
		if (pthread_create(&thread[t], NULL, touch, (void *)t))
			die("pthread_create");
	touch(NULL);
	for (t = 1; t < (size_t)threads; t++)
		pthread_join(thread[t], NULL);
	count();
	printf(" huge %ld\n", huge_kib());
	fflush(stdout);
	while (hold)
		pause();
	return 0;
}
