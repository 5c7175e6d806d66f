# SPDX-License-Identifier: GPL-2.0
"""Suspend to disk while the host wants most of memory."""

import base64
import time
import unittest

from common import CORE, MIB, QUIET, GuestTest, Pattern
from scenes import Disk, swap_on

WANTED = 700 * MIB      # of 1024
ID = 's4'


class Hibernation(GuestTest):
    def test_written_and_resumed(self):
        """The balloon stands back from the image, and from its loading."""
        with Disk(1024) as disk:
            # A debug kernel compresses more slowly than it writes.
            options = {'nodes': [512] * 2, 'extra': disk.args,
                       'append': f'{QUIET} hibernate=nocompress'}
            guest = self.boot(name='hibernate', **options)
            swap_on(guest)
            pattern = Pattern(guest, 32, '--interleave')
            guest.set_balloon(WANTED)
            self.wait('much of it', lambda: guest.actual() > WANTED // 2)
            guest.sh('touch /tmp/it-is-me; echo shutdown > /sys/power/disk')
            self.tell(guest, 'echo disk > /sys/power/state')
            self.wait('the image', lambda: not guest.running(), 900)

            # The same machine again, and the same wish of the host's.
            again = self.boot(name='resume', pending=WANTED, **options)
            self.wait('much of it', lambda: again.actual() > WANTED // 2)
            self.assertEqual(again.status('test -e /tmp/it-is-me')[0], 1)
            # It answers with what the other was last told.
            again.agent.send(b'resume 900 ' + base64.b64encode(b'echo /dev/vda > /sys/power/resume')
                             + b'\n')
            answer, status = again.agent.read_until(rb'\x00%s (\d+)\n' % ID.encode(),
                                                    time.monotonic() + 900)
            self.assertEqual(int(status[1]), 0, answer)
            again.sh('rm /tmp/it-is-me')
            # The balloon is at it again, and nothing was lost.
            self.wait('much of it', lambda: again.actual() > WANTED // 2)
            self.assert_consistent(again)
            self.assertFalse(again.read(f'{CORE}/state').startswith('waiting: held'))
            pattern.guest = again
            pattern.verify()
            self.settle(again, 0)
            self.assert_holds(again, 0)
            pattern.stop()

    def tell(self, guest, command):
        """Has the agent begin with a command whose answer another guest will have."""
        guest.agent.send(f'{ID} 900 '.encode() + base64.b64encode(command.encode()) + b'\n')


if __name__ == '__main__':
    unittest.main()
