"""Gaussian expectations that are exact for polynomials up to degree 3, from 2k points.

Why 2k points are enough.  Write z = mean + root @ u with root @ root.T = cov and u ~ N(0, I): a
polynomial in z is one of the same degree in u, and the points become u = +- sqrt(k) * e_i.  Then
compare the average over the points with the expectation, monomial by monomial:

    degree 0       both are 1
    degree 1, 3    E is 0, and so is the average: each point has its mirror image
    u_i * u_j      E is 0, and so is the average: a point has only one coordinate that is not 0
    u_i ** 2       E is 1, and the average is 2 * sqrt(k) ** 2 / (2 k) = 1

Degree 4 fails: E u_i ** 4 = 3, the average is k; E u_i ** 2 * u_j ** 2 = 1, the average is 0.

log q - log p is of degree 2 for two Gaussians, so its average over the points of q *is* KL(q || p).
No trace and no KL formula is needed, only the two densities.

Source: the degree-3 spherical-radial rule; A. H. Stroud, Approximate Calculation of Multiple
Integrals, 1971; the points of the cubature Kalman filter, Arasaratnam and Haykin, 2009.
"""

import numpy as np


def points(mean, cov):
    """The nodes mean +- sqrt(k) * (columns of a root of cov), each of weight 1 / 2k.

    mean (k,), cov (k, k)  ->  (2k, k).  Scalars mean k = 1.

    The root is eigenvectors * sqrt(eigenvalues), so the points lie on the principal axes; no
    Cholesky factor is involved.  ValueError if cov is not positive definite.

    >>> points(5.0, 4.0)
    array([[7.],
           [3.]])
    """
    mean, cov = np.atleast_1d(mean), np.atleast_2d(cov)
    variances, axes = np.linalg.eigh(cov)
    if not variances[0] > 0:
        raise ValueError(f"cov is not positive definite: it has the eigenvalue {variances[0]:.3g}")
    offsets = np.sqrt(mean.size) * (axes * np.sqrt(variances)).T
    return np.concatenate([mean + offsets, mean - offsets])


def expectation(f, mean, cov):
    """E f(z), z ~ N(mean, cov): exact if f is a polynomial of degree 3 or less, up to rounding.

    f takes points (n, k) and returns values (n, ...); mean (k,), cov (k, k)  ->  (...)

    >>> float(expectation(lambda z: z[:, 0] ** 2, 5.0, 4.0))  # mean ** 2 + variance
    29.0
    """
    return np.mean(f(points(mean, cov)), axis=0)


def log_density(x, mean, cov):
    """log N(x; mean, cov) in nats: -(d' cov^-1 d + log det cov + k log 2 pi) / 2, d = x - mean.

    x (..., k), mean (k,), cov (k, k)  ->  (...)
    """
    mean, cov = np.atleast_1d(mean), np.atleast_2d(cov)
    d = x - mean
    squared_distance = np.sum(d * np.linalg.solve(cov, d[..., None])[..., 0], axis=-1)
    _, log_det = np.linalg.slogdet(cov)
    return -0.5 * (squared_distance + log_det + mean.size * np.log(2 * np.pi))


def gaussian_kl(mean_q, cov_q, mean_p, cov_p):
    """KL(q || p) = E_q[log q(z) - log p(z)] in nats, for one pair of Gaussians.

    mean_q, mean_p (k,), cov_q, cov_p (k, k)  ->  ().  Scalars mean k = 1.

    How accurate, for k <= 6 and condition numbers up to 1e8:

        abs(error) <= 2 eps cond KL + 1e-14, eps = 2.2e-16

    so a KL of 1 is right to 13 digits if cond <= 10 and to 7 if cond = 1e8, but one of 1e-12 only
    to 2, because log q - log p is a difference.  Judge smaller ones by mpmath.  The bound is held
    against mpmath by test_gaussian_kl_is_as_accurate_as_it_says in tests/core/test_oracles.py.

    >>> round(float(gaussian_kl(1.0, 4.0, 0.0, 1.0)), 12)  # (4 + 1 - 1 - log 4) / 2
    1.30685281944
    """
    # a KL is of the difference of the means alone: far from 0 they would cost digits
    mean_p = np.subtract(mean_p, mean_q)
    mean_q = np.zeros_like(mean_p)
    return expectation(
        lambda z: log_density(z, mean_q, cov_q) - log_density(z, mean_p, cov_p), mean_q, cov_q
    )
