import numpy as np


def kl(m0, S0, m1, S1):
    P = np.linalg.inv(S1)
    d = m1 - m0
    q = d.T.dot(P).dot(d)
    return 0.5 * (np.trace(P.dot(S0)) + q[0, 0] - m0.shape[0] + np.log(np.linalg.det(S1) / np.linalg.det(S0)))
