import torch


def kl(post, prior):
    (m, s), (m0, s0) = post, prior
    return torch.sum(torch.log(s0) - torch.log(s) + (s**2 + (m - m0) ** 2) / (2 * s0**2) - 0.5, dim=-1)
