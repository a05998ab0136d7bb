"""A function as laws see it: whatever it does, a call gives an Outcome."""

import functools
import json
import math
from decimal import Decimal
from importlib.util import find_spec

import numpy as np
import pytest

from tinyvae.classroom.checker.function import CannotRun, LocalFile, LocalFunction
from tinyvae.classroom.checker.values import (
    DTYPES,
    Described,
    Distribution,
    Rng,
    escape,
    from_library,
    pack,
    same,
    unpack,
)

needs_torch = pytest.mark.skipif(not find_spec("torch"), reason="PyTorch is not installed")
needs_jax = pytest.mark.skipif(not find_spec("jax"), reason="JAX is not installed")


def answer_of(f, *arguments, **options):
    outcome = LocalFunction(f).call(list(arguments), **options)
    assert not outcome.error
    return outcome.value


# ---- bytes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "tree",
    [
        None,
        [1, 2.5, True, "text", None, math.inf, -math.inf],
        {"a": (1, [2.0, ()]), "b": {}},
        np.arange(6.0).reshape(2, 3),
        np.float32(0.1),
        [np.zeros((0, 3)), np.array(5), np.array([True, False]), np.array(1 + 2j)],
        np.asfortranarray(np.arange(6).reshape(2, 3)),
        Described("object", "an object"),
        Rng(7),
    ],
)
def test_values_survive_as_bytes(tree):
    assert same(unpack(pack(tree)), tree)


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=str)
def test_dtypes_survive_as_bytes(dtype):
    array = np.array([[0, 1], [1, 0]], dtype)
    assert unpack(pack(array)).dtype == dtype
    assert unpack(pack(array.astype(dtype.newbyteorder(">")))).tolist() == array.tolist()


def test_distributions_survive_as_bytes():
    given = Distribution("Normal", {"loc": np.zeros(2), "scale": np.ones(2)}, 1)
    back = unpack(pack([given]))[0]
    assert same(back, given) and back.independent == 1
    assert math.isnan(unpack(pack(math.nan)))


def bytes_of(text, buffers=b""):
    text = text if isinstance(text, bytes) else json.dumps(text).encode()
    return len(text).to_bytes(8, "little") + text + buffers


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff" * 40,
        bytes_of(b"{"),
        bytes_of([1, 2]),
        bytes_of({"array": ["<f8", [2]]}, bytes(15)),
        bytes_of({"array": ["<f8", [2]]}, bytes(17)),
        bytes_of({"array": ["<f8", [-1]]}),
        bytes_of({"array": ["<f8", [2**62, 4]]}),
        bytes_of({"array": ["|O", [1]]}, bytes(8)),
        bytes_of({"object": "os.system"}),
        bytes_of({"dict": [[1, 2]]}),
        bytes_of({"list": [], "tuple": []}),
        bytes_of({"described": ["one"]}),
        bytes_of(b"[" * 100_000),
    ],
)
def test_bytes_that_hold_no_values_are_refused(data):
    with pytest.raises(ValueError):
        unpack(data)


# ---- answers -------------------------------------------------------------------------------------


class Evil:
    """Nothing can be looked up on it."""

    def __getattr__(self, name):
        raise RuntimeError(f"no {name}")


class Liar(np.ndarray):
    def astype(self, *_, **__):
        return np.zeros(3)

    def __float__(self):
        return 0.0


cyclic: list = []
cyclic.append(cyclic)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (10**400, "an integer of about 401 digits"),
        (Evil(), "a Evil, not a number"),
        ("0.5", "the text '0.5', not a number"),
        (object(), "a object, not a number"),
        (np.array(["a"]), "not of numbers"),
        (np.array([object()]), "not a number"),
        (np.broadcast_to(1.0, (10**6, 10**6)), "which is too large"),
        (np.ma.masked_array([1.0], mask=True), "entries that are masked"),
        (cyclic, "nested too deeply"),
        ((x for x in [1.0]), "a generator, not a number"),
    ],
    ids=lambda value: value if isinstance(value, str) else "of",
)
def test_answer_that_is_no_number_is_described(answer, says):
    value = answer_of(lambda: answer)
    while isinstance(value, list):
        (value,) = value
    assert isinstance(value, Described)
    assert says in str(value)


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        (Decimal("0.5"), 0.5),
        (np.float32(0.5), np.float32(0.5)),
        ([1.0, 2.0], np.array([1.0, 2.0])),
        ([[1.0], [1.0, 2.0]], [np.array([1.0]), np.array([1.0, 2.0])]),
        ((1.0, None, {"kl": np.ones(2)}), (1.0, None, {"kl": np.ones(2)})),
        (np.array([1.5]).view(Liar), np.array([1.5])),
        (np.ma.masked_array([1.0], mask=False), np.array([1.0])),
        (True, True),
    ],
)
def test_answer_is_a_tree_of_numbers(answer, value):
    assert same(answer_of(lambda: answer), value)


def test_kind_says_what_the_answer_was():
    assert from_library(np.float64(1.0))[1][0].library == "numpy"
    assert from_library(np.float16([1.0]))[1][0].dtype == "float16"
    assert from_library([1.0, 2.0])[1][0].type_name == "list"


# ---- errors --------------------------------------------------------------------------------------


class Mute(Exception):
    def __str__(self):
        raise ValueError("no")


def raises(error):
    raise error


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (ValueError("too bad"), "ValueError: too bad (test_function.py, line "),
        (ValueError("\x1b[2Jred\nmore"), "ValueError: \\x1b[2Jred (test_function.py, line "),
        (Mute(), "Mute: (its text cannot be read: __str__ raises ValueError) (test_"),
        (SystemExit(3), "SystemExit: 3"),
        (GeneratorExit(), "GeneratorExit (test"),
        (ValueError("x" * 10**6), "ValueError: xxx"),
    ],
)
def test_error_is_one_line(error, says):
    outcome = LocalFunction(raises).call([error])
    assert outcome.error.startswith(says) and len(outcome.error) < 500
    assert outcome.error.isprintable()
    assert outcome.raised() and outcome.raised_in == "raises" and outcome.value is None


def test_error_knows_its_classes():
    outcome = LocalFunction(np.linalg.inv).call([np.zeros((2, 2))])
    assert outcome.raised("ValueError", "KeyError") and not outcome.raised("TypeError")
    assert outcome.error_types[0] == "LinAlgError"


def test_escape_sequences_are_removed_from_a_name():
    def kl(mu):
        return mu

    kl.__name__ = "\x1b[2Jx\n\n  ok"
    assert LocalFunction(kl).shown_name == "\\x1b[2Jx\\n\\n  ok"
    assert escape("é☃") == "é☃" and len(escape("x" * 1000)) == 300


# ---- what a function is --------------------------------------------------------------------------


class Class:
    def method(self, mu, logvar=0.5):
        return mu + logvar

    @staticmethod
    def static(mu, *, beta=1):
        return mu * beta

    def __call__(self, x):
        return x


def names(f):
    return [p.name for p in LocalFunction(f).parameters]


def test_parameters_of_all_that_can_be_called():
    assert names(lambda mu, logvar: 0) == ["mu", "logvar"]
    assert names(Class().method) == names(functools.partial(Class.method, None)) == ["mu", "logvar"]
    assert names(Class()) == ["x"]
    assert names(np.vectorize(lambda a, b: a)) == ["a", "b"]
    assert names(functools.lru_cache(lambda a, b: a)) == ["a", "b"]
    beta = LocalFunction(Class.static).parameters[1]
    assert (beta.default, beta.required, beta.keyword_only) == (1, False, True)
    star, both = LocalFunction(lambda *a, **b: 0).parameters
    assert (star.variadic, both.variadic, star.required) == ("*", "**", False)


def test_signature_that_cannot_be_seen_is_none():
    def kl(mu):
        return mu

    kl.__signature__ = Evil()
    assert LocalFunction(kl).parameters is None
    with pytest.raises(CannotRun, match="is a int, not a function"):
        LocalFunction(5)


def test_library_is_read_off_the_code():
    space = {}
    exec(
        "import math, numpy as np\n"
        "def a(x): return math.log(x)\n"
        "def b(x): return np.log(x)\n"
        "def c(x): return b(x)\n"
        "def d(x): return x\n",
        space,
    )
    assert [LocalFunction(space[name]).library for name in "abcd"] == [
        "python", "numpy", "numpy", "numpy",
    ]  # fmt: skip


@needs_torch
def test_torch_is_called_with_tensors():
    import torch

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.drop = torch.nn.Dropout(0.5)

        def forward(self, mu, logvar):
            return self.drop(mu), torch.distributions.Normal(mu, logvar.exp())

    file = LocalFile({"Model": Model, "__name__": Model.__module__})
    assert file.entries()[0].methods == ("Model.forward",)
    f = file.function("Model")
    assert f.library == "torch" and f.is_module and f.names == ["mu", "logvar"]
    outcome = f.call([np.ones(3), np.zeros(3)], training=False, gradient=(0,), dtype="float32")
    drop, normal = outcome.value
    assert np.array_equal(drop, np.ones(3)) and drop.dtype == np.float32
    assert normal.name == "Normal" and np.array_equal(normal.parameters["scale"], np.ones(3))
    assert np.array_equal(outcome.gradients[0], np.ones(3)) and outcome.gradients[1] is None
    first, second = (f.call([np.ones(50), np.zeros(50)], training=True, seed=3) for _ in range(2))
    assert first.drew == ("torch",) and same(first.value[0], second.value[0])
    assert not same(f.call([np.ones(50), np.zeros(50)]).value[0], first.value[0])


@needs_torch
def test_torch_distributions_are_arguments_and_have_gradients():
    from torch.distributions import kl_divergence

    q = Distribution("Normal", {"loc": np.ones(2), "scale": np.ones(2)})
    p = Distribution("Normal", {"loc": np.zeros(2), "scale": np.ones(2)})
    outcome = LocalFunction(lambda q, p: kl_divergence(q, p).sum()).call(
        [q, p], gradient=True, library="torch"
    )
    assert outcome.value == 1.0
    assert np.allclose(outcome.gradients[0][0], [1, 1])


@needs_torch
def test_gradient_that_is_not_there_has_its_reason():
    def detached(mu):
        return mu.detach().sum()

    outcome = LocalFunction(detached).call([np.ones(2)], gradient=True, library="torch")
    assert outcome.gradients is None and "detached" in outcome.no_gradient
    assert "no gradient of their own" in LocalFunction(np.exp).call(
        [np.ones(2)], gradient=True
    ).no_gradient  # fmt: skip


@needs_jax
def test_jax_has_gradients():
    import jax
    import jax.numpy as jnp

    f = LocalFunction(jax.jit(lambda mu, logvar: jnp.sum(mu**2 + logvar)))
    assert f.library == "jax" and f.names == ["mu", "logvar"]
    outcome = f.call([np.ones(2), np.zeros(2)], gradient=True)
    assert np.allclose(outcome.gradients[0], 2) and np.allclose(outcome.gradients[1], 1)


def test_arguments_written_in_place_are_named():
    def f(mu, logvar, *, beta):
        logvar += 1
        beta[0] = 5
        return mu

    outcome = LocalFunction(f).call([np.ones(2), np.ones(2)], keywords={"beta": np.ones(2)})
    assert outcome.changed == ("logvar", "beta")


# ---- what a file holds ---------------------------------------------------------------------------

SOURCE = """
import numpy as np
from math import exp
EXERCISE = 4
def kl(mu, logvar): return mu
def _hidden(): pass
half = lambda x: 0.5 * x
class VAE:
    def encode(self, x): return x
    def _inner(self): pass
    @staticmethod
    def kl_loss(mu): return mu
class Needs:
    def __init__(self, size): self.size = size + "cells"
    def encode(self, x): return x
model = VAE()
"""


def file_of(source=SOURCE):
    space = {"__name__": "theirs", "__file__": "mine.py"}
    exec(compile(source, "mine.py", "exec"), space)
    return LocalFile(space)


def test_file_lists_what_it_defines():
    file = file_of()
    assert [(e.name, e.kind) for e in file.entries()] == [
        ("EXERCISE", "value"),
        ("kl", "function"),
        ("_hidden", "hidden function"),
        ("half", "function"),
        ("VAE", "class"),
        ("Needs", "class"),
        ("model", "object"),
    ]
    assert file.functions() == ["kl", "half"]
    assert file.value("EXERCISE") == 4 and file.value("nothing") is None
    assert file.entries()[4].methods == ("VAE.encode", "VAE.kl_loss")


def test_dotted_names_reach_methods():
    file = file_of()
    for name in ("model.encode", "VAE.encode", "VAE.kl_loss"):
        assert file.function(name).call([2.0]).value == 2.0
    for name, says in (
        ("Needs.encode", "cannot be made without arguments: TypeError"),
        ("EXERCISE", "is a int, not a function"),
        ("model.decode", "mine.py has no model.decode"),
        ("nothing.at.all", "mine.py has no nothing"),
    ):
        with pytest.raises(CannotRun, match=says):
            file.function(name)
