import numpy as np


def kl_loss(mu, logvar, beta=1.0, reduction="mean"):
    kl = -0.5 * np.sum(1 + logvar - mu**2 - np.exp(logvar), axis=1)
    return beta * (kl.mean() if reduction == "mean" else kl.sum())
