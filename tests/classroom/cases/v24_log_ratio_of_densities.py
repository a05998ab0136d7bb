import torch


def log_ratio(z, mu_q, logvar_q, mu_p, logvar_p):
    lq = -0.5 * (logvar_q + (z - mu_q) ** 2 / logvar_q.exp())
    lp = -0.5 * (logvar_p + (z - mu_p) ** 2 / logvar_p.exp())
    return (lq - lp).sum(-1)
