#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""What refill costs where it gets nothing, where many want it, and where somebody is to be killed.

Each case is a guest, one at a time. A table says what is wanted of a figure and whether it is met;
figures that nothing is wanted of tell it apart from what is not refill's. Times are page faults',
as the guest's own program sees them. Figures go to build/bench/refill.json.
"""

import argparse
import os
import time

from shared import KERNELS, MIB, OUT, PAGE, QUIET, Guest, accelerator, count, save, some_of, spread
from guest import GuestError
from pattern import Pattern
from scenes import CORE, counters, node_sum, start, state, zones

NODES = '/sys/devices/system/node'
SIM = '/sys/kernel/debug/balloon_sim'
FOR_EVER = 4294967295
SUPERFRAME = 2 * MIB

RUNS = 3
SECONDS = 20        # of each loop at the low watermark
SHARES = {'p50': 0.5, 'p99': 0.99, 'p99.9': 0.999, 'max': 1}
LONG = 1000000      # ns: no fault that waits for nobody takes that

# What is wanted.
CALLS = 20          # of the host, a second
REFUSED_RATIO = 1.2
CROWD_RATIO = 2
LOCAL_LOSS = 0.01
RESUMES = 30        # s after somebody was spared

CROWD = 32          # threads of 'exchange'
SPARED = 64         # threads of 'oom'


class Table:
    """Rows: what, the figure, what is wanted of it and whether that is so."""

    def __init__(self, case):
        self.case = case
        self.rows = []

    def add(self, what, figure, wanted='', met=None):
        self.rows.append({'what': what, 'figure': figure, 'wanted': wanted, 'met': met})
        verdict = '' if met is None else 'met' if met else 'NOT MET'
        print(f'{self.case:9} {what:44} {figure:30} {wanted:18} {verdict}'.rstrip(), flush=True)


def span(values, form):
    """A spread in few words: median (least-most)."""
    figure = spread(values)
    if len(values) == 1:
        return form(figure['median'])
    return f'{form(figure["median"])} ({form(figure["min"])}-{form(figure["max"])})'


def ratio(value):
    return f'{value:.2f}'


def us(ns):
    return f'{ns / 1000:.0f} us'


def latencies(text):
    """Shares of the faults that a guest's program has counted, in ns."""
    counts = [tuple(map(int, line.split())) for line in text.splitlines() if line[:1].isdigit()]
    total, seen, found = sum(count for _, count in counts), 0, {}
    if not total:
        raise GuestError(f'no fault was counted: {text!r}')
    for value, count in counts:
        seen += count
        for name, share in SHARES.items():
            if name not in found and seen >= share * total:
                found[name] = value
    return {**found, 'long': sum(count for value, count in counts if value >= LONG) / total,
            'faults': total}


def pages_of(guest):
    """Base pages in the balloon, node by node."""
    return [int(guest.read(f'{NODES}/node{n}/balloon/nr_pages')) for n in range(len(guest.sizes))]


def node_stat(guest, node, name):
    return int(guest.sh(f"sed -n 's/^{name} //p' {NODES}/node{node}/balloon/stat"))


def await_that(what, condition, seconds, poll=0.1):
    ended = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > ended:
            raise GuestError(f'{what}: not within {seconds} s')
        time.sleep(poll)


# How long a thread runs before another may. The usual few ms interrupt more than every hundredth
# fault where threads share a CPU, as most of their time is in faults: the p99 is a slice, then,
# whatever a fault takes. With long ones it is a fault.
SLICE = '/sys/kernel/debug/sched/base_slice_ns'
LONG_SLICE = 200000000


# --- refused ---

BALLOONED = 256     # MiB of the node
SLACK = 16          # MiB above its low watermark when the loop begins
LOOP = 64           # MiB that the loop wants


def squeeze(guest, node, nowait):
    """A host that has a part of NODE, and the rest in use but for a little."""
    for knob, value in ('enable', 0), ('refuse_deflate', 0), ('nowait', nowait), ('enable', 1):
        guest.write(f'{SIM}/{knob}', int(value))
    held = BALLOONED * MIB // PAGE
    guest.write(f'{NODES}/node{node}/balloon/target', held)
    guest.write(f'{SIM}/target', held)
    await_that('the balloon', lambda: pages_of(guest)[node] == held, 60)
    guest.write(f'{SIM}/refuse_deflate', FOR_EVER)
    room = sum(figures['free'] + figures['lists'] - figures['low']
               for (where, _), figures in zones(guest).items() if where == node)
    start(guest, f'hoard {room * PAGE // MIB - SLACK} locked --node {node}')
    return held


def calls_and_time(guest):
    """The host's calls so far, and the guest's own clock: it may be another than ours."""
    calls, uptime = guest.sh(f'cat {SIM}/calls /proc/uptime').splitlines()
    return int(calls), float(uptime.split()[0])


def at_the_mark(guest, node, mode, credit, seconds):
    """The loop in one mode: its faults, the host's calls, and how low the node's memory was."""
    guest.write(f'{CORE}/refill', mode)
    failed = node_stat(guest, node, 'refill_fail')
    calls, began = calls_and_time(guest)
    # Said anew, the host may have changed its mind: every run begins with that.
    guest.write(f'{SIM}/target', credit)
    cpus = sum(1 << cpu for cpu in guest.cpus[node])
    guest.sh(f'taskset {cpus:x} faults {LOOP} --threads 4 --all > /tmp/faults & :')
    free, ended = [], began
    while ended < began + seconds:
        guest.sh(f'sleep {seconds / 3:.2f}', 600)
        free.append(node_sum(guest, 'free')[node] / node_sum(guest, 'low')[node])
        called, ended = calls_and_time(guest)
    guest.sh('killall faults; while pidof faults > /dev/null; do sleep 0.1; done')
    return {**latencies(guest.read('/tmp/faults')), 'calls/s': (called - calls) / (ended - began),
            'refill_fail': node_stat(guest, node, 'refill_fail') - failed,
            'free of low': [round(part, 2) for part in free]}


def refused(table, options):
    """debug kernel, a host that refuses for ever; 4 threads at a node's low watermark"""
    report, node = {}, 1
    # The first CPU is for whoever looks on. Of two others, under icount, each would stand still
    # for as long as the other runs.
    with Guest(flavour='debug', nodes=[1024] * 2, cpus=[[0], [1] if options.icount else [1, 2]],
               balloon=None, append='kunit.enable=0', name='refill-refused',
               accel='icount' if options.icount else None) as guest:
        # Free memory comes back at once, and no watermark moves.
        guest.write('/proc/sys/vm/watermark_boost_factor', 0)
        guest.write('/proc/sys/vm/percpu_pagelist_high_fraction', 1000)
        guest.write(SLICE, LONG_SLICE)
        for kind in 'waited', 'nowait':
            held = squeeze(guest, node, kind == 'nowait')
            # A host that need not be waited for is asked in another way, and no more often.
            runs = report[kind] = {mode: [] for mode in
                                   (('credit', 'off') if kind == 'waited' else ('credit',))}
            for run in range(options.runs if kind == 'waited' else 1):
                # What drifts is to meet both.
                for mode in list(runs)[::-1 if run % 2 else 1]:
                    runs[mode].append(at_the_mark(guest, node, mode, held // 2, options.seconds))
            guest.sh('killall hoard; while pidof hoard > /dev/null; do sleep 0.1; done')
            # A host that keeps pages would lose them for the guest.
            guest.write(f'{SIM}/refuse_deflate', 0)
            guest.write(f'{SIM}/target', 0)
            await_that('an empty balloon', lambda: not sum(pages_of(guest)), 60)
            if not all(run['refill_fail'] for run in runs['credit']):
                raise GuestError('no allocation asked the host')

            calls = [run['calls/s'] for run in runs['credit']]
            table.add(f'{kind}: host calls a second', span(calls, '{:.1f}'.format),
                      f'{CALLS} at most', max(calls) <= CALLS)
            table.add(f'{kind}: free, of the low watermark',
                      span([part for run in runs['credit'] for part in run['free of low']], ratio))
            for mode, values in runs.items():
                table.add(f'{kind}: p99, {mode}', span([run['p99'] for run in values], us))
        runs = report['waited']
        table.add('waited: host calls a second, refill off',
                  span([run['calls/s'] for run in runs['off']], '{:.1f}'.format))
        for what in 'p50', 'p99', 'p99.9':
            ratios = [a[what] / b[what] for a, b in zip(runs['credit'], runs['off'])]
            wanted = what == 'p99'
            table.add(f'waited: {what}, of that with refill off', span(ratios, ratio),
                      f'{REFUSED_RATIO} at most' if wanted else '',
                      spread(ratios)['median'] <= REFUSED_RATIO if wanted else None)
    return report


# --- exchange ---

WHERE = 3           # the node
MOSTLY = 768        # MiB of it that are in the balloon
WANTED = 512        # MiB that the threads touch


def place(guest, mib):
    """The balloon has so much of each node, to the page."""
    wanted = [size * MIB // PAGE for size in mib]
    for node, size in enumerate(wanted):
        guest.write(f'{NODES}/node{node}/balloon/target', size)
    guest.set_balloon(sum(mib) * MIB)
    await_that(f'{mib} MiB in the balloon', lambda: pages_of(guest) == wanted, 120)


def crowd(guest, threads):
    """So many threads' faults, and the share of what they touched that lies on their node."""
    before, failed = (node_stat(guest, WHERE, name) for name in ('exchange', 'refill_fail'))
    guest.sh(f'rm -f /tmp/faults; faults {WANTED} --cpu {WHERE} --threads {threads} --once '
             '> /tmp/faults & while ! grep -qs held /tmp/faults; do kill -0 $! || exit 1; '
             'sleep 0.2; done', 300)
    figures = latencies(guest.read('/tmp/faults'))
    # Its one large mapping.
    lies = max(({word.split('=')[0]: int(word.split('=')[1]) for word in line.split()
                 if word.startswith('N') and '=' in word}
                for line in guest.sh('cat /proc/$(pidof faults)/numa_maps').splitlines()),
               key=lambda nodes: sum(nodes.values()))
    guest.sh('killall faults; while pidof faults > /dev/null; do sleep 0.1; done')
    return {**figures, 'local': lies.get(f'N{WHERE}', 0) / sum(lies.values()),
            'exchanged MiB': (node_stat(guest, WHERE, 'exchange') - before) * PAGE // MIB,
            'refill_fail': node_stat(guest, WHERE, 'refill_fail') - failed}


def exchange(table, options):
    """1 thread, then 32, on a node that is mostly in the balloon, or not at all"""
    others = MOSTLY // 3
    places = {'ballooned': [0, 0, 0, MOSTLY], 'free': [others, others, others, 0]}
    runs = {(slices, place, threads): [] for slices in ('long', 'usual') for place in places
            for threads in (1, CROWD)}
    with Guest(nodes=[1024] * 4, name='refill-exchange', **KERNELS['patched']) as guest:
        guest.write(f'{CORE}/refill', 'exchange')
        usual = guest.read(SLICE)
        for run in range(options.runs):
            for (slices, where, threads), found in runs.items():
                # The usual ones once: they show what a CPU does that 32 want.
                if run and slices == 'usual':
                    continue
                guest.write(SLICE, LONG_SLICE if slices == 'long' else usual)
                # Of the node's memory the host has discarded as much, either way: a first touch
                # costs the same, and what costs more is interrupted more often.
                place(guest, places['ballooned'])
                place(guest, places[where])
                found.append(crowd(guest, threads))
    for slices in 'long', 'usual':
        compare(table, {key[1:]: found for key, found in runs.items() if key[0] == slices},
                slices)
    return {', '.join(map(str, key)): found for key, found in runs.items()}


def compare(table, runs, slices):
    """The rows for one length of the scheduler's slices."""
    for (where, threads), found in runs.items():
        name = f'{slices}, {where}, {threads}'
        for what, said, form in (('local', 'local', '{:.2%}'.format), ('p99', 'p99', us),
                                 ('long', 'faults of 1 ms and more', '{:.2%}'.format)):
            table.add(f'{name}: {said}', span([run[what] for run in found], form))
    pairs = {where: list(zip(runs[where, 1], runs[where, CROWD]))
             for where in ('ballooned', 'free')}
    lost = [one['local'] - many['local'] for one, many in pairs['ballooned']]
    table.add(f'{slices}: local share that {CROWD} threads lose', span(lost, '{:.2%}'.format),
              f'{LOCAL_LOSS:.0%} at most', max(lost) <= LOCAL_LOSS)
    ratios = {where: [many['p99'] / one['p99'] for one, many in found]
              for where, found in pairs.items()}
    table.add(f'{slices}: p99 of {CROWD} threads, of one\'s', span(ratios['ballooned'], ratio),
              f'{CROWD_RATIO} at most', spread(ratios['ballooned'])['median'] <= CROWD_RATIO)
    table.add(f'{slices}: the same, nothing ballooned', span(ratios['free'], ratio))


# --- oom ---

EACH = 4            # MiB that each of the threads touches
BEYOND = 64         # MiB that the bound program wants more than its node has free


def rest(guest, seconds=60):
    """The balloon has got what it can; returns bytes."""
    last, since = guest.actual(), time.monotonic()
    ended = since + seconds
    while time.monotonic() < min(ended, since + 3):
        time.sleep(0.2)
        held = guest.actual()
        if held != last:
            last, since = held, time.monotonic()
    return last


def above_low(guest):
    """Bytes that are free above the low watermarks, but for those that a program can't have."""
    return PAGE * sum(figures['free'] + figures['lists'] - figures['low']
                      for (_, zone), figures in zones(guest).items() if zone != 'DMA')


def spared(guest, table):
    """Threads that all run out at once."""
    touched = SPARED * EACH * MIB
    held, above, before = rest(guest), above_low(guest), counters(guest)
    try:
        start(guest, f'locality {touched // MIB} --threads {SPARED} --no-thp --hold')
        end = 'spared'
    except GuestError:
        end = 'killed'
    # What the worker does after it has been told is no news.
    now = rest(guest, 10)
    left, after = above_low(guest), counters(guest)
    tables = (after['nr_page_table_pages'] - before['nr_page_table_pages']) * PAGE
    figures = {'held': held, 'deflated': held - now, 'needed': touched + tables - above,
               'above low before': above, 'above low after': left, 'end': end,
               'oom_kill': after['oom_kill'] - before['oom_kill']}
    more = figures['deflated'] - figures['needed']
    table.add(f'{SPARED} threads touch, MiB', f'{touched // MIB}')
    table.add('in the balloon before, of MiB', f'{held // MIB} of {guest.bytes() // MIB}')
    table.add('deflated, MiB', f'{figures["deflated"] / MIB:.1f}')
    table.add('needed: touched and low watermarks, MiB', f'{figures["needed"] / MIB:.1f}')
    table.add('deflated beyond that, MiB', f'{more / MIB:.1f}',
              f'{SPARED * SUPERFRAME // MIB} at most', more <= SPARED * SUPERFRAME)
    table.add('free above low watermarks after, MiB', f'{left / MIB:.1f}')
    table.add('the threads, killed', f'{end}, {figures["oom_kill"]}', 'spared, 0',
              end == 'spared' and not figures['oom_kill'])
    guest.sh('killall locality; while pidof locality > /dev/null; do sleep 0.1; done')
    return figures


def bound(guest, table, node=1):
    """A program that may have memory of one node only."""
    held, before = pages_of(guest), counters(guest)['oom_kill']
    mib = node_sum(guest, 'free')[node] * PAGE // MIB + BEYOND
    try:
        Pattern(guest, mib, f'--node {node}').stop()
        end = 'spared'
    except GuestError:
        end = 'killed'
    gone = [(a - b) * PAGE // MIB for a, b in zip(held, pages_of(guest))]
    killed = counters(guest)['oom_kill'] - before
    table.add(f'bound to node {node}: its end, killed', f'{end}, {killed}')
    table.add('bound: deflated, node by node, MiB', ' '.join(map(str, gone)))
    return {'end': end, 'oom_kill': killed, 'deflated MiB': gone}


def resumes(guest, table, was):
    """The host's target is pursued again, when there is memory again."""
    began, low, rose = time.monotonic(), guest.actual(), None
    state_then = state(guest)
    while time.monotonic() - began < RESUMES + 15:
        held = guest.actual()
        if held > low + SUPERFRAME and rose is None:
            rose = time.monotonic() - began
        if held > was - SPARED * SUPERFRAME // 4:
            break
        low = min(low, held)
        time.sleep(0.2)
    figures = {'low': low, 'after s': rose, 'held': rest(guest, 20), 'state then': state_then,
               'state': state(guest), 'target': int(guest.read(f'{CORE}/target'))}
    table.add('after the last: the balloon grows again, s',
              'never' if rose is None else f'{rose:.1f}', f'{RESUMES} at most',
              rose is not None and rose <= RESUMES)
    table.add('in the balloon: before, lowest, then, MiB',
              ' '.join(f'{size // MIB}' for size in (was, low, figures['held'])))
    table.add('state meanwhile', state_then)
    table.add('state then', figures['state'])
    return figures


def oom(table, options):
    """deflate-on-oom, the host wants everything; 64 threads run out at once, then a bound one"""
    with Guest(nodes=[512] * 4, balloon={'deflate-on-oom': True, 'free-page-reporting': True},
               append=QUIET, name='refill-oom') as guest:
        spare = int(guest.sh("sed -n 's/^MemAvailable: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo"))
        # QEMU has no more to ask for.
        guest.set_balloon(guest.bytes() - MIB)
        was = rest(guest)
        report = {'available MiB': spare // 1024, 'asked MiB': guest.bytes() // MIB - 1,
                  'spared': spared(guest, table), 'bound': bound(guest, table)}
        return {**report, 'resumes': resumes(guest, table, was)}


# --- sysrq ---

def forced(kernel):
    options = {**KERNELS[kernel]}
    options['balloon'] = {**options['balloon'], 'deflate-on-oom': True}
    with Guest(nodes=[512] * 2, name=f'refill-sysrq-{kernel}', **options) as guest:
        size = guest.bytes() * 3 // 4
        guest.settle(size)
        guest.sh('(echo 1000 > /proc/self/oom_score_adj; exec sleep 1000) > /dev/null 2>&1 & :')
        time.sleep(1)
        guest.write('/proc/sysrq-trigger', 'f')
        began, low, back = time.monotonic(), size, None
        while time.monotonic() - began < RESUMES and back is None:
            held = guest.actual()
            low = min(low, held)
            if low < size and held == size:
                back = time.monotonic() - began
            # It may be for a short time only; if so, at once.
            time.sleep(0.01 if time.monotonic() - began < 5 else 0.2)
        said = [line.split('] ', 1)[-1] for line in guest.console().splitlines()
                if 'Killed process' in line]
        return {'shrank': size - low, 'killed': counters(guest)['oom_kill'], 'said': said,
                'deflated pages': counters(guest)['balloon_deflate'], 'back after s': back}


def sysrq(table, options):
    """deflate-on-oom, 3/4 ballooned, SysRq-f; the unpatched kernel and ours"""
    report = {kernel: forced(kernel) for kernel in KERNELS}
    for kernel, figures in report.items():
        table.add(f'{kernel}: the balloon shrank, KiB', f'{figures["shrank"] // 1024}')
        table.add(f'{kernel}: processes killed', f'{figures["killed"]}')
        table.add(f'{kernel}: as it was, after s', '-' if figures['back after s'] is None else
                  f'{figures["back after s"]:.1f}')
    return report


CASES = {case.__name__: case for case in (refused, exchange, oom, sysrq)}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__.split('\n')[0], formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog='cases:\n' + '\n'.join(f'  {name:10}{case.__doc__}' for name, case in CASES.items()))
    parser.add_argument('--case', type=some_of(CASES), default=list(CASES),
                        help='which, with commas between them (default all)')
    parser.add_argument('--runs', type=count, default=RUNS,
                        help='of each loop that is compared, of "refused" and "exchange" '
                             f'(default {RUNS})')
    parser.add_argument('--seconds', type=count, default=SECONDS,
                        help=f'that a loop of "refused" takes (default {SECONDS})')
    parser.add_argument('--icount', action='store_true',
                        help='"refused" with a clock that counts instructions, one a ns: its '
                             'ratios are the same on a machine that has other work')
    options = parser.parse_args()
    report = {'accelerator': accelerator(), 'runs': options.runs, 'icount': options.icount,
              'cases': {}}
    for name in options.case:
        print(f'{name}: {CASES[name].__doc__}')
        table = Table(name)
        try:
            figures = CASES[name](table, options)
        except GuestError as error:
            figures = {'end': str(error)}
            print(f'{name:9} {error}')
        report['cases'][name] = {'rows': table.rows, 'figures': figures}
    save('refill', report)
    print(f'{os.path.relpath(OUT)}/refill.json')


if __name__ == '__main__':
    main()
