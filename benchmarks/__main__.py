"""python -m benchmarks [PART ...] [--even-if-busy]    see benchmarks/__init__.py"""

import datetime
import importlib.metadata
import inspect
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

from benchmarks import growth, published
from benchmarks.pairs import THREADS, compare, compare_processes, on_ranks, whole_process
from tinyvae import blas

HERE = Path(__file__).parent
PYTHON = sys.executable
ABOUT = "Ratios are ours / theirs, lower is better: the median over rounds, with its quartiles."


def table(header, rows):
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def row(label, ratio, must="", aim=""):
    return [label, str(ratio), f"{ratio.ours:.2f}", f"{ratio.theirs:.2f}", must, aim]


HEADER = ["against", "ratio", "ours, ms", "theirs, ms", "must", "aim"]
ON_RANKS = f"{THREADS} ranks of 1 thread"
BUSY = 0.5  # cores: the load of the last minute above which other programs distort the numbers
LOSS_ASKED_FOR = 106.4  # nats, on the test images after 10 epochs
ALONE = f"1 process of {THREADS} threads"
PEERS = {
    "PyTorch eager, Adam": "step torch",
    "PyTorch eager, fused Adam": "step torch fused",
    "PyTorch compiled, fused Adam": "step torch compiled",
    "JAX jit, donated buffers": "step jax",
    "its matrix products alone": "step products",
}
GOALS = {
    # ours, batch, theirs -> must, aim
    ("step tinyvae", 128, "step torch fused"): ("1.05", "0.95"),
    ("step tinyvae", 128, "step jax"): ("1.1", "1.0"),
    ("step tinyvae", 128, "step products"): ("1.8", "1.5"),
    ("step tinyvae", 512, "step torch fused"): ("1.0", "0.9"),
    ("step tinyvae", 128, "step readable"): ("0.9", ""),
    ("step ranks", 128, "step torch fused"): ("0.85", "0.75"),
    ("step ranks", 128, "step jax"): ("1.05", "0.95"),
    ("step ranks", 128, "step products"): ("1.5", "1.35"),
    ("step ranks", 512, "step torch fused"): ("0.9", "0.8"),
}


def step():
    """Forward, backward and Adam, one batch, float32, relu, 784-H-20.

    Both sides have the same number of threads: theirs in one process, ours in one process, as
    `tinyvae train` runs, or in ranks of one thread each, as `mpiexec -n 2 tinyvae train` does.
    """
    for hidden, batch in ((400, 128), (400, 512), (500, 100)):
        case, rows = {"hidden": hidden, "batch": batch}, []
        for name, ours, itself in (
            (ALONE, "step tinyvae", ("what is to be read", "step readable")),
            (ON_RANKS, "step ranks", ("itself, in one process", "step tinyvae")),
        ):
            for label, side in {**PEERS, itself[0]: itself[1]}.items():
                goals = GOALS.get((ours, batch, side), ("", ""))
                rows.append([name, *row(label, compare(ours, side, case), *goals)])
        yield f"784-{hidden}-20, batch {batch}\n\n{table(['ours', *HEADER], rows)}"


def ranks():
    """A step on 1, 2 and 4 ranks, against PyTorch's DDP (gloo) on as many, 784-H-20.

    Each rank has its share of the cores, and one thread where there are more ranks than cores.
    """
    rows = []
    for hidden, batch in ((400, 128), (400, 512), (400, 4096), (2000, 128), (2000, 4096)):
        for n in (1, 2, 4):
            case = {"hidden": hidden, "batch": batch, "ranks": n, "port": 29400 + len(rows)}
            ours = "step ranks" if n > 1 else "step tinyvae"
            alone = compare(ours, "step tinyvae", case, rounds=11)
            ddp = compare(ours, "step ddp ranks" if n > 1 else "step torch fused", case, rounds=11)
            rows.append([hidden, batch, n, f"{alone.ours:.1f}", alone, ddp])
    header = ["hidden", "batch", "ranks", "ours, ms", "ours / ours in one process", "ours / DDP"]
    yield table(header, rows)


def run():
    """Full MNIST, 10 epochs of the PyTorch example, start to finish, as whole processes."""
    rows, losses = [], []
    in_one = [PYTHON, "-m", "benchmarks.train_mnist", "tinyvae", "10"]
    in_ranks = on_ranks(in_one, THREADS)
    for ours, mine, label, loop, must, aim in (
        (ALONE, in_one, "the PyTorch example's loop", "example", ("0.5", "0.27"), ("0.4", "0.25")),
        (ALONE, in_one, "a tuned PyTorch loop", "tuned", ("0.8", ""), ("0.7", "")),
        (
            ON_RANKS,
            in_ranks,
            "the PyTorch example's loop",
            "example",
            ("0.46", "0.45"),
            ("0.4", ""),
        ),
        (ON_RANKS, in_ranks, "a tuned PyTorch loop", "tuned", ("0.6", ""), ("0.5", "")),
    ):
        theirs = [PYTHON, "-m", "benchmarks.train_mnist", loop, "10"]
        times, memory, said = compare_processes(
            mine, theirs, rounds=2,
            memory_of=lambda measured, said: float(said.split()[1]) or measured,
        )  # fmt: skip
        seconds = f"{times.ours / 1e3:.1f} s", f"{times.theirs / 1e3:.1f} s"
        rows.append([ours, f"{label}: time", times, *seconds, must[0], aim[0]])
        sizes = f"{memory.ours:.0f} MB", f"{memory.theirs:.0f} MB"
        rows.append([ours, f"{label}: peak memory", memory, *sizes, must[1], aim[1]])
        test_losses = [float(text.split()[0]) for text in said]
        if not max(test_losses) <= LOSS_ASKED_FOR:
            sys.exit(f"benchmarks: test losses {test_losses}, and {LOSS_ASKED_FOR} is asked for")
        losses.append(
            f"{ours}, {label}: test loss {test_losses[0]:.2f} (ours), {test_losses[1]:.2f}"
        )
    yield table(["ours", "against", "ratio", "ours", "theirs", "must", "aim"], rows)
    yield "Memory is the sum over ranks, each of which counts what it shares with the others."
    yield "; ".join(losses) + f" nats. At most {LOSS_ASKED_FOR} is asked for."


RIGHT_KL = """import numpy as np

def kl(mu, logvar):
    return 0.5 * np.sum(mu**2 + np.exp(logvar) - 1 - logvar, axis=-1)
"""


def wait():
    """What a class waits for: whole commands, wall time, the median of the rounds."""
    root, rows = HERE.parent, []
    environment = {"MPLBACKEND": "Agg", "PYTHONPATH": str(root)}
    exercise = (root / "lessons" / "exercises" / "05_reparameterization.py").read_text("utf-8")
    lessons = sorted((root / "lessons").glob("0[1-8]_*.py"))
    with tempfile.TemporaryDirectory() as here:
        Path(here, "mine.py").write_text(RIGHT_KL, encoding="utf-8")
        folder = Path(here, "submissions")
        folder.mkdir()
        for i in range(60):  # as many hands: the same exercise, no two files the same
            text = exercise + f"\n# submission {i}\n"
            (folder / f"student_{i:02d}.py").write_text(text, encoding="utf-8")
        tinyvae = [PYTHON, "-m", "tinyvae"]
        check = [seconds(here, environment, *tinyvae, "check", "kl", "mine.py:kl")
                 for _ in range(5)]  # fmt: skip
        rows.append(["`tinyvae check kl`, right, NumPy", f"{sorted(check)[2]:.2f} s", "1.2 s"])
        mark = seconds(here, environment, *tinyvae, "mark", "submissions")
        rows.append(["`tinyvae mark`, 60 submissions of exercise 5", f"{mark:.0f} s", "90 s"])
        each = [seconds(here, environment, PYTHON, lesson) for lesson in lessons]
        rows.append(["the first eight lessons, sum", f"{sum(each):.0f} s", "60 s"])
        rows.append(["the slowest of them", f"{max(each):.0f} s", "20 s"])
        first = seconds(here, environment, PYTHON, root / "lessons" / "03_elbo.py")
        rows.append(["README's first command after the install", f"{first:.1f} s", "3 s"])
    suite = seconds(root, environment, PYTHON, "-m", "pytest", "-n", "auto", "-q")
    rows.append(["the test suite", f"{suite:.0f} s", "180 s"])
    yield table(["what", "time", "must"], rows)


def seconds(folder, environment, *command):
    """Wall time of a command, which may end as it likes: a check that fails takes its time, too"""
    start = time.perf_counter()
    subprocess.run(
        [str(word) for word in command], cwd=folder, env=os.environ | environment, check=False,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    return time.perf_counter() - start


def likelihood():
    """The importance-weighted estimate of log p(x), 5,000 samples a digit, 784-400-20."""
    case = {"hidden": 400, "batch": 4, "samples": 5000, "chunk": 5000, "checked": 1}
    rows = []
    for label, side, chunk, *goal in (
        ("PyTorch, 5000 samples at once", "likelihood torch", 5000, "0.85", "0.7"),
        ("PyTorch, chunks of 250", "likelihood torch", 250, "0.95", "0.8"),
        ("its matrix products alone", "likelihood products", 250),
    ):
        ratio = compare("likelihood tinyvae", side, case | {"chunk": chunk}, rounds=11)
        rows.append(row(label, ratio, *goal))
    yield "Four digits a round.\n\n" + table(HEADER, rows)


def start():
    """What it costs to begin: imports, the command line, the main job, the installs."""
    imports = [[PYTHON, "-c", f"import {name}"] for name in ("tinyvae", "torch", "numpy")]
    rows = []
    for label, theirs, must, aim in (
        ("`import tinyvae` against `import torch`", imports[1], "0.1", "0.06"),
        ("`import tinyvae` against `import numpy`", imports[2], "1.2", ""),
    ):
        ratio, _, _ = compare_processes(imports[0], theirs, rounds=11)
        rows.append(row(label, ratio, must, aim))
    command = [PYTHON, "-m", "tinyvae", "--help"]
    ratio, _, _ = compare_processes(command, imports[1], rounds=11)
    rows.append(row("`tinyvae --help` against `import torch`", ratio))
    yield table(HEADER, rows)
    lesson = HERE.parent / "lessons" / "03_elbo.py"
    with tempfile.TemporaryDirectory() as empty:
        os.environ |= {"MPLBACKEND": "Agg", "PYTHONPATH": str(HERE.parent)}
        here = os.getcwd()
        os.chdir(empty)
        seconds = [whole_process([PYTHON, str(lesson)])[0] for _ in range(3)]
        os.chdir(here)
    yield f"The main job, `python lessons/03_elbo.py`: {sorted(seconds)[1]:.1f} s (median of 3)."
    sizes = {name: install_size(name) for name in ("tinyvae", "torch")}
    ratio = sizes["tinyvae"] / sizes["torch"]
    yield (
        f"Installed with everything they need: tinyvae {sizes['tinyvae']:.0f} MB, torch "
        f"{sizes['torch']:.0f} MB, ratio {ratio:.2f}."
    )


def install_size(name):
    """MB that `pip install NAME` into an empty folder takes."""
    target = tempfile.mkdtemp()
    what = str(HERE.parent) if name == "tinyvae" else f"{name}=={importlib.metadata.version(name)}"
    what = what.split("+")[0]
    command = [PYTHON, "-m", "pip", "install", "--quiet", "--target", target, what]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    size = sum(f.stat().st_size for f in Path(target).rglob("*") if f.is_file())
    shutil.rmtree(target)
    return size / 2**20


def grow():
    """How time and memory grow with the problem: exponents from log-log plots."""
    curves = growth.measure()
    growth.draw(curves, HERE / "growth.png")
    rows = [
        [growth.MEANS[quantity], f"{values[0]} to {values[-1]}", f"{growth.slope(values, s):.2f}"]
        for quantity, (values, s, _) in curves.items()
    ]
    yield table(["time of", "from", "slope"], rows)
    yield "![Time and memory against size](growth.png)"


PARTS = {"step": step, "ranks": ranks, "run": run, "likelihood": likelihood, "start": start,
         "wait": wait, "growth": grow}  # fmt: skip


def kernels():
    """Which BLAS, and which of its kernels, multiplies here"""
    found = blas.libraries().info()
    names = [
        f"{b.get('internal_api', 'BLAS')} {b.get('version')} {b.get('architecture', '')}".strip()
        for b in found
    ]
    return " and ".join(sorted(set(names))) or "unknown"


def machine():
    packages = ", ".join(
        f"{name} {importlib.metadata.version(name)}" for name in ("numpy", "scipy", "torch", "jax")
    )
    cpu = platform.processor() or platform.machine()
    return (
        f"{datetime.date.today()}, {cpu}, {THREADS} threads on each side, {platform.system()}, "
        f"Python {platform.python_version()} ({sysconfig.get_platform()}), {packages}; "
        f"BLAS kernel: {kernels()}."
    )


def refusal(load, anyway):
    """Why RESULTS.md must not be written now, or None"""
    if load <= BUSY or anyway:
        return None
    return (
        f"benchmarks: the machine is busy, its load is {load:.1f} and may be {BUSY}; wait, or let "
        "RESULTS.md be written by --even-if-busy"
    )


def main(names):
    if names[:1] == ["published"]:
        return published.main(names[1:])
    anyway = "--even-if-busy" in names
    names = [name for name in names if name != "--even-if-busy"]
    why_not = refusal(os.getloadavg()[0], anyway)
    unknown = set(names) - PARTS.keys()
    if unknown:
        sys.exit(f"benchmarks: no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    if why_not:
        print(why_not, file=sys.stderr)
        sys.exit(2)
    results = HERE / "RESULTS.md"
    sections = {}
    if results.exists():
        for section in results.read_text(encoding="utf-8").split("\n## ")[1:]:
            sections[section.split("\n")[0].lower()] = section.strip()
    for name in names or PARTS:
        part = PARTS[name]
        text = [f"{name.capitalize()}\n\n{inspect.getdoc(part)}"]
        for paragraph in part():
            text.append(paragraph)
            print(f"\n{paragraph}", flush=True)
        sections[name] = "\n\n".join(text)
        said = [f"# Results\n\nMade by `python -m benchmarks`. {machine()}\n\n{ABOUT}"]
        said += [f"## {sections[name]}" for name in PARTS if name in sections]
        results.write_text("\n\n".join(said) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
