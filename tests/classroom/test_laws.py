"""The laws hold for right KLs, each law is broken by a mistake, and the kill matrix is true."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given

from tinyvae import gaussian
from tinyvae.classroom.checker import kl_laws as laws
from tinyvae.classroom.checker.function import LocalFunction
from tinyvae.classroom.checker.kl import search, smallest
from tinyvae.classroom.museum import catalogue as bugs
from tinyvae.classroom.museum.entry import checked
from tinyvae.oracles import gaussian_kl
from tools import kill_matrix as matrix

FORMS = [
    laws.Form(),
    laws.Form("diagonal", "logvar"),
    laws.Form("diagonal", "std"),
    laws.Form("standard-normal", "logvar"),
]


def subject(f, form=None, layout="one"):
    """f under the usual reading of that form"""
    form = form or laws.Form()
    reading = laws.plain_reading(form.signature, form.scale, layout)
    return laws.Subject(LocalFunction(f), reading)


def textbook(mean_q, cov_q, mean_p, cov_p):
    """One pair, inv and slogdet"""
    inverse = np.linalg.inv(cov_p)
    d = mean_p - mean_q
    log_ratio = np.linalg.slogdet(cov_p)[1] - np.linalg.slogdet(cov_q)[1]
    return 0.5 * (np.trace(inverse @ cov_q) + d @ inverse @ d - len(d) + log_ratio)


def batched(mean_q, cov_q, mean_p, cov_p):
    return np.vectorize(textbook, signature="(k),(k,k),(k),(k,k)->()")(mean_q, cov_q, mean_p, cov_p)


def of_std(mu_q, std_q, mu_p, std_p):
    return gaussian.kl_diagonal(mu_q, 2 * np.log(std_q), mu_p, 2 * np.log(std_p))


RIGHT = {
    "full": gaussian.kl,
    "diagonal": gaussian.kl_diagonal,
    "standard-normal": gaussian.kl_to_standard_normal,
}
APPLIES = [(law, form) for law in laws.LAWS for form in FORMS if form.signature in law.signatures]


@pytest.mark.parametrize(
    "law, form", APPLIES, ids=[f"{law.name}-{form.signature}-{form.scale}" for law, form in APPLIES]
)
def test_right_kl_obeys(law, form):
    kl = subject(of_std if form.scale == "std" else RIGHT[form.signature], form, "batch")
    if law is laws.gradient:  # NumPy has none: see the cases in PyTorch
        return

    @given(law.cases(form))
    def obeys(case):
        law(kl, *case)

    obeys()


# A mistake that no other law is needed for.  The museum's are in the kill matrix; these have what
# it has not: bad manners.


def random(*pair):
    return textbook(*pair) + 1e-3 * np.random.default_rng().normal()


def greedy(mean_q, cov_q, mean_p, cov_p):
    mean_q -= mean_p
    return textbook(mean_q, cov_q, 0 * mean_p, cov_p)


def centred_over_the_batch(mean_q, cov_q, mean_p, cov_p):
    if np.ndim(mean_q) == 2:
        mean_q = mean_q - mean_q.mean(0) + mean_p.mean(0)
    return batched(mean_q, cov_q, mean_p, cov_p)


def cubed_overflows(mean_q, cov_q, mean_p, cov_p):
    huge = np.exp(np.abs(mean_q).max())  # inf beyond 710
    return textbook(mean_q, cov_q, mean_p, cov_p) * (huge / huge)


def clipped(mean_q, cov_q, mean_p, cov_p):
    """No log-variance beyond 20 or below -20"""
    cov_q, cov_p = (
        cov + np.diag(np.clip(np.diag(cov), np.exp(-20), np.exp(20)) - np.diag(cov))
        for cov in (cov_q, cov_p)
    )
    return textbook(mean_q, cov_q, mean_p, cov_p)


def half_precision(*pair):
    return np.float16(textbook(*pair))


def jump_at_two_coordinates(mean_q, cov_q, mean_p, cov_p):
    """Not symmetric in the coordinates, and right in one dimension"""
    first = 0.1 * (mean_q[0] - mean_p[0]) ** 2 if len(mean_q) > 1 else 0.0
    return textbook(mean_q, cov_q, mean_p, cov_p) + first


BREAKS = [
    (laws.one_number, half_precision),
    (laws.one_number, lambda *pair: None),
    (laws.one_number, lambda *pair: "0.5"),
    (laws.one_number, lambda *pair: np.array(textbook(*pair), dtype=complex)),
    (laws.same_answer_twice, random),
    (laws.arguments_untouched, greedy),
    (laws.permutation, jump_at_two_coordinates),
    (laws.translation, lambda m, S, n, T: textbook(m, S, n, T) + 1e-3 * (m @ m)),
    (laws.batch, centred_over_the_batch),
    (laws.at_extremes, cubed_overflows),
    (laws.at_extremes, clipped),
]


def breaks(law, kl):
    """What one of the first 60 cases says, or None"""
    with np.errstate(all="ignore"):
        return search(law, subject(kl, layout="batch" if law.batch else "one"), 0, 60)


@pytest.mark.parametrize("law, kl", BREAKS, ids=lambda value: getattr(value, "name", None))
def test_bad_manners_are_seen(law, kl):
    assert breaks(law, kl)


def test_every_law_is_broken_by_something():
    seen = {law.name for law, _ in BREAKS} | {"gradient"}  # see the cases in PyTorch
    for found in checked()["kl"].values():
        seen |= set(found["laws"])
    assert seen == {law.name for law in laws.LAWS}


def test_no_mistake_of_the_museum_passes():
    for bug in bugs.in_area("kl"):
        assert checked()["kl"][bug.name]["laws"], bug.name


@pytest.mark.parametrize("bug", bugs.in_area("kl")[::6], ids=lambda bug: bug.name)
def test_kill_matrix_is_true(bug):
    """For every sixth mistake; `python -m tools.kill_matrix` computes all of them"""
    page = (Path(__file__).parents[2] / "docs" / "kill-matrix.md").read_text(encoding="utf-8")
    seen = list(matrix._breaches(bug.f, "full", matrix.EXAMPLES, at_least=matrix.OFTEN))
    assert checked()["kl"][bug.name]["laws"] == seen
    (row,) = [line for line in page.splitlines() if line.startswith(f"| {bug.code} ")]
    names = [law.name for law in laws.LAWS if law.name != "gradient"]
    cells = [cell.strip() for cell in row.replace(r"\|", "").split("|")[2:-1]]
    assert [name for name, cell in zip(names, cells, strict=True) if cell == "x"] == seen


def test_laws_are_plain_functions():
    p = laws.Pair(np.zeros(2), np.eye(2), np.ones(2), 2 * np.eye(2))
    laws.definition(textbook, p)
    with pytest.raises(laws.Broken, match=r"true 0\.6931"):
        laws.definition(lambda *pair: 1.0, p)


def test_broken_law_tells_the_smallest_case():
    kl = subject(lambda *pair: textbook(*pair) + 0.25)
    broken = smallest(laws.zero_at_equality, kl, 0, 30)
    assert [part.tolist() for part in broken.pair] == [[0], [[1]], [0], [[1]]]
    assert broken.rows == [("KL(q || q)", 0.25, 0.0)]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: f"{form.signature}-{form.scale}")
def test_cases_are_legal(form):
    @given(laws.pairs(form))
    def legal(pair):
        for cov in (pair.cov_q, pair.cov_p):
            assert np.array_equal(cov, cov.T)
            assert np.linalg.eigvalsh(cov)[0] > 0
            if form.scale == "cov":
                assert np.linalg.cond(cov) <= 31
            else:
                assert np.array_equal(cov, np.diag(np.diag(cov)))
        if form.signature == "standard-normal":
            assert np.array_equal(pair.cov_p, np.eye(pair.k))
            assert not pair.mean_p.any()

    legal()


@given(laws.mapped_pairs())
def test_maps_are_invertible_and_the_cubature_obeys(case):
    pair, A = case
    assert abs(np.linalg.det(A)) > 1e-3
    moved = laws.mapped(pair, A)
    assert abs(gaussian_kl(*pair) - gaussian_kl(*moved)) <= laws.rounding(moved, 1e-15)


def test_infinite_and_missing_numbers_break_laws():
    for value in (np.nan, np.inf, -np.inf):
        for law in (laws.definition, laws.zero_at_equality, laws.additive, laws.affine):
            assert breaks(law, lambda *pair, value=value: value), (value, law.name)


def test_steps_have_the_length_that_is_said():
    pair = laws.Pair(np.array([1.0, 2.0]), 2 * np.eye(2), np.zeros(2), np.eye(2))
    forth, back, expected = laws._steps(pair, 0.05)
    assert expected == pytest.approx(0.00125)
    assert 0.5 * (gaussian_kl(*forth) + gaussian_kl(*back)) == pytest.approx(expected, rel=0.01)
