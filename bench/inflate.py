#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""How long a host waits for memory: the unpatched and the patched kernel, side by side.

The two boot in turn, with all of the guest's memory populated at the host and the mm's own
reporting of free pages off; the host asks for 2 GiB of 4 GiB and waits until the guest says that
it has given them, then gives them back. The floor is what the host itself needs to discard as
much memory in 2M steps. Figures go to build/bench/inflate.json.
"""

import argparse
import ctypes
import json
import mmap
import os
import statistics
import sys
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(TOP, 'scripts'))

from guest import BUILD, HUGE, MIB, Guest, accelerator  # noqa: E402

SIZE = 2048 * MIB
# The unpatched kernel can't be told to keep its own reporting off: its device lacks the queue.
KERNELS = {
    'vanilla': {'flavour': 'vanilla', 'balloon': {}},
    'patched': {'flavour': 'release', 'balloon': {'free-page-reporting': True},
                'append': 'virtio_balloon.free_page_reporting=0'},
}
PUNCH_HOLE_KEEP_SIZE = 3


def measure(name, backend, **more):
    with Guest(nodes=[1024] * 4, backend=backend, prealloc=True, name=f'bench-{name}-{backend}',
               **KERNELS[name], **more) as guest:
        before = sum(guest.host_bytes(n) for n in range(4))
        # Let what the boot left behind come to rest.
        time.sleep(2)
        inflate = guest.settle(SIZE, poll=0.002)
        back = before - sum(guest.host_bytes(n) for n in range(4))
        deflate = guest.settle(0, poll=0.002)
        return {'inflate': inflate, 'deflate': deflate, 'returned': back}


def floor(backend):
    """Seconds that the host needs to discard as much memory, in 2M steps."""
    if backend == 'anon':
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


def spread(values):
    return {'median': statistics.median(values), 'min': min(values), 'max': max(values)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--runs', type=int, default=5, help='boots of each kernel (default 5)')
    options = parser.parse_args()
    report = {'bytes': SIZE, 'runs': options.runs, 'accelerator': accelerator()}
    print(f'inflating and deflating {SIZE // MIB} MiB, {options.runs} runs, {report["accelerator"]}')

    for backend in ('anon', 'memfd'):
        runs = {name: [] for name in KERNELS}
        for _ in range(options.runs):
            for name in KERNELS:
                runs[name].append(measure(name, backend))
        result = {name: {key: spread([run[key] for run in values]) for key in values[0]}
                  for name, values in runs.items()}
        result['floor'] = spread([floor(backend) for _ in range(3)])
        for what in ('inflate', 'deflate'):
            ratios = [a[what] / b[what] for a, b in zip(runs['vanilla'], runs['patched'])]
            result[f'{what} ratio'] = spread(ratios)
            print(f'{backend:6} {what}: ' + ', '.join(
                f'{name} {result[name][what]["median"]:.3f} s '
                f'({result[name][what]["min"]:.3f} to {result[name][what]["max"]:.3f})'
                for name in KERNELS) +
                f'; {result[f"{what} ratio"]["median"]:.1f} times faster '
                f'({min(ratios):.1f} to {max(ratios):.1f})', flush=True)
        print(f'{backend:6} floor: {result["floor"]["median"]:.4f} s; returned: ' + ', '.join(
            f'{name} {result[name]["returned"]["median"] // MIB} MiB' for name in KERNELS), flush=True)
        report[backend] = result

    os.makedirs(os.path.join(BUILD, 'bench'), exist_ok=True)
    with open(os.path.join(BUILD, 'bench', 'inflate.json'), 'w') as file:
        json.dump(report, file, indent=1)


if __name__ == '__main__':
    main()
