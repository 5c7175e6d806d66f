// SPDX-License-Identifier: GPL-2.0
/*
 * The concentric-circle search: give pages to the host, or take them back,
 * around an origin, ring by ring; and who they were inflated for.
 *
 * Everything here runs in the worker, or while the worker is stopped.
 */
#include <linux/sort.h>
#include <linux/topology.h>

#include "internal.h"

#include <trace/events/balloon.h>

/* The worker's own, too large for its stack with 1024 nodes. */
static struct balloon_share shares[MAX_NUMNODES];
static unsigned short ring_nid[MAX_NUMNODES];
static unsigned short ring_end[MAX_NUMNODES];

/*
 * Pages that were inflated on behalf of a node, reserved: where node targets
 * move and the total stands, these are for the worker to make up for, on other
 * nodes. If an allocation took them for credit, the node would be short again.
 */
static unsigned long surplus;

/**
 * balloon_keep_surplus - give up what is reserved for the worker
 * @pages: all but so many base pages
 *
 * Context: the worker.
 */
void balloon_keep_surplus(unsigned long pages)
{
	pages = min(pages, surplus);
	balloon_unreserve(surplus - pages);
	surplus = pages;
}

/* Base pages in multiples of @unit that the worker may take back. */
static unsigned long reserve(struct balloon *b, unsigned long want, unsigned long unit)
{
	unsigned long pages = round_down(min(want, surplus), unit);

	surplus -= pages;
	return pages + balloon_reserve_credit(balloon_goal(b), want - pages, unit);
}

/* What is looked for. */
struct search {
	struct balloon *b;
	int origin;
	/* Whose pages they are: a node with a target, or BALLOON_NO_ORIGIN. */
	int owner;
	int generation;
	unsigned long want;
	unsigned long done;
	/* The host took less than it was given: it will not on other nodes. */
	bool refused;
	nodemask_t exhausted;
};

static bool search_over(struct search *s)
{
	return s->done >= s->want || s->refused ||
	       balloon_stale(s->b, s->generation);
}

/**
 * balloon_held - base pages inflated on behalf of a node's target
 * @origin: the node
 *
 * Return: their number, on all nodes.
 */
unsigned long balloon_held(struct balloon_node *origin)
{
	unsigned long sum = 0;
	int nid;

	if (!origin->held)
		return 0;
	for (nid = 0; nid < nr_node_ids; nid++)
		sum += origin->held[nid];
	return sum;
}

static unsigned long claimed(int nid)
{
	unsigned long sum = 0, *held;
	int origin;

	/* Asked for every node, and most nodes never had a target. */
	for_each_node_mask(origin, balloon_origins) {
		held = READ_ONCE(balloon_nodes[origin]->held);
		if (held)
			sum += held[nid];
	}
	return sum;
}

/* Pages of a node that the worker may ask back. */
static unsigned long deflatable(int nid)
{
	unsigned long foreign, pages;

	pages = balloon_node_count(nid, NULL, NULL, &foreign);
	return pages - min(pages, foreign);
}

/**
 * balloon_unclaimed - base pages of a node that were inflated on no node's behalf
 * @nid: the node
 *
 * Return: their number, without lent ones.
 */
unsigned long balloon_unclaimed(int nid)
{
	unsigned long pages = deflatable(nid);

	return pages - min(pages, claimed(nid));
}

/**
 * balloon_settle_claims - forget claims on pages that are no longer there
 *
 * Migration across nodes moves pages that were counted for an origin, and a
 * node may have gone with its pages.
 */
void balloon_settle_claims(void)
{
	struct balloon_node *bn;
	int origin, nid;

	for (nid = 0; nid < nr_node_ids; nid++) {
		unsigned long sum = claimed(nid), pages = deflatable(nid), cut;

		if (sum <= pages)
			continue;
		sum -= pages;
		for (origin = 0; (bn = balloon_node_from(&origin)); origin++) {
			if (!bn->held)
				continue;
			cut = min(bn->held[nid], sum);
			bn->held[nid] -= cut;
			sum -= cut;
		}
	}
}

/**
 * balloon_move_claim - pages on one node were exchanged for pages on another
 * @from: where base pages left the balloon
 * @to: where as many came to it
 * @pages: how many
 *
 * What they were inflated for follows them, or the worker would undo it.
 *
 * Context: with balloon_host_lock held.
 */
void balloon_move_claim(int from, int to, unsigned long pages)
{
	unsigned long sum = claimed(from), left = deflatable(from), cut;
	struct balloon_node *bn;
	int origin;

	lockdep_assert_held(&balloon_host_lock);
	/* Those that left may have been nobody's. */
	pages = min(pages, sum - min(sum, left));
	for (origin = 0; pages && (bn = balloon_node_from(&origin)); origin++) {
		if (!bn->held)
			continue;
		cut = min(bn->held[from], pages);
		bn->held[from] -= cut;
		bn->held[to] += cut;
		pages -= cut;
	}
}

/* Copy the rings: they may be rebuilt while the host is being waited for. */
static unsigned int copy_rings(int origin)
{
	struct balloon_rings *r;
	unsigned int nr = 0, first, i;

	rcu_read_lock();
	r = rcu_dereference(balloon_nodes[origin]->rings);
	for (first = 0; r && first < r->nr; first = nr)
		for (i = first, nr = balloon_ring_end(r, first); i < nr; i++) {
			ring_nid[i] = r->node[i].nid;
			ring_end[i] = nr;
		}
	rcu_read_unlock();
	return nr;
}

/**
 * balloon_adopt - count pages that were inflated on no node's behalf for a target
 * @origin: the node with the target
 * @want: base pages at most
 *
 * So that setting a target moves no page that already lies where it asks for.
 */
void balloon_adopt(struct balloon_node *origin, unsigned long want)
{
	unsigned int nr = copy_rings(origin->nid), i;

	for (i = 0; i < nr && want; i++) {
		unsigned long pages = min(want, balloon_unclaimed(ring_nid[i]));

		origin->held[ring_nid[i]] += pages;
		want -= pages;
		/* Strictly in order: not beyond a node that could still give. */
		if (balloon_node_free(ring_nid[i]) > SUPERFRAME_PAGES)
			break;
	}
}

static void account(struct search *s, int nid, enum balloon_stat local, long pages)
{
	balloon_stat_add(nid, local + (nid != s->origin), abs(pages));
	if (s->owner != BALLOON_NO_ORIGIN)
		balloon_nodes[s->owner]->held[nid] += pages;
}

/**
 * balloon_cmp_pfn - the order of extents, for sort()
 * @a: an extent
 * @b: another
 *
 * Return: as comparisons do.
 */
int balloon_cmp_pfn(const void *a, const void *b)
{
	const struct balloon_extent *x = a, *y = b;

	return x->pfn < y->pfn ? -1 : x->pfn > y->pfn;
}

/* One batch of extents, taken off the guest's lists, to the host. */
static unsigned long give(struct search *s, int nid, unsigned int order,
			  struct balloon_extent *ext, unsigned int nr)
{
	unsigned int i, done;

	/* Neighbours side by side: a backend may make one range of them. */
	sort(ext, nr, sizeof(*ext), balloon_cmp_pfn, NULL);

	mutex_lock(&balloon_host_lock);
	done = balloon_host_inflate(s->b, ext, nr);
	if (s->owner != BALLOON_NO_ORIGIN) {
		balloon_reserve((unsigned long)done << order);
		surplus += (unsigned long)done << order;
	}
	for (i = 0; i < done; i++) {
		struct page *page = pfn_to_page(ext[i].pfn);

		if (order)
			balloon_queue_superframe(s->b, page);
		else
			balloon_queue_page(s->b, page);
	}
	account(s, nid, BALLOON_INFLATE_LOCAL, (long)done << order);
	balloon_host_update(s->b, true);
	mutex_unlock(&balloon_host_lock);

	for (i = done; i < nr; i++) {
		struct page *page = pfn_to_page(ext[i].pfn);

		if (order)
			balloon_put_superframe(page);
		else
			balloon_put_page(page);
	}
	s->refused |= done < nr;
	s->done += (unsigned long)done << order;
	trace_balloon_inflate(nid, s->origin, order, (unsigned long)nr << order,
			      (unsigned long)done << order);
	/* A host that answers at once never has it sleep. */
	cond_resched();
	return done;
}

/* One batch of up to @want extents back from the host. */
static unsigned long get_back(struct search *s, int nid, unsigned int order, unsigned int want)
{
	unsigned int reserved, nr = 0, done = 0;

	mutex_lock(&balloon_host_lock);
	reserved = reserve(s->b, (unsigned long)want << order, 1UL << order) >> order;
	if (reserved)
		nr = order ? balloon_dequeue_superframes(nid, s->b->ext, reserved) :
			     balloon_dequeue_pages(nid, s->b->ext, reserved);
	balloon_unreserve((unsigned long)(reserved - nr) << order);
	if (nr) {
		done = balloon_take_back(s->b, s->b->ext, nr);
		balloon_unreserve((unsigned long)(nr - done) << order);
		account(s, nid, BALLOON_DEFLATE_LOCAL, -((long)done << order));
		balloon_host_update(s->b, true);
		trace_balloon_deflate(nid, s->origin, order, (unsigned long)nr << order,
				      (unsigned long)done << order);
	}
	mutex_unlock(&balloon_host_lock);
	s->done += (unsigned long)done << order;
	cond_resched();
	return done;
}

typedef void (*node_fn)(struct search *s, int nid, unsigned long pages);
typedef unsigned long (*limit_fn)(struct search *s, int nid);

static unsigned long node_free_limit(struct search *s, int nid)
{
	return balloon_node_free(nid);
}

/* What may be asked back from a node on behalf of the owner. */
static unsigned long node_owned_limit(struct search *s, int nid)
{
	if (s->owner == BALLOON_NO_ORIGIN)
		return balloon_unclaimed(nid);
	return min(balloon_nodes[s->owner]->held[nid], deflatable(nid));
}

/* One ring: the policy's rule decides among its nodes until none can more. */
static void search_ring(struct search *s, unsigned int first, unsigned int end,
			bool inflate, node_fn fn, limit_fn limit)
{
	while (!search_over(s)) {
		unsigned long before = s->done, pages;
		unsigned int i, nr = 0;
		int pick;

		for (i = first; i < end; i++) {
			int nid = ring_nid[i];

			shares[nr++] = (struct balloon_share){
				.nid = nid,
				.free = balloon_node_free(nid),
				.present = NODE_DATA(nid)->node_present_pages,
				.limit = node_isset(nid, s->exhausted) ? 0 : limit(s, nid),
			};
		}
		pick = balloon_pick(shares, nr, inflate);
		if (pick < 0)
			return;
		pages = balloon_quota(shares, nr, pick, s->want - s->done, inflate);
		i = shares[pick].nid;
		fn(s, i, pages);
		if (s->done - before < pages)
			node_set(i, s->exhausted);
	}
}

static void search_rings(struct search *s, unsigned int nr, bool inflate,
			 bool outermost_first, node_fn fn, limit_fn limit)
{
	unsigned int first, end;

	nodes_clear(s->exhausted);
	if (!outermost_first) {
		for (first = 0; first < nr && !search_over(s); first = end) {
			end = ring_end[first];
			search_ring(s, first, end, inflate, fn, limit);
		}
		return;
	}
	for (end = nr; end && !search_over(s); end = first) {
		for (first = end - 1; first && ring_end[first - 1] == end; first--)
			;
		search_ring(s, first, end, inflate, fn, limit);
	}
}

/* No free superframe is left: make some, or fill up a block that is nearly one. */
static void inflate_evacuated(struct search *s, int nid, unsigned long pages)
{
	struct balloon_extent *ext = s->b->ext;
	unsigned int nr, nr_pages;
	unsigned long end = s->done + pages;

	while (s->done < end && !search_over(s) &&
	       balloon_evacuate(nid, end - s->done, ext, &nr, &nr_pages)) {
		if (nr)
			balloon_not_owed(pfn_to_page(ext[0].pfn),
					 give(s, nid, SUPERFRAME_ORDER, ext, nr));
		if (nr_pages)
			give(s, nid, 0, ext + nr, nr_pages);
	}
}

static void inflate_superframes(struct search *s, int nid, unsigned long pages)
{
	unsigned long nr = pages / SUPERFRAME_PAGES;
	unsigned int got;

	while (nr && !search_over(s)) {
		got = balloon_take_superframes(nid, s->b->ext,
					       min(nr, BALLOON_BATCH_SUPERFRAMES));
		if (!got) {
			inflate_evacuated(s, nid, nr * SUPERFRAME_PAGES);
			return;
		}
		nr -= give(s, nid, SUPERFRAME_ORDER, s->b->ext, got);
	}
}

static void inflate_pages(struct search *s, int nid, unsigned long pages, bool reclaim)
{
	unsigned int got;

	while (pages && !search_over(s)) {
		got = balloon_take_pages(nid, s->b->ext,
					 min(pages, BALLOON_BATCH_PAGES), reclaim);
		if (!got)
			return;
		pages -= give(s, nid, 0, s->b->ext, got);
	}
}

static void inflate_free_pages(struct search *s, int nid, unsigned long pages)
{
	inflate_pages(s, nid, pages, false);
}

static void inflate_reclaimed_pages(struct search *s, int nid, unsigned long pages)
{
	inflate_pages(s, nid, pages, true);
}

static unsigned long always(struct search *s, int nid)
{
	return node_isset(nid, node_states[N_MEMORY]) ? s->want - s->done : 0;
}

/* A node may be online, with a cpu and without memory, and nobody was told. */
static int local_node(void)
{
	int nid = numa_mem_id();

	return balloon_nodes[nid] ? nid : first_memory_node;
}

/**
 * balloon_next_origin - where a plain host target goes on, and how far
 * @inflate: direction
 * @want: base pages still to go
 * @quota: where to store how many of them are this origin's
 *
 * Return: the node.
 */
int balloon_next_origin(bool inflate, unsigned long want, unsigned long *quota)
{
	struct balloon_node *bn;
	unsigned long partial;
	unsigned int nr = 0;
	int nid, pick;

	*quota = want;
	/* What fits into the partial block goes there: one is enough. */
	if (inflate && want < SUPERFRAME_PAGES &&
	    want + balloon_total_partial() < SUPERFRAME_PAGES) {
		for (nid = 0; (bn = balloon_node_from(&nid)); nid++) {
			balloon_node_count(nid, NULL, &partial, NULL);
			if (partial)
				return nid;
		}
	}
	if (READ_ONCE(balloon_policy) == BALLOON_LOCAL)
		return local_node();

	for (nid = 0; (bn = balloon_node_from(&nid)); nid++) {
		unsigned long free = balloon_node_free(nid);

		shares[nr++] = (struct balloon_share){
			.nid = nid,
			.free = free,
			.present = NODE_DATA(nid)->node_present_pages,
			.limit = inflate ? free : balloon_unclaimed(nid),
		};
	}
	pick = balloon_pick(shares, nr, inflate);
	if (pick < 0)
		return local_node();
	*quota = balloon_quota(shares, nr, pick, want, inflate);
	/* Base pages leave first: without them, a superframe would be split to make up for them. */
	if (!inflate && *quota < want) {
		balloon_node_count(shares[pick].nid, NULL, &partial, NULL);
		*quota = min(*quota + partial % SUPERFRAME_PAGES, want);
	}
	return shares[pick].nid;
}

/* What a node that refilled gets before the policy's rule goes on. */
#define HUNGRY_PAGES	(16 * SUPERFRAME_PAGES)

/**
 * balloon_hungry_origin - the node that took pages back for an allocation
 * @b: the balloon
 * @want: base pages to deflate
 * @quota: where to store how many of them are this origin's
 *
 * It is first in line, once.
 *
 * Return: the node; NUMA_NO_NODE if there is none, or nothing to deflate there.
 */
int balloon_hungry_origin(struct balloon *b, unsigned long want, unsigned long *quota)
{
	int nid = xchg(&b->hungry, NUMA_NO_NODE);

	if (nid == NUMA_NO_NODE)
		return nid;
	*quota = min3(want, HUNGRY_PAGES, balloon_unclaimed(nid));
	return *quota ? nid : NUMA_NO_NODE;
}

/**
 * balloon_inflate_around - give pages to the host, as near to a node as can be
 * @b: the balloon
 * @origin: the node in the middle
 * @owner: the node whose target asks for them, or BALLOON_NO_ORIGIN
 * @want: base pages
 * @generation: of the plan; the search ends as soon as it is stale
 *
 * Whole superframes ring by ring, those that are free before those that have to
 * be evacuated first; what is short of the target after that, in
 * base pages in the same order; what is still short, by reclaim.
 *
 * Where less than a superframe is wanted and the balloon holds base pages
 * already, one superframe is taken all the same, and the caller gives the
 * surplus back out of those: no more than one block need be partial.
 *
 * Context: process context, may sleep, allocate and reclaim.
 * Return: base pages that the host has taken; may be more than @want.
 */
unsigned long balloon_inflate_around(struct balloon *b, int origin, int owner,
				     unsigned long want, int generation)
{
	unsigned int nr = copy_rings(origin);
	struct search s = {
		.b = b, .origin = origin, .owner = owner, .generation = generation,
	};

	if (b->max_order >= SUPERFRAME_ORDER) {
		unsigned long spare = 0;

		if (owner == BALLOON_NO_ORIGIN && want % SUPERFRAME_PAGES)
			spare = min(balloon_total_partial(), SUPERFRAME_PAGES - 1);
		s.want = round_down(want + spare, SUPERFRAME_PAGES);
		search_rings(&s, nr, true, false, inflate_superframes, node_free_limit);
	}

	s.want = want;
	search_rings(&s, nr, true, false, inflate_free_pages, node_free_limit);
	search_rings(&s, nr, true, false, inflate_reclaimed_pages, always);
	return s.done;
}

static void deflate_pages(struct search *s, int nid, unsigned long pages)
{
	unsigned int nr, got = 0;

	/* A host that has no memory left behind this node may have it elsewhere. */
	for (nr = 0; pages && got == nr && !search_over(s); pages -= got) {
		nr = min(pages, BALLOON_BATCH_PAGES);
		got = get_back(s, nid, 0, nr);
	}
}

/* Base pages first, then whole superframes. */
static void deflate_whole(struct search *s, int nid, unsigned long pages)
{
	unsigned long done = s->done, left;
	unsigned int nr, got = 0;

	deflate_pages(s, nid, pages);
	left = (pages - (s->done - done)) / SUPERFRAME_PAGES;
	for (nr = 0; left && got == nr && !search_over(s); left -= got) {
		nr = min(s->b->deflate_batch ?: BALLOON_BATCH_DEFLATE, BALLOON_BATCH_SUPERFRAMES);
		nr = min(left, nr);
		got = get_back(s, nid, SUPERFRAME_ORDER, nr);
	}
}

/* Less than a superframe is wanted, and there are no base pages. */
static void deflate_split(struct search *s, int nid, unsigned long pages)
{
	if (balloon_split_superframe(nid))
		deflate_pages(s, nid, pages);
}

/**
 * balloon_deflate_around - take pages back from the host
 * @b: the balloon
 * @origin: the node in the middle
 * @owner: the node for whose target they were inflated: its outermost ring
 *	gives back first; or BALLOON_NO_ORIGIN: the innermost ring comes first
 * @want: base pages
 * @generation: of the plan; the search ends as soon as it is stale
 *
 * Base pages, then whole superframes; one is split only for the last few.
 *
 * Context: process context, may sleep and allocate.
 * Return: base pages that the host gave back, at most @want.
 */
unsigned long balloon_deflate_around(struct balloon *b, int origin, int owner,
				     unsigned long want, int generation)
{
	unsigned int nr = copy_rings(origin);
	bool outermost_first = owner != BALLOON_NO_ORIGIN;
	struct search s = {
		.b = b, .origin = origin, .owner = owner, .generation = generation,
		.want = want,
	};

	search_rings(&s, nr, false, outermost_first, deflate_whole, node_owned_limit);
	search_rings(&s, nr, false, outermost_first, deflate_split, node_owned_limit);
	return s.done;
}
