"""Training on MPI ranks is the training of one process, and ends as it should."""

import csv
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tinyvae import checkpoint, cli, distributed

ROOT = Path(__file__).resolve().parents[2]
SMALL = ["digits", "--epochs", "2", "--hidden", "12", "--latent-dim", "2", "--batch-size", "600"]


def mpiexec():
    """The mpiexec of the MPI that mpi4py finds, or None: from pip, beside its Python's programs"""
    found = importlib.util.find_spec("mpi4py")
    if found is None:
        return None
    beside = Path(found.origin).parents[4] / "bin" / "mpiexec"
    return str(beside) if beside.exists() else shutil.which("mpiexec")


pytestmark = pytest.mark.skipif(
    mpiexec() is None, reason="no mpi4py with an mpiexec: pip install tinyvae[mpi]"
)


def command(ranks, *arguments):
    return [mpiexec(), "-n", str(ranks), sys.executable, *map(str, arguments)]


def environment(**more):
    libraries = f"{Path(mpiexec()).parents[1] / 'lib'}:{os.environ.get('LD_LIBRARY_PATH', '')}"
    paths = {"LD_LIBRARY_PATH": libraries, "PYTHONPATH": str(ROOT)}
    return os.environ | paths | more


def on_ranks(ranks, *arguments, cwd=ROOT, **more):
    """What `mpiexec -n ranks python ...` leaves: its status, what it prints, its errors"""
    run = command(ranks, *arguments)
    return subprocess.run(
        run, cwd=cwd, env=environment(**more), capture_output=True, text=True, timeout=60
    )


def train(folder, ranks, *options, **more):
    done = on_ranks(ranks, "-m", "tinyvae", "train", *SMALL, *options, "--out", folder, **more)
    assert done.returncode == 0, done.stderr
    return done


def losses(folder):
    """What every epoch says, as an array"""
    with open(folder / "history.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return np.array([[float(row[k]) for k in ("recon", "kl", "test_elbo")] for row in rows])


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The folder of a run that one process trained"""
    folder = tmp_path_factory.mktemp("alone") / "run"
    assert cli.main(["train", *SMALL, "--out", str(folder)]) == 0
    return folder


# the last two as if every rank, or every other one, were on another machine
EACH_ALONE, ODD_AND_EVEN = {"MPIR_CVAR_NOLOCAL": "1"}, {"MPIR_CVAR_ODD_EVEN_CLIQUES": "1"}
LAYOUTS = [(2, {}), (3, {}), (2, EACH_ALONE), (4, ODD_AND_EVEN)]


@pytest.mark.parametrize("ranks, layout", LAYOUTS, ids=str)
def test_the_losses_are_those_of_one_process(alone, tmp_path, ranks, layout):
    done = train(tmp_path / "run", ranks, **layout)
    np.testing.assert_allclose(losses(tmp_path / "run"), losses(alone), rtol=1e-5)
    assert done.stdout.count("epoch") == 2  # one rank speaks
    assert done.stderr.startswith(f"note: {ranks} ranks train together; if one ends, all end")
    assert checkpoint.load_run(tmp_path / "run").optimizer.t == 2 * 3


def test_the_same_number_of_ranks_gives_the_same_bits(tmp_path):
    for name in "first", "second":
        train(tmp_path / name, 2)
    first, second = ((tmp_path / n / "checkpoint.npz").read_bytes() for n in ("first", "second"))
    assert first == second


def test_an_autoencoder_trains_on_ranks_and_a_run_goes_on_without_them(tmp_path, capsys):
    done = train(tmp_path / "run", 2, "--autoencoder")
    again = ["train", "--out", str(tmp_path / "run"), "--resume", "--epochs", "3"]
    assert cli.main(again) == 0
    assert len(losses(tmp_path / "run")) == 3
    assert done.stdout.splitlines()[-1].startswith("saved in")


STEPS = """
import os
import numpy as np
from tinyvae import VAE, distributed, evaluate
from tinyvae.optim import SGD, Adam

comm = distributed.world()
if os.environ.get("PLANT") == "rows left out":
    whole = distributed.share
    distributed.share = lambda n, rank, ranks: slice(0, max(n - 1, 0)) if n < 50 else whole(
        n, rank, ranks)
if os.environ.get("PLANT") == "means added":
    np.multiply = lambda a, b, out: np.copyto(out, a)

for dtype, tolerance in (np.float64, 1e-12), (np.float32, 1e-5):
    for kind in Adam, SGD:
        rng = np.random.default_rng(0)
        one, many = (VAE.create(9, (7, 5), 2, rng=np.random.default_rng(1), dtype=dtype)
                     for _ in range(2))
        adam, before = kind(many.params), {k: p for k, p in many.params.items()}
        alone = kind(one.params)
        with distributed.shared_out(comm, many, adam) as (model, optimizer):
            for batch in 12, 5, 1, 12:  # with fewer rows than ranks, too
                x = (rng.random((batch, 9)) < 0.5).astype(dtype)
                eps = rng.standard_normal((batch, 2)).astype(dtype)
                loss, recon, kl, grads = model.loss_and_grads(x, eps, 0.5)
                true = one.loss_and_grads(x, eps, 0.5)
                for got, want in zip((loss, recon, kl), true):
                    np.testing.assert_allclose(got, want, rtol=tolerance)
                for name in grads:
                    np.testing.assert_allclose(grads[name], true[3][name], rtol=tolerance,
                                               atol=tolerance)
                for got, want in zip(model.loss(x, eps), one.loss(x, eps)):
                    np.testing.assert_allclose(got, want, rtol=tolerance)
                optimizer.step(grads)
                alone.step(true[3])
                assert optimizer.t == alone.t
                for name in one.params:
                    np.testing.assert_allclose(many.params[name], one.params[name],
                                               rtol=100 * tolerance, atol=100 * tolerance)
        assert all(many.params[name] is p for name, p in before.items())  # its own arrays again
        for kind_of_moment, arrays in adam.moments.items():
            for name in arrays:
                np.testing.assert_allclose(arrays[name], alone.moments[kind_of_moment][name],
                                           rtol=100 * tolerance, atol=100 * tolerance)
x = (np.random.default_rng(3).random((7, 9)) < 0.5) * 1.0
got = distributed.estimate(comm, one, x, np.random.default_rng(4), 40)
want = evaluate.estimate(one, x, np.random.default_rng(4), 40)
for a, b in zip(got, want):
    np.testing.assert_allclose(a, b, rtol=1e-4)
print("right")
"""


@pytest.mark.parametrize("ranks", [2, 3])
def test_every_step_is_that_of_one_process(tmp_path, ranks):
    (tmp_path / "steps.py").write_text(STEPS, encoding="utf-8")
    done = on_ranks(ranks, tmp_path / "steps.py")
    assert done.stdout.count("right") == ranks, done.stderr


@pytest.mark.parametrize("plant", ["rows left out", "means added"])
def test_a_mistake_in_the_sum_is_seen(tmp_path, plant):
    (tmp_path / "steps.py").write_text(STEPS, encoding="utf-8")
    code = "import os, runpy\ntry: runpy.run_path(%r)\nexcept AssertionError: os._exit(7)"
    done = on_ranks(2, "-c", code % str(tmp_path / "steps.py"), PLANT=plant)
    assert "right" not in done.stdout


@pytest.mark.parametrize("options, words", [
    (["--batch-size", "x"], "--batch-size"), (["--learning-rate", "1e5"], "not finite"),
])  # fmt: skip
def test_a_refusal_is_one_sentence_and_ends_all(tmp_path, options, words):
    done = on_ranks(2, "-m", "tinyvae", "train", *SMALL, *options, "--out", tmp_path / "run")
    assert done.returncode == (1 if words == "not finite" else 2)
    said = [line for line in done.stderr.splitlines() if not line.startswith("note:")]
    assert len(said) == 1 and words in said[0], done.stderr


def ranks_of(process):
    """The process ids of the ranks of an mpiexec, in order"""
    listed = subprocess.check_output(["ps", "-eo", "pid,ppid,args"], text=True).splitlines()[1:]
    parents = {
        int(pid): (int(ppid), args) for pid, ppid, args in (r.split(None, 2) for r in listed)
    }

    def is_below(pid):
        return pid == process or (pid in parents and is_below(parents[pid][0]))

    return [p for p in sorted(parents) if " -m tinyvae " in parents[p][1] and is_below(p)
            and "mpiexec" not in parents[p][1]]  # fmt: skip


@pytest.mark.skipif(shutil.which("ps") is None, reason="no ps to find the ranks")
@pytest.mark.parametrize("which, signum", [(1, signal.SIGKILL), (0, signal.SIGTERM)])
def test_the_death_of_a_rank_ends_all_and_the_folder_resumes(tmp_path, which, signum):
    folder = tmp_path / "run"
    arguments = ["-m", "tinyvae", "train", *SMALL, "--epochs", "100000", "--out", folder]
    with subprocess.Popen(
        command(2, *arguments), env=environment(), cwd=ROOT, text=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        try:
            until = time.monotonic() + 40
            while time.monotonic() < until and not (
                (folder / "history.csv").exists() and len(losses(folder)) >= 2
            ):
                time.sleep(0.05)
            os.kill(ranks_of(process.pid)[which], signum)
            _, errors = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode != 0
    assert f"go on with: tinyvae train --out {folder} --resume" in errors.splitlines()[0]
    if signum == signal.SIGTERM:
        assert "stopped by SIGTERM" in errors
    epochs = len(losses(folder))
    assert cli.main(["train", "--out", str(folder), "--resume", "--epochs", str(epochs + 1)]) == 0
    assert len(losses(folder)) == epochs + 1


def test_shares_are_even_and_leave_nothing_out():
    for count in range(20):
        for ranks in range(1, 6):
            shares = [range(count)[distributed.share(count, rank, ranks)] for rank in range(ranks)]
            assert [i for part in shares for i in part] == list(range(count))
            assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_mpiexec_is_recognised_by_what_it_sets():
    assert distributed.rank_among_several({}) is None
    assert distributed.rank_among_several({"PMI_SIZE": "1", "PMI_RANK": "0"}) is None
    assert distributed.rank_among_several({"PMI_SIZE": "2", "PMI_RANK": "1"}) == 1
    of_open_mpi = {"OMPI_COMM_WORLD_SIZE": "3", "OMPI_COMM_WORLD_RANK": "2"}
    assert distributed.rank_among_several(of_open_mpi) == 2


def test_evaluate_on_ranks_prints_what_one_process_prints(alone, capsys):
    arguments = ["evaluate", str(alone), "--samples", "30"]
    assert cli.main(arguments) == 0
    printed = capsys.readouterr().out
    done = on_ranks(2, "-m", "tinyvae", *arguments)
    assert (done.returncode, done.stdout) == (0, printed), done.stderr
