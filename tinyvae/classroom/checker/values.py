"""The values that cross between a judge and the function that it judges.

A tree: NumPy arrays, plain numbers, strings, None, and lists, tuples and dicts of them; beside
these `Distribution` and `Rng`, which stand for objects of the function's own library, and
`Described`, which stands for an answer that is none of all this.

    into_library(tree, "torch")     what the function is called with
    from_library(answer)            the tree of what it answered, with a `Kind` for each leaf
    pack(tree), unpack(data)        bytes that hold a tree and can execute nothing
"""

import dataclasses
import math
import numbers
from dataclasses import dataclass
from json import dumps, loads  # by name: the user's code may spoil the module

import numpy as np
import numpy.ma  # now: it needs files to be opened, which a submission may forbid

LARGEST = 2**22  # entries of an array, or leaves of a tree, that are taken from an answer
DEEPEST = 30  # levels of lists in lists
LONGEST = 300  # characters of a text that somebody else's code made
LIBRARIES = ("numpy", "torch", "jax", "python")


@dataclass(frozen=True)
class Described:
    """Stands for an object that is not numeric: the name of its type, and what it is."""

    type_name: str
    text: str

    def __str__(self):
        return self.text


@dataclass(frozen=True, eq=False)
class Distribution:
    """Stands for an object of torch.distributions: Distribution("Normal", {"loc": .., "scale": ..})

    `independent` counts the last axes that are one event, as in torch.distributions.Independent.
    """

    name: str
    parameters: dict
    independent: int = 0


@dataclass(frozen=True)
class Rng:
    """Stands for a source of random numbers: a NumPy Generator, a PyTorch Generator, a JAX key."""

    seed: int


@dataclass(frozen=True)
class Kind:
    """What one leaf of an answer was: "Tensor", "torch", "float32", (3,), True"""

    type_name: str
    library: str
    dtype: str = ""
    shape: tuple = ()
    requires_grad: bool = False


def escape(text, limit=LONGEST):
    r"""The text in one line, without control characters, and not longer than the limit

    >>> escape("\x1b[2Jred\nblue")
    '\\x1b[2Jred\\nblue'
    """
    text = str(text)[: limit + 1]
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    return shown if len(shown) <= limit else shown[: limit - 3] + "..."


# ---- to the function -----------------------------------------------------------------------------


def into_library(tree, library, dtype="float64"):
    """The tree with its arrays as fresh arrays or tensors of that library

    library   "numpy", "torch", "jax", or "python" for nested lists and floats
    dtype     of floating-point arrays: "float64" or "float32"; JAX decides itself
    """
    if isinstance(tree, dict):
        return {name: into_library(value, library, dtype) for name, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return type(tree)(into_library(value, library, dtype) for value in tree)
    if isinstance(tree, Distribution):
        return _distribution(tree, dtype)
    if isinstance(tree, Rng):
        return _rng(tree.seed, library)
    if not isinstance(tree, (np.ndarray, np.generic)):
        return tree
    array = np.array(tree)
    if array.dtype.kind == "f":
        array = array.astype(dtype)
    if library == "torch":
        import torch

        return torch.tensor(array)
    if library == "jax":
        import jax.numpy as jnp

        return jnp.asarray(array)
    return array.tolist() if library == "python" else array


def _distribution(tree, dtype):
    import torch

    parameters = into_library(tree.parameters, "torch", dtype)
    made = getattr(torch.distributions, tree.name)(**parameters)
    if tree.independent:
        made = torch.distributions.Independent(made, tree.independent)
    return made


def _rng(seed, library):
    if library == "torch":
        import torch

        return torch.Generator().manual_seed(seed)
    if library == "jax":
        import jax

        return jax.random.PRNGKey(seed)
    return np.random.default_rng(seed)


# ---- from the function ---------------------------------------------------------------------------


def from_library(answer):
    """The answer as a tree, and a tuple with a `Kind` for each leaf, in the tree's order

    Arrays and tensors become NumPy arrays; scalars of a library become arrays of shape ().  Lists
    of numbers become arrays.  Named tuples and data classes become dicts.  Whatever else there is
    becomes `Described`; nothing that an object does on the way raises.
    """
    kinds = []
    try:
        return _tree(answer, kinds, 0), tuple(kinds)
    except BaseException as error:
        if isinstance(error, (KeyboardInterrupt, MemoryError)):
            raise
        made = Described(_type_name(answer), f"an object of type {_type_name(answer)}")
        return made, (Kind(_type_name(answer), "other"),)


def _type_name(value):
    name = type.__dict__["__name__"].__get__(type(value))
    return escape(name, 80)


def _library_of(value):
    """ "torch", "jax", "numpy" or "other": where the type of the value comes from"""
    for base in type(value).__mro__:
        home = base.__module__ if isinstance(base.__module__, str) else ""
        top = home.partition(".")[0]
        if top in ("torch", "numpy"):
            return top
        if top in ("jax", "jaxlib"):
            return "jax"
    return "other"


def _tree(value, kinds, depth):
    if depth > DEEPEST or len(kinds) > LARGEST:
        return _other(value, kinds, f"a {_type_name(value)} that is nested too deeply, or too long")
    inside = _parts(value)
    if isinstance(inside, dict):
        return {escape(key, 80): _tree(part, kinds, depth + 1) for key, part in inside.items()}
    if isinstance(inside, tuple):
        return tuple(_tree(part, kinds, depth + 1) for part in inside)
    if isinstance(value, list):
        return _list(value, kinds, depth)
    try:
        found = _leaf(value)
    except Exception:
        found = None
    if found is None:
        return _other(value, kinds, f"a {_type_name(value)}, not a number")
    leaf, kind = found
    kinds.append(kind)
    return leaf


def _parts(value):
    """The parts of a tuple, a dict, a named tuple or a data class; None for anything else"""
    if isinstance(value, dict):
        return dict(value.items())
    if isinstance(value, tuple):
        fields = getattr(type(value), "_fields", None)
        return dict(zip(fields, value, strict=True)) if fields else tuple(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return None


def _list(value, kinds, depth):
    """A list of numbers, or of equal lists of them, as an array; other lists as lists"""
    inside = []
    parts = [_tree(part, inside, depth + 1) for part in value[: LARGEST + 1]]
    plain = [p for p in parts if isinstance(p, (np.ndarray, float, int, complex))]
    shapes = {np.shape(p) for p in plain}
    if parts and len(plain) == len(parts) and len(shapes) == 1:
        array = np.array(parts)
        gradient = any(kind.requires_grad for kind in inside)
        kinds.append(Kind("list", inside[0].library, array.dtype.name, array.shape, gradient))
        return array
    kinds += inside
    return parts


def _other(value, kinds, text):
    kinds.append(Kind(_type_name(value), _library_of(value)))
    return Described(_type_name(value), text)


def _leaf(value):
    """(value as a number or an array, its Kind), or None if it is neither"""
    name = _type_name(value)
    if value is None:
        return None, Kind(name, "python")
    if isinstance(value, (bool, int, float)) and not isinstance(value, np.generic):
        return _number(value, name)
    if isinstance(value, str):
        return Described("str", f"the text {escape(value, 60)!r}, not a number"), Kind(name, "str")
    library = _library_of(value)
    if library == "torch":
        return _tensor(value, name)
    if isinstance(value, (np.ndarray, np.generic)):
        return _array(value, name)
    if library == "jax" or hasattr(value, "__array__"):
        array, kind = _array(np.asarray(value), name)
        return array, dataclasses.replace(kind, library=library)
    if isinstance(value, complex):
        return np.asarray(complex(value)), Kind(name, "python", "complex128")
    if isinstance(value, numbers.Number) or hasattr(value, "__float__"):
        return float(value), Kind(name, "python", "float64")  # Decimal, Fraction, mpmath
    return None


def _number(value, name):
    if isinstance(value, bool):
        return value, Kind(name, "python", "bool")
    if isinstance(value, float):
        return float.__float__(value), Kind(name, "python", "float64")
    value = int.__int__(value)
    if value.bit_length() > 63:
        digits = int(value.bit_length() * math.log10(2)) + 1
        return Described("int", f"an integer of about {digits} digits"), Kind(name, "python")
    return value, Kind(name, "python", "int64")


def _array(value, name):
    shape = tuple(np.ndarray.shape.__get__(value)) if isinstance(value, np.ndarray) else ()
    if math.prod(shape) > LARGEST:
        return Described(name, f"an array of shape {shape}, which is too large"), Kind(
            name, "numpy", shape=shape
        )
    if isinstance(value, np.ma.MaskedArray):
        if np.any(np.ma.getmaskarray(value)):
            text = "a masked array with entries that are masked"
            return Described(name, text), Kind(name, "numpy", shape=shape)
        value = np.ma.getdata(value)
    array = np.array(value, copy=True, subok=False)
    dtype = array.dtype.name
    if array.dtype.kind == "O":
        array = array.astype(np.float64)
    elif array.dtype.kind in "USVMm":
        return Described(name, f"an array of {dtype}, not of numbers"), Kind(
            name, "numpy", dtype, shape
        )
    elif array.dtype.kind not in "biufc" or array.dtype.itemsize > 16:
        array = array.astype(np.float32)
    elif array.dtype.name in ("longdouble", "float128", "float96"):
        array = array.astype(np.float64)
    return array, Kind(name, "numpy", dtype, shape)


def _tensor(value, name):
    import torch

    if isinstance(value, torch.distributions.Distribution):
        return _torch_distribution(value, name)
    if not isinstance(value, torch.Tensor):
        return None
    shape, dtype = tuple(value.shape), str(value.dtype).removeprefix("torch.")
    kind = Kind(name, "torch", dtype, shape, bool(value.requires_grad))
    if math.prod(shape) > LARGEST:
        return Described(name, f"a tensor of shape {shape}, which is too large"), kind
    plain = value.detach().cpu()
    if plain.layout != torch.strided:
        plain = plain.to_dense()
    if plain.dtype == torch.bfloat16:
        plain = plain.float()
    return np.array(plain.resolve_conj().resolve_neg().numpy()), kind


def _torch_distribution(value, name):
    import torch

    independent = 0
    while isinstance(value, torch.distributions.Independent):
        independent += value.reinterpreted_batch_ndims
        value = value.base_dist
    names = list(type(value).arg_constraints)
    if isinstance(value, torch.distributions.MultivariateNormal):
        names = ["loc", "covariance_matrix"]
    parameters = {}
    gradient = False
    for parameter in names:
        entry = getattr(value, parameter)
        gradient = gradient or bool(entry.requires_grad)
        parameters[parameter] = np.array(entry.detach().cpu().numpy())
    made = Distribution(type(value).__name__, parameters, independent)
    return made, Kind(name, "torch", requires_grad=gradient)


def leaves(tree):
    """The leaves of a tree, in its order"""
    if isinstance(tree, dict):
        tree = list(tree.values())
    if isinstance(tree, (list, tuple)):
        return [leaf for part in tree for leaf in leaves(part)]
    return [tree]


def same(a, b):
    """Do two trees hold the same numbers?  nan equals nan."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[name], b[name]) for name in a)
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, Distribution) and isinstance(b, Distribution):
        return a.name == b.name and same(a.parameters, b.parameters)
    arrays = [isinstance(part, (np.ndarray, np.generic)) for part in (a, b)]
    if any(arrays):
        a, b = np.asarray(a), np.asarray(b)
        if a.dtype.kind in "fc" and b.dtype.kind in "fc":
            return np.array_equal(a, b, equal_nan=True)
        return np.array_equal(a, b)
    return a == b or (a != a and b != b)


# ---- as bytes ------------------------------------------------------------------------------------

DTYPES = {
    np.dtype(code).str: np.dtype(code)
    for code in ("?", "b", "B", "h", "H", "i", "I", "q", "Q", "e", "f", "d", "F", "D")
}


def pack(tree):
    """The tree as bytes: the length of a JSON text, the text, the bytes of the arrays"""
    buffers = []
    text = dumps(_packed(tree, buffers)).encode()
    return b"".join([len(text).to_bytes(8, "little"), text, *buffers])


def _packed(value, buffers):
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": repr(value)}
    if isinstance(value, (np.ndarray, np.generic)):
        array = np.ascontiguousarray(value).reshape(np.shape(value))
        array = array.astype(array.dtype.newbyteorder("<"))
        buffers.append(array.tobytes())
        return {"array": [array.dtype.str, list(array.shape)]}
    if isinstance(value, list):
        return {"list": [_packed(part, buffers) for part in value]}
    if isinstance(value, tuple):
        return {"tuple": [_packed(part, buffers) for part in value]}
    if isinstance(value, dict):
        return {"dict": [[str(name), _packed(part, buffers)] for name, part in value.items()]}
    if isinstance(value, Described):
        return {"described": [value.type_name, value.text]}
    if isinstance(value, Distribution):
        parameters = _packed(value.parameters, buffers)
        return {"distribution": [value.name, parameters, value.independent]}
    if isinstance(value, Rng):
        return {"rng": value.seed}
    raise TypeError(f"a {type(value).__name__} is none of the values that a tree holds")


def unpack(data):
    """The tree in these bytes.  ValueError if they hold none."""
    try:
        size = int.from_bytes(data[:8], "little")
        tree, end = _unpacked(loads(data[8 : 8 + size]), memoryview(data), 8 + size)
    except (KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
        raise ValueError(f"the bytes hold no values: {error}") from None
    if end != len(data):
        raise ValueError(f"the bytes hold no values: {len(data)} of them where {end} are meant")
    return tree


def _unpacked(value, data, at):
    if not isinstance(value, dict):
        if isinstance(value, list):
            raise ValueError("a list without its name")
        return value, at
    ((kind, inside),) = value.items()
    if kind == "float":
        return float(inside), at
    if kind == "array":
        dtype, shape = DTYPES[inside[0]], tuple(inside[1])
        if not all(type(n) is int and n >= 0 for n in shape):
            raise ValueError(f"an array of shape {shape}")
        count = math.prod(shape)
        end = at + count * dtype.itemsize
        if end > len(data):
            raise ValueError(f"an array of shape {shape} needs {end} bytes, not {len(data)}")
        return np.frombuffer(data[at:end], dtype).reshape(shape).copy(), end
    if kind in ("list", "tuple"):
        parts = []
        for part in inside:
            entry, at = _unpacked(part, data, at)
            parts.append(entry)
        return (parts if kind == "list" else tuple(parts)), at
    if kind == "dict":
        made = {}
        for name, part in inside:
            if type(name) is not str:
                raise ValueError("a dict whose keys are no texts")
            made[name], at = _unpacked(part, data, at)
        return made, at
    if kind == "described":
        return Described(*(escape(text) for text in inside)), at
    if kind == "distribution":
        parameters, at = _unpacked(inside[1], data, at)
        return Distribution(escape(inside[0], 80), parameters, int(inside[2])), at
    if kind == "rng":
        return Rng(int(inside)), at
    raise ValueError(f"a value of the kind {escape(kind, 40)!r}")


# ---- as numbers ----------------------------------------------------------------------------------


class NotNumbers(Exception):
    """The function answered with something that is not real numbers."""


def as_array(result):
    """A value that a function has answered with, as a NumPy array; NotNumbers if it is none"""
    if result is None:
        raise NotNumbers("it gave None: is a `return` missing?")
    if isinstance(result, Described):
        raise NotNumbers(f"it gave {result}")
    try:
        array = np.asarray(result)
    except Exception:
        raise NotNumbers(f"it gave a {type(result).__name__}, not a number") from None
    if array.dtype.kind not in "fiu":
        what = f"a {type(result).__name__}" if array.dtype.kind == "O" else array.dtype.name
        raise NotNumbers(f"it gave {what} instead of real numbers")
    return array
