"""Published numbers, reproduced: writes benchmarks/PUBLISHED.md.

    python -m benchmarks published                    every row that has no result yet, in order
    python -m benchmarks published --only grey-floor  this row, anew
    python -m benchmarks published --list             the rows, and what has been run

Each row is one function.  Its result goes into benchmarks/published.json when it ends, so that a
run that is interrupted goes on with the next row.  All rows need full MNIST in $TINYVAE_DATA/mnist.
"""

import json
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tinyvae import VAE, data, evaluate, fit, layers
from tinyvae.beyond.importance import ImportanceWeighted
from tinyvae.fast import InBlocks
from tinyvae.files import DataError
from tinyvae.optim import SGD, Adam
from tinyvae.train import mean_loss, silent

HERE = Path(__file__).parent
SEED = 0


class Row(NamedTuple):
    """What is reproduced: ``run`` gives {label: our number}, ``theirs`` has the same labels."""

    run: object
    setting: str
    source: str
    theirs: dict  # label -> published number
    within: dict  # label -> (lowest, highest) that counts as reproduced; {}: seen as a group


def mnist():
    return data.load("mnist")


# ---- baselines -----------------------------------------------------------------------------------


def grey_floor():
    """Mean entropy of the grey test pixels: no Bernoulli decoder's recon on grey pixels is less."""
    x = np.asarray(mnist().x_test, dtype=np.float64)
    entropy = np.zeros_like(x)
    grey = (x > 0) & (x < 1)
    p = x[grey]
    entropy[grey] = -p * np.log(p) - (1 - p) * np.log1p(-p)
    return {"nats": entropy.sum(axis=1).mean()}


def pixel_means():
    """Cross-entropy of the grey test pixels under means of pixels: theirs or the training's."""
    images = mnist()
    x_train, x_test = (np.asarray(x, dtype=np.float64) for x in (images.x_train, images.x_test))
    nats = {}
    for label, x in {"means of the test images": x_test, "of the training images": x_train}.items():
        p = (x.sum(axis=0) + 0.005) / (len(x) + 0.01)  # no pixel is impossible
        nats[label] = -np.mean(x_test @ np.log(p) + (1 - x_test) @ np.log1p(-p))
    return nats


# ---- the PyTorch example -------------------------------------------------------------------------


def pytorch_example():
    """784-400-20, relu, Adam 1e-3, batches of 128, grey pixels, 10 epochs."""
    images, rng = mnist(), np.random.default_rng(SEED)
    vae = VAE.create(784, (400,), 20, rng=rng, activation="relu")
    fit(vae, images.x_train, epochs=10, batch_size=128, rng=rng, binarize=False, report=silent,
        optimizer=InBlocks(Adam(vae.params)))  # fmt: skip
    recon, kl = mean_loss(vae, images.x_test, rng, binarize=False)
    at_the_mean = []
    for start in range(0, len(images.x_test), 1000):
        x = np.asarray(images.x_test[start : start + 1000])
        terms = vae.loss(x, np.zeros((len(x), 20), x.dtype))  # eps = 0: z = mu, the mistake
        at_the_mean.append(np.mean(np.sum(terms, axis=0)))
    return {"test loss": recon + kl, "test loss at z = mu": np.mean(at_the_mean)}


# ---- CS236, homework 2 ---------------------------------------------------------------------------


def elu(a):
    return np.where(a > 0, a, np.expm1(np.minimum(a, 0)))


def elu_backward(dy, y):
    # forward:  y = a where a > 0, else exp(a) - 1; there dy/da = exp(a) = y + 1
    return dy * np.where(y > 0, 1, y + 1).astype(dy.dtype)


def cs236():
    """784-300-300-10, ELU, Adam 1e-3, batches of 100, 20,000 steps; 1,000 test images."""
    layers.ACTIVATIONS["elu"] = elu, elu_backward
    images, rng = mnist(), np.random.default_rng(SEED)
    vae = VAE.create(784, (300, 300), 10, rng=rng, activation="elu")
    fit(vae, images.x_train, epochs=34, batch_size=100, rng=rng, report=silent,
        optimizer=Steps(InBlocks(Adam(vae.params)), 20_000))  # fmt: skip
    x = data.binarize(np.asarray(images.x_test[:1000]), rng)
    return {
        "NELBO": -evaluate.elbo(vae, x, rng, samples=100).mean(),
        "IWAE-1000": -evaluate.log_likelihood(vae, x, rng, samples=1000).mean(),
    }


class Steps:
    """An optimiser that takes ``most`` steps and no more."""

    def __init__(self, optimizer, most):
        self.optimizer, self.most = optimizer, most

    @property
    def t(self):
        return self.optimizer.t

    def step(self, grads):
        if self.t < self.most:
            self.optimizer.step(grads)


# ---- importance weighted autoencoders ------------------------------------------------------------


class SeveralDraws:
    """A VAE whose ELBO is averaged over ``samples`` draws of z for each image."""

    def __init__(self, vae, samples):
        self.vae, self.samples, self.params = vae, samples, vae.params
        self.latent_dim = samples * vae.latent_dim

    def loss(self, x, eps, beta=1.0):
        terms = self.vae.loss(*self._each(x, eps))
        return tuple(term.reshape(len(x), -1).mean(axis=1) for term in terms)

    def loss_and_grads(self, x, eps, beta=1.0):
        loss, recon, kl, grads = self.vae.loss_and_grads(*self._each(x, eps), beta)
        recon, kl = (term.reshape(len(x), -1).mean(axis=1) for term in (recon, kl))
        return loss, recon, kl, grads

    def _each(self, x, eps):
        return np.repeat(x, self.samples, axis=0), eps.reshape(-1, self.vae.latent_dim)


PASSES = 5  # of the paper's eight: 3^i epochs at 1e-3 10^(-i/7), i = 0 ... 4, 121 of 3280 epochs


def iwae(objective, samples):
    """784-200-200-50, tanh, batches of 20; log p(x) by 5,000 weights on 1,000 test images."""

    def run():
        images, rng = mnist(), np.random.default_rng(SEED)
        vae = VAE.create(784, (200, 200), 50, rng=rng)
        model = objective(vae, samples)
        adam = Adam(vae.params, tiny=1e-4)  # as the paper has it
        optimizer, epochs, history = InBlocks(adam), 0, []
        for i in range(PASSES):
            optimizer.blockwise.learning_rate = 1e-3 * 10 ** (-i / 7)
            epochs += 3**i
            fit(model, images.x_train, epochs=epochs, batch_size=20, rng=rng, report=silent,
                optimizer=optimizer, history=history)  # fmt: skip
        x = data.binarize(np.asarray(images.x_test[:1000]), rng)
        return {"nats": -evaluate.log_likelihood(vae, x, rng, samples=5000).mean()}

    return run


# ---- figure 2 of 2014 ----------------------------------------------------------------------------


class Adagrad:
    """p <- p - learning_rate dp / sqrt(sum of all dp^2)"""

    def __init__(self, params, learning_rate):
        self.params, self.learning_rate, self.t = params, learning_rate, 0
        self.squares = {name: np.zeros_like(p) for name, p in params.items()}

    def step(self, grads):
        self.t += 1
        for name, p in self.params.items():
            self.squares[name] += grads[name] ** 2
            p -= self.learning_rate * grads[name] / (np.sqrt(self.squares[name]) + 1e-8)


OPTIMISERS = {
    "Adam": lambda params: Adam(params, 1e-3),
    "Adagrad": lambda params: Adagrad(params, 1e-2),
    "SGD": lambda params: SGD(params, 1e-3),
}
WIDTHS = 3, 5, 10, 20, 200


def figure_2(optimiser):
    """784-500-N_z, tanh, batches of 100, 30 epochs: the test ELBO by the number of latents."""

    def run():
        bounds = {}
        for width in WIDTHS:
            images, rng = mnist(), np.random.default_rng(SEED)
            vae = VAE.create(784, (500,), width, rng=rng)
            fit(vae, images.x_train, epochs=30, rng=rng, report=silent,
                optimizer=OPTIMISERS[optimiser](vae.params))  # fmt: skip
            bounds[f"N_z = {width}"] = -sum(mean_loss(vae, images.x_test, rng))
        return bounds

    return run


IWAE_SOURCE = "Burda et al., 2016, table 1, one layer"
EXAMPLE = "pytorch/examples, vae, 10 epochs; logs as readers publish them, before and after #419"
IWAE_LEVELS = {
    ("VAE", 1): 86.76, ("VAE", 5): 86.47, ("VAE", 50): 86.35,
    ("IWAE", 5): 85.54, ("IWAE", 50): 84.78,
}  # fmt: skip
OBJECTIVES = {"VAE": SeveralDraws, "IWAE": ImportanceWeighted}
ROWS = {
    "grey-floor": Row(
        grey_floor, "grey test pixels of MNIST", "measured; Loaiza-Ganem and Cunningham, 2019",
        {"nats": 45.5}, {"nats": (45.4, 45.6)},
    ),
    "pixel-means": Row(
        pixel_means, "one Bernoulli a pixel", "measured",
        {"means of the test images": 205.7, "of the training images": "-"},
        {"means of the test images": (205.6, 205.8)},
    ),
    "pytorch-example": Row(
        pytorch_example, "784-400-20 relu, grey, Adam 1e-3, 128, 10 epochs", EXAMPLE,
        {"test loss": 105.6, "test loss at z = mu": 96.4},
        {"test loss": (104.8, 106.4), "test loss at z = mu": (95.5, 97.5)},
    ),
    "cs236": Row(
        cs236, "784-300-300-10 ELU, Adam 1e-3, 100, 20,000 steps", "CS236 homework 2, 2021",
        {"NELBO": 100.56, "IWAE-1000": 96.47},
        {"NELBO": (99.56, 101.56), "IWAE-1000": (95.47, 97.47)},
    ),
} | {
    f"{name.lower()}-{k}": Row(
        iwae(OBJECTIVES[name], k),
        f"784-200-200-50 tanh, {name}, k = {k}, 121 of the paper's 3280 epochs", IWAE_SOURCE,
        {"nats": nats}, {"nats": (nats - 2, nats + 2)},
    )
    for (name, k), nats in IWAE_LEVELS.items()
} | {
    f"figure-2-{name.lower()}": Row(
        figure_2(name), f"784-500-N_z tanh, {name}, 100, 30 epochs",
        "Kingma and Welling, 2014, figure 2: more latents never overfit", {}, {},
    )
    for name in OPTIMISERS
}  # fmt: skip


# ---- running and writing -------------------------------------------------------------------------


def verdict(row, ours):
    """Whether each number lies where it must; for figure 2, whether more latents did no harm."""
    if not row.within:
        bounds = list(ours.values())
        return "holds" if bounds[-1] >= max(bounds) - 1.0 and bounds[0] == min(bounds) else "no"
    inside = [low <= ours[label] <= high for label, (low, high) in row.within.items()]
    return "holds" if all(inside) else "no"


def lines(name, row, result):
    command = f"`python -m benchmarks published --only {name}`"
    labels = row.theirs or dict.fromkeys(result["ours"] if result else ["test ELBO by N_z"], "")
    for n, (label, theirs) in enumerate(labels.items()):
        ours = f"{result['ours'][label]:.2f}" if result else "not run yet"
        end = ("", "", "")
        if n == 0 and result:
            end = (verdict(row, result["ours"]), f"{result['seconds']:.0f} s", result["seed"])
        about = (name, row.setting, row.source) if n == 0 else ("", "", "")
        span = row.within.get(label)
        must = f"{span[0]:g} to {span[1]:g}" if span else "" if theirs else "more is no worse"
        yield [*about, label, theirs, must, ours, *end, command if n == 0 else ""]


HEADER = ["row", "setting", "source", "number", "theirs", "must be", "ours", "verdict", "time",
          "seed", "command"]  # fmt: skip
TEXT = """# Published numbers, and ours

Written by `python -m benchmarks published`. All numbers are nats per image of MNIST. Times are of
the run that is shown, on a machine of two cores that may have been busy; a row says "not run yet"
until its command was run. None of this is a test.

What differs from the sources: weights start as PyTorch's Linear has them, uniform in
+-1 / sqrt(inputs) (the IWAE paper: Glorot); black and white pixels are drawn anew in each epoch;
the IWAE schedule is cut to its first five passes, 121 of 3280 epochs, so that its levels may be
nats higher while order and gaps of the rows are what to look at; CS236 and IWAE rows are estimated
on the first 1,000 test images.
"""


def write(results, folder=HERE):
    rows = [line for name, row in ROWS.items() for line in lines(name, row, results.get(name))]
    table = [HEADER, ["---"] * len(HEADER), *rows]
    text = "\n".join("| " + " | ".join(map(str, line)) + " |" for line in table)
    (folder / "PUBLISHED.md").write_text(f"{TEXT}\n{text}\n", encoding="utf-8")


def read(folder=HERE):
    path = folder / "published.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def run(name, folder=HERE):
    """Run one row and keep its result."""
    start = time.perf_counter()
    ours = {label: float(value) for label, value in ROWS[name].run().items()}
    result = {"ours": ours, "seconds": time.perf_counter() - start, "seed": SEED}
    results = read(folder) | {name: result}  # read again: another row may have ended meanwhile
    text = json.dumps(results, indent=1)
    (folder / "published.json").write_text(text + "\n", encoding="utf-8")
    write(results, folder)
    print(name, {label: round(value, 2) for label, value in ours.items()},
          verdict(ROWS[name], ours), f"{result['seconds']:.0f} s", flush=True)  # fmt: skip


def main(words, folder=HERE):
    if words == ["--list"]:
        done = read(folder)
        for name, row in ROWS.items():
            print(f"{name:18s} {'run' if name in done else 'not run yet':12s} {row.setting}")
        return
    if words[:1] == ["--only"] and len(words) == 2 and words[1] in ROWS:
        names = [words[1]]
    elif not words:
        names = [name for name in ROWS if name not in read(folder)]
    else:
        sys.exit(f"benchmarks published: --list, or --only with one of {', '.join(ROWS)}")
    try:
        for name in names:
            run(name, folder)
    except DataError as error:
        print(f"benchmarks published: {error}", file=sys.stderr)
        sys.exit(2)
    write(read(folder), folder)
