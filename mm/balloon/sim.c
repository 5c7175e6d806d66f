// SPDX-License-Identifier: GPL-2.0
/*
 * A simulated host, for what real hosts won't do on demand: to refuse, to
 * answer short or falsely, to be slow, to run out of memory on one node.
 *
 * It keeps a bit for every frame that it holds and overwrites what it is given,
 * so that it notices every breach of the protocol: a page inflated twice, given
 * back without having been taken, or touched in between.
 *
 * /sys/kernel/debug/balloon_sim/
 *   enable		1 registers the balloon, 0 unregisters it
 *   max_order		largest order it takes: 0 or 9; before it is enabled
 *   keep_managed	1: the guest may take everything back (BALLOON_KEEP_MANAGED)
 *   exact_target	1: BALLOON_EXACT_TARGET
 *   nowait		1: it need not be waited for to deflate; before it is enabled
 *   atomic		1: it exchanges atomically; before it is enabled
 *   target		base pages that the host wants
 *   target_irq		the same, set from a hard interrupt
 *   free		"NODE PAGES": what the host can give back on a node; one
 *			line a node, "max" for any amount
 *   refuse_inflate	so many calls take nothing; 4294967295: for ever
 *   refuse_deflate	so many calls give nothing
 *   refuse_order	so many calls give no superframe, base pages only
 *   fail		so many calls return -EIO
 *   short		at most so many extents a call; 0: any number
 *   lie		so many more than true in every answer
 *   delay_ms		every call takes so long, unless it need not be waited for
 *   hang		1: such calls do not end before this is 0 again
 *   lend		base pages lent out, as for foreign mappings
 *   held		base pages that the host holds
 *   least_held		the fewest since this file was written to
 *   most_held		the most since this file was written to
 *   calls		host calls so far
 *   violations		breaches of the protocol so far
 */
#define pr_fmt(fmt) "balloon_sim: " fmt

#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/highmem.h>
#include <linux/init.h>
#include <linux/irq_work.h>
#include <linux/memblock.h>
#include <linux/mutex.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/wait.h>
#include <linux/xarray.h>

#include "internal.h"

static struct balloon sim;
/* Protects enabling, the lent pages, and what the host has free. */
static DEFINE_MUTEX(sim_mutex);
/* Protects what the host knows, against calls that don't wait for it. */
static DEFINE_SPINLOCK(sim_lock);
static bool enabled;
/* Bits of frames that it holds, by chunks: memory may come that was not there before. */
#define CHUNK_BITS	(PAGE_SIZE * BITS_PER_BYTE)
static DEFINE_XARRAY(chunks);
static u64 held, least_held, most_held, calls;
static atomic_t violations;
static u64 host_free[MAX_NUMNODES];
static u32 max_order = BALLOON_SUPERFRAME_ORDER;
static bool keep_managed, exact_target, nowait, atomic;
static u32 refuse_inflate, refuse_deflate, refuse_order, fail, short_answer, lie, delay_ms;
static bool hang;
static DECLARE_WAIT_QUEUE_HEAD(hang_wait);
static struct page **lent;
static unsigned int nr_lent;

static void violation(const char *what, unsigned long pfn)
{
	atomic_inc(&violations);
	pr_err_ratelimited("page 0x%lx %s\n", pfn, what);
}

/* Are there bits for @pfn, or can they be made? */
static bool chunk_get(unsigned long pfn, gfp_t gfp)
{
	unsigned long index = pfn / CHUNK_BITS;
	void *chunk;

	if (xa_load(&chunks, index))
		return true;
	chunk = (void *)get_zeroed_page(gfp);
	if (!chunk)
		return false;
	/* Somebody else's is as good. */
	if (xa_insert(&chunks, index, chunk, gfp))
		free_page((unsigned long)chunk);
	return xa_load(&chunks, index);
}

/* For all memory there is. More comes with what is inflated of what comes. */
static bool chunks_alloc(void)
{
	unsigned long pfn;

	for (pfn = 0; pfn < max_pfn; pfn += BALLOON_SUPERFRAME_PAGES)
		if (pfn_to_online_page(pfn) && !chunk_get(pfn, GFP_KERNEL))
			return false;
	return true;
}

static void chunks_free(void)
{
	unsigned long index;
	void *chunk;

	xa_for_each(&chunks, index, chunk)
		free_page((unsigned long)chunk);
	xa_destroy(&chunks);
}

/* The bits of an extent's frames: it is smaller than a chunk, and aligned. */
static unsigned long *chunk_of(const struct balloon_extent *ext)
{
	return xa_load(&chunks, ext->pfn / CHUNK_BITS);
}

/* Says that the host holds a frame, or not. Returns whether it did; with sim_lock held. */
static bool hold_frame(unsigned long *chunk, unsigned long pfn, bool hold)
{
	if (!chunk)
		return false;
	return hold ? __test_and_set_bit(pfn % CHUNK_BITS, chunk) :
		      __test_and_clear_bit(pfn % CHUNK_BITS, chunk);
}

/* KASAN must not see these: the guest's pages are free, and none of its own. */
static void discard_page(struct page *page)
{
	void *addr;

	if (debug_pagealloc_enabled_static())
		return;
	addr = kmap_local_page(page);
	memset(addr, 0, PAGE_SIZE);
	kunmap_local(addr);
}

static bool is_discarded(struct page *page)
{
	unsigned long *word, some = 0;
	unsigned int i;

	if (debug_pagealloc_enabled_static())
		return true;
	/*
	 * Not memchr_inv(), which KASAN may see. Many at a time: on an emulated CPU it is
	 * branches that take time, and this had a quarter of that of many tests.
	 */
	word = kmap_local_page(page);
	for (i = 0; i < PAGE_SIZE / sizeof(*word) && !some; i += 8)
		some = word[i] | word[i + 1] | word[i + 2] | word[i + 3] |
		       word[i + 4] | word[i + 5] | word[i + 6] | word[i + 7];
	kunmap_local(word);
	return !some;
}

/* Uses up one of the calls that a knob is to spoil; with sim_lock held. */
static bool spoilt(u32 *knob)
{
	if (!*knob)
		return false;
	if (*knob != U32_MAX)
		(*knob)--;
	return true;
}

static void dawdle(void)
{
	if (delay_ms)
		msleep(delay_ms);
	/* Idle, or it would be the guest that hangs. */
	wait_event_idle(hang_wait, !READ_ONCE(hang));
}

/* How many of @nr extents the host does, or an error. */
static long verdict(u32 *refuse, const struct balloon_extent *wanted, unsigned int nr)
{
	unsigned long flags;
	long n;

	spin_lock_irqsave(&sim_lock, flags);
	calls++;
	if (spoilt(&fail))
		n = -EIO;
	else if (spoilt(refuse) || (wanted && wanted->order && spoilt(&refuse_order)))
		n = 0;
	else
		n = short_answer ? min(nr, short_answer) : nr;
	spin_unlock_irqrestore(&sim_lock, flags);
	return n;
}

static u64 *avail_for(const struct balloon_extent *ext)
{
	return &host_free[page_to_nid(pfn_to_page(ext->pfn))];
}

/* The host has the extent; with sim_lock held. */
static void hold_extent(struct balloon *b, const struct balloon_extent *ext)
{
	unsigned long *chunk = chunk_of(ext), pfn;
	u64 *avail = avail_for(ext);

	if (ext->order > b->max_order)
		violation("comes in an extent too large", ext->pfn);
	for (pfn = ext->pfn; pfn < ext->pfn + (1UL << ext->order); pfn++) {
		if (hold_frame(chunk, pfn, true)) {
			violation("was inflated twice", pfn);
			continue;
		}
		held++;
		if (*avail != U64_MAX)
			(*avail)++;
	}
}

/* Returns whether there was memory for the extent; with sim_lock held. */
static bool release_extent(struct balloon *b, const struct balloon_extent *ext)
{
	unsigned long *chunk = chunk_of(ext), pfn;
	u64 *avail = avail_for(ext);

	if (ext->order > b->max_order)
		violation("is wanted in an extent too large", ext->pfn);
	if (*avail != U64_MAX) {
		if (*avail < 1UL << ext->order)
			return false;
		*avail -= 1UL << ext->order;
	}
	for (pfn = ext->pfn; pfn < ext->pfn + (1UL << ext->order); pfn++) {
		if (hold_frame(chunk, pfn, false))
			held--;
		else
			violation("was deflated and not held", pfn);
	}
	return true;
}

/* With sim_lock held, when a call has done something as a whole. */
static void note_held(void)
{
	least_held = min(least_held, held);
	most_held = max(most_held, held);
}

/* What it holds is its own: that takes no lock. */
static void discard_extent(const struct balloon_extent *ext)
{
	unsigned long i;

	for (i = 0; i < 1UL << ext->order; i++)
		discard_page(pfn_to_page(ext->pfn + i));
}

static void check_discarded(const struct balloon_extent *ext)
{
	unsigned long i;

	for (i = 0; i < 1UL << ext->order; i++)
		if (!is_discarded(pfn_to_page(ext->pfn + i)))
			violation("was written to by the guest", ext->pfn + i);
}

static bool take_one(struct balloon *b, const struct balloon_extent *ext)
{
	unsigned long flags;

	if (!chunk_get(ext->pfn, GFP_NOWAIT | __GFP_NOWARN))
		return false;
	spin_lock_irqsave(&sim_lock, flags);
	hold_extent(b, ext);
	note_held();
	spin_unlock_irqrestore(&sim_lock, flags);
	discard_extent(ext);
	return true;
}

/* Returns whether there was memory for it. */
static bool give_one(struct balloon *b, const struct balloon_extent *ext)
{
	unsigned long flags;
	bool given;

	spin_lock_irqsave(&sim_lock, flags);
	given = release_extent(b, ext);
	note_held();
	spin_unlock_irqrestore(&sim_lock, flags);
	/* The guest does not have it before the answer. */
	if (given)
		check_discarded(ext);
	return given;
}

/* Both at once: at no moment does it hold less than before, or more. */
static bool exchange_one(struct balloon *b, const struct balloon_extent *in,
			 const struct balloon_extent *out)
{
	unsigned long flags;
	bool done;

	if (!chunk_get(in->pfn, GFP_NOWAIT | __GFP_NOWARN))
		return false;
	spin_lock_irqsave(&sim_lock, flags);
	hold_extent(b, in);
	done = release_extent(b, out);
	if (!done)
		release_extent(b, in);
	note_held();
	spin_unlock_irqrestore(&sim_lock, flags);
	if (done) {
		discard_extent(in);
		check_discarded(out);
	}
	return done;
}

/* What it claims beyond what it did it has not done. */
static long sim_answer(long n, long done)
{
	return n > 0 ? done + READ_ONCE(lie) : n;
}

static long sim_inflate(struct balloon *b, const struct balloon_extent *ext, unsigned int nr)
{
	long i, n;

	dawdle();
	n = verdict(&refuse_inflate, NULL, nr);
	for (i = 0; i < n; i++)
		if (!take_one(b, ext + i))
			break;
	return sim_answer(n, i);
}

static long sim_deflate_nowait(struct balloon *b, const struct balloon_extent *ext,
			       unsigned int nr)
{
	long i, n = verdict(&refuse_deflate, ext, nr);

	for (i = 0; i < n; i++)
		if (!give_one(b, ext + i))
			break;
	return sim_answer(n, i);
}

static long sim_deflate(struct balloon *b, const struct balloon_extent *ext, unsigned int nr)
{
	dawdle();
	return sim_deflate_nowait(b, ext, nr);
}

/* It has all of it: only that is looked at. */
static void sim_coalesced(struct balloon *b, const struct balloon_extent *ext, unsigned int nr)
{
	unsigned long *chunk, i;

	dawdle();
	for (; nr; nr--, ext++) {
		chunk = chunk_of(ext);
		spin_lock_irq(&sim_lock);
		for (i = 0; i < BALLOON_SUPERFRAME_PAGES; i++)
			if (!hold_frame(chunk, ext->pfn + i, true))
				violation("was not held when its superframe was", ext->pfn + i);
		spin_unlock_irq(&sim_lock);
	}
}

static long sim_exchange(struct balloon *b, const struct balloon_extent *in,
			 const struct balloon_extent *out, unsigned int nr, unsigned int *taken)
{
	long i, n;

	dawdle();
	n = verdict(&refuse_inflate, out, nr);
	for (i = 0; i < n; i++)
		if (!exchange_one(b, in + i, out + i))
			break;
	n = sim_answer(n, i);
	*taken = max(n, 0L);
	return n;
}

static struct balloon_ops sim_ops = {
	.inflate = sim_inflate,
	.deflate = sim_deflate,
	.coalesced = sim_coalesced,
};

static int enable(void)
{
	int err;

	if (!chunks_alloc()) {
		chunks_free();
		return -ENOMEM;
	}
	sim = (struct balloon){
		.name = "sim",
		.ops = &sim_ops,
		.max_order = max_order,
		.flags = (keep_managed ? BALLOON_KEEP_MANAGED : 0) |
			 (exact_target ? BALLOON_EXACT_TARGET : 0),
	};
	sim_ops.deflate_nowait = nowait ? sim_deflate_nowait : NULL;
	sim_ops.exchange = atomic ? sim_exchange : NULL;
	held = 0;
	least_held = 0;
	most_held = 0;
	err = balloon_register(&sim);
	if (err)
		chunks_free();
	return err;
}

static int enable_set(void *data, u64 val)
{
	int err = 0;

	if (val > 1)
		return -EINVAL;
	mutex_lock(&sim_mutex);
	if (val && !enabled) {
		err = enable();
	} else if (!val && enabled) {
		if (nr_lent) {
			err = -EBUSY;
		} else {
			balloon_unregister(&sim);
			chunks_free();
		}
	}
	if (!err)
		enabled = val;
	mutex_unlock(&sim_mutex);
	return err;
}

static int enable_get(void *data, u64 *val)
{
	*val = enabled;
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(enable_fops, enable_get, enable_set, "%llu\n");

static int target_set(void *data, u64 val)
{
	int err = -ENODEV;

	mutex_lock(&sim_mutex);
	if (enabled) {
		balloon_set_target(&sim, val);
		err = 0;
	}
	mutex_unlock(&sim_mutex);
	return err;
}

static int target_get(void *data, u64 *val)
{
	*val = enabled ? sim.target : 0;
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(target_fops, target_get, target_set, "%llu\n");

static unsigned long irq_target;

static void target_from_irq(struct irq_work *work)
{
	balloon_set_target(&sim, irq_target);
}

/* As drivers' handlers, which PREEMPT_RT runs in threads. */
static struct irq_work target_work = IRQ_WORK_INIT(target_from_irq);

static int target_irq_set(void *data, u64 val)
{
	int err = -ENODEV;

	mutex_lock(&sim_mutex);
	if (enabled) {
		irq_target = val;
		irq_work_queue(&target_work);
		irq_work_sync(&target_work);
		err = 0;
	}
	mutex_unlock(&sim_mutex);
	return err;
}
DEFINE_DEBUGFS_ATTRIBUTE(target_irq_fops, NULL, target_irq_set, "%llu\n");

static int hang_set(void *data, u64 val)
{
	if (val > 1)
		return -EINVAL;
	WRITE_ONCE(hang, val);
	wake_up_all(&hang_wait);
	return 0;
}

static int hang_get(void *data, u64 *val)
{
	*val = hang;
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(hang_fops, hang_get, hang_set, "%llu\n");

static int lend_set(void *data, u64 val)
{
	int err = 0;

	if (val > SUPERFRAME_PAGES * 16)
		return -EINVAL;
	mutex_lock(&sim_mutex);
	if (!enabled) {
		err = -ENODEV;
		goto unlock;
	}
	if (!lent)
		lent = kvcalloc(SUPERFRAME_PAGES * 16, sizeof(*lent), GFP_KERNEL);
	if (!lent) {
		err = -ENOMEM;
		goto unlock;
	}
	if (val > nr_lent) {
		nr_lent += balloon_lend(&sim, lent + nr_lent, val - nr_lent);
	} else {
		balloon_reclaim_lent(&sim, lent + val, nr_lent - val);
		nr_lent = val;
	}
unlock:
	mutex_unlock(&sim_mutex);
	return err;
}

static int lend_get(void *data, u64 *val)
{
	*val = nr_lent;
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(lend_fops, lend_get, lend_set, "%llu\n");

static int free_show(struct seq_file *m, void *unused)
{
	int nid;

	for_each_online_node(nid) {
		if (host_free[nid] == U64_MAX)
			seq_printf(m, "%d max\n", nid);
		else
			seq_printf(m, "%d %llu\n", nid, host_free[nid]);
	}
	return 0;
}

static int free_open(struct inode *inode, struct file *file)
{
	return single_open(file, free_show, NULL);
}

static ssize_t free_write(struct file *file, const char __user *ubuf, size_t len, loff_t *pos)
{
	char buf[48], word[24];
	unsigned int nid;
	u64 pages = U64_MAX;
	ssize_t n;

	n = simple_write_to_buffer(buf, sizeof(buf) - 1, pos, ubuf, len);
	if (n < 0)
		return n;
	buf[n] = '\0';
	if (n != len || sscanf(buf, "%u %23s", &nid, word) != 2 ||
	    nid >= MAX_NUMNODES || !node_online(nid) ||
	    (strcmp(word, "max") && kstrtou64(word, 10, &pages)))
		return -EINVAL;
	spin_lock_irq(&sim_lock);
	host_free[nid] = pages;
	spin_unlock_irq(&sim_lock);
	return len;
}

static const struct file_operations free_fops = {
	.owner = THIS_MODULE,
	.open = free_open,
	.read = seq_read,
	.write = free_write,
	.llseek = seq_lseek,
	.release = single_release,
};

static int least_held_set(void *data, u64 val)
{
	spin_lock_irq(&sim_lock);
	least_held = held;
	spin_unlock_irq(&sim_lock);
	return 0;
}

static int least_held_get(void *data, u64 *val)
{
	*val = least_held;
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(least_held_fops, least_held_get, least_held_set, "%llu\n");

static int most_held_set(void *data, u64 val)
{
	spin_lock_irq(&sim_lock);
	most_held = held;
	spin_unlock_irq(&sim_lock);
	return 0;
}

static int most_held_get(void *data, u64 *val)
{
	*val = most_held;
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(most_held_fops, most_held_get, most_held_set, "%llu\n");

static int __init sim_init(void)
{
	struct dentry *dir = debugfs_create_dir("balloon_sim", NULL);

	memset(host_free, 0xff, sizeof(host_free));
	debugfs_create_file("enable", 0600, dir, NULL, &enable_fops);
	debugfs_create_u32("max_order", 0600, dir, &max_order);
	debugfs_create_bool("keep_managed", 0600, dir, &keep_managed);
	debugfs_create_bool("exact_target", 0600, dir, &exact_target);
	debugfs_create_bool("nowait", 0600, dir, &nowait);
	debugfs_create_bool("atomic", 0600, dir, &atomic);
	debugfs_create_file("target", 0600, dir, NULL, &target_fops);
	debugfs_create_file("target_irq", 0200, dir, NULL, &target_irq_fops);
	debugfs_create_file("free", 0600, dir, NULL, &free_fops);
	debugfs_create_u32("refuse_inflate", 0600, dir, &refuse_inflate);
	debugfs_create_u32("refuse_deflate", 0600, dir, &refuse_deflate);
	debugfs_create_u32("refuse_order", 0600, dir, &refuse_order);
	debugfs_create_u32("fail", 0600, dir, &fail);
	debugfs_create_u32("short", 0600, dir, &short_answer);
	debugfs_create_u32("lie", 0600, dir, &lie);
	debugfs_create_u32("delay_ms", 0600, dir, &delay_ms);
	debugfs_create_file("hang", 0600, dir, NULL, &hang_fops);
	debugfs_create_file("lend", 0600, dir, NULL, &lend_fops);
	debugfs_create_u64("held", 0400, dir, &held);
	debugfs_create_file("least_held", 0600, dir, NULL, &least_held_fops);
	debugfs_create_file("most_held", 0600, dir, NULL, &most_held_fops);
	debugfs_create_u64("calls", 0400, dir, &calls);
	debugfs_create_atomic_t("violations", 0400, dir, &violations);
	return 0;
}
late_initcall(sim_init);
