"""Is this bound on log p(x) right?  log( 1/S sum_s w_s ), from log-weights or from their parts.

    findings = judge(LocalFunction(lambda log_w: np.mean(log_w)))
    findings.right, findings.names
    (False, ['mean-of-logs'])

log w_s = log p(x|z_s) + log p(z_s) - log q(z_s|x).  The answer is compared with what is right and
with every known mistake: in the combination, in the weights, in the sign, in the axis.
"""

import itertools
import re
from dataclasses import dataclass

import numpy as np

from tinyvae.classroom.checker.findings import Findings, Mistake
from tinyvae.classroom.checker.function import CannotRun
from tinyvae.classroom.checker.roles import role_of
from tinyvae.classroom.checker.terms import softplus
from tinyvae.classroom.checker.values import Described

S, B, Z = 6, 4, 3
DRAWS = 3


def log_mean_exp(a, axis):
    """log( 1/S sum_s exp(a_s) )"""
    top = a.max(axis=axis, keepdims=True)
    mean = np.exp(a - top).mean(axis=axis)
    return np.squeeze(top, axis=axis) + np.log(mean)


def _softmax(a, axis):
    w = np.exp(a - a.max(axis=axis, keepdims=True))
    return w / w.sum(axis=axis, keepdims=True)


@dataclass(frozen=True)
class Form:
    """A way to combine log-weights a over an axis: right, or a mistake."""

    says: str
    value: object  # (a, axis) -> a without that axis
    name: str = ""
    right: bool = False


def _over_other(a, axis):
    return np.log(a.shape[1 - axis]) if a.ndim == 2 else 0.0


FORMS = (
    Form("log( 1/S sum w )", log_mean_exp, right=True),
    Form("the mean of the log-weights", lambda a, i: a.mean(i), "mean-of-logs"),
    Form(
        "log sum w: - log S is missing",
        lambda a, i: log_mean_exp(a, i) + np.log(a.shape[i]),
        "samples-not-averaged",
    ),
    Form(
        "log( 1/S sum exp(log w - max) ): the largest log-weight is not added back",
        lambda a, i: log_mean_exp(a, i) - a.max(i),
        "largest-weight-lost",
    ),
    Form(
        "log sum exp(log w - max): - log S is missing and the largest is not added back",
        lambda a, i: log_mean_exp(a, i) + np.log(a.shape[i]) - a.max(i),
        "largest-weight-lost",
    ),
    Form(
        "log( 1/S^2 sum w ): - log S twice",
        lambda a, i: log_mean_exp(a, i) - np.log(a.shape[i]),
        "averaged-twice-over-samples",
    ),
    Form(
        "log sum w minus the logarithm of the number of examples, not of samples",
        lambda a, i: log_mean_exp(a, i) + np.log(a.shape[i]) - _over_other(a, i),
        "wrong-count",
    ),
    Form(
        "sum of softmax(log w) log w: the weights belong inside the logarithm",
        lambda a, i: (_softmax(a, i) * a).sum(i),
        "weighted-sum-of-logs",
    ),
    Form(
        "sum of softmax(-log w) log w: a softmax of the loss, the worst sample weighs most",
        lambda a, i: (_softmax(-a, i) * a).sum(i),
        "softmax-of-the-loss",
    ),
    Form(
        "-log( 1/S sum 1/w ): the logsumexp of the losses",
        lambda a, i: -log_mean_exp(-a, i),
        "logsumexp-of-losses",
    ),
    Form(
        "-log sum 1/w: the logsumexp of the losses",
        lambda a, i: -log_mean_exp(-a, i) - np.log(a.shape[i]),
        "logsumexp-of-losses",
    ),
    Form("the largest log-weight", lambda a, i: a.max(i), "largest-weight-only"),
    Form("the sum of the log-weights", lambda a, i: a.sum(i), "mean-of-logs"),
    Form(
        "log( mean of the log-weights' exponentials ) halved",
        lambda a, i: 0.5 * log_mean_exp(a, i),
    ),
)
REDUCTIONS = {
    "one number an example": lambda y: y,
    "averaged over the batch": np.mean,
    "summed over the batch": np.sum,
}

# ---- log-weights from their parts ----------------------------------------------------------------

DENSITIES = {
    "": lambda z, mu, lv: -0.5 * ((z - mu) ** 2 / np.exp(lv) + lv),
    "log sigma is missing": lambda z, mu, lv: -0.5 * (z - mu) ** 2 / np.exp(lv),
    "sigma stands where sigma^2 belongs": lambda z, mu, lv: (
        -0.5 * (z - mu) ** 2 / np.exp(0.5 * lv) - 0.25 * lv
    ),
    "sigma stands under the square where sigma^2 belongs": lambda z, mu, lv: (
        -0.5 * (z - mu) ** 2 / np.exp(0.5 * lv) - 0.5 * lv
    ),
    "log sigma stands where log sigma^2 belongs": lambda z, mu, lv: (
        -0.5 * ((z - mu) ** 2 / np.exp(lv) + 0.5 * lv)
    ),
    "logvar is read as log sigma": lambda z, mu, lv: (
        -0.5 * ((z - mu) ** 2 / np.exp(2 * lv) + 2 * lv)
    ),
    "softplus(logvar) is taken for sigma": lambda z, mu, lv: (
        -0.5 * ((z - mu) / softplus(lv)) ** 2 - np.log(softplus(lv))
    ),
    "the square is not halved": lambda z, mu, lv: -((z - mu) ** 2) / np.exp(lv) - 0.5 * lv,
}
NAMES = {
    "log sigma is missing": "normaliser-missing",
    "sigma stands where sigma^2 belongs": "sigma-for-variance-in-density",
    "sigma stands under the square where sigma^2 belongs": "sigma-for-variance-in-density",
    "log sigma stands where log sigma^2 belongs": "log-sigma-in-density",
    "logvar is read as log sigma": "two-conventions",
    "softplus(logvar) is taken for sigma": "two-conventions",
    "the square is not halved": "half-missing-in-density",
}


def _weights(v):
    """(what is wrong with them or "", name, log-weights) from log p(x|z), z, mu and a scale"""
    ll, z, mu, lv = v["ll"], v.get("z"), v["mu"], v["s"]
    kl = 0.5 * (mu**2 + np.exp(lv) - 1 - lv).sum(-1)
    if z is None:
        yield "the closed-form KL stands inside the weights", "closed-form-kl-in-weights", ll - kl
        return
    d = {says: lambda m, s, f=f: f(z, m, s).sum(-1) for says, f in DENSITIES.items()}
    zero = np.zeros_like(lv)
    right = d[""](0 * mu, zero), d[""](mu, lv)
    yield "", "", ll + right[0] - right[1]
    for says, f in d.items():
        if says:
            yield f"in log q and log p, {says}", NAMES[says], ll + f(0 * mu, zero) - f(mu, lv)
            yield f"in log q, {says}", NAMES[says], ll + right[0] - f(mu, lv)
    yield "log p(z) is missing", "prior-density-missing", ll - right[1]
    yield "log q(z|x) is missing", "entropy-missing", ll + right[0]
    yield "the sign of log q - log p", "weights-inverted", ll - right[0] + right[1]
    yield "log p(z) is subtracted", "prior-density-sign", ll - right[0] - right[1]
    yield "only log p(x|z) is left", "only-the-likelihood", ll + 0 * right[0]
    yield "the KL is counted twice", "kl-counted-twice", ll - kl + right[0] - right[1]
    yield (
        "the closed-form KL stands inside the weights",
        "closed-form-kl-in-weights",
        (ll - kl + 0 * right[0]),
    )
    for logvar in (2.0, 1.0, 0.5, -1.0, -2.0):
        yield (
            f"p(z) has log sigma^2 = {logvar:g}: it is N(0, I)",
            "another-prior",
            ll + d[""](0 * mu, zero + logvar) - right[1],
        )
    for says, f in d.items():
        for logvar in (1.0,):
            yield (
                f"p(z) has log sigma = {logvar:g}, and {says or 'it is N(0, I)'}",
                "another-prior",
                ll + f(0 * mu, zero + logvar) - f(mu, lv),
            )


PLUS = re.compile(r"lik|log_?p|px|joint|prior|^ll$|log_?w|elbo|lw|logits?_?w")
MINUS = re.compile(r"log_?q|qz|^lq|nll|loss|kl|recon|bce|entropy|posterior")


def _sign(name):
    """+1 or -1 as the name says: log p adds to a log-weight, log q and a loss are taken off"""
    low = name.lower()
    if MINUS.search(low) and not re.search(r"log_?p(?!ost)", low):
        return -1
    return 1 if PLUS.search(low) else 0


# ---- calling it ----------------------------------------------------------------------------------

LAYOUTS = ("S", "SB", "BS")


class Bound:
    """A bound: which argument is what, and in which layout."""

    def __init__(self, function, kinds, layout):
        self.f, self.kinds, self.layout = function, kinds, layout

    @property
    def axis(self):
        """Where the samples are"""
        return self.layout.index("S")

    def draw(self, rng, samples=S):
        """{name: array}, with the log-weights' parts"""
        shape = tuple({"S": samples, "B": B}[c] for c in self.layout)
        batch = tuple(B for c in self.layout if c == "B")
        made = {}
        for name, kind in self.kinds.items():
            if kind in ("mu", "s"):
                made[name] = rng.standard_normal((*batch, Z)) * 0.7
            elif kind == "z":
                made[name] = rng.standard_normal((*shape, Z))
            elif kind == "count":
                made[name] = samples
            else:
                made[name] = 2 * rng.standard_normal(shape)
        return made

    def values(self, made):
        """By role, mu and the scale with an axis for the samples"""
        v = {}
        for name, kind in self.kinds.items():
            array = made[name]
            if kind in ("mu", "s"):
                array = np.expand_dims(array, self.axis) if array.ndim > 1 else array
            v[kind] = array
        return v

    def __call__(self, made, **options):
        return self.f.call(list(made.values()), seed=0, **options)


def _leaf(value):
    if isinstance(value, dict):
        named = [v for k, v in value.items() if re.search("iw|bound|elbo|loss|log_?p", str(k))]
        value = (named or list(value.values()))[0]
    while isinstance(value, (tuple, list)) and value:
        value = value[0]
    if value is None or isinstance(value, (Described, str)):
        return None
    array = np.asarray(value)
    return array.astype(float) if array.dtype.kind in "fiu" else None


COUNT = re.compile(r"[kKS]|n|num_?samples|n_?samples|n_?iw|num_?importance\w*|iwae_?k|samples")


def bounds(function):
    """Bounds that can be called.  CannotRun if there is none"""
    names = [p.name for p in function.parameters or () if p.required and not p.variadic]
    if not names or len(names) > 5:
        raise CannotRun(f"{function.shown_name} takes no log-weights")
    kinds = {}
    for name in names:
        role = "count" if COUNT.fullmatch(name) else role_of(name)
        kinds[name] = (
            role
            if role in ("z", "mu", "s", "count")
            and len(names) > 1
            and not (re.search(r"log_?[pq]|^l[pq]", name.lower()))
            else "part"
        )
    if "mu" in kinds.values() and "s" in kinds.values():
        kinds = {n: "ll" if k == "part" else k for n, k in kinds.items()}
    elif any(k in ("z", "mu", "s") for k in kinds.values()):
        kinds = {n: "count" if k == "count" else "part" for n, k in kinds.items()}
    found, error = [], ""
    for layout in LAYOUTS:
        bound = Bound(function, kinds, layout)
        outcome = bound(bound.draw(np.random.default_rng(0)))
        error = error or outcome.error
        if not outcome.error and _leaf(outcome.value) is not None:
            found.append(bound)
    if not found:
        said = f": {error}" if error else ""
        raise CannotRun(f"{function.shown_name} cannot be called as a bound{said}")
    return found


# ---- judging -------------------------------------------------------------------------------------


@dataclass
class Hit:
    """What the answer is: sign * reduction( form( weights ) )"""

    form: Form
    sign: int
    reduction: str
    says: str = ""
    name: str = ""
    bound: Bound | None = None

    @property
    def right(self):
        """Is it the bound, up to the sign?"""
        return self.form.right and not self.says


LAW = ("the bound", "log( 1/S sum_s w_s )")


def judge(function, seed=0):
    """Compare a bound with log( 1/S sum w ).    ->  Findings;  CannotRun if it cannot be called"""
    found = bounds(function)
    findings = Findings(takes=f"{', '.join(found[0].kinds)}; {function.library}")
    hits = [hit for bound in found if (hit := _hit(bound, seed))]
    best = next((hit for hit in hits if hit.right and hit.form.right), hits[0] if hits else None)
    is_sum = best is not None and not best.says and best.form.name == "weighted-sum-of-logs"
    if is_sum and _surrogate(found, seed):
        findings.law(*LAW, note="its gradient is the bound's, its value is not")
        findings.told.append(
            "Right as a loss to differentiate: softmax(log w), detached, times log w. Its value is "
            "not the bound."
        )
        return findings
    if best is None:
        findings.law(
            *LAW, Mistake("It is no log-mean-exp of the log-weights, nor a known mistake.")
        )
        _case(found[0], findings, None)
        return findings
    wrong = []
    if best.says:
        wrong.append(Mistake(f"In the log-weights {best.says}.", best.name))
    if not best.form.right:
        wrong.append(Mistake(f"It is {best.form.says}.", best.form.name))
    wrong += _sign_mistake(function, best)
    twisted = next(
        (h for h in hits if h.bound.layout != "S" and h.form.name == "wrong-count"), None
    )
    if (
        best.right
        and twisted
        and not any(h.right for h in hits if h.bound.layout == twisted.bound.layout)
    ):
        wrong.append(Mistake(f"For a batch it is {twisted.form.says}.", "wrong-count"))
    findings.law(*LAW, wrong)
    if not wrong:
        findings.told.append(
            {
                "S": "It takes the log-weights of one example.",
                "SB": "Samples first, then examples.",
                "BS": "Examples first, then samples.",
            }[best.bound.layout]
            + (
                ""
                if best.reduction == "one number an example" or best.bound.layout == "S"
                else f" It is {best.reduction}."
            )
        )
        if best.sign < 0:
            findings.told.append("It is minus the bound, a loss to minimise.")
    _one_sample(best, findings, seed)
    _stable(best, findings, seed)
    _gradient(best, findings, seed)
    if wrong:
        _case(best.bound, findings, best)
    return findings


def _signs(bound):
    """Combinations of +1, 0, -1 for the parts; the names' own first"""
    parts = [name for name, kind in bound.kinds.items() if kind == "part"]
    said = [_sign(name) for name in parts]
    if len(parts) == 1:
        said = [said[0] or 1]
    options = list(itertools.product((1, -1, 0, 2), repeat=len(parts)))
    if all(said):
        options.sort(key=lambda signs: tuple(signs) != tuple(said))
    else:
        likely = {2: (1, -1), 3: (1, 1, -1)}.get(len(parts), (1,) * len(parts))
        said = [s or guess for s, guess in zip(said, likely, strict=True)]
        options.sort(key=lambda signs: tuple(signs) != tuple(said))
    return parts, said, [o for o in options if any(o)]


def _candidates(bound, made):
    """(what is wrong with the log-weights, name, log-weights)"""
    v = bound.values(made)
    if "ll" in v:
        yield from _weights(v)
        return
    parts, said, options = _signs(bound)
    if len(parts) == 1:
        options = [tuple(said)]
    for signs in options:
        a = sum(sign * made[name] for sign, name in zip(signs, parts, strict=True))
        if list(signs) == said:
            yield "", "", a
        else:
            off = [
                (name, sign)
                for name, sign, right in zip(parts, signs, said, strict=True)
                if sign != right
            ]
            words = {0: "is missing", 1: "is added", -1: "is subtracted", 2: "counts twice"}
            yield " and ".join(f"{n} {words[s]}" for n, s in off), "weights-off", a


def _hit(bound, seed):
    """What the answer is, by values; None if nothing fits"""
    rng = np.random.default_rng(seed)
    draws = [bound.draw(rng) for _ in range(DRAWS)]
    answers = []
    for made in draws:
        outcome = bound(made)
        answers.append(None if outcome.error else _leaf(outcome.value))
    if any(a is None or not np.all(np.isfinite(a)) for a in answers):
        return None
    candidates = [list(_candidates(bound, made)) for made in draws]
    for i, (says, name, _) in enumerate(candidates[0]):
        for form in FORMS:
            with np.errstate(all="ignore"):
                values = [form.value(candidates[k][i][2], bound.axis) for k in range(DRAWS)]
            for reduction, reduce in REDUCTIONS.items():
                for sign in (1, -1):
                    if all(
                        np.size(reduce(v)) == answer.size
                        and np.allclose(
                            sign * np.ravel(reduce(v)), answer.ravel(), rtol=1e-5, atol=1e-6
                        )
                        for v, answer in zip(values, answers, strict=True)
                    ):
                        return Hit(form, sign, reduction, says, name, bound)
    return None


def _sign_mistake(function, hit):
    name = function.name.rpartition(".")[2].lower()
    losses = re.search(r"loss|nll|neg|cost|objective|minus", name)
    is_bound = re.search(r"bound|elbo|log_?p|log_?mean|log_?avg|likelihood|lme|logmeanexp", name)
    if hit.sign < 0 and is_bound and not losses:
        return [
            Mistake(
                f"The sign is turned: it is minus the bound, under the name {name}.", "sign-turned"
            )
        ]
    if hit.sign > 0 and losses:
        return [
            Mistake(
                f"The sign is turned: it is the bound, to be maximised, under the name {name}.",
                "sign-turned",
            )
        ]
    return []


def _one_sample(hit, findings, seed):
    """With one sample it is the ELBO's log w; with equal weights S does not matter"""
    bound = hit.bound
    rng = np.random.default_rng(seed + 1)
    made = bound.draw(rng, samples=1)
    outcome = bound(made)
    law = ("one sample", "S = 1: log w itself, the ELBO")
    if outcome.error:
        findings.law(*law, note="it does not take one sample")
        return
    weights = next(a for says, _, a in _candidates(bound, made) if says == hit.says)
    true = hit.sign * REDUCTIONS[hit.reduction](log_mean_exp(weights, bound.axis))
    got = _leaf(outcome.value)
    agrees = got is not None and np.allclose(np.ravel(got), np.ravel(true), rtol=1e-5, atol=1e-6)
    if not agrees and hit.right:
        findings.law(*law, Mistake("With one sample it is not log w.", "not-the-elbo"))
    else:
        findings.laws.append([*law, "ok" if agrees else "wrong", ""])


def _stable(hit, findings, seed):
    """log-weights of -1000 and 1000"""
    law = ("stable", "log w + 1000 gives the bound + 1000; and - 1000")
    if not hit.form.right:
        findings.law(*law, note="not judged: it is another combination")
        return
    bound = hit.bound
    made = bound.draw(np.random.default_rng(seed + 2))
    first = next((n for n, kind in bound.kinds.items() if kind in ("ll", "part")))
    sign = 1 if bound.kinds[first] == "ll" else _signs(bound)[1][0]
    here = _leaf(bound(made).value)
    for shift in (-1000.0, 1000.0):
        outcome = bound(made | {first: made[first] + shift})
        there = None if outcome.error else _leaf(outcome.value)
        size = (
            shift
            * sign
            * hit.sign
            * (B if hit.reduction.startswith("summed") and bound.layout != "S" else 1)
        )
        if there is None or not np.allclose(there - here, size, rtol=1e-4):
            findings.law(
                *law,
                Mistake(
                    f"It is not finite, or off, for log-weights near {shift:g}: the largest "
                    "must be taken out of the exponentials first.",
                    "weights-overflow",
                ),
            )
            return
    findings.law(*law)


def _gradient(hit, findings, seed):
    """d bound / d log w = softmax(log w)"""
    law = ("gradient", "d bound / d log w = w / sum w")
    bound = hit.bound
    if bound.f.library not in ("torch", "jax") or not hit.right:
        wrong = "not judged: it is another combination"
        findings.law(
            *law, note="NumPy functions have no gradient of their own" if hit.right else wrong
        )
        return
    found = _slopes(bound, seed)
    if found is None:
        findings.law(
            *law, Mistake("No gradient goes through it: it is detached.", "gradient-blocked")
        )
        return
    gradient, soft, sign = found
    scale = (
        hit.sign * sign / (B if hit.reduction.startswith("averaged") and bound.layout != "S" else 1)
    )
    wrong = []
    if not np.allclose(gradient, scale * soft, rtol=1e-3, atol=1e-5):
        wrong = [
            Mistake("Its gradient is not w / sum w: a part of it is detached.", "gradient-blocked")
        ]
    findings.law(*law, wrong)


def _slopes(bound, seed):
    """(gradient by the first part, softmax(log w), sign of that part), or None"""
    made = bound.draw(np.random.default_rng(seed + 3))
    first = next((n for n, kind in bound.kinds.items() if kind in ("ll", "part")), None)
    outcome = bound(made, gradient=True)
    if first is None or outcome.gradients is None:
        return None
    gradient = outcome.gradients[list(bound.kinds).index(first)]
    if gradient is None:
        return None
    weights = next(a for says, _, a in _candidates(bound, made) if not says)
    sign = 1 if bound.kinds[first] == "ll" else _signs(bound)[1][0]
    return np.asarray(gradient, float), _softmax(weights, bound.axis), sign


def _surrogate(found, seed):
    """Is its gradient the bound's, though its value may be another?"""
    for bound in found:
        if bound.f.library not in ("torch", "jax"):
            return False
        slopes = _slopes(bound, seed)
        if slopes is None:
            continue
        gradient, soft, sign = slopes
        ratio = gradient / (sign * soft)
        if np.ptp(ratio) < 1e-3 * abs(ratio.mean()):
            return True
    return False


def _case(bound, findings, hit):
    """A case for pencil and paper: weights 1 and 3, whose mean is 2"""
    if any(kind not in ("part", "count") for kind in bound.kinds.values()):
        return
    parts = [name for name, kind in bound.kinds.items() if kind == "part"]
    said = _signs(bound)[1]
    shape = {"S": (2,), "SB": (2, 1), "BS": (1, 2)}[bound.layout]
    for two in (0.0, np.log(3.0), np.log(7.0)):
        made = {n: 2 if bound.kinds[n] == "count" else np.zeros(shape) for n in bound.kinds}
        made[parts[0]] = said[0] * np.array([0.0, two]).reshape(shape)
        outcome = bound(made)
        got = None if outcome.error else _leaf(outcome.value)
        if got is None or got.size != 1:
            continue
        true = (
            hit.sign if hit and not any(m.name == "sign-turned" for m in findings.mistakes) else 1
        ) * np.log((1 + np.exp(two)) / 2)
        if not np.isclose(got.ravel()[0], true, rtol=1e-6, atol=1e-9):
            findings.case = {name: np.asarray(value).tolist() for name, value in made.items()}
            findings.rows = [("bound", float(got.ravel()[0]), float(true))]
            return
