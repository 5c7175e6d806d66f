// SPDX-License-Identifier: GPL-2.0
/*
 * Distance rings: the nodes with memory around every node, nearest first.
 */
#include <linux/node.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/topology.h>

#include "internal.h"

static int cmp_distance(const void *a, const void *b, const void *rings)
{
	const struct balloon_rings *r = rings;
	const typeof(r->node[0]) *x = a, *y = b;

	if (x->distance != y->distance)
		return x->distance < y->distance ? -1 : 1;
	return x->nid < y->nid ? -1 : x->nid > y->nid;
}

/**
 * balloon_rings_build - sort nodes by their distance from one of them
 * @nid: the node in the middle; ring 0 is this node whatever its distance to
 *	itself is said to be, and is left out if it is not in @nodes
 * @nodes: map of the nodes to sort
 * @nr: how many bits it has; may be more nodes than this kernel can have
 * @distance: distance from one node to another; need not be symmetric
 *
 * Context: may sleep.
 * Return: the rings, to be freed by kfree(), or NULL if there is no memory.
 */
struct balloon_rings *balloon_rings_build(int nid, const unsigned long *nodes, unsigned int nr,
					  int (*distance)(int from, int to))
{
	struct balloon_rings *r;
	unsigned int n;

	r = kzalloc(struct_size(r, node, bitmap_weight(nodes, nr)), GFP_KERNEL);
	if (!r)
		return NULL;

	r->nid = nid;
	for_each_set_bit(n, nodes, nr) {
		r->node[r->nr].nid = n;
		r->node[r->nr].distance = n == nid ? 0 : distance(nid, n);
		r->nr++;
	}
	sort_r(r->node, r->nr, sizeof(r->node[0]), cmp_distance, NULL, r);
	if (r->nr && r->node[0].nid == nid)
		r->node[0].distance = distance(nid, nid);
	return r;
}

/**
 * balloon_ring_end - where a ring ends
 * @rings: rings of a node
 * @first: index of a ring's first node, less than @rings->nr
 *
 * Return: index of the next ring's first node, @rings->nr after the last one.
 */
unsigned int balloon_ring_end(const struct balloon_rings *rings, unsigned int first)
{
	unsigned int end = first + 1;

	/* The node itself is alone, even where another is said to be as near. */
	if (rings->node[first].nid == rings->nid)
		return end;
	while (end < rings->nr &&
	       rings->node[end].distance == rings->node[first].distance)
		end++;
	return end;
}

/**
 * balloon_rings_print - rings as text, nearest first, a line each
 * @rings: rings of a node
 * @buf: where to
 * @size: room there; BALLOON_RINGS_TEXT for each node and one more is enough
 *
 * Return: length of the text.
 */
unsigned int balloon_rings_print(const struct balloon_rings *rings, char *buf, size_t size)
{
	unsigned int first, end, i, next, len = 0;

	for (first = 0; first < rings->nr; first = end) {
		end = balloon_ring_end(rings, first);
		len += scnprintf(buf + len, size - len, "%u:", rings->node[first].distance);
		for (i = first; i < end; i = next) {
			for (next = i + 1; next < end; next++)
				if (rings->node[next].nid != rings->node[next - 1].nid + 1)
					break;
			len += scnprintf(buf + len, size - len, "%c%u", i > first ? ',' : ' ',
					 rings->node[i].nid);
			if (next > i + 1)
				len += scnprintf(buf + len, size - len, "-%u",
						 rings->node[next - 1].nid);
		}
		len += scnprintf(buf + len, size - len, "\n");
	}
	return len;
}

static int distance_of(int from, int to)
{
	return node_distance(from, to);
}

/**
 * balloon_rings_update - rebuild every node's rings
 *
 * Called when memory has come to a node or has left one.
 *
 * Context: may sleep; callers are serialised by the caller.
 * Return: 0 or -ENOMEM, with the old rings left in place where that happened.
 */
int balloon_rings_update(void)
{
	struct balloon_rings *new, *old;
	struct balloon_node *bn;
	int nid;

	for (nid = 0; (bn = balloon_node_from(&nid)); nid++) {
		new = balloon_rings_build(nid, node_states[N_MEMORY].bits, nr_node_ids,
					  distance_of);
		if (!new)
			return -ENOMEM;
		old = rcu_replace_pointer(bn->rings, new, true);
		if (old)
			kfree_rcu(old, rcu);
	}
	return 0;
}
