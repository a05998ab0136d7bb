"""Somebody's file in a process of its own; its functions are called from here.

    with open_file("mine.py") as file:
        f = file.function("kl")
        f.call([mean, logvar])       an Outcome, as of a function of this process

Whatever the file does instead of answering (it loops, crashes, exits, takes all the memory, does
not compile) becomes a `CannotRun` with one sentence.  What it prints is kept apart; its standard
input is empty; what it starts ends with it, and all of it ends with this process (see `child`).

This guards against accidents, not against malice: the file runs with all rights of its user.
"""

import contextlib
import io
import json
import math
import os
import re
import select
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
import tokenize
from pathlib import Path

from tinyvae.classroom.checker.child import PRINTED, Closed, exactly, receive, send
from tinyvae.classroom.checker.engine import ALL_HINTS, HINTS
from tinyvae.classroom.checker.function import (
    CannotRun,
    DescribedFunction,
    Entry,
    Outcome,
    describe,
)
from tinyvae.classroom.checker.values import Kind, escape

GIGABYTE = 2**30
MEMORY = 2 * GIGABYTE  # of the file and what it starts, together
TIMEOUT = 10.0  # seconds that one call, or importing the file, may take
LIMIT = 120.0  # seconds that importing the file and all calls together may take
PREPARING = 120.0  # seconds for starting the process, and for importing PyTorch or JAX there
PROCESSES = 64
LARGEST_FILE = 10 * 2**20  # bytes of source
BOOT = (
    "import sys; root, paths = sys.argv[2:4]; sys.path.insert(0, root); "
    "from tinyvae.classroom.checker import child; sys.path.pop(0); "
    "sys.path += [p for p in paths.split('\\n') if p and p not in sys.path]; "
    "child.keep(int(sys.argv[1]), sys.argv[4].split())"
)
BOOT_ALONE = BOOT.partition("child.keep")[0] + "child.work_alone(int(sys.argv[1]), sys.argv[4])"
ROOT = str(Path(__file__).resolve().parents[3])
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
SLOW_IMPORTS = re.compile(r"^\s*(?:import|from)\s+(torch|jax|keras|tensorflow)\b", re.MULTILINE)

# ---- the file ------------------------------------------------------------------------------------


def split(target):
    """ "mine.py:kl" -> ("mine.py", "kl");  "mine.py" -> ("mine.py", None)

    A colon that belongs to the path, as in C:\\mine.py, stays there.
    """
    path, colon, function = target.rpartition(":")
    if not colon or len(path) < 2 or any(sign in function for sign in "/\\"):
        return target, None
    if not all(part.isidentifier() for part in function.split(".")):
        shown = escape(target)
        raise CannotRun(
            f"{shown}: after the colon comes the name of a function, as in {escape(path)}:kl"
        )
    return path, function


def short(path):
    """The path as one would type it here, without control characters"""
    path = str(path)
    with contextlib.suppress(ValueError, OSError):
        near = os.path.relpath(path)
        path = near if len(near) < len(path) else path
    return escape(path)


def read_cells(path, any_encoding=False):
    """(the code of the file, cell by cell, notes); a .py file is one cell

    any_encoding   take a file that is not UTF-8 as Latin-1, with a note; Python refuses it

    CannotRun with the reason if there is no code.
    """
    shown, notes = short(path), []
    data = _bytes_of(path, shown)
    suffix = os.path.splitext(path)[1].lower()
    if suffix == ".ipynb":
        return _cells_of_notebook(data, shown), notes
    return [_decoded(data, shown, any_encoding, notes)], notes


def _bytes_of(path, shown):
    path = Path(path)
    try:
        if path.is_dir():
            raise CannotRun(f"{shown} is a folder: name a Python file in it")
        if not path.exists():
            raise CannotRun(f"there is no file {shown}")
        if path.suffix.lower() not in (".py", ".ipynb"):
            raise CannotRun(f"{shown} is not a Python file: its name does not end in .py or .ipynb")
        if not stat.S_ISREG(path.stat().st_mode):
            raise CannotRun(f"{shown} is not an ordinary file")
        if path.stat().st_size > LARGEST_FILE:
            raise CannotRun(f"{shown} is larger than {LARGEST_FILE // 2**20} MB")
        return path.read_bytes()
    except CannotRun:
        raise
    except OSError as error:
        raise CannotRun(f"{shown} cannot be read: {error.strerror or error}") from None
    except ValueError as error:  # a NUL in the name
        raise CannotRun(f"{shown} is no name of a file: {error}") from None


def _decoded(data, shown, any_encoding, notes):
    """The text of Python source, by Python's own rules"""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise CannotRun(f"{shown} is encoded as UTF-16: save it as UTF-8")
    if b"\0" in data:
        raise CannotRun(f"{shown} is not Python source: it holds null bytes; save it as UTF-8")
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        text = data.decode(encoding)
    except (SyntaxError, LookupError) as error:
        if "unknown encoding" in str(error):
            raise CannotRun(f"{shown} is not Python source: {escape(error)}") from None
        text = None
    except UnicodeDecodeError:
        text = None
    if text is None:
        if not any_encoding:
            raise CannotRun(f"{shown}{_bad_line(data)}: it is not UTF-8: save it as UTF-8")
        notes.append("It is not UTF-8, so that Python refuses it; it was read as Latin-1.")
        text = data.decode("latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _bad_line(data):
    for number, line in enumerate(data.splitlines(), start=1):
        try:
            line.decode()
        except UnicodeDecodeError:
            return f", line {number}"
    return ""


def _cells_of_notebook(data, shown):
    try:
        cells = json.loads(data.decode("utf-8-sig"))["cells"]
        sources = [cell["source"] for cell in cells if cell["cell_type"] == "code"]
        sources = [s if isinstance(s, str) else "".join(s) for s in sources]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise CannotRun(f"{shown} is not a notebook that can be read: save it again") from None
    return ["\n".join(map(_without_magic, source.split("\n"))) for source in sources]


def _without_magic(line):
    """The line; a magic such as %matplotlib or !pip as `pass`"""
    bare = line.lstrip()
    if bare.startswith(("%", "!")):
        return line[: len(line) - len(bare)] + "pass"
    return line


# ---- the keeper, from here -----------------------------------------------------------------------


class Keeper:
    """The process that forks the workers and ends them; one at a time.    with Keeper() as keeper:

    preload   libraries to import before any worker is forked, such as "torch"
    """

    def __init__(self, preload=()):
        ours, theirs = socket.socketpair()
        self.channel = ours
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-X", "utf8", "-c", BOOT, str(theirs.fileno()), ROOT,
                 "\n".join(search_path()), " ".join(preload)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
                cwd="/",
                env={**os.environ, **ONE_THREAD, "MPLBACKEND": "Agg"},
            )  # fmt: skip
        except OSError as error:
            ours.close()
            raise CannotRun(f"no process can be started: {error.strerror}") from None
        finally:
            theirs.close()
        self.ready = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """End the keeper, and with it whatever it has started"""
        self.channel.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stderr.close()

    def start(self, asked, preload, where):
        """Have a worker forked.    ->  the socket to it, and the keeper's first message"""
        ours, theirs = socket.socketpair()
        try:
            self.channel.settimeout(PREPARING)
            if not self.ready:
                receive(self.channel)
                self.ready = True
            send(self.channel, {"do": "start", "preload": preload, "asked": asked})
            socket.send_fds(self.channel, [b"."], [theirs.fileno(), where.fileno()])
            return ours, receive(self.channel)
        except (Closed, OSError, ValueError):
            ours.close()
            raise CannotRun(f"the process for the file did not start{self._why()}") from None
        finally:
            theirs.close()

    def is_alive(self):
        """Can it fork another worker?"""
        return self.process.poll() is None

    def trace(self, where):
        """What the worker has written down about where it is"""
        where.seek(0)
        return where.read(2**20)

    def _why(self):
        """The last line that the keeper wrote, which ends if it fails"""
        with contextlib.suppress(subprocess.TimeoutExpired, OSError, ValueError):
            self.process.wait(2)
            text = self.process.stderr.read().decode("utf-8", "replace").strip()
            if text:
                return f": {escape(text.splitlines()[-1])}"
        return ""


class LoneKeeper:
    """In the place of a Keeper where there is no fork, as on Windows: a new process for each worker

    The worker itself notices when this process is gone. Processes that it starts are not ended,
    and its memory is limited on POSIX systems only.
    """

    def __init__(self):
        self.process = None
        self.channel = self.other = None
        self.folder = ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def start(self, asked, preload, where):
        """Start a worker.    ->  the socket to it, and what Keeper.start gives"""
        self.close()
        self.channel, self.other = socket.socketpair()
        self.folder = tempfile.mkdtemp(prefix="tinyvae-")
        self.trace_path = os.path.join(self.folder, "where")
        token = os.urandom(16)
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.settimeout(PREPARING)
            code = BOOT_ALONE, str(server.getsockname()[1]), ROOT, "\n".join(search_path())
            try:
                self.process = subprocess.Popen(
                    [sys.executable, "-I", "-X", "utf8", "-c", *code, token.hex()],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    env={**os.environ, **ONE_THREAD, "MPLBACKEND": "Agg"},
                )
                worker, _ = server.accept()
                if exactly(worker, len(token)) != token:
                    raise Closed
                send(worker, {**asked, "folder": self.folder, "where": self.trace_path})
            except (OSError, Closed) as error:
                raise CannotRun(f"the process for the file did not start: {error}") from None
        self.outputs = [_Head(self.process.stdout), _Head(self.process.stderr)]
        threading.Thread(target=self._watch, args=(asked["limit"],), daemon=True).start()
        return worker, {"pid": self.process.pid, "folder": self.folder}

    def _watch(self, limit):
        """Wait until the worker ends, or has to; then say so, as a keeper does"""
        process, other, outputs = self.process, self.other, self.outputs
        ends, reason = time.monotonic() + limit, None
        while reason is None:
            with contextlib.suppress(OSError, ValueError):
                if select.select([other], [], [], 0.05)[0]:
                    reason = "stopped"
            if process.poll() is not None:
                reason = "ended"
            elif sum(output.size for output in outputs) > PRINTED:
                reason = "printed"
            elif time.monotonic() > ends:
                reason = "time"
        process.kill()
        process.wait()
        for output in outputs:
            output.thread.join(5)
        with contextlib.suppress(Closed):
            send(other, {
                "reason": reason,
                "status": process.returncode,
                "first": [output.first() for output in outputs],
                "printed": [output.size for output in outputs],
                "lines": [output.lines for output in outputs],
            })  # fmt: skip

    def is_alive(self):
        """It starts a process for each worker, so nothing can end it"""
        return True

    def trace(self, _):
        """What the worker has written down about where it is"""
        with contextlib.suppress(OSError), open(self.trace_path, "rb") as file:
            return file.read(2**20)
        return b""

    def close(self):
        """End the worker"""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process.stdin.close()
            for output in self.outputs:
                output.thread.join(5)
            self.channel.close()
            self.other.close()
            shutil.rmtree(self.folder, ignore_errors=True)
            self.process = None


class _Head:
    """The first bytes of a stream that a thread reads to its end, and how much there was"""

    def __init__(self, stream):
        self.head, self.size, self.lines = b"", 0, 0
        self.thread = threading.Thread(target=self._read, args=(stream,), daemon=True)
        self.thread.start()

    def _read(self, stream):
        with stream, contextlib.suppress(OSError, ValueError):
            while part := stream.read1(2**16):
                self.size += len(part)
                self.lines += part.count(b"\n")
                self.head += part[: max(0, 4096 - len(self.head))]

    def first(self):
        return escape(self.head.decode("utf-8", "replace").split("\n")[0], 80)


def new_keeper():
    """A Keeper, or where there is no fork a LoneKeeper"""
    return Keeper() if hasattr(os, "fork") and hasattr(socket, "send_fds") else LoneKeeper()


def _current_folder():
    """The current folder, or None if it was deleted"""
    with contextlib.suppress(OSError):
        return os.getcwd()
    return None


def search_path():
    """Where this process finds packages, without the current folder and that of the program"""
    paths = [entry for entry in sys.path if entry]
    here = {_current_folder()}
    with contextlib.suppress(OSError):
        here.add(os.path.dirname(os.path.abspath(sys.argv[0])) if sys.argv else None)
    named = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if paths and paths[0] == sys.path[0] and paths[0] in here and paths[0] not in named:
        paths = paths[1:]
    if _current_folder() is None:
        return [path for path in paths if os.path.isabs(path)]
    return [os.path.abspath(path) for path in paths]


# ---- the file, from here -------------------------------------------------------------------------


def open_file(path, **options):
    """The file as a RemoteFile, to be used in a `with`; options as of RemoteFile"""
    return RemoteFile(path, **options)


class RemoteFile:
    """A file in another process, with the interface of `function.LocalFile`.

    timeout   seconds that one call, or importing the file, may take
    limit     seconds that importing it and all calls together may take
    memory    bytes, of the file and all that it starts
    lenient   go on after a statement of the file that raises, with a note
    any_encoding   take a file that is not UTF-8 as Latin-1, with a note
    inside    run it in an empty folder, not in the current one
    keeper    the Keeper to use; a new one if it is None

    When the process is lost (a loop, a crash), the question that lost it raises CannotRun; the
    next question starts another process.
    """

    def __init__(self, path, *, timeout=TIMEOUT, limit=LIMIT, memory=MEMORY, lenient=False,
                 any_encoding=False, inside=False, keeper=None, seed=0):  # fmt: skip
        if seed < 0:
            raise CannotRun(f"the seed must be 0 or more, not {seed}")
        for name, value in (("timeout", timeout), ("limit", limit)):
            if not 0 < value < math.inf:
                raise CannotRun(f"the {name} must be more than 0 seconds, not {value:g}")
        self.shown = short(path)
        self.cells, self.told = read_cells(path, any_encoding=any_encoding)
        self.path = os.path.realpath(path)
        self.timeout, self.limit, self.memory = timeout, limit, memory
        self.lenient, self.inside = lenient, inside
        self.own_keeper = keeper is None
        self.keeper = keeper or new_keeper()
        self.left = limit
        self.where = tempfile.TemporaryFile()  # noqa: SIM115  as long as this
        self.skip, self.at, self.loaded = [], None, set()
        self.channel = None
        self.worker = None
        self.generation = 0
        self.calls = 0
        self.printed = {"stdout": [0, 0, ""], "stderr": [0, 0, ""]}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """End the process of the file"""
        self._stop()
        self.where.close()
        if self.own_keeper:
            self.keeper.close()

    # -- what LocalFile has

    def entries(self):
        """As LocalFile.entries"""
        found = self._ask("entries")
        with self._checked():
            return tuple(
                Entry(str(n), str(k), int(line), str(t), tuple(map(str, b)), tuple(map(str, m)))
                for n, k, line, t, b, m in found
            )

    def functions(self):
        """As LocalFile.functions"""
        found = self._ask("functions")
        with self._checked():
            return [str(name) for name in found]

    def has(self, name):
        """As LocalFile.has"""
        return self._ask("has", name) is True

    def value(self, name):
        """As LocalFile.value"""
        return self._ask("value", name)

    def function(self, name):
        """As LocalFile.function; what it gives is called in the other process"""
        described = self._ask("function", name)
        with self._checked():
            return RemoteFunction(self, name, described)

    # -- what the process says

    def _load(self, library):
        """Import PyTorch or JAX there, which does not count against the time of a call"""
        if library in ("torch", "jax") and library not in self.loaded:
            self._ask("load", library)
            self.loaded.add(library)

    def _ask(self, question, about=None):
        if self.channel is None:
            self._start()
        self._send({"ask": question, "about": about})
        doing = {"call": "a call", "load": "preparing"}.get(question, "looking at it")
        answer = self._receive(PREPARING if question == "load" else self.timeout, doing)
        with self._checked():
            if "cannot" in answer:
                raise CannotRun(str(answer["cannot"]))
            if "broken" in answer:
                self._lost()
                raise CannotRun(f"{self.shown}: its process broke down: {answer['broken']}")
            return answer["is"]

    @contextlib.contextmanager
    def _checked(self):
        """CannotRun if what the process sent is not what it has to send"""
        try:
            yield
        except CannotRun:
            raise
        except (TypeError, ValueError, KeyError, IndexError, AttributeError):
            self._lost()
            raise CannotRun(f"{self.shown}: its process sent something that is no answer") from None

    def _start(self):
        """Start a process and import the file there"""
        for _ in range(5):
            error = self._import_once()
            if error is None:
                return
            if not self.lenient or not self.at or self.at in self.skip:
                raise CannotRun(error)
            self.skip.append(self.at)  # go on without that statement
            self.told.append(error)
        raise CannotRun(error)

    def _import_once(self):
        """None, or the sentence that says why the file cannot be imported"""
        remaining = self._remaining()
        text = "\n".join(self.cells)
        slow = sorted(set(SLOW_IMPORTS.findall(text)))
        asked = {
            "path": self.path,
            "cells": self.cells,
            "home": os.path.dirname(self.path),
            "timeout": self.timeout,
            "limit": 10 * remaining + PREPARING,
            "memory": self.memory,
            "processes": PROCESSES,
            "lenient": self.lenient,
            "cwd": None if self.inside else _current_folder(),
            "skip": self.skip,
            "preload": " ".join(slow),
        }
        early = " ".join(name for name in slow if name == "torch")
        self.channel, self.worker = self.keeper.start(asked, early, self.where)
        self.generation += 1
        self.loaded, self.at = set(slow), None
        try:
            self._receive(PREPARING, "preparing")
            while True:
                answer = self._receive(self.timeout, "importing it")
                if isinstance(answer, dict) and "at" in answer:
                    self.at = answer["at"]
                    continue
                break
        except CannotRun as reason:
            return str(reason)
        with self._checked():
            error = answer["error"]
            if isinstance(error, dict):
                error = _too_much_memory(error["memory"], self.memory)
            for note in answer["notes"]:
                text = note if isinstance(note, str) else _too_much_memory("FILE", self.memory)
                if text not in self.told:
                    self.told.append(str(text).replace("FILE", self.shown))
            if error:
                self._stop()
                self.at = None
                return str(error).replace("FILE", self.shown)
        return None

    def _remaining(self):
        if self.left <= 0:
            self._stop()
            raise CannotRun(self._over())
        return self.left

    def _over(self):
        calls = f" and {self.calls} calls" if self.calls else ""
        return (
            f"{self.shown}: the check was not done after {self.limit:g} seconds{calls}: "
            "if the function is only slow, give it a longer --limit"
        )

    def _send(self, tree):
        try:
            self.channel.settimeout(self.timeout)
            send(self.channel, tree)
        except Closed:
            raise CannotRun(self._ended("a call")) from None

    def _receive(self, seconds, doing):
        """The next message of the process; CannotRun with the sentence that says why not"""
        began = time.monotonic()
        try:
            return self._wait_for(seconds, doing)
        finally:
            if doing != "preparing":
                self.left -= time.monotonic() - began

    def _wait_for(self, seconds, doing):
        preparing = doing == "preparing"
        wait = seconds if preparing else min(seconds + 0.5, self._remaining())
        until = time.monotonic() + wait
        control = self.keeper.channel
        while True:
            left = until - time.monotonic()
            ready, _, _ = select.select([self.channel, control], [], [], max(0.0, left))
            if self.channel in ready:
                try:
                    self.channel.settimeout(max(0.1, left))
                    return receive(self.channel)
                except Closed:
                    if until - time.monotonic() <= 0.01:
                        continue
                    raise CannotRun(self._ended(doing)) from None
                except ValueError:
                    self._lost()
                    raise CannotRun(
                        f"{self.shown}: its process sent something that is no answer"
                    ) from None
            elif control in ready:
                raise CannotRun(self._ended(doing))
            elif left <= 0:
                line = self._line()
                self._stop()
                if wait < seconds + 0.5 and not preparing:
                    raise CannotRun(self._over())
                raise CannotRun(
                    f"{self.shown}{line}: {doing} was not done after {seconds:g} seconds: "
                    "an endless loop? If it is only slow, give it a longer --timeout"
                )

    def _line(self):
        """ ", line 7": the innermost line of the file that the process wrote down, or "" """
        text = self.keeper.trace(self.where).decode("utf-8", "replace")
        for name, line in re.findall(r'File "(.*)", line (\d+)', text):
            if name == self.path:
                return f", line {line}"
            if name.startswith(f"{self.path}, cell "):
                return f"{name.removeprefix(self.path)}, line {line}"
        return ""

    def _ended(self, doing):
        """The sentence that says why the process has ended"""
        report = self._report()
        if report is None:
            return f"{self.shown}: {doing} ended the process that watches it: there is no answer"
        reason, status = report["reason"], report["status"]
        line = self._line()
        if reason == "memory":
            return _too_much_memory(f"{self.shown}{line}", self.memory)
        too_much = {
            "processes": f"it started more than {PROCESSES} processes",
            "files": "it wrote more than 64 MB to files",
            "printed": "it printed more than 64 MB: take its prints out",
        }
        if reason in too_much:
            return f"{self.shown}{line}: {too_much[reason]}"
        if reason == "time":
            return self._over()
        if isinstance(status, int) and status < 0:
            known = {s.value for s in signal.Signals}
            name = signal.Signals(-status).name if -status in known else f"{-status}"
            meant = {"SIGSEGV": "a segmentation fault", "SIGKILL": "killed: out of memory?",
                     "SIGXFSZ": "a file of more than 64 MB"}.get(name)  # fmt: skip
            name += f", {meant}" if meant else ""
            return f"{self.shown}{line}: {doing} crashed the Python interpreter ({name})"
        return (
            f"{self.shown}{line}: {doing} ended the whole process with exit status {status}, "
            "as os._exit does: there is no answer"
        )

    def _report(self):
        """What the keeper says of the worker that has ended; None if the keeper is gone"""
        self._close_channel()
        if self.worker is None:
            return None
        try:
            self.keeper.channel.settimeout(10.0)
            send(self.keeper.channel, {"do": "stop"})
            report = receive(self.keeper.channel)
            self._keep_printed(report)
        except (Closed, ValueError, TypeError, KeyError, OSError):
            report = None
            self._keeper_is_gone()
        self.worker = None
        return report

    def _keeper_is_gone(self):
        """End the worker's process group and remove its folder: nobody else does"""
        with contextlib.suppress(OSError):
            os.killpg(self.worker["pid"], signal.SIGKILL)
        shutil.rmtree(self.worker["folder"], ignore_errors=True)
        self.keeper.close()
        self.keeper, self.own_keeper = new_keeper(), True

    def _keep_printed(self, report):
        for i, name in enumerate(("stdout", "stderr")):
            size, lines, first = report["printed"][i], report["lines"][i], report["first"][i]
            kept = self.printed[name]
            self.printed[name] = [kept[0] + size, kept[1] + lines, kept[2] or escape(first, 80)]

    def _close_channel(self):
        if self.channel is not None:
            self.channel.close()
            self.channel = None

    def _stop(self):
        if self.channel is not None or self.worker is not None:
            self._report()

    def _lost(self):
        self._stop()

    def notes(self):
        """Sentences on what happened beside the calls; the process ends for it"""
        self._stop()
        notes = list(self.told)
        for name, (size, lines, first) in self.printed.items():
            if size:
                count = f"{max(1, lines)} line{'s' if lines > 1 else ''}"
                notes.append(f"It printed {count} to {name}, kept apart here; first: {first!r}")
        if not memory_is_guarded():
            notes.append("On this platform nothing limits the memory that it may take.")
        return notes


def _too_much_memory(where, memory):
    return f"{where}: it asked for more than {memory / GIGABYTE:g} GB of memory"


def memory_is_guarded():
    """Is there a limit on the memory of the file on this platform?"""
    return sys.platform.startswith("linux")


class RemoteFunction(DescribedFunction):
    """A function of a RemoteFile: the interface of `function.LocalFunction`."""

    def __init__(self, file, asked, described):
        super().__init__(described)
        self.file, self.asked = file, asked
        self.generation = file.generation

    def call(self, arguments, *, keywords=None, gradient=False, dtype="float64", library=None,
             seed=None, training=None):  # fmt: skip
        file = self.file
        options = {
            "arguments": list(arguments),
            "keywords": dict(keywords or {}),
            "gradient": gradient,
            "dtype": dtype,
            "library": library,
            "seed": seed,
            "training": training,
        }
        if file.channel is None or self.generation != file.generation:
            file._ask("function", self.asked)
            self.generation = file.generation
        file._load(library or self.library)
        began = time.perf_counter()
        file.calls += 1
        found = file._ask("call", {"name": self.asked, "options": options})
        self.elsewhere += time.perf_counter() - began
        with file._checked():
            outcome = _outcome(found)
        first = outcome.error_types[:1]
        if first and set(outcome.error_types) & {"MemoryError", "SystemExit"}:
            where = f"{file.shown}, line {outcome.line}" if outcome.line else file.shown
            if "MemoryError" in outcome.error_types:
                raise CannotRun(_too_much_memory(where, file.memory))
            if first == ("SystemExit",):
                said = outcome.error.partition(" (")[0].partition(": ")[2] or "None"
                raise CannotRun(f"{where}: it calls sys.exit({said})")
        return outcome


def _outcome(found):
    kinds = tuple(
        Kind(str(t), str(lib), str(d), tuple(int(n) for n in shape), bool(grad))
        for t, lib, d, shape, grad in found["kinds"]
    )
    gradients = found["gradients"]
    if gradients is not None and not isinstance(gradients, list):
        raise TypeError("gradients are a list")
    return Outcome(
        value=found["value"],
        error=escape(found["error"], 600),
        error_types=tuple(escape(name, 80) for name in found["error_types"]),
        raised_in=escape(found["raised_in"], 80),
        line=int(found["line"]),
        changed=tuple(escape(name, 80) for name in found["changed"]),
        gradients=gradients,
        no_gradient=escape(found["no_gradient"], 600),
        kinds=kinds,
        drew=tuple(str(name) for name in found["drew"]),
        seconds=float(found["seconds"]),
    )


def choose_function(file, name=None, like="kl"):
    """The function of that name; without a name the only one, or the only one called like `like`"""
    there = file.functions()
    if name is not None:
        if not file.has(name):
            listed = f"it has {', '.join(map(escape, there))}" if there else "it defines none"
            try:
                return file.function(name)
            except CannotRun as reason:
                if "not a function" in str(reason) or "cannot be made" in str(reason):
                    raise
            raise CannotRun(f"{file.shown} has no function {escape(name, 80)}: {listed}")
        return file.function(name)
    alike = [found for found in there if like in found.lower()]
    for found in (there, alike):
        if len(found) == 1:
            return file.function(found[0])
    if not there:
        raise CannotRun(f"{file.shown} defines no function")
    several = [escape(found, 80) for found in alike or there]
    raise CannotRun(
        f"{file.shown} has {len(several)} functions that may be meant: {', '.join(several)}. "
        f"Name one, as in {file.shown}:{several[0]}"
    )


# ---- the command's options -----------------------------------------------------------------------


def arguments(parser):
    """Add the options that every check of a file has"""
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--seed", type=int, default=0, help="of the cases (%(default)s)")
    parser.add_argument(
        "--timeout", type=float, default=TIMEOUT, help="seconds for one call (%(default)g)"
    )
    parser.add_argument(
        "--limit", type=float, default=LIMIT, help="seconds for the whole check (%(default)g)"
    )
    parser.add_argument(
        "--hints",
        type=int,
        choices=sorted(HINTS),
        default=ALL_HINTS,
        help="how much is told: " + ", ".join(f"{n} {what}" for n, what in HINTS.items()),
    )


def options(args):
    """These options, from parsed arguments, by name; for commands

    Hypothesis then leaves no folder behind: where it keeps things cannot be written.  BLAS gets one
    thread: more of them make the small matrices of the laws slower, on a busy machine four times.
    """
    import threadpoolctl

    threadpoolctl.threadpool_limits(1)
    os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", os.path.join(os.devnull, "hypothesis"))
    if _current_folder() is None:  # it was deleted, and Hypothesis cannot be imported in it
        os.chdir(os.path.abspath(os.sep))
    return {name: getattr(args, name) for name in ("json", "seed", "timeout", "limit", "hints")}


__all__ = ["CannotRun", "Keeper", "RemoteFile", "describe", "open_file", "split"]
