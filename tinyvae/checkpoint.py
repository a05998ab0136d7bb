"""Keep a training run in a folder: save it whole or not at all, read it back or say why not.

    checkpoint.npz    everything: parameters, optimiser, random state, history, configuration
    config.json       the configuration, for people
    history.csv       recon, kl and elbo of every epoch in nats, for people

checkpoint.npz alone is enough to resume.  It is a plain .npz with a SHA-256 over all of it; nothing
is pickled.  The same training gives the same bytes: no dates, no paths.  `folder` writes the files.

Format 2 adds to format 1 (tinyvae 1.0) what the training ran on.  Both are read.
"""

import json
import os
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tinyvae import archive
from tinyvae.autoencoder import Autoencoder
from tinyvae.files import NotRegular, raise_if_out_of_memory, read_regular
from tinyvae.folder import CheckpointError, FolderLost, RunFolder
from tinyvae.layers import ACTIVATIONS
from tinyvae.optim import SGD, Adam
from tinyvae.vae import VAE

__all__ = "CheckpointError", "FolderLost", "Run", "load", "load_run", "lock", "save"

FORMAT = 2
MODELS = {"VAE": VAE, "Autoencoder": Autoencoder}
OPTIMIZERS = {"Adam": Adam, "SGD": SGD}
BIT_GENERATORS = "PCG64", "PCG64DXSM", "SFC64"  # those whose state is a few integers
COLUMNS = "epoch", "recon", "kl", "elbo", "test_recon", "test_kl", "test_elbo"
DTYPES = "float32", "float64"
MOST_TEXT = 1_000_000  # bytes of configuration
MOST_BYTES = (
    1 << 32
)  # of a checkpoint: 100 million float64 parameters with Adam's moments take 2.4e9


class Run(NamedTuple):
    """A model, how it was trained, and what training needs to go on."""

    model: VAE | Autoencoder
    options: dict[str, Any]  # of `tinyvae train`: data set, epochs, seed ...
    optimizer: SGD | Adam | None
    rng: np.random.Generator | None
    history: list[dict[str, float]]
    environments: list[dict[str, Any]] | tuple[()] = ()  # what it ran on, each from its "epoch"


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
    content = _read_bytes(folder / "checkpoint.npz")
    with _naming_file(folder / "checkpoint.npz", "a checkpoint"):
        state, run = _unpack(content)
    config = folder / "config.json"
    if os.path.lexists(config) and not config.is_symlink():
        with _naming_file(config, "a configuration"):
            if _json(read_regular(config, MOST_TEXT, follow=False)) != _config(state):
                raise CheckpointError(
                    "is not the configuration of the checkpoint.npz beside it; put the right one "
                    "back, or delete it: the checkpoint has its own copy"
                )
    return run


def save(run_folder, model, options=None, optimizer=None, rng=None, history=(), environments=()):
    """Write the run into the folder, which is made if need be.    `save(folder, *run)` for a Run

    Raises CheckpointError if it cannot be written, or not be read again: a parameter that is not
    finite, say, or an option that JSON cannot hold; what was there before is then still there.
    """
    _history(_table(history))
    write(run_folder, pack(model, options, optimizer, rng, history, environments))


def pack(model, options=None, optimizer=None, rng=None, history=(), environments=()):
    """The files of a run, as they are at this moment  ->  dict name -> bytes, for `write`"""
    run = Run(model, options or {}, optimizer, rng, list(history), list(environments))
    return Snapshot(run).files() | {"history.csv": csv(run.history)}


def write(run_folder, files):
    """Put the packed files into the folder, as `folder.RunFolder.save` does; others as they are."""
    of_the_run = "checkpoint.npz", "config.json"
    with RunFolder(run_folder) as folder:
        folder.save({name: files[name] for name in of_the_run if name in files})
        for name in files.keys() - {*of_the_run, "history.csv"}:
            folder.write(name, files[name])
        if "history.csv" in files:
            folder.save_history(files["history.csv"], rewrite=True)


@contextmanager
def lock(run_folder, warn=warnings.warn):
    """Keep other trainings out of the folder, which is made if need be  ->  its RunFolder

    Raises CheckpointError if one is in there.  ``warn`` gets a sentence where a file system has no
    locks.
    """
    with RunFolder(run_folder, warn) as folder:
        folder.lock()
        yield folder


class Snapshot:
    """A copy of a run between two epochs, from which it can be saved while training changes it.

    `take()` copies the present state.  It costs as much however many epochs there were: parameters
    and moments are copied, and of the history the rows that are new.
    """

    def __init__(self, run):
        if type(run.model) not in MODELS.values():
            raise CheckpointError(
                f"only {' and '.join(MODELS)} can be saved, not {type(run.model)}"
            )
        if run.rng is not None and type(run.rng.bit_generator).__name__ not in BIT_GENERATORS:
            raise CheckpointError(f"rng must use one of {', '.join(BIT_GENERATORS)}, not {run.rng}")
        self.run, self.arrays, self.epochs = run, {}, 0
        self.table = np.empty((0, len(COLUMNS)))
        self.take()

    def take(self):
        """Copy the run as it is now.  What may fail for lack of memory comes before the copying."""
        rows, state = _table(self.run.history[self.epochs :]), describe(self.run)
        needed = self.epochs + len(rows)
        if needed > len(self.table):
            room = np.empty((max(needed, 2 * len(self.table)), len(COLUMNS)))
            room[: self.epochs] = self.table[: self.epochs]
            self.table = room
        present = parameters_and_moments(self.run)
        for name, array in present.items():
            kept = self.arrays.get(name)
            if kept is None or (kept.shape, kept.dtype) != (array.shape, array.dtype):
                self.arrays[name] = np.empty_like(array, order="C")
        self.complete = False
        for name, array in present.items():
            np.copyto(self.arrays[name], array)
        self.table[self.epochs : needed] = rows
        self.state, self.epochs, self.complete = state, needed, True

    def files(self):
        """checkpoint.npz and config.json of the copy  ->  dict name -> bytes"""
        if not self.complete:
            raise CheckpointError("the last epoch could not be copied; what was saved before stays")
        arrays = dict(self.arrays)
        _check(arrays, self.state, empty_model(self.state["model"], most_layers=len(arrays)))
        try:
            text = json.dumps(self.state, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise CheckpointError(f"options must be what JSON can hold: {error}") from None
        arrays["history"] = self.table[: self.epochs]
        arrays["state"] = np.frombuffer(text.encode(), np.uint8)
        arrays["sha256"] = archive.digest(arrays)
        size = sum(array.nbytes for array in arrays.values())
        if size > MOST_BYTES:
            raise CheckpointError(f"a run of {size:,} bytes is more than tinyvae reads again")
        return {
            "checkpoint.npz": archive.write(arrays),
            "config.json": (json.dumps(_config(self.state), indent=2) + "\n").encode(),
        }


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
        "environments": [dict(environment) for environment in run.environments],
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


def csv(history, columns=None):
    """The history as a table of text  ->  bytes;  given ``columns``, the rows without a header"""
    header = [] if columns else [csv_columns(history)]
    columns = columns or header[0]
    rows = [*header, *([row.get(column, "") for column in columns] for row in history)]
    return "".join(",".join(map(str, row)) + "\n" for row in rows).encode()


def csv_columns(history):
    """The columns of history.csv: those that some epoch has"""
    return [c for c in COLUMNS if not history or any(c in row for row in history)]


def _table(history):
    """The history as an array (epochs, columns); NaN where an epoch had no test set"""
    rows = [[row.get(column, np.nan) for column in COLUMNS] for row in history]
    return np.array(rows, np.float64).reshape(-1, len(COLUMNS))


# --- reading ------------------------------------------------------------------------------------


def _read_bytes(path):
    """The bytes of the checkpoint in a folder"""
    folder = path.parent
    if not folder.is_dir():
        there = "is not a folder" if folder.exists() else "no such folder"
        raise CheckpointError(f"{folder}: {there}; give the folder of a run, see `tinyvae train`")
    if not os.path.lexists(path):
        rest = [name for name in ("config.json", "history.csv") if os.path.lexists(folder / name)]
        raise CheckpointError(
            f"{folder}: its checkpoint.npz is gone, and with it the run; what {rest[0]} says of it "
            f"is all that is left. Delete {' and '.join(rest)} to train a new run there"
            if rest
            else f"{folder}: holds no checkpoint.npz, so it is not a run, or one that was stopped "
            "before its first save; train it with `tinyvae train`"
        )
    with _naming_file(path, "a checkpoint"):
        return read_regular(path, MOST_BYTES)


@contextmanager
def _naming_file(path, kind):
    """Whatever goes wrong with a file becomes a CheckpointError that names it."""
    try:
        yield
    except (CheckpointError, archive.ArchiveError) as error:
        raise CheckpointError(f"{path}: {error}") from None
    except NotRegular:
        raise CheckpointError(
            f"{path}: is a folder, a pipe or a device, not {kind}; remove it"
        ) from None
    except Exception as error:  # the libraries raise a dozen kinds for bytes that are not theirs
        raise_if_out_of_memory(error)
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise CheckpointError(
            f"{path}: cannot be read as {kind} ({reason.splitlines()[0][:80]}); "
            "was it cut off or changed?"
        ) from error


def unpack(content):
    """The Run whose checkpoint.npz has these bytes"""
    return _unpack(content)[1]


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
    if type(state["format"]) is not int or state["format"] < 1:
        raise CheckpointError("holds settings that no tinyvae has saved")
    if not np.array_equal(arrays.pop("sha256"), archive.digest(arrays)):
        raise CheckpointError("has changed since it was saved: its checksum is another")
    del arrays["state"]
    history = _history(arrays.pop("history"))
    model = empty_model(state["model"], most_layers=len(arrays))
    _check(arrays, state, model)
    arrays = {name: array.copy() for name, array in arrays.items()}  # writable, and on their own
    model.params.update(_arrays_of_kind(arrays, "params"))
    optimizer = state["optimizer"] and optimizer_of(state["optimizer"], model.params, arrays)
    rng = state["rng"] and _rng(state["rng"])
    environments = _environments(state.get("environments", []))
    run = Run(model, state["training"], optimizer, rng, history, environments)
    described = describe(run) | {"format": state["format"]}
    if state["format"] == 1:
        del described["environments"]
    if described != state or not isinstance(run.options, dict):
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


def _environments(states):
    """What the run ran on, if it is a list of such things: texts and integers by name"""
    for environment in states:
        if type(environment["epoch"]) is not int or not all(
            isinstance(value, int | str) for value in environment.values()
        ):
            raise CheckpointError("says of what it ran on what no tinyvae has saved")
    return list(states)


def _arrays_of_kind(arrays, kind):
    """The arrays "kind.name", as a dict by name"""
    start = f"{kind}."
    return {k.removeprefix(start): array for k, array in arrays.items() if k.startswith(start)}


def optimizer_of(state, params, arrays):
    numbers = {name: value for name, value in state.items() if name not in ("class", "t")}
    optimizer = OPTIMIZERS[state["class"]](params, **numbers)
    optimizer.moments = {moment: _arrays_of_kind(arrays, moment) for moment in optimizer.moments}
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
