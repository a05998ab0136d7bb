"""Run folders of earlier versions: they are read, drawn and resumed for ever."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tinyvae import Autoencoder, checkpoint, cli, environment

GOLDEN = Path(__file__).parent / "golden" / "1.0.0"
RUNS = {  # name: latent dimensions, hidden units, activation, SHA-256 of its checkpoint
    "vae": (2, (4,), "tanh", "d3da003426e8f968"),
    "processes": (2, (4,), "tanh", "9c5f6683e69fc129"),
    "autoencoder": (2, (4,), "tanh", "7e4baa3e4e9ee5fd"),
    "grey": (3, (5, 3), "relu", "199cdb42a715f8ef"),
}


@pytest.fixture(params=RUNS)
def golden(request, tmp_path):
    """A copy of one of the folders"""
    return Path(shutil.copytree(GOLDEN / request.param, tmp_path / request.param))


def test_nobody_has_changed_them(golden):
    sha = hashlib.sha256((GOLDEN / golden.name / "checkpoint.npz").read_bytes()).hexdigest()
    assert sha[:16] == RUNS[golden.name][3]
    state = json.loads(np.load(golden / "checkpoint.npz")["state"].tobytes())
    assert state["format"] == 1
    assert "environments" not in state


def test_what_they_hold_is_read(golden):
    run = checkpoint.load_run(golden)
    latent_dim, hidden, activation, _ = RUNS[golden.name]
    model = run.model
    assert isinstance(model, Autoencoder) == (golden.name == "autoencoder")
    assert (model.latent_dim, model.hidden_dims, model.activation) == (
        latent_dim, hidden, activation,
    )  # fmt: skip
    with np.load(golden / "checkpoint.npz") as arrays:  # by NumPy alone
        for name, array in model.params.items():
            assert np.array_equal(array, arrays[f"params.{name}"])
        for moment in "m", "v":
            for name, array in run.optimizer.moments[moment].items():
                assert np.array_equal(array, arrays[f"{moment}.{name}"])
        state = json.loads(arrays["state"].tobytes())
        assert [list(row.values()) for row in run.history] == arrays["history"].tolist()
    assert run.rng.bit_generator.state == state["rng"]
    assert run.optimizer.t == state["optimizer"]["t"] == 9  # 3 epochs of 3 steps
    assert run.options == state["training"]


def test_every_command_takes_them(golden, capsys):
    if golden.name != "autoencoder":
        assert cli.main(["evaluate", str(golden), "--samples", "5"]) == 0
    assert cli.main(["plot", str(golden)]) == 0
    capsys.readouterr()
    assert cli.main(["train", "--out", str(golden), "--resume", "--epochs", "4"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("epoch    4 ")
    assert "it does not say what it was trained on" in err  # so nobody promises the same bits
    run = checkpoint.load_run(golden)
    assert len(run.history) == 4
    assert run.environments == [{"epoch": 4, **environment.describe()}]


def test_a_resume_leads_where_the_old_version_went(tmp_path):
    """To rounding: 1.0.0 resumed its own run from epoch 3 to 6."""
    folder = shutil.copytree(GOLDEN / "vae", tmp_path / "vae")
    assert cli.main(["train", "--out", str(folder), "--resume", "--epochs", "6"]) == 0
    run, old = checkpoint.load_run(folder), checkpoint.load_run(GOLDEN / "vae-to-6")
    for row, truth in zip(run.history, old.history, strict=True):
        assert row == pytest.approx(truth, rel=1e-5)
    for name, array in old.model.params.items():
        np.testing.assert_allclose(run.model.params[name], array, rtol=1e-3, atol=1e-5)
    assert run.rng.bit_generator.state == old.rng.bit_generator.state


# --- what a run ran on --------------------------------------------------------------------------

SMALL = ["train", "digits", "--hidden", "4", "--batch-size", "500", "--epochs", "1"]


def test_what_a_run_ran_on_is_kept(tmp_path, capsys):
    folder = str(tmp_path / "run")
    assert cli.main([*SMALL, "--out", folder]) == 0
    (recorded,) = checkpoint.load_run(folder).environments
    assert recorded.pop("epoch") == 1
    assert recorded == environment.describe()
    assert recorded["numpy"] == np.__version__
    assert type(recorded["threads"]) is int
    assert recorded["blas"] != "unknown"
    assert cli.main(["train", "--out", folder, "--resume", "--epochs", "2"]) == 0
    assert "note" not in capsys.readouterr().err  # on the same things: nothing to say
    assert len(checkpoint.load_run(folder).environments) == 1


@pytest.mark.parametrize("key", environment.NAMES)
def test_a_resume_on_something_else_says_so(key, tmp_path, capsys, monkeypatch):
    folder = str(tmp_path / "run")
    now = environment.describe()
    monkeypatch.setattr(environment, "describe", lambda ranks: now | {key: "another"})
    assert cli.main([*SMALL, "--out", folder]) == 0
    monkeypatch.undo()
    capsys.readouterr()
    assert cli.main(["train", "--out", folder, "--resume", "--epochs", "2"]) == 0
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert f"{environment.NAMES[key]} another, now {now[key]}" in err
    assert "differ by rounding" in err
    run = checkpoint.load_run(folder)
    assert [part["epoch"] for part in run.environments] == [1, 2]
    assert run.environments[1] == {"epoch": 2, **now}
