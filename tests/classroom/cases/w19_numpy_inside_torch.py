import torch


def kl(mu, logvar):
    m, v = mu.detach(), logvar.detach()
    return torch.tensor(0.5 * (m**2 + v.exp() - 1 - v).sum(-1).tolist())
