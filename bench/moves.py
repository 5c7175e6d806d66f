#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""How long it takes to move what is ballooned from one node to another.

A node's target is raised to all that the host wants, while all of it lies on the other node. The
total stands, so as much leaves there as comes here, batch by batch. Beside it, as much is inflated
afresh on the same node. The host has populated all memory before either. The unpatched balloon
knows no nodes. Times are by the guest's clock. Figures go to build/bench/moves.json.
"""

import argparse

from shared import (KERNELS, MIB, PAGE, Guest, accelerator, count, populate, said, save, some_of,
                    spread)

NODES = '/sys/devices/system/node'
SIZE = 2048         # MiB of each of two nodes
BACKINGS = ('anon', 'memfd')


class Mover:
    def __init__(self, guest, size):
        self.guest, self.size, self.pages = guest, size, size // PAGE

    def target(self, node, pages):
        self.guest.write(f'{NODES}/node{node}/balloon/target', pages)

    def held(self):
        return [int(self.guest.read(f'{NODES}/node{node}/balloon/nr_pages')) for node in range(2)]

    def empty(self):
        for node in range(2):
            self.target(node, 'auto')
        self.guest.settle(0, 300)
        populate(self.guest)

    def timed(self, node, command=':', host=lambda: None):
        """Seconds from what the guest or the host does until a node holds all of it."""
        clock = 'read -r up rest < /proc/uptime; echo $up'
        self.guest.sh(f'(while read -r n < {NODES}/node{node}/balloon/nr_pages && '
                      f'[ $n -lt {self.pages} ]; do :; done; {clock}) > /tmp/ended &')
        began = float(self.guest.sh(f'{clock}; {command}'))
        host()
        ended = self.guest.sh('while ! grep -q . /tmp/ended; do sleep 0.1; done; cat /tmp/ended; '
                              'rm /tmp/ended', 300)
        return float(ended) - began

    def run(self):
        self.empty()
        self.target(1, self.pages)
        afresh = self.timed(1, host=lambda: self.guest.set_balloon(self.size))
        self.empty()
        self.target(0, self.pages)
        self.guest.settle(self.size, 300)
        self.target(0, 'auto')
        before = self.held()
        moved = self.timed(1, f'echo {self.pages} > {NODES}/node1/balloon/target')
        return {'afresh': afresh, 'moved': moved, 'ratio': moved / afresh, 'before': before,
                'after': self.held()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--runs', type=count, default=5, help='in a boot (default 5)')
    parser.add_argument('--size', type=count, default=1024, help='MiB that move (default 1024)')
    parser.add_argument('--backings', type=some_of(BACKINGS), default=list(BACKINGS),
                        help=f'of the guest\'s memory (default {",".join(BACKINGS)})')
    options = parser.parse_args()
    report = {'size': options.size, 'accelerator': accelerator(), 'runs': {}, 'ratios': {}}
    print(f'{options.size} MiB, {options.runs} runs, {report["accelerator"]}', flush=True)
    for backing in options.backings:
        with Guest(nodes=[SIZE] * 2, cpus=2, backend=backing, name=f'moves-{backing}',
                   **KERNELS['patched']) as guest:
            mover = Mover(guest, options.size * MIB)
            runs = [mover.run() for _ in range(options.runs)]
        report['runs'][backing] = runs
        report['ratios'][backing] = spread(run['ratio'] for run in runs)
        figures = {what: said(spread(run[what] for run in runs), '{:.2f}'.format)
                   for what in ('afresh', 'moved', 'ratio')}
        print(f'{backing:8} afresh {figures["afresh"]} s, to move {figures["moved"]} s: '
              f'{figures["ratio"]} times', flush=True)
    save('moves', report)


if __name__ == '__main__':
    main()
