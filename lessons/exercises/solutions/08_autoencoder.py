"""Exercise 8: what an autoencoder lacks.

Replace each `raise NotImplementedError`.  Then, as often as you like:

    tinyvae check 08_autoencoder.py
"""

import numpy as np

EXERCISE = 8  # tells `tinyvae check` which laws apply


def autoencoder_loss(logits, x):
    """The loss of an autoencoder, in nats: the VAE's without its KL.

    The mean over the batch of -log p(x|z), with p(x|z) as in exercise 3: for a pixel with the logit
    a, log(1 + exp(-a)) if x = 1 and log(1 + exp(a)) if x = 0; summed over the pixels.

    logits, x (B, D)  ->  ()

    By hand: two pixels at logit 0 cost 2 log 2, in each example of the batch.

    >>> print(round(float(autoencoder_loss(np.zeros((3, 2)), np.ones((3, 2)))), 4))
    1.3863
    """
    return np.logaddexp(0, (1 - 2 * x) * logits).sum(axis=1).mean()


def aggregate_moments(mu, logvar):
    """Where the codes of a whole data set lie: mean and covariance of the mixture of all q(z|x_n).

        z is drawn from N(mu_n, diag exp(logvar_n)), with n any of the N rows, each as often

    mu, logvar (N, Z)  ->  mean (Z,), cov (Z, Z)

    The covariance has two parts: how the mu_n are spread (divide by N), and on the diagonal the
    mean of the variances.  An autoencoder has only the first part.

    By hand: mu = -1 and 1 have the variance 1; the variances 2 and 4 have the mean 3.

    >>> mean, cov = aggregate_moments(np.array([[-1.0], [1.0]]), np.log([[2.0], [4.0]]))
    >>> print(mean, cov.round(12))
    [0.] [[4.]]
    """
    mean = mu.mean(axis=0)
    between = (mu - mean).T @ (mu - mean) / len(mu)
    return mean, between + np.diag(np.exp(logvar).mean(axis=0))


def kl_of_moments(mean, cov):
    """KL( N(mean, cov) || N(0, I) ) in nats: how far the codes are from what `generate` draws.

        1/2 [ tr cov + mean' mean - k - log det cov ]

    mean (k,), cov (k, k), symmetric and positive definite  ->  ()

    By hand: k = 1, mean 3, variance 1, so 9 / 2.

    >>> print(kl_of_moments(np.array([3.0]), np.eye(1)))
    4.5
    """
    return 0.5 * (np.trace(cov) + mean @ mean - len(mean) - np.linalg.slogdet(cov)[1])
