"""Kill trainings at random moments, go on with each, and compare with one left in peace.

    python -m tools.kill                          50 trainings
    python -m tools.kill --rounds 500 --seed 1    more, and others

A round starts a training, kills it by SIGKILL, looks at what is in its folder, and goes on with it
until the end.  What was saved must be readable and lose nothing that had been announced; in the end
every file must be, byte for byte, that of the training that nobody disturbed.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tinyvae import checkpoint

ROOT = Path(__file__).parent.parent
OPTIONS = ["digits", "--hidden", "8", "--batch-size", "500", "--epochs", "40"]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}


def tinyvae(*arguments, **options):
    """Start the program in a process of its own  ->  subprocess.Popen"""
    command = [sys.executable, "-m", "tinyvae", *map(str, arguments)]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | options
    return subprocess.Popen(command, env=ENVIRONMENT, **options)


def finish(*arguments):
    """Run the program to its end, which must be a good one."""
    process = tinyvae(*arguments)
    _, errors = process.communicate()
    assert process.returncode == 0, errors


def contents(folder):
    """file name -> bytes, for all files in a folder"""
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


class Undisturbed(NamedTuple):
    """A training that nobody disturbs"""

    files: dict[str, bytes]
    first: float  # seconds until its first epoch is announced
    rest: float  # seconds from there to the end


def undisturbed(folder, *options):
    start = time.perf_counter()
    process = tinyvae("train", *OPTIONS, *options, "--out", folder)
    process.stdout.readline()
    first = time.perf_counter()
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    return Undisturbed(contents(folder), first - start, time.perf_counter() - first)


def moments(reference, rng):
    """(wait for the first epoch?, then wait so many seconds): anywhere in a training"""
    if rng.random() < 0.25:
        return False, rng.uniform(0.3, 1) * reference.first
    return True, rng.uniform(0, 1) * reference.rest


def killed(folder, moment, *options):
    """Start a training, and kill it at that moment  ->  how many epochs it had announced"""
    process = tinyvae("train", *OPTIONS, *options, "--out", folder)
    wait, seconds = moment
    first = process.stdout.readline() if wait else ""
    time.sleep(seconds)
    process.kill()
    lines = (first + process.communicate()[0]).splitlines(True)
    return sum(line.startswith("epoch") and line.endswith("\n") for line in lines)


def survive(folder, moment, files, save_every=1):
    """One round  ->  what the kill left: epochs announced, epochs saved, files half written

    Raises AssertionError if anything is lost or different.
    """
    options = ["--save-every", str(save_every)]
    announced = killed(folder, moment, *options)
    left = sorted(Path(folder).glob(".*.part"))
    saved = -1  # nothing yet
    if Path(folder, "checkpoint.npz").exists():
        saved = len(checkpoint.load_run(folder).history)
        finish("train", "--out", folder, "--resume")
    else:
        finish("train", *OPTIONS, *options, "--out", folder)
    promised = announced - announced % save_every
    assert max(saved, 0) >= promised, f"{promised} epochs should be saved, not {saved}"
    after = contents(folder)
    assert after.keys() == files.keys(), f"files {sorted(after)}, not {sorted(files)}"
    for name in files:
        assert after[name] == files[name], f"{name} differs"
    return announced, saved, len(left)


def main():
    parser = argparse.ArgumentParser("python -m tools.kill", description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)
    with tempfile.TemporaryDirectory() as folder:
        references = {n: undisturbed(Path(folder, f"left-alone-{n}"), "--save-every", str(n))
                      for n in (1, 4)}  # fmt: skip
        results = []
        for i in range(args.rounds):
            save_every = (1, 4)[i % 2]
            moment = moments(references[save_every], rng)
            try:
                files = references[save_every].files
                result = survive(Path(folder, str(i)), moment, files, save_every)
            except (AssertionError, checkpoint.CheckpointError) as error:
                print(f"round {i}, killed {moment[1]:.3f} s after its "
                      f"{'first epoch' if moment[0] else 'start'}: {error}")  # fmt: skip
                return 1
            results.append(result)
    _, saved, left = np.array(results).T
    print(f"{args.rounds} trainings killed, {args.rounds} ended as if undisturbed, byte for byte")
    print(f"killed before the first save {np.sum(saved < 0)}, in a write {np.sum(left > 0)}, "
          f"after the last epoch {np.sum(saved == 40)}, else after {saved[saved >= 0].min()} to "
          f"{saved[saved < 40].max()} epochs")  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
