# SPDX-License-Identifier: GPL-2.0
"""Finds a guest's offline pages in a dump of its memory, as makedumpfile(8) does.

Nothing but the dump is asked: VMCOREINFO, which the kernel leaves there for dump tools, tells where
the page tables and the page structs are and what value marks a page as offline.
"""

import array
import re
import struct

PT_LOAD, PT_NOTE = 1, 4
PRESENT, LARGE = 1, 1 << 7
FRAME = 0x000ffffffffff000
KERNEL_MAP = 0xffffffff80000000
# Without KASLR, with four levels of page tables: Documentation/arch/x86/x86_64/mm.rst.
VMEMMAP = 0xffffea0000000000


class Dump:
    """An ELF core of a guest's physical memory: QEMU's dump-guest-memory, or a guest's /proc/vmcore.

    It is in a file, or is something that can be read as one."""

    def __init__(self, core):
        self.file = open(core, 'rb') if isinstance(core, str) else core
        offset, size, count = (struct.unpack_from('<Q', self._at(0, 64), 32)[0],
                               *struct.unpack_from('<HH', self._at(0, 64), 54))
        self.loads, notes = [], b''
        for i in range(count):
            kind, _, at, _, physical, length, _, _ = struct.unpack(
                '<IIQQQQQQ', self._at(offset + i * size, 56))
            if kind == PT_LOAD:
                self.loads.append((physical, length, at))
            elif kind == PT_NOTE:
                notes = self._at(at, length)
        found = re.search(rb'OSRELEASE=[\x20-\x7e\n]+', notes)
        if not found:
            raise ValueError('the dump has no VMCOREINFO')
        self.info = dict(re.findall(r'^([^=\n]+)=(.*)$', found[0].decode(), re.M))
        self.top = (int(self.info['SYMBOL(init_top_pgt)'], 16) - KERNEL_MAP +
                    int(self.info['NUMBER(phys_base)']))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    def _at(self, offset, length):
        self.file.seek(offset)
        return self.file.read(length)

    def physical(self, address, length):
        for start, size, at in self.loads:
            if start <= address and address + length <= start + size:
                return self._at(at + address - start, length)
        raise ValueError(f'{address:#x} is not in the dump')

    def virtual(self, address):
        """Where an address is mapped, and for how many bytes from there; None: it is not."""
        table = self.top
        for shift in 39, 30, 21, 12:
            entry, = struct.unpack('<Q', self.physical(table + (address >> shift & 511) * 8, 8))
            left = (1 << shift) - (address & ((1 << shift) - 1))
            if not entry & PRESENT:
                return None, left
            if shift == 12 or entry & LARGE:
                return (entry & FRAME & -(1 << shift)) + (address & ((1 << shift) - 1)), left
            table = entry & FRAME
        return None, left

    def offline_pages(self):
        """How many pages a dump tool would leave out because they are offline."""
        size = int(self.info['SIZE(page)'])
        at = int(self.info['OFFSET(page._mapcount)'])
        value = int(self.info['NUMBER(PAGE_OFFLINE_MAPCOUNT_VALUE)']) & 0xffffffff
        count = done = 0
        # The kernel's own text and data are in /proc/vmcore twice.
        for start, length, _ in sorted(self.loads):
            address, end = (VMEMMAP + max(done, edge) // 4096 * size
                            for edge in (start, start + length))
            done = max(done, start + length)
            while address < end:
                physical, left = self.virtual(address)
                left = min(left, end - address)
                if physical is not None:
                    words = array.array('I', self.physical(physical, left))
                    count += words[at // 4::size // 4].count(value)
                address += left
        return count
