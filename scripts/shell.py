#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Boots a NUMA guest like run.py does and makes this terminal its console."""

import argparse
import sys

import topology
from guest import Guest, GuestError


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    topology.add_options(parser)
    parser.add_argument('--kernel', metavar='FLAVOUR', choices=['vanilla', 'release', 'debug'],
                        default='release', help='vanilla, release or debug (release)')
    options = topology.parse(parser)
    print("To leave: 'exit' in the guest, or Ctrl-a x at any time. Ctrl-a c is QEMU's monitor:"
          " there, 'balloon MIB' sets the size of the guest.")
    try:
        with Guest(options.kernel, nodes=[options.size] * options.nodes, dist=options.dist,
                   backend=options.backend, balloon={'free-page-reporting': True},
                   name='shell', interactive=True) as guest:
            return guest.wait()
    except GuestError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == '__main__':
    sys.exit(main())
