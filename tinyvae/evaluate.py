"""How good a trained VAE is: the ELBO and log p(x) of a data set, digit by digit, in nats."""

from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import numpy as np

from tinyvae import fast, gaussian
from tinyvae.beyond.importance import pareto_k
from tinyvae.contracts import check_binary, check_generator, check_integer, takes, takes_real
from tinyvae.vae import VAE

MIN_LOGITS_FOR_THREADS = 10_000_000  # about 0.1 s of work; less does not pay


class Estimate(NamedTuple):
    """What importance weights say of log p(x), and of themselves; each (N,)"""

    log_likelihood: np.ndarray
    """nats, low on average"""
    sample_size: np.ndarray
    """effective, of 1 to S"""
    pareto_k: np.ndarray
    """shape of the weights' upper tail"""


@takes_real(x="N {vae.data_dim}")
def elbo(vae, x, rng, samples=1):
    """Estimates of E_q[log p(x|z)] - KL( q(z|x) || p(z) ), unbiased, one per row of x.

    x (N, D) in {0, 1}, binarised by the caller  ->  (N,), the mean over ``samples`` draws of z

    Raises ValueError for grey pixels, which have no likelihood, and for an autoencoder, which has
    no ELBO.
    """
    _check_arguments(vae, x, rng, samples)
    total = np.empty(len(x))
    for rows in _chunks(len(x), 500):
        x_rows, draws = x[rows], []
        for _ in range(samples):
            eps = rng.standard_normal((len(x_rows), vae.latent_dim), dtype=_dtype(vae))
            recon, kl = vae.loss(x_rows, eps)
            draws.append(-(recon + kl))
        total[rows] = np.mean(draws, axis=0, dtype=np.float64)
    return total


@takes_real(x="N {vae.data_dim}")
def log_likelihood(vae, x, rng, samples=5000):
    """The importance-weighted estimate of log p(x), one per row of x (N, D) in {0, 1}  ->  (N,)

        log 1/S sum_s  p(x|z_s) p(z_s) / q(z_s|x),    z_s ~ q(z|x)

    Its expectation is a lower bound on log p(x) that rises with S; at S = 1 it is the ELBO.  How
    far below it is, no error bar says: `estimate` has what the weights say of themselves.
    Source: Burda, Grosse and Salakhutdinov, "Importance weighted autoencoders", 2016.

    Raises ValueError as `elbo` does.
    """
    return estimate(vae, x, rng, samples).log_likelihood


@takes_real(x="N {vae.data_dim}")
def estimate(vae, x, rng, samples=5000):
    """`log_likelihood` with `effective_sample_size` and `beyond.importance.pareto_k` of its weights

    x (N, D)  ->  Estimate.  Where pareto_k is above `pareto_k_limit(samples)`, a few weights carry
    the sum, and the estimate is likely to be far below log p(x).
    Runs in as many threads as BLAS has, with the same draws and the same numbers as in one.

    Raises ValueError as `elbo` does.
    """
    _check_arguments(vae, x, rng, samples)
    rows_of_results = np.empty((len(x), len(Estimate._fields)))
    large = len(x) * samples * vae.data_dim >= MIN_LOGITS_FOR_THREADS
    with one_thread_each(len(x) if large else 1) as (run, threads):
        for rows in _chunks(len(x), threads):
            noise = [draw(vae, rng, samples) for _ in x[rows]]
            rows_of_results[rows] = list(run(partial(_estimate_one, vae), x[rows], noise))
    return Estimate(*rows_of_results.T)


def draw(vae, rng, samples):
    """The noise for one x: eps (S, 1, Z) ~ N(0, I), in the precision of the model"""
    return rng.standard_normal((samples, 1, vae.latent_dim), _dtype(vae))


@takes_real(log_w="... S>0")
def effective_sample_size(log_w):
    """(sum w)^2 / sum w^2 of importance weights w: how many equal weights are worth the same.

    log_w (..., S), up to a constant  ->  (...), from 1, where one weight carries all, to S.  NaN
    where all weights are 0.
    Source: Kong, "A note on importance sampling using standardized weights", 1992.

    >>> print(effective_sample_size(np.log([1.0, 1.0, 2.0])))  # 16 / 6
    2.6666666666666665
    """
    w = np.exp(log_w - log_w.max(axis=-1, keepdims=True))
    return w.sum(axis=-1) ** 2 / (w * w).sum(axis=-1)


def pareto_k_limit(samples):
    """The k-hat up to which that many importance weights can be trusted: min(1 - 1/log10 S, 0.7)

    Source: Vehtari, Simpson, Gelman, Yao and Gabry, "Pareto smoothed importance sampling", 2024.

    >>> print(pareto_k_limit(5000), round(pareto_k_limit(100), 3))
    0.7 0.5
    """
    check_integer(2, samples=samples)
    return min(1 - 1 / np.log10(samples), 0.7)


@contextmanager
def one_thread_each(images):
    """`map` in as many threads as BLAS has, and their number; each has a BLAS of one thread.

    BLAS's own threads share a matrix product, and stand still while NumPy passes over the logits.
    With an image for each there is always work for all: for 784-400-20 and 5,000 samples two
    threads took 0.87 of the time.  With fewer images than threads some would stand still: then it
    is `map`, and 1; and so it is where no thread can be started, as in WebAssembly.
    """
    if images == 1:
        yield map, 1
        return
    from concurrent.futures import ThreadPoolExecutor

    from tinyvae import blas

    libraries = blas.libraries()
    counts = [library.num_threads for library in libraries.lib_controllers] if libraries else []
    threads = max(counts, default=1)
    if not 1 < threads <= images:
        yield map, 1
        return
    with libraries.limit(limits=1), ThreadPoolExecutor(threads) as pool:
        yield pool.map, threads


@takes()
def _estimate_one(vae, x, eps):
    """The fields of an Estimate for one x (D,), with eps (S, 1, Z)"""
    q = vae.encode(x[None])
    chunks = _chunks(len(eps), 250)  # of logits that stay in cache, without page faults
    log_w = np.concatenate([log_weights(vae, x, *q, eps[rows]) for rows in chunks])
    log_mean = np.logaddexp.reduce(log_w) - np.log(len(eps))
    return log_mean, effective_sample_size(log_w), _pareto_k(log_w)


def _pareto_k(log_w):
    """`pareto_k`;  -inf where the largest weights are equal, inf where there are too few to tell"""
    if len(log_w) < 25:
        return np.inf
    top = np.partition(log_w, len(log_w) * 4 // 5)[len(log_w) * 4 // 5 :]
    return -np.inf if top.min() == top.max() else pareto_k(log_w)


@takes_real(x="{vae.data_dim}", mu="1 Z", logvar="1 Z", eps="S 1 Z")
def log_weights(vae, x, mu, logvar, eps):
    """log p(x|z) + log p(z) - log q(z|x) at z = mu + exp(logvar / 2) eps, of one x (D,)

    mu, logvar (1, Z), eps (S, 1, Z)  ->  (S,).  z - mu comes from eps: of a narrow q the difference
    has lost its digits.  z is float64, and rounded for the decoder alone.
    """
    mu, logvar, wide = (a.astype(np.float64) for a in (mu, logvar, eps))
    zero = np.zeros_like(mu)
    z = gaussian.reparameterize(mu, logvar, wide)[:, 0]
    z_minus_mu = gaussian.reparameterize(zero, logvar, wide)[:, 0]
    recon, _ = fast.nll_and_slope(vae.decode(z.astype(eps.dtype)), x)
    log_p_z = gaussian.log_density_diagonal(z, zero, zero)
    log_q_z = gaussian.log_density_diagonal(z_minus_mu, zero, logvar)
    return log_p_z - log_q_z - recon


def _check_arguments(vae, x, rng, samples):
    """Raise ValueError if the arguments are not those of an estimate."""
    if not isinstance(vae, VAE):
        raise ValueError(f"only a VAE has an ELBO and log p(x), not {type(vae).__name__}")
    check_integer(1, samples=samples)
    check_generator(rng)
    check_binary(x=x)


def _dtype(vae):
    return vae.params["logits.W"].dtype


def _chunks(n, size):
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]
