"""Damage good files at random: each must be refused in one sentence, or still be read right.

    python -m tools.fuzz                        10,000 damaged files of every format
    python -m tools.fuzz npz --rounds 100       of one format, and fewer
    python -m tools.fuzz npz --first 4321 --rounds 1      one case over again

No other exception may come, no load take a second, and memory stays within ten times the file's
size and 100 MB.  To add a format, add a line to FORMATS.
"""

import argparse
import faulthandler
import functools
import gzip
import hashlib
import io
import json
import resource
import struct
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tinyvae import VAE, checkpoint, cli, data, fit
from tinyvae.checkpoint import CheckpointError
from tinyvae.optim import Adam
from tinyvae.train import silent


class Format(NamedTuple):
    """How to make one good file, how to read it, and how to tell that it was read right."""

    name: str
    prepare: Callable  # folder -> path: writes all that belongs together; `path` gets damaged
    load: Callable  # path -> anything
    refusal: type | tuple  # the one exception that may come, or several
    right: Callable  # content, loaded -> is `loaded` what the damaged content says?
    unpack: Callable = bytes  # what is damaged of the file's content,
    pack: Callable = bytes  # and its way back: damage inside an intact wrapping


# --- the formats of data ------------------------------------------------------------------------

ARRAYS = "x_train", "x_test", "y_train", "y_test"


def idx(array):
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def prepare_idx(ending, compress):
    def prepare(folder):
        rng = np.random.default_rng(0)
        for part, count in ("train", 20), ("t10k", 10):
            images = rng.integers(0, 256, (count, 4, 3), dtype=np.uint8)
            labels = rng.integers(0, 10, count, dtype=np.uint8)
            (folder / f"{part}-images-idx3-ubyte{ending}").write_bytes(compress(idx(images)))
            (folder / f"{part}-labels-idx1-ubyte{ending}").write_bytes(compress(idx(labels)))
        return folder / f"train-images-idx3-ubyte{ending}"

    return prepare


def right_idx(content, loaded):
    content = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    sizes = struct.unpack(">3I", content[4:16])
    levels = np.frombuffer(content[16:], np.uint8).reshape(sizes[0], -1)
    return loaded.image_shape == sizes[1:] and np.array_equal(loaded.x_train.levels, levels)


def prepare_npz(save):
    def prepare(folder):
        rng = np.random.default_rng(0)
        x_train, x_test = rng.random((20, 12)), rng.random((10, 12))
        y_train, y_test = rng.integers(0, 10, 20), rng.integers(0, 10, 10)
        save(folder / "d.npz", x_train=x_train, x_test=x_test, y_train=y_train, y_test=y_test)
        return folder / "d.npz"

    return prepare


def right_npz(content, loaded):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for name in ARRAYS:
            got = getattr(loaded, name)
            if f"{name}.npy" not in archive.namelist():
                if got is not None:
                    return False
                continue
            member = io.BytesIO(archive.read(f"{name}.npy"))
            want = np.lib.format.read_array(member, allow_pickle=False)
            if not np.array_equal(want.reshape(got.shape).astype(got.dtype), got):
                return False
    return True


def first_member(content):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return archive.read("x_train.npy")


def with_first_member(member):
    """An .npz whose sums are right around an x_train.npy that may not be."""
    file = io.BytesIO()
    np.savez(file, x_test=np.full((10, 12), 0.5))
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("x_train.npy", member)
    return file.getvalue()


def load_folder_of(path):
    return data.load(path.parent)


@functools.cache
def run_files():
    """The files of a small VAE after a few steps, with all that goes on with it"""
    rng = np.random.default_rng(0)
    vae = VAE.create(6, (4,), 2, rng=rng)
    optimizer, history = Adam(vae.params), []
    fit(vae, rng.random((20, 6), dtype=np.float32), epochs=2, batch_size=8, rng=rng, report=silent,
        optimizer=optimizer, history=history)  # fmt: skip
    options = {k: v for k, v in cli.DEFAULTS.items() if k not in cli.OF_THE_MODEL}
    return checkpoint.pack(vae, options, optimizer, rng, history)


def prepare_run(name):
    def prepare(folder):
        checkpoint.write(folder, run_files())
        return folder / name

    return prepare


def load_run_of(path):
    return checkpoint.load_run(path.parent)


def load_checkpoint_of(path):
    """Without the configuration beside it, which would give a change away"""
    path.with_name("config.json").unlink(missing_ok=True)
    return load_run_of(path)


def resume_checkpoint_of(path):
    """As `tinyvae train --resume` does before it asks for the data"""
    run = load_checkpoint_of(path)
    cli._resumed(path.parent, {})
    return run


def right_run(content, loaded):
    """Nothing of the run may differ, and a checkpoint says twice what it holds."""
    return checkpoint.pack(*loaded) == run_files()


def member(name):
    """The bytes of one member of a checkpoint"""

    def unpack(content):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return archive.read(f"{name}.npy")

    return unpack


def resealed(name):
    """A checkpoint around a member that may be wrong, whose checksums are right all the same"""

    def pack(content):
        original, file = run_files()["checkpoint.npz"], io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(original)) as archive:
            members = {info.filename: archive.read(info) for info in archive.infolist()}
        members[f"{name}.npy"] = content
        sha = hashlib.sha256()
        with np.errstate(all="ignore"), zipfile.ZipFile(file, "w") as archive:
            for filename in sorted(members):
                if filename != "sha256.npy":
                    archive.writestr(filename, members[filename])
                    try:
                        array = np.lib.format.read_array(io.BytesIO(members[filename]))
                    except Exception:
                        continue  # then no checksum will do, whatever it is
                    line = f"{filename[:-4]} {array.dtype.str} {array.shape}\n"
                    sha.update(line.encode() + array.tobytes())
            seal = io.BytesIO()
            np.save(seal, np.frombuffer(sha.digest(), np.uint8))
            archive.writestr("sha256.npy", seal.getvalue())
        return file.getvalue()

    return pack


def right_state(content, loaded):
    """What was loaded is what the text in there says, and its options can be trained with."""
    text, options = member("state")(content), loaded.options
    return (
        json.loads(text[text.index(b"\n") + 1 :]) == checkpoint.describe(loaded)
        and all(type(options[name]) is int for name in ("epochs", "batch_size", "save_every"))
        and min(options["epochs"], options["batch_size"], options["save_every"]) >= 1
        and 0 < options["learning_rate"] <= 1e6
        and 0 <= options["beta"] <= 1e6
    )


def right_parameter(content, loaded):
    stored = np.lib.format.read_array(io.BytesIO(member("params.mu.W")(content)))
    return np.array_equal(stored, loaded.model.params["mu.W"])


FORMATS = [
    Format("idx", prepare_idx("", bytes), load_folder_of, data.DataError, right_idx),
    Format("idx.gz", prepare_idx(".gz", gzip.compress), load_folder_of, data.DataError, right_idx),
    Format(
        "idx in gz",
        prepare_idx(".gz", gzip.compress),
        load_folder_of,
        data.DataError,
        right_idx,
        gzip.decompress,
        gzip.compress,
    ),
    Format("npz", prepare_npz(np.savez), data.load, data.DataError, right_npz),
    Format(
        "compressed npz", prepare_npz(np.savez_compressed), data.load, data.DataError, right_npz
    ),
    Format(
        "npy in npz",
        prepare_npz(np.savez),
        data.load,
        data.DataError,
        right_npz,
        first_member,
        with_first_member,
    ),
    Format("checkpoint", prepare_run("checkpoint.npz"), load_run_of, CheckpointError, right_run),
    Format("config", prepare_run("config.json"), load_run_of, CheckpointError, right_run),
    Format(
        "state in checkpoint",
        prepare_run("checkpoint.npz"),
        resume_checkpoint_of,
        (CheckpointError, cli.Refused),
        right_state,
        member("state"),
        resealed("state"),
    ),
    Format(
        "array in checkpoint",
        prepare_run("checkpoint.npz"),
        load_run_of,
        CheckpointError,
        right_parameter,
        member("params.mu.W"),
        resealed("params.mu.W"),
    ),
]


# --- the damage ---------------------------------------------------------------------------------


def place(rng, content):
    """A position; half of the time close to an end, where headers and tables of contents are."""
    size = len(content)
    near = min(size, 64)
    return int(rng.choice([rng.integers(size), rng.integers(near), size - 1 - rng.integers(near)]))


def flip_bit(rng, content, i, j):
    content[i] ^= 1 << rng.integers(8)


def telling_byte(rng, content, i, j):
    content[i] = rng.choice([0, 1, 0x7F, 0x80, 0xFF])


def random_byte(rng, content, i, j):
    content[i] = rng.integers(256)


def telling_number(rng, content, i, j):
    value = int(rng.choice([0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, len(content)]))
    content[i : i + 4] = value.to_bytes(4, rng.choice(["big", "little"]))


def digit(rng, content, i, j):
    """Another digit where there is one: the sizes in an .npy header and in JSON are text."""
    digits = [k for k, byte in enumerate(content) if 48 <= byte < 58]
    if digits:
        content[rng.choice(digits)] = 48 + rng.integers(10)


def cut_out(rng, content, i, j):
    del content[i:j]


def cut_off(rng, content, i, j):
    del content[i:]


def insert_zeros(rng, content, i, j):
    content[i:i] = bytes(j - i)


def insert_noise(rng, content, i, j):
    content[i:i] = rng.bytes(j - i)


def overwrite(rng, content, i, j):
    content[i:j] = rng.bytes(j - i)


def repeat(rng, content, i, j):
    content[i:i] = content[i:j]


def append(rng, content, i, j):
    content += content[i:j]


DAMAGES = [
    flip_bit,
    telling_byte,
    random_byte,
    telling_number,
    digit,
    cut_out,
    cut_off,
    insert_zeros,
    insert_noise,
    overwrite,
    repeat,
    append,
]


def damage(content, rng):
    """One to three wounds."""
    content = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        if content:
            i, j = sorted([place(rng, content), place(rng, content)])
            DAMAGES[rng.integers(len(DAMAGES))](rng, content, i, min(j, i + 1000))
    return bytes(content)


# --- the trial ----------------------------------------------------------------------------------


def complaint(form, path, content):
    """(what is wrong with how this content was received, or None;  whether it was refused)"""
    path.write_bytes(content)
    memory, start, refused = peak_memory(), time.process_time(), False
    try:
        loaded = form.load(path)
    except form.refusal as error:
        refused = True
        if len(str(error).splitlines()) != 1 or path.parent.name not in str(error):
            return f"not one sentence that names the file: {error}", refused
    except BaseException as error:
        return f"{type(error).__name__}: {error}", refused
    seconds, grown = time.process_time() - start, peak_memory() - memory
    if seconds > 1:
        return f"took {seconds:.1f} s", refused
    if grown > 10 * len(content) + 100_000_000:
        return f"took {grown:,} bytes of memory", refused
    if not refused and not form.right(content, loaded):
        return "read wrongly", refused
    return None, refused


def peak_memory():
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def fuzz(form, rounds, first=0):
    """(number of files refused, number read, a complaint for each that was received wrongly)"""
    refusals, complaints = 0, []
    with tempfile.TemporaryDirectory() as folder:
        path = form.prepare(Path(folder))
        original = path.read_bytes()
        wrong, refused = complaint(form, path, original)
        if wrong or refused:
            raise AssertionError(f"{form.name}: the undamaged file is not read: {wrong}")
        for case in range(first, first + rounds):
            content = damage(form.unpack(original), np.random.default_rng(case))
            wrong, refused = complaint(form, path, form.pack(content))
            refusals += refused
            if wrong:
                complaints.append(f"{form.name}, case {case}: {wrong}")
    return refusals, rounds - refusals, complaints


def main():
    names = [form.name for form in FORMATS]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("formats", nargs="*", metavar="FORMAT", help=", ".join(names))
    parser.add_argument("--rounds", type=int, default=10_000, help="files of each format (10000)")
    parser.add_argument("--first", type=int, default=0, help="number of the first case (0)")
    args = parser.parse_args()
    if unknown := set(args.formats).difference(names):
        parser.error(f"no format {min(unknown)}; there are {', '.join(names)}")
    failed = False
    for form in FORMATS:
        if args.formats and form.name not in args.formats:
            continue
        faulthandler.dump_traceback_later(60 + args.rounds // 10, exit=True)  # it hangs: say where
        start = time.perf_counter()
        refused, read, complaints = fuzz(form, args.rounds, args.first)
        seconds = time.perf_counter() - start
        print(
            f"{form.name:16} {refused:6} refused {read:6} read right "
            f"{len(complaints):4} wrong {seconds:6.1f} s",
            flush=True,
        )
        print(*complaints[:10], sep="\n", end="\n" if complaints else "")
        failed = failed or bool(complaints)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
