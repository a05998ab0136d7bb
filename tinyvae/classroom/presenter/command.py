"""The command `tinyvae lesson`: list the lessons, run one, change one, copy one, present one."""

import difflib
import os
import re
import runpy
import shutil
import subprocess
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path

from tinyvae.classroom.lesson import sink, summary
from tinyvae.classroom.presenter import terminal
from tinyvae.classroom.presenter.figures import saved
from tinyvae.classroom.presenter.script import (
    LessonError,
    find_lessons,
    installed_lessons,
    with_constant,
)


def arguments(parser):
    """Declare the command's arguments on an argparse parser."""
    add = parser.add_argument
    add("number", nargs="?", type=int, help="which lesson; without it, the list")
    add("--step", action="store_true", help="present it: question, code, result, by keys")
    add("--from", dest="start", type=int, metavar="STEP", help="with --step: begin at this step")
    add("--predict", action="store_true", help="with --step: type the audience's guess first")
    add("--figures", metavar="DIR", help="save the figures there as NN_1.png, ...")
    add("--copy", action="store_true", help="put the lesson into lessons/ here, to be edited")
    add("--set", dest="setting", metavar="NAME=VALUE", help="change one constant: before and after")


def run(args):
    """Do what the arguments say.

    ->  exit status: 0, 1 if a claim of the lesson does not hold, 2 if it cannot be done as asked,
    130 after Ctrl-C
    """
    if terminal.ascii_only():
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
    lesson = _named_lesson(args)
    if lesson is None:
        return 0
    if args.copy:
        return copy_lesson(lesson.number)
    print(f"running {_shown(lesson.path)}", file=sys.stderr)
    if args.setting:
        return compare(lesson, args.setting)
    figures = saved(args.figures, lesson.number) if args.figures else None
    if not args.step:
        with figures or nullcontext():
            return play(lesson)
    from tinyvae.classroom.presenter.stepper import step_through

    if args.start is not None:
        lesson.place(args.start)
    return step_through(lesson, args.start, args.predict, figures)


def _named_lesson(args):
    """The lesson that was asked for; None after the list.    Raises LessonError."""
    lessons = find_lessons()
    if not lessons:
        raise LessonError("no lessons found next to the package")
    if args.number is None:
        if args.step or args.figures or args.copy or args.setting or args.start or args.predict:
            raise LessonError("say which lesson, for example: tinyvae lesson 3 --step")
        list_lessons(lessons)
        return None
    if args.number not in lessons:
        known = ", ".join(map(str, lessons))
        raise LessonError(f"there is no lesson {args.number}; there are {known}")
    if (args.start or args.predict) and not args.step:
        raise LessonError("--from and --predict go with --step")
    if args.setting and (args.step or args.figures or args.copy):
        raise LessonError("--set goes alone: it runs the lesson twice and compares")
    return lessons[args.number]


def list_lessons(lessons):
    """Number, title, and the one line that the lesson says about itself."""
    for lesson in lessons.values():
        print(f"{lesson.number:3}  {lesson.heading.partition(': ')[2]}")
        print(f"       {terminal.tex_in(lesson.summary)}")
    print("\ntinyvae lesson 3          runs it\ntinyvae lesson 3 --step   presents it")


def copy_lesson(number):
    """Put the installed lesson into lessons/ of this folder; a file that is there stays."""
    lesson = installed_lessons().get(number)
    if lesson is None:
        raise LessonError(f"there is no installed lesson {number} to copy")
    target = Path("lessons", lesson.path.name)
    if target.exists():
        raise LessonError(f"{target} is there already; edit it, or move it away first")
    try:
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(lesson.path, target)
    except OSError as error:
        raise LessonError(f"{target} cannot be written: {error.strerror}") from None
    print(f"{target} is yours to edit; `tinyvae lesson {number}` here runs it")
    return 0


def play(lesson):
    """Run the lesson as `python lessons/NN_name.py` would."""
    printed = []
    with sink(printed.append):
        runpy.run_path(str(lesson.path), run_name="__main__")
    said = summary(printed)
    if said:
        sys.stdout.flush()
        print(f"lesson {lesson.number}: {said}", file=sys.stderr)
    return 1 if said else 0


def compare(lesson, setting):
    """Run the lesson as it is and with one constant changed; print the lines that differ in pairs.

    ->  exit status of the changed lesson
    """
    changed = with_constant(lesson.source, setting)
    before, _ = _printed_by(lesson.source, lesson.path.name)
    after, status = _printed_by(changed, lesson.path.name)
    matcher = difflib.SequenceMatcher(None, *([_words(line) for line in text] for text in
                                              (before, after)), autojunk=False)  # fmt: skip
    for tag, i1, i2, j1, j2 in matcher.get_opcodes():
        for old, new in zip(before[i1:i2], after[j1:j2], strict=False):
            if old == new:
                print(old)
            else:
                print(f"  before {old.strip()}\n  after  {new.strip()}")
        if tag != "equal":
            shorter = min(i2 - i1, j2 - j1)
            for word, rest in ("before", before[i1 + shorter : i2]), (
                "after ", after[j1 + shorter : j2],
            ):  # fmt: skip
                print("".join(f"  {word} {line.strip()}\n" for line in rest if line), end="")
    return status


def _words(line):
    """A line without its numbers: by it the lines of two runs are paired"""
    return re.sub(r"[-+.\de]*\d[-+.\de]*", "#", " ".join(line.split()))


def _printed_by(source, name):
    """The lines that the source prints as a script, without a screen, and its exit status"""
    with tempfile.TemporaryDirectory(prefix="tinyvae-") as folder:
        script = Path(folder, name)
        script.write_text(source, encoding="utf-8")
        ran = subprocess.run(
            [sys.executable, str(script)],
            env=os.environ | {"MPLBACKEND": "Agg", "PYTHONPATH": os.pathsep.join(sys.path)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    if ran.returncode not in (0, 1) or "Traceback" in ran.stderr:
        last = ran.stderr.strip().splitlines()[-1:] or [f"exit status {ran.returncode}"]
        raise LessonError(f"with that the lesson cannot run: {last[0]}")
    return ran.stdout.splitlines(), ran.returncode


def _shown(path):
    """The path as one would type it here, if that is shorter"""
    near = os.path.relpath(path)
    return near if len(near) < len(str(path)) else str(path)
