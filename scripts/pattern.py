# SPDX-License-Identifier: GPL-2.0
"""Drives the guest's pattern program (scripts/guest/pattern.c): data that must not change."""

import itertools

from guest import GuestError

numbers = itertools.count(1)


class Pattern:
    """A running pattern program: MIB of memory, and options such as '--interleave'."""

    def __init__(self, guest, mib, *options, timeout=120):
        self.guest = guest
        self.timeout = timeout
        self.log = f'/tmp/pattern{next(numbers)}'
        command = ' '.join(['pattern', str(mib), *options])
        # Its last words are how it ended.
        self.pid = int(guest.sh(f'({command} & echo $! > {self.log}.pid; wait $!; echo "ended $?")'
                                f' > {self.log} 2>&1 & while [ ! -s {self.log}.pid ]; do'
                                f'  sleep 0.1; done; cat {self.log}.pid'))
        self._lines(1)

    def verify(self):
        """Has every byte looked at; returns how many there were."""
        return self._tell('USR1')

    def stop(self):
        """Verifies for the last time and ends the program; returns how many bytes there were."""
        return self._tell('TERM')

    def _tell(self, signal):
        count = int(self.guest.sh(f'wc -l < {self.log}'))
        self.guest.sh(f'kill -{signal} {self.pid}')
        return self._lines(count + 1)

    def _lines(self, count):
        """Waits until the program has said so many lines; returns the last one's figure."""
        # A guest that is short of memory may fail to run even 'wc': that is no answer.
        self.guest.sh(f'while kill -0 {self.pid} 2>/dev/null; do n=$(wc -l < {self.log});'
                      f'  [ "${{n:-0}}" -ge {count} ] && break; sleep 0.1; done', self.timeout)
        lines = self.guest.sh(f'cat {self.log}').splitlines()
        words = lines[count - 1].split() if len(lines) >= count else []
        if len(words) != 3 or words[1] not in ('filled', 'ok'):
            raise GuestError('\n'.join(lines) or 'the pattern program ended without a word')
        return int(words[2])
