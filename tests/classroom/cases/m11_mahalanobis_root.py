import numpy as np
from scipy.spatial.distance import mahalanobis


def kl(mu0, cov0, mu1, cov1):
    """KL(N0 || N1)"""
    VI = np.linalg.inv(cov1)
    d = mahalanobis(mu0, mu1, VI)
    k = cov0.shape[0]
    log_det = np.linalg.slogdet(cov1)[1] - np.linalg.slogdet(cov0)[1]
    return 0.5 * (np.trace(VI @ cov0) + d - k + log_det)
