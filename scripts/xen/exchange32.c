// SPDX-License-Identifier: GPL-2.0
/*
 * A PVH guest of 64 MiB that is nothing but this program: XENMEM_exchange_gfns from 32-bit mode,
 * where Xen translates the arguments, some 500 pairs at a time. There is no paging, so all
 * addresses are physical.
 *
 * Each step is a line on Xen's console, "exchange32: STEP RESULT"; after the last one, "ended",
 * it waits for ever, for others to look at its page tables: block 8 (from 16M on) was taken apart
 * and is to be whole again, block 9 was and stays so.
 */
#include <stdint.h>

#define MEMORY_OP		12
#define XEN_VERSION		17
#define SCHED_OP		29
#define GET_FEATURES		6
#define BLOCK			1
#define DECREASE_RESERVATION	1
#define CURRENT_RESERVATION	3
#define POPULATE_PHYSMAP	6
#define EXCHANGE_GFNS		30
#define PREFER			1
#define DOMID_SELF		0x7ff0
#define FEATURE			21
#define DEBUG_PORT		0xe9

#define PAGE			4096u
#define BLOCK_PAGES		512u
#define WHOLE			(8 * BLOCK_PAGES)	/* a 2M area that is to be whole */
#define PIECES			(9 * BLOCK_PAGES)	/* one that is not, for comparison */
#define HOLES			(12 * BLOCK_PAGES)	/* pages that go, and come back */
#define PAGES			(16 * BLOCK_PAGES)	/* those that come and go for them */
#define MANY			1200u			/* more than two translations hold */
#define WRONG			700u			/* in the second one */
#define READABLE		520u			/* so, too */

struct reservation {
	uint32_t extent_start, nr_extents, extent_order, mem_flags;
	uint16_t domid;
};

struct exchange_gfns {
	uint16_t domid, flags;
	uint32_t nr, extent_order, mem_flags, populate, depopulate;
};

/* A hypercall is a call into this page, which Xen fills. */
static _Alignas(PAGE) uint8_t hypercalls[PAGE];
static uint32_t to[MANY], from[MANY];

static long hypercall(uint32_t nr, uint32_t op, void *arg)
{
	long rc;

	asm volatile("call *%[at]"
		     : "=a" (rc), "+b" (op), "+c" (arg)
		     : [at] "r" (hypercalls + 32 * nr)
		     : "memory", "cc");
	return rc;
}

static void say_char(char c)
{
	asm volatile("outb %0, %1" : : "a" (c), "Nd" ((uint16_t)DEBUG_PORT));
}

static void say_string(const char *s)
{
	while (*s)
		say_char(*s++);
}

static void say(const char *step, long rc)
{
	uint32_t value = rc < 0 ? -rc : rc;
	char digits[12], *at = digits + sizeof(digits);

	*--at = 0;
	do {
		*--at = '0' + value % 10;
		value /= 10;
	} while (value);
	say_string("exchange32: ");
	say_string(step);
	say_string(rc < 0 ? " -" : " ");
	say_string(at);
	say_char('\n');
}

/* Gives @nr pages from @pfn on to Xen, or takes them. */
static long change(uint32_t op, uint32_t pfn, uint32_t nr)
{
	struct reservation r = { (uint32_t)from, nr, 0, 0, DOMID_SELF };
	uint32_t i;

	for (i = 0; i < nr; i++)
		from[i] = pfn + i;
	return hypercall(MEMORY_OP, op, &r);
}

static long swap_as(struct exchange_gfns op)
{
	op.domid = DOMID_SELF;
	return hypercall(MEMORY_OP, EXCHANGE_GFNS, &op);
}

static void list(uint32_t populate, uint32_t depopulate, uint32_t nr)
{
	uint32_t i;

	for (i = 0; i < nr; i++) {
		to[i] = populate + i;
		from[i] = depopulate + i;
	}
}

static long swap(uint32_t nr)
{
	return swap_as((struct exchange_gfns) {
		.flags = PREFER,
		.nr = nr,
		.populate = (uint32_t)to,
		.depopulate = (uint32_t)from,
	});
}

static long pages(void)
{
	uint16_t domid = DOMID_SELF;

	return hypercall(MEMORY_OP, CURRENT_RESERVATION, &domid);
}

static uint32_t volatile *at(uint32_t pfn)
{
	return (uint32_t volatile *)(pfn * PAGE);
}

static void mark(uint32_t pfn, uint32_t nr)
{
	for (; nr--; pfn++)
		*at(pfn) = pfn * 2654435761u;
}

/* How many are not as they were marked. */
static long wrong(uint32_t pfn, uint32_t nr)
{
	long bad = 0;

	for (; nr--; pfn++)
		bad += *at(pfn) != pfn * 2654435761u;
	return bad;
}

static void find_xen(void)
{
	uint32_t leaf, eax, ebx, ecx, edx;

	for (leaf = 0x40000000; leaf < 0x40010000; leaf += 0x100) {
		asm volatile("cpuid" : "=a" (eax), "=b" (ebx), "=c" (ecx), "=d" (edx) : "a" (leaf));
		/* "XenVMMXenVMM" */
		if (ebx == 0x566e6558 && ecx == 0x65584d4d && edx == 0x4d4d566e)
			break;
	}
	asm volatile("cpuid" : "=a" (eax), "=b" (ebx), "=c" (ecx), "=d" (edx) : "a" (leaf + 2));
	asm volatile("wrmsr" : : "c" (ebx), "a" (hypercalls), "d" (0) : "memory");
}

/* One page of a 2M area goes; another one's memory is given for it. Returns what Xen says. */
static long one(void)
{
	const uint32_t page = WHOLE + BLOCK_PAGES / 2;
	long rc;

	mark(WHOLE, BLOCK_PAGES);
	say("out", change(DECREASE_RESERVATION, page, 1));
	list(page, PAGES, 1);
	rc = swap(1);
	say("one", rc);
	if (rc != 1)
		return rc;
	mark(page, 1);
	say("wrong", wrong(WHOLE, BLOCK_PAGES));
	say("pages", pages());
	/* And for comparison a page that comes back as any other. */
	say("out", change(DECREASE_RESERVATION, PIECES + BLOCK_PAGES / 2, 1));
	say("in", change(POPULATE_PHYSMAP, PIECES + BLOCK_PAGES / 2, 1));
	return rc;
}

static void many(void)
{
	say("out", change(DECREASE_RESERVATION, HOLES, MANY));
	list(HOLES, PAGES + 1, MANY);
	say("many", swap(MANY));
	mark(HOLES, MANY);
	say("wrong", wrong(HOLES, MANY));
	/* Back, but one of them is not empty. */
	list(PAGES + 1, HOLES, MANY);
	to[WRONG] = WHOLE;
	say("stopped", swap(MANY));
	say("wrong", wrong(HOLES + WRONG, MANY - WRONG));
	list(PAGES + 1 + WRONG, HOLES + WRONG, MANY - WRONG);
	say("rest", swap(MANY - WRONG));
}

static void refused(void)
{
	struct exchange_gfns op = {
		.nr = 1, .populate = (uint32_t)to, .depopulate = (uint32_t)from };
	uint32_t *array = (uint32_t *)(HOLES * PAGE) - READABLE, i;

	list(WHOLE, PAGES + 1, 1);
	say("not empty", swap(1));
	list(HOLES, HOLES + 1, 1);
	say("not there", swap(1));
	list(HOLES, PAGES + 1, 1);
	say("none", swap(0));
	op.flags = 4;
	say("flags", swap_as(op));
	op.flags = 0;
	op.mem_flags = 1 << 16;
	say("mem_flags", swap_as(op));
	op.mem_flags = 0;
	op.extent_order = 9;
	say("order", swap_as(op));
	op.extent_order = 0;
	op.populate = HOLES * PAGE;
	say("array", swap_as(op));
	/* An array that ends: what there is of it is done. */
	for (i = 0; i < READABLE; i++)
		array[i] = HOLES + 1 + i;
	list(0, PAGES + 1, MANY);
	op.nr = MANY;
	op.populate = (uint32_t)array;
	say("end", swap_as(op));
	list(PAGES + 1, HOLES + 1, READABLE);
	say("back", swap(READABLE));
}

void guest(void)
{
	struct { uint32_t index, map; } features = { 0, 0 };
	long before;

	find_xen();
	hypercall(XEN_VERSION, GET_FEATURES, &features);
	say("feature", features.map >> FEATURE & 1);
	before = pages();
	say("pages", before);
	if (one() == 1) {
		many();
		refused();
		say("in", change(POPULATE_PHYSMAP, PAGES, 1));
		say("in", change(POPULATE_PHYSMAP, HOLES, MANY));
	} else {
		say("in", change(POPULATE_PHYSMAP, WHOLE + BLOCK_PAGES / 2, 1));
		mark(WHOLE + BLOCK_PAGES / 2, 1);
	}
	say("wrong", wrong(WHOLE, BLOCK_PAGES));
	say("more pages", pages() - before);
	say("ended", 0);
	for (;;)
		hypercall(SCHED_OP, BLOCK, 0);
}

/* Where it begins, as Xen's PVH interface has it: XEN_ELFNOTE_PHYS32_ENTRY. */
asm(".pushsection .note.Xen, \"a\", @note\n"
	".long 4, 4, 18\n"
	".asciz \"Xen\"\n"
	".long begin\n"
	".popsection\n"
	".pushsection .bss\n"
	".balign 16\n"
	".skip 4096\n"
	"stack:\n"
	".popsection\n"
	".globl begin\n"
	"begin:\n"
	"mov $stack, %esp\n"
	"cld\n"
	"call guest\n");
