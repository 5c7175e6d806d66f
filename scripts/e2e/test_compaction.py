# SPDX-License-Identifier: GPL-2.0
"""Partial blocks of a virtio balloon, which compaction has to put together."""

import time

from common import MIB, NODES, GuestTest, Pattern

LEFT = 64 * MIB     # of each node, for the guest to live on
HOLD = '/sys/kernel/debug/balloon/hold'
BUSY = '/sys/kernel/debug/balloon/busy'


class PartialBlocks(GuestTest):
    flavour = 'release'

    def partial(self, guest):
        return len(guest.sh('offline_blocks --partial').split())

    def at_rest(self, guest):
        counts = [self.stat(guest, name) for name in ('migrate', 'coalesce')]
        # A pass that found nothing has the next one wait up to 8 s.
        time.sleep(10)
        return (guest.read(BUSY) == '0' and
                [self.stat(guest, name) for name in ('migrate', 'coalesce')] == counts)

    def test_a_thousand_are_put_together(self):
        guest = self.boot(nodes=[1280] * 4, cpus=2)
        nodes = range(len(guest.sizes))
        guest.write('/proc/sys/vm/compaction_proactiveness', 0)
        pattern = Pattern(guest, 64, '--interleave')
        # A page of each can't be moved: they are not evacuated, but taken in pieces.
        for node in nodes:
            self.start(guest, f'fragment --node {node} --keep 12-502 --pin 100 --leave 96',
                       f'/tmp/fragment{node}.log')
        free = [int(word) * 1024 for word in guest.sh(
            f"sed -n 's/^Node .* MemFree: *\\([0-9]*\\) kB/\\1/p' {NODES}/node*/meminfo").split()]
        size = sum(free) // MIB * MIB - LEFT * len(free)
        self.settle(guest, size, 300)
        # The kernel compacts of its own accord: the worker shall not end that yet.
        guest.write(HOLD, 1)
        superframes = sum(self.node_files(guest, 'nr_superframes'))
        guest.sh('killall fragment; while pidof fragment; do sleep 0.1; done')
        # Out of the cpus' lists.
        guest.write('/proc/sys/vm/percpu_pagelist_high_fraction', 1000)

        blocks = self.partial(guest)
        held = self.assert_holds(guest, size)
        before = {name: sum(self.stat(guest, name)) for name in ('migrate', 'coalesce', 'split')}
        self.assertGreaterEqual(blocks, 1000)
        guest.sh('echo 1 > /proc/sys/vm/compact_memory', 300)
        # The worker ends what compaction began.
        guest.write(HOLD, 0)
        self.wait('at rest', lambda: self.at_rest(guest), 300)
        left = self.partial(guest)
        moved = {name: sum(self.stat(guest, name)) - count for name, count in before.items()}
        print(f'      of {blocks} partial blocks {left} are left, {moved}', flush=True)
        self.assertLessEqual(left, blocks // 20)
        self.assertGreater(moved['migrate'], 0)
        self.assertGreater(moved['coalesce'], 0)
        self.assertEqual(moved['split'], 0)
        self.assertEqual(self.assert_holds(guest, size), held)
        self.assertEqual(sum(self.node_files(guest, 'nr_superframes')),
                         superframes + moved['coalesce'])
        self.assert_consistent(guest)
        pattern.stop()
