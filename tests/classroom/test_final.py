"""The final exercise: right functions reach its ELBO, mistakes that show do not."""

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tinyvae import cli
from tinyvae.classroom.checker import final
from tinyvae.classroom.marking import handout
from tinyvae.layers import sigmoid

ROOT = Path(__file__).parents[2]
SOLVED = ROOT / "lessons" / "exercises" / "solutions"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with the solutions of exercises 3 to 7"""
    for number in range(3, 8):
        for path in SOLVED.glob(f"0{number}_*.py"):
            shutil.copy(path, tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def solution(tmp_path_factory):
    """The solution's names, as a dict that its functions look in"""
    folder = tmp_path_factory.mktemp("final")
    for path in [*SOLVED.glob("0[3-7]_*.py"), SOLVED / "final" / "final_vae.py"]:
        shutil.copy(path, folder)
    path = folder / "final_vae.py"
    space = {"__name__": "final_vae", "__file__": str(path)}
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), space)
    return space


def check(capsys, *words):
    status = cli.main(["check", "final_vae.py", *words])
    return status, capsys.readouterr()


def test_it_is_put_here_and_is_to_do(capsys, folder):
    assert cli.main(["exercise", "final"]) == 0
    assert "tinyvae check final_vae.py" in capsys.readouterr().out
    assert cli.main(["exercise", "final"]) == 2
    assert "is here already" in capsys.readouterr().err
    status, printed = check(capsys)
    assert status == 1 and "todo   loss_and_grads" in printed.out


def test_final_has_no_kinds(capsys, folder):
    assert cli.main(["exercise", "final", "--kind", "debug"]) == 2
    assert "no kinds" in capsys.readouterr().err


def test_file_is_the_solution_with_a_hole():
    def tree(text, cut):
        parsed = ast.parse(text)
        for node in parsed.body:
            if cut and getattr(node, "name", "") == "loss_and_grads":
                node.body = [node.body[0], ast.parse("raise NotImplementedError").body[0]]
        return ast.dump(parsed)

    solved = (SOLVED / "final" / "final_vae.py").read_text(encoding="utf-8")
    name, text = handout.handout("final")
    assert name == "final_vae.py" and tree(text, cut=False) == tree(solved, cut=True)
    assert f"at least {final.ENOUGH} nats" in text


def test_solution_is_right_and_draws_its_plane(capsys, folder):
    shutil.copy(SOLVED / "final" / "final_vae.py", folder)
    status, printed = check(capsys)
    assert status == 0 and "right  train" in printed.out and "All right." in printed.out
    done = subprocess.run(
        [sys.executable, "final_vae.py"],
        env=os.environ | {"MPLBACKEND": "agg"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "the ELBO of 297 test digits: -24." in done.stdout
    assert (folder / "final_vae.png").stat().st_size > 10_000


def q_backward(dz, dkl, mu, logvar, eps, half=1.0, by_z=1.0):
    inner = half * eps * np.exp(logvar / 2) / 2
    return (
        by_z * dz + dkl[:, None] * mu,
        by_z * dz * inner + dkl[:, None] * (np.exp(logvar) - 1) / 2,
    )


PLANTED = {
    "half-lost-in-backward": {"q_backward": lambda *a: q_backward(*a, half=2.0)},
    "gradient-blocked": {"q_backward": lambda *a: q_backward(*a, by_z=0.0)},
    "std-is-exp-logvar": {"reparameterize": lambda mu, logvar, eps: mu + np.exp(logvar) * eps},
    "mean-over-pixels": {
        "nll_backward": lambda d, a, x: d[:, None] * (sigmoid(a) - x) / x.shape[1]
    },
}


@pytest.mark.parametrize("name", PLANTED)
def test_planted_mistake_does_not_reach_it(solution, name, monkeypatch):
    for target, wrong in PLANTED[name].items():
        monkeypatch.setitem(solution, target, wrong)
    x_train, x_test = final.digits()
    assert final.elbo_of_weights(solution["train"](x_train), x_test) < final.ENOUGH - 0.1


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_every_seed_of_the_solution_reaches_it(solution, seed, monkeypatch):
    monkeypatch.setitem(solution, "SEED", seed)
    x_train, x_test = final.digits()
    assert final.elbo_of_weights(solution["train"](x_train), x_test) > final.ENOUGH + 0.1


RIGHT = {
    f"{layer}.{part}": np.zeros(shape)
    for layer, (i, o) in {
        "encoder": (64, 64),
        "mu": (64, 2),
        "logvar": (64, 2),
        "decoder": (2, 64),
        "logits": (64, 64),
    }.items()
    for part, shape in (("W", (i, o)), ("b", (o,)))
}


def test_weights_of_zero_have_the_elbo_of_coins():
    _, x_test = final.digits()
    assert final.elbo_of_weights(RIGHT, x_test) == pytest.approx(-64 * np.log(2))


@pytest.mark.parametrize(
    ("weights", "says"),
    [
        (None, "no dict of weights"),
        ({}, "no array encoder.W"),
        (RIGHT | {"mu.b": "text"}, "no array mu.b"),
        (
            RIGHT | {"mu.W": np.zeros((2, 64))},
            r"mu.W has shape \(2, 64\), where \(64, 2\) is meant",
        ),
        (RIGHT | {"logits.b": np.full(64, np.nan)}, "logits.b is not finite"),
    ],
)
def test_weights_that_are_none_get_a_sentence(weights, says):
    with pytest.raises(ValueError, match=says):
        final.model_of(weights, 64)


def test_missing_file_is_named(capsys, folder):
    shutil.copy(SOLVED / "final" / "final_vae.py", folder)
    next(folder.glob("05_*.py")).unlink()
    status, printed = check(capsys)
    assert status == 2 and "there is no file 05_*.py beside this one" in printed.err
    assert printed.err.count("\n") == 1


def test_what_train_claims_of_itself_counts_for_nothing(capsys, folder):
    text = "FINAL = True\ndef train(x):\n    return {'right': True, 'elbo': 0.0}\n"
    (folder / "final_vae.py").write_text(text, encoding="utf-8")
    status, printed = check(capsys, "--json")
    told = json.loads(printed.out)
    assert (status, told["right"]) == (1, False)
    assert told["holes"][0]["message"] == "train gave no array encoder.W"
