import numpy as np


def kl(mu, logvar):
    return 0.5 * np.sum(mu + np.exp(logvar) - 1 - logvar, axis=-1)
