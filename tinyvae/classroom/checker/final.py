"""The final exercise: do the student's own functions train a VAE?

    $ tinyvae check final_vae.py

The file's `train` runs in the watched process.  The weights that it returns are judged here, by
tinyvae's ELBO of test digits that `train` has not seen.
"""

import re
import sys
from pathlib import Path

import numpy as np

from tinyvae.classroom.checker import sandbox
from tinyvae.classroom.checker.engine import ALL_HINTS, Report, Verdict, hinted, lines, quiet
from tinyvae.classroom.checker.function import CannotRun

# Six seeds of the solution reach -24.93 to -25.02; mistakes that show stay below -25.26
# (tests/classroom/test_final.py plants them).
ENOUGH = -25.15
SECONDS = 120.0  # that training may take at least; it takes 2 on an idle machine
HIDDEN, LATENT, SAMPLES = 64, 2, 20
LAYERS = {
    "encoder": "encoder.0",
    "mu": "mu",
    "logvar": "logvar",
    "decoder": "decoder.0",
    "logits": "logits",
}
TITLE = "The final exercise: a VAE from your own functions"


def is_final(path):
    """Does the file say that it is the final exercise?"""
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
    except (OSError, ValueError):
        return False
    return re.search(r"^FINAL\s*=\s*True\b", text, re.MULTILINE) is not None


def digits():
    """Grey training digits, and black and white test digits, (N, 64) each"""
    from tinyvae import data

    found = data.load("digits")
    x_train = np.array(found.x_train, dtype=np.float64)  # a plain array, not one of `data`
    return x_train, data.binarize(found.x_test, np.random.default_rng(99))


def model_of(weights, data_dim):
    """The VAE that has these weights.    Raises ValueError, one sentence, where it cannot have."""
    from tinyvae import VAE

    rng = np.random.default_rng(0)
    model = VAE.create(data_dim, [HIDDEN], LATENT, rng=rng, dtype=np.float64)
    if not isinstance(weights, dict):
        raise ValueError("train gave no dict of weights")
    for name, inside in LAYERS.items():
        for part in "Wb":
            shape, given = model.params[f"{inside}.{part}"].shape, weights.get(f"{name}.{part}")
            if not isinstance(given, np.ndarray) or given.dtype.kind not in "fiu":
                raise ValueError(f"train gave no array {name}.{part}")
            if given.shape != shape:
                raise ValueError(f"{name}.{part} has shape {given.shape}, where {shape} is meant")
            if not np.isfinite(given).all():
                raise ValueError(f"{name}.{part} is not finite: the training diverged")
            model.params[f"{inside}.{part}"] = given.astype(np.float64)
    return model


def elbo_of_weights(weights, x_test):
    """The mean ELBO of the test digits in nats.    Raises ValueError as `model_of` does."""
    from tinyvae import evaluate

    model, rng = model_of(weights, x_test.shape[1]), np.random.default_rng(0)
    with quiet():
        return float(np.mean(evaluate.elbo(model, x_test, rng, samples=SAMPLES)))


def judge(train):
    """The Verdict on a file's `train`, a `function.Function`"""
    x_train, x_test = digits()
    outcome = train.call([x_train], library="numpy")
    if outcome.raised("NotImplementedError"):
        return Verdict(outcome.raised_in or "loss_and_grads", "todo")
    if outcome.error:
        return Verdict("train", "wrong", message=f"It raised {outcome.error}")
    try:
        found = elbo_of_weights(outcome.value, x_test)
    except ValueError as error:
        return Verdict("train", "wrong", message=f"{error}")
    law = f"ELBO of {len(x_test)} test digits >= {ENOUGH} nats"
    if found >= ENOUGH:
        return Verdict("train", "right", law=f"{law}: {found:.2f}")
    return Verdict(
        "train",
        "wrong",
        law=law,
        message=f"Yours is {found:.2f} nats. Check each file of exercises 3 to 7, then the order "
        "and the sums in loss_and_grads.",
    )


def main(path, *, json=False, seed=0, hints=ALL_HINTS, timeout=SECONDS, limit=SECONDS):
    """Train, judge, print the report.    ->  exit status: 0 enough, 1 not, 2 cannot"""
    timeout, limit = max(timeout, SECONDS), max(limit, SECONDS)
    try:
        with sandbox.open_file(path, seed=seed, timeout=timeout, limit=limit) as file:
            train = file.function("train")  # imports the file
            if not json:
                print(TITLE, flush=True)
                print("training, some seconds", file=sys.stderr, flush=True)
            verdict = judge(train)
            report = Report(TITLE, [hinted(verdict, hints)], file.notes(), file.shown)
    except CannotRun as reason:
        text = str(reason).encode("ascii", "backslashreplace").decode()
        print(f"tinyvae check: {text}", file=sys.stderr)
        return 2
    printed = report.as_json() if json else "\n".join(list(lines(report))[1:])
    print(printed.encode("ascii", "backslashreplace").decode())
    return report.status
