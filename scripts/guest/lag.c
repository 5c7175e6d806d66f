// SPDX-License-Identifier: GPL-2.0
/*
 * Wants a CPU each millisecond, before all other tasks, and prints how long it had to wait for it,
 * when it gets SIGTERM:
 *
 *	lag CPU		"lag LONGEST OVER TIMES", the first in nanoseconds; OVER is how often that
 *			was more than 10 ms
 *
 * In a kernel that is not preempted that is how long another task was in the kernel without
 * asking whether somebody waits. On a machine that counts instructions (QEMU's -icount) it is how
 * many these were.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define MS	1000000LL
#define S	1000000000LL

static volatile sig_atomic_t stopped;

static void stop(int signal)
{
	stopped = 1;
}

static long long now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * S + time.tv_nsec;
}

int main(int argc, char **argv)
{
	struct sched_param param = { .sched_priority = 50 };
	long long longest = 0, late, at;
	long over = 0, times = 0;
	struct timespec until;
	cpu_set_t cpus;

	if (argc != 2) {
		fprintf(stderr, "usage: lag CPU\n");
		return 2;
	}
	CPU_ZERO(&cpus);
	CPU_SET(atoi(argv[1]), &cpus);
	if (sched_setaffinity(0, sizeof(cpus), &cpus) || mlockall(MCL_CURRENT | MCL_FUTURE) ||
	    sched_setscheduler(0, SCHED_FIFO, &param)) {
		fprintf(stderr, "lag: %s\n", strerror(errno));
		return 1;
	}
	signal(SIGTERM, stop);
	while (!stopped) {
		at = now() + MS;
		until = (struct timespec){ at / S, at % S };
		if (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL))
			break;
		late = now() - at;
		if (late > longest)
			longest = late;
		over += late > 10 * MS;
		times++;
	}
	printf("lag %lld %ld %ld\n", longest, over, times);
	return 0;
}
