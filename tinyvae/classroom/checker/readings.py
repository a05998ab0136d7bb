"""What the arguments and the answer of somebody's KL mean: candidate readings, decided by values.

A reading says of every argument which Gaussian it belongs to and what it is of it (mean,
covariance, precision, Cholesky factor, log-variance, ...), how pairs are laid out (a batch first,
one pair, plain numbers, columns, images), and what the answer is (one number, one an example, one
a coordinate, the batch's sum or mean, an entry of a tuple or dict).

The names of the parameters rank the candidates; the function's values on random input decide:

    q = N(mean_q, S_q),  p = N(mean_p, S_p)
    KL(q || p) = 1/2 ( log|S_p| - log|S_q| + tr(S_p^-1 S_q) + d' S_p^-1 d - k ),  d = mean_q -
    mean_p

Here this formula serves to recognise a reading.  The verdict afterwards comes from the laws, whose
truth is the cubature.
"""

import itertools
import re
from dataclasses import dataclass, field, replace

import numpy as np

from tinyvae.classroom.checker.values import Distribution, Rng

# ---- what a name says ----------------------------------------------------------------------------

# fmt: off
EXPLICIT = {
    "mean":        "mean means mu mus loc locs avg μ expectation",
    "cov":         "cov covs covar covars covariance covariances covmat covmatrix covarmatrix "
                   "covariancematrix Σ",
    "precision":   "precision precisions prec precs invcov inversecovariance covinv "
                   "precisionmatrix "
                   "lambdamatrix",
    "cholesky":    "chol chols cholesky tril trils scaletril lower sqrt sqrtcov covsqrt "
                   "choleskyfactor "
                   "cholfactor",
    "logvar":      "logvar logvars lv lvar logvariance logvariances lnvar logsigmasq "
                   "logsigmasquared "
                   "logsigsq logstdsq logσsq lnsigmasq logvari",
    "logstd":      "logstd logstds logsigma logsigmas logsd lnsigma lnstd lstd lstds lsd "
                   "logsig logσ "
                   "logstddev logstdev logscale logscales",
    "std":         "std stds stddev stddevs stdev stdevs sd sds standarddeviation "
                   "standarddeviations",
    "var":         "var vars variance variances sigmasq sigmasquared ssq stdsq σsq sigsq sdsq",
    "sample":      "z x sample samples zs latent latents draw draws",
    "factor":      "factor factors covfactor W lowrank",
    "diagonal":    "diag diagonal covdiag psi",
    "noise":       "rng generator",
    "dimension":   "k dim dims d n ndim zdim latentdim nz latentsize",
}
# Names that may stand for any of several things, the most usual first.
AMBIGUOUS = {
    ("mean",): "m ms u",
    ("std", "var", "cov", "logvar", "logstd", "cholesky"): "sigma sigmas σ sig sigs",
    ("std", "var", "logstd", "logvar", "cov", "cholesky"): "s ss scale scales",
    ("var", "cov", "logvar", "std"): "v vs V",
    ("cov", "std", "var", "logvar", "precision"): "S K C A B c cc Sigma Sigmas SIGMA Sig Cov "
                                                  "sigmat R Q",
    ("cholesky", "precision", "cov"): "L Ls root r",
    ("precision", "cov", "std", "var"): "Lambda Lambdas lam lambda Λ P tau omega Omega Prec",
    ("logstd", "logvar"): "logs ls",
    ("logvar", "logstd"): "logv",
    ("logprecision",): "logprec logprecision logtau",
    ("softplus", "logstd", "logvar"): "rho rhos ρ",
}
# fmt: on
_EXPLICIT = {name: kind for kind, names in EXPLICIT.items() for name in names.split()}
_AMBIGUOUS = {name: kinds for kinds, names in AMBIGUOUS.items() for name in names.split()}
OF_Q = {"q", "post", "posterior", "approx", "approximate", "variational", "enc", "encoder", "guide"}
OF_P = {"p", "prior", "pri"}
# Names that say who is who, though both directions of the KL are in use.
FIRST = {"old", "to", "student", "pred", "predicted"}
SECOND = {"new", "from", "fr", "target", "teacher", "ref", "reference", "true"}

VECTOR_SCALES = ("logvar", "std", "var", "logstd", "precision", "logprecision")
ALL_VECTOR_SCALES = (*VECTOR_SCALES, "softplus")  # the last only where a name suggests it
MATRIX_SCALES = ("cov", "precision")
IN_WORDS = {
    "mean": "means",
    "cov": "covariance matrices",
    "precision": "precisions",
    "cholesky": "lower Cholesky factors",
    "logvar": "log-variances",
    "logstd": "log standard deviations",
    "std": "standard deviations",
    "var": "variances",
    "logprecision": "log precisions",
    "softplus": "standard deviations before the softplus",
    "sample": "a draw",
    "factor": "low-rank factors",
    "diagonal": "diagonals beside the low rank",
}
ONE = {
    "mean": "a mean",
    "cov": "a covariance",
    "precision": "a precision",
    "cholesky": "a lower Cholesky factor",
    "logvar": "a log-variance",
    "logstd": "a log standard deviation",
    "std": "a standard deviation",
    "var": "a variance",
    "logprecision": "a log precision",
    "softplus": "a standard deviation before the softplus",
    "sample": "a draw",
}


@dataclass(frozen=True)
class Name:
    """What the name of one parameter says.

    kinds       what it may be, most likely first; () if the name says nothing
    explicit    whether the name leaves no choice
    label       whose it is, in the user's own word: "q", "prior", "1", ""
    """

    text: str
    kinds: tuple[str, ...] = ()
    explicit: bool = False
    label: str = ""

    @property
    def side(self):
        """ "q" or "p" where the label leaves no choice, otherwise "" """
        words = set(self.label.lower().split("_"))
        return "q" if words & OF_Q else "p" if words & OF_P else ""


def read_name(text, names=()):
    """What the name of a parameter says, beside the names of the others.

    >>> read_name("z_log_var").kinds, read_name("covar_prior").side, read_name("s1").explicit
    (('logvar',), 'p', False)
    """
    squared = text
    if "1" not in text and (text.replace("2", "1") == text or text.replace("2", "1") not in names):
        squared = re.sub(r"(?<=[a-zA-Zσ])_?2(?=_|$)", "sq", text)
    words = re.findall(r"[A-Z]?[a-zσμ]+|[A-Z]+(?![a-z])|\d+|[ΣΛ]", squared)
    best = None
    for length in range(len(words), 0, -1):
        for start in range(len(words) - length + 1):
            span = "".join(words[start : start + length])
            rest = [w for i, w in enumerate(words) if not start <= i < start + length]
            found = _kinds(span)
            if not found:
                continue
            kinds, explicit = found
            # "z_mean": z is a label, beside a word that says more
            weight = (kinds[0] not in ("sample", "dimension"), explicit, length, -start)
            if best is None or weight > best[0]:
                best = weight, Name(text, kinds, explicit, "_".join(rest))
    if best:
        return best[1]
    glued = re.fullmatch(r"([qpz]?)([A-Za-zσμ]+?)([qp]?)", "".join(words))
    if glued and _kinds(glued[2]) and (glued[1] or glued[3]):
        kinds, explicit = _kinds(glued[2])
        return Name(text, kinds, explicit, (glued[1] + glued[3]).replace("z", ""))
    return Name(text, (), False, "_".join(words))


def _kinds(word):
    """(kinds, explicit) that a word may stand for, or None"""
    for written in (word, word.lower()):
        if written in _EXPLICIT:
            return (_EXPLICIT[written],), True
        if written in _AMBIGUOUS:
            return _AMBIGUOUS[written], False
    return None


# ---- layouts -------------------------------------------------------------------------------------

# For an argument: u a mean, v a scale by coordinate, m a positive definite matrix, l a lower
# triangular one, z a draw, f a low-rank factor.
LETTER = {
    "mean": "u",
    "cov": "m",
    "cholesky": "l",
    "precision": "vm",
    "sample": "z",
    "factor": "f",
    "diagonal": "v",
    "noise": "g",
    "dimension": "k",
}
SIZES = ((5, 3), (4, 2), (3, 4), (6, 3), (2, 3), (7, 2), (4, 3), (3, 2))  # B, k: never the same
LAYOUTS = {
    "batch": "a batch, examples first",
    "image": "a batch of images (B, C, H, W)",
    "sequence": "a batch of sequences (B, T, k)",
    "one": "one pair at a time",
    "number": "one dimension, plain numbers",
    "column": "one pair at a time, means as columns (k, 1)",
    "last": "a batch, examples last (k, B)",
    "list": "one pair at a time, as lists",
}


def draw(pattern, size, rng):
    """Random raw arguments (B, k), (B, k, k) of a pattern: legal under every reading of a letter"""
    B, k = size
    made = []
    for letter in pattern:
        if letter in "uz":
            made.append(rng.uniform(0.3, 1.7, (B, k)) * rng.choice([-1, 1], (B, k)))
        elif letter == "v":
            made.append(rng.uniform(0.35, 1.9, (B, k)))
        elif letter == "f":
            made.append(rng.uniform(-0.8, 0.8, (B, k, 2)))
        elif letter in "kg":
            made.append(np.full(B, k))
        else:
            root = np.tril(rng.uniform(-0.7, 0.7, (B, k, k)), -1)
            root += rng.uniform(0.5, 1.5, (B, k))[..., None] * np.eye(k)
            made.append(root if letter == "l" else root @ np.swapaxes(root, -1, -2))
    return made


_SEEDS = itertools.count(1)


def _fresh_rng():
    """A source of random numbers that no call before has had"""
    return Rng(next(_SEEDS))


def laid_out(raw, pattern, layout, shape=None):
    """The argument tuples to call a function with: one for a batch, B for one pair at a time"""
    B = len(raw[0])
    if layout in ("batch", "image", "sequence", "last"):
        arguments = []
        for array, letter in zip(raw, pattern, strict=True):
            if letter in "kg":
                arguments.append(int(array[0]) if letter == "k" else _fresh_rng())
            elif layout == "last":
                arguments.append(np.moveaxis(array, 0, -1))
            elif layout in ("image", "sequence"):
                arguments.append(array.reshape(shape))
            else:
                arguments.append(array)
        return [arguments]
    one = []
    for b in range(B):
        arguments = []
        for array, letter in zip(raw, pattern, strict=True):
            value = array[b]
            if letter in "kg":
                value = int(value) if letter == "k" else _fresh_rng()
            elif layout == "number":
                value = float(value.reshape(-1)[0])
            elif layout == "list":
                value = value.tolist()
            elif layout == "column" and letter in "uz":
                value = value[:, None]
            arguments.append(value)
        one.append(arguments)
    return one


# ---- candidates ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reading:
    """What each argument is, how pairs are laid out, and what the answer is.

    names     of the parameters, those of the arguments that are given
    pattern   a letter for each argument: LETTER
    roles     (whose, what) of each argument: whose is "q", "p" or "both"
    prior     "two Gaussians", "standard normal", "unit variance", "zero means", "shared scale", ...
    layout    one of LAYOUTS
    packing   "" or how arguments are bound together: "pairs", "dicts", "distributions"
    keys      of the dicts; the name of the distribution
    path      where the answer stands in a tuple or dict
    answer    one of ANSWERS
    size      the only dimension that it takes, or None
    labels    the user's words for q and p, such as ("1", "2")
    """

    names: tuple[str, ...]
    pattern: str
    roles: tuple[tuple[str, str], ...]
    prior: str
    layout: str = "batch"
    library: str = "numpy"
    packing: str = ""
    keys: tuple = ()
    path: tuple = ()
    answer: str = "example"
    size: int | None = None
    labels: tuple[str, str] = ("", "")
    target: str = "kl"  # or "log ratio at z", "expected log ratio at z"
    shape: tuple = ()  # of an image or a sequence, after the batch

    @property
    def scales(self):
        return [what for _, what in self.roles if what in (*ALL_VECTOR_SCALES, "cov", "cholesky")]

    @property
    def diagonal(self):
        """Whether every scale is a vector, so that covariances are diagonal"""
        return not set(self.pattern) & set("mlf")

    def gaussians(self, raw):
        """mean_q, S_q, mean_p, S_p that raw arguments (B, ...) mean, S variances or matrices"""
        B, k = _size(raw, self.pattern)
        mean = {"q": np.zeros((B, k)), "p": np.zeros((B, k))}
        scale = {"q": np.ones((B, k)), "p": np.ones((B, k))}
        low = {}
        for array, (whose, what) in zip(raw, self.roles, strict=True):
            for one in ("q", "p") if whose == "both" else (whose,):
                if what == "mean":
                    mean[one] = array
                elif what == "factor":
                    low[one] = array @ np.swapaxes(array, -1, -2)
                elif what in TO_COVARIANCE:
                    scale[one] = TO_COVARIANCE[what](array)
        if not self.diagonal:
            scale = {one: s if s.ndim == 3 else _diag(s) for one, s in scale.items()}
            scale = {one: s + low.get(one, 0) for one, s in scale.items()}
        return mean["q"], scale["q"], mean["p"], scale["p"]

    def sample(self, raw):
        """The draw z (B, k) among the raw arguments, or None"""
        for array, (_, what) in zip(raw, self.roles, strict=True):
            if what == "sample":
                return array
        return None


def _diag(v):
    """(B, k)  ->  diag v (B, k, k)"""
    return v[..., None] * np.eye(v.shape[-1])


def _precision(array):
    return 1 / array if array.ndim == 2 else np.linalg.inv(array)


TO_COVARIANCE = {
    "cov": lambda S: S,
    "precision": _precision,
    "cholesky": lambda L: L**2 if L.ndim == 2 else L @ np.swapaxes(L, -1, -2),
    "logvar": np.exp,
    "logstd": lambda s: np.exp(2 * s),
    "std": np.square,
    "var": lambda v: v,
    "logprecision": lambda s: np.exp(-s),
    "softplus": lambda s: np.logaddexp(0, s) ** 2,
    "diagonal": lambda v: v,
}


def _softplus_inverse(s):
    """rho with log(1 + exp(rho)) = s"""
    return s + np.log(-np.expm1(-s))


def _diagonal_of(S):
    return np.diagonal(S, axis1=-2, axis2=-1)


# The way back, from covariance matrices (..., k, k).
FROM_COVARIANCE = {
    "cov": lambda S: S,
    "precision": lambda S: 1 / _diagonal_of(S),
    "precision matrix": np.linalg.inv,
    "cholesky": np.linalg.cholesky,
    "logvar": lambda S: np.log(_diagonal_of(S)),
    "logstd": lambda S: 0.5 * np.log(_diagonal_of(S)),
    "std": lambda S: np.sqrt(_diagonal_of(S)),
    "var": _diagonal_of,
    "logprecision": lambda S: -np.log(_diagonal_of(S)),
    "softplus": lambda S: _softplus_inverse(np.sqrt(_diagonal_of(S))),
    "diagonal": _diagonal_of,
}


def kl_terms(mean_q, S_q, mean_p, S_p):
    """The four terms of 2 KL(q || p): by coordinate (B, k) for variances, (B,) for matrices"""
    d = mean_q - mean_p
    if S_q.ndim == 2:
        return np.log(S_p) - np.log(S_q), S_q / S_p, d**2 / S_p, -np.ones_like(d)
    P = np.linalg.inv(S_p)
    log_ratio = np.linalg.slogdet(S_p)[1] - np.linalg.slogdet(S_q)[1]
    trace = np.einsum("bij,bji->b", P, S_q)
    return log_ratio, trace, np.einsum("bi,bij,bj->b", d, P, d), -d.shape[1] * np.ones(len(d))


def log_ratio_at(z, mean_q, S_q, mean_p, S_p, expected):
    """log q(z) - log p(z), by coordinate or example; expected: E log q - log p(z)"""

    d_q, d_p = z - mean_q, z - mean_p
    if S_q.ndim == 2:
        log_q = -0.5 * (np.log(S_q) + (1.0 if expected else d_q**2 / S_q))
        return log_q + 0.5 * (np.log(S_p) + d_p**2 / S_p)
    quad = lambda d, S: np.einsum("bi,bij,bj->b", d, np.linalg.inv(S), d)  # noqa: E731
    log_q = np.linalg.slogdet(S_q)[1] + (d_q.shape[1] if expected else quad(d_q, S_q))
    return 0.5 * (np.linalg.slogdet(S_p)[1] + quad(d_p, S_p) - log_q)


def truth(reading, raw):
    """What the function should give before its answer is reduced: (B, k), or (B,) for matrices"""
    pair = reading.gaussians(raw)
    if reading.target != "kl":
        expected = reading.target == "expected log ratio at z"
        return log_ratio_at(reading.sample(raw), *pair, expected)
    return 0.5 * sum(kl_terms(*pair))


# ---- what an answer may be -----------------------------------------------------------------------

ANSWERS = {
    "example": "one number an example",
    "column": "one number an example, kept as a column",
    "coordinate": "one number a coordinate (sum them)",
    "sum": "the sum over the batch",
    "mean": "the mean over the batch",
    "position": "one number a position of the sequence",
}
# Answers that no KL may give, and what they are called.
MISREDUCED = {
    "mean over dimensions": "averages over the dimensions instead of summing",
    "mean of everything": "averages over batch and dimensions: the KL is a sum over the dimensions",
    "averaged twice": "averages over the batch twice",
    "sum and mean": "averages over the dimensions and sums over the batch",
    "axis 0": "sums over the batch (axis 0) instead of over the dimensions",
    "axis 0 mean": "averages over the batch and does not sum over the dimensions",
    "total in every row": "gives the total of the batch in every row",
    "mean in every row": "gives the mean of the batch in every row",
    "coordinate / k": "divides each coordinate by the dimension",
    "coordinate / B": "divides each coordinate by the batch size",
    "example / B": "divides each example by the batch size",
    "square": "gives a (B, B) table: a column meets a row",
}


def reduce(values, answer, shape=(), k=1):
    """values (B, k), or (B,) where coordinates cannot be told apart, as an answer of that kind"""
    B = len(values)
    each = values.sum(-1) if values.ndim == 2 else values
    k = values.shape[-1] if values.ndim == 2 else k
    return {
        "example": lambda: each,
        "column": lambda: each[:, None],
        "coordinate": lambda: values,
        "sum": lambda: each.sum(),
        "mean": lambda: each.mean(),
        "position": lambda: values.reshape(B, *shape).sum(-1),
        "mean over dimensions": lambda: each / k,
        "mean of everything": lambda: each.mean() / k,
        "averaged twice": lambda: each.mean() / B,
        "sum and mean": lambda: each.sum() / k,
        "axis 0": lambda: values.sum(0),
        "axis 0 mean": lambda: values.mean(0),
        "total in every row": lambda: np.full(B, each.sum()),
        "mean in every row": lambda: np.full(B, each.mean()),
        "coordinate / k": lambda: values / k,
        "coordinate / B": lambda: values / B,
        "example / B": lambda: each / B,
        "square": lambda: each[:, None] + 0 * each,
    }[answer]()


def answers_for(given, B, k, layout, shape=()):
    """The kinds of answer that an array of this shape may be: (allowed ones, wrong ones)

    In the layouts of one pair at a time the answers of B pairs are stacked.
    """
    if layout not in ("batch", "image", "sequence", "last"):
        if given.size == B:
            return ("example",), ("mean over dimensions",)
        return (("coordinate",), ("coordinate / k",)) if given.size == B * k else ((), ())
    if given.size == 1:
        return ("sum", "mean"), ("averaged twice", "mean of everything", "sum and mean")
    if given.shape == (B,):
        return ("example",), (
            "mean over dimensions", "total in every row", "mean in every row", "example / B",
        )  # fmt: skip
    if layout == "sequence" and given.shape in ((B, *shape[:-1]), (B, *shape[:-1], 1)):
        return ("position",), ()
    if given.shape == (B,) + (1,) * (given.ndim - 1):
        return ("column",), ("mean over dimensions", "total in every row", "example / B")
    if given.size == B * k and given.shape[0] == B:
        return ("coordinate",), ("coordinate / k", "coordinate / B")
    if given.size == k:
        return (), ("axis 0", "axis 0 mean")
    if given.shape == (B, B):
        return (), ("square",)
    return (), ()


# ---- asking --------------------------------------------------------------------------------------


class Failure(Exception):
    """The function raised, or gave no number, for arguments of this pattern.

    scalar    whether the reason is that it takes plain numbers, not arrays
    """

    def __init__(self, text, kind="raised"):
        self.text, self.kind = text, kind
        super().__init__(text)

    @property
    def did(self):
        """What it did, as a verb: "raised ...", "returned no number ..." """
        return f"raised {self.text}" if self.kind == "raised" else self.text

    @property
    def scalar(self):
        return any(words in self.text for words in _SCALAR_ONLY)


_SCALAR_ONLY = (
    "only length-1 arrays", "only 0-dimensional arrays", "only size-1 arrays",
    "only one element tensors", "cannot be converted to Scalar", "must be real number",
    "truth value of an array", "Boolean value of Tensor with more than one",
    "can only be converted to a Python scalar", "only integer scalar arrays",
    "only integer tensors of a single element", "truth value of an array with more than one",
    "elements cannot be converted", "unsupported operand type(s) for ** or pow(): 'list'",
    "can't multiply sequence", "unsupported operand type(s) for -: 'list'",
    "TypeError: bad operand",
)  # fmt: skip


@dataclass
class Trial:
    """What a function gave in one way of calling it: raw arguments and answers."""

    pattern: str
    layout: str
    library: str
    packing: str = ""
    keys: tuple = ()
    shape: tuple = ()
    size: int | None = None
    names: tuple = ()
    seen: list = field(default_factory=list)  # (raw, {path: array})
    tolerance: float = 1e-6  # relative, within which an explanation must agree

    def arguments(self, raw):
        """The function's own argument tuples for raw (B, ...) arrays"""
        shape = (len(raw[0]), *self.shape)
        return [
            pack(one, self.packing, self.keys, self.pattern)
            for one in laid_out(raw, self.pattern, self.layout, shape)
        ]

    def ask(self, call, raw):
        """{path: array} of what the function answers: for B pairs one at a time, stacked"""
        trees = [_leaves(call(arguments, self.library)) for arguments in self.arguments(raw)]
        if len(trees) == 1 and self.layout in ("batch", "image", "sequence", "last"):
            return trees[0]
        paths = set(trees[0])
        if any(set(tree) != paths for tree in trees):
            raise Failure("returned other structures for other pairs", "other")
        try:
            return {path: np.stack([tree[path] for tree in trees]) for path in trees[0]}
        except ValueError:
            raise Failure("returned other shapes for other pairs", "other") from None

    def observe(self, call, rng, sizes):
        """Call the function on fresh random arguments of these sizes.  Failure if it cannot."""
        for B, k in sizes:
            size = (B, 1 if self.layout == "number" else self.size or k)
            if self.layout in ("image", "sequence"):
                size = (B, int(np.prod(self.shape)))
            raw = draw(self.pattern, size, rng)
            self.seen.append((raw, self.ask(call, raw)))
        return self


def pack(arguments, packing, keys, pattern):
    """Arguments bound together as the function takes them"""
    if packing == "pairs":
        return [tuple(arguments[i : i + 2]) for i in range(0, len(arguments), 2)]
    if packing == "one tuple":
        return [tuple(arguments)]
    if packing == "dicts":
        half = len(keys)
        return [
            dict(zip(keys, arguments[i : i + half], strict=True))
            for i in range(0, len(arguments), half)
        ]
    if packing == "objects":
        from types import SimpleNamespace

        half = len(keys)
        return [
            SimpleNamespace(**dict(zip(keys, arguments[i : i + half], strict=True)))
            for i in range(0, len(arguments), half)
        ]
    if packing == "halves":
        return [np.concatenate(arguments[i : i + 2], -1) for i in range(0, len(arguments), 2)]
    if packing == "distributions":
        name, independent, fields = keys
        return [
            Distribution(name, dict(zip(fields, arguments[i : i + 2], strict=True)), independent)
            for i in range(0, len(arguments), 2)
        ]
    return list(arguments)


def _leaves(tree, path=()):
    """{path: float array} of the numeric leaves of an answer"""
    if isinstance(tree, dict):
        parts = tree.items()
    elif isinstance(tree, (tuple, list)) and not _is_flat(tree):
        parts = enumerate(tree)
    else:
        array = np.asarray(tree) if not isinstance(tree, np.ndarray) else tree
        if array.dtype.kind not in "fiu":
            return {}
        return {path: array.astype(np.float64)}
    found = {}
    for key, part in parts:
        found |= _leaves(part, (*path, key))
    return found


def _is_flat(values):
    return isinstance(values, list) and all(isinstance(v, (int, float)) for v in values)


# ---- which readings a signature allows -----------------------------------------------------------

_LETTERS = {
    "mean": "u", "cov": "mv", "precision": "vm", "cholesky": "l", "logvar": "v", "logstd": "v",
    "std": "v", "var": "vm", "logprecision": "v", "softplus": "v", "sample": "z",
    "factor": "f", "diagonal": "v", "noise": "g", "dimension": "k",
}  # fmt: skip


def letters_of(name):
    """The letters that one parameter may have, the likeliest first"""
    if not name.kinds:
        return "uvml"
    letters = "".join(_LETTERS[kind] for kind in name.kinds)
    if name.kinds[0] == "sample" and not name.label:
        letters += "u"
    return "".join(dict.fromkeys(letters))


def patterns(names, most=16):
    """Patterns for these parameters, the likeliest first"""
    ranked = []
    options = [letters_of(name) for name in names]
    for chosen in itertools.product(*[range(len(o)) for o in options]):
        pattern = "".join(o[i] for o, i in zip(options, chosen, strict=True))
        if not structures(pattern, names):
            continue
        scales = [letter for letter in pattern if letter in "vml"]
        mixed = len(set(scales)) > 1 and "f" not in pattern
        explicit = sum(n.explicit and i > 0 for n, i in zip(names, chosen, strict=True))
        in_turn = pattern == "uvuv"[: len(pattern)].replace("v", scales[0] if scales else "v")
        ranked.append(((mixed, explicit, sum(chosen), not in_turn), pattern))
    return [pattern for _, pattern in sorted(ranked, key=lambda entry: entry[0])][:most]


def structures(pattern, names):
    """Ways to give the arguments to q and p: a list of (roles, prior, target, labels)

    A role is (whose, what), what being "mean", "scale", "sample", ...  The first of two Gaussians
    is called q here; `candidates` turns them round as well.
    """
    where = {
        letter: [i for i, other in enumerate(pattern) if other == letter] for letter in "uzfkg"
    }
    scales = [i for i, letter in enumerate(pattern) if letter in "vml"]
    means = where["u"]
    if len(where["z"]) > 1 or len(where["k"]) > 1:
        return []
    if where["f"]:
        if len(where["f"]) != len(means) or len(scales) != len(means):
            return []
        if any(pattern[i] != "v" for i in scales) or not means or len(means) > 2:
            return []
    count = len(means), len(scales)
    label = lambda i: names[i].label  # noqa: E731
    made = []

    def give(of_q, of_p, prior, both=(), target="kl"):
        roles = [None] * len(pattern)
        for whose, these in (("q", of_q), ("p", of_p), ("both", both)):
            for i in these:
                roles[i] = whose, "mean" if pattern[i] == "u" else "scale"
        for i in where["f"]:
            j = where["f"].index(i)
            whose = roles[means[j]][0]
            roles[i] = whose, "factor"
            roles[scales[j]] = whose, "diagonal"
        for letter, what in (("z", "sample"), ("k", "dimension"), ("g", "noise")):
            for i in where[letter]:
                roles[i] = "both", what
        named = [next((label(i) for i in side if label(i)), "") for side in (of_q, of_p)]
        targets = ("log ratio at z", "expected log ratio at z") if where["z"] else ("kl",)
        made.extend((tuple(roles), prior, t, tuple(named)) for t in targets)

    if count == (1, 1):
        give([*means, *scales], [], "standard normal")
    elif count == (2, 2):
        first, second = scales
        if label(means[0]) != label(means[1]) and (
            label(means[0]) == label(second) or label(means[1]) == label(first)
        ):
            first, second = second, first
        give([means[0], first], [means[1], second], "two Gaussians")
    elif count == (0, 2):
        give(scales[:1], scales[1:], "zero means")
    elif count == (2, 0):
        give(means[:1], means[1:], "unit variances")
    elif count == (1, 0):
        give(means, [], "unit variances, standard normal")
    elif count == (0, 1):
        give(scales, [], "zero mean, standard normal")
    elif count == (2, 1):
        a, b = means
        if label(b) == label(scales[0]) != label(a):
            a, b = b, a
        give([a, scales[0]], [b], "unit variance")
        give([a], [b], "shared scale", both=scales)
    elif count == (1, 2):
        first, second = scales
        if where["z"]:  # z ~ q beside log q's scale: the rest belongs to p
            own = second if label(second) == label(means[0]) else first
            other = first if own == second else second
            give([other], [means[0], own], "mean of q left to z")
        else:
            if label(second) == label(means[0]) != label(first):
                first, second = second, first
            give([means[0], first], [second], "zero prior mean")
    return made


def _kinds_for(i, pattern, names, any_kind):
    letter = pattern[i]
    if letter == "l":
        return ("cholesky",)
    of_letter = MATRIX_SCALES if letter == "m" else VECTOR_SCALES
    if names[i].explicit and not any_kind:
        kinds = ["var" if letter == "v" and k == "cov" else "cov" if letter == "m" and k == "var"
                 else k for k in names[i].kinds]  # fmt: skip
        return tuple(k for k in kinds if k in of_letter) or of_letter
    first = [k for k in names[i].kinds if k in of_letter or (k == "softplus" and letter == "v")]
    return tuple(dict.fromkeys([*first, *of_letter]))


def candidates(trial, names, any_kind=False):
    """Readings of the arguments, those that the names suggest first; any_kind: also against them"""
    scales = [i for i, letter in enumerate(trial.pattern) if letter in "vml"]
    for roles, prior, target, labels in structures(trial.pattern, names):
        open_ = [i for i in scales if roles[i][1] == "scale"]
        options = [_kinds_for(i, trial.pattern, names, any_kind) for i in open_]
        chosen = list(itertools.product(*options))
        if not any_kind:  # all alike, unless names say otherwise
            explicit = [names[i].explicit for i in open_]
            free = [
                {kind for kind, fixed in zip(kinds, explicit, strict=True) if not fixed}
                - {"softplus"}
                for kinds in chosen
            ]
            alike = [kinds for kinds, one in zip(chosen, free, strict=True) if len(one) <= 1]
            chosen = alike or chosen
        chosen.sort(key=lambda kinds: len(set(kinds)))
        for kinds in chosen:
            filled = list(roles)
            for i, kind in zip(open_, kinds, strict=True):
                filled[i] = roles[i][0], kind
            one = Reading(
                tuple(name.text for name in names[: len(trial.pattern)]),
                trial.pattern,
                tuple(filled),
                prior,
                trial.layout,
                trial.library,
                trial.packing,
                trial.keys,
                size=trial.size,
                labels=labels,
                target=target,
                shape=trial.shape,
            )
            yield one
            if prior in ("two Gaussians", "zero means", "unit variance", "zero prior mean",
                         "unit variances") and target != "expected log ratio at z":  # fmt: skip
                yield turned(one)


def turned(reading):
    """The reading with q and p exchanged"""
    other = {"q": "p", "p": "q", "both": "both"}
    roles = tuple((other[whose], what) for whose, what in reading.roles)
    return replace(reading, roles=roles, labels=reading.labels[::-1])


def objections(reading, names, said=("", "")):
    """Where explicit names contradict the reading: a list of sentences, empty if nowhere

    said    the direction that the docstring gives, as labels or names of (q, p)
    """
    found = []
    for name, (whose, what), letter in zip(names, reading.roles, reading.pattern, strict=False):
        expected = name.kinds[:1] if name.explicit else name.kinds
        if not name.explicit or what in ("noise", "dimension", "factor", "diagonal"):
            continue
        same = {what} | ({"cov", "var"} if what in ("cov", "var") else set())
        if what == "precision" or letter in "ml":
            same.add(what)
        if not same & set(expected):
            found.append(f"{name.text} is used as {ONE.get(what, what)}")
        del whose
    turned_round = direction_objection(reading, names, said)
    return found + ([turned_round] if turned_round else [])


def as_named(reading, names, said=("", "")):
    """The reading that explicit names ask for, where the values have another"""
    roles = []
    for name, (whose, what), letter in zip(names, reading.roles, reading.pattern, strict=False):
        scales = MATRIX_SCALES if letter == "m" else VECTOR_SCALES
        if name.explicit and what in (*scales, "cov") and name.kinds[0] in (*scales, "cov"):
            kind = name.kinds[0]
            what = {"m": "cov", "v": "var"}[letter] if kind in ("cov", "var") else kind
        roles.append((whose, what))
    made = replace(reading, roles=tuple(roles))
    return turned(made) if direction_objection(made, names, said) else made


def direction_objection(reading, names, said=("", "")):
    """The sentence that says that q and p stand the other way round than the names, or ''"""
    for name, (whose, _) in zip(names, reading.roles, strict=False):
        if whose == "both":
            continue
        words = {name.text.lower(), *name.label.lower().split("_")}
        for side, word in zip("qp", said, strict=True):
            if word and word.lower() in words and side != whose:
                return f"it is KL({_who(reading)}), and its docstring says the other direction"
        if not any(said) and name.side and name.side != whose:
            return f"it is KL({_who(reading)}): q and p are exchanged"
    return ""


def _who(reading):
    return " || ".join(gaussian_names(reading))


def gaussian_names(reading):
    """What to call q and p: the user's labels, or the names of their first arguments"""
    q, p = reading.labels
    if reading.prior.endswith("standard normal"):
        return "q", "N(0, I)"
    owned = {"q": [], "p": []}
    for name, (whose, _) in zip(reading.names, reading.roles, strict=True):
        if whose in owned:
            owned[whose].append(name)
    if q == p:
        q = p = ""
    if reading.prior == "zero means":
        return f"N(0, {owned['q'][0]})", f"N(0, {owned['p'][0]})"
    return q or _of(owned["q"]), p or _of(owned["p"])


def _of(names):
    return f"N({', '.join(names)})" if names else "N(0, I)"


def direction_in(text):
    """(q, p) as a docstring has them in KL(q || p), or ("", "")

    >>> direction_in("KL( N(0, A) || N(0, B) )"), direction_in("the KL")
    (('A', 'B'), ('', ''))
    """
    found = re.search(
        r"(?:KL|D)\w*\s*[\[({]+(.{1,60}?)(?:\|\||∥|‖)(.{1,60})", text or "", re.DOTALL
    )
    if not found:
        return "", ""
    words = [re.findall(r"[A-Za-z_]\w*|\d+", side) for side in found.groups()]
    words = [[w for w in side if w not in ("N", "MVN", "Normal", "I")] for side in words]
    left, right = ([w for w in side if w != "0"] or side for side in words)
    return (left[0], right[0]) if left and right and left[0] != right[0] else ("", "")


# ---- the search ----------------------------------------------------------------------------------

CLOSE = 1e-6  # relative to the terms: what double precision and a 1e-8 in a denominator allow
COARSE = 5e-5  # what single precision allows


@dataclass
class Found:
    """What the search found.

    right      the reading under which the values are those of the KL, or None
    against    sentences: where explicit names contradict it
    trials     the ways of calling that gave finite numbers, the likeliest first, for a diagnosis
    failures   {(pattern, layout, library): text} of the ways that raised
    batch      what a batch gives where only one pair at a time is right: "", "raises", "other"
    notes      what else should be told
    """

    names: list = field(default_factory=list)
    right: Reading | None = None
    against: list = field(default_factory=list)
    trials: list = field(default_factory=list)
    failures: dict = field(default_factory=dict)
    batch: str = ""
    batch_text: str = ""
    also: list = field(default_factory=list)
    said: tuple = ("", "")


def close(given, true, terms, tolerance=CLOSE):
    """Whether given (…) is true (…) to rounding of terms of that size"""
    return bool(
        np.all(np.isfinite(given)) and np.all(np.abs(given - true) <= tolerance * (1 + terms))
    )


def matches(reading, trial, path, answer, tolerance=CLOSE):
    """Whether all that was seen is the truth under this reading, reduced to this answer"""
    for raw, leaves in trial.seen:
        if path not in leaves:
            return False
        with np.errstate(all="ignore"):
            true = truth(reading, raw)
            if not np.all(np.isfinite(true)):
                return False
            wanted = reduce(true, answer, trial.shape)
            size = reduce(np.abs(true) + 1.0, answer, trial.shape)
        given = leaves[path]
        if given.size != wanted.size or np.max(size) > 1e6:  # so large that nothing is compared
            return False
        if not close(given.reshape(wanted.shape), wanted, size, tolerance):
            return False
    return True


def right_readings(trial, names, any_kind=False):
    """The readings with which all that was seen agrees"""
    raw, leaves = trial.seen[0]
    B, k = _size(raw, trial.pattern)
    for tolerance in (CLOSE, COARSE):
        found = []
        for reading in candidates(trial, names, any_kind):
            for path, given in leaves.items():
                for answer in answers_for(given, B, k, trial.layout, trial.shape)[0]:
                    if matches(reading, trial, path, answer, tolerance):
                        found.append(replace(reading, path=path, answer=answer))
        if found:
            return found
    return []


def _size(raw, pattern):
    return next(a for a, letter in zip(raw, pattern, strict=True) if letter not in "kg").shape[:2]


@dataclass
class About:
    """What is known of a function before it is called.

    parameters   (name, has a default) of those that can be given by position
    libraries    to try, the likeliest first
    doc          its docstring
    keys         {parameter: keys or attributes that the source takes from it}
    numbers      whole numbers of the source and of what it refers to: perhaps a fixed dimension
    """

    parameters: list
    libraries: tuple = ("numpy", "torch", "jax")
    doc: str = ""
    keys: dict = field(default_factory=dict)
    numbers: tuple = ()


def about(source, name, parameters, libraries=("numpy",), doc=""):
    """What the text of a file says of the function of that name in it; source may be ''"""
    import ast
    import textwrap
    import warnings

    found = About(list(parameters), tuple(libraries), doc or "")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            tree = ast.parse(textwrap.dedent(source or ""))
        except (SyntaxError, ValueError, RecursionError):
            return found
    numbers = [
        node.value.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, int)
    ]
    body = next(
        (
            node
            for node in ast.walk(tree)
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name == name
        ),
        tree,
    )
    found.doc = found.doc or (ast.get_docstring(body) if body is not tree else "") or ""
    wanted = {one for one, _ in parameters}
    for node in ast.walk(body):
        if (
            isinstance(node, ast.Constant)
            and type(node.value) in (int, float)
            and abs(node.value) < 2**20
            and node.value == int(node.value)
            and abs(node.value) >= 4
        ):
            numbers.append(int(abs(node.value)))
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Tuple):
            places = [e.value for e in node.slice.elts if isinstance(e, ast.Constant)]
            if len(places) == 2 and all(type(place) is int for place in places):
                numbers.append(max(places) + 1)  # S[0, 1]: perhaps two dimensions only
        key = owner = None
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
            owner, key = node.value, node.slice.value
        elif isinstance(node, ast.Attribute):
            owner, key = node.value, node.attr
        if isinstance(owner, ast.Name) and owner.id in wanted and isinstance(key, str):
            keys = found.keys.setdefault(owner.id, {})
            keys.setdefault(key, isinstance(node, ast.Subscript))
    numbers = [n for n in numbers if not isinstance(n, bool) and 2 <= abs(n) <= 1024]
    found.numbers = tuple(dict.fromkeys(abs(n) for n in numbers))
    return found


_ARRAY_ATTRIBUTES = set(dir(np.ndarray)) | {
    "size", "pow", "exp", "log", "sqrt", "square", "dim", "device", "dtype", "detach", "data", "to",
    "float", "double", "new", "new_zeros", "new_ones", "abs", "div", "mul", "add", "sub", "t", "mT",
    "exp_", "log_", "logdet", "det", "inverse", "cholesky", "diagonal", "diag", "trace", "view",
    "unsqueeze", "expand", "expand_as", "type_as", "cpu", "numpy", "item", "clamp", "clip", "H",
    "norm", "matmul", "mm", "bmm", "neg", "reciprocal", "rsqrt", "requires_grad", "is_cuda",
    "flatten", "contiguous", "numel", "at", "softplus", "mean", "std", "var",
}  # fmt: skip
_DISTRIBUTIONS = {
    "uv": ("Normal", 0, ("loc", "scale")),
    "uw": ("Normal", 1, ("loc", "scale")),
    "um": ("MultivariateNormal", 0, ("loc", "covariance_matrix")),
}


def ways(about, count):
    """Ways to give the parameters: (names, packing, keys, library or None), the likeliest first"""
    texts = [text for text, _ in about.parameters[:count]]
    plain = [read_name(text, texts) for text in texts]
    bound = []
    for packing, is_key in (("dicts", True), ("objects", False)):
        keys = []
        for text in texts:
            for key, subscript in about.keys.get(text, {}).items():
                if subscript == is_key and key not in keys:
                    keys.append(key)
        scales = [
            k for k in keys if read_name(k, keys).kinds and read_name(k, keys).kinds != ("mean",)
        ]
        useful = [k for k in keys if read_name(k, keys).kinds or is_key]
        if len(useful) == 2 and scales and (is_key or not set(useful) <= _ARRAY_ATTRIBUTES):
            bound.append((_inside(texts, useful), packing, tuple(useful), None))
    pairs = _inside(texts, ("mean", ""))
    pairs = [replace(n, kinds=() if n.text.endswith("[1]") else n.kinds) for n in pairs]
    informative = any(n.kinds and n.kinds[0] not in ("sample", "dimension") for n in plain)
    if len(texts) <= 2 and not (informative and all(n.explicit for n in plain)):
        bound.append((pairs, "pairs", (), None))
        if "torch" in about.libraries:
            for distribution in _DISTRIBUTIONS.values():
                bound.append((pairs, "distributions", distribution, "torch"))
        bound.append((pairs, "halves", (), None))
    first = [(plain, "", (), None)]
    return first + bound if informative or len(texts) > 2 else bound + first


def _inside(texts, keys):
    """Names of what is bound together: q and "mean"  ->  q[mean], labelled q"""
    made = []
    for text in texts:
        outer = read_name(text, texts)
        for i, key in enumerate(keys):
            inner = read_name(key, keys) if key else Name("")
            shown = f"{text}[{key or i}]"
            label = outer.label or re.sub(r"^(dist|gauss|gaussian|params)_?", "", text)
            made.append(Name(shown, inner.kinds, inner.explicit, label))
    return made


def layouts(pattern, packing):
    """(layout, shape of one example) to try for a pattern"""
    if packing in ("distributions", "halves"):
        return [("batch", ()), ("one", ())]
    if set(pattern) <= set("uvz"):
        return [("batch", ()), ("image", (3, 2, 2)), ("sequence", (5, 3)), ("one", ()),
                ("number", ()), ("list", ()), ("column", ())]  # fmt: skip
    return [("batch", ()), ("one", ()), ("column", ()), ("list", ())]


def find(call, about, *, scale=None, order=None, q=None, signature=None, seed=0):
    """The reading under which the function's values are those of a KL, as Found

    call        call(arguments, library) -> a tree of arrays; raises Failure
    scale, order, q   overrule the search: one of VECTOR_SCALES or "cov", "cholesky"; a pattern of
                names such as "mean_q,std_q,mean_p,std_p"; "first" or "second"
    """
    found = Found(said=direction_in(about.doc))
    rng = np.random.default_rng(seed)
    rivals = []
    counts = _counts(about)
    for count in counts:
        for names, packing, keys, library in ways(about, count):
            if signature and not packing:
                names = _as_signature(names, signature, scale)
            if not found.names:
                found.names = names
            hit = _try_way(
                call, about, found, rng, names, packing, keys, library, (scale, order, q, signature)
            )
            for reading, against, trial in hit:
                if not against:
                    found.right, found.names, found.against = reading, names, []
                    return found
                rivals.append((len(against), reading, against, names, trial))
    if rivals:
        _, found.right, found.against, found.names, _ = min(rivals, key=lambda entry: entry[0])
        return found
    return found


def _as_signature(names, signature, scale):
    """Names that say nothing, read in the usual order of a signature: q first, mean before scale"""
    said = [n for n in names if n.explicit and n.kinds[0] not in ("sample", "dimension", "noise")]
    count = 2 if signature == "standard-normal" else 4
    if said or len(names) != count:
        return names
    kinds = ("mean", scale or ("cov" if signature == "full" else "logvar")) * 2
    sides = ("q", "q", "p", "p")
    return [
        Name(name.text, (kind,), True, side if count == 4 else "")
        for name, kind, side in zip(names, kinds, sides, strict=False)
    ]


def _counts(about):
    """How many parameters to give: all that have roles by their names, then those required"""
    required = sum(not has_default for _, has_default in about.parameters)
    texts = [text for text, _ in about.parameters]
    more = required
    for text, _ in about.parameters[required:]:
        name = read_name(text, texts)
        if not name.kinds or name.kinds[0] in ("dimension", "noise", "sample"):
            break
        more += 1
    counts = [more, required] if more in (1, 2, 3, 4, 5, 6) else [required]
    if required == 0:
        counts = [n for n in (4, 2) if n <= len(texts)]
    return [n for n in dict.fromkeys(counts) if 1 <= n <= 6]


def _try_way(call, about, found, rng, names, packing, keys, library, overrule):
    hits = []
    for pattern in patterns(names):
        if packing == "distributions" and pattern[:2] not in ("uv", "um"):
            continue
        if packing == "distributions" and (pattern[1] == "m") != (keys[0] == "MultivariateNormal"):
            continue
        if packing == "halves" and set(pattern) - set("uv"):
            continue
        if not _allowed(pattern, names, overrule):
            continue
        trial, batch = None, ""
        for layout, shape in layouts(pattern, packing):
            if batch == "answered" and layout in ("image", "number", "list", "column"):
                continue
            if layout == "list" and not _scalar_failures(found, pattern):
                continue
            trial = _trial(
                call, found, rng, names, pattern, layout, shape, packing, keys, library, about
            )
            if trial is None:
                fixed = _only_size(
                    call, rng, names, pattern, layout, packing, keys, about, overrule
                )
                if fixed is None:
                    continue
                trial, readings = fixed
                _note_batch(found, trial, pattern, batch)
                hits.append((readings[0], objections(readings[0], names, found.said), trial))
                break
            if layout == "batch":
                batch = "answered"
            readings = [r for r in right_readings(trial, names) if _obeys(r, names, overrule)]
            if not readings and about.numbers and layout in ("batch", "one"):
                trial, readings = _fixed_size(call, found, rng, names, trial, about, overrule)
            if not readings:
                readings = [
                    r
                    for r in right_readings(trial, names, any_kind=True)
                    if _obeys(r, names, overrule)
                ]
            if not readings:
                found.trials.append(trial)
                continue
            _note_batch(found, trial, pattern, batch)
            judged = [(r, objections(r, names, found.said)) for r in readings]
            judged = [(r, _not_overruled(against, overrule)) for r, against in judged]
            judged.sort(key=lambda entry: (len(entry[1]), _odd(entry[0], names)))
            found.also = [r for r, _ in judged[1:]]
            hits.append((*judged[0], trial))
            break
        if hits and not hits[-1][1]:
            return hits
    return hits


def _not_overruled(against, overrule):
    """The objections to a reading but those that a flag has settled"""
    scale, order, q, _ = overrule
    return [
        sentence
        for sentence in against
        if not (("is used as" in sentence) if scale or order else False)
        and not (("is used as" not in sentence) if q or order else False)
    ]


def _odd(reading, names):
    """How far a reading is from what the names suggest, among readings of equal values"""
    kinds = 0
    for name, (_, what) in zip(names, reading.roles, strict=False):
        kinds += name.kinds.index(what) if what in name.kinds else 3 if name.kinds else 1
    first = next((whose for whose, _ in reading.roles if whose in "qp"), "q")
    kls = [str(part).lower() for part in reading.path]
    named = any("kl" in part for part in kls)
    place = (not named, len(reading.path), str(reading.path))
    return (reading.target != "kl", reading.answer == "mean", first != "q", kinds, *place)


def _allowed(pattern, names, overrule):
    scale, _, _, signature = overrule
    scales = set(pattern) & set("vml")
    if signature == "standard-normal" and pattern.count("u") + sum(map(pattern.count, "vml")) != 2:
        return False
    if signature in ("full", "diagonal") and len(pattern) < 4 and len(pattern) > 1:
        return False
    if signature == "full" and not scales & set("ml"):
        return False
    if signature == "diagonal" and scales & set("ml"):
        return False
    if scale in ("cov", "covariance") and "v" in scales:
        return False
    return not (scale == "cholesky" and "l" not in scales)


def _obeys(reading, names, overrule):
    """Whether the reading is one that the flags allow"""
    scale, order, q, signature = overrule
    kinds = set(reading.scales)
    if scale and kinds and kinds != {scale}:
        return False
    if signature == "standard-normal" and reading.prior != "standard normal":
        return False
    if q in ("first", "second"):
        first = next(whose for whose, _ in reading.roles if whose in "qp")
        if (first == "q") != (q == "first"):
            return False
    if order:
        wanted = [part.strip() for part in order.split(",")]
        for part, (whose, what) in zip(wanted, reading.roles, strict=False):
            kind = "mean" if part.startswith("mean") else "scale"
            side = part.rsplit("_", 1)[-1] if "_" in part else ""
            if (what == "mean") != (kind == "mean") or (side in "qp" and side and side != whose):
                return False
    return True


def _scalar_failures(found, pattern):
    return any(
        key[0] == pattern and failure.scalar for key, failure in found.failures.items()
    ) or any(key[0] == pattern and key[1] == "one" for key in found.failures)


def _trial(call, found, rng, names, pattern, layout, shape, packing, keys, library, about):
    """A Trial with its observations, in the first library in which the function answers, or None"""
    libraries = (library,) if library else about.libraries
    if layout == "list":
        libraries = ("python",)
    sizes = SIZES
    if set(pattern) & set("ml"):
        sizes = [(B, k) for B, k in SIZES if k > 2]
    for lib in libraries:
        trial = Trial(pattern, layout, lib, packing, keys, shape, names=tuple(names))
        try:
            trial.observe(call, rng, sizes[:1])
            leaves = trial.seen[0][1]
            if not leaves:
                raise Failure("returned no number (is a `return` missing?)", "nothing")
            if not any(np.all(np.isfinite(a)) for a in leaves.values()):
                raise Failure("returned only nan or infinity", "not finite")
            trial.observe(call, rng, sizes[1:])
        except Failure as failure:
            found.failures[pattern, layout, lib, packing] = failure
            continue
        return _split(trial)
    return None


def _split(trial):
    """Where the answer for one pair is an array of two or three numbers: each is a leaf"""
    if trial.layout not in ("one", "column", "number", "list"):
        return trial
    for path in list(trial.seen[0][1]):
        shapes = {leaves[path].shape[1:] for _, leaves in trial.seen if path in leaves}
        sizes = {_size(raw, trial.pattern)[1] for raw, _ in trial.seen}
        if len(shapes) == 1 and len(sizes) > 1 and next(iter(shapes)) in ((2,), (3,)):
            for _, leaves in trial.seen:
                for i, part in enumerate(np.moveaxis(leaves[path], 1, 0)):
                    leaves[(*path, i)] = part
                del leaves[path]
    return trial


def _only_size(call, rng, names, pattern, layout, packing, keys, about, overrule):
    """(trial, readings) in a dimension that the source names, where all others raise; or None"""
    if packing or layout not in ("batch", "one") or not about.numbers:
        return None
    trial = Trial(pattern, layout, about.libraries[0], packing, keys, names=tuple(names))
    again, readings = _fixed_size(call, None, rng, names, trial, about, overrule)
    return (again, readings) if readings else None


def _fixed_size(call, found, rng, names, trial, about, overrule):
    """The trial in a dimension that the source names, if the function is right in that one only"""
    for size in about.numbers:
        if size > (16 if set(trial.pattern) & set("ml") else 512):
            continue
        again = Trial(
            trial.pattern, trial.layout, trial.library, trial.packing, trial.keys, trial.shape,
            size, tuple(names),
        )  # fmt: skip
        try:
            again.observe(call, rng, [(B + (size == B), size) for B, _ in SIZES[:5]])
        except Failure:
            continue
        readings = [r for r in right_readings(again, names) if _obeys(r, names, overrule)]
        if readings:
            return again, readings
    return trial, []


def _note_batch(found, trial, pattern, batch):
    """What became of a batch, where one pair at a time is right"""
    if trial.layout in ("batch", "image", "sequence"):
        return
    if batch == "answered":
        found.batch = "other"
        return
    keys = [key for key in found.failures if key[0] == pattern and key[1] == "batch"]
    failure = found.failures[keys[0]] if keys else None
    found.batch = "scalar" if failure is None or failure.scalar else "raises"
    found.batch_text = failure.did if failure else ""
