"""The oracles, held against SciPy, mpmath and arithmetic by hand: never against tinyvae.

Each number that is compared comes from a formula that shares no step with the oracle's own.
"""

import ast
import itertools
import math
import sys
from pathlib import Path

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import integrate, special, stats

import tinyvae.oracles
from tests.strategies import covariance, rngs, sizes
from tinyvae.oracles import (
    Estimate,
    LinearGaussian,
    central_difference,
    complex_step,
    effective_sample_size,
    estimate,
    expectation,
    gaussian_kl,
    log_density,
    log_integral,
    log_mean_exp,
    plane_grid,
    points,
    principal,
    relative_error,
    standard_normal_grid,
    vector_jacobian,
)

EPS = np.finfo(np.float64).eps


def gaussian(rng, k, condition=10.0):
    return rng.standard_normal(k), covariance(rng, k, condition)


def test_oracles_import_numpy_the_standard_library_and_each_other():
    allowed = {"numpy", *sys.stdlib_module_names}
    for file in Path(tinyvae.oracles.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                assert {name.name.split(".")[0] for name in node.names} <= allowed, file
            if isinstance(node, ast.ImportFrom):
                inside = node.level == 1  # from .cubature import ...
                assert inside or (node.level == 0 and node.module.split(".")[0] in allowed), file


# Cubature.


@given(sizes, rngs)
def test_cubature_is_exact_up_to_degree_3(k, rng):
    mean, cov = gaussian(rng, k)
    # With z = m + d, the odd moments of d are 0 and E d_i d_j = C_ij, so by multiplying out
    #   E z_i z_j     = m_i m_j + C_ij
    #   E z_i z_j z_l = m_i m_j m_l + m_i C_jl + m_j C_il + m_l C_ij
    second = np.einsum("i,j->ij", mean, mean) + cov
    third = np.einsum("i,j,l->ijl", mean, mean, mean)
    third += np.einsum("i,jl->ijl", mean, cov)
    third += np.einsum("j,il->ijl", mean, cov)
    third += np.einsum("l,ij->ijl", mean, cov)
    # The terms of the average are larger than what is left when they have cancelled.
    largest = np.abs(points(mean, cov)).max()
    zeroth = expectation(lambda z: np.ones(len(z)), mean, cov)
    first = expectation(lambda z: z, mean, cov)
    assert zeroth == 1
    assert_allclose(first, mean, rtol=0, atol=1e-14 * largest)
    found = expectation(lambda z: np.einsum("ni,nj->nij", z, z), mean, cov)
    assert_allclose(found, second, rtol=0, atol=1e-14 * largest**2)
    found = expectation(lambda z: np.einsum("ni,nj,nl->nijl", z, z, z), mean, cov)
    assert_allclose(found, third, rtol=0, atol=1e-14 * largest**3)


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_cubature_is_wrong_at_degree_4(k):
    standard = np.zeros(k), np.eye(k)
    # E u^4 = 3 for a standard normal u; the points are +- sqrt(k) e_i, so their average is
    # 2 sqrt(k)^4 / (2 k) = k.  Only k = 3 is right by luck, and there E u^2 v^2 = 1 becomes 0.
    assert_allclose(expectation(lambda z: z[:, 0] ** 4, *standard), k, rtol=1e-14)
    if k > 1:
        assert expectation(lambda z: z[:, 0] ** 2 * z[:, 1] ** 2, *standard) == 0


def test_points_by_hand():
    # k = 2, axes of standard deviation 3 and 1: sqrt(2) * 3 along one, sqrt(2) along the other.
    found = points(np.array([10.0, 20.0]), np.diag([9.0, 1.0]))
    r = math.sqrt(2)
    expected = [[10 - 3 * r, 20], [10, 20 - r], [10, 20 + r], [10 + 3 * r, 20]]
    assert_allclose(sorted(found.tolist()), expected, rtol=1e-15)


def test_points_refuse_a_matrix_that_is_no_covariance():
    with pytest.raises(ValueError, match="not positive definite: it has the eigenvalue -1"):
        points(np.zeros(2), np.array([[1.0, 2.0], [2.0, 1.0]]))  # eigenvalues 3 and -1
    with pytest.raises(ValueError, match="not positive definite"):
        points(np.zeros(2), np.zeros((2, 2)))


@given(sizes, rngs)
def test_log_density_against_scipy(k, rng):
    mean, cov = gaussian(rng, k)
    x = 3 * rng.standard_normal((4, 2, k))
    expected = stats.multivariate_normal(mean, cov).logpdf(x).reshape(4, 2)
    assert_allclose(log_density(x, mean, cov), expected, rtol=1e-12)
    assert_allclose(log_density(x[0, 0], mean, cov), expected[0, 0], rtol=1e-12)


def test_gaussian_kl_by_hand():
    # KL(N(1, 4) || N(0, 1)) = (4/1 + 1^2/1 - 1 - log 4) / 2 = 2 - log 2
    assert_allclose(gaussian_kl(1.0, 4.0, 0.0, 1.0), 2 - math.log(2), rtol=1e-15)
    # The other way round: (1/4 + 1/4 - 1 + log 4) / 2 = log 2 - 1/4.
    assert_allclose(gaussian_kl(0.0, 1.0, 1.0, 4.0), math.log(2) - 0.25, rtol=1e-15)
    # KL(N([3, 4], I) || N(0, I)) = 25 / 2
    identity = np.eye(2)
    assert_allclose(gaussian_kl([3.0, 4.0], identity, [0.0, 0.0], identity), 12.5, rtol=1e-15)


@settings(max_examples=20)
@given(rngs)
def test_gaussian_kl_is_the_integral_that_defines_it(rng):
    (m_q, m_p), (s_q, s_p) = rng.standard_normal(2), rng.uniform(0.5, 2.0, 2)
    q, p = stats.norm(m_q, s_q), stats.norm(m_p, s_p)
    expected, _ = integrate.quad(
        lambda z: q.pdf(z) * (q.logpdf(z) - p.logpdf(z)), m_q - 12 * s_q, m_q + 12 * s_q
    )
    assert_allclose(gaussian_kl(m_q, s_q**2, m_p, s_p**2), expected, rtol=1e-8, atol=1e-10)


def kl_in_60_digits(mean_q, cov_q, mean_p, cov_p):
    """The trace formula; at 60 digits neither cancellation nor the condition number matters."""
    with mpmath.workdps(60):
        m_q, S_q, m_p, S_p = (mpmath.matrix(a.tolist()) for a in (mean_q, cov_q, mean_p, cov_p))
        ratio, d = S_p**-1 * S_q, m_p - m_q
        trace = sum(ratio[i, i] for i in range(len(d)))
        return (trace + (d.T * S_p**-1 * d)[0] - len(d) - mpmath.log(mpmath.det(ratio))) / 2


@pytest.mark.parametrize("condition", [1.0, 1e2, 1e4, 1e6, 1e8])
@pytest.mark.parametrize("distance", [None, 1e-1, 1e-2, 1e-4, 1e-6])
def test_gaussian_kl_is_as_accurate_as_it_says(condition, distance):
    rng = np.random.default_rng(0)
    for k in (1, 2, 3, 4, 5, 6):
        mean_p, cov_p = gaussian(rng, k, condition)
        if distance is None:
            mean_q, cov_q = gaussian(rng, k, condition)
        else:  # q is p, moved and stretched by that much of its own size
            stretch = np.eye(k) + distance * rng.standard_normal((k, k))
            cov_q = stretch @ cov_p @ stretch.T
            cov_q = (cov_q + cov_q.T) / 2
            mean_q = mean_p + distance * np.linalg.cholesky(cov_p) @ rng.standard_normal(k)
        exact = kl_in_60_digits(mean_q, cov_q, mean_p, cov_p)
        error = float(abs(mpmath.mpf(float(gaussian_kl(mean_q, cov_q, mean_p, cov_p))) - exact))
        assert error <= 2 * EPS * condition * float(exact) + 1e-14


@pytest.mark.parametrize("far", [1e3, 1e6, 1e9])
def test_gaussian_kl_does_not_mind_where_the_means_are(far):
    cov_q, cov_p = np.array([[2.0, 0.3], [0.3, 1.0]]), np.eye(2)
    mean_q, mean_p = np.array([far + 1, far]), np.array([far, far])
    exact = kl_in_60_digits(mean_q, cov_q, mean_p, cov_p)
    error = float(abs(mpmath.mpf(float(gaussian_kl(mean_q, cov_q, mean_p, cov_p))) - exact))
    assert error <= 1e-14


# The linear-Gaussian model.


@st.composite
def linear_gaussians(draw):
    """A random model, and rng to draw the rest."""
    rng = draw(rngs)
    return LinearGaussian.random(draw(sizes), draw(sizes), rng), rng


def normal(mean, cov):
    return stats.multivariate_normal(mean, cov)


@given(linear_gaussians())
def test_log_px_against_scipy(drawn):
    model, rng = drawn
    x, _ = model.sample(5, rng)
    cov = [
        [w @ v + (model.noise_var if i == j else 0.0) for j, v in enumerate(model.W)]
        for i, w in enumerate(model.W)
    ]
    assert_allclose(model.log_px(x), normal(model.b, cov).logpdf(x), rtol=1e-11, atol=1e-11)
    assert_allclose(model.log_px(x[0]), model.log_px(x)[0], rtol=1e-14)


@given(linear_gaussians())
def test_log_px_given_z_against_scipy_and_broadcasts(drawn):
    model, rng = drawn
    x, _ = model.sample(3, rng)
    z = rng.standard_normal((4, 1, model.W.shape[1]))  # 4 draws for each of the 3 x
    found = model.log_px_given_z(x, z)
    assert found.shape == (4, 3)
    std = math.sqrt(model.noise_var)
    for s, n in np.ndindex(4, 3):
        expected = stats.norm(model.W @ z[s, 0] + model.b, std).logpdf(x[n]).sum()
        assert_allclose(found[s, n], expected, rtol=1e-12)


@given(sizes, rngs)
def test_posterior_against_bayes_on_a_fine_grid(data_dim, rng):
    model = LinearGaussian.random(data_dim, 1, rng)
    x, _ = model.sample(1, rng)
    z = np.linspace(-12, 12, 24_001)  # spacing 1e-3: far finer than any posterior here
    log_joint = stats.norm.logpdf(z) + sum(
        stats.norm.logpdf(x_d, w * z + b, math.sqrt(model.noise_var))
        for x_d, w, b in zip(x[0], model.W[:, 0], model.b, strict=True)
    )
    posterior = np.exp(log_joint - log_joint.max())
    posterior /= posterior.sum()
    mean, cov = model.posterior(x)
    assert mean.shape == (1, 1) and cov.shape == (1, 1)
    assert_allclose(mean[0, 0], posterior @ z, rtol=0, atol=1e-10)
    assert_allclose(cov[0, 0], posterior @ (z - posterior @ z) ** 2, rtol=1e-9)


@given(linear_gaussians())
def test_posterior_against_bayes_rule_anywhere(drawn):
    # log p(z|x) = log p(x|z) + log p(z) - log p(x) at any z, in any dimension.
    model, rng = drawn
    x, z = model.sample(1, rng)
    mean, cov = model.posterior(x)
    prior = normal(np.zeros(z.size), np.eye(z.size)).logpdf(z[0])
    expected = model.log_px_given_z(x, z) + prior - model.log_px(x)
    assert_allclose(normal(mean[0], cov).logpdf(z[0]), expected[0], rtol=1e-9, atol=1e-9)


@given(linear_gaussians())
def test_expectations_and_kls_against_cubature(drawn):
    model, rng = drawn
    latent_dim = model.W.shape[1]
    x, _ = model.sample(3, rng)
    mean = rng.standard_normal((3, latent_dim))
    covs = np.stack([covariance(rng, latent_dim) for _ in range(3)])  # one for each row
    expected_log_px_given_z = model.expected_log_px_given_z(x, mean, covs)
    kl_to_prior, kl_to_posterior = (
        model.kl_to_prior(mean, covs),
        model.kl_to_posterior(x, mean, covs),
    )
    posterior_mean, posterior_cov = model.posterior(x)
    prior = np.zeros(latent_dim), np.eye(latent_dim)
    for n in range(3):
        q = mean[n], covs[n]
        average = expectation(lambda z, n=n: model.log_px_given_z(x[n], z), *q)
        assert_allclose(expected_log_px_given_z[n], average, rtol=1e-11)
        assert_allclose(kl_to_prior[n], gaussian_kl(*q, *prior), rtol=1e-11, atol=1e-12)
        gap = gaussian_kl(*q, posterior_mean[n], posterior_cov)
        assert_allclose(kl_to_posterior[n], gap, rtol=1e-10, atol=1e-12)
        elbo = average - gaussian_kl(*q, *prior)
        assert_allclose(model.elbo(x, mean, covs)[n], elbo, rtol=1e-11)
        # One covariance for all rows gives the same as the same covariance in each row.
        alone = model.elbo(x, mean, covs[n])
        assert_allclose(alone[n], model.elbo(x, mean, covs)[n], rtol=1e-13)


@given(linear_gaussians())
def test_the_identity_holds_and_the_bound_is_tight_at_the_posterior(drawn):
    model, rng = drawn
    x, _ = model.sample(3, rng)
    posterior_mean, posterior_cov = model.posterior(x)
    mean, cov = gaussian(rng, model.W.shape[1])
    mean = mean + posterior_mean
    elbo, gap = model.elbo(x, mean, cov), model.kl_to_posterior(x, mean, cov)
    scale = np.abs(model.log_px(x)) + gap
    assert np.all(np.abs(model.log_px(x) - gap - elbo) <= 1e-12 * scale)
    assert np.all(elbo < model.log_px(x))
    tight = model.elbo(x, posterior_mean, posterior_cov)
    assert_allclose(tight, model.log_px(x), rtol=1e-11, atol=1e-11)


def test_linear_gaussian_by_hand():
    # D = Z = 1, W = 1, b = 0, noise_var = 1: p(x) = N(0, 2), p(z|x) = N(x / 2, 1 / 2).  At x = 2:
    model = LinearGaussian(np.array([[1.0]]), np.array([0.0]), 1.0)
    x, mean, cov = np.array([[2.0]]), np.array([[0.0]]), np.array([[1.0]])  # q is the prior
    log_2pi = math.log(2 * math.pi)
    assert_allclose(model.log_px(x), -(4 / 2 + math.log(2) + log_2pi) / 2, rtol=1e-15)
    assert_allclose(model.posterior(x)[0], 1.0, rtol=1e-15)
    assert_allclose(model.posterior(x)[1], 0.5, rtol=1e-15)
    assert_allclose(model.log_px_given_z(x, mean), -(4 + log_2pi) / 2, rtol=1e-15)
    # E (2 - z)^2 = 4 + 1 under the prior
    assert_allclose(model.expected_log_px_given_z(x, mean, cov), -(5 + log_2pi) / 2, rtol=1e-15)
    assert model.kl_to_prior(mean, cov) == 0.0
    # KL(N(0, 1) || N(1, 1/2)) = (2 + 2 - 1 - log 2) / 2
    assert_allclose(model.kl_to_posterior(x, mean, cov), (3 - math.log(2)) / 2, rtol=1e-15)


def test_samples_have_the_moments_of_the_model():
    rng = np.random.default_rng(1)
    model, n = LinearGaussian.random(3, 2, rng), 100_000
    x, z = model.sample(n, rng)
    assert x.shape == (n, 3) and z.shape == (n, 2)
    for d in range(3):
        assert estimate(x[:, d]).z(model.b[d]) < 5
        for l in range(2):  # cov(x_d, z_l) = W_dl
            assert estimate((x[:, d] - model.b[d]) * z[:, l]).z(model.W[d, l]) < 5
        for e in range(3):  # cov(x) = W W' + noise_var I
            expected = model.W[d] @ model.W[e] + model.noise_var * (d == e)
            assert estimate((x[:, d] - model.b[d]) * (x[:, e] - model.b[e])).z(expected) < 5
    for l, m in itertools.product(range(2), repeat=2):
        assert estimate(z[:, l] * z[:, m]).z(float(l == m)) < 5


@settings(max_examples=20)
@given(st.integers(2, 5), rngs)
def test_principal_is_the_maximum_of_the_likelihood(data_dim, rng):
    latent_dim = int(rng.integers(1, data_dim))
    x, _ = LinearGaussian.random(data_dim, latent_dim, rng).sample(40, rng)
    best = principal(x, latent_dim)
    W_size, b_size = best.W.size, best.b.size

    def log_likelihood(flat):
        W, b, noise_var = np.split(flat, [W_size, W_size + b_size])
        model = LinearGaussian(W.reshape(best.W.shape), b, float(noise_var[0]))
        return np.mean(model.log_px(x))

    at_best = np.concatenate([best.W.ravel(), best.b, [best.noise_var]])
    # Where the likelihood is largest its slope is 0 ...
    assert_allclose(central_difference(log_likelihood, at_best), 0.0, atol=2e-6)
    # ... and any step away, small or large, lowers it.
    for size in (0.01, 0.1, 1.0):
        away = at_best * np.exp(size * rng.standard_normal(at_best.size))
        assert log_likelihood(away) < log_likelihood(at_best)
    # Its value, by Tipping and Bishop's equation 4 with the trace term, which is D at the maximum:
    # -(sum log l_1..Z + (D - Z) log noise_var + D + D log 2 pi) / 2
    variances = np.sort(np.linalg.svd(x - x.mean(axis=0))[1] ** 2 / len(x))[::-1]
    noise_var = variances[latent_dim:].mean()
    log_dets = np.log(variances[:latent_dim]).sum() + (data_dim - latent_dim) * np.log(noise_var)
    expected = -0.5 * (log_dets + data_dim + data_dim * np.log(2 * np.pi))
    assert_allclose(log_likelihood(at_best), expected, rtol=1e-11)


def test_principal_by_hand():
    # Variances 9, 4 and 1 along the axes: W keeps the first, noise_var = (4 + 1) / 2, and
    # W W' + noise_var I = diag(9, 2.5, 2.5), so W = [sqrt(6.5), 0, 0] up to its sign.
    axes = np.sqrt(3) * np.diag([3.0, 2.0, 1.0])
    best = principal(np.concatenate([axes, -axes]) + 7.0, latent_dim=1)
    assert_allclose(best.b, 7.0, rtol=1e-15)
    assert_allclose(best.noise_var, 2.5, rtol=1e-14)
    assert_allclose(np.abs(best.W), [[math.sqrt(6.5)], [0.0], [0.0]], rtol=1e-14, atol=1e-14)


def test_linear_gaussian_refuses_what_is_no_model():
    with pytest.raises(ValueError, match=r"W must be \(D, Z\) and b \(D,\), got \(3, 2\) and \(2"):
        LinearGaussian(np.ones((3, 2)), np.ones(2), 1.0)
    for noise_var in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="noise_var must be positive"):
            LinearGaussian(np.ones((3, 2)), np.ones(3), noise_var)
    x = np.random.default_rng(0).standard_normal((20, 2)) @ np.ones((2, 4))  # rank 1
    for latent_dim in (1, 4):
        with pytest.raises(ValueError, match="leave no variance"):
            principal(x, latent_dim)


# Differences.


def waves(x):
    """A scalar function of an array in which every entry counts differently, and its gradient."""
    scale = np.arange(1, x.size + 1).reshape(x.shape)
    return np.sum(np.sin(x) * scale) + np.prod(np.exp(0.1 * x))


def waves_gradient(x):
    scale = np.arange(1, x.size + 1).reshape(x.shape)
    return np.cos(x) * scale + 0.1 * np.prod(np.exp(0.1 * x))


@pytest.mark.parametrize(
    ("method", "tolerance"), [(central_difference, 1e-8), (complex_step, 1e-14)]
)
@given(shape=st.sampled_from([(), (1,), (5,), (3, 1), (2, 3), (2, 1, 3)]), rng=rngs)
def test_gradients_against_calculus(method, tolerance, shape, rng):
    x = np.asarray(rng.standard_normal(shape))
    before = x.copy()
    found = method(waves, x)
    assert found.shape == shape and found.dtype == np.float64
    assert_allclose(found, waves_gradient(x), rtol=0, atol=tolerance * (x.size + 2))
    assert_array_equal(x, before)


def test_central_difference_has_a_best_step():
    def error(step):
        return abs(central_difference(np.exp, 1.0, step) - math.e)

    # Truncation: exp(1) step^2 / 6.  Rounding: 1e-16 / step.  They meet near 1e-5.
    assert_allclose(error(1e-2), math.e * 1e-4 / 6, rtol=1e-3)
    assert_allclose(error(1e-3), math.e * 1e-6 / 6, rtol=1e-3)
    assert error(1e-5) < 1e-9 < error(1e-3)
    assert error(1e-6) < 1e-8 < error(1e-10) < error(1e-13)
    assert abs(complex_step(np.exp, 1.0) - math.e) <= 2 * EPS * math.e


def test_central_difference_divides_by_the_step_that_was_taken():
    # Near 1e4 doubles are 1.8e-12 apart, so a step of 1e-6 is rounded by up to 1e-6 of itself.
    x = 12345.678
    assert central_difference(lambda x: 3 * x, x) == pytest.approx(3, rel=1e-8 * 4)
    taken = (x + 1e-6) - (x - 1e-6)
    assert abs(taken / 2e-6 - 1) > 1e-7


def test_a_function_may_spoil_its_argument():
    def f(x):
        y = x**2
        x[:] = np.nan
        return y

    x = np.array([1.0, 2.0])
    for method in (central_difference, complex_step):
        assert_allclose(method(lambda x: np.sum(f(x)), x), [2.0, 4.0], rtol=1e-9)
        assert_allclose(vector_jacobian(f, x, np.array([3.0, 5.0]), method), [6.0, 20.0], rtol=1e-9)
    assert_allclose(x, [1.0, 2.0])


@given(sizes, sizes, sizes, rngs)
def test_vector_jacobian_against_calculus(B, I, O, rng):
    x, W, dy = (rng.standard_normal(shape) for shape in [(B, I), (I, O), (B, O)])
    # y = tanh(x @ W)  ->  dx = (dy * (1 - y^2)) @ W'
    expected = (dy * (1 - np.tanh(x @ W) ** 2)) @ W.T
    assert_allclose(vector_jacobian(lambda x: np.tanh(x @ W), x, dy), expected, atol=1e-8)
    exact = vector_jacobian(lambda x: np.tanh(x @ W), x, dy, method=complex_step)
    assert_allclose(exact, expected, rtol=0, atol=1e-13)


def test_differences_refuse_what_they_cannot_judge():
    x = np.ones((2, 3))
    for method in (central_difference, complex_step):
        with pytest.raises(ValueError, match=r"must return a scalar, .* shape \(2, 3\)"):
            method(np.sin, x)
    with pytest.raises(ValueError, match="real number for a complex x"):
        complex_step(lambda x: np.sum(np.abs(x)), x)
    with pytest.raises(ValueError, match=r"dy has shape \(2,\), but f\(x\) has shape \(2, 3\)"):
        vector_jacobian(np.sin, x, np.ones(2))
    with pytest.raises(ValueError, match=r"shapes differ: \(2, 1\) and \(2,\)"):
        relative_error(np.ones((2, 1)), np.ones(2))


def test_relative_error_sees_a_small_entry_that_is_wrong():
    right, wrong = np.array([1000.0, 0.001, 0.0]), np.array([1000.0, 0.002, 1e-12])
    assert_allclose(relative_error(right, wrong), [0.0, 0.5, 1e-9])
    assert np.abs(right - wrong).max() / np.abs(right).max() < 1.1e-6  # the whole hides it
    assert_allclose(relative_error(right, wrong, floor=1e-15), [0.0, 0.5, 1.0])
    assert_array_equal(relative_error(wrong, right), relative_error(right, wrong))
    assert not relative_error(math.nan, 1.0) < 1e-6  # NaN never passes


# Monte Carlo.


def test_estimate_by_hand():
    # Mean 4; deviations -3, -1, 1, 3, their squares sum to 20; 20 / 3 / 4 = 5 / 3
    found = estimate([1.0, 3.0, 5.0, 7.0])
    assert found == Estimate(4.0, pytest.approx(math.sqrt(5 / 3), rel=1e-15), 4)
    assert found.z(4.0) == 0
    assert found.z(4.0 + math.sqrt(15)) == found.z(4.0 - math.sqrt(15)) == pytest.approx(3.0)


@given(st.integers(2, 200), st.integers(-300, 300), rngs)
def test_estimate_against_scipy_at_any_scale_and_offset(n, power, rng):
    values = rng.standard_normal(n)
    error = stats.sem(values)
    found = estimate(values * 10.0**power)  # squared, these would be 0 or infinite
    assert_allclose(found.standard_error, error * 10.0**power, rtol=1e-12)
    # The shift rounds each value by 1e-8 at most, and one pass (sum v^2 - n mean^2) finds noise.
    assert_allclose(estimate(values + 1e8).standard_error, error, rtol=0, atol=1e-7)


def test_estimate_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(2)
    z = np.array([estimate(rng.exponential(size=400)).z(1.0) for _ in range(4000)])
    for width in (1, 2, 3):  # 68.3 %, 95.4 %, 99.7 %
        assert abs(np.mean(z < width) - special.erf(width / math.sqrt(2))) < 0.03


def test_estimate_without_spread():
    same = estimate(np.full(10, 0.5))
    assert same == Estimate(0.5, 0.0, 10)
    assert same.z(0.5) == 0 and same.z(0.5000001) == math.inf


@pytest.mark.parametrize(
    ("mean", "error", "text"),
    [
        (-3.24213, 0.00091, "-3.2421 +- 0.0009"),
        (-3.24213, 0.000096, "-3.24213 +- 0.00010"),
        (104.27, 0.38, "104.3 +- 0.4"),
        (104.27, 38.0, "104 +- 38"),
        (0.0, 0.02, "0.00 +- 0.02"),
        (0.0, 2.0, "0 +- 2"),
        (3.21e-31, 4.4e-32, "(3.2 +- 0.4)e-31"),
        (-3.21e31, 4.4e29, "(-3.21 +- 0.04)e31"),
        (1e-9, 0.02, "0.00 +- 0.02"),
        (0.5, 0.0, "0.5 +- 0"),
    ],
)
def test_estimate_prints_the_digits_that_its_error_allows(mean, error, text):
    assert str(Estimate(mean, error, 100)) == f"{Estimate(mean, error, 100)}" == text
    assert text.isascii()


@pytest.mark.parametrize("values", [[], [1.0], 1.0, [[1.0, 2.0], [3.0, 4.0]]])
def test_estimate_refuses_what_has_no_error(values):
    with pytest.raises(ValueError, match="one row of at least two numbers"):
        estimate(values)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_estimate_refuses_what_is_not_finite(bad):
    with pytest.raises(ValueError, match="values must be finite"):
        estimate([1.0, bad, 2.0])


@given(st.integers(1, 30), st.integers(-18, 3), st.sampled_from([0.0, 700.0, -1e5]), rngs)
def test_log_mean_exp_against_mpmath(n, power, offset, rng):
    a = 10.0**power * rng.standard_normal(n) + offset
    with mpmath.workdps(50):
        mean = mpmath.fsum(mpmath.exp(mpmath.mpf(float(v))) for v in a) / n
        exact = float(mpmath.log(mean))
    # Nothing is lost but the rounding of the result and of the spread between the values.
    assert abs(log_mean_exp(a) - exact) <= 8 * EPS * (abs(exact) + np.ptp(a))


def test_log_mean_exp_keeps_the_digits_near_zero():
    # mean(exp(a)) = 1 + 1e-20 (2 + 3) / 2 + ..., and 1 + 2.5e-20 is 1 in float64
    assert_allclose(log_mean_exp([2e-20, 3e-20]), 2.5e-20, rtol=1e-15)
    assert np.log(np.mean(np.exp([2e-20, 3e-20]))) == 0.0  # the plain form loses all of them
    # One weight among a million: log(1e-6), which 1 + expm1(...) would give to 10 digits only.
    a = np.full(1_000_000, -np.inf)
    a[7] = 0.0
    assert_allclose(log_mean_exp(a), math.log(1e-6), rtol=1e-15)


def test_log_mean_exp_at_the_infinities():
    inf = np.inf
    assert log_mean_exp([-inf, -inf]) == -inf
    assert log_mean_exp([inf, -inf]) == log_mean_exp([inf, 800.0, -3.0]) == inf
    assert_allclose(log_mean_exp([-inf, 0.0]), -math.log(2), rtol=1e-15)
    assert np.isnan(log_mean_exp([np.nan, 0.0]))
    assert np.isnan(log_mean_exp([np.nan, inf]))


def test_log_mean_exp_along_an_axis():
    a = np.random.default_rng(3).standard_normal((2, 3, 4))
    a[1, 2] = -np.inf
    for axis in (0, 1, 2, -1, (0, 1), None):
        with np.errstate(divide="ignore"):
            expected = np.log(np.mean(np.exp(a), axis=axis))
        found = log_mean_exp(a, axis=axis)
        assert found.shape == expected.shape
        assert_allclose(found, expected, rtol=1e-13, atol=1e-15)
    assert log_mean_exp(np.ones((5, 1)), axis=0).shape == (1,)


def test_effective_sample_size_by_hand():
    assert effective_sample_size(np.full(50, -1e4)) == pytest.approx(50, rel=1e-14)
    assert effective_sample_size([0.0, -1e4, -np.inf]) == 1.0
    # Weights 1, 2, 3: 6^2 / (1 + 4 + 9), whatever their common factor.
    found = effective_sample_size(np.log([1.0, 2.0, 3.0]) - 5000)
    assert_allclose(found, 36 / 14, rtol=1e-11)
    for bad in (-np.inf, np.inf, np.nan):
        with pytest.raises(ValueError, match="largest log weight must be finite"):
            effective_sample_size([bad, bad])


# Quadrature.


@given(st.integers(1, 12), st.sampled_from([1, 2, 3]))
def test_standard_normal_grid_has_the_moments_of_the_normal(n, dim):
    nodes, log_weights = standard_normal_grid(n, dim)
    assert nodes.shape == (n**dim, dim) and log_weights.shape == (n**dim,)
    weights = np.exp(log_weights)
    # E z^p = (p - 1)!! = 1 * 3 * ... * (p - 1) for even p, 0 for odd; coordinates are independent.
    moments = [0 if p % 2 else math.prod(range(1, p, 2)) for p in range(2 * n)]
    for powers in itertools.islice(itertools.product(range(2 * n), repeat=dim), 300):
        expected = math.prod(moments[p] for p in powers)
        magnitude = weights @ np.prod(np.abs(nodes) ** powers, axis=1)
        found = weights @ np.prod(nodes**powers, axis=1)
        assert_allclose(found, expected, rtol=0, atol=1e-11 * magnitude)
    # One degree more is not exact: E z^2n is short of (2n - 1)!! by n!
    found, expected = weights @ nodes[:, 0] ** (2 * n), math.prod(range(1, 2 * n, 2))
    assert_allclose(expected - found, math.factorial(n), rtol=1e-3)


def test_standard_normal_grid_refuses_more_than_it_can():
    _, log_weights = standard_normal_grid(250, dim=1)
    assert np.isfinite(log_weights).all()
    assert_allclose(log_integral(np.zeros(250), log_weights), 0.0, atol=1e-13)
    with pytest.raises(ValueError, match="at most 250 points per axis, got 251"):
        standard_normal_grid(251)


def test_plane_grid_by_hand():
    nodes, log_weights = plane_grid(2, 3.0)  # four cells of 3 x 3 around 0
    assert_allclose(nodes, [[-1.5, -1.5], [-1.5, 1.5], [1.5, -1.5], [1.5, 1.5]])
    assert_allclose(np.exp(log_weights), 9.0)


def test_plane_grid_against_scipy():
    def f(u, v):  # neither Gaussian, nor symmetric, nor a product
        return np.exp(-(u**2) - 0.5 * (v - 0.3) ** 2) / (1 + np.exp(-3 * u * v + v))

    expected, _ = integrate.dblquad(f, -9, 9, -9, 9, epsabs=1e-11)
    nodes, log_weights = plane_grid(150, 9.0)
    found = log_integral(np.log(f(nodes[:, 1], nodes[:, 0])), log_weights)  # dblquad: f(inner, ...)
    assert_allclose(found, np.log(expected), rtol=0, atol=1e-9)


@pytest.mark.parametrize("phase", [0.0, 0.25, 0.5])  # the peak on an edge, between, on a node
def test_a_spacing_of_one_standard_deviation_is_fine_enough(phase):
    std = 0.1
    nodes, log_weights = plane_grid(60, 3.0)  # spacing 0.1
    log_f = stats.norm.logpdf(nodes, phase * std, std).sum(axis=1)
    assert abs(log_integral(log_f, log_weights)) < 2 * 2 * math.exp(-2 * math.pi**2) * 1.001
    coarse_nodes, coarse_weights = plane_grid(20, 3.0)  # spacing 0.3: some peaks fall between
    log_f = stats.norm.logpdf(coarse_nodes, 0.0, std).sum(axis=1)
    assert abs(log_integral(log_f, coarse_weights)) > 0.1


@settings(max_examples=20)
@given(sizes, rngs)
def test_both_grids_find_log_px_of_the_linear_gaussian_model(data_dim, rng):
    W = 0.5 * rng.standard_normal((data_dim, 2))
    model = LinearGaussian(W, rng.standard_normal(data_dim), float(rng.uniform(0.3, 1.5)))
    x, _ = model.sample(3, rng)
    nodes, log_weights = standard_normal_grid(80)
    found = log_integral(model.log_px_given_z(x[:, None], nodes), log_weights)
    assert found.shape == (3,)
    assert_allclose(found, model.log_px(x), rtol=0, atol=1e-8)
    nodes, log_weights = plane_grid(90, 9.0)
    log_pz = stats.norm.logpdf(nodes).sum(axis=1)
    found = log_integral(model.log_px_given_z(x[:, None], nodes) + log_pz, log_weights)
    assert_allclose(found, model.log_px(x), rtol=0, atol=1e-8)


def test_the_plane_finds_a_peak_that_falls_between_the_nodes_of_the_normal_grid():
    # 16 pixels with little noise: the posterior's standard deviation is about 0.1 / sqrt(16).
    rng = np.random.default_rng(4)
    model = LinearGaussian(rng.standard_normal((16, 2)), rng.standard_normal(16), 0.01)
    x, z = model.sample(1, rng)
    nodes, log_weights = standard_normal_grid(40)
    missed = log_integral(model.log_px_given_z(x, nodes), log_weights)
    assert abs(missed - model.log_px(x)[0]) > 1
    nodes, log_weights = plane_grid(500, 5.0)  # spacing 0.02
    log_pz = stats.norm.logpdf(nodes).sum(axis=1)
    found = log_integral(model.log_px_given_z(x, nodes) + log_pz, log_weights)
    assert np.abs(z).max() < 4
    assert_allclose(found, model.log_px(x)[0], rtol=0, atol=1e-8)


def test_log_integral_where_f_is_zero():
    assert log_integral(np.full(4, -np.inf), np.zeros(4)) == -np.inf
    found = log_integral([[-np.inf, 1000.0], [-2000.0, -2000.0]], np.log([0.5, 0.5]))
    assert_allclose(found, [1000 - math.log(2), -2000], rtol=1e-15)
