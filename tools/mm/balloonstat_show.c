// SPDX-License-Identifier: GPL-2.0
/*
 * Tables, bars and JSON.
 */
#include <inttypes.h>
#include <math.h>		/* isnan(), which is no function of libm */
#include <string.h>

#include "balloonstat.h"

#define LABEL		14	/* width of a row's name */
#define COLUMN		12	/* of a node */
#define NAME		6	/* of a node that has a line of its own */
#define FIELD		9	/* and of what is told there */
#define LEAST_BAR	8

static const char * const row_names[NR_ROWS] = {
	[MEM_TOTAL]	= "MemTotal",
	[MEM_FREE]	= "MemFree",
	[BALLOON]	= "Balloon",
	[SUPERFRAMES]	= "Superframes",
	[PARTIAL]	= "Partial",
	[FOREIGN]	= "Foreign",
	[AVAILABLE]	= "Available",
	[LIMIT]		= "Limit",
	[TARGET]	= "Target",
};

/* The nodes in their order, then the total. */
static const struct node *column(const struct sample *s, unsigned int i)
{
	return i < s->nr ? &s->node[i] : &s->total;
}

const struct counter *find_counter(const struct node *node, const char *name)
{
	const struct counter *c;

	for (c = node->counter; c < node->counter + node->nr_counters; c++) {
		if (!strcmp(c->name, name))
			return c;
	}
	return NULL;
}

/* What counters there are: those of the first node that has any. */
static const struct node *with_counters(const struct sample *s)
{
	unsigned int i;

	for (i = 0; i < s->nr && !s->node[i].nr_counters; i++)
		;
	return column(s, i);
}

/* Per second; NAN where a node is new, or its counter unknown or gone back. */
static double rate(const struct view *v, const struct node *node, const char *name)
{
	const struct counter *now = find_counter(node, name), *before = NULL;
	double sum = 0;
	unsigned int i;

	if (node == &v->now->total) {
		for (i = 0; i < v->now->nr; i++)
			sum += rate(v, &v->now->node[i], name);
		return sum;
	}
	for (i = 0; v->before && i < v->before->nr; i++) {
		if (v->before->node[i].nid == node->nid)
			before = find_counter(&v->before->node[i], name);
	}
	if (!now || !before || now->value < before->value)
		return NAN;
	return (now->value - before->value) / (v->now->since_boot - v->before->since_boot);
}

static void show_cell(FILE *out, const struct view *v, const struct node *node,
		      unsigned int row, const char *counter)
{
	double per_second = counter ? rate(v, node, counter) : 0;
	uint64_t value = counter ? 0 : node->value[row];

	if (counter ? isnan(per_second) : value == UNKNOWN)
		fprintf(out, "%*s", COLUMN, "-");
	else if (counter)
		fprintf(out, "%*.1f", COLUMN, per_second);
	else if (value == AUTO)
		fprintf(out, "%*s", COLUMN, row == LIMIT ? "max" : "auto");
	else
		fprintf(out, "%*.2f", COLUMN, value / 1048576.0);
}

/* A narrow cell, of a list. */
static void show_field(FILE *out, const struct node *node, enum row row)
{
	uint64_t value = node->value[row];
	double mib = value / 1048576.0;

	if (value == UNKNOWN)
		fprintf(out, "%*s", FIELD, "-");
	else if (value == AUTO)
		fprintf(out, "%*s", FIELD, row == LIMIT ? "max" : "auto");
	else
		fprintf(out, "%*.*f", FIELD, mib < 99999 ? 1 : 0, mib);
}

/* On a terminal where all columns don't fit, each node has a line, as processes have in top(1). */
static bool is_list(const struct view *v)
{
	return v->width && LABEL + (v->now->nr + 1) * COLUMN > v->width &&
	       v->width >= NAME + 2 * FIELD;
}

/*
 * Where not all columns fit the width, the table goes on below with the others. The total comes
 * first then, so that a low terminal shows it.
 */
static void show_table(FILE *out, const struct view *v, bool rates)
{
	const struct node *head = with_counters(v->now), *node;
	unsigned int rows = rates ? head->nr_counters : NR_ROWS;
	unsigned int nr = v->now->nr, first, last, i, row, fit = nr + 1, from = 0;
	char title[32];

	if (v->width)
		fit = v->width >= LABEL + 2 * COLUMN ? (v->width - LABEL) / COLUMN : 1;
	if (fit <= nr)
		from = nr;
	for (first = 0; first <= nr; first = last) {
		last = first + fit <= nr ? first + fit : nr + 1;
		fprintf(out, "\n%-*s", LABEL, rates ? "per second" : "");
		for (i = first; i < last; i++) {
			node = column(v->now, (from + i) % (nr + 1));
			snprintf(title, sizeof(title), "Node %u", node->nid);
			fprintf(out, "%*s", COLUMN, node != &v->now->total ? title : "Total");
		}
		for (row = 0; row < rows; row++) {
			const char *counter = rates ? head->counter[row].name : NULL;

			fprintf(out, "\n%-*s", LABEL, counter ? counter : row_names[row]);
			for (i = first; i < last; i++)
				show_cell(out, v, column(v->now, (from + i) % (nr + 1)), row,
					  counter);
		}
		putc('\n', out);
	}
}

/* Ends of parts are rounded, not their lengths, so that they fill the bar. */
static void show_bar(FILE *out, const struct view *v, const struct node *node, int width)
{
	double total = node->value[MEM_TOTAL], balloon = node->value[BALLOON];
	double used = total - node->value[MEM_FREE];
	bool known = node->value[MEM_TOTAL] != UNKNOWN && node->value[MEM_FREE] != UNKNOWN &&
		     node->value[BALLOON] != UNKNOWN;
	int i, end_used, end_balloon;

	if (v->now->managed)
		used -= balloon;
	else
		total += balloon;
	if (!known || !total) {
		fprintf(out, "[%-*s]\n", width, known ? "no memory" : "unknown");
		return;
	}
	end_used = used / total * width + 0.5;
	end_balloon = (used + balloon) / total * width + 0.5;
	putc('[', out);
	for (i = 0; i < width; i++)
		putc(i < end_used ? '#' : i < end_balloon ? '=' : '.', out);
	fputs("]\n", out);
}

/*
 * A line a node, the total first: as many of the fields as fit, and a bar if there is room. Returns
 * whether there is.
 */
static bool show_list(FILE *out, struct view *v)
{
	static const enum row fields[] = {
		BALLOON, TARGET, LIMIT, AVAILABLE, MEM_FREE, MEM_TOTAL, SUPERFRAMES,
	};
	unsigned int fit = (v->width - NAME) / FIELD, nr = v->now->nr, i, f;
	const struct node *node;
	char name[16];
	int bar;

	if (fit > sizeof(fields) / sizeof(*fields))
		fit = sizeof(fields) / sizeof(*fields);
	bar = (int)v->width - (int)(NAME + fit * FIELD) - 3;
	fprintf(out, "\n%-*s", NAME, "Node");
	for (f = 0; f < fit; f++)
		fprintf(out, "%*s", FIELD, fields[f] == SUPERFRAMES ? "2M" :
			fields[f] == AVAILABLE ? "Avail" : row_names[fields[f]]);
	putc('\n', out);
	for (i = 0; i <= nr; i++) {
		node = column(v->now, i ? i - 1 : nr);
		snprintf(name, sizeof(name), "%u", node->nid);
		fprintf(out, "%-*s", NAME, i ? name : "Total");
		for (f = 0; f < fit; f++)
			show_field(out, node, fields[f]);
		if (bar >= LEAST_BAR) {
			putc(' ', out);
			show_bar(out, v, node, bar);
		} else {
			putc('\n', out);
		}
	}
	/* What is above the first node. */
	v->head = 5;
	return bar >= LEAST_BAR;
}

static const char *why(const char *reason)
{
	static const char * const known[][2] = {
		{ "guest-memory", "the guest has nothing that it could give" },
		{ "pressure", "the guest misses what was taken" },
		{ "host-refused", "the host does not take, or give back, what it is asked to" },
		{ "limit", "nodes may not hold more" },
		{ "held", "it is kept from acting" },
	};
	unsigned int i;

	for (i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (!strcmp(known[i][0], reason))
			return known[i][1];
	return "for a reason that this program does not know";
}

/* A line. */
void show_state(FILE *out, const struct state *state)
{
	if (*state->reason)
		fprintf(out, "waiting for %" PRIu64 " s: %s, %s\n", state->seconds, state->reason,
			why(state->reason));
	else
		fprintf(out, "%s\n", *state->name ? state->name : "-");
}

void show_text(FILE *out, struct view *v)
{
	const struct sample *s = v->now;
	char title[32] = "Total";
	bool list = is_list(v), bars = v->width;
	unsigned int i;

	fprintf(out, "Policy %s, refill %s, retries ", *s->policy ? s->policy : "-",
		*s->refill ? s->refill : "-");
	if (s->retries == UNKNOWN)
		fputs("-; in MB:\n", out);
	else
		fprintf(out, "%" PRIu64 "; in MB:\n", s->retries);
	fputs("State: ", out);
	show_state(out, &s->state);
	v->head = 0;
	if (list)
		bars = show_list(out, v);
	else
		show_table(out, v, false);
	if (v->rates)
		show_table(out, v, true);
	for (i = 0; v->width && !list && i < (s->nr ? s->nr : 1); i++) {
		if (s->nr)
			snprintf(title, sizeof(title), "Node %u", s->node[i].nid);
		fprintf(out, i ? "%-10s" : "\n%-10s", title);
		show_bar(out, v, column(s, i), v->width > 24 ? v->width - 13 : 11);
	}
	if (bars)
		fputs("# used  = balloon  . free\n", out);
}

/* Whatever a file says, the result is JSON. */
static void json_string(FILE *out, const char *before, const char *text)
{
	fputs(before, out);
	if (!*text) {
		fputs("null", out);
		return;
	}
	putc('"', out);
	for (; *text; text++) {
		if (*text < ' ' || *text > '~' || *text == '"' || *text == '\\')
			fprintf(out, "\\u%04x", (unsigned char)*text);
		else
			putc(*text, out);
	}
	putc('"', out);
}

/* @none is what it is that says that there is none. */
static void json_number(FILE *out, const char *before, uint64_t value, const char *none)
{
	fputs(before, out);
	if (value == AUTO)
		fprintf(out, "\"%s\"", none);
	else if (value == UNKNOWN)
		fputs("null", out);
	else
		fprintf(out, "%" PRIu64, value);
}

static void json_node(FILE *out, const struct view *v, const struct node *node, bool total)
{
	const struct node *head = with_counters(v->now);
	const struct counter *c;
	double per_second;
	int row;

	for (row = 0; row < NR_ROWS; row++) {
		fprintf(out, "%s\"%s\"", row ? "," : "", row_names[row]);
		json_number(out, ":", node->value[row], row == LIMIT ? "max" : "auto");
	}
	if (!total) {
		json_number(out, ",\"available\":{\"superframes\":", node->part[FREE_SUPERFRAMES],
			    "");
		json_number(out, ",\"evacuation\":", node->part[BY_EVACUATION], "");
		json_number(out, ",\"pages\":", node->part[BASE_PAGES], "");
		fputs("},\"stat\":{", out);
		for (c = node->counter; c < node->counter + node->nr_counters; c++) {
			json_string(out, c == node->counter ? "" : ",", c->name);
			json_number(out, ":", c->value, "");
		}
		putc('}', out);
	}
	if (v->rates) {
		fputs(",\"rates\":{", out);
		for (c = head->counter; c < head->counter + head->nr_counters; c++) {
			json_string(out, c == head->counter ? "" : ",", c->name);
			per_second = rate(v, node, c->name);
			fprintf(out, isnan(per_second) ? ":null" : ":%.3f", per_second);
		}
		putc('}', out);
	}
	putc('}', out);
}

void show_json(FILE *out, const struct view *v)
{
	const struct sample *s = v->now;
	unsigned int i;

	fprintf(out, "{\"time\":%.3f", s->time);
	json_string(out, ",\"policy\":", s->policy);
	json_string(out, ",\"refill\":", s->refill);
	json_number(out, ",\"retries\":", s->retries, "");
	json_string(out, ",\"state\":", s->state.name);
	json_string(out, ",\"reason\":", s->state.reason);
	json_number(out, ",\"seconds\":", *s->state.reason ? s->state.seconds : UNKNOWN, "");
	fprintf(out, ",\"MemTotal_has_balloon\":%s,\"nodes\":[", s->managed ? "true" : "false");
	for (i = 0; i < s->nr; i++) {
		fprintf(out, "%s{\"node\":%u,", i ? "," : "", s->node[i].nid);
		json_node(out, v, &s->node[i], false);
	}
	fputs("],\"total\":{", out);
	json_node(out, v, &s->total, true);
	fputs("}\n", out);
}
