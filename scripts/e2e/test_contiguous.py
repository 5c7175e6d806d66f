# SPDX-License-Identifier: GPL-2.0
"""Contiguous ranges beside a balloon, and where pages go that are moved for it."""

import os
import time
import unittest

from common import CORE, GIB, MIB, NODES, PAGE, PAGES_PER_HUGE, QUIET, GuestTest, Pattern, pages
from scenes import Disk, zones

BLOCKS = '/sys/devices/system/memory'
BUSY = '/sys/kernel/debug/balloon/busy'
TRACE = '/sys/kernel/tracing'
POOL = '/sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages'


def numbers(text):
    """Lines of "name value"."""
    return {name: int(value) for name, value in map(str.split, text.splitlines())}


class Gigantic(GuestTest):
    """Gigantic pages, which take whole GiB of a guest whose balloon lies in all of them.

    Each GiB is a DIMM on a node of its own, so that what is allocated on a node lies in that GiB. What
    the kernel keeps on a node lies in what the node has at boot, which is of another zone.
    GIB= has as many, 3 unless it says otherwise.
    """

    flavour = 'release'
    dimms = range(1, int(os.environ.get('GIB', '3')) + 1)
    own = 64        # MiB that each of the nodes has at boot
    whole = GIB + len(dimms) * (GIB + own * MIB)

    def boot_with_dimms(self):
        extra = ['-m', f'slots={len(self.dimms)},maxmem=16G']
        for n in self.dimms:
            extra += ['-object', f'memory-backend-ram,id=d{n},size=1G',
                      '-device', f'pc-dimm,id=dimm{n},memdev=d{n},node={n}']
        # Nothing runs there.
        return self.boot(nodes=[1024] + [self.own] * len(self.dimms), extra=extra,
                         cpus=[[0, 1]] + [[n + 1] for n in self.dimms],
                         append=f'{QUIET} maxcpus=2')

    def place(self, guest):
        """A page table, which can't be moved, in the midst of each GiB; returns whose they are."""
        size = int(guest.read(f'{BLOCKS}/block_size_bytes'), 16)
        owners = {}
        for n in self.dimms:
            first = self.first_pfn(n) * PAGE // size
            blocks = [f'memory{first + i}' for i in range(GIB // size)]
            middle = blocks.pop(len(blocks) // 2)
            guest.write(f'{BLOCKS}/{middle}/state', 'online_kernel')
            # That is all the memory the node has of that zone now.
            self.start(guest, f'frames table {n}', f'/tmp/table{n}')
            owners[n] = (set(guest.sh('pidof frames').split()) - set(owners.values())).pop()
            guest.sh(f'for b in {" ".join(blocks)}; do '
                     f'echo online_kernel > {BLOCKS}/$b/state || exit 1; done')
        return owners

    def first_pfn(self, node):
        return pages(4 * GIB + self.dimms.index(node) * GIB)

    def kinds(self, guest, node):
        """What the pages of a GiB are: nothing that has the kernel pass it over untried."""
        found = numbers(guest.sh(f'frames range {self.first_pfn(node)} {pages(GIB)}'))
        self.assertEqual([found[kind] for kind in ('nopage', 'reserved', 'huge')], [0] * 3, found)
        return found

    def assert_in_the_way(self, guest, node):
        """A fixed page of the GiB has superframes before it, which are looked at first."""
        found = self.kinds(guest, node)
        self.assertGreaterEqual(found['table'], 1, (node, found))
        self.assertLess(found['table'] + found['slab'], 16, (node, found))
        before = numbers(guest.sh(f'frames range {self.first_pfn(node)} '
                                  f'{found["first"] - self.first_pfn(node)}'))
        self.assertGreaterEqual(before['offline'], pages(64 * MIB), (node, found, before))
        return found

    def inflate(self, guest, size):
        """QEMU counts the DIMMs, too."""
        guest.qmp('balloon', value=self.whole - size)
        self.wait(f'{size} bytes in the balloon',
                  lambda: self.whole - guest.qmp('query-balloon')['actual'] == size)
        # Between two steps of mending the worker pauses for a second.
        def rests():
            figures = self.figures(guest)
            time.sleep(2)
            return (guest.read(BUSY) == '0' and guest.read(f'{CORE}/state') == 'settled' and
                    self.figures(guest) == figures)

        self.wait('rest', rests)

    def try_one(self, guest):
        """Asks for a gigantic page; returns how many there are then, and what the balloon did."""
        guest.sh(f'echo > {TRACE}/trace; echo 1 > {TRACE}/events/balloon/enable')
        began = time.monotonic()
        got = int(guest.sh(f'echo 1 > {POOL}; cat {POOL}', 300))
        took = time.monotonic() - began
        # By name: there may be very many.
        did = guest.sh(f'echo 0 > {TRACE}/events/balloon/enable; '
                       f"sed -n 's/.*: \\(balloon_[a-z]*\\): .*/\\1/p' {TRACE}/trace | "
                       "sort | uniq -c | awk '{ print $2, $1 }'", 300)
        return got, took, numbers(did)

    def figures(self, guest):
        """All that the balloon counts."""
        return guest.sh('echo 1 > /proc/sys/vm/stat_refresh; '
                        f'cd {NODES}; grep . node*/balloon/nr_* node*/balloon/stat; '
                        'grep balloon /proc/vmstat')

    def test_what_can_be_had_and_what_not(self):
        guest = self.boot_with_dimms()
        # Whatever is done to the balloon is done for the gigantic pages.
        guest.write('/proc/sys/vm/compaction_proactiveness', 0)
        owners = self.place(guest)
        patterns = [Pattern(guest, 48, f'--node {n}') for n in self.dimms]
        for n in self.dimms:
            guest.write(f'{NODES}/node{n}/balloon/target', pages(GIB // 2))
        half = self.whole // 2
        self.inflate(guest, half)
        self.assertGreaterEqual(sum(self.node_files(guest, 'nr_superframes')),
                                pages(half) // PAGES_PER_HUGE * 99 // 100)

        # None that can be had: with plenty of superframes free to take the place of others, and
        # with few.
        most = half + self.meminfo(guest, 'MemFree') // MIB * MIB - self.whole // 8
        for size in half, most:
            with self.subTest(ballooned=size // MIB):
                self.inflate(guest, size)
                fixed = [self.assert_in_the_way(guest, n) for n in self.dimms]
                before = self.figures(guest)
                got, took, did = self.try_one(guest)
                print(f'# {size // MIB} MiB ballooned: {got} had in {took:.2f} s, '
                      f'{fixed[0]["table"]} of {pages(GIB)} pages in the way; events {did}, '
                      f'{self.node_files(guest, "nr_superframes")} superframes', flush=True)
                self.assertEqual(got, 0)
                self.assertEqual(did, {})
                self.assertEqual(self.figures(guest), before)
                self.assert_consistent(guest)

        # One of them.
        node = self.dimms[-1]
        self.inflate(guest, half)
        guest.sh(f'kill {owners[node]}; while kill -0 {owners[node]} 2>/dev/null; do '
                 'sleep 0.1; done')
        found = self.kinds(guest, node)
        self.assertEqual(found['table'] + found['slab'], 0, found)
        before = self.node_files(guest, 'nr_superframes')
        split = self.stat(guest, 'split')
        self.assertGreaterEqual(before[node], pages(GIB // 2) // PAGES_PER_HUGE * 9 // 10)
        got, took, did = self.try_one(guest)
        after = self.node_files(guest, 'nr_superframes')
        print(f'# {got} had in {took:.2f} s, events {did}, superframes {before}, then {after}',
              flush=True)
        self.assertEqual(got, 1)
        # All of it was the balloon's neighbour, and is a gigantic page.
        self.assertLessEqual(after[node], self.own // 2)
        self.assertEqual(int(guest.read(f'{CORE}/nr_pages')), pages(half))
        self.assertEqual(self.stat(guest, 'split'), split)
        self.assertGreaterEqual(sum(after), sum(before) - 4)
        self.assert_consistent(guest)
        guest.write(POOL, 0)
        # They lie on other nodes, though the node's target is as it was.
        self.wait('the superframes to come home', lambda: self.node_files(
            guest, 'nr_superframes')[node] >= before[node] - 4)
        self.inflate(guest, 0)
        self.assert_consistent(guest)
        for pattern in patterns:
            pattern.stop()


class Destinations(GuestTest):
    """Where what is moved out of a block for a superframe may go."""

    flavour = 'release'

    def whole_blocks(self, guest):
        """Free 2M blocks."""
        lines = guest.sh('cat /proc/buddyinfo').splitlines()
        return sum(int(line.split()[-2]) + 2 * int(line.split()[-1]) for line in lines)

    def made_whole(self, guest):
        """Blocks emptied since the trace began: for the balloon, and in place of what it took."""
        return [sum(map(int, guest.sh(f"sed -n 's/.*balloon_{what}: .*whole=//p' {TRACE}/trace")
                        .split())) for what in ('evacuate', 'mend')]

    def test_not_a_zone_of_movable_pages(self):
        """A disk's own page cache may be held for as long as the disk is: it stays out of there."""
        with Disk(320) as disk:
            guest = self.boot(nodes=[1024], cpus=2, extra=disk.args,
                              append=f'{QUIET} kernelcore=50%')
            # All that moves shall be the balloon's doing, and nothing shall be dropped.
            guest.write('/proc/sys/vm/compaction_proactiveness', 0)
            guest.write(f'{CORE}/reclaim', 'none')
            # A file that may lie there: that is seen.
            guest.sh('dd if=/dev/zero of=/tmp/seen bs=1M count=4 2> /dev/null')
            seen = numbers(guest.sh('frames cache /tmp/seen /tmp/pfns; rm /tmp/seen'))
            self.assertEqual(seen['cached'], pages(4 * MIB))
            self.assertGreater(seen['movable'], 0)

            # One of eight pages of most blocks that are not for movable pages, and some free
            # pages in all the others, of which none can be emptied, so that there is room.
            # Whoever closes the disk as the last one has its cache dropped.
            guest.sh('(exec 9< /dev/vda; sleep 1000) > /dev/null & frames read /dev/vda', 120)
            self.start(guest, 'fragment --node 0 --keep 1 --pin 100 --leave 64')
            guest.sh('frames drop /dev/vda 8', 120)
            before = numbers(guest.sh('frames cache /dev/vda /tmp/before', 120))
            self.assertEqual(before['cached'], pages(320 * MIB) // 8)
            room = zones(guest)[0, 'Movable']
            self.assertGreater(room['free'] - room['high'], pages(128 * MIB), room)
            want = (self.whole_blocks(guest) + 48) * 2 * MIB

            guest.sh(f'echo > {TRACE}/trace; echo 1 > {TRACE}/events/balloon/enable')
            self.settle(guest, want)
            self.wait('rest', lambda: guest.read(BUSY) == '0')
            after = numbers(guest.sh('frames cache /dev/vda /tmp/after /tmp/before', 120))
            evacuated, mended = self.made_whole(guest)
            room = zones(guest)[0, 'Movable']
            print(f'# {evacuated} blocks evacuated, {mended} mended, '
                  f'{self.node_files(guest, "nr_superframes")[0]} superframes; '
                  f'before {before}, after {after}', flush=True)
            # There was room to the end.
            self.assertGreater(room['free'] - room['high'], pages(64 * MIB), room)
            self.assertGreaterEqual(self.node_files(guest, 'nr_superframes')[0],
                                    want // (2 * MIB) * 9 // 10)
            self.assertGreaterEqual(evacuated, 16)
            self.assertGreaterEqual(after['moved'], evacuated * 32)
            self.assertEqual(after['came'], 0)
            self.assertEqual(after['movable'], before['movable'])
            # Nor did any go and come back as another one.
            self.assertEqual(after['gone'], 0)
            self.assert_consistent(guest)
            self.settle(guest, 0)
            self.assert_consistent(guest)


if __name__ == '__main__':
    unittest.main()
