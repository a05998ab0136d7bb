"""A variational autoencoder written out by hand in NumPy, and every step of it checked."""

import sys
from importlib import import_module

_safe = sys.flags.isolated or getattr(sys.flags, "safe_path", False)
if sys.argv[:1] == ["-m"] and "tinyvae" in sys.orig_argv and not _safe:
    del sys.path[0]  # the current folder, where Python looks first and a string.py may lie

from tinyvae import autoencoder, bernoulli, data, evaluate, gaussian, layers, optim, train, vae
from tinyvae.autoencoder import Autoencoder
from tinyvae.train import fit
from tinyvae.vae import VAE

__version__ = "2.0.0"

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


def __getattr__(name):
    if name == "checkpoint":  # it costs a third of NumPy's import, and most programs save nothing
        return import_module("tinyvae.checkpoint")
    raise AttributeError(f"module 'tinyvae' has no attribute {name!r}")
