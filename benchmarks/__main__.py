"""python -m benchmarks [step] [run] [likelihood] [start] [growth]    see benchmarks/__init__.py"""

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
from pathlib import Path

from benchmarks import growth
from benchmarks.pairs import THREADS, compare, compare_processes, whole_process

HERE = Path(__file__).parent
PYTHON = sys.executable
ABOUT = "Ratios are ours / theirs, lower is better: the median over rounds, with its quartiles."


def table(header, rows):
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def row(label, ratio, must="", aim=""):
    return [label, str(ratio), f"{ratio.ours:.2f}", f"{ratio.theirs:.2f}", must, aim]


HEADER = ["against", "ratio", "ours, ms", "theirs, ms", "must", "aim"]
SHARED = f"{THREADS} processes of 1 thread"
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
    (128, "step torch fused"): ("0.9", "0.75"),
    (128, "step jax"): ("1.1", "0.95"),
    (128, "step products"): ("1.6", "1.35"),
    (512, "step torch fused"): ("0.9", "0.8"),
}


def step():
    """Forward, backward and Adam, one batch, float32, relu, 784-H-20.

    Both sides have the same number of threads: theirs in one process, ours in several processes of
    one thread each, as in `fit(..., processes=2)`, or in one process, as `fit` has it by default.
    """
    for hidden, batch in ((400, 128), (400, 512), (500, 100)):
        case, rows = {"hidden": hidden, "batch": batch}, []
        for label, side in {**PEERS, "itself, in one process": "step tinyvae"}.items():
            ratio = compare("step tinyvae shared", side, case)
            rows.append([SHARED, *row(label, ratio, *GOALS.get((batch, side), ("", "")))])
        for label, side in PEERS.items():
            rows.append([ALONE, *row(label, compare("step tinyvae", side, case))])
        yield f"784-{hidden}-20, batch {batch}\n\n{table(['ours', *HEADER], rows)}"


def run():
    """Full MNIST, 10 epochs of the PyTorch example, start to finish, as whole processes."""
    rows, losses = [], []
    for ours, mine, label, loop, must, aim in (
        (
            SHARED,
            "shared",
            "the PyTorch example's loop",
            "example",
            ("0.65", "0.4"),
            ("0.5", "0.25"),
        ),
        (SHARED, "shared", "a tuned PyTorch loop", "tuned", ("", ""), ("", "")),
        (ALONE, "tinyvae", "a tuned PyTorch loop", "tuned", ("", ""), ("", "")),
    ):
        commands = [[PYTHON, "-m", "benchmarks.train_mnist", side, "10"] for side in (mine, loop)]
        times, memory, said = compare_processes(
            *commands, rounds=2, more_memory=lambda said: float(said.split()[1])
        )
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
    yield "Memory is the sum over processes, each of which counts what it shares with the others."
    yield "; ".join(losses) + f" nats. At most {LOSS_ASKED_FOR} is asked for."


def likelihood():
    """The importance-weighted estimate of log p(x), 5,000 samples a digit, 784-400-20."""
    case = {"hidden": 400, "batch": 4, "samples": 5000, "chunk": 5000, "checked": 1}
    rows = []
    for label, side, chunk, *goal in (
        ("PyTorch, 5000 samples at once", "likelihood torch", 5000, "1.0", "0.7"),
        ("PyTorch, chunks of 250", "likelihood torch", 250, "1.0", "0.7"),
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
        ("`import tinyvae` against `import numpy`", imports[2], "1.5", ""),
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


PARTS = {"step": step, "run": run, "likelihood": likelihood, "start": start, "growth": grow}


def machine():
    packages = ", ".join(
        f"{name} {importlib.metadata.version(name)}" for name in ("numpy", "scipy", "torch", "jax")
    )
    cpu = platform.processor() or platform.machine()
    kernel = os.environ.get("OPENBLAS_CORETYPE", "chosen by OpenBLAS")
    return (
        f"{datetime.date.today()}, {cpu}, {THREADS} threads on each side, {platform.system()}, "
        f"Python {platform.python_version()} ({sysconfig.get_platform()}), {packages}; "
        f"OpenBLAS kernel: {kernel}."
    )


def main(names):
    unknown = set(names) - PARTS.keys()
    if unknown:
        sys.exit(f"benchmarks: no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
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
