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


def floors():
    """module -> how many arrows lie between it and a module that imports nothing of the package"""
    modules = {
        "tinyvae." + ".".join(path.relative_to(PACKAGE).with_suffix("").parts): set(imports(path))
        for path in SOURCES
        if path.name != "__init__.py"
    }
    found = {}

    def floor(name, above=()):
        if name not in found:
            assert name not in above, f"a circle: {(*above, name)}"
            below = [floor(other, (*above, name)) for other in modules[name] & modules.keys()]
            found[name] = 1 + max(below, default=-1)
        return found[name]

    return {name: floor(name) for name in modules}


def test_training_stands_low():
    """`fit` takes what has loss_and_grads and step; it knows no checkpoint and no processes."""
    assert floors()["tinyvae.train"] <= 3
    above = ("checkpoint", "fast", "distributed", "blas", "mpi4py", "multiprocessing")
    names = set(imports(PACKAGE / "train.py"))
    assert not any(name.split(".")[-1] in above for name in names)
    assert "processes" not in (PACKAGE / "train.py").read_text(encoding="utf-8")


def is_check(statement):
    """Whether a statement of a body checks arguments or sets NumPy's warnings, and no formula"""
    called = [
        getattr(node.func, "id", getattr(node.func, "attr", ""))
        for node in ast.walk(statement)
        if isinstance(node, ast.Call)
    ]
    checks = any(name.lstrip("_").startswith(("check", "errstate", "as_float")) for name in called)
    return checks or isinstance(statement, ast.Raise)


def test_bodies_are_bare():
    """Of all body lines of the pairs at most 10 check arguments; `takes` has the rest."""
    lines = []
    for name in "gaussian", "bernoulli", "layers":
        path = PACKAGE / f"{name}.py"
        for function in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(function, ast.FunctionDef) and not function.name.startswith("_"):
                for node in ast.walk(function):
                    simple = isinstance(node, ast.stmt) and not hasattr(node, "body")
                    if (simple or isinstance(node, ast.With)) and is_check(node):
                        lines.append(f"{name}.{function.name}:{node.lineno}")
    assert len(lines) <= 10, lines


def test_every_public_function_of_the_pairs_has_a_contract():
    """Else a call from outside would go unchecked, and so would all that it calls."""
    for name in "gaussian", "bernoulli", "layers":
        for node in ast.parse((PACKAGE / f"{name}.py").read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                decorators = [d.func.id for d in node.decorator_list if isinstance(d, ast.Call)]
                alone = node.name == "binarize"  # it calls nothing of the package
                assert alone or decorators[:1] in (["takes"], ["takes_real"]), node.name


def test_what_is_fast_or_distributed_stays_small():
    assert len(code_lines(PACKAGE / "fast.py")) < 150
    assert len(code_lines(PACKAGE / "distributed.py")) <= 200
    assert len(code_lines(PACKAGE / "contracts.py")) <= 150
