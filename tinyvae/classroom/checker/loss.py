"""Is this loss of a VAE right?  R + beta K, with one reduction for both, or the term that is off.

    def loss(x, x_hat, mu, logvar):
    ...     kl = 0.5 * (mu**2 + np.exp(logvar) - 1 - logvar).sum(1)
    ...     return np.mean(((x - x_hat) ** 2).sum(1) - kl)
    findings = judge(LocalFunction(loss))
    findings.right, findings.names
    (False, ['kl-subtracted'])

A loss is a R + b K + c, R a reconstruction term and K a KL.  The pictures move alone, then mu and
the scale move alone; each time the change is compared with every term of `terms`, right and wrong.
The factors a and b are measured at several sizes: how they depend on the numbers of examples, of
pixels and of latent dimensions says what was averaged and what was summed.
"""

import math
import re
from dataclasses import dataclass

import numpy as np

from tinyvae.classroom.checker import terms as t
from tinyvae.classroom.checker.calling import (
    LATENT,
    NEUTRAL,
    PICTURES,
    Failed,
    Subject,
    draw,
    moved,
    part,
    paths,
    prior,
    subjects,
)
from tinyvae.classroom.checker.findings import Findings, Mistake
from tinyvae.classroom.checker.function import CannotRun
from tinyvae.classroom.checker.roles import reading_of, role_of
from tinyvae.classroom.checker.values import Described, leaves
from tinyvae.classroom.museum.catalogue import MUSEUM

DRAWS = 10  # of each part
RECON_WEIGHT = re.compile(r"rec|mse|bce|lik|pixel|alpha", re.IGNORECASE)


def museum(code_or_name):
    """The museum's name of a mistake, by its code; a name stays as it is"""
    return next((bug.name for bug in MUSEUM.values() if bug.code == code_or_name), code_or_name)


# ---- judging -------------------------------------------------------------------------------------


PIXELS = {n * n * c for n in (8, 16, 28, 32, 64, 128) for c in (1, 3)} | {560}
BATCHES = (16, 32, 64, 128, 256, 512)


def _sizes_in_the_code(subject, findings):
    """Sizes for which a loss would be right that divides by a number of pixels, or of examples,
    that is written down in it: such sizes as pictures and batches have"""
    names = {mistake.name for mistake in findings.mistakes}
    B, D, Z = subject.sizes
    if not names or not subject.a or not subject.b or subject.shapes[0] != (0,):
        return
    ratio = abs(subject.b / subject.a)
    for factor in (1, 2, 0.5):
        if names <= {"mean-over-pixels", "kl-divided-by-pixels"}:
            for pixels in (D / (ratio * factor), D * ratio * factor):
                if abs(pixels - round(pixels)) < 1e-4 * pixels and round(pixels) in PIXELS:
                    yield (B, round(pixels), Z)
        if names <= {"kl-summed-over-batch", "kl-averaged-over-batch"}:
            for examples in (B / (ratio * factor), B * ratio * factor):
                if abs(examples - round(examples)) < 1e-4 * examples and round(examples) in BATCHES:
                    yield (round(examples), D, Z)


def _again_with_its_sizes(subject, findings, seed):
    """The findings for the sizes that are written down in the code, if it is right for them"""
    for sizes in _sizes_in_the_code(subject, findings):
        other = Subject(subject.f, subject.assigned, subject.shapes, sizes)
        other.packed, other.packed_keywords = subject.packed, subject.packed_keywords
        other.bundle, other.single, other.t_is_scalar = (
            subject.bundle,
            subject.single,
            subject.t_is_scalar,
        )
        other.fixed = True
        found = _judge(other, seed)
        if found and found.right:
            at = (
                f"for pictures of {sizes[1]} pixels"
                if sizes[1] != subject.sizes[1]
                else f"for batches of {sizes[0]} examples"
            )
            found.told.insert(0, f"Right {at} only: the number is written down in it.")
            return found
    return None


def judge(function, seed=0):
    """Compare a loss with R + beta K.    ->  Findings;  CannotRun if it cannot be called

    function    a checker Function: loss(recon_x, x, mu, logvar), in any order, with weights, ...
    """
    best = None
    for subject in subjects(function):
        findings = _judge(subject, seed)
        if findings is None:
            continue
        if not findings.right:
            findings = _again_with_its_sizes(subject, findings, seed) or findings
        if best is None or (findings.right and not best.right):
            best = findings
        if best.right or _names_decide(function, subject):
            break
    if best is None:
        raise CannotRun(
            f"{function.shown_name} is no loss of a VAE: its answer does not depend on a picture "
            "and on mu and a scale"
        )
    return best


def _names_decide(function, subject):
    """Do the names of the arguments say which is which?"""
    return subject.packed or all(
        role_of(name) == role if role in ("r", "x") else role_of(name)
        for role, name in subject.assigned.items()
        if not isinstance(role, tuple)
    )


@dataclass
class Part:
    """A part of the loss: the term that it is, and its factor."""

    match: t.Match
    factor: float = 0.0

    @property
    def term(self):
        return self.match.term


def _judge(subject, seed):
    findings = Findings()
    rng = np.random.default_rng(seed)
    base = draw(rng, subject.sizes)
    choice = _choose_answer(subject, base, rng)
    if choice is None:
        return None
    findings.takes = _takes(subject)
    if not _manners(subject, findings, base):
        return findings
    recon, found_grey = _part(subject, rng, base, PICTURES, "x" if subject.has("x") else "recon")
    subject.grey = found_grey or (recon is not None and recon.term.museum == "target-as-prediction")
    if subject.grey:
        base = draw(rng, subject.sizes, grey=True)
    kl = None
    if subject.has("s") or subject.has("mu") or subject.has("kl"):
        kl = _part(subject, rng, base, LATENT, "mu")[0]
    _reconstruction(subject, findings, recon, rng, base)
    _kl(subject, findings, kl, rng, base)
    if recon and (kl or not _needs_kl(subject)) and not subject.floor:
        _sum(subject, findings, recon, kl, rng)
        _far(subject, findings, recon, kl, base)
        _gradient(subject, findings, recon, kl, rng, base)
    _others(subject, findings, recon, kl, rng, base)
    if findings.mistakes:
        smallest(subject, findings, recon, kl)
    return findings


def _needs_kl(subject):
    return subject.has("mu") or subject.has("s") or subject.has("kl")


def _takes(subject):
    names = {"r": "the decoder's answer", "x": "the data", "mu": "mean of q", "s": "scale of q"}
    said = [f"{name} {names[role]}" for role, name in subject.assigned.items() if role in names]
    kind = {"numpy": "NumPy arrays", "torch": "PyTorch tensors", "jax": "JAX arrays"}
    return ", ".join(said) + f"; {kind.get(subject.f.library, 'plain numbers')}"


def _choose_answer(subject, base, rng):
    """Set which leaf of the answer is the loss.  None if none moves with what it is given."""
    base = prior(subject, base)
    tree = subject.tree(base).value
    there = paths(tree)
    other = prior(subject, draw(rng, subject.sizes))
    try:
        pictures = subject.tree(moved(base, other, PICTURES)).value
        latent = subject.tree(moved(base, other, LATENT)).value
    except Failed:
        return None

    def differs(path, changed):
        a, b = np.asarray(part(tree, path), float), np.asarray(part(changed, path), float)
        return a.shape != b.shape or not np.allclose(a, b, rtol=1e-9, atol=1e-12, equal_nan=True)

    both = [p for p in there if differs(p, pictures) and differs(p, latent)]
    if not both and not _needs_kl(subject):
        both = [p for p in there if differs(p, pictures)]
    subject.only_terms = False
    if not both:
        first = [p for p in there if differs(p, pictures)]
        second = [p for p in there if differs(p, latent)]
        if not first or not second:
            both = first or second  # a term is missing, or is never reached
            if not both:
                return None
        else:
            subject.only_terms, both = True, first[:1]
            subject.second = second[0]
    named = [p for p in both if p and re.search(r"^(total_?)?loss$|total|nelbo|^obj", str(p[-1]))]
    named += [p for p in both if p and re.search(r"loss|elbo", str(p[-1]))]
    subject.path = (named or both)[0]
    leaf = np.asarray(part(tree, subject.path), float)
    B = subject.sizes[0]
    subject.shape = leaf.shape
    kinds = [kind.dtype for kind in subject.tree(base).kinds]
    subject.single_precision = any(dtype in ("float32", "float16", "bfloat16") for dtype in kinds)
    subject.per_example = leaf.shape in ((B,), (B, 1), (1, B))
    return subject.path


def _manners(subject, findings, base):
    """One number, the same twice.  False if nothing else can be judged."""
    base = prior(subject, base)
    first, again = subject.tree(base), subject.tree(base)
    B = subject.sizes[0]
    if subject.shape == (B, B):
        findings.law(
            "one number",
            "one number for a batch, or one for each example",
            Mistake(
                f"It gives shape ({B}, {B}) for a batch of {B}: a column (B, 1) and a row (B,) are "
                "added.",
                museum("column-plus-row"),
            ),
        )
        return False
    if not subject.per_example and math.prod(subject.shape) != 1:
        findings.law(
            "one number",
            "one number for a batch, or one for each example",
            Mistake(
                f"It gives shape {subject.shape} for {B} examples with {subject.sizes[1]} "
                f"pixels and {subject.sizes[2]} latent dimensions: a sum over these is missing.",
                museum("sum-missing"),
            ),
        )
        return False
    findings.law("one number", "one number for a batch, or one for each example")
    a, b = (np.asarray(part(o.value, subject.path), float) for o in (first, again))
    other = subject.f.call(subject.arguments(base)[0], keywords=subject.arguments(base)[1], seed=3)
    c = np.asarray(part(other.value, subject.path), float) if not other.error else a
    if not np.array_equal(a, b, equal_nan=True) or not np.array_equal(a, c, equal_nan=True):
        findings.law(
            "same answer twice",
            "the noise is in its arguments",
            Mistake("Its answer is another one every time, for the same arguments."),
        )
        return False
    findings.law("same answer twice", "the noise is in its arguments")
    wrong = [Mistake(f"It changes its argument {name} in place.") for name in first.changed]
    findings.law("arguments untouched", "they are as before", wrong)
    return True


def _answers(subject, draws):
    """(n, B) or (n, 1), or None where a call fails or is not finite"""
    rows = []
    for values in draws:
        try:
            rows.append(subject(values))
        except (Failed, KeyError, IndexError, TypeError, ValueError):
            return None
    rows = np.array(rows)
    return rows if np.all(np.isfinite(rows)) else None


def _expected(subject, role):
    """How the name of the argument says it is to be read, "" if it does not"""
    return reading_of(subject.name(role)) if role in subject.assigned else ""


def _order(subject, found, role):
    """The matches, those first that the argument's name speaks for"""
    said = _expected(subject, role)
    equal = {"means": ("means", "probabilities")}.get(said, (said,))

    def rank(match):
        term = match.term
        named = not said or not term.reading or term.reading in equal
        return (not (term.right and named), not named, not term.right)

    return sorted(found, key=rank)


def _part(subject, rng, base, names, role):
    """(the Part that moves with these arguments, or None;  are x of 0 and 1?)"""
    pictures = names is PICTURES
    path = subject.path
    if subject.only_terms and not pictures:
        subject.path = subject.second
    try:
        candidates = (
            (t.SCALED_RECONSTRUCTIONS if subject.has("t") else t.RECONSTRUCTIONS)
            if pictures
            else (t.SAMPLED_KLS if subject.has("z") or subject.has("eps") else t.KLS)
        )
        for grey in (False, True) if pictures else (False,):
            found = _match(subject, rng, base, names, candidates, grey)
            if found:
                if not grey and pictures and found[0].term.family != "bernoulli":
                    found = _match(subject, rng, base, names, candidates, True) or found
                return Part(found[0], found[0].factor), grey
    finally:
        subject.path = path
    return None, False


def _match(subject, rng, base, names, candidates, grey):
    """The terms that explain how the loss moves with these arguments, best first"""
    draws = [prior(subject, draw(rng, subject.sizes, grey=grey)) for _ in range(DRAWS)]
    base = prior(subject, base)
    found = []
    if names is LATENT and subject.has("z"):
        for scale in t.SCALES:  # z must be a draw from the q that is meant
            subject.scale = scale
            chosen = [moved(base, values, names) for values in draws]
            answers = _answers(subject, chosen)
            if answers is not None:
                scaled = [c for c in candidates if c.reading in (scale, "")]
                found += t.proportional(scaled, chosen, answers, subject.per_example)
                if any(m.term.right for m in found):
                    break
        subject.scale = next((m.term.reading for m in _order(subject, found, "s")), "logvar")
    else:
        chosen = [moved(base, values, names) for values in draws]
        answers = _answers(subject, chosen)
        if answers is None:
            return []
        for tolerance in (1e-6, 2e-5) if not subject.single_precision else (2e-5, 1e-3):
            found = t.proportional(candidates, chosen, answers, subject.per_example, tolerance)
            if found:
                break
    return _order(subject, found, "r" if names is PICTURES else "s")


# ---- the laws ------------------------------------------------------------------------------------

R_LAW = ("reconstruction", "R = -log p(x|z), a sum over pixels")
K_LAW = ("KL", "K = KL( q(z|x) || p(z) ), a sum over latents")


def _reconstruction(subject, findings, recon, rng, base):
    """Is the part that moves with the pictures a -log p(x|z)?"""
    if recon is None:
        wrong = Mistake(_unknown_reconstruction(subject, rng, base))
        findings.law(*R_LAW, wrong)
        return
    term, said = recon.term, _expected(subject, "r")
    if not term.right:
        findings.law(
            *R_LAW, Mistake(f"Its reconstruction term is {term.says}.", museum(term.museum))
        )
        return
    if term.family == "given":
        findings.laws.append([R_LAW[0], R_LAW[1], "-", "it is handed over"])
        return
    contradicted = (said == "logits" and term.reading in ("probabilities", "means")) or (
        said == "probabilities" and term.reading == "logits"
    )
    scale_said = _expected(subject, "t")
    if contradicted and not (said == "logits" and term.family in ("gaussian", "laplace")):
        name = museum("sigmoid-twice") if said == "probabilities" else museum("sigmoid-missing")
        findings.law(
            *R_LAW,
            Mistake(
                f"{subject.name('r')} is used as {term.reading}: its term is the {term.says}.", name
            ),
        )
    elif contradicted:
        findings.law(
            *R_LAW,
            Mistake(
                f"{subject.name('r')} is used as the mean of x: the sigmoid is missing.",
                museum("sigmoid-missing"),
            ),
        )
    elif said == "logits" and term.family in ("gaussian", "laplace"):
        findings.law(
            *R_LAW,
            Mistake(
                f"Its reconstruction term is the {term.says}, no -log p of the pixels 0 and 1 that "
                "logits are for.",
                museum("squared-error"),
            ),
        )
    elif subject.has("t") and scale_said and scale_said != term.family:
        findings.law(
            *R_LAW,
            Mistake(f"{subject.name('t')} is used as a {term.family}.", museum("two-conventions")),
        )
    else:
        findings.law(*R_LAW)
    reading = f", with {subject.name('r')} as {term.reading}" if term.reading else ""
    if term.reading and term.reading in term.says:
        reading = f": {subject.name('r')}"
    findings.told.append(f"The reconstruction term is the {term.says}{reading}.")


def _unknown_reconstruction(subject, rng, base):
    """One sentence about a reconstruction term that is none that is known"""
    draws = [prior(subject, draw(rng, subject.sizes)) for _ in range(2)]
    answers = _answers(subject, [moved(prior(subject, base), v, PICTURES) for v in draws])
    if answers is not None and np.allclose(answers[0], answers[1], rtol=1e-12):
        return "It does not depend on the pictures: the reconstruction term is missing."
    if answers is None:
        return "Its reconstruction term fails, or is not finite, for pictures of zeros and ones."
    return (
        "Its reconstruction term is off: it is no -log p(x|z) that is known, nor a known mistake."
    )


def _kl(subject, findings, kl, rng, base):
    """Is the part that moves with mu and the scale a KL to the prior?"""
    if not _needs_kl(subject):
        findings.laws.append([K_LAW[0], K_LAW[1], "-", "it has no mu and no scale"])
        return
    if kl is None:
        findings.law(*K_LAW, _unknown_kl(subject, rng, base))
        return
    floor = _floor(subject, prior(subject, base), rng) if kl.term.right else None
    if floor:
        findings.law(*K_LAW, floor)
        subject.floor = True
        return
    term, said = kl.term, _expected(subject, "s")
    if term.family == "given":
        findings.laws.append([K_LAW[0], K_LAW[1], "-", "it is handed over"])
        return
    name = subject.name("s")
    if not term.right:
        findings.law(*K_LAW, Mistake(f"Its KL is {term.says}.", museum(term.museum)))
        return
    if said and said != term.reading:
        findings.law(
            *K_LAW,
            Mistake(
                f"{name} is used as {article(term.reading)}: its KL would be right for one.",
                museum("two-conventions"),
            ),
        )
        return
    findings.law(*K_LAW)
    at = " at one z, right in the mean" if term.family == "at a sample" else ""
    findings.told.append(f"The KL is KL(q || p){at}, with {name} as {article(term.reading)}.")


def article(reading):
    words = {
        "logvar": "a log-variance",
        "log std": "a log standard deviation",
        "variance": "a variance",
        "std": "a standard deviation",
    }
    return words.get(reading, reading)


def _unknown_kl(subject, rng, base):
    """The mistake of a KL that is not in the list: by its terms, by its floor, or just that"""
    path = subject.path
    if subject.only_terms:
        subject.path = subject.second
    try:
        base = prior(subject, base)
        draws = [moved(base, prior(subject, draw(rng, subject.sizes)), LATENT) for _ in range(40)]
        answers = _answers(subject, draws)
        if answers is None:
            return Mistake("Its KL fails, or is not finite, for ordinary mu and scale.")
        if np.ptp(answers, axis=0).max() < 1e-12:
            return Mistake(
                "It does not depend on mu and the scale: the KL is missing.", museum("kl-to-itself")
            )
        floor = _floor(subject, base, rng)
        if floor:
            return floor
        if subject.has("kl"):
            return Mistake("It is no multiple of the KL that it is given.")
        said = _expected(subject, "s")
        for scale in [said] if said else t.SCALES:
            weights = t.sparsest(draws, answers, subject.per_example, scale)
            if weights:
                return _weights_that_are_off(weights, scale)
    finally:
        subject.path = path
    return Mistake("Its KL is off: it is no KL of Gaussians, nor a known mistake.")


def _weights_that_are_off(weights, scale):
    """Which terms of 1/2 sum [ mu^2 + sigma^2 - 1 - log sigma^2 ] have another weight"""
    a, b, c = (weights.get(name, 0.0) for name in t.RIGHT_ATOMS)
    others = [name for name in weights if name not in t.RIGHT_ATOMS]
    size = abs(c) * 2 or 1.0
    if not others and a > 0 and b > 0 and c < 0 and np.isclose(a, b):
        variance = -2 * c / (2 * b)
        return Mistake(
            f"Its KL is the one to N(0, {variance:.4g} I), not to N(0, I).", museum("another-prior")
        )
    factors = {name: weights.get(name, 0.0) / size for name in t.RIGHT_ATOMS}
    off = [
        f"{name} has the weight {factors[name]:+.4g}, not {right:+g}"
        for name, right in t.RIGHT_ATOMS.items()
        if not np.isclose(factors[name], right, rtol=1e-4)
    ]
    off += [f"{weights[name] / size:+.4g} {name} does not belong there" for name in others]
    return Mistake(f"Its KL is off, with the scale as {article(scale)}: {'; '.join(off)}.")


def _floor(subject, base, rng):
    """Free bits: does it stop falling where the KL is small?"""
    if subject.has("kl"):
        kls = np.array([0.001, 0.002, 0.003, 0.004, 30.0])
        grid = [base.with_(kl=np.full(subject.sizes[0], k)) for k in kls]
        answers = _answers(subject, grid)
        flat = answers is not None and np.allclose(answers[0], answers[3], rtol=1e-12)
        if flat and not np.allclose(answers[0], answers[4]):
            return Mistake(
                "The KL has a floor (free bits): small ones do not count at all.", "free-bits"
            )
        return None
    Z = subject.sizes[2]
    unit = {"logvar": 0.0, "log std": 0.0, "variance": 1.0, "std": 1.0}
    for scale in t.SCALES:
        near = [
            base.with_(mu=np.full(base.mu.shape, m), s=np.full(base.s.shape, unit[scale]))
            for m in (0.0, 0.001, 0.002, 9.0)
        ]
        answers = _answers(subject, near)
        if answers is None:
            continue
        if np.allclose(answers[0], answers[2], rtol=0, atol=1e-13 * max(1, np.abs(answers).max())):
            if np.allclose(answers[0], answers[3]):
                continue
            one = near[0].mu.copy()
            one[:, 0] = 9.0
            each = one + np.where(np.arange(Z) == 1, 0.001, 0.0)
            two = _answers(subject, [near[0].with_(mu=one), near[0].with_(mu=each)])
            where = "each coordinate" if np.allclose(two[0], two[1], rtol=1e-13, atol=0) else "it"
            return Mistake(
                f"The KL has a floor (free bits): {where} does not count where it is small.",
                museum("free-bits"),
            )
    return None


# ---- the sum -------------------------------------------------------------------------------------


def factors(subject, recon, kl, sizes, rng, plain=None):
    """(a, b, c): loss = a R + b K + c, for these sizes.  c for each example, or for the batch"""
    old = subject.sizes, subject.plain
    subject.sizes = sizes
    subject.plain = old[1] | (plain or {})
    try:
        base, other, more = (prior(subject, draw(rng, sizes, grey=subject.grey)) for _ in range(3))
        pictures = [base, moved(base, other, PICTURES), moved(base, more, PICTURES)]
        latent = [base, moved(base, other, LATENT), moved(base, more, LATENT)]
        a = _factor(subject, recon, pictures, subject.path)
        second = subject.second if subject.only_terms else subject.path
        b = _factor(subject, kl, latent, second) if kl else 0.0
        total = subject(other)
        rest = total - a * t.feature(recon.term, other, subject.per_example)
        if kl and not subject.only_terms:
            rest = rest - b * t.feature(kl.term, other, subject.per_example)
        return a, b, rest
    finally:
        subject.sizes, subject.plain = old


def _factor(subject, found, draws, path):
    old, subject.path = subject.path, path
    try:
        answers = np.array([subject(values) for values in draws])
    finally:
        subject.path = old
    features = np.array([t.feature(found.term, values, subject.per_example) for values in draws])
    change, y = features[1:] - features[:1], answers[1:] - answers[:1]
    return float(np.sum(change * y) / np.sum(change**2))


SUM_LAW = ("sum", "loss = R + beta K, reduced over the batch alike")


def _sum(subject, findings, recon, kl, rng):
    """The factors, how they depend on the sizes, and what else is in the sum"""
    a, b, c = factors(subject, recon, kl, subject.sizes, rng)
    again = factors(subject, recon, kl, subject.sizes, rng)
    if not np.isclose(a, again[0], rtol=1e-4) or not np.isclose(b, again[1], rtol=1e-4):
        findings.law(*SUM_LAW, Mistake("It is no sum of the two: one term changes the other."))
        return
    subject.a, subject.b = a, b
    powers = subject.powers = _powers(subject, recon, kl, (a, b), rng)
    wrong = _of_dataset(subject, recon, kl, a, b, rng)
    if not wrong:
        wrong = _reductions(subject, findings, recon, kl, a, b, powers)
        others = _weights(subject, findings, recon, kl, a, b, rng)
        if any(m.name == "weight-and-batch-size" for m in others):
            wrong = []
        wrong = (
            others + wrong
            if not wrong
            else wrong + [m for m in others if m.name.startswith("beta")]
        )
    wrong += _constant(subject, findings, recon, kl, (a, b, c, again[2]), rng)
    findings.law(*SUM_LAW, wrong)


def _powers(subject, recon, kl, at, rng):
    """{"B": (p, q), ...}: a goes as B^p and b as B^q; where a size is fixed, by its factors"""
    found = {}
    sizes = subject.sizes
    for i, name in enumerate("BDZ"):
        if subject.fixed:
            found[name] = (0, 0)
            continue
        if i == 0 and subject.single:
            found[name] = (0, 0)
            continue
        if i == 1 and subject.shapes[0] != (0,):
            found[name] = _by_factor(at, sizes)
            continue
        other = tuple(n + 2 if j == i else n for j, n in enumerate(sizes))
        try:
            a, b, _ = factors(subject, recon, kl, other, rng)
        except (Failed, ValueError, IndexError, TypeError):
            found[name] = (0, 0)
            continue
        ratio = math.log(other[i] / sizes[i])
        found[name] = tuple(
            round(math.log(abs(new / old)) / ratio, 2) if new * old else 0.0
            for new, old in zip((a, b), at, strict=True)
        )
    return found


def _by_factor(at, sizes):
    """The powers of a number of pixels that cannot be changed, guessed from the factors"""
    B, D, _ = sizes
    return tuple(
        -1 if factor and any(_simple(factor * D * m) for m in (1, B)) and abs(factor) < 0.02 else 0
        for factor in at
    )


def _simple(number):
    return any(np.isclose(abs(number), n, rtol=1e-4) for n in (0.5, 1, 2, 0.25, 4))


COUNTS = {"B": "examples", "D": "pixels", "Z": "latent dimensions"}


def _product(powers):
    """ "B D" in words: what something is divided by"""
    return " and ".join(COUNTS[name] for name, p in powers.items() if p)


def _reductions(subject, findings, recon, kl, a, b, powers):
    """Mistakes in how the two terms are summed or averaged, and in their signs"""
    wrong = []
    name = subject.f.name.rpartition(".")[2].lower()
    is_elbo = bool(re.search(r"elbo|lower_?bound|log_?lik|log_?p", name)) and not re.search(
        r"loss|neg|nelbo|minus|cost|objective", name
    )
    if subject.path and isinstance(subject.path[-1], str):
        is_elbo = is_elbo or bool(re.search(r"^elbo$", subject.path[-1].lower()))
        if "loss" in subject.path[-1].lower():
            is_elbo = False
    sign = -1 if is_elbo else 1
    sign_r = np.sign(a) * (1 if recon.term.family != "log p" else -1)
    if kl and sign_r * np.sign(b) < 0:
        if sign_r == sign:
            wrong.append(
                Mistake(
                    "The KL is subtracted from the loss, not added."
                    if sign > 0
                    else "The KL is added to the ELBO, not subtracted.",
                    museum("kl-subtracted"),
                )
            )
        else:
            wrong.append(
                Mistake(
                    "The reconstruction term has the wrong sign.", museum("reconstruction-sign")
                )
            )
    elif sign_r != sign:
        what = "minus the ELBO" if is_elbo else "the ELBO, or a log-likelihood, to be maximised"
        wrong.append(
            Mistake(
                f"The sign is turned: it gives {what}, under the name {name}.",
                museum("sign-turned"),
            )
        )
    if kl:
        difference = {n: round(powers[n][1] - powers[n][0], 1) for n in "BDZ"}
        if any(difference.values()):
            wrong += _unlike(subject, a, b, powers, difference)
    if any(abs(p - round(p)) > 0.05 for pair in powers.values() for p in pair):
        wrong.append(Mistake("Its terms depend on the sizes in no simple way."))
    p_B = powers["B"][0]
    if not wrong:
        if p_B <= -2 or (subject.per_example and p_B <= -1):
            wrong.append(Mistake("It is averaged over the batch twice.", museum("averaged-twice")))
        elif subject.per_example:
            findings.told.append("It gives one number for each example.")
        elif subject.single:
            findings.told.append("It takes one example at a time.")
        elif p_B == 0 and subject.sizes[0] > 1:
            findings.told.append("It is summed over the batch.")
        else:
            findings.told.append("It is averaged over the batch.")
        if powers["D"][0] == -1:
            findings.told.append("Both terms are divided by the number of pixels.")
        if powers["Z"][0] == -1:
            findings.told.append("Both terms are divided by the number of latent dimensions.")
    return wrong


def _unlike(subject, a, b, powers, difference):
    """The mistakes of two terms that are not reduced alike"""
    (aB, _), (aD, bD), (aZ, bZ) = (powers[n] for n in "BDZ")
    wrong = []
    if aD == -1 and bD == 0 and bZ == -1:
        wrong.append(
            Mistake(
                "Both means: the reconstruction is averaged over the pixels and the "
                "KL over the latent dimensions; both must be sums.",
                museum("both-means"),
            )
        )
    else:
        if aD <= -1 and bD == 0:
            wrong.append(
                Mistake(
                    "The reconstruction is averaged over the pixels, the KL summed "
                    "over the latent dimensions: both must be sums.",
                    museum("mean-over-pixels"),
                )
            )
        if bZ == -1 and aZ == 0:
            wrong.append(
                Mistake(
                    "The KL is averaged over the latent dimensions: it must be their sum.",
                    museum("M22"),
                )
            )
        if bD <= -1 and aD == 0:
            wrong.append(
                Mistake(
                    "The KL is divided by the number of pixels, the reconstruction is not.",
                    museum("kl-divided-by-pixels"),
                )
            )
        if bD >= 1 and aD == 0:
            wrong.append(
                Mistake("The KL is multiplied by the number of pixels.", museum("mean-over-pixels"))
            )
    if difference["B"] == 1:
        said = (
            "The reconstruction is averaged over the batch, the KL is summed over it."
            if aB == -1
            else "The KL is multiplied by the number of examples."
        )
        wrong.append(Mistake(said, museum("kl-summed-over-batch")))
    elif difference["B"] == -1:
        said = (
            "The KL is averaged over the batch, the reconstruction is summed over it."
            if aB == 0
            else "The KL is averaged over the batch twice."
        )
        wrong.append(
            Mistake(said, museum("kl-averaged-over-batch" if aB == 0 else "averaged-twice"))
        )
    elif difference["B"]:
        wrong.append(Mistake("The two terms are reduced over the batch in different ways."))
    if not wrong:
        wrong.append(
            Mistake(
                "The weight of the KL against the reconstruction depends on the "
                f"number of {_product(difference)}."
            )
        )
    return wrong


def _weights(subject, findings, recon, kl, a, b, rng):
    """What the arguments that weigh do, and which weight is left when they are 1"""
    wrong, told = [], []
    mixed = _mixed_up(subject, recon, kl, a, b, rng)
    if mixed:
        return [mixed]
    for key, name in subject.weights.items():
        try:
            new = factors(subject, recon, kl, subject.sizes, rng, {key: 3.0})
            far = factors(subject, recon, kl, subject.sizes, rng, {key: 0.5})
        except (Failed, TypeError, ValueError):
            continue
        fa, fb = new[0] / a, new[1] / b if b else 1.0
        ga, gb = far[0] / a, far[1] / b if b else 1.0
        is_recon = bool(RECON_WEIGHT.search(name)) and not re.search(r"kl|beta", name.lower())
        if np.allclose((fa, fb, ga, gb), (1, 3, 1, 0.5), rtol=1e-4):
            told.append(f"{name} is the weight of the KL.")
        elif np.allclose((fa, fb, ga, gb), (3, 1, 0.5, 1), rtol=1e-4):
            if is_recon or not kl:
                told.append(f"{name} is the weight of the reconstruction.")
            else:
                wrong.append(
                    Mistake(
                        f"{name} multiplies the reconstruction, not the KL.",
                        museum("beta-on-reconstruction"),
                    )
                )
        elif np.allclose((fa, fb, ga, gb), 1, rtol=1e-6):
            if np.allclose(new[2], far[2], rtol=1e-6, atol=1e-9):
                wrong.append(Mistake(f"{name} is accepted and not used.", museum("beta-ignored")))
        elif np.allclose((fa, ga), (fb, gb), rtol=1e-4):
            if re.search(r"beta|kl", name.lower()):
                wrong.append(
                    Mistake(
                        f"{name} multiplies both terms, not only the KL.", museum("beta-on-both")
                    )
                )
            else:
                told.append(f"{name} multiplies the whole loss.")
        elif np.allclose((fa, ga), 1, rtol=1e-4) and np.isclose(fb, 1 / 3, rtol=1e-4):
            wrong.append(
                Mistake(f"The KL is divided by {name}, not multiplied.", museum("beta-divides"))
            )
        elif np.allclose((fa, ga), 1, rtol=1e-4) and np.isclose(fb, 9, rtol=1e-4):
            wrong.append(Mistake(f"The KL is multiplied by {name} twice.", museum("beta-squared")))
        else:
            wrong.append(
                Mistake(
                    f"{name} is no weight of one of the terms: at 3 the reconstruction "
                    f"is multiplied by {fa:.4g} and the KL by {fb:.4g}."
                )
            )
    findings.told += told
    if kl and not wrong:
        wrong += _ratio(subject, findings, recon, kl, a, b)
    return wrong


def _mixed_up(subject, recon, kl, a, b, rng):
    """Does a batch size weigh the KL against the reconstruction?"""
    for key, name in subject.assigned.items():
        if not (isinstance(key, tuple) and key[0] == "count" and kl and a and b):
            continue
        if subject._count(name, draw(rng, (2, 3, 4))) != 2:
            continue
        new = factors(subject, recon, kl, subject.sizes, rng, {key: 3 * subject.sizes[0]})
        ratio = (new[1] / b) / (new[0] / a)
        if np.isclose(ratio, 3, rtol=1e-4) and subject.weights:
            weights = " and ".join(subject.weights.values())
            return Mistake(
                f"{name} and {weights} are mixed up: {name} weighs the KL.", "weight-and-batch-size"
            )
        if not np.isclose(ratio, 1, rtol=1e-4):
            return Mistake(f"The weight of the KL depends on {name}.", "weight-and-batch-size")
    return None


def _ratio(subject, findings, recon, kl, a, b):
    """The weight of the KL that is left: 1, a fixed beta, a Gaussian's variance, or a factor 2"""
    if not a:
        return []
    B, D, Z = subject.sizes
    ratio = abs(b / a)
    if subject.fixed and not np.isclose(ratio, (0.5, 1.0)).any():
        return [Mistake("The two terms are not weighted alike.")]
    if recon.term.family in ("gaussian", "laplace", "huber") and recon.term.right:
        if recon.term.family == "gaussian" and _settled(ratio):
            findings.told.append(
                f"It is right up to a constant for a decoder N(x_hat, {ratio:.4g} I)."
            )
        return []
    if np.isclose(ratio, 1, rtol=1e-4):
        return []
    if any(isinstance(key, tuple) and key[0] == "step" for key in subject.assigned):
        findings.told.append(f"At step {NEUTRAL['step']} the weight of the KL is {ratio:.4g}.")
        return []
    if np.isclose(ratio, 2, rtol=1e-4):
        return [
            Mistake("The KL counts twice: its 1/2 is missing, or it is added twice.", museum("M01"))
        ]
    if np.isclose(ratio, 0.5, rtol=1e-4):
        return [
            Mistake(
                "The KL counts half: a 1/2 too many, or the reconstruction twice.",
                museum("kl-halved"),
            )
        ]
    if any(
        np.isclose(ratio * k, 1, rtol=1e-4) or np.isclose(ratio / k, 1, rtol=1e-4)
        for k in (B, D, Z, D / Z, B * D, B * Z)
        if k > 1
    ):
        return []  # the sizes have been told
    findings.told.append(f"The KL has the fixed weight {ratio:.4g}: a beta-VAE.")
    return []


def _of_dataset(subject, recon, kl, a, b, rng):
    """Mistakes: the size of a data set weighs the KL"""
    for key, name in subject.assigned.items():
        if (
            isinstance(key, tuple)
            and key[0] == "count"
            and kl
            and b
            and subject._count(name, draw(rng, (2, 3, 4))) == 50
        ):
            new = factors(subject, recon, kl, subject.sizes, rng, {key: 100})
            if not np.isclose(new[1] / b, new[0] / a, rtol=1e-4):
                return [
                    Mistake(
                        f"The weight of the KL depends on {name}: z's KL belongs to one "
                        "example, as its reconstruction does.",
                        "kl-weighted-by-batch",
                    )
                ]
    return []


def _settled(ratio):
    return 1e-6 < ratio < 1e6


def _constant(subject, findings, recon, kl, at, rng):
    """What is added to a R + b K: nothing, what a term dropped, or a mistake"""
    a, b, c, again = at
    c = np.atleast_1d(c)
    scale = (abs(a) * 10 + abs(b)) * (1e3 if subject.single_precision else 1)
    if np.ptp(np.concatenate([c, np.atleast_1d(again)])) > 1e-6 * max(scale, 1e-12):
        return [Mistake("It is no sum of a reconstruction term and a KL: something else moves.")]
    B, D, Z = subject.sizes
    per_example = float(np.mean(c)) / (1 if subject.per_example else B)
    if abs(per_example) < 1e-6 * scale:
        return []
    of_kl = per_example / b if b else math.nan
    of_recon = per_example / a if a else math.nan
    normaliser = 0.5 * D * math.log(2 * math.pi)
    if np.isclose(of_recon, normaliser, rtol=1e-4):
        findings.told.append("The constant 1/2 log 2 pi of each pixel is in it.")
        return []
    if np.isclose(of_kl, Z / 2, rtol=1e-4):
        findings.told.append(
            "It is right up to a constant: the -1 of each latent dimension is "
            "dropped, so its KL is not 0 at q = p."
        )
        return []
    if np.isclose(of_kl, (Z - 1) / 2, rtol=1e-4):
        return [
            Mistake(
                "The KL has one -1 for all latent dimensions: there is one for each.", museum("M03")
            )
        ]
    if np.isclose(of_kl, Z, rtol=1e-4):
        return [Mistake("The KL has +1 for each latent dimension where -1 belongs.", museum("M04"))]
    if (
        recon.term.family in ("gaussian", "laplace", "best sigma")
        and abs(of_recon) < 1e3
        and (_grows_with_pixels(subject, recon, kl, per_example, rng))
    ):
        findings.told.append("A constant of each pixel is in it, as of a fixed sigma.")
        return []
    amount = f"{per_example / (a or 1):+.4g}"
    return [
        Mistake(
            f"A constant is added that belongs to neither term: {amount} for each example.",
            museum("constant-added"),
        )
    ]


def _grows_with_pixels(subject, recon, kl, constant, rng):
    """Is the constant proportional to the number of pixels?"""
    if subject.shapes[0] != (0,):
        return True
    B, D, Z = subject.sizes
    try:
        c = factors(subject, recon, kl, (B, 2 * D, Z), rng)[2]
    except (Failed, ValueError, IndexError):
        return False
    c = float(np.mean(c)) / (1 if subject.per_example else B)
    return bool(np.isclose(c, 2 * constant, rtol=1e-4) or np.isclose(c, constant, rtol=1e-4))


# ---- far away ------------------------------------------------------------------------------------

FAR_LAW = ("far away", "the same for sure pixels, wide and narrow q")


def _far(subject, findings, recon, kl, base):
    """Clipped, a small number in the logarithm, overflow"""
    wrong = []
    base = prior(subject, base)
    if recon.term.right and recon.term.family == "bernoulli" and subject.has("r"):
        wrong += _far_probabilities(subject, findings, recon, base)
    if kl and kl.term.right and kl.term.family == "closed form" and not subject.has("s_p"):
        wrong += _far_scales(subject, findings, kl, base)
    findings.law(*FAR_LAW, wrong)


def _one_pixel(subject, base, value, pixel):
    """The change of the loss, in nats of one pixel, when one picture's pixel is this sure"""
    r, x = np.full(base.r.shape, 0.5), np.zeros(base.x.shape)
    x[0, 0] = pixel
    here = base.with_(r=r, x=x)
    sure = r.copy()
    sure[0, 0] = value
    try:
        change = subject(base.with_(r=sure, x=x)) - subject(here)
    except Failed:
        return math.nan
    return float(change.sum()) / subject.a


def _far_probabilities(subject, findings, recon, base):
    logits = recon.term.reading == "logits"
    at_half = math.log1p(math.exp(0.5)) if logits else math.log(2)

    def cost(value, pixel=1.0):
        start = at_half - (0.5 if logits and pixel else 0.0)
        return _one_pixel(subject, base, value, pixel) + start

    if logits:
        far, sure = cost(-60.0), cost(60.0, 0.0)
        if not (math.isfinite(far) and math.isfinite(sure)):
            mild = cost(-20.0)
            findings.told.insert(0, "Right for ordinary input; not finite for logits beyond 37.")
            if abs(mild - 20) > 0.01:
                return [_clip(mild)]
            return [
                Mistake(
                    "The sigmoid is taken first, then the logarithm: log 0 for a logit of 60.",
                    museum("log-of-sigmoid"),
                )
            ]
        mild = cost(-30.0)
        if abs(mild - 30) > 0.3:
            return [_clip(mild, cost)]
        if max(abs(far - 60), abs(sure - 60)) > 1:
            findings.told.append("For logits beyond 37 it is clamped, or loses its digits.")
        return []
    far = cost(1e-30)
    if not math.isfinite(far):
        return [Mistake("It is not finite for a probability of 1e-30.", museum("log-of-sigmoid"))]
    if abs(far - 30 * math.log(10)) > 1:
        return [_clip(far, cost)]
    return []


def _clip(most, cost=None):
    """The mistake of a cost that never exceeds `most` nats"""
    tiny = math.exp(-most)
    if cost is not None:
        near = cost(-most) if cost(-1.0) - cost(-2.0) < -0.5 else cost(tiny)
        if abs(near - (most - math.log(2))) < 0.05:
            return Mistake(
                f"{tiny:.2g} is added inside the logarithm: right for ordinary input, but "
                f"no pixel can cost more than {most:.3g} nats.",
                museum("epsilon-in-cross-entropy"),
            )
    return Mistake(
        f"Probabilities are clipped at {tiny:.2g}: right for ordinary input, but no pixel "
        f"can cost more than {most:.3g} nats.",
        museum("probabilities-clipped"),
    )


def _far_scales(subject, findings, kl, base):
    """Is the KL right for sigma^2 from 1e-11 to 1e11?"""
    scale = kl.term.reading
    zero = np.zeros(base.mu.shape)
    unit = t.scale_from_logvar(zero, scale)
    path, subject.path = subject.path, subject.second if subject.only_terms else subject.path
    try:
        for logvar in (-10.0, 10.0, -25.0, 25.0):
            far = zero.copy()
            far[0, 0] = logvar
            there = base.with_(mu=zero, s=t.scale_from_logvar(far, scale))
            here = base.with_(mu=zero, s=unit)
            change = float((subject(there) - subject(here)).sum()) / subject.b
            true = 0.5 * (math.expm1(logvar) - logvar)
            if not abs(change - true) <= 1e-3 * abs(true):
                kind = (
                    "a small number in the logarithm"
                    if logvar < 0 and scale in ("variance", "std")
                    else "clipped"
                )
                findings.told.insert(
                    0, f"Right for ordinary input; off from log sigma^2 = {logvar:g}."
                )
                name = "M25" if kind != "clipped" else "scale-clipped"
                return [
                    Mistake(
                        f"Its KL is off at log sigma^2 = {logvar:g} ({kind}): {change:.5g} "
                        f"nats where {true:.5g} are true.",
                        museum(name),
                    )
                ]
    except Failed:
        return []
    finally:
        subject.path = path
    return []


# ---- the gradient --------------------------------------------------------------------------------

GRADIENT_LAW = ("gradient", "the derivative by each argument, as differences have it")


def _gradient(subject, findings, recon, kl, rng, base):
    """Compare the library's gradient with the derivative of a R + b K, by differences"""
    if subject.f.library not in ("torch", "jax"):
        findings.law(*GRADIENT_LAW, note="NumPy functions have no gradient of their own")
        return
    base = prior(subject, base)
    wrong = []
    if subject.bundle or subject.only_terms:
        findings.law(
            *GRADIENT_LAW, note="not tried: its arguments come together, or its terms apart"
        )
        return
    positional, keywords = subject.arguments(base)
    outcome = subject.f.call(positional, keywords=keywords, gradient=subject.path or True, seed=0)
    if outcome.gradients is None:
        said = outcome.error or outcome.no_gradient
        findings.law(
            *GRADIENT_LAW, Mistake(f"It has no gradient: {said}.", museum("gradient-blocked"))
        )
        return
    names = [n for n in (p.name for p in subject._parameters()) if n in subject.assigned.values()]
    if subject.packed:
        names = [n for n in subject.assigned.values() if n not in subject.packed_keywords]
    of = {name: role for role, name in subject.assigned.items()}
    for name, gradient in zip(names, outcome.gradients, strict=False):
        role = of[name]
        if role not in ("r", "mu", "s", "recon", "kl"):
            continue
        direction = rng.standard_normal(getattr(base, role).shape)
        step = 1e-6 * direction
        value = getattr(base, role)
        if subject.has("z") and role in ("mu", "s"):
            continue  # z is an argument of its own
        up, down = (
            subject.a * _total(recon, moved_, subject) + subject.b * _total(kl, moved_, subject)
            for moved_ in (base.with_(**{role: value + step}), base.with_(**{role: value - step}))
        )
        true = (up - down) / 2e-6
        got = (
            0.0
            if gradient is None
            else float(np.sum(np.reshape(gradient, value.shape) * direction))
        )
        if not abs(got - true) <= 1e-2 * abs(true) + 1e-4 * abs(subject.a):
            blocked = abs(got) < 1e-9
            wrong.append(
                Mistake(
                    f"No gradient reaches {name}: it is detached."
                    if blocked
                    else f"The gradient by {name} is {got:.5g}, by differences {true:.5g}: a "
                    "part of the loss is detached.",
                    "gradient-blocked" if math.isfinite(got) else "gradient-not-finite",
                )
            )
    findings.law(*GRADIENT_LAW, wrong)


def _total(found, values, subject):
    """The sum over the batch of a term that was found; 0 if there is none"""
    return 0.0 if found is None else float(t.feature(found.term, values, subject.per_example).sum())


# ---- the other parts of the answer ---------------------------------------------------------------


def _others(subject, findings, recon, kl, rng, base):
    """The terms beside the loss in a tuple or dict: a KL under the name KLD must be one"""
    base = prior(subject, base)
    there = [p for p in paths(subject.tree(base).value) if p != subject.path and p]
    if not there or kl is None:
        return
    other = prior(subject, draw(rng, subject.sizes))
    trees = [subject.tree(v).value for v in (base, moved(base, other, LATENT))]
    features = [t.feature(kl.term, v, False) for v in (base, moved(base, other, LATENT))]
    wrong = []
    for path in there:
        values = [float(np.sum(np.asarray(part(tree, path), float))) for tree in trees]
        slope = (values[1] - values[0]) / float((features[1] - features[0])[0])
        name = str(path[-1])
        if not re.search(r"kl", name.lower()):
            continue
        if slope < 0 and not re.search(r"neg|minus", name.lower()):
            wrong.append(
                Mistake(
                    f"It gives minus the KL under the name {name}.", museum("kl-logged-negative")
                )
            )
    findings.law("parts", "each part of the answer is what its name says", wrong)


# ---- the smallest case ---------------------------------------------------------------------------


def small_cases():
    """Values that can be checked by hand, the smallest first"""
    for B, D, Z in ((1, 1, 1), (1, 2, 1), (1, 1, 2), (1, 2, 2), (2, 1, 1), (2, 2, 1), (2, 2, 2)):
        for r in (0.5, 0.25):
            for mu in (0.0, 1.0, 2.0):
                for logvar in (0.0, math.log(4)):
                    x = np.ones((B, D))
                    yield t.Values(
                        x=x,
                        r=np.full((B, D), r),
                        mu=np.full((B, Z), mu),
                        s=np.full((B, Z), logvar),
                        eps=np.ones((B, Z)),
                        t=np.zeros((B, D)),
                        recon=np.full(B, 3.0),
                        kl=np.full(B, 2.0 * mu),
                    )


def smallest(subject, findings, recon, kl):
    """Fill the findings' case and rows with the smallest case that shows the mistake"""
    right_r = _right_for(
        subject, recon, t.SCALED_RECONSTRUCTIONS if subject.has("t") else t.RECONSTRUCTIONS, "r"
    )
    right_k = _right_for(subject, kl, t.SAMPLED_KLS if subject.has("z") else t.KLS, "s")
    sign = (
        -1.0
        if re.search(r"elbo", subject.f.name.lower())
        and not re.search(r"loss|neg|nelbo", subject.f.name.lower())
        else 1.0
    )
    fixed = subject.shapes[0] != (0,)
    scale = right_k.reading if right_k and right_k.reading in t.SCALES else "logvar"
    mean = not subject.per_example and _averages(subject)
    for values in small_cases():
        if fixed and not subject.only_terms:
            return
        values = values.with_(s=t.scale_from_logvar(values.s, scale))
        if subject.has("s_p") or subject.has("mu_p"):
            values = values.with_(mu_p=np.zeros_like(values.mu))
            values = values.with_(s_p=t.scale_from_logvar(np.zeros_like(values.s), scale))
        try:
            yours = np.asarray(subject.leaf(values), float).ravel()
        except (Failed, KeyError, IndexError, TypeError, ValueError):
            continue
        true = 0.0
        for term, weight in ((right_r, _weight_of(subject, recon)), (right_k, 1.0)):
            if term is not None:
                true = true + weight * t.feature(term, values, subject.per_example)
        if mean:
            true = true / len(values.mu if values.mu is not None else values.recon)
        true = sign * np.atleast_1d(true)
        if len(yours) != len(true) or np.allclose(yours, true, rtol=1e-6, atol=1e-9):
            continue
        findings.case = {
            name: _shown(subject, role, values) for role, name in subject.assigned.items()
        }
        findings.rows = [("loss", float(yours[0]), float(true[0]))]
        return


def _averages(subject):
    return round(subject.powers["B"][0]) == -1


def _weight_of(subject, recon):
    """The factor of a squared error, but for what it is averaged over"""
    if recon is None or recon.term.family not in ("gaussian", "laplace"):
        return 1.0
    sizes = dict(zip("BDZ", subject.sizes, strict=True))
    factor = abs(recon.factor)
    for name, (power, _) in subject.powers.items():
        factor /= sizes[name] ** round(power)
    return factor


def _right_for(subject, found, candidates, role):
    """The right term in the place of what was found: of the same reading if it has one"""
    if not (subject.has("x") or subject.has("recon")) and role == "r":
        return None
    if role == "s" and not _needs_kl(subject):
        return None
    if found is not None and found.term.right and found.term.family in ("given",):
        return found.term
    said = _expected(subject, role)
    ranked = [
        term
        for term in candidates
        if term.right and (not said or term.reading in (said, "")) and term.family != "given"
    ]
    if found is not None and found.term.right and found.term in ranked:
        return found.term
    if found is not None and found.term.reading in t.SCALES and not said:
        ranked = [term for term in ranked if term.reading == found.term.reading]
    if (subject.has("kl") and role == "s") or (subject.has("recon") and role == "r"):
        return next(term for term in candidates if term.family == "given")
    return ranked[0] if ranked else None


def _shown(subject, role, values):
    if isinstance(role, tuple):
        return subject._plain(role, subject.assigned[role], values)
    value = subject._array(role, values)
    return np.asarray(value).tolist()


def numbers(tree):
    """The numeric leaves of a tree"""
    return [leaf for leaf in leaves(tree) if not isinstance(leaf, Described) and leaf is not None]
