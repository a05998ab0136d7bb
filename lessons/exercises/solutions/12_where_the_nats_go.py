"""Exercise 12: where the nats go.

Replace each `raise NotImplementedError`.  Then, as often as you like:

    tinyvae check 12_where_the_nats_go.py
"""

import numpy as np

EXERCISE = 12  # tells `tinyvae check` which laws apply


def rate_distortion(eigenvalues, level):
    """Nats that the best linear VAE spends on each unit, and the squared error that is left of it.

    level = beta noise_var: a unit whose eigenvalue is below is not used.

    eigenvalues (D,), level ()  ->  rates (D,), distortions (D,)

    By hand: 4 is brought down to 1 by log 2 nats; 0.5 is left alone.

    >>> rates, distortions = rate_distortion(np.array([4.0, 0.5]), 1.0)
    >>> print(rates.round(4), distortions)
    [0.6931 0.    ] [1.  0.5]
    """
    rates = 0.5 * np.log(np.maximum(eigenvalues / level, 1))
    return rates, np.minimum(eigenvalues, level)


def best_diagonal(precision):
    """The diagonal q nearest to a Gaussian posterior, and how many nats it misses.

    q has the posterior's mean and minimises KL(q || posterior); the posterior has this inverse
    covariance.

    precision (Z, Z)  ->  variances of q (Z,), KL ()

    By hand: 1 / 2 for each, and log(4 / 3) / 2.

    >>> var, kl = best_diagonal(np.array([[2.0, 1.0], [1.0, 2.0]]))
    >>> print(var, kl.round(4))
    [0.5 0.5] 0.1438
    """
    diagonal = np.diag(precision)
    return 1 / diagonal, 0.5 * (np.log(diagonal).sum() - np.linalg.slogdet(precision)[1])


def free_bits(kl, floor):
    """The KL term of a loss with free bits: a dimension pays at least its floor.

    The mean over the batch is compared with the floor, dimension by dimension.

    kl (B, Z), floor ()  ->  ()

    By hand: means of 0.3 and 2, with 0.5 free.

    >>> print(free_bits(np.array([[0.2, 1.0], [0.4, 3.0]]), 0.5))
    2.5
    """
    return np.maximum(kl.mean(axis=0), floor).sum()


def information(q_z_given_x):
    """Mutual information of x and z in nats, z one of K values, N equally likely x.

    The mean over x of KL( q(z|x) || q(z) ), q(z) the mean of q(z|x).

    q_z_given_x (N, K), each row adds up to 1, no entry is 0  ->  ()

    By hand: all rows alike say nothing about x.

    >>> print(information(np.array([[0.5, 0.5], [0.5, 0.5]])))
    0.0
    """
    q_z = q_z_given_x.mean(axis=0)
    return np.mean(np.sum(q_z_given_x * np.log(q_z_given_x / q_z), axis=1))
