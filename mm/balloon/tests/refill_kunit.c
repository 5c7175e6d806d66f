// SPDX-License-Identifier: GPL-2.0
/*
 * Who allocates where no lock may be waited for gets nothing out of the balloon, and waits for
 * none of its locks: memory is short, and all of them are held that whoever was interrupted can
 * hold. Those that mask interrupts are held in a task, and under an NMI.
 */
#include <kunit/test.h>

#include <linux/debug_locks.h>
#include <linux/delay.h>
#include <linux/gfp.h>
#include <linux/irq_work.h>
#include <linux/irqflags.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/nmi.h>
#include <linux/smp.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/xarray.h>

#ifdef CONFIG_X86_LOCAL_APIC
#include <asm/apic.h>
#endif

#include "../../internal.h"
#include "pages.h"

/* Older kernels have nobody who allocates so. */
#ifdef alloc_pages_nolock

/* Others allocate and free meanwhile. */
#define TRIES		50

/**
 * struct attempt - an allocation of a page
 * @nid: the node, which has none to spare
 * @nolock: no lock may be waited for
 * @cpu: where it is tried, or -1
 * @armed: an NMI is on its way
 * @is_short: there was no memory
 * @returned: it came to its end
 * @asked: how often the host was asked for it
 */
static struct attempt {
	int nid;
	bool nolock;
	int cpu;
	bool armed;
	bool is_short;
	bool returned;
	unsigned int asked;
} attempt;

enum where { IN_TASK, IN_IRQ, IN_NMI };

/* What the node has beside the balloon. */
static LIST_HEAD(hoard);

/* Nobody else runs on this CPU during an attempt. */
static long test_deflate_nowait(struct balloon *b, const struct balloon_extent *ext,
				unsigned int nr)
{
	if (raw_smp_processor_id() == READ_ONCE(attempt.cpu))
		attempt.asked++;
	return nr;
}

static bool node_is_short(int nid)
{
	struct zone *zone = NODE_DATA(nid)->node_zones, *end = zone + ZONE_NORMAL;

	for (; zone <= end; zone++)
		if (managed_zone(zone) &&
		    zone_watermark_ok(zone, 0, min_wmark_pages(zone), ZONE_NORMAL, 0))
			return false;
	return true;
}

static void try_to_allocate(void)
{
	struct page *page;

	WRITE_ONCE(attempt.cpu, raw_smp_processor_id());
	attempt.is_short = node_is_short(attempt.nid);
	if (attempt.nolock) {
		page = alloc_pages_nolock(0, attempt.nid, 0);
		if (page)
			free_pages_nolock(page, 0);
	} else {
		page = alloc_pages_node(attempt.nid, GFP_NOWAIT | __GFP_THISNODE, 0);
		if (page)
			__free_page(page);
	}
	WRITE_ONCE(attempt.cpu, -1);
	WRITE_ONCE(attempt.returned, true);
}

static void on_irq(struct irq_work *work)
{
	try_to_allocate();
}

static struct irq_work irq_work = IRQ_WORK_INIT_HARD(on_irq);

#ifdef CONFIG_X86_LOCAL_APIC
static int on_nmi(unsigned int type, struct pt_regs *regs)
{
	if (!READ_ONCE(attempt.armed) || raw_smp_processor_id() != READ_ONCE(attempt.cpu))
		return NMI_DONE;
	WRITE_ONCE(attempt.armed, false);
	try_to_allocate();
	return NMI_HANDLED;
}

static bool nmi_begin(void)
{
	return boot_cpu_has(X86_FEATURE_APIC) &&
	       !register_nmi_handler(NMI_LOCAL, on_nmi, NMI_FLAG_FIRST, "balloon_kunit");
}

static void nmi_end(void)
{
	unregister_nmi_handler(NMI_LOCAL, "balloon_kunit");
}

static void nmi_raise(void)
{
	WRITE_ONCE(attempt.cpu, smp_processor_id());
	WRITE_ONCE(attempt.armed, true);
	__apic_send_IPI_mask(cpumask_of(smp_processor_id()), NMI_VECTOR);
}
#else
static bool nmi_begin(void) { return false; }
static void nmi_end(void) { }
static void nmi_raise(void) { }
#endif

/* On this CPU, which nobody takes away. */
static void raise(enum where where)
{
	unsigned int us;

	attempt.returned = false;
	if (where == IN_IRQ)
		irq_work_queue(&irq_work);
	else if (where == IN_NMI)
		nmi_raise();
	else
		try_to_allocate();
	for (us = 0; us < USEC_PER_SEC && !READ_ONCE(attempt.returned); us++)
		udelay(1);
}

/* Spinlocks that are held. */
struct held {
	spinlock_t *lock[MAX_NR_ZONES + 5];
	unsigned int nr;
	bool missed;
};

/* Tried only: their order is no concern of lockdep's. */
static void hold(struct held *h, spinlock_t *lock)
{
	if (spin_trylock(lock)) {
		h->lock[h->nr++] = lock;
		__release(lock);
	} else {
		h->missed = true;
	}
}

static void let_go(struct held *h)
{
	while (h->nr) {
		spinlock_t *lock = h->lock[--h->nr];

		__acquire(lock);
		spin_unlock(lock);
	}
}

/* Every lock that can be held where it is tried. Returns whether they were. */
static bool raise_with_spinlocks(enum where where)
{
	struct balloon_node *bn = balloon_nodes[attempt.nid];
	unsigned long flags = 0;
	struct held h = { };
	int z;

	hold(&h, &bn->ask.lock);
	/* Under the others is no interrupt, but for those that can't be masked. */
	if (where != IN_IRQ) {
		local_irq_save(flags);
		for (z = 0; z < MAX_NR_ZONES; z++)
			hold(&h, &bn->zones[z].lock);
		hold(&h, &balloon_blocks.xa_lock);
		hold(&h, &bn->ask.wait.lock);
		hold(&h, &balloon_goal_lock);
		hold(&h, &balloon_kick_lock);
	}
	if (!h.missed)
		raise(where);
	let_go(&h);
	if (where != IN_IRQ)
		local_irq_restore(flags);
	return !h.missed;
}

static bool raise_with_locks(enum where where)
{
	struct mutex *mutex[] = { &balloon_nodes_mutex, &balloon_mutex, &balloon_host_lock };
	unsigned int nr = 0;
	bool all = false;

	while (nr < ARRAY_SIZE(mutex) && mutex_trylock(mutex[nr]))
		nr++;
	if (nr == ARRAY_SIZE(mutex)) {
		preempt_disable();
		all = raise_with_spinlocks(where);
		preempt_enable();
	}
	while (nr--)
		mutex_unlock(mutex[nr]);
	return all;
}

static void raise_alone(enum where where)
{
	unsigned long flags = 0;

	preempt_disable();
	if (where != IN_IRQ)
		local_irq_save(flags);
	raise(where);
	if (where != IN_IRQ)
		local_irq_restore(flags);
	preempt_enable();
}

static void exhaust(void)
{
	gfp_t gfp = __GFP_THISNODE | __GFP_NOWARN | __GFP_NOMEMALLOC;
	struct page *page;

	while ((page = alloc_pages_node(attempt.nid, gfp, 0)))
		list_add(&page->lru, &hoard);
}

/* An attempt while memory is short, and an allocation may be refilled. */
static void try(struct kunit *test, enum where where, bool nolock, bool locked)
{
	struct test_balloon *t = test->priv;
	bool done = false;
	int i;

	attempt.nolock = nolock;
	for (i = 0; i < TRIES && !done; i++) {
		exhaust();
		attempt.asked = 0;
		WRITE_ONCE(t->b.stopped, false);
		done = true;
		if (locked)
			done = raise_with_locks(where);
		else
			raise_alone(where);
		WRITE_ONCE(t->b.stopped, true);
		if (done)
			KUNIT_ASSERT_TRUE(test, attempt.returned);
		done = done && attempt.is_short;
	}
	KUNIT_ASSERT_TRUE_MSG(test, done, "a lock was never free, or memory never short");
}

static const struct balloon_ops refill_ops = {
	.inflate = test_inflate,
	.deflate = test_deflate,
	.deflate_nowait = test_deflate_nowait,
};

/* All superframes of the node are in the balloon, and the host's target is 0. */
static void fill(struct kunit *test)
{
	struct test_balloon *t = test->priv;
	unsigned int nr, i;

	if (balloon_put_touches())
		kunit_skip(test, "who may not sleep is not refilled");
	attempt.nid = t->nid;
	attempt.cpu = -1;
	t->b.ops = &refill_ops;
	while ((nr = balloon_take_superframes(t->nid, t->ext, 2 * SUPERFRAME_PAGES)))
		for (i = 0; i < nr; i++)
			balloon_queue_superframe(&t->b, pfn_to_page(t->ext[i].pfn));
	KUNIT_ASSERT_GT(test, balloon_total(), 0);
	WRITE_ONCE(balloon_hold, true);
	balloon_refill_switch(&t->b);
}

static void expect_nothing(struct kunit *test, enum where where)
{
	int silent = debug_locks;

	fill(test);
	try(test, where, true, false);
	/* With locks held it would not end. */
	KUNIT_ASSERT_EQ(test, attempt.asked, 0);
	try(test, where, true, true);
	KUNIT_EXPECT_EQ(test, attempt.asked, 0);
	KUNIT_EXPECT_EQ(test, debug_locks, silent);
	/* Who may wait for a lock would have been refilled. */
	try(test, IN_TASK, false, false);
	KUNIT_EXPECT_GT(test, attempt.asked, 0);
}

static void nolock_in_task(struct kunit *test)
{
	expect_nothing(test, IN_TASK);
}

static void nolock_in_irq(struct kunit *test)
{
	expect_nothing(test, IN_IRQ);
}

static void nolock_in_nmi(struct kunit *test)
{
	if (!nmi_begin())
		kunit_skip(test, "knows no NMI that can be raised here");
	expect_nothing(test, IN_NMI);
}

static void refill_exit(struct kunit *test)
{
	struct test_balloon *t = test->priv;
	struct page *page, *next;
	unsigned int nr, i;

	nmi_end();
	list_for_each_entry_safe(page, next, &hoard, lru) {
		list_del(&page->lru);
		__free_page(page);
	}
	if (t) {
		/* Others may have been refilled, too. */
		balloon_freeze(&t->b);
		while ((nr = balloon_dequeue_superframes(t->nid, t->ext, SUPERFRAME_PAGES)))
			for (i = 0; i < nr; i++)
				balloon_free_superframe(&t->b, pfn_to_page(t->ext[i].pfn));
	}
	test_balloon_exit(test);
	WRITE_ONCE(balloon_hold, false);
}

#else /* !alloc_pages_nolock */

static void no_nolock(struct kunit *test)
{
	kunit_skip(test, "nobody allocates so here");
}

#endif

static struct kunit_case refill_cases[] = {
#ifdef alloc_pages_nolock
	KUNIT_CASE_SLOW(nolock_in_task),
	KUNIT_CASE_SLOW(nolock_in_irq),
	KUNIT_CASE_SLOW(nolock_in_nmi),
#else
	KUNIT_CASE(no_nolock),
#endif
	{}
};

static struct kunit_suite refill_suite = {
	.name = "balloon_refill",
#ifdef alloc_pages_nolock
	.init = test_balloon_init,
	.exit = refill_exit,
#endif
	.test_cases = refill_cases,
};

kunit_test_suite(refill_suite);
