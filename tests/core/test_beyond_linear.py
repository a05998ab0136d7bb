"""tinyvae.beyond.linear against the oracles: the closed form, differences, the complex step."""

import numpy as np
import pytest
from hypothesis import given

from tests.strategies import rngs, sizes
from tinyvae import fit
from tinyvae.beyond import linear
from tinyvae.beyond.linear import LinearVAE
from tinyvae.optim import Adam
from tinyvae.oracles import (
    LinearGaussian,
    central_difference,
    complex_step,
    expectation,
    principal,
    reverse_water_filling,
    vector_jacobian,
)
from tinyvae.train import silent

methods = pytest.mark.parametrize(
    ("method", "tolerance"), [(central_difference, 1e-6), (complex_step, 1e-12)]
)


def arguments(rng, batch=3, data_dim=4, latent_dim=2):
    return [
        rng.standard_normal((batch, data_dim)),
        rng.standard_normal((batch, latent_dim)),
        rng.standard_normal(latent_dim),
        rng.standard_normal((latent_dim, data_dim)),
        rng.standard_normal(data_dim),
        rng.standard_normal(1),
    ]


@given(rngs, sizes, sizes, sizes)
def test_expected_nll_is_the_oracles(rng, batch, data_dim, latent_dim):
    x, mu, logvar, W, b, noise = arguments(rng, batch, data_dim, latent_dim)
    model = LinearGaussian(W.T, b, float(np.exp(noise[0])))
    cov = np.diag(np.exp(logvar))
    got = linear.expected_nll(x, mu, logvar, W, b, noise)
    np.testing.assert_allclose(got, -model.expected_log_px_given_z(x, mu, cov), rtol=1e-11)
    drawn = [expectation(lambda z, x=x[i]: -model.log_px_given_z(x, z), mu[i], cov) for i in [0]]
    np.testing.assert_allclose(got[:1], drawn, rtol=1e-9)


@methods
@given(rng=rngs)
def test_expected_nll_backward(method, tolerance, rng):
    given_, dnll = arguments(rng), rng.standard_normal(3)
    grads = linear.expected_nll_backward(dnll, *given_)
    for i, got in enumerate(grads, start=1):
        f = lambda v, i=i: linear.expected_nll(*given_[:i], v, *given_[i + 1 :])  # noqa: E731
        true = vector_jacobian(f, given_[i], dnll, method)
        np.testing.assert_allclose(got, true, rtol=tolerance, atol=10 * tolerance)


def test_free_bits_pay_above_the_floor_only():
    kl = np.array([[0.1, 2.0], [0.5, 4.0]])
    assert linear.free_bits(kl, 0.0) == kl.mean(axis=0).sum()
    assert linear.free_bits(kl, 1.0) == 4.0
    true = central_difference(lambda v: linear.free_bits(v, 1.0), kl)
    np.testing.assert_allclose(linear.free_bits_backward(1.0, kl, 1.0), true, atol=1e-9)


@methods
@pytest.mark.parametrize("noise_var", [None, 0.4])
@pytest.mark.parametrize("floor", [0.0, 0.3])
@given(rng=rngs)
def test_gradients_of_the_model(method, tolerance, noise_var, floor, rng):
    vae = LinearVAE.create(4, 2, rng=rng, noise_var=noise_var, floor=floor, scale=0.5)
    for value in vae.params.values():
        value += rng.normal(0, 0.5, value.shape)
    x = rng.standard_normal((5, 4))

    def loss(p):  # written anew, in plain NumPy
        mu, var = x @ p["V"] + p["c"], np.exp(p["logvar"])
        s2 = np.exp(p.get("noise_logvar", vae.noise_logvar))
        squares = ((x - mu @ p["W"] - p["b"]) ** 2).sum(axis=1) + var @ (p["W"] ** 2).sum(axis=1)
        recon = np.mean(squares / s2 / 2) + 2 * np.log(2 * np.pi * s2[0])
        kl = 0.5 * (mu**2 + var - 1 - p["logvar"]).mean(axis=0)
        return recon + 1.7 * np.where(kl.real > floor, kl, floor).sum()

    value, recon, kl, grads = vae.loss_and_grads(x, None, beta=1.7)
    assert value == pytest.approx(float(loss(vae.params)), rel=1e-12)
    np.testing.assert_allclose([recon, kl], vae.loss(x), rtol=1e-12)
    assert grads.keys() == vae.params.keys()
    for name, at in vae.params.items():
        true = method(lambda v, name=name: loss(vae.params | {name: v}), at)
        np.testing.assert_allclose(grads[name], true, rtol=10 * tolerance, atol=10 * tolerance)


def data(rng, variances, rows=400):
    """Rows with exactly these variances along random axes, and a mean in the middle of [0, 1]"""
    width = len(variances)
    raw = rng.standard_normal((rows, width))
    raw = np.linalg.qr(raw - raw.mean(axis=0))[0] * np.sqrt(rows)
    axes, _ = np.linalg.qr(rng.standard_normal((width, width)))
    return raw * np.sqrt(variances) @ axes.T


def trained(vae, x, beta=1.0, steps=4000):
    optimizer = Adam(vae.params, 1e-2)
    for step in range(steps):
        optimizer.learning_rate = 1e-2 * min(1, 3 * (1 - step / steps))
        optimizer.step(vae.loss_and_grads(x, None, beta)[3])
    return vae


def test_training_ends_at_the_closed_form_with_nothing_lost():
    rng = np.random.default_rng(0)
    x = data(rng, np.array([4.0, 2.0, 0.5, 0.3, 0.1]))
    vae = trained(LinearVAE.create(5, 2, rng=rng), x)
    best = principal(x, 2)
    loss = vae.loss_and_grads(x)[0]
    assert loss == pytest.approx(-best.log_px(x).mean(), abs=1e-6)
    assert np.exp(vae.params["noise_logvar"][0]) == pytest.approx(best.noise_var, rel=1e-3)
    gram = vae.params["W"].T @ vae.params["W"]
    np.testing.assert_allclose(gram, best.W @ best.W.T, atol=1e-3)


@pytest.mark.parametrize("beta", [0.5, 1.0, 4.0])
def test_rate_and_distortion_fill_water_in_reverse(beta):
    rng = np.random.default_rng(1)
    variances = np.array([4.0, 2.0, 0.5, 0.3, 0.1])
    x = data(rng, variances)
    vae = trained(LinearVAE.create(5, 5, rng=rng, noise_var=0.4), x, beta)
    _, kl = vae.loss(x)
    recon, _ = vae.loss(x)
    rates, distortions = reverse_water_filling(variances, 0.4 * beta)
    assert kl.mean() == pytest.approx(rates.sum(), abs=1e-3)
    distortion = 0.4 * (2 * recon.mean() - 5 * np.log(2 * np.pi * 0.4))
    assert distortion == pytest.approx(distortions.sum(), abs=1e-3)


def test_fit_takes_it():
    rng = np.random.default_rng(2)
    x = 0.5 + 0.1 * data(rng, np.array([3.0, 0.5, 0.2])).clip(-4, 4)
    vae = LinearVAE.create(3, 1, rng=rng)
    fit(vae, x, epochs=1500, batch_size=400, learning_rate=1e-2, rng=rng, binarize=False,
        report=silent)  # fmt: skip
    assert vae.loss_and_grads(x)[0] == pytest.approx(-principal(x, 1).log_px(x).mean(), abs=1e-3)
