#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The fixes of patches/upstream, on the newest kernel with nothing else of ours:
upstream_test.py [TEST]...

Each test is of one fault. It has to show on the kernel without the fixes, and be gone on the one with
them. Where it does not show any more, upstream has mended or hidden it: then look at the patch anew.
"""

import os
import sys
import time
import unittest

from guest import BUILD, MIB, PAGE, Guest, GuestError, initramfs_of, kernel_of
from test import Result, Tally, flatten

BEFORE, AFTER = 'upstream-before', 'upstream'
NODES = '/sys/devices/system/node'
BLOCKS = '/sys/devices/system/memory'
# From linux/kernel-page-flags.h.
HWPOISON, OFFLINE = 1 << 19, 1 << 23


def both(look):
    """Two tests of one: LOOK(self, kernel) says whether the fault is there, and asserts what is right
    on both kernels."""
    def test_as_it_is(self):
        self.assertTrue(look(self, BEFORE), 'there is no such fault (any more)')

    def test_with_the_fix(self):
        self.assertFalse(look(self, AFTER), 'the fault is still there')

    return test_as_it_is, test_with_the_fix


class Fault(unittest.TestCase):
    """No kernel may warn of anything meanwhile, but of the fault itself."""

    known = None
    # Of allocations: its fault is to be seen by its own test only.
    profiled = False

    def id(self):
        return super().id().split('.', 1)[1]

    def boot(self, kernel, append='', **options):
        if not self.profiled:
            append += ' sysctl.vm.mem_profiling=never'
        guest = self.enterContext(Guest(kernel=kernel_of(kernel), initramfs=initramfs_of('vanilla'),
                                        name=f'{type(self).__name__}.{kernel}', append=append, **options))
        # First of all at the end: while the guest still runs.
        self.addCleanup(lambda: self.assertEqual(
            [line for line in guest.warnings() if not self.known or self.known not in line], [],
            guest.console_log))
        return guest

    def say(self, guest, *words):
        print(f'# {guest.name}:', *words, flush=True)

    def block_pages(self, guest):
        return int(guest.read(f'{BLOCKS}/block_size_bytes'), 16) // PAGE

    def blocks(self, guest, node, least):
        """Those of the node's blocks that can go offline, balloon or not."""
        names = guest.sh(f'cd {NODES}/node{node}; grep -l Movable memory*/valid_zones; :').split()
        names = [name.split('/')[0] for name in names]
        # Those with holes, or with data of the boot, can't.
        names = [name for name in names
                 if not guest.status(f'echo offline > {BLOCKS}/{name}/state', 300)[0]]
        self.assertGreaterEqual(len(names), least, 'blocks that can go offline')
        for name in names:
            self.switch(guest, name, 'online_movable', 300)
        return names

    def switch(self, guest, block, state, limit):
        """Whether the block's state was set in so many seconds, and how long that took."""
        began = time.monotonic()
        status, said = guest.status(f'timeout {limit} sh -c "echo {state} > {BLOCKS}/{block}/state"',
                                    limit + 60)
        took = time.monotonic() - began
        # 143: it was ended by a signal.
        self.assertIn(status, (0, 143), f'{block} {state}: {said}')
        self.assertEqual(guest.read(f'{BLOCKS}/{block}/state'),
                         'offline' if state == 'offline' and not status else 'online', block)
        return not status, took


class Count(Fault):
    """0001: NR_BALLOON_PAGES, node by node, when balloon pages go from node to node."""

    def counted(self, guest):
        """What each node's meminfo says, in pages."""
        lines = guest.sh('echo 1 > /proc/sys/vm/stat_refresh; '
                         f'cat {NODES}/node*/meminfo | grep Balloon:').splitlines()
        counts = {int(line.split()[1]): int(line.split()[3]) * 1024 // PAGE for line in lines}
        return [counts[node] for node in range(len(guest.sizes))]

    def held(self, guest):
        """What pages themselves say."""
        size = self.block_pages(guest)
        lines = guest.sh(f'cd {NODES}; for link in node*/memory[0-9]*; do '
                         f'echo ${{link%/*}} $(frames range $((${{link#*/memory}} * {size})) {size} | '
                         "sed -n 's/^offline //p'); done").splitlines()
        counts = [0] * len(guest.sizes)
        for node, count in map(str.split, lines):
            counts[int(node[len('node'):])] += int(count)
        return counts

    def look(self, kernel):
        guest = self.boot(kernel, nodes=[512] * 4, append='kernelcore=512M')
        blocks = [self.blocks(guest, node, 1) for node in range(4)]
        guest.settle(600 * MIB)
        before = self.held(guest)
        self.assertEqual(sum(before) * PAGE, 600 * MIB)
        self.assertEqual(self.counted(guest), before)

        node = before.index(max(before))
        for block in blocks[node]:
            self.assertTrue(self.switch(guest, block, 'offline', 300)[0], block)
        after, counted = self.held(guest), self.counted(guest)
        self.assertEqual(sum(after), sum(before))
        moved = before[node] - after[node]
        self.assertGreater(moved * PAGE, 64 * MIB)
        self.say(guest, f'{moved} pages left node {node}: nodes hold {after}, counted are {counted}')

        for block in blocks[node]:
            self.switch(guest, block, 'online_movable', 300)
        guest.settle(0)
        self.assertEqual(self.held(guest), [0] * 4)
        empty = self.counted(guest)
        self.say(guest, f'with the balloon empty, counted are {empty}')
        # The sum is right in any case.
        self.assertEqual(guest.sh('grep Balloon: /proc/meminfo').split()[1], '0')
        if counted == after:
            self.assertEqual(empty, [0] * 4)
            return False
        # All that left the node, and nothing else, is counted where it was: less than nothing is shown
        # as nothing.
        self.assertEqual(counted, before)
        self.assertEqual(empty, [moved if n == node else 0 for n in range(4)])
        return True

    test_as_it_is, test_with_the_fix = both(look)


class Huge(Fault):
    """0002: VMware's 2M pages. There is no such hypervisor here."""

    def look(self, kernel):
        folder = {BEFORE: 'vanilla/upstream', AFTER: 'upstream/objects'}[kernel]
        self.assertTrue(os.path.getsize(os.path.join(BUILD, folder, 'drivers/misc/vmw_balloon.o')))
        self.skipTest('vmw_balloon.o is built, and needs a VMware to run')

    test_as_it_is, test_with_the_fix = both(look)


class Poisoned(Fault):
    """0003: pages that are poisoned in the balloon, and then their blocks go offline."""

    def flags(self, guest, pfn):
        return int(guest.sh(f'dd if=/proc/kpageflags bs=8 skip={pfn} count=1 2>/dev/null | '
                            'od -A n -t x8'), 16)

    def fullest(self, guest, names, count):
        """Those of the blocks that have most of the balloon, and a page of each that is the balloon's."""
        size = self.block_pages(guest)
        whole = {}
        for pfn in map(int, guest.sh('offline_blocks').split()):
            whole.setdefault(f'memory{pfn // size}', []).append(pfn)
        names = sorted(names, key=lambda name: -len(whole.get(name, ())))[:count]
        self.assertTrue(all(len(whole.get(name, ())) > 8 for name in names), whole)
        pfns = [whole[name][4] + 5 for name in names]
        for pfn in pfns:
            self.assertEqual(self.flags(guest, pfn) & (OFFLINE | HWPOISON), OFFLINE)
        return names, pfns

    def usual(self, guest, block):
        """How long it takes to offline a block of the balloon's without a bad page, and how long others
        may take."""
        done, took = self.switch(guest, block, 'offline', 300)
        self.assertTrue(done, block)
        self.switch(guest, block, 'online_movable', 300)
        return took, int(30 + 10 * took)

    def look(self, kernel):
        guest = self.boot(kernel, nodes=[1280], cpus=2, append='kernelcore=512M')
        names = self.blocks(guest, 0, 4)
        guest.settle(640 * MIB)
        (*names, clean), (soft, mended, hard, _) = self.fullest(guest, names, 4)
        took, limit = self.usual(guest, clean)

        # Soft offlining takes a page out of the balloon, and then poisons it.
        for pfn in soft, mended:
            guest.write(f'{BLOCKS}/soft_offline_page', hex(pfn * PAGE))
            self.assertTrue(self.flags(guest, pfn) & HWPOISON)
        stale = bool(self.flags(guest, soft) & OFFLINE)
        gone, spent = self.switch(guest, names[0], 'offline', limit)
        self.say(guest, f'a block of balloon pages goes offline in {took:.1f} s;',
                 f'with one soft offlined, {"still" if stale else "no longer"} of the type "offline",',
                 f'in {spent:.1f} s' if gone else f'not in {spent:.1f} s')
        unpoisoned = not guest.status(f'echo {mended} > /sys/kernel/debug/hwpoison/unpoison-pfn')[0]
        self.assertEqual(bool(self.flags(guest, mended) & HWPOISON), not unpoisoned)
        self.say(guest, f'such a page can {"" if unpoisoned else "not "}be unpoisoned')

        # Or it is poisoned where it is, which the kernel calls a failure, and deflated later.
        guest.status(f'echo {hard * PAGE:#x} > {BLOCKS}/hard_offline_page')
        self.assertEqual(self.flags(guest, hard) & (OFFLINE | HWPOISON), OFFLINE | HWPOISON)
        guest.settle(0)
        self.assertTrue(self.flags(guest, hard) & HWPOISON)
        self.assertEqual(bool(self.flags(guest, hard) & OFFLINE), stale)
        later, spent = self.switch(guest, names[2], 'offline', limit)
        self.say(guest, 'a block with a page that was poisoned and then deflated goes offline',
                 f'in {spent:.1f} s' if later else f'not in {spent:.1f} s')
        self.assertEqual([gone, unpoisoned, later], [not stale] * 3)
        return stale

    test_as_it_is, test_with_the_fix = both(look)


class PoisonValue(Fault):
    """0004: what free pages are filled with, and the device has to know, after a suspend."""

    state = 'freeze'

    def interrupts(self, guest):
        """Of the balloon's queues."""
        lines = guest.sh('grep virtio0 /proc/interrupts; :').splitlines()
        return sum(int(word) for line in lines for word in line.split()[1:] if word.isdigit())

    def churn(self, guest):
        """Allocates most of what is free, and checks it thereby; frees it, and has it reported."""
        before = self.interrupts(guest)
        guest.sh('dd if=/dev/zero of=/tmp/all bs=1M count=256; rm /tmp/all')
        # Reports come in turns of 2 s.
        last, quiet, deadline = before, time.monotonic(), time.monotonic() + 300
        while last == before or time.monotonic() - quiet < 8:
            if time.monotonic() > deadline:
                raise GuestError(f'{guest.name}: reports do not begin, or end, in 300 s')
            time.sleep(0.5)
            now = self.interrupts(guest)
            if now != last:
                last, quiet = now, time.monotonic()

    def corruptions(self, guest):
        return guest.console().count('pagealloc: memory corruption')

    def look(self, kernel):
        guest = self.boot(kernel, nodes=[512], cpus=2, append='page_poison=1',
                          balloon={'free-page-reporting': True, 'page-poison': True})
        guest.sh('mount -o remount,size=90% /tmp')
        whole = guest.host_bytes(0)
        found = []
        for when in 'boot', self.state:
            if when != 'boot':
                # All devices go down and come up again, and nothing else does.
                guest.sh(f'echo devices > /sys/power/pm_test; echo {when} > /sys/power/state')
            seen = self.corruptions(guest)
            # Twice: what the first one frees is reported, and the second one allocates that again.
            self.churn(guest)
            given = whole - guest.host_bytes(0)
            self.churn(guest)
            seen = self.corruptions(guest) - seen
            self.say(guest, f'after {when}, the host took {given // MIB} MiB of what was reported, and'
                     f' the kernel tells of {seen} corruptions')
            found.append((given > 64 * MIB, seen > 0))
        self.assertEqual(found[0], (False, False))
        # The first is why the second is there.
        self.assertIn(found[1], ((False, False), (True, True)))
        return found[1][1]

    test_as_it_is, test_with_the_fix = both(look)


class PoisonValueHibernated(PoisonValue):
    state = 'disk'


class Tag(Fault):
    """0005: whose memory it is that goes online, by who profiles allocations."""

    known = ' at __pgalloc_tag_sub'
    profiled = True

    def look(self, kernel):
        guest = self.boot(kernel, nodes=[1280], append='kernelcore=512M')
        self.assertEqual(guest.read('/proc/sys/vm/mem_profiling'), '1')
        # Which sets them online again.
        self.blocks(guest, 0, 1)
        return any(self.known in line for line in guest.warnings())

    test_as_it_is, test_with_the_fix = both(look)


class Failed(Poisoned):
    """0006: pages that have failed in the balloon and are there when their blocks go offline."""

    def look(self, kernel):
        guest = self.boot(kernel, nodes=[1280], cpus=2, append='kernelcore=512M')
        names = self.blocks(guest, 0, 2)
        guest.settle(640 * MIB)
        (name, clean), (pfn, _) = self.fullest(guest, names, 2)
        took, limit = self.usual(guest, clean)
        guest.status(f'echo {pfn * PAGE:#x} > {BLOCKS}/hard_offline_page')
        self.assertEqual(self.flags(guest, pfn) & (OFFLINE | HWPOISON), OFFLINE | HWPOISON)
        gone, spent = self.switch(guest, name, 'offline', limit)
        self.say(guest, f'a block of balloon pages goes offline in {took:.1f} s; with one that has failed,',
                 f'in {spent:.1f} s' if gone else f'not in {spent:.1f} s')
        self.assertEqual(guest.actual(), 640 * MIB)
        return not gone

    test_as_it_is, test_with_the_fix = both(look)


def main():
    if os.environ.get('KERNEL') != 'next':
        sys.exit('upstream_test.py: patches/upstream is for the newest kernel: KERNEL=next')
    tally = Tally()
    loader = unittest.defaultTestLoader
    names = sys.argv[1:]
    suite = (loader.loadTestsFromNames(names, sys.modules[__name__]) if names else
             loader.loadTestsFromModule(sys.modules[__name__]))
    for test in flatten(suite):
        test.run(Result(tally, 'upstream'))
    return tally.finish()


if __name__ == '__main__':
    sys.exit(main())
