import torch


def kl(mean_q, std_q, mean_p, std_p):
    return 0.5 * (torch.log(std_p / std_q) + (std_q + (mean_q - mean_p) ** 2) / std_p - 1).sum(-1)
