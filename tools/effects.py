"""What each mistake of the museum does to a trained model, measured in nats.

    python -m tools.effects             all of them
    python -m tools.effects --new       those that have not been measured yet
    python -m tools.effects M37 M39     those, again, and those that have not been measured yet

With each mistake planted, a small VAE (2 latent dimensions, 64 hidden units) is trained on digits.
Then the mistake is taken out again, and the model judged by right code: its ELBO, and log p(x) by
quadrature over the latent plane.  Beside it stands what the wrong code itself reports.  All are
means over the test digits and over three seeds.  The sentences go to effects.json, beside this
file, where the museum reads them.
"""

import json
import sys

import numpy as np

import tinyvae
from tinyvae import data, evaluate, gaussian
from tinyvae.classroom.museum import catalogue as bugs
from tinyvae.classroom.museum import kl as bugs_kl
from tinyvae.classroom.museum.entry import MEASURED, Bug, measurements
from tinyvae.oracles import log_integral, plane_grid
from tinyvae.train import TrainingError, silent

SEEDS, EPOCHS, HIDDEN, LATENT = (0, 1, 2), 60, 64, 2


def main(only_new=False, again=()):
    """Measure all, or what is new and those named; print a line each, write effects.json."""
    again = {bug.name for bug in bugs.MUSEUM.values() if {bug.code, bug.name} & set(again)}
    right = [measure({}, seed) for seed in SEEDS]
    print(f"{'without a mistake':30s}", said(np.mean(right, axis=0)))
    known = measurements()["effects"] if only_new or again else {}
    effects = {name: known[name] for name in bugs.MUSEUM if name in known and name not in again}
    for name, bug in bugs.MUSEUM.items():
        if name in effects:
            continue
        effects[name] = effect(bug, right)
        print(f"{name:30s}", effects[name], flush=True)
    settings = {"seeds": SEEDS, "epochs": EPOCHS, "hidden": HIDDEN, "latent": LATENT}
    spread = np.std(right, axis=0, ddof=1).round(2).tolist()
    found = {
        "command": "python -m tools.effects",
        "settings": settings,
        "right": dict(zip(NUMBERS, np.mean(right, axis=0).round(2).tolist(), strict=True)),
        "spread over seeds": dict(zip(NUMBERS, spread, strict=True)),
        "effects": {name: effects[name] for name in bugs.MUSEUM},
    }
    MEASURED.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


NUMBERS = ("log p(x)", "ELBO", "reported ELBO", "reported log p(x)")


def effect(bug: Bug, right) -> str:
    """One sentence in nats: what the mistake does."""
    if bug.name == "posterior-at-generation":
        return astray(bug)
    if bug.area == "kl" and "tinyvae.gaussian:kl_to_standard_normal" not in bug.plants:
        return f"None in a VAE: against N(0, I) it is right. {off(bug)}"
    try:
        found = np.mean([measure(bug.plants, seed) for seed in SEEDS], axis=0)
    except TrainingError as error:
        return f"Training breaks off: {str(error).split(';')[0]}."
    right = np.mean(right, axis=0)
    if np.isnan(found[2]):
        return "None in training. Evaluation stops: it gets (B, B) numbers where (B,) are wanted."
    if np.abs(found - right).max() < 0.05:
        return "None that shows: log p(x), ELBO and what is reported move by less than 0.05."
    if np.array_equal(found[:2], right[:2]):
        which = 3 if abs(found[3] - right[3]) > abs(found[2] - right[2]) else 2
        return (
            f"None in training. It reports {NUMBERS[which][9:]} = {nats(found[which])} "
            f"where {nats(right[which])} is true."
        )
    no_bound = ", which is above log p(x)" if found[2] > found[0] + 0.05 else ""
    return (
        f"log p(x) = {nats(found[0])} (without it {nats(right[0])}), "
        f"ELBO = {nats(found[1])} ({nats(right[1])}); "
        f"it reports an ELBO of {nats(found[2])}{no_bound}."
    )


def nats(value) -> str:
    return f"{value:.1f}" if abs(value) < 1e4 else f"{value:.1e}"


def measure(plants, seed):
    """NUMBERS of a model trained with the mistakes: two by right code, two as they report them."""
    digits = data.load("digits")
    x_test = data.binarize(digits.x_test, np.random.default_rng(99))
    with bugs.planted(plants), np.errstate(all="ignore"):
        rng = np.random.default_rng(seed)
        model = tinyvae.VAE.create(digits.x_train.shape[1], HIDDEN, LATENT, rng=rng)
        tinyvae.fit(model, digits.x_train, epochs=EPOCHS, rng=rng, report=silent)
        x_seen = data.binarize(digits.x_test, np.random.default_rng(99))
        try:
            reported = evaluate.elbo(model, x_seen, np.random.default_rng(seed), samples=20)
            iw = evaluate.log_likelihood(model, x_seen, np.random.default_rng(seed), samples=500)
        except ValueError:  # shapes that do not fit
            reported = iw = np.nan
    with np.errstate(all="ignore"):
        elbo = evaluate.elbo(model, x_test, np.random.default_rng(seed), samples=20)
    log_px = log_px_by_quadrature(model, x_test)
    return [float(np.mean(v)) for v in (log_px, elbo, reported, iw)]


def log_px_by_quadrature(model, x):
    """log p(x) by the midpoint rule on the latent plane: no encoder, no noise."""
    nodes, log_area = plane_grid(120, 6.0)
    logits = model.decode(nodes.astype(np.float32)).astype(np.float64)
    log_px_given_z = x @ logits.T - np.logaddexp(0, logits).sum(axis=1)
    log_pz = -0.5 * (nodes**2).sum(axis=1) - np.log(2 * np.pi)
    return log_integral(log_px_given_z + log_pz, log_area)


def off(bug: Bug) -> str:
    """How far it is off on random pairs of three-dimensional Gaussians."""
    rng = np.random.default_rng(0)
    means = rng.standard_normal((2, 1000, 3))
    roots = rng.standard_normal((2, 1000, 3, 4))
    (m_q, m_p), (S_q, S_p) = means, roots @ np.swapaxes(roots, -1, -2)
    true = bugs_kl.right(m_q, S_q, m_p, S_p)
    error = np.median(np.abs(bug.f(m_q, S_q, m_p, S_p) - true))
    if error < 1e-9:
        return "On random pairs of three dimensions it is right, too."
    return (
        f"On random pairs of three dimensions it is off by {error:.1f} "
        f"where the KL is {np.median(true):.1f} (medians)."
    )


def astray(bug: Bug) -> str:
    """How far the z that `generate` decodes are from the prior."""
    digits, found = data.load("digits"), []
    for seed in SEEDS:
        rng, seen = np.random.default_rng(seed), []
        model = tinyvae.VAE.create(digits.x_train.shape[1], HIDDEN, LATENT, rng=rng)
        tinyvae.fit(model, digits.x_train, epochs=EPOCHS, rng=rng, report=silent)
        decode = model.decode
        model.decode = lambda z, seen=seen, decode=decode: seen.append(z) or decode(z)
        with bugs.planted(bug):
            model.generate(5000, rng)
        z = seen[0].astype(np.float64)
        found.append(gaussian.kl(z.mean(axis=0), np.cov(z.T), np.zeros(LATENT), np.eye(LATENT)))
    return (
        f"None in training. From pictures of noise, the z that it decodes are {np.mean(found):.1f} "
        "nats from the prior: KL(N(their mean, their covariance) || N(0, I))."
    )


def said(numbers) -> str:
    return ", ".join(f"{name} = {v:.2f}" for name, v in zip(NUMBERS, numbers, strict=True))


if __name__ == "__main__":
    main("--new" in sys.argv[1:], [name for name in sys.argv[1:] if name != "--new"])
