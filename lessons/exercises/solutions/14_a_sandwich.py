"""Exercise 14: a sandwich for log p(x).

Replace each `raise NotImplementedError`.  Then, as often as you like:

    tinyvae check 14_a_sandwich.py
"""

import numpy as np

EXERCISE = 14  # tells `tinyvae check` which laws apply


def log_weight(log_px, temperatures):
    """log w of annealed importance sampling: what a chain takes up on its way.

    log_px (K, S): log p(x|z) of S chains where each was *before* the K moves, temperatures (K + 1,)
    ->  (S,)

    By hand: a half of -4, then a half of -2.

    >>> print(log_weight(np.array([[-4.0], [-2.0]]), np.array([0.0, 0.5, 1.0])))
    [-3.]
    """
    return np.diff(temperatures) @ log_px


def refresh(z, eps, mean, std, keep):
    """A move that leaves N(mean, diag std^2) as it is and keeps a part of where z was.

    z, eps (S, Z), eps ~ N(0, I), mean, std (Z,), keep from 0 (nothing) to 1 (all)  ->  (S, Z)

    By hand: 0.6 of the distance to the mean stays, and the noise fills up the variance.

    >>> one = np.ones((1, 1))
    >>> print(refresh(one, one, np.zeros(1), np.ones(1), 0.6))
    [[1.4]]
    """
    return mean + keep * (z - mean) + np.sqrt(1 - keep**2) * std * eps


def leapfrog(z, momentum, var, step):
    """One leapfrog step of a particle of mass 1 in N(0, diag var), whose slope is -z / var.

    Half a kick, a whole move, half a kick.

    z, momentum (S, Z), var (Z,), step ()  ->  z, momentum (S, Z)

    By hand: from 1 at rest, half a kick of -0.5, a move to 0.5, half a kick of -0.25.

    >>> z, momentum = leapfrog(np.ones((1, 1)), np.zeros((1, 1)), np.ones(1), 1.0)
    >>> print(z, momentum)
    [[0.5]] [[-0.75]]
    """
    momentum = momentum - 0.5 * step * z / var
    z = z + step * momentum
    return z, momentum - 0.5 * step * z / var


def accept(log_f, momentum, new_log_f, new_momentum, u):
    """Whether a Hamiltonian move is accepted, 1.0 or 0.0, for u ~ U(0, 1).

    log_f, new_log_f, u (S,), momentum, new_momentum (S, Z)  ->  (S,)

    By hand: the energy rises by 1/2, and exp(-1/2) = 0.61.

    >>> rest, moving = np.zeros((2, 1)), np.ones((2, 1))
    >>> print(accept(np.zeros(2), rest, np.zeros(2), moving, np.array([0.6, 0.7])))
    [1. 0.]
    """
    kinetic = 0.5 * np.sum(new_momentum**2 - momentum**2, axis=1)
    return (np.log(u) < new_log_f - log_f - kinetic).astype(float)
