"""`tinyvae mark`: a class of submissions, each with its trouble, gets its marks."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tinyvae import cli
from tinyvae.classroom import check_here
from tinyvae.classroom.checker.engine import Report, Verdict, hinted
from tinyvae.classroom.checker.function import CannotRun
from tinyvae.classroom.marking import command, marks, reports, submissions

ROOT = Path(__file__).parents[2]
SOLUTION = (ROOT / "lessons" / "exercises" / "solutions" / "05_reparameterization.py").read_text()
TO_DO = (ROOT / "lessons" / "exercises" / "05_reparameterization.py").read_text()
PAGE = (ROOT / "docs" / "teaching" / "marking.md").read_text()
ALL_NAMES = {"reparameterize", "reparameterize_backward", "score_gradient"}


def with_body(name, body, source=TO_DO):
    """The exercise with another body of one function"""
    head, rest = source.split(f"def {name}(")
    before, hole, after = rest.partition("    raise NotImplementedError\n")
    assert hole
    return f"{head}def {name}({before}    {body}\n{after}"


WRONG = with_body("reparameterize", "return mu + np.exp(logvar) * eps")
RIGHT = with_body("reparameterize", "return mu + np.exp(logvar / 2) * eps")
NOTEBOOK = {
    "cells": [
        {"cell_type": "markdown", "source": ["# mine"]},
        {"cell_type": "code", "source": ["%matplotlib inline\n", "import numpy as np"]},
        {"cell_type": "code", "source": "EXERCISE = 5"},
        {"cell_type": "code", "source": RIGHT[RIGHT.index("def reparameterize(") :]},
        {"cell_type": "code", "source": "1 / 0"},
    ]
}
# name -> (what is in it, the status of reparameterize, what is noted)
CLASS = {
    "Ada Lovelace/05.py": (RIGHT, "right", ""),
    "Jürgen Müller_123_file/05 reparam.py": (WRONG, "wrong", ""),
    "a/b/c/loop.py": (with_body("reparameterize", "while True: pass"), "cannot", "endless loop"),
    "crash.py": (with_body("reparameterize", "import os; os._exit(0)"), "cannot", "os._exit"),
    "crlf.py": (RIGHT.replace("\n", "\r\n"), "right", "The same code, apart from comments, as"),
    "bom.py": (b"\xef\xbb\xbf" + RIGHT.encode(), "right", "The same code"),
    "latin1.py": (("# \xc4rger\n" + WRONG).encode("latin-1"), "wrong", "read as Latin-1"),
    "utf16.py": (RIGHT.encode("utf-16"), "cannot", "save it as UTF-8"),
    "unsaid.py": (SOLUTION.replace("EXERCISE = 5", ""), "right", ""),
    "renamed.py": (RIGHT.replace("def reparameterize(", "def reparametrise("), "wrong", ""),
    "missing.py": ("import nothere\n" + RIGHT, "right", "No module named 'nothere'"),
    "half.py": (RIGHT.replace("def score_gradient(", "def score_gradient(("), "right", "Syntax"),
    "cheat.py": ("import tinyvae\n" + RIGHT, "right", "imports tinyvae"),
    "copy.py": (RIGHT + "# exercises/solutions/05\n", "right", "folder of the solutions"),
    "forge.py": (
        WRONG + "import tinyvae.classroom.checker.exercises as e\n"
        "e.judge = e._judge = lambda *a: e.Verdict('reparameterize', 'right')\n",
        "wrong",
        "imports tinyvae",
    ),
    "notebook.ipynb": (json.dumps(NOTEBOOK), "right", "division by zero"),
    "=1+1.py": (TO_DO, "todo", ""),
}
OTHERS = {"helper/tools.py": "x = 1\n", "__MACOSX/._05.py": "\0", ".hidden.py": RIGHT}


def write(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


@pytest.fixture(scope="module")
def marked(tmp_path_factory):
    """The folder of a class, marked with every output, and what the command printed"""
    home = tmp_path_factory.mktemp("class")
    folder = home / "handed in"
    write(folder, {name: content for name, (content, _, _) in CLASS.items()} | OTHERS)
    argv = (
        f"--exercise 5 --timeout 3 --jobs 2 --points reparameterize=2 --hints 1 --csv {home}/m.csv"
    )
    argv += f" --feedback {home}/feedback --junit {home}/m.xml --gradescope {home}/results.json"
    done = subprocess.run(
        [sys.executable, "-m", "tinyvae", "mark", str(folder), *argv.split()],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"},
    )
    assert done.returncode == 0, done.stderr
    return home, done.stdout


def rows(home):
    with open(home / "m.csv", newline="", encoding="utf-8-sig") as file:
        return {row["file"].lstrip("'"): row for row in csv.DictReader(file)}


@pytest.mark.parametrize("name", CLASS)
def test_each_function_has_its_verdict(marked, name):
    row = rows(marked[0])[name]
    _, status, note = CLASS[name]
    assert row["5 reparameterize"] == status
    assert note in row["notes"]
    assert row["points"] == ("4" if name == "unsaid.py" else "2" if status == "right" else "0")
    assert row["out_of"] == "4"
    if name not in ("unsaid.py", "utf16.py", "half.py"):
        assert row["5 reparameterize_backward"] == row["5 score_gradient"] == "todo"


def test_table_and_summary_are_printed(marked):
    _, out = marked
    lines = out.splitlines()
    assert max(map(len, lines)) <= 78
    row = next(line for line in lines if "05 reparam.py" in line)
    assert row.split()[-5:] == ["x", ".", ".", "0/4", "A3"]
    assert f"sampling that can be differentiated, {len(CLASS)} files" in out
    words = " ".join(out.split())
    assert '3 of 17 made A3 "exp(logvar) as the standard deviation" in reparameterize' in words
    assert "have not started it" in words
    assert "not marked: helper/tools.py" in words


def test_spreadsheet_takes_no_name_for_a_formula(marked):
    assert "\n'=1+1.py," in (marked[0] / "m.csv").read_text(encoding="utf-8-sig")


def test_feedback_tells_no_more_than_is_wanted(marked):
    texts = {
        str(path.relative_to(marked[0] / "feedback")): path.read_text(encoding="utf-8")
        for path in (marked[0] / "feedback").rglob("*.txt")
    }
    assert set(texts) == {f"{name}.txt" for name in CLASS}
    text = texts["Jürgen Müller_123_file/05 reparam.py.txt"]
    assert "yours  var z" in text and "A3" not in text and "0 of 4 points." in text
    assert "Did you mean reparametrise" in texts["renamed.py.txt"]


def test_junit_has_a_case_for_each_function(marked):
    root = ElementTree.parse(marked[0] / "m.xml").getroot()
    assert len(root) == len(CLASS)
    assert sum(len(suite) for suite in root) == int(root.get("tests")) == 3 * len(CLASS)
    wrong = next(s for s in root if s.get("name") == "Jürgen Müller_123_file/05 reparam.py")
    assert [child.tag for case in wrong for child in case] == ["failure", "skipped", "skipped"]
    assert "var z" in wrong[0][0].text


def test_gradescope_has_scores(marked):
    found = json.loads((marked[0] / "results.json").read_text())
    tests = {test["name"]: test for test in found["tests"]}
    right = tests["Ada Lovelace/05.py: reparameterize"]
    assert (right["score"], right["max_score"], right["status"]) == (2.0, 2.0, "passed")
    assert sum(test["max_score"] for test in found["tests"]) == 4.0 * len(CLASS)


def test_finished_files_are_not_run_again(marked, monkeypatch):
    folder = marked[0] / "handed in"

    def fails(*_):
        raise AssertionError("it was run again")

    monkeypatch.setattr(marks, "_start", fails)
    found, _ = command.mark_folder(folder, exercise=5, timeout=3.0)
    assert {mark.name for mark in found} == set(CLASS)
    assert [m.points for m in found if m.name == "unsaid.py"] == [3.0]
    with pytest.raises(AssertionError):
        marks._start()


def test_changed_file_is_run_again(tmp_path):
    write(tmp_path, {"05.py": RIGHT})
    first, _ = command.mark_folder(tmp_path)
    write(tmp_path, {"05.py": WRONG})
    second, _ = command.mark_folder(tmp_path)
    assert [m.report.holes[0].status for m in (*first, *second)] == ["right", "wrong"]


def test_file_whose_neighbour_changed_is_run_again(tmp_path):
    source = "from half import half\n" + RIGHT.replace("logvar / 2", "logvar * half")
    write(tmp_path, {"05.py": source, "half.py": "half = 0.5\n"})
    first, others = command.mark_folder(tmp_path)
    write(tmp_path, {"half.py": "half = 1.0\n"})
    second, _ = command.mark_folder(tmp_path)
    assert others == ["half.py"]
    assert [m.report.holes[0].status for m in (*first, *second)] == ["right", "wrong"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names")
def test_pipe_and_dangling_link_are_no_hang(tmp_path):
    write(tmp_path, {"05.py": TO_DO})
    os.mkfifo(tmp_path / "pipe.py")
    os.symlink("nowhere", tmp_path / "link.py")
    found, _ = command.mark_folder(tmp_path)
    said = {mark.name: mark.report.holes[0].message for mark in found}
    assert "is not an ordinary file" in said["pipe.py"]
    assert "there is no file" in said["link.py"]


def test_what_is_kept_may_be_broken(tmp_path):
    write(tmp_path, {"05.py": RIGHT, marks.KEPT: "{"})
    assert command.mark_folder(tmp_path)[0][0].report.holes[0].right
    write(tmp_path, {marks.KEPT: json.dumps({"version": 1, "reports": {"x": 5}})})
    assert command.mark_folder(tmp_path)[0][0].report.holes[0].right


# ---- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ([], "name the folder"),
        (["nowhere"], "there is no folder nowhere"),
        (["."], "there is no submission in ."),
        ([".", "--exercise", "99"], "there is no exercise 99: there are 1 to"),
        ([".", "--jobs", "0"], "--jobs must be at least 1"),
        ([".", "--points", "many"], "--points is a number"),
        ([".", "--points", "-1"], "--points is a number"),
        ([".", "--seed", "-1"], "the seed must be 0 or more"),
        ([".", "--timeout", "nan"], "the timeout must be more than 0"),
    ],
)
def test_bad_options_get_one_sentence(options, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["mark", *options, "--json"]) == 2
    out, err = capsys.readouterr()
    assert says in err and err.count("\n") == 1
    assert says in json.loads(out)["error"]


def test_output_that_cannot_be_written_is_said(tmp_path, capsys):
    write(tmp_path, {"05.py": TO_DO})
    assert cli.main(["mark", str(tmp_path), "--csv", str(tmp_path / "no" / "m.csv")]) == 2
    assert "m.csv cannot be written: No such file" in capsys.readouterr().err


def test_json_has_everything(tmp_path, capsys):
    write(tmp_path, {"05.py": WRONG})
    assert cli.main(["mark", str(tmp_path), "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["submissions"]
    assert (found["file"], found["exercise"], found["points"]) == ("05.py", 5, 0)
    assert found["holes"][0]["names"] == ["std-is-exp-logvar"]


# ---- parts ---------------------------------------------------------------------------------------


def test_hints_have_levels():
    verdict = Verdict(
        "kl", "wrong", "", "the law", {"mu": [0]}, [{"of": "kl", "yours": 1, "true": 2}], "said",
        ["This is A3", "    wrong  x", "    right  y"], ["a-bug"],
    )  # fmt: skip
    shown = [hinted(verdict, level) for level in range(4)]
    assert [bool(v.rows) for v in shown] == [False, True, True, True]
    assert [v.diagnosis for v in shown] == [[], [], ["This is A3"], verdict.diagnosis]
    assert [v.names for v in shown] == [[], [], ["a-bug"], ["a-bug"]]
    assert all(v.law == "the law" and v.status == "wrong" for v in shown)


def test_check_has_hints_too(tmp_path, capsys):
    write(tmp_path, {"05.py": WRONG})
    assert cli.main(["check", f"{tmp_path / '05.py'}:reparameterize", "--hints", "0"]) == 1
    out = capsys.readouterr().out
    assert "wrong  reparameterize" in out and "yours" not in out and "A3" not in out


def test_files_that_are_the_same_apart_from_comments_are_noted(tmp_path):
    other = RIGHT.replace("import numpy as np", "import numpy as np  # mine") + "\n\n# done\n"
    write(tmp_path, {"a.py": RIGHT, "b.py": other, "c.py": WRONG})
    found, _ = submissions.find(tmp_path, ALL_NAMES)
    assert [bool(one.notes) for one in found] == [True, True, False]
    assert "as b.py." in found[0].notes[0]


def test_verdict_without_end_is_not_kept():
    slow = Report("", [Verdict("", "cannot", message="give it a longer --limit")])
    assert not marks.is_final(slow)
    assert marks.is_final(Report("", [Verdict("", "cannot", message="an endless loop?")]))


def test_formulas_of_spreadsheets_are_texts():
    assert reports._cell("=1+1") == "'=1+1" and reports._cell(-1) == -1


def test_installed_package_has_no_solutions():
    data = (ROOT / "setup.cfg").read_text()
    line = next(line for line in data.splitlines() if line.startswith("tinyvae.lessons ="))
    assert "solutions" not in line and "**" not in line


# ---- in a cell -----------------------------------------------------------------------------------


def space_of(source):
    space = {"__name__": "__main__"}
    exec(source, space)
    return space


def test_cell_checks_what_is_defined_there(capsys):
    space = space_of("from tinyvae.classroom import check_here\n" + WRONG)
    exec("report = check_here(hints=1)", space)
    assert [hole.status for hole in space["report"].holes] == ["wrong", "todo", "todo"]
    out = capsys.readouterr().out
    assert "wrong  reparameterize" in out and "A3" not in out
    assert check_here("reparameterize", namespace=space_of(RIGHT)).right
    with pytest.raises(CannotRun, match="this notebook is no exercise"):
        check_here(namespace={"__name__": "__main__"})


def test_cell_starts_no_process(monkeypatch):
    def fails(*_, **__):
        raise AssertionError("a process was started")

    monkeypatch.setattr(subprocess, "Popen", fails)
    assert check_here("reparameterize", namespace=space_of(RIGHT)).right


def test_cell_needs_nothing_that_a_browser_lacks(tmp_path):
    code = (
        "import sys\n"
        "for name in ('fcntl', 'resource', 'termios', 'pty', '_multiprocessing'):\n"
        "    sys.modules[name] = None\n"
        "import numpy as np\nfrom tinyvae.classroom import check_here\n" + RIGHT +
        "\nreport = check_here('reparameterize')\n"
    )  # fmt: skip
    (tmp_path / "cell.py").write_text(code)
    done = subprocess.run(
        [sys.executable, "cell.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.stdout.endswith("All right.\n"), done.stderr


# ---- the page ------------------------------------------------------------------------------------


def code_of(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_table_of_the_page_is_what_is_printed(tmp_path, capsys):
    write(tmp_path, {"Ada Lovelace/05.py": SOLUTION, "Juergen Mueller/05 reparam.py": WRONG})
    assert cli.main(["mark", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "\n".join(f"    {line}".rstrip() for line in out.splitlines()) in PAGE


def test_cells_of_the_page_work(capsys):
    checks, assertion = code_of("python")[:2]
    space = space_of(RIGHT)
    exec(checks, space)
    exec(assertion, space)
    with pytest.raises(AssertionError, match="var z"):
        exec(assertion, space_of(WRONG))


@pytest.mark.parametrize(("source", "status"), [(RIGHT, 0), (WRONG, 1)])
def test_pytest_of_the_page_works(tmp_path, source, status):
    write(tmp_path, {"exercise.py": source, "test_it.py": code_of("python")[2]})
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_it.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == status, done.stdout


@pytest.mark.parametrize(("source", "status"), [(SOLUTION, 0), (WRONG, 1)])
def test_workflow_of_the_page_passes_and_fails(tmp_path, source, status):
    (workflow,) = code_of("yaml")
    lines = workflow.split("- name: Mark\n")[1].split("run: |\n")[1]
    write(tmp_path, {"05_reparameterization.py": source, "README.md": "x"})
    script = "set -e\ntinyvae() { " + f'"{sys.executable}" -m tinyvae "$@"; }}\n' + lines
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == status, done.stderr
    assert ElementTree.parse(tmp_path / "marks.xml").getroot().get("tests") == "3"


def test_autograder_runs_where_it_is_unpacked(tmp_path, capsys):
    made = tmp_path / "exercise5.zip"
    argv = ["mark", "--make-autograder", str(made), "--exercise", "5", "--points", "2"]
    assert cli.main(argv) == 0
    home = tmp_path / "autograder"
    with zipfile.ZipFile(made) as archive:
        archive.extractall(home / "source")
        assert not any("solutions" in name for name in archive.namelist())
    shutil.copy(home / "source" / "run_autograder", home / "run_autograder")
    setup = (home / "source" / "setup.sh").read_text()
    assert setup.startswith("#!/usr/bin/env bash\n") and "numpy" in setup
    environment = {**os.environ, "AUTOGRADER": str(home), "PYTHON_OF_TINYVAE": sys.executable}
    for source, score in ((RIGHT, 2.0), (None, 0)):
        shutil.rmtree(home / "submission", ignore_errors=True)
        (home / "submission").mkdir()
        if source:
            write(home / "submission", {"05.py": source})
        subprocess.run(["bash", home / "run_autograder"], env=environment, check=True)
        found = json.loads((home / "results" / "results.json").read_text())
        total = sum(test["score"] for test in found.get("tests", [])) + found.get("score", 0)
        assert total == score
    assert "there is no submission" in found["output"]
