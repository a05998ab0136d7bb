"""Read a folder of PNG, JPEG, GIF, BMP or PPM files as grey images of one size.

    photos/*.png            images without labels
    photos/cat/*.png        images with a label for each folder: 0, 1, ... in the order of the names

Images that all have one size, up to 64 x 64 pixels, are taken as they are.  Otherwise the middle
square of each is averaged down to 28 x 28.  Every sixth image, of a fixed shuffle, is for testing.
"""

import io
import warnings
from pathlib import Path

import numpy as np

from tinyvae.files import DataError, NotRegular, raise_if_out_of_memory, read_regular

ENDINGS = {".png", ".jpg", ".jpeg", ".gif", ".bmp", ".ppm", ".pgm"}
FORMATS = "PNG", "JPEG", "GIF", "BMP", "PPM"
LARGEST = 64  # pixels a side of images that are taken as they are
SIDE = 28  # pixels a side of those that are scaled
MOST_FILES = 100_000
MOST_BYTES = 100_000_000  # of a file
MOST_PIXELS = 50_000_000  # of an image: 50 MB of grey levels
TEST_SHARE = 6  # one image in six


def find(folder):
    """The image files in a folder, or in the folders in it  ->  [(path, label or None)], sorted"""
    folder = Path(folder)
    here = [(path, None) for path in _images(folder)]
    below = [child for child in sorted(folder.iterdir()) if child.is_dir()]
    labelled = [(child, _images(child)) for child in below]
    labelled = [(child, images) for child, images in labelled if images]
    if here and labelled:
        raise DataError(
            f"{folder}: holds images both in it and in its folder {labelled[0][0].name}; "
            "put each into the folder of its label, or all into one"
        )
    found = here + [(path, k) for k, (_, images) in enumerate(labelled) for path in images]
    if len(found) > MOST_FILES:
        raise DataError(f"{folder}: holds more than {MOST_FILES:,} images; take fewer")
    return found


def read(folder, found):
    """The images of `find`  ->  dict of x_train, x_test (N, H, W) uint8 and y_train, y_test (N,)

    Raises DataError, in one sentence, for a file that is no such image, or fewer than two images.
    """
    if len(found) < 2:
        raise DataError(f"{folder}: holds one image; it needs at least two, to train and to test")
    images = []  # as they are, while they are small and alike
    for path, _ in found:
        levels = _read_levels(path)
        if max(levels.shape) > LARGEST or (images and levels.shape != images[0].shape):
            images = [average(_read_levels(path), SIDE) for path, _ in found]
            break
        images.append(levels)
    order = np.random.default_rng(0).permutation(len(found))
    tested = np.arange(len(found)) % TEST_SHARE == TEST_SHARE - 1
    tested[-1] = True  # of few images one is for testing
    x, labels = np.stack(images)[order], [label for _, label in found]
    arrays = {"x_train": x[~tested], "x_test": x[tested]}
    if labels[0] is not None:
        y = np.array(labels, np.int64)[order]
        arrays |= {"y_train": y[~tested], "y_test": y[tested]}
    return arrays


def average(levels, side):
    """The middle square of grey levels (H, W) uint8, averaged over areas  ->  (side, side) uint8

    Output pixel i covers [i n / side, (i + 1) n / side) of the n pixels of the square.  Computed in
    integers, so that it is the same everywhere.

    >>> average(np.array([[0, 100], [200, 100]], np.uint8), 1)
    array([[100]], dtype=uint8)
    """
    n = min(levels.shape)
    top, left = ((size - n) // 2 for size in levels.shape)
    square = levels[top : top + n, left : left + n].astype(np.int64)
    edges = np.arange(side + 1)[:, None] * n  # in units of 1 / side of a pixel
    pixels = np.arange(n + 1) * side
    covered = np.clip(edges, pixels[:-1], pixels[1:])
    weights = np.diff(covered, axis=0)  # (side, n), each row sums to n
    return ((weights @ square @ weights.T + n * n // 2) // (n * n)).astype(np.uint8)


def _images(folder):
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in ENDINGS)


def _read_levels(path):
    """Grey levels (H, W) uint8 of an image file; what is transparent is black"""
    from PIL import Image, ImageOps

    try:
        content = io.BytesIO(read_regular(path, MOST_BYTES))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            image = Image.open(content, formats=FORMATS)
            if image.width * image.height > MOST_PIXELS:
                raise DataError(f"has {image.width} x {image.height} pixels; make it smaller")
            if image.mode.startswith(("I", "F")):
                raise DataError("has more than 256 grey levels; save it with 8 bits")
            image = ImageOps.exif_transpose(image)
            if image.has_transparency_data:
                black = Image.new("RGBA", image.size, "black")
                image = Image.alpha_composite(black, image.convert("RGBA"))
            return np.asarray(image.convert("L"))
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    except NotRegular:
        raise DataError(f"{path}: is not a file; remove it") from None
    except Exception as error:  # Pillow raises a dozen kinds for bytes that are no image
        raise_if_out_of_memory(error)
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        reason = reason.splitlines()[0].partition(" <_io.BytesIO")[0][:80]
        raise DataError(
            f"{path}: cannot be read as an image ({reason}); is it the right file, and whole?"
        ) from error
