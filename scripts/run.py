#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The main job, shown and checked: a NUMA guest's memory is taken and given back.

Boots a guest whose nodes lie at unequal distances, fills a part of its memory with a pattern,
then lets the host ask for memory: of the whole guest, which is shared among the nodes, of one node
more than it has, which spreads ring by ring around it, and of a guest one node of which has limit 0.
All figures are compared with what the host really got back. Ends with a summary; the exit status is
0 if all checks passed.
"""

import argparse
import signal
import sys
import textwrap
import time

import topology
from display import Table, Waiting
from guest import HUGE, MIB, PAGE, Guest, GuestError, accelerator
from pattern import Pattern

UNIT = 4096             # what virtio counts in
# Of a node: with KASAN what was freed stays out of reach for a while, up to a thirty-second of all
# memory (mm/kasan/quarantine.c), and who reads a file frees a base page. That shows if it is large.
KEPT = 1 / 32
STEPS = 6               # of the host's total on its way up and down, each one checked
NODES = '/sys/devices/system/node'
STATE = '/sys/kernel/mm/balloon/state'

SAMPLE = f'''
cd {NODES}
for n in $(seq 0 %d); do
    echo $n $(cat node$n/balloon/nr_pages node$n/balloon/nr_superframes node$n/balloon/limit) \
        $(sed 's/.* //; 3q' node$n/balloon/available) \
        $(sed -n 's/^Node [0-9]* Mem\\(Total\\|Free\\): *\\([0-9]*\\) kB/\\2/p' node$n/meminfo)
done
sed -n 's/^nr_balloon_pages //p' /proc/vmstat
sed -n 's/^Balloon: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo
cat {STATE}
'''


class Node:
    """What is known of a node at one moment, in bytes unless the name says otherwise."""

    def __init__(self, host, pages, superframes, limit, whole, made, single, total_kb, free_kb):
        pages, superframes, whole, made, single, total_kb, free_kb = map(
            int, (pages, superframes, whole, made, single, total_kb, free_kb))
        self.pages, self.superframes = pages, superframes
        self.limit = None if limit == 'max' else int(limit) * PAGE
        self.available = (whole + made) * HUGE + single * PAGE
        self.total, self.free = total_kb * 1024, free_kb * 1024
        self.balloon = pages * PAGE
        self.host = host


class Sample:
    """The guest's and the host's figures at one moment."""

    def __init__(self, guest):
        *nodes, vmstat, meminfo, self.state = guest.sh(SAMPLE % (len(guest.sizes) - 1)).splitlines()
        self.nodes = [Node(guest.host_bytes(n), *line.split()[1:]) for n, line in enumerate(nodes)]
        self.vmstat = int(vmstat) * PAGE
        self.meminfo = int(meminfo) * 1024
        self.actual = guest.actual()
        self.balloon = sum(node.balloon for node in self.nodes)


class Run:
    def __init__(self, guest, options):
        self.guest = guest
        self.dist = options.dist
        self.origin = options.nodes // 2
        self.kept = KEPT if options.kernel == 'debug' and PAGE > UNIT else 0
        self.checks = []

    def check(self, ok, what):
        self.checks.append((ok, what))
        if not ok:
            print(f'FAIL: {what}', flush=True)

    # --- showing ---

    def lines(self, title, sample, wanted):
        yield f'{title}: {sample.balloon // MIB} of {wanted // MIB} MiB, {sample.state}'
        yield (f'{"MiB":>6} {"total":>7} {"free":>7} {"balloon":>8} {"superframes":>12} '
               f'{"available":>10} {"limit":>6} {"host got back":>14}')
        for n, node in enumerate(sample.nodes):
            back = self.before.nodes[n].host - node.host
            limit = 'max' if node.limit is None else node.limit // MIB
            yield (f'node {n:<2}{node.total // MIB:7} {node.free // MIB:7} {node.balloon // MIB:8} '
                   f'{node.superframes:12} {node.available // MIB:10} {limit:>6} {back // MIB:14}')

    def plain(self, title, sample, wanted):
        return (f'{title}: {sample.balloon // MIB} of {wanted // MIB} MiB; nodes: ' +
                ' '.join(str(node.balloon // MIB) for node in sample.nodes) + f'; {sample.state}')

    def settle(self, title, wanted, table=None, timeout=120, seen=None):
        """Shows the nodes until the balloon holds what is wanted, and says so; returns the last
        sample. SEEN is called with each."""
        table = table or Table()
        deadline = time.monotonic() + timeout
        while True:
            sample = Sample(self.guest)
            done = sample.balloon == sample.actual == wanted and sample.state == 'settled'
            if seen:
                seen(sample)
            late = time.monotonic() > deadline
            table.show(list(self.lines(title, sample, wanted)),
                       self.plain(title, sample, wanted), last=done or late)
            if done or late:
                return sample
            time.sleep(0.2)

    # --- judging ---

    def judge(self, title, sample, wanted, host=True):
        """The figures of one moment agree, with each other and, if asked, with what the host
        lost since the start."""
        figures = {'nodes': sample.balloon, 'vmstat': sample.vmstat,
                   'meminfo': sample.meminfo, 'device': sample.actual}
        self.check(set(figures.values()) == {wanted},
                   f'{title}: {wanted // PAGE} pages asked, counted: ' +
                   ', '.join(f'{name} {value // PAGE}' for name, value in figures.items()))
        self.check(sample.state == 'settled', f"{title}: the state is '{sample.state}'")
        if not wanted:
            return
        if host:
            pairs = [(start.host - node.host, node.balloon)
                     for start, node in zip(self.before.nodes, sample.nodes)]
            self.check(all(abs(lost - held) <= max(held // 100, HUGE) for lost, held in pairs),
                       f'{title}: MiB given by each node and got by the host: ' +
                       ', '.join(f'{held / MIB:.1f} {lost / MIB:.1f}' for lost, held in pairs))
        whole = sum(node.superframes for node in sample.nodes) * HUGE / max(sample.balloon, 1)
        self.check(whole >= 0.99, f'{title}: {whole:.2%} are whole superframes')

    def judge_rings(self, rising, falling):
        """RISING and FALLING: samples; the nearer ring fills first and empties last."""
        rings = topology.rings(self.dist, self.origin)
        shown = self.guest.read(f'{NODES}/node{self.origin}/balloon/rings').splitlines()
        self.check([parse_ring(line) for line in shown] ==
                   [(self.dist[self.origin][ring[0]], ring) for ring in rings],
                   f"node {self.origin}'s rings are the matrix's: {'; '.join(shown)}")

        def held(sample):
            return [sum(sample.nodes[n].balloon for n in ring) for ring in rings]

        rising, falling = [held(s) for s in rising], [held(s) for s in falling]
        peak = rising[-1]
        # What other uses of a node's memory may shift meanwhile.
        slack = [max(4 * MIB, sum(self.guest.sizes[n] for n in ring) * MIB * (0.01 + self.kept))
                 for ring in rings]
        used = sum(amount > 0 for amount in peak)
        self.check(used > 1, f'a target beyond node {self.origin} reaches {used} rings: ' +
                   ', '.join(f'{amount // MIB} MiB' for amount in peak))
        pairs = [(near, far) for far in range(len(rings)) for near in range(far)]

        def against(samples, wrong):
            """Where a pair of rings is otherwise, in words."""
            return ''.join(f'; ring {near} had {amounts[near] // MIB} of {peak[near] // MIB} MiB, '
                           f'and ring {far} {amounts[far] // MIB}'
                           for amounts in samples for near, far in pairs
                           if wrong(amounts, near, far))

        early = against(rising, lambda amounts, near, far:
                        amounts[far] and amounts[near] < peak[near] - slack[near])
        self.check(not early, 'a farther ring is begun only when the nearer ones are full' + early)
        late = against(falling, lambda amounts, near, far:
                       amounts[far] > slack[far] and amounts[near] < peak[near] - slack[near])
        self.check(not late, 'a nearer ring is given back only when the farther ones are empty' +
                   late)

    # --- the story ---

    def story(self):
        guest = self.guest
        total = guest.bytes()
        few = len(guest.sizes) < 3
        with Waiting('filling memory with a pattern'):
            pattern = Pattern(guest, total // MIB * (20 if few else 40) // 100, '--interleave')
        self.before = Sample(guest)
        self.judge('at the start', self.before, 0)

        wanted = whole(total // 4)
        guest.set_balloon(wanted)
        sample = self.settle('host takes a quarter', wanted)
        self.judge('host takes a quarter', sample, wanted)
        shares = [node.free / (size * MIB) for node, size in zip(sample.nodes, guest.sizes)]
        self.check(max(shares) - min(shares) <= 0.02 + 2 * self.kept, 'free memory is balanced: ' +
                   ', '.join(f'{share:.1%}' for share in shares) + ' of each node')
        if PAGE > UNIT:
            self.rounding_story()
        guest.set_balloon(0)
        self.judge('given back', self.settle('given back', 0), 0)

        if len(guest.sizes) > 1:
            self.rings_story()
            self.limit_story()

        with Waiting('verifying the pattern'):
            try:
                self.check(True, f'the pattern is intact: {pattern.stop()} bytes')
            except GuestError as error:
                self.check(False, f'the pattern: {error}')
        after = Sample(guest)
        totals = [[node.total for node in s.nodes] for s in (self.before, after)]
        self.check(totals[0] == totals[1], f'MemTotal is as before: {sum(totals[1]) // 1024} kB')
        self.check(not guest.warnings(), 'the guest warned of nothing' +
                   ''.join(f'\n    {line}' for line in guest.warnings()))

    def rounding_story(self):
        """The host counts in pages of 4K, and what it asks for is no multiple of the guest's."""
        for rest in UNIT, PAGE - UNIT:
            asked = whole(self.guest.bytes() // 4) + rest
            wanted = -(-asked // PAGE) * PAGE
            title = f'host takes {rest // 1024}K beside that'
            self.guest.set_balloon(asked)
            self.judge(title, self.settle(title, wanted), wanted, host=False)

    def rings_story(self):
        """One node is asked for more than it has."""
        guest, origin = self.guest, self.origin
        # With the memory whole again, what the host gets back can be compared once more.
        # Anonymous memory can't be made whole from outside.
        again = guest.backends[origin] != 'anon'
        for node in range(len(guest.sizes)) if again else []:
            guest.populate(node)
        free = sum(node.free for node in Sample(guest).nodes)
        wanted = whole(min(guest.sizes[origin] * MIB * 3 // 2, free * 4 // 5))
        levels = [whole(wanted * step // STEPS) for step in range(STEPS + 1)]
        target = f'{NODES}/node{origin}/balloon/target'

        # A node's target says where; how much of it is taken the host's total says.
        guest.write(target, wanted // PAGE)
        rising, falling = [], []
        title = f'node {origin} is to give {wanted // MIB} MiB, it has {guest.sizes[origin]}'
        table = Table()
        for level in levels[1:]:
            guest.set_balloon(level)
            rising.append(self.settle(title, level, table))
        self.judge(f'beyond node {origin}', rising[-1], wanted, host=again)

        title = f'node {origin} gets it back'
        table = Table()
        for level in reversed(levels[:-1]):
            guest.set_balloon(level)
            falling.append(self.settle(title, level, table))
            guest.write(target, level // PAGE)
        guest.write(target, 'auto')
        self.judge('all given back', self.settle('all given back', 0), 0)
        self.judge_rings(rising, falling)

    def limit_story(self):
        """One node is kept out, although the host and a target ask for its memory."""
        guest, off = self.guest, len(self.guest.sizes) - 1
        files = f'{NODES}/node{off}/balloon'
        inflated = f"grep '^inflate_' {files}/stat"
        before, came = Sample(guest), guest.sh(inflated)
        others = sum(node.available for node in before.nodes[:off])
        wanted = whole(min(guest.bytes() // 4, others * 3 // 4))
        guest.write(f'{files}/limit', 0)
        guest.write(f'{files}/target', wanted // PAGE)
        seen = []
        title = f'node {off} has limit 0'
        guest.set_balloon(wanted)
        sample = self.settle(title, wanted, seen=seen.append)
        self.judge(title, sample, wanted, host=False)
        self.check(not any(s.nodes[off].pages for s in seen) and guest.sh(inflated) == came and
                   sample.nodes[off].host >= before.nodes[off].host,
                   f'{title}: nothing of it was in the balloon at any time, nor had the host any; '
                   'the others gave ' +
                   ', '.join(f'{node.balloon // MIB}' for node in sample.nodes[:off]) + ' MiB')
        guest.write(f'{files}/target', 'auto')
        guest.set_balloon(0)
        self.judge('given back again', self.settle('given back again', 0), 0)
        guest.write(f'{files}/limit', 'max')
        free = Sample(guest).nodes[off].available
        self.check(sample.nodes[off].available == 0 < free,
                   f'{title}: 0 MiB of it were available, then {free // MIB}')

    def summary(self):
        failed = sum(not ok for ok, _ in self.checks)
        print('\nSummary')
        for ok, what in self.checks:
            first, *more = what.split('\n')
            print('\n'.join([textwrap.fill(first, 80, initial_indent=f'  {"ok  " if ok else "FAIL"}  ',
                                           subsequent_indent=' ' * 10), *more]))
        print(f'{len(self.checks) - failed} passed, {failed} failed')
        return failed == 0


def whole(size):
    """SIZE, rounded down to whole superframes."""
    return size // HUGE * HUGE


def parse_ring(line):
    """(20, [0, 1, 3]) from '20: 0-1,3'."""
    distance, _, nodes = line.partition(':')
    found = []
    for part in nodes.strip().split(','):
        first, _, last = part.partition('-')
        found += range(int(first), int(last or first) + 1)
    return int(distance), found


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    topology.add_options(parser)
    parser.add_argument('--kernel', metavar='FLAVOUR', choices=['release', 'debug'],
                        default='release', help='release or debug (release)')
    options = topology.parse(parser)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))     # as Ctrl-C: with cleaning up

    # The mm's own reporting would return free memory too: then nobody could tell what the
    # balloon returned. The queue stays, for the balloon itself.
    guest = Guest(options.kernel, nodes=[options.size] * options.nodes, dist=options.dist,
                  backend=options.backend, prealloc=True, name='run',
                  balloon={'free-page-reporting': True},
                  append='virtio_balloon.free_page_reporting=0')
    run = Run(guest, options)
    try:
        guest.accel = accelerator()
        with Waiting(f'booting {options.nodes} nodes of {options.size} MiB on {options.backend}'
                     f' ({guest.accel})',
                     lambda: (guest.console().splitlines() or [''])[-1]):
            guest.start()
        if guest.status(f'test -e {NODES}/node0/balloon')[0]:
            raise GuestError('this kernel has no NUMA-aware balloon')
        run.story()
    except GuestError as error:
        run.check(False, f'{error}')
    except KeyboardInterrupt:
        print('\ninterrupted')
        return 130
    finally:
        guest.stop()
    return 0 if run.summary() else 1


if __name__ == '__main__':
    sys.exit(main())
