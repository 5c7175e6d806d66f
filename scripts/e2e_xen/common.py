# SPDX-License-Identifier: GPL-2.0
"""What the tests under a real Xen share: they boot, and boot again where QEMU was at fault."""

import base64
import functools
import os
import re
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from guest import TOP, GuestError  # noqa: E402,F401
from pattern import Pattern  # noqa: E402,F401
from xen import XEN, HYPERVISOR, Domain, Flaky, NoStart, Program, Xen, pvh_trouble  # noqa: E402,F401

# The kernel of the guests, e.g. vanilla for the figures of the unpatched one; and dom0's.
FLAVOUR = os.environ.get('FLAVOUR', 'release')
DOM0 = os.environ.get('DOM0', FLAVOUR)
PAGES_PER_MIB = 256
ATTEMPTS = 4


def needs_pvh(test):
    """Skips a test where QEMU can't run PVH guests."""
    @functools.wraps(test)
    def run(self):
        trouble = pvh_trouble()
        if trouble:
            self.skipTest(trouble)
        test(self)
    return run


def afresh(test):
    """Runs a test again, with a new Xen, if QEMU's emulation failed it. A guest's own crash is
    never tried again; what only may be QEMU's fault, once."""
    @functools.wraps(test)
    def run(self):
        unsure = 0
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return test(self)
            except Flaky as error:
                unsure += not error.sure
                if attempt == ATTEMPTS or unsure > 1:
                    raise
                print(f'# {self.id()}: QEMU failed ({str(error).splitlines()[0]}); booting '
                      'afresh', flush=True)
                # This Xen ends here, and its guests. Nobody asks them for warnings any more.
                self.domains.clear()
                self.doCleanups()
    return run


class XenTest(unittest.TestCase):
    """A test that boots a Xen of its own. No kernel in it may end with a word of trouble."""

    def setUp(self):
        self.domains = []

    def boot(self, **options):
        options.setdefault('guests', [FLAVOUR])
        options.setdefault('flavour', DOM0)
        options.setdefault('name', 'xen-' + self.id().split('.', 1)[-1])
        xen = self.enterContext(Xen(**options))
        self.addCleanup(self._assert_untroubled, xen)
        return xen

    def start(self, xen, **options):
        options.setdefault('flavour', FLAVOUR)
        domain = self.enterContext(Domain(xen, **options))
        self.domains.append(domain)
        # First of all at the end: while it still runs.
        self.addCleanup(lambda: domain in self.domains and
                        self.assertEqual(domain.warnings(), [], domain.console_log))
        return domain

    def _assert_untroubled(self, xen):
        self.assertEqual(xen.warnings(), [], xen.console_log)

    def install_tool(self, xen):
        """Gives dom0 xl-node-mem."""
        with open(os.path.join(TOP, 'tools', 'xen', 'xl-node-mem'), 'rb') as tool:
            coded = base64.b64encode(tool.read()).decode()
        xen.sh(f'echo {coded} | base64 -d > /bin/xl-node-mem; chmod +x /bin/xl-node-mem')

    def tell(self, what):
        """A figure for whoever reads the report."""
        print(f'# {self.id().split(".", 1)[-1]}, {FLAVOUR}: {what}', flush=True)

    def pin_worker(self, domain, cpu):
        """The unpatched balloon's thread takes memory of the node that it runs on: a fair
        comparison says which. The patched kernel has no such thread."""
        domain.sh('for comm in /proc/[0-9]*/comm; do read -r name < $comm; '
                  'if [ "$name" = xen-balloon ]; then '
                  f'pid=${{comm%/comm}}; taskset -p {1 << cpu:x} ${{pid#/proc/}}; fi; done')

    def nodes(self, domain):
        return sorted(map(int, re.findall(r'node(\d+)', domain.sh(
            'ls -d /sys/devices/system/node/node[0-9]*'))))

    def distances(self, domain):
        return [list(map(int, domain.read(f'/sys/devices/system/node/node{n}/distance').split()))
                for n in self.nodes(domain)]
