import numpy as np


def kl(mu1, S1, mu2, S2):
    d, P = mu2 - mu1, np.linalg.inv(S2)
    return 0.5 * (np.trace(P @ S1) + d @ P @ d - len(d) + np.linalg.slogdet(S1)[1] - np.linalg.slogdet(S2)[1])
