"""A training that is killed, stopped, starved of disk or spoilt loses nothing that was saved."""

import functools
import os
import resource
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from tinyvae import VAE, checkpoint, cli, fit
from tinyvae.train import TrainingError, silent
from tools import kill

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and limits of POSIX")
SMALL = ["train", "digits", "--hidden", "4", "--batch-size", "500"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """save_every -> a training that nobody disturbs"""

    @functools.cache
    def reference(save_every):
        folder = tmp_path_factory.mktemp("left") / "alone"
        return kill.undisturbed(folder, "--save-every", str(save_every))

    return reference


# --- killed -------------------------------------------------------------------------------------


@pytest.mark.parametrize("moment", range(5))
def test_killed_at_any_moment(moment, undisturbed, tmp_path):
    save_every = (1, 4)[moment % 2]
    reference = undisturbed(save_every)
    when = kill.moments(reference, np.random.default_rng(moment))
    kill.survive(tmp_path / "run", when, reference.files, save_every)


def test_the_killer_sees_what_is_lost(tmp_path, monkeypatch):
    def finish(*arguments):
        (tmp_path / "history.csv").write_text("epoch\n")

    monkeypatch.setattr(kill, "finish", finish)
    monkeypatch.setattr(kill, "killed", lambda *args: 5)  # but nothing was saved
    with pytest.raises(AssertionError, match="5 epochs should be saved, not -1"):
        kill.survive(tmp_path, 0, {})
    monkeypatch.setattr(kill, "killed", lambda *args: 0)
    with pytest.raises(AssertionError, match=r"history\.csv differs"):
        kill.survive(tmp_path, 0, {"history.csv": b""})
    with pytest.raises(AssertionError, match="files"):
        kill.survive(tmp_path, 0, {"history.csv": b"epoch\n", "config.json": b""})
    assert kill.survive(tmp_path, 0, {"history.csv": b"epoch\n"}) == (0, -1, 0)


# --- stopped ------------------------------------------------------------------------------------


def started(*arguments):
    """A training in a process of its own, after its third epoch"""
    # A shell that runs the tests in the background makes its children ignore Ctrl-C.
    process = kill.tinyvae(
        *arguments, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler)
    )
    for _ in range(3):
        process.stdout.readline()
    return process


@pytest.mark.parametrize("save_every", [1, 1000])
@pytest.mark.parametrize("signum, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_it_saves_and_says_how_to_go_on(signum, status, save_every, undisturbed, tmp_path):
    options = ["--save-every", str(min(save_every, 4))]
    folder = tmp_path / "a run"  # with a space, which the command must quote
    process = started("train", *kill.OPTIONS, "--save-every", save_every, "--out", folder)
    process.send_signal(signum)
    output, errors = process.communicate()
    assert process.returncode == status, errors
    epoch = len(checkpoint.load_run(folder).history)
    assert epoch >= 3 + output.count("\n")  # whatever --save-every says
    assert f"stopped by {signum.name} after epoch {epoch}; go on with:" in errors
    assert "Traceback" not in errors
    command = errors.splitlines()[-1].strip()
    assert command == f"tinyvae train --out '{folder}' --resume"
    kill.finish("train", "--out", folder, "--resume", *options)
    assert kill.contents(folder) == undisturbed(min(save_every, 4)).files


def test_more_ctrl_c_does_not_stop_the_saving(tmp_path):
    """One every millisecond, until it is over: the first one saves, the others change nothing."""
    process = started("train", *kill.OPTIONS, "--epochs", "100000", "--save-every", "100000",
                      "--out", tmp_path / "run")  # fmt: skip
    sent = 0
    while process.poll() is None and sent < 10_000:
        process.send_signal(signal.SIGINT if sent < 20 else 0)
        sent += 1
        time.sleep(0.001)
    _, errors = process.communicate()
    assert process.returncode in (130, -signal.SIGINT)  # it may still come when all is said
    assert "stopped by SIGINT after epoch" in errors
    assert "Traceback" not in errors
    assert len(checkpoint.load_run(tmp_path / "run").history) >= 3


@pytest.mark.parametrize("main, status", [("lambda: 1", 1), ("interrupted", 130)])
def test_ctrl_c_when_all_is_said_is_quiet(main, status):
    code = (
        "import signal, sys\nfrom tinyvae import cli\n"
        "def interrupted(): signal.raise_signal(signal.SIGINT)\n"
        f"cli.main = {main}\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "status = cli.program()\nsignal.raise_signal(signal.SIGINT)\nsys.exit(status)"
    )
    done = subprocess.run([sys.executable, "-c", code], env=kill.ENVIRONMENT, text=True,
                          capture_output=True)  # fmt: skip
    assert done.stderr == ""
    assert done.returncode == status


def test_a_signal_that_python_drops_is_not_lost(tmp_path, capsys, monkeypatch):
    """What a handler raises inside a finaliser is printed and forgotten."""
    calls = []

    def printing(row):
        calls.append(row)
        if len(calls) == 2:
            with pytest.raises(cli.Stopped):
                signal.raise_signal(signal.SIGINT)

    printing.close = lambda: None
    monkeypatch.setattr(cli.train, "printer", lambda *args, **options: printing)
    assert cli.main([*SMALL, "--epochs", "9", "--out", str(tmp_path / "run")]) == 130
    assert "stopped by SIGINT after epoch 2" in capsys.readouterr().err


def test_a_signal_while_an_epoch_is_packed_waits_for_it(tmp_path, capsys, monkeypatch):
    """A ZIP file that is left in the middle of a member raises an error of its own."""
    packed, write_array = [], np.lib.format.write_array

    def writing(file, array, **options):
        packed.append(array)
        if len(packed) == 40:  # in the middle of epoch 1
            signal.raise_signal(signal.SIGTERM)
        write_array(file, array, **options)

    monkeypatch.setattr(np.lib.format, "write_array", writing)
    assert cli.main([*SMALL, "--epochs", "9", "--out", str(tmp_path / "run")]) == 143
    assert "stopped by SIGTERM after epoch 1" in capsys.readouterr().err
    assert len(checkpoint.load_run(tmp_path / "run").history) == 1


def test_a_reader_that_goes_away(undisturbed, tmp_path):
    process = started("train", *kill.OPTIONS, "--save-every", "4", "--out", tmp_path / "run")
    process.stdout.close()
    process.stdout = None
    _, errors = process.communicate()
    assert (process.returncode, errors) == (141, "")
    kill.finish("train", "--out", tmp_path / "run", "--resume")
    assert kill.contents(tmp_path / "run") == undisturbed(4).files


# --- two at once --------------------------------------------------------------------------------


def test_a_folder_in_use(tmp_path, capsys):
    folder = tmp_path / "run"
    process = started("train", *kill.OPTIONS, "--epochs", "100000", "--out", folder)
    for arguments in (["train", "--out", str(folder), "--resume"], [*SMALL, "--out", str(folder)]):
        assert cli.main(arguments) == 2
        said = capsys.readouterr()
        assert said.err.count("\n") == 1
        assert "another training is at work in this folder" in said.err
    process.kill()  # and the lock dies with it
    process.communicate()
    epochs = len(checkpoint.load_run(folder).history)
    resume = ["train", "--out", str(folder), "--resume", "--epochs", str(epochs + 1)]
    assert cli.main(resume) == 0


# --- nowhere to write ---------------------------------------------------------------------------


def test_a_full_disk(tmp_path):
    """Files that may not grow: the same error path as a full disk, for any user, on any system."""
    folder = tmp_path / "run"
    kill.finish(*SMALL, "--epochs", "2", "--out", folder)
    before = kill.contents(folder)
    limit = len(before["checkpoint.npz"]) - 1

    def stop_growing():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    process = kill.tinyvae("train", "--out", folder, "--resume", "--epochs", "4",
                           preexec_fn=stop_growing)  # fmt: skip
    _, errors = process.communicate()
    assert process.returncode == 2
    assert errors == (
        f"tinyvae train: {folder}: cannot be written (File too large); what was saved before is "
        "untouched\n"
    )
    assert kill.contents(folder) == before
    kill.finish("train", "--out", folder, "--resume", "--epochs", "4")


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's tmpfs")
def test_a_full_file_system(tmp_path):
    """A real one: a tmpfs with room for two checkpoints, filled up by somebody else."""
    folder, filler = tmp_path / "disk" / "run", tmp_path / "disk" / "filler"
    folder.parent.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(folder.parent)]
    mounted = subprocess.run(mount, capture_output=True).returncode == 0
    if not mounted:
        pytest.skip("only root may mount a tmpfs; test_a_full_disk covers the same path")
    try:
        kill.finish(*SMALL, "--epochs", "2", "--out", folder)
        before = kill.contents(folder)
        with pytest.raises(OSError), open(filler, "wb", buffering=0) as file:
            while True:
                file.write(bytes(1000))
        process = kill.tinyvae("train", "--out", folder, "--resume", "--epochs", "4")
        _, errors = process.communicate()
        assert process.returncode == 2
        assert "cannot be written (No space left on device)" in errors
        assert "Traceback" not in errors
        assert kill.contents(folder) == before
        filler.unlink()
        kill.finish("train", "--out", folder, "--resume", "--epochs", "4")
    finally:
        subprocess.run(["umount", str(folder.parent)], check=True)


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's tmpfs")
def test_a_read_only_file_system(tmp_path):
    folder = tmp_path / "disk" / "run"
    folder.parent.mkdir()
    mount = ["mount", "-t", "tmpfs", "tmpfs", str(folder.parent)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root may mount a tmpfs; test_a_read_only_folder covers other users")
    try:
        kill.finish(*SMALL, "--epochs", "1", "--out", folder)
        before = kill.contents(folder)
        subprocess.run(["mount", "-o", "remount,ro", str(folder.parent)], check=True)
        for arguments in (["train", "--out", folder, "--resume", "--epochs", "2"],
                          [*SMALL, "--out", folder.parent / "new"]):  # fmt: skip
            process = kill.tinyvae(*arguments)
            _, errors = process.communicate()
            assert process.returncode == 2
            assert errors.count("\n") == 1
            assert "cannot be written (Read-only file system)" in errors
        assert kill.contents(folder) == before
    finally:
        subprocess.run(["umount", str(folder.parent)], check=True)


def test_a_read_only_folder(tmp_path, capsys):
    """What the permission says to everybody but root, a file in the way says to root, too."""
    (tmp_path / "file").write_text("mine")
    assert cli.main([*SMALL, "--out", str(tmp_path / "file" / "run")]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "cannot be written (Not a directory)" in said
    assert (tmp_path / "file").read_text() == "mine"


def test_an_output_that_is_full(tmp_path):
    if not os.path.exists("/dev/full"):
        pytest.skip("needs /dev/full")
    with open("/dev/full", "w") as full:
        process = kill.tinyvae(*SMALL, "--epochs", "1", "--out", tmp_path / "run", stdout=full)
        _, errors = process.communicate()
    assert process.returncode == 2
    assert errors == (
        "tinyvae train: the output: No space left on device; stopped after epoch 1, which is "
        f"saved; go on with:\n  tinyvae train --out {tmp_path / 'run'} --resume\n"
    )
    assert len(checkpoint.load_run(tmp_path / "run").history) == 1


# --- spoilt -------------------------------------------------------------------------------------


def test_a_learning_rate_that_explodes(tmp_path, capsys):
    folder = tmp_path / "run"
    options = ["--epochs", "5", "--learning-rate", "1000", "--out", str(folder)]
    assert cli.main([*SMALL, "--hidden", "64", *options]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "not finite" in said
    assert "the gradient of " in said
    assert "try a smaller learning rate" in said
    epochs = len(checkpoint.load_run(folder).history)
    assert f"keeps the state after epoch {epochs})" in said


X = np.random.default_rng(0).random((20, 6), dtype=np.float32)


def test_one_poisoned_image_is_named_and_harms_nothing():
    x = X.copy()
    x[13, 2] = np.nan
    rng = np.random.default_rng(0)
    vae, before = VAE.create(6, (4,), 2, rng=rng), []
    step = vae.loss_and_grads

    def remembering(*args):
        before.append({name: p.copy() for name, p in vae.params.items()})
        return step(*args)

    vae.loss_and_grads = remembering
    said = (
        r"step 3: recon in 1 of 4 images and kl in 1 of 4 images and the gradient of "
        r"[\w.]+ not finite \(x\[13\] first\); try a smaller learning rate, and look at the"
    )
    with pytest.raises(TrainingError, match=said):
        fit(vae, x, epochs=1, batch_size=4, rng=rng, binarize=False, report=silent)
    for name, p in vae.params.items():
        assert np.array_equal(p, before[-1][name])
        assert np.isfinite(p).all()


@pytest.mark.parametrize("number", [np.nan, -np.inf, 1e30])
def test_a_gradient_that_is_not_finite_is_named_though_the_loss_is(number):
    rng = np.random.default_rng(0)
    vae = VAE.create(6, (4,), 2, rng=rng)
    step = vae.loss_and_grads

    def spoilt(*args):
        loss, recon, kl, grads = step(*args)
        grads["mu.W"][1, 1] = number  # the square of 1e30 is more than a float32 holds
        return loss, recon, kl, grads

    vae.loss_and_grads, before = spoilt, {name: p.copy() for name, p in vae.params.items()}
    with pytest.raises(TrainingError, match=r"step 1: the gradient of mu\.W not finite; try"):
        fit(vae, X, epochs=1, rng=rng, report=silent)
    assert all(np.array_equal(p, before[name]) for name, p in vae.params.items())


def test_a_test_set_that_is_not_finite():
    rng, x_test = np.random.default_rng(0), X.copy()
    x_test[3, 1] = np.nan
    vae = VAE.create(6, (4,), 2, rng=rng)
    with pytest.raises(TrainingError, match="epoch 1: test recon is nan"):
        fit(vae, X, x_test=x_test, epochs=2, rng=rng, binarize=False, report=silent)


def test_looking_for_numbers_that_are_not_finite_costs_little():
    """A step of the network that MNIST gets, with and without the look at 667,000 numbers"""
    from tinyvae import train

    rng = np.random.default_rng(0)
    vae = VAE.create(784, (400,), 20, rng=rng)
    x, eps = rng.random((128, 784), dtype=np.float32), rng.standard_normal((128, 20))
    eps = eps.astype(np.float32)
    rows = np.arange(128)

    def seconds(action):
        def once():
            start = time.process_time()
            action()
            return time.process_time() - start

        return min(once() for _ in range(7))

    result = vae.loss_and_grads(x, eps)
    assert seconds(lambda: train._check_step(1, rows, *result)) < 0.1 * seconds(
        lambda: vae.loss_and_grads(x, eps)
    )
