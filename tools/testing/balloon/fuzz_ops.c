// SPDX-License-Identifier: GPL-2.0
/*
 * libFuzzer: four bytes an operation. They choose what is done and, by the seed of the
 * operation, how, the host's answers among it.
 */
#include "world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t i;
	u64 seed;

	if (size < 8)
		return 0;
	seed = data[0] | data[1] << 8;
	world_begin(seed, false);
	for (i = 2; i + 4 <= size && i < 4 * 400; i += 4) {
		struct op op = {
			.type = data[i] % NR_OPS,
			.r = data[i + 1] | data[i + 2] << 8 | data[i + 3] << 16,
		};

		world_op(&op);
	}
	world_end();
	return 0;
}
