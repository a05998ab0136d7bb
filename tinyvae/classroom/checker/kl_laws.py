"""The laws of the KL divergence between Gaussians, and the cases to try them on.

A law is called with a KL and a case.  It raises `Broken`, an AssertionError that knows the case, or
it is silent.  `law.cases()` is the Hypothesis strategy that draws its cases:

    from hypothesis import given
    from tinyvae.classroom.checker import kl_laws as laws

    @given(laws.affine.cases())
    def test_change_of_units(case):
        laws.affine(my_kl, *case)

A KL is a function of mean_q, cov_q, mean_p, cov_p that answers in nats.  For the other signatures
wrap it, and draw cases that it can take:

    mine = subject.Subject(my_kl, subject.form("diagonal"))
    laws.affine.cases(mine.form)

Cases are readable when shrunk: dimensions 1 to 4, means and log-variances that are small multiples
of 1/2, covariances L L' with such an L.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st

from tinyvae.classroom.checker.adapter import (
    TO_VARIANCE,
    Form,
    NotNumbers,
    Raised,
    as_array,
    subject,
)
from tinyvae.oracles import gaussian_kl

FLOOR = 1e-7  # a KL may be off by this part of its terms, whatever the reason


class Pair(NamedTuple):
    """Two Gaussians of the same dimension: means (k,), covariances (k, k)"""

    mean_q: np.ndarray
    cov_q: np.ndarray
    mean_p: np.ndarray
    cov_p: np.ndarray

    @property
    def k(self):
        return len(self.mean_q)


class Broken(AssertionError):
    """A law does not hold.

    pair    the case, as a Pair
    rows    what the function gave: (of what, given, true)
    says    one sentence, where numbers alone do not say it
    """

    def __init__(self, pair, rows=(), says=""):
        self.pair, self.rows, self.says = pair, list(rows), says
        values = "; ".join(f"{of}: {given}, true {true}" for of, given, true in self.rows)
        case = ", ".join(
            f"{name} = {np.asarray(v).tolist()}" for name, v in zip(Pair._fields, pair, strict=True)
        )
        super().__init__(". ".join(part for part in (says, values, case) if part))


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
    return vectors(k, entries).map(lambda s: np.diag(TO_VARIANCE[scale](s)))


def scales(k, form):
    """Covariances that a function of this form can be given"""
    return covariances(k) if form.scale == "cov" else diagonal_covariances(k, form.scale)


@st.composite
def pairs(draw, form=None, largest=LARGEST, smallest=1):
    """Two Gaussians that a function of this form can be given"""
    form = form or Form()
    k = draw(st.integers(smallest, max(smallest, largest)))
    matrices = scales(k, form)
    mean_q, cov_q = draw(vectors(k)), draw(matrices)
    if form.signature == "standard-normal":
        return Pair(mean_q, cov_q, np.zeros(k), np.eye(k))
    return Pair(mean_q, cov_q, draw(vectors(k)), draw(matrices))


@st.composite
def extremes(draw, form=None, largest=LARGEST):
    """Legal, and larger or smaller than what one tries by hand: means and variances"""
    k = draw(st.integers(1, largest))
    far = (0.0, 1.0, -1.0, 1e3, -1e3, 1e5)
    mean_q, mean_p = draw(vectors(k, far)), draw(vectors(k, far))
    spread = draw(st.sampled_from((1.0, 1e4, 1e-4, 1e10, 1e-10))) * draw(vectors(k, POSITIVE))
    ratio = draw(vectors(k, (1.0, 1e2, 1e-2)))
    return _diagonal_pair(form, mean_q, spread, mean_p, spread * ratio)


@st.composite
def large(draw, form=None, largest=LARGEST):
    """Few dimensions and many, of variances that are not 1: all twelve are drawn"""
    k = draw(st.sampled_from((3, 30, 300)))
    spread = np.full(k, draw(st.sampled_from((1.0, 0.1, 0.01, 100.0))))
    return _diagonal_pair(form, np.ones(k), spread, np.zeros(k), spread)


def _diagonal_pair(form, mean_q, var_q, mean_p, var_p):
    if form and form.signature == "standard-normal":
        mean_p, var_p = np.zeros_like(mean_p), np.ones_like(var_p)
    return Pair(mean_q, np.diag(var_q), mean_p, np.diag(var_p))


def maps(k, form):
    """Invertible maps A (k, k) that a function of this form can follow"""
    if form.scale == "cov" and form.signature == "full":
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

    def __call__(self, kl, *case):
        self.check(subject(kl), *case)

    def cases(self, form=None, largest=LARGEST):
        """A Hypothesis strategy for what comes after the KL, as a tuple; up to this dimension"""
        return self.draw(form, largest)

    @property
    def says(self):
        return (self.check.__doc__ or "").strip()


LAWS: list[Law] = []
TWO = ("full", "diagonal")
ALL = (*TWO, "standard-normal")


def law(name, formula, draw, signatures=ALL, batch=False, values=True):
    """Make the function below a law, and put it into LAWS."""

    def enter(check):
        made = Law(name, formula, check, draw, signatures, batch, values)
        LAWS.append(made)
        return made

    return enter


def _differs(a, b, slack):
    return not abs(a - b) <= slack  # nan differs


def _row(pair, value, of="KL(q || p)"):
    return (of, value, truth(pair))


@law("one number", "two Gaussians in, one real number out", one_pair, values=False)
def one_number(kl, pair):
    """For one pair the answer is one floating-point number, at least in single precision."""
    result = kl.answer(kl.arguments(*pair))
    try:
        array = as_array(result)
    except NotNumbers as error:
        raise Broken(pair, says=str(error)) from None
    if array.size != 1:
        if array.shape[-1:] == (pair.k,):
            says = f"it gave {pair.k} numbers, one a dimension: the sum over dimensions is missing"
        else:
            says = f"it gave an array of shape {array.shape} for one pair in {pair.k} dimensions"
        raise Broken(pair, says=says)
    if array.dtype.kind != "f" and not isinstance(result, int):
        raise Broken(pair, says=f"it gave {array.dtype}, where a KL is a real number")
    if kl.kind.dtype in ("float16", "bfloat16"):
        raise Broken(pair, says=f"it gave {kl.kind.dtype}: three digits are too few for a KL")


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
    for name in kl.call(kl.arguments(*pair)).changed:
        raise Broken(pair, says=f"it changes its argument {name} in place")


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
        says = "b = " + _short(shift)
        raise Broken(pair, [_row(pair, before), _row(moved, after, "after x -> x + b")], says)


@law("affine map", "x -> A x changes nothing, A invertible", mapped_pairs)
def affine(kl, pair, A):
    """Units are a matter of choice, and so are the axes.  Against N(0, I) only A = +-1 is left."""
    moved = mapped(pair, A)
    before, after = kl(*pair), kl(*moved)
    if _differs(before, after, rounding(pair, kl.eps) + rounding(moved, kl.eps)):
        says = "A = " + _short(A)
        raise Broken(pair, [_row(pair, before), _row(moved, after, "after x -> A x")], says)


@law("order of coordinates", "a permutation of x changes nothing", reordered_pairs)
def permutation(kl, pair, order):
    """The numbering of the coordinates is a matter of choice."""
    moved = mapped(pair, np.eye(pair.k)[order])
    before, after = kl(*pair), kl(*moved)
    if _differs(before, after, rounding(pair, kl.eps) + rounding(moved, kl.eps)):
        says = "order " + _short(order)
        raise Broken(pair, [_row(pair, before), _row(moved, after, "after reordering")], says)


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
    for near, far, of in ((1e-4, 1e-6, "var of q / 100"), (1e4, 1e6, "var of q * 100")):
        there, further = (pair._replace(cov_q=t * pair.cov_q) for t in (near, far))
        values = kl(*there), kl(*further)
        expected = slope * (far - near) - 0.5 * pair.k * np.log(far / near)
        slack = 1e-3 * abs(expected) + rounding(there, kl.eps) + rounding(further, kl.eps)
        if _differs(values[1] - values[0], expected, slack):
            raise Broken(there, [_row(there, values[0]), _row(further, values[1], of)])


@law("batch", "a batch gives what its pairs give one by one", batches, batch=True, values=False)
def batch(kl, several):
    """(B, k) in, (B,) out, and the same numbers."""
    stacked = Pair(*(np.stack(arrays) for arrays in zip(*several, strict=True)))
    together = as_array(kl.answer(kl.arguments(*stacked))).astype(np.float64)
    if together.shape != (len(several),):
        says = f"it gave shape {together.shape} for a batch of {len(several)}"
        raise Broken(several[0], says=says)
    for pair, value in zip(several, together, strict=True):
        alone = kl(*pair)
        if not (np.isnan(alone) and np.isnan(value)) and _differs(
            alone, value, rounding(pair, kl.eps)
        ):
            rows = [_row(pair, alone, "alone"), _row(pair, float(value), f"among {len(several)}")]
            raise Broken(pair, rows, "it depends on what else is in the batch")


@law("extremes", "the sum over coordinates, also far away, wide and narrow", one_extreme)
def at_extremes(kl, pair):
    """No overflow, no 0 / 0, and nothing clipped where the KL itself is an ordinary number."""
    value, true = kl(*pair), _sum_over_coordinates(pair)
    if _differs(value, true, rounding(pair, kl.eps)):
        raise Broken(pair, [("KL(q || p)", value, true)])


@law("many dimensions", "the sum over coordinates, in 30 and in 300 dimensions", one_large)
def many_dimensions(kl, pair):
    """No determinant that underflows: 0.01 to the power of 300 is 0 in double precision.
    Functions too slow for that are spared.
    """
    if kl.affords(pair.k):
        value, true = kl(*pair), _sum_over_coordinates(pair)
        if _differs(value, true, rounding(pair, kl.eps)):
            raise Broken(pair, [("KL(q || p)", value, true)])


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


def unhurt(law, kl, case):
    """law(kl, *case); if kl raises, or gives what is no number, the law is broken too."""
    try:
        law(kl, *case)
    except Raised as failure:
        raise Broken(pair_of(case), says=f"it raised {failure}") from None
    except NotNumbers as failure:
        raise Broken(pair_of(case), says=str(failure)) from None
