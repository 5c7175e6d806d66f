# SPDX-License-Identifier: GPL-2.0
"""What the balloon asks of Xen, and what becomes of the guest's memory: judged from Xen's side."""

import os
import re
import tempfile
import time
import unittest

from guest import BUILD
from common import FLAVOUR, HYPERVISOR, PAGES_PER_MIB, Pattern, XenTest, afresh, needs_pvh

SUPERFRAME = 512
TRACING = '/sys/kernel/tracing'
OP = re.compile(r'memory_op: op=(\w+) order=(\d+) nr=(\d+) done=(-?\d+)')
OURS = unittest.skipIf(FLAVOUR == 'vanilla', 'the unpatched kernel is another one')


class Hypercalls:
    """What a guest's balloon asks of Xen meanwhile: (op, order, nr, done) of each hypercall."""

    def __init__(self, domain):
        self.domain = domain
        domain.sh(f'[ -d {TRACING}/events ] || mount -t tracefs none {TRACING}')
        self.begin()

    def begin(self):
        """What was seen before is forgotten. The first time takes memory, for the ring buffer."""
        self.domain.sh(f'echo > {TRACING}/trace; echo 1 > {TRACING}/events/xen_balloon/enable')

    def end(self):
        text = self.domain.sh(f'echo 0 > {TRACING}/events/xen_balloon/enable; '
                              f'grep memory_op: {TRACING}/trace || true')
        return [(op, *map(int, rest)) for op, *rest in OP.findall(text)]


def stat(domain, name, node=0):
    text = domain.read(f'/sys/devices/system/node/node{node}/balloon/stat')
    return int(re.search(rf'^{name} (\d+)$', text, re.M)[1])


class Balloon(XenTest):
    def wait_for(self, true, what, timeout=60):
        deadline = time.monotonic() + timeout
        while not true():
            self.assertLess(time.monotonic(), deadline, f'{what}: not within {timeout} s')
            time.sleep(0.5)

    def assert_near(self, before, after, by=SUPERFRAME):
        self.assertEqual(sum(after), sum(before))
        for b, a in zip(before, after):
            self.assertAlmostEqual(a, b, delta=by)

    def ten_times(self, domain, down):
        self.pin_worker(domain, 0)
        before = domain.pages()
        pattern = Pattern(domain, 64, '--interleave')
        for _ in range(10):
            domain.mem_set(down)
            after = domain.mem_set(256)
        self.tell(f'pages per physical node: {before}, and after ten times {after}')
        self.assert_near(before, after)
        self.assertEqual(pattern.stop(), 64 << 20)

    @needs_pvh
    @afresh
    def test_ten_times(self):
        self.ten_times(self.start(self.boot()), 192)

    @needs_pvh
    @afresh
    def test_ten_times_on_four_nodes(self):
        self.ten_times(self.start(self.boot(nodes=(384,) * 4), nodes=(64,) * 4), 208)

    @needs_pvh
    @afresh
    def test_mappings(self):
        """What came back is mapped as it was: a superframe in one piece."""
        domain = self.start(self.boot(nodes=(1024, 1024)), nodes=(512, 512))
        before = domain.mappings()
        domain.mem_set(768)
        down = domain.mappings()
        domain.mem_set(1024)
        after = domain.mappings()
        self.tell(f'blocks mapped in 2M and in 4K: {before}, 256 MiB down {down}, up {after}')
        self.assertGreater(before[0], 400)
        if FLAVOUR != 'vanilla':
            self.assertEqual(down[0], before[0] - 128)
            self.assertEqual(after, before)

    def scatter(self, domain, load):
        """Leaves base pages in the balloon, all over the guest, that can be moved when 'fragment'
        is killed. Returns what verifies a load beside, and the guest's pages."""
        pattern = Pattern(domain, load)
        fill = domain.sh('fragment --node 0 --keep 64 --pin 100 --leave 8 > /tmp/fragment & '
                         'while ! grep fragment /tmp/fragment; do sleep 0.2; done')
        self.tell(fill.strip())
        return pattern, domain.mem_set(sum(domain.sizes) - 80)

    def compact(self, domain):
        """Once there is room: the hypercalls that were made, and how many pages moved."""
        before = stat(domain, 'migrate')
        calls = Hypercalls(domain)
        domain.sh('killall fragment')

        def compacted():
            domain.sh('echo 1 > /proc/sys/vm/compact_memory; sleep 1')
            # Others compact, too, and may be at it still.
            seen = stat(domain, 'migrate')
            domain.sh('sleep 1')
            return stat(domain, 'migrate') == seen > before
        self.wait_for(compacted, 'compaction of ballooned pages')
        made = calls.end()
        return made, stat(domain, 'migrate') - before

    def compaction(self, domain, load):
        """Returns what compacting ballooned pages asked of Xen, and how many moved."""
        full = sum(domain.sizes)
        pattern, before = self.scatter(domain, load)
        made, moved = self.compact(domain)
        after = domain.pages()
        kinds = {op: sum(1 for made_op, *_ in made if made_op == op)
                 for op in ('exchange', 'move', 'swap', 'decrease', 'populate')}
        self.tell(domain.sh('cd /sys/devices/system/node/node0/balloon; grep . nr_* stat | '
                            'tr "\\n" " "'))
        self.tell(f'{moved} pages moved: {kinds}; pages per physical node {before}, then {after}')
        self.assertGreater(moved, 0)
        self.assertEqual(sum(after), sum(before))
        self.assertEqual(pattern.verify(), load << 20)
        domain.mem_set(full)
        self.assertEqual(pattern.stop(), load << 20)
        return kinds, moved

    @OURS
    @afresh
    def test_compaction_of_a_pv_guest(self):
        domain = self.start(self.boot(), type='pv', nodes=[192])
        kinds, moved = self.compaction(domain, 16)
        self.assertGreater(kinds['exchange'], 0)

    @OURS
    @needs_pvh
    @afresh
    def test_compaction_of_a_pvh_guest(self):
        domain = self.start(self.boot(), nodes=[192])
        kinds, moved = self.compaction(domain, 16)
        self.assertEqual(kinds['exchange'], 0)
        if HYPERVISOR == 'patched':
            self.assertGreater(kinds['swap'], 0)
            self.assertEqual(kinds['populate'], 0)
        else:
            self.assertEqual(kinds['move'], moved)

    @OURS
    @needs_pvh
    @afresh
    def test_superframes_made_whole(self):
        """Of base pages that move within the balloon come superframes for the guest, which the
        patched hypervisor maps as such again."""
        domain = self.start(self.boot(), nodes=[192])
        # Blocks that were never in one piece: devices, and where memory ends.
        always = set(domain.blocks()[1])
        pattern, before = self.scatter(domain, 16)
        blocks = '/sys/devices/system/node/node0/balloon/nr_partial'
        partial, (whole, parts) = int(domain.read(blocks)), domain.blocks()
        moved = stat(domain, 'migrate')
        domain.sh('killall fragment')

        def compacted():
            domain.sh('echo 1 > /proc/sys/vm/compact_memory; sleep 1')
            return int(domain.read(blocks)) < SUPERFRAME
        self.wait_for(compacted, 'all partial blocks but one to be superframes', 300)
        now, left = domain.blocks()
        # Those that had holes, and that the guest has all of now.
        mended = [block for block, pages in parts.items()
                  if block not in always and 0 < pages < SUPERFRAME and
                  left.get(block, SUPERFRAME) == SUPERFRAME]
        pieces = [block for block in mended if block in left]
        self.tell(f'{HYPERVISOR}: {partial} pages in partial blocks, '
                  f'{stat(domain, "migrate") - moved} moved: {len(mended)} blocks are complete again, '
                  f'{len(mended) - len(pieces)} of them in one piece; mapped in 2M and in 4K '
                  f'{whole, len(parts)}, then {now, len(left)}')
        self.assertEqual(sum(domain.pages()), sum(before))
        self.assertGreater(len(mended), 0)
        if HYPERVISOR == 'patched':
            self.assertEqual(pieces, [])
        else:
            self.assertEqual(pieces, mended)
        self.assertEqual(pattern.verify(), 16 << 20)
        domain.mem_set(192)
        self.assertEqual(pattern.stop(), 16 << 20)

    @OURS
    @needs_pvh
    @afresh
    def test_compaction_of_a_guest_that_may_have_no_more(self):
        """Frames move from page to page: nothing is asked for that could be refused."""
        domain = self.start(self.boot(), nodes=[192])
        pattern, before = self.scatter(domain, 16)
        domain.xen.sh(f'max_mem {domain.domid} {(192 - 80 - 16) * 1024}')
        moved = stat(domain, 'migrate')
        calls = Hypercalls(domain)
        domain.sh('killall fragment')

        def compacted():
            domain.sh('echo 1 > /proc/sys/vm/compact_memory; sleep 1')
            return stat(domain, 'migrate') > moved
        self.wait_for(compacted, 'compaction of ballooned pages')
        made = calls.end()
        self.tell(f'{stat(domain, "migrate") - moved} pages moved, {len(made)} hypercalls')
        # One by one, or as many as there were to be moved at a time.
        self.assertEqual([call for call in made if call[0] not in ('move', 'swap') or
                          call[3] != call[2]], [])
        self.assertEqual(sum(domain.pages()), sum(before))
        self.assertEqual(pattern.verify(), 16 << 20)
        domain.xen.sh(f'max_mem {domain.domid} {200 * 1024}')
        domain.mem_set(192)
        self.assertEqual(pattern.stop(), 16 << 20)

    @OURS
    @needs_pvh
    @afresh
    def test_superframes_with_holes(self):
        """Xen has a page of a superframe already, which stops it in the middle; nobody is told."""
        domain = self.start(self.boot(nodes=(512, 512)), nodes=[256],
                            append='xen_privcmd.unrestricted=1')
        full = sum(domain.pages())
        self.assertEqual(len(domain.sh('memop holes 0 0 1 256 256 511').splitlines()), 6)
        self.assertEqual(sum(domain.pages()), full - 6)
        domain.mem_set(72)
        said = domain.sh('dmesg | grep "of the superframe at" || true')
        self.tell('\n' + said)
        left = [int(pages) for pages in re.findall(r'take (\d+) pages', said)]
        # With those that Xen had taken before it stopped at the hole.
        self.assertEqual(sorted(left), [1, 1, 2, 257, 257, 512])
        domain.mem_set(256)
        self.assertEqual(sum(domain.pages()), full)
        # No byte is lost: all of them have memory again.
        self.assertEqual(Pattern(domain, 160).stop(), 160 << 20)

    @OURS
    @afresh
    def test_a_host_that_takes_no_superframes(self):
        """Nothing is unmapped in vain for it, and mapped again."""
        took = {}
        for words in '', 'memop-max-order=0,9,9':
            xen = self.boot(nodes=(768, 768), xen_append=words, name=f'xen-orders-{bool(words)}')
            domain = self.start(xen, type='pv', nodes=[512])
            before = domain.pages()
            calls = Hypercalls(domain)
            began = time.monotonic()
            domain.mem_set(256)
            took[words] = time.monotonic() - began
            made = calls.end()
            refused = [call for call in made if call[3] < call[2]]
            large = sum(done for _, order, _, done in made if order == 9)
            self.tell(f'{words or "as it is"}: 256 MiB in {took[words]:.1f} s, {len(made)} '
                      f'hypercalls, {len(refused)} of them refused; {large} superframes whole')
            if words:
                # Dom0 may have them: so the guest's memory is of 2M, and it tries once.
                self.assertEqual((large, len(refused)), (0, 1))
            else:
                self.assertGreater(large, 100)
                self.assertEqual(refused, [])
            domain.mem_set(512)
            self.assertEqual(sum(domain.pages()), sum(before))
            domain.stop()
            self.domains.remove(domain)
            xen.stop()

    @OURS
    @needs_pvh
    @afresh
    def test_a_host_without_memory(self):
        xen = self.boot(nodes=(512, 512), guests=[FLAVOUR])
        domain = self.start(xen)
        full = domain.full
        domain.mem_set(128)
        free = int(re.search(r'free_memory +: (\d+)', xen.sh('xl info'))[1])
        other = self.start(xen, type='pv', nodes=[free - 48])
        before = sum(domain.pages())
        domain.set_target(256)
        time.sleep(15)
        partial = sum(domain.pages())
        self.tell(f'{before} pages, with the host full {partial} of {full}')
        self.assertGreater(partial, before)
        self.assertLess(partial, full)
        other.stop()
        self.domains.remove(other)
        began = time.monotonic()
        domain.wait_target(256, 60)
        self.tell(f'{full} pages {time.monotonic() - began:.0f} s after the other one ended')
        self.assertLess(time.monotonic() - began, 40)
        self.assertLess(int(domain.sh('dmesg | grep -c balloon: || true')), 10)

    @OURS
    @afresh
    def test_random_targets_of_a_pv_guest(self):
        domain = self.start(self.boot(), type='pv', nodes=[256])
        pattern = Pattern(domain, 64)
        seed = 1
        for step in range(100):
            seed = (seed * 1103515245 + 12345) & 0x7fffffff
            kib = 128 * 1024 + seed % (128 * 1024)
            domain.xen.store_write(domain.store('memory/target'), kib)
            time.sleep(0.3)
        domain.mem_set(256)
        self.assertEqual(pattern.stop(), 64 << 20)
        self.tell('100 targets, no byte differs')

    @OURS
    @needs_pvh
    @afresh
    def test_memory_that_came_later(self):
        """A guest that boots with less than it may have."""
        domain = self.start(self.boot(nodes=(512, 512)), nodes=[256], start_mib=160)
        held = int(domain.read('/sys/devices/system/node/node0/balloon/nr_pages'))
        begun = sum(domain.pages())
        self.tell(f'{begun} pages at first, {held} in the balloon')
        self.assertAlmostEqual(held, 96 * PAGES_PER_MIB, delta=SUPERFRAME)
        pattern = Pattern(domain, 48)
        domain.xen.sh(f'xl mem-set {domain.domid} 256', 120)
        self.wait_for(lambda: sum(domain.pages()) >= begun + 95 * PAGES_PER_MIB, 'all its memory')
        self.assertEqual(pattern.stop(), 48 << 20)

    def saved_and_restored(self, **options):
        xen = self.boot(nodes=(768, 768), dom0_mib=512)
        domain = self.start(xen, nodes=[160], **options)
        pattern = Pattern(domain, 24)
        before = domain.mem_set(96)
        counters = 'grep . /sys/devices/system/node/node0/balloon/nr_*'
        held = domain.sh(counters)
        domain.save_and_restore()
        self.assertEqual(domain.sh(counters), held)
        self.assertEqual(sum(domain.pages()), sum(before))
        self.assertEqual(pattern.verify(), 24 << 20)
        domain.mem_set(160)
        self.assertIn('nr_pages:0\n', domain.sh(counters))
        domain.mem_set(112)
        self.tell(f'as before: {held.split()}')
        self.assertEqual(pattern.stop(), 24 << 20)

    @OURS
    @afresh
    def test_saved_and_restored(self):
        self.saved_and_restored(type='pv')

    @OURS
    @needs_pvh
    @afresh
    def test_a_pvh_guest_saved_and_restored(self):
        self.saved_and_restored()

    @OURS
    @unittest.skipIf(HYPERVISOR != 'patched', 'needs both hypervisors')
    @needs_pvh
    @afresh
    def test_restored_without_the_hypercall(self):
        """It was saved on the patched hypervisor; on Debian's it asks for nothing that is not there,
        and nothing is lost."""
        with tempfile.NamedTemporaryFile(dir=os.path.join(BUILD, 'xen'), prefix='disk-') as disk:
            disk.truncate(512 << 20)
            drive = ['-drive', f'file={disk.name},if=none,id=disk,format=raw',
                     '-device', 'virtio-blk-pci,drive=disk']
            xen = self.boot(extra=drive)
            domain = self.start(xen, nodes=[192])
            full = domain.full
            pattern, before = self.scatter(domain, 16)
            domain.save('/dev/vda')
            xen.sh('sync')
            xen.stop()
            other = self.boot(extra=drive, hypervisor='debian',
                              name=f'xen-{self.id().split(".", 1)[-1]}-debian')
            domain.restore('/dev/vda', other)
            # That Xen ends before the guest is asked otherwise.
            self.domains.remove(domain)
            made, moved = self.compact(domain)
            kinds = {kind: sum(call[0] == kind for call in made) for kind in ('swap', 'move')}
            self.tell(f'{moved} pages moved: {kinds}')
            self.assertEqual(kinds['swap'], 0)
            self.assertGreater(kinds['move'], 0)
            self.assertEqual(sum(domain.pages()), sum(before))
            self.assertEqual(pattern.verify(), 16 << 20)
            domain.mem_set(192)
            self.assertEqual(sum(domain.pages()), full)
            self.assertEqual(pattern.stop(), 16 << 20)
            self.assertEqual(domain.warnings(), [], domain.console_log)

    def lending(self, flavour, kind, sizes):
        """dom0's pages are mapped while targets move; returns how many were lent at most."""
        xen = self.boot(guests=[flavour], files={'grants': os.path.join(BUILD, 'guest-bin', 'grants')})
        domain = self.start(xen, flavour=flavour, type=kind, nodes=sizes)
        full = sum(sizes)
        refs = xen.sh(f'cd /guest; cp grants /bin; chmod +x /bin/grants; '
                      f'grants offer {domain.domid} 64 > refs & '
                      'while [ ! -s /guest/refs ]; do sleep 0.2; done; cat /guest/refs').strip()
        files = '/sys/devices/system/node/node*/balloon/nr_foreign'
        pattern = Pattern(domain, 24)
        # The grant table of some guests is mapped at such pages, too.
        begun = most = sum(map(int, domain.sh(f'cat {files}').split()))
        domain.sh(f'(grants map 0 40 {refs}; echo status $?) > /tmp/grants 2>&1 &')
        for step in range(20):
            xen.sh(f'xl mem-set {domain.domid} {full - step * 7 % 48}', 60)
            lent = sum(map(int, domain.sh(f'cat {files}').split()))
            most = max(most, lent)
        self.wait_for(lambda: 'status' in domain.read('/tmp/grants'), 'the end of the grants')
        said = domain.read('/tmp/grants')
        self.tell(f'{flavour}, {kind}: {said.split()}, {most} lent at most')
        self.assertRegex(said, r'grants \d+\nstatus 0')
        after = domain.mem_set(full)
        self.assertEqual(sum(map(int, domain.sh(f'cat {files}').split())), begun)
        self.assertEqual(sum(after), domain.full)
        self.assertEqual(pattern.stop(), 24 << 20)
        return most - begun

    @OURS
    @needs_pvh
    @afresh
    def test_lent_pages(self):
        self.assertGreater(self.lending('lend', 'pvh', [128, 128]), 0)

    @OURS
    @afresh
    def test_lent_pages_of_a_pv_guest(self):
        self.assertGreater(self.lending('lend', 'pv', [256]), 0)

    @OURS
    @needs_pvh
    @afresh
    def test_no_page_is_lent(self):
        """Where the kernel has page frames of no memory at all, these are used."""
        self.assertEqual(self.lending('release', 'pvh', [128, 128]), 0)

    @OURS
    @afresh
    def test_dom0_makes_room(self):
        """xl takes dom0's memory for a new guest: Debian's to no multiple of 2M, ours to one."""
        xen = self.boot(nodes=(512, 512), dom0_mib=875, flavour=FLAVOUR)
        xen.sh("mkdir -p /var/lock; echo 'autoballoon=\"on\"' > /etc/xen/xl.conf")
        before = sum(xen.node_pages()[0])
        domain = self.start(xen, type='pv', nodes=[161])
        after = sum(xen.node_pages()[0])
        target = int(xen.store_read('/local/domain/0/memory/target'))
        self.tell(f'dom0 had {before} pages, and has {after}; its target is {target} KiB')
        self.assertLess(after, before)
        self.assertEqual(target % 2048 == 0, HYPERVISOR == 'patched')
        self.assertEqual(domain.sh('echo fine').strip(), 'fine')
        domain.stop()
        self.domains.remove(domain)
        xen.sh('xl mem-set 0 875', 120)
        self.wait_for(lambda: sum(xen.node_pages()[0]) == before, 'dom0 to be as large as it was')
