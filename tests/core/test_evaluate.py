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


@pytest.mark.parametrize("sigma", [1.0, 1e-4, 1e-13])
def test_log_weights_of_a_narrow_q_keep_their_digits(sigma):
    """log q(z|x) from eps, not from z - mu, of which a narrow q leaves no digit."""
    vae, x = small_vae()
    vae.params["mu.b"] = vae.params["mu.b"] + 3.0
    vae.params["logvar.W"] = np.zeros_like(vae.params["logvar.W"])
    vae.params["logvar.b"] = np.full_like(vae.params["logvar.b"], 2 * np.log(sigma))
    eps = np.random.default_rng(2).standard_normal((50, 1, vae.latent_dim))
    mu, logvar = vae.encode(x[:1])
    wide = eps[:, 0].astype(np.longdouble)
    z = mu.astype(np.longdouble) + np.exp(logvar.astype(np.longdouble) / 2) * wide
    recon = vae.loss(np.repeat(x[:1], 50, axis=0), eps[:, 0])[0]
    true = 0.5 * (wide**2 + logvar - z**2).sum(axis=-1) - recon
    got = evaluate.log_weights(vae, x[0], mu, logvar, eps)
    np.testing.assert_allclose(got, true.astype(float), rtol=1e-12)


def test_the_effective_sample_size_is_that_of_the_definition():
    rng = np.random.default_rng(0)
    log_w = rng.standard_normal((4, 300)) * [[0.0], [0.5], [2.0], [9.0]]
    w = np.exp(log_w)
    got = evaluate.effective_sample_size(log_w)
    np.testing.assert_allclose(got, w.sum(axis=1) ** 2 / (w**2).sum(axis=1), rtol=1e-12)
    assert got[0] == pytest.approx(300) and got[3] < 20
    np.testing.assert_allclose(evaluate.effective_sample_size(log_w - 1e4), got, rtol=1e-9)


def test_the_estimate_says_when_its_weights_are_bad():
    """A q that is far too narrow: few weights carry the sum, and k-hat says so."""
    vae, x = small_vae()
    good = evaluate.estimate(vae, x, np.random.default_rng(1), 2000)
    vae.params["logvar.b"] = vae.params["logvar.b"] - 12.0
    bad = evaluate.estimate(vae, x, np.random.default_rng(1), 2000)
    limit = evaluate.pareto_k_limit(2000)
    assert np.median(good.pareto_k) < limit < np.median(bad.pareto_k)
    assert np.median(good.sample_size) > 10 * np.median(bad.sample_size)
    assert bad.log_likelihood.mean() < good.log_likelihood.mean()
    again = evaluate.log_likelihood(vae, x, np.random.default_rng(1), 2000)
    assert np.array_equal(again, bad.log_likelihood)


def test_equal_weights_have_no_tail_and_few_weights_tell_nothing():
    vae, x = small_vae()
    for name in "mu.W", "mu.b", "logvar.W", "logvar.b", "decoder.0.W":  # q is p, z does nothing
        vae.params[name] = np.zeros_like(vae.params[name])
    found = evaluate.estimate(vae, x, np.random.default_rng(0), 100)
    np.testing.assert_allclose(found.sample_size, 100, rtol=1e-9)
    assert (found.pareto_k < 0.5).all()
    few = evaluate.estimate(vae, x, np.random.default_rng(0), 24)
    assert (few.pareto_k == np.inf).all()


def test_it_runs_where_no_thread_can_be_started(monkeypatch):
    """As in WebAssembly."""
    monkeypatch.setattr(evaluate, "MIN_LOGITS_FOR_THREADS", 1)
    vae, x = small_vae()
    with_threads = evaluate.log_likelihood(vae, x, np.random.default_rng(0), 100)

    def start(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    without = evaluate.log_likelihood(vae, x, np.random.default_rng(0), 100)
    np.testing.assert_allclose(without, with_threads, rtol=1e-12)
