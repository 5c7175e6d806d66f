// SPDX-License-Identifier: GPL-2.0
/*
 * Hibernation. A host counts from nothing when a guest comes back, so what is in the
 * balloon then is lost to somebody; and an image needs room to be written from, and
 * to be loaded to, in a kernel that may have inflated as it booted. So the balloon
 * stands back first, all of it as far as the host gives, and pursues its target again
 * when the image was loaded, written, or given up.
 */
#include <linux/init.h>
#include <linux/notifier.h>
#include <linux/suspend.h>

#include "internal.h"

static int hibernate_notify(struct notifier_block *nb, unsigned long action, void *data)
{
	switch (action) {
	case PM_HIBERNATION_PREPARE:
	case PM_RESTORE_PREPARE:
		balloon_stand_back(true);
		break;
	case PM_POST_HIBERNATION:
	case PM_POST_RESTORE:
		balloon_stand_back(false);
		break;
	}
	return NOTIFY_DONE;
}

static int __init hibernate_init(void)
{
	/* Before software_resume(), which is a late one. */
	pm_notifier(hibernate_notify, 0);
	return 0;
}
subsys_initcall(hibernate_init);
