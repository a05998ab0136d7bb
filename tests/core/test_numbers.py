"""Numbers at the end of their range: every answer is finite, or the one that is documented.

A warning is an error in these tests, so none escapes either.
"""

import math

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.test_vae import random_model
from tests.strategies import rngs
from tinyvae import VAE, Autoencoder, bernoulli, evaluate, fast, fit, gaussian, layers
from tinyvae.optim import Adam
from tinyvae.oracles import central_difference, estimate, relative_error
from tinyvae.train import TrainingError, silent

DTYPES = [np.float32, np.float64]
INF = math.inf

both_types = pytest.mark.parametrize("dtype", DTYPES)
both_models = pytest.mark.parametrize("cls", [VAE, Autoencoder])


def exp(a):
    """exp in double precision, inf where it overflows"""
    try:
        return math.exp(a)
    except OverflowError:
        return INF


def rounded(number, dtype):
    """A number in that type, inf where it overflows, without a warning"""
    with np.errstate(over="ignore"):
        return dtype(number)


def same(got, true, dtype):
    """Equal to rounding; the same infinities; NaN never."""
    np.testing.assert_allclose(got, rounded(true, dtype), rtol=50 * np.finfo(dtype).eps)


# logvar: the policy in the docstring of tinyvae.gaussian


def kl_by_hand(mu, logvar, dtype):
    """1/2 [mu^2 + exp(logvar) - 1 - logvar], where exp overflows with the type"""
    if math.isinf(logvar):
        return INF
    return 0.5 * (mu * mu + float(rounded(exp(logvar), dtype)) - 1 - logvar)


LOGVARS = [-INF, -1e4, -700.0, -88.8, 0.0, 88.0, 88.8, 700.0, 709.0, 710.0, 1e4, INF]


@both_types
@pytest.mark.parametrize("logvar", LOGVARS)
@pytest.mark.parametrize("mu", [0.0, -3.0, 1e15])
def test_kl_and_its_gradient_are_what_the_policy_says(dtype, mu, logvar):
    arguments = np.array([[mu]], dtype), np.array([[logvar]], dtype)
    logvar = float(arguments[1][0, 0])  # as rounded
    same(gaussian.kl_to_standard_normal(*arguments), [kl_by_hand(mu, logvar, dtype)], dtype)
    zero = np.zeros((1, 1), dtype)
    same(gaussian.kl_diagonal(*arguments, zero, zero), [kl_by_hand(mu, logvar, dtype)], dtype)
    dmu, dlogvar = gaussian.kl_to_standard_normal_backward(np.full(1, 2, dtype), *arguments)
    same(dmu, [[2 * mu]], dtype)
    same(dlogvar, [[float(rounded(exp(logvar), dtype)) - 1]], dtype)
    assert dlogvar.dtype == dtype


def test_the_documented_ends_of_exp():
    """88.7 and 709.7 are the last tenths that have a finite KL."""
    for dtype, last in ((np.float32, 88.7), (np.float64, 709.7)):
        for logvar, finite in ((last, True), (last + 0.1, False)):
            assert np.isfinite(gaussian.kl_to_standard_normal([0], np.array([logvar], dtype))) == (
                finite
            )


@both_types
@pytest.mark.parametrize("logvar", LOGVARS)
@pytest.mark.parametrize("eps", [-1.5, 0.0, 1.5])
def test_z_overflows_to_infinity_or_nan(dtype, logvar, eps):
    logvar = dtype(logvar)
    std = rounded(exp(0.5 * float(logvar)), dtype)
    z = gaussian.reparameterize(np.ones((1, 1), dtype), [[logvar]], np.array([[eps]], dtype))
    dmu, dlogvar = gaussian.reparameterize_backward(np.ones((1, 1), dtype), [[logvar]], [[eps]])
    if np.isinf(std) and eps == 0:
        assert np.isnan(z).all() and np.isnan(dlogvar).all()
    else:
        same(z, [[1 + float(std) * eps]], dtype)
        same(dlogvar, [[eps * 0.5 * float(std)]], dtype)
    assert dmu == 1


@both_types
def test_log_density_at_both_ends(dtype):
    def at(x, logvar):
        return gaussian.log_density_diagonal(*np.array([[x], [0], [logvar]], dtype))

    half_log_2pi = 0.5 * math.log(2 * math.pi)
    for logvar in (-700, 700):
        same(at(0, logvar), -0.5 * logvar - half_log_2pi, dtype)
    same(at(1, 700), -350 - half_log_2pi, dtype)
    same(at(1, -700), -0.5 * exp(700) if dtype == np.float64 else -INF, dtype)
    assert at(1, -1e4) == -INF
    assert at(1, INF) == -INF
    assert at(0, -INF) == INF
    assert np.isnan(at(1, -INF))


@both_types
@pytest.mark.parametrize("k", [1, 2])
def test_kl_of_full_covariances_overflows_to_infinity(dtype, k):
    far = float(np.finfo(dtype).max) * 1e-3
    one, zero = np.eye(k, dtype=dtype), np.zeros(k, dtype)
    assert gaussian.kl(zero + dtype(far), one, zero, one) == INF
    assert gaussian.kl(zero, one * dtype(far), zero, one / dtype(far)) == INF
    assert gaussian.kl(zero + dtype(far), one, zero, one / dtype(far)) == INF
    true = 0.5 * k * (1 / far - 1 + math.log(far))
    same(gaussian.kl(zero, one, zero, one * dtype(far)), true, dtype)


OVER_AND_UNDERFLOWS = [  # mu_q or x, logvar, dtype: 1 / sigma does not fit its type, delta does
    (1e-308, -1420.0, np.float64), (1e300, 1500.0, np.float64), (1e160, 1440.0, np.float64),
    (1e-38, -178.0, np.float32), (1e38, 200.0, np.float32), (-3e-40, -180.0, np.float32),
]  # fmt: skip


@pytest.mark.parametrize("mu, logvar, dtype", OVER_AND_UNDERFLOWS)
def test_a_standardised_difference_is_right_where_sigma_is_out_of_range(mu, logvar, dtype):
    mu, logvar, zero = np.array([[mu], [logvar], [0]], dtype)
    with mp.workdps(50):
        delta2 = mp.mpf(float(mu[0])) ** 2 * mp.exp(-mp.mpf(float(logvar[0])))
        density = -(delta2 + mp.mpf(float(logvar[0])) + mp.log(2 * mp.pi)) / 2
    rounding = 1e-14 if dtype == np.float64 else 1e-6
    got = gaussian.kl_diagonal(mu, logvar, zero, logvar)
    np.testing.assert_allclose(float(got), float(delta2 / 2), rtol=rounding * 20)
    got = gaussian.log_density_diagonal(mu, zero, logvar)
    np.testing.assert_allclose(float(got), float(density), rtol=rounding)


def test_what_the_review_found_of_them():
    def kl(mu, logvar, dtype=np.float64):
        return float(gaussian.kl_diagonal(*np.array([[mu], [logvar], [0], [logvar]], dtype)))

    assert kl(1e-308, -1420) == pytest.approx(2.4953663, rel=1e-7)
    assert kl(1e300, 1500) == pytest.approx(1.808e-52, rel=1e-3)
    assert kl(1e-38, -178, np.float32) == pytest.approx(10.07831, rel=1e-6)
    assert kl(1e38, 200, np.float32) == pytest.approx(6.919e-12, rel=1e-3)
    x, zero, logvar = np.array([[1e-308], [0], [-1420.0]])
    assert gaussian.log_density_diagonal(x, zero, logvar) == pytest.approx(706.5857, rel=1e-7)


# logits


@both_types
@given(rng=rngs, size=st.integers(1, 900), power=st.floats(-2, 4), sure=st.booleans())
def test_fused_likelihood_is_never_negative_and_loses_nothing(dtype, rng, size, power, sure):
    """A decoder that is right about every pixel has almost no loss: nothing may cancel there."""
    x = rng.integers(0, 2, (3, size)).astype(dtype)
    logits = (10**power * rng.random((3, size))).astype(dtype)
    logits *= (2 * x - 1) if sure else rng.choice([-1, 1], (3, size)).astype(dtype)
    wide = logits.astype(np.longdouble)
    true = (np.logaddexp(0, wide) - x * wide).sum(axis=1)
    eps = np.finfo(dtype).eps
    for nll in (fast.nll_and_slope(logits, x)[0], bernoulli.nll(logits, x)):
        assert np.all(nll >= 0)
        assert np.all(np.abs(nll - true) <= 10 * eps * true + eps * size)


@both_types
@pytest.mark.parametrize("logit", [-1e4, -89.0, 89.0, 1e4])
@pytest.mark.parametrize("size", [1, 2, 784])
def test_confident_logits(dtype, logit, size):
    """Right, they cost exp(-|a|) a pixel; wrong, |a|."""
    logits = np.full((2, size), logit, dtype)
    for x in (np.zeros_like(logits), np.ones_like(logits)):
        right = (logit > 0) == (x[0, 0] == 1)
        nll, slope = fast.nll_and_slope(logits, x)
        dlogits = bernoulli.nll_backward(np.ones(2, dtype), logits, x)
        for got in (nll, bernoulli.nll(logits, x)):
            np.testing.assert_allclose(got, 0 if right else size * abs(logit), atol=1e-30)
        for got in (slope, dlogits):
            np.testing.assert_allclose(got, 0 if right else np.sign(logit), atol=1e-30)
            assert got.dtype == dtype


@both_types
@pytest.mark.parametrize("logit", [-INF, INF])
def test_an_infinite_logit_gives_no_finite_likelihood(dtype, logit):
    logits = np.full((1, 3), logit, dtype)
    for pixel in (0, 0.5, 1):
        x = np.full((1, 3), pixel, dtype)
        assert not np.isfinite(bernoulli.nll(logits, x))
        assert not np.isfinite(fast.nll_and_slope(logits, x)[0])
    assert layers.sigmoid(logits)[0, 0] == (logit > 0)


# the models


def shifted(cls, dtype, activation="tanh", **biases):
    """A model of 5 pixels and 2 latents, some of whose biases are these"""
    model = cls.create(5, (4,), 2, rng=np.random.default_rng(0), activation=activation, dtype=dtype)
    for name, bias in biases.items():
        model.params[f"{name}.b"] = np.full_like(model.params[f"{name}.b"], bias)
    return model


def example(dtype, batch=3, pixels=5, latents=2):
    rng = np.random.default_rng(1)
    return (
        rng.integers(0, 2, (batch, pixels)).astype(dtype),
        rng.standard_normal((batch, latents)).astype(dtype),
    )


@both_types
@both_models
@pytest.mark.parametrize("logit", [-1e4, 1e4])
def test_a_model_with_logits_far_out(cls, dtype, logit):
    model, (_, eps) = shifted(cls, dtype, logits=logit), example(dtype)
    for pixel in (0, 1):
        x = np.full((3, 5), pixel, dtype)
        loss, recon, kl, grads = model.loss_and_grads(x, eps)
        right = (logit > 0) == (pixel == 1)
        np.testing.assert_allclose(recon, 0 if right else 5e4, rtol=1e-3)
        np.testing.assert_allclose(recon, model.loss(x, eps)[0], rtol=1e-6)
        assert np.isfinite(loss) and np.isfinite(kl).all()
        assert all(np.isfinite(dp).all() for dp in grads.values())


@both_types
@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("logvar", [-INF, -1e4, -700.0, 80.0, 100.0, 700.0, 1e4, INF])
def test_a_model_whose_logvar_explodes(dtype, activation, logvar):
    """Finite while exp(logvar) is; else kl is inf, and the loss is never a finite wrong number."""
    vae, (x, eps) = shifted(VAE, dtype, activation, logvar=logvar), example(dtype)
    loss, recon, kl, grads = vae.loss_and_grads(x, eps)
    mu, seen = vae.encode(x)
    true = [
        sum(kl_by_hand(float(m), float(v), dtype) for m, v in zip(*row, strict=True))
        for row in zip(mu, seen, strict=True)
    ]
    for got in (kl, vae.loss(x, eps)[1]):
        np.testing.assert_allclose(got, rounded(true, lambda a: np.array(a, dtype)), rtol=1e-5)
    if np.isfinite(kl).all():
        assert np.isfinite(loss) and np.isfinite(recon).all()
        assert all(np.isfinite(dp).all() for dp in grads.values())
    else:
        assert not np.isfinite(loss)
    slope = 0.5 * np.mean([[float(rounded(exp(float(v)), dtype)) - 1 for v in r] for r in seen], 0)
    if logvar <= -700:  # sigma is 0 to rounding: recon has no part in it
        np.testing.assert_allclose(grads["logvar.b"], slope, rtol=1e-5)
    if logvar == 100.0 and dtype == np.float32 and activation == "tanh":
        assert np.isfinite(recon).all()
        assert np.array_equal(grads["logvar.b"], [INF, INF])  # as the formula's


@both_types
@pytest.mark.parametrize("logvar", [-INF, 750.0, INF])
def test_training_stops_at_an_infinite_kl_and_names_it(dtype, logvar):
    vae, (x, _) = shifted(VAE, dtype, logvar=logvar), example(dtype)
    before = {name: p.copy() for name, p in vae.params.items()}
    with pytest.raises(TrainingError, match=r"step 1: .*kl in 2 of 2 images.*try a smaller"):
        fit(vae, x, epochs=1, batch_size=2, rng=np.random.default_rng(0), report=silent)
    for name, p in vae.params.items():
        assert np.array_equal(p, before[name])


@both_types
def test_gradients_that_adams_squares_would_overflow_with_stop_training(dtype):
    """A second moment of infinity would stop this parameter's steps for good, in silence."""

    class Steep(VAE):
        def loss_and_grads(self, x, eps, beta=1.0):
            loss, recon, kl, grads = super().loss_and_grads(x, eps, beta)
            return loss, recon, kl, grads | {"mu.b": np.full(2, self.slope, dtype)}

    def train(slope):
        vae, (x, _) = shifted(Steep, dtype), example(dtype, batch=100)
        vae.slope, adam = slope, Adam(vae.params)
        fit(vae, x, epochs=20, batch_size=1, rng=np.random.default_rng(0), report=silent,
            optimizer=adam)  # fmt: skip
        return adam.moments["v"]["mu.b"]

    root = np.sqrt(np.finfo(dtype).max)
    with pytest.raises(TrainingError, match=r"step 1: the gradient of mu.b not finite"):
        train(root / 20)
    assert np.isfinite(train(root / 100)).all()


def test_training_stops_at_an_infinite_test_loss():
    class Exploding(VAE):
        def loss(self, x, eps):
            self.params["logvar.b"][:] = 1e3
            return super().loss(x, eps)

    vae, (x, _) = shifted(Exploding, np.float32), example(np.float32)
    with pytest.raises(TrainingError, match=r"epoch 1: test recon is .*, kl inf; try"):
        fit(vae, x, epochs=1, x_test=x, rng=np.random.default_rng(0), report=silent)


SMALLEST = [
    (batch, pixels, hidden, latents)
    for batch in (1, 3)
    for pixels in (1, 4)
    for hidden in ((1,), (3, 2))
    for latents in (1, 2)
]


@both_models
@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize(("batch", "pixels", "hidden", "latents"), SMALLEST)
def test_one_of_everything(cls, activation, batch, pixels, hidden, latents):
    """All black, all white, and one constant pixel: finite, and the gradient is the quotient."""
    rng = np.random.default_rng(3)
    model = random_model(cls, rng, pixels, hidden, latents, activation)
    eps = rng.standard_normal((batch, latents))
    constant = rng.integers(0, 2, (batch, pixels)) * 1.0
    constant[:, 0] = 1
    for x in (np.zeros((batch, pixels)), np.ones((batch, pixels)), constant):
        loss, recon, kl, grads = model.loss_and_grads(x, eps)
        assert recon.shape == kl.shape == (batch,)
        assert np.all(recon >= 0) and np.all(kl >= 0)

        def loss_of(bias, x=x):
            kept = model.params["encoder.0.b"]
            model.params["encoder.0.b"] = bias
            recon, kl = model.loss(x, eps)
            model.params["encoder.0.b"] = kept
            return np.mean(recon + kl)

        true = central_difference(loss_of, model.params["encoder.0.b"])
        assert relative_error(grads["encoder.0.b"], true, 0.01 * max(1, loss)).max() < 1e-6


@both_types
@both_models
@pytest.mark.parametrize("batch_size", [1, 7])
@pytest.mark.parametrize("latents", [1, 2])
def test_constant_pixels_are_learned_and_stay_finite(cls, dtype, batch_size, latents):
    """Black, white and grey-by-chance pixels: the first two cost less and less, and never < 0."""
    rng = np.random.default_rng(0)
    x = np.tile(np.array([0, 1, 0.5], dtype), (60, 1))
    model = cls.create(3, (6,), latents, rng=rng, dtype=dtype)
    history = fit(model, x, epochs=40, batch_size=batch_size, learning_rate=0.02, rng=rng,
                  report=silent)  # fmt: skip
    x_hat = model.reconstruct(x)
    assert np.isfinite([[*row.values()] for row in history]).all()
    assert all(row["recon"] >= 0 and row["kl"] >= 0 for row in history)
    assert np.all(x_hat[:, 0] < 0.1) and np.all(x_hat[:, 1] > 0.9)
    assert model.params["logits.W"].dtype == dtype


@both_types
@both_models
@pytest.mark.parametrize("pixel", [0, 1])
@pytest.mark.parametrize("pixels", [1, 4])
def test_images_of_one_colour_cost_nothing_in_the_end(cls, dtype, pixel, pixels):
    rng = np.random.default_rng(0)
    model = cls.create(pixels, (4,), 1, rng=rng, dtype=dtype)
    x = np.full((40, pixels), pixel, dtype)
    history = fit(model, x, epochs=300, batch_size=10, learning_rate=0.05, rng=rng, report=silent)
    assert 0 <= history[-1]["recon"] < 0.02 * pixels
    assert 0 <= history[-1]["kl"] < 0.02


# estimates of log p(x)


def test_a_narrow_q_keeps_its_weights_in_float32():
    """std = 2e-9 beside mu = 1: z - mu has no digit left in float32."""
    vae = shifted(VAE, np.float32, logvar=-40.0, mu=1.0)
    vae.params["logvar.W"][:] = 0
    x, _ = example(np.float32, batch=1)
    mu, logvar = (a.astype(float) for a in vae.encode(x))
    eps = np.random.default_rng(5).standard_normal((4000, 2), dtype=np.float32)
    log_w = evaluate.log_weights(vae, x[0], *vae.encode(x), eps[:, None])
    eps = eps.astype(float)
    z = mu + np.exp(0.5 * logvar) * eps
    recon = bernoulli.nll(vae.decode(mu), x)  # z is mu, to nine digits
    true = 0.5 * (eps**2 + logvar - z**2).sum(axis=1) - recon
    np.testing.assert_allclose(log_w, true, atol=1e-5)
    assert estimate(0.5 * eps[:, 0] ** 2).z(0.5) < 5


@both_types
@pytest.mark.parametrize("logvar", [-700.0, -100.0, 100.0, 700.0, 1e4, INF, -INF])
def test_estimates_are_numbers_wherever_the_loss_is(dtype, logvar):
    vae, (x, eps) = shifted(VAE, dtype, logvar=logvar), example(dtype)
    finite = np.isfinite(np.sum(vae.loss(x, eps)))
    elbo = evaluate.elbo(vae, x, np.random.default_rng(0))
    log_px = evaluate.log_likelihood(vae, x, np.random.default_rng(0), samples=20)
    assert not finite or (np.isfinite(elbo).all() and np.isfinite(log_px).all())
    assert np.all(elbo < 0) or not finite


@both_types
def test_the_bound_of_hopeless_weights_is_minus_infinity(dtype):
    vae, (x, _) = shifted(VAE, dtype), example(dtype, batch=1)
    vae.params["logits.b"] = np.where(x[0] == 1, -INF, INF).astype(dtype)
    assert evaluate.log_likelihood(vae, x, np.random.default_rng(0), samples=7) == -INF
