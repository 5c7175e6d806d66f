#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""What becomes of a guest whose host wants more than is free, side by side.

Each case is a boot of each kernel, one at a time, and tells what the balloon got and what that did
to the guest: what was swapped out, how much slower a program became, whether somebody was killed or
the kernel died. A target may be out of reach on purpose. Figures go to build/bench/pressure.json.
"""

import argparse
import os
import tempfile
import time

from shared import (GIB, KERNELS, MIB, OUT, PAGE, Guest, accelerator, count, save, some_of)
from guest import BUILD, GuestError, initramfs_of
from pattern import Pattern
from scenes import (CORE, Disk, Reader, bigger_initramfs, command_seconds, counters, node_sum,
                    start, state, swap_on)

WATCH = 40          # s for which a case without an end is looked at
MINUTES = 1         # that a guest lives on where the case is whether it does


def boot(kernel, case, nodes, **options):
    options = {**KERNELS[kernel], **options}
    if 'balloon' in options:
        options['balloon'] = {**KERNELS[kernel]['balloon'], **options['balloon']}
    return Guest(nodes=nodes, name=f'pressure-{case}-{kernel}', **options)


def await_target(guest, size, seconds, poll=0.05):
    """Asks for SIZE and waits so long; seconds that it took, or None, and MiB that there are."""
    began = time.monotonic()
    guest.set_balloon(size)
    while (held := guest.actual()) != size and time.monotonic() - began < seconds:
        time.sleep(poll)
    took = time.monotonic() - began
    return {'seconds': round(took, 1) if held == size else None, 'MiB': held // MIB,
            'asked MiB': size // MIB}


def fate(guest):
    """Who died, and whether a small program of each node has its memory still."""
    bound = 'lives'
    for node in range(len(guest.sizes)):
        try:
            Pattern(guest, 4, f'--node {node}').stop()
        except GuestError:
            bound = 'dies'
    figures = {'killed': counters(guest)['oom_kill'], 'bound program': bound}
    said = state(guest)
    if said:
        figures.update(state=said, retries=int(guest.read(f'{CORE}/retries')))
    return figures


def swap(kernel, options):
    """2 x 1 GiB, 1200 MiB of it idle anonymous memory, 2 GiB of swap; 512 MiB to be left"""
    with Disk(2048) as disk, boot(kernel, 'swap', [1024] * 2, extra=disk.args) as guest:
        swap_on(guest)
        start(guest, 'locality 1200 --hold --threads 2')
        figures = await_target(guest, 2 * GIB - 512 * MIB, 150)
        figures['swapped MiB'] = counters(guest)['pswpout'] * PAGE // MIB
        return {**figures, **fate(guest)}


def pending(kernel, nodes, left):
    size = (sum(nodes) - left) * MIB
    with tempfile.NamedTemporaryFile(dir=BUILD) as file:
        bigger_initramfs(initramfs_of(KERNELS[kernel]['flavour']), 48, file.name)
        with boot(kernel, f'boot{len(nodes)}', nodes, pending=size, initramfs=file.name) as guest:
            return {**await_target(guest, size, WATCH), **fate(guest)}


def boot1(kernel, options):
    """1 GiB, an initramfs of 48 MiB more, 160 MiB to be left from the first moment on"""
    return pending(kernel, [1024], 160)


def boot4(kernel, options):
    """4 x 256 MiB, an initramfs of 48 MiB more, 192 MiB to be left from the first moment on"""
    return pending(kernel, [256] * 4, 192)


def tmpfs(kernel, options):
    """2 x 512 MiB, 600 MiB of it in tmpfs, 64 hugetlb pages, no swap; 260 MiB asked for"""
    with boot(kernel, 'tmpfs', [512] * 2) as guest:
        guest.sh('echo 64 > /proc/sys/vm/nr_hugepages; mkdir -p /mnt; '
                 'mount -t tmpfs -o mpol=interleave,size=90% none /mnt; '
                 'dd if=/dev/zero of=/mnt/file bs=1M count=600 2>/dev/null', 300)
        figures = await_target(guest, 260 * MIB, WATCH)
        ended = time.monotonic() + options.minutes * 60
        while True:
            figures.update(fate(guest))
            if time.monotonic() > ended:
                break
            time.sleep(min(10, max(0, ended - time.monotonic())))
        free, high = node_sum(guest, 'free'), node_sum(guest, 'high')
        figures['free of high'] = [round(a / b, 1) for a, b in zip(free, high)]
        return figures


THP = '/sys/kernel/mm/transparent_hugepage/enabled'
WAYS = {
    'min_free_kbytes': 'x=$(cat /proc/sys/vm/min_free_kbytes); '
                       'echo $x > /proc/sys/vm/min_free_kbytes',
    'THP': f'echo never > {THP}; sleep 1; echo always > {THP}',
    'block': 'cd /sys/devices/system/memory; for m in $(ls -d memory* | tac); do timeout 10 sh -c '
             '"echo offline > $m/state" 2>/dev/null && echo online > $m/state && exit 0; done; '
             'exit 1',
}


def watermarks(kernel, options):
    """2 GiB, 900 MiB ballooned while watermarks are computed; nodes' high marks later"""
    figures = {}
    for way, command in WAYS.items():
        with boot(kernel, f'watermarks-{way}', [2048], cpus=2) as guest:
            before = node_sum(guest, 'high')
            await_target(guest, 900 * MIB, 60)
            guest.sh(command, 120)
            await_target(guest, 0, 60)
            # The worker comes to rest, then it looks.
            time.sleep(3)
            after = node_sum(guest, 'high')
            figures[way] = ', '.join(f'{b} of {a}' for a, b in zip(before, after))
    return figures


def beside_reader(kernel, case, mib, left, options):
    with Disk(2048) as disk, boot(kernel, case, [1024] * 2, extra=disk.args) as guest:
        quick = command_seconds(guest)
        reader = Reader(guest, mib)
        reader.await_rounds(2)
        alone = reader.await_rounds(3)
        guest.set_balloon(2 * GIB - left * MIB)
        # It has got what is to be had at once.
        time.sleep(10)
        before = counters(guest)
        retries = int(guest.sh(f'cat {CORE}/retries 2>/dev/null || echo 0'))
        time.sleep(WATCH)
        after = counters(guest)
        figures = {'MiB': guest.actual() // MIB, 'asked MiB': 2048 - left}
        figures[f'retries in {WATCH} s'] = int(
            guest.sh(f'cat {CORE}/retries 2>/dev/null || echo 0')) - retries
        figures['kswapd scans/s'] = round(
            (after['pgscan_kswapd'] - before['pgscan_kswapd']) / WATCH)
        figures['a round, s'] = f'{alone:.2f}, beside the balloon {reader.await_rounds(3):.2f}'
        figures['a command, s'] = f'{quick:.3f}, beside the balloon {command_seconds(guest):.3f}'
        return {**figures, **fate(guest)}


def loop64(kernel, options):
    """2 x 1 GiB, a program reads a file of 64 MiB in a loop; 96 MiB to be left"""
    return beside_reader(kernel, 'loop64', 64, 96, options)


def cache60(kernel, options):
    """2 x 1 GiB, a program reads a file of 60 % of that in a loop; 128 MiB to be left"""
    return beside_reader(kernel, 'cache60', 1228, 128, options)


def streaming(kernel, options):
    """2 x 1 GiB, a program passes through 2 GiB again and again; 512 MiB to be left"""
    with Disk(2048) as disk, boot(kernel, 'streaming', [1024] * 2, extra=disk.args) as guest:
        Reader(guest, 2048).await_rounds(2)
        figures = await_target(guest, 2 * GIB - 512 * MIB, 120)
        return {**figures, **fate(guest)}


def again(kernel, options):
    """2 x 512 MiB, deflate-on-oom, a program that made it deflate; the same target said again"""
    with boot(kernel, 'again', [512] * 2, balloon={'deflate-on-oom': True}) as guest:
        figures = await_target(guest, 640 * MIB, 60)
        free = int(guest.sh("sed -n 's/^MemAvailable: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo")) // 1024
        pattern = Pattern(guest, free + 128, '--interleave')
        time.sleep(1)
        figures['MiB'] = guest.actual() // MIB
        before = counters(guest)['balloon_inflate']
        for _ in range(4):
            guest.set_balloon(640 * MIB)
            time.sleep(5)
        figures['inflated again, MiB'] = (counters(guest)['balloon_inflate'] - before) * PAGE // MIB
        pattern.verify()
        return {**figures, **fate(guest)}


CASES = {case.__name__: case for case in (
    swap, boot1, boot4, tmpfs, watermarks, loop64, cache60, streaming, again)}


def run(name, kernel, options):
    """A case's figures; a guest that ended by itself is one of them."""
    try:
        return CASES[name](kernel, options)
    except GuestError as error:
        log = os.path.join(BUILD, 'logs', f'pressure-{name}-{kernel}.console')
        text = open(log, errors='replace').read() if os.path.exists(log) else ''
        panic = [line for line in text.splitlines() if 'Kernel panic' in line]
        return {'end': panic[0].split('] ', 1)[-1] if panic else str(error).splitlines()[0]}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__.split('\n')[0], formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog='cases:\n' + '\n'.join(f'  {name:12}{case.__doc__}' for name, case in CASES.items()))
    parser.add_argument('--case', type=some_of(CASES), default=list(CASES),
                        help='which, with commas between them (default all)')
    parser.add_argument('--kernels', type=some_of(KERNELS), default=list(KERNELS),
                        help=f'which (default {",".join(KERNELS)})')
    parser.add_argument('--minutes', type=count, default=MINUTES,
                        help='how long the guest of "tmpfs" is to live; 60 is the full run '
                             f'(default {MINUTES})')
    options = parser.parse_args()
    report = {'accelerator': accelerator(), 'cases': {}}
    for name in options.case:
        print(f'{name}: {CASES[name].__doc__}')
        results = report['cases'][name] = {}
        for kernel in options.kernels:
            results[kernel] = run(name, kernel, options)
            print(f'  {kernel:8} ' + '; '.join(f'{what} {"-" if value is None else value}'
                                               for what, value in results[kernel].items()),
                  flush=True)
    save('pressure', report)
    print(f'{os.path.relpath(OUT)}/pressure.json')


if __name__ == '__main__':
    main()
