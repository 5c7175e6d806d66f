#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""All that was measured: build/bench/report.html, charts inside. It begins with a page for who
does not measure (summary.py).

Each bench leaves NAME.json, some NAME.svg too, in build/bench. The page shows what is there, and
says what is not; what was measured on the other kernel, KERNEL=next or 6.12, follows each. Nothing
on it is loaded from elsewhere.
"""

import argparse
import html
import json
import os
import platform
import subprocess
import time

import summary
from shared import BUILD, GIB, OUT, PAGE, QEMU, SHARED, TOP, accelerator, meminfo, spread

STYLE = '''
body { font: 16px/1.5 sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; color: #222 }
table { border-collapse: collapse; margin: 1em 0 } caption { text-align: left; color: #555 }
th, td { padding: .3em .8em; border-bottom: 1px solid #ccc; text-align: right }
th:first-child, td:first-child { text-align: left } .better { color: #060 } .worse { color: #a00 }
svg { max-width: 100%; height: auto } small { color: #555 }
'''


def table(head, rows, caption=''):
    cell = lambda tag, text: f'<{tag}>{text if text.startswith("<") else html.escape(text)}</{tag}>'
    return ('<table>' + (f'<caption>{html.escape(caption)}</caption>' if caption else '') +
            '<tr>' + ''.join(cell('th', text) for text in head) + '</tr>' +
            ''.join('<tr>' + ''.join(cell('td', text) for text in row) + '</tr>' for row in rows) +
            '</table>')


def shown(figure, form):
    """A median, and from where to where its runs are."""
    return (f'<span>{form(figure["median"])} <small>({form(figure["min"])} to '
            f'{form(figure["max"])})</small></span>')


def judged(ratio, form='{:.2f}'.format, more_is_better=True):
    """A ratio, coloured where its whole spread is on one side of 1."""
    good = ratio['min'] > 1 if more_is_better else ratio['max'] < 1
    bad = ratio['max'] < 1 if more_is_better else ratio['min'] > 1
    kind = 'better' if good else 'worse' if bad else ''
    return f'<span class="{kind}">{shown(ratio, form)}</span>'


def speed(report, seconds):
    return f'{report["bytes"] / GIB / seconds:.2f}' if seconds else 'at once'


def reclaim(report):
    names = report['means']
    cases = ['reclaim untouched', 'reclaim touched', 'return', 'return and touch']
    kinds = {'anon': '2M pages (THP)', 'memfd': '4K pages', 'hugetlbfs': 'hugetlbfs'}
    text = ''
    for backing, result in report['backings'].items():
        cell = lambda name, case, form: shown(result[name][case], form) \
            if case in result[name] else '-'
        rows = []
        for case in cases:
            cells = []
            for name in names:
                figure = result[name].get(case)
                # The slowest first, as its speed is the least.
                cells.append('-' if not figure else
                             f'<span>{speed(report, figure["median"])} <small>('
                             f'{speed(report, figure["max"])} to {speed(report, figure["min"])})'
                             '</small></span>')
            rows.append([case, *cells, judged(result['ratios'][case], '{:.1f}'.format)])
        floor = result.get('floor')
        text += table(['GiB/s', *names, 'patched : unpatched'], rows,
                      f'{report["bytes"] >> 20} MiB move. '
                      f'The host backs the guest with {kinds[backing]}.' +
                      (f' Discarding alone: {speed(report, floor["median"])} GiB/s.'
                       if floor else ''))
        rows = [[f'CPU seconds, {case}', *(cell(name, f'{case}, CPU', '{:.2f}'.format)
                                           for name in names)]
                for case in cases if f'{case}, CPU' in result[names[0]]]
        rows += [[f'{what}, {case}', *(f'{result[name][f"{case}, {what}"]["median"]:.0f}'
                                       for name in names)]
                 for case in ('reclaim', 'return') for what in ('kicks', 'interrupts', 'discards')]
        text += table(['a GiB', *names], rows,
                      'Kicks: the guest calls the host. Interrupts: the host calls the guest. '
                      'Discards: the ranges that QEMU gives back to the host.')
    return text


def nodes(report):
    counts = list(report['patched'])
    rows = []
    for count in counts:
        row = [count]
        for name in ('vanilla', 'patched'):
            figure = report[name][count]
            first = report[name][counts[0]]['instructions']['median']
            row += [shown(figure['instructions'], '{:.1f}'.format),
                    f'{figure["instructions"]["median"] / first:.2f}',
                    f'{figure["memory"] / 1024:.0f} KiB']
        rows.append(row)
    return table(['nodes', 'unpatched', 'to 1 node', 'bookkeeping', 'patched', 'to 1 node',
                  'bookkeeping'], rows, 'Instructions a page; how much slab and vmalloc grew. '
                 'Slope, in instructions a page for each node more: ' + ', '.join(
                     f'{"unpatched" if name == "vanilla" else name} {slope:+.3f}'
                     for name, slope in report['slope'].items()) + '.')


def faults(report):
    rows = []
    for case in ('idle', 'fragmented'):
        for what in ('p50', 'p99', 'max'):
            values = {name: [run[what] for run in runs] for name, runs in report[case].items()}
            micro = lambda ns: f'{ns / 1000:.1f}'
            rows.append([f'{case}, {what}', shown(spread(values['vanilla']), micro),
                         shown(spread(values['patched']), micro),
                         judged(report['ratios'][f'{case}, {what}'], more_is_better=False)])
    return table(['us', 'unpatched', 'patched', 'patched : unpatched'], rows)


def locality(report):
    return table(['pages on their own node', *(f'node {n}' for n in range(4)), 'numa_miss'],
                 [[case, *(f'{run["local"]:.2%}' for run in runs),
                   str(sum(run['numa_miss'] for run in runs))] for case, runs in report.items()])


def alloc_cost(report):
    base = min(report['unpatched'])
    return table(['', 'instructions a pair', 'to unpatched'],
                 [[name, f'{min(counts) / 1e6:.4f}', f'{min(counts) / base:.5f}']
                  for name, counts in report.items()])


def states(report):
    rows = []
    for case, kernels in report['cases'].items():
        for name, runs in kernels.items():
            figure = lambda key, form: shown(spread(run[key] for run in runs), form)
            rows.append([f'{case}, {"unpatched" if name == "vanilla" else name}',
                         figure('whole', '{:.1%}'.format), figure('seconds', '{:.2f}'.format),
                         figure('cpu', '{:.2f}'.format), '' if name == 'vanilla' else
                         judged(report['ratios'][f'{case}, seconds'])])
    return table(['', 'in whole 2M blocks', 'seconds a GiB', 'CPU seconds a GiB',
                  'times faster'], rows, f'A guest of four nodes of {report["size"]} MiB each.')


def moves(report):
    rows = [[backing, *(shown(spread(run[what] for run in runs), '{:.2f}'.format)
                        for what in ('afresh', 'moved')),
             shown(report['ratios'][backing], '{:.2f}'.format)]
            for backing, runs in report['runs'].items()]
    return table(['', 'inflated afresh, s', 'moved, s', 'moved : afresh'], rows,
                 f'{report["size"]} MiB.')


def cost(report):
    text = ''
    for case, means in report['cases'].items():
        figure = lambda name, what, form: shown(means[name][what], form.format) \
            if what in means[name] else '-'
        ratio = lambda name, what: report['ratios'].get(f'{case}, {name}, {what}')
        rows = []
        for name in report['means']:
            row = [name]
            for what in 'memory', 'file':
                row.append(figure(name, what, '{:.0f}') if name == 'none' else
                           shown(ratio(name, what), '{:.1%}'.format) if ratio(name, what) else '-')
            for what, form in ('cpu', '{:.3f}'), ('stalls', '{:.1f}'), ('all', '{:.1f}'), \
                    ('query', '{:.1f}'):
                row.append(figure(name, what, form))
            for what in 'cpu', 'query':
                row.append(judged(ratio(name, what), '{:.3f}'.format, more_is_better=False)
                           if ratio(name, what) else '-')
            rows.append(row + [figure(name, 'down', '{:.2f}'), figure(name, 'up', '{:.2f}'),
                               figure(name, 'went', '{:.0%}')])
        text += table(['', 'memory-bound', 'page-cache-bound', 'CPU seconds a GiB',
                       'stalls a GiB', 'all stalls a GiB', 'query-status, ms', 'CPU, to unpatched',
                       'query-status, to unpatched', 'down, s', 'up, s', 'went'], rows,
                      'The host takes ' + {'free': 'free memory.', 'cache': 'page cache.'}[case] +
                      ' Throughput: MiB/s of none, and what part of it the others leave.')
    return text + ''.join(f'<p>Not to the end: {html.escape(line)}</p>' for line in report['ended'])


def churn(report):
    rows = []
    for name, result in report['guests'].items():
        huge = result.get('huge')
        rows.append([{'vanilla': 'unpatched', 'half': 'no balloon, half of the memory',
                      'never': 'no balloon'}.get(name, name),
                     shown(spread(result['shares']), '{:.1%}'.format),
                     f'{huge[1] / huge[0]:.1%}' if huge else '-'])
    return table(['', 'of its memory in whole 2M blocks', 'still mapped huge by the host'], rows,
                 f'{report["rounds"]} targets of the host.')


def hosts(report):
    rows = [[f'guest {number}', str(guest['started']), str(guest['waited']), str(guest['targets']),
             f'{guest["least"] >> 20} to {guest["most"] >> 20}']
            for number, guest in enumerate(report['tenants'])]
    return table(['', 'programs', 'waited', 'targets', 'held, MiB'], rows,
                 f'Of {report["pool"] >> 20} MiB, {report["committed"] >> 20} were granted or held '
                 f'at most, {report["populated"] >> 20} populated; {report["refused"]} times a '
                 'guest got less than it needed.')


SECTIONS = [
    ('reclaim', 'How fast a host gets memory, and gives it back', reclaim,
     'Half of the memory of a guest of four nodes moves. Touched memory is populated at the host, '
     'untouched is not. Reporting has no target: a program gives memory up, and the host waits for '
     'the reports.'),
    ('states', 'What a host gets of an idle, a half-used and a fragmented guest', states,
     'Movable, pinned: 30 % of each 2M block are in use; pinned: in each twentieth by a page that '
     'can\'t be moved, besides. The host asks for half of what the guest could give.'),
    ('moves', 'How long it takes to move what is ballooned to another node', moves,
     'The total stands meanwhile. The unpatched balloon knows no nodes.'),
    ('cost', 'What it costs the guest while 1 GiB goes down and up', cost,
     'Two programs run in the guest: one copies memory, one reads a file out of the page cache. '
     'All means have the same time for each way; what part of 1 GiB went is told. Seconds of CPU '
     'are those of the guest\'s kernel threads, and of the program that takes and frees 1 GiB '
     'where memory is reported, or is not.'),
    ('churn', 'What many changes leave of whole 2M blocks', churn,
     'A host that changes its mind all the time, and a guest that allocates at every order.'),
    ('nodes', 'What inflating costs as nodes become more', nodes,
     '8 GiB on 1 to 64 nodes; counted on a machine whose clock counts instructions.'),
    ('hosts', 'Guests on a host that has less memory than they have together', hosts,
     'Programs come and go in each; a manager moves the targets, never beyond what the host has. '
     'No byte was lost, nobody was killed, and all guests came to their targets.'),
    ('faults', 'How long page faults take while the balloon inflates', faults,
     'A program that touches memory all the time.'),
    ('locality', 'Where a program\'s memory lies while half of the guest is ballooned', locality,
     'It is bound to a node\'s CPU and touches 800 MiB of the node\'s 1 GiB. Moving: the host wants '
     'another amount twice a second meanwhile. kswapd: 400 MiB, and kswapd is awake all the time.'),
    ('alloc_cost', 'What the allocator pays', alloc_cost,
     'A pair: a page is allocated and freed, a million times.'),
]


def folders():
    """[(kernel, build)]: that of KERNEL=, then the other one."""
    both = [('6.12', SHARED), ('the newest kernel', os.path.join(SHARED, 'next'))]
    return both if BUILD == SHARED else both[::-1]


def machine():
    with open('/proc/cpuinfo') as cpuinfo:
        model = next((line.partition(':')[2].strip() for line in cpuinfo
                      if line.startswith('model name')), platform.machine())
    qemu = subprocess.run([QEMU, '--version'], capture_output=True, text=True,
                          check=True).stdout.splitlines()[0]
    releases = []
    for _, build in folders():
        kernel = os.path.join(build, 'release/include/config/kernel.release')
        if os.path.exists(kernel):
            with open(kernel) as file:
                releases.append('Linux ' + file.read().strip())
    return [('machine', f'{model}, {os.cpu_count()} CPUs, {meminfo("MemTotal") >> 30} GiB'),
            ('host', f'{platform.system()} {platform.release()}'), ('QEMU', qemu),
            ('accelerator', accelerator()), ('guests', ', '.join(releases)),
            ('made', time.strftime('%Y-%m-%d %H:%M %Z'))]


def inline(path):
    """An SVG for the inside of a page: without what only a file of its own has."""
    with open(path) as file:
        text = file.read()
    return text[text.index('<svg'):]


def figures(name):
    """What was measured: [(whose, path)], first that of KERNEL= as it is by default."""
    found = []
    for kernel, build in folders():
        for suffix, mode in ('', ''), ('-defrag0', ', defrag_mode 0'), ('-defrag1', ', defrag_mode 1'):
            path = os.path.join(build, 'bench', name + suffix)
            if os.path.exists(f'{path}.json'):
                found.append((kernel + mode, path))
    return found


def first(name):
    """What the report's first page knows of a bench: (whose, report, when)."""
    for whose, path in figures(name):
        with open(f'{path}.json') as file:
            return whose, json.load(file), os.path.getmtime(f'{path}.json')
    return None


def section(show, whose, path):
    """One bench on one kernel."""
    with open(f'{path}.json') as file:
        report = json.load(file)
    made = os.path.getmtime(f'{path}.json')
    svg = f'{path}.svg'
    # A chart of before is not this run's.
    current = os.path.exists(svg) and os.path.getmtime(svg) + 5 > made
    return (f'<h3>{whose} <small>{time.strftime("%Y-%m-%d %H:%M", time.localtime(made))}</small>'
            '</h3>' + (inline(svg) if current else '') + show(report))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.parse_args()
    parts, there, missing = [], [], []
    for name, title, show, about in SECTIONS:
        found = figures(name)
        if not found:
            missing.append(name)
            continue
        there += [f'{name} ({whose})' for whose, _ in found]
        parts.append(f'<h2 id="{name}">{title}</h2><p>{about} <small>bench/{name}.py</small></p>' +
                     ''.join(section(show, *one) for one in found))
    if not parts:
        raise SystemExit('report.py: nothing was measured yet')
    page = ('<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>Balloons, measured</title>'
            f'<style>{STYLE}{summary.STYLE}</style>'
            f'{summary.first_page(first, folders()[0][0], ", ".join(text for _, text in machine()))}'
            '<h1>NUMA-aware ballooning, measured</h1>'
            '<p>Medians, from the least to the most of all runs in brackets. Runs of both kernels '
            'alternate; ratios are of neighbouring runs. Green: better in every one of them; red: '
            'worse in every one.</p>' + table(['', ''], map(list, machine())) + ''.join(parts) +
            (f'<p>Not measured here: {", ".join(missing)}.</p>' if missing else '') + '</html>')
    path = os.path.join(OUT, 'report.html')
    os.makedirs(OUT, exist_ok=True)
    with open(path, 'w') as file:
        file.write(page)
    print(f'{os.path.relpath(path, TOP)}: ' + ', '.join(there))


if __name__ == '__main__':
    main()
