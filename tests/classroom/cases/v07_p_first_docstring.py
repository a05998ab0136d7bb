import numpy as np


def divergence(mu1, cov1, mu2, cov2):
    """KL(2 || 1)"""
    P, d = np.linalg.inv(cov1), mu2 - mu1
    return 0.5 * (np.trace(P @ cov2) + d @ P @ d - len(d) + np.log(np.linalg.det(cov1) / np.linalg.det(cov2)))
