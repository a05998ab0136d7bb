import numpy as np


def prior_kl(q_mu, q_sqrt):
    """KL[q(u) || p(u)] in the whitened representation, p(u) = N(0, I)"""
    logdet_q = np.sum(np.log(np.diag(q_sqrt)))
    return 0.5 * (np.sum(q_mu**2) + np.sum(q_sqrt**2) - logdet_q - len(q_mu))
