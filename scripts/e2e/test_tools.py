# SPDX-License-Identifier: GPL-2.0
"""The operator's tool in a real guest; tools_test.py has all of its cases, on made-up files."""

import json

from common import CORE, GIB, MIB, NODES, PAGE, GuestTest, pages


class Balloonstat(GuestTest):
    flavour = 'release'

    def test_shows_and_sets(self):
        guest = self.boot(nodes=[512] * 4, cpus=2)
        self.settle(guest, GIB)
        said = json.loads(guest.sh('balloonstat -j'))
        self.assertEqual([node['Balloon'] for node in said['nodes']],
                         [PAGE * n for n in self.node_files(guest, 'nr_pages')])
        self.assertEqual(said['total']['Balloon'], GIB)
        self.assertIn('Superframes', guest.sh('balloonstat'))

        guest.sh('balloonstat -t 2=320M -p local --refill exchange')
        self.wait('the node target', lambda: self.node_files(guest, 'nr_pages')[2] >= pages(320 * MIB))
        target = guest.read(f'{NODES}/node2/balloon/target')
        self.assertEqual(target, str(pages(320 * MIB)))
        self.assertIn('[local]', guest.read(f'{CORE}/policy'))
        self.assertIn('[exchange]', guest.read(f'{CORE}/refill'))
        self.assertEqual(guest.actual(), GIB)

        for wrong, word in ('-t 4=1M', 'node 4 does not exist'), ('-t 1=1000', '1000'), ('-p none', 'none'):
            status, text = guest.status(f'balloonstat {wrong} 2>&1')
            self.assertEqual((status, word in text), (1, True), text)
        self.assertEqual(guest.read(f'{NODES}/node2/balloon/target'), target)
