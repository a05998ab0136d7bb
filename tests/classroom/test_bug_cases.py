"""The trained models of lesson 15: small, without the answers, and what their command makes."""

import numpy as np
import pytest

from tinyvae.classroom.museum import cases
from tinyvae.classroom.museum.catalogue import MUSEUM
from tools.bug_cases import MISTAKES, PATH


def test_the_file_is_small_and_names_no_mistake():
    assert PATH.stat().st_size <= 150_000
    with np.load(PATH, allow_pickle=False) as file:
        names = " ".join(file.files)
    assert not any(name in names for name in MUSEUM)
    assert list(MISTAKES) == list(cases.LETTERS) == list(cases.load())


@pytest.mark.parametrize("letter", ["A", "E"])
def test_the_command_makes_what_is_shipped(letter):
    again, shipped = cases.train(cases.SEEDS[letter], MISTAKES[letter]), cases.load()[letter]
    np.testing.assert_allclose(again.log, shipped.log, rtol=1e-6)
    for name, p in again.vae.params.items():
        np.testing.assert_allclose(shipped.vae.params[name], p, rtol=1e-4, atol=1e-5)


def test_another_mistake_makes_another_log():
    other = cases.train(cases.SEEDS["A"], "kl-weighted-by-batch")
    assert np.abs(other.log - cases.load()["A"].log).max() > 1


def test_the_mistake_is_gone_after_the_training():
    kept = {name: MUSEUM[name].plants for name in MISTAKES.values()}
    cases.train(1, "mean-over-pixels")
    from tinyvae import bernoulli

    assert kept["mean-over-pixels"]["tinyvae.bernoulli:nll"] is not bernoulli.nll
