// SPDX-License-Identifier: GPL-2.0
/*
 * Gives a PV guest that has not begun to run virtual nodes:
 *
 *	pv_vnuma DOMID NODE...
 *
 * NODE is MIB/PNODE/CPU,.../DISTANCE,...: its memory, the physical node that it
 * is to lie on, its vCPUs, the distances to all nodes. Memory begins at 0, and
 * goes on node by node.
 *
 * The hypervisor can do that; libxl refuses to ask it ("PV vNUMA is not yet
 * supported"). What memory the guest has by then lies where it lies.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xenctrl.h>

#define MAX_NODES	16U
#define MAX_CPUS	64U

static void die(const char *what, const char *value)
{
	fprintf(stderr, "pv_vnuma: %s: %s\n", what, value);
	exit(1);
}

/* The number at *AT, which END follows or the string's end; moves *AT behind that. */
static unsigned long next_number(char **at, char end)
{
	char *from = *at;
	unsigned long value = strtoul(from, at, 10);

	if (*at == from || (**at && **at != end))
		die("a number is expected here", from);
	if (**at)
		(*at)++;
	return value;
}

int main(int argc, char **argv)
{
	unsigned int cpu_node[MAX_CPUS], pnode[MAX_NODES], distance[MAX_NODES * MAX_NODES];
	unsigned int nodes = argc - 2, cpus = 0, node, i;
	xen_vmemrange_t range[MAX_NODES] = {};
	uint64_t start = 0;
	xc_interface *xen;
	uint32_t domid;

	if (argc < 3 || nodes > MAX_NODES) {
		fprintf(stderr, "usage: pv_vnuma DOMID MIB/PNODE/CPU,.../DISTANCE,... ...\n");
		return 2;
	}
	domid = next_number(&argv[1], '\0');
	for (node = 0; node < nodes; node++) {
		char *at = argv[2 + node], *list;

		range[node].nid = node;
		range[node].start = start;
		start += next_number(&at, '/') << 20;
		range[node].end = start;
		pnode[node] = next_number(&at, '/');
		for (list = strsep(&at, "/"); *list; cpus++) {
			i = next_number(&list, ',');
			if (i >= MAX_CPUS)
				die("no such CPU", argv[2 + node]);
			cpu_node[i] = node;
		}
		for (i = 0; i < nodes; i++)
			distance[node * nodes + i] = next_number(&at, ',');
	}
	xen = xc_interface_open(NULL, NULL, 0);
	if (!xen)
		die("no hypervisor", strerror(errno));
	if (xc_domain_setvnuma(xen, domid, nodes, nodes, cpus, range, distance, cpu_node, pnode))
		die("refused", strerror(errno));
	return 0;
}
