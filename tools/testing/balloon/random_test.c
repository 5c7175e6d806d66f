// SPDX-License-Identifier: GPL-2.0
/*
 * Operations at random on a machine at random, in episodes: each has a fresh machine and a
 * process of its own. A failure is done again with fewer and fewer operations, as long as
 * it stays one, and what is left is printed.
 *
 *	random_test OPS [LENGTH]	SEED= is another seed, STEP= the step to repeat
 */
#include <sys/time.h>
#include <sys/wait.h>
#include <fcntl.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "world.h"

#define MAX_LENGTH	20000

static struct op ops_list[MAX_LENGTH], try_list[MAX_LENGTH];

static void hangs(int sig)
{
	fail("it hangs");
}

/* Allocations are counted, and memory is given back at once: processes are many, and short. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "detect_leaks=0:quarantine_size_mb=8:malloc_context_size=5";
}

static u64 mix(u64 seed, u64 n)
{
	u64 state = seed * 0x9e3779b97f4a7c15ULL + n;

	return next_random(&state);
}

static bool is_large(u64 episode)
{
	return episode % 8 == 7;
}

static unsigned int make_list(u64 seed, u64 episode, struct op *list, unsigned int length)
{
	u64 state = mix(seed, episode);
	unsigned int i;

	for (i = 0; i < length; i++) {
		list[i].type = op_choose(&state);
		list[i].r = next_random(&state);
	}
	return length;
}

#include <sys/mman.h>

static void *mmap_shared(size_t size)
{
	return mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

static struct {
	unsigned long done, quiets, short_quiets, migrated, offlined, calls;
	const char *fmt;
} *shared;

static void run_list(u64 seed, u64 episode, const struct op *list, unsigned int n, u64 first)
{
	unsigned int i;

	signal(SIGVTALRM, hangs);
	world_begin(mix(seed, ~episode), is_large(episode));
	for (i = 0; i < n; i++) {
		if (verbose)
			printf("%llu: %s %llx\n", (unsigned long long)(first + i),
			       op_name(list[i].type), (unsigned long long)list[i].r),
				fflush(stdout);
		setitimer(ITIMER_VIRTUAL, &(struct itimerval){ .it_value.tv_sec = 10 }, NULL);
		shared->done = i;
		world_op(&list[i]);
	}
	shared->done = n;
	world_check();
	world_end();
	shared->quiets += world.quiets;
	shared->short_quiets += world.short_quiets;
	shared->migrated += world.migrated;
	shared->offlined += world.offlined;
	shared->calls += world.calls;
}

/* Returns whether all was well. */
static bool try_in_child(u64 seed, u64 episode, const struct op *list, unsigned int n, u64 first,
			 bool quiet)
{
	int status;
	pid_t pid;

	fflush(stdout);
	shared->fmt = NULL;
	pid = fork();
	if (!pid) {
		if (quiet) {
			int null = open("/dev/null", O_WRONLY);

			dup2(null, 2);
			dup2(null, 1);
		}
		run_list(seed, episode, list, n, first);
		exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		exit(2);
	return WIFEXITED(status) && !WEXITSTATUS(status);
}

/* Delta debugging: ever smaller parts are left out, as long as it fails. */
static unsigned int shrink(u64 seed, u64 episode, struct op *list, unsigned int n)
{
	const char *fmt = shared->fmt;
	unsigned int part, at, left, tries = 0;
	time_t end = time(NULL) + 60;

	for (part = n / 2; part; part = part > 1 ? part / 2 : 0) {
		for (at = 0; at < n && time(NULL) < end;) {
			left = min(part, n - at);
			memcpy(try_list, list, at * sizeof(*list));
			memcpy(try_list + at, list + at + left, (n - at - left) * sizeof(*list));
			tries++;
			if (try_in_child(seed, episode, try_list, n - left, 0, true) ||
			    shared->fmt != fmt) {
				at += part;
				continue;
			}
			memcpy(list, try_list, (n - left) * sizeof(*list));
			n -= left;
		}
	}
	printf("shrunk to %u operations in %u tries\n", n, tries);
	return n;
}

int main(int argc, char **argv)
{
	unsigned long total = argc > 1 ? strtoul(argv[1], NULL, 0) : 100000, done = 0;
	unsigned int length = argc > 2 ? strtoul(argv[2], NULL, 0) : 1000, n, i;
	u64 seed = getenv("SEED") ? strtoull(getenv("SEED"), NULL, 0) : 1, episode;
	const char *step = getenv("STEP");

	shared = mmap_shared(sizeof(*shared));
	failed_fmt = &shared->fmt;
	verbose = getenv("VERBOSE");
	length = min_t(unsigned int, length, MAX_LENGTH);
	if (step) {
		u64 at = strtoull(step, NULL, 0);

		episode = at / length;
		n = make_list(seed, episode, ops_list, at % length + 1);
		if (getenv("KEEP")) {
			/* Only these steps, as shrinking left them */
			char *p = strdup(getenv("KEEP")), *tok;
			unsigned int k = 0;

			make_list(seed, episode, ops_list, length);
			for (tok = strtok(p, ","); tok; tok = strtok(NULL, ","))
				ops_list[k++] = ops_list[strtoull(tok, NULL, 0) % length];
			n = k;
		}
		run_list(seed, episode, ops_list, n, episode * length);
		printf("step %s of seed %llu does not fail\n", step, (unsigned long long)seed);
		return 0;
	}
	for (episode = 0; done < total; episode++, done += n) {
		n = make_list(seed, episode, ops_list, length);
		if (try_in_child(seed, episode, ops_list, n, episode * length, false))
			continue;
		n = min(n, (unsigned int)shared->done + 1);
		printf("failed: SEED=%llu STEP=%llu repeat it: %s 1 %u\n", (unsigned long long)seed,
		       (unsigned long long)(episode * length + n - 1), argv[0], length);
		if (!getenv("NOSHRINK"))
			n = shrink(seed, episode, ops_list, n);
		for (i = 0; i < n && n < 60; i++)
			printf("  %s %llx\n", op_name(ops_list[i].type),
			       (unsigned long long)ops_list[i].r);
		if (!getenv("NOSHRINK")) {
			verbose = true;
			try_in_child(seed, episode, ops_list, n, 0, false);
		}
		return 1;
	}
	printf("seed %llu: %lu operations in %llu episodes, %lu host calls, %lu migrations, %lu offlined, at rest %lu times, %lu of them short\n",
	       (unsigned long long)seed, done, (unsigned long long)episode, shared->calls,
	       shared->migrated, shared->offlined, shared->quiets + shared->short_quiets,
	       shared->short_quiets);
	return 0;
}
