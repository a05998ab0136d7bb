"""Two sides, each a process of its own, timed in turn: ratios, never a lone time."""

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

THREADS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def environment():
    """The same number of threads for every side."""
    names = ["OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"]
    return os.environ | dict.fromkeys(names, str(THREADS))


def on_ranks(command, ranks):
    """That command, run by mpiexec on so many ranks, one BLAS thread for each core of theirs"""
    beside = Path(sys.executable).with_name("mpiexec")
    mpiexec = str(beside) if beside.exists() else shutil.which("mpiexec")
    if mpiexec is None:
        raise SystemExit("benchmarks: no mpiexec; pip install -e .[bench,mpi]")
    return [mpiexec, "-n", str(ranks), *command]


class Side:
    """A process that holds one side ready: `run(n)` lets it do n iterations and says how long.

    case["ranks"] is in how many ranks the side of that name runs, if its name ends in "ranks".
    """

    def __init__(self, name, case):
        self.name = name
        command = [sys.executable, "-m", "benchmarks.sides", name, json.dumps(case)]
        if name.endswith("ranks"):
            command = on_ranks(command, case.get("ranks", THREADS))
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        self.checked = self._answer()  # losses that all sides must agree on

    def run(self, n):
        self.process.stdin.write(f"{n}\n")
        self.process.stdin.flush()
        return self._answer()

    def close(self):
        self.process.stdin.close()
        self.process.wait()

    def _answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"benchmarks: the side {self.name} ended before it answered")
        return json.loads(line)


@dataclass
class Ratio:
    """Ours over theirs, round by round, and both medians in milliseconds."""

    rounds: np.ndarray
    ours: float
    theirs: float

    @property
    def quartiles(self):
        return np.percentile(self.rounds, [25, 50, 75])

    def __str__(self):
        low, median, high = self.quartiles
        return f"{median:.2f} ({low:.2f}-{high:.2f})"


def compare(ours, theirs, case, rounds=31, seconds=0.15):
    """The ratio ours / theirs: both warm up, their losses are compared, then they take turns."""
    sides = [Side(ours, case), Side(theirs, case)]
    try:
        a, b = (side.checked for side in sides)
        if a is not None and b is not None:
            np.testing.assert_allclose(a, b, rtol=2e-3, err_msg=f"{ours} and {theirs} differ")
        counts = []
        for side in sides:  # warm up, and find how many iterations fill a round
            side.run(3)
            counts.append(max(1, round(seconds / (side.run(5) / 5))))
        times = np.empty((rounds, 2))
        for i in range(rounds):
            for j in (0, 1) if i % 2 else (1, 0):
                time.sleep(0.25)  # the other side's BLAS threads stop spinning
                times[i, j] = sides[j].run(counts[j]) / counts[j]
    finally:
        for side in sides:
            side.close()
    ours_ms, theirs_ms = np.median(times, axis=0) * 1e3
    return Ratio(times[:, 0] / times[:, 1], ours_ms, theirs_ms)


def whole_process(command):
    """Run a command  ->  (seconds, peak memory in MB, what it printed)"""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment())
    said = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"benchmarks: {' '.join(command)} ended with {process.returncode}")
    return time.perf_counter() - start, usage.ru_maxrss / 1024, said


def compare_processes(ours, theirs, rounds, memory_of=lambda measured, said: measured):
    """Whole processes in turn  ->  Ratio of times, Ratio of peak memory, what each printed last

    memory_of: MB, from what was measured and what the process printed
    """
    results = np.empty((rounds, 2, 2))
    said = ["", ""]
    for i in range(rounds):
        for j, command in enumerate((ours, theirs)):
            seconds, memory, said[j] = whole_process(command)
            results[i, j] = seconds * 1e3, memory_of(memory, said[j])
    return [
        Ratio(results[:, 0, k] / results[:, 1, k], *np.median(results[:, :, k], axis=0))
        for k in (0, 1)
    ] + [said]
