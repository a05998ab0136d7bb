import torch


def kld(mu, logvar):
    return -0.5 * torch.sum(1 + logvar - mu.pow(2)) + torch.sum(logvar.exp())
