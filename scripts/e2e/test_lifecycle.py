# SPDX-License-Identifier: GPL-2.0
"""The device goes, sleeps, begins anew, or is another host's in the middle of a move.

ROUNDS says how often.
"""

import base64
import os
import random
import subprocess
import tempfile
import time
import unittest

from common import BUILD, MIB, PAGE, GuestTest, Pattern
from guest import initramfs_of, kernel_of

DRIVER = '/sys/bus/virtio/drivers/virtio_balloon'
MOST = 320 * MIB
# Nothing may hang so long, on a machine that has nothing else to do.
HANG = 5
# Longer than that on one that has.
PATIENCE = 60


class Middle(GuestTest):
    flavour = 'release'

    def setUp(self):
        self.rng = random.Random(17)

    def rounds(self, few):
        return int(os.environ.get('ROUNDS', few))

    def start_guest(self, **options):
        return self.boot(nodes=[512] * 2, **options)

    def folder(self):
        return self.enterContext(tempfile.TemporaryDirectory(dir=BUILD))

    def begin(self, guest):
        """A move that will not be over at once; returns what the host wants from now on."""
        target = self.rng.choice([0, self.rng.randrange(MOST // 2, MOST, PAGE)])
        guest.set_balloon(self.rng.randrange(MOST // 2, MOST, PAGE) if target == 0 else 0)
        time.sleep(self.rng.random())
        guest.set_balloon(target)
        time.sleep(self.rng.random() / 10)
        return target

    def quickly(self, what, action):
        began = time.monotonic()
        result = action()
        took = time.monotonic() - began
        if took > HANG:
            print(f'# {self.id()}: {what} took {took:.1f} s', flush=True)
        self.assertLess(took, PATIENCE, what)
        return result

    def test_unbound_removed_and_asleep(self):
        # Whose power management can be tested.
        guest = self.start_guest(flavour='debug')
        pattern = Pattern(guest, 128, '--interleave')
        device = guest.sh(f'cd {DRIVER}; ls -d virtio*').split()[0]
        guest.write('/sys/module/suspend/parameters/pm_test_delay', 0)
        ways = {
            'unbind': f'echo {device} > {DRIVER}/unbind; echo {device} > {DRIVER}/bind',
            'remove': f'cd -P {DRIVER}/virtio*; cd -P ..; echo 1 > remove; '
                      'echo 1 > /sys/bus/pci/rescan',
            'sleep': 'echo devices > /sys/power/pm_test; echo freeze > /sys/power/state',
        }
        for _ in range(self.rounds(2)):
            for way, command in ways.items():
                with self.subTest(way):
                    target = self.begin(guest)
                    self.quickly(way, lambda: guest.sh(command))
                    self.wait('the target', lambda: guest.actual() == target)
                    self.assert_holds(guest, target)
            pattern.verify()
        self.settle(guest, 0)
        pattern.stop()

    def test_reboots(self):
        """The next kernel's balloon holds nothing at first, and the device knows it."""
        guest = self.start_guest()
        guest.qmp('set-action', reboot='reset')
        for i in range(self.rounds(2)):
            self.settle(guest, 200 * MIB)
            guest.set_balloon(MOST)
            time.sleep(self.rng.random() / 5)
            began = time.monotonic()
            # What the guest does itself, and what is done to it.
            if i % 2:
                guest.qmp('system_reset')
            else:
                guest.agent.send(b'reboot 60 ' + base64.b64encode(b'reboot -f') + b'\n')
            guest.set_balloon(0)
            guest.agent.read_until(rb'\x00agent ready\n', time.monotonic() + 600)
            print(f'# rebooted in {time.monotonic() - began:.0f} s', flush=True)
            self.wait('that nothing is held', lambda: guest.actual() == 0, 60)
            self.assert_holds(guest, 0)
            self.settle(guest, 200 * MIB)
            self.assert_holds(guest, 200 * MIB)
            self.settle(guest, 0)

    def test_unplugged_and_plugged(self):
        guest = self.start_guest(balloon=None, extra=['-device', 'pcie-root-port,id=plug,chassis=1'])
        pattern = Pattern(guest, 128, '--interleave')

        def there():
            return guest.status(f'ls -d {DRIVER}/virtio*')[0] == 0

        def gone():
            guest.qmp('query-status')
            return any(event['event'] == 'DEVICE_DELETED' for event in guest.qmp.events)

        for _ in range(self.rounds(2)):
            guest.qmp('device_add', driver='virtio-balloon-pci', id='balloon', bus='plug')
            self.wait('the device', there)
            self.begin(guest)
            guest.qmp.events.clear()
            guest.qmp('device_del', id='balloon')
            self.quickly('unplug', lambda: self.wait('that it is gone', gone))
            self.assertEqual(guest.read('/sys/kernel/mm/balloon/nr_pages'), '0')
            pattern.verify()
        pattern.stop()

    def test_another_kernel_without_a_reset(self):
        """Nobody but the driver tells the device that this kernel ends."""
        extra = []
        for of in (kernel_of, initramfs_of):
            disk = f'{self.folder()}/{of.__name__}'
            with open(of(self.flavour), 'rb') as source, open(disk, 'wb') as target:
                text = source.read()
                target.write(text + bytes(-len(text) % 512))
            extra += ['-drive', f'file={disk},if=none,id={of.__name__},format=raw,readonly=on',
                      '-device', f'virtio-blk-pci,drive={of.__name__}']
        guest = self.start_guest(extra=extra)
        for _ in range(self.rounds(2)):
            target = self.begin(guest)
            command = 'cat /dev/vda > /tmp/kernel; cat /dev/vdb > /tmp/initrd; ' \
                      'kexec /tmp/kernel /tmp/initrd $(cat /proc/cmdline)'
            began = time.monotonic()
            guest.agent.send(b'kexec 60 ' + base64.b64encode(command.encode()) + b'\n')
            said, match = guest.agent.read_until(rb'\x00agent ready\n|\x00kexec (\d+)\n',
                                                 time.monotonic() + 600)
            self.assertIsNone(match[1], said)
            print(f'# another kernel in {time.monotonic() - began:.0f} s', flush=True)
            self.wait('the target', lambda: guest.actual() == target)
            self.assert_holds(guest, target)
            pattern = Pattern(guest, 128, '--interleave')
            self.settle(guest, 200 * MIB)
            pattern.stop()

    def test_saved_and_loaded(self):
        """What was moved since is undone, on both sides."""
        disk = f'{self.folder()}/disk'
        subprocess.run(['qemu-img', 'create', '-q', '-f', 'qcow2', disk, '1M'], check=True)
        guest = self.start_guest(extra=['-drive', f'file={disk},if=none,id=saved,format=qcow2',
                                        '-device', 'virtio-blk-pci,drive=saved'])
        pattern = Pattern(guest, 128, '--interleave')
        for _ in range(self.rounds(2)):
            target = self.begin(guest)
            guest.qmp('human-monitor-command', timeout=120, command_line='savevm here')
            self.settle(guest, MOST - target)
            pattern.verify()
            said = guest.qmp('human-monitor-command', timeout=120, command_line='loadvm here')
            self.assertEqual(said, '')
            # The guest does not know of what happened to it.
            pattern.said -= 1
            self.wait('the target', lambda: guest.actual() == target)
            self.assert_holds(guest, target)
            pattern.verify()
        self.settle(guest, 0)
        pattern.stop()

    def test_migrated(self):
        """Live, and with the guest stopped, to another QEMU, which has nothing yet."""
        here = self.start_guest()
        pattern = Pattern(here, 128, '--interleave')
        for i in range(self.rounds(2)):
            socket = f'unix:{self.folder()}/socket'
            there = self.start_guest(incoming=socket, name=f'lifecycle.there{i}')
            target = self.begin(here)
            if i % 2:
                here.qmp('stop')
            here.migrate(socket)
            here.stop()
            there.qmp('cont')
            pattern.guest = here = there
            self.wait('the target', lambda: here.actual() == target)
            self.assert_holds(here, target)
            pattern.verify()
        self.settle(here, 0)
        pattern.stop()


if __name__ == '__main__':
    unittest.main()
