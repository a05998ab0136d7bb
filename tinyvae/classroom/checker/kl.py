"""Is this KL between Gaussians right?  Under which reading, and if not: the mistake, by name.

    $ tinyvae check kl mine.py:my_kl

    >>> report = check_kl(lambda mu, logvar: 0.5 * (mu**2 + np.exp(logvar) - 1 - logvar).sum(-1))
    >>> report.right
    True
    >>> print(report.verdict)
    Right: KL(q || N(0, I)), with logvar as log-variances; one number an example.

The reading of the arguments is found by trying (`readings`), the laws are in `kl_laws`, the name
of a mistake comes from `diagnosis`.  `check_kl` and `kl_laws` call a function right here; the
command runs the file in a child process (`sandbox`).
"""

import argparse
import functools
import json
import sys
import textwrap
from dataclasses import asdict, dataclass, field, replace

import numpy as np

from tinyvae.classroom.checker import engine, sandbox
from tinyvae.classroom.checker import readings as rd
from tinyvae.classroom.checker.engine import LawVerdict
from tinyvae.classroom.checker.function import CannotRun, Function, LocalFunction, Parameter

EXAMPLES = 30  # cases a law
SECONDS = 5.0  # that a slow function itself may use, over all laws
WIDTH = 95  # columns of what is printed
SIGNATURES = ("diagonal", "full", "standard-normal")
SCALES = (*rd.VECTOR_SCALES, "cov", "cholesky", "covariance", "variance")


@dataclass
class Report:
    """What `check_kl` found.  str(report) is what `tinyvae check kl` prints.

    right      True if the function is right for ordinary input
    verdict    the verdict in a sentence, with the reading under which it is so
    limits     where a right function fails: extremes that overflow, lose digits, ...
    laws       a LawVerdict for each law
    broken     the law whose case is shown, and what the case showed (`message`)
    case       the smallest case that breaks it: the function's own arguments by name
    rows       what the function gave there: {"of", "given", "true"}
    got, true  the first of these rows
    diagnosis  lines that say what the mistake is; names: the museum's entries that agree
    accuracy   of a right function: the worst relative error on random pairs, and where
    """

    function: str
    takes: str
    right: bool = True
    verdict: str = ""
    limits: list[str] = field(default_factory=list)
    laws: list[LawVerdict] = field(default_factory=list)
    broken: str = ""
    message: str = ""
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
        return json.dumps(engine.plain(asdict(self)), allow_nan=False)

    @property
    def says(self):
        """The message"""
        return self.message

    @classmethod
    def from_dict(cls, fields):
        """The report that `as_json` or `asdict` made"""
        report = cls(**fields)
        report.laws = [LawVerdict(**law) for law in report.laws]
        return report


# ---- judging -------------------------------------------------------------------------------------


def check_kl(
    f,
    signature=None,
    std=False,
    *,
    scale=None,
    order=None,
    q=None,
    seed=0,
    examples=EXAMPLES,
):
    """Try f on every law of the KL between Gaussians.    ->  Report

    f           a function of the parameters of one or two Gaussians, one pair or a batch; NumPy,
                PyTorch or JAX.  What its arguments and its answer are is found by trying.

    Each of these overrules one thing, and nothing else:

    signature   "full", "diagonal" or "standard-normal"
    std         the scale arguments are standard deviations: scale="std"
    scale       what they are: "logvar", "std", "var", "logstd", "precision", "cov", "cholesky"
    order       what each argument is: "mean_q, mean_p, scale_q, scale_p"
    q           which Gaussian is q, the first or the second: "first", "second"

    Raises CannotRun, a ValueError, with one sentence if f cannot be judged.
    """
    function = f if isinstance(f, Function) else LocalFunction(f)
    return judge(
        function,
        signature=signature,
        std=std,
        scale=scale,
        order=order,
        q=q,
        seed=seed,
        examples=examples,
    )


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


def judge(
    function,
    *,
    signature=None,
    std=False,
    scale=None,
    order=None,
    q=None,
    seed=0,
    examples=EXAMPLES,
    source=None,
):
    """`check_kl` for a `Function`, wherever it runs; source: the text of its file"""
    if examples < 3:
        raise CannotRun(f"examples must be at least 3, not {examples}: fewer prove nothing")
    if signature is not None and signature not in SIGNATURES:
        raise CannotRun(f"the signature is {' or '.join(SIGNATURES)}, not {signature!r}")
    if std:
        if signature == "full":
            raise CannotRun("std goes with the signatures diagonal and standard-normal, not full")
        scale = scale or "std"
    if scale is not None and scale not in SCALES:
        raise CannotRun(f"the scale is one of {', '.join(SCALES)}, not {scale!r}")
    if q not in (None, "first", "second"):
        raise CannotRun(f"q is the first or the second Gaussian, not {q!r}")
    scale = {"covariance": "cov", "variance": "var"}.get(scale, scale)
    with np.errstate(all="ignore"):
        found = rd.find(
            _caller(function),
            _about(function, source),
            scale=scale,
            order=order,
            q=q,
            signature=signature,
            seed=seed,
        )
        return _Judge(function, found, seed, examples).report()


def _caller(function):
    """What `readings.find` calls: the tree of an answer, or Failure"""

    def call(arguments, library):
        outcome = function.call(arguments, library=library)
        if outcome.error:
            raise rd.Failure(outcome.error)
        return outcome.value

    return call


def _about(function, source=None):
    parameters = function.parameters
    if parameters is None or any(p.variadic == "*" for p in parameters):
        parameters = tuple(Parameter(f"argument_{i}", i < 2) for i in range(4))
    for p in parameters:
        if p.keyword_only and p.required:
            raise CannotRun(
                f"{function.shown_name} needs the keyword argument {p.name!r}: give it a default"
            )
    positional = [p for p in parameters if not p.keyword_only and not p.variadic]
    usable = []
    for p in positional:
        if not p.required and isinstance(p.default, (str, bool)):
            break
        usable.append((p.name, not p.required))
    required = sum(p.required for p in positional)
    shown = f"{function.shown_name}({', '.join(p.name for p in positional)})"
    if not usable or required > 6:
        raise CannotRun(
            f"{shown} takes {required} arguments: a KL takes 1 to 6, as in kl(mu, logvar)"
        )
    if source is None:
        source = _source_of(function)
    libraries = [name for name in function.libraries if name != "python"] or ["numpy"]
    return rd.about(source, function.name.rsplit(".", 1)[-1], usable, libraries, function.doc)


def _source_of(function):
    path = getattr(function, "path", None)
    path = path or getattr(getattr(function, "file", None), "path", None)
    return source_of(path) if path else ""


FIRST = ("one number", "same answer twice")  # where these fail, nothing else can be judged
EXTREME = ("extremes", "both extreme", "many dimensions")
ONLY_BEYOND_1D = ("additive over blocks", "order of coordinates", "batch", "many dimensions")
# Laws whose cases are simple numbers, so that they can be checked by hand: shown first.
BY_HAND = ("arguments untouched", "zero at equality", "the definition", "sum over coordinates",
           "batch", "gradient")  # fmt: skip


class _Judge:
    """What is known of one function while it is judged"""

    def __init__(self, function, found, seed, examples):
        self.function, self.found, self.seed, self.examples = function, found, seed, examples
        self.reading, self.subject = found.right, None

    def report(self):
        """The Report"""
        from tinyvae.classroom.checker import diagnosis
        from tinyvae.classroom.checker import kl_laws as laws

        self.laws, self.diagnosis = laws, diagnosis
        if self.reading is None:
            estimate = diagnosis.estimate(_caller(self.function), self.found, self.seed)
            if estimate:
                return self._of_estimate(estimate)
        explained = None
        if self.reading is None:
            if not self.found.trials:
                raise CannotRun(self._nothing_answered())
            explained = diagnosis.diagnose(_caller(self.function), self.found, self.seed)
            self.reading = explained.reading
        self.subject = laws.Subject(self.function, self.reading)
        self.subject.eps = self._eps()
        told = self.told()
        if self.found.against:  # the case to show is one of what the names say
            named = rd.as_named(self.reading, self.found.names, self.found.said)
            eps, self.subject = self.subject.eps, laws.Subject(self.function, named)
            self.reading, self.subject.eps = named, eps
        report = Report(self._name(), self._takes(), seed=self.seed, examples=self.examples)
        if explained is None and not self.found.against:
            self._try_laws(report)
            if report.right:
                return self._right(report)
            explained = self._explain_breach(report)
        else:
            self._try_laws(report)
            if explained is None:
                explained = self._against(told)
        return self._wrong(report, explained)

    # ---- the laws

    def _try_laws(self, report):
        laws, subject = self.laws, self.subject
        self.breaches = {}
        for law in laws.LAWS:
            if subject.form.signature not in law.signatures:
                continue
            verdict = LawVerdict(law.name, law.formula, "ok")
            report.laws.append(verdict)
            reason = self._not_judged(law)
            if reason:
                verdict.status, verdict.note = "-", reason
                continue
            if law.batch and self.found.batch and not subject.takes_batches:
                verdict.status, verdict.note = self._batch_alone()
                if verdict.status == "wrong":
                    pair = laws.plain_pair(subject.form, 1)
                    self.breaches[law.name] = (law, laws.Broken(pair, message=verdict.note))
                continue
            broken = search(law, subject, self.seed, self.examples)
            if broken is None:
                continue
            if law.told or (law.name in EXTREME and broken.kind in ("not finite", "digits")):
                verdict.status = "told"
                report.limits.append(self._limit(law, broken))
                continue
            verdict.status = "wrong"
            self.breaches[law.name] = (law, broken)
        report.limits = list(dict.fromkeys(filter(None, report.limits)))
        report.right = not self.breaches and not self.found.against

    def _not_judged(self, law):
        subject = self.subject
        if any(name in self.breaches for name in FIRST):
            return f"not judged without: {next(n for n in FIRST if n in self.breaches)}"
        if subject.only_1d and law.name in ONLY_BEYOND_1D:
            return "it takes plain numbers: one dimension only"
        if law.name == "gradient":
            if subject.reading.library not in ("torch", "jax"):
                return "NumPy: there is no gradient to check"
            if any(isinstance(step, int) for step in subject.reading.path[1:]):
                return "the answer is part of an array: its gradient is not checked"
        if subject.reading.prior in ("shared scale", "unit variances") and law.name == "limits":
            return "both Gaussians have one scale"
        if law.batch and not subject.takes_batches and not self.found.batch:
            return "it takes one pair at a time"
        fixed = subject._fixed()
        if fixed and (law.name == "many dimensions" or (law.name in ONLY_BEYOND_1D and fixed < 4)):
            return f"it takes {fixed} dimensions only"
        if subject.reading.target != "kl" and law.name == "batch":
            return "a draw z is an argument"
        return ""

    def _batch_alone(self):
        """What a function of one pair at a time does with a batch: (status, note)"""
        found, reading = self.found, self.subject.reading
        if found.batch == "scalar":
            return "-", "it takes one pair at a time"
        if reading.diagonal:
            if found.batch == "raises":
                return "wrong", f"for a batch it {found.batch_text}"
            return "wrong", (
                "for a batch it gives neither one number an example, nor their sum or mean"
            )
        if found.batch == "raises":
            return "-", "it takes one pair at a time: it raises for a batch"
        shape = self._batch_shape()
        if shape and shape[0] == 5 and np.prod(shape) == 5:
            return "wrong", "a batch gives other numbers than its pairs one by one"
        return "-", f"it takes one pair at a time: a batch of 5 gives shape {shape}"

    def _batch_shape(self):
        for trial in self.found.trials:
            if trial.layout == "batch" and trial.pattern == self.subject.reading.pattern:
                leaves = trial.seen[0][1]
                return leaves.get(self.subject.reading.path, next(iter(leaves.values()))).shape
        return ()

    def _limit(self, law, broken):
        """Where a right function fails, in a few words"""
        if law.name == "many dimensions":
            k = broken.pair.k
            return f"in {k} dimensions it gives {_number(broken.rows[0][1])}"
        where = self._where_it_fails()
        if broken.kind == "raised" or broken.message.startswith("it raised"):
            what = broken.message
        elif broken.kind == "digits":
            what = "it loses digits far from the origin"
        elif broken.kind == "not finite":
            what = "it overflows"
        elif law.told:
            what = "it is off where p is as narrow or as wide"
        else:
            what = "it is off"
        return f"{what} {where}".strip()

    def _where_it_fails(self):
        """ "from logvar = 89": q's scale, as the user has it, where a value goes wrong first"""
        low, high = self.range()
        words = []
        if low is not None:
            words.append(f"below {self._scale_name()} = {low:.3g}")
        if high is not None:
            words.append(f"from {self._scale_name()} = {high:.3g}")
        return " and ".join(words)

    def _scale_name(self):
        for name, (whose, what) in zip(
            self.subject.reading.names, self.subject.reading.roles, strict=True
        ):
            if whose in ("q", "both") and what in rd.ALL_VECTOR_SCALES:
                return name
        return "the variance"

    def range(self):
        """(low, high) of q's scale, in the user's parameter, beyond which a value is not right"""
        subject, laws = self.subject, self.laws
        kind = next((k for k in subject.reading.scales if k in rd.ALL_VECTOR_SCALES), "var")

        def right(log_variance):
            cov = np.array([[np.exp(log_variance)]])
            pair = subject.form.restrict(laws.Pair(np.zeros(1), cov, np.zeros(1), np.eye(1)))
            true = laws._sum_over_coordinates(pair)
            try:
                value = subject(*pair)
            except (laws.Raised, laws.NotNumbers):
                return False
            return abs(value - true) <= max(laws.rounding(pair, subject.eps), 1e-6 * true)

        found = []
        for sign in (-1, 1):
            bad = next((x for x in (20, 40, 60, 90, 200, 600) if not right(sign * x)), None)
            if bad is None:
                found.append(None)
                continue
            good = 0.0
            for _ in range(20):
                middle = (good + bad) / 2
                good, bad = (middle, bad) if right(sign * middle) else (good, middle)
            cov = np.array([[[np.exp(sign * bad)]]])
            found.append(float(rd.FROM_COVARIANCE[kind](cov).reshape(())))
        return tuple(found)

    # ---- what is right

    def _right(self, report):
        from tinyvae.classroom.checker import diagnosis

        subject = self.subject
        worst = self._accuracy()
        report.accuracy = {
            "relative_error": worst[0],
            "case": self._case(worst[1]) if worst[1] else {},
            "true": worst[2],
        }
        if subject.eps > 1e-10:
            _, high = self.range()
            if high is not None and not any("from" in limit for limit in report.limits):
                report.limits.append(f"it overflows from {self._scale_name()} = {high:.3g}")
        ordinary = " for ordinary input" if report.limits else ""
        report.verdict = f"Right{ordinary}: {self.told()}."
        if report.limits:
            named = diagnosis.at_the_limit(report.limits, subject)
            if named:
                report.names = [named[0]]
                report.diagnosis = list(named[1])
        report.notes += self._notes()
        return report

    def told(self):
        """The reading in words: KL(1 || 2), with sig1 and sig2 as standard deviations; ..."""
        reading = self.subject.reading
        parts = []
        q, p = rd.gaussian_names(reading)
        kl = f"KL({q} || {p})"
        if reading.target != "kl":
            kl = f"a one-sample estimate at {self._named('sample')}, whose mean is {kl}"
        kinds = {}
        for name, (_, what) in zip(reading.names, reading.roles, strict=True):
            if what in rd.IN_WORDS and what not in ("mean", "sample"):
                kinds.setdefault(what, []).append(name)
        words = [f"{_listed(names)} as {rd.IN_WORDS[kind]}" for kind, names in kinds.items()]
        parts.append(kl + (f", with {_listed(words)}" if words else ""))
        parts.append(rd.ANSWERS.get(reading.answer, "one number an example"))
        if reading.layout in ("one", "number", "column", "list"):
            parts[-1] = {
                "one": "one pair at a time",
                "number": "one dimension, plain numbers",
                "column": "one pair at a time, means as columns",
                "list": "one pair at a time, as lists",
            }[reading.layout]
            if reading.answer == "coordinate":
                parts.append(rd.ANSWERS["coordinate"])
        if reading.layout in ("image", "sequence"):
            parts.append(rd.LAYOUTS[reading.layout])
        if reading.size:
            parts.append(f"{reading.size} dimensions only")
        if reading.path:
            parts.append(f"in {''.join(f'[{step!r}]' for step in reading.path)} of what it returns")
        extra = {
            "unit variance": "p has unit variance",
            "unit variances": "both have unit variance",
            "shared scale": "both have the same scale",
            "zero prior mean": "p has mean 0",
            "mean of q left to z": "the mean of log q(z) is taken in closed form",
        }
        if reading.prior in extra:
            parts.append(extra[reading.prior])
        return "; ".join(parts)

    def _named(self, what):
        reading = self.subject.reading
        return next(n for n, (_, w) in zip(reading.names, reading.roles, strict=True) if w == what)

    def _notes(self):
        reading, notes = self.subject.reading, []
        if reading.layout == "number":
            notes.append("It takes plain numbers, so it was judged in one dimension only.")
        if reading.answer in ("sum", "mean") and reading.layout == "batch":
            notes.append(f"It gives one number for a batch: the {reading.answer} over the batch.")
        if reading.answer == "column":
            notes.append("It keeps a column (B, 1): beware of (B,) + (B, 1), which is (B, B).")
        if reading.answer == "coordinate":
            notes.append("It gives one number a coordinate: the KL is their sum.")
        others = [r for r in self.found.also if r.path != reading.path]
        for other in others[:2]:
            q, p = rd.gaussian_names(other)
            where = "".join(f"[{step!r}]" for step in other.path)
            notes.append(f"{where} of what it returns is KL({q} || {p}).")
        order = [whose for whose, _ in reading.roles if whose in "qp"]
        if order and order[0] == "p":
            notes.append("The Gaussian that its arguments name first is p.")
        if self.subject.eps > 1e-10:
            notes.append("It computes in single precision.")
        return notes

    def _accuracy(self, count=24):
        """The worst relative error on random pairs with KL > 0.001: (error, pair, true)"""
        worst = (0.0, None, 0.0)
        rng = np.random.default_rng(self.seed)
        for pair in self.diagnosis.random_pairs(self.subject.form, rng, count):
            true = self.laws.truth(pair)
            if true > 1e-3:
                try:
                    error = abs(self.subject(*pair) - true) / true
                except (self.laws.Raised, self.laws.NotNumbers):
                    continue
                worst = max(worst, (float(error), pair, true), key=lambda entry: entry[0])
        return worst

    # ---- what is wrong

    def _against(self, told):
        """The diagnosis of a function that is right but for what its names say"""
        lines, names = [], []
        for sentence in self.found.against:
            lines.append(_sentence(sentence))
            if "exchanged" in sentence or "direction" in sentence:
                names.append("swapped-arguments")
        lines += self.diagnosis.entries_in_words(names)
        if not any("exchanged" in s or "direction" in s for s in self.found.against):
            lines.append(f"Its values are right so read: {told}.")
        return self.diagnosis.Diagnosis(tuple(lines), tuple(names), self.reading, "argument")

    def _explain_breach(self, report):
        """The diagnosis of a function that is right on most random input, and breaks a law"""
        first = self._shown()
        _, broken = self.breaches[first]
        diagnosis, Diagnosis = self.diagnosis, self.diagnosis.Diagnosis
        found = diagnosis.diagnose_near(self.subject, self.seed)
        if first in FIRST:
            return Diagnosis((_sentence(broken.message),), (), self.reading, "answer")
        if found:
            return found
        values = all(not self.breaches[name][0].values for name in self.breaches)
        if set(self.breaches) <= {*EXTREME, "limits"}:
            low, high = self.range()
            name = self._scale_name()
            if low is None and high is None:
                where = (
                    f"in {broken.pair.k} dimensions" if first == "many dimensions" else "far out"
                )
                return Diagnosis(
                    (f"Right for ordinary input, off {where}.",), (), self.reading, "extremes"
                )
            inside = f"{name} in [{_bound(low)}, {_bound(high)}]"
            what = diagnosis.outside(self.subject, low, high)
            return Diagnosis(
                (f"Right for {inside}, {what[0]} outside.", *what[1:],
                 *diagnosis.entries_in_words(what.names)), what.names, self.reading,
                "extremes",
            )  # fmt: skip
        if "gradient" in self.breaches and values:
            return Diagnosis(
                ("Its values are right.  Its gradient is not: "
                 + _sentence(self.breaches["gradient"][1].message),), (), self.reading, "gradient",
            )  # fmt: skip
        if "batch" in self.breaches and set(self.breaches) == {"batch"}:
            return diagnosis.diagnose_batch(self.found, self.subject, broken)
        if values:
            return Diagnosis(
                ("Its values are right in every row: this is about its manners.",), (),
                self.reading, "manners",
            )  # fmt: skip
        if "it raised" in broken.message:
            return Diagnosis(("Where it gives an answer, the answer is right.",), (), self.reading)
        return Diagnosis(
            ("Its values are right on random pairs: the mistake shows in special cases, like this.",
             *diagnosis.term_that_is_off(self.subject)), (), self.reading,
        )  # fmt: skip

    def _shown(self):
        """The name of the broken law whose case is shown"""
        for name in (*FIRST, *BY_HAND, *self.breaches):
            if name in self.breaches:
                return name
        return ""

    def _wrong(self, report, explained):
        report.right, report.limits = False, []
        if self.found.against:
            formula = "the arguments are what their names say"
            report.laws.append(LawVerdict("names", formula, "wrong", "; ".join(self.found.against)))
        report.diagnosis = list(explained.says)
        changed = self.breaches.get("arguments untouched")
        if changed:
            report.diagnosis.insert(0, _sentence(changed[1].message))
        report.names = list(explained.names)
        report.verdict = f"Wrong: {_lowered(report.diagnosis[0])}" if report.diagnosis else "Wrong."
        ordinary = set(self.breaches) and set(self.breaches) <= {"extremes", "many dimensions"}
        if ordinary and explained.term == "extremes":
            report.verdict = f"Wrong at extremes: {_lowered(explained.says[0])}"
        name = self._shown()
        if not name:
            report.broken = "names" if self.found.against else ""
            report.message = explained.says[0] if explained.says else ""
            report.case = self._case(self.laws.plain_pair(self.subject.form, 1))
            return report
        law, broken = self.breaches[name]
        if not (law.name == "batch" and not self.subject.takes_batches):
            broken = smallest(law, self.subject, self.seed, self.examples) or broken
        report.broken, report.message = law.name, broken.message
        report.case = self._batch_case(broken) if law.name == "batch" else self._case(broken.pair)
        report.rows = [
            {"of": of, "given": float(given), "true": float(true)}
            for of, given, true in broken.rows
        ]
        if report.rows:
            report.got, report.true = report.rows[0]["given"], report.rows[0]["true"]
        return report

    def _nothing_answered(self):
        name = self.function.shown_name
        failures = self.found.failures
        if not failures:
            return f"{name} cannot be read as a KL: its arguments fit no two Gaussians"
        best = min(failures.items(), key=lambda item: (item[0][1] != "one", item[0][0]))
        for key, failure in failures.items():
            if key[2] in self.function.libraries and failure.kind == "raised":
                best = key, failure
                break
        (_, _, library, _), failure = best
        called = f"{name}({', '.join(n.text for n in self.found.names)})"
        of = {"torch": "PyTorch tensors", "jax": "JAX arrays", "python": "plain numbers"}
        how = of.get(library, "NumPy arrays")
        return f"{called} {failure.did} when it was called with {how}"

    # ---- an estimate

    def _of_estimate(self, estimate):
        report = Report(
            f"{self.function.shown_name}({', '.join(estimate.reading.names)})", "",
            seed=self.seed, examples=self.examples,
        )  # fmt: skip
        self.reading = estimate.reading
        self.subject = self.laws.Subject(self.function, self.reading)
        report.takes = self._takes()
        report.right = estimate.right
        q, p = rd.gaussian_names(estimate.reading)
        rows = [{"of": "its mean", "given": estimate.mean, "true": estimate.true}]
        formula = "mean of many calls = KL(q || p), within 5 standard errors"
        status = "ok" if estimate.right else "wrong"
        report.laws = [LawVerdict("the mean of the estimate", formula, status)]
        if estimate.right:
            report.verdict = (
                f"Right: a random estimate, whose mean is KL({q} || {p}) "
                f"({estimate.mean:.4g} +- {estimate.error:.2g}, true {estimate.true:.4g})."
            )
            return report
        report.broken, report.rows = "the mean of the estimate", rows
        report.got, report.true = estimate.mean, estimate.true
        report.diagnosis = [
            f"Its answer is random, and its mean is not the KL: {estimate.mean:.4g} +- "
            f"{estimate.error:.2g}, true {estimate.true:.4g}."
        ]
        report.verdict = f"Wrong: {_lowered(report.diagnosis[0])}"
        report.case = estimate.case
        return report

    # ---- words

    def _eps(self):
        """The rounding unit that it computes in: of its answer, or coarser if it is deaf"""
        subject, laws = self.subject, self.laws
        double, single = (float(np.finfo(t).eps) for t in (np.float64, np.float32))
        pair = laws.plain_pair(subject.form, 1 if subject.only_1d else 3)
        try:
            raw = subject.at_points(subject.raw(*pair), pair)
            kinds = [k for o in subject.outcomes(raw) for k in o.kinds]
            if any(k.dtype == "bfloat16" for k in kinds):
                return 2.0**-7
            if any(k.dtype == "float16" for k in kinds):
                return 2.0**-10
            if any(k.dtype == "float32" for k in kinds):
                return single
            pair = subject.form.restrict(laws.Pair(3 * pair[0], *pair[1:]))
            before = subject(*pair)
            for part in (0, 1):
                moved = list(pair)
                moved[part] = moved[part] * (1 + 1e-10)
                if subject(*subject.form.restrict(laws.Pair(*moved))) != before:
                    return double
        except (laws.Raised, laws.NotNumbers):
            return double
        return single

    def _name(self):
        return f"{self.function.shown_name}({', '.join(self.reading.names)})"

    def _takes(self):
        eps = self.subject.eps
        precision = "double" if eps < 1e-10 else "single" if eps < 1e-4 else "half"
        library = {"torch": "PyTorch tensors", "jax": "JAX arrays", "python": "lists"}.get(
            self.reading.library, "NumPy arrays"
        )
        if self.reading.layout == "number" and self.reading.library == "numpy":
            library = "plain numbers"
        return f"{library}, {precision} precision"

    def _case(self, pair):
        """The function's own arguments for this pair, as nested lists; large ones in words"""
        return {name: _in_words(v) for name, v in self.subject.arguments(*pair).items()}

    def _batch_case(self, broken):
        several = getattr(broken, "several", None)
        if not several:
            return self._case(broken.pair)
        stacked = [np.stack(arrays) for arrays in zip(*several, strict=True)]
        raw = self.subject.raw(*stacked)
        return {n: _in_words(v) for n, v in zip(self.reading.names, raw, strict=True)}


def search(law, subject, seed, examples):
    """The first case that breaks the law, as laws.Broken; None if there is none.

    A function that is slow itself gets fewer cases, never fewer than three.
    """
    from tinyvae.classroom.checker import kl_laws as laws

    drawn = [c for c in cases(law.draw, subject.form, seed, examples) if not subject.beyond(c)]
    return engine.search(
        _for_engine(law, subject),
        subject,
        drawn,
        seconds=SECONDS / len(laws.LAWS),
        spent=lambda: subject.spent,
    )


@functools.lru_cache(maxsize=64)
def cases(draw, form, seed, examples):
    """The cases that Hypothesis draws first from this seed; most laws share theirs"""
    return engine.draw_cases(draw(form), seed, examples)


def smallest(law, subject, seed, examples):
    """The smallest case that breaks the law, as laws.Broken: few dimensions first, then few and
    simple numbers.  None if the time is too short.
    """
    from tinyvae.classroom.checker import kl_laws as laws

    return engine.smallest(
        _for_engine(law, subject),
        subject,
        sizes=range(1, 2 if subject.only_1d else laws.LARGEST + 1),
        seed=seed,
        examples=examples,
        spent=lambda: subject.spent,
    )


def _for_engine(law, subject):
    """A law of the KL as the engine tries laws"""
    from tinyvae.classroom.checker import kl_laws as laws

    def check(subject, case):
        if not subject.beyond(case):
            laws.check_case(law, subject, case)

    return engine.Law(
        law.name, law.formula, check, lambda largest: law.cases(subject.form, largest)
    )


# ---- words ---------------------------------------------------------------------------------------


def _listed(words):
    """["a", "b", "c"]  ->  "a, b and c" """
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def _bound(x):
    return "..." if x is None else f"{x:.3g}"


def _sentence(text):
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "?")) else ".")


def _lowered(text):
    first = text.split(" ", 1)[0]
    keep = first.isupper() or any(c.isdigit() for c in first) or first[1:] != first[1:].lower()
    return text if keep else text[:1].lower() + text[1:]


def _in_words(value):
    """Nested lists of rounded numbers, or "300 times 1", "0.01 on the diagonal (300, 300)" """
    array = np.asarray(value, dtype=float)
    if array.ndim == 0:
        return float(f"{float(array):.12g}")
    if len(array) <= 8:
        return np.vectorize(lambda x: float(f"{x:.12g}"), otypes=[float])(array).tolist()
    entries = np.diagonal(array) if array.ndim == 2 else array
    if np.all(entries == entries[0]):
        k = len(entries)
        shown = _number(entries[0])
        return f"{shown} I, {k} x {k}" if array.ndim == 2 else f"{k} times {shown}"
    return array.tolist()


# ---- printing ------------------------------------------------------------------------------------


def _lines(report):
    yield f"{report.function}"
    yield f"    {report.takes}"
    yield ""
    yield from textwrap.wrap(report.verdict, WIDTH, subsequent_indent="    ")
    for limit in report.limits:
        yield from textwrap.wrap(_sentence(limit), WIDTH, initial_indent="    ",
                                 subsequent_indent="    ")  # fmt: skip
    rest = report.diagnosis if report.right else report.diagnosis[1:]
    if rest:
        yield ""
        yield from rest
    if not report.right and (report.case or report.rows):
        yield ""
        yield f'The smallest case for "{report.broken}":'
        yield ""
        widest = max(map(len, report.case), default=0)
        for name, value in report.case.items():
            yield f"    {name:{widest}} = {engine.shown(value, 6)}"
        if report.rows:
            yield ""
        widest = max((len(row["of"]) for row in report.rows), default=0)
        numbers = [(_number(row["given"]), _number(row["true"])) for row in report.rows]
        column = max((len(given) for given, _ in numbers), default=0)
        for row, (given, true) in zip(report.rows, numbers, strict=True):
            yield f"    {row['of']:{widest}}   yours {given:>{column}}   true {true}"
        if report.message and _sentence(report.message) not in report.diagnosis:
            yield from textwrap.wrap(report.message, WIDTH, initial_indent="    ",
                                     subsequent_indent="    ")  # fmt: skip
    yield ""
    width = max(len(law.name) for law in report.laws)
    skipped = [law for law in report.laws if law.note.startswith("not judged")]
    for law in report.laws:
        if law not in skipped:
            note = law.note or law.formula
            yield f"  {law.status:5}  {law.name:{width}}  {note}"
    if skipped:
        yield f"  {'-':5}  {len(skipped)} more laws: {skipped[0].note}"
    wrong = sum(law.status == "wrong" for law in report.laws)
    judged = sum(law.status != "-" for law in report.laws)
    yield ""
    if report.right:
        told = sum(law.status == "told" for law in report.laws)
        all_ = "All" if not told else f"{judged - told} of"
        yield f"{all_} {judged} laws hold, up to {report.examples} cases each."
        accuracy = report.accuracy
        if accuracy.get("case"):
            error, true = accuracy["relative_error"], accuracy["true"]
            yield f"Worst relative error {error:.1g}, where KL = {true:.4g}."
    else:
        yield f"{wrong} of {judged} laws broken."
    for note in report.notes:
        yield from textwrap.wrap(f"Note: {note}", WIDTH)


def _number(x):
    return f"{x:.7g}"


# ---- a file --------------------------------------------------------------------------------------


def run_file(path, function=None, *, timeout=sandbox.TIMEOUT, limit=sandbox.LIMIT, **options):
    """check_kl for a function in a file, in a child process.  CannotRun if there is no verdict."""
    seed = options.get("seed", 0)
    with sandbox.open_file(path, seed=seed, timeout=timeout, limit=limit) as file:
        f = choose(file, function)
        report = judge(f, source=source_of(path), **options)
        report.notes += file.notes()
    return report


def source_of(path):
    """The text of a .py file, or of a notebook's cells; "" if it cannot be read"""
    try:
        cells, _ = sandbox.read_cells(path)
    except (CannotRun, OSError, ValueError):
        return ""
    return "\n\n".join(map(str, cells))


def choose(file, name=None):
    """The function of that name in an open file; without a name the one that is likely meant

    That is the only function, or the only one called like kl; where there are only classes, their
    method called like kl, or forward.  Names with an underscore in front come last.
    """
    if name is not None or file.functions():
        return sandbox.choose_function(file, name)
    entries = file.entries()
    methods = [method for entry in entries for method in entry.methods]
    hidden = [entry.name for entry in entries if entry.kind == "hidden function"]
    short = {m: m.rpartition(".")[2].lower() for m in [*methods, *hidden]}
    open_, closed = ([m for m in short if short[m].startswith("_") == h] for h in (False, True))
    for alike in (
        [m for m in open_ if "kl" in short[m]],
        [m for m in closed if "kl" in short[m]],
        [m for m in open_ if short[m] == "forward"],
        [m for m in closed if short[m] == "__call__"],
        hidden,
    ):
        if len(alike) == 1:
            return file.function(alike[0])
        if alike:
            raise CannotRun(
                f"{file.shown} has {len(alike)} methods that may be meant: {', '.join(alike)}. "
                f"Name one, as in {file.shown}:{alike[0]}"
            )
    if methods:
        raise CannotRun(
            f"{file.shown} defines no function, and no method called like kl. "
            f"Name a method, as in {file.shown}:{methods[0]}"
        )
    return sandbox.choose_function(file, name)


def hinted(report, level):
    """The report with no more than the teacher wants to be seen (`engine.HINTS`)"""
    if report.right:
        return report
    keep = {}
    if level < 1:
        keep |= {"case": {}, "rows": [], "message": "", "got": None, "true": None}
    if level < 2:
        keep |= {"diagnosis": [], "names": [], "verdict": "Wrong."}
    elif level < 3:
        keep["diagnosis"] = [line for line in report.diagnosis if not line.startswith("    ")]
    return replace(report, **keep)


def main(path, function=None, *, json=False, hints=engine.ALL_HINTS, **options):
    """Judge the function, print the report.  Returns the exit status:

    0 right, 1 wrong, 2 could not be run, with one sentence on stderr.
    """
    try:
        report = run_file(path, function, **options)
    except CannotRun as reason:
        said = str(reason).encode("ascii", "backslashreplace").decode()
        print(f"tinyvae check kl: {said}", file=sys.stderr)
        if json:
            verdict = engine.Verdict("", "cannot", message=str(reason))
            print(engine.Report("", [verdict], [], sandbox.short(path)).as_json())
        return 2
    shown = hinted(report, hints)
    text = shown.as_json() if json else str(shown)
    print(text.encode("ascii", "backslashreplace").decode())
    return 0 if report.right else 1


def arguments(parser):
    """Add what `tinyvae check kl` takes to a parser; `run` does what it says."""
    parser.add_argument("target", metavar="FILE.py[:function]", help="where the KL is")
    parser.add_argument("--signature", choices=sorted(SIGNATURES), help="what the KL takes")
    parser.add_argument("--std", action="store_true", help="the same as --scale std")
    parser.add_argument("--scale", choices=SCALES, help="what its scale arguments are")
    parser.add_argument(
        "--order", metavar="NAMES", help='what each argument is: "mean_q,mean_p,scale_q,scale_p"'
    )
    parser.add_argument("--q", choices=("first", "second"), help="which Gaussian is q")
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
    options = {name: getattr(args, name) for name in OPTIONS}
    return main(path, function, **options, **sandbox.options(args))


OPTIONS = ("signature", "std", "scale", "order", "q", "examples")

if __name__ == "__main__":
    sys.exit(run(arguments(argparse.ArgumentParser("tinyvae check kl")).parse_args()))
