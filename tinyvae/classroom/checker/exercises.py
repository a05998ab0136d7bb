"""How far is this exercise?  Each hole is to do, right, or wrong with the smallest case.

    $ tinyvae check 04_gaussian_kl.py

The line ``EXERCISE = 4`` in the file, or the names of its functions, say which laws apply
(`exercise_laws`).  `judge` tries one function, `judge_file` all of a file, wherever they are
(`function.LocalFile`, `sandbox.RemoteFile`).
"""

import argparse
import difflib
import functools
import sys
from dataclasses import replace

import numpy as np

from tinyvae.classroom.checker import sandbox
from tinyvae.classroom.checker.engine import (
    ALL_HINTS,
    Broken,
    Report,
    Unwritten,
    Verdict,
    draw_cases,
    hinted,
    lines,
    quiet,
    smallest,
    wrong,
)
from tinyvae.classroom.checker.function import CannotRun, as_function
from tinyvae.classroom.checker.values import Described, NotNumbers, as_array, escape

EXAMPLES = 10  # cases a law, in one dimension, in up to two, and in up to three
KL_EXAMPLES = 10
SIZES = (1, 2, 3)
MOST_SHOWN = 12  # numbers of a case

# ---- one function --------------------------------------------------------------------------------


def judge(hole, f, seed=0):
    """Try f on every law of the hole.    ->  a Verdict, with the smallest case if one is broken

    f    a function of this process, or a `Function`, or None if the file has none of that name
    """
    try:
        f = as_function(f)
    except CannotRun:
        return Verdict(hole.name, "wrong", message=f"There is no function {hole.name} any more.")
    try:
        with quiet():
            return _judge(hole, Asked(f, hole), seed)
    except CannotRun as reason:
        return Verdict(hole.name, "cannot", message=str(reason))


def _judge(hole, asked, seed):
    for law in hole.laws:
        broken = smallest(
            law, asked, sizes=SIZES, seed=seed, examples=EXAMPLES, spent=asked.f.clock
        )
        if asked.waits_for:
            others = asked.waits_for - {hole.name}
            return Verdict(hole.name, "todo", note=" ".join(["needs", *others] * bool(others)))
        if broken:
            return wrong(hole.name, law.formula, broken, *_named(hole, asked, seed))
    return _judge_kl(hole, asked, seed) if hole.kl else Verdict(hole.name, "right")


def _judge_kl(hole, asked, seed):
    """The laws of the KL and the museum's name for the mistake, as in `tinyvae check kl`"""
    from tinyvae.classroom.checker.kl import check_kl

    f, signature = asked.f, hole.kl
    if signature == "moments":
        signature, f = None, _of_moments(f)
    report = check_kl(f, signature, seed=seed, examples=KL_EXAMPLES)
    if report.right:
        return Verdict(hole.name, "right")
    rows = [(row["of"], row["given"], row["true"]) for row in report.rows]
    formula = next(law.formula for law in report.laws if law.name == report.broken)
    says = "" if report.says in " ".join(report.diagnosis) else report.says
    broken = Broken(says, rows, report.case)
    diagnosis, names = report.diagnosis, report.names
    if not names:
        found = _named(hole, asked, seed)
        diagnosis, names = found if found[1] else (diagnosis, names)
    return wrong(hole.name, formula, broken, diagnosis, names)


def _of_moments(f):
    def kl_of_moments(mean, cov):  # the names say what it takes
        return f(mean, cov)

    return kl_of_moments


class Asked:
    """The function as laws call it: with its results as arrays, and `Broken` for whatever else."""

    def __init__(self, f, hole):
        self.f, self.hole = as_function(f), hole
        self.waits_for = set()  # functions that are still to do
        self.calls = []  # what it was given since this was cleared

    def __call__(self, *arguments):
        self.calls.append(arguments)
        outcome = self.f.call(list(arguments), library="numpy")
        if outcome.raised("NotImplementedError"):
            self.waits_for.add(outcome.raised_in or self.hole.name)
            raise Unwritten
        if outcome.error:
            raise Broken(f"it raised {outcome.error}")
        if outcome.changed:
            raise Broken(f"it changes its argument {outcome.changed[0]} in place")
        return self.arrays(outcome.value)

    def names(self, count):
        """What the function calls its arguments"""
        names = self.f.names
        return names[:count] if len(names) >= count else [f"argument {i + 1}" for i in range(count)]

    def given(self, case):
        """What it was given: its own arguments where a law calls it once, or else the law's"""
        if len(self.calls) != 1 or sum(map(np.size, self.calls[0])) > MOST_SHOWN:
            return case
        (arguments,) = self.calls
        return dict(zip(self.names(len(arguments)), arguments, strict=True))

    def arrays(self, results):
        """One array, or a list of as many as the hole gives"""
        names = self.hole.gives
        if len(names) == 1:
            results = [results]
        elif isinstance(results, np.ndarray) and results.ndim and len(results) == len(names):
            results = list(results)  # equal results in a list
        elif not isinstance(results, (tuple, list)) or len(results) != len(names):
            raise Broken(
                f"it gave {_kind(results)}, where {len(names)} are meant: {', '.join(names)}"
            )
        try:
            arrays = [as_array(result).astype(np.float64) for result in results]
        except NotNumbers as error:
            raise Broken(str(error)) from None
        return arrays[0] if len(names) == 1 else arrays


def _kind(results):
    if isinstance(results, (tuple, list)):
        return f"{len(results)} results"
    return "None" if results is None else "one result"


# ---- naming --------------------------------------------------------------------------------------


def _named(hole, asked, seed):
    """(lines, names): the museum's mistakes that give the very same numbers"""
    from tinyvae.classroom.museum.catalogue import MUSEUM

    makers = dict(hole.known_mistakes)
    for bug in MUSEUM.values():
        if hole.museum_target in bug.plants:
            makers[bug.name] = bug.plants[hole.museum_target]
    lines, names = [], []
    for name, theirs in makers.items():
        if _agree(hole, asked, theirs, seed):
            bug = MUSEUM[name]
            names.append(name)
            lines += [f'This is {bug.code} "{bug.title}"', f"    wrong  {bug.wrong}"]
            lines += [f"    right  {bug.right}", f"    `tinyvae bugs {bug.name}` tells more"]
    return lines, names


class _Differ(Exception):
    """Two functions give different results."""


def _agree(hole, asked, theirs, seed):
    """Do both give the same wherever the laws ask?"""
    theirs = Asked(theirs, hole)

    def both(*arguments):
        mine, other = asked(*arguments), theirs(*arguments)
        pairs = [(mine, other)] if len(hole.gives) == 1 else zip(mine, other, strict=True)
        for a, b in pairs:
            if a.shape != b.shape or not np.allclose(a, b, 1e-7, 1e-6, equal_nan=True):
                raise _Differ
        return mine

    try:
        for law in hole.laws:
            for case in _cases(law, seed):
                list(law.rows(both, **case))
    except CannotRun:
        raise
    except (_Differ, Broken, Unwritten, ValueError):
        return False
    except Exception as error:
        if type(error).__name__ == "Shape":
            return False
        raise
    return True


@functools.cache
def _cases(law, seed):
    return draw_cases(law.cases(SIZES[-1]), seed, EXAMPLES)


# ---- a file --------------------------------------------------------------------------------------


def which_exercise(file, exercise=None, shown=""):
    """The number of the exercise that a file is: as given, or as EXERCISE says, or by its names

    CannotRun with one sentence if none of them tells.
    """
    from tinyvae.classroom.checker.exercise_laws import HOLES

    if exercise is None:
        exercise = file.value("EXERCISE")
        if (
            isinstance(exercise, np.ndarray)
            and exercise.shape == ()
            and exercise.dtype.kind in "iu"
        ):
            exercise = int(exercise)
    if exercise is None:
        exercise = _by_names(file, HOLES)
        if exercise is None:
            raise CannotRun(
                f"{shown} is no exercise: it has no line such as EXERCISE = 4. "
                f"If it is a KL of your own: tinyvae check kl {shown}"
            )
    if type(exercise) is not int or exercise not in HOLES:
        plain = exercise.tolist() if isinstance(exercise, np.ndarray) else exercise
        said = plain.text if isinstance(plain, Described) else escape(repr(plain), 60)
        raise CannotRun(f"{shown} says EXERCISE = {said}: there are 1 to {max(HOLES)}")
    return exercise


def _by_names(file, holes):
    """The exercise of which the file has most functions by name, if that is more than half"""
    there = set(file.functions())
    shares = {
        number: len(there & {hole.name for hole in of_one}) / len(of_one)
        for number, of_one in holes.items()
    }
    best = sorted(shares, key=shares.get)
    if shares[best[-1]] > 0.5 and shares[best[-1]] > shares[best[-2]]:
        return best[-1]
    return None


def judge_file(file, *, function=None, exercise=None, seed=0, shown="", begin=lambda title: None):
    """The Report on a file, a verdict for each function that the exercise asks for

    file      a LocalFile or a RemoteFile
    function  judge only that one
    shown     the file as one may print it
    begin     is called with the title, before anything is judged
    """
    from tinyvae.classroom.checker.exercise_laws import HOLES, TITLES

    exercise = which_exercise(file, exercise, shown)
    names = [hole.name for hole in HOLES[exercise]]
    if function not in (None, *names):
        close = difflib.get_close_matches(function, names, 1)
        hint = f". Did you mean {close[0]}?" if close else ""
        raise CannotRun(
            f"exercise {exercise} does not ask for {escape(function, 80)}: {', '.join(names)}{hint}"
        )
    title = f"Exercise {exercise}: {TITLES[exercise]}"
    begin(title)
    verdicts, found = [], {}
    for hole in HOLES[exercise]:
        if function not in (None, hole.name):
            continue
        verdict, found[hole.name] = _judge_in(file, hole, names, seed)
        verdicts.append(verdict)
    bad = [verdict.name for verdict in verdicts if verdict.status == "wrong"]
    for verdict in verdicts:
        f = found[verdict.name]
        used = [name for name in bad if f and name in f.mentions and name != verdict.name]
        if verdict.name in bad and used:
            verdict.note = f"needs {' and '.join(used)}, also wrong: see there first"
    return Report(title, verdicts, [], shown, exercise, seed)


def _judge_in(file, hole, asked_for, seed):
    """(the verdict on a function of a file, the function or None)"""
    try:
        if not file.has(hole.name):
            missing = judge(hole, None)
            others = [name for name in file.functions() if name not in asked_for]
            close = difflib.get_close_matches(hole.name, others, 1, 0.7)
            if close:
                missing.message += f" Did you mean {escape(close[0], 80)}, which the file has?"
            return missing, None
        f = file.function(hole.name)
    except CannotRun as reason:
        return Verdict(hole.name, "cannot", message=str(reason)), None
    return judge(hole, f, seed), f


def run_file(path, function=None, *, exercise=None, seed=0, timeout=sandbox.TIMEOUT,
             limit=sandbox.LIMIT, begin=lambda title: None):  # fmt: skip
    """The Report on a file, from a child process.  CannotRun with one sentence if there is none."""
    with sandbox.open_file(path, seed=seed, timeout=timeout, limit=limit, lenient=True) as file:
        try:
            report = judge_file(
                file, function=function, exercise=exercise, seed=seed, shown=file.shown, begin=begin
            )
        except CannotRun as reason:  # what could not be imported may be the reason for it
            raise CannotRun(file.told[0] if file.told and exercise is None else reason) from None
        report.notes += file.notes()
    return report


def unjudged(path, reason, exercise=None):
    """The Report on a file of which nothing could be judged"""
    from tinyvae.classroom.checker.exercise_laws import HOLES, TITLES

    names = [hole.name for hole in HOLES.get(exercise, ())] or [""]
    verdicts = [Verdict(name, "cannot", message=str(reason)) for name in names]
    title = f"Exercise {exercise}: {TITLES[exercise]}" if exercise in TITLES else ""
    return Report(title, verdicts, [], sandbox.short(path), exercise)


def main(path, function=None, *, json=False, hints=ALL_HINTS, **options):
    """Judge an exercise, print the report.  Returns the exit status:

    0 all right, 1 something wrong or still to do, 2 no verdict, with a sentence on stderr.
    """

    def begin(title):
        if not json:
            print(title, flush=True)  # at once; the verdicts follow

    try:
        report = run_file(path, function, begin=begin, **options)
    except CannotRun as reason:
        print(f"tinyvae check: {_ascii(reason)}", file=sys.stderr)
        if json:
            print(unjudged(path, reason).as_json())
        return 2
    shown = replace(report, holes=[hinted(hole, hints) for hole in report.holes])
    print(shown.as_json() if json else _ascii("\n".join(list(lines(shown))[1:])))
    for hole in report.holes:
        if hole.status == "cannot":
            print(f"tinyvae check: {hole.name}: {_ascii(hole.message)}", file=sys.stderr)
    return report.status


def _ascii(text):
    return str(text).encode("ascii", "backslashreplace").decode()


def arguments(parser):
    """Add what `tinyvae check FILE` takes to a parser; `run` does what it says."""
    parser.add_argument("target", metavar="FILE.py[:function]", help="the exercise, or one hole")
    parser.add_argument("--exercise", type=int, help="which one it is, if the file does not say")
    sandbox.arguments(parser)
    return parser


def run(args):
    """`tinyvae check FILE` with parsed arguments.  Returns the exit status."""
    try:
        path, function = sandbox.split(args.target)
    except CannotRun as reason:
        print(f"tinyvae check: {reason}", file=sys.stderr)
        return 2
    return main(
        path,
        function,
        exercise=args.exercise,
        **sandbox.options(args),
    )


if __name__ == "__main__":
    sys.exit(run(arguments(argparse.ArgumentParser("tinyvae check")).parse_args()))
