"""Run somebody's file in a child process, and say in one sentence what went wrong.

    answer = run("mine.py", "tinyvae.classroom.checker.kl:session", {"seed": 0})

The child imports the file, calls ``session(module, request, pulse)`` and hands back what that
returns, as JSON.  Whatever the file does instead (it loops, crashes, exits, takes all the memory,
does not compile, raises) becomes a `CannotRun` with one sentence.  What the file prints is kept
apart; its standard input is empty; processes that it leaves behind are ended with it.

This guards against accidents, not against malice: the file runs with all rights of its user.
"""

import contextlib
import faulthandler
import importlib
import importlib.util
import json
import mmap
import os
import signal
import struct
import subprocess
import sys
import tempfile
import time
import traceback
import types
from dataclasses import dataclass
from pathlib import Path

from tinyvae.classroom.checker.adapter import CannotRun, describe

GIGABYTE = 2**30
PRINTED_LIMIT = 64 * 2**20  # bytes of output, or of any file that the child writes
BOOT = (
    "import sys; sys.path[:] = sys.argv.pop().split('\\n'); "
    "from tinyvae.classroom.checker.sandbox import main; main(sys.argv[1])"
)
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


@dataclass(frozen=True)
class Answer:
    """What the session returned, and what the file printed meanwhile."""

    value: object
    stdout: str
    stderr: str


# ---- the parent ----------------------------------------------------------------------------------


def split(target):
    """ "mine.py:kl" -> ("mine.py", "kl");  "mine.py" -> ("mine.py", None)

    A colon that belongs to the path, as in C:\\mine.py, stays there.
    """
    path, colon, function = target.rpartition(":")
    if not colon or len(path) < 2 or any(sign in function for sign in "/\\"):
        return target, None
    if not all(part.isidentifier() for part in function.split(".")):
        raise CannotRun(f"{target}: after the colon comes the name of a function, as in {path}:kl")
    return path, function


def python_file(path):
    """The path, if it is a Python file; CannotRun with the reason if not"""
    path = Path(path)
    if path.is_dir():
        raise CannotRun(f"{path} is a folder: name a Python file in it")
    if not path.exists():
        raise CannotRun(f"there is no file {path}")
    if path.suffix == ".ipynb":
        raise CannotRun(f"{path} is a notebook: copy the function into a .py file")
    if path.suffix != ".py":
        raise CannotRun(f"{path} is not a Python file: its name does not end in .py")
    return path


def run(path, session, request, *, timeout=10.0, memory=2 * GIGABYTE):
    """Import the file in a child process and call the session there.

    session   "module:function", called as function(module, request, pulse): it returns what JSON
              can hold, calls pulse.beat() before each call of the user's code, may raise CannotRun
    timeout   seconds that one call, or importing the file, may take
    memory    bytes; enforced on Linux only (`memory_is_guarded`)

    Returns an Answer.  Raises CannotRun with one sentence if there is none.
    """
    if request.get("seed", 0) < 0:
        raise CannotRun(f"the seed must be 0 or more, not {request['seed']}")
    if not 0 < timeout < float("inf"):
        raise CannotRun(f"the timeout must be more than 0 seconds, not {timeout:g}")
    path = python_file(path)
    with tempfile.TemporaryDirectory(prefix="tinyvae-", ignore_cleanup_errors=True) as folder:
        folder = Path(folder)
        (folder / "pulse").write_bytes(bytes(8))
        (folder / "request").write_text(
            json.dumps(
                {"path": str(path.resolve()), "session": session, "memory": memory, "is": request}
            ),
            encoding="utf-8",
        )
        with open(folder / "stdout", "wb") as out, open(folder / "stderr", "wb") as err:
            child = subprocess.Popen(
                [sys.executable, "-c", BOOT, str(folder), "\n".join(_search_path())],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=os.name == "posix",
                env={
                    **os.environ,
                    **ONE_THREAD,
                    "MPLBACKEND": "Agg",  # plt.show() must not wait for somebody to close a window
                    "HYPOTHESIS_STORAGE_DIRECTORY": str(folder / "hypothesis"),
                    "PYTHONUTF8": "1",
                },
            )
            try:
                stuck = _watch(child, folder / "pulse", timeout)
                if stuck:
                    _ask_where(child)
            finally:
                _end(child)
        return _read(folder, path, child.returncode, stuck, timeout, memory)


def _search_path():
    """The parent's, so that the child finds the same packages, and this one for sure"""
    return [entry for entry in sys.path if entry] + [str(Path(__file__).parents[3])]


def _watch(child, pulse, timeout):
    """Wait for the child.  True if its pulse stood still for too long."""
    last, since = None, time.monotonic()
    while True:
        try:
            child.wait(0.05)
            return False
        except subprocess.TimeoutExpired:
            now = pulse.read_bytes()
            if now != last:
                last, since = now, time.monotonic()
            if time.monotonic() - since > timeout:
                return True


def _ask_where(child):
    """Have the child write down where it is, if the platform can"""
    if hasattr(signal, "SIGUSR1"):
        with contextlib.suppress(ProcessLookupError):
            child.send_signal(signal.SIGUSR1)
            time.sleep(0.2)


def _end(child):
    """End the child and what it started"""
    if os.name == "posix":
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
    else:
        child.kill()
    child.wait()


def _read(folder, path, status, stuck, timeout, memory):
    """The child's answer, or CannotRun with the sentence that says why there is none"""
    stdout, stderr = (
        (folder / name).read_bytes().decode("utf-8", "replace") for name in ("stdout", "stderr")
    )
    if (folder / "answer").exists():
        answer = json.loads((folder / "answer").read_text(encoding="utf-8"))
        if "cannot run" in answer:
            raise CannotRun(answer["cannot run"])
        if "internal" in answer:
            raise RuntimeError("the session failed:\n" + answer["internal"])
        return Answer(answer["value"], stdout, stderr)

    line = _line_of(folder / "where", path)
    where = f", line {line}" if line else ""
    imported = (folder / "imported").exists()
    doing = "a call" if imported else "importing it"
    if stuck:
        raise CannotRun(
            f"{path}{where}: {doing} was not done after {timeout:g} seconds: an endless loop? "
            "If it is only slow, give it a longer --timeout"
        )
    if status < 0:
        name = signal.Signals(-status).name if -status in set(signal.Signals) else f"{-status}"
        meant = {"SIGSEGV": "a segmentation fault", "SIGKILL": "killed: out of memory?"}.get(name)
        said = name + (f", {meant}" if meant else "")
        raise CannotRun(f"{path}{where}: {doing} crashed the Python interpreter ({said})")
    last = next((text for text in reversed(stderr.splitlines()) if text.strip()), "")
    if not (folder / "started").exists():
        raise RuntimeError(f"the child process did not start (status {status}): {stderr}")
    if "MemoryError" in last:
        raise CannotRun(_too_much_memory(path, where, memory))
    raise CannotRun(
        f"{path}{where}: {doing} ended the whole process with exit status {status}, "
        "as os._exit does: there is no answer"
    )


def _too_much_memory(path, where, memory):
    return f"{path}{where}: it asked for more than {memory / GIGABYTE:g} GB of memory"


def _line_of(dump, path):
    """The innermost line of the user's file in a dump of faulthandler, or None"""
    if dump.exists():
        for text in dump.read_text(encoding="utf-8", errors="replace").splitlines():
            if f'"{path.resolve()}"' in text:
                return text.split(", line ")[1].split(" ")[0]
    return None


def memory_is_guarded():
    """Is there a limit on the child's memory on this platform?"""
    return sys.platform.startswith("linux")


# ---- the child -----------------------------------------------------------------------------------


class Pulse:
    """A counter that the parent watches: it stands still while one call of the user's code runs."""

    def __init__(self, path):
        with open(path, "r+b") as file:
            self.memory = mmap.mmap(file.fileno(), 8)
        self.count = 0

    def beat(self):
        self.count += 1
        struct.pack_into("q", self.memory, 0, self.count)


def main(folder):
    """What the child runs.  It leaves by os._exit, so that forgotten threads cannot hold it."""
    folder = Path(folder)
    request = json.loads((folder / "request").read_text(encoding="utf-8"))
    where = open(folder / "where", "w", encoding="utf-8")  # noqa: SIM115  as long as the process
    faulthandler.enable(where)
    if hasattr(faulthandler, "register"):
        faulthandler.register(signal.SIGUSR1, where, all_threads=False)
    name, function = request["session"].split(":")
    session = getattr(importlib.import_module(name), function)
    (folder / "started").touch()
    _limit(request["memory"])

    path = request["path"]
    try:
        answer = {"value": session(_import(path, folder), request["is"], Pulse(folder / "pulse"))}
    except CannotRun as reason:
        answer = {"cannot run": str(reason)}
    except MemoryError as error:
        line = _last_line(error, path)
        traceback.clear_frames(error.__traceback__)  # what they hold is needed for the answer
        answer = {"cannot run": _too_much_memory(_short(path), line, request["memory"])}
    except SystemExit as error:
        line = _last_line(error, path)
        answer = {"cannot run": f"{_short(path)}{line}: it calls sys.exit({error.code!r})"}
    except BaseException:
        answer = {"internal": traceback.format_exc()}
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    (folder / "answer.new").write_text(json.dumps(answer), encoding="utf-8")
    os.replace(folder / "answer.new", folder / "answer")
    os._exit(0)


def _limit(memory):
    if memory_is_guarded():
        import resource

        for what, size in (
            (resource.RLIMIT_DATA, memory),
            (resource.RLIMIT_FSIZE, PRINTED_LIMIT),
            (resource.RLIMIT_CORE, 0),
        ):
            with contextlib.suppress(ValueError, OSError):  # a lower hard limit is there already
                resource.setrlimit(what, (size, resource.getrlimit(what)[1]))


def _import(path, folder):
    """The file as a module; its own folder is where it imports from, as in `python mine.py`"""
    sys.dont_write_bytecode = True
    shown = _short(path)
    try:
        with open(path, "rb") as file:
            code = compile(file.read(), path, "exec")
    except SyntaxError as error:
        line = f", line {error.lineno}" if error.lineno else ""
        raise CannotRun(f"{shown}{line}: {type(error).__name__}: {error.msg}") from None
    except (ValueError, UnicodeDecodeError) as error:
        raise CannotRun(f"{shown} is not Python source: {error}") from None
    sys.path.insert(0, os.path.dirname(path))
    sys.argv = [path]
    name = f"checked_{Path(path).stem}"
    module = types.ModuleType(name)
    module.__file__ = path
    sys.modules[name] = module
    try:
        exec(code, module.__dict__)
    except (SystemExit, MemoryError):
        raise
    except BaseException as error:
        hint = ": nobody is there to type anything" if isinstance(error, EOFError) else ""
        raise CannotRun(f"importing {shown} raised {describe(error, path)}{hint}") from None
    (folder / "imported").touch()
    return module


def functions_of(module):
    """The public functions that the file itself defines, by name, in its order"""
    own = (module.__name__, None)
    return {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_")
        and callable(value)
        and not isinstance(value, type)
        and getattr(value, "__module__", None) in own
    }


def the_function(module, name=None, like="kl"):
    """The function of that name; without a name the only one, or the only one called like `like`"""
    shown = _short(module.__file__)
    there = functions_of(module)
    if name is not None:
        value = module
        for part in name.split("."):
            value = getattr(value, part, None)
        if callable(value):
            return value
        if value is not None:
            raise CannotRun(f"{name} in {shown} is a {type(value).__name__}, not a function")
        listed = f"it has {', '.join(there)}" if there else "it defines none"
        raise CannotRun(f"{shown} has no function {name}: {listed}")
    alike = {name: value for name, value in there.items() if like in name.lower()}
    for found in (there, alike):
        if len(found) == 1:
            return next(iter(found.values()))
    if not there:
        raise CannotRun(f"{shown} defines no function")
    several = alike or there
    raise CannotRun(
        f"{shown} has {len(several)} functions that may be meant: {', '.join(several)}. "
        f"Name one, as in {shown}:{next(iter(several))}"
    )


def _short(path):
    """The path as one would type it here"""
    with contextlib.suppress(ValueError, OSError):
        near = os.path.relpath(path)
        return near if len(near) < len(str(path)) else str(path)
    return str(path)


def _last_line(error, path):
    """ ", line 7": the innermost line of the file in the error's traceback"""
    lines = [
        line
        for frame, line in traceback.walk_tb(error.__traceback__)
        if frame.f_code.co_filename == path
    ]
    return f", line {lines[-1]}" if lines else ""
