import torch


def kl(mu, logvar):
    return 0.25 * (mu**2 + logvar.exp() - 1 - logvar).sum(-1)
