// SPDX-License-Identifier: GPL-2.0
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../kselftest.h"
#include "balloon.h"

#define FOREVER		120.0

/* A node keeps this share of its memory beyond the high watermark. */
#define RESERVE		64

unsigned long page_size;
long superframe;

int nr_nodes;
int nodes[MAX_NODES];

/* Those that an earlier test has told of. */
static long violations;

static void __attribute__((constructor)) find_page_size(void)
{
	page_size = sysconf(_SC_PAGESIZE);
	superframe = 0x200000L / (long)page_size;
}

int superframe_order(void)
{
	return __builtin_ctzl(SUPERFRAME);
}

int read_text(const char *path, char *buf, size_t size)
{
	size_t len = 0;
	ssize_t n;
	int fd = open(path, O_RDONLY);

	buf[0] = '\0';
	if (fd < 0)
		return -errno;
	while (len < size - 1 && (n = read(fd, buf + len, size - 1 - len)) > 0)
		len += n;
	close(fd);
	buf[len] = '\0';
	return len;
}

long read_number(const char *path)
{
	char buf[64], *end;
	long value;

	if (read_text(path, buf, sizeof(buf)) <= 0)
		return -1;
	value = strtol(buf, &end, 10);
	return end != buf && *end == '\n' ? value : -1;
}

/* One write() of all of it; returns 0 or -errno. */
int write_bytes(const char *path, const char *data, size_t len)
{
	int fd = open(path, O_WRONLY), err = 0;
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = write(fd, data, len);
	if (n < 0)
		err = -errno;
	else if ((size_t)n != len)
		err = -EIO;
	close(fd);
	return err;
}

int write_text(const char *path, const char *text)
{
	return write_bytes(path, text, strlen(text));
}

int write_number(const char *path, long value)
{
	char buf[32];

	snprintf(buf, sizeof(buf), "%ld\n", value);
	return write_text(path, buf);
}

const char *node_path(int nid, const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "/sys/devices/system/node/node%d/balloon/%s", nid, name);
	return path;
}

long node_number(int nid, const char *name)
{
	return read_number(node_path(nid, name));
}

/* The number after "NAME " at the beginning of a line of a file. */
static long line_number(const char *path, const char *name)
{
	static char buf[64 * 1024];
	size_t len = strlen(name);
	char *line;

	if (read_text(path, buf, sizeof(buf)) <= 0)
		return -1;
	for (line = strtok(buf, "\n"); line; line = strtok(NULL, "\n"))
		if (!strncmp(line, name, len) && line[len] == ' ')
			return strtol(line + len, NULL, 10);
	return -1;
}

long node_stat(int nid, const char *name)
{
	return line_number(node_path(nid, "stat"), name);
}

int node_target(int nid, long pages)
{
	return write_number(node_path(nid, "target"), pages);
}

int node_target_auto(int nid)
{
	return write_text(node_path(nid, "target"), "auto\n");
}

long sum_of(const char *name)
{
	long sum = 0;
	int i;

	for (i = 0; i < nr_nodes; i++)
		sum += node_number(nodes[i], name);
	return sum;
}

long sum_pages(void)
{
	return sum_of("nr_pages");
}

long sum_stat(const char *name)
{
	long sum = 0;
	int i;

	for (i = 0; i < nr_nodes; i++)
		sum += node_stat(nodes[i], name);
	return sum;
}

static long min_long(long a, long b)
{
	return a < b ? a : b;
}

/* Free pages of at least a superframe's order in a zone, by /proc/buddyinfo. */
static long free_superframes(int nid, const char *zone)
{
	FILE *f = fopen("/proc/buddyinfo", "r");
	char line[512], name[32];
	long sum = 0;
	int n, at;

	while (f && fgets(line, sizeof(line), f)) {
		char *p = line;
		long nr;
		int order;

		if (sscanf(line, "Node %d, zone %31s%n", &n, name, &at) != 2 ||
		    n != nid || strcmp(name, zone))
			continue;
		for (p += at, order = 0; sscanf(p, "%ld%n", &nr, &n) == 1; p += n, order++)
			if (order >= superframe_order())
				sum += nr << (order - superframe_order());
		break;
	}
	if (f)
		fclose(f);
	return sum;
}

void node_memory(int nid, struct node_memory *m)
{
	FILE *f = fopen("/proc/zoneinfo", "r");
	long value, free = 0, min = 0, low = 0, high = 0, present = 0, reserve;
	char line[512], zone[32] = "";
	int n, ours = 0;

	memset(m, 0, sizeof(*m));
	while (f && fgets(line, sizeof(line), f)) {
		char *last;

		if (sscanf(line, "Node %d, zone %31s", &n, zone) == 2) {
			ours = n == nid;
			continue;
		}
		if (!ours)
			continue;
		if (sscanf(line, " pages free %ld", &value) == 1) {
			free = value;
			m->free += value;
		} else if (sscanf(line, " min %ld", &value) == 1) {
			min = value;
		} else if (sscanf(line, " low %ld", &value) == 1) {
			low = value;
		} else if (sscanf(line, " high %ld", &value) == 1) {
			high = value;
		} else if (sscanf(line, " present %ld", &value) == 1) {
			present = value;
			m->present += value;
		} else if (strstr(line, "protection: (")) {
			/* What is kept for those who can use no higher zone. */
			last = strrchr(line, ' ');
			reserve = strtol(last + 1, NULL, 10);
			value = free - min - reserve;
			m->usable += value > 0 ? value : 0;
			value = free - low - reserve;
			m->easy += value > 0 ? value : 0;
			value = free - high - reserve;
			m->above += value > 0 ? value : 0;
			value -= present / RESERVE;
			m->give += value > 0 ? value : 0;
			value = value / SUPERFRAME - 1;
			if (value > 0)
				m->spare += min_long(value, free_superframes(nid, zone));
		}
	}
	if (f)
		fclose(f);
}

void all_memory(struct node_memory *sum)
{
	struct node_memory m;
	int i;

	memset(sum, 0, sizeof(*sum));
	for (i = 0; i < nr_nodes; i++) {
		node_memory(nodes[i], &m);
		sum->free += m.free;
		sum->present += m.present;
		sum->usable += m.usable;
		sum->easy += m.easy;
		sum->above += m.above;
		sum->give += m.give;
		sum->spare += m.spare;
	}
}

void refresh_vmstat(void)
{
	/* What cpus have counted and not passed on yet. */
	write_text("/proc/sys/vm/stat_refresh", "1\n");
}

/*
 * Cpus keep freed pages for themselves and give them up later, while a test
 * measures. Let them keep next to none, or as many as they like again.
 */
void limit_cpu_lists(bool on)
{
	int i;

	write_number("/proc/sys/vm/percpu_pagelist_high_fraction", on ? 1000000 : 0);
	/* Each time they give up an eighth of what they may keep, and that may be 64 MiB. */
	for (i = 0; on && i < 40; i++)
		refresh_vmstat();
}

/* The kernel compacts memory of its own accord, on a slow machine before a test has looked. */
void proactive_compaction(bool on)
{
	static long usual = -1;

	if (usual < 0)
		usual = read_number("/proc/sys/vm/compaction_proactiveness");
	write_number("/proc/sys/vm/compaction_proactiveness", on ? usual : 0);
}

long read_vmstat(const char *name)
{
	return line_number("/proc/vmstat", name);
}

long reclaimed_pages(void)
{
	return read_vmstat("pgsteal_kswapd") + read_vmstat("pgsteal_direct") +
	       read_vmstat("pgsteal_khugepaged");
}

long balloon_events(void)
{
	static char text[1 << 16];
	const char *in, *out;

	/* Of one moment: what migrates is counted in both. */
	if (read_text("/proc/vmstat", text, sizeof(text)) <= 0)
		return -1;
	in = strstr(text, "\nballoon_inflate ");
	out = strstr(text, "\nballoon_deflate ");
	return in && out ? atol(strchr(in, ' ')) - atol(strchr(out, ' ')) : -1;
}

long vmstat_balloon(void)
{
	return read_vmstat("nr_balloon_pages");
}

long node_vmstat_balloon(int nid)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/devices/system/node/node%d/vmstat", nid);
	return line_number(path, "nr_balloon_pages");
}

long meminfo_kb(const char *name)
{
	char key[64];

	snprintf(key, sizeof(key), "%s:", name);
	return line_number("/proc/meminfo", key);
}

long node_meminfo_kb(int nid, const char *name)
{
	char path[64], key[64];

	snprintf(path, sizeof(path), "/sys/devices/system/node/node%d/meminfo", nid);
	snprintf(key, sizeof(key), "Node %d %s:", nid, name);
	return line_number(path, key);
}

/*
 * Walk /proc/kpageflags: pages that are offline, and blocks of 2M some of whose
 * pages, but not all, are.
 */
bool offline_pages(long *pages, long *partial_blocks)
{
	int fd = open("/proc/kpageflags", O_RDONLY);
	static uint64_t flags[MAX_SUPERFRAME];
	ssize_t n, i, nr;

	*pages = 0;
	*partial_blocks = 0;
	if (fd < 0)
		return false;
	while ((n = read(fd, flags, SUPERFRAME * sizeof(*flags))) > 0) {
		for (i = 0, nr = 0; i < n / 8; i++)
			nr += flags[i] >> KPF_OFFLINE & 1;
		*pages += nr;
		*partial_blocks += nr > 0 && nr < SUPERFRAME;
	}
	close(fd);
	return true;
}

static void find_nodes(void)
{
	struct node_memory m;
	int nid;

	nr_nodes = 0;
	for (nid = 0; nid < MAX_NODES; nid++) {
		if (access(node_path(nid, "nr_pages"), F_OK))
			continue;
		node_memory(nid, &m);
		if (m.present)
			nodes[nr_nodes++] = nid;
	}
}

const char *unusable(void)
{
	if (geteuid())
		return "needs root";
	if (access(ALL, F_OK))
		return "this kernel has no CONFIG_BALLOON_NUMA";
	if (access(SIM "enable", F_OK))
		return "this kernel has no simulated host, or debugfs is not mounted";
	find_nodes();
	if (!nr_nodes)
		return "this kernel has no NUMA";
	return NULL;
}

const char *no_evacuation(void)
{
	char text[4096], *line;

	if (read_text("/proc/pagetypeinfo", text, sizeof(text)) <= 0)
		return NULL;
	line = strstr(text, "Pages per block:");
	if (line && atol(strchr(line, ':') + 1) > SUPERFRAME)
		return "a pageblock is more than one superframe";
	return NULL;
}

int sim_set(const char *name, long value)
{
	char path[128];

	snprintf(path, sizeof(path), SIM "%s", name);
	return write_number(path, value);
}

long sim_get(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), SIM "%s", name);
	return read_number(path);
}

int sim_free(int nid, long pages)
{
	char line[64];

	if (pages < 0)
		snprintf(line, sizeof(line), "%d max\n", nid);
	else
		snprintf(line, sizeof(line), "%d %ld\n", nid, pages);
	return write_text(SIM "free", line);
}

/* A host that does what it is asked, at once; targets and limits as after boot. */
void sim_defaults(void)
{
	static const char * const knobs[] = {
		"hang", "refuse_inflate", "refuse_deflate", "refuse_order", "fail", "short", "lie",
		"delay_ms",
	};
	size_t k;
	int i;

	for (k = 0; k < ARRAY_SIZE(knobs); k++)
		sim_set(knobs[k], 0);
	for (i = 0; i < nr_nodes; i++) {
		sim_free(nodes[i], -1);
		node_target_auto(nodes[i]);
		write_text(node_path(nodes[i], "limit"), "max\n");
	}
	write_text(ALL "policy", "balance\n");
	write_text(ALL "superframe_targets", "0\n");
	write_text(ALL "refill", "credit\n");
	write_text(ALL "reclaim", "swap\n");
	/* The worker goes on. */
	write_number(HOLD, 0);
}

int sim_enable(void)
{
	violations = sim_get("violations");
	return sim_set("enable", 1);
}

int sim_disable(void)
{
	int err;

	sim_set("lend", 0);
	err = sim_set("enable", 0);
	sim_set("max_order", superframe_order());
	write_text(SIM "keep_managed", "0\n");
	write_text(SIM "exact_target", "0\n");
	write_text(SIM "nowait", "0\n");
	write_text(SIM "atomic", "0\n");
	return err;
}

double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void nap(void)
{
	usleep(20000);
}

/*
 * Limits are those of a machine that has nothing else to do. Elsewhere it takes longer, and
 * what never comes does not come then either.
 */
static double patience(double seconds)
{
	return seconds < 30 ? 8 * seconds : seconds + 210;
}

bool wait_pages(long pages, double seconds)
{
	double end = now() + patience(seconds);

	while (read_number(ALL "nr_pages") != pages) {
		if (now() > end)
			return false;
		nap();
	}
	return true;
}

/* Wait until the worker is at rest, and nothing has moved for a while. */
bool wait_settled(double seconds)
{
	double end = now() + patience(seconds), since = now();
	long pages = sum_pages(), calls = sim_get("calls");

	while (now() - since < 0.2) {
		long p = sum_pages(), c = sim_get("calls");

		if (p != pages || c != calls || read_number(BUSY))
			since = now();
		pages = p;
		calls = c;
		if (now() > end)
			return false;
		nap();
	}
	return true;
}

/* Tell the guest the host's target, and wait until it is met. */
bool set_target(long pages)
{
	return !sim_set("target", pages) && wait_pages(pages, FOREVER);
}

bool wait_state(const char *state, double seconds)
{
	double end = now() + patience(seconds);
	char text[64];

	while (read_text(ALL "state", text, sizeof(text)) <= 0 ||
	       strncmp(text, state, strlen(state))) {
		if (now() > end)
			return false;
		nap();
	}
	return true;
}

static const char *broken_now(void)
{
	static char why[4096];
	long pages = 0, foreign = 0, vm = 0;
	int i;

	refresh_vmstat();
	if (read_text(CHECK, why, sizeof(why)) < 0)
		return "no " CHECK;
	if (strcmp(why, "ok\n"))
		return why;
	if (sim_get("violations") != violations) {
		snprintf(why, sizeof(why), "the host saw %ld violations",
			 sim_get("violations") - violations);
		return why;
	}
	for (i = 0; i < nr_nodes; i++) {
		int nid = nodes[i];
		long nr = node_number(nid, "nr_pages"), f = node_number(nid, "nr_foreign");
		long sum = SUPERFRAME * node_number(nid, "nr_superframes") +
			   node_number(nid, "nr_partial") + f;

		if (nr != sum) {
			snprintf(why, sizeof(why), "node %d: nr_pages %ld, sum %ld", nid, nr, sum);
			return why;
		}
		if (node_vmstat_balloon(nid) != nr - f) {
			snprintf(why, sizeof(why), "node %d: nr_pages %ld, %ld lent, vmstat %ld",
				 nid, nr, f, node_vmstat_balloon(nid));
			return why;
		}
		vm += node_vmstat_balloon(nid);
		pages += nr;
		foreign += f;
	}
	if (pages != read_number(ALL "nr_pages")) {
		snprintf(why, sizeof(why), "nodes hold %ld pages, all together %ld", pages,
			 read_number(ALL "nr_pages"));
		return why;
	}
	if (vm != vmstat_balloon() || vm != pages - foreign) {
		snprintf(why, sizeof(why), "%ld pages, %ld lent, vmstat %ld", pages, foreign,
			 vmstat_balloon());
		return why;
	}
	if (pages != sim_get("held")) {
		snprintf(why, sizeof(why), "%ld pages, the host holds %ld", pages,
			 sim_get("held"));
		return why;
	}
	return "";
}

/*
 * While it moves, a page is in two places for a moment, or the host and the guest don't
 * say the same: it is to hold once it has come to rest.
 */
const char *broken(void)
{
	double end = now() + 60;
	const char *why;

	do {
		why = broken_now();
		if (!*why)
			break;
		usleep(50000);
	} while (now() < end);
	return why;
}
