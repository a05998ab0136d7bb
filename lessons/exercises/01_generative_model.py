"""Exercise 1: the generative model.

Replace each `raise NotImplementedError`.  Then, as often as you like:

    tinyvae check 01_generative_model.py
"""

import numpy as np

EXERCISE = 1  # tells `tinyvae check` which laws apply


def probability(x, p_z, p_x):
    """P(x) = sum over the topics z of p(z) P(x|z): a probability, no unit.

    x   (D,)    which words the news has: 0 or 1
    p_z (K,)    how often each topic is chosen; adds up to 1
    p_x (K, D)  how often each word turns up, given the topic
    ->  ()

    The words are independent, given the topic: P(x|z) is a product over the D words, with the
    factor p_x for a word that is there, and 1 - p_x for one that is not.

    By hand: one topic, two words, p = 0.5 and 0.25.  The news has the first word only.

    >>> print(probability(np.array([1.0, 0.0]), np.array([1.0]), np.array([[0.5, 0.25]])))
    0.375
    """
    raise NotImplementedError


def log_likelihood(X, p_z, p_x):
    """What training maximises: the sum of log P(x) over all x of the training set, in nats.

    X (N, D), a row for each x; p_z (K,), p_x (K, D) as above  ->  ()

    By hand: two pieces of news with P(x) = 0.5 each, so 2 log 0.5.

    >>> X = np.array([[1.0], [0.0]])
    >>> print(round(float(log_likelihood(X, np.array([1.0]), np.array([[0.5]]))), 4))
    -1.3863
    """
    raise NotImplementedError


def ring(z):
    """x = z / 10 + z / |z|: makes a ring of points that come from a Gaussian.

    z (N, 2), a point in each row  ->  x (N, 2)

    By hand: |z| = 5 for z = (3, 4), so x = (0.3, 0.4) + (0.6, 0.8).

    >>> print(ring(np.array([[3.0, 4.0]])).round(12))
    [[0.9 1.2]]
    """
    raise NotImplementedError
