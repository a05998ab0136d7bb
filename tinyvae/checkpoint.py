"""Keep a training run in a folder: save it whole or not at all, read it back or say why not.

    checkpoint.npz    everything: parameters, optimiser, random state, history, configuration
    config.json       the configuration, for people
    history.csv       recon, kl and elbo of every epoch in nats, for people

checkpoint.npz alone is enough to go on.  It is a zip of plain .npy arrays, never compressed, never
pickled, with a SHA-256 over all of them.  The same training gives the same bytes: no dates, no
paths.  A file changes by being renamed into place, so the last good one is always there.
"""

import hashlib
import io
import json
import math
import os
import zipfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

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
    folder = Path(run_folder)
    content = _content(folder / "checkpoint.npz")
    with _naming(folder / "checkpoint.npz", "a checkpoint"):
        state, run = _unpack(content)
    config = folder / "config.json"
    if config.exists():
        with _naming(config, "a configuration"):
            if json.loads(config.read_bytes()) != _config(state):
                raise CheckpointError(
                    "is not the configuration of the checkpoint.npz beside it; put the right one "
                    "back, or delete it: the checkpoint has its own copy"
                )
    return run


def save(run_folder, model, options=None, optimizer=None, rng=None, history=()):
    """Write the run into the folder, which is made if need be.    `save(folder, *run)` for a Run

    Raises CheckpointError if it cannot be written, or if a parameter is not finite; what was there
    before is then still there.
    """
    write(run_folder, pack(model, options, optimizer, rng, history))


def pack(model, options=None, optimizer=None, rng=None, history=()):
    """The files of a run, as they are at this moment  ->  dict name -> bytes, for `write`"""
    run = Run(model, options or {}, optimizer, rng, list(history))
    if type(model) not in MODELS.values():
        raise CheckpointError(f"only {' and '.join(MODELS)} can be saved, not {type(model)}")
    if rng is not None and type(rng.bit_generator).__name__ not in BIT_GENERATORS:
        raise CheckpointError(f"rng must use one of {', '.join(BIT_GENERATORS)}, not {rng}")
    state, arrays = _state(run), _parameters_and_moments(run)
    _check(arrays, state)
    text = json.dumps(state, allow_nan=False)
    arrays["state"] = np.frombuffer(text.encode(), np.uint8)
    arrays["sha256"] = _digest(arrays)
    return {
        "checkpoint.npz": _npz(arrays),
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


def _state(run):
    """All of a run but its arrays, as JSON has it"""
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
        "history": run.history,
    }


def _optimizer_state(optimizer):
    """What an optimiser is, but for its moments: the numbers that its constructor takes, and t"""
    names = vars(optimizer).keys() - {"params", "moments", "t"}
    numbers = {name: float(getattr(optimizer, name)) for name in sorted(names)}
    return {"class": type(optimizer).__name__, "t": optimizer.t, **numbers}


def _parameters_and_moments(run):
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


def _npz(arrays):
    archive_bytes = io.BytesIO()
    with zipfile.ZipFile(archive_bytes, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, array, version=(1, 0), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), member.getvalue())  # dated 1980
    return archive_bytes.getvalue()


def _digest(arrays):
    """SHA-256 over names, types, shapes and bytes  ->  (32,) uint8"""
    sha = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        sha.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        sha.update(np.ascontiguousarray(array))
    return np.frombuffer(sha.digest(), np.uint8)


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
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from None
    except Exception as error:  # the libraries raise a dozen kinds for bytes that are not theirs
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise CheckpointError(
            f"{path}: cannot be read as {kind} ({reason.splitlines()[0][:80]}); "
            "was it cut off or changed?"
        ) from error


def _unpack(content):
    """The bytes of checkpoint.npz  ->  state, Run"""
    arrays = _arrays(content)
    for name in "state", "sha256":
        if name not in arrays:
            raise CheckpointError(f"has no member {name}.npy, so it is not a checkpoint of tinyvae")
    state = json.loads(arrays["state"].tobytes())
    if state["format"] > FORMAT:
        raise CheckpointError(
            f"was made by a newer tinyvae, in format {state['format']}, and this one reads "
            f"format {FORMAT}; update tinyvae"
        )
    if not np.array_equal(arrays.pop("sha256"), _digest(arrays)):
        raise CheckpointError("has changed since it was saved: its checksum is another")
    del arrays["state"]
    model = _empty_model(state["model"])
    _check(arrays, state, model)
    arrays = {name: array.copy() for name, array in arrays.items()}  # writable, and on their own
    model.params.update(_named(arrays, "params"))
    optimizer = state["optimizer"] and _optimizer(state["optimizer"], model.params, arrays)
    rng = state["rng"] and _rng(state["rng"])
    run = Run(model, state["training"], optimizer, rng, state["history"])
    if _state(run) != state:
        raise CheckpointError("holds settings that no tinyvae has saved")
    return state, run


def _arrays(content):
    """The members of an .npz, as views of its bytes: nothing in there can ask for more memory."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = archive.infolist()
        names = [member.orig_filename for member in members]
        if len(set(names)) < len(names):
            raise CheckpointError("holds a member twice")
        if any(set("/\\:\0") & set(name) or not name.endswith(".npy") for name in names):
            raise CheckpointError("holds members that are not arrays, or paths")
        stored = all(member.compress_type == zipfile.ZIP_STORED for member in members)
        if not stored or any(member.flag_bits & 1 for member in members):
            raise CheckpointError("is compressed or encrypted, which no checkpoint is")
        if sum(member.file_size for member in members) > len(content):
            raise CheckpointError("promises more bytes than it has")
        return {name[:-4]: _array(name[:-4], archive.read(name)) for name in names}


def _array(name, content):
    stream = io.BytesIO(content)
    if np.lib.format.read_magic(stream) != (1, 0):
        raise CheckpointError(f"{name} is not in version 1.0 of the .npy format")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    if dtype.hasobject:
        raise CheckpointError(f"{name} holds Python objects, which only pickle could read")
    if fortran and len(shape) > 1:
        raise CheckpointError(f"{name} is stored column by column, which no checkpoint is")
    held = len(content) - stream.tell()
    if math.prod(shape) * dtype.itemsize != held:
        raise CheckpointError(f"{name} has {held} bytes, which is not the shape {shape} of {dtype}")
    return np.frombuffer(content, dtype, offset=stream.tell()).reshape(shape)


def _empty_model(config):
    """The model that the configuration describes, still without its parameters"""
    sizes = [config["data_dim"], config["latent_dim"], *config["hidden_dims"]]
    if (
        config["class"] not in MODELS
        or config["activation"] not in ACTIVATIONS
        or config["dtype"] not in DTYPES
        or not all(type(n) is int and n >= 1 for n in sizes)
        or len(sizes) < 3
    ):
        raise CheckpointError(f"describes no model of tinyvae: {config}")
    dims = config["data_dim"], config["hidden_dims"], config["latent_dim"]
    return MODELS[config["class"]]({}, *dims, config["activation"])


def _check(arrays, state, model=None):
    """Raise CheckpointError unless the arrays are those of the configuration, and finite, and the
    history is one of `fit`."""
    model = model or _empty_model(state["model"])
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
    for epoch, row in enumerate(state["history"], 1):
        numbers = [x for x in row.values() if type(x) in (int, float) and math.isfinite(x)]
        known = set(COLUMNS[:4]) <= row.keys() <= set(COLUMNS)
        if not known or row["epoch"] != epoch or len(numbers) < len(row):
            raise CheckpointError(f"its history is not one of `fit`: see epoch {epoch}")
    if not isinstance(state["training"], dict):
        raise CheckpointError(f"its training options are not named: {state['training']}")


def _named(arrays, kind):
    """The arrays "kind.name", as a dict by name"""
    start = f"{kind}."
    return {k.removeprefix(start): array for k, array in arrays.items() if k.startswith(start)}


def _optimizer(state, params, arrays):
    numbers = {name: value for name, value in state.items() if name not in ("class", "t")}
    optimizer = OPTIMIZERS[state["class"]](params, **numbers)
    optimizer.moments = {moment: _named(arrays, moment) for moment in optimizer.moments}
    optimizer.t = state["t"]
    return optimizer


def _rng(state):
    if state["bit_generator"] not in BIT_GENERATORS:
        raise CheckpointError(f"its random numbers come from an unknown {state['bit_generator']}")
    bit_generator = getattr(np.random, state["bit_generator"])()
    bit_generator.state = state
    return np.random.Generator(bit_generator)
