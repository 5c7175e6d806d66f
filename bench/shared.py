# SPDX-License-Identifier: GPL-2.0
"""What the benches share: the two kernels, figures and their spread, files in build/bench."""

import argparse
import array
import json
import os
import statistics
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(TOP, 'scripts'))

from guest import (BUILD, HUGE, MIB, PAGE, QEMU, SHARED, Guest, accelerator,  # noqa: E402,F401
                   meminfo, resize_pool)
from options import count  # noqa: E402,F401

OUT = os.path.join(BUILD, 'bench')
GIB = 1 << 30
QUIET = 'virtio_balloon.free_page_reporting=0'
# With the mm's own reporting of free pages off. The unpatched kernel can't be told so: its device
# lacks the queue.
KERNELS = {
    'vanilla': {'flavour': 'vanilla', 'balloon': {}},
    'patched': {'flavour': 'release', 'balloon': {'free-page-reporting': True}, 'append': QUIET},
}


def some_of(names):
    """An option's value: some of NAMES, with commas between them."""
    def parse(text):
        for word in text.split(','):
            if word not in names:
                raise argparse.ArgumentTypeError(f'{word}: is none of {", ".join(names)}')
        return text.split(',')
    return parse


def add_defrag_mode(parser):
    """An option: what vm.defrag_mode, which only newer kernels have, is to be."""
    parser.add_argument('--defrag-mode', type=int, choices=(0, 1),
                        help='vm.defrag_mode of both kernels, with KERNEL=next; figures go to files '
                             'of their own')


def defrag_suffix(parser, mode):
    """Of the names of files with figures."""
    if mode is None:
        return ''
    if os.environ.get('KERNEL') != 'next':
        parser.error('--defrag-mode: this kernel has no vm.defrag_mode; try KERNEL=next')
    return f'-defrag{mode}'


def set_defrag_mode(guest, mode):
    if mode is not None:
        guest.write('/proc/sys/vm/defrag_mode', mode)


def spread(values):
    values = list(values)
    return {'median': statistics.median(values), 'min': min(values), 'max': max(values)}


def said(figure, form):
    """A spread in words: median (least to most)."""
    return f'{form(figure["median"])} ({form(figure["min"])} to {form(figure["max"])})'


def cpu_seconds(guest):
    """What QEMU has used so far: the guest's work is in it."""
    with open(f'/proc/{guest.process.pid}/stat') as stat:
        fields = stat.read().rpartition(')')[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def save(name, report):
    """Figures, to build/bench/NAME.json."""
    os.makedirs(OUT, exist_ok=True)
    with open(os.path.join(OUT, f'{name}.json'), 'w') as file:
        json.dump(report, file, indent=1)


def draw(name, script, height=480):
    """A chart by gnuplot, to build/bench/NAME.svg and NAME.png."""
    for kind, terminal in ('svg', 'svg'), ('png', 'pngcairo'):
        subprocess.run(['gnuplot'], text=True, check=True, input=(
            f'set terminal {terminal} size 900,{height} background "white"\n'
            f'set output "{os.path.join(OUT, name)}.{kind}"\n{script}\n'))


def fragment(guest, nodes, options):
    """Has a program in the guest keep a part of every 2M block of each node; what it says."""
    for node in range(nodes):
        guest.sh(f'fragment --node {node} {options} > /tmp/f{node} & while '
                 f'! grep -q . /tmp/f{node}; do kill -0 $! || exit 1; sleep 0.2; done', 300)
    return [guest.read(f'/tmp/f{node}').split()[1:] for node in range(nodes)]


def absent(pagemap, block):
    """Which pages of 2M of a process are neither populated nor swapped out."""
    entries = array.array('Q', os.pread(pagemap.fileno(), HUGE // PAGE * 8, block // PAGE * 8))
    # The two highest bits of an entry say so.
    return [page for page, entry in enumerate(entries) if not entry >> 62]


def populate(guest):
    """Has the host populate all of the guest's memory, and changes no byte of it.

    QEMU's prealloc does the same, but only once. The guest stands still meanwhile.
    """
    guest.qmp('stop')
    process, sizes = f'/proc/{guest.process.pid}', [size * MIB for size in guest.sizes]
    seen = left = 0
    with open(f'{process}/maps') as maps, open(f'{process}/pagemap', 'rb', 0) as pagemap, \
            open(f'{process}/mem', 'r+b', 0) as memory:
        for line in maps:
            words = line.split()
            start, end = (int(x, 16) for x in words[0].split('-'))
            anonymous = words[4] == '0' and end - start in sizes
            if not anonymous and not line.split('/')[-1].startswith('memfd:memory-backend-memfd'):
                continue
            seen += end - start
            for block in range(start, end, HUGE):
                holes = absent(pagemap, block)
                if holes and anonymous:
                    # To read would map the zero page. The first byte may bring a huge page.
                    os.pwrite(memory.fileno(), b'\0', block + holes[0] * PAGE)
                    for page in absent(pagemap, block):
                        os.pwrite(memory.fileno(), b'\0', block + page * PAGE)
                elif holes:
                    os.pread(memory.fileno(), HUGE, block)
                left += len(absent(pagemap, block)) if holes else 0
    if seen < sum(sizes) or left:
        raise SystemExit(f'{guest.name}: of {sum(sizes)} bytes only {seen} were found, and '
                         f'{left} pages of them are not populated')
    guest.qmp('cont')
