import torch


def kl(mu, logvar):
    return torch.mean(mu**2 + logvar.exp() - 1 - logvar)
