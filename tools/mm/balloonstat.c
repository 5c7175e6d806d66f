// SPDX-License-Identifier: GPL-2.0
/*
 * balloonstat - shows and sets the memory balloon, node by node
 *
 * The guide balloon_numa.rst tells what the figures mean.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "balloonstat.h"

#define NO_FEATURE	2	/* exit status */

static bool json, rates, in_place;
static double interval;		/* seconds; 0: show it once */

static const char help[] =
"usage: balloonstat [-w SEC] [-d] [-j] [--root DIR]\n"
"       balloonstat [-t NODE=SIZE|NODE=auto]... [-p NAME] [--refill MODE]\n"
"Shows or sets the memory balloon, node by node.\n"
"\n"
"  -w, --watch SEC         show it again every SEC seconds, until Ctrl-C\n"
"  -d, --delta             with what the counters in nodeN/balloon/stat rise by a second;\n"
"                          every second, or as -w says\n"
"  -j, --json              one line of JSON, sizes in bytes\n"
"  -t, --target NODE=SIZE  take SIZE of what the host wants on behalf of NODE; bytes, or with\n"
"                          K, M, G or T behind it; a multiple of the page size\n"
"  -t, --target NODE=auto  let NODE share in what the targets of others leave\n"
"  -p, --policy NAME       set /sys/kernel/mm/balloon/policy\n"
"      --refill MODE       set /sys/kernel/mm/balloon/refill\n"
"      --root DIR          look under DIR instead of /\n"
"  -h, --help              show this\n"
"  -V, --version           show the version\n"
"\n"
"Exit status: 0; 1 if something was wrong; 2 if the kernel has no such balloon.\n";

static const struct option options[] = {
	{ "watch", required_argument, NULL, 'w' },
	{ "delta", no_argument, NULL, 'd' },
	{ "json", no_argument, NULL, 'j' },
	{ "target", required_argument, NULL, 't' },
	{ "policy", required_argument, NULL, 'p' },
	{ "refill", required_argument, NULL, 'r' },
	{ "root", required_argument, NULL, 'R' },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ }
};

static double parse_interval(const char *arg)
{
	char *end;
	double seconds = strtod(arg, &end);

	/* This way round, NAN is refused, too. */
	if (end == arg || *end || !(seconds >= 0.01 && seconds <= 1e6))
		errx(1, "--watch %s: not a number of seconds from 0.01 to 1000000", arg);
	return seconds;
}

static void flush(void)
{
	if (fflush(stdout) || ferror(stdout))
		err(1, "standard output");
}

static void show_cursor(void)
{
	if (in_place) {
		fputs("\033[?25h", stdout);
		fflush(stdout);
	}
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

/* From the top of the terminal, each line over the one before; what is too high is left out. */
static void draw(const char *text, unsigned int lines, unsigned int width)
{
	unsigned int len, left = 0;
	char more[40];

	fputs("\033[?25l\033[H", stdout);
	for (; *text && --lines; text += len + 1) {
		len = strcspn(text, "\n");
		put_line(text, len, width);
		putchar('\n');
	}
	for (; *text; text++)
		left += *text == '\n';
	if (left)
		put_line(more, snprintf(more, sizeof(more), "... %u lines more", left), width);
	fputs("\033[J", stdout);
}

static void show(const struct sample *now, const struct sample *before)
{
	struct view view = { .now = now, .before = before, .rates = rates };
	struct winsize size = { };
	char *text = NULL;
	size_t len;
	FILE *out;

	if (json) {
		show_json(stdout, &view);
		flush();
		return;
	}
	if (isatty(STDOUT_FILENO)) {
		ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
		view.width = size.ws_col ? size.ws_col : 80;
	}
	out = open_memstream(&text, &len);
	if (!out)
		err(1, "memory");
	show_text(out, &view);
	fclose(out);
	if (in_place)
		draw(text, size.ws_row ? size.ws_row : 24, view.width);
	else
		printf(before ? "\n%s" : "%s", text);
	free(text);
	flush();
}

/*
 * Signals wait until they are asked for here: nothing is drawn in part. Returns the one that came,
 * 0 or less after the interval.
 */
static int pause_for(const sigset_t *signals)
{
	struct timespec ts = { .tv_sec = interval };
	int sig;

	ts.tv_nsec = (interval - ts.tv_sec) * 1e9;
	do {
		sig = sigtimedwait(signals, NULL, &ts);
	} while (sig < 0 && errno == EINTR);
	if (sig == SIGTSTP) {
		show_cursor();
		raise(SIGSTOP);
	}
	return sig;
}

static void watch(struct sample *now)
{
	struct sample other = { }, *older = &other, *before = NULL;
	sigset_t signals;
	int sig;

	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGHUP);
	if (in_place) {
		sigaddset(&signals, SIGTSTP);
		sigaddset(&signals, SIGWINCH);
	}
	sigprocmask(SIG_BLOCK, &signals, NULL);
	if (in_place) {
		atexit(show_cursor);
		fputs("\033[2J", stdout);
	}
	show(now, NULL);
	for (;;) {
		sig = pause_for(&signals);
		if (sig > 0 && sig != SIGTSTP && sig != SIGWINCH)
			break;
		/* For a terminal of another size, the same figures, so that rates stay. */
		if (sig != SIGWINCH) {
			before = now;
			now = older;
			older = before;
			take_sample(now, false);
		}
		show(now, before);
	}
	/* Behind the ^C that the terminal has shown. */
	if (in_place)
		putchar('\n');
	if (in_place && trouble)
		warnx("something could not be read: without -w it is said what");
}

static void check_feature(void)
{
	static const char missing[] = "this kernel has no NUMA-aware memory balloon";
	int fd = open_under_root(BALLOON_DIR, O_PATH | O_DIRECTORY);

	if (fd >= 0) {
		close(fd);
		return;
	}
	if (errno != ENOENT)
		err(1, "%s", full_path(BALLOON_DIR));
	if (json)
		printf("{\"error\":\"%s\"}\n", missing);
	flush();
	errx(NO_FEATURE, "%s: there is no %s", missing, full_path(BALLOON_DIR));
}

int main(int argc, char **argv)
{
	struct setting *settings = calloc(argc, sizeof(*settings));
	const char *root = "/", *term = getenv("TERM");
	struct sample sample = { };
	int option, nr = 0, i;

	if (!settings)
		err(1, "memory");
	while ((option = getopt_long(argc, argv, "w:djt:p:hV", options, NULL)) != -1) {
		switch (option) {
		case 'w':
			interval = parse_interval(optarg);
			break;
		case 'd':
			rates = true;
			break;
		case 'j':
			json = true;
			break;
		case 't':
		case 'p':
		case 'r':
			settings[nr].option = option;
			settings[nr++].arg = optarg;
			break;
		case 'R':
			root = optarg;
			break;
		case 'h':
			fputs(help, stdout);
			flush();
			return 0;
		case 'V':
			puts("balloonstat 1.0");
			flush();
			return 0;
		default:
			errx(1, "'balloonstat --help' lists the options");
		}
	}
	if (optind < argc)
		errx(1, "%s: unexpected; 'balloonstat --help' lists the options", argv[optind]);
	if (rates && !interval)
		interval = 1;
	open_root(root);
	check_feature();

	if (nr) {
		take_sample(&sample, false);
		for (i = 0; i < nr; i++)
			check_setting(&settings[i], &sample);
		for (i = 0; i < nr; i++)
			write_setting(&settings[i]);
		if (!interval && !json)
			return 0;
	}
	take_sample(&sample, true);
	if (rates && !sample.nr)
		errx(1, "--delta: this kernel has no nodes in sysfs, and no counters of theirs");
	in_place = interval && !json && isatty(STDOUT_FILENO) && !(term && !strcmp(term, "dumb"));
	if (interval)
		watch(&sample);
	else
		show(&sample, NULL);
	return trouble;
}
