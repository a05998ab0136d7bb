import numpy as np


def kl(m0, S0, m1, S1):
    P, d = np.linalg.inv(S1), m1 - m0
    return 0.5 * (d @ P @ d - len(d) + np.linalg.slogdet(S1)[1] - np.linalg.slogdet(S0)[1])
