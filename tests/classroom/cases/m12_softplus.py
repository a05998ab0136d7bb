import torch
import torch.nn.functional as F


def kl_divergence(mu_q, rho_q, mu_p, sigma_p):
    sigma_q = F.softplus(rho_q)
    kl = torch.log(sigma_p / sigma_q) + (sigma_q + (mu_q - mu_p) ** 2) / (2 * sigma_p**2) - 0.5
    return kl.sum()
