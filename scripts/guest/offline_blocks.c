// SPDX-License-Identifier: GPL-2.0
/*
 * Prints the first page frame number of every 2M block all of whose pages are
 * offline (KPF_OFFLINE in /proc/kpageflags): the balloon's superframes, as
 * seen without the balloon's help.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#define KPF_OFFLINE	23
#define BLOCK		512

int main(void)
{
	static uint64_t flags[BLOCK];
	unsigned long pfn = 0;
	int fd = open("/proc/kpageflags", O_RDONLY);

	if (fd < 0) {
		perror("/proc/kpageflags");
		return 1;
	}
	while (pread(fd, flags, sizeof(flags), pfn * sizeof(*flags)) == sizeof(flags)) {
		int i = 0;

		while (i < BLOCK && flags[i] >> KPF_OFFLINE & 1)
			i++;
		if (i == BLOCK)
			printf("%lu\n", pfn);
		pfn += BLOCK;
	}
	return 0;
}
