// SPDX-License-Identifier: GPL-2.0
/*
 * Preloaded into xl, it makes a PVH guest with virtual NUMA start.
 *
 * libxl (4.17 and 4.20 at least), where it builds such a guest's ACPI tables,
 * makes two mistakes:
 *
 * - It asks for the sizes first, with no room for an answer. Xen then says
 *   ENOBUFS, and fills the sizes in. libxl takes that for a failure.
 * - It allocates a row of the matrix of distances, not the whole.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* More than the distances of 16 nodes need beyond their first row. */
#define ROOM	1024
#define SMALL	4096

typedef int getvnuma_fn(void *, uint32_t, uint32_t *, uint32_t *, uint32_t *,
			void *, unsigned int *, unsigned int *);

__typeof__(calloc) __libc_calloc;

int xc_domain_getvnuma(void *xch, uint32_t domid, uint32_t *nodes,
		       uint32_t *ranges, uint32_t *cpus, void *range,
		       unsigned int *distance, unsigned int *cpu_to_node)
{
	static getvnuma_fn *real;
	int rc;

	if (!real)
		real = (getvnuma_fn *)dlsym(RTLD_NEXT, "xc_domain_getvnuma");
	rc = real(xch, domid, nodes, ranges, cpus, range, distance, cpu_to_node);
	if (rc && errno == ENOBUFS && !range && !distance && !cpu_to_node)
		return 0;
	return rc;
}

/* Which of the small allocations is the matrix cannot be told. */
void *calloc(size_t n, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(n, size, &bytes) || bytes >= SMALL)
		return __libc_calloc(n, size);
	return __libc_calloc(1, bytes + ROOM);
}
