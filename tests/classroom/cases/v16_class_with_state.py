import numpy as np


LATENT = 10


class Model:
    def kl(self, mu, logvar):
        mu, logvar = mu.reshape(-1, LATENT), logvar.reshape(-1, LATENT)
        return 0.5 * (mu**2 + np.exp(logvar) - 1 - logvar).sum(axis=1)
