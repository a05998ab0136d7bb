import numpy as np


def kl(mu, log_sigma):
    return 0.5 * np.sum(mu**2 + np.exp(2 * log_sigma) - 1 - log_sigma**2, axis=-1)
