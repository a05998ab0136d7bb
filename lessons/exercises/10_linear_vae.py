"""Exercise 10: the linear VAE.

Replace each `raise NotImplementedError`.  Then, as often as you like:

    tinyvae check 10_linear_vae.py

The decoder is p(x|z) = N(z W + b, noise_var I), W has one row for each latent.
"""

import numpy as np

EXERCISE = 10  # tells `tinyvae check` which laws apply


def unit_kl(eigenvalues, noise_var):
    """KL of each unit of the best linear VAE, in nats; 0 for a unit that has collapsed.

    One unit for each eigenvalue of the data's covariance, noise_var given.

    eigenvalues (D,) >= 0, noise_var ()  ->  (D,)

    By hand: 4 against 1 is log 2; 0.5 is below 1.

    >>> print(unit_kl(np.array([4.0, 0.5]), 1.0).round(4))
    [0.6931 0.    ]
    """
    raise NotImplementedError


def best_decoder(eigenvalues, eigenvectors, noise_var):
    """W of the best linear VAE: a row for each eigenvalue, 0 where the unit has collapsed.

    eigenvalues (D,), eigenvectors (D, D), column i belongs to eigenvalue i  ->  W (D, D)

    By hand: 5 - 1 = 4, and its root.

    >>> print(best_decoder(np.array([5.0, 0.5]), np.eye(2), 1.0))
    [[2. 0.]
     [0. 0.]]
    """
    raise NotImplementedError


def expected_nll(x, mu, var, W, b, noise_var):
    """E_q[ -log p(x|z) ] in nats for one x, q = N(mu, diag var): exact, without a draw.

    The error at mu, what q's spread adds to it, and the normaliser.

    x, b (D,), mu, var (Z,), W (Z, D), noise_var ()  ->  ()

    By hand: x - mu W = 1, the spread adds 4, so 5 / 2 + log(2 pi) / 2.

    >>> one = np.ones(1)
    >>> print(expected_nll(2 * one, one, 4 * one, np.eye(1), 0 * one, 1.0).round(4))
    3.4189
    """
    raise NotImplementedError
