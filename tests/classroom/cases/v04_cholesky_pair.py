import numpy as np
from scipy.linalg import solve_triangular


def kl_mvn(mu_q, L_q, mu_p, L_p):
    M = solve_triangular(L_p, L_q, lower=True)
    y = solve_triangular(L_p, mu_q - mu_p, lower=True)
    logs = np.log(np.diag(L_p) / np.diag(L_q)).sum()
    return 0.5 * (np.sum(M**2) + y @ y - len(y)) + logs
