import numpy as np


def kl(mu, logvar):
    mu **= 2
    return 0.5 * (mu + np.exp(logvar) - 1 - logvar).sum(-1)
