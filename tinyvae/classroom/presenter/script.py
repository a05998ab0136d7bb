"""A lesson as data: its cells, its questions, its constants.

A lesson is a script of `# %%` cells.  Text cells are Markdown; the last paragraph of one may be a
question, "Predict first: ...".  The constants that a student may change are the names in capitals
that the lesson assigns at its top level.
"""

import ast
import difflib
import itertools
import re
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path


class LessonError(Exception):
    """What was asked of a lesson cannot be done: one sentence."""


@dataclass(frozen=True)
class Step:
    """One cell of code and the text before it (either may be empty)."""

    text: str  # Markdown, without the question
    question: str  # "Predict first: ...", or ""
    code: str
    line: int  # of the file, where the code starts, counted from 0
    afterwards: str = ""  # what the lesson says once the result is there

    @property
    def heading(self):
        """The heading of the text, without its marks; "" if there is none."""
        found = re.match(r"#+ +(.+)", self.text)
        return found[1] if found else ""

    @property
    def draws(self):
        """Whether the cell is there for its figure, so that its code can be folded."""
        return "plt.show()" in self.code

    @property
    def seconds(self):
        """How long the cell says that it takes; 0 where it says nothing."""
        said = re.match(r"# takes about (\d+) s", self.code)
        return int(said[1]) if said else 0


@dataclass(frozen=True)
class Lesson:
    """One of the files NN_name.py."""

    number: int
    path: Path

    @cached_property
    def source(self):
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def steps(self):
        return read_steps(self.source)

    @property
    def heading(self):
        """The text of the first line "# # Lesson N: ..."."""
        return self.steps[0].text.partition("\n")[0].lstrip("# ")

    def place(self, number):
        """The place in `steps` of "Step 3: ..."; of the third cell, where no heading counts."""
        counted = {
            int(found[1]): place
            for place, step in enumerate(self.steps)
            if (found := re.match(r"Step (\d+):", step.heading))
        }
        counted = counted or dict(enumerate(range(len(self.steps)), 1))
        if number not in counted:
            raise LessonError(f"lesson {self.number} has the steps 1 to {max(counted)}")
        return counted[number]

    @property
    def summary(self):
        """The first sentence below the heading, in Markdown."""
        first = self.steps[0].text.split("\n\n")[1]
        return re.split(r"(?<=[.?!])\s", " ".join(first.split()), maxsplit=1)[0]


def read_steps(source):
    """The cells of a lesson's source, each code cell with the text before it.

    Text above a heading is about the result before it.
    """
    found, text = [], []
    lines = source.splitlines()
    starts = [i for i, line in enumerate(lines) if line.startswith("# %%")]
    for start, end in itertools.pairwise([*starts, len(lines)]):
        cell = lines[start + 1 : end]
        if "[markdown]" in lines[start]:
            text += [line.removeprefix("#").removeprefix(" ") for line in cell] + [""]
        else:
            _add_step(found, "\n".join(text).strip(), "\n".join(cell).strip("\n"), start + 1)
            text = []
    if text:
        _add_step(found, "\n".join(text).strip(), "", len(lines))
    return found


def _add_step(found, text, code, line):
    heading = re.search(r"(?m)^#", text)
    if found and heading and heading.start():
        found[-1] = replace(found[-1], afterwards=text[: heading.start()].strip())
        text = text[heading.start() :]
    found.append(Step(*_split_question(text), code, line))


def _split_question(text):
    """Text and its last paragraph, if that one asks: "Predict first: ..." """
    before, _, last = ("\n\n" + text).rpartition("\n\n")
    return (before.strip(), last) if last.startswith("Predict first") else (text, "")


def find_lessons(folder="."):
    """number -> Lesson: those of lessons/ in this folder, or else the installed ones.

    So a student who edits lessons/03_elbo.py runs what was edited.
    """
    package = Path(__file__).parents[2]
    for place in (Path(folder) / "lessons", package / "lessons", package.parent / "lessons"):
        paths = sorted(place.glob("[0-9][0-9]_*.py"))
        if paths:
            return {int(path.name[:2]): Lesson(int(path.name[:2]), path) for path in paths}
    return {}


def installed_lessons():
    """number -> Lesson, of those that came with the package."""
    return find_lessons("/nowhere/at/all")


def without_claims(code):
    """The code without the statements that print a title or a claim: they come with the result."""
    lines = code.splitlines()
    for node in ast.parse(code).body:
        call = getattr(node, "value", None)
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") in ("claim", "title"):
            lines[node.lineno - 1 : node.end_lineno] = [None] * (node.end_lineno - node.lineno + 1)
    return "\n".join(line for line in lines if line is not None).strip("\n")


# ---- changing a constant -------------------------------------------------------------------------


def constants(source):
    """name -> the ast node of its value, for the names in capitals assigned at the top level."""
    found = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            name = getattr(node.targets[0], "id", "")
            if name.isupper():
                found.setdefault(name, node.value)
    return found


def with_constant(source, setting):
    """The source with one constant changed, as "NOISE_VAR=1" says.

    The value must be a Python literal.    Raises LessonError, with the constants that there are.
    """
    name, equals, value = (part.strip() for part in setting.partition("="))
    there = constants(source)
    if not equals or not name.isidentifier():
        raise LessonError(f"--set takes NAME=VALUE, such as {next(iter(there), 'SEED')}=1")
    if name not in there:
        near = difflib.get_close_matches(name.upper(), there, n=1)
        hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(there) or 'none'}"
        raise LessonError(f"the lesson has no constant {name}: {hint}")
    try:
        ast.literal_eval(value)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        raise LessonError(f"{value!r} is no value: a number, a text in quotes or a tuple") from None
    node = there[name]
    lines = source.splitlines(keepends=True)
    first, last = node.lineno - 1, node.end_lineno - 1
    before = lines[first].encode()[: node.col_offset].decode()
    after = lines[last].encode()[node.end_col_offset :].decode()
    return "".join([*lines[:first], before + value + after, *lines[last + 1 :]])
