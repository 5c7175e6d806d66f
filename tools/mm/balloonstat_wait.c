// SPDX-License-Identifier: GPL-2.0
/*
 * Waiting until targets are met, or for the reason why they are not.
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "balloonstat.h"

#define NOT_MET		3	/* exit status */

/* Should nobody say that something has changed, it is looked at all the same. */
#define LOOK_MS		500

static int not_met(const struct state *state, const char *after)
{
	fflush(stdout);
	fprintf(stderr, "balloonstat: targets are not met%s: ", after);
	show_state(stderr, state);
	return NOT_MET;
}

/**
 * wait_until_met - wait until all targets are met
 * @seconds: for so long; less than 0: until the balloon rests, for whatever reason
 *
 * What was written a moment ago counts: the kernel does not say that it is settled, or waits,
 * before it has looked at that.
 *
 * Return: 0, or an exit status when it was told on stderr why not.
 */
int wait_until_met(double seconds)
{
	double end = seconds_since_boot() + seconds, left;
	struct state state;
	struct pollfd pfd = { .events = POLLPRI };
	char text[128];

	for (;;) {
		/* Opened anew each time, and read before: what changes from now on wakes us. */
		pfd.fd = open_under_root(BALLOON_DIR "/state", O_RDONLY);
		if (pfd.fd < 0 || read(pfd.fd, text, sizeof(text)) < 0)
			err(1, "%s", full_path(BALLOON_DIR "/state"));
		read_state(&state, true);
		if (!*state.name)
			return 1;
		if (!strcmp(state.name, "settled"))
			return 0;
		left = end - seconds_since_boot();
		if (seconds < 0 && *state.reason)
			return not_met(&state, "");
		if (seconds >= 0 && left <= 0)
			return not_met(&state, " in time");
		poll(&pfd, 1, seconds < 0 || left > LOOK_MS / 1e3 ? LOOK_MS : left * 1e3 + 1);
		close(pfd.fd);
	}
}
