"""How to call a loss: which argument is what, in which shape, one example or a batch, in a bundle.

    for subject in subjects(function):
        subject(draw(rng, subject.sizes))     (B,) or (1,): the loss of these values

Names rank the ways; the first that can be called is tried first.
"""

import math
import re

import numpy as np

from tinyvae.classroom.checker import terms as t
from tinyvae.classroom.checker.function import CannotRun
from tinyvae.classroom.checker.roles import role_of, roles
from tinyvae.classroom.checker.values import Described, Distribution

SIZES = (5, 7, 3)  # examples, pixels, latent dimensions: primes, so that factors tell them apart
NEUTRAL = {"weight": 1.0, "capacity": 0.0, "floor": 0.0, "step": 10_000, "batch index": 0}
SHAPES = (
    ((0,), (0,)),
    ((784,), (784,)),
    ((784,), (1, 28, 28)),
    ((1, 28, 28), (1, 28, 28)),
    ((1, 4, 4), (1, 4, 4)),
    ((3, 4, 4), (3, 4, 4)),
    ((28, 28), (28, 28)),
    ((28, 28, 1), (28, 28, 1)),
    ((3, 32, 32), (3, 32, 32)),
    ((3, 64, 64), (3, 64, 64)),
)
LATENTS = (2, 10, 20, 16, 32, 64, 128)


# ---- calling it ----------------------------------------------------------------------------------


class Subject:
    """A loss that is called with `Values`: which argument is what, and in which shape."""

    def __init__(self, function, assigned, shapes, sizes, keywords=()):
        self.f, self.assigned, self.shapes, self.sizes = function, assigned, shapes, sizes
        self.keywords = dict(keywords)  # plain numbers handed over by name
        self.plain = {}  # (role, number) -> value, where it is not the neutral one
        self.path, self.scale = None, None  # which part of the answer; how s is read, for z
        self.per_example = None

    def has(self, role):
        """Is there an argument of this role, alone or in a bundle?"""
        if self.bundle == ("q",) and role in ("mu", "s"):
            return True
        return role in self.assigned or role in [
            entry[1] if isinstance(entry, tuple) else entry for entry in self.bundle
        ]

    def name(self, role):
        """What the argument of this role is called"""
        if role in self.assigned:
            return self.assigned[role]
        keys = {entry[1]: entry[0] for entry in self.bundle if isinstance(entry, tuple)}
        return keys.get(role, {"r": "recon_x", "s": "logvar"}.get(role, role))

    @property
    def weights(self):
        """The arguments that weigh something: {key: name}"""
        return {k: n for k, n in self.assigned.items() if isinstance(k, tuple) and k[0] == "weight"}

    def arguments(self, values):
        """(positional arguments, keyword arguments) for these values"""
        given = {}
        for role, name in self.assigned.items():
            if role == "bundle":
                given[name] = self._bundle(values)
            elif isinstance(role, tuple):
                given[name] = self._plain(role, name, values)
            else:
                given[name] = self._array(role, values)
        required = [p.name for p in self._parameters() if p.name in given]
        by_position = [name for name in required if not self._by_keyword(name)]
        rest = {name: value for name, value in given.items() if name not in by_position}
        positional = [given[name] for name in by_position]
        if self.packed:
            positional, rest = (
                [given[n] for n in given if n not in self.packed_keywords],
                {n: given[n] for n in self.packed_keywords if n in given},
            )
        return positional, rest | self.keywords

    packed = False
    packed_keywords = ()
    bundle = ()  # roles, or (key, role), that come together in one argument
    a, b, powers = 1.0, 1.0, {"B": (0, 0), "D": (0, 0), "Z": (0, 0)}
    fixed = grey = of_dataset = single_precision = False
    floor = False  # free bits have been found
    single = False  # one example at a time
    t_is_scalar = False

    def _parameters(self):
        return self.f.parameters or ()

    def _by_keyword(self, name):
        return any(
            p.name == name and (p.keyword_only or not p.required) for p in self._parameters()
        )

    def _bundle(self, values):
        if self.bundle == ("q",):
            std = np.sqrt(t.variance_of(values.s, "std"))
            return Distribution("Normal", {"loc": values.mu, "scale": std})
        if not self.bundle:
            return {}
        if isinstance(self.bundle[0], tuple):
            return {key: self._array(role, values) for key, role in self.bundle}
        return tuple(self._array(role, values) for role in self.bundle)

    def _array(self, role, values):
        array = self._batch(role, values)
        return array[0] if self.single and np.ndim(array) else array

    def _batch(self, role, values):
        if role == "z":
            return t.draw_z(values, self.scale or "logvar")
        array = getattr(values, role)
        if role in ("x", "r") and array is not None:
            shape = self.shapes[role == "x"]
            return array.reshape(len(array), *(shape if shape != (0,) else array.shape[1:]))
        if role == "t" and np.ndim(array):
            shape = self.shapes[0]
            return array.reshape(len(array), *(shape if shape != (0,) else array.shape[1:]))
        return array

    def _plain(self, role, name, values):
        kind = role[0]
        if role in self.plain:
            return self.plain[role]
        if kind == "count":
            return self._count(name, values)
        return NEUTRAL[kind]

    def _count(self, name, values):
        first = next(a for a in (values.x, values.mu, values.recon, values.kl) if a is not None)
        low = name.lower()
        if re.search(r"latent|^z_", low) and values.mu is not None:
            return values.mu.shape[-1]
        if re.search(r"input|original|^x_|image|pixel|data_?dim", low) or name == "D":
            return values.x.shape[-1] if values.x is not None else 1
        if re.search(r"batch|^bs$", low) or name in ("B", "M"):
            return len(first)
        return 50

    def tree(self, values):
        """The answer's tree; CannotRun with the function's own error"""
        positional, keywords = self.arguments(values)
        outcome = self.f.call(positional, keywords=keywords, seed=0)
        if outcome.error:
            raise Failed(outcome.error)
        return outcome

    def leaf(self, values):
        """The total, of whatever shape"""
        return np.asarray(part(self.tree(values).value, self.path), float)

    def __call__(self, values):
        """(B,) one number an example, or (1,) one for the batch"""
        answer = self.leaf(values)
        return answer.reshape(-1) if self.per_example else answer.reshape(1)


class Failed(Exception):
    """A call raised, or answered with something that is no number."""


def part(tree, path):
    """The leaf at a path of keys and positions"""
    for step in path or ():
        tree = tree[step]
    return tree


def paths(tree, at=()):
    """The path of each numeric leaf"""
    if isinstance(tree, dict):
        return [p for key, inside in tree.items() for p in paths(inside, (*at, key))]
    if isinstance(tree, (tuple, list)):
        return [p for i, inside in enumerate(tree) for p in paths(inside, (*at, i))]
    if tree is None or isinstance(tree, (Described, str, bool)):
        return []
    array = np.asarray(tree)
    return [at] if array.dtype.kind in "fiu" else []


def draw(rng, sizes, *, grey=False, wide=False):
    """Values of every kind: x of 0 and 1, or grey; r between 0 and 1, or logits if wide"""
    B, D, Z = sizes
    x = rng.uniform(0.05, 0.95, (B, D)) if grey else rng.integers(0, 2, (B, D)).astype(float)
    r = 3 * rng.standard_normal((B, D)) if wide else rng.uniform(0.05, 0.95, (B, D))
    return t.Values(
        x=x,
        r=r,
        mu=rng.standard_normal((B, Z)),
        s=rng.uniform(0.3, 1.7, (B, Z)),
        eps=rng.standard_normal((B, Z)),
        t=rng.uniform(0.3, 1.7, (B, D)),
        recon=rng.uniform(1, 9, B),
        kl=rng.uniform(1, 9, B),
        mu_p=0.0,
    )


PICTURES = ("x", "r", "t", "recon")
LATENT = ("mu", "s", "eps", "kl")


def moved(base, other, names):
    """The values with those of these names taken from the other"""
    return base.with_(**{name: getattr(other, name) for name in names})


# ---- finding out what is what --------------------------------------------------------------------


def subjects(function):
    """Subjects that can be called, likely ones first.  CannotRun if there is none."""
    error, found = "", False
    for assigned, bundle, packed in assignments(function):
        odd = None  # it can be called, but answers with something that is no loss
        for shapes, sizes, single, scalar in _shapes_and_sizes("t" in assigned):
            subject = Subject(function, assigned, shapes, sizes)
            subject.packed, subject.packed_keywords = packed
            subject.bundle, subject.single, subject.t_is_scalar = bundle, single, scalar
            try:
                outcome = subject.tree(prior(subject, draw(np.random.default_rng(1), sizes)))
            except Failed as reason:
                error = error or str(reason)
                continue
            if _is_loss(outcome.value, sizes[0]):
                found, odd = True, None
                yield subject
                break
            odd = odd or (subject if paths(outcome.value) else None)
        if odd:
            found = True
            yield odd
    if error and not found:
        raise CannotRun(f"{function.shown_name} cannot be called as a loss: {error}")


def _is_loss(tree, examples):
    """Is there a number in the answer, or one for each example?"""
    shapes = [np.shape(part(tree, path)) for path in paths(tree)]
    return any(
        math.prod(shape) == 1 or shape in ((examples,), (examples, 1), (examples, examples))
        for shape in shapes
    )


def prior(subject, values):
    """The values with a prior of their own, if it is an argument"""
    if subject.has("s_p") or subject.has("mu_p"):
        rng = np.random.default_rng(7)
        values = values.with_(mu_p=rng.standard_normal(values.mu.shape))
        if subject.has("s_p"):
            values = values.with_(s_p=rng.uniform(0.3, 1.7, values.mu.shape))
    if subject.has("t") and subject.t_is_scalar:
        values = values.with_(t=float(np.mean(values.t)))
    return values


def _shapes_and_sizes(has_t):
    """(shapes of r and x, sizes, one example at a time?, is t a number?)"""
    B, D, Z = SIZES
    for shapes in SHAPES:
        pixels = D if shapes[0] == (0,) else math.prod(shapes[0])
        for scalar in (False, True) if has_t else (False,):
            yield shapes, (B, pixels, Z), False, scalar
        if shapes[0] == (0,):
            yield shapes, (1, D, Z), True, has_t
    for latents in LATENTS:
        yield SHAPES[0], (B, D, latents), False, False


def assignments(function):
    """(roles, bundle, (packed, names by keyword)): ways in which it may be called"""
    parameters = function.parameters or ()
    variadic = {p.variadic for p in parameters if p.variadic}
    plain = [p for p in parameters if not p.variadic]
    required = [p.name for p in plain if p.required]
    optional = [p for p in plain if not p.required]
    weights = {}
    for p in optional:
        role = role_of(p.name)
        number = isinstance(p.default, (int, float)) and not isinstance(p.default, bool)
        if role in ("weight", "floor", "capacity") and number and abs(p.default) <= 1000:
            weights[(role, 20 + len(weights))] = p.name
    if not required and "*" in variadic:
        base = dict(zip(t_order(), t_order(), strict=True))
        yield base, (), (True, ())
        for name in ("M_N", "kld_weight", "beta"):
            yield base | {("weight", 0): name}, (), (True, (name,))
        return
    found = roles(required)
    optional_arrays = {}
    for p in optional:
        role = role_of(p.name)
        if role in ("z", "eps", "mu", "s", "r", "x") and p.default is None:
            optional_arrays[role] = p.name
    for candidate in found:
        if (
            (len(required) > 2 and not _is_q(candidate))
            or "s" not in candidate
            or "kl" in candidate
        ):
            yield candidate | weights, (), (False, ())
    for candidate in found:
        extra = {r: n for r, n in optional_arrays.items() if r not in candidate}
        if extra:
            yield candidate | weights | extra, (), (False, ())
    yield from _of_q(required, weights)
    yield from _bundles(function, required, weights)
    for candidate in found:
        yield candidate | weights, (), (False, ())


BUNDLES = (
    ("r", "mu", "s"),
    ("r", "x", "mu", "s"),
    ("mu", "s", "r"),
    ("r", "z", "mu", "s"),
    ("r", "mu", "s", "z"),
    ("z", "mu", "s", "r"),
)


Q = re.compile(r"^(q|q_?z(_?x)?|q_?zx|posterior|q_?dist|z_?dist|dist|latent_?dist|qz_given_x)$")
PARAMETERS = re.compile(r"param|mu_?(and_?)?(logvar|log_var|std|sigma)|^(latent|stats|moments)")


def _is_q(candidate):
    """Is an argument called as a distribution, or as the parameters of one?"""
    names = [name for role, name in candidate.items() if not isinstance(role, tuple)]
    return any(Q.search(name.lower()) or PARAMETERS.search(name.lower()) for name in names)


def _of_q(required, weights):
    """loss(x, x_hat, q), loss(x, x_hat, z_params): mu and the scale come in one argument"""
    for name in required:
        rest = [other for other in required if other != name]
        found = roles(rest) if rest else []
        if len(rest) < 2 or not found or not {"x", "r"} <= set(found[0]):
            continue
        if set(found[0]) & {"mu", "s", "t"}:
            continue
        for bundle in (("q",), ("mu", "s")):
            yield found[0] | {"bundle": name} | weights, bundle, (False, ())


def _bundles(function, required, weights):
    """loss(outputs, x), loss(x, outputs): what the model gave comes in one argument"""
    arrays = [name for name in required if role_of(name) in ("", "x", "r", "z", "mu")]
    plain = {
        (role_of(name), i): name for i, name in enumerate(required) if name not in arrays
    } | weights
    if len(arrays) not in (1, 2) or any(role not in NEUTRAL for role, _ in plain):
        return
    for x in sorted(arrays, key=lambda name: role_of(name) != "x"):
        rest = [name for name in arrays if name != x]
        for name in rest or [x]:
            assigned = {"bundle": name} | ({"x": x} if rest else {}) | plain
            keys = _keys(function, required, assigned)
            if keys:
                yield assigned, keys, (False, ())
            for bundle in BUNDLES:
                if rest or "x" in bundle:
                    yield assigned, bundle, (False, ())


def _keys(function, required, assigned):
    """The keys that it asks a dict for, with their roles; () if it asks for none"""
    values, keys = draw(np.random.default_rng(1), SIZES), ()
    for _ in range(8):
        subject = Subject(function, assigned, SHAPES[0], SIZES)
        subject.bundle = keys
        positional, keywords = subject.arguments(values)
        outcome = function.call(positional, keywords=keywords, seed=0)
        asked = re.match(r"KeyError: '([^']+)'", outcome.error)
        if not asked or role_of(asked[1]) not in ("r", "x", "mu", "s", "z", "recon", "kl"):
            return keys
        keys = (*keys, (asked[1], role_of(asked[1])))
    return keys


def t_order():
    """The order of the arguments that most losses have"""
    return ("r", "x", "mu", "s")
