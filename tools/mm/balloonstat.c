// SPDX-License-Identifier: GPL-2.0
/*
 * balloonstat - shows and sets the memory balloon, node by node
 *
 * The guide balloon_numa.rst tells what the figures mean.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "balloonstat.h"

#define NO_FEATURE	2	/* exit status */

static bool json, prometheus, rates, in_place;
static const char *output;	/* a file, or NULL: standard output */
static double interval;		/* seconds; 0: show it once */

static const char help[] =
"usage: balloonstat [-w SEC] [-d] [-j] [--root DIR]\n"
"       balloonstat --prometheus [--output FILE [-w SEC]]\n"
"       balloonstat [-t NODE=SIZE|NODE=auto]... [-l NODE=SIZE|NODE=max]... [-p NAME]\n"
"                   [--refill MODE] [--wait [SEC]]\n"
"Shows or sets the memory balloon, node by node.\n"
"\n"
"  -w, --watch SEC         show it again every SEC seconds, until Ctrl-C\n"
"  -d, --delta             with what the counters in nodeN/balloon/stat rise by a second;\n"
"                          every second, or as -w says\n"
"  -j, --json              one line of JSON, sizes in bytes\n"
"      --prometheus        metrics for Prometheus, for node_exporter's textfile collector\n"
"      --output FILE       put them into FILE, which never has a part of them\n"
"  -t, --target NODE=SIZE  take SIZE of what the host wants on behalf of NODE; bytes, or with\n"
"                          K, M, G or T behind it; a multiple of the page size\n"
"  -t, --target NODE=auto  let NODE share in what the targets of others leave\n"
"  -l, --limit NODE=SIZE   have no more than SIZE of NODE in the balloon: 0 keeps it off the\n"
"                          node, NODE=max means no limit\n"
"      --wait [SEC]        wait until targets are met, SEC seconds at most; without SEC, until\n"
"                          the balloon rests, and say why if they are not met\n"
"  -p, --policy NAME       set /sys/kernel/mm/balloon/policy\n"
"      --refill MODE       set /sys/kernel/mm/balloon/refill\n"
"      --root DIR          look under DIR instead of /\n"
"  -h, --help              show this\n"
"  -V, --version           show the version\n"
"\n"
"With -w on a terminal, arrows, page up and down, home and end scroll; q ends it.\n"
"\n"
"Exit status: 0; 1 if something was wrong; 2 if the kernel has no such balloon; 3 if targets\n"
"are not met after --wait.\n";

static const struct option options[] = {
	{ "watch", required_argument, NULL, 'w' },
	{ "delta", no_argument, NULL, 'd' },
	{ "json", no_argument, NULL, 'j' },
	{ "prometheus", no_argument, NULL, 'P' },
	{ "output", required_argument, NULL, 'o' },
	{ "target", required_argument, NULL, 't' },
	{ "limit", required_argument, NULL, 'l' },
	{ "wait", optional_argument, NULL, 'W' },
	{ "policy", required_argument, NULL, 'p' },
	{ "refill", required_argument, NULL, 'r' },
	{ "root", required_argument, NULL, 'R' },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ }
};

static double parse_seconds(const char *option, const char *arg, double least, const char *name)
{
	char *end;
	double seconds = strtod(arg, &end);

	/* This way round, NAN is refused, too. */
	if (end == arg || *end || !(seconds >= least && seconds <= 1e6))
		errx(1, "%s %s: not a number of seconds from %s to 1000000", option, arg, name);
	return seconds;
}

static void flush(void)
{
	if (fflush(stdout) || ferror(stdout))
		err(1, "standard output");
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
	if (!prometheus && isatty(STDOUT_FILENO)) {
		ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
		view.width = size.ws_col ? size.ws_col : 80;
	}
	out = open_memstream(&text, &len);
	if (!out)
		err(1, "memory");
	if (prometheus)
		show_prometheus(out, now);
	else
		show_text(out, &view);
	fclose(out);
	if (output)
		replace_file(output, text, len);
	else if (in_place)
		term_draw(text, view.head, size.ws_row ? size.ws_row : 24, view.width);
	else
		printf(before ? "\n%s" : "%s", text);
	free(text);
	flush();
}

static void watch(struct sample *now)
{
	struct sample other = { }, *older = &other, *before = NULL;
	double until = seconds_since_boot();
	enum event event;

	term_begin(in_place);
	show(now, NULL);
	for (;;) {
		until += interval;
		/* One that was stopped for long does not catch up. */
		if (until < seconds_since_boot())
			until = seconds_since_boot();
		while ((event = term_wait(until)) == REDRAW)
			/* The same figures, so that rates stay. */
			show(now, before);
		if (event == QUIT)
			break;
		if (event == LOOK_AGAIN)
			until = seconds_since_boot();
		before = now;
		now = older;
		older = before;
		take_sample(now, false);
		show(now, before);
	}
	term_end();
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
	double wait_seconds = -1;
	int option, nr = 0, i, status;
	bool wait = false;

	if (!settings)
		err(1, "memory");
	while ((option = getopt_long(argc, argv, "w:djt:l:p:hV", options, NULL)) != -1) {
		switch (option) {
		case 'w':
			interval = parse_seconds("--watch", optarg, 0.01, "0.01");
			break;
		case 'W':
			wait = true;
			/* '--wait 5' is as good as '--wait=5'. */
			if (!optarg && optind < argc && isdigit((unsigned char)*argv[optind]))
				optarg = argv[optind++];
			if (optarg)
				wait_seconds = parse_seconds("--wait", optarg, 0, "0");
			break;
		case 'd':
			rates = true;
			break;
		case 'j':
			json = true;
			break;
		case 'P':
			prometheus = true;
			break;
		case 'o':
			output = optarg;
			break;
		case 't':
		case 'l':
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
	if (prometheus && (json || rates))
		errx(1, "--prometheus: not together with --json or --delta");
	if (output && !prometheus)
		errx(1, "--output: only with --prometheus");
	if (prometheus && interval && !output)
		errx(1, "--prometheus: only with --output again and again");
	if (rates && !interval)
		interval = 1;
	open_root(root);
	check_feature();

	if (nr) {
		take_sample(&sample, false);
		for (i = 0; i < nr; i++)
			check_setting(&settings[i], &sample);
		write_settings(settings, nr);
	}
	status = wait ? wait_until_met(wait_seconds) : 0;
	if (status == 1 || ((nr || wait) && !interval && !json && !prometheus))
		return status;
	take_sample(&sample, true);
	if (rates && !sample.nr)
		errx(1, "--delta: this kernel has no nodes in sysfs, and no counters of theirs");
	in_place = interval && !json && !prometheus && isatty(STDOUT_FILENO) &&
		   !(term && !strcmp(term, "dumb"));
	if (interval)
		watch(&sample);
	else
		show(&sample, NULL);
	return trouble ? 1 : status;
}
