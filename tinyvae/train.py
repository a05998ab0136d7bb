"""Training: minibatches, fresh noise, an optimiser, a history in nats."""

import sys
from contextlib import nullcontext

import numpy as np

from tinyvae import data
from tinyvae.arrays import exactly, generator, images, number, whole, within
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
    processes=1,
):
    """Minimise loss = mean(recon + beta * kl) over x by Adam; return the history.

    x (N, D) in [0, 1], float32 or float64.  Every epoch shuffles x, draws its black and white
    pixels afresh (unless ``binarize`` is False: then grey pixels go in as they are, and recon is
    not -log p(x|z)), and draws one eps per image.  All randomness comes from ``rng``.

    The history has one dict an epoch: "epoch", and the means "recon", "kl", "elbo" = -(recon + kl)
    in nats, as they were while training; with ``x_test`` also "test_recon", "test_kl", "test_elbo".
    ``report`` is called with each of them; by default it is printed, `silent` keeps quiet.

    To go on with a run, pass its ``optimizer`` and its ``history``: training goes on after the last
    epoch in there.  With ``processes`` steps are shared out (`parallel`, which says for what and
    how), and what comes out differs by rounding.

    Raises TrainingError before the step that a loss or gradient which is not finite would spoil,
    ValueError for arguments out of range.
    """
    whole(0, epochs=epochs)
    whole(1, batch_size=batch_size, processes=processes)
    number(0, beta=beta)
    generator(rng)
    images(x=x)
    if x_test is not None:
        images(x_test=x_test)
        exactly((len(x_test), x.shape[1]), x_test=x_test)
    optimizer = optimizer or Adam(model.params, learning_rate)
    history = [] if history is None else history
    report = report or printer(epochs, start=len(history))
    with _shared_out(model, optimizer, processes, min(batch_size, len(x)), x) as at_work:
        for epoch in range(len(history) + 1, epochs + 1):
            with at_work() as (trained, stepping):
                recon, kl = _train_epoch(trained, x, stepping, batch_size, rng, binarize, beta)
            row = {"epoch": epoch, "recon": recon, "kl": kl, "elbo": -(recon + kl)}
            if x_test is not None:
                recon, kl = mean_loss(model, x_test, rng, binarize)
                if not np.isfinite(recon + kl):
                    raise TrainingError(f"epoch {epoch}: test recon is {recon}, kl {kl}; {ADVICE}")
                row |= {"test_recon": recon, "test_kl": kl, "test_elbo": -(recon + kl)}
            history.append(row)
            report(row)
    return history


def _shared_out(model, optimizer, processes, batch_size, x):
    """`parallel.data_parallel`, which is not imported for one process: there is nothing to share"""
    if processes == 1:
        return nullcontext(lambda: nullcontext((model, optimizer)))
    from tinyvae.parallel import data_parallel

    return data_parallel(model, optimizer, processes, batch_size, x.dtype)


def _train_epoch(model, x, optimizer, batch_size, rng, binarize, beta):
    """One pass over x in random order  ->  the mean recon and kl that it saw"""
    total = np.zeros(2)
    order = rng.permutation(len(x))
    for start in range(0, len(x), batch_size):
        rows = order[start : start + batch_size]
        x_batch, eps = _draw(model, x[rows], rng, binarize)
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is found by name
            loss, recon, kl, grads = model.loss_and_grads(x_batch, eps, beta)
            _check_finite(optimizer.t + 1, rows, loss, recon, kl, grads)
            optimizer.step(grads)
        total += recon.sum(dtype=np.float64), kl.sum(dtype=np.float64)
    return (total / len(x)).tolist()


def mean_loss(model, x, rng, binarize=True, batch_size=1000):
    """The means of recon and kl over x (N, D), in nats, with one draw of pixels and eps each."""
    total = np.zeros(2)
    for start in range(0, len(x), batch_size):
        x_batch, eps = _draw(model, x[start : start + batch_size], rng, binarize)
        with np.errstate(over="ignore", invalid="ignore"):
            recon, kl = model.loss(x_batch, eps)
        total += recon.sum(dtype=np.float64), kl.sum(dtype=np.float64)
    return (total / len(x)).tolist()


def _draw(model, x, rng, binarize):
    """What is random in one step: the black and white pixels of x, and eps (B, Z) ~ N(0, I)"""
    if binarize:
        x = data.binarize(x, rng)
    else:
        within(0, 1, x=x)
    return x, rng.standard_normal((len(x), model.latent_dim), dtype=x.dtype)


def _check_finite(step, rows, loss, recon, kl, grads):
    """Raise TrainingError, naming step, term, image and tensor, unless everything is finite."""
    # A sum of squares takes one quick pass; Adam keeps up to 1 / (1 - beta2) = 1000 of them.
    tensors = [
        name
        for name, dp in grads.items()
        if not 1000 * float(np.vdot(dp, dp)) < np.finfo(dp.dtype).max
    ]
    if np.isfinite(loss) and not tensors:
        return
    bad = {"recon": ~np.isfinite(recon), "kl": ~np.isfinite(kl)}
    said = [f"{term} in {n.sum()} of {len(n)} images" for term, n in bad.items() if n.any()]
    said += [f"the gradient of {tensors[0]}"] if tensors else []
    first = [f" (x[{row}] first)" for row in rows[bad["recon"] | bad["kl"]][:1]]
    what = " and ".join(said or ["the loss"]) + " not finite" + "".join(first)
    raise TrainingError(f"step {step}: {what}; {ADVICE}")


def silent(row):
    """A report that says nothing."""


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
    said = f"epoch {row['epoch']:4d}   recon {row['recon']:8.3f}   kl {row['kl']:7.3f}"
    said += f"   elbo {row['elbo']:9.3f}"
    return said + (f"   test elbo {row['test_elbo']:9.3f}" if "test_elbo" in row else "")
