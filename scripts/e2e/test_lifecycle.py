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

from common import BUILD, CORE, MIB, PAGE, GuestTest, Pattern, pages
from guest import initramfs_of, kernel_of
from scenes import as_disks

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
        guest = self.start_guest(extra=as_disks(
            [kernel_of(self.flavour), initramfs_of(self.flavour)], self.folder()))
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

    def disk(self):
        """What QEMU keeps snapshots in."""
        disk = f'{self.folder()}/disk'
        subprocess.run(['qemu-img', 'create', '-q', '-f', 'qcow2', disk, '1M'], check=True)
        return ['-drive', f'file={disk},if=none,id=saved,format=qcow2',
                '-device', 'virtio-blk-pci,drive=saved']

    def snapshot_of(self, guest, name):
        """Makes one; returns its size in bytes."""
        said = guest.qmp('human-monitor-command', timeout=120, command_line=f'savevm {name}')
        self.assertEqual(said, '')
        disk = next(block['inserted']['image'] for block in guest.qmp('query-block')
                    if block['device'] == 'saved')
        return next(found['vm-state-size'] for found in disk['snapshots'] if found['name'] == name)

    def load(self, guest, name):
        said = guest.qmp('human-monitor-command', timeout=120, command_line=f'loadvm {name}')
        self.assertEqual(said, '')

    def test_saved_and_loaded(self):
        """What was moved since is undone, on both sides."""
        guest = self.start_guest(extra=self.disk())
        pattern = Pattern(guest, 128, '--interleave')
        for _ in range(self.rounds(2)):
            target = self.begin(guest)
            self.snapshot_of(guest, 'here')
            self.settle(guest, MOST - target)
            pattern.verify()
            self.load(guest, 'here')
            # The guest does not know of what happened to it.
            pattern.said -= 1
            self.wait('the target', lambda: guest.actual() == target)
            self.assert_holds(guest, target)
            pattern.verify()
        self.settle(guest, 0)
        pattern.stop()

    def test_a_snapshot_is_as_large_as_what_is_left(self):
        """Whatever was in the rest; and to save it costs the host no memory."""
        guest = self.start_guest(extra=self.disk(), backend='anon')
        Pattern(guest, 780, '--interleave').stop()
        pattern = Pattern(guest, 32, '--interleave')
        found = {}
        for name, target in ('none', 0), ('half', 400 * MIB), ('brim', guest.bytes() - 16 * MIB):
            guest.set_balloon(target)
            self.wait(name, lambda: guest.actual() == target or
                      'guest-memory' in guest.read(f'{CORE}/state'))
            held = guest.actual()
            self.settle(guest, held)
            host = sum(guest.host_bytes(n) for n in range(2))
            size = self.snapshot_of(guest, name)
            grown = sum(guest.host_bytes(n) for n in range(2)) - host
            found[name] = (held, size, self.node_files(guest, 'nr_pages'))
            print(f'# {name}: {held / MIB:.0f} MiB in the balloon, {size / MIB:.0f} MiB saved, the '
                  f'host has {host / MIB:.0f} MiB of the guest', flush=True)
            self.assertLess(grown, 8 * MIB, name)
        whole = found['none'][1]
        self.assertGreater(whole, 780 * MIB)
        self.assertGreater(found['brim'][0], 0.8 * guest.bytes())
        for name in 'half', 'brim':
            held, size, _ = found[name]
            self.assertLess(size, whole * (guest.bytes() - held) / guest.bytes(), name)
        for name in 'half', 'none', 'brim':
            self.load(guest, name)
            held, _, nodes = found[name]
            self.assertEqual((held, nodes), (guest.actual(), self.node_files(guest, 'nr_pages')))
            pattern.verify()
            # The guest's program forgets that it was asked.
            pattern.said = 1
        self.settle(guest, 0)
        self.assert_holds(guest, 0)

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

    def test_migrated_there_and_back(self):
        """All in the middle of one inflation."""
        here = self.start_guest()
        pattern = Pattern(here, 128, '--interleave')
        most = 720 * MIB
        held = 0
        here.set_balloon(most)
        for name in 'there', 'back':
            self.wait(f'some more, {name}', lambda: here.actual() > held)
            here.qmp('stop')
            held = here.actual()
            self.assertLess(held, most, name)
            socket = f'unix:{self.folder()}/socket'
            there = self.start_guest(incoming=socket, name=f'lifecycle.{name}')
            here.migrate(socket)
            here.stop()
            self.assertEqual(there.actual(), held)
            there.qmp('cont')
            pattern.guest = here = there
        self.wait('the target', lambda: here.actual() == most)
        self.assert_holds(here, most)
        pattern.verify()
        # Nothing was done twice, or forgotten.
        came, went = (self.vmstat(here, f'balloon_{what}') for what in ('inflate', 'deflate'))
        self.assertEqual(came - went, pages(most))
        # The device does not take along that somebody polls.
        path = '/machine/peripheral/balloon'
        here.qmp('qom-set', path=path, property='guest-stats-polling-interval', value=1)
        self.wait('statistics', lambda: 0 < here.qmp('qom-get', path=path, property='guest-stats')
                  ['stats']['stat-total-memory'] <= here.bytes() - most)
        self.settle(here, 0)
        self.assert_holds(here, 0)
        pattern.stop()


if __name__ == '__main__':
    unittest.main()
