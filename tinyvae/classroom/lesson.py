"""What a lesson prints: a claim, then both of its sides, computed, and whether they agree.

  3.3  log p(x) - KL(q || p(z|x))  =  E_q[log p(x|z)] - KL(q || p(z))

     exact                  -3.241708        =    -3.241708           differ by < 1e-12    holds
     Monte Carlo            -3.241708        =    -3.2421 +- 0.0009   0.4 standard errors  holds

A side is a number, an array of numbers, an `Estimate` of `tinyvae.oracles` with its standard error,
or a list of those.  A check that does not hold prints its row and raises `Refuted`, which ends the
lesson with a non-zero exit status.  What is printed is plain ASCII, at most 95 columns wide if the
labels are short, and holds no digit that differs from machine to machine.
"""

import numpy as np

from tinyvae.oracles import Estimate

LEFT = 36  # columns for the label and the left side; a longer label takes a line of its own
RIGHT = 19
POINT = 4  # where the decimal point stands in the right side


class Refuted(AssertionError):
    """Two sides that a lesson claims to be equal, ordered or different are not."""


def title(text):
    """The first line of a lesson."""
    print(f"\n{text}\n{'=' * len(text)}")


def claim(number, text):
    """The claim that the next rows are evidence for."""
    print(f"\n  {number}  {text}\n")


def say(text=""):
    """A line that belongs to the evidence: a number on its own, a reading of the rows above."""
    print(f"     {text}".rstrip())


def check(label, left, right, *, tolerance=1e-12, errors=5, decimals=6):
    """left = right, within ``tolerance`` relative to the larger, or ``errors`` standard errors.

    Shows numbers with so many ``decimals``: fewer for what a training has gone into.
    Raises Refuted, after printing the row, where they differ or a number is not finite.
    """
    (a, a_error), (b, b_error) = _numbers(left), _numbers(right)
    with np.errstate(invalid="ignore"):  # inf - inf: not a number, and so not equal
        difference, error = np.abs(a - b), np.hypot(a_error, b_error)
        scale = np.maximum(1, np.maximum(np.abs(a), np.abs(b)))
        within = difference <= tolerance * scale + errors * error
        holds = bool(np.all(within & np.isfinite(difference)))
        noisy = error > tolerance * scale
        if np.any(noisy):
            distance = f"{np.max((difference / np.where(noisy, error, 1))[noisy]):.1f}"
            distance += " standard errors"
        else:
            worst = f"< {tolerance:.0e}" if holds else f"{np.max(difference / scale):.0e}"
            distance = f"differ by {worst}"
    _row(label, left, "=", right, distance, holds, decimals)


def check_at_most(label, left, right, *, tolerance=1e-12, errors=5, decimals=6):
    """left <= right, but for rounding or ``errors`` standard errors.    Raises as `check` does."""
    (a, a_error), (b, b_error) = _numbers(left), _numbers(right)
    with np.errstate(invalid="ignore"):
        below, error = b - a, np.hypot(a_error, b_error)
        doubt = tolerance * np.maximum(1, np.abs(b)) + errors * error
        holds = bool(np.all((below >= -doubt) & np.isfinite(below)))
        least = np.min(below)
    distance = f"{_digits(least, decimals)} below" if abs(least) > tolerance else "equal"
    _row(label, left, "<=", right, distance, holds, decimals)


def check_differs(label, left, right, *, errors=5, by=1e-9, decimals=6):
    """left and right differ, by more than ``by`` and by more than ``errors`` standard errors.

    For what the lesson calls wrong: a mistake that nobody could see would prove nothing.
    Arrays differ if they do in one place.    Raises as `check` does.
    """
    (a, a_error), (b, b_error) = _numbers(left), _numbers(right)
    with np.errstate(invalid="ignore"):
        apart, error = np.abs(a - b), np.hypot(a_error, b_error)
        holds = bool(np.any(apart > np.maximum(by, errors * error)))
    _row(label, left, "!=", right, f"{_digits(np.max(apart), decimals)} apart", holds, decimals)


def _row(label, left, relation, right, distance, holds, decimals):
    left, right = _show(left, decimals), _show(right, decimals)
    start = label
    if len(label) + 2 + len(left) > LEFT:
        say(label)
        start = ""
    start += left.rjust(LEFT - len(start))
    aligned = " " * (POINT - len(right.split(".")[0])) + right
    verdict = "holds" if holds else "FAILS"
    say(f"{start} {relation:>2}  {aligned:<{RIGHT}} {distance:<19}  {verdict}")
    if not holds:
        raise Refuted(f"{label}: {left} {relation} {right} does not hold ({distance})")


def _numbers(side):
    """The side's values and their standard errors as arrays."""
    if isinstance(side, Estimate):
        return np.asarray(side.mean), np.asarray(side.standard_error)
    if isinstance(side, list) and side and all(isinstance(s, Estimate) for s in side):
        return np.array([s.mean for s in side]), np.array([s.standard_error for s in side])
    values = np.asarray(side, dtype=float)
    return values, np.zeros_like(values)


def _show(side, decimals):
    """The side as text: a number, a number with its error, or how many numbers there are."""
    values, errors = _numbers(side)
    if values.ndim:
        return f"{values.size} numbers"
    if not np.isfinite(values + errors):
        return f"{values} +- {errors}" if isinstance(side, Estimate) else f"{values}"
    if errors > 1e-12 * max(1, abs(values)):
        return str(side)
    return _digits(values, decimals)


def _digits(value, decimals):
    """The number with so many decimals; what is too large or too small for them with 4 digits."""
    if abs(value) < 1e-12:
        value = 0.0  # rounding, of either sign
    if value != 0 and not 10.0 ** (1 - decimals) <= abs(value) < 1e7:
        return f"{value:.3e}"
    return f"{value:.{decimals}f}"
