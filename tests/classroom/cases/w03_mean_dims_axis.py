import numpy as np


def kl(mu_q, logvar_q, mu_p, logvar_p):
    return 0.5 * np.mean(logvar_p - logvar_q + (np.exp(logvar_q) + (mu_q - mu_p) ** 2) / np.exp(logvar_p) - 1, axis=-1)
