#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Tries the packages of build/deb: installs them into a small Debian, boots that under QEMU with
the packages' own kernel and modules, and balloons it. Needs root, for debootstrap and chroot.

The root folder is made once, of the host's own release or that of --suite, and from where the
host's apt gets its own.
"""

import argparse
import glob
import json
import os
import re
import shutil
import subprocess
import sys

from guest import BUILD, MIB, TOP, Guest, GuestError, put_agent

PACKAGES = os.path.join(BUILD, 'deb')
WORK = os.path.join(BUILD, 'deb.test')
ROOT = os.path.join(WORK, 'root')
DISK = os.path.join(WORK, 'disk.img')
NODES = [512] * 4
SELFTESTS = '/usr/lib/balloon-numa-tools/selftests'
MODULE = '''
#include <linux/balloon_numa.h>
#include <linux/module.h>

static int __init trial_init(void)
{
	pr_info("trial: %zu bytes\\n", sizeof(struct balloon));
	return 0;
}

static void __exit trial_exit(void)
{
}

module_init(trial_init);
module_exit(trial_exit);
MODULE_DESCRIPTION("built against the package of headers");
MODULE_LICENSE("GPL");
'''


class TrialError(Exception):
    """The trial cannot be made."""


class Checks:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0

    def __call__(self, what, good, detail=''):
        if good:
            self.passed += 1
        else:
            self.failed += 1
        print(f'{"ok" if good else "FAIL":4}  {what}' + (f': {detail}' if detail else ''),
              flush=True)

    def skip(self, what, why):
        self.skipped += 1
        print(f'skip  {what}: {why}', flush=True)

    def finish(self):
        print(f'{self.passed} passed, {self.failed} failed, {self.skipped} skipped')
        return 1 if self.failed or not self.passed else 0


def run(log, *command, **how):
    """Runs a command; all that it says goes to build/logs/LOG."""
    path = os.path.join(BUILD, 'logs', log)
    with open(path, 'w') as file:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=file,
                              stderr=subprocess.STDOUT, **how)
    if done.returncode:
        with open(path, errors='replace') as file:
            tail = ''.join(file.readlines()[-15:])
        raise TrialError(f'{command[0]} ended with status {done.returncode} '
                         f'({os.path.relpath(path, TOP)}):\n{tail}')


def package(name):
    found = glob.glob(os.path.join(PACKAGES, f'{name}_*.deb'))
    if len(found) != 1:
        raise TrialError(f"{len(found)} packages {name} in build/deb: run 'make deb'")
    return found[0]


def release():
    """The code name of this Debian, and where its apt gets it from."""
    with open('/etc/os-release') as file:
        name = re.search(r'^VERSION_CODENAME=(\S+)$', file.read(), re.M)
    if not name:
        raise TrialError('/etc/os-release names no release of Debian')
    sites = subprocess.run(
        ['apt-get', 'indextargets', '--format', '$(SITE)', 'Created-By: Packages',
         'Component: main', f'Codename: {name[1]}'], text=True, capture_output=True).stdout
    if not sites:
        raise TrialError(f'apt has no source for main of {name[1]}')
    return name[1], sites.splitlines()[0]


def in_root(log, command):
    """Runs a shell command in the new root; /proc is mounted for no one else to see."""
    run(log, 'unshare', '--mount', '--pid', '--fork', '--kill-child', 'chroot', ROOT, 'sh', '-ec',
        f'mount -t proc proc /proc; {command}',
        env={'PATH': '/usr/sbin:/usr/bin:/sbin:/bin', 'DEBIAN_FRONTEND': 'noninteractive',
             'LC_ALL': 'C.UTF-8'})


def make_root(suite):
    """A copy of the small Debian, which is made the first time."""
    codename, site = release()
    codename = suite or codename
    base = os.path.join(WORK, f'base-{codename}')
    if not os.path.exists(base):
        print(f'making a root of {codename}; log: build/logs/debootstrap.log', flush=True)
        shutil.rmtree(base + '.new', ignore_errors=True)
        run('debootstrap.log', 'debootstrap', '--variant=minbase',
            '--include=numactl,initramfs-tools,kmod', codename, base + '.new', site)
        os.rename(base + '.new', base)
    shutil.rmtree(ROOT, ignore_errors=True)
    run('deb-root.log', 'cp', '-a', base, ROOT)


def make_module(version):
    """Builds a module against the headers that are installed there, and puts it there."""
    folder = os.path.join(WORK, 'module')
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    with open(os.path.join(folder, 'trial.c'), 'w') as file:
        file.write(MODULE)
    with open(os.path.join(folder, 'Makefile'), 'w') as file:
        file.write('obj-m := trial.o\n')
    run('deb-module.log', 'make', '-C', f'{ROOT}/usr/src/linux-headers-{version}', f'M={folder}',
        'modules')
    shutil.copy(os.path.join(folder, 'trial.ko'), ROOT)


def make_disk():
    put_agent(ROOT)
    shutil.copy(os.path.join(TOP, 'scripts', 'guest', 'init-debian'), ROOT)
    if os.path.exists(DISK):
        os.remove(DISK)
    with open(DISK, 'w') as file:
        file.truncate(4096 * MIB)
    run('deb-disk.log', 'mkfs.ext4', '-q', '-F', '-d', ROOT, DISK)


def numastat_row(text, name):
    """A row of 'numastat -m', in MiB: for each node, then the total."""
    row = re.search(rf'^{name} +([\d. ]+)$', text, re.M)
    return [float(word) for word in row[1].split()] if row else []


def near(one, other):
    """numastat has two digits behind the point, and differences of them are wanted."""
    return abs(one - other) < 0.03


def ballooned(guest, check, mib, empty=None):
    """What all the witnesses say when the host wants MIB; returns what numastat says. EMPTY is
    what it said before."""
    seconds = guest.settle(mib * MIB, timeout=300)
    check(f'the host has {mib} MiB', True, f'{seconds:.1f} s')
    nodes = [int(word) / 1024 for word in re.findall(
        r'Balloon: +(\d+) kB', guest.sh('cat /sys/devices/system/node/node*/meminfo'))]
    check("the nodes' meminfo adds up", len(nodes) == len(NODES) and sum(nodes) == mib,
          ' + '.join(f'{value:g}' for value in nodes))
    # Else it folds the table at 80 columns.
    table = guest.sh('NUMASTAT_WIDTH=200 numastat -m 2>&1')
    row = numastat_row(table, 'Balloon')
    if row or 'Token Balloon not in hash table' not in table:
        check("'numastat -m' has a row of the balloon, and its nodes add up",
              len(row) == len(NODES) + 1 and all(map(near, row, nodes + [mib])), table)
    else:
        # It has a list of names, and leaves out all others.
        check.skip("'numastat -m' has a row of the balloon", 'this numastat does not know the name')
    if empty:
        before, now = (numastat_row(text, 'MemTotal') for text in (empty, table))
        gone = [one - other for one, other in zip(before, now)]
        check("'numastat -m' shows the nodes smaller by that",
              len(gone) == len(NODES) + 1 and all(map(near, gone, nodes + [mib])),
              ' + '.join(f'{value:.2f}' for value in gone[:-1]) + f' = {gone[-1]:.2f}')
        check('every node gave its share', min(nodes) > mib / len(NODES) / 2)
    tool = [node['Balloon'] / MIB for node in json.loads(guest.sh('balloonstat --json'))['nodes']]
    check('balloonstat says the same as the nodes', tool == nodes)
    return table


def trial(guest, check, version):
    check('the kernel is that of the package', guest.sh('uname -r').strip() == version, version)
    check('its root is the disk', '/dev/vda / ext4' in guest.read('/proc/mounts'))
    check('the balloon is a module of the package',
          re.search(r'^virtio_balloon ', guest.read('/proc/modules'), re.M) and
          guest.sh('modinfo -n virtio_balloon').startswith(f'/lib/modules/{version}/'),
          guest.sh('modinfo -n virtio_balloon').strip())
    empty = ballooned(guest, check, 0)
    ballooned(guest, check, 768, empty)
    print(guest.sh('balloonstat'), end='')
    guest.sh('balloonstat --target 1=256M')
    check('balloonstat sets a target',
          guest.read('/sys/devices/system/node/node1/balloon/target') == str(256 * MIB // 4096))
    ballooned(guest, check, 0)
    guest.sh('insmod /trial.ko')
    check('a module built against the headers loads', 'trial: ' in guest.console())
    tests = guest.sh(f'ls {SELFTESTS}/balloon_*').split()
    skipped = [test for test in tests if '# SKIP' in guest.status(test, timeout=120)[1]]
    check('selftests skip on a kernel without a simulated host',
          tests and skipped == tests, f'{len(skipped)} of {len(tests)}')
    warnings = guest.warnings()
    check('the kernel has nothing to complain about', not warnings, '\n'.join(warnings))


def suite_name(text):
    """An option's value: it becomes part of a path."""
    if not re.fullmatch('[a-z]+', text):
        raise argparse.ArgumentTypeError(f"{text}: a release's code name, such as trixie")
    return text


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('--suite', type=suite_name,
                        help="code name of another release of Debian than this host's")
    options = parser.parse_args()
    if os.geteuid():
        raise TrialError('only root can make a root folder and change into it')
    os.makedirs(WORK, exist_ok=True)
    os.makedirs(os.path.join(BUILD, 'logs'), exist_ok=True)
    check = Checks()
    image = package('linux-image-[0-9]*-balloon-numa')
    debs = [image, package('linux-headers-[0-9]*-balloon-numa'), package('balloon-numa-tools')]
    version = os.path.basename(image).split('_')[0][len('linux-image-'):]
    make_root(options.suite)
    for deb in debs:
        shutil.copy(deb, os.path.join(ROOT, 'var/tmp'))
    # udev finds them, but not in a kernel whose configuration (CONFIG=) has nothing for udev.
    with open(f'{ROOT}/etc/initramfs-tools/modules', 'a') as file:
        file.write('virtio_blk\next4\n')
    in_root('deb-install.log', 'dpkg -i /var/tmp/*.deb')
    initrd = f'{ROOT}/boot/initrd.img-{version}'
    check('the packages install, and an initrd is made', os.path.exists(initrd))
    make_module(version)
    make_disk()
    with Guest(name='deb', nodes=NODES, kernel=f'{ROOT}/boot/vmlinuz-{version}', initramfs=initrd,
               append='root=/dev/vda rw init=/init-debian',
               extra=['-drive', f'file={DISK},if=none,id=root,format=raw,snapshot=on',
                      '-device', 'virtio-blk-pci,drive=root'], boot_timeout=600) as guest:
        trial(guest, check, version)
    names = [os.path.basename(deb).split('_')[0] for deb in debs]
    in_root('deb-remove.log', f'dpkg -P {" ".join(names)}')
    check('removed, they leave no kernel behind', not glob.glob(f'{ROOT}/boot/*-{version}') and
          not os.path.exists(f'{ROOT}/lib/modules/{version}'))
    return check.finish()


def end_with(main):
    """Runs MAIN and ends with its status, or with a line on why it could not go on."""
    try:
        sys.exit(main())
    except (TrialError, GuestError) as error:
        sys.exit(f'{os.path.basename(sys.argv[0])}: {error}')


if __name__ == '__main__':
    end_with(main)
