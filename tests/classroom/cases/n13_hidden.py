import numpy as np


def _softplus(x):
    return np.log1p(np.exp(x))


def _kl_div(mu, rho):
    sigma = _softplus(rho)
    return np.sum(-np.log(sigma) + (sigma**2 + mu**2) / 2 - 0.5, -1)
