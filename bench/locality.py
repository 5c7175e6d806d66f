#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Where a program's memory lies while the balloon holds half of the guest, at rest or moving.

A program that is bound to the CPU of one of four nodes, and says nothing of memory, touches 800 MiB
of the node's 1 GiB. Unpatched, the balloon's pages are out of its reach until a worker gets to
them. Patched, the host has given credit for all of them and the worker is held back, so that every
page comes by refill; or there is no credit, and pages are exchanged; or it touches 400 MiB beside
page cache, with credit, while the node's kswapd is awake, which newer kernels take for a reason to go
elsewhere. Figures go to build/bench/locality.json.
"""

import argparse
import contextlib
import random
import threading
import time

from shared import HUGE, KERNELS, MIB, PAGE, Guest, save
from scenes import Disk, Kswapd

SIZE = 2048 * MIB
HOLD = '/sys/kernel/debug/balloon/hold'
CORE = '/sys/kernel/mm/balloon'
PERIOD = 0.5        # s from one target of a moving balloon to the next
CASES = {'unpatched': KERNELS['vanilla'], 'unpatched, moving': KERNELS['vanilla'],
         'patched, credit': KERNELS['patched'], 'patched, exchange': KERNELS['patched'],
         'patched, kswapd': KERNELS['patched'], 'patched, moving': KERNELS['patched']}


class Moving:
    """Gives the guest one target after the other, until it is left."""

    def __init__(self, guest, seed):
        self.guest, self.rng, self.ended = guest, random.Random(seed), threading.Event()
        self.thread = threading.Thread(target=self.move)

    def move(self):
        while not self.ended.wait(PERIOD):
            self.guest.set_balloon(self.rng.randrange(SIZE * 3 // 4, SIZE * 5 // 4, HUGE))

    def __enter__(self):
        self.thread.start()
        time.sleep(2)

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()


def numa(guest, name):
    """The sum over all nodes of a line of numastat."""
    return sum(int(line.split()[1]) for line in
               guest.sh(f"grep -h '^{name} ' /sys/devices/system/node/node*/numastat").splitlines())


def measure(case, node):
    moving, pressed = case.endswith('moving'), case.endswith('kswapd')
    with Disk(64) as disk, Guest(nodes=[1024] * 4, extra=disk.args,
                                  name=f'locality-{case.replace(", ", "-")}-{node}',
                                  **CASES[case]) as guest:
        if case.startswith('patched'):
            for n in range(4):
                guest.write(f'/sys/devices/system/node/node{n}/balloon/target', 512 * MIB // PAGE)
        guest.settle(SIZE)
        if pressed or case == 'patched, credit':
            guest.write(HOLD, 1)
            if pressed:
                kswapd = Kswapd(guest, node)
                kswapd.wake()
            guest.set_balloon(0)
            while guest.read(f'{CORE}/target') != '0':
                time.sleep(0.05)
        elif case.startswith('patched'):
            guest.write(f'{CORE}/refill', 'exchange')
        before = {name: numa(guest, name) for name in ('numa_miss', 'numa_foreign')}
        began = time.monotonic()
        program = f'locality {400 if pressed else 800} --cpu {node} --no-thp'
        with Moving(guest, node) if moving else contextlib.nullcontext():
            said, awake = kswapd.watch(program) if pressed else (guest.sh(program, 300), None)
        took = time.monotonic() - began
        words = said.split()
        pages = dict(zip(words[::2], map(int, words[1::2])))
        return {'local': pages.get(f'node{node}', 0) / pages['locality'], 'seconds': took,
                'awake': awake,
                **{name: numa(guest, name) - before[name] for name in before}}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--case', action='append', choices=CASES,
                        help='one of them, any number of times (default: all)')
    options = parser.parse_args()
    report = {}
    print(f'{"":20}' + ''.join(f'{"node " + str(node):>12}' for node in range(4)) +
          '   numa_miss  numa_foreign')
    for case in options.case or CASES:
        runs = report[case] = [measure(case, node) for node in range(4)]
        print(f'{case:20}' + ''.join(f'{run["local"]:12.2%}' for run in runs) +
              f'{sum(run["numa_miss"] for run in runs):12}'
              f'{sum(run["numa_foreign"] for run in runs):14}', flush=True)
    save('locality', report)


if __name__ == '__main__':
    main()
