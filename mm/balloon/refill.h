/* SPDX-License-Identifier: GPL-2.0 */
/*
 * NUMA-aware memory ballooning: what the page allocator sees of it. Before it
 * leaves a zone for want of free memory, the balloon may give some back there.
 */
#ifndef _MM_BALLOON_REFILL_H
#define _MM_BALLOON_REFILL_H

#include <linux/gfp_types.h>
#include <linux/jump_label.h>

struct alloc_context;
struct zone;

DECLARE_STATIC_KEY_FALSE(balloon_refill_key);
bool __balloon_refill(struct zone *zone, unsigned int order, gfp_t gfp_mask,
		      unsigned int alloc_flags, const struct alloc_context *ac);
bool __balloon_may_refill(struct zone *zone, unsigned int order, gfp_t gfp_mask,
			  unsigned int alloc_flags, const struct alloc_context *ac);
bool __balloon_refill_oom(gfp_t gfp_mask, unsigned int order,
			  const struct alloc_context *ac);

#ifdef CONFIG_BALLOON_NUMA
/* A zone's watermark failed. Returns whether the zone can be used now. */
static inline bool balloon_refill(struct zone *zone, unsigned int order, gfp_t gfp_mask,
				  unsigned int alloc_flags, const struct alloc_context *ac)
{
	return static_branch_unlikely(&balloon_refill_key) &&
	       __balloon_refill(zone, order, gfp_mask, alloc_flags, ac);
}

/*
 * kswapd works for a zone's node, which is left to it as long as there are others. Returns
 * whether the zone is to be looked at nevertheless: it could be refilled.
 */
static inline bool balloon_may_refill(struct zone *zone, unsigned int order, gfp_t gfp_mask,
				      unsigned int alloc_flags, const struct alloc_context *ac)
{
	return static_branch_unlikely(&balloon_refill_key) &&
	       __balloon_may_refill(zone, order, gfp_mask, alloc_flags, ac);
}

/* Somebody is about to be killed. Returns whether to try again instead. */
static inline bool balloon_refill_oom(gfp_t gfp_mask, unsigned int order,
				      const struct alloc_context *ac)
{
	return static_branch_unlikely(&balloon_refill_key) &&
	       __balloon_refill_oom(gfp_mask, order, ac);
}
#else
static inline bool balloon_refill(struct zone *zone, unsigned int order, gfp_t gfp_mask,
				  unsigned int alloc_flags, const struct alloc_context *ac)
{
	return false;
}

static inline bool balloon_may_refill(struct zone *zone, unsigned int order, gfp_t gfp_mask,
				      unsigned int alloc_flags, const struct alloc_context *ac)
{
	return false;
}

static inline bool balloon_refill_oom(gfp_t gfp_mask, unsigned int order,
				      const struct alloc_context *ac)
{
	return false;
}
#endif /* CONFIG_BALLOON_NUMA */

#endif /* _MM_BALLOON_REFILL_H */
