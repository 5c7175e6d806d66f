// SPDX-License-Identifier: GPL-2.0
/*
 * Waits for a guest's agent to speak:
 *
 *	await LOG OFFSET WORD SECONDS
 *
 * LOG is what the guest's console said so far. Waits until it says, after
 * OFFSET, a line of a zero byte, WORD, a blank, and more. Prints that more, as
 * a line, then all that was said before it. Exits with status 3 if it doesn't
 * come within so many seconds.
 *
 * A shell could do it, but each process that it starts takes long in an
 * emulated dom0.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static char *text;
static size_t have, room;

static void die(const char *what)
{
	fprintf(stderr, "await: %s: %s\n", what, strerror(errno));
	exit(2);
}

static void read_more(int fd, off_t offset)
{
	for (;;) {
		ssize_t n;

		if (room - have < 4096) {
			room = 2 * room + 65536;
			text = realloc(text, room);
			if (!text)
				die("realloc");
		}
		n = pread(fd, text + have, room - have, offset + have);
		if (n < 0)
			die("pread");
		if (!n)
			return;
		have += n;
	}
}

/* Where MARK is, if its line is complete, or NULL. */
static char *find(const char *mark, size_t length)
{
	char *at = have ? memmem(text, have, mark, length) : NULL;

	return at && memchr(at, '\n', text + have - at) ? at : NULL;
}

/* No zero bytes: dom0's agent has a meaning for them. */
static void print(const char *from, const char *to)
{
	for (; from < to; from++)
		if (*from)
			putchar(*from);
}

int main(int argc, char **argv)
{
	const struct timespec pause = { .tv_nsec = 20 * 1000 * 1000 };
	struct timespec now, end;
	char mark[64] = "";
	int fd, length;

	if (argc != 5) {
		fprintf(stderr, "usage: await LOG OFFSET WORD SECONDS\n");
		return 2;
	}
	length = 1 + snprintf(mark + 1, sizeof(mark) - 1, "%s ", argv[3]);
	fd = open(argv[1], O_RDONLY);
	if (fd < 0)
		die(argv[1]);
	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += atoi(argv[4]);
	for (;;) {
		char *at;

		read_more(fd, atoll(argv[2]));
		at = find(mark, length);
		if (at) {
			char *more = at + length;

			print(more, (char *)memchr(more, '\n', text + have - more) + 1);
			print(text, at);
			return 0;
		}
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (now.tv_sec > end.tv_sec)
			return 3;
		nanosleep(&pause, NULL);
	}
}
