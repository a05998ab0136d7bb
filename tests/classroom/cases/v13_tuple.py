import torch


def losses(mu, logvar):
    kl = -0.5 * (1 + logvar - mu**2 - logvar.exp()).sum(-1)
    return kl, mu.abs().mean()
