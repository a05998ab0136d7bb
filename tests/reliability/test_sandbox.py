"""Whatever a file does, its check gives a verdict or one sentence, and ends with all it started.

`python -m tools.break_checker` tries all of the attacks; here are one or two of each kind, and for
each guard the proof that without it the test is red.
"""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from tinyvae.classroom.checker import child, sandbox
from tinyvae.classroom.checker.function import CannotRun
from tools import break_checker as attacks

LINUX = pytest.mark.skipif(not attacks.LINUX, reason="these limits are Linux's")
BY_NAME = {attack.name: attack for attack in attacks.FILES}
QUICK = [
    "raises KeyboardInterrupt",
    "raises an exception without a text",
    "raises escape sequences",
    "returns what cannot be looked at",
    "spoils builtins",
    "answers for its process",
    "has a neighbour json.py",
    "loops while it is imported",
    "is slow",
    "prints 10 MB a call",
    "is Latin-1 without saying so",
    "is UTF-16",
    "EXERCISE is True",
]


@pytest.mark.parametrize("name", QUICK)
def test_attack_gives_a_verdict_or_one_sentence(name):
    assert attacks.run(BY_NAME[name]) == ""


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in BY_NAME if name not in QUICK])
def test_every_attack_gives_a_verdict_or_one_sentence(name):
    assert attacks.run(BY_NAME[name]) == ""


def test_an_attack_that_is_off_is_seen():
    right = attacks.Attack("is right", attacks.RIGHT, 1, "Wrong")
    assert attacks.run(right).startswith("exit status 0; not 'Wrong'")


@LINUX
@pytest.mark.parametrize("ending", ["by itself", "SIGTERM", "SIGKILL"])
def test_whatever_the_file_started_ends_with_the_checker(ending):
    assert attacks.end(ending) == ""


@LINUX
def test_whatever_a_submission_started_ends_with_the_marking():
    assert attacks.end("SIGKILL", ("mark", ".")) == ""


def test_python_without_asserts_refuses_all_the_same():
    assert attacks.optimised() == ""


# ---- the file in its process ---------------------------------------------------------------------

SOURCE = """
import os
import numpy as np

def kl(mu, logvar):
    return 0.5 * (mu**2 + np.exp(logvar) - 1 - logvar).sum(-1)

def loop(x):
    while True:
        pass

def eats(x):
    kept = []
    while True:
        kept.append(np.ones(10**6))

def pid(x):
    return os.getpid()

def where(x):
    return os.getcwd() == os.environ["TMPDIR"]

class VAE:
    def encode(self, x):
        return x, {"logvar": 2 * x}
"""


@pytest.fixture
def path(tmp_path):
    made = tmp_path / "mine.py"
    made.write_text(SOURCE)
    return made


def test_functions_are_called_there_and_values_come_back(path):
    with sandbox.open_file(path) as file:
        assert file.functions() == ["kl", "loop", "eats", "pid", "where"]
        assert file.function("pid").call([0]).value != os.getpid()
        value, parts = file.function("VAE.encode").call([np.ones(2)]).value
        assert value.tolist() == [1, 1] and parts["logvar"].tolist() == [2, 2]
        kl = file.function("kl")
        assert kl.names == ["mu", "logvar"] and kl.library == "numpy"
        assert kl.call([np.array([3.0, 4.0]), np.zeros(2)]).value == 12.5
        assert kl.elsewhere > 0 and kl.call([1]).raised("TypeError")
        assert kl(np.zeros(2), np.zeros(2)) == 0.0


def test_after_a_loop_the_other_functions_are_there(path):
    with sandbox.open_file(path, timeout=1) as file:
        kl = file.function("kl")
        with pytest.raises(CannotRun, match=r"mine.py, line (9|10): a call was not done after 1 "):
            file.function("loop").call([0])
        assert kl.call([np.zeros(2), np.zeros(2)]).value == 0.0


@LINUX
def test_memory_has_a_limit_and_the_line_is_named(path):
    with (
        pytest.raises(CannotRun, match=r"mine.py, line 15: it asked for more than 0.5 GB"),
        sandbox.open_file(path, memory=2**29, timeout=60) as file,
    ):
        outcome = file.function("eats").call([0])
        raise AssertionError(outcome)


def test_an_empty_folder_of_its_own_is_removed(path):
    with sandbox.open_file(path, inside=True) as file:
        assert file.function("where").call([0]).value is True
        folder = file.worker["folder"]
        assert os.path.isdir(folder)
    assert not os.path.exists(folder)


def test_lenient_import_goes_on_after_what_fails(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "import nothere\nx = 1\n1 / 0\nwhile True:\n    pass\ndef f(x):\n    return 1\n"
    )
    with sandbox.open_file(path, lenient=True, timeout=1) as file:
        assert file.function("f").call([0]).value == 1
        notes = "\n".join(file.notes())
    for part in ("No module named 'nothere'", "division by zero", "was not done after 1 seconds"):
        assert part in notes
    with (
        sandbox.open_file(path) as file,
        pytest.raises(CannotRun, match=r"No module named 'nothere' \(mine.py, line 1\)"),
    ):
        file.functions()


def test_cells_of_a_notebook_are_read(tmp_path):
    path = tmp_path / "mine.ipynb"
    cells = [
        {"cell_type": "markdown", "source": "x = 1"},
        {"cell_type": "code", "source": ["%matplotlib inline\n", "!pip install x\n", "y = 2\n"]},
        {
            "cell_type": "code",
            "source": "def f(x):\n    if x: raise ValueError('no')\n    return y",
        },
        {"cell_type": "code", "source": "def broken(:\n"},
    ]
    path.write_text(json.dumps({"cells": cells}))
    with sandbox.open_file(path, lenient=True) as file:
        assert file.function("f").call([0]).value == 2
        error = file.function("f").call([1]).error
        assert error == "ValueError: no (mine.ipynb, cell 2, line 2)"
        assert "cell 3, line 1: SyntaxError" in "\n".join(file.notes())


@pytest.mark.parametrize(
    ("message", "works"),
    [
        ({"ask": "call", "about": {"name": "kl", "options": {"arguments": [[]]}}}, True),
        ({"ask": "no such question"}, False),
        ([1, 2], False),
    ],
)
def test_worker_survives_what_it_does_not_understand(path, message, works):
    """It ends, and the next question starts another one."""
    with sandbox.open_file(path) as file:
        kl = file.function("kl")
        file._send(message)
        answer = file._receive(10, "a call")
        assert ("is" in answer) == works
        if not works:
            file._stop()
        assert kl.call([np.zeros(2), np.zeros(2)]).value == 0.0


def test_keeper_forks_one_worker_after_the_other(path):
    with sandbox.Keeper() as keeper:
        pids = []
        for _ in range(2):
            with sandbox.open_file(path, keeper=keeper) as file:
                pids.append(file.function("pid").call([0]).value)
    assert pids[0] != pids[1]


@LINUX
def test_descendants_are_seen_though_they_left_the_session():
    code = "import time; print(flush=True); time.sleep(60)"
    with subprocess.Popen(
        [sys.executable, "-c", code], start_new_session=True, stdout=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        assert process.pid in child.descendants(os.getpid())
        assert child._resident(process.pid) > 2**20 and child._share(process.pid) > 2**18
        assert child._written(process.pid) >= 1
        process.kill()


@LINUX
def test_without_the_subreaper_a_daemon_would_stay(tmp_path, monkeypatch):
    """The planted mistake: the keeper does not become the parent of orphans."""
    (tmp_path / "mine.py").write_text(attacks.LEAVES + SOURCE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        sandbox, "BOOT", sandbox.BOOT.replace("child.keep", "child._prctl = print; child.keep")
    )
    with sandbox.open_file(tmp_path / "mine.py") as file:
        file.functions()
    pid = int((tmp_path / "grandchild").read_text())
    time.sleep(0.3)
    assert attacks._runs(pid)
    os.kill(pid, signal.SIGKILL)


def test_current_folder_is_not_where_the_process_finds_modules(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.delenv("PYTHONPATH", raising=False)
    assert str(tmp_path) not in sandbox.search_path()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert str(tmp_path) in sandbox.search_path()


# ---- where there is no fork ----------------------------------------------------------------------


@pytest.fixture
def without_fork(monkeypatch):
    """As on Windows"""
    monkeypatch.setattr(sandbox, "new_keeper", sandbox.LoneKeeper)


def test_without_fork_the_file_is_judged_all_the_same(path, without_fork):
    path.write_text("print('hello')\n" + SOURCE)
    with sandbox.open_file(path, timeout=1) as file:
        kl = file.function("kl")
        assert kl.call([np.array([3.0, 4.0]), np.zeros(2)]).value == 12.5
        with pytest.raises(CannotRun, match=r"mine.py, line 1[01]: a call was not done after 1 "):
            file.function("loop").call([0])
        assert kl.call([np.zeros(2), np.zeros(2)]).value == 0.0
        folder = file.worker["folder"]
        assert "It printed 2 lines to stdout, kept apart here; first: 'hello'" in file.notes()
    assert not os.path.exists(folder)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("import os\nos._exit(3)\n", "ended the whole process with exit status 3"),
        ("while True: print('x' * 10**6)\n", "it printed more than 64 MB"),
        ("while True: pass\n", "line 1: importing it was not done after 3 seconds"),
    ],
)
def test_without_fork_the_limits_have_their_sentences(path, source, says, without_fork):
    path.write_text(source)
    with pytest.raises(CannotRun, match=says), sandbox.open_file(path, timeout=3) as file:
        file.functions()


def test_without_fork_the_file_ends_with_the_checker(tmp_path):
    code = (
        "import sys, time; sys.path.insert(0, sys.argv[1])\n"
        "from tinyvae.classroom.checker import sandbox\n"
        "sandbox.new_keeper = sandbox.LoneKeeper\n"
        "file = sandbox.open_file('mine.py')\nfile.functions()\n"
        "print(file.worker['pid'], flush=True)\ntime.sleep(60)\n"
    )
    (tmp_path / "mine.py").write_text(SOURCE)
    checker = subprocess.Popen(
        [sys.executable, "-c", code, str(attacks.ROOT)], cwd=tmp_path, stdout=subprocess.PIPE
    )
    with checker:
        pid = int(checker.stdout.readline())
        assert attacks._runs(pid)
        checker.kill()
    assert attacks._wait(lambda: not attacks._runs(pid), 10)
