"""How far is this exercise?  Each hole is todo, right, or wrong with the smallest case.

    $ tinyvae check 04_gaussian_kl.py

The line ``EXERCISE = 4`` in the file says which laws apply (`exercise_laws`).
They are tried in a child process (`sandbox`); `judge` tries a function right here.
"""

import functools
import inspect
import json
import sys
import time
import warnings
from dataclasses import asdict, dataclass, field

import numpy as np

from tinyvae.classroom.checker import sandbox as child
from tinyvae.classroom.checker.adapter import CannotRun, NotNumbers, as_array, describe
from tinyvae.classroom.checker.kl import SHRINKING, TIMEOUT, _hypothesis, _plain, check_kl

EXAMPLES = 10  # cases a law, in one dimension, in up to two, and in up to three
KL_EXAMPLES = 10
LARGEST = 3
MOST_SHOWN = 12  # numbers


@dataclass
class Verdict:
    """One hole.

    status     "todo", "right" or "wrong"
    note       which other hole it needs, if that is not right yet
    law        the law that is broken
    given      the smallest case that breaks it, by name
    rows       what differs there: {"of", "yours", "true"}
    says       one sentence, where numbers alone do not say it
    diagnosis  lines that name the mistake, if the museum has it
    """

    name: str
    status: str
    note: str = ""
    law: str = ""
    given: dict = field(default_factory=dict)
    rows: list[dict] = field(default_factory=list)
    says: str = ""
    diagnosis: list[str] = field(default_factory=list)


@dataclass
class Report:
    """All holes of an exercise.  str(report) is what `tinyvae check FILE` prints."""

    exercise: int
    title: str
    holes: list[Verdict]
    notes: list[str] = field(default_factory=list)

    @property
    def right(self):
        return all(hole.status == "right" for hole in self.holes)

    def __str__(self):
        return "\n".join(_lines(self))

    def as_json(self):
        """One JSON object; numbers that JSON does not know are strings: "nan", "inf" """
        return json.dumps(_plain({"right": self.right, **asdict(self)}), allow_nan=False)

    @classmethod
    def from_dict(cls, fields):
        holes = [Verdict(**hole) for hole in fields["holes"]]
        return cls(**{**fields, "holes": holes})


class Wrong(Exception):
    """A law is broken, or the function does what it must not.    rows: (of, yours, true)"""

    def __init__(self, says="", rows=(), given=None):
        self.says, self.rows, self.given = says, rows, given
        super().__init__(says)


class Todo(Exception):
    """The function, or another hole that it calls, is not written yet."""


# ---- judging -------------------------------------------------------------------------------------


def judge(hole, f, seed=0, before_each_call=lambda: None):
    """Try f on every law of the hole.    ->  a Verdict, with the smallest case if one is broken"""
    if not callable(f):
        return Verdict(hole.name, "wrong", says=f"There is no function {hole.name} any more.")
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        asked = _Asked(f, hole, before_each_call)
        for law in hole.laws:
            wrong = smallest(law, asked, seed)
            if asked.waits_for:
                others = asked.waits_for - {hole.name}
                return Verdict(hole.name, "todo", note=" ".join(["needs", *others] * bool(others)))
            if wrong:
                named = _named(hole, asked, seed)
                return _wrong(hole, law.formula, wrong.given, wrong.rows, wrong.says, named)
        return _judge_kl(hole, asked, seed) if hole.kl else Verdict(hole.name, "right")


def _wrong(hole, law, given, rows, says, diagnosis):
    given = {name: np.asarray(value).tolist() for name, value in given.items()}
    rows = [
        {"of": of, "yours": np.asarray(yours).tolist(), "true": np.asarray(true).tolist()}
        for of, yours, true in rows
    ]
    return Verdict(hole.name, "wrong", "", law, given, rows, says, list(diagnosis))


def _judge_kl(hole, asked, seed):
    """The laws of the KL and the museum's name for the mistake, as in `tinyvae check kl`"""
    f, signature = asked.f, hole.kl
    if signature == "moments":
        signature, f = None, _of_moments(f)
    try:
        report = check_kl(
            f, signature, seed=seed, examples=KL_EXAMPLES, before_each_call=asked.before_each_call
        )
    except CannotRun as reason:
        return Verdict(hole.name, "wrong", says=str(reason))
    if report.right:
        return Verdict(hole.name, "right")
    rows = [(row["of"], row["given"], row["true"]) for row in report.rows]
    formula = next(law.formula for law in report.laws if law.name == report.broken)
    says = "" if report.says in " ".join(report.diagnosis) else report.says
    diagnosis = (not report.names and _named(hole, asked, seed)) or report.diagnosis
    return _wrong(hole, formula, report.case, rows, says, diagnosis)


def _of_moments(f):
    def kl_of_moments(mean, cov):  # the names say what it takes
        return f(mean, cov)

    return kl_of_moments


class _Asked:
    """The function as laws call it: on copies, with its results as arrays, complaints as Wrong."""

    def __init__(self, f, hole, before_each_call=lambda: None):
        self.f, self.hole, self.before_each_call = f, hole, before_each_call
        self.waits_for = set()  # holes that are still to do
        self.calls = []  # what it was given since this was cleared

    def __call__(self, *arguments):
        self.calls.append(arguments)
        copies = [np.array(a) if isinstance(a, np.ndarray) else a for a in arguments]
        self.before_each_call()
        path = getattr(getattr(self.f, "__code__", None), "co_filename", None)
        try:
            results = self.f(*copies)
        except NotImplementedError as error:
            self.waits_for.add(_innermost(error, path) or self.hole.name)
            raise Todo from None
        except (Exception, SystemExit) as error:
            raise Wrong(f"it raised {describe(error, path)}") from None
        for i, (before, after) in enumerate(zip(arguments, copies, strict=True)):
            if np.shape(before) != np.shape(after) or np.any(before != after):
                raise Wrong(f"it changes its argument {self.names(i + 1)[i]} in place")
        return self.arrays(results)

    def names(self, count):
        """What the function calls its arguments"""
        try:
            names = list(inspect.signature(self.f).parameters)
        except (TypeError, ValueError):
            names = []
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
        elif not isinstance(results, (tuple, list)) or len(results) != len(names):
            raise Wrong(
                f"it gave {_kind(results)}, where {len(names)} are meant: {', '.join(names)}"
            )
        try:
            arrays = [as_array(result).astype(np.float64) for result in results]
        except NotNumbers as error:
            raise Wrong(str(error)) from None
        return arrays[0] if len(names) == 1 else arrays


def _innermost(error, path):
    """The function of the user's file that raised"""
    names, trace = [], error.__traceback__
    while trace:
        if trace.tb_frame.f_code.co_filename == path:
            names.append(trace.tb_frame.f_code.co_name)
        trace = trace.tb_next
    return names[-1] if names else None


def _kind(results):
    if isinstance(results, (tuple, list)):
        return f"{len(results)} results"
    return "None" if results is None else "one result"


def hold(law, asked, given):
    """Raise Wrong, with what differs, if the law does not hold there."""
    from tinyvae.classroom.checker.exercise_laws import Shape

    try:
        rows = [
            (of, np.asarray(yours), np.asarray(true))
            for of, yours, true in law.check(asked, **given)
        ]
    except (Wrong, Todo):
        raise
    except Shape as error:
        raise Wrong(str(error)) from None
    except Exception as error:  # the law stumbles over results of shapes that do not fit
        raise Wrong(f"its result does not fit: {error}") from None
    for of, yours, true in rows:
        if yours.shape != true.shape:
            says = f"{of} has shape {yours.shape}, where {true.shape} is meant"
            raise Wrong(says, [(of, yours, true)])
    differ = [row for row in rows if not np.allclose(*row[1:], rtol=1e-7, atol=1e-6)]
    if differ:
        raise Wrong("", differ)


def smallest(law, asked, seed):
    """The smallest case that breaks the law, as Wrong; None if there is none."""
    ends = np.inf  # once a case is found, the search for a smaller one takes its time
    known = {}  # Hypothesis asks again, and must hear the same

    def attempt(given):
        nonlocal ends
        key = repr([np.asarray(value).tolist() for value in given.values()])
        if key not in known:
            known[key] = None
            if time.thread_time() < ends:
                asked.calls.clear()
                try:
                    hold(law, asked, given)
                except Wrong as wrong:
                    wrong.given = asked.given(given)
                    known[key] = wrong
                    ends = min(ends, time.thread_time() + SHRINKING)
                except Todo:
                    pass
        if known[key]:
            raise known[key]

    for largest in range(1, LARGEST + 1):
        try:
            _hypothesis(attempt, law.cases(largest), seed, EXAMPLES, shrink=True)
        except Wrong as wrong:
            return wrong
        if asked.waits_for:
            return None
    return None


# ---- naming --------------------------------------------------------------------------------------


def _named(hole, asked, seed):
    """Lines with the museum's mistakes that give the very same numbers"""
    from tinyvae.classroom.museum.catalogue import MUSEUM

    makers = dict(hole.named)
    for bug in MUSEUM.values():
        if hole.twin in bug.plants:
            makers[bug.name] = bug.plants[hole.twin]
    lines = []
    for name, theirs in makers.items():
        if _agree(hole, asked, theirs, seed):
            bug = MUSEUM[name]
            lines += [f'This is {bug.code} "{bug.title}"', f"    wrong  {bug.wrong}"]
            lines += [f"    right  {bug.right}", f"    `tinyvae bugs {bug.name}` tells more"]
    return lines


class _Differ(Exception):
    """Two functions give different results."""


def _agree(hole, asked, theirs, seed):
    """Do both give the same wherever the laws ask?"""
    theirs = _Asked(theirs, hole)

    def both(*arguments):
        mine, other = asked(*arguments), theirs(*arguments)
        pairs = [(mine, other)] if len(hole.gives) == 1 else zip(mine, other, strict=True)
        for a, b in pairs:
            if a.shape != b.shape or not np.allclose(a, b, 1e-7, 1e-6, equal_nan=True):
                raise _Differ
        return mine

    try:
        for law in hole.laws:
            for given in _cases(law, seed):
                list(law.check(both, **given))
    except (_Differ, Wrong, Todo, ValueError):
        return False
    return True


@functools.cache
def _cases(law, seed):
    drawn = []
    _hypothesis(drawn.append, law.cases(LARGEST), seed, EXAMPLES, shrink=False)
    return drawn


# ---- printing ------------------------------------------------------------------------------------


def _lines(report):
    yield f"Exercise {report.exercise}: {report.title}"
    yield ""
    width = max(len(hole.name) for hole in report.holes)
    for hole in report.holes:
        said = hole.note or hole.law or ("see below" if hole.says else "")
        yield f"  {hole.status:7}{hole.name:{width}}  {said}".rstrip()
    for hole in report.holes:
        if hole.status == "wrong" and not hole.note:
            yield from _details(hole)
    yield ""
    count = {status: sum(hole.status == status for hole in report.holes) for status in WORDS}
    if report.right:
        yield "All right."
    else:
        yield ", ".join(f"{n} {WORDS[status]}" for status, n in count.items() if n) + "."
    for note in report.notes:
        yield f"Note: {note}"


WORDS = {"right": "right", "wrong": "wrong", "todo": "to do"}


def _details(hole):
    """The smallest case of a hole that is wrong"""
    yield ""
    yield f"{hole.name} breaks  {hole.law}" if hole.law else f"{hole.name} is wrong"
    yield ""
    table = [("given", name, value) for name, value in hole.given.items()]
    for row in hole.rows:
        table += [("yours", row["of"], row["yours"]), ("true", row["of"], row["true"])]
    width = max((len(name) for _, name, _ in table), default=0)
    last = None
    for word, name, value in table:
        yield f"  {word if word != last else '':7}{name:{width}} = {shown(value)}"
        last = word
    if hole.says:
        yield f"  {hole.says}"
    if hole.diagnosis:
        yield ""
        for line in hole.diagnosis:
            yield f"  {line}"


def shown(value):
    """[[1, 0], [0.5, 2]] for nested lists of numbers

    >>> shown([[1.0, -0.0], [0.1234567891, 2.0]])
    '[[1, 0], [0.1234568, 2]]'
    """
    if isinstance(value, list):
        return "[" + ", ".join(shown(entry) for entry in value) + "]"
    if isinstance(value, str):
        return value
    return f"{value:.7g}" if abs(value) > 1e-9 else "0"  # finite differences have 9 decimals


# ---- a file --------------------------------------------------------------------------------------


def session(module, request, pulse):
    """What the child process runs: find out which exercise it is, judge each hole"""
    from tinyvae.classroom.checker.exercise_laws import HOLES, TITLES

    exercise = getattr(module, "EXERCISE", None)
    file = request["shown"]
    if exercise is None:
        raise CannotRun(
            f"{file} is no exercise: it has no line such as EXERCISE = 4. "
            f"If it is a KL of your own: tinyvae check kl {file}"
        )
    if not isinstance(exercise, int) or exercise not in HOLES:
        raise CannotRun(f"{file} says EXERCISE = {exercise!r}: there are 1 to {max(HOLES)}")
    wanted = request["function"]
    names = [hole.name for hole in HOLES[exercise]]
    if wanted not in (None, *names):
        raise CannotRun(f"exercise {exercise} does not ask for {wanted}: {', '.join(names)}")
    verdicts = [
        judge(hole, getattr(module, hole.name, None), request["seed"], pulse.beat)
        for hole in HOLES[exercise]
        if wanted in (None, hole.name)
    ]
    wrong = [verdict.name for verdict in verdicts if verdict.status == "wrong"]
    for verdict in verdicts:
        used = _uses(getattr(module, verdict.name, None), wrong)
        if verdict.name in wrong and used:
            verdict.note = f"needs {' and '.join(used)}, also wrong: see there first"
    return _plain(asdict(Report(exercise, TITLES[exercise], verdicts)))


def _uses(f, names):
    """Which of these functions f mentions"""
    code = getattr(f, "__code__", None)
    mentioned = _mentioned(code) - {code.co_name} if code else set()
    return [name for name in names if name in mentioned]


def _mentioned(code):
    """The global names in a function, and in those that are defined in it"""
    inner = [_mentioned(const) for const in code.co_consts if inspect.iscode(const)]
    return set(code.co_names).union(*inner)


def run_file(path, function=None, *, seed=0, timeout=TIMEOUT):
    """The Report on a file, from a child process.  CannotRun with one sentence if there is none."""
    request = {"seed": seed, "function": function, "shown": str(path)}
    answer = child.run(
        path, "tinyvae.classroom.checker.exercises:session", request, timeout=timeout
    )
    report = Report.from_dict(answer.value)
    for name in ("stdout", "stderr"):
        printed = getattr(answer, name).splitlines()
        if printed:
            report.notes.append(
                f"It printed to {name}, kept apart here; it begins: {printed[0][:60]!r}"
            )
    return report


def main(path, function=None, *, json=False, seed=0, timeout=TIMEOUT):
    """Judge an exercise, print the report.  Returns the exit status:

    0 all right, 1 something wrong or still to do, 2 could not be run, with a sentence on stderr.
    """
    try:
        report = run_file(path, function, seed=seed, timeout=timeout)
    except CannotRun as reason:
        print(f"tinyvae check: {reason}", file=sys.stderr)
        return 2
    text = report.as_json() if json else str(report)
    print(text.encode("ascii", "backslashreplace").decode())
    return 0 if report.right else 1


def arguments(parser):
    """Add what `tinyvae check FILE` takes to a parser; `run` does what it says."""
    parser.add_argument("target", metavar="FILE.py[:function]", help="the exercise, or one hole")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--seed", type=int, default=0, help="of the cases (%(default)s)")
    parser.add_argument(
        "--timeout", type=float, default=TIMEOUT, help="seconds for one call (%(default)g)"
    )


def run(args):
    """`tinyvae check FILE` with parsed arguments.  Returns the exit status."""
    try:
        path, function = child.split(args.target)
    except CannotRun as reason:
        print(f"tinyvae check: {reason}", file=sys.stderr)
        return 2
    return main(path, function, json=args.json, seed=args.seed, timeout=args.timeout)
