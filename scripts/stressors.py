#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""LTP's lists of mm and numa, and stress-ng's stressors of memory, beside a balloon.

Each test runs in a guest whose balloon holds half of it. That has to be as large as the host wants,
always, and its own check has to find nothing. What does not pass there, or has the kernel complain,
runs in a guest whose balloon is empty, too: there it has to do no better. What does is repeated.

LTP is no package: --ltp is its source, which is built in a copy, or what 'make install' has made of
it. stress-ng is this machine's.
"""

import argparse
import collections
import contextlib
import glob
import os
import re
import shlex
import shutil
import subprocess
import threading
import time

from deb_test import Checks, TrialError, end_with, run
from guest import BUILD, MIB, TOP, Guest, GuestError, initramfs_of, kernel_of
from host_trial import add_to_initramfs
from options import count

WORK = os.path.join(BUILD, 'stressors')
# 4 nodes, of MiB each.
NODES = [512] * 4
SIZE = sum(NODES) * MIB
KINDS = {'empty': 0, 'half': SIZE // 2}
LISTS = ['mm', 'numa']
# Where LTP has what is in these lists.
FOLDERS = ['testcases/lib', 'testcases/kernel/mem', 'testcases/kernel/numa',
           'testcases/kernel/security/kallsyms'] + [
               f'testcases/kernel/syscalls/{name}' for name in
               ('migrate_pages', 'mmap', 'move_pages', 'set_mempolicy')]
# What these start, besides all that is called tst_*.
HELPERS = ['mmstress_dummy', 'support_numa', 'vma05_vdso', 'cmdlib.sh', 'daemonlib.sh']
PROGRAMS = [f'/usr/bin/{name}' for name in ('stress-ng', 'numactl', 'numastat', 'memhog')]
# glibc loads it when a thread ends.
PROGRAMS += ['/lib/x86_64-linux-gnu/libgcc_s.so.1']
CLASSES = ['memory', 'vm']
# By name, and why.
LEFT_OUT = dict.fromkeys(
    ['bsearch', 'heapsort', 'hsearch', 'judy', 'list', 'lsearch', 'matrix', 'matrix-3d',
     'mergesort', 'qsort', 'radixsort', 'randlist', 'shellsort', 'skiplist', 'sparsematrix', 'str',
     'tree', 'tsearch', 'wcs', 'zlib'], 'computes in an array of its own')
LEFT_OUT.update(dict.fromkeys([f'ksm0{n}_1' for n in range(1, 5)],
                              'huge pages of three processes with 128M are more than an emulated '
                              'ksmd scans in minutes'))
LEFT_OUT.update(dict.fromkeys(['set_mempolicy03', 'set_mempolicy04'],
                              'wants a loop device and a file system, which no kernel of ours has'))
LEFT_OUT['watchdog'] = 'is about a device that restarts the machine'
LEFT_OUT['max_map_count'] = 'maps 65536 ranges ten times: emulated, each takes minutes'
LEFT_OUT['shm_test01'] = 'took longer than two minutes without a balloon, too, emulated'
LEFT_OUT['vma05'] = 'wants gdb'
LEFT_OUT['dev-shm'] = ('fills half of all memory, whatever has taken the other half: with huge pages '
                       'for a balloon it is killed, too')
# These are, too, but for them less will do.
SMALLER = {f'ksm0{n}': '-s 16' for n in range(1, 5)}
# MiB of swap without which they skip all.
SWAPS = {'swapping01': SIZE // MIB * 3 // 4, 'mmapstress06': 256}
LTP_ENV = {'LTPROOT': '/opt/ltp', 'TMPDIR': '/tmp', 'KCONFIG_PATH': '/config',
           # Emulated: what waits has to wait for longer, what goes on for minutes need not.
           'LTP_TIMEOUT_MUL': '10', 'LTP_RUNTIME_MUL': '0.3'}
SAYS = {0: 'pass', 137: 'timeout', 143: 'timeout'}
STRESS_NG = {3: 'skip', 4: 'skip'}
FINE = 'pass', 'skip'

Test = collections.namedtuple('Test', 'suite name command')


class Result:
    def __init__(self, verdict, seconds=0, said='', trouble=(), balloon=()):
        self.verdict, self.seconds, self.said = verdict, seconds, said
        self.trouble, self.balloon = list(trouble), list(balloon)


# --- what is run ---

def build_ltp(source):
    """The folder of an installed LTP: SOURCE, or what is made of it."""
    source = os.path.realpath(source)
    if os.path.isdir(f'{source}/testcases/bin') and os.path.isdir(f'{source}/runtest'):
        return source
    if not os.path.exists(f'{source}/configure.ac') or not os.path.isdir(f'{source}/runtest'):
        raise TrialError(f'{source} is neither the source of LTP nor an installed one')
    with open(f'{source}/VERSION') as file:
        ident = f'{source} {file.read().strip()} {" ".join(FOLDERS)}'
    root, copy = os.path.join(WORK, 'ltp'), os.path.join(WORK, 'ltp.source')
    done = os.path.join(WORK, 'ltp.done')
    if os.path.exists(done):
        with open(done) as file:
            if file.read() == ident:
                return f'{root}/opt/ltp'
        os.remove(done)
    print('building LTP; log: build/logs/ltp.log', flush=True)
    for folder in root, copy:
        shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(source, copy, symlinks=True, ignore=shutil.ignore_patterns('.git'))
    make = ' '.join(f'make -j{os.cpu_count()} -C {folder}; '
                    f'make -C {folder} DESTDIR={shlex.quote(root)} install;' for folder in FOLDERS)
    run('ltp.log', 'sh', '-ec', 'make autotools; ./configure --prefix=/opt/ltp; ' + make +
        f'make -C runtest DESTDIR={shlex.quote(root)} install', cwd=copy)
    with open(done, 'w') as file:
        file.write(ident)
    return f'{root}/opt/ltp'


def ltp_tests(folder):
    """What LTP's lists say: a name, and a command for the shell."""
    found = []
    for name in LISTS:
        with open(f'{folder}/runtest/{name}') as lines:
            for line in lines:
                words = line.split(maxsplit=1)
                if len(words) == 2 and not line.startswith('#'):
                    command = words[1].strip()
                    more = SMALLER.get(command.split()[0])
                    found.append(Test('ltp', words[0], f'{command} {more}' if more else command))
    return found


def stress_ng_tests(seconds):
    names = set()
    for kind in CLASSES:
        said = subprocess.run(['stress-ng', '--class', f'{kind}?'], text=True, capture_output=True)
        listed = re.search(r'stressors: (.*)', said.stdout + said.stderr)
        if not listed:
            raise TrialError(f'stress-ng has no class {kind}')
        names |= set(listed[1].split())
    # Some may hang a machine: that is to be seen.
    how = f'--pathological --timeout {seconds}s --verify --oomable --temp-path /tmp --log-brief'
    return [Test('stress-ng', name, f'stress-ng --{name} {len(NODES)} {how}')
            for name in sorted(names)]


def make_initramfs(flavour, ltp, tests):
    """That of every guest, and behind it the tests: no kernel of ours has a disk's file systems."""
    subprocess.run([os.path.join(TOP, 'scripts/initramfs.sh'), flavour], check=True)
    config = os.path.join(BUILD, flavour, '.config')
    os.makedirs(WORK, exist_ok=True)
    users = os.path.join(WORK, 'passwd')
    with open(users, 'w') as file:
        file.write('root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n')
    targets = {path: path for path in PROGRAMS}
    targets.update({users: '/etc/passwd', config: '/config'})
    if ltp:
        binaries = f'{ltp}/testcases/bin'
        wanted = {word for test in tests if test.suite == 'ltp' for word in test.command.split()}
        wanted |= set(HELPERS) | {os.path.basename(path) for path in glob.glob(f'{binaries}/tst_*')}
        for name in wanted & set(os.listdir(binaries)):
            targets[f'{binaries}/{name}'] = f'/opt/ltp/testcases/bin/{name}'
    return add_to_initramfs(initramfs_of(flavour), targets, WORK, strip=True)


# --- where it is run ---

class Bed:
    """Guests of one kind, one after the other: after a test that had to be killed, or that took the
    guest down, nobody knows what it has left behind."""

    def __init__(self, kind, options, initramfs):
        self.kind, self.options, self.initramfs = kind, options, initramfs
        self.size = KINDS[kind]
        self.guest = None
        self.boots = self.known = self.swap = 0
        self.moved = collections.Counter()
        self.log = open(os.path.join(BUILD, 'logs', f'stressors-{kind}.log'), 'a')

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()
        self.log.close()

    def begin(self, size):
        self.boots += 1
        self.swap = size
        swap = os.path.join(WORK, f'swap-{self.kind}')
        with open(swap, 'w') as file:
            file.truncate(size * MIB)
        self.guest = Guest(self.options.kernel, nodes=NODES, initramfs=self.initramfs,
                           name=f'stressors-{self.kind}-{self.boots}', append='kunit.enable=0',
                           balloon={'free-page-reporting': True},
                           extra=['-drive', f'file={swap},if=none,id=swap,format=raw,cache=unsafe',
                                  '-device', 'virtio-blk-pci,drive=swap'])
        self.guest.start()
        # Whom the OOM killer must not have.
        self.guest.sh('for pid in $(pidof agent); do echo -1000 > /proc/$pid/oom_score_adj; done; '
                      'mkswap /dev/vda; swapon /dev/vda; mkdir -p /dev/shm; '
                      'mount -t tmpfs tmpfs /dev/shm')
        self.guest.write('/sys/kernel/mm/balloon/refill', self.options.refill)
        self.guest.settle(self.size, timeout=600)
        self.known = len(self.guest.warnings())

    def end(self):
        if self.guest:
            try:
                if self.guest.running():
                    self.count()
            except GuestError:
                pass
            finally:
                self.guest.stop()
                self.guest = None

    def count(self):
        """Adds up what the balloon has done."""
        for line in self.guest.sh('cat /sys/devices/system/node/node*/balloon/stat').splitlines():
            name, value = line.split()
            self.moved[name] += int(value)

    def watch(self, stop, seen):
        """The host's side, while a test runs."""
        while not stop.wait(0.2):
            try:
                seen.add(self.guest.actual())
            except GuestError:
                return

    def test(self, test):
        swap = max(self.options.swap, SWAPS.get(test.name, 0))
        if self.guest and self.swap != swap:
            self.end()
        if not self.guest:
            self.begin(swap)
        env = ' '.join(f'{key}={value}' for key, value in LTP_ENV.items())
        inner = (f'echo 0 > /proc/self/oom_score_adj; export {env} '
                 f'PATH=/opt/ltp/testcases/bin:/usr/bin:/bin; {test.command}')
        # What it leaves behind goes with its session; where that hangs is of interest.
        command = (f'cd /tmp; timeout -s KILL {self.options.limit} '
                   f'setsid sh -c {shlex.quote(inner)} > /tmp/.said 2>&1 & id=$!\n'
                   'wait $id; status=$?; tail -c 9000 /tmp/.said\n'
                   r'left=$(sed -n "s/^\([0-9]*\) (.*) . [0-9]* [0-9]* $id .*/\1/p" '
                   '/proc/[0-9]*/stat 2> /dev/null)\n'
                   '[ $status != 137 ] || for pid in $left; do '
                   'head -n 3 /proc/$pid/status; cat /proc/$pid/stack; done 2> /dev/null\n'
                   '[ -z "$left" ] || kill -KILL $left; exit $status')
        began = time.monotonic()
        stop, seen = threading.Event(), set()
        watcher = threading.Thread(target=self.watch, args=(stop, seen))
        watcher.start()
        try:
            status, said = self.guest.status(command, self.options.limit + 120)
            lost = False
        except GuestError as error:
            status, said, lost = -1, str(error), True
        finally:
            stop.set()
            watcher.join()
        seconds = time.monotonic() - began
        result = Result(self.verdict(test, status), seconds, said)
        if not lost and self.options.limit <= seconds and status == 137:
            result.verdict = 'timeout'
        try:
            if not lost:
                self.look(result, seen)
        except GuestError as error:
            result.said += str(error)
            lost = True
        if lost:
            result.verdict = 'guest lost'
        warnings = self.guest.warnings()
        result.trouble, self.known = warnings[self.known:], len(warnings)
        self.log.write(f'===== {test.suite} {test.name}: {result.verdict} ({status}), '
                       f'{seconds:.0f} s\n{said}\n')
        self.log.flush()
        if lost or result.verdict == 'timeout':
            self.end()
        return result

    def look(self, result, seen):
        """The balloon, after a test and while it ran."""
        try:
            self.guest.settle(self.size, timeout=120)
        except GuestError:
            result.balloon.append(f'holds {self.guest.actual()} of {self.size} bytes')
        wrong = seen - {self.size}
        if wrong:
            result.balloon.append('held ' + ', '.join(
                f'{size / MIB:.2f}' for size in sorted(wrong)[:5]) + f' MiB of {self.size // MIB}')
        said = self.guest.read('/sys/kernel/debug/balloon/check')
        if said != 'ok':
            result.balloon.append(f'check says {said}')

    @staticmethod
    def verdict(test, status):
        if status in SAYS:
            return SAYS[status]
        if test.suite == 'stress-ng':
            return STRESS_NG.get(status, f'fail ({status})')
        if status == 32:
            return 'skip'
        # Bits, in LTP.
        bits = [name for bit, name in ((1, 'fail'), (2, 'broken'), (4, 'warn')) if status & bit]
        return '+'.join(bits) if bits and status < 64 else f'fail ({status})'

    def run(self, tests):
        results = {}
        for number, test in enumerate(tests, 1):
            results[test] = result = self.test(test)
            print(f'# {self.kind}: {number} of {len(tests)}: {test.suite} {test.name}: '
                  f'{result.verdict}, {result.seconds:.0f} s', flush=True)
            for line in result.balloon + result.trouble:
                print(f'#     {line}', flush=True)
        return results


# --- what comes out ---

def kin(line):
    """A line of the kernel's log without what differs from one time to the next."""
    return re.sub(r'0x[0-9a-f]+|\b[0-9a-f]{8,}\b|\d+', 'N', re.sub(r'^\[[^]]*\] *', '', line))


def worse(one, other):
    """Whether OTHER has failed, and ONE has not."""
    return one.verdict in FINE and other.verdict not in FINE


def judge(check, tests, results, again):
    known = {kin(line) for result in results['empty'].values() for line in result.trouble}
    for test in tests:
        half, what = results['half'][test], f'{test.suite} {test.name}'
        wrong = half.balloon + [line for line in half.trouble if kin(line) not in known]
        if wrong:
            check(what, False, '; '.join(wrong))
            continue
        if half.verdict == 'pass':
            check(what, True)
            continue
        empty = results['empty'][test]
        if worse(empty, half):
            check(what, not worse(empty, again[test]), f'{half.verdict} beside a balloon, '
                  f'{empty.verdict} without; repeated: {again[test].verdict}')
        elif empty.verdict not in FINE:
            check.skip(what, f'without a balloon, too: {empty.verdict} (with: {half.verdict})')
        else:
            check.skip(what, f'{half.verdict} beside a balloon, {empty.verdict} without')


def chosen(options):
    """The tests, and the folder of LTP."""
    ltp, tests = None, []
    if options.only != 'stress-ng':
        if not options.ltp:
            raise TrialError("LTP's source, or an installed LTP, is needed: LTP=DIR for make, "
                             '--ltp DIR here; it comes from https://github.com/linux-test-project/ltp')
        ltp = build_ltp(options.ltp)
        tests += ltp_tests(ltp)
    if options.only != 'ltp':
        tests += stress_ng_tests(options.seconds)
    unknown = set(options.tests) - {test.name for test in tests}
    if unknown:
        raise TrialError(f'no test is called {", ".join(sorted(unknown))}')
    if options.tests:
        tests = [test for test in tests if test.name in options.tests]
    return ltp, tests


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('--ltp', metavar='DIR', help="LTP's source, or an installed LTP")
    parser.add_argument('--kernel', choices=['debug', 'release'], default='debug',
                        help='which kernel (debug)')
    parser.add_argument('--only', choices=['ltp', 'stress-ng'], help='one of the two')
    parser.add_argument('--seconds', type=count, default=5, help='for each stressor (5)')
    parser.add_argument('--limit', type=count, default=1200,
                        help='seconds after which a test is killed (1200)')
    parser.add_argument('--swap', type=count, default=64, metavar='MIB',
                        help='how much swap (64), if a test does not want more: what fills it ends '
                             'sooner with less')
    parser.add_argument('--refill', choices=['off', 'credit', 'exchange', 'oom'],
                        default='exchange', help="the balloon's mode of refill (exchange)")
    parser.add_argument('tests', nargs='*', help='names of some (all but what is left out)')
    options = parser.parse_args()
    for path in [kernel_of(options.kernel), os.path.join(BUILD, options.kernel, '.config')]:
        if not os.path.exists(path):
            raise TrialError(f"{os.path.relpath(path, TOP)} is not there: run 'make "
                             f"{'kernel' if options.kernel == 'release' else options.kernel}'")
    for path in PROGRAMS:
        if not os.path.exists(path):
            raise TrialError(f"{path} is missing: run 'scripts/deps.sh stressors'")
    os.makedirs(os.path.join(BUILD, 'logs'), exist_ok=True)
    os.makedirs(WORK, exist_ok=True)
    check = Checks()
    ltp, tests = chosen(options)
    initramfs = make_initramfs(options.kernel, ltp, tests)
    if not options.tests:
        for test in tests:
            if test.name in LEFT_OUT:
                check.skip(f'{test.suite} {test.name}', LEFT_OUT[test.name])
        tests = [test for test in tests if test.name not in LEFT_OUT]
    for kind in KINDS:
        with contextlib.suppress(FileNotFoundError):
            os.remove(os.path.join(BUILD, 'logs', f'stressors-{kind}.log'))
    results = {}
    with Bed('half', options, initramfs) as bed:
        results['half'] = bed.run(tests)
    # What has nothing to be compared with costs as much time again.
    odd = [test for test in tests
           if results['half'][test].verdict != 'pass' or results['half'][test].trouble]
    with Bed('empty', options, initramfs) as other:
        results['empty'] = other.run(odd)
    with Bed('half', options, initramfs) as repeat:
        again = repeat.run([test for test in odd
                            if worse(results['empty'][test], results['half'][test])])
    judge(check, tests, results, again)
    print(f'# the balloon: {dict(bed.moved)}')
    return check.finish()


if __name__ == '__main__':
    end_with(main)
