// SPDX-License-Identifier: GPL-2.0
/*
 * What could be inflated on a node now: for who is about to set a target.
 *
 * It is what inflation would find, looked at and not taken: what zones can spare, with what
 * CPUs keep on lists of their own, as that is made plainly free before anything is
 * missing. Nothing is reclaimed for it.
 */
#include <linux/cpumask.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/percpu.h>

#include "internal.h"

/* Free pages that CPUs keep for themselves. */
static unsigned long kept_by_cpus(struct zone *zone)
{
	unsigned long pages = 0;
	int cpu;

	for_each_online_cpu(cpu) {
		/* As vmstat reads it: they come and go all the time. */
		pages += max(data_race(per_cpu_ptr(zone->per_cpu_pageset, cpu)->count), 0);
	}
	return pages;
}

/* Whole free superframes, but for those of CMA and of the reserve for atomic allocations. */
static unsigned long free_superframes(struct zone *zone)
{
	unsigned long free = 0, reserves;
	unsigned int order;

	for (order = SUPERFRAME_ORDER; order <= MAX_PAGE_ORDER; order++)
		free += READ_ONCE(zone->free_area[order].nr_free) << (order - SUPERFRAME_ORDER);
	reserves = (zone_page_state(zone, NR_FREE_CMA_PAGES) +
		    READ_ONCE(zone->nr_free_highatomic)) / SUPERFRAME_PAGES;
	return free - min(free, reserves);
}

static void add_zone(struct zone *zone, struct balloon_available *a, bool whole)
{
	unsigned long spare = balloon_zone_spare_with(zone, kept_by_cpus(zone));
	unsigned long superframes = 0, evacuation = 0;

	if (whole && spare >= SUPERFRAME_PAGES) {
		superframes = min(free_superframes(zone), spare / SUPERFRAME_PAGES);
		evacuation = spare / SUPERFRAME_PAGES - superframes;
		if (evacuation)
			evacuation = min(evacuation, balloon_evacuable(zone));
	}
	a->superframes += superframes;
	a->evacuation += evacuation;
	a->pages += spare - (superframes + evacuation) * SUPERFRAME_PAGES;
}

/* No more than the node's limit allows: what is in pieces is the last to be taken. */
static void cut_to(struct balloon_available *a, unsigned long room)
{
	unsigned long left = room / SUPERFRAME_PAGES, pages;

	pages = (a->superframes + a->evacuation) * SUPERFRAME_PAGES + a->pages;
	a->superframes = min(a->superframes, left);
	a->evacuation = min(a->evacuation, left - a->superframes);
	a->pages = min(pages, room) - (a->superframes + a->evacuation) * SUPERFRAME_PAGES;
}

/**
 * balloon_node_available - what could be inflated on a node now
 * @nid: an online node
 * @a: where to store it
 *
 * Others allocate and free meanwhile.
 *
 * Context: may sleep. With device_hotplug_lock held, so that what is looked at stays there:
 * mem_hotplug_lock is held by who removes a node's device and waits for readers of its files.
 */
void balloon_node_available(int nid, struct balloon_available *a)
{
	struct balloon *b;
	bool whole;
	int z;

	rcu_read_lock();
	b = balloon_current();
	whole = !b || b->max_order >= SUPERFRAME_ORDER;
	rcu_read_unlock();

	*a = (struct balloon_available){ };
	for (z = 0; z < MAX_NR_ZONES; z++) {
		struct zone *zone = &NODE_DATA(nid)->node_zones[z];

		if (populated_zone(zone))
			add_zone(zone, a, whole);
	}
	cut_to(a, balloon_node_room(nid));
}
