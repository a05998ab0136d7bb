"""tinyvae.optim against the paper's algorithm, one number at a time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies import rngs
from tinyvae.optim import SGD, Adam


@given(rngs, st.floats(1e-4, 0.1), st.floats(0.5, 0.99), st.floats(0.9, 0.9999))
def test_adam_is_algorithm_1(rng, alpha, beta1, beta2):
    """Kingma and Ba, algorithm 1, written out for one scalar."""
    theta = theta_0 = float(rng.standard_normal())
    params = {"p": np.array([[theta]]), "still": np.ones(2)}
    adam = Adam(params, alpha, beta1, beta2)
    m = v = 0.0
    for t in range(1, 8):
        g = float(rng.standard_normal())
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        m_hat = m / (1 - beta1**t)
        v_hat = v / (1 - beta2**t)
        theta = theta - alpha * m_hat / (v_hat**0.5 + 1e-8)
        adam.step({"p": np.array([[g]]), "still": np.zeros(2)})
        assert params["p"][0, 0] == pytest.approx(theta, rel=1e-12, abs=1e-12)
    assert params["p"][0, 0] != theta_0
    assert np.array_equal(params["still"], np.ones(2))


def test_adams_first_step_is_the_learning_rate_whatever_the_gradient():
    """Without the bias correction it would be about 3.2 times that."""
    for g in (1e-3, 1.0, 1e3):
        params = {"p": np.zeros(1)}
        Adam(params, 0.01).step({"p": np.array([g])})
        assert params["p"][0] == pytest.approx(-0.01, rel=1e-4)


def test_sgd():
    params = {"p": np.array([1.0, 2.0])}
    SGD(params, 0.1).step({"p": np.array([10.0, -10.0])})
    np.testing.assert_allclose(params["p"], [0.0, 3.0], atol=1e-15)


@pytest.mark.parametrize("optimizer", [SGD, Adam])
def test_steps_are_in_place_and_keep_the_dtype(optimizer):
    p = np.ones(3, np.float32)
    optimizer({"p": p}, 0.1).step({"p": np.ones(3, np.float32)})
    assert p.dtype == np.float32
    assert np.all(p < 1)
