"""Data sets: the shipped ones, MNIST and Fashion-MNIST, and the user's own.

    load("digits")              shipped, 8 x 8: the first 1500 images train, the last 297 test
    load("mnist5k")             shipped, 28 x 28: the first 4000 images train, the last 1000 test
    load("mnist")               the full sets: four IDX files in $TINYVAE_DATA/mnist,
    load("fashion-mnist")       or in /usr/share/datasets/fashion-mnist
    load("folder/")             four IDX files of your own, named like MNIST's, labels optional
    load("file.npz")            arrays x_train, x_test, and y_train, y_test if there are labels

No byte of a file is trusted: what is not data raises a `DataError`, whatever else it may be.
"""

import gzip
import io
import math
import os
import struct
import zipfile
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

TRAIN_SIZE = {"digits": 1500, "mnist5k": 4000}
FULL_SETS = {"mnist": [], "fashion-mnist": [Path("/usr/share/datasets/fashion-mnist")]}
IDX_FILES = {
    "x_train": "train-images-idx3-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}
CHUNK = 1 << 20  # bytes read at a time
UBYTE = 8  # the code of unsigned bytes in an IDX header


class DataError(ValueError):
    """A name or a file that is not data: one sentence on what is wrong, where, and what to do."""


class Dataset(NamedTuple):
    """Rows are images with pixels in [0, 1]: x (N, D) float32, y (N,) int64 or None."""

    x_train: "Pixels | np.ndarray"
    x_test: "Pixels | np.ndarray"
    y_train: np.ndarray | None
    y_test: np.ndarray | None
    image_shape: tuple[int, int]


class Pixels(np.lib.mixins.NDArrayOperatorsMixin):
    """Grey levels 0..highest, kept as bytes, that behave as read-only floats level / highest.

    `x[index]` makes an ordinary float32 array of what is asked for, a batch say, and of nothing
    more.  Arithmetic, NumPy's functions and the methods of an array work on all of it.

    >>> x = Pixels(np.array([[0, 4], [8, 16]], dtype=np.uint8), highest=16)
    >>> x[1]
    array([0.5, 1. ], dtype=float32)
    >>> (x + x.mean()).tolist()
    [[0.4375, 0.6875], [0.9375, 1.4375]]
    """

    dtype = np.dtype(np.float32)

    def __init__(self, levels, highest=255):
        self.levels, self.highest = levels, np.float32(highest)
        self.shape, self.ndim, self.size = levels.shape, levels.ndim, levels.size

    def __getitem__(self, index):
        return np.divide(self.levels[index], self.highest, dtype=np.float32)

    def __len__(self):
        return len(self.levels)

    def __repr__(self):
        return f"Pixels(shape={self.shape}, levels 0..{self.highest:.0f})"

    def __array__(self, dtype=None, copy=None):
        if copy is False:
            raise ValueError("Pixels are bytes: floats of them are always a copy")
        return np.asarray(self[...], dtype)

    def __array_ufunc__(self, ufunc, method, *inputs, out=(), **kwargs):
        if any(isinstance(array, Pixels) for array in out):
            return NotImplemented  # read-only: x += 1 is a TypeError
        inputs = [np.asarray(a) if isinstance(a, Pixels) else a for a in inputs]
        return getattr(ufunc, method)(*inputs, **({"out": out} if out else {}), **kwargs)

    def __getattr__(self, name):
        if name.startswith("__"):  # a protocol that is asked for, not an array's method
            raise AttributeError(name)
        return getattr(np.asarray(self), name)


def load(name):
    """The data set of that name, or in that .npz file or folder  ->  Dataset

    Raises DataError, in one sentence, for anything that is not data.

    >>> digits = load("digits")
    >>> digits.x_train.shape, digits.x_test.shape, digits.image_shape
    ((1500, 64), (297, 64), (8, 8))
    """
    name = os.fspath(name)
    if name in TRAIN_SIZE:
        return _shipped(name, TRAIN_SIZE[name])
    if name in FULL_SETS:
        return _idx_folder(_full_set_folder(name))
    if os.path.isdir(name):
        return _idx_folder(Path(name))
    if name.endswith(".npz"):
        return _npz(Path(name))
    known = ", ".join([*TRAIN_SIZE, *FULL_SETS])
    raise DataError(
        f"{name}: neither a data set ({known}), nor an .npz file, nor a folder of IDX files"
    )


def binarize(x, rng):
    """x_binary ~ Bernoulli(x): black-and-white pixels whose means are the grey ones.

    A pixel of exactly 0 or 1 stays what it is.  `rng` is a np.random.Generator.

    x, any shape, floats in [0, 1]  ->  the same shape and dtype, each element 0.0 or 1.0

    >>> binarize(np.array([0.0, 1.0]), np.random.default_rng(0))
    array([0., 1.])
    """
    x = np.asarray(x)
    if x.dtype.kind != "f" or not (x.min(initial=0) >= 0 and x.max(initial=1) <= 1):
        raise ValueError(f"x must hold floats in [0, 1] to be binarized, not {_contents(x)}")
    # float32 draws are cheaper, and as fine as the floats they are compared with.
    u = rng.random(x.shape, np.float64 if x.dtype.itemsize > 4 else np.float32)
    return (u < x).astype(x.dtype)  # 0 <= u < 1


# --- where the files are ------------------------------------------------------------------------


def _shipped(name, train_size):
    here = Path(__file__).parent
    folder = here / "datasets"  # in an installed package
    if not folder.is_dir():
        folder = here.parent / "data"  # in a checkout
    images = _read_idx(folder / f"{name}-images.idx.gz")
    labels = _read_idx(folder / f"{name}-labels.idx.gz")
    arrays = {
        "x_train": images[:train_size],
        "x_test": images[train_size:],
        "y_train": labels[:train_size],
        "y_test": labels[train_size:],
    }
    return _dataset(folder, arrays, highest=16 if name == "digits" else 255)


def _full_set_folder(name):
    home = os.environ.get("TINYVAE_DATA")
    folders = [*([Path(home, name)] if home else []), *FULL_SETS[name]]
    for folder in folders:
        if _idx_path(folder, "x_train").exists():
            return folder
    looked = " and ".join(map(str, folders)) or "no folder: TINYVAE_DATA is not set"
    raise DataError(
        f"{name}: no file train-images-idx3-ubyte.gz (looked in {looked}); put the four IDX files "
        f"into a folder named {name} and set TINYVAE_DATA to the folder that holds it "
        "(data/README.md says where to get them)"
    )


def _idx_path(folder, array):
    """The official name, or the one with a dot, each with or without .gz: the first that exists."""
    official = IDX_FILES[array]
    names = [
        name + gz for name in (official, official.replace("-idx", ".idx")) for gz in ("", ".gz")
    ]
    return next((folder / name for name in names if (folder / name).exists()), folder / official)


# --- what is in them ----------------------------------------------------------------------------


def _idx_folder(folder):
    paths = {name: _idx_path(folder, name) for name in IDX_FILES}
    labels = [name for name in ("y_train", "y_test") if paths[name].exists()]
    arrays = {name: _read_idx(paths[name]) for name in ["x_train", "x_test", *labels]}
    return _dataset(folder, arrays)


def _read_idx(path):
    """One file, images or labels by its name  ->  (N, H, W) uint8 or (N,) int64"""
    images = "images" in path.name
    ndim, kept = (3, np.dtype(np.uint8)) if images else (1, np.dtype(np.int64))
    with _opened(path, "an IDX file") as (file, size):
        packed = file.read(2) == b"\x1f\x8b"  # gzip's first bytes, whatever the name says
        file.seek(0)
        stream = gzip.GzipFile(fileobj=file) if packed else file
        header = stream.read(4 + 4 * ndim)
        if len(header) < 4 + 4 * ndim:
            raise DataError(f"has {len(header)} bytes, too few for the header of an IDX file")
        zero, element, dimensions, *shape = struct.unpack(f">HBB{ndim}I", header)
        if zero or dimensions != ndim:
            raise DataError(
                f"starts with {header[:4].hex()}, and IDX {ndim}-d with 000008{ndim:02}"
            )
        if element != UBYTE:
            raise DataError(
                f"holds elements of type {element:#04x}, and only bytes (0x08) are read"
            )
        promised = len(header) + math.prod(shape)
        if not packed and promised != size:
            raise DataError(f"has a header that promises {promised} bytes, and there are {size}")
        return _read_array(stream, shape, np.dtype(np.uint8), kept, _room(size))


def _npz(path):
    with _opened(path, "an .npz file") as (file, size), zipfile.ZipFile(file) as archive:
        names = [member.orig_filename for member in archive.infolist()]
        if len(set(names)) < len(names) or any(set(name) & set("/\\:\0") for name in names):
            raise DataError("holds names that np.savez does not write: paths, or the same twice")
        present = [name for name in IDX_FILES if f"{name}.npy" in names]
        missing = {"x_train", "x_test"}.difference(present)
        if missing:
            raise DataError(f"has no array {min(missing)}: np.savez(file, x_train=..., x_test=...)")
        room, arrays = _room(size), {}
        for name in present:
            try:
                arrays[name] = _read_member(archive, f"{name}.npy", name.startswith("y"), room)
            except DataError as error:
                raise DataError(f"{name} {error}") from None
            room -= arrays[name].nbytes
    return _dataset(path, arrays)


def _read_member(archive, name, labels, room):
    member = archive.getinfo(name)
    if member.flag_bits & 1:
        raise DataError("is encrypted")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise DataError("is compressed in a way that np.savez_compressed does not use")
    with archive.open(member) as stream:
        if np.lib.format.read_magic(stream) != (1, 0):  # later ones allow headers of any size
            raise DataError("is in a version of the .npy format other than 1.0")
        shape, fortran, stored = np.lib.format.read_array_header_1_0(stream)
        if stored.hasobject:
            raise DataError("holds Python objects, which would need pickle; save it as numbers")
        if labels:
            allowed, kept = stored.kind in "biu" and stored != np.uint64, np.int64
        else:
            allowed = stored == np.uint8 or stored.kind in "bf"
            kept = np.uint8 if stored == np.uint8 else np.float32
        if not allowed:
            wanted = "integers" if labels else "uint8 levels 0..255 or floats in [0, 1]"
            raise DataError(f"holds {stored}; save it as {wanted}")
        if len(shape) not in ((1,) if labels else (2, 3)):
            wanted = "(N,)" if labels else "(N, D) or (N, height, width)"
            raise DataError(f"has the shape {shape}, not {wanted}")
        if not fortran:
            return _read_array(stream, shape, stored, np.dtype(kept), room)
        backwards = _read_array(stream, shape[::-1], stored, np.dtype(kept), room // 2)
        return np.ascontiguousarray(backwards.T)


def _read_array(stream, shape, stored, kept, room):
    """The rest of the stream, which must be one array of that shape, a chunk at a time."""
    count = math.prod(shape)
    if min(shape) < 1:
        raise DataError(f"is empty: its shape is {tuple(shape)}")
    if count * kept.itemsize > room:
        raise DataError(
            f"promises {count * kept.itemsize:,} bytes in memory, more than ten times the file's "
            "size and 90 MB; if that is right, store it uncompressed"
        )
    array = np.empty(count, kept)
    step = CHUNK // stored.itemsize
    for start in range(0, count, step):
        part = array[start : start + step]
        content = stream.read(part.size * stored.itemsize)
        if len(content) < part.size * stored.itemsize:
            raise DataError("ends early: its header promises more than there is")
        with np.errstate(over="ignore", invalid="ignore"):  # inf and NaN are named below
            part[:] = np.frombuffer(content, np.uint8 if stored.kind == "b" else stored)
    if stream.read(1):
        raise DataError("goes on after its last element: its header promises less than there is")
    if kept.kind == "f" and not (array.min() >= 0 and array.max() <= 1):
        raise DataError(
            f"holds {_contents(array)}; pixels must be floats in [0, 1] or uint8 levels"
        )
    return array.reshape(shape)


def _dataset(where, arrays, highest=255):
    """The Dataset of the four arrays, if they fit together."""
    x_train, x_test, y_train, y_test = map(arrays.get, IDX_FILES)
    if x_train.shape[1:] != x_test.shape[1:]:
        raise DataError(
            f"{where}: the images of x_train have the shape {x_train.shape[1:]}, those of x_test "
            f"{x_test.shape[1:]}; they must be the same"
        )
    for x, y, name in (x_train, y_train, "train"), (x_test, y_test, "test"):
        if y is not None and len(y) != len(x):
            raise DataError(f"{where}: {len(x)} images in x_{name} and {len(y)} labels in y_{name}")
    x_train, x_test = _rows(x_train, highest), _rows(x_test, highest)
    return Dataset(x_train, x_test, y_train, y_test, _image_shape(arrays["x_train"].shape))


def _rows(images, highest):
    rows = images.reshape(len(images), -1)
    return Pixels(rows, highest) if rows.dtype == np.uint8 else rows


def _image_shape(shape):
    """(N, H, W) -> (H, W);  (N, D) -> (h, h) if D = h * h, a strip (1, D) otherwise"""
    if len(shape) == 3:
        return tuple(shape[1:])
    side = math.isqrt(shape[1])
    return (side, side) if side * side == shape[1] else (1, shape[1])


def _contents(array):
    """What is in an array that should hold floats in [0, 1], for an error message."""
    if array.dtype.kind != "f":
        return f"{array.dtype} numbers"
    low, high = array.min(), array.max()
    return "NaN" if np.isnan(low) else f"values from {low:g} to {high:g}"


# --- reading what nobody vouches for ------------------------------------------------------------


class _Reader(io.BufferedReader):
    """A file read in small pieces only: no header talks it into a large buffer."""

    def read(self, size=-1, /):
        if size > CHUNK:
            raise DataError(f"asks for {size:,} bytes at once")
        return super().read(size)


@contextmanager
def _opened(path, kind):
    """The file, open, and its size.  Whatever goes wrong with it becomes a DataError."""
    try:
        if not os.path.isfile(path):  # a pipe would keep us waiting
            raise DataError("is not a file" if os.path.exists(path) else "does not exist")
        with _Reader(io.FileIO(path)) as file:
            yield file, os.fstat(file.fileno()).st_size
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    except Exception as error:  # the libraries raise a dozen kinds for bytes that are not theirs
        reason = (str(error).splitlines() or [type(error).__name__])[0][:100]
        raise DataError(f"{path}: damaged, or not {kind} ({reason}); get it afresh") from error


def _room(size):
    """The bytes that a file of that size may fill, so that a bomb stays small."""
    return 10 * size + 90_000_000
