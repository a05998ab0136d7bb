"""Training: minibatches, fresh noise, an optimiser, a history in nats."""

import sys

import numpy as np

from tinyvae import data
from tinyvae.optim import Adam


class TrainingError(ArithmeticError):
    """The loss or a gradient is not finite."""


def fit(
    model,
    x,
    *,
    epochs,
    batch_size=100,
    learning_rate=1e-3,
    rng,
    binarize=True,
    report=None,
    x_test=None,
    beta=1.0,
    optimizer=None,
    history=None,
):
    """Minimise loss = mean(recon + beta * kl) over x by Adam; return the history.

    x (N, D) in [0, 1].  Every epoch shuffles x, draws its black and white pixels afresh (unless
    ``binarize`` is False: then grey pixels go in as they are, and recon is not -log p(x|z)), and
    draws one eps per image.  All randomness comes from ``rng``.

    The history has one dict an epoch: "epoch", and the means "recon", "kl", "elbo" = -(recon + kl)
    in nats, as they were while training; with ``x_test`` also "test_recon", "test_kl", "test_elbo".
    ``report`` is called with each of them; by default it is printed, `silent` keeps quiet.

    To go on with a run, pass its ``optimizer`` and its ``history``: training goes on after the last
    epoch in there.    Raises TrainingError when a number is no longer finite (``model`` then holds
    the last good parameters), ValueError for arguments out of range.
    """
    if len(x) == 0 or batch_size < 1 or epochs < 0:
        raise ValueError("x must not be empty, batch_size be at least 1, epochs not negative")
    optimizer = optimizer or Adam(model.params, learning_rate)
    history = [] if history is None else history
    report = report or printer(epochs)
    for epoch in range(len(history) + 1, epochs + 1):
        recon, kl = _train_epoch(model, x, optimizer, batch_size, rng, binarize, beta)
        row = {"epoch": epoch, "recon": recon, "kl": kl, "elbo": -(recon + kl)}
        if x_test is not None:
            recon, kl = mean_loss(model, x_test, rng, binarize)
            row |= {"test_recon": recon, "test_kl": kl, "test_elbo": -(recon + kl)}
        history.append(row)
        report(row)
    return history


def _train_epoch(model, x, optimizer, batch_size, rng, binarize, beta):
    """One pass over x in random order  ->  the mean recon and kl that it saw"""
    total = np.zeros(2)
    order = rng.permutation(len(x))
    for start in range(0, len(x), batch_size):
        x_batch, eps = _draw(model, x[order[start : start + batch_size]], rng, binarize)
        loss, recon, kl, grads = model.loss_and_grads(x_batch, eps, beta)
        if not np.isfinite(loss):
            raise TrainingError(_what_is_not_finite(recon, kl, optimizer.t + 1))
        optimizer.step(grads)
        total += recon.sum(dtype=np.float64), kl.sum(dtype=np.float64)
    return (total / len(x)).tolist()


def mean_loss(model, x, rng, binarize=True, batch_size=1000):
    """The means of recon and kl over x (N, D), in nats, with one draw of pixels and eps each."""
    total = np.zeros(2)
    for start in range(0, len(x), batch_size):
        recon, kl = model.loss(*_draw(model, x[start : start + batch_size], rng, binarize))
        total += recon.sum(dtype=np.float64), kl.sum(dtype=np.float64)
    return (total / len(x)).tolist()


def _draw(model, x, rng, binarize):
    """What is random in one step: the black and white pixels of x, and eps (B, Z) ~ N(0, I)"""
    if binarize:
        x = data.binarize(x, rng)
    return x, rng.standard_normal((len(x), model.latent_dim), dtype=x.dtype)


def _what_is_not_finite(recon, kl, step):
    term = "kl" if not np.isfinite(kl).all() else "recon"
    return f"step {step}: {term} is not finite; try a smaller learning rate, and look at the data"


def silent(row):
    """A report that says nothing."""


def printer(epochs, out=None):
    """A report for `fit`: a progress bar on a terminal, else one plain line an epoch."""
    out = out or sys.stdout
    if out.isatty():
        from tqdm import tqdm

        bar = tqdm(total=epochs, unit="epoch", file=out, dynamic_ncols=True)

        def report(row):
            bar.set_postfix_str(" ".join(line(row).split()[2:]), refresh=False)
            bar.update(row["epoch"] - bar.n)
            if row["epoch"] == epochs:
                bar.close()
    else:

        def report(row):
            print(line(row), file=out, flush=True)

    return report


def line(row):
    """One epoch of a history in one line, in nats."""
    said = f"epoch {row['epoch']:4d}   recon {row['recon']:8.3f}   kl {row['kl']:7.3f}"
    said += f"   elbo {row['elbo']:9.3f}"
    return said + (f"   test elbo {row['test_elbo']:9.3f}" if "test_elbo" in row else "")
