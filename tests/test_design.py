"""What the design promises about the code itself: its size, its arrows, what an import costs."""

import ast
import io
import os
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "tinyvae"
CORE = ["gaussian", "bernoulli", "layers", "network", "vae", "autoencoder", "optim", "train"]
SOURCES = sorted(PACKAGE.rglob("*.py"))


def code_lines(path):
    """The lines that hold code: neither blank, nor comment, nor docstring."""
    source = path.read_text(encoding="utf-8")
    skipped = {
        tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT,
        tokenize.ENDMARKER,
    }  # fmt: skip
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in skipped:
            lines |= set(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(
            node
        ):
            lines -= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    return lines


def test_the_core_is_read_in_one_sitting():
    sizes = {name: len(code_lines(PACKAGE / f"{name}.py")) for name in CORE}
    assert all(size <= 150 for size in sizes.values()), sizes
    assert sum(sizes.values()) <= 650, sizes


def test_what_goes_past_the_article_stays_small():
    assert sum(len(code_lines(path)) for path in (PACKAGE / "beyond").glob("*.py")) <= 600


@pytest.mark.parametrize("name", CORE)
def test_no_function_of_the_core_is_long(name):
    path = PACKAGE / f"{name}.py"
    lines = code_lines(path)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef):
            body = range(node.body[0].lineno, node.end_lineno + 1)
            assert len(lines & set(body)) <= 25, f"{name}.{node.name}"


def imports(path):
    """The modules of the package that a file names in its imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_arrows_run_one_way(path):
    names = set(imports(path))
    folder = path.relative_to(PACKAGE).parts[0]
    if folder == "oracles":
        assert not any(name.startswith("tinyvae") for name in names)
    if folder not in ("classroom", "cli.py"):
        assert not any("classroom" in name for name in names)
    if folder[:-3] in CORE:
        shown = ("tinyvae.plot", "tinyvae.cli", "tinyvae.oracles", "tinyvae.evaluate")
        assert not any(name.startswith(shown) for name in names)
    assert not any(name.split(".")[0] in ("tools", "tests", "benchmarks") for name in names)
    assert not names & {"pickle", "dill", "joblib", "shelve", "marshal"}


def python(code):
    """What the code prints, run by an interpreter of its own on this package."""
    environment = os.environ | {"PYTHONPATH": str(PACKAGE.parent)}
    run = [sys.executable, "-c", code]
    return subprocess.check_output(run, text=True, env=environment)


def test_import_is_light_and_leaves_no_trace(tmp_path):
    said = python(
        "import sys, threading, os\n"
        f"os.chdir({str(tmp_path)!r})\n"
        "import tinyvae\n"
        "heavy = {'matplotlib', 'scipy', 'hypothesis', 'tqdm', 'torch', 'argparse'}\n"
        "print(sorted(heavy & set(sys.modules)), threading.active_count())"
    )
    assert said.split() == ["[]", "1"]
    assert not list(tmp_path.iterdir())


def test_import_takes_little_more_than_numpy():
    """The median over rounds, both sides in turn; the promise is 1.5."""
    clock = "import time; t = time.perf_counter(); import {}; print(time.perf_counter() - t)"
    ratios = sorted(
        float(python(clock.format("tinyvae"))) / float(python(clock.format("numpy")))
        for _ in range(7)
    )
    assert ratios[3] <= 1.5, ratios
