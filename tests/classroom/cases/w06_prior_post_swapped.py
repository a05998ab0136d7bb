import numpy as np


def kl(prior_mean, prior_cov, post_mean, post_cov):
    P, d = np.linalg.inv(post_cov), prior_mean - post_mean
    return 0.5 * (np.trace(P @ prior_cov) + d @ P @ d - len(d) + np.linalg.slogdet(post_cov)[1] - np.linalg.slogdet(prior_cov)[1])
