/* SPDX-License-Identifier: GPL-2.0 */
/* The machine: nodes, zones, a buddy allocator, what the guest and the host do with pages. */
#ifndef BALLOON_TEST_MACHINE_H
#define BALLOON_TEST_MACHINE_H

#include "kernel.h"
#include "../../../mm/balloon/internal.h"

#define SF			((unsigned long)SUPERFRAME_PAGES)
#define MACHINE_NODES		5
#define SECTION_BLOCKS		4UL
#define SECTION_PAGES		(SECTION_BLOCKS * SF)

/* What the model knows of a page frame. */
enum frame_use {
	FRAME_HOLE,		/* no memory, or offline */
	FRAME_FREE,		/* the allocator's, or the balloon's */
	FRAME_GUEST,		/* in use by the guest */
	FRAME_CACHE,		/* as well, but it can be reclaimed */
	FRAME_LENT,
	FRAME_ISOLATED,		/* a ballooned base page that compaction has in hand */
	FRAME_UNPOPULATED,	/* reserved since boot: the host never gave it */
	FRAME_POISONED,		/* kept out by the allocator */
};

struct frame {
	unsigned char use;
	bool host;		/* the host has it */
	bool notice;		/* its deflation has not been told yet */
	bool lost;		/* the host kept it for good */
	bool stuck_lent;	/* lent for good: its block is another zone's */
	unsigned char order;	/* of a guest's allocation, at its head */
	bool head;
};

extern struct frame *frame;
extern bool pcp_lists;
/* The guest has allocated, or memory has gone, since this was cleared. */
extern bool guest_took;
extern bool spare_exempt, spare_reclaimed;

void machine_build(u64 *rnd, bool large);
void machine_free(void);
void pageblock_set_type(unsigned long pfn, int mt);
struct page *guest_alloc(struct zone *zone, unsigned int order, unsigned int flags,
			 int mt, bool atomic, u64 *rnd);
void guest_free(unsigned long pfn);
void page_out(unsigned long pfn, bool online);
void free_frames(unsigned long pfn, unsigned long nr);
void machine_check(void);
void machine_watermarks(void);
long zone_raw_spare(struct zone *zone);
extern struct zonelist *zonelists[MAX_NUMNODES];
void machine_zonelists(void);
bool page_is_transient(struct page *page);
void transient_lock(struct page *page);
void transient_get(struct page *page);
void transient_end(void);
unsigned int transient_refs(struct page *page);
#endif
