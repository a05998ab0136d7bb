"""tinyvae.gaussian against mpmath, SciPy, the cubature oracle, differences and moments."""

import mpmath as mp
import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies import covariance, rngs, sizes
from tinyvae import gaussian
from tinyvae.oracles import central_difference, complex_step, gaussian_kl, vector_jacobian

mp.mp.dps = 50
EPS = np.finfo(np.float64).eps


def gaussians(rng, k, condition=10.0):
    """A pair (mean_q, cov_q, mean_p, cov_p) with nothing in common."""
    return (
        rng.standard_normal(k),
        covariance(rng, k, condition) * rng.uniform(0.3, 3),
        rng.standard_normal(k),
        covariance(rng, k, condition),
    )


def relative(got, true):
    return abs(float((mp.mpf(float(got)) - true) / true))


# KL of full covariances


@given(rngs, sizes)
def test_kl_matches_cubature(rng, k):
    pair = gaussians(rng, k)
    assert gaussian.kl(*pair) == pytest.approx(gaussian_kl(*pair), rel=1e-10)


def test_kl_by_hand():
    # 1/2 (1/4 - 1 + log 4 + (2 - 0)^2 / 4) = 1/2 (1/4 + log 4)
    assert gaussian.kl([2.0], [[1.0]], [0.0], [[4.0]]) == pytest.approx(0.125 + np.log(2))


def kl_exact(mean_q, cov_q, mean_p, cov_p):
    """The textbook formula with 50 digits or more, whatever another test left the precision at."""
    with mp.workdps(max(mp.mp.dps, 50)):
        precision = mp.matrix(cov_p.tolist()) ** -1
        ratio = precision * mp.matrix(cov_q.tolist())
        delta = mp.matrix(mean_q.tolist()) - mp.matrix(mean_p.tolist())
        k = len(mean_q)
        trace = mp.fsum(ratio[i, i] for i in range(k))
        return (trace - k - mp.log(mp.det(ratio)) + (delta.T * precision * delta)[0]) / 2


@pytest.mark.parametrize("condition", [1.001, 1e2, 1e4, 1e6, 1e8])
@given(rng=rngs, k=sizes)
def test_kl_keeps_its_digits_far_apart(condition, rng, k):
    mean_q, cov_q, mean_p, cov_p = gaussians(rng, k, condition)
    got, true = gaussian.kl(mean_q, cov_q, mean_p, cov_p), kl_exact(mean_q, cov_q, mean_p, cov_p)
    assert relative(got, true) <= 50 * EPS * np.linalg.cond(cov_p)


@pytest.mark.parametrize("condition", [1.001, 1e2, 1e4, 1e6, 1e8])
@given(rng=rngs, k=sizes, power=st.floats(-9, -1))
def test_kl_keeps_its_digits_near_equality(condition, rng, k, power):
    cov_p = covariance(rng, k, condition)
    root, noise = np.linalg.cholesky(cov_p), rng.standard_normal((k, k))
    cov_q = root @ (np.eye(k) + 10**power / k * (noise + noise.T)) @ root.T
    cov_q = (cov_q + cov_q.T) / 2
    mean_p = rng.standard_normal(k)
    mean_q = mean_p + rng.integers(2) * 10**power * (root @ rng.standard_normal(k))
    true = kl_exact(mean_q, cov_q, mean_p, cov_p)
    got = gaussian.kl(mean_q, cov_q, mean_p, cov_p)
    assert got >= 0
    if true > 0:
        assert relative(got, true) <= 50 * EPS * np.linalg.cond(cov_p)


def condition_of_correlations(cov):
    std = np.sqrt(np.diag(cov))
    return np.linalg.cond(cov / np.outer(std, std))


@pytest.mark.parametrize("condition_q", [1.001, 1e4, 1e8, 1e12])
@pytest.mark.parametrize("condition_p", [1.001, 1e4, 1e8, 1e12])
@given(rng=rngs, k=sizes)
def test_kl_is_as_accurate_as_it_says(condition_q, condition_p, rng, k):
    """q and p of different conditions, and on axes of any scale."""
    scale = np.exp(rng.uniform(-20, 20, k))
    cov_q = covariance(rng, k, condition_q) * np.outer(scale, scale)
    cov_p = covariance(rng, k, condition_p) * np.outer(scale, scale)
    mean_q, mean_p = rng.standard_normal((2, k)) * scale
    worst = max(condition_of_correlations(cov_q), condition_of_correlations(cov_p))
    with mp.workdps(150):
        true = kl_exact(mean_q, cov_q, mean_p, cov_p)
        got = gaussian.kl(mean_q, cov_q, mean_p, cov_p)
        assert relative(got, true) <= 50 * EPS * worst


def test_kl_of_two_almost_equal_coordinates():
    c = 1 - 1e-9
    got = gaussian.kl([0, 0], [[1, c], [c, 1]], [0, 0], np.eye(2))
    assert got == pytest.approx(10.015059342584199, rel=50 * EPS * 2e9)


@pytest.mark.parametrize("condition", [1.001, 1e4, 1e8, 1e12])
@given(rng=rngs, k=sizes)
def test_entropy_is_as_accurate_as_it_says(condition, rng, k):
    cov = covariance(rng, k, condition)
    with mp.workdps(50):
        true = mp.log(mp.det(mp.matrix(cov.tolist()))) / 2 + k * (1 + mp.log(2 * mp.pi)) / 2
    error = abs(float(mp.mpf(float(gaussian.entropy(cov))) - true))
    assert error <= 50 * EPS * k * condition_of_correlations(cov)


@given(rngs, sizes)
def test_kl_is_the_textbooks_where_both_are_good(rng, k):
    pair = gaussians(rng, k)
    assert gaussian.kl(*pair) == pytest.approx(gaussian.kl_textbook(*pair), rel=1e-10)


def test_the_textbooks_kl_loses_its_digits_near_equality():
    """Of a KL of 2.5e-19 its rounding errors leave nothing, not even the sign."""
    mean, cov = np.zeros(2), np.array([[1.0, 0.6], [0.6, 1.0]])
    near = cov * (1 + 5e-10)
    true = kl_exact(mean, near, mean, cov)
    assert relative(gaussian.kl(mean, near, mean, cov), true) < 1e-6
    assert relative(gaussian.kl_textbook(mean, near, mean, cov), true) > 0.5


def test_the_textbooks_kl_broadcasts_and_refuses_as_the_other():
    rng = np.random.default_rng(0)
    mean_q, cov_q = rng.standard_normal((3, 1, 2)), np.stack([covariance(rng, 2)] * 4)
    mean_p, cov_p = rng.standard_normal(2), covariance(rng, 2)
    np.testing.assert_allclose(
        gaussian.kl_textbook(mean_q, cov_q, mean_p, cov_p),
        gaussian.kl(mean_q, cov_q, mean_p, cov_p),
        rtol=1e-10,
    )
    with pytest.raises(ValueError, match="cov_p is not positive definite"):
        gaussian.kl_textbook(mean_p, cov_p, mean_p, -cov_p)


@pytest.mark.parametrize("large", [1.0, 1e12, 1e-12])
def test_asymmetry_is_seen_beside_any_variance(large):
    """cov_ij and cov_ji are compared on the scale of their own axes."""
    cov = np.diag([large, 1.0, 1.0])
    cov[1, 2], cov[2, 1] = 0.9, 0.1
    for call in (
        lambda: gaussian.kl(np.zeros(3), cov, np.zeros(3), np.eye(3)),
        lambda: gaussian.entropy(cov),
        lambda: gaussian.log_density(np.zeros(3), np.zeros(3), cov),
        lambda: gaussian.sample(np.zeros(3), cov, 1, np.random.default_rng(0)),
    ):
        with pytest.raises(ValueError, match="not symmetric"):
            call()


@given(rngs, st.integers(2, 6))
def test_a_singular_covariance_is_refused(rng, k):
    half = rng.standard_normal((k, k - 1)) * np.exp(rng.uniform(-9, 9, (k, 1)))
    with pytest.raises(ValueError, match="cov is not positive definite"):
        gaussian.entropy(half @ half.T)


def test_a_matrix_with_a_negative_determinant_is_refused():
    """Its determinant is -5.1e-18, exactly; a Cholesky factorisation succeeds by rounding."""
    cov = [[1.786106414881354, 0.5503783629581965], [0.5503783629581965, 0.16959590978943223]]
    with pytest.raises(ValueError, match="cov_q is not positive definite"):
        gaussian.kl([0, 0], cov, [0, 0], np.eye(2))


@pytest.mark.parametrize("call", [
    lambda a: gaussian.kl(a[0], a, a[0], a), lambda a: gaussian.entropy(a),
    lambda a: gaussian.kl_textbook(a[0], a, a[0], a),
    lambda a: gaussian.log_density(np.ones(1), np.ones(1), a),
    lambda a: gaussian.log_density(a[0], np.ones(1), np.eye(1)),
])  # fmt: skip
def test_what_lapack_does_not_take_is_a_value_error(call):
    with pytest.raises(ValueError, match=r"(mean_q|cov|x) must be float32 or float64, not \w+128"):
        call(np.ones((1, 1), np.longdouble))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_samples_have_the_precision_of_the_arguments(dtype):
    drawn = gaussian.sample(np.zeros(2, dtype), np.eye(2, dtype=dtype), 5, np.random.default_rng(0))
    assert drawn.dtype == dtype


@given(rngs, sizes, st.floats(0, 8))
def test_kl_is_exactly_zero_at_equality(rng, k, power):
    mean, cov = rng.standard_normal(k), covariance(rng, k, 10**power)
    assert gaussian.kl(mean, cov, mean.copy(), cov.copy()) == 0.0


@given(rngs, sizes)
def test_kl_batches_by_broadcasting(rng, k):
    mean_q, mean_p = rng.standard_normal((3, 1, k)), rng.standard_normal((2, k))
    cov_q, cov_p = covariance(rng, k), np.stack([covariance(rng, k), covariance(rng, k)])
    got = gaussian.kl(mean_q, cov_q, mean_p, cov_p)
    one_by_one = [
        [gaussian_kl(mean_q[i, 0], cov_q, mean_p[j], cov_p[j]) for j in range(2)] for i in range(3)
    ]
    np.testing.assert_allclose(got, one_by_one, rtol=1e-9)


def test_kl_in_high_dimension_with_a_determinant_that_underflows():
    cov = 0.1 * np.eye(400)
    assert np.linalg.det(cov) == 0
    assert gaussian.kl(np.zeros(400), cov, np.zeros(400), cov) == 0
    # 400 times 1/2 (2 - 1 - log 2)
    true = 200 * (1 - np.log(2))
    assert gaussian.kl(np.zeros(400), 2 * cov, np.zeros(400), cov) == pytest.approx(true)


@pytest.mark.parametrize("axes", ["one scale", "each its own", "shared by q and p"])
@given(rng=rngs, k=sizes)
def test_kl_at_any_scale_is_right_or_inf(axes, rng, k):
    """Variances from 1e-300 to 1e300, and correlated: no LinAlgError, no NaN."""
    scales = 10 ** rng.uniform(-150, 150, (2, 1 if axes == "one scale" else k)) * np.ones((2, k))
    if axes == "shared by q and p":
        scales[1] = scales[0]
    covs = [covariance(rng, k, 10.0) * np.outer(scale, scale) for scale in scales]
    means = rng.standard_normal((2, k)) * 10 ** rng.uniform(-300, 300, (2, k))
    if axes == "shared by q and p":
        means = rng.standard_normal((2, k)) * scales
    with mp.workdps(1300):
        true = kl_exact(means[0], covs[0], means[1], covs[1])
        got = gaussian.kl(means[0], covs[0], means[1], covs[1])
        if 2 * true > np.finfo(float).max:
            assert got == np.inf
        else:
            assert relative(got, true) <= 1e-12


def test_kl_at_the_ends_of_the_range():
    one, zero = np.eye(2), np.zeros(2)
    assert gaussian.kl(zero, 1e300 * one, zero, 1e-300 * one) == np.inf
    assert gaussian.kl(zero, 1e-300 * one, zero, 1e300 * one) == pytest.approx(
        600 * np.log(10) - 1, rel=1e-14
    )
    assert gaussian.kl(zero, 1.7e308 * one, zero, 1.7e308 * one) == 0
    assert gaussian.kl([1e200, 0], one, zero, one + 0.5) == np.inf
    assert gaussian.kl([1e308, 1e308], one, [-1e308, -1e308], one + 0.5) == np.inf


def test_a_density_that_overflows_is_minus_infinity():
    cov = np.eye(2) + 0.5
    assert gaussian.log_density([1e308, 1e308], [-1e308, -1e308], cov) == -np.inf
    assert gaussian.log_density([1e200, 1e300], [-1e200, 0], 1e-300 * cov) == -np.inf
    assert np.isnan(gaussian.log_density([np.nan, 0], [0, 0], cov))


def test_kl_follows_float32():
    pair = [np.asarray(a, np.float32) for a in gaussians(np.random.default_rng(0), 3)]
    got = gaussian.kl(*pair)
    assert got.dtype == np.float32
    assert got == pytest.approx(gaussian_kl(*(a.astype(float) for a in pair)), rel=1e-4)


GOOD = (np.zeros(2), np.eye(2), np.zeros(2), np.eye(2))
BAD = [
    (1, np.eye(3), r"cov_q has shape \(3, 3\); it must be \(..., 2, 2\) with mean_q \(2,\)"),
    (3, np.ones((2, 3)), r"cov_p has shape \(2, 3\)"),
    (3, np.ones(2), r"cov_p has shape \(2,\)"),
    (0, 1.0, r"mean_q has shape \(\); it must be \(..., k\), k >= 1"),
    (3, np.array([[1.0, 0.5], [0.5 + 1e-9, 1.0]]), "cov_p is not symmetric"),
    (1, np.array([[1.0, 2.0], [2.0, 1.0]]), "cov_q is not positive definite"),
    (3, np.zeros((2, 2)), "cov_p is not positive definite"),
    (2, np.array([0.0, np.nan]), "mean_p holds NaN or infinity"),
    (1, np.diag([1.0, np.inf]), "cov_q holds NaN or infinity"),
    (0, np.array(["a", "b"]), "mean_q must hold numbers"),
]


@pytest.mark.parametrize(("place", "value", "message"), BAD)
def test_kl_refuses_what_is_not_a_gaussian(place, value, message):
    arguments = list(GOOD)
    arguments[place] = value
    with pytest.raises(ValueError, match=message) as refused:
        gaussian.kl(*arguments)
    assert "\n" not in str(refused.value)


def test_kl_refuses_different_dimensions():
    with pytest.raises(ValueError, match=r"mean_p has shape \(3,\); .* mean_q \(2,\)"):
        gaussian.kl(np.zeros(2), np.eye(2), np.zeros(3), np.eye(3))
    with pytest.raises(ValueError, match=r"mean_p has shape \(3, 2\)"):
        gaussian.kl(np.zeros((2, 2)), np.eye(2), np.zeros((3, 2)), np.eye(2))


def test_kl_takes_asymmetry_of_rounding():
    cov = np.array([[1.0, 0.5], [0.5 + 1e-12, 1.0]])
    assert gaussian.kl(np.zeros(2), cov, np.zeros(2), np.eye(2)) > 0


# KL of diagonal covariances


def kl_diagonal_exact(mu_q, logvar_q, mu_p, logvar_p):
    """The textbook formula with 420 digits: exp(700) and 1e-300 in one sum."""
    with mp.workdps(420):
        total = mp.mpf(0)
        for row in np.broadcast(mu_q, logvar_q, mu_p, logvar_p):
            a, b, c, d = (mp.mpf(float(number)) for number in row)
            total += mp.exp(b - d) - 1 - (b - d) + (a - c) ** 2 * mp.exp(-d)
        return total / 2


def wide(rng, k):
    """k log-variances over the whole range, or near 0 on every scale."""
    if rng.integers(2):
        return rng.uniform(-700, 700, k)
    return rng.standard_normal(k) * 10.0 ** rng.uniform(-145, 2, k)


@given(rngs, st.integers(1, 64))
def test_kl_to_standard_normal_keeps_its_digits(rng, k):
    mu = rng.uniform(-1, 1, k) * 10.0 ** rng.uniform(-148, 150, k) * rng.integers(0, 2, k)
    logvar = wide(rng, k)
    true = kl_diagonal_exact(mu, logvar, 0.0, 0.0)
    assert relative(gaussian.kl_to_standard_normal(mu, logvar), true) <= 1e-14


@pytest.mark.parametrize("mu, logvar", [(1e-150, 0.0), (0.0, 2e-150), (0.0, -3e-150), (1e150, 0.0)])
def test_kl_to_standard_normal_at_both_ends_of_the_range(mu, logvar):
    true = kl_diagonal_exact(mu, logvar, 0.0, 0.0)
    assert relative(gaussian.kl_to_standard_normal([mu], [logvar]), true) <= 1e-14


@given(rngs, st.integers(1, 64))
def test_kl_diagonal_keeps_its_digits(rng, k):
    logvar_p = rng.uniform(-300, 300, k)
    logvar_q = np.clip(logvar_p + wide(rng, k), -400, 400)
    mu_q = rng.standard_normal(k) * 10.0 ** rng.uniform(-70, 70, k)
    mu_p = mu_q + rng.integers(2) * rng.standard_normal(k) * 10.0 ** rng.uniform(-70, 70, k)
    true = kl_diagonal_exact(mu_q, logvar_q, mu_p, logvar_p)
    if true > 1e-300:
        assert relative(gaussian.kl_diagonal(mu_q, logvar_q, mu_p, logvar_p), true) <= 1e-14


@given(rngs, st.integers(1, 64), st.floats(-7, 1))
def test_kl_in_float32(rng, k, power):
    q = rng.standard_normal((2, k)).astype(np.float32)
    p = (q + rng.standard_normal((2, k)) * 10**power).astype(np.float32)
    q[1], p[1] = q[1] * 20, p[1] + q[1] * 19
    for got, true in [
        (gaussian.kl_diagonal(*q, *p), kl_diagonal_exact(*q, *p)),
        (gaussian.kl_to_standard_normal(*p), kl_diagonal_exact(*p, 0.0, 0.0)),
    ]:
        assert got.dtype == np.float32
        assert got >= 0
        if 1e-30 < true < 1e38:
            assert relative(got, true) <= 1e-6


@given(rngs, sizes, st.floats(-300, 300))
def test_kl_diagonal_is_exactly_zero_at_equality(rng, k, center):
    mu, logvar = rng.standard_normal(k), center + rng.standard_normal(k)
    assert gaussian.kl_diagonal(mu, logvar, mu.copy(), logvar.copy()) == 0.0
    assert gaussian.kl_to_standard_normal(np.zeros(k), np.zeros(k)) == 0.0


@pytest.mark.parametrize("mu", [0.0, 1.0])
@pytest.mark.parametrize("logvar", [710.6, 1e300, np.inf, -np.inf])
def test_kl_overflows_to_infinity_and_never_to_nan(mu, logvar):
    assert gaussian.kl_to_standard_normal([mu], [logvar]) == np.inf
    assert gaussian.kl_diagonal([mu], [logvar], [0.0], [0.0]) == np.inf
    assert gaussian.kl_diagonal([mu], [logvar], [mu], [logvar]) == 0.0
    assert gaussian.kl_to_standard_normal([1e200], [0.0]) == np.inf


def test_kl_diagonal_agrees_with_the_full_form():
    rng = np.random.default_rng(0)
    mu_q, logvar_q, mu_p, logvar_p = rng.standard_normal((4, 5, 3))
    full = [
        gaussian_kl(a, np.diag(np.exp(b)), c, np.diag(np.exp(d)))
        for a, b, c, d in zip(mu_q, logvar_q, mu_p, logvar_p, strict=True)
    ]
    np.testing.assert_allclose(
        gaussian.kl_diagonal(mu_q, logvar_q, mu_p, logvar_p), full, rtol=1e-9
    )


def test_silent_broadcasting_is_refused():
    with pytest.raises(ValueError, match=r"logvar has shape \(4, 1\).* mu \(4, 2\)"):
        gaussian.kl_to_standard_normal(np.zeros((4, 2)), np.zeros((4, 1)))
    with pytest.raises(ValueError, match=r"eps has shape \(2,\).*\(4, 2\)"):
        gaussian.reparameterize(np.zeros((4, 2)), np.zeros((4, 2)), np.zeros(2))
    with pytest.raises(ValueError, match=r"eps has shape \(1, 2\).*\(4, 2\)"):
        gaussian.reparameterize(np.zeros((4, 2)), np.zeros((4, 2)), np.zeros((1, 2)))
    with pytest.raises(ValueError, match=r"mu has shape \(\)"):
        gaussian.kl_to_standard_normal(0.0, 0.0)


def test_integers_and_half_precision_are_computed_in_floating_point():
    assert gaussian.kl_to_standard_normal([3, 4], [0, 0]) == 12.5
    half = gaussian.kl_to_standard_normal(np.float16([3, 4]), np.float16([11, 0]))
    assert half == pytest.approx((9 + 16 + np.exp(11.0) - 12) / 2)


# backward


@given(rngs, sizes, sizes)
def test_kl_to_standard_normal_backward(rng, batch, k):
    mu, logvar, dkl = *rng.standard_normal((2, batch, k)), rng.standard_normal(batch)
    dmu, dlogvar = gaussian.kl_to_standard_normal_backward(dkl, mu, logvar)
    for method, tolerance in ((central_difference, 1e-6), (complex_step, 1e-12)):
        by_mu = vector_jacobian(
            lambda a: gaussian.kl_to_standard_normal(a, logvar), mu, dkl, method
        )
        by_logvar = vector_jacobian(
            lambda a: gaussian.kl_to_standard_normal(mu, a), logvar, dkl, method
        )
        np.testing.assert_allclose(dmu, by_mu, rtol=tolerance, atol=1e-2 * tolerance)
        np.testing.assert_allclose(dlogvar, by_logvar, rtol=tolerance, atol=1e-2 * tolerance)


@given(rngs, sizes, sizes)
def test_reparameterize_backward(rng, batch, k):
    mu, logvar, eps, dz = rng.standard_normal((4, batch, k))
    dmu, dlogvar = gaussian.reparameterize_backward(dz, logvar, eps)
    for method, tolerance in ((central_difference, 1e-6), (complex_step, 1e-12)):
        by_mu = vector_jacobian(lambda a: gaussian.reparameterize(a, logvar, eps), mu, dz, method)
        by_logvar = vector_jacobian(
            lambda a: gaussian.reparameterize(mu, a, eps), logvar, dz, method
        )
        np.testing.assert_allclose(dmu, by_mu, rtol=tolerance, atol=1e-2 * tolerance)
        np.testing.assert_allclose(dlogvar, by_logvar, rtol=tolerance, atol=1e-2 * tolerance)


@pytest.mark.parametrize("logvar", [-1e-9, 1e-9, -1e-160, 1e-160])
def test_kl_gradient_keeps_its_digits_at_the_minimum(logvar):
    _, dlogvar = gaussian.kl_to_standard_normal_backward(np.ones(1), [[0.0]], [[logvar]])
    assert relative(dlogvar[0, 0], mp.expm1(mp.mpf(logvar)) / 2) <= 1e-14


# moments, densities


def test_reparameterize_has_the_moments_of_q():
    rng, n = np.random.default_rng(0), 200_000
    mu, logvar = np.array([[1.0, -2.0, 0.5]]), np.array([[-1.0, 0.0, 1.5]])
    z = gaussian.reparameterize(mu, logvar, rng.standard_normal((n, 1, 3)))[:, 0]
    error = np.sqrt(np.exp(logvar[0]) / n)
    assert np.all(np.abs(z.mean(axis=0) - mu[0]) < 5 * error)
    # the variance of a sample variance of Gaussians is 2 sigma^4 / n
    assert np.all(np.abs(z.var(axis=0) / np.exp(logvar[0]) - 1) < 5 * np.sqrt(2 / n))
    assert np.all(np.abs(np.corrcoef(z.T) - np.eye(3)) < 5 / np.sqrt(n))


@given(rngs, sizes)
def test_log_density_matches_scipy(rng, k):
    mean, cov, x = rng.standard_normal(k), covariance(rng, k), rng.standard_normal((4, k))
    true = scipy.stats.multivariate_normal(mean, cov).logpdf(x)
    np.testing.assert_allclose(gaussian.log_density(x, mean, cov), np.atleast_1d(true), rtol=1e-9)


@given(rngs, sizes)
def test_log_density_diagonal_matches_scipy(rng, k):
    x, mu, logvar = rng.standard_normal((3, 4, k))
    true = scipy.stats.norm(mu, np.exp(logvar / 2)).logpdf(x).sum(axis=1)
    np.testing.assert_allclose(gaussian.log_density_diagonal(x, mu, logvar), true, rtol=1e-10)


@given(rngs, sizes)
def test_entropy_matches_scipy(rng, k):
    cov = covariance(rng, k)
    true = scipy.stats.multivariate_normal(np.zeros(k), cov).entropy()
    assert gaussian.entropy(cov) == pytest.approx(true, abs=1e-10)


def test_sample_has_the_moments_asked_for():
    rng, n = np.random.default_rng(1), 200_000
    mean, cov = np.array([1.0, -1.0]), np.array([[2.0, 0.6], [0.6, 0.5]])
    z = gaussian.sample(mean, cov, n, rng)
    assert z.shape == (n, 2)
    assert np.all(np.abs(z.mean(axis=0) - mean) < 5 * np.sqrt(np.diag(cov) / n))
    assert np.all(np.abs(np.cov(z.T) / cov - 1) < 5 * np.sqrt(6 / n))
    assert gaussian.sample(mean, cov, (3, 4), rng).shape == (3, 4, 2)


def test_central_difference_of_kl_sees_both_signs():
    """The check of the backward can fail: a backward of the wrong sign is not within tolerance."""
    mu = np.array([[0.3]])
    by_mu = central_difference(lambda a: gaussian.kl_to_standard_normal(a, mu).sum(), mu)
    dmu, _ = gaussian.kl_to_standard_normal_backward(np.ones(1), mu, mu)
    assert abs(by_mu - dmu) < 1e-6 < abs(by_mu + dmu)
