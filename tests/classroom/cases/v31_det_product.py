import numpy as np


def kl(m, v):
    k = m.shape[-1]
    return 0.5 * (v.sum(-1) + (m * m).sum(-1) - k - np.log(v.prod(-1)))
