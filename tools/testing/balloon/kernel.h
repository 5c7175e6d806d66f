/* SPDX-License-Identifier: GPL-2.0 */
/* What tests see of kernel.c and machine.c beyond what mm/balloon/ sees. */
#ifndef BALLOON_TEST_KERNEL_H
#define BALLOON_TEST_KERNEL_H

#include "stub.h"

struct context {
	int spin, rcu;
	bool irq_off;
	/* One that may not sleep: an interrupt, or an allocation under a lock. */
	bool atomic;
	bool alone;
	/* One that may wait for no lock. */
	bool nolock;
	bool check_irq;
	int nested;
	/* the xa_lock that is held, and the mutexes */
	spinlock_t *xa;
	const char *last_lock;
	struct mutex *mutex[8];
	unsigned int nr_mutexes;
};

extern struct context context;
extern unsigned int mutexes_held;
extern void (*preempt_hook)(const char *where);
extern bool (*work_hook)(void);
extern bool (*alloc_hook)(gfp_t gfp);
extern void (*track_hook)(void);
extern void (*fail_hook)(void);
extern const char **failed_fmt;
extern bool verbose;
extern struct xarray *only_xarray;
extern unsigned long allocations;

struct context context_enter(struct task_struct *task, struct task_struct **was);
void context_leave(const struct context *saved, struct task_struct *was);
void rcu_quiescent(void);
void run_work(struct delayed_work *dw);
bool run_due_work(void);
bool next_work(unsigned long *due);
void forget_works(void);
void forget_work(struct delayed_work *dw);

/* machine.c */
void zone_lock_taken(spinlock_t *lock);
void zone_lock_released(spinlock_t *lock);

/* A random number's successor. */
static inline u64 next_random(u64 *state)
{
	u64 z = (*state += 0x9e3779b97f4a7c15ULL);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

#endif
