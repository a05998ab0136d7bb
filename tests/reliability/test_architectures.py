"""200 random architectures, as `python -m tools.architectures` has them; and that it can fail."""

import re

import numpy as np
import pytest

from tinyvae import checkpoint, evaluate, gaussian, layers, network
from tools import architectures


@pytest.mark.parametrize("first", [0, 50, 100, 150])
def test_random_architectures(first, capsys):
    assert architectures.main(["--seed", str(first), "--rounds", "50"]) == 0
    assert "50 architectures" in capsys.readouterr().out


def one_weight_more(folder, right=checkpoint.load):
    model = right(folder)
    model.params["logits.b"][-1] = np.nextafter(model.params["logits.b"][-1], np.inf)
    return model


MISTAKES = {
    "backward of the KL": (
        gaussian, "kl_to_standard_normal_backward",
        lambda dkl, mu, logvar: (dkl[:, None] * mu, dkl[:, None] * (0.5001 * np.expm1(logvar))),
        "the gradient of .* is off",
    ),
    "backward of tanh": (
        network, "ACTIVATIONS",
        {"tanh": (np.tanh, lambda dy, y: dy * (1 - y)), "relu": layers.ACTIVATIONS["relu"]},
        "the gradient of .* is off",
    ),
    "sign of the KL": (
        gaussian, "kl_to_standard_normal",
        lambda mu, logvar: 0.5 * (1 + logvar - mu * mu - np.exp(logvar)).sum(axis=-1),
        "kl .* is negative",
    ),
    "weights of the bound": (
        evaluate, "log_weights",
        lambda *arguments, right=evaluate.log_weights: right(*arguments) - 1,
        "below the ELBO",
    ),
    "a bit of a file": (checkpoint, "load", one_weight_more, "not what was saved"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found_with_the_seed_that_shows_it(mistake, monkeypatch, capsys):
    module, name, wrong, message = MISTAKES[mistake]
    monkeypatch.setattr(module, name, wrong)
    assert architectures.main(["--seed", "7"]) == 1
    said = capsys.readouterr().out
    seed = re.search(r"again: python -m tools.architectures --seed (\d+) --rounds 1", said)[1]
    assert re.search(rf"seed {seed}: Failure: .*{message}", said)
    assert architectures.main(["--seed", seed, "--rounds", "1"]) == 1
    monkeypatch.undo()
    assert architectures.main(["--seed", seed, "--rounds", "1"]) == 0
