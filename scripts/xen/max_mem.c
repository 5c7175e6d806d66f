// SPDX-License-Identifier: GPL-2.0
/*
 * Sets how much a guest may have, be it less than it has:
 *
 *	max_mem DOMID KIB
 *
 * Xen then refuses it every further page. xl sets no less than the guest's
 * target.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xenctrl.h>

int main(int argc, char **argv)
{
	xc_interface *xen;

	if (argc != 3) {
		fprintf(stderr, "usage: max_mem DOMID KIB\n");
		return 2;
	}
	xen = xc_interface_open(NULL, NULL, 0);
	if (!xen || xc_domain_setmaxmem(xen, atoi(argv[1]), strtoull(argv[2], NULL, 10))) {
		fprintf(stderr, "max_mem: %s\n", strerror(errno));
		return 1;
	}
	return 0;
}
