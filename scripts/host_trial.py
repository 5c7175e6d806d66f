#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Tries the recipe "node 1 of the host is short" on a host of two nodes: a guest of QEMU, in which
a QEMU runs guests, whose virtual nodes are bound to its nodes. What the host has got is what its
own numastat says.

All of it goes without KVM, so that any machine can do it: to boot the inner guests takes minutes.
"""

import argparse
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time

from deb_test import Checks
from guest import BUILD, MIB, PAGE, QEMU, Channel, Guest, GuestError, Qmp, initramfs_of, kernel_of
from pattern import Pattern

WORK = os.path.join(BUILD, 'host.test')
# Programs and what they load, firmware, and what the inner guests boot.
PROGRAMS = [f'/usr/bin/{QEMU}', '/usr/bin/numastat',
            '/usr/lib/x86_64-linux-gnu/qemu/accel-tcg-x86_64.so']
DATA = ['/usr/share/seabios/bios-256k.bin', '/usr/share/qemu/linuxboot_dma.bin',
        '/usr/share/qemu/kvmvapic.bin']
KERNEL, INITRAMFS = '/inner/bzImage', '/inner/initramfs.cpio.gz'
NODE = '/sys/devices/system/node/node{}/balloon/'
SHOWN = ['MemFree', 'Shmem', 'AnonPages', 'PageTables', 'lists']
STATE = '/sys/kernel/mm/balloon/state'
# Of the host's nodes; it needs some 100 of each itself, and as much for each QEMU.
HOST = [1536, 2048]


def add_to_initramfs(first, targets, work, strip=False):
    """An initramfs of its own in WORK: FIRST, behind it files, {path here: path there}, and the
    libraries that they load."""
    root = os.path.join(work, 'root')
    shutil.rmtree(root, ignore_errors=True)
    targets = dict(targets)
    for program in list(targets):
        said = subprocess.run(['ldd', program], text=True, capture_output=True, check=False).stdout
        targets.update((path, path) for path in re.findall(r'(?:^\s*|=> )(/\S+) \(', said, re.M))
    for source, target in targets.items():
        os.makedirs(os.path.dirname(root + target), exist_ok=True)
        shutil.copy(source, root + target)
    if strip:
        # It says so of what is no program.
        subprocess.run('find . -type f -perm /111 -exec strip {} +', shell=True, check=False,
                       cwd=root, stderr=subprocess.DEVNULL)
    out = os.path.join(work, 'initramfs.cpio.gz')
    shutil.copy(first, out)
    subprocess.run(f'find . | cpio --quiet -o -H newc -R 0:0 | gzip -1 >> {out}', shell=True,
                   check=True, cwd=root)
    shutil.rmtree(root)
    return out


def make_initramfs():
    """That of every guest, and behind it a QEMU, numastat and what they need."""
    targets = {path: path for path in DATA + list(filter(os.path.exists, PROGRAMS))}
    targets.update({kernel_of('release'): KERNEL, initramfs_of('release'): INITRAMFS})
    return add_to_initramfs(initramfs_of('release'), targets, WORK)


class Line(Channel):
    """Leads to a port that the host sees as a device."""

    def __init__(self, path):
        self.buffer = b''
        self.ours = socket.socket(socket.AF_UNIX)
        self.ours.connect(path)

    def close(self):
        self.ours.close()


class Inner(Guest):
    """A guest of the host; NODES are pairs of a size and of the host's node where it lies."""

    def __init__(self, host, name, nodes, **options):
        self.host = host
        self.on = [node for _, node in nodes]
        super().__init__(nodes=[size for size, _ in nodes], accel='tcg', name=name,
                         kernel=KERNEL, initramfs=INITRAMFS,
                         balloon={'free-page-reporting': True},
                         append='virtio_balloon.free_page_reporting=0 kunit.enable=0', **options)
        self.console_log, self.qemu_log = f'/tmp/{name}.console', f'/tmp/{name}.qemu'
        self.pid = None

    def start(self):
        self._boot()
        return self

    def _boot(self):
        self.agent, control = (Line(self.host.port(self.name, what)) for what in ('agent', 'qmp'))
        self.qmp = Qmp(control)
        command = f'/usr/bin/{shlex.join(self._command(0, 0))}'
        for what in 'agent', 'qmp':
            command = command.replace(f'socket,id={what},fd=0',
                                      f'pipe,id={what},path=$(port {self.name}.{what})')
        self.pid = int(self.host.sh(
            'port() { for p in /sys/class/virtio-ports/*; do [ $(cat $p/name) != $1 ] || '
            f'echo /dev/${{p##*/}}; done; }}; {command} > {self.qemu_log} 2>&1 & echo $!'))
        self.qmp.greet()
        self.agent.read_until(rb'\x00agent ready\n', time.monotonic() + self.boot_timeout)

    def _memory(self, node):
        return f'{super()._memory(node)},host-nodes={self.on[node]},policy=bind'

    def _claim_memory(self):
        pass

    def stop(self):
        if self.pid:
            self.host.sh(f'kill -KILL {self.pid}; true')
            self.agent.close()
            self.qmp.channel.close()
            self.pid = None

    def console(self):
        return self.host.sh(f'cat {self.console_log}')

    def _report(self, what):
        return f'{self.name}: {what}\n' + self.host.sh(f'cat {self.qemu_log}; '
                                                       f'tail -n 20 {self.console_log}')

    def lies(self):
        """MiB of its nodes' memory on each of the host's, by its numa_maps."""
        text = self.host.sh(f'grep memory-backend /proc/{self.pid}/numa_maps')
        found = [0] * len(HOST)
        for node, pages in re.findall(r' N(\d+)=(\d+)', text):
            found[int(node)] += int(pages) * PAGE // MIB
        return found


class Host(Guest):
    def __init__(self, names, **options):
        self.folder = tempfile.TemporaryDirectory(dir=WORK)
        extra = ['-device', f'virtio-serial-pci,max_ports={2 * len(names) + 1}']
        for name in names:
            for what in 'agent', 'qmp':
                # A port's number 0 is a console's.
                extra += ['-chardev', f'socket,id={name}.{what},path={self.port(name, what)},'
                          'server=on,wait=off',
                          '-device', f'virtserialport,chardev={name}.{what},name={name}.{what}']
        super().__init__(nodes=HOST, backend='anon', balloon=None, extra=extra, name='host',
                         **options)

    def port(self, name, what):
        return os.path.join(self.folder.name, f'{name}.{what}')

    def numastat(self):
        """Prints what it says; returns MiB, {name: [of each node]}."""
        # While much is freed, the lists of each CPU grow, which MemFree lacks. They shrink by an
        # eighth whenever a busy CPU adds up its counters, or somebody asks for that.
        self.sh('for i in $(seq 40); do cat /proc/sys/vm/stat_refresh; done')
        text = self.sh('NUMASTAT_WIDTH=200 /usr/bin/numastat -m')
        found = {}
        print('      # numastat -m')
        for line in text.splitlines():
            words = line.split()
            if re.match(rf' +Node|({"|".join(SHOWN)}) ', line):
                print(f'      {line}')
            if len(words) == len(HOST) + 2 and re.fullmatch(r'[\d.]+', words[-1]):
                found[words[0]] = [float(word) for word in words[1:-1]]
        # Free, too, but no part of MemFree.
        lists = [0.0] * len(HOST)
        for part in re.split(r'^Node ', self.read('/proc/zoneinfo'), flags=re.M)[1:]:
            lists[int(part.split(',')[0])] += sum(
                int(count) for count in re.findall(r'^ +count: +(\d+)$', part, re.M)) * PAGE / MIB
        found['lists'] = lists
        print(f'      {"(CPUs lists)":15}' + ''.join(f'{size:16.2f}' for size in lists), flush=True)
        return found


def settled(guest, size, timeout=900):
    began = time.monotonic()
    while guest.actual() != size or guest.read(STATE) != 'settled':
        if time.monotonic() - began > timeout:
            raise GuestError(f'{guest.actual()} of {size} bytes, {guest.read(STATE)}')
        time.sleep(1)
    return time.monotonic() - began


def trial(check, host, big, small, size):
    check('big lies on both nodes of the host, small on the first',
          all(abs(have - want) <= 1 for have, want in zip(big.lies() + small.lies(),
                                                         big.sizes + [sum(small.sizes), 0])),
          f'{big.lies()} {small.lies()} MiB')
    before = host.numastat()
    # What 'virsh-node-mem big 1 LEFT --total LEFT' writes.
    big.write(NODE.format(1) + 'target', size * MIB // PAGE)
    big.set_balloon(size * MIB)
    seconds = settled(big, size * MIB)
    held = big.sh(f"cat {NODE.format('*')}nr_pages").split()
    check(f'virtual node 1 of big gives {size} MiB, and no other',
          held == ['0', str(size * MIB // PAGE)], f'{seconds:.0f} s')
    after = host.numastat()
    change = {name: [now - then for now, then in zip(after[name], before[name])] for name in after}
    gained = change['MemFree']
    check('node 1 of the host has it, within 1 %', abs(gained[1] - size) <= size / 100,
          f'{gained[1]:.2f} MiB ({100 * gained[1] / size - 100:+.2f} %): ' +
          ', '.join(f'{name} {change[name][1]:+.2f}' for name in SHOWN))
    # Where the QEMUs themselves are.
    check('node 0 of the host is as before', abs(gained[0]) <= size / 50, f'{gained[0]:+.2f} MiB')
    lies = big.lies()
    # Elsewhere it can't come back to: it is bound.
    big.write(NODE.format(1) + 'target', 'auto')
    big.set_balloon(0)
    settled(big, 0)
    # What it has there anyway may be used first.
    Pattern(big, lies[1] + size // 4, '--node', '1', timeout=1800).stop()
    host.numastat()
    now = big.lies()
    check('what big uses of it again comes from the same node', now[0] == lies[0] and
          now[1] - lies[1] >= size // 8, f'{lies} MiB to {now}')


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--size', type=int, default=1024, help='MiB to free, of 1280')
    options = parser.parse_args()
    check = Checks()
    began = time.monotonic()

    def told(what):
        print(f'      {what}: {time.monotonic() - began:.0f} s', flush=True)

    os.makedirs(WORK, exist_ok=True)
    try:
        with Host(['big', 'small'], initramfs=make_initramfs(), accel='tcg') as host:
            told('the host is there')
            patience = {'boot_timeout': 3000, 'cpus': [[0], []]}
            with Inner(host, 'big', [(768, 0), (1280, 1)], **patience) as big:
                told('big is there')
                with Inner(host, 'small', [(128, 0)], boot_timeout=3000) as small:
                    told('small is there')
                    trial(check, host, big, small, options.size)
                    told('done')
                for guest in host, big:
                    check(f'the kernel of {guest.name} has nothing to say', not guest.warnings(),
                          '\n'.join(guest.warnings()))
    except (GuestError, OSError, subprocess.SubprocessError) as error:
        check('the trial', False, str(error))
    return check.finish()


if __name__ == '__main__':
    sys.exit(main())
