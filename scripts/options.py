# SPDX-License-Identifier: GPL-2.0
"""Values of options that several commands have."""

import argparse


def count(text):
    """A number, 1 at least."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f'{text}: a number, 1 at least')
    return int(text)
