import numpy as np


def kl(mu_post, precision_post, mu_prior, precision_prior):
    cov = np.linalg.inv(precision_post)
    d = mu_post - mu_prior
    return 0.5 * (np.trace(precision_prior @ cov) + d @ precision_prior @ d - len(d)
                  + np.linalg.slogdet(precision_post)[1] - np.linalg.slogdet(precision_prior)[1])
