"""Exercise 5: sampling that can be differentiated, to be mended.

The code below runs. Each of the three functions reparameterize, reparameterize_backward and
score_gradient has one mistake. Find them, mend them, and check as often as you like:

    tinyvae check 05_reparameterization_debug.py

`dv` is the derivative of the loss by v, and has the shape of v.
"""

import numpy as np

EXERCISE = 5  # tells `tinyvae check` which laws apply


def reparameterize(mu, logvar, eps):
    """A draw z ~ N(mu, diag exp(logvar)), from eps ~ N(0, I).    all (B, Z)  ->  z (B, Z)"""
    scale = np.exp(logvar)  # the head gives a logarithm, so that it may be negative
    return mu + scale * eps


def reparameterize_backward(dz, logvar, eps):
    """What dz says about mu and logvar.    dz, logvar, eps (B, Z)  ->  dmu, dlogvar (B, Z)"""
    std = np.exp(0.5 * logvar)
    dmu = dz
    dlogvar = dz * eps * std  # exp is its own derivative
    return dmu, dlogvar


def score_gradient(f_z, z, mu, logvar):
    """d/dmu E f(z) by the score, an estimate for each draw z ~ N(mu, diag exp(logvar)).

    f_z (S,), z (S, Z), mu, logvar (Z,)  ->  dmu (S, Z)
    """
    std = np.exp(0.5 * logvar)
    score = (z - mu) / std
    return f_z[:, None] * score


def report(rng, draws=20_000):
    """d/dmu E z^2, both ways: it is 2 mu."""
    mu, logvar = np.array([1.5]), np.array([0.8])
    eps = rng.standard_normal((draws, 1))
    z = reparameterize(mu, logvar, eps)
    path, _ = reparameterize_backward(2 * z, logvar, eps)
    score = score_gradient(z[:, 0] ** 2, z, mu, logvar)
    return f"by the path {path.mean():.3f}, by the score {score.mean():.3f}, exact {2 * mu[0]}"


if __name__ == "__main__":
    print(report(np.random.default_rng(0)))
