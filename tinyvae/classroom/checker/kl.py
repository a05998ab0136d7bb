"""Is this KL between Gaussians right?  A verdict, the smallest failing case, the mistake's name.

    $ tinyvae check kl mine.py:my_kl

    >>> report = check_kl(lambda mu, logvar: 0.5 * (mu**2 + np.exp(logvar) - 1 - logvar).sum(-1))
    >>> report.right
    True

``run_file`` and the command run the file in a child process (`sandbox`); `check_kl` and `kl_laws`
call a function right here.
"""

import argparse
import functools
import json
import sys
import textwrap
import time
import warnings
from dataclasses import asdict, dataclass, field

import numpy as np

from tinyvae.classroom.checker import sandbox
from tinyvae.classroom.checker.adapter import (
    SIGNATURES,
    CannotRun,
    NotNumbers,
    Raised,
    as_array,
    guess,
    plain_pairs,
    probe,
)

EXAMPLES = 30  # cases a law
SECONDS = (
    5.0  # that a slow function itself may use, over all laws; at least 3 cases a law are tried
)
SHRINKING = 1.5  # seconds of work that the search for the smallest case may take


@dataclass
class Verdict:
    """One law: "ok", "wrong", or "-" for not judged, and why"""

    name: str
    formula: str
    status: str
    note: str = ""


@dataclass
class Report:
    """What `check_kl` found.  str(report) is what `tinyvae check kl` prints.

    right      True if no law is broken
    laws       a Verdict for each law
    broken     the first law that is broken, and what its case showed (`says`)
    case       the smallest case that breaks it: the function's own arguments by name
    rows       what the function gave there: {"of", "given", "true"}
    got, true  the first of these rows
    diagnosis  lines that say what the mistake is; names: the museum's entries that agree
    accuracy   of a right function: the worst relative error on random pairs, and where
    """

    function: str
    takes: str
    right: bool = True
    laws: list[Verdict] = field(default_factory=list)
    broken: str = ""
    says: str = ""
    case: dict = field(default_factory=dict)
    rows: list[dict] = field(default_factory=list)
    got: float | None = None
    true: float | None = None
    diagnosis: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    accuracy: dict = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    seed: int = 0
    examples: int = EXAMPLES

    def __str__(self):
        return "\n".join(_lines(self))

    def as_json(self):
        """One JSON object; numbers that JSON does not know are strings: "nan", "inf" """
        return json.dumps(_plain(asdict(self)), allow_nan=False)

    @classmethod
    def from_dict(cls, fields):
        report = cls(**fields)
        report.laws = [Verdict(**law) for law in report.laws]
        return report


# ---- judging -------------------------------------------------------------------------------------


def check_kl(f, signature=None, std=False, *, seed=0, examples=EXAMPLES):
    """Try f on every law of the KL and say what is wrong with it.

    f           kl(mean_q, cov_q, mean_p, cov_p), kl(mu_q, logvar_q, mu_p, logvar_p) or
                kl(mu, logvar), one pair or a batch; NumPy, PyTorch or JAX
    signature   "full", "diagonal" or "standard-normal"; guessed from the parameters' names
    std         the scale arguments are standard deviations, not log-variances

    Returns a Report.  Raises CannotRun, a ValueError, with one sentence if f cannot be judged.
    """
    form = guess(f, signature, std)
    if examples < 3:
        raise CannotRun(f"examples must be at least 3, not {examples}: fewer prove nothing")
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        subject = probe(f, form)
        return _judge(subject, seed, examples)


def kl_laws(f, signature=None, std=False, **options):
    """A test for pytest, which fails with the report:  test_my_kl = kl_laws(my_kl)"""

    def test():
        __tracebackhide__ = True
        report = check_kl(f, signature, std, **options)
        if not report.right:  # not an assert, which python -O leaves out
            raise AssertionError(f"\n{report}")

    test.__name__ = f"test_{getattr(f, '__name__', 'kl')}"
    test.__doc__ = "The laws of the KL between Gaussians."
    return test


def _judge(subject, seed, examples):
    from tinyvae.classroom.checker import diagnosis
    from tinyvae.classroom.checker import kl_laws as laws

    form = subject.form
    report = Report(_name(subject), _takes(subject), seed=seed, examples=examples)
    first = None
    for law in laws.LAWS:
        if form.signature not in law.signatures:
            continue
        verdict = Verdict(law.name, law.formula, "ok")
        report.laws.append(verdict)
        if first and first[0].name in FIRST and "it raised" not in first[1].says:
            verdict.status, verdict.note = "-", f"not judged without: {first[0].name}"
        elif law.batch and not subject.per_example:
            verdict.status, verdict.note = _reduction(subject)
            if verdict.status == "wrong" and not first:
                first = law, laws.Broken(_one_pair(subject), says=verdict.note)
        elif subject.only_1d and law.name in ONLY_BEYOND_1D:
            verdict.status, verdict.note = "-", "it takes plain numbers: one dimension only"
        else:
            broken = search(law, subject, seed, examples)
            if broken:
                verdict.status = "wrong"
                first = first or (law, broken)
    report.right = first is None
    report.notes = _notes(subject, report)
    if report.right:
        error, pair, true = diagnosis.accuracy(subject, form, seed)
        where = _case(form, pair) if pair else {}
        report.accuracy = {"relative_error": error, "case": where, "true": true}
        return report

    law, broken = first
    if law.name != "batch" or subject.per_example:
        broken = smallest(law, subject, seed, examples) or broken
    report.broken, report.says = law.name, broken.says
    report.case = _case(form, broken.pair)
    report.rows = [
        {"of": of, "given": float(given), "true": float(true)} for of, given, true in broken.rows
    ]
    if report.rows:
        report.got, report.true = report.rows[0]["given"], report.rows[0]["true"]
    found = _diagnosis(subject, law, broken, seed)
    report.diagnosis, report.names = list(found.says), list(found.names)
    return report


FIRST = ("one number", "same answer twice")  # where these fail, nothing else can be judged
EXTREME = ("extremes", "many dimensions")
ONLY_BEYOND_1D = ("additive over blocks", "order of coordinates", "batch", "many dimensions")


def _diagnosis(subject, law, broken, seed):
    from tinyvae.classroom.checker import diagnosis

    if law.name == "one number" and "it raised" not in broken.says:
        return diagnosis.Diagnosis((_sentence(broken.says),))
    if law.name == "same answer twice":
        return diagnosis.Diagnosis(
            ("Its answer is random, or depends on earlier calls: no law can be judged.",)
        )
    found = diagnosis.diagnose(subject, seed)
    if found:
        return found
    if "it raised" in broken.says and law.name not in EXTREME:
        return diagnosis.Diagnosis(("Where it gives an answer, the answer is right.",))
    if not law.values:
        return diagnosis.Diagnosis(("Its values are right: this is about its manners.",))
    if law.name in EXTREME:
        named = diagnosis.museum_in_high_dimension(subject, broken.pair)
        right = "Its values are right on ordinary pairs."
        if named:
            return diagnosis.Diagnosis((right, *named.says), named.names)
        return diagnosis.Diagnosis((right + " It fails on extreme ones, like this.",))
    return diagnosis.Diagnosis(
        ("Its values are right on random pairs: the mistake shows in special cases, like this.",)
    )


def search(law, subject, seed, examples):
    """The first case that breaks the law, as laws.Broken; None if there is none.

    A function that is slow itself gets fewer cases, never fewer than three.
    """
    from tinyvae.classroom.checker import kl_laws as laws

    spent, budget = 0.0, SECONDS / len(laws.LAWS)
    for tried, case in enumerate(cases(law.draw, subject.form, seed, examples)):
        if subject.only_1d and laws.dimension(case) > 1:
            continue
        if spent > budget and tried >= 3:
            return None
        start = time.thread_time()
        try:
            laws.unhurt(law, subject, case)
        except laws.Broken as broken:
            return broken
        spent += time.thread_time() - start
    return None


@functools.lru_cache(maxsize=64)
def cases(draw, form, seed, examples):
    """The cases that Hypothesis draws first from this seed; most laws share theirs"""
    drawn = []
    _hypothesis(lambda case: drawn.append(case), draw(form), seed, examples, shrink=False)
    return drawn


def smallest(law, subject, seed, examples):
    """The smallest case that breaks the law, as laws.Broken: few dimensions first, then few and
    simple numbers.  None if the time is too short.
    """
    from tinyvae.classroom.checker import kl_laws as laws

    ends = time.thread_time() + SHRINKING
    known = {}  # Hypothesis asks again, and must hear the same

    def attempt(case):
        if subject.only_1d and laws.dimension(case) > 1:
            return
        key = _bytes(case)
        if key not in known:
            known[key] = None
            if time.thread_time() < ends:
                try:
                    laws.unhurt(law, subject, case)
                except laws.Broken as broken:
                    known[key] = broken
        if known[key]:
            raise known[key]

    for largest in range(1, laws.LARGEST + 1):
        try:
            _hypothesis(attempt, law.cases(subject.form, largest), seed, examples, shrink=True)
        except laws.Broken as broken:
            return broken
    return None


def _bytes(case):
    """What tells one case from another"""
    if isinstance(case, np.ndarray):
        return case.tobytes()
    return b"|".join(_bytes(part) for part in case)


def _hypothesis(attempt, strategy, seed, examples, shrink):
    """Run `attempt` on what the strategy draws: silent, from a seed, remembering nothing"""
    import hypothesis
    from hypothesis import HealthCheck, Phase, Verbosity

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=examples,
        phases=[Phase.generate, Phase.shrink] if shrink else [Phase.generate],
        database=None,
        deadline=None,
        derandomize=False,
        report_multiple_bugs=False,
        print_blob=False,
        verbosity=Verbosity.quiet,
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(strategy)
    def quietly(case):
        attempt(case)

    quietly()


# ---- what else is worth saying -------------------------------------------------------------------


def _name(subject):
    return f"{subject.f.shown_name}({', '.join(subject.form.names)})"


def _takes(subject):
    precision = "double" if subject.eps < 1e-10 else "single" if subject.eps < 1e-4 else "half"
    guessed = " (guessed from the names)" if subject.form.guessed else ""
    return f"{subject.form}{guessed}; {subject.hand}, {precision} precision"


def _one_pair(subject):
    from tinyvae.classroom.checker.kl_laws import Pair

    pairs = plain_pairs(subject.form, 1 if subject.only_1d else 3)
    return Pair(*(array[0] for array in pairs))


def _reduction(subject):
    """What a function does with a batch that does not give one number an example"""
    if subject.only_1d:
        return "-", "it takes plain numbers, one pair at a time"
    pairs = plain_pairs(subject.form)
    count = len(pairs[0])
    try:
        together = as_array(subject.answer(subject.arguments(*pairs))).astype(np.float64)
        alone = [subject(*(array[i] for array in pairs)) for i in range(count)]
    except (Raised, NotNumbers):
        return "-", "it takes one pair at a time"
    if together.size == 1:
        total = float(together.reshape(()))
        for word, value in (("sum", np.sum(alone)), ("mean", np.mean(alone))):
            if abs(total - value) <= 1e-6 * abs(value):
                return "-", f"it gives one number for a batch: the {word} over the batch"
        if subject.only_batches:
            return (
                "wrong",
                "it gives one number for a batch, neither the sum nor the mean of its KLs",
            )
    elif count in together.shape:
        return (
            "wrong",
            f"it gave shape {together.shape} for a batch of {count}: ({count},) is meant",
        )
    else:
        return "-", f"it takes one pair at a time: a batch of {count} gives shape {together.shape}"
    return "-", "it takes one pair at a time"


def _notes(subject, report):
    notes = []
    if subject.only_1d:
        notes.append("It takes plain numbers, so it was judged in one dimension only.")
    for law in report.laws:
        if law.name == "batch" and "over the batch" in law.note:
            notes.append(_sentence(law.note) + " One number an example is what most callers need.")
    if subject.form.order not in ((0, 1), (0, 1, 2, 3)):
        notes.append("The order of the arguments was read off their names.")
    return notes


def _sentence(text):
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "?")) else ".")


def _case(form, pair):
    """The function's own arguments for this pair, as nested lists; large ones in words"""
    return {
        name: _in_words(value)
        for name, value in zip(form.names, form.arguments(*pair), strict=True)
    }


def _in_words(array):
    """Nested lists of rounded numbers, or "300 times 1", "0.01 on the diagonal (300, 300)" """
    array = np.asarray(array)
    if len(array) <= 8:
        return np.vectorize(lambda x: float(f"{x:.12g}"))(array).tolist()
    entries = np.diagonal(array) if array.ndim == 2 else array
    if np.all(entries == entries[0]):
        k = len(entries)
        number = _number(entries[0])
        return f"{number} I, {k} x {k}" if array.ndim == 2 else f"{k} times {number}"
    return array.tolist()


# ---- printing ------------------------------------------------------------------------------------


def _lines(report):
    yield f"{report.function}"
    for line in report.takes.split("; "):
        yield f"    {line}"
    yield ""
    width = max(len(law.name) for law in report.laws)
    skipped = [law for law in report.laws if law.note.startswith("not judged")]
    for law in report.laws:
        if law not in skipped:
            yield f"  {law.status:5}  {law.name:{width}}  {law.note or law.formula}"
    if skipped:
        yield f"  {'-':5}  {len(skipped)} more laws: {skipped[0].note}"
    yield ""
    wrong = sum(law.status == "wrong" for law in report.laws)
    judged = sum(law.status != "-" for law in report.laws)
    if report.right:
        yield f"Right: all {judged} laws hold, up to {report.examples} cases each."
        accuracy = report.accuracy
        if accuracy.get("case"):
            error, true = accuracy["relative_error"], accuracy["true"]
            yield f"Worst relative error {error:.1g}, where KL = {true:.4g}."
        else:
            yield "Exact to the last digit on random pairs."
    else:
        yield f'Wrong: {wrong} of {judged} laws broken.  The smallest case for "{report.broken}":'
        yield ""
        widest = max(map(len, report.case), default=0)
        for name, value in report.case.items():
            yield f"    {name:{widest}} = {_shown(value)}"
        says = report.says if _sentence(report.says) not in report.diagnosis else ""
        if report.rows or says:
            yield ""
        widest = max((len(row["of"]) for row in report.rows), default=0)
        numbers = [(_number(row["given"]), _number(row["true"])) for row in report.rows]
        column = max((len(given) for given, _ in numbers), default=0)
        for row, (given, true) in zip(report.rows, numbers, strict=True):
            yield f"    {row['of']:{widest}}   yours {given:>{column}}   true {true}"
        if says:
            yield f"    {says}"
        yield ""
        yield from report.diagnosis
    if report.notes:
        yield ""
        for note in report.notes:
            yield from textwrap.wrap(f"Note: {note}", 100)


def _number(x):
    return f"{x:.7g}"


def _shown(value):
    """[[1, 0], [0, 2]] for nested lists"""
    if isinstance(value, list):
        return "[" + ", ".join(_shown(entry) for entry in value) + "]"
    return value if isinstance(value, str) else f"{value:.6g}"


def _plain(value):
    """What JSON can hold"""
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    if isinstance(value, float) and not np.isfinite(value):
        return str(value)
    return value


# ---- a file --------------------------------------------------------------------------------------


def run_file(
    path,
    function=None,
    *,
    signature=None,
    std=False,
    seed=0,
    examples=EXAMPLES,
    timeout=sandbox.TIMEOUT,
    limit=sandbox.LIMIT,
):
    """check_kl for a function in a file, in a child process.  CannotRun if there is no verdict."""
    with sandbox.open_file(path, seed=seed, timeout=timeout, limit=limit) as file:
        f = sandbox.choose_function(file, function)
        report = check_kl(f, signature, std, seed=seed, examples=examples)
        report.notes += file.notes()
    return report


def main(
    path,
    function=None,
    *,
    signature=None,
    std=False,
    json=False,
    seed=0,
    examples=EXAMPLES,
    timeout=sandbox.TIMEOUT,
    limit=sandbox.LIMIT,
    hints=None,
):
    """Judge the function, print the report.  Returns the exit status:

    0 right, 1 wrong, 2 could not be run, with one sentence on stderr.
    """
    try:
        report = run_file(
            path,
            function,
            signature=signature,
            std=std,
            seed=seed,
            examples=examples,
            timeout=timeout,
            limit=limit,
        )
    except CannotRun as reason:
        print(f"tinyvae check kl: {reason}", file=sys.stderr)
        return 2
    text = report.as_json() if json else str(report)
    print(text.encode("ascii", "backslashreplace").decode())
    return 0 if report.right else 1


def arguments(parser):
    """Add what `tinyvae check kl` takes to a parser; `run` does what it says."""
    parser.add_argument("target", metavar="FILE.py[:function]", help="where the KL is")
    parser.add_argument("--signature", choices=sorted(SIGNATURES), help="what the KL takes")
    parser.add_argument(
        "--std", action="store_true", help="scales are standard deviations, not log-variances"
    )
    parser.add_argument(
        "--examples", type=int, default=EXAMPLES, help="cases for each law (%(default)s)"
    )
    sandbox.arguments(parser)
    return parser


def run(args):
    """`tinyvae check kl` with parsed arguments.  Returns the exit status."""
    try:
        path, function = sandbox.split(args.target)
    except CannotRun as reason:
        print(f"tinyvae check kl: {reason}", file=sys.stderr)
        return 2
    return main(
        path,
        function,
        signature=args.signature,
        std=args.std,
        examples=args.examples,
        **sandbox.options(args),
    )


if __name__ == "__main__":
    sys.exit(run(arguments(argparse.ArgumentParser("tinyvae check kl")).parse_args()))
