import numpy as np


class Config:
    latent = 16


def latent_loss(z_mean, z_log_sigma_sq):
    """Kullback-Leibler divergence between the latent distribution induced by the encoder and
    some prior (unit Gaussian): the number of nats for transmitting the latent."""
    return -0.5 * np.sum(1 + z_log_sigma_sq - np.square(z_mean) - np.exp(z_log_sigma_sq), 1)
