#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Runs what the Makefile has built, as many programs at a time as there are CPUs.

Ends with 'N passed, N failed, N skipped'. Three seeds of the day, unless SEED= is set.
"""

import argparse
import datetime
import os
import re
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

FLOORS = ('node', 'block', 'take', 'superframe', 'coalesce', 'lost', 'ring', 'policy', 'plan')
COVERED = 90
# Operations of an episode: a step is of the same one as long as this stays.
LENGTH = '3000'
# What a lying or refusing host has the kernel say, over and over.
CHATTER = r'host claims to have|extents (taken|given back|exchanged): error|host kept?s? \d+ pages'
LOCK = threading.Lock()
COUNT = {'passed': 0, 'failed': 0, 'skipped': 0}


def add(name, verdict, text=''):
    mark = {'passed': 'ok', 'failed': 'FAIL', 'skipped': 'skip'}[verdict]
    with LOCK:
        COUNT[verdict] += 1
        print(f'{mark:4}  {name}', flush=True)
        for line in text.splitlines():
            print(f'      {line}', flush=True)


def run(name, command, **env):
    began = time.monotonic()
    done = subprocess.run(command, env={**os.environ, **{k: str(v) for k, v in env.items()}},
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors='replace')
    said = done.stdout.splitlines()
    # A report of its own, a line a test.
    oks = [re.match(r'(not )?ok \d+ (.*)', line) for line in said]
    for ok in filter(None, oks):
        add(f'{name}: {ok[2]}', 'failed' if ok[1] else 'passed')
    rest = [line for line, ok in zip(said, oks) if not ok and not re.search(CHATTER, line)]
    if done.returncode or not any(oks):
        add(f'{name} ({time.monotonic() - began:.0f} s)',
            'failed' if done.returncode else 'passed',
            '\n'.join(rest[-60:] if done.returncode else rest))
    else:
        with LOCK:
            print('\n'.join('      ' + line for line in rest), flush=True)
    return done.returncode


def coverage(out, core):
    """Lines of floors 1 and 2 that were run, as gcov counts them."""
    counts = {}
    for name in FLOORS:
        data = os.path.join(out, 'cov', 'core', f'{name}.gcda')
        if not os.path.exists(data):
            continue
        said = subprocess.run(['gcov', '-n', data], cwd=os.path.join(out, 'cov'), text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
        match = re.search(rf"File '[^']*/{name}\.c'\nLines executed:([\d.]+)% of (\d+)", said)
        if match:
            counts[name] = (float(match[1]), int(match[2]))
    if len(counts) < len(FLOORS):
        add('coverage', 'failed', f'only of {", ".join(counts)}')
        return
    lines = sum(n for _, n in counts.values())
    share = sum(p * n for p, n in counts.values()) / lines
    add(f'coverage of floors 1 and 2: {share:.1f} % of {lines} lines, at least {COVERED} % are due',
        'passed' if share >= COVERED else 'failed',
        ', '.join(f'{name} {p:.0f} %' for name, (p, _) in counts.items()))


def tests(options):
    out = options.out
    today = int(datetime.date.today().strftime('%Y%m%d'))
    first = int(os.environ['SEED']) if 'SEED' in os.environ else today * 10
    seeds = [first + i for i in range(3)]
    print(f'seeds {" ".join(map(str, seeds))}', flush=True)
    for directory, _, files in os.walk(os.path.join(out, 'cov')):
        for file in files:
            if file.endswith('.gcda'):
                os.unlink(os.path.join(directory, file))
    # Most have 8 base pages a superframe, some 32.
    small, large = options.ops * 19 // 20 // 6 + 1, options.ops // 20 // 3 + 1
    jobs = []
    for i, seed in enumerate(seeds):
        for half in range(2):
            jobs.append((f'random operations, seed {seed + half * 1000}',
                         [f'{out}/san/random_test', str(small), LENGTH], {'SEED': seed + half * 1000}))
        jobs.append((f'random operations, 32 pages a superframe, seed {seed}',
                     [f'{out}/san16/random_test', str(large), LENGTH], {'SEED': seed}))
    for flavour, what in ('large', 'free pages of 8M'), ('halves', 'pageblocks of 1M'):
        jobs.append((f'random operations, {what}, seed {first}',
                     [f'{out}/{flavour}/random_test', str(small // 8), LENGTH], {'SEED': first}))
    jobs += [
        ('plan, 2 pages a superframe', [f'{out}/san20/plan_test'], {'SEED': first}),
        ('plan, 512 pages a superframe', [f'{out}/san12/plan_test'], {'SEED': first}),
        ('plan, the largest machine', [f'{out}/fast12/plan_test', 'speed'], {}),
        ('coverage run', [f'{out}/cov/random_test', '90000', LENGTH], {'SEED': first}),
        ('coverage run of the plan', [f'{out}/cov/plan_test'], {'SEED': first, 'PLANS': 8000}),
    ]
    jobs.sort(key=lambda job: 'coverage' not in job[0])
    with ThreadPoolExecutor(int(os.environ.get('JOBS', 0)) or os.cpu_count()) as pool:
        for job in [pool.submit(run, name, command, **env) for name, command, env in jobs]:
            job.result()
    coverage(out, options.core)


def repeat(options):
    """One step of one seed, with all that went before it."""
    for flavour in 'san', 'san16', 'large', 'halves':
        done = subprocess.run([f'{options.out}/{flavour}/random_test', '1', LENGTH],
                              env={**os.environ, 'VERBOSE': '1'}, text=True, errors='replace',
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        add(f'{flavour}: step {os.environ["STEP"]}', 'failed' if done.returncode else 'passed',
            '\n'.join(done.stdout.splitlines()[-80:]))


def fuzz(options):
    for name, length in (('fuzz_ops', 1600), ('fuzz_text', 256)):
        corpus = os.path.join(options.out, 'corpus', name)
        os.makedirs(corpus, exist_ok=True)
        seconds = int(float(options.fuzz) * 60 * (0.9 if name == 'fuzz_ops' else 0.1)) + 1
        jobs = os.cpu_count() if name == 'fuzz_ops' else 1
        command = [os.path.join(options.out, 'fuzz', name), f'-max_total_time={seconds}',
                   f'-max_len={length}', '-timeout=20', '-print_final_stats=1',
                   f'-artifact_prefix={options.out}/fuzz/{name}-', corpus]
        began = time.monotonic()
        children = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                     text=True, errors='replace') for _ in range(jobs)]
        texts = [child.communicate()[1] for child in children]
        runs = sum(int(match[1]) for text in texts
                   for match in [re.search(r'number_of_executed_units: (\d+)', text)] if match)
        bad = [text for child, text in zip(children, texts) if child.returncode]
        add(f'{name}: {runs} inputs in {time.monotonic() - began:.0f} s',
            'failed' if bad else 'passed', '\n'.join(bad[0].splitlines()[-40:]) if bad else '')


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--out', required=True)
    parser.add_argument('--core')
    parser.add_argument('--ops', type=int, default=2100000)
    parser.add_argument('--fuzz', metavar='MINUTES')
    options = parser.parse_args()
    if options.fuzz:
        fuzz(options)
    elif os.environ.get('STEP'):
        repeat(options)
    else:
        tests(options)
    print('{passed} passed, {failed} failed, {skipped} skipped'.format(**COUNT))
    return 1 if COUNT['failed'] or not COUNT['passed'] else 0


if __name__ == '__main__':
    sys.exit(main())
