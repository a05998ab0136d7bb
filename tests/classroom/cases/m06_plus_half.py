import numpy as np


def kl_normal(m1, s1, m2, s2):
    """KL between two univariate normals"""
    return np.log(s2 / s1) + (s1**2 + (m1 - m2) ** 2) / (2 * s2**2) + 0.5
