# SPDX-License-Identifier: GPL-2.0
"""The patched xl: virtual nodes without a helper, memory in multiples of 2M, targets of nodes."""

import unittest

from common import (FLAVOUR, HYPERVISOR, PAGES_PER_MIB, Domain, GuestError, XenTest, afresh,
                    needs_pvh)

PATCHED = HYPERVISOR == 'patched'
KIB = 1024
SUPERFRAME = 512


class Toolstack(XenTest):
    def target(self, xen, domid):
        """In KiB."""
        return int(xen.store_read(f'/local/domain/{domid}/memory/target'))

    @afresh
    def test_multiples_of_2M(self):
        """What is asked for is rounded in the guest's favour, and xl says so."""
        xen = self.boot()
        domain = self.start(xen, type='pv', nodes=[234], start_mib=233)
        self.assertEqual(self.target(xen, domain.domid), (234 if PATCHED else 233) * KIB)
        said = xen.sh(f'xl mem-set {domain.domid} 201 2>&1')
        if not PATCHED:
            self.assertEqual(self.target(xen, domain.domid), 201 * KIB)
            return
        self.assertIn('mem-set: 205824 KiB rounded up to 206848, a multiple of 2 MiB', said)
        self.assertEqual(self.target(xen, domain.domid), 202 * KIB)
        domain.wait_target(202)
        for size in '-5', '7q', 'much':
            status, said = xen.status(f'xl mem-set -- {domain.domid} {size} 2>&1')
            self.assertNotEqual(status, 0)
            self.assertIn(f'invalid memory size: {size}', said)
        self.assertEqual(xen.sh(f'xl mem-set {domain.domid} 234 2>&1').strip(), '')
        domain.wait_target(234)

    @unittest.skipUnless(PATCHED, "Debian's xl has no targets of nodes")
    @unittest.skipIf(FLAVOUR == 'vanilla', 'the unpatched kernel takes none')
    @afresh
    def test_targets_of_nodes(self):
        xen = self.boot(guests=['release', 'vanilla'])
        domain = self.start(xen, type='pv', nodes=(128, 128))
        path = domain.store('memory/node/1/target')

        said = xen.sh(f'xl mem-set --vnode 1 {domain.domid} 87 2>&1')
        self.assertIn('rounded up to 90112', said)
        self.assertEqual(xen.store_read(path), str(88 * KIB))
        domain.mem_set(256 - 40)
        held = list(map(int, domain.sh('cat /sys/devices/system/node/node*/balloon/nr_pages').split()))
        self.tell(f'40 MiB with 88 left to the second node: {held}')
        self.assertAlmostEqual(held[1], 40 * PAGES_PER_MIB, delta=2 * SUPERFRAME)

        for words, wanted in ((f'-n 2 {domain.domid} 64', 'There is no virtual node 2'),
                              (f'-n x {domain.domid} 64', 'invalid virtual node: x'),
                              (f'-n 1 {domain.domid} 4096', 'is more than virtual node 1 has'),
                              (f'-n 1 {domain.domid} much', 'invalid memory size: much')):
            status, said = xen.status(f'xl mem-set {words} 2>&1')
            self.assertNotEqual(status, 0, words)
            self.assertIn(wanted, said)
        self.assertEqual(xen.store_read(path), str(88 * KIB))
        xen.sh(f'xl mem-set -n 1 {domain.domid} auto')
        self.assertNotEqual(xen.status(f'xenstore-read {path}')[0], 0)
        domain.mem_set(256)

        other = self.start(xen, type='pv', nodes=[128], flavour='vanilla')
        status, said = xen.status(f'xl mem-set -n 0 {other.domid} 64 2>&1')
        self.assertNotEqual(status, 0)
        self.assertIn("takes no targets of nodes", said)

    @unittest.skipUnless(PATCHED, "Debian's xl refuses all of them")
    @afresh
    def test_a_pv_guest_begins_with_all_of_its_nodes(self):
        xen = self.boot()
        with self.assertRaisesRegex(GuestError, 'begins with all of its memory'):
            Domain(xen, 'pv', nodes=(128, 128), start_mib=192, flavour=FLAVOUR).start()


@unittest.skipIf(FLAVOUR == 'vanilla', 'the unpatched kernel takes no targets of nodes')
class Room(XenTest):
    """The guide's recipe: room for a guest on one node of the host."""

    def free(self, xen):
        """MiB of each node, as xl tells."""
        lines = xen.sh('xl info -n').splitlines()
        first = next(i for i, line in enumerate(lines) if line.startswith('node:'))
        return [int(line.split()[2]) for line in lines[first + 1:first + 1 + len(xen.sizes)]]

    def make_room(self, host, sizes, node):
        xen = self.boot(nodes=host)
        self.install_tool(xen)
        guest = self.start(xen, nodes=sizes)
        free = self.free(xen)
        mib = free[node] // 2 * 2 + 48

        line = f'vnuma=[["pnode={node}","size={mib}","vcpus=0","vdistances=10"]]'

        with self.assertRaisesRegex(GuestError, 'xl create'):
            Domain(xen, nodes=[mib], flavour=FLAVOUR, config=line).start()
        take = 48 + 32
        xen.sh(f'xl-node-mem {guest.name} {node} {sizes[node] - take}')
        guest.mem_set(sum(sizes) - take)
        domain = self.start(xen, nodes=[mib], config=line)
        there = domain.pages()
        self.tell(f'{free} MiB were free; {mib} MiB on node {node}: {there} pages')
        self.assertEqual(domain.sh('echo fine').strip(), 'fine')
        # What Xen itself needs for a guest may lie anywhere.
        self.assertLess(sum(there) - there[node], 64)

    @needs_pvh
    @afresh
    def test_a_gib_of_one_node(self):
        """'Node 1 of the host is short': what was asked for comes free there, and there only."""
        sizes, gib, off = (64, 1280), 1024, 11
        xen = self.boot(nodes=(768, 1792))
        self.install_tool(xen)
        guest = self.start(xen, nodes=sizes)
        before = self.free(xen)
        # 1 GiB, and then back.
        xen.sh(f'xl-node-mem {guest.name} 1 {sizes[1] - gib}')
        guest.mem_set(sum(sizes) - gib, 600)
        after = self.free(xen)
        self.tell(f'{before} MiB were free, {after} are')
        self.assertLess(abs(after[1] - before[1] - gib), off)
        self.assertLess(abs(after[0] - before[0]), off)
        xen.sh(f'xl-node-mem {guest.name} 1 auto')
        guest.mem_set(sum(sizes), 600)
        again = self.free(xen)
        self.tell(f'given back: {again}')
        for then, now in zip(before, again):
            self.assertLess(abs(then - now), off)

    @needs_pvh
    @afresh
    def test_two_nodes(self):
        self.make_room((768, 448), (128, 192), 1)

    @needs_pvh
    @afresh
    def test_four_nodes(self):
        self.make_room((640, 320, 320, 320), (64, 64, 160, 64), 2)
