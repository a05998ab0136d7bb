"""The helper that prints a lesson's claims: what holds, what fails, how it looks."""

import subprocess
import sys
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyvae.classroom import lesson
from tinyvae.classroom.lesson import (
    WIDTH,
    Claim,
    Remark,
    Row,
    Title,
    check,
    check_at_most,
    check_differs,
    check_less,
    claim,
    say,
    sink,
    summary,
    title,
)
from tinyvae.oracles import Estimate

NEAR = Estimate(1.04, 0.01, 100)  # 4 standard errors from 1
FAR = Estimate(1.06, 0.01, 100)  # 6


@pytest.fixture(autouse=True)
def heard():
    """What is printed; without a sink the rows that fail here would be those of pytest itself."""
    printed = []
    with sink(printed.append):
        yield printed


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
    assert check("label", left, right)
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
    assert not check("label", left, right)
    assert capsys.readouterr().out.endswith(" FAILS\n")


def test_tolerance_and_errors_can_be_chosen():
    assert check("label", 1.0, 1.01, tolerance=0.02)
    assert check("label", 1.0, FAR, errors=7)
    assert not check("label", 1.0, NEAR, errors=3)


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
    assert check_at_most("label", left, right) is holds


@pytest.mark.parametrize(
    ("left", "right", "holds"),
    [
        (1.0, 2.0, True),
        (2.0, 1.0, False),
        (1.0, 1.0, False),
        (1.0, 1.0 + 1e-12, False),
        (Estimate(0.96, 0.01, 100), 1.0, True),  # 4 standard errors below
        (Estimate(0.98, 0.01, 100), 1.0, False),  # 2
        (Estimate(0.96, 0.01, 100), Estimate(1.0, 0.01, 100), False),  # 4 of one, 2.8 of both
        (NEAR, 1.0, False),
        (np.array([1.0, 3.0]), 2.0, False),  # in every place
        ([NEAR, FAR], 1.2, True),
        (np.nan, 1.0, False),
        (-np.inf, 1.0, False),
        (1.0, np.inf, False),
    ],
)
def test_less(left, right, holds):
    assert check_less("label", left, right) is holds


def test_less_by_at_least():
    assert not check_less("label", 1.0, 1.05, by=0.1)
    assert check_less("label", 1.0, 1.15, by=0.1)
    assert not check_less("label", Estimate(0.96, 0.01, 100), 1.0, errors=5)


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
    assert check_differs("label", left, right) is holds


def test_differs_by_at_least():
    assert not check_differs("label", 1.0, 1.05, by=0.1)
    assert check_differs("label", 1.0, 1.15, by=0.1)


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
    check_less("drawn, bound", Estimate(-1.0123, 0.0042, 100), -0.5, decimals=2)
    check_at_most("over, a little", 1.0, Estimate(0.99, 0.01, 9), decimals=2)
    check("a label too long for its column", 1.0, np.ones(5))
    assert capsys.readouterr().out == PAGE


PAGE = """
Lesson 3: A page
================

   A row: what, left side, right side, how far apart, verdict. +- and s.e. are
   standard errors of drawn numbers: up to 5 of them apart counts as equal.

  3.1  one  =  1

   exact                  -1.000000  =   -1.000000        within 1e-12   holds
   drawn                  -1.000000  =   -1.012 +- 0.004  2.9 s.e.       holds

   a remark
   bound                  -1.500000 <=   12.000000        by 13.500      holds
   another                 1.000000 !=    1.000e-07       by 1.0000      holds
   drawn, bound     -1.012 +- 0.004  <   -0.50            by 122 s.e.    holds
   over, a little              1.00 <=    0.99 +- 0.01    by -1.0 s.e.   holds
   a label too long for its column
                           1.000000  = 5 numbers          within 1e-12   holds
"""


def test_long_claims_are_broken(capsys):
    claim("3.10", "many words " * 12)
    lines = capsys.readouterr().out.strip("\n").splitlines()
    assert len(lines) == 2 and max(map(len, lines)) <= WIDTH
    assert lines[1].startswith(" " * 8 + "many") or lines[1].startswith(" " * 8 + "words")


numbers = st.floats(-1e300, 1e300) | st.sampled_from([0.0, np.inf, -np.inf, np.nan, 1.0])
errors = st.floats(0, 1e300) | st.sampled_from([0.0, 1e-9, 1e-3, 1.0])
sides = numbers | st.builds(Estimate, numbers, errors, st.just(100))


@given(
    st.sampled_from([check, check_at_most, check_less, check_differs]),
    st.text("abc", max_size=40),
    sides,
    sides,
    st.integers(1, 6),
)
def test_rows_fit_their_width(compare, label, left, right, decimals):
    rows = []
    with sink(rows.append), np.errstate(all="ignore"):
        compare(label, left, right, decimals=decimals)
    assert max(map(len, str(rows[0]).splitlines())) <= WIDTH, str(rows[0])


def test_a_row_shows_no_digit_that_is_rounding(capsys):
    check("zero", -3e-17, 4e-18)
    check_at_most("bound", 0.1 + 0.2, 0.3)
    assert "e-1" not in capsys.readouterr().out.replace("within 1e-12", "")


def test_decimals_are_chosen(capsys):
    check("label", 1.23456789, 1.23456788, tolerance=1e-6, decimals=2)
    printed = capsys.readouterr().out
    assert printed.count("1.23") == 2
    assert "1.234" not in printed


def test_a_failing_row_says_by_how_much(heard):
    check("area", 3.0, 3.14)
    check("mean", 1.0, FAR)
    check_less("more", 2.0, FAR)
    assert [row.evidence for row in heard] == ["off by 4e-02", "6.0 s.e.", "by -94 s.e."]


def test_infinite_sides_do_not_warn():
    for one in (check, check_at_most, check_less, check_differs):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert not one("label", np.inf, np.inf)


# ---- where it goes -------------------------------------------------------------------------------


def test_a_sink_gets_what_is_printed_as_data(capsys):
    printed = []
    with sink(printed.append):
        title("Lesson 3: A page")
        claim("3.1", "one  =  1")
        check("sum", 1, 1.5, decimals=1)
        say("a remark")
    assert printed == [
        Title("Lesson 3: A page"),
        Claim("3.1", "one  =  1"),
        Row("3.1", "sum", "1.0", "=", "1.5", "off by 3e-01", False),
        Remark("a remark"),
    ]
    assert printed[2].verdict == "FAILS"
    assert capsys.readouterr().out == "".join(f"{item}\n" for item in printed)


def test_the_inner_sink_alone_hears(heard):
    inner = []
    with sink(inner.append):
        say("one")
    say("two")
    assert inner == [Remark("one")] and heard == [Remark("two")]


def test_summary_names_the_claims_whose_rows_fail():
    claim("3.1", "right")
    held = Row("3.1", "a", "1", "=", "1", "", True)
    failed = [Row(n, "b", "1", "=", "2", "", False) for n in ("3.2", "3.4", "3.4")]
    assert summary([Title("t"), held]) == ""
    assert summary([held, failed[0]]) == (
        "1 of 2 rows does not hold, under 3.2: look for FAILS above."
    )
    assert summary([held, *failed]) == (
        "3 of 4 rows do not hold, under 3.2, 3.4: look for FAILS above."
    )


SCRIPT = """
import atexit
from tinyvae.classroom.lesson import check, claim, say
atexit.register(print, "an exit handler of somebody else")
claim("9.1", "one = 2")
check("one", 1, {right})
say("and on")
"""


@pytest.mark.parametrize(("right", "status"), [(1, 0), (2, 1)])
def test_a_script_goes_on_and_ends_with_a_status(right, status, tmp_path):
    script = tmp_path / "lesson.py"
    script.write_text(SCRIPT.format(right=right), encoding="utf-8")
    ran = subprocess.run([sys.executable, script], capture_output=True, text=True)
    assert ran.returncode == status
    assert ("FAILS" in ran.stdout) == bool(status)
    assert ran.stdout.splitlines()[-2:] == ["   and on", "an exit handler of somebody else"]
    said = "1 of 1 rows does not hold, under 9.1: look for FAILS above.\n"
    assert ran.stderr == (said if status else "")


def test_no_row_of_these_tests_is_left_for_the_exit_status():
    assert lesson._rows == []
