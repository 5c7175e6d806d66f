// SPDX-License-Identifier: GPL-2.0
/*
 * Holds memory that can't be reclaimed.
 *
 *	hoard MIB locked|pinned [--node N]
 *
 * Its memory is mlock()ed, or pinned for long, which takes a kernel with
 * CONFIG_GUP_TEST. Prints "hoard MIB" and stays until it is killed.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* From linux/mempolicy.h and mm/gup_test.h. */
#define MPOL_BIND	2
#define MAX_NODES	64

struct pin_longterm_test {
	uint64_t addr;
	uint64_t size;
	uint32_t flags;
};

#define PIN_LONGTERM_TEST_START			_IOW('g', 7, struct pin_longterm_test)
#define PIN_LONGTERM_TEST_FLAG_USE_WRITE	1

static const char usage[] = "usage: hoard MIB locked|pinned [--node 0..63]\n";

static void die(const char *what)
{
	fprintf(stderr, "hoard: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void pin(void *memory, size_t size)
{
	struct pin_longterm_test args = {
		.addr = (uintptr_t)memory,
		.size = size,
		.flags = PIN_LONGTERM_TEST_FLAG_USE_WRITE,
	};
	int fd = open("/sys/kernel/debug/gup_test", O_RDWR);

	if (fd < 0)
		die("/sys/kernel/debug/gup_test");
	if (ioctl(fd, PIN_LONGTERM_TEST_START, &args))
		die("pinning");
}

int main(int argc, char **argv)
{
	unsigned long mib, nodes = 0;
	void *memory;
	size_t size;

	if ((argc != 3 && argc != 5) || (argc == 5 && strcmp(argv[3], "--node"))) {
		fputs(usage, stderr);
		return 2;
	}
	mib = strtoul(argv[1], NULL, 0);
	size = mib << 20;
	if (!mib || (strcmp(argv[2], "locked") && strcmp(argv[2], "pinned")) ||
	    (argc == 5 && strtoul(argv[4], NULL, 0) >= MAX_NODES)) {
		fputs(usage, stderr);
		return 2;
	}

	memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		die("mmap");
	if (argc == 5) {
		nodes = 1UL << strtoul(argv[4], NULL, 0);
		if (syscall(SYS_mbind, memory, size, MPOL_BIND, &nodes, MAX_NODES + 1, 0))
			die("mbind");
	}
	/* To the last page, before anything is said. */
	memset(memory, 1, size);
	if (!strcmp(argv[2], "pinned"))
		pin(memory, size);
	else if (mlock(memory, size))
		die("mlock");
	printf("hoard %lu\n", mib);
	fflush(stdout);
	for (;;)
		pause();
}
