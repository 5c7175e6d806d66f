# SPDX-License-Identifier: GPL-2.0
"""The page allocator takes memory back from QEMU's virtio balloon before it leaves a node."""

import os
import sys
import threading
import time
import unittest

from common import CORE, GIB, MIB, NODES, PAGE, QUIET, REPORTING, GuestTest, pages

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from scenes import Disk, Kswapd  # noqa: E402
from soak import Soak  # noqa: E402

HOLD = '/sys/kernel/debug/balloon/hold'
THP = '/sys/kernel/mm/transparent_hugepage'
SUPERFRAME = 2 * MIB


def words(line):
    """'locality 16 node0 9 node1 7 huge 0' as a dict."""
    line = line.splitlines()[-1].split()
    return dict(zip(line[::2], map(int, line[1::2])))


class RefillTest(GuestTest):
    def hold(self, guest, size):
        """The balloon stays as it is, and the host wants SIZE bytes in it."""
        guest.write(HOLD, 1)
        guest.set_balloon(size)
        self.wait('the new target', lambda: guest.read(f'{CORE}/target') == str(pages(size)))

    def hold_each(self, guest, sizes):
        """So many bytes of every node, as the nodes' targets say; returns the sum."""
        wanted = [pages(size) for size in sizes]
        for node, count in enumerate(wanted):
            guest.write(f'{NODES}/node{node}/balloon/target', count)
        self.settle(guest, sum(sizes), 120)
        # A device that comes back inflates to the same total at once, before it has the targets.
        self.wait('each node to hold its part',
                  lambda: self.node_files(guest, 'nr_pages') == wanted, 180)
        return sum(sizes)

    def half_of_each(self, guest):
        return self.hold_each(guest, [size * MIB // 2 for size in guest.sizes])

    def all_but(self, guest, size):
        """Of each node, what leaves SIZE bytes of it free."""
        return self.hold_each(guest, [(self.free(guest, node) - size) // SUPERFRAME * SUPERFRAME
                                      for node in range(len(guest.sizes))])

    def locality(self, guest, node, mib, *options):
        """The share of a program's pages that lie on the node of its CPU."""
        command = ' '.join(['locality', str(mib), '--cpu', str(node), *options])
        got = words(guest.sh(command, 600))
        return got.get(f'node{node}', 0) / got['locality'], got


class Credit(RefillTest):
    def check(self, guest, node, mib):
        """The host has given credit for everything, the worker is held back."""
        everything = self.half_of_each(guest)
        before = self.stat(guest, 'refill')
        self.hold(guest, 0)
        local, got = self.locality(guest, node, mib, '--no-thp')
        self.assertGreaterEqual(local, 0.999, got)
        self.assert_consistent(guest)
        # What left the balloon left it by refill, and there; the host hears of it.
        gone = [pages(size * MIB // 2) - held for size, held in
                zip(guest.sizes, self.node_files(guest, 'nr_pages'))]
        refilled = [now - then for now, then in zip(self.stat(guest, 'refill'), before)]
        self.assertEqual(gone, refilled)
        self.assertGreater(gone[node], 0)
        self.assertEqual(sum(gone), gone[node])
        self.wait('the host to know', lambda: guest.actual() == everything - sum(gone) * PAGE)
        guest.write(HOLD, 0)
        self.settle(guest, 0)
        self.assert_holds(guest, 0)
        self.assertEqual(sum(self.stat(guest, 'refill_fail')), 0)

    def test_a_bound_program_stays_on_its_node(self):
        # KASAN would take an eighth of the nodes, and minutes.
        guest = self.boot(nodes=[1024] * 4, flavour='release')
        for node in range(4):
            with self.subTest(node=node):
                self.check(guest, node, 800)

    def test_while_kswapd_works(self):
        """Newer kernels pass over a node whose kswapd is awake before they look at its memory."""
        with Disk(32) as disk:
            guest = self.boot(nodes=[512] * 2, flavour='release', extra=disk.args)
            self.all_but(guest, 96 * MIB)
            guest.write(HOLD, 1)
            kswapd = Kswapd(guest, 1)
            kswapd.wake()
            self.hold(guest, 0)
            said, _ = kswapd.watch('locality 96 --cpu 1 --no-thp')
            got = words(said)
            self.assertGreaterEqual(got.get('node1', 0) / got['locality'], 0.999, got)
            self.assertGreaterEqual(self.stat(guest, 'refill')[1], pages(64 * MIB))
            self.assert_consistent(guest)

    def test_one_node_that_is_not_numa(self):
        guest = self.boot(nodes=[1024], append=f'{QUIET} numa=off', flavour='release')
        self.check(guest, 0, 640)

    def test_without_credit_nothing_moves(self):
        guest = self.boot(nodes=[512] * 2, flavour='release')
        everything = self.half_of_each(guest)
        local, got = self.locality(guest, 1, 300, '--no-thp')
        self.assertLess(local, 0.9, got)
        self.assert_holds(guest, everything)
        self.assertEqual(self.stat(guest, 'refill'), [0, 0])

        # Nor with credit, where nobody is to take it.
        guest.write(f'{CORE}/refill', 'off')
        self.hold(guest, 0)
        local, got = self.locality(guest, 1, 300, '--no-thp')
        self.assertLess(local, 0.9, got)
        self.assert_holds(guest, everything)

    def test_no_more_than_the_credit(self):
        """Many threads on two nodes, and credit for a part of what they want."""
        guest = self.boot(nodes=[512] * 4, flavour='release')
        everything = self.half_of_each(guest)
        self.hold(guest, everything - 77 * SUPERFRAME - 100 * PAGE)
        guest.sh('for n in 1 2; do locality 330 --cpu $n --threads 16 --no-thp & done; wait', 300)
        # The credit for less than a superframe goes in base pages, or not at all.
        self.assertLessEqual(77 * 512, sum(self.stat(guest, 'refill')))
        self.assertLessEqual(sum(self.stat(guest, 'refill')), 77 * 512 + 100)
        self.assert_consistent(guest)
        guest.write(HOLD, 0)
        self.settle(guest, 0)
        self.assert_holds(guest, 0)

    def test_huge_pages_on_a_fragmented_node(self):
        for defrag in ('madvise', 'defer'):
            with self.subTest(defrag=defrag):
                guest = self.boot(nodes=[1024] * 2, flavour='release',
                                  name=f'{self.id().split(".", 1)[-1]}-{defrag}')
                # It would undo what is prepared here.
                guest.write('/proc/sys/vm/compaction_proactiveness', 0)
                guest.write(f'{THP}/khugepaged/defrag', 0)
                guest.write(f'{THP}/defrag', 'never')
                guest.write(f'{NODES}/node1/balloon/target', pages(256 * SUPERFRAME))
                self.settle(guest, 256 * SUPERFRAME)
                self.assertEqual(self.node_files(guest, 'nr_superframes'), [0, 256])
                self.start(guest, 'fragment --node 1 --leave 64')
                # What no one may allocate while memory is short can be had now: all whole blocks.
                self.start(guest, 'locality 128 --cpu 1 --thp --hold')
                # Few may stay, where neither may allocate: of another type.
                self.assertLessEqual(self.free_blocks(guest, 1), 4)
                self.hold(guest, 0)
                guest.write(f'{THP}/defrag', defrag)
                _, got = self.locality(guest, 1, 512, '--thp')
                # All huge pages are where all pages are, but for the other node's.
                elsewhere = got.get('node0', 0) * PAGE
                self.assertGreaterEqual(got['huge'] * 1024 - elsewhere, 250 * SUPERFRAME, got)
                self.assertGreaterEqual(self.stat(guest, 'refill')[1], 246 * 512)
                guest.stop()

    def free_blocks(self, guest, node):
        """Free blocks of 2M and more, as /proc/buddyinfo has them."""
        count = 0
        for line in guest.read('/proc/buddyinfo').splitlines():
            fields = line.replace(',', '').split()
            if fields[1] == str(node) and fields[3] != 'DMA':
                count += sum(int(n) for n in fields[4 + 9:])
        return count


class Exchange(RefillTest):
    def test_the_total_stands(self):
        guest = self.boot(nodes=[1024] * 4, flavour='release')
        guest.write(f'{CORE}/refill', 'exchange')
        everything = self.half_of_each(guest)
        samples, done, shares = [], threading.Event(), []

        def sample():
            while not done.wait(0.05):
                samples.append(guest.actual())

        for node, threads in (0, 1), (3, 32):
            watcher = threading.Thread(target=sample)
            done.clear()
            watcher.start()
            try:
                local, got = self.locality(guest, node, 800, '--no-thp', '--threads',
                                           str(threads))
            finally:
                done.set()
                watcher.join()
            # A host that answers late has a thread go elsewhere until it does; without the mode,
            # it is half of all.
            self.assertGreaterEqual(local, 0.8, got)
            shares.append(local)
            self.assert_holds(guest, everything)
            self.assertGreater(self.stat(guest, 'exchange')[node], 0)
        print(f'local: {shares[0]:.4f} of one thread\'s pages, {shares[1]:.4f} of 32 threads\'',
              flush=True)
        self.assertGreater(len(samples), 10)
        self.assertTrue(all(everything <= s <= everything + SUPERFRAME for s in samples), samples)
        # The host holds what it did: what is not ballooned is at most all the rest.
        for node in range(4):
            held = self.node_files(guest, 'nr_pages')[node] * PAGE
            self.assertLessEqual(guest.host_bytes(node), GIB - held + MIB)
        for node in range(4):
            guest.write(f'{NODES}/node{node}/balloon/target', 'auto')
        self.settle(guest, 0)
        self.assert_holds(guest, 0)


class OutOfMemory(RefillTest):
    def greedy(self, guest, mib):
        """A program that wants so much and is the first to be killed."""
        return guest.status(f'(echo 1000 > /proc/self/oom_score_adj; exec locality {mib} --no-thp)',
                            300)

    def test_offered(self):
        guest = self.boot(nodes=[512] * 2, balloon={'deflate-on-oom': True, **REPORTING})
        for mode in ('oom', 'credit'):
            with self.subTest(mode=mode):
                guest.write(f'{CORE}/refill', mode)
                self.settle(guest, 512 * MIB)
                wanted = self.meminfo(guest, 'MemAvailable') // MIB + 128
                status, output = self.greedy(guest, wanted)
                self.assertEqual(status, 0, output)
                self.assertEqual(self.vmstat(guest, 'oom_kill'), 0)
                self.assertLess(guest.actual(), 512 * MIB)
                self.assert_consistent(guest)
                self.settle(guest, 0)

    def test_forced(self):
        """SysRq-f: a process is killed, and the balloon shrinks, for a while."""
        guest = self.boot(nodes=[512] * 2, balloon={'deflate-on-oom': True, **REPORTING})
        self.settle(guest, 512 * MIB)
        guest.sh('(echo 1000 > /proc/self/oom_score_adj; exec sleep 1000) & echo $! > /tmp/victim')
        guest.write('/proc/sysrq-trigger', 'f')
        self.wait('the balloon to shrink', lambda: guest.actual() < 512 * MIB)
        self.assertGreaterEqual(guest.actual(), 510 * MIB)
        self.wait('somebody to be killed', lambda: self.vmstat(guest, 'oom_kill') == 1)
        self.wait('its end', lambda: guest.status('kill -0 $(cat /tmp/victim)')[0])
        # There is memory in plenty: it is not for long.
        self.wait('the balloon to grow', lambda: guest.actual() == 512 * MIB)
        self.assert_consistent(guest)

    def test_named_in_the_report(self):
        """Who reads why somebody was killed sees where the memory is."""
        guest = self.boot(nodes=[512] * 2)
        self.settle(guest, 512 * MIB)
        held = self.node_files(guest, 'nr_pages')
        wanted = self.meminfo(guest, 'MemAvailable') // MIB + 128
        self.assertNotEqual(self.greedy(guest, wanted)[0], 0)
        report = guest.sh('dmesg')
        for node, count in enumerate(held):
            self.assertRegex(report, rf'Node {node} (active_anon:.* )?Balloon:{count * 4}kB')

    def test_not_offered(self):
        guest = self.boot(nodes=[512] * 2)
        guest.write(f'{CORE}/refill', 'oom')
        self.settle(guest, 512 * MIB)
        wanted = self.meminfo(guest, 'MemAvailable') // MIB + 128
        status, _ = self.greedy(guest, wanted)
        self.assertNotEqual(status, 0)
        self.assertEqual(self.vmstat(guest, 'oom_kill'), 1)
        self.assert_holds(guest, 512 * MIB)


class Faults(RefillTest):
    def test_device_goes_away_during_refills(self):
        guest = self.boot(nodes=[512] * 4)
        driver = '/sys/bus/virtio/drivers/virtio_balloon'
        device = guest.sh(f'basename $(ls -d {driver}/virtio*)').strip()
        for _ in range(2):
            self.all_but(guest, 64 * MIB)
            before = sum(self.stat(guest, 'refill'))
            self.hold(guest, 0)
            guest.sh('for n in 0 1 2 3; do '
                     'locality 96 --cpu $n --threads 4 --no-thp > /dev/null 2>&1 & done')
            self.wait('a refill', lambda: sum(self.stat(guest, 'refill')) > before, 240)
            guest.sh(f'echo {device} > {driver}/unbind; while pidof locality; do sleep 0.2; done',
                     300)
            guest.write(HOLD, 0)
            self.assertEqual(sum(self.node_files(guest, 'nr_pages')), 0)
            self.assert_consistent(guest)
            guest.write(f'{driver}/bind', device)
            time.sleep(0.5)

    def test_targets_move_under_many_threads(self):
        guest = self.boot(nodes=[512] * 4)
        # Who tells the balloon what to do need not wait for them.
        guest.sh("for n in 0 1 2 3; do sh -c 'renice -n 10 -p $$; while [ ! -e /tmp/stop ]; do "
                 "locality 60 --cpu '$n' --threads 16; done' > /dev/null 2>&1 & done")
        for step in range(40):
            guest.set_balloon((step * 7 % 10) * 64 * MIB + step * PAGE)
            guest.write(f'{CORE}/refill', ('credit', 'exchange')[step // 20])
            time.sleep(0.3)
        guest.sh('touch /tmp/stop; while pidof locality; do sleep 0.2; done', 300)
        self.settle(guest, 100 * MIB)
        self.assert_holds(guest, 100 * MIB)
        self.settle(guest, 0)
        self.assert_holds(guest, 0)


class Everything(RefillTest):
    def test_at_once(self):
        """A short form of 'make soak'."""
        guest = self.boot(nodes=[512] * 4)
        Soak(self, guest, 2).run(45)


if __name__ == '__main__':
    unittest.main()
