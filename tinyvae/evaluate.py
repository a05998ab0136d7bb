"""How good a trained VAE is: the ELBO and log p(x) of a data set, digit by digit, in nats."""

import numpy as np

from tinyvae import bernoulli, gaussian
from tinyvae.arrays import binary, generator, quietly, reals, same_rows, whole
from tinyvae.vae import VAE


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


@quietly
def log_likelihood(vae, x, rng, samples=5000):
    """The importance-weighted estimate of log p(x), one per row of x (N, D) in {0, 1}  ->  (N,)

        log 1/S sum_s  p(x|z_s) p(z_s) / q(z_s|x),    z_s ~ q(z|x)

    Its expectation is a lower bound on log p(x) that rises with S; at S = 1 it is the ELBO.
    Source: Burda, Grosse and Salakhutdinov, "Importance weighted autoencoders", 2016.

    Raises ValueError as `elbo` does.
    """
    x = _checked(vae, x, rng, samples)
    estimates = np.empty(len(x))
    for n in range(len(x)):
        x_n = x[n : n + 1]
        q = vae.encode(x_n)
        parts = [
            log_weights(vae, x_n, *q, rng, rows.stop - rows.start)
            for rows in _chunks(samples, 250)  # logits that stay in cache
        ]
        estimates[n] = np.logaddexp.reduce(np.concatenate(parts)) - np.log(samples)
    return estimates


def log_weights(vae, x, mu, logvar, rng, samples):
    """log p(x|z) + log p(z) - log q(z|x) for draws z ~ q(z|x) of one x (1, D)  ->  (S,)

    z is float64, and rounded for the decoder alone: z - mu of a narrow q is no float32.
    """
    eps = rng.standard_normal((samples, 1, vae.latent_dim), dtype=_dtype(vae))
    mu, logvar = mu.astype(np.float64), logvar.astype(np.float64)
    z = gaussian.reparameterize(mu, logvar, eps)[:, 0]
    recon, _ = bernoulli.nll_and_slope(vae.decode(z.astype(eps.dtype)), x[0])
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
