// SPDX-License-Identifier: GPL-2.0
/* libFuzzer: what users write into files, and rings as text. */
#include "kernel.h"

#include "../../../mm/balloon/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

unsigned int nr_node_ids = 64;
nodemask_t node_states[NR_NODE_STATES];
struct balloon_node *balloon_nodes[MAX_NUMNODES];
void zone_lock_taken(spinlock_t *lock) { (void)lock; }
void zone_lock_released(spinlock_t *lock) { (void)lock; }
static const uint8_t *bytes;
static size_t nr_bytes;

int node_distance(int from, int to)
{
	return nr_bytes ? bytes[(from * 64 + to) % nr_bytes] * 7 : 10;
}

/* The function is cut out of sysfs.c by the Makefile: nothing else there is arithmetic. */
#include "parse_pages.h"

static void check_pages(const char *text, const char *none)
{
	unsigned long present = 1UL << 34, target = 12345, i;
	int err = balloon_parse_pages(text, none, present, &target);

	if (err) {
		if (err != -EINVAL || target != 12345)
			fail("'%s': %d, target %lu", text, err, target);
		return;
	}
	if (target == ULONG_MAX) {
		if (strncmp(text, none, strlen(none)))
			fail("'%s' is %s", text, none);
		return;
	}
	if (target > present)
		fail("'%s' is %lu", text, target);
	for (i = text[0] == '+'; text[i] && text[i] != '\n'; i++)
		if (text[i] < '0' || text[i] > '9')
			fail("'%s' is %lu", text, target);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char text[128], out[64 * BALLOON_RINGS_TEXT + 2];
	struct balloon_rings *r;
	size_t room;
	u64 map;

	if (size < 10)
		return 0;
	memcpy(text, data, min(size, sizeof(text) - 1));
	text[min(size, sizeof(text) - 1)] = 0;
	check_pages(text, "auto");
	check_pages(text, "max");

	bytes = data + 10;
	nr_bytes = size - 10;
	memcpy(&map, data, 8);
	r = balloon_rings_build(data[8] % 64, (unsigned long *)&map, 64, node_distance);
	if (!r)
		return 0;
	out[0] = 0;
	room = 1 + (data[9] | 1) * 3;
	balloon_rings_print(r, out, min(room, sizeof(out)));
	if (strlen(out) >= room)
		fail("rings in %zu", room);
	balloon_rings_print(r, out, sizeof(out));
	if (r->nr && out[strlen(out) - 1] != '\n')
		fail("rings are cut: %s", out);
	kfree(r);
	return 0;
}
