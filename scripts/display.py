# SPDX-License-Identifier: GPL-2.0
"""What a long run shows: in place on a terminal, line by line elsewhere."""

import sys
import threading
import time

TERMINAL = sys.stdout.isatty()
PLAIN_INTERVAL = 5      # seconds between plain lines


class Table:
    """Lines that are drawn over each other on a terminal; elsewhere a one-line form of them is
    printed now and then, and at the end."""

    def __init__(self):
        self.drawn = 0
        self.printed = 0

    def show(self, lines, plain, last=False):
        if TERMINAL:
            up = f'\033[{self.drawn}A' if self.drawn else ''
            print(up + ''.join(f'\r\033[K{line}\n' for line in lines), end='', flush=True)
            self.drawn = len(lines)
        elif last or time.monotonic() - self.printed >= PLAIN_INTERVAL:
            print(plain, flush=True)
            self.printed = time.monotonic()


class Waiting:
    """Shows that something long goes on: with Waiting('booting', detail): ...

    detail is a function that returns what is going on just now.
    """

    def __init__(self, what, detail=lambda: ''):
        self.what = what
        self.detail = detail
        self.started = time.monotonic()
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        if not TERMINAL:
            print(self.what, flush=True)
        self.thread.start()
        return self

    def __exit__(self, kind, *_):
        self.ended.set()
        self.thread.join()
        if TERMINAL:
            print('\r\033[K', end='')
        if kind is None:
            print(f'{self.what}: {self.seconds():.1f} s', flush=True)

    def seconds(self):
        return time.monotonic() - self.started

    def _run(self):
        while not self.ended.wait(0.5):
            if TERMINAL:
                print(f'\r\033[K{self.what}: {self.seconds():.0f} s  {self.detail()[:60]}',
                      end='', flush=True)
