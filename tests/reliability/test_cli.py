"""The program `tinyvae`: what it prints, what it refuses, what it leaves behind."""

import fcntl
import io
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from contextlib import suppress

import numpy as np
import pytest

import tinyvae
from tinyvae import VAE, Autoencoder, checkpoint, cli, data, evaluate, train
from tools import kill

TINY = ["--hidden", "4", "--batch-size", "500"]


def run(capsys, *arguments):
    """The program in this process  ->  status, stdout, stderr"""
    try:
        status = cli.main([str(argument) for argument in arguments])
    except SystemExit as exit:  # argparse's way to end
        status = exit.code
    return status, *capsys.readouterr()


@pytest.fixture
def cwd(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with three runs: a VAE, one on grey pixels, an autoencoder; nobody changes them."""
    folder = tmp_path_factory.mktemp("runs")
    for name, *options in ("vae",), ("grey", "--no-binarize"), ("ae", "--autoencoder"):
        arguments = ["train", "digits", *TINY, "--epochs", "2", "--out", str(folder / name)]
        assert cli.main([*arguments, *options]) == 0
    return folder


# --- train --------------------------------------------------------------------------------------


def test_train_prints_a_line_an_epoch_and_the_result(capsys, cwd):
    status, out, err = run(capsys, "train", "digits", *TINY, "--epochs", 3)
    *lines, result, where = out.splitlines()
    assert (status, err, len(lines)) == (0, "", 3)
    run_ = checkpoint.load_run("runs/digits-2d")
    assert lines[-1] == train.line(run_.history[-1])
    said = re.fullmatch(
        r"test loss ([\d.]+) nats = recon ([\d.]+) \+ kl ([\d.]+), in 34 draws of 297 images",
        result,
    )
    loss, recon, kl = map(float, said.groups())
    assert loss == pytest.approx(recon + kl, abs=0.0011)
    rng, x = np.random.default_rng(99), data.load("digits").x_test
    draws = [sum(train.mean_loss(run_.model, x, rng)) for _ in range(34)]
    assert loss == pytest.approx(np.mean(draws), abs=5 * np.std(draws) * np.sqrt(2 / 34))
    assert where == "saved in runs/digits-2d; see: tinyvae plot runs/digits-2d"
    assert set(os.listdir("runs/digits-2d")) == {
        ".lock", "checkpoint.npz", "config.json", "history.csv",
    }  # fmt: skip


def test_train_does_what_fit_does(cwd):
    """Every option arrives: the run is the one that `fit` makes with the same arguments."""
    arguments = (
        "train digits --latent-dim 3 --hidden 7 5 --activation relu --epochs 2 --batch-size 300 "
        "--learning-rate 0.01 --beta 0.5 --no-binarize --seed 4 --save-every 2 --out run"
    )
    assert cli.main(arguments.split()) == 0
    digits, rng = data.load("digits"), np.random.default_rng(4)
    vae = VAE.create(64, (7, 5), 3, rng=rng, activation="relu")
    history = tinyvae.fit(vae, digits.x_train, epochs=2, batch_size=300, learning_rate=0.01,
                          rng=rng, binarize=False, beta=0.5, x_test=digits.x_test,
                          report=train.silent)  # fmt: skip
    saved = checkpoint.load_run("run")
    assert saved.history == history
    assert all(np.array_equal(saved.model.params[name], vae.params[name]) for name in vae.params)
    config = json.loads((cwd / "run" / "config.json").read_text())
    options = {
        "dataset": "digits", "epochs": 2, "batch_size": 300, "learning_rate": 0.01, "beta": 0.5,
        "binarize": False, "seed": 4, "save_every": 2,
    }  # fmt: skip
    assert config["training"].items() >= options.items()
    assert len(config["training"]) == len(options) + 1  # and the checksum of the data


def test_the_defaults_are_those_of_the_help(capsys, cwd):
    _, out, _ = run(capsys, "train", "--help")
    words = " ".join(out.split())
    for option, default in (
        ("dimensions of z", 2), ("widths of the encoder", 128), ("of the hidden layers", "tanh"),
        ("passes over the training images", 100), ("images in a step", 100),
        ("Adam's step size", 0.001), ("weight of the KL", 1.0), ("of all random numbers", 0),
    ):  # fmt: skip
        assert f"{option} ({default})" in words
    assert cli.main(["train", "--epochs", "1"]) == 0
    saved = checkpoint.load_run("runs/digits-2d")
    assert (saved.model.hidden_dims, saved.model.latent_dim) == ((128,), 2)
    assert (saved.options["batch_size"], saved.optimizer.learning_rate) == (100, 0.001)


def test_train_an_autoencoder(capsys, cwd):
    status, out, _ = run(capsys, "train", *TINY, "--epochs", 1, "--autoencoder")
    assert status == 0
    assert "kl 0.000" in out
    assert type(checkpoint.load("runs/digits-2d-autoencoder")) is Autoencoder


def test_grey_pixels_are_said_to_be_no_likelihood(capsys, cwd):
    _, out, _ = run(capsys, "train", *TINY, "--epochs", 1, "--no-binarize")
    assert "of grey pixels, so it is not -log p(x)" in out.splitlines()[-2]


def test_images_of_ones_own_without_labels(capsys, cwd):
    rng = np.random.default_rng(0)
    np.savez("mine.npz", x_train=rng.random((50, 3, 5)), x_test=rng.random((20, 3, 5)))
    assert run(capsys, "train", "mine.npz", *TINY, "--epochs", 2)[0] == 0
    assert run(capsys, "evaluate", "runs/mine-2d", "--samples", 5)[0] == 0
    status, out, _ = run(capsys, "plot", "runs/mine-2d")
    assert status == 0
    assert len(out.splitlines()) == 5
    np.savez("mine.npz", x_train=rng.random((50, 3, 5)), x_test=rng.random((20, 3, 5)))
    for command in ["evaluate"], ["plot"], ["train", "--resume", "--out"]:
        status, _, err = run(capsys, *command, "runs/mine-2d")
        assert status == 2
        assert "mine.npz has changed since runs/mine-2d was trained on it" in err


# --- resume -------------------------------------------------------------------------------------


def test_a_run_in_parts_is_a_run(capsys, cwd):
    assert run(capsys, "train", *TINY, "--epochs", 4, "--out", "whole")[0] == 0
    assert run(capsys, "train", *TINY, "--epochs", 2, "--out", "parts")[0] == 0
    status, out, _ = run(capsys, "train", "--out", "parts", "--resume", "--epochs", 4)
    assert status == 0
    assert [line.split()[1] for line in out.splitlines()[:-2]] == ["3", "4"]
    assert kill.contents("parts") == kill.contents("whole")


def test_a_run_that_is_done_has_its_files_put_right(capsys, cwd):
    run(capsys, "train", *TINY, "--epochs", 2, "--out", "run")
    before = kill.contents("run")
    (cwd / "run" / "history.csv").write_text("")
    (cwd / "run" / "config.json").unlink()
    status, out, _ = run(capsys, "train", "--out", "run", "--resume")
    assert status == 0
    assert out.startswith("test loss")
    assert kill.contents("run") == before


@pytest.mark.parametrize("change", ["garbage", "of another run", "missing"])
def test_history_csv_is_for_people_and_nothing_reads_it(change, capsys, trained, tmp_path):
    """Evaluating and drawing go by the checkpoint, and --resume writes the table again."""
    checkpoint.write(tmp_path / "run", kill.contents(trained / "vae"))
    before = kill.contents(tmp_path / "run")
    answers = [run(capsys, "evaluate", tmp_path / "run", "--samples", 5)]
    path = tmp_path / "run" / "history.csv"
    if change == "missing":
        path.unlink()
    else:
        path.write_bytes(b"\xff" if change == "garbage" else b"epoch,recon,kl,elbo\n1,9,9,-18\n")
    answers.append(run(capsys, "evaluate", tmp_path / "run", "--samples", 5))
    assert answers[0] == answers[1]
    assert run(capsys, "train", "--out", tmp_path / "run", "--resume")[0] == 0
    assert kill.contents(tmp_path / "run") == before


@pytest.mark.parametrize("name", ["checkpoint.npz", "config.json"])
def test_files_swapped_with_another_run_are_noticed(name, capsys, trained, tmp_path):
    checkpoint.write(tmp_path / "run", kill.contents(trained / "vae"))
    (tmp_path / "run" / name).write_bytes((trained / "grey" / name).read_bytes())
    before = kill.contents(tmp_path / "run")
    for command in ["train", "--resume", "--out"], ["evaluate"], ["plot"]:
        status, out, err = run(capsys, *command, tmp_path / "run")
        assert (status, out, err.count("\n")) == (2, "", 1), err
        assert "config.json: is not the configuration of the checkpoint.npz beside it" in err
    assert kill.contents(tmp_path / "run") == before


def test_a_run_is_not_overwritten(capsys, cwd):
    run(capsys, "train", *TINY, "--epochs", 1, "--out", "run")
    before = kill.contents("run")
    status, _, err = run(capsys, "train", *TINY, "--epochs", 1, "--out", "run")
    assert status == 2
    assert err == (
        "tinyvae train: run already holds a checkpoint.npz; go on with that run by --resume, or "
        "choose another folder by --out\n"
    )
    assert kill.contents("run") == before


def test_a_config_of_somebody_else_is_not_overwritten(capsys, cwd):
    (cwd / "config.json").write_text("mine")
    status, _, err = run(capsys, "train", *TINY, "--epochs", 1, "--out", ".")
    assert status == 2
    assert "already holds a config.json" in err
    assert (cwd / "config.json").read_text() == "mine"


CONTRADICTIONS = [
    (["mnist5k"], "dataset digits, not mnist5k"),
    (["--latent-dim", "3"], "latent-dim 2, not 3"),
    (["--hidden", "4", "4"], "hidden 4, not 4 4"),
    (["--activation", "relu"], "activation tanh, not relu"),
    (["--autoencoder"], "autoencoder False, not True"),
    (["--batch-size", "7"], "batch-size 500, not 7"),
    (["--learning-rate", "0.1"], "learning-rate 0.001, not 0.1"),
    (["--beta", "2"], "beta 1.0, not 2.0"),
    (["--no-binarize"], "binarize True, not False"),
    (["--seed", "1"], "seed 0, not 1"),
    (["--epochs", "1"], "is already at epoch 2; --epochs 1 is behind it"),
]


@pytest.mark.parametrize("options, said", CONTRADICTIONS, ids=lambda value: str(value))
def test_resume_changes_nothing_that_made_the_run(options, said, capsys, trained):
    before = kill.contents(trained / "vae")
    status, out, err = run(capsys, "train", *options, "--out", trained / "vae", "--resume")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert said in err
    assert kill.contents(trained / "vae") == before


NONSENSE = {
    "epochs": [1e30, 0, -3, True, "5", None, 10**30, [[5]]],
    "batch_size": ["x", 0, -1, 2.5],
    "save_every": [0, 1.0, None],
    "learning_rate": [-0.1, 0.0, 1e300, "fast", [0.1], True],
    "beta": [-1.0, "x", {}, 1e7],
    "seed": [-1, 0.5, "0", 2**64],
    "binarize": [1, "no", None],
    "dataset": [5, None, [["digits"]], "no-such-data", "", "--help", "a\0b.npz", "\ud800"],
    "data_sha256": [None, 5, "0" * 64],
}


@pytest.mark.parametrize(
    "name, value",
    [(name, value) for name, values in NONSENSE.items() for value in values],
    ids=repr,
)
def test_options_that_no_training_has_are_refused(
    name, value, capsys, trained, tmp_path, monkeypatch
):
    """A checkpoint that somebody made by hand, sealed and all, is no way around the ranges."""
    monkeypatch.setattr(cli, "fit", lambda *arguments, **options: pytest.fail("it trains"))
    made = checkpoint.load_run(trained / "vae")
    made.options[name] = value
    checkpoint.save(tmp_path / "run", *made)
    before = kill.contents(tmp_path / "run")
    for command in ["train", "--resume", "--out"], ["evaluate"], ["plot"]:
        status, out, err = run(capsys, *command, tmp_path / "run")
        assert (status, out, err.count("\n")) == (2, "", 1), err
        assert err.startswith(f"tinyvae {command[0]}: ")
    assert {name: text for name, text in kill.contents(tmp_path / "run").items() if text} == before


@pytest.mark.parametrize("t", [-1, 0.5, "1", None, True, 10**400])
def test_an_optimizer_after_no_number_of_steps_is_refused(t, capsys, trained, tmp_path):
    made = checkpoint.load_run(trained / "vae")
    made.optimizer.t = t
    checkpoint.save(tmp_path / "run", *made)
    status, out, err = run(capsys, "train", "--resume", "--out", tmp_path / "run", "--epochs", 3)
    assert (status, out, err.count("\n")) == (2, "", 1), err
    assert "has an optimizer after" in err


def test_resume_with_the_same_options_is_fine(capsys, trained):
    assert run(capsys, "train", "digits", *TINY, "--epochs", 2, "--out", trained / "vae",
               "--resume")[0] == 0  # fmt: skip


def test_a_run_trained_with_processes_goes_on_without(capsys, trained, tmp_path):
    """Version 1 had an option --processes, and kept it in the run."""
    made = checkpoint.load_run(trained / "vae")
    made.options["processes"] = 2
    checkpoint.save(tmp_path / "run", *made)
    assert run(capsys, "evaluate", tmp_path / "run", "--samples", 2)[0] == 0
    status, _, err = run(capsys, "train", "--resume", "--out", tmp_path / "run", "--epochs", 3)
    assert (status, err) == (0, "")
    assert "processes" not in checkpoint.load_run(tmp_path / "run").options


# --- evaluate -----------------------------------------------------------------------------------


def numbers(out):
    """name -> (mean, standard error) of the lines that evaluate prints"""
    rows = re.findall(r"^(elbo|recon|kl|log p\(x\)) +(-?[\d.]+) \+- +([\d.]+) nats", out, re.M)
    return {name: (float(mean), float(error)) for name, mean, error in rows}


def test_evaluate_prints_what_the_library_says(capsys, trained):
    status, out, err = run(capsys, "evaluate", trained / "vae", "--samples", 50)
    assert (status, err) == (0, "")
    said = numbers(out)
    assert set(said) == {"elbo", "recon", "kl", "log p(x)"}
    vae, rng = checkpoint.load(trained / "vae"), np.random.default_rng(99)
    x = data.binarize(data.load("digits").x_test, rng)
    elbo = evaluate.elbo(vae, x, rng, samples=10)
    assert said["elbo"][0] == pytest.approx(elbo.mean(), abs=5 * said["elbo"][1])
    assert said["elbo"][1] == pytest.approx(elbo.std() / np.sqrt(len(x)), rel=0.2)
    assert said["elbo"][0] == pytest.approx(-said["recon"][0] - said["kl"][0], abs=0.002)
    assert said["elbo"][0] <= said["log p(x)"][0]
    again = run(capsys, "evaluate", trained / "vae", "--samples", 50)[1]
    assert again == out
    other = run(capsys, "evaluate", trained / "vae", "--samples", 50, "--seed", 1)[1]
    assert other != out


def test_evaluate_says_how_far_its_weights_can_be_trusted(capsys, trained):
    _, out, _ = run(capsys, "evaluate", trained / "vae", "--samples", 200)
    assert re.search(r"^log p\(x\) .* nats  at least: 200 importance weights each$", out, re.M)
    size, fewest = map(float, re.search(
        r"^weights +([\d.]+) +of 200 effective; fewest ([\d.]+)$", out, re.M).groups())  # fmt: skip
    k_hat, worst, limit = map(float, re.search(
        r"^k-hat +(-?[\d.]+) +Pareto shape; worst (-?[\d.]+), good up to ([\d.]+)$", out, re.M
    ).groups())  # fmt: skip
    vae, rng = checkpoint.load(trained / "vae"), np.random.default_rng(99)
    truth = evaluate.estimate(vae, data.binarize(data.load("digits").x_test, rng), rng, 200)
    assert size == pytest.approx(np.median(truth.sample_size), rel=0.2)
    assert fewest <= size <= 200
    assert k_hat == pytest.approx(np.median(truth.pareto_k), abs=0.2)
    assert k_hat <= worst
    assert limit == pytest.approx(evaluate.pareto_k_limit(200), abs=0.005)
    assert ("warning" in out) == (worst > limit)
    assert all(len(line) <= 78 for line in out.splitlines()[1:])


def test_evaluate_warns_of_weights_that_cannot_be_trusted(capsys, trained, monkeypatch):
    def estimate(vae, x, rng, samples):
        return evaluate.Estimate(np.zeros(len(x)), np.ones(len(x)), np.where(x[:, 9] > 0, 0.9, 0.1))

    monkeypatch.setattr(evaluate, "estimate", estimate)
    _, out, _ = run(capsys, "evaluate", trained / "vae", "--samples", 5000)
    *_, first, second = out.splitlines()
    assert re.fullmatch(r"warning: in \d+ of 297 images a few weights carry the sum:", first)
    assert second.endswith("take more --samples")
    monkeypatch.setattr(evaluate, "estimate", lambda vae, x, rng, samples: evaluate.Estimate(
        *np.full((3, len(x)), 0.7)))  # fmt: skip
    assert "warning" not in run(capsys, "evaluate", trained / "vae", "--samples", 5000)[1]


def test_evaluate_of_one_image_has_no_standard_error(capsys, cwd):
    rng = np.random.default_rng(0)
    np.savez("one.npz", x_train=rng.random((9, 3, 5)), x_test=rng.random((1, 3, 5)))
    run(capsys, "train", "one.npz", *TINY, "--epochs", 1)
    status, out, err = run(capsys, "evaluate", "runs/one-2d", "--samples", 30)
    assert (status, err) == (0, "")
    assert "nan" not in out
    assert "fewer than 25" in run(capsys, "evaluate", "runs/one-2d", "--samples", 1)[1]
    assert "+-" not in out.replace("more than the +-", "")
    assert "1 epoch of one.npz, 1 test image\n" in out


def test_evaluate_says_what_a_loss_of_grey_pixels_is_not(capsys, trained):
    _, out, _ = run(capsys, "evaluate", trained / "grey", "--samples", 5)
    words = " ".join(out.split())
    assert "of grey pixels, as it was trained: it is not -log p(x)" in words
    loss = float(re.search(r"^loss +([\d.]+)", out, re.M)[1])
    last = checkpoint.load_run(trained / "grey").history[-1]
    assert loss == pytest.approx(-last["test_elbo"], abs=0.3)  # other draws of z
    assert "grey" not in run(capsys, "evaluate", trained / "vae", "--samples", 5)[1].split("\n")[1]


def test_evaluate_refuses_an_autoencoder(capsys, trained):
    status, out, err = run(capsys, "evaluate", trained / "ae")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "holds an autoencoder, which has no ELBO and no log p(x)" in err


# --- plot ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["vae", "ae"])
def test_plot_writes_pngs_and_says_where(name, capsys, trained, tmp_path):
    status, out, err = run(capsys, "plot", trained / name, "--out", tmp_path / "figures")
    assert (status, err) == (0, "")
    paths = out.splitlines()
    names = ["samples", "reconstructions", "latent", "grid", "curve"]
    assert paths == [str(tmp_path / "figures" / f"{name}.png") for name in names]
    for path in paths:
        with open(path, "rb") as file:
            assert file.read(8) == b"\x89PNG\r\n\x1a\n"


# --- refusals -----------------------------------------------------------------------------------

WHOLE, NUMBER = ["0", "-1", "1.5", "many", "", "1e3", "99999999999999999999"], ["nan", "inf", "x"]
BAD_OPTIONS = [
    *(["train", "--latent-dim", value] for value in WHOLE),
    *(["train", "--hidden", value] for value in WHOLE),
    *(["train", "--epochs", value] for value in WHOLE),
    *(["train", "--batch-size", value] for value in WHOLE),
    *(["train", "--save-every", value] for value in WHOLE),
    *(["train", "--seed", value] for value in WHOLE if value != "0"),
    *(["train", "--learning-rate", value] for value in ["0", "-1", "1e7", "", *NUMBER]),
    *(["train", "--beta", value] for value in ["-1", "1e7", "", *NUMBER]),
    *(["evaluate", "RUN", "--samples", value] for value in WHOLE),
    *(["evaluate", "RUN", "--seed", value] for value in WHOLE if value != "0"),
    *(["plot", "RUN", "--seed", value] for value in WHOLE if value != "0"),
    ["train", "--activation", "sigmoid"],
    ["train", "--activation"],
    ["train", "--hidden"],
    ["train", "--hidden", "5", "x"],
    ["train", "--epoch", "5"],  # no abbreviations: they would change their meaning one day
    ["train", "--autoencoder", "yes", "no"],
    ["train", "--autoencoder", "--beta", "2"],
    ["train", "--hidden", "100000", "100000"],
    ["train", "--unknown"],
    ["train", "--data", "RUN"],
    ["train", "--resume", "--out", "RUN", "--data", "nowhere.npz"],
    ["train", "--resume", "--out", "RUN", "--data", "EMPTY"],
    ["evaluate", "RUN", "--data", "mnist5k"],
    ["plot", "RUN", "--data", "FILE"],
    ["explore", "RUN", "--data", "FILE"],
    ["train", "digits", "mnist"],
    ["train", "no-such-data"],
    ["train", "no-such-file.npz"],
    ["train", ""],
    ["train", "--resume", "--out", "nowhere"],
    ["train", "--resume"],
    ["evaluate"],
    ["evaluate", "nowhere"],
    ["evaluate", "EMPTY"],
    ["evaluate", "FILE"],
    ["evaluate", "NEWER"],
    ["evaluate", "UNKNOWN"],
    ["evaluate", "RUN", "RUN"],
    ["plot"],
    ["plot", "nowhere"],
    ["plot", "EMPTY"],
    ["plot", "UNKNOWN"],
    ["plot", "RUN", "--out", "FILE"],
    ["train", "--resume", "--out", "EMPTY"],
    ["train", "--resume", "--out", "FILE"],
    ["train", "--resume", "--out", "NEWER"],
    ["train", "--resume", "--out", "UNKNOWN"],
    ["train", "--out", "FILE"],
    ["train", "--out", ""],
    [],
    ["nothing"],
    ["--nothing"],
    ["lesson", "99"],
    ["lesson", "three"],
    ["check", "kl", "no-such-file.py"],
    ["check", "kl"],
    ["check", "no-such-file.py"],
    ["check"],
    ["bugs", "no-such-bug"],
    ["quiz", "--number", "999"],
]


@pytest.fixture(scope="module")
def places(trained, tmp_path_factory):
    """RUN a run, EMPTY a folder, FILE a file, NEWER a run from the future, UNKNOWN a model only"""
    folder = tmp_path_factory.mktemp("places")
    (folder / "EMPTY").mkdir()
    (folder / "FILE").write_text("mine")
    checkpoint.write(folder / "RUN", kill.contents(trained / "vae"))
    model = checkpoint.load(trained / "vae")
    checkpoint.save(folder / "UNKNOWN", model)
    future = checkpoint.FORMAT + 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "FORMAT", future)
        checkpoint.save(folder / "NEWER", model)
    return folder


@pytest.mark.parametrize("arguments", BAD_OPTIONS, ids=" ".join)
def test_refused_in_one_sentence(arguments, places, monkeypatch, capsys):
    monkeypatch.chdir(places)
    before = {path: path.stat() for path in sorted(places.rglob("*")) if path.is_file()}
    status, out, err = run(capsys, *arguments)
    assert (status, out) == (2, ""), err
    assert err.startswith("tinyvae")
    assert err.count("\n") == 1, err
    after = {path: path.stat() for path in sorted(places.rglob("*")) if path.is_file()}
    assert {p: (s.st_size, s.st_mtime_ns) for p, s in after.items() if p.name != ".lock"} == {
        p: (s.st_size, s.st_mtime_ns) for p, s in before.items() if p.name != ".lock"
    }


def test_every_option_is_in_the_table():
    """Nobody adds an option without a bad value for it."""
    tried = {(row[0], word) for row in BAD_OPTIONS for word in row if word.startswith("--")}
    for name in "train", "evaluate", "plot":
        parser = cli._Parser()
        getattr(cli, f"{name}_arguments")(parser)
        known = {(name, option) for action in parser._actions for option in action.option_strings}
        untried = known - tried - {(name, "-h"), (name, "--help"), (name, "--no-binarize")}
        assert not untried  # --no-binarize takes no value, and contradicts nothing


@pytest.mark.parametrize(
    "arguments, word",
    [
        (["evaluate", "NEWER"], "was made by a newer tinyvae"),
        (["evaluate", "EMPTY"], "holds no checkpoint.npz"),
        (["evaluate", "nowhere"], "no such folder"),
        (["evaluate", "UNKNOWN"], "was not made by `tinyvae train`"),
        (
            ["plot", "RUN", "--out", "FILE"],
            "FILE: cannot be written (File exists); choose another folder",
        ),
        (["train", "--hidden", "100000", "100000"], "choose a smaller --hidden"),
        (["train", "--epochs", "0"], "must be a whole number from 1 to 1000000, not '0'"),
        (["train", "--learning-rate", "nan"], "must be a number above 0 up to 1e+06, not 'nan'"),
        (["train", "--beta", "-1"], "must be a number from 0 up to 1e+06, not '-1'"),
        (["train", "no-such-data"], "'no-such-data' is neither a data set"),
    ],
)
def test_the_sentence_says_what_is_wrong(arguments, word, places, monkeypatch, capsys):
    monkeypatch.chdir(places)
    assert word in run(capsys, *arguments)[2]


def hidden(error):
    """The error that clean-up code raises over another one"""
    try:
        try:
            raise error
        finally:
            raise ValueError("I/O operation on closed file")
    except ValueError as second:
        return second


@pytest.mark.parametrize(
    "name",
    ["-x", "--resume", "a b", "it's", "$HOME", "caf\u00e9", "a\nb", "\x1b", "a\udcff", "\\", "a/b"],
)
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_a_path_is_printed_as_a_shell_word_that_leads_back(name, encoding, monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(io.BytesIO(), encoding))
    word = cli._shell_word(name)
    word.encode(encoding)
    assert word.isprintable()
    assert not word.startswith("-")
    said = subprocess.run(["bash", "-c", f"printf %s {word}"], capture_output=True, check=True)
    assert said.stdout in (os.fsencode(name), os.fsencode(f"./{name}"))


@pytest.mark.parametrize(
    "error, said",
    [
        (MemoryError(), "there is not enough memory for this"),
        (hidden(MemoryError()), "there is not enough memory for this"),
        (hidden(OSError(12, "Cannot allocate memory")), "there is not enough memory for this"),
        (SystemError("<ufunc> returned NULL without setting an exception"), "there is not enough"),
        (OSError(28, "No space left on device"), "the output: No space left on device"),
        (OSError(24, "Too many open files"), "the system: Too many open files"),
        (OSError(28, "No space left on device", "x"), "x: No space left on device"),
    ],
)
def test_what_the_system_refuses(error, said, trained, capsys, monkeypatch):
    def fail(*args):
        raise error

    monkeypatch.setattr(cli, "_dataset", fail)
    status, _, err = run(capsys, "plot", trained / "vae")
    assert status == 2
    assert err.startswith(f"tinyvae plot: {said}")


def test_ctrl_c_outside_of_training(trained, capsys, monkeypatch):
    def stop(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluate, "elbo", stop)
    status, _, err = run(capsys, "evaluate", trained / "vae")
    assert (status, err) == (130, "\ntinyvae evaluate: stopped\n")


# --- the program --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", *cli.COMMANDS])
def test_every_help_shows_an_example_that_parses(name, capsys):
    status, out, err = run(capsys, *name.split(), "--help")
    assert (status, err) == (0, "")
    examples = out.split("example:\n")[1].splitlines()
    examples = [line.split() for line in examples if line.startswith("  tinyvae ")]
    assert examples
    for _, *words in examples:
        command = "check kl" if words[:2] == ["check", "kl"] else words[0]
        parser = cli._Parser(prog="tinyvae")
        cli._functions(command, cli.COMMANDS[command])[0](parser)
        parser.parse_args(words[len(command.split()) :])


def test_the_overview_names_every_command(capsys):
    _, out, _ = run(capsys, "--help")
    for name, command in cli.COMMANDS.items():
        assert " " in name or f"  {name:10s}{command.help}\n" in out


def test_the_version(capsys):
    assert run(capsys, "--version")[:2] == (0, f"tinyvae {tinyvae.__version__}\n")


def test_commands_of_the_classroom_are_called(capsys):
    assert run(capsys, "quiz", "--list")[0] == 0
    assert run(capsys, "bugs")[0] == 0
    assert run(capsys, "lesson")[0] == 0


@pytest.mark.parametrize(
    "arguments, unwanted",
    [
        (["--help"], ["matplotlib", "hypothesis", "scipy", "tqdm", "tinyvae.classroom"]),
        (["train", "--help"], ["matplotlib", "hypothesis", "scipy", "tinyvae.classroom"]),
        (["train", "--epochs", "1", "--out", "run"], ["matplotlib", "hypothesis", "tqdm"]),
        (["evaluate", "--help"], ["matplotlib", "hypothesis"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_a_command_imports_what_it_needs_and_no_more(arguments, unwanted, cwd):
    code = (
        "import sys\nfrom tinyvae.cli import main\n"
        f"try: main({arguments})\nexcept SystemExit: pass\n"
        f"print([name for name in {unwanted} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], env=kill.ENVIRONMENT, text=True,
                          capture_output=True, check=True)  # fmt: skip
    assert done.stderr == "[]\n"


def test_the_module_is_the_program_and_a_closed_pipe_is_quiet(cwd):
    command = f'"{sys.executable}" -m tinyvae bugs | head -1; echo "${{PIPESTATUS[0]}}"'
    done = subprocess.run(["bash", "-c", command], env=kill.ENVIRONMENT, text=True,
                          capture_output=True)  # fmt: skip
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] in ("0", "141")  # 0: it was faster than head


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_error(closed, trained, cwd):
    words = ["train", *TINY, "--epochs", "1", "--out", "run"], ["evaluate", "nowhere"]
    for status, arguments in zip((0, 2), words, strict=True):
        command = f'"{sys.executable}" -m tinyvae {" ".join(arguments)} {closed}'
        done = subprocess.run(["bash", "-c", command], env=kill.ENVIRONMENT, text=True,
                              capture_output=True)  # fmt: skip
        assert done.returncode == status
        assert "Traceback" not in done.stderr
        assert "nowhere" not in done.stdout
    assert checkpoint.load_run("run").history


def test_names_that_the_output_cannot_say_are_escaped(trained, cwd):
    (cwd / "ünï").symlink_to(trained / "vae")
    done = subprocess.run(
        [sys.executable, "-m", "tinyvae", "evaluate", "ünï", "--samples", "3"],
        env=kill.ENVIRONMENT | {"PYTHONIOENCODING": "ascii"}, text=True, capture_output=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(r"\xfcn\xef: 2 epochs of digits")


def on_a_terminal(*arguments, stop_at=None):
    """Run the program with a terminal of 120 columns as stdout and stderr  ->  status, lines

    Ctrl-C comes when the bytes ``stop_at`` have been seen.
    """
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    process = kill.tinyvae(*arguments, stdout=slave, stderr=slave, text=False,
                           preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
                           )  # fmt: skip
    os.close(slave)
    seen = b""
    with suppress(OSError):  # Linux's way to say that nobody writes any more
        while part := os.read(master, 10_000):
            seen += part
            if stop_at and stop_at in seen:
                process.send_signal(signal.SIGINT)
                stop_at = None
    os.close(master)
    return process.wait(), seen.decode().replace("\r\n", "\n").split("\n")


def test_a_bar_on_a_terminal(tmp_path):
    status, lines = on_a_terminal("train", *TINY, "--epochs", "3", "--out", tmp_path / "run")
    assert status == 0
    bar, result, where, last = lines
    assert "100%" in bar and "3/3" in bar
    assert "elbo" in bar
    assert result.startswith("test loss")
    assert where.startswith("saved in")
    assert last == ""


def test_ctrl_c_ends_the_bar_before_it_says_how_to_go_on(tmp_path):
    status, lines = on_a_terminal("train", *TINY, "--epochs", "3000", "--out", tmp_path / "run",
                                  stop_at=b"elbo")  # fmt: skip
    assert status == 130
    bar, stopped, command, last = lines
    assert "/3000" in bar
    assert stopped.startswith("stopped by SIGINT after epoch")
    assert command.strip().startswith("tinyvae train --out")
    assert last == ""


def test_a_bar_while_it_evaluates(trained):
    status, lines = on_a_terminal("evaluate", trained / "vae", "--samples", "5")
    assert status == 0
    assert "/15 [" in "".join(lines)
    assert lines[-2].startswith("k-hat")
