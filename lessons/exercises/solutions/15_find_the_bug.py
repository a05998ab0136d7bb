"""Exercise 15: find the bug.

Replace each `raise NotImplementedError`.  Then, as often as you like:

    tinyvae check 15_find_the_bug.py
"""

import numpy as np

EXERCISE = 15  # tells `tinyvae check` which laws apply


def kl_weight(loss, recon, kl):
    """beta of a log whose loss is recon + beta kl: 1 is right, -1 and 100 / 1500 have names.

    All epochs are used, so that one with kl = 0 does no harm: the beta of least squares.

    loss, recon, kl (E,), not all kl are 0  ->  ()

    By hand: the KL was subtracted.

    >>> print(kl_weight(np.array([9.0, 5.0]), np.array([9.0, 8.0]), np.array([0.0, 3.0])))
    -1.0
    """
    return np.sum(kl * (loss - recon)) / np.sum(kl**2)


def pixels_alone(x_train, x):
    """Nats per image if each pixel stands for itself: what a VAE with z must stay below.

    Pixel d is white with probability (white ones in x_train + 1/2) / (N + 1).

    x_train (N, D), x (B, D) in {0, 1}  ->  (), summed over pixels, the mean over images

    By hand: 3/4 for each of two pixels.

    >>> print(pixels_alone(np.ones((1, 2)), np.ones((1, 2))).round(6))
    0.575364
    """
    p = (x_train.sum(axis=0) + 0.5) / (len(x_train) + 1)
    return -np.mean(x @ np.log(p) + (1 - x) @ np.log(1 - p))


def active_units(mu):
    """How many latent dimensions the encoder uses: the variance of mu over images is above 0.01.

    mu (N, Z)  ->  (), the variance divided by N

    By hand: the second is the same for both images.

    >>> print(active_units(np.array([[1.0, 3.0], [-1.0, 3.0]])))
    1
    """
    return np.sum(mu.var(axis=0) > 0.01)
