# SPDX-License-Identifier: GPL-2.0
"""Guests under pressure: what tests and benches have them do, and how they are looked at."""

import os
import re
import statistics
import subprocess
import tempfile
import time

from guest import BUILD, MIB, PAGE, TOP, Guest, GuestError

CORE = '/sys/kernel/mm/balloon'


class Disk:
    """A disk of the host, empty, for as long as it is entered; ARGS are QEMU's."""

    def __init__(self, mib, name='vda'):
        self.mib = mib
        self.name = name

    def __enter__(self):
        file, self.path = tempfile.mkstemp(dir=BUILD, prefix='disk-')
        os.truncate(file, self.mib * MIB)
        os.close(file)
        self.args = ['-drive', f'file={self.path},if=none,id={self.name},format=raw',
                     '-device', f'virtio-blk-pci,drive={self.name}']
        return self

    def __exit__(self, *_):
        os.unlink(self.path)


def as_disks(files, folder):
    """Copies of the host's files as disks of a guest, in this order; QEMU's arguments."""
    args = []
    for i, path in enumerate(files):
        disk = f'{folder}/disk{i}'
        with open(path, 'rb') as source, open(disk, 'wb') as target:
            text = source.read()
            target.write(text + bytes(-len(text) % 512))
        args += ['-drive', f'file={disk},if=none,id=file{i},format=raw,readonly=on',
                 '-device', f'virtio-blk-pci,drive=file{i}']
    return args


class Reader:
    """A program of the guest that reads MIB of a disk again and again: page cache."""

    def __init__(self, guest, mib, disk='/dev/vda'):
        self.guest = guest
        self.log = f'/tmp/reader-{mib}'
        # Whoever closes a disk as the last one has its cache dropped. The guest's clock tells
        # when each round ended.
        guest.sh(f'(exec 9< {disk}; while dd if={disk} of=/dev/null bs=1M count={mib} 2>/dev/null; '
                 f'do read -r up rest < /proc/uptime; echo $up >> {self.log}; done) '
                 f'> /dev/null 2>&1 & echo $! > {self.log}.pid')

    def rounds(self):
        """The times, in seconds, at which rounds ended."""
        return [float(word) for word in self.guest.sh(f'cat {self.log}; :', 120).split()
                if re.fullmatch(r'[0-9.]+', word)]

    def await_rounds(self, count, timeout=900):
        """Waits for so many rounds more; returns the median of what one took, in seconds."""
        there, deadline = len(self.rounds()), time.monotonic() + timeout
        while len(times := self.rounds()) < there + count + 1:
            if time.monotonic() > deadline:
                raise GuestError(f'{self.guest.name}: {len(times) - there} rounds in {timeout} s')
            time.sleep(0.5)
        return statistics.median(b - a for a, b in zip(times[there:], times[there + 1:]))

    def stop(self):
        self.guest.sh(f'kill $(cat {self.log}.pid); killall dd; rm -f {self.log} {self.log}.pid; :')


def swap_on(guest, disk='/dev/vda'):
    guest.sh(f'mkswap {disk} > /dev/null && swapon {disk}')


def start(guest, command, log=None, timeout=300):
    """A program in the background, once it has said its line."""
    name = command.split()[0]
    log = log or f'/tmp/{name}.log'
    guest.sh(f'rm -f {log}; {command} > {log} 2>&1 & while ! grep -q . {log}; do '
             f'kill -0 $! || exit 1; sleep 0.1; done; grep -q "^{name} " {log}', timeout)


def counters(guest):
    """All of /proc/vmstat."""
    text = guest.sh('echo 1 > /proc/sys/vm/stat_refresh; cat /proc/vmstat')
    return {name: int(value) for name, value in map(str.split, text.splitlines())}


def zones(guest):
    """(node, zone) -> {'free': base pages, 'boost', 'min', 'low', 'high', 'present', 'managed', 'lists'}

    'lists' are free, too: those that CPUs keep for themselves. 'boost' is in the marks, for a while.
    'free_cma' is the part of 'free' that only movable pages may have.
    """
    found, here = {}, None
    for line in guest.sh('cat /proc/zoneinfo').splitlines():
        match = re.match(r'Node (\d+), zone +(\S+)', line)
        if match:
            here = found.setdefault((int(match[1]), match[2]), {})
        elif match := re.match(r'\s+(?:pages |nr_)?(free|free_cma|boost|min|low|high|present|managed)'
                               r'\s+(\d+)$', line):
            here.setdefault(match[1], int(match[2]))
        elif match := re.match(r'\s+count: +(\d+)$', line):
            here['lists'] = here.get('lists', 0) + int(match[1])
    return {zone: figures for zone, figures in found.items() if figures.get('present')}


def free_shares(guest, lists=True):
    """Of each node: above its marks, which are the nodes' own, with what CPUs' LISTS keep, without CMA."""
    free, present = {}, {}
    for (node, _), zone in zones(guest).items():
        free[node] = (free.get(node, 0) + zone['free'] + zone['lists'] * lists - zone['high'] -
                      zone['free_cma'])
        present[node] = present.get(node, 0) + zone['present']
    return [free[node] / present[node] for node in sorted(free)]


def node_sum(guest, figure):
    """A figure of zones(), node by node."""
    sums = {}
    for (node, _), figures in zones(guest).items():
        sums[node] = sums.get(node, 0) + figures[figure]
    return [sums[node] for node in sorted(sums)]


# The program; and who looks at kswapd meanwhile, from whatever CPU.
WATCHED = '''
rm -f /tmp/ended
(%s > /tmp/said; echo $? > /tmp/ended) &
awake=0 seen=0
while [ ! -s /tmp/ended ]; do
    read -r pid name state rest < /proc/%d/stat
    seen=$((seen + 1))
    [ $state = S ] || awake=$((awake + 1))
    usleep 20000
done
echo $awake $seen
cat /tmp/said
exit $(cat /tmp/ended)
'''


class Kswapd:
    """That of a node with a CPU of its own, of a guest with a Disk of some MiB: it is kept awake.

    It is woken by who may go nowhere else and finds the node below its low watermark, and works
    until the high one is reached. What it would free in milliseconds takes it minutes here: it is as
    nice as can be, and another program keeps its CPU busy.
    """

    # From one watermark to the next, in ten thousandths of a node's memory: it has a way to go.
    SCALE = 1000
    # Of the time that a program takes, it is to be awake at least.
    AWAKE = 0.9

    def __init__(self, guest, node):
        self.guest, self.node, self.cpu = guest, node, guest.cpus[node][0]
        self.pid = int(guest.sh(f'pidof kswapd{node}'))

    def wake(self, disk='/dev/vda'):
        """The node is full, and kswapd has work with page cache. There is no credit yet."""
        guest, name = self.guest, f'kswapd{self.node}'
        self.scanned = counters(guest)['pgscan_kswapd']
        # Who allocates a huge page wakes nobody, and one that is cached is freed in no time.
        guest.write('/sys/kernel/mm/transparent_hugepage/enabled', 'never')
        guest.write('/proc/sys/vm/watermark_scale_factor', self.SCALE)
        # Whoever closes a disk as the last one has its cache dropped.
        guest.write(f'/tmp/{name}', f'exec 9< {disk}; blockdev --setra 0 {disk}; '
                                    f'cat {disk} > /dev/null; echo sh {name}; while :; do :; done')
        start(guest, f'sh -c "exec taskset {1 << self.cpu:x} sh /tmp/{name}"', f'/tmp/{name}.log')
        guest.sh(f'renice -n 19 -p {self.pid}')
        # Below the low watermark, and far from the lowest. What CPUs have on lists goes first.
        for _ in range(5):
            zone = max((figures for (node, _), figures in zones(guest).items() if node == self.node),
                       key=lambda zone: zone['managed'])
            left = zone['low'] - (zone['low'] - zone['min']) // 3
            more = (zone['free'] - left) * PAGE // MIB
            if more < 1:
                break
            start(guest, f'hoard {more} locked --node {self.node}')

    def watch(self, command, timeout=300):
        """What COMMAND says, and which part of the time that it took kswapd was awake."""
        counts, _, said = self.guest.sh(WATCHED % (command, self.pid), timeout).partition('\n')
        awake, seen = map(int, counts.split())
        # Since it was woken: a program of a second can be over before it has its turn.
        scanned = counters(self.guest)['pgscan_kswapd'] - self.scanned
        if awake < self.AWAKE * seen or not scanned:
            raise GuestError(f'{self.guest.name}: kswapd{self.node} was awake {awake} of {seen} '
                             f'times, and scanned {scanned} pages: it was to work all the time')
        return said, awake / seen


def state(guest):
    """Why the balloon rests, or what it is at; '' on a kernel that does not say."""
    return guest.sh(f'cat {CORE}/state 2>/dev/null; :').strip()


def command_seconds(guest, count=10):
    """How long a command takes in the guest, which starts as many."""
    began = time.monotonic()
    guest.sh(f'for i in $(seq {count}); do /bin/ls / > /dev/null; done', 300)
    return (time.monotonic() - began) / count


def bigger_initramfs(base, mib, path):
    """A copy of an initramfs with a file more that can't be compressed."""
    with tempfile.TemporaryDirectory(dir=BUILD) as folder:
        with open(f'{folder}/ballast', 'wb') as file:
            for _ in range(mib):
                file.write(os.urandom(MIB))
        packed = subprocess.run('echo ballast | cpio --quiet -o -H newc | gzip -1', shell=True,
                                cwd=folder, check=True, stdout=subprocess.PIPE).stdout
    with open(base, 'rb') as first, open(path, 'wb') as file:
        text = first.read()
        file.write(text + bytes(-len(text) % 4) + packed)


def reset(guest):
    """Resets the machine, which keeps the host's target, and waits until it is up again."""
    guest.qmp('set-action', reboot='reset')
    guest.qmp('system_reset')
    try:
        guest.agent.read_until(rb'\x00agent ready\n', time.monotonic() + guest.boot_timeout)
    except GuestError as error:
        raise GuestError(guest._report(f'no boot after the reset: {error}')) from error
