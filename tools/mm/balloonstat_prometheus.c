// SPDX-License-Identifier: GPL-2.0
/*
 * Metrics for Prometheus, in its text format.
 *
 * What node_exporter shows of a node's meminfo by itself is not repeated: MemTotal, MemFree and
 * Balloon.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "balloonstat.h"

struct metric {
	const char *name, *type, *help;
};

/* A counter of nodes, or two that are told apart by a label. */
struct counted {
	struct metric metric;
	bool superframes;		/* not base pages, which are told in bytes */
	struct {
		const char *counter, *origin;
	} of[2];
};

static const struct counted counted[] = {
	{ { "balloon_node_inflated_bytes_total", "counter",
	    "Memory of the node that was given to the host, on behalf of the node or of another." },
	  false, { { "inflate_local", "local" }, { "inflate_remote", "remote" } } },
	{ { "balloon_node_deflated_bytes_total", "counter",
	    "Memory of the node that was taken back, by what it had been inflated as." },
	  false, { { "deflate_local", "local" }, { "deflate_remote", "remote" } } },
	{ { "balloon_node_refilled_bytes_total", "counter",
	    "Memory that allocations took back from the balloon rather than leave the node." },
	  false, { { "refill", NULL } } },
	{ { "balloon_node_refill_refused_bytes_total", "counter",
	    "Memory that allocations asked the balloon for in vain." },
	  false, { { "refill_fail", NULL } } },
	{ { "balloon_node_exchanged_bytes_total", "counter",
	    "Memory among the refilled that another node gave in its place." },
	  false, { { "exchange", NULL } } },
	{ { "balloon_node_migrated_bytes_total", "counter",
	    "Memory in the balloon that came to the node, or moved within it, by migration." },
	  false, { { "migrate", NULL } } },
	{ { "balloon_node_lost_bytes_total", "counter",
	    "Memory that a host kept when its device went, lost until the next boot." },
	  false, { { "lost", NULL } } },
	{ { "balloon_node_coalesced_superframes_total", "counter",
	    "Blocks of 2 MiB in the balloon that became superframes." },
	  true, { { "coalesce", NULL } } },
	{ { "balloon_node_split_superframes_total", "counter",
	    "Superframes in the balloon that became base pages." },
	  true, { { "split", NULL } } },
};

/* Of which the last sample is. */
static const struct metric *current;

static void put_label(FILE *out, const char *name, const char *text)
{
	fprintf(out, "%s=\"", name);
	for (; *text; text++) {
		if (*text < ' ' || *text > '~')
			putc('?', out);		/* only UTF-8 is accepted */
		else
			fprintf(out, *text == '"' || *text == '\\' ? "\\%c" : "%c", *text);
	}
	putc('"', out);
}

/* What a metric is stands before its first sample; one that is not known has none. */
static void put(FILE *out, const struct metric *metric, const struct node *node, const char *name,
		const char *text, uint64_t value)
{
	char nid[16];

	if (value == UNKNOWN || value == AUTO)
		return;
	if (current != metric)
		fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", metric->name, metric->help,
			metric->name, metric->type);
	current = metric;
	fputs(metric->name, out);
	if (node || name)
		putc('{', out);
	if (node) {
		snprintf(nid, sizeof(nid), "%u", node->nid);
		put_label(out, "node", nid);
	}
	if (node && name)
		putc(',', out);
	if (name)
		put_label(out, name, text);
	if (node || name)
		putc('}', out);
	fprintf(out, " %" PRIu64 "\n", value);
}

static void put_counted(FILE *out, const struct sample *s, const struct counted *what)
{
	const struct counter *c;
	unsigned int i, k;

	for (i = 0; i < s->nr; i++) {
		for (k = 0; k < 2 && what->of[k].counter; k++) {
			c = find_counter(&s->node[i], what->of[k].counter);
			if (!c || c->value > UINT64_MAX / page_size - 1)
				continue;
			put(out, &what->metric, &s->node[i], what->of[k].origin ? "origin" : NULL,
			    what->of[k].origin, c->value * (what->superframes ? 1 : page_size));
		}
	}
}

static void put_row(FILE *out, const struct sample *s, const struct metric *metric, enum row row)
{
	unsigned int i;

	for (i = 0; i < s->nr; i++)
		put(out, metric, &s->node[i], NULL, NULL, s->node[i].value[row]);
}

static void put_held(FILE *out, const struct sample *s)
{
	static const struct metric held = { "balloon_node_held_bytes", "gauge",
		"Memory of the node in the balloon; its kinds add up." };
	static const struct metric available = { "balloon_node_available_bytes", "gauge",
		"Memory of the node that could be inflated without reclaim; its kinds add up." };
	static const struct metric target = { "balloon_node_target_bytes", "gauge",
		"What the balloon is to take on behalf of the node; none where it is auto." };
	static const struct metric limit = { "balloon_node_limit_bytes", "gauge",
		"What the balloon may hold of the node at most; none where it is max." };
	static const char * const parts[NR_PARTS] = { "superframes", "evacuation", "pages" };
	unsigned int i, k;

	for (i = 0; i < s->nr; i++) {
		put(out, &held, &s->node[i], "kind", "superframes", s->node[i].value[SUPERFRAMES]);
		put(out, &held, &s->node[i], "kind", "partial", s->node[i].value[PARTIAL]);
		put(out, &held, &s->node[i], "kind", "foreign", s->node[i].value[FOREIGN]);
	}
	for (i = 0; i < s->nr; i++)
		for (k = 0; k < NR_PARTS; k++)
			put(out, &available, &s->node[i], "kind", parts[k], s->node[i].part[k]);
	put_row(out, s, &target, TARGET);
	put_row(out, s, &limit, LIMIT);
}

/* One of the known ones, or what a newer kernel says, is 1. */
static void put_states(FILE *out, const struct metric *metric, const char *label,
		       const char * const *known, const char *now)
{
	bool found = false;

	for (; *known; known++) {
		found |= !strcmp(*known, now);
		put(out, metric, NULL, label, *known, !strcmp(*known, now));
	}
	if (*now && !found)
		put(out, metric, NULL, label, now, 1);
}

static void put_state(FILE *out, const struct state *state)
{
	static const struct metric states = { "balloon_state", "gauge",
		"What the balloon is at: one of these is 1." };
	static const struct metric reasons = { "balloon_waiting", "gauge",
		"What the balloon waits for, short of a target: one of these is 1 if it waits." };
	static const struct metric seconds = { "balloon_waiting_seconds", "gauge",
		"For how long the balloon has been waiting; 0 if it does not wait." };
	static const char * const known_states[] = {
		"settled", "inflating", "deflating", "moving", "waiting", NULL
	};
	static const char * const known_reasons[] = {
		"guest-memory", "pressure", "host-refused", "limit", "held", NULL
	};

	if (!*state->name)
		return;
	put_states(out, &states, "state", known_states, state->name);
	put_states(out, &reasons, "reason", known_reasons, state->reason);
	put(out, &seconds, NULL, NULL, NULL, *state->reason ? state->seconds : 0);
}

/**
 * show_prometheus - all that is known, but what node_exporter knows, too
 */
void show_prometheus(FILE *out, const struct sample *s)
{
	static const struct metric held = { "balloon_held_bytes", "gauge",
		"Memory in the balloon." };
	static const struct metric target = { "balloon_host_target_bytes", "gauge",
		"Memory that the host wants in the balloon." };
	static const struct metric in_total = { "balloon_in_memtotal", "gauge",
		"Whether MemTotal includes the balloon (DEFLATE_ON_OOM)." };
	static const struct metric retries = { "balloon_retries_total", "counter",
		"How often the balloon has begun again with what it came short of." };
	static const struct metric policy = { "balloon_policy_info", "gauge",
		"Where memory is taken as far as targets of nodes do not say." };
	static const struct metric refill = { "balloon_refill_info", "gauge",
		"What the page allocator may take back." };
	unsigned int i;

	current = NULL;
	put(out, &held, NULL, NULL, NULL, s->total.value[BALLOON]);
	put(out, &target, NULL, NULL, NULL, s->total.value[TARGET]);
	put(out, &in_total, NULL, NULL, NULL, s->managed);
	put_state(out, &s->state);
	put(out, &retries, NULL, NULL, NULL, s->retries);
	if (*s->policy)
		put(out, &policy, NULL, "policy", s->policy, 1);
	if (*s->refill)
		put(out, &refill, NULL, "mode", s->refill, 1);
	put_held(out, s);
	for (i = 0; i < sizeof(counted) / sizeof(*counted); i++)
		put_counted(out, s, &counted[i]);
}

/**
 * replace_file - have a file hold a text, and nobody see a part of it
 *
 * Who reads files of its folder by their suffix does not see the file that it is at first.
 */
void replace_file(const char *path, const char *text, size_t len)
{
	struct stat st;
	char *new;
	FILE *out;
	int fd;

	/* Not a device, nor /dev/stdout, in whose place there would be a file then. */
	if (!lstat(path, &st) && !S_ISREG(st.st_mode))
		errx(1, "--output %s: not a regular file", path);
	if (asprintf(&new, "%s.XXXXXX", path) < 0)
		err(1, "memory");
	fd = mkstemp(new);
	if (fd < 0)
		err(1, "--output %s", path);
	out = fdopen(fd, "w");
	if (!out || fwrite(text, 1, len, out) < len || fflush(out) || fchmod(fd, 0644) ||
	    fclose(out) || rename(new, path)) {
		int error = errno;

		unlink(new);
		errno = error;
		err(1, "--output %s", path);
	}
	free(new);
}
