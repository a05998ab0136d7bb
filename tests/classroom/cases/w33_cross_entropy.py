import numpy as np


def kl(mu_q, logvar_q, mu_p, logvar_p):
    return 0.5 * np.sum(np.log(2 * np.pi) + logvar_p + (np.exp(logvar_q) + (mu_q - mu_p) ** 2) / np.exp(logvar_p), -1)
