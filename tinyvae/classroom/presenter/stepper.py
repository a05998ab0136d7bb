"""`tinyvae lesson`: list the lessons, run one, or go through it cell by cell on a projector.

A lesson is a script of `# %%` cells.  Run at once, it is the script and nothing else.  With --step
each cell's text is shown, then its code; Enter runs it, in the same namespace as those before.
"""

import argparse
import itertools
import os
import re
import runpy
import shutil
import sys
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from unittest import mock

from tinyvae.classroom.lesson import sink, summary
from tinyvae.classroom.presenter.plain import markdown, tex

HELP = """\
Enter      go on: run the cell that is shown, or go to the next one
r          again: show the cell again, or run it again
v NAME     look at a variable, or at any expression:  v gap["close"]
v          which variables there are
q          quit (and so do Ctrl-D and Ctrl-C)
Anything else is Python:  2 * log_px   or   DRAWS = 1000"""


class LessonError(Exception):
    """One sentence for the person at the command line."""


@dataclass(frozen=True)
class Lesson:
    """One of the files NN_name.py."""

    number: int
    path: Path

    @property
    def source(self):
        return self.path.read_text(encoding="utf-8")

    @property
    def heading(self):
        """The text of the first line "# # Lesson N: ..."."""
        return steps(self.source)[0].text.partition("\n")[0].lstrip("# ")

    @property
    def summary(self):
        """The first sentence below the heading."""
        first = steps(self.source)[0].text.split("\n\n")[1]
        return re.split(r"(?<=[.?!])\s", " ".join(first.split()), maxsplit=1)[0]


@dataclass(frozen=True)
class Step:
    """What is shown together: text in Markdown, then the code of one cell (empty at the end)."""

    text: str
    code: str
    line: int  # of the file, where the code starts, counted from 0


def steps(source):
    """A lesson's cells, each code cell with the Markdown before it."""
    found, text = [], []
    lines = source.splitlines()
    starts = [i for i, line in enumerate(lines) if line.startswith("# %%")]
    for start, end in itertools.pairwise([*starts, len(lines)]):
        cell = lines[start + 1 : end]
        if "[markdown]" in lines[start]:
            text += [line.removeprefix("#").removeprefix(" ") for line in cell] + [""]
        else:
            found.append(Step("\n".join(text).strip(), "\n".join(cell).strip("\n"), start + 1))
            text = []
    if text:
        found.append(Step("\n".join(text).strip(), "", len(lines)))
    return found


def find():
    """The lessons by number, from the installed package or from the checkout around it."""
    package = Path(__file__).parents[2]
    folder = package / "lessons"
    if not folder.is_dir():
        folder = package.parent / "lessons"
    paths = sorted(folder.glob("[0-9][0-9]_*.py"))
    return {int(path.name[:2]): Lesson(int(path.name[:2]), path) for path in paths}


# ---- the command line ----------------------------------------------------------------------------


def arguments(parser):
    """Declare the command's arguments on an argparse parser."""
    parser.add_argument("number", nargs="?", type=int, help="which lesson; without it, the list")
    parser.add_argument("--step", action="store_true", help="cell by cell, waiting for a key")
    parser.add_argument("--figures", metavar="DIR", help="save the figures there as NN_1.png, ...")


def run(args):
    """Do what the arguments say.

    ->  exit status: 0, 1 if a claim of the lesson does not hold, 2 if there is no such lesson,
    130 after Ctrl-C
    """
    if ascii_only():
        sys.stdout.reconfigure(errors="replace")
    try:
        return _run(args)
    except LessonError as error:
        print(f"tinyvae lesson: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print()
        return 130


def _run(args):
    lessons = find()
    if not lessons:
        raise LessonError("no lessons found next to the package")
    if args.number is None:
        if args.step or args.figures:
            raise LessonError("say which lesson, for example: tinyvae lesson 3 --step")
        list_lessons(lessons)
        return 0
    if args.number not in lessons:
        known = ", ".join(map(str, lessons))
        raise LessonError(f"there is no lesson {args.number}; there are {known}")
    lesson = lessons[args.number]
    saving = saved_figures(args.figures, lesson.number) if args.figures else nullcontext()
    with saving:
        return step_through(lesson) if args.step else play(lesson)


def list_lessons(lessons):
    """Number, title, and the one line that the lesson says about itself."""
    for lesson in lessons.values():
        print(f"{lesson.number:3}  {lesson.heading.partition(': ')[2]}")
        print(f"       {tex_in(lesson.summary)}")
    print("\ntinyvae lesson 3          runs it\ntinyvae lesson 3 --step   goes through it")


def play(lesson):
    """Run the lesson as `python lessons/NN_name.py` would."""
    printed = []
    with sink(printed.append):
        runpy.run_path(str(lesson.path), run_name="__main__")
    said = summary(printed)
    if said:
        sys.stdout.flush()
        print(f"lesson {lesson.number}: {said}", file=sys.stderr)
        return 1
    return 0


@contextmanager
def saved_figures(folder, number):
    """Within it, plt.show() saves what it would show, as NN_1.png, NN_2.png, ... in the folder."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    folder, count = Path(folder), itertools.count(1)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LessonError(f"{folder} is no folder to save to: {error.strerror}") from None

    def save(*args, **kwargs):
        for figure in map(plt.figure, plt.get_fignums()):
            path = folder / f"{number:02}_{next(count)}.png"
            figure.savefig(path, dpi=150, metadata={"Software": None})
            print(f"\n  [{path}]")
        plt.close("all")

    with mock.patch.object(plt, "show", save), matplotlib.rc_context():
        yield


# ---- cell by cell --------------------------------------------------------------------------------


class Quit(Exception):
    """The person wants to stop."""


def step_through(lesson):
    """Show, wait, run, wait; until the end, q, or the end of the input.    ->  exit status"""
    import matplotlib.pyplot as plt

    if sys.stdin.isatty():
        with suppress(ImportError):
            import readline  # noqa: F401  (gives input() a memory)

    plt.ion()  # plt.show() opens a window and goes on
    namespace, failed = {"__name__": "__main__"}, set()
    every = steps(lesson.source)
    try:
        for i, step in enumerate(every):
            where = f"lesson {lesson.number}, {i + 1} of {len(every)}"
            present(step, where)
            while ask("run" if step.code else "end", namespace) == "r":
                present(step, where)
            while step.code:
                ok = execute(step, lesson, namespace)
                (failed.discard if ok else failed.add)(i)
                if ask("next" if i + 1 < len(every) else "end", namespace) != "r":
                    break
    except (Quit, EOFError):
        print()
    return 1 if failed else 0


def present(step, where):
    """The step's text, then its code."""
    width = min(shutil.get_terminal_size().columns, 88)
    print("\n" + f"-- {where} ".ljust(width, "-"))
    if step.text:
        print("\n" + bold_headings(markdown(step.text, width, ascii_only())))
    if step.code:
        print("\n" + coloured(step.code))


def ask(what_enter_does, namespace):
    """Answer what is typed until it is Enter ("") or "r".    Raises Quit."""
    while True:
        print()
        typed = input(
            f"[Enter] {what_enter_does}   [r]epeat   [v]ariable   [q]uit   [?] > "
        ).strip()
        if not sys.stdin.isatty():
            print()
        if typed in ("", "r"):
            return typed
        if typed == "q":
            raise Quit
        if typed in ("?", "h", "help"):
            print(HELP)
        elif typed == "v":
            list_variables(namespace)
        else:
            evaluate(re.sub(r"^v +(?!=)", "", typed), namespace)


def evaluate(text, namespace):
    """Print the value of an expression, or run a statement; an error takes one line."""
    try:
        exec(compile(text, "<typed>", "single", dont_inherit=True), namespace)
    except SystemExit:
        raise Quit from None
    except Exception as error:
        print(one_line(error))


def execute(step, lesson, namespace):
    """Run a cell, its lines numbered as in the file.    ->  whether it ran to its end"""
    printed = []
    try:
        code = compile("\n" * step.line + step.code, str(lesson.path), "exec", dont_inherit=True)
        with sink(printed.append):
            exec(code, namespace)
    except SystemExit:
        raise Quit from None
    except Exception as error:
        line = error.__traceback__.tb_next.tb_lineno if error.__traceback__.tb_next else "?"
        print(f"\n{lesson.path.name}, line {line}: {one_line(error)}")
    else:
        said = summary(printed)
        if said:
            print(f"\n{said}")
        return not said
    return False


def list_variables(namespace):
    """What the lesson has named so far, without modules and functions."""
    for name, value in namespace.items():
        if not (name.startswith("_") or callable(value) or isinstance(value, ModuleType)):
            size = getattr(value, "shape", None)
            print(f"{name:<20} {type(value).__name__}{'' if size is None else f' {size}'}")


def one_line(error):
    return f"{type(error).__name__}: {error}".partition("\n")[0]


# ---- what the terminal can show ------------------------------------------------------------------


def ascii_only():
    """Whether the output cannot take Greek letters."""
    try:
        "σ∑∫≤".encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return True
    return False


def tex_in(sentence):
    """The sentence with its $formulas$ translated."""
    return re.sub(r"\$([^$]+)\$", lambda match: tex(match[1], ascii_only()), sentence)


def colours():
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ


def bold_headings(text):
    return re.sub(r"(?m)^(.+)(?=\n[=-]+$)", "\033[1m\\1\033[0m", text) if colours() else text


def coloured(code):
    """The code in colours, if the terminal has them and Pygments is there."""
    if not colours():
        return code
    try:
        from pygments import highlight
        from pygments.formatters import TerminalFormatter
        from pygments.lexers import PythonLexer
    except ImportError:
        return code
    return highlight(code, PythonLexer(), TerminalFormatter()).rstrip("\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tinyvae.classroom.presenter.stepper")
    arguments(parser)
    sys.exit(run(parser.parse_args()))
