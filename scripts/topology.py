# SPDX-License-Identifier: GPL-2.0
"""A guest's nodes as options of a command: how many, how large, how far from each other."""

import argparse
import re

MIB_PER_UNIT = {'': 1, 'K': 1 / 1024, 'M': 1, 'G': 1024}


def size(text):
    """MiB from a number with K, M (the default) or G behind it."""
    match = re.fullmatch(r'(\d+)([KMG]?)(i?B)?', text, re.IGNORECASE)
    mib = int(match[1]) * MIB_PER_UNIT[match[2].upper()] if match else 0
    if mib < 128 or mib % 2:
        raise argparse.ArgumentTypeError(f'{text!r} is no node size: at least 128M, in 2M steps')
    return int(mib)


def count(text):
    if not text.isdecimal() or not 1 <= int(text) <= 64:
        raise argparse.ArgumentTypeError(f'{text!r} is no number of nodes: 1 to 64')
    return int(text)


def matrix(text):
    """'10,20;20,10': a row for each node, in which its own distance is 10, others' 11 to 254;
    None for 'auto'."""
    if text == 'auto':
        return None
    try:
        rows = [[int(word) for word in row.split(',')] for row in text.strip(';').split(';')]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f'{text!r} is no matrix of distances') from error
    for src, row in enumerate(rows):
        for dst, value in enumerate(row):
            if len(row) != len(rows) or not (value == 10 if src == dst else 10 < value < 255):
                raise argparse.ArgumentTypeError(
                    f'{text!r}: as many rows as columns, 10 for a node itself, '
                    '11 to 254 for another')
    return rows


def unequal(nodes):
    """Distances without ties: each node sees each other one in a ring of its own."""
    step = 10 if nodes <= 16 else 3
    return [[10 + step * (a ^ b) for b in range(nodes)] for a in range(nodes)]


def add_options(parser):
    parser.add_argument('--nodes', metavar='N', type=count, default=4,
                        help='how many NUMA nodes the guest has (4)')
    parser.add_argument('--size', metavar='SIZE', type=size, default=1024,
                        help='memory of each node, with M or G behind it (1G)')
    parser.add_argument('--dist', metavar='MATRIX', type=matrix, default=None,
                        help="distances, 'row;row;...' with ',' between the columns, or 'auto': "
                             'no two nodes are equally far from a third (auto)')
    parser.add_argument('--backend', choices=['memfd', 'anon', 'hugetlbfs'], default='memfd',
                        help="what the guest's memory is on the host (memfd)")


def parse(parser):
    options = parser.parse_args()
    if options.dist is None:
        options.dist = unequal(options.nodes)
    elif len(options.dist) != options.nodes:
        parser.error(f'--dist is for {len(options.dist)} nodes, not for {options.nodes}')
    return options


def rings(dist, origin):
    """The nodes around one, nearest first: a list of lists."""
    row = dist[origin]
    return [[n for n, d in enumerate(row) if d == distance] for distance in sorted(set(row))]
