# SPDX-License-Identifier: GPL-2.0
"""The first page of the report, for who has to decide and not to measure: what the host gets back,
how fast, at what cost to the guest, and where it came from. Each figure stands beside that of the
unpatched kernel, with its spread; what was not measured is named, and what is worse, too."""

import html
import time
from typing import NamedTuple, Optional

from shared import GIB, spread

STYLE = '''
.first { max-width: 60em; margin: 0 auto 3em; break-after: page }
.first h1 { margin: .2em 0 0; font-size: 1.7em } .first .lead { margin: .3em 0 1em; color: #555 }
.tiles { display: grid; grid-template-columns: repeat(4, 1fr); gap: .8em; margin-bottom: 1.2em }
.tile { border: 1px solid #d5d9e0; border-top: 4px solid #3b6fb6; border-radius: 4px;
        padding: .5em .8em .6em; line-height: 1.3 }
.tile b { display: block; font-size: 1.9em; line-height: 1.2; font-weight: 600; color: #1d3f72 }
.tile.none { border-top-color: #bbb } .tile.none b { color: #999; font-size: 1.2em; line-height: 1.9 }
.tile i { font-style: normal; color: #666; font-size: .85em; display: block }
.tile span { font-size: .8em; text-transform: uppercase; letter-spacing: .05em; color: #555 }
.first table { width: 100%; table-layout: fixed; margin: 0 0 .6em; font-size: .9em }
.first td { padding: .2em .5em }
.first th { font-size: .85em; font-weight: normal; color: #666; padding: .1em .5em }
.first h2 { font-size: 1.1em; margin: .6em 0 .1em } .first td { vertical-align: middle }
.first td, .first th { white-space: nowrap } .first th.w { width: 41% } .first th.n { width: 13.5% }
.first th.v { width: 13% } .first td.w { white-space: normal; line-height: 1.25 }
.first td.n small { display: block; line-height: 1.1; color: #777; font-weight: normal }
.first td.v { text-align: left }
.bar { position: relative; height: .5em; margin: .18em 0; background: #f1f2f4 }
.bar i { position: absolute; left: 0; top: 0; bottom: 0; background: #a9afb9 }
.bar.ours i { background: #3b6fb6 }
.bar u { position: absolute; top: calc(50% - 1px); height: 2px; background: #222 }
.chip { font-size: .85em; padding: .1em .5em; border-radius: .8em; background: #eceef1; color: #444 }
.chip.better { background: #dff0df; color: #060 } .chip.worse { background: #fae0de; color: #a00 }
.first .small { font-size: .82em; color: #555; margin: .3em 0 }
@media print { body { margin: 0; font-size: 9px; line-height: 1.3 } .first { margin: 0 }
        .first td { padding: .12em .5em } .first h2 { margin: .4em 0 0 } .first table { margin-bottom: .3em }
        .bar, .bar i, .bar u, .chip { print-color-adjust: exact } }
'''


class Row(NamedTuple):
    what: str
    ours: dict                      # median, min, max
    theirs: Optional[dict]          # None: the unpatched kernel can't
    form: object                    # a figure in words
    runs: int
    more: bool = True               # is better
    ratio: Optional[dict] = None    # ours to theirs, of neighbouring runs
    can_not: str = ''
    tile: str = ''                  # what it says at the top of the page


def percent(value):
    return f'{value:.1%}' if 0 < value < 0.1 or 0.9 < value < 1 else f'{value:.0%}'


def number(unit, digits=2):
    return lambda value: f'{value:.{digits}f}{unit}'


def inverse(figure):
    return {'median': 1 / figure['median'], 'min': 1 / figure['max'], 'max': 1 / figure['min']}


def scaled(figure, by):
    return {key: value * by for key, value in figure.items()}


def speed(figure, size):
    """GiB/s out of seconds."""
    return scaled(inverse(figure), size / GIB)


# --- what each bench has to say ---

BACKINGS = {'anon': 'in 2 MiB pages (THP)', 'memfd': 'in 4 KiB pages', 'hugetlbfs': 'on hugetlbfs'}


def pair(report):
    """The unpatched and the patched means."""
    names = report['means']
    return names[0], 'patched' if 'patched' in names else names[1]


def returned(report):
    theirs, ours = pair(report)
    for backing, result in report['backings'].items():
        if all('returned' in result.get(name, {}) for name in (theirs, ours)):
            yield Row(f'Given, and free at the host again; guest {BACKINGS[backing]}',
                      *(scaled(result[name]['returned'], 1 / report['bytes'])
                        for name in (ours, theirs)), percent, report['runs'],
                      tile=f'of what is given is free at the host again; guest {BACKINGS[backing]}')


def whole_blocks(report):
    names = {'idle': 'an idle guest', 'movable': 'a fragmented guest',
             'pinned': 'a fragmented one with pinned pages'}
    for case, guest in names.items():
        kernels = report['cases'].get(case)
        if kernels:
            yield Row(f'Given in whole blocks of 2M, by {guest}',
                      *(spread(run['whole'] for run in kernels[name])
                        for name in ('patched', 'vanilla')), percent, report['runs'],
                      tile='is given in whole blocks of 2M')


def in_time(report):
    for case, what in (('free', 'free memory'), ('cache', 'page cache')):
        means = report['cases'].get(case, {})
        if all('went' in means.get(name, {}) for name in ('ranges', 'unpatched')):
            yield Row(f'Of 1 GiB of {what}, given in {report["pace"]} s',
                      *(means[name]['went'] for name in ('ranges', 'unpatched')), percent,
                      report['runs'])


def kept_huge(report):
    guests = report['guests']
    if all(guests.get(name, {}).get('shares') for name in ('patched', 'vanilla')):
        yield Row(f'The guest has whole blocks itself, after {report["rounds"]} targets',
                  *(spread(guests[name]['shares']) for name in ('patched', 'vanilla')), percent, 1)


def how_fast(report):
    theirs, ours = pair(report)
    for backing, result in report['backings'].items():
        for case, what in (('reclaim touched', 'The host takes memory'),
                           ('return', 'The guest has it back')):
            if all(case in result.get(name, {}) for name in (theirs, ours)):
                yield Row(f'{what}; guest {BACKINGS[backing]}',
                          *(speed(result[name][case], report['bytes']) for name in (ours, theirs)),
                          number(' GiB/s'), report['runs'], ratio=result['ratios'][case],
                          tile='as fast as unpatched, when the host takes memory')


def from_guests(report):
    names = {'idle': 'an idle', 'half-used': 'a half-used', 'movable': 'a fragmented'}
    for case, guest in names.items():
        kernels = report['cases'].get(case)
        if kernels:
            yield Row(f'1 GiB out of {guest} guest',
                      *(spread(run['seconds'] for run in kernels[name])
                        for name in ('patched', 'vanilla')), number(' s'), report['runs'],
                      more=False, ratio=inverse(report['ratios'][f'{case}, seconds']),
                      tile='as fast as unpatched')


def left_over(report):
    for case, kind, what in (('free', 'memory', 'that copies memory'),
                             ('free', 'file', 'that reads files'),
                             ('cache', 'file', 'that reads files, as page cache goes')):
        ours, theirs = (report['ratios'].get(f'{case}, {name}, {kind}')
                        for name in ('ranges', 'unpatched'))
        if ours and theirs:
            yield Row(f'Speed left to a program {what}', ours, theirs, percent, report['runs'],
                      tile='of a program\'s speed is left to it meanwhile')
    for case, what in (('free', 'free memory'), ('cache', 'page cache')):
        means = report['cases'].get(case, {})
        if all('cpu' in means.get(name, {}) for name in ('ranges', 'unpatched')):
            yield Row(f'Guest\'s CPU time for 1 GiB of {what}',
                      *(means[name]['cpu'] for name in ('ranges', 'unpatched')), number(' s'),
                      report['runs'], more=False, ratio=report['ratios'].get(f'{case}, ranges, cpu'))


def fault_times(report):
    if 'idle' in report:
        yield Row('99 % of page faults, while it inflates, take less than',
                  *(scaled(spread(run['p99'] for run in report['idle'][name]), 1e-3)
                    for name in ('patched', 'vanilla')), number(' us', 1), report['runs'],
                  more=False, ratio=report['ratios'].get('idle, p99'))


def allocations(report):
    if 'patched' in report:
        yield Row('Instructions to allocate a page and free it',
                  *(scaled(spread(report[name]), 1e-6) for name in ('patched', 'unpatched')),
                  number('', 2), len(report['patched']), more=False)


def by_nodes(report):
    counts = list(report['patched'])
    last = counts[-1]
    yield Row(f'Instructions for each page given, on {last} nodes',
              *(report[name][last]['instructions'] for name in ('patched', 'vanilla')),
              number('', 0), report['runs'], more=False)


def own_node(report):
    if 'patched, credit' in report and 'unpatched' in report:
        yield Row('Program\'s memory on its own node, half of the guest ballooned',
                  *(spread(run['local'] for run in report[case])
                    for case in ('patched, credit', 'unpatched')), percent, 4,
                  tile='of a program\'s memory is on its own node')


def moved(report):
    for runs in report['runs'].values():
        yield Row(f'{report["size"]} MiB out of the node that is named',
                  spread(run['afresh'] for run in runs), None, number(' s'), len(runs), more=False,
                  can_not='takes any', tile=f'for {report["size"]} MiB out of the node that is named')
        yield Row('The same, moved from node to node, the total unchanged',
                  spread(run['moved'] for run in runs), None, number(' s'), len(runs), more=False,
                  can_not='can not', tile='')
        break


# Question, what is asked for short, and which bench answers with what.
QUESTIONS = [
    ('What is returned?', 'returned', [('reclaim', returned), ('states', whole_blocks),
                                       ('cost', in_time), ('churn', kept_huge)]),
    ('How fast?', 'how fast', [('reclaim', how_fast), ('states', from_guests)]),
    ('At what cost to the guest?', 'cost', [('cost', left_over), ('faults', fault_times),
                                            ('alloc_cost', allocations), ('nodes', by_nodes)]),
    ('Where did it come from?', 'from where', [('locality', own_node), ('moves', moved)]),
]


# --- how it looks ---

def verdict(row):
    """(class, words): a claim only where the whole spread is on one side."""
    if not row.theirs:
        return 'better', 'new'
    if row.ratio:
        # A ratio of times is told as the times themselves; one of speeds as speeds.
        low, high = row.ratio['min'], row.ratio['max']
        above, below = low > 1, high < 1
    else:
        above = row.ours['min'] > row.theirs['max']
        below = row.ours['max'] < row.theirs['min']
    if row.ours['median'] == row.theirs['median'] or not (above or below):
        return '', 'one run' if row.ours['min'] == row.ours['max'] and row.runs == 1 else 'no difference'
    kind = 'better' if above == row.more else 'worse'
    return kind, kind + ('' if row.runs > 1 else ', one run')


def shown(figure, form):
    text = form(figure['median'])
    low, high = form(figure['min']), form(figure['max'])
    least = low.rstrip('GiB/us ')       # the unit once is enough
    return html.escape(text) + (f'<small>{html.escape(least)} to {html.escape(high)}</small>'
                                if (low, high) != (text, text) else '')


def bars(row):
    figures = [figure for figure in (row.ours, row.theirs) if figure]
    most = max([figure['max'] for figure in figures] + ([1] if row.form is percent else []))
    text = ''
    for kind, figure in zip(('ours', ''), figures):
        at = {key: 100 * value / most for key, value in figure.items()} if most else dict.fromkeys(
            figure, 0)
        text += (f'<div class="bar {kind}"><i style="width:{at["median"]:.1f}%"></i>'
                 f'<u style="left:{at["min"]:.1f}%;width:{max(at["max"] - at["min"], .4):.1f}%"></u>'
                 '</div>')
    return text


def line(row):
    kind, words = verdict(row)
    theirs = shown(row.theirs, row.form) if row.theirs else f'<small>{row.can_not}</small>'
    return (f'<tr><td class="w">{html.escape(row.what)}</td>'
            f'<td class="n"><b>{shown(row.ours, row.form)}</b></td><td class="n">{theirs}</td>'
            f'<td class="bars">{bars(row)}</td>'
            f'<td class="v"><span class="chip {kind}">{words}</span></td></tr>')


def tile(short, rows):
    """The first of one question's answers that is fit for the top."""
    row = next((row for row in rows if row.tile), None)
    if not row:
        return f'<div class="tile none"><span>{short}</span><b>not measured</b></div>'
    if not row.theirs:
        big, small = row.form(row.ours['median']), f'unpatched: {row.can_not}'
    elif row.ratio:
        ratio = row.ratio if row.more else inverse(row.ratio)
        times = number('×', 1)
        big, small = times(ratio['median']), (
            f'{row.form(row.ours["median"])}; unpatched {row.form(row.theirs["median"])}' +
            (f'; {times(ratio["min"])} to {times(ratio["max"])}' if row.runs > 1 else '; one run'))
    else:
        spread_of = (f' ({row.form(row.ours["min"])} to {row.form(row.ours["max"])})'
                     if row.ours['min'] != row.ours['max'] else '')
        big, small = row.form(row.ours['median']), (
            f'unpatched {row.form(row.theirs["median"])}{spread_of and "; patched" + spread_of}' +
            ('' if row.runs > 1 else '; one run'))
    return (f'<div class="tile"><span>{short}</span><b>{html.escape(big)}</b>{html.escape(row.tile)}'
            f'<i>{html.escape(small)}</i></div>')


def first_page(find, home, machine):
    """HTML. FIND(bench) is (whose, report, when), or None if it has not run; HOME, whose figures need
    not be marked; MACHINE, where this is made, in words."""
    tiles, parts, said, emulated = '', '', {}, False
    for question, short, sources in QUESTIONS:
        rows, missing = [], []
        for bench, tell in sources:
            found = find(bench)
            if not found:
                missing.append(bench)
                continue
            whose, report, when = found
            said[bench] = f'{bench}: {whose}, {time.strftime("%Y-%m-%d", time.localtime(when))}'
            emulated |= report.get('accelerator') == 'tcg'
            mark = '' if whose == home else f' ({whose})'
            rows += [row._replace(what=row.what + mark, tile=row.tile and row.tile + mark)
                     for row in tell(report)]
        tiles += tile(short, rows)
        parts += f'<h2>{question}</h2>'
        if rows:
            parts += ('<table><tr><th class="w"></th><th class="n">patched</th>'
                      '<th class="n">unpatched</th>'
                      '<th></th><th class="v"></th></tr>' + ''.join(map(line, rows)) + '</table>')
        if missing:
            parts += (f'<p class="small">Not measured here: '
                      f'{", ".join(f"bench/{bench}.py" for bench in missing)}.</p>')
    caution = ('<b>Without KVM:</b> guests were emulated, which is many times slower than a machine. '
               'Seconds and GiB/s are for comparison of the two only. ') if emulated else ''
    return ('<div class="first"><h1>Memory that a host gets back from its guests</h1>'
            '<p class="lead">A guest gives memory that it does not need, so that a host can run more '
            'guests. The balloon of this kernel beside that of the unpatched one, on the same '
            f'machine.</p><div class="tiles">{tiles}</div>{parts}<p class="small">{caution}Large: '
            'medians; small, and black in the bars: from the least to the most of all runs. <span '
            'class="chip better">better</span> and <span class="chip worse">worse</span> are said '
            'only where that holds of all runs; where there was one run, there is no spread.</p>'
            f'<p class="small">{html.escape(machine)}. {html.escape("; ".join(said.values()))}.</p>'
            '</div>')
