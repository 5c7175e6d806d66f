/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What mm/balloon/ uses of the kernel, for user space: every <linux/...> header
 * that it includes is this one (the Makefile makes them), but for <linux/list.h>
 * and <linux/sort.h>, which are the kernel's own.
 *
 * Locks, sleeping and allocation are checked rather than done: there is one
 * thread, and what would be a deadlock, a sleep or an allocation in the wrong
 * place ends the test. machine.c has the memory, kernel.c the rest.
 */
#ifndef BALLOON_STUB_H
#define BALLOON_STUB_H

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

/* The configuration */
#define CONFIG_NUMA			1
#define CONFIG_SYSFS			1
#define CONFIG_COMPACTION		1
#define CONFIG_BALLOON_CORE		1
#define CONFIG_BALLOON_NUMA		1
#define CONFIG_BALLOON_MIGRATION	1
#define CONFIG_MEMORY_HOTPLUG		1
#define CONFIG_MEMORY_ISOLATION		1
#define CONFIG_CMA			1
#define CONFIG_MIGRATION		1
#define CONFIG_LIST_HARDENED		1
#define CONFIG_DEBUG_LIST		1

#define __ARG_PLACEHOLDER_1 0,
#define __take_second_arg(ignored, val, ...) val
#define IS_ENABLED(option)	__is_defined(option)
#define IS_BUILTIN(option)	__is_defined(option)
#define __is_defined(x)		___is_defined(x)
#define ___is_defined(val)	____is_defined(__ARG_PLACEHOLDER_##val)
#define ____is_defined(junk)	__take_second_arg(junk 1, 0)

/* 4K pages unless said otherwise; with larger ones, tests have more superframes. */
#ifndef PAGE_SHIFT
#define PAGE_SHIFT		12
#endif
#define PAGE_SIZE		(1UL << PAGE_SHIFT)
/* Two superframes at most, as on x86, unless said otherwise. */
#ifndef MAX_PAGE_ORDER
#define MAX_PAGE_ORDER		(21 - PAGE_SHIFT + 1)
#endif
#define NR_PAGE_ORDERS		(MAX_PAGE_ORDER + 1)
#define MAX_ORDER_NR_PAGES	(1UL << MAX_PAGE_ORDER)
#define MAX_NUMNODES		1024
#define NUMA_NO_NODE		(-1)
#define HZ			250
#define BITS_PER_LONG		64
#define BITS_PER_BYTE		8

/* Types and the compiler */
typedef uint64_t u64;
typedef int64_t s64;
typedef uint32_t u32;
typedef int32_t s32;
typedef uint16_t u16;
typedef uint8_t u8;
typedef uint64_t __u64;
typedef uint32_t __u32;
typedef unsigned int gfp_t;
typedef unsigned int isolate_mode_t;
#define ISOLATE_ASYNC_MIGRATE	4u
typedef uint64_t phys_addr_t;
typedef int (*initcall_t)(void);
typedef u64 ktime_t;

#define __rcu
#define __force
#define __user
#define __iomem
#define __percpu
#define __bitwise
#define __init
#define __exit
#define __meminit
#define __initdata
#define __ro_after_init
#define __read_mostly
/* Newer kernels tell clang that a function may read what others change. */
#define __context_unsafe(...)
#define __must_check		__attribute__((warn_unused_result))
#define __maybe_unused		__attribute__((unused))
#define __always_unused		__attribute__((unused))
#undef __always_inline
#undef __attribute_const__
#define __always_inline		inline __attribute__((always_inline))
#define __attribute_const__	__attribute__((const))
#define __printf(a, b)		__attribute__((format(printf, a, b)))
#ifndef __noreturn
#define __noreturn		__attribute__((noreturn))
#endif
#undef noinline
#define noinline		__attribute__((noinline))
#define ____cacheline_aligned_in_smp
#define ____cacheline_aligned
#define fallthrough		__attribute__((fallthrough))
#define __cold
#define __counted_by(m)
#define barrier()		asm volatile("" : : : "memory")
#define likely(x)		__builtin_expect(!!(x), 1)
#define unlikely(x)		__builtin_expect(!!(x), 0)
#define data_race(x)		(x)
#define smp_mb()		__sync_synchronize()
#define smp_rmb()		barrier()
#define smp_wmb()		barrier()
#define smp_mb__before_atomic()	barrier()
#define smp_mb__after_atomic()	barrier()
#define READ_ONCE(x)		(*(const volatile typeof(x) *)&(x))
#define WRITE_ONCE(x, v)	(*(volatile typeof(x) *)&(x) = (v))
#define smp_load_acquire(p)	READ_ONCE(*(p))
#define smp_store_release(p, v)	WRITE_ONCE(*(p), v)
#define smp_store_mb(v, x)	WRITE_ONCE(v, x)
#define xchg(p, v)		({ typeof(*(p)) old_ = *(p); *(p) = (v); old_; })
#define cmpxchg(p, o, n)	({ typeof(*(p)) old_ = *(p); if (old_ == (o)) *(p) = (n); old_; })
#define try_cmpxchg(p, o, n)	({ bool same_ = *(p) == *(o);				\
				   if (same_) *(p) = (n); else *(o) = *(p); same_; })
#define container_of(ptr, type, member) \
	((type *)((char *)(ptr) - offsetof(type, member)))
#define struct_size(p, m, n)	(sizeof(*(p)) + sizeof((p)->m[0]) * (n))
#define ARRAY_SIZE(a)		(sizeof(a) / sizeof((a)[0]))
#define __same_type(a, b)	__builtin_types_compatible_p(typeof(a), typeof(b))
#define BUILD_BUG_ON(c)		((void)sizeof(char[1 - 2 * !!(c)]))
#define BUILD_BUG_ON_ZERO(e)	((int)(sizeof(struct { int : (-!!(e)); })))
#define static_assert		_Static_assert
#define DIV_ROUND_UP(n, d)	(((n) + (d) - 1) / (d))
#define EXPORT_SYMBOL(s)
#define EXPORT_SYMBOL_GPL(s)
#define THIS_MODULE		NULL
#define MODULE_LICENSE(s)
#define MODULE_PARM_DESC(a, b)
#define __stringify(x...)	#x
#define __setup(s, f)
#define early_param(s, f)
#define core_param(n, v, t, p)
#define module_param(n, t, p)
#define module_param_named(n, v, t, p)

/* Initcalls run in the order of linking, see kernel_initcalls(). */
#define initcall_of(fn)		static int (*initcall_##fn)(void) \
				__attribute__((used, section("initcalls"))) = fn
#define pure_initcall(fn)	initcall_of(fn)
#define core_initcall(fn)	initcall_of(fn)
#define subsys_initcall(fn)	initcall_of(fn)
#define fs_initcall(fn)		initcall_of(fn)
#define device_initcall(fn)	initcall_of(fn)
#define late_initcall(fn)	initcall_of(fn)
#define late_initcall_sync(fn)	initcall_of(fn)
#define module_init(fn)		initcall_of(fn)

/* Numbers */
#define BIT(n)			(1UL << (n))
#define BIT_ULL(n)		(1ULL << (n))
#define GENMASK(h, l)		((~0UL << (l)) & (~0UL >> (63 - (h))))
#define BITS_TO_LONGS(n)	DIV_ROUND_UP(n, BITS_PER_LONG)
#define ALIGN(x, a)		(((x) + ((typeof(x))(a) - 1)) & ~((typeof(x))(a) - 1))
#define ALIGN_DOWN(x, a)	((x) & ~((typeof(x))(a) - 1))
#define IS_ALIGNED(x, a)	(!((x) & ((typeof(x))(a) - 1)))
#define round_down(x, a)	((x) & ~((typeof(x))((a) - 1)))
#define round_up(x, a)		((((x) - 1) | ((typeof(x))((a) - 1))) + 1)
#define roundup(x, y)		((((x) + (y) - 1) / (y)) * (y))
#define rounddown(x, y)		((x) - (x) % (y))
#define roundup_pow_of_two(n)	((n) < 2 ? 1UL : 1UL << (64 - __builtin_clzl((n) - 1)))
#define rounddown_pow_of_two(n)	(1UL << (63 - __builtin_clzl(n)))
#define SZ_1M			0x100000UL
#define SZ_2M			0x200000UL
#define SZ_4M			0x400000UL
#define SZ_1G			0x40000000UL
#define U64_MAX			UINT64_MAX
#define U32_MAX			UINT32_MAX
#define S64_MAX			INT64_MAX

#define MIN(a, b)		((a) < (b) ? (a) : (b))
#define MAX(a, b)		((a) > (b) ? (a) : (b))
#define min(a, b)		({ __auto_type a_ = (a); __auto_type b_ = (b); a_ < b_ ? a_ : b_; })
#define max(a, b)		({ __auto_type a_ = (a); __auto_type b_ = (b); a_ > b_ ? a_ : b_; })
#define min_t(t, a, b)		({ t a_ = (a); t b_ = (b); a_ < b_ ? a_ : b_; })
#define max_t(t, a, b)		({ t a_ = (a); t b_ = (b); a_ > b_ ? a_ : b_; })
#define min3(a, b, c)		min(min(a, b), c)
#define max3(a, b, c)		max(max(a, b), c)
#define clamp(v, lo, hi)	({ __auto_type v_ = (v); __auto_type lo_ = (lo); __auto_type hi_ = (hi); \
				   v_ < lo_ ? lo_ : v_ > hi_ ? hi_ : v_; })
#define clamp_t(t, v, lo, hi)	min_t(t, max_t(t, v, lo), hi)
#define abs_diff(a, b)		((a) > (b) ? (a) - (b) : (b) - (a))

static __always_inline int ilog2_of(u64 n)
{
	return 63 - __builtin_clzll(n);
}
#define ilog2(n)		(__builtin_constant_p(n) ? 63 - __builtin_clzll(n) : ilog2_of(n))
#define is_power_of_2(n)	((n) && !((n) & ((n) - 1)))
#define order_base_2(n)		((n) > 1 ? ilog2_of((n) - 1) + 1 : 0)
#define fls64(n)		((n) ? ilog2_of(n) + 1 : 0)
#define fls(n)			fls64(n)
#define __ffs(n)		((unsigned int)__builtin_ctzl(n))
#define __fls(n)		((unsigned int)(63 - __builtin_clzl(n)))

static inline u64 div64_u64(u64 a, u64 b) { return a / b; }
static inline u64 div_u64(u64 a, u32 b) { return a / b; }
#define do_div(n, base)		({ u32 rem_ = (n) % (base); (n) /= (base); rem_; })
static inline u64 mul_u64_u64_div_u64(u64 a, u64 b, u64 c)
{
	return (unsigned __int128)a * b / c;
}
static inline u64 mul_u64_u64_shr(u64 a, u64 b, unsigned int shift)
{
	return (unsigned __int128)a * b >> shift;
}
static inline u64 mul_u64_u32_shr(u64 a, u32 b, unsigned int shift)
{
	return (unsigned __int128)a * b >> shift;
}
#define check_add_overflow(a, b, d)	__builtin_add_overflow(a, b, d)
#define check_sub_overflow(a, b, d)	__builtin_sub_overflow(a, b, d)
#define size_add(a, b)		((a) + (b))
#define array_size(a, b)	((a) * (b))

int kstrtoul(const char *s, unsigned int base, unsigned long *res);
int scnprintf(char *buf, size_t size, const char *fmt, ...) __printf(3, 4);
char *strim(char *s);
bool sysfs_streq(const char *a, const char *b);
int sysfs_match_string_n(const char *const *array, size_t n, const char *s);
#define sysfs_match_string(a, s)	sysfs_match_string_n(a, ARRAY_SIZE(a), s)
unsigned long long memparse(const char *ptr, char **retptr);

/* Tests end here. */
void fail(const char *fmt, ...) __printf(1, 2) __noreturn;
#define WARN(c, fmt...) \
	({ if (c) fail("WARN at %s:%d: %s", __FILE__, __LINE__, #c); false; })
#define WARN_ONCE(c, fmt...)	WARN(c)
#define WARN_ON(c)		({ if (c) fail("WARN_ON at %s:%d: %s", __FILE__, __LINE__, #c); false; })
#define WARN_ON_ONCE(c)		WARN_ON(c)
#define VM_WARN_ON_ONCE(c)	WARN_ON(c)
#define VM_WARN_ON(c)		WARN_ON(c)
#define VM_WARN_ON_ONCE_PAGE(c, p)	WARN_ON(c)
#define VM_BUG_ON_PAGE(c, p)	WARN_ON(c)
#define VM_BUG_ON(c)		WARN_ON(c)
#define BUG_ON(c)		WARN_ON(c)

#ifndef pr_fmt
#define pr_fmt(fmt)		fmt
#endif
void kernel_log(const char *fmt, ...) __printf(1, 2);
#define pr_err(fmt, a...)			kernel_log(pr_fmt(fmt), ##a)
#define pr_warn(fmt, a...)			kernel_log(pr_fmt(fmt), ##a)
#define pr_notice(fmt, a...)			kernel_log(pr_fmt(fmt), ##a)
#define pr_info(fmt, a...)			kernel_log(pr_fmt(fmt), ##a)
#define pr_debug(fmt, a...)			kernel_log(pr_fmt(fmt), ##a)
#define pr_warn_ratelimited(fmt, a...)		kernel_log(pr_fmt(fmt), ##a)
#define pr_info_ratelimited(fmt, a...)		kernel_log(pr_fmt(fmt), ##a)
#define pr_err_ratelimited(fmt, a...)		kernel_log(pr_fmt(fmt), ##a)
#define pr_warn_once(fmt, a...)			kernel_log(pr_fmt(fmt), ##a)
#define pr_info_once(fmt, a...)			kernel_log(pr_fmt(fmt), ##a)

/* Errors in pointers */
#define IS_ERR(p)		((unsigned long)(p) >= -4095UL)
#define PTR_ERR(p)		((long)(p))
#define ERR_PTR(e)		((void *)(long)(e))

/* Atomics: there is one thread */
typedef struct { int counter; } atomic_t;
typedef struct { long counter; } atomic_long_t;
typedef atomic_long_t atomic64_t;
#define ATOMIC_INIT(i)		{ (i) }
#define ATOMIC_LONG_INIT(i)	{ (i) }
#define ATOMIC_OPS(t, v)								\
static inline v t##_read(const t##_t *a) { return a->counter; }			\
static inline v t##_read_acquire(const t##_t *a) { return a->counter; }			\
static inline void t##_set(t##_t *a, v i) { a->counter = i; }				\
static inline void t##_set_release(t##_t *a, v i) { a->counter = i; }			\
static inline void t##_add(v i, t##_t *a) { a->counter += i; }				\
static inline void t##_sub(v i, t##_t *a) { a->counter -= i; }				\
static inline void t##_inc(t##_t *a) { a->counter++; }					\
static inline void t##_dec(t##_t *a) { a->counter--; }					\
static inline v t##_inc_return(t##_t *a) { return ++a->counter; }			\
static inline v t##_dec_return(t##_t *a) { return --a->counter; }			\
static inline v t##_add_return(v i, t##_t *a) { return a->counter += i; }		\
static inline v t##_sub_return(v i, t##_t *a) { return a->counter -= i; }		\
static inline v t##_fetch_add(v i, t##_t *a) { a->counter += i; return a->counter - i; } \
static inline bool t##_dec_and_test(t##_t *a) { return !--a->counter; }			\
static inline v t##_xchg(t##_t *a, v i) { v o = a->counter; a->counter = i; return o; }	\
static inline v t##_cmpxchg(t##_t *a, v o, v n)						\
{ v was = a->counter; if (was == o) a->counter = n; return was; }			\
static inline bool t##_try_cmpxchg(t##_t *a, v *o, v n)					\
{ if (a->counter == *o) { a->counter = n; return true; } *o = a->counter; return false; }
ATOMIC_OPS(atomic, int)
ATOMIC_OPS(atomic_long, long)

/* Bitmaps */
#define DECLARE_BITMAP(name, bits)	unsigned long name[BITS_TO_LONGS(bits)]
static inline bool test_bit(unsigned long n, const unsigned long *a)
{
	return a[n / 64] >> (n % 64) & 1;
}
static inline void __set_bit(unsigned long n, unsigned long *a) { a[n / 64] |= BIT(n % 64); }
static inline void __clear_bit(unsigned long n, unsigned long *a) { a[n / 64] &= ~BIT(n % 64); }
#define set_bit			__set_bit
#define clear_bit		__clear_bit
static inline bool __test_and_set_bit(unsigned long n, unsigned long *a)
{
	bool was = test_bit(n, a);

	__set_bit(n, a);
	return was;
}
static inline bool __test_and_clear_bit(unsigned long n, unsigned long *a)
{
	bool was = test_bit(n, a);

	__clear_bit(n, a);
	return was;
}
#define test_and_set_bit	__test_and_set_bit
#define test_and_clear_bit	__test_and_clear_bit

static inline unsigned long find_next_bit(const unsigned long *a, unsigned long size,
					  unsigned long n)
{
	unsigned long word;

	while (n < size) {
		word = a[n / 64] >> (n % 64);
		if (word)
			return MIN(n + __builtin_ctzl(word), size);
		n = ALIGN_DOWN(n, 64UL) + 64;
	}
	return size;
}
static inline unsigned long find_next_zero_bit(const unsigned long *a, unsigned long size,
					       unsigned long n)
{
	while (n < size && test_bit(n, a))
		n++;
	return n;
}
#define find_first_bit(a, size)		find_next_bit(a, size, 0)
#define find_first_zero_bit(a, size)	find_next_zero_bit(a, size, 0)
#define for_each_set_bit(bit, a, size)						\
	for ((bit) = find_next_bit(a, size, 0); (bit) < (size);			\
	     (bit) = find_next_bit(a, size, (bit) + 1))
#define for_each_set_bit_from(bit, a, size)					\
	for ((bit) = find_next_bit(a, size, bit); (bit) < (size);		\
	     (bit) = find_next_bit(a, size, (bit) + 1))
#define for_each_clear_bit(bit, a, size)					\
	for ((bit) = find_next_zero_bit(a, size, 0); (bit) < (size);		\
	     (bit) = find_next_zero_bit(a, size, (bit) + 1))
static inline void bitmap_zero(unsigned long *a, unsigned int bits)
{
	memset(a, 0, BITS_TO_LONGS(bits) * sizeof(*a));
}
static inline void bitmap_fill(unsigned long *a, unsigned int bits)
{
	unsigned int i;

	bitmap_zero(a, bits);
	for (i = 0; i < bits; i++)
		__set_bit(i, a);
}
static inline unsigned int bitmap_weight(const unsigned long *a, unsigned int bits)
{
	unsigned int n = 0, bit;

	for_each_set_bit(bit, a, bits)
		n++;
	return n;
}
#define bitmap_empty(a, n)	(find_first_bit(a, n) >= (n))
#define bitmap_full(a, n)	(find_first_zero_bit(a, n) >= (n))
static inline void bitmap_set(unsigned long *a, unsigned int from, unsigned int n)
{
	while (n--)
		__set_bit(from++, a);
}
static inline void bitmap_clear(unsigned long *a, unsigned int from, unsigned int n)
{
	while (n--)
		__clear_bit(from++, a);
}
static inline unsigned long *bitmap_zalloc(unsigned int bits, gfp_t gfp);
static inline void bitmap_free(const unsigned long *a);
#define bitmap_copy(d, s, n)	memcpy(d, s, BITS_TO_LONGS(n) * sizeof(long))

/* Lists: the kernel's, with checks */
struct list_head { struct list_head *next, *prev; };
struct hlist_head { struct hlist_node *first; };
struct hlist_node { struct hlist_node *next, **pprev; };
struct rcu_head { struct rcu_head *next; void *what; };
#define LIST_POISON1		((void *)0x100)
#define LIST_POISON2		((void *)0x122)
#define POISON_POINTER_DELTA	0
#define __list_valid_slowpath
#include "kernel-list.h"

typedef int (*cmp_r_func_t)(const void *a, const void *b, const void *priv);
typedef int (*cmp_func_t)(const void *a, const void *b);
typedef void (*swap_r_func_t)(void *a, void *b, int size, const void *priv);
typedef void (*swap_func_t)(void *a, void *b, int size);

/* Who runs, and what it holds */
#define PF_MEMALLOC		0x0800
#define PF_KTHREAD		0x200000
struct task_struct { const char *name; unsigned int flags; };
extern struct task_struct *current_task;
#define current			current_task
void might_sleep_at(const char *what, const char *file, int line);
#define might_sleep()		might_sleep_at("might_sleep()", __FILE__, __LINE__)
#define might_alloc(gfp)	do { } while (0)
void preempted(const char *where);
#define cond_resched()		({ might_sleep_at("cond_resched()", __FILE__, __LINE__); \
				   preempted("cond_resched()"); 0; })
#define need_resched()		false
#define signal_pending(t)	false
#define fatal_signal_pending(t)	false
static inline unsigned int memalloc_noreclaim_save(void)
{
	unsigned int was = current->flags & PF_MEMALLOC;

	current->flags |= PF_MEMALLOC;
	return was;
}
static inline void memalloc_noreclaim_restore(unsigned int was)
{
	current->flags = (current->flags & ~PF_MEMALLOC) | was;
}
#define PF_MEMALLOC_NOIO	0x00080000
#define PF_MEMALLOC_NOFS	0x00040000
static inline unsigned int memalloc_noio_save(void)
{
	unsigned int was = current->flags & PF_MEMALLOC_NOIO;

	current->flags |= PF_MEMALLOC_NOIO;
	return was;
}
static inline void memalloc_noio_restore(unsigned int was)
{
	current->flags = (current->flags & ~PF_MEMALLOC_NOIO) | was;
}

typedef struct {
	struct task_struct *owner;
	const char *name;
	/* Never together with another: zone->lock. */
	bool alone;
	/* An xarray's: within others */
	bool xa;
} spinlock_t;
typedef spinlock_t raw_spinlock_t;
#define __SPIN_LOCK_UNLOCKED(n)	{ .name = #n }
#define DEFINE_SPINLOCK(n)	spinlock_t n = __SPIN_LOCK_UNLOCKED(n)
void spin_lock_at(spinlock_t *lock, const char *file, int line);
void spin_unlock_at(spinlock_t *lock, const char *file, int line);
bool spin_trylock_at(spinlock_t *lock, const char *file, int line);
unsigned long irq_off(void);
void irq_restore(unsigned long flags);
void irq_on_at(const char *file, int line);
bool irqs_disabled(void);
#define spin_lock_init(l)	(*(l) = (spinlock_t){ .name = #l })
#define spin_lock(l)		spin_lock_at(l, __FILE__, __LINE__)
#define spin_unlock(l)		spin_unlock_at(l, __FILE__, __LINE__)
#define spin_trylock(l)		spin_trylock_at(l, __FILE__, __LINE__)
#define spin_lock_irq(l)	do { irq_off(); spin_lock(l); } while (0)
#define spin_unlock_irq(l)	do { spin_unlock(l); irq_on_at(__FILE__, __LINE__); } while (0)
#define spin_lock_irqsave(l, f)	do { (f) = irq_off(); spin_lock(l); } while (0)
#define spin_unlock_irqrestore(l, f)	do { spin_unlock(l); irq_restore(f); } while (0)
#define spin_is_locked(l)	((l)->owner != NULL)
#define local_irq_save(f)	((f) = irq_off())
#define local_irq_restore(f)	irq_restore(f)
#define preempt_disable()	do { } while (0)
#define preempt_enable()	do { } while (0)
void assert_held(const void *owner, const char *what, const char *file, int line);
#define lockdep_assert_held(l)	assert_held((l)->owner, #l, __FILE__, __LINE__)
#define lockdep_is_held(l)	((l)->owner == current)
#define lockdep_assert_irqs_enabled() \
	do { if (irqs_disabled()) fail("irqs are off at %s:%d", __FILE__, __LINE__); } while (0)

struct mutex {
	struct task_struct *owner;
	const char *name;
};
#define DEFINE_MUTEX(n)		struct mutex n = { .name = #n }
#define mutex_init(m)		(*(m) = (struct mutex){ .name = #m })
void mutex_lock_at(struct mutex *m, const char *file, int line);
void mutex_unlock_at(struct mutex *m, const char *file, int line);
int mutex_trylock_at(struct mutex *m, const char *file, int line);
#define mutex_lock(m)		mutex_lock_at(m, __FILE__, __LINE__)
#define mutex_unlock(m)		mutex_unlock_at(m, __FILE__, __LINE__)
#define mutex_trylock(m)	mutex_trylock_at(m, __FILE__, __LINE__)
/* Where another context has it, which goes on only when this one is over: it is killed. */
#define mutex_lock_killable(m)	((m)->owner && (m)->owner != current ? -EINTR : (mutex_lock(m), 0))
#define mutex_is_locked(m)	((m)->owner != NULL)

struct semaphore { struct mutex m; };
#define DEFINE_SEMAPHORE(n, i)	struct semaphore n = { { .name = #n } }
#define down(s)			mutex_lock(&(s)->m)
#define up(s)			mutex_unlock(&(s)->m)
#define down_trylock(s)		(!mutex_trylock(&(s)->m))
int down_timeout(struct semaphore *s, long jiffies);

/* RCU: a grace period is over when nobody reads */
void rcu_read_lock(void);
void rcu_read_unlock(void);
bool rcu_read_lock_held(void);
void synchronize_rcu(void);
void call_free_rcu(void *p, struct rcu_head *head);
#define kfree_rcu(p, member)	call_free_rcu(p, &(p)->member)
#define rcu_dereference(p)	({ if (!rcu_read_lock_held())			\
					fail("not under RCU at %s:%d", __FILE__, __LINE__); \
				   READ_ONCE(p); })
#define rcu_dereference_protected(p, c)	READ_ONCE(p)
#define rcu_access_pointer(p)	READ_ONCE(p)
#define rcu_assign_pointer(p, v)	WRITE_ONCE(p, v)
#define rcu_replace_pointer(p, v, c)	({ typeof(p) old_ = (p); (p) = (v); old_; })
#define RCU_INIT_POINTER(p, v)	WRITE_ONCE(p, v)

/* Allocation */
#define __GFP_HIGHMEM		0x02u
#define __GFP_DMA32		0x04u
#define __GFP_MOVABLE		0x08u
#define __GFP_RECLAIMABLE	0x10u
#define __GFP_HIGH		0x20u
#define __GFP_IO		0x40u
#define __GFP_FS		0x80u
#define __GFP_ZERO		0x100u
#define __GFP_DIRECT_RECLAIM	0x400u
#define __GFP_KSWAPD_RECLAIM	0x800u
#define __GFP_NOWARN		0x2000u
#define __GFP_RETRY_MAYFAIL	0x4000u
#define __GFP_NOFAIL		0x8000u
#define __GFP_NORETRY		0x10000u
#define __GFP_MEMALLOC		0x20000u
#define __GFP_COMP		0x40000u
#define __GFP_NOMEMALLOC	0x80000u
#define __GFP_HARDWALL		0x100000u
#define __GFP_THISNODE		0x200000u
#define __GFP_ACCOUNT		0x400000u
#define __GFP_RECLAIM		(__GFP_DIRECT_RECLAIM | __GFP_KSWAPD_RECLAIM)
#define GFP_KERNEL		(__GFP_RECLAIM | __GFP_IO | __GFP_FS)
#define GFP_NOWAIT		(__GFP_KSWAPD_RECLAIM | __GFP_NOWARN)
#define GFP_ATOMIC		(__GFP_HIGH | __GFP_KSWAPD_RECLAIM)
#define GFP_NOIO		(__GFP_RECLAIM)
#define GFP_NOFS		(__GFP_RECLAIM | __GFP_IO)
#define GFP_USER		(GFP_KERNEL | __GFP_HARDWALL)
#define GFP_HIGHUSER		(GFP_USER | __GFP_HIGHMEM)
#define GFP_HIGHUSER_MOVABLE	(GFP_HIGHUSER | __GFP_MOVABLE)
#define gfpflags_allow_blocking(g)	(!!((g) & __GFP_DIRECT_RECLAIM))
void *kernel_alloc(size_t size, gfp_t gfp, const char *file, int line);
void kernel_free(const void *p);
#define kmalloc(s, g)			kernel_alloc(s, g, __FILE__, __LINE__)
#define kzalloc(s, g)			kernel_alloc(s, (g) | __GFP_ZERO, __FILE__, __LINE__)
#define kzalloc_obj(o, g)		kzalloc(sizeof(o), g)
#define kzalloc_node(s, g, n)		((void)(n), kzalloc(s, g))
#define kmalloc_array(n, s, g)		kmalloc((n) * (s), g)
#define kcalloc(n, s, g)		kzalloc((n) * (s), g)
#define kvmalloc(s, g)			kmalloc(s, g)
#define kvzalloc(s, g)			kzalloc(s, g)
#define kvmalloc_array(n, s, g)		kmalloc((n) * (s), g)
#define kvzalloc_obj(o, g)		kzalloc_obj(o, g)
#define kvcalloc(n, s, g)		kzalloc((n) * (s), g)
#define vmalloc(s)			kmalloc(s, GFP_KERNEL)
#define vzalloc(s)			kzalloc(s, GFP_KERNEL)
#define kfree(p)			kernel_free(p)
#define kvfree(p)			kernel_free(p)
#define vfree(p)			kernel_free(p)
static inline unsigned long *bitmap_zalloc(unsigned int bits, gfp_t gfp)
{
	return kzalloc(BITS_TO_LONGS(bits) * sizeof(long), gfp);
}
static inline void bitmap_free(const unsigned long *a) { kfree(a); }

/* The xarray, as far as it is used: stores allocate for slots that are not there yet */
#define XA_ZERO_ENTRY		((void *)0x402)
#define XA_FLAGS_LOCK_IRQ	1u
#define xa_is_zero(e)		((e) == XA_ZERO_ENTRY)
struct xarray {
	spinlock_t xa_lock;
	void **slot;
	unsigned char *node;
	unsigned long size;
};
struct xa_state {
	struct xarray *xa;
	unsigned long index;
	bool node;
	int err;
};
#define XARRAY_INIT(n, f)		{ .xa_lock = { .name = #n ".xa_lock", .xa = true } }
#define DEFINE_XARRAY_FLAGS(n, f)	struct xarray n = XARRAY_INIT(n, f)
#define DEFINE_XARRAY(n)		struct xarray n = XARRAY_INIT(n, 0)
#define XA_STATE(n, a, i)		struct xa_state n = { .xa = (a), .index = (i) }
void *xa_load(struct xarray *xa, unsigned long index);
void *xa_erase(struct xarray *xa, unsigned long index);
void *__xa_erase(struct xarray *xa, unsigned long index);
#define xa_lock(x)		spin_lock(&(x)->xa_lock)
#define xa_unlock(x)		spin_unlock(&(x)->xa_lock)
void *xas_load(struct xa_state *xas);
void *xas_store(struct xa_state *xas, void *entry);
bool xas_nomem(struct xa_state *xas, gfp_t gfp);
#define xas_error(x)		((x)->err)
#define xas_lock(x)		spin_lock(&(x)->xa->xa_lock)
#define xas_unlock(x)		spin_unlock(&(x)->xa->xa_lock)
#define xas_lock_irq(x)		spin_lock_irq(&(x)->xa->xa_lock)
#define xas_unlock_irq(x)	spin_unlock_irq(&(x)->xa->xa_lock)
#define xas_lock_irqsave(x, f)	spin_lock_irqsave(&(x)->xa->xa_lock, f)
#define xas_unlock_irqrestore(x, f)	spin_unlock_irqrestore(&(x)->xa->xa_lock, f)
bool xa_empty(const struct xarray *xa);

/* Time: it passes when the test says so, or somebody sleeps */
extern unsigned long jiffies;
#define INITIAL_JIFFIES		((unsigned long)(unsigned int)(-300 * HZ))
#define time_after(a, b)	((long)((b) - (a)) < 0)
#define time_before(a, b)	time_after(b, a)
#define time_after_eq(a, b)	((long)((a) - (b)) >= 0)
#define time_before_eq(a, b)	time_after_eq(b, a)
#define time_in_range_open(a, b, c)	(time_after_eq(a, b) && time_before(a, c))
#define time_in_range(a, b, c)	(time_after_eq(a, b) && time_before_eq(a, c))
#define msecs_to_jiffies(m)	DIV_ROUND_UP((unsigned long)(m) * HZ, 1000)
#define jiffies_to_msecs(j)	((unsigned int)((j) * 1000 / HZ))
#define secs_to_jiffies(s)	((s) * HZ)
#define NSEC_PER_SEC		1000000000L
#define NSEC_PER_MSEC		1000000L
#define USEC_PER_SEC		1000000L
#define MSEC_PER_SEC		1000L
#define ktime_get_mono_fast_ns()	((u64)jiffies * (NSEC_PER_SEC / HZ))
#define ktime_get_ns()		ktime_get_mono_fast_ns()
#define ktime_get()		ktime_get_mono_fast_ns()
void sleep_jiffies(unsigned long n, const char *file, int line);
#define msleep(m)		sleep_jiffies(msecs_to_jiffies(m), __FILE__, __LINE__)
#define msleep_interruptible(m)	({ msleep(m); 0UL; })
#define schedule_timeout_uninterruptible(n)	({ sleep_jiffies(n, __FILE__, __LINE__); 0L; })
#define schedule_timeout_killable(n)	schedule_timeout_uninterruptible(n)
#define schedule_timeout_interruptible(n)	schedule_timeout_uninterruptible(n)
#define schedule_timeout_idle(n)	schedule_timeout_uninterruptible(n)

/* Work: done when the test says so */
struct work_struct;
typedef void (*work_func_t)(struct work_struct *work);
struct workqueue_struct { const char *name; };
struct work_struct { work_func_t func; bool pending; bool running; };
struct delayed_work {
	struct work_struct work;
	unsigned long due;
	struct delayed_work *next;
};
extern struct workqueue_struct *system_freezable_wq, *system_wq, *system_unbound_wq;
#define WQ_UNBOUND		2
#define WQ_FREEZABLE		4
#define WQ_MEM_RECLAIM		8
#define WQ_SYSFS		64
#define WQ_HIGHPRI		16
#define alloc_workqueue(fmt, flags, max, ...)	(system_unbound_wq)
#define destroy_workqueue(wq)	do { } while (0)
#define INIT_DELAYED_WORK(dw, fn)	init_delayed_work(dw, fn)
#define INIT_DEFERRABLE_WORK(dw, fn)	init_delayed_work(dw, fn)
void init_delayed_work(struct delayed_work *dw, work_func_t fn);
#define DECLARE_WORK(n, fn)	struct work_struct n = { .func = fn }
bool queue_work(struct workqueue_struct *wq, struct work_struct *work);
/* Has work that is not delayed done, or sleeps a tick, which it returns. */
long wait_a_moment(const char *file, int line);
bool mod_delayed_work(struct workqueue_struct *wq, struct delayed_work *dw, unsigned long delay);
bool queue_delayed_work(struct workqueue_struct *wq, struct delayed_work *dw, unsigned long delay);
bool cancel_delayed_work_sync(struct delayed_work *dw);
bool cancel_delayed_work(struct delayed_work *dw);
bool flush_delayed_work(struct delayed_work *dw);
unsigned int work_busy(struct work_struct *work);
#define delayed_work_pending(dw)	((dw)->work.pending)
#define schedule_delayed_work(dw, d)	queue_delayed_work(system_wq, dw, d)
static inline struct delayed_work *to_delayed_work(struct work_struct *work)
{
	return container_of(work, struct delayed_work, work);
}
typedef struct { int x; } wait_queue_head_t;
#define DECLARE_WAIT_QUEUE_HEAD(n)	wait_queue_head_t n
#define init_waitqueue_head(w)	do { } while (0)
#define wake_up(w)		do { } while (0)
#define wake_up_all(w)		do { } while (0)
#define wait_event(w, c) \
	do { might_sleep(); while (!(c)) sleep_jiffies(1, __FILE__, __LINE__); } while (0)
#define wait_event_timeout(w, c, t) \
	({ long t_ = (t); might_sleep(); \
	   while (!(c) && t_ > 0) \
		t_ -= wait_a_moment(__FILE__, __LINE__); \
	   (c) ? max(t_, 1L) : 0; })
#define wait_event_killable_timeout(w, c, t)	wait_event_timeout(w, c, t)
#define psi_memstall_enter(f)	((void)(*(f) = 0))
#define psi_memstall_leave(f)	((void)(f))
#define pm_suspended_storage()	false

/* Notifiers */
struct notifier_block;

/* Static keys */
struct static_key { bool on; };
struct static_key_false { struct static_key key; };
#define DEFINE_STATIC_KEY_FALSE(n)	struct static_key_false n
#define DECLARE_STATIC_KEY_FALSE(n)	extern struct static_key_false n
#define static_key_enabled(k)		((k)->key.on)
#define static_branch_unlikely(k)	((k)->key.on)
#define static_branch_likely(k)		((k)->key.on)
#define static_branch_enable(k)		do { might_sleep(); (k)->key.on = true; } while (0)
#define static_branch_disable(k)	do { might_sleep(); (k)->key.on = false; } while (0)

/* Nodes */
typedef struct { DECLARE_BITMAP(bits, MAX_NUMNODES); } nodemask_t;
enum node_states { N_POSSIBLE, N_ONLINE, N_NORMAL_MEMORY, N_HIGH_MEMORY = N_NORMAL_MEMORY,
		   N_MEMORY, N_CPU, NR_NODE_STATES };
extern nodemask_t node_states[NR_NODE_STATES];
extern unsigned int nr_node_ids;
#define NODE_MASK_NONE		((nodemask_t){ { 0 } })
#define node_set(n, m)		__set_bit(n, (m).bits)
#define node_clear(n, m)	__clear_bit(n, (m).bits)
#define node_isset(n, m)	test_bit(n, (m).bits)
#define nodes_clear(m)		bitmap_zero((m).bits, MAX_NUMNODES)
#define nodes_weight(m)		bitmap_weight((m).bits, MAX_NUMNODES)
#define nodes_or(d, a, b) \
	do { for (int w_ = 0; w_ < (int)ARRAY_SIZE((d).bits); w_++) \
		     (d).bits[w_] = (a).bits[w_] | (b).bits[w_]; } while (0)
#define nodes_empty(m)		bitmap_empty((m).bits, MAX_NUMNODES)
#define first_node(m)		((int)find_first_bit((m).bits, MAX_NUMNODES))
#define next_node(n, m)		((int)find_next_bit((m).bits, MAX_NUMNODES, (n) + 1))
#define nodemask_of_node(n)	({ nodemask_t m_ = NODE_MASK_NONE; node_set(n, m_); m_; })
#define node_state(n, s)	node_isset(n, node_states[s])
#define node_online(n)		node_state(n, N_ONLINE)
#define node_possible(n)	node_state(n, N_POSSIBLE)
#define node_online_map		node_states[N_ONLINE]
#define first_online_node	first_node(node_states[N_ONLINE])
#define first_memory_node	first_node(node_states[N_MEMORY])
#define num_online_nodes()	nodes_weight(node_states[N_ONLINE])
#define num_node_state(s)	nodes_weight(node_states[s])
#define for_each_node_mask(n, m) \
	for ((n) = first_node(m); (n) < MAX_NUMNODES; (n) = next_node(n, m))
#define for_each_node_state(n, s)	for_each_node_mask(n, node_states[s])
#define for_each_online_node(n)	for_each_node_state(n, N_ONLINE)
#define for_each_node(n)	for_each_node_state(n, N_POSSIBLE)
int node_distance(int from, int to);
int numa_mem_id(void);
#define numa_node_id()		numa_mem_id()
#define cpu_to_mem(c)		numa_mem_id()
#define cpu_to_node(c)		numa_mem_id()
#define raw_smp_processor_id()	0
#define smp_processor_id()	0

/* Memory */
enum migratetype { MIGRATE_UNMOVABLE, MIGRATE_MOVABLE, MIGRATE_RECLAIMABLE, MIGRATE_PCPTYPES,
		   MIGRATE_HIGHATOMIC = MIGRATE_PCPTYPES, MIGRATE_CMA, MIGRATE_ISOLATE,
		   MIGRATE_TYPES };
#define migratetype_is_mergeable(mt)	((mt) < MIGRATE_PCPTYPES)
#define is_migrate_isolate(mt)		((mt) == MIGRATE_ISOLATE)
#define is_migrate_cma(mt)		((mt) == MIGRATE_CMA)
#define is_migrate_highatomic(mt)	((mt) == MIGRATE_HIGHATOMIC)
enum zone_type { ZONE_DMA32, ZONE_NORMAL, ZONE_MOVABLE, MAX_NR_ZONES };
enum zone_watermarks { WMARK_MIN, WMARK_LOW, WMARK_HIGH, WMARK_PROMO, NR_WMARK };
enum zone_stat_item { NR_FREE_PAGES, NR_FREE_CMA_PAGES, NR_ZONE_INACTIVE_FILE,
		      NR_ZONE_ACTIVE_FILE, NR_ZONE_INACTIVE_ANON, NR_ZONE_ACTIVE_ANON,
		      NR_VM_ZONE_STAT_ITEMS };
enum node_stat_item { NR_BALLOON_PAGES, NR_ACTIVE_FILE, NR_INACTIVE_FILE, NR_ACTIVE_ANON,
		      NR_INACTIVE_ANON, NR_SLAB_RECLAIMABLE_B, NR_VM_NODE_STAT_ITEMS };
enum vm_event_item { BALLOON_INFLATE, BALLOON_DEFLATE, BALLOON_MIGRATE, NR_VM_EVENT_ITEMS };

struct address_space;
struct page {
	unsigned long flags;
	union {
		struct list_head lru;
		struct list_head buddy_list;
		struct list_head pcp_list;
	};
	struct address_space *mapping;
	unsigned long private;
	atomic_t _refcount;
	unsigned int page_type;
	/* The kernel has these in flags, or beside struct page. */
	short nid;
	unsigned char zone;
	bool online;
	bool owned;
	bool mapped;
	signed char tags;
	unsigned char owned_order;
};
struct free_area {
	struct list_head free_list[MIGRATE_TYPES];
	unsigned long nr_free;
};
struct pglist_data;
struct zone {
	unsigned long _watermark[NR_WMARK];
	unsigned long watermark_boost;
	unsigned long nr_reserved_highatomic;
	unsigned long nr_free_highatomic;
	long lowmem_reserve[MAX_NR_ZONES];
	struct pglist_data *zone_pgdat;
	unsigned long zone_start_pfn;
	atomic_long_t managed_pages;
	unsigned long spanned_pages;
	unsigned long present_pages;
	const char *name;
	struct free_area free_area[NR_PAGE_ORDERS];
	spinlock_t lock;
	atomic_long_t vm_stat[NR_VM_ZONE_STAT_ITEMS];
	/* A CPU's list of pages that were freed */
	struct list_head pcp;
	unsigned int pcp_count;
	/* Free pages when zone->lock was taken */
	unsigned long free_before;
};
struct zoneref { struct zone *zone; int zone_idx; };
struct zonelist { struct zoneref _zonerefs[MAX_NUMNODES * MAX_NR_ZONES + 1]; };
struct pglist_data {
	struct zone node_zones[MAX_NR_ZONES];
	unsigned long node_start_pfn;
	unsigned long node_present_pages;
	unsigned long node_spanned_pages;
	unsigned long totalreserve_pages;
	int node_id;
	atomic_long_t vm_stat[NR_VM_NODE_STAT_ITEMS];
	struct task_struct *kswapd;
};
typedef struct pglist_data pg_data_t;
extern struct pglist_data *node_data[MAX_NUMNODES];
#define NODE_DATA(nid)		(node_data[nid])
extern struct page *mem_map;
extern unsigned long mem_map_pages;
extern unsigned long totalram;
extern unsigned long max_pfn_value;
#define max_pfn			max_pfn_value
#define totalram_pages()	totalram
#define get_num_physpages()	max_pfn_value

#ifndef PAGEBLOCK_ORDER
#define PAGEBLOCK_ORDER		(21 - PAGE_SHIFT)
#endif
#define pageblock_order		((unsigned int)PAGEBLOCK_ORDER)
#define pageblock_nr_pages	(1UL << pageblock_order)
#define pageblock_start_pfn(p)	ALIGN_DOWN(p, pageblock_nr_pages)
#define pfn_to_page(pfn)	(mem_map + (pfn))
#define page_to_pfn(page)	((unsigned long)((page) - mem_map))
#define pfn_valid(pfn)		((unsigned long)(pfn) < mem_map_pages)
struct page *pfn_to_online_page(unsigned long pfn);
#define page_to_nid(page)	((int)(page)->nid)
#define pfn_to_nid(pfn)		page_to_nid(pfn_to_page(pfn))
#define page_zonenum(page)	((enum zone_type)(page)->zone)
#define page_pgdat(page)	NODE_DATA(page_to_nid(page))
#define page_zone(page)		(&page_pgdat(page)->node_zones[page_zonenum(page)])
#define zone_idx(z)		((enum zone_type)((z) - (z)->zone_pgdat->node_zones))
#define zone_to_nid(z)		((z)->zone_pgdat->node_id)
#define zone_end_pfn(z)		((z)->zone_start_pfn + (z)->spanned_pages)
#define populated_zone(z)	((z)->present_pages != 0)
#define zone_managed_pages(z)	((unsigned long)atomic_long_read(&(z)->managed_pages))
#define managed_zone(z)		(zone_managed_pages(z) != 0)
#define wmark_pages(z, w)	((z)->_watermark[w] + (z)->watermark_boost)
#define min_wmark_pages(z)	wmark_pages(z, WMARK_MIN)
#define low_wmark_pages(z)	wmark_pages(z, WMARK_LOW)
#define high_wmark_pages(z)	wmark_pages(z, WMARK_HIGH)
#define gfp_zone(g)		((g) & __GFP_MOVABLE && (g) & __GFP_HIGHMEM ? ZONE_MOVABLE : \
				 (g) & __GFP_DMA32 ? ZONE_DMA32 : ZONE_NORMAL)
#define for_each_populated_zone(z)						\
	for ((z) = first_zone(); (z); (z) = next_zone(z))			\
		if (!populated_zone(z)) { } else
struct zone *first_zone(void);
struct zone *next_zone(struct zone *zone);
bool zone_watermark_ok(struct zone *z, unsigned int order, unsigned long mark,
		       int highest_zoneidx, unsigned int alloc_flags);
static inline unsigned long zone_page_state(const struct zone *z, enum zone_stat_item i)
{
	return max(atomic_long_read(&z->vm_stat[i]), 0L);
}
#define zone_page_state_snapshot(z, i)	zone_page_state(z, i)
#define node_page_state(p, i)	((unsigned long)max(atomic_long_read(&(p)->vm_stat[i]), 0L))
unsigned long global_zone_page_state(enum zone_stat_item item);
unsigned long global_node_page_state(enum node_stat_item item);
void mod_node_page_state(struct pglist_data *pgdat, enum node_stat_item item, long n);
extern unsigned long vm_events[NR_VM_EVENT_ITEMS];
#define count_vm_events(i, n)	(vm_events[i] += (n))
#define count_vm_event(i)	count_vm_events(i, 1)
void adjust_managed_page_count(struct page *page, long count);
#define totalram_pages_add(n)	(totalram += (n))
long si_mem_available(void);

#define PG_locked		0
#define PG_reserved		1
#define PG_hwpoison		2
#define PG_waiters		3
#define PG_lru			4
#define PG_movable_ops		5
#define PG_movable_ops_isolated	6
#define PAGE_FLAGS_CHECK_AT_PREP	(BIT(PG_locked) | BIT(PG_waiters) | BIT(PG_lru) | \
					 BIT(PG_movable_ops) | BIT(PG_movable_ops_isolated))
#define PGTY_none		0u
#define PGTY_buddy		0xf0u
#define PGTY_offline		0xf1u
#define PageLocked(p)		test_bit(PG_locked, &(p)->flags)
#define PageReserved(p)		test_bit(PG_reserved, &(p)->flags)
#define PageHWPoison(p)		test_bit(PG_hwpoison, &(p)->flags)
#define SetPageHWPoison(p)	__set_bit(PG_hwpoison, &(p)->flags)
#define ClearPageHWPoison(p)	__clear_bit(PG_hwpoison, &(p)->flags)
#define __SetPageReserved(p)	__set_bit(PG_reserved, &(p)->flags)
#define __ClearPageReserved(p)	__clear_bit(PG_reserved, &(p)->flags)
#define PageBuddy(p)		((p)->page_type == PGTY_buddy)
#define PageOffline(p)		((p)->page_type == PGTY_offline)
#define PageCompound(p)		false
#define PageHead(p)		false
#define PageTail(p)		false
#define PageHuge(p)		false
#define PageLRU(p)		test_bit(PG_lru, &(p)->flags)
void set_page_type(struct page *page, unsigned int from, unsigned int to);
#define __SetPageOffline(p)	set_page_type(p, PGTY_none, PGTY_offline)
void __ClearPageOffline(struct page *page);
#define buddy_order(p)		((unsigned int)(p)->private)
#define buddy_order_unsafe(p)	buddy_order(p)
#define page_private(p)		((p)->private)
void set_page_private(struct page *page, unsigned long private);
/* It and the type stay until the page is free. */
#define PageMovableOps(p)	test_bit(PG_movable_ops, &(p)->flags)
#define SetPageMovableOps(p)	__set_bit(PG_movable_ops, &(p)->flags)
#define page_has_movable_ops(p)	(PageMovableOps(p) && PageOffline(p))
#define PageMovableOpsIsolated(p)	test_bit(PG_movable_ops_isolated, &(p)->flags)
#define SetPageMovableOpsIsolated(p)	__set_bit(PG_movable_ops_isolated, &(p)->flags)
#define ClearPageMovableOpsIsolated(p)	__clear_bit(PG_movable_ops_isolated, &(p)->flags)
#define page_count(p)		atomic_read(&(p)->_refcount)
#define page_ref_count(p)	page_count(p)
#define set_page_count(p, n)	atomic_set(&(p)->_refcount, n)
void set_page_refcounted(struct page *page);
void get_page(struct page *page);
bool get_page_unless_zero(struct page *page);
void put_page(struct page *page);
bool put_page_testzero(struct page *page);
int page_ref_freeze(struct page *page, int count);
void page_ref_unfreeze(struct page *page, int count);
void lock_page_at(struct page *page, const char *file, int line);
#define lock_page(p)		lock_page_at(p, __FILE__, __LINE__)
bool trylock_page(struct page *page);
void unlock_page(struct page *page);
void __free_page_order(struct page *page, unsigned int order);
#define __free_pages(p, o)	__free_page_order(p, o)
#define __free_page(p)		__free_page_order(p, 0)
struct page *alloc_pages_node(int nid, gfp_t gfp, unsigned int order);
#define alloc_pages_node_noprof	alloc_pages_node
#define alloc_pages(g, o)	alloc_pages_node(numa_mem_id(), g, o)
enum migratetype get_pageblock_migratetype(const struct page *page);
#define get_pfnblock_migratetype(p, pfn)	get_pageblock_migratetype(p)
#define is_migrate_isolate_page(p)	(get_pageblock_migratetype(p) == MIGRATE_ISOLATE)
#define is_migrate_cma_page(p)	(get_pageblock_migratetype(p) == MIGRATE_CMA)
void drain_all_pages(struct zone *zone);
#define lru_add_drain_all()	do { } while (0)
#define lru_add_drain()		do { } while (0)
#define get_online_mems()	might_sleep()
#define put_online_mems()	do { } while (0)
#define mem_hotplug_begin()	might_sleep()
#define mem_hotplug_done()	do { } while (0)

/* Debugging aids of the kernel: balanced, or the test fails */
void set_page_owner(struct page *page, unsigned int order, gfp_t gfp);
void reset_page_owner(struct page *page, unsigned int order);
void debug_pagealloc_map_pages(struct page *page, int n);
void debug_pagealloc_unmap_pages(struct page *page, int n);
struct alloc_tag { struct { u64 bytes, calls; } *counters; };
struct alloc_tag *pgalloc_tag_get(struct page *page);
void clear_page_tag_ref(struct page *page);
#define this_cpu_sub(v, n)	((v) -= (n))
#define this_cpu_dec(v)		((v)--)
#define kasan_poison_pages(p, o, i)	((void)(p))
#define kasan_unpoison_pages(p, o, i)	((void)(p))
#define kernel_poison_pages(p, n)	((void)(p))
#define kernel_unpoison_pages(p, n)	((void)(p))
#define clear_highpage_kasan_tagged(p)	((void)(p))
#define page_address(p)			((void *)(p))
extern bool init_on_free, page_poisoning;
#define want_init_on_free()		(init_on_free)
#define page_poisoning_enabled_static()	(page_poisoning)
#define page_offline_begin()		page_offline_lock(true)
#define page_offline_end()		page_offline_lock(false)
void page_offline_lock(bool begin);
#define page_reporting_notify_free(o)	do { } while (0)

/* Migration */
enum migrate_mode { MIGRATE_ASYNC, MIGRATE_SYNC_LIGHT, MIGRATE_SYNC };
enum migrate_reason { MR_COMPACTION, MR_CONTIG_RANGE, MR_MEMORY_HOTPLUG };

/* Memory that comes and goes */
struct memory_notify {
	unsigned long start_pfn;
	unsigned long nr_pages;
};
struct node_notify {
	int nid;
};
struct notifier_block {
	int (*notifier_call)(struct notifier_block *nb, unsigned long action, void *arg);
	struct notifier_block *next;
	int priority;
};
#define MEM_ONLINE		BIT(0)
#define MEM_GOING_OFFLINE	BIT(1)
#define MEM_OFFLINE		BIT(2)
#define MEM_GOING_ONLINE	BIT(3)
#define MEM_CANCEL_ONLINE	BIT(4)
#define MEM_CANCEL_OFFLINE	BIT(5)
#define NODE_ADDING_FIRST_MEMORY	BIT(0)
#define NODE_ADDED_FIRST_MEMORY		BIT(1)
#define NODE_CANCEL_ADDING_FIRST_MEMORY	BIT(2)
#define NODE_REMOVING_LAST_MEMORY	BIT(3)
#define NODE_REMOVED_LAST_MEMORY	BIT(4)
#define NODE_CANCEL_REMOVING_LAST_MEMORY	BIT(5)
#define NOTIFY_OK		1
#define NOTIFY_DONE		0
#define NOTIFY_BAD		0x8002
#define notifier_from_errno(e)	((e) ? NOTIFY_BAD | (NOTIFY_OK - (e)) : NOTIFY_OK)
#define DEFAULT_CALLBACK_PRI	0
extern struct notifier_block *memory_notifier;
#define hotplug_memory_notifier(fn, pri)					\
	({ static struct notifier_block nb_ = { .notifier_call = fn };		\
	   memory_notifier = &nb_; 0; })
extern struct notifier_block *node_notifier;
#define hotplug_node_notifier(fn, pri)						\
	({ static struct notifier_block nb_ = { .notifier_call = fn };		\
	   node_notifier = &nb_; 0; })

/* The allocator's insides (mm/internal.h, mm/page_alloc.h) */
#define ALLOC_WMARK_MASK	0x03u
#define ALLOC_NO_WATERMARKS	0x04u
#define ALLOC_OOM		0x08u
#define ALLOC_NON_BLOCK		0x10u
#define ALLOC_MIN_RESERVE	0x20u
#define ALLOC_CPUSET		0x40u
#define ALLOC_CMA		0x80u
#define ALLOC_HIGHATOMIC	0x200u
#define ALLOC_NOLOCK		0x400u
#define ALLOC_KSWAPD		0x800u
#define ALLOC_RESERVES		(ALLOC_NON_BLOCK | ALLOC_MIN_RESERVE | ALLOC_HIGHATOMIC | ALLOC_OOM)
#define ALLOC_WMARK_MIN		WMARK_MIN
#define ALLOC_WMARK_LOW		WMARK_LOW
#define ALLOC_WMARK_HIGH	WMARK_HIGH
struct alloc_context {
	struct zonelist *zonelist;
	nodemask_t *nodemask;
	struct zoneref *preferred_zoneref;
	int migratetype;
	enum zone_type highest_zoneidx;
};
#define cpusets_enabled()	false
#define cpuset_current_mems_allowed	node_states[N_ONLINE]
#define register_oom_notifier(nb)	({ (void)(nb); 0; })
#define __cpuset_zone_allowed(z, g)	true
#define cpuset_zone_allowed(z, g)	true
#define for_next_zone_zonelist_nodemask(z, ref, highidx, mask)			\
	for ((z) = (ref)->zone; (z); (z) = (++(ref))->zone)			\
		if ((ref)->zone_idx > (int)(highidx) ||				\
		    ((mask) && !node_isset(zone_to_nid(z), *(mask)))) { } else
int __isolate_free_page(struct page *page, unsigned int order);
void __putback_isolated_page(struct page *page, unsigned int order, int mt);
struct page *take_free_block(struct zone *zone, unsigned int order,
			     bool (*suits)(struct page *page));
struct page *take_free_part(struct zone *zone, unsigned int order,
			    bool (*suits)(struct page *page));
bool take_free_range(struct zone *zone, unsigned long pfn, unsigned int order);
void put_free_range(struct page *page, unsigned long nr);
struct page *pageblock_pfn_to_page(unsigned long start, unsigned long end, struct zone *zone);

#define node_present_pages(nid)	(NODE_DATA(nid)->node_present_pages)
enum cpuhp_state { CPUHP_AP_ONLINE_DYN };
static inline int cpuhp_setup_state_nocalls(enum cpuhp_state state, const char *name,
					    int (*up)(unsigned int cpu), int (*down)(unsigned int cpu))
{
	return 0;
}

/* Of the system */
enum system_states { SYSTEM_BOOTING, SYSTEM_SCHEDULING, SYSTEM_FREEING_INITMEM, SYSTEM_RUNNING };
extern enum system_states system_state;

/* Who polls a file */
struct kernfs_node;
void sysfs_notify_dirent(struct kernfs_node *file);

/* Tracepoints */
#define TP_PROTO(args...)	args
#define TP_ARGS(args...)	args
#define TP_STRUCT__entry(args...)
#define TP_fast_assign(args...)
#define TP_printk(args...)
#define TRACE_EVENT(name, proto, args, ...)					\
static inline void trace_##name(proto) { }					\
static inline bool trace_##name##_enabled(void) { return true; }
#define DECLARE_EVENT_CLASS(name, proto, args, ...)
#define DEFINE_EVENT(template, name, proto, args)				\
static inline void trace_##name(proto) { }					\
static inline bool trace_##name##_enabled(void) { return true; }

#endif /* BALLOON_STUB_H */
