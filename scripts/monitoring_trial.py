#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Tries what tools/monitoring has on a real Prometheus and real node_exporters: has each alert
fire, sees that Prometheus shows what balloonstat shows, and draws the dashboard's panels from what
it has of a real guest, into build/monitoring/. Needs Debian's prometheus and
prometheus-node-exporter installed; its own run on ports of their own.

Each case is a made-up tree of files with an exporter beside it. The rules' times are shortened,
unless --real asks for those that they have; thresholds are as they are.
"""

import argparse
import contextlib
import html
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request

from deb_test import Checks
from guest import BUILD, MIB, PAGE, TOP, Guest, GuestError
from pattern import Pattern
from tools_test import COUNTERS, Tree

FOLDER = os.path.join(TOP, 'tools/monitoring')
OUT = os.path.join(BUILD, 'monitoring')
NODES = 'sys/devices/system/node'
NUMASTAT = 'numa_hit 1\nnuma_miss 0\nnuma_foreign 0\ninterleave_hit 0\nlocal_node 1\nother_node 0\n'
PROGRAMS = {'prometheus': 'prometheus', 'promtool': 'prometheus',
            'prometheus-node-exporter': 'prometheus-node-exporter', 'gnuplot': 'gnuplot-nox'}
GUEST = 'guest'
SIZES = [512] * 4
FILES = ('cd /sys/devices/system/node; for f in node*/meminfo node*/numastat; do echo "@ $f"; cat $f;'
         ' done; echo "@ balloon.prom"; balloonstat --prometheus')


class Machine:
    """What one exporter shows: files like those of a kernel, and the metrics of their balloon."""

    def __init__(self, name, folder, tool):
        self.name, self.tool = name, tool
        self.text = os.path.join(folder, name)
        os.makedirs(self.text)
        self.prom = os.path.join(self.text, 'balloon.prom')
        self.processes = []
        self.tree = Tree(balloon=256)
        for nid in self.tree.nodes:
            self.tree.write(f'{NODES}/node{nid}/numastat', NUMASTAT)
            self.tree.stat(nid)
        self.total(1024)
        with socket.socket() as found:
            found.bind(('127.0.0.1', 0))
            self.port = found.getsockname()[1]

    def total(self, mib):
        """What the host wants."""
        self.tree.write('sys/kernel/mm/balloon/target', mib * MIB // PAGE)

    def start(self, writes=True):
        self.processes.append(subprocess.Popen(
            ['prometheus-node-exporter', f'--web.listen-address=127.0.0.1:{self.port}',
             f'--path.sysfs={self.tree.root}/sys', '--collector.disable-defaults',
             '--collector.meminfo_numa', '--collector.textfile',
             f'--collector.textfile.directory={self.text}', '--log.level=error']))
        command = [self.tool, '--root', self.tree.root, '--prometheus', '--output', self.prom]
        if writes:
            self.processes.append(subprocess.Popen([*command, '-w', '1']))
        elif self.name != GUEST:
            subprocess.run(command, check=True)

    def stop(self):
        for process in self.processes:
            process.terminate()
            process.wait()
        shutil.rmtree(self.tree.root)


def waits(machine):
    machine.total(4096)
    machine.tree.state('waiting: guest-memory 601')


def refuses(machine):
    machine.tree.state('waiting: host-refused 5')


def limited(machine):
    machine.total(2048)
    for nid in machine.tree.nodes:
        machine.tree.balloon(nid, 'limit', 256 * MIB // PAGE)
    machine.tree.state('waiting: limit 601')


def short(machine):
    machine.total(512)
    machine.tree.node(1, 1024, 20, 256, 768)


def unmet(machine):
    machine.tree.balloon(2, 'target', 512 * MIB // PAGE)


def above(machine):
    machine.tree.balloon(3, 'limit', 0)


def lopsided(machine):
    for nid in machine.tree.nodes:
        balloon = 0 if nid else 512
        machine.tree.node(nid, 1024, 256, balloon, 1024 - balloon)
    machine.total(512)


def thrashes(machine):
    # 200 MiB a second go, and 200 come.
    pages = int(time.monotonic() * 200 * MIB // PAGE)
    machine.tree.stat(0, inflate_local=pages)
    machine.tree.stat(2, deflate_remote=pages)


def lost(machine):
    machine.tree.balloon(1, 'stat', '\n'.join(f'{name} 0' for name in COUNTERS) + '\nlost 512')


# What happens, and the one alert that it is to have.
CASES = {'well': (None, None), 'waits': (waits, 'BalloonWaits'),
         'refuses': (refuses, 'BalloonHostRefuses'), 'limited': (limited, 'BalloonLimited'),
         'short': (short, 'BalloonNodeShort'), 'unmet': (unmet, 'BalloonNodeTargetNotMet'),
         'above': (above, 'BalloonAboveLimit'), 'lopsided': (lopsided, 'BalloonLopsided'),
         'thrashes': (thrashes, 'BalloonThrashes'), 'lost': (lost, 'BalloonMemoryLost'),
         'old': (None, 'BalloonMetricsOld')}


class Prometheus:
    def __init__(self, folder, machines, rules, real):
        every = '15s' if real else '1s'
        with socket.socket() as found:
            found.bind(('127.0.0.1', 0))
            self.address = f'127.0.0.1:{found.getsockname()[1]}'
        with open(os.path.join(folder, 'rules.yml'), 'w') as file:
            file.write(rules)
        with open(os.path.join(folder, 'prometheus.yml'), 'w') as file:
            json.dump({'global': {'scrape_interval': every, 'evaluation_interval': every},
                       'rule_files': ['rules.yml'],
                       'scrape_configs': [{'job_name': 'node', 'static_configs': [
                           {'targets': [f'127.0.0.1:{machine.port}'],
                            'labels': {'instance': machine.name}} for machine in machines]}]}, file)
        self.log = os.path.join(folder, 'prometheus.log')
        with open(self.log, 'w') as log:
            self.process = subprocess.Popen(
                ['prometheus', f'--config.file={folder}/prometheus.yml',
                 f'--storage.tsdb.path={folder}/data', f'--web.listen-address={self.address}'],
                stdout=log, stderr=log)

    def ask(self, path, **query):
        url = f'http://{self.address}/api/v1/{path}?{urllib.parse.urlencode(query)}'
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                return json.load(answer)['data']
        except urllib.error.HTTPError as error:
            raise SystemExit(f'{path} {query}: {error.read().decode()}') from error

    def values(self, expr):
        """{labels but job, instance and the name: value}, as of now."""
        return {tuple(sorted((key, value) for key, value in sample['metric'].items()
                             if key not in ('__name__', 'job', 'instance'))):
                float(sample['value'][1]) for sample in self.ask('query', query=expr)['result']}

    def firing(self):
        """{instance: alerts}"""
        alerts = {}
        for alert in self.ask('alerts')['alerts']:
            if alert['state'] == 'firing':
                alerts.setdefault(alert['labels']['instance'], {})[
                    alert['labels']['alertname']] = alert['annotations']['summary']
        return alerts

    def stop(self):
        self.process.terminate()
        self.process.wait()


def shortened(rules):
    """A minute is a second."""
    rules = re.sub(r'for: (\d+)m', r'for: \1s', rules)
    return re.sub(r'\[(\d+)m\]', r'[\1s]', rules)


def wait_for(what, seconds, ready):
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.5)
    return True


def same(prometheus, machine, check):
    """Prometheus has what balloonstat has, and node_exporter the rest of it."""
    said = json.loads(subprocess.run([machine.tool, '--root', machine.tree.root, '-j'], check=True,
                                     stdout=subprocess.PIPE).stdout)
    of = f'instance="{machine.name}"'
    pairs = [((), 'balloon_held_bytes{%s}' % of, said['total']['Balloon']),
             ((), 'balloon_host_target_bytes{%s}' % of, said['total']['Target']),
             ((), 'balloon_waiting_seconds{%s}' % of, said['seconds'] or 0),
             ((('state', said['state']),), 'balloon_state{%s} == 1' % of, 1)]
    for node in said['nodes']:
        label = (('node', str(node['node'])),)
        for row, expr in (('MemTotal', 'node_memory_numa_MemTotal{%s}'),
                          ('MemFree', 'node_memory_numa_MemFree{%s}'),
                          ('Balloon', 'sum by (node) (balloon_node_held_bytes{%s})'),
                          ('Superframes', 'sum by (node) '
                           '(balloon_node_held_bytes{%s,kind="superframes"})'),
                          ('Available', 'sum by (node) (balloon_node_available_bytes{%s})'),
                          ('Limit', 'balloon_node_limit_bytes{%s}'),
                          ('Target', 'balloon_node_target_bytes{%s}')):
            known = None if node[row] in ('auto', 'max') else node[row]
            pairs.append((label, expr % of, known))
    wrong = [f'{expr} {labels}' for labels, expr, known in pairs
             if prometheus.values(expr).get(labels) != known]
    check(f'Prometheus shows of {machine.name!r} what balloonstat shows', not wrong,
          '; '.join(wrong) or f'{len(pairs)} figures')


# --- the guest ---

class Mirror:
    """Has the exporter of a guest show what the guest's files say, once a second."""

    def __init__(self, guest, machine):
        self.guest, self.machine = guest, machine
        self.ended = threading.Event()
        self.lock = threading.Lock()
        self.error = None
        self.thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()

    def sh(self, command, timeout=180):
        with self.lock:
            return self.guest.sh(command, timeout)

    def _run(self):
        while not self.ended.is_set():
            try:
                text = self.sh(FILES)
            except GuestError as error:
                self.error = error
                return
            for part in re.split(r'^@ ', text, flags=re.M)[1:]:
                path, _, content = part.partition('\n')
                if path == 'balloon.prom':
                    with open(self.machine.prom + '.new', 'w') as file:
                        file.write(content)
                    os.rename(self.machine.prom + '.new', self.machine.prom)
                else:
                    self.machine.tree.write(f'{NODES}/{path}', content.rstrip('\n'))
            self.ended.wait(1)


def story(guest, mirror, check):
    """Something of all that panels show."""
    def settled(mib, seconds=180):
        guest.set_balloon(mib * MIB)
        return wait_for('', seconds, lambda: mirror.sh(
            'cat /sys/kernel/mm/balloon/state').strip() == 'settled')

    node = '/sys/devices/system/node/node{}/balloon/{}'
    with mirror.lock:
        pattern = Pattern(guest, 400, '--interleave')
    time.sleep(3)
    check('the host takes a quarter', settled(512))
    time.sleep(5)
    mirror.sh(f'echo {384 * MIB // PAGE} > {node.format(2, "target")}')
    check('of node 2 as a target', settled(512))
    time.sleep(5)
    mirror.sh(f'echo 0 > {node.format(3, "limit")}')
    check('not of node 3', settled(512))
    time.sleep(5)
    mirror.sh(f'echo {64 * MIB // PAGE} > {node.format(2, "limit")}; '
              f'echo {64 * MIB // PAGE} > {node.format(0, "limit")}')
    guest.set_balloon(900 * MIB)
    check('limits keep it below what is wanted', wait_for('', 120, lambda: mirror.sh(
        'cat /sys/kernel/mm/balloon/state').startswith('waiting: limit')))
    time.sleep(8)
    mirror.sh(f'for n in 0 2 3; do echo max > /sys/devices/system/node/node$n/balloon/limit; done; '
              f'echo auto > {node.format(2, "target")}')
    check('without limits it comes there', settled(900))
    time.sleep(5)
    # Allocations of one node, of which the balloon has much.
    mirror.sh('echo exchange > /sys/kernel/mm/balloon/refill')
    with mirror.lock:
        free = int(re.search(r'MemFree: +(\d+)', guest.read(
            '/sys/devices/system/node/node1/meminfo'))[1]) // 1024
        more = Pattern(guest, free + 60, '--node 1')
    refilled = mirror.sh(f'sed -n "s/^refill //p" {node.format(1, "stat")}').strip()
    check('node 1 gets memory back out of the balloon', int(refilled) > 0, f'{refilled} pages')
    time.sleep(5)
    with mirror.lock:
        more.stop()
    check('all is given back', settled(0))
    time.sleep(5)
    with mirror.lock:
        pattern.stop()


# --- the panels ---

def filled_in(expr, name, node):
    for variable, value in (('$__rate_interval', '10s'), ('$instance', name), ('$node', node)):
        expr = expr.replace(variable, value)
    return expr


def series_of(prometheus, panel, name, node, start, end):
    """[(legend, {time: value})]"""
    found = []
    for target in panel['targets']:
        said = prometheus.ask('query_range', query=filled_in(target['expr'], name, node),
                              start=start, end=end, step=1)
        for series in said['result']:
            legend = re.sub(r'\{\{ *(\w+) *\}\}', lambda word: series['metric'].get(word[1], ''),
                            target['legendFormat'])
            found.append((legend, {float(at): float(value) for at, value in series['values']}))
    return found


def properties(panel, legend):
    """What the panel has for all lines, and for this one instead."""
    said = {f'custom.{key}': value
            for key, value in panel['fieldConfig']['defaults']['custom'].items()}
    for override in panel['fieldConfig']['overrides']:
        matcher = override['matcher']
        if matcher['options'] == legend if matcher['id'] == 'byName' else \
                re.search(matcher['options'].strip('/'), legend):
            said.update({change['id']: change['value'] for change in override['properties']})
    return said


COLORS = {'orange': '#ff9830', 'blue': '#5794f2', 'green': '#73bf69', 'red': '#f2495c',
          'text': '#222222', 'purple': '#b877d9', 'light-blue': '#8ab8ff', 'yellow': '#fade2a',
          'dark-orange': '#fa6400', 'dark-red': '#c4162a'}
PALETTE = ['#7eb26d', '#eab839', '#6ed0e0', '#ef843c', '#e24d42', '#1f78c1', '#ba43a9', '#705da0']


def plot_lines(panel, found, start, end):
    """gnuplot's words for a time series."""
    data, plots, below = '', [], {}
    units = {'bytes': ('MiB', MIB), 'binBps': ('MiB/s', MIB), 's': ('s', 1)}
    label, unit = units[panel['fieldConfig']['defaults']['unit']]
    for number, (legend, values) in enumerate(found):
        look = properties(panel, legend)
        color = COLORS.get(look.get('color', {}).get('fixedColor'), PALETTE[number % len(PALETTE)])
        stacked = look['custom.stacking']['mode'] == 'normal'
        data += f'$d{number} << EOD\n'
        previous = None
        for at, value in sorted(values.items()):
            base = below.get(at, 0) if stacked else 0
            if previous and at - previous > 1.5:
                data += '\n'
            previous = at
            data += f'{at - start} {base / unit} {(base + value) / unit}\n'
            if stacked:
                below[at] = base + value
        data += 'EOD\n'
        dash = " dt '-'" if 'custom.lineStyle' in look else ''
        if look['custom.fillOpacity']:
            plots.append(f"$d{number} using 1:2:3 with filledcurves fs transparent solid "
                         f"{look['custom.fillOpacity'] / 100} noborder lc rgb '{color}' notitle")
        plots.append(f"$d{number} using 1:3 with lines lw {look['custom.lineWidth']}{dash} "
                     f"lc rgb '{color}' title \"{legend}\"")
    low = '' if 'min' not in panel['fieldConfig']['defaults'] else '0'
    return (f'{data}set ylabel "{label}"\nset key below\nset yrange [{low}:]\n'
            f'set xrange [0:{end - start}]\nplot ' + ', '.join(plots))


def plot_states(panel, found, start, end):
    """gnuplot's words for a timeline of states, a row each."""
    boxes, tics = [], []
    for row, (legend, values) in enumerate(reversed(found)):
        steps = properties(panel, legend)['thresholds']['steps']
        tics.append(f'"{legend}" {row}')
        for at, value in values.items():
            if value:
                boxes.append(f'set object rectangle from {at - start},{row - .4} to {at - start + 1},'
                             f"{row + .4} fs solid noborder fc rgb '{COLORS[steps[1]['color']]}'")
    return ('\n'.join(boxes) + f'\nset ytics ({", ".join(tics)})\nset yrange [-.6:{len(found) - .4}]'
            f'\nset xrange [0:{end - start}]\nplot NaN notitle')


def draw(prometheus, start, end, check):
    """The dashboard, as far as gnuplot goes, into build/monitoring/dashboard.html."""
    with open(os.path.join(FOLDER, 'grafana-balloon.json')) as file:
        board = json.load(file)
    shutil.rmtree(OUT, ignore_errors=True)
    os.makedirs(OUT)
    page, empty = '', []
    for panel in board['panels']:
        for node in ('0', '1', '2', '3') if 'repeat' in panel else ('',):
            found = series_of(prometheus, panel, GUEST, node, start, end)
            title = panel['title'].replace('$node', node)
            if len(found) < len(panel['targets']) - 2 * bool(node):
                empty.append(title)
            if node:
                parts = dict(found)
                sums = [sum(parts[name][at] for name in ('used', 'balloon', 'free'))
                        for at in parts['used']]
                most = SIZES[int(node)] * MIB
                check(f'what is used, ballooned and free makes node {node}',
                      max(sums) <= most and max(sums) - min(sums) < most // 50 and
                      min(sums) > most * 0.85,
                      f'{min(sums) / MIB:.0f} to {max(sums) / MIB:.0f} MiB of {most // MIB}')
            plot = plot_states if panel['type'] == 'state-timeline' else plot_lines
            name = f'panel-{panel["id"]}{node and "-" + node}.svg'
            place = panel['gridPos']
            subprocess.run(['gnuplot'], text=True, check=True, input=(
                f'set terminal svg size {place["w"] * 52},{place["h"] * 34} font "sans-serif,13" '
                f'background "white"\nset output "{os.path.join(OUT, name)}"\n'
                f'set title "{title}"\nset xlabel "s"\nset border 3\nset tics nomirror out\n'
                f'set grid ytics lc rgb "#dddddd"\n{plot(panel, found, start, end)}\n'))
            page += f'<img src="{name}" alt="{html.escape(title)}">'
    with open(os.path.join(OUT, 'dashboard.html'), 'w') as file:
        file.write('<!DOCTYPE html><meta charset="utf-8"><title>Dashboard</title><style>body{width:'
                   f'1260px}}img{{margin:2px;border:1px solid #ddd}}</style><h1>{board["title"]}</h1>'
                   f'{page}')
    check("each of the dashboard's queries has an answer", not empty, ', '.join(empty))
    print(f'{os.path.relpath(OUT, TOP)}/dashboard.html')


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--real', action='store_true', help="the rules' own times: 25 minutes")
    parser.add_argument('--no-guest', action='store_true', help='boot none, draw nothing')
    parser.add_argument('--keep', type=int, default=0, metavar='SECONDS',
                        help='let Prometheus run on for so long, to be looked at')
    options = parser.parse_args()
    missing = sorted({package for program, package in PROGRAMS.items() if not shutil.which(program)})
    if missing:
        parser.error(f'missing: {" ".join(missing)}; apt-get install --no-install-recommends them')

    check = Checks()
    with contextlib.ExitStack() as ending:
        folder = ending.enter_context(tempfile.TemporaryDirectory(prefix='monitoring-'))
        subprocess.run(['make', '-s', '-f', os.path.join(TOP, 'tools/mm/balloonstat.mk'),
                        f'OUTPUT={folder}'], check=True)
        names = list(CASES) + ([] if options.no_guest else [GUEST])
        machines = {name: Machine(name, folder, os.path.join(folder, 'balloonstat'))
                    for name in names}
        for name, machine in machines.items():
            ending.callback(machine.stop)
            happens, _ = CASES.get(name, (None, None))
            if happens:
                happens(machine)
            machine.start(writes=name not in ('old', GUEST))
        os.utime(machines['old'].prom, (time.time() - 200,) * 2)
        with open(os.path.join(FOLDER, 'balloon-rules.yml')) as file:
            rules = file.read()
        prometheus = Prometheus(folder, machines.values(),
                                rules if options.real else shortened(rules), options.real)
        ending.callback(prometheus.stop)
        wanted = {name: {alert} for name, (_, alert) in CASES.items() if alert}

        def come():
            thrashes(machines['thrashes'])
            alerts = prometheus.firing()
            return all(alert <= set(alerts.get(name, ())) for name, alert in wanted.items())

        print(f'http://{prometheus.address}', flush=True)
        check('Prometheus answers', wait_for('', 60, lambda: not subprocess.run(
            ['curl', '-s', '-o', '/dev/null', f'http://{prometheus.address}/-/ready']).returncode))
        wait_for('', 1800 if options.real else 90, come)
        alerts = prometheus.firing()
        for name, (_, alert) in CASES.items():
            said = alerts.get(name, {})
            check(f'{name}: {alert or "no alert"}', set(said) == ({alert} if alert else set()),
                  '; '.join(said.values()))
        for name in 'well', 'limited', 'unmet', 'above':
            same(prometheus, machines[name], check)
        if not options.no_guest:
            guest = Guest(nodes=SIZES, balloon={'free-page-reporting': True}, name='monitoring',
                          append='virtio_balloon.free_page_reporting=0')
            with guest, Mirror(guest, machines[GUEST]) as mirror:
                wait_for('', 60, lambda: prometheus.values(
                    f'balloon_held_bytes{{instance="{GUEST}"}}'))
                start = time.time()
                story(guest, mirror, check)
                time.sleep(3)
                check('the guest was looked at all the time', not mirror.error, f'{mirror.error or ""}')
                draw(prometheus, start, time.time(), check)
        time.sleep(options.keep)
    return check.finish()


if __name__ == '__main__':
    sys.exit(main())
