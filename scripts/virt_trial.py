#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Tries tools/virt/virsh-node-mem on a real libvirtd, with a guest of the built kernel and a small
Debian that runs QEMU's guest agent: lists, sets, waits, and makes each error. Prints what the tool
said. Needs root, and debootstrap for the first time. Where no libvirtd answers, one is started.

What the tool says of the guest is compared with what the guest says on a serial line.
"""

import argparse
import base64
import contextlib
import itertools
import os
import re
import shutil
import socket
import subprocess
import sys
import time

from deb_test import Checks, TrialError, release
from guest import BUILD, QEMU, TOP, put_agent

TOOL = os.path.join(TOP, 'tools/virt/virsh-node-mem')
WORK = os.path.join(BUILD, 'virt.test')
NAME = 'node-mem-trial'
SIZES = [1024, 768]
MIB_PAGES = 256
LEFT_OUT = ['usr/share/doc', 'usr/share/man', 'usr/share/locale', 'usr/share/i18n',
            'usr/share/zoneinfo', 'var/cache', 'var/lib/apt']
FILES = 'guest-file-open,guest-file-read,guest-file-write,guest-file-flush,guest-file-close'
# CPU 0 is in the second node: the guest calls that one its first.
XML = '''<domain type='{kind}'>
  <name>{name}</name>
  <memory unit='MiB'>{total}</memory>
  <vcpu>2</vcpu>
  <memoryBacking>
    <source type='memfd'/>
    <access mode='shared'/>
    <allocation mode='immediate'/>
  </memoryBacking>
  <numatune><memnode cellid='0' mode='strict' nodeset='0'/></numatune>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <kernel>{kernel}</kernel>
    <initrd>{initrd}</initrd>
    <cmdline>console=ttyS0 rdinit=/init virtio_balloon.free_page_reporting=0</cmdline>
  </os>
  <features><acpi/></features>
  <cpu mode='custom' match='exact'>
    <model>qemu64</model>
    <numa>
      <cell id='0' cpus='1' memory='{sizes[0]}' unit='MiB'/>
      <cell id='1' cpus='0' memory='{sizes[1]}' unit='MiB'/>
    </numa>
  </cpu>
  <devices>
    <emulator>{qemu}</emulator>
    <memballoon model='virtio' freePageReporting='on'/>
    <serial type='file'><source path='{work}/console'/></serial>
    <serial type='unix'><source mode='bind' path='{work}/line'/></serial>
    {channel}
  </devices>
</domain>
'''
CHANNEL = "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>"


def virsh(*words):
    done = subprocess.run(['virsh', '-q', *words], text=True, capture_output=True)
    if done.returncode:
        raise TrialError(f'virsh {" ".join(words)}: {done.stderr.strip()}')
    return done.stdout


@contextlib.contextmanager
def libvirtd():
    """The machine's own, or one for as long as this takes."""
    if not subprocess.run(['virsh', '-q', 'uri'], capture_output=True).returncode:
        yield
        return
    started = []
    try:
        for name in 'virtlogd', 'libvirtd':
            started.append(subprocess.Popen([name], stdin=subprocess.DEVNULL,
                                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        for _ in range(60):
            if not subprocess.run(['virsh', '-q', 'uri'], capture_output=True).returncode:
                break
            time.sleep(0.5)
        yield
    finally:
        for process in reversed(started):
            process.terminate()
            process.wait()


def make_initrd():
    """A small Debian with the agent, made once."""
    root, initrd = os.path.join(WORK, 'root'), os.path.join(WORK, 'initrd.gz')
    if not os.path.exists(root):
        codename, site = release()
        print(f'making a root of {codename}', flush=True)
        shutil.rmtree(root + '.new', ignore_errors=True)
        done = subprocess.run(['debootstrap', '--variant=minbase', '--include=qemu-guest-agent',
                               codename, root + '.new', site], text=True, capture_output=True)
        if done.returncode:
            raise TrialError(f'debootstrap: {done.stdout[-2000:]}')
        os.rename(root + '.new', root)
    shutil.copy(os.path.join(TOP, 'scripts/guest/init-virt'), os.path.join(root, 'init'))
    put_agent(root)
    prune = ' -o '.join(f'-path ./{path}' for path in LEFT_OUT)
    subprocess.run(f"find . -xdev '(' {prune} ')' -prune -o -print0 | "
                   f'cpio --null -o -H newc --quiet | gzip -1 > {initrd}',
                   shell=True, check=True, cwd=root)
    return initrd


class Guest:
    """A domain, and a line to it that does not need the agent."""

    def __init__(self, kernel, initrd, kind, channel=CHANNEL):
        self.numbers = itertools.count(1)
        self.buffer = b''
        for name in 'console', 'line':
            if os.path.exists(os.path.join(WORK, name)):
                os.remove(os.path.join(WORK, name))
        # libvirt gives the file to the user that its QEMUs run as, while they do.
        kernel = shutil.copy(kernel, os.path.join(WORK, 'kernel'))
        path = os.path.join(WORK, 'domain.xml')
        with open(path, 'w') as file:
            file.write(XML.format(name=NAME, kind=kind, kernel=kernel, initrd=initrd, work=WORK,
                                  total=sum(SIZES), sizes=SIZES, channel=channel,
                                  qemu=shutil.which(QEMU)))
        virsh('define', path)
        self.line = None

    def start(self, wait=600):
        virsh('start', NAME)
        self.line = socket.socket(socket.AF_UNIX)
        self.line.connect(os.path.join(WORK, 'line'))
        if wait:
            self.line.settimeout(wait)
            self._until(rb'\x00agent ready\r?\n')

    def _until(self, end):
        while not (match := re.search(end, self.buffer)):
            data = self.line.recv(1 << 16)
            if not data:
                raise TrialError('QEMU has gone')
            self.buffer += data
        text, self.buffer = self.buffer[:match.start()], self.buffer[match.end():]
        return text, match

    def sh(self, command):
        number = next(self.numbers)
        coded = base64.b64encode(command.encode()).decode()
        self.line.settimeout(180)
        self.line.sendall(f'{number} 120 {coded}\n'.encode())
        text, match = self._until(rb'\x00%d (\d+)\r?\n' % number)
        if match[1] != b'0':
            raise TrialError(f'{command} in the guest: status {match[1].decode()}')
        return text.decode(errors='replace')

    def pages(self, name):
        """Of each virtual node, by what the guest itself says: its own node 0 is the second."""
        values = self.sh(f'cat /sys/devices/system/node/node*/balloon/{name}').split()
        return values[::-1]

    def agent(self, options='', off=False):
        """Starts the agent with other options, or leaves it off."""
        self.sh(f"echo '{options}' > /run/ga; rm -f /run/off {'; touch /run/off' if off else ''}")
        # One that believes file systems to be frozen ignores a gentler word.
        self.to_agent('-KILL')
        wanted = 'disconnected' if off else 'connected'
        for _ in range(100):
            time.sleep(0.3)
            if f"state='{wanted}'" in virsh('dumpxml', NAME) and (off or self._answers()):
                return
        raise TrialError(f'the agent does not get {wanted}')

    def to_agent(self, signal):
        self.sh('for comm in /proc/[0-9]*/comm; do read -r name < $comm; [ "$name" != qemu-ga ] || '
                f'{{ pid=${{comm%/comm}}; kill {signal} ${{pid#/proc/}}; }}; done; true')

    @staticmethod
    def _answers():
        return not subprocess.run(['virsh', '-q', 'qemu-agent-command', NAME,
                                   '{"execute":"guest-sync","arguments":{"id":7}}'],
                                  capture_output=True).returncode

    def end(self):
        if self.line:
            self.line.close()
        for command in 'destroy', 'undefine':
            subprocess.run(['virsh', '-q', command, NAME], capture_output=True)


class Trial:
    def __init__(self, check):
        self.check = check

    def tool(self, *words):
        """Prints all of it, as on a terminal."""
        done = subprocess.run([TOOL, *words], text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=400)
        print(f'      # virsh-node-mem {" ".join(words)}')
        for line in done.stdout.splitlines():
            print(f'      {line}')
        print(f'      (status {done.returncode})', flush=True)
        return done.returncode, done.stdout

    def fails(self, what, says, *words, status=1):
        code, text = self.tool(*words)
        self.check(what, code == status and says in text)

    def row(self, text, vnode):
        match = re.search(rf'^ +{vnode}  .*$', text, re.M)
        return match[0].split() if match else [''] * 9

    def lists(self, guest):
        code, text = self.tool(NAME)
        held, supers = guest.pages('nr_pages'), guest.pages('nr_superframes')
        self.check('it lists what the guest says', code == 0 and all(
            self.row(text, vnode)[1:4] == [str(SIZES[vnode]), str(int(held[vnode]) // MIB_PAGES),
                                           supers[vnode]] for vnode in (0, 1)), f'{held} {supers}')
        return text

    def placed(self, text, vnode):
        """MiB on the host's nodes together."""
        return sum(int(part.partition(':')[2]) for part in self.row(text, vnode)[8:])

    def sets(self, guest):
        before = self.lists(guest)
        self.check('it tells where both nodes lie', self.placed(before, 0) > 0 and
                   self.placed(before, 1) > 0)
        self.numastat()
        code, text = self.tool(NAME, '0', '599', '--total', str(sum(SIZES) - 424), '--wait', '120')
        self.check('one node gives all, rounded', code == 0 and 'rounded to 600 MiB' in text and
                   guest.pages('nr_pages') == [str(424 * MIB_PAGES), '0'],
                   f"{guest.pages('nr_pages')}")
        self.numastat()
        gone = self.placed(before, 0) - self.placed(text, 0)
        self.check("and the host has it: within 1 % of 424 MiB", abs(gone - 424) <= 4.24,
                   f'{gone} MiB of it are gone from QEMU; of the other node it had '
                   f'{self.placed(before, 1)} MiB and has {self.placed(text, 1)}')
        code, text = self.tool(NAME, '0', 'auto', '--total', str(sum(SIZES)), '-w', '120')
        self.check('all of it comes back', code == 0 and guest.pages('nr_pages') == ['0', '0'])

    @staticmethod
    def numastat():
        done = subprocess.run(['numastat', '-m'], text=True, capture_output=True,
                              env={**os.environ, 'NUMASTAT_WIDTH': '200'})
        print('      # numastat -m')
        for line in done.stdout.splitlines():
            if re.match(r' +Node|MemTotal|MemFree|Shmem ', line):
                print(f'      {line}')

    def limits(self, guest):
        if '-' in self.row(self.tool(NAME)[1], 0)[5]:
            self.check.skip('limits', 'this kernel has none')
            self.fails('it says so', 'knows no limit of nodes', NAME, '0', '--limit', '0')
            return
        code, text = self.tool(NAME, '0', '--limit', '0', '--total', str(sum(SIZES) - 300), '-w',
                               '120')
        self.check('a limit of 0 keeps the balloon off', code == 0 and
                   guest.pages('nr_pages') == ['0', str(300 * MIB_PAGES)])
        code, text = self.tool(NAME, '0', '--limit', 'max', '--total', str(sum(SIZES)), '-w', '120')
        self.check('no limit', code == 0 and guest.pages('limit') == ['max', 'max'])

    def short(self, guest):
        if not self.tool(NAME)[1].splitlines()[0].endswith(', settled'):
            self.check.skip('reasons', 'this kernel tells no state')
            return
        code, text = self.tool(NAME, '--total', '64', '--wait', '20')
        self.check('more than the guest has: it says why not', code == 3 and
                   'waiting: ' in text and 'not met after' in text)
        code, _ = self.tool(NAME, '--total', str(sum(SIZES)), '--wait', '120')
        self.check('and back', code == 0)
        code, text = self.tool(NAME, '1', '0', '--wait', '20')
        self.check('a target without a total', code == 3 and 'the host takes 0 MiB' in text)
        code, text = self.tool(NAME, '1', '0', '--wait', '0')
        self.check('and no time', code == 3 and 'the host takes 0 MiB' in text)
        self.check('auto', self.tool(NAME, '1', 'auto', '--wait', '20')[0] == 0)

    def ways(self, guest):
        guest.agent(f'-b {FILES}')
        self.lists(guest)
        code, _ = self.tool(NAME, '1', '600', '-t', str(sum(SIZES) - 168), '-w', '120')
        self.check('by guest-exec only', code == 0 and
                   guest.pages('nr_pages') == ['0', str(168 * MIB_PAGES)])
        self.check('and back', self.tool(NAME, '1', 'auto', '-t', str(sum(SIZES)), '-w',
                                         '120')[0] == 0)
        code, _ = self.tool(NAME, '1', '700', '--json', '-w', '0')
        target = guest.pages('target')
        self.check('a target by guest-exec', target == ['auto', str(68 * MIB_PAGES)], f'{target}')
        guest.agent('-b guest-exec')
        self.check('by files only', self.tool(NAME, '1', 'auto')[0] == 0 and
                   guest.pages('target') == ['auto', 'auto'])
        guest.agent('-b guest-exec,guest-file-write')
        self.fails('writing is blocked', 'blocked are guest-file-write (has been disabled', NAME,
                   '1', '600')
        guest.agent(f'-b guest-exec,{FILES}')
        self.fails('all is blocked', 'guest-exec (has been disabled', NAME)
        guest.agent(f'-b guest-info,guest-exec,{FILES}')
        self.fails('and the list of what is, too', 'guest-file-open (has been disabled', NAME, '1',
                   '600')
        # No file system here can be frozen: it finds that it was killed while one was.
        guest.sh('touch /run/qga.state.isfrozen')
        guest.agent('-t /run')
        self.fails('frozen', 'are frozen', NAME, '1', '600')
        guest.sh('rm /run/qga.state.isfrozen')
        guest.agent(off=True)
        self.fails('no agent', "no answer from QEMU's guest agent", NAME, '1', '600')
        self.fails('no agent, listed all the same', "no answer from QEMU's guest agent", NAME)
        guest.agent()
        virsh('suspend', NAME)
        self.fails('paused', 'has to run, but is: paused', NAME)
        virsh('resume', NAME)
        guest.to_agent('-STOP')
        self.fails('an agent that hangs', "no answer from QEMU's guest agent", NAME, '1', '600')

    def words(self, guest):
        for says, words in (("there is no domain 'none'", ['none', '1', '600']),
                            ("has no virtual node '7', but: 0 1", [NAME, '7', '600']),
                            ("'much' is no size", [NAME, '1', 'much']),
                            ("'-3' is no size", [NAME, '1', '-3']),
                            ('more than virtual node 1 has: 768 MiB', [NAME, '1', '1G']),
                            ('more than domain', [NAME, '-t', '9G']),
                            ('more than virtual node 0 has: 1024 MiB', [NAME, '0', '-l', '2G']),
                            ("'1.5G' is no size", [NAME, '0', '--limit', '1.5G']),
                            ("has no virtual node '01', but: 0 1", [NAME, '01', '600']),
                            # What virsh, and the shell in it, would take for words of their own.
                            ("there is no domain 'a'b; list; \"c $(id)'",
                             ["a'b; list; \"c $(id)", '1', '600'])):
            self.fails(says, says, *words)
        self.fails('libvirt does not answer', 'libvirt does not answer', '-c',
                   'qemu+unix:///system?socket=/nonexistent', NAME)
        for says, words in (('SIZE or --limit is missing', [NAME, '1']),
                            ("'-1' is no number of seconds", [NAME, '1', '600', '--wait=-1']),
                            ("'one' is no number of a node", ['--host-node', 'one']),
                            ('the name of a domain is not empty', ['', '1', '600'])):
            self.fails(says, says, *words, status=2)
        self.check('nothing was done', guest.pages('target') == ['auto', 'auto'])

    def monitor(self, guest):
        code, text = self.tool('--monitor', '--host-node', '0')
        self.check('--monitor tells the same', code == 0 and self.placed(text, 0) > 0 and
                   self.placed(text, 1) > 0)


def everything(options, check):
    trial = Trial(check)
    guest = None
    try:
        initrd = make_initrd()
        guest = Guest(options.kernel, initrd, options.kind)
        trial.fails('off', 'has to run, but is: shut off', NAME, '1', '600')
        guest.start()
        guest.agent()
        trial.words(guest)
        trial.sets(guest)
        trial.limits(guest)
        trial.short(guest)
        trial.monitor(guest)
        trial.ways(guest)
        guest.end()
        guest = Guest(options.kernel, initrd, options.kind, channel='')
        guest.start(wait=None)
        trial.fails('no channel', 'no channel for', NAME, '1', '600')
        guest.end()
        if os.path.exists(options.vanilla):
            guest = Guest(options.vanilla, initrd, options.kind)
            guest.start()
            guest.agent()
            trial.fails('a kernel without it', 'has no NUMA-aware memory balloon', NAME, '1', '600')
        else:
            check.skip('a kernel without it', f'there is no {options.vanilla}')
    finally:
        if guest:
            guest.end()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--kernel', default=os.path.join(BUILD, 'bzImage'))
    parser.add_argument('--vanilla', default=os.path.join(BUILD, 'vanilla/bzImage'),
                        help='one that has no balloon that knows nodes')
    parser.add_argument('--kind', default='qemu', help="'kvm' where that works")
    options = parser.parse_args()
    check = Checks()
    try:
        os.makedirs(WORK, exist_ok=True)
        with libvirtd():
            virsh('uri')
            everything(options, check)
    except (TrialError, OSError, subprocess.SubprocessError) as error:
        check('the trial', False, str(error))
    return check.finish()


if __name__ == '__main__':
    sys.exit(main())
