"""Is this sampler of z ~ N(mu, sigma^2) right?  Moments, freshness, independence, gradient.

    findings = judge(LocalFunction(lambda mu, logvar, eps: mu + np.exp(logvar) * eps))
    findings.right, findings.names
    (False, ['std-is-exp-logvar'])

With the noise as an argument all is exact: (z - mu) / eps is the standard deviation.  Without, many
draws at four means and four scales show it, within five standard errors.
"""

import re

import numpy as np

from tinyvae.classroom.checker.findings import Findings, Mistake
from tinyvae.classroom.checker.function import CannotRun
from tinyvae.classroom.checker.roles import reading_of, role_of
from tinyvae.classroom.checker.terms import softplus
from tinyvae.classroom.checker.values import Described, Rng

DRAWS = 20_000
ERRORS = 5.0  # standard errors
MEANS = np.array([-2.0, 0.0, 1.0, 3.0])
POSITIVE = np.array([0.4, 0.7, 1.2, 1.8])  # of the scale argument: a scale of every kind
NEGATIVE = np.array([-1.5, -0.3, 0.4, 1.0])  # of a logarithm

STD = {  # the standard deviation that z has, from the scale argument
    "logvar": lambda s: np.exp(0.5 * s),
    "log std": np.exp,
    "std": lambda s: s,
    "variance": lambda s: np.sqrt(s),
    "softplus": softplus,
    "sqrt|s|": lambda s: np.sqrt(np.abs(s)),
    "|s|": np.abs,
    "exp(2 s)": lambda s: np.exp(2 * s),
    "s^2": np.square,
    "1": np.ones_like,
    "exp(s / 4)": lambda s: np.exp(0.25 * s),
    "exp(-s / 2)": lambda s: np.exp(-0.5 * s),
    "sqrt(softplus(s))": lambda s: np.sqrt(softplus(s)),
}
RIGHT = ("logvar", "log std", "std", "variance", "softplus")
D_LOG_STD = {  # d log std / d s
    "logvar": lambda s: 0.5 + 0 * s,
    "log std": lambda s: 1.0 + 0 * s,
    "std": lambda s: 1 / s,
    "variance": lambda s: 0.5 / s,
    "softplus": lambda s: 1 / (1 + np.exp(-s)) / softplus(s),
}
WORDS = {
    "logvar": "a log-variance",
    "log std": "a log standard deviation",
    "std": "a standard deviation",
    "variance": "a variance",
    "softplus": "the logarithm of exp(std) - 1, by softplus",
}
RANDOM = re.compile(r"rng|generator|^key|_key$|^seed|random_?(state|key)|prng", re.IGNORECASE)


class Sampler:
    """A sampler that is called with mu, a scale and, if it takes it, the noise."""

    def __init__(self, function, order, bundle=False):
        self.f, self.order, self.bundle = function, order, bundle

    def call(self, mu, s, eps=None, seed=0, **options):
        """The Outcome of one call"""
        given = {"mu": mu, "s": s, "eps": eps, "rng": Rng(seed or 0)}
        arguments = [given[role] for role in self.order]
        if self.bundle:
            arguments = [tuple(arguments)]
        return self.f.call(arguments, seed=seed, **options)

    def z(self, mu, s, eps=None, seed=0, **options):
        """The draws as (N, Z), or None where the call fails"""
        outcome = self.call(mu, s, eps, seed, **options)
        return None if outcome.error else draws_in(outcome.value, mu.shape)

    @property
    def takes_noise(self):
        """Is the noise an argument?"""
        return "eps" in self.order


def draws_in(value, shape):
    """The leaf of an answer that has the shape of mu, perhaps with samples in front; or None"""
    if isinstance(value, dict):
        named = [v for k, v in value.items() if k in ("z", "sample", "z_sample")]
        value = named or list(value.values())
    if isinstance(value, (tuple, list)):
        found = [draws_in(part, shape) for part in value]
        return next((part for part in found if part is not None), None)
    if value is None or isinstance(value, (Described, str)):
        return None
    array = np.asarray(value)
    if array.dtype.kind not in "fiu" or array.shape[array.ndim - len(shape) :] != shape:
        return None
    return array.astype(float)


def samplers(function):
    """The ways in which it can be called with ordinary arguments.  CannotRun if there is none."""
    required = [p.name for p in function.parameters or () if p.required and not p.variadic]
    error = ""
    for order, bundle in _orders(required, function):
        sampler = Sampler(function, order, bundle)
        for shape in ((3, 4), (4,)):
            mu, s = np.broadcast_to(MEANS, shape), np.broadcast_to(POSITIVE, shape)
            outcome = sampler.call(mu, s, np.ones(shape))
            error = error or outcome.error
            if not outcome.error and draws_in(outcome.value, shape) is not None:
                sampler.vector = len(shape) == 1
                return sampler
    said = f": {error}" if error else ": it gives nothing of the shape of mu"
    raise CannotRun(f"{function.shown_name} cannot be called as a sampler{said}")


def _orders(required, function):
    """(roles in their order, do they come in one tuple?), likely ones first"""
    said = []
    for name in required:
        role = "rng" if RANDOM.search(name) else role_of(name)
        said.append({"s_p": "s", "mu_p": "mu", "t": "s"}.get(role, role))
    if len(required) == 1:
        yield ("mu", "s"), True
        yield ("mu", "s", "eps"), True
        return
    if not required:
        yield ("mu", "s"), False
        return
    if set(said) <= {"mu", "s", "eps", "rng"} and len(set(said)) == len(said):
        yield tuple(said), False
    guessed = {2: ("mu", "s"), 3: ("mu", "s", "eps")}.get(len(required))
    if "rng" in said and len(required) == 3:
        others = iter(("mu", "s"))
        guessed = tuple("rng" if role == "rng" else next(others) for role in said)
    if guessed:
        yield guessed, False
        if len(guessed) == 3 and "rng" not in guessed:
            yield ("mu", "s", "rng"), False
            yield ("rng", "mu", "s"), False


def scale_name(sampler):
    """What the scale argument is called"""
    names = [p.name for p in sampler.f.parameters or () if p.required and not p.variadic]
    if sampler.bundle or len(names) != len(sampler.order):
        return ""
    return names[sampler.order.index("s")]


# ---- judging -------------------------------------------------------------------------------------


def judge(function, seed=0):
    """Compare a sampler with z = mu + sigma eps.    ->  Findings;  CannotRun if it fails"""
    sampler = samplers(function)
    findings = Findings(takes=f"{', '.join(sampler.order)}; {function.library}")
    if sampler.takes_noise:
        reading = _exact(sampler, findings, seed)
    else:
        reading = _drawn(sampler, findings, seed)
    _gradient(sampler, findings, reading, seed)
    return findings


MEAN_LAW = ("mean", "E z = mu")
STD_LAW = ("standard deviation", "z - mu = sigma eps")


def _exact(sampler, findings, seed):
    """With the noise as an argument: z = mu + sigma eps.    ->  how the scale is read"""
    rng = np.random.default_rng(seed)
    shape = (4,) if sampler.vector else (3, 4)
    mu, s, eps = rng.standard_normal(shape), rng.uniform(0.3, 1.8, shape), rng.uniform(1, 2, shape)
    zero = sampler.z(mu, s, 0 * eps)
    if zero is None or not np.allclose(zero, mu, rtol=1e-5, atol=1e-6):
        findings.law(*MEAN_LAW, Mistake("Without noise, z is not mu."))
        return ""
    findings.law(*MEAN_LAW)
    one, two = sampler.z(mu, s, eps), sampler.z(mu, s, -2 * eps)
    if not np.allclose(two - mu, -2 * (one - mu), rtol=1e-4, atol=1e-6):
        findings.law(*STD_LAW, Mistake("z - mu is not proportional to the noise."))
        return ""
    reading = _reading(sampler, findings, s, (one - mu) / eps, 1e-4)
    if reading in ("logvar", "log std"):
        low = s - 2.5
        std = (sampler.z(mu, low, eps) - mu) / eps
        if not np.allclose(std, STD[reading](low), rtol=1e-3):
            findings.mistakes.append(
                Mistake(
                    f"It is right for {scale_name(sampler)} > 0 only: negative ones are changed.",
                    "relu-on-logvar",
                )
            )
    _case(sampler, findings, reading)
    return reading


def _reading(sampler, findings, s, std, tolerance, factor_of=None):
    """Record what the standard deviation is as a function of the scale argument"""
    name = scale_name(sampler)
    said = reading_of(name)
    found = []
    for reading, g in STD.items():
        with np.errstate(all="ignore"):
            ratio = std / g(s)
        if np.all(np.isfinite(ratio)) and np.ptp(ratio) < 2 * tolerance * abs(np.mean(ratio)):
            found.append((reading, float(np.mean(ratio))))
    found.sort(key=lambda hit: (hit[0] != said, abs(hit[1] - 1) > tolerance, hit[0] not in RIGHT))
    if not found:
        findings.law(
            *STD_LAW,
            Mistake(
                f"The standard deviation of z is {_numbers(std)} where {name or 'the scale'} is "
                f"{_numbers(s)}: no function of it that is known."
            ),
        )
        return ""
    reading, factor = found[0]
    right = reading == said or (not said and reading in RIGHT)
    if abs(factor - 1) > tolerance:
        findings.law(
            *STD_LAW,
            Mistake(
                f"The noise has the standard deviation {factor:.3g}, not 1.", "noise-too-small"
            ),
        )
        return ""
    if right:
        findings.law(*STD_LAW)
        if name:
            findings.told.append(f"Right with {name} as {WORDS[reading]}.")
        return reading
    formula = {
        "logvar": "exp(s / 2)",
        "log std": "exp(s)",
        "std": "s",
        "variance": "sqrt(s)",
        "softplus": "softplus(s)",
    }.get(reading, reading)
    museum = {("logvar", "log std"): "std-is-exp-logvar"}.get((said, reading), "two-conventions")
    if reading == "1":
        museum = "scale-ignored"
    elif reading not in RIGHT:
        museum = "scale-as-std"
    formula = formula.replace("(s)", f"({name})").replace("(s /", f"({name} /")
    formula = f"{name}" if formula == "s" else formula
    findings.law(
        *STD_LAW,
        Mistake(
            f"The noise is multiplied by {formula}, which is not the standard deviation of "
            f"{WORDS.get(said, name)}.",
            museum,
        ),
    )
    return ""


def _numbers(values):
    return ", ".join(f"{v:.3g}" for v in np.ravel(values)[:4])


def _case(sampler, findings, reading):
    """A case for pencil and paper: variance 4, noise 3"""
    if findings.right or "eps" not in sampler.order:
        return
    said = reading_of(scale_name(sampler)) or "logvar"
    s = {"logvar": np.log(4), "log std": np.log(2), "std": 2.0, "variance": 4.0}.get(said, 2.0)
    shape = (1,) if sampler.vector else (1, 1)
    z = sampler.z(np.ones(shape), np.full(shape, s), np.full(shape, 3.0))
    if z is not None:
        names = dict(
            zip(sampler.order, [p.name for p in sampler.f.parameters if p.required], strict=False)
        )
        given = {"mu": [[1.0]], "s": [[float(s)]], "eps": [[3.0]]}
        findings.case = {names.get(role, role): given[role] for role in ("mu", "s", "eps")}
        findings.rows = [("z", z.tolist(), [[7.0]])]


def _many(sampler, s, seed, **options):
    """(N, 4) draws at MEANS and these scales, or None"""
    if sampler.vector:
        mu, scale = np.tile(MEANS, DRAWS), np.tile(s, DRAWS)
    else:
        mu, scale = np.tile(MEANS, (DRAWS, 1)), np.tile(s, (DRAWS, 1))
    z = sampler.z(mu, scale, seed=seed, **options)
    if z is None:
        return None
    return z.reshape(-1, 4) if z.ndim <= 2 or sampler.vector else z[0].reshape(-1, 4)


def _drawn(sampler, findings, seed):
    """Without: mean, standard deviation, shape, freshness, independence.    ->  the reading"""
    first = _many(sampler, POSITIVE, seed + 1, training=True)
    if first is None:
        raise CannotRun(f"{sampler.f.shown_name} fails for a large batch")
    noise = first - MEANS
    if np.all(np.abs(noise) < 1e-6):
        findings.law(*STD_LAW, Mistake("It adds no noise: z = mu.", "no-noise-at-test"))
        return ""
    _fresh(sampler, findings, seed, first)
    if not _independent(findings, noise):
        return ""
    _eval_mode(sampler, findings, seed)
    return _moments(sampler, findings, noise)


def _moments(sampler, findings, noise):
    n = len(noise)
    mean, std = noise.mean(0), noise.std(0)
    kurtosis = ((noise - mean) ** 4).mean(0) / (std**4).clip(1e-300)
    error = ERRORS * std / np.sqrt(n)
    if np.all(np.abs(kurtosis - 1.8) < 0.1):
        high = mean + np.sqrt(3) * std
        low = mean - np.sqrt(3) * std
        said = "0 to 1" if np.all(np.abs(low) < 0.1 * (high - low)) else "a symmetric interval"
        findings.law(
            "shape",
            "eps ~ N(0, I)",
            Mistake(f"The noise is uniform on {said}, not Gaussian.", "uniform-noise"),
        )
        return ""
    if np.any(np.abs(kurtosis - 3) > ERRORS * np.sqrt(24 / n) + 0.05):
        findings.law(
            "shape",
            "eps ~ N(0, I)",
            Mistake(
                f"The noise is not Gaussian: its fourth moment is {kurtosis.mean():.3g} sigma^4, "
                "where 3 is true."
            ),
        )
        return ""
    findings.law("shape", "eps ~ N(0, I)")
    if np.any(np.abs(mean) > error):
        findings.law(*MEAN_LAW, _mean_mistake(mean, error))
    else:
        findings.law(*MEAN_LAW)
    reading = _reading(sampler, findings, POSITIVE, std, ERRORS / np.sqrt(2 * n))
    if reading in ("logvar", "log std"):
        more = _many(sampler, NEGATIVE, 3, training=True)
        if more is not None:
            low = (more - MEANS).std(0)
            if np.any(np.abs(low / STD[reading](NEGATIVE) - 1) > ERRORS / np.sqrt(2 * n)):
                findings.mistakes.append(
                    Mistake(
                        f"Right for {scale_name(sampler)} > 0 only: negative ones are changed.",
                        "relu-on-logvar",
                    )
                )
    return reading


def _mean_mistake(mean, error):
    got = mean + MEANS
    if np.all(np.abs(got) < error):
        return Mistake("The mean of z is 0: mu is not added.", "mean-not-added")
    if np.all(np.abs(got - 2 * MEANS) < error):
        return Mistake("The mean of z is 2 mu: mu is added twice.")
    return Mistake(f"The mean of z is {_numbers(got)} where mu is {_numbers(MEANS)}.")


def _fresh(sampler, findings, seed, first):
    """Two calls draw different noise"""
    other = None if "rng" not in sampler.order else seed + 2
    again = _many(sampler, POSITIVE, other, training=True)
    law = ("fresh", "new noise in every call")
    if again is not None and np.allclose(again, first):
        findings.law(
            *law,
            Mistake(
                "Two calls give the same draws: the noise is drawn once, or a seed is set inside.",
                "noise-drawn-once",
            ),
        )
    else:
        findings.law(*law)


def _independent(findings, noise):
    """Rows and columns of the noise know nothing of each other"""
    law = ("independent", "over the examples and over the latent dimensions")
    n = len(noise)
    u = (noise - noise.mean(0)) / noise.std(0).clip(1e-12)
    if np.all(np.ptp(noise, axis=0) < 1e-6 * (1 + np.abs(noise).max())):
        findings.law(
            *law, Mistake("All examples of a batch get the same noise.", "noise-shared-by-batch")
        )
        return False
    between = (u.T @ u / n)[np.triu_indices(4, 1)]  # u has the mean 0 and the variance 1
    if np.all(np.abs(between) > 0.99):
        findings.law(
            *law, Mistake("All latent dimensions get the same noise.", "noise-shared-by-latents")
        )
        return False
    rows = np.array([np.mean(u[1:, j] * u[:-1, j]) for j in range(4)])
    if np.any(np.abs(between) > ERRORS / np.sqrt(n)) or np.any(np.abs(rows) > ERRORS / np.sqrt(n)):
        findings.law(
            *law, Mistake("The noise is correlated between latent dimensions or examples.")
        )
        return False
    findings.law(*law)
    return True


def _eval_mode(sampler, findings, seed):
    """A module draws in eval mode as well"""
    if not sampler.f.is_module:
        return
    z = _many(sampler, POSITIVE, seed + 1, training=False)
    law = ("eval mode", "the same in eval mode as in training")
    if z is not None and np.all(np.abs(z - MEANS) < 1e-6):
        findings.law(
            *law,
            Mistake(
                "In eval mode z = mu: a loss that is computed there is no bound.",
                "no-noise-at-test",
            ),
        )
    elif z is not None and np.any(
        np.abs(z.std(0) / _many(sampler, POSITIVE, seed + 1, training=True).std(0) - 1) > 0.05
    ):
        findings.law(*law, Mistake("In eval mode the noise has another size."))
    else:
        findings.law(*law)


def _gradient(sampler, findings, reading, seed):
    """The gradient goes through z: dz/dmu = 1, dz/ds = (z - mu) d log sigma / ds"""
    law = ("gradient", "dz/dmu = 1, dz/ds = (z - mu) d log sigma / ds")
    if sampler.f.library not in ("torch", "jax"):
        findings.law(*law, note="NumPy functions have no gradient of their own")
        return
    shape = (4,) if sampler.vector else (3, 4)
    mu, s = np.broadcast_to(MEANS, shape).copy(), np.broadcast_to(POSITIVE, shape).copy()
    eps = np.random.default_rng(seed).standard_normal(shape)
    outcome = sampler.call(mu, s, eps, seed=seed + 5, gradient=True, training=True)
    if outcome.gradients is None:
        said = outcome.no_gradient or outcome.error
        findings.law(*law, Mistake(f"No gradient goes through z: {said}.", "gradient-blocked"))
        return
    gradients = outcome.gradients[0] if sampler.bundle else outcome.gradients
    of = dict(
        zip(
            [r for r in sampler.order if r != "rng" or not sampler.bundle],
            gradients or [],
            strict=False,
        )
    )
    z = draws_in(outcome.value, shape)
    if of.get("mu") is None or not np.allclose(of["mu"], 1, atol=1e-4):
        findings.law(
            *law,
            Mistake(
                "No gradient reaches mu through z." if of.get("mu") is None else "dz/dmu is not 1.",
                "gradient-blocked",
            ),
        )
        return
    if of.get("s") is None:
        findings.law(*law, Mistake("No gradient reaches the scale through z.", "gradient-blocked"))
        return
    if reading in D_LOG_STD:
        true = (z - mu) * D_LOG_STD[reading](s)
        if not np.allclose(of["s"], true, rtol=1e-3, atol=1e-3):
            findings.law(
                *law,
                Mistake(
                    "The gradient by the scale is not (z - mu) d log sigma / ds.",
                    "gradient-blocked",
                ),
            )
            return
    findings.law(*law)
