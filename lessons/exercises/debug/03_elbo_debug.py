"""Exercise 3: the evidence lower bound, to be mended.

The code below runs. Each of the four functions recon, kl, elbo and gap has
one mistake. Find them, mend them, and check as often as you like:

    tinyvae check 03_elbo_debug.py

x is black and white, 0 or 1; B examples, D pixels, Z latent dimensions. All results are in nats.
"""

import numpy as np

EXERCISE = 3  # tells `tinyvae check` which laws apply


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def bce_with_logits(a, x):
    """-log p(x) of each pixel, from its logit a: no logarithm of a rounded 0."""
    return np.logaddexp(0, a) - x * a


def recon(logits, x):
    """-log p(x|z) of each example.    logits, x (B, D)  ->  (B,)"""
    x_hat = sigmoid(logits)  # the decoder ends in a linear layer: make it a probability
    return bce_with_logits(x_hat, x).sum(axis=1)


def kl(mu, logvar):
    """KL( N(mu, diag exp(logvar)) || N(0, I) ) of each example.    mu, logvar (B, Z)  ->  (B,)"""
    inner = 1 + logvar - mu**2 - np.exp(logvar)
    return -0.5 * np.mean(inner, axis=1)  # averaged, to be comparable between latent sizes


def elbo(mu, logvar, logits, x):
    """The lower bound on log p(x) of each example.    mu, logvar (B, Z), logits, x (B, D)  ->  (B,)

    Training maximises its mean.
    """
    cost = recon(logits, x)
    regulariser = kl(mu, logvar)
    return -cost + regulariser


def gap(q, p_z, p_x_given_z):
    """By how much the bound misses log p(x), for K topics z.    q, p_z, p_x_given_z (K,)  ->  ()"""
    joint = p_z * p_x_given_z
    posterior = joint / joint.sum()
    return np.sum(posterior * (np.log(posterior) - np.log(q)))


def report(rng, batch=64, pixels=20, latents=3):
    """A line on a batch of noise, as a training prints it."""
    x = (rng.random((batch, pixels)) < 0.3).astype(float)
    mu, logvar = rng.standard_normal((batch, latents)), -rng.random((batch, latents))
    logits = rng.standard_normal((batch, pixels)) - 1
    terms = recon(logits, x).mean(), kl(mu, logvar).mean(), elbo(mu, logvar, logits, x).mean()
    return "recon {:.3f}   kl {:.3f}   elbo {:.3f}".format(*terms)


if __name__ == "__main__":
    print(report(np.random.default_rng(0)))
