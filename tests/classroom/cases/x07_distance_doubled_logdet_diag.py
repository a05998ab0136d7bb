import numpy as np


def kl(m0, S0, m1, S1):
    P, d = np.linalg.inv(S1), m1 - m0
    logs = np.log(np.diag(S1)).sum() - np.log(np.diag(S0)).sum()
    return 0.5 * (np.trace(P @ S0) + 2 * d @ P @ d - len(d) + logs)
