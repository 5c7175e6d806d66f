/* SPDX-License-Identifier: GPL-2.0 */
#ifndef BALLOONSTAT_H
#define BALLOONSTAT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define BALLOON_DIR	"sys/kernel/mm/balloon"
#define NODES_DIR	"sys/devices/system/node"

#define UNKNOWN		UINT64_MAX		/* what could not be read */
#define AUTO		(UINT64_MAX - 1)	/* a node without a target, or without a limit */

#define MAX_COUNTERS	32

enum row {
	MEM_TOTAL, MEM_FREE, BALLOON, SUPERFRAMES, PARTIAL, FOREIGN, AVAILABLE, LIMIT, TARGET,
	NR_ROWS
};

/* What AVAILABLE is made of. */
enum part { FREE_SUPERFRAMES, BY_EVACUATION, BASE_PAGES, NR_PARTS };

struct counter {
	char name[32];
	uint64_t value;
};

struct node {
	unsigned int nid;
	uint64_t value[NR_ROWS];	/* bytes */
	uint64_t part[NR_PARTS];	/* of what is available; bytes */
	uint64_t present, managed;	/* bytes; 0 where the kernel doesn't say */
	unsigned int nr_counters;
	struct counter counter[MAX_COUNTERS];
};

/* What the balloon is at, or why it waits. */
struct state {
	char name[32];			/* empty: unknown */
	char reason[32];		/* empty: it does not wait */
	uint64_t seconds;		/* since when it waits */
};

/* All that is shown, as read at one time. */
struct sample {
	double time, since_boot;	/* seconds */
	unsigned int nr;		/* 0 where sysfs has no nodes */
	struct node *node;		/* ascending */
	struct node total;
	char policy[32], refill[32];	/* empty: unknown */
	uint64_t retries;
	struct state state;
	bool managed;			/* MemTotal includes the balloon (DEFLATE_ON_OOM) */
};

struct view {
	const struct sample *now;
	const struct sample *before;	/* NULL: there are no rates yet */
	bool rates;
	unsigned int width;		/* 0: as wide as it gets, and no bars */
	unsigned int head;		/* out: so many lines say what the others are */
};

/* A value that is checked first, and written when all of them were found right. */
struct setting {
	char option;			/* t, l, p or r */
	const char *arg;
	char path[64];
	char text[32];
};

/* balloonstat_read.c */
extern uint64_t page_size;
extern bool trouble;			/* something could not be read, and stderr was told */

void open_root(const char *dir);
const char *full_path(const char *path);
int open_under_root(const char *path, int flags);
bool read_text(const char *path, char *buf, size_t size);
bool parse_number(const char *text, const char **end, uint64_t *value);
void read_state(struct state *state, bool tell);
void take_sample(struct sample *s, bool tell);

/* balloonstat_show.c */
const struct counter *find_counter(const struct node *node, const char *name);
void show_state(FILE *out, const struct state *state);
void show_text(FILE *out, struct view *v);
void show_json(FILE *out, const struct view *v);

/* balloonstat_prometheus.c */
void show_prometheus(FILE *out, const struct sample *s);
void replace_file(const char *path, const char *text, size_t len);

/* balloonstat_wait.c */
int wait_until_met(double seconds);

/* balloonstat_term.c */
enum event { TIME_IS_UP, LOOK_AGAIN, REDRAW, QUIT };
void term_begin(bool in_place);
enum event term_wait(double until);
void term_draw(const char *text, unsigned int head, unsigned int lines, unsigned int width);
void term_end(void);
double seconds_since_boot(void);

/* balloonstat_set.c */
void check_setting(struct setting *set, const struct sample *s);
void write_settings(const struct setting *settings, int nr);

#endif /* BALLOONSTAT_H */
