"""Somebody's KL function, whatever it takes and gives, as kl(mean_q, cov_q, mean_p, cov_p) -> nats.

A `Form` says what the function takes.  `guess` reads it off the names of the parameters, `probe`
tries the function on one pair and on a batch, on NumPy arrays first, then on tensors or plain
numbers, and answers with a `Subject`: the function in the form that the laws are written for.
"""

import importlib.util
import re
from dataclasses import dataclass, replace

import numpy as np

from tinyvae.classroom.checker.function import CannotRun, as_function
from tinyvae.classroom.checker.values import Described

SIGNATURES = {
    "full": ("mean_q", "cov_q", "mean_p", "cov_p"),
    "diagonal": ("mu_q", "logvar_q", "mu_p", "logvar_p"),
    "standard-normal": ("mu", "logvar"),
}


def _diagonal(cov):
    return np.diagonal(cov, axis1=-2, axis2=-1)


# What a function may call the scale of a Gaussian, from the covariance matrix, and the way back
# from numbers to variances.
FROM_COVARIANCE = {
    "cov": lambda cov: cov,
    "logvar": lambda cov: np.log(_diagonal(cov)),
    "std": lambda cov: np.sqrt(_diagonal(cov)),
    "var": lambda cov: _diagonal(cov),
    "logstd": lambda cov: 0.5 * np.log(_diagonal(cov)),
}
TO_VARIANCE = {
    "logvar": np.exp,
    "std": np.square,
    "var": np.asarray,
    "logstd": lambda s: np.exp(2 * s),
}
IN_WORDS = {
    "cov": "covariance matrices",
    "logvar": "log-variances",
    "std": "standard deviations",
    "var": "variances",
    "logstd": "log standard deviations",
}


class Raised(Exception):
    """The function raised when it was called with arguments that it must accept."""

    def __init__(self, outcome):
        self.outcome = outcome
        super().__init__(outcome.error)


class NotNumbers(Exception):
    """The function answered with something that is not one real number for each pair."""


# ---- what it takes -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Form:
    """What a KL function takes: one of three signatures, what its scale is, in which order."""

    signature: str = "full"
    scale: str = "cov"
    names: tuple[str, ...] = SIGNATURES["full"]
    order: tuple[int, ...] = (0, 1, 2, 3)  # the i-th argument is the order[i]-th of SIGNATURES
    guessed: bool = False

    def arguments(self, mean_q, cov_q, mean_p, cov_p):
        """The function's own arguments for this pair, in its own order"""
        scale = FROM_COVARIANCE[self.scale]
        both = [mean_q, scale(cov_q), mean_p, scale(cov_p)]
        return [np.array(both[i], dtype=np.float64) for i in self.order]

    def __str__(self):
        what = {
            "full": "two Gaussians",
            "diagonal": "two Gaussians with independent coordinates",
            "standard-normal": "q against N(0, I)",
        }[self.signature]
        return f"{what}, {IN_WORDS[self.scale]}"


def form(signature="full", std=False):
    """The form of that name; with std, its scale is standard deviations, not log-variances."""
    if signature not in SIGNATURES:
        raise CannotRun(f"the signature is {' or '.join(SIGNATURES)}, not {signature!r}")
    if std and signature == "full":
        raise CannotRun("std goes with the signatures diagonal and standard-normal, not with full")
    names = SIGNATURES[signature]
    scale = "cov" if signature == "full" else "std" if std else "logvar"
    if std:
        names = tuple(name.replace("logvar", "std") for name in names)
    return Form(signature, scale, names, tuple(range(len(names))))


# fmt: off
KINDS = {
    "mean":   "mean means mu mus m loc locs avg μ",
    "cov":    "Sigma Sigmas SIGMA S C K Σ cov covs covar covariance covariances covmat covarmatrix "
              "covariancematrix covmatrix",
    "logvar": "logvar logvars lv logvariance logvariances logsigmasq logsigmasquared lnvar logv",
    "logstd": "logstd logsigma logsd logscale lnsigma lnstd logs logσ",
    "std":    "std stds stddev stdev sd s scale scales sds standarddeviation",
    "var":    "var vars variance variances v sigmasq sigmasquared ssq stdsq σsq",
    "sigma":  "sigma sigmas σ",
}
# fmt: on
KIND_OF = {name: kind for kind, names in KINDS.items() for name in names.split()}
SIDES = {"q", "p", "z", "x", "a", "b", "prior", "post", "posterior", "approx", "target"}


def kind_of(name, names=()):
    """ "mean", "cov", "logvar", "logstd", "std", "var", "sigma" (std or cov?), or None

    >>> kind_of("mu_q"), kind_of("Sigma0"), kind_of("qLogVar"), kind_of("sigma"), kind_of("beta")
    ('mean', 'cov', 'logvar', 'sigma', None)
    """
    if name.replace("2", "1") == name or name.replace("2", "1") not in names:
        name = re.sub(r"2(?=_|$)", "sq", name)  # sigma2 is a square, unless sigma1 is there too
    words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+|[^\W\d_A-Za-z]+", name)
    words = [word for word in words if word.lower() not in SIDES]
    bare = "".join(words)
    for candidate in (bare, bare.lower(), bare.lower()[:-1] if bare[-1:] in "qp" else ""):
        if candidate in KIND_OF:
            return KIND_OF[candidate]
    return None


def guess(f, signature=None, std=False):
    """The form of f, from its signature and the names of its parameters.

    Raises CannotRun with one sentence if the names leave a choice that only the user can make.
    """
    f = as_function(f)
    name = f.shown_name
    try:
        parameters = list(f.__signature__.parameters.values())
    except ValueError:
        parameters = None
    if parameters is None or any(p.kind is p.VAR_POSITIONAL for p in parameters):
        if signature is None:
            raise CannotRun(f"cannot see what {name} takes: say {_choices()}")
        return form(signature, std)
    for p in parameters:
        if p.kind is p.KEYWORD_ONLY and p.default is p.empty:
            raise CannotRun(f"{name} needs the keyword argument {p.name!r}: give it a default")

    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    names = [p.name for p in positional]
    kinds = [kind_of(n, names) for n in names]
    required = sum(p.default is p.empty for p in positional)
    shown = f"{name}({', '.join(names)})"

    if signature is not None:
        wanted = form(signature, std)
        count = len(wanted.names)
        if not required <= count <= len(names):
            takes = ", ".join(wanted.names)
            raise CannotRun(f"{shown} does not take the {count} arguments of {signature}: {takes}")
        found = _order(kinds[:count])
        order = found if found and count == len(found) else wanted.order
        return replace(wanted, names=tuple(names[:count]), order=order)

    count = 4 if len(names) >= 4 and required <= 4 and all(kinds[:4]) else required
    if count not in (2, 4):
        raise CannotRun(
            f"{shown} takes {count} arguments: a KL takes 4, as in kl(mean_q, cov_q, mean_p, "
            "cov_p), or 2, as in kl(mu, logvar)"
        )
    order = _order(kinds[:count])
    scales = {kind for kind in kinds[:count] if kind != "mean"}
    if count == 2 and order is None:
        if any(kinds[:2]):
            raise CannotRun(f"cannot tell the mean from the scale in {shown}: say {_choices()}")
        order, scales = (0, 1), {"logvar"}
    if order is None or len(scales) != 1 or (count == 4 and scales == {"sigma"} and not std):
        raise CannotRun(f"cannot tell from the names in {shown} what it takes: say {_choices()}")
    scale = "std" if std else scales.pop().replace("sigma", "std")
    kind = "standard-normal" if count == 2 else "full" if scale == "cov" else "diagonal"
    return Form(kind, scale, tuple(names[:count]), order, guessed=True)


def _order(kinds):
    """Which of mean_q, scale_q, mean_p, scale_p each argument is, or None"""
    if None in kinds or kinds.count("mean") * 2 != len(kinds):
        return None
    means, scales = iter((0, 2)), iter((1, 3))
    return tuple(next(means if kind == "mean" else scales) for kind in kinds)


def _choices():
    return "--signature full, diagonal or standard-normal (and --std for standard deviations)"


# ---- how it is called, and what it gives ---------------------------------------------------------


# What a function is called with, in words: the library and the dtype of its arguments.
CONVERTERS = {
    "NumPy arrays": ("numpy", "float64"),
    "PyTorch float64 tensors": ("torch", "float64"),
    "PyTorch float32 tensors": ("torch", "float32"),
    "JAX arrays": ("jax", "float64"),
    "plain numbers": ("python", "float64"),
}


def as_array(result):
    """A value that a function has answered with, as a NumPy array; NotNumbers if it is none"""
    if result is None:
        raise NotNumbers("it gave None: is a `return` missing?")
    if isinstance(result, Described):
        raise NotNumbers(f"it gave {result}")
    try:
        array = np.asarray(result)
    except Exception:
        raise NotNumbers(f"it gave a {type(result).__name__}, not a number") from None
    if array.dtype.kind not in "fiu":
        raise NotNumbers(f"it gave {_in_words(result, array)} instead of real numbers")
    return array


def _in_words(result, array):
    return f"a {type(result).__name__}" if array.dtype.kind == "O" else array.dtype.name


class Subject:
    """f in the form of the laws: kl(mean_q, cov_q, mean_p, cov_p) -> float, or (...) for a batch.

    eps: the rounding unit that f computes in.  only_batches: f wants a leading axis, always.
    """

    def __init__(self, f, form=None, *, hand="NumPy arrays", only_batches=False, eps=None):
        self.f, self.form = as_function(f), form or Form()
        self.hand, self.only_batches = hand, only_batches
        self.eps = float(eps or np.finfo(np.float64).eps)
        self.per_example = None  # does a batch of B give B numbers?  None: not known
        self.seconds = {}  # for a call, by dimension

    @property
    def only_1d(self):
        """f takes plain numbers, so it knows one dimension only."""
        return self.hand == "plain numbers"

    def affords(self, k):
        """Is f fast enough for k dimensions?  It is timed in fewer, and k^3 is expected."""
        for tried in (3, 30):
            if k <= tried:
                return True
            if tried not in self.seconds:
                pair = [array[0] for array in plain_pairs(self.form, tried, 1)]
                self.seconds[tried] = self.call(self.arguments(*pair)).seconds
            if self.seconds[tried] > 3e-3:
                return False
        return True

    def arguments(self, *pair):
        """f's own arguments for one pair, or for a batch of pairs"""
        arguments = self.form.arguments(*pair)
        if self.only_batches and np.ndim(pair[0]) == 1:
            arguments = [argument[None] for argument in arguments]
        if self.hand == "plain numbers":
            arguments = [float(argument.reshape(())) for argument in arguments]
        return arguments

    def call(self, arguments):
        """The Outcome of calling f with its own arguments"""
        library, dtype = CONVERTERS[self.hand]
        return self.f.call(arguments, library=library, dtype=dtype)

    def answer(self, arguments):
        """What f gives for its own arguments; Raised if it raises"""
        outcome = self.call(arguments)
        if outcome.error:
            raise Raised(outcome)
        self.kind = outcome.kind
        return outcome.value

    def __call__(self, *pair):
        array = as_array(self.answer(self.arguments(*pair))).astype(np.float64)
        shape = np.shape(pair[0])[:-1]
        if array.shape == shape:
            return array if shape else float(array)
        if not shape and array.size == 1:
            return float(array.reshape(()))
        raise NotNumbers(
            f"it gave an answer of shape {array.shape} for "
            + (f"a batch of {shape[0]}" if shape else f"one pair in {len(pair[0])} dimensions")
        )


def subject(kl):
    """kl itself if it is a Subject; otherwise kl as a function of mean_q, cov_q, mean_p, cov_p"""
    return kl if isinstance(kl, Subject) else Subject(kl)


# ---- trying --------------------------------------------------------------------------------------

B = 4  # a batch, of another size than the dimension of the pairs in it


def plain_pairs(form, k=3, count=B):
    """A batch of unremarkable pairs: (count, k), (count, k, k), the same again"""
    rng = np.random.default_rng(0)

    def gaussian():
        spread = rng.uniform(-0.5, 0.5, (count, k))
        cov = np.exp(spread)[..., None] * np.eye(k)
        if form.scale == "cov":
            root = np.linalg.cholesky(cov) + np.tril(rng.uniform(-0.4, 0.4, (count, k, k)), -1)
            cov = root @ np.swapaxes(root, -1, -2)
        return rng.uniform(-2, 2, (count, k)), cov

    mean_q, cov_q = gaussian()
    mean_p, cov_p = gaussian()
    if form.signature == "standard-normal":
        mean_p, cov_p = np.zeros((count, k)), np.broadcast_to(np.eye(k), (count, k, k))
    return mean_q, cov_q, mean_p, cov_p


def _hands(f, failures):
    """NumPy first; then tensors, if their library is installed and the failures are about types"""
    yield "NumPy arrays"
    about_types = any(
        failure.outcome.raised("TypeError", "AttributeError", "RuntimeError")
        for failure in failures.values()
    )
    for library in sorted(("torch", "jax"), key=lambda name: name not in f.libraries):
        if library in f.libraries or (about_types and importlib.util.find_spec(library)):
            yield from (hand for hand in CONVERTERS if _is_of(hand, library))
    yield "plain numbers"


def _is_of(hand, library):
    return hand.lower().startswith((library, "py" + library))


def probe(f, form):
    """f as a Subject: how it wants its arguments is decided by trying.  CannotRun if nothing works.

    One pair as vectors is tried first, then a batch; if f answers both with one number for each
    dimension or worse, it counts as a function of one pair, and the laws will say so.
    """
    f, failures = as_function(f), {}
    for hand in _hands(f, failures):
        k = 1 if hand == "plain numbers" else 3
        pairs = plain_pairs(form, k)
        one = [argument[0] for argument in pairs]
        found, answers = None, {}
        for only_batches, pair in ((False, one), (True, pairs)):
            if only_batches and hand == "plain numbers":
                continue
            trial = Subject(f, form, hand=hand, only_batches=only_batches)
            try:
                answers[only_batches] = trial.answer(trial.arguments(*pair))
                size = as_array(answers[only_batches]).size
            except Raised as failure:
                failures.setdefault(hand, failure)
                continue
            except NotNumbers:
                size = None
            if size in ((1, B) if only_batches else (1,)):
                found = trial
                break
            found = found or trial
        if found:
            found.eps = _eps(found, one)
            found.per_example = _per_example(found, pairs)
            return found
    raise CannotRun(_told(f, form, failures)) from None


def _eps(subject, pair):
    """The rounding unit that f computes in: of its answer's dtype, or coarser if it is deaf

    A function that answers in double precision but computes in single does not hear a change of
    one part in 10 billion.
    """
    try:
        array = as_array(subject.answer(subject.arguments(*pair)))
    except (Raised, NotNumbers):
        return float(np.finfo(np.float64).eps)
    if subject.kind.dtype == "bfloat16":
        return 2.0**-7
    if array.dtype.kind == "f" and array.dtype.itemsize < 8:
        return float(np.finfo(array.dtype).eps)
    mean_q, cov_q, mean_p, cov_p = pair
    nudged = as_array(subject.answer(subject.arguments(mean_q * (1 + 1e-10), cov_q, mean_p, cov_p)))
    if nudged.shape == array.shape and np.all(nudged == array) and np.all(np.isfinite(array)):
        nudged = as_array(
            subject.answer(subject.arguments(mean_q, cov_q * (1 + 1e-10), mean_p, cov_p))
        )
        if np.all(nudged == array):
            return float(np.finfo(np.float32).eps)
    return float(np.finfo(np.float64).eps)


def _per_example(subject, pairs):
    """Does a batch of B give B numbers?"""
    if subject.only_1d:
        return False
    try:
        shape = as_array(subject.answer(subject.arguments(*pairs))).shape
    except (Raised, NotNumbers):
        return False
    return shape == (B,)


def _told(f, form, failures):
    """One sentence: which error, of the attempts that fit what the user's file imports"""
    hand = next(iter(failures))
    if failures[hand].outcome.raised("TypeError", "AttributeError"):
        for library in ("torch", "jax"):
            for other in failures:
                if library in f.libraries and _is_of(other, library):
                    hand = other
    called = f"{f.shown_name}({', '.join(form.names)})"
    return f"{called} raised {failures[hand]} when it was called with {hand}"
