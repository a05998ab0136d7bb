import torch


@torch.jit.script
def kl(mu: torch.Tensor, logvar: torch.Tensor):
    return -0.5 * torch.sum(1 + logvar - mu * mu - logvar.exp(), dim=1)
