"""What is true of the functions that the exercises ask for.

A law is a generator: it calls the function and yields rows (of what, what it gave, what is true).

    @ring.law("|x| = 1 + |z| / 10", z=nonzero("N 2"))
    def _(f, z):
        yield "|x|", length(f(z)), 1 + length(z) / 10

The truths come from tinyvae.oracles, finite differences, moments, or arithmetic one number at a
time; none from the functions that tinyvae itself is made of.  The keywords say what is given: an
array of that shape, where a letter is a size, drawn from simple numbers.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise, product

import numpy as np
from hypothesis import strategies as st

from tinyvae.classroom.checker.engine import Broken, Law, Unwritten
from tinyvae.classroom.checker.function import CannotRun
from tinyvae.classroom.checker.kl_laws import NUMBERS, vectors
from tinyvae.oracles import (
    LinearGaussian,
    complex_step,
    expectation,
    gaussian_kl,
    log_density,
    log_mean_exp,
    points,
    reverse_water_filling,
    standard_normal_grid,
    vector_jacobian,
)


@dataclass(frozen=True)
class Given:
    """An argument: its shape, as in "B Z" or "N 2" ("": a number), the entries to draw from, and
    what is done with them then.
    """

    shape: str
    entries: tuple = NUMBERS
    then: Callable = np.asarray

    def draw(self, draw, sizes):
        shape = [sizes.get(size) or int(size) for size in self.shape.split()]
        drawn = draw(strategy(math.prod(shape), self.entries))
        return self.then(drawn.reshape(shape)) if shape else float(drawn[0])


strategy = cache(vectors)  # Hypothesis looks into each strategy once, and that takes its time


class Shape(Exception):
    """A result has another shape than it should."""


def shaped(name, array, shape):
    """Raise Shape if the array has another shape"""
    if array.shape != shape:
        raise Shape(f"{name} has shape {array.shape}, where {shape} is meant")


@dataclass(frozen=True, eq=False)
class RowLaw(Law):
    """A law by a generator of rows: rows(f, **case) yields (of what, yours, true)."""

    rows: Callable


def law_of_rows(formula, rows, givens):
    """The RowLaw that holds `rows` against a function, which is an `exercises.Asked`"""

    def check(f, case):
        f.calls.clear()
        try:
            found = [(of, np.asarray(y), np.asarray(t)) for of, y, t in rows(f, **case)]
        except Unwritten:
            return
        except CannotRun:
            raise
        except (Broken, Shape) as error:
            raise Broken(str(error), given=f.given(case)) from None
        except Exception as error:  # results have shapes that the law cannot work with
            raise Broken(f"its result does not fit: {error}", given=f.given(case)) from None
        for of, yours, true in found:
            if yours.shape != true.shape:
                message = f"{of} has shape {yours.shape}, where {true.shape} is meant"
                raise Broken(message, [(of, yours, true)], f.given(case))
        differ = [row for row in found if not np.allclose(*row[1:], rtol=1e-7, atol=1e-6)]
        if differ:
            raise Broken("", differ, f.given(case))

    return RowLaw(formula, formula, check, lambda largest: cases(givens, largest), rows)


def cases(givens, largest):
    """A strategy for what is given, by name, in up to so many dimensions"""
    shapes = " ".join(given.shape for given in givens.values())
    letters = sorted(size for size in set(shapes.split()) if size.isalpha())

    @st.composite
    def case(draw):
        sizes = {letter: draw(st.integers(1, largest)) for letter in letters}
        return {name: given.draw(draw, sizes) for name, given in givens.items()}

    return case()


@dataclass(frozen=True)
class Hole:
    """A function that an exercise asks for.

    gives            the names of its results
    museum_target    "module:name" of the function of tinyvae that the museum has mistakes of
    known_mistakes   mistakes of the museum as this function would make them, by name
    kl               the KL that it is: "full", "diagonal", "standard-normal", or "moments" for
                     (mean, cov) against N(0, I); the laws of the KL then hold as well
    """

    name: str
    gives: tuple[str, ...]
    museum_target: str = ""
    known_mistakes: Mapping[str, Callable] = field(default_factory=dict)
    kl: str = ""
    laws: list[Law] = field(default_factory=list)

    def law(self, formula, **givens):
        def enter(check):
            given = {n: g if isinstance(g, Given) else Given(g) for n, g in givens.items()}
            self.laws.append(law_of_rows(formula, check, given))
            return check

        return enter


TITLES = {
    1: "the generative model",
    2: "the intractable integral",
    3: "the evidence lower bound",
    4: "the KL divergence of two Gaussians",
    5: "sampling that can be differentiated",
    6: "the backward pass",
    7: "training a VAE",
    8: "what an autoencoder lacks",
    9: "importance weights",
    10: "the linear VAE",
    11: "the right likelihood",
    12: "where the nats go",
    13: "a discrete z",
    14: "a sandwich for log p(x)",
    15: "find the bug",
}
HOLES: dict[int, list[Hole]] = {number: [] for number in TITLES}


def hole(exercise, name, gives, **more):
    """A new hole of that exercise; `gives` has the names of its results."""
    made = Hole(name, tuple(gives.split()), **more)
    HOLES[exercise].append(made)
    return made


# ---- what is given -------------------------------------------------------------------------------

NONZERO = tuple(number for number in NUMBERS if number)
POSITIVE = (1.0, 2.0, 3.0, 0.5, 0.25)
PROBABILITIES = (0.5, 0.25, 0.75, 0.1, 0.9)
HUGE = (1000.0, -1000.0, 40.0, -40.0)


def bits(shape):
    return Given(shape, (0.0, 1.0))


def nonzero(shape):
    return Given(shape, NONZERO)


def positive(shape):
    return Given(shape, POSITIVE)


def probabilities(shape):
    return Given(shape, PROBABILITIES)


def shares(shape):
    """Probabilities that add up to 1"""
    return Given(shape, POSITIVE, then=lambda weights: weights / weights.sum())


# ---- truths that several exercises need ----------------------------------------------------------


def length(vectors):
    return np.sqrt((vectors**2).sum(axis=-1))


def density_rows(x, mu, logvar):
    """log N(x; mu, diag exp(logvar)), row by row"""
    rows = zip(*np.broadcast_arrays(x, mu, logvar), strict=True)
    return np.array([log_density(x, mu, np.diag(np.exp(logvar))) for x, mu, logvar in rows])


def kl_rows(mu, logvar):
    """KL( N(mu, diag exp(logvar)) || N(0, I) ), row by row, from the cubature"""
    origin, unit = np.zeros(mu.shape[1]), np.eye(mu.shape[1])
    rows = zip(mu, logvar, strict=True)
    return np.array([gaussian_kl(m, np.diag(np.exp(lv)), origin, unit) for m, lv in rows])


def nll_rows(logits, x):
    """-log p(x|z): log(1 + exp(-a)) for a white pixel, log(1 + exp(a)) for a black one"""
    return np.where(x == 1, np.logaddexp(0, -logits), np.logaddexp(0, logits)).sum(axis=-1)


def draw_z(mu, logvar, eps):
    return mu + np.sqrt(np.exp(logvar)) * eps


def gaussian_nodes(k):
    """Nodes eps (S, k) and weights (S,): sums over them are expectations under N(0, I)"""
    nodes, log_weights = standard_normal_grid(5, dim=k)
    return nodes, np.exp(log_weights)


# ---- 1: the generative model ---------------------------------------------------------------------

topics = {"p_z": shares("K"), "p_x": probabilities("K D")}


def p_of_news(x, p_z, p_x):
    """Topic by topic, word by word"""
    return math.fsum(
        p_z[k] * math.prod(p_x[k, d] if x[d] else 1 - p_x[k, d] for d in range(len(x)))
        for k in range(len(p_z))
    )


probability = hole(1, "probability", "P")


@probability.law("P(x) = sum_z p(z) prod_d p(x_d | z)", x=bits("D"), **topics)
def _(f, x, p_z, p_x):
    yield "P", f(x, p_z, p_x), p_of_news(x, p_z, p_x)


@probability.law("the P(x) of all x add up to 1", **topics)
def _(f, p_z, p_x):
    every = product([0.0, 1.0], repeat=p_x.shape[1])
    yield "sum of P", sum(f(np.array(x), p_z, p_x) for x in every), 1.0


log_likelihood = hole(1, "log_likelihood", "total")


@log_likelihood.law("sum_n log P(x_n), over the training set", X=bits("N D"), **topics)
def _(f, X, p_z, p_x):
    yield "total", f(X, p_z, p_x), sum(math.log(p_of_news(x, p_z, p_x)) for x in X)


ring = hole(1, "ring", "x")


@ring.law("|x| = 1 + |z| / 10", z=nonzero("N 2"))
def _(f, z):
    x = f(z)
    shaped("x", x, z.shape)
    yield "|x|", length(x), 1 + length(z) / 10


@ring.law("x / |x| = z / |z|", z=nonzero("N 2"))
def _(f, z):
    x = f(z)
    yield "x / |x|", x / length(x)[:, None], z / length(z)[:, None]


# ---- 2: the intractable integral -----------------------------------------------------------------

mean_exp = hole(
    2,
    "log_mean_exp",
    "result",
    known_mistakes={
        "mean-of-logs": np.mean,
        "samples-not-averaged": lambda a: log_mean_exp(a) + math.log(len(a)),
        "largest-weight-lost": lambda a: log_mean_exp(a) - a.max(),
    },
)


@mean_exp.law("log mean exp of a = the logarithm of the mean of e^a", a="S")
def _(f, a):
    yield "result", f(a), log_mean_exp(a)


@mean_exp.law("adding c to every entry adds c to the result", a="S", c=Given("", HUGE))
def _(f, a, c):
    yield "result", f(a + c), log_mean_exp(a) + c


density = hole(2, "log_density", "log_p", museum_target="tinyvae.gaussian:log_density_diagonal")


@density.law("log N(z; mu, diag exp(logvar)), row by row", z="S Z", mu="Z", logvar="Z")
def _(f, z, mu, logvar):
    yield "log_p", f(z, mu, logvar), density_rows(z, mu, logvar)


@density.law("the integral of exp(log_p) is 1", mu="", logvar="")
def _(f, mu, logvar):
    std = math.exp(logvar / 2)
    z = mu + std * np.linspace(-10, 10, 401)[:, None]  # so many that the sum is exact
    log_p = f(z, np.array([mu]), np.array([logvar]))
    shaped("log_p", log_p, (len(z),))
    yield "integral", np.exp(log_p).sum() * std / 20, 1.0


def kl_in_weights(log_px_given_z, z, mu, logvar):
    return log_mean_exp(log_px_given_z) - kl_rows(mu[None], logvar[None])[0]


def mean_of_log_weights(log_px_given_z, z, mu, logvar):
    return np.mean(log_weights(log_px_given_z, z, mu, logvar))


log_px = hole(
    2,
    "log_px",
    "result",
    known_mistakes={
        "closed-form-kl-in-weights": kl_in_weights,
        "mean-of-logs": mean_of_log_weights,
    },
)


def log_weights(log_px_given_z, z, mu, logvar):
    origin = np.zeros_like(mu)
    return log_px_given_z + density_rows(z, origin, origin) - density_rows(z, mu, logvar)


@log_px.law("q = p(z), mu = logvar = 0:  log mean p(x|z_s)", log_px_given_z="S", z="S Z")
def _(f, log_px_given_z, z):
    origin = np.zeros(z.shape[1])
    yield "result", f(log_px_given_z, z, origin, origin), log_mean_exp(log_px_given_z)


@log_px.law(
    "log of the mean of p(x|z) p(z) / q(z|x)", log_px_given_z="S", z="S Z", mu="Z", logvar="Z"
)
def _(f, log_px_given_z, z, mu, logvar):
    log_w = log_weights(log_px_given_z, z, mu, logvar)
    yield "result", f(log_px_given_z, z, mu, logvar), log_mean_exp(log_w)


@log_px.law("q = p(z|x), x = w z + noise:  every draw gives log p(x)", x="", w="", eps="S")
def _(f, x, w, eps):
    model = LinearGaussian(np.array([[w]]), np.zeros(1), 1.0)
    mean, cov = model.posterior(np.array([x]))
    z = mean + np.sqrt(cov[0]) * eps[:, None]
    given = model.log_px_given_z(np.array([x]), z)
    yield "result", f(given, z, mean, np.log(cov[0])), model.log_px(np.array([x]))


@log_px.law(
    "log p(x|z) = -1000 for each z:  no underflow", log_px_given_z=Given("S", (-1000.0,)), z="S Z"
)
def _(f, log_px_given_z, z):
    origin = np.zeros(z.shape[1])
    yield "result", f(log_px_given_z, z, origin, origin), -1000.0


# ---- 3 and 6: the likelihood ---------------------------------------------------------------------

BERNOULLI = "tinyvae.bernoulli:nll"
recon = hole(3, "recon", "recon", museum_target=BERNOULLI)
nll = Hole("nll", ("nll",), museum_target=BERNOULLI)

for likelihood in recon, nll:

    @likelihood.law(
        f"{likelihood.name} = -log p(x|z) = -sum_d log (p_d or 1 - p_d)",
        logits="B D",
        x=bits("B D"),
    )
    def _(f, logits, x, of=likelihood.name):
        yield of, f(logits, x), nll_rows(logits, x)

    @likelihood.law("large logits: no infinity, no nan", logits=Given("B D", HUGE), x=bits("B D"))
    def _(f, logits, x, of=likelihood.name):
        yield of, f(logits, x), nll_rows(logits, x)


# ---- 3 and 4: the KL -----------------------------------------------------------------------------

STANDARD_NORMAL = "tinyvae.gaussian:kl_to_standard_normal"
kl = hole(3, "kl", "kl", museum_target=STANDARD_NORMAL, kl="standard-normal")
elbo = hole(
    3,
    "elbo",
    "elbo",
    known_mistakes={
        "kl-subtracted": lambda mu, logvar, logits, x: kl_rows(mu, logvar) - nll_rows(logits, x),
        "mean-over-pixels": lambda mu, logvar, logits, x: (
            -nll_rows(logits, x) / x.shape[1] - kl_rows(mu, logvar)
        ),
    },
)
batch = {"mu": "B Z", "logvar": "B Z", "logits": "B D", "x": bits("B D")}


@elbo.law("elbo = log p(x|z) - KL( q(z|x) || p(z) )", **batch)
def _(f, mu, logvar, logits, x):
    yield "elbo", f(mu, logvar, logits, x), -nll_rows(logits, x) - kl_rows(mu, logvar)


gap = hole(3, "gap", "gap")
causes = {"p_z": shares("K"), "p_x_given_z": probabilities("K")}


@gap.law("elbo + gap = log p(x)", q=shares("K"), **causes)
def _(f, q, p_z, p_x_given_z):
    bound = math.fsum(q * np.log(p_x_given_z)) - math.fsum(q * np.log(q / p_z))
    yield "gap", f(q, p_z, p_x_given_z), math.log(p_z @ p_x_given_z) - bound


@gap.law("q = p(z|x):  gap = 0", **causes)
def _(f, p_z, p_x_given_z):
    posterior = p_z * p_x_given_z / (p_z @ p_x_given_z)
    yield "gap", f(posterior, p_z, p_x_given_z), 0.0


to_standard_normal = hole(
    4, "kl_to_standard_normal", "kl", museum_target=STANDARD_NORMAL, kl="standard-normal"
)
diagonal = hole(4, "kl_diagonal", "kl", kl="diagonal")
full = hole(4, "kl", "kl", kl="full")

for one_form in kl, to_standard_normal:

    @one_form.law("one number for each row", mu="B Z", logvar="B Z")
    def _(f, mu, logvar):
        shaped("kl", f(mu, logvar), mu.shape[:1])
        yield from ()


@diagonal.law("one number for each row", mu_q="B Z", logvar_q="B Z", mu_p="B Z", logvar_p="B Z")
def _(f, mu_q, logvar_q, mu_p, logvar_p):
    shaped("kl", f(mu_q, logvar_q, mu_p, logvar_p), mu_q.shape[:1])
    yield from ()


@full.law("one number", mean_q="k", variance=positive("k"), mean_p="k")
def _(f, mean_q, variance, mean_p):
    shaped("kl", f(mean_q, np.diag(variance), mean_p, np.diag(variance)), ())
    yield from ()


# ---- 5: sampling that can be differentiated ------------------------------------------------------

reparameterize = hole(5, "reparameterize", "z", museum_target="tinyvae.gaussian:reparameterize")


@reparameterize.law("eps = 0 gives mu", mu="B Z", logvar="B Z")
def _(f, mu, logvar):
    yield "z", f(mu, logvar, np.zeros_like(mu)), mu


@reparameterize.law("var z = exp(logvar), for eps ~ N(0, 1)", mu="", logvar="")
def _(f, mu, logvar):
    nodes, weights = gaussian_nodes(1)
    z = f(np.full_like(nodes, mu), np.full_like(nodes, logvar), nodes)
    shaped("z", z, nodes.shape)
    yield "mean of z", weights @ z[:, 0], mu
    yield "var z", weights @ (z[:, 0] - weights @ z[:, 0]) ** 2, math.exp(logvar)


@reparameterize.law("z - mu = sigma eps", mu="B Z", logvar="B Z", eps="B Z")
def _(f, mu, logvar, eps):
    yield "z", f(mu, logvar, eps), draw_z(mu, logvar, eps)


backward_of_draw = hole(
    5,
    "reparameterize_backward",
    "dmu dlogvar",
    museum_target="tinyvae.gaussian:reparameterize_backward",
)


@backward_of_draw.law("dv = d sum(dz z) / dv,  v = mu, logvar", dz="B Z", logvar="B Z", eps="B Z")
def _(f, dz, logvar, eps):
    dmu, dlogvar = f(dz, logvar, eps)
    mu = np.zeros_like(logvar)
    yield "dmu", dmu, gradient(lambda mu: draw_z(mu, logvar, eps), mu, dz)
    yield "dlogvar", dlogvar, gradient(lambda logvar: draw_z(mu, logvar, eps), logvar, dz)


def gradient(forward, v, upstream):
    return vector_jacobian(forward, v, upstream, method=complex_step)


score_gradient = hole(5, "score_gradient", "dmu")


@score_gradient.law("dmu = f(z) d log q(z) / dmu, row by row", f_z="S", z="S Z", mu="Z", logvar="Z")
def _(f, f_z, z, mu, logvar):
    def log_q(mu):
        return density_rows(z, mu, logvar)

    rows = [vector_jacobian(log_q, mu, one_row) for one_row in np.diag(f_z)]
    yield "dmu", f(f_z, z, mu, logvar), np.array(rows)


# ---- 6: the backward pass ------------------------------------------------------------------------

linear = hole(6, "linear", "y")


@linear.law("y_bo = sum_i x_bi W_io + b_o", x="B I", W="I O", b="O")
def _(f, x, W, b):
    yield "y", f(x, W, b), np.einsum("bi,io->bo", x, W) + b


linear_backward = hole(6, "linear_backward", "dx dW db")


@linear_backward.law("dv = d sum(dy y) / dv,  v = x, W, b", dy="B O", x="B I", W="I O")
def _(f, dy, x, W):
    dx, dW, db = f(dy, x, W)
    b = np.zeros(W.shape[1])
    yield "dx", dx, gradient(lambda x: x @ W + b, x, dy)
    yield "dW", dW, gradient(lambda W: x @ W + b, W, dy)
    yield "db", db, gradient(lambda b: x @ W + b, b, dy)


tanh = hole(6, "tanh", "y")


@tanh.law("y = (e^a - e^-a) / (e^a + e^-a)", a="B H")
def _(f, a):
    yield "y", f(a), (np.exp(a) - np.exp(-a)) / (np.exp(a) + np.exp(-a))


@tanh.law("large a: no infinity, no nan", a=Given("B H", HUGE))
def _(f, a):
    yield "y", f(a), np.sign(a)


tanh_backward = hole(6, "tanh_backward", "da")


@tanh_backward.law("da = d sum(dy y) / da, where y = tanh(a) is given", dy="B H", a="B H")
def _(f, dy, a):
    yield "da", f(dy, np.tanh(a)), gradient(lambda a: 1 - 2 / (np.exp(2 * a) + 1), a, dy)


HOLES[6].append(nll)
nll_backward = hole(6, "nll_backward", "dlogits", museum_target="tinyvae.bernoulli:nll_backward")


@nll_backward.law("dlogits = d sum(dnll nll) / dlogits", dnll="B", logits="B D", x=bits("B D"))
def _(f, dnll, logits, x):
    true = vector_jacobian(lambda logits: nll_rows(logits, x), logits, dnll)
    yield "dlogits", f(dnll, logits, x), true


kl_backward = hole(
    6, "kl_backward", "dmu dlogvar", museum_target="tinyvae.gaussian:kl_to_standard_normal_backward"
)


@kl_backward.law("dv = d sum(dkl kl) / dv,  v = mu, logvar", dkl="B", mu="B Z", logvar="B Z")
def _(f, dkl, mu, logvar):
    dmu, dlogvar = f(dkl, mu, logvar)
    yield "dmu", dmu, vector_jacobian(lambda mu: kl_rows(mu, logvar), mu, dkl)
    yield "dlogvar", dlogvar, vector_jacobian(lambda logvar: kl_rows(mu, logvar), logvar, dkl)


# ---- 7: training a VAE ---------------------------------------------------------------------------

loss = hole(
    7,
    "loss",
    "loss",
    known_mistakes={
        "kl-subtracted": lambda recon, kl, beta: np.mean(recon - beta * kl),
        "summed-over-batch": lambda recon, kl, beta: np.sum(recon + beta * kl),
        "beta-ignored": lambda recon, kl, beta: np.mean(recon + kl),
    },
)


@loss.law(
    "loss = 1/B sum_b ( recon_b + beta kl_b )",
    recon=positive("B"),
    kl=positive("B"),
    beta=Given("", (1.0, 2.0, 0.5, 0.0)),
)
def _(f, recon, kl, beta):
    true = sum(r + beta * k for r, k in zip(recon, kl, strict=True)) / len(recon)
    yield "loss", f(recon, kl, beta), true


q_backward = hole(7, "q_backward", "dmu dlogvar")


@q_backward.law(
    "dv = d ( sum(dz z) + sum(dkl kl) ) / dv,  v = mu, logvar",
    dz="B Z",
    dkl="B",
    mu="B Z",
    logvar="B Z",
    eps="B Z",
)
def _(f, dz, dkl, mu, logvar, eps):
    def both(mu, logvar):
        return np.append(draw_z(mu, logvar, eps), kl_rows(mu, logvar))

    dmu, dlogvar = f(dz, dkl, mu, logvar, eps)
    upstream = np.append(dz, dkl)
    yield "dmu", dmu, vector_jacobian(lambda mu: both(mu, logvar), mu, upstream)
    yield "dlogvar", dlogvar, vector_jacobian(lambda logvar: both(mu, logvar), logvar, upstream)


adam_step = hole(7, "adam_step", "p m v")
rate = Given("", (1.0, 0.5, 0.1))


@adam_step.law("t = 1, m = v = 0:  p moves by -rate sign(dp)", p="n", dp="n", rate=rate)
def _(f, p, dp, rate):
    zero = np.zeros_like(p)
    yield "p", f(p, dp, zero, zero, 1, rate)[0], p - rate * np.sign(dp)


@adam_step.law(
    "the same for |dp| = tiny:  half as far", p="n", dp=Given("n", (1e-8, -1e-8)), rate=rate
)
def _(f, p, dp, rate):
    zero = np.zeros_like(p)
    yield "p", f(p, dp, zero, zero, 1, rate)[0], p - rate * np.sign(dp) / 2


@adam_step.law(
    "m, v: running means of dp, dp^2;  p: the step from both, corrected by t",
    p="n",
    dp="n",
    m="n",
    v=Given("n", (0.0, *POSITIVE)),
    t=Given("", (1, 2, 3, 10, 100)),
    rate=rate,
)
def _(f, p, dp, m, v, t, rate):
    new_p, new_m, new_v = f(p, dp, m, v, int(t), rate)
    true_m = [0.9 * m + 0.1 * d for m, d in zip(m, dp, strict=True)]
    true_v = [0.999 * v + 0.001 * d * d for v, d in zip(v, dp, strict=True)]
    yield "m", new_m, np.array(true_m)
    yield "v", new_v, np.array(true_v)
    steps = [
        m / (1 - 0.9**t) / (math.sqrt(v / (1 - 0.999**t)) + 1e-8)
        for m, v in zip(true_m, true_v, strict=True)
    ]
    yield "p", new_p, p - rate * np.array(steps)


# ---- 8: what an autoencoder lacks ----------------------------------------------------------------

autoencoder_loss = hole(
    8,
    "autoencoder_loss",
    "loss",
    known_mistakes={
        "mean-over-pixels": lambda logits, x: np.mean(nll_rows(logits, x)) / x.shape[1],
        "summed-over-batch": lambda logits, x: np.sum(nll_rows(logits, x)),
    },
)


@autoencoder_loss.law("loss = 1/B sum_b -log p(x_b | z_b)", logits="B D", x=bits("B D"))
def _(f, logits, x):
    yield "loss", f(logits, x), sum(nll_rows(logits, x)) / len(x)


aggregate = hole(8, "aggregate_moments", "mean cov")


@aggregate.law("the moments of z ~ q(z|x), x any of the data", mu="N Z", logvar="N Z")
def _(f, mu, logvar):
    mean, cov = f(mu, logvar)
    # 2 Z points have the moments of each q(z|x); all of them together have those of the mixture
    z = np.concatenate([points(m, np.diag(np.exp(lv))) for m, lv in zip(mu, logvar, strict=True)])
    yield "mean", mean, z.mean(axis=0)
    yield "cov", cov, (z - z.mean(axis=0)).T @ (z - z.mean(axis=0)) / len(z)


moments_kl = hole(8, "kl_of_moments", "kl", kl="moments")


@moments_kl.law("one number", mean="k", variance=positive("k"))
def _(f, mean, variance):
    shaped("kl", f(mean, np.diag(variance)), ())
    yield from ()


# ---- 9: importance weights -----------------------------------------------------------------------

weights = hole(9, "log_weights", "log_w")


@weights.law(
    "log w = log p(x|z) + log p(z) - log q(z|x),  z = mu + exp(logvar / 2) eps",
    recon="S",
    mu="Z",
    logvar="Z",
    eps="S Z",
)
def _(f, recon, mu, logvar, eps):
    z = draw_z(mu, logvar, eps)
    zero = np.zeros_like(mu)
    true = density_rows(z, zero, zero) - density_rows(z, mu, logvar) - recon
    yield "log_w", f(recon, z, logvar, eps), true


bound = hole(
    9,
    "bound",
    "bound",
    known_mistakes={
        "mean-of-logs": np.mean,
        "samples-not-averaged": lambda log_w: log_mean_exp(log_w) + math.log(len(log_w)),
        "largest-weight-lost": lambda log_w: log_mean_exp(log_w) - log_w.max(),
    },
)


@bound.law("bound = log 1/S sum_s w_s", log_w="S")
def _(f, log_w):
    yield "bound", f(log_w), log_mean_exp(log_w)


@bound.law("weights c times as large add log c", log_w="S", log_c=Given("", HUGE))
def _(f, log_w, log_c):
    yield "bound", f(log_w + log_c), log_mean_exp(log_w) + log_c


bound_backward = hole(9, "bound_backward", "dlog_w")


@bound_backward.law("dlog_w = d (dbound log 1/S sum_s exp(log_w_s)) / dlog_w", dbound="", log_w="S")
def _(f, dbound, log_w):
    true = complex_step(lambda a: dbound * np.log(np.mean(np.exp(a))), log_w)
    yield "dlog_w", f(dbound, log_w), true


@bound_backward.law("the same for weights c times as large", log_w="S", log_c=Given("", HUGE))
def _(f, log_w, log_c):
    true = complex_step(lambda a: np.log(np.mean(np.exp(a))), log_w)
    yield "dlog_w", f(1.0, log_w + log_c), true


# ---- 10: the linear VAE --------------------------------------------------------------------------

unit_kl = hole(10, "unit_kl", "kl")


@unit_kl.law("kl_i = 1/2 log(l_i / s^2) where l_i > s^2, else 0", l=positive("D"), s2=positive(""))
def _(f, l, s2):
    true = [math.log(value / s2) / 2 if value > s2 else 0.0 for value in l]
    yield "kl", f(l, s2), np.array(true)


def rotation(entries):
    """An orthogonal matrix from any square one"""
    return np.linalg.qr(entries + 3 * np.eye(len(entries)))[0]


best_decoder = hole(10, "best_decoder", "W")


@best_decoder.law(
    "W'W + s^2 I has the eigenvalues of the data where they exceed s^2",
    l=positive("D"),
    u=Given("D D", then=rotation),
    s2=positive(""),
)
def _(f, l, u, s2):
    W = f(l, u, s2)
    shaped("W", W, u.shape)
    true = sum(max(value - s2, 0) * np.outer(v, v) for value, v in zip(l, u.T, strict=True))
    yield "W'W", W.T @ W, true


@best_decoder.law(
    "row i is along eigenvector i: rows are orthogonal",
    l=positive("D"),
    u=Given("D D", then=rotation),
    s2=Given("", (0.1, 0.2)),
)
def _(f, l, u, s2):
    W = f(l, u, s2)
    shaped("W", W, u.shape)
    yield "|W u_j|^2", np.sum((W @ u) ** 2, axis=1), np.maximum(l - s2, 0)


expected_nll = hole(10, "expected_nll", "nll")


@expected_nll.law(
    "nll = E_q[ -log N(x; z W + b, s^2 I) ],  q = N(mu, diag var)",
    x="D",
    mu="Z",
    var=positive("Z"),
    W="Z D",
    b="D",
    s2=positive(""),
)
def _(f, x, mu, var, W, b, s2):
    def nll(z):
        return -np.array([log_density(x, row @ W + b, s2 * np.eye(len(x))) for row in z])

    yield "nll", f(x, mu, var, W, b, s2), expectation(nll, mu, np.diag(var))


# ---- 11: the right likelihood --------------------------------------------------------------------


def continuous_bernoulli(a, x):
    """-log density of one pixel, its integral by Gauss-Legendre"""
    nodes, node_weights = np.polynomial.legendre.leggauss(40)
    return np.log(node_weights / 2 @ np.exp(a * (nodes + 1) / 2)) - a * x


def continuous_bernoulli_rows(logits, x):
    rows = zip(logits, x, strict=True)
    return np.array([sum(map(continuous_bernoulli, a_row, x_row)) for a_row, x_row in rows])


greys = Given("B D", (0.5, 0.25, 0.75, 0.0, 1.0))
continuous_nll = hole(11, "continuous_bernoulli_nll", "nll")


@continuous_nll.law("-log of the density exp(a x) / integral, summed", logits="B D", x=greys)
def _(f, logits, x):
    yield "nll", f(logits, x), continuous_bernoulli_rows(logits, x)


continuous_backward = hole(11, "continuous_bernoulli_nll_backward", "dlogits")


@continuous_backward.law("dlogits = d (sum dnll nll) / dlogits", dnll="B", logits="B D", x=greys)
def _(f, dnll, logits, x):
    true = vector_jacobian(
        lambda a: continuous_bernoulli_rows(a, x), logits, dnll, method=complex_step
    )
    yield "dlogits", f(dnll, logits, x), true


gaussian_nll = hole(
    11,
    "gaussian_nll",
    "nll",
    known_mistakes={
        "normaliser-missing": lambda x_hat, logvar, x: (
            0.5 * ((x - x_hat) ** 2 / np.exp(logvar) + np.log(2 * np.pi)).sum(axis=1)
        ),
    },
)


@gaussian_nll.law("nll = -log N(x; x_hat, exp(logvar) I)", x_hat="B D", logvar="", x="B D")
def _(f, x_hat, logvar, x):
    yield "nll", f(x_hat, logvar, x), -density_rows(x, x_hat, np.full_like(x, logvar))


best_logvar = hole(11, "best_logvar", "logvar")


@best_logvar.law("exp(logvar) = the mean squared error", x_hat="B D", x="B D", off=positive("B D"))
def _(f, x_hat, x, off):
    x = x_hat + off * np.where(x < 0, -1, 1)  # no error is 0
    squares = [(a - b) ** 2 for a, b in zip(x.ravel(), x_hat.ravel(), strict=True)]
    yield "exp(logvar)", np.exp(f(x_hat, x)), sum(squares) / x.size


# ---- 12: where the nats go -----------------------------------------------------------------------

rate_distortion = hole(12, "rate_distortion", "rates distortions")


@rate_distortion.law(
    "1/2 log(l_i / t) and t where l_i > t, else 0 and l_i", l=positive("D"), t=positive("")
)
def _(f, l, t):
    rates, distortions = f(l, t)
    true_rates, true_distortions = reverse_water_filling(l, t)
    yield "rates", rates, true_rates
    yield "distortions", distortions, true_distortions


def spd(entries):
    """A positive definite matrix from any square one"""
    return entries @ entries.T + np.eye(len(entries))


best_diagonal = hole(12, "best_diagonal", "var kl")


@best_diagonal.law(
    "the diagonal q of the least KL(q || posterior), and that KL", P=Given("Z Z", then=spd)
)
def _(f, P):
    var, kl = f(P)
    shaped("var", var, P.shape[:1])
    # sum_i P_ii var_i - log var_i is least where its slope P_ii - 1 / var_i is 0
    yield "1 / var", 1 / var, np.array([P[i, i] for i in range(len(P))])
    zero, best = np.zeros(len(P)), np.diag(1 / np.diag(P))
    yield "kl", kl, gaussian_kl(zero, best, zero, np.linalg.inv(P))


free_bits = hole(12, "free_bits", "kl")


@free_bits.law("sum_j max( 1/B sum_b kl_bj, floor )", kl=positive("B Z"), floor=positive(""))
def _(f, kl, floor):
    true = sum(max(sum(column) / len(column), floor) for column in kl.T.tolist())
    yield "kl", f(kl, floor), true


information = hole(12, "information", "nats")


def rows_of_shares(entries):
    return entries / entries.sum(axis=1, keepdims=True)


@information.law(
    "sum_xz q(x, z) log[ q(x, z) / (q(x) q(z)) ]", q=Given("N K", POSITIVE, then=rows_of_shares)
)
def _(f, q):
    joint = q / len(q)
    both = [
        (joint[n, k], joint[n].sum(), joint[:, k].sum())
        for n, k in product(range(q.shape[0]), range(q.shape[1]))
    ]
    yield "nats", f(q), sum(p * math.log(p / (p_x * p_z)) for p, p_x, p_z in both)


# ---- 13: a discrete z ----------------------------------------------------------------------------

SHARES = Given("B K", POSITIVE, then=rows_of_shares)
class_elbo = hole(13, "elbo", "elbo")


@class_elbo.law("sum_k q_k [ log p(x|k) - log K - log q_k ]", q=SHARES, log_px="B K")
def _(f, q, log_px):
    true = [
        sum(
            share * (term - math.log(len(row) * share))
            for share, term in zip(row, terms, strict=True)
        )
        for row, terms in zip(q.tolist(), log_px.tolist(), strict=True)
    ]
    yield "elbo", f(q, log_px), np.array(true)


elbo_gradient = hole(13, "elbo_gradient", "da")


def softmax_rows(a):
    return np.exp(a) / np.exp(a).sum(axis=1)[:, None]


@elbo_gradient.law("d sum_k softmax(a)_k f_k / da", q=SHARES, values="B K")
def _(f, q, values):
    true = vector_jacobian(
        lambda a: (softmax_rows(a) * values).sum(axis=1),
        np.log(q),
        np.ones(len(q)),
        method=complex_step,
    )
    yield "da", f(q, values), true


score_gradient = hole(13, "score_gradient", "da")


@score_gradient.law(
    "averaged over z ~ q: d sum_k q_k f_k / da, for every baseline",
    q=Given("K", POSITIVE, then=lambda entries: entries / entries.sum()),
    values="K",
    baseline="",
)
def _(f, q, values, baseline):
    each = f(values, np.eye(len(q)), q, baseline)
    shaped("da", each, (len(q), len(q)))
    true = complex_step(lambda a: np.exp(a) @ values / np.exp(a).sum(), np.log(q))
    yield "the average", q @ each, true


@score_gradient.law(
    "a baseline is taken from f",
    q=Given("K", POSITIVE, then=lambda entries: entries / entries.sum()),
    values="K",
    baseline="",
)
def _(f, q, values, baseline):
    z = np.eye(len(q))
    yield "da", f(values, z, q, baseline), f(values - baseline, z, q, 0.0)


gumbel_softmax = hole(13, "gumbel_softmax", "y")


@gumbel_softmax.law("softmax( (a + g) / t )", a="B K", gumbel="B K", t=positive(""))
def _(f, a, gumbel, t):
    true = [[math.exp(x) for x in row] for row in ((a + gumbel) / t).tolist()]
    yield "y", f(a, gumbel, t), np.array([[x / math.fsum(row) for x in row] for row in true])


# ---- 14: a sandwich for log p(x) -----------------------------------------------------------------

log_weight = hole(14, "log_weight", "log_w")


@log_weight.law(
    "w = prod_k p(x|z_k)^(t_k+1 - t_k)",
    log_px="3 S",
    temperatures=Given("4", then=lambda entries: np.cumsum(np.abs(entries))),
)
def _(f, log_px, temperatures):
    steps = [after - before for before, after in pairwise(temperatures.tolist())]
    true = [sum(s * a for s, a in zip(steps, chain, strict=True)) for chain in log_px.T.tolist()]
    yield "log_w", f(log_px, temperatures), np.array(true)


refresh = hole(14, "refresh", "z")


@refresh.law(
    "mean and variance stay, keep is what is left of z",
    mean="Z",
    std=positive("Z"),
    keep=probabilities(""),
)
def _(f, mean, std, keep):
    still, noise = np.zeros((1, len(mean))), np.ones((1, len(mean)))
    at_mean = f(mean[None], still, mean, std, keep)
    by_z = (f(mean[None] + std, still, mean, std, keep) - at_mean) / std
    by_eps = (f(mean[None], noise, mean, std, keep) - at_mean) / std
    yield "at the mean, no noise", at_mean, mean[None]
    yield "what is left of z", by_z, np.full((1, len(mean)), keep)
    yield "variance over std^2", by_z**2 + by_eps**2, np.ones((1, len(mean)))


leapfrog = hole(14, "leapfrog", "z momentum")


@leapfrog.law(
    "z' for p and for -p: their sum is 2 z - step^2 z / var, their difference 2 step p",
    z="S Z",
    momentum="S Z",
    var=positive("Z"),
    step=positive(""),
)
def _(f, z, momentum, var, step):
    there, _ = f(z, momentum, var, step)
    turned, _ = f(z, -momentum, var, step)
    yield "sum of both z", there + turned, 2 * z - step**2 * z / var
    yield "difference of both z", there - turned, 2 * step * momentum


@leapfrog.law(
    "with the momentum turned it leads back", z="S Z", momentum="S Z", var=positive("Z"),
    step=positive(""),
)  # fmt: skip
def _(f, z, momentum, var, step):
    there, new_momentum = f(z, momentum, var, step)
    back, turned = f(there, -new_momentum, var, step)
    yield "z, there and back", back, z
    yield "momentum, there and back", -turned, momentum


accept = hole(14, "accept", "accepted")


@accept.law(
    "u < f(z') N(p'; 0, I) / [f(z) N(p; 0, I)]",
    log_f="S",
    momentum="S Z",
    new_log_f="S",
    new_momentum="S Z",
    u=probabilities("S"),
)
def _(f, log_f, momentum, new_log_f, new_momentum, u):
    origin, unit = np.zeros(momentum.shape[1]), np.eye(momentum.shape[1])
    before = log_f + np.array([log_density(p, origin, unit) for p in momentum])
    after = new_log_f + np.array([log_density(p, origin, unit) for p in new_momentum])
    yield (
        "accepted",
        f(log_f, momentum, new_log_f, new_momentum, u),
        (u < np.exp(after - before)) * 1.0,
    )


# ---- 15: find the bug ----------------------------------------------------------------------------

kl_weight = hole(15, "kl_weight", "beta")


@kl_weight.law("loss = recon + beta kl", recon="E", kl=positive("E"), beta="")
def _(f, recon, kl, beta):
    yield "beta", f(recon + beta * kl, recon, kl), beta


@kl_weight.law("epochs with kl = 0 do no harm", recon="E", kl=positive("E"), beta="")
def _(f, recon, kl, beta):
    recon, kl = np.append(recon, 1.0), np.append(kl, 0.0)
    yield "beta", f(recon + beta * kl, recon, kl), beta


@kl_weight.law("beta is that of least squares", loss="E", recon="E", kl=positive("E"))
def _(f, loss, recon, kl):
    best = f(loss, recon, kl)
    yield "slope of the squared error", np.sum((loss - recon - best * kl) * kl), 0.0


pixels_alone = hole(15, "pixels_alone", "nats")


@pixels_alone.law("-log prod of each pixel's probability", x_train=bits("N D"), x=bits("B D"))
def _(f, x_train, x):
    nats = []
    for image in x.tolist():
        whites = [(sum(column) + 0.5) / (len(column) + 1) for column in x_train.T.tolist()]
        chances = [p if pixel else 1 - p for p, pixel in zip(whites, image, strict=True)]
        nats.append(-math.log(math.prod(chances)))
    yield "nats", f(x_train, x), sum(nats) / len(nats)


active_units = hole(15, "active_units", "units")


@active_units.law("units with a variance of mu above 0.01", mu=Given("N Z", (0.0, 1.0, 0.15, 0.05)))
def _(f, mu):
    variances = [sum((m - sum(c) / len(c)) ** 2 for m in c) / len(c) for c in mu.T.tolist()]
    yield "units", f(mu), float(sum(v > 0.01 for v in variances))
