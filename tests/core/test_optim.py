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


@pytest.mark.parametrize("dtype, least", [(np.float32, 1.1e-19), (np.float64, 1e-30)])
@pytest.mark.parametrize("g", [1e-35, 1e-23, 1e-19, 1e-12, 1.0])
def test_adams_first_step_is_right_with_the_smallest_tiny_that_is_taken(dtype, least, g):
    """g / (|g| + tiny): where the square of g underflows, tiny must carry the quotient alone."""
    g = float(dtype(g))
    params = {"p": np.zeros(1, dtype)}
    Adam(params, 1e-3, tiny=least).step({"p": np.array([g], dtype)})
    assert params["p"][0] == pytest.approx(-1e-3 * g / (g + least), rel=2e-3)


@pytest.mark.parametrize(
    "dtype, tiny", [(np.float32, 1e-30), (np.float32, 1e-19), (np.float64, 9e-31)]
)
def test_a_tiny_that_the_precision_does_not_hold_is_refused(dtype, tiny):
    """In float32 it would have made a step of -10000 of a gradient of 1e-23."""
    with pytest.raises(ValueError, match="tiny must be a number"):
        Adam({"p": np.zeros(1, dtype)}, tiny=tiny)
