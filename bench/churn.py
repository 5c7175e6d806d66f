#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""What many changes of the host's target leave of whole 2M blocks, in the guest and at the host.

Guests run the same load, step by step from one seed, between random targets of the host: a program
that allocates, checks and frees at every order (all sizes of huge pages are enabled), and files
that come and go. Each tenth round the host wants half of memory; then the share of the remaining
memory that lies in whole blocks, free ones or mapped ones, is compared with that of a guest that
was booted with half of the memory and has no balloon. In the end 1 GiB is inflated, deflated and
used, and the host tells what of the guest's memory it still maps huge, beside a guest that never
ballooned. Figures and a chart go to build/bench/churn.json and churn.svg.
"""

import argparse
import json
import os
import random
import time
from concurrent.futures import ThreadPoolExecutor

from shared import (HUGE, KERNELS, MIB, OUT, PAGE, Guest, accelerator, add_defrag_mode, defrag_suffix,
                    draw, save, set_defrag_mode)
from pattern import Pattern

NODES = 4
SIZE = 512          # MiB of each
REUSED = 1024       # MiB that are inflated, deflated and used at last
LOAD = 400          # MiB that the program has at most
STEPS = 12          # of the program in a round
MOST = 0.6          # of memory, for the host
HALF = 10           # rounds from one measurement to the next
GUESTS = {
    **KERNELS,
    # The same kernels without a balloon: with as much memory as the balloon leaves, and with all.
    'half': {'flavour': 'release', 'balloon': None, 'nodes': [SIZE // 2] * NODES},
    'never': {'flavour': 'release', 'balloon': None},
}
# Folders of files come and go, in turn.
FILES = '''
d=/tmp/files/%d
rm -rf $d; mkdir -p $d
i=0
while [ $i -lt 24 ]; do echo $i > $d/$i; i=$((i + 1)); done
dd if=/dev/zero of=$d/big bs=64k count=%d 2> /dev/null
'''


def whole_share(guest):
    """The part of the guest's memory that lies in free or mapped whole blocks."""
    text = guest.sh('cat /proc/buddyinfo /proc/meminfo')
    meminfo = {words[0]: int(words[1]) * 1024 for words in map(str.split, text.splitlines())
               if words[0].endswith(':')}
    free = 0
    for line in text.splitlines():
        if line.startswith('Node '):
            counts = [int(word) for word in line.split()[4:]]
            free += sum(count * PAGE << order for order, count in enumerate(counts) if order >= 9)
    return (free + meminfo['AnonHugePages:']) / meminfo['MemTotal:']


def host_maps(guest, what='AnonHugePages'):
    """Bytes that the host maps for QEMU: huge ones, or (Rss) all."""
    with open(f'/proc/{guest.process.pid}/smaps_rollup') as rollup:
        for line in rollup:
            if line.startswith(what + ':'):
                return int(line.split()[1]) * 1024
    raise SystemExit(f'the host does not tell {what}')


def churn(name, rounds, seed, defrag_mode):
    settings = {'nodes': [SIZE] * NODES, **GUESTS[name]}
    rng = random.Random(seed)
    size = NODES * SIZE * MIB
    shares = []
    with Guest(backend='anon', prealloc=True, cpus=2, name=f'churn-{name}', **settings) as guest:
        set_defrag_mode(guest, defrag_mode)
        guest.sh('for f in /sys/kernel/mm/transparent_hugepage/hugepages-*kB/enabled; do '
                 'echo madvise > $f; done')
        start, mapped = host_maps(guest), host_maps(guest, 'Rss')
        load = Pattern(guest, LOAD, '--interleave', '--churn', f'--steps {STEPS}')
        began = time.monotonic()
        for number in range(1, rounds + 1):
            target = rng.randrange(0, int(size * MOST), PAGE)
            files = FILES % (number % 8, rng.randrange(1, 64))
            half = number % HALF == 0
            if guest.balloon is not None:
                guest.settle(size // 2 if half else target, poll=0.01, timeout=300)
            guest.sh(files)
            load.verify()
            if half:
                shares.append(whole_share(guest))
            if number % 50 == 0:
                print(f'{name}: round {number} of {rounds}, {time.monotonic() - began:.0f} s, '
                      f'{shares[-1]:.1%} in whole blocks, host maps '
                      f'{host_maps(guest) / start:.1%} huge', flush=True)
        load.stop()
        guest.sh('rm -rf /tmp/files')
        result = {'shares': shares}
        if name != 'half':
            if guest.balloon is not None:
                guest.settle(REUSED * MIB, timeout=300)
                guest.settle(0, timeout=300)
            # Everything that the guest has free is used once; huge pages made it keep much.
            guest.write('/proc/sys/vm/min_free_kbytes', 2048)
            for node in range(NODES):
                guest.sh(f'fragment --node {node} --leave 4 > /tmp/used & '
                         'while ! grep -q . /tmp/used; do kill -0 $! || exit 1; sleep 0.2; done; '
                         'kill $!; wait', 300)
            result['huge'] = [start, host_maps(guest)]
            result['mapped'] = [mapped, host_maps(guest, 'Rss')]
        if guest.warnings():
            raise SystemExit('\n'.join(guest.warnings()))
        return result


def chart(rounds, results, file):
    """A line for each guest: the share in whole blocks, over the rounds."""
    blocks, plots = [], []
    for name, title in (('patched', 'patched'), ('vanilla', 'unpatched'),
                        ('half', 'no balloon, half of the memory')):
        data = '\n'.join(f'{(i + 1) * HALF} {share * 100:.2f}'
                         for i, share in enumerate(results[name]['shares']))
        blocks.append(f'${name} << EOD\n{data}\nEOD\n')
        plots.append(f'${name} with lines lw 2 title "{title}"')
    script = (''.join(blocks) +
              'set title "Memory in whole 2M blocks while half of it is ballooned"\n'
              'set xlabel "targets set by the host"\n'
              'set ylabel "% of the memory that the guest has left"\n'
              f'set xrange [0:{rounds}]\nset yrange [0:100]\nset grid\nset key bottom left\n'
              'plot ' + ', '.join(plots) + '\n')
    draw(file, script)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--rounds', type=int, default=1000, help='targets (default 1000)')
    parser.add_argument('--seed', type=int, default=1, help='of the targets (default 1)')
    parser.add_argument('--jobs', type=int, default=2, help='guests at a time (default 2)')
    parser.add_argument('--resume', action='store_true',
                        help='run only the guests that an interrupted run did not come to')
    add_defrag_mode(parser)
    options = parser.parse_args()
    file = 'churn' + defrag_suffix(parser, options.defrag_mode)
    if options.rounds < HALF:
        parser.error(f'--rounds {options.rounds}: {HALF} at least')
    settings = {'rounds': options.rounds, 'seed': options.seed, 'accelerator': accelerator(),
                'defrag_mode': options.defrag_mode}
    report = {**settings, 'guests': {}}
    path = os.path.join(OUT, f'{file}.json')
    if options.resume and os.path.exists(path):
        with open(path) as figures:
            before = json.load(figures)
        if {key: before.get(key) for key in settings} == settings:
            report = before

    def run(name):
        report['guests'][name] = churn(name, options.rounds, options.seed, options.defrag_mode)
        # Each takes long: what is done is kept.
        save(file, report)

    with ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(run, [name for name in GUESTS if name not in report['guests']]))
    results = report['guests']
    chart(options.rounds, results, file)

    reference = results['half']['shares']
    for name in 'patched', 'vanilla':
        lost = [b - a for a, b in zip(results[name]['shares'], reference)]
        print(f'{name}: {sum(results[name]["shares"]) / len(lost):.1%} of what is left lies in '
              f'whole blocks, {sum(reference) / len(lost):.1%} without a balloon; behind by '
              f'{sum(lost) / len(lost) * 100:.1f} points on average, {max(lost) * 100:.1f} at most')
    for name in 'patched', 'vanilla', 'never':
        before, after = results[name]['huge']
        mapped = results[name]['mapped'][0]
        print(f'{name}: the host maps {after / before:.1%} of what it mapped huge at the start '
              f'({before // HUGE} blocks), {results[name]["mapped"][1] / mapped:.1%} of all')


if __name__ == '__main__':
    main()
