import numpy as np


def kl(mu, logvar):
    return 0.5 * (mu**2 + np.exp(2 * logvar) - 1 - 2 * logvar).sum(-1)
