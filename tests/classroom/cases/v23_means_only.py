import numpy as np


def kl(mu1, mu2):
    return 0.5 * np.sum((mu1 - mu2) ** 2, axis=-1)
