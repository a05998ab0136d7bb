"""What the mathematics asks of its arguments, before NumPy would broadcast a mistake away."""

import numpy as np


def floats(**arguments):
    """The arguments as floating-point arrays; integers become float64 and float16 becomes float32.

    Half precision holds neither a KL nor its parts: exp overflows at 11.  Complex numbers pass,
    so that the complex step can differentiate the mathematics.
    Raises ValueError, naming the argument, for what is not a number.
    """
    arrays = []
    for name, value in arguments.items():
        array = np.asarray(value)
        if array.dtype.kind not in "biufc":
            raise ValueError(f"{name} must hold numbers, not {array.dtype}")
        if array.dtype.kind in "biu":
            array = array.astype(np.float64)
        arrays.append(array.astype(np.float32) if array.dtype == np.float16 else array)
    return arrays


def same_length(**arguments):
    """Raise ValueError unless the last axes have one length and the leading axes broadcast."""
    shapes = {name: np.shape(array) for name, array in arguments.items()}
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
