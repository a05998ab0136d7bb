"""Exercise 9: importance weights.

Replace each `raise NotImplementedError`.  Then, as often as you like:

    tinyvae check 09_importance_weights.py

All is for one x and S draws of z.
"""

import numpy as np

EXERCISE = 9  # tells `tinyvae check` which laws apply


def log_weights(recon, z, logvar, eps):
    """log w = log p(x|z) + log p(z) - log q(z|x) in nats, at z = mu + exp(logvar / 2) eps.

    p(z) = N(0, I), q = N(mu, diag exp(logvar)), recon = -log p(x|z).  mu is not needed: write
    log q(z|x) with eps.

    recon (S,), z, eps (S, Z), logvar (Z,)  ->  (S,)

    By hand: where z = eps and logvar = 0, q is the prior and drops out.

    >>> one = np.ones((1, 2))
    >>> print(log_weights(np.array([3.0]), one, np.zeros(2), one))
    [-3.]
    """
    raise NotImplementedError


def bound(log_w):
    """The logarithm of the mean weight, whose expectation is at most log p(x).

    log_w (S,), which may be -1000 or 1000  ->  ()

    By hand: the mean of 1 and 3 is 2.

    >>> print(bound(np.log([1.0, 3.0])).round(6))
    0.693147
    """
    raise NotImplementedError


def bound_backward(dbound, log_w):
    """What each log weight gets of the bound's derivative.

    dbound (), log_w (S,)  ->  dlog_w (S,)

    By hand: a weight of 3 out of 1 + 3.

    >>> print(bound_backward(1.0, np.log([1.0, 3.0])))
    [0.25 0.75]
    """
    raise NotImplementedError
