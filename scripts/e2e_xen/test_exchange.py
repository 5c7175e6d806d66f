# SPDX-License-Identifier: GPL-2.0
"""What the patched hypervisor makes of a 2M area, a page of which goes and comes back: read from
the processor's tables. Debian's beside it."""

import os
import re
import time
import unittest

from common import FLAVOUR, HYPERVISOR, XEN, Pattern, Program, XenTest, afresh, needs_pvh
from guest import BUILD

ENOMEM, EFAULT, EBUSY, EINVAL, ENOSYS, EOPNOTSUPP = 12, 14, 16, 22, 38, 95
PREFER, ONLY = 1, 2


@unittest.skipIf(FLAVOUR == 'vanilla', 'what is looked at is the hypervisor')
class Exchange(XenTest):
    OFTEN = 3000

    def begin(self, **options):
        # Two physical nodes of which the guest uses one, and the other has no part in it.
        self.domain = self.start(self.boot(nodes=(768, 768), **options), nodes=[256],
                                 append='xen_privcmd.unrestricted=1')
        # So small a guest begins without.
        self.domain.write('/sys/kernel/mm/transparent_hugepage/enabled', 'madvise')
        said = self.domain.sh('mkfifo /tmp/do; memop area < /tmp/do > /tmp/did 2>&1 & '
                              'exec 3> /tmp/do; (sleep 100000 >&3 &); '
                              'while [ ! -s /tmp/did ]; do sleep 0.1; done; cat /tmp/did')
        # Which block of 2M it is.
        self.block = int(re.match(r'pages (\d+)', said)[1]) // 512
        self.lines = 1
        # The other page's 2M are in pieces from now on, and don't count.
        self.assertEqual((self.do('out b'), self.do('in b')), (1, 1))

    def do(self, what):
        """Returns what the hypervisor answers."""
        self.lines += 1
        said = self.domain.sh(f'echo {what} > /tmp/do; '
                              f'while [ $(wc -l < /tmp/did) -lt {self.lines} ]; do sleep 0.05; done; '
                              'tail -n 1 /tmp/did')
        return int(said.split()[1])

    def whole(self):
        return self.domain.mappings()[0]

    @needs_pvh
    @afresh
    def test_a_page_that_goes_and_comes_back(self):
        self.begin()
        pages, whole = self.domain.pages(), self.whole()
        self.assertEqual(self.do('out a'), 1)
        self.assertEqual(self.whole(), whole - 1)
        # Any frame: it stays in pieces, on either hypervisor.
        self.assertEqual(self.do('in a'), 1)
        self.assertEqual(self.whole(), whole - 1)
        self.assertEqual(self.do('out a'), 1)
        self.assertEqual(self.do('move b a'), 0)
        self.assertEqual(self.whole(), whole - 1)
        self.assertEqual(self.do('move a b'), 0)
        done = self.do(f'swap a b {PREFER}')
        after = self.whole()
        self.tell(f'{HYPERVISOR}: exchange_gfns says {done}; blocks mapped in 2M: {whole} at first, '
                  f'{whole - 1} without the page, then {after}')
        if HYPERVISOR != 'patched':
            self.assertEqual(done, -ENOSYS)
            return
        self.assertEqual((done, after), (1, whole))
        self.assertEqual(self.do('verify'), 0)
        self.assertEqual(sum(self.domain.pages()), sum(pages) - 1)
        self.assertEqual(self.do('in b'), 1)
        self.assertEqual(self.domain.pages(), pages)

    @unittest.skipIf(HYPERVISOR != 'patched', 'needs the patched hypervisor')
    @needs_pvh
    @afresh
    def test_what_is_refused(self):
        self.begin()
        pages, whole = self.domain.pages(), self.whole()
        # Not empty; not there.
        self.assertEqual(self.do(f'swap a b {PREFER}'), -EINVAL)
        self.assertEqual(self.do('out a'), 1)
        self.assertEqual(self.do('out b'), 1)
        self.assertEqual(self.do(f'swap a b {PREFER}'), -EINVAL)
        self.assertEqual(self.do('in b'), 1)
        self.assertEqual(self.do('swap a b 4'), -EINVAL)
        self.assertEqual(self.domain.pages(), [pages[0] - 1, pages[1]])
        # The guest may have no more, and not even what it has.
        self.domain.xen.sh(f'max_mem {self.domain.domid} {200 * 1024}')
        self.assertLessEqual(self.do('in a'), 0)
        # The other page got the frame that was freed last: that which is missing here.
        self.assertEqual(self.do(f'swap a b {ONLY}'), -ENOMEM)
        self.assertEqual(self.do(f'swap a b {PREFER}'), 1)
        self.assertEqual(self.whole(), whole - 1)
        self.assertEqual(self.do('verify'), 0)
        self.assertEqual(sum(self.domain.pages()), sum(pages) - 1)
        self.domain.xen.sh(f'max_mem {self.domain.domid} {260 * 1024}')
        self.assertEqual(self.do('in b'), 1)
        self.assertEqual(sum(self.domain.pages()), sum(pages))

    @unittest.skipIf(HYPERVISOR != 'patched', 'needs the patched hypervisor')
    @needs_pvh
    @afresh
    def test_a_page_that_somebody_maps(self):
        """Else a guest would grow without bound, by what it has others keep for it."""
        self.begin(files={'grants': os.path.join(BUILD, 'guest-bin', 'grants')})
        ref, xen = self.do('grant 0'), self.domain.xen
        self.assertGreaterEqual(ref, 0)
        # It is another page now, and its 2M are in pieces first, too.
        self.assertEqual((self.do('out b'), self.do('in b')), (1, 1))
        xen.sh(f'cp /guest/grants /bin; chmod +x /bin/grants; '
               f'(exec grants hold {self.domain.domid} {ref}) > /tmp/held 2>&1 & '
               'while [ ! -s /tmp/held ]; do sleep 0.1; done')
        self.assertRegex(xen.sh('cat /tmp/held'), r'^held \d')
        # Only now: the hypervisor itself may need a frame for whom it lets map.
        self.assertEqual(self.do('out a'), 1)
        pages, whole = self.domain.pages(), self.whole()
        for flags in 0, PREFER, ONLY:
            self.assertEqual(self.do(f'swap a b {flags}'), -EBUSY, flags)
        self.assertEqual((self.domain.pages(), self.whole()), (pages, whole))
        self.assertEqual(self.do('verify'), 0)
        xen.sh('killall grants; while pidof grants; do sleep 0.1; done')
        self.assertEqual(self.do(f'swap a b {PREFER}'), 1)
        self.assertEqual(self.whole(), whole + 1)
        self.assertEqual(self.do('in b'), 1)


    @unittest.skipIf(HYPERVISOR != 'patched', 'needs the patched hypervisor')
    @needs_pvh
    @afresh
    def test_more_often_than_there_are_tables(self):
        """Each time a table is made of the 2M, and goes: Xen keeps 3 MiB for tables of this guest."""
        self.begin()
        pages, blocks = self.domain.pages(), self.domain.blocks()
        self.assertNotIn(self.block, blocks[1])
        done = self.do(f'churn {self.OFTEN}')
        self.tell(f'{done} times in pieces, and whole again')
        self.assertEqual(done, self.OFTEN)
        self.assertEqual(self.domain.blocks(), blocks)
        self.assertEqual(sum(self.domain.pages()), sum(pages))
        self.assertEqual(self.do('verify'), 0)

    @unittest.skipIf(HYPERVISOR != 'patched', 'needs the patched hypervisor')
    @needs_pvh
    @afresh
    def test_while_it_is_migrated(self):
        """Xen looks page by page at what is written to, then."""
        self.begin()
        domain = self.domain
        pattern = Pattern(domain, 64)
        pages, seen = sum(domain.pages()), []

        def meanwhile():
            self.assertEqual(self.do('out a'), 1)
            seen.append(self.do(f'swap a b {PREFER}'))
            seen.append(domain.blocks())
            self.assertEqual(self.do('in b'), 1)
            self.assertEqual(pattern.verify(), 64 << 20)

        domain.migrate(meanwhile)
        done, (whole, parts) = seen
        self.tell(f'exchange_gfns says {done}; blocks mapped in 2M {whole}, in 4K {len(parts)}; on the '
                  f'other side {self.domain.mappings()}')
        self.assertEqual(done, 1)
        # All its pages are there, one by one.
        self.assertEqual(parts.get(self.block), 512)
        self.assertEqual(self.do('verify'), 0)
        self.assertEqual(sum(domain.pages()), pages)
        self.assertEqual(pattern.stop(), 64 << 20)

    @needs_pvh
    @afresh
    def test_what_is_written_to_a_page_that_comes_while_it_is_migrated(self):
        """The page has been sent before, and goes, and comes back: Xen has to say that it is to be
        sent again. Debian's 4.17 does not: what is written to it is lost."""
        self.begin()
        self.assertLess(self.do('low'), 192 * 256)
        self.assertEqual(self.do('write 1'), 0)

        def meanwhile():
            self.assertEqual((self.do('out b'), self.do('in b')), (1, 1))
            self.assertEqual(self.do('write 2'), 0)

        self.domain.migrate(meanwhile, after=208)
        found = self.do('read')
        self.tell(f'{HYPERVISOR}: 1 was there, 2 was written meanwhile, {found} is on the other side')
        self.assertEqual(found, 2 if HYPERVISOR == 'patched' else 1)


@unittest.skipIf(FLAVOUR == 'vanilla', 'what is looked at is the hypervisor')
class Narrow(XenTest):
    """From 32 bits, where Xen translates the arguments: some 500 pairs at a time."""

    # What scripts/xen/exchange32.c does, and what Xen is to say to it.
    STEPS = [('out', 1), ('one', 1), ('wrong', 0), ('pages', -1),
             ('out', 1), ('in', 1),
             ('out', 1200), ('many', 1200), ('wrong', 0),
             ('stopped', 700), ('wrong', 0), ('rest', 500),
             ('not empty', -EINVAL), ('not there', -EINVAL), ('none', -EINVAL),
             ('flags', -EINVAL), ('mem_flags', -EINVAL), ('order', -EOPNOTSUPP),
             ('array', -EFAULT), ('end', 520), ('back', 520),
             ('in', 1), ('in', 1200), ('wrong', 0), ('more pages', 0), ('ended', 0)]

    @needs_pvh
    @afresh
    def test_a_guest_of_32_bits(self):
        xen = self.boot(guests=[], files={'exchange32': os.path.join(XEN, 'exchange32')})
        guest = self.enterContext(Program(xen, 'exchange32'))
        said = guest.await_word('exchange32: ended')
        steps = [(step, int(result)) for step, result in
                 re.findall(r'^exchange32: (.+) (-?\d+)$', said, re.M)]
        (_, feature), (_, pages), *steps = steps
        steps = [(step, result - pages if step == 'pages' else result) for step, result in steps]
        self.tell(f'{HYPERVISOR}: exchange_gfns says {dict(steps)["one"]}')
        if HYPERVISOR != 'patched':
            self.assertEqual(feature, 0)
            self.assertEqual(steps, [('out', 1), ('one', -ENOSYS), ('in', 1), ('wrong', 0),
                                     ('more pages', 0), ('ended', 0)])
            return
        self.assertEqual(feature, 1)
        self.assertEqual(steps, self.STEPS)
        self.assertEqual(sum(guest.pages()), pages)
        # The one is whole again; the other, all of whose pages are there, too, is not.
        _, parts = guest.blocks()
        self.assertNotIn(8, parts)
        self.assertEqual(parts[9], 512)


@unittest.skipIf(HYPERVISOR != 'patched', 'needs the patched hypervisor')
@unittest.skipIf(FLAVOUR == 'vanilla', 'what is looked at is the hypervisor')
class Random(XenTest):
    SWAPS = 100_000

    @needs_pvh
    @afresh
    def test_many_at_once(self):
        """On four CPUs, beside what gives and takes single pages."""
        domain = self.start(self.boot(nodes=(768, 768)), nodes=[256], cpus=[[0, 1, 2, 3]],
                            append='xen_privcmd.unrestricted=1')
        domain.write('/sys/kernel/mm/transparent_hugepage/enabled', 'madvise')
        before, most = sum(domain.pages()), 0
        domain.sh(f'(memop random {self.SWAPS} 4; echo ended $?) > /tmp/did 2>&1 &')
        deadline = time.monotonic() + 900
        while 'ended' not in domain.read('/tmp/did'):
            most = max(most, sum(domain.pages()))
            self.assertLess(time.monotonic(), deadline)
        said = domain.read('/tmp/did')
        self.tell(f'{before} pages, {most} at most meanwhile: {said!r}')
        # For the length of a swap each CPU has one more.
        self.assertLessEqual(most, before + 4)
        self.assertRegex(said, rf'^random {self.SWAPS // 10}\d+ \d+ 0\nended 0')
        self.assertEqual(sum(domain.pages()), before)
