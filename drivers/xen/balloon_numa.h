/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _DRIVERS_XEN_BALLOON_NUMA_H
#define _DRIVERS_XEN_BALLOON_NUMA_H

#include <linux/types.h>

#ifdef CONFIG_XEN_BALLOON
int xen_numa_balloon_init(void);
bool xen_numa_balloon_active(void);
void xen_numa_balloon_set_target(unsigned long pages);
int xen_numa_balloon_vnode(int nid);
/* balloon_nodes.c */
void xen_numa_balloon_publish(void);
void xen_numa_balloon_watch(void);
#else
static inline int xen_numa_balloon_init(void)
{
	return 0;
}

static inline bool xen_numa_balloon_active(void)
{
	return false;
}

static inline void xen_numa_balloon_set_target(unsigned long pages) { }
#endif

/* balloon.c */
void xen_balloon_core_holds(unsigned long pages);
unsigned long xen_balloon_core_pages(void);

#endif /* _DRIVERS_XEN_BALLOON_NUMA_H */
