import torch


def kl(mu, logvar, free_bits=0.25):
    kl = 0.5 * (mu**2 + logvar.exp() - 1 - logvar)
    return torch.max(kl, torch.full_like(kl, free_bits)).sum(-1)
