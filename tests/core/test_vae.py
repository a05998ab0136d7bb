"""The two models: every gradient by name, a step by hand, and expectations known exactly."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import tinyvae
from tests.strategies import rngs, sizes
from tinyvae import VAE, Autoencoder
from tinyvae.optim import SGD
from tinyvae.oracles import central_difference, estimate, gaussian_kl, relative_error

models = st.sampled_from([VAE, Autoencoder])
activations = st.sampled_from(["tanh", "relu"])


def random_model(cls, rng, data_dim, hidden_dims, latent_dim, activation):
    """Weights 0.5 N(0, 1), and biases that are not zero: zero biases hide mistakes."""
    model = cls.create(
        data_dim, hidden_dims, latent_dim, rng=rng, activation=activation, dtype=np.float64
    )
    for p in model.params.values():
        p[...] = 0.5 * rng.standard_normal(p.shape)
    return model


def example(rng, batch, data_dim, latent_dim):
    return (rng.random((batch, data_dim)) < 0.5) * 1.0, rng.standard_normal((batch, latent_dim))


def away_from_kinks(model, x, eps):
    """No relu within reach of a finite difference: there, it would see neither slope."""
    if model.activation == "tanh":
        return True
    z = model.encode(x)
    if isinstance(model, VAE):
        z = z[0] + np.exp(0.5 * z[1]) * eps
    near = []
    for names, h in ((model.encoder, x), (model.decoder, z)):
        for name in names:
            a = h @ model.params[f"{name}.W"] + model.params[f"{name}.b"]
            near.append(np.abs(a).min())
            h = np.maximum(a, 0)
    return min(near) > 1e-4


@settings(max_examples=50)
@given(models, activations, rngs, sizes, sizes, st.lists(sizes, min_size=1, max_size=3), sizes)
def test_every_gradient_by_name(cls, activation, rng, batch, data_dim, hidden_dims, latent_dim):
    model = random_model(cls, rng, data_dim, hidden_dims, latent_dim, activation)
    x, eps = example(rng, batch, data_dim, latent_dim)
    assume(away_from_kinks(model, x, eps))
    beta = rng.uniform(0.5, 2)
    loss, recon, kl, grads = model.loss_and_grads(x, eps, beta, wrt_x=True)

    def loss_at(x, name=None, value=None):
        kept, model.params = model.params, model.params | ({name: value} if name else {})
        recon, kl = model.loss(x, eps)
        model.params = kept
        return np.mean(recon + beta * kl)

    assert loss == pytest.approx(loss_at(x), rel=1e-12)
    assert recon.shape == kl.shape == (batch,)
    assert grads.keys() == {*model.params, "x"}
    floor = 0.01 * max(1, loss)  # a difference of losses is rounded like the loss
    for name, p in model.params.items():
        by_difference = central_difference(lambda a, name=name: loss_at(x, name, a), p)
        assert relative_error(grads[name], by_difference, floor).max() < 1e-6, name
    assert relative_error(grads["x"], central_difference(loss_at, x), floor).max() < 1e-6
    assert model.loss_and_grads(x, eps, beta)[3].keys() == model.params.keys()


def test_one_training_step_by_hand():
    """A 2-1-2 network with one latent dimension; every number below is computed on its line."""
    model = VAE.create(2, (1,), 1, rng=np.random.default_rng(0), dtype=np.float64)
    for name, value in {
        "encoder.0.W": [[0.5], [-0.3]], "encoder.0.b": [0.1],
        "mu.W": [[0.8]], "mu.b": [-0.2], "logvar.W": [[0.6]], "logvar.b": [-0.4],
        "decoder.0.W": [[0.7]], "decoder.0.b": [0.2],
        "logits.W": [[0.9, -1.1]], "logits.b": [0.3, 0.1],
    }.items():  # fmt: skip
        model.params[name] = np.array(value)
    x, eps = np.array([[1.0, 0.0]]), np.array([[0.5]])

    h = np.tanh(0.5 * 1 - 0.3 * 0 + 0.1)  # tanh(0.6) = 0.537050
    mu, logvar = 0.8 * h - 0.2, 0.6 * h - 0.4  # 0.229640, -0.077770
    std = np.exp(logvar / 2)  # 0.961861
    z = mu + std * 0.5  # 0.710570
    g = np.tanh(0.7 * z + 0.2)  # tanh(0.697399) = 0.602714
    a0, a1 = 0.9 * g + 0.3, -1.1 * g + 0.1  # 0.842443, -0.562986
    recon = np.log(1 + np.exp(-a0)) + np.log(1 + np.exp(a1))  # -log p(1) - log(1 - p(0))
    kl = 0.5 * (mu**2 + np.exp(logvar) - 1 - logvar)
    assert [round(v, 6) for v in (h, mu, logvar, std, z, g, a0, a1)] == [
        0.53705, 0.22964, -0.07777, 0.961861, 0.71057, 0.602714, 0.842443, -0.562986
    ]  # fmt: skip

    da0, da1 = 1 / (1 + np.exp(-a0)) - 1, 1 / (1 + np.exp(-a1))  # p - x
    dg = 0.9 * da0 - 1.1 * da1
    dz = 0.7 * dg * (1 - g**2)  # through tanh, then the weight
    dmu = dz + mu  # mu is in z, and in the KL
    dlogvar = dz * 0.5 * std * eps[0, 0] + 0.5 * (np.exp(logvar) - 1)
    dh = (0.8 * dmu + 0.6 * dlogvar) * (1 - h**2)
    by_hand = {
        "encoder.0.W": [[dh * 1], [dh * 0]], "encoder.0.b": [dh],
        "mu.W": [[dmu * h]], "mu.b": [dmu], "logvar.W": [[dlogvar * h]], "logvar.b": [dlogvar],
        "decoder.0.W": [[dg * (1 - g**2) * z]], "decoder.0.b": [dg * (1 - g**2)],
        "logits.W": [[da0 * g, da1 * g]], "logits.b": [da0, da1],
    }  # fmt: skip

    loss, _, _, grads = model.loss_and_grads(x, eps)
    assert loss == pytest.approx(recon + kl, rel=1e-14)
    before = {name: p.copy() for name, p in model.params.items()}
    SGD(model.params, learning_rate=0.1).step(grads)
    for name in by_hand:
        np.testing.assert_allclose(grads[name], by_hand[name], rtol=1e-12, atol=1e-16)
        np.testing.assert_allclose(
            model.params[name], before[name] - 0.1 * np.array(by_hand[name]), rtol=1e-12
        )


def test_mean_gradient_is_the_gradient_of_the_expectation():
    """On a decoder whose loss is linear in z, E_eps[d recon] is known exactly.

    With relu units far above their kink and all logits far to one side, recon is linear in the
    logits up to exp(-30), so E[dz] = W' (p - x) for every eps.  Hence E[dlogvar] has the KL's part
    alone, and E[dmu] = W' (p - x) + mu.
    """
    rng = np.random.default_rng(3)
    vae = random_model(VAE, rng, 3, (4,), 2, "relu")
    W, V = np.abs(rng.standard_normal((2, 4))) * 0.01, rng.standard_normal((4, 3)) * 0.01
    vae.params |= {"decoder.0.W": W, "decoder.0.b": np.full(4, 50.0)}
    vae.params |= {"logits.W": V, "logits.b": np.array([60.0, -60.0, 60.0])}
    x = np.array([[1.0, 1.0, 0.0]])
    p_minus_x = np.array([0.0, -1.0, 1.0])
    mu, logvar = (v[0] for v in vae.encode(x))
    dmu = W @ V @ p_minus_x + mu
    dlogvar = 0.5 * (np.exp(logvar) - 1)
    draws = [vae.loss_and_grads(x, rng.standard_normal((1, 2)))[3] for _ in range(4000)]
    for name, true in (("mu.b", dmu), ("logvar.b", dlogvar)):
        for j in range(2):
            mean, error, _ = estimate([grads[name][j] for grads in draws])
            assert abs(mean - true[j]) <= 5 * error + 1e-12, name
    assert estimate([grads["logvar.b"][0] for grads in draws]).standard_error > 0


def test_loss_is_the_two_terms_in_nats():
    rng = np.random.default_rng(0)
    vae = random_model(VAE, rng, 5, (4,), 3, "tanh")
    x, eps = example(rng, 6, 5, 3)
    recon, kl = vae.loss(x, eps)
    mu, logvar = vae.encode(x)
    p = 1 / (1 + np.exp(-vae.decode(mu + np.sqrt(np.exp(logvar)) * eps)))
    np.testing.assert_allclose(recon, -np.log(np.where(x == 1, p, 1 - p)).sum(axis=1), rtol=1e-10)
    true = [
        gaussian_kl(m, np.diag(np.exp(v)), np.zeros(3), np.eye(3))
        for m, v in zip(mu, logvar, strict=True)
    ]
    np.testing.assert_allclose(kl, true, rtol=1e-10)
    for beta in (0.3, 1.0, 4.0):
        assert vae.loss_and_grads(x, eps, beta)[0] == pytest.approx(np.mean(recon + beta * kl))


def test_duplicating_the_batch_changes_no_mean_and_no_gradient():
    rng = np.random.default_rng(1)
    vae = random_model(VAE, rng, 4, (3,), 2, "tanh")
    x, eps = example(rng, 3, 4, 2)
    once, twice = (
        vae.loss_and_grads(x, eps),
        vae.loss_and_grads(np.tile(x, (2, 1)), np.tile(eps, (2, 1))),
    )
    assert once[0] == pytest.approx(twice[0], rel=1e-12)
    for name in vae.params:
        np.testing.assert_allclose(once[3][name], twice[3][name], rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("cls", [VAE, Autoencoder])
def test_generate_and_reconstruct_give_pixel_means(cls):
    rng = np.random.default_rng(0)
    model = cls.create(6, (5,), 2, rng=rng)
    for x_hat in (model.generate(7, rng), model.reconstruct(np.ones((7, 6), np.float32))):
        assert x_hat.shape == (7, 6)
        assert x_hat.dtype == np.float32
        assert np.all((x_hat > 0) & (x_hat < 1))


def test_reconstruct_decodes_the_mean():
    rng = np.random.default_rng(0)
    vae = random_model(VAE, rng, 4, (3,), 2, "tanh")
    x, _ = example(rng, 5, 4, 2)
    logits = vae.decode(vae.encode(x)[0])
    np.testing.assert_allclose(vae.reconstruct(x), 1 / (1 + np.exp(-logits)), rtol=1e-12)


def test_generate_draws_z_from_the_prior():
    """With an identity for a decoder, the logits of what is generated are z itself."""
    vae = VAE.create(2, (2,), 2, rng=np.random.default_rng(0), activation="relu", dtype=np.float64)
    vae.params |= {"decoder.0.W": np.eye(2), "decoder.0.b": np.full(2, 50.0)}
    vae.params |= {"logits.W": np.eye(2), "logits.b": np.full(2, -50.0)}
    n = 100_000
    x_hat = vae.generate(n, np.random.default_rng(1))
    z = np.log(x_hat / (1 - x_hat))
    assert np.all(np.abs(z.mean(axis=0)) < 5 / np.sqrt(n))
    assert np.all(np.abs(np.cov(z.T) - np.eye(2)) < 5 * np.sqrt(2 / n))


def test_autoencoder_ignores_noise_and_beta():
    rng = np.random.default_rng(0)
    model = random_model(Autoencoder, rng, 4, (3,), 2, "tanh")
    x, eps = example(rng, 5, 4, 2)
    with_noise, without = model.loss_and_grads(x, eps, 7.0), model.loss_and_grads(x)
    assert with_noise[0] == without[0]
    assert not with_noise[2].any()
    p = 1 / (1 + np.exp(-model.decode(model.encode(x))))
    recon = -np.log(np.where(x == 1, p, 1 - p)).sum(axis=1)
    np.testing.assert_allclose(model.loss(x)[0], recon, rtol=1e-10)


@pytest.mark.parametrize("cls", [VAE, Autoencoder])
def test_one_of_everything(cls):
    """One pixel, one hidden unit, one latent dimension, one example; all black and all white."""
    model = cls.create(1, (1,), 1, rng=np.random.default_rng(0))
    for pixel in (0.0, 1.0):
        loss, recon, kl, grads = model.loss_and_grads(
            np.full((1, 1), pixel, "f4"), np.ones((1, 1), "f4")
        )
        assert np.isfinite(loss)
        assert recon.shape == kl.shape == (1,)
        assert all(g.shape == model.params[name].shape for name, g in grads.items())
        assert all(g.dtype == np.float32 for g in grads.values())


BAD_ARCHITECTURES = [
    {"data_dim": 0},
    {"latent_dim": 0},
    {"latent_dim": 1.5},
    {"hidden_dims": ()},
    {"hidden_dims": (3, 0)},
    {"activation": "softplus"},
]


@pytest.mark.parametrize("change", BAD_ARCHITECTURES, ids=str)
def test_impossible_architectures_are_refused(change):
    good = {"data_dim": 4, "hidden_dims": (3,), "latent_dim": 2}
    with pytest.raises(ValueError, match="must be"):
        VAE.create(**good | change, rng=np.random.default_rng(0))


def test_wrong_shapes_are_refused():
    vae = VAE.create(4, (3,), 2, rng=np.random.default_rng(0))
    x = np.zeros((5, 4))
    with pytest.raises(ValueError, match=r"x has shape \(5, 3\); it must be \(B, 4\)"):
        vae.encode(np.zeros((5, 3)))
    with pytest.raises(ValueError, match=r"x has shape \(4,\)"):
        vae.loss(np.zeros(4), np.zeros((1, 2)))
    with pytest.raises(ValueError, match=r"eps has shape \(1, 2\)"):
        vae.loss(x, np.zeros((1, 2)))
    with pytest.raises(ValueError, match=r"z has shape \(5, 3\)"):
        vae.decode(np.zeros((5, 3)))


def test_same_seed_same_bits():
    def run():
        rng = np.random.default_rng(7)
        vae = VAE.create(4, (3,), 2, rng=rng)
        tinyvae.fit(vae, (rng.random((20, 4)) < 0.5) * np.float32(1), epochs=3, batch_size=6,
                    rng=rng, report=tinyvae.train.silent)  # fmt: skip
        return vae.params

    first, second = run(), run()
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_products_of_what_is_infinite_give_nan_without_a_warning():
    vae = VAE.create(4, (3,), 2, rng=np.random.default_rng(0))
    vae.params["decoder.0.W"][:] = 1
    assert np.isnan(vae.decode(np.array([[np.inf, -np.inf]], np.float32))).all()
