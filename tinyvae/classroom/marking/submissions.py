"""The submissions in a folder, and what can be said of one without running it."""

import ast
import hashlib
import os
import re
import stat
from dataclasses import dataclass, field

from tinyvae.classroom.checker import sandbox
from tinyvae.classroom.checker.explain import says_so
from tinyvae.classroom.checker.function import CannotRun

SKIPPED = {"__pycache__", "__MACOSX", "node_modules", "site-packages"}
SUFFIXES = (".py", ".ipynb")
EXERCISE_LINE = re.compile(r"^EXERCISE\s*=\s*(\d+)?", re.MULTILINE)


@dataclass
class Submission:
    """A file of somebody's.

    name      its path in the folder, with / between folders
    digest    of its bytes; `meaning` of its code without comments, layout and docstrings
    neighbours   names and digests of the other Python files in its folder, which it may import
    exercise  the number in its line EXERCISE = ..., 0 if there is one without a number
    notes     what its text alone tells: it imports tinyvae, it is the same as another one
    explain   is it one of the kind "explain", which has answers and no functions?
    """

    path: str
    name: str
    digest: str
    meaning: str = ""
    functions: set[str] = field(default_factory=set)
    neighbours: str = ""
    exercise: int | None = None
    notes: list[str] = field(default_factory=list)
    explain: bool = False


def find(folder, exercise_functions, exercise=None):
    """(submissions, names of other Python files) in a folder, or of one file, at any depth

    exercise_functions   the names that exercises ask for: a file with one of them, or with a line
                         EXERCISE = ..., is a submission; so is every file that cannot be read, and
                         with `exercise` given every file that defines any function
    """
    submissions, others, modules = [], [], {}
    for path, name in _files(folder):
        found = _looked_at(path, name)
        wanted = found.functions & exercise_functions or found.exercise is not None or found.explain
        if wanted or found.meaning == "unreadable" or (exercise and found.functions):
            submissions.append(found)
        else:
            others.append(name)
            modules.setdefault(os.path.dirname(path), []).append((name, found.digest))
    for one in submissions:
        one.neighbours = repr(modules.get(os.path.dirname(one.path), ""))
    _note_identical(submissions)
    return submissions, others


def _files(folder):
    if os.path.isfile(folder):
        return [(folder, os.path.basename(folder))]
    found = []
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(f for f in folders if f not in SKIPPED and not f.startswith("."))
        for file in sorted(files):
            if file.lower().endswith(SUFFIXES) and not file.startswith("."):
                path = os.path.join(place, file)
                found.append((path, os.path.relpath(path, folder).replace(os.sep, "/")))
    return found


def _looked_at(path, name):
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return Submission(path, name, "", "unreadable")
        with open(path, "rb") as file:
            digest = hashlib.sha256(file.read(sandbox.LARGEST_FILE + 1)).hexdigest()
    except OSError:
        return Submission(path, name, "", "unreadable")
    try:
        cells, _ = sandbox.read_cells(path, any_encoding=True)
    except CannotRun:
        return Submission(path, name, digest, "unreadable")
    text = "\n".join(cells)
    trees, broken = [], False
    for cell in cells:
        try:
            trees.append(ast.parse(cell))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            broken = True
    functions = {
        node.name
        for tree in trees
        for node in tree.body
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    }
    if broken:
        functions |= set(re.findall(r"^def\s+(\w+)", text, re.MULTILINE))
    line = EXERCISE_LINE.search(text)
    meaning = "" if broken or says_so(text) else "\n".join(map(_meaning, trees))
    return Submission(
        path, name, digest, hashlib.sha256(meaning.encode()).hexdigest() if meaning else "",
        functions, "", int(line[1] or 0) if line else None, _notes(trees, text),
        says_so(text),
    )  # fmt: skip


def _meaning(tree):
    """The code without comments, layout and docstrings"""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if (
            isinstance(body, list)
            and body
            and isinstance(body[0], ast.Expr)
            and isinstance(body[0].value, ast.Constant)
            and isinstance(body[0].value.value, str)
        ):
            body[:] = body[1:] or [ast.Pass()]
    return ast.dump(tree)


def _notes(trees, text):
    """What a teacher may want to look at: it imports tinyvae, it reads files of solutions"""
    notes = []
    imported = set()
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                imported.add(node.module.partition(".")[0])
            elif isinstance(node, ast.Constant) and node.value == "tinyvae":
                imported.add("tinyvae")
    if "tinyvae" in imported:
        notes.append("It imports tinyvae, which has these functions.")
    if re.search(r"exercises[/\\.\"', ]+solutions|solutions[/\\]\d\d_", text):
        notes.append("It names the folder of the solutions.")
    return notes


def _note_identical(submissions):
    """Say of each submission which others have the same code, apart from comments and layout"""
    same = {}
    for one in submissions:
        if one.meaning and one.meaning != "unreadable":
            same.setdefault(one.meaning, []).append(one.name)
    for one in submissions:
        others = [name for name in same.get(one.meaning, []) if name != one.name]
        if others:
            more = f" and {len(others) - 3} more" if len(others) > 3 else ""
            one.notes.append(
                f"The same code, apart from comments, as {', '.join(others[:3])}{more}."
            )
