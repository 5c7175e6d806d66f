# SPDX-License-Identifier: GPL-2.0
"""Targets that are there before the guest is, and memory that comes beside the balloon."""

import tempfile
import time
import unittest

from common import BUILD, MIB, QUIET, GuestTest, Pattern
from guest import initramfs_of
from scenes import bigger_initramfs, reset, zones


class Boot(GuestTest):
    flavour = 'release'

    def test_a_target_that_is_pending(self):
        """The initramfs is unpacked first, however little is to be left; so it is after a reset."""
        with tempfile.NamedTemporaryFile(dir=BUILD) as file:
            bigger_initramfs(initramfs_of(self.flavour), 48, file.name)
            for nodes, left in ([1024], 160), ([256] * 4, 192):
                with self.subTest(nodes=nodes, left=left):
                    size = (sum(nodes) - left) * MIB
                    guest = self.boot(nodes=nodes, pending=size, initramfs=file.name,
                                      name=f'pending-{len(nodes)}')
                    self.assert_met(guest, size)
                    if len(nodes) == 1:
                        reset(guest)
                        self.assert_met(guest, size)
                    self.assertEqual(guest.sh('stat -c %s /ballast').strip(), str(48 * MIB))
                    guest.stop()

    def assert_met(self, guest, size):
        self.wait(f'{size // MIB} MiB', lambda: guest.actual() == size)
        self.assertEqual(self.vmstat(guest, 'oom_kill'), 0)
        self.assert_holds(guest, size)
        self.settle(guest, 0)
        self.assert_holds(guest, 0)
        guest.set_balloon(size)


class VirtioMem(GuestTest):
    """Memory that another driver plugs and unplugs, in pieces of blocks."""

    # KASAN would need an eighth of what is plugged, from a guest that has none left.
    flavour = 'release'

    def test_beside_the_balloon(self):
        pool = 512
        guest = self.boot(nodes=[512, 0], cpus=[[0, 1], []],
                          append=f'{QUIET} memhp_default_state=online',
                          extra=['-m', f'512M,maxmem={512 + 2 * pool}M', '-object',
                                 f'memory-backend-memfd,share=on,id=pool,size={pool}M', '-device',
                                 'virtio-mem-pci,id=vm,memdev=pool,node=1,requested-size=0'])
        # Nothing was ever ballooned here.
        self.assert_consistent(guest)
        # A node comes while the host wants what nobody has.
        guest.set_balloon(384 * MIB)
        self.plug(guest, 320)
        self.wait('384 MiB', lambda: guest.actual() == 384 * MIB)
        self.assert_consistent(guest)
        for size in 322, 200, 64, 130, 320:
            self.plug(guest, size, wait=False)
            time.sleep(1.5)
            self.assert_consistent(guest)
        self.settle(guest, 0)
        self.assert_consistent(guest)
        self.plug(guest, 200)
        self.assert_consistent(guest)
        # It has watermarks of its own, and its memory works.
        self.wait('watermarks', lambda: all(
            figures['high'] > 0 for (node, _), figures in zones(guest).items() if node == 1))
        Pattern(guest, 64, '--node 1').stop()
        self.settle(guest, 128 * MIB)
        self.settle(guest, 0)
        self.assert_consistent(guest)

    def plug(self, guest, mib, wait=True):
        """Has as much of the device's memory plugged."""
        guest.qmp('qom-set', path='vm', property='requested-size', value=mib * MIB)
        if wait:
            self.wait(f'{mib} MiB of virtio-mem', lambda: guest.qmp(
                'qom-get', path='vm', property='size') == mib * MIB)


if __name__ == '__main__':
    unittest.main()
