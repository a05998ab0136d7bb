import torch
from torch.distributions import Normal, kl_divergence


def kl_loss(mean, std):
    p = Normal(torch.zeros_like(mean), torch.ones_like(std))
    q = Normal(mean, std)
    return kl_divergence(q, p).sum(dim=1).mean()
