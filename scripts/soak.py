#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Everything at once, for an hour: a debug kernel's guest whose host never comes to rest.

Programs on every node touch and free memory, on base pages and huge ones, fork and fill pipes;
a pattern program sees to it that no byte is lost. Meanwhile the host's target, the nodes' targets
and the modes change at random, memory is compacted, memory blocks go offline and come back, and
allocations fail on purpose. Each minute the balloon's own check and all counters are looked at,
and in the end everything is given back.
"""

import argparse
import os
import random
import sys
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(TOP, 'scripts'), os.path.join(TOP, 'scripts', 'e2e')]

from common import CORE, NODES, PAGE, QUIET, REPORTING, pages  # noqa: E402
from guest import Guest  # noqa: E402
from pattern import Pattern  # noqa: E402

FAIL = '/sys/kernel/debug/fail_page_alloc'
# What the guest does until /tmp/stop appears, one program a node and two anywhere.
LOAD = '''
renice -n 19 $$
loop() { while [ ! -e /tmp/stop ]; do "$@"; done > /dev/null 2>&1; }
forks() { for i in 1 2 3 4; do locality 4 & done; wait; }
files() { dd if=/dev/zero of=/tmp/soak bs=64k count=200; rm /tmp/soak; sleep 1; }
echo 500 > /proc/self/oom_score_adj
for n in 0 1 2 3; do
	loop locality 60 --cpu $n --threads 4 --no-thp &
done
loop locality 40 --thp &
loop forks &
loop files &
'''


class Soak:
    def __init__(self, test, guest, seed):
        self.test, self.guest, self.rng = test, guest, random.Random(seed)
        self.most = guest.bytes() // 4
        self.blocks = guest.sh("cd /sys/devices/system/memory && grep -l online memory*/state | "
                               "sed 's,/.*,,' | tail -n 8").split()
        self.deeds = [self.host] * 8 + [self.node] * 6 + [self.mode] * 4 + [
            self.policy, self.compact, self.block]
        self.done = 0

    def host(self):
        self.guest.set_balloon(self.rng.randrange(0, self.most, PAGE))

    def node(self):
        target = self.rng.choice(['auto', self.rng.randrange(pages(self.most))])
        self.guest.write(f'{NODES}/node{self.rng.randrange(4)}/balloon/target', target)

    def mode(self):
        self.guest.write(f'{CORE}/refill', self.rng.choice(['off', 'credit', 'exchange', 'oom']))

    def policy(self):
        self.guest.write(f'{CORE}/policy', self.rng.choice(['balance', 'local']))

    def compact(self):
        self.guest.write('/proc/sys/vm/compact_memory', 1)

    def block(self):
        """Offline and back; that it fails under such a load is no failure."""
        path = f'/sys/devices/system/memory/{self.rng.choice(self.blocks)}/state'
        self.guest.status(f'timeout 10 sh -c "echo offline > {path}" 2>/dev/null; '
                          f'echo online > {path} 2>/dev/null', 120)

    def run(self, seconds):
        guest, test = self.guest, self.test
        pattern = Pattern(guest, 256, '--interleave', '--churn')
        # The OOM killer has better victims than what checks the others.
        guest.sh(f'echo -1000 > /proc/{pattern.pid}/oom_score_adj')
        guest.sh(f'({LOAD} wait) > /dev/null 2>&1 &')
        # One allocation of a thousand fails, of those that may.
        guest.sh(f'cd {FAIL} 2>/dev/null && echo 1 > ignore-gfp-highmem && echo 0 > verbose && '
                 'echo 1000 > interval && echo 100 > probability && echo -1 > times')
        end, minute = time.monotonic() + seconds, time.monotonic() + 60
        while time.monotonic() < end:
            self.rng.choice(self.deeds)()
            self.done += 1
            time.sleep(self.rng.random() / 2)
            if time.monotonic() > minute:
                minute += 60
                test.assert_consistent(guest)
                test.assert_untroubled(guest)
                pattern.verify()
                left = max(0, end - time.monotonic()) / 60
                print(f'# {self.done} changes, {left:.0f} minutes left, refilled '
                      f'{sum(test.stat(guest, "refill"))} pages, exchanged '
                      f'{sum(test.stat(guest, "exchange"))}', flush=True)
        guest.sh(f'echo 0 > {FAIL}/probability; touch /tmp/stop', 60)
        for n in range(4):
            guest.write(f'{NODES}/node{n}/balloon/target', 'auto')
        pattern.stop()
        guest.set_balloon(0)
        test.settle(guest, 0, 300)
        test.assert_holds(guest, 0)
        test.assert_untroubled(guest)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--minutes', type=float, default=60, help='how long (default 60)')
    parser.add_argument('--seed', type=int, default=1, help='of all random choices (default 1)')
    parser.add_argument('--flavour', default='debug', help='the kernel: debug (default) or kcsan')
    options = parser.parse_args()

    from test_refill import RefillTest

    test = RefillTest('run')
    with Guest(flavour=options.flavour, nodes=[512] * 4, balloon=REPORTING, name='soak',
               append=f'{QUIET} kunit.enable=0') as guest:
        soak = Soak(test, guest, options.seed)
        soak.run(options.minutes * 60)
    print(f'{soak.done} changes in {options.minutes:g} minutes: nothing lost, no warning')


if __name__ == '__main__':
    main()
