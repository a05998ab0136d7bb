"""Attacks on run folders, endings, systems and names: `tools.break` has them all, here are some.

The others are marked slow.  What a file of a run may be replaced by is tried without processes in
`test_folder.py`.
"""

import importlib
import os
import subprocess
import sys

import pytest

from tools import faults, kill

attacks = importlib.import_module("tools.break")
pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals, links and pipes of POSIX")
OFTEN = {  # kinds, or names, that are tried in every run of the tests
    "folder",
    "ending",
    "power fails after new/parent/run is made",
    "--out=-x, stopped",
    "--out=caf\\xe9 in ASCII, stopped",
    "the .npz of a run has moved",
    "a run with a relative .npz, from elsewhere",
    "ESC and NUL in a foreign checkpoint",
    "plot, MPLBACKEND=nonsense",
    "evaluate without memory",
    "train nosuch: stderr full",
    "train nosuch: stdout stderr full",
    "--help: stdout full",
    "100,000 epochs of history, an epoch",
}
PARAMETERS = [
    pytest.param(
        one,
        id=f"{one.kind}: {one.name}".encode("ascii", "backslashreplace").decode(),
        marks=() if {one.kind, one.name} & OFTEN else pytest.mark.slow,
    )
    for one in attacks.ATTACKS
]


@pytest.mark.parametrize("one", PARAMETERS)
def test_attack(one):
    got = attacks.attempt(one)
    if got == "not possible here":
        pytest.skip(got)
    assert got == one.expected


def test_they_are_all_there():
    names = {one.kind for one in attacks.ATTACKS} | {one.name for one in attacks.ATTACKS}
    assert names >= OFTEN
    assert {one.kind for one in attacks.ATTACKS} >= {
        "folder", "file", "ending", "system", "fault", "name", "elsewhere",
    }  # fmt: skip


@pytest.mark.skipif(not faults.possible(), reason="needs Linux and a C compiler")
@pytest.mark.parametrize("kind", [faults.ALLOCATION, faults.CALL])
def test_faults_while_a_run_goes_on(kind):
    done = faults.sweep("resume", kind, places=15, seed=3, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 15 of " in done.stdout
    assert " 0 wrong" in done.stdout


# --- an attack can fail -------------------------------------------------------------------------


def test_an_attack_sees_a_traceback_a_hang_and_a_silence(monkeypatch):
    monkeypatch.setattr(attacks, "PATIENCE", 2)
    for code, said in (
        ("1 / 0", "traceback, 1"),
        ("import time; time.sleep(60)", "hangs"),
        ("sys.exit(2)", "says nothing of it, 2: "),
        ("print('word', file=sys.stderr); sys.exit(2)", "sentence, 2"),
    ):
        assert attacks.patched(code, saying="word") == said


@pytest.mark.parametrize(
    "status, errors, said",
    [
        (1, "Traceback (most recent call last)\nKeyError", "traceback (KeyError)"),
        (0, "Exception ignored in: x", "traceback (Exception ignored in: x)"),
        (-9, "", "hangs"),
        (2, "", "status 2 without a word"),
        (1, "a sentence", "status 1 (a sentence)"),
        (2, "a sentence; what was saved before is untouched", "not untouched"),
        (0, "", "done, with 2 epochs"),
        (2, "a sentence", None),
    ],
)
def test_the_judge_of_faults_sees_what_is_wrong(status, errors, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = ["digits", "--hidden", "4", "--batch-size", "500", "--epochs", "2"]
    kill.finish("train", *options, "--out", "run")
    (tmp_path / "good").mkdir()
    for name in faults.WHOLE:
        (tmp_path / "good" / name).write_bytes(b"another")
    assert faults.judge("resume", status, errors) == said
    (tmp_path / "run" / "checkpoint.npz").write_bytes(b"")
    if status in (0, 2) and said != "status 2 without a word" and "Exception" not in errors:
        assert faults.judge("resume", status, errors).startswith("the run is lost")


def test_the_table_says_what_is_off(tmp_path, monkeypatch, capsys):
    one = attacks.Attack("folder", "a name", "right", lambda folder: "wrong")
    monkeypatch.setattr(attacks, "all_attacks", lambda: [one, one._replace(expected="wrong")])
    monkeypatch.setattr(sys, "argv", ["break"])
    assert attacks.main() == 1
    out = capsys.readouterr().out
    assert out.count("OFF") == 1
    assert out.endswith("2 attacks, 1 off, 0 not possible here\n")


def test_the_command_runs():
    done = subprocess.run([sys.executable, "-m", "tools.break", "--list"], env=kill.ENVIRONMENT,
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0
    assert "ending" in done.stdout
