// SPDX-License-Identifier: GPL-2.0
/*
 * The plan, the policy and the rings against what they are meant to be: small cases
 * exhaustively, larger ones at random, and how long the largest machine takes.
 *
 * The models here are written from what the headers promise, page by page and without a
 * thought of speed. With -DPAGE_SHIFT=20 a superframe has two base pages.
 */
#include <math.h>
#include <time.h>
#include <unistd.h>

#include "kernel.h"
#include "../../../mm/balloon/internal.h"

#define SF		((unsigned long)SUPERFRAME_PAGES)
#define MAX_NODES	1024

/* machine.c's part, of which nothing is needed */
struct balloon_node *balloon_nodes[MAX_NUMNODES];
unsigned int nr_node_ids = MAX_NODES;
nodemask_t node_states[NR_NODE_STATES];
void zone_lock_taken(spinlock_t *lock) { (void)lock; }
void zone_lock_released(spinlock_t *lock) { (void)lock; }

static unsigned short dist[MAX_NODES][MAX_NODES];
static struct balloon_rings *rings[MAX_NODES];
static unsigned long cases, plans, repeated, creeping;
static const char *doing = "";

int node_distance(int from, int to)
{
	return dist[from][to];
}

/* A snapshot, as it was: the plan uses up what is in it. */
struct snapshot {
	unsigned long goal;
	enum balloon_policy policy;
	int origin, hungry;
	unsigned int nr;
	struct balloon_plan_node node[8];
};

static const struct snapshot *at;
static const struct balloon_plan *result;

/* All that is free could be had. */
static void set_room(struct balloon_plan_node *node, unsigned long pages)
{
	node->free = pages;
	node->grow = pages;
	node->move = pages;
	node->shift = pages;
}

static void print_case(void)
{
	unsigned int i, j;

	if (!at)
		return;
	fprintf(stderr, "%s: goal %lu, policy %d, origin %d, hungry %d, %lu pages a superframe\n",
		doing, at->goal, at->policy, at->origin, at->hungry, SF);
	for (i = 0; i < at->nr; i++) {
		const struct balloon_plan_node *n = &at->node[i];

		fprintf(stderr,
			"  node %u: target %ld limit %ld held %lu partial %lu least %lu grow %lu move %lu free %lu present %lu rings",
			i, (long)n->target, (long)n->limit, n->held, n->partial, n->least,
			n->grow, n->move, n->free, n->present);
		for (j = 0; n->rings && j < n->rings->nr; j++)
			fprintf(stderr, " %d:%d", n->rings->node[j].distance,
				n->rings->node[j].nid);
		if (result)
			fprintf(stderr, " -> want %lu claimed %lu remote %lu of %d",
				result->node[i].want, result->node[i].claimed,
				result->node[i].remote, result->node[i].origin);
		fprintf(stderr, "\n");
	}
	if (result)
		fprintf(stderr, "  missing %lu extra %lu\n", result->missing, result->extra);
}

#define CHECK(c, fmt, args...)	do { if (!(c)) fail("%s: " fmt, #c, ##args); } while (0)

static void set_rings(unsigned int nr)
{
	DECLARE_BITMAP(nodes, MAX_NODES);
	unsigned int i;

	bitmap_zero(nodes, MAX_NODES);
	bitmap_set(nodes, 0, nr);
	for (i = 0; i < nr; i++) {
		kfree(rings[i]);
		rings[i] = balloon_rings_build(i, nodes, nr, node_distance);
	}
}

/* Targets that are more than the total, in proportion: together it to the page. */
static void scaled(const struct snapshot *s, unsigned long *t)
{
	unsigned __int128 sum = 0, asked = 0;
	unsigned long given = 0, limit;
	unsigned int i;

	for (i = 0; i < s->nr; i++) {
		t[i] = s->node[i].target == BALLOON_TARGET_AUTO || !s->node[i].rings ? 0 :
		       s->node[i].target;
		sum += t[i];
	}
	if (sum <= s->goal)
		return;
	for (i = 0; i < s->nr; i++) {
		asked += t[i];
		limit = asked == sum ? s->goal : (unsigned long)(asked * s->goal / sum) / SF * SF;
		t[i] = limit - given;
		given = limit;
	}
}

/*
 * A node above its limit is planned for as if what has to leave had left, and nowhere is
 * more room than the limit has.
 */
static void within_limits(const struct snapshot *s, struct snapshot *to)
{
	unsigned int i;

	*to = *s;
	for (i = 0; i < s->nr; i++) {
		struct balloon_plan_node *n = &to->node[i];
		unsigned long most = max(n->limit, min(n->least, n->held));

		if (n->held > most) {
			n->free += n->held - most;
			n->held = most;
		}
		n->partial = min(n->partial, n->held);
		n->grow = n->limit < n->held ? 0 : min(n->grow, n->limit - n->held);
		n->move = min(n->move, n->grow);
		n->shift = min(n->shift, n->grow);
	}
}

/*
 * The rule, page by page: what is held stays; then growth as far as the balloon is to
 * grow; then in place of others. Nodes of a ring are one here: only sums are compared.
 */
struct model {
	unsigned long unclaimed[8], grow[8], move[8];
	unsigned long growth;
};

static void model_begin(struct model *m, const struct snapshot *s)
{
	unsigned long held = 0;
	unsigned int i;

	for (i = 0; i < s->nr; i++) {
		const struct balloon_plan_node *n = &s->node[i];

		m->unclaimed[i] = n->held;
		m->grow[i] = n->rings ? n->grow : 0;
		m->move[i] = min(n->rings ? n->move : 0, m->grow[i]);
		held += n->held;
	}
	m->growth = s->goal > held ? s->goal - held : 0;
}

/* What a ring gives for a target. */
static unsigned long model_ring(struct model *m, const struct balloon_rings *r,
				unsigned int first, unsigned int end, unsigned long want)
{
	unsigned long got = 0, g, have = 0;
	unsigned int i;

	for (i = first; i < end; i++)
		have += m->unclaimed[r->node[i].nid];
	got += min(want, have);
	have = 0;
	for (i = first; i < end; i++)
		have += m->grow[r->node[i].nid];
	g = min3(want - got, m->growth, have);
	m->growth -= g;
	got += g;
	/* What grows takes free memory first. Only exact where the ring has one node. */
	for (have = 0, i = first; i < end; i++)
		have += end - first == 1 ?
				m->move[r->node[i].nid] - min(g, m->move[r->node[i].nid]) :
				m->move[r->node[i].nid];
	got += min(want - got, have);
	if (end - first == 1) {
		int nid = r->node[first].nid;
		unsigned long u = min(want, m->unclaimed[nid]), moved = got - u - g;

		m->unclaimed[nid] -= u;
		m->move[nid] -= min(m->move[nid], g + moved);
		m->grow[nid] -= min(m->grow[nid], g + moved);
	}
	return got;
}

static void check_targets(const struct snapshot *s, const struct balloon_plan *p)
{
	unsigned long t[8], own[8], claimed, sum_t = 0, sum_c = 0;
	unsigned int i, with = 0, one = 0, first, end, j;
	unsigned long stuck = 0;
	struct model m;

	scaled(s, t);
	model_begin(&m, s);
	/* What moves has to leave somewhere: that is another's model. */
	for (i = 0; i < s->nr; i++)
		stuck |= s->node[i].least;
	for (i = 0; i < s->nr; i++) {
		sum_t += t[i];
		sum_c += p->node[i].claimed;
		if (t[i]) {
			with++;
			one = i;
		}
	}
	CHECK(sum_c <= sum_t, "more is claimed than targets want");
	CHECK(sum_t <= s->goal, "targets exceed the goal");
	if (stuck)
		return;

	/* Each on its own node first. */
	for (i = 0; i < s->nr; i++) {
		own[i] = 0;
		if (t[i])
			own[i] = model_ring(&m, s->node[i].rings, 0, 1, t[i]);
		if (s->policy == BALLOON_BALANCE)
			CHECK(p->node[i].claimed - p->node[i].remote == own[i],
			      "node %u has %lu of its own target, not %lu", i,
			      p->node[i].claimed - p->node[i].remote, own[i]);
		else
			CHECK(p->node[i].claimed >= own[i], "node %u", i);
	}
	if (with != 1) {
		/* Whatever is missing is nowhere to be had. */
		for (i = 0, claimed = 0; i < s->nr; i++)
			claimed += s->node[i].held +
				   (s->node[i].rings ? min(s->node[i].move, s->node[i].grow) : 0);
		CHECK(sum_c >= min(sum_t, claimed), "claims are missed");
		return;
	}
	/* One target: the rest ring by ring, nearest first. */
	const struct balloon_rings *r = s->node[one].rings;
	unsigned long left = t[one] - own[one];

	for (first = 1; first < r->nr; first = end) {
		unsigned long got = 0, expect;

		end = balloon_ring_end(r, first);
		for (j = first; j < end; j++)
			got += p->node[r->node[j].nid].claimed;
		expect = model_ring(&m, r, first, end, left);
		if (end - first == 1)
			CHECK(got == expect, "ring from %u on gives %lu, not %lu", first, got,
			      expect);
		else
			CHECK(got <= expect, "ring from %u on gives %lu of %lu", first, got,
			      expect);
		left -= min(left, got);
		if (end - first > 1)
			break;
	}
}

static void apply_and_repeat(const struct snapshot *s, const struct balloon_plan *done,
			     struct balloon_plan *again)
{
	unsigned int i;

	again->goal = s->goal;
	again->policy = s->policy;
	again->origin = s->origin;
	again->hungry = NUMA_NO_NODE;
	again->nr = s->nr;
	for (i = 0; i < s->nr; i++) {
		struct balloon_plan_node *n = &again->node[i];
		unsigned long was = s->node[i].held, now = done->node[i].want;

		*n = s->node[i];
		n->held = now;
		n->partial = now % SF;
		if (now > was) {
			n->grow -= min(n->grow, now - was);
			n->move -= min(n->move, now - was);
			n->shift -= min(n->shift, now - was);
			n->free -= min(n->free, now - was);
		} else {
			n->grow += was - now;
			n->move += was - now;
			n->shift += was - now;
			n->free += was - now;
		}
	}
}

static struct balloon_plan plan1, plan2;

static void run_plan(const struct snapshot *s)
{
	unsigned int i;

	plan1.goal = s->goal;
	plan1.policy = s->policy;
	plan1.origin = s->origin;
	plan1.hungry = s->hungry;
	plan1.nr = s->nr;
	for (i = 0; i < s->nr; i++)
		plan1.node[i] = s->node[i];
	balloon_plan(&plan1);
	plans++;
}

static void check_plan(const struct snapshot *snapshot)
{
	static struct snapshot within;
	const struct snapshot *s = &within;
	unsigned long held = 0, want = 0, grow = 0, least = 0, place, partials = 0;
	static struct snapshot again;
	unsigned int round, targets, targeted = 0;
	bool all_auto = true, roomy = true, whole = true, even = true;
	struct balloon_plan *p = &plan1;
	unsigned int i;

	at = snapshot;
	result = NULL;
	within_limits(snapshot, &within);
	run_plan(snapshot);
	result = p;
	cases++;
	for (i = 0; i < s->nr; i++)
		CHECK(p->node[i].want <= max(snapshot->node[i].limit,
					     min(snapshot->node[i].least, snapshot->node[i].held)),
		      "node %u: above its limit", i);

	for (i = 0; i < s->nr; i++) {
		const struct balloon_plan_node *n = &s->node[i];
		unsigned long room = n->rings ? n->grow : 0;

		held += n->held;
		least += min(n->least, n->held);
		grow += room;
		want += p->node[i].want;
		all_auto &= n->target == BALLOON_TARGET_AUTO || !n->rings;
		whole &= n->held % SF == 0 && n->partial == 0 && room % SF == 0 &&
			 (n->target == BALLOON_TARGET_AUTO || n->target % SF == 0) &&
			 n->least % SF == 0 && n->move % SF == 0;
		roomy &= room >= SF;
		targeted += n->target != BALLOON_TARGET_AUTO;
		even &= n->grow == n->move &&
			(n->free == n->grow || n->limit != BALLOON_LIMIT_MAX);
		partials += p->node[i].want % SF != 0;
		CHECK(p->node[i].want <= n->held + room, "node %u: more than it has room for", i);
		CHECK(p->node[i].want >= min(n->least, n->held), "node %u: below what can't leave",
		      i);
		CHECK(p->node[i].claimed <= p->node[i].want, "node %u", i);
		CHECK(p->node[i].remote <= p->node[i].want, "node %u", i);
	}
	CHECK(want == s->goal - p->missing + p->extra, "together they are %lu", want);
	/* Exactly what has a place. */
	place = s->goal > held ? held + min(grow, s->goal - held) : s->goal;
	CHECK(p->missing - min(p->missing, p->extra) == s->goal - place, "%lu have no place",
	      s->goal - place);
	if (s->goal <= held) {
		/* The balloon does not grow for what can't leave, but by what targets move in. */
		CHECK(want <= max(s->goal, max(held, least)), "the balloon grows: %lu", want);
		if (all_auto)
			CHECK(want == max(s->goal, least), "want %lu least %lu", want, least);
	}
	for (i = 0; i < s->nr && all_auto; i++) {
		if (s->goal >= held)
			CHECK(p->node[i].want + (s->goal > held ? SF - 1 : 0) >= s->node[i].held,
			      "auto node %u loses while the balloon does not shrink", i);
		if (s->goal <= held)
			CHECK(p->node[i].want <= s->node[i].held,
			      "auto node %u gains while the balloon does not grow", i);
	}
	if (whole && all_auto)
		CHECK(partials <= (s->goal % SF != 0), "%lu partial blocks", partials);
	if (whole && even && !all_auto)
		CHECK(partials <= 1 + targeted, "%lu partial blocks", partials);
	check_targets(s, p);

	/* Done, and planned again: nothing moves; where targets meet far from home, soon. */
	for (i = 0, round = 0; i < s->nr; ) {
		struct snapshot next;
		unsigned int j;

		apply_and_repeat(s, p, &plan2);
		next = *s;
		next.hungry = NUMA_NO_NODE;
		for (j = 0; j < s->nr; j++)
			next.node[j] = plan2.node[j];
		balloon_plan(&plan2);
		plans++;
		for (i = 0; i < s->nr && plan2.node[i].want == p->node[i].want; i++)
			;
		if (i == s->nr)
			break;
		targets = 0;
		for (j = 0; j < s->nr; j++)
			targets += s->node[j].target != BALLOON_TARGET_AUTO;
		repeated++;
		CHECK(targets > 1 || !even || least,
		      "planned again, node %u shall have %lu, not %lu", i, plan2.node[i].want,
		      p->node[i].want);
		if (++round > 3 * s->nr) {
			creeping++;
			break;
		}
		again = next;
		s = &again;
		run_plan(s);
	}
}

/* Shares of free memory after @get, highest first (lowest first when deflating). */
static int cmp_double(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? 1 : x > y ? -1 : 0;
}

static void levels(const struct balloon_share *share, const unsigned long *get, unsigned int nr,
		   bool inflate, double *out)
{
	unsigned int i;

	for (i = 0; i < nr; i++)
		out[i] = inflate ? (double)(share[i].free - get[i]) / share[i].present :
				   -(double)(share[i].free + get[i]) / share[i].present;
	qsort(out, nr, sizeof(*out), cmp_double);
}

static void print_shares(const struct balloon_share *in, const unsigned long *get, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++)
		fprintf(stderr, "  node %u: free %lu present %lu room %lu: %lu\n", i, in[i].free,
			in[i].present, in[i].room, get[i]);
}

/* Is there another way to spread superframes that leaves the extreme less extreme? */
static void check_level(const struct balloon_share *in, unsigned int nr, unsigned long want,
			bool inflate)
{
	unsigned long get[4], total = 0, best[4], room = 0, sum, got;
	struct balloon_share share[4];
	double mine[4], other[4];
	unsigned int i;
	bool whole = want % SF == 0;
	/* The level is found to the page. */
	double eps = 0.000001;

	for (i = 0; i < nr; i++)
		eps = max(eps, 2.0 / in[i].present);
	memcpy(share, in, nr * sizeof(*share));
	got = balloon_level(share, nr, want, inflate);
	cases++;
	for (i = 0; i < nr; i++) {
		get[i] = share[i].get;
		total += get[i];
		room += in[i].room;
		whole &= in[i].room % SF == 0;
		if (get[i] > in[i].room)
			fail("balloon_level(): node %u gives %lu of %lu", i, get[i], in[i].room);
	}
	if (total != got || got != min(want, room))
		fail("balloon_level(): %lu of %lu, %lu have room", got, want, room);
	/* A superframe moved from one to another brings these two no nearer to each other. */
	for (i = 0; i < nr; i++) {
		for (unsigned int j = 0; j < nr; j++) {
			double sign = inflate ? -1 : 1, si, sj, ti, tj;

			if (i == j || !whole || get[i] < SF || in[j].room - get[j] < SF)
				continue;
			si = (in[i].free + sign * get[i]) / in[i].present;
			sj = (in[j].free + sign * get[j]) / in[j].present;
			ti = (in[i].free + sign * (get[i] - SF)) / in[i].present;
			tj = (in[j].free + sign * (get[j] + SF)) / in[j].present;
			if (fabs(ti - tj) < fabs(si - sj) - eps &&
			    (inflate ? max(ti, tj) < max(si, sj) - eps :
				       min(ti, tj) > min(si, sj) + eps)) {
				print_shares(in, get, nr);
				fail("balloon_level(%lu, %s): nodes %u and %u come to %f and %f, could to %f and %f",
				     want, inflate ? "inflate" : "deflate", i, j, si, sj, ti, tj);
			}
		}
	}
	if (!whole || nr > 3)
		return;
	levels(share, get, nr, inflate, mine);
	for (best[0] = 0; best[0] <= in[0].room; best[0] += SF) {
		for (best[1] = 0; best[1] <= (nr > 1 ? in[1].room : 0); best[1] += SF) {
			sum = best[0] + best[1];
			if (sum > got)
				break;
			best[2] = nr > 2 ? got - sum : 0;
			if (sum + best[2] != got || (nr > 2 && best[2] > in[2].room))
				continue;
			levels(share, best, nr, inflate, other);
			if (other[0] < mine[0] - eps &&
			    other[0] - other[nr - 1] < mine[0] - mine[nr - 1] - eps) {
				print_shares(in, get, nr);
				fail("balloon_level(%lu, %s): extreme %f, could be %f", want,
				     inflate ? "inflate" : "deflate", mine[0], other[0]);
			}
		}
	}
}

/* The next digit of a case's number. */
static unsigned long digit(unsigned long *n, unsigned long base)
{
	unsigned long d = *n % base;

	*n /= base;
	return d;
}

static void all_levels(void)
{
	static const unsigned long sizes[] = { 3, 4, 8 };
	struct balloon_share s[3];
	unsigned long n, x, want, present, room, free;
	unsigned int i;
	bool fits;

	doing = "levels";
	for (n = 0; n < 3 * 3 * 10 * 4096; n++) {
		x = n;
		want = digit(&x, 10);
		fits = true;
		for (i = 0; i < 3; i++) {
			present = i < 2 ? sizes[digit(&x, 3)] : 4;
			free = digit(&x, 4);
			room = digit(&x, 4);
			fits &= room <= free;
			s[i] = (struct balloon_share){ free * SF, present * SF, room * SF };
		}
		if (!fits)
			continue;
		check_level(s, 3, want * SF, true);
		for (i = 0; i < 3; i++)
			s[i].free = s[i].present - s[i].room;
		check_level(s, 3, want * SF, false);
	}
}

static void random_levels(u64 *rnd, unsigned long n)
{
	doing = "random levels";
	while (n--) {
		struct balloon_share s[4];
		unsigned int i, nr = 1 + next_random(rnd) % 4;
		bool inflate = next_random(rnd) & 1;
		unsigned long room = 0;

		for (i = 0; i < nr; i++) {
			s[i].present = SF * (1 + next_random(rnd) % 40);
			s[i].free = next_random(rnd) % (s[i].present + 1);
			s[i].room = inflate ? s[i].free : s[i].present - s[i].free;
			if (next_random(rnd) % 3)
				s[i].room = next_random(rnd) % (s[i].room + 1);
			if (next_random(rnd) % 2)
				s[i].room = round_down(s[i].room, SF);
			s[i].get = next_random(rnd);
			room += s[i].room;
		}
		check_level(s, nr, next_random(rnd) % (room + SF), inflate);
	}
}

/* All distance orders around three nodes: nearer, farther, as near. */
static void distances(unsigned int n)
{
	static const unsigned short pair[3][2] = { { 20, 30 }, { 30, 20 }, { 20, 20 } };
	unsigned int i, j, k;

	for (i = 0; i < 3; i++, n /= 3)
		for (j = 0, k = 0; j < 3; j++)
			dist[i][j] = i == j ? 10 : pair[n % 3][k++];
	set_rings(3);
}

static void all_small(unsigned int part, unsigned int parts)
{
	static const unsigned long targets[] = { BALLOON_TARGET_AUTO, 0, 1, 2, 3 };
	unsigned long n, x;
	unsigned int d, i;
	struct snapshot s = { .nr = 3, .hungry = NUMA_NO_NODE };

	doing = "exhaustive";
	for (d = part; d < 27; d += parts) {
		distances(d);
		for (n = 0; n < 125 * 64 * 10; n++) {
			x = n;
			for (i = 0; i < 3; i++) {
				struct balloon_plan_node *node = &s.node[i];
				unsigned long t = targets[digit(&x, ARRAY_SIZE(targets))];

				node->target = t == BALLOON_TARGET_AUTO ? t : t * SF;
				node->rings = rings[i];
				node->limit = BALLOON_LIMIT_MAX;
				node->held = digit(&x, 4) * SF;
				node->present = 3 * SF;
				node->free = node->present - node->held;
				node->grow = node->free;
				node->move = node->free;
				node->shift = node->free;
			}
			s.goal = x * SF;
			s.origin = n % 3;
			s.policy = n / 3 & 1 ? BALLOON_LOCAL : BALLOON_BALANCE;
			check_plan(&s);
		}
	}
}

/* The same with limits: which node has one, and how low, for two orders of distance. */
static void all_small_limits(void)
{
	static const unsigned long targets[] = { BALLOON_TARGET_AUTO, 0, 2 };
	static const unsigned long limits[] = { 0, 1, 2, BALLOON_LIMIT_MAX };
	unsigned long n, x;
	unsigned int d, i;
	struct snapshot s = { .nr = 3, .hungry = NUMA_NO_NODE };

	doing = "exhaustive, limits";
	for (d = 0; d < 27; d += 13) {
		distances(d);
		for (n = 0; n < 27 * 64 * 64 * 10; n++) {
			x = n;
			for (i = 0; i < 3; i++) {
				struct balloon_plan_node *node = &s.node[i];
				unsigned long t = targets[digit(&x, ARRAY_SIZE(targets))];
				unsigned long limit = limits[digit(&x, ARRAY_SIZE(limits))];

				node->target = t == BALLOON_TARGET_AUTO ? t : t * SF;
				node->limit = limit == BALLOON_LIMIT_MAX ? limit : limit * SF;
				node->rings = rings[i];
				node->held = digit(&x, 4) * SF;
				node->present = 3 * SF;
				set_room(node, node->present - node->held);
			}
			s.goal = x * SF;
			s.origin = n % 3;
			s.policy = n / 3 & 1 ? BALLOON_LOCAL : BALLOON_BALANCE;
			check_plan(&s);
		}
	}
}

static void random_snapshot(u64 *rnd, struct snapshot *s)
{
	unsigned long held = 0, present = 0;
	unsigned int i, kind = next_random(rnd) % 16;

	for (i = 0; i < s->nr; i++) {
		struct balloon_plan_node *n = &s->node[i];
		unsigned long rest;

		memset(n, 0, sizeof(*n));
		n->present = SF * (1 + next_random(rnd) % 12);
		n->held = next_random(rnd) % (n->present + 1);
		if (kind & 1)
			n->held = round_down(n->held, SF);
		n->partial = n->held % SF;
		if (n->held >= SF && next_random(rnd) % 4 == 0)
			n->partial += SF;
		rest = n->present - n->held;
		n->free = rest;
		if (next_random(rnd) % 3 == 0)
			n->free = next_random(rnd) % (rest + 1);
		n->grow = n->free;
		if (next_random(rnd) % 3 == 0)
			n->grow = next_random(rnd) % (rest + 1);
		n->move = min(n->grow, n->free);
		if (next_random(rnd) % 3 == 0)
			n->move = next_random(rnd) % (n->move + 1);
		if (kind & 2 && next_random(rnd) % 3 == 0)
			n->least = next_random(rnd) % (n->held + 1);
		n->shift = n->move;
		n->rings = rings[i];
		n->limit = BALLOON_LIMIT_MAX;
		if (kind & 8 && next_random(rnd) % 2) {
			n->limit = next_random(rnd) % 3 ? next_random(rnd) % (n->present + 1) : 0;
			if (next_random(rnd) % 2)
				n->limit = round_down(n->limit, SF);
		}
		if (next_random(rnd) % 16 == 0) {
			n->rings = NULL;
			n->least = n->held;
			n->target = BALLOON_TARGET_AUTO;
		}
		n->target = BALLOON_TARGET_AUTO;
		if (kind & 4 && n->rings && next_random(rnd) % 2) {
			n->target = next_random(rnd) % (n->present * 2);
			if (next_random(rnd) % 2)
				n->target = round_down(n->target, SF);
		}
		held += n->held;
		present += n->present;
	}
	switch (next_random(rnd) % 4) {
	case 0:
		s->goal = held;
		break;
	case 1:
		s->goal = held + next_random(rnd) % (2 * SF);
		break;
	default:
		s->goal = next_random(rnd) % (present + SF);
	}
	s->policy = next_random(rnd) % NR_BALLOON_POLICIES;
	s->origin = next_random(rnd) % s->nr;
	s->hungry = next_random(rnd) % 4 ? NUMA_NO_NODE : (int)(next_random(rnd) % s->nr);
}

static void random_plans(u64 *rnd, unsigned long n)
{
	struct snapshot s;
	unsigned int i, j;

	doing = "random";
	while (n--) {
		s.nr = 1 + next_random(rnd) % 6;
		for (i = 0; i < s.nr; i++)
			for (j = 0; j < s.nr; j++)
				dist[i][j] = i == j ? 10 : 11 + next_random(rnd) % 4;
		set_rings(s.nr);
		for (i = 0; i < 16; i++) {
			random_snapshot(rnd, &s);
			check_plan(&s);
		}
	}
}

/*
 * A host that moves its target about: no more than one block is partial, and nobody has
 * all of it. What leaves goes out of base pages first, as the worker does it.
 */
static void remainders(u64 *rnd, unsigned long n)
{
	unsigned int i, step, k, nodes;
	struct snapshot s;

	doing = "remainders";
	while (n--) {
		memset(&s, 0, sizeof(s));
		nodes = s.nr = 1 + next_random(rnd) % 4;
		s.hungry = NUMA_NO_NODE;
		for (i = 0; i < nodes; i++)
			for (k = 0; k < nodes; k++)
				dist[i][k] = i == k ? 10 : 20;
		set_rings(nodes);
		for (i = 0; i < nodes; i++) {
			s.node[i].rings = rings[i];
			s.node[i].target = BALLOON_TARGET_AUTO;
			s.node[i].limit = BALLOON_LIMIT_MAX;
			s.node[i].present = 40 * SF;
			set_room(&s.node[i], 40 * SF);
		}
		for (step = 0; step < 30; step++) {
			unsigned long partial = 0, most = 0, least = ULONG_MAX;

			s.goal = next_random(rnd) % (nodes * 36 * SF);
			if (next_random(rnd) % 2) {
				s.goal = 0;
				for (i = 0; i < nodes; i++)
					s.goal += s.node[i].held;
				s.goal = min(s.goal + next_random(rnd) % SF, nodes * 36 * SF);
			}
			check_plan(&s);
			for (i = 0; i < nodes; i++) {
				struct balloon_plan_node *m = &s.node[i];
				unsigned long want = plan1.node[i].want;

				if (want >= m->held) {
					m->partial += (want - m->held) % SF;
				} else {
					unsigned long less = m->held - want;
					unsigned long base = min(m->partial, less);

					m->partial -= base;
					less -= base;
					if (less % SF)
						m->partial += SF - less % SF;
				}
				if (m->partial >= SF)
					m->partial -= SF;
				set_room(m, m->present - want);
				m->held = want;
				partial += m->partial;
				most = max(most, want);
				least = min(least, want);
			}
			/* Where there are too few base pages for what leaves, two. */
			CHECK(partial < 2 * SF, "%lu base pages in partial blocks after %u targets",
			      partial, step + 1);
		}
	}
}

/* Small steps are not one node's to pay for. */
static void small_steps(void)
{
	struct snapshot s = { .nr = 3, .hungry = NUMA_NO_NODE };
	unsigned int i, step;
	unsigned long most = 0, least = ULONG_MAX;

	doing = "small steps";
	distances(26);
	for (i = 0; i < 3; i++) {
		s.node[i].rings = rings[i];
		s.node[i].target = BALLOON_TARGET_AUTO;
		s.node[i].limit = BALLOON_LIMIT_MAX;
		s.node[i].present = 60 * SF;
		set_room(&s.node[i], 60 * SF);
	}
	for (step = 0; step < 60 * SF; step++) {
		s.goal++;
		check_plan(&s);
		for (i = 0; i < 3; i++) {
			struct balloon_plan_node *m = &s.node[i];

			m->held = plan1.node[i].want;
			m->partial = m->held % SF;
			set_room(m, m->present - m->held);
		}
	}
	for (i = 0; i < 3; i++) {
		most = max(most, s.node[i].held);
		least = min(least, s.node[i].held);
	}
	CHECK(most - least <= 2 * SF, "one node has %lu, another %lu", most, least);
}

/* Rings: order, ends, text, against the plainest loops. */
static void check_rings(u64 *rnd, unsigned long n)
{
	char text[MAX_NODES * BALLOON_RINGS_TEXT + 1], expect[sizeof(text)];
	DECLARE_BITMAP(nodes, 64);
	unsigned int i, j, nr, len, most;

	doing = "rings";
	while (n--) {
		struct balloon_rings *r;
		int mid;

		nr = 1 + next_random(rnd) % 12;
		most = 1 + next_random(rnd) % 4;
		for (i = 0; i < nr; i++)
			for (j = 0; j < nr; j++)
				dist[i][j] = next_random(rnd) % 2 && i == j ? 10 :
					     10 + next_random(rnd) % most * 1000;
		bitmap_zero(nodes, 64);
		for (i = 0; i < nr; i++)
			if (next_random(rnd) % 4)
				__set_bit(i, nodes);
		mid = next_random(rnd) % nr;
		r = balloon_rings_build(mid, nodes, nr, node_distance);
		cases++;
		CHECK(r->nr == bitmap_weight(nodes, nr), "%u nodes", r->nr);
		CHECK(r->nid == mid, "around %d", r->nid);
		for (i = 0; i < r->nr; i++) {
			CHECK(test_bit(r->node[i].nid, nodes), "node %d", r->node[i].nid);
			CHECK(r->node[i].distance == dist[mid][r->node[i].nid], "node %d",
			      r->node[i].nid);
			if (test_bit(mid, nodes))
				CHECK(!i == (r->node[i].nid == mid), "the middle is at %u", i);
			if (i && !(i == 1 && r->node[0].nid == mid))
				CHECK(r->node[i - 1].distance < r->node[i].distance ||
				      (r->node[i - 1].distance == r->node[i].distance &&
				       r->node[i - 1].nid < r->node[i].nid), "order at %u", i);
		}
		len = 0;
		for (i = 0; i < r->nr; i = j) {
			j = balloon_ring_end(r, i);
			CHECK(j > i && j <= r->nr, "end %u", j);
			if (r->node[i].nid == mid) {
				CHECK(j == i + 1, "the middle is alone");
			} else {
				unsigned int k;

				for (k = i; k < j; k++)
					CHECK(r->node[k].distance == r->node[i].distance,
					      "one ring");
				CHECK(j == r->nr || r->node[j].distance != r->node[i].distance,
				      "ring is not whole");
			}
		}
		/* The text, from a map of each ring. */
		text[0] = 0;
		len = balloon_rings_print(r, text, sizeof(text));
		CHECK(len == strlen(text), "length");
		expect[0] = 0;
		for (i = 0; i < r->nr; i = j) {
			u64 in = 0;
			unsigned int k, e = strlen(expect), from;
			bool begun = false;

			j = balloon_ring_end(r, i);
			for (k = i; k < j; k++)
				in |= BIT(r->node[k].nid);
			e += sprintf(expect + e, "%d:", r->node[i].distance);
			for (from = 0; from < 64; from++) {
				if (!(in >> from & 1))
					continue;
				for (k = from; k < 63 && in >> (k + 1) & 1; k++)
					;
				e += sprintf(expect + e, "%c%u", begun ? ',' : ' ', from);
				if (k > from)
					e += sprintf(expect + e, "-%u", k);
				begun = true;
				from = k;
			}
			sprintf(expect + e, "\n");
		}
		CHECK(!strcmp(text, expect), "text is\n%snot\n%s", text, expect);
		/* Less room than it takes: cut off, and never beyond. */
		len = next_random(rnd) % (strlen(expect) + 1);
		memset(text, 'x', sizeof(text));
		if (len) {
			text[0] = 0;
			balloon_rings_print(r, text, len);
			CHECK(text[len] == 'x' && !memcmp(text, expect, strlen(text)), "cut at %u",
			      len);
		}
		kfree(r);
	}
}

/* Targets that are scaled: in proportion to within a superframe, together it to the page. */
static void check_scale(u64 *rnd, unsigned long n)
{
	unsigned long t[64], in[64], total;
	unsigned int i, nr;

	doing = "scale";
	while (n--) {
		unsigned __int128 sum = 0;
		unsigned long out = 0, scale = 1UL << next_random(rnd) % 34;

		nr = 1 + next_random(rnd) % 64;
		for (i = 0; i < nr; i++) {
			in[i] = next_random(rnd) % 3 ? next_random(rnd) % (scale + 1) : 0;
			t[i] = in[i];
			sum += t[i];
		}
		total = next_random(rnd) % (nr * scale + 1);
		balloon_scale_targets(t, nr, total);
		cases++;
		for (i = 0; i < nr; i++) {
			unsigned long fair;

			out += t[i];
			if (sum <= total) {
				CHECK(t[i] == in[i], "targets that fit are changed");
				continue;
			}
			fair = (unsigned __int128)in[i] * total / sum;
			CHECK(t[i] + 2 * SF >= fair && t[i] <= fair + 2 * SF,
			      "%lu of %lu, in proportion %lu", t[i], in[i], fair);
			CHECK(in[i] || !t[i] || i == nr - 1 || t[i] < SF,
			      "a target of nothing gets %lu", t[i]);
		}
		if (sum > total)
			CHECK(out == total, "together they are %lu, not %lu", out, total);
	}
}

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

/* 1024 nodes of 16 GiB, a target each: the best of several. */
static int largest(const char *name, int how)
{
	unsigned long present = (16UL << 30 >> PAGE_SHIFT);
	unsigned int i, j, round;
	double best = 1e9;
	u64 rnd = 1;

	for (i = 0; i < MAX_NODES; i++)
		for (j = 0; j < MAX_NODES; j++)
			dist[i][j] = i == j ? 10 : how & 1 ? 20 : 10 + (i ^ j) % 200 + 1;
	set_rings(MAX_NODES);
	for (round = 0; round < 7; round++) {
		unsigned long want = 0;
		double t;

		plan1.nr = MAX_NODES;
		plan1.policy = how & 4 ? BALLOON_LOCAL : BALLOON_BALANCE;
		plan1.origin = 500;
		plan1.hungry = NUMA_NO_NODE;
		plan1.goal = 0;
		for (i = 0; i < MAX_NODES; i++) {
			struct balloon_plan_node *n = &plan1.node[i];

			memset(n, 0, sizeof(*n));
			n->rings = rings[i];
			n->limit = how & 32 && i % 3 ? present / 4 : BALLOON_LIMIT_MAX;
			n->present = present;
			n->held = next_random(&rnd) % (present / 2);
			n->free = present / 2 - next_random(&rnd) % (present / 4);
			set_room(n, n->free);
			n->target = how & 2 ? BALLOON_TARGET_AUTO :
					      next_random(&rnd) % (how & 8 ? present : present / 2);
			if (how & 16 && i & 1) {
				n->held = 0;
				set_room(n, 0);
			} else if (how & 16) {
				n->target = BALLOON_TARGET_AUTO;
			}
			if (how & 16 && i & 1)
				n->target = present / 8 + i;
			plan1.goal += how & 8 ? present / 3 : next_random(&rnd) % (present / 2);
		}
		t = now_ms();
		balloon_plan(&plan1);
		t = now_ms() - t;
		best = min(best, t);
		for (i = 0; i < MAX_NODES; i++)
			want += plan1.node[i].want;
		CHECK(want == plan1.goal - plan1.missing + plan1.extra, "the largest machine");
	}
	printf("1024 nodes, 16 TiB, %s: %.2f ms\n", name, best);
	return best < 5 ? 0 : 1;
}

static unsigned int passed, failed;

static void verdict(const char *what, bool ok)
{
	printf("%s %u %s\n", ok ? "ok" : "not ok", passed + failed + 1, what);
	fflush(stdout);
	if (ok)
		passed++;
	else
		failed++;
}

int main(int argc, char **argv)
{
	unsigned long n = getenv("PLANS") ? strtoul(getenv("PLANS"), NULL, 0) : 40000;
	u64 seed = getenv("SEED") ? strtoull(getenv("SEED"), NULL, 0) : 1, rnd = seed;
	bool speed = argc > 1 && !strcmp(argv[1], "speed");
	unsigned int part = argc > 2 ? atoi(argv[2]) : 0, parts = argc > 3 ? atoi(argv[3]) : 1;

	fail_hook = print_case;
	if (balloon_plan_alloc(&plan1, MAX_NODES) || balloon_plan_alloc(&plan2, MAX_NODES))
		return 1;
	if (speed) {
		int slow = 0;

		slow |= largest("a target each, one ring", 1);
		slow |= largest("a target each, many rings", 0);
		slow |= largest("a target each, scaled", 8);
		slow |= largest("a target each, scaled, one ring", 9);
		slow |= largest("half of the nodes for the others, many rings", 16);
		slow |= largest("half of the nodes for the others, one ring", 17);
		slow |= largest("auto, balance", 2);
		slow |= largest("auto, local", 6);
		slow |= largest("a target each, limits, many rings", 32);
		slow |= largest("auto, limits", 34);
		verdict("a plan takes less than 5 ms", !slow);
		return slow;
	}
	printf("seed %llu\n", (unsigned long long)seed);
	all_levels();
	random_levels(&rnd, n);
	verdict("level: no other spread of superframes is better", true);
	check_scale(&rnd, n);
	verdict("targets are scaled in proportion", true);
	check_rings(&rnd, n / 4);
	verdict("rings: order, ends and text", true);
	all_small(part, parts);
	verdict("plan: all of 3 nodes x 3 superframes, all distance orders", true);
	if (!part)
		all_small_limits();
	verdict("plan: all of 3 nodes x 3 superframes, with limits", true);
	random_plans(&rnd, n / 4);
	verdict("plan: random machines", true);
	remainders(&rnd, n / 40);
	verdict("plan: no more than one partial block", true);
	small_steps();
	verdict("plan: small steps are shared", true);
	printf("%lu cases, %lu plans, %lu of them moved more when repeated, %lu for long\n", cases,
	       plans, repeated, creeping);
	balloon_plan_free(&plan1);
	balloon_plan_free(&plan2);
	return 0;
}
