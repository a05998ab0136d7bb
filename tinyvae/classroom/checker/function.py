"""Somebody's function, as laws see it: what it is called, what it takes, and one way to call it.

    f = LocalFunction(kl)                   a function of this process
    with sandbox.open_file("mine.py") as file:
        f = file.function("kl")             the same interface; the function is in a child process

    outcome = f.call([mean, logvar])        arrays in, an Outcome out, whatever the function does
    outcome.value, outcome.error            "ValueError: shapes do not match (mine.py, line 7)"

Laws never touch the function itself, so that it makes no difference to them where it runs.
"""

import importlib.util
import inspect
import itertools
import os
import random
import re
import sys
import time
import traceback
import types
import warnings
from dataclasses import dataclass, replace

import numpy as np

from tinyvae.classroom.checker.values import (
    LIBRARIES,
    Described,
    Kind,
    Rng,
    escape,
    from_library,
    into_library,
    same,
)

HERE = os.path.dirname(os.path.abspath(__file__))


class CallFailed(Exception):
    """`Function.__call__` did not give a value; `described` is the outcome's error."""

    def __init__(self, outcome):
        self.outcome, self.described = outcome, outcome.error
        super().__init__(outcome.error)


class CannotRun(ValueError):
    """There is no verdict: the function cannot be called, or not in a way that is known."""


@dataclass(frozen=True)
class Parameter:
    """One parameter of a function.

    default     its default where that is a number, a text or None; `Described` for other objects
    variadic    "*" or "**" for *args and **kwargs, else ""
    """

    name: str
    required: bool = True
    default: object = None
    keyword_only: bool = False
    variadic: str = ""


@dataclass(frozen=True)
class Outcome:
    """What one call gave.

    value         a tree of arrays, numbers, tuples and dicts; `Described` for other objects
    error         "" or "ValueError: what it says (mine.py, line 7)"; then value is None
    error_types   the class of the exception and its bases: ("LinAlgError", "ValueError", ...)
    raised_in     the innermost function of the user's file that was at work when it raised
    line          the last line of the user's file in its traceback, or 0
    changed       names of the arguments that were written in place
    gradients     of the sum of the answer, by each argument, as trees of arrays; an entry is None
                  where the answer does not depend on that argument (or is detached from it)
    no_gradient   "" or why gradients is None
    kinds         a `Kind` for each leaf of the value
    drew          libraries whose global random state the call has advanced
    seconds       that the call took, of the process's own time
    """

    value: object = None
    error: str = ""
    error_types: tuple[str, ...] = ()
    raised_in: str = ""
    line: int = 0
    changed: tuple[str, ...] = ()
    gradients: list | None = None
    no_gradient: str = ""
    kinds: tuple[Kind, ...] = ()
    drew: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def kind(self):
        """The Kind of the first leaf of the value"""
        return self.kinds[0] if self.kinds else Kind("", "")

    def raised(self, *names):
        """Did it raise one of these classes, by name?  Any, if there are no names."""
        return bool(self.error) and (not names or any(name in self.error_types for name in names))


class Function:
    """The interface of LocalFunction and of sandbox.RemoteFunction.

    name          as in the file: "kl", "VAE.kl_loss", "model.encode"
    shown_name    the same without control characters
    parameters    a tuple of `Parameter`, or None where the signature cannot be seen
    library       what it is written for: "numpy", "torch", "jax" or "python" (plain numbers)
    libraries     all of these that its file has imported, the likeliest first
    line          its first line in its file, or 0
    doc           its docstring, or ""
    is_module     is it a torch.nn.Module, or a method of one?  Then `training` means something
    mentions      the global names that its code uses
    elsewhere     seconds that its calls have taken in another process
    """

    name = shown_name = doc = ""
    parameters: tuple[Parameter, ...] | None = None
    library = "numpy"
    libraries: tuple[str, ...] = ()
    line = 0
    is_module = False
    mentions: tuple[str, ...] = ()
    elsewhere = 0.0

    def clock(self):
        """Seconds of work so far, here and where the function is; for differences"""
        return time.thread_time() + self.elsewhere

    def __call__(self, *arguments):
        """The value of `call`; CallFailed if there is none"""
        outcome = self.call(list(arguments))
        if outcome.error:
            raise CallFailed(outcome)
        return outcome.value

    def call(
        self,
        arguments,
        *,
        keywords=None,
        gradient=False,
        dtype="float64",
        library=None,
        seed=None,
        training=None,
    ):
        """Call the function with these arguments.    ->  Outcome

        arguments   a list of trees; arrays become arrays or tensors of the function's library
        keywords    a dict of trees
        gradient    True: also the gradient of the sum of the answer by each argument; a path such
                    as (0,) or ("loss",) chooses one part of an answer that has several
        dtype       "float64" or "float32"
        library     another one than `self.library`
        seed        global random states of NumPy, PyTorch and `random` are set to it before
        training    True or False sets the mode of a torch.nn.Module before
        """
        raise NotImplementedError

    @property
    def __name__(self):
        return self.name

    @property
    def __signature__(self):
        if self.parameters is None:
            raise ValueError(f"the signature of {self.shown_name} cannot be seen")
        kinds = {"*": inspect.Parameter.VAR_POSITIONAL, "**": inspect.Parameter.VAR_KEYWORD}
        plain = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        return inspect.Signature(
            [
                inspect.Parameter(
                    p.name,
                    kinds.get(p.variadic, plain[p.keyword_only]),
                    default=p.default
                    if not (p.required or p.variadic)
                    else inspect.Parameter.empty,
                )
                for p in self.parameters
            ]
        )

    @property
    def names(self):
        """The names of the positional parameters"""
        found = self.parameters or ()
        return [p.name for p in found if not p.keyword_only and not p.variadic]

    def describe(self):
        """What is known of the function, as a tree of plain values"""
        parameters = self.parameters
        if parameters is not None:
            parameters = [[p.name, p.required, p.default, p.keyword_only, p.variadic]
                          for p in parameters]  # fmt: skip
        return {
            "name": self.name,
            "shown_name": self.shown_name,
            "doc": self.doc,
            "parameters": parameters,
            "library": self.library,
            "libraries": list(self.libraries),
            "line": self.line,
            "is_module": self.is_module,
            "mentions": list(self.mentions),
        }


class DescribedFunction(Function):
    """A function of which only the description is here"""

    def __init__(self, described):
        self.name, self.shown_name = described["name"], escape(described["shown_name"], 80)
        self.doc, self.line = described["doc"], described["line"]
        self.library, self.libraries = described["library"], tuple(described["libraries"])
        self.is_module, self.mentions = described["is_module"], tuple(described["mentions"])
        if described["parameters"] is not None:
            self.parameters = tuple(Parameter(*fields) for fields in described["parameters"])


class LocalFunction(Function):
    """A function, method, module or other callable of this process.

    path    the user's file, for the lines of error messages; found if it is not given
    catch   the exceptions that are an outcome; KeyboardInterrupt is the user's, here
    """

    def __init__(self, f, name=None, path=None, catch=(Exception, SystemExit, GeneratorExit)):
        if isinstance(f, LocalFunction):
            f, name, path = f.f, name or f.name, path or f.path
        if not callable(f):
            raise CannotRun(f"{escape(repr(f), 80)} is a {type(f).__name__}, not a function")
        self.f, self.catch = f, catch
        self.name = name if name is not None else _name_of(f)
        self.shown_name = escape(self.name, 80)
        code = _code_of(f)
        self.made_in = code.co_filename if code else None
        self.path = path or self.made_in
        self.line = code.co_firstlineno if code else 0
        self.doc = escape(doc, 2000) if isinstance(doc := _peek(f, "__doc__"), str) else ""
        self.parameters = _parameters(f)
        self.libraries = _libraries(f)
        self.library = self.libraries[0]
        self.module = _module_of(f)
        self.is_module = self.module is not None
        self.mentions = tuple(sorted(names_in(code))) if code else ()

    def call(
        self,
        arguments,
        *,
        keywords=None,
        gradient=False,
        dtype="float64",
        library=None,
        seed=None,
        training=None,
    ):
        library = library or self.library
        if library not in LIBRARIES:
            raise ValueError(f"the library is {', '.join(LIBRARIES)}, not {library!r}")
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            given = into_library(list(arguments), library, dtype)
            named = into_library(dict(keywords or {}), library, dtype)
            if training is not None and self.module is not None:
                self.module.train(training)
            if seed is not None:
                set_seed(seed)
            drew = _random_states() if seed is not None else None
            began = time.thread_time()
            try:
                if gradient and library in ("torch", "jax"):
                    answer, found = _GRADIENTS[library](self.f, given, named, gradient)
                else:
                    answer, found = self.f(*given, **named), NO_GRADIENT[library]
            except self.catch as error:
                return self._failed(error, time.thread_time() - began)
            seconds = time.thread_time() - began
            value, kinds = from_library(answer)
            return Outcome(
                value,
                changed=self._changed(arguments, keywords or {}, given, named, library, dtype),
                gradients=found if isinstance(found, list) else None,
                no_gradient=found if gradient and isinstance(found, str) else "",
                kinds=kinds,
                drew=_drew(drew) if drew else (),
                seconds=seconds,
            )

    def _failed(self, error, seconds):
        path = self.path if line_of(error, self.path) else self.made_in
        return Outcome(
            error=describe(error, path),
            error_types=tuple(escape(base.__name__, 80) for base in type(error).__mro__),
            raised_in=_innermost(error, path),
            line=line_of(error, path),
            seconds=seconds,
        )

    def _changed(self, arguments, keywords, given, named, library, dtype):
        """The names of the arguments that differ from what they were made of"""
        names = self.names
        called = [names[i] if i < len(names) else f"argument {i + 1}" for i in range(len(given))]
        pairs = [*zip(called, arguments, given, strict=True)]
        pairs += [(name, keywords[name], named[name]) for name in keywords]
        return tuple(
            name for name, old, new in pairs if not _is_untouched(old, new, library, dtype)
        )


def _is_untouched(old, new, library, dtype):
    """Does `new` still hold what it was made of?"""
    if isinstance(new, np.ndarray):
        old = np.asarray(old)
        return new.shape == old.shape and new.tobytes() == old.astype(new.dtype).tobytes()
    if old is None or isinstance(old, (bool, int, float, str, Rng)):
        return True
    return same(from_library(into_library(old, library, dtype))[0], from_library(new)[0])


def as_function(f):
    """f itself if it is a `Function`, else a LocalFunction"""
    return f if isinstance(f, Function) else LocalFunction(f)


# ---- what a function is --------------------------------------------------------------------------


def _peek(value, name, default=None):
    """The attribute, or the default, whatever looking at it does"""
    try:
        return getattr(value, name, default)
    except Exception:
        return default


def _name_of(f):
    inline = _peek(f, "_torchdynamo_inline")
    name = _peek(f if inline is None else inline, "__name__")
    return name if isinstance(name, str) else type(f).__name__


# Where wrappers keep the function that they wrap; the second is torch.jit.script's.
WRAPPED = ("__wrapped__", "_torchdynamo_inline", "__func__", "func", "pyfunc", "fun", "forward",
           "call")  # fmt: skip


def _unwrapped(f):
    """The plain function inside of partial, jit, vmap, vectorize, a bound method, a module"""
    for _ in range(20):
        if isinstance(f, types.FunctionType) and not hasattr(f, "__wrapped__"):
            return f
        for name in WRAPPED:
            inner = _peek(f, name)
            if inner is not None and inner is not f and callable(inner):
                f = inner
                break
        else:
            call = _peek(type(f), "__call__")
            if not isinstance(call, types.FunctionType):
                return f
            f = call
    return f


def _code_of(f):
    code = _peek(_unwrapped(f), "__code__")
    return code if isinstance(code, types.CodeType) else None


def _parameters(f):
    """A tuple of Parameter, or None where the signature cannot be seen"""
    schema = _peek(f, "schema")  # torch.jit.script
    if schema is not None and _peek(schema, "arguments") is not None:
        try:
            return tuple(
                Parameter(str(a.name), not a.has_default_value(), _plain(a.default_value))
                for a in schema.arguments
            )
        except Exception:
            return None
    target = _peek(f, "forward") if _module_of(f) is f else _peek(f, "pyfunc")
    try:
        found = list(inspect.signature(target if callable(target) else f).parameters.values())
    except Exception:
        return None
    return tuple(
        Parameter(
            str(p.name),
            p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD),
            None if p.default is p.empty else _plain(p.default),
            p.kind is p.KEYWORD_ONLY,
            {p.VAR_POSITIONAL: "*", p.VAR_KEYWORD: "**"}.get(p.kind, ""),
        )
        for p in found
    )


def _plain(value):
    if value is None or type(value) in (bool, int, float):
        return from_library(value)[0]
    if type(value) is str:
        return escape(value, 80)
    return Described(type(value).__name__, f"a {type(value).__name__}")


def _module_of(f):
    """The torch.nn.Module that f is, or is a method of; None if there is none"""
    torch = sys.modules.get("torch")
    module = _peek(_peek(torch, "nn"), "Module") if torch else None
    if not isinstance(module, type):
        return None
    for candidate in (f, _peek(f, "__self__")):
        if isinstance(candidate, module):
            return candidate
    return None


def names_in(code):
    """The global names in a function, and in those that are defined in it"""
    inner = [names_in(const) for const in code.co_consts if inspect.iscode(const)]
    return set(code.co_names).union(*inner)


def _libraries(f):
    """The libraries that the code of f uses, then those that its file has, then "numpy" """
    found = []
    if _module_of(f) is not None or type(f).__module__.startswith("torch"):
        found.append("torch")
    if type(f).__module__.startswith("jax"):
        found.append("jax")
    plain = _unwrapped(f)
    space = _peek(plain, "__globals__")
    space = space if isinstance(space, dict) else {}
    everywhere = [_home(value) for value in space.values()]
    found += _used(plain, space, set())
    found += [name for name in ("torch", "jax", "numpy", "math") if name in everywhere]
    found = ["python" if name == "math" else name for name in found]
    if not set(found) & set(LIBRARIES) and _calls_tensor_methods(plain, space):
        found = ["torch", "numpy"]
    return tuple(dict.fromkeys([n for n in found if n in LIBRARIES] or ["numpy"]))


def _calls_tensor_methods(f, space):
    """Whether f, which uses no module at all, needs what tensors have and arrays have not"""
    code = _peek(f, "__code__")
    names = set(_ordered_names(code)) if isinstance(code, types.CodeType) else set()
    if any(isinstance(space.get(name), types.ModuleType) for name in names):
        return False  # mpmath.exp
    return bool(names & TENSOR_METHODS) and importlib.util.find_spec("torch") is not None


def _used(f, space, seen):
    """The libraries whose names stand in the code of f, or of what it calls, in this order"""
    code = _peek(f, "__code__")
    if not isinstance(code, types.CodeType) or code in seen or len(seen) > 200:
        return []
    seen.add(code)
    closure = dict(zip(code.co_freevars, _peek(f, "__closure__") or (), strict=False))
    found, helpers = [], []
    for name in _ordered_names(code):
        value = _peek(closure[name], "cell_contents") if name in closure else space.get(name)
        if value is None:
            continue
        found.append(_home(value))
        if isinstance(value, types.FunctionType) and value.__globals__ is space:
            helpers.append(value)
    for helper in helpers:
        found += _used(helper, space, seen)
    order = {"torch": 0, "jax": 0, "numpy": 1, "math": 2}
    return sorted((n for n in found if n in order), key=order.get)


# Methods of PyTorch's tensors that NumPy's arrays and plain numbers do not have.
TENSOR_METHODS = frozenset({
    "exp", "log", "log1p", "expm1", "pow", "sqrt", "square", "abs", "div", "mul", "add", "sub",
    "neg", "sigmoid", "logdet", "slogdet", "det", "inverse", "cholesky", "mm", "bmm", "matmul",
    "unsqueeze", "expand_as", "detach", "cpu",
})  # fmt: skip


def _ordered_names(code):
    names = [*code.co_names, *code.co_freevars]
    for const in code.co_consts:
        if inspect.iscode(const):
            names += _ordered_names(const)
    return names


def _home(value):
    """ "torch", "jax", "numpy", "math" or "": the library that a global of the file is of"""
    name = _peek(value, "__name__") if isinstance(value, types.ModuleType) else None
    if name is None:
        name = _peek(value, "__module__")
    if not isinstance(name, str):
        return ""
    top = name.partition(".")[0]
    return {"jaxlib": "jax", "scipy": "numpy"}.get(top, top if top in (
        "torch", "jax", "numpy", "math") else "")  # fmt: skip


# ---- errors --------------------------------------------------------------------------------------


def describe(error, path=None):
    """ "ValueError: what it says (mine.py, line 7)": the last line that is in the user's file

    path    that file; otherwise the file of the first function that was called from here.
    Nothing that the exception itself does (a __str__ that raises, control characters) gets out.
    """
    if isinstance(error, CallFailed):
        return error.described
    try:
        message = str(error).strip().split("\n")[0]
    except BaseException as broken:
        message = f"(its text cannot be read: __str__ raises {escape(type(broken).__name__, 40)})"
    message = escape(message)
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__, limit=-200)
        if os.path.dirname(frame.filename) != HERE
    ]
    path = path or (frames[0].filename if frames else None)
    frames = [frame for frame in frames if is_in(frame.filename, path)]
    where = ""
    if frames:
        home = os.path.basename(frames[-1].filename)
        where = f" ({escape(home, 80)}, line {frames[-1].lineno})"
    return f"{escape(type(error).__name__, 80)}{': ' if message else ''}{message}{where}"


def is_in(filename, path):
    """Is this file, or this cell of a notebook, the user's file?"""
    return path is not None and (filename == path or filename.startswith(f"{path}, cell "))


def line_of(error, path):
    """The last line of the user's file in the traceback; 0 if there is none"""
    walked = traceback.walk_tb(error.__traceback__)
    found = [line for frame, line in walked if is_in(frame.f_code.co_filename, path)]
    return found[-1] if found else 0


def _innermost(error, path):
    """The function of the user's file that was at work when the error was raised"""
    walked = traceback.walk_tb(error.__traceback__)
    found = [f.f_code.co_name for f, _ in walked if is_in(f.f_code.co_filename, path)]
    return escape(found[-1], 80) if found else ""


# ---- random states -------------------------------------------------------------------------------


def set_seed(seed):
    """Set the global random states of `random`, NumPy and, if it is loaded, PyTorch"""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002  the global state is what is meant
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(seed)


def _random_states():
    """{library: its global random state, as something that is compared quickly}"""
    kind, keys, *rest = np.random.get_state()  # noqa: NPY002
    states = {"python": random.getstate(), "numpy": (kind, keys.tobytes(), *rest)}
    if "torch" in sys.modules:
        states["torch"] = sys.modules["torch"].get_rng_state().numpy().tobytes()
    return states


def _drew(before):
    after = _random_states()
    return tuple(name for name, state in before.items() if state != after[name])


# ---- gradients -----------------------------------------------------------------------------------

NO_GRADIENT = {
    "numpy": "NumPy functions have no gradient of their own",
    "python": "functions of plain numbers have no gradient of their own",
    "torch": "",
    "jax": "",
}


def _chosen(answer, path):
    """The part of the answer that is differentiated"""
    for step in () if path is True else path:
        try:
            answer = answer[step]
        except (TypeError, KeyError, IndexError):
            answer = getattr(answer, step)
    while isinstance(answer, (tuple, list, dict)) and answer:
        answer = next(iter(answer.values())) if isinstance(answer, dict) else answer[0]
    return answer


def _torch_gradients(f, given, named, path):
    """(answer, gradients by each argument, or why there are none)"""
    import torch

    found = []

    def follow(tree):
        if isinstance(tree, torch.Tensor) and tree.is_floating_point():
            leaf = tree.requires_grad_(True)
            found.append(leaf)
            return leaf * 1.0  # in-place changes are then allowed, as they are in a network
        if isinstance(tree, torch.distributions.Independent):
            return torch.distributions.Independent(
                follow(tree.base_dist), tree.reinterpreted_batch_ndims
            )
        if isinstance(tree, torch.distributions.Distribution):
            value = from_library(tree)[0]
            tensors = {n: torch.tensor(v) for n, v in value.parameters.items()}
            return getattr(torch.distributions, value.name)(
                **{n: follow(tensor) for n, tensor in tensors.items()}
            )
        if isinstance(tree, (list, tuple)):
            return type(tree)(follow(part) for part in tree)
        if isinstance(tree, dict):
            return {name: follow(part) for name, part in tree.items()}
        return tree

    counts, inputs = [], []
    for argument in given:
        start = len(found)
        inputs.append(follow(argument))
        counts.append((start, len(found)))
    leaves_given = list(found)
    answer = f(*inputs, **named)
    target = _chosen(answer, path)
    if not isinstance(target, torch.Tensor):
        return answer, f"the answer is a {type(target).__name__}, not a tensor"
    if not target.requires_grad:
        return answer, "the answer is detached from all arguments: it has no gradient"
    gradients = torch.autograd.grad(target.sum(), leaves_given, allow_unused=True)
    plain = [None if g is None else g.detach().cpu().numpy() for g in gradients]
    return answer, [_gathered(plain[start:end]) for start, end in counts]


def _gathered(parts):
    """The gradient by one argument: an array, or a list where the argument has several"""
    if not parts:
        return None
    return parts[0] if len(parts) == 1 else parts


def _jax_gradients(f, given, named, path):
    """(answer, gradients by each argument, or why there are none)"""
    import jax
    import jax.numpy as jnp

    flat, structure = jax.tree_util.tree_flatten(given)
    moving = [
        i
        for i, leaf in enumerate(flat)
        if hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jnp.floating)
    ]

    def total(moved):
        filled = list(flat)
        for i, leaf in zip(moving, moved, strict=True):
            filled[i] = leaf
        answer = f(*jax.tree_util.tree_unflatten(structure, filled), **named)
        return jnp.sum(jnp.asarray(_chosen(answer, path)))

    answer = f(*given, **named)
    try:
        gradients = jax.grad(total)([flat[i] for i in moving])
    except Exception as error:
        return answer, f"JAX cannot differentiate it: {describe(error)}"
    by_leaf = dict(zip(moving, map(np.asarray, gradients), strict=True))
    found, at = [], 0
    for argument in given:
        count = len(jax.tree_util.tree_leaves(argument))
        found.append(_gathered([by_leaf[i] for i in range(at, at + count) if i in by_leaf]))
        at += count
    return answer, found


_GRADIENTS = {"torch": _torch_gradients, "jax": _jax_gradients}


# ---- what a file holds ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Entry:
    """One name that a file defines.

    kind      "function", "class", "object" (callable, or with methods), or "value"; "hidden
              function" if an underscore stands in front of its name
    methods   of a class or an object: the dotted names of its public methods, and of hidden
              ones that are called like kl
    bases     names of a class and its bases: ("VAE", "Module", "object")
    """

    name: str
    kind: str
    line: int = 0
    type_name: str = ""
    bases: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()


class LocalFile:
    """The names of a module of this process (or of a notebook's namespace), and its functions.

    `sandbox.RemoteFile` has the same interface.
    """

    def __init__(self, module, path=None, catch=(Exception, SystemExit, GeneratorExit)):
        self.space = module if isinstance(module, dict) else vars(module)
        self.own = self.space.get("__name__")
        self.path = path or self.space.get("__file__")
        self.catch = catch
        self.instances = {}

    def entries(self):
        """A tuple with an `Entry` for each public name that the file defines, in its order

        Functions with an underscore in front are among them, as hidden ones.
        """
        found = []
        for name, value in list(self.space.items()):
            if not isinstance(name, str) or name.startswith("__"):
                continue
            entry = self._entry(name, value)
            if entry and name.startswith("_"):
                entry = replace(entry, kind=f"hidden {entry.kind}", methods=())
                entry = entry if entry.kind == "hidden function" else None
            if entry:
                found.append(entry)
        return tuple(found)

    def _entry(self, name, value):
        if isinstance(value, types.ModuleType):
            return None
        home = _peek(value, "__module__")
        own = home in (self.own, None) or not isinstance(home, str)
        if isinstance(value, type):
            if not own:
                return None
            bases = tuple(escape(base.__name__, 80) for base in value.__mro__)
            methods = tuple(f"{name}.{m}" for m in _methods(value))
            line = _class_line(value, methods, name)
            return Entry(name, "class", line, "type", bases, methods)
        if isinstance(value, (types.FunctionType, types.MethodType)) or _is_wrapped(value):
            if not own and not self._made_here(value):
                return None
            code = _code_of(value)
            return Entry(name, "function", code.co_firstlineno if code else 0, "function")
        kind = type(value)
        if kind.__module__ == self.own or _module_of(value) is value or callable(value):
            if callable(value) and not own and not self._made_here(value):
                return None
            bases = tuple(escape(base.__name__, 80) for base in kind.__mro__)
            methods = tuple(f"{name}.{m}" for m in _methods(kind))
            return Entry(name, "object", 0, escape(kind.__name__, 80), bases, methods)
        return Entry(name, "value", 0, escape(kind.__name__, 80))

    def _made_here(self, value):
        """Is it, or what it wraps, defined in this file?"""
        plain = _unwrapped(value)
        space = _peek(plain, "__globals__")
        return space is self.space or type(value).__module__ == self.own

    def functions(self):
        """The names of the functions, and of callable objects, that the file itself defines"""
        return [
            entry.name
            for entry in self.entries()
            if entry.kind == "function"
            or (entry.kind == "object" and callable(self.space[entry.name]))
        ]

    def has(self, name):
        """Is there something callable of this (dotted) name?"""
        try:
            return callable(self._find(name))
        except CannotRun:
            return False

    def value(self, name):
        """The tree of a global of that name; None if there is none"""
        return from_library(self.space.get(name))[0]

    def function(self, name):
        """The function of that (dotted) name, as a `Function`

        A class on the way, or at the end, is instantiated once, if it needs no arguments.
        """
        found = self._find(name)
        if isinstance(found, type):
            found = self._instance(name, found)
        if not callable(found):
            raise CannotRun(
                f"{escape(name, 80)} in {self._shown()} is a {type(found).__name__}, not a function"
            )
        return LocalFunction(found, name, self.path, self.catch)

    def _shown(self):
        return escape(os.path.basename(self.path), 80) if self.path else "the notebook"

    def _find(self, name):
        first, *rest = name.split(".")
        if first not in self.space:
            raise CannotRun(f"{self._shown()} has no {escape(name, 80)}")
        value, at = self.space[first], first
        for part in rest:
            if isinstance(value, type) and not isinstance(
                inspect.getattr_static(value, part, None), (staticmethod, classmethod)
            ):
                value = self._instance(at, value)
            missing = object()
            value = _peek(value, part, missing)
            at = f"{at}.{part}"
            if value is missing:
                raise CannotRun(f"{self._shown()} has no {escape(at, 80)}")
        return value

    def _instance(self, name, kind):
        if name not in self.instances:
            try:
                self.instances[name] = _made(kind, self.catch)
            except self.catch as error:
                raise CannotRun(
                    f"{escape(name, 80)} in {self._shown()} cannot be made without arguments: "
                    f"{describe(error, self.path)}"
                ) from None
        return self.instances[name]


SIZES = (  # of a model that is made to be looked at, by the names of its parameters
    (r"latent|z_?dim|^z$|^nz$|code|bottleneck", (3,)),
    (r"dims|layers|units_list|channels_list|hidden_sizes", ((16,), [16, 8], [32, 64, 128, 256])),
    (r"hidden|^h$|h_?dim|units|width|^n_?h", (16, [16])),
    (r"channel", (1, 3)),
    (
        r"input|^in_|^x_?dim|data|image|img|^n_?in|obs|features|pixels|^d$|original",
        (64, 784, (64,)),
    ),
    (r"device", ("cpu",)),
    (r"beta|weight|lr|rate|alpha|gamma", (1.0,)),
)


def _made(kind, catch):
    """kind(), or kind of small sizes where it asks for sizes"""
    try:
        required = [
            p.name
            for p in inspect.signature(kind).parameters.values()
            if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        ]
    except (TypeError, ValueError):
        required = []
    if not required:
        return kind()
    ways = [
        next((sizes for pattern, sizes in SIZES if re.search(pattern, name.lower())), (8,))
        for name in required
    ]
    last = None
    for values in itertools.islice(itertools.product(*ways), 40):
        try:
            return kind(*values)
        except catch as error:
            last = error
    raise last


def _is_wrapped(value):
    """Is it a function in the dress of jit, vmap, lru_cache, partial, vectorize?"""
    if isinstance(value, type) or not callable(value):
        return False
    home = type(value).__module__
    return home.partition(".")[0] in ("functools", "jax", "jaxlib", "numpy") or home.startswith(
        ("torch.jit", "torch._C")
    ) or type(value).__name__ == "ScriptFunction"  # fmt: skip


def _methods(kind):
    """The public methods that a class of the user's has, without those of libraries, and _kl"""
    found = []
    for base in kind.__mro__:
        top = base.__module__.partition(".")[0] if isinstance(base.__module__, str) else ""
        if base is object or top in ("torch", "jax", "keras", "tensorflow", "numpy", "builtins"):
            continue
        for name, value in vars(base).items():
            if isinstance(value, (staticmethod, classmethod)):
                value = value.__func__
            if isinstance(value, types.FunctionType) and (
                not name.startswith("_")
                or name == "__call__"
                or ("kl" in name.lower() and not name.startswith("__"))
            ):
                found.append(name)
    return list(dict.fromkeys(found))


def _class_line(value, methods, name):
    lines = [
        code.co_firstlineno
        for method in methods
        if (code := _code_of(_peek(value, method.removeprefix(f"{name}."))))
    ]
    return min(lines, default=0)
