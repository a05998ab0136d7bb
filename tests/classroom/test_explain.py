"""Exercises of the kind "explain": the rows are the lessons', one answer of sixteen is right."""

import ast
import itertools
import json
import re
from pathlib import Path

import pytest

from tinyvae import cli
from tinyvae.classroom.checker import explain
from tinyvae.classroom.marking import handout

FILES = handout.exercises("explain")
ROOT = Path(__file__).parents[2]
SOLUTIONS = ROOT / "lessons" / "exercises" / "solutions" / "explain"
EVERY = ["".join(c) for n in range(5) for c in itertools.combinations("abcd", n)]


def check(capsys, *words):
    status = cli.main(["check", *map(str, words)])
    return status, capsys.readouterr()


def written(tmp_path, text):
    path = tmp_path / "mine.py"
    path.write_text(text, encoding="utf-8")
    return path


def test_lessons_3_to_8_have_questions():
    assert set(FILES) == {3, 4, 5, 6, 7, 8} == {number for number, _ in explain.KEYS}


@pytest.mark.parametrize("number", FILES)
def test_solution_is_right_and_every_other_answer_wrong(number):
    exercise, answers = explain.read(SOLUTIONS / FILES[number].name)
    assert exercise == number and len(answers) >= 2
    assert explain.judge(number, answers).right
    for question, right in answers.items():
        found = [a for a in EVERY if explain.judge(number, answers | {question: a}).right]
        assert found == [right] and 0 < len(right) < 4


@pytest.mark.parametrize("number", FILES)
def test_file_is_the_solution_without_answers(number):
    source = FILES[number].read_text(encoding="utf-8")
    solved = (SOLUTIONS / FILES[number].name).read_text(encoding="utf-8")
    assert re.sub(r'(?m)^(    \d: )"[a-d]+",$', r"\1None,", solved) == source != solved
    assert source.isascii() and f"tinyvae check {FILES[number].name}\n" in source
    report = explain.judge(*explain.read(FILES[number]))
    assert {hole.status for hole in report.holes} == {"todo"} and report.status == 1


@pytest.mark.parametrize("number", FILES)
def test_rows_are_those_of_the_lesson(number):
    """A row that the lesson no longer prints is red here: quote the new one, and reconsider."""
    (path,) = (ROOT / "lessons" / "expected").glob(f"{number:02d}_*.txt")
    printed = {" ".join(line.split()) for line in path.read_text(encoding="utf-8").splitlines()}
    doc = ast.get_docstring(ast.parse(FILES[number].read_text(encoding="utf-8")))
    lines = doc[doc.index("Question 1") :].splitlines()
    indented = [line for line in lines if line.startswith("    ")]
    rows = [line for line in indented if not re.match(r"    [a-d]  |       \S", line)]
    wide = [line for line in indented if re.match(r"        \d+ ", line)]  # of a table
    assert len(rows) + len(wide) >= 2
    for row in rows + wide:
        assert " ".join(row.split()) in printed
    assert len(re.findall(r"(?m)^    [a-d]  ", doc)) == 4 * doc.count("\nQuestion ")


def test_nothing_that_is_installed_has_the_answers():
    source = Path(explain.__file__).read_text(encoding="utf-8")
    for path in SOLUTIONS.glob("*.py"):
        for answer in explain.read(path)[1].values():
            assert f'"{answer}"' not in source.replace('"ac"', "")
    assert "solutions" not in (ROOT / "setup.cfg").read_text(encoding="utf-8")


def test_letters_may_be_written_in_any_way(capsys, tmp_path):
    _, right = explain.read(SOLUTIONS / FILES[3].name)
    free = {q: " , ".join(reversed(a.upper())) for q, a in right.items()}
    status, printed = check(capsys, written(tmp_path, f"EXPLAIN = 3\nANSWERS = {free}\n"))
    assert status == 0 and "All right." in printed.out


def test_right_wrong_and_to_do_are_told_apart(capsys, tmp_path):
    right = explain.read(SOLUTIONS / FILES[3].name)[1][1]
    path = written(tmp_path, f"EXPLAIN = 3\nANSWERS = {{1: {right!r}, 2: 'abcd'}}\n")
    status, printed = check(capsys, path)
    assert status == 1 and "right  question 1" in printed.out and "wrong  question 2" in printed.out
    status, printed = check(capsys, "--json", path)
    told = json.loads(printed.out)
    assert (status, told["exercise"], told["right"]) == (1, 3, False)
    path.write_text("EXPLAIN = 3\nANSWERS = {}\n", encoding="utf-8")
    status, printed = check(capsys, path)
    assert status == 1 and printed.out.count("todo") == 2


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("EXPLAIN = 99\nANSWERS = {}\n", "no line such as EXPLAIN = 3, of 3 to 8"),
        ("EXPLAIN = True\nANSWERS = {}\n", "no line such as EXPLAIN = 3"),
        ("EXPLAIN = 3\n", "no line such as ANSWERS = "),
        ("EXPLAIN = 3\nANSWERS = open('x')\n", "no line such as ANSWERS = "),
        ("EXPLAIN = 3\nANSWERS = {7: 'a'}\n", "answers 7: there is no such question"),
        ("EXPLAIN = 3\nANSWERS = {True: 'a'}\n", "answers True: there is no such question"),
        ("EXPLAIN = 3\nANSWERS = {1: 'e'}\n", "the answer to question 1 is 'e': write the letters"),
        ("EXPLAIN = 3\nANSWERS = {1: 4}\n", "the answer to question 1 is 4: write the letters"),
        ("EXPLAIN = 3\nANSWERS = {1: 'a\n", "cannot be read as Python, line 2"),
        ("EXPLAIN = 3\nANSWERS = {1: '\N{CYRILLIC SMALL LETTER A}'}\n", "write the letters"),
    ],
)
def test_what_is_no_answer_gets_a_sentence(capsys, tmp_path, text, says):
    status, printed = check(capsys, written(tmp_path, text))
    assert (status, printed.out) == (2, "")
    assert says in printed.err and printed.err.count("\n") == 1 and printed.err.isascii()


def test_file_is_not_run(capsys, tmp_path):
    text = "EXPLAIN = 3\nANSWERS = {}\nraise SystemExit(7)\n"
    assert check(capsys, written(tmp_path, text))[0] == 1


def test_mark_takes_them_too(capsys, tmp_path):
    right = explain.read(SOLUTIONS / FILES[3].name)[1]
    for name, text in {
        "anna.py": f"EXPLAIN = 3\nANSWERS = {right}\n",
        "jörg.py": f"# J\xf6rg\nEXPLAIN = 3\nANSWERS = {right | {2: None}}\n",
        "mira.py": "EXPLAIN = 3\nANSWERS = {1: 'q'}\n",
    }.items():
        (tmp_path / name).write_bytes(text.encode("latin-1"))
    cells = [{"cell_type": "code", "source": f"EXPLAIN = 3\nANSWERS = {right}\n"}]
    notebook = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    (tmp_path / "omar.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    solved = SOLUTIONS.parent / "03_elbo.py"
    (tmp_path / "zoe.py").write_bytes(solved.read_bytes())
    cli.main(["mark", str(tmp_path), "--json", "--jobs", "1"])
    told = json.loads(capsys.readouterr().out)["submissions"]
    points = {one["file"]: (one["points"], one["out_of"]) for one in told}
    assert points == {
        "anna.py": (2, 2),
        "jörg.py": (1, 2),
        "mira.py": (0, 2),
        "omar.ipynb": (2, 2),
        "zoe.py": (4, 4),
    }
    titles = {one["file"]: one["title"] for one in told}
    assert titles["anna.py"] != titles["zoe.py"]  # they have tables of their own
    assert check(capsys, tmp_path / "omar.ipynb")[0] == 0
