"""Keep a training run in a folder: save it whole or not at all, read it back or say why not.

    checkpoint.npz    everything: parameters, optimiser, random state, history, configuration
    config.json       the configuration, for people
    history.csv       recon, kl and elbo of every epoch in nats, for people

checkpoint.npz alone is enough to go on.  It is a plain .npz with a SHA-256 over all of it; nothing
is pickled.  The same training gives the same bytes: no dates, no paths.  A file changes by being
renamed into place, so the last good one is always there.
"""

import json
import os
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tinyvae import archive
from tinyvae.autoencoder import Autoencoder
from tinyvae.layers import ACTIVATIONS
from tinyvae.optim import SGD, Adam
from tinyvae.vae import VAE

FORMAT = 1
MODELS = {"VAE": VAE, "Autoencoder": Autoencoder}
OPTIMIZERS = {"Adam": Adam, "SGD": SGD}
BIT_GENERATORS = "PCG64", "PCG64DXSM", "SFC64"  # those whose state is a few whole numbers
COLUMNS = "epoch", "recon", "kl", "elbo", "test_recon", "test_kl", "test_elbo"
DTYPES = "float32", "float64"
MOST_TEXT = 1_000_000  # bytes of configuration


class CheckpointError(ValueError):
    """A run folder that cannot be read or written: one sentence on what, where, what to do."""


class Run(NamedTuple):
    """A model, how it was trained, and what training needs to go on."""

    model: VAE | Autoencoder
    options: dict[str, Any]  # of `tinyvae train`: data set, epochs, seed ...
    optimizer: SGD | Adam | None
    rng: np.random.Generator | None
    history: list[dict[str, float]]


def load(run_folder):
    """The model (VAE or Autoencoder) that a run folder holds.

    Raises CheckpointError for anything that is not a run, or not as it was saved.
    """
    return load_run(run_folder).model


def load_run(run_folder):
    """All that a run folder holds  ->  Run;  optimizer and rng are None if they were not saved.

    `fit(run.model, x, rng=run.rng, optimizer=run.optimizer, history=run.history, ...)` goes on
    bit for bit as if nothing had happened.    Raises CheckpointError as `load` does.
    """
    if not isinstance(run_folder, str | os.PathLike):
        raise CheckpointError(f"a run is a folder's path, not {type(run_folder).__name__}")
    folder = Path(run_folder)
    content = _content(folder / "checkpoint.npz")
    with _naming(folder / "checkpoint.npz", "a checkpoint"):
        state, run = _unpack(content)
    config = folder / "config.json"
    if config.exists():
        with _naming(config, "a configuration"):
            if _json(config.read_bytes()) != _config(state):
                raise CheckpointError(
                    "is not the configuration of the checkpoint.npz beside it; put the right one "
                    "back, or delete it: the checkpoint has its own copy"
                )
    return run


def save(run_folder, model, options=None, optimizer=None, rng=None, history=()):
    """Write the run into the folder, which is made if need be.    `save(folder, *run)` for a Run

    Raises CheckpointError if it cannot be written, or not be read again: a parameter that is not
    finite, say, or an option that JSON cannot hold; what was there before is then still there.
    """
    _history(_table(history))
    write(run_folder, pack(model, options, optimizer, rng, history))


def pack(model, options=None, optimizer=None, rng=None, history=()):
    """The files of a run, as they are at this moment  ->  dict name -> bytes, for `write`"""
    run = Run(model, options or {}, optimizer, rng, list(history))
    if type(model) not in MODELS.values():
        raise CheckpointError(f"only {' and '.join(MODELS)} can be saved, not {type(model)}")
    if rng is not None and type(rng.bit_generator).__name__ not in BIT_GENERATORS:
        raise CheckpointError(f"rng must use one of {', '.join(BIT_GENERATORS)}, not {rng}")
    state, arrays = describe(run), parameters_and_moments(run)
    _check(arrays, state, empty_model(state["model"], most_layers=len(arrays)))
    try:
        text = json.dumps(state, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"options must be what JSON can hold: {error}") from None
    arrays["history"] = _table(run.history)
    arrays["state"] = np.frombuffer(text.encode(), np.uint8)
    arrays["sha256"] = archive.digest(arrays)
    return {
        "checkpoint.npz": archive.write(arrays),
        "config.json": (json.dumps(_config(state), indent=2) + "\n").encode(),
        "history.csv": _csv(run.history).encode(),
    }


def write(run_folder, files):
    """Put the packed files into the folder, each by renaming, after all are safe on the disk."""
    folder, parts = Path(run_folder), {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            if not _holds(folder / name, content):
                parts[name] = folder / f".{name}.part"
                _write_through(parts[name], content)
        if "config.json" in parts:  # better none for a moment than one that belies the checkpoint
            (folder / "config.json").unlink(missing_ok=True)
        for name, part in parts.items():
            os.replace(part, folder / name)
        _sync_folder(folder)
    except OSError as error:
        raise CheckpointError(
            f"{folder}: cannot be written ({error.strerror}); what was saved before is untouched"
        ) from error
    finally:
        for part in parts.values():
            with suppress(OSError):
                part.unlink(missing_ok=True)


@contextmanager
def lock(run_folder):
    """Keep other trainings out of the folder, which is made if need be; a CheckpointError if one
    is in there.  The lock dies with its process.  The empty file .lock stays."""
    folder = Path(run_folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = open(folder / ".lock", "a+b")  # noqa: SIM115
    except OSError as error:
        raise CheckpointError(
            f"{folder}: cannot be written ({error.strerror}); choose another folder"
        ) from error
    with file:
        try:
            _lock_file(file)
        except OSError:
            raise CheckpointError(
                f"{folder}: another training is at work in this folder; wait for it, or choose "
                "another folder"
            ) from None
        yield


# --- writing ------------------------------------------------------------------------------------


def describe(run):
    """All of a run but its arrays and its history, as JSON has it"""
    return {
        "format": FORMAT,
        "model": {
            "class": type(run.model).__name__,
            "data_dim": int(run.model.data_dim),
            "hidden_dims": [int(n) for n in run.model.hidden_dims],
            "latent_dim": int(run.model.latent_dim),
            "activation": run.model.activation,
            "dtype": str(run.model.params["logits.W"].dtype),
        },
        "training": run.options,
        "optimizer": run.optimizer and _optimizer_state(run.optimizer),
        "rng": run.rng and run.rng.bit_generator.state,
    }


def _optimizer_state(optimizer):
    """What an optimiser is, but for its moments: the numbers that its constructor takes, and t"""
    names = vars(optimizer).keys() - {"params", "moments", "t", "_buffers"}
    numbers = {name: float(getattr(optimizer, name)) for name in sorted(names)}
    return {"class": type(optimizer).__name__, "t": optimizer.t, **numbers}


def parameters_and_moments(run):
    """name -> array, by rows; the names start with "params.", "m." or "v." """
    kinds = {"params": run.model.params, **(run.optimizer.moments if run.optimizer else {})}
    return {
        f"{kind}.{name}": np.ascontiguousarray(array)
        for kind, arrays in kinds.items()
        for name, array in arrays.items()
    }


def _config(state):
    """The part of the state that people want to read"""
    return {key: state[key] for key in ("format", "model", "training")}


def _csv(history):
    columns = [c for c in COLUMNS if not history or any(c in row for row in history)]
    rows = [columns, *([row.get(column, "") for column in columns] for row in history)]
    return "".join(",".join(map(str, row)) + "\n" for row in rows)


def _table(history):
    """The history as an array (epochs, columns); NaN where an epoch had no test set"""
    rows = [[row.get(column, np.nan) for column in COLUMNS] for row in history]
    return np.array(rows, np.float64).reshape(-1, len(COLUMNS))


def _holds(path, content):
    return path.is_file() and path.read_bytes() == content


def _write_through(path, content):
    """Write a file, and come back when it is on the disk."""
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder):
    if os.name == "posix":  # elsewhere a folder cannot be opened
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _lock_file(file):
    if os.name == "posix":
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    else:
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)


# --- reading ------------------------------------------------------------------------------------


def _content(path):
    """The bytes of the checkpoint in a folder"""
    folder = path.parent
    if not folder.is_dir():
        there = "is not a folder" if folder.exists() else "no such folder"
        raise CheckpointError(f"{folder}: {there}; give the folder of a run, see `tinyvae train`")
    if not path.is_file():  # a pipe would keep us waiting
        raise CheckpointError(
            f"{folder}: holds no checkpoint.npz, so it is not a run, or one that was stopped "
            "before its first save; train it with `tinyvae train`"
        )
    with _naming(path, "a checkpoint"):
        return path.read_bytes()


@contextmanager
def _naming(path, kind):
    """Whatever goes wrong with a file becomes a CheckpointError that names it."""
    try:
        yield
    except (CheckpointError, archive.ArchiveError) as error:
        raise CheckpointError(f"{path}: {error}") from None
    except Exception as error:  # the libraries raise a dozen kinds for bytes that are not theirs
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise CheckpointError(
            f"{path}: cannot be read as {kind} ({reason.splitlines()[0][:80]}); "
            "was it cut off or changed?"
        ) from error


def _unpack(content):
    """The bytes of checkpoint.npz  ->  state, Run"""
    arrays = archive.read(content)
    for name in "state", "history", "sha256":
        if name not in arrays:
            raise CheckpointError(f"has no member {name}.npy, so it is not a checkpoint of tinyvae")
    state = _json(arrays["state"].tobytes())
    if state["format"] > FORMAT:
        raise CheckpointError(
            f"was made by a newer tinyvae, in format {state['format']}, and this one reads "
            f"format {FORMAT}; update tinyvae"
        )
    if not np.array_equal(arrays.pop("sha256"), archive.digest(arrays)):
        raise CheckpointError("has changed since it was saved: its checksum is another")
    del arrays["state"]
    history = _history(arrays.pop("history"))
    model = empty_model(state["model"], most_layers=len(arrays))
    _check(arrays, state, model)
    arrays = {name: array.copy() for name, array in arrays.items()}  # writable, and on their own
    model.params.update(_named(arrays, "params"))
    optimizer = state["optimizer"] and optimizer_of(state["optimizer"], model.params, arrays)
    run = Run(model, state["training"], optimizer, state["rng"] and _rng(state["rng"]), history)
    if describe(run) != state or not isinstance(run.options, dict):
        raise CheckpointError("holds settings that no tinyvae has saved")
    return state, run


def _json(text):
    if len(text) > MOST_TEXT:
        raise CheckpointError(f"has {len(text):,} bytes of configuration, which no run needs")
    return json.loads(text)


def _history(table):
    """The history of `fit` from an array (epochs, columns)"""
    history = [
        {"epoch": int(row[0])}
        | {c: x for c, x in zip(COLUMNS[1:], row[1:], strict=True) if not np.isnan(x)}
        for row in table.tolist()
    ]
    if not np.array_equal(_table(history), table, equal_nan=True) or not all(
        row["epoch"] == epoch and set(COLUMNS[:4]) <= row.keys()
        for epoch, row in enumerate(history, 1)
    ):
        raise CheckpointError("holds a history that no training has")
    return history


def empty_model(config, most_layers=np.inf):
    """The model that the configuration describes, still without its parameters"""
    sizes = [config["data_dim"], config["latent_dim"], *config["hidden_dims"]]
    if (
        config["class"] not in MODELS
        or config["activation"] not in ACTIVATIONS
        or config["dtype"] not in DTYPES
        or not all(type(n) is int and n >= 1 for n in sizes)
        or not 3 <= len(sizes) <= 2 + most_layers
    ):
        raise CheckpointError(f"describes no model of tinyvae: {str(config)[:200]}")
    dims = config["data_dim"], config["hidden_dims"], config["latent_dim"]
    return MODELS[config["class"]]({}, *dims, config["activation"])


def _check(arrays, state, model):
    """Raise CheckpointError unless the arrays are those of the configuration, and finite."""
    shapes = {}
    for name, (inputs, outputs) in model.shapes().items():
        shapes |= {f"{name}.W": (inputs, outputs), f"{name}.b": (outputs,)}
    moments = ("m", "v") if (state["optimizer"] or {}).get("class") == "Adam" else ()
    wanted = {f"{kind}.{name}": s for kind in ("params", *moments) for name, s in shapes.items()}
    if arrays.keys() != wanted.keys():
        odd = ", ".join(sorted(arrays.keys() ^ wanted.keys())[:3])
        raise CheckpointError(f"its arrays are not those of its configuration: see {odd}")
    for name, array in arrays.items():
        if array.shape != wanted[name] or array.dtype != state["model"]["dtype"]:
            raise CheckpointError(
                f"{name} is {array.dtype} of shape {array.shape}, and the configuration wants "
                f"{state['model']['dtype']} of shape {wanted[name]}"
            )
        if not np.isfinite(array).all():
            raise CheckpointError(f"{name} is not finite; it belongs to no model that works")


def _named(arrays, kind):
    """The arrays "kind.name", as a dict by name"""
    start = f"{kind}."
    return {k.removeprefix(start): array for k, array in arrays.items() if k.startswith(start)}


def optimizer_of(state, params, arrays):
    numbers = {name: value for name, value in state.items() if name not in ("class", "t")}
    optimizer = OPTIMIZERS[state["class"]](params, **numbers)
    optimizer.moments = {moment: _named(arrays, moment) for moment in optimizer.moments}
    optimizer.t = state["t"]
    if type(optimizer.t) is not int or not 0 <= optimizer.t < 2**63:
        raise CheckpointError(f"has an optimizer after {str(optimizer.t)[:40]} steps")
    return optimizer


def _rng(state):
    if state["bit_generator"] not in BIT_GENERATORS:
        raise CheckpointError(f"its random numbers come from an unknown {state['bit_generator']}")
    bit_generator = getattr(np.random, state["bit_generator"])()
    bit_generator.state = state
    return np.random.Generator(bit_generator)
