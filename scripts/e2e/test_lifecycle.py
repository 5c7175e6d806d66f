# SPDX-License-Identifier: GPL-2.0
"""The device goes, sleeps, or begins anew in the middle of a move; ROUNDS says how often."""

import base64
import os
import random
import time
import unittest

from common import MIB, PAGE, GuestTest, Pattern

DRIVER = '/sys/bus/virtio/drivers/virtio_balloon'
MOST = 320 * MIB
# Nothing may hang so long, on a machine that has nothing else to do.
HANG = 5
# Longer than that on one that has.
PATIENCE = 60


class Middle(GuestTest):
    flavour = 'release'

    def rounds(self, few):
        return int(os.environ.get('ROUNDS', few))

    def start_guest(self, **options):
        self.rng = random.Random(17)
        return self.boot(nodes=[512] * 2, **options)

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


if __name__ == '__main__':
    unittest.main()
