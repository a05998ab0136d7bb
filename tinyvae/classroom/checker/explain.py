"""Which statements are true?  The answers to the exercises of the kind "explain".

    $ tinyvae check 03_elbo_explain.py

The file is read, not run: it has EXPLAIN = 3 and ANSWERS = {1: "ac", ...}.  A right answer is
known here by a digest only, so that it cannot be read off; sixteen tries would find it.
"""

import ast
import hashlib
import re
import sys
from pathlib import Path

from tinyvae.classroom.checker import sandbox
from tinyvae.classroom.checker.engine import Report, Verdict, lines
from tinyvae.classroom.checker.exercise_laws import TITLES
from tinyvae.classroom.checker.function import CannotRun
from tinyvae.classroom.checker.values import escape

SALT = "tinyvae explain"
KEYS = {
    (3, 1): "bba648c2b23f6091",
    (3, 2): "f0d473d6d6071076",
    (4, 1): "a1a9e6399958346c",
    (4, 2): "9a0696d989e07b0b",
    (5, 1): "db4c9713a83a10b2",
    (5, 2): "60dcb8d9d1bae8ff",
    (6, 1): "0f14321533fbd642",
    (6, 2): "c18ea9c52e144b61",
    (7, 1): "8702d5c817a12dc2",
    (7, 2): "28f8561bd380c0be",
    (8, 1): "7cc48a4ba77bf7fd",
    (8, 2): "81fe1f60a2ff2ab7",
}


def digest(exercise, question, letters):
    """What is known of an answer: the letters of the true statements, in order."""
    text = f"{SALT} {exercise} {question} {letters}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def says_so(text):
    """Does a file's text say that it is one of these?"""
    return re.search(r"^EXPLAIN\s*=", text, re.MULTILINE) is not None


def is_explain(path):
    """Does the file, or notebook, say that it is one of these?"""
    try:
        return says_so("\n".join(sandbox.read_cells(path, any_encoding=True)[0]))
    except CannotRun:
        return False


def read(path, any_encoding=False):
    """(exercise, answers) of a file, without running it.    Raises CannotRun."""
    shown = Path(path).name
    text = "\n".join(sandbox.read_cells(path, any_encoding=any_encoding)[0])
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = f", line {error.lineno}" if getattr(error, "lineno", None) else ""
        raise CannotRun(f"{shown} cannot be read as Python{line}: {error.args[0]}") from None
    found = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            try:
                found[node.targets[0].id] = ast.literal_eval(node.value)
            except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
                found[node.targets[0].id] = ...
    exercise, answers = found.get("EXPLAIN"), found.get("ANSWERS")
    known = sorted({number for number, _ in KEYS})
    if type(exercise) is not int or exercise not in known:
        raise CannotRun(f"{shown} has no line such as EXPLAIN = 3, of {known[0]} to {known[-1]}")
    if not isinstance(answers, dict):
        raise CannotRun(f'{shown} has no line such as ANSWERS = {{1: "ac", 2: None}}')
    strange = [key for key in answers if (exercise, key) not in KEYS or isinstance(key, bool)]
    if strange:
        raise CannotRun(
            f"{shown} answers {escape(repr(strange[0]), 40)}: there is no such question"
        )
    return exercise, answers


def judge(exercise, answers):
    """The Report on the answers, a verdict for each question."""
    verdicts = []
    for number, question in KEYS:
        if number == exercise:
            answer = answers.get(question)
            verdicts.append(Verdict(f"question {question}", *_status(exercise, question, answer)))
    return Report(title(exercise), verdicts, exercise=exercise)


def title(exercise):
    return f"Exercise {exercise}, to explain: {TITLES[exercise]}"


def report_on(path):
    """The Report on a file in any encoding; what cannot be judged is said in it."""
    try:
        return judge(*read(path, any_encoding=True))
    except CannotRun as reason:
        return unjudged(path, reason)


def unjudged(path, reason):
    """The Report on a file whose answers cannot be read: if it says which it is, question by it"""
    text = "\n".join(sandbox.read_cells(path, any_encoding=True)[0])
    said = re.search(r"^EXPLAIN\s*=\s*(\d{1,3})\s*(?:#.*)?$", text, re.MULTILINE)
    exercise = int(said[1]) if said else 0
    questions = [question for number, question in KEYS if number == exercise]
    names = [f"question {question}" for question in questions] or [""]
    verdicts = [Verdict(name, "cannot", message=str(reason)) for name in names]
    shown, known = Path(path).name, bool(questions)
    return Report(
        title(exercise) if known else "", verdicts, [], shown, exercise if known else None
    )


def _status(exercise, question, answer):
    """(status, ...) of one answer: None is to do, a text has the letters of true statements"""
    if answer is None:
        return ("todo",)
    letters = re.sub(r"[\s,]", "", answer).lower() if isinstance(answer, str) else "?"
    if not re.fullmatch("[abcd]*", letters):
        raise CannotRun(
            f"the answer to question {question} is {escape(repr(answer), 40)}: write the letters "
            'of the true statements, as in "ac", or "" for none'
        )
    right = digest(exercise, question, "".join(sorted(set(letters)))) == KEYS[exercise, question]
    return ("right",) if right else ("wrong",)


def main(path, *, json=False):
    """Judge the answers, print the report.    ->  exit status: 0 all right, 1 not, 2 cannot"""
    try:
        report = judge(*read(path))
    except CannotRun as reason:
        text = str(reason).encode("ascii", "backslashreplace").decode()
        print(f"tinyvae check: {text}", file=sys.stderr)
        return 2
    report.file = Path(path).name
    print(report.as_json() if json else "\n".join(lines(report)))
    return report.status
