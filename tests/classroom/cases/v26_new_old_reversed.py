import torch


def kl(new_mu, new_std, old_mu, old_std):
    return (torch.log(new_std / old_std) + (old_std**2 + (old_mu - new_mu) ** 2) / (2 * new_std**2) - 0.5).sum(1)
