"""Data sets: the shipped ones, MNIST and Fashion-MNIST, and the user's own.

    load("digits")              shipped, 8 x 8: the first 1500 images train, the last 297 test
    load("mnist5k")             shipped, 28 x 28: the first 4000 images train, the last 1000 test
    load("mnist")               the full sets: four IDX files in $TINYVAE_DATA/mnist,
    load("fashion-mnist")       or in /usr/share/datasets/fashion-mnist
    load("folder/")             four IDX files of your own, named like MNIST's, labels optional
    load("photos/")             PNG, JPEG ... files: `pictures` says how they are read
    load("file.npz")            arrays x_train, x_test, and y_train, y_test if there are labels

Files are not trusted: anything that is not such data raises a `DataError`.
"""

import math
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tinyvae import pictures
from tinyvae.bernoulli import binarize as binarize
from tinyvae.files import DataError, read_idx, read_npz

TRAIN_SIZE = {"digits": 1500, "mnist5k": 4000}
FULL_SETS = {"mnist": [], "fashion-mnist": [Path("/usr/share/datasets/fashion-mnist")]}
IDX_FILES = {  # array: the official name of its file
    "x_train": "train-images-idx3-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}


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
    if not isinstance(name, str | os.PathLike):
        raise DataError(f"a data set is named by a text or a path, not by {type(name).__name__}")
    name = os.fspath(name)
    if name in TRAIN_SIZE:
        return _shipped(name, TRAIN_SIZE[name])
    if name in FULL_SETS:
        return _full_set(name)
    if os.path.isdir(name):
        return _folder(Path(name))
    if name.endswith(".npz"):
        return _dataset(name, read_npz(name))
    known = ", ".join([*TRAIN_SIZE, *FULL_SETS])
    raise DataError(
        f"{name!r} is neither a data set ({known}), nor an .npz file, "
        "nor a folder of images or IDX files"
    )


def _shipped(name, train_size):
    here = Path(__file__).parent
    folder = here / "datasets"  # in an installed package
    if not folder.is_dir():
        folder = here.parent / "data"  # in a checkout
    images = read_idx(folder / f"{name}-images.idx.gz", "x_train")
    labels = read_idx(folder / f"{name}-labels.idx.gz", "y_train")
    arrays = {
        "x_train": images[:train_size],
        "x_test": images[train_size:],
        "y_train": labels[:train_size],
        "y_test": labels[train_size:],
    }
    return _dataset(folder, arrays, highest=16 if name == "digits" else 255)


def _full_set(name):
    home = os.environ.get("TINYVAE_DATA")
    folders = [*([Path(home, name)] if home else []), *FULL_SETS[name]]
    for folder in folders:
        if _idx_path(folder, "x_train"):
            return _idx_folder(folder)
    looked = " and ".join(map(str, folders)) or "no folder: TINYVAE_DATA is not set"
    raise DataError(
        f"{name}: no file {IDX_FILES['x_train']}.gz (looked in {looked}); put the four IDX files "
        f"into a folder named {name} and set TINYVAE_DATA to the folder that holds it "
        "(data/README.md says where to get them)"
    )


def _idx_path(folder, array):
    """The file that is there under one of its usual names, or None."""
    official = IDX_FILES[array]
    for name in official, official.replace("-idx", ".idx"):
        for path in folder / name, folder / f"{name}.gz":
            if os.path.exists(path):
                return path
    return None


def _folder(folder):
    if not any(_idx_path(folder, array) for array in IDX_FILES):
        try:
            found = pictures.find(folder)
        except OSError as error:
            raise DataError(f"{folder}: cannot be looked into ({error.strerror})") from error
        if found:
            return _dataset(folder, pictures.read(folder, found))
    return _idx_folder(folder)


def _idx_folder(folder):
    arrays = {}
    for name, official in IDX_FILES.items():
        path = _idx_path(folder, name)
        if path:
            arrays[name] = read_idx(path, name)
        elif name.startswith("x"):
            raise DataError(
                f"{folder}: no file {official} or {official}.gz, and no images; "
                "give the IDX files MNIST's names, or put PNG or JPEG files there"
            )
    return _dataset(folder, arrays)


def _dataset(where, arrays, highest=255):
    """The Dataset of these arrays, if they fit together"""
    shape, shape_test = arrays["x_train"].shape, arrays["x_test"].shape
    if shape[1:] != shape_test[1:]:
        raise DataError(
            f"{where}: x_train {shape} and x_test {shape_test} hold images of different sizes; "
            "make them the same"
        )
    for part in "train", "test":
        images, labels = len(arrays[f"x_{part}"]), len(arrays.get(f"y_{part}", arrays[f"x_{part}"]))
        if images != labels:
            raise DataError(
                f"{where}: {images} images in x_{part} but {labels} labels in y_{part}; "
                "give each image its label, or leave the labels out"
            )
    side = math.isqrt(shape[1])
    flat = (side, side) if side**2 == shape[1] else (1, shape[1])
    x_train, x_test = (_rows(arrays[name], highest) for name in ("x_train", "x_test"))
    y_train, y_test = arrays.get("y_train"), arrays.get("y_test")
    return Dataset(x_train, x_test, y_train, y_test, shape[1:] if len(shape) == 3 else flat)


def _rows(images, highest):
    rows = images.reshape(len(images), -1)
    return Pixels(rows, highest) if rows.dtype == np.uint8 else rows
