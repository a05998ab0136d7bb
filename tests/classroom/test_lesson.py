"""The helper that prints a lesson's claims: what holds, what fails, how it looks."""

import warnings

import numpy as np
import pytest

from tinyvae.classroom.lesson import (
    Refuted,
    check,
    check_at_most,
    check_differs,
    claim,
    say,
    title,
)
from tinyvae.oracles import Estimate

NEAR = Estimate(1.04, 0.01, 100)  # 4 standard errors from 1
FAR = Estimate(1.06, 0.01, 100)  # 6


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (1.0, 1.0),
        (1.0, 1.0 + 1e-13),
        (1e6, 1e6 * (1 + 1e-13)),  # relative to the larger
        (1e-20, 0.0),  # but absolute below 1
        (1.0, NEAR),
        (NEAR, 1.0),
        (NEAR, Estimate(0.98, 0.01, 100)),  # 6 errors of one, 4.2 of both
        (np.ones(3), np.ones(3)),
        (1.0, np.ones(3)),
        ([NEAR, NEAR], [1.0, 1.0]),
        (Estimate(1.0, 0.0, 100), 1.0),  # draws without any spread
        (Estimate(1.0, 1e-17, 100), 1.0 + 1e-15),  # rounding is not an error to divide by
        (3, np.int64(3)),
    ],
)
def test_equal_sides_hold(left, right, capsys):
    check("label", left, right)
    assert capsys.readouterr().out.endswith(" holds\n")


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (1.0, 1.0 + 1e-11),
        (0.0, 1e-11),
        (1.0, -1.0),
        (1.0, FAR),
        (FAR, 1.0),
        ([NEAR, FAR], [1.0, 1.0]),
        ([FAR, NEAR], [1.0, 1.0]),
        (np.ones(3), np.array([1.0, 1.0, 1.1])),
        (Estimate(1.0, 0.0, 100), 1.1),
        (np.nan, np.nan),
        (np.nan, 1.0),
        (1.0, np.array([1.0, np.nan])),
        (np.inf, np.inf),
        (np.inf, 1.0),
        (Estimate(np.nan, 0.1, 100), 1.0),
        (Estimate(1.0, np.nan, 100), 1.0),
    ],
)
def test_unequal_sides_fail(left, right, capsys):
    with pytest.raises(Refuted):
        check("label", left, right)
    assert capsys.readouterr().out.endswith(" FAILS\n")


def test_tolerance_and_errors_can_be_chosen():
    check("label", 1.0, 1.01, tolerance=0.02)
    check("label", 1.0, FAR, errors=7)
    with pytest.raises(Refuted):
        check("label", 1.0, NEAR, errors=3)


@pytest.mark.parametrize(
    ("left", "right", "holds"),
    [
        (1.0, 2.0, True),
        (2.0, 1.0, False),
        (1.0, 1.0, True),
        (1.0 + 1e-15, 1.0, True),
        (1.0 + 1e-9, 1.0, False),
        (NEAR, 1.0, True),
        (FAR, 1.0, False),
        (np.array([1.0, 3.0]), 2.0, False),
        (np.array([1.0, 2.0]), np.array([2.0, 3.0]), True),
        ([NEAR, FAR], 1.0, False),
        (np.nan, 1.0, False),
        (5.0, -np.inf, False),
        (np.inf, 5.0, False),
    ],
)
def test_at_most(left, right, holds):
    verdict(check_at_most, left, right, holds)


@pytest.mark.parametrize(
    ("left", "right", "holds"),
    [
        (1.0, 2.0, True),
        (1.0, 1.0, False),
        (1.0, 1.0 + 1e-10, False),
        (1.0, NEAR, False),  # apart, but for all we know equal
        (1.0, FAR, True),
        (np.ones(3), np.array([1.0, 1.0, 1.1]), True),
        (np.ones(3), np.ones(3), False),
        ([NEAR, FAR], 1.0, True),
        (np.nan, 1.0, False),
    ],
)
def test_differs(left, right, holds):
    verdict(check_differs, left, right, holds)


def test_differs_by_at_least():
    with pytest.raises(Refuted):
        check_differs("label", 1.0, 1.05, by=0.1)
    check_differs("label", 1.0, 1.15, by=0.1)


def verdict(check, left, right, holds):
    if holds:
        check("label", left, right)
    else:
        with pytest.raises(Refuted):
            check("label", left, right)


# ---- how it looks --------------------------------------------------------------------------------


def test_page_is_aligned(capsys):
    title("Lesson 3: A page")
    claim("3.1", "one  =  1")
    check("exact", -1.0, -1)
    check("drawn", -1.0, Estimate(-1.0123, 0.0042, 100))
    say()
    say("a remark")
    check_at_most("bound", -1.5, 12.0)
    check_differs("another", 1.0, 1e-7)
    check("a label too long for its column", 1.0, np.ones(5))
    assert capsys.readouterr().out == PAGE


PAGE = """
Lesson 3: A page
================

  3.1  one  =  1

     exact                      -1.000000  =    -1.000000         differ by < 1e-12    holds
     drawn                      -1.000000  =    -1.012 +- 0.004   2.9 standard errors  holds

     a remark
     bound                      -1.500000 <=    12.000000         13.500000 below      holds
     another                     1.000000 !=     1.000e-07        1.000000 apart       holds
     a label too long for its column
                                 1.000000  =  5 numbers           differ by < 1e-12    holds
"""


def test_a_row_shows_no_digit_that_is_rounding(capsys):
    check("zero", -3e-17, 4e-18)
    check_at_most("bound", 0.1 + 0.2, 0.3)
    assert "e-1" not in capsys.readouterr().out.replace("differ by < 1e-12", "")


def test_decimals_are_chosen(capsys):
    check("label", 1.23456789, 1.23456788, tolerance=1e-6, decimals=2)
    printed = capsys.readouterr().out
    assert printed.count("1.23") == 2
    assert "1.234" not in printed


def test_a_failing_row_says_by_how_much():
    with pytest.raises(Refuted, match=r"^area: 3\.000000 = 3\.140000 does not hold \(differ by 4e"):
        check("area", 3.0, 3.14)
    with pytest.raises(Refuted, match=r"^mean: 1\.000000 = 1\.06 \+- 0\.01 .*6\.0 standard errors"):
        check("mean", 1.0, FAR)


def test_infinite_sides_do_not_warn(capsys):
    for one in (check, check_at_most, check_differs):
        with warnings.catch_warnings(), pytest.raises(Refuted):
            warnings.simplefilter("error")
            one("label", np.inf, np.inf)
