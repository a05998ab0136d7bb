import torch


def calculate_kl(mu_p, sig_p, mu_q, sig_q):
    kl = 0.5 * (
        2 * torch.log(sig_p / sig_q) - 1 + (sig_q / sig_p) + ((mu_p - mu_q) / sig_p).pow(2)
    )
    return kl.sum()
