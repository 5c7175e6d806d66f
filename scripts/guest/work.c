// SPDX-License-Identifier: GPL-2.0
/*
 * Works without end, and leaves how much it has done so far in its output, a file.
 *
 *	work memory MIB > FILE
 *	work file PATH MIB > FILE
 *	work hold MIB >> FILE
 *
 * With "memory", it copies one half of MIB to the other, again and again. With
 * "file", it reads pieces of the first MIB of PATH, at random places; all of them
 * were read once. "work BYTES" is written over as it goes on. With "hold", it
 * touches MIB, keeps them until it gets SIGTERM, gives them back, and says "spent"
 * and the CPU seconds that all of that took.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define PAGE	4096UL
#define PIECE	65536UL
/* What is done between two reports. */
#define STEP	1048576UL

static const char usage[] = "usage: work memory MIB | file PATH MIB | hold MIB\n";
static volatile sig_atomic_t stopped;

static void die(const char *what)
{
	fprintf(stderr, "work: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void stop(int sig)
{
	(void)sig;
	stopped = 1;
}

static void report(unsigned long done)
{
	char line[32];
	/* Never shorter than before. */
	int length = snprintf(line, sizeof(line), "work %020lu\n", done);

	if (pwrite(STDOUT_FILENO, line, length, 0) != length)
		die("output");
}

static void *map(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		die("mmap");
	return memory;
}

static void work_memory(size_t size)
{
	size_t half = size / 2 / STEP * STEP, at = 0, i;
	uint64_t *memory = map(size), *from, *to;
	unsigned long done = 0;

	memset(memory, 1, size);
	for (;; done += STEP, at = (at + STEP) % half) {
		report(done);
		from = memory + at / sizeof(*from);
		to = from + half / sizeof(*to);
		/* Emulated, memcpy()'s instructions go byte by byte. */
		for (i = 0; i < STEP / sizeof(*to); i++)
			to[i] = from[i] + done;
	}
}

static void work_file(const char *path, size_t size)
{
	static char piece[PIECE];
	unsigned long done = 0;
	uint64_t random = 1;
	int fd = open(path, O_RDONLY);
	size_t at, i;

	if (fd < 0)
		die(path);
	for (at = 0; at < size; at += PIECE)
		if (pread(fd, piece, PIECE, at) != PIECE)
			die("reading");
	for (;; done += STEP) {
		report(done);
		for (i = 0; i < STEP; i += PIECE) {
			random = random * 6364136223846793005ULL + 1442695040888963407ULL;
			at = (random >> 33) % (size / PIECE) * PIECE;
			if (pread(fd, piece, PIECE, at) != PIECE)
				die("reading");
		}
	}
}

static void work_hold(size_t size)
{
	char *memory = map(size);
	struct rusage usage;
	size_t at;

	signal(SIGTERM, stop);
	for (at = 0; at < size && !stopped; at += PAGE)
		memory[at] = 1;
	while (!stopped)
		usleep(10000);
	munmap(memory, size);
	getrusage(RUSAGE_SELF, &usage);
	printf("spent %.6f\n", usage.ru_utime.tv_sec + usage.ru_stime.tv_sec +
	       (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
}

int main(int argc, char **argv)
{
	size_t size = argc > 2 ? strtoul(argv[argc - 1], NULL, 10) << 20 : 0;

	if (size < 2 * STEP) {
		fputs(usage, stderr);
		return 2;
	}
	if (argc == 3 && !strcmp(argv[1], "memory")) {
		work_memory(size);
	} else if (argc == 4 && !strcmp(argv[1], "file")) {
		work_file(argv[2], size);
	} else if (argc == 3 && !strcmp(argv[1], "hold")) {
		work_hold(size);
	} else {
		fputs(usage, stderr);
		return 2;
	}
	return 0;
}
