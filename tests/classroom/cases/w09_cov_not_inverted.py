import numpy as np


def kl(mu1, S1, mu2, S2):
    d = mu2 - mu1
    return 0.5 * (np.trace(S2 @ S1) + d @ np.linalg.inv(S2) @ d - len(d) + np.log(np.linalg.det(S2) / np.linalg.det(S1)))
