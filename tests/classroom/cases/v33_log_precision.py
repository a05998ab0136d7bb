import numpy as np


def kl(mu, logprec):
    return 0.5 * (mu**2 + np.exp(-logprec) - 1 + logprec).sum(-1)
