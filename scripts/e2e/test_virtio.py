# SPDX-License-Identifier: GPL-2.0
"""The balloon on QEMU's virtio device, judged from the host."""

import json
import os
import random
import tempfile
import time
import unittest

from common import (BUILD, CORE, GIB, HUGE, MIB, NODES, PAGE, PAGES_PER_HUGE, QUIET, REPORTING,
                    GuestTest, Pattern, pages)
from dump import Dump
from scenes import free_shares


class Returned(GuestTest):
    """What the balloon takes is what the host gets."""

    def test_a_share_of_every_node(self):
        guest = self.boot()
        total = self.meminfo(guest, 'MemTotal')
        pattern = Pattern(guest, 512, '--interleave')
        before = [guest.host_bytes(n) for n in range(4)]
        self.settle(guest, GIB)
        held = self.assert_holds(guest, GIB)

        for n, node in enumerate(held):
            lost = before[n] - guest.host_bytes(n)
            self.assertAlmostEqual(lost, node * PAGE, delta=lost // 100, msg=f'node {n}')
        shares = free_shares(guest)
        self.assertLess(max(shares) - min(shares), 0.03, shares)
        whole = sum(self.node_files(guest, 'nr_superframes')) * PAGES_PER_HUGE
        self.assertGreaterEqual(whole, 0.99 * pages(GIB))
        self.assert_superframes_are_holes(guest)
        pattern.verify()

        self.settle(guest, 0)
        self.assert_holds(guest, 0)
        self.assertEqual(self.meminfo(guest, 'MemTotal'), total)
        pattern.stop()

    def assert_superframes_are_holes(self, guest):
        """Every 2M block all of whose pages are offline is a hole of its node's memory."""
        blocks = [int(word) for word in guest.sh('offline_blocks').split()]
        self.assertEqual(len(blocks), sum(self.node_files(guest, 'nr_superframes')))
        holes = [guest.holes(n) for n in range(4)]
        for pfn in blocks:
            node, offset = guest.phys_to_node_offset(pfn)
            self.assertTrue(any(start <= offset and offset + HUGE <= start + length
                                for start, length in holes[node]), f'page frame {pfn:#x}')

    def test_hugetlbfs_pool(self):
        guest = self.boot(backend='hugetlbfs', flavour='release')
        before = sum(guest.host_bytes(n) for n in range(4))
        self.settle(guest, 2 * GIB)
        self.assert_holds(guest, 2 * GIB)
        back = before - sum(guest.host_bytes(n) for n in range(4))
        self.assertGreaterEqual(back, 0.99 * 2 * GIB)
        self.settle(guest, 0)
        self.assert_holds(guest, 0)

    def test_anonymous_memory(self):
        guest = self.boot(backend='anon', prealloc=True, flavour='release')
        before = [guest.host_bytes(n) for n in range(4)]
        self.settle(guest, GIB)
        for n, node in enumerate(self.assert_holds(guest, GIB)):
            lost = before[n] - guest.host_bytes(n)
            self.assertAlmostEqual(lost, node * PAGE, delta=max(lost // 50, 4 * MIB))

    def test_without_the_reporting_queue(self):
        """Superframes go out as arrays of PFNs then, and come back whole all the same."""
        guest = self.boot(balloon={}, flavour='release')
        before = sum(guest.host_bytes(n) for n in range(4))
        self.settle(guest, GIB)
        self.assert_holds(guest, GIB)
        self.assertAlmostEqual(before - sum(guest.host_bytes(n) for n in range(4)), GIB,
                               delta=GIB // 100)
        self.settle(guest, 0)
        self.assert_holds(guest, 0)

    def test_untouched_memory_stays_untouched(self):
        """Inflating never has the host populate a page, whatever the guest does on allocation."""
        for word in ('init_on_alloc=1 init_on_free=1', 'page_poison=1'):
            with self.subTest(word):
                guest = self.boot(nodes=[512] * 4, prealloc=False, append=f'{QUIET} {word}',
                                  name=f'untouched-{word.split()[0]}',
                                  balloon={'free-page-reporting': True, 'page-poison': True})
                before = sum(guest.host_bytes(n) for n in range(4))
                # To the page: base pages are not to be touched either.
                size = 768 * MIB + 300 * PAGE
                self.settle(guest, size)
                self.assert_holds(guest, size)
                grown = sum(guest.host_bytes(n) for n in range(4)) - before
                # The guest itself goes on living, and touches a little.
                self.assertLess(grown, 32 * MIB)
                self.settle(guest, 0)
                Pattern(guest, 768, '--interleave').stop()
                guest.stop()


class Rings(GuestTest):
    """A node's target fills rings in order of distance."""

    # A debug kernel needs more of its memory itself, and three of them minutes.
    flavour = 'release'

    def test_random_matrices(self):
        rng = random.Random(6)
        # Memory is free to be given: near its watermark a node has no superframe left.
        for round in range(3):
            dist = [[10 if a == b else rng.randint(11, 40) for b in range(4)] for a in range(4)]
            with self.subTest(dist):
                guest = self.boot(nodes=[512] * 4, dist=dist, name=f'rings-{round}')
                origin = rng.randrange(4)
                rings = [[n for n in range(4) if dist[origin][n] == d]
                         for d in sorted(set(dist[origin]))]
                self.assertEqual(rings[0], [origin])
                # Two rings and a part of the third.
                top = 1152 * MIB
                guest.write(f'{NODES}/node{origin}/balloon/target', pages(top))
                full = {}
                for size in range(192, 1153, 192):
                    self.settle(guest, size * MIB)
                    held = self.node_files(guest, 'nr_superframes')
                    self.assert_inner_first(guest, rings, held)
                    full = held
                order = [n for ring in rings for n in ring]
                for size in range(960, -1, -192):
                    guest.write(f'{NODES}/node{origin}/balloon/target', pages(size * MIB))
                    self.settle(guest, size * MIB)
                    held = self.node_files(guest, 'nr_superframes')
                    # Where a nearer ring has given something back, farther ones are empty.
                    for i, ring in enumerate(rings):
                        if any(held[n] < full[n] for n in ring):
                            farther = sum(held[n] for r in rings[i + 1:] for n in r)
                            self.assertEqual(farther, 0, (order, held, full))
                self.assert_holds(guest, 0)
                guest.stop()

    def assert_inner_first(self, guest, rings, held):
        """A ring that has given anything means that nearer ones have no superframe to give."""
        outermost = max((i for i, ring in enumerate(rings) if any(held[n] for n in ring)), default=0)
        for ring in rings[:outermost]:
            for n in ring:
                self.assertLess(self.free_superframes(guest, n), 24, (rings, held, n))

    def free_superframes(self, guest, node):
        """Whole free blocks of a node; zones keep some below their watermark."""
        lines = guest.sh(f"grep '^Node {node},' /proc/buddyinfo").splitlines()
        orders = [[int(word) for word in line.split()[4:]] for line in lines]
        return sum(zone[9] + 2 * zone[10] for zone in orders)


class Targets(GuestTest):
    """Whatever the host asks for."""

    def test_zero_everything_and_haste(self):
        guest = self.boot(nodes=[512] * 4, append=QUIET)
        # More than there is: the guest gives what it can and goes on living.
        guest.set_balloon(2 * GIB - 64 * MIB)
        self.wait('most of memory', lambda: guest.actual() > 1.2 * GIB)
        time.sleep(3)
        self.assert_consistent(guest)
        self.assertLessEqual(guest.actual(), 2 * GIB - 64 * MIB)
        # It says why it rests; to look whether there is memory now is no retry.
        self.wait('rest', lambda: guest.read(f'{CORE}/state').startswith('waiting: '))
        self.settle(guest, 0)
        self.assert_holds(guest, 0)

        rng = random.Random(1)
        for _ in range(60):
            guest.set_balloon(rng.randrange(0, GIB, PAGE))
            time.sleep(0.1)
        self.settle(guest, 123 * MIB + 7 * PAGE)
        self.assert_holds(guest, 123 * MIB + 7 * PAGE)
        self.assertLess(sum(self.node_files(guest, 'nr_partial')), PAGES_PER_HUGE)

    def test_random_targets_with_a_load(self):
        rng = random.Random(2)
        append = os.environ.get('APPEND', '')
        guest = self.boot(nodes=[512] * 4, append=f'{QUIET} {append}',
                          name='-'.join(['random-targets', *append.split()]))
        pattern = Pattern(guest, 1228, '--interleave', '--churn')
        # Of what is left of a debug kernel's memory: nobody is to be killed for want of it.
        most = guest.bytes() * 15 // 100
        for step in range(0, self.rounds(), 100):
            # Nodes' targets move by themselves, meanwhile the host's does.
            script = ''.join(
                f"echo {rng.choice(['auto', rng.randrange(0, pages(most))])} > "
                f'{NODES}/node{rng.randrange(4)}/balloon/target; read -t 0.0{rng.randrange(1, 9)} x; '
                for _ in range(30))
            guest.sh(f'({script} echo > /tmp/moved) < /dev/ttyS0 > /dev/null 2>&1 &')
            for _ in range(70):
                size = rng.randrange(0, most, PAGE)
                guest.set_balloon(size)
                time.sleep(rng.random() / 25)
            guest.sh('while [ ! -e /tmp/moved ]; do sleep 0.1; done; rm /tmp/moved')
            self.settle(guest, size)
            self.assert_holds(guest, size)
            if step % 1000 == 900:
                pattern.verify()
                print(f'# {step + 100} rounds', flush=True)
        for n in range(4):
            guest.write(f'{NODES}/node{n}/balloon/target', 'auto')
        self.settle(guest, 0)
        self.assert_holds(guest, 0)
        pattern.stop()

    def rounds(self):
        """Of random targets: ROUNDS=10000 is the full run, with APPEND= for kernel parameters."""
        return int(os.environ.get('ROUNDS', '100'))

    def test_bad_input(self):
        # balloon_input is what a debug kernel has, in which each of these processes takes seconds.
        guest = self.boot(nodes=[256] * 2, flavour='release')
        target = f'{NODES}/node1/balloon/target'
        guest.write(target, 4096)
        digits = 'dd if=/dev/zero bs=64k count=1 2>/dev/null | tr "\\0" 9'
        for path, good in ((target, '4096'), (f'{CORE}/policy', '[balance] local'),
                           (f'{CORE}/superframe_targets', '[0] 1')):
            for command in ('echo -1', 'echo 1e9', 'echo', digits, 'echo nonsense',
                            'echo 999999999', 'echo 99999999999999999999'):
                with self.subTest(path=path, command=command):
                    status, _ = guest.status(f'{command} | dd of={path} bs=64k 2>&1 | '
                                             'grep -q "Invalid argument"')
                    self.assertEqual(status, 0)
                    self.assertEqual(guest.read(path), good)


class Lifecycle(GuestTest):
    """The device goes and comes back."""

    def test_suspend_while_inflated(self):
        guest = self.boot(nodes=[512] * 2)
        self.settle(guest, 256 * MIB)
        guest.sh('echo devices > /sys/power/pm_test; echo freeze > /sys/power/state')
        self.wait('the same again', lambda: guest.actual() == 256 * MIB)
        self.assert_holds(guest, 256 * MIB)
        self.settle(guest, 0)
        self.assert_holds(guest, 0)

    def test_unbind_and_removal_while_inflated(self):
        guest = self.boot(nodes=[512] * 2)
        total = self.meminfo(guest, 'MemTotal')
        driver = '/sys/bus/virtio/drivers/virtio_balloon'
        device = guest.sh(f'cd {driver}; ls -d virtio*').split()[0]
        self.settle(guest, 256 * MIB)
        guest.sh(f'echo {device} > {driver}/unbind')
        self.assertEqual(sum(self.node_files(guest, 'nr_pages')), 0)
        self.assertEqual(self.meminfo(guest, 'MemTotal'), total)
        guest.sh(f'echo {device} > {driver}/bind')
        self.wait('the same again', lambda: guest.actual() == 256 * MIB)
        self.assert_holds(guest, 256 * MIB)

        guest.sh('rmmod virtio_balloon')
        self.assertEqual(sum(self.node_files(guest, 'nr_pages')), 0)
        self.assertEqual(self.meminfo(guest, 'MemTotal'), total)
        guest.sh('insmod /modules/virtio_balloon.ko free_page_reporting=0')
        self.wait('the same again', lambda: guest.actual() == 256 * MIB)
        self.assert_holds(guest, 256 * MIB)

    def test_surprise_removal(self):
        guest = self.boot(nodes=[512] * 2)
        self.settle(guest, 256 * MIB)
        guest.sh('cd -P /sys/bus/virtio/drivers/virtio_balloon/virtio*; cd -P ..; echo 1 > remove')
        self.assertEqual(sum(self.node_files(guest, 'nr_pages')), 0)
        self.assert_consistent(guest)

    def test_deflate_on_oom(self):
        guest = self.boot(nodes=[512] * 2, balloon={'deflate-on-oom': True, **REPORTING})
        total = self.meminfo(guest, 'MemTotal')
        self.settle(guest, 640 * MIB)
        # Its pages stay managed: the guest may have them back.
        self.assertEqual(self.meminfo(guest, 'MemTotal'), total)
        wanted = self.meminfo(guest, 'MemAvailable') // MIB + 64
        Pattern(guest, wanted, '--interleave').stop()
        self.assertLess(guest.actual(), 640 * MIB)
        self.assertEqual(self.vmstat(guest, 'oom_kill'), 0)
        self.assert_consistent(guest)
        self.settle(guest, 0)
        self.assert_holds(guest, 0)


class Features(GuestTest):
    """What else the device offers works as in the unpatched driver."""

    def test_statistics(self):
        guest = self.boot(nodes=[512] * 2)
        path = '/machine/peripheral/balloon'
        guest.qmp('qom-set', path=path, property='guest-stats-polling-interval', value=1)
        self.settle(guest, 256 * MIB)
        stats = lambda: guest.qmp('qom-get', path=path, property='guest-stats')['stats']
        self.wait('statistics that know of the balloon', lambda:
                  0 < stats()['stat-total-memory'] < GIB - 256 * MIB)

    def test_free_page_reporting(self):
        """The mm's own reporting returns free memory, beside a balloon that moves."""
        guest = self.boot(nodes=[512] * 2, append='')
        before = sum(guest.host_bytes(n) for n in range(2))
        for step in range(20):
            guest.set_balloon((step % 4) * 64 * MIB)
            time.sleep(0.2)
        self.settle(guest, 0)
        self.wait('half of memory at the host', lambda:
                  sum(guest.host_bytes(n) for n in range(2)) < before // 2, 120)
        self.assert_holds(guest, 0)
        Pattern(guest, 512, '--interleave').stop()

    def test_free_page_hinting(self):
        """A migration asks for hints; the balloon works afterwards."""
        guest = self.boot(nodes=[256] * 2, balloon={'free-page-hint': True, 'iothread': 'io0'},
                          extra=['-object', 'iothread,id=io0'])
        pattern = Pattern(guest, 128)
        guest.qmp('migrate', uri='exec:cat > /dev/null')
        self.wait('the end of migration', lambda:
                  guest.qmp('query-migrate').get('status') in ('completed', 'failed'), 120)
        self.assertEqual(guest.qmp('query-migrate')['status'], 'completed')
        guest.qmp('cont')
        self.settle(guest, 64 * MIB)
        self.assert_holds(guest, 64 * MIB)
        pattern.stop()

    def test_poisoned_pages(self):
        """Page poisoning finds what was written to free pages: the balloon must not."""
        guest = self.boot(nodes=[512] * 2, append=f'{QUIET} page_poison=1',
                          balloon={'free-page-reporting': True, 'page-poison': True})
        for size in (300 * MIB, 0, 200 * MIB + 100 * PAGE, 0):
            self.settle(guest, size)
            self.assert_holds(guest, size)
        Pattern(guest, 400, '--interleave').stop()

    def test_dump_tools(self):
        """Every ballooned page, superframes' and others, is marked as one to be left out."""
        guest = self.boot(nodes=[512] * 2, extra=['-device', 'vmcoreinfo'])
        with tempfile.TemporaryDirectory(dir=BUILD) as folder:
            found = []
            for held in 0, 200 * MIB + 77 * PAGE:
                self.settle(guest, held)
                core = f'{folder}/core{held}'
                guest.qmp('dump-guest-memory', timeout=300, paging=False, protocol=f'file:{core}')
                with Dump(core) as dump:
                    found.append(dump.offline_pages())
                os.unlink(core)
        self.assertEqual(found[1] - found[0], pages(held))
        self.assertLess(found[0], PAGES_PER_HUGE)


class Machines(GuestTest):
    """Other shapes of guests."""

    def test_one_node(self):
        guest = self.boot(nodes=[1024], append=f'{QUIET} numa=off')
        self.settle(guest, 256 * MIB)
        self.assert_holds(guest, 256 * MIB)
        self.settle(guest, 0)
        self.assert_holds(guest, 0)

    def test_memoryless_and_cpuless_nodes(self):
        guest = self.boot(nodes=[512, 0, 512], cpus=[[0], [1], []],
                          dist=[[10, 15, 30], [15, 10, 20], [30, 20, 10]])
        self.assertEqual(guest.read(f'{NODES}/node1/balloon/rings'), '15: 0\n20: 2')
        guest.write(f'{NODES}/node1/balloon/target', pages(128 * MIB))
        self.settle(guest, 128 * MIB)
        self.assertEqual(self.node_files(guest, 'nr_pages'), [pages(128 * MIB), 0, 0])
        self.settle(guest, 0)
        self.assert_holds(guest, 0)

    def test_64_nodes(self):
        """As many as these kernels can have, of 128 MiB each; the host has little of it."""
        began = time.monotonic()
        guest = self.boot(flavour='release', nodes=[4096] * 2, prealloc=False, touched=1024,
                          append=f'{QUIET} numa=fake=64')
        said = guest.sh(f'cd {NODES}; for n in $(seq 0 63); do echo $(ls node$n/balloon); '
                        'cat node$n/distance node$n/balloon/rings; echo; done').strip().split('\n\n')
        self.assertEqual(len(said), 64)
        for node, text in enumerate(said):
            files, distances, *rings = text.splitlines()
            self.assertEqual(files, said[0].splitlines()[0], node)
            self.assertTrue({'nr_pages', 'target', 'limit', 'rings', 'stat'} <= set(files.split()))
            distances = list(map(int, distances.split()))
            self.assertEqual((len(distances), set(distances)), (64, {10, 20}))
            # The node itself, those that are parts of the same one, those that are not.
            self.assertEqual([(int(d), self.numbers(nodes)) for d, nodes in
                              (ring.split(': ') for ring in rings)],
                             [(10, [node])] + [(d, [n for n in range(64) if distances[n] == d and
                                                    n != node]) for d in (10, 20)])
        # Where programs run, CPUs' lists are a part of so small a node that is seen, and that changes.
        lists = [a - b for a, b in zip(free_shares(guest), free_shares(guest, lists=False))]
        quiet = [n for n, part in enumerate(lists) if part < 1 / 128]
        self.assertGreater(len(quiet), 48, lists)
        half = guest.bytes() // 2
        self.settle(guest, half)
        held = self.held(guest)
        self.assertEqual((len(held), sum(held)), (64, pages(half)))
        self.assert_consistent(guest)
        # A superframe is 1/64 of a node.
        shares = free_shares(guest, lists=False)
        shares = [shares[n] for n in quiet]
        self.assertLess(max(shares) - min(shares), 0.03, (quiet, shares, held))

        # Three quarters of one, and no more in total than before.
        most, node = pages(96 * MIB), 37
        self.assertLess(held[node], most)
        guest.write(f'{NODES}/node{node}/balloon/target', most)
        self.wait('the target', lambda: (self.held(guest)[node], guest.read(f'{CORE}/state')) ==
                  (most, 'settled'))
        said = json.loads(guest.sh('balloonstat -j'))
        self.assertEqual([row['Balloon'] // PAGE for row in said['nodes']], self.held(guest))
        self.assertEqual((said['total']['Balloon'], guest.actual()), (half, half))
        self.settle(guest, 0)
        self.assertEqual(self.held(guest), [0] * 64)
        self.assert_consistent(guest)
        host = sum(guest.host_bytes(n) for n in range(2)) // MIB
        self.assertLess(host, guest.touched)
        print(f'# 64 nodes in {time.monotonic() - began:.0f} s, {host} MiB of the host', flush=True)

    def held(self, guest):
        """Of each node of the guest's own, in their order."""
        return [int(word) for word in
                guest.sh(f'cd {NODES}; cat $(ls -d node* | sort -k 1.5n | sed s,$,/balloon/nr_pages,)')
                .split()]

    def numbers(self, text):
        """Those of a list such as "0-3,7"."""
        return [n for part in text.split(',') for first, _, last in [part.partition('-')]
                for n in range(int(first), int(last or first) + 1)]

    def test_many_nodes(self):
        guest = self.boot(nodes=[1024] * 4, append=f'{QUIET} numa=fake=8U')
        self.settle(guest, GIB)
        self.assert_consistent(guest)
        held = self.held(guest)
        self.assertEqual((len(held), sum(held)), (32, pages(GIB)))
        self.settle(guest, 0)
        self.assert_consistent(guest)


if __name__ == '__main__':
    unittest.main()
