"""The museum's mistakes, planted into tinyvae, are refused by the kind that they belong to."""

import pytest

from tools.kill_losses import ELSEWHERE, mistakes, refused, unplanted

NAMED = {
    "mean-over-pixels": "loss",
    "target-as-prediction": "loss",
    "sigmoid-twice": "loss",
    "probabilities-clipped": "loss",
    "log-of-sigmoid": "loss",
    "normaliser-missing": "density",
    "two-conventions": "loss",
    "std-is-exp-logvar": "sampler",
    "noise-too-small": "sampler",
    "uniform-noise": "sampler",
    "noise-drawn-once": "sampler",
    "noise-shared-by-batch": "sampler",
    "noise-shared-by-latents": "sampler",
    "mean-of-logs": "bound",
    "samples-not-averaged": "bound",
    "largest-weight-lost": "bound",
    "closed-form-kl-in-weights": "bound",
    "kl-subtracted": "vae",
    "kl-weighted-by-batch": "vae",
    "beta-ignored": "vae",
    "column-plus-row": "vae, its terms",
    "no-noise-at-test": "vae, evaluated",
    "posterior-at-generation": "vae",
}


def test_what_is_right_is_refused_by_none():
    assert unplanted() == []


@pytest.mark.parametrize("name", NAMED)
def test_a_planted_mistake_is_refused(name):
    assert NAMED[name] in refused(name)


def test_every_mistake_of_these_areas_is_refused_or_said_to_belong_elsewhere():
    assert {bug.name for bug in mistakes()} <= set(NAMED) | set(ELSEWHERE) | {
        "squared-error",
        "kl-to-itself",
    }
