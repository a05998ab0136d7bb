"""Exercise 3: the evidence lower bound.

Replace each `raise NotImplementedError`.  Then, as often as you like:

    tinyvae check 03_elbo.py
"""

import numpy as np

EXERCISE = 3  # tells `tinyvae check` which laws apply


def recon(logits, x):
    """-log p(x|z) in nats, for black and white pixels: never negative.

    The decoder says a logit a for each pixel: it is white, x = 1, with probability
    p = 1 / (1 + exp(-a)), and black, x = 0, with probability 1 - p.  So

        -log p      =  log(1 + exp(-a))
        -log(1 - p) =  log(1 + exp(a))

    logits (B, D), x (B, D) of 0 and 1  ->  (B,), summed over the pixels

    np.logaddexp(0, a) is log(1 + exp(a)), and does not overflow.

    By hand: a logit of 0 is a coin flip, so each pixel costs log 2.

    >>> print(recon(np.zeros((1, 2)), np.array([[1.0, 0.0]])).round(4))
    [1.3863]
    """
    return np.logaddexp(0, (1 - 2 * x) * logits).sum(axis=1)


def kl(mu, logvar):
    """KL( q(z|x) || p(z) ) in nats, q = N(mu, diag exp(logvar)), p = N(0, I): never negative.

        1/2 sum_j [ mu_j^2 + exp(logvar_j) - 1 - logvar_j ]

    mu, logvar (B, Z)  ->  (B,), summed over the latent dimensions

    By hand: (9 + 16) / 2.

    >>> print(kl(np.array([[3.0, 4.0]]), np.zeros((1, 2))))
    [12.5]
    """
    return 0.5 * (mu**2 + np.exp(logvar) - 1 - logvar).sum(axis=1)


def elbo(mu, logvar, logits, x):
    """The lower bound on log p(x), in nats, with one draw of z: logits is what the decoder gives.

        log p(x|z) - KL( q(z|x) || p(z) )

    mu, logvar (B, Z), logits, x (B, D)  ->  (B,).  Which way is up?

    By hand: the two examples above together.

    >>> mu, logvar, x = np.array([[3.0, 4.0]]), np.zeros((1, 2)), np.array([[1.0, 0.0]])
    >>> print(elbo(mu, logvar, np.zeros((1, 2)), x).round(4))
    [-13.8863]
    """
    return -recon(logits, x) - kl(mu, logvar)


def gap(q, p_z, p_x_given_z):
    """By how much the bound misses log p(x): KL( q || p(z|x) ) in nats, for K topics z, one x.

        sum_z q(z) log( q(z) / p(z|x) ),      p(z|x) = p(z) p(x|z) / p(x)

    q, p_z (K,), each adds up to 1; p_x_given_z (K,)  ->  ()

    By hand: x says nothing about z, so p(z|x) = p(z), and q is just that.

    >>> half = np.array([0.5, 0.5])
    >>> print(gap(half, half, np.array([0.1, 0.1])))
    0.0
    """
    joint = p_z * p_x_given_z
    posterior = joint / joint.sum()
    return np.sum(q * np.log(q / posterior))
