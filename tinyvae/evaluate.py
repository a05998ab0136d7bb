"""How good a trained VAE is: the ELBO and log p(x) of a data set, digit by digit, in nats."""

from contextlib import contextmanager
from functools import partial

import numpy as np

from tinyvae import bernoulli, gaussian
from tinyvae.arrays import binary, generator, quietly, reals, same_rows, whole
from tinyvae.vae import VAE

MUCH = 10_000_000  # logits: a tenth of a second


def elbo(vae, x, rng, samples=1):
    """Estimates of E_q[log p(x|z)] - KL( q(z|x) || p(z) ), unbiased, one per row of x.

    x (N, D) in {0, 1}, binarised by the caller  ->  (N,), the mean over ``samples`` draws of z

    Raises ValueError for grey pixels, which have no likelihood, and for an autoencoder, which has
    no ELBO.
    """
    x = _checked(vae, x, rng, samples)
    total = np.empty(len(x))
    for rows in _chunks(len(x), 500):
        x_rows, draws = x[rows], []
        for _ in range(samples):
            eps = rng.standard_normal((len(x_rows), vae.latent_dim), dtype=_dtype(vae))
            recon, kl = vae.loss(x_rows, eps)
            draws.append(-(recon + kl))
        total[rows] = np.mean(draws, axis=0, dtype=np.float64)
    return total


def log_likelihood(vae, x, rng, samples=5000):
    """The importance-weighted estimate of log p(x), one per row of x (N, D) in {0, 1}  ->  (N,)

        log 1/S sum_s  p(x|z_s) p(z_s) / q(z_s|x),    z_s ~ q(z|x)

    Its expectation is a lower bound on log p(x) that rises with S; at S = 1 it is the ELBO.
    Runs in as many threads as BLAS has, with the same draws and the same numbers as in one.
    Source: Burda, Grosse and Salakhutdinov, "Importance weighted autoencoders", 2016.

    Raises ValueError as `elbo` does.
    """
    x = _checked(vae, x, rng, samples)
    estimates = np.empty(len(x))
    much = len(x) * samples * vae.data_dim >= MUCH
    with side_by_side(len(x) if much else 1) as (run, threads):
        for rows in _chunks(len(x), threads):
            noise = [
                rng.standard_normal((samples, 1, vae.latent_dim), _dtype(vae)) for _ in x[rows]
            ]
            estimates[rows] = list(run(partial(_log_mean_weight, vae), x[rows], noise))
    return estimates


@contextmanager
def side_by_side(images):
    """`map` in as many threads as BLAS has, and their number; each has a BLAS of one thread.

    BLAS's own threads share a matrix product, and stand still while NumPy passes over the logits.
    With an image for each there is always work for all: for 784-400-20 and 5,000 samples two
    threads took 0.87 of the time.  With fewer images than threads some would stand still: then it
    is `map`, and 1.  So it should be for some hundredths of a second of work: as long as BLAS's
    threads are awake they keep a core busy, waiting for more products.
    """
    if images == 1:
        yield map, 1
        return
    from concurrent.futures import ThreadPoolExecutor

    from tinyvae.blas import libraries

    blas = libraries()
    threads = max((library.num_threads for library in blas.lib_controllers), default=1)
    if not 1 < threads <= images:
        yield map, 1
        return
    with blas.limit(limits=1), ThreadPoolExecutor(threads) as pool:
        yield pool.map, threads


@quietly
def _log_mean_weight(vae, x, eps):
    """log 1/S sum_s p(x|z_s) p(z_s) / q(z_s|x) of one x (D,), with eps (S, 1, Z)  ->  ()"""
    q = vae.encode(x[None])
    chunks = _chunks(len(eps), 250)  # of logits that stay in cache, without page faults
    log_w = np.concatenate([log_weights(vae, x, *q, eps[rows]) for rows in chunks])
    return np.logaddexp.reduce(log_w) - np.log(len(eps))


def log_weights(vae, x, mu, logvar, eps):
    """log p(x|z) + log p(z) - log q(z|x) at z = mu + exp(logvar / 2) eps, of one x (D,)

    mu, logvar (1, Z), eps (S, 1, Z)  ->  (S,).  z is float64, and rounded for the decoder alone:
    z - mu of a narrow q is no float32.
    """
    mu, logvar = mu.astype(np.float64), logvar.astype(np.float64)
    z = gaussian.reparameterize(mu, logvar, eps)[:, 0]
    recon, _ = bernoulli.nll_and_slope(vae.decode(z.astype(eps.dtype)), x)
    log_p_z = gaussian.log_density_diagonal(z, np.zeros_like(mu), np.zeros_like(mu))
    return log_p_z - gaussian.log_density_diagonal(z, mu, logvar) - recon


def _checked(vae, x, rng, samples):
    """x as an array;  ValueError, if the arguments are not those of an estimate."""
    if not isinstance(vae, VAE):
        raise ValueError(f"only a VAE has an ELBO and log p(x), not {type(vae).__name__}")
    whole(1, samples=samples)
    generator(rng)
    (x,) = reals(x=x)
    same_rows(x=x)
    binary(x=x)
    return x


def _dtype(vae):
    return vae.params["logits.W"].dtype


def _chunks(n, size):
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]
