"""Trained models with one mistake each: what lesson 15 gives its detectives.

`python -m tools.bug_cases` trains them and writes cases.npz; `load` reads it, and `train` runs one
again, to the digit, with any mistake of the museum.
"""

from importlib import resources
from typing import NamedTuple

import numpy as np

from tinyvae import data, evaluate
from tinyvae.classroom.museum.catalogue import MUSEUM
from tinyvae.classroom.museum.planting import planted
from tinyvae.optim import Adam
from tinyvae.vae import VAE

HIDDEN, LATENTS, EPOCHS, BATCH, RATE = 32, 2, 20, 100, 5e-3
LETTERS = "ABCDEFG"
SEEDS = {letter: 40 + n for n, letter in enumerate(LETTERS)}


class Case(NamedTuple):
    """What a run leaves behind."""

    log: np.ndarray  # (EPOCHS, 4): loss, recon, kl, and the test loss, as the run printed them
    vae: VAE  # with the weights that it ended with


def train(seed, mistake=""):
    """A small VAE of the 8 x 8 digits, trained while ``mistake`` is planted.    ->  Case

    The test loss is -ELBO, as `evaluate.elbo` says with the mistake in place.
    """
    digits = data.load("digits")
    x_train = np.asarray(digits.x_train, dtype=np.float64)
    rng = np.random.default_rng(seed)
    x_test = data.binarize(np.asarray(digits.x_test, dtype=np.float64), rng)
    vae = VAE.create(64, (HIDDEN,), LATENTS, rng=rng, dtype=np.float64)
    adam, log = Adam(vae.params, RATE), []
    with planted(MUSEUM[mistake] if mistake else {}):
        for _ in range(EPOCHS):
            total = np.zeros(3)
            order = rng.permutation(len(x_train)).reshape(-1, BATCH)
            for rows in order:
                x = data.binarize(x_train[rows], rng)
                eps = rng.standard_normal((BATCH, LATENTS))
                loss, recon, kl, grads = vae.loss_and_grads(x, eps)
                adam.step(grads)
                total += loss, recon.mean(), kl.mean()
            log.append([*(total / len(order)), -evaluate.elbo(vae, x_test, rng).mean()])
    return Case(np.array(log), vae)


def save(path, cases):
    """Write {letter: Case}.    Nothing in the file names a mistake."""
    arrays = {}
    for letter, case in cases.items():
        arrays[f"{letter}.log"] = case.log
        arrays |= {f"{letter}.{n}": p.astype(np.float32) for n, p in case.vae.params.items()}
    np.savez_compressed(path, **arrays)


def load():
    """{letter: Case} of the file that is shipped."""
    with (
        resources.as_file(resources.files(__package__) / "cases.npz") as path,
        np.load(path, allow_pickle=False) as file,
    ):
        arrays = dict(file)
    cases = {}
    for letter in LETTERS:
        of_case = {n.partition(".")[2]: a for n, a in arrays.items() if n[0] == letter}
        log = of_case.pop("log")
        params = {name: p.astype(np.float64) for name, p in of_case.items()}
        cases[letter] = Case(log, VAE(params, 64, (HIDDEN,), LATENTS, "tanh"))
    return cases
