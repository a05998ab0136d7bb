"""tinyvae.beyond.annealing against exact Gaussians, quadrature and differences."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given

from tests.strategies import rngs, sizes
from tinyvae import VAE
from tinyvae.beyond import annealing
from tinyvae.oracles import (
    LinearGaussian,
    central_difference,
    estimate,
    gaussian_kl,
    log_integral,
    log_mean_exp,
    plane_grid,
    vector_jacobian,
)


def linear_model(rng, latent_dim=2):
    """x, log p(x|z) as a function of z, and mean and covariance of pi_t as a function of t"""
    model = LinearGaussian.random(4, latent_dim, rng)
    x = model.sample(1, rng)[0][0]

    def moments(t):
        if t == 0:
            return np.zeros(latent_dim), np.eye(latent_dim)
        return LinearGaussian(model.W, model.b, model.noise_var / t).posterior(x)

    return model.log_px(x), lambda z: model.log_px_given_z(x, z), moments


def fresh_draws(moments, rng, keep=0.0):
    def move(t, z):
        mean, cov = moments(t)
        eps = rng.standard_normal(z.shape)
        return annealing.refresh(z, mean, np.linalg.cholesky(cov), eps, keep)

    return move


def start_at(moments, t, n, rng):
    mean, cov = moments(t)
    return mean + rng.standard_normal((n, len(mean))) @ np.linalg.cholesky(cov).T


# ---- the weights ---------------------------------------------------------------------------------


@pytest.mark.parametrize("start", [0.0, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_fresh_draws_lose_the_kls_of_neighbours_both_ways(start, seed):
    rng = np.random.default_rng(seed)
    log_px, log_px_given_z, moments = linear_model(rng)
    path = np.linspace(start, 1 - start, 9)
    z = start_at(moments, start, 3000, rng)
    log_w, _ = annealing.anneal(z, path, log_px_given_z, fresh_draws(moments, rng))
    kls = sum(gaussian_kl(*moments(s), *moments(t)) for s, t in pairwise(path))
    log_ratio = log_px if start == 0 else -log_px
    assert estimate(log_ratio - log_w).z(kls) < 5


@pytest.mark.parametrize("keep", [0.0, 0.5, 0.9])
def test_the_mean_weight_is_p_x_for_any_kernel_that_keeps_pi(keep):
    rng = np.random.default_rng(1)
    log_px, log_px_given_z, moments = linear_model(rng)
    path = np.linspace(0, 1, 31) ** 3
    z = rng.standard_normal((20_000, 2))
    log_w, _ = annealing.anneal(z, path, log_px_given_z, fresh_draws(moments, rng, keep))
    assert estimate(np.exp(log_w - log_px)).z(1) < 5


@given(rngs, sizes)
def test_weights_of_chains_that_stay_are_the_likelihood(rng, n):
    z = rng.standard_normal((n, 3))
    path = np.sort(np.concatenate([[0, 1], rng.uniform(size=5)]))
    log_w, end = annealing.anneal(z, path, lambda z: z.sum(axis=-1), lambda t, z: z)
    np.testing.assert_allclose(log_w, z.sum(axis=-1), rtol=1e-12, atol=1e-12)
    assert end is z


def test_a_transition_is_asked_for_the_temperature_it_goes_to():
    asked = []
    annealing.anneal(np.zeros(2), [0, 0.25, 1], np.sum, lambda t, z: asked.append(t) or z)
    assert asked == [0.25, 1]


# ---- the kernels ---------------------------------------------------------------------------------


@given(rngs, sizes)
def test_refresh_keeps_the_gaussian(rng, dim):
    """Exactly: the map is affine, so mean and covariance are had without a draw."""
    mean, L = rng.standard_normal(dim), np.tril(rng.standard_normal((dim, dim)))
    keep, zero, eye = rng.uniform(0, 1), np.zeros((1, dim)), np.eye(dim)
    np.testing.assert_allclose(annealing.refresh(mean[None], mean, L, zero, keep)[0], mean)
    by_z = annealing.refresh(eye, np.zeros(dim), L, np.zeros((dim, dim)), keep)
    by_eps = annealing.refresh(np.zeros((dim, dim)), np.zeros(dim), L, eye, keep)
    cov = by_z.T @ (L @ L.T) @ by_z + by_eps.T @ by_eps
    np.testing.assert_allclose(cov, L @ L.T, rtol=1e-9, atol=1e-12)


def peaked(z):
    """log f = -2 sum sqrt(1 + z^2) - tanh z_0 tanh z_1: no Gaussian, and no path runs away"""
    return -2 * np.sum(np.sqrt(1 + z * z), axis=-1) - np.prod(np.tanh(z), axis=-1)


def slope_of_peaked(z):
    return -2 * z / np.sqrt(1 + z * z) - (1 - np.tanh(z) ** 2) * np.tanh(z[..., ::-1])


@given(rngs)
def test_leapfrog_leads_back(rng):
    z, momentum = rng.standard_normal((2, 3, 2))
    there = annealing.leapfrog(z, momentum, slope_of_peaked, 0.1, 7)
    back = annealing.leapfrog(there[0], -there[1], slope_of_peaked, 0.1, 7)
    np.testing.assert_allclose(back[0], z, atol=1e-10)
    np.testing.assert_allclose(-back[1], momentum, atol=1e-10)


@given(rngs)
def test_leapfrog_keeps_volume(rng):
    def end(state):
        return np.concatenate(annealing.leapfrog(state[:2], state[2:], slope_of_peaked, 0.2, 5))

    state = rng.standard_normal(4)
    jacobian = [vector_jacobian(end, state, row) for row in np.eye(4)]
    assert np.linalg.det(jacobian) == pytest.approx(1, abs=1e-5)


def test_leapfrog_follows_the_circle_of_a_gaussian():
    """log f = -z^2/2: z(t) = cos t, momentum -sin t; the error falls with step^2."""
    errors = []
    for count in (50, 100):
        z, momentum = annealing.leapfrog(
            np.ones(1), np.zeros(1), lambda z: -z, 2.0 / count, count
        )  # fmt: skip
        errors.append(np.hypot(z[0] - np.cos(2), momentum[0] + np.sin(2)))
    assert errors[0] < 1e-3
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.02)


@pytest.mark.parametrize("step", [0.4, 1.4])
def test_hamiltonian_steps_keep_the_density(step):
    """Start with draws of f (by a grid), move, and compare moments; steps so long that many are
    refused.  A kernel without the coin fails here: see below."""
    assert all(z < 5 for z in moved_moments(annealing.hamiltonian, step))


def moved_moments(kernel, step):
    """How many standard errors lie between moments after the move and those on the grid"""
    rng = np.random.default_rng(2)
    nodes, log_area = plane_grid(400, 12.0)
    mass = np.exp(peaked(nodes) + log_area)
    mass /= mass.sum()
    z = nodes[rng.choice(len(nodes), 20_000, p=mass)]
    for _ in range(12):
        momentum, log_u = rng.standard_normal(z.shape), np.log(rng.uniform(size=len(z)))
        z, _ = kernel(z, momentum, log_u, peaked, slope_of_peaked, step, 3)
    moments = [lambda z: z[:, 0] ** 2, lambda z: z[:, 0] * z[:, 1], lambda z: np.abs(z[:, 1])]
    return [estimate(m(z)).z(mass @ m(nodes)) for m in moments]


def test_what_is_refused_stays_where_it_was():
    z, momentum = np.ones((2, 2)), np.ones((2, 2))
    log_u = np.array([-np.inf, np.inf])
    moved, accepted = annealing.hamiltonian(
        z, momentum, log_u, peaked, slope_of_peaked, 0.1, 2
    )  # fmt: skip
    assert accepted.tolist() == [True, False]
    assert np.all(moved[0] != z[0]) and np.all(moved[1] == z[1])


# ---- planted mistakes ----------------------------------------------------------------------------


def without_coin(z, momentum, log_u, log_f, slope, step, count):
    return annealing.leapfrog(z, momentum, slope, step, count)


def coin_without_momentum(z, momentum, log_u, log_f, slope, step, count):
    moved, _ = annealing.leapfrog(z, momentum, slope, step, count)
    return np.where((log_u < log_f(moved) - log_f(z))[:, None], moved, z), None


def coin_turned(z, momentum, log_u, log_f, slope, step, count):
    moved, p = annealing.leapfrog(z, momentum, slope, step, count)
    gain = log_f(moved) - log_f(z) + 0.5 * np.sum(momentum**2 - p**2, axis=-1)
    return np.where((log_u < -gain)[:, None], moved, z), None


@pytest.mark.parametrize("kernel", [without_coin, coin_without_momentum, coin_turned])
def test_wrong_kernels_do_not_keep_the_density(kernel):
    assert max(moved_moments(kernel, 1.4)) > 6


# ---- of a VAE ------------------------------------------------------------------------------------


@given(rngs, sizes, sizes)
def test_slope_of_a_vae_matches_differences(rng, batch, latent_dim):
    vae = VAE.create(5, (4, 3), latent_dim, rng=rng, dtype=np.float64)
    for weights in vae.params.values():
        weights[...] = 0.5 * rng.standard_normal(weights.shape)
    x = rng.integers(0, 2, (batch, 5)).astype(float)
    z = rng.standard_normal((3, batch, latent_dim))

    def total(z):
        return annealing.log_joint(lambda z: annealing.decoded(vae, x, z), 0.3, z).sum()

    slope = annealing.log_joint_slope(lambda z: annealing.decoded_slope(vae, x, z), 0.3, z)
    np.testing.assert_allclose(slope, central_difference(total, z), rtol=1e-5, atol=1e-7)


def test_the_chains_of_a_vae_agree_with_the_grid():
    """Both ways, up from the prior and down from the z that x was made from."""
    rng = np.random.default_rng(3)
    vae = VAE.create(9, (6,), 2, rng=rng, dtype=np.float64)
    for weights in vae.params.values():
        weights[...] = rng.standard_normal(weights.shape)
    z = rng.standard_normal((300, 2))
    x = (rng.uniform(size=(300, 9)) < 1 / (1 + np.exp(-vae.decode(z)))).astype(float)
    nodes, log_area = plane_grid(150, 6.0)
    log_joint = annealing.log_joint(
        lambda nodes: annealing.decoded(vae, x, np.repeat(nodes, 300, axis=1)), 1.0, nodes[:, None]
    )
    log_px = log_integral(log_joint.T, log_area)

    def px(z):
        return annealing.decoded(vae, x, z)

    def move(t, z):
        momentum, log_u = rng.standard_normal(z.shape), np.log(rng.uniform(size=z.shape[:-1]))
        return annealing.hamiltonian(
            z,
            momentum,
            log_u,
            lambda z: annealing.log_joint(px, t, z),
            lambda z: annealing.log_joint_slope(lambda z: annealing.decoded_slope(vae, x, z), t, z),
            0.3,
            4,
        )[0]

    path = np.linspace(0, 1, 15)
    up, _ = annealing.anneal(rng.standard_normal((4, 300, 2)), path, px, move)
    down, _ = annealing.anneal(np.tile(z, (4, 1, 1)), path[::-1], px, move)
    assert estimate(np.exp(up - log_px).mean(axis=0)).z(1) < 5
    assert estimate(np.exp(down + log_px).mean(axis=0)).z(1) < 5
    assert log_mean_exp(up, axis=0).mean() < log_px.mean() < -down.mean()
    assert (-down - up).mean() < 1


def test_float32_stays():
    vae = VAE.create(4, (3,), 2, rng=np.random.default_rng(0))
    x, z = np.ones((2, 4), "f4"), np.ones((3, 2, 2), "f4")
    assert annealing.decoded(vae, x, z).dtype == np.float32
    assert annealing.decoded_slope(vae, x, z).dtype == np.float32
