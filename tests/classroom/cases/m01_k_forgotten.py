import numpy as np


def kl_gaussians(mu_1, cov_1, mu_2, cov_2):
    """D_KL(N_1 || N_2)"""
    inv_2 = np.linalg.inv(cov_2)
    _, ld1 = np.linalg.slogdet(cov_1)
    _, ld2 = np.linalg.slogdet(cov_2)
    diff = mu_2 - mu_1
    return 0.5 * (ld2 - ld1 + np.trace(inv_2.dot(cov_1)) + diff.T.dot(inv_2).dot(diff))
