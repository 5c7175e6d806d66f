#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""How fast a host gets memory from a guest and gives it back, by this means and that, side by side.

The means are the unpatched and the patched balloon, free page reporting of the unpatched kernel and
virtio-mem, where QEMU has it. Each moves half of a guest's memory on four nodes: memory that the
host has not populated; back again; back until a program has touched it; and memory that the host
has populated. These are the cases of HyperAlloc (Wrenger et al., EuroSys '25). What takes but a
moment is repeated, and a boot's median is taken. With reporting, a program gives up as much, and
the host gets what of it the guest reports: nearly all, and the time is that of as much as was
reported. Beside the time, what QEMU used of CPUs is measured, and once, without looking at the
clock, how often guest and host called each other and how many ranges QEMU discarded. The floor is
what the host itself needs to discard as much in 2M steps. Figures and a chart go to
build/bench/reclaim.json and reclaim.svg.
"""

import argparse
import ctypes
import mmap
import os
import statistics
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

from shared import (GIB, HUGE, KERNELS, MIB, QEMU, Guest, accelerator, count, cpu_seconds, draw,
                    meminfo, populate, resize_pool, said, save, some_of, spread)

NODES = 4
AGAIN = 1           # s for which a case is repeated, with what lies between
TIMES = 2           # at least: the first one is to count the same where it takes long and where not
REPORTED = 5        # s without a report, and there will be none: the kernel waits 2 s
PUNCH_HOLE_KEEP_SIZE = 3
BACKINGS = {'anon': 'THP', 'memfd': '4K', 'hugetlbfs': 'hugetlbfs'}
CASES = ('reclaim untouched', 'reclaim touched', 'return', 'return and touch')
# What QEMU can tell of each call: those of the guest, those of the host, and what it discards.
CALLS = {'kicks': 'virtio_queue_notify', 'interrupts': 'virtio_notify',
         'discards': 'ram_block_discard_range'}


def held(guest):
    """Bytes of the host that the guest holds."""
    if guest.backends[0] == 'hugetlbfs':
        return -meminfo('HugePages_Free') * HUGE
    with open(f'/proc/{guest.process.pid}/smaps_rollup') as rollup:
        return next(int(line.split()[1]) * 1024 for line in rollup if line.startswith('Rss:'))


def await_that(guest, condition, timeout=300):
    """Seconds until CONDITION."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > timeout:
            raise SystemExit(f'{guest.name}: not within {timeout} s')
        time.sleep(0.001)
    return time.monotonic() - began


def touch(guest, size):
    """Seconds that a program needs to use as much."""
    began = time.monotonic()
    guest.sh(f'locality {size // MIB} --threads 2', 300)
    return time.monotonic() - began


class Figures:
    """Of one boot: seconds of each case, CPU seconds a GiB, and more."""

    def __init__(self, guest, size):
        self.guest, self.size, self.all = guest, size, {}

    def add(self, name, figure):
        self.all.setdefault(name, []).append(figure)

    def take(self, case, way):
        """Does what WAY does, which says how long it took."""
        cpu = cpu_seconds(self.guest)
        self.add(case, way())
        self.add(f'{case}, CPU', (cpu_seconds(self.guest) - cpu) * GIB / self.size)

    def medians(self):
        # CPU time is told in ticks, which may be more than what one time takes.
        return {name: (statistics.mean if 'CPU' in name else statistics.median)(figures)
                for name, figures in self.all.items()}


class Balloon:
    def __init__(self, **options):
        self.options = options

    def boot(self, backing, size, name):
        return Guest(nodes=[2 * size // NODES // MIB] * NODES, backend=backing, prealloc=False,
                     name=name, **self.options)

    def begin(self, guest, size):
        # Let what the boot left behind come to rest.
        time.sleep(2)

    def reclaim(self, guest, size):
        return guest.settle(size, poll=0.001, timeout=300)

    def give(self, guest, size):
        return guest.settle(0, poll=0.001, timeout=300)

    def measure(self, guest, size):
        figures = Figures(guest, size)
        began, times = time.monotonic(), 0
        while times < TIMES or time.monotonic() - began < AGAIN:
            figures.take('reclaim untouched', lambda: self.reclaim(guest, size))
            figures.take('return', lambda: self.give(guest, size))
            times += 1
        figures.add('touch', touch(guest, size))
        began, times = time.monotonic(), 0
        while not times or time.monotonic() - began < AGAIN:
            populate(guest)
            before = held(guest)
            figures.take('reclaim touched', lambda: self.reclaim(guest, size))
            figures.add('returned', before - held(guest))
            self.give(guest, size)
            times += 1
        medians = figures.medians()
        return {**medians, 'return and touch': medians['return'] + medians['touch']}

    def calls(self, guest, size):
        """Calls a GiB of touched memory, there and back."""
        populate(guest)
        counts = {}
        for event in CALLS.values():
            guest.qmp('trace-event-set-state', name=event, enable=True)
        for case, way in ('reclaim', self.reclaim), ('return', self.give):
            with open(guest.qemu_log) as log:
                log.seek(0, os.SEEK_END)
                way(guest, size)
                lines = log.read().splitlines()
            for what, event in CALLS.items():
                counts[f'{case}, {what}'] = sum(event in line for line in lines) * GIB / size
        return counts


class Reporting(Balloon):
    """A program gives its memory up; the guest reports that it is free."""

    def begin(self, guest, size):
        last = None
        while last != (last := held(guest)):
            time.sleep(3)

    def reclaim(self, guest, size):
        guest.sh(f'locality {size // MIB} --threads 2 --hold > /tmp/held & while '
                 '! grep -q . /tmp/held; do kill -0 $! || exit 1; sleep 0.1; done', 300)
        before, began = held(guest), time.monotonic()
        cpu, ended, least = cpu_seconds(guest), began, before
        guest.sh('killall locality')
        while time.monotonic() - ended < REPORTED:
            time.sleep(0.01)
            if (now := held(guest)) < least:
                least, ended = now, time.monotonic()
                self.cpu = cpu_seconds(guest) - cpu
        if before - least < size // 2:
            raise SystemExit(f'{guest.name}: only {(before - least) // MIB} MiB were reported')
        self.cpu *= size / (before - least)
        return (ended - began) * size / (before - least)

    def give(self, guest, size):
        return 0

    # What the host has not populated is not there to be reported, and nothing needs to be returned.
    def measure(self, guest, size):
        figures = {'reclaim touched': self.reclaim(guest, size),
                   'reclaim touched, CPU': self.cpu * GIB / size,
                   'return': 0, 'return and touch': touch(guest, size)}
        self.begin(guest, size)
        return figures


class VirtioMem(Balloon):
    """Half of each node is a device's."""

    def boot(self, backing, size, name):
        kind = {'anon': 'memory-backend-ram', 'memfd': 'memory-backend-memfd,share=on',
                'hugetlbfs': 'memory-backend-memfd,share=on,hugetlb=on,hugetlbsize=2M'}[backing]
        half = size // NODES // MIB
        extra = ['-m', f'{half * NODES}M,maxmem={8 * half * NODES}M']
        for node in range(NODES):
            extra += ['-object', f'{kind},id=pool{node},size={half}M,prealloc=off', '-device',
                      f'virtio-mem-pci,id=vm{node},memdev=pool{node},node={node},'
                      f'requested-size={half}M']
        return Guest(nodes=[half] * NODES, backend=backing, prealloc=False, name=name,
                     balloon=None, append='memhp_default_state=online_movable', extra=extra,
                     **self.options)

    def sizes(self, guest):
        return sum(guest.qmp('qom-get', path=f'vm{node}', property='size')
                   for node in range(NODES))

    def resize(self, guest, size):
        for node in range(NODES):
            guest.qmp('qom-set', path=f'vm{node}', property='requested-size',
                      value=size // NODES)
        return await_that(guest, lambda: self.sizes(guest) == size)

    def begin(self, guest, size):
        await_that(guest, lambda: self.sizes(guest) == size)
        time.sleep(2)

    def reclaim(self, guest, size):
        return self.resize(guest, 0)

    def give(self, guest, size):
        return self.resize(guest, size)


MEANS = {
    'unpatched': Balloon(**KERNELS['vanilla']),
    'patched': Balloon(**KERNELS['patched']),
    'reporting': Reporting(flavour='vanilla', balloon={'free-page-reporting': True}),
    'virtio-mem': VirtioMem(flavour='vanilla'),
}


def round_of(names, backing, size, with_calls):
    """A boot of each means. They boot together, and run one by one."""
    guests = {name: MEANS[name].boot(backing, size, f'reclaim-{name}-{backing}') for name in names}

    def boot(name):
        guests[name].start()
        MEANS[name].begin(guests[name], size)
        guests[name].qmp('stop')

    results = {}
    # For all of them at once: each would look for what is missing while others boot.
    pool = len(names) * 2 * size // HUGE if backing == 'hugetlbfs' else 0
    resize_pool(pool)
    # A guest ends with the thread that has booted it.
    with ThreadPoolExecutor(2) as jobs:
        try:
            list(jobs.map(boot, names))
            for name, guest in guests.items():
                guest.qmp('cont')
                results[name] = MEANS[name].measure(guest, size)
                if with_calls:
                    results[name].update(MEANS[name].calls(guest, size))
                guest.stop()
        finally:
            for guest in guests.values():
                guest.stop()
            resize_pool(-pool)
    return results


def floor(backing, size):
    """Seconds that the host needs to discard as much memory, in 2M steps."""
    if backing == 'anon':
        # Where the kernel maps huge pages: aligned by hand.
        memory = mmap.mmap(-1, size + HUGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        memory.madvise(mmap.MADV_HUGEPAGE)
        start = -ctypes.addressof(ctypes.c_char.from_buffer(memory)) % HUGE
        for at in range(start, start + size, mmap.PAGESIZE):
            memory[at] = 1
        began = time.monotonic()
        for at in range(start, start + size, HUGE):
            memory.madvise(mmap.MADV_DONTNEED, at, HUGE)
        return time.monotonic() - began
    fd = os.memfd_create('floor')
    os.ftruncate(fd, size)
    # Mapped, as a guest's memory is: unmapping is part of discarding.
    memory = mmap.mmap(fd, size, mmap.MAP_SHARED)
    for at in range(0, size, mmap.PAGESIZE):
        memory[at] = 1
    libc = ctypes.CDLL(None, use_errno=True)
    fallocate = libc.fallocate64
    fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
    began = time.monotonic()
    for at in range(0, size, HUGE):
        fallocate(fd, PUNCH_HOLE_KEEP_SIZE, at, HUGE)
    took = time.monotonic() - began
    os.close(fd)
    return took


def offered():
    """The means that this QEMU has."""
    devices = subprocess.run([QEMU, '-device', 'help'], capture_output=True, text=True,
                             check=True).stdout
    return [name for name in MEANS if name != 'virtio-mem' or '"virtio-mem-pci"' in devices]


def chart(report):
    """Bars: GiB/s of each means, by case; one picture a backing."""
    names = report['means']
    script = [f'set multiplot layout {len(report["backings"])},1',
              'set style data histograms', 'set style fill solid 0.8', 'set logscale y',
              'set ylabel "GiB/s"', 'set grid y', 'set key outside top center horizontal',
              'set yrange [0.01:]']
    for backing, result in report['backings'].items():
        rows = []
        for case in CASES:
            speeds = [f'{report["bytes"] / GIB / result[name][case]["median"]:.4f}'
                      if result[name].get(case, {}).get('median') else '-' for name in names]
            rows.append(f'"{case}" ' + ' '.join(speeds))
        script.append(f'${backing} << EOD\n' + '\n'.join(rows) + '\nEOD')
        script.append(f'set title "{BACKINGS[backing]} memory of the host"')
        script.append('plot ' + ', '.join(
            f'${backing} using {i + 2}:xtic(1) title "{name}"' for i, name in enumerate(names)))
    draw('reclaim', '\n'.join(script), 340 * len(report['backings']))


def tell(backing, report):
    """What was found with a backing, in lines."""
    names, result, size = report['means'], report['backings'][backing], report['bytes']
    for case in CASES:
        print(f'{backing:9} {case:18}' + ', '.join(
            f'{name} {said(result[name][case], "{:.3f}".format)} s'
            for name in names if case in result[name]) +
            f'; times faster: {said(result["ratios"][case], "{:.1f}".format)}')
    print(f'{backing:9} CPU seconds a GiB: ' + ', '.join(
        f'{name} {result[name]["reclaim touched, CPU"]["median"]:.2f}' for name in names) +
        '; calls a GiB: ' + ', '.join(
            f'{name} ' + '+'.join(f'{result[name][f"reclaim, {what}"]["median"]:.0f}'
                                  for what in CALLS) for name in names))
    print(f'{backing:9} ' + (f'floor: {result["floor"]["median"]:.4f} s; '
                             if result['floor'] else '') + 'the host got ' + ', '.join(
        f'{name} {result[name]["returned"]["median"] / MIB:.0f} of {size // MIB} MiB'
        for name in names if 'returned' in result[name]), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--runs', type=count, default=5, help='boots of each (default 5)')
    parser.add_argument('--size', type=count, default=2048,
                        help='MiB that move, of a guest of twice as much (default 2048)')
    parser.add_argument('--means', type=some_of(MEANS), default=list(MEANS),
                        help=f'the first two, and which others (default {",".join(MEANS)})')
    parser.add_argument('--backings', type=some_of(BACKINGS), default=list(BACKINGS),
                        help=f'of the guest\'s memory (default {",".join(BACKINGS)})')
    options = parser.parse_args()
    size = options.size * MIB
    there = offered()
    names = [name for name in there if name in ('unpatched', 'patched', *options.means)]
    for name in options.means:
        if name not in there:
            print(f'this QEMU has no {name}')
    if size % (NODES * 128 * MIB):
        parser.error(f'--size {options.size}: a multiple of {NODES * 128}, blocks of virtio-mem')
    report = {'bytes': size, 'runs': options.runs, 'accelerator': accelerator(), 'means': names,
              'backings': {}}
    print(f'{size // MIB} MiB of {2 * size // MIB}, {options.runs} runs, {report["accelerator"]}')

    for backing in options.backings:
        # Who comes second may find memory that is new to the host's own host used already.
        runs = [round_of(names[:2][::(-1) ** number] + names[2:], backing, size, number == 0)
                for number in range(options.runs)]
        result = {name: {key: spread(run[name][key] for run in runs if key in run[name])
                         for key in runs[0][name]} for name in names}
        result['floor'] = spread([floor(backing, size) for _ in range(3)]) \
            if backing != 'hugetlbfs' else None
        result['ratios'] = {case: spread(run['unpatched'][case] / run['patched'][case]
                                         for run in runs) for case in CASES}
        report['backings'][backing] = result
        tell(backing, report)
    report['ratios'] = {f'{backing}, {case}': ratio for backing in options.backings
                        for case, ratio in report['backings'][backing]['ratios'].items()}
    save('reclaim', report)
    chart(report)


if __name__ == '__main__':
    main()
