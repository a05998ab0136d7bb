"""What a wrong KL is: readings x mistakes x reductions, matched by values on random input.

A KL is  w ( L + T + Q + C ):  the logarithm, the trace, the distance, the constant, and w = 1/2.
Each term has its right form and the wrong ones that people write.  All combinations with few wrong
terms are compared with what the function gave; the one with the fewest mistakes that agrees with
all values is the diagnosis.  If none agrees: an entry of the museum that is not of this form, the
weights of the terms by least squares, a sum of few other terms, or at least the term that is off.
"""

from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from tinyvae.classroom.checker import readings as rd
from tinyvae.classroom.museum import kl as museum

CLOSE = 1e-6


@dataclass(frozen=True)
class Form:
    """One way to write a term.

    what    the mistake in words; "" for the right form
    entry   its name in the museum, or ""
    value   value(m) of `Moments` m: (B, k), by coordinate, or (B,) where only examples make sense
    """

    what: str
    value: object
    entry: str = ""
    extra: float = 0.0  # how much less likely than others with as many mistakes


class Moments:
    """What the terms are made of: means and scales of q and p, by coordinate or as matrices"""

    def __init__(self, reading, raw):
        self.mq, self.Sq, self.mp, self.Sp = reading.gaussians(raw)
        self.full = self.Sq.ndim == 3
        self.d = self.mq - self.mp
        self.B, self.k = self.mq.shape
        self.raw = {
            whose: array
            for array, (whose, what) in zip(raw, reading.roles, strict=True)
            if what not in ("mean", "sample", "noise", "dimension", "factor")
        }
        if self.full:
            self.P, self.Pq = np.linalg.inv(self.Sp), np.linalg.inv(self.Sq)
        else:
            self.vq, self.vp = self.Sq, self.Sp
            self.sq, self.sp = np.sqrt(self.vq), np.sqrt(self.vp)

    def scale(self, whose):
        """The scale argument as it was given; that of N(0, I) if there is none"""
        found = self.raw.get(whose, self.raw.get("both"))
        return np.ones_like(self.mq) if found is None else found


def _total(values, m):
    """The sum over the batch, in every example"""
    each = values.sum(-1) if values.ndim == 2 else values
    return np.full(m.B, each.sum())


# ---- the forms of the terms, by coordinate -------------------------------------------------------


def _forms_of_log():
    right = lambda m: np.log(m.vp) - np.log(m.vq)  # noqa: E731
    return [
        Form("", right),
        Form("the logarithm has the wrong sign", lambda m: -right(m), "logdet-inverted"),
        Form("the logarithm is missing", lambda m: 0 * m.vq, "logarithm-missing"),
        Form("log sigma stands where log sigma^2 belongs", lambda m: right(m) / 2,
             "cholesky-without-two"),
        Form("log sigma of q stands where log sigma^2 belongs",
             lambda m: np.log(m.vp) - np.log(m.vq) / 2, "log-std-of-q"),
        Form("log sigma of p stands where log sigma^2 belongs",
             lambda m: np.log(m.vp) / 2 - np.log(m.vq)),
        Form("the logarithm is counted twice", lambda m: 2 * right(m), "logarithm-doubled"),
        Form("(log sigma)^2 stands where log sigma^2 belongs",
             lambda m: np.log(m.sp) ** 2 - np.log(m.sq) ** 2, "log-squared"),
        Form("(log sigma)^2, with the sign turned, stands where log sigma^2 belongs",
             lambda m: np.log(m.sq) ** 2 - np.log(m.sp) ** 2, "log-squared"),
        Form("the logarithm of q's variance is missing", lambda m: np.log(m.vp)),
        Form("the logarithm of p's variance is missing", lambda m: -np.log(m.vq)),
        Form("the logarithms are added, not subtracted", lambda m: np.log(m.vp) + np.log(m.vq)),
        Form("log 2 pi stands where log sigma^2 belongs",
             lambda m: np.full(m.vq.shape, -np.log(2 * np.pi)), "log-two-pi"),
        Form("log 2 pi is added to the logarithm of q", lambda m: right(m) - np.log(2 * np.pi)),
        Form("log 2 pi is left in", lambda m: right(m) + np.log(2 * np.pi)),
        Form("the scale itself stands where its logarithm belongs", lambda m: m.vp - m.vq),
        Form("the scale stands where its logarithm belongs", lambda m: m.sp - m.sq, "", 0.1),
        Form("the logarithm is taken of an argument that is a logarithm already",
             lambda m: -np.log(np.abs(m.scale("q"))) + np.log(np.abs(m.scale("p")))),
        Form("the argument itself stands where its logarithm belongs",
             lambda m: m.scale("p") - m.scale("q"), "", 0.1),
        Form("the absolute value of the logarithm is taken", lambda m: np.abs(right(m))),
        Form("the ratio of variances stands where its logarithm belongs", lambda m: m.vp / m.vq),
        *[
            Form(f"{e:g} is added inside the logarithm",
                 lambda m, e=e: np.log(m.vp + e) - np.log(m.vq + e),
                 "jitter-in-log" if e == 1e-2 else "small-number-in-log")
            for e in (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
        ],
        *[
            Form(f"{e:g} is added inside the logarithm of q", lambda m, e=e:
                 np.log(m.vp) - np.log(m.vq + e), "small-number-in-log")
            for e in (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
        ],
        Form("the logarithms are summed over the batch", lambda m: _total(right(m), m),
             "logdet-over-the-batch"),
    ]  # fmt: skip


def _forms_of_trace():
    right = lambda m: m.vq / m.vp  # noqa: E731
    return [
        Form("", right),
        Form("p's variance is divided by q's in the trace: it belongs the other way round",
             lambda m: m.vp / m.vq, "trace-inverted"),
        Form("sigma of q stands where sigma^2 belongs", lambda m: m.sq / m.vp, "std-in-trace"),
        Form("sigma stands where sigma^2 belongs in the trace", lambda m: m.sq / m.sp,
             "std-in-trace"),
        Form("q's variance is divided by sigma of p, not sigma^2", lambda m: m.vq / m.sp),
        Form("q's variance is not divided by p's", lambda m: m.vq),
        Form("q's variance is divided by p's twice", lambda m: m.vq / m.vp**2),
        Form("q's variance is left out of the trace", lambda m: 1 / m.vp),
        Form("p's variance alone stands in the trace", lambda m: m.vp),
        Form("a bracket closes late: q's variance is not divided by 2 sigma^2 of p",
             lambda m: 2 * m.vq, "bracket-in-the-ratio"),
        Form("q's variance is multiplied by p's", lambda m: m.vq * m.vp),
        Form("the trace is missing", lambda m: 0 * m.vq, "trace-missing"),
        Form("the trace is counted twice", lambda m: 2 * right(m)),
        Form("the trace has half its weight", lambda m: right(m) / 2),
        Form("the trace has the wrong sign", lambda m: -right(m), "trace-negative"),
        Form("the square of the variance stands where the variance belongs",
             lambda m: m.vq**2 / m.vp**2, "variance-squared"),
        Form("the square of q's variance stands where the variance belongs",
             lambda m: m.vq**2 / m.vp, "variance-squared"),
        Form("the exponential is missing: the logarithm stands where the variance belongs",
             lambda m: m.scale("q") / m.vp, "exp-missing"),
        Form("the square of the argument stands where the variance belongs",
             lambda m: m.scale("q") ** 2 / m.vp, "squared-log-for-variance"),
        Form("(log sigma)^2 stands where sigma^2 belongs",
             lambda m: np.log(m.sq) ** 2 / m.vp, "squared-log-for-variance"),
        Form("the exponential of the variance stands where the variance belongs",
             lambda m: np.exp(m.vq) / m.vp),
        Form("the exponential of the argument stands where the variance belongs",
             lambda m: np.exp(m.scale("q")) / m.vp, "", 0.1),
        Form("the absolute value of the mean is added to the variance",
             lambda m: m.vq / m.vp + np.abs(m.mq), "", 0.2),
        Form("exp(logvar) is lost: 1 stands where the variance belongs", lambda m: 1 + 0 * m.vq),
        Form("sigma^3", lambda m: m.vq * m.sq / m.vp, "", 0.3),
        Form("the traces are multiplied", lambda m: (1 / m.vp).sum(-1) * m.vq.sum(-1) / m.k,
             "traces-multiplied"),
        Form("the trace is summed over the batch", lambda m: _total(right(m), m)),
    ]  # fmt: skip


def _forms_of_distance():
    right = lambda m: m.d**2 / m.vp  # noqa: E731
    return [
        Form("", right),
        Form("the distance is measured with q's variance, not p's", lambda m: m.d**2 / m.vq,
             "distance-in-q"),
        Form("the distance is not divided by p's variance", lambda m: m.d**2,
             "distance-without-covariance"),
        Form("the distance is divided by sigma, not sigma^2, of p", lambda m: m.d**2 / m.sp,
             "distance-by-sigma"),
        Form("the distance is multiplied by p's variance, not divided", lambda m: m.d**2 * m.vp,
             "distance-by-covariance"),
        Form("the distance is divided by the square of p's variance", lambda m: m.d**2 / m.vp**2,
             "variance-squared"),
        Form("the distance is divided by the sum of both variances",
             lambda m: m.d**2 / (m.vp + m.vq)),
        Form("the distance is divided by both variances", lambda m: m.d**2 / (m.vp * m.vq)),
        Form("the distance between the means is missing", lambda m: 0 * m.d, "means-left-out"),
        Form("the distance is counted twice: its 1/2 is missing", lambda m: 2 * right(m),
             "distance-doubled"),
        Form("the distance has half its weight", lambda m: right(m) / 2),
        Form("the distance has the wrong sign", lambda m: -right(m), "distance-negative"),
        Form("q's mean alone stands where the difference of the means belongs",
             lambda m: m.mq**2 / m.vp, "residual-mean"),
        Form("q's mean alone stands where the difference of the means belongs, not divided by p's "
             "variance", lambda m: m.mq**2, "prior-ignored"),
        Form("p's mean alone stands where the difference of the means belongs",
             lambda m: m.mp**2 / m.vp, "residual-mean"),
        Form("the difference of the squared means stands where the squared difference belongs",
             lambda m: (m.mq**2 - m.mp**2) / m.vp, "difference-of-squares"),
        Form("the means are added, not subtracted", lambda m: (m.mq + m.mp) ** 2 / m.vp),
        Form("the product of the means is added to the distance",
             lambda m: (m.mq**2 + m.mp**2) / m.vp),
        Form("the difference of the means is not squared", lambda m: m.d / m.vp,
             "distance-not-squared"),
        Form("the difference of the means is not squared", lambda m: m.d / m.sp,
             "distance-not-squared"),
        Form("the difference of the means is not squared", lambda m: m.d, "distance-not-squared"),
        Form("the absolute difference of the means stands where its square belongs",
             lambda m: np.abs(m.d) / m.vp, "distance-not-squared"),
        Form("the absolute difference of the means stands where its square belongs",
             lambda m: np.abs(m.d), "distance-not-squared"),
        Form("the absolute difference of the means stands where its square belongs",
             lambda m: np.abs(m.d) / m.sp, "distance-not-squared"),
        Form("the distance is not squared", lambda m: np.sqrt(right(m).sum(-1)),
             "distance-not-squared"),
        Form("the distance is not squared", lambda m: np.sqrt((m.d**2).sum(-1)),
             "distance-not-squared"),
        Form("the sum over the coordinates is squared, not each difference",
             lambda m: (m.d / m.sp).sum(-1) ** 2, "square-of-the-sum"),
        Form("the sum over the coordinates is squared, not each difference",
             lambda m: m.d.sum(-1) ** 2, "square-of-the-sum"),
        Form("the distance is divided by p's argument as it stands",
             lambda m: m.d**2 / m.scale("p"), "", 0.1),
        Form("the distance is summed before it is divided, and by sigma, not sigma^2",
             lambda m: (m.d**2).sum(-1, keepdims=True) / m.sp, "distance-by-sigma"),
        Form("the distance is summed over everything before it is divided, and by sigma, not "
             "sigma^2", lambda m: (m.d**2).sum() / m.sp, "distance-by-sigma"),
        Form("the distance is summed over everything before it is divided",
             lambda m: (m.d**2).sum() / m.vp),
        Form("the fourth power of the difference", lambda m: m.d**4 / m.vp, "", 0.3),
        Form("the distance is summed over the batch", lambda m: _total(right(m), m)),
    ]  # fmt: skip


def _forms_of_constant(full=False):
    def by(number):
        return (lambda m: number * m.k * np.ones(m.B)) if full else (lambda m: number + 0 * m.mq)

    return [
        Form("", by(-1.0)),
        Form("- k is missing", by(0.0), "dimension-missing"),
        Form("+ k stands where - k belongs", by(1.0), "dimension-added"),
        Form("+ 2 k stands where - k belongs", by(2.0), "dimension-added"),
        Form("- 2 k stands where - k belongs", by(-2.0), "dimension-doubled"),
        Form("- k/2 stands where - k belongs", by(-0.5), "dimension-halved"),
        Form("+ k/2 stands where - k belongs", by(0.5)),
        Form("- 1 stands where - k belongs", lambda m: -np.ones(m.B), "one-instead-of-dimension"),
        Form("+ 1 stands where - k belongs", lambda m: np.ones(m.B), "one-instead-of-dimension"),
        Form("- 1/2 stands where - k belongs", lambda m: -0.5 * np.ones(m.B),
             "one-instead-of-dimension"),
        Form("- 2 stands where - k belongs", lambda m: -2.0 * np.ones(m.B),
             "one-instead-of-dimension"),
        Form("the constant stands inside the sum over the coordinates: - k^2 in all",
             lambda m: -float(m.k**2) * np.ones(m.B) if full else -float(m.k) + 0 * m.mq,
             "dimension-in-each-coordinate"),
        Form("the constant stands inside the sum over the coordinates: - k^2/2 in all",
             lambda m: -m.k**2 / 2 * np.ones(m.B) if full else -m.k / 2 + 0 * m.mq,
             "dimension-in-each-coordinate", 0.1),
        Form("the batch size is subtracted, not the dimension",
             lambda m: -float(m.B) * np.ones(m.B), "batch-size-for-dimension"),
        Form("the batch size times the dimension is subtracted",
             lambda m: -float(m.B * m.k) * np.ones(m.B), "batch-size-for-dimension"),
        Form("the constant of the log-densities, k log 2 pi, stands where - k belongs",
             by(float(np.log(2 * np.pi))), "log-two-pi"),
    ]  # fmt: skip


# ---- the forms of the terms, for matrices --------------------------------------------------------

_trace, _diag = museum.trace, museum.diag


def _logdet(S):
    return np.linalg.slogdet(S)[1]


def _norm2(S):
    return np.linalg.norm(S, 2, axis=(-2, -1))


def _quad(d, A):
    return np.einsum("bi,bij,bj->b", d, A, d)


def _root(S):
    values, vectors = np.linalg.eigh(S)
    return (vectors * np.sqrt(values)[..., None, :]) @ np.swapaxes(vectors, -1, -2)


def _matrix_forms():
    T = lambda A: np.swapaxes(A, -1, -2)  # noqa: E731
    chol = np.linalg.cholesky
    right_log = lambda m: _logdet(m.Sp) - _logdet(m.Sq)  # noqa: E731
    right_trace = lambda m: _trace(m.P @ m.Sq)  # noqa: E731
    right_quad = lambda m: _quad(m.d, m.P)  # noqa: E731
    log_diag = lambda S: np.log(_diag(S)).sum(-1)  # noqa: E731
    logs = [
        Form("", right_log),
        Form("the log-determinants have the wrong sign", lambda m: -right_log(m),
             "logdet-inverted"),
        Form("the log-determinants are missing", lambda m: 0 * right_log(m), "logarithm-missing"),
        Form("the log-determinants lack a factor 2: log|L|, not log|S|", lambda m: right_log(m) / 2,
             "cholesky-without-two"),
        Form("the log-determinant of q lacks a factor 2",
             lambda m: _logdet(m.Sp) - _logdet(m.Sq) / 2, "log-std-of-q"),
        Form("the log-determinants are counted twice", lambda m: 2 * right_log(m),
             "logarithm-doubled"),
        Form("the log-determinant is that of the diagonal only",
             lambda m: log_diag(m.Sp) - log_diag(m.Sq), "logdet-of-diagonal"),
        Form("the logarithms are those of the traces", lambda m:
             np.log(_trace(m.Sp)) - np.log(_trace(m.Sq))),
        Form("the norm stands where the determinant belongs",
             lambda m: np.log(_norm2(m.Sp)) - np.log(_norm2(m.Sq)), "norm-for-determinant"),
        Form("the norm stands where the determinant belongs",
             lambda m: np.log(np.linalg.norm(m.Sp, axis=(-2, -1)))
             - np.log(np.linalg.norm(m.Sq, axis=(-2, -1))), "norm-for-determinant"),
        Form("the determinants stand where their logarithms belong",
             lambda m: np.linalg.det(m.Sp) - np.linalg.det(m.Sq)),
        Form("the ratio of determinants stands where its logarithm belongs",
             lambda m: np.linalg.det(m.Sp) / np.linalg.det(m.Sq), "log-of-ratio-missing"),
        Form("the log-determinant of q is missing", lambda m: _logdet(m.Sp)),
        Form("the log-determinant of p is missing", lambda m: -_logdet(m.Sq)),
        Form("the log-determinants are added, not subtracted",
             lambda m: _logdet(m.Sp) + _logdet(m.Sq)),
        Form("(log sigma)^2 stands where log sigma^2 belongs", lambda m:
             (np.log(_diag(chol(m.Sp))) ** 2).sum(-1) - (np.log(_diag(chol(m.Sq))) ** 2).sum(-1),
             "log-squared"),
        Form("the log-determinants are summed over the batch",
             lambda m: np.full(m.B, right_log(m).sum()), "logdet-over-the-batch"),
        *[
            Form(f"{e:g} is added inside the log-determinants", lambda m, e=e:
                 _logdet(m.Sp + e * np.eye(m.k)) - _logdet(m.Sq + e * np.eye(m.k)),
                 "jitter-in-log" if e == 1e-2 else "small-number-in-log")
            for e in (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
        ],
    ]  # fmt: skip
    traces = [
        Form("", right_trace),
        Form("the trace is that of Sq^-1 Sp: the inverse belongs to p",
             lambda m: _trace(m.Pq @ m.Sp), "trace-inverted"),
        Form("the trace is that of Sp Sq: p's covariance is not inverted",
             lambda m: _trace(m.Sp @ m.Sq), "covariance-not-inverted"),
        Form("the trace is taken of the product of all entries: inv * cov where inv @ cov belongs",
             lambda m: (_diag(m.P) * _diag(m.Sq)).sum(-1), "elementwise-product-in-trace"),
        Form("the trace is a sum of the diagonals' ratios", lambda m:
             (_diag(m.Sq) / _diag(m.Sp)).sum(-1), "trace-of-diagonals"),
        Form("the sum of all entries of Sp^-1 Sq stands where the trace belongs",
             lambda m: (m.P @ m.Sq).sum((-2, -1)), "sum-for-trace"),
        Form("the trace is a product of traces", lambda m: _trace(m.P) * _trace(m.Sq) / m.k,
             "traces-multiplied"),
        Form("the trace is a product of traces", lambda m: _trace(m.P) * _trace(m.Sq),
             "traces-multiplied"),
        Form("the trace is a ratio of traces", lambda m: _trace(m.Sq) / _trace(m.Sp)),
        Form("the trace is that of Sq: p's covariance is left out", lambda m: _trace(m.Sq)),
        Form("the trace is that of Sp^-1", lambda m: _trace(m.P)),
        Form("the trace is that of Sp^-1 alone times q's root", lambda m:
             _trace(m.P @ _root(m.Sq)), "std-in-trace"),
        Form("the trace is missing", lambda m: 0 * right_trace(m), "trace-missing"),
        Form("the trace is counted twice", lambda m: 2 * right_trace(m)),
        Form("the trace has the wrong sign", lambda m: -right_trace(m), "trace-negative"),
        Form("the determinant stands where the trace belongs",
             lambda m: np.linalg.det(m.P @ m.Sq), "determinant-for-trace"),
        Form("Lp^-T stands where Lp^-1 belongs", lambda m:
             ((np.linalg.inv(T(chol(m.Sp))) @ chol(m.Sq)) ** 2).sum((-2, -1)), "transposed-factor"),
        Form("only the diagonal of Lp^-1 Lq is squared", lambda m:
             (_diag(np.linalg.inv(chol(m.Sp)) @ chol(m.Sq)) ** 2).sum(-1), "diagonal-of-factor"),
        Form("the trace is summed over the batch", lambda m: np.full(m.B, right_trace(m).sum())),
    ]  # fmt: skip
    distances = [
        Form("", right_quad),
        Form("the distance is measured with q's covariance, not p's", lambda m: _quad(m.d, m.Pq),
             "distance-in-q"),
        Form("the distance lacks p's inverse covariance", lambda m: (m.d**2).sum(-1),
             "distance-without-covariance"),
        Form("p's covariance stands where its inverse belongs in the distance",
             lambda m: _quad(m.d, m.Sp), "distance-by-covariance"),
        Form("q's covariance stands in the distance where p's inverse belongs",
             lambda m: _quad(m.d, m.Sq), "distance-by-covariance"),
        Form("the covariance stands where the mean belongs",
             lambda m: (m.Sq * (m.P @ m.Sq)).sum((-2, -1)), "covariance-for-mean"),
        Form("the covariance stands where the mean belongs",
             lambda m: ((m.Sq - m.Sp) * (m.P @ (m.Sq - m.Sp))).sum((-2, -1)),
             "covariance-for-mean"),
        Form("the distance between the means is missing", lambda m: 0 * right_quad(m),
             "means-left-out"),
        Form("the distance is counted twice: its 1/2 is missing", lambda m: 2 * right_quad(m),
             "distance-doubled"),
        Form("the distance has the wrong sign", lambda m: -right_quad(m), "distance-negative"),
        Form("the distance is not squared", lambda m: np.sqrt(right_quad(m)),
             "distance-not-squared"),
        Form("the distance is not squared", lambda m: np.sqrt((m.d**2).sum(-1)),
             "distance-not-squared"),
        Form("q's mean alone stands where the difference of the means belongs",
             lambda m: _quad(m.mq, m.P), "residual-mean"),
        Form("q's mean alone stands where the difference of the means belongs, without p's "
             "covariance", lambda m: (m.mq**2).sum(-1), "prior-ignored"),
        Form("p's mean alone stands where the difference of the means belongs",
             lambda m: _quad(m.mp, m.P), "residual-mean"),
        Form("the means are added, not subtracted", lambda m: _quad(m.mq + m.mp, m.P)),
        Form("the distance has the diagonal of p's inverse covariance only",
             lambda m: (m.d**2 * _diag(m.P)).sum(-1), "distance-of-diagonals"),
        Form("the distance is divided by p's diagonal, not multiplied by its inverse covariance",
             lambda m: (m.d**2 / _diag(m.Sp)).sum(-1), "distance-of-diagonals"),
        Form("the difference is whitened with Lp^-T, not with Lp^-1", lambda m:
             ((np.linalg.inv(T(chol(m.Sp))) @ m.d[..., None]) ** 2).sum((-2, -1)),
             "transposed-factor"),
        Form("the distance is measured with Sp^-2", lambda m: _quad(m.d, m.P @ m.P),
             "variance-squared"),
        Form("the distance is summed over the batch", lambda m: np.full(m.B, right_quad(m).sum())),
    ]  # fmt: skip
    return logs, traces, distances, _forms_of_constant(full=True)


SLOTS = ("log", "trace", "distance", "constant")
BY_COORDINATE = (_forms_of_log(), _forms_of_trace(), _forms_of_distance(), _forms_of_constant())
OF_MATRICES = _matrix_forms()
WEIGHTS = (  # of the whole bracket
    Form("", 0.5),
    Form("the 1/2 in front is missing", 1.0, "half-missing"),
    Form("the sign is turned: it is never positive", -0.5, "sign-turned"),
    Form("the sign is turned and the 1/2 is missing", -1.0, "sign-turned", 0.5),
    Form("1/4 stands where 1/2 belongs", 0.25),
    Form("a factor 2 stands where 1/2 belongs", 2.0),
    Form("it is in bits, not in nats", 0.5 / np.log(2), "bits-for-nats"),
)
# Two wrong terms that are one mistake.
TOGETHER = {
    frozenset({"q's variance is divided by sigma of p, not sigma^2",
               "the distance is divided by sigma, not sigma^2, of p"}):
        ("2 sigma stands where 2 sigma^2 belongs in the denominator", "distance-by-sigma"),
    frozenset({"the square of the variance stands where the variance belongs",
               "the distance is divided by the square of p's variance"}):
        ("exp(logvar) is squared: the variance is taken for a standard deviation",
         "variance-squared"),
    frozenset({"the logarithm of p's variance is missing", "q's variance is not divided by p's",
               "q's mean alone stands where the difference of the means belongs, not divided by "
               "p's variance"}): ("p is taken for N(0, I)", "prior-ignored"),
    frozenset({"the log-determinant of p is missing",
               "the trace is that of Sq: p's covariance is left out",
               "q's mean alone stands where the difference of the means belongs, without p's "
               "covariance"}): ("p is taken for N(0, I)", "prior-ignored"),
    frozenset({"q's variance is not divided by p's",
               "the distance is not divided by p's variance"}):
        ("p's variance is left out of trace and distance", "distance-without-covariance"),
    frozenset({"the logarithm is missing", "the trace is missing"}):
        ("only the distance is left: no logarithm, no trace", "logarithm-missing"),
    frozenset({"the logarithm is missing", "the trace is missing", "- k is missing"}):
        ("only the distance is left: no logarithm, no trace", "logarithm-missing"),
}  # fmt: skip


# ---- the search ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Explanation:
    """A reading and the mistakes with which all values agree.

    cost      how many mistakes, and how unlikely a reading
    wrong     [(slot, Form)]; weight: a Form of WEIGHTS; answer: one of rd.ANSWERS or rd.MISREDUCED
    against   what the names say against the reading
    """

    cost: float
    reading: rd.Reading
    wrong: tuple = ()
    weight: Form = WEIGHTS[0]
    against: tuple = ()
    entries: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class Diagnosis:
    """What to print about a mistake.

    says     lines, the mistake first
    names    the museum's entries that agree
    reading  under which this is so
    term     the slot that is off: one of SLOTS, "answer", "argument" or ""
    """

    says: tuple[str, ...]
    names: tuple[str, ...] = ()
    reading: rd.Reading | None = None
    term: str = ""


def explain(trial, names, said=("", ""), most=4):
    """The Explanation with the fewest mistakes for what was seen in this trial, or None"""
    best = None
    seen_readings = set()
    for any_kind in (False, True):
        if any_kind and best is not None and best.cost <= 1.5:
            break
        readings = [r for r in rd.candidates(trial, names, any_kind) if r.target == "kl"]
        if any_kind and len(readings) > 40:
            readings = [r for r in readings if len(set(r.scales)) <= 1]
        for order, reading in enumerate(readings):
            if reading in seen_readings:
                continue
            seen_readings.add(reading)
            against = rd.objections(reading, names, said)
            unlikely = 0.9 * len(against) + 0.05 * min(order, 6)
            if best is not None and unlikely >= best.cost:
                continue
            found = _explain(trial, reading, unlikely, tuple(against), most)
            if found and (best is None or found.cost < best.cost):
                best = found
    return best


def _explain(trial, reading, unlikely, against, most):
    raw, leaves = trial.seen[0]
    B, k = rd._size(raw, trial.pattern)
    with np.errstate(all="ignore"):
        moments = [Moments(reading, raw) for raw, _ in trial.seen]
        slots = OF_MATRICES if moments[0].full else BY_COORDINATE
        values = [[[form.value(m) for m in moments] for form in slot] for slot in slots]
    best = None
    for path, given in leaves.items():
        if any(path not in other for _, other in trial.seen):
            continue
        allowed, wrong = rd.answers_for(given, B, k, trial.layout, trial.shape)
        for answer in (*allowed, *wrong):
            price = unlikely + (answer in rd.MISREDUCED)
            if best is not None and price >= best.cost:
                continue
            found = _fit_forms(trial, slots, values, path, answer, most)
            if found is None:
                continue
            cost, forms, weight, entries = found
            if not forms and not weight.what and answer in rd.ANSWERS and not against:
                continue  # it is right
            if best is None or cost + price < best.cost:
                best = Explanation(
                    cost + price,
                    replace(reading, path=path, answer=answer),
                    forms,
                    weight,
                    against,
                    entries,
                )
    return best


def _vector(values, answer, trial, wanted):
    """Reduced and concatenated over all that was seen, or None where that makes no sense"""
    parts = []
    for one, size, (raw, _) in zip(values, wanted, trial.seen, strict=True):
        k = rd._size(raw, trial.pattern)[1]
        if one.ndim == 1 and answer in ("coordinate", "axis 0", "axis 0 mean", "coordinate / k",
                                        "coordinate / B", "position"):  # fmt: skip
            return None
        reduced = np.asarray(rd.reduce(one, answer, trial.shape, k), dtype=float).reshape(-1)
        if reduced.size != size:
            return None
        parts.append(reduced)
    vector = np.concatenate(parts)
    return vector if np.all(np.isfinite(vector)) else None


def _fit_forms(trial, slots, values, path, answer, most):
    """(cost, wrong forms, weight, entries) of the cheapest sum of forms that agrees, or None"""
    given = np.concatenate([leaves[path].reshape(-1) for _, leaves in trial.seen])
    wanted = [leaves[path].size for _, leaves in trial.seen]
    usable = np.isfinite(given)
    if usable.sum() < max(4, 0.7 * usable.size):
        return None
    kept = []  # per slot: [(form, vector, entries of forms with the same values)]
    for slot, of_slot in zip(slots, values, strict=True):
        rows = []
        for form, one in zip(slot, of_slot, strict=True):
            vector = _vector(one, answer, trial, wanted)
            if vector is None:
                continue
            same = next((row for row in rows if _equal(row[1], vector)), None)
            if same is not None:
                if form.entry and form.entry not in same[2] and same[0].what:
                    same[2].append(form.entry)
            else:
                rows.append((form, vector, [form.entry] if form.entry else []))
        if not rows or rows[0][0].what:
            return None
        kept.append(rows)
    matrices = [np.array([vector for _, vector, _ in rows])[:, usable] for rows in kept]
    given = given[usable]
    size = 1 + sum(np.abs(m[0]) for m in matrices)
    key = np.random.default_rng(3).uniform(0.5, 1.5, given.size) / size
    keys = [m @ key for m in matrices]
    first = np.add.outer(keys[0], keys[1])
    second = np.add.outer(keys[2], keys[3]).reshape(-1)
    order = np.argsort(second)
    ordered = second[order]
    costs = [
        np.array([0.0 if not form.what else 1.0 + form.extra for form, _, _ in rows])
        for rows in kept
    ]
    best = None
    for weight in WEIGHTS:
        target = given / weight.value
        price = (1.0 + weight.extra) if weight.what else 0.0
        loose = 2 * trial.tolerance * np.abs(key * size).sum() + 1e-12
        wanted_key = target @ key - first
        low = np.searchsorted(ordered, (wanted_key - loose).reshape(-1))
        high = np.searchsorted(ordered, (wanted_key + loose).reshape(-1))
        for at in np.flatnonzero(high > low):
            i, j = divmod(int(at), first.shape[1])
            for spot in order[low[at] : high[at]]:
                q, c = divmod(int(spot), len(keys[3]))
                cost = price + costs[0][i] + costs[1][j] + costs[2][q] + costs[3][c]
                cost += 0.01 * (i + j + q + c) / 100
                if cost > most + 1 or (best is not None and cost >= best[0]):
                    continue
                total = matrices[0][i] + matrices[1][j] + matrices[2][q] + matrices[3][c]
                if np.all(np.abs(total - target) <= trial.tolerance * (size + np.abs(total))):
                    chosen = [kept[0][i], kept[1][j], kept[2][q], kept[3][c]]
                    wrong = tuple(
                        (slot, row[0])
                        for slot, row in zip(SLOTS, chosen, strict=True)
                        if row[0].what
                    )
                    merged = _merged(wrong)
                    saved = len(wrong) - len(merged[0])
                    if cost - saved > most:
                        continue
                    entries = [e for row in chosen for e in row[2]] + (
                        [weight.entry] if weight.entry else []
                    )
                    entries = merged[1] or entries
                    if best is None or cost - saved < best[0]:
                        best = (cost - saved, wrong, weight, tuple(dict.fromkeys(entries)))
    return best


def _equal(a, b):
    return abs(a[0] - b[0]) <= 1e-9 * (1 + abs(a[0])) and np.abs(a - b).max() <= 1e-9 * (
        1 + np.abs(a).max()
    )


def _merged(wrong):
    """Mistakes in words, two wrong terms that are one mistake as one; and its entries"""
    what = [form.what for _, form in wrong]
    for together, (words, entry) in sorted(TOGETHER.items(), key=lambda item: -len(item[0])):
        if together <= set(what):
            rest = [w for w in what if w not in together]
            return [words, *rest], [entry] if not rest else []
    return what, []


# ---- mistakes that are no sum of terms -----------------------------------------------------------


def _kl_forms(m):
    """(by coordinate or None, by example) the right KL of these moments"""
    terms = rd.kl_terms(m.mq, m.Sq, m.mp, m.Sp)
    values = 0.5 * sum(terms)
    return (values, values.sum(-1)) if values.ndim == 2 else (None, values)


def _special_forms():
    def reverse(m):
        values = 0.5 * sum(rd.kl_terms(m.mp, m.Sp, m.mq, m.Sq))
        return values

    def right(m):
        return 0.5 * sum(rd.kl_terms(m.mq, m.Sq, m.mp, m.Sp))

    def cross(m):
        _, trace, quad, _ = rd.kl_terms(m.mq, m.Sq, m.mp, m.Sp)
        logs = np.log(m.Sp) if m.Sp.ndim == 2 else _logdet(m.Sp)
        per = 1.0 if m.Sp.ndim == 2 else m.k
        return 0.5 * (logs + trace + quad + per * np.log(2 * np.pi))

    def entropy(m):
        logs = np.log(m.Sq) if m.Sq.ndim == 2 else _logdet(m.Sq)
        per = 1.0 if m.Sq.ndim == 2 else m.k
        return 0.5 * (logs + per * (1 + np.log(2 * np.pi)))

    def hellinger_like(m):  # Bhattacharyya
        if m.full:
            S = (m.Sq + m.Sp) / 2
            return _quad(m.d, np.linalg.inv(S)) / 8 + 0.5 * (
                _logdet(S) - 0.5 * (_logdet(m.Sq) + _logdet(m.Sp))
            )
        S = (m.vq + m.vp) / 2
        return m.d**2 / S / 8 + 0.5 * (np.log(S) - 0.5 * np.log(m.vq * m.vp))

    return [
        Form("q and p are exchanged: this is KL(p || q)", reverse, "swapped-arguments"),
        Form("it is the mean of KL(q || p) and KL(p || q)",
             lambda m: (right(m) + reverse(m)) / 2, "symmetrised"),
        Form("it is the sum of KL(q || p) and KL(p || q), Jeffreys' divergence",
             lambda m: right(m) + reverse(m), "symmetrised"),
        Form("it is the cross-entropy -E_q[log p]: log q is missing", cross, "entropy-left-out"),
        Form("it is E_q[log p]: log q is missing, and the sign is turned", lambda m: -cross(m),
             "entropy-left-out"),
        Form("it is the entropy of q: log p is missing", entropy, "cross-entropy-left-out"),
        Form("it is minus the entropy of q: log p is missing", lambda m: -entropy(m),
             "cross-entropy-left-out"),
        Form("it is the Bhattacharyya distance, not the KL", hellinger_like),
        Form("it is the absolute value of the KL's negative by coordinate",
             lambda m: np.abs(right(m)), "", 0.5),
        Form("it is the square of the KL", lambda m: right(m) ** 2, "", 0.2),
        Form("it is exp(-KL)", lambda m: np.exp(-right(m)), "", 0.2),
    ]  # fmt: skip


SPECIAL = _special_forms()


def _special(trial, reading, unlikely, against):
    """An Explanation by a mistake that is no sum of terms, or None"""
    raw, leaves = trial.seen[0]
    B, k = rd._size(raw, trial.pattern)
    best = None
    with np.errstate(all="ignore"):
        moments = [Moments(reading, raw) for raw, _ in trial.seen]
        forms = [(form, [form.value(m) for m in moments]) for form in SPECIAL]
        forms += _of_museum(moments)
    for path, given in leaves.items():
        if any(path not in other for _, other in trial.seen):
            continue
        flat = np.concatenate([other[path].reshape(-1) for _, other in trial.seen])
        wanted = [other[path].size for _, other in trial.seen]
        allowed, wrong = rd.answers_for(given, B, k, trial.layout, trial.shape)
        for answer in (*allowed, *wrong):
            for form, values in forms:
                vector = _vector(values, answer, trial, wanted)
                if vector is None:
                    continue
                cost = 1 + form.extra + unlikely + (answer in rd.MISREDUCED)
                if best is not None and cost >= best.cost:
                    continue
                if np.all(np.abs(vector - flat) <= trial.tolerance * (1 + np.abs(vector))):
                    best = Explanation(
                        cost,
                        replace(reading, path=path, answer=answer),
                        (("all", form),),
                        against=against,
                        entries=(form.entry,) if form.entry else (),
                    )
            if answer in ("example", "column", "sum", "mean", "coordinate"):
                floor = _free_bits(trial, moments, path, answer)
                if floor and (best is None or 1 + unlikely < best.cost):
                    best = Explanation(
                        1 + unlikely,
                        replace(reading, path=path, answer=answer),
                        (("all", floor),),
                        against=against,
                        entries=(floor.entry,),
                    )
    return best


def _of_museum(moments):
    """The museum's wrong KLs that no other form stands for, by example"""
    found = []
    for bug in museum.BUGS:
        values = []
        for m in moments:
            S_q, S_p = (S if S.ndim == 3 else rd._diag(S) for S in (m.Sq, m.Sp))
            try:
                values.append(np.asarray(bug.f(m.mq, S_q, m.mp, S_p), dtype=float))
            except np.linalg.LinAlgError:
                break
        if len(values) == len(moments) and all(v.shape == (m.B,) for v, m in zip(values, moments)):  # noqa: B905
            found.append((Form(bug.title, None, bug.name, 0.05), values))
    return found


def _free_bits(trial, moments, path, answer):
    """The Form of a floor under the KL, whatever its height, or None

    max(KL_i, c) by coordinate; KL_i where it is above c, else 0; max of the batch's mean by
    coordinate; max(KL, c) by example.
    """
    given = [leaves[path] for _, leaves in trial.seen]
    each, total = zip(*[_kl_forms(m) for m in moments], strict=True)
    floors = []
    if each[0] is not None:
        floors += [
            ("free bits: no coordinate counts less than {c:g}", "free-bits-each-coordinate",
             lambda v, c: np.maximum(v, c)),
            ("free bits: coordinates below {c:g} count nothing", "free-bits-mask",
             lambda v, c: np.where(v > c, v, 0.0)),
            ("free bits: only what is above {c:g} counts", "free-bits-each-coordinate",
             lambda v, c: np.maximum(v - c, 0.0)),
            ("free bits: the batch's mean of a coordinate counts no less than {c:g}",
             "free-bits-on-the-mean",
             lambda v, c: np.maximum(v.mean(0), c) + 0 * v),
        ]  # fmt: skip
    floors.append(("it never falls below {c:g}", "floor-of-a-tenth", None))
    candidates = set()
    if each[0] is not None:
        values = np.sort(np.concatenate([v.reshape(-1) for v in each]))
        candidates |= set(np.round(values, 12))
    for c in (0.01, 0.02, 0.05, 0.1, 0.125, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8,
              1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0):  # fmt: skip
        candidates.add(c)
    for words, entry, floor in floors:
        for c in sorted(candidates, key=lambda c: len(f"{c:g}")):
            if len(f"{c:g}") > 5 and floor is not None and "count nothing" not in words:
                continue
            if floor is None:
                made = [np.maximum(t, c) for t in total]
                plain = total
            else:
                made = [floor(v, c) for v in each]
                plain = each
            if all(np.array_equal(a, b) for a, b in zip(made, plain, strict=True)):
                continue
            reduced = []
            for one, out in zip(made, given, strict=True):
                if one.ndim == 1 and answer == "coordinate":
                    return None
                reduced.append(np.asarray(rd.reduce(one, answer, trial.shape)).reshape(-1))
                if reduced[-1].size != out.size:
                    return None
            if all(
                np.all(np.abs(r - o.reshape(-1)) <= CLOSE * (1 + np.abs(r)))
                for r, o in zip(reduced, given, strict=True)
            ):
                return Form(words.format(c=c), None, entry)
    return None


# ---- weights, and the term that is off -----------------------------------------------------------

NAMED = {
    "log": "the log-determinant ratio",
    "trace": "the trace term",
    "distance": "the quadratic form",
    "constant": "the dimension k",
    "one": "the constant 1",
}


def number(x):
    """1/2 for 0.5, 0.499 for 0.499"""
    fraction = Fraction(float(x)).limit_denominator(12)
    return str(fraction) if abs(float(fraction) - x) < 1e-5 else f"{x:.6g}"


def _is_clean(x):
    """Whether x is a simple fraction"""
    return "/" in number(x) or "." not in number(x)


def _columns(trial, reading, path, answer, wanted):
    """The right terms (and 1 an example) reduced as the answer is, as columns; or None"""
    moments = [Moments(reading, raw) for raw, _ in trial.seen]
    columns = []
    for i in range(4):
        values = [rd.kl_terms(m.mq, m.Sq, m.mp, m.Sp)[i] for m in moments]
        if i == 3:
            values = [-v for v in values]
        columns.append(_vector(values, answer, trial, wanted))
    ones = [np.ones(m.B) for m in moments]
    if answer in ("coordinate", "coordinate / k", "coordinate / B"):
        ones = [np.ones((m.B, m.k)) for m in moments]
    columns.append(_vector(ones, answer, trial, wanted))
    return columns


def _weights(trial, reading, unlikely, against):
    """An Explanation by other weights of the right terms, or None"""
    best = None
    raw, leaves = trial.seen[0]
    B, k = rd._size(raw, trial.pattern)
    for path, given in leaves.items():
        if any(path not in other for _, other in trial.seen):
            continue
        flat = np.concatenate([other[path].reshape(-1) for _, other in trial.seen])
        wanted = [other[path].size for _, other in trial.seen]
        allowed, wrong = rd.answers_for(given, B, k, trial.layout, trial.shape)
        for answer in (*allowed, *wrong):
            columns = _columns(trial, reading, path, answer, wanted)
            if any(c is None for c in columns):
                continue
            found = _least_squares(columns, flat)
            if found is None:
                continue
            lines, term = _said_by_weights(*found)
            unclean = not all(_is_clean(w) for w in found[0])
            cost = 1.2 + 0.8 * unclean + 0.6 * len(lines) + unlikely + (answer in rd.MISREDUCED)
            if lines and (best is None or cost < best.cost):
                best = Explanation(
                    cost,
                    replace(reading, path=path, answer=answer),
                    ((term, Form(lines[0], None)),),
                    against=against,
                    lines=tuple(lines),
                )
    return best


def _least_squares(columns, flat):
    """(weights, which are there) that give the values, or None"""
    usable = np.isfinite(flat)
    kept, indices = [], []
    for i, column in enumerate(columns):  # leave out what others make already
        basis = np.array([*kept, column]).T[usable]
        size = np.linalg.norm(basis, axis=0)
        if size[-1] > 1e-9 and np.linalg.matrix_rank(basis / size.clip(1e-300), tol=1e-9) == (
            len(kept) + 1
        ):
            kept.append(column)
            indices.append(i)
    if not kept or usable.sum() < len(kept) + 3:
        return None
    A = np.array(kept).T[usable]
    weights, *_ = np.linalg.lstsq(A, flat[usable], rcond=1e-12)
    size = 1 + np.abs(A * weights).sum(1)
    if np.any(np.abs(A @ weights - flat[usable]) > CLOSE * size):
        return None
    return weights, indices


def _said_by_weights(weights, indices):
    right = {0: 0.5, 1: 0.5, 2: 0.5, 3: -0.5, 4: 0.0}
    names = list(NAMED.values())
    off = {i: w for w, i in zip(weights, indices, strict=True) if abs(w - right[i]) > 1e-5}
    if not off:
        return [], ""
    by = dict(zip(indices, weights, strict=True))
    factors = [by[i] / right[i] for i in (0, 1, 2, 3) if i in by]
    if factors and abs(by.get(4, 0)) < 1e-5 and np.ptp(factors) < 1e-5 and abs(factors[0]) > 1e-5:
        bits = ": in bits, not in nats" if abs(factors[0] * np.log(2) - 1) < 1e-5 else ""
        return [f"It is {number(factors[0])} times the KL{bits}."], "answer"
    if all(abs(by.get(i, 0)) < 1e-5 for i in (0, 1, 2)):
        k, one = by.get(3, 0.0), by.get(4, 0.0)
        of_k = f"{number(k)} k + " if abs(k) > 1e-5 else ""
        return [f"It is {of_k}{number(one)}, whatever the means and covariances."], "answer"
    lines = []
    if set(off) == {4}:
        lines.append(f"It differs from the KL by the constant {number(off[4])}.")
    elif set(off) == {3}:
        lines.append(f"It differs from the KL by exactly {number(off[3] + 0.5)} k.")
    for i, w in off.items():
        lines.append(f"{names[i][0].upper()}{names[i][1:]} has the weight {number(w)} instead of "
                     f"{number(right[i])}.")  # fmt: skip
    return lines, list(NAMED)[min(off)]


def _right_and_one_more(columns, flat):
    """((slot, form), weight) of the one column that is left when the KL is taken away, or None"""
    right = [c[2] for c in columns if not c[1].what]
    if len(right) < 3:
        return None
    signs = [-1.0 if c[0] == "constant" and c[2].mean() > 0 else 1.0
             for c in columns if not c[1].what]  # fmt: skip
    rest = flat - 0.5 * sum(s * c for s, c in zip(signs, right, strict=True))
    for slot, form, column in columns:
        if not form.what:
            continue
        weight = float(rest @ column / (column @ column))
        if abs(weight) > 1e-6 and np.all(
            np.abs(rest - weight * column) <= CLOSE * (1 + np.abs(flat))
        ):
            return (slot, form), weight
    return None


def _other_terms(trial, reading, unlikely, against):
    """An Explanation as a sum of few other ingredients, or None"""
    raw, leaves = trial.seen[0]
    B, k = rd._size(raw, trial.pattern)
    moments = [Moments(reading, raw) for raw, _ in trial.seen]
    slots = OF_MATRICES if moments[0].full else BY_COORDINATE
    table = []
    with np.errstate(all="ignore"):
        for slot, forms in zip(SLOTS, slots, strict=True):
            for form in forms:
                if "missing" in form.what or "twice" in form.what or "sign" in form.what:
                    continue
                table.append((slot, form, [form.value(m) for m in moments]))
    for path, given in leaves.items():
        if any(path not in other for _, other in trial.seen):
            continue
        flat = np.concatenate([other[path].reshape(-1) for _, other in trial.seen])
        wanted = [other[path].size for _, other in trial.seen]
        if not np.all(np.isfinite(flat)):
            continue
        allowed, _ = rd.answers_for(given, B, k, trial.layout, trial.shape)
        for answer in allowed:
            columns = [
                (slot, form, _vector(values, answer, trial, wanted)) for slot, form, values in table
            ]
            columns = [c for c in columns if c[2] is not None and np.linalg.norm(c[2]) > 1e-9]
            one_more = _right_and_one_more(columns, flat)
            if one_more:
                (slot, form), weight = one_more
                return Explanation(
                    2.2 + unlikely,
                    replace(reading, path=path, answer=answer),
                    ((slot, Form("other terms", None)),),
                    against=against,
                    lines=(f"It is the KL and {number(weight)} x another term: {form.what}.",),
                )
            chosen, residual = [], flat.copy()
            while len(chosen) < 6 and len(flat) >= len(chosen) + 6:
                scores = [abs(residual @ c[2]) / np.linalg.norm(c[2]) for c in columns]
                if not scores:
                    break
                best = int(np.argmax(scores))
                chosen.append(columns.pop(best))
                A = np.array([c[2] for c in chosen]).T
                weights, *_ = np.linalg.lstsq(A, flat, rcond=1e-12)
                residual = flat - A @ weights
                if np.all(np.abs(residual) <= CLOSE * (1 + np.abs(A * weights).sum(1))):
                    parts = [
                        f"{number(w)} x ({form.what or NAMED[slot]})"
                        for w, (slot, form, _) in zip(weights, chosen, strict=True)
                    ]
                    off = next((slot for slot, form, _ in chosen if form.what), "answer")
                    return Explanation(
                        2.5 + unlikely,
                        replace(reading, path=path, answer=answer),
                        ((off, Form("other terms", None)),),
                        against=against,
                        lines=("Its values are the sum of", *(f"    {part}" for part in parts)),
                    )
    return None


# ---- from what was seen to a sentence ------------------------------------------------------------


def diagnose(call, found, seed=0):
    """The Diagnosis of a function that is right under no reading"""
    best, best_trial = None, None
    trials = found.trials
    for number, trial in enumerate(trials[:6]):
        names = list(trial.names)
        explanation = explain(trial, names, found.said)
        if explanation is None or explanation.cost > 1.5:
            for reading in _plain_readings(trial, names):
                against = tuple(rd.objections(reading, names, found.said))
                price = 0.9 * len(against)
                for way in (_special, _weights):
                    other = way(trial, reading, price, against)
                    if other and (explanation is None or other.cost < explanation.cost):
                        explanation = other
        if explanation and (best is None or explanation.cost + 0.4 * number < best.cost):
            best, best_trial = explanation, trial
        if best is not None and best.cost <= 1.3:
            break
    if best is not None and best.cost > 3.9:
        best = None  # so many mistakes are a guess
    if best is None:
        for trial in trials[:2]:
            names = list(trial.names)
            for reading in _plain_readings(trial, names)[:4]:
                best = _other_terms(trial, reading, 0.0, ())
                if best:
                    best_trial = trial
                    break
            if best:
                break
    if best is None:
        for trial in trials[:3]:
            for reading in _plain_readings(trial, list(trial.names))[:4]:
                jitter = _jitter(trial, reading)
                if jitter:
                    return jitter
        if trials[0].tolerance < rd.COARSE:  # perhaps it computes in single precision
            for trial in trials:
                trial.tolerance = rd.COARSE
            return diagnose(call, found, seed)
        return _unknown(call, found, trials[0])
    return in_words(best, best_trial)


def _plain_readings(trial, names):
    readings = [r for r in rd.candidates(trial, names) if r.target == "kl"]
    return sorted(readings, key=lambda r: rd._odd(r, names))[:12]


def _unknown(call, found, trial):
    """Not a mistake that is known: which term is off, under the likeliest reading"""
    from tinyvae.classroom.checker import kl_laws as laws

    names = list(trial.names)
    readings = _plain_readings(trial, names) or list(rd.candidates(trial, names, any_kind=True))
    reading = readings[0]
    raw, leaves = trial.seen[0]
    B, k = rd._size(raw, trial.pattern)
    path, given = next(iter(leaves.items()))
    allowed, wrong = rd.answers_for(given, B, k, trial.layout, trial.shape)
    if not allowed and not wrong:
        shape = tuple(given.shape)
        return Diagnosis(
            (f"It gives an answer of shape {shape} for a batch of {B} in {k} dimensions.",),
            (), replace(reading, path=path), "answer",
        )  # fmt: skip
    reading = replace(reading, path=path, answer=(*allowed, *wrong)[0])
    subject = laws.Subject(_Calling(call), reading)
    return Diagnosis(
        ("It is not a mistake we know.", *term_that_is_off(subject)), (), reading, "unknown"
    )


class _Calling:
    """A call as `Subject` wants a function"""

    def __init__(self, call):
        self.ask = call

    def call(self, arguments, *, library, gradient=False):
        from tinyvae.classroom.checker.function import Outcome

        try:
            return Outcome(self.ask(arguments, library))
        except rd.Failure as failure:
            return Outcome(error=failure.text)


def in_words(explanation, trial=None):
    """The Diagnosis that an Explanation is"""
    reading = explanation.reading
    what, _ = _merged(explanation.wrong)
    if explanation.weight.what:
        what = [explanation.weight.what, *what]
    if reading.answer in rd.MISREDUCED:
        what.append(f"it {rd.MISREDUCED[reading.answer]}")
    mistakes = [*explanation.against, *what]
    names = [name for name in explanation.entries if name in museum.NAMES]
    names += [n for n in _entry_of_answer(reading.answer) if n not in names]
    if any("exchanged" in sentence for sentence in explanation.against):
        names.insert(0, "swapped-arguments")
    if explanation.lines:
        says = [*explanation.lines]
        if reading.answer in rd.MISREDUCED:
            says.append(_sentence(f"it {rd.MISREDUCED[reading.answer]}"))
        says += [_sentence(s) for s in explanation.against]
    elif len(mistakes) == 1:
        says = [_sentence(mistakes[0])]
    else:
        count = {2: "Two", 3: "Three", 4: "Four"}.get(len(mistakes), str(len(mistakes)))
        says = [f"{count} mistakes: {'; '.join(mistakes)}."]
    if len(mistakes) == 1 and len(names) > 1:
        says.append(f"For this signature {len(names)} mistakes of the museum give these numbers.")
    says += entries_in_words(names)
    said = reading_in_words(reading)
    if said:
        says.append(said)
    term = explanation.wrong[0][0] if explanation.wrong else "answer"
    if explanation.against and not explanation.wrong:
        term = "argument"
    return Diagnosis(tuple(says), tuple(names), reading, term)


def entries_in_words(names):
    """What the museum says of these mistakes, in lines"""
    lines = []
    for name in names[:4]:
        entry = museum.NAMES[name]
        lines += [
            f'{entry.code} "{entry.title}"',
            f"    wrong  {entry.wrong}",
            f"    right  {entry.right}",
            f"    `tinyvae bugs {name}` tells more",
        ]
    return lines


def _entry_of_answer(answer):
    entry = {
        "averaged twice": "averaged-twice",
        "example / B": "averaged-twice",
        "mean over dimensions": "mean-over-dimensions",
        "mean of everything": "mean-over-dimensions",
        "sum and mean": "mean-over-dimensions",
        "coordinate / k": "mean-over-dimensions",
        "total in every row": "total-in-every-row",
        "axis 0": "sum-over-the-batch-axis",
        "axis 0 mean": "sum-over-the-batch-axis",
    }.get(answer)
    return [entry] if entry in museum.NAMES else []


def reading_in_words(reading):
    """ "So read: KL(1 || 2), with sigma1 as standard deviations." where a reading was chosen"""
    kinds = {}
    for name, (_, what) in zip(reading.names, reading.roles, strict=True):
        if what in rd.IN_WORDS and what not in ("mean", "sample"):
            kinds.setdefault(what, []).append(name)
    words = [f"{', '.join(names)} as {rd.IN_WORDS[kind]}" for kind, names in kinds.items()]
    q, p = rd.gaussian_names(reading)
    return f"(Read as KL({q} || {p}){', with ' if words else ''}{'; '.join(words)}.)"


def _sentence(text):
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "?")) else ".")


# ---- a function that is right on most random input -----------------------------------------------


def random_pairs(form, rng, count=24, largest=4):
    """Generic pairs that a function of this form can be given; every fourth is close to equality.

    Mistakes like max(KL, 0.1) show only there.
    """
    from tinyvae.classroom.checker.kl_laws import Pair

    made = []
    for i in range(count):
        k = 1 + i % (form.largest or largest)
        near = 0.05 if i % 4 == 3 else 1.0
        mean_p, cov_p = rng.normal(size=k), _covariance(form, rng, k)
        if (
            form.signature == "standard-normal"
            and "standard normal" in form.prior + "standard normal"
        ):
            fixed = form.restrict(Pair(mean_p, cov_p, mean_p, cov_p))
            mean_p, cov_p = fixed.mean_p, fixed.cov_p
        root = np.eye(k) + near * (_covariance(form, rng, k) - np.eye(k))
        cov_q = root @ cov_p @ root.T if near < 1 else _covariance(form, rng, k)
        pair = Pair(mean_p + near * rng.normal(size=k), cov_q, mean_p, cov_p)
        made.append(form.restrict(pair))
    return made


def _covariance(form, rng, k):
    root = np.diag(np.exp(rng.uniform(-0.7, 0.7, k)))
    if form.scale == "cov":
        root = root + np.tril(rng.uniform(-0.7, 0.7, (k, k)), -1)
    return root @ root.T


def natural_trial(subject, seed=0, sizes=((5, 3), (4, 2), (6, 3), (3, 4), (5, 3), (7, 2))):
    """A Trial of the subject's reading on ordinary pairs, near equality as well"""
    from tinyvae.classroom.checker.kl_laws import Pair, raw_of

    trial, rng = subject.trial, np.random.default_rng([seed, 5])
    trial = replace(trial, seen=[])
    fixed = subject._fixed()
    for B, size in sizes:
        k = fixed or (1 if subject.only_1d else size)
        form = replace(subject.form, largest=0)
        made = []
        for b in range(B):
            near = (1.0, 0.3, 0.05)[b % 3]
            mean_p, cov_p = rng.normal(size=k), _covariance(form, rng, k)
            base = form.restrict(Pair(mean_p, cov_p, mean_p, cov_p))
            root = np.eye(k) + near * (_covariance(form, rng, k) - np.eye(k))
            cov_q = root @ base.cov_p @ root.T if near < 1 else _covariance(form, rng, k)
            made.append(
                form.restrict(
                    Pair(base.mean_p + near * rng.normal(size=k), cov_q, base.mean_p, base.cov_p)
                )
            )
        raw = raw_of(subject.reading, *(np.stack(arrays) for arrays in zip(*made, strict=True)))
        trial.seen.append((raw, trial.ask(_caller_of(subject), raw)))
    trial.tolerance = 1e-9 if subject.eps < 1e-10 else rd.COARSE
    return rd._split(trial)


def _caller_of(subject):
    def call(arguments, library):
        outcome = subject.function.call(arguments, library=library)
        if outcome.error:
            raise rd.Failure(outcome.error)
        return outcome.value

    return call


def diagnose_near(subject, seed=0):
    """The Diagnosis by values on ordinary pairs and near equality; None if all are right"""
    try:
        trial = natural_trial(subject, seed)
    except rd.Failure:
        return None
    reading = subject.reading
    with np.errstate(all="ignore"):
        if rd.matches(reading, trial, reading.path, reading.answer, rd.COARSE
                      if subject.eps > 1e-10 else 1e-7):  # fmt: skip
            return None
        best = _explain(trial, reading, 0.0, (), 4)
        for way in (_special, _weights):
            other = way(trial, reading, 0.0, ())
            if other and (best is None or other.cost < best.cost):
                best = other
        if best is None:
            jitter = _jitter(trial, reading)
            if jitter:
                return jitter
            best = _other_terms(trial, reading, 0.0, ())
    return in_words(best, trial) if best else None


def _jitter(trial, reading):
    """The Diagnosis "1e-6 is added to the diagonal of both covariances", or None"""
    raw, leaves = trial.seen[0]
    B, k = rd._size(raw, trial.pattern)
    moments = [Moments(reading, raw) for raw, _ in trial.seen]
    for path, given in leaves.items():
        for answer in rd.answers_for(given, B, k, trial.layout, trial.shape)[0]:
            for e in (1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8):
                for whose, to_q, to_p in (
                    ("both covariances", e, e), ("q's covariance", e, 0), ("p's covariance", 0, e)
                ):  # fmt: skip
                    if _is_jittered(trial, moments, path, answer, to_q, to_p, 1e-3 * e):
                        what = f"{e:g} is added to the diagonal of {whose}."
                        made = replace(reading, path=path, answer=answer)
                        return Diagnosis((what,), (), made, "argument")
    return None


def _is_jittered(trial, moments, path, answer, to_q, to_p, slack):
    for m, (_, leaves) in zip(moments, trial.seen, strict=True):
        one = np.eye(m.k) if m.full else 1.0
        values = 0.5 * sum(rd.kl_terms(m.mq, m.Sq + to_q * one, m.mp, m.Sp + to_p * one))
        wanted = np.asarray(rd.reduce(values, answer, trial.shape))
        if path not in leaves or leaves[path].size != wanted.size:
            return False
        off = np.abs(leaves[path].reshape(wanted.shape) - wanted)
        if not np.all(off <= 1e-10 * (1 + np.abs(wanted)) + slack * (1 + np.abs(wanted))):
            return False
    return True


def diagnose_batch(found, subject, broken):
    """The Diagnosis of a function that is right for one pair and not for a batch"""
    reading = subject.reading
    for trial in found.trials:
        if trial.layout != "batch" or trial.pattern != reading.pattern:
            continue
        names = list(trial.names)
        explanation = explain(trial, names, found.said)
        if explanation:
            diagnosis = in_words(explanation, trial)
            first = "For one pair it is right, for a batch it is not: "
            said = diagnosis.says[0]
            says = (first + said[:1].lower() + said[1:], *diagnosis.says[1:])
            return Diagnosis(says, diagnosis.names, reading, diagnosis.term)
    return Diagnosis(
        (_sentence(f"for one pair it is right; {broken.message}"),), (), reading, "batch"
    )


def at_the_limit(limits, subject):
    """(name, lines) of the museum's entry that fails in the same way, or None"""
    if any("dimensions it gives" in limit for limit in limits) and not subject.reading.diagonal:
        entry = museum.NAMES["determinant-underflows"]
        return entry.name, [
            f'There {entry.code} "{entry.title}" gives no number, either',
            f"    wrong  {entry.wrong}",
            f"    `tinyvae bugs {entry.name}` tells more",
        ]
    return None


def outside(subject, low, high):
    """What a function does beyond the range where it is right: ("it is clipped",) and its entry"""
    from tinyvae.classroom.checker.kl_laws import Pair

    def value(variance):
        pair = Pair(np.zeros(1), np.array([[variance]]), np.zeros(1), np.eye(1))
        return subject(*subject.form.restrict(pair))

    try:
        with np.errstate(all="ignore"):
            floor = value(1e-40)
            added = np.exp(-(2 * floor + 1))
            e = float(f"{added:.0e}") if 1e-38 < added < 1 else 0.0
            if e and abs(value(e) - 0.5 * (e - 1 - np.log(2 * e))) < 1e-4:
                entry = museum.NAMES.get("small-number-in-log")
                return _Outside(
                    (f"{e:g} is added inside the logarithm",), (entry.name,) if entry else ()
                )
    except Exception:
        return _Outside(("it is off",))
    return _Outside(("it is clipped",))


class _Outside(tuple):
    """Words, and the names of the museum's entries"""

    def __new__(cls, words, names=()):
        made = super().__new__(cls, words)
        made.names = tuple(names)
        return made


def term_that_is_off(subject):
    """Sentences on which part is off: by moving the means only, the scales only, and neither"""
    from tinyvae.classroom.checker.kl_laws import NotNumbers, Pair, Raised, truth

    k = subject._fixed() or (1 if subject.only_1d else 2)
    form, rng = subject.form, np.random.default_rng(2)
    cov_p = _covariance(replace(form, scale="var" if form.scale != "cov" else "cov"), rng, k)
    cov_q = _covariance(form, rng, k)
    mean_p, d = rng.normal(size=k), rng.normal(size=k)
    base = form.restrict(Pair(mean_p, cov_p, mean_p, cov_p))
    same = Pair(base.mean_p, base.cov_p, base.mean_p, base.cov_p)
    moved = form.restrict(Pair(base.mean_p + d, base.cov_p, base.mean_p, base.cov_p))
    scaled = form.restrict(Pair(base.mean_p, cov_q, base.mean_p, base.cov_p))
    try:
        with np.errstate(all="ignore"):
            at, by_mean, by_scale = (subject(*pair) for pair in (same, moved, scaled))
            true_mean, true_scale = truth(moved), truth(scaled)
    except (Raised, NotNumbers):
        return []
    lines = []
    if abs(at) > 1e-6:
        lines.append(f"The constant is off: for q = p it gives {at:.6g}, not 0.")
    if abs(by_mean - at - true_mean) > 1e-6 * (1 + abs(true_mean)):
        lines.append("The distance is off: what it adds when only the means differ is not "
                     "1/2 d' Sp^-1 d.")  # fmt: skip
    if abs(by_scale - at - true_scale) > 1e-6 * (1 + abs(true_scale)):
        lines.append("The scales are off: what it adds when only the covariances differ is not "
                     "1/2 ( log|Sp| - log|Sq| + tr(Sp^-1 Sq) - k ).")  # fmt: skip
    return lines


# ---- a random answer -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Estimate:
    """What the mean of a random answer is, beside the KL"""

    reading: rd.Reading
    right: bool
    mean: float
    error: float
    true: float
    case: dict


def estimate(call, found, seed=0, rows=400, calls=30):
    """The Estimate of a function whose answer is random, or None if it is not

    One pair is repeated in all rows of a batch; the mean over rows and calls has a standard error.
    """
    for trial in found.trials[:4]:
        raw, leaves = trial.seen[0]
        again = trial.ask(call, raw)
        path = next(iter(leaves))
        if path not in again or np.array_equal(again[path], leaves[path]):
            continue
        names = list(trial.names)
        rng = np.random.default_rng(seed)
        B, k = rd._size(raw, trial.pattern)
        made = rd.draw(trial.pattern, (1, k), rng)
        tiled = [np.repeat(array, rows if trial.layout == "batch" else 1, axis=0) for array in made]
        allowed, _ = rd.answers_for(leaves[path], B, k, trial.layout, trial.shape)
        if not allowed:
            continue
        means = []
        for _ in range(calls if trial.layout == "batch" else 1500):
            array = trial.ask(call, tiled)[path]
            total = array.sum() / len(tiled[0])
            means.append(array.mean() * (k if "coordinate" in allowed else 1)
                         if array.size > 1 else total * len(tiled[0]))  # fmt: skip
        mean, error = float(np.mean(means)), float(np.std(means, ddof=1) / np.sqrt(len(means)))
        best = None
        for reading in rd.candidates(trial, names):
            if reading.target != "kl":
                continue
            true = rd.truth(reading, made)
            true = float(true.sum())
            for answer, factor in (("mean", 1.0), ("sum", len(tiled[0]))):
                if "sum" not in allowed and answer == "sum":
                    continue
                away = abs(mean / factor - true) / max(error / factor, 1e-12)
                if best is None or away < best[0]:
                    kind = allowed[0] if "sum" not in allowed else answer
                    best = away, replace(reading, path=path, answer=kind), mean / factor, (
                        error / factor), true  # fmt: skip
                if rd.objections(reading, names, found.said):
                    continue
        if best is None:
            continue
        away, reading, mean, error, true = best
        case = {n.text: np.round(a[0], 6).tolist() if a.ndim > 1 else float(a[0])
                for n, a in zip(names, made, strict=False)}  # fmt: skip
        return Estimate(reading, away < 5, mean, error, true, case)
    return None
