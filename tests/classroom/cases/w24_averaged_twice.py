import torch


def kl_loss(mu, logvar):
    kl = -0.5 * torch.sum(1 + logvar - mu**2 - logvar.exp(), dim=1) / mu.shape[0]
    return kl.mean()
