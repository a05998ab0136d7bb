import numpy as np


def kl_gauss(logvar, mu):
    return 0.5 * (np.exp(logvar) + mu**2 - 1 - logvar).sum(axis=1)
