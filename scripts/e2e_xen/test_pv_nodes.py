# SPDX-License-Identifier: GPL-2.0
"""PV guests of several nodes: those that Xen tells them of, and those that they make up."""

import re
import unittest

from common import FLAVOUR, HYPERVISOR, PAGES_PER_MIB, Domain, GuestError, Pattern, XenTest, afresh

SUPERFRAME = 512
DIST = [[10, 25], [25, 10]]
HELD = 'cat /sys/devices/system/node/node*/balloon/nr_pages'


@unittest.skipIf(FLAVOUR == 'vanilla', 'the unpatched kernel turns NUMA off in PV guests')
class PvNodes(XenTest):
    def held(self, domain):
        return list(map(int, domain.sh(HELD).split()))

    def give_and_take(self, domain, mib):
        """Returns what each node gave, and what each physical node gave back."""
        down = domain.mem_set(sum(domain.sizes) - mib)
        held = self.held(domain)
        up = domain.mem_set(sum(domain.sizes))
        self.assertEqual(sum(held), mib * PAGES_PER_MIB)
        return held, [b - a for a, b in zip(down, up)]

    @afresh
    def test_what_comes_back_lies_on_its_node(self):
        domain = self.start(self.boot(), type='pv', nodes=(128, 128), dist=DIST)
        self.assertEqual(self.nodes(domain), [0, 1])
        self.assertEqual(self.distances(domain), DIST)
        self.assertEqual(domain.sh('cat /sys/devices/system/node/node*/cpulist').split(),
                         ['0', '1'])
        for node in 0, 1:
            total = re.search(r'MemTotal: +(\d+) kB',
                              domain.read(f'/sys/devices/system/node/node{node}/meminfo'))
            self.assertAlmostEqual(int(total[1]) / 1024, 128, delta=24)
        self.tell(f'pages per physical node before: {domain.pages()}')
        pattern = Pattern(domain, 64, '--interleave')
        for _ in range(5):
            held, back = self.give_and_take(domain, 64)
            self.tell(f'64 MiB given by nodes: {held}; came back on: {back}')
            self.assertEqual(back, held)
        # A node of its own.
        target = '/sys/devices/system/node/node1/balloon/target'
        domain.write(target, 48 * PAGES_PER_MIB)
        held, back = self.give_and_take(domain, 48)
        self.tell(f'48 MiB of node 1: {held}; came back on: {back}')
        self.assertEqual(back, held)
        self.assertLessEqual(held[0], 2 * SUPERFRAME)
        self.assertEqual(pattern.stop(), 64 << 20)

    @afresh
    def test_nodes_that_make_no_sense(self):
        """The guest is then as it always was."""
        domain = self.start(self.boot(), type='pv', nodes=(128, 128), dist=[[10, 5], [20, 10]],
                            by_hand=True)
        self.assertEqual(self.nodes(domain), [0])
        self.assertIn('xen: vNUMA: ignored: a distance makes no sense', domain.sh('dmesg'))
        held, back = self.give_and_take(domain, 64)
        self.assertEqual(sum(back), sum(held))

    @unittest.skipIf(HYPERVISOR == 'patched', 'the patched xl takes them')
    @afresh
    def test_what_xl_lacks(self):
        """It refuses what the hypervisor can do: that is why pv_vnuma is needed."""
        xen = self.boot()
        domain = Domain(xen, 'pv', nodes=(128, 128), flavour=FLAVOUR)
        domain.config = domain.vnuma()
        domain.sizes = [256]
        with self.assertRaisesRegex(GuestError, 'PV vNUMA is not yet supported'):
            domain.start()
        xen.status(f'xl destroy {domain.name}')

    @afresh
    def test_nodes_that_it_makes_up(self):
        domain = self.start(self.boot(guests=['lend']), flavour='lend', type='pv', nodes=[256],
                            append='numa=fake=4')
        self.assertEqual(self.nodes(domain), [0, 1, 2, 3])
        pattern = Pattern(domain, 48, '--interleave')
        held, _ = self.give_and_take(domain, 64)
        self.tell(f'64 MiB given by nodes: {held}')
        # The first one has the kernel, and may have nothing to spare.
        for pages in held[1:]:
            self.assertGreaterEqual(pages, 8 * PAGES_PER_MIB)
        domain.write('/sys/devices/system/node/node2/balloon/target', 32 * PAGES_PER_MIB)
        held, _ = self.give_and_take(domain, 32)
        self.tell(f'32 MiB of node 2: {held}')
        self.assertGreaterEqual(held[2], 30 * PAGES_PER_MIB)
        self.assertEqual(pattern.stop(), 48 << 20)
