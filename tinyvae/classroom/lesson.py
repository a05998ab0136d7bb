"""What a lesson prints: a claim, then both of its sides, computed, and whether they agree.

    3.1  log p(x) - KL(q || p(z|x))  =  E_q[log p(x|z)] - KL(q || p(z))
           exact          left  -3.241708    right  -3.241708           differ by < 1e-12    holds
           Monte Carlo    left  -3.241708    right  -3.2421 +- 0.0009   0.4 standard errors  holds

A side is a number, an array of numbers, or an `Estimate` of `tinyvae.oracles` with its standard
error.  A check that does not hold prints its row and raises `Refuted`, which ends the lesson with a
non-zero exit status.  What is printed is plain ASCII.
"""

import numpy as np

from tinyvae.oracles import Estimate


class Refuted(AssertionError):
    """Two sides that a lesson claims to be equal, ordered or different are not."""


def title(text):
    """The first line of a lesson."""
    print(f"\n{text}\n")


def claim(number, text):
    """The claim that the next rows are evidence for."""
    print(f"\n{number:>6}  {text}")


def say(text):
    """A line that belongs to the evidence: a number on its own, a reading of the rows above."""
    print(f"          {text}")


def check(label, left, right, *, tolerance=1e-12, errors=5):
    """left = right, within ``tolerance`` relative to the larger, or ``errors`` standard errors.

    Raises Refuted, after printing the row, where they differ or a number is not finite.
    """
    error = np.hypot(_error(left), _error(right))
    difference = np.abs(_value(left) - _value(right))
    if np.any(error > 0):
        z = np.max(difference / np.maximum(error, np.finfo(float).tiny))
        holds, distance = z <= errors, f"{z:.1f} standard errors"
    else:
        scale = np.maximum(1, np.maximum(np.abs(_value(left)), np.abs(_value(right))))
        worst = np.max(difference / scale)
        holds = worst <= tolerance
        distance = f"differ by {'< ' if holds else ''}{tolerance if holds else worst:.0e}"
    _row(label, left, "=", right, distance, holds)


def check_at_most(label, left, right, *, errors=5):
    """left <= right, with ``errors`` standard errors of doubt.    Raises Refuted as `check` does."""
    error = np.hypot(_error(left), _error(right))
    gap = np.min(_value(right) - _value(left))
    _row(label, left, "<=", right, f"{gap:.4g} between", np.all(gap >= -errors * np.max(error)))


def check_differs(label, left, right, *, errors=5, by=0.0):
    """left and right differ, by more than ``by`` and ``errors`` standard errors.

    For what the lesson calls wrong: a mistake that nobody could see would prove nothing.
    Raises Refuted as `check` does.
    """
    error = np.max(np.hypot(_error(left), _error(right)))
    gap = np.max(np.abs(_value(left) - _value(right)))
    _row(label, left, "/=", right, f"{gap:.4g} apart", gap > max(by, errors * error))


def _row(label, left, relation, right, distance, holds):
    verdict = "holds" if holds else "FAILS"
    sides = f"left {_show(left):>20}   right {_show(right):>20}"
    print(f"          {label:<24} {sides}   {relation:<2} {distance:<20} {verdict}")
    if not holds:
        raise Refuted(f"{label}: left {_show(left)}, right {_show(right)}, {distance}")


def _value(side):
    return np.asarray(side.mean if isinstance(side, Estimate) else side, dtype=float)


def _error(side):
    return side.standard_error if isinstance(side, Estimate) else 0.0


def _show(side):
    if isinstance(side, Estimate):
        return str(side)
    value = _value(side)
    return f"{value:.6f}" if value.ndim == 0 else f"{value.size} numbers"
