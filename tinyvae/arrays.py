"""What the package asks of its arguments, before NumPy would broadcast a mistake away.

Each function raises ValueError, in one sentence that names the argument and says what it was.
"""

import math
from functools import wraps

import numpy as np


def floats(**arguments):
    """The arguments as floating-point arrays; integers become float64 and float16 becomes float32.

    Half precision holds neither a KL nor its parts: exp overflows at 11.  Complex numbers pass,
    so that the complex step can differentiate the mathematics.
    Raises ValueError, naming the argument, for what is not a number.
    """
    arrays = []
    for name, value in arguments.items():
        if type(value) is np.ndarray and value.dtype.char in "fdFD":  # as nearly always
            arrays.append(value)
            continue
        _unmasked(name, value)
        try:
            array = np.asarray(value)
        except ValueError:  # a list of rows that differ in length
            raise ValueError(f"{name} must be an array: its rows differ in shape") from None
        if array.dtype.kind not in "biufc":
            raise ValueError(f"{name} must hold numbers, not {array.dtype}")
        if array.dtype.kind in "biu":
            array = array.astype(np.float64)
        arrays.append(array.astype(np.float32) if array.dtype == np.float16 else array)
    return arrays


def reals(**arguments):
    """`floats` that are not complex, for what is not analytic: maxima, Cholesky factors."""
    arrays = floats(**arguments)
    for name, array in zip(arguments, arrays, strict=True):
        if array.dtype.kind == "c":
            raise ValueError(f"{name} must hold real numbers, not {array.dtype}")
    return arrays


def same_length(**arguments):
    """Raise ValueError unless the last axes have one length and the leading axes broadcast."""
    shapes = {name: np.shape(array) for name, array in arguments.items()}
    if len(set(shapes.values())) == 1 and () not in shapes.values():  # as nearly always
        return
    said = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
    if any(not shape for shape in shapes.values()):
        raise ValueError(f"each needs at least one axis, the dimensions: {said}")
    if len({shape[-1] for shape in shapes.values()}) > 1:
        raise ValueError(f"the last axes must have one length: {said}")
    try:
        np.broadcast_shapes(*(shape[:-1] for shape in shapes.values()))
    except ValueError:
        raise ValueError(f"the leading axes do not fit together: {said}") from None


def ends_with(shape, **arguments):
    """Raise ValueError unless every argument has this shape, or it behind leading axes of its own.

    So (S, B, Z) goes with (B, Z), but (B, 1) and (Z,) do not, though NumPy would take them.
    """
    for name, array in arguments.items():
        if np.shape(array)[max(np.ndim(array) - len(shape), 0) :] != tuple(shape):
            raise ValueError(
                f"{name} has shape {np.shape(array)}; it must be, or end with, {shape}"
            )


def exactly(shape, **arguments):
    """Raise ValueError unless every argument has this shape."""
    for name, array in arguments.items():
        if np.shape(array) != tuple(shape):
            raise ValueError(f"{name} has shape {np.shape(array)}; it must be {tuple(shape)}")


def same_rows(**arguments):
    """Raise ValueError unless all are matrices with one number of rows, the batch."""
    shapes = [np.shape(array) for array in arguments.values()]
    batches = {shape[0] if len(shape) == 2 else None for shape in shapes}
    if None in batches or len(batches) > 1:
        said = ", ".join(f"{name} {shape}" for name, shape in zip(arguments, shapes, strict=True))
        raise ValueError(f"each must be a matrix, with one row per example: {said}")


def affine(x, W, b):
    """x, W, b as `floats`;  ValueError unless x (..., I), W (I, O) and b (O,) fit together."""
    x, W, b = floats(x=x, W=W, b=b)
    if W.ndim != 2 or x.shape[-1:] != W.shape[:1] or b.shape != W.shape[1:]:
        raise ValueError(
            f"x {x.shape}, W {W.shape} and b {b.shape} must have the shapes (..., I), (I, O), (O,)"
        )
    return x, W, b


def affine_backward(dy, x, W):
    """dy, x, W as `floats`;  ValueError unless dy (B, O), x (B, I) and W (I, O), or None, fit."""
    dy, x = floats(dy=dy, x=x)
    same_rows(dy=dy, x=x)
    if W is not None:
        (W,) = floats(W=W)
        if W.shape != (x.shape[1], dy.shape[1]):
            raise ValueError(
                f"dy {dy.shape}, x {x.shape} and W {W.shape} must have the shapes (B, O), (B, I), "
                "(I, O)"
            )
    return dy, x, W


def alike(**arguments):
    """The arguments as `floats`;  ValueError unless all have the shape of the last."""
    arrays = floats(**arguments)
    if len({array.shape for array in arrays}) > 1:
        exactly(arrays[-1].shape, **arguments)
    return arrays


def images(**arguments):
    """Raise ValueError unless each is an array (N, D) of float32 or float64, and not empty."""
    for name, x in arguments.items():
        _unmasked(name, x)
        held, shape = getattr(x, "dtype", type(x).__name__), np.shape(x)
        if held not in (np.float32, np.float64) or len(shape) != 2 or 0 in shape:
            raise ValueError(
                f"{name} must be an array (N, D) of float32 or float64, not empty; "
                f"it is {held} of shape {shape}"
            )


def _unmasked(name, array):
    """Raise ValueError for masked elements, which np.asarray would count."""
    if isinstance(array, np.ma.MaskedArray) and np.ma.is_masked(array):
        raise ValueError(f"{name} has masked elements, which would count; leave them out")


def within(low, high, **arguments):
    """Raise ValueError unless all elements are in [low, high].  NaN passes: it is found later."""
    for name, array in arguments.items():
        least, most = np.min(array, initial=high), np.max(array, initial=low)
        if least < low or most > high:
            raise ValueError(
                f"{name} must be in [{low}, {high}], and goes from {least:g} to {most:g}; scale it"
            )


def binary(**arguments):
    """Raise ValueError unless all elements are 0 or 1: the Bernoulli likelihood is of these."""
    for name, x in arguments.items():
        grey = (x != 0) & (x != 1)
        if grey.any():
            raise ValueError(
                f"{name} must be black and white, 0 or 1, for a likelihood, and it holds "
                f"{x[grey][0]:g}; draw its pixels with data.binarize"
            )


def whole(least, **arguments):
    """Raise ValueError unless each is a whole number, and at least that."""
    for name, n in arguments.items():
        if not isinstance(n, int | np.integer) or isinstance(n, bool) or n < least:
            raise ValueError(f"{name} must be a whole number of at least {least}, not {_said(n)}")


def number(least, below=math.inf, **arguments):
    """Raise ValueError unless each is a single number in [least, below)."""
    for name, value in arguments.items():
        single = isinstance(value, int | float | np.integer | np.floating)
        if not single or not least <= value < below:
            raise ValueError(f"{name} must be a number in [{least}, {below}), not {_said(value)}")


def finite(**arguments):
    """Raise ValueError unless each is a single number, and neither infinite nor NaN."""
    for name, value in arguments.items():
        single = isinstance(value, int | float | np.integer | np.floating)
        if not single or not -math.inf < value < math.inf:
            raise ValueError(f"{name} must be a finite number, not {_said(value)}")


def generator(rng):
    """Raise ValueError unless rng is what all random numbers come from."""
    if not isinstance(rng, np.random.Generator):
        raise ValueError(
            f"rng must be a np.random.Generator, such as np.random.default_rng(0), not {_said(rng)}"
        )


def _said(value):
    """A value in one line, and not a long one"""
    return " ".join(repr(value).split())[:100]


def quietly(function):
    """Let overflow and NaN pass without a warning: callers look at the numbers instead."""

    @wraps(function)
    def quiet(*arguments, **options):
        with np.errstate(over="ignore", invalid="ignore"):
            return function(*arguments, **options)

    return quiet
