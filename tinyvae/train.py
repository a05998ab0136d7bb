"""Training: minibatches, fresh noise, an optimiser, a history in nats."""

import sys

import numpy as np

from tinyvae import bernoulli
from tinyvae.contracts import (
    check_generator,
    check_images,
    check_integer,
    check_number,
    check_range,
    check_shape,
)
from tinyvae.optim import Adam

ADVICE = "try a smaller learning rate, and look at the data"


class TrainingError(ArithmeticError):
    """The loss or a gradient is not finite: one sentence on which, where, and what to change."""


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

    ``model`` is whatever has `loss_and_grads`, `loss`, ``params`` and ``latent_dim``; ``optimizer``
    is whatever has `step` and ``t``.
    x (N, D) in [0, 1], float32 or float64.  Every epoch shuffles x, draws its black and white
    pixels afresh (unless ``binarize`` is False: then grey pixels go in as they are, and recon is
    not -log p(x|z)), and draws one eps per image.  All randomness comes from ``rng``.

    The history has one dict an epoch: "epoch", and the means "recon", "kl", "elbo" = -(recon + kl)
    in nats, as they were while training; with ``x_test`` also "test_recon", "test_kl", "test_elbo".
    ``report`` is called with each of them; by default it is printed, `silent` keeps quiet.

    To go on with a run, pass its ``optimizer`` and its ``history``: training goes on after the last
    epoch in there.

    Raises TrainingError before the step that a loss or gradient which is not finite would spoil,
    ValueError for arguments out of range.
    """
    _check_arguments(epochs, batch_size, beta, rng, x, x_test)
    optimizer = optimizer or Adam(model.params, learning_rate)
    history = [] if history is None else history
    report = report or printer(epochs, start=len(history))
    for epoch in range(len(history) + 1, epochs + 1):
        total = np.zeros(2)
        order = rng.permutation(len(x))
        for start in range(0, len(x), batch_size):
            rows = order[start : start + batch_size]
            x_batch, eps = _draw(model, x[rows], rng, binarize)
            loss, recon, kl, grads = model.loss_and_grads(x_batch, eps, beta)
            _check_step(optimizer.t + 1, rows, loss, recon, kl, grads)
            optimizer.step(grads)
            total += recon.sum(dtype=np.float64), kl.sum(dtype=np.float64)
        recon, kl = (total / len(x)).tolist()
        row = {"epoch": epoch, "recon": recon, "kl": kl, "elbo": -(recon + kl)}
        if x_test is not None:
            row |= _test(model, x_test, rng, binarize, epoch)
        history.append(row)
        report(row)
    return history


def _check_arguments(epochs, batch_size, beta, rng, x, x_test):
    """Raise ValueError, naming the argument, for what `fit` cannot take."""
    check_integer(0, epochs=epochs)
    check_integer(1, batch_size=batch_size)
    check_number(0, beta=beta)
    check_generator(rng)
    check_images(x=x)
    if x_test is not None:
        check_images(x_test=x_test)
        check_shape((len(x_test), x.shape[1]), x_test=x_test)


def _test(model, x_test, rng, binarize, epoch):
    """What a row of the history says of the test images"""
    recon, kl = mean_loss(model, x_test, rng, binarize)
    if not np.isfinite(recon + kl):
        raise TrainingError(f"epoch {epoch}: test recon is {recon}, kl {kl}; {ADVICE}")
    return {"test_recon": recon, "test_kl": kl, "test_elbo": -(recon + kl)}


def mean_loss(model, x, rng, binarize=True, batch_size=1000):
    """The means of recon and kl over x (N, D), in nats, with one draw of pixels and eps each."""
    total = np.zeros(2)
    for start in range(0, len(x), batch_size):
        x_batch, eps = _draw(model, x[start : start + batch_size], rng, binarize)
        recon, kl = model.loss(x_batch, eps)
        total += recon.sum(dtype=np.float64), kl.sum(dtype=np.float64)
    return (total / len(x)).tolist()


def _draw(model, x, rng, binarize):
    """What is random in one step: the black and white pixels of x, and eps (B, Z) ~ N(0, I)"""
    if binarize:
        x = bernoulli.binarize(x, rng)
    else:
        check_range(0, 1, x=x)
    return x, rng.standard_normal((len(x), model.latent_dim), dtype=x.dtype)


def _check_step(step, rows, loss, recon, kl, grads):
    """Raise TrainingError, naming step, term, image and gradient, unless everything is finite."""
    # A sum of squares takes one quick pass; Adam keeps up to 1 / (1 - beta2) = 1000 of them.
    with np.errstate(over="ignore", invalid="ignore"):
        squares = {name: float(np.vdot(dp, dp)) for name, dp in grads.items()}
    most = {name: float(np.finfo(dp.dtype).max) / 1000 for name, dp in grads.items()}
    spoilt = [name for name in grads if not squares[name] < most[name]]
    if np.isfinite(loss) and not spoilt:
        return
    bad = {"recon": ~np.isfinite(recon), "kl": ~np.isfinite(kl)}
    parts = [f"{term} in {n.sum()} of {len(n)} images" for term, n in bad.items() if n.any()]
    parts += [f"the gradient of {name}" for name in spoilt[:1]]
    where = [f" (x[{row}] first)" for row in rows[bad["recon"] | bad["kl"]][:1]]
    what = " and ".join(parts or ["the loss"]) + " not finite" + "".join(where)
    raise TrainingError(f"step {step}: {what}; {ADVICE}")


def silent(row):
    """A report that prints nothing."""


def printer(epochs, out=None, start=0):
    """A report for `fit`: on a terminal a progress bar (on stderr), else one plain line an epoch.

    ``report.close()`` ends the bar early.
    """
    out, terminal = out or sys.stdout, out or sys.stderr
    if out.isatty() and terminal.isatty():
        from tqdm import tqdm

        bar = tqdm(total=epochs, initial=start, unit="epoch", file=terminal, dynamic_ncols=True)

        def report(row):
            bar.set_postfix_str(" ".join(line(row).split()[2:]), refresh=False)
            bar.update(row["epoch"] - bar.n)
            if row["epoch"] == epochs:
                bar.close()

        report.close = bar.close
    else:

        def report(row):
            print(line(row), file=out, flush=True)

        report.close = out.flush
    return report


def line(row):
    """One epoch of a history in one line, in nats."""
    text = f"epoch {row['epoch']:4d}   recon {row['recon']:8.3f}   kl {row['kl']:7.3f}"
    text += f"   elbo {row['elbo']:9.3f}"
    return text + (f"   test elbo {row['test_elbo']:9.3f}" if "test_elbo" in row else "")
