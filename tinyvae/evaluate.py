"""How good a trained VAE is: the ELBO and log p(x) of a data set, digit by digit, in nats."""

import numpy as np

from tinyvae import bernoulli, gaussian


def elbo(vae, x, rng, samples=1):
    """Estimates of E_q[log p(x|z)] - KL( q(z|x) || p(z) ), unbiased, one per row of x.

    x (N, D) in {0, 1}, binarised by the caller  ->  (N,), the mean over ``samples`` draws of z
    """
    _check(samples)
    total = np.empty(len(x))
    for rows in _chunks(len(x), 500):
        x_rows = np.asarray(x[rows])
        draws = []
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
    Source: Burda, Grosse and Salakhutdinov, "Importance weighted autoencoders", 2016.
    """
    _check(samples)
    estimates = np.empty(len(x))
    for n in range(len(x)):
        x_n = np.asarray(x[n : n + 1])
        q = vae.encode(x_n)
        parts = [
            log_weights(vae, x_n, *q, rng, rows.stop - rows.start)
            for rows in _chunks(samples, 250)  # logits that stay in cache
        ]
        log_w = np.concatenate(parts)
        top = log_w.max()
        estimates[n] = top + np.log(np.mean(np.exp(log_w - top)))
    return estimates


def log_weights(vae, x, mu, logvar, rng, samples):
    """log p(x|z) + log p(z) - log q(z|x) for draws z ~ q(z|x) of one x (1, D)  ->  (S,)"""
    eps = rng.standard_normal((samples, 1, vae.latent_dim), dtype=_dtype(vae))
    z = gaussian.reparameterize(mu, logvar, eps)[:, 0]
    recon, _ = bernoulli.nll_and_slope(vae.decode(z), x[0])
    log_p_z = gaussian.log_density_diagonal(z, np.zeros_like(mu), np.zeros_like(mu))
    return (log_p_z - gaussian.log_density_diagonal(z, mu, logvar) - recon).astype(np.float64)


def _check(samples):
    if not isinstance(samples, int | np.integer) or samples < 1:
        raise ValueError(f"samples must be a whole number of at least 1, not {samples!r}")


def _dtype(vae):
    return vae.params["logits.W"].dtype


def _chunks(n, size):
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]
