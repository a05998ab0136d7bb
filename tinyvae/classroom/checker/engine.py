"""The engine: a law is tried on cases, the smallest case that breaks it is found, and reported.

Whatever is judged (a KL, a loss, the functions of an exercise) goes through the same parts:

    Law       a formula, a check that raises `Broken`, and a Hypothesis strategy for its cases
    search    the first case that breaks a law; `smallest` the smallest one (hypothesis.find)
    Verdict   what was found out about one function
    Report    the verdicts on a file, as text and as JSON

The function itself is called through `function.Function` only; it may be in another process.
"""

import json
import random
import textwrap
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields

import numpy as np

from tinyvae.classroom.checker.function import CannotRun
from tinyvae.classroom.checker.values import Described, escape

SHRINKING = 1.5  # seconds of the function's own time that the search for the smallest case may take
WIDTH = 78  # columns of what is printed
HINTS = {0: "the law", 1: "the smallest case", 2: "the name of the mistake", 3: "the formula"}
ALL_HINTS = 3


class Broken(AssertionError):
    """A law does not hold.

    given    the case, by name
    rows     what the function gave: (of what, yours, true)
    message  one sentence, where numbers alone do not say it
    """

    def __init__(self, message="", rows=(), given=None):
        self.message, self.rows, self.given = message, list(rows), dict(given or {})
        values = "; ".join(f"{of}: {yours}, true {true}" for of, yours, true in self.rows)
        case = ", ".join(f"{n} = {np.asarray(v).tolist()}" for n, v in self.given.items())
        super().__init__(". ".join(part for part in (message, values, case) if part))


class Unwritten(Exception):
    """The function, or another one that it calls, is not written yet."""


@dataclass(frozen=True, eq=False)
class Law:
    """What is true of a function.

    check     check(f, case) raises Broken where the law does not hold
    cases     cases(largest) is a Hypothesis strategy; sizes of what it draws go up to `largest`
    """

    name: str
    formula: str
    check: Callable
    cases: Callable


# ---- trying --------------------------------------------------------------------------------------


@contextmanager
def quiet():
    """No warnings: not of NumPy, not of anybody's function"""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


def settings(examples, shrink=True):
    """Hypothesis's settings: silent, remembering nothing, never late"""
    from hypothesis import HealthCheck, Phase, Verbosity
    from hypothesis import settings as of_hypothesis

    return of_hypothesis(
        max_examples=examples,
        phases=[Phase.generate, Phase.shrink] if shrink else [Phase.generate],
        database=None,
        deadline=None,
        derandomize=False,
        print_blob=False,
        verbosity=Verbosity.quiet,
        suppress_health_check=list(HealthCheck),
    )


def draw_cases(strategy, seed, examples):
    """The cases that Hypothesis draws first from this seed, as a list"""
    import hypothesis

    drawn = []

    @hypothesis.seed(seed)
    @settings(examples, shrink=False)
    @hypothesis.given(strategy)
    def collect(case):
        drawn.append(case)

    collect()
    return drawn


def broken_by(law, f, case):
    """The Broken that this case is, or None"""
    try:
        law.check(f, case)
    except Broken as broken:
        return broken
    return None


def search(law, f, cases, *, seconds=np.inf, spent=lambda: 0.0, at_least=3):
    """The first of the cases that breaks the law, as Broken; None if there is none.

    A slow function gets fewer cases: as many as fit in `seconds` of what `spent()` counts, and
    never fewer than `at_least`.
    """
    start = spent()
    for tried, case in enumerate(cases):
        if tried >= at_least and spent() - start > seconds:
            return None
        broken = broken_by(law, f, case)
        if broken:
            return broken
    return None


def smallest(law, f, *, sizes, seed, examples, seconds=None, spent=lambda: 0.0):
    """The smallest case that breaks the law, as Broken: small sizes first, then simple numbers

    sizes     are given to law.cases one after the other: (1, 2, 3)
    seconds   of what `spent()` counts, for shrinking once a case is found

    None if no case breaks it.
    """
    import hypothesis

    seconds = SHRINKING if seconds is None else seconds
    known, ends, lost = {}, np.inf, None

    def is_broken(case):
        nonlocal ends, lost
        key = key_of(case)
        if key not in known:  # Hypothesis asks again, and must get the same answer
            known[key] = None
            if spent() < ends:
                try:
                    known[key] = broken_by(law, f, case)
                except CannotRun as reason:
                    lost, ends = reason, -np.inf
                if known[key]:
                    ends = min(ends, spent() + seconds)
        return known[key] is not None

    for largest in sizes:
        try:
            found = hypothesis.find(
                law.cases(largest),
                is_broken,
                settings=settings(examples),
                random=random.Random(seed),
            )
        except hypothesis.errors.NoSuchExample:
            found = None
        if lost:
            raise lost
        if found is not None:
            return known[key_of(found)]
    return None


def key_of(case):
    """Bytes that tell one case from another"""
    if isinstance(case, dict):
        case = list(case.values())
    if isinstance(case, (list, tuple)):
        return b"(" + b"|".join(map(key_of, case)) + b")"
    array = np.asarray(case)
    return repr(array.shape).encode() + array.tobytes()


# ---- what was found ------------------------------------------------------------------------------

WORDS = {"right": "right", "wrong": "wrong", "todo": "to do", "cannot": "without a verdict"}


@dataclass
class LawVerdict:
    """One law: "ok", "wrong", or "-" for not judged, and why"""

    name: str
    formula: str
    status: str
    note: str = ""


@dataclass
class Verdict:
    """One function.

    name       of the function, as one may print it
    status     "right", "wrong", "todo", or "cannot": there is no verdict, `message` says why
    note       which other function it needs, if that is not right yet
    law        the law that is broken
    given      the smallest case that breaks it, by name
    rows       what differs there: {"of", "yours", "true"}
    message    one sentence, where numbers alone do not say it
    diagnosis  lines that say what the mistake is; `names` has the museum's entries that agree
    laws       a LawVerdict for each law, where the report lists them
    """

    name: str
    status: str
    note: str = ""
    law: str = ""
    given: dict = field(default_factory=dict)
    rows: list[dict] = field(default_factory=list)
    message: str = ""
    diagnosis: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    laws: list[LawVerdict] = field(default_factory=list)

    @property
    def right(self):
        return self.status == "right"


def wrong(name, formula, broken, diagnosis=(), names=()):
    """The Verdict on a function that breaks a law"""
    rows = [
        {"of": of, "yours": as_lists(yours), "true": as_lists(true)}
        for of, yours, true in broken.rows
    ]
    given = {name: as_lists(value) for name, value in broken.given.items()}
    return Verdict(
        name, "wrong", "", formula, given, rows, broken.message, list(diagnosis), list(names)
    )


def as_lists(value):
    """Arrays as nested lists; other objects as texts"""
    if isinstance(value, str):
        return value
    if isinstance(value, Described):
        return str(value)
    return np.asarray(value).tolist()


def hinted(verdict, level):
    """The verdict with no more than the teacher wants to be seen (`HINTS`)"""
    keep = asdict(verdict)
    keep["laws"] = verdict.laws
    if level < 1:
        keep |= {"given": {}, "rows": [], "message": ""}
    if level < 2:
        keep |= {"diagnosis": [], "names": []}
    elif level < 3:
        keep["diagnosis"] = [line for line in verdict.diagnosis if not line.startswith("    ")]
    return Verdict(**keep)


@dataclass
class Report:
    """The verdicts on the functions of a file.  str(report) is what `tinyvae check FILE` prints."""

    title: str
    holes: list[Verdict]
    notes: list[str] = field(default_factory=list)
    file: str = ""
    exercise: int | None = None
    seed: int = 0

    @property
    def right(self):
        return all(hole.status == "right" for hole in self.holes)

    @property
    def status(self):
        """The exit status: 0 all right, 1 wrong or to do, 2 nothing could be judged"""
        if self.right:
            return 0
        return 2 if all(hole.status == "cannot" for hole in self.holes) else 1

    def __str__(self):
        return "\n".join(lines(self))

    def as_json(self):
        """One JSON object; numbers that JSON does not know are strings: "nan", "inf" """
        return json.dumps(plain({"right": self.right, **asdict(self)}), allow_nan=False)

    @classmethod
    def from_dict(cls, found):
        """The report that `as_json` wrote"""
        names = {entry.name for entry in fields(cls)}
        found = {name: value for name, value in found.items() if name in names}
        holes = [
            Verdict(**{**hole, "laws": [LawVerdict(**law) for law in hole["laws"]]})
            for hole in found["holes"]
        ]
        return cls(**{**found, "holes": holes})


def plain(value):
    """What JSON can hold"""
    if isinstance(value, dict):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    if isinstance(value, (float, np.floating)) and not np.isfinite(value):
        return str(float(value))
    if isinstance(value, complex):
        return str(value)
    return value


# ---- printing ------------------------------------------------------------------------------------


def lines(report):
    """What is printed of a report"""
    yield report.title
    yield ""
    width = max((len(hole.name) for hole in report.holes), default=0)
    for hole in report.holes:
        what = hole.note or hole.law or ("see below" if hole.message else "")
        yield f"  {hole.status:7}{hole.name:{width}}  {what}".rstrip()
    for hole in report.holes:
        if hole.status in ("wrong", "cannot") and not hole.note:
            yield from details(hole)
    yield ""
    yield summary(report.holes)
    for note in report.notes:
        yield from textwrap.wrap(f"Note: {note}", WIDTH, break_long_words=False)


def summary(holes):
    """ "All right." or "1 wrong, 2 to do." """
    if all(hole.right for hole in holes):
        return "All right."
    count = {status: sum(hole.status == status for hole in holes) for status in WORDS}
    return ", ".join(f"{n} {WORDS[status]}" for status, n in count.items() if n) + "."


def details(hole):
    """The smallest case of a function that is wrong, or why there is no verdict"""
    if not (hole.given or hole.rows or hole.message or hole.diagnosis):
        return
    yield ""
    if hole.status == "cannot":
        yield f"{hole.name} has no verdict"
    else:
        yield f"{hole.name} breaks  {hole.law}" if hole.law else f"{hole.name} is wrong"
    yield ""
    yield from case_table(hole.given, hole.rows)
    if hole.message:
        yield from ("  " + line for line in textwrap.wrap(hole.message, WIDTH - 2))
    if hole.diagnosis:
        yield ""
        for line in hole.diagnosis:
            yield f"  {line}"


def case_table(given, rows):
    """given  mu = [0] / yours  kl = 1 / true  kl = 2, one below the other"""
    table = [("given", name, value) for name, value in given.items()]
    for row in rows:
        table += [("yours", row["of"], row["yours"]), ("true", row["of"], row["true"])]
    width = max((len(name) for _, name, _ in table), default=0)
    last = None
    for word, name, value in table:
        yield f"  {word if word != last else '':7}{name:{width}} = {shown(value)}"
        last = word


def shown(value, digits=7):
    """[[1, 0], [0.5, 2]] for nested lists of numbers

    >>> shown([[1.0, -0.0], [0.1234567891, 2.0]])
    '[[1, 0], [0.1234568, 2]]'
    """
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(shown(entry, digits) for entry in value) + "]"
    if isinstance(value, str):
        return escape(value)
    if isinstance(value, complex):
        return f"{value:.{digits}g}"
    return f"{value:.{digits}g}" if abs(value) > 1e-9 or value != value else "0"
