import torch
from torch.distributions import MultivariateNormal, kl_divergence


def kl(mu, logvar):
    q = MultivariateNormal(mu, scale_tril=torch.diag_embed(logvar.exp()))
    p = MultivariateNormal(torch.zeros_like(mu), torch.eye(mu.shape[-1], dtype=mu.dtype))
    return kl_divergence(q, p)
