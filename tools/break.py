"""Attack tinyvae as its users, their systems and their colleagues do, and show what comes of it.

    python -m tools.break                     every attack: what was expected, what was got
    python -m tools.break folder ending       some kinds; --list names them all

An attack is "off" where what was got is not what was expected; then the exit status is 1.  One that
this system does not allow (no root, no chattr) is skipped, and counted.  To add an attack, write a
function with @attack: it gets an empty folder and returns what it got, in the words of `outcome`.
"""

import argparse
import contextlib
import fcntl
import importlib
import os
import re
import resource
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tinyvae import checkpoint
from tools import faults, kill

SMALL = "digits", "--hidden", "4", "--batch-size", "500"
ENDLESS = *SMALL, "--epochs", "100000"
PATIENCE = 60  # seconds until a process counts as one that hangs


class Attack(NamedTuple):
    """What is done, and what must come of it"""

    kind: str
    name: str
    expected: str
    run: Callable  # an empty folder -> what was got


class NotHere(Exception):
    """This system does not allow the attack."""


ATTACKS = []


def attack(kind, name, expected):
    """Add a function to the table."""

    def add(run):
        ATTACKS.append(Attack(kind, name, expected, run))
        return run

    return add


# --- processes ----------------------------------------------------------------------------------


def start(*arguments, **options):
    """tinyvae with these arguments, in a process of its own that heeds Ctrl-C"""
    environment = kill.ENVIRONMENT | options.pop("env", {})
    command = [sys.executable, *options.pop("python", ["-m", "tinyvae"]), *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
    before = options.pop("preexec_fn", lambda: None)

    def prepare():
        signal.signal(signal.SIGINT, signal.default_int_handler)
        before()

    return subprocess.Popen(command, env=environment, text=True, errors="surrogateescape",
                            preexec_fn=prepare, **pipes | options)  # fmt: skip


def outcome(process, saying=""):
    """What a process ended with: "sentence, 2", "0", "traceback, 1", "hangs" ..."""
    try:
        output, errors = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return "hangs"
    process.output, process.errors, status = output or "", errors or "", process.returncode
    if "Traceback" in process.errors or "Exception ignored" in process.errors:
        return f"traceback, {status}"
    if saying not in process.errors + process.output:
        return f"says nothing of it, {status}: {process.errors.strip()[:200]}"
    return f"sentence, {status}" if process.errors.strip() else f"{status}"


def run(*arguments, saying="", **options):
    return outcome(start(*arguments, **options), saying)


def patched(code, *arguments, saying="", **options):
    """The same, in a Python that first runs some code: a system that fails"""
    program = f"import sys\n{code}\nfrom tinyvae.cli import program\nsys.exit(program())"
    return run(*arguments, saying=saying, python=["-c", program], **options)


def begin(folder, *options, epochs=3):
    """A training without end, after its third epoch"""
    process = start("train", *ENDLESS, *options, "--out", folder)
    for _ in range(epochs):
        process.stdout.readline()
    return process


def remove(folder):
    """rm -rf, again and again while a training writes into it"""
    while os.path.exists(folder):
        shutil.rmtree(folder, ignore_errors=True)


def stop(process):
    process.terminate()
    process.communicate()


def trained(folder, *options):
    """A run of one epoch"""
    kill.finish("train", *SMALL, "--epochs", "1", *options, "--out", folder)
    return folder


def epochs(folder):
    return len(checkpoint.load_run(folder).history)


def both(*got):
    """One word for several that should be alike"""
    return got[0] if len(set(got)) == 1 else " / ".join(got)


# --- the folder of a training that goes on ------------------------------------------------------


@attack("folder", "rm -rf run, a new training there", "new one stays, old 2")
def removed_and_made_anew(folder):
    first = begin(folder / "run", "--hidden", "16")
    remove(folder / "run")
    kill.finish("train", *SMALL, "--epochs", "3", "--out", folder / "run")
    got = outcome(first, "was removed")
    units = checkpoint.load(folder / "run").hidden_dims
    if got != "sentence, 2" or units != (4,) or epochs(folder / "run") != 3:
        return f"{got}, {units} hidden units"
    return "new one stays, old 2"


@attack("folder", "rm -rf run", "sentence, 2")
def removed(folder):
    process = begin(folder / "run")
    remove(folder / "run")
    got = outcome(process, "was removed while a training was using it")
    return f"{got}, made again" if os.path.exists(folder / "run") else got


@attack("folder", "mv run elsewhere", "saved there, 2")
def moved(folder):
    process = begin(folder / "run", "--save-every", "5")
    (folder / "run").rename(folder / "elsewhere")
    got = outcome(process, f"the folder is now {folder / 'elsewhere'}")
    if got != "sentence, 2" or os.path.exists(folder / "run"):
        return got
    more = str(epochs(folder / "elsewhere") + 1)
    kill.finish("train", "--out", folder / "elsewhere", "--resume", "--epochs", more)
    return "saved there, 2"


@attack("folder", "mv run, a second training of it", "sentence, 2")
def moved_and_resumed(folder):
    process = begin(folder / "run", "--save-every", "100000")
    (folder / "run").rename(folder / "elsewhere")
    got = run("train", "--out", folder / "elsewhere", "--resume", saying="another training is at")
    stop(process)
    return got


@attack("folder", "rm run/.lock, a second training", "one of the two")
def unlocked(folder):
    first = begin(folder / "run", "--save-every", "1")
    os.unlink(folder / "run" / ".lock")
    second = start("train", "--out", folder / "run", "--resume")
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and first.poll() is None and second.poll() is None:
        time.sleep(0.05)
    alive = [process for process in (first, second) if process.poll() is None]
    for process in alive:
        process.terminate()
    errors = [process.communicate()[1] for process in (first, second)]
    said = "another training" in errors[0] + errors[1] and "Traceback" not in "".join(errors)
    return "one of the two" if len(alive) == 1 and said else f"{len(alive)} go on: {errors}"


@attack("folder", ".lock is held by another program", "sentence, 2")
def locked(folder):
    trained(folder / "run")
    with open(folder / "run" / ".lock", "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        return run("train", "--out", folder / "run", "--resume", "--epochs", "2",
                   saying="another training is at work")  # fmt: skip


@attack("folder", "checkpoint.npz lost, config.json there", "a way out")
def checkpoint_lost(folder):
    trained(folder / "run")
    os.unlink(folder / "run" / "checkpoint.npz")
    again = run("train", "--out", folder / "run", "--resume", saying="Delete config.json and hist")
    new = run("train", *SMALL, "--epochs", "1", "--out", folder / "run", saying="delete it")
    for name in "config.json", "history.csv":
        os.unlink(folder / "run" / name)
    trained(folder / "run")
    return "a way out" if both(again, new) == "sentence, 2" else both(again, new)


# --- other things in the place of its files -----------------------------------------------------

IRREGULAR = {  # what may be there: (path, another file) -> None
    "FIFO": lambda path, other: os.mkfifo(path),
    "folder": lambda path, other: os.mkdir(path),
    "1 TB sparse": lambda path, other: sparse(path),
    "link to /dev/zero": lambda path, other: os.symlink("/dev/zero", path),
    "link to a file": lambda path, other: os.symlink(other, path),
    "link to nothing": lambda path, other: os.symlink("nowhere", path),
    "link to itself": lambda path, other: os.symlink(path.name, path),
}
TRAIN, EVALUATE = ("train", "--out", "run", "--resume", "--epochs", "2"), ("evaluate", "run")


def sparse(path):
    with open(path, "wb") as file:
        file.truncate(1 << 40)


def limited(kind, size):
    """For a process: a limit on its memory, open files ..."""
    return lambda: resource.setrlimit(kind, (size, size))


def put_in_place(name, command, *allowed, but=()):
    """Add an attack: each irregular thing in the place of a file of a run, then the command"""

    @attack("file", f"{name} is no file: {command[0]}", " or ".join(allowed))
    def irregular(folder):
        trained(folder / "good")
        for thing, make in IRREGULAR.items():
            if thing in but:
                continue
            shutil.rmtree(folder / "run", ignore_errors=True)
            shutil.copytree(folder / "good", folder / "run")
            other, path = folder / "other", folder / "run" / name
            other.write_bytes(b"mine")
            path.unlink(missing_ok=True)
            make(path, other)
            got = run(*command, cwd=folder, preexec_fn=limited(resource.RLIMIT_AS, 4 << 30))
            if got not in allowed:
                return f"{thing}: {got}"
            if other.read_bytes() != b"mine":
                return f"{thing}: what it leads to was written to"
        return " or ".join(allowed)


put_in_place("config.json", EVALUATE, "0", "sentence, 2")
put_in_place("config.json", TRAIN, "0", "sentence, 2")
put_in_place("checkpoint.npz", EVALUATE, "sentence, 2")
put_in_place("checkpoint.npz", TRAIN, "sentence, 2")
put_in_place("history.csv", TRAIN, "0", but=["folder"])
put_in_place(".lock", TRAIN, "sentence, 2", but=["1 TB sparse"])  # which is a lock as good as any
put_in_place(".checkpoint.npz.part", TRAIN, "0", but=["folder"])
put_in_place("samples.png", ("plot", "run"), "0", but=["folder"])


@attack("file", "history.csv is a folder", "trains, says so, 0")
def table_in_the_way(folder):
    trained(folder / "run")
    (folder / "run" / "history.csv").unlink()
    (folder / "run" / "history.csv").mkdir()
    got = run("train", "--out", folder / "run", "--resume", "--epochs", "3",
              saying="history.csv cannot be written")  # fmt: skip
    return "trains, says so, 0" if (got, epochs(folder / "run")) == ("sentence, 0", 3) else got


def immutable(name, *command, saying):
    def attempt(folder):
        trained(folder / "run")
        before = kill.contents(folder / "run")
        path = folder / "run" / name
        if subprocess.run(["chattr", "+i", path], capture_output=True).returncode:
            raise NotHere
        try:
            got = run(*command, cwd=folder, saying=saying)
        finally:
            subprocess.run(["chattr", "-i", path], check=True)
        after = kill.contents(folder / "run")
        return f"{got}{'' if after == before else ', changed'}"

    return attempt


UNTOUCHED = "what was saved before is untouched"
attack("file", "chattr +i checkpoint.npz: train", "sentence, 2")(
    immutable("checkpoint.npz", *TRAIN, saying=UNTOUCHED)
)
attack("file", "chattr +i config.json: train", "sentence, 2")(
    immutable("config.json", *TRAIN, saying=UNTOUCHED)
)
attack("file", "chattr +i history.csv: train", "sentence, 0, changed")(
    immutable("history.csv", *TRAIN, saying="history.csv cannot be written")
)
attack("file", "chattr +i .: train", "sentence, 2")(immutable(".", *TRAIN, saying=UNTOUCHED))


# --- how a training ends ------------------------------------------------------------------------


def ending(name, status):
    @attack("ending", f"{name}, --save-every 100000", f"saved, {status}")
    def ended(folder):
        process = begin(folder / "run", "--save-every", "100000")
        process.send_signal(getattr(signal, name))
        got = outcome(process, f"stopped by {name}")
        saved = epochs(folder / "run") >= 3
        return got.replace("sentence", "saved") if saved else f"{got}, nothing saved"


ending("SIGINT", 130)
ending("SIGTERM", 143)
ending("SIGHUP", 129)
ending("SIGXCPU", 128 + signal.SIGXCPU)


@attack("ending", "its terminal is closed, --save-every 100000", "saved, 129")
def terminal_closed(folder):
    import pty

    child, terminal = pty.fork()
    if child == 0:
        words = ["train", *ENDLESS, "--save-every", "100000", "--out", str(folder / "run")]
        os.execve(sys.executable, [sys.executable, "-m", "tinyvae", *words], kill.ENVIRONMENT)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("4H", 24, 100, 0, 0))
    shown, deadline = b"", time.monotonic() + PATIENCE
    while not re.search(rb"\b([3-9]|\d\d+)/100000", shown) and time.monotonic() < deadline:
        if select.select([terminal], [], [], 1)[0]:
            shown += os.read(terminal, 4096)
    os.close(terminal)
    _, status = os.waitpid(child, 0)
    saved = "saved" if epochs(folder / "run") >= 3 else "nothing saved"
    return f"{saved}, {os.waitstatus_to_exitcode(status)}"


@attack("ending", "its log's disk is full, --save-every 100000", "saved, 2")
def log_full(folder):
    code = (
        "import errno\nwrite, count = sys.stdout.write, []\n"
        "class Log:\n"
        "    encoding, errors = 'utf-8', 'strict'\n"
        "    def write(self, text):\n"
        "        count.append(text)\n"
        "        if len(count) > 8: raise OSError(errno.ENOSPC, 'No space left on device')\n"
        "    def flush(self): pass\n"
        "    def isatty(self): return False\n"
        "    def fileno(self): return 1\n"
        "sys.stdout = Log()"
    )
    got = patched(code, "train", *ENDLESS, "--save-every", "100000", "--out", folder / "run",
                  saying="which is saved; go on with:")  # fmt: skip
    return got.replace("sentence", "saved") if epochs(folder / "run") >= 3 else got


@attack("ending", "nobody reads its output, --save-every 100000", "saved, 141")
def pipe_closed(folder):
    process = begin(folder / "run", "--save-every", "100000")
    process.stdout.close()
    process.stdout = None
    got = outcome(process)
    return f"saved, {got}" if epochs(folder / "run") >= 3 else got


@attack("ending", "no more memory, --save-every 100000", "saved, 2")
def memory_gone(folder):
    code = (
        "import tinyvae.cli as c\ntake, count = c.checkpoint.Snapshot.take, []\n"
        "def fail(self):\n"
        "    count.append(1)\n"
        "    if len(count) == 5: raise MemoryError\n"
        "    take(self)\n"
        "c.checkpoint.Snapshot.take = fail"
    )
    got = patched(code, "train", *ENDLESS, "--save-every", "100000", "--out", folder / "run",
                  saying="not enough memory")  # fmt: skip
    return got.replace("sentence", "saved") if epochs(folder / "run") == 3 else got


# --- systems that lack something, or fail -------------------------------------------------------

NO_LOCKS = (
    "import fcntl, errno\ndef flock(*a): raise OSError(errno.{0}, '{0}')\nfcntl.flock = flock"
)
NO_SYNC = (
    "import os, errno, stat\nreal = os.fsync\n"
    "def fsync(fd):\n"
    "    if stat.{1}(os.fstat(fd).st_mode): raise OSError(errno.{0}, '{0}')\n"
    "    real(fd)\n"
    "os.fsync = fsync"
)


def trains_on(code, saying):
    def attempt(folder):
        words = ["train", *SMALL, "--epochs", "2", "--out", folder / "run"]
        got = patched(code, *words, saying=saying)
        return f"{got}, {epochs(folder / 'run')} epochs" if got.endswith("0") else got

    return attempt


for name in "ENOLCK", "ENOSYS", "EOPNOTSUPP":
    attack("system", f"flock says {name}", "sentence, 0, 2 epochs")(
        trains_on(NO_LOCKS.format(name), "this file system has no locks")
    )
for name in "EINVAL", "ENOSYS", "EBADF":
    attack("system", f"fsync of a folder says {name}", "sentence, 0, 2 epochs")(
        trains_on(NO_SYNC.format(name, "S_ISDIR"), "cannot be told to write to the disk")
    )
attack("system", "fsync of a file says EINVAL", "sentence, 0, 2 epochs")(
    trains_on(NO_SYNC.format("EINVAL", "S_ISREG"), "cannot be told to write to the disk")
)
attack("system", "fsync of a file says EIO", "sentence, 2")(
    trains_on(NO_SYNC.format("EIO", "S_ISREG"), "cannot be written")
)
attack("system", "fsync of a folder says EIO", "sentence, 2")(
    trains_on(NO_SYNC.format("EIO", "S_ISDIR"), "cannot be written")
)


@attack("system", "power fails after new/parent/run is made", "all are fsynced")
def parents_synced(folder):
    code = (
        "import os\nreal = os.fsync\n"
        "def fsync(fd):\n"
        "    print(os.readlink(f'/proc/self/fd/{fd}'), file=sys.stderr)\n"
        "    real(fd)\n"
        "os.fsync = fsync"
    )
    if not os.path.exists("/proc/self/fd"):
        raise NotHere
    program = f"import sys\n{code}\nfrom tinyvae.cli import program\nprogram()"
    words = ["train", *SMALL, "--epochs", "1", "--out", folder / "new/parent/run"]
    process = start(*words, python=["-c", program])
    outcome(process)
    synced = set(process.errors.split())
    wanted = {str(folder / part) for part in ("", "new", "new/parent", "new/parent/run")}
    return "all are fsynced" if wanted <= synced else f"not {sorted(wanted - synced)}"


@attack("system", "200 open files at most, 8, 6", "0 or a sentence, 2")
def few_files(folder):
    for number in 200, 8, 6:
        got = run("train", *SMALL, "--epochs", "1", "--out", folder / str(number),
                  preexec_fn=limited(resource.RLIMIT_NOFILE, number))  # fmt: skip
        if got not in ("0", "sentence, 2"):
            return f"{number}: {got}"
    return "0 or a sentence, 2"


@attack("system", "memory of 300 MB to 2 GB, hidden 20,000", "0 or a sentence, 2")
def little_memory(folder):
    trained(folder / "run")
    words = ["train", "mnist5k", "--hidden", "20000", "--epochs", "1", "--batch-size", "4000"]
    for size in 300, 400, 500, 700, 1000, 1400, 2000:
        for command in [*words, "--out", folder / str(size)], ["evaluate", folder / "run"]:
            got = run(*command, preexec_fn=limited(resource.RLIMIT_AS, size << 20))
            if got not in ("0", "sentence, 2"):
                return f"{size} MB, {command[0]}: {got}"
    return "0 or a sentence, 2"


def faulty(command, kind, name):
    @attack("fault", f"{command}: 25 of its {name} fail, in turn", "nothing lost")
    def attempt(folder):
        if not faults.possible():
            raise NotHere
        done = faults.sweep(command, kind, places=25, capture_output=True, text=True)
        return "nothing lost" if done.returncode == 0 else done.stdout or done.stderr


for command in faults.COMMANDS:
    faulty(command, faults.ALLOCATION, "allocations")
    faulty(command, faults.CALL, "system calls")


# --- names, and where things are ----------------------------------------------------------------


def printed_command(name, **environment):
    """Stop a training in a folder of that name, and run in a shell what it prints"""

    def attempt(folder):
        process = start("train", *ENDLESS, f"--out={name}", cwd=folder, env=environment)
        for _ in range(3):
            process.stdout.readline()
        process.terminate()
        got = outcome(process, "go on with:")
        command = process.errors.splitlines()[-1].replace(
            "tinyvae", f"{sys.executable} -m tinyvae", 1
        )
        command += f" --epochs {epochs(folder / name) + 1}"
        again = subprocess.run(["bash", "-c", command], cwd=folder, env=kill.ENVIRONMENT,
                               capture_output=True, text=True, errors="replace")  # fmt: skip
        if got != "sentence, 143" or again.returncode:
            return f"{got}, then {again.returncode}: {again.stderr}"
        shown = again.stdout.splitlines()[-1].partition("see: tinyvae ")[2]
        drawn = subprocess.run(["bash", "-c", f"{sys.executable} -m tinyvae {shown}"], cwd=folder,
                               env=kill.ENVIRONMENT, capture_output=True, text=True)  # fmt: skip
        return "commands that work" if drawn.returncode == 0 else f"{shown}: {drawn.stderr}"

    return attempt


ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
for name, environment in (
    ("-x", {}), ("--resume", {}), ("a b'c", {}), ("caf\u00e9", {}), ("caf\u00e9", ASCII),
    ("two\nlines", {}), ("\x1b[31m", {}), ("a\udcff", {}), ("$HOME `x` \\", ASCII),
):  # fmt: skip
    where = " in ASCII" if environment else ""
    attack("name", f"--out={ascii(name)[1:-1]}{where}, stopped", "commands that work")(
        printed_command(name, **environment)
    )


def own_data(path, seed=0):
    rng = np.random.default_rng(seed)
    np.savez(path, x_train=rng.random((50, 3, 5)), x_test=rng.random((20, 3, 5)))


@attack("name", "the .npz of a run has moved", "found by --data alone")
def data_moved(folder):
    own_data(folder / "mine.npz")
    kill_options = ["--hidden", "4", "--epochs", "1"]
    first = run("train", folder / "mine.npz", *kill_options, "--out", folder / "run")
    (folder / "store").mkdir()
    (folder / "mine.npz").rename(folder / "store" / "renamed.npz")
    own_data(folder / "store" / "another.npz", seed=1)
    lost = run("evaluate", folder / "run", saying="say by --data where they are")
    wrong = run("evaluate", folder / "run", "--data", folder / "store" / "another.npz",
                saying="does not hold the images")  # fmt: skip
    found = [
        run(*command, "--data", place)
        for place in (folder / "store" / "renamed.npz", folder / "store")
        for command in (
            ["evaluate", folder / "run", "--samples", "5"],
            ["plot", folder / "run"],
            ["train", "--out", folder / "run", "--resume", "--epochs", "2"],
        )
    ]
    if both(lost, wrong) == "sentence, 2" and both(first, *found) == "0":
        return "found by --data alone"
    return both(first, lost, wrong, *found)


@attack("name", "a run with a relative .npz, from elsewhere", "0")
def from_elsewhere(folder):
    own_data(folder / "mine.npz")
    run("train", "mine.npz", "--hidden", "4", "--epochs", "1", cwd=folder)
    (folder / "below").mkdir()
    return run("evaluate", "../runs/mine-2d", "--samples", "5", cwd=folder / "below")


@attack("name", "ESC and NUL in a foreign checkpoint", "escaped")
def control_characters(folder):
    trained(folder / "run")
    run_ = checkpoint.load_run(folder / "run")
    run_.options["dataset"] = "a\x1b[31m\0.npz"
    checkpoint.save(folder / "run", *run_)
    process = start("evaluate", folder / "run")
    got = outcome(process)
    shown = process.output + process.errors
    return "escaped" if got == "sentence, 2" and "\x1b" not in shown and "\0" not in shown else got


# --- elsewhere ----------------------------------------------------------------------------------

for backend in "nonsense", "module://matplotlib_inline.backend_inline", "TkAgg", "":
    attack("elsewhere", f"plot, MPLBACKEND={backend}", "0")(
        lambda folder, backend=backend: run(
            "plot", trained(folder / "run"), env={"MPLBACKEND": backend}
        )
    )
attack("elsewhere", "lesson 1, MPLBACKEND=nonsense", "sentence, 2")(
    lambda folder: run("lesson", "1", env={"MPLBACKEND": "nonsense"}, saying="MPLBACKEND")
)


@attack("elsewhere", "PYTHONOPTIMIZE=2: every --help", "as without")
def no_docstrings(folder):
    from tinyvae import cli

    for words in [], ["train"], ["evaluate"], ["plot"], *([name] for name in cli.COMMANDS):
        texts = []
        for level in "", "2":
            process = start(*" ".join(words).split(), "--help", env={"PYTHONOPTIMIZE": level})
            outcome(process)
            texts.append(process.output)
        if texts[0] != texts[1] or not texts[0]:
            return f"{words}: differs"
    return "as without"


def full(*words, streams):
    """A command whose output goes to a full disk"""

    def attempt(folder):
        if not os.path.exists("/dev/full"):
            raise NotHere
        with open("/dev/full", "w") as nowhere:
            return run(*words, **dict.fromkeys(streams, nowhere)).split(", ")[-1]

    return attempt


for words in ["train", "nosuch"], ["evaluate", "nowhere"], [], ["nonsense"], ["train", "--epochs"]:
    for streams in ["stderr"], ["stdout", "stderr"]:
        attack("elsewhere", f"{' '.join(words) or 'nothing'}: {' '.join(streams)} full", "2")(
            full(*words, streams=streams)
        )
for words in ["--help"], ["train", "--help"], ["--version"], ["lesson"], ["bugs"]:
    attack("elsewhere", f"{' '.join(words)}: stdout full", "2")(full(*words, streams=["stdout"]))


@attack("elsewhere", "evaluate of one image", "no nan, 0")
def one_image(folder):
    rng = np.random.default_rng(0)
    np.savez(folder / "one.npz", x_train=rng.random((9, 4, 4)), x_test=rng.random((1, 4, 4)))
    run("train", "one.npz", "--hidden", "3", "--epochs", "1", "--out", "run", cwd=folder)
    process = start("evaluate", "run", "--samples", "5", cwd=folder)
    got = outcome(process)
    return got if "nan" in process.output else f"no nan, {got}"


@attack("elsewhere", "evaluate without memory", "names --samples, 2")
def advice(folder):
    code = "import tinyvae.evaluate as e\ndef fail(*a, **o): raise MemoryError\ne.elbo = fail"
    got = patched(code, "evaluate", trained(folder / "run"), saying="choose fewer --samples")
    return got.replace("sentence", "names --samples")


@attack("elsewhere", "100,000 epochs of history, an epoch", "< 5 times the first")
def long_history(folder):
    """One epoch of bookkeeping after 100,000 epochs and after none: snapshot and table"""
    trained(folder / "run")
    loaded = checkpoint.load_run(folder / "run")

    def seconds(rows):
        row = loaded.history[0]
        run_ = loaded._replace(history=[row | {"epoch": i + 1} for i in range(rows)])
        snapshot, best = checkpoint.Snapshot(run_), np.inf
        for i in range(20):
            run_.history.append(row | {"epoch": rows + i + 1})
            begun = time.perf_counter()
            snapshot.take()
            checkpoint.csv(run_.history[-1:], ["epoch", "recon"])
            best = min(best, time.perf_counter() - begun)
        return best

    few, many = seconds(1), seconds(100_000)
    return "< 5 times the first" if many < 5 * few else f"{many / few:.0f} times the first"


# --- the table ----------------------------------------------------------------------------------


def attempt(one):
    """Run one attack in a folder of its own  ->  what was got"""
    with tempfile.TemporaryDirectory(prefix="break-") as folder:
        try:
            return one.run(Path(folder).resolve())
        except NotHere:
            return "not possible here"
        except Exception as error:
            return f"{type(error).__name__}: {error}".splitlines()[0]


def all_attacks():
    """The attacks of this file, and those on the checker, which has a file of its own."""
    with contextlib.suppress(ModuleNotFoundError):
        checker = importlib.import_module("tools.break_checker")
        return [*ATTACKS, *(Attack(*other) for other in checker.ATTACKS)]
    return list(ATTACKS)


def main():
    parser = argparse.ArgumentParser("python -m tools.break", description="Attack tinyvae.")
    parser.add_argument("kinds", nargs="*", metavar="KIND", help="some kinds alone")
    parser.add_argument("--list", action="store_true", help="name the kinds")
    args = parser.parse_args()
    attacks = all_attacks()
    kinds = list(dict.fromkeys(one.kind for one in attacks))
    if args.list:
        print(
            *(f"{kind:12s}{sum(one.kind == kind for one in attacks):4d}" for kind in kinds),
            sep="\n",
        )
        return 0
    if unknown := set(args.kinds) - set(kinds):
        parser.error(f"no kind {min(unknown)}; there are {', '.join(kinds)}")
    chosen = [one for one in attacks if not args.kinds or one.kind in args.kinds]
    off = skipped = 0
    print(f"{'kind':10s} {'attack':45s} {'expected':22s} got")
    for one in chosen:
        got = attempt(one)
        wrong = got not in (one.expected, "not possible here")
        off, skipped = off + wrong, skipped + (got == "not possible here")
        print(f"{one.kind:10s} {one.name:45s} {one.expected:22s} {got}{'   OFF' if wrong else ''}",
              flush=True)  # fmt: skip
    print(f"{len(chosen)} attacks, {off} off, {skipped} not possible here")
    return int(off > 0)


if __name__ == "__main__":
    sys.exit(main())
