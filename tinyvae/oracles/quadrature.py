"""Integrals over a small latent space by summing over a grid: no encoder, no random number.

    log p(x) = log of the integral of p(x|z) p(z) dz

    nodes, log_weights = standard_normal_grid(40)      # p(z) is in the weights
    log_px = log_integral(log p(x|nodes), log_weights)

    nodes, log_weights = plane_grid(200, 6.0)          # the weights are the cells' area
    log_px = log_integral(log p(x|nodes) + log p(nodes), log_weights)

Which one: the Gauss-Hermite nodes are few, but far apart whatever happens between them, so they
suit a smooth p(x|z).  The plane's spacing is yours, so it suits a peaked one.  It must not exceed
the smallest standard deviation of p(z|x): a Gaussian that wide is then summed with a relative error
of at most 2 exp(-2 pi^2) = 5e-9 per axis.  And the square must hold all of its mass.
"""

import numpy as np


def standard_normal_grid(points_per_axis, dim=2):
    """Gauss-Hermite product rule: sum(w f(nodes)) = E f(z), z ~ N(0, I).

    Exact for polynomials of degree up to 2 points_per_axis - 1 in each coordinate.

    ->  nodes (points_per_axis ** dim, dim), log_weights (points_per_axis ** dim,)

    ValueError beyond 250 points per axis: NumPy's weights overflow not far above.

    >>> nodes, _ = standard_normal_grid(40, dim=1)
    >>> round(float(nodes[20, 0] - nodes[19, 0]), 2)  # no two nodes are closer
    0.49
    """
    if points_per_axis > 250:
        raise ValueError(f"at most 250 points per axis, got {points_per_axis}: use plane_grid")
    nodes, weights = np.polynomial.hermite_e.hermegauss(points_per_axis)
    log_weights = np.log(weights) - 0.5 * np.log(2 * np.pi)
    return _product(nodes, dim), _product(log_weights, dim).sum(axis=1)


def plane_grid(points_per_axis, half_width):
    """Midpoint rule on the square [-half_width, half_width]^2: sum(w f(nodes)) = integral of f.

    ->  nodes (points_per_axis ** 2, 2), log_weights (points_per_axis ** 2,), all log(cell area)
    """
    spacing = 2 * half_width / points_per_axis
    nodes = _product(-half_width + spacing * (np.arange(points_per_axis) + 0.5), dim=2)
    return nodes, np.full(len(nodes), 2 * np.log(spacing))


def log_integral(log_f_values, log_weights):
    """log(sum(w f)) over the last axis, from logarithms.

    log_f_values (..., n), log_weights (n,)  ->  (...).  Where f is 0 at every node: -inf.
    """
    log_terms = np.asarray(log_f_values, dtype=np.float64) + log_weights
    largest = np.max(log_terms, axis=-1, keepdims=True)
    largest = np.where(np.isfinite(largest), largest, 0.0)
    with np.errstate(divide="ignore"):  # log(0) = -inf is meant
        log_sum = np.log(np.sum(np.exp(log_terms - largest), axis=-1, keepdims=True))
    return (largest + log_sum)[..., 0]


def _product(values, dim):
    """Every combination of ``dim`` of the values.    (n,)  ->  (n ** dim, dim)"""
    return np.stack(np.meshgrid(*[values] * dim, indexing="ij"), axis=-1).reshape(-1, dim)
