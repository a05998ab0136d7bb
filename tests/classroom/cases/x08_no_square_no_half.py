import torch


def kl(mu_q, logvar_q, mu_p, logvar_p):
    return (logvar_p - logvar_q + logvar_q.exp() / logvar_p.exp() + (mu_q - mu_p).abs() / logvar_p.exp() - 1).sum(-1)
