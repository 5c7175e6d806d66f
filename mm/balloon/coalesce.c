// SPDX-License-Identifier: GPL-2.0
/*
 * Blocks that fill up become superframes, and superframes are split.
 */
#include <linux/mm.h>
#include <linux/page_owner.h>
#include <linux/pagemap.h>

#include "../internal.h"
#include "internal.h"

#include <trace/events/balloon.h>

/**
 * balloon_coalesce - make a full block a superframe
 * @b: the balloon
 * @bz: the block's zone
 * @index: pfn >> SUPERFRAME_ORDER of the block
 *
 * Nothing happens where the block is not full, or where one of its pages is in
 * use by somebody who looks at it (compaction, isolation): balloon_coalesce_full()
 * tries again. Nor where the host refuses superframes: what was split to ask it for
 * pieces stays so until it takes superframes again.
 *
 * Context: process context, no page of the block locked by the caller.
 * Return: whether it is one now.
 */
bool balloon_coalesce(struct balloon *b, struct balloon_zone *bz, unsigned long index)
{
	struct page *head;
	unsigned long i;

	/* The host could not be asked for it back. */
	if (b->max_order < SUPERFRAME_ORDER || READ_ONCE(b->pieces))
		return false;
	head = balloon_block_claim(bz, index);
	if (!head)
		return false;
	for (i = 0; i < SUPERFRAME_PAGES; i++)
		balloon_page_disown(head + i);
	set_page_owner(head, SUPERFRAME_ORDER, OWNER_GFP);
	balloon_queue_coalesced(head);
	balloon_stat_add(page_to_nid(head), BALLOON_COALESCE, 1);
	trace_balloon_coalesce(page_to_nid(head), page_to_pfn(head));
	return true;
}

/* Full blocks of one zone that are coalesced per call. */
#define COALESCE_BATCH	32

/* One batch of a zone. Returns whether some, but maybe not all, came of it. */
static bool coalesce_zone(struct balloon *b, struct balloon_zone *bz)
{
	unsigned long index[COALESCE_BATCH];
	struct balloon_block *block;
	unsigned int n = 0, i, coalesced = 0;

	spin_lock_irq(&bz->lock);
	list_for_each_entry(block, &bz->buckets[BALLOON_FULL_BUCKET], list) {
		if (n == COALESCE_BATCH)
			break;
		index[n++] = block->index;
	}
	spin_unlock_irq(&bz->lock);

	for (i = 0; i < n; i++) {
		coalesced += balloon_coalesce(b, bz, index[i]);
		cond_resched();
	}
	return n == COALESCE_BATCH && coalesced;
}

/**
 * balloon_coalesce_full - make superframes of the blocks that filled up
 * @b: the balloon
 *
 * A block that is filled by migration can't be coalesced there, where the page
 * that arrived is still locked: the worker does it here. So it does with blocks
 * one of whose pages was looked at by others at the time. A batch of each zone.
 *
 * Context: may sleep.
 * Return: whether there are more that it is worth coming again for.
 */
bool balloon_coalesce_full(struct balloon *b)
{
	struct balloon_node *bn;
	bool more = false;
	int nid, z;

	for_each_balloon_node(bn, nid)
		for (z = 0; z < MAX_NR_ZONES; z++)
			more |= coalesce_zone(b, &bn->zones[z]);
	return more;
}

/**
 * balloon_break_superframe - make a superframe a block of base pages
 * @head: its first page, from balloon_dequeue_superframes()
 * @gfp: how to allocate what describes the block
 *
 * Its pages become movable one by one. Their number does not change.
 *
 * Context: as @gfp says; process context.
 * Return: false if there was no memory to describe the block: it is queued again.
 */
bool balloon_break_superframe(struct page *head, gfp_t gfp)
{
	int nid = page_to_nid(head);
	unsigned long i;

	if (balloon_block_reserve(head, gfp)) {
		balloon_requeue_superframe(head);
		return false;
	}

	reset_page_owner(head, SUPERFRAME_ORDER);
	for (i = 0; i < SUPERFRAME_PAGES; i++) {
		balloon_page_adopt(head + i);
		/* Movable first: offline and referenced, it would have offlining fail. */
		if (i)
			set_page_refcounted(head + i);
	}
	balloon_block_fill(head);
	balloon_stat_add(nid, BALLOON_SPLIT, 1);
	trace_balloon_split(nid, page_to_pfn(head));
	return true;
}

/**
 * balloon_split_superframe - make a superframe of a node a block of base pages
 * @nid: the node
 *
 * Context: may sleep and allocate.
 * Return: whether one was split; not where the node has none, or there is no
 * memory to describe the block.
 */
bool balloon_split_superframe(int nid)
{
	struct balloon_extent ext;

	return balloon_dequeue_superframes(nid, &ext, 1) &&
	       balloon_break_superframe(pfn_to_page(ext.pfn),
					GFP_KERNEL | __GFP_NORETRY | __GFP_NOWARN);
}

/**
 * balloon_queue_page - a base page that the host has taken enters the balloon
 * @b: the balloon
 * @page: the page, from balloon_take_pages()
 *
 * If it fills its block, that becomes a superframe.
 *
 * Context: may sleep.
 */
void balloon_queue_page(struct balloon *b, struct page *page)
{
	if (balloon_page_arrives(b, page))
		balloon_coalesce(b, balloon_page_bz(page), balloon_block_index(page));
}

/**
 * balloon_requeue_page - a base page that the host keeps goes back to its block
 * @b: the balloon
 * @page: the page, from balloon_dequeue_pages()
 *
 * If it fills its block, that becomes a superframe.
 *
 * Context: may sleep.
 */
void balloon_requeue_page(struct balloon *b, struct page *page)
{
	if (balloon_page_putback(page))
		balloon_coalesce(b, balloon_page_bz(page), balloon_block_index(page));
}
