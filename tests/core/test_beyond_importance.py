"""tinyvae.beyond.importance against differences, the complex step, and the mathematics."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies import rngs, sizes
from tinyvae import VAE, bernoulli, evaluate, fit, gaussian
from tinyvae.beyond import importance
from tinyvae.beyond.importance import ImportanceWeighted
from tinyvae.oracles import (
    central_difference,
    complex_step,
    log_density,
    log_mean_exp,
    standard_normal_grid,
    vector_jacobian,
)
from tinyvae.train import silent

methods = pytest.mark.parametrize(
    ("method", "tolerance"), [(central_difference, 1e-6), (complex_step, 1e-12)]
)


def draws(rng, samples=3, batch=2, width=2):
    mu, logvar = rng.standard_normal((2, batch, width))
    eps = rng.standard_normal((samples, batch, width))
    recon = rng.standard_normal((samples, batch)) + 3
    return mu, logvar, eps, recon, gaussian.reparameterize(mu, logvar, eps)


@given(rngs, sizes, sizes, sizes)
def test_log_weights_are_three_densities(rng, samples, batch, width):
    mu, logvar, eps, recon, z = draws(rng, samples, batch, width)
    log_w = importance.log_weights(recon, z, logvar, eps)
    for s, b in np.ndindex(samples, batch):
        log_prior = log_density(z[s, b], np.zeros(width), np.eye(width))
        log_q = log_density(z[s, b], mu[b], np.diag(np.exp(logvar[b])))
        assert log_w[s, b] == pytest.approx(-recon[s, b] + log_prior - log_q, rel=1e-10, abs=1e-10)


@methods
@given(rng=rngs)
def test_log_weights_backward(method, tolerance, rng):
    _, logvar, eps, recon, z = draws(rng)
    dlog_w = rng.standard_normal(recon.shape)
    forward = {
        0: lambda v: importance.log_weights(v, z, logvar, eps),
        1: lambda v: importance.log_weights(recon, v, logvar, eps),
        2: lambda v: importance.log_weights(recon, z, v, eps),
    }
    grads = importance.log_weights_backward(dlog_w, z)
    for i, at in enumerate([recon, z, logvar]):
        true = vector_jacobian(forward[i], at, dlog_w, method)
        np.testing.assert_allclose(grads[i], true, rtol=tolerance, atol=tolerance)


@given(rngs, sizes, sizes)
def test_bound_is_the_log_of_the_mean(rng, samples, batch):
    log_w = 30 * rng.standard_normal((samples, batch)) - 800
    true = log_mean_exp(log_w, axis=0)
    np.testing.assert_allclose(importance.bound(log_w), true, rtol=1e-14)


@methods
@given(rng=rngs, samples=sizes)
def test_bound_backward(method, tolerance, rng, samples):
    log_w, dbound = 3 * rng.standard_normal((samples, 2)), rng.standard_normal(2)
    true = vector_jacobian(lambda v: np.log(np.exp(v).mean(axis=0)), log_w, dbound, method)
    got = importance.bound_backward(dbound, log_w)
    np.testing.assert_allclose(got, true, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(got.sum(axis=0), dbound, rtol=1e-12)  # weights add up to 1


def model(rng, latent_dim=1, samples=2, doubly=False):
    vae = VAE.create(3, (3,), latent_dim, rng=rng, dtype=np.float64)
    for value in vae.params.values():
        value[...] = rng.normal(0, 0.5, value.shape)
    return ImportanceWeighted(vae, samples, doubly)


def plain_loss(p, x, eps):
    """mean(-L_S), written anew in plain NumPy; eps (B, S, Z)"""
    h = np.tanh(x @ p["encoder.0.W"] + p["encoder.0.b"])
    mu, logvar = h @ p["mu.W"] + p["mu.b"], h @ p["logvar.W"] + p["logvar.b"]
    total = 0
    for b in range(len(x)):
        z = mu[b] + np.exp(logvar[b] / 2) * eps[b]
        g = np.tanh(z @ p["decoder.0.W"] + p["decoder.0.b"])
        a = g @ p["logits.W"] + p["logits.b"]
        log_px = (x[b] * a - np.log(1 + np.exp(a))).sum(axis=1)
        log_prior = -0.5 * (z**2 + np.log(2 * np.pi)).sum(axis=1)
        log_q = -0.5 * ((z - mu[b]) ** 2 / np.exp(logvar[b]) + logvar[b] + np.log(2 * np.pi))
        total = total - np.log(np.mean(np.exp(log_px + log_prior - log_q.sum(axis=1))))
    return total / len(x)


@methods
@given(rng=rngs)
def test_gradient_of_the_bound(method, tolerance, rng):
    iwae = model(rng, latent_dim=2, samples=3)
    x, eps = (rng.random((2, 3)) < 0.5).astype(float), rng.standard_normal((2, 3, 2))
    loss, recon, kl, grads = iwae.loss_and_grads(x, eps.reshape(2, 6))
    assert loss == pytest.approx(plain_loss(iwae.params, x, eps), rel=1e-12)
    assert loss == pytest.approx(recon.mean(), rel=1e-14) and not kl.any()
    assert grads.keys() == iwae.params.keys()
    for name, value in iwae.params.items():
        f = lambda v, name=name: plain_loss(iwae.params | {name: v}, x, eps)  # noqa: E731
        np.testing.assert_allclose(grads[name], method(f, value), rtol=tolerance, atol=tolerance)


def test_one_weight_is_the_vae_with_a_sampled_kl():
    rng = np.random.default_rng(0)
    iwae, x = model(rng, samples=1), np.ones((500, 3))
    eps = rng.standard_normal((500, 1))
    recon, kl = iwae.vae.loss(x, eps)
    gap = -iwae.loss(x, eps)[0] + recon + kl
    assert abs(gap.mean()) < 5 * gap.std() / np.sqrt(500)


@pytest.mark.parametrize("samples", [1, 2])
def test_gradient_without_the_score_has_the_same_expectation(samples):
    """Both gradients, averaged over all noise by quadrature: encoder and decoder."""
    rng = np.random.default_rng(3)
    nodes, log_weights = standard_normal_grid(40, dim=samples)
    weights, x = np.exp(log_weights), np.repeat([[1.0, 0.0, 1.0]], len(nodes), axis=0)
    plain, doubly = model(rng, samples=samples), model(rng, samples=samples, doubly=True)
    doubly.params.update(plain.params)
    means = []
    for iwae in (plain, doubly):
        rows = [iwae.loss_and_grads(x[:1], node[None])[3] for node in nodes]
        names = [*iwae.params]
        means.append({n: sum(w * r[n] for w, r in zip(weights, rows, strict=True)) for n in names})
    for name in means[0]:
        np.testing.assert_allclose(means[0][name], means[1][name], rtol=1e-3, atol=1e-4)


def test_without_score_has_no_variance_at_the_posterior():
    """p(z|x) = q for p(z) = N(0, 1), x = z + noise: the slope of log w is 0 at every z."""
    noise_var, x = 0.5, 2.0
    var = noise_var / (1 + noise_var)
    mu, logvar = np.full((1, 1), x / (1 + noise_var)), np.full((1, 1), np.log(var))
    eps = np.random.default_rng(0).standard_normal((7, 1, 1))
    z = gaussian.reparameterize(mu, logvar, eps)
    slope = importance.log_weights_slope((z - x) / noise_var, z, logvar, eps)
    assert np.abs(slope).max() < 1e-14


@methods
@given(rng=rngs)
def test_log_weights_slope(method, tolerance, rng):
    mu, logvar, eps, _, z = draws(rng)
    got = importance.log_weights_slope(2 * z, z, logvar, eps)  # recon = z^2

    def log_w(v):
        log_q = -0.5 * ((v - mu) ** 2 / np.exp(logvar) + logvar)
        return (-(v**2) - 0.5 * v**2 - log_q).sum()

    np.testing.assert_allclose(got, method(log_w, z), rtol=tolerance, atol=10 * tolerance)


def test_fit_trains_on_the_bound():
    rng = np.random.default_rng(0)
    x = (rng.random((200, 6)) < np.array([0.9, 0.9, 0.9, 0.1, 0.1, 0.5])).astype(np.float64)
    vae = VAE.create(6, (8,), 1, rng=rng, dtype=np.float64)
    before = evaluate.log_likelihood(vae, x, rng, 50).mean()
    history = fit(
        ImportanceWeighted(vae, 5, doubly=True),
        x, epochs=30, learning_rate=1e-2, rng=rng, report=silent,
    )  # fmt: skip
    after = evaluate.log_likelihood(vae, x, rng, 50).mean()
    assert after > before + 0.5
    assert history[-1]["elbo"] == pytest.approx(after, abs=0.1)


@pytest.mark.parametrize("shape", [0.2, 0.5, 0.7, 1.0])
def test_pareto_k_finds_the_shape_of_a_pareto_tail(shape):
    rng = np.random.default_rng(5)
    found = [
        importance.pareto_k(np.log(scipy.stats.genpareto(shape).rvs(20_000, random_state=rng)))
        for _ in range(50)
    ]
    # the prior pulls to 1/2 by 10 in n + 10 draws of the tail
    assert np.mean(found) == pytest.approx(shape, abs=0.02)


def test_pareto_k_does_not_depend_on_the_scale():
    log_w = np.random.default_rng(0).standard_t(3, 1000)
    k = importance.pareto_k(log_w)
    assert importance.pareto_k(log_w - 1e4) == pytest.approx(k, rel=1e-8)


def test_nll_of_many_draws_is_that_of_each():
    """What the wrapper asks of the Bernoulli: rows of S B logits against tiled pixels."""
    rng = np.random.default_rng(0)
    logits, x = rng.standard_normal((3, 2, 4)), (rng.random((2, 4)) < 0.5).astype(float)
    tiled = bernoulli.nll(logits.reshape(6, 4), np.tile(x, (3, 1))).reshape(3, 2)
    np.testing.assert_allclose(tiled, bernoulli.nll(logits, x), rtol=1e-14)


@given(st.integers(1, 5))
def test_doubly_is_plain_where_no_weight_is_left(samples):
    """Weights of 0 add nothing, and no NaN."""
    log_w = np.full((samples + 1, 1), -np.inf)
    log_w[0] = 0
    ones = np.ones((samples + 1, 1, 1))
    dmu, _ = importance.without_score(np.ones(1), log_w, ones, np.zeros((1, 1)), ones)
    assert dmu == 1
