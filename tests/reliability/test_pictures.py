"""tinyvae.pictures: a folder of image files is read as they are, or averaged down, or refused."""

import io
import os
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.strategies import rngs
from tinyvae import cli, data, pictures


def grey(count, shape=(9, 7), seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


def save(folder, images, names="{:03d}.png"):
    folder.mkdir(parents=True, exist_ok=True)
    for i, image in enumerate(images):
        Image.fromarray(image).save(folder / names.format(i))


def rows(images):
    return {image.tobytes() for image in images}


def test_small_images_of_one_size_are_taken_as_they_are(tmp_path):
    images = grey(30)
    save(tmp_path, images)
    dataset = data.load(tmp_path)
    assert dataset.image_shape == (9, 7)
    assert dataset.y_train is dataset.y_test is None
    train, test = (rows(x.levels.reshape(-1, 9, 7)) for x in (dataset.x_train, dataset.x_test))
    assert train | test == rows(images)
    assert not train & test
    assert len(test) == 5  # every sixth
    assert np.array_equal(data.load(tmp_path).x_train.levels, dataset.x_train.levels)


def test_each_folder_is_a_label(tmp_path):
    for name, level in ("owl", 200), ("cat", 100), ("empty", 0):
        save(tmp_path / name, [] if name == "empty" else np.full((12, 5, 5), level, np.uint8))
    dataset = data.load(tmp_path)
    for x, y in (dataset.x_train, dataset.y_train), (dataset.x_test, dataset.y_test):
        assert np.array_equal(x.levels[:, 0] == 200, y == 1)  # cat 0, owl 1
    assert set(dataset.y_train) == {0, 1}


def test_large_or_different_images_are_averaged_down(tmp_path):
    save(tmp_path, [*grey(2, (100, 140)), *grey(1, (56, 56), 1)])
    dataset = data.load(tmp_path)
    assert dataset.image_shape == (28, 28)
    by_two = grey(1, (56, 56), 1)[0].reshape(28, 2, 28, 2).astype(float).mean(axis=(1, 3))
    every = np.concatenate([dataset.x_train.levels, dataset.x_test.levels])
    assert np.abs(every - by_two.ravel()).max(axis=1).min() <= 0.5


@given(rngs, st.integers(1, 40), st.integers(1, 40), st.integers(1, 12))
def test_averages_are_areas(rng, height, width, side):
    """Against the mean of the image with each pixel repeated ``side`` times, in floats"""
    levels = rng.integers(0, 256, (height, width), dtype=np.uint8)
    n = min(height, width)
    top, left = (height - n) // 2, (width - n) // 2
    fine = levels[top : top + n, left : left + n].repeat(side, 0).repeat(side, 1).astype(float)
    truth = fine.reshape(side, n, side, n).mean(axis=(1, 3))
    assert np.abs(pictures.average(levels, side) - truth).max() <= 0.5


def test_colour_transparency_rotation_and_other_formats(tmp_path):
    colour = np.zeros((2, 3, 3), np.uint8)
    colour[0, 0] = 255, 0, 0
    Image.fromarray(colour).save(tmp_path / "a.png")
    clear = np.full((2, 3, 4), 255, np.uint8)
    clear[1, 2, 3] = 0  # white, but transparent
    Image.fromarray(clear).save(tmp_path / "b.PNG")
    turned = Image.fromarray(np.arange(6, dtype=np.uint8).reshape(3, 2) * 40)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    turned.save(tmp_path / "c.png", exif=exif)
    for name in "d.jpg", "e.gif", "f.bmp", "g.pgm":
        Image.fromarray(np.full((2, 3), 128, np.uint8)).save(tmp_path / name)
    dataset = data.load(tmp_path)
    every = np.concatenate([dataset.x_train.levels, dataset.x_test.levels]).tolist()
    assert [76, 0, 0, 0, 0, 0] in every  # 0.299 of 255
    assert [255, 255, 255, 255, 255, 0] in every
    assert [160, 80, 0, 200, 120, 40] in every
    assert sum(np.abs(np.array(row) - 128).max() <= 1 for row in every) == 4


def bomb():
    """A PNG of a few bytes that promises 10^10 pixels"""

    def chunk(kind, content):
        crc = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc)

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def png(image):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "png")
    return file.getvalue()


REFUSED = {
    "text": (b"hello", "cannot be read as an image (cannot identify image file)"),
    "empty": (b"", "cannot be read as an image"),
    "cut off": (png(grey(1)[0])[:-40], "cannot be read as an image"),
    "bomb": (bomb(), "pixels"),
    "large": (png(np.zeros((8000, 7000), np.uint8)), "has 7000 x 8000 pixels; make it smaller"),
    "16 bits": (png(np.full((9, 7), 40_000, np.uint16)), "more than 256 grey levels"),
    "a font": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "cannot be read as an image"),
}


@pytest.mark.parametrize("content, said", REFUSED.values(), ids=REFUSED)
def test_what_is_no_image_is_refused_by_name(content, said, tmp_path):
    save(tmp_path, grey(3))
    (tmp_path / "bad.png").write_bytes(content)
    with pytest.raises(data.DataError) as caught:
        data.load(tmp_path)
    sentence = str(caught.value)
    assert sentence.startswith(f"{tmp_path / 'bad.png'}: ")
    assert said in sentence
    assert "\n" not in sentence


@pytest.mark.skipif(os.name != "posix", reason="pipes and links of POSIX")
def test_a_pipe_a_folder_and_a_link_to_nowhere_are_refused(tmp_path):
    save(tmp_path, grey(3))
    bad = tmp_path / "bad.png"
    for make, undo in (
        (lambda: os.mkfifo(bad), bad.unlink),
        (bad.mkdir, bad.rmdir),
        (lambda: bad.symlink_to("/dev/zero"), bad.unlink),
        (lambda: bad.symlink_to("nowhere"), bad.unlink),
    ):
        make()
        with pytest.raises(data.DataError, match=r"bad\.png: "):
            data.load(tmp_path)
        undo()


def test_too_few_or_in_two_places(tmp_path):
    with pytest.raises(data.DataError, match=r"no file train-images.* and no images"):
        data.load(tmp_path)
    save(tmp_path, grey(1))
    with pytest.raises(data.DataError, match="holds one image; it needs at least two"):
        data.load(tmp_path)
    save(tmp_path / "cat", grey(3))
    with pytest.raises(data.DataError, match="both in it and in its folder cat"):
        data.load(tmp_path)


def test_two_images_are_enough_and_a_run_of_a_folder_goes_on(tmp_path, capsys):
    save(tmp_path / "mine", grey(2))
    run = str(tmp_path / "run")
    words = ["train", str(tmp_path / "mine"), "--hidden", "3", "--epochs", "1", "--out", run]
    assert cli.main(words) == 0
    assert cli.main(["train", "--out", run, "--resume", "--epochs", "2"]) == 0
    assert cli.main(["evaluate", run, "--samples", "5"]) == 0
    (tmp_path / "mine").rename(tmp_path / "moved")
    capsys.readouterr()
    assert cli.main(["plot", run]) == 2
    assert "say by --data where they are" in capsys.readouterr().err
    assert cli.main(["plot", run, "--data", str(tmp_path / "moved")]) == 0
    save(tmp_path / "moved", grey(2, seed=9))
    assert cli.main(["plot", run, "--data", str(tmp_path / "moved")]) == 2
