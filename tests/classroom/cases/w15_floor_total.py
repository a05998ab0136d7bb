import numpy as np


def kl(mu, logvar):
    return np.maximum(0.5 * (mu**2 + np.exp(logvar) - 1 - logvar).sum(-1), 0.3)
