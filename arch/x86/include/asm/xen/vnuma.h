/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _ASM_X86_XEN_VNUMA_H
#define _ASM_X86_XEN_VNUMA_H

#include <linux/errno.h>
#include <linux/init.h>

#if defined(CONFIG_XEN_PV) && defined(CONFIG_ACPI_NUMA)
int __init xen_pv_numa_init(void);
#else
static inline int xen_pv_numa_init(void)
{
	return -ENODEV;
}
#endif

#endif /* _ASM_X86_XEN_VNUMA_H */
