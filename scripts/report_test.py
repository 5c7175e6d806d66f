#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Tests of the first page of the benches' report, bench/summary.py, with made-up figures."""

import html
import os
import re
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'bench'))

import summary  # noqa: E402
from shared import GIB, spread  # noqa: E402


def text(page):
    return html.unescape(re.sub(r'\s+', ' ', re.sub(r'<[^>]*>', ' ', page)))


class Verdicts(unittest.TestCase):
    def said(self, ours, theirs, ratio=None, runs=3, more=True):
        return summary.verdict(summary.Row('x', spread(ours), theirs and spread(theirs), str, runs,
                                           more=more, ratio=ratio and spread(ratio)))

    def test_by_figures(self):
        self.assertEqual(('better', 'better'), self.said([5, 6], [3, 4]))
        self.assertEqual(('worse', 'worse'), self.said([1, 2], [3, 4]))
        self.assertEqual(('better', 'better'), self.said([1, 2], [3, 4], more=False))
        self.assertEqual(('worse', 'worse'), self.said([5, 6], [3, 4], more=False))
        # One that overlaps is no better, however much its median is.
        self.assertEqual(('', 'no difference'), self.said([4, 9, 9], [3, 4, 4]))
        self.assertEqual(('', 'no difference'), self.said([5, 5], [5, 5]))

    def test_by_ratio(self):
        """Neighbouring runs are better in each, though all of them overlap; and not all are."""
        self.assertEqual(('better', 'better'), self.said([2, 6], [1, 5], ratio=[2, 1.2]))
        self.assertEqual(('', 'no difference'), self.said([2, 6], [1, 5], ratio=[2, 0.9]))
        self.assertEqual(('worse', 'worse'), self.said([2, 6], [1, 5], ratio=[2, 1.2], more=False))

    def test_one_run(self):
        self.assertEqual(('better', 'better, one run'), self.said([5], [3], runs=1))
        self.assertEqual(('', 'one run'), self.said([3], [3], runs=1))

    def test_nothing_beside(self):
        self.assertEqual(('better', 'new'), self.said([5], None))


class Page(unittest.TestCase):
    RECLAIM = {'bytes': 2 * GIB, 'runs': 3, 'accelerator': 'kvm', 'means': ['unpatched', 'patched'],
               'backings': {'memfd': {
                   'unpatched': {'returned': spread([GIB] * 3), 'reclaim touched': spread([4, 5, 8]),
                                 'return': spread([1, 1, 1])},
                   'patched': {'returned': spread([2 * GIB] * 3), 'reclaim touched': spread([1, 1, 2]),
                               'return': spread([2, 2, 4])},
                   'ratios': {'reclaim touched': spread([4, 5, 4]), 'return': spread([.5, .5, .25])}}}}

    def page(self, whose='6.12', **reports):
        return summary.first_page(lambda name: name in reports and (whose, reports[name], 0) or None,
                                  '6.12', 'a machine & more')

    def test_nothing(self):
        """What is missing is said, and no figure is made up."""
        page = self.page()
        self.assertEqual(4, page.count('not measured'))
        for bench in 'reclaim', 'states', 'cost', 'churn', 'faults', 'alloc_cost', 'nodes', 'locality':
            self.assertIn(f'bench/{bench}.py', page)
        self.assertNotRegex(text(page).replace('2M', ''), r'\d+(\.\d+)? ?(%|×|s|GiB)')

    def test_reclaim(self):
        page = self.page(reclaim=self.RECLAIM)
        said = text(page)
        self.assertIn('guest in 4 KiB pages 100% 50% better', said)
        # 2 GiB in 1 (1 to 2) s, beside 5 (4 to 8).
        self.assertIn('The host takes memory; guest in 4 KiB pages 2.00 GiB/s 1.00 to 2.00 GiB/s '
                      '0.40 GiB/s 0.25 to 0.50 GiB/s better', said)
        self.assertIn('guest in 4 KiB pages 1.00 GiB/s 0.50 to 1.00 GiB/s 2.00 GiB/s worse', said)
        # The tiles: what is worth most, or that it is not there.
        self.assertIn('how fast 4.0× as fast as unpatched', said)
        self.assertEqual(2, page.count('>not measured<'))
        self.assertNotIn('bench/reclaim.py', page)
        self.assertIn('a machine &amp; more', page)
        self.assertNotIn('Without KVM', page)
        self.assertIn('Without KVM', self.page(reclaim={**self.RECLAIM, 'accelerator': 'tcg'}))

    def test_cost(self):
        """A ratio of seconds is better below 1, and tells so in words, too."""
        cost = {'runs': 2, 'pace': 8, 'cases': {'free': {
            'ranges': {'cpu': spread([1, 2]), 'went': spread([1, 1])},
            'unpatched': {'cpu': spread([8, 9]), 'went': spread([.5, .7])}}},
            'ratios': {'free, ranges, cpu': spread([.1, .2]), 'free, ranges, memory': spread([.5, .6]),
                       'free, unpatched, memory': spread([.7, .8])}}
        said = text(self.page(cost=cost))
        self.assertIn('CPU time for 1 GiB of free memory 1.50 s 1.00 to 2.00 s 8.50 s 8.00 to 9.00 s '
                      'better', said)
        self.assertIn('copies memory 55% 50% to 60% 75% 70% to 80% worse', said)
        self.assertIn('given in 8 s 100% 60% 50% to 70% better', said)

    def test_states(self):
        """The bench's ratio is how many times faster; the page's seconds are fewer."""
        states = {'runs': 2, 'cases': {'idle': {
            'vanilla': [{'whole': .5, 'seconds': 4}] * 2, 'patched': [{'whole': 1, 'seconds': 1},
                                                                      {'whole': 1, 'seconds': 2}]}},
                  'ratios': {'idle, seconds': spread([4, 2])}}
        said = text(self.page(states=states))
        self.assertIn('1 GiB out of an idle guest 1.50 s 1.00 to 2.00 s 4.00 s better', said)
        self.assertIn('how fast 3.0× as fast as unpatched 1.50 s; unpatched 4.00 s; 2.0× to 4.0×', said)

    def test_locality(self):
        locality = {case: [{'local': value}] * 4 for case, value in
                    (('unpatched', .25), ('patched, credit', 1))}
        said = text(self.page(whose='the newest kernel', locality=locality))
        self.assertIn('guest ballooned (the newest kernel) 100% 25% better', said)
        self.assertNotIn('(6.12)', text(self.page(locality=locality)))
        said = text(self.page(locality=locality))
        self.assertIn('from where 100% of a program\'s memory is on its own node unpatched 25%', said)


if __name__ == '__main__':
    unittest.main()
