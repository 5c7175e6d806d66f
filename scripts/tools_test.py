#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Tests of the operator's tool, tools/mm/balloonstat.c, against made-up trees of files."""

import fcntl
import json
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import tempfile
import termios
import time
import unittest

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
MAKE = ['make', '-s', '-f', os.path.join(TOP, 'tools/mm/balloonstat.mk')]
PAGE = os.sysconf('SC_PAGESIZE')
MIB = 1 << 20
COUNTERS = ['inflate_local', 'inflate_remote', 'deflate_local', 'deflate_remote', 'refill',
            'refill_fail', 'exchange', 'migrate', 'coalesce', 'split']
ROWS = ['MemTotal', 'MemFree', 'Balloon', 'Superframes', 'Partial', 'Foreign', 'Available', 'Limit',
        'Target']
GONE = None     # to write(): the file is removed


def setUpModule():
    global built
    built = tempfile.mkdtemp(prefix='balloonstat-')
    os.chmod(built, 0o755)
    subprocess.run(MAKE + [f'OUTPUT={built}', 'CFLAGS=-O2 -Wall -Wextra -Werror -D_FORTIFY_SOURCE=2'],
                   check=True, env={'PATH': os.environ['PATH']})


def tearDownModule():
    shutil.rmtree(built)


class Tree:
    """What a kernel shows, in a temporary directory. Sizes are MiB."""

    def __init__(self, nodes=(0, 1, 2, 3), size=1024, free=512, balloon=256, managed=False):
        self.root = tempfile.mkdtemp(prefix='balloonstat-')
        os.chmod(self.root, 0o755)
        self.nodes = nodes
        self.zoneinfo = ''
        shown = size if managed else size - balloon
        for name, text in {'policy': '[balance] local', 'refill': 'off [credit] exchange oom',
                           'nr_pages': balloon * len(nodes or [0]) * MIB // PAGE,
                           'target': 2048 * MIB // PAGE, 'retries': 3,
                           'state': 'settled'}.items():
            self.write(f'sys/kernel/mm/balloon/{name}', text)
        self.write('proc/meminfo', f'MemTotal: {shown * 1024:8} kB\nMemFree:  {free * 1024:8} kB\n')
        for nid in nodes:
            self.node(nid, size, free, balloon, shown)
        if not nodes:
            self.zone(0, size, shown - 16)

    def node(self, nid, size, free, balloon, shown):
        self.write(f'sys/devices/system/node/node{nid}/meminfo',
                   f'Node {nid} MemTotal: {shown * 1024:14} kB\n'
                   f'Node {nid} MemFree:  {free * 1024:14} kB\n')
        partial = 3 * PAGE if balloon else 0
        self.balloon(nid, 'nr_pages', balloon * MIB // PAGE)
        self.balloon(nid, 'nr_superframes', (balloon - 2) // 2 if balloon else 0)
        self.balloon(nid, 'nr_partial', (2 * MIB - partial) // PAGE if balloon else 0)
        self.balloon(nid, 'nr_foreign', partial // PAGE)
        self.balloon(nid, 'target', 'auto')
        self.balloon(nid, 'limit', 'max')
        self.available(nid, free // 4, free // 8, 5)
        self.stat(nid)
        self.zone(nid, size, shown)

    def zone(self, nid, present, managed):
        self.zoneinfo += (f'Node {nid}, zone   Normal\n  pages free     17\n'
                          f'        present  {present * MIB // PAGE}\n'
                          f'        managed  {managed * MIB // PAGE}\n')
        self.write('proc/zoneinfo', self.zoneinfo)

    def stat(self, nid, **counters):
        self.balloon(nid, 'stat', '\n'.join(f'{name} {counters.get(name, 0)}' for name in COUNTERS))

    def available(self, nid, superframes, evacuation, pages):
        self.balloon(nid, 'available',
                     f'superframes {superframes}\nevacuation {evacuation}\npages {pages}')

    def state(self, text):
        self.write('sys/kernel/mm/balloon/state', text)

    def balloon(self, nid, name, text):
        self.write(f'sys/devices/system/node/node{nid}/balloon/{name}', text)

    def write(self, path, text):
        path = os.path.join(self.root, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if text is GONE:
            if os.path.lexists(path):
                os.remove(path)
        else:
            with open(path + '.new', 'w') as file:
                file.write(f'{text}\n')
            os.rename(path + '.new', path)

    def read(self, path):
        with open(os.path.join(self.root, path)) as file:
            return file.read()

    def target(self, nid, name='target'):
        return self.read(f'sys/devices/system/node/node{nid}/balloon/{name}')


class Case(unittest.TestCase):
    def tree(self, **kind):
        tree = Tree(**kind)
        self.addCleanup(shutil.rmtree, tree.root)
        return tree

    def run_tool(self, tree, *args, **how):
        command = [os.path.join(built, 'balloonstat'), *(['--root', tree.root] if tree else []), *args]
        return subprocess.run(command, text=True, capture_output=True, timeout=20, **how)

    def good(self, tree, *args):
        done = self.run_tool(tree, *args)
        self.assertEqual((0, ''), (done.returncode, done.stderr))
        return done.stdout

    def refused(self, tree, *args, says, status=1, **how):
        """One line on stderr that has all of SAYS; nothing on stdout."""
        done = self.run_tool(tree, *args, **how)
        self.assertEqual((status, ''), (done.returncode, done.stdout), done.stderr)
        self.assertEqual(1, done.stderr.count('\n'), done.stderr)
        for part in [says] if isinstance(says, str) else says:
            self.assertIn(part, done.stderr)

    def rows(self, text):
        """{row: cells}, of the table's parts together; 'head' has the columns' names."""
        rows = {}
        for line in text.splitlines():
            if re.match(r'(per second)?\s+(Node|Total)', line):
                rows.setdefault('head', []).extend(re.findall(r'Node \d+|Total', line))
            elif line and line.split()[0] in ROWS + COUNTERS:
                rows.setdefault(line.split()[0], []).extend(line.split()[1:])
        return rows

    def not_root(self):
        """So that permissions count. Arguments for run_tool()."""
        return {'user': 'nobody'} if os.geteuid() == 0 else {}


class Shown(Case):
    def test_four_nodes(self):
        tree = self.tree()
        tree.balloon(2, 'target', 131072)
        tree.balloon(1, 'limit', 65536)
        tree.balloon(3, 'limit', 0)
        text = self.good(tree)
        rows = self.rows(text)
        self.assertTrue(text.startswith('Policy balance, refill credit, retries 3; in MB:\n'
                                        'State: settled\n'), text)
        self.assertEqual(['Node 0', 'Node 1', 'Node 2', 'Node 3', 'Total'], rows['head'])
        self.assertEqual(['768.00'] * 4 + ['3072.00'], rows['MemTotal'])
        self.assertEqual(['512.00'] * 4 + ['2048.00'], rows['MemFree'])
        self.assertEqual(['256.00'] * 4 + ['1024.00'], rows['Balloon'])
        self.assertEqual(['254.00'] * 4 + ['1016.00'], rows['Superframes'])
        self.assertEqual(f'{2 - 3 * PAGE / MIB:.2f}', rows['Partial'][0])
        self.assertEqual(f'{3 * PAGE / MIB:.2f}', rows['Foreign'][0])
        self.assertEqual(['auto', 'auto', f'{131072 * PAGE / MIB:.2f}', 'auto', '2048.00'],
                         rows['Target'])
        # 128 superframes that are free, 64 that are made, and 5 base pages.
        self.assertEqual([f'{384 + 5 * PAGE / MIB:.2f}'] * 4 + [f'{1536 + 20 * PAGE / MIB:.2f}'],
                         rows['Available'])
        self.assertEqual(['max', f'{65536 * PAGE / MIB:.2f}', 'max', '0.00', '-'], rows['Limit'])
        # No terminal, no bars; not wrapped; lines of one length.
        self.assertNotIn('#', text)
        self.assertEqual(1, len({len(line) for line in text.splitlines()[3:]}), text)

    def test_states(self):
        tree = self.tree()
        for text, says in {'inflating': 'inflating', 'deflating': 'deflating', 'moving': 'moving',
                           'waiting: guest-memory 0':
                           'waiting for 0 s: guest-memory, the guest has nothing that it could give',
                           'waiting: pressure 7': 'waiting for 7 s: pressure, the guest misses',
                           'waiting: host-refused 86400': 'waiting for 86400 s: host-refused, the host does',
                           'waiting: limit 12': 'waiting for 12 s: limit, nodes may not hold more',
                           'waiting: held 1': 'waiting for 1 s: held, it is kept from acting',
                           'waiting: godot 5': 'waiting for 5 s: godot, for a reason'}.items():
            tree.state(text)
            line = self.good(tree).splitlines()[1]
            self.assertTrue(line.startswith(f'State: {says}'), line)
            said = json.loads(self.good(tree, '-j'))
            if text.startswith('waiting'):
                _, reason, seconds = text.split()
                self.assertEqual(('waiting', reason, int(seconds)),
                                 tuple(said[key] for key in ('state', 'reason', 'seconds')))
            else:
                self.assertEqual((text, None, None),
                                 tuple(said[key] for key in ('state', 'reason', 'seconds')))
        for text in ('', 'waiting: ', 'waiting: limit', 'waiting: limit x', 'waiting: limit 5 s',
                     'Settled', 'set tled', 'settled\nsettled', GONE):
            tree.state(text)
            done = self.run_tool(tree)
            self.assertEqual((1, 'State: -'), (done.returncode, done.stdout.splitlines()[1]), text)
            self.assertIn('mm/balloon/state: ', done.stderr)

    def test_garbage_of_available(self):
        tree = self.tree()
        for text in ('', '5', 'superframes 1\nevacuation 2', 'superframes 1\nevacuation 2\npages -3',
                     'superframes 1\nevacuation 2\npages 3 4', 'superframes x\nevacuation 2\npages 3',
                     f'superframes {1 << 60}\nevacuation 2\npages 3', GONE):
            tree.balloon(1, 'available', text)
            done = self.run_tool(tree)
            self.assertEqual(1, done.returncode, text)
            self.assertIn('node1/balloon/available: ', done.stderr)
            row = self.rows(done.stdout)['Available']
            self.assertEqual(('-', '-', False), (row[1], row[4], row[0] == '-'))
        # Other lines may come, in any place.
        tree.balloon(1, 'available', 'later 9\nsuperframes 2\nmore 8\nevacuation 1\npages 0\nlast 7')
        self.assertEqual('6.00', self.rows(self.good(tree))['Available'][1])

    def test_json(self):
        tree = self.tree()
        tree.balloon(2, 'target', 512)
        tree.stat(1, inflate_local=7)
        text = self.good(tree, '-j')
        self.assertEqual(1, text.count('\n'))
        said = json.loads(text)
        self.assertAlmostEqual(time.time(), said['time'], delta=20)
        self.assertEqual(('balance', 'credit', 3, False),
                         tuple(said[key] for key in
                               ('policy', 'refill', 'retries', 'MemTotal_has_balloon')))
        self.assertEqual([0, 1, 2, 3], [node['node'] for node in said['nodes']])
        self.assertEqual(768 * MIB, said['nodes'][3]['MemTotal'])
        self.assertEqual(256 * MIB, said['nodes'][3]['Balloon'])
        self.assertEqual(['auto', 'auto', 512 * PAGE, 'auto'],
                         [node['Target'] for node in said['nodes']])
        self.assertEqual(['max'] * 4, [node['Limit'] for node in said['nodes']])
        self.assertEqual({'superframes': 256 * MIB, 'evacuation': 128 * MIB, 'pages': 5 * PAGE},
                         said['nodes'][3]['available'])
        self.assertEqual(384 * MIB + 5 * PAGE, said['nodes'][3]['Available'])
        self.assertIsNone(said['total']['Limit'])
        self.assertEqual(2048 * MIB, said['total']['Target'])
        self.assertEqual(1024 * MIB, said['total']['Balloon'])
        self.assertEqual(7, said['nodes'][1]['stat']['inflate_local'])
        self.assertEqual(COUNTERS, list(said['nodes'][0]['stat']))
        self.assertNotIn('rates', said['nodes'][0])

    def test_memoryless_node(self):
        tree = self.tree(nodes=(0, 1))
        tree.node(2, 0, 0, 0, 0)
        rows = self.rows(self.good(tree))
        self.assertEqual(['768.00', '768.00', '0.00', '1536.00'], rows['MemTotal'])
        self.assertEqual(0, json.loads(self.good(tree, '-j'))['nodes'][2]['MemTotal'])

    def test_holes_in_node_numbers(self):
        tree = self.tree(nodes=(250, 8, 0, 17))
        os.mkdir(os.path.join(tree.root, 'sys/devices/system/node/nodes'))
        tree.write('sys/devices/system/node/online', '0,8,17,250')
        rows = self.rows(self.good(tree))
        self.assertEqual(['Node 0', 'Node 8', 'Node 17', 'Node 250', 'Total'], rows['head'])
        self.good(tree, '-t', '250=2M')
        self.assertEqual(f'{2 * MIB // PAGE}\n', tree.target(250))

    def test_many_nodes(self):
        tree = self.tree(nodes=range(256))
        rows = self.rows(self.good(tree))
        self.assertEqual(257, len(rows['head']))
        self.assertEqual('65536.00', rows['Balloon'][-1])

    def test_without_nodes(self):
        tree = self.tree(nodes=())
        rows = self.rows(self.good(tree))
        self.assertEqual(['Total'], rows['head'])
        self.assertEqual([['768.00'], ['512.00'], ['256.00'], ['-'], ['-'], ['-'], ['-'], ['-'],
                          ['2048.00']],
                         [rows[row] for row in ROWS])
        said = json.loads(self.good(tree, '--json'))
        self.assertEqual([], said['nodes'])
        self.assertIsNone(said['total']['Superframes'])
        self.refused(tree, '-t', '0=auto', says='no nodes in sysfs')
        self.refused(tree, '-l', '0=max', says='no nodes in sysfs')
        self.refused(tree, '-d', says='no nodes in sysfs')
        # An empty folder of nodes is the same.
        os.makedirs(os.path.join(tree.root, 'sys/devices/system/node'))
        self.assertEqual(['Total'], self.rows(self.good(tree))['head'])

    def test_balloon_in_memtotal(self):
        tree = self.tree(managed=True)
        self.assertTrue(json.loads(self.good(tree, '-j'))['MemTotal_has_balloon'])
        tree.write('proc/zoneinfo', GONE)
        self.assertFalse(json.loads(self.good(tree, '-j'))['MemTotal_has_balloon'])

    def test_no_feature(self):
        tree = self.tree()
        shutil.rmtree(os.path.join(tree.root, 'sys/kernel/mm/balloon'))
        for args in [], ['-w', '1'], ['-d'], ['-t', '0=auto'], ['-p', 'local']:
            self.refused(tree, *args, status=2, says='no NUMA-aware memory balloon')
        done = self.run_tool(tree, '-j')
        self.assertEqual(2, done.returncode)
        self.assertIn('no NUMA-aware', json.loads(done.stdout)['error'])
        self.assertEqual(1, done.stderr.count('\n'))

    def test_garbage(self):
        for text in ('', '-1', ' 7', '7 ', '0x10', 'seven', '1\n2', '9' * 30, '18446744073709551615',
                     'auto', '7' * 5000, '\x00', '"\\'):
            tree = self.tree()
            tree.balloon(1, 'nr_pages', text)
            done = self.run_tool(tree)
            self.assertEqual(1, done.returncode, text)
            self.assertIn('node1/balloon/nr_pages: not a number', done.stderr)
            self.assertEqual(1, done.stderr.count('\n'))
            self.assertEqual(['256.00', '-', '256.00', '256.00', '-'], self.rows(done.stdout)['Balloon'])
            done = self.run_tool(tree, '-j')
            self.assertEqual(1, done.returncode)
            self.assertIsNone(json.loads(done.stdout)['nodes'][1]['Balloon'])

    def test_garbage_elsewhere(self):
        tree = self.tree()
        tree.write('sys/kernel/mm/balloon/policy', 'no brackets')
        tree.write('sys/kernel/mm/balloon/refill', 'a ["\\\x01\xff] b')
        tree.write('sys/devices/system/node/node0/meminfo', 'Node 0 MemTotal: many kB')
        tree.write('sys/devices/system/node/node1/meminfo', GONE)
        tree.balloon(0, 'stat', 'inflate_local 5\nrefill -3\n"odd\\ 4\nno_value\n' + 'x' * 99 + ' 1\n')
        tree.balloon(1, 'stat', GONE)
        tree.write('proc/zoneinfo', 'Node 0, zone\n present 99999999999999999999999\n managed -1\n')
        for args in [], ['-j']:
            done = self.run_tool(tree, *args)
            self.assertEqual(1, done.returncode)
            self.assertIn('policy: no value is in brackets', done.stderr)
            self.assertIn('node1/meminfo: No such file', done.stderr)
            self.assertIn('node0/balloon/stat: a line is no name and number', done.stderr)
        said = json.loads(done.stdout)
        self.assertIsNone(said['policy'])
        self.assertEqual('"\\\x01', said['refill'][:3])
        self.assertEqual({'inflate_local': 5, '"odd\\': 4, 'x' * 31: 1}, said['nodes'][0]['stat'])
        self.assertIsNone(said['nodes'][1]['MemFree'])

    def test_folder_instead_of_a_file(self):
        tree = self.tree()
        tree.balloon(0, 'nr_pages', GONE)
        os.mkdir(os.path.join(tree.root, 'sys/devices/system/node/node0/balloon/nr_pages'))
        done = self.run_tool(tree)
        self.assertEqual(1, done.returncode)
        self.assertIn('nr_pages: Is a directory', done.stderr)

    def test_unreadable(self):
        tree = self.tree()
        os.chmod(os.path.join(tree.root, 'sys/devices/system/node/node0/balloon/nr_pages'), 0)
        done = self.run_tool(tree, **self.not_root())
        self.assertEqual(1, done.returncode)
        self.assertIn('node0/balloon/nr_pages: Permission denied', done.stderr)
        self.assertEqual('-', self.rows(done.stdout)['Balloon'][0])

    def test_full_output(self):
        with open('/dev/full', 'w') as full:
            done = subprocess.run([os.path.join(built, 'balloonstat'), '--root', self.tree().root],
                                  stdout=full, stderr=subprocess.PIPE, text=True)
        self.assertEqual(1, done.returncode)
        self.assertIn('No space left', done.stderr)


class Set(Case):
    def test_targets(self):
        tree = self.tree()
        for size, pages in ((str(4 * PAGE), 4), ('2M', 2 * MIB // PAGE), ('2m', 2 * MIB // PAGE),
                            ('1G', 1024 * MIB // PAGE), ('1024K', MIB // PAGE), ('0', 0), ('0T', 0),
                            ('4096M', 4096 * MIB // PAGE)):
            self.assertEqual('', self.good(tree, '-t', f'2={size}'))
            self.assertEqual(f'{pages}\n', tree.target(2))
            self.assertEqual('auto\n', tree.target(1))
        self.good(tree, '--target', '2=auto', '--target=0=8M')
        self.assertEqual(('auto\n', f'{8 * MIB // PAGE}\n'), (tree.target(2), tree.target(0)))

    def test_limits(self):
        tree = self.tree()
        for size, pages in (('0', 0), ('2M', 2 * MIB // PAGE), ('1G', 1024 * MIB // PAGE),
                            (str(4 * PAGE), 4), ('4096M', 4096 * MIB // PAGE)):
            self.assertEqual('', self.good(tree, '-l', f'2={size}'))
            self.assertEqual(f'{pages}\n', tree.target(2, 'limit'))
            self.assertEqual(('max\n', 'auto\n'), (tree.target(1, 'limit'), tree.target(2)))
        self.good(tree, '--limit', '2=max', '--limit=0=8M', '-t', '0=6M')
        self.assertEqual(('max\n', f'{8 * MIB // PAGE}\n', f'{6 * MIB // PAGE}\n'),
                         (tree.target(2, 'limit'), tree.target(0, 'limit'), tree.target(0)))
        for arg, says in {'1': 'neither NODE=SIZE nor NODE=max', '1=auto': "neither a size nor 'max'",
                          '1=Max': "neither a size nor 'max'", '4=0': 'node 4 does not exist',
                          '1=-1': 'negative', '1=5G': 'more than all', '1=1': 'no multiple',
                          '1=2MB': 'no size', '1=99999999999999999999': 'too large'}.items():
            self.refused(tree, '-l', arg, says=(f'--limit {arg}: ', says))
            self.refused(tree, '-t', '0=2M', '-l', arg, says=says)
        self.assertEqual(('max\n', f'{6 * MIB // PAGE}\n'), (tree.target(1, 'limit'), tree.target(0)))

    def test_policy_and_refill(self):
        tree = self.tree()
        self.good(tree, '-p', 'local', '--refill', 'oom')
        self.assertEqual('local\n', tree.read('sys/kernel/mm/balloon/policy'))
        self.assertEqual('oom\n', tree.read('sys/kernel/mm/balloon/refill'))

    def test_set_and_show(self):
        said = json.loads(self.good(self.tree(), '-t', '1=2M', '-j'))
        self.assertEqual(2 * MIB, said['nodes'][1]['Target'])

    def test_bad_targets(self):
        tree = self.tree()
        for arg, says in {
                '1': 'neither NODE=SIZE nor NODE=auto', '': 'neither', '=2M': 'neither',
                'x=2M': 'neither', '-1=2M': 'neither', '1 =2M': 'neither', '1:2M': 'neither',
                '99999999999999999999=2M': 'neither',
                '4=2M': 'node 4 does not exist; there are 0 1 2 3',
                '4294967297=2M': 'node 4294967297 does not exist', '01x=2M': 'neither',
                '1=': "'' is neither a size nor 'auto'", '1=Auto': 'neither a size',
                '1= 2M': 'neither a size', '1=+2M': 'neither a size', '1=M': 'neither a size',
                '1=-2M': "'-2M' is negative", '1=-': 'negative',
                '1=2Q': "'2Q' is no size", '1=2MB': 'no size', '1=1.5G': 'no size',
                '1=0x10': 'no size', '1=2M ': 'no size', '1=2M\t': 'no size',
                '1=99999999999999999999': 'too large', '1=18446744073709551615T': 'too large',
                '1=16777216T': 'too large',
                '1=5G': ("'5G' is more than all nodes' memory", '4194304K'),
                '1=16777215T': 'more than all',
                f'1={PAGE + 1}': (f"'{PAGE + 1}' is no multiple of the page size", f'{PAGE} bytes'),
                '1=1': 'no multiple', '1=1K': 'no multiple'}.items():
            self.refused(tree, '-t', arg, says=says)
            self.refused(tree, '-t', '0=2M', '-p', 'local', '-t', arg, says=says)
        self.assertEqual(['auto\n'] * 4, [tree.target(nid) for nid in tree.nodes])
        self.assertEqual('[balance] local\n', tree.read('sys/kernel/mm/balloon/policy'))

    def test_bad_choices(self):
        tree = self.tree()
        for name in 'interleave', '', 'bal', '[balance]', 'balance local', 'local ':
            self.refused(tree, '-p', name, says='unknown; allowed are: balance, local')
        self.refused(tree, '--refill', 'on', says='allowed are: off, credit, exchange, oom')
        tree.write('sys/kernel/mm/balloon/policy', GONE)
        self.refused(tree, '-p', 'local', says='policy: No such file')

    def test_not_permitted(self):
        tree = self.tree()
        for path, args in (('kernel/mm/balloon/policy', ['-p', 'local']),
                           ('kernel/mm/balloon/refill', ['--refill', 'off']),
                           ('devices/system/node/node1/balloon/limit', ['-l', '1=0']),
                           ('devices/system/node/node1/balloon/target', ['-t', '1=auto'])):
            os.chmod(os.path.join(tree.root, 'sys', path), 0o444)
            self.refused(tree, *args, says=(path, 'only root may write it: Permission denied'),
                         **self.not_root())

    def test_refused_by_the_kernel(self):
        tree = self.tree()
        path = os.path.join(tree.root, 'sys/devices/system/node/node1/balloon/target')
        os.remove(path)
        os.symlink('/proc/self/oom_score_adj', path)    # EINVAL above 1000
        self.refused(tree, '-t', '1=1G', says=('the kernel refuses it', 'Invalid argument'))
        os.remove(path)
        os.symlink('/dev/full', path)
        self.refused(tree, '-t', '1=1G', says='No space left')
        os.remove(path)
        self.refused(tree, '-t', '1=1G', says='No such file')

    def test_kernel_without_limits(self):
        """It is found out before anything is written."""
        tree = self.tree()
        tree.balloon(1, 'limit', GONE)
        self.refused(tree, '-t', '0=2M', '-p', 'local', '-l', '1=0',
                     says=('--limit 1=0: ', 'node1/balloon/limit: No such file'))
        self.assertEqual('auto\n', tree.target(0))
        self.assertEqual('[balance] local\n', tree.read('sys/kernel/mm/balloon/policy'))
        os.chmod(os.path.join(tree.root, 'sys/devices/system/node/node2/balloon/limit'), 0o444)
        os.chmod(os.path.join(tree.root, 'sys/devices/system/node/node0/balloon/target'), 0o666)
        self.refused(tree, '-t', '0=2M', '-l', '2=0', says='only root may write it',
                     **self.not_root())
        self.assertEqual('auto\n', tree.target(0))

    def test_what_is_set_before_a_refusal(self):
        """It stays, and is named."""
        tree = self.tree()
        path = os.path.join(tree.root, 'sys/devices/system/node/node1/balloon/limit')
        os.remove(path)
        os.symlink('/proc/self/oom_score_adj', path)    # EINVAL above 1000
        self.refused(tree, '-t', '0=2M', '--refill', 'oom', '-l', '1=1G', '-t', '2=2M',
                     says=('--limit 1=1G: ', 'the kernel refuses it: Invalid argument; set already: '
                           '--target 0=2M, --refill oom\n'))
        self.assertEqual((f'{2 * MIB // PAGE}\n', 'auto\n'), (tree.target(0), tree.target(2)))
        self.refused(tree, '-l', '1=1G', says='refuses it: Invalid argument\n')

    def test_options(self):
        tree = self.tree()
        for args, says in ((['-w'], 'requires an argument'), (['-x'], 'invalid option'),
                           (['--wat'], '--watch'), (['-t'], 'requires an argument')):
            done = self.run_tool(tree, *args)
            self.assertEqual((1, says in done.stderr or args == ['--wat']),
                             (done.returncode, True), done.stderr)
        self.refused(tree, 'node0', says='node0: unexpected')
        for seconds in '0', '-1', 'x', '', '1x', 'nan', 'inf', '1e9', '1 ':
            self.refused(tree, '-w', seconds, says='not a number of seconds')
        self.refused(None, '--root', os.path.join(tree.root, 'none'), says='No such file')
        self.refused(None, '--root', os.path.join(tree.root, 'proc/meminfo'), says='Not a directory')
        self.assertRegex(self.good(None, '-V'), r'^balloonstat \d')
        self.assertIn('--refill MODE', self.good(None, '-h'))


class Waits(Case):
    def test_met(self):
        began = time.monotonic()
        for args in ['--wait'], ['--wait', '5'], ['--wait=0'], ['-t', '0=2M', '--wait']:
            self.assertEqual('', self.good(self.tree(), *args))
        self.assertLess(time.monotonic() - began, 4)
        said = json.loads(self.good(self.tree(), '--wait', '-j'))
        self.assertEqual('settled', said['state'])

    def test_not_met(self):
        tree = self.tree()
        tree.state('waiting: limit 12')
        self.refused(tree, '--wait', status=3,
                     says=('targets are not met: ', 'waiting for 12 s: limit, nodes may not hold more'))
        # With a time, it may yet come.
        began = time.monotonic()
        self.refused(tree, '--wait', '1.2', status=3, says=('not met in time: ', 'limit'))
        self.assertGreater(time.monotonic() - began, 1.1)
        tree.state('inflating')
        self.refused(tree, '--wait=0', status=3, says='not met in time: inflating')
        # What was set is set, and what is to be shown is shown.
        tree.state('waiting: host-refused 3')
        self.refused(tree, '-l', '0=0', '--wait', status=3, says='host-refused')
        self.assertEqual('0\n', tree.target(0, 'limit'))
        done = self.run_tool(tree, '--wait', '-j')
        self.assertEqual((3, 'host-refused'), (done.returncode, json.loads(done.stdout)['reason']))

    def test_comes_to_be_met(self):
        for args in ['--wait'], ['--wait', '30']:
            tree = self.tree()
            tree.state('inflating')
            tool = subprocess.Popen([os.path.join(built, 'balloonstat'), '--root', tree.root, *args],
                                    stderr=subprocess.PIPE, text=True)
            time.sleep(1)
            self.assertIsNone(tool.poll())
            tree.state('moving')
            time.sleep(0.7)
            self.assertIsNone(tool.poll())
            tree.state('settled')
            self.assertEqual('', tool.communicate(timeout=5)[1])
            self.assertEqual(0, tool.returncode)

    def test_gives_up_when_it_rests(self):
        tree = self.tree()
        tree.state('deflating')
        tool = subprocess.Popen([os.path.join(built, 'balloonstat'), '--root', tree.root, '--wait'],
                                stderr=subprocess.PIPE, text=True)
        time.sleep(0.7)
        self.assertIsNone(tool.poll())
        tree.state('waiting: guest-memory 0')
        self.assertIn('guest-memory', tool.communicate(timeout=5)[1])
        self.assertEqual(3, tool.returncode)

    def test_wrong(self):
        tree = self.tree()
        for seconds in '--wait=-1', '--wait=x', '--wait=', '--wait=nan', '--wait=1e9', '--wait=1x':
            self.refused(tree, seconds, says='not a number of seconds from 0')
        self.refused(tree, '--wait', 'x', says='x: unexpected')
        self.refused(tree, '--wait', '5x', says='not a number of seconds')
        tree.state('nonsense here')
        self.refused(tree, '--wait', says='state: not a state')
        tree.state(GONE)
        self.refused(tree, '--wait', says='state: No such file')


class Watched(Case):
    def start(self, tree, *args, **how):
        how = {'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE, 'text': True, **how}
        return subprocess.Popen([os.path.join(built, 'balloonstat'), '--root', tree.root, *args], **how)

    def end(self, tool, sig=signal.SIGINT):
        tool.send_signal(sig)
        rest, errors = tool.communicate(timeout=10)
        self.assertEqual((0, ''), (tool.returncode, errors))
        return rest

    def table(self, tool, last='Target'):
        """The next lines, up to row LAST."""
        lines = ['']
        while not lines[-1].startswith(last):
            lines.append(tool.stdout.readline())
            self.assertTrue(lines[-1], 'balloonstat ended')
        return ''.join(lines)

    def test_plain(self):
        for sig in signal.SIGINT, signal.SIGTERM, signal.SIGHUP:
            tool = self.start(self.tree(), '-w', '0.05')
            text = ''.join(self.table(tool) for _ in range(3)) + self.end(tool, sig)
            self.assertGreater(text.count('Policy balance'), 2)
            self.assertEqual(text.count('Policy balance'), text.count('\nTarget '))
            self.assertNotIn('\033', text)

    def test_looks_that_take_longer(self):
        """It ends, too, when a look takes longer than the interval."""
        tree = self.tree(nodes=range(512))
        for sig in signal.SIGINT, signal.SIGTERM, signal.SIGHUP:
            with tempfile.TemporaryFile() as out:
                tool = self.start(tree, '-w', '0.01', stdout=out)
                self.addCleanup(tool.stderr.close)
                self.addCleanup(tool.wait)
                self.addCleanup(tool.kill)
                limit = time.monotonic() + 20
                while os.fstat(out.fileno()).st_size < 1 << 18:
                    self.assertLess(time.monotonic(), limit)
                    time.sleep(0.05)
                tool.send_signal(sig)
                self.assertEqual(0, tool.wait(timeout=2))

    def test_json_and_rates(self):
        tree = self.tree()
        tool = self.start(tree, '-j', '-d', '-w', '3')
        first = json.loads(tool.stdout.readline())
        self.assertIsNone(first['nodes'][0]['rates']['refill'])
        tree.stat(0, refill=1000, split=10)
        tree.stat(1, refill=500)
        said = json.loads(tool.stdout.readline())
        took = said['time'] - first['time']
        self.assertAlmostEqual(1000 / took, said['nodes'][0]['rates']['refill'], delta=50 / took)
        self.assertAlmostEqual(10 / took, said['nodes'][0]['rates']['split'], delta=1 / took)
        self.assertEqual(0, said['nodes'][2]['rates']['refill'])
        self.assertAlmostEqual(1500 / took, said['total']['rates']['refill'], delta=75 / took)
        self.end(tool)

    def test_rates_of_nodes_that_come_and_go(self):
        tree = self.tree()
        tool = self.start(tree, '-j', '-d', '-w', '3')
        tool.stdout.readline()
        shutil.rmtree(os.path.join(tree.root, 'sys/devices/system/node/node1'))
        tree.node(7, 1024, 512, 256, 768)
        said = json.loads(tool.stdout.readline())
        self.assertEqual([0, 2, 3, 7], [node['node'] for node in said['nodes']])
        self.assertIsNone(said['nodes'][3]['rates']['refill'])
        self.assertIsNone(said['total']['rates']['refill'])
        said = json.loads(tool.stdout.readline())
        self.assertEqual(0, said['total']['rates']['refill'])
        self.end(tool)

    def test_plain_rates(self):
        tree = self.tree(nodes=(0, 1))
        tool = self.start(tree, '-d')       # every second
        self.assertEqual(['-'] * 3, self.rows(self.table(tool, 'split'))['migrate'])
        tree.stat(1, migrate=4000)
        rates = [float(cell) for cell in self.rows(self.table(tool, 'split'))['migrate']]
        self.end(tool)
        self.assertEqual(0, rates[0])
        # The time between two looks is the JSON test's: here it is one second, and more on a busy machine.
        self.assertTrue(1000 <= rates[1] <= 4400, rates)
        self.assertEqual(rates[1], rates[2])

    def test_target_and_watch(self):
        tool = self.start(self.tree(), '-t', '3=2M', '-w', '9')
        self.assertEqual('2.00', self.rows(self.table(tool))['Target'][3])
        self.end(tool)

    def test_reader_ends(self):
        tool = self.start(self.tree(), '-w', '0.05')
        tool.stdout.readline()
        tool.stdout.close()
        self.assertEqual(-signal.SIGPIPE, tool.wait(timeout=10))
        tool.stderr.close()


class Terminal(Case):
    """Under a pty, which is the tool's controlling terminal: keys become signals."""

    def start(self, tree, *args, rows=60, columns=80, term='xterm', at_once=1):
        """AT_ONCE: reads wait for so many keys."""
        self.keys, tty = pty.openpty()
        self.addCleanup(os.close, self.keys)
        self.resize(rows, columns)
        modes = termios.tcgetattr(tty)
        modes[6][termios.VMIN] = at_once
        termios.tcsetattr(tty, termios.TCSANOW, modes)
        # The first terminal that the leader of a session opens becomes its own.
        self.tool = subprocess.Popen(['sh', '-c', 'exec "$@" < "$0" > "$0" 2>&1', os.ttyname(tty),
                                      os.path.join(built, 'balloonstat'), '--root', tree.root, *args],
                                     start_new_session=True, env={'TERM': term, 'PATH': '/bin'})
        self.tty = tty
        self.addCleanup(os.close, tty)
        self.addCleanup(self.tool.wait)
        self.addCleanup(self.tool.kill)
        self.seen = ''

    def resize(self, rows, columns):
        fcntl.ioctl(self.keys, termios.TIOCSWINSZ, struct.pack('HHHH', rows, columns, 0, 0))

    def press(self, key):
        os.write(self.keys, key)

    def look(self, until=None):
        """What has come since the last look, and what comes up to UNTIL, a pattern, or to the end
        of the tool. Its first terminal is kept open here, so that nothing gets lost."""
        limit = time.monotonic() + 20
        text = ''
        while not (until and re.search(until, text)):
            ending = self.tool.poll() is not None
            self.assertLess(time.monotonic(), limit, repr(text[-999:]))
            if select.select([self.keys], [], [], 0.1)[0]:
                text += os.read(self.keys, 65536).decode().replace('\r\n', '\n')
            elif ending:
                break
        self.seen += text
        return text

    def once(self, tree, status=0, **terminal):
        self.start(tree, **terminal)
        text = self.look()
        self.assertEqual(status, self.tool.wait())
        return text

    def frame(self, what='.'):
        """The next whole frame in which WHAT is found."""
        return re.search(rf'\033\[H([^\0]*?{what}[^\0]*?)\033\[J',
                         self.look(rf'\033\[H((?!\033\[J)[^\0])*?{what}[^\0]*?\033\[J'))[1]

    def ended(self, status=0):
        self.press(b'\x03')
        text = self.look()
        self.assertEqual(status, self.tool.wait())
        return text

    def test_once_with_bars(self):
        text = self.once(self.tree())
        self.assertNotIn('\033', text)
        bars = re.findall(r'^Node (\d) +\[(#*)(=*)(\.*)\]$', text, re.M)
        self.assertEqual(['0', '1', '2', '3'], [bar[0] for bar in bars])
        # 256 of 1024 are in use, 256 in the balloon, 512 free; 79 columns less name and brackets.
        for bar in bars:
            self.assertEqual((17, 17, 33), tuple(len(part) for part in bar[1:]), text)
        self.assertIn('# used  = balloon  . free', text)

    def test_bars_with_the_balloon_in_memtotal(self):
        self.assertRegex(self.once(self.tree(nodes=(0,), managed=True)), r'\[#{17}={17}\.{33}\]')

    def test_bars_of_odd_nodes(self):
        tree = self.tree(nodes=(0, 5))
        tree.node(9, 0, 0, 0, 0)
        tree.balloon(5, 'nr_pages', 'x')
        self.assertRegex(self.once(tree, status=1), r'Node 5 +\[unknown +\]\nNode 9 +\[no memory +\]')

    def test_bar_without_nodes(self):
        self.assertRegex(self.once(self.tree(nodes=())), r'Total +\[#{17}={17}\.{33}\]')

    def test_wraps(self):
        for columns in 1, 20, 23:
            # Not all fit: the total comes first.
            text = self.once(self.tree(nodes=range(10)), columns=columns)
            rows = self.rows(text)
            self.assertEqual(['Total'] + [f'Node {nid}' for nid in range(10)], rows['head'])
            self.assertEqual(['2560.00'] + ['256.00'] * 10, rows['Balloon'])
            self.assertEqual(10, len(re.findall(r'^Node \d +\[', text, re.M)))

    def listed(self, text):
        """{row: {column: value}}, of a list with a line a node."""
        lines = text.splitlines()
        first = next(i for i, line in enumerate(lines) if line.startswith('Node '))
        names = lines[first].split()[1:]
        rows = {}
        for line in lines[first + 1:]:
            if not re.match(r'(\d+|Total) ', line):
                break
            rows[line.split()[0]] = dict(zip(names, line.split()[1:]))
        return rows

    def test_list(self):
        """Where not all columns fit, a line a node, with as much as fits."""
        for columns, names in ((24, 2), (40, 3), (72, 7), (80, 7), (133, 7)):
            tree = self.tree(nodes=range(10))
            tree.balloon(3, 'target', 131072)
            tree.balloon(7, 'limit', 0)
            text = self.once(tree, columns=columns)
            rows = self.listed(text)
            self.assertEqual(['Total'] + [str(nid) for nid in range(10)], list(rows), text)
            self.assertEqual(names, len(rows['3']))
            self.assertEqual('2560.0', rows['Total']['Balloon'])
            self.assertEqual('256.0', rows['9']['Balloon'])
            self.assertEqual(f'{131072 * PAGE / MIB:.1f}', rows['3']['Target'])
            if names > 2:
                self.assertEqual(('max', '0.0'), (rows['3']['Limit'], rows['7']['Limit']))
            for line in text.splitlines()[2:]:
                self.assertLessEqual(len(line), columns, text)
            bars = re.findall(r'^(?:Total|\d+) .*\[(#*)(=*)(\.*)\]$', text, re.M)
            self.assertEqual(11 if columns >= 80 else 0, len(bars))
            for bar in bars:
                self.assertAlmostEqual(len(bar[0]), len(bar[1]), delta=1)
                self.assertGreater(len(bar[2]), len(bar[1]))

    def test_sizes_of_a_list(self):
        tree = self.tree(nodes=range(8), size=4 << 20, free=1 << 20, balloon=2 << 20)
        text = self.once(tree)
        self.assertEqual('16777216', self.listed(text)['Total']['Balloon'], text)
        self.assertLessEqual(max(map(len, text.splitlines())), 80)

    def test_64_nodes(self):
        """80 x 24: what the columns are, and the total, stay; the rest is scrolled."""
        tree = self.tree(nodes=range(64))
        self.start(tree, '-w', '60', rows=24)
        frame = self.frame().replace('\033[K', '')
        self.assertEqual(['Total'] + [str(nid) for nid in range(18)], list(self.listed(frame)), frame)
        self.assertTrue(frame.endswith('... 47 lines more'), frame)

        def seen(key):
            self.press(key)
            frame = self.frame().replace('\033[K', '')
            self.assertIn('State: settled', frame)
            nodes = list(self.listed(frame))
            self.assertEqual('Total', nodes[0])
            self.assertLess(frame.count('\n'), 24)
            return int(nodes[1]), int(nodes[-1]), frame.split('\n')[-1]

        self.assertEqual((1, 18, '... 46 lines more, 1 above'), seen(b'\033[B'))
        self.assertEqual((2, 19, '... 45 lines more, 2 above'), seen(b'\033OB'))
        self.assertEqual((1, 18), seen(b'\033[A')[:2])
        self.assertEqual((0, 17, '... 47 lines more'), seen(b'k'))
        self.assertEqual((0, 17), seen(b'\033[A')[:2])
        self.assertEqual((17, 34), seen(b'\033[6~')[:2])
        self.assertEqual((34, 51), seen(b' ')[:2])
        # The end: what bars mean is the last line.
        first, last, left = seen(b'G')
        self.assertEqual((63, '... 47 lines above'), (last, left))
        self.assertEqual(63, seen(b'\033[6~')[1])
        self.assertEqual(first - 17, seen(b'\033[5~')[0])
        self.assertEqual((0, 17), seen(b'\033[H')[:2])
        self.assertEqual(63, seen(b'\033[F')[1])
        # A larger terminal has nothing to be scrolled.
        self.resize(100, 80)
        frame = self.frame('free')
        self.assertNotIn('...', frame.replace('..', ''))
        self.press(b'q')
        self.look()
        self.assertEqual(0, self.tool.wait())

    def test_other_keys(self):
        """They do nothing, are not shown, and what they leave in the terminal is as before."""
        before = termios.tcgetattr(self.terminal())
        self.start(self.tree(), '-w', '60')
        self.frame()
        self.press(b'x1\033[Z\t')
        time.sleep(0.5)
        self.assertEqual([], select.select([self.keys], [], [], 0)[0])
        self.assertFalse(termios.tcgetattr(self.tty)[3] & (termios.ECHO | termios.ICANON))
        self.ended()
        self.assertEqual(before[3], termios.tcgetattr(self.tty)[3])

    def terminal(self):
        """One as new."""
        keys, tty = pty.openpty()
        self.addCleanup(os.close, keys)
        self.addCleanup(os.close, tty)
        return tty

    def test_in_place_until_ctrl_c(self):
        tree = self.tree()
        self.start(tree, '-w', '0.1')
        self.look(r'(\033\[H[^\0]*){4}')
        self.assertIn('\033[?25l', self.seen)
        tree.balloon(0, 'target', 512)
        self.look(f'Target  .* {512 * PAGE / MIB:.2f}')
        self.ended()
        self.assertEqual(self.seen.count('\033[H'), self.seen.count('Policy balance'))
        self.assertEqual(1, self.seen.count('\033[?25h'))
        self.assertTrue(self.seen.endswith('\n\033[?25h'), repr(self.seen[-99:]))

    def test_too_low_a_terminal(self):
        self.start(self.tree(), '-w', '0.2', rows=6)
        frame = self.frame()
        self.assertEqual(5, frame.count('\n'))
        self.assertTrue(frame.endswith('\n... 14 lines more\033[K'), repr(frame))
        self.resize(60, 200)
        frame = self.frame('free')
        self.assertNotIn('... ', frame)
        self.assertRegex(frame, r'\[[#=.]{187}\]')
        self.ended()

    def test_too_narrow_a_terminal(self):
        for columns in 1, 10, 38, 40, 62, 74:
            self.start(self.tree(), '-w', '0.1', rows=14, columns=columns)
            for line in self.frame().split('\n'):
                # None wraps, and nothing is erased behind a line as wide as the terminal.
                text = line.removesuffix('\033[K')
                self.assertLess(len(text), columns + (text == line), repr(line))
            self.ended()

    def test_resized(self):
        """The terminal's new size shows at once, with the rates of the last interval."""
        tree = self.tree()
        self.start(tree, '-d', '-w', '2', columns=120)
        self.frame('free')
        tree.stat(1, migrate=4000)
        rates = self.rows(self.frame('free').replace('\033[K', ''))['migrate']
        self.assertGreater(float(rates[1]), 0)
        self.resize(90, 50)
        rows = self.rows(self.frame('Node {3}').replace('\033[K', ''))
        self.assertEqual('Total', rows['head'][0])
        self.assertEqual(sorted(rates), sorted(rows['migrate']))
        self.ended()

    def test_suspended(self):
        self.start(self.tree(), '-w', '0.1')
        self.frame()
        # The terminal's own signal would be dropped: nobody else is in this session.
        os.kill(self.tool.pid, signal.SIGTSTP)
        self.look(r'\033\[\?25h')
        time.sleep(0.3)
        self.assertEqual([], select.select([self.keys], [], [], 0)[0])
        os.kill(self.tool.pid, signal.SIGCONT)
        self.look(r'\033\[\?25l\033\[H')
        self.ended()

    def test_stopped_and_continued(self):
        """By a signal that it does not see; a shell may have the terminal as it likes meanwhile."""
        for shell in True, False:
            self.start(self.tree(), '-w', '0.1')
            before = termios.tcgetattr(self.tty)
            self.frame()
            os.kill(self.tool.pid, signal.SIGSTOP)
            os.waitid(os.P_PID, self.tool.pid, os.WSTOPPED | os.WNOWAIT)
            if shell:
                before[3] |= termios.ICANON | termios.ECHO
                termios.tcsetattr(self.tty, termios.TCSANOW, before)
                # Two of its characters are told as numbers where it was not canonical.
                before = termios.tcgetattr(self.tty)
            while select.select([self.keys], [], [], 0)[0]:
                os.read(self.keys, 65536)
            os.kill(self.tool.pid, signal.SIGCONT)
            self.frame()
            self.frame()
            self.assertFalse(termios.tcgetattr(self.tty)[3] & (termios.ECHO | termios.ICANON))
            self.press(b'q')
            self.look()
            self.assertEqual(0, self.tool.wait())
            if shell:
                self.assertEqual(before, termios.tcgetattr(self.tty))
            else:
                self.assertTrue(termios.tcgetattr(self.tty)[3] & termios.ICANON)

    def test_quit(self):
        """Ctrl-\\ leaves the terminal as it was, too."""
        self.start(self.tree(), '-w', '60')
        self.frame()
        self.press(b'\x1c')
        self.look()
        self.assertEqual(0, self.tool.wait())
        self.assertTrue(self.seen.endswith('\033[?25h'), repr(self.seen[-99:]))
        modes = termios.ECHO | termios.ICANON
        self.assertEqual(modes, termios.tcgetattr(self.tty)[3] & modes)

    def test_keys_that_come_many_at_once(self):
        """Whatever was there before: each key counts."""
        self.start(self.tree(), '-w', '60', at_once=10)
        self.frame()
        self.press(b'q')
        self.look()
        self.assertEqual(0, self.tool.wait())

    def test_looks_that_take_longer(self):
        """Keys are heard, too, when a look takes longer than the interval."""
        tree = self.tree(nodes=range(512))
        for key in b'q', b'\x03':
            self.start(tree, '-w', '0.01')
            self.look(r'(\033\[H[^\0]*){4}')
            self.press(key)
            self.look()
            self.assertEqual(0, self.tool.wait())

    def test_not_drawn(self):
        for args, term in (['-w', '0.1'], 'dumb'), (['-j', '-w', '0.1'], 'xterm'):
            self.start(self.tree(), *args, term=term)
            self.look('(?i)(policy[^\0]*){2}')
            self.ended()
            self.assertNotIn('\033', self.seen)

    def test_garbage_in_place(self):
        tree = self.tree()
        tree.balloon(0, 'nr_pages', 'x')
        self.start(tree, '-w', '0.1')
        self.frame()
        self.assertIn('something could not be read', self.ended(status=1))


class Installed(Case):
    def test_install(self):
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run(MAKE + [f'OUTPUT={built}', f'DESTDIR={folder}', 'PREFIX=/usr', 'install'],
                           check=True, env={'PATH': os.environ['PATH']})
            for path in ('bin/balloonstat', 'share/man/man8/balloonstat.8',
                         'share/bash-completion/completions/balloonstat'):
                self.assertTrue(os.path.exists(os.path.join(folder, 'usr', path)), path)

    def test_manual(self):
        """The page and --help tell of the same options; man finds nothing wrong."""
        with open(os.path.join(TOP, 'tools/mm/balloonstat.8')) as file:
            page = file.read().replace('\\-', '-')
        for option in re.findall(r'--[a-z]+', self.good(None, '--help')):
            self.assertIn(option, page)
        if not shutil.which('groff'):
            self.skipTest('there is no groff')
        said = subprocess.run(['groff', '-man', '-ww', '-z', os.path.join(TOP, 'tools/mm/balloonstat.8')],
                              text=True, stderr=subprocess.PIPE)
        self.assertEqual((0, ''), (said.returncode, said.stderr))

    def complete(self, tree, *words):
        script = ('source "$1"; shift; COMP_WORDS=(balloonstat "$@"); COMP_CWORD=$#; _balloonstat;'
                  'echo "${COMPREPLY[@]}"')
        return subprocess.run(['bash', '-c', script, 'bash',
                               os.path.join(TOP, 'tools/mm/balloonstat.bash-completion'),
                               '--root', tree.root, *words],
                              text=True, check=True, stdout=subprocess.PIPE).stdout.split()

    def test_completion(self):
        tree = self.tree(nodes=(0, 5))
        self.assertEqual(['0=', '5='], self.complete(tree, '-t', ''))
        self.assertEqual(['auto'], self.complete(tree, '-t', '5', '=', 'a'))
        self.assertEqual(['auto'], self.complete(tree, '-t', '5', '='))
        self.assertEqual(['0=', '5='], self.complete(tree, '-l', ''))
        self.assertEqual(['max'], self.complete(tree, '--limit', '5', '='))
        self.assertEqual(['--watch', '--wait'], self.complete(tree, '--wa'))
        self.assertEqual(['local'], self.complete(tree, '-p', 'l'))
        self.assertEqual(['balance', 'local'], self.complete(tree, '--policy', ''))
        self.assertEqual(['off', 'oom'], self.complete(tree, '--refill', 'o'))
        self.assertEqual(['--refill', '--root'], self.complete(tree, '--r'))


if __name__ == '__main__':
    unittest.main()
