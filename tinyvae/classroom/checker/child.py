"""The processes in which somebody's file runs: a keeper, and a worker that it forks.

    checker  --->  keeper  --->  worker  --->  what the file itself starts
             <---          <---

The worker imports the file, calls its functions and sends their values: nothing else comes out of
it.  The keeper runs none of the user's code.  It holds the limits: when the checker ends, however
that ends, when the time is over, or when the worker and its children together take too much
memory, too many processes or too much of the disk, it ends them all.

Messages are trees (`values`), each after its length in 8 bytes.
"""

import __future__

import ast
import contextlib
import faulthandler
import functools
import importlib
import itertools
import linecache
import operator
import os
import select
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
import types

from tinyvae.classroom.checker.function import CannotRun, LocalFile, describe, line_of
from tinyvae.classroom.checker.values import escape, pack, unpack

POLL = 0.05  # seconds between two looks at what the worker and its children take
PRINTED = 64 * 2**20  # bytes that may be printed
FILES = 64 * 2**20  # bytes that may be written to files, in sum and for each
PROCESSES = 64  # at the same time
HEAD = 4096  # bytes of the output that are kept
LARGEST_MESSAGE = 2**28  # bytes
LINUX = sys.platform.startswith("linux")
SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGPIPE", "SIGTSTP")
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36

# ---- messages ------------------------------------------------------------------------------------


class Closed(Exception):
    """The other side is gone."""


def send(channel, tree):
    """Send a tree through a socket"""
    data = pack(tree)
    try:
        channel.sendall(len(data).to_bytes(8, "little") + data)
    except OSError:
        raise Closed from None


def receive(channel):
    """The next tree from a socket.  Closed if there is none, ValueError if it is none."""
    size = int.from_bytes(exactly(channel, 8), "little")
    if size > LARGEST_MESSAGE:
        raise ValueError(f"a message of {size} bytes")
    return unpack(exactly(channel, size))


def exactly(channel, size):
    """So many bytes from a socket"""
    parts = []
    while size:
        try:
            part = channel.recv(min(size, 2**20))
        except OSError:
            raise Closed from None
        if not part:
            raise Closed
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


# ---- the keeper ----------------------------------------------------------------------------------


def keep(control, preload):
    """What the keeper does: fork workers as asked, hold the limits, end with the checker

    control   the number of a socket to the checker
    preload   libraries that are imported before any worker is forked
    """
    channel = socket.socket(fileno=control)
    for name in SIGNALS:
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    _import_all(preload)
    try:
        send(channel, "ready")
        while True:
            order = receive(channel)
            if order["do"] == "start":  # "stop" comes too late: the worker is gone already
                _import_all(order["preload"].split())
                _, descriptors, *_ = socket.recv_fds(channel, 1, 2)
                _keep_one(channel, order["asked"], descriptors)
    except Closed:
        return
    finally:
        _end_all(None)
        os._exit(0)


def _import_all(names):
    for name in names:
        with contextlib.suppress(BaseException):
            importlib.import_module(name)


def _prctl(option, value):
    """prctl of Linux; elsewhere nothing"""
    if LINUX:
        with contextlib.suppress(ImportError, OSError, AttributeError):
            import ctypes

            ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _keep_one(channel, asked, descriptors):
    """Fork a worker and watch it until it ends, or has to"""
    data, where = descriptors
    pipes = [os.pipe() for _ in range(2)]
    asked["folder"] = tempfile.mkdtemp(prefix="tinyvae-")
    pid = os.fork()
    if not pid:
        _work_in_child(channel, data, where, pipes, asked)
    for fd in (data, where, *(write for _, write in pipes)):
        os.close(fd)
    watch, reason = _Watch(pid, [read for read, _ in pipes], asked), None
    try:
        send(channel, {"pid": pid, "folder": asked["folder"]})
        while reason is None:
            reason = watch.look(channel)
    finally:
        _end_all(watch)
        report = watch.report(reason)
        for read, _ in pipes:
            os.close(read)
        shutil.rmtree(asked["folder"], ignore_errors=True)
    send(channel, report)


class _Watch:
    """What a worker and its children take, and what they print"""

    def __init__(self, pid, outputs, asked):
        self.pid, self.asked = pid, asked
        self.outputs = dict.fromkeys(outputs, b"")
        self.printed = dict.fromkeys(outputs, 0)
        self.lines = dict.fromkeys(outputs, 0)
        self.open = set(outputs)
        self.ends = time.monotonic() + asked["limit"]
        self.next_look = 0.0
        self.status = None
        self.written = _written("self") or 0
        for read in outputs:
            os.set_blocking(read, False)

    def look(self, channel):
        """Wait a moment.    ->  None, or why the worker has to end, or has ended"""
        ready, _, _ = select.select([channel, *self.open], [], [], POLL)
        if channel in ready:  # "stop", or the checker is gone
            with contextlib.suppress(Closed, ValueError):
                receive(channel)
            return "stopped"
        for read in ready:
            self._drain(read)
        if self._is_over():
            return "ended"
        if sum(self.printed.values()) > PRINTED:
            return "printed"
        now = time.monotonic()
        if now > self.ends:
            return "time"
        if now < self.next_look:
            return None
        self.next_look = now + POLL
        return self._took_too_much()

    def _is_over(self):
        with contextlib.suppress(ChildProcessError):
            done, status = os.waitpid(self.pid, os.WNOHANG)
            if done:
                self.status = os.waitstatus_to_exitcode(status)
        return self.status is not None

    def _drain(self, read, all_of_it=False):
        while True:
            try:
                part = os.read(read, 2**20)
            except BlockingIOError:
                return
            if not part:
                self.open.discard(read)
                return
            self.printed[read] += len(part)
            self.lines[read] += part.count(b"\n")
            self.outputs[read] += part[: max(0, HEAD - len(self.outputs[read]))]
            if not all_of_it:
                return

    def _took_too_much(self):
        family = descendants(os.getpid())
        if len(family) > self.asked["processes"]:
            return "processes"
        if sum(map(_resident, family)) > self.asked["memory"] and (
            sum(map(_share, family)) > self.asked["memory"]
        ):
            return "memory"
        own = _written("self")
        if own is not None:
            written = own - self.written + sum(_written(pid) or 0 for pid in family)
            if written - sum(self.printed.values()) > FILES + HEAD:
                return "files"
        return None

    def report(self, reason):
        for read in list(self.open):
            self._drain(read, all_of_it=True)
        heads = [escape(head.decode("utf-8", "replace").split("\n")[0], 80)
                 for head in self.outputs.values()]  # fmt: skip
        return {
            "reason": reason,
            "status": self.status,
            "first": heads,
            "printed": list(self.printed.values()),
            "lines": list(self.lines.values()),
        }


def descendants(pid):
    """The processes that this one has started, and those that they have"""
    found, new = [], [pid]
    while new:
        new = [child for parent in new for child in _children(parent) if child not in found]
        found += new
    return found


def _children(pid):
    try:
        names = os.listdir(f"/proc/{pid}/task")
        text = []
        for name in names:
            with open(f"/proc/{pid}/task/{name}/children") as file:
                text += file.read().split()
        return [int(word) for word in text]
    except (OSError, ValueError):
        return []


def _resident(pid):
    """Bytes of memory that the process has, shared ones included"""
    try:
        with open(f"/proc/{pid}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


def _share(pid):
    """Bytes of memory that the process has, where what n processes share counts 1/n"""
    try:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            for line in file:
                if line.startswith("Pss:"):
                    return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    return 0


def _written(pid):
    """Bytes that the process, and its children that are gone, have written; None if unknown"""
    try:
        with open(f"/proc/{pid}/io") as file:
            for line in file:
                if line.startswith("wchar:"):
                    return int(line.split()[1])
    except (OSError, ValueError):
        pass
    return None


def _end_all(watch):
    """End all that this process has started, as often as it takes"""
    for _ in range(200):
        family = descendants(os.getpid())
        if watch and watch.status is None:
            family.append(watch.pid)
            with contextlib.suppress(OSError):  # where there is no /proc: its process group
                os.killpg(watch.pid, signal.SIGKILL)
        for pid in family:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        try:
            while True:
                done, status = os.waitpid(-1, os.WNOHANG)
                if not done:
                    break
                if watch and done == watch.pid and watch.status is None:
                    watch.status = os.waitstatus_to_exitcode(status)
        except ChildProcessError:
            return
        time.sleep(0.005)


UNPARSED = (SyntaxError, ValueError, RecursionError, MemoryError)
BLOCKS = ("def ", "class ", "async def ", "import ", "from ", "@")  # what a statement begins with

# ---- the worker ----------------------------------------------------------------------------------


def _work_in_child(control, data, where, pipes, asked):
    """What the forked process does first; it never returns"""
    try:
        control.close()
        parent = os.getppid()
        _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
        os.setpgid(0, 0)
        data, where = _high(data), _high(where)
        for number, (read, write) in enumerate(pipes, start=1):
            os.dup2(write, number)
            os.close(read)
            os.close(write)
        for name in SIGNALS:
            signal.signal(getattr(signal, name), signal.SIG_DFL)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _limit(asked["memory"])
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", errors="backslashreplace")
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace")
        sys.__stdout__, sys.__stderr__ = sys.stdout, sys.stderr
        work(socket.socket(fileno=data), where, asked)
    finally:
        os._exit(70)


def _high(fd):
    """The same file under a number that a loop over the first few hundred does not close"""
    import fcntl

    for number in (900, 200, 20):
        with contextlib.suppress(OSError):
            made = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, number)
            os.close(fd)
            return made
    return fd


def _limit(memory):
    import resource

    for what, size in (
        ("RLIMIT_DATA" if LINUX else "RLIMIT_AS", memory),
        ("RLIMIT_FSIZE", FILES),
        ("RLIMIT_CORE", 0),
    ):
        number = getattr(resource, what)
        with contextlib.suppress(ValueError, OSError):  # a lower hard limit is there already
            resource.setrlimit(number, (size, resource.getrlimit(number)[1]))


def work_alone(port, token):
    """A worker without a keeper, where there is no fork; it ends when its standard input does

    port, token   where the checker waits for it, and the bytes that it knows it by
    """
    lifeline, empty = os.dup(0), os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()
    channel = socket.create_connection(("127.0.0.1", port))
    channel.sendall(bytes.fromhex(token))
    asked = receive(channel)
    where = os.open(asked["where"], os.O_RDWR | os.O_CREAT)
    if os.name == "posix":
        _limit(asked["memory"])
    work(channel, where, asked)


def _end_with(lifeline):
    """Wait until the checker is gone, then end this process"""
    with contextlib.suppress(OSError):
        while os.read(lifeline, 1):
            pass
    os._exit(1)


def work(channel, where, asked):
    """Import the file and answer questions about it, until nobody asks"""
    faulthandler.enable(where)
    os.environ["TMPDIR"] = asked["folder"]
    with contextlib.suppress(OSError):
        os.chdir(asked["cwd"] or asked["folder"])
    worker = Worker(channel, where, asked)
    try:
        worker.import_file()
        while True:
            worker.answer(receive(channel))
    except Closed:
        pass
    except BaseException as error:
        with contextlib.suppress(BaseException):
            send(channel, {"broken": describe(error)})
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(BaseException):
                stream.flush()
        os._exit(0)


class Worker:
    """The file in this process, and the questions that the checker asks"""

    def __init__(self, channel, where, asked):
        self.channel, self.where = channel, where
        self.path, self.cells = asked["path"], asked["cells"]
        self.lenient, self.skip = asked["lenient"], asked["skip"]
        self.folder, self.timeout = asked["home"], asked["timeout"]
        self.preload = asked["preload"].split()
        self.functions = {}

    # -- the import

    def import_file(self):
        _import_all(self.preload)
        _one_thread()
        send(self.channel, "prepared")
        sys.dont_write_bytecode = True
        if self.folder:
            sys.path.insert(_after_the_standard_library(), self.folder)
        sys.argv = [self.path]
        stem = os.path.splitext(os.path.basename(self.path))[0]
        module = types.ModuleType(f"checked_{stem}")
        module.__file__ = self.path
        if len(self.cells) > 1 or self.path.endswith(".ipynb"):
            module.display = print
        sys.modules[module.__name__] = module
        self.notes = []
        error = self._run_cells(module)
        self.file = LocalFile(module, self.path, catch=(BaseException,))
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        send(self.channel, {"imported": not error, "error": error, "notes": self.notes})

    def _run_cells(self, module):
        """Run the code.    ->  "" or a sentence that says why that was not possible"""
        notebook = self.path.endswith(".ipynb")
        for number, source in enumerate(self.cells, start=1):
            name = f"{self.path}, cell {number}" if notebook else self.path
            lines = source.splitlines(keepends=True)
            linecache.cache[name] = (len(source), None, lines, name)
            try:
                parts = [self._parsed(source, name)]
            except UNPARSED as error:
                if not (self.lenient or notebook):
                    return self._syntax(error, name)
                self.notes.append(self._syntax(error, name))
                parts = self._parts(source, name)
            for tree, flags in parts:
                if self.lenient:
                    for node in tree.body:
                        self._run_statement(node, name, module, flags)
                    continue
                code = compile(tree, name, "exec", dont_inherit=True)
                error = self._run(code, module)
                if error:
                    return error
        return ""

    def _parsed(self, source, name):
        """(the tree of the code, its __future__ flags)"""
        tree = compile(source, name, "exec", ast.PyCF_ONLY_AST, dont_inherit=True)
        code = compile(tree, name, "exec", dont_inherit=True)
        return tree, code.co_flags & _FUTURES

    def _parts(self, source, name):
        """The functions and classes of the code that can be parsed, one by one"""
        lines = source.splitlines(keepends=True)
        starts = [i for i, line in enumerate(lines) if line.startswith(BLOCKS)]
        edges = sorted({0, *starts, len(lines)})
        found = []
        for start, end in itertools.pairwise(edges):
            with contextlib.suppress(*UNPARSED):
                found.append(self._parsed("\n" * start + "".join(lines[start:end]), name))
        return found

    def _run_statement(self, node, name, module, flags):
        if [name, node.lineno] in self.skip:
            return
        send(self.channel, {"at": [name, node.lineno]})
        one = ast.Module([node], [])
        code = compile(one, name, "exec", flags, dont_inherit=True)
        error = self._run(code, module)
        if error:
            self.notes.append(error)

    def _run(self, code, module):
        """Run the code in the module.    ->  "" or the sentence that says what it raised"""
        try:
            with self._watched():
                exec(code, module.__dict__)
        except SystemExit as error:
            line = line_of(error, self.path)
            return f"{self._at(line)}: it calls sys.exit({escape(repr(error.code), 80)})"
        except MemoryError as error:
            return {"memory": self._at(line_of(error, self.path))}
        except BaseException as error:
            hint = ": nobody is there to type anything" if isinstance(error, EOFError) else ""
            return f"importing FILE raised {describe(error, self.path)}{hint}"
        return ""

    def _at(self, line):
        return f"FILE, line {line}" if line else "FILE"

    def _syntax(self, error, name):
        line = getattr(error, "lineno", None)
        where = name.replace(self.path, "FILE") + (f", line {line}" if line else "")
        text = getattr(error, "msg", None) or str(error) or "it is too deeply nested"
        return f"{where}: {type(error).__name__}: {escape(text)}"

    @contextlib.contextmanager
    def _watched(self):
        """Write down where the file is, if what happens now takes too long"""
        os.lseek(self.where, 0, os.SEEK_SET)
        os.ftruncate(self.where, 0)
        faulthandler.dump_traceback_later(self.timeout, file=self.where)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()

    # -- questions

    def answer(self, question):
        name, asked = question["ask"], question.get("about")
        try:
            found = {"is": getattr(self, f"_{name}")(asked)}
        except CannotRun as reason:
            found = {"cannot": escape(reason)}
        send(self.channel, found)

    def _load(self, names):
        _import_all(names.split())
        _one_thread()

    def _entries(self, _):
        return [
            [e.name, e.kind, e.line, e.type_name, list(e.bases), list(e.methods)]
            for e in self.file.entries()
        ]

    def _functions(self, _):
        return self.file.functions()

    def _has(self, name):
        return self.file.has(name)

    def _value(self, name):
        return self.file.value(name)

    def _function(self, name):
        with self._watched():
            self.functions[name] = self.file.function(name)
        return self.functions[name].describe()

    def _call(self, asked):
        f = self.functions[asked["name"]]
        options = dict(asked["options"])
        arguments = options.pop("arguments")
        with self._watched():
            outcome = f.call(arguments, **options)
        with contextlib.suppress(Exception):
            sys.stdout.flush()
        return {
            "value": outcome.value,
            "error": outcome.error,
            "error_types": list(outcome.error_types),
            "raised_in": outcome.raised_in,
            "line": outcome.line,
            "changed": list(outcome.changed),
            "gradients": outcome.gradients,
            "no_gradient": outcome.no_gradient,
            "kinds": [
                [k.type_name, k.library, k.dtype, list(k.shape), k.requires_grad]
                for k in outcome.kinds[:100]
            ],
            "drew": list(outcome.drew),
            "seconds": outcome.seconds,
        }


def _one_thread():
    with contextlib.suppress(Exception):
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(1)


_FUTURES = functools.reduce(
    operator.or_, (getattr(__future__, n).compiler_flag for n in __future__.all_feature_names)
)


def _after_the_standard_library():
    """The place in sys.path before the first installed package

    The file finds its neighbours there, and no neighbour stands in for a standard module.
    """
    for i, entry in enumerate(sys.path):
        if "site-packages" in entry or "dist-packages" in entry:
            return i
    return len(sys.path)
