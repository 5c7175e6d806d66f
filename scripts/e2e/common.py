# SPDX-License-Identifier: GPL-2.0
"""What the end-to-end tests share: a guest, its counters, and the host's figures beside them."""

import os
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from guest import BUILD, HUGE, MIB, PAGE, Guest  # noqa: E402,F401
from pattern import Pattern  # noqa: E402,F401

GIB = 1 << 30
PAGES_PER_HUGE = HUGE // PAGE
NODES = '/sys/devices/system/node'
CORE = '/sys/kernel/mm/balloon'
# The mm's own reporting returns free memory too, and would blur what the balloon returns.
QUIET = 'virtio_balloon.free_page_reporting=0'
REPORTING = {'free-page-reporting': True}


def pages(size):
    return size // PAGE


class GuestTest(unittest.TestCase):
    """A test that boots guests. Each must end without a word of trouble from its kernel."""

    flavour = 'debug'

    def boot(self, **options):
        options.setdefault('flavour', self.flavour)
        options.setdefault('balloon', REPORTING)
        # The unit tests run in a boot of their own.
        options['append'] = options.get('append', QUIET) + ' kunit.enable=0'
        options.setdefault('name', self.id().split('.', 1)[-1])
        guest = self.enterContext(Guest(**options))
        # First of all at the end: while the guest still runs.
        self.addCleanup(self.assert_untroubled, guest)
        return guest

    def assert_untroubled(self, guest):
        self.assertEqual(guest.warnings(), [], guest.console_log)
        # QEMU says nothing that can't be true: the driver would have it wrong.
        self.assertNotIn('host claims', guest.console(), guest.console_log)

    def wait(self, what, condition, timeout=180):
        deadline = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > deadline:
                self.fail(f'{what}: not within {timeout} s')
            time.sleep(0.02)

    def settle(self, guest, size, timeout=180):
        """Has the host ask for SIZE bytes and waits until the guest says that it has them."""
        guest.set_balloon(size)
        self.wait(f'{size} bytes in the balloon', lambda: guest.actual() == size, timeout)

    def node_files(self, guest, name):
        """One figure of every node."""
        nodes = range(len(guest.sizes))
        paths = ' '.join(f'{NODES}/node{n}/balloon/{name}' for n in nodes)
        return [int(word) for word in guest.sh(f'cat {paths}').split()]

    def stat(self, guest, name):
        """One line of every node's stat, in base pages but for coalesce and split."""
        paths = ' '.join(f'{NODES}/node{n}/balloon/stat' for n in range(len(guest.sizes)))
        return [int(word) for word in guest.sh(f"sed -n 's/^{name} //p' {paths}").split()]

    def start(self, guest, command, log=None):
        """A program in the background, once it has said its line."""
        log = log or f'/tmp/{command.split()[0]}.log'
        # An earlier one's line is not its.
        guest.sh(f'rm -f {log}; {command} > {log} & while ! grep -q . {log}; do '
                 'kill -0 $! || exit 1; sleep 0.1; done', 300)

    def assert_consistent(self, guest):
        """The core's own walk of its queues agrees with its counters."""
        self.assertEqual(guest.read('/sys/kernel/debug/balloon/check'), 'ok')

    def vmstat(self, guest, name):
        guest.sh('echo 1 > /proc/sys/vm/stat_refresh')
        return int(guest.sh(f"sed -n 's/^{name} //p' /proc/vmstat"))

    def meminfo(self, guest, name):
        """In bytes."""
        return int(guest.sh(f"sed -n 's/^{name}: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo")) * 1024

    def free(self, guest, node):
        """In bytes."""
        path = f'{NODES}/node{node}/meminfo'
        return int(guest.sh(f"sed -n 's/.*MemFree: *\\([0-9]*\\) kB/\\1/p' {path}")) * 1024

    def snapshot(self, guest):
        """All counters at once: processes are dear on a debug kernel."""
        nodes = range(len(guest.sizes))
        files = [f'{NODES}/node{n}/balloon/nr_pages' for n in nodes]
        files += ['/sys/kernel/debug/balloon/check', f'{CORE}/nr_pages', '/proc/meminfo',
                  '/proc/vmstat']
        lines = guest.sh('echo 1 > /proc/sys/vm/stat_refresh; '
                         f"grep -E '^[0-9]|ok|:|^Balloon|^nr_balloon' {' '.join(files)}").splitlines()
        found = {}
        for line in lines:
            path, _, text = line.partition(':')
            found.setdefault(path, []).append(text)
        word = lambda path, name: next(int(text.split()[1]) for text in found[path]
                                       if text.startswith(name))
        return {'nodes': [int(found[path][0]) for path in files[:len(nodes)]],
                'check': '\n'.join(found['/sys/kernel/debug/balloon/check']),
                'all': int(found[f'{CORE}/nr_pages'][0]),
                'meminfo': word('/proc/meminfo', 'Balloon') * 1024,
                'vmstat': word('/proc/vmstat', 'nr_balloon_pages')}

    def assert_holds(self, guest, size):
        """All counters say SIZE bytes; returns each node's share of it in base pages."""
        want = {'check': 'ok', 'all': pages(size), 'meminfo': size, 'vmstat': pages(size),
                'actual': size}
        deadline = time.monotonic() + 60
        while True:
            have = self.snapshot(guest)
            nodes = have.pop('nodes')
            have['actual'] = guest.actual()
            # What moves is there twice for a moment.
            if have == want and sum(nodes) == pages(size) or time.monotonic() > deadline:
                break
            time.sleep(0.2)
        self.assertEqual(have, want)
        self.assertEqual(sum(nodes), pages(size))
        return nodes
