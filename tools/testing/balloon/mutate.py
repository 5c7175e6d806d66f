#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Breaks one line of the core at a time, in a copy: each has to be caught by a test.

Ends with 'N passed, N failed, N skipped'; a mutant that lives is a failure, and so is one whose
line is not there any more.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.abspath(os.path.join(HERE, '../../..'))
CORE = os.path.join(TOP, 'mm/balloon')

# File, what is there, what it becomes, what that means.
MUTANTS = (
    ('plan', 'pool.growth = plan->goal - min(plan->goal, pool.unclaimed);',
     'pool.growth = plan->goal;', 'a plan for more than is wanted'),
    ('plan', 'end = balloon_ring_end(r, first);', 'end = r->nr;',
     'all farther nodes are as near as each other'),
    ('policy', 'return inflate ? top - low : low;', 'return low;', 'the level is upside down'),
    ('policy', 'target[i] = limit - given;', 'target[i] = limit;',
     'scaled targets add up to more than the total'),
    ('ring', 'return x->distance < y->distance ? -1 : 1;',
     'return x->distance < y->distance ? 1 : -1;', 'the farthest node comes first'),
    ('block', '\tblock->nr++;\n\tblock->away--;', '\tblock->nr++;',
     'a page that returns still counts as away'),
    ('block', '\tblock->bz->partial_away += n;', '\t;', 'dequeued pages are not counted'),
    ('superframe', '\tset_page_private(head, BALLOON_SUPERFRAME_AWAY);\n', '',
     'a superframe that left its queue looks as if it were there'),
    ('host', 'return done < 0 ? 0 : nr;', 'return done;', 'a lying host is believed'),
    ('host', '\tballoon_unreserve(reserved - got);', '\t;', 'what did not leave stays reserved'),
    # Beyond the ten.
    ('take', 'high_wmark_pages(zone) + zone->present_pages / 64', '0', 'a zone keeps no reserve'),
    ('take', 'zone_above(zone, low_wmark_pages(zone))', 'zone_above(zone, min_wmark_pages(zone))',
     'what was reclaimed is taken below the low mark'),
    ('host', '\tballoon_reserve(pages);', '\t;', 'what is exchanged is anybody\'s credit'),
    ('coalesce', '\tset_page_owner(head, SUPERFRAME_ORDER, OWNER_GFP);', '\t;',
     'a coalesced superframe is nobody\'s'),
    ('host', '(!delayed_work_pending(&b->work) || time_before(due, b->due))', '1',
     'a retry puts a new target off'),
    ('host', '\tWRITE_ONCE(talker, current);', '\t;', 'a backend that allocates waits for itself'),
    ('block', '\tWRITE_ONCE(block_writer, current);\n\t__xa_erase', '\t__xa_erase',
     'to free a block takes its lock again'),
    ('refill', '\t\tballoon_note_refusal(bz);', '\t\t;',
     'a host that refuses is asked by every allocation'),
    ('migrate', '\tif (other)\n\t\tballoon_put_superframe(other);', '',
     'what was to take a superframe\'s place is nobody\'s'),
    ('foreign', '\tif (!balloon_page_keep(page, false))\n\t\treturn false;\n',
     '\tballoon_page_unset_movable(page);\n\t__ClearPageOffline(page);\n',
     'a page is lent while somebody looks at it'),
    ('block', '\tballoon_page_leaves(b, page);\n\tballoon_page_put(page);',
     '\tballoon_page_leaves(b, page);\n\tballoon_page_unset_movable(page);\n\tput_page(page);',
     'a page that somebody looks at is not movable any more'),
    ('migrate', '\tset_page_private(page, BALLOON_NUMA_PAGE);\n', '\tset_page_private(page, 0);\n',
     'a page that was put back looks as if it had left'),
    ('migrate', '\t\tset_page_private(dst, 0);\n', '\t\t__ClearPageOffline(dst);\n',
     'a page that the host did not take loses its type'),
    ('take', '\t\tballoon_page_adopt(head);\n',
     '\t\tset_page_private(head, 0);\n\t\tballoon_page_adopt(head);\n',
     'a page that has left looks as if it were there'),
    ('migrate', '\tballoon_page_adopt_allocated(dst);\n', '\tballoon_page_set_movable(dst);\n',
     'a page that was migrated to stays counted'),
    ('refill', '!refill_has_superframe(&r) || ', '', 'who does not wait is promised base pages'),
    ('refill', 'ALLOC_NO_WATERMARKS | ALLOC_NOLOCK', 'ALLOC_NO_WATERMARKS',
     'who may wait for no lock is refilled'),
    ('lost', '\tballoon_account_lost(b, bz, page, pages);', '\t;', 'what is lost still counts'),
    ('plan', '\tnode->grow = min(node->grow, node->limit - min(node->limit, node->held));\n', '',
     'a node has room beyond its limit'),
    ('plan', '\tnode->held -= over;\n', '', 'what a node holds beyond its limit stays'),
    ('pursue', '\t\tif (obey_limits(b))\n\t\t\tcontinue;\n', '',
     'what finds no place elsewhere stays beyond the limit'),
    ('pursue', '\t\t\t  balloon_node_room(nid) / SUPERFRAME_PAGES);', '\t\t\t  ULONG_MAX);',
     'a superframe is taken beyond the limit, and put back, without end'),
    ('migrate', 'return from == to || !balloon_node_full(to, order);', 'return true;',
     'what migrates comes to a node that may hold no more'),
    ('worker', '\tif (p->fresh)\n\t\tballoon_notify_state();\n', '',
     'nobody is told that what was pending is settled'),
)


def sh(command, **kwargs):
    return subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          errors='replace', **kwargs)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--out', required=True)
    parser.add_argument('--ops', default='120000')
    options = parser.parse_args()
    scratch = os.path.join(options.out, 'mutants')
    core, out = os.path.join(scratch, 'balloon'), os.path.join(scratch, 'out')
    shutil.rmtree(scratch, ignore_errors=True)
    shutil.copytree(CORE, core)
    programs = [os.path.join(out, 'san20/plan_test'), os.path.join(out, 'san/random_test')]
    make = ['make', '-s', '-C', HERE, f'OUT={out}', f'CORE={core}', f'-j{os.cpu_count()}', *programs]
    built = sh(make)
    if built.returncode:
        print(built.stdout)
        return 1
    count = {'passed': 0, 'failed': 0}
    env = {**os.environ, 'NOSHRINK': '1', 'PLANS': '20000', 'SEED': '1'}

    for name, old, new, what in MUTANTS:
        path = os.path.join(core, f'{name}.c')
        with open(os.path.join(CORE, f'{name}.c')) as file:
            text = file.read()
        began = time.monotonic()
        caught = None
        if old not in text:
            why = 'the line is not there: ' + old.strip()
        else:
            with open(path, 'w') as file:
                file.write(text.replace(old, new, 1))
            built = sh(make)
            why = 'it lives'
            if built.returncode:
                why = 'it does not build:\n' + built.stdout[-2000:]
            else:
                for program, args in ((programs[0], []), (programs[1], [options.ops, '3000'])):
                    done = sh([program, *args], env=env, timeout=600)
                    if done.returncode:
                        lines = [line for line in done.stdout.splitlines()
                                 if 'FAILED' in line or 'ERROR' in line or 'runtime error' in line]
                        caught = os.path.basename(program) + ': ' + (lines or ['?'])[0].strip()
                        break
            with open(path, 'w') as file:
                file.write(text)
        verdict = 'passed' if caught else 'failed'
        count[verdict] += 1
        print(f"{'ok' if caught else 'FAIL':4}  {name}.c: {what} ({time.monotonic() - began:.0f} s)\n"
              f'      {caught or why}', flush=True)
    print('{passed} passed, {failed} failed, 0 skipped'.format(**count))
    return 1 if count['failed'] else 0


if __name__ == '__main__':
    sys.exit(main())
