import torch


def kl(mu, logvar, prior_mu=0.0, prior_logvar=0.0):
    prior_logvar = torch.as_tensor(prior_logvar, dtype=mu.dtype)
    return 0.5 * (prior_logvar - logvar + (logvar.exp() + (mu - prior_mu) ** 2) / prior_logvar.exp() - 1).sum(-1)
