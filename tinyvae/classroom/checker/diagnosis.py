"""What a wrong KL is, from its values on fresh random pairs.

In this order: an entry of the museum whose values agree; another reading of the scale arguments
(standard deviations, variances, precisions ...); the weights of the terms

    1/2 log |cov_p| / |cov_q|  +  1/2 tr(cov_p^-1 cov_q)  +  1/2 d' cov_p^-1 d  -  k/2

by least squares; the same with other terms that mistakes are made of; or "not one we know".
"""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from tinyvae.classroom.checker.adapter import IN_WORDS, TO_VARIANCE, NotNumbers, Raised
from tinyvae.classroom.checker.kl_laws import FLOOR, Pair, rounding, truth
from tinyvae.classroom.museum import catalogue as bugs

inv = np.linalg.inv


@dataclass(frozen=True)
class Diagnosis:
    """says: lines to print.  names: the museum's entries that agree, most likely one."""

    says: tuple[str, ...]
    names: tuple[str, ...] = ()


def random_pairs(form, rng, count=24, largest=4):
    """Generic pairs that a function of this form can be given; every fourth is close to equality.

    Mistakes like max(KL, 0.1) show only there.
    """
    made = []
    for i in range(count):
        k = 1 + i % largest
        near = 0.05 if i % 4 == 3 else 1.0
        mean_p, cov_p = rng.normal(size=k), _covariance(form, rng, k)
        if form.signature == "standard-normal":
            mean_p, cov_p = np.zeros(k), np.eye(k)
        root = np.eye(k) + near * (_covariance(form, rng, k) - np.eye(k))
        cov_q = root @ cov_p @ root.T if near < 1 else _covariance(form, rng, k)
        made.append(Pair(mean_p + near * rng.normal(size=k), cov_q, mean_p, cov_p))
    return made


def _covariance(form, rng, k):
    root = np.diag(np.exp(rng.uniform(-0.7, 0.7, k)))
    if form.scale == "cov":
        root = root + np.tril(rng.uniform(-0.7, 0.7, (k, k)), -1)
    return root @ root.T


def value(kl, pair):
    """kl(*pair), or nan where it gives no number"""
    with np.errstate(all="ignore"):
        try:
            return float(kl(*pair))
        except (Raised, NotNumbers, ArithmeticError, ValueError, np.linalg.LinAlgError):
            return np.nan


def accuracy(kl, form, seed, count=24):
    """The worst relative error on random pairs with KL > 0.001, as (error, pair, true)"""
    largest = 1 if kl.only_1d else 4
    worst = (0.0, None, 0.0)
    for pair in random_pairs(form, np.random.default_rng(seed), count, largest):
        true = truth(pair)
        error = abs(value(kl, pair) - true) / true if true > 1e-3 else 0.0
        worst = max(worst, (float(error), pair, true), key=lambda entry: entry[0])
    return worst


def diagnose(kl, seed=0, count=40):
    """What is wrong with this Subject?  None if its values on random pairs are right."""
    rng = np.random.default_rng([seed, 1])
    pairs = random_pairs(kl.form, rng, count, 1 if kl.only_1d else 4)
    found = np.array([value(kl, pair) for pair in pairs])
    true = np.array([truth(pair) for pair in pairs])
    # Those that agree with the right function are no evidence for any mistake.
    slack = np.array([rounding(pair, kl.eps) for pair in pairs])
    usable = np.isfinite(found)
    if usable.sum() < count // 2:
        none = count - usable.sum()
        return Diagnosis((f"It gives no finite number for {none} of {count} random pairs.",))
    if np.all(np.abs(found - true)[usable] <= slack[usable]):
        return None
    pairs = [pair for pair, finite in zip(pairs, usable, strict=True) if finite]
    found, true, slack = found[usable], true[usable], slack[usable]
    return (
        _in_the_museum(kl, pairs, found, slack)
        or _other_scale(kl, rng)
        or _weights(pairs, found, slack)
        or _other_terms(kl, pairs, found, slack)
        or Diagnosis(("It is not a mistake we know.",))
    )


# ---- the museum ----------------------------------------------------------------------------------


def _in_the_museum(kl, pairs, found, slack):
    agree = []
    for bug in bugs.in_area("kl"):
        theirs = np.array([value(bug.f, pair) for pair in pairs])
        if np.all(np.abs(theirs - found) <= 1e-6 * np.abs(theirs) + slack):
            agree.append(bug)
    if not agree:
        return None
    says = []
    if len(agree) > 1:
        says.append(f"For this signature {len(agree)} mistakes give the same numbers:")
    for bug in agree:
        says.append(f'{bug.code} "{bug.title}"')
        says.append(f"    wrong  {bug.wrong}")
        says.append(f"    right  {bug.right}")
        says.append(f"    `tinyvae bugs {bug.name}` tells more")
    if len(agree) == 1:
        says[0] = "This is " + says[0]
    return Diagnosis(tuple(says), tuple(bug.name for bug in agree))


def museum_in_high_dimension(kl, pair):
    """The entries that give no number where kl gives none, on one extreme pair"""
    says, names = [], []
    if np.isfinite(value(kl, pair)):
        return None
    for bug in bugs.in_area("kl"):
        if np.isfinite(value(bug.f, pair)):
            continue
        says += [
            f'There {bug.code} "{bug.title}" gives no number, either',
            f"    wrong  {bug.wrong}",
        ]
        says += [f"    `tinyvae bugs {bug.name}` tells more"]
        names.append(bug.name)
    return Diagnosis(tuple(says), tuple(names)) if names else None


# ---- other readings of the arguments -------------------------------------------------------------


def _other_scale(kl, rng):
    """Is it right for standard deviations where it was given log-variances, and so on?"""
    k = 1 if kl.only_1d else 3
    given = kl.form.scale
    if given == "cov":
        return _other_matrices(kl, rng, k)
    readings = dict(TO_VARIANCE)
    readings["precision"] = np.reciprocal
    words = {**IN_WORDS, "precision": "precisions (1 / variance)"}
    cases = []
    for _ in range(8):  # numbers that are a scale in every reading
        s = rng.uniform(0.4, 2.0, (2, k))
        means = rng.normal(size=(2, k))
        if kl.form.signature == "standard-normal":
            means[1], s[1] = 0, 0 if given.startswith("log") else 1
        cases.append((means, s))
    for reading, variance in readings.items():
        if reading == given:
            continue
        agree = True
        for means, s in cases:
            passed = [np.diag(TO_VARIANCE[given](row)) for row in s]
            meant = [np.diag(variance(row)) for row in s]
            if kl.form.signature == "standard-normal":
                meant[1] = np.eye(k)
            passed = Pair(means[0], passed[0], means[1], passed[1])
            meant = Pair(means[0], meant[0], means[1], meant[1])
            agree &= abs(value(kl, passed) - truth(meant)) <= rounding(meant, kl.eps)
        if agree:
            says = [
                f"It is right if its scale arguments are {words[reading]}; "
                f"it was given {words[given]}."
            ]
            if reading == "std":
                says.append("Then check it with --std.")
            elif reading == "logvar":
                says.append(f"Then check it with --signature {kl.form.signature}.")
            return Diagnosis(tuple(says))
    return None


def _other_matrices(kl, rng, k):
    for word, meant_by in (
        ("precision matrices", inv),
        ("Cholesky factors", lambda S: S @ S.T),
    ):
        agree = True
        for pair in random_pairs(kl.form, rng, 8, k):
            p = np.eye(pair.k) if kl.form.signature == "standard-normal" else meant_by(pair.cov_p)
            meant = pair._replace(cov_q=meant_by(pair.cov_q), cov_p=p)
            agree &= abs(value(kl, pair) - truth(meant)) <= rounding(meant, kl.eps)
        if agree:
            return Diagnosis(
                (f"It is right if its scale arguments are {word}; it was given covariances.",)
            )
    return None


# ---- the terms -----------------------------------------------------------------------------------

TERMS = ("log-determinant ratio", "trace", "quadratic form", "k", "constant")
RIGHT = np.array([0.5, 0.5, 0.5, -0.5, 0.0])
NAMED = (
    "the log-determinant ratio",
    "the trace term",
    "the quadratic form",
    "the dimension k",
    "the constant 1",
)


def terms(pair):
    """log |cov_p| / |cov_q|, tr(cov_p^-1 cov_q), d' cov_p^-1 d, k, 1"""
    d = pair.mean_q - pair.mean_p
    return np.array(
        [
            np.linalg.slogdet(pair.cov_p)[1] - np.linalg.slogdet(pair.cov_q)[1],
            np.trace(np.linalg.solve(pair.cov_p, pair.cov_q)),
            d @ np.linalg.solve(pair.cov_p, d),
            pair.k,
            1.0,
        ]
    )


def _fit(columns, found, slack):
    """Weights of the columns that give `found` to within rounding, or None"""
    if len(found) < columns.shape[1] + 4:
        return None
    weights, _, rank, _ = np.linalg.lstsq(columns, found, rcond=1e-10)
    if rank < columns.shape[1] or np.any(np.abs(columns @ weights - found) > 3 * slack):
        return None
    return weights


def _weights(pairs, found, slack):
    columns = np.array([terms(pair) for pair in pairs])
    dimensions = columns[:, 3]
    right = RIGHT
    says, it = [], "it"
    if dimensions.min() == dimensions.max():  # one dimension only: k and the constant are one
        columns, right = columns[:, :4], RIGHT[:4]
    weights = _fit(columns, found, slack)
    if weights is None:
        weights = _fit(columns / dimensions[:, None], found, slack)
        if weights is None:
            return None
        says.append("Everything is divided by the dimension k: a mean over dimensions, not a sum.")
        it = "before the division it"
    off = np.abs(weights - right) > 1e-4
    if not off.any():
        return Diagnosis(tuple(says)) if says else None
    factor = weights[0] / 0.5
    if np.allclose(weights, factor * right, atol=1e-5) and abs(factor) > 1e-5:
        in_bits = ": in bits, not in nats" if abs(factor * np.log(2) - 1) < 1e-5 else ""
        says.append(f"{it} is {_number(factor)} times the KL{in_bits}.")
        return _sentences(says)
    if np.all(np.abs(weights[:3]) < 1e-5):
        k, one = (*weights[3:], 0.0)[:2]
        of_k = f"{_number(k)} k + " if abs(k) > 1e-5 else ""
        says.append(f"{it} is {of_k}{_number(one)}, whatever the means and covariances.")
        return _sentences(says)
    if np.array_equal(np.flatnonzero(off), [4]):
        says.append(f"{it} differs from the KL by the constant {_number(weights[4])}.")
    elif np.array_equal(np.flatnonzero(off), [3]):
        says.append(f"{it} differs from the KL by exactly {_number(weights[3] + 0.5)} k.")
    before = it.removesuffix("it")
    for name, w, true in zip(NAMED, weights, right, strict=False):
        if abs(w - true) > 1e-4:
            says.append(f"{before}{name} has the weight {_number(w)} instead of {_number(true)}.")
    return _sentences(says)


def _sentences(says):
    return Diagnosis(tuple(line[0].upper() + line[1:] for line in says))


def _number(x):
    """1/2 for 0.5, 0.499 for 0.499"""
    fraction = Fraction(float(x)).limit_denominator(12)
    return str(fraction) if abs(float(fraction) - x) < 1e-5 else f"{x:.6g}"


def _ingredients(pair):
    """What mistakes are made of, by the words for it"""
    d = pair.mean_q - pair.mean_p
    S_q, S_p, k = pair.cov_q, pair.cov_p, pair.k
    return {
        "log|Sp|": np.linalg.slogdet(S_p)[1],
        "log|Sq|": np.linalg.slogdet(S_q)[1],
        "tr(Sp^-1 Sq)": np.trace(inv(S_p) @ S_q),
        "d' Sp^-1 d": d @ inv(S_p) @ d,
        "k": k,
        "1": 1.0,
        "tr(Sq^-1 Sp)": np.trace(inv(S_q) @ S_p),
        "d' Sq^-1 d": d @ inv(S_q) @ d,
        "d'd": d @ d,
        "mq'mq": pair.mean_q @ pair.mean_q,
        "tr(Sq)": np.trace(S_q),
        "tr(Sp)": np.trace(S_p),
        "sum(d)": d.sum(),
    }


def _other_terms(kl, pairs, found, slack):
    """The whole formula, if it is a sum of few ingredients with simple weights"""
    drawn = random_pairs(kl.form, np.random.default_rng(7), 60, 1 if kl.only_1d else 4)
    more = [(pair, value(kl, pair)) for pair in drawn]
    more = [(pair, given) for pair, given in more if np.isfinite(given)]
    pairs = pairs + [pair for pair, _ in more]
    found = np.concatenate([found, [given for _, given in more]])
    slack = np.array([rounding(pair, kl.eps) for pair in pairs])
    table = [_ingredients(pair) for pair in pairs]
    names, columns = [], []
    for name in table[0]:  # leave out what the form makes equal to something already there
        column = np.array([row[name] for row in table])
        basis = np.array([*columns, column]).T
        if (
            np.linalg.matrix_rank(basis / np.linalg.norm(basis, axis=0).clip(1e-300))
            == len(names) + 1
        ):
            names.append(name)
            columns.append(column)
    weights = _fit(np.array(columns).T, found, slack)
    if weights is None:
        return None
    shown = [(w, name) for w, name in zip(weights, names, strict=True) if abs(w) > 100 * FLOOR]
    formula = " ".join(f"{'+' if w > 0 else '-'} {_number(abs(w))} {name}" for w, name in shown)
    return Diagnosis(
        (
            f"Its values are those of  {formula.removeprefix('+ ')}",
            "    where the KL is  1/2 ( log|Sp| - log|Sq| + tr(Sp^-1 Sq) + d' Sp^-1 d - k ),",
            "    Sq, Sp the covariances, mq, mp the means, d = mq - mp",
        )
    )
