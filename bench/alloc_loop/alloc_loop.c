// SPDX-License-Identifier: GPL-2.0
/*
 * A million order-0 allocations, each freed at once: what the allocator's hook
 * costs who never needs it. Under QEMU's -icount the time stamp counter counts
 * instructions; it is read with interrupts off, around each thousand.
 *
 * Prints the sum when it is loaded, and refuses to stay.
 */
#include <linux/gfp.h>
#include <linux/init.h>
#include <linux/irqflags.h>
#include <linux/module.h>
#include <asm/msr.h>

#define BATCHES	1000
#define BATCH	1000

static unsigned long long __init measure(gfp_t gfp)
{
	unsigned long long sum = 0, began;
	unsigned long flags;
	unsigned int i, j;

	for (i = 0; i < BATCHES; i++) {
		local_irq_save(flags);
		began = rdtsc_ordered();
		for (j = 0; j < BATCH; j++) {
			struct page *page = alloc_pages_node(0, gfp, 0);

			if (page)
				__free_page(page);
		}
		sum += rdtsc_ordered() - began;
		local_irq_restore(flags);
	}
	return sum;
}

static int __init alloc_loop_init(void)
{
	/* The first round fills caches and the CPU's list. */
	measure(GFP_ATOMIC);
	pr_info("alloc_loop: %d pairs, %llu instructions\n", BATCHES * BATCH, measure(GFP_ATOMIC));
	return -EAGAIN;
}
module_init(alloc_loop_init);

MODULE_DESCRIPTION("Cost of order-0 allocations");
MODULE_LICENSE("GPL");
