# SPDX-License-Identifier: GPL-2.0
"""Memory that goes offline and comes back while much of it is in the balloon."""

import os
import threading
import time

from common import CORE, MIB, NODES, PAGE, PAGES_PER_HUGE, QUIET, GuestTest, Pattern, pages

BLOCKS = '/sys/devices/system/memory'
# Of all blocks; 20 is the full run.
ROUNDS = int(os.environ.get('ROUNDS', 1))
# Times that a block goes offline and comes back; 200 is the full run.
TRIPS = int(os.environ.get('TRIPS', 24))


class Hotplug(GuestTest):
    def boot(self, **options):
        # CONFIG_MEM_ALLOC_PROFILING_DEBUG has memory that comes online for allocated, and warns.
        options['append'] = options.get('append', QUIET) + ' sysctl.vm.mem_profiling=0'
        return super().boot(**options)

    def switch(self, guest, block, state):
        """Returns the guest's error, '' if there was none."""
        status, output = guest.status(f'timeout 120 sh -c "echo {state} > {BLOCKS}/{block}/state"')
        return output.strip() or (f'status {status}' if status else '')

    def blocks(self, guest, node):
        return sorted(guest.sh(f'cd {NODES}/node{node} && ls -d memory[0-9]*').split(),
                      key=lambda name: int(name[len('memory'):]))


class Blocks(Hotplug):
    def boot_with_blocks(self, node, size):
        """The guest, and the blocks of its second node that can go."""
        # Where the kernel has its own data, a block can't go, balloon or not.
        guest = self.boot(nodes=[512, size], cpus=2, append=f'{QUIET} kernelcore=512M')
        names = guest.sh(f'cd {NODES}/node{node} && grep -l Movable memory*/valid_zones | '
                         "sed 's,/.*,,'").split()
        blocks = [b for b in names if not self.switch(guest, b, 'offline')]
        for block in blocks:
            self.assertEqual(self.switch(guest, block, 'online_movable'), '', block)
        self.assertGreaterEqual(len(blocks), 3, names)
        return guest, blocks

    def test_every_block_of_a_node(self):
        node, size = 1, 768
        guest, blocks = self.boot_with_blocks(node, size)
        memory = self.meminfo(guest, 'MemTotal')
        pattern = Pattern(guest, 96, f'--node {node}')
        half = size // 2 * MIB
        guest.write(f'{NODES}/node{node}/balloon/target', pages(half))
        self.settle(guest, half)
        self.assertGreaterEqual(self.node_files(guest, 'nr_pages')[node], pages(half) * 9 // 10)

        moved = 0
        for number in range(ROUNDS):
            for block in blocks:
                for state in 'offline', 'online_movable':
                    self.assertEqual(self.switch(guest, block, state), '', f'{block}, {state}, '
                                     f'round {number}: {guest.sh("dmesg | tail -n 20")}')
                    # Superframes that come home are there twice for a moment.
                    self.wait('rest', lambda: guest.read(f'{CORE}/state') == 'settled')
                    held = self.assert_holds(guest, half)
                    moved += held[node] < pages(half) * 9 // 10
            self.wait('all memory', lambda: self.meminfo(guest, 'MemTotal') == memory - half)
            pattern.verify()
        # It held on to what it could.
        self.assertLess(moved, ROUNDS * len(blocks))

        self.settle(guest, 0)
        self.assertEqual(self.meminfo(guest, 'MemTotal'), memory)
        self.assert_consistent(guest)
        pattern.stop()

    def test_a_page_that_has_failed(self):
        """It is in the balloon, as a superframe's first: that is by which it moves."""
        node, size = 1, 768
        guest, blocks = self.boot_with_blocks(node, size)
        half = size // 2 * MIB
        guest.write(f'{NODES}/node{node}/balloon/target', pages(half))
        self.settle(guest, half)
        of_block = int(guest.read(f'{BLOCKS}/block_size_bytes'), 16) // PAGE
        pfn, block = next((pfn, block) for pfn in map(int, guest.sh('offline_blocks').split())
                          if (block := f'memory{pfn // of_block}') in blocks)
        # The kernel says that it could do nothing about it.
        self.assertTrue(guest.status(f'echo {pfn} > /sys/kernel/debug/hwpoison/corrupt-pfn')[0])
        self.assertIn(f'{pfn:#x}: ', guest.sh('dmesg | grep "Memory failure"'))
        self.assertEqual(self.switch(guest, block, 'offline'), '', block)
        self.wait('rest', lambda: guest.read(f'{CORE}/state') == 'settled')
        self.assert_holds(guest, half)
        self.settle(guest, 0)
        self.assert_consistent(guest)

    def test_while_the_target_moves(self):
        """What is on its way to the host, or back, is no reason for a block to stay."""
        node, size = 1, 768
        guest, blocks = self.boot_with_blocks(node, size)
        guest.write(f'{NODES}/node{node}/balloon/target', pages(size // 2 * MIB))

        # The guest does it by itself: nothing is asked of it through the agent meanwhile.
        guest.sh(f"""cd {BLOCKS}; i=0; failed=0
            (while [ $i -lt {TRIPS} ]; do for b in {' '.join(blocks)}; do
                timeout 300 sh -c "echo offline > $b/state" || failed=$((failed + 1))
                echo online_movable > $b/state; i=$((i + 1))
            done; done; echo $i $failed > /tmp/trips) > /tmp/trips.log 2>&1 &""")
        moves, done = 0, threading.Event()
        deadline = time.monotonic() + 1200

        def watch():
            try:
                while guest.status('test -s /tmp/trips')[0] and time.monotonic() < deadline:
                    time.sleep(1)
            finally:
                done.set()

        thread = threading.Thread(target=watch)
        thread.start()
        while not done.is_set():
            guest.set_balloon((64 + 64 * (moves % 5)) * MIB)
            moves += 1
            time.sleep(0.05)
        thread.join()
        trips, failed = map(int, guest.read('/tmp/trips').split())
        self.assertGreaterEqual(trips, TRIPS)
        self.assertEqual(failed, 0, f'of {trips}, with {moves} targets: '
                         f'{guest.sh("cat /tmp/trips.log; dmesg | tail -n 20")}')
        self.assertGreater(moves, 10)
        self.settle(guest, 256 * MIB)
        self.assert_consistent(guest)
        self.settle(guest, 0)
        self.assert_holds(guest, 0)


class Dimm(Hotplug):
    """Memory that can go as a whole."""

    size = 512

    def boot_with_dimm(self, nodes, node):
        cpus = [[0, 1]] + [[]] * (len(nodes) - 1)
        guest = self.boot(nodes=nodes, cpus=cpus, extra=[
            '-m', 'slots=4,maxmem=8192M', '-object',
            f'memory-backend-ram,id=d0,size={self.size}M', '-device',
            f'pc-dimm,id=dimm0,memdev=d0,node={node}'])
        blocks = [b for b in self.blocks(guest, node)
                  if guest.read(f'{BLOCKS}/{b}/state') == 'offline']
        self.assertEqual(len(blocks), self.size // 128, 'the DIMM is to be offline at first')
        for block in blocks:
            self.assertEqual(self.switch(guest, block, 'online_movable'), '', block)
        return guest, blocks

    def inflate(self, guest, size):
        """QEMU counts the DIMM, too."""
        whole = guest.bytes() + self.size * MIB
        guest.qmp('balloon', value=whole - size)
        self.wait(f'{size} bytes in the balloon', lambda: whole - guest.qmp('query-balloon')[
            'actual'] == size and sum(self.node_files(guest, 'nr_pages')) == pages(size))

    def test_a_whole_node_goes(self):
        """Its superframes stay whole, on the nearest node that can spare some."""
        guest, blocks = self.boot_with_dimm([1024, 0], 1)
        want = self.size // 2 * MIB
        guest.write(f'{NODES}/node1/balloon/target', pages(want))
        self.inflate(guest, want)
        before = self.node_files(guest, 'nr_superframes')
        self.assertGreaterEqual(before[1], want // (2 * MIB) * 9 // 10, before)
        for block in blocks:
            self.assertEqual(self.switch(guest, block, 'offline'), '', block)
        # Until the worker has put together what may have been split.
        self.wait('whole superframes', lambda: self.node_files(guest, 'nr_superframes')[0] >=
                  sum(before) * 95 // 100)
        self.assertEqual(int(guest.read('/sys/kernel/mm/balloon/nr_pages')), pages(want))
        split = sum(self.stat(guest, 'split'))
        self.assertLessEqual(split, sum(before) // 20)
        self.assert_consistent(guest)

        # The node goes with it, whoever reads its files meanwhile.
        guest.write(f'{NODES}/node1/balloon/limit', 0)
        guest.sh(f'while [ ! -e /tmp/stop ]; do cat {NODES}/node1/balloon/*; done '
                 '> /dev/null 2>&1 &')
        guest.qmp('device_del', id='dimm0')
        self.wait('the node to go', lambda: guest.status(f'[ -e {NODES}/node1 ]')[0], 120)
        guest.sh('touch /tmp/stop')
        # What was said of it holds when it is back.
        guest.qmp('device_add', driver='pc-dimm', id='dimm0', memdev='d0', node=1)
        self.wait('the node', lambda: not guest.status(f'ls {NODES}/node1/memory[0-9]*')[0], 120)
        self.wait('its blocks', lambda: len(self.blocks(guest, 1)) == len(blocks))
        for block in self.blocks(guest, 1):
            self.assertEqual(self.switch(guest, block, 'online_movable'), '', block)
        self.assertEqual(guest.read(f'{NODES}/node1/balloon/limit'), '0')
        self.inflate(guest, want + 64 * MIB)
        self.assertEqual(self.node_files(guest, 'nr_pages')[1], 0)
        self.assert_consistent(guest)

    def test_unplugged_while_ballooned(self):
        """A DIMM that is nearly all in the balloon goes without a page being moved by itself."""
        guest, _ = self.boot_with_dimm([1024], 0)
        want = self.size * 7 // 8 * MIB
        self.inflate(guest, want)
        superframes = self.node_files(guest, 'nr_superframes')[0]
        self.assertEqual(superframes, pages(want) // PAGES_PER_HUGE)
        began = time.monotonic()
        guest.qmp('device_del', id='dimm0')

        def gone():
            guest.qmp('query-balloon')
            return any(e['event'] == 'DEVICE_DELETED' and e['data'].get('device') == 'dimm0'
                       for e in guest.qmp.events)

        self.wait('the DIMM to go', gone, 300)
        took = time.monotonic() - began
        print(f'unplugged {self.size} MiB, {want // MIB} of them ballooned, in {took:.1f} s',
              flush=True)
        self.assertEqual(self.node_files(guest, 'nr_superframes')[0], superframes)
        # Split and migrated page by page it takes five times as long.
        self.assertEqual(sum(self.stat(guest, 'split')), 0)
        self.assert_consistent(guest)
