"""Exercise 11: the right likelihood.

Replace each `raise NotImplementedError`.  Then, as often as you like:

    tinyvae check 11_right_likelihood.py

Pixels are grey, in [0, 1].
"""

import numpy as np

EXERCISE = 11  # tells `tinyvae check` which laws apply


def continuous_bernoulli_nll(logits, x):
    """-log p(x|z) of the continuous Bernoulli in nats; negative where the density exceeds 1.

    The density of a pixel is proportional to exp(a x) on [0, 1], a its logit.  Divide by the
    integral, and mind a = 0.

    logits, x (B, D)  ->  (B,), summed over the pixels

    By hand: at a = 0 the density is 1 everywhere.

    >>> print(continuous_bernoulli_nll(np.zeros((1, 2)), np.array([[0.3, 1.0]])))
    [0.]
    """
    raise NotImplementedError


def continuous_bernoulli_nll_backward(dnll, logits, x):
    """The derivative by the logits is (mean of the density) - x.

    dnll (B,), logits, x (B, D)  ->  dlogits (B, D)

    By hand: at a = 0 the mean is 1/2.

    >>> print(continuous_bernoulli_nll_backward(np.ones(1), np.zeros((1, 1)), np.ones((1, 1))))
    [[-0.5]]
    """
    raise NotImplementedError


def gaussian_nll(x_hat, logvar, x):
    """-log N(x; x_hat, exp(logvar) I) in nats, with one logvar for all pixels.

    x_hat, x (B, D), logvar ()  ->  (B,), summed over the pixels

    By hand: log(2 pi) / 2 for each pixel where x = x_hat and logvar = 0.

    >>> print(gaussian_nll(np.ones((1, 2)), 0.0, np.ones((1, 2))).round(4))
    [1.8379]
    """
    raise NotImplementedError


def best_logvar(x_hat, x):
    """The logvar for which the mean of gaussian_nll over the batch is smallest.

    x_hat, x (B, D)  ->  ()

    By hand: errors of 1 and 3 have a mean square of 5.

    >>> print(best_logvar(np.zeros((1, 2)), np.array([[1.0, 3.0]])).round(4))
    1.6094
    """
    raise NotImplementedError
