import numpy as np


def kl(mean_q, cov_q, mean_p, cov_p):
    cov_p = cov_p + 1e-4 * np.eye(len(mean_q))
    P, d = np.linalg.inv(cov_p), mean_q - mean_p
    return 0.5 * (np.trace(P @ cov_q) + d @ P @ d - len(d) + np.linalg.slogdet(cov_p)[1] - np.linalg.slogdet(cov_q)[1])
