// SPDX-License-Identifier: GPL-2.0
/*
 * The terminal: what is drawn in place, and scrolled by keys.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "balloonstat.h"

static bool in_place, keys;
static int signals_fd;
static bool usual_known;
static struct termios usual;

/* Lines that are scrolled over, and how many there were to be seen at once, and at most. */
static unsigned int above, page, most;

double seconds_since_boot(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

/* Keys come one by one, and are not shown. Who is in the background would be stopped. */
static void take_keys(void)
{
	struct termios raw;

	keys = isatty(STDIN_FILENO) && tcgetpgrp(STDIN_FILENO) == getpgrp() &&
	       !tcgetattr(STDIN_FILENO, &raw);
	if (!keys)
		return;
	/* Unless it is as we had it before we were stopped: no shell was there meanwhile. */
	if (!usual_known || raw.c_lflag & (ICANON | ECHO))
		usual = raw;
	usual_known = true;
	raw.c_lflag &= ~(ICANON | ECHO);
	raw.c_cc[VMIN] = 1;
	raw.c_cc[VTIME] = 0;
	tcsetattr(STDIN_FILENO, TCSANOW, &raw);
}

/* As it was, with a cursor. */
static void leave_terminal(void)
{
	if (!in_place)
		return;
	if (keys)
		tcsetattr(STDIN_FILENO, TCSANOW, &usual);
	fputs("\033[?25h", stdout);
	fflush(stdout);
}

/**
 * term_begin - before the first term_wait()
 * @place: term_draw() is used
 *
 * Signals wait until they are asked for: nothing is drawn in part.
 */
void term_begin(bool place)
{
	sigset_t signals;

	in_place = place;
	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGHUP);
	if (in_place) {
		sigaddset(&signals, SIGQUIT);
		sigaddset(&signals, SIGTSTP);
		sigaddset(&signals, SIGCONT);
		sigaddset(&signals, SIGWINCH);
	}
	sigprocmask(SIG_BLOCK, &signals, NULL);
	signals_fd = signalfd(-1, &signals, SFD_CLOEXEC);
	if (signals_fd < 0)
		err(1, "signalfd");
	if (!in_place)
		return;
	take_keys();
	atexit(leave_terminal);
	fputs("\033[2J", stdout);
}

/* Behind the ^C that the terminal has shown. */
void term_end(void)
{
	if (in_place)
		putchar('\n');
}

static void scroll_by(long lines)
{
	long to = (long)above + lines;

	above = to < 0 ? 0 : to > (long)most ? most : to;
}

static bool is_key(const char *text, size_t len, const char *key)
{
	return strlen(key) <= len && !memcmp(text, key, strlen(key));
}

/* What terminals send for a key, by any of their fashions. Returns how much of @text it was. */
static size_t press(const char *text, size_t len, enum event *event)
{
	static const struct {
		const char *key;
		int lines, pages;
	} all[] = {
		{ "\033[A", -1, 0 }, { "\033OA", -1, 0 }, { "k", -1, 0 },
		{ "\033[B", 1, 0 }, { "\033OB", 1, 0 }, { "j", 1, 0 }, { "\n", 1, 0 },
		{ "\033[5~", 0, -1 }, { "b", 0, -1 }, { "\033[6~", 0, 1 }, { " ", 0, 1 },
		{ "\033[H", 0, -10000 }, { "\033OH", 0, -10000 }, { "\033[1~", 0, -10000 },
		{ "g", 0, -10000 }, { "\033[F", 0, 10000 }, { "\033OF", 0, 10000 },
		{ "\033[4~", 0, 10000 }, { "G", 0, 10000 },
	};
	size_t i;

	if (*text == 'q') {
		*event = QUIT;
		return 1;
	}
	for (i = 0; i < sizeof(all) / sizeof(*all); i++) {
		if (!is_key(text, len, all[i].key))
			continue;
		scroll_by(all[i].lines + (long)all[i].pages * page);
		*event = REDRAW;
		return strlen(all[i].key);
	}
	return 1;
}

static enum event read_keys(void)
{
	enum event event = TIME_IS_UP;
	ssize_t n, at;
	char text[64];

	n = read(STDIN_FILENO, text, sizeof(text));
	if (n <= 0)
		keys = false;
	for (at = 0; at < n && event != QUIT;)
		at += press(text + at, n - at, &event);
	return event;
}

static enum event read_signal(void)
{
	struct signalfd_siginfo info;

	if (read(signals_fd, &info, sizeof(info)) != sizeof(info))
		return QUIT;
	if (info.ssi_signo == SIGWINCH)
		return REDRAW;
	if (info.ssi_signo == SIGTSTP) {
		leave_terminal();
		raise(SIGSTOP);
	} else if (info.ssi_signo != SIGCONT) {
		return QUIT;
	}
	take_keys();
	return LOOK_AGAIN;
}

/**
 * term_wait - wait for what comes first
 * @until: by seconds_since_boot()
 *
 * Signals and keys count even if that has passed: nobody else looks for them.
 *
 * Return: TIME_IS_UP; LOOK_AGAIN if figures are old for another reason; REDRAW if the terminal
 * has another size, or what was drawn was scrolled; QUIT.
 */
enum event term_wait(double until)
{
	struct pollfd fds[] = {
		{ .fd = signals_fd, .events = POLLIN }, { .fd = STDIN_FILENO, .events = POLLIN },
	};
	enum event event = TIME_IS_UP;
	struct timespec ts = { };
	double left;

	do {
		left = until - seconds_since_boot();
		if (left < 0)
			left = 0;
		ts.tv_sec = left;
		ts.tv_nsec = (left - ts.tv_sec) * 1e9;
		if (ppoll(fds, keys ? 2 : 1, &ts, NULL) < 0 && errno != EINTR)
			err(1, "poll");
		if (fds[0].revents)
			event = read_signal();
		else if (keys && fds[1].revents)
			event = read_keys();
	} while (event == TIME_IS_UP && left > 0);
	return event;
}

/* Without what is too wide: a line that wraps would push the first one off. */
static void put_line(const char *text, unsigned int len, unsigned int width)
{
	/* Behind a line as wide as the terminal, some would erase its last character. */
	if (len < width)
		printf("%.*s\033[K", len, text);
	else
		printf("%.*s", width, text);
}

static const char *put_lines(const char *text, unsigned int nr, unsigned int width)
{
	unsigned int len;

	for (; *text && nr; nr--, text += len + 1) {
		len = strcspn(text, "\n");
		put_line(text, len, width);
		putchar('\n');
	}
	return text;
}

/**
 * term_draw - draw from the top of the terminal, each line over the one before
 * @text: lines
 * @head: so many of the first ones stay where they are
 * @lines: the terminal's height
 * @width: and its width
 *
 * What is too high is left out, and the last line says so: keys scroll it.
 */
void term_draw(const char *text, unsigned int head, unsigned int lines, unsigned int width)
{
	unsigned int all = 0, left = 0, i;
	const char *at;
	char more[64];

	for (at = text; *at; at++)
		all += *at == '\n';
	/* The last line stays free, or says what is left out. */
	page = lines > 1 ? lines - 1 : 0;
	if (head >= page)
		head = 0;
	most = all > page ? all - page : 0;
	if (above > most)
		above = most;
	fputs("\033[?25l\033[H", stdout);
	at = put_lines(text, head, width);
	for (i = 0; i < above; i++)
		at = strchr(at, '\n') + 1;
	at = put_lines(at, page - head, width);
	for (; *at; at++)
		left += *at == '\n';
	if (left && above)
		snprintf(more, sizeof(more), "... %u lines more, %u above", left, above);
	else if (left)
		snprintf(more, sizeof(more), "... %u lines more", left);
	else
		snprintf(more, sizeof(more), "... %u lines above", above);
	if (left || above)
		put_line(more, strlen(more), width);
	fputs("\033[J", stdout);
	/* A page leaves a line to read on by. */
	page = page - head > 1 ? page - head - 1 : 1;
}
