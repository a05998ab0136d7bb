"""Exercise 4: the KL divergence of two Gaussians, to be mended.

The code below runs. Each of the three functions kl_to_standard_normal, kl_diagonal and kl has one
mistake. Find them, mend them, and check as often as you like:

    tinyvae check 04_gaussian_kl_debug.py

All results are in nats.
"""

import numpy as np

EXERCISE = 4  # tells `tinyvae check` which laws apply


def kl_to_standard_normal(mu, logvar):
    """KL( N(mu, diag exp(logvar)) || N(0, I) ).    mu, logvar (B, Z)  ->  (B,)"""
    log_std = logvar  # what the second head of the encoder gives
    variance = np.exp(2 * log_std)
    return 0.5 * np.sum(mu**2 + variance - 1 - 2 * log_std, axis=1)


def kl_diagonal(mu_q, logvar_q, mu_p, logvar_p):
    """KL(q || p), both with independent dimensions.    all (B, Z)  ->  (B,)"""
    var_q, var_p = np.exp(logvar_q), np.exp(logvar_p)
    distance = (mu_q - mu_p) ** 2 / var_q
    return 0.5 * np.sum(logvar_p - logvar_q + var_q / var_p + distance - 1, axis=1)


def logdet(factor):
    """Of a covariance, from its Cholesky factor: a triangular determinant is its diagonal's."""
    return np.sum(np.log(np.diag(factor)))


def kl(mean_q, cov_q, mean_p, cov_p):
    """KL(q || p), any covariances.    mean_q, mean_p (k,), cov_q, cov_p (k, k)  ->  ()"""
    factor_q, factor_p = np.linalg.cholesky(cov_q), np.linalg.cholesky(cov_p)
    whitened = np.linalg.solve(factor_p, factor_q)
    shift = np.linalg.solve(factor_p, mean_q - mean_p)
    trace = np.sum(whitened**2)  # tr(A A') is the sum of all squares of A
    return 0.5 * (logdet(factor_p) - logdet(factor_q) + trace + shift @ shift - len(mean_q))


def report(rng, k=3):
    """The KL between two random Gaussians, and of the same two with the axes turned."""

    def spread():
        entries = rng.standard_normal((k, k))
        return entries @ entries.T + np.eye(k)

    mean_q, mean_p, cov_q, cov_p = *rng.standard_normal((2, k)), spread(), spread()
    turn = np.linalg.qr(rng.standard_normal((k, k)))[0]
    turned = turn @ mean_q, turn @ cov_q @ turn.T, turn @ mean_p, turn @ cov_p @ turn.T
    return f"KL {kl(mean_q, cov_q, mean_p, cov_p):.4f}, with the axes turned {kl(*turned):.4f}"


if __name__ == "__main__":
    print(report(np.random.default_rng(0)))
