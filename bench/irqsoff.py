#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""For how long the balloon keeps interrupts off: 200 targets, in haste, under load.

The kernel's own tracer tells of each section that is longer than a threshold, on a machine that
counts instructions (QEMU's -icount, a nanosecond each) and has one CPU, as time goes on while
others run: plain, and with init_on_free. The functions
named are where interrupts were turned off and on; who called them is said for the longest. The
kernel is 'scripts/build.sh irqsoff'. Figures go to build/bench/irqsoff.json.
"""

import argparse
import random
import re
import time

from shared import MIB, QUIET, Guest, count, save
from guest import kernel_of

TRACING = '/sys/kernel/tracing'
NODES = 4
SIZE = 256          # MiB of each
# What the programs use of it, the largest target, MiB.
USED, MOST = 256, 512
# The balloon's own, and the virtio driver's; what is in neither is the kernel's.
OURS = re.compile(r'\b\w*balloon\w*\b|\btake_\w+|\bput_range_locked\b|\bcarve_locked\b')


def longest(guest):
    """(microseconds, from where to where, the stack at its end) of the last section told of."""
    text = guest.sh(f'cat {TRACING}/trace', 120)
    latency = re.search(r'# latency: (\d+) us', text)
    if not latency:
        return None
    ends = re.findall(r'=> (started at|ended at): +(\S+)', text)
    stack = re.findall(r'^ => (\S+)', text, re.M)
    return int(latency[1]), dict(ends), stack


def measure(append, targets, threshold):
    name = f'irqsoff-{append or "plain"}'
    with Guest(flavour='release', kernel=kernel_of('irqsoff'), nodes=[SIZE] * NODES, cpus=[[0]] + [[]] * (NODES - 1),
               accel='icount', balloon={'free-page-reporting': True}, name=name,
               append=f'{QUIET} {append}', boot_timeout=600) as guest:
        guest.sh(f'mount -t tracefs none {TRACING}; :')
        for _ in range(2):
            guest.sh(f'(while [ ! -e /tmp/stop ]; do locality {USED // 2}; done) '
                     '> /dev/null 2>&1 &')
        guest.sh(f'cd {TRACING} && echo irqsoff > current_tracer && echo {threshold} > '
                 'tracing_thresh && echo 0 > tracing_max_latency && echo 1 > tracing_on')
        rng, told, most, began = random.Random(1), {}, None, time.monotonic()
        for number in range(1, targets + 1):
            guest.set_balloon(rng.randrange(0, MOST * MIB, 4096))
            time.sleep(rng.random() / 5)
            section = longest(guest) if number % 5 == 0 else None
            if section:
                key = (section[1].get('started at'), section[1].get('ended at'))
                told[key] = max(told.get(key, 0), section[0])
                if any(OURS.search(word) for word in (*section[2], *filter(None, key))):
                    most = max(most or section, section, key=lambda s: s[0])
                # The next one may be shorter.
                guest.sh(f'echo 0 > {TRACING}/tracing_max_latency')
            if number % 50 == 0:
                print(f'{name}: {number} of {targets} targets, {time.monotonic() - began:.0f} s',
                      flush=True)
        guest.sh('touch /tmp/stop')
        moved = guest.sh("grep -E 'balloon_(in|de)flate' /proc/vmstat").split()
        lockups = [line for line in guest.console().splitlines() if 'lockup' in line]
        return {'targets': targets, 'threshold us': threshold,
                'moved MiB': sum(map(int, moved[1::2])) * 4096 // MIB,
                'longest of the balloon': most and {'us': most[0], **most[1], 'stack': most[2]},
                'others': {f'{a} .. {b}': us for (a, b), us in sorted(
                    told.items(), key=lambda item: -item[1])[:8]},
                'soft lockups': len(lockups)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--targets', type=count, default=200, help='how many (default 200)')
    parser.add_argument('--threshold', type=count, default=100,
                        help='sections from so many microseconds on are told of (default 100)')
    options = parser.parse_args()
    report = {}
    for append in '', 'init_on_free=1':
        figures = report[append or 'plain'] = measure(append, options.targets, options.threshold)
        ours = figures['longest of the balloon']
        print(f'{append or "plain"}: {figures["moved MiB"]} MiB moved, {figures["soft lockups"]} soft '
              'lockups; ' + (f'the balloon had interrupts off for {ours["us"]} us at most' if ours
                             else f'none of the balloon\'s sections took {options.threshold} us'))
        for where, us in figures['others'].items():
            print(f'  {us:6} us  {where}')
    save('irqsoff', report)


if __name__ == '__main__':
    main()
