#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The kernel's own tools/testing/selftests/mm, on the unpatched kernel and on ours.

Ours has a balloon that holds half of the guest, inflated, with refill in mode exchange. What passes
on the unpatched kernel has to pass. The kernel in use is the release configuration: tests of what
it leaves out are skipped by themselves, on both.
"""

import argparse
import os
import shutil
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(TOP, 'scripts'))

from guest import BUILD, MIB, Guest, GuestError, initramfs_of  # noqa: E402

SELFTESTS = 'tools/testing/selftests'
OUT = os.path.join(BUILD, 'mm-selftests')
# They want arguments, a module, or a machine that may break.
NOT_ALONE = {'hmm-tests', 'write_to_hugetlbfs', 'ksm_tests', 'uffd-stress', 'hugetlb-read-hwpoison',
             'hugetlb-soft-offline', 'gup_test', 'hugepage-vmemmap', 'thuge-gen'}
KERNELS = {'unpatched': {'flavour': 'vanilla', 'balloon': {}},
           'patched': {'flavour': 'release', 'balloon': {'free-page-reporting': True}}}
VERDICTS = {0: 'pass', 4: 'skip', 124: 'timeout', 137: 'timeout', 143: 'timeout'}


def build():
    """In a tree of their own: the build leaves files beside the sources."""
    if os.path.exists(os.path.join(OUT, '.done')):
        return
    shutil.rmtree(OUT, ignore_errors=True)
    os.makedirs(OUT)
    source = os.path.join(OUT, 'linux')
    for path in ('tools', 'scripts', 'include', 'arch/x86', 'mm/gup_test.h', 'lib/test_hmm_uapi.h'):
        target = os.path.join(source, path)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        subprocess.run(['cp', '-a', os.path.join(BUILD, 'vanilla/linux', path), target], check=True)
    for path in ('Makefile', 'Kbuild'):
        shutil.copy2(os.path.join(BUILD, 'vanilla/linux', path), source)
    print("building the kernel's tests of mm", flush=True)
    os.makedirs(os.path.join(OUT, 'bin'))
    # Not all of them build, as shipped.
    with open(os.path.join(BUILD, 'logs/mm-selftests.log'), 'w') as log:
        subprocess.run(['make', '-k', f'-j{os.cpu_count()}', '-C', os.path.join(source, SELFTESTS, 'mm'),
                        f'OUTPUT={OUT}/bin', 'LDFLAGS=-static'], stdout=log,
                       stderr=subprocess.STDOUT, check=False)
    open(os.path.join(OUT, '.done'), 'w').close()


def programs():
    folder = os.path.join(OUT, 'bin')
    return sorted(name for name in os.listdir(folder)
                  if os.access(os.path.join(folder, name), os.X_OK) and
                  os.path.isfile(os.path.join(folder, name)) and name not in NOT_ALONE)


def pack(flavour, names):
    """The flavour's initramfs, and another after it with the tests."""
    subprocess.run([os.path.join(TOP, 'scripts/initramfs.sh'), flavour], check=True)
    packed = os.path.join(OUT, f'{flavour}.cpio.gz')
    with open(packed, 'wb') as out:
        with open(initramfs_of(flavour), 'rb') as first:
            shutil.copyfileobj(first, out)
        out.flush()
        files = '\n'.join(['mm'] + [f'mm/{name}' for name in names])
        link = os.path.join(OUT, 'mm')
        shutil.rmtree(link, ignore_errors=True)
        os.makedirs(link)
        for name in names:
            shutil.copy2(os.path.join(OUT, 'bin', name), link)
        subprocess.run(f'cd {OUT} && cpio --quiet -o -H newc -R 0:0 | gzip -1', shell=True,
                       input=files.encode(), stdout=out, check=True)
    return packed


def run(kernel, names, seconds):
    options = KERNELS[kernel]
    verdicts = {}
    left = list(names)
    while left:
        # A test that takes the guest down takes down no other.
        with Guest(nodes=[1024] * 2, name=f'mm-selftests-{kernel}',
                   initramfs=pack(options['flavour'], names), **options) as guest:
            guest.sh('echo 64 > /proc/sys/vm/nr_hugepages')
            if kernel == 'patched':
                guest.write('/sys/kernel/mm/balloon/refill', 'exchange')
                guest.settle(1024 * MIB)
            while left:
                name = left.pop(0)
                try:
                    status, _ = guest.status(f'cd /tmp && timeout {seconds} /mm/{name}', seconds + 60)
                except GuestError:
                    verdicts[name] = 'guest lost'
                    break
                verdicts[name] = VERDICTS.get(status, f'fail ({status})')
                print(f'# {kernel}: {name}: {verdicts[name]}', flush=True)
            trouble = guest.warnings()
            for line in trouble:
                print(f'# {kernel}: {line}', flush=True)
    return verdicts


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--seconds', type=int, default=60, help='for each test (default 60)')
    parser.add_argument('tests', nargs='*', help='by default all that were built')
    options = parser.parse_args()
    build()
    names = options.tests or programs()
    unpatched, patched = (run(kernel, names, options.seconds) for kernel in KERNELS)
    bad = []
    print(f'{"":28}{"unpatched":14}patched')
    for name in names:
        print(f'{name:28}{unpatched[name]:14}{patched[name]}')
        if unpatched[name] == 'pass' and patched[name] != 'pass':
            bad.append(name)
    passing = sum(verdict == 'pass' for verdict in unpatched.values())
    print(f'{passing} of {len(names)} pass unpatched, {len(bad)} of these not patched: '
          f'{" ".join(bad) or "none"}')
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main())
