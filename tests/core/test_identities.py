"""What must be true of the whole: moments, sums, bounds and symmetries, against the oracles.

Each test kills mistakes that a gradient check lets pass: docs/bugs.md says which.
"""

import itertools

import numpy as np
import pytest
import scipy.stats

import tinyvae
from tests.strategies import covariance
from tinyvae import bernoulli, evaluate, gaussian
from tinyvae.oracles import (
    LinearGaussian,
    central_difference,
    estimate,
    gaussian_kl,
    log_integral,
    relative_error,
    standard_normal_grid,
)


def small_vae(rng, data_dim=6, latent_dim=2, hidden_dims=(5,)):
    """A VAE of 64-bit numbers with no zero bias, and weights large enough to matter."""
    vae = tinyvae.VAE.create(data_dim, hidden_dims, latent_dim, rng=rng, dtype=np.float64)
    for p in vae.params.values():
        p[...] = rng.standard_normal(p.shape) * 0.7
    return vae


def pictures(rng, n, data_dim=6):
    return rng.integers(0, 2, (n, data_dim)).astype(np.float64)


def all_pictures(data_dim):
    return np.array(list(itertools.product([0.0, 1.0], repeat=data_dim)))


def exact_log_px(vae, x):
    """log p(x) by a grid over the latent plane: no encoder, no noise, no KL."""
    nodes, log_weights = standard_normal_grid(60)
    x_hat = 1 / (1 + np.exp(-vae.decode(nodes)))
    log_px_given_z = x @ np.log(x_hat).T + (1 - x) @ np.log(1 - x_hat).T
    return log_integral(log_px_given_z, log_weights)


# The KL


def test_kl_is_what_cubature_finds():
    rng = np.random.default_rng(1)
    for k in (1, 2, 3, 5):
        for scale in (1.0, 0.05):  # far apart, and so near that the KL is below 0.1
            mean_p, cov_p = rng.standard_normal(k), 0.3 * covariance(rng, k)
            mean_q = mean_p + scale * rng.standard_normal(k)
            cov_q = (1 - scale) * cov_p + scale * 2 * covariance(rng, k)
            expected = gaussian_kl(mean_q, cov_q, mean_p, cov_p)
            assert gaussian.kl(mean_q, cov_q, mean_p, cov_p) == pytest.approx(expected, rel=1e-9)


def test_kl_of_many_dimensions_is_the_sum_over_them():
    mean, one = np.full(400, 0.5), np.eye(400)
    expected = 400 * gaussian_kl(0.5, 0.1, 0.0, 0.2)
    assert gaussian.kl(mean, 0.1 * one, 0 * mean, 0.2 * one) == pytest.approx(expected, rel=1e-9)


def test_kl_of_a_batch_is_that_of_its_pairs():
    rng = np.random.default_rng(4)
    means = rng.standard_normal((2, 4, 3))
    covs = np.array([[covariance(rng, 3) for _ in range(4)] for _ in "qp"])
    together = gaussian.kl(means[0], covs[0], means[1], covs[1])
    expected = [
        gaussian_kl(*pair) for pair in zip(means[0], covs[0], means[1], covs[1], strict=True)
    ]
    assert together == pytest.approx(expected, rel=1e-9)


def test_kl_diagonal_is_what_cubature_finds():
    rng = np.random.default_rng(2)
    for k, scale in itertools.product((1, 2, 4), (1.0, 0.1)):
        mu_q, logvar_q, mu_p, logvar_p = rng.standard_normal((4, k))
        mu_q, logvar_q = mu_p + scale * mu_q, logvar_p + scale * logvar_q
        cov_q, cov_p = np.diag(np.exp(logvar_q)), np.diag(np.exp(logvar_p))
        expected = gaussian_kl(mu_q, cov_q, mu_p, cov_p)
        assert gaussian.kl_diagonal(mu_q, logvar_q, mu_p, logvar_p) == pytest.approx(expected)


def test_kl_to_standard_normal_is_what_cubature_finds():
    rng = np.random.default_rng(20)
    for k, scale in itertools.product((1, 2, 4), (1.0, 0.1)):
        mu, logvar = scale * rng.standard_normal((2, k))
        expected = gaussian_kl(mu, np.diag(np.exp(logvar)), np.zeros(k), np.eye(k))
        assert gaussian.kl_to_standard_normal(mu, logvar) == pytest.approx(expected)


def test_kl_is_infinite_and_never_nan_where_a_variance_is():
    for logvar in (800.0, np.inf, -np.inf):
        assert gaussian.kl_to_standard_normal(np.zeros(1), np.array([logvar])) >= 400
    small = np.float32(2.0) ** -np.arange(8, 30, dtype=np.float32)[:, None]
    assert (gaussian.kl_to_standard_normal(0 * small, small) > 0).all()


# The sampler, and the noise that training draws


def test_sampler_has_the_mean_and_the_variance_that_it_was_given():
    rng = np.random.default_rng(3)
    mu, logvar = np.array([1.0, -2.0]), np.array([-1.5, 0.8])
    z = gaussian.reparameterize(mu, logvar, rng.standard_normal((100_000, 2)))
    for i in range(2):
        assert estimate(z[:, i]).z(mu[i]) < 5
        assert estimate((z[:, i] - mu[i]) ** 2).z(np.exp(logvar[i])) < 5


class Witness:
    """A model that learns nothing and keeps what `fit` showed it."""

    latent_dim = 3

    def __init__(self):
        self.params = {"w": np.zeros(1, np.float32)}
        self.seen = []

    def loss_and_grads(self, x, eps, beta=1.0):
        self.seen.append((x.copy(), eps.copy()))
        return 0.0, np.zeros(len(x)), np.zeros(len(x)), {"w": np.zeros(1, np.float32)}


def what_fit_shows():
    rng = np.random.default_rng(4)
    witness = Witness()
    x = rng.random((400, 5)).astype(np.float32)
    tinyvae.fit(witness, x, epochs=20, batch_size=40, rng=rng, report=lambda row: None)
    return witness.seen


def test_fit_draws_noise_of_mean_0_and_variance_1():
    eps = np.concatenate([eps for _, eps in what_fit_shows()]).ravel().astype(np.float64)
    assert estimate(eps).z(0) < 5
    assert estimate(eps**2).z(1) < 5
    assert estimate(eps**4).z(3) < 5


def test_fit_draws_noise_afresh_in_every_step():
    noises = [eps.tobytes() for _, eps in what_fit_shows()]
    assert len(set(noises)) == len(noises)


def test_fit_draws_noise_independent_across_the_batch():
    noises = [eps.astype(np.float64) for _, eps in what_fit_shows()]
    assert estimate([np.mean(eps[0] * eps[1]) for eps in noises]).z(0) < 5


def test_fit_draws_noise_independent_across_the_latents():
    eps = np.concatenate([eps for _, eps in what_fit_shows()]).astype(np.float64)
    assert estimate(eps[:, 0] * eps[:, 1]).z(0) < 5


def test_fit_shows_black_and_white_pixels_with_the_grey_ones_as_their_means():
    x = np.concatenate([x for x, _ in what_fit_shows()])
    assert set(np.unique(x)) == {0.0, 1.0}


# The terms of the ELBO


def test_likelihood_of_all_pictures_sums_to_one():
    rng = np.random.default_rng(5)
    logits = 2 * rng.standard_normal(6)
    x = all_pictures(6)
    total = np.exp(-bernoulli.nll(np.broadcast_to(logits, x.shape), x)).sum()
    assert total == pytest.approx(1, rel=1e-12)


def test_nll_is_scipys_bernoulli():
    rng = np.random.default_rng(6)
    logits, x = 8 * rng.standard_normal((7, 5)), pictures(rng, 7, 5)
    expected = -scipy.stats.bernoulli.logpmf(x, 1 / (1 + np.exp(-logits))).sum(axis=1)
    assert bernoulli.nll(logits, x) == pytest.approx(expected, rel=1e-9)


def test_nll_of_a_confident_error_is_the_logit():
    logits = np.array([[1e4, -1e4, 50.0]])
    assert bernoulli.nll(logits, np.array([[0.0, 1.0, 0.0]])) == pytest.approx(20_050)
    assert bernoulli.nll(logits, np.array([[1.0, 0.0, 1.0]])) == pytest.approx(0, abs=1e-12)


def test_showing_every_pixel_twice_doubles_recon():
    rng = np.random.default_rng(7)
    logits, x = rng.standard_normal((3, 4)), pictures(rng, 3, 4)
    twice = bernoulli.nll(np.tile(logits, 2), np.tile(x, 2))
    assert twice == pytest.approx(2 * bernoulli.nll(logits, x), rel=1e-12)


def test_recon_and_kl_are_one_number_an_example():
    rng = np.random.default_rng(8)
    vae, x, eps = small_vae(rng), pictures(rng, 4), rng.standard_normal((4, 2))
    for recon, kl in (vae.loss(x, eps), vae.loss_and_grads(x, eps)[1:3]):
        assert recon.shape == kl.shape == (4,)


@pytest.mark.parametrize("beta", [1.0, 0.0, 3.0])
def test_loss_is_the_mean_of_recon_plus_beta_kl(beta):
    rng = np.random.default_rng(9)
    vae, x, eps = small_vae(rng), pictures(rng, 4), rng.standard_normal((4, 2))
    loss = vae.loss_and_grads(x, eps, beta)[0]
    mu, logvar = vae.encode(x)
    by_hand = 0.0
    for i in range(4):
        x_hat = 1 / (1 + np.exp(-vae.decode(mu[i] + np.exp(logvar[i] / 2) * eps[i])))
        by_hand -= scipy.stats.bernoulli.logpmf(x[i], x_hat).sum() / 4
        cov = np.diag(np.exp(logvar[i]))
        by_hand += beta * gaussian_kl(mu[i], cov, np.zeros(2), np.eye(2)) / 4
    assert loss == pytest.approx(by_hand, rel=1e-9)


def test_showing_every_example_twice_changes_neither_loss_nor_gradient():
    rng = np.random.default_rng(10)
    vae, x, eps = small_vae(rng), pictures(rng, 4), rng.standard_normal((4, 2))
    loss, _, _, grads = vae.loss_and_grads(x, eps)
    loss_twice, _, _, grads_twice = vae.loss_and_grads(np.tile(x, (2, 1)), np.tile(eps, (2, 1)))
    assert loss_twice == pytest.approx(loss, rel=1e-12)
    for name, g in grads.items():
        assert grads_twice[name] == pytest.approx(g, rel=1e-9, abs=1e-12)


def test_elbo_identity_on_the_linear_gaussian_model():
    """log p(x) - KL(q || p(z|x)) = E_q log p(x|z) - KL(q || p(z)), z from the package's sampler."""
    rng = np.random.default_rng(11)
    model = LinearGaussian.random(data_dim=4, latent_dim=2, rng=rng)
    x = model.sample(1, rng)[0][0]
    mu, logvar = rng.standard_normal(2), np.array([-1.0, 0.5])
    eps = rng.standard_normal((100_000, 2))
    log_px_given_z = model.log_px_given_z(x, gaussian.reparameterize(mu, logvar, eps))
    right_side = estimate(log_px_given_z - gaussian.kl_to_standard_normal(mu, logvar))
    left_side = model.log_px(x) - model.kl_to_posterior(x, mu, np.diag(np.exp(logvar)))
    assert right_side.z(left_side) < 5


def test_log_density_is_scipys():
    rng = np.random.default_rng(12)
    x, mu, logvar = rng.standard_normal((3, 4))
    expected = scipy.stats.norm.logpdf(x, mu, np.exp(logvar / 2)).sum()
    assert gaussian.log_density_diagonal(x, mu, logvar) == pytest.approx(expected, rel=1e-12)


# Estimates of the ELBO and of log p(x)


def test_elbo_is_unbiased_for_any_number_of_samples():
    rng = np.random.default_rng(13)
    vae, x = small_vae(rng), pictures(rng, 1)
    (mu,), (logvar,) = vae.encode(x)
    nodes, log_weights = standard_normal_grid(60)
    x_hat = 1 / (1 + np.exp(-vae.decode(mu + np.exp(logvar / 2) * nodes)))
    log_px_given_z = np.log(np.where(x == 1, x_hat, 1 - x_hat)).sum(axis=1)
    kl = gaussian_kl(mu, np.diag(np.exp(logvar)), np.zeros(2), np.eye(2))
    exact = np.exp(log_weights) @ log_px_given_z - kl
    for samples in (1, 10):
        draws = evaluate.elbo(vae, np.repeat(x, 2000, axis=0), rng, samples=samples)
        assert estimate(draws).z(exact) < 5
        assert estimate(draws).standard_error > 0


def test_elbo_is_at_most_log_px():
    rng = np.random.default_rng(14)
    vae, x = small_vae(rng), pictures(rng, 8)
    assert (evaluate.elbo(vae, x, rng, samples=200) < exact_log_px(vae, x)).all()


def test_importance_weighted_bound_reaches_log_px():
    rng = np.random.default_rng(15)
    vae, x = small_vae(rng), pictures(rng, 4)
    for name in ("mu.W", "mu.b", "logvar.W", "logvar.b"):
        vae.params[name] *= 0.2  # a q about as wide as the prior: no weight rules the others
    found = evaluate.log_likelihood(vae, x, rng, samples=20_000)
    assert found == pytest.approx(exact_log_px(vae, x), abs=0.05)


def test_importance_weighted_bound_is_the_elbo_at_one_sample_and_rises():
    rng = np.random.default_rng(16)
    vae, x = small_vae(rng), np.repeat(pictures(rng, 1), 100, axis=0)
    bounds = [estimate(evaluate.log_likelihood(vae, x, rng, samples=s)) for s in (1, 4, 16)]
    elbo = estimate(evaluate.elbo(vae, x, rng, samples=20))
    assert bounds[0].z(elbo.mean) < 5
    for lower, higher in itertools.pairwise(bounds):
        assert higher.mean - lower.mean > 5 * higher.standard_error


# The backward pass


def test_gradient_of_every_parameter_is_the_difference_quotient():
    rng = np.random.default_rng(17)
    vae, x, eps = small_vae(rng), pictures(rng, 3), rng.standard_normal((3, 2))
    grads = vae.loss_and_grads(x, eps)[-1]

    for name, p in vae.params.items():

        def loss(value, p=p):
            kept = p.copy()
            p[...] = value
            result = vae.loss_and_grads(x, eps)[0]
            p[...] = kept
            return result

        assert relative_error(grads[name], central_difference(loss, p, 1e-5)).max() < 1e-6, name


# The model


def test_variances_can_be_below_and_above_one():
    rng = np.random.default_rng(18)
    vae = small_vae(rng)
    x = pictures(rng, 200)
    logvar = vae.encode(x)[1]
    assert logvar.min() < -0.5 and logvar.max() > 0.5
    h = np.tanh(x @ vae.params["encoder.0.W"] + vae.params["encoder.0.b"])
    assert logvar == pytest.approx(h @ vae.params["logvar.W"] + vae.params["logvar.b"], rel=1e-9)


def test_generate_draws_from_the_prior():
    """A decoder that lets z be read off its pixels: logit(x_hat) = z."""
    rng = np.random.default_rng(19)
    vae = small_vae(rng, data_dim=2, latent_dim=2, hidden_dims=(2,))
    scale = 1e-3  # tanh(scale z) = scale z, to six digits
    vae.params |= {"decoder.0.W": scale * np.eye(2), "decoder.0.b": np.zeros(2)}
    vae.params |= {"logits.W": np.eye(2) / scale, "logits.b": np.zeros(2)}
    x_hat = vae.generate(50_000, rng)
    z = np.log(x_hat / (1 - x_hat))
    for power, moment in ((1, 0), (2, 1), (4, 3)):
        assert estimate(z[:, 0] ** power).z(moment) < 5
    assert estimate(z[:, 0] * z[:, 1]).z(0) < 5
