import numpy as np


def kl(mu_q, std_q, mu_p, std_p):
    return (np.log(std_q / std_p) + (std_p**2 + (mu_q - mu_p) ** 2) / (2 * std_q**2) - 0.5).sum(-1)
