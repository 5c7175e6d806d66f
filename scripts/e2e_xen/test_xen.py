# SPDX-License-Identifier: GPL-2.0
"""A guest's balloon under a real Xen, judged from the hypervisor: true of any kernel."""

from common import PAGES_PER_MIB, Pattern, XenTest, afresh, needs_pvh

DIST = [[10, 25], [25, 10]]


class AnyKernel(XenTest):
    def down_and_up(self, domain, mib=64, load=64, options=()):
        """Takes memory and gives it back, under a program that looks at every byte of its own."""
        full = sum(domain.sizes)
        before = domain.pages()
        self.tell(f'pages per physical node before: {before}')
        pattern = Pattern(domain, load, *options)

        down = domain.mem_set(full - mib)
        self.tell(f'{mib} MiB taken: {down}')
        self.assertEqual(sum(before) - sum(down), mib * PAGES_PER_MIB)
        self.assertEqual(pattern.verify(), load << 20)

        up = domain.mem_set(full)
        self.tell(f'given back: {up}')
        self.assertEqual(sum(up), sum(before))
        self.assertEqual(pattern.stop(), load << 20)
        return before, down, up

    @needs_pvh
    @afresh
    def test_a_guest_of_two_nodes(self):
        domain = self.start(self.boot(dist=DIST), dist=DIST)
        self.assertEqual(self.nodes(domain), [0, 1])
        self.assertEqual(self.distances(domain), DIST)
        for have, size in zip(domain.pages(), domain.sizes):
            # Some of Xen's own are beside the guest's.
            self.assertAlmostEqual(have, size * PAGES_PER_MIB, delta=64)

    @needs_pvh
    @afresh
    def test_down_and_up(self):
        domain = self.start(self.boot())
        self.pin_worker(domain, 0)
        self.down_and_up(domain, options=['--interleave'])

    @afresh
    def test_down_and_up_of_a_pv_guest(self):
        # As long as one physical node can have all of it, xl puts it there.
        domain = self.start(self.boot(nodes=(512, 512)), type='pv', nodes=[448])
        self.down_and_up(domain)
