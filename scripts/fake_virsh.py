#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""A virsh without libvirt, for virt_test.py, which runs it, or calls its perform(): domains are
folders below $FAKE_VIRSH.

NAME/domain.json says how the domain is and how its guest agent behaves, NAME/root/ is what the
guest's kernel shows. Words of errors are those of libvirt (src/qemu/qemu_agent.c, qemu_domain.c,
tools/vsh.c) and of qemu-ga (qga/commands-posix.c, qapi/qmp-dispatch.c), whose files are stdio's:
what is written reaches the kernel when it is flushed or closed, a flush that failed leaves nothing
to write, and a handle that could not be closed is still listed, but freed. A real qemu-ga 7.2 and a
real virsh 9.0 were seen to do all of that.
"""

import base64
import json
import os
import re
import socket
import subprocess
import sys

PAGE = 4096
TOP = os.environ.get('FAKE_VIRSH')
COMMANDS = ['guest-ping', 'guest-info', 'guest-file-open', 'guest-file-read', 'guest-file-write',
            'guest-file-flush', 'guest-file-close', 'guest-exec', 'guest-exec-status',
            'guest-fsfreeze-status']
WHEN_FROZEN = ['guest-ping', 'guest-info', 'guest-fsfreeze-status']


class Error(Exception):
    """What virsh prints behind 'error: '."""


class AgentError(Exception):
    """What the agent answers with instead of a result."""


def load(path, otherwise=None):
    try:
        with open(path) as file:
            return json.load(file)
    except FileNotFoundError:
        return otherwise


def store(path, what):
    with open(path + '.new', 'w') as file:
        json.dump(what, file)
    os.rename(path + '.new', path)


class Kernel:
    """Files of the guest's balloon, and what they do."""

    def __init__(self, domain):
        self.domain = domain
        self.root = os.path.join(TOP, domain.name, 'root')

    def path(self, path):
        return self.root + path

    def get(self, path):
        with open(self.path(path)) as file:
            return file.read().strip()

    def put(self, path, text):
        if os.path.exists(self.path(path)):
            with open(self.path(path), 'w') as file:
                file.write(f'{text}\n')

    def nodes(self):
        names = os.listdir(self.path('/sys/devices/system/node'))
        return sorted(int(name[4:]) for name in names if re.fullmatch(r'node\d+', name))

    def write(self, path, text):
        """As sysfs: all or nothing. Raises an OSError."""
        if os.path.islink(self.path(path)):
            with open(self.path(path), 'w') as file:
                file.write(text)
            return
        value = text.removesuffix('\n')
        word = {'target': 'auto', 'limit': 'max'}.get(os.path.basename(path))
        if value != word and not (re.fullmatch(r'\d+', value) and
                                  int(value) <= self.domain.says.get('present', 1 << 40)):
            raise OSError(22, 'Invalid argument')
        self.put(path, value)
        self.pursue()

    def file(self, node, name):
        return f'/sys/devices/system/node/node{node}/balloon/{name}'

    def pursue(self):
        """Targets of nodes first, the others in equal parts, and no more than a limit allows."""
        left = int(self.get('/sys/kernel/mm/balloon/target'))
        hold = dict.fromkeys(self.nodes(), 0)
        targets = {node: self.get(self.file(node, 'target')) for node in hold}
        for node in hold:
            if targets[node] != 'auto':
                hold[node] = min(int(targets[node]), left, self.most(node))
                left -= hold[node]
        auto = [node for node in hold if targets[node] == 'auto']
        while left and (open_nodes := [node for node in auto if hold[node] < self.most(node)]):
            for i, node in enumerate(open_nodes):
                more = min(-(-left // (len(open_nodes) - i)), self.most(node) - hold[node])
                hold[node] += more
                left -= more
        self.domain.says['hold'] = hold
        self.domain.says['missing'] = left
        self.domain.says['looks'] = self.domain.says.get('lag', 0)
        self.domain.save()
        self.arrive()

    def most(self, node):
        limit = 'max'
        if os.path.exists(self.path(self.file(node, 'limit'))):
            limit = self.get(self.file(node, 'limit'))
        most = self.domain.says.get('most', {}).get(str(node), 1 << 40)
        return most if limit == 'max' else min(most, int(limit))

    def arrive(self):
        """Called at each look: it takes as many of them as 'lag' says."""
        says = self.domain.says
        if 'hold' not in says:
            return
        if says['looks'] > 0:
            says['looks'] -= 1
            self.put('/sys/kernel/mm/balloon/state', 'inflating')
        else:
            for node, pages in says['hold'].items():
                self.put(self.file(node, 'nr_pages'), pages)
                self.put(self.file(node, 'nr_superframes'), pages // 512)
            self.put('/sys/kernel/mm/balloon/nr_pages', sum(says['hold'].values()))
            reason = says.get('reason', 'guest-memory')
            self.put('/sys/kernel/mm/balloon/state',
                     f'waiting: {reason} 7' if says['missing'] else 'settled')
            if says.get('dies'):
                says['agent'] = 'off'
            says.pop('hold')
        self.domain.save()


class Agent:
    def __init__(self, domain):
        self.domain = domain
        self.kernel = Kernel(domain)
        self.path = os.path.join(TOP, domain.name, 'handles.json')
        self.kept = load(self.path, {'next': 1000, 'files': {}, 'runs': {}})

    def call(self, text):
        try:
            request = json.loads(text)
            command, words = request['execute'], request.get('arguments', {})
        except (ValueError, KeyError, TypeError):
            raise Error('internal error: cannot parse json') from None
        says = self.domain.says
        if says.get('agent') == 'garbage':
            return says.get('garbage', 'what?')
        try:
            if command not in COMMANDS or command in says.get('lacks', []):
                raise AgentError(f'The command {command} has not been found')
            if self.disabled(command):
                raise AgentError(says.get('words', 'Command {} has been disabled').format(command))
            answer = getattr(self, command.replace('-', '_'))(
                **{name.replace('-', '_'): value for name, value in words.items()})
            answer = says.get('answers', {}).get(command, answer)
        except AgentError as error:
            kind = 'guest agent command failed' if says.get('newer') else 'internal error'
            raise Error(f"{kind}: unable to execute QEMU agent command '{command}': "
                        f'{error}') from None
        except TypeError:
            raise Error(f"internal error: unable to execute QEMU agent command '{command}': "
                        'Invalid parameter type') from None
        return json.dumps({'return': answer})

    def disabled(self, command):
        says = self.domain.says
        return (command in says.get('blocked', []) or
                says.get('frozen') and command not in WHEN_FROZEN)

    def guest_ping(self):
        return {}

    def guest_info(self):
        return {'version': '7.2.22',
                'supported_commands': [
                    {'enabled': not self.disabled(command), 'name': command,
                     'success-response': True}
                    for command in COMMANDS if command not in self.domain.says.get('lacks', [])]}

    def guest_fsfreeze_status(self):
        return 'frozen' if self.domain.says.get('frozen') else 'thawed'

    # Files

    def file(self, handle):
        file = self.kept['files'].get(str(handle))
        if file is None:
            raise AgentError(f"handle '{handle}' has not been found")
        if file.get('freed'):
            with open(os.path.join(TOP, 'crashes'), 'a') as log:
                log.write(f"{file['path']}\n")
        return file

    def guest_file_open(self, path, mode='r'):
        try:
            if path in self.domain.says.get('denied', []):
                raise OSError(13, 'Permission denied')
            flags = {'r': os.O_RDONLY, 'r+': os.O_RDWR,
                     'w': os.O_WRONLY | os.O_CREAT | os.O_TRUNC}[mode]
            os.close(os.open(self.kernel.path(path), flags))
        except OSError as error:
            words = self.domain.says.get('errno', {}).get(str(error.errno), error.strerror)
            raise AgentError(f"failed to open file '{path}' (mode: '{mode}'): {words}") from None
        if path.endswith('/balloon/state') and mode == 'r':
            self.kernel.arrive()
        handle = self.kept['next']
        self.kept['next'] += 1
        self.kept['files'][str(handle)] = {'path': path, 'at': 0, 'buffer': ''}
        if len(self.kept['files']) > 1000:
            raise AgentError(f"failed to open file '{path}' (mode: '{mode}'): Too many open files")
        return handle

    def guest_file_read(self, handle, count=4096):
        file = self.file(handle)
        if file['path'] in self.domain.says.get('endless', []):
            data = base64.b64encode(bytes(count)).decode()
            return {'count': count, 'buf-b64': data, 'eof': False}
        try:
            with open(self.kernel.path(file['path']), 'rb') as source:
                source.seek(file['at'])
                data = source.read(count)
        except OSError as error:
            raise AgentError(f'failed to read file: {error.strerror}') from None
        file['at'] += len(data)
        return {'count': len(data), 'buf-b64': base64.b64encode(data).decode(),
                'eof': len(data) < count}

    def guest_file_write(self, handle, buf_b64):
        data = base64.b64decode(buf_b64).decode()
        self.file(handle)['buffer'] += data
        return {'count': len(data), 'eof': False}

    def flush(self, file, what):
        if not file['buffer']:
            return
        text, file['buffer'] = file['buffer'], ''
        try:
            self.kernel.write(file['path'], text)
        except OSError as error:
            raise AgentError(f'failed to {what}: {error.strerror}') from None

    def guest_file_flush(self, handle):
        self.flush(self.file(handle), 'flush file')
        return {}

    def guest_file_close(self, handle):
        file = self.file(handle)
        try:
            self.flush(file, 'close handle')
        except AgentError:
            file['freed'] = True
            raise
        self.kept['files'].pop(str(handle))
        return {}

    # Commands

    def guest_exec(self, path, arg=(), capture_output=False):
        if not os.access(path, os.X_OK) or self.domain.says.get('no_shell'):
            raise AgentError("Guest agent command failed, error was 'Failed to execute child "
                             f"process “{path}” (No such file or directory)'")
        words = [self.kernel.path(word) if word.startswith(('/sys/', '/proc/')) else word
                 for word in arg]
        if any(word.endswith('/balloon/state') for word in arg):
            self.kernel.arrive()
        done = subprocess.run([path, *words], capture_output=True)
        if 'cat >' in ' '.join(arg) and not done.returncode and \
                not os.path.islink(self.kernel.path(arg[-2])):
            self.kernel.pursue()
        pid = self.kept['next']
        self.kept['next'] += 1
        result = {'exited': True, 'exitcode': done.returncode, 'out-truncated': False}
        for name, data in ('out-data', done.stdout), ('err-data', done.stderr):
            if data and capture_output:
                data = data.replace(self.kernel.root.encode(), b'')
                result[name] = base64.b64encode(data).decode()
        self.kept['runs'][str(pid)] = [{'exited': False}, result]
        return {'pid': pid}

    def guest_exec_status(self, pid):
        run = self.kept['runs'].get(str(pid))
        if not run:
            raise AgentError("Invalid parameter 'pid'")
        return run.pop(0)


# What this virsh has read, by name.
domains = {}


def read_domains():
    for name in sorted(os.listdir(TOP)):
        if os.path.exists(os.path.join(TOP, name, 'domain.json')):
            domains[name] = Domain(name)


def domain_of(word):
    """As virshLookupDomainInternal() finds it: by its id if it is a number, by its UUID, then by
    its name."""
    for key, text in ('id', word.strip().lstrip('+')), ('uuid', word), ('name', word):
        for domain in domains.values():
            if domain.says[key] == text and (key != 'id' or domain.says['state'] != 'shut off'):
                return domain
    raise Error(f"failed to get domain '{word}'")


class Domain:
    def __init__(self, name):
        self.name = name
        self.path = os.path.join(TOP, name, 'domain.json')
        self.says = load(self.path)
        self.its_agent = None

    def save(self):
        store(self.path, self.says)

    def running(self):
        if self.says['state'] != 'running':
            raise Error('Requested operation is not valid: domain is not running')

    def agent(self, text):
        self.running()
        if "name='org.qemu.guest_agent.0'" not in self.says['xml']:
            raise Error('argument unsupported: QEMU guest agent is not configured')
        if self.says.get('agent') == 'off':
            raise Error('Guest agent is not responding: QEMU guest agent is not connected')
        if self.says.get('agent') == 'silent':
            raise Error('Guest agent is not responding: Guest agent not available for now')
        if self.says.get('socket'):
            return self.real_agent(text)
        self.its_agent = self.its_agent or Agent(self)
        return self.its_agent.call(text)

    def real_agent(self, text):
        """A qemu-ga that listens there."""
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(self.says['socket'])
            line.sendall(text.encode() + b'\n')
            answer = line.makefile().readline()
        if 'error' in json.loads(answer):
            raise Error('internal error: unable to execute QEMU agent command '
                        f"'{json.loads(text)['execute']}': {json.loads(answer)['error']['desc']}")
        return answer

    def setmem(self, text):
        self.running()
        kib = int(text)
        if self.says.get('setmem'):
            raise Error(self.says['setmem'])
        if kib > self.says['maxmem']:
            raise Error('invalid argument: cannot set memory higher than max memory')
        self.says['actual'] = kib
        self.save()
        kernel = Kernel(self)
        if not self.says.get('deaf'):
            kernel.put('/sys/kernel/mm/balloon/target', (self.says['maxmem'] - kib) * 1024 // PAGE)
            kernel.pursue()


def split(text):
    """Commands and their words, as vshCommandStringGetArg() takes them apart."""
    commands, words, word, quote, at = [], [], None, None, 0
    while at < len(text):
        char = text[at]
        at += 1
        if quote is None and char in ' \t\n;':
            if word is not None:
                words.append(word)
                word = None
            if char in ';\n' and words:
                commands.append(words)
                words = []
            continue
        word = word or ''
        if quote != "'" and char == '\\':
            word += text[at]
            at += 1
        elif char in '\'"' and quote in (None, char):
            quote = None if quote else char
        else:
            word += char
    if quote:
        raise Error('missing "')
    words += [word] if word is not None else []
    return commands + ([words] if words else [])


def run(command, words):
    """Returns what is printed."""
    if command == 'echo':
        # With -q, without a newline.
        return ' '.join(words)
    state = load(os.path.join(TOP, 'libvirt.json'), {})
    if state.get('down'):
        raise Error('failed to connect to the hypervisor\nerror: ' + state['down'])
    if command == 'uri':
        return state.get('uri', 'qemu:///system') + '\n'
    if command == 'list':
        return ''.join(f"{domain.says[words[0].removeprefix('--')]}\n"
                       for domain in domains.values() if domain.says['state'] != 'shut off')
    domain = domain_of(words[0])
    if command == 'domstate':
        return domain.says['state'] + '\n'
    if command == 'dumpxml':
        return domain.says['xml']
    if command == 'qemu-agent-command':
        return domain.agent(words[words.index('--cmd') + 1]) + '\n'
    if command == 'qemu-monitor-command':
        said = domain.says.get('monitor', {}).get(words[words.index('--hmp') + 1])
        if said is None:
            raise Error('internal error: unable to execute QEMU command '
                        "'human-monitor-command': unknown")
        return said
    if command == 'setmem':
        domain.setmem(words[1])
        return ''
    if command == 'dommemstat':
        domain.running()
        return f"actual {domain.says['actual']}\nrss 187200\n"
    raise Error(f"unknown command: '{command}'")


def perform(words, language, tell):
    """Calls tell() with what is printed, and whether that is an error; returns the status."""
    with open(os.path.join(TOP, 'log'), 'a') as log:
        log.write(json.dumps(words) + '\n')
    while words and words[0].startswith('-'):
        if words.pop(0) == '-c':
            words.pop(0)
    status = 0
    domains.clear()
    read_domains()
    for command, *rest in split(words[0]) if len(words) == 1 else [words]:
        try:
            tell(run(command, rest), False)
        except Error as error:
            # As de.po has it.
            tell(f"{'error' if language == 'C' else 'Fehler'}: {error}\n", True)
            status = 1
        else:
            status = 0
    for domain in domains.values():
        if domain.its_agent:
            store(domain.its_agent.path, domain.its_agent.kept)
    return status


def main():
    return perform(sys.argv[1:], os.environ.get('LC_ALL'), lambda text, wrong: print(
        text, end='', file=sys.stderr if wrong else sys.stdout, flush=True))


if __name__ == '__main__':
    sys.exit(main())
