#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""How fast a host gets memory from a guest and gives it back, by this means and that, side by side.

The means are the unpatched and the patched balloon, free page reporting of the unpatched kernel and
virtio-mem, where QEMU has it. Each moves 2 GiB of a guest of 4 GiB on four nodes: memory that the
host has populated, and memory that it has not; back again; and back until a program has touched it.
These are the cases of HyperAlloc (Wrenger et al., EuroSys '25). With reporting, the host has what a
program gives up as soon as the guest has told it. The floor is what the host itself needs to
discard as much in 2M steps. Figures and a chart go to build/bench/reclaim.json and reclaim.svg.
"""

import argparse
import ctypes
import mmap
import os
import subprocess
import time

from common import (GIB, HUGE, KERNELS, MIB, QEMU, Guest, accelerator, count, draw, meminfo,
                    resize_pool, said, save, some_of, spread)

NODES = 4
SIZE = 2048 * MIB
NODE = 1024         # MiB
PUNCH_HOLE_KEEP_SIZE = 3
BACKINGS = {'anon': 'THP', 'memfd': '4K', 'hugetlbfs': 'hugetlbfs'}
CASES = ('reclaim untouched', 'reclaim touched', 'return', 'return and touch')


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
        time.sleep(0.002)
    return time.monotonic() - began


def touch(guest):
    """Seconds that a program needs to use what was given back."""
    began = time.monotonic()
    guest.sh(f'locality {SIZE // MIB} --threads 2', 300)
    return time.monotonic() - began


class Balloon:
    untouched = True

    def __init__(self, **options):
        self.options = options

    def boot(self, backing, prealloc, name):
        return Guest(nodes=[NODE] * NODES, backend=backing, prealloc=prealloc, name=name,
                     **self.options)

    def begin(self, guest):
        # Let what the boot left behind come to rest.
        time.sleep(2)

    def reclaim(self, guest):
        return guest.settle(SIZE, poll=0.002, timeout=300)

    def give(self, guest):
        return guest.settle(0, poll=0.002, timeout=300)


class Reporting(Balloon):
    """A program gives its memory up; the guest reports that it is free."""

    # What the host has not populated is not there to be reported.
    untouched = False

    def begin(self, guest):
        last = None
        while last != (last := held(guest)):
            time.sleep(3)

    def reclaim(self, guest):
        guest.sh(f'locality {SIZE // MIB} --threads 2 --hold > /tmp/held & while '
                 '! grep -q . /tmp/held; do kill -0 $! || exit 1; sleep 0.1; done', 300)
        before = held(guest)
        began = time.monotonic()
        guest.sh('killall locality')
        await_that(guest, lambda: before - held(guest) >= SIZE * 95 // 100)
        return time.monotonic() - began

    def give(self, guest):
        return 0


class VirtioMem(Balloon):
    """Half of each node is a device's."""

    def boot(self, backing, prealloc, name):
        kind = {'anon': 'memory-backend-ram', 'memfd': 'memory-backend-memfd,share=on',
                'hugetlbfs': 'memory-backend-memfd,share=on,hugetlb=on,hugetlbsize=2M'}[backing]
        half = NODE // 2
        extra = ['-m', f'{half * NODES}M,maxmem={4 * NODE * NODES}M']
        for node in range(NODES):
            extra += ['-object', f'{kind},id=pool{node},size={half}M,'
                      f'prealloc={"on" if prealloc else "off"}', '-device',
                      f'virtio-mem-pci,id=vm{node},memdev=pool{node},node={node},'
                      f'requested-size={half}M']
        return Guest(nodes=[half] * NODES, backend=backing, prealloc=prealloc, name=name,
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

    def begin(self, guest):
        await_that(guest, lambda: self.sizes(guest) == SIZE)
        # Plugging makes holes of what was populated. Movable memory is used first.
        if guest.prealloc:
            touch(guest)
        time.sleep(2)

    def reclaim(self, guest):
        return self.resize(guest, 0)

    def give(self, guest):
        return self.resize(guest, SIZE)


MEANS = {
    'unpatched': Balloon(**KERNELS['vanilla']),
    'patched': Balloon(**KERNELS['patched']),
    'reporting': Reporting(flavour='vanilla', balloon={'free-page-reporting': True}),
    'virtio-mem': VirtioMem(flavour='vanilla'),
}


def measure(name, backing):
    means, result = MEANS[name], {}
    pool = SIZE // HUGE if backing == 'hugetlbfs' and name == 'virtio-mem' else 0
    resize_pool(pool)
    try:
        with means.boot(backing, True, f'reclaim-{name}-{backing}') as guest:
            means.begin(guest)
            before = held(guest)
            result['reclaim touched'] = means.reclaim(guest)
            if means.untouched:
                result['returned'] = before - held(guest)
            result['return'] = means.give(guest)
            result['return and touch'] = result['return'] + touch(guest)
        if means.untouched:
            with means.boot(backing, False, f'reclaim-{name}-{backing}') as guest:
                means.begin(guest)
                result['reclaim untouched'] = means.reclaim(guest)
    finally:
        resize_pool(-pool)
    return result


def floor(backing):
    """Seconds that the host needs to discard as much memory, in 2M steps."""
    if backing == 'anon':
        # Where the kernel maps huge pages: aligned by hand.
        memory = mmap.mmap(-1, SIZE + HUGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        memory.madvise(mmap.MADV_HUGEPAGE)
        start = -ctypes.addressof(ctypes.c_char.from_buffer(memory)) % HUGE
        for at in range(start, start + SIZE, mmap.PAGESIZE):
            memory[at] = 1
        began = time.monotonic()
        for at in range(start, start + SIZE, HUGE):
            memory.madvise(mmap.MADV_DONTNEED, at, HUGE)
        return time.monotonic() - began
    fd = os.memfd_create('floor')
    os.ftruncate(fd, SIZE)
    # Mapped, as a guest's memory is: unmapping is part of discarding.
    memory = mmap.mmap(fd, SIZE, mmap.MAP_SHARED)
    for at in range(0, SIZE, mmap.PAGESIZE):
        memory[at] = 1
    libc = ctypes.CDLL(None, use_errno=True)
    fallocate = libc.fallocate64
    fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
    began = time.monotonic()
    for at in range(0, SIZE, HUGE):
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
            speeds = [f'{SIZE / GIB / result[name][case]["median"]:.4f}'
                      if result[name].get(case, {}).get('median') else '-' for name in names]
            rows.append(f'"{case}" ' + ' '.join(speeds))
        script.append(f'${backing} << EOD\n' + '\n'.join(rows) + '\nEOD')
        script.append(f'set title "{BACKINGS[backing]} memory of the host"')
        script.append('plot ' + ', '.join(
            f'${backing} using {i + 2}:xtic(1) title "{name}"' for i, name in enumerate(names)))
    draw('reclaim', '\n'.join(script), 340 * len(report['backings']))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--runs', type=count, default=5, help='boots of each (default 5)')
    parser.add_argument('--backings', type=some_of(BACKINGS), default=list(BACKINGS),
                        help=f'of the guest\'s memory (default {",".join(BACKINGS)})')
    options = parser.parse_args()
    names = offered()
    report = {'bytes': SIZE, 'runs': options.runs, 'accelerator': accelerator(), 'means': names,
              'backings': {}}
    print(f'{SIZE // MIB} MiB, {options.runs} runs, {report["accelerator"]}')

    for backing in options.backings:
        runs = {name: [] for name in names}
        for _ in range(options.runs):
            for name in names:
                runs[name].append(measure(name, backing))
        result = {name: {key: spread([run[key] for run in values]) for key in values[0]}
                  for name, values in runs.items()}
        result['floor'] = spread([floor(backing) for _ in range(3)]) \
            if backing != 'hugetlbfs' else None
        result['ratios'] = {case: spread([a[case] / b[case] for a, b in
                                          zip(runs['unpatched'], runs['patched'])])
                            for case in CASES}
        report['backings'][backing] = result
        for case in CASES:
            print(f'{backing:9} {case:18}' + ', '.join(
                f'{name} {said(result[name][case], "{:.3f}".format)} s'
                for name in names if case in result[name]) +
                f'; times faster: {said(result["ratios"][case], "{:.1f}".format)}', flush=True)
        print(f'{backing:9} ' + (f'floor: {result["floor"]["median"]:.4f} s; '
                                 if result['floor'] else '') + 'the host got ' + ', '.join(
            f'{name} {result[name]["returned"]["median"] // MIB} MiB' for name in names
            if 'returned' in result[name]), flush=True)

    save('reclaim', report)
    chart(report)


if __name__ == '__main__':
    main()
