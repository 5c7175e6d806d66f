#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""What inflating costs a guest of 1 to 64 nodes, in instructions, and in memory for bookkeeping.

The guest has 8 GiB, however many nodes they lie on, and the host asks for a quarter, several times
in a boot. What the kernel's threads execute until then is counted by a machine whose clock counts
instructions (QEMU's -icount), patched and unpatched. Bookkeeping is by how much slab and vmalloc
memory has grown with the first time. The slope is that of a straight line through the costs, in
instructions a page for each node more. Figures and a chart go to build/bench/nodes.json and
nodes.svg.
"""

import argparse
import statistics

from shared import KERNELS, MIB, PAGE, Guest, count, draw, said, save, spread

TOTAL = 8192        # MiB
SIZE = TOTAL * MIB // 4
REST = 3            # s of the guest, in which it comes to rest
IDLE = 20           # s of the guest, in which it is seen what it does when it has nothing to do
COUNTS = [1, 4, 16, 64]


def bookkeeping(guest):
    """Bytes of slab and vmalloc memory."""
    guest.sh('echo 3 > /proc/sys/vm/drop_caches')
    return sum(int(line.split()[1]) * 1024 for line in
               guest.sh("grep -E '^(Slab|VmallocUsed):' /proc/meminfo").splitlines())


def used(guest):
    """Instructions of the kernel's threads, and seconds, since the boot."""
    words = guest.sh('cputime; cat /proc/uptime').split()
    return int(words[0]), float(words[1])


def measure(name, nodes, rounds):
    """Instructions of each round, and bytes of bookkeeping."""
    with Guest(nodes=[TOTAL // nodes] * nodes, cpus=[[0]] + [[]] * (nodes - 1), accel='icount',
               name=f'nodes-{name}-{nodes}', boot_timeout=300, **KERNELS[name]) as guest:
        # Nothing else is to run meanwhile.
        guest.write('/proc/sys/vm/compaction_proactiveness', 0)
        guest.sh('sleep 5')
        memory = bookkeeping(guest)
        counts, rates = [], []
        for number in range(rounds):
            if number:
                guest.settle(0, 600)
            guest.sh(f'sleep {REST}')
            # An idle machine's clock jumps from timer to timer: how long the host looks on is no
            # measure of how much else has run.
            instructions, seconds = used(guest)
            guest.sh(f'sleep {IDLE}')
            idle, then = used(guest)
            rates.append((idle - instructions) / (then - seconds))
            guest.settle(SIZE, 600)
            guest.sh(f'sleep {REST}')
            instructions, seconds = used(guest)
            counts.append((instructions - idle, seconds - then))
            if not number:
                memory = bookkeeping(guest) - memory
        # The kernel has things to do now and then that have nothing to do with this.
        return [count - min(rates) * seconds for count, seconds in counts], memory


def chart(report):
    blocks, plots = [], []
    for name, title in (('vanilla', 'unpatched'), ('patched', 'patched')):
        data = '\n'.join(f'{nodes} {figures["instructions"]["median"]:.3f}'
                         for nodes, figures in report[name].items())
        blocks.append(f'${name} << EOD\n{data}\nEOD\n')
        plots.append(f'${name} with linespoints lw 2 pt 7 title "{title}"')
    script = (''.join(blocks) +
              f'set title "Inflating {SIZE // MIB} MiB of {TOTAL} MiB"\n'
              'set xlabel "nodes"\nset ylabel "instructions a page"\n'
              'set logscale xy\nset xtics (1, 4, 16, 64)\nset yrange [1:]\nset grid\n'
              'plot ' + ', '.join(plots) + '\n')
    draw('nodes', script)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--boots', type=count, default=2, help='of each kernel (default 2)')
    parser.add_argument('--rounds', type=count, default=3, help='in each boot (default 3)')
    options = parser.parse_args()
    report = {'bytes': SIZE, 'runs': options.boots * options.rounds, 'vanilla': {}, 'patched': {},
              'slope': {}, 'ratios': {}}
    pages = SIZE // PAGE
    for nodes in COUNTS:
        runs = {name: [] for name in KERNELS}
        for _ in range(options.boots):
            for name in KERNELS:
                runs[name].append(measure(name, nodes, options.rounds))
        words, counts = [], {}
        for name, values in runs.items():
            counts[name] = [instructions for rounds, _ in values for instructions in rounds]
            memory = statistics.median(memory for _, memory in values)
            each = spread(instructions / pages for instructions in counts[name])
            report[name][nodes] = {'instructions': each, 'memory': memory}
            first = report[name][COUNTS[0]]['instructions']['median']
            words.append(f'{name} {said(each, "{:.2f}".format)} a page, '
                         f'{each["median"] / first:.3f} of 1 node\'s, '
                         f'{memory // 1024:.0f} KiB ({memory / (TOTAL * MIB):.4%})')
        report['ratios'][f'{nodes} nodes, instructions'] = spread(
            a / b for a, b in zip(counts['vanilla'], counts['patched']))
        print(f'{nodes:2} nodes: ' + '; '.join(words), flush=True)
    for name in KERNELS:
        costs = [report[name][nodes]['instructions']['median'] for nodes in COUNTS]
        report['slope'][name] = statistics.linear_regression(COUNTS, costs).slope
        print(f'{name}: {report["slope"][name]:+.3f} instructions a page for each node more')
    save('nodes', report)
    chart(report)


if __name__ == '__main__':
    main()
