"""The first ten losses of two trainings, as JSON: the same on any machine, to 1e-5 of each.

    python -m tools.first_losses                        compute and print them
    python -m tools.first_losses | python -m tools.first_losses --compare      and compare

Whatever NumPy, and however many threads its BLAS has: the same seed gives the same training.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from tinyvae import VAE, data, fit
from tinyvae.train import silent

STEPS, TOLERANCE = 10, 1e-5


def digits():
    return data.load("digits").x_train, (64,)


def wide():
    """Greys of MNIST's width, for which BLAS takes more than one thread if it may"""
    return np.random.default_rng(1).random((1000, 784), dtype=np.float32), (256,)


TRAININGS = {"digits": digits, "784 wide": wide}


class Recorder(VAE):
    """A VAE that keeps what it was given, and the loss it found, of every step"""

    def loss_and_grads(self, x, eps, beta=1.0):
        answer = super().loss_and_grads(x, eps, beta)
        self.steps.append((x, eps, answer[0]))
        return answer


def recorded(x, hidden_dims):
    """Train for ten steps in float32  ->  the model, its first parameters; model.steps"""
    rng = np.random.default_rng(0)
    model = Recorder.create(x.shape[1], hidden_dims, 2, rng=rng)
    model.steps, first = [], {name: p.copy() for name, p in model.params.items()}
    fit(model, x[: STEPS * 100], epochs=1, batch_size=100, rng=rng, report=silent)
    return model, first


def first_losses():
    """name of a training -> its first ten losses, in nats"""
    return {
        name: [float(loss) for _, _, loss in recorded(*training())[0].steps]
        for name, training in TRAININGS.items()
    }


def largest_difference(losses, others):
    """The largest relative difference between two answers of `first_losses`"""
    assert losses.keys() == others.keys()
    pairs = [(losses[name], others[name]) for name in losses]
    assert all(len(a) == len(b) == STEPS for a, b in pairs)
    return max(np.max(np.abs(np.subtract(a, b)) / np.abs(b)) for a, b in pairs)


def threads():
    """How many threads this process has, where the system says; BLAS starts its own"""
    folder = Path("/proc/self/task")
    return len(list(folder.iterdir())) if folder.is_dir() else None


def main():
    parser = argparse.ArgumentParser(
        "python -m tools.first_losses", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--compare", action="store_true", help="with those on standard input")
    compare = parser.parse_args().compare
    losses = first_losses()
    if not compare:
        print(json.dumps({"numpy": np.__version__, "threads": threads(), "losses": losses}))
        return 0
    other = json.load(sys.stdin)
    difference = largest_difference(losses, other["losses"])
    print(f"first ten losses of NumPy {np.__version__} and {other['numpy']} differ by "
          f"{difference:.1e}, relative; allowed {TOLERANCE:.0e}")  # fmt: skip
    return int(difference > TOLERANCE)


if __name__ == "__main__":
    sys.exit(main())
