// SPDX-License-Identifier: GPL-2.0
/*
 * Fills memory with a pattern and tells whether it is still there: what a
 * balloon must never harm.
 *
 *	pattern MIB [--node N | --interleave] [--seed S] [--churn [--steps N]]
 *
 * Prints "pattern filled BYTES", then on each SIGUSR1 verifies every byte and
 * prints "pattern ok BYTES", or the first address that differs and exits with
 * status 1. SIGTERM verifies for the last time and ends.
 *
 * With --churn, chunks of random size, some on huge pages, are freed,
 * allocated, rewritten and verified all the time, until SIGTERM. With --steps,
 * it does N such steps on each SIGUSR1, then prints "pattern ok BYTES", and rests:
 * what it does then depends on the seed only.
 */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* From linux/mempolicy.h: spares the guest program libnuma. */
#define MPOL_BIND	2
#define MPOL_INTERLEAVE	3
#define MAX_NODES	1024
#define BITS		(8 * sizeof(unsigned long))

#define CHUNKS		64

#define USAGE "usage: pattern MIB [--node N | --interleave] [--seed S] [--churn [--steps N]]\n"

struct chunk {
	uint64_t *words;
	size_t bytes;
	uint64_t seed;
};

static struct {
	size_t bytes;
	uint64_t seed;
	int mode;			/* MPOL_*, 0 for the default */
	unsigned long nodes[MAX_NODES / BITS];
	bool churn;
	unsigned long steps;		/* on each signal; 0: all the time */
} opt = { .seed = 1 };

static volatile sig_atomic_t verify_wanted, end_wanted;

static void on_signal(int sig)
{
	if (sig == SIGUSR1)
		verify_wanted = 1;
	else
		end_wanted = 1;
}

static void die(const char *what)
{
	fprintf(stderr, "pattern: %s: %s\n", what, strerror(errno));
	exit(2);
}

/* A word of the pattern: no two pages are alike, none is like a freed one. */
static inline uint64_t word(uint64_t seed, size_t i)
{
	uint64_t x = (seed << 40) ^ i;

	x *= 0x9e3779b97f4a7c15ULL;
	return x ^ (x >> 29);
}

static void fill(struct chunk *c)
{
	for (size_t i = 0; i < c->bytes / 8; i++)
		c->words[i] = word(c->seed, i);
}

static void verify(const struct chunk *c)
{
	for (size_t i = 0; i < c->bytes / 8; i++) {
		if (c->words[i] == word(c->seed, i))
			continue;
		printf("pattern differs at %p (byte %zu of %zu): %#llx, not %#llx\n",
		       (void *)&c->words[i], i * 8, c->bytes,
		       (unsigned long long)c->words[i],
		       (unsigned long long)word(c->seed, i));
		exit(1);
	}
}

static void map(struct chunk *c, size_t bytes, int advice)
{
	c->bytes = bytes;
	c->words = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (c->words == MAP_FAILED)
		die("mmap");
	/* Without transparent huge pages the advice is refused: so be it. */
	if (advice)
		madvise(c->words, bytes, advice);
	if (opt.mode && syscall(SYS_mbind, c->words, bytes, opt.mode,
				opt.nodes, MAX_NODES + 1, 0))
		die("mbind");
}

static void unmap(struct chunk *c)
{
	munmap(c->words, c->bytes);
	c->words = NULL;
}

static void all_nodes(void)
{
	char path[64];

	for (int i = 0; i < MAX_NODES; i++) {
		char line[128];
		FILE *f;
		unsigned long kb = 0;

		snprintf(path, sizeof(path), "/sys/devices/system/node/node%d/meminfo", i);
		f = fopen(path, "r");
		if (!f)
			continue;
		/* The first line tells the size: a node may have no memory. */
		if (fgets(line, sizeof(line), f))
			sscanf(line, "Node %*d MemTotal: %lu", &kb);
		fclose(f);
		if (kb)
			opt.nodes[i / BITS] |= 1UL << (i % BITS);
	}
}

static void hold(void)
{
	struct chunk c = { .seed = opt.seed };
	sigset_t wanted, old;

	sigemptyset(&wanted);
	sigaddset(&wanted, SIGUSR1);
	sigaddset(&wanted, SIGTERM);
	sigprocmask(SIG_BLOCK, &wanted, &old);

	map(&c, opt.bytes, 0);
	fill(&c);
	printf("pattern filled %zu\n", c.bytes);
	while (!end_wanted) {
		sigsuspend(&old);
		verify_wanted = 0;
		verify(&c);
		printf("pattern ok %zu\n", c.bytes);
	}
}

/* A random number of pages, from one page to twice the average share, skewed
 * neither to small nor to huge sizes: half of the chunks are of a few pages.
 */
static size_t random_size(void)
{
	size_t max = opt.bytes / CHUNKS * 2;

	if (random() & 1)
		max = 64 * 4096;
	return (random() % (max / 4096) + 1) * 4096;
}

static void churn(void)
{
	struct chunk chunks[CHUNKS] = { };
	unsigned long steps = 0;
	uint64_t verified = 0;
	sigset_t wanted, old;
	size_t used = 0;

	sigemptyset(&wanted);
	sigaddset(&wanted, SIGUSR1);
	sigaddset(&wanted, SIGTERM);
	if (opt.steps)
		sigprocmask(SIG_BLOCK, &wanted, &old);
	srandom(opt.seed);
	printf("pattern filled 0\n");
	while (!end_wanted) {
		struct chunk *c = &chunks[random() % CHUNKS];

		if (opt.steps && !(steps++ % opt.steps)) {
			if (steps > 1)
				printf("pattern ok %llu\n", (unsigned long long)verified);
			sigsuspend(&old);
			verify_wanted = 0;
			if (end_wanted)
				break;
		}
		if (c->words) {
			verify(c);
			verified += c->bytes;
			if (random() & 1) {
				c->seed = random();
				fill(c);
				continue;
			}
			used -= c->bytes;
			unmap(c);
		} else {
			size_t bytes = random_size();

			if (used + bytes > opt.bytes)
				continue;
			map(c, bytes, random() & 1 ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
			used += bytes;
			c->seed = random();
			fill(c);
		}
		if (verify_wanted) {
			verify_wanted = 0;
			printf("pattern ok %llu\n", (unsigned long long)verified);
		}
	}
	for (int i = 0; i < CHUNKS; i++)
		if (chunks[i].words) {
			verify(&chunks[i]);
			verified += chunks[i].bytes;
		}
	printf("pattern ok %llu\n", (unsigned long long)verified);
}

static void die_usage(void)
{
	fputs(USAGE, stderr);
	exit(2);
}

static void parse(int argc, char **argv)
{
	if (argc < 2)
		die_usage();
	opt.bytes = strtoull(argv[1], NULL, 0) << 20;
	if (!opt.bytes)
		die_usage();
	for (int i = 2; i < argc; i++) {
		if (!strcmp(argv[i], "--interleave")) {
			opt.mode = MPOL_INTERLEAVE;
			all_nodes();
		} else if (!strcmp(argv[i], "--churn")) {
			opt.churn = true;
		} else if (!strcmp(argv[i], "--steps") && i + 1 < argc) {
			opt.steps = strtoul(argv[++i], NULL, 0);
		} else if (!strcmp(argv[i], "--node") && i + 1 < argc) {
			unsigned long node = strtoul(argv[++i], NULL, 0);

			if (node >= MAX_NODES)
				die_usage();
			opt.mode = MPOL_BIND;
			opt.nodes[node / BITS] |= 1UL << (node % BITS);
		} else if (!strcmp(argv[i], "--seed") && i + 1 < argc) {
			opt.seed = strtoull(argv[++i], NULL, 0);
		} else {
			die_usage();
		}
	}
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = on_signal };

	parse(argc, argv);
	setvbuf(stdout, NULL, _IOLBF, 0);
	sigaction(SIGUSR1, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	if (opt.churn)
		churn();
	else
		hold();
	return 0;
}
