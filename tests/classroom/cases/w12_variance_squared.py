import numpy as np


def kl(mu, logvar):
    sigma = np.exp(logvar)
    return 0.5 * np.sum(mu**2 + sigma**2 - 1 - logvar, axis=-1)
