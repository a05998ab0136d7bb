"""Draw readme.png: the decoded plane of a VAE, and the ELBO touching log p(x).

python lessons/figures/make.py    takes about a minute; the same seed draws the same picture
"""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import tinyvae
from tinyvae import plot
from tinyvae.oracles import LinearGaussian

SEED = 0
HERE = Path(__file__).parent


def trained_vae():
    digits = tinyvae.data.load("mnist5k")
    rng = np.random.default_rng(SEED)
    vae = tinyvae.VAE.create(784, (400,), 2, rng=rng)
    tinyvae.fit(vae, digits.x_train, epochs=150, rng=rng, report=tinyvae.train.silent)
    return vae, digits.image_shape


def draw_plane(axes):
    vae, image_shape = trained_vae()
    plot.decoded_grid(axes, vae, image_shape, 15)
    axes.set_title("A plane of digits, from noise", loc="left")


def draw_bound(axes):
    """One latent dimension, one x: the ELBO as the mean of q moves, and what lies above it."""
    model = LinearGaussian(np.array([[1.0], [0.5]]), np.zeros(2), 0.3)
    x = np.array([1.6, 0.2])
    mean, cov = model.posterior(x)
    means = mean[0] + np.linspace(-1.6, 1.6, 81)
    elbo = np.array([model.elbo(x, np.array([m]), cov) for m in means])
    log_px = model.log_px(x)
    axes.axhline(log_px, color="black", linestyle="--")
    axes.fill_between(means, elbo, log_px, color="#D55E00", alpha=0.3, hatch="//", linewidth=0)
    axes.plot(means, elbo, color="#0072B2", linewidth=3)
    axes.plot(mean, log_px, "o", color="black", markersize=9)
    axes.text(means[0], log_px + 0.08, "log p(x)")
    axes.text(means[0], log_px - 1.0, "KL(q || p(z|x))")
    axes.text(mean[0], elbo.min() + 0.6, "ELBO", ha="center", color="#0072B2")
    axes.set_xlabel("mean of q(z|x)")
    axes.set_ylabel("nats")
    axes.set_title("The ELBO touches log p(x) where q is p(z|x)", loc="left")


if __name__ == "__main__":
    with plot.style():
        figure = Figure(figsize=(13, 6), layout="constrained")
        left, right = figure.subplots(1, 2)
        draw_plane(left)
        draw_bound(right)
        figure.savefig(HERE / "readme.png", dpi=100)
