#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""A guest as large as they come: half of it goes to the host and comes back.

The host never populates its memory, but for what the guest touches by itself: a descriptor of 64
bytes for each base page. So the host needs 1/64 of the guest's size, and some more. Told are
how long the boot, inflating and deflating take, what the kernel's threads use of a CPU meanwhile,
how much slab and vmalloc memory has grown with the balloon full, what balloonstat needs, and what
the host has populated at the end. Deflating is slow because it is told in arrays of base pages, for each of
which QEMU calls madvise().

Emulated, no more than 40 bits of an address are to be had on x86: a guest of 960 GiB fits. On arm64 one
of 1 TiB does: `export ARCH=arm64; make kernel && scripts/initramfs.sh release`, and this. Figures go to
build/bench/scale.json, or scale-arm64-4k.json.
"""

import argparse
import json
import sys
import time

from nodes import bookkeeping
from shared import GIB, KERNELS, MIB, PAGE, Guest, count, meminfo, save
from guest import ON, GuestError

# Of the host, beside descriptors: a kernel, an initramfs, QEMU.
REST = 2 * GIB
DESCRIPTOR = 64
# Emulated CPUs are slow, and the largest guest has a quarter of a billion descriptors.
PATIENCE = 1800


def threads(guest):
    """Seconds of CPU of the kernel's threads."""
    return int(guest.sh('cputime').split()[0]) / 1e9


def populated(guest):
    return sum(guest.host_bytes(node) for node in range(len(guest.sizes)))


def move(guest, size):
    """Has the balloon hold SIZE bytes; how long that took, and what it took of a CPU."""
    used = threads(guest)
    took = guest.settle(size, PATIENCE)
    held = sum(map(int, guest.sh('cat /sys/devices/system/node/node*/balloon/nr_pages').split()))
    if held * PAGE != size:
        raise GuestError(f'the host has {size} bytes, the nodes have {held} pages')
    return took, threads(guest) - used


def trial(guest, size):
    report = {}
    report['boot'] = float(guest.sh('cat /proc/uptime').split()[0])
    report['populated at boot'] = populated(guest)
    memory = bookkeeping(guest)
    half = size // 2
    report['inflate'], report['inflate cpu'] = move(guest, half)
    report['bookkeeping'] = bookkeeping(guest) - memory
    began = time.monotonic()
    nodes = [node['Balloon'] for node in json.loads(guest.sh('balloonstat --json', PATIENCE))['nodes']]
    report['balloonstat'] = time.monotonic() - began
    if sum(nodes) != half:
        raise GuestError(f'balloonstat says {nodes}, the host has {half}')
    print(guest.sh('balloonstat'), end='')
    report['deflate'], report['deflate cpu'] = move(guest, 0)
    report['populated'] = populated(guest)
    trouble = guest.warnings()
    if trouble:
        raise GuestError('\n'.join(trouble))
    return report


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--size', type=count, default=256, help='GiB of memory (default 256)')
    parser.add_argument('--nodes', type=count, default=4, help='(default 4)')
    options = parser.parse_args()
    each = options.size * 1024 // options.nodes
    size = each * options.nodes * MIB
    need, has = size // PAGE * DESCRIPTOR + REST, meminfo('MemAvailable')
    if need > has:
        sys.exit(f'{sys.argv[0]}: a guest of {options.size} GiB comes to touch {need // MIB} MiB; the '
                 f'host has {has // MIB} MiB')
    began = time.monotonic()
    with Guest(nodes=[each] * options.nodes, prealloc=False, touched=need // MIB, name='scale',
               boot_timeout=PATIENCE, **KERNELS['patched']) as guest:
        report = {'bytes': size, 'nodes': options.nodes, **trial(guest, size)}
    report['whole'] = time.monotonic() - began
    gib = size / 2 / GIB
    print(f'{options.size} GiB, {options.nodes} nodes: up after {report["boot"]:.0f} s, with '
          f'{report["populated at boot"] / GIB:.2f} GiB of the host')
    for way in 'inflate', 'deflate':
        print(f'{way} {gib:.0f} GiB: {report[way]:.1f} s, {report[way + " cpu"]:.1f} s of CPU '
              f'({report[way + " cpu"] / gib * 1000:.1f} ms a GiB)')
    print(f'bookkeeping: {report["bookkeeping"] / 1024:.0f} KiB ({report["bookkeeping"] / size:.6%})')
    print(f'balloonstat: {report["balloonstat"]:.2f} s')
    print(f'populated at the end: {report["populated"] / GIB:.2f} GiB; {report["whole"]:.0f} s in all')
    save(f'scale{ON}', report)


if __name__ == '__main__':
    try:
        main()
    except GuestError as error:
        sys.exit(f'{sys.argv[0]}: {error}')
