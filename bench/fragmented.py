#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""What a host gets from a guest whose every 2M block is in use in part, side by side.

A program keeps three in ten pages of every block, at places that a fixed seed gives, and the host
asks for half of the guest's memory; again with one page of each twentieth block held, so that it
can't be moved. What comes back in whole blocks is seen in the memory's holes at the host, so both
kernels are judged alike. The patched kernel drops no page cache for it: that is shown, too. Figures
go to build/bench/fragmented.json.
"""

import argparse
import os
import statistics
import time

from common import (HUGE, KERNELS, MIB, OUT, Guest, accelerator, count, fragment, said, save,
                    some_of, spread)

NODES = 4
SIZE = 512          # MiB of each
KEEP = 154          # of 512 pages
DISK = os.path.join(OUT, 'disk')
# Of a hundred blocks, those that hold a page that can't be moved.
CASES = {'movable': 0, 'pinned': 5}


def lost(guest):
    """Bytes that the host has not populated, and how many of them are whole blocks."""
    total = whole = 0
    for node in range(NODES):
        for at, length in guest.holes(node):
            total += length
            first = -(-at // HUGE) * HUGE
            whole += max(0, (at + length) // HUGE * HUGE - first)
    return total, whole


def cpu_seconds(guest):
    """What QEMU has used so far: the guest's work is in it."""
    with open(f'/proc/{guest.process.pid}/stat') as stat:
        fields = stat.read().rpartition(')')[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def number(guest, name):
    guest.sh('echo 1 > /proc/sys/vm/stat_refresh')
    return int(guest.sh(f"sed -n 's/^{name} //p' /proc/vmstat"))


def measure(name, pin):
    with Guest(nodes=[SIZE] * NODES, cpus=2, name=f'fragmented-{name}',
               extra=['-drive', f'file={DISK},format=raw,if=virtio'], **KERNELS[name]) as guest:
        # Neither is to put together again what is prepared here.
        guest.write('/proc/sys/vm/compaction_proactiveness', 0)
        guest.write('/sys/kernel/mm/transparent_hugepage/khugepaged/defrag', 0)
        # Page cache, for one to see that it stays.
        guest.sh('dd if=/dev/vda of=/dev/null bs=1M')
        blocks = fragment(guest, NODES, f'--keep {KEEP} --pin {pin} --leave 40')
        time.sleep(2)
        cache, cpu = number(guest, 'nr_file_pages'), cpu_seconds(guest)
        before = lost(guest)
        seconds = guest.settle(NODES * SIZE // 2 * MIB, poll=0.005)
        cpu = cpu_seconds(guest) - cpu
        # In idle time QEMU flushes what it has been told.
        time.sleep(1)
        after = lost(guest)
        total, whole = (b - a for a, b in zip(before, after))
        return {'whole': whole / total, 'returned': total, 'seconds': seconds, 'cpu': cpu,
                'cache': number(guest, 'nr_file_pages') - cache, 'blocks': blocks}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--runs', type=count, default=3, help='boots of each kernel (default 3)')
    parser.add_argument('--cases', type=some_of(CASES), default=list(CASES),
                        help=f'which of them (default {",".join(CASES)})')
    options = parser.parse_args()
    os.makedirs(OUT, exist_ok=True)
    with open(DISK, 'wb') as disk:
        disk.truncate(64 * MIB)
    report = {'runs': options.runs, 'accelerator': accelerator()}
    print(f'{NODES} nodes of {SIZE} MiB, {KEEP} of 512 pages of each block in use; '
          f'half of memory asked for')
    for case in options.cases:
        runs = {name: [] for name in KERNELS}
        for _ in range(options.runs):
            for name in KERNELS:
                runs[name].append(measure(name, CASES[case]))
        report[case] = runs
        for name, values in runs.items():
            median = {key: statistics.median(run[key] for run in values)
                      for key in ('whole', 'returned', 'seconds', 'cpu', 'cache')}
            print(f'{case:22} {name:8} {median["whole"]:7.2%} of '
                  f'{median["returned"] / MIB:.0f} MiB in whole blocks, {median["seconds"]:.2f} s '
                  f'({min(run["seconds"] for run in values):.2f} to '
                  f'{max(run["seconds"] for run in values):.2f}), QEMU\'s CPU '
                  f'{median["cpu"]:.2f} s, page cache {median["cache"]:+.0f} pages', flush=True)
        ratios = spread(b['seconds'] / a['seconds']
                        for a, b in zip(runs['vanilla'], runs['patched']))
        print(f'{case:22} times as long: {said(ratios, "{:.2f}".format)}', flush=True)
    os.unlink(DISK)
    save('fragmented', report)


if __name__ == '__main__':
    main()
