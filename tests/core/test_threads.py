"""The same seed trains the same model: however many threads BLAS has, and whatever NumPy it is."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tinyvae.oracles import central_difference
from tools import first_losses

ROOT = Path(__file__).resolve().parents[2]


def in_a_process_of_its_own(threads):
    """What `python -m tools.first_losses` prints, where BLAS may have that many threads"""
    names = ["OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"]
    limits = dict.fromkeys(names, str(threads))
    printed = subprocess.check_output(
        [sys.executable, "-W", "error", "-m", "tools.first_losses"],
        cwd=ROOT,
        env=os.environ | limits,
        text=True,
    )
    return json.loads(printed)


def test_one_thread_and_two_find_the_same_first_ten_losses():
    one, two = in_a_process_of_its_own(1), in_a_process_of_its_own(2)
    if one["threads"] is not None and (os.cpu_count() or 1) > 1:
        assert (one["threads"], two["threads"]) == (1, 2)  # so the limits reached BLAS
    assert first_losses.largest_difference(one["losses"], two["losses"]) <= first_losses.TOLERANCE


def test_the_comparison_sees_another_training():
    losses = first_losses.first_losses()
    assert first_losses.largest_difference(losses, losses) == 0
    other = {name: [*values[:-1], values[-1] * (1 + 2e-5)] for name, values in losses.items()}
    assert first_losses.largest_difference(losses, other) > first_losses.TOLERANCE


def textbook_loss(params, x, eps):
    """mean of -log p(x|z) + KL for one hidden layer, in float64, from the definitions"""
    h = np.tanh(x @ params["encoder.0.W"] + params["encoder.0.b"])
    mu = h @ params["mu.W"] + params["mu.b"]
    var = np.exp(h @ params["logvar.W"] + params["logvar.b"])
    g = np.tanh((mu + np.sqrt(var) * eps) @ params["decoder.0.W"] + params["decoder.0.b"])
    p = 1 / (1 + np.exp(-(g @ params["logits.W"] + params["logits.b"])))
    nll = -np.log(np.where(x == 1, p, 1 - p)).sum()
    kl = 0.5 * (mu**2 + var - 1 - np.log(var)).sum()
    return (nll + kl) / len(x)


def textbook_losses(params, batches):
    """Ten steps of Adam, by algorithm 1 and difference quotients  ->  the losses"""
    params = {name: p.astype(np.float64) for name, p in params.items()}
    m, v = ({name: np.zeros_like(p) for name, p in params.items()} for _ in range(2))
    losses = []
    for t, (x, eps) in enumerate(batches, start=1):
        losses.append(textbook_loss(params, x, eps))
        quotients = {
            name: central_difference(
                lambda value, name=name, x=x, eps=eps: textbook_loss(
                    params | {name: value}, x, eps
                ),
                p,
            )
            for name, p in params.items()
        }
        for name, dp in quotients.items():
            m[name] = 0.9 * m[name] + 0.1 * dp
            v[name] = 0.999 * v[name] + 0.001 * dp**2
            m_hat, v_hat = m[name] / (1 - 0.9**t), v[name] / (1 - 0.999**t)
            params[name] -= 1e-3 * m_hat / (np.sqrt(v_hat) + 1e-8)
    return losses


def test_the_first_ten_losses_are_those_of_the_textbook():
    """float32 training against float64 definitions that share no code with it.

    Every NumPy that passes finds these losses, given its random numbers.  `.ci/lowest` compares
    the oldest with the newest, random numbers and all.
    """
    model, first = first_losses.recorded(first_losses.digits()[0], hidden_dims=(6,))
    batches = [(x.astype(np.float64), eps.astype(np.float64)) for x, eps, _ in model.steps]
    losses = [loss for _, _, loss in model.steps]
    assert losses[-1] < losses[0]
    assert textbook_losses(first, batches) == pytest.approx(losses, rel=first_losses.TOLERANCE)


def test_random_numbers_are_those_of_pcg64():
    """O'Neill's generator written out: one seed, one stream, whatever NumPy it is.

    Source: M. O'Neill, "PCG: a family of simple fast space-efficient statistically good algorithms
    for random number generation", 2014: a 128-bit congruential generator, output XSL-RR.
    """
    rng = np.random.default_rng(0)
    state = rng.bit_generator.state["state"]
    state, step = state["state"], state["inc"]
    for _ in range(100):
        state = (state * 0x2360ED051FC65DA44385DF649FCCF645 + step) % 2**128
        mixed, turn = (state >> 64) ^ (state & (2**64 - 1)), state >> 122
        word = (mixed >> turn | mixed << (64 - turn)) % 2**64
        assert rng.random() == (word >> 11) / 2**53
