import numpy as np


def kl(mean_q, cov_q, mean_p, cov_p):
    P = np.linalg.inv(cov_p)
    d = mean_q - mean_p
    tr = np.einsum("...ij,...ji->...", P, cov_q)
    maha = np.einsum("...i,...ij,...j->...", d, P, d)
    return 0.5 * (tr + maha - d.shape[-1] + np.linalg.slogdet(cov_p)[1] - np.linalg.slogdet(cov_q)[1])
