// SPDX-License-Identifier: GPL-2.0
/*
 * Boots another kernel without the machine's firmware: kexec [-p] KERNEL INITRD WORD...
 *
 * As 'kexec -e': nothing is ended or unmounted first. The words are the kernel's command line.
 * With -p, it is loaded into the memory that crashkernel= has reserved, and booted by a panic.
 */
#include <err.h>
#include <fcntl.h>
#include <linux/kexec.h>
#include <linux/reboot.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int open_file(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		err(1, "%s", path);
	return fd;
}

int main(int argc, char **argv)
{
	unsigned long flags = 0;
	char line[1024] = "";
	int kernel, initrd;
	size_t end = 0;
	int i;

	if (argc > 1 && !strcmp(argv[1], "-p")) {
		flags = KEXEC_FILE_ON_CRASH;
		argv++;
		argc--;
	}
	if (argc < 3)
		errx(2, "usage: kexec [-p] KERNEL INITRD WORD...");
	kernel = open_file(argv[1]);
	initrd = open_file(argv[2]);
	for (i = 3; i < argc; i++) {
		end += snprintf(line + end, sizeof(line) - end, "%s%s", end ? " " : "", argv[i]);
		if (end >= sizeof(line))
			errx(2, "the command line is longer than %zu", sizeof(line) - 1);
	}
	if (syscall(SYS_kexec_file_load, kernel, initrd, end + 1, line, flags))
		err(1, "kexec_file_load");
	if (flags)
		return 0;
	if (syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2,
		    LINUX_REBOOT_CMD_KEXEC, NULL))
		err(1, "reboot");
	return 0;
}
