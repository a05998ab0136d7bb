import torch


def kl(mu, logvar):
    return 0.5 * torch.sum(1 + 2 * logvar - mu**2 - torch.exp(2 * logvar), dim=-1)
