"""tinyvae.beyond.likelihoods against SciPy, mpmath, quadrature and differences."""

import mpmath as mp
import numpy as np
import pytest
import scipy.integrate
import scipy.stats
from hypothesis import given

from tests.strategies import rngs, sizes
from tinyvae import fit
from tinyvae.beyond import likelihoods
from tinyvae.beyond.likelihoods import ContinuousBernoulliVAE, GaussianVAE
from tinyvae.oracles import central_difference, complex_step, vector_jacobian
from tinyvae.train import silent

LOGITS = [0.0, 1e-300, 1e-12, -1e-6, 1e-3, 0.499, -0.501, 2.0, -36.7, 800.0]
methods = pytest.mark.parametrize(
    ("method", "tolerance"), [(central_difference, 1e-6), (complex_step, 1e-12)]
)


def exact(logit):
    """log C and the mean for a logit, from the definition"""
    with mp.workdps(700):
        a = mp.mpf(logit)
        if a == 0:
            return float(mp.log(2)), 0.5
        p = 1 / (1 + mp.exp(-a))
        C = 2 * mp.atanh(1 - 2 * p) / (1 - 2 * p) if abs(a) < 700 else abs(a)
        return float(mp.log(C)), float(1 / (1 - mp.exp(-a)) - 1 / a)


@pytest.mark.parametrize("logit", LOGITS)
def test_normaliser_and_mean_keep_their_digits(logit):
    log_C, mean = exact(logit)
    assert likelihoods.log_normalizer(np.array([logit]))[0] == pytest.approx(log_C, rel=2e-15)
    assert likelihoods.mean(np.array([logit]))[0] == pytest.approx(mean, rel=2e-15)


@pytest.mark.parametrize("logit", [-8.0, -0.3, 0.0, 1e-5, 4.0])
def test_density_integrates_to_one(logit):
    def density(x):
        return np.exp(-likelihoods.continuous_bernoulli_nll(np.array([[logit]]), np.array([[x]])))

    assert scipy.integrate.quad(lambda x: density(x)[0], 0, 1)[0] == pytest.approx(1, abs=1e-10)
    mean = scipy.integrate.quad(lambda x: x * density(x)[0], 0, 1)[0]
    assert likelihoods.mean(np.array([logit]))[0] == pytest.approx(mean, abs=1e-10)


@methods
@given(rng=rngs, batch=sizes, dim=sizes)
def test_continuous_bernoulli_backward(method, tolerance, rng, batch, dim):
    logits, x = 3 * rng.standard_normal((batch, dim)), rng.random((batch, dim))
    dnll = rng.standard_normal(batch)

    def forward(a):  # log of the integral of exp(a x) over [0, 1], minus a x
        return (np.log((np.exp(a) - 1) / a) - x * a).sum(axis=1)

    nll = likelihoods.continuous_bernoulli_nll(logits, x)
    np.testing.assert_allclose(nll, forward(logits), atol=1e-9)
    got = likelihoods.continuous_bernoulli_nll_backward(dnll, logits, x)
    true = vector_jacobian(forward, logits, dnll, method)
    np.testing.assert_allclose(got, true, rtol=tolerance, atol=max(tolerance, 1e-10) * 10)


@methods
@pytest.mark.parametrize("shared", [True, False])
@given(rng=rngs)
def test_gaussian_pair(method, tolerance, shared, rng):
    means, x = rng.standard_normal((2, 3, 4))
    logvar, dnll = rng.standard_normal(1 if shared else 4), rng.standard_normal(3)
    nll = likelihoods.gaussian_nll(means, logvar, x)
    true = -scipy.stats.norm(means, np.exp(logvar / 2)).logpdf(x).sum(axis=1)
    np.testing.assert_allclose(nll, true, rtol=1e-12)
    dmeans, dlogvar = likelihoods.gaussian_nll_backward(dnll, means, logvar, x)
    for got, f, at in [
        (dmeans, lambda v: likelihoods.gaussian_nll(v, logvar, x), means),
        (dlogvar, lambda v: likelihoods.gaussian_nll(means, v, x), logvar),
    ]:
        true = vector_jacobian(f, at, dnll, method)
        assert got.shape == true.shape
        np.testing.assert_allclose(got, true, rtol=tolerance, atol=10 * tolerance)


@pytest.mark.parametrize("kind", ["continuous", "gaussian", "gaussian, learned"])
def test_gradients_of_the_models(kind):
    rng = np.random.default_rng(4)
    cls = ContinuousBernoulliVAE if kind == "continuous" else GaussianVAE
    vae = cls.create(4, (3,), 2, rng=rng, dtype=np.float64)
    if kind.endswith("learned"):
        vae.params["noise_logvar"] = np.array([-0.7])
    for value in vae.params.values():
        value += rng.normal(0, 0.5, value.shape)
    x, eps = rng.random((5, 4)), rng.standard_normal((5, 2))
    loss, recon, kl, grads = vae.loss_and_grads(x, eps, beta=0.7)
    assert loss == pytest.approx(np.mean(recon + 0.7 * kl), rel=1e-14)
    np.testing.assert_allclose([recon, kl], vae.loss(x, eps), rtol=1e-13)
    assert grads.keys() == vae.params.keys()

    for name, value in vae.params.items():

        def forward(v, name=name):
            vae.params[name] = v
            return np.mean(np.array([1, 0.7]) @ vae.loss(x, eps))

        true = central_difference(forward, value)
        vae.params[name] = value
        np.testing.assert_allclose(grads[name], true, rtol=1e-6, atol=1e-8)


def test_learned_variance_ends_at_the_mean_squared_error():
    rng = np.random.default_rng(0)
    x = rng.random((100, 3))
    vae = GaussianVAE.create(3, (2,), 1, rng=rng, dtype=np.float64)
    vae.params["noise_logvar"] = np.zeros(1)
    fit(vae, x, epochs=300, learning_rate=2e-2, rng=rng, binarize=False, report=silent)
    spread = np.mean((x - vae.reconstruct(x)) ** 2)
    assert np.exp(vae.params["noise_logvar"][0]) == pytest.approx(spread, rel=0.05)
