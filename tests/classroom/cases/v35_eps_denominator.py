import torch


def kl(mu_a, std_a, mu_b, std_b):
    return (torch.log(std_b / std_a) + (std_a**2 + (mu_a - mu_b) ** 2) / (2 * std_b**2 + 1e-10) - 0.5).sum(-1)
