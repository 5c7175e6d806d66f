#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""What ballooning costs the guest, while 1 GiB goes down and up in a loop, side by side.

In a guest of 2 GiB, four nodes and two CPUs, one program copies memory, another one reads a file at
random out of the page cache. The host takes 1 GiB and gives it back, at the same pace by every
means: so throughput tells what a GiB costs, not how fast it went. What is late does not count, and
the next target comes. Before each way down the host populates all memory, so that there is
something to discard. What goes is free memory, or ('cache') page cache that was used but once; the
programs and their file fit into what is left. The means are

    none        nothing moves, and there is no balloon
    unpatched   the unpatched kernel's balloon
    ranges      the patched one; superframes go out as ranges, on the reporting queue
    arrays      the patched one, by a device that lacks this queue
    reporting   free page reporting of the unpatched kernel: a program takes 1 GiB, then frees it
    unreported  the same program, and no reports: what that costs by itself
    virtio-mem  half of each node is a device's; by the unpatched kernel, which has the driver

Told are throughput, beside 'none' in the same run; for each GiB that went, seconds of CPU of the
guest's kernel threads and of the program that takes 1 GiB (no interrupts; on a busy host, what the
guest's CPUs waited for is in it), how often an allocation of the programs stalled in direct reclaim
or compaction, and one of anybody ('all': it may have been the balloon's own); and the longest of
QMP's query-status, asked each 2 ms: these beside 'unpatched'. Figures and a chart go to
build/bench/cost.json and cost.svg.
"""

import argparse
import os
import socket
import tempfile
import threading
import time

import reclaim
from shared import (GIB, KERNELS, MIB, accelerator, count, draw, populate, said, save, some_of,
                    spread)
from guest import Channel, GuestError, Qmp
from scenes import Disk, start

SIZE = GIB          # that goes down and up, of twice as much
MEMORY = FILE = 256     # MiB, of the two programs
COLD = 1536         # MiB, more than is free: read once
POLL = 0.02         # s
REST = 60           # s that what was late has, before the next time
ASK = 0.002         # s from one query-status to the next
CASES = ('free', 'cache')
# Who stalls: /proc/vmstat does not know.
TRACE = '/sys/kernel/tracing'
STALLS = ('vmscan/mm_vmscan_direct_reclaim_begin', 'compaction/mm_compaction_try_to_compact_pages')
# What is told of each means, how, and beside which other one.
TOLD = {'memory': ('{:.0f} MiB/s', 'none'), 'file': ('{:.0f} MiB/s', 'none'),
        'cpu': ('{:.3f} s', 'unpatched'), 'stalls': ('{:.1f}', 'unpatched'),
        'all': ('{:.1f}', 'unpatched'),
        'query': ('{:.1f} ms', 'unpatched'), 'down': ('{:.2f} s', None), 'up': ('{:.2f} s', None),
        'went': ('{:.0%}', None)}


class Balloon(reclaim.Balloon):
    polled = True       # whether one can see when it is there

    def ask(self, guest, away):
        guest.set_balloon(away)

    def got(self, guest):
        """Bytes that the host has got."""
        return guest.actual()


class Still(Balloon):
    polled = False

    def ask(self, guest, away):
        pass

    def got(self, guest):
        return 0


class Unreported(Balloon):
    """A program takes memory, then frees it."""

    polled, freed = False, 0

    def ask(self, guest, away):
        # The first half is the one that takes.
        guest.sh('kill $(cat /tmp/hold)' if not away else
                 f'work hold {SIZE // MIB} >> /tmp/spent 2> /dev/null & echo $! > /tmp/hold')
        self.freed = 0 if away else SIZE

    def got(self, guest):
        return self.freed


class Reporting(Unreported):
    def got(self, guest):
        return -sum(map(guest.host_bytes, range(reclaim.NODES)))


class VirtioMem(reclaim.VirtioMem, Balloon):
    def ask(self, guest, away):
        for node in range(reclaim.NODES):
            guest.qmp('qom-set', path=f'vm{node}', property='requested-size',
                      value=(SIZE - away) // reclaim.NODES)

    def got(self, guest):
        return SIZE - self.sizes(guest)


VANILLA = {'flavour': 'vanilla', 'cpus': 2}
MEANS = {
    'none': Still(balloon=None, **VANILLA),
    'unpatched': Balloon(balloon={}, **VANILLA),
    'ranges': Balloon(cpus=2, **KERNELS['patched']),
    'arrays': Balloon(flavour='release', balloon={}, cpus=2),
    'reporting': Reporting(balloon={'free-page-reporting': True}, **VANILLA),
    'unreported': Unreported(balloon={}, **VANILLA),
    'virtio-mem': VirtioMem(**VANILLA),
}


class Asker(threading.Thread):
    """Asks QEMU for its status all the time, on a socket of its own."""

    def __init__(self, path):
        super().__init__(daemon=True)
        channel = Channel()
        channel.close()
        channel.ours = socket.socket(socket.AF_UNIX)
        channel.ours.connect(path)
        self.qmp, self.answers = Qmp(channel), []
        self.qmp.greet()
        self.start()

    def run(self):
        running = True
        while running:
            began = time.monotonic()
            try:
                self.qmp('query-status')
            except GuestError:
                running = False     # QEMU has gone, or is stuck
            took = time.monotonic() - began
            self.answers.append((began, took))
            time.sleep(max(0, ASK - took))

    def longest(self, since):
        """Of those that ended since then; where none has, it still waits."""
        return max((took for began, took in self.answers if began + took >= since),
                   default=time.monotonic() - since)


def look(guest):
    """What the guest has counted so far."""
    text = guest.sh('for x in memory file; do read -r word done < /tmp/$x; echo $x $done; done; '
                    'echo threads $(cputime); read -r up rest < /proc/uptime; echo up $up; '
                    'cat /tmp/spent; grep -E "^(allocstall|compact_stall)" /proc/vmstat; '
                    f'echo stalls $(grep -c "^ *work-" {TRACE}/trace); '
                    '[ $(pidof work | wc -w) -ge 2 ]')
    seen = dict.fromkeys(('memory', 'file', 'threads', 'up', 'spent', 'stalls', 'all'), 0)
    for name, value in map(str.split, text.splitlines()):
        seen['all' if 'stall_' in name or name == 'compact_stall' else name] += float(value)
    return seen


def wait_for(means, guest, away, limit):
    """Seconds until the host has got as much; None if it has not, or nobody can see it."""
    began = time.monotonic()
    while means.polled and (passed := time.monotonic() - began) < limit:
        if means.got(guest) == away:
            return passed
        time.sleep(POLL)
    return None


def half(means, guest, away, pace):
    """Asks, and waits for as long as one way may take; seconds that it took, or None."""
    began = time.monotonic()
    means.ask(guest, away)
    took = wait_for(means, guest, away, pace)
    time.sleep(max(0, began + pace - time.monotonic()))
    return took


def loop(means, guest, asker, case, options):
    """1 GiB goes down and up, some times; what was found."""
    sums, went, longest, halves = {}, 0, 0, {'down': [], 'up': []}
    for _ in range(options.cycles):
        guest.sh('killall -STOP work')
        # What was late has time now.
        wait_for(means, guest, 0, REST)
        if case == 'cache':
            guest.sh('cat /dev/vda > /dev/null', 300)
        populate(guest)
        guest.sh('killall -CONT work; sleep 1')
        before, began = look(guest), time.monotonic()
        for way, away in ('down', SIZE), ('up', 0):
            got = means.got(guest)
            halves[way].append(half(means, guest, away, options.pace))
            went += max(0, means.got(guest) - got)
        longest = max(longest, asker.longest(began))
        for name, value in look(guest).items():
            sums[name] = sums.get(name, 0) + value - before[name]
    per_gib = lambda value: value * GIB / went if went else None
    # Of what was not there in time, it is only known that it took longer.
    seconds = {way: spread(took)['median'] if all(took) else None for way, took in halves.items()}
    return {'memory': sums['memory'] / MIB / sums['up'], 'file': sums['file'] / MIB / sums['up'],
            'cpu': per_gib(sums['threads'] / 1e9 + sums['spent']), 'query': longest * 1000,
            'stalls': per_gib(sums['stalls']), 'all': per_gib(sums['all']),
            'threads': sums['threads'] / 1e9 / sums['up'],
            'went': went / SIZE / options.cycles if means.polled or went else None, **seconds}


def measure(name, options):
    """A boot: the figures of each case, or how it ended."""
    means, results = MEANS[name], {}
    with Disk(FILE + COLD) as disk, tempfile.TemporaryDirectory() as folder:
        guest = means.boot(options.backing, SIZE, f'cost-{name}')
        guest.extra += [*disk.args, '-qmp', f'unix:{folder}/qmp,server=on,wait=off']
        try:
            with guest:
                asker = Asker(f'{folder}/qmp')
                means.begin(guest, SIZE)
                guest.sh('> /tmp/spent')
                for event in STALLS:
                    guest.sh(f'cd {TRACE}/events/{event}; echo \'comm == "work"\' > filter; '
                             'echo 1 > enable')
                start(guest, f'work memory {MEMORY}', '/tmp/memory')
                start(guest, f'work file /dev/vda {FILE}', '/tmp/file')
                for case in options.cases:
                    results[case] = loop(means, guest, asker, case, options)
        except GuestError as error:
            results['end'] = str(error).splitlines()[0]
    return results


def summary(runs, case, options):
    """{means: {what: spread}}, and the ratios in one run."""
    found, ratios = {name: {} for name in options.means}, {}
    for what, (_, beside) in TOLD.items():
        for name in options.means:
            values = [run[name][case][what] for run in runs
                      if run[name].get(case, {}).get(what) is not None]
            if values:
                found[name][what] = spread(values)
            if beside not in options.means or name in ('none', beside):
                continue
            pairs = [[run[who].get(case, {}).get(what) for who in (name, beside)] for run in runs]
            # Of nothing there is no part.
            values = [one / other for one, other in pairs if one is not None and other]
            if values:
                ratios[f'{case}, {name}, {what}'] = spread(values)
    return found, ratios


def tell(case, found, ratios, options):
    for what, (form, beside) in TOLD.items():
        for name in options.means:
            if what in found[name]:
                ratio = ratios.get(f'{case}, {name}, {what}')
                print(f'{case:6}{what:7}{name:11}' + said(found[name][what], form.format) + (
                    f'; of {beside}: {said(ratio, "{:.3f}".format)}' if ratio else ''), flush=True)


def chart(report):
    """Bars: throughput beside no balloon, of each program in each case."""
    bars, rows = [(case, what) for case in report['cases'] for what in ('memory', 'file')], []
    for name in report['means'][1:]:
        found = [report['ratios'].get(f'{case}, {name}, {what}') for case, what in bars]
        rows.append(f'"{name}" ' + ' '.join(f'{ratio["median"] * 100:.2f}' if ratio else '-'
                                            for ratio in found))
    draw('cost', '\n'.join([
        '$part << EOD', *rows, 'EOD', 'set style data histograms', 'set style fill solid 0.8',
        'set title "Throughput while 1 GiB goes down and up"', 'set ylabel "% of no balloon"',
        'set grid y', 'set yrange [0:]', 'set key outside top center horizontal',
        'plot ' + ', '.join(f'$part using {i + 2}:xtic(1) title "{case}, {what}"'
                            for i, (case, what) in enumerate(bars))]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--runs', type=count, default=5, help='boots of each (default 5)')
    parser.add_argument('--cycles', type=count, default=2,
                        help='how often 1 GiB goes down and up, in each case (default 2)')
    parser.add_argument('--pace', type=count, default=8, help='s for each way (default 8)')
    parser.add_argument('--means', type=some_of(MEANS), default=list(MEANS),
                        help=f'the first two, and which others (default {",".join(MEANS)})')
    parser.add_argument('--cases', type=some_of(CASES), default=list(CASES),
                        help=f'what the host takes (default {",".join(CASES)})')
    parser.add_argument('--backing', choices=reclaim.BACKINGS, default='memfd',
                        help='of the guest\'s memory (default memfd)')
    options = parser.parse_args()
    options.means = [name for name in MEANS if name in ('none', 'unpatched', *options.means)]
    if 'virtio-mem' in options.means and 'virtio-mem' not in reclaim.offered():
        print('this QEMU has no virtio-mem')
        options.means.remove('virtio-mem')
    report = {**vars(options), 'size': SIZE // MIB, 'accelerator': accelerator(),
              'cpus': os.cpu_count(), 'all': [], 'ratios': {}, 'cases': {}, 'ended': []}
    print(f'1 GiB down and up {options.cycles} times, {options.pace} s a way, '
          f'{options.runs} runs, {report["accelerator"]}', flush=True)
    for number in range(options.runs):
        run = {}
        # What the host's own host had to find for one, the next one finds.
        for name in options.means[::(-1) ** number]:
            began = time.monotonic()
            run[name] = measure(name, options)
            print(f'run {number + 1} of {options.runs}: {name}, '
                  f'{time.monotonic() - began:.0f} s {run[name].get("end", "")}', flush=True)
        # Each takes long: what is done is kept.
        report['all'].append(run)
        save('cost', report)
    for case in options.cases:
        report['cases'][case], ratios = summary(report['all'], case, options)
        report['ratios'].update(ratios)
        tell(case, report['cases'][case], ratios, options)
    report['ended'] = [f'{name}: {result["end"]}' for run in report['all']
                       for name, result in run.items() if 'end' in result]
    save('cost', report)
    if report['ratios']:
        chart(report)


if __name__ == '__main__':
    main()
