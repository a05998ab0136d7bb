import torch


def kl_terms(mu, logvar):
    kl = 0.5 * (mu**2 + logvar.exp() - 1 - logvar)
    return {"norm": mu.norm(), "kl": kl.sum(1)}
