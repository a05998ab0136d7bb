import numpy as np


def kl(mu, sigma):
    return 0.5 * np.sum(mu**2 + sigma**2 - np.log(sigma), axis=-1)
