#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""What a host gets of a guest that is idle, half used, or fragmented, side by side.

An idle guest has nearly all of its memory free. In a half-used one, a program has touched half of
it. In a fragmented one, a program keeps three in ten pages of every 2M block, at places that a
fixed seed gives: pages that can be moved ('movable'), and one in each twentieth block that can't
('pinned'). The host asks for half of what the guest could give. What comes back in whole blocks is
seen in the memory's holes at the host, so both kernels are judged alike. The patched kernel drops
no page cache for it: that is shown, too. Figures and a chart go to build/bench/states.json and
states.svg.
"""

import argparse
import os
import time
from concurrent.futures import ThreadPoolExecutor

from shared import (GIB, HUGE, KERNELS, MIB, OUT, Guest, accelerator, add_defrag_mode, count,
                    cpu_seconds, defrag_suffix, draw, fragment, said, save, set_defrag_mode, some_of,
                    spread)

NODES = 4
KEEP = 154          # of 512 pages
DISK = os.path.join(OUT, 'disk')
# What share of the guest is asked for, and what prepares the guest for it.
CASES = {
    'idle': (1 / 2, lambda guest: None),
    'half-used': (1 / 4, lambda guest: hold(guest)),
    'movable': (1 / 2, lambda guest: fragment(guest, NODES, f'--keep {KEEP} --leave 40')),
    'pinned': (1 / 2, lambda guest: fragment(guest, NODES, f'--keep {KEEP} --pin 5 --leave 40')),
}


def hold(guest):
    """Has a program use half of the memory."""
    guest.sh(f'locality {guest.bytes() // 2 // MIB} --threads 2 --hold > /tmp/held & while '
             '! grep -q . /tmp/held; do kill -0 $! || exit 1; sleep 0.1; done', 300)


def lost(guest):
    """Bytes that the host has not populated, and how many of them are whole blocks."""
    total = whole = 0
    for node in range(NODES):
        for at, length in guest.holes(node):
            total += length
            first = -(-at // HUGE) * HUGE
            whole += max(0, (at + length) // HUGE * HUGE - first)
    return total, whole


def number(guest, name):
    guest.sh('echo 1 > /proc/sys/vm/stat_refresh')
    return int(guest.sh(f"sed -n 's/^{name} //p' /proc/vmstat"))


def prepare(guest, case, defrag_mode):
    """Boots it, gets it into its state, and stops it."""
    guest.start()
    set_defrag_mode(guest, defrag_mode)
    # Neither is to put together again what is prepared here.
    guest.write('/proc/sys/vm/compaction_proactiveness', 0)
    guest.write('/sys/kernel/mm/transparent_hugepage/khugepaged/defrag', 0)
    # Page cache, for one to see that it stays.
    guest.sh('dd if=/dev/vda of=/dev/null bs=1M')
    CASES[case][1](guest)
    time.sleep(2)
    guest.qmp('stop')


def measure(guest, case):
    """Lets the prepared guest run and asks for memory."""
    size = int(CASES[case][0] * guest.bytes())
    guest.qmp('cont')
    cache, cpu = number(guest, 'nr_file_pages'), cpu_seconds(guest)
    before = lost(guest)
    seconds = guest.settle(size, poll=0.005)
    cpu = cpu_seconds(guest) - cpu
    # In idle time QEMU flushes what it has been told.
    time.sleep(1)
    total, whole = (b - a for a, b in zip(before, lost(guest)))
    return {'whole': whole / total, 'returned': total, 'seconds': seconds * GIB / size,
            'cpu': cpu * GIB / size, 'cache': number(guest, 'nr_file_pages') - cache}


def round_of(case, size, defrag_mode):
    """A boot of each kernel. They boot together, and run one by one."""
    guests = {name: Guest(nodes=[size] * NODES, cpus=2, name=f'states-{name}-{case}',
                          extra=['-drive', f'file={DISK},format=raw,if=virtio,readonly=on'],
                          **options) for name, options in KERNELS.items()}
    results = {}
    # A guest ends with the thread that has booted it.
    with ThreadPoolExecutor(len(guests)) as jobs:
        try:
            list(jobs.map(prepare, guests.values(), [case] * len(guests),
                          [defrag_mode] * len(guests)))
            for name, guest in guests.items():
                results[name] = measure(guest, case)
                guest.stop()
        finally:
            for guest in guests.values():
                guest.stop()
    return results


def chart(report, name):
    """Bars: what is whole, by case."""
    rows = '\n'.join(f'"{case}" ' + ' '.join(
        f'{100 * spread(run["whole"] for run in runs)["median"]:.2f}'
        for runs in report['cases'][case].values()) for case in report['cases'])
    draw(name, f'$states << EOD\n{rows}\nEOD\n'
         'set title "Of what the host got back, in whole 2M blocks"\n'
         'set style data histograms\nset style fill solid 0.8\nset ylabel "%"\n'
         'set yrange [0:105]\nset grid y\nset key outside top center horizontal\n'
         'plot $states using 2:xtic(1) title "unpatched", $states using 3 title "patched"\n')


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--runs', type=count, default=5, help='boots of each kernel (default 5)')
    parser.add_argument('--cases', type=some_of(CASES), default=list(CASES),
                        help=f'which of them (default {",".join(CASES)})')
    parser.add_argument('--size', type=count, default=512, help='MiB of each node (default 512)')
    add_defrag_mode(parser)
    options = parser.parse_args()
    suffix = defrag_suffix(parser, options.defrag_mode)
    os.makedirs(OUT, exist_ok=True)
    with open(DISK, 'wb') as disk:
        disk.truncate(64 * MIB)
    report = {'runs': options.runs, 'size': options.size, 'accelerator': accelerator(),
              'defrag_mode': options.defrag_mode, 'cases': {}, 'ratios': {}}
    print(f'{NODES} nodes of {options.size} MiB, {options.runs} runs, {report["accelerator"]}')
    for case in options.cases:
        rounds = [round_of(case, options.size, options.defrag_mode) for _ in range(options.runs)]
        runs = {name: [found[name] for found in rounds] for name in KERNELS}
        report['cases'][case] = runs
        for name, values in runs.items():
            figures = {key: spread(run[key] for run in values) for key in values[0]}
            print(f'{case:10} {name:8} {said(figures["whole"], "{:.1%}".format)} of '
                  f'{figures["returned"]["median"] / MIB:.0f} MiB in whole blocks, a GiB takes '
                  f'{said(figures["seconds"], "{:.2f}".format)} s, QEMU\'s CPU '
                  f'{figures["cpu"]["median"]:.2f} s, page cache '
                  f'{figures["cache"]["median"]:+.0f} pages', flush=True)
        for what in 'seconds', 'cpu':
            report['ratios'][f'{case}, {what}'] = spread(
                a[what] / b[what] for a, b in zip(runs['vanilla'], runs['patched']))
        print(f'{case:10} times faster: '
              f'{said(report["ratios"][f"{case}, seconds"], "{:.2f}".format)}', flush=True)
    os.unlink(DISK)
    save('states' + suffix, report)
    chart(report, 'states' + suffix)


if __name__ == '__main__':
    main()
