# SPDX-License-Identifier: GPL-2.0
"""A guest with a balloon panics, and the kernel that is there for that case looks at what it left."""

import base64
import os
import tempfile
import time
import unittest

from common import BUILD, CORE, MIB, PAGE, PAGES_PER_HUGE, QUIET, GuestTest, pages
from dump import Dump
from guest import initramfs_of, kernel_of
from scenes import Disk, as_disks

DRIVER = '/sys/bus/virtio/drivers/virtio_balloon'
HELD = 450 * MIB + 77 * PAGE    # of 1024 - 160
PANIC = 'sysrq triggered crash'


class Core:
    """A guest's /proc/vmcore, to be read as a file: what is asked for comes over one of its disks."""

    BLOCK = 65536

    def __init__(self, guest, name, disk):
        self.guest, self.name = guest, name
        self.file = open(disk.path, 'rb')
        self.there = set()
        self.at = 0

    def close(self):
        self.file.close()

    def seek(self, at):
        self.at = at

    def read(self, length):
        blocks = range(self.at // self.BLOCK, -(-(self.at + length) // self.BLOCK))
        missing = [block for block in blocks if block not in self.there]
        if missing:
            first, count = missing[0], missing[-1] + 1 - missing[0]
            self.guest.sh(f'dd if=/proc/vmcore of=/dev/{self.name} bs={self.BLOCK} skip={first} '
                          f'seek={first} count={count} iflag=fullblock conv=notrunc,fsync 2> /dev/null')
            self.there.update(blocks)
        data = os.pread(self.file.fileno(), length, self.at)
        self.at += len(data)
        return data


class Capture(GuestTest):
    flavour = 'release'

    def assert_untroubled(self, guest):
        """But for what it was asked to do."""
        found = [line for line in guest.warnings() if PANIC not in line]
        self.assertEqual(found, [], guest.console_log)

    def load(self, guest):
        """Has a kernel ready for a panic: the same one, with one CPU and no balloon of its own."""
        guest.sh('cat /dev/vda > /tmp/kernel; cat /dev/vdb > /tmp/initrd; '
                 "kexec -p /tmp/kernel /tmp/initrd $(sed 's/crashkernel=[^ ]*//' /proc/cmdline) "
                 'nr_cpus=1 reset_devices && rm /tmp/kernel /tmp/initrd')
        self.assertEqual(guest.read('/sys/kernel/kexec_crash_loaded'), '1')

    def crash(self, guest):
        guest.agent.send(b'crash 60 ' + base64.b64encode(b'echo c > /proc/sysrq-trigger') + b'\n')
        said, match = guest.agent.read_until(rb'\x00agent ready\n|\x00crash (\d+)\n',
                                             time.monotonic() + 300)
        self.assertIsNone(match[1], said)
        self.assertIn(PANIC, guest.console())
        self.assertIn('elfcorehdr=', guest.read('/proc/cmdline'))

    def told(self, guest):
        """How often the device has interrupted the one CPU: here, to tell of another target."""
        device = guest.sh(f'cd {DRIVER}; ls -d virtio*').split()[0]
        return int(guest.sh(f"sed -n 's/^ *[0-9]*: *\\([0-9]*\\) .* {device}\\(-config\\)*$/\\1/p' "
                            '/proc/interrupts'))

    def test_what_is_offline_and_what_is_left_alone(self):
        folder = self.enterContext(tempfile.TemporaryDirectory(dir=BUILD))
        disk = self.enterContext(Disk(1280))
        guest = self.boot(nodes=[512] * 2, append=f'{QUIET} crashkernel=160M', extra=as_disks(
            [kernel_of(self.flavour), initramfs_of(self.flavour)], folder) + disk.args)
        self.load(guest)
        self.settle(guest, HELD)
        self.assert_holds(guest, HELD)
        whole = sum(self.node_files(guest, 'nr_superframes'))
        self.assertGreater(whole * PAGES_PER_HUGE, pages(HELD) // 2)
        self.assertGreater(sum(self.node_files(guest, 'nr_partial')), 0)
        # All that is offline is the balloon's.
        there = dict(line.split() for line in guest.sh(f'frames range 0 {pages(guest.bytes())}')
                     .splitlines())
        self.assertEqual(int(there['offline']), pages(HELD))

        began = time.monotonic()
        self.crash(guest)
        print(f'# {whole} superframes of {pages(HELD)} pages; the other kernel after '
              f'{time.monotonic() - began:.0f} s, with {self.meminfo(guest, "MemTotal") // MIB} MiB',
              flush=True)
        # The host wants as much as before, and then a bit more, of which the driver is told.
        told = self.told(guest)
        guest.set_balloon(HELD + 8 * MIB)
        self.wait('that it is told', lambda: self.told(guest) > told)
        time.sleep(2)
        self.assertEqual((guest.actual(), guest.read(f'{CORE}/nr_pages')), (0, '0'))
        self.assert_consistent(guest)

        began = time.monotonic()
        with Dump(Core(guest, 'vdc', disk)) as dump:
            self.assertEqual(dump.offline_pages(), pages(HELD))
            print(f'# {len(dump.loads)} parts; looked at in {time.monotonic() - began:.0f} s',
                  flush=True)


if __name__ == '__main__':
    unittest.main()
