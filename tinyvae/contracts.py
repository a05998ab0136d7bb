"""What a function takes, in one line above it, so that its body is nothing but the formula.

    @takes(mu="*m", logvar="*m", eps="... *m")
    def reparameterize(mu, logvar, eps):
        return mu + np.exp(0.5 * logvar) * eps

A shape is written axis by axis, nearly as jaxtyping writes it:

    B             an axis; the same letter has the same size in every argument
    k>0           an axis that is not empty
    {self.dim}    an axis whose size is an attribute of an argument
    *m            any number of axes, the same in every argument
    *#m           any number of axes; those of all arguments broadcast together
    ...           any number of axes, of this argument alone

Lists and integers become float64, half precision becomes float32.  What does not fit raises a
ValueError of one sentence that names the argument, its shape, and the shape that it must have.

Arguments are checked at the border: where code calls in from outside the modules that use `takes`.
Between those modules a call goes straight to the function.  The caller is known by its file, so
there is no state that threads could share or that an exception could leave behind.  Inside the
border overflow, NaN and log(0) raise no warnings: callers look at the numbers instead.
"""

import inspect
import math
import re
import sys
from functools import wraps

import numpy as np

_MANY, _ONE = r"(?P<any>\.\.\.)|(?P<group>\*#?\w+)", r"(?P<size>\w+)(?P<positive>>0)?"
_AXIS = re.compile(rf"{_MANY}|{_ONE}|\{{(?P<owner>\w+\.\w+)\}}")
_inside = set()  # the files of the functions that `takes` decorates


def takes(**shapes):
    """A decorator: convert these arguments to arrays, and check their shapes, in this order.

    Complex numbers pass, so that the complex step can differentiate; `takes_real` refuses them.
    Without shapes it marks a function as inside the border.
    """
    return _contract(as_floats, shapes)


def takes_real(**shapes):
    """`takes`, for what is not analytic: maxima, likelihoods, Cholesky factors."""
    return _contract(as_reals, shapes)


def _contract(convert, shapes):
    axes = {name: [_AXIS.fullmatch(axis) for axis in s.split()] for name, s in shapes.items()}

    def decorate(function):
        _inside.add(function.__code__.co_filename)
        signature = inspect.signature(function)

        @wraps(function)
        def checked(*args, **kwargs):
            if sys._getframe(1).f_code.co_filename in _inside:
                return function(*args, **kwargs)
            bound = signature.bind(*args, **kwargs)
            given = {name: bound.arguments[name] for name in axes if name in bound.arguments}
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                given = dict(zip(given, convert(**given), strict=True))
                _check_shapes(given, axes, bound.arguments)
                bound.arguments.update(given)
                return function(*bound.args, **bound.kwargs)

        return checked

    return decorate


def _check_shapes(arrays, axes, arguments):
    """Raise ValueError, naming the argument, unless the shapes fit together."""
    sizes = {}  # of letters and attributes a number, of groups a tuple
    for axis in (axis for name in arrays for axis in axes[name] if axis["owner"]):
        owner, attribute = axis["owner"].split(".")
        sizes[axis["owner"]] = getattr(arguments[owner], attribute, None)
    for name, array in arrays.items():
        known = dict(sizes)
        if not _fits(array.shape, axes[name], sizes):
            message = f"{name} has shape {array.shape}; it must be {_written(axes[name], known)}"
            others = [f"{other} {a.shape}" for other, a in arrays.items() if other != name]
            raise ValueError(message + " with " * bool(others) + " and ".join(others))


def _fits(shape, axes, sizes):
    """Whether a shape has these axes; sizes that it is the first to have are added to the known."""
    many = [i for i, axis in enumerate(axes) if axis["any"] or axis["group"]]
    lengths = {i: len(sizes.get(axes[i]["group"], ())) for i in many}
    open_ended = [i for i in many if sizes.get(axes[i]["group"]) is None or "#" in axes[i][0]]
    if open_ended:  # takes what the others leave
        lengths[open_ended[0]] += len(shape) - (len(axes) - len(many) + sum(lengths.values()))
    if min(lengths.values(), default=0) < 0:
        return False
    start = 0
    for i, axis in enumerate(axes):
        piece = shape[start : start + lengths.get(i, 1)]
        start += lengths.get(i, 1)
        if len(piece) < lengths.get(i, 1) or not _matches(piece, axis, sizes):
            return False
    return start == len(shape)


def _matches(piece, axis, sizes):
    """Whether this piece of a shape is what the axis stands for"""
    if axis["any"]:
        return True
    if axis["group"]:
        if "#" in axis["group"]:
            try:
                piece = np.broadcast_shapes(piece, sizes.get(axis["group"], ()))
            except ValueError:
                return False
            sizes[axis["group"]] = piece
        return sizes.setdefault(axis["group"], piece) == piece
    known = sizes.get(axis["size"] or axis["owner"])
    sizes[axis["size"] or axis["owner"]] = piece[0]
    return known in (None, piece[0]) and not (axis["positive"] and piece[0] == 0)


def _written(axes, sizes):
    """The shape that an argument must have, as a tuple: sizes where they are known, else letters"""
    parts, more = [], ""
    for axis in axes:
        known = sizes.get(axis["group"] or axis["size"] or axis["owner"])
        if axis["any"] or axis["group"]:
            parts += ["..."] if known is None or "#" in axis["group"] else map(str, known)
        else:
            parts.append(str(known if known is not None else axis["size"] or axis["owner"]))
            more += f", {axis['size']} >= 1" if axis["positive"] else ""
    return f"({', '.join(parts)}{',' if len(parts) == 1 else ''})" + more


def as_floats(**arguments):
    """The arguments as floating-point arrays; integers become float64 and float16 becomes float32.

    Half precision holds neither a KL nor its parts: exp overflows at 11.
    Raises ValueError, naming the argument, for what is not numeric, ragged, or masked.
    """
    arrays = []
    for name, value in arguments.items():
        if type(value) is np.ndarray and value.dtype.char in "fdFD":  # as nearly always
            arrays.append(value)
            continue
        _check_unmasked(name, value)
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


def as_reals(**arguments):
    """`as_floats`, and a ValueError for complex numbers"""
    arrays = as_floats(**arguments)
    for name, array in zip(arguments, arrays, strict=True):
        if array.dtype.kind == "c":
            raise ValueError(f"{name} must hold real numbers, not {array.dtype}")
    return arrays


def check_shape(shape, **arguments):
    """Raise ValueError unless every argument has this shape."""
    for name, array in arguments.items():
        if np.shape(array) != tuple(shape):
            raise ValueError(f"{name} has shape {np.shape(array)}; it must be {tuple(shape)}")


def check_images(**arguments):
    """Raise ValueError unless each is an array (N, D) of float32 or float64, and not empty."""
    for name, x in arguments.items():
        _check_unmasked(name, x)
        held, shape = getattr(x, "dtype", type(x).__name__), np.shape(x)
        if held not in (np.float32, np.float64) or len(shape) != 2 or 0 in shape:
            wanted = "an array (N, D) of float32 or float64, not empty"
            raise ValueError(f"{name} must be {wanted}; it is {held} of shape {shape}")


def _check_unmasked(name, array):
    """Raise ValueError for masked elements, which np.asarray would count."""
    if isinstance(array, np.ma.MaskedArray) and np.ma.is_masked(array):
        raise ValueError(f"{name} has masked elements, which would count; leave them out")


def check_range(low, high, **arguments):
    """Raise ValueError unless all elements are in [low, high].  NaN passes: it is found later."""
    for name, array in arguments.items():
        least, most = np.min(array, initial=high), np.max(array, initial=low)
        if least < low or most > high:
            extent = f"goes from {least:g} to {most:g}"
            raise ValueError(f"{name} must be in [{low}, {high}], and {extent}; scale it")


def check_binary(**arguments):
    """Raise ValueError unless all elements are 0 or 1, as the Bernoulli likelihood needs them."""
    for name, x in arguments.items():
        grey = (x != 0) & (x != 1)
        if grey.any():
            wanted = "black and white, 0 or 1, for a likelihood; draw them with data.binarize"
            raise ValueError(f"{name} holds {x[grey][0]:g}; its pixels must be {wanted}")


_NUMBER = int | float | np.integer | np.floating


def check_integer(least, **arguments):
    """Raise ValueError unless each is a whole number of at least ``least``."""
    for name, n in arguments.items():
        if not isinstance(n, int | np.integer) or isinstance(n, bool) or n < least:
            raise ValueError(f"{name} must be a whole number of at least {least}, not {_short(n)}")


def check_number(least, below=math.inf, **arguments):
    """Raise ValueError unless each is a single number in [least, below)."""
    for name, value in arguments.items():
        if not isinstance(value, _NUMBER) or not least <= value < below:
            raise ValueError(f"{name} must be a number in [{least}, {below}), not {_short(value)}")


def check_finite(**arguments):
    """Raise ValueError unless each is a single number, and neither infinite nor NaN."""
    for name, value in arguments.items():
        if not isinstance(value, _NUMBER) or not -math.inf < value < math.inf:
            raise ValueError(f"{name} must be a finite number, not {_short(value)}")


def check_generator(rng):
    """Raise ValueError unless rng is a np.random.Generator."""
    if not isinstance(rng, np.random.Generator):
        example = "np.random.default_rng(0)"
        raise ValueError(f"rng must be a np.random.Generator, such as {example}, not {_short(rng)}")


def _short(value):
    """A value in one line of at most 100 characters"""
    return " ".join(repr(value).split())[:100]
