import numpy as np


def prior_kl(q_mu, q_sqrt):
    """KL[q(u) || p(u)] in the whitened representation, p(u) = N(0, I)"""
    M = len(q_mu)
    mahalanobis = np.sum(q_mu**2)
    logdet_q = np.sum(np.log(np.square(np.diag(q_sqrt))))
    trace = np.sum(np.square(q_sqrt))
    return 0.5 * (mahalanobis - M - logdet_q + trace)
