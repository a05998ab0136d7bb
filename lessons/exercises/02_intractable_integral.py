"""Exercise 2: the intractable integral.

Replace each `raise NotImplementedError`.  Then, as often as you like:

    tinyvae check 02_intractable_integral.py
"""

import numpy as np

EXERCISE = 2  # tells `tinyvae check` which laws apply


def log_mean_exp(a):
    """log( 1/S sum_s exp(a_s) ), without overflow or underflow.

    a (S,)  ->  ()

    exp(-1000) is 0 in a computer, and log 0 is minus infinity.  So take the largest entry out
    before, and put it back afterwards:  log mean exp(a) = c + log mean exp(a - c), for any c.

    By hand: S equal numbers have this number as their result.

    >>> print(log_mean_exp(np.array([-1000.0, -1000.0])))
    -1000.0
    """
    raise NotImplementedError


def log_density(z, mu, logvar):
    """log N(z; mu, diag exp(logvar)) in nats; summed over the Z dimensions.

        -1/2 sum_j [ (z_j - mu_j)^2 / exp(logvar_j)  +  logvar_j  +  log(2 pi) ]

    z (S, Z), a point in each row; mu, logvar (Z,)  ->  (S,)

    By hand: at z = mu, in one dimension with logvar = 0, it is -1/2 log(2 pi).

    >>> print(log_density(np.array([[3.0]]), np.array([3.0]), np.array([0.0])).round(4))
    [-0.9189]
    """
    raise NotImplementedError


def log_px(log_px_given_z, z, mu, logvar):
    """The importance-weighted estimate of log p(x), in nats, from S draws z_s ~ q(z|x).

        log 1/S sum_s  p(x|z_s) p(z_s) / q(z_s|x)

    log_px_given_z (S,)  log p(x|z_s) of each draw
    z (S, Z)             the draws
    mu, logvar (Z,)      of q(z|x) = N(mu, diag exp(logvar)).  The prior p(z) is N(0, I).
    ->  ()

    Work with logarithms to the end: products of probabilities underflow.

    By hand: for mu = 0 and logvar = 0, q is the prior, and all that is left is the plain average
    of p(x|z_s).

    >>> log_p, z, zero = np.log([0.5, 0.25]), np.array([[1.0], [2.0]]), np.zeros(1)
    >>> print(np.exp(log_px(log_p, z, zero, zero)).round(12))
    0.375
    """
    raise NotImplementedError
