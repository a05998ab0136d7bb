"""Exercise 13: no path: a discrete z.

Replace each `raise NotImplementedError`.  Then, as often as you like:

    tinyvae check 13_discrete_latent.py
"""

import numpy as np

EXERCISE = 13  # tells `tinyvae check` which laws apply


def elbo(q, log_px_given_z):
    """The exact ELBO in nats, for z one of K equally likely classes: a sum, no draw.

    q (B, K) = q(z = k|x), each row adds up to 1, no entry is 0;  log_px_given_z (B, K)  ->  (B,)

    By hand: both classes as likely as not, p(x|z) = 1: nothing is paid.

    >>> print(elbo(np.array([[0.5, 0.5]]), np.zeros((1, 2))))
    [0.]
    """
    return (q * (log_px_given_z - np.log(q.shape[1]) - np.log(q))).sum(axis=1)


def elbo_gradient(q, f):
    """d sum_k q_k f_k / d a for q = softmax(a), with f held fixed: exact.

    q, f (B, K)  ->  (B, K)

    By hand: f is worth 1 more than the average in the first class, 1 less in the second.

    >>> print(elbo_gradient(np.array([[0.5, 0.5]]), np.array([[2.0, 0.0]])))
    [[ 0.5 -0.5]]
    """
    return q * (f - (q * f).sum(axis=1, keepdims=True))


def score_gradient(f, z, q, baseline):
    """The same gradient from one draw: (f - baseline) times d log q(z) / d a.

    f (S,) the value at each draw, z (S, K) one-hot, q (K,), baseline a number  ->  (S, K)

    >>> print(score_gradient(np.array([3.0]), np.array([[1.0, 0.0]]), np.array([0.5, 0.5]), 1.0))
    [[ 1. -1.]]
    """
    return (f - baseline)[:, None] * (z - q)


def gumbel_softmax(a, gumbel, temperature):
    """A soft draw from q = softmax(a), as a function of the noise.

    a, gumbel (S, K), temperature > 0  ->  (S, K), each row adds up to 1

    >>> print(gumbel_softmax(np.zeros((1, 2)), np.log(np.array([[3.0, 1.0]])), 1.0))
    [[0.75 0.25]]
    """
    e = np.exp((a + gumbel) / temperature)
    return e / e.sum(axis=1, keepdims=True)
