// SPDX-License-Identifier: GPL-2.0
/*
 * Superframes: queues of whole 2M blocks.
 *
 * A superframe is not compound: all its pages are PageOffline, the head has one
 * reference and the tails have none, so that nobody else can get one. The head is
 * movable, in its queue and on its way to the host or back; it stands for all of them.
 */
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/vmstat.h>

#include "internal.h"
#include "superframe.h"

static void enqueue_superframe(struct balloon_zone *bz, struct page *head)
{
	list_add(&head->lru, &bz->superframes);
	set_page_private(head, BALLOON_SUPERFRAME_MARK);
}

static void dequeue_superframe(struct balloon_zone *bz, struct page *head)
{
	set_page_private(head, BALLOON_SUPERFRAME_AWAY);
	list_del(&head->lru);
	bz->superframes_away++;
}

/**
 * balloon_queue_superframe - a superframe that the host has taken enters the balloon
 * @b: the balloon
 * @head: its first page, from balloon_take_superframes()
 *
 * Context: any.
 */
void balloon_queue_superframe(struct balloon *b, struct page *head)
{
	struct balloon_zone *bz = balloon_page_bz(head);
	unsigned long flags;

	spin_lock_irqsave(&bz->lock, flags);
	enqueue_superframe(bz, head);
	bz->nr_superframes++;
	bz->owed++;
	balloon_account(b, bz, head, SUPERFRAME_PAGES);
	spin_unlock_irqrestore(&bz->lock, flags);
	count_vm_events(BALLOON_INFLATE, SUPERFRAME_PAGES);
}

/**
 * balloon_dequeue_zone_superframes - choose superframes to ask back from the host
 * @bz: their zone
 * @ext: where to store them
 * @nr: how many at most
 *
 * They stay in the balloon, on no list: each is to be passed to
 * balloon_free_superframe() or balloon_requeue_superframe().
 *
 * Context: any.
 * Return: how many there were.
 */
unsigned int balloon_dequeue_zone_superframes(struct balloon_zone *bz,
					      struct balloon_extent *ext, unsigned int nr)
{
	struct page *head, *next;
	unsigned long flags;
	unsigned int n = 0;

	spin_lock_irqsave(&bz->lock, flags);
	list_for_each_entry_safe(head, next, &bz->superframes, lru) {
		if (n == nr)
			break;
		dequeue_superframe(bz, head);
		ext[n++] = (struct balloon_extent){ page_to_pfn(head), SUPERFRAME_ORDER };
	}
	spin_unlock_irqrestore(&bz->lock, flags);
	return n;
}

/**
 * balloon_dequeue_superframes - choose superframes to ask back from the host
 * @nid: their node
 * @ext: where to store them
 * @nr: how many at most
 *
 * As balloon_dequeue_zone_superframes().
 *
 * Context: any.
 * Return: how many there were.
 */
unsigned int balloon_dequeue_superframes(int nid, struct balloon_extent *ext,
					 unsigned int nr)
{
	struct balloon_node *bn = READ_ONCE(balloon_nodes[nid]);
	unsigned int n = 0;
	int z;

	/* Low memory was taken last and is given back first. */
	for (z = 0; bn && z < MAX_NR_ZONES && n < nr; z++)
		n += balloon_dequeue_zone_superframes(&bn->zones[z], ext + n, nr - n);
	return n;
}

/**
 * balloon_requeue_superframe - a superframe that the host keeps goes back to its queue
 * @head: its first page, from balloon_dequeue_superframes()
 *
 * Context: any.
 */
void balloon_requeue_superframe(struct page *head)
{
	struct balloon_zone *bz = balloon_page_bz(head);
	unsigned long flags;

	spin_lock_irqsave(&bz->lock, flags);
	enqueue_superframe(bz, head);
	bz->superframes_away--;
	spin_unlock_irqrestore(&bz->lock, flags);
}

/**
 * balloon_queue_coalesced - as balloon_requeue_superframe(), for one made of pieces
 * @head: its first page
 *
 * It is the last to be asked back, so that the host can first be told that it is whole.
 *
 * Context: any.
 */
void balloon_queue_coalesced(struct page *head)
{
	struct balloon_zone *bz = balloon_page_bz(head);
	unsigned long flags;

	spin_lock_irqsave(&bz->lock, flags);
	enqueue_superframe(bz, head);
	list_move_tail(&head->lru, &bz->superframes);
	bz->superframes_away--;
	bz->coalesced++;
	spin_unlock_irqrestore(&bz->lock, flags);
}

/**
 * balloon_dequeue_coalesced - choose a superframe that was made of pieces
 * @bz: its zone
 * @ext: where to store it
 *
 * Or another, if somebody had that: which were is not written down. It is to be passed
 * to balloon_requeue_superframe().
 *
 * Context: any.
 * Return: how many there were: one or none.
 */
unsigned int balloon_dequeue_coalesced(struct balloon_zone *bz, struct balloon_extent *ext)
{
	struct page *head = NULL;
	unsigned long flags;

	spin_lock_irqsave(&bz->lock, flags);
	if (list_empty(&bz->superframes))
		bz->coalesced = 0;
	if (bz->coalesced) {
		bz->coalesced--;
		head = list_last_entry(&bz->superframes, struct page, lru);
		dequeue_superframe(bz, head);
		*ext = (struct balloon_extent){ page_to_pfn(head), SUPERFRAME_ORDER };
	}
	spin_unlock_irqrestore(&bz->lock, flags);
	return !!head;
}

/**
 * balloon_free_superframe - a superframe that the host gave back leaves the balloon
 * @b: the balloon
 * @head: its first page, from balloon_dequeue_superframes()
 *
 * Context: any.
 */
void balloon_free_superframe(struct balloon *b, struct page *head)
{
	struct balloon_zone *bz = balloon_page_bz(head);
	unsigned long flags;

	spin_lock_irqsave(&bz->lock, flags);
	bz->superframes_away--;
	bz->nr_superframes--;
	if (bz->owed)
		bz->owed--;
	balloon_account(b, bz, head, -(long)SUPERFRAME_PAGES);
	spin_unlock_irqrestore(&bz->lock, flags);
	count_vm_events(BALLOON_DEFLATE, SUPERFRAME_PAGES);
	balloon_put_superframe(head);
}

/**
 * balloon_dequeue_superframe - choose a certain superframe to ask back from the host
 * @head: the page that may be its first
 *
 * As balloon_dequeue_zone_superframes().
 *
 * Context: any.
 * Return: whether it is one, and was in its queue.
 */
bool balloon_dequeue_superframe(struct page *head)
{
	struct balloon_zone *bz;
	unsigned long flags;
	bool found;

	if (!balloon_superframe_is_queued(head))
		return false;
	bz = balloon_page_bz(head);
	spin_lock_irqsave(&bz->lock, flags);
	found = balloon_superframe_is_queued(head);
	if (found)
		dequeue_superframe(bz, head);
	spin_unlock_irqrestore(&bz->lock, flags);
	return found;
}

/**
 * balloon_not_owed - superframes that were not taken from the guest are in their queue
 * @page: the first page of one of them
 * @nr: how many, of the same zone
 *
 * The balloon made them itself, or the guest never had them: balloon_mend() need not
 * make others whole for them.
 *
 * Context: any.
 */
void balloon_not_owed(struct page *page, unsigned int nr)
{
	struct balloon_zone *bz = balloon_page_bz(page);
	unsigned long flags;

	spin_lock_irqsave(&bz->lock, flags);
	bz->owed -= min_t(unsigned long, bz->owed, nr);
	spin_unlock_irqrestore(&bz->lock, flags);
}
