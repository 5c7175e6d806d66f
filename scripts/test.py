#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Runs everything that must pass, and counts.

KUnit and kselftests run in guests with the debug kernel; the end-to-end tests boot their own
guests and judge them from the host; those of the operator's tools need no guest. Ends with the
slowest and with 'N passed, N failed, N skipped'.
"""

import argparse
import os
import re
import subprocess
import sys
import threading
import time
import unittest
from collections import deque
from concurrent.futures import ThreadPoolExecutor

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(TOP, 'scripts'), os.path.join(TOP, 'scripts', 'e2e')]

from guest import ARM64, BUILD, ON, PAGE, SHARED, Guest, GuestError  # noqa: E402

DIST = [[10, 15, 20, 30], [17, 10, 25, 20], [20, 25, 10, 15], [40, 20, 15, 10]]
SELFTESTS = os.path.join(BUILD, 'selftests-arm64' if ARM64 else 'selftests')
# Of each node. With base pages of 64K the allocator's largest piece is 512M, and each CPU keeps more.
NODE_MIB = 512 if PAGE == 4096 else 1024
PARTS = {'kunit', 'kselftest', 'queue', 'builds', 'tools', 'user', 'run'}
# These take longest, and are begun first.
LONGEST = ['balloon_refill', 'balloon_refill_faults', 'balloon_fragmented', 'balloon_limit']
SLOWEST = 10
# What nobody can blame on a busy machine, however often it is tried.
GRAVE = re.compile(r'broken\(|intact|verify|pattern|warned|guest\.warnings|BUG|Oops|panic')
WHY_LINES = 12
# If more than so many fail, the machine is not the reason.
MOST_REPEATED = 5


class Tally:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.failures = []
        self.unsteady = []
        self.steadied = set()
        self.times = []
        self.lock = threading.Lock()

    def add(self, name, verdict, why=''):
        """VERDICT: 'passed', 'failed' or 'skipped'."""
        mark = {'passed': 'ok', 'failed': 'FAIL', 'skipped': 'skip'}[verdict]
        with self.lock:
            setattr(self, verdict, getattr(self, verdict) + 1)
            if verdict == 'failed':
                self.failures.append((name, why))
            if verdict == 'passed' and any(name == first for first, _ in self.unsteady):
                self.steadied.add(name)
            print(f'{mark:4}  {name}' + (f': {why}' if why else ''), flush=True)

    def again(self, name, why):
        """NAME has failed for the first time, because of WHY: says whether it is tried once more.

        Emulated, on a machine that has more to do, a guest may stand still for seconds at any moment, and
        nothing in it can be told from a fault then. What fails every now and then is not hidden: it is
        named at the end."""
        if not why or GRAVE.search(why):
            return False
        with self.lock:
            if len(self.unsteady) >= MOST_REPEATED:
                return False
            self.unsteady.append((name, why))
            print(f'again {name}: {why}', flush=True)
        return True

    def repeated(self):
        with self.lock:
            return {name for name, _ in self.unsteady}

    def took(self, name, seconds):
        with self.lock:
            self.times.append((seconds, name))

    def finish(self):
        """Says how it went; returns the exit status."""
        for seconds, name in sorted(self.times, reverse=True)[:SLOWEST]:
            print(f'{seconds:4.0f} s  {name}')
        for name, why in dict(self.unsteady).items():
            if name in self.steadied:
                print(f'passed when repeated: {name}: {shortened(why)}')
        for name, why in self.failures:
            print(f'failed: {name}: {shortened(why)}')
        print(f'{self.passed} passed, {self.failed} failed, {self.skipped} skipped')
        return 1 if self.failed or not self.passed else 0

    def tap(self, prefix, text, times={}, repeat=None):
        """Counts the lines of a TAP or KTAP report that are no suite's own; returns how many. TIMES
        are the seconds that some of the tests took. REPEAT runs one of them and returns its report."""
        count = 0
        said = []
        for line in text.splitlines():
            match = re.match(r'(?:\[[^]]*\])?\s*(not )?ok \d+ -? ?(.*)', line)
            if not match:
                said.append(line)
                continue
            name, _, directive = match[2].partition('#')
            skipped = directive.strip().upper().startswith('SKIP')
            # The harness names the line of the source before it tells the verdict.
            where = [line.lstrip('# ') for line in said if re.match(r'\s*# \S+\.c:\d+:', line)]
            name = name.strip()
            why = '\n      '.join(where[:9])
            if match[1] and repeat and self.again(f'{prefix}: {name}', why):
                if not self.tap(prefix, repeat(name)):
                    self.add(f'{prefix}: {name}', 'failed', 'no report of the second attempt')
            elif match[1]:
                self.add(f'{prefix}: {name}', 'failed', why)
            elif skipped:
                self.add(f'{prefix}: {name}', 'skipped', directive.strip())
            else:
                self.add(f'{prefix}: {name}', 'passed', f'{times[name]:.0f} s' if name in times else '')
            if name in times:
                self.took(f'{prefix}: {name}', times[name])
            said = []
            count += 1
        return count


def shortened(why):
    first, *more = why.splitlines() or ['']
    return '\n      '.join([first, *(line.strip() for line in more[-WHY_LINES:])])


class Result(unittest.TestResult):
    """Feeds a Tally; sub-tests only tell of failures. With TRIAL, one may be left uncounted, to be tried
    once more."""

    def __init__(self, tally, part='e2e', trial=False):
        super().__init__()
        self.tally = tally
        self.part = part
        self.trial = trial
        self.repeat = False

    def startTest(self, test):
        super().startTest(test)
        self.began = time.monotonic()
        self.bad = False

    def _name(self, test):
        return f'{self.part}: ' + str(test.id()).replace('test_', '')

    def _failed(self, test, error):
        first = not self.bad
        self.bad = True
        why = self._exc_info_to_string(error, test)
        # All of it is repeated, and not a sub-test.
        whole = self._name(getattr(test, 'test_case', test))
        if self.trial and (self.repeat or first) and self.tally.again(whole, why):
            self.repeat = True
            return
        self.repeat = False
        self.tally.add(self._name(test), 'failed', why)

    def addError(self, test, err):
        self._failed(test, err)

    def addFailure(self, test, err):
        self._failed(test, err)

    def addSubTest(self, test, subtest, err):
        if err:
            self._failed(subtest, err)

    def addSkip(self, test, reason):
        self.tally.add(self._name(test), 'skipped', reason)

    def addSuccess(self, test):
        if not self.bad:
            self.tally.add(self._name(test), 'passed', f'{time.monotonic() - self.began:.0f} s')

    def stopTest(self, test):
        super().stopTest(test)
        self.tally.took(self._name(test), time.monotonic() - self.began)


def end_to_end(test, tally):
    trial = Result(tally, trial=True)
    test.run(trial)
    if trial.repeat:
        test.run(Result(tally))


def check_queue(tally, kernel):
    env = {**os.environ, 'KERNEL': kernel}
    if kernel != os.environ.get('KERNEL', '6.12'):
        # That is the other one's.
        env.pop('KERNEL_TARBALL', None)
    for script in ['fetch-next.sh'] * (kernel == 'next') + ['check-series.sh']:
        done = subprocess.run([os.path.join(TOP, 'scripts', script)], text=True, env=env,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode:
            break
    # Sources of newer kernels come and go: that is nobody's fault here.
    verdict = {0: 'passed', 75: 'skipped'}.get(done.returncode, 'failed')
    said = done.stdout.rstrip()
    tally.add(f'the queue applies to a pristine tree and gives ours: {kernel}', verdict,
              {'passed': '', 'skipped': said.split('\n')[-1]}.get(verdict, said))


def build_selftests(kernel='debug'):
    os.makedirs(SELFTESTS, exist_ok=True)
    env = None
    if ARM64:
        root = os.path.join(SHARED, 'arm64-root/usr')
        env = {**os.environ, 'CROSS_COMPILE': 'aarch64-linux-gnu-',
               'CFLAGS': f'-isystem {root}/include', 'LDFLAGS': f'-L{root}/lib/aarch64-linux-gnu'}
    subprocess.run(['make', '-s', '-C', os.path.join(BUILD, 'linux/tools/testing/selftests/balloon'),
                    f'OUTPUT={SELFTESTS}'], check=True, env=env)
    subprocess.run([os.path.join(TOP, 'scripts/initramfs.sh'), kernel], check=True)


def kselftest(tally, guest, program):
    began = time.monotonic()
    # The harness takes no times. The last line is the status.
    stamped = guest.sh(f'({program}; echo $?) 2>&1 | while IFS= read -r line; do '
                       'read -r up rest < /proc/uptime; printf "%s %s\\n" "$up" "$line"; done',
                       timeout=7200)
    stamps, lines = zip(*(line.partition(' ')[::2] for line in stamped.splitlines()))
    *lines, status = lines
    print(f'      {program} took {time.monotonic() - began:.0f} s', flush=True)
    at = float(stamps[0])
    times = {}
    for stamp, line in zip(stamps, lines):
        if match := re.match(r'(?:not )?ok \d+ (\S+)', line):
            times[match[1]] = float(stamp) - at
            at = float(stamp)
    output = '\n'.join(lines) + '\n'
    before = tally.failed + len(tally.unsteady)
    if not tally.tap(f'kselftest: {program}', output, times,
                     lambda name: guest.sh(f'{program} -r {name} 2>&1; true', timeout=3600)) or \
            (status != '0' and tally.failed + len(tally.unsteady) == before):
        tally.add(f'kselftest: {program}', 'failed',
                  f'status {status}, ends with\n' + '\n'.join(lines[-9:]))
    with open(os.path.join(BUILD, 'logs', f'{program}.tap'), 'w') as log:
        log.write(output)


def in_guest(tally, kernel, name, programs, kunit=False):
    """KUnit's report of the boot, and kselftests against the simulated host: guests share a deque."""
    if not programs and not kunit:
        return
    try:
        run_in_guest(tally, kernel, name, programs, kunit)
    except GuestError as error:
        tally.add(f'{name} in a guest', 'failed', str(error))


def run_in_guest(tally, kernel, name, programs, kunit):
    with Guest(flavour=kernel, nodes=[NODE_MIB] * 4, dist=DIST, balloon=None, name=name,
               append='' if kunit else 'kunit.enable=0') as guest:
        if kunit:
            report = re.findall(r'^(?:\[[^]]*\])?\s{5,}((?:not )?ok \d+ .*)$', guest.console(), re.M)
            suites = re.findall(r'# Subtest: (balloon\S*)', guest.console())
            if not suites or not tally.tap('kunit', '\n'.join(report)):
                tally.add('kunit: a report of the balloon suites', 'failed')
        while programs:
            try:
                program = programs.popleft()
            except IndexError:
                break
            kselftest(tally, guest, program)
        trouble = guest.warnings()
        tally.add(f'a quiet kernel log: {name}', 'failed' if trouble else 'passed',
                  '\n'.join(trouble))


def in_user_space(tally):
    """The core against a model: its own report, line by line."""
    print('the core in user space', flush=True)
    done = subprocess.run(['make', '-s', '-C', TOP, 'test-user'], text=True, errors='replace',
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    verdicts = {'ok': 'passed', 'FAIL': 'failed', 'skip': 'skipped'}
    lines = done.stdout.splitlines()
    count = 0
    for i, line in enumerate(lines):
        match = re.match(r'(ok|FAIL|skip) +(.*)', line)
        if not match:
            continue
        why = []
        for more in lines[i + 1:]:
            if not more.startswith('      '):
                break
            why.append(more.strip())
        tally.add(f'user: {match[2]}', verdicts[match[1]],
                  '\n      '.join(why) if match[1] == 'FAIL' else '')
        count += 1
    if not count or (done.returncode and 'FAIL' not in done.stdout):
        tally.add('user', 'failed', '\n      '.join(lines[-20:]))


def main_job(tally):
    """On the kernel that checks most."""
    name = 'run: the main job'
    while True:
        began = time.monotonic()
        done = subprocess.run([os.path.join(TOP, 'scripts/run.py'), '--kernel', 'debug'], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        tally.took('run', time.monotonic() - began)
        with open(os.path.join(BUILD, 'logs', f'run{ON}.txt'), 'w') as log:
            log.write(done.stdout)
        lines = done.stdout.splitlines()
        checks = '\n      '.join(line for line in lines if line.startswith('FAIL: '))
        if not done.returncode or name in tally.repeated() or not tally.again(name, checks):
            break
    tally.add(name, 'failed' if done.returncode else 'passed',
              (checks or '\n'.join(lines[-30:])) if done.returncode else '')


def flatten(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from flatten(test)
        else:
            yield test


def run_all(jobs):
    """Guests wait much of the time: as many at once as there are CPUs, or JOBS."""
    with ThreadPoolExecutor(int(os.environ.get('JOBS', 0)) or os.cpu_count()) as pool:
        for done in [pool.submit(*job) for job in jobs]:
            done.result()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('tests', nargs='*', metavar='TEST',
                        help="what to run: 'kunit', 'kselftest', 'queue', 'builds', 'tools', 'user', "
                             "'run', names of selftests such as balloon_refill, or of end-to-end "
                             "tests such as test_virtio.Targets; by default everything but 'run'")
    parser.add_argument('--kernel', default='debug', choices=['debug', 'kcsan', 'rt'],
                        help='of KUnit and the selftests (debug); to be built before')
    options = parser.parse_args()
    tally = Tally()
    named = set(options.tests)
    selftests = {name for name in named if name.startswith('balloon_')}
    e2e = sorted(named - PARTS - selftests)

    loader = unittest.defaultTestLoader
    tools = e2e_tests = []
    if not named or 'tools' in named:
        tools = [loader.loadTestsFromNames(['tools_test', 'virt_test', 'monitoring_test', 'report_test'])]
    if not named or e2e:
        e2e_tests = list(flatten(loader.loadTestsFromNames(e2e) if e2e else
                                 loader.discover(os.path.join(TOP, 'scripts/e2e'))))
    if loader.errors:
        # One that can't be loaded would fail at the very end.
        for error in loader.errors:
            tally.add('a test that can be loaded', 'failed', error)
        return tally.finish()

    if not named or 'queue' in named:
        # Whatever kernel is tested: the newest one's queue has to go along.
        for kernel in dict.fromkeys([os.environ.get('KERNEL', '6.12'), 'next']):
            check_queue(tally, kernel)
    if not named or 'builds' in named:
        print('building the variants', flush=True)
        builds = subprocess.run([os.path.join(TOP, 'scripts/matrix.sh')], text=True,
                                stdout=subprocess.PIPE).stdout
        tally.tap('build', builds)
        if 'not ok' in builds:
            print(builds)
    jobs = []
    if not named or 'user' in named:
        jobs.append((in_user_space, tally))
    jobs += [(suite.run, Result(tally, 'tools')) for suite in tools]
    # What it does the end-to-end tests do, too, but they take more than one kernel.
    if 'run' in named:
        jobs.append((main_job, tally))
    kunit = not named or 'kunit' in named
    if kunit or selftests or 'kselftest' in named:
        build_selftests(options.kernel)
        programs = [name for name in sorted(os.listdir(SELFTESTS))
                    if not named or 'kselftest' in named or name in selftests]
        unknown = selftests - set(programs)
        if unknown:
            parser.error(f'{", ".join(unknown)}: no such selftest')
        programs = deque([name for name in LONGEST if name in programs] +
                         [name for name in programs if name not in LONGEST])
        jobs.append((in_guest, tally, options.kernel, 'selftests', programs, kunit))
        if len(programs) > 1:
            jobs.append((in_guest, tally, options.kernel, 'more-selftests', programs))
    jobs += [(end_to_end, test, tally) for test in e2e_tests]
    run_all(jobs)

    return tally.finish()


if __name__ == '__main__':
    sys.exit(main())
