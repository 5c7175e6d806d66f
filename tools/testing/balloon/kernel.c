// SPDX-License-Identifier: GPL-2.0
/*
 * The kernel around mm/balloon/, but for its memory: locks and contexts that are
 * checked, allocation, RCU, the xarray, time and delayed work.
 */
#include <sanitizer/common_interface_defs.h>
#include <unistd.h>

#include "kernel.h"

unsigned long jiffies = INITIAL_JIFFIES;
enum system_states system_state = SYSTEM_RUNNING;
static struct workqueue_struct wq = { "wq" };
struct workqueue_struct *system_freezable_wq = &wq, *system_wq = &wq, *system_unbound_wq = &wq;

static struct task_struct main_task = { .name = "main" };
struct task_struct *current_task = &main_task;

/* What a context holds; a context that interrupts another begins with nothing. */
struct context context;
/* What to do where others may run, or interrupt. */
void (*preempt_hook)(const char *where);
/* Says which allocations fail. */
bool (*alloc_hook)(gfp_t gfp);
void (*track_hook)(void);
bool verbose;

static char log_text[1 << 14];
static size_t log_len;

void kernel_log(const char *fmt, ...)
{
	va_list args;

	if (log_len > sizeof(log_text) / 2)
		log_len = 0;
	va_start(args, fmt);
	log_len += vsnprintf(log_text + log_len, sizeof(log_text) - log_len, fmt, args);
	va_end(args);
	if (verbose) {
		va_start(args, fmt);
		vprintf(fmt, args);
		va_end(args);
	}
}

void (*fail_hook)(void);
/* Where to say what failed, for who looks for the same again. */
const char **failed_fmt;

void fail(const char *fmt, ...)
{
	va_list args;

	if (failed_fmt)
		*failed_fmt = fmt;
	fflush(stdout);
	fprintf(stderr, "FAILED: ");
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fprintf(stderr, "\n");
	if (fail_hook)
		fail_hook();
	if (log_len && verbose)
		fprintf(stderr, "the kernel's last words:\n%s", log_text);
#if defined(__SANITIZE_ADDRESS__) || defined(FUZZ)
	if (verbose)
		__sanitizer_print_stack_trace();
#endif
#ifdef FUZZ
	abort();
#endif
	fflush(stderr);
	_exit(3);
}

/* What is called where no lock is held and interrupts are on: others run now. */
void preempted(const char *where)
{
	if (preempt_hook && !context.spin && !context.irq_off && !context.rcu)
		preempt_hook(where);
}

void might_sleep_at(const char *what, const char *file, int line)
{
	if (context.spin || context.irq_off || context.rcu || context.atomic)
		fail("%s at %s:%d: %d spinlocks (%s), interrupts %s, %d rcu, %s", what, file, line,
		     context.spin, context.last_lock, context.irq_off ? "off" : "on", context.rcu,
		     context.atomic ? "atomic" : "task");
}

/* Spinlocks */

void spin_lock_at(spinlock_t *lock, const char *file, int line)
{
	if (context.nolock)
		fail("%s:%d takes %s for who may take none", file, line, lock->name);
	if (lock->owner)
		fail("deadlock: %s:%d takes %s, which %s has", file, line, lock->name,
		     lock->owner == current ? "it" : "another");
	if (context.spin && (lock->alone || context.alone))
		fail("%s:%d takes %s under %s", file, line, lock->name, context.last_lock);
	if (context.xa && lock != context.xa)
		fail("%s:%d takes %s under an xa_lock", file, line, lock->name);
	if (lock->xa)
		context.xa = lock;
	else if (!context.irq_off && !lock->alone && context.check_irq &&
		 /* One of tasks only. */
		 !strstr(lock->name, "ask."))
		fail("%s:%d takes %s with interrupts on", file, line, lock->name);
	lock->owner = current;
	context.alone = lock->alone;
	context.last_lock = lock->name;
	context.spin++;
	if (lock->alone)
		zone_lock_taken(lock);
}

bool spin_trylock_at(spinlock_t *lock, const char *file, int line)
{
	if (lock->owner)
		return false;
	spin_lock_at(lock, file, line);
	return true;
}

void spin_unlock_at(spinlock_t *lock, const char *file, int line)
{
	if (lock->owner != current)
		fail("%s:%d gives up %s, which it has not", file, line, lock->name);
	if (lock->alone)
		zone_lock_released(lock);
	lock->owner = NULL;
	context.alone = false;
	if (context.xa == lock)
		context.xa = NULL;
	context.spin--;
}

unsigned long irq_off(void)
{
	unsigned long was = context.irq_off;

	context.irq_off = true;
	return was;
}

void irq_restore(unsigned long flags)
{
	context.irq_off = flags;
	preempted("irq_restore");
}

void irq_on_at(const char *file, int line)
{
	if (!context.irq_off)
		fail("%s:%d: interrupts were on", file, line);
	if (context.atomic || context.spin)
		fail("%s:%d switches interrupts on in an atomic context", file, line);
	context.irq_off = false;
	preempted("irq_on");
}

bool irqs_disabled(void)
{
	return context.irq_off;
}

void assert_held(const void *owner, const char *what, const char *file, int line)
{
	if (owner != current)
		fail("%s:%d without %s", file, line, what);
}

/* Mutexes, and in which order they are taken */

static struct { struct mutex *outer, *inner; } order[64];
static unsigned int nr_order;

static void note_order(struct mutex *m)
{
	unsigned int i, j;

	for (i = 0; i < context.nr_mutexes; i++) {
		struct mutex *held = context.mutex[i];

		for (j = 0; j < nr_order; j++) {
			if (order[j].outer == m && order[j].inner == held)
				fail("%s is taken under %s, and the other way round",
				     m->name, held->name);
			if (order[j].outer == held && order[j].inner == m)
				break;
		}
		if (j == nr_order && nr_order < ARRAY_SIZE(order)) {
			order[nr_order].outer = held;
			order[nr_order++].inner = m;
		}
	}
}

void mutex_lock_at(struct mutex *m, const char *file, int line)
{
	might_sleep_at("mutex_lock()", file, line);
	preempted("mutex_lock");
	if (m->owner)
		fail("deadlock: %s:%d waits for %s, which %s has", file, line, m->name,
		     m->owner->name);
	note_order(m);
	context.mutex[context.nr_mutexes++] = m;
	mutexes_held++;
	m->owner = current;
}

unsigned int mutexes_held;

void mutex_unlock_at(struct mutex *m, const char *file, int line)
{
	if (m->owner != current)
		fail("%s:%d gives up %s, which it has not", file, line, m->name);
	m->owner = NULL;
	mutexes_held--;
	if (!context.nr_mutexes || context.mutex[--context.nr_mutexes] != m) {
		/* In another order than they were taken. */
		unsigned int i;

		for (i = 0; i < context.nr_mutexes; i++)
			if (context.mutex[i] == m)
				context.mutex[i] = context.mutex[context.nr_mutexes];
	}
	preempted("mutex_unlock");
}

int mutex_trylock_at(struct mutex *m, const char *file, int line)
{
	if (context.spin || context.irq_off || context.atomic)
		fail("mutex_trylock(%s) in an atomic context at %s:%d", m->name, file, line);
	if (m->owner == current)
		fail("%s:%d waits for %s, which it has", file, line, m->name);
	if (m->owner)
		return 0;
	context.mutex[context.nr_mutexes++] = m;
	mutexes_held++;
	m->owner = current;
	return 1;
}

int down_timeout(struct semaphore *s, long timeout)
{
	might_sleep();
	for (;; timeout--) {
		if (mutex_trylock(&s->m))
			return 0;
		if (timeout <= 0)
			return -ETIME;
		sleep_jiffies(1, __FILE__, __LINE__);
	}
}

/* RCU: readers of contexts that were interrupted count, too */

static struct rcu_head *to_free;
static unsigned int rcu_readers;

void rcu_read_lock(void)
{
	context.rcu++;
	rcu_readers++;
}

void rcu_read_unlock(void)
{
	if (!context.rcu)
		fail("rcu_read_unlock() without rcu_read_lock()");
	context.rcu--;
	rcu_readers--;
}

/* With interrupts or preemption off nothing is freed, either. */
bool rcu_read_lock_held(void)
{
	return context.rcu;
}

/* Objects that are freed may be tracked (debugobjects), which allocates at times. */
static void track_free(void)
{
	if (track_hook)
		track_hook();
}

void call_free_rcu(void *p, struct rcu_head *head)
{
	track_free();
	head->what = p;
	head->next = to_free;
	to_free = head;
}

/* A grace period is over. */
void rcu_quiescent(void)
{
	while (to_free) {
		struct rcu_head *head = to_free;

		to_free = head->next;
		kernel_free(head->what);
	}
}

void synchronize_rcu(void)
{
	might_sleep_at("synchronize_rcu()", __FILE__, __LINE__);
	preempted("synchronize_rcu");
	if (!rcu_readers && !context.nested)
		rcu_quiescent();
}

/* Allocation */

unsigned long allocations;

void *kernel_alloc(size_t size, gfp_t gfp, const char *file, int line)
{
	void *p;

	if (context.spin)
		fail("allocation under %s at %s:%d", context.last_lock, file, line);
	if (gfp & __GFP_DIRECT_RECLAIM)
		might_sleep_at("allocation", file, line);
	if (!(gfp & __GFP_NOFAIL) && alloc_hook && alloc_hook(gfp))
		return NULL;
	p = gfp & __GFP_ZERO ? calloc(1, size ?: 1) : malloc(size ?: 1);
	if (!p)
		abort();
	if (!(gfp & __GFP_ZERO))
		memset(p, 0xa5, size);
	allocations++;
	return p;
}

void kernel_free(const void *p)
{
	if (p)
		allocations--;
	free((void *)p);
}

/* The xarray */

struct xarray *only_xarray;

static void xa_grow(struct xarray *xa, unsigned long index)
{
	unsigned long size = ALIGN(index + 1, 64UL);

	if (index < xa->size)
		return;
	xa->slot = realloc(xa->slot, size * sizeof(*xa->slot));
	xa->node = realloc(xa->node, size);
	memset(xa->slot + xa->size, 0, (size - xa->size) * sizeof(*xa->slot));
	memset(xa->node + xa->size, 0, size - xa->size);
	xa->size = size;
}

static void *xa_peek(struct xarray *xa, unsigned long index)
{
	return index < xa->size ? xa->slot[index] : NULL;
}

void *xa_load(struct xarray *xa, unsigned long index)
{
	void *entry = xa_peek(xa, index);

	return xa_is_zero(entry) ? NULL : entry;
}

void *xas_load(struct xa_state *xas)
{
	assert_held(xas->xa->xa_lock.owner, "xa_lock", __FILE__, __LINE__);
	return xa_peek(xas->xa, xas->index);
}

/*
 * Where there is no slot yet the xarray allocates, with its lock held: that may fail, and
 * under another spinlock, too, it must not be.
 */
void *xas_store(struct xa_state *xas, void *entry)
{
	struct xarray *xa = xas->xa;
	void *old = xa_peek(xa, xas->index);

	only_xarray = xa;
	assert_held(xa->xa_lock.owner, "xa_lock", __FILE__, __LINE__);
	if (xas->err)
		return NULL;
	if (entry && (xas->index >= xa->size || !xa->node[xas->index])) {
		if (context.spin > 1)
			fail("a store into an xarray allocates under a spinlock");
		if (!xas->node && (!alloc_hook || alloc_hook(GFP_NOWAIT))) {
			xas->err = -ENOMEM;
			return NULL;
		}
		xa_grow(xa, xas->index);
		xa->node[xas->index] = 1;
	}
	if (xas->index < xa->size) {
		xa->slot[xas->index] = entry;
		xa->node[xas->index] = !!entry;
	}
	return old;
}

bool xas_nomem(struct xa_state *xas, gfp_t gfp)
{
	if (xas->err != -ENOMEM)
		return false;
	if (context.spin)
		fail("xas_nomem() under a spinlock");
	if (gfp & __GFP_DIRECT_RECLAIM)
		might_sleep();
	if (!(gfp & __GFP_NOFAIL) && alloc_hook && alloc_hook(gfp))
		return false;
	xas->node = true;
	xas->err = 0;
	return true;
}

void *__xa_erase(struct xarray *xa, unsigned long index)
{
	struct xa_state xas = { .xa = xa, .index = index };

	/* Its nodes are freed by RCU, too. */
	track_free();
	return xas_store(&xas, NULL);
}

void *xa_erase(struct xarray *xa, unsigned long index)
{
	unsigned long flags;
	void *old;

	spin_lock_irqsave(&xa->xa_lock, flags);
	old = __xa_erase(xa, index);
	spin_unlock_irqrestore(&xa->xa_lock, flags);
	return old;
}

bool xa_empty(const struct xarray *xa)
{
	unsigned long i;

	for (i = 0; i < xa->size; i++)
		if (xa->slot[i])
			return false;
	return true;
}

/* Time and work */

static struct delayed_work *works;

void sleep_jiffies(unsigned long n, const char *file, int line)
{
	might_sleep_at("sleep", file, line);
	jiffies += n;
	preempted("sleep");
}

void forget_work(struct delayed_work *dw)
{
	struct delayed_work **p;

	for (p = &works; *p; p = &(*p)->next)
		if (*p == dw) {
			*p = dw->next;
			break;
		}
}

void init_delayed_work(struct delayed_work *dw, work_func_t fn)
{
	/* It may be one that was used before. */
	forget_work(dw);
	memset(dw, 0, sizeof(*dw));
	dw->work.func = fn;
	dw->next = works;
	works = dw;
}

void forget_works(void)
{
	works = NULL;
}

static struct work_struct *queued_work;
static struct task_struct queued_task = { .name = "work", .flags = PF_KTHREAD };
bool (*work_hook)(void);

/* There is one at a time. */
bool queue_work(struct workqueue_struct *queue, struct work_struct *work)
{
	if (!queue)
		fail("work for no queue");
	if (work->pending)
		return false;
	if (queued_work && queued_work != work)
		fail("two kinds of work");
	work->pending = true;
	queued_work = work;
	return true;
}

static bool run_queued_work(void)
{
	struct work_struct *work = queued_work;
	struct task_struct *was;
	struct context saved;

	if (!work || !work->pending || work->running || (work_hook && !work_hook()))
		return false;
	saved = context_enter(&queued_task, &was);
	work->pending = false;
	work->running = true;
	work->func(work);
	work->running = false;
	context_leave(&saved, was);
	return true;
}

long wait_a_moment(const char *file, int line)
{
	unsigned int i;

	/* What is waited for is done by a work that needs this. */
	for (i = 0; i < context.nr_mutexes; i++)
		if (!strcmp(context.mutex[i]->name, "balloon_host_lock"))
			fail("%s:%d waits for the host, whose lock it has", file, line);
	if (run_queued_work())
		return 0;
	sleep_jiffies(1, file, line);
	return 1;
}

bool queue_delayed_work(struct workqueue_struct *queue, struct delayed_work *dw,
			unsigned long delay)
{
	if (!queue)
		fail("work for no queue");
	if (dw->work.pending)
		return false;
	dw->work.pending = true;
	dw->due = jiffies + delay;
	return true;
}

bool mod_delayed_work(struct workqueue_struct *queue, struct delayed_work *dw,
		      unsigned long delay)
{
	bool was;

	preempted("mod_delayed_work");
	was = dw->work.pending;
	dw->work.pending = false;
	queue_delayed_work(queue, dw, delay);
	return was;
}

bool cancel_delayed_work(struct delayed_work *dw)
{
	bool was = dw->work.pending;

	dw->work.pending = false;
	return was;
}

bool cancel_delayed_work_sync(struct delayed_work *dw)
{
	might_sleep_at("cancel_delayed_work_sync()", __FILE__, __LINE__);
	if (dw->work.running)
		fail("deadlock: work that runs is waited for");
	return cancel_delayed_work(dw);
}

bool flush_delayed_work(struct delayed_work *dw)
{
	bool was = dw->work.pending;

	might_sleep_at("flush_delayed_work()", __FILE__, __LINE__);
	if (was)
		run_work(dw);
	return was;
}

unsigned int work_busy(struct work_struct *work)
{
	/* Who waits for it lets it run. */
	if (!context.nested && !work->running && work->pending && !context.rcu)
		run_due_work();
	return work->pending || work->running;
}

static struct task_struct worker_task = { .name = "worker", .flags = PF_KTHREAD };

void run_work(struct delayed_work *dw)
{
	struct task_struct *was = current_task;
	struct context saved = context;

	context = (struct context){ .check_irq = saved.check_irq, .nested = saved.nested };
	dw->work.pending = false;
	dw->work.running = true;
	current_task = &worker_task;
	dw->work.func(&dw->work);
	if (context.spin || context.irq_off || context.rcu || context.nr_mutexes)
		fail("the worker ends with a lock held");
	dw->work.running = false;
	current_task = was;
	context = saved;
}

/* Whether some work is due now, which is done. */
bool run_due_work(void)
{
	struct delayed_work *dw;

	for (dw = works; dw; dw = dw->next)
		if (dw->work.pending && !dw->work.running && time_after_eq(jiffies, dw->due)) {
			run_work(dw);
			return true;
		}
	return false;
}

/* When the next work is due; false if there is none. */
bool next_work(unsigned long *due)
{
	struct delayed_work *dw;
	bool any = false;

	for (dw = works; dw; dw = dw->next)
		if (dw->work.pending && (!any || time_before(dw->due, *due))) {
			*due = dw->due;
			any = true;
		}
	return any;
}

/* Begin a context of its own in the middle of another. */
struct context context_enter(struct task_struct *task, struct task_struct **was)
{
	struct context saved = context;

	*was = current_task;
	current_task = task;
	context = (struct context){ .check_irq = saved.check_irq, .nested = saved.nested + 1 };
	return saved;
}

void context_leave(const struct context *saved, struct task_struct *was)
{
	if (context.spin || context.irq_off || context.rcu || context.nr_mutexes)
		fail("a context ends with a lock held");
	context = *saved;
	current_task = was;
}

/* Text */

int scnprintf(char *buf, size_t size, const char *fmt, ...)
{
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(buf, size, fmt, args);
	va_end(args);
	return !size ? 0 : n < (int)size ? n : (int)size - 1;
}

int kstrtoul(const char *s, unsigned int base, unsigned long *res)
{
	unsigned long long value;
	char *end;

	if (*s == '+')
		s++;
	if (*s < '0' || *s > '9')
		return -EINVAL;
	errno = 0;
	value = strtoull(s, &end, base);
	if (errno)
		return -ERANGE;
	if (*end == '\n')
		end++;
	if (*end)
		return -EINVAL;
	*res = value;
	return 0;
}

char *strim(char *s)
{
	size_t n = strlen(s);

	while (n && (s[n - 1] == ' ' || s[n - 1] == '\n' || s[n - 1] == '\t'))
		s[--n] = 0;
	while (*s == ' ' || *s == '\t' || *s == '\n')
		s++;
	return s;
}

bool sysfs_streq(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return (!*a && !*b) || (!*a && !strcmp(b, "\n")) || (!*b && !strcmp(a, "\n"));
}

int sysfs_match_string_n(const char *const *array, size_t n, const char *s)
{
	size_t i;

	for (i = 0; i < n && array[i]; i++)
		if (sysfs_streq(array[i], s))
			return i;
	return -EINVAL;
}

unsigned long long memparse(const char *ptr, char **retptr)
{
	unsigned long long n = strtoull(ptr, retptr, 0);

	switch (**retptr) {
	case 'T':
	case 't':
		n <<= 10;
		fallthrough;
	case 'G':
	case 'g':
		n <<= 10;
		fallthrough;
	case 'M':
	case 'm':
		n <<= 10;
		fallthrough;
	case 'K':
	case 'k':
		n <<= 10;
		(*retptr)++;
	}
	return n;
}

/* CONFIG_DEBUG_LIST */

bool __list_add_valid_or_report(struct list_head *new, struct list_head *prev,
				struct list_head *next);
bool __list_del_entry_valid_or_report(struct list_head *entry);

bool __list_add_valid_or_report(struct list_head *new, struct list_head *prev,
				struct list_head *next)
{
	if (!prev || !next || next->prev != prev || prev->next != next || new == prev ||
	    new == next)
		fail("list_add() corruption");
	return true;
}

bool __list_del_entry_valid_or_report(struct list_head *entry)
{
	if (!entry->next || !entry->prev || entry->next == LIST_POISON1 ||
	    entry->prev == LIST_POISON2 || entry->prev->next != entry || entry->next->prev != entry)
		fail("list_del() corruption");
	return true;
}
