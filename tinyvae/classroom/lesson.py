"""Print a lesson's claims, each with both of its sides, computed, and whether they agree.

  3.3  log p(x) - KL(q || p(z|x))  =  E_q[log p(x|z)] - KL(q || p(z))

   exact                  -3.241708  =   -3.241708         within 1e-12   holds
   Monte Carlo            -3.241708  =   -3.2421 +- 0.0009 0.4 s.e.       holds

A side is a number, an array of numbers, an `Estimate` of `tinyvae.oracles` with its standard error,
or a list of those.  A row that does not hold is marked FAILS and the lesson goes on; the process
then ends with status 1 and one sentence.  What is printed is plain ASCII, rows are at most WIDTH
columns wide, and no digit is shown that differs from machine to machine.

Title, Claim, Remark and Row are what is printed, as data; `sink` hands them to a page builder or
a presenter, which then decides itself what a failing row means.
"""

import atexit
import os
import sys
import textwrap
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from tinyvae.oracles import Estimate

WIDTH = 78  # columns of a row: 80 is what a projector shows at a readable size
LABEL = 32  # columns of label and left side; a longer label takes a line of its own
RIGHT = 18
POINT = 4  # column of the decimal point in the right side
EVIDENCE = 14
LEGEND = """\
   A row: what, left side, right side, how far apart, verdict. +- and s.e. are
   standard errors of drawn numbers: up to 5 of them apart counts as equal."""


class Title(NamedTuple):
    """The first line of a lesson."""

    text: str

    def __str__(self):
        return f"\n{self.text}\n{'=' * len(self.text)}\n\n{LEGEND}"


class Claim(NamedTuple):
    """What the next rows are evidence for, with its number: "3.2"."""

    number: str
    text: str

    def __str__(self):
        start = f"  {self.number}  "
        text = f"{start}{self.text}"
        if len(text) > WIDTH:
            text = textwrap.fill(text, WIDTH, subsequent_indent=" " * len(start))
        return f"\n{text}\n"


class Remark(NamedTuple):
    """A line between rows: a number on its own, a heading, a reading of the rows above."""

    text: str

    def __str__(self):
        return f"   {self.text}".rstrip()


class Row(NamedTuple):
    """One comparison: `left` and `right` as shown, `claim` the number of the claim above it."""

    claim: str
    text: str
    left: str
    relation: str  # = <= < !=
    right: str
    evidence: str
    holds: bool

    @property
    def verdict(self):
        return "holds" if self.holds else "FAILS"

    def __str__(self):
        label, above = self.text, ""
        if len(label) + 1 + len(self.left) > LABEL:
            label, above = "", f"   {self.text}\n"
        left = label + self.left.rjust(LABEL - len(label))
        indent = max(0, min(POINT - len(self.right.split(".")[0]), RIGHT - len(self.right)))
        right = " " * indent + self.right
        return (
            f"{above}   {left} {self.relation:>2} {right:<{RIGHT}} {self.evidence:<{EVIDENCE}} "
            f"{self.verdict}"
        )


def title(text):
    """Print the lesson's title and how to read its rows."""
    global _claim
    _claim = ""
    _emit(Title(text))


def claim(number, text):
    """Print the claim that the next rows are evidence for."""
    global _claim
    _claim = number
    _emit(Claim(number, text))


def say(text=""):
    """Print a line that belongs to the evidence."""
    _emit(Remark(text))


def check(label, left, right, *, tolerance=1e-12, errors=5, decimals=6):
    """left = right, within ``tolerance`` relative to the larger, or ``errors`` standard errors.

    Shows numbers with so many ``decimals``: fewer for what a training has gone into.
    The row FAILS where they differ or a number is not finite.    ->  whether it holds
    """
    (a, a_error), (b, b_error) = _numbers(left), _numbers(right)
    with np.errstate(invalid="ignore"):  # inf - inf: not a number, and so not equal
        difference, error = np.abs(a - b), np.hypot(a_error, b_error)
        scale = np.maximum(1, np.maximum(np.abs(a), np.abs(b)))
        within = difference <= tolerance * scale + errors * error
        holds = bool(np.all(within & np.isfinite(difference)))
        noisy = error > tolerance * scale
        if np.any(noisy):
            evidence = _errors(np.max((difference / np.where(noisy, error, 1))[noisy]))
        elif not np.all(np.isfinite(difference)):
            evidence = "not finite"
        elif holds:
            evidence = f"within {tolerance:.0e}"
        else:
            evidence = f"off by {np.max(difference / scale):.0e}"
    return _row(label, left, "=", right, evidence, holds, decimals)


def check_at_most(label, left, right, *, tolerance=1e-12, errors=5, decimals=6):
    """left <= right, but for rounding or ``errors`` standard errors: for what a theorem says.

    What is measured to be better or larger is for `check_less`.    ->  whether it holds
    """
    (a, a_error), (b, b_error) = _numbers(left), _numbers(right)
    with np.errstate(invalid="ignore"):
        below, error = b - a, np.hypot(a_error, b_error)
        doubt = tolerance * np.maximum(1, np.abs(b))
        holds = bool(np.all((below >= -doubt - errors * error) & np.isfinite(below)))
    evidence = _below(below, error, doubt, equal="equal")
    return _row(label, left, "<=", right, evidence, holds, decimals)


def check_less(label, left, right, *, errors=3, by=1e-9, decimals=6):
    """left < right, by more than ``by`` and by at least ``errors`` standard errors.

    Arrays must be less in every place.    ->  whether it holds
    """
    (a, a_error), (b, b_error) = _numbers(left), _numbers(right)
    with np.errstate(invalid="ignore"):
        below, error = b - a, np.hypot(a_error, b_error)
        holds = bool(np.all((below > by) & (below >= errors * error) & np.isfinite(below)))
    evidence = _below(below, error, 1e-12 * np.maximum(1, np.abs(b)), equal="by 0")
    return _row(label, left, "<", right, evidence, holds, decimals)


def check_differs(label, left, right, *, errors=5, by=1e-9, decimals=6):
    """left and right differ, by more than ``by`` and by more than ``errors`` standard errors.

    For what the lesson calls wrong: a mistake that nobody could see would prove nothing.
    Arrays differ if they do in one place.    ->  whether it holds
    """
    (a, a_error), (b, b_error) = _numbers(left), _numbers(right)
    with np.errstate(invalid="ignore"):
        apart, error = np.abs(a - b), np.hypot(a_error, b_error)
        holds = bool(np.any(apart > np.maximum(by, errors * error)))
        noisy = error > 1e-12 * np.maximum(1, np.abs(b))
        if np.any(noisy):
            evidence = _errors(np.max((apart / np.where(noisy, error, 1))[noisy]))
        else:
            evidence = f"by {_short(np.max(apart))}"
    return _row(label, left, "!=", right, evidence, holds, decimals)


# ---- where it goes -------------------------------------------------------------------------------

_claim = ""  # the number of the last claim
_sinks = []  # the functions that get what is printed; the innermost last
_exit_status = None
_rows = []  # of a script (not of a notebook or a prompt) without a sink: for its exit status


@contextmanager
def sink(receive):
    """Within it, ``receive`` gets every Title, Claim, Remark and Row after it was printed.

    A row that FAILS then does not change the exit status of the process: ``receive`` knows.
    """
    _sinks.append(receive)
    try:
        yield
    finally:
        _sinks.remove(receive)


def summary(printed):
    """One sentence on the rows that FAIL among what was printed, or ""."""
    rows = [item for item in printed if isinstance(item, Row)]
    failed = [row for row in rows if not row.holds]
    if not failed:
        return ""
    claims = ", ".join(dict.fromkeys(row.claim for row in failed if row.claim))
    where = f", under {claims}" if claims else ""
    verb = "does not" if len(failed) == 1 else "do not"
    return f"{len(failed)} of {len(rows)} rows {verb} hold{where}: look for FAILS above."


def _emit(item):
    print(item, flush=True)
    if _sinks:
        _sinks[-1](item)
    elif isinstance(item, Row) and hasattr(sys.modules["__main__"], "__file__"):
        _rows.append(item)  # Python removes __file__ before the exit handlers run


class _ExitStatus:
    """Ends the process with that status when the interpreter takes its modules apart.

    By then every exit handler has run and the streams are flushed; an exit handler itself cannot
    set the status.
    """

    def __init__(self, status):
        self.status = status

    def __del__(self, exit_now=os._exit):
        exit_now(self.status)


@atexit.register
def _end():
    """Say which rows failed and end with status 1, if there were any."""
    global _exit_status
    said = summary(_rows)
    if said:
        sys.stdout.flush()
        print(said, file=sys.stderr)
        _exit_status = _ExitStatus(1)


# ---- numbers as text -----------------------------------------------------------------------------


def _row(label, left, relation, right, evidence, holds, decimals):
    left, right = _show(left, decimals), _show(right, decimals)
    _emit(Row(_claim, label, left, relation, right, evidence, holds))
    return holds


def _below(below, error, doubt, *, equal):
    """How far the left side is below the right one, where that is least: negative if above."""
    if np.any(error > doubt):
        noisy = np.where(error > doubt, below / np.where(error > doubt, error, 1), np.inf)
        return f"by {_errors(np.min(noisy))}"
    least = np.min(below)
    if not np.isfinite(least):
        return "not finite"
    return equal if np.all(np.abs(least) <= doubt) else f"by {_short(least)}"


def _errors(count):
    """So many standard errors."""
    size = abs(count)
    return f"{count:.{1 if size < 10 else 0}f} s.e." if size < 1000 else f"{count:.0e} s.e."


def _short(value):
    """The number in at most 9 characters."""
    size = abs(value)
    if size != 0 and not 1e-4 <= size < 1e5:
        return f"{value:.1e}"
    return f"{value:.{0 if size >= 1000 else 3 if size >= 1 else 4}f}"


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
        return f"{values:.3g} +- {errors:.1g}" if isinstance(side, Estimate) else f"{values}"
    if errors > 1e-12 * max(1, abs(values)):
        texts = [str(side), *(f"{values:.{n}g} +- {errors:.0e}" for n in (6, 4, 3, 2))]
        return next((text for text in texts if len(text) <= RIGHT), f"{values:.{decimals}g}")
    return _digits(values, decimals)


def _digits(value, decimals):
    """The number with so many decimals; what is too large or too small for them with 4 digits."""
    if abs(value) < 1e-12:
        value = 0.0  # rounding, of either sign
    if value != 0 and not 10.0 ** (1 - decimals) <= abs(value) < 1e7:
        return f"{value:.3e}"
    return f"{value:.{decimals}f}"
