"""Draw a trained model: functions that draw on given axes, and the figures of a run.

No screen is needed.  Everything is told apart by the colour-blind, and in black and white.  A
figure's title is its finding, computed from what is drawn.
"""

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle
from scipy.special import chdtri, ndtri

from tinyvae.layers import sigmoid
from tinyvae.vae import VAE

# Okabe and Ito, "Color universal design", 2008; their yellow is too pale for a white ground.
COLOURS = {
    "black": "#000000",
    "orange": "#E69F00",
    "sky": "#56B4E9",
    "green": "#009E73",
    "blue": "#0072B2",
    "vermilion": "#D55E00",
    "purple": "#CC79A7",
    "grey": "#999999",
}
STYLE = {
    "axes.prop_cycle": mpl.cycler(color=[c for c in COLOURS.values() if c != "#000000"]),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlepad": 12,
    "axes.titlesize": 15,
    "figure.constrained_layout.h_pad": 0.1,
    "figure.constrained_layout.w_pad": 0.1,
    "figure.dpi": 100,
    "figure.facecolor": "white",
    "font.size": 14,
    "legend.frameon": False,
    "lines.linewidth": 2.5,
    "savefig.dpi": 150,
}
PRIOR_95 = np.sqrt(chdtri(2, 0.05))  # the circle that holds 95 % of N(0, I) in the plane
NEIGHBOURS = 5000  # training images that a drawing is compared with
POINTS = 1000  # images in a latent plane: more would hide each other


def style():
    """The look of all figures, large enough for a projector:  with style(): ..."""
    return mpl.rc_context(STYLE)


# --- drawings -------------------------------------------------------------------------------------


def images(ax, x, shape, columns=10):
    """The images x (N, D) in [0, 1] as tiles of that shape, row by row; black is 0, white is 1."""
    _show(ax, _tiles(np.asarray(x), shape, columns), shape)


def pairs(ax, x, x_hat, shape, columns=10):
    """Originals x (N, D) over their reconstructions x_hat (N, D), in rows of so many columns."""
    x, x_hat = np.asarray(x), np.asarray(x_hat)
    space = np.ones((shape[0] // 4 + 1, columns * shape[1]))
    parts = []
    for start in range(0, len(x), columns):
        row = slice(start, start + columns)
        parts += [_tiles(half[row], shape, columns) for half in (x, x_hat)] + [space]
    _show(ax, np.concatenate(parts[:-1]), (1, shape[1]))
    for start in np.arange(0, sum(map(len, parts)), 2 * shape[0] + len(space)):
        ax.axhline(start + shape[0] - 0.5, color="white")


def latent_plane(ax, mu, y=None, prior=True):
    """Codes mu (N, 2) in the plane; each is drawn as its label y (N,), in that label's colour.

    ``prior`` adds the circle in which 95 % of the draws from p(z) = N(0, I) lie.
    """
    mu = np.asarray(mu)
    if prior:
        ax.add_patch(Circle((0, 0), PRIOR_95, fill=False, color="0.6", linestyle="--", zorder=0))
        ax.annotate("95% of the prior", (0, -PRIOR_95), (0, 4), textcoords="offset points",
                    ha="center", va="bottom", color="0.3", fontsize="small",
                    bbox={"color": "white", "alpha": 0.8, "pad": 1})  # fmt: skip
    if y is None:
        ax.scatter(*mu.T, s=14, color=COLOURS["blue"], alpha=0.6, linewidths=0)
    else:
        palette = [*COLOURS.values(), "#7F4F00", "#5D5DA8"]
        for i, label in enumerate(np.unique(y)):
            marker, size = rf"$\mathbf{{{label}}}$", 75 * len(str(label))
            at = mu[np.asarray(y) == label]
            ax.scatter(*at.T, s=size, marker=marker, color=palette[i % len(palette)], linewidths=0)
    ax.set(aspect="equal", xlabel="$z_1$", ylabel="$z_2$")


def decoded_grid(ax, vae, image_shape, n=15):
    """What the decoder makes of the plane: p(x|z) at n x n points of equal prior probability.

    The points are the normal's quantiles, so each tile stands for 1 / n^2 of the prior's draws.
    The model must have two latent dimensions.
    """
    if vae.latent_dim != 2:
        raise ValueError(f"the grid needs 2 latent dimensions, and the model has {vae.latent_dim}")
    z = ndtri((np.arange(n) + 0.5) / n)
    z1, z2 = np.meshgrid(z, z[::-1])  # z_2 grows upwards
    x_hat = _decode(vae, np.stack([z1.ravel(), z2.ravel()], axis=1))
    _show(ax, _tiles(x_hat, image_shape, n), image_shape)
    ax.set_axis_on()
    ax.spines[:].set_visible(False)
    shown = np.linspace(0, n - 1, min(n, 5)).round().astype(int)
    names = [f"{z[i]:.1f}".replace("-", "\N{MINUS SIGN}") for i in shown]
    height, width = image_shape
    ax.set_xticks((shown + 0.5) * width - 0.5, names)
    ax.set_yticks((n - shown - 0.5) * height - 0.5, names)
    ax.tick_params(length=0)
    ax.set(xlabel="$z_1$, by quantiles of N(0, 1)", ylabel="$z_2$")


def learning_curve(ax, history):
    """recon, kl and -elbo in nats by epoch, from the history of `fit`: train solid, test dashed."""
    epochs = [row["epoch"] for row in history]
    has_kl = any(row["kl"] for row in history)  # an autoencoder has none
    terms = {
        "elbo": ("\N{MINUS SIGN}ELBO", "black", "o", "bottom"),
        "recon": ("recon", "vermilion", "s", "top"),  # never above -ELBO
        "kl": ("KL", "blue", "^", "center"),
    }
    every = max(1, len(epochs) // 10)
    for term, (label, colour, marker, at) in terms.items():
        if term != "recon" and not has_kl:
            continue
        for start, line in ("", "-"), ("test_", "--"):
            if not start or _has_test_set(history):
                values = [abs(row[f"{start}{term}"]) for row in history]
                ax.plot(epochs, values, line, color=COLOURS[colour], marker=marker,
                        markevery=(every - 1, every), markersize=7,
                        markerfacecolor="white" if start else None)  # fmt: skip
        ax.annotate(label, (epochs[-1], values[-1]), (10, 0), textcoords="offset points",
                    va=at, color=COLOURS[colour])  # fmt: skip
    ax.set(xlabel="epoch", ylabel="nats per image", ylim=(0, None))
    ax.xaxis.get_major_locator().set_params(integer=True)
    if _has_test_set(history):
        handles = [Line2D([], [], color="0.3", linestyle=s) for s in ("-", "--")]
        ax.legend(handles, ["train", "test"], loc="upper right", handlelength=2.5)


# --- the figures of a run -------------------------------------------------------------------------


def figures(model, dataset, history, rng):
    """The figures of a run, one after another  ->  (file name, Figure)

    model a VAE or an Autoencoder, dataset a `data.Dataset`, history of `fit`, rng for the samples.
    Draw and save them inside ``with style():``.
    """
    yield "samples.png", _samples(model, dataset, rng)
    yield "reconstructions.png", _reconstructions(model, dataset)
    yield "latent.png", _latent(model, dataset)
    if model.latent_dim == 2:
        yield "grid.png", _grid(model, dataset)
    if history:
        yield "curve.png", _curve(history)


def _samples(model, dataset, rng):
    x_hat = model.generate(100, rng)
    figure, ax = _picture(dataset.image_shape, 10, 10)
    images(ax, x_hat, dataset.image_shape)
    ax.set_title(f"100 decoded draws from N(0, I) resemble {_count_neighbours(x_hat, dataset)}")
    return figure


def _reconstructions(model, dataset):
    x = np.asarray(dataset.x_test[:POINTS])
    x_hat = model.reconstruct(x)
    kept = 1 - np.sum((x - x_hat) ** 2) / max(np.sum((x - x.mean(axis=0)) ** 2), 1e-30)
    figure, ax = _picture(dataset.image_shape, 6.6, 10)
    pairs(ax, x[:30], x_hat[:30], dataset.image_shape)
    numbers = "one number" if model.latent_dim == 1 else f"{model.latent_dim} numbers"
    ax.set_title(f"Seen through {numbers}, images keep {kept:.0%} of their variance\n"
                 "(each original over its reconstruction)")  # fmt: skip
    return figure


def _latent(model, dataset):
    x = np.asarray(dataset.x_test[:POINTS])
    y = None if dataset.y_test is None else dataset.y_test[:POINTS]
    codes = _codes(model, x)
    title = _describe_neighbours(codes, y)
    figure, ax = _figure(8.5, 8.5)
    if model.latent_dim == 1:
        latent_plane(ax, np.column_stack([codes, np.arange(len(x)) if y is None else y]), y, False)
        ax.set(aspect="auto", ylabel="image" if y is None else "label")
    elif model.latent_dim == 2:
        latent_plane(ax, codes, y, prior=isinstance(model, VAE))
    else:
        plane, share = _principal_plane(codes)
        latent_plane(ax, plane, y, prior=False)
        ax.set(xlabel="first principal component", ylabel="second principal component")
        title += f"\nshown: the first two principal components of mu, {share:.0%} of its variance"
    ax.set_title(title)
    return figure


def _grid(model, dataset):
    figure, ax = _picture(dataset.image_shape, 1, 1)
    decoded_grid(ax, model, dataset.image_shape)
    z = ndtri((np.arange(15) + 0.5) / 15)
    x_hat = _decode(model, np.stack(np.meshgrid(z, z), axis=-1).reshape(-1, 2))
    ax.set_title(f"The decoded plane resembles {_count_neighbours(x_hat, dataset)}")
    return figure


def _curve(history):
    figure, ax = _figure(9, 5.6)
    learning_curve(ax, history)
    part = "test" if _has_test_set(history) else "train"
    key = "test_elbo" if part == "test" else "elbo"
    losses = [-row[key] for row in history]
    best, last = int(np.argmin(losses)), history[-1]
    if losses[-1] > 1.02 * losses[best]:
        title = f"{losses[best]:.1f} nats at epoch {best + 1} was the best; now {losses[-1]:.1f}"
    else:
        recon, kl = (last[key.replace("elbo", term)] for term in ("recon", "kl"))
        title = f"{losses[-1]:.1f} nats after {len(history)} epochs"
        title += f" = {recon:.1f} recon + {kl:.1f} KL" if kl else ""
    ax.set_title(f"{title} ({part})")
    return figure


# --- titles ---------------------------------------------------------------------------------------


def _has_test_set(history):
    """Was there a test set in every epoch?"""
    return all("test_elbo" in row for row in history)


def _count_neighbours(x_hat, dataset):
    """How many different training images, and of how many labels, are the nearest to x_hat"""
    x = np.asarray(dataset.x_train[:NEIGHBOURS])
    nearest = np.argmin(_distances(x_hat, x), axis=1)
    count = len(np.unique(nearest))
    said = f"{count} different training images" if count > 1 else "one training image"
    if dataset.y_train is not None:
        y = dataset.y_train[:NEIGHBOURS]
        said += f",\nof {len(np.unique(y[nearest]))} of the {len(np.unique(y))} labels"
    return said


def _describe_neighbours(codes, y):
    """How often the nearest code is that of an image with the same label"""
    if y is None or len(codes) < 2:
        inside = np.mean(np.sum(codes**2, axis=1) < chdtri(codes.shape[1], 0.05))
        return f"{inside:.0%} of the codes lie within the radius that holds 95% of the prior"
    distances = _distances(codes, codes)
    np.fill_diagonal(distances, np.inf)
    same = np.mean(y[np.argmin(distances, axis=1)] == y)
    chance = np.mean(y[:, None] == y[None, :])
    return f"{same:.0%} of the codes lie next to one with the same label\n(by chance: {chance:.0%})"


def _distances(a, b):
    """Squared distances of the rows of a (N, D) and b (M, D)  ->  (N, M)"""
    return np.sum(a**2, axis=1)[:, None] - 2 * a @ b.T + np.sum(b**2, axis=1)


def _principal_plane(codes):
    """codes (N, Z)  ->  (N, 2) in their first two principal components, and the variance kept"""
    centred = codes - codes.mean(axis=0)
    _, spread, directions = np.linalg.svd(centred, full_matrices=False)
    return centred @ directions[:2].T, np.sum(spread[:2] ** 2) / max(np.sum(spread**2), 1e-30)


# --- axes and tiles -------------------------------------------------------------------------------


def _figure(width, height):
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def _picture(image_shape, rows, columns):
    """A figure for so many images, without empty margins"""
    height, width = rows * image_shape[0], columns * image_shape[1]
    return _figure(8, min(max(8 * height / width, 2), 12) + 0.8)


def _show(ax, picture, tile):
    """A grey picture, with a thin white line around each tile (height, width)"""
    ax.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    for start in range(tile[1], picture.shape[1], tile[1]):
        ax.axvline(start - 0.5, color="white")
    for start in range(tile[0], picture.shape[0], tile[0]) if tile[0] > 1 else ():
        ax.axhline(start - 0.5, color="white")
    ax.set_axis_off()


def _tiles(x, shape, columns):
    """x (N, D)  ->  one picture, row by row; white where the last row is not full"""
    rows = -(-len(x) // columns)
    tiles = np.ones((rows * columns, *shape))
    tiles[: len(x)] = x.reshape(-1, *shape)
    tiles = tiles.reshape(rows, columns, *shape).swapaxes(1, 2)
    return tiles.reshape(rows * shape[0], columns * shape[1])


def _codes(model, x):
    """mu of q(z|x), or an autoencoder's code"""
    return model.encode(x)[0] if isinstance(model, VAE) else model.encode(x)


def _decode(model, z):
    return sigmoid(model.decode(z.astype(model.params["logits.W"].dtype)))
