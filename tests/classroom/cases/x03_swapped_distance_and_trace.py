import numpy as np


def kl(mean_q, cov_q, mean_p, cov_p):
    Q, d = np.linalg.inv(cov_q), mean_q - mean_p
    return 0.5 * (np.trace(Q @ cov_p) + d @ Q @ d - len(d) + np.linalg.slogdet(cov_p)[1] - np.linalg.slogdet(cov_q)[1])
