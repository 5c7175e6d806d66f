#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Runs the tests under a real Xen, one after the other: they are slow, and QEMU has to emulate
all of it. Ends with 'N passed, N failed, N skipped'."""

import argparse
import os
import sys
import unittest

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
E2E = os.path.join(TOP, 'scripts', 'e2e_xen')
sys.path.insert(0, os.path.join(TOP, 'scripts'))

from test import Result, Tally, flatten  # noqa: E402

sys.path.insert(0, E2E)      # before the folder of the other tests: both have a common.py


def main():
    parser = argparse.ArgumentParser(
        description=__doc__.split(',')[0] + '.',
        epilog='HYPERVISOR=patched takes the patched hypervisor and xl, FLAVOUR=vanilla guests '
               'with the unpatched kernel.')
    parser.add_argument('tests', nargs='*', metavar='TEST',
                        help='what to run, such as test_nodes.NodeTargets; by default all')
    options = parser.parse_args()
    tally = Tally()
    loader = unittest.defaultTestLoader
    suite = loader.loadTestsFromNames(options.tests) if options.tests else loader.discover(E2E)
    for test in flatten(suite):
        test.run(Result(tally))
    return tally.finish()


if __name__ == '__main__':
    sys.exit(main())
