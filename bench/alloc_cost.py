#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""What the allocator's hook costs where it has nothing to do, in instructions.

A million order-0 pages are allocated and freed in a loop in the kernel, unpatched and patched, on
a machine that counts instructions (QEMU's -icount): with nothing ballooned, and with a balloon
held while free memory is above all watermarks. Figures go to build/bench/alloc_cost.json.
"""

import argparse
import os
import re
import shutil
import subprocess

from shared import BUILD, MIB, TOP, Guest, save

OBJECTS = {'vanilla': os.path.join(BUILD, 'vanilla/release'),
           'release': os.path.join(BUILD, 'release')}
MODULE = 'alloc_loop.ko'


def build(flavour):
    """The module, for that kernel, where initramfs.sh finds it."""
    work = os.path.join(BUILD, 'bench', f'alloc_loop-{flavour}')
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(os.path.join(TOP, 'bench/alloc_loop'), work)
    log = os.path.join(BUILD, 'logs', f'alloc_loop-{flavour}.log')
    os.makedirs(os.path.dirname(log), exist_ok=True)
    with open(log, 'w') as output:
        # The kernel's own modules were not built: nobody knows all of its symbols.
        made = subprocess.run(['make', '-C', OBJECTS[flavour], f'M={work}', 'KBUILD_MODPOST_WARN=1',
                               'modules'], stdout=output, stderr=subprocess.STDOUT, check=False)
    if made.returncode:
        raise SystemExit(f'{flavour}: the module does not build: {os.path.relpath(log, TOP)}')
    return os.path.join(work, MODULE)


def measure(flavour, module, ballooned):
    shutil.copy2(module, os.path.join(OBJECTS[flavour], MODULE))
    try:
        subprocess.run([os.path.join(TOP, 'scripts/initramfs.sh'), flavour], check=True,
                       stderr=subprocess.DEVNULL)
        with Guest(flavour=flavour, nodes=[512] * 2, cpus=[[0], []], accel='icount',
                   name=f'alloc-cost-{flavour}-{ballooned}') as guest:
            if ballooned:
                guest.settle(ballooned * MIB)
            counts = []
            for _ in range(3):
                guest.status(f'insmod /modules/{MODULE}')
                counts.append(int(re.findall(r'pairs, (\d+) instructions', guest.console())[-1]))
            return counts
    finally:
        os.remove(os.path.join(OBJECTS[flavour], MODULE))


def main():
    argparse.ArgumentParser(description=__doc__.split('\n')[0]).parse_args()
    modules = {flavour: build(flavour) for flavour in OBJECTS}
    report = {}
    for name, flavour, ballooned in (('unpatched', 'vanilla', 0), ('patched', 'release', 0),
                                     ('patched, 256 MiB ballooned', 'release', 256)):
        report[name] = measure(flavour, modules[flavour], ballooned)
        least = min(report[name])
        print(f'{name:28} {least / 1e6:9.4f} instructions a pair '
              f'({max(report[name]) / least - 1:.5%} between runs), '
              f'{least / min(report["unpatched"]):.5f} of the unpatched', flush=True)
    save('alloc_cost', report)


if __name__ == '__main__':
    main()
