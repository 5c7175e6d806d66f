# SPDX-License-Identifier: GPL-2.0
"""Boots a NUMA guest under QEMU, runs commands in it and looks at its memory from the host.

    with Guest(nodes=[1024] * 4, dist=dist, balloon={'free-page-reporting': True}) as guest:
        guest.set_balloon(1 << 30)
        print(guest.sh('cat /proc/vmstat'), guest.host_bytes(0))

The guest's kernel writes to the first serial port, into a log; a small agent answers on the
second one. No QEMU outlives its Guest, however that ends.
"""

import base64
import ctypes
import errno
import itertools
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SHARED = os.path.join(TOP, 'build')
BUILD = os.path.join(SHARED, 'next') if os.environ.get('KERNEL') == 'next' else SHARED
ARM64 = os.environ.get('ARCH') == 'arm64'
PAGES = os.environ.get('PAGES') or '4k'
# What all that is made for another machine than x86 has behind its name.
ON = f'-arm64-{PAGES}' if ARM64 else ''
QEMU = 'qemu-system-aarch64' if ARM64 else 'qemu-system-x86_64'
MIB = 1 << 20
# The guest's.
PAGE = 65536 if ARM64 and PAGES == '64k' else 4096
HUGE = 2 * MIB

# What the kernel says when something is wrong with it.
TROUBLE = re.compile(r'WARNING:|BUG:|KASAN|UBSAN|Oops|general protection|Kernel panic|'
                     r'possible circular locking|possible recursive locking|'
                     r'inconsistent lock state|suspicious RCU|INFO: task|'
                     r'INFO: trying to register|turning off the locking|'
                     r'rcu: INFO|bad page|Bad page|list_(add|del) corruption|'
                     r'refcount_t:|sleeping function called')

names = itertools.count(1)
pool_lock = threading.Lock()


class GuestError(Exception):
    """Something is wrong with the guest, its QEMU, or the host's means for it."""


class Hung(GuestError):
    """The guest did not answer in time."""


def kernel_of(flavour):
    """The path of a built kernel: vanilla, release or debug."""
    if ARM64:
        return os.path.join(BUILD, flavour + ON, 'arch/arm64/boot/Image')
    return os.path.join(BUILD, {'vanilla': 'vanilla/bzImage', 'release': 'bzImage',
                                'debug': 'debug/arch/x86/boot/bzImage',
                                'kcsan': 'kcsan/arch/x86/boot/bzImage',
                                'rt': 'rt/arch/x86/boot/bzImage',
                                'irqsoff': 'irqsoff/arch/x86/boot/bzImage',
                                'lend': 'lend/arch/x86/boot/bzImage',
                                'upstream-before': 'vanilla/upstream/arch/x86/boot/bzImage',
                                'upstream': 'upstream/objects/arch/x86/boot/bzImage'}[flavour])


def initramfs_of(flavour):
    packed = '' if flavour in ('debug', 'kcsan', 'rt') else '.gz'
    return os.path.join(BUILD, f'initramfs-{flavour}{ON}.cpio{packed}')


def put_agent(root):
    """Builds the agent into a ROOT that is not our initramfs."""
    subprocess.run(['gcc', '-O2', '-Wall', '-static', '-o', os.path.join(root, 'agent'),
                    os.path.join(TOP, 'scripts/guest/agent.c')], check=True)


def split_cpus(count, nodes):
    """Distributes cpus 0..count-1 over the nodes, as evenly as possible."""
    return [list(range(n * count // nodes, (n + 1) * count // nodes)) for n in range(nodes)]


class Channel:
    """Our end of a socket that QEMU inherits."""

    def __init__(self):
        self.ours, self.theirs = socket.socketpair()
        self.buffer = b''

    def send(self, data):
        try:
            self.ours.sendall(data)
        except OSError as error:
            raise GuestError(f'QEMU has gone: {error}') from error

    def read_until(self, end, deadline):
        """Returns all up to the first match of the regular expression END, and the match."""
        while True:
            match = re.search(end, self.buffer)
            if match:
                text = self.buffer[:match.start()]
                self.buffer = self.buffer[match.end():]
                return text, match
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.ours], [], [], left)[0]:
                raise Hung('no answer')
            try:
                data = self.ours.recv(1 << 16)
            except ConnectionError:
                data = b''
            if not data:
                raise GuestError('QEMU has gone')
            self.buffer += data

    def close(self):
        self.ours.close()
        self.theirs.close()


class Qmp:
    """QEMU's control socket."""

    def __init__(self, channel):
        self.channel = channel
        self.events = []

    def greet(self):
        self._message(120)
        self('qmp_capabilities')

    def __call__(self, command, timeout=60, **arguments):
        """Runs a QMP command and returns what it returns."""
        request = {'execute': command}
        if arguments:
            request['arguments'] = {key.replace('_', '-'): value
                                    for key, value in arguments.items()}
        self.channel.send(json.dumps(request).encode() + b'\n')
        while True:
            message = self._message(timeout)
            if 'event' in message:
                self.events.append(message)
            elif 'error' in message:
                raise GuestError(f'QMP {command}: {message["error"]["desc"]}')
            else:
                return message['return']

    def _message(self, timeout):
        line, _ = self.channel.read_until(b'\n', time.monotonic() + timeout)
        return json.loads(line)


class Guest:
    """One running guest.

    flavour     which kernel and initramfs: vanilla, release or debug; kernel and initramfs
                name other files
    nodes       sizes in MiB; 0 is a memoryless node
    dist        matrix of distances, of any kind (asymmetric ones too)
    backend     memfd, anon or hugetlbfs: one for all nodes, or a list
    prealloc    whether the host's memory is populated at the start; by default it is unless
                the backend is anon
    touched     MiB that the guest comes to touch, if that is far less than it has and nothing is
                populated at the start: what the host must have
    cpus        a count, or for each node the list of its cpus; [] is a cpuless node
    balloon     properties of the balloon device; None: there is none
    pending     bytes that the host wants ballooned from the first moment on
    append      more words for the kernel's command line
    extra       more arguments for QEMU
    accel       kvm or tcg; by default what works here
    name        what its logs are called: build/logs/NAME.console and NAME.qemu
    interactive the console is this terminal, and a shell runs there instead of the agent
    incoming    where QEMU gets the guest from, which another one has booted, as its -incoming
    """

    def __init__(self, flavour='release', nodes=(1024,) * 4, dist=None, backend='memfd',
                 prealloc=None, touched=None, cpus=None, balloon={}, pending=0, append='', extra=(),
                 accel=None, name=None, interactive=False, boot_timeout=600, kernel=None,
                 initramfs=None, incoming=None):
        self.flavour = flavour
        self.kernel = kernel or kernel_of(flavour)
        self.initramfs = initramfs or initramfs_of(flavour)
        self.sizes = list(nodes)
        self.dist = dist
        self.backends = [backend] * len(self.sizes) if isinstance(backend, str) else backend
        self.prealloc = prealloc
        self.touched = touched or sum(self.sizes)
        if cpus is None:
            cpus = len(self.sizes)
        self.cpus = split_cpus(cpus, len(self.sizes)) if isinstance(cpus, int) else cpus
        self.balloon = balloon
        self.pending = pending
        self.append = append
        self.extra = list(extra)
        self.accel = accel
        self.interactive = interactive
        self.boot_timeout = boot_timeout
        self.incoming = incoming
        self.name = (name or f'guest-{os.getpid()}-{next(names)}') + ON
        logs = os.path.join(BUILD, 'logs')
        os.makedirs(logs, exist_ok=True)
        self.console_log = os.path.join(logs, f'{self.name}.console')
        self.qemu_log = os.path.join(logs, f'{self.name}.qemu')
        self.process = None
        self.pool = 0
        self._ids = itertools.count(1)

    # --- starting and ending ---

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(self, *_):
        self.stop()

    def start(self):
        """Boots; a boot that fails for want of the host's time is tried once more, and that is said."""
        self.accel = self.accel or accelerator()
        try:
            self._boot()
        except Hung as error:
            print(f'{str(error).splitlines()[0]} (the console is kept in {self.console_log}.hung);'
                  ' trying once more', file=sys.stderr)
            self.stop()
            os.replace(self.console_log, self.console_log + '.hung')
            self._boot()
        return self

    def stop(self):
        """Kills QEMU and gives back what was taken from the host for it."""
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None
            self.agent.close()
            self.qmp.channel.close()
        if self.pool:
            resize_pool(-self.pool)
            self.pool = 0

    def wait(self):
        """Waits until the guest ends by itself."""
        return self.process.wait()

    def running(self):
        return self.process is not None and self.process.poll() is None

    def _boot(self):
        for path in self.kernel, self.initramfs:
            if not os.path.exists(path):
                raise GuestError(f'{os.path.relpath(path, TOP)} is not there: build it first')
        self._claim_memory()
        began = time.monotonic()
        self.agent, control = Channel(), Channel()
        self.qmp = Qmp(control)
        theirs = [self.agent.theirs.fileno(), control.theirs.fileno()]
        with open(self.qemu_log, 'w') as log:
            try:
                self.process = subprocess.Popen(
                    self._command(*theirs), pass_fds=theirs, stderr=log,
                    stdin=None if self.interactive else subprocess.DEVNULL,
                    stdout=None if self.interactive else log,
                    # Ctrl-C is for us: we end QEMU. A terminal of its own it must keep.
                    start_new_session=not self.interactive, preexec_fn=die_with_parent)
            except FileNotFoundError as error:
                raise GuestError(f"{QEMU} is missing: run 'make deps'") from error
        self.agent.theirs.close()
        control.theirs.close()
        try:
            self.qmp.greet()
            if self.pending:
                # Long before the guest's driver looks.
                self.set_balloon(self.pending)
            if not self.interactive and not self.incoming:
                self.agent.read_until(rb'\x00agent ready\n',
                                      time.monotonic() + self.boot_timeout)
        except Hung as error:
            raise Hung(self._report(f'no boot within {self.boot_timeout} s')) from error
        except GuestError as error:
            raise GuestError(self._report(f'the boot failed: {error}')) from error
        if self.accel == 'tcg' and not self.interactive and not self.incoming:
            # On a busy host Linux may find the TSC slower than it is by far: then all that waits
            # ends too early, for as long as it runs.
            took, up = time.monotonic() - began, float(self.sh('cat /proc/uptime').split()[0])
            if up > 1.5 * took:
                raise Hung(self._report(f'up for {up:.0f} s after {took:.0f} s: its clock is wrong'))

    def _command(self, agent_fd, qmp_fd):
        words = [QEMU, '-M', 'virt,gic-version=max' if ARM64 else 'q35', '-nodefaults',
                 '-display', 'none', '-no-reboot',
                 '-m', f'{sum(self.sizes)}M', '-kernel', self.kernel, '-initrd', self.initramfs]
        if self.accel == 'kvm':
            words += ['-accel', 'kvm', '-cpu', 'host']
        elif self.accel == 'icount':
            # One nanosecond an instruction, and the same ones each time.
            words += ['-accel', 'tcg,thread=single', '-icount', 'shift=0,sleep=off',
                      '-cpu', 'qemu64', '-rtc', 'base=2026-01-01,clock=vm']
        elif ARM64:
            words += ['-accel', 'tcg,thread=multi', '-cpu', 'max']
        else:
            # With five levels of page tables, KASAN takes each interrupt that comes while the
            # kernel identifies its CPU (and forgets for a moment what that can do) for a bug.
            # With ERMS, Linux clears and copies byte by byte; emulated, eight at a time are faster.
            words += ['-accel', 'tcg,thread=multi', '-cpu', 'max,la57=off,erms=off']
        count = sum(map(len, self.cpus))
        # A socket a cpu: a socket may not span two nodes.
        words += ['-smp', f'{count},sockets={count}']
        for node, size in enumerate(self.sizes):
            numa = f'node,nodeid={node}' + ''.join(f',cpus={cpu}' for cpu in self.cpus[node])
            if size:
                words += ['-object', self._memory(node)]
                numa += f',memdev=m{node}'
            words += ['-numa', numa]
        # In full: QEMU completes a matrix by its transpose, or refuses half a one.
        for src, row in enumerate(self.dist or []):
            for dst, value in enumerate(row):
                words += ['-numa', f'dist,src={src},dst={dst},val={value}']
        if self.balloon is not None:
            words += ['-device', ','.join(['virtio-balloon-pci,id=balloon'] + [
                f'{key}={"on" if value is True else "off" if value is False else value}'
                for key, value in self.balloon.items()])]
        append = f'console={"ttyAMA0" if ARM64 else "ttyS0"} panic=-1 {self.append}'
        if self.accel == 'tcg' and not ARM64:
            # It is the host's, but does not say that it is constant: Linux would take the HPET,
            # a device, whose emulation holds up all CPUs.
            append += ' tsc=reliable'
            # Nor does a timer of a busy host's guest tick in the time that it is tried for.
            append += ' no_timer_check'
            # Nothing leaks out of an emulated pipeline.
            append += ' mitigations=off'
        if self.accel == 'tcg':
            # CPUs of a busy host's guest stand still for seconds.
            append += ' rcupdate.rcu_cpu_stall_timeout=60'
        console = f'file,id=console,path={self.console_log}'
        if self.interactive:
            append += ' agent=none'
            console = f'stdio,id=console,mux=on,signal=off,logfile={self.console_log}'
        elif ARM64:
            append += ' agent=ttyS0'
        # "virt" has one serial port of its own.
        words += ['-append', append, '-chardev', console, '-serial', 'chardev:console',
                  '-chardev', f'socket,id=agent,fd={agent_fd}',
                  *(['-device', 'pci-serial,chardev=agent'] if ARM64 else ['-serial', 'chardev:agent']),
                  '-chardev', f'socket,id=qmp,fd={qmp_fd}', '-mon', 'chardev=qmp,mode=control']
        if self.incoming:
            words += ['-incoming', self.incoming]
        if self.interactive:
            words += ['-mon', 'chardev=console,mode=readline']
        return words + self.extra

    def _memory(self, node):
        backend = self.backends[node]
        prealloc = backend != 'anon' if self.prealloc is None else self.prealloc
        kind = {'anon': 'memory-backend-ram',
                'memfd': 'memory-backend-memfd,share=on',
                'hugetlbfs': 'memory-backend-memfd,share=on,hugetlb=on,hugetlbsize=2M'}[backend]
        return (f'{kind},id=m{node},size={self.sizes[node]}M,'
                f'prealloc={"on" if prealloc else "off"}')

    def _claim_memory(self):
        """Makes sure that the host has the memory, huge pages included, before it is short."""
        available = meminfo('MemAvailable')
        if self.touched * MIB > available:
            raise GuestError(f'the guest wants {self.touched} MiB, the host has '
                             f'{available // MIB} MiB to give')
        huge = sum(size for size, backend in zip(self.sizes, self.backends)
                   if backend == 'hugetlbfs') * MIB // HUGE
        if not huge:
            return
        # Pages of its own: free ones may be another guest's, which is about to map them, or has
        # just given some back.
        try:
            resize_pool(huge)
            self.pool = huge
        except GuestError:
            if huge > meminfo('HugePages_Free') - meminfo('HugePages_Rsvd'):
                raise

    # --- what the guest says ---

    def sh(self, command, timeout=180):
        """Runs a shell command in the guest and returns its output; a status other than 0 is
        an exception."""
        status, output = self.status(command, timeout)
        if status:
            raise GuestError(self._report(f'{command!r} ended with status {status}:\n{output}'))
        return output

    def status(self, command, timeout=180):
        """Runs a shell command in the guest; returns its exit status and output."""
        name = f'{next(self._ids)}'
        coded = base64.b64encode(command.encode()).decode()
        self.agent.send(f'{name} {int(timeout + 1)} {coded}\n'.encode())
        try:
            # The guest itself ends the command in time; more is for its answer.
            output, match = self.agent.read_until(rb'\x00%s (\d+)\n' % name.encode(),
                                                  time.monotonic() + timeout + 30)
        except GuestError as error:
            raise type(error)(self._report(f'{command!r}: {error}')) from error
        # The answer of a command that was given up may come first.
        return int(match[1]), output.rpartition(b'\0')[2].decode(errors='replace')

    def read(self, path):
        return self.sh(f'cat {path}').strip()

    def write(self, path, value):
        self.sh(f"printf '%s\\n' '{value}' > {path}")

    def console(self):
        """All that the guest's kernel has said."""
        if not os.path.exists(self.console_log):
            return ''
        with open(self.console_log, errors='replace') as log:
            return log.read()

    def warnings(self):
        """The lines of the kernel's log that tell of trouble."""
        log = self.console()
        if self.flavour == 'kcsan':
            # The unpatched kernel has data races, too: those with the balloon in no stack are its.
            log = '\n'.join(part for part in re.split(r'^.*={40,}$', log, flags=re.M)
                            if 'BUG: KCSAN' not in part or 'balloon' in part)
        return [line for line in log.splitlines() if TROUBLE.search(line)]

    def _report(self, what):
        """WHAT, with the ends of the logs."""
        with open(self.qemu_log, errors='replace') as log:
            qemu = log.read().strip()
        kernel_tail = '\n'.join(self.console().splitlines()[-25:])
        return (f'{self.name}: {what}' + (f'\n--- QEMU\n{qemu}' if qemu else '') +
                f'\n--- kernel ({os.path.relpath(self.console_log, TOP)})\n{kernel_tail}')

    # --- the host's side of the balloon ---

    def bytes(self):
        return sum(self.sizes) * MIB

    def set_balloon(self, size):
        """Asks the guest for SIZE bytes, the host's target; returns at once."""
        self.qmp('balloon', value=self.bytes() - size)

    def actual(self):
        """What the guest says is in the balloon, in bytes."""
        return self.bytes() - self.qmp('query-balloon')['actual']

    # --- the host's memory behind a node ---

    def migrate(self, to, timeout=300):
        """Sends the guest where another Guest's 'incoming' takes it from; returns what QEMU says of it."""
        self.qmp('migrate', uri=to)
        deadline = time.monotonic() + timeout
        while (said := self.qmp('query-migrate')).get('status') != 'completed':
            if said.get('status') == 'failed' or time.monotonic() > deadline:
                raise GuestError(self._report(f'migration: {said}'))
            time.sleep(0.05)
        return said

    def settle(self, size, timeout=120, poll=0.05):
        """Seconds until the balloon holds SIZE bytes, as the host wants from now on."""
        began = time.monotonic()
        self.set_balloon(size)
        while self.actual() != size:
            if time.monotonic() - began > timeout:
                raise GuestError(self._report(f'{self.actual()} of {size} bytes in {timeout} s'))
            time.sleep(poll)
        return time.monotonic() - began

    def host_bytes(self, node):
        """What the host has populated of a node's memory."""
        if not self.sizes[node]:
            return 0
        if self.backends[node] == 'anon':
            return self._mapping_bytes(node)
        return os.stat(self._memfd(node)).st_blocks * 512

    def populate(self, node):
        """Has the host populate again what a memfd lost: its holes only, so the guest may run."""
        with open(self._memfd(node), 'r+b', buffering=0) as memfd:
            os.posix_fallocate(memfd.fileno(), 0, self.sizes[node] * MIB)

    def holes(self, node):
        """The holes of a node's memfd: a list of (offset, length)."""
        if self.backends[node] != 'memfd':
            raise GuestError(f'{self.backends[node]} memory cannot tell its holes')
        end = self.sizes[node] * MIB
        found = []
        with open(self._memfd(node), 'rb', buffering=0) as memfd:
            fd, at = memfd.fileno(), 0
            while at < end:
                hole = os.lseek(fd, at, os.SEEK_HOLE)
                if hole >= end:
                    break
                try:
                    at = os.lseek(fd, hole, os.SEEK_DATA)
                except OSError as error:
                    if error.errno != errno.ENXIO:
                        raise
                    at = end        # no data follows
                found.append((hole, at - hole))
        return found

    def phys_to_node_offset(self, pfn):
        """Where the host keeps a guest's page frame: (node, offset in the node's memory)."""
        address, total = pfn * PAGE, self.bytes()
        # QEMU's "q35": memory below 4G ends at 2G if it would reach 2.75G, the rest is above.
        low = total if total < 0xb0000000 else 0x80000000
        if ARM64:
            # That of "virt" begins at 1G.
            address -= 1 << 30
            if address < 0:
                raise GuestError(f'page frame {pfn:#x} is no memory')
        elif address >= 1 << 32:
            address += low - (1 << 32)
        elif address >= low:
            raise GuestError(f'page frame {pfn:#x} is no memory')
        for node, size in enumerate(self.sizes):
            if address < size * MIB:
                return node, address
            address -= size * MIB
        raise GuestError(f'page frame {pfn:#x} is no memory')

    def _memfd(self, node):
        """The path to a node's memfd. All have one name; QEMU opens them in the nodes' order."""
        folder = f'/proc/{self.process.pid}/fd'
        found = []
        for fd in sorted(map(int, os.listdir(folder))):
            path = f'{folder}/{fd}'
            if os.readlink(path).startswith('/memfd:memory-backend-memfd'):
                found.append(path)
        path = found[sum(1 for n in range(node) if self._is_memfd(n))]
        if os.stat(path).st_size != self.sizes[node] * MIB:
            raise GuestError(f"cannot tell which memfd is node {node}'s")
        return path

    def _is_memfd(self, node):
        return self.sizes[node] and self.backends[node] != 'anon'

    def _mapping_bytes(self, node):
        """The resident bytes of a node's anonymous mapping. Mappings are made downwards, so
        among nodes of one size the first has the highest address."""
        peers = [n for n, size in enumerate(self.sizes)
                 if size == self.sizes[node] and self.backends[n] == 'anon']
        rss = []
        with open(f'/proc/{self.process.pid}/smaps') as smaps:
            for line in smaps:
                words = line.split()
                if re.match(r'[0-9a-f]+-', line):
                    start, end = (int(x, 16) for x in words[0].split('-'))
                    ours = end - start == self.sizes[node] * MIB and words[4] == '0'
                elif words[0] == 'Rss:' and ours:
                    rss.append(int(words[1]) * 1024)
        if len(rss) != len(peers):
            raise GuestError(f"cannot tell which mapping is node {node}'s")
        return rss[len(peers) - 1 - peers.index(node)]


def meminfo(name):
    """A line of the host's /proc/meminfo: bytes, or a count of huge pages."""
    with open('/proc/meminfo') as lines:
        for line in lines:
            words = line.split()
            if words[0] == name + ':':
                return int(words[1]) * (1024 if len(words) > 2 else 1)
    raise GuestError(f'the host has no {name}')


def resize_pool(pages):
    """Adds 2M pages to the host's pool, or takes them away."""
    with pool_lock:
        have = pool_size()
        try:
            if pool_size(have + pages) < have + pages:
                pool_size(have)
                raise GuestError(f'the host has no {pages} huge pages more')
        except PermissionError as error:
            raise GuestError(f'{pages} huge pages are missing, and only root can add them') from error


def pool_size(want=None):
    """How many there are, once there are as many as wanted, or as many as can be."""
    path = '/proc/sys/vm/nr_hugepages'
    if want is not None:
        with open(path, 'w') as pool:
            pool.write(str(want))
    with open(path) as pool:
        return int(pool.read())


PR_SET_PDEATHSIG = 1
libc = ctypes.CDLL(None)


def die_with_parent():
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def accelerator():
    """kvm where a short boot with it works, else tcg. Tried once, kept in build/accel."""
    if ARM64 != (os.uname().machine == 'aarch64'):
        return 'tcg'
    kept = os.path.join(BUILD, 'accel')
    if os.path.exists(kept):
        with open(kept) as file:
            return file.read().strip()
    accel = 'tcg'
    if os.access('/dev/kvm', os.R_OK | os.W_OK):
        trial = next((f for f in ('release', 'vanilla', 'debug')
                      if os.path.exists(kernel_of(f)) and os.path.exists(initramfs_of(f))), None)
        if not trial:
            return accel
        guest = Guest(trial, nodes=[256, 256], accel='kvm', balloon=None, boot_timeout=30,
                      name='kvm-trial')
        try:
            guest._boot()
            guest.sh('for i in 1 2 3 4 5; do dd if=/dev/zero of=/tmp/x bs=1M count=50; done')
            accel = 'kvm'
        except GuestError:
            pass
        finally:
            guest.stop()
    with open(kept, 'w') as file:
        file.write(accel + '\n')
    return accel
