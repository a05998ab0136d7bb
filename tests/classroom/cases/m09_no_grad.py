import torch


@torch.no_grad()
def kl_term(mu, log_var):
    kl = -0.5 * (1 + log_var - mu**2 - log_var.exp()).sum(dim=-1)
    return kl.mean()
