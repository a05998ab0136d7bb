import torch


def kl(mu, std):
    return 0.5 * (mu**2 + std**2 - torch.log(std**2 + 1e-6) - 1).sum(-1)
