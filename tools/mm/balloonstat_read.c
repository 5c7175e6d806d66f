// SPDX-License-Identifier: GPL-2.0
/*
 * What the kernel says of nodes and balloons.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "balloonstat.h"

uint64_t page_size;
bool trouble;

static const char *root;
static int root_fd;
static bool telling;

void open_root(const char *dir)
{
	page_size = sysconf(_SC_PAGESIZE);
	root = strcmp(dir, "/") ? dir : "";
	root_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root_fd < 0)
		err(1, "--root %s", dir);
}

/* For messages; the next call overwrites it. */
const char *full_path(const char *path)
{
	static char full[PATH_MAX + 128];

	snprintf(full, sizeof(full), "%s/%s", root, path);
	return full;
}

int open_under_root(const char *path, int flags)
{
	return openat(root_fd, path, flags | O_CLOEXEC);
}

static void tell(const char *path, const char *what)
{
	if (!telling)
		return;
	warnx("%s: %s", full_path(path), what);
	trouble = true;
}

bool read_text(const char *path, char *buf, size_t size)
{
	int fd = open_under_root(path, O_RDONLY), error = errno;
	size_t len = 0;
	ssize_t n = -1;

	if (fd >= 0) {
		while ((n = read(fd, buf + len, size - 1 - len)) > 0)
			len += n;
		error = errno;
		close(fd);
	}
	if (n < 0)
		tell(path, strerror(error));
	buf[len] = '\0';
	errno = error;
	return n >= 0;
}

/* Unlike strtoull(), takes neither blanks nor a sign before it. */
bool parse_number(const char *text, const char **end, uint64_t *value)
{
	char *behind;

	if (!isdigit((unsigned char)*text))
		return false;
	errno = 0;
	*value = strtoull(text, &behind, 10);
	*end = behind;
	return !errno;
}

/* A file with one number and nothing else, times @unit; targets may be "auto", limits "max". */
static uint64_t read_number(const char *dir, const char *name, uint64_t unit)
{
	char path[128], buf[64];
	const char *end;
	uint64_t value;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (!read_text(path, buf, sizeof(buf)))
		return UNKNOWN;
	if (!strcmp(name, "target") && !strcmp(buf, "auto\n"))
		return AUTO;
	if (!strcmp(name, "limit") && !strcmp(buf, "max\n"))
		return AUTO;
	if (parse_number(buf, &end, &value) && !strcmp(end, "\n") &&
	    !__builtin_mul_overflow(value, unit, &value) && value < AUTO)
		return value;
	tell(path, "not a number, or too large a one");
	return UNKNOWN;
}

/* "a [b] c": b */
static void read_choice(const char *name, char *choice, size_t size)
{
	char path[64], buf[256], *from, *to;

	choice[0] = '\0';
	snprintf(path, sizeof(path), BALLOON_DIR "/%s", name);
	if (!read_text(path, buf, sizeof(buf)))
		return;
	from = strchr(buf, '[');
	to = from ? strchr(from, ']') : NULL;
	if (to)
		snprintf(choice, size, "%.*s", (int)(to - from - 1), from + 1);
	else
		tell(path, "no value is in brackets");
}

static uint64_t meminfo_bytes(const char *path, const char *text, const char *key)
{
	const char *at = strstr(text, key), *end;
	uint64_t kb;

	if (at) {
		at += strlen(key);
		at += strspn(at, " ");
		if (parse_number(at, &end, &kb) && !strncmp(end, " kB\n", 4) &&
		    !__builtin_mul_overflow(kb, UINT64_C(1024), &kb) && kb < AUTO)
			return kb;
	}
	tell(path, "no figure for MemTotal or MemFree");
	return UNKNOWN;
}

static void read_meminfo(const char *path, struct node *node)
{
	char text[8192];

	node->value[MEM_TOTAL] = UNKNOWN;
	node->value[MEM_FREE] = UNKNOWN;
	if (!read_text(path, text, sizeof(text)))
		return;
	node->value[MEM_TOTAL] = meminfo_bytes(path, text, "MemTotal:");
	node->value[MEM_FREE] = meminfo_bytes(path, text, "MemFree:");
}

static void read_counters(const char *path, struct node *node)
{
	char text[4096], *rest = text, *line;
	struct counter *c;
	const char *end;

	read_text(path, text, sizeof(text));
	while ((line = strsep(&rest, "\n")) && node->nr_counters < MAX_COUNTERS) {
		char *name = strsep(&line, " ");

		c = &node->counter[node->nr_counters];
		snprintf(c->name, sizeof(c->name), "%.31s", name);
		if (line && parse_number(line, &end, &c->value) && !*end)
			node->nr_counters++;
		else if (*name)
			tell(path, "a line is no name and number");
	}
}

/* "name value" lines, of which there may be others. */
static void read_available(const char *dir, struct node *node)
{
	static const char * const names[NR_PARTS] = { "superframes ", "evacuation ", "pages " };
	char path[128], text[512];
	const char *at, *end;
	int i;

	node->value[AVAILABLE] = UNKNOWN;
	for (i = 0; i < NR_PARTS; i++)
		node->part[i] = UNKNOWN;
	snprintf(path, sizeof(path), "%s/available", dir);
	if (!read_text(path, text, sizeof(text)))
		return;
	for (i = 0; i < NR_PARTS; i++) {
		uint64_t unit = i == BASE_PAGES ? page_size : 2 << 20;

		for (at = text; at && strncmp(at, names[i], strlen(names[i])); ) {
			at = strchr(at, '\n');
			at = at ? at + 1 : NULL;
		}
		if (!at || !parse_number(at + strlen(names[i]), &end, &node->part[i]) ||
		    *end != '\n' || node->part[i] > (UINT64_MAX >> 2) / unit) {
			node->part[i] = UNKNOWN;
			tell(path, "no figure for what could be inflated");
			return;
		}
		node->part[i] *= unit;
	}
	node->value[AVAILABLE] = node->part[FREE_SUPERFRAMES] + node->part[BY_EVACUATION] +
				 node->part[BASE_PAGES];
}

static void read_node(struct node *node)
{
	char dir[64], path[128];

	snprintf(path, sizeof(path), NODES_DIR "/node%u/meminfo", node->nid);
	read_meminfo(path, node);
	snprintf(dir, sizeof(dir), NODES_DIR "/node%u/balloon", node->nid);
	node->value[BALLOON] = read_number(dir, "nr_pages", page_size);
	node->value[SUPERFRAMES] = read_number(dir, "nr_superframes", 2 << 20);
	node->value[PARTIAL] = read_number(dir, "nr_partial", page_size);
	node->value[FOREIGN] = read_number(dir, "nr_foreign", page_size);
	read_available(dir, node);
	node->value[LIMIT] = read_number(dir, "limit", page_size);
	node->value[TARGET] = read_number(dir, "target", page_size);
	snprintf(path, sizeof(path), "%s/stat", dir);
	read_counters(path, node);
}

static int compare_nodes(const void *a, const void *b)
{
	unsigned int x = ((const struct node *)a)->nid, y = ((const struct node *)b)->nid;

	return x < y ? -1 : x > y;
}

/* Numbers may have holes, and come in any order. */
static void find_nodes(struct sample *s)
{
	int fd = open_under_root(NODES_DIR, O_RDONLY | O_DIRECTORY);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	const char *end;
	uint64_t nid;

	s->nr = 0;
	if (!dir) {
		if (errno != ENOENT)
			tell(NODES_DIR, strerror(errno));
		return;
	}
	while ((entry = readdir(dir))) {
		if (strncmp(entry->d_name, "node", 4) ||
		    !parse_number(entry->d_name + 4, &end, &nid) || *end || nid > INT_MAX)
			continue;
		s->node = reallocarray(s->node, s->nr + 1, sizeof(*s->node));
		if (!s->node)
			err(1, "nodes");
		memset(&s->node[s->nr], 0, sizeof(*s->node));
		s->node[s->nr++].nid = nid;
	}
	closedir(dir);
	if (s->nr)
		qsort(s->node, s->nr, sizeof(*s->node), compare_nodes);
}

/* Present and managed memory: what of MemTotal a balloon has taken. */
static void read_zoneinfo(struct sample *s)
{
	int fd = open_under_root("proc/zoneinfo", O_RDONLY);
	FILE *file = fd < 0 ? NULL : fdopen(fd, "r");
	struct node *node = NULL;
	unsigned int nid, i;
	uint64_t pages;
	char line[256];

	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "Node %u, zone", &nid) == 1) {
			node = s->nr ? NULL : &s->total;
			for (i = 0; i < s->nr; i++) {
				if (s->node[i].nid == nid)
					node = &s->node[i];
			}
		} else if (node && sscanf(line, " present %" SCNu64, &pages) == 1) {
			node->present += pages * page_size;
		} else if (node && sscanf(line, " managed %" SCNu64, &pages) == 1) {
			node->managed += pages * page_size;
		}
	}
	if (file)
		fclose(file);
}

static void add_up(struct sample *s)
{
	struct node *node;
	int row;

	for (row = 0; row < TARGET; row++)
		s->total.value[row] = 0;
	for (node = s->node; node < s->node + s->nr; node++) {
		for (row = 0; row < TARGET; row++) {
			uint64_t *sum = &s->total.value[row];

			if (*sum == UNKNOWN || node->value[row] == UNKNOWN ||
			    __builtin_add_overflow(*sum, node->value[row], sum))
				*sum = UNKNOWN;
		}
		s->total.present += node->present;
	}
	/* There is none. */
	s->total.value[LIMIT] = UNKNOWN;
}

/* More is ballooned than managed pages are missing: the driver leaves them managed. */
static bool leaves_managed(const struct node *node)
{
	return node->present && node->value[BALLOON] != UNKNOWN &&
	       node->present - node->managed < node->value[BALLOON];
}

/* "NAME" or "waiting: REASON SECONDS" */
void read_state(struct state *state, bool tell_it)
{
	static const char path[] = BALLOON_DIR "/state", waiting[] = "waiting: ";
	const char *end = NULL;
	char text[128], *word;

	memset(state, 0, sizeof(*state));
	telling = tell_it;
	if (!read_text(path, text, sizeof(text)))
		return;
	word = text;
	if (!strncmp(text, waiting, strlen(waiting))) {
		word = strchr(text + strlen(waiting), ' ');
		if (word && parse_number(word + 1, &end, &state->seconds) && !strcmp(end, "\n")) {
			snprintf(state->name, sizeof(state->name), "waiting");
			*word = '\0';
			snprintf(state->reason, sizeof(state->reason), "%.31s",
				 text + strlen(waiting));
			return;
		}
	} else if (strchr(text, '\n') && strspn(text, "abcdefghijklmnopqrstuvwxyz-") > 0 &&
		   !text[strspn(text, "abcdefghijklmnopqrstuvwxyz-") + 1]) {
		snprintf(state->name, sizeof(state->name), "%.*s", (int)strcspn(text, "\n"), text);
		return;
	}
	tell(path, "not a state");
}

/**
 * take_sample - read all that is shown
 * @s: zeroed, or an older sample, which is overwritten
 * @tell: say on stderr what could not be read
 */
void take_sample(struct sample *s, bool tell)
{
	struct timespec ts;
	unsigned int i;
	int row;

	telling = tell;
	clock_gettime(CLOCK_REALTIME, &ts);
	s->time = ts.tv_sec + ts.tv_nsec / 1e9;
	clock_gettime(CLOCK_BOOTTIME, &ts);
	s->since_boot = ts.tv_sec + ts.tv_nsec / 1e9;
	memset(&s->total, 0, sizeof(s->total));

	find_nodes(s);
	for (i = 0; i < s->nr; i++)
		read_node(&s->node[i]);
	if (!s->nr) {
		for (row = SUPERFRAMES; row < TARGET; row++)
			s->total.value[row] = UNKNOWN;
		read_meminfo("proc/meminfo", &s->total);
		s->total.value[BALLOON] = read_number(BALLOON_DIR, "nr_pages", page_size);
	}
	s->total.value[TARGET] = read_number(BALLOON_DIR, "target", page_size);
	s->retries = read_number(BALLOON_DIR, "retries", 1);
	read_state(&s->state, tell);
	read_choice("policy", s->policy, sizeof(s->policy));
	read_choice("refill", s->refill, sizeof(s->refill));

	/* After nr_pages: while the balloon grows, nobody must take it for managed. */
	read_zoneinfo(s);
	if (s->nr)
		add_up(s);
	s->managed = leaves_managed(&s->total);
	for (i = 0; i < s->nr; i++)
		s->managed |= leaves_managed(&s->node[i]);
}
