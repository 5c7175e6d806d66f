// SPDX-License-Identifier: GPL-2.0
/*
 * Prints the CPU time that all threads of the kernel have used so far, in
 * nanoseconds. On a machine that counts instructions (QEMU's -icount) that is how
 * many they have executed.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define KTHREADD	2

int main(void)
{
	unsigned long long sum = 0;
	struct dirent *entry;
	DIR *proc = opendir("/proc");

	if (!proc) {
		perror("/proc");
		return 1;
	}
	while ((entry = readdir(proc))) {
		char path[300], line[1024], *end;
		struct timespec time;
		clockid_t clock;
		int pid, parent;
		size_t used;
		FILE *stat;

		pid = atoi(entry->d_name);
		if (!pid)
			continue;
		snprintf(path, sizeof(path), "/proc/%d/stat", pid);
		stat = fopen(path, "r");
		if (!stat)
			continue;
		used = fread(line, 1, sizeof(line) - 1, stat);
		fclose(stat);
		line[used] = 0;
		/* "9 (kworker/0:1) S 2 ...": a name may have brackets in it. */
		end = strrchr(line, ')');
		if (!end || sscanf(end, ") %*c %d", &parent) != 1 || parent != KTHREADD)
			continue;
		if (!clock_getcpuclockid(pid, &clock) && !clock_gettime(clock, &time))
			sum += time.tv_sec * 1000000000ULL + time.tv_nsec;
	}
	printf("%llu\n", sum);
	return 0;
}
