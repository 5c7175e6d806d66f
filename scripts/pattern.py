# SPDX-License-Identifier: GPL-2.0
"""Drives the guest's pattern program (scripts/guest/pattern.c): data that must not change."""

import itertools

from guest import GuestError

numbers = itertools.count(1)


class Pattern:
    """A running pattern program: MIB of memory, and options such as '--interleave'."""

    def __init__(self, guest, mib, *options, timeout=600):
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
        return self._lines(self.said + 1, f'kill -{signal} {self.pid};')

    def _lines(self, count, first=''):
        """Waits until the program has said so many lines; returns the last one's figure."""
        self.said = count
        # A guest that is short of memory may fail to run even 'wc': that is no answer.
        lines = self.guest.sh(f'{first} while kill -0 {self.pid} 2>/dev/null; do'
                              f'  n=$(wc -l < {self.log});'
                              f'  [ "${{n:-0}}" -ge {count} ] && break; sleep 0.1; done;'
                              f' cat {self.log}', self.timeout).splitlines()
        words = lines[count - 1].split() if len(lines) >= count else []
        if len(words) != 3 or words[1] not in ('filled', 'ok'):
            raise GuestError('\n'.join(lines) or 'the pattern program ended without a word')
        return int(words[2])
