// SPDX-License-Identifier: GPL-2.0
/*
 * Targets, limits, policy and refill mode: what is wrong with them is said before anything is
 * written.
 */
#include <ctype.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "balloonstat.h"

static const char *option_name(const struct setting *set)
{
	switch (set->option) {
	case 't':
		return "--target";
	case 'l':
		return "--limit";
	case 'p':
		return "--policy";
	default:
		return "--refill";
	}
}

/* What a node has that has none. */
static const char *none_word(const struct setting *set)
{
	return set->option == 't' ? "auto" : "max";
}

static uint64_t parse_size(const struct setting *set, const char *size, uint64_t most)
{
	static const char units[] = "KMGT";
	const char *end, *unit;
	unsigned int shift = 0;
	const char *option = option_name(set);
	uint64_t value;

	if (*size == '-')
		errx(1, "%s %s: '%s' is negative", option, set->arg, size);
	if (!isdigit((unsigned char)*size))
		errx(1, "%s %s: '%s' is neither a size nor '%s'", option, set->arg, size,
		     none_word(set));
	if (!parse_number(size, &end, &value))
		errx(1, "%s %s: '%s' is too large", option, set->arg, size);
	unit = *end ? strchr(units, toupper((unsigned char)*end)) : NULL;
	if (unit) {
		shift = (unit - units + 1) * 10;
		end++;
	}
	if (*end)
		errx(1, "%s %s: '%s' is no size: a whole number, then K, M, G, T or nothing",
		     option, set->arg, size);
	if (value > UINT64_MAX >> shift)
		errx(1, "%s %s: '%s' is too large", option, set->arg, size);
	value <<= shift;
	if (most && value > most)
		errx(1, "%s %s: '%s' is more than all nodes' memory, %" PRIu64 "K",
		     option, set->arg, size, most >> 10);
	if (value % page_size)
		errx(1, "%s %s: '%s' is no multiple of the page size, %" PRIu64 " bytes",
		     option, set->arg, size, page_size);
	return value;
}

static void check_node(struct setting *set, const struct sample *s)
{
	const char *end, *option = option_name(set), *none = none_word(set);
	uint64_t nid;
	unsigned int i;

	if (!parse_number(set->arg, &end, &nid) || *end != '=')
		errx(1, "%s %s: neither NODE=SIZE nor NODE=%s", option, set->arg, none);
	if (!s->nr)
		errx(1, "%s %s: this kernel has no nodes in sysfs", option, set->arg);
	for (i = 0; i < s->nr && s->node[i].nid != nid; i++)
		;
	if (i == s->nr) {
		fprintf(stderr, "balloonstat: %s %s: node %.*s does not exist; there are",
			option, set->arg, (int)(end - set->arg), set->arg);
		for (i = 0; i < s->nr; i++)
			fprintf(stderr, " %u", s->node[i].nid);
		putc('\n', stderr);
		exit(1);
	}
	snprintf(set->path, sizeof(set->path), NODES_DIR "/node%u/balloon/%s",
		 s->node[i].nid, option + 2);
	if (!strcmp(end + 1, none))
		snprintf(set->text, sizeof(set->text), "%s\n", none);
	else
		snprintf(set->text, sizeof(set->text), "%" PRIu64 "\n",
			 parse_size(set, end + 1, s->total.present) / page_size);
}

/* The kernel lists what it allows, the current value in brackets: it need not be known here. */
static void check_choice(struct setting *set)
{
	char buf[256], allowed[256] = "", *rest = buf, *word;

	snprintf(set->path, sizeof(set->path), BALLOON_DIR "/%s", option_name(set) + 2);
	snprintf(set->text, sizeof(set->text), "%s\n", set->arg);
	if (!read_text(set->path, buf, sizeof(buf)))
		err(1, "%s", full_path(set->path));
	while ((word = strsep(&rest, " []\n"))) {
		if (!strcmp(word, set->arg) && *word)
			return;
		if (*word)
			snprintf(allowed + strlen(allowed), sizeof(allowed) - strlen(allowed),
				 "%s%s", *allowed ? ", " : "", word);
	}
	errx(1, "%s %s: unknown; allowed are: %s", option_name(set), set->arg, allowed);
}

/* With what is set already: it stays. */
static void refused(const struct setting *set, const struct setting *first)
{
	const char *why = strerror(errno), *hint = "", *mark = "; set already: ";

	if (errno == EACCES || errno == EPERM)
		hint = "only root may write it: ";
	else if (errno == EINVAL)
		hint = "the kernel refuses it: ";
	fprintf(stderr, "balloonstat: %s %s: %s: %s%s", option_name(set), set->arg,
		full_path(set->path), hint, why);
	for (; first < set; first++, mark = ", ")
		fprintf(stderr, "%s%s %s", mark, option_name(first), first->arg);
	putc('\n', stderr);
	exit(1);
}

void check_setting(struct setting *set, const struct sample *s)
{
	int fd;

	if (set->option == 't' || set->option == 'l')
		check_node(set, s);
	else
		check_choice(set);
	/* Older kernels have no limit. */
	fd = open_under_root(set->path, O_WRONLY);
	if (fd < 0)
		refused(set, set);
	close(fd);
}

/* Until one is refused. */
void write_settings(const struct setting *settings, int nr)
{
	const struct setting *set;

	for (set = settings; set < settings + nr; set++) {
		int fd = open_under_root(set->path, O_WRONLY | O_TRUNC);

		if (fd < 0 || write(fd, set->text, strlen(set->text)) < 0)
			refused(set, settings);
		close(fd);
	}
}
