/* SPDX-License-Identifier: GPL-2.0 */
#ifndef BALLOON_TEST_WORLD_H
#define BALLOON_TEST_WORLD_H

#include "machine.h"

enum op_type {
	OP_TARGET, OP_NODE_TARGET, OP_RUN, OP_SLEEP, OP_ALLOC, OP_FREE, OP_HOST, OP_ISOLATE,
	OP_MIGRATE, OP_LOOK, OP_POISON, OP_SETTINGS, OP_HOLD, OP_FAIL_ALLOC, OP_LEND,
	OP_RECLAIM_LENT, OP_OFFLINE, OP_ONLINE, OP_CONTIG, OP_PAGEBLOCK, OP_DEVICE, OP_READ,
	OP_QUIET, OP_LIMIT, NR_OPS
};

/* An operation: all that is random in it comes of @r. */
struct op {
	unsigned int type;
	u64 r;
};

struct host_mode {
	/* Bit 0: base pages, bit 1: superframes */
	unsigned int refuse_in, refuse_out;
	bool shorten, lie, error;
	/* Only so many more */
	bool count;
	unsigned int left;
	/* In ticks, at most */
	unsigned long late;
};

struct world {
	u64 rnd;
	struct balloon b;
	bool registered, hold, back, busy, large, unregisters;
	struct host_mode host;
	unsigned long calls, host_pages, lost, present, reclaimed, just_reclaimed;
	unsigned long migrated, offlined;
	unsigned long quiets, short_quiets;
	/* How often who waits for a change of state was told, and what it was then */
	unsigned long notified_state, notified_before;
	char state[64];
	unsigned long baseline[MACHINE_NODES][MAX_NR_ZONES];
	/* Since the operation began */
	unsigned long goal_max, total_before;
	/* Pages that the host did not give back during the operation. */
	unsigned long kept;
	unsigned long isolated[64];
	unsigned int nr_isolated;
	struct page *lent[64];
	unsigned int nr_lent;
	struct { unsigned long pfn, nr; } offline[8];
	unsigned long brake, boot_floor, evacuated, migrating;
	unsigned int alloc_fails, poisoned, nesting;
	int notified;
	bool nested, calm, notices;
	/* world_check()'s */
	unsigned long sum, node_sum, blocks;
};

extern struct world world;
#define world_xarray()	only_xarray
bool world_straddles(unsigned long pfn);
const char *op_name(unsigned int type);
unsigned int op_choose(u64 *state);
void world_begin(u64 seed, bool large);
void world_op(const struct op *op);
void world_check(void);
void world_end(void);
#endif
