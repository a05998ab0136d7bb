"""Write the explorer's pages that are in the repository, docs/explorer/*.html.

python -m tools.explorers               digits.html, gaussians.html
python -m tools.explorers FOLDER        into that folder, and mnist5k.html (28 x 28) with them

The networks are trained in float64 from fixed seeds and rounded to the page's float32 (28 x 28:
float16), so that the same page comes out on every machine: rounding in the training is a billion
times finer.  `tests/web/test_pages.py` makes the pages again and compares.
"""

import sys
from pathlib import Path

import numpy as np

from tinyvae import VAE, data, fit
from tinyvae.train import silent
from tinyvae.web import export

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "explorer"
TRAINED = {  # hidden units, epochs, learning rate
    "digits": (32, 200, 5e-3),  # on a plane, 64 or 128 hidden units gain nothing on test digits
    "mnist5k": (128, 60, 3e-3),  # as lesson 7
}


def explorer(name):
    """The page of a VAE trained on that data set"""
    hidden, epochs, rate = TRAINED[name]
    dataset, rng = data.load(name), np.random.default_rng(0)
    x_train = np.asarray(dataset.x_train, np.float64)
    vae = VAE.create(x_train.shape[1], (hidden,), 2, rng=rng, dtype=np.float64)
    fit(vae, x_train, epochs=epochs, learning_rate=rate, rng=rng, report=silent)
    return export.explorer(vae, dataset, name)


def pages(*names):
    """name of the file -> its text, for these data sets and for the two Gaussians"""
    return {f"{name}.html": explorer(name) for name in names} | {
        "gaussians.html": export.gaussians()
    }


def main():
    folder, names = (sys.argv[1], TRAINED) if sys.argv[1:] else (FOLDER, ["digits"])
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name, page in pages(*names).items():
        path = Path(folder, name)
        path.write_text(page, encoding="utf-8")
        print(f"{path}: {len(page.encode()):,} bytes")


if __name__ == "__main__":
    main()
