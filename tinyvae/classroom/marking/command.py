"""`tinyvae mark FOLDER`: marks for every submission, and what the class got wrong."""

import json
import os
import sys
import textwrap
from contextlib import suppress

from tinyvae.classroom.checker import sandbox
from tinyvae.classroom.checker.engine import WIDTH, plain
from tinyvae.classroom.checker.exercises import unjudged
from tinyvae.classroom.checker.function import CannotRun
from tinyvae.classroom.checker.values import escape
from tinyvae.classroom.marking import marks as marking
from tinyvae.classroom.marking import reports, submissions


def cores():
    """How many processors this process may use"""
    with suppress(AttributeError, OSError):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def worth_of(text):
    """ "2" -> 2 points a function; "kl=3,elbo=2" -> these, and 1 for the others

    >>> worth_of("kl=3,elbo=2")("kl"), worth_of("kl=3")("recon"), worth_of("0.5")("kl")
    (3.0, 1.0, 0.5)
    """
    each, by_name = 1.0, {}
    for part in text.split(","):
        name, equals, value = part.rpartition("=")
        try:
            points = float(value)
        except ValueError:
            points = -1.0
        if not 0 <= points < 1e6 or (equals and not name.strip().isidentifier()):
            raise CannotRun(f"--points is a number, or name=number,name=number; not {escape(text)}")
        if equals:
            by_name[name.strip()] = points
        else:
            each = points
    return lambda name: by_name.get(name, each)


def mark_folder(folder, *, exercise=None, seed=0, timeout=sandbox.TIMEOUT, limit=sandbox.LIMIT,
                jobs=None, again=False, points="1", progress=None):  # fmt: skip
    """(marks, names of files that are no exercises) of all submissions in a folder

    progress   is called with the number of submissions, and returns what is called with each one
    """
    from tinyvae.classroom.checker.exercise_laws import HOLES, TITLES

    if exercise is not None and exercise not in HOLES:
        raise CannotRun(f"there is no exercise {exercise}: there are 1 to {max(HOLES)}")
    if jobs is not None and jobs < 1:
        raise CannotRun(f"--jobs must be at least 1, not {jobs}")
    if seed < 0:
        raise CannotRun(f"the seed must be 0 or more, not {seed}")
    for name, value in (("timeout", timeout), ("limit", limit)):
        if not 0 < value < float("inf"):
            raise CannotRun(f"the {name} must be more than 0 seconds, not {value:g}")
    worth = worth_of(points)
    if not os.path.exists(folder):
        raise CannotRun(f"there is no folder {escape(folder)}")
    asked = {hole.name for holes in HOLES.values() for hole in holes}
    found, others = submissions.find(folder, asked, exercise)
    if not found:
        raise CannotRun(
            f"there is no submission in {escape(folder)}: no .py or .ipynb file with a line such "
            "as EXERCISE = 4 or with a function of an exercise"
        )
    path = os.path.join(folder, marking.KEPT) if os.path.isdir(folder) else None
    kept = marking.Kept(path, again)
    all_reports = marking.mark_all(
        found,
        exercise=exercise,
        seed=seed,
        timeout=timeout,
        limit=limit,
        jobs=jobs or cores(),
        kept=kept,
        progress=progress(len(found)) if progress else lambda one: None,
    )
    if kept.problem:
        print(f"tinyvae mark: {escape(kept.problem)}", file=sys.stderr)
    made = []
    for one, report in zip(found, all_reports, strict=True):
        number = exercise or one.exercise
        if report.exercise is None and number in HOLES and not one.explain:
            report = unjudged(one.path, report.holes[0].message, number)
        holes = report.holes if one.explain else HOLES.get(report.exercise, ())
        names = [hole.name for hole in holes if hole.name]
        report.file = one.name
        if report.exercise in TITLES and not one.explain:
            report.title = f"Exercise {report.exercise}: {TITLES[report.exercise]}"
        out_of = sum(map(worth, names))
        points = sum(worth(hole.name) for hole in report.holes if hole.right)
        notes = [*one.notes, *report.notes]
        report.notes = notes
        made.append(marking.Marked(one.name, one.path, report, points, out_of, notes))
    return made, others


def as_json(marks, others):
    """All marks as one JSON object"""
    found = [
        {
            "file": mark.name,
            "points": mark.points,
            "out_of": mark.out_of,
            **json.loads(mark.report.as_json()),
        }
        for mark in marks
    ]
    text = {"submissions": found, "no_exercises": others, "summary": list(reports.summary(marks))}
    return json.dumps(plain(text), allow_nan=False)


def arguments(parser):
    """Add what `tinyvae mark` takes to a parser; `run` does what it says."""
    parser.add_argument(
        "folder", nargs="?", metavar="FOLDER", help="submissions, .py and .ipynb, at any depth"
    )
    parser.add_argument("--exercise", type=int, help="which one it is, whatever the files say")
    parser.add_argument("--csv", metavar="FILE", help="write a table for a spreadsheet")
    parser.add_argument("--feedback", metavar="DIR", help="write a text for each submission")
    parser.add_argument("--junit", metavar="FILE", help="write JUnit XML")
    parser.add_argument("--gradescope", metavar="FILE", help="write Gradescope's results.json")
    parser.add_argument(
        "--make-autograder", metavar="FILE.zip", help="make an autograder for Gradescope, and end"
    )
    parser.add_argument(
        "--points", default="1", help="for each function, or kl=3,elbo=2 (%(default)s)"
    )
    parser.add_argument("--jobs", type=int, help="files at the same time (the number of cores)")
    parser.add_argument(
        "--again", action="store_true", help="run files again whose marks are finished"
    )
    sandbox.arguments(parser)


def run(args):
    """`tinyvae mark` with parsed arguments.  Returns the exit status: 0 marked, 2 cannot."""
    options = sandbox.options(args)
    try:
        if args.make_autograder:
            from tinyvae.classroom.marking.autograder import make

            make(args.make_autograder, args)
            print(f"{escape(args.make_autograder)} is made: upload it to Gradescope.")
            return 0
        if not args.folder:
            raise CannotRun("name the folder that the submissions are in")
        marks, others = mark_folder(
            args.folder,
            exercise=args.exercise,
            seed=args.seed,
            timeout=args.timeout,
            limit=args.limit,
            jobs=args.jobs,
            again=args.again,
            points=args.points,
            progress=_bar,
        )
        _write(marks, args, options["hints"])
    except CannotRun as reason:
        print(f"tinyvae mark: {_ascii(reason)}", file=sys.stderr)
        if args.json:
            print(json.dumps({"submissions": [], "error": str(reason)}))
        return 2
    if args.json:
        print(as_json(marks, others))
        return 0
    lines = [*reports.table(marks), *reports.summary(marks)]
    if others:
        shown = ", ".join(escape(name, 60) for name in others[:5])
        more = f" and {len(others) - 5} more" if len(others) > 5 else ""
        lines += ["", *textwrap.wrap(f"No exercises, so not marked: {shown}{more}", WIDTH)]
    print("\n".join(map(_ascii, lines)).lstrip("\n"))
    return 0


def _ascii(text):
    """The text in the terminal's encoding, with what it lacks escaped"""
    encoding = sys.stdout.encoding or "ascii"
    return str(text).encode(encoding, "backslashreplace").decode(encoding)


def _write(marks, args, level):
    """The files that were asked for"""
    worth = worth_of(args.points)
    try:
        if args.csv:
            reports.write_csv(marks, args.csv)
        if args.feedback:
            reports.write_feedback(marks, args.feedback, level)
        if args.junit:
            reports.write_junit(marks, args.junit, level)
        if args.gradescope:
            with open(args.gradescope, "w", encoding="utf-8") as file:
                json.dump(plain(reports.gradescope(marks, worth, level)), file, indent=1)
    except OSError as error:
        name = escape(error.filename or "a file")
        raise CannotRun(f"{name} cannot be written: {error.strerror}") from None


def _bar(count):
    """A bar on stderr; what it returns is called with each submission that is done"""
    from tqdm import tqdm

    bar = tqdm(total=count, unit="file", leave=False, disable=None, file=sys.stderr)

    def done(one):
        bar.set_postfix_str(escape(one.name, 30), refresh=False)
        bar.update()
        if bar.n >= count:
            bar.close()

    return done
