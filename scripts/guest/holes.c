// SPDX-License-Identifier: GPL-2.0
/*
 * Under Xen: gives memory away behind the kernel's back, as a kernel that was there before
 * may have done (kexec).
 *
 *	holes AT...	has Xen take page AT (0 to 511) of a superframe that is free, of another
 *			one for each; prints "hole PFN" for each
 *
 * Needs xen_privcmd.unrestricted=1 on the kernel's command line.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

/* From xen/privcmd.h and Xen's public headers, which not every machine has. */
struct privcmd_hypercall {
	uint64_t op;
	uint64_t arg[5];
};

#define IOCTL_PRIVCMD_HYPERCALL	_IOC(_IOC_NONE, 'P', 0, sizeof(struct privcmd_hypercall))
#define MEMORY_OP		12
#define DECREASE_RESERVATION	1
#define POPULATE_PHYSMAP	6
#define DOMID_SELF		0x7ff0

struct reservation {
	uint64_t *extent_start;
	uint64_t nr_extents;
	uint32_t extent_order;
	uint32_t mem_flags;
	uint16_t domid;
};

/* From linux/kernel-page-flags.h. */
#define BUDDY		0x400
#define SUPERFRAME	512

static int flags_fd, privcmd_fd;
/* What a hypercall reads has to be there. */
static struct {
	struct reservation op;
	uint64_t frame;
} *call;

static void die(const char *what)
{
	fprintf(stderr, "holes: %s: %s\n", what, strerror(errno));
	exit(1);
}

static bool is_free(uint64_t pfn)
{
	uint64_t flags[SUPERFRAME];
	int i;

	if (pread(flags_fd, flags, sizeof(flags), pfn * sizeof(*flags)) != sizeof(flags))
		return false;
	for (i = 0; i < SUPERFRAME; i++)
		if (!(flags[i] & BUDDY))
			return false;
	return true;
}

static long memory_op(uint64_t op, uint64_t pfn)
{
	struct privcmd_hypercall h = { MEMORY_OP, { op, (uintptr_t)&call->op } };

	call->frame = pfn;
	call->op = (struct reservation){ &call->frame, 1, 0, 0, DOMID_SELF };
	return ioctl(privcmd_fd, IOCTL_PRIVCMD_HYPERCALL, &h);
}

int main(int argc, char **argv)
{
	int i, n = 1;
	uint64_t pfn;
	long at;

	for (i = 1; i < argc; i++) {
		at = atol(argv[i]);
		if (at < 0 || at >= SUPERFRAME)
			break;
	}
	if (i < argc || argc < 2) {
		fprintf(stderr, "usage: holes 0..511...\n");
		return 2;
	}
	flags_fd = open("/proc/kpageflags", O_RDONLY);
	if (flags_fd < 0)
		die("/proc/kpageflags");
	privcmd_fd = open("/dev/xen/privcmd", O_RDWR | O_CLOEXEC);
	if (privcmd_fd < 0)
		die("/dev/xen/privcmd");
	call = mmap(NULL, sizeof(*call), PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE | MAP_LOCKED, -1, 0);
	if (call == MAP_FAILED)
		die("mmap");
	/* The first 16 MiB are for devices. */
	for (pfn = 8 * SUPERFRAME; n < argc && pfn < (64ULL << 18); pfn += SUPERFRAME) {
		if (!is_free(pfn))
			continue;
		at = atol(argv[n]);
		if (memory_op(DECREASE_RESERVATION, pfn + at) != 1)
			die("XENMEM_decrease_reservation");
		/* Somebody may just have got it. */
		if (!is_free(pfn)) {
			if (memory_op(POPULATE_PHYSMAP, pfn + at) != 1)
				die("XENMEM_populate_physmap");
			continue;
		}
		printf("hole %llu\n", (unsigned long long)(pfn + at));
		n++;
	}
	return n < argc;
}
