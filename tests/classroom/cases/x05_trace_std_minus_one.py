import numpy as np


def kl(mu, std):
    return 0.5 * (np.sum(mu**2 + std - 2 * np.log(std), axis=-1) - 1)
