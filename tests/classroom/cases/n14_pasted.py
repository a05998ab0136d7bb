def loss_kld(mu, log_var):
    return (-0.5 * (1 + log_var - mu ** 2 - log_var.exp()).sum(dim=1)).mean(dim=0)
