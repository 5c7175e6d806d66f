// SPDX-License-Identifier: GPL-2.0
/*
 * Virtual nodes of PV guests. They have neither SRAT nor SLIT: Xen tells what
 * would be in there when it is asked, see public/memory.h of Xen. Elena
 * Ufimtseva's series of 2013 and 2014 ("xen: vnuma for pv guests") did the
 * same; it was never merged.
 *
 * A virtual node's number is its proximity domain, as in the tables of PVH and
 * HVM guests.
 */
#define pr_fmt(fmt) "xen: vNUMA: " fmt

#include <linux/memblock.h>
#include <linux/nodemask.h>
#include <linux/numa_memblks.h>

#include <acpi/acpi_numa.h>
#include <asm/numa.h>
#include <asm/xen/hypercall.h>
#include <asm/xen/vnuma.h>

#include <xen/interface/memory.h>

struct vnuma {
	struct xen_vnuma_topology_info info;
	struct xen_vmemrange *ranges;
	u32 *distances;			/* a row for each node */
	u32 *vcpu_nodes;
};

/* NULL, or what is wrong: half a topology is worse than none. */
static const char * __init find_fault(const struct vnuma *v)
{
	unsigned int nodes = v->info.nr_vnodes, i, j;
	phys_addr_t start, end, covered;
	u64 idx;

	for (i = 0; i < v->info.nr_vmemranges; i++) {
		const struct xen_vmemrange *range = &v->ranges[i];

		if (range->start >= range->end || range->nid >= nodes)
			return "a range of memory";
		for (j = 0; j < i; j++) {
			if (range->start < v->ranges[j].end && v->ranges[j].start < range->end)
				return "memory of two ranges";
		}
	}
	/* Memory of no node would be fatal, be it less than what is made good for firmware. */
	for_each_mem_range(idx, &start, &end) {
		covered = 0;
		for (i = 0; i < v->info.nr_vmemranges; i++) {
			u64 from = max(start, v->ranges[i].start), to = min(end, v->ranges[i].end);

			covered += to > from ? to - from : 0;
		}
		if (covered < end - start)
			return "memory without a node";
	}
	for (i = 0; i < v->info.nr_vcpus; i++)
		if (v->vcpu_nodes[i] >= nodes)
			return "the node of a CPU";
	for (i = 0; i < nodes * nodes; i++) {
		u32 distance = v->distances[i];

		/* As slit_valid() has it. */
		if (i % (nodes + 1) ? distance <= LOCAL_DISTANCE || distance > U8_MAX :
				      distance != LOCAL_DISTANCE)
			return "a distance";
	}
	return NULL;
}

static int __init use(const struct vnuma *v)
{
	unsigned int nodes = v->info.nr_vnodes, i, j;
	int rc, nid;

	/* Of all, before any distance: the first one fixes the table's size. */
	for (i = 0; i < nodes; i++) {
		nid = acpi_map_pxm_to_node(i);
		if (nid == NUMA_NO_NODE)
			return -ENOSPC;
		node_set(nid, numa_nodes_parsed);
	}
	for (i = 0; i < v->info.nr_vmemranges; i++) {
		nid = pxm_to_node(v->ranges[i].nid);
		rc = numa_add_memblk(nid, v->ranges[i].start, v->ranges[i].end);
		if (rc)
			return rc;
		pr_info("node %d [mem %#018llx-%#018llx]\n", nid, v->ranges[i].start,
			v->ranges[i].end - 1);
	}
	for (i = 0; i < nodes; i++)
		for (j = 0; j < nodes; j++)
			numa_set_distance(pxm_to_node(i), pxm_to_node(j),
					  v->distances[i * nodes + j]);
	/* A PV guest's APIC IDs are the numbers of its vCPUs. */
	for (i = 0; i < min(v->info.nr_vcpus, MAX_LOCAL_APIC); i++)
		set_apicid_to_node(i, pxm_to_node(v->vcpu_nodes[i]));
	return 0;
}

/**
 * xen_pv_numa_init - ask Xen for the nodes of a PV guest
 *
 * To be passed to numa_init(), as x86_acpi_numa_init() is.
 *
 * Context: boot, with memblock.
 * Return: 0; or an errno where Xen has no nodes for us, or what it says of them
 * does not fit together.
 */
int __init xen_pv_numa_init(void)
{
	struct vnuma v = { .info.domid = DOMID_SELF };
	size_t ranges, distances, vcpus;
	const char *fault;
	void *tables;
	int rc;

	/* Asked with no room, it says how much it needs. */
	rc = HYPERVISOR_memory_op(XENMEM_get_vnumainfo, &v.info);
	if (rc != -ENOBUFS)
		return rc ?: -ENODATA;
	if (!v.info.nr_vnodes || v.info.nr_vnodes > MAX_NUMNODES) {
		pr_warn("%u nodes: this kernel is for 1 to %u\n", v.info.nr_vnodes, MAX_NUMNODES);
		return -EINVAL;
	}

	ranges = array_size(v.info.nr_vmemranges, sizeof(*v.ranges));
	distances = array3_size(v.info.nr_vnodes, v.info.nr_vnodes, sizeof(*v.distances));
	vcpus = array_size(v.info.nr_vcpus, sizeof(*v.vcpu_nodes));
	tables = memblock_alloc(size_add(ranges, size_add(distances, vcpus)), PAGE_SIZE);
	if (!tables)
		return -ENOMEM;
	v.ranges = tables;
	v.distances = tables + ranges;
	v.vcpu_nodes = tables + ranges + distances;
	v.info.vmemrange = (unsigned long)v.ranges;
	v.info.vdistance = (unsigned long)v.distances;
	v.info.vcpu_to_vnode = (unsigned long)v.vcpu_nodes;

	rc = HYPERVISOR_memory_op(XENMEM_get_vnumainfo, &v.info);
	if (!rc) {
		fault = find_fault(&v);
		if (fault) {
			pr_warn("ignored: %s makes no sense\n", fault);
			rc = -EINVAL;
		} else {
			rc = use(&v);
		}
	}
	memblock_free(tables, ranges + distances + vcpus);
	return rc;
}
