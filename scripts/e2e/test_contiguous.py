# SPDX-License-Identifier: GPL-2.0
"""Contiguous ranges beside a balloon, and where pages go that are moved for it."""

import os
import time
import unittest

from common import CORE, GIB, MIB, NODES, PAGE, PAGES_PER_HUGE, QUIET, GuestTest, Pattern, pages
from scenes import Disk, free_shares, zones

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


class Area(GuestTest):
    """One node keeps an area for a gigantic page (CMA), and lends it to what can be moved.

    The balloon does not take what is free there. What of it comes there is moved out again.
    """

    flavour = 'release'
    node = 1
    # Nearer to it than the other one is node 0.
    dist = [[10, 15, 30], [15, 10, 30], [30, 30, 10]]
    pool = f'{NODES}/node{node}/hugepages/hugepages-1048576kB/nr_hugepages'

    def free_there(self, guest):
        """Free base pages of the area."""
        return sum(zone['free_cma'] for zone in zones(guest).values())

    def find_area(self, guest):
        """Its first page frame: where the gigantic page lies for which it is kept."""
        self.assertGreater(self.free_there(guest), pages(GIB - 64 * MIB))
        self.assertEqual(guest.sh(f'echo 1 > {self.pool}; cat {self.pool}').strip(), '1')
        self.assertLess(self.free_there(guest), pages(8 * MIB))
        found = [at for at in range(0, 8 * GIB, GIB)
                 if self.kinds(guest, at // PAGE).get('huge') == pages(GIB)]
        guest.write(self.pool, 0)
        self.assertEqual(len(found), 1)
        self.assertGreater(self.free_there(guest), pages(GIB - 8 * MIB))
        return found[0] // PAGE

    def kinds(self, guest, pfn):
        """What the pages of a GiB are; nothing behind the end of memory."""
        status, text = guest.status(f'frames range {pfn} {pages(GIB)}')
        return numbers(text) if status == 0 else {}

    def offline(self, guest, pfn, count):
        return numbers(guest.sh(f'frames range {pfn} {count}'))['offline']

    def a_base_page(self, guest, pfn, count):
        """A ballooned one of a range that has one block in the balloon in part."""
        while count > 1:
            half = count // 2
            there = self.offline(guest, pfn, half)
            if not (there % PAGES_PER_HUGE if half >= PAGES_PER_HUGE else there):
                pfn += half
            count = half
        self.assertEqual(self.offline(guest, pfn, 1), 1)
        return pfn

    def start_guest(self):
        return self.boot(nodes=[1536, 2560, 1024], dist=self.dist, prealloc=False, touched=1024,
                         append=f'{QUIET} hugetlb_cma={self.node}:1G')

    def test_a_ballooned_page_leaves_it(self):
        """It was moved there, as any page that can be moved."""
        guest = self.start_guest()
        area = self.find_area(guest)
        for node in {0, 1, 2} - {self.node}:
            guest.write(f'{NODES}/node{node}/balloon/limit', 0)
        size = 256 * MIB + 200 * PAGE
        self.settle(guest, size)
        self.assertEqual(self.node_files(guest, 'nr_partial')[self.node], 200)
        # Above 4G the node has as much beside the area, and that is where it gives first.
        other, = {pages(4 * GIB), pages(5 * GIB)} - {area}
        self.assertEqual(self.offline(guest, area, pages(GIB)), 0)
        moved = f"sed -n 's/^migrate //p' {NODES}/node{self.node}/balloon/stat"
        for _ in range(8):
            # Who has a page soft offlined must have that one. All at once: within a second or two
            # the balloon itself puts together what is scattered.
            pfn = self.a_base_page(guest, other, pages(GIB))
            said = guest.sh(f'echo {pfn * PAGE:#x} > {BLOCKS}/soft_offline_page; {moved}; '
                            f"frames range {area} {pages(GIB)} | sed -n 's/^offline //p'; "
                            f'echo 1 > {self.pool}; cat {self.pool}; {moved}', 300).split()
            came, there, got, left = map(int, said)
            print(f'# moved {came}, {there} of them there; {got} had; moved {left}', flush=True)
            self.assertEqual(got, 1)
            self.assertEqual(self.kinds(guest, area)['huge'], pages(GIB))
            guest.write(self.pool, 0)
            if there and left > came:
                break
            # It went elsewhere, or was brought back already.
            time.sleep(2)
        self.assertEqual((there, left), (1, came + 1))
        self.assert_holds(guest, size)
        self.settle(guest, 0)
        self.assert_consistent(guest)

    def test_is_not_the_balloons_and_can_be_had(self):
        guest = self.start_guest()
        area = self.find_area(guest)
        total = self.meminfo(guest, 'MemTotal')

        # What is free there counts for nothing: the node gives as much of the rest as others do.
        self.settle(guest, 2 * GIB)
        held = self.assert_holds(guest, 2 * GIB)
        shares = free_shares(guest)
        there = self.free_there(guest)
        print(f'# {[n * PAGE // MIB for n in held]} MiB of {guest.sizes}; free shares '
              f'{[round(share, 3) for share in shares]}, and {there * PAGE // MIB} MiB of the area',
              flush=True)
        self.assertLess(max(shares) - min(shares), 0.03, shares)
        self.assertGreater(min(held), pages(256 * MIB))
        self.assertEqual(self.stat(guest, 'inflate_remote'), [0] * 3)
        self.assertGreater(there, pages(GIB - 64 * MIB))
        self.assert_consistent(guest)

        # All that there is to have. What is in the area then is a program's, for want of other
        # memory there, and the gigantic page has it moved, not the balloon.
        guest.set_balloon(guest.bytes() - 64 * MIB)
        self.wait('the limit', lambda: 'guest-memory' in guest.read(f'{CORE}/state'))
        pattern = Pattern(guest, 24, f'--node {self.node}')
        kinds = self.kinds(guest, area)
        self.assertGreater(kinds['lru'], pages(16 * MIB), kinds)
        self.assertEqual(kinds['offline'], 0)
        before = self.node_files(guest, 'nr_pages')
        self.assertEqual(guest.sh(f'echo 1 > {self.pool}; cat {self.pool}', 300).strip(), '1')
        self.assertEqual(self.kinds(guest, area)['huge'], pages(GIB))
        after = self.node_files(guest, 'nr_pages')
        print(f'# {[n * PAGE // MIB for n in before]} MiB at most; {kinds["lru"] * PAGE // MIB} MiB of '
              f'the area in use; then {[n * PAGE // MIB for n in after]}', flush=True)
        # It tries to get more all the time.
        self.assertTrue(all(b <= a for b, a in zip(before, after)), (before, after))
        self.wait('the limit', lambda: 'guest-memory' in guest.read(f'{CORE}/state'))
        self.assert_consistent(guest)
        pattern.verify()
        guest.write(self.pool, 0)
        self.settle(guest, 0)
        self.assertEqual(self.meminfo(guest, 'MemTotal'), total)
        self.assertLess(sum(guest.host_bytes(n) for n in range(3)), guest.touched * MIB)
        self.assert_consistent(guest)
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
