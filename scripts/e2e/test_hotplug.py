# SPDX-License-Identifier: GPL-2.0
"""Memory that goes offline and comes back while much of it is in the balloon."""

import os

from common import MIB, NODES, QUIET, GuestTest, Pattern, pages

BLOCKS = '/sys/devices/system/memory'
# Of all blocks; 20 is the full run.
ROUNDS = int(os.environ.get('ROUNDS', 1))


class Blocks(GuestTest):
    def switch(self, guest, block, state):
        """Returns the guest's error, '' if there was none."""
        status, output = guest.status(f'timeout 20 sh -c "echo {state} > {BLOCKS}/{block}/state"')
        return output.strip() or (f'status {status}' if status else '')

    def test_every_block_of_a_node(self):
        node, size = 1, 768
        # Where the kernel has its own data, a block can't go, balloon or not.
        guest = self.boot(nodes=[512, size], cpus=2, append=f'{QUIET} kernelcore=512M')
        names = guest.sh(f'cd {NODES}/node{node} && grep -l Movable memory*/valid_zones | '
                         "sed 's,/.*,,'").split()
        blocks = [b for b in names if not self.switch(guest, b, 'offline')]
        for block in blocks:
            self.assertEqual(self.switch(guest, block, 'online_movable'), '', block)
        self.assertGreaterEqual(len(blocks), 3, names)

        memory = self.meminfo(guest, 'MemTotal')
        pattern = Pattern(guest, 96, f'--node {node}')
        half = size // 2 * MIB
        guest.write(f'{NODES}/node{node}/balloon/target', pages(half))
        self.settle(guest, half)
        self.assertGreaterEqual(self.node_files(guest, 'nr_pages')[node], pages(half) * 9 // 10)

        moved = 0
        for number in range(ROUNDS):
            for block in blocks:
                for state in 'offline', 'online_movable':
                    self.assertEqual(self.switch(guest, block, state), '', f'{block}, {state}, '
                                     f'round {number}: {guest.sh("dmesg | tail -n 20")}')
                    self.settle(guest, half)
                    self.assert_consistent(guest)
                    held = self.node_files(guest, 'nr_pages')
                    self.assertEqual(sum(held), pages(half))
                    moved += held[node] < pages(half) * 9 // 10
            self.assertEqual(self.meminfo(guest, 'MemTotal'), memory - half)
            pattern.verify()
        # It held on to what it could.
        self.assertLess(moved, ROUNDS * len(blocks))

        self.settle(guest, 0)
        self.assertEqual(self.meminfo(guest, 'MemTotal'), memory)
        self.assert_consistent(guest)
        pattern.stop()
