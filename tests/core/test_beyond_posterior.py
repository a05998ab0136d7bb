"""tinyvae.beyond.posterior against gaussian's oracles, differences and the complex step."""

import numpy as np
import pytest
from hypothesis import given

from tests.strategies import rngs, sizes
from tinyvae.beyond import posterior
from tinyvae.oracles import central_difference, complex_step, gaussian_kl, vector_jacobian

methods = pytest.mark.parametrize(
    ("method", "tolerance"), [(central_difference, 1e-6), (complex_step, 1e-12)]
)


@given(rngs, sizes, sizes)
def test_root_is_a_cholesky_factor(rng, batch, k):
    raw = rng.standard_normal((batch, k, k))
    L = posterior.root(raw)
    np.testing.assert_allclose(np.linalg.cholesky(L @ np.swapaxes(L, 1, 2)), L, atol=1e-10)


@given(rngs, sizes)
def test_kl_matches_the_cubature(rng, k):
    mu, raw = rng.standard_normal((1, k)), rng.standard_normal((1, k, k))
    L = posterior.root(raw)[0]
    true = gaussian_kl(mu[0], L @ L.T, np.zeros(k), np.eye(k))
    assert posterior.kl_to_standard_normal(mu, raw)[0] == pytest.approx(true, rel=1e-6, abs=1e-9)


@given(rngs)
def test_draws_have_mean_and_covariance(rng):
    mu, L = rng.standard_normal((1, 2)), posterior.root(rng.standard_normal((1, 2, 2)))
    eps = np.sqrt(2) * np.array([[[1.0, 0]], [[-1.0, 0]], [[0, 1.0]], [[0, -1.0]]])
    z = posterior.reparameterize(mu, L, eps)[:, 0]
    np.testing.assert_allclose(z.mean(axis=0), mu[0], atol=1e-12)
    np.testing.assert_allclose(np.cov(z.T, bias=True), L[0] @ L[0].T, atol=1e-12)


@methods
@given(rng=rngs)
def test_backwards(method, tolerance, rng):
    mu, raw = rng.standard_normal((2, 3)), rng.standard_normal((2, 3, 3))
    L, eps = posterior.root(raw), rng.standard_normal((4, 2, 3))
    dz, dL, dkl = rng.standard_normal(eps.shape), rng.standard_normal(L.shape), rng.random(2)
    dmu_kl, draw_kl = posterior.kl_to_standard_normal_backward(dkl, mu, raw)
    dmu_z, dL_z = posterior.reparameterize_backward(dz, eps)
    for got, f, at, dy in [
        (posterior.root_backward(dL, raw), posterior.root, raw, dL),
        (dmu_z, lambda v: posterior.reparameterize(v, L, eps), mu, dz),
        (dL_z, lambda v: posterior.reparameterize(mu, v, eps), L, dz),
        (dmu_kl, lambda v: posterior.kl_to_standard_normal(v, raw), mu, dkl),
        (draw_kl, lambda v: posterior.kl_to_standard_normal(mu, v), raw, dkl),
    ]:
        true = vector_jacobian(f, at, dy, method)
        np.testing.assert_allclose(got, true, rtol=tolerance, atol=10 * tolerance)
