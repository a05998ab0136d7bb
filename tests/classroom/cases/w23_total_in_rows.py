import torch


def kl(mu, logvar):
    kl = 0.5 * torch.sum(mu**2 + logvar.exp() - 1 - logvar)
    return kl * torch.ones(len(mu), dtype=mu.dtype)
