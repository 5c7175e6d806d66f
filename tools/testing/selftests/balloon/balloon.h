/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the tests of the balloon share: its files, the simulated host's files,
 * and looks at memory that do not go through the balloon.
 */
#ifndef _SELFTESTS_BALLOON_H
#define _SELFTESTS_BALLOON_H

#include <stdbool.h>
#include <stddef.h>

#define PROC_VM		"/proc/sys/vm/"
#define ALL		"/sys/kernel/mm/balloon/"
#define SIM		"/sys/kernel/debug/balloon_sim/"
/* In /proc/kpageflags. */
#define KPF_BUDDY	10
#define KPF_OFFLINE	23

#define CHECK		"/sys/kernel/debug/balloon/check"
#define BUSY		"/sys/kernel/debug/balloon/busy"
#define HOLD		"/sys/kernel/debug/balloon/hold"

/*
 * The kernel's, not the compiler's: the same program may run on kernels with base pages of
 * 4K and of 64K. A superframe is 2M of them.
 */
extern unsigned long page_size;
extern long superframe;

#define PAGE		page_size
#define SUPERFRAME	superframe
#define MAX_SUPERFRAME	512
#define MAX_NODES	1024

int superframe_order(void);

/* As much memory as so many pages of 4K are, in base pages. */
static inline long scaled(long pages)
{
	return (pages * 4096 + (long)PAGE - 1) / (long)PAGE;
}

static inline long kib(long pages)
{
	return pages * (long)(PAGE / 1024);
}

/* Files. Numbers are -1 where the file can't be read or holds no number. */
int read_text(const char *path, char *buf, size_t size);
long read_number(const char *path);
int write_bytes(const char *path, const char *data, size_t len);
int write_text(const char *path, const char *text);
int write_number(const char *path, long value);

/* nodeN/balloon/NAME, and a line of nodeN/balloon/stat. */
const char *node_path(int nid, const char *name);
long node_number(int nid, const char *name);
long node_stat(int nid, const char *name);
int node_target(int nid, long pages);
int node_target_auto(int nid);

/* The nodes with memory, found once. */
extern int nr_nodes;
extern int nodes[MAX_NODES];

/* Sums over the nodes. */
long sum_pages(void);
long sum_of(const char *name);
long sum_stat(const char *name);

/* A node's memory as zoneinfo has it, in base pages. */
struct node_memory {
	long free;
	long present;
	/* What programs can have: what is above the min watermarks, and such reserves. */
	long usable;
	/* The same of the low ones: nobody goes below them while other nodes have more. */
	long easy;
	/* What is above the high watermarks and other zones' reserves. */
	long above;
	/* What of it the balloon may take: the node keeps a reserve of its own. */
	long give;
	/* Superframes that the balloon could still take without going below that. */
	long spare;
};

void node_memory(int nid, struct node_memory *m);
void all_memory(struct node_memory *sum);

/*
 * Other views of ballooned memory. Refresh vmstat before looking there, or at
 * meminfo; the walk over all pages takes seconds on an emulated machine.
 */
void refresh_vmstat(void);
void limit_cpu_lists(bool on);
void proactive_compaction(bool on);
long read_vmstat(const char *name);
long vmstat_balloon(void);
long node_vmstat_balloon(int nid);
/* All that left page cache and anonymous memory by reclaim. */
long reclaimed_pages(void);
/* What entered the balloon less what left it, by /proc/vmstat. */
long balloon_events(void);
long meminfo_kb(const char *name);
long node_meminfo_kb(int nid, const char *name);
bool offline_pages(long *pages, long *partial_blocks);

/* Why nothing can be tested here, or NULL. */
const char *unusable(void);

/*
 * Why no whole superframe is made of what is in use in part, or NULL: what the kernel has
 * to itself for a moment are pageblocks.
 */
const char *no_evacuation(void);

/* The simulated host. */
int sim_set(const char *name, long value);
long sim_get(const char *name);
int sim_free(int nid, long pages);	/* -1: any amount */
int sim_enable(void);
int sim_disable(void);
void sim_defaults(void);

/* Wait up to @seconds; return whether it came to be. */
double now(void);
bool wait_pages(long pages, double seconds);
bool wait_settled(double seconds);
bool set_target(long pages);
/* What the balloon says that it is at, up to a number of seconds. */
bool wait_state(const char *state, double seconds);

/* What must hold at any time the balloon rests; "" or what does not. */
const char *broken(void);

#endif /* _SELFTESTS_BALLOON_H */
