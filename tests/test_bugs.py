"""The museum says the truth about its mistakes."""

import re

import numpy as np
import pytest
from strategies import covariance

from tinyvae import gaussian, layers, vae
from tinyvae.classroom import bugs, bugs_kl

KL = bugs.in_area("kl")


def pairs(seed=0):
    """Pairs of Gaussians, far apart and near, of 1 to 4 dimensions."""
    rng = np.random.default_rng(seed)
    for k in (1, 2, 3, 4):
        far = rng.standard_normal(k), covariance(rng, k) * rng.uniform(0.3, 2)
        p = rng.standard_normal(k), covariance(rng, k) * rng.uniform(0.3, 2)
        for distance in (1.0, 0.1):
            mean_q, cov_q = ((1 - distance) * b + distance * a for a, b in zip(far, p, strict=True))
            yield mean_q, cov_q, *p


def close(a, b, tol=1e-9):
    return abs(a - b) <= tol * max(1, abs(a), abs(b))


def block(A, B):
    zeros = np.zeros((len(A), len(B)))
    return np.block([[A, zeros], [zeros.T, B]])


def zero_at_equality(f):
    return all(close(f(m, S, m, S), 0) for m, S, _, _ in pairs())


def non_negative(f):
    return all(f(*pair) >= -1e-12 for seed in range(50) for pair in pairs(seed))


def affine(f):
    rng = np.random.default_rng(7)
    for m_q, S_q, m_p, S_p in pairs():
        A, b = rng.standard_normal((len(m_q),) * 2) + 2 * np.eye(len(m_q)), 3.0
        moved = A @ m_q + b, A @ S_q @ A.T, A @ m_p + b, A @ S_p @ A.T
        if not close(f(m_q, S_q, m_p, S_p), f(*moved), 1e-7):
            return False
    return True


def additive(f):
    for first, second in zip(pairs(1), pairs(2), strict=True):
        both = [
            np.append(a, b) if a.ndim == 1 else block(a, b)
            for a, b in zip(first, second, strict=True)
        ]
        if not close(f(*both), f(*first) + f(*second)):
            return False
    return True


def stationary(f):
    rng = np.random.default_rng(8)
    for m, S, _, _ in pairs():
        D, d, h = rng.standard_normal(S.shape), rng.standard_normal(m.shape), 1e-5
        D = D + D.T
        slope = (f(m + h * d, S + h * D, m, S) - f(m - h * d, S - h * D, m, S)) / (2 * h)
        if abs(slope) > 1e-4:
            return False
    return True


def curvature(f):
    """KL(N(m + d, S + D) || N(m, S)) = 1/2 d' S^-1 d + 1/4 tr (S^-1 D)^2 + third order"""
    rng, h = np.random.default_rng(11), 1e-5
    for m, S, _, _ in pairs():
        d, D = h * rng.standard_normal(m.shape), h * rng.standard_normal(S.shape)
        D = D + D.T
        P = np.linalg.inv(S)
        expected = 0.5 * d @ P @ d + 0.25 * np.trace(P @ D @ P @ D)
        if abs(f(m + d, S + D, m, S) - expected) > 1e-3 * expected:
            return False
    return True


def right_on(f, cases):
    return all(close(f(*case), bugs_kl.right(*case)) for case in cases)


def right_when_diagonal(f):
    keep = (lambda v: v, lambda S: np.diag(np.diag(S))) * 2
    cases = [[only(a) for only, a in zip(keep, pair, strict=True)] for pair in pairs()]
    return right_on(f, cases)


def right_in_one_dimension(f):
    return right_on(f, [pair for seed in range(5) for pair in pairs(seed) if len(pair[0]) == 1])


def right_against_the_prior(f):
    near = [(0.1 * m, np.eye(len(m)) + 0.01 * S) for m, S, _, _ in pairs()]
    far = [(m, S) for m, S, _, _ in pairs()]
    return right_on(f, [(m, S, 0 * m, np.eye(len(m))) for m, S in near + far])


CHECKS = {
    "zero": zero_at_equality,
    "sign": non_negative,
    "affine": affine,
    "additive": additive,
    "stationary": stationary,
    "curvature": curvature,
    "diagonal": right_when_diagonal,
    "one-dimension": right_in_one_dimension,
    "standard-normal": right_against_the_prior,
}


@pytest.mark.parametrize("bug", KL, ids=lambda bug: bug.name)
def test_what_sees_a_wrong_kl_is_what_the_museum_says(bug):
    passed = [name for name, check in CHECKS.items() if check(bug.f)]
    assert bug.seen_by == bugs_kl.seen_by(passed)


def test_right_kl_passes_everything():
    assert all(check(bugs_kl.right) for check in CHECKS.values())


def test_museum_has_every_row():
    """30 wrong KLs, and of the 38 classic mistakes those that are not wrong KLs."""
    codes = [bug.code for bug in bugs.MUSEUM.values()]
    assert len(set(codes)) == len(codes) == len(bugs.MUSEUM)
    assert [bug.code for bug in KL] == [f"M{i:02d}" for i in range(1, 31)]
    among_the_kls = {2, 11, 13, 14, 15, 21, 22, 23, 24, 25}
    others = {int(code.strip("Ab")) for code in codes if code.startswith("A")}
    assert others | among_the_kls == set(range(1, 39))


@pytest.mark.parametrize("bug", bugs.MUSEUM.values(), ids=lambda bug: bug.name)
def test_every_mistake_is_fully_described(bug):
    assert bug.area in bugs.AREAS
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", bug.name)
    assert bug.wrong != bug.right
    assert len(bug.tempts) > 60 and bug.tempts.endswith(".")
    assert "Not by" in bug.seen_by or "Not with" in bug.seen_by or "Exact values" in bug.seen_by
    for thread in filter(None, bug.thread.split(", ")):
        assert re.fullmatch(r"[\w.-]+/[\w.-]+#\d+", thread)
    text = " ".join([bug.title, bug.wrong, bug.right, bug.tempts, bug.seen_by, bug.thread])
    assert text.isascii()


@pytest.mark.parametrize("bug", KL, ids=lambda bug: bug.name)
def test_wrong_kls_take_a_pair_or_a_batch(bug):
    one = list(pairs())[4]
    batch = [np.stack([a, a]) for a in one]
    assert np.ndim(bug.f(*one)) == 0
    assert bug.f(*batch) == pytest.approx([bug.f(*one)] * 2)


@pytest.mark.parametrize("bug", KL, ids=lambda bug: bug.name)
def test_forms_that_a_mistake_leaves_out_are_those_where_it_makes_no_difference(bug):
    rng = np.random.default_rng(3)
    mu, logvar = rng.standard_normal((2, 5, 3))
    cov, zeros, ones = bugs_kl.diagonal_matrix(logvar), 0 * mu, bugs_kl.diagonal_matrix(0 * logvar)
    off = np.abs(bug.f(mu, cov, zeros, ones) - bugs_kl.right(mu, cov, zeros, ones)).max()
    far_off = np.abs(bug.f(0.1 * mu, ones, zeros, ones) - 0.005 * (mu**2).sum(-1)).max()
    planted = "tinyvae.gaussian:kl_to_standard_normal" in bug.plants
    assert planted == (max(off, far_off) > 1e-9)


def test_planting_reaches_every_module_and_ends():
    original = gaussian.kl, vae.VAE.generate, vae.linear_backward, layers.linear_backward
    planted = {
        "tinyvae.gaussian:kl": "wrong",
        "tinyvae.vae:VAE.generate": "wrong",
        "tinyvae.layers:linear_backward": "wrong",
    }
    with bugs.planted(planted):
        assert gaussian.kl == vae.VAE.generate == vae.linear_backward == "wrong"
        assert layers.linear_backward == "wrong"
    assert original == (
        gaussian.kl,
        vae.VAE.generate,
        vae.linear_backward,
        layers.linear_backward,
    )
    assert "generate" not in vars(vae.VAE)  # it is inherited again
