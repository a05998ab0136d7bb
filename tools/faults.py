"""Let the n-th allocation and the n-th system call of each command fail, and look at what is left.

    python -m tools.faults                      100 places of each kind in each command
    python -m tools.faults train --places 1000  more, of one command

Every command must end with status 0, 1 or 2, without a traceback, in time; the run folder must hold
a run that loads, the one before or the one after; where a sentence says "untouched", no byte may
differ.  Needs Linux, glibc and a C compiler (`cc`): faults.c is preloaded.  What another library
does when its own allocation fails (end the process, say) is counted, and is no fault of ours.
"""

import argparse
import contextlib
import ctypes
import errno
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from tools import kill

HERE = Path(__file__).parent
ALLOCATION, CALL = 1, 2
PATIENCE = 30  # seconds until a command counts as one that hangs
OPTIONS = "digits", "--hidden", "4", "--batch-size", "500", "--epochs"
COMMANDS = {  # in a folder with a run of two epochs, good/, and a right KL, mine.py
    "train": ["train", *OPTIONS, "2", "--out", "new/run"],
    "resume": ["train", "--out", "run", "--resume", "--epochs", "4"],
    "evaluate": ["evaluate", "run", "--samples", "5"],
    "plot": ["plot", "run"],
    "check": ["check", "kl", "mine.py", "--examples", "2"],
}
KL = """import numpy as np
def kl(mu_q, cov_q, mu_p, cov_p):
    inverse, d = np.linalg.inv(cov_p), mu_p - mu_q
    log_ratio = np.linalg.slogdet(cov_p)[1] - np.linalg.slogdet(cov_q)[1]
    return 0.5 * (np.trace(inverse @ cov_q) + d @ inverse @ d - len(d) + log_ratio)
"""


def possible():
    """Whether this system has what it takes"""
    return sys.platform == "linux" and bool(shutil.which("cc"))


def build(folder):
    """Compile faults.c  ->  the path of the library"""
    library = Path(folder, "faults.so")
    options = ["-shared", "-fPIC", "-O1", "-w", "-o", library, HERE / "faults.c", "-ldl"]
    subprocess.run(["cc", *options], check=True)
    return library


def sweep(command, kind, places, seed=0, **options):
    """A process with the library preloaded that tries so many places  ->  CompletedProcess"""
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        environment = kill.ENVIRONMENT | {
            "LD_PRELOAD": str(build(folder)),
            "PYTHONMALLOC": "malloc",  # every object is an allocation of the system's
            "OMP_NUM_THREADS": "1",
        }
        words = [command, str(kind), str(places), str(seed)]
        return subprocess.run([sys.executable, "-m", "tools.faults", "--inside", *words],
                              cwd=folder, env=environment, **options)  # fmt: skip


# --- inside -------------------------------------------------------------------------------------


def sweep_inside(command, kind, places, seed):
    """Try the command with a fault at each of the places; print what was wrong.  -> exit status"""
    import scipy.special  # noqa: F401  what a command imports is loaded once, before the faults

    from tinyvae import cli, plot  # noqa: F401

    library = ctypes.CDLL(os.environ["LD_PRELOAD"])
    library.faults_disarm.restype = ctypes.c_long
    library.faults_arm.argtypes = ctypes.c_int, ctypes.c_long, ctypes.c_int
    kill.finish("train", *OPTIONS, "2", "--out", "good")
    Path("mine.py").write_text(KL)
    (status, errors), total = attempt(library, command, kind, 0, 0)
    if status != 0:
        raise AssertionError(f"{command} fails without a fault: {errors}")
    rng, wrong, ends = np.random.default_rng(seed), [], {}
    if total > places:
        chosen = np.unique(rng.choice(total, places, replace=False) + 1)
    else:
        chosen = np.arange(1, total + 1)
    for at in map(int, chosen):
        code = (
            errno.ENOMEM if kind == ALLOCATION else [errno.EIO, errno.ENOSPC, errno.EMFILE][at % 3]
        )
        (status, errors), _ = attempt(library, command, kind, at, code)
        fault = judge(command, status, errors)
        ends[status] = ends.get(status, 0) + 1
        if fault:
            wrong.append(f"  place {at}, {errno.errorcode[code]}: {fault}")
    name = {ALLOCATION: "allocations", CALL: "system calls"}[kind]
    said = ", ".join(f"{count} ended with {status}" for status, count in sorted(ends.items()))
    print(f"{command:9s} {len(chosen):5d} of {total:8d} {name:13s} {len(wrong):3d} wrong; {said}")
    print(*wrong[:20], sep="\n", end="\n" if wrong else "", flush=True)
    return int(bool(wrong))


def attempt(library, command, kind, at, code):
    """Run the command in a fork with that fault  ->  (status, stderr), calls or allocations"""
    for name in "run", "new":
        shutil.rmtree(name, ignore_errors=True)
    shutil.copytree("good", "run")
    child = os.fork()
    if child == 0:
        try:
            run_armed(library, COMMANDS[command], kind, at, code)
        finally:
            os._exit(99)  # never
    status = wait(child)
    with open("count", "rb") as file:
        count = int(file.read() or 0)
    return (status, Path("errors").read_text(errors="replace")), count


def run_armed(library, arguments, kind, at, code):
    from tinyvae import cli

    for number, name in (1, "output"), (2, "errors"):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    count = os.open("count", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    sys.argv = ["tinyvae", *arguments]
    status = 1
    library.faults_arm(kind, at, code)
    try:
        status = cli.program()
        with contextlib.suppress(OSError):
            sys.stdout.flush()
    except SystemExit as end:
        status = end.code
    except BaseException:
        total = library.faults_disarm()
        import traceback

        traceback.print_exc()
    total = library.faults_disarm() or total
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.flush()
    os.write(count, str(total).encode())
    os._exit(status if isinstance(status, int) else 1)


def wait(child):
    """The exit status of a child; -9 if it had to be killed"""
    import time

    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return -signal.SIGKILL


def judge(command, status, errors):
    """What is wrong with how a command took a fault, or None"""
    from tinyvae import checkpoint

    last = errors.strip().splitlines()[-1:] or [""]
    if status == -signal.SIGKILL:
        return "hangs"
    if "Traceback" in errors or "Exception ignored" in errors:
        return f"traceback ({last[0][:100]})"
    if status < 0:
        return None  # a library ended the process
    if status not in (0, 2):
        return f"status {status} ({last[0][:100]})"
    if status == 2 and not errors.strip():
        return None if command == "none" else "status 2 without a word"
    try:
        run = checkpoint.load_run("run")
        saved = len(run.history)
    except checkpoint.CheckpointError as error:
        return f"the run is lost: {error}"
    if saved not in ((2, 3, 4) if command == "resume" else (2,)):
        return f"{saved} epochs are saved"
    if "untouched" in errors and run.options["epochs"] == 2:  # not even its first save was done
        files = {name: content for name, content in kill.contents("run").items() if name in WHOLE}
        if files != {name: Path("good", name).read_bytes() for name in WHOLE}:
            return "not untouched"
    if status == 0 and command == "resume" and saved != 4:
        return f"done, with {saved} epochs"
    return None


WHOLE = "checkpoint.npz", "config.json"


def main():
    parser = argparse.ArgumentParser("python -m tools.faults", description="Let calls fail.")
    parser.add_argument("commands", nargs="*", metavar="COMMAND", help=", ".join(COMMANDS))
    parser.add_argument("--places", type=int, default=100, help="that fail, of each kind (100)")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of places")
    parser.add_argument("--inside", nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.inside:
        command, *numbers = args.inside
        return sweep_inside(command, *map(int, numbers))
    if not possible():
        print("needs Linux and a C compiler")
        return 2
    statuses = [
        sweep(command, kind, args.places, args.seed).returncode
        for command in args.commands or COMMANDS
        for kind in (ALLOCATION, CALL)
    ]
    return int(any(statuses))


if __name__ == "__main__":
    sys.exit(main())
