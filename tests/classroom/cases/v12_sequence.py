import torch


def kl_tokens(mu, log_var):
    B, T, K = mu.shape
    return (0.5 * (mu**2 + log_var.exp() - 1 - log_var)).sum(-1)
