import numpy as np
from scipy.linalg import solve_triangular


def kl_chol(mu0, L0, mu1, L1):
    """KL(N(mu0, L0 L0^T) || N(mu1, L1 L1^T))"""
    A = solve_triangular(L1, L0, lower=True)
    b = solve_triangular(L1, mu1 - mu0, lower=True)
    logdet = np.log(np.diag(L1)).sum() - np.log(np.diag(L0)).sum()
    return logdet + 0.5 * ((A**2).sum() + b.dot(b) - mu0.size)
