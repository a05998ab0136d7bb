import numpy as np
from scipy.stats import multivariate_normal


def kl(m1, S1, m2, S2):
    P = np.linalg.inv(S2)
    cross = 0.5 * (np.log(np.linalg.det(2 * np.pi * S2)) + np.trace(P @ S1) + (m1 - m2) @ P @ (m1 - m2))
    return cross - multivariate_normal(m1, S1).entropy()
