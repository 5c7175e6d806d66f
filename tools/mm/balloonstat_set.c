// SPDX-License-Identifier: GPL-2.0
/*
 * Targets, policy and refill mode: what is wrong with them is said before anything is written.
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
	return set->option == 't' ? "--target" : set->option == 'p' ? "--policy" : "--refill";
}

static uint64_t parse_size(const struct setting *set, const char *size, uint64_t most)
{
	static const char units[] = "KMGT";
	const char *end, *unit;
	unsigned int shift = 0;
	uint64_t value;

	if (*size == '-')
		errx(1, "--target %s: '%s' is negative", set->arg, size);
	if (!isdigit((unsigned char)*size))
		errx(1, "--target %s: '%s' is neither a size nor 'auto'", set->arg, size);
	if (!parse_number(size, &end, &value))
		errx(1, "--target %s: '%s' is too large", set->arg, size);
	unit = *end ? strchr(units, toupper((unsigned char)*end)) : NULL;
	if (unit) {
		shift = (unit - units + 1) * 10;
		end++;
	}
	if (*end)
		errx(1, "--target %s: '%s' is no size: a whole number, then K, M, G, T or nothing",
		     set->arg, size);
	if (value > UINT64_MAX >> shift)
		errx(1, "--target %s: '%s' is too large", set->arg, size);
	value <<= shift;
	if (most && value > most)
		errx(1, "--target %s: '%s' is more than all nodes' memory, %" PRIu64 "K",
		     set->arg, size, most >> 10);
	if (value % page_size)
		errx(1, "--target %s: '%s' is no multiple of the page size, %" PRIu64 " bytes",
		     set->arg, size, page_size);
	return value;
}

static void check_target(struct setting *set, const struct sample *s)
{
	const char *end;
	uint64_t nid;
	unsigned int i;

	if (!parse_number(set->arg, &end, &nid) || *end != '=')
		errx(1, "--target %s: neither NODE=SIZE nor NODE=auto", set->arg);
	if (!s->nr)
		errx(1, "--target %s: this kernel has no nodes in sysfs", set->arg);
	for (i = 0; i < s->nr && s->node[i].nid != nid; i++)
		;
	if (i == s->nr) {
		fprintf(stderr, "balloonstat: --target %s: node %.*s does not exist; there are",
			set->arg, (int)(end - set->arg), set->arg);
		for (i = 0; i < s->nr; i++)
			fprintf(stderr, " %u", s->node[i].nid);
		putc('\n', stderr);
		exit(1);
	}
	snprintf(set->path, sizeof(set->path), NODES_DIR "/node%u/balloon/target",
		 s->node[i].nid);
	if (!strcmp(end + 1, "auto"))
		snprintf(set->text, sizeof(set->text), "auto\n");
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

void check_setting(struct setting *set, const struct sample *s)
{
	if (set->option == 't')
		check_target(set, s);
	else
		check_choice(set);
}

void write_setting(const struct setting *set)
{
	int fd = open_under_root(set->path, O_WRONLY | O_TRUNC);
	ssize_t n = fd < 0 ? -1 : write(fd, set->text, strlen(set->text));

	if (n < 0)
		err(1, "%s %s: %s%s", option_name(set), set->arg, full_path(set->path),
		    errno == EACCES || errno == EPERM ? ": only root may write it" :
		    errno == EINVAL ? ": the kernel refuses it" : "");
	close(fd);
}
