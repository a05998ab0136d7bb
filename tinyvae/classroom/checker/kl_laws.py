"""The laws of the KL divergence between Gaussians, and the cases to try them on.

A law is called with a KL and a case.  It raises `Broken`, an AssertionError that knows the case, or
it is silent.  `law.cases()` is the Hypothesis strategy that draws its cases:

    from hypothesis import given
    from tinyvae.classroom.checker import kl_laws as laws

    @given(laws.affine.cases())
    def test_change_of_units(case):
        laws.affine(my_kl, *case)

A KL is a function of mean_q, cov_q, mean_p, cov_p that answers in nats, or a `Subject`: somebody's
function under a reading of its arguments (`readings`).  For other signatures draw cases that it
takes:

    laws.affine.cases(laws.Form("diagonal", "logvar"))

Cases are readable when shrunk: dimensions 1 to 4, means and log-variances that are small multiples
of 1/2, covariances L L' with such an L.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st

from tinyvae.classroom.checker import engine
from tinyvae.classroom.checker import readings as rd
from tinyvae.classroom.checker.function import Function, LocalFunction
from tinyvae.classroom.checker.values import Described, NotNumbers
from tinyvae.oracles import gaussian_kl

FLOOR = 1e-7  # a KL may be off by this part of its terms, whatever the reason


@dataclass(frozen=True)
class Form:
    """Which pairs of Gaussians a KL takes.

    signature   "full", "diagonal" or "standard-normal": p = N(0, I)
    scale       what its scale arguments are: a key of readings.FROM_COVARIANCE
    prior       a Reading's prior: pairs are restricted to it
    """

    signature: str = "full"
    scale: str = "cov"
    prior: str = "two Gaussians"
    largest: int = 0  # the only dimension that there is, or 0

    def restrict(self, pair):
        """The nearest pair that the function takes"""
        mean_q, cov_q, mean_p, cov_p = pair
        zero, one = np.zeros_like(mean_p), np.eye(len(mean_p))
        if self.prior == "unit variance":
            cov_p = one
        elif self.prior == "unit variances":
            cov_q = cov_p = one
        elif self.prior == "shared scale":
            cov_p = cov_q
        elif self.prior == "zero means":
            mean_q = mean_p = zero
        elif self.prior == "zero prior mean":
            mean_p = zero
        elif self.prior.endswith("standard normal") or self.signature == "standard-normal":
            mean_p, cov_p = zero, one
            if self.prior.startswith("zero mean"):
                mean_q = zero
            if self.prior.startswith("unit variances"):
                cov_q = one
        return Pair(mean_q, cov_q, mean_p, cov_p)


def form_of(reading):
    """The Form of a function under this reading"""
    if reading.prior == "two Gaussians":
        signature = "diagonal" if reading.diagonal else "full"
    else:
        signature = "standard-normal"
    kinds = [kind for kind in reading.scales if kind != "precision" or reading.diagonal]
    scale = kinds[0] if kinds else "cov"
    if not reading.diagonal:
        scale = "cov"
    if scale in ("logprecision", "precision", "softplus"):
        scale = "logvar" if scale == "logprecision" else "var"
    return Form(signature, scale, reading.prior, 1 if reading.layout == "number" else 0)


class Raised(Exception):
    """The function raised when it was called with arguments that it must accept."""


class Pair(NamedTuple):
    """Two Gaussians of the same dimension: means (k,), covariances (k, k)"""

    mean_q: np.ndarray
    cov_q: np.ndarray
    mean_p: np.ndarray
    cov_p: np.ndarray

    @property
    def k(self):
        return len(self.mean_q)


class Broken(engine.Broken):
    """A law does not hold.

    pair      the case, as a Pair
    rows      what the function gave: (of what, given, true)
    message   one sentence, where numbers alone do not say it
    kind      "" or, where more is known, "not finite", "digits", "raised", "gradient"
    """

    def __init__(self, pair, rows=(), message="", kind=""):
        super().__init__(message, rows, dict(zip(Pair._fields, pair, strict=True)))
        self.pair, self.kind = pair, kind


# ---- cases ---------------------------------------------------------------------------------------

# Each list is in the order in which a case shrinks: the first is the simplest.
NUMBERS = (0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5, 3.0, -3.0, 1.5, -1.5)
POSITIVE = (1.0, 2.0, 3.0, 0.5, 1.5, 0.25)
FACTORS = (1.0, 2.0, -1.0, 0.5, -2.0, 3.0)
OFF_DIAGONAL = (0.0, 1.0, -1.0, 0.5, -0.5)

LARGEST = 4  # dimension


def vectors(k, entries=NUMBERS):
    """(k,) with these entries"""
    return st.tuples(*[st.sampled_from(entries)] * k).map(np.array)


@st.composite
def covariances(draw, k, condition=30.0):
    """(k, k), symmetric positive definite: L L' with few and simple entries in L.

    L is pulled half-way towards the identity until the condition number is within bounds.
    """
    L = np.diag(draw(vectors(k, POSITIVE)))
    L[np.tril_indices(k, -1)] = draw(vectors(k * (k - 1) // 2, OFF_DIAGONAL))
    while np.linalg.cond(L) ** 2 > condition:
        L = 0.5 * (L + np.eye(k))
    return L @ L.T


def diagonal_covariances(k, scale="logvar"):
    """(k, k), diagonal: log-variances, standard deviations, ... are simple numbers"""
    entries = NUMBERS if scale.startswith("log") else POSITIVE
    if scale == "logstd":
        entries = tuple(0.5 * number for number in NUMBERS)
    return vectors(k, entries).map(lambda s: np.diag(rd.TO_COVARIANCE[scale](s)))


def scales(k, form):
    """Covariances that a function of this form can be given"""
    return covariances(k) if form.scale == "cov" else diagonal_covariances(k, form.scale)


@st.composite
def pairs(draw, form=None, largest=LARGEST, smallest=1):
    """Two Gaussians that a function of this form can be given"""
    form = form or Form()
    largest = form.largest or largest
    k = draw(st.integers(min(smallest, largest), max(smallest, largest) if not form.largest else 1))
    matrices = scales(k, form)
    mean_q, cov_q = draw(vectors(k)), draw(matrices)
    if form.prior.endswith("standard normal") or (
        form.signature == "standard-normal" and form.prior == "two Gaussians"
    ):
        return form.restrict(Pair(mean_q, cov_q, np.zeros(k), np.eye(k)))
    return form.restrict(Pair(mean_q, cov_q, draw(vectors(k)), draw(matrices)))


FAR = (0.0, 1.0, -1.0, 1e3, -1e3, 1e5)
SPREADS = (1.0, 1e4, 1e-4, 1e10, 1e-10, 1e16, 1e-16)


@st.composite
def extremes(draw, form=None, largest=LARGEST, both=False):
    """Legal, and larger or smaller than what one tries by hand: means, and variances of q

    both    the variances of p are as extreme as those of q
    """
    form = form or Form()
    k = draw(st.integers(1, form.largest or largest))
    mean_q, mean_p = draw(vectors(k, FAR)), draw(vectors(k, FAR))
    spread = draw(st.sampled_from(SPREADS)) * draw(vectors(k, POSITIVE))
    ratio = draw(vectors(k, (1.0, 1e2, 1e-2 if both else 0.5)))
    var_p = spread * ratio if both else ratio
    return form.restrict(Pair(mean_q, np.diag(spread), mean_p, np.diag(var_p)))


@st.composite
def large(draw, form=None, largest=LARGEST):
    """Few dimensions and many, of variances that are not 1: all twelve are drawn"""
    k = draw(st.sampled_from((3, 30, 300)))
    spread = np.full(k, draw(st.sampled_from((1.0, 0.1, 0.01, 100.0))))
    pair = Pair(np.ones(k), np.diag(spread), np.zeros(k), np.diag(spread))
    return (form or Form()).restrict(pair)


def maps(k, form):
    """Invertible maps A (k, k) that a function of this form can follow"""
    if form.scale == "cov" and form.signature == "full" and not form.largest:
        corner = vectors(k * (k - 1) // 2, OFF_DIAGONAL)
        return st.tuples(vectors(k, FACTORS), corner, corner).map(lambda drawn: _map(*drawn))
    signs = (1.0, -1.0) if form.signature == "standard-normal" else FACTORS
    return vectors(k, signs).map(np.diag)


def _map(diagonal, below, above):
    """Lower times upper triangular: invertible whatever is drawn, and triangular only by chance"""
    lower, upper = np.diag(diagonal), np.eye(len(diagonal))
    lower[np.tril_indices(len(lower), -1)] = below
    upper[np.triu_indices(len(upper), 1)] = above
    return lower @ upper


@st.composite
def mapped_pairs(draw, form=None, largest=LARGEST):
    pair = draw(pairs(form, largest))
    return pair, draw(maps(pair.k, form or Form()))


@st.composite
def shifted_pairs(draw, form=None, largest=LARGEST):
    pair = draw(pairs(form, largest))
    return pair, draw(vectors(pair.k))


@st.composite
def reordered_pairs(draw, form=None, largest=LARGEST):
    pair = draw(pairs(form, largest, smallest=2))
    return pair, np.array(draw(st.permutations(range(pair.k))))


@st.composite
def batches(draw, form=None, largest=LARGEST):
    k = draw(st.integers(1, largest))
    count = draw(st.sampled_from([n for n in (2, 3) if n != k]))
    return ([draw(pairs(form, k, smallest=k)) for _ in range(count)],)


def one_pair(form=None, largest=LARGEST):
    """The cases of most laws: one pair"""
    return st.tuples(pairs(form, largest))


def two_blocks(form=None, largest=LARGEST):
    """Two pairs, of at most `largest` dimensions together"""
    return st.tuples(*[pairs(form, max(1, largest // 2))] * 2)


def one_extreme(form=None, largest=LARGEST):
    return st.tuples(extremes(form, largest))


def both_extreme(form=None, largest=LARGEST):
    return st.tuples(extremes(form, largest, both=True))


def one_large(form=None, largest=LARGEST):
    return st.tuples(large(form, largest))


# ---- what is true --------------------------------------------------------------------------------


def truth(pair):
    """KL(q || p) in nats from the cubature: no KL formula is used"""
    return float(gaussian_kl(*pair))


def rounding(pair, eps):
    """How far honest rounding may take KL(q || p): the size of its terms times the condition

    Only for matrices that are not diagonal does their condition number amplify rounding.
    """
    precision = np.abs(np.linalg.inv(pair.cov_p))
    d, means = np.abs(pair.mean_q - pair.mean_p), np.abs(pair.mean_q) + np.abs(pair.mean_p)
    condition = 1.0
    logs = 0.0
    for cov in (pair.cov_q, pair.cov_p):
        logs += np.abs(np.linalg.slogdet(cov)[1]) + np.abs(np.log(np.diag(cov))).sum()
        if np.any(cov != np.diag(np.diag(cov))):
            condition += np.linalg.cond(cov)
    size = pair.k + (precision * np.abs(pair.cov_q)).sum() + (d + means) @ precision @ d + logs
    return float((FLOOR + 32 * eps * condition) * size)


def swap(pair):
    """p and q"""
    return Pair(pair.mean_p, pair.cov_p, pair.mean_q, pair.cov_q)


def mapped(pair, A, shift=0.0):
    """The distributions of A x + shift"""
    return Pair(
        A @ pair.mean_q + shift, A @ pair.cov_q @ A.T, A @ pair.mean_p + shift, A @ pair.cov_p @ A.T
    )


def joined(first, second):
    """The distributions of (x, y), with x and y independent"""

    def block(a, b):
        return np.block([[a, np.zeros((len(a), len(b)))], [np.zeros((len(b), len(a))), b]])

    return Pair(
        np.concatenate([first.mean_q, second.mean_q]),
        block(first.cov_q, second.cov_q),
        np.concatenate([first.mean_p, second.mean_p]),
        block(first.cov_p, second.cov_p),
    )


# ---- a function under a reading ------------------------------------------------------------------


class Subject:
    """A `Function` under a `Reading`, in the form of the laws: kl(mean_q, cov_q, mean_p, cov_p).

    eps     the rounding unit that it computes in
    spent   seconds of its own time so far
    """

    def __init__(self, function, reading, eps=None):
        self.function, self.reading = function, reading
        self.form = form_of(reading)
        self.eps = float(eps or np.finfo(np.float64).eps)
        self.spent, self.seconds = 0.0, {}
        self.trial = rd.Trial(
            reading.pattern, reading.layout, reading.library, reading.packing, reading.keys,
            reading.shape, reading.size,
        )  # fmt: skip

    @property
    def only_1d(self):
        """Whether it takes plain numbers, so that it knows one dimension only"""
        return self.reading.layout == "number"

    @property
    def takes_batches(self):
        return self.reading.layout in ("batch", "image", "sequence")

    def affords(self, k):
        """Is it fast enough for k dimensions?  It is timed in fewer, and k^3 is expected."""
        if self.only_1d or self._fixed():
            return k <= 3
        for tried in (3, 30):
            if k <= tried:
                return True
            if tried not in self.seconds:
                began = self.spent
                try:
                    self(*plain_pair(self.form, tried))
                except (Raised, NotNumbers):
                    return False
                self.seconds[tried] = self.spent - began
            if self.seconds[tried] > 3e-3:
                return False
        return True

    def beyond(self, case):
        """Whether a case has more dimensions than the function takes"""
        fixed = 1 if self.only_1d else self._fixed()
        return bool(fixed) and dimension(case) > fixed

    def _fixed(self):
        """The only dimension that it takes, or 0"""
        if self.reading.layout in ("image", "sequence"):
            return int(np.prod(self.reading.shape))
        return self.reading.size or 0

    def raw(self, *pair):
        """Raw arguments (B, ...) for a pair, (k,), or a batch of pairs, (B, k)"""
        pair = [np.asarray(part, dtype=float) for part in pair]
        if pair[0].ndim == 1:
            pair = [part[None] for part in pair]
        fixed, k = self._fixed(), pair[0].shape[1]
        if fixed and k < fixed:
            pair = [_padded(part, fixed) for part in pair]
        return raw_of(self.reading, *pair)

    def arguments(self, *pair):
        """The function's own arguments, by name, as they are shown to the user"""
        raw = self.raw(*pair)
        one = rd.laid_out(raw, self.reading.pattern, "one")[0]
        if self.only_1d:
            one = [float(np.reshape(value, -1)[0]) for value in one]
        return dict(zip(self.reading.names, one, strict=True))

    def outcomes(self, raw, gradient=False):
        """An Outcome for each call that raw arguments take; Raised if one raises"""
        found = []
        for arguments in self.trial.arguments(raw):
            outcome = self.function.call(arguments, library=self.reading.library, gradient=gradient)
            self.spent += outcome.seconds
            if outcome.error:
                raise Raised(outcome.error)
            found.append(outcome)
        return found

    def values(self, raw):
        """One number for each pair (B,), or one for the batch where the function reduces it"""
        parts = [self._leaf(outcome.value) for outcome in self.outcomes(raw)]
        B, k = rd._size(raw, self.reading.pattern)
        array = parts[0] if len(parts) == 1 and self.takes_batches else np.stack(parts)
        answer = self.reading.answer
        if answer in ("sum", "mean"):
            if array.size != 1:
                raise NotNumbers(f"it gave an answer of shape {array.shape} for a batch of {B}")
            return array.reshape(1)
        if array.size == B:
            return array.reshape(B)
        if answer in ("coordinate", "position") and array.size % B == 0:
            return array.reshape(B, -1).sum(-1)
        raise NotNumbers(
            f"it gave an answer of shape {array.shape} for {B} pairs in {k} dimensions"
        )

    def _leaf(self, value):
        leaves, path = rd._leaves(value), self.reading.path
        if path in leaves:
            return leaves[path]
        if path and path[:-1] in leaves and isinstance(path[-1], int):
            return leaves[path[:-1]].reshape(-1)[path[-1]]
        if value is None:
            raise NotNumbers("it gave None: is a `return` missing?")
        raise NotNumbers(f"it gave {_what(value)}, not a number")

    def at_points(self, raw, pair):
        """Raw arguments with z at the 2k cubature points of q, where a draw z is an argument"""
        where = [i for i, (_, what) in enumerate(self.reading.roles) if what == "sample"]
        if not where:
            return raw
        mean_q, cov_q = pair[0], pair[1]
        fixed = self._fixed()
        if fixed and len(mean_q) < fixed:
            mean_q, cov_q = _padded(mean_q[None], fixed)[0], _padded(cov_q[None], fixed)[0]
        steps = np.sqrt(len(mean_q)) * np.linalg.cholesky(cov_q).T
        points = np.concatenate([mean_q + steps, mean_q - steps])
        raw = [np.repeat(array, len(points), axis=0) for array in raw]
        raw[where[0]] = points
        return raw

    def __call__(self, *pair):
        """KL(q || p) of one pair, in nats"""
        raw = self.at_points(self.raw(*pair), pair)
        values = self.values(raw)
        if self.reading.answer == "sum" and values.size == 1:
            values = values / len(raw[0])
        return float(values.mean())

    def batch(self, several):
        """One number for each of several pairs, or one where the function reduces the batch"""
        stacked = [np.stack(arrays) for arrays in zip(*several, strict=True)]
        return self.values(self.raw(*stacked))


def _what(value):
    if isinstance(value, np.ndarray):
        return f"{value.dtype}"
    return str(value) if isinstance(value, Described) else f"a {type(value).__name__}"


def _padded(part, k):
    """(B, j) or (B, j, j)  ->  (B, k) or (B, k, k): more coordinates, N(0, 1) in q and in p"""
    B, j = part.shape[:2]
    if part.ndim == 2:
        return np.concatenate([part, np.zeros((B, k - j))], axis=1)
    grown = np.broadcast_to(np.eye(k), (B, k, k)).copy()
    grown[:, :j, :j] = part
    return grown


def raw_of(reading, mean_q, cov_q, mean_p, cov_p):
    """The raw arguments (B, ...) of a reading for pairs (B, k), (B, k, k)"""
    means, covs = {"q": mean_q, "p": mean_p}, {"q": cov_q, "p": cov_p}
    B, k = mean_q.shape
    made = []
    for letter, (whose, what) in zip(reading.pattern, reading.roles, strict=True):
        whose = "q" if whose == "both" else whose
        if what in ("mean", "sample"):
            made.append(means[whose].copy())
        elif what in ("dimension", "noise"):
            made.append(np.full(B, k))
        elif what in ("factor", "diagonal"):
            low = 0.5 * np.linalg.eigvalsh(covs[whose])[:, :1] * np.ones((1, k))
            rest = covs[whose] - low[..., None] * np.eye(k)
            made.append(np.linalg.cholesky(rest) if what == "factor" else low)
        elif what == "precision" and letter == "m":
            made.append(np.linalg.inv(covs[whose]))
        elif what == "cov" and letter == "v":
            made.append(rd.FROM_COVARIANCE["var"](covs[whose]).copy())
        else:
            made.append(np.array(rd.FROM_COVARIANCE[what](covs[whose])))
    return made


def plain_pair(form, k=3):
    """An unremarkable pair"""
    rng = np.random.default_rng(0)
    spread = np.exp(rng.uniform(-0.5, 0.5, (2, k)))
    mean_q, mean_p = rng.uniform(-2, 2, (2, k))
    return form.restrict(Pair(mean_q, np.diag(spread[0]), mean_p, np.diag(spread[1])))


ROLES = {
    "full": ("umum", ("mean_q", "cov_q", "mean_p", "cov_p")),
    "diagonal": ("uvuv", ("mu_q", "logvar_q", "mu_p", "logvar_p")),
    "standard-normal": ("uv", ("mu", "logvar")),
}


def plain_reading(signature="full", scale=None, layout="batch", library="numpy"):
    """The usual reading of a signature: q first, mean before scale"""
    pattern, names = ROLES[signature]
    scale = scale or ("cov" if signature == "full" else "logvar")
    names = tuple(name.replace("logvar", scale).replace("cov", scale) for name in names)
    roles = (("q", "mean"), ("q", scale), ("p", "mean"), ("p", scale))[: len(pattern)]
    prior = "standard normal" if signature == "standard-normal" else "two Gaussians"
    return rd.Reading(names, pattern, roles, prior, layout, library)


def subject(kl):
    """kl itself if it is a Subject; otherwise a function of mean_q, cov_q, mean_p, cov_p as one"""
    if isinstance(kl, Subject):
        return kl
    function = kl if isinstance(kl, Function) else LocalFunction(kl)
    for layout in ("batch", "one"):
        made = Subject(function, plain_reading(layout=layout, library=function.library))
        try:
            pairs = [plain_pair(made.form), plain_pair(made.form)]
            if layout == "one" or made.batch(pairs).shape == (2,):
                return made
        except (Raised, NotNumbers):
            continue
    return made


# ---- the laws ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Law:
    """A law: call it with a KL and a case, or ask it for cases."""

    name: str
    formula: str
    check: Callable
    draw: Callable  # (form, largest dimension) -> strategy of tuples
    signatures: tuple[str, ...]
    batch: bool  # is it about a function that takes batches?
    values: bool  # is it about the number, or about manners?
    told: bool = False  # is a breach only told?

    def __call__(self, kl, *case):
        self.check(subject(kl), *case)

    def cases(self, form=None, largest=LARGEST):
        """A Hypothesis strategy for what comes after the KL, as a tuple; up to this dimension"""
        return self.draw(form, largest)


LAWS: list[Law] = []
TWO = ("full", "diagonal")
ALL = (*TWO, "standard-normal")


def law(name, formula, draw, signatures=ALL, batch=False, values=True, told=False):
    """Make the function below a law, and put it into LAWS."""

    def enter(check):
        made = Law(name, formula, check, draw, signatures, batch, values, told)
        LAWS.append(made)
        return made

    return enter


def _differs(a, b, slack):
    return not abs(a - b) <= slack  # nan differs


def _row(pair, value, of="KL(q || p)"):
    return (of, value, truth(pair))


@law("one number", "two Gaussians in, real numbers out", one_pair, values=False)
def one_number(kl, pair):
    """For one pair the answer is one floating-point number, at least in single precision."""
    raw = kl.at_points(kl.raw(*pair), pair)
    kl.values(raw)
    for outcome in kl.outcomes(raw)[:1]:
        for kind in outcome.kinds:
            if kind.dtype in ("float16", "bfloat16"):
                raise Broken(pair, message=f"it gave {kind.dtype}: too few digits for a KL")


@law("same answer twice", "f(x) = f(x)", one_pair, values=False)
def same_answer_twice(kl, pair):
    """The same question gets the same answer."""
    first, second = kl(*pair), kl(*pair)
    both_nan = np.isnan(first) and np.isnan(second)
    if first != second and not both_nan and _differs(first, second, rounding(pair, kl.eps)):
        raise Broken(
            pair,
            [_row(pair, first, "asked once"), _row(pair, second, "asked again")],
            "it answers the same question in two ways: is there a random number in it, or a state?",
        )


@law("arguments untouched", "they are as before", one_pair, values=False)
def arguments_untouched(kl, pair):
    """Arguments are the caller's: they are read, not written."""
    for outcome in kl.outcomes(kl.at_points(kl.raw(*pair), pair)):
        if outcome.changed:
            names = " and ".join(outcome.changed)
            raise Broken(pair, message=f"it changes its argument {names} in place")


@law("zero at equality", "KL(q || q) = 0", one_pair)
def zero_at_equality(kl, pair):
    """A distribution costs nothing to describe by itself."""
    same = Pair(pair.mean_p, pair.cov_p, pair.mean_p, pair.cov_p)
    value = kl(*same)
    if _differs(value, 0.0, rounding(same, kl.eps)):
        raise Broken(same, [_row(same, value, "KL(q || q)")])


@law("never negative", "KL(q || p) >= 0", one_pair)
def never_negative(kl, pair):
    """Gibbs' inequality, here and near equality, where it is easiest to break.  Tiny negative
    values are rounding, and pass.
    """
    for near in (pair, *_steps(pair, 0.05)[:2]):
        value = kl(*near)
        if not value >= -rounding(near, kl.eps):
            raise Broken(near, [_row(near, value)])


@law("the definition", "KL(q || p) = E_q[ log q(x) - log p(x) ]", one_pair)
def definition(kl, pair):
    """The expectation is exact from 2k points: log q - log p is a polynomial of degree 2."""
    value, true = kl(*pair), truth(pair)
    if _differs(value, true, rounding(pair, kl.eps)):
        raise Broken(pair, [("KL(q || p)", value, true)])


@law("direction", "KL(q || p) - KL(p || q) as the definition has it", one_pair, TWO)
def direction(kl, pair):
    """The two directions differ, and by how much is known."""
    there, back = kl(*pair), kl(*swap(pair))
    slack = rounding(pair, kl.eps) + rounding(swap(pair), kl.eps)
    if _differs(there - back, truth(pair) - truth(swap(pair)), slack):
        raise Broken(pair, [_row(pair, there), _row(swap(pair), back, "KL(p || q)")])


@law(
    "sum over coordinates",
    "coordinates independent:  KL = the sum of their KLs",
    one_pair,
)
def sum_over_coordinates(kl, pair):
    """Independent coordinates: each has its own KL, known from the definition, and they add up."""
    pair = Pair(*(np.diag(np.diag(part)) if part.ndim == 2 else part for part in pair))
    value, true = kl(*pair), _sum_over_coordinates(pair)
    if _differs(value, true, rounding(pair, kl.eps)):
        raise Broken(pair, [("KL(q || p)", value, true)])


@law(
    "additive over blocks",
    "KL(q1 q2 || p1 p2) = KL(q1 || p1) + KL(q2 || p2)",
    two_blocks,
)
def additive(kl, first, second):
    """Two independent blocks cost what they cost one by one."""
    both = joined(first, second)
    whole, a, b = kl(*both), kl(*first), kl(*second)
    if _differs(whole, a + b, 2 * rounding(both, kl.eps)):
        raise Broken(
            both,
            [
                _row(both, whole),
                _row(first, a, f"of the first {first.k}"),
                _row(second, b, f"of the last {second.k}"),
            ],
        )


@law("translation", "x -> x + b changes nothing", shifted_pairs, TWO)
def translation(kl, pair, shift):
    """The origin is a matter of choice."""
    moved = mapped(pair, np.eye(pair.k), shift)
    before, after = kl(*pair), kl(*moved)
    if _differs(before, after, rounding(pair, kl.eps) + rounding(moved, kl.eps)):
        message = "b = " + _short(shift)
        raise Broken(pair, [_row(pair, before), _row(moved, after, "after x -> x + b")], message)


@law("affine map", "x -> A x changes nothing, A invertible", mapped_pairs)
def affine(kl, pair, A):
    """Units are a matter of choice, and so are the axes.  Against N(0, I) only A = +-1 is left."""
    moved = mapped(pair, A)
    before, after = kl(*pair), kl(*moved)
    if _differs(before, after, rounding(pair, kl.eps) + rounding(moved, kl.eps)):
        message = "A = " + _short(A)
        raise Broken(pair, [_row(pair, before), _row(moved, after, "after x -> A x")], message)


@law("order of coordinates", "a permutation of x changes nothing", reordered_pairs)
def permutation(kl, pair, order):
    """The numbering of the coordinates is a matter of choice."""
    moved = mapped(pair, np.eye(pair.k)[order])
    before, after = kl(*pair), kl(*moved)
    if _differs(before, after, rounding(pair, kl.eps) + rounding(moved, kl.eps)):
        message = "order " + _short(order)
        raise Broken(pair, [_row(pair, before), _row(moved, after, "after reordering")], message)


def _steps(pair, size):
    """From p one step towards q, and one away from it, of this Fisher length (or 0 if q = p).

    Both as pairs with p, and the KL of such a step to second order, half its length squared.
    """
    move, turn = pair.mean_q - pair.mean_p, pair.cov_q - pair.cov_p
    precision = np.linalg.inv(pair.cov_p)
    relative = precision @ turn
    length = np.sqrt(0.5 * np.trace(relative @ relative) + move @ precision @ move)
    h = size / length if length else 0.0

    def step(h):
        return pair._replace(mean_q=pair.mean_p + h * move, cov_q=pair.cov_p + h * turn)

    return step(h), step(-h), 0.5 * (h * length) ** 2


@law("second order", "KL(p + h || p) = 1/2 h' F h + ...,  F the Fisher information", one_pair)
def second_order(kl, pair):
    """Near equality a KL is half a squared length.  The mean of a step forth and a step back has
    no third-order term; the fourth is below 1 %.
    """
    forth, back, expected = _steps(pair, 0.05)
    values = kl(*forth), kl(*back)
    if _differs(0.5 * sum(values), expected, 0.02 * expected + rounding(forth, kl.eps)):
        raise Broken(
            forth, [_row(forth, values[0]), _row(back, values[1], "a step to the other side")]
        )


@law("stationary at equality", "d KL(q || p) / dq = 0 at q = p", one_pair)
def stationary(kl, pair):
    """A minimum: a step forth and a step back cost the same, up to third order."""
    forth, back, expected = _steps(pair, 0.01)
    values = kl(*forth), kl(*back)
    if _differs(*values, 0.4 * expected + 2 * rounding(forth, kl.eps)):
        raise Broken(
            forth, [_row(forth, values[0]), _row(back, values[1], "a step to the other side")]
        )


@law(
    "limits",
    "t times q's variance: k/2 log 1/t for small t, linear for large",
    one_pair,
)
def limits(kl, pair):
    """A narrow q costs k/2 nats for every factor e; a wide one costs its trace, seen from p."""

    slope = 0.5 * np.trace(np.linalg.solve(pair.cov_p, pair.cov_q))
    # log(1 + exp(rho)) overflows from rho = 710: a wide q is then judged by the extremes
    wide = (1e2, 1e4) if "softplus" in kl.reading.scales else (1e4, 1e6)
    for near, far, of in ((1e-4, 1e-6, "var of q / 100"), (*wide, "var of q * 100")):
        there, further = (pair._replace(cov_q=t * pair.cov_q) for t in (near, far))
        values = kl(*there), kl(*further)
        expected = slope * (far - near) - 0.5 * pair.k * np.log(far / near)
        slack = 1e-3 * abs(expected) + rounding(there, kl.eps) + rounding(further, kl.eps)
        if _differs(values[1] - values[0], expected, slack):
            raise Broken(there, [_row(there, values[0]), _row(further, values[1], of)])


@law("batch", "a batch gives what its pairs give one by one", batches, batch=True, values=False)
def batch(kl, several):
    """(B, k) in, (B,) out, and the same numbers; or their sum, or their mean."""
    if not kl.takes_batches or any(what == "sample" for _, what in kl.reading.roles):
        return
    together = kl.batch(several)
    alone = np.array([kl(*pair) for pair in several])
    slack = max(rounding(pair, kl.eps) for pair in several) * len(several)
    if together.shape != (len(several),):
        reduced = alone.sum() if kl.reading.answer == "sum" else alone.mean()
        if _differs(float(together[0]), reduced, slack):
            rows = [("the batch", float(together[0]), float(reduced))]
            raise Broken(several[0], rows, f"it is not the {kl.reading.answer} over the batch")
        return
    for pair, value, one in zip(several, together, alone, strict=True):
        if not (np.isnan(one) and np.isnan(value)) and _differs(one, value, slack):
            rows = [_row(pair, one, "alone"), _row(pair, float(value), f"among {len(several)}")]
            raise Broken(pair, rows, "it depends on what else is in the batch")


def slopes(reading, raw, h=1e-6):
    """d sum of the true answer / d argument, by central differences; None for what has no slope

    Matrices are moved symmetrically (Cholesky factors below the diagonal and on it): an entry is
    the slope along E_ij + E_ji.
    """

    def total(changed):
        return float(np.sum(rd.truth(reading, changed)))

    found = []
    for i, (array, letter) in enumerate(zip(raw, reading.pattern, strict=True)):
        if letter in "kg":
            found.append(None)
            continue
        slope = np.zeros_like(array)
        for index in np.ndindex(array.shape):
            step = np.zeros_like(array)
            step[index] = h
            if letter == "m" and index[1] != index[2]:
                step[index[0], index[2], index[1]] = h
            if letter == "l" and index[1] < index[2]:
                continue
            up, down = ([a + s * step if j == i else a for j, a in enumerate(raw)] for s in (1, -1))
            slope[index] = (total(up) - total(down)) / (2 * h)
        found.append(slope)
    return found


def equal_or_not(form=None, largest=LARGEST):
    """One pair, or twice the same Gaussian"""
    return st.tuples(pairs(form, largest), st.booleans())


@law("gradient", "d KL / d argument, also at q = p", equal_or_not, values=False)
def gradient(kl, pair, equal):
    """Backward gives the slopes of the KL: nothing is detached, nothing is NaN where q = p."""
    if equal:
        same = Pair(pair.mean_p, pair.cov_p, pair.mean_p, pair.cov_p)
        pair = kl.form.restrict(same)
    raw = kl.raw(*pair)
    where = [i for i, (_, what) in enumerate(kl.reading.roles) if what == "sample"]
    for i in where:
        raw[i] = raw[i] + 0.5
    path = kl.reading.path or True
    scale = 1.0
    for outcome in kl.outcomes(raw, gradient=path):
        if outcome.gradients is None:
            raise Broken(
                pair, message=f"it has no gradient: {outcome.no_gradient}", kind="gradient"
            )
        given = _by_argument(kl, outcome.gradients)
        expected = slopes(kl.reading, raw)
        for name, letter, got, true in zip(
            kl.reading.names, kl.reading.pattern, given, expected, strict=True
        ):
            if true is None:
                continue
            if got is None:
                got = np.zeros_like(true)
                if np.all(np.abs(true) < 1e-4):
                    continue
            got = np.asarray(got, dtype=float).reshape(true.shape)
            if letter == "m":
                got = got + np.swapaxes(got, -1, -2) - got * np.eye(got.shape[-1])
            if letter == "l":
                got = np.tril(got)
            size = scale + np.abs(true).max() + rounding(pair, 0.0) / FLOOR
            slack = (1e-5 + 2e3 * kl.eps * (kl.eps > 1e-10)) * size
            bad = ~(np.abs(got - true) <= slack)
            if np.any(bad):
                at = tuple(np.argwhere(bad)[0])
                if not np.all(np.isfinite(got[bad])):
                    said = f"its gradient by {name} is {_nan_or_inf(got[at])}"
                elif np.all(got == 0):
                    said = f"it gives no gradient by {name}: is it detached?"
                else:
                    said = f"its gradient by {name} is not the slope of the KL"
                if equal:
                    said += ", where q = p"
                rows = [(f"d KL / d {name}", float(got[at]), float(true[at]))]
                raise Broken(pair, rows, said, "gradient")


def _nan_or_inf(x):
    return "nan" if np.isnan(x) else "infinite"


def _by_argument(kl, gradients):
    """The gradients by raw argument, whatever the function binds together"""
    reading = kl.reading
    if not reading.packing:
        return gradients
    flat = []
    for part in gradients:
        if reading.packing == "halves" and part is not None:
            flat += np.split(np.asarray(part), 2, axis=-1)
        elif isinstance(part, (list, tuple)):
            flat += list(part)
        else:
            flat.append(part)
    return flat if len(flat) == len(reading.pattern) else [None] * len(reading.pattern)


def at_far(kl, pair):
    """Compare with the sum over coordinates, and say of what kind a difference is"""
    value, true = kl(*pair), _sum_over_coordinates(pair)
    if not _differs(value, true, rounding(pair, kl.eps)):
        return
    kind = "" if np.isfinite(value) else "not finite"
    if not kind and _digits_lost(kl, pair, abs(value - true)):
        kind = "digits"
    raise Broken(pair, [("KL(q || p)", value, true)], kind=kind)


def _digits_lost(kl, pair, error):
    """Whether changes of the arguments in their last digits change the value as much"""
    moved = []
    for part in range(1, 6):
        by = 1 + 3e-16 * part
        near = Pair(pair.mean_q * by, pair.cov_q * by, pair.mean_p, pair.cov_p)
        moved.append(kl(*kl.form.restrict(near)))
    return np.ptp(moved) > 0.02 * error


@law("extremes", "the sum over coordinates, also far away, q wide or narrow", one_extreme)
def at_extremes(kl, pair):
    """No overflow, no 0 / 0, and nothing clipped where the KL itself is an ordinary number."""
    at_far(kl, pair)


@law("both extreme", "the same where p is as wide or narrow as q", both_extreme, TWO, told=True)
def at_both_extremes(kl, pair):
    """A small number in a denominator shows here: it is told, not refused."""
    at_far(kl, pair)


@law("many dimensions", "the sum over coordinates, in 30 and in 300 dimensions", one_large)
def many_dimensions(kl, pair):
    """No determinant that underflows: 0.01 to the power of 300 is 0 in double precision.
    Functions too slow for that are spared.
    """
    if kl.affords(pair.k):
        value, true = kl(*pair), _sum_over_coordinates(pair)
        if _differs(value, true, rounding(pair, kl.eps) + 1e-5 * true):
            kind = "" if np.isfinite(value) else "not finite"
            raise Broken(pair, [("KL(q || p)", value, true)], kind=kind)


def _sum_over_coordinates(pair):
    """KL(q || p) of diagonal covariances, from the definition"""
    variances = np.diag(pair.cov_q), np.diag(pair.cov_p)
    numbers = pair.mean_q - pair.mean_p, *variances  # far from 0 the cubature loses digits
    return sum(_of_one_coordinate(*of_one) for of_one in np.transpose(numbers).tolist())


@functools.lru_cache(maxsize=10_000)
def _of_one_coordinate(d, var_q, var_p):
    return float(gaussian_kl(d, var_q, 0.0, var_p))


def _short(array):
    return str(np.asarray(array).tolist()).replace(".0", "")


def pair_of(case):
    """The first pair in a case: what it is shown by"""
    while not isinstance(case, Pair):
        case = case[0]
    return case


def dimension(case):
    """The dimension of the pairs in a case"""
    return pair_of(case).k


def check_case(law, kl, case):
    """law(kl, *case); if kl raises, or gives no number, the law is broken too"""
    try:
        law(kl, *case)
    except Raised as failure:
        raise Broken(pair_of(case), message=f"it raised {failure}", kind="raised") from None
    except NotNumbers as failure:
        raise Broken(pair_of(case), message=str(failure)) from None
