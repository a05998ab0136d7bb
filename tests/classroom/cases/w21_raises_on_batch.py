import numpy as np


def kl(mu, logvar):
    return 0.5 * (mu @ mu + np.exp(logvar).sum() - logvar.sum() - len(mu))
