"""What is fast finds what is to be read."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies import rngs
from tinyvae import VAE, bernoulli, fast, fit
from tinyvae.optim import SGD, Adam
from tinyvae.train import silent

DTYPES = [np.float32, np.float64]


def trained(dtype, kind, wrapped, monkeypatch):
    monkeypatch.setattr(fast, "BLOCK", 7)  # so that a small model has many blocks
    rng = np.random.default_rng(0)
    model = VAE.create(9, (6, 5), 2, rng=rng, dtype=dtype)
    optimizer = kind(model.params, 1e-2)
    x = rng.random((30, 9)).astype(dtype)
    wrap = fast.InBlocks if wrapped else lambda same: same
    history = fit(
        model, x, epochs=3, batch_size=8, rng=rng, optimizer=wrap(optimizer), report=silent
    )
    return model.params, optimizer, history


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", [Adam, SGD])
def test_a_training_in_blocks_has_the_same_bits(dtype, kind, monkeypatch):
    params, optimizer, history = trained(dtype, kind, True, monkeypatch)
    true_params, true_optimizer, true_history = trained(dtype, kind, False, monkeypatch)
    assert history == true_history
    assert optimizer.t == true_optimizer.t == 12
    for name in params:
        assert np.array_equal(params[name], true_params[name])
        for moment in optimizer.moments:
            got, true = optimizer.moments[moment][name], true_optimizer.moments[moment][name]
            assert np.array_equal(got, true)


def test_a_parameter_without_a_flat_view_is_one_block():
    for order in "C", "F":
        p = {"p": np.asarray(np.arange(6.0).reshape(2, 3), order=order)[:, ::2]}
        fast.InBlocks(SGD(p, 1.0)).step({"p": np.ones((2, 2))})
        assert np.array_equal(p["p"], [[-1, 1], [2, 4]])


def test_a_gradient_of_another_shape_is_refused():
    params = {"p": np.ones((2, 3))}
    with pytest.raises(ValueError, match=r"the gradient of p has shape \(3, 2\).*\(2, 3\)"):
        fast.InBlocks(Adam(params)).step({"p": np.ones((3, 2))})
    assert np.array_equal(params["p"], np.ones((2, 3)))


@pytest.mark.parametrize("dtype, tolerance", [(np.float32, 1e-5), (np.float64, 1e-12)])
@given(rng=rngs, batch=st.integers(1, 5), pixels=st.integers(1, 70), power=st.floats(-3, 3))
def test_both_bernoulli_terms_are_the_pair(dtype, tolerance, rng, batch, pixels, power):
    logits = (10**power * rng.standard_normal((batch, pixels))).astype(dtype)
    x = rng.integers(0, 2, (batch, pixels)).astype(dtype)
    nll, slope = fast.nll_and_slope(logits, x)
    np.testing.assert_allclose(nll, bernoulli.nll(logits, x), rtol=tolerance)
    true = bernoulli.nll_backward(np.ones(batch, dtype), logits, x)
    np.testing.assert_allclose(slope, true, rtol=0, atol=tolerance)
    assert nll.dtype == slope.dtype == dtype


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("logit", [0.0, 1e-3, 5.0, 10.0, 16.0, 20.0, 30.0, 40.0, 80.0])
@pytest.mark.parametrize("x", [0.0, 1.0])
@pytest.mark.parametrize("sign", [-1, 1])
def test_sure_pixels_keep_their_digits(dtype, logit, x, sign):
    """63 times log(1 + exp(a)) - x a, and the slope, to a few roundings."""
    a = float(dtype(sign * logit))
    logits, pixels = np.full((2, 63), a, dtype), np.full((2, 63), x, dtype)
    with mp.workdps(50):
        each = mp.log1p(mp.exp(a)) - x * mp.mpf(a)
        true, slope = float(63 * each), float(1 / (1 + mp.exp(-a)) - mp.mpf(x))
    rounding = 20 * float(np.finfo(dtype).eps)
    got, got_slope = fast.nll_and_slope(logits, pixels)
    np.testing.assert_allclose(got, true, rtol=rounding)
    np.testing.assert_allclose(got_slope, slope, rtol=rounding)
    np.testing.assert_allclose(bernoulli.nll(logits, pixels), true, rtol=rounding)
    dlogits = bernoulli.nll_backward(np.ones(2, dtype), logits, pixels)
    np.testing.assert_allclose(dlogits, slope, rtol=0, atol=rounding)


def test_a_grey_pixel_and_a_large_logit_keep_their_digits():
    """a - x a = (1 - x) a without a difference of large numbers"""
    logits, x = np.float32([[1e4]]), np.float32([[1 - 2**-20]])
    for nll in (bernoulli.nll(logits, x), fast.nll_and_slope(logits, x)[0]):
        assert nll[0] == pytest.approx(1e4 * 2**-20, rel=1e-6)
