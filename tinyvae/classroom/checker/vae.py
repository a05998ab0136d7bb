"""Is this VAE right?  Its loss against minus the ELBO, from its own encode and decode.

    findings = judge(LocalFile({"__name__": "here", "model": model}), "model")

The model gives q(z|x) = N(mu, sigma^2) and the decoder's answer at any z.  With the same noise the
loss must be a R + b K to rounding; where the noise cannot be repeated, its mean must be that within
five standard errors.  A loss function and a sampler that can be called alone are judged alone, too.
"""

import re

import numpy as np

from tinyvae.classroom.checker import loss as of_loss
from tinyvae.classroom.checker import sampler as of_sampler
from tinyvae.classroom.checker import terms as t
from tinyvae.classroom.checker.bound import log_mean_exp
from tinyvae.classroom.checker.calling import NEUTRAL, part, paths
from tinyvae.classroom.checker.findings import Findings, Mistake
from tinyvae.classroom.checker.function import CannotRun
from tinyvae.classroom.checker.loss import article, museum
from tinyvae.classroom.checker.roles import reading_of, role_of, roles
from tinyvae.classroom.checker.values import Described, Distribution, Rng, leaves

B = 5
DRAWS = 12
MEAN_DRAWS = 60
ERRORS = 5.0
SHAPES = (
    (784,),
    (1, 28, 28),
    (64,),
    (1, 32, 32),
    (3, 32, 32),
    (3, 64, 64),
    (1, 8, 8),
    (28, 28, 1),
    (1, 64, 64),
    (3, 28, 28),
)
METHODS = {
    "encode": r"^(encode|encoder|encode_x|recognition|infer|inference|get_latent_params|q_?z)$",
    "decode": r"^(decode|decoder|decode_z|generator|p_?x|decoder_?logits|get_logits)$",
    "sampler": r"^(reparam\w*|sample_z|sampler|sampling|draw_z|sample_latent|latent_sample)$",
    "loss": r"^(loss|loss_function|loss_fn|lossfn|vae_loss|compute_loss|calc_loss|get_loss|elbo|"
    r"nelbo|neg_?elbo|negative_elbo|minus_elbo|elbo_loss|neg_elbo_loss|objective|criterion|"
    r"training_step|train_step|step|_step|loss_and_terms|cost)$",
    "forward": r"^(forward|__call__|call|apply)$",
    "sample": r"^(sample|generate|sample_prior|sample_images|sample_x|generate_images|gen)$",
}


class Unusable(Exception):
    """A call failed, or gave nothing that could be used."""


class Model:
    """An object with encode, decode and a loss or forward: its methods as checker Functions."""

    def __init__(self, file, name, methods, globals_):
        self.file, self.name = file, name
        self.found = {}
        for kind, pattern in METHODS.items():
            for method in methods:
                short = method.rpartition(".")[2]
                if re.search(pattern, short) and kind not in self.found:
                    self.found[kind] = file.function(method)
        if "encode" not in self.found and "forward" not in self.found:
            raise CannotRun(f"{name} has neither encode nor forward")
        self.global_loss = False
        if "loss" not in self.found:
            for function in globals_:
                if re.search(r"loss|elbo", function.lower()):
                    self.found["loss"], self.global_loss = file.function(function), True
                    break
        if "decode" not in self.found and "forward" not in self.found:
            raise CannotRun(f"{name} has neither decode nor forward")
        self.library = next(iter(self.found.values())).library
        self.dtype = "float64"
        self.training = False
        self.shape = None

    def __getitem__(self, kind):
        return self.found[kind]

    def __contains__(self, kind):
        return kind in self.found

    def call(self, kind, arguments, seed=0, **options):
        """The tree of an answer.  Unusable if the call fails"""
        outcome = self.found[kind].call(
            arguments, seed=seed, dtype=self.dtype, training=self.training, **options
        )
        if outcome.error:
            raise Unusable(outcome.error)
        return outcome.value

    # ---- shapes ----

    def find_shape(self):
        """Set the shape and the precision of what it takes.  CannotRun if none works"""
        kind = "encode" if "encode" in self.found else "forward"
        tried, error = [], ""
        shapes = [(7,), *SHAPES]
        while shapes:
            shape = shapes.pop(0)
            if shape in tried:
                continue
            tried.append(shape)
            for dtype in ("float64", "float32") if self.library != "jax" else ("float32",):
                self.dtype, self.shape = dtype, shape
                try:
                    self.call(kind, self.inputs(kind, self.draw_x(np.random.default_rng(0))))
                except Unusable as reason:
                    error = str(reason)
                    numbers = [int(n) for n in re.findall(r"\d+", error) if 1 < int(n) < 20000]
                    more = [(n,) for n in numbers if (n,) not in tried and len(tried) < 40]
                    shapes = [*more, *(shape for shape in shapes if shape not in more)]
                    continue
                return
        raise CannotRun(
            f"{self.name}.{kind} takes no pictures of any shape that was tried: {error}"
        )

    def inputs(self, kind, x, rng=None, eps=None, z=None):
        """What a method of this kind is called with, by the names of its parameters"""
        given = []
        parameters = [p for p in self.found[kind].parameters or () if p.required and not p.variadic]
        for i, p in enumerate(parameters):
            if kind == "loss" and role_of(p.name) == "r" and len(parameters) > 1:
                raise Unusable("its loss takes what forward gives")
            if of_sampler.RANDOM.search(p.name):
                given.append(Rng(rng or 0))
            elif role_of(p.name) == "eps":
                given.append(eps if eps is not None else np.zeros((len(x), self.latents or 2)))
            elif role_of(p.name) in ("batch index", "step"):
                given.append(0)
            elif p.name == "batch":
                given.append((x, np.zeros(len(x))))
            elif role_of(p.name) == "weight":
                given.append(1.0)
            elif i == 0 or role_of(p.name) in ("x", "z", "r"):
                given.append(x if z is None else z)
            else:
                raise Unusable(f"{self.found[kind].shown_name} takes {p.name}")
        return given

    latents = None

    def draw_x(self, rng, scale=1.0):
        """(B, *shape) of 0 and 1, or a multiple"""
        return scale * rng.integers(0, 2, (B, *self.shape)).astype(float)

    # ---- what it says ----

    def q(self, x):
        """(mu, scale, how the scale must be read or "") of q(z|x), from encode or from forward"""
        if "encode" in self.found:
            found = _two(self.call("encode", self.inputs("encode", x)))
            if found:
                return found
        if "forward" in self.found:
            found = _two(self.call("forward", self.inputs("forward", x)), x)
            if found:
                return found
        raise Unusable("encode gives no mean and scale")

    def decode(self, z, x):
        """(B, D) what the decoder says at z"""
        value = self.call("decode", self.inputs("decode", x, z=z), seed=0)
        leaf = _picture(value, x)
        if leaf is None:
            raise Unusable("decode gives no picture")
        return leaf

    def reconstruction(self, x, seed):
        """(B, D) what forward gives for the noise of this seed, or None"""
        if "forward" not in self.found:
            return None
        try:
            return _picture(self.call("forward", self.inputs("forward", x, rng=seed), seed), x)
        except Unusable:
            return None

    # ---- its loss ----

    def losses(self, x, seed, eps=None):
        """Candidate totals for this noise: {path: array () or (B,)}"""
        if "loss" in self.found:
            try:
                arguments = self.inputs("loss", x, rng=seed, eps=eps)
                if len([p for p in self["loss"].parameters or () if p.variadic == "*"]):
                    raise Unusable("args")
                return _totals(self.call("loss", arguments, seed))
            except Unusable:
                return self._composed(x, seed)
        if "forward" in self.found:
            return _totals(self.call("forward", self.inputs("forward", x, rng=seed, eps=eps), seed))
        raise Unusable("it has no loss")

    def _composed(self, x, seed):
        """loss_function(recon, x, mu, logvar) of what forward gives"""
        if "forward" not in self.found:
            raise Unusable("its loss takes more than x, and there is no forward")
        value = self.call("forward", self.inputs("forward", x, rng=seed), seed)
        parts = [p for p in leaves(value) if isinstance(p, np.ndarray)]
        parameters = [p for p in self["loss"].parameters or () if p.required or p.variadic]
        if any(p.variadic == "*" for p in parameters):
            if not any(p.shape == x.shape and np.allclose(p, x) for p in parts):
                parts = [parts[0], x, *parts[1:]]
            for keywords in ({}, {"M_N": 1.0}):
                outcome = self["loss"].call(parts, keywords=keywords, seed=seed, dtype=self.dtype)
                if not outcome.error:
                    return _totals(outcome.value)
            raise Unusable(outcome.error)
        two = _two(value, x)
        by_role = {
            "x": x,
            "r": _picture(value, x, flat=False),
            "mu": two and two[0],
            "s": two and two[1],
        }
        names = [p.name for p in parameters]
        for assigned in roles(names):
            of = {name: role for role, name in assigned.items()}
            try:
                given = [
                    by_role[of[n]]
                    if not isinstance(of[n], tuple)
                    else NEUTRAL.get(of[n][0], len(x))
                    for n in names
                ]
            except KeyError:
                continue
            if any(value is None for value in given):
                continue
            outcome = self["loss"].call(given, seed=seed, dtype=self.dtype)
            if not outcome.error:
                return _totals(outcome.value)
        if len(names) == 2:
            for given in ((value, x), (x, value)):
                outcome = self["loss"].call(list(given), seed=seed, dtype=self.dtype)
                if not outcome.error:
                    return _totals(outcome.value)
        raise Unusable("its loss cannot be called with what forward gives")

    @property
    def takes_eps(self):
        """Is the noise an argument of the loss?"""
        return "loss" in self.found and any(
            role_of(p.name) == "eps" for p in self["loss"].parameters or () if p.required
        )

    @property
    def takes_rng(self):
        """Is a generator or a key an argument of the loss, or of forward?"""
        kind = "loss" if "loss" in self.found and not self.global_loss else "forward"
        return kind in self.found and any(
            of_sampler.RANDOM.search(p.name) for p in self[kind].parameters or () if p.required
        )


def _two(value, x=None):
    """(mu, scale, reading) in an answer: by key, by library's distribution, or by place"""
    if isinstance(value, Distribution):
        p = value.parameters
        if "loc" in p and "scale" in p:
            return np.asarray(p["loc"], float), np.asarray(p["scale"], float), "std"
        return None
    if isinstance(value, dict):
        by_role = {role_of(str(key)): (key, part) for key, part in value.items()}
        if "mu" in by_role and "s" in by_role:
            reading = reading_of(str(by_role["s"][0]))
            return (*(np.asarray(by_role[r][1], float) for r in ("mu", "s")), reading)
        value = tuple(value.values())
    if isinstance(value, (tuple, list)):
        for part in value:
            if isinstance(part, (tuple, list, dict, Distribution)) and _two(part):
                return _two(part)
        flat = [np.asarray(p, float) for p in value if isinstance(p, np.ndarray) and p.ndim == 2]
        shapes = [p.shape for p in flat]
        for i in range(len(flat) - 1):
            is_x = x is not None and flat[i].size == x.size
            if shapes[i] == shapes[i + 1] and not is_x:
                if i + 2 < len(flat) and shapes[i + 2] == shapes[i] and "z" not in (x or ()):
                    return flat[i], flat[i + 1], ""
                return flat[i], flat[i + 1], ""
    return None


def _picture(value, x, flat=True):
    """The leaf of an answer that has as many entries as x, but is not x"""
    for leaf in leaves(value):
        if isinstance(leaf, Distribution):
            for name in ("logits", "loc", "probs"):
                if name in leaf.parameters:
                    leaf = leaf.parameters[name]
                    break
        if isinstance(leaf, np.ndarray) and leaf.size == x.size:
            if leaf.shape == x.shape and np.allclose(leaf, x):
                continue
            return leaf.astype(float).reshape(len(x), -1) if flat else leaf
    return None


def _totals(value):
    """{path: total}: what may be the loss in an answer, likely ones first"""
    found = {}
    for path in paths(value):
        leaf = np.asarray(part(value, path), float)
        if leaf.size in (1, B):
            found[path] = leaf.reshape(-1)
    if not found:
        raise Unusable("it gives no number")
    order = sorted(found, key=lambda p: not (p and re.search("loss|elbo|total", str(p[-1]))))
    found = {path: found[path] for path in order}
    sizes = {a.size for a in found.values()}
    if len(found) == 2 and len(sizes) == 1 and () not in found:
        found[("sum",)] = sum(found.values())
    return found


# ---- the noise -----------------------------------------------------------------------------------


def noises(model, shape, seed):
    """{name: eps}: the noise that a draw of this seed would have been"""
    dtype = model.dtype
    yield "NumPy", np.random.RandomState(seed).standard_normal(shape)
    if model.takes_rng and model.library != "jax":
        yield "Generator", np.random.default_rng(seed).standard_normal(shape)
        yield (
            "Generator",
            np.random.default_rng(seed).standard_normal(shape, dtype="float32").astype(float),
        )
    if model.library == "torch":
        import torch

        torch_dtype = torch.float64 if dtype == "float64" else torch.float32
        generator = torch.Generator().manual_seed(seed)
        yield (
            "torch",
            torch.randn(shape, dtype=torch_dtype, generator=generator).numpy().astype(float),
        )
    if model.library == "jax":
        import jax

        key = jax.random.PRNGKey(seed)
        yield "jax", np.asarray(jax.random.normal(key, shape), float)
        for n in (2, 3):
            for i, part in enumerate(jax.random.split(key, n)):
                yield f"jax {i} of {n}", np.asarray(jax.random.normal(part, shape), float)


class Record:
    """One x and one seed: what the model says about it."""

    def __init__(self, x, mu, s, totals, recon, seed, eps):
        self.x, self.mu, self.s, self.totals = x, mu, s, totals
        self.recon, self.seed, self.eps = recon, seed, eps


def records(model, rng, draws=DRAWS, scales=(1.0, 1.0, 3.0)):
    """Records at fresh x and seeds; x also outside of [0, 1] where the loss takes that"""
    found = []
    for i in range(draws):
        for scale in (scales[i % len(scales)], 1.0):
            x, seed = model.draw_x(rng, scale), 100 + i
            try:
                mu, s, _ = model.q(x)
                eps = rng.standard_normal(mu.shape)
                totals = model.losses(x, seed, eps)
            except Unusable:
                if scale == 1.0:
                    raise
                continue
            if not all(np.all(np.isfinite(a)) for a in totals.values()):
                continue
            found.append(Record(x, mu, s, totals, model.reconstruction(x, seed), seed, eps))
            break
    return found


# ---- judging -------------------------------------------------------------------------------------

ELBO_LAW = ("the ELBO", "loss = -E_q log p(x|z) + KL( q(z|x) || N(0, I) )")


def judge(file, name=None, seed=0):
    """Compare a model's loss with minus its ELBO.    ->  Findings;  CannotRun where that cannot be

    file    a LocalFile or RemoteFile;  name    of a class or an object in it
    """
    model = model_of(file, name)
    model.find_shape()
    findings = Findings(takes=f"pictures {model.shape}, {model.dtype}; {model.library}")
    rng = np.random.default_rng(seed)
    try:
        mu, _, reading = model.q(model.draw_x(rng))
    except Unusable as reason:
        raise CannotRun(f"{model.name}: {reason}") from None
    model.latents = mu.shape[-1]
    _draws_in_eval_mode(model, findings, rng)
    _parts_alone(model, findings, seed)
    try:
        found = records(model, rng)
    except Unusable as reason:
        alone = any(law[0] == "loss function" for law in findings.laws)
        if alone or not findings.right:
            findings.law(*ELBO_LAW, note=f"not judged as a whole: {reason}")
            return findings
        raise CannotRun(f"the loss of {model.name} cannot be called: {reason}") from None
    fit = _elbo(model, findings, found, reading, rng)
    _shapes(model, findings, found)
    _weight(model, findings, fit, found)
    _fewer(model, findings, fit, found)
    _sure(model, findings, fit, found)
    _below_log_px(model, findings, fit, found, rng)
    _samples(model, findings, rng)
    _gradient(model, findings, found, rng)
    _unique(findings)
    return findings


def _unique(findings):
    """Each mistake once: what a part showed alone is not told again of the whole"""
    seen = {}
    for mistake in findings.mistakes:
        seen.setdefault(mistake.name or mistake.says, mistake)
    findings.mistakes = list(seen.values())


def model_of(file, name=None):
    """The Model of that name, or the only thing in the file that is one"""
    entries = [e for e in file.entries() if e.kind in ("class", "object")]
    functions = [e.name for e in file.entries() if e.kind == "function"]
    chosen = [e for e in entries if e.name == name] if name else entries
    there = any(e.name == name for e in file.entries())
    error = (
        f"{name} has neither encode nor forward"
        if there
        else f"there is no model called {name}"
        if name
        else "there is no object with encode or forward"
    )
    best = None
    for entry in chosen:
        short = [m.rpartition(".")[2] for m in entry.methods]
        score = sum(any(re.search(p, m) for m in short) for p in METHODS.values())
        if score >= 2 and (best is None or score >= best[0]):
            best = score, entry
    if best is None:
        raise CannotRun(error)
    return Model(file, best[1].name, best[1].methods, functions)


def _draws_in_eval_mode(model, findings, rng):
    """The loss, and forward, draw noise in eval mode as in training"""
    law = ("eval mode", "it draws z in eval mode as well")
    if model.takes_eps:
        findings.law(*law, note="the noise is an argument")
        return
    x = model.draw_x(rng)

    def differs():
        try:
            a, b = (next(iter(model.losses(x, s).values())) for s in (1, 2))
        except Unusable:
            first = [model.reconstruction(x, s) for s in (1, 2)]
            if first[0] is None:
                return None
            a, b = first
        return not np.array_equal(a, b)

    draws = differs()
    if draws is False:
        model.training = True
        if differs():
            findings.law(
                *law,
                Mistake(
                    "In eval mode it draws no noise: z = mu there, and its loss is no bound.",
                    "no-noise-at-test",
                ),
            )
        else:
            findings.law(
                *law,
                Mistake("Its loss draws no noise: two seeds give the same.", "no-noise-at-test"),
            )
        return
    findings.law(*law)


def _parts_alone(model, findings, seed):
    """Judge a sampler, and a loss function of recon, x, mu, logvar, that can be called alone"""
    if "sampler" in model:
        try:
            found = of_sampler.judge(model["sampler"], seed)
            findings.law("sampler", "z = mu + sigma eps", found.mistakes)
            model.sampler_right = found.right
        except CannotRun:
            pass
    if "loss" in model:
        parameters = [p for p in model["loss"].parameters or () if p.required]
        variadic = any(p.variadic == "*" for p in model["loss"].parameters or ())
        if len(parameters) >= 3 or variadic:
            try:
                found = of_loss.judge(model["loss"], seed)
                findings.law("loss function", "R + beta K", found.mistakes)
                findings.told += found.told
            except CannotRun:
                pass


def _elbo(model, findings, found, reading, rng):
    """Explain the totals by a R + b K.    ->  (path, R, K, reading, a, b) or None"""
    fit = _exact_fit(model, found, reading)
    if fit:
        wrong, told = _meaning(model, fit, reading)
        if fit[2].reading == "logits" and _gives_probabilities(model, found[0], rng):
            said = "Its decoder gives probabilities, and its loss takes the sigmoid once more."
            wrong.append(Mistake(said, "sigmoid-twice"))
        findings.law(*ELBO_LAW, wrong)
        findings.told += told
        return fit
    return _fit_in_the_mean(model, findings, reading, rng)


def _gives_probabilities(model, record, rng):
    """Does the decoder stay between 0 and 1, also far from the origin?"""
    if "decode" not in model:
        return False
    try:
        far = [
            model.decode(s * rng.standard_normal(record.mu.shape), record.x) for s in (3, 30, 300)
        ]
    except Unusable:
        return False
    return min(a.min() for a in far) >= 0 and max(a.max() for a in far) <= 1


def _ways(model, found, reading):
    """(how z reads the scale, the decoder's answers at the noise that it may have used), lazily"""
    if all(record.recon is not None for record in found) and not model.takes_eps:
        yield "", [record.recon for record in found]
    if "decode" not in model:
        return
    eps = [
        [record.eps]
        if model.takes_eps
        else [e for _, e in noises(model, record.mu.shape, record.seed)]
        for record in found
    ]
    first = [reading] if reading else ["logvar", "log std", "std", "variance"]
    small = [f"{factor} {r}" for factor in (0.1, 0.01, 0.5, 0.05) for r in first]
    for r in [*first, "no noise", *(r for r in of_sampler.STD if r not in first), *small]:
        factor, _, of = r.partition(" ") if r in small else ("1", "", r)
        with np.errstate(all="ignore"):
            stds = [
                0 * rec.s if r == "no noise" else float(factor) * of_sampler.STD[of](rec.s)
                for rec in found
            ]
        if not all(np.all(np.isfinite(std)) for std in stds):
            continue
        for i in range(1 if r == "no noise" else len(eps[0])):
            try:
                yield (
                    r,
                    [
                        model.decode(rec.mu + std * e[i], rec.x)
                        for rec, std, e in zip(found, stds, eps, strict=True)
                    ],
                )
            except Unusable:
                continue


def _exact_fit(model, found, reading):
    """The R, K, a, b that explain every total to rounding; None if there are none"""
    if not found:
        return None
    tolerance = 3e-6 if model.dtype == "float32" else 1e-8
    ways, hits = [], []
    for only_right in (True, False):
        for r, recons in ways if ways else _ways(model, found, reading):
            if only_right:
                ways.append((r, recons))
            for path in found[0].totals:
                for fit in _fits(model, found, recons, path, tolerance, reading, only_right):
                    hits.append((path, r, *fit))
            if any(_is_right(hit, reading) for hit in hits):
                break
        if hits:
            break
    hits.sort(key=lambda hit: not _is_right(hit, reading))
    return hits[0] if hits else None


def _is_right(hit, reading):
    _, r, R, K, a, b, _ = hit
    same = r in ("", K.reading) and (not reading or K.reading == reading)
    alike = R.family in ("gaussian", "laplace", "huber") or np.isclose(b, a, rtol=0.03)
    return R.right and K.right and same and alike and a * b > 0


def _fits(model, found, recons, path, tolerance, reading, only_right):
    """(R, K, a, b, c) that explain the totals on this path, right ones first"""
    y = np.concatenate([record.totals[path] for record in found])
    per_example = len(y) == B * len(found) and B > 1
    flat = [record.x.reshape(len(record.x), -1) for record in found]
    rows_r = {}
    for R in t.RECONSTRUCTIONS:
        if only_right and not R.right:
            continue
        columns = [
            t.feature(R, t.Values(x=x, r=r, mu=rec.mu), per_example)
            for x, r, rec in zip(flat, recons, found, strict=True)
        ]
        if all(c is not None for c in columns):
            rows_r[R] = np.concatenate(columns)
    rows_k = {}
    for K in t.KLS:
        if only_right and not K.right:
            continue
        columns = [t.feature(K, t.Values(mu=rec.mu, s=rec.s), per_example) for rec in found]
        if all(c is not None for c in columns):
            rows_k[K] = np.concatenate(columns)
    if not rows_r or not rows_k:
        return []
    size = np.sqrt(np.mean(y**2))
    terms_k, V = list(rows_k), np.stack(list(rows_k.values()), axis=1)
    good = []
    for R, u in rows_r.items():
        Q, _ = np.linalg.qr(np.stack([np.ones_like(u), u], axis=1))
        rest_y, rest_V = y - Q @ (Q.T @ y), V - Q @ (Q.T @ V)
        norms = np.sum(rest_V**2, axis=0)
        with np.errstate(all="ignore"):
            b = np.where(norms > 1e-18 * np.sum(V**2, axis=0), rest_V.T @ rest_y / norms, 0.0)
        errors = np.sqrt(np.mean((rest_y[:, None] - rest_V * b) ** 2, axis=0))
        for i in np.flatnonzero(errors <= tolerance * size):
            A = np.stack([u, np.ones_like(u)], axis=1)
            (a, c), *_ = np.linalg.lstsq(A, y - b[i] * V[:, i], rcond=None)
            if a and abs(a) * np.std(u) >= 10 * tolerance * size:
                good.append((R, terms_k[i], float(a), float(b[i]), float(c)))
    good.sort(
        key=lambda g: (
            not (g[0].right and g[1].right),
            g[1].reading != (reading or "logvar"),
            abs(abs(g[3]) - abs(g[2])) > 0.03 * abs(g[2]),
        )
    )
    return good[:3]


def _meaning(model, fit, reading):
    """(mistakes, told) of a fit"""
    path, r, R, K, a, b, _ = fit
    wrong, told = [], []
    if not R.right:
        wrong.append(Mistake(f"Its reconstruction term is {R.says}.", museum(R.museum)))
    if not K.right:
        wrong.append(Mistake(f"Its KL is {K.says}.", museum(K.museum)))
    if r == "no noise":
        wrong.append(Mistake("Its loss decodes mu: no noise is drawn.", "no-noise-at-test"))
    elif r[:2] == "0.":
        said = f"The noise in z has the standard deviation {r.partition(' ')[0]}, not 1."
        wrong.append(Mistake(said, "noise-too-small"))
    elif r and K.right and r != K.reading:
        name = "std-is-exp-logvar" if (r, K.reading) == ("log std", "logvar") else "two-conventions"
        wrong.append(
            Mistake(
                f"z reads the scale as {article(r)}, the KL as {article(K.reading)}.",
                name,
            )
        )
    if reading and K.right and K.reading != reading:
        wrong.append(
            Mistake(
                f"Its KL reads {article(reading)} as {article(K.reading)}.",
                "two-conventions",
            )
        )
    D, Z = int(np.prod(model.shape)), model.latents
    name = model["loss"].name if "loss" in model else model.name
    short = name.rpartition(".")[2].lower()
    is_elbo = bool(re.search(r"elbo", short)) and not re.search(r"loss|neg|nelbo|minus", short)
    is_elbo = is_elbo or bool(path and str(path[-1]).lower() == "elbo")
    if abs(b) < 1e-6 * abs(a):
        wrong = [m for m in wrong if m.says.startswith("Its rec")]
        return [*wrong, Mistake("The KL is missing.", "kl-to-itself")], told
    if a * b < 0:
        wrong.append(Mistake("The KL is subtracted from the loss, not added.", "kl-subtracted"))
    elif (a < 0) != is_elbo and R.right:
        wrong.append(Mistake(f"The sign is turned, under the name {short}.", "sign-turned"))
    if not wrong or all(m.name not in ("kl-to-itself",) for m in wrong):
        wrong += _ratio_mistake(abs(b / a), R, D, Z)
    if not wrong:
        told.append(f"Its loss is minus the ELBO: {R.says} and KL, exactly, at the noise it drew.")
        if R.family == "gaussian":
            told.append(f"Its decoder is N(x_hat, {abs(b / a):.3g} I), up to a constant.")
    return wrong, told


def _ratio_mistake(ratio, R, D, Z):
    """What a weight of the KL against the reconstruction means, for D pixels and B examples"""

    def near(value):
        return any(
            np.isclose(ratio, value * k, rtol=0.03)
            for k in ((1, 0.5) if R.family == "gaussian" else (1,))
        )

    if R.family == "gaussian" and (np.isclose(ratio, (0.5, 1.0), rtol=0.03)).any():
        return []
    if near(1):
        return []
    table = (
        (
            D / Z,
            Mistake("Both means: over the pixels and over the latent dimensions.", "both-means"),
        ),
        (
            D * B,
            Mistake(
                "The reconstruction is averaged over pixels and batch, the KL is summed.",
                "mean-over-pixels",
            ),
        ),
        (
            D,
            Mistake(
                "The reconstruction is averaged over the pixels, the KL summed over the latent "
                "dimensions.",
                "mean-over-pixels",
            ),
        ),
        (1 / Z, Mistake("The KL is averaged over the latent dimensions.", museum("M22"))),
        (
            B,
            Mistake(
                "The reconstruction is averaged over the batch, the KL is summed.",
                "kl-summed-over-batch",
            ),
        ),
        (
            1 / B,
            Mistake(
                "The KL is averaged over the batch, the reconstruction is summed.",
                "kl-averaged-over-batch",
            ),
        ),
        (1 / D, Mistake("The KL is divided by the number of pixels.", "kl-divided-by-pixels")),
        (
            1 / (B * Z),
            Mistake(
                "The KL is averaged over batch and latent dimensions, the "
                "reconstruction is summed.",
                museum("M22"),
            ),
        ),
    )
    for value, mistake in table:
        if near(value):
            return [mistake]
    if R.family == "gaussian":
        return []
    if np.isclose(ratio, 2, rtol=0.03):
        return [Mistake("The KL counts twice.", museum("M01"))]
    if np.isclose(ratio, 0.5, rtol=0.03):
        return [Mistake("The KL counts half.", "kl-halved")]
    return []


def _fit_in_the_mean(model, findings, reading, rng):
    """Where the noise cannot be repeated: the means of the loss and of the ELBO, by Monte Carlo"""
    try:
        x = model.draw_x(rng)
        mu, s, _ = model.q(x)
        draws = [model.losses(x, 1000 + i) for i in range(MEAN_DRAWS)]
    except Unusable as reason:
        findings.law(*ELBO_LAW, note=f"not judged: {reason}")
        return None
    flat = x.reshape(B, -1)
    best = None
    for path in draws[0]:
        y = np.array([d[path].sum() if d[path].size > 1 else d[path][0] for d in draws])
        for scale in [reading] if reading else t.SCALES:
            with np.errstate(all="ignore"):
                std = np.sqrt(t.variance_of(s, scale))
            if not np.all(np.isfinite(std)):
                continue
            try:
                recons = [
                    model.decode(mu + std * rng.standard_normal(mu.shape), x)
                    for _ in range(MEAN_DRAWS)
                ]
            except Unusable:
                break
            K = float(t.kl(t.Values(mu=mu, s=s), scale).sum())
            for R in t.RECONSTRUCTIONS:
                values = [t.feature(R, t.Values(x=flat, r=r, mu=mu), False) for r in recons]
                if not R.right or any(v is None for v in values):
                    continue
                u = np.concatenate(values)
                for a in (1, 1 / B, 1 / (B * flat.shape[1])):
                    for k in (1.0, 2.0) if R.family == "gaussian" else (1.0,):
                        true = a * (k * u + K)
                        error = np.sqrt(true.var() / len(true) + y.var() / len(y)) + 1e-6 * abs(
                            true.mean()
                        )
                        off = (abs(y.mean()) - true.mean()) / error
                        if best is None or abs(off) < abs(best[0]):
                            best = off, R, scale, y.mean(), true.mean(), error, a
    if best is None:
        findings.law(*ELBO_LAW, note="not judged: its decoder cannot be called alone")
        return None
    off, R, scale, mean, true, error, a = best
    if abs(off) <= ERRORS:
        findings.law(*ELBO_LAW)
        findings.told.append(
            f"The mean of its loss is {mean:.5g}, minus the ELBO {true:.5g}: "
            f"{abs(off):.1f} standard errors apart."
        )
        return None
    findings.law(
        *ELBO_LAW,
        Mistake(
            f"The mean of its loss is {mean:.5g}, minus the ELBO is {true:.5g} +- {error:.2g} "
            f"({R.says}): {abs(off):.0f} standard errors apart."
        ),
    )
    return None


def _shapes(model, findings, found):
    """A column (B, 1) beside a row (B,) among the terms of the loss"""
    if "loss" not in model or model.global_loss or not found:
        return
    record = found[0]
    try:
        value = model.call("loss", model.inputs("loss", record.x, record.seed, record.eps))
    except Unusable:
        return
    shapes = {np.shape(part(value, path)) for path in paths(value)}
    wrong = []
    if {(B, 1), (B,)} <= shapes or (B, B) in shapes:
        wrong = [
            Mistake(
                "A column (B, 1) and a row (B,) are among its terms: their sum is (B, B).",
                "column-plus-row",
            )
        ]
    findings.law("shapes", "one number for a batch, or one for each example", wrong)


def _weight(model, findings, fit, found):
    """An argument that weighs the KL does so"""
    if fit is None or "loss" not in model or model.global_loss:
        return
    weights = [p.name for p in model["loss"].parameters or () if role_of(p.name) == "weight"]
    if not weights:
        return
    path, _, R, K, a, b, _ = fit
    record, name = found[0], weights[0]
    law = ("beta", f"{name} is the weight of the KL")
    values = []
    for beta in (1.0, 3.0):
        parameters = [p for p in model["loss"].parameters if p.required and not p.variadic]
        try:
            given = model.inputs("loss", record.x, record.seed, record.eps)
            keywords = {}
            for i, p in enumerate(parameters):
                if p.name == name:
                    given[i] = beta
            if name not in [p.name for p in parameters]:
                keywords = {name: beta}
            value = model.call("loss", given, record.seed, keywords=keywords)
            values.append(_totals(value)[path])
        except (Unusable, KeyError):
            findings.law(*law, note="not judged: its loss takes more than x")
            return
    kl = t.feature(K, t.Values(mu=record.mu, s=record.s), len(values[0]) == B)
    moved, true = values[1] - values[0], 2 * b * kl
    if R.right and np.allclose(moved, 0, atol=1e-3 * np.abs(true).max()):
        findings.law(*law, Mistake(f"{name} is accepted and not used.", "beta-ignored"))
    elif not np.allclose(moved, true, rtol=0.02, atol=1e-4 * abs(a)):
        findings.law(
            *law, Mistake(f"{name} is not the weight of the KL.", "beta-on-reconstruction")
        )
    else:
        findings.law(*law)


def _fewer(model, findings, fit, found):
    """With fewer examples the two terms keep their weights"""
    if fit is None or not model.takes_eps:
        return
    path, r, R, K, a, b, c = fit
    if not (R.right and K.right and r == K.reading) or abs(c) > 1e-6 * abs(a):
        return
    record, n = found[0], B - 2
    x, eps = record.x[:n], record.eps[:n]
    try:
        total = model.losses(x, record.seed, eps).get(path)
        z = record.mu + of_sampler.STD[r](record.s) * record.eps
        recon = model.decode(z, record.x)
    except Unusable:
        return
    if total is None or total.size != 1:
        return
    v = t.Values(x=x.reshape(n, -1), r=recon[:n], mu=record.mu[:n], s=record.s[:n])
    averaged = abs(a) < 0.9
    a_now = a * B / n if averaged else a
    b_now = (float(total[0]) - a_now * R.value(v).sum()) / K.value(v).sum()
    law = ("batch size", "the weight of the KL does not depend on the number of examples")
    if np.isclose(b_now / a_now, b / a, rtol=1e-2):
        findings.law(*law)
    else:
        said = f"The weight of the KL is {b / a:.3g} for {B} examples, {b_now / a_now:.3g} for {n}."
        findings.law(*law, Mistake(said, "kl-weighted-by-batch"))


def _sure(model, findings, fit, found):
    """Far from the origin the decoder is sure: nothing is clipped, all is finite"""
    if fit is None or not model.takes_eps:
        return
    path, r, R, K, a, b, c = fit
    if not (R.right and K.right and r == K.reading and R.reading == "logits"):
        return
    record = found[0]
    law = ("far away", "the same where the decoder is sure of its pixels")
    eps = 100 * record.eps
    try:
        recon = model.decode(record.mu + of_sampler.STD[r](record.s) * eps, record.x)
        total = model.losses(record.x, record.seed, eps)[path]
    except (Unusable, KeyError):
        return
    v = t.Values(x=record.x.reshape(B, -1), r=recon, mu=record.mu, s=record.s)
    true = a * R.value(v) + b * K.value(v) + c / B
    true = true if total.size == B else true.sum()
    if not np.all(np.isfinite(total)):
        said = "It is not finite where the decoder is sure of its pixels: log 0."
        findings.law(*law, Mistake(said, "log-of-sigmoid"))
    elif not np.allclose(total, true, rtol=1e-3):
        said = "Where the decoder is sure of its pixels the loss is off: it is clipped."
        findings.law(*law, Mistake(said, "probabilities-clipped"))
    else:
        findings.law(*law)


def _below_log_px(model, findings, fit, found, rng):
    """-loss is never above log p(x), by importance weights"""
    law = ("the bound", "-loss <= log p(x), by importance weights")
    if fit is None or "decode" not in model:
        findings.law(*law, note="not judged: its loss could not be repeated")
        return
    path, _, R, K, a, _, _ = fit
    if not (R.right and K.right) or R.family not in ("bernoulli",):
        findings.law(*law, note="not judged: its terms are no log p of pixels of 0 and 1")
        return
    record = found[0]
    std = np.sqrt(t.variance_of(record.s, K.reading))
    flat, weights, S = record.x.reshape(B, -1), [], 100
    for _ in range(S):
        eps = rng.standard_normal(record.mu.shape)
        z = record.mu + std * eps
        try:
            nll = R.value(t.Values(x=flat, r=model.decode(z, record.x)))
        except Unusable:
            return
        weights.append(-nll - 0.5 * (z**2).sum(1) + 0.5 * (eps**2).sum(1) + np.log(std).sum(1))
    weights = np.array(weights)
    log_px = log_mean_exp(weights, 0)
    spread = np.exp(weights - weights.max(0))
    error = spread.std(0) / spread.mean(0) / np.sqrt(S)
    try:
        many = [
            model.losses(record.x, 5000 + i, rng.standard_normal(record.mu.shape))[path]
            for i in range(40)
        ]
    except (Unusable, KeyError):
        return
    y = np.array([np.sum(m) for m in many]) / abs(a)
    bound, s = -abs(y.mean()), y.std() / np.sqrt(len(y))
    above = bound - log_px.sum()
    if above > ERRORS * (s + error.sum()) + 1e-4 * abs(log_px.sum()):
        findings.law(
            *law, Mistake(f"-loss is {bound:.5g}, log p(x) is {log_px.sum():.5g}: it is no bound.")
        )
    else:
        findings.law(*law)


def _samples(model, findings, rng):
    """sample(n) is decode(z), z ~ N(0, I)"""
    law = ("samples", "sample(n) = decode(z), z ~ N(0, I)")
    if "sample" not in model or "decode" not in model:
        findings.law(*law, note="it has no sample or generate")
        return
    function = model["sample"]
    n = 400
    given = []
    for p in function.parameters or ():
        if not p.required or p.variadic:
            continue
        if of_sampler.RANDOM.search(p.name):
            given.append(Rng(11))
        elif role_of(p.name) in ("x",):
            findings.law(
                *law,
                Mistake(
                    f"It samples from q(z|x) of {p.name}, not from the prior.",
                    "posterior-at-generation",
                ),
            )
            return
        elif re.search(r"device", p.name):
            given.append("cpu")
        else:
            given.append(n)
    outcome = function.call(given, seed=11, dtype=model.dtype, training=model.training)
    leaf = next(
        (l for l in leaves(outcome.value) if isinstance(l, np.ndarray) and len(l) == n), None
    )
    if outcome.error or leaf is None:
        findings.law(*law, note="it could not be called with a number")
        return
    got = leaf.reshape(n, -1).astype(float)
    z = rng.standard_normal((n, model.latents))
    blank = np.zeros((n, *model.shape))
    try:
        true = model.decode(z, blank)
    except Unusable as reason:
        findings.law(*law, note=f"not judged: {reason}")
        return
    for squash in (lambda a: a, t.sigmoid):
        ours = squash(true)
        first, second = ours.mean(0), got.mean(0)
        error = np.sqrt((ours.var(0) + got.var(0)) / n) + 1e-6
        off = np.abs(first - second) / error
        spread = got.var(0).sum() / max(ours.var(0).sum(), 1e-12)
        binary = np.isin(got, (0.0, 1.0)).all()
        if np.mean(off > ERRORS) < 0.02 and (binary or 0.6 < spread < 1.6):
            findings.law(*law)
            return
    findings.law(
        *law,
        Mistake(
            "What it samples is not decode(z) of z ~ N(0, I): its pixels have "
            "another mean or spread.",
            "posterior-at-generation",
        ),
    )


def _gradient(model, findings, found, rng):
    """The gradient by x at fixed noise against differences: through mu and sigma, through z"""
    law = ("gradient", "d loss / d x at the same noise, as differences have it")
    if model.library not in ("torch", "jax"):
        findings.law(*law, note="NumPy functions have no gradient of their own")
        return
    kind = "loss" if "loss" in model and not model.global_loss else "forward"
    if kind not in model:
        findings.law(*law, note="its loss takes more than x")
        return
    x, seed = model.draw_x(rng), 77
    x = 0.25 + 0.5 * x
    try:
        arguments = model.inputs(kind, x, rng=seed, eps=rng.standard_normal((B, model.latents)))
        place = next(i for i, a in enumerate(arguments) if a is x)
        totals = _totals(model.call(kind, arguments, seed))
    except (Unusable, StopIteration):
        findings.law(*law, note="its loss takes more than x")
        return
    path = next(iter(totals))
    if path == ("sum",):
        findings.law(*law, note="its loss comes in two terms")
        return
    outcome = model[kind].call(
        arguments, seed=seed, dtype=model.dtype, gradient=path or True, training=model.training
    )
    if outcome.gradients is None or outcome.gradients[place] is None:
        findings.law(*law, Mistake("No gradient goes through its loss.", "gradient-blocked"))
        return
    direction = rng.standard_normal(x.shape)
    step = 1e-6 if model.dtype == "float64" else 1e-2
    values = []
    for sign in (1, -1):
        moved = list(arguments)
        moved[place] = x + sign * step * direction
        values.append(float(_totals(model.call(kind, moved, seed))[path].sum()))
    true = (values[0] - values[1]) / (2 * step)
    got = float(np.sum(np.asarray(outcome.gradients[place]) * direction))
    close = 0.05 if model.dtype == "float32" else 1e-4
    noise = 1e-5 * abs(values[0]) / step if model.dtype == "float32" else 1e-6
    if abs(got - true) > close * abs(true) + noise:
        findings.law(
            *law,
            Mistake(
                f"Its gradient by x is {got:.5g} where differences give "
                f"{true:.5g}: a part of it is detached.",
                "gradient-blocked",
            ),
        )
    else:
        findings.law(*law)


def described(value):
    """Is an answer something that is no number?"""
    return isinstance(value, Described)
