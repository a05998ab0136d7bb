"""tinyvae.parallel and tinyvae.inplace: several processes train as one does, and none is left."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import threadpoolctl

from tinyvae import VAE, Autoencoder, blas, cli, fit, inplace, parallel
from tinyvae.optim import SGD, Adam
from tinyvae.train import TrainingError, silent

ROOT = Path(__file__).resolve().parents[2]
TOLERANCE = {np.float32: 1e-5, np.float64: 1e-12}
pytestmark = pytest.mark.skipif(os.name != "posix", reason="processes share no memory here")


def made(hidden=(7, 5), activation="tanh", dtype=np.float64, data_dim=9, batch=6):
    """A VAE, pixels and noise"""
    rng = np.random.default_rng(3)
    vae = VAE.create(data_dim, hidden, 3, rng=rng, activation=activation, dtype=dtype)
    x = (rng.random((batch, data_dim)) < 0.5).astype(dtype)
    return vae, x, rng.standard_normal((batch, 3), dtype)


def assert_close(got, true, dtype):
    """Equal to rounding, by the largest element"""
    for name in true:
        scale = np.abs(true[name]).max()
        np.testing.assert_allclose(got[name], true[name], rtol=0, atol=TOLERANCE[dtype] * scale)


def in_place(vae, x, eps, beta=1.0):
    """recon, kl and the gradients, from `inplace.backward`, without the pixels that are black"""
    xs, dy = (
        {name: np.full((len(x), shape[k]), np.nan, x.dtype) for name, shape in vae.shapes().items()}
        for k in (0, 1)
    )
    seen, W = x.any(axis=0), {name: vae.params[f"{name}.W"] for name in dy}
    xs["encoder.0"], W["encoder.0"] = x[:, seen], W["encoder.0"][seen]
    xs["logvar"] = xs["mu"]
    images = x.copy()
    with np.errstate(over="ignore", invalid="ignore"):
        recon, kl = inplace.backward(vae, W, images, eps, beta, len(x), xs, dy)
    assert np.array_equal(images, x)
    assert np.array_equal(xs["encoder.0"], x[:, seen])
    grads = {f"{n}.W": xs[n].T @ dy[n] for n in dy} | {f"{n}.b": dy[n].sum(axis=0) for n in dy}
    of_all = np.zeros((x.shape[1], W["encoder.0"].shape[1]), x.dtype)
    of_all[seen] = grads["encoder.0.W"]
    return recon, kl, grads | {"encoder.0.W": of_all}


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("hidden", [(8,), (7, 5), (4, 6, 3)], ids=str)
def test_in_place_is_what_the_pairs_compute(hidden, activation, dtype):
    for batch in (1, 6):
        vae, x, eps = made(hidden, activation, dtype, batch=batch)
        x[:, 4] = 0
        _, true_recon, true_kl, true = vae.loss_and_grads(x, eps, 0.7)
        recon, kl, grads = in_place(vae, x, eps, 0.7)
        got = {"recon": recon, "kl": kl} | grads
        assert_close(got, {"recon": true_recon, "kl": true_kl} | true, dtype)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("logvar", [-np.inf, -900.0, -1e-30, 0.0, 1e-9, 1e-4, 85.0, 900.0, np.inf])
def test_in_place_the_kl_is_that_of_the_pairs_for_any_logvar(logvar, dtype):
    vae, x, eps = made(dtype=dtype)
    for name in ("mu.W", "mu.b", "logvar.W"):
        vae.params[name][...] = 0
    vae.params["logvar.b"][...] = logvar
    with np.errstate(all="ignore"):
        _, kl, _ = in_place(vae, x, eps)
        true = vae.loss(x, eps)[1]
    assert np.all(kl >= 0)
    # just above 0 it is logvar^2 / 4 a dimension, and what rounding leaves of it is 1e-16 logvar
    rounding = 0 if np.isinf(logvar) else 1e-15 * abs(logvar)
    np.testing.assert_allclose(kl, true, rtol=TOLERANCE[dtype], atol=rounding)


CASES = [
    (2, np.float32, "relu", (30,), Adam),
    (2, np.float64, "tanh", (7, 5), Adam),
    (3, np.float64, "relu", (4, 6, 3), SGD),
    (5, np.float64, "tanh", (2,), Adam),
    (2, np.float64, "relu", (150,), Adam),  # wide enough for shares to end inside of a matrix
    (3, np.float64, "tanh", (300,), SGD),
]


@pytest.mark.parametrize(("processes", "dtype", "activation", "hidden", "kind"), CASES, ids=str)
def test_steps_are_those_of_one_process(processes, dtype, activation, hidden, kind):
    """Losses and gradients of every step, parameters and moments after all; batches that differ."""
    size = {"data_dim": 150 if hidden[0] > 100 else 9, "batch": 11}
    vae, x, eps = made(hidden, activation, dtype, **size)
    alone, _, _ = made(hidden, activation, dtype, **size)
    x[0] = 0  # one batch is all black, and in those of one or two images there are black pixels
    optimizer, alone_optimizer = kind(vae.params, 0.01), kind(alone.params, 0.01)
    own = dict(vae.params)
    with parallel.data_parallel(vae, optimizer, processes, 11, dtype) as at_work:
        for rows in (slice(11), slice(4, 9), slice(2), slice(1, 11), slice(0, 1)):
            with at_work() as (together, stepping):
                loss, recon, kl, grads = together.loss_and_grads(x[rows], eps[rows], 0.5)
                true_loss, true_recon, true_kl, true = alone.loss_and_grads(x[rows], eps[rows], 0.5)
                assert_close(grads, true, dtype)
                assert_close(
                    {"loss": loss, "recon": recon, "kl": kl},
                    {"loss": true_loss, "recon": true_recon, "kl": true_kl},
                    dtype,
                )
                stepping.step(grads)
            alone_optimizer.step(true)
            assert stepping.t == optimizer.t == alone_optimizer.t
        assert_close(vae.params, alone.params, dtype)  # a report looks at them in between
    assert all(vae.params[name] is own[name] for name in own)
    # Adam's step is the gradient's sign times 0.01 at first, whatever its size: tiny ones count
    assert_close(vae.params, alone.params, dtype)
    for kind_of_moment, moments in optimizer.moments.items():
        assert_close(moments, alone_optimizer.moments[kind_of_moment], dtype)


@pytest.mark.parametrize("black", [0, 200])
def test_shares_are_even_in_few_pieces_and_leave_out_black_pixels(black):
    vae, x, eps = made((400,), "relu", np.float32, data_dim=784, batch=20)
    x[:] = 1
    x[:, :black] = 0
    with parallel.data_parallel(vae, Adam(vae.params), 2, 20, np.float32) as at_work:
        with at_work() as (team, _):
            team.loss_and_grads(x, eps)
        share = team.share
        assert share.x["encoder.0"].shape == (20, 784 - black)
        assert (share.seen is None) == (black == 0)
        work = []
        for rank in (0, 1):
            share.rank = rank
            pieces = [
                (rows.stop - rows.start, share.dy[key.rsplit(".", 1)[0]].shape[1])
                for key, rows in share._rows_of_gradients()
            ]
            assert all(rows in (1, 3) or rows >= 64 for rows, _ in pieces)  # b, W of decoder.0
            work.append(sum(rows * width for rows, width in pieces))
        share.rank = 0
    assert sum(work) == sum(p.size for p in vae.params.values()) - black * 400
    assert max(work) < 0.6 * sum(work)


def history(processes, dtype=np.float32, x_dtype=np.float32, **options):
    vae, _, _ = made(dtype=dtype)
    x = np.tile(np.linspace(0.1, 0.9, 9, dtype=x_dtype), (50, 1))
    options = {"epochs": 3, "batch_size": 16, "report": silent} | options
    rows = fit(vae, x, x_test=x[:5], rng=np.random.default_rng(1), processes=processes, **options)
    return rows, vae


def test_fit_is_that_of_one_process_and_the_same_seed_gives_the_same_bits():
    (alone, _), (together, vae), (again, vae_again) = (history(n) for n in (1, 2, 2))
    for row, true in zip(together, alone, strict=True):
        assert row == pytest.approx(true, rel=1e-5)
    assert together == again
    assert all(np.array_equal(vae.params[name], vae_again.params[name]) for name in vae.params)


@pytest.mark.parametrize("dtypes", [(np.float32, np.float64), (np.float64, np.float32)], ids=str)
def test_images_may_be_of_another_precision_than_the_model(dtypes):
    (alone, _), (together, vae) = (history(n, *dtypes) for n in (1, 2))
    assert vae.params["mu.W"].dtype == dtypes[0]
    assert together[-1] == pytest.approx(alone[-1], rel=1e-5)


def test_what_is_not_finite_stops_before_it_does_harm():
    vae, x, _ = made(batch=8, dtype=np.float32)
    before = {name: p.copy() for name, p in vae.params.items()}
    x[6, 2] = np.nan  # in the half of the other process
    with pytest.raises(TrainingError, match=r"step 1: recon in 1 of 8 images .* not finite"):
        fit(vae, x, epochs=1, rng=np.random.default_rng(0), report=silent, binarize=False,
            batch_size=8, processes=2)  # fmt: skip
    assert all(np.array_equal(vae.params[name], before[name]) for name in before)


def test_every_process_has_a_blas_of_one_thread_and_gives_it_back():

    def threads():
        return {library.num_threads for library in blas.libraries().lib_controllers}

    vae, _, _ = made()
    with blas.libraries().limit(limits=2):
        if threads() != {2}:
            pytest.skip("this BLAS has no threads to be seen")
        with parallel.data_parallel(vae, Adam(vae.params), 2, 4, np.float64) as at_work:
            with at_work():
                assert threads() == {1}
            assert threads() == {2}


def test_the_search_for_blas_cannot_swallow_a_signal(monkeypatch):
    """Ctrl-C is for the main thread, and the system calls back into the one that searches."""
    searching = []

    class Controller(threadpoolctl.ThreadpoolController):
        def __init__(self):
            searching.append(threading.current_thread())
            super().__init__()

    monkeypatch.setattr(threadpoolctl, "ThreadpoolController", Controller)
    found = blas.libraries()
    assert found.info() == threadpoolctl.ThreadpoolController().select(user_api="blas").info()
    assert searching[0] is not threading.main_thread()
    assert not searching[0].is_alive()


class Mine(VAE):
    pass


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"processes": 0}, "processes must be a whole number of at least 1, not 0"),
        ({"processes": 2.0}, "processes must be a whole number of at least 1, not 2.0"),
        ({"processes": 5}, "processes must be at most the images of a batch, 4"),
        ({"processes": 2, "kind": Autoencoder}, "processes must be 1 for Autoencoder"),
        ({"processes": 2, "kind": Mine}, "processes must be 1 for Mine"),
    ],
    ids=str,
)
def test_what_cannot_be_shared_out_is_refused(options, said):
    rng = np.random.default_rng(0)
    model = options.pop("kind", VAE).create(9, (4,), 2, rng=rng)
    with pytest.raises(ValueError, match=said):
        fit(model, np.zeros((4, 9), np.float32), epochs=1, rng=rng, report=silent, **options)


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False


def gone(pids, seconds=10):
    until = time.monotonic() + seconds
    while any(map(alive, pids)) and time.monotonic() < until:
        time.sleep(0.02)
    return not any(map(alive, pids))


def test_a_helper_that_dies_is_an_error_and_leaves_the_model_whole():
    vae, x, eps = made()
    own = dict(vae.params)
    with (
        pytest.raises(ChildProcessError, match="has died"),
        parallel.data_parallel(vae, Adam(vae.params), 3, 6, np.float64) as at_work,
        at_work() as (together, _),
    ):
        helpers = [helper.process for helper in together.helpers]
        together.loss_and_grads(x, eps)
        helpers[0].kill()
        for _ in range(3):
            together.loss_and_grads(x, eps)
    assert all(helper.poll() is not None for helper in helpers)
    assert all(vae.params[name] is own[name] and np.isfinite(own[name]).all() for name in own)


def test_a_helper_that_dies_at_work_is_not_taken_for_done():
    vae, x, eps = made()
    with (
        parallel.data_parallel(vae, Adam(vae.params), 2, 6, np.float64) as at_work,
        at_work() as (together, stepping),
    ):
        grads = together.loss_and_grads(x, eps)[3]
        (helper,) = together.helpers
        helper.process.send_signal(signal.SIGSTOP)
        killed = threading.Timer(0.1, helper.process.kill)
        killed.start()
        with pytest.raises(ChildProcessError, match=f"process {helper.process.pid}, .* has died"):
            stepping.step(grads)
        killed.join()


SLOW = ["--epochs", "100000", "--hidden", "20", "--save-every", "100000", "--processes", "2"]
proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc to look into")


def in_training(folder, *options):
    """A training of its own that has come to its second epoch  ->  the process, its helpers' ids"""
    process = subprocess.Popen(
        [sys.executable, "-m", "tinyvae", "train", *options, "--out", str(folder)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, start_new_session=True,
    )  # fmt: skip
    for _ in range(2):
        process.stdout.readline()
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return process, [int(pid) for pid in children]


@proc
@pytest.mark.parametrize(
    ("signum", "status"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)],
    ids=str,
)
def test_no_helper_outlives_a_training(signum, status, tmp_path):
    process, helpers = in_training(tmp_path / "run", *SLOW)
    assert len(helpers) == 1
    os.killpg(process.pid, signum)  # as a terminal does
    _, error = process.communicate(timeout=20)
    assert process.returncode == status
    assert gone(helpers)
    assert "Traceback" not in error


@proc
def test_a_training_whose_helper_dies_says_how_to_go_on(tmp_path):
    process, (helper,) = in_training(tmp_path / "run", *SLOW)
    os.kill(helper, signal.SIGKILL)
    _, error = process.communicate(timeout=20)
    assert process.returncode == 2
    assert "has died; go on with:\n  tinyvae train --out" in error
    assert "Traceback" not in error
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["training"]["processes"] == 2
    assert len((tmp_path / "run" / "history.csv").read_text().splitlines()) > 1


def test_a_run_in_parts_is_that_in_one_piece(tmp_path, capsys):
    options = ["train", "digits", "--hidden", "8", "--batch-size", "400", "--processes", "2"]
    for folder, epochs in (("whole", "4"), ("parts", "2")):
        assert cli.main([*options, "--epochs", epochs, "--out", str(tmp_path / folder)]) == 0
    assert cli.main(["train", "--out", str(tmp_path / "parts"), "--resume", "--epochs", "4"]) == 0
    for name in ("checkpoint.npz", "history.csv", "config.json"):
        whole, parts = ((tmp_path / folder / name).read_bytes() for folder in ("whole", "parts"))
        assert whole == parts
    assert capsys.readouterr().err == ""
