#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Proves the four floors of mm/balloon/ from what its objects define and use.

A file uses its own floor and those below it, never one above, and files of one floor form no
circle. Ends with 0 if that holds, 1 if it does not, 2 if there was nothing to look at.
"""

import argparse
import collections
import os
import subprocess
import sys
import unittest

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SOURCES = os.path.join(TOP, 'mm/balloon')

FLOORS = {
    # what is held: pages, queues, counters
    'node': 1, 'block': 1, 'take': 1, 'superframe': 1, 'coalesce': 1, 'lost': 1,
    # what to do: arithmetic
    'ring': 2, 'policy': 2, 'plan': 2,
    # the host
    'host': 3,
    # who asks
    'worker': 4, 'pursue': 4, 'refill': 4, 'gather': 4, 'evacuate': 4, 'migrate': 4,
    'hotplug': 4, 'foreign': 4, 'unpopulated': 4, 'sysfs': 4, 'debug': 4, 'sim': 4, 'pressure': 4,
    'hibernate': 4, 'available': 4,
}

# A trace event belongs to whichever file has CREATE_TRACE_POINTS; to raise it is to call nobody.
EVENTS = ('__tracepoint_', '__traceiter_', '__SCK__tp_func_', '__SCT__tp_func_')

Object = collections.namedtuple('Object', 'defined undefined')


def parse(text):
    """An Object from what 'nm -P' prints: a line for each symbol, its name and its type first.
    Only symbols that other objects can see count: capital letters, and undefined weak ones."""
    defined, undefined = set(), set()
    for line in text.splitlines():
        fields = line.split()
        if len(fields) < 2 or fields[0].startswith(EVENTS):
            continue
        name, kind = fields[:2]
        if kind in 'Uwv':
            undefined.add(name)
        elif kind.isupper() or kind in 'ui':
            defined.add(name)
    return Object(defined, undefined)


def uses(objects):
    """{(user, owner): [symbol, ...]} for each pair of objects one of which uses the other."""
    owner = {symbol: name for name, obj in objects.items() for symbol in obj.defined}
    found = collections.defaultdict(list)
    for name, obj in objects.items():
        for symbol in sorted(obj.undefined):
            if owner.get(symbol, name) != name:
                found[name, owner[symbol]].append(symbol)
    return found


def shortest_circle(start, neighbours):
    """[start, ..., start], or None."""
    paths = collections.deque([[start]])
    seen = set()
    while paths:
        path = paths.popleft()
        for name in sorted(neighbours[path[-1]]):
            if name == start:
                return path + [start]
            if name not in seen:
                seen.add(name)
                paths.append(path + [name])
    return None


def complaints(objects, floors):
    """Lines that say what is wrong with {name: Object}, none if all is well."""
    lines = [f'{name}.o is on no floor: name its floor in scripts/floors.py'
             for name in sorted(objects) if name not in floors]
    neighbours = collections.defaultdict(set)
    pairs = uses({name: obj for name, obj in objects.items() if name in floors})
    for (user, owner), symbols in sorted(pairs.items()):
        if floors[user] < floors[owner]:
            lines += [f'{user}.o (floor {floors[user]}) uses {symbol} of {owner}.o '
                      f'(floor {floors[owner]})' for symbol in symbols]
        elif floors[user] == floors[owner]:
            neighbours[user].add(owner)

    told = set()
    for name in sorted(neighbours):
        circle = shortest_circle(name, neighbours)
        if not circle or frozenset(circle) in told:
            continue
        told.add(frozenset(circle))
        lines.append(f'circle on floor {floors[name]}: {name}.o' + ''.join(
            f' uses {", ".join(pairs[user, owner])} of {owner}.o'
            + (', which' if i < len(circle) - 2 else '')
            for i, (user, owner) in enumerate(zip(circle, circle[1:]))))
    return lines


def read_objects(folder):
    """{name: Object} of the objects in a folder that have a source: others are leftovers."""
    objects = {}
    for name in sorted(os.listdir(folder)):
        stem, end = os.path.splitext(name)
        if end != '.o' or not os.path.exists(os.path.join(SOURCES, stem + '.c')):
            continue
        nm = subprocess.run([os.environ.get('NM', 'nm'), '-P', os.path.join(folder, name)],
                            check=True, stdout=subprocess.PIPE, text=True)
        objects[stem] = parse(nm.stdout)
    return objects


class SelfTest(unittest.TestCase):
    FLOORS = {'low': 1, 'beside': 1, 'third': 1, 'mid': 2, 'high': 4}

    def check(self, *want, **texts):
        texts = {'low': 'low_get T 0 10', 'mid': 'mid_plan T 0 10\nlow_get U',
                 'high': 'high_run T 0 10\nmid_plan U\nlow_get U'} | texts
        objects = {name: parse(text) for name, text in texts.items()}
        self.assertEqual(complaints(objects, self.FLOORS), list(want))

    def test_downward(self):
        self.check()

    def test_upward(self):
        self.check('low.o (floor 1) uses high_run of high.o (floor 4)',
                   low='low_get T 0 10\nhigh_run U')

    def test_upward_data_and_weak(self):
        for kind in 'BDRVWu':
            self.check('mid.o (floor 2) uses high_state of high.o (floor 4)',
                       mid='high_state w', high=f'high_state {kind} 0 8')

    def test_each_symbol(self):
        self.check('mid.o (floor 2) uses high_a of high.o (floor 4)',
                   'mid.o (floor 2) uses high_b of high.o (floor 4)',
                   mid='high_b U\nhigh_a U', high='high_a T 0 1\nhigh_b T 1 1')

    def test_static_is_nobodys(self):
        self.check(low='low_get T 0 10\nhigh_run U', high='high_run t 0 10')

    def test_kernel_is_no_floor(self):
        self.check(low='low_get T 0 10\n_printk U')

    def test_events(self):
        self.check(low='__tracepoint_balloon_x U\n__SCT__tp_func_balloon_x U\nlow_get T 0 1',
                   high='__tracepoint_balloon_x D 0 8\n__SCT__tp_func_balloon_x T 0 8')

    def test_unknown(self):
        self.check('new.o is on no floor: name its floor in scripts/floors.py',
                   new='high_run U')

    def test_neighbours(self):
        self.check(beside='beside_put T 0 1\nlow_get U')

    def test_circle_of_two(self):
        self.check('circle on floor 1: beside.o uses low_get of low.o, which uses beside_put '
                   'of beside.o', low='low_get T 0 1\nbeside_put U',
                   beside='beside_put T 0 1\nlow_get U')

    def test_circle_of_three(self):
        self.check('circle on floor 1: beside.o uses low_get, low_put of low.o, which uses '
                   'third_x of third.o, which uses beside_put of beside.o',
                   low='low_get T 0 1\nlow_put T 1 1\nthird_x U',
                   beside='beside_put T 0 1\nlow_put U\nlow_get U',
                   third='third_x T 0 1\nbeside_put U')


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', nargs='?', metavar='OBJDIR',
                        help='where the objects are, as build/lint/mm/balloon; NM=... in the '
                        'environment is the nm that reads them')
    parser.add_argument('--list', action='store_true', help='show who uses whom, and how much')
    parser.add_argument('--self-test', action='store_true', help='look at made-up objects')
    args = parser.parse_args()

    if args.self_test:
        result = unittest.TextTestRunner().run(
            unittest.defaultTestLoader.loadTestsFromTestCase(SelfTest))
        return 0 if result.wasSuccessful() else 1
    if not args.folder:
        parser.error('which OBJDIR?')
    if not os.path.isdir(args.folder):
        parser.error(f'{args.folder} is no folder')
    objects = read_objects(args.folder)
    if not objects:
        parser.error(f'{args.folder} has no objects of mm/balloon/')
    if args.list:
        for (user, owner), symbols in sorted(uses(objects).items()):
            print(f'{user} -> {owner}: {" ".join(symbols)}')
    lines = complaints(objects, FLOORS)
    for line in lines:
        print(line)
    print(f'{len(objects)} objects, {len(lines)} complaints')
    return 1 if lines else 0


if __name__ == '__main__':
    sys.exit(main())
