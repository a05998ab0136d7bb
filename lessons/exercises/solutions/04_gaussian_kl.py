"""Exercise 4: the KL divergence of two Gaussians.

Replace each `raise NotImplementedError`.  Then, as often as you like:

    tinyvae check 04_gaussian_kl.py
"""

import numpy as np

EXERCISE = 4  # tells `tinyvae check` which laws apply


def kl_to_standard_normal(mu, logvar):
    """KL(q || p) in nats, q = N(mu, diag exp(logvar)), p = N(0, I).

        1/2 sum_j [ mu_j^2 + exp(logvar_j) - 1 - logvar_j ]

    mu, logvar (B, Z)  ->  (B,), summed over the dimensions

    By hand: (9 + 16) / 2.

    >>> print(kl_to_standard_normal(np.array([[3.0, 4.0]]), np.zeros((1, 2))))
    [12.5]
    """
    return 0.5 * (mu**2 + np.exp(logvar) - 1 - logvar).sum(axis=-1)


def kl_diagonal(mu_q, logvar_q, mu_p, logvar_p):
    """KL(q || p) in nats, q = N(mu_q, diag exp(logvar_q)), p = N(mu_p, diag exp(logvar_p)).

    Independent dimensions: the KLs of the dimensions add up.  In one dimension, var = exp(logvar):

        1/2 [ log(var_p / var_q)  +  var_q / var_p  +  (mu_q - mu_p)^2 / var_p  -  1 ]

    all (B, Z)  ->  (B,), summed over the dimensions

    By hand: means 0 and 3, both variances 1, so 9 / 2.

    >>> zero = np.zeros((1, 1))
    >>> print(kl_diagonal(zero, zero, zero + 3, zero))
    [4.5]
    """
    d = logvar_q - logvar_p
    return 0.5 * ((mu_q - mu_p) ** 2 / np.exp(logvar_p) + np.exp(d) - 1 - d).sum(axis=-1)


def kl(mean_q, cov_q, mean_p, cov_p):
    """KL(q || p) in nats, q = N(mean_q, cov_q), p = N(mean_p, cov_p).

        1/2 [ tr(cov_p^-1 cov_q)  +  d' cov_p^-1 d  -  k  +  log( det cov_p / det cov_q ) ]

    with d = mean_q - mean_p.

    mean_q, mean_p (k,), cov_q, cov_p (k, k), symmetric and positive definite  ->  ()

    A determinant of many dimensions overflows or underflows: np.linalg.slogdet gives its logarithm.

    By hand: k = 2, equal means, cov_q = I, cov_p = 4 I:  (1/2 + 0 - 2 + log 16) / 2.

    >>> print(round(float(kl(np.zeros(2), np.eye(2), np.zeros(2), 4 * np.eye(2))), 4))
    0.6363
    """
    d = mean_q - mean_p
    log_ratio = np.linalg.slogdet(cov_p)[1] - np.linalg.slogdet(cov_q)[1]
    trace = np.trace(np.linalg.solve(cov_p, cov_q))
    return 0.5 * (trace + d @ np.linalg.solve(cov_p, d) - len(d) + log_ratio)
