"""Means of random values with their standard errors, and means of exponentials without overflow."""

import math
from typing import NamedTuple

import numpy as np


class Estimate(NamedTuple):
    """A Monte Carlo mean, its standard error, and the number of draws behind it."""

    mean: float
    standard_error: float
    n: int

    def z(self, truth):
        """How many standard errors lie between the mean and the truth: never negative.

        >>> Estimate(2.5, 0.5, 100).z(3.5)
        2.0
        """
        distance = abs(self.mean - truth)
        if self.standard_error == 0:
            return 0.0 if distance == 0 else math.inf
        return float(distance / self.standard_error)

    def __str__(self):
        """The digits that the error allows: one of the error, and the mean to the same place.

        >>> print(Estimate(-3.24213, 0.00091, 10_000))
        -3.2421 +- 0.0009
        >>> print(Estimate(3.21e-31, 4.4e-32, 100))
        (3.2 +- 0.4)e-31
        """
        if self.standard_error == 0:
            return f"{self.mean:.12g} +- 0"
        power = math.floor(math.log10(max(abs(self.mean), self.standard_error)))
        if not -5 < power < 6:
            scale = 10.0**power
            return f"({Estimate(self.mean / scale, self.standard_error / scale, self.n)})e{power}"
        decimals = min(max(0, -math.floor(math.log10(self.standard_error))), 12)
        return f"{self.mean:.{decimals}f} +- {self.standard_error:.{decimals}f}"


def estimate(values):
    """The mean of independent draws and its standard error, sqrt(sum (v - mean)^2 / (n - 1) / n).

    values (n,), n >= 2  ->  Estimate.  ValueError for another shape, NaN or infinity.

    The error shrinks as 1 / sqrt(n): one more digit costs 100 times the draws.

    >>> print(estimate([1.0, 2.0, 3.0, 4.0, 5.0]))  # sqrt(10 / 4 / 5)
    3.0 +- 0.7
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or values.size < 2:
        raise ValueError(f"values must be one row of at least two numbers, got {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError("values must be finite: a mean with NaN or infinity in it has no error")
    n = values.size
    mean = values.mean()
    deviations = values - mean  # two passes: sum v^2 - n mean^2 would cancel
    largest = np.abs(deviations).max() or 1.0  # squares of 1e-170 would be 0
    variance = np.sum((deviations / largest) ** 2) / (n - 1)
    return Estimate(float(mean), float(largest * np.sqrt(variance / n)), n)


def log_mean_exp(a, axis=None):
    """log(mean(exp(a))) in float64, without overflow, and without loss where it is close to 0.

    a (...)  ->  a without that axis.  -inf is exp's 0: all -inf gives -inf; +inf gives +inf.

    The largest value is taken out first, so that the largest exp is 1.  If the mean of the rest
    is close to 1, its logarithm is log1p(mean(expm1)), which keeps the digits that 1 + tiny loses.

    >>> float(log_mean_exp([-1000.0, -1000.0]))
    -1000.0
    """
    a = np.asarray(a, dtype=np.float64)
    largest = np.max(a, axis=axis, keepdims=True)
    shift = np.where(np.isfinite(largest), largest, 0.0)  # inf - inf would be NaN
    with np.errstate(divide="ignore", over="ignore"):  # log(0) = -inf is meant, and so is exp(inf)
        mean = np.mean(np.exp(a - shift), axis=axis, keepdims=True)
        mean_minus_1 = np.mean(np.expm1(a - shift), axis=axis, keepdims=True)
        log_mean = np.where(mean > 0.5, np.log1p(mean_minus_1), np.log(mean))
    return np.squeeze(shift + log_mean, axis=axis)[()]


def effective_sample_size(log_weights):
    """(sum w)^2 / sum w^2 of the weights w = exp(log_weights): n if all are equal, 1 if one rules.

    log_weights (n,)  ->  () between 1 and n.  ValueError if no weight is finite and positive.

    >>> round(float(effective_sample_size([-700.0, -700.0, -900.0])), 12)
    2.0
    """
    log_weights = np.asarray(log_weights, dtype=np.float64)
    largest = log_weights.max()
    if not np.isfinite(largest):
        raise ValueError(f"the largest log weight must be finite, got {largest}")
    weights = np.exp(log_weights - largest)
    return np.sum(weights) ** 2 / np.sum(weights**2)
