"""tinyvae.evaluate against quadrature over the latent plane and against sums by hand."""

import threading
from itertools import pairwise

import numpy as np
import pytest
from threadpoolctl import ThreadpoolController

from tinyvae import VAE, evaluate
from tinyvae.oracles import estimate, log_mean_exp


def small_vae(latent_dim=2):
    rng = np.random.default_rng(4)
    vae = VAE.create(6, (5,), latent_dim, rng=rng, dtype=np.float64)
    for name, p in vae.params.items():
        p[...] = rng.standard_normal(p.shape) * (0.2 if name.startswith(("mu", "logvar")) else 1)
    return vae, (rng.random((8, 6)) < 0.5) * 1.0


def log_p_by_quadrature(vae, x, points=401, half_width=7.0):
    """log of the sum over a fine grid of p(x|z) p(z), with probabilities written as such."""
    axis = np.linspace(-half_width, half_width, points)
    z = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    p = 1 / (1 + np.exp(-vae.decode(z)))
    prior = np.exp(-0.5 * (z**2).sum(axis=1)) / (2 * np.pi) * (axis[1] - axis[0]) ** 2
    return np.log([(np.where(row == 1, p, 1 - p).prod(axis=1) * prior).sum() for row in x])


def test_log_likelihood_matches_quadrature():
    vae, x = small_vae()
    true = log_p_by_quadrature(vae, x)
    for seed in range(3):
        got = evaluate.log_likelihood(vae, x, np.random.default_rng(seed), samples=20_000)
        np.testing.assert_allclose(got, true, atol=0.05)


def test_elbo_is_unbiased_and_a_lower_bound():
    """Its mean is log p(x) minus KL(q || p(z|x)), the gap, found by quadrature as well."""
    vae, x = small_vae()
    rng = np.random.default_rng(0)
    draws = np.stack([evaluate.elbo(vae, x, rng) for _ in range(4000)])
    axis = np.linspace(-7, 7, 301)
    z = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    p = 1 / (1 + np.exp(-vae.decode(z)))
    mu, logvar = vae.encode(x)
    for n, row in enumerate(x):
        var = np.exp(logvar[n])
        q = np.exp(-0.5 * ((z - mu[n]) ** 2 / var).sum(axis=1)) / (2 * np.pi * np.sqrt(var.prod()))
        log_joint = np.log(np.where(row == 1, p, 1 - p)).sum(axis=1) - 0.5 * (z**2).sum(axis=1)
        log_joint -= np.log(2 * np.pi)
        seen = q > 1e-300
        true = (q * (log_joint - np.log(np.where(seen, q, 1))))[seen].sum() * (
            axis[1] - axis[0]
        ) ** 2
        assert estimate(draws[:, n]).z(true) < 5
    assert np.all(draws.mean(axis=0) < log_p_by_quadrature(vae, x))


def test_more_samples_average_the_elbo():
    vae, x = small_vae()
    many = evaluate.elbo(vae, x, np.random.default_rng(0), samples=3000)
    few = np.stack([evaluate.elbo(vae, x, np.random.default_rng(i)) for i in range(300)])
    assert all(estimate(few[:, n]).z(many[n]) < 5 for n in range(len(x)))


def test_the_importance_weighted_bound_starts_at_the_elbo_and_rises_to_log_p():
    vae, x = small_vae()
    rng = np.random.default_rng(1)

    def bound(samples, repeats):
        runs = [evaluate.log_likelihood(vae, x, rng, samples).mean() for _ in range(repeats)]
        return estimate(runs)

    elbo = estimate([evaluate.elbo(vae, x, rng).mean() for _ in range(2000)])
    bounds = [bound(1, 2000), bound(5, 600), bound(50, 200), bound(2000, 20)]
    difference = bounds[0].mean - elbo.mean
    assert abs(difference) < 5 * np.hypot(bounds[0].standard_error, elbo.standard_error)
    for lower, upper in pairwise(bounds):
        assert upper.mean > lower.mean
    assert bounds[-1].z(log_p_by_quadrature(vae, x).mean()) < 6


def test_log_likelihood_is_the_log_mean_of_the_weights():
    """The same draws through an oracle's log-mean-exp, with weights written as densities."""
    vae, x = small_vae(latent_dim=3)
    samples = 1500
    got = evaluate.log_likelihood(vae, x[:1], np.random.default_rng(9), samples)
    rng = np.random.default_rng(9)
    eps = rng.standard_normal((samples, 3))
    mu, logvar = vae.encode(x[:1])
    std = np.exp(logvar / 2)
    z = mu + std * eps
    p = 1 / (1 + np.exp(-vae.decode(z)))
    log_w = np.log(np.where(x[0] == 1, p, 1 - p)).sum(axis=1)
    log_w += (-0.5 * z**2 + 0.5 * eps**2 + np.log(std)).sum(axis=1)  # log p(z) - log q(z|x)
    assert got[0] == pytest.approx(log_mean_exp(log_w), rel=1e-10)


@pytest.fixture
def blas():
    """The BLAS of NumPy, its number of threads put back afterwards"""
    found = ThreadpoolController().select(user_api="blas")
    if not found.lib_controllers:
        pytest.skip("threadpoolctl does not know this BLAS")
    with found.limit(limits=None):
        yield found


def numbers_of_threads(blas):
    return [library.num_threads for library in blas.lib_controllers]


@pytest.mark.parametrize("images", [2, 5])
def test_threads_of_blas_weigh_an_image_each_and_find_the_same(blas, images, monkeypatch):
    monkeypatch.setattr(evaluate, "MIN_LOGITS_FOR_THREADS", images * 2000 * 6)
    vae, x = small_vae()
    seen, decode = [], vae.decode
    vae.decode = lambda z: (
        seen.append((threading.get_ident(), numbers_of_threads(blas))) or decode(z)
    )
    found = {}
    for threads in (1, 2):
        seen.clear()
        with blas.limit(limits=threads):
            if numbers_of_threads(blas) != [threads] * len(blas.lib_controllers):
                pytest.skip("this BLAS has one thread")
            found[threads] = evaluate.log_likelihood(
                vae, x[:images], np.random.default_rng(5), 2000
            )
            assert numbers_of_threads(blas) == [threads] * len(blas.lib_controllers)
        idents, limits = zip(*seen, strict=True)
        assert (threading.get_ident() in idents) == (threads == 1)
        assert all(numbers == [1] * len(blas.lib_controllers) for numbers in limits)
    np.testing.assert_allclose(found[2], found[1], rtol=1e-12)


LITTLE_WORK, ONE_IMAGE, MORE_THREADS = (5, 5 * 2000 * 6 + 1, 2), (1, 1, 2), (2, 1, 3)


@pytest.mark.parametrize("images, much, threads", [LITTLE_WORK, ONE_IMAGE, MORE_THREADS])
def test_where_it_does_not_pay_no_thread_is_started(blas, monkeypatch, images, much, threads):
    monkeypatch.setattr(evaluate, "MIN_LOGITS_FOR_THREADS", much)
    vae, x = small_vae()
    seen, decode = set(), vae.decode
    vae.decode = lambda z: seen.add(threading.get_ident()) or decode(z)
    with blas.limit(limits=threads):
        evaluate.log_likelihood(vae, x[:images], np.random.default_rng(5), 2000)
    assert seen == {threading.get_ident()}


def test_an_error_in_a_thread_is_raised_and_the_threads_of_blas_come_back(blas, monkeypatch):
    monkeypatch.setattr(evaluate, "MIN_LOGITS_FOR_THREADS", 1)
    vae, x = small_vae()

    def decode(z):
        raise ZeroDivisionError("in a thread")

    vae.decode = decode
    with blas.limit(limits=2):
        before = numbers_of_threads(blas)
        with pytest.raises(ZeroDivisionError, match="in a thread"):
            evaluate.log_likelihood(vae, x, np.random.default_rng(0), samples=1000)
        assert numbers_of_threads(blas) == before


def test_overflow_in_a_thread_gives_no_warning(blas, monkeypatch):
    monkeypatch.setattr(evaluate, "MIN_LOGITS_FOR_THREADS", 1)
    vae, x = small_vae()
    vae.params["logvar.b"] += 2000.0
    with blas.limit(limits=2):
        got = evaluate.log_likelihood(vae, x, np.random.default_rng(0), samples=600)
    assert not np.isfinite(got).any()


def test_hopeless_weights_give_a_number():
    """Logits of 1e4 make p(x|z) smaller than any float; the logarithm still holds."""
    vae, x = small_vae()
    vae.params["logits.b"] = np.where(x[0] == 1, -1e4, 1e4)
    got = evaluate.log_likelihood(vae, x[:1], np.random.default_rng(0), samples=10)
    assert got[0] == pytest.approx(-6e4, rel=1e-2)


@pytest.mark.parametrize("samples", [0, -1, 2.5])
@pytest.mark.parametrize("function", [evaluate.elbo, evaluate.log_likelihood])
def test_the_number_of_samples_must_be_one(function, samples):
    vae, x = small_vae()
    with pytest.raises(ValueError, match="samples"):
        function(vae, x, np.random.default_rng(0), samples=samples)
