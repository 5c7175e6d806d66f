#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Tests of the tool for KVM's hosts, tools/virt/virsh-node-mem, against a made-up libvirt whose
guest agent is scripts/fake_virsh.py; and of what it has in common with Xen's, xl-node-mem.

Most call the tool's main() here, with a virsh that is called, too: to begin a Python each time
would take most of the time. Some run both as they are. Other tests run in other threads meanwhile:
what is all threads' stays as it is."""

import base64
import errno
import io
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import traceback
import types
import unittest
from unittest import mock

import fake_virsh

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TOOL = os.path.join(TOP, 'tools/virt/virsh-node-mem')
XEN_TOOL = os.path.join(TOP, 'tools/xen/xl-node-mem')
MIB = 1 << 20
PAGE = 4096
PER_MIB = MIB // PAGE
GONE = None
UUID = '0a1b2c3d-0000-4000-8000-{:012d}'
CHANNEL = ("<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0' "
           "state='connected'/></channel>")
FILES = ['guest-file-open', 'guest-file-read', 'guest-file-write', 'guest-file-flush',
         'guest-file-close']
EXEC = ['guest-exec', 'guest-exec-status']
SIZES = {'80': 80, '80m': 80, '80M': 80, '80MiB': 80, '80mib': 80, '81920k': 80, '81920K': 80,
         '81920KiB': 80, '1g': 1024, '1G': 1024, '1GiB': 1024, '0': 0, '0t': 0, '0TiB': 0}
NO_SIZES = ['', ' ', '-1', '+1', '1.5G', '0x10', '010', '00', '1 ', ' 1', '1q', '1MB', '1kb', '1Mi',
            'M', 'MiB', 'much', '1,5G', '99999999999999999999', '1e3', 'Auto', 'AUTO', '1\n', '٣',
            '1;reboot', '$(reboot)', "'", '"', '1M 2M']


class World:
    """What libvirt, guests and the host's /proc have, in a temporary directory. Sizes are MiB."""

    def __init__(self):
        self.root = tempfile.mkdtemp(prefix='virsh-node-mem-')
        self.bin = os.path.join(self.root, 'bin')
        os.mkdir(self.bin)
        self.make_virsh()
        self.count = 0

    def make_virsh(self):
        # Nothing of the site: it begins faster.
        self.program('virsh', f'exec python3 -IS {os.path.join(TOP, "scripts/fake_virsh.py")} "$@"')

    def program(self, name, script):
        path = os.path.join(self.bin, name)
        with open(path, 'w') as file:
            file.write(f'#!/bin/sh\n{script}\n')
        os.chmod(path, 0o755)

    def write(self, path, what):
        path = os.path.join(self.root, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if what is GONE:
            os.remove(path)
        else:
            with open(path, 'wb' if isinstance(what, bytes) else 'w') as file:
                file.write(what)

    def libvirt(self, **says):
        self.write('libvirt.json', json.dumps(says))

    def log(self):
        """The command lines of all virshes so far."""
        with open(os.path.join(self.root, 'log')) as file:
            return [json.loads(line) for line in file]

    def crashes(self):
        return os.path.exists(os.path.join(self.root, 'crashes'))

    def domain(self, name='guest', **kind):
        return Guest(self, name, **kind)


class Guest:
    def __init__(self, world, name, nodes=(1024, 1024), balloon=0, numatune='', channel=CHANNEL,
                 order=None, kind='kvm', cells=True, memory='', plugged=0, memballoon='virtio',
                 **says):
        """ORDER: which of the guest's own numbers each virtual node has."""
        self.world = world
        self.name = name
        self.nodes = nodes
        self.order = list(order or range(len(nodes)))
        self.uuid = UUID.format(world.count)
        world.count += 1
        total = sum(nodes) + plugged
        xml = ''.join(f"<cell id='{i}' cpus='{i}' memory='{size * 1024}' unit='KiB'/>"
                      for i, size in enumerate(nodes)) if cells else ''
        self.says = {'name': name, 'id': str(world.count), 'uuid': self.uuid,
                     'state': 'running', 'maxmem': total * 1024, 'actual': (total - balloon) * 1024,
                     'present': total * PER_MIB,
                     'xml': f"<domain type='{kind}' id='{world.count}'><name>{name}</name>"
                            f"<uuid>{self.uuid}</uuid><description>\nerror: none</description>"
                            f"<memory unit='KiB'>{total * 1024}</memory><currentMemory unit='KiB'>"
                            f"{(total - balloon) * 1024}</currentMemory>{numatune}<cpu>"
                            + (f'<numa>{xml}</numa>' if cells else '') +
                            f"</cpu><devices>{channel}{memory}<memballoon model='{memballoon}'/>"
                            '</devices></domain>', **says}
        self.save()
        online = ','.join(map(str, sorted(self.order)))
        self.file('/sys/devices/system/node/online', f'{online}\n')
        self.kernel('target', balloon * PER_MIB)
        self.kernel('nr_pages', balloon * PER_MIB)
        self.kernel('state', 'settled')
        self.file('/proc/self/auxv', struct.pack('8Q', 33, 1 << 60, 6, PAGE, 17, 100, 0, 0))
        start, zones = 0, {}
        for size, node in zip(nodes, self.order):
            self.node(node, 'nr_pages', balloon // len(nodes) * PER_MIB)
            self.node(node, 'nr_superframes', balloon // len(nodes) // 2)
            self.node(node, 'target', 'auto')
            self.node(node, 'limit', 'max')
            self.node(node, 'available', f'superframes {size // 4}\nevacuation 5\npages 256')
            if size:
                zones[node] = (f'Node {node}, zone   Normal\n  pages free     17\n'
                               f'        present  {size * PER_MIB}\n        managed  9\n'
                               '      cpu: 0\n              count: 3\n'
                               f'  start_pfn:           {start}\n')
            start += size * PER_MIB
        self.file('/proc/zoneinfo', ''.join(zones[node] for node in sorted(zones)))

    def save(self):
        self.world.write(f'{self.name}/domain.json', json.dumps(self.says))

    def say(self, **says):
        """Changes how the domain or its agent is."""
        self.says = {**self.now(), **says}
        self.save()

    def now(self):
        with open(os.path.join(self.world.root, self.name, 'domain.json')) as file:
            return json.load(file)

    def file(self, path, what):
        self.world.write(f'{self.name}/root{path}', what)

    def kernel(self, name, value):
        self.file(f'/sys/kernel/mm/balloon/{name}', value if value is GONE else f'{value}\n')

    def node(self, node, name, value):
        self.file(f'/sys/devices/system/node/node{node}/balloon/{name}',
                  value if value is GONE else f'{value}\n')

    def read(self, node, name):
        with open(self.path(node, name)) as file:
            return file.read().strip()

    def path(self, node, name):
        return os.path.join(self.world.root, self.name, 'root/sys/devices/system/node',
                            f'node{node}/balloon', name)

    def process(self, areas, pid=4711):
        """The host's /proc of its QEMU. AREAS: [(size, words of numa_maps)]."""
        maps = numa_maps = ''
        begin = 0x7f0000000000
        for size, words in areas:
            maps += f'{begin:x}-{begin + size * MIB:x} rw-p 00000000 00:00 0\n'
            numa_maps += f'{begin:x} {words}\n'
            begin += 0x1000000000
        self.world.write(f'host/proc/{pid}/cmdline', '\0'.join(
            ['qemu-system-x86_64', '-name', f'guest={self.name}', '-uuid', self.uuid, '-S', '']))
        self.world.write(f'host/proc/{pid}/maps', maps)
        self.world.write(f'host/proc/{pid}/numa_maps', numa_maps)


def load_tool():
    """As a module, without a file of its own beside it."""
    module = types.ModuleType('virsh_node_mem')
    with open(TOOL) as file:
        exec(compile(file.read(), TOOL, 'exec'), module.__dict__)
    return module


def setUpModule():
    global tool
    tool = load_tool()


class Case(unittest.TestCase):
    program = False         # True: the tool and virsh are processes
    program_virsh = False   # True: virsh is one

    def setUp(self):
        self.world = World()
        self.addCleanup(shutil.rmtree, self.world.root)

    def tearDown(self):
        self.assertFalse(self.world.crashes(), 'the agent was given a handle that it had freed')

    def run_tool(self, *args, path=TOOL, env=None):
        env = {'PATH': f'{self.world.bin}:/usr/bin:/bin', 'FAKE_VIRSH': self.world.root,
               'LANG': 'de_DE.UTF-8', **(env or {})}
        if path == TOOL:
            args = ('--root', os.path.join(self.world.root, 'host'), *args)
            # Help is printed by a module that is not the tool's own.
            if not self.program and not {'-h', '--help'} & set(args):
                return self.call_tool(args, env)
        return subprocess.run([path, *args], text=True, capture_output=True, timeout=60, env=env)

    def call_tool(self, args, env):
        out, err = io.StringIO(), io.StringIO()

        def put(*words, file=None):
            print(*words, file=err if file is sys.stderr else out)
        with mock.patch.object(tool, 'environ', env), \
                mock.patch.object(tool, 'print', put, create=True), \
                mock.patch.object(fake_virsh, 'TOP', self.world.root), \
                mock.patch.object(tool.Virsh, 'printed', tool.Virsh.printed if self.program_virsh
                                  else self.call_virsh):
            try:
                status = tool.main(args)
            except Exception:
                traceback.print_exc(file=err)
                status = 1
        return subprocess.CompletedProcess(args, status, out.getvalue(), err.getvalue())

    @staticmethod
    def call_virsh(virsh, script, seconds):
        """In place of a process that prints errors to where the rest goes, too."""
        if len(script.encode()) >= 1 << 17:
            raise OSError(errno.E2BIG, 'Argument list too long')
        if seconds <= 0:
            return '', False
        said = []
        fake_virsh.perform([*virsh.command[1:], script], virsh.env['LC_ALL'],
                           lambda text, wrong: said.append(text))
        return ''.join(said), True

    def good(self, *args, says=''):
        done = self.run_tool(*args)
        self.assertEqual(0, done.returncode, done.stderr)
        if says is not None:
            # That the host's /proc knows nothing of a domain is not what most tests are of.
            self.assertEqual(says, re.sub(r'.*: its QEMU was not found under /proc\n', '',
                                          done.stderr))
        return done.stdout

    def refused(self, *args, says, status=1, **how):
        """One line on stderr that has all of SAYS; nothing on stdout."""
        done = self.run_tool(*args, **how)
        self.assertEqual((status, ''), (done.returncode, done.stdout), done.stderr)
        self.assertEqual(1, done.stderr.count('\n'), done.stderr)
        self.assertTrue(done.stderr.startswith('virsh-node-mem: '), done.stderr)
        for part in [says] if isinstance(says, str) else says:
            self.assertIn(part, done.stderr)
        return done.stderr

    def row(self, text, vnode):
        """The cells of a line of the table."""
        for line in text.splitlines():
            if line.split()[:1] == [str(vnode)]:
                return line.split()[1:]
        self.fail(text)

    def json(self, *args, status=0):
        done = self.run_tool('-j', *args)
        self.assertEqual(status, done.returncode, done.stderr)
        return json.loads(done.stdout)

    def untouched(self, guest):
        """As it was made."""
        for node in guest.order:
            self.assertEqual('auto', guest.read(node, 'target'))
            self.assertEqual('max', guest.read(node, 'limit'))
        self.assertEqual(guest.now()['maxmem'], guest.now()['actual'])


class Listed(Case):
    def test_two_nodes(self):
        guest = self.world.domain(balloon=512)
        guest.node(1, 'target', 256 * PER_MIB)
        guest.node(0, 'limit', 0)
        text = self.good('guest')
        self.assertIn('guest: 2048 MiB, 512 of them in the balloon, settled\n', text)
        self.assertEqual(['1024', '256', '128', 'auto', '0', '523', '-', '-'], self.row(text, 0))
        self.assertEqual(['1024', '256', '128', '768', 'max', '523', '-', '-'], self.row(text, 1))
        head, first, second = text.splitlines()[1:]
        for name, cell in (('total', '1024'), ('superframes', '128'), ('available', '523')):
            self.assertEqual(head.index(name) + len(name), first.index(cell) + len(cell) if
                             cell != '128' else first.index(' 128 ') + 4)

    def test_json(self):
        guest = self.world.domain(balloon=512)
        guest.node(1, 'target', 256 * PER_MIB)
        said = self.json('guest')
        self.assertEqual({'domain': 'guest', 'total': 2048 * MIB, 'left': 1536 * MIB,
                          'balloon': 512 * MIB, 'wanted': 512 * MIB, 'state': 'settled',
                          'error': None}, {key: said[key] for key in said if key != 'nodes'})
        self.assertEqual({'vnode': 1, 'guest_node': 1, 'total': 1024 * MIB, 'balloon': 256 * MIB,
                          'superframes': 128, 'target': 768 * MIB, 'limit': 'max',
                          'available': {'superframes': 512 * MIB, 'evacuation': 10 * MIB,
                                        'pages': MIB},
                          'bound': None, 'on_host': None}, said['nodes'][1])

    def test_an_older_kernel(self):
        """It has no limit, no available, no state: a dash for each."""
        guest = self.world.domain(balloon=512)
        guest.kernel('state', GONE)
        for node in 0, 1:
            for name in 'limit', 'available':
                guest.node(node, name, GONE)
        text = self.good('guest')
        self.assertTrue(text.startswith('guest: 2048 MiB, 512 of them in the balloon\n'), text)
        self.assertEqual(['1024', '256', '128', 'auto', '-', '-', '-', '-'], self.row(text, 1))
        self.assertIsNone(self.json('guest')['nodes'][1]['limit'])

    def test_all_that_run(self):
        self.world.domain('one')
        self.world.domain('off', state='shut off')
        self.world.domain('two', nodes=(512,) * 4)
        text = self.good()
        self.assertEqual(['one', 'two'], re.findall(r'^(\w+): \d+ MiB', text, re.M))
        lines = self.run_tool('-j').stdout.splitlines()
        self.assertEqual(['one', 'two'], [json.loads(line)['domain'] for line in lines])

    def test_one_of_all_has_no_agent(self):
        """What the host knows is listed, and what is missing is said."""
        self.world.domain('one', agent='off')
        self.world.domain('two')
        done = self.run_tool()
        self.assertEqual(1, done.returncode)
        self.assertIn("agent in domain 'one'", done.stderr)
        one, two = done.stdout.split('\n\n')
        self.assertEqual(['1024'] + ['-'] * 7, self.row(one, 0))
        self.assertEqual('auto', self.row(two, 0)[3])

    def test_one_of_all_is_paused(self):
        self.world.domain('one', state='paused')
        self.world.domain('two')
        done = self.run_tool()
        self.assertEqual((1, "virsh-node-mem: domain 'one' has to run, but is: paused"),
                         (done.returncode, done.stderr.split('\n')[0]))
        self.assertTrue(done.stdout.startswith('two: '))

    def test_none_runs(self):
        self.assertEqual('', self.good())

    def test_the_guests_own_numbers(self):
        """It counts a node with a CPU first: which is which is told by where its memory lies."""
        guest = self.world.domain(nodes=(1024, 512, 2048), order=(1, 2, 0))
        guest.node(1, 'target', 0)
        said = self.json('guest')['nodes']
        self.assertEqual([1, 2, 0], [node['guest_node'] for node in said])
        self.assertEqual([1024 * MIB, 'auto', 'auto'], [node['target'] for node in said])
        self.good('guest', '2', '2000')
        self.assertEqual(str(48 * PER_MIB), guest.read(0, 'target'))

    def test_node_without_memory(self):
        guest = self.world.domain(nodes=(1024, 0, 1024), order=(0, 2, 1))
        self.world.write('guest/root/sys/devices/system/node/online', '0-1\n')
        shutil.rmtree(os.path.dirname(guest.path(2, 'x')))
        said = self.json('guest')['nodes']
        self.assertEqual([0, None, 1], [node['guest_node'] for node in said])
        self.refused('guest', '1', '0', says='virtual node 1 of domain \'guest\' has no memory')

    def test_no_zoneinfo(self):
        guest = self.world.domain()
        guest.file('/proc/zoneinfo', GONE)
        self.assertEqual([0, 1], [node['guest_node'] for node in self.json('guest')['nodes']])

    def test_nodes_that_do_not_fit(self):
        guest = self.world.domain(nodes=(512,) * 3)
        guest.file('/proc/zoneinfo', '')
        guest.file('/sys/devices/system/node/online', '0-1\n')
        done = self.run_tool('guest')
        self.assertEqual(1, done.returncode)
        self.assertIn('virtual nodes 0 1 2, and its kernel the nodes 0 1: which is which?',
                      done.stderr)

    def test_no_cells(self):
        self.world.domain(nodes=(2048,), cells=False)
        self.assertEqual('2048', self.row(self.good('guest'), 0)[0])

    def test_memory_that_was_plugged_in(self):
        dimm = ("<memory model='dimm'><target><size unit='KiB'>524288</size><node>1</node></target>"
                "</memory><memory model='virtio-mem'><target><size unit='KiB'>1048576</size>"
                "<node>1</node><requested unit='KiB'>262144</requested>"
                "<current unit='KiB'>262144</current></target></memory>")
        self.world.domain(memory=dimm, plugged=768)
        said = self.json('guest')
        self.assertEqual([1024 * MIB, 1792 * MIB], [node['total'] for node in said['nodes']])

    def test_large_pages(self):
        """Of 64K, as arm64 has them."""
        guest = self.world.domain()
        guest.file('/proc/self/auxv', struct.pack('6Q', 16, 3, 6, 65536, 0, 0))
        guest.file('/proc/zoneinfo', GONE)
        guest.kernel('nr_pages', 512 * 16)
        guest.node(0, 'nr_pages', 512 * 16)
        self.assertEqual('512', self.row(self.good('guest'), 0)[1])
        self.good('guest', '1', '1G', '--limit', '6M')
        self.assertEqual('96', guest.read(1, 'limit'))

    def test_many_nodes_take_few_virshes(self):
        self.world.domain(nodes=(64,) * 256, balloon=256)
        text = self.good('guest')
        self.assertEqual(258, len(text.splitlines()))
        self.assertEqual(['64', '1', '0', 'auto', 'max', '43', '-', '-'], self.row(text, 255))
        self.assertLess(len(self.world.log()), 40)

    def test_long_files(self):
        """Longer than what is read in one piece: zoneinfo tells of each CPU in each zone."""
        guest = self.world.domain(order=(1, 0))
        with open(os.path.join(self.world.root, 'guest/root/proc/zoneinfo')) as file:
            text = file.read()
        for pad in (1 << 20) - len(text), 5 << 19:
            cut = text.index('Node 1')
            guest.file('/proc/zoneinfo', text[:cut] + ' ' * (pad - 1) + '\n' + text[cut:])
            said = self.json('guest')['nodes']
            self.assertEqual([1, 0], [node['guest_node'] for node in said])

    def test_garbage(self):
        for text in '', '-1', '0x10', 'seven', '9' * 30, '\0', 'auto', '1\n2':
            guest = self.world.domain()
            for name in 'nr_pages', 'target', 'limit', 'available':
                guest.node(1, name, text)
            guest.kernel('nr_pages', text)
            guest.kernel('target', text)
            cells = self.row(self.good('guest'), 1)
            self.assertEqual('-', cells[1], text)
            self.assertEqual('auto' if text == 'auto' else '-', cells[3])
            self.assertEqual(['-', '-'], cells[4:6], text)

    def test_large_numbers(self):
        """None that Python would not convert: a guest does not end the list of all."""
        many = '9' * 5000
        guest = self.world.domain()
        guest.node(1, 'available', f'superframes {many}\nevacuation 5\npages 256')
        self.assertEqual('-', self.row(self.good('guest'), 1)[5])
        for text in (f'Node {many}, zone   Normal\n  present 9\n  start_pfn: 0\n',
                     f'Node 0, zone   Normal\n  present {many}\n  start_pfn: 0\n',
                     f'Node 0, zone   Normal\n  present 9\n  start_pfn: {many}\n'):
            guest.file('/proc/zoneinfo', text)
            self.good('guest')
        guest.file('/sys/devices/system/node/online', many)
        self.assertNotIn('Traceback', self.run_tool('guest').stderr)

    def beside_another(self, says, **kind):
        """A guest that does not do as it should is told of, and others are listed all the same."""
        self.world.domain('bad', **kind)
        self.world.domain('other')
        done = self.run_tool()
        self.assertEqual(1, done.returncode, done.stderr[-999:])
        self.assertIn(says, done.stderr)
        self.assertEqual(['bad', 'other'], re.findall(r'^(\w+): \d+ MiB', done.stdout, re.M))
        self.assertEqual('auto', self.row(done.stdout.split('other:')[1], 1)[3])
        return done.stderr

    def test_reads_without_an_end(self):
        for piece, says in ((b'', 'and its kernel the nodes : which'), (b'a', 'has no end'),
                            (bytes(1 << 20), 'sends more than there can be')):
            answer = {'count': 1, 'eof': False, 'buf-b64': base64.b64encode(piece).decode()}
            self.beside_another(says, answers={'guest-file-read': answer})
        self.assertLess(len(self.world.log()), 90)
        self.beside_another('/proc/zoneinfo in domain \'bad\' has no end',
                            endless=['/proc/zoneinfo'])
        self.beside_another('sends more than there can be',
                            endless=[f'/sys/devices/system/node/node{node}/balloon/{name}'
                                     for node in (0, 1) for name in tool.OF_NODE])

    def test_commands_that_say_nothing(self):
        """guest-exec is let through, and what it runs is not."""
        self.beside_another('has no NUMA-aware memory balloon', blocked=FILES,
                            answers={'guest-exec-status': {'exited': True, 'exitcode': 0}})

    def test_a_name_that_is_a_number(self):
        """virsh takes a number for an id first."""
        self.world.domain('one', nodes=(512, 512))
        guest = self.world.domain('1', nodes=(256, 256))
        lines = self.run_tool('-j').stdout.splitlines()
        self.assertEqual({'one': 1024 * MIB, '1': 512 * MIB},
                         {said['domain']: said['total'] for said in map(json.loads, lines)})
        self.assertIn('one: 1024 MiB', self.good('1'))
        # By its own id, or its UUID.
        for word in '2', guest.uuid:
            self.assertIn('1: 512 MiB', self.good(word))
            self.good(word, '1', '128', '-t', '384', '-w', '5', says=None)
            self.assertEqual(str(128 * PER_MIB), guest.read(1, 'nr_pages'))
            self.good(word, '1', 'auto', '-t', '512', '-w', '5', says=None)
        guest.say(setmem='it is not')
        self.refused('2', '-t', '384', says="'virsh setmem 1 393216'")

    def test_guests_words(self):
        """None of a guest's words reaches the terminal as it is, and none is believed."""
        guest = self.world.domain()
        guest.kernel('state', '\033[2Jsettled\nvnode 7')
        self.assertIn(', ?[2Jsettled?vnode 7\n', self.good('guest'))
        for online in '0-999999999999', 'x', '3-1-2', '٣-٤x':
            guest.file('/sys/devices/system/node/online', online)
            done = self.run_tool('guest')
            self.assertEqual(1, done.returncode)
            self.assertIn('node/online in domain', done.stderr)
        guest = self.world.domain(answers={'guest-info': 7})
        for name in ('guest-info', 'guest-file-open', 'guest-file-read', 'guest-file-close',
                     'guest-exec', 'guest-exec-status'):
            for answer in (7, None, [], {}, 'x', {'count': 'x', 'eof': 0, 'buf-b64': 'x'},
                           {'supported_commands': 3}, {'exited': 1, 'out-data': 7},
                           {'pid': {}}, {'count': 1, 'eof': True, 'buf-b64': 'Ä'}):
                guest.say(answers={name: answer}, blocked=FILES if 'exec' in name else [])
                done = self.run_tool('guest')
                self.assertNotIn('Traceback', done.stderr)
                self.assertLess(done.stderr.count('\n'), 3)

    def test_connect(self):
        self.world.domain()
        self.good('-c', 'qemu:///session', 'guest')
        self.assertEqual(['-q', '-c', 'qemu:///session'], self.world.log()[0][:3])

    def test_odd_names(self):
        for name in 'a guest', "it's", 'a;b', 'a"b', 'a\\b', '$HOME', '(x)', 'größe':
            self.world.domain(name)
            self.assertIn(f'{name}: 2048 MiB', self.good(name))
        self.refused('none;list', says="there is no domain 'none;list'")
        self.refused('../guest', says="there is no domain '../guest'")

    def test_reader_ends(self):
        """That is found out before something is said on stderr, or else at the end."""
        for named in False, True:
            guest = self.world.domain()
            if named:
                guest.process([(1024, 'default file=/x/ram-node0 N0=1'),
                               (1024, 'default file=/x/ram-node1 N0=1')])
            self.reader_ends()

    def reader_ends(self):
        host = os.path.join(self.world.root, 'host')
        done = subprocess.run(['bash', '-c', f'PATH={self.world.bin}:$PATH {TOOL} --root {host} | '
                               'true; echo ${PIPESTATUS[0]}'], text=True, capture_output=True,
                              env={'PATH': '/usr/bin:/bin', 'FAKE_VIRSH': self.world.root})
        self.assertEqual(('1\n', ''), (done.stdout, re.sub('.* was not found under /proc\n', '',
                                                           done.stderr)))


class OnTheHost(Case):
    BOUND = ("<numatune><memory mode='strict' nodeset='0-3'/>"
             "<memnode cellid='1' mode='preferred' nodeset='2'/></numatune>")
    ALL = ("<numatune><memory mode='strict' nodeset='0-1'/><memnode cellid='0' mode='strict' "
           "nodeset='1'/><memnode cellid='1' mode='strict' nodeset='0'/></numatune>")

    def test_bound(self):
        self.world.domain(numatune=self.BOUND)
        text = self.good('guest')
        self.assertEqual('strict:0-3', self.row(text, 0)[6])
        self.assertEqual('preferred:2', self.row(text, 1)[6])
        self.assertEqual({'mode': 'preferred', 'nodeset': '2'},
                         self.json('guest')['nodes'][1]['bound'])

    def test_by_name(self):
        guest = self.world.domain()
        guest.process([(8, 'default heap anon=2 N0=2 kernelpagesize_kB=4'),
                       (1024, 'default file=/dev/hugepages/libvirt/qemu/1-guest/qemu_back_mem.'
                              '_objects_ram-node1.x\\040(deleted) huge dirty=3 N1=100 N0=3 '
                              'kernelpagesize_kB=2048'),
                       (1024, 'default file=/var/lib/libvirt/qemu/ram/1-guest/ram-node0 dirty=3 '
                              'N0=51200 kernelpagesize_kB=4')])
        said = self.json('guest')['nodes']
        self.assertEqual([{'0': 200 * MIB}, {'0': 6 * MIB, '1': 200 * MIB}],
                         [node['on_host'] for node in said])
        text = self.good('guest')
        self.assertEqual(['0:6', '1:200'], self.row(text, 1)[7:])
        self.assertEqual(['0:200'], self.row(text, 0)[7:])

    def test_by_size(self):
        guest = self.world.domain(nodes=(1024, 512))
        guest.process([(512, 'default anon=25600 N3=25600 kernelpagesize_kB=4'),
                       (64, 'default anon=1 N3=1'),
                       (1024, 'default file=/memfd:memory-backend-memfd\\040(deleted) dirty=512 '
                              'N1=512 kernelpagesize_kB=4')])
        self.assertEqual([{'1': 2 * MIB}, {'3': 100 * MIB}],
                         [node['on_host'] for node in self.json('guest')['nodes']])

    def test_by_policy(self):
        guest = self.world.domain(numatune=self.ALL)
        guest.process([(1024, 'bind:0 anon=256 N0=256 kernelpagesize_kB=4'),
                       (1024, 'bind:1 anon=512 N1=512 kernelpagesize_kB=4')])
        self.assertEqual([{'1': 2 * MIB}, {'0': MIB}],
                         [node['on_host'] for node in self.json('guest')['nodes']])
        guest = self.world.domain('other', numatune=self.BOUND)
        guest.process([(1024, 'prefer (many):2 anon=256 N2=256 kernelpagesize_kB=4'),
                       (1024, 'bind=static:0-3 anon=512 N1=512 kernelpagesize_kB=4')], 4712)
        self.assertEqual([{'1': 2 * MIB}, {'2': MIB}],
                         [node['on_host'] for node in self.json('other')['nodes']])

    def alike(self):
        guest = self.world.domain()
        guest.process([(1024, 'default anon=256 N0=256 kernelpagesize_kB=4'),
                       (1024, 'default anon=512 N1=512 kernelpagesize_kB=4')])
        return guest

    def test_alike(self):
        """Not to be told apart: nothing is guessed."""
        self.alike()
        text = self.good('guest', says="virsh-node-mem: domain 'guest': QEMU has areas of the same "
                         'size for several nodes: --monitor asks which is which\n')
        self.assertEqual('-', self.row(text, 0)[7])

    def test_monitor(self):
        """As QEMU 7.2 says it."""
        guest = self.alike()
        guest.say(monitor={
            'info mtree -f': 'FlatView #0\n AS "I/O", root: io\n Root memory region: io\n'
            '  0000000000000000-0000000000000007 (prio 0, i/o): dma-chan\n\nFlatView #1\n'
            ' AS "memory", root: system\n Root memory region: system\n'
            '  0000000000000000-00000000000bffff (prio 0, ram): ram-node0 KVM\n'
            '  00000000000c0000-00000000000c3fff (prio 0, rom): pc.rom KVM\n'
            '  0000000000100000-000000003fffffff (prio 0, ram): ram-node0 @0000000000100000 KVM\n'
            '  0000000040000000-000000007fffffff (prio 0, ram): ram-node1 KVM\n',
            'gpa2hva 0x0': 'Host virtual address for 0x0 (ram-node0) is 0x7f1000000000',
            'gpa2hva 0x40000000':
                'Host virtual address for 0x40000000 (ram-node1) is 0x7f0000000000'})
        self.assertEqual([{'1': 2 * MIB}, {'0': MIB}],
                         [node['on_host'] for node in self.json('-m', 'guest')['nodes']])
        self.assertNotIn('qemu-monitor', str([line for line in self.world.log()][:-3]))

    def test_monitor_refused(self):
        self.alike()
        done = self.run_tool('--monitor', 'guest')
        self.assertEqual(0, done.returncode)
        self.assertIn("QEMU's monitor: internal error", done.stderr)

    def test_monitor_that_does_not_answer(self):
        self.alike()
        with mock.patch.object(self, 'call_virsh', lambda virsh, script, seconds: (
                ('', False) if 'monitor' in script else Case.call_virsh(virsh, script, seconds))):
            text = self.good('--monitor', 'guest', says="virsh-node-mem: domain 'guest': "
                             "QEMU's monitor gives no answer\n")
        self.assertEqual('-', self.row(text, 0)[7])

    def test_not_permitted(self):
        guest = self.alike()
        for name in 'numa_maps', 'maps':
            self.world.write(f'host/proc/4711/{name}', GONE)
            done = self.run_tool('guest')
            self.assertEqual(0, done.returncode)
            self.assertIn('is for root to see', done.stderr)
            self.assertEqual('-', self.row(done.stdout, 0)[7])
        self.assertTrue(guest)

    def test_another_host(self):
        self.world.domain()
        self.world.libvirt(uri='qemu+ssh://root@kvm7/system')
        done = self.run_tool('guest')
        self.assertEqual(0, done.returncode)
        self.assertIn('its host is another one', done.stderr)

    def test_host_node(self):
        """Which guests' nodes lie there?"""
        self.world.domain('bound', numatune=self.ALL)
        self.world.domain('elsewhere', numatune="<numatune><memory mode='strict' nodeset='2-3'/>"
                                                '</numatune>')
        guest = self.world.domain('seen', nodes=(1024, 512))
        guest.process([(512, 'default anon=25600 N3=1 N1=7 kernelpagesize_kB=4'),
                       (1024, 'default anon=512 N0=512 kernelpagesize_kB=4')])
        self.world.domain('anywhere', nodes=(512,))
        said = [json.loads(line) for line in self.run_tool('-j', '-n', '1').stdout.splitlines()]
        self.assertEqual({'anywhere': [0], 'bound': [0], 'seen': [1]},
                         {one['domain']: [node['vnode'] for node in one['nodes']] for one in said})
        text = self.run_tool('--host-node', '1').stdout
        self.assertNotIn('elsewhere', text)
        self.assertFalse(text.startswith('\n'))
        self.assertNotIn('\n\n\n', text)


class Set(Case):
    def test_target(self):
        guest = self.world.domain()
        self.assertEqual('', self.good('guest', '1', '80'))
        self.assertEqual(('auto', str(944 * PER_MIB)),
                         (guest.read(0, 'target'), guest.read(1, 'target')))
        self.assertEqual('80', self.row(self.good('guest'), 1)[3])
        self.good('guest', '1', 'auto')
        self.assertEqual('auto', guest.read(1, 'target'))

    def test_limit(self):
        guest = self.world.domain()
        self.good('guest', '1', '--limit', '0')
        self.assertEqual(('max', '0'), (guest.read(0, 'limit'), guest.read(1, 'limit')))
        self.assertEqual('auto', guest.read(1, 'target'))
        self.good('guest', '1', '-l', 'max')
        self.assertEqual('max', guest.read(1, 'limit'))
        self.good('guest', '0', '1G', '--limit=512M')
        self.assertEqual(('0', str(512 * PER_MIB)),
                         (guest.read(0, 'target'), guest.read(0, 'limit')))

    def test_total(self):
        guest = self.world.domain()
        self.good('guest', '1', '0', '--total', '1G')
        self.assertEqual(1 << 20, guest.now()['actual'])
        self.assertEqual(str(1024 * PER_MIB), guest.read(1, 'nr_pages'))
        self.good('guest', '-t', '2G')
        self.assertEqual(2 << 20, guest.now()['actual'])

    def test_nodes_before_the_total(self):
        """Or the total would be met elsewhere first."""
        self.world.domain()
        self.good('guest', '1', '0', '--total', '1G', '--limit', 'max')
        scripts = [line[-1] for line in self.world.log()]
        order = [next(i for i, script in enumerate(scripts) if word in script)
                 for word in ('node1/balloon/target", "mode": "r+"',
                              'node1/balloon/limit", "mode": "r+"', "'setmem'")]
        self.assertEqual(sorted(order), order)

    def test_rounded(self):
        """What is left up, a limit down, and it is said."""
        guest = self.world.domain()
        self.good('guest', '1', '81', says='virsh-node-mem: 81: rounded to 82 MiB\n')
        self.assertEqual(str(942 * PER_MIB), guest.read(1, 'target'))
        self.good('guest', '1', '-l', '7M', says='virsh-node-mem: 7M: rounded to 6 MiB\n')
        self.assertEqual(str(6 * PER_MIB), guest.read(1, 'limit'))
        self.good('guest', '-t', '1025k', says='virsh-node-mem: 1025k: rounded to 2 MiB\n')
        self.assertEqual(2048, guest.now()['actual'])

    def test_no_more_than_the_guest_has(self):
        """Firmware keeps the first page, say: what is left to the node can't be that much less."""
        guest = self.world.domain()
        with open(os.path.join(self.world.root, 'guest/root/proc/zoneinfo')) as file:
            text = file.read()
        guest.file('/proc/zoneinfo', text.replace(f'present  {1024 * PER_MIB}',
                                                  f'present  {1023 * PER_MIB + 255}'))
        self.good('guest', '0', '0')
        self.assertEqual(str(1022 * PER_MIB), guest.read(0, 'target'))
        self.good('guest', '0', '-l', '1G')
        self.assertEqual(str(1023 * PER_MIB + 255), guest.read(0, 'limit'))

    def test_odd_totals(self):
        """A node that is no multiple of 2M can be left all that it has."""
        guest = self.world.domain(nodes=(1023, 1023))
        self.good('guest', '1', '1023', says=None)
        self.assertEqual('0', guest.read(1, 'target'))
        self.good('guest', '-t', '2046', says=None)
        self.good('guest', '1', '0')
        self.assertEqual(str(1022 * PER_MIB), guest.read(1, 'target'))

    def test_more_than_there_is(self):
        guest = self.world.domain()
        self.refused('guest', '1', '1026',
                     says='1026 MiB is more than virtual node 1 has: 1024 MiB')
        self.refused('guest', '1', '0', '-t', '3G',
                     says="3072 MiB is more than domain 'guest' has: 2048 MiB")
        self.refused('guest', '1', '-l', '2G', says='2048 MiB is more than virtual node 1 has')
        self.untouched(guest)

    def test_no_such_node(self):
        guest = self.world.domain()
        for vnode in '2', '-1', 'x', '', '01', '1x', '4294967297', '0x1', '1 ', '9' * 40, '١':
            self.refused('--', 'guest', vnode, '80',
                         says=f"domain 'guest' has no virtual node '{vnode}', but: 0 1")
        self.untouched(guest)

    def test_refused_by_the_kernel(self):
        guest = self.world.domain(present=5)
        self.refused('guest', '1', '80', says=("node1/balloon/target in domain 'guest'",
                                               'is refused', 'Invalid argument'))
        self.untouched(guest)
        # Once by the flush, and once by the close, which is not to be tried again.
        guest.say(lacks=['guest-file-flush'])
        self.refused('guest', '1', '80', says='failed to close handle: Invalid argument')
        guest.say(lacks=[], blocked=FILES, present=1 << 40)
        os.remove(guest.path(1, 'target'))
        os.symlink('/proc/self/oom_score_adj', guest.path(1, 'target'))     # EINVAL above 1000
        self.refused('guest', '1', '80', says=('is refused', 'Invalid argument'))

    def test_not_permitted(self):
        """As SELinux does it."""
        guest = self.world.domain()
        guest.say(denied=['/sys/devices/system/node/node1/balloon/limit'])
        self.refused('guest', '1', '-l', '0', says=('knows no limit of nodes', 'Permission denied'))

    def test_kernel_without_limits(self):
        guest = self.world.domain()
        guest.node(1, 'limit', GONE)
        self.refused('guest', '1', '--limit', '0',
                     says=("the kernel of domain 'guest' knows no limit of nodes", 'No such file'))
        self.assertFalse(os.path.exists(guest.path(1, 'limit')))
        # That is found out before the target is set.
        self.refused('guest', '1', '80', '--limit', '0', says='knows no limit of nodes')
        self.assertEqual('auto', guest.read(1, 'target'))

    def test_setmem_is_refused(self):
        words = 'Requested operation is not valid: no balloon'
        guest = self.world.domain(setmem=words)
        said = self.refused('guest', '--total', '1G', says=("'virsh setmem guest 1048576'", words))
        self.assertNotIn('already', said)
        self.refused('guest', '1', '80', '--total', '1G',
                     says=(words, '; set already: target of virtual node 1\n'))
        self.assertEqual(str(944 * PER_MIB), guest.read(1, 'target'))
        self.refused('guest', '0', '80', '-l', '512', '--total', '1G',
                     says='; set already: target and limit of virtual node 0\n')

    def test_limit_is_refused(self):
        guest = self.world.domain()
        os.remove(guest.path(1, 'limit'))
        os.symlink('/proc/self/oom_score_adj', guest.path(1, 'limit'))      # EINVAL above 1000
        self.refused('guest', '1', '80', '-l', '1G', '-t', '1G',
                     says=('Invalid argument', '; set already: target of virtual node 1\n'))
        self.assertEqual(2 << 20, guest.now()['actual'])
        self.assertNotIn('already', self.refused('guest', '1', '-l', '1G', says='Invalid argument'))

    def test_no_balloon(self):
        guest = self.world.domain(memballoon='none')
        self.refused('guest', '--total', '1G', says='<memballoon> is none')
        self.refused('guest', '1', '80', '-l', '0', '--total', '1G', says='<memballoon> is none')
        self.untouched(guest)


class Ways(Case):
    """How files of the guest are reached, when the agent's configuration blocks some commands."""

    def both(self, guest):
        """It lists and sets."""
        self.assertEqual(['1024', '256', '128', 'auto', 'max', '523', '-', '-'],
                         self.row(self.good('guest'), 1))
        self.good('guest', '1', '512')
        self.assertEqual(str(512 * PER_MIB), guest.read(1, 'target'))
        # By a command there is no newline, either.
        self.assertEqual('512', self.row(self.good('guest'), 1)[3])

    def used(self):
        return {word for line in self.world.log()
                for word in re.findall(r'guest-[a-z-]+', line[-1])}

    def test_files_first(self):
        self.both(self.world.domain(balloon=512))
        self.assertEqual({'guest-info', *FILES}, self.used())

    def test_exec_where_files_are_blocked(self):
        self.both(self.world.domain(balloon=512, blocked=FILES))
        self.assertEqual({'guest-info', *EXEC}, self.used())

    def test_files_where_exec_is_blocked(self):
        self.both(self.world.domain(balloon=512, blocked=EXEC))

    def test_writing_is_blocked(self):
        """Read by files, written by a command."""
        self.both(self.world.domain(balloon=512, blocked=['guest-file-write']))
        self.assertIn('guest-exec', self.used())

    def test_reading_is_blocked(self):
        self.both(self.world.domain(balloon=512, blocked=['guest-file-read']))

    def test_flush_is_blocked(self):
        self.both(self.world.domain(balloon=512, blocked=['guest-file-flush', *EXEC]))

    def test_an_agent_that_does_not_tell(self):
        """guest-info is blocked, too: each command tells by itself."""
        self.both(self.world.domain(balloon=512, blocked=['guest-info', *FILES]))

    def test_old_words(self):
        for words in ('The command {} has been disabled for this instance',
                      'The command {} has not been found',
                      'Command {} has been disabled: the command is not allowed'):
            guest = self.world.domain(balloon=512, blocked=['guest-info', *FILES], words=words)
            self.both(guest)
            guest.say(blocked=['guest-info', *FILES, *EXEC], newer=True)
            done = self.run_tool('guest')
            self.assertEqual(1, done.returncode)
            self.assertIn('blocked are guest-file-open (has', done.stderr)

    def test_commands_that_are_not_known(self):
        guest = self.world.domain(balloon=512, lacks=EXEC)
        self.both(guest)
        guest.say(blocked=FILES)
        done = self.run_tool('guest')
        self.assertIn('guest-exec (is not known to it)', done.stderr)

    def test_all_blocked(self):
        for blocked in ([*FILES, *EXEC], ['guest-file-open', 'guest-exec'],
                        ['guest-file-read', 'guest-exec-status'], ['guest-info', *FILES, *EXEC]):
            guest = self.world.domain(blocked=blocked)
            done = self.run_tool('guest')
            self.assertEqual(1, done.returncode)
            # Where guest-info is blocked, what comes first is found out only.
            for command in {'guest-file-open', 'guest-exec'} if 'guest-info' in blocked else \
                    {'guest-file-open', 'guest-file-read', 'guest-file-close', *EXEC}:
                self.assertEqual(command in blocked, f'{command} (' in done.stderr, command)
            self.assertIn('/etc/qemu/qemu-ga.conf', done.stderr)
            self.assertEqual(['1024'] + ['-'] * 7, self.row(done.stdout, 0))
            self.refused('guest', '1', '80', says='does not let us')
            self.untouched(guest)

    def test_writes_blocked(self):
        guest = self.world.domain(blocked=['guest-file-write', 'guest-exec'])
        self.assertEqual('auto', self.row(self.good('guest'), 1)[3])
        self.refused('guest', '1', '80', says=('guest-file-write', 'guest-exec ('))
        self.untouched(guest)

    def test_frozen(self):
        # Newer agents don't say that this is why.
        for words in ('Command {} has been disabled: the agent is in frozen state',
                      'Command {} has been disabled: the command is not allowed'):
            guest = self.world.domain(frozen=True, words=words)
            self.refused('guest', '1', '80', says="the file systems of domain 'guest' are frozen")
            self.assertNotIn('block-rpcs', self.run_tool('guest').stderr)
            self.untouched(guest)

    def test_no_shell(self):
        self.world.domain(blocked=FILES, no_shell=True)
        self.refused('guest', '1', '80', says=('Failed to execute child process', '/bin/sh'))

    def test_words_of_another_language(self):
        """What is missing is not told by the guest's words."""
        guest = self.world.domain(errno={'2': 'Datei oder Verzeichnis nicht gefunden'})
        guest.node(1, 'limit', GONE)
        self.assertEqual('-', self.row(self.good('guest'), 1)[4])
        self.refused('guest', '1', '-l', '0', says='knows no limit of nodes')

    def test_many_nodes_by_commands(self):
        """A command line has 128 KiB for an argument."""
        self.world.domain(nodes=(64,) * 512, balloon=512, blocked=FILES)
        self.assertEqual(['64', '1', '0', 'auto', 'max', '43', '-', '-'],
                         self.row(self.good('guest'), 511))

    def handles(self):
        with open(os.path.join(self.world.root, 'guest/handles.json')) as file:
            return json.load(file)['files']

    def test_handles_do_not_leak(self):
        self.world.domain()
        self.good('guest')
        self.good('guest', '1', '80')
        self.world.domain(present=5)
        self.refused('guest', '1', '80', says='failed to flush file: Invalid argument')
        self.assertEqual({}, self.handles())

    def test_handles_of_what_is_late(self):
        self.world.domain()
        for command in 'guest-file-open', 'guest-file-read':
            opened = []

            def late(virsh, script, seconds, command=command, opened=opened):
                text = Case.call_virsh(virsh, script, seconds)[0]
                opened.append(len(self.handles()) if 'guest-file' in script else 0)
                if command in script:
                    virsh.until = time.monotonic()
                return text, command not in script
            with mock.patch.object(self, 'call_virsh', late):
                self.refused('guest', '1', '80', says='virsh gives no answer')
            self.assertEqual((4, {}), (max(opened), self.handles()))


@unittest.skipUnless(shutil.which('qemu-ga') and os.geteuid() == 0, 'no qemu-ga, or not root')
class RealAgent(Case):
    """The same through a real agent, which sees the made-up files in a mount namespace."""

    def agent(self, guest, *blocked):
        root = os.path.join(self.world.root, 'guest/root')
        where = os.path.join(self.world.root, 'agent')
        shutil.rmtree(where, ignore_errors=True)
        os.mkdir(where)
        script = (f'mount --bind {root}/sys/devices/system/node /sys/devices/system/node; '
                  'mount -t tmpfs tmpfs /sys/kernel/mm; mkdir /sys/kernel/mm/balloon; '
                  f'mount --bind {root}/sys/kernel/mm/balloon /sys/kernel/mm/balloon; '
                  f'mount --bind {root}/proc/zoneinfo /proc/zoneinfo; '
                  f'exec qemu-ga -m unix-listen -p {where}/socket -t {where} -f {where}/pid '
                  + (f'-b {",".join(blocked)}' if blocked else ''))
        agent = subprocess.Popen(['unshare', '-m', 'sh', '-ec', script], stderr=subprocess.DEVNULL)
        self.addCleanup(agent.wait)
        self.addCleanup(agent.kill)
        for _ in range(100):
            if os.path.exists(f'{where}/socket') or agent.poll() is not None:
                break
            time.sleep(0.1)
        if agent.poll() is not None:
            self.skipTest('no mount namespace can be had')
        guest.say(socket=f'{where}/socket')

    def both(self, *blocked):
        guest = self.world.domain(balloon=512, order=(1, 0))
        self.agent(guest, *blocked)
        self.assertEqual(['1024', '256', '128', 'auto', 'max', '523', '-', '-'],
                         self.row(self.good('guest'), 1))
        self.good('guest', '1', '512', '-l', '600')
        self.assertEqual(str(512 * PER_MIB), guest.read(0, 'target'))
        self.assertEqual(str(600 * PER_MIB), guest.read(0, 'limit'))
        os.remove(guest.path(0, 'target'))
        os.symlink('/proc/self/oom_score_adj', guest.path(0, 'target'))
        for _ in range(3):
            self.refused('guest', '1', '80', says='Invalid argument')
        guest.node(1, 'limit', GONE)
        self.refused('guest', '0', '-l', '0', says=('knows no limit of nodes', 'No such file'))
        self.assertEqual('-', self.row(self.good('guest'), 0)[4])

    def test_by_files(self):
        self.both()

    def test_by_files_only(self):
        self.both(*EXEC)

    def test_without_flush(self):
        self.both('guest-file-flush', *EXEC)

    def test_by_commands(self):
        self.both(*FILES)

    def test_found_out(self):
        self.both('guest-info', 'guest-file-read')

    def test_blocked(self):
        guest = self.world.domain()
        self.agent(guest, *FILES, *EXEC)
        self.refused('guest', '1', '80', says=('guest-file-open (has been disabled)',
                                               'guest-exec (has been disabled)'))


class Waited(Case):
    def test_settles(self):
        guest = self.world.domain(lag=3)
        text = self.good('guest', '1', '512', '--total', '1536', '--wait', '30')
        self.assertIn('guest: 2048 MiB, 512 of them in the balloon, settled\n', text)
        self.assertEqual(['1024', '512', '256', '512', 'max', '523', '-', '-'], self.row(text, 1))
        self.assertEqual('0', guest.read(0, 'nr_pages'))

    def test_an_older_kernel(self):
        """It has no state: the numbers tell."""
        guest = self.world.domain()
        guest.kernel('state', GONE)
        text = self.good('guest', '--total', '1536', '-w', '30')
        self.assertEqual('256', self.row(text, 0)[1])

    def test_json(self):
        self.world.domain(lag=1)
        said = self.json('guest', '--total', '1536', '-w', '30')
        self.assertEqual(('settled', 512 * MIB, 1536 * MIB),
                         (said['state'], said['balloon'], said['left']))

    def not_met(self, *args, says):
        done = self.run_tool('guest', *args)
        self.assertEqual(3, done.returncode, done.stderr)
        for part in says:
            self.assertIn(part, done.stderr)
        return done.stdout

    def test_reasons(self):
        for reason, words in (('guest-memory', 'has nothing more'), ('pressure', 'misses'),
                              ('host-refused', 'the host does not'), ('limit', 'allow no more'),
                              ('held', 'boots or sleeps'), ('new-reason', 'does not say more')):
            self.world.domain(most={'0': 100, '1': 100}, reason=reason)
            text = self.not_met('--total', '1G', '--wait', '0.5',
                                says=('not met after', f'waiting: {reason} 7 s', words))
            self.assertIn(f'waiting: {reason} 7', text)

    def test_no_time_at_all(self):
        """That is enough for one that rests, and has what was asked for."""
        self.world.domain()
        self.good('guest', '--wait', '0')
        self.not_met('1', '512', '--wait', '0', says=('the host takes 0 MiB in total',))

    def test_no_numbers(self):
        """Of an older kernel: none are not all that is wanted."""
        guest = self.world.domain()
        for name, text in ('state', GONE), ('target', 'x'), ('nr_pages', 'x'):
            guest.kernel(name, text)
        self.not_met('-w', '1', says=('not met',))

    def test_still_at_it(self):
        self.world.domain(lag=1000)
        self.not_met('--total', '1G', '--wait', '0', says=('still inflating',))

    def test_not_heard_of(self):
        """The guest says that it is settled, but does not know yet."""
        self.world.domain(deaf=True)
        self.not_met('--total', '1G', '--wait', '1', says=('not met',))

    def test_the_total_is_too_high(self):
        self.world.domain()
        self.not_met('1', '512', '--total', '1792', '--wait', '30',
                     says=('the host takes 256 MiB in total', '--total'))
        self.not_met('1', '0', '--wait', '30', says=('the host takes 256 MiB in total',))

    def test_others_gave(self):
        self.world.domain(most={'1': 128 * PER_MIB})
        text = self.not_met('1', '512', '--total', '1536', '--wait', '30',
                            says=('virtual node 1 gave 128 of 512 MiB',))
        self.assertEqual('384', self.row(text, 0)[1])

    def test_limit(self):
        self.world.domain(balloon=512)
        text = self.good('guest', '1', '-l', '0', '-w', '30')
        self.assertEqual(['1024', '512', '256'], self.row(text, 0)[:3])
        self.assertEqual(['1024', '0', '0', 'auto', '0'], self.row(text, 1)[:5])

    def test_no_answer(self):
        """It does not wait longer because virsh does not end."""
        self.program_virsh = True
        for word in 'dommemstat', 'guest-file-read':
            self.world.domain()
            # The first look, before the wait begins, is answered.
            with open(os.path.join(self.world.bin, 'virsh')) as file:
                script = file.read().split('\n', 1)[1]
            flag = os.path.join(self.world.root, 'flag')
            self.world.program('virsh', f'case "$*" in *{word}*) [ ! -e {flag} ] || exec sleep '
                               f'60;; *dommemstat*) > {flag};; esac\n{script}')
            if word == 'dommemstat':
                self.world.write('flag', '')
            began = time.monotonic()
            with mock.patch.object(tool, 'ANSWER', 0.5):
                done = self.run_tool('guest', '-w', '1')
            self.assertLess(time.monotonic() - began, 30)
            self.assertEqual((3, ''), (done.returncode, done.stdout), done.stderr)
            self.assertRegex(done.stderr, r'not met after [1-9][.0-9]* s: virsh gives no answer')
            os.remove(flag)
            self.world.make_virsh()

    def test_only_waits(self):
        guest = self.world.domain()
        guest.kernel('state', 'inflating')
        self.not_met('-w', '0.3', says=('still inflating',))
        guest.kernel('state', 'settled')
        self.good('guest', '-w', '5')

    def test_the_agent_goes(self):
        self.world.domain(lag=2, dies=True)
        self.refused('guest', '--total', '1G', '--wait', '30', says="agent in domain 'guest'")

    def test_by_commands(self):
        self.world.domain(lag=2, blocked=FILES)
        text = self.good('guest', '1', '512', '--total', '1536', '--wait', '30')
        self.assertEqual('512', self.row(text, 1)[1])


class Missing(Case):
    """Whatever is missing, it says so, and does nothing."""

    def told(self, *says, listed=True):
        """When one is set, and when all are listed: what the host knows is shown all the same."""
        self.refused('guest', '1', '80', says=says)
        done = self.run_tool('guest')
        self.assertEqual(1, done.returncode)
        for part in says:
            self.assertIn(part, done.stderr)
        self.assertEqual(listed, bool(done.stdout), done.stdout)
        said = self.run_tool('-j', 'guest').stdout
        if listed:
            self.assertIn(says[0], json.loads(said)['error'])

    def test_no_virsh(self):
        for args in ('guest', '1', '80'), (), ('guest',):
            self.refused(*args, env={'PATH': f'{self.nothing()}'},
                         says='virsh is not here: install libvirt-clients')

    def nothing(self):
        """A folder with what the tool itself needs."""
        folder = os.path.join(self.world.root, 'nothing')
        os.makedirs(folder, exist_ok=True)
        if not os.path.exists(os.path.join(folder, 'python3')):
            os.symlink(shutil.which('python3'), os.path.join(folder, 'python3'))
        return folder

    def test_no_libvirt(self):
        self.world.domain()
        self.world.libvirt(down="Failed to connect socket to '/var/run/libvirt/libvirt-sock': "
                                'No such file or directory')
        for args in ('guest', '1', '80'), ('guest',), ():
            self.refused(*args, says=('libvirt does not answer', 'failed to connect',
                                      'libvirt-sock'))

    def test_no_such_domain(self):
        self.world.domain()
        for name in 'none', '7', 'Guest':
            self.refused(name, '1', '80', says=f"there is no domain '{name}'")
            self.refused(name, says=f"there is no domain '{name}'")

    def test_not_running(self):
        for state in 'shut off', 'paused', 'crashed', 'pmsuspended', 'in shutdown':
            self.world.domain(state=state)
            self.told("domain 'guest' has to run", state, listed=False)

    def test_another_hypervisor(self):
        self.world.domain(kind='xen')
        self.told('is one of xen, not of KVM: xl-node-mem is for that', listed=False)
        self.world.domain(kind='lxc')
        self.told('is one of lxc, not of KVM', listed=False)

    def test_no_channel(self):
        self.world.domain(channel="<channel type='unix'><target type='virtio' name='x'/></channel>")
        self.told("no channel for QEMU's guest agent", 'org.qemu.guest_agent.0')

    def test_not_connected(self):
        guest = self.world.domain(channel=CHANNEL.replace("'connected'", "'disconnected'"))
        self.told("no answer from QEMU's guest agent", 'it is not connected', 'is qemu-guest-agent')
        # It does not ask in vain.
        self.assertNotIn('qemu-agent-command', str(self.world.log()))
        self.untouched(guest)

    def test_not_connected_any_more(self):
        self.world.domain(agent='off')
        self.told("no answer from QEMU's guest agent", 'is not connected', 'does it run?')

    def test_silent(self):
        self.world.domain(agent='silent')
        self.told("no answer from QEMU's guest agent", 'not available for now')

    def test_garbage(self):
        self.world.domain(agent='garbage')
        self.refused('guest', '1', '80', says='makes no sense')
        self.world.domain(agent='garbage', garbage='{"return": ' + '[' * 50000)
        self.refused('guest', '1', '80', says='makes no sense')

    def test_description_is_garbage(self):
        guest = self.world.domain()
        guest.say(xml='<domain')
        self.told("description of domain 'guest'", listed=False)

    def test_no_feature(self):
        guest = self.world.domain()
        shutil.rmtree(os.path.join(self.world.root, 'guest/root/sys/kernel/mm/balloon'))
        self.told("the kernel of domain 'guest' has no NUMA-aware memory balloon")
        guest.say(blocked=FILES)
        self.told("the kernel of domain 'guest' has no NUMA-aware memory balloon")

    def test_no_nodes(self):
        self.world.domain()
        shutil.rmtree(os.path.join(self.world.root, 'guest/root/sys/devices/system/node'))
        self.told('no nodes in sysfs: CONFIG_NUMA is off')

    def test_no_targets(self):
        guest = self.world.domain()
        for node in 0, 1:
            guest.node(node, 'target', GONE)
        self.refused('guest', '1', '80', says='knows no target of nodes')


class Programs(Case):
    """Some of it with processes."""

    program = True
    test_two_nodes = Listed.test_two_nodes
    test_one_of_all_has_no_agent = Listed.test_one_of_all_has_no_agent
    test_connect = Listed.test_connect
    test_long_files = Listed.test_long_files
    test_total = Set.test_total
    test_refused_by_the_kernel = Set.test_refused_by_the_kernel
    test_exec_where_files_are_blocked = Ways.test_exec_where_files_are_blocked
    both = Ways.both
    used = Ways.used
    test_settles = Waited.test_settles
    test_no_virsh = Missing.test_no_virsh
    nothing = Missing.nothing
    test_no_libvirt = Missing.test_no_libvirt

    def test_odd_names(self):
        """Quoted for virsh, and words of a command line."""
        for name in "it's; a", 'größe':
            self.world.domain(name)
            self.assertIn(f'{name}: 2048 MiB', self.good(name))

    def test_words_that_the_terminal_has_not(self):
        self.world.domain('größe')
        done = self.run_tool(env={'PYTHONIOENCODING': 'ascii'})
        self.assertTrue(done.stdout.startswith('gr\\xf6\\xdfe: 2048 MiB'), done.stderr)

    def test_virsh_that_does_not_begin(self):
        with open(os.path.join(self.world.bin, 'virsh'), 'w') as file:
            file.write('no program\n')
        self.refused('guest', says='virsh: Exec format error',
                     env={'PATH': f'{self.world.bin}:{self.nothing()}'})

    def test_virsh_that_says_too_much(self):
        self.world.program('virsh', 'exec head -c 50000000 /dev/zero')
        self.refused('guest', says='virsh says more than anything')
        self.world.program('virsh', 'head -c 5000000 /dev/zero')
        self.assertLess(len(self.refused('guest', says='libvirt does not answer')), 2000)

    def test_usage(self):
        self.world.domain()
        self.assertIn('--help', self.refused('guest', '1', says='is missing', status=2))
        self.assertTrue(self.good('-h').startswith('usage: virsh-node-mem '))

    def test_no_such_uri(self):
        """virsh ends before it comes to a command."""
        self.world.program('virsh', 'echo "error: failed to connect to the hypervisor" >&2; '
                           'echo "error: no connection driver available for nosuch:///" >&2; '
                           'exit 1')
        self.refused('-c', 'nosuch:///', 'guest',
                     says=('libvirt does not answer', 'no connection driver'))


class Input(Case):
    def test_sizes(self):
        guest = self.world.domain()
        for size, left in SIZES.items():
            self.good('guest', '1', size)
            self.assertEqual(str((1024 - left) * PER_MIB), guest.read(1, 'target'), size)
            self.good('guest', '1', '-l', size)
            self.assertEqual(str(left * PER_MIB), guest.read(1, 'limit'), size)

    def test_no_sizes(self):
        guest = self.world.domain()
        for size in NO_SIZES:
            for args in ('--', 'guest', '1', size), ('guest', '1', f'--limit={size}'), \
                    (f'--total={size}', 'guest'):
                shown = size.replace('\n', '?')
                self.refused(*args, says=f"'{shown}' is no size: a number, and k, m, g or t")
        for word, args in (('max', ['guest', '1', 'max']), ('auto', ['guest', '1', '-l', 'auto']),
                           ('auto', ['guest', '-t', 'auto'])):
            self.refused(*args, says=f"'{word}' is no size")
        self.untouched(guest)

    def test_nothing_is_done_if_anything_is_wrong(self):
        guest = self.world.domain()
        for args in (('1', '80', '-l', 'x'), ('1', '80', '-t', 'x'), ('1', '80', '-l', '9G'),
                     ('1', '80', '-t', '9G'), ('7', '80', '-t', '1G'), ('1', 'x', '-l', '0')):
            self.refused('guest', *args, says='')
            self.untouched(guest)

    def test_usage(self):
        self.world.domain()
        for args, says in ((('guest', '1'), 'SIZE or --limit is missing'),
                           (('guest', '1', '80', '5'), 'unrecognized arguments: 5'),
                           (('guest', '--limit', '0'), 'VNODE is missing'),
                           (('--total', '1G'), 'DOMAIN is missing'),
                           (('--wait', '1'), 'DOMAIN is missing'),
                           (('-x',), 'unrecognized arguments: -x'),
                           (('--lim', '1', 'guest'), 'unrecognized arguments: --lim'),
                           (('guest', '-w'), 'expected one argument'),
                           (('guest', '-t'), 'expected one argument'),
                           (('guest', '-t', '1G', '-n', '1'), '--host-node is for lists'),
                           (('',), 'not empty'),
                           (('-n', 'x'), 'no number of a node'), (('-n', '-1'), 'argument'),
                           (('-n', ''), 'no number of a node')):
            self.assertIn('--help', self.refused(*args, says=says, status=2))
        for wait in 'x', '', '-1', '1e3', 'nan', 'inf', '1s', '9' * 9, ' 1':
            self.refused('guest', f'--wait={wait}', says='no number of seconds', status=2)
        self.assertFalse(os.path.exists(os.path.join(self.world.root, 'log')))

    def test_help(self):
        for option in '-h', '--help':
            text = self.good(option)
            self.assertTrue(text.startswith('usage: virsh-node-mem '), text)
            self.assertLessEqual(max(map(len, text.splitlines())), 100)


class OfXen(Case):
    """xl-node-mem takes the same sizes, with a made-up xenstore."""

    def setUp(self):
        super().setUp()
        store = os.path.join(self.world.root, 'store')
        for name, text in (('data/balloon/feature-node-target', '1'),
                           ('data/balloon/node/0/total', 1 << 20),
                           ('data/balloon/node/1/total', 1 << 20),
                           ('data/balloon/node/1/balloon', 1 << 18),
                           ('data/balloon/node/1/superframes', 128)):
            self.world.write(f'store/local/domain/3/{name}', f'{text}\n')
        self.world.program('xl', '[ "$1" = domid ] && [ "$2" = guest ] && echo 3')
        self.world.program('xenstore-read', f'cat {store}"$1" 2> /dev/null')
        self.world.program('xenstore-list', f'ls {store}"$1" 2> /dev/null')
        self.world.program('xenstore-write',
                           f'mkdir -p "$(dirname {store}"$1")"; echo "$2" > {store}"$1"')
        self.world.program('xenstore-rm', f'rm {store}"$1"')
        self.target = os.path.join(store, 'local/domain/3/memory/node/1/target')

    def xen(self, *args):
        return self.run_tool(*args, path=XEN_TOOL)

    def test_sizes(self):
        for size, left in SIZES.items():
            done = self.xen('guest', '1', size)
            self.assertEqual((0, '', ''), (done.returncode, done.stdout, done.stderr), size)
            with open(self.target) as file:
                self.assertEqual(left * 1024, int(file.read()), size)

    def test_no_sizes(self):
        for size in NO_SIZES:
            done = self.xen('guest', '1', size)
            self.assertEqual((1, f"xl-node-mem: '{size}' is no size: a number, and k, m, g or t\n"),
                             (done.returncode, done.stderr), size)
        self.assertFalse(os.path.exists(self.target))

    def test_rounded(self):
        done = self.xen('guest', '1', '81')
        self.assertEqual((0, 'xl-node-mem: rounded to 82 MiB\n'), (done.returncode, done.stderr))

    def test_listed(self):
        self.xen('guest', '1', '80')
        text = self.xen('guest').stdout
        self.assertEqual(['1024', '256', '128', '80'], self.row(text, 1))
        self.assertEqual(['1024', '0', '0', 'auto'], self.row(text, 0))
        # The columns that both have are called the same, in the same order.
        self.world.domain()
        mine = self.good('guest').splitlines()[1].split()
        self.assertEqual(text.splitlines()[0].split()[:5], mine[:5])

    def test_errors_in_the_same_words(self):
        self.world.domain()
        for args in ('guest', '7', '80'), ('none', '1', '80'), ('guest', '1', '2G'):
            ours = self.run_tool(*args).stderr.removeprefix('virsh-node-mem: ').strip()
            xens = self.xen(*args).stderr.removeprefix('xl-node-mem: ').strip()
            self.assertEqual(xens, ours)


class Installed(Case):
    PAGE = os.path.join(TOP, 'tools/virt/virsh-node-mem.8')

    def test_manual(self):
        """The page and --help tell of the same options; man finds nothing wrong."""
        with open(self.PAGE) as file:
            page = file.read().replace('\\-', '-')
        options = set(re.findall(r'--[a-z-]+', self.good('--help')))
        self.assertEqual(options, set(re.findall(r'--[a-z-]+', page)))
        if not shutil.which('groff'):
            self.skipTest('there is no groff')
        said = subprocess.run(['groff', '-man', '-ww', '-z', self.PAGE], text=True,
                              stderr=subprocess.PIPE)
        self.assertEqual((0, ''), (said.returncode, said.stderr))

    def complete(self, *words):
        script = ('source "$1"; shift; COMP_WORDS=(virsh-node-mem "$@"); COMP_CWORD=$#; '
                  '_virsh_node_mem; printf "%s\\n" "${COMPREPLY[@]}"')
        env = {'PATH': f'{self.world.bin}:/usr/bin:/bin', 'FAKE_VIRSH': self.world.root}
        return subprocess.run(
            ['bash', '-c', script, 'bash',
             os.path.join(TOP, 'tools/virt/virsh-node-mem.bash-completion'), *words],
            text=True, check=True, stdout=subprocess.PIPE, env=env).stdout.split()

    def test_completion(self):
        self.world.domain('guest', nodes=(64,) * 3)
        self.world.domain('other')
        self.world.domain('off', state='shut off')
        self.assertEqual(['guest', 'other'], self.complete(''))
        self.assertEqual(['guest'], self.complete('-j', 'g'))
        self.assertEqual(['0', '1', '2'], self.complete('guest', ''))
        self.assertEqual(['auto'], self.complete('guest', '1', 'a'))
        self.assertEqual(['max'], self.complete('guest', '1', '--limit', 'm'))
        self.assertEqual(['--limit'], self.complete('guest', '1', '--l'))
        self.assertEqual(['0', '1', '2'], self.complete('-c', 'qemu:///system', 'guest', ''))
        self.assertEqual([], self.complete('none', ''))
        options = set(re.findall(r'(?<![\w-])--?[a-z-]+', self.good('--help')))
        self.assertLessEqual({option for option in options if option.startswith('--')},
                             set(self.complete('-')))


if __name__ == '__main__':
    unittest.main()
