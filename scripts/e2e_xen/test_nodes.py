# SPDX-License-Identifier: GPL-2.0
"""Virtual nodes that the toolstack can tell apart: what xl-node-mem asks for, Xen sees."""

import time
import unittest

from common import FLAVOUR, PAGES_PER_MIB, Pattern, XenTest, afresh, needs_pvh

SUPERFRAME = 512


@unittest.skipIf(FLAVOUR == 'vanilla', 'the unpatched kernel knows no targets of nodes')
class NodeTargets(XenTest):
    def tool(self, xen, words):
        return xen.status(f'xl-node-mem {words} 2>&1', 120)

    @needs_pvh
    @afresh
    def test_one_node_gives(self):
        xen = self.boot()
        self.install_tool(xen)
        domain = self.start(xen)
        before = domain.pages()
        top = f'/local/domain/{domain.domid}'
        status, listing = self.tool(xen, domain.name)
        self.assertEqual(status, 0, listing)
        self.tell('\n' + listing)
        pattern = Pattern(domain, 48, '--interleave')

        # Node 1 has to do with 48 MiB less, and all of it is taken there.
        status, said = self.tool(xen, f'{domain.name} 1 80')
        self.assertEqual(status, 0, said)
        down = domain.mem_set(208)
        self.tell(f'pages per physical node: {before}, then {down}')
        taken = [b - a for b, a in zip(before, down)]
        self.assertEqual(sum(taken), 48 * PAGES_PER_MIB)
        self.assertLessEqual(taken[0], 2 * SUPERFRAME)
        self.assertEqual(domain.sh('cat /sys/devices/system/node/node*/balloon/nr_pages').split(),
                         [str(pages) for pages in taken])
        # It says so to the toolstack, once a second at most, and nothing more when all is said.
        time.sleep(1.5)
        told = xen.sh(f'xenstore-read {top}/data/balloon/node/1/balloon').strip()
        self.assertEqual(int(told), taken[1] * 4)
        xen.sh(f'timeout 7 xenstore-watch {top}/data/balloon/node > /tmp/said 2>&1 &')
        domain.sh('for i in 1 2 3 4 5 6 7 8; do '
                  'cat /sys/devices/system/node/node1/balloon/target > '
                  '/sys/devices/system/node/node1/balloon/target; sleep 0.5; done')
        said = xen.sh('sleep 3; cat /tmp/said').split()
        self.assertLessEqual(len(said), 2, said)

        # A number of the guest's that looks octal is none; the list is not broken by it.
        xen.sh(f'xenstore-write {top}/data/balloon/node/0/total 0999')
        status, listing = self.tool(xen, domain.name)
        self.assertEqual(status, 0, listing)
        self.assertEqual(len(listing.splitlines()), 3, listing)

        # What is no target is refused with a word, and changes nothing.
        target = domain.read('/sys/devices/system/node/node1/balloon/target')
        for value in '', '-5', 'much', '99999999999999999999', str(1 << 30):
            xen.sh(f"xenstore-write -- {top}/memory/node/1/target '{value}'")
        xen.sh(f'xenstore-write {top}/memory/node/7/target 1024')
        xen.sh(f'xenstore-write {top}/memory/node/some/target 1024')
        self.assertEqual(domain.read('/sys/devices/system/node/node1/balloon/target'), target)
        self.assertEqual(domain.pages(), down)
        words = domain.sh('dmesg | grep memory/node')
        for word in "'-5'", "'much'", 'no such node', 'a node is a number':
            self.assertIn(word, words)
        for words in '1 2000', '7 64', '1 -3', '1 some', '1 3x':
            status, said = self.tool(xen, f'{domain.name} {words}')
            self.assertNotEqual(status, 0, words)
            self.assertTrue(said.startswith('xl-node-mem: '), said)

        # And all of it comes back where it was.
        self.assertEqual(self.tool(xen, f'{domain.name} 1 auto')[0], 0)
        self.assertEqual(domain.mem_set(256), before)
        self.assertEqual(pattern.stop(), 48 << 20)

    @needs_pvh
    @afresh
    def test_nodes_that_the_host_forgot(self):
        """As after a restore with fewer: it has no memory for a node that it does not know."""
        xen = self.boot()
        domain = self.start(xen)
        before = sum(domain.pages())
        domain.mem_set(192)
        xen.sh(f'pv_vnuma {domain.domid} 256/0/0,1/10')
        began = time.monotonic()
        self.assertEqual(sum(domain.mem_set(256, 90)), before)
        self.tell(f'64 MiB came back in {time.monotonic() - began:.1f} s')
        self.assertIn('host has no node 1', domain.sh('dmesg'))
        self.assertEqual(Pattern(domain, 160, '--interleave').stop(), 160 << 20)

    @needs_pvh
    @afresh
    def test_rings_of_four_nodes(self):
        """What the node itself can't give comes from the nearest ones."""
        far = [[10, 40, 30, 20], [40, 10, 20, 30], [30, 20, 10, 40], [20, 30, 40, 10]]
        xen = self.boot(nodes=(512,) * 4, dist=far)
        self.install_tool(xen)
        domain = self.start(xen, nodes=(96,) * 4, dist=far)
        before = domain.pages()
        status, said = self.tool(xen, f'{domain.name} 2 0')
        self.assertEqual(status, 0, said)
        down = domain.mem_set(4 * 96 - 96)
        taken = [b - a for b, a in zip(before, down)]
        self.tell(f'96 MiB for node 2: {taken} pages per physical node')
        self.assertEqual(sum(taken), 96 * PAGES_PER_MIB)
        # Its own first, as far as that goes; then node 1; node 0 is next, and node 3 the farthest.
        self.assertGreater(taken[2], 48 * PAGES_PER_MIB)
        self.assertGreaterEqual(taken[1], 2 * SUPERFRAME)
        self.assertLessEqual(taken[0] + taken[3], 2 * SUPERFRAME)
        self.assertEqual(domain.mem_set(4 * 96), before)
