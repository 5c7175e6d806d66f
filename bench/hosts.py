#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Many guests on one host that has less memory than they have together.

Five guests of two nodes share a pool. In each, programs come and go that fill memory with a pattern
and verify it. A manager looks at what is available in each guest, lowers what guests have too much,
and gives it to those that have too little, never more than the pool has left: what a guest may
hold is what it was granted, or what it still holds of an earlier grant. A guest that gets nothing
starts no program: it waits. In the end no byte may be lost, nobody killed for want of memory, every
guest come to its target, and the pool never exceeded, neither by the manager's account nor by what
the host really had populated. Figures go to build/bench/hosts.json.
"""

import argparse
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from shared import HUGE, MIB, QUIET, Guest, accelerator, count, save
from pattern import Pattern

NODES, SIZE = 2, 128    # MiB of each
RESIDENT = 16           # MiB that each guest keeps from the beginning to the end
CHUNK = 16              # MiB of a program
MOST = 7                # programs that a guest wants at most
LOW = 10                # MiB that are to be available besides, when one is started
HEADROOM = CHUNK + LOW + 6
SLACK = 4               # MiB more or less are not worth a new target
PHASE = 6               # looks of the manager until a guest wants something else
SHORT = 60              # % of the guests' sizes that the pool has


class Tenant:
    """A guest, its programs, and what it may hold."""

    def __init__(self, number, seed):
        self.rng = random.Random(f'{seed} {number}')
        self.guest = Guest(nodes=[SIZE] * NODES, dist=[[10, 20], [20, 10]], name=f'hosts-{number}',
                           balloon={'free-page-reporting': True}, append=QUIET)
        self.granted = self.left = self.guest.bytes()
        self.programs, self.wanted = [], 0
        self.figures = {'started': 0, 'waited': 0, 'verified': 0, 'targets': 0,
                        'least': self.granted, 'most': 0}

    def look(self):
        self.left = self.guest.qmp('query-balloon')['actual']
        self.available = int(self.guest.sh(
            "sed -n 's/MemAvailable: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo")) * 1024
        self.figures['least'] = min(self.figures['least'], self.left)
        self.figures['most'] = max(self.figures['most'], self.left)

    def committed(self):
        return max(self.granted, self.left)

    def needs(self):
        """What it should have: what is in use, and room for one program more."""
        want = self.left - self.available + HEADROOM * MIB
        return min(-(-want // HUGE) * HUGE, self.guest.bytes())

    def grant(self, size):
        self.granted = size
        self.figures['targets'] += 1
        self.guest.set_balloon(self.guest.bytes() - size)

    def work(self):
        """A step towards as many programs as are wanted; ends with a look."""
        self.look()
        if len(self.programs) > self.wanted:
            self.figures['verified'] += self.programs.pop(0).stop()
        elif len(self.programs) < self.wanted:
            if self.available >= (CHUNK + LOW) * MIB:
                self.programs.append(Pattern(self.guest, CHUNK, '--interleave',
                                             f'--seed {self.rng.randrange(1 << 20)}'))
                self.figures['started'] += 1
            else:
                self.figures['waited'] += 1
        self.look()


class Host:
    def __init__(self, pool):
        self.pool = pool
        self.tenants = []
        self.refused = self.looks = self.most_committed = self.most_populated = 0
        self.ended = threading.Event()

    def committed(self):
        total = sum(tenant.committed() for tenant in self.tenants)
        self.most_committed = max(self.most_committed, total)
        if total > self.pool:
            raise SystemExit(f'{total // MIB} MiB are committed, the pool has {self.pool // MIB}')
        return total

    def watch(self):
        """What is really populated, all the time."""
        while not self.ended.wait(0.02):
            self.most_populated = max(self.most_populated, sum(
                tenant.guest.host_bytes(node) for tenant in self.tenants for node in range(NODES)))

    def balance(self):
        """Lower first. What that brings can be given when it has come, at the next look."""
        self.looks += 1
        free = self.pool - self.committed()
        for tenant in sorted(self.tenants, key=lambda tenant: tenant.available):
            more = tenant.needs() - tenant.granted
            if more < -SLACK * MIB:
                tenant.grant(tenant.granted + more)
            elif more > SLACK * MIB:
                # What it has not given back yet is its own.
                can = free + tenant.committed() - tenant.granted
                self.refused += can < more
                more = min(more, can // HUGE * HUGE)
                if more > 0:
                    tenant.grant(tenant.granted + more)
                    free = self.pool - self.committed()
        self.committed()

    def settle(self, jobs, what, timeout=60):
        """Goes on until all guests are at rest, and the manager wants nothing of them."""
        limit = time.monotonic() + timeout
        targets = None
        while targets != [tenant.granted for tenant in self.tenants] or \
                any(t.programs or t.left != t.granted for t in self.tenants):
            if time.monotonic() > limit:
                raise SystemExit(f'{what}, not all guests come to rest: ' + ', '.join(
                    f'{t.left // MIB} of {t.granted // MIB} MiB' for t in self.tenants))
            targets = [tenant.granted for tenant in self.tenants]
            list(jobs.map(Tenant.work, self.tenants))
            self.balance()

    def admit(self, tenant, jobs):
        """Boots a guest, which has all its memory then: the pool must have that much left."""
        if self.committed() + tenant.committed() > self.pool:
            raise SystemExit('the pool has no memory left to boot a guest')
        tenant.guest.start()
        tenant.resident = Pattern(tenant.guest, RESIDENT, '--interleave', '--seed 7')
        self.tenants.append(tenant)
        self.settle(jobs, 'at the start')


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--guests', type=count, default=5, help='how many (default 5)')
    parser.add_argument('--phases', type=count, default=6,
                        help='how often each wants something else (default 6)')
    parser.add_argument('--seed', type=count, default=1, help='of what they want (default 1)')
    options = parser.parse_args()
    sizes = options.guests * NODES * SIZE * MIB
    host = Host(sizes * SHORT // 100)
    waiting = [Tenant(number, options.seed) for number in range(options.guests)]
    with ThreadPoolExecutor(options.guests + 1) as jobs:
        try:
            watcher = jobs.submit(host.watch)
            for tenant in waiting:
                host.admit(tenant, jobs)
            print(f'{options.guests} guests of {NODES * SIZE} MiB are up, in a pool of '
                  f'{host.pool // MIB} MiB ({SHORT} %)', flush=True)
            began = time.monotonic()
            for look in range(options.phases * PHASE):
                for number, tenant in enumerate(host.tenants):
                    # Not all at the same time.
                    if (look + number) % PHASE == 0:
                        tenant.wanted = tenant.rng.randrange(MOST + 1)
                list(jobs.map(Tenant.work, host.tenants))
                host.balance()
            for tenant in host.tenants:
                tenant.wanted = 0
            host.settle(jobs, 'in the end')
            seconds = time.monotonic() - began
            for tenant in host.tenants:
                tenant.figures['verified'] += tenant.resident.stop()
                if 'oom_kill 0' not in tenant.guest.sh('cat /proc/vmstat').splitlines():
                    raise SystemExit(f'{tenant.guest.name}: somebody was killed for memory')
                if tenant.guest.warnings():
                    raise SystemExit('\n'.join(tenant.guest.warnings()))
        finally:
            host.ended.set()
            time.sleep(0.1)
            for tenant in waiting:
                tenant.guest.stop()
    watcher.result()
    if host.most_populated > host.pool:
        raise SystemExit(f'{host.most_populated} bytes were populated of {host.pool}')
    print('guest  programs  waited  targets  verified     held: least  most  at last (MiB)')
    for number, tenant in enumerate(host.tenants):
        figures = tenant.figures
        print(f'{number:5}  {figures["started"]:8}  {figures["waited"]:6}  {figures["targets"]:7}'
              f'  {figures["verified"] // MIB:4} MiB           {figures["least"] // MIB:4}'
              f'  {figures["most"] // MIB:4}  {tenant.left // MIB:7}')
    print(f'{seconds:.0f} s: of {host.pool // MIB} MiB at most {host.most_committed // MIB} were '
          f'granted or held, {host.most_populated // MIB} populated; {host.refused} times a guest '
          'got less than it needed; nothing lost, nobody killed, all came to their targets')
    save('hosts', {'accelerator': accelerator(), 'guests': options.guests, 'sizes': sizes,
                   'pool': host.pool, 'seconds': seconds, 'committed': host.most_committed,
                   'populated': host.most_populated, 'refused': host.refused,
                   'looks': host.looks, 'tenants': [tenant.figures for tenant in host.tenants]})


if __name__ == '__main__':
    main()
