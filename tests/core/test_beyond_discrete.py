"""tinyvae.beyond.discrete against sums over the classes, differences and the complex step."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from tests.strategies import rngs, sizes
from tinyvae import fit
from tinyvae.beyond import discrete
from tinyvae.beyond.discrete import ClassVAE
from tinyvae.optim import Adam
from tinyvae.oracles import central_difference, complex_step, estimate, vector_jacobian
from tinyvae.train import silent

classes = st.integers(2, 5)
methods = pytest.mark.parametrize(
    ("method", "tolerance"), [(central_difference, 1e-6), (complex_step, 1e-11)]
)


@given(rngs, sizes, classes)
def test_softmax_and_kl_are_scipys(rng, batch, K):
    a = 3 * rng.standard_normal((batch, K))
    q = discrete.softmax(a)
    np.testing.assert_allclose(q, special.softmax(a, axis=-1), rtol=1e-12)
    np.testing.assert_allclose(
        discrete.kl_to_uniform(q), special.rel_entr(q, 1 / K).sum(axis=-1), rtol=1e-9, atol=1e-14
    )


def test_kl_of_a_known_class_is_log_K_and_of_the_prior_is_0():
    np.testing.assert_allclose(discrete.kl_to_uniform(np.eye(4)), np.log(4), rtol=1e-14)
    np.testing.assert_allclose(discrete.kl_to_uniform(np.full((1, 4), 0.25)), 0, atol=1e-14)


@methods
def test_each_backward_is_the_derivative_of_its_forward(method, tolerance):
    rng = np.random.default_rng(0)
    a, g, x = rng.standard_normal((3, 4)), rng.gumbel(size=(3, 4)), rng.random((3, 5)) < 0.5
    q, dq, dkl = discrete.softmax(a), rng.standard_normal((3, 4)), rng.standard_normal(3)
    y = discrete.gumbel_softmax(a, g, 0.7)
    W, b, dnll = rng.standard_normal((4, 5)), rng.standard_normal(5), rng.standard_normal((3, 4))
    x = x.astype(float)
    for backward, forward, at, upstream in (
        (discrete.softmax_backward(dq, q), discrete.softmax, a, dq),
        (discrete.gumbel_softmax_backward(dq, y, 0.7),
         lambda a: discrete.gumbel_softmax(a, g, 0.7), a, dq),
        (discrete.kl_to_uniform_backward(dkl, q), discrete.kl_to_uniform, q, dkl),
    ):  # fmt: skip
        expected = vector_jacobian(forward, at, upstream, method)
        np.testing.assert_allclose(backward, expected, rtol=tolerance, atol=tolerance)
    if method is central_difference:  # logaddexp is not for complex numbers
        dW, db = discrete.nll_each_backward(dnll, x, W, b)
        expected = vector_jacobian(lambda W: discrete.nll_each(x, W, b), W, dnll, method)
        np.testing.assert_allclose(dW, expected, rtol=1e-6, atol=1e-7)
        expected = vector_jacobian(lambda b: discrete.nll_each(x, W, b), b, dnll, method)
        np.testing.assert_allclose(db, expected, rtol=1e-6, atol=1e-7)


@given(rngs, sizes, classes, sizes)
def test_nll_of_each_class_is_the_bernoullis(rng, batch, K, D):
    x, W, b = rng.integers(0, 2, (batch, D)), rng.standard_normal((K, D)), rng.standard_normal(D)
    expected = -stats.bernoulli.logpmf(x[:, None], special.expit(W + b)).sum(axis=-1)
    np.testing.assert_allclose(discrete.nll_each(x.astype(float), W, b), expected, rtol=1e-10)


def a_model(rng, D=5, K=3):
    model = ClassVAE.create(D, K, rng=rng, scale=0.7)
    for name in ("encoder.b", "decoder.b"):
        model.params[name] = rng.standard_normal(model.params[name].shape)
    return model, rng.integers(0, 2, (6, D)).astype(float)


def test_elbo_and_gap_add_up_to_log_px():
    model, x = a_model(np.random.default_rng(1))
    recon, kl = model.loss(x)
    logits = model.params["decoder.W"] + model.params["decoder.b"]
    joint = stats.bernoulli.logpmf(x[:, None], special.expit(logits)).sum(axis=-1) - np.log(3)
    log_px = special.logsumexp(joint, axis=-1)
    posterior = np.exp(joint - log_px[:, None])
    gap = special.rel_entr(model.encode(x), posterior).sum(axis=-1)
    np.testing.assert_allclose(model.log_px(x), log_px, rtol=1e-12)
    np.testing.assert_allclose(-(recon + kl) + gap, log_px, rtol=1e-12)


@pytest.mark.parametrize("labels", [None, np.array([0, -1, 2, -1, 1, -1])])
@pytest.mark.parametrize("beta", [1.0, 0.3])
def test_gradient_of_every_parameter_is_the_difference_quotient(labels, beta):
    model, x = a_model(np.random.default_rng(2))
    loss, recon, kl, grads = model.loss_and_grads(x, beta=beta, labels=labels)
    assert loss == pytest.approx(np.mean(recon + beta * kl), rel=1e-12)
    for name, p in model.params.items():

        def loss_at(value, name=name):
            other = ClassVAE(model.params | {name: value})
            return other.loss_and_grads(x, beta=beta, labels=labels)[0]

        expected = central_difference(loss_at, p)
        np.testing.assert_allclose(grads[name], expected, rtol=1e-6, atol=1e-8)


def test_known_label_is_the_joint_density():
    model, x = a_model(np.random.default_rng(3))
    labels = np.array([0, 1, 2, 0, 1, 2])
    _, recon, kl, _ = model.loss_and_grads(x, labels=labels)
    rows = np.arange(6)
    nll = discrete.nll_each(x, model.params["decoder.W"], model.params["decoder.b"])
    np.testing.assert_allclose(recon, nll[rows, labels], rtol=1e-12)
    np.testing.assert_allclose(kl, -np.log(model.encode(x)[rows, labels]), rtol=1e-12)


def test_score_function_is_right_on_average_for_every_baseline():
    rng = np.random.default_rng(4)
    a, f = rng.standard_normal(4), rng.standard_normal(4)
    q, z = discrete.softmax(a), np.eye(4)
    exact = discrete.softmax_backward(f, q)
    for baseline in (0.0, 1.7, -3.0):
        mean = (q[:, None] * discrete.score_gradient(f, z, q, baseline)).sum(axis=0)
        np.testing.assert_allclose(mean, exact, rtol=1e-12)


def test_class_of_a_gumbel_softmax_is_drawn_from_q():
    rng = np.random.default_rng(5)
    a = rng.standard_normal(4)
    y = discrete.gumbel_softmax(a, rng.gumbel(size=(100_000, 4)), 1e-3)
    for share, q in zip(y.T, discrete.softmax(a), strict=True):
        frequency = estimate(share)
        assert abs(frequency.mean - q) < 5 * frequency.standard_error


def test_fit_trains_it():
    rng = np.random.default_rng(6)
    x = np.repeat(np.eye(4), 30, axis=0)
    model = ClassVAE.create(4, 4, rng=rng)
    before = model.log_px(x).mean()
    history = fit(model, x, epochs=60, rng=rng, optimizer=Adam(model.params, 0.05), report=silent)
    assert model.log_px(x).mean() > before + 0.5
    assert history[-1]["elbo"] <= model.log_px(x).mean() + 1e-6
