#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Tests of what monitors balloons: the metrics of 'balloonstat --prometheus', and in
tools/monitoring the rules, the dashboard and the units. Where there is a promtool, it judges them,
too; GRAFANA_SCHEMA= names a folder with Grafana's schema for the dashboard, jsonschema/ of its
foundation SDK.
"""

import itertools
import json
import os
import re
import shutil
import stat
import subprocess
import tempfile
import time
import unittest

import tools_test
from tools_test import COUNTERS, GONE, MIB, PAGE, TOP, Case

FOLDER = os.path.join(TOP, 'tools/monitoring')
RULES = os.path.join(FOLDER, 'balloon-rules.yml')
RULES_TEST = os.path.join(FOLDER, 'balloon-rules-test.yml')
DASHBOARD = os.path.join(FOLDER, 'grafana-balloon.json')
# Of node_exporter, and Prometheus's own.
OTHERS = {'node_memory_numa_MemTotal', 'node_memory_numa_MemFree', 'node_memory_numa_Balloon',
          'node_textfile_mtime_seconds', 'ALERTS'}
STATES = ['settled', 'inflating', 'deflating', 'moving', 'waiting']
REASONS = ['guest-memory', 'pressure', 'host-refused', 'limit', 'held']
NAME = '[a-zA-Z_:][a-zA-Z0-9_:]*'
LABEL = r'([a-zA-Z_]\w*)="((?:[^"\\\n]|\\[\\"n])*)"'


setUpModule = tools_test.setUpModule
tearDownModule = tools_test.tearDownModule


def parse(text):
    """{name: {((label, value), ...): number}} of Prometheus's text format, strictly."""
    metrics, kinds, helped = {}, {}, None
    if text and not text.endswith('\n'):
        raise ValueError('the last line does not end')
    for line in text.splitlines():
        if match := re.fullmatch(rf'# HELP ({NAME}) (\S.*\.)', line):
            helped = match[1]
            continue
        if match := re.fullmatch(rf'# TYPE ({NAME}) (gauge|counter)', line):
            if match[1] != helped or match[1] in kinds:
                raise ValueError(f'{line}: not behind its help, or again')
            kinds[match[1]] = match[2]
            continue
        match = re.fullmatch(rf'({NAME})(?:\{{({LABEL}(?:,{LABEL})*)\}})? (\d+)', line)
        if not match or match[1] != list(kinds)[-1]:
            raise ValueError(f'{line}: no sample of {helped}')
        labels = tuple(sorted(re.findall(LABEL, match[2] or '')))
        if labels in metrics.setdefault(match[1], {}):
            raise ValueError(f'{line}: twice')
        metrics[match[1]][labels] = int(match.groups()[-1])
    for name, kind in kinds.items():
        if name not in metrics or (kind == 'counter') != name.endswith('_total'):
            raise ValueError(f'{name}: no sample, or not named as a {kind}')
    return metrics


def promtool(*args, **how):
    return subprocess.run(['promtool', *args], text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, **how)


class Metrics(Case):
    def metrics(self, tree, status=0):
        done = self.run_tool(tree, '--prometheus')
        self.assertEqual(status, done.returncode, done.stderr)
        if not status:
            self.assertEqual('', done.stderr)
        return parse(done.stdout)

    def busy_tree(self):
        """One that has something of everything, each counter another value."""
        tree = self.tree()
        tree.balloon(2, 'target', 131072)
        tree.balloon(3, 'limit', 0)
        tree.state('waiting: limit 12')
        for nid in range(4):
            tree.balloon(nid, 'stat', '\n'.join(f'{name} {100 * nid + at}' for at, name in
                                                enumerate([*COUNTERS, 'lost'])))
        return tree

    def test_same_as_json(self):
        """All that the JSON has is there, with the same values."""
        tree = self.busy_tree()
        metrics = self.metrics(tree)
        said = json.loads(self.good(tree, '-j'))
        self.assertEqual({(): said['total']['Balloon']}, metrics.pop('balloon_held_bytes'))
        self.assertEqual({(): said['total']['Target']}, metrics.pop('balloon_host_target_bytes'))
        self.assertEqual({(): said['retries']}, metrics.pop('balloon_retries_total'))
        self.assertEqual({(): 0}, metrics.pop('balloon_in_memtotal'))
        self.assertEqual({(): 12}, metrics.pop('balloon_waiting_seconds'))
        self.assertEqual({(('policy', 'balance'),): 1}, metrics.pop('balloon_policy_info'))
        self.assertEqual({(('mode', 'credit'),): 1}, metrics.pop('balloon_refill_info'))
        self.assertEqual({(('state', name),): int(name == 'waiting') for name in STATES},
                         metrics.pop('balloon_state'))
        self.assertEqual({(('reason', name),): int(name == 'limit') for name in REASONS},
                         metrics.pop('balloon_waiting'))
        self.assertEqual({(('node', '2'),): 131072 * PAGE}, metrics.pop('balloon_node_target_bytes'))
        self.assertEqual({(('node', '3'),): 0}, metrics.pop('balloon_node_limit_bytes'))
        held, available = (metrics.pop(f'balloon_node_{name}_bytes') for name in ('held', 'available'))
        self.assertEqual((12, 12), (len(held), len(available)))
        for node in said['nodes']:
            label = ('node', str(node['node']))
            self.assertEqual([node[name] for name in ('Superframes', 'Partial', 'Foreign')],
                             [held[('kind', kind), label] for kind in
                              ('superframes', 'partial', 'foreign')])
            self.assertEqual(node['Balloon'], sum(value for labels, value in held.items()
                                                  if label in labels))
            self.assertEqual(node['available'],
                             {dict(labels)['kind']: value for labels, value in available.items()
                              if label in labels})
            for name, where, unit in (
                    ('inflate_local', ('inflated_bytes', 'local'), PAGE),
                    ('inflate_remote', ('inflated_bytes', 'remote'), PAGE),
                    ('deflate_local', ('deflated_bytes', 'local'), PAGE),
                    ('deflate_remote', ('deflated_bytes', 'remote'), PAGE),
                    ('refill', ('refilled_bytes',), PAGE),
                    ('refill_fail', ('refill_refused_bytes',), PAGE),
                    ('exchange', ('exchanged_bytes',), PAGE), ('migrate', ('migrated_bytes',), PAGE),
                    ('lost', ('lost_bytes',), PAGE), ('coalesce', ('coalesced_superframes',), 1),
                    ('split', ('split_superframes',), 1)):
                metric, *origin = where
                labels = (label, *(('origin', word) for word in origin))
                self.assertEqual(node['stat'].pop(name) * unit,
                                 metrics[f'balloon_node_{metric}_total'].pop(labels), name)
            self.assertEqual({}, node['stat'])
        self.assertEqual([], [name for name, left in metrics.items()
                              if left or not name.endswith('_total')])

    def test_states(self):
        tree = self.tree()
        for text in [*STATES[:-1], *(f'waiting: {reason} 7' for reason in REASONS)]:
            tree.state(text)
            metrics = self.metrics(tree)
            waits = text.startswith('waiting')
            said = [labels[0][1] for labels, value in metrics['balloon_state'].items() if value]
            self.assertEqual([text.split(':')[0]], said)
            said = [labels[0][1] for labels, value in metrics['balloon_waiting'].items() if value]
            self.assertEqual([text.split()[1]] if waits else [], said)
            self.assertEqual({(): 7 if waits else 0}, metrics['balloon_waiting_seconds'])
        # What newer kernels may say is one more.
        tree.state('waiting: godot 5')
        metrics = self.metrics(tree)
        self.assertEqual({**{(('reason', name),): 0 for name in REASONS}, (('reason', 'godot'),): 1},
                         metrics['balloon_waiting'])
        tree.state('dreaming')
        metrics = self.metrics(tree)
        self.assertEqual({**{(('state', name),): 0 for name in STATES}, (('state', 'dreaming'),): 1},
                         metrics['balloon_state'])

    def test_in_memtotal(self):
        self.assertEqual({(): 1}, self.metrics(self.tree(managed=True))['balloon_in_memtotal'])

    def test_without_nodes(self):
        metrics = self.metrics(self.tree(nodes=()))
        self.assertEqual({(): 256 * MIB}, metrics['balloon_held_bytes'])
        self.assertEqual([], [name for name in metrics if '_node_' in name])

    def test_unknown_is_left_out(self):
        """What can't be read has no sample: 0 would be a lie. The status and stderr say so."""
        tree = self.tree()
        tree.state(GONE)
        tree.balloon(1, 'nr_superframes', 'x')
        tree.balloon(1, 'available', GONE)
        tree.balloon(2, 'stat', GONE)
        tree.write('sys/kernel/mm/balloon/retries', '-1')
        tree.write('sys/kernel/mm/balloon/policy', 'none')
        metrics = self.metrics(tree, status=1)
        for name in 'state', 'waiting', 'waiting_seconds', 'retries_total', 'policy_info':
            self.assertNotIn(f'balloon_{name}', metrics)
        self.assertEqual(11, len(metrics['balloon_node_held_bytes']))
        self.assertEqual(9, len(metrics['balloon_node_available_bytes']))
        self.assertEqual(3, len(metrics['balloon_node_refilled_bytes_total']))

    def test_odd_names(self):
        """Whatever a file says, the result is in the format."""
        tree = self.tree()
        tree.write('sys/kernel/mm/balloon/refill', 'a ["\\\x01\udcff] b'.encode(
            errors='surrogateescape').decode('latin-1'))
        tree.state('waiting: "\\ 5')
        metrics = self.metrics(tree)
        self.assertIn((('reason', '\\"\\\\'),), metrics['balloon_waiting'])
        self.assertIn((('mode', '\\"\\\\???'),), metrics['balloon_refill_info'])

    def test_huge_counters(self):
        """What would overflow is left out."""
        tree = self.tree()
        tree.stat(0, refill=(1 << 64) - 2, migrate=1 << 40)
        metrics = self.metrics(tree)
        self.assertNotIn((('node', '0'),), metrics['balloon_node_refilled_bytes_total'])
        self.assertEqual(PAGE << 40, metrics['balloon_node_migrated_bytes_total'][('node', '0'),])

    def test_many_nodes(self):
        """So many samples a node, and no more."""
        few, many = (sum(map(len, self.metrics(self.tree(nodes=range(nr))).values()))
                     for nr in (1, 65))
        self.assertLessEqual((many - few) / 64, 20)

    @unittest.skipUnless(shutil.which('promtool'), 'there is no promtool')
    def test_promtool(self):
        for tree in self.busy_tree(), self.tree(nodes=()), self.tree(managed=True):
            said = promtool('check', 'metrics', input=self.good(tree, '--prometheus'))
            self.assertEqual((0, ''), (said.returncode, said.stdout))

    def folder(self):
        folder = tempfile.mkdtemp(prefix='balloonstat-')
        self.addCleanup(shutil.rmtree, folder)
        return folder

    def test_output(self):
        tree, folder = self.busy_tree(), self.folder()
        path = os.path.join(folder, 'balloon.prom')
        for policy in 'balance', 'local':
            tree.write('sys/kernel/mm/balloon/policy', f'x [{policy}]')
            self.assertEqual('', self.good(tree, '--prometheus', '--output', path))
            with open(path) as file:
                self.assertEqual(self.good(tree, '--prometheus'), file.read())
            self.assertEqual(['balloon.prom'], os.listdir(folder))
            self.assertEqual(0o644, stat.S_IMODE(os.stat(path).st_mode))

    def test_no_output(self):
        tree, folder = self.tree(), self.folder()
        link, fifo = os.path.join(folder, 'link'), os.path.join(folder, 'fifo')
        os.symlink('fifo', link)
        os.mkfifo(fifo)
        for path, says in ((folder, 'not a regular file'), (link, 'not a regular file'),
                           (fifo, 'not a regular file'), ('', 'No such file'),
                           (os.path.join(folder, 'none', 'x'), 'No such file'),
                           (os.path.join(folder, 'x' * 255), 'File name too long')):
            self.refused(tree, '--prometheus', '--output', path, says=['--output', says])
        self.assertEqual(['fifo', 'link'], sorted(os.listdir(folder)))

    @unittest.skipUnless(os.path.exists('/dev/full') and os.geteuid() == 0, 'only root can mount')
    def test_no_room(self):
        """The old file stays, and nothing of the new one."""
        tree, folder = self.tree(), self.folder()
        mounted = subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=4k', 'none', folder],
                                 stderr=subprocess.PIPE, text=True)
        if mounted.returncode:
            self.skipTest(mounted.stderr.strip())
        self.addCleanup(subprocess.run, ['umount', folder], check=True)
        path = os.path.join(folder, 'balloon.prom')
        with open(path, 'w') as file:
            file.write('old\n')
        self.refused(tree, '--prometheus', '--output', path, says='No space left')
        with open(path) as file:
            self.assertEqual('old\n', file.read())
        self.assertEqual(['balloon.prom'], os.listdir(folder))

    def test_whole_at_any_moment(self):
        """Who reads while it is written sees all of it."""
        tree, folder = self.tree(), self.folder()
        path = os.path.join(folder, 'balloon.prom')
        tool = subprocess.Popen([os.path.join(tools_test.built, 'balloonstat'), '--root', tree.root,
                                 '--prometheus', '--output', path, '-w', '0.01'])
        try:
            seen, changes, limit = None, 0, time.monotonic() + 20
            whole = set(parse(self.good(tree, '--prometheus')))
            while changes < 50:
                self.assertLess(time.monotonic(), limit)
                if not os.path.exists(path):
                    continue
                with open(path) as file:
                    number = os.fstat(file.fileno()).st_ino, os.fstat(file.fileno()).st_mtime_ns
                    self.assertEqual(whole, set(parse(file.read())))
                changes += number != seen
                seen = number
        finally:
            tool.terminate()
            self.assertEqual(0, tool.wait(timeout=10))
        self.assertEqual(['balloon.prom'], os.listdir(folder))

    def test_wrong_options(self):
        tree = self.tree()
        self.refused(tree, '--prometheus', '-j', says='not together')
        self.refused(tree, '--prometheus', '-d', says='not together')
        self.refused(tree, '--prometheus', '-w', '1', says='--output')
        self.refused(tree, '--output', 'x', says='only with --prometheus')

    def test_no_feature(self):
        """No file is written: it would be taken for a balloon of nothing."""
        tree, folder = self.tree(), self.folder()
        shutil.rmtree(os.path.join(tree.root, 'sys/kernel/mm/balloon'))
        self.refused(tree, '--prometheus', '--output', os.path.join(folder, 'x'), status=2,
                     says='no NUMA-aware')
        self.assertEqual([], os.listdir(folder))

    def test_manual(self):
        """Each metric is in it, by its name."""
        names = {name.removeprefix('balloon_') for name in self.metrics(self.busy_tree())}
        page = text_of(os.path.join(TOP, 'tools/mm/balloonstat.8'))
        page = re.sub(r'\\f[BR]', '', page[page.index('.SH METRICS'):page.index('.SH EXIT')])
        self.assertEqual(names, set(re.findall(r'\b[a-z_]+_(?:bytes|total|seconds|info|memtotal)\b',
                                               page)) | {'state', 'waiting'})

    def test_completion(self):
        script = ('source "$0"; COMP_WORDS=(balloonstat "$@"); COMP_CWORD=$#; _balloonstat;'
                  'printf "%s\\n" "${COMPREPLY[@]}"')
        folder = self.folder()
        path = os.path.join(folder, 'balloon.prom')
        os.close(os.open(path, os.O_CREAT))
        for words, wanted in ((['--pr'], '--prometheus'), (['--ou'], '--output'),
                              (['--output', folder + '/b'], path)):
            said = subprocess.run(['bash', '-c', script, os.path.join(
                TOP, 'tools/mm/balloonstat.bash-completion'), *words], text=True, check=True,
                stdout=subprocess.PIPE).stdout
            self.assertEqual(wanted + '\n', said)

    def test_after_a_setting(self):
        tree = self.tree()
        said = parse(self.good(tree, '-t', '1=2M', '--prometheus'))
        self.assertEqual({(('node', '1'),): 2 * MIB}, said['balloon_node_target_bytes'])


def text_of(path):
    with open(path) as file:
        return file.read()


def names_in(expression):
    """Of metrics, in PromQL."""
    bare = re.sub(r'"[^"]*"|\{[^}]*\}|\[[^]]*\]', '', expression)
    bare = re.sub(r'\b(by|on|group_left|without|ignoring)\s*\([^)]*\)', '', bare)
    return {word for word in re.findall(rf'(?<![\w.]){NAME}', bare)
            if not re.search(rf'\b{re.escape(word)}\s*\(', bare) and
            word not in ('and', 'or', 'unless', 'by', 'on', 'group_left')}


class Rules(Case):
    def rules(self):
        """Names and expressions, in their order."""
        rules = []
        for part in re.split(r'^      - ', text_of(RULES), flags=re.M)[1:]:
            kind, name = re.match(r'(record|alert): (\S+)', part).groups()
            expr = re.search(r'^        expr: (?:>-\n((?:          .*\n)+)|(.*)\n)', part, re.M)
            rules.append((kind, name, ' '.join((expr[1] or expr[2]).split())))
        return rules

    def test_metrics(self):
        """They ask for nothing that is not there."""
        tree = self.tree()
        tree.balloon(0, 'target', 0)
        tree.balloon(0, 'limit', 0)
        tree.balloon(0, 'stat', 'lost 0\n' + '\n'.join(f'{name} 0' for name in COUNTERS))
        known = set(parse(self.good(tree, '--prometheus'))) | OTHERS
        rules = self.rules()
        self.assertGreater(len(rules), 10)
        known |= {name for kind, name, _ in rules if kind == 'record'}
        for _, name, expr in rules:
            self.assertTrue(names_in(expr), name)
            self.assertEqual(set(), names_in(expr) - known, name)

    def test_each_has_its_test(self):
        """One time at which it fires, and one at which it does not."""
        tests = text_of(RULES_TEST)
        for kind, name, _ in self.rules():
            if kind == 'alert':
                self.assertRegex(tests, rf'alertname: {name}\n +exp_alerts:')
                self.assertRegex(tests, rf'alertname: {name} }}')

    def test_guide(self):
        """The recipes tell of each."""
        guide = text_of(os.path.join(TOP, 'Documentation/vm/balloon_recipes.rst'))
        self.assertEqual([name for kind, name, _ in self.rules() if kind == 'alert'],
                         re.findall(r'^``(Balloon\w+)`` ', guide, re.M))

    def judge(self, rules):
        with tempfile.TemporaryDirectory() as folder:
            shutil.copy(RULES_TEST, folder)
            with open(os.path.join(folder, os.path.basename(RULES)), 'w') as file:
                file.write(rules)
            return promtool('test', 'rules', os.path.basename(RULES_TEST), cwd=folder)

    @unittest.skipUnless(shutil.which('promtool'), 'there is no promtool')
    def test_promtool(self):
        said = promtool('check', 'rules', RULES)
        self.assertEqual(0, said.returncode, said.stdout)
        said = self.judge(text_of(RULES))
        self.assertEqual(0, said.returncode, said.stdout)

    @unittest.skipUnless(shutil.which('promtool'), 'there is no promtool')
    def test_each_counts(self):
        """A rule that never fires fails the tests, and so does one that fires at any level."""
        rules = text_of(RULES)
        for part in re.split(r'^(?=      - )', rules, flags=re.M)[1:]:
            mute = re.sub(r'expr: (>-\n( {10}.*\n)+|.*\n)', 'expr: vector(0) > 1\n', part)
            said = self.judge(rules.replace(part, mute))
            self.assertNotEqual(0, said.returncode, f'mute: {part}')
            # The last threshold of each is one that can be met by anything.
            loud, count = re.subn(r'(> |== )([\d.]+)(?!.*(> |== )[\d.]+)', '> -1e18', part, flags=re.S)
            if 'alert:' in part and count:
                said = self.judge(rules.replace(part, loud))
                self.assertNotEqual(0, said.returncode, f'loud: {loud}')


class Dashboard(Case):
    def setUp(self):
        self.board = json.loads(text_of(DASHBOARD))
        self.panels = self.board['panels']

    def expressions(self):
        for panel in self.panels:
            for target in panel['targets']:
                yield panel, target, target['expr']

    def test_metrics(self):
        tree = self.tree()
        tree.balloon(0, 'target', 0)
        tree.balloon(0, 'limit', 0)
        known = set(parse(self.good(tree, '--prometheus'))) | OTHERS
        for panel, _, expr in self.expressions():
            self.assertTrue(names_in(expr), expr)
            self.assertEqual(set(), names_in(expr) - known, panel['title'])
        # What is there to be looked at is looked at.
        shown = set().union(*(names_in(expr) for *_, expr in self.expressions()))
        self.assertEqual({'balloon_retries_total', 'balloon_policy_info', 'balloon_refill_info',
                          'balloon_node_exchanged_bytes_total', 'balloon_node_held_bytes',
                          'balloon_node_coalesced_superframes_total',
                          'balloon_node_split_superframes_total', 'node_textfile_mtime_seconds',
                          'ALERTS'}, known - shown)

    def test_variables(self):
        names = {variable['name'] for variable in self.board['templating']['list']}
        for used in re.findall(r'\$\{?(\w+)', text_of(DASHBOARD)):
            self.assertIn(used, names | {'__rate_interval', '__all'})
        for *_, expr in self.expressions():
            self.assertEqual(expr.count('{'), expr.count('instance="$instance"'), expr)

    def test_places(self):
        """Panels have numbers of their own, and none covers another."""
        self.assertEqual(len(self.panels), len({panel['id'] for panel in self.panels}))
        for panel in self.panels:
            place = panel['gridPos']
            self.assertLessEqual(place['x'] + place['w'], 24)
        for one, other in itertools.combinations([panel['gridPos'] for panel in self.panels], 2):
            self.assertTrue(one['x'] + one['w'] <= other['x'] or other['x'] + other['w'] <= one['x'] or
                            one['y'] + one['h'] <= other['y'] or other['y'] + other['h'] <= one['y'])
        # What is repeated grows downwards: nothing is below it.
        repeated = [panel for panel in self.panels if 'repeat' in panel]
        self.assertEqual(['node'], [panel['repeat'] for panel in repeated])
        self.assertEqual(repeated, [max(self.panels, key=lambda panel: panel['gridPos']['y'])])

    def test_overrides(self):
        """Each is for a line that is there."""
        for panel in self.panels:
            legends = {target['legendFormat'] for target in panel['targets']}
            if panel['type'] == 'state-timeline':
                legends = set(STATES[:-1]) | {f'waiting: {reason}' for reason in REASONS}
            for override in panel['fieldConfig']['overrides']:
                if override['matcher']['id'] == 'byName':
                    self.assertIn(override['matcher']['options'], legends, panel['title'])
            if panel['type'] == 'state-timeline':
                self.assertEqual(legends, {override['matcher']['options'] for override in
                                           panel['fieldConfig']['overrides']})

    @unittest.skipUnless(shutil.which('promtool'), 'there is no promtool')
    def test_promql(self):
        """As rules, promtool reads them."""
        with tempfile.NamedTemporaryFile('w', suffix='.yml') as file:
            file.write('groups:\n- name: panels\n  rules:\n')
            for number, (*_, expr) in enumerate(self.expressions()):
                expr = expr.replace('$__rate_interval', '1m')
                file.write(f'  - record: expr:{number}\n    expr: {json.dumps(expr)}\n')
            file.flush()
            said = promtool('check', 'rules', file.name)
        self.assertEqual(0, said.returncode, said.stdout)
        self.assertIn(f'{len(list(self.expressions()))} rules found', said.stdout)

    def schema(self, name, definition):
        def anything(part):
            # What may be anything is an object of anything there.
            if isinstance(part, list):
                return [anything(value) for value in part]
            if not isinstance(part, dict):
                return part
            if part.get('type') == 'object' and part.get('additionalProperties') == {}:
                return {}
            return {key: anything(value) for key, value in part.items()}

        path = os.path.join(os.environ['GRAFANA_SCHEMA'], f'{name}.jsonschema.json')
        definitions = anything(json.loads(text_of(path)))['definitions']
        return {'definitions': definitions, '$ref': f'#/definitions/{definition}'}

    @unittest.skipUnless(os.environ.get('GRAFANA_SCHEMA'), 'GRAFANA_SCHEMA= is not set')
    def test_schema(self):
        import jsonschema

        def judge(what, *schema):
            jsonschema.Draft7Validator(self.schema(*schema)).validate(what)

        judge(self.board, 'dashboard', 'Dashboard')
        for panel in self.panels:
            kind = panel['type'].replace('-', '')
            judge(panel['options'], kind, 'Options')
            judge(panel['fieldConfig']['defaults']['custom'], kind, 'FieldConfig')
            for target in panel['targets']:
                judge(target, 'prometheus', 'Dataquery')
            for override in panel['fieldConfig']['overrides']:
                for change in override['properties']:
                    custom, _, field = change['id'].rpartition('custom.')
                    judge({field: change['value']}, *((kind, 'FieldConfig') if change['id'] != field
                                                      else ('dashboard', 'FieldConfig')))
        # It can tell a wrong one.
        with self.assertRaises(jsonschema.ValidationError):
            judge({**self.board, 'pannels': []}, 'dashboard', 'Dashboard')


class Units(Case):
    def test_command(self):
        """What the service runs is an option of the tool's, and writes where it may."""
        service = text_of(os.path.join(FOLDER, 'balloonstat-prometheus.service'))
        command = re.search(r'^ExecStart=(.*)$', service, re.M)[1].split()
        folder = os.path.dirname(command[-1])
        self.assertEqual(['/usr/bin/balloonstat', '--prometheus', '--output',
                          f'{folder}/balloon.prom'], command)
        self.assertIn(f'\nReadWritePaths={folder}\n', service)
        tree, where = self.tree(), tempfile.mkdtemp(prefix='balloonstat-')
        self.addCleanup(shutil.rmtree, where)
        self.good(tree, *command[1:-1], os.path.join(where, 'balloon.prom'))
        self.assertTrue(re.search(re.search(r'file=~"(.*?)"', text_of(RULES))[1].replace('\\\\', '\\'),
                                  command[-1]))

    @unittest.skipUnless(shutil.which('systemd-analyze'), 'there is no systemd')
    def test_verify(self):
        with tempfile.TemporaryDirectory() as folder:
            for kind in 'service', 'timer':
                unit = text_of(os.path.join(FOLDER, f'balloonstat-prometheus.{kind}'))
                unit = unit.replace('/usr/bin/balloonstat', os.path.join(tools_test.built, 'balloonstat'))
                unit = re.sub('^Documentation=.*\n', '', unit, flags=re.M)
                with open(os.path.join(folder, f'balloonstat-prometheus.{kind}'), 'w') as file:
                    file.write(unit)
            said = subprocess.run(['systemd-analyze', 'verify', '--man=no', '--recursive-errors=no',
                                   *(os.path.join(folder, name) for name in os.listdir(folder))],
                                  text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.assertEqual((0, ''), (said.returncode, said.stdout))


if __name__ == '__main__':
    unittest.main()
