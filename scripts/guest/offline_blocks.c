// SPDX-License-Identifier: GPL-2.0
/*
 * Prints the first page frame number of every 2M block all of whose pages are
 * offline (KPF_OFFLINE in /proc/kpageflags): the balloon's superframes, as
 * seen without the balloon's help. With --partial: of every block of which some
 * pages, not all, are offline, and some others free.
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define KPF_BUDDY	10
#define KPF_OFFLINE	23
#define BLOCK		512

int main(int argc, char **argv)
{
	bool partial = argc == 2 && !strcmp(argv[1], "--partial");
	static uint64_t flags[BLOCK];
	unsigned long pfn = 0;
	int fd = open("/proc/kpageflags", O_RDONLY);

	if (argc > 1 && !partial) {
		fputs("usage: offline_blocks [--partial]\n", stderr);
		return 2;
	}
	if (fd < 0) {
		perror("/proc/kpageflags");
		return 1;
	}
	while (pread(fd, flags, sizeof(flags), pfn * sizeof(*flags)) == sizeof(flags)) {
		int i, offline = 0, free = 0;

		for (i = 0; i < BLOCK; i++) {
			offline += flags[i] >> KPF_OFFLINE & 1;
			free += flags[i] >> KPF_BUDDY & 1;
		}
		if (partial ? offline && free : offline == BLOCK)
			printf("%lu\n", pfn);
		pfn += BLOCK;
	}
	return 0;
}
