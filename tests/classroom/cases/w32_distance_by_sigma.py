import torch


def kl(mu_q, std_q, mu_p, std_p):
    return (torch.log(std_p / std_q) + std_q**2 / (2 * std_p**2) + (mu_q - mu_p) ** 2 / (2 * std_p) - 0.5).sum(-1)
