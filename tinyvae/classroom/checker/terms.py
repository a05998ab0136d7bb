"""The terms that losses are made of, right and wrong: R_i of pictures and K_j of mu and a scale.

    RECONSTRUCTIONS, KLS     each Term gives one number an example, or one for the whole batch
    proportional(...)        which terms explain how a loss moves, and with which factor

A loss is a R_i + b K_j + c.  Moving only the pictures shows a R_i, moving only mu and the scale
shows b K_j: each part is compared with every term, so two mistakes at once are two names.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

SCALES = ("logvar", "log std", "variance", "std")  # how a scale argument may be read


@dataclass(frozen=True)
class Values:
    """What a loss is given, as float64 arrays.  B examples, D pixels, Z latent dimensions."""

    x: np.ndarray | None = None  # (B, D) the data
    r: np.ndarray | None = None  # (B, D) what the decoder gave: probabilities, logits or means
    mu: np.ndarray | None = None  # (B, Z)
    s: np.ndarray | None = None  # (B, Z) a scale of q, in one of SCALES
    eps: np.ndarray | None = None  # (B, Z) the noise; z = mu + std * eps
    t: np.ndarray | float = 0.0  # a scale of the decoder: as its own argument, one of SCALES
    recon: np.ndarray | None = None  # (B,) a reconstruction term that the loss is handed
    kl: np.ndarray | None = None  # (B,) a KL that the loss is handed
    mu_p: np.ndarray | float = 0.0  # (B, Z) a prior that is an argument
    s_p: np.ndarray | float | None = None

    def with_(self, **changes):
        """The same with some of them replaced."""
        return replace(self, **changes)


@dataclass(frozen=True)
class Term:
    """One thing that may stand in a loss."""

    says: str  # "binary cross-entropy of probabilities"
    value: Callable  # Values -> (B,), or () if it belongs to the whole batch
    right: bool = False
    reading: str = ""  # what the argument must be for it to be right
    museum: str = ""  # the name of the mistake in the museum
    family: str = ""  # "bernoulli", "gaussian", "laplace", ...: what a right term is the density of
    constant: Callable | None = None  # Values -> (B,): the part of -log p that does not move


def sigmoid(a):
    """1 / (1 + exp(-a))"""
    return 1 / (1 + np.exp(-a))


def softplus(a):
    """log(1 + exp(a))"""
    return np.logaddexp(0, a)


def variance_of(s, scale):
    """sigma^2 from a scale argument read as one of SCALES"""
    return {
        "logvar": np.exp,
        "log std": lambda s: np.exp(2 * s),
        "variance": lambda s: s,
        "std": np.square,
    }[scale](s)


def scale_from_logvar(logvar, scale):
    """A scale argument, as one of SCALES, from log sigma^2"""
    return {
        "logvar": lambda a: a,
        "log std": lambda a: 0.5 * a,
        "variance": np.exp,
        "std": lambda a: np.exp(0.5 * a),
    }[scale](logvar)


# ---- reconstructions -----------------------------------------------------------------------------


def bernoulli(p, x):
    """-log p(x) of pixels x in {0, 1} with means p, summed over the pixels"""
    return -(x * np.log(p) + (1 - x) * np.log(1 - p)).sum(-1)


def bernoulli_logits(a, x):
    """-log p(x) of pixels x in {0, 1} from logits, summed over the pixels"""
    return (softplus(a) - x * a).sum(-1)


def half_squares(r, x):
    """1/2 ||x - r||^2"""
    return 0.5 * ((x - r) ** 2).sum(-1)


def _half_log_two_pi(v):
    return 0.5 * np.log(2 * np.pi) * np.full(len(v.x), v.x.shape[-1])


def _gaussian(mean, scale):
    def value(v):
        variance = variance_of(v.t + 0 * v.x, scale)
        return 0.5 * ((v.x - mean(v.r)) ** 2 / variance + np.log(variance)).sum(-1)

    return value


def _continuous(p):
    """log C(p), the normaliser of the continuous Bernoulli"""
    p = np.where(np.abs(p - 0.5) < 1e-6, 0.5 + 1e-6, p)
    return np.log(np.arctanh(1 - 2 * p) * 2 / (1 - 2 * p))


def _huber(r, x):
    d = np.abs(x - r)
    return np.where(d < 1, 0.5 * d**2, d - 0.5).sum(-1)


def _same(a):
    return a


READ_AS = {"means": _same, "logits": sigmoid, "tanh": np.tanh}


def _right_reconstructions():
    yield Term(
        "binary cross-entropy of probabilities",
        lambda v: bernoulli(v.r, v.x),
        True,
        "probabilities",
        family="bernoulli",
    )
    yield Term(
        "binary cross-entropy of logits",
        lambda v: bernoulli_logits(v.r, v.x),
        True,
        "logits",
        family="bernoulli",
    )
    for reading in ("means", "logits"):
        mean, of = READ_AS[reading], " of sigmoid(logits)" if reading == "logits" else ""
        yield Term(
            f"squared error{of}",
            lambda v, mean=mean: half_squares(mean(v.r), v.x),
            True,
            reading,
            family="gaussian",
            constant=_half_log_two_pi,
        )
        yield Term(
            f"absolute error{of}",
            lambda v, mean=mean: np.abs(v.x - mean(v.r)).sum(-1),
            True,
            reading,
            family="laplace",
        )
    yield Term("Huber's error", lambda v: _huber(v.r, v.x), True, "means", family="huber")
    yield Term(
        "minus the log-density of the continuous Bernoulli",
        lambda v: bernoulli(v.r, v.x) - _continuous(v.r).sum(-1),
        True,
        "probabilities",
        family="continuous bernoulli",
    )
    yield Term(
        "minus the log-probability of a Poisson",
        lambda v: (v.r - v.x * np.log(v.r)).sum(-1),
        True,
        "means",
        family="poisson",
    )
    yield Term(
        "minus the Gaussian log-density at the best sigma of the batch",
        lambda v: 0.5 * v.x.size * np.log(np.mean((v.x - v.r) ** 2)),
        True,
        "means",
        family="best sigma",
    )
    yield Term(
        "minus the Gaussian log-density at the best sigma of each example",
        lambda v: 0.5 * v.x.shape[-1] * np.log(np.mean((v.x - v.r) ** 2, axis=-1)),
        True,
        "means",
        family="best sigma",
    )
    yield Term(
        "the reconstruction term that it is given", lambda v: v.recon, True, "", family="given"
    )


def _wrong_reconstructions():
    grey = "with prediction and target swapped"
    yield Term(
        f"cross-entropy {grey}", lambda v: bernoulli(v.x, v.r), museum="target-as-prediction"
    )
    yield Term(
        f"cross-entropy of logits {grey}",
        lambda v: bernoulli(v.x, sigmoid(v.r)),
        museum="target-as-prediction",
    )
    yield Term(
        "cross-entropy of sigmoid(sigmoid(logits))",
        lambda v: bernoulli_logits(sigmoid(v.r), v.x),
        museum="sigmoid-twice",
    )
    yield Term(
        "squared error of sigmoid(sigmoid(logits))",
        lambda v: half_squares(sigmoid(sigmoid(v.r)), v.x),
        museum="sigmoid-twice",
    )
    yield Term(
        "only -sum x log p: the black pixels, (1 - x) log(1 - p), are missing",
        lambda v: -(v.x * np.log(v.r)).sum(-1),
        museum="black-pixels-missing",
    )
    yield Term(
        "only -sum x log sigmoid(a): the black pixels are missing",
        lambda v: (v.x * softplus(-v.r)).sum(-1),
        museum="black-pixels-missing",
    )
    yield Term(
        "only -sum (1 - x) log(1 - p): the white pixels, x log p, are missing",
        lambda v: -((1 - v.x) * np.log(1 - v.r)).sum(-1),
        museum="black-pixels-missing",
    )
    yield Term(
        "-sum [ x log p - (1 - x) log(1 - p) ]: a sign inside",
        lambda v: -(v.x * np.log(v.r) - (1 - v.x) * np.log(1 - v.r)).sum(-1),
    )
    yield Term(
        "-sum [ x p + (1 - x) (1 - p) ]: the logarithms are missing",
        lambda v: -(v.x * v.r + (1 - v.x) * (1 - v.r)).sum(-1),
    )
    yield Term(
        "-sum [ x log p + (1 - p) log(1 - x) ]: p and x mixed up in the second term",
        lambda v: -(v.x * np.log(v.r) + (1 - v.r) * np.log(1 - v.x)).sum(-1),
    )
    yield Term(
        "sum (x - x_hat), not squared", lambda v: (v.x - v.r).sum(-1), museum="error-not-squared"
    )
    yield Term(
        "(sum (x - x_hat))^2: the sum is squared, not the differences",
        lambda v: (v.x - v.r).sum(-1) ** 2,
        museum="error-not-squared",
    )
    yield Term(
        "||x - x_hat||, the root of the squared error",
        lambda v: np.sqrt(2 * half_squares(v.r, v.x)),
        museum="root-of-squared-error",
    )
    yield Term(
        "the root of the squared error of the whole batch",
        lambda v: np.sqrt(2 * half_squares(v.r, v.x).sum()),
        museum="root-of-squared-error",
    )
    yield Term(
        "||sigmoid(a) - x||, the root of the squared error",
        lambda v: np.sqrt(2 * half_squares(sigmoid(v.r), v.x)),
        museum="root-of-squared-error",
    )
    for tiny in (1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10):
        yield Term(
            f"cross-entropy with {tiny:g} inside the logarithm",
            lambda v, tiny=tiny: (
                -(v.x * np.log(v.r + tiny) + (1 - v.x) * np.log(1 - v.r + tiny)).sum(-1)
            ),
            museum="epsilon-in-cross-entropy",
        )


def _scaled_reconstructions():
    """Those of a decoder that has a scale of its own"""
    for scale in SCALES:
        for reading in ("means", "logits"):
            of = " of sigmoid(logits)" if reading == "logits" else ""
            mean = READ_AS[reading]
            yield Term(
                f"minus the Gaussian log-density{of}, its scale a {scale}",
                _gaussian(mean, scale),
                True,
                reading,
                family=scale,
                constant=_half_log_two_pi,
            )
        yield Term(
            f"(x - x_hat)^2 / (2 sigma^2) without log sigma, its scale a {scale}",
            lambda v, scale=scale: (
                0.5 * ((v.x - v.r) ** 2 / variance_of(v.t + 0 * v.x, scale)).sum(-1)
            ),
            museum="normaliser-missing",
            family=scale,
        )
        yield Term(
            f"(x - x_hat)^2 / (2 sigma) + log sigma: sigma for sigma^2, its scale a {scale}",
            lambda v, scale=scale: (
                0.5 * (v.x - v.r) ** 2 / np.sqrt(variance_of(v.t + 0 * v.x, scale))
                + 0.5 * np.log(variance_of(v.t + 0 * v.x, scale))
            ).sum(-1),
            museum="sigma-for-variance-in-density",
            family=scale,
        )
        yield Term(
            f"(x - x_hat)^2 / (2 sigma^2) + log sigma^2: a factor 2 on the logarithm, "
            f"its scale a {scale}",
            lambda v, scale=scale: (
                0.5 * (v.x - v.r) ** 2 / variance_of(v.t + 0 * v.x, scale)
                + np.log(variance_of(v.t + 0 * v.x, scale))
            ).sum(-1),
            family=scale,
        )
        yield Term(
            f"(x - x_hat)^2 / sigma^2 + log sigma: a factor 2 on the square, its scale a {scale}",
            lambda v, scale=scale: (
                (v.x - v.r) ** 2 / variance_of(v.t + 0 * v.x, scale)
                + 0.5 * np.log(variance_of(v.t + 0 * v.x, scale))
            ).sum(-1),
            family=scale,
        )


RECONSTRUCTIONS = (*_right_reconstructions(), *_wrong_reconstructions())
SCALED_RECONSTRUCTIONS = tuple(_scaled_reconstructions())


# ---- KLs -----------------------------------------------------------------------------------------


def kl(v, scale):
    """KL( N(mu, sigma^2) || N(0, I) ), or to the prior that is given, summed over the latents"""
    variance = variance_of(v.s, scale)
    prior = 1.0 if v.s_p is None else variance_of(v.s_p + 0 * v.s, scale)
    ratio = variance / prior
    return 0.5 * ((v.mu - v.mu_p) ** 2 / prior + ratio - 1 - np.log(ratio)).sum(-1)


def draw_z(v, scale):
    """z = mu + sigma eps"""
    return v.mu + np.sqrt(variance_of(v.s, scale)) * v.eps


def _sampled(log_q, log_p):
    """A KL at one z: the sum over the latents of log q(z) - log p(z)"""

    def value(v, scale):
        variance = variance_of(v.s, scale)
        z = draw_z(v, scale)
        return (log_q(z, v.mu, variance) - log_p(z)).sum(-1)

    return value


def _log_density(z, mu, variance):
    return -0.5 * ((z - mu) ** 2 / variance + np.log(variance))


SAMPLED = {
    ("log q(z) - log p(z) at z", True, ""): _sampled(_log_density, lambda z: -0.5 * z**2),
    ("log q(z) - log p(z) at z, but for its noise", True, ""): _sampled(
        lambda z, mu, variance: -0.5 * np.log(variance), lambda z: -0.5 * z**2
    ),
    ("log q(z) - log p(z) at z, q without its log sigma", False, "normaliser-missing"): _sampled(
        lambda z, mu, variance: -0.5 * (z - mu) ** 2 / variance, lambda z: -0.5 * z**2
    ),
    ("log q(z) at z: log p(z) is missing", False, "prior-density-missing"): _sampled(
        _log_density, lambda z: 0 * z
    ),
    ("-log p(z) at z: log q(z) is missing", False, "entropy-missing"): _sampled(
        lambda z, mu, variance: 0 * z, lambda z: -0.5 * z**2
    ),
    ("log q(z) + log p(z) at z: a sign", False, "prior-density-sign"): _sampled(
        _log_density, lambda z: 0.5 * z**2
    ),
    ("log q - log p at z, with sigma where sigma^2 belongs", False, "std-as-variance"): _sampled(
        lambda z, mu, variance: _log_density(z, mu, np.sqrt(variance)), lambda z: -0.5 * z**2
    ),
}

# one coordinate of a wrong KL to N(0, I): m the mean, v the variance, l its logarithm, s the std
COORDINATES = {
    ("1/2 sum [ mu^2 + sigma - 1 - log sigma^2 ]: sigma where sigma^2 belongs", "M15"): (
        lambda m, v, l, s: m**2 + s - 1 - l
    ),
    ("1/2 sum [ mu^2 + sigma^2 - 1 - log sigma ]: log sigma for log sigma^2", "M16"): (
        lambda m, v, l, s: m**2 + v - 1 - 0.5 * l
    ),
    ("1/2 sum [ mu^2 + sigma^2 - 1 - (log sigma)^2 ]", "M17"): (
        lambda m, v, l, s: m**2 + v - 1 - 0.25 * l**2
    ),
    ("1/2 sum [ mu^2 + sigma^2 - 1 - (log sigma^2)^2 ]", "M17"): (
        lambda m, v, l, s: m**2 + v - 1 - l**2
    ),
    ("1/2 sum [ mu^2 + sigma^4 - 1 - log sigma^2 ]: sigma^2 squared once more", "sigma-fourth"): (
        lambda m, v, l, s: m**2 + v**2 - 1 - l
    ),
    ("1/2 sum [ mu^2 + sigma^2 - 1 + log sigma^2 ]: the sign of the logarithm", "M05"): (
        lambda m, v, l, s: m**2 + v - 1 + l
    ),
    ("1/2 sum [ mu^2 - sigma^2 - 1 - log sigma^2 ]: the sign of sigma^2", "sign-of-variance"): (
        lambda m, v, l, s: m**2 - v - 1 - l
    ),
    ("1/2 sum [ -mu^2 + sigma^2 - 1 - log sigma^2 ]: the sign of mu^2", "sign-of-mean"): (
        lambda m, v, l, s: -(m**2) + v - 1 - l
    ),
    ("1/2 sum [ mu + sigma^2 - 1 - log sigma^2 ]: mu is not squared", "M12"): (
        lambda m, v, l, s: m + v - 1 - l
    ),
    ("1/2 sum [ |mu| + sigma^2 - 1 - log sigma^2 ]: mu is not squared", "M12"): (
        lambda m, v, l, s: np.abs(m) + v - 1 - l
    ),
    ("1/2 sum [ sigma^2 - 1 - log sigma^2 ]: mu^2 is missing", "M27"): (
        lambda m, v, l, s: v - 1 - l
    ),
    ("1/2 sum [ 2 mu^2 + sigma^2 - 1 - log sigma^2 ]: mu^2 is doubled", "M14"): (
        lambda m, v, l, s: 2 * m**2 + v - 1 - l
    ),
    ("1/2 sum [ mu^2 / 2 + sigma^2 - 1 - log sigma^2 ]: mu^2 is halved", ""): (
        lambda m, v, l, s: 0.5 * m**2 + v - 1 - l
    ),
    ("1/2 sum mu^2: the terms of sigma are missing", "only-the-mean"): lambda m, v, l, s: m**2,
    ("1/2 sum [ mu^2 - 1 - log sigma^2 ]: sigma^2 is missing", "variance-missing"): (
        lambda m, v, l, s: m**2 - 1 - l
    ),
    ("1/2 sum [ mu^2 + sigma^2 - 1 ]: the logarithm is missing", "logarithm-missing"): (
        lambda m, v, l, s: m**2 + v - 1
    ),
    ("KL(p || q): the arguments are swapped", "M10"): (lambda m, v, l, s: (m**2 + 1) / v - 1 + l),
    ("half the sum of KL(q || p) and KL(p || q)", "M26"): (
        lambda m, v, l, s: 0.5 * (m**2 + v - 1 - l + (m**2 + 1) / v - 1 + l)
    ),
    ("1/2 sum [ mu^2 / sigma^2 + sigma^2 - 1 - log sigma^2 ]: mu^2 over q's variance", "M09"): (
        lambda m, v, l, s: m**2 / v + v - 1 - l
    ),
    ("1/2 sum [ mu^2 + 1 / sigma^2 - 1 - log sigma^2 ]: 1 / sigma^2 for sigma^2", "M08"): (
        lambda m, v, l, s: m**2 + 1 / v - 1 - l
    ),
    ("1/2 sum log( ... ), the logarithm of the whole bracket", "M07"): (
        lambda m, v, l, s: np.log(m**2 + v / np.exp(l) * v)
    ),
    ("minus the entropy of q: the expectation of log p(z) is missing", "entropy-only"): (
        lambda m, v, l, s: -l
    ),
}


def _coordinate_sum(g):
    def value(v, scale):
        variance = variance_of(v.s, scale)
        return 0.5 * g(v.mu, variance, np.log(variance), np.sqrt(variance)).sum(-1)

    return value


def kls(sampled=False):
    """The KL terms, right ones first, each under every reading of the scale."""
    for scale in SCALES:
        yield Term(
            "KL(q || p)", lambda v, scale=scale: kl(v, scale), True, scale, family="closed form"
        )
    if sampled:
        for (says, right, museum), value in SAMPLED.items():
            for scale in SCALES:
                yield Term(
                    says, lambda v, f=value, s=scale: f(v, s), right, scale, museum, "at a sample"
                )
    for scale in SCALES:
        yield Term(
            "the KL of the whole batch, beside a reconstruction of one example",
            lambda v, scale=scale: kl(v, scale).sum(),
            False,
            scale,
            "kl-summed-over-batch",
        )
    yield Term("the KL that it is given", lambda v: v.kl, True, "", family="given")
    for (says, museum), g in COORDINATES.items():
        for scale in SCALES:
            value = _coordinate_sum(g)
            yield Term(says, lambda v, f=value, s=scale: f(v, s), False, scale, museum)


KLS = tuple(kls())
SAMPLED_KLS = tuple(kls(sampled=True))


# ---- which term is it ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Match:
    """A term that explains how the loss moved: loss = factor * term + what did not move."""

    term: Term
    factor: float
    error: float  # relative


def feature(term, values, per_example):
    """What the term adds to a loss with factor 1: (B,) per example, or one number, its sum.

    None where the term needs something that the loss is not given, or is not finite.
    """
    try:
        with np.errstate(all="ignore"):
            value = np.asarray(term.value(values), float)
    except (TypeError, AttributeError):
        return None
    if not np.all(np.isfinite(value)):
        return None
    if per_example:
        return np.broadcast_to(value, (len(_first(values)),)).astype(float)
    return np.array([value.sum()])


def _first(values):
    for name in ("x", "mu", "recon", "kl"):
        if getattr(values, name) is not None:
            return getattr(values, name)
    raise AttributeError("no values")


def proportional(terms, draws, answers, per_example, tolerance=1e-6):
    """The terms that the answers are proportional to, but for a constant; best first.

    draws    Values, of which only one part moves;  answers (n, B) or (n, 1), the loss at each
    """
    answers = np.asarray(answers, float)
    moved = answers[1:] - answers[:1]
    size = np.sqrt(np.mean(moved**2))
    found = []
    if size <= 1e-12 * max(1.0, np.abs(answers).max()):
        return found
    for term in terms:
        features = [feature(term, values, per_example) for values in draws]
        if any(f is None for f in features):
            continue
        features = np.array(features)
        change = features[1:] - features[:1]
        norm = np.sum(change**2)
        if norm < 1e-20 or features.shape != answers.shape:
            continue
        factor = np.sum(change * moved) / norm
        error = np.sqrt(np.mean((moved - factor * change) ** 2)) / max(size, 1e-300)
        if error < tolerance:
            found.append(Match(term, float(factor), float(error)))
    found.sort(key=lambda match: match.error > 1e-9)  # the order of the terms decides ties
    return found


ATOMS = {
    "mu^2": lambda m, v: m**2,
    "sigma^2": lambda m, v: v,
    "log sigma^2": lambda m, v: np.log(v),
    "sigma": lambda m, v: np.sqrt(v),
    "(log sigma^2)^2": lambda m, v: np.log(v) ** 2,
    "sigma^4": lambda m, v: v**2,
    "mu": lambda m, v: m,
    "|mu|": lambda m, v: np.abs(m),
    "1 / sigma^2": lambda m, v: 1 / v,
    "mu^2 / sigma^2": lambda m, v: m**2 / v,
    "mu^2 sigma^2": lambda m, v: m**2 * v,
}
RIGHT_ATOMS = {"mu^2": 0.5, "sigma^2": 0.5, "log sigma^2": -0.5}


def sparsest(draws, answers, per_example, scale, tolerance=1e-6):
    """The fewest atoms of mu and sigma that explain how the loss moved.  {atom: weight}, or None"""
    from itertools import combinations

    answers = np.asarray(answers, float)
    moved = (answers[1:] - answers[:1]).ravel()
    columns = {}
    for name, g in ATOMS.items():
        with np.errstate(all="ignore"):
            term = Term(name, lambda v, g=g: g(v.mu, variance_of(v.s, scale)).sum(-1))
            features = [feature(term, values, per_example) for values in draws]
        if all(f is not None for f in features):
            features = np.array(features)
            columns[name] = (features[1:] - features[:1]).ravel()
    size = np.linalg.norm(moved)
    for count in range(1, 6):
        for names in combinations(columns, count):
            A = np.stack([columns[name] for name in names], axis=1)
            if len(A) <= count:
                return None
            weights, *_ = np.linalg.lstsq(A, moved, rcond=None)
            if np.linalg.norm(A @ weights - moved) < tolerance * size:
                return dict(zip(names, map(float, weights), strict=True))
    return None
