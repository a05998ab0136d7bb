import torch


def kl(mu, logvar):
    return 0.5 * (mu**2 + logvar.data.exp() - 1 - logvar.data).sum(-1)
