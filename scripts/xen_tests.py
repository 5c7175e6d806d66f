#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Runs the tests under a real Xen, one after the other: they are slow, and QEMU has to emulate
all of it. Ends with 'N passed, N failed, N skipped'."""

import os
import sys
import unittest

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
E2E = os.path.join(TOP, 'scripts', 'e2e_xen')
sys.path.insert(0, os.path.join(TOP, 'scripts'))

from test import Result, Tally, flatten  # noqa: E402

sys.path.insert(0, E2E)      # before the folder of the other tests: both have a common.py


def main():
    tally = Tally()
    loader = unittest.defaultTestLoader
    suite = loader.loadTestsFromNames(sys.argv[1:]) if sys.argv[1:] else loader.discover(E2E)
    for test in flatten(suite):
        test.run(Result(tally))
    return tally.finish()


if __name__ == '__main__':
    sys.exit(main())
