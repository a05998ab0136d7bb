"""tinyvae.train: what a step sees, what the history says, and that training finds the optimum."""

import io

import numpy as np
import pytest

from tinyvae import VAE, Autoencoder, data, fit, train
from tinyvae.optim import SGD, Adam
from tinyvae.train import TrainingError, silent

GREY = np.linspace(0.1, 0.9, 5, dtype=np.float32)


class Spy:
    """A model that remembers what it was trained on, and whose loss is what it is told."""

    latent_dim = 2

    def __init__(self, loss=1.0):
        self.params = {"p": np.zeros(1, np.float32)}
        self.seen, self.betas, self.loss_value = [], [], loss

    def loss(self, x, eps):
        return np.full(len(x), 3.0), np.full(len(x), 4.0)

    def loss_and_grads(self, x, eps, beta=1.0):
        self.seen.append((x, eps))
        self.betas.append(beta)
        recon, kl = np.full(len(x), self.loss_value), np.full(len(x), 0.5)
        return np.mean(recon + kl), recon, kl, {"p": np.ones(1, np.float32)}


def spied(n=1000, epochs=3, **options):
    x = np.tile(GREY, (n, 1))
    spy = Spy()
    options = {"batch_size": 64, "rng": np.random.default_rng(0), "report": silent} | options
    return spy, fit(spy, x, epochs=epochs, **options)


def test_pixels_are_drawn_afresh_each_epoch_with_their_greys_as_probabilities():
    spy, _ = spied()
    x = np.concatenate([x for x, _ in spy.seen])
    assert x.dtype == np.float32
    assert set(np.unique(x)) == {0.0, 1.0}
    error = np.sqrt(GREY * (1 - GREY) / len(x))
    assert np.all(np.abs(x.mean(axis=0) - GREY) < 5 * error)
    epochs = np.split(x, 3)
    assert not np.array_equal(epochs[0], epochs[1])


def test_greys_go_in_as_they_are_without_binarize():
    spy, _ = spied(binarize=False)
    assert all(np.array_equal(x, np.tile(GREY, (len(x), 1))) for x, _ in spy.seen)


def test_noise_is_standard_normal_and_never_shared():
    spy, _ = spied(n=20_000, epochs=2)
    eps = np.concatenate([eps for _, eps in spy.seen])
    assert eps.dtype == np.float32
    n = len(eps)
    assert np.all(np.abs(eps.mean(axis=0)) < 5 / np.sqrt(n))
    assert np.all(np.abs(np.cov(eps.T) - np.eye(2)) < 5 * np.sqrt(2 / n))
    # neither across the rows of a batch, nor from one batch or epoch to the next
    assert len(np.unique(eps[:, 0])) > 0.99 * n


def test_every_image_is_seen_once_an_epoch_in_a_new_order():
    x = np.arange(10, dtype=np.float32)[:, None] / 10
    spy = Spy()
    fit(spy, x, epochs=2, batch_size=4, rng=np.random.default_rng(0), binarize=False, report=silent)
    assert [len(x) for x, _ in spy.seen] == [4, 4, 2] * 2
    first, second = np.split(np.concatenate([x[:, 0] for x, _ in spy.seen]), 2)
    assert sorted(first) == sorted(second) == sorted(x[:, 0])
    assert list(first) != list(second)


def test_history_is_in_nats_and_elbo_is_negative():
    _, history = spied(x_test=np.tile(GREY, (7, 1)))
    assert [row["epoch"] for row in history] == [1, 2, 3]
    last = history[-1]
    assert (last["recon"], last["kl"], last["elbo"]) == (1.0, 0.5, -1.5)
    assert (last["test_recon"], last["test_kl"], last["test_elbo"]) == (3.0, 4.0, -7.0)


def test_a_history_weighs_images_not_batches():
    class Counting(Spy):
        def loss_and_grads(self, x, eps, beta=1.0):
            loss, recon, kl, grads = super().loss_and_grads(x, eps, beta)
            return loss, recon * len(x), kl, grads

    model = Counting()
    x = np.tile(GREY, (5, 1))
    history = fit(model, x, epochs=1, batch_size=3, rng=np.random.default_rng(0), report=silent)
    assert history[0]["recon"] == pytest.approx((3 * 3 + 2 * 2) / 5)


def test_beta_reaches_the_model():
    spy, _ = spied(beta=0.25)
    assert set(spy.betas) == {0.25}


def test_fit_goes_on_where_it_was():
    def run(*stops):
        rng = np.random.default_rng(5)
        vae = VAE.create(5, (4,), 2, rng=rng)
        optimizer, history = Adam(vae.params), []
        for epochs in stops:
            fit(vae, np.tile(GREY, (30, 1)), epochs=epochs, batch_size=8, rng=rng, report=silent,
                optimizer=optimizer, history=history)  # fmt: skip
        return vae, history

    (at_once, history), (in_steps, history_2) = run(6), run(2, 5, 6)
    assert history == history_2
    for name in at_once.params:
        assert np.array_equal(at_once.params[name], in_steps.params[name])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_stops_before_it_does_harm(bad):
    spy = Spy(loss=bad)
    with pytest.raises(TrainingError, match="step 1: recon"):
        fit(spy, GREY[None], epochs=1, rng=np.random.default_rng(0), report=silent)
    assert spy.params["p"] == 0


@pytest.mark.parametrize("change", [{"epochs": -1}, {"batch_size": 0}, {"n": 0}], ids=str)
def test_arguments_out_of_range_are_refused(change):
    with pytest.raises(ValueError, match="must"):
        spied(**change)


def test_one_plain_line_an_epoch_where_there_is_no_terminal(capsys):
    spied(epochs=2, report=None)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[1].split() == ["epoch", "2", "recon", "1.000", "kl", "0.500", "elbo", "-1.500"]


def test_a_progress_bar_on_a_terminal():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    out = Terminal()
    report = train.printer(2, out)
    for epoch in (1, 2):
        report({"epoch": epoch, "recon": 1.0, "kl": 0.5, "elbo": -1.5, "test_elbo": -2.0})
    assert "2/2" in out.getvalue()
    assert "-2.000" in out.getvalue()


def test_training_reaches_the_entropy_of_independent_pixels():
    """Pixels that are independent need no z: the best loss is their entropy, and the KL is 0."""
    rng = np.random.default_rng(0)
    vae = VAE.create(5, (8,), 2, rng=rng)
    x = np.tile(GREY, (2000, 1))
    history = fit(vae, x, epochs=25, learning_rate=3e-3, rng=rng, report=silent)
    entropy = -(GREY * np.log(GREY) + (1 - GREY) * np.log(1 - GREY)).sum()
    # 2000 draws of 5 pixels scatter by 0.02 nats; 25 epochs leave 0.01 of KL
    assert history[-1]["kl"] < 0.02
    assert -history[-1]["elbo"] == pytest.approx(entropy, abs=0.06)


@pytest.mark.parametrize("cls", [VAE, Autoencoder])
def test_digits_are_learned(cls):
    """Within 10 epochs better than the best model without a z: the mean image."""
    digits = data.load("digits")
    rng = np.random.default_rng(0)
    model = cls.create(64, (64,), 2, rng=rng)
    history = fit(model, digits.x_train, epochs=10, batch_size=50, learning_rate=2e-3, rng=rng,
                  x_test=digits.x_test, report=silent)  # fmt: skip
    p = np.clip(np.asarray(digits.x_train).mean(axis=0, dtype=float), 1e-3, 1 - 1e-3)
    x = np.asarray(digits.x_test, dtype=float)
    mean_image = -(x * np.log(p) + (1 - x) * np.log(1 - p)).sum(axis=1).mean()
    assert -history[-1]["test_elbo"] < mean_image - 1
    assert history[-1]["elbo"] > history[0]["elbo"]


def test_sgd_trains_too():
    rng = np.random.default_rng(0)
    vae = VAE.create(5, (4,), 2, rng=rng)
    history = fit(vae, np.tile(GREY, (200, 1)), epochs=5, rng=rng, report=silent,
                  optimizer=SGD(vae.params, 0.05))  # fmt: skip
    assert history[-1]["elbo"] > history[0]["elbo"]
