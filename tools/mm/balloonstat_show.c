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

static const char * const row_names[NR_ROWS] = {
	[MEM_TOTAL]	= "MemTotal",
	[MEM_FREE]	= "MemFree",
	[BALLOON]	= "Balloon",
	[SUPERFRAMES]	= "Superframes",
	[PARTIAL]	= "Partial",
	[FOREIGN]	= "Foreign",
	[TARGET]	= "Target",
};

/* The nodes in their order, then the total. */
static const struct node *column(const struct sample *s, unsigned int i)
{
	return i < s->nr ? &s->node[i] : &s->total;
}

static const struct counter *find_counter(const struct node *node, const char *name)
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
		fprintf(out, "%*s", COLUMN, "auto");
	else
		fprintf(out, "%*.2f", COLUMN, value / 1048576.0);
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

void show_text(FILE *out, const struct view *v)
{
	const struct sample *s = v->now;
	char title[32] = "Total";
	unsigned int i;

	fprintf(out, "Policy %s, refill %s, retries ", *s->policy ? s->policy : "-",
		*s->refill ? s->refill : "-");
	if (s->retries == UNKNOWN)
		fputs("-; in MB:\n", out);
	else
		fprintf(out, "%" PRIu64 "; in MB:\n", s->retries);
	show_table(out, v, false);
	if (v->rates)
		show_table(out, v, true);
	for (i = 0; v->width && i < (s->nr ? s->nr : 1); i++) {
		if (s->nr)
			snprintf(title, sizeof(title), "Node %u", s->node[i].nid);
		fprintf(out, i ? "%-10s" : "\n%-10s", title);
		show_bar(out, v, column(s, i), v->width > 24 ? v->width - 13 : 11);
	}
	if (v->width)
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

static void json_number(FILE *out, const char *before, uint64_t value)
{
	fputs(before, out);
	if (value == AUTO)
		fputs("\"auto\"", out);
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
		json_number(out, ":", node->value[row]);
	}
	if (!total) {
		fputs(",\"stat\":{", out);
		for (c = node->counter; c < node->counter + node->nr_counters; c++) {
			json_string(out, c == node->counter ? "" : ",", c->name);
			json_number(out, ":", c->value);
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
	json_number(out, ",\"retries\":", s->retries);
	fprintf(out, ",\"MemTotal_has_balloon\":%s,\"nodes\":[", s->managed ? "true" : "false");
	for (i = 0; i < s->nr; i++) {
		fprintf(out, "%s{\"node\":%u,", i ? "," : "", s->node[i].nid);
		json_node(out, v, &s->node[i], false);
	}
	fputs("],\"total\":{", out);
	json_node(out, v, &s->total, true);
	fputs("}\n", out);
}
