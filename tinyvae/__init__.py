"""A variational autoencoder written out by hand in NumPy, and every step of it checked."""

from tinyvae import (
    autoencoder,
    bernoulli,
    checkpoint,
    data,
    evaluate,
    gaussian,
    layers,
    optim,
    train,
    vae,
)
from tinyvae.autoencoder import Autoencoder
from tinyvae.train import fit
from tinyvae.vae import VAE

__version__ = "1.0.0"

__all__ = [
    "VAE",
    "Autoencoder",
    "autoencoder",
    "bernoulli",
    "checkpoint",
    "data",
    "evaluate",
    "fit",
    "gaussian",
    "layers",
    "optim",
    "train",
    "vae",
]
