import numpy as np


def kl(mean_q, logvar_q, mean_p, std_p):
    var_q, var_p = np.exp(logvar_q), std_p**2
    return 0.5 * np.sum(2 * np.log(std_p) - logvar_q + (var_q + (mean_q - mean_p) ** 2) / var_p - 1, -1)
