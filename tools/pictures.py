"""Draw docs/figures/mistakes.png: what a VAE trained with a mistake redraws and makes.

    python -m tools.pictures

A row for each mistake of the museum that costs at least a nat of log p(x) (`effects.json`), and
for the one in `generate`.  Trained as `tools.effects` does, one seed; then the mistake is taken
out, and right code redraws test digits and decodes draws from the prior.
"""

import re
import sys
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np

import tinyvae
from tinyvae import data, plot
from tinyvae.classroom.museum import catalogue as bugs
from tinyvae.classroom.museum.entry import measurements
from tinyvae.train import TrainingError, silent
from tools.effects import EPOCHS, HIDDEN, LATENT

FILE = Path("docs/figures/mistakes.png")
COLUMNS = 10
LOST = 1.0  # nats of log p(x), from which a row is drawn
GENERATING = "posterior-at-generation"


def shown() -> list[str]:
    """The names of the mistakes that have a row, the dearest last."""
    found = {GENERATING: 0.0}
    for name, effect in measurements()["effects"].items():
        number = re.match(r"log p\(x\) = (-[\d.]+)", effect)
        lost = measurements()["right"]["log p(x)"] - float(number[1]) if number else 0
        if lost >= LOST:
            found[name] = lost
    return sorted(found, key=found.get)


def row(name: str | None, seed=0) -> tuple[np.ndarray, np.ndarray] | None:
    """(reconstructions, samples) of a VAE trained with a mistake; None if training breaks off."""
    digits, plants = data.load("digits"), bugs.MUSEUM[name].plants if name else {}
    x = data.binarize(digits.x_test[:COLUMNS], np.random.default_rng(99))
    rng = np.random.default_rng(seed)
    with np.errstate(all="ignore"):
        try:
            with bugs.planted(plants):
                model = tinyvae.VAE.create(digits.x_train.shape[1], HIDDEN, LATENT, rng=rng)
                tinyvae.fit(model, digits.x_train, epochs=EPOCHS, rng=rng, report=silent)
        except TrainingError:
            return None
        with bugs.planted(plants if name == GENERATING else {}):
            return model.reconstruct(x), model.generate(COLUMNS, np.random.default_rng(1))


def figure(names):
    """Rows of tiles: test digits redrawn, and samples, without a mistake and with each."""
    digits = data.load("digits")
    rows = [("test digits", digits.x_test[:COLUMNS], None), ("without a mistake", *row(None))]
    rows += [(name, *made) for name in names if (made := row(name))]
    fig, axes = plt.subplots(
        len(rows), 2, figsize=(9, 0.48 * len(rows) + 0.5), gridspec_kw={"wspace": 0.04}
    )
    for (label, redrawn, samples), (left, right) in zip(rows, axes, strict=True):
        for ax, x in (left, redrawn), (right, samples):
            if x is None:
                ax.set_axis_off()
            else:
                plot.images(ax, x, digits.image_shape, columns=COLUMNS)
        left.text(-0.02, 0.5, label, transform=left.transAxes, ha="right", va="center", size=9)
    axes[0, 0].set_title("test digits, redrawn", size=10)
    axes[1, 1].set_title("made from z ~ N(0, I)", size=10)
    return fig


def main():
    """Draw it all    ->  exit status"""
    if not Path("docs").is_dir():
        print("there is no folder docs/ here: run this at the top of a checkout", file=sys.stderr)
        return 2
    matplotlib.use("agg")
    FILE.parent.mkdir(exist_ok=True)
    fig = figure(shown())
    fig.savefig(FILE, dpi=100, bbox_inches="tight", pil_kwargs={"optimize": True})
    print(f"{FILE}: {FILE.stat().st_size // 1000} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
