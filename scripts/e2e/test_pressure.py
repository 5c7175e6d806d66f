# SPDX-License-Identifier: GPL-2.0
"""Targets that take more than what is free: what the guest must survive, and how it says so.

Longer runs, with the unpatched kernel beside them, are bench/pressure.py's.
"""

import time
import unittest

from common import CORE, GIB, MIB, QUIET, REPORTING, GuestTest, Pattern, pages
from scenes import Disk, Reader, command_seconds, counters, state, swap_on, zones


class PressureTest(GuestTest):
    """On the release kernel: how fast things are is the point of it."""

    flavour = 'release'

    def assert_bound_programs_live(self, guest):
        """A small program on each node in turn gets its memory, and nobody dies for it."""
        for node in range(len(guest.sizes)):
            Pattern(guest, 4, f'--node {node}').stop()
        self.assertEqual(self.vmstat(guest, 'oom_kill'), 0)

    def assert_reserves(self, guest):
        """Every zone that a balloon takes from is above the mark where reclaim begins."""
        def kept():
            # It was left above the high one; what programs gave back is on CPUs' lists.
            return all(figures['free'] + figures['lists'] >= figures['low'] - figures['boost']
                       for zone, figures in zones(guest).items() if zone[1] != 'DMA')

        try:
            # A program may have been served a moment ago, and kswapd not yet.
            self.wait('reserves', kept, 30)
        except AssertionError:
            self.fail(f'not above the low marks: {zones(guest)}')

    def assert_quick(self, guest, quick):
        """A command takes about as long as before: for once, or something keeps it for good."""
        self.wait('a command as quick as before',
                  lambda: command_seconds(guest) < 4 * quick + 0.1)

    def await_rest(self, guest, reasons, timeout=240):
        """Waits until the balloon says that it rests, for one of these reasons."""
        said = []

        def rests():
            said[:] = [state(guest)]
            words = said[0].split()
            return words[:1] == ['waiting:'] and words[1] in reasons

        try:
            self.wait('rest', rests, timeout)
        except AssertionError:
            self.fail(f'not {reasons} in {timeout} s but {said[0]!r}, {guest.actual() // MIB} MiB')

    def high_marks(self, guest):
        return {zone: figures['high'] - figures['boost'] for zone, figures in zones(guest).items()}

    def assert_marks(self, guest, wanted):
        """The watermarks are those of the boot again, within 2 %."""
        def right():
            have = self.high_marks(guest)
            return all(abs(have[zone] - mark) <= max(mark * 0.02, 8)
                       for zone, mark in wanted.items())

        try:
            self.wait('watermarks as at boot', right, 90)
        except AssertionError:
            self.fail(f'{self.high_marks(guest)}, not {wanted}')


class Swap(PressureTest):
    def test_idle_anonymous_memory_goes_to_swap(self):
        """As with the unpatched driver; how long that takes is bench/pressure.py's."""
        with Disk(2048) as disk:
            guest = self.boot(nodes=[1024] * 2, extra=disk.args)
            swap_on(guest)
            self.start(guest, 'locality 1200 --hold --threads 2')
            self.settle(guest, 2 * GIB - 512 * MIB, 300)
            self.assertGreater(self.vmstat(guest, 'pswpout'), pages(256 * MIB))
            self.assert_bound_programs_live(guest)
            self.assert_holds(guest, 2 * GIB - 512 * MIB)
            self.assertTrue(guest.status('kill -0 $(pidof locality)')[0] == 0)
            self.settle(guest, 0)
            self.assert_holds(guest, 0)

            # Told not to, it leaves anonymous memory alone.
            guest.write(f'{CORE}/reclaim', 'cache')
            guest.sh('killall locality; while pidof locality; do sleep 0.2; done')
            self.start(guest, 'locality 1200 --hold --threads 2')
            out = self.vmstat(guest, 'pswpout')
            guest.set_balloon(2 * GIB - 512 * MIB)
            self.await_rest(guest, ['guest-memory', 'pressure'])
            self.assertLess(self.vmstat(guest, 'pswpout') - out, pages(16 * MIB))
            self.assert_bound_programs_live(guest)


class Unreachable(PressureTest):
    def assert_peace(self, guest):
        """Retries back off, and kswapd has little to do, once what trickles in is had."""
        for _ in range(6):
            before, retries = counters(guest), int(guest.read(f'{CORE}/retries'))
            time.sleep(20)
            tried = int(guest.read(f'{CORE}/retries')) - retries
            scans = (counters(guest)['pgscan_kswapd'] - before['pgscan_kswapd']) / 20
            if tried <= 3 and scans < 2000:
                return
        self.fail(f'{tried} retries in 20 s, {scans:.0f} scans a second')

    def test_beside_page_cache_in_use(self):
        """A target beyond memory: what programs read all the time stays, and there is peace."""
        with Disk(1280) as disk:
            guest = self.boot(nodes=[1024] * 2, extra=disk.args)
            quick = command_seconds(guest)

            # A file of 60 % of memory, in use.
            reader = Reader(guest, 1228)
            reader.await_rounds(2)
            alone = reader.await_rounds(3)
            free = sum(figures['free'] for figures in zones(guest).values())
            guest.set_balloon(2 * GIB - 128 * MIB)
            self.await_rest(guest, ['pressure'])
            # More would be the file's, also where the LRU does not tell that it is in use.
            self.assertLess(pages(guest.actual()), free)
            # One time of many is as it should be: thrashing, they would all be slow.
            for _ in range(5):
                beside = reader.await_rounds(3)
                if beside < 2 * alone:
                    break
            print(f'# a round took {alone:.2f} s, {beside:.2f} s beside the balloon of '
                  f'{guest.actual() // MIB} MiB', flush=True)
            self.assertLess(beside, 2 * alone)
            self.assert_quick(guest, quick)
            self.assert_bound_programs_live(guest)
            reader.stop()
            guest.sh('echo 1 > /proc/sys/vm/drop_caches')
            self.settle(guest, 0)

            # A small one, and all else gone.
            reader = Reader(guest, 64)
            reader.await_rounds(2)
            guest.set_balloon(2 * GIB - 96 * MIB)
            self.await_rest(guest, ['pressure', 'guest-memory'])
            self.assert_peace(guest)
            self.assert_quick(guest, quick)
            self.assert_bound_programs_live(guest)
            self.assert_reserves(guest)
            self.assert_consistent(guest)
            reader.stop()
            self.settle(guest, 0)
            self.assert_holds(guest, 0)


class Unreclaimable(PressureTest):
    # Pages can be pinned there.
    flavour = 'debug'

    def test_memory_that_nobody_can_have(self):
        """tmpfs and hugetlb without swap, then others of their kind: reserves are kept."""
        guest = self.boot(nodes=[512] * 2)
        # The initramfs is freed when they have been computed: it is 2 % of a node here.
        guest.sh('n=$(cat /proc/sys/vm/min_free_kbytes); echo $n > /proc/sys/vm/min_free_kbytes')
        marks = self.high_marks(guest)
        # Of each node what its own size allows: what would fill one is not the balloon's doing.
        bulk = [self.free(guest, node) // MIB - 160 for node in range(2)]

        def with_this(what, begin, end):
            with self.subTest(what):
                guest.sh(begin, 300)
                guest.set_balloon(GIB - 260 * MIB)
                self.await_rest(guest, ['guest-memory', 'pressure'])
                self.assert_bound_programs_live(guest)
                self.assert_reserves(guest)
                time.sleep(5)
                self.assert_bound_programs_live(guest)
                self.assert_consistent(guest)
            guest.sh(end, 300)
            self.settle(guest, 0)
            self.assert_holds(guest, 0)

        def fill(node):
            return (f'taskset {node + 1} dd if=/dev/zero of=/mnt/file{node} bs=1M '
                    f'count={bulk[node]} 2>/dev/null;')

        def hoard(kind, node, mib):
            return (f'hoard {mib} {kind} --node {node} > /tmp/hoard{node} & while ! grep -q . '
                    f'/tmp/hoard{node}; do kill -0 $! || exit 1; sleep 0.2; done;')

        with_this('tmpfs and hugetlb',
                  'mkdir -p /mnt; echo 64 > /proc/sys/vm/nr_hugepages; '
                  f'mount -t tmpfs -o mpol=local,size=90% none /mnt; {fill(0)} {fill(1)}',
                  'umount /mnt; echo 0 > /proc/sys/vm/nr_hugepages')
        bulk = [mib // 2 for mib in bulk]
        with_this('ramfs, locked and pinned memory',
                  f'mount -t ramfs none /mnt; {fill(0)} {fill(1)} '
                  f'{hoard("locked", 0, bulk[0])} {hoard("pinned", 1, bulk[1])}',
                  'killall hoard; umount /mnt')
        self.assert_marks(guest, marks)


class Watermarks(PressureTest):
    def test_as_at_boot(self):
        """Whoever computes them meanwhile sees small zones; when all is back, that is mended."""
        guest = self.boot(nodes=[512] * 2, append=f'{QUIET} transparent_hugepage=always')
        marks = self.high_marks(guest)
        thp = '/sys/kernel/mm/transparent_hugepage/enabled'
        ways = {
            'min_free_kbytes': 'x=$(cat /proc/sys/vm/min_free_kbytes); '
                               'echo $x > /proc/sys/vm/min_free_kbytes',
            'THP': f'echo never > {thp}; sleep 1; echo always > {thp}',
            # That the block goes is not the point, and some kernel data may lie in it.
            'a block off and on': 'cd /sys/devices/system/memory; for m in $(ls -d memory* | tac); do '
                                  'timeout 20 sh -c "echo offline > $m/state" 2>/dev/null && '
                                  'echo online > $m/state && exit 0; done; exit 1',
        }
        # The last one first: a value of the administrator's own outlives the others.
        for way in 'a block off and on', 'THP', 'min_free_kbytes':
            with self.subTest(way):
                self.settle(guest, 800 * MIB)
                guest.sh(ways[way], 600)
                self.settle(guest, 0)
                self.assert_marks(guest, marks)
                self.assert_consistent(guest)


class OutOfMemory(PressureTest):
    def test_the_same_target_again(self):
        """What a program needed and was given under OOM is not taken again at the same word."""
        guest = self.boot(nodes=[512] * 2, balloon={'deflate-on-oom': True, **REPORTING})
        self.settle(guest, 640 * MIB)
        wanted = self.meminfo(guest, 'MemAvailable') // MIB + 128
        pattern = Pattern(guest, wanted, '--interleave')
        time.sleep(1)
        taken = self.vmstat(guest, 'balloon_inflate')
        held = guest.actual()
        self.assertLess(held, 640 * MIB)
        for _ in range(3):
            guest.set_balloon(640 * MIB)
            time.sleep(2)
        self.assertLess(self.vmstat(guest, 'balloon_inflate') - taken, pages(32 * MIB))
        self.assert_bound_programs_live(guest)
        pattern.verify()
        pattern.stop()
        # Its memory is free now.
        self.settle(guest, 640 * MIB)
        self.settle(guest, 0)
        self.assert_holds(guest, 0)


if __name__ == '__main__':
    unittest.main()
