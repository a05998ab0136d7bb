"""Which kind of check refuses which mistake: the museum's, planted into tinyvae, computed.

    $ python -m tools.kill_losses        writes docs/kill-matrix-losses.md

A loss, a sampler and a model are made of tinyvae's own functions and judged while a mistake is
planted.  Mistakes in combining importance weights are judged as the functions that make them.
"""

import sys
from pathlib import Path

import numpy as np

from tinyvae import bernoulli, evaluate, gaussian, train
from tinyvae.classroom.checker import bound, loss, sampler, vae
from tinyvae.classroom.checker.engine import quiet
from tinyvae.classroom.checker.function import CannotRun, LocalFile, LocalFunction
from tinyvae.classroom.museum.catalogue import MUSEUM, planted
from tinyvae.vae import VAE

RNG = np.random.default_rng(0)
AREAS = ("sampler", "elbo", "estimator", "model", "backward")
ELSEWHERE = {
    "grey-pixels": "is a mistake in the data, not in a loss",
    "overflow-to-nan": "right for ordinary input; `check kl` looks at infinite variances",
    "fresh-noise-in-backward": "a backward by hand: exercises 5 and 6, and the core's tests",
    "half-lost-in-backward": "a backward by hand: exercises 5 and 6, and the core's tests",
    "gradient-blocked": "refused in PyTorch and JAX, whose gradient is looked at",
    "trunk-overwritten": "a backward by hand: the core's tests",
    "one-head-for-both": "its own encode is what the model says: the ELBO of that q is right",
    "relu-on-logvar": "its own encode is what the model says: refused in a sampler",
    "expectation-inside-log": "with one sample it is no mistake",
    "summed-over-batch": "a sum over the batch is told, not refused",
}


def a_loss(logits, x, mu, logvar):
    """mean(recon + kl) by tinyvae's own terms"""
    return np.mean(bernoulli.nll(logits, x) + gaussian.kl_to_standard_normal(mu, logvar))


def a_density(x, x_hat, logvar):
    """-log N(x; x_hat, diag exp(logvar)) by tinyvae's own density"""
    return -gaussian.log_density_diagonal(x, x_hat, logvar)


def a_sampler(mu, logvar):
    """z with the noise that training draws"""
    shape = np.shape(mu)

    class Latent:
        latent_dim = shape[-1]

    rows = np.zeros((int(np.prod(shape[:-1])), 1))
    eps = train._draw(Latent(), rows, RNG, False)[1].reshape(shape)
    return gaussian.reparameterize(mu, logvar, eps)


class Base:
    """tinyvae's VAE with encode and decode, as `check vae` takes them."""

    def __init__(self):
        rng = np.random.default_rng(1)
        self.vae = VAE.create(7, (5,), 2, rng=rng, dtype=np.float64)
        for value in self.vae.params.values():  # such that the KL is not small, nor a bias zero
            value += rng.standard_normal(value.shape)

    def encode(self, x):
        """mu, logvar of q(z|x)"""
        return self.vae.encode(x)

    def decode(self, z):
        """The logits"""
        return self.vae.decode(z)

    def generate(self, n):
        """n pictures"""
        return self.vae.generate(n, RNG)


class Model(Base):
    """Its loss is what training goes down."""

    def loss(self, x, eps, beta=1.0):
        """mean(recon + beta kl)"""
        return self.vae.loss_and_grads(x, eps, beta)[0]


class Terms(Base):
    """Its loss comes in two terms."""

    def loss(self, x, eps):
        """recon, kl"""
        return self.vae.loss(x, eps)


class Evaluated(Base):
    """Its loss is the ELBO that `evaluate` reports."""

    def elbo(self, x, rng):
        """(B,)"""
        return evaluate.elbo(self.vae, x, rng)


def of_model(kind):
    """The Findings on a model of this class"""
    return vae.judge(LocalFile({"__name__": kind.__module__, "model": kind()}), "model")


def of_weights(name):
    """The Findings on the function of log-weights that makes this mistake, or None"""
    form = next((form for form in bound.FORMS if form.name == name), None)
    if name == "closed-form-kl-in-weights":

        def f(log_px_given_z, mu, logvar):
            log_w = log_px_given_z - gaussian.kl_to_standard_normal(mu, logvar)
            return bound.log_mean_exp(log_w, 0)

    elif form:

        def f(log_w):
            return form.value(log_w, 0)

    else:
        return None
    return bound.judge(LocalFunction(f))


def checks(name):
    """{kind: how it judges what tinyvae is at this moment}"""
    return {
        "loss": lambda: loss.judge(LocalFunction(a_loss)),
        "density": lambda: loss.judge(LocalFunction(a_density)),
        "sampler": lambda: sampler.judge(LocalFunction(a_sampler)),
        "bound": lambda: of_weights(name),
        "vae": lambda: of_model(Model),
        "vae, its terms": lambda: of_model(Terms),
        "vae, evaluated": lambda: of_model(Evaluated),
    }


def touched(bug):
    """The kinds that use what a mistake is planted into"""
    kinds = {"bound"}
    for target in bug.plants:
        module = target.partition(":")[0].rpartition(".")[2]
        if module in ("gaussian", "bernoulli", "fast"):
            kinds |= {"loss", "density", "sampler", "vae"}
        elif module == "vae":
            kinds |= {"vae", "vae, its terms"}
        elif module == "train":
            kinds |= {"sampler"}
        elif module == "evaluate":
            kinds |= {"vae, evaluated"}
    return kinds


def refused(name):
    """{kind: the names that it gives the mistake}, of the kinds that refuse it once planted"""
    found = {}
    with planted(MUSEUM[name]), quiet():
        for kind, judge in checks(name).items():
            if kind not in touched(MUSEUM[name]):
                continue
            try:
                findings = judge()
            except CannotRun:
                findings = None
            if findings is not None and not findings.right:
                found[kind] = findings.names
    return found


def unplanted():
    """The kinds that refuse tinyvae as it is: none"""
    with quiet():
        found = {kind: judge() for kind, judge in checks("").items()}
    return [kind for kind, findings in found.items() if findings and not findings.right]


def mistakes():
    """The museum's mistakes of the areas that these kinds are about"""
    return [bug for bug in MUSEUM.values() if bug.area in AREAS]


def page():
    """docs/kill-matrix-losses.md"""
    kinds = list(checks(""))
    lines = [
        "# Which check refuses which mistake of a loss, a sampler, a bound or a model",
        "",
        "The museum's mistakes planted into tinyvae, and a loss, a sampler and models made of it",
        "judged: N if the mistake is refused and named, x if it is refused. Computed by",
        "",
        "    python -m tools.kill_losses",
        "",
        "| mistake | " + " | ".join(kinds) + " | |",
        "|---|" + ":-:|" * len(kinds) + "---|",
    ]
    count = named = 0
    for bug in mistakes():
        found = refused(bug.name)
        cells = [("N" if bug.name in found[k] else "x") if k in found else " " for k in kinds]
        count, named = count + bool(found), named + ("N" in cells)
        note = "" if found else ELSEWHERE.get(bug.name, "not seen")
        lines.append(f"| {bug.code} {bug.title} | " + " | ".join(cells) + f" | {note} |")
    total = len(mistakes())
    lines += ["", f"{count} of {total} are refused, {named} with their name."]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    if not Path("docs").is_dir():
        sys.exit("there is no folder docs/ here: run this at the top of a checkout")
    Path("docs/kill-matrix-losses.md").write_text(page(), encoding="utf-8")
