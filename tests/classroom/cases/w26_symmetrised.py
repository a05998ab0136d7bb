import numpy as np


def kl(mu_q, var_q, mu_p, var_p):
    d2 = (mu_q - mu_p) ** 2
    one = np.log(var_p / var_q) + (var_q + d2) / var_p - 1
    two = np.log(var_q / var_p) + (var_p + d2) / var_q - 1
    return 0.25 * (one + two).sum(-1)
