import numpy as np


def kl(mean, logvar):
    return 0.5 * (np.sum(mean**2 + np.exp(logvar) - logvar, axis=-1) - 1)
