"""Exercise 5: sampling that can be differentiated.

Replace each `raise NotImplementedError`.  Then, as often as you like:

    tinyvae check 05_reparameterization.py

`dv` is the derivative of the loss by v, and has the shape of v.
"""

import numpy as np

EXERCISE = 5  # tells `tinyvae check` which laws apply


def reparameterize(mu, logvar, eps):
    """A draw z ~ N(mu, diag exp(logvar)) as a function of the noise eps ~ N(0, I).

        z = mu + sigma eps,      sigma the standard deviation;  logvar = log sigma^2

    mu, logvar, eps (B, Z)  ->  z (B, Z)

    By hand: the variance is 4, so sigma is 2.

    >>> print(reparameterize(np.array([[1.0]]), np.log([[4.0]]), np.array([[3.0]])).round(12))
    [[7.]]
    """
    return mu + np.exp(logvar / 2) * eps


def reparameterize_backward(dz, logvar, eps):
    """What dz says about mu and logvar: dmu = dz (dz/dmu), dlogvar = dz (dz/dlogvar).

    dz, logvar, eps (B, Z)  ->  dmu (B, Z), dlogvar (B, Z)

    By hand: sigma = exp(logvar / 2) = 2 has the derivative 1 by logvar; times eps = 3.

    >>> dmu, dlogvar = reparameterize_backward(np.ones((1, 1)), np.log([[4.0]]), np.array([[3.0]]))
    >>> print(dmu.round(12), dlogvar.round(12))
    [[1.]] [[3.]]
    """
    return dz, dz * eps * np.exp(logvar / 2) / 2


def score_gradient(f_z, z, mu, logvar):
    """The other way to d/dmu E f(z), which needs no derivative of f, and pays for it in noise.

        f(z_s)  d log q(z_s) / dmu,      q = N(mu, diag exp(logvar)):  one estimate for each draw

    f_z (S,) the values f(z_s), z (S, Z) the draws, mu, logvar (Z,)  ->  dmu (S, Z)

    By hand: log q = -(z - mu)^2 / (2 var) + ..., so for var = 4 and z - mu = 2 its slope is 1/2.

    >>> print(score_gradient(np.array([10.0]), np.array([[2.0]]), np.zeros(1), np.log([4.0])))
    [[5.]]
    """
    return f_z[:, None] * (z - mu) / np.exp(logvar)
