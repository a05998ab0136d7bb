"""The program `tinyvae`: train a model, evaluate it, draw it, and run the classroom.

Results go to stdout; progress bars and errors, one sentence each, to stderr.  Exit status:
0 done, 1 not right (a check that fails, a training that diverges), 2 cannot be done as asked,
130 after Ctrl-C, 141 when nobody reads on, 128 + n after another signal n (SIGTERM: 143).
"""

import argparse
import errno
import hashlib
import importlib
import io
import os
import shlex
import signal
import sys
import time
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

import tinyvae
from tinyvae import (
    Autoencoder,
    checkpoint,
    data,
    distributed,
    environment,
    evaluate,
    fast,
    fit,
    gaussian,
    train,
)
from tinyvae.checkpoint import CheckpointError, FolderLost, Run
from tinyvae.files import raise_if_out_of_memory
from tinyvae.folder import RunFolder
from tinyvae.layers import ACTIVATIONS
from tinyvae.optim import Adam
from tinyvae.vae import VAE

DEFAULTS = {
    "dataset": "digits",
    "autoencoder": False,
    "latent_dim": 2,
    "hidden": [128],
    "activation": "tanh",
    "epochs": 100,
    "batch_size": 100,
    "learning_rate": 1e-3,
    "beta": 1.0,
    "binarize": True,
    "seed": 0,
    "save_every": 1,
}
OF_THE_MODEL = "autoencoder", "latent_dim", "hidden", "activation"
MAY_CHANGE = "epochs", "save_every"  # when a run goes on
ABOUT = "A variational autoencoder, written out by hand, for people who teach or learn it."
TEST_IMAGES = 10_000
FEWEST_WEIGHTS = 25  # that a Pareto distribution is fitted to
ENDINGS = "SIGINT", "SIGTERM", "SIGHUP", "SIGXCPU", "SIGBREAK"  # a training is saved, then it ends
OF_THE_OUTPUT = (  # errors without a file's name that come from printing
    errno.ENOSPC, errno.EIO, errno.EBADF, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC),
)  # fmt: skip
MOST_PARAMETERS = 100_000_000  # while they train and are saved, 13 floats each: 5.3 GB


class Refused(Exception):
    """A request that cannot be met: one sentence on what is wrong and what to do."""


class Stopped(KeyboardInterrupt):
    """A signal that ends the program came while a model was training."""


class Command(NamedTuple):
    """One word after `tinyvae`.  The module, with arguments(parser) and run(args) -> exit status,
    is imported when it is called for; None stands for the functions of this file."""

    help: str
    example: str
    module: str | None = None


COMMANDS = {
    "train": Command(
        "train a VAE, or go on with a training",
        "tinyvae train digits --latent-dim 2 --hidden 128 --epochs 100\n"
        "  tinyvae train mnist5k --hidden 400 200 --activation relu --out runs/deep\n"
        "  tinyvae train --out runs/deep --resume",
    ),
    "evaluate": Command(
        "the ELBO and log p(x) of a run, on its test images",
        "tinyvae evaluate runs/digits-2d --samples 1000",
    ),
    "plot": Command(
        "draw samples, reconstructions, the latent plane and the learning curve",
        "tinyvae plot runs/digits-2d --out figures",
    ),
    "explore": Command(
        "a run as one page to play with, in any browser",
        "tinyvae explore runs/digits-2d -o page.html\n"
        "  tinyvae explore --gaussians -o gaussians.html",
    ),
    "lesson": Command(
        "list the lessons, run one, change one, or present it step by step",
        "tinyvae lesson 3 --step\n  tinyvae lesson 3 --set DRAWS=1000\n  tinyvae lesson 3 --copy",
        "tinyvae.classroom.presenter.command",
    ),
    "check": Command(
        "check a loss, a sampler, a bound, a KL, a whole VAE, or an exercise",
        "tinyvae check mine.py\n  tinyvae check loss mine.py:my_loss\n"
        "  tinyvae check lessons/exercises/04_gaussian_kl.py",
        "tinyvae.classroom.checker.contents",
    ),
    "check kl": Command(
        "check a KL between Gaussians",
        "tinyvae check kl mine.py:my_kl",
        "tinyvae.classroom.checker.kl",
    ),
    "exercise": Command(
        "put an exercise here: write, derive, debug or explain",
        "tinyvae exercise 5 --kind derive",
        "tinyvae.classroom.marking.handout",
    ),
    "mark": Command(
        "mark a folder of submissions of exercises",
        "tinyvae mark handed_in --csv marks.csv --feedback feedback --hints 1",
        "tinyvae.classroom.marking.command",
    ),
    "bugs": Command(
        "a museum of classic mistakes",
        "tinyvae bugs std-is-exp-logvar",
        "tinyvae.classroom.museum.catalogue",
    ),
    "quiz": Command(
        "is it a bug?",
        "tinyvae quiz --number 3",
        "tinyvae.classroom.museum.quiz",
    ),
}


def program():
    """`main` as a process  ->  exit status

    After the last line is printed Ctrl-C has nothing to stop; Python would print a traceback.
    """
    rank = distributed.rank_among_several()
    if rank:  # what the first rank says is enough
        sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    sys.unraisablehook = _ignore_lack_of_memory
    try:
        status = main()
    except KeyboardInterrupt:  # after the last line
        status = 128 + signal.SIGINT
    except MemoryError:  # again, while the sentence was made
        with suppress(OSError):
            os.write(2, b"tinyvae: there is not enough memory for this\n")
        status = 2
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    if rank is not None and status:  # mpiexec then ends the others, which would wait for this one
        if rank > 0 and "mpi4py.MPI" in sys.modules:
            time.sleep(5)  # if the first rank has failed, too, its word comes first
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    return status


def main(argv=None):
    """The program's work, for these arguments or those of the process  ->  exit status"""
    argv = sys.argv[1:] if argv is None else list(argv)
    _open_streams()
    name = "check kl" if argv[:2] == ["check", "kl"] else "".join(argv[:1])
    command = COMMANDS.get(name)
    try:
        if command is None:
            _overview().parse_args(argv)
            return 2
        arguments, run = _functions(name, command)
        parser = _Parser(
            prog=f"tinyvae {name}",
            description=f"{command.help[0].upper()}{command.help[1:]}.".replace("?.", "?"),
            epilog=f"example:\n  {command.example}",
        )
        arguments(parser)
        status = run(parser.parse_args(argv[len(name.split()) :]))
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # nobody reads on, as in: tinyvae train | head -1
        _silence(sys.stdout)
        return 128 + 13
    except KeyboardInterrupt:
        _say(f"\ntinyvae {name}: stopped")
        return 128 + signal.SIGINT
    except Exception as error:
        sentence = _sentence(error, name)
        if sentence is None:
            raise
        if isinstance(error, OSError):
            _silence_if_broken(sys.stdout)
        _say(f"tinyvae {name}: {sentence}")
        return 2


def _ignore_lack_of_memory(unraisable):
    """Python reports what a finaliser raises; that there was no memory is said once, by `main`."""
    if not isinstance(unraisable.exc_value, MemoryError):
        sys.__unraisablehook__(unraisable)


def _open_streams():
    """Streams that the caller has closed lead nowhere; what ASCII cannot say is escaped."""
    for name, mode in ("stdin", "r"), ("stdout", "w"), ("stderr", "w"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115
        elif getattr(stream, "errors", None) == "strict" and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


# --- train ----------------------------------------------------------------------------------------


def train_arguments(parser):
    """Declare what `tinyvae train` takes.  An option that is not given is not in the result."""
    add = _adder(parser)
    add("dataset", nargs="?", help="digits, mnist5k, mnist, fashion-mnist, an .npz or a folder")
    add("--latent-dim", type=_integer_type(1, 100_000), metavar="N", help="dimensions of z")
    add(
        "--hidden",
        type=_integer_type(1, 100_000),
        nargs="+",
        metavar="N",
        help="widths of the encoder",
    )
    add("--activation", choices=ACTIVATIONS, help="of the hidden layers")
    add("--autoencoder", action="store_true", help="no noise, no KL: a plain autoencoder")
    add(
        "--epochs",
        type=_integer_type(1, 1_000_000),
        metavar="N",
        help="passes over the training images",
    )
    add("--batch-size", type=_integer_type(1, 1_000_000), metavar="N", help="images in a step")
    add("--learning-rate", type=_float_type(0, 1e6), metavar="X", help="Adam's step size")
    add("--beta", type=_float_type(0, 1e6, lowest_too=True), metavar="X", help="weight of the KL")
    add("--no-binarize", dest="binarize", action="store_false",
        help="grey pixels go in as they are: the loss is then not -log p(x)")  # fmt: skip
    add("--seed", type=_integer_type(0, 2**63 - 1), metavar="N", help="of all random numbers")
    add(
        "--save-every",
        type=_integer_type(1, 1_000_000),
        metavar="N",
        help="epochs from save to save",
    )
    add("--out", metavar="DIR", help="the run's folder (runs/<dataset>-<latent dim>d)")
    add("--resume", action="store_true", help="go on with the run in that folder")
    add("--data", metavar="PATH", help="with --resume: where the run's data are now, if they moved")


def train_run(args):
    """`tinyvae train`: make a run folder, or go on with one.    ->  exit status"""
    given = vars(args)
    resume, out = given.pop("resume", False), given.pop("out", None)
    moved_to = given.pop("data", None)
    if moved_to is not None and not resume:
        raise Refused("--data says where the data of a run are now; a new run takes a data set")
    settings = DEFAULTS | given
    if settings["autoencoder"] and given.get("beta") is not None:
        raise Refused("an autoencoder has no KL that --beta could weigh; leave out one of them")
    if out is None:
        kind = "-autoencoder" if settings["autoencoder"] else ""
        out = f"runs/{Path(settings['dataset']).stem}-{settings['latent_dim']}d{kind}"
    _check_named(out)
    comm = _ranks()
    if comm is not None and comm.rank > 0:
        return _train_in_silence(comm, out, moved_to)
    if resume:
        checkpoint.load(out)  # a folder that holds no run is left alone
    else:
        dataset = data.load(settings["dataset"])
        _check_size(settings, dataset)
    with checkpoint.lock(out, _note) as folder:
        if resume:
            run = _resumed(out, given)
            dataset = _dataset(run, out, moved_to)
        else:
            run = _started(out, settings, dataset)
        return _train(out, folder, run, dataset, comm)


def _check_named(out):
    if out == "":
        raise Refused("--out is empty; name a folder, or leave it out")


def _started(out, settings, dataset):
    """A new Run, before its first epoch"""
    for name in "checkpoint.npz", "config.json", "history.csv":
        if os.path.lexists(Path(out, name)):
            if name == "checkpoint.npz":
                way_out = "go on with that run by --resume"
            else:
                way_out = "it belongs to a run whose checkpoint.npz is gone: delete it"
            raise Refused(
                f"{out} already holds a {name}; {way_out}, or choose another folder by --out"
            )
    rng = np.random.default_rng(settings["seed"])
    kind = Autoencoder if settings["autoencoder"] else VAE
    model = kind.create(
        dataset.x_train.shape[1],
        settings["hidden"],
        settings["latent_dim"],
        rng=rng,
        activation=settings["activation"],
    )
    options = {k: v for k, v in settings.items() if k not in OF_THE_MODEL}
    options["data_sha256"] = _fingerprint(dataset)
    return Run(model, options, Adam(model.params, settings["learning_rate"]), rng, [], [])


def _resumed(out, given):
    """The Run in the folder, with the options that may change"""
    run = checkpoint.load_run(out)
    saved = _settings(run, out)
    for name, value in given.items():
        if name not in MAY_CHANGE and value != saved[name]:
            raise Refused(
                f"{out} was trained with {name.replace('_', '-')} {_option_text(saved[name])}, not "
                f"{_option_text(value)}, and --resume keeps that; leave it out, or start another "
                "run"
            )
    if run.optimizer is None or run.rng is None:
        raise Refused(f"{out} holds a model without the state of its training; start another run")
    run.options.update({name: given[name] for name in MAY_CHANGE if name in given})
    if len(run.history) > run.options["epochs"]:
        raise Refused(
            f"{out} is already at epoch {len(run.history)}; --epochs {run.options['epochs']} is "
            "behind it"
        )
    return run


def _train(out, folder, run, dataset, comm=None):
    """Train up to the last epoch, saving on the way, whatever comes.    ->  exit status"""
    options = run.options
    if len(run.history) < options["epochs"]:
        _record_environment(out, run, 1 if comm is None else comm.size)
    saver = _Saver(folder, run)
    again = f"tinyvae train --out {_shell_word(out)} --resume"
    if comm is not None:
        _note(f"{comm.size} ranks train together; if one ends, all end, and go on with: {again}")
        distributed.broadcast(comm, checkpoint.pack(*run)["checkpoint.npz"])
    with _signals_to(saver.stop):
        try:
            _fit(run, dataset, saver, comm)
        except Stopped:
            saver.close()
            word = signal.Signals(saver.signum).name
            _say(f"stopped by {word} after epoch {saver.epoch}; go on with:\n  {again}")
            return 128 + saver.signum
        except train.TrainingError as error:
            saver.close()
            _say(f"tinyvae train: {error} ({out} keeps the state after epoch {saver.epoch})")
            return 1
        except FolderLost:
            raise
        except CheckpointError as error:
            raise CheckpointError(f"{error}; go on with:\n  {again}") from None
        except BrokenPipeError:
            saver.save()
            raise
        except Exception as error:  # a log on a full disk, no memory, or a mistake of ours
            saver.close()
            sentence = _sentence(error, "train")
            if sentence is None:
                raise
            raise Refused(
                f"{sentence}; stopped after epoch {saver.epoch}, which is saved; go on with:\n"
                f"  {again}"
            ) from error
    print(_test_loss(run, dataset.x_test))
    print(_printable(f"saved in {out}; see: tinyvae plot {_shell_word(out)}"))
    return 0


def _fit(run, dataset, report, comm):
    """Train the run's model, in this process or, with ``comm``, in all its ranks."""
    options = run.options
    with ExitStack() as stack:
        if comm is None:
            model, optimizer = run.model, fast.InBlocks(run.optimizer)
        else:
            shared_out = distributed.shared_out(comm, run.model, run.optimizer)
            model, optimizer = stack.enter_context(shared_out)
        fit(
            model,
            dataset.x_train,
            x_test=dataset.x_test,
            epochs=options["epochs"],
            batch_size=options["batch_size"],
            beta=options["beta"],
            binarize=options["binarize"],
            rng=run.rng,
            optimizer=optimizer,
            history=run.history,
            report=report,
        )


def _ranks():
    """MPI's communicator if mpiexec started several of us, else None"""
    if distributed.rank_among_several() is None:
        return None
    try:
        return distributed.world()
    except ImportError as error:
        raise Refused(f"mpiexec started several ranks, and each {error}") from None


def _train_in_silence(comm, out, moved_to):
    """What all ranks but the first do: the same training, of which the first one speaks.

    Signals are for the first rank.  A failure that it does not have is told from here.
    """
    for name in ENDINGS:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    try:
        run = checkpoint.unpack(distributed.broadcast(comm))
        _fit(run, _dataset(run, out, moved_to), train.silent, comm)
    except train.TrainingError:
        return 1  # the first rank has it, too
    except Exception as error:
        sentence = _sentence(error, "train") or f"{type(error).__name__}: {error}"
        print(f"tinyvae train: rank {comm.rank}: {sentence}", file=sys.__stderr__, flush=True)
        os._exit(2)
    return 0


def _record_environment(out, run, ranks):
    """Add what this process runs on, if it is another than before; say so if the run goes on."""
    now, before = environment.describe(ranks), run.environments[-1] if run.environments else {}
    changed = environment.differences(before, now)
    if not changed:
        return
    if run.history:
        what = changed if before else "it does not say what it was trained on"
        _note(
            f"{out}: {what}; it goes on, and its numbers will differ by rounding from those of a "
            "training in one piece"
        )
    run.environments.append({"epoch": len(run.history) + 1, **now})


def _test_loss(run, x):
    """The result of a training in one line.

    Small test sets are drawn again and again, up to 10,000 images: the pixels and the noise of one
    draw of 297 digits move their mean loss by 0.2 nats.
    """
    binarize, rng = run.options["binarize"], np.random.default_rng([run.options["seed"], 1])
    draws = -(-TEST_IMAGES // len(x))
    losses = [train.mean_loss(run.model, x, rng, binarize) for _ in range(draws)]
    recon, kl = np.mean(losses, axis=0)
    grey = "" if binarize else "; of grey pixels, so it is not -log p(x)"
    said = f"test loss {recon + kl:.3f} nats = recon {recon:.3f} + kl {kl:.3f}"
    return f"{said}, in {draws} draws of {len(x)} images{grey}"


class _Saver:
    """The report of a training: it saves what is due, and remembers what is not yet."""

    def __init__(self, folder, run):
        self.folder, self.run, self.signum, self.at_work = folder, run, None, False
        self.print = train.printer(run.options["epochs"], start=len(run.history))
        self.snapshot, self.columns, self.written = checkpoint.Snapshot(run), None, 0
        self.save()

    @property
    def epoch(self):
        """The last epoch that is complete"""
        return self.snapshot.epochs

    def __call__(self, row):
        self.at_work = True
        self.snapshot.take()
        every, epochs = self.run.options["save_every"], self.run.options["epochs"]
        if self.epoch % every == 0 or self.epoch == epochs:
            self.save()
        self.at_work = False
        self.print(row)
        if self.signum:  # at work, or Python dropped it: what is raised while it frees an object
            raise Stopped

    def save(self):
        """Write the last epoch that is complete.  Of the table only new rows are written."""
        self.folder.save(self.snapshot.files())
        new = self.run.history[self.written : self.epoch]
        if not (self.columns and self.folder.save_history(checkpoint.csv(new, self.columns))):
            history = self.run.history[: self.epoch]
            self.folder.save_history(checkpoint.csv(history), rewrite=True)
            self.columns = checkpoint.csv_columns(history) if history else None
        self.written = self.epoch

    def close(self):
        """Save, and end the progress bar, if there still is a terminal."""
        self.save()
        with suppress(OSError, ValueError):
            self.print.close()

    def stop(self, signum, frame):
        """A signal's handler.  Only the first one interrupts: saving must not be interrupted."""
        if self.signum is None:
            self.signum = signum
            if not self.at_work:
                raise Stopped


@contextmanager
def _signals_to(handler):
    """The signals of ENDINGS go to the handler; one that the parent had ignored stays ignored."""
    signals = [getattr(signal, name) for name in ENDINGS if hasattr(signal, name)]
    signals = [signum for signum in signals if signal.getsignal(signum) != signal.SIG_IGN]
    before = {signum: signal.signal(signum, handler) for signum in signals}
    try:
        yield
    finally:
        for signum, old in before.items():
            signal.signal(signum, old)


# --- evaluate and plot ----------------------------------------------------------------------------


def evaluate_arguments(parser):
    """Declare what `tinyvae evaluate` takes."""
    parser.add_argument("run", metavar="RUN", help="the folder of a run")
    _add_data(parser)
    parser.add_argument("--samples", type=_integer_type(1, 1_000_000), default=5000, metavar="N",
                        help="draws of z for each log p(x) (%(default)s)")  # fmt: skip
    parser.add_argument("--seed", type=_integer_type(0, 2**63 - 1), default=0, metavar="N",
                        help="of pixels and draws (%(default)s)")  # fmt: skip


def _add_data(parser):
    parser.add_argument(
        "--data", metavar="PATH", help="where the run's data are now, if they moved"
    )


def evaluate_run(args):
    """`tinyvae evaluate`: what the test images cost, in nats.    ->  exit status"""
    run = checkpoint.load_run(args.run)
    settings = _settings(run, args.run)
    comm = _ranks()
    estimate = evaluate.estimate if comm is None else partial(distributed.estimate, comm)
    if settings["autoencoder"]:
        raise Refused(
            f"{args.run} holds an autoencoder, which has no ELBO and no log p(x); see what it does "
            f"with: tinyvae plot {_shell_word(args.run)}"
        )
    x, rng = _dataset(run, args.run, args.data).x_test, np.random.default_rng(args.seed)
    epochs, images = _count_text(len(run.history), "epoch"), _count_text(len(x), "test image")
    print(_printable(f"{args.run}: {epochs} of {settings['dataset']}, {images}"))
    if not settings["binarize"]:
        recon, kl = train.mean_loss(run.model, x, rng, binarize=False)
        print(f"loss      {recon + kl:10.3f}             of grey pixels, as it was trained: it is")
        print("                                 not -log p(x); below, pixels are black or white")
    elbo, kl, estimates = [], [], []
    for images in _bar(range(0, len(x), 20)):
        x_batch = data.binarize(x[images : images + 20], rng)
        elbo.append(evaluate.elbo(run.model, x_batch, rng, samples=10))
        kl.append(gaussian.kl_to_standard_normal(*run.model.encode(x_batch)))
        estimates.append(estimate(run.model, x_batch, rng, args.samples))
    elbo, kl = (np.concatenate(parts).astype(float) for parts in (elbo, kl))
    log_px, sizes, k_hats = (np.concatenate(parts) for parts in zip(*estimates, strict=True))
    _print_mean("elbo", elbo, "= -(recon + kl)")
    _print_mean("recon", -elbo - kl, "-log p(x|z)")
    _print_mean("kl", kl, "KL(q(z|x) || p(z))")
    _print_mean("log p(x)", log_px, f"at least: {args.samples} importance weights each")
    _print_weights(sizes, k_hats, args.samples)
    return 0


def _print_weights(sizes, k_hats, samples):
    """Say how far the weights can be trusted: +- is the images' spread, and knows nothing of it."""
    print(f"{'weights':10s}{np.median(sizes):10.0f}             of {samples} effective;"
          f" fewest {np.nanmin(sizes, initial=samples):.0f}")  # fmt: skip
    if samples < FEWEST_WEIGHTS:
        print(f"k-hat              -             fewer than {FEWEST_WEIGHTS} weights have none")
        return
    limit = evaluate.pareto_k_limit(samples)
    bad = np.count_nonzero(~(k_hats <= limit))  # NaN is bad, too
    print(f"{'k-hat':10s}{np.median(k_hats):10.2f}             Pareto shape;"
          f" worst {k_hats.max():.2f}, good up to {limit:.2f}")  # fmt: skip
    if bad:
        print(
            f"warning: in {bad} of {_count_text(len(k_hats), 'image')} a few weights carry the sum:"
        )
        print("log p(x) is higher than it says, by more than the +-; take more --samples")


def _print_mean(name, values, said):
    error = " " * 9  # one image has no standard error
    if len(values) > 1:
        error = f"+- {values.std(ddof=1) / np.sqrt(len(values)):6.3f}"
    print(f"{name:10s}{values.mean():10.3f} {error} nats  {said}")


def _count_text(number, thing):
    return f"{number} {thing}" + ("" if number == 1 else "s")


def plot_arguments(parser):
    """Declare what `tinyvae plot` takes."""
    parser.add_argument("run", metavar="RUN", help="the folder of a run")
    _add_data(parser)
    parser.add_argument("--out", metavar="DIR", help="where the PNGs go (the run's folder)")
    parser.add_argument("--seed", type=_integer_type(0, 2**63 - 1), default=0, metavar="N",
                        help="of the samples (%(default)s)")  # fmt: skip


def plot_run(args):
    """`tinyvae plot`: write the PNGs of a run, and print their paths.    ->  exit status"""
    run = checkpoint.load_run(args.run)
    dataset = _dataset(run, args.run, args.data)
    _check_named(args.out)
    with _without_backend():
        from tinyvae import plot  # takes matplotlib along
    rng = np.random.default_rng(args.seed)
    with RunFolder(args.out or args.run, _note) as folder, plot.style():
        for name, figure in plot.figures(run.model, dataset, run.history, rng):
            png = io.BytesIO()
            try:
                figure.savefig(png, format="png")
            except RuntimeError as error:  # of the library that draws letters
                raise Refused(f"{name} cannot be drawn ({error})") from error
            folder.write(name, png.getvalue())
            print(_printable(os.fspath(folder.path / name)), flush=True)
    return 0


@contextmanager
def _without_backend():
    """Import matplotlib without what MPLBACKEND asks for: files need no backend, and a notebook
    hands on one that its shell's Python may not have."""
    asked = os.environ.pop("MPLBACKEND", None)
    try:
        yield
    finally:
        if asked is not None:
            os.environ["MPLBACKEND"] = asked


def explore_arguments(parser):
    """Declare what `tinyvae explore` takes."""
    parser.add_argument("run", metavar="RUN", nargs="?",
                        help="the folder of a run with two latent dimensions")  # fmt: skip
    parser.add_argument("--gaussians", action="store_true",
                        help="no run: two Gaussians to move, and a q to drag")  # fmt: skip
    _add_data(parser)
    parser.add_argument("-o", "--out", metavar="PAGE",
                        help="the .html file (RUN/explore.html, or gaussians.html)")  # fmt: skip


def explore_run(args):
    """`tinyvae explore`: write a page that computes by itself, and print its path.    -> status"""
    if (args.run is None) != args.gaussians:
        raise Refused("give either the folder of a run or --gaussians")
    if args.out == "":
        raise Refused("--out is empty; name a page, or leave it out")
    out = Path(args.out or (Path(args.run, "explore.html") if args.run else "gaussians.html"))
    if out.suffix.lower() not in (".html", ".htm"):
        raise Refused(f"{out} is no name for a page; end it in .html")
    from tinyvae.web import export

    page = export.gaussians() if args.gaussians else _page(args.run, export, args.data)
    try:
        checkpoint.write(out.parent, {out.name: page.encode()})  # whole or not at all
    except CheckpointError as error:
        reason = getattr(error.__cause__, "strerror", error)
        raise Refused(f"{out} cannot be written ({reason}); choose another --out") from error
    print(f"{out}: {len(page.encode()):,} bytes; open it in a browser")
    return 0


def _page(folder, export, moved_to=None):
    """The explorer's page of the run in that folder"""
    run = checkpoint.load_run(folder)
    settings = _settings(run, folder)
    try:
        return export.explorer(
            run.model,
            _dataset(run, folder, moved_to),
            Path(settings["dataset"]).stem,
            binarize=settings["binarize"],
        )
    except export.PageError as error:
        raise Refused(f"{folder} {error}") from None


# --- the settings and data of a run ---------------------------------------------------------------


def _settings(run, folder):
    """The options of `tinyvae train` that made the run"""
    model = run.model
    run.options.pop("processes", None)  # of versions 1.x, which shared the work without MPI
    settings = run.options | {
        "autoencoder": isinstance(model, Autoencoder),
        "latent_dim": model.latent_dim,
        "hidden": list(model.hidden_dims),
        "activation": model.activation,
    }
    if not DEFAULTS.keys() <= settings.keys():
        raise Refused(
            f"{folder} was not made by `tinyvae train`, so its data set is not known; load it in "
            "Python with tinyvae.checkpoint.load"
        )
    if not _acceptable(run.options):
        raise Refused(
            f"{folder} holds options that `tinyvae train` does not take; was its checkpoint.npz "
            "made by hand?"
        )
    return settings


def _acceptable(options):
    """Whether `tinyvae train` would take them, each of its own type"""
    saved = {name: options[name] for name in DEFAULTS if name not in OF_THE_MODEL}
    if any(type(value) is not type(DEFAULTS[name]) for name, value in saved.items()):
        return False
    dataset, _ = saved.pop("dataset"), saved.pop("binarize")
    words = [f"--{name.replace('_', '-')}={value}" for name, value in saved.items()]
    parser = _Parser(exit_on_error=False)
    train_arguments(parser)
    try:
        parser.parse_args([*words, "--", dataset])
    except argparse.ArgumentError:
        return False
    return True


def _dataset(run, folder, moved_to=None):
    """The data set of a run, known by the SHA-256 of its images

    It is looked for where it was, then at the same path from the run's folder and the two above it;
    or only at ``moved_to``, which may be a folder of .npz files.
    """
    name, refusal = _settings(run, folder)["dataset"], None
    for place in _places(name, folder, moved_to):
        try:
            dataset = data.load(place)
            if _fingerprint(dataset) == run.options.get("data_sha256"):
                return dataset
            said = (
                f"{moved_to} does not hold the images that {folder} was trained on"
                if moved_to
                else f"{name} has changed since {folder} was trained on it; put it back, or say by "
                "--data where it is now"
            )
        except data.DataError as error:
            said = f"{error}; if the data of {folder} moved, say by --data where they are"
        refusal = refusal or Refused(said)  # of the likeliest place
    raise refusal


def _places(name, folder, moved_to):
    """Where the data of a run may be, the likeliest first"""
    if moved_to is not None:
        inside = sorted(Path(moved_to).glob("*.npz")) if os.path.isdir(moved_to) else []
        return [moved_to, *inside[:100]]
    if name in data.TRAIN_SIZE or name in data.FULL_SETS:
        return [name]
    here = Path(folder).absolute()
    near = [above / part for above in (here, *here.parents[:2]) for part in (name, Path(name).name)]
    return [name, *(place for place in dict.fromkeys(near) if place.exists())]


def _fingerprint(dataset):
    """SHA-256 over the images"""
    sha = hashlib.sha256()
    for x in dataset.x_train, dataset.x_test:
        pixels = getattr(x, "levels", x)
        sha.update(f"{pixels.dtype.str} {pixels.shape}\n".encode())
        sha.update(np.ascontiguousarray(pixels))
    return sha.hexdigest()


def _check_size(settings, dataset):
    dims = dataset.x_train.shape[1], settings["hidden"], settings["latent_dim"]
    maps = VAE({}, *dims, settings["activation"]).shapes().values()
    size = sum(inputs * outputs + outputs for inputs, outputs in maps)
    if size > MOST_PARAMETERS:
        raise Refused(
            f"this network has {size:,} parameters, and tinyvae takes up to {MOST_PARAMETERS:,}; "
            "choose a smaller --hidden or --latent-dim"
        )


# --- arguments, messages, names -------------------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    """A parser that refuses in one sentence."""

    def __init__(self, **options):
        super().__init__(
            formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **options
        )

    def _print_message(self, message, file=None):
        if file is sys.stdout:  # a full disk is to be noticed before the exit status is
            file.write(message)
            file.flush()
        else:
            _say(message.removesuffix("\n"))

    def error(self, message):
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def _overview():
    """The parser of `tinyvae` without a command: its help, its version, its refusal"""
    commands = "\n".join(f"  {n:10s}{c.help}" for n, c in COMMANDS.items() if " " not in n)
    parser = _Parser(
        prog="tinyvae",
        usage="tinyvae COMMAND ...",
        description=f"{ABOUT}\n\ncommands:\n{commands}",
        epilog="example:\n  tinyvae train digits --epochs 20\n  tinyvae plot runs/digits-2d\n\n"
        "`tinyvae COMMAND --help` says more about each.",
    )
    parser.add_argument("--version", action="version", version=f"tinyvae {tinyvae.__version__}")
    parser.add_argument("command", metavar="COMMAND", choices=[n for n in COMMANDS if " " not in n],
                        help=argparse.SUPPRESS)  # fmt: skip
    return parser


def _functions(name, command):
    """What declares the arguments of a command, and what runs it"""
    if command.module is None:
        return globals()[f"{name}_arguments"], globals()[f"{name}_run"]
    module = importlib.import_module(command.module)
    return module.arguments, module.run


def _adder(parser):
    """parser.add_argument, but an option that is not given leaves no trace; its default is shown"""

    def add(name, **options):
        default = DEFAULTS.get(options.get("dest", name.lstrip("-").replace("-", "_")))
        if not isinstance(default, bool | None):
            options["help"] += f" ({_option_text(default)})"
        parser.add_argument(name, default=argparse.SUPPRESS, **options)

    return add


def _integer_type(low, high):
    def integer(text):
        try:
            value = int(text)
        except ValueError:
            value = None
        if value is None or not low <= value <= high:
            raise argparse.ArgumentTypeError(
                f"must be a whole number from {low} to {high}, not {text!r}"
            )
        return value

    return integer


def _float_type(low, high, lowest_too=False):
    def real(text):
        try:
            value = float(text)
        except ValueError:
            value = np.nan
        if not (low < value <= high or (lowest_too and value == low)):
            start = "from" if lowest_too else "above"
            raise argparse.ArgumentTypeError(
                f"must be a number {start} {low} up to {high:g}, not {text!r}"
            )
        return value

    return real


def _option_text(value):
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _sentence(error, command):
    """What to tell the user of an error, or None if it is a mistake of this program's"""
    try:
        raise_if_out_of_memory(error)
    except MemoryError:
        advice = {
            "train": "choose a smaller network or --batch-size",
            "evaluate": "choose fewer --samples",
        }.get(command, "close other programs, or raise the limit")
        return f"there is not enough memory for this; {advice}"
    if isinstance(error, OSError) and error.strerror:
        at_fault = "the output" if error.errno in OF_THE_OUTPUT else "the system"
        return f"{error.filename or at_fault}: {error.strerror}"
    if isinstance(error, ValueError) and str(error).startswith("Key backend: "):  # matplotlib's
        return f"MPLBACKEND={os.environ.get('MPLBACKEND')} is no backend of matplotlib; unset it"
    if isinstance(error, ImportError):
        return f"a part of tinyvae cannot be loaded ({error}); install it again"
    known = Refused, CheckpointError, data.DataError, OSError
    return str(error) if isinstance(error, known) else None


def _say(text):
    """Print on stderr, if that can be printed on: exit statuses do not depend on it."""
    try:
        print(_printable(text), file=sys.stderr, flush=True)
    except (OSError, ValueError):
        _silence(sys.stderr)


def _printable(text):
    """Names come from files that nobody vouches for: no control character reaches the terminal."""
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


def _silence(stream):
    """Send the rest of a stream nowhere, or Python complains about it when it exits."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _silence_if_broken(stream):
    try:
        stream.flush()
    except (OSError, ValueError):
        _silence(stream)


def _shell_word(path):
    """A path as a word that a shell and argparse take back, printable in this terminal's encoding

    Where that cannot be, as $'...' with octal bytes, which bash, zsh and ksh read.
    """
    text = os.fspath(path)
    if text.startswith("-"):
        text = os.path.join(os.curdir, text)
    try:
        text.encode(getattr(sys.stderr, "encoding", None) or "ascii")
        text.encode("utf-8")  # surrogates stand for bytes that are no text
        if text.isprintable():
            return shlex.quote(text)
    except UnicodeEncodeError:
        pass
    plain = set(range(32, 127)) - set(b"'\\")
    octal = "".join(chr(b) if b in plain else f"\\{b:03o}" for b in os.fsencode(text))
    return f"$'{octal}'"


def _note(sentence):
    _say(f"note: {sentence}")


def _bar(steps):
    """A progress bar on stderr, if that is a terminal"""
    from tqdm import tqdm

    return tqdm(steps, disable=None, leave=False, dynamic_ncols=True)
