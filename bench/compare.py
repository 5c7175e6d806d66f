#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Whether two runs of the benches agree: compare.py OLD NEW, two copies of build/bench.

Each bench keeps its ratios of the patched and the unpatched kernel, with their spread, from the
least to the most of all runs. Two runs agree on a ratio if their spreads overlap: of five and five
runs of one and the same thing, 2 in 252 orders don't. Where each of their medians lies within the
other's spread, that is said, too; it is so in 180 of 252. Ends with status 1 if they don't agree on
all.
"""

import argparse
import glob
import json
import os

from shared import MIB, said


def ratios(folder):
    """All that a folder has: {(bench and size, ratio): spread}."""
    found = {}
    for path in sorted(glob.glob(os.path.join(folder, '*.json'))):
        with open(path) as file:
            report = json.load(file)
        bench = os.path.basename(path)[:-len('.json')]
        # What was measured at another size is another thing.
        size = report.get('size') or report.get('bytes', 0) // MIB
        for name, ratio in report.get('ratios', {}).items():
            found[f'{bench}, {size} MiB' if size else bench, name] = ratio
    if not found:
        raise SystemExit(f'compare.py: {folder}: no bench has left ratios there')
    return found


def judge(one, other):
    """How well two spreads agree."""
    if one['max'] < other['min'] or other['max'] < one['min']:
        return 'NO'
    if all(b['min'] <= a['median'] <= b['max'] for a, b in ((one, other), (other, one))):
        return 'well'
    return 'yes'


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('old', help='folder of the first run')
    parser.add_argument('new', help='folder of the second run')
    options = parser.parse_args()
    old, new = ratios(options.old), ratios(options.new)
    apart = 0
    for key in old:
        if key not in new:
            continue
        verdict = judge(old[key], new[key])
        apart += verdict == 'NO'
        print(f'{verdict:5}{key[0]}, {key[1]}: '
              f'{said(old[key], "{:.2f}".format)} and {said(new[key], "{:.2f}".format)}')
    for key in sorted(old.keys() ^ new.keys()):
        print(f'-    {key[0]}, {key[1]}: only in {options.old if key in old else options.new}')
    return 1 if apart else 0


if __name__ == '__main__':
    raise SystemExit(main())
