# SPDX-License-Identifier: GPL-2.0
"""What the balloon costs the guest's other work, its neighbours, and Xen. Time is what was executed
here, an instruction a nanosecond: the same on a busy machine."""

import os
import re
import tempfile
import time

from common import FLAVOUR, HYPERVISOR, Pattern, Xen, XenTest, afresh, needs_pvh
from xen import HYPERVISORS, XEN
from test_balloon import OURS, SUPERFRAME, TRACING, Hypercalls, stat

MS = 1_000_000
CALLED = re.compile(r'^Trace .*/([0-9a-f]{16})/', re.M)


# Those that tests count.
FLUSH, ON_DEMAND, POD_DECREASE = FUNCTIONS = (
    'guest_flush_tlb_mask', 'p2m_pod_demand_populate', 'p2m_pod_decrease_reservation')


def addresses():
    """Of FUNCTIONS in the hypervisor, as it tells dom0; kept for the next test."""
    kept = os.path.join(XEN, f'symbols-{HYPERVISOR}')
    if not os.path.exists(kept) or os.path.getmtime(kept) < os.path.getmtime(HYPERVISORS[HYPERVISOR]):
        with Xen(guests=[], name='xen-symbols') as xen:
            text = xen.sh(f"grep -E ' ({'|'.join(FUNCTIONS)})$' /proc/xen/xensyms")
        with open(kept, 'w') as file:
            file.write(text)
    with open(kept) as file:
        return {name: int(at, 16) for at, _, name in map(str.split, file)}


class Calls:
    """Which of some functions of Xen's are called meanwhile, one after the other."""

    def __init__(self, *functions):
        at = addresses()
        self.names = {at[name]: name for name in functions}
        self.log = tempfile.NamedTemporaryFile(dir=XEN, prefix='calls-')
        # A block of instructions begins there; QEMU tells of none but those.
        self.options = ['-D', self.log.name, '-dfilter',
                        ','.join(f'{address:#x}+1' for address in self.names)]

    def begin(self, xen):
        xen.qmp('human-monitor-command', command_line='log exec')

    def end(self, xen):
        xen.qmp('human-monitor-command', command_line='log none')
        with open(self.log.name) as file:
            called = [self.names[int(at, 16)] for line in file for at in CALLED.findall(line)]
        self.log.close()
        return called


class Cost(XenTest):
    def lag(self, domain, until, begin=lambda: None):
        """How long a task waited, at most, for a CPU that is to be another's for no moment, in ns;
        how often that was 10 ms; and of how many times."""
        domain.sh('lag 0 > /tmp/lag & sleep 0.1')
        begin()
        domain.sh(until, 600)
        said = domain.sh('killall lag; while pidof lag > /dev/null; do sleep 0.1; done; cat /tmp/lag')
        return [int(n) for n in re.match(r'lag (\d+) (\d+) (\d+)', said).groups()]

    @needs_pvh
    @afresh
    def test_a_gib(self):
        """Scrubbed, in 2M: nobody waits long for a CPU, and Xen flushes TLBs for each piece that it
        unmaps."""
        flushes = Calls(FLUSH)
        xen = self.boot(nodes=(1280, 1280), accel='icount', extra=flushes.options)
        domain = self.start(xen, nodes=[1280], cpus=[[0]])
        idle = self.lag(domain, 'sleep 3')
        calls = Hypercalls(domain) if FLAVOUR != 'vanilla' else None
        flushes.begin(xen)
        # Xen is not to be asked meanwhile: it holds a lock while it counts a guest's pages.
        size = '/sys/devices/system/xen_memory/xen_memory0/info/current_kb'
        less = int(domain.read(size)) - (1 << 20)
        lag = self.lag(domain, f'while [ $(cat {size}) -gt {less} ]; do sleep 0.2; done',
                       lambda: domain.set_target(256))
        domain.wait_target(256)
        flushed = len(flushes.end(xen))
        made = calls.end() if calls else []
        self.tell(f'{HYPERVISOR}: 1 GiB down: a task waited {lag[0] / MS:.2f} ms at most, {lag[1]} of '
                  f'{lag[2]} times more than 10 ms (idle {idle[0] / MS:.2f} ms); {len(made)} '
                  f'hypercalls, {flushed} TLB flushes for 512 superframes')
        if FLAVOUR == 'vanilla':
            return
        self.assertLess(lag[0], 10 * MS)
        self.assertEqual(sum(nr << order for _, order, nr, _ in made), 1 << 18)
        for op, order, nr, done in made:
            # All of it in 2M: so it is in Xen's tables.
            self.assertEqual((op, order, done), ('decrease', 9, nr))
        if HYPERVISOR == 'patched':
            self.assertLess(flushed, 512 + 256)
            # In 2 ms it takes more than one.
            self.assertLess(len(made), 400)
        else:
            self.assertGreaterEqual(flushed, 512 * SUPERFRAME)
        calls = Hypercalls(domain)
        domain.mem_set(1280)
        made = calls.end()
        self.tell(f'1 GiB up: {len(made)} hypercalls')
        self.assertEqual(sum(nr << order for _, order, nr, _ in made), 1 << 18)
        for op, order, nr, done in made:
            self.assertEqual((op, order, done), ('populate', 9, nr))
        self.assertLessEqual(len(made), 512 // 100)

    @OURS
    @needs_pvh
    @afresh
    def test_populated_on_demand(self):
        """A guest that has 256 of its 2048 MiB writes to no superframe before it gives it: Xen would
        have to find memory for it first."""
        calls = Calls(ON_DEMAND, POD_DECREASE)
        xen = self.boot(nodes=(512, 512), extra=calls.options)
        calls.begin(xen)
        domain = self.start(xen, nodes=[2048], cpus=[[0]], start_mib=256)
        held = '/sys/devices/system/node/node0/balloon/nr_pages'
        deadline = time.monotonic() + 300
        while (pages := int(domain.read(held))) < (2048 - 256 - 2) * 256:
            self.assertLess(time.monotonic(), deadline, f'{pages} pages in the balloon')
            time.sleep(1)
        called = calls.end(xen)
        gave = [i for i, name in enumerate(called) if name == POD_DECREASE]
        found = len(called) - len(gave)
        meanwhile = gave[-1] - gave[0] + 1 - len(gave)
        self.tell(f'{pages} pages in the balloon: given by {len(gave)} extents; memory was found on '
                  f'demand {found} times, {meanwhile} of them between the first and the last')
        self.assertGreaterEqual(len(gave), (2048 - 256) // 2 - 1)
        # The guest boots meanwhile; if it wrote to what it gives there would be 900.
        self.assertLess(meanwhile, 200)
        self.assertEqual(Pattern(domain, 128).stop(), 128 << 20)

    @needs_pvh
    @afresh
    def test_a_host_that_refuses(self):
        """Four threads are short of memory, the target allows it, and the host does not give it: who
        allocates asks once, and all of them seldom. A guest is created meanwhile."""
        xen = self.boot(nodes=(512, 512), accel='icount')
        domain = self.start(xen, nodes=[256], cpus=[[0]])
        pages = sum(domain.mem_set(128))
        xen.sh(f'max_mem {domain.domid} {4 * pages}')
        # xl would allow it more first.
        xen.store_write(domain.store('memory/target'), 256 * 1024)
        calls = Hypercalls(domain) if FLAVOUR != 'vanilla' else None
        # The low watermark is above what is free then, however many threads have their part at a time,
        # and the end far below: all are short, and nobody is killed.
        domain.write('/proc/sys/vm/watermark_scale_factor', '3000')
        spare = int(re.search(r'MemFree: +(\d+)', domain.read('/proc/meminfo'))[1]) // 1024
        domain.sh(f'hoard {spare - 24} locked > /tmp/hoard & '
                  'while ! grep hoard /tmp/hoard; do sleep 0.2; done')
        if calls:
            failed = stat(domain, 'refill_fail')
            calls.begin()
        domain.sh('faults 22 --threads 4 --all > /tmp/faults 2>&1 & sleep 1')
        began = float(xen.read('/proc/uptime').split()[0])
        other = self.start(xen, type='pv', nodes=[96])
        took = float(xen.read('/proc/uptime').split()[0]) - began
        self.tell(f'the other guest was there after {took:.2f} s')
        self.assertEqual(other.sh('echo fine').strip(), 'fine')
        self.assertEqual(sum(domain.pages()), pages)
        if not calls:
            return
        calls.end()
        failed = stat(domain, 'refill_fail') - failed
        # Who allocates asks itself, the worker again after pauses of its own.
        made = re.findall(r'^ *(\S+)-\d+ +\[\d+\] +\S+ +([\d.]+): memory_op: op=populate',
                          domain.read(f'{TRACING}/trace'), re.M)
        times = [float(at) for _, at in made]
        asked = [who for who, _ in made if not who.startswith('kworker/')]
        gaps = ', '.join(f'{b - a:.2f}' for a, b in zip(times, times[1:]))
        self.tell(f'{len(made)} hypercalls, {len(asked)} of them for {failed} allocations; {gaps} s apart')
        self.assertGreater(len(asked), 2)
        self.assertLessEqual(len(asked), failed)
        seconds = times[-1] - times[0]
        self.assertGreater(seconds, 1)
        self.assertLessEqual(len(made) / seconds, 20)
        domain.sh('killall faults')
