# SPDX-License-Identifier: GPL-2.0
"""Boots a real Xen under QEMU, with a dom0 that we command, and guests under it.

    with Xen(nodes=[768, 768], guests=['release']) as xen:
        with Domain(xen, 'pvh', nodes=[128, 128], flavour='release') as domain:
            domain.mem_set(192)
            print(xen.sh('xl list'), domain.sh('cat /proc/vmstat'), domain.pages())

QEMU emulates all of it, AMD's virtualization included: Xen needs no /dev/kvm. What Xen and dom0's
kernel say is in build/logs/NAME.console; what a guest's kernel says, in NAME.GUEST.console.

scripts/xen-root.sh makes what dom0 runs.
"""

import base64
import itertools
import os
import re
import struct
import subprocess
import tempfile
import time

from guest import QEMU, SHARED, TOP, TROUBLE, Guest, GuestError, initramfs_of, kernel_of

XEN = os.path.join(SHARED, 'xen')
# Debian's hypervisor, or ours.
HYPERVISORS = {'debian': os.path.join(XEN, 'xen'), 'patched': os.path.join(SHARED, 'xen-patched', 'xen')}
HYPERVISOR = os.environ.get('HYPERVISOR', 'debian')
if HYPERVISOR not in HYPERVISORS:
    raise SystemExit(f'HYPERVISOR={HYPERVISOR}: allowed are {", ".join(HYPERVISORS)}')
CONSOLES = '/var/log/xen/console'
ORDINARY_DISTANCE = 20
# Making 512 devices that nobody opens is most of a boot here.
QUICK = 'pty.legacy_count=0'
# An entry of a page table.
PRESENT, LARGE, FRAME = 1, 1 << 7, (1 << 52) - 4096


class Flaky(GuestError):
    """QEMU's emulation, not the guest, went wrong: all has to be booted afresh.

    QEMU 7.2's SVM does so in one of five to ten runs. The guest dies of a triple fault, and its
    instruction pointer is inside of Xen (SURE), or it had interrupts off, no faulting address,
    and had not said a word. The latter may still be the guest's fault if it comes again.
    """

    def __init__(self, what, sure):
        super().__init__(what)
        self.sure = sure


class NoStart(GuestError):
    """The guest ended before it said a word."""


def cpio(entries):
    """An archive in the kernel's format of (name, content) pairs; a folder has no content."""
    def padded(data):
        return data + bytes(-len(data) % 4)

    def entry(name, content, mode, inode):
        # inode, mode, uid, gid, links, time, size, device, its device, name's size, checksum
        fields = [inode, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0]
        head = b'070701' + b''.join(b'%08X' % field for field in fields)
        return padded(head + name.encode() + b'\0') + padded(content)

    parts = [entry(name, content or b'', 0o40755 if content is None else 0o100644, inode)
             for inode, (name, content) in enumerate(entries, 1)]
    return b''.join(parts) + entry('TRAILER!!!', b'', 0, 0)


class Xen(Guest):
    """A running Xen and its dom0; what it inherits (sh, status, read, write) speaks to dom0.

    nodes       sizes of the physical nodes in MiB
    dist        matrix of their distances
    guests      flavours whose kernels dom0 has, for the guests that it starts
    flavour     the kernel of dom0
    dom0_mib    what dom0 has; Xen takes it where it likes
    xen_append  more words for Xen's command line; append is for dom0's kernel
    files       more files for dom0: a path in dom0's /guest for each of the host's
    accel       icount: time is the instructions that were executed, however busy the host
    hypervisor  debian or patched, with its xl
    """

    def __init__(self, nodes=(768, 768), dist=None, guests=('release',), flavour='vanilla',
                 dom0_mib=256, xen_append='', files={}, accel='tcg',
                 hypervisor=HYPERVISOR, **options):
        super().__init__(flavour=flavour, nodes=nodes, dist=dist, backend='anon', balloon=None,
                         accel=accel, initramfs=os.path.join(XEN, f'dom0-{hypervisor}.cpio.gz'),
                         **options)
        self.hypervisor = hypervisor
        self.dom0_mib = dom0_mib
        self.xen_append = xen_append
        self.files = {'initramfs': initramfs_of('xen'), **files}
        for guest in guests:
            self.files[f'{guest}.kernel'] = kernel_of(guest)

    def _boot(self):
        for path in [HYPERVISORS[self.hypervisor], self.initramfs, *self.files.values()]:
            if not os.path.exists(path):
                raise GuestError(f'{os.path.relpath(path, TOP)} is not there: build it first')
        # The kernel unpacks one archive after the other: dom0 itself need not be packed anew.
        with open(self.initramfs, 'rb') as file:
            content = file.read()
        entries = [('guest', None)]
        for name, path in self.files.items():
            with open(path, 'rb') as file:
                entries.append((f'guest/{name}', file.read()))
        # QEMU reads it when it starts.
        with tempfile.NamedTemporaryFile(dir=XEN, prefix='ramdisk-') as file:
            file.write(content + bytes(-len(content) % 4) + cpio(entries))
            file.flush()
            self.ramdisk = file.name
            super()._boot()

    def _command(self, agent_fd, qmp_fd):
        words = super()._command(agent_fd, qmp_fd)

        def replace(option, value):
            words[words.index(option) + 1] = value

        # dom0, or Xen, crashes on the larger CPUs that QEMU has.
        replace('-cpu', 'qemu64,+svm,+npt')
        replace('-kernel', HYPERVISORS[self.hypervisor])
        replace('-append', 'console=com1 com1=115200 conring_size=256k numa=on noreboot '
                f'bootscrub=0 guest_loglvl=all dom0_mem={self.dom0_mib}M,max:{self.dom0_mib}M '
                f'dom0_max_vcpus={len(sum(self.cpus, []))} {self.xen_append}')
        # QEMU splits at commas, then at the first blank: paths relative to here have neither.
        arguments = f'console=hvc0 earlyprintk=xen panic=-1 {QUICK} {self.append}'.replace(',', ',,')
        kernel, ramdisk = map(os.path.relpath, (self.kernel, self.ramdisk))
        replace('-initrd', f'{kernel} {arguments},{ramdisk}')
        return words

    def node_pages(self):
        """Pages per physical node of each domain, as Xen counts them: {domid: [pages, ...]}."""
        text = self.sh("xl debug-keys u; xl dmesg -c").rpartition("'u' pressed")[2]
        found = {}
        for line in text.splitlines():
            domain = re.search(r'\b(?:Domain |d)(\d+) \(total: (\d+)\)', line)
            node = re.search(r'\bNode (\d+): (\d+)\s*$', line)
            if domain:
                counts = found[int(domain[1])] = [0] * len(self.sizes)
            elif node and found:
                counts[int(node[1])] = int(node[2])
        if 0 not in found:
            raise GuestError(self._report(f'Xen tells of no domain:\n{text}'))
        return found

    def table(self, address):
        """The 512 entries of a page table in the machine's memory."""
        with tempfile.NamedTemporaryFile(dir=XEN, prefix='table-') as file:
            self.qmp('pmemsave', val=address, size=4096, filename=file.name)
            return struct.unpack('<512Q', file.read())

    def store_read(self, path):
        return self.sh(f'xenstore-read {path}').strip()

    def store_write(self, path, value):
        self.sh(f"xenstore-write {path} '{value}'")


class Domain:
    """A guest of Xen; sh, status, read and write run commands in it, through its console.

    type        'pvh' or 'pv'
    nodes       sizes of its virtual nodes in MiB, node N on physical node N of the host; what a
                PV guest begins with, Xen takes where it likes
    dist        matrix of their distances
    cpus        for each node the list of its CPUs; by default each has one
    flavour     the kernel; Xen must have been told of it
    append      more words for its command line
    config      more lines for xl
    start_mib   what a guest of one node begins with, if that is less than all
    by_hand     its nodes are set behind xl's back: Debian's can't do it for PV guests, and none
                makes nodes that are no use
    """

    numbers = itertools.count(1)

    def __init__(self, xen, type='pvh', nodes=(128, 128), dist=None, cpus=None,
                 flavour='release', append='', config='', name=None, boot_timeout=600,
                 start_mib=None, by_hand=None):
        self.xen = xen
        self.type = type
        self.sizes = list(nodes)
        self.dist = dist
        self.cpus = cpus or [[n] for n in range(len(self.sizes))]
        self.flavour = flavour
        self.append = append
        self.config = config
        self.name = name or f'{type}{next(self.numbers)}'
        self.boot_timeout = boot_timeout
        self.start_mib = start_mib or sum(self.sizes)
        if by_hand is None:
            by_hand = xen.hypervisor == 'debian' and type == 'pv'
        self.by_hand = by_hand and len(self.sizes) > 1
        self.console_path = f'{CONSOLES}/guest-{self.name}.log'
        self.console_log = xen.console_log.removesuffix('.console') + f'.{self.name}.console'
        self.domid = None
        self.full = None        # Xen's count of its pages when it had all of its memory
        self._ids = itertools.count(1)

    # --- starting and ending ---

    __enter__, __exit__ = Guest.__enter__, Guest.__exit__

    def start(self):
        path = f'/guest/{self.name}.cfg'
        coded = base64.b64encode(self.description().encode()).decode()
        self.xen.sh(f'echo {coded} | base64 -d > {path}')
        shim = 'LD_PRELOAD=/lib/vnuma_shim.so' if self.xen.hypervisor == 'debian' else ''
        self.xen.sh(f'{shim} xl create {"-p" if self.by_hand else ""} {path}', 600)
        if self.by_hand:
            self.xen.sh(f'pv_vnuma $(xl domid {self.name}) ' + ' '.join(
                f'{size}/{n}/{self._cpus_of(n)}/{self._distances_from(n)}'
                for n, size in enumerate(self.sizes)))
            self.xen.sh(f'xl unpause {self.name}')
        self._find()
        self._await('agent', '0', self.boot_timeout)
        self.full = sum(self.pages())
        return self

    def _find(self):
        self.domid = int(self.xen.sh(f'xl domid {self.name}'))
        # xenconsoled makes both when it has seen the guest.
        self.tty = self.xen.sh(f'while [ ! -e {self.console_path} ] || ! xenstore-read '
                               f'/local/domain/{self.domid}/console/tty; do sleep 0.1; done'
                               ).strip()

    def save(self, path):
        """Into a file of dom0's, and it is gone."""
        self.save_console()
        status, said = self.xen.status(f'xl save {self.domid} {path}', 600)
        if status:
            # It goes on, and may know why.
            raise GuestError(self._report(f'{said}\n{self.sh("dmesg | tail -n 20")}'))
        self.domid = None

    def restore(self, path, xen=None):
        """On the same Xen, or another; it is another domain to it."""
        self.xen = xen or self.xen
        self.xen.sh(f'xl restore {path}', 300)
        self._find()

    def save_and_restore(self):
        """Through a file of dom0's."""
        path = f'/guest/{self.name}.saved'
        self.save(path)
        self.restore(path)
        self.xen.sh(f'rm {path}')

    def migrate(self, during, after=16):
        """To this same host, as it runs: it is another domain then. Calls DURING when the first
        AFTER MiB of its memory have gone, and Xen keeps a log of what it writes to."""
        receiver = (f'(dd bs=64k count={16 * after} iflag=fullblock 2> /dev/null; touch /run/sent; '
                    'while [ ! -e /run/go ]; do sleep 0.2; done; cat) | xl migrate-receive')
        self.xen.sh(f"(xl migrate -s '' {self.domid} '{receiver}'; echo ended $?) "
                    '> /run/migration 2>&1 & while [ ! -e /run/sent ]; do '
                    '! grep ended /run/migration || exit 1; sleep 0.2; done', 300)
        during()
        said = self.xen.sh('touch /run/go; while ! grep -q ended /run/migration; do sleep 0.5; done; '
                           'rm /run/sent /run/go; cat /run/migration', 300)
        if 'ended 0' not in said:
            raise GuestError(self._report(f'the migration failed:\n{said}'))
        self.console_path = f'{CONSOLES}/guest-{self.name}--incoming.log'
        self._find()

    def stop(self):
        """Keeps what it said, and ends it; there may be nothing to end."""
        if self.domid is None or not self.xen.running():
            return
        try:
            self.save_console()
            self.xen.status(f'xl destroy {self.domid}')
        except GuestError:
            pass        # Xen itself goes wrong: whoever waits for that is told
        self.domid = None

    def description(self):
        """What xl reads."""
        lines = [f'name="{self.name}"', f'type="{self.type}"',
                 f'kernel="/guest/{self.flavour}.kernel"',
                 'ramdisk="/guest/initramfs"',
                 f'extra="console=hvc0 agent=hvc0 panic=-1 {QUICK} {self.append}"',
                 # There is no populating on demand with virtual NUMA.
                 f'memory={self.start_mib}', f'maxmem={sum(self.sizes)}',
                 f'vcpus={len(sum(self.cpus, []))}',
                 # To look at the dead.
                 'on_crash="preserve"', 'on_reboot="preserve"', 'on_watchdog="preserve"', self.config]
        if len(self.sizes) > 1 and not self.by_hand:
            lines.append(self.vnuma())
        return '\n'.join(lines) + '\n'

    def vnuma(self):
        """xl's line on its nodes."""
        nodes = [f'["pnode={n}","size={size}","vcpus={self._cpus_of(n)}",'
                 f'"vdistances={self._distances_from(n)}"]' for n, size in enumerate(self.sizes)]
        return f'vnuma=[{",".join(nodes)}]'

    def _cpus_of(self, node):
        return ','.join(map(str, self.cpus[node]))

    def _distances_from(self, node):
        row = self.dist[node] if self.dist else [
            10 if other == node else ORDINARY_DISTANCE for other in range(len(self.sizes))]
        return ','.join(map(str, row))

    # --- what the guest says ---

    sh, read, write = Guest.sh, Guest.read, Guest.write

    def status(self, command, timeout=180):
        """Runs a shell command in the guest; returns its exit status and output."""
        name = f'{next(self._ids)}'
        coded = base64.b64encode(command.encode()).decode()
        ask = (f'stat -c %s {self.console_path} > /run/{self.name}.at; '
               f'echo {name} {int(timeout + 1)} {coded} > {self.tty}; ')
        answer = self._await(name, f'$(cat /run/{self.name}.at)', timeout + 30, ask, command)
        status, _, output = answer.partition('\n')
        return int(status), output

    def _await(self, word, offset, timeout, first='', command='the boot'):
        """Waits for the agent's line that begins with WORD; returns what follows that in its
        line, then, in lines of its own, what the console said from OFFSET up to there. Has dom0
        run FIRST, then: each command takes long there."""
        deadline = time.monotonic() + timeout
        while True:
            status, output = self.xen.status(
                f'{first}await {self.console_path} {offset} {word} 15')
            if status == 0:
                return output
            if status != 3:
                raise GuestError(self._report(f'dom0 cannot listen: {output}'))
            self._check_alive()
            if time.monotonic() > deadline:
                raise GuestError(self._report(f'{command!r}: no answer in {timeout} s'))
            first = ''

    def _check_alive(self):
        """Tells a guest that is dead from one that QEMU killed."""
        listed = self.xen.status(f'xl list {self.domid}')[1]
        state = re.search(rf' {self.domid} +\d+ +\d+\s+([-a-z]{{6}})', listed)
        if state and not set('scd') & set(state[1]):    # shut down, crashed, dying
            return
        said = self.said()
        dump = re.search(rf'd{self.domid}v\d+ Triple fault(.*)', self.xen.console(), re.S)
        if dump:
            inside = re.search(r'RIP:\s+e008:\[<ffff82d0', dump[1])
            flags = re.search(r'RFLAGS: ([0-9a-f]{16})', dump[1])
            fault = re.search(r'cr2: ([0-9a-f]{16})', dump[1])
            if inside:
                raise Flaky(self._report('triple fault inside of Xen'), sure=True)
            if (not said and flags and fault and not int(flags[1], 16) & 0x200 and
                    not int(fault[1], 16)):
                raise Flaky(self._report('triple fault before its first word'), sure=False)
        raise (GuestError if said else NoStart)(self._report('it is dead: ' + (state[1] if state else listed.strip())))

    def said(self):
        """All that its console has said."""
        return self.xen.status(f"cat {self.console_path} | tr -d '\\0'")[1]

    def save_console(self):
        text = self.said()
        with open(self.console_log, 'w') as log:
            log.write(text)
        return text

    def warnings(self):
        """The lines of its kernel's log that tell of trouble. After the boot the console has but
        the worst: what the rest would do is land in the agent's answers."""
        lines = self.said().splitlines() + self.sh('dmesg').splitlines()
        return [line for line in lines if TROUBLE.search(line)]

    def _report(self, what):
        tail = '\n'.join(self.save_console().splitlines()[-25:])
        return self.xen._report(f'{self.name}: {what}\n--- {self.name} '
                                f'({os.path.relpath(self.console_log, TOP)})\n{tail}\n---')

    # --- its memory ---

    def pages(self):
        """Its pages per physical node, as Xen counts them."""
        return self.xen.node_pages()[self.domid]

    def mappings(self):
        """How many blocks of 2M of a PVH guest Xen has mapped in one piece, and how many in 4K: the
        processor's own tables say so."""
        whole, tables = self.tables()
        return whole, len(tables)

    def tables(self):
        """The number of blocks in one piece, and the tables' addresses of the others, by what they
        map."""
        text = self.xen.sh('xl debug-keys v; xl dmesg -c').rpartition("'v' pressed")[2]
        state = re.search(rf'>>> Domain {self.domid} <<<.*?H_CR3 = 0x([0-9a-f]+)', text, re.S)
        if not state:
            raise GuestError(self._report(f'Xen tells of no nested page table:\n{text}'))
        tables, whole = {0: int(state[1], 16)}, 0
        for blocks in 512 * 512, 512, 1:
            entries = {512 * at + i: entry for at, table in tables.items()
                       for i, entry in enumerate(self.xen.table(table)) if entry & PRESENT}
            tables = {at: entry & FRAME for at, entry in entries.items() if not entry & LARGE}
            whole += blocks * (len(entries) - len(tables))
        return whole, tables

    def blocks(self):
        """How many blocks of 2M of a PVH guest are mapped in one piece; and of those in 4K, how many
        pages each has, by its number."""
        whole, tables = self.tables()
        return whole, {block: sum(entry & PRESENT for entry in self.xen.table(at))
                       for block, at in tables.items()}

    def store(self, path):
        """The path in Xen's store of one of its own."""
        return f'/local/domain/{self.domid}/{path}'

    def set_target(self, mib):
        """Asks for a size; returns at once."""
        self.xen.sh(f'xl mem-set {self.domid} {mib}', 120)

    def wait_target(self, mib, timeout=120):
        """Waits until it has just the pages that MIB leave of all; returns them per node."""
        want = self.full - (sum(self.sizes) - mib) * 256
        deadline = time.monotonic() + timeout
        while True:
            pages = self.pages()
            if sum(pages) == want:
                return pages
            if time.monotonic() > deadline:
                self._check_alive()
                raise GuestError(self._report(f'{sum(pages)} pages, not {want}, in {timeout} s'))
            time.sleep(0.3)

    def mem_set(self, mib, timeout=120):
        self.set_target(mib)
        return self.wait_target(mib, timeout)


class Program(Domain):
    """A PVH guest that is one program of scripts/xen, which says on Xen's console what it does:
    nothing runs commands in it.

    name    the program, a file that Xen was told of
    mib     its memory
    """

    def __init__(self, xen, name, mib=64):
        super().__init__(xen, nodes=[mib], name=name)

    def start(self):
        path = f'/guest/{self.name}.cfg'
        coded = base64.b64encode(self.description().encode()).decode()
        self.xen.sh(f'echo {coded} | base64 -d > {path}; xl create {path}', 600)
        self.domid = int(self.xen.sh(f'xl domid {self.name}'))
        return self

    def description(self):
        return (f'name="{self.name}"\ntype="pvh"\nkernel="/guest/{self.name}"\nvcpus=1\n'
                f'memory={self.start_mib}\nmaxmem={self.start_mib}\non_crash="preserve"\n')

    def said(self):
        return '\n'.join(re.findall(rf'\(d{self.domid}\) (.*)', self.xen.console()))

    def await_word(self, word, timeout=180):
        """Waits until it has said that; returns all that it has said."""
        deadline = time.monotonic() + timeout
        while word not in self.said():
            self._check_alive()
            if time.monotonic() > deadline:
                raise GuestError(self._report(f'no {word!r} in {timeout} s'))
            time.sleep(0.5)
        return self.said()


def pvh_trouble():
    """Why no PVH guest can run here, or None. Tried with the unpatched kernel, once for each
    version of QEMU and of Xen, and kept in build/xen/trial.

    From 9 or so on, QEMU's emulated SVM reports the wrong register to the hypervisor, and every
    guest ends without a word. No word from one that is made to work by QEMU's luck is no proof:
    so there are several trials.
    """
    qemu = subprocess.run([QEMU, '--version'], text=True, stdout=subprocess.PIPE).stdout
    with open(os.path.join(XEN, 'packages', 'version')) as file:
        stamp = f'{qemu.splitlines()[0]}, Xen {file.read().strip()}: '
    kept = os.path.join(XEN, 'trial')
    if os.path.exists(kept):
        with open(kept) as file:
            found = file.read().strip()
        if found.startswith(stamp):
            return found.removeprefix(stamp).removeprefix('runs')
    trouble = ''
    for attempt in range(3):
        try:
            with Xen(guests=['vanilla'], name='xen-trial') as xen, Domain(xen, flavour='vanilla'):
                trouble = ''
                break
        except (NoStart, Flaky) as error:
            trouble = f'no PVH guest starts: {str(error).splitlines()[0]} ({stamp[:-2]})'
    with open(kept, 'w') as file:
        file.write(f'{stamp}{trouble or "runs"}\n')
    return trouble
