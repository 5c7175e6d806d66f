/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _DRIVERS_XEN_BALLOON_NUMA_H
#define _DRIVERS_XEN_BALLOON_NUMA_H

#include <linux/balloon_numa.h>
#include <linux/pm.h>
#include <linux/types.h>

#include <xen/interface/xen.h>

int xen_numa_balloon_init(void);
void xen_numa_balloon_set_target(unsigned long pages);
unsigned long xen_numa_balloon_add(unsigned long pfn, unsigned long nr);
int xen_numa_balloon_lend(struct page **pages, unsigned int nr);
void xen_numa_balloon_reclaim_lent(struct page **pages, unsigned int nr);
int xen_numa_balloon_vnode(int nid);
void xen_numa_balloon_booted(void);

extern const struct dev_pm_ops xen_numa_balloon_pm;

/* balloon_nodes.c */
#ifdef CONFIG_XEN_BALLOON
void xen_numa_balloon_publish(void);
void xen_numa_balloon_watch(void);
#else
static inline void xen_numa_balloon_publish(void) { }
#endif

/* balloon_pv.c */
#ifdef CONFIG_XEN_PV
bool xen_pv_balloon_contiguous(const struct balloon_extent *ext);
void xen_pv_balloon_unmap(const struct balloon_extent *ext, unsigned int nr);
unsigned int xen_pv_balloon_prepare(const struct balloon_extent *ext, unsigned int nr);
bool xen_pv_balloon_map(const struct balloon_extent *ext, unsigned int nr,
			const xen_pfn_t *mfn, unsigned int order);
#else
static inline bool xen_pv_balloon_contiguous(const struct balloon_extent *ext)
{
	return true;
}

static inline void xen_pv_balloon_unmap(const struct balloon_extent *ext, unsigned int nr) { }

static inline unsigned int xen_pv_balloon_prepare(const struct balloon_extent *ext,
						  unsigned int nr)
{
	return nr;
}

static inline bool xen_pv_balloon_map(const struct balloon_extent *ext, unsigned int nr,
				      const xen_pfn_t *mfn, unsigned int order)
{
	return true;
}
#endif

/* balloon.c */
void xen_balloon_core_holds(unsigned long pages);

#endif /* _DRIVERS_XEN_BALLOON_NUMA_H */
