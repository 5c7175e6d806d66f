#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Everything at once, for an hour: a debug kernel's guest whose host never comes to rest.

Programs on every cpu touch and free memory, on base pages and huge ones, fork and fill pipes;
a pattern program sees to it that no byte is lost. Meanwhile the host's target, the nodes' targets,
their limits and the modes change at random, memory is compacted, memory blocks go offline and come
back, and allocations fail on purpose. Each minute the balloon's own check and all counters are
looked at, and in the end everything is given back. --off keeps one node's limit at 0 meanwhile, and
sees to it that nothing ever came to that node's balloon.
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
# What the guest does until /tmp/stop appears, one program a cpu and others anywhere.
LOAD = '''
renice -n 19 $$
loop() { while [ ! -e /tmp/stop ]; do "$@"; done > /dev/null 2>&1; }
forks() { for i in 1 2 3 4; do locality 4 & done; wait; }
files() { dd if=/dev/zero of=/tmp/soak bs=64k count=200; rm /tmp/soak; sleep 1; }
echo 500 > /proc/self/oom_score_adj
for n in 0 1; do
	loop locality 120 --cpu $n --threads 8 --no-thp &
done
loop locality 40 --thp &
loop forks &
loop files &
'''
# What is changed meanwhile, by the guest itself: from outside each change would take a second. That
# memory can't go offline under such a load is no failure. Counted in /tmp/changes.
CHANGES = '''
renice -n 17 $$
RANDOM={seed}
pick() {{ shift $((RANDOM % $#)); echo $1; }}
cd {core}
n=0
while [ ! -e /tmp/stop ]; do
	node={nodes}/node$((RANDOM % 4))/balloon
	case $((RANDOM % 26)) in
	[0-4]) echo $(((RANDOM << 15 | RANDOM) % {most})) > $node/target ;;
	[5-7]) echo auto > $node/target ;;
	8 | 9 | 1[0-8]) pick off credit credit exchange exchange oom > refill ;;
	19 | 20) pick balance local > policy ;;
	21 | 22) echo 1 > /proc/sys/vm/compact_memory ;;
	2[34]) [ $node = {off} ] || pick max max $(((RANDOM << 15 | RANDOM) % {most})) > $node/limit ;;
	25) block=$(pick {blocks})
	    timeout 10 sh -c "echo offline > $block/state"
	    echo online > $block/state ;;
	esac
	n=$((n + 1))
	echo $n > /tmp/changes
done 2> /dev/null
'''


class Soak:
    def __init__(self, test, guest, seed, percent=25, pace=1, off=None):
        self.test, self.guest, self.rng = test, guest, random.Random(seed)
        self.most = guest.bytes() * percent // 100
        self.pace = pace
        self.off = off
        self.blocks = guest.sh('grep -l online /sys/devices/system/memory/memory*/state | '
                               'sed s,/state,, | tail -n 8').split()
        self.targets = self.seen = 0

    def start(self):
        changes = CHANGES.format(seed=self.rng.randrange(1 << 15), core=CORE, nodes=NODES,
                                 most=pages(self.most), blocks=' '.join(self.blocks),
                                 off=f'{NODES}/node{self.off}/balloon')
        self.guest.sh(f'cat > /tmp/load <<"E"\n{LOAD}\nwait\nE\n'
                      f'cat > /tmp/change <<"E"\n{changes}\nE\n'
                      'sh /tmp/load > /dev/null 2>&1 &\n'
                      'echo -1000 > /proc/self/oom_score_adj\nsh /tmp/change > /dev/null 2>&1 &')

    def came_to_it(self):
        """What stat of the node whose limit is 0 says of what came to its balloon since boot."""
        if self.off is None:
            return None
        come = 'inflate_local', 'inflate_remote', 'migrate', 'exchange', 'coalesce'
        return {name: self.test.stat(self.guest, name)[self.off] for name in come}

    def changes(self):
        # Empty where it is just being written.
        self.seen = int(self.guest.sh('cat /tmp/changes 2>/dev/null || true') or self.seen)
        return self.seen

    def run(self, seconds):
        guest, test = self.guest, self.test
        pattern = Pattern(guest, 256, '--interleave', '--churn')
        # The OOM killer has better victims than what checks the others.
        guest.sh(f'echo -1000 > /proc/{pattern.pid}/oom_score_adj')
        if self.off is not None:
            guest.write(f'{NODES}/node{self.off}/balloon/limit', 0)
        before = self.came_to_it()
        self.start()
        # One allocation of a thousand fails, of those that may.
        guest.sh(f'! cd {FAIL} 2>/dev/null || {{ echo 1 > ignore-gfp-highmem; echo 0 > verbose; '
                 'echo 1000 > interval; echo 100 > probability; echo -1 > times; }')
        end, minute = time.monotonic() + seconds, time.monotonic() + 60
        while time.monotonic() < end:
            guest.set_balloon(self.rng.randrange(0, self.most, PAGE))
            self.targets += 1
            time.sleep(self.rng.random() * self.pace)
            if time.monotonic() > minute:
                minute += 60
                test.assert_consistent(guest)
                test.assert_untroubled(guest)
                pattern.verify()
                test.assertEqual(self.came_to_it(), before, f'node {self.off} has limit 0')
                left = max(0, end - time.monotonic()) / 60
                moved = {name: sum(test.stat(guest, name)) for name in
                         ('refill', 'exchange', 'migrate', 'coalesce', 'split')}
                print(f'# {self.targets} targets of the host, {self.changes()} changes in the '
                      f'guest, {left:.0f} minutes left, {moved}', flush=True)
        guest.sh(f'! cd {FAIL} 2>/dev/null || echo 0 > probability; touch /tmp/stop', 60)
        for n in range(4):
            guest.write(f'{NODES}/node{n}/balloon/target', 'auto')
        pattern.stop()
        test.assertEqual(self.came_to_it(), before, f'node {self.off} has limit 0')
        for n in range(4):
            guest.write(f'{NODES}/node{n}/balloon/limit', 'max')
        guest.set_balloon(0)
        test.settle(guest, 0, 300)
        test.assert_holds(guest, 0)
        test.assert_untroubled(guest)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--minutes', type=float, default=60, help='how long (default 60)')
    parser.add_argument('--seed', type=int, default=1, help='of all random choices (default 1)')
    parser.add_argument('--percent', type=int, default=25,
                        help='of memory that the host wants at most (default 25): a kernel without '
                             'KASAN has more left, and no refill with that')
    parser.add_argument('--pace', type=float, default=1,
                        help='seconds between two targets at most (default 1): a slow kernel does '
                             'nothing but pursue them')
    parser.add_argument('--flavour', default='debug',
                        help='the kernel: debug (default), kcsan, or release, on which no '
                             'allocation fails on purpose and much more happens')
    parser.add_argument('--off', type=int, choices=range(4), help='the node whose limit is 0')
    options = parser.parse_args()

    from test_refill import RefillTest

    test = RefillTest('run')
    # No more cpus than a small host has: emulated ones that wait for each other do nothing.
    with Guest(flavour=options.flavour, nodes=[512] * 4, cpus=[[0], [1], [], []],
               name=f'soak-{options.flavour}',
               balloon=REPORTING, append=f'{QUIET} kunit.enable=0') as guest:
        soak = Soak(test, guest, options.seed, options.percent, options.pace, options.off)
        soak.run(options.minutes * 60)
    print(f'{soak.targets} targets in {options.minutes:g} minutes: nothing lost, no warning')


if __name__ == '__main__':
    main()
