"""tinyvae.bernoulli against SciPy, mpmath and differences."""

import mpmath as mp
import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies import rngs, sizes
from tinyvae import bernoulli, fast
from tinyvae.oracles import central_difference, complex_step, vector_jacobian


def pixels(rng, *shape):
    return (rng.random(shape) < 0.5).astype(float)


@given(rngs, sizes, sizes)
def test_nll_matches_scipy(rng, batch, dim):
    logits, x = rng.standard_normal((batch, dim)), pixels(rng, batch, dim)
    true = -scipy.stats.bernoulli(1 / (1 + np.exp(-logits))).logpmf(x).sum(axis=1)
    np.testing.assert_allclose(bernoulli.nll(logits, x), true, rtol=1e-12)


def test_probabilities_of_all_images_sum_to_one():
    logits = np.random.default_rng(0).standard_normal(4)
    images = np.array(np.meshgrid(*[[0.0, 1.0]] * 4)).reshape(4, -1).T
    total = np.exp(-bernoulli.nll(np.broadcast_to(logits, images.shape), images)).sum()
    assert total == pytest.approx(1, abs=1e-14)


@pytest.mark.parametrize("logit", [-1e4, -700.0, -36.7, -1.0, 0.0, 1e-9, 2.0, 36.7, 745.0, 1e4])
@pytest.mark.parametrize("x", [0.0, 1.0])
def test_nll_keeps_its_digits_at_any_logit(logit, x):
    true = mp.log(1 + mp.exp(mp.mpf(logit))) - x * mp.mpf(logit)
    with mp.workdps(9000):  # 1 + exp(-1e4) has 4343 zeros after its 1
        true = mp.log(1 + mp.exp(mp.mpf(logit))) - x * mp.mpf(logit)
    got = bernoulli.nll([logit], [x])
    assert got == pytest.approx(float(true), rel=4e-16, abs=1e-300)
    (dlogit,) = bernoulli.nll_backward(1.0, [logit], [x])
    assert np.isfinite(dlogit)
    # p - x = 1 / (1 + exp(-a)) at x = 0, and -1 / (1 + exp(a)) at x = 1
    sign = 1 - 2 * x
    with mp.workdps(9000):
        true = sign / (1 + mp.exp(-sign * mp.mpf(logit)))
    assert dlogit == pytest.approx(float(true), rel=1e-15, abs=2e-16)


@given(rngs, sizes, sizes)
def test_nll_backward(rng, batch, dim):
    logits, x = rng.standard_normal((batch, dim)), pixels(rng, batch, dim)
    dnll = rng.standard_normal(batch)
    dlogits = bernoulli.nll_backward(dnll, logits, x)
    by_difference = vector_jacobian(lambda a: bernoulli.nll(a, x), logits, dnll, central_difference)
    np.testing.assert_allclose(dlogits, by_difference, rtol=1e-6, atol=1e-8)
    # The forward uses max and abs, so the complex step goes through the definition instead.
    by_complex_step = vector_jacobian(
        lambda a: (np.log(1 + np.exp(a)) - x * a).sum(axis=1), logits, dnll, complex_step
    )
    np.testing.assert_allclose(dlogits, by_complex_step, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-5), (np.float64, 1e-12)])
@given(rng=rngs, batch=sizes, dim=st.integers(1, 900), power=st.floats(-2, 4))
def test_nll_and_slope_is_the_pair(dtype, tolerance, rng, batch, dim, power):
    logits = (10**power * rng.standard_normal((batch, dim))).astype(dtype)
    x = rng.random((batch, dim)).astype(dtype)  # greys too
    nll, slope = fast.nll_and_slope(logits, x)
    assert nll.dtype == slope.dtype == dtype
    np.testing.assert_allclose(nll, bernoulli.nll(logits, x), rtol=tolerance, atol=tolerance)
    pair = bernoulli.nll_backward(np.ones(batch, dtype), logits, x)
    np.testing.assert_allclose(slope, pair, rtol=tolerance, atol=tolerance)


def test_many_z_for_one_x():
    rng = np.random.default_rng(0)
    logits, x = rng.standard_normal((5, 3, 4)), pixels(rng, 3, 4)
    assert bernoulli.nll(logits, x).shape == (5, 3)
    np.testing.assert_allclose(bernoulli.nll(logits, x)[2], bernoulli.nll(logits[2], x), rtol=1e-15)
    assert bernoulli.nll(logits, x[0]).shape == (5, 3)


def test_nll_follows_float32():
    assert bernoulli.nll(np.zeros((2, 3), np.float32), np.ones((2, 3), np.float32)).dtype == "f4"


def test_silent_broadcasting_is_refused():
    with pytest.raises(ValueError, match=r"logits has shape \(4, 3\).*\(4, 1\)"):
        bernoulli.nll(np.zeros((4, 3)), np.zeros((4, 1)))
    with pytest.raises(ValueError, match=r"dnll has shape \(4, 1\)"):
        bernoulli.nll_backward(np.zeros((4, 1)), np.zeros((4, 3)), np.zeros((4, 3)))
