#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""How long page faults take while a balloon inflates: unpatched and patched, side by side.

A program touches memory, page by page, while the host, which has populated all of it, asks for
half of the guest. Counted are the faults that began while the balloon grew, in a guest that is idle
otherwise, and in one whose every 2M block is in use in part. Figures and a chart go to
build/bench/faults.json and faults.svg.
"""

import argparse

from shared import (KERNELS, MIB, Guest, accelerator, count, draw, fragment, populate, said, save,
                    spread)

NODES = 4
SIZE = 512          # MiB of each
TOUCHED = 64        # MiB, by the program
KEEP = 154          # of 512 pages, in the fragmented guest
# Inflations a boot: the first one leaves whole blocks where there were none.
CASES = {'idle': 3, 'fragmented': 1}
SHARES = {'p50': 0.5, 'p99': 0.99, 'max': 1}


def percentiles(counts):
    """From a list of (value, count), sorted."""
    total, found, seen = sum(count for _, count in counts), {}, 0
    for value, count in counts:
        seen += count
        for name, share in SHARES.items():
            if name not in found and seen >= share * total:
                found[name] = value
    return {**found, 'faults': total}


def measure(name, case):
    with Guest(nodes=[SIZE] * NODES, cpus=2, prealloc=False, name=f'faults-{name}-{case}',
               **KERNELS[name]) as guest:
        guest.write('/proc/sys/vm/compaction_proactiveness', 0)
        if case == 'fragmented':
            fragment(guest, NODES, f'--keep {KEEP} --leave 40')
        else:
            # The balloon has last seen memory that costs the host nothing to discard.
            guest.settle(NODES * SIZE // 2 * MIB, timeout=300)
            guest.settle(0, timeout=300)
        guest.sh(f'faults {TOUCHED} --cpu 0 > /tmp/faults & while ! grep -q . /tmp/faults; do '
                 'kill -0 $! || exit 1; sleep 0.1; done')
        for _ in range(CASES[case]):
            # To the host, what it discarded is nothing to discard again.
            populate(guest)
            guest.settle(NODES * SIZE // 2 * MIB, poll=0.005, timeout=300)
            guest.settle(0, poll=0.005, timeout=300)
        guest.sh('killall faults; while pidof faults; do sleep 0.1; done')
        lines = guest.read('/tmp/faults').splitlines()[1:]
        if not lines:
            raise SystemExit(f'{guest.name}: no fault while it inflated')
        return percentiles([tuple(map(int, line.split())) for line in lines])


def chart(report):
    """Bars: the medians of each percentile, by case."""
    script = ['set multiplot layout 1,2 title "Page faults while the balloon inflates"',
              'set style data histograms', 'set style fill solid 0.8', 'set logscale y',
              'set ylabel "us"', 'set grid y', 'set yrange [1:]', 'set key top left']
    for case in CASES:
        rows = '\n'.join(f'"{what}" ' + ' '.join(
            f'{spread(run[what] for run in runs)["median"] / 1000:.2f}'
            for runs in report[case].values()) for what in SHARES)
        script += [f'${case} << EOD', rows, 'EOD', f'set title "{case} guest"',
                   f'plot ${case} using 2:xtic(1) title "unpatched", '
                   f'${case} using 3 title "patched"']
    draw('faults', '\n'.join(script))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--runs', type=count, default=5, help='boots of each kernel (default 5)')
    options = parser.parse_args()
    report = {'runs': options.runs, 'accelerator': accelerator(), 'ratios': {}}
    for case in CASES:
        runs = {name: [] for name in KERNELS}
        for _ in range(options.runs):
            for name in KERNELS:
                runs[name].append(measure(name, case))
        report[case] = runs
        for what in SHARES:
            ratios = report['ratios'][f'{case}, {what}'] = spread(
                a[what] / b[what] for a, b in zip(runs['patched'], runs['vanilla']))
            print(f'{case:10} {what}, us: ' + ', '.join(
                f'{name} ' + said(spread(run[what] for run in values),
                                  lambda ns: f'{ns / 1000:.1f}')
                for name, values in runs.items()) +
                f'; of the unpatched: {said(ratios, "{:.2f}".format)}', flush=True)
        print(f'{case:10} faults: ' + ', '.join(
            f'{name} {sum(run["faults"] for run in values)}' for name, values in runs.items()),
            flush=True)
    save('faults', report)
    chart(report)


if __name__ == '__main__':
    main()
