import torch


def kl(mu, logvar):
    return (mu**2 + logvar.exp() - 1 - logvar).sum(-1)
