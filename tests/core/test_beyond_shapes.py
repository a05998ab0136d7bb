"""What the functions of tinyvae.beyond refuse, and that they keep float32."""

import numpy as np
import pytest

from tinyvae.beyond import importance, likelihoods, linear, posterior
from tinyvae.beyond.importance import ImportanceWeighted
from tinyvae.beyond.likelihoods import ContinuousBernoulliVAE, GaussianVAE
from tinyvae.vae import VAE

ONE = np.ones((2, 3))
REFUSED = [
    (lambda: importance.bound_backward(np.ones(3), np.ones((5, 2))), r"log_w has shape \(5, 2\)"),
    (lambda: importance.log_weights(ONE, ONE, ONE, ONE), r"z has shape \(2, 3\)"),
    (lambda: importance.pareto_k(ONE), r"log_w has shape \(2, 3\)"),
    (lambda: linear.free_bits(np.ones(3), 0.1), r"kl has shape \(3,\)"),
    (
        lambda: linear.expected_nll(ONE, ONE, np.ones(3), ONE, np.ones(3), np.ones(1)),
        r"W has shape \(2, 3\)",
    ),
    (lambda: likelihoods.continuous_bernoulli_nll(ONE, np.ones((2, 1))), r"x has shape \(2, 1\)"),
    (lambda: likelihoods.gaussian_nll(ONE, np.ones((1, 1)), ONE), r"logvar has shape \(1, 1\)"),
    (lambda: posterior.root(ONE), r"raw has shape \(2, 3\)"),
    (
        lambda: posterior.kl_to_standard_normal(ONE, np.ones((2, 2, 2))),
        r"raw has shape \(2, 2, 2\)",
    ),
    (lambda: likelihoods.mean("0.5"), "logits must hold numbers"),
]


@pytest.mark.parametrize(("call", "says"), REFUSED)
def test_shapes_that_do_not_fit_are_refused_by_name(call, says):
    with pytest.raises(ValueError, match=says):
        call()


@pytest.mark.parametrize("kind", [VAE, ContinuousBernoulliVAE, GaussianVAE])
def test_models_keep_float32(kind):
    rng = np.random.default_rng(0)
    model = kind.create(4, (3,), 2, rng=rng)
    x, eps = rng.integers(0, 2, (5, 4)).astype("f4"), rng.standard_normal((5, 6), dtype="f4")
    model, eps = (ImportanceWeighted(model, 3, True), eps) if kind is VAE else (model, eps[:, :2])
    loss, recon, _, grads = model.loss_and_grads(x, eps)
    assert loss.dtype == recon.dtype == np.float32
    assert {d.dtype for d in grads.values()} == {np.dtype("f4")}


def test_functions_keep_float32():
    ones = np.ones((2, 3), "f4")
    square = np.ones((2, 3, 3), "f4")
    for value in [
        likelihoods.continuous_bernoulli_nll(ones, ones),
        likelihoods.gaussian_nll(ones, ones[0], ones),
        likelihoods.mean(ones),
        linear.expected_nll(ones, ones, ones[0], square[0], ones[0], ones[0, :1]),
        posterior.root(square),
        posterior.kl_to_standard_normal(ones, square),
        importance.bound(ones),
    ]:
        assert value.dtype == np.float32
