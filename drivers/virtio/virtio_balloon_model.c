// SPDX-License-Identifier: GPL-2.0
/*
 * A virtio-balloon device inside the guest's own kernel, for what QEMU does not do:
 * other VMMs answer in other ways, and some have bugs that a driver has to live with.
 *
 * It reads the driver's rings as a VMM does, and "discards" what it is given: it writes
 * zeroes there, so that whoever still uses a page, or uses it too soon, misses something.
 * What each model does is from that VMM's public sources: Firecracker's
 * src/vmm/src/devices/virtio/balloon/device.rs, cloud-hypervisor's
 * virtio-devices/src/balloon.rs, crosvm's devices/src/virtio/balloon.rs, Dragonball's
 * dbs_virtio_devices/src/balloon.rs, StratoVirt's virtio/src/device/balloon.rs.
 *
 * /sys/kernel/debug/virtio_balloon_model/
 *   models		their names
 *   enable		a model's name plugs the device in, another word unplugs it
 *   target		base pages that the host wants
 *   storm		so many config interrupts without a reason
 *   granule		1: the host's pages are of 4K; or base pages of one of its huge ones
 *   delay_ms		before each discard
 *   hang		1: nothing is read until this is 0 again
 *   lie		so many answers name a buffer that there is not
 *   actual		base pages that the driver says that it holds
 *   held		base pages inflated, and not deflated, by what was read
 *   discarded		those of them that the host has got
 *   wrong		base pages that were to be discarded and in use
 *   reached		writes of actual that were equal to the target
 *   largest		bytes of the largest range
 *   crossing		ranges that lie in two aligned blocks of 4 MiB
 *   oversize		arrays of more than 256 pfns
 *   kicks		how often rings were looked at
 *   dead		1: the VMM has ended, for something that it can't do
 */
#define pr_fmt(fmt) "virtio_balloon_model: " fmt

#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/device.h>
#include <linux/highmem.h>
#include <linux/init.h>
#include <linux/kthread.h>
#include <linux/memblock.h>
#include <linux/memory_hotplug.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/uaccess.h>
#include <linux/virtio.h>
#include <linux/virtio_balloon.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <linux/vmalloc.h>
#include <linux/vringh.h>
#include <linux/wait.h>

/* Inflate, deflate, statistics, hints, reporting. */
#define NR_VQS		5U
#define INFLATE		0
#define DEFLATE		1
#define REPORTING	4
#define ARRAY_MAX	256U
#define COLLECT_MAX	2048U
#define RING_MAX	256U
#define BLOCK		((u64)SZ_4M)
/* Mappings of guest memory: what cloud-hypervisor plugs in is a multiple of this. */
#define REGION		((u64)SZ_128M)
/* What a pfn of an array stands for, and the host's own pages unless they are huge. */
#define PIECE		BIT_ULL(VIRTIO_BALLOON_PFN_SHIFT)
#define PER_PAGE	(PAGE_SIZE >> VIRTIO_BALLOON_PFN_SHIFT)

/* Of a range that ends in another mapping: nothing, its first part, or the VMM ends. */
enum across { DROPPED, CLAMPED, FATAL };
/* An array of more than ARRAY_MAX is not answered, answered unread, or read. */
enum oversize { LONG_UNANSWERED, LONG_UNREAD, LONG_READ };
/* Which pfns are one range. */
enum merge { NONE, NEIGHBOURS, SORTED };

struct model {
	const char *name;
	u64 features;
	unsigned int ring;
	unsigned int reporting_ring;
	/* Arrays are discarded together, up to COLLECT_MAX pfns; otherwise one by one */
	bool collect;
	/* A buffer is answered before it is discarded, and who looks at the ring can see that */
	bool early;
	/* All buffers are answered together, when all is done; otherwise one by one */
	bool together;
	enum merge merge;
	enum across across;
	enum oversize oversize;
};

#define FEATURE(name)	BIT_ULL(VIRTIO_BALLOON_F_##name)

/* Firecracker's and crosvm's queues for reporting are opt-in: those are without. */
static const struct model models[] = {
	{
		.name = "firecracker-1.12.0", .ring = 256, .features = FEATURE(DEFLATE_ON_OOM),
		.collect = true, .early = true, .merge = SORTED,
		.across = DROPPED, .oversize = LONG_UNANSWERED,
	}, {
		.name = "firecracker-1.12.1", .ring = 256, .features = FEATURE(DEFLATE_ON_OOM),
		.collect = true, .together = true, .merge = SORTED,
		.across = DROPPED, .oversize = LONG_UNANSWERED,
	}, {
		.name = "firecracker-1.14", .ring = 256,
		.collect = true, .together = true, .merge = SORTED,
		.across = CLAMPED, .oversize = LONG_UNANSWERED,
	}, {
		.name = "cloud-hypervisor-51", .ring = 128, .reporting_ring = 32,
		.features = FEATURE(REPORTING),
		.merge = NONE, .across = FATAL, .oversize = LONG_READ,
	}, {
		.name = "cloud-hypervisor-52", .ring = 128, .reporting_ring = 32,
		.features = FEATURE(REPORTING),
		.merge = NONE, .across = CLAMPED, .oversize = LONG_UNREAD,
	}, {
		.name = "crosvm", .ring = 128,
		.features = FEATURE(MUST_TELL_HOST) | FEATURE(DEFLATE_ON_OOM) |
			    BIT_ULL(VIRTIO_RING_F_EVENT_IDX),
		.merge = NEIGHBOURS, .across = DROPPED, .oversize = LONG_READ,
	}, {
		.name = "dragonball", .ring = 128, .features = FEATURE(REPORTING),
		.together = true, .merge = NONE, .across = FATAL, .oversize = LONG_READ,
	}, {
		.name = "stratovirt", .ring = 256,
		.features = FEATURE(REPORTING) | FEATURE(DEFLATE_ON_OOM),
		.merge = SORTED, .across = FATAL, .oversize = LONG_READ,
	},
};

struct vmm {
	struct virtio_device vdev;
	const struct model *model;
	struct virtio_balloon_config config;
	u8 status;
	struct vringh rings[NR_VQS];
	struct virtqueue *vqs[NR_VQS];
	unsigned long kicked;
	wait_queue_head_t wait;
	struct task_struct *thread;
	/* The VMM's one thread, or who resets the device. */
	struct mutex lock;
	u32 pfns[COLLECT_MAX];
	unsigned int nr_pfns;
	u16 answers[RING_MAX];
	unsigned int nr_answers;
};

static struct device *parent;
static struct dentry *dir;
/* Protects which device is plugged in. */
static DEFINE_MUTEX(plug_mutex);
static struct vmm *plugged;
static unsigned long *held_map, *discarded_map;
static u64 held, discarded, wrong, reached, largest, crossing, oversize, kicks;
static u32 granule = 1, delay_ms, lie, dead;
static bool hang;

static struct vmm *to_vmm(struct virtio_device *vdev)
{
	return container_of(vdev, struct vmm, vdev);
}

/* The balloon's pages are nobody's, and neither are those that are reported free. */
static bool in_use(struct page *page)
{
	struct folio *folio = page_folio(page);

	return PageBuddy(page) || PageTable(page) || folio_test_lru(folio) ||
	       folio_test_slab(folio) || folio_mapped(folio);
}

static bool all_discarded(unsigned long pfn)
{
	unsigned long end = (pfn + 1) * PER_PAGE;

	return find_next_zero_bit(discarded_map, end, pfn * PER_PAGE) == end;
}

/* A host's own pages may be smaller than the guest's. */
static void discard_piece(u64 addr)
{
	unsigned long pfn = addr >> PAGE_SHIFT, piece = addr >> VIRTIO_BALLOON_PFN_SHIFT;
	struct page *page = pfn_to_online_page(pfn);

	if (!page || in_use(page)) {
		wrong++;
		pr_err_ratelimited("page 0x%lx is in use and was to be discarded\n", pfn);
		return;
	}
	memzero_page(page, offset_in_page(addr), PIECE);
	if (!__test_and_set_bit(piece, discarded_map) && all_discarded(pfn))
		discarded++;
}

/* Returns false where that is the VMM's end. */
static bool discard(struct vmm *v, u64 addr, u64 len)
{
	u64 whole = granule > 1 ? (u64)granule << PAGE_SHIFT : PIECE;
	u64 region = round_down(addr, REGION) + REGION, end = addr + len;

	if (end > region) {
		if (v->model->across == FATAL)
			return false;
		if (v->model->across == DROPPED)
			return true;
		end = region;
	}
	/* As madvise() has it, on huge pages. */
	if (addr % whole)
		return true;
	for (end = round_down(end, whole); addr < end; addr += PIECE) {
		discard_piece(addr);
		cond_resched();
	}
	return true;
}

static void hold(unsigned long pfn, bool is)
{
	if (pfn >= max_pfn)
		return;
	if (is && !__test_and_set_bit(pfn, held_map))
		held++;
	if (!is && __test_and_clear_bit(pfn, held_map))
		held--;
	if (is)
		return;
	if (all_discarded(pfn))
		discarded--;
	bitmap_clear(discarded_map, pfn * PER_PAGE, PER_PAGE);
}

static int cmp_pfns(const void *a, const void *b)
{
	u32 x = *(const u32 *)a, y = *(const u32 *)b;

	return x < y ? -1 : x > y;
}

static bool one_range(struct vmm *v, u32 pfn, u32 next)
{
	/* What lies in another mapping does not lie behind this one's end, to these. */
	if (v->model->across != DROPPED && !(((u64)next << VIRTIO_BALLOON_PFN_SHIFT) % REGION))
		return false;
	return v->model->merge != NONE && next == pfn + 1;
}

/* What arrays named. */
static bool discard_pfns(struct vmm *v)
{
	unsigned int i, first = 0, nr = v->nr_pfns;
	u32 *pfns = v->pfns;
	bool alive = true;

	v->nr_pfns = 0;
	if (!nr)
		return true;
	if (delay_ms)
		msleep(delay_ms);
	if (v->model->merge == SORTED)
		sort(pfns, nr, sizeof(*pfns), cmp_pfns, NULL);
	for (i = 1; i <= nr && alive; i++) {
		if (i < nr && one_range(v, pfns[i - 1], pfns[i]))
			continue;
		alive = discard(v, (u64)pfns[first] << VIRTIO_BALLOON_PFN_SHIFT,
				(u64)(i - first) << VIRTIO_BALLOON_PFN_SHIFT);
		first = i;
	}
	return alive;
}

/* As a handler is called, which is a thread with PREEMPT_RT. */
static unsigned long irq_begin(void)
{
	unsigned long flags = 0;

	if (!IS_ENABLED(CONFIG_PREEMPT_RT))
		local_irq_save(flags);
	return flags;
}

static void irq_end(unsigned long flags)
{
	if (!IS_ENABLED(CONFIG_PREEMPT_RT))
		local_irq_restore(flags);
}

static void interrupt(struct virtqueue *vq)
{
	unsigned long flags = irq_begin();

	vring_interrupt(0, vq);
	irq_end(flags);
}

/* Returns whether it is to be answered. */
static bool read_array(struct vmm *v, unsigned int q, const struct kvec *iov)
{
	const __le32 *array = phys_to_virt((phys_addr_t)(uintptr_t)iov->iov_base);
	unsigned int n = iov->iov_len / sizeof(*array), i;

	if (n > ARRAY_MAX) {
		oversize++;
		if (v->model->oversize != LONG_READ)
			return v->model->oversize == LONG_UNREAD;
		n = min(n, COLLECT_MAX - v->nr_pfns);
	}
	for (i = 0; i < n; i++) {
		u32 pfn = le32_to_cpu(array[i]);

		hold(pfn / PER_PAGE, q == INFLATE);
		if (q == INFLATE)
			v->pfns[v->nr_pfns++] = pfn;
	}
	return true;
}

static bool read_ranges(struct vmm *v, const struct vringh_kiov *iov)
{
	unsigned int i;

	for (i = 0; i < iov->used; i++) {
		u64 addr = (uintptr_t)iov->iov[i].iov_base, len = iov->iov[i].iov_len, at;

		largest = max(largest, len);
		if (round_down(addr, BLOCK) != round_down(addr + len - 1, BLOCK))
			crossing++;
		for (at = addr; at < addr + len; at += PAGE_SIZE)
			hold(at >> PAGE_SHIFT, true);
		if (delay_ms)
			msleep(delay_ms);
		if (!discard(v, addr, len))
			return false;
	}
	return true;
}

static void answer(struct vmm *v, unsigned int q)
{
	struct vringh *vrh = &v->rings[q];
	unsigned int i;

	for (i = 0; i < v->nr_answers; i++) {
		if (lie) {
			lie--;
			v->answers[i] = v->model->ring;
		}
		vringh_complete_kern(vrh, v->answers[i], 0);
	}
	v->nr_answers = 0;
	if (vrh->event_indices && vringh_need_notify_kern(vrh) > 0)
		interrupt(v->vqs[q]);
}

/* One buffer. Returns false where it is the VMM's end. */
static bool take(struct vmm *v, unsigned int q, u16 head, const struct vringh_kiov *riov,
		 const struct vringh_kiov *wiov)
{
	const struct model *m = v->model;

	if (q == REPORTING && !read_ranges(v, wiov))
		return false;
	if (q != REPORTING && riov->used && !read_array(v, q, riov->iov))
		return true;

	v->answers[v->nr_answers++] = head;
	if (m->early) {
		answer(v, q);
		/* Another queue's interrupt, of which there is one for all, has the driver look. */
		interrupt(v->vqs[q]);
		if (delay_ms)
			msleep(delay_ms);
	}
	if (m->collect && v->nr_pfns + ARRAY_MAX <= COLLECT_MAX)
		return true;
	if (!discard_pfns(v))
		return false;
	if (!m->together && !m->collect)
		answer(v, q);
	return true;
}

/* Everything that is in a ring. Returns false where that is the VMM's end. */
static bool process(struct vmm *v, unsigned int q)
{
	struct vringh *vrh = &v->rings[q];
	struct vringh_kiov riov, wiov;
	struct kvec rvec[4], wvec[32];
	u16 head;

	kicks++;
again:
	for (;;) {
		vringh_kiov_init(&riov, rvec, ARRAY_SIZE(rvec));
		vringh_kiov_init(&wiov, wvec, ARRAY_SIZE(wvec));
		if (vringh_getdesc_kern(vrh, &riov, &wiov, &head, GFP_KERNEL) <= 0)
			break;
		if (!take(v, q, head, &riov, &wiov))
			return false;
	}
	if (!discard_pfns(v))
		return false;
	answer(v, q);
	if (!vringh_notify_enable_kern(vrh))
		goto again;
	if (!vrh->event_indices)
		interrupt(v->vqs[q]);
	return true;
}

static int vmm_thread(void *data)
{
	static const unsigned int queues[] = { INFLATE, DEFLATE, REPORTING };
	struct vmm *v = data;
	unsigned int i;

	while (!kthread_should_stop()) {
		wait_event_idle(v->wait, kthread_should_stop() ||
				(READ_ONCE(v->kicked) && !READ_ONCE(hang) && !READ_ONCE(dead)));
		mutex_lock(&v->lock);
		for (i = 0; i < ARRAY_SIZE(queues) && !dead; i++) {
			if (!test_and_clear_bit(queues[i], &v->kicked) || !v->vqs[queues[i]])
				continue;
			if (!process(v, queues[i])) {
				WRITE_ONCE(dead, 1);
				pr_err("%s has ended\n", v->model->name);
			}
		}
		mutex_unlock(&v->lock);
	}
	return 0;
}

static bool model_notify(struct virtqueue *vq)
{
	struct vmm *v = to_vmm(vq->vdev);

	/* Nobody asks for statistics or hints. */
	if (vq->index != INFLATE && vq->index != DEFLATE && vq->index != REPORTING)
		return true;
	set_bit(vq->index, &v->kicked);
	wake_up(&v->wait);
	return true;
}

/* What the VMM is at comes to its end. */
static void model_reset(struct virtio_device *vdev)
{
	struct vmm *v = to_vmm(vdev);

	mutex_lock(&v->lock);
	v->status = 0;
	v->kicked = 0;
	v->nr_pfns = 0;
	v->nr_answers = 0;
	memset(v->vqs, 0, sizeof(v->vqs));
	mutex_unlock(&v->lock);
}

static void model_del_vqs(struct virtio_device *vdev)
{
	struct virtqueue *vq, *next;

	list_for_each_entry_safe(vq, next, &vdev->vqs, list)
		vring_del_virtqueue(vq);
}

static int model_find_vqs(struct virtio_device *vdev, unsigned int nvqs, struct virtqueue *vqs[],
			  struct virtqueue_info infos[], struct irq_affinity *desc)
{
	struct vmm *v = to_vmm(vdev);
	const struct vring *vring;
	unsigned int i, num;

	for (i = 0; i < min(nvqs, NR_VQS); i++) {
		vqs[i] = NULL;
		num = v->model->ring;
		if (i == REPORTING && v->model->reporting_ring)
			num = v->model->reporting_ring;
		if (!infos[i].name)
			continue;
		vqs[i] = vring_create_virtqueue(i, num, PAGE_SIZE, vdev, true, false, false,
						model_notify, infos[i].callback, infos[i].name);
		if (!vqs[i])
			goto fail;
		vring = virtqueue_get_vring(vqs[i]);
		if (vringh_init_kern(&v->rings[i], vdev->features, num, true, vring->desc,
				     vring->avail, vring->used))
			goto fail;
		v->vqs[i] = vqs[i];
	}
	return 0;
fail:
	model_reset(vdev);
	model_del_vqs(vdev);
	return -ENOMEM;
}

static void model_get(struct virtio_device *vdev, unsigned int offset, void *buf, unsigned int len)
{
	memcpy(buf, (void *)&to_vmm(vdev)->config + offset, len);
}

static void model_set(struct virtio_device *vdev, unsigned int offset, const void *buf,
		      unsigned int len)
{
	struct vmm *v = to_vmm(vdev);

	memcpy((void *)&v->config + offset, buf, len);
	if (offset == offsetof(struct virtio_balloon_config, actual) &&
	    v->config.actual == v->config.num_pages)
		reached++;
}

static u8 model_get_status(struct virtio_device *vdev)
{
	return to_vmm(vdev)->status;
}

static void model_set_status(struct virtio_device *vdev, u8 status)
{
	to_vmm(vdev)->status = status;
}

static u64 model_get_features(struct virtio_device *vdev)
{
	return to_vmm(vdev)->model->features | BIT_ULL(VIRTIO_F_VERSION_1);
}

static int model_finalize_features(struct virtio_device *vdev)
{
	vring_transport_features(vdev);
	return 0;
}

static const char *model_bus_name(struct virtio_device *vdev)
{
	return to_vmm(vdev)->model->name;
}

static const struct virtio_config_ops model_ops = {
	.get = model_get,
	.set = model_set,
	.get_status = model_get_status,
	.set_status = model_set_status,
	.reset = model_reset,
	.find_vqs = model_find_vqs,
	.del_vqs = model_del_vqs,
	.get_features = model_get_features,
	.finalize_features = model_finalize_features,
	.bus_name = model_bus_name,
};

static void vmm_release(struct device *dev)
{
	kvfree(to_vmm(dev_to_virtio(dev)));
}

static void unplug(void)
{
	struct vmm *v = plugged;

	if (!v)
		return;
	plugged = NULL;
	WRITE_ONCE(hang, false);
	wake_up(&v->wait);
	/* It does not say goodbye any more. */
	if (dead)
		virtio_break_device(&v->vdev);
	get_device(&v->vdev.dev);
	unregister_virtio_device(&v->vdev);
	kthread_stop(v->thread);
	put_device(&v->vdev.dev);
	vfree(held_map);
	vfree(discarded_map);
}

static int plug(const struct model *model)
{
	struct vmm *v = kvzalloc(sizeof(*v), GFP_KERNEL);
	size_t bytes = BITS_TO_LONGS(max_pfn * PER_PAGE) * sizeof(long);
	int err = -ENOMEM;

	held_map = vzalloc(bytes);
	discarded_map = vzalloc(bytes);
	if (!v || !held_map || !discarded_map)
		goto free;
	held = 0;
	discarded = 0;
	wrong = 0;
	reached = 0;
	largest = 0;
	crossing = 0;
	oversize = 0;
	kicks = 0;
	dead = 0;
	v->model = model;
	mutex_init(&v->lock);
	init_waitqueue_head(&v->wait);
	v->vdev.id.device = VIRTIO_ID_BALLOON;
	v->vdev.config = &model_ops;
	v->vdev.dev.parent = parent;
	v->vdev.dev.release = vmm_release;
	v->thread = kthread_run(vmm_thread, v, "balloon_vmm");
	if (IS_ERR(v->thread)) {
		err = PTR_ERR(v->thread);
		goto free;
	}
	err = register_virtio_device(&v->vdev);
	if (!err) {
		plugged = v;
		return 0;
	}
	kthread_stop(v->thread);
	put_device(&v->vdev.dev);
	v = NULL;
free:
	vfree(held_map);
	vfree(discarded_map);
	kvfree(v);
	return err;
}

static ssize_t enable_write(struct file *file, const char __user *buf, size_t count, loff_t *pos)
{
	char name[32] = "";
	unsigned int i;
	int err = 0;

	if (count >= sizeof(name))
		return -EINVAL;
	if (copy_from_user(name, buf, count))
		return -EFAULT;
	strim(name);
	mutex_lock(&plug_mutex);
	unplug();
	for (i = 0; i < ARRAY_SIZE(models); i++)
		if (!strcmp(name, models[i].name))
			err = plug(&models[i]);
	mutex_unlock(&plug_mutex);
	return err ?: count;
}

static const struct file_operations enable_fops = {
	.open = simple_open,
	.write = enable_write,
};

static int models_show(struct seq_file *m, void *unused)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(models); i++)
		seq_printf(m, "%s\n", models[i].name);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(models);

static void changed(struct vmm *v)
{
	unsigned long flags = irq_begin();

	virtio_config_changed(&v->vdev);
	irq_end(flags);
}

static int target_set(void *data, u64 val)
{
	int err = -ENODEV;

	mutex_lock(&plug_mutex);
	if (plugged) {
		plugged->config.num_pages = cpu_to_le32(val * PER_PAGE);
		changed(plugged);
		err = 0;
	}
	mutex_unlock(&plug_mutex);
	return err;
}
DEFINE_DEBUGFS_ATTRIBUTE(target_fops, NULL, target_set, "%llu\n");

static int actual_get(void *data, u64 *val)
{
	mutex_lock(&plug_mutex);
	*val = plugged ? le32_to_cpu(plugged->config.actual) / PER_PAGE : 0;
	mutex_unlock(&plug_mutex);
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(actual_fops, actual_get, NULL, "%llu\n");

static int storm_set(void *data, u64 val)
{
	mutex_lock(&plug_mutex);
	while (plugged && val--) {
		changed(plugged);
		cond_resched();
	}
	mutex_unlock(&plug_mutex);
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(storm_fops, NULL, storm_set, "%llu\n");

static int hang_get(void *data, u64 *val)
{
	*val = hang;
	return 0;
}

static int hang_set(void *data, u64 val)
{
	mutex_lock(&plug_mutex);
	WRITE_ONCE(hang, val);
	if (plugged)
		wake_up(&plugged->wait);
	mutex_unlock(&plug_mutex);
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(hang_fops, hang_get, hang_set, "%llu\n");

static int __init model_init(void)
{
	parent = root_device_register("virtio_balloon_model");
	if (IS_ERR(parent))
		return PTR_ERR(parent);
	dir = debugfs_create_dir("virtio_balloon_model", NULL);
	debugfs_create_file("models", 0400, dir, NULL, &models_fops);
	debugfs_create_file("enable", 0200, dir, NULL, &enable_fops);
	debugfs_create_file("target", 0200, dir, NULL, &target_fops);
	debugfs_create_file("storm", 0200, dir, NULL, &storm_fops);
	debugfs_create_file("hang", 0600, dir, NULL, &hang_fops);
	debugfs_create_file("actual", 0400, dir, NULL, &actual_fops);
	debugfs_create_u32("granule", 0600, dir, &granule);
	debugfs_create_u32("delay_ms", 0600, dir, &delay_ms);
	debugfs_create_u32("lie", 0600, dir, &lie);
	debugfs_create_u32("dead", 0400, dir, &dead);
	debugfs_create_u64("held", 0400, dir, &held);
	debugfs_create_u64("discarded", 0400, dir, &discarded);
	debugfs_create_u64("wrong", 0400, dir, &wrong);
	debugfs_create_u64("reached", 0400, dir, &reached);
	debugfs_create_u64("largest", 0400, dir, &largest);
	debugfs_create_u64("crossing", 0400, dir, &crossing);
	debugfs_create_u64("oversize", 0400, dir, &oversize);
	debugfs_create_u64("kicks", 0400, dir, &kicks);
	return 0;
}
device_initcall(model_init);
