"""tinyvae.folder: a run folder that is moved, removed or taken while in use, or not only files."""

import errno
import fcntl
import os
import shutil
import stat

import numpy as np
import pytest

from tinyvae import checkpoint, cli, files, folder
from tinyvae.checkpoint import CheckpointError, FolderLost

pytestmark = pytest.mark.skipif(
    os.name != "posix", reason="folders that are open, as POSIX has them"
)
OLD = {"checkpoint.npz": b"old", "config.json": b"{}"}
NEW = {"checkpoint.npz": b"new, and longer", "config.json": b"{1}"}


def contents(path):
    return {file.name: file.read_bytes() for file in path.iterdir() if file.name != ".lock"}


@pytest.fixture
def run(tmp_path):
    """A run folder in use, in which something was saved; `run.said` is what it has warned of"""
    said = []
    with folder.RunFolder(tmp_path / "run", said.append) as used:
        used.lock()
        used.save(OLD)
        used.said = said
        yield used


# --- where it is --------------------------------------------------------------------------------


def test_nothing_is_written_to_a_folder_that_was_made_anew(run):
    shutil.rmtree(run.path)
    run.path.mkdir()
    (run.path / "checkpoint.npz").write_bytes(b"of another")
    with pytest.raises(FolderLost, match="run: was removed while a training was using it"):
        run.save(NEW)
    assert contents(run.path) == {"checkpoint.npz": b"of another"}


def test_a_folder_that_was_removed_does_not_come_again(run):
    shutil.rmtree(run.path)
    with pytest.raises(FolderLost, match="was removed"):
        run.save(NEW)
    assert not run.path.exists()


@pytest.mark.parametrize("failing", ["open", "fsync", "replace"])
def test_a_folder_that_is_removed_in_the_middle_of_a_save(failing, run, monkeypatch):
    real = getattr(os, failing)

    def removing(*args, **options):
        monkeypatch.undo()
        shutil.rmtree(run.path)
        return real(*args, **options)

    monkeypatch.setattr(os, failing, removing)
    with pytest.raises(FolderLost, match="was removed"):
        run.save(NEW)
    assert not run.path.exists()


def test_a_folder_that_was_moved_is_saved_to_where_it_is(run, tmp_path):
    run.path.rename(tmp_path / "elsewhere")
    (tmp_path / "run").mkdir()
    with pytest.raises(FolderLost, match=f"was moved .* is now {tmp_path / 'elsewhere'}"):
        run.save(NEW)
    assert contents(tmp_path / "elsewhere") == NEW
    assert contents(tmp_path / "run") == {}


def test_a_folder_behind_a_link_is_where_it_was(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with folder.RunFolder(tmp_path / "link") as used:
        used.lock()
        used.save(NEW)
    assert contents(tmp_path / "real") == NEW


def test_a_folder_that_cannot_be_looked_for_is_not_taken_for_moved(run, monkeypatch):
    real = os.stat

    def failing(path, *args, **options):
        if path == run.path:
            raise OSError(errno.EIO, "Input/output error")
        return real(path, *args, **options)

    monkeypatch.setattr(os, "stat", failing)
    with pytest.raises(CheckpointError, match=r"Input/output error.*untouched") as caught:
        run.save(NEW)
    monkeypatch.undo()
    assert type(caught.value) is CheckpointError
    assert contents(run.path) == OLD


# --- its lock -----------------------------------------------------------------------------------


def test_a_lock_that_was_removed_is_taken_again(run):
    (run.path / ".lock").unlink()
    run.save(NEW)
    assert contents(run.path) == NEW
    with (
        pytest.raises(CheckpointError, match="another training is at work"),
        folder.RunFolder(run.path) as second,
    ):
        second.lock()


@pytest.mark.parametrize("still_there", [True, False])
def test_a_lock_that_another_training_has_taken_stops_the_first(run, still_there):
    (run.path / ".lock").unlink()
    with folder.RunFolder(run.path) as second:
        second.lock()
        if still_there:
            with pytest.raises(FolderLost, match=r"\.lock was replaced, so another training"):
                run.save(NEW)
    with pytest.raises(FolderLost, match=r"\.lock was replaced"):  # for good
        run.save(NEW)
    assert contents(run.path) == OLD


def test_a_lock_that_is_replaced_while_it_is_taken(tmp_path, monkeypatch):
    """Another training removes .lock between its opening and its locking."""
    real, done = folder._lock, []

    def lock(descriptor):
        if not done:
            done.append(1)
            (tmp_path / ".lock").unlink()
        real(descriptor)

    monkeypatch.setattr(folder, "_lock", lock)
    with folder.RunFolder(tmp_path) as used:
        used.lock()
        assert os.path.samestat(os.stat(tmp_path / ".lock"), os.fstat(used.lock_file))


def test_descriptors_are_closed(tmp_path):
    before = os.listdir("/dev/fd")
    for _ in range(3):
        with folder.RunFolder(tmp_path) as used:
            used.lock()
            used.save(NEW)
            (tmp_path / ".lock").unlink()
            used.save(OLD)
    assert len(os.listdir("/dev/fd")) == len(before)


# --- systems that lack something ----------------------------------------------------------------


@pytest.mark.parametrize("name", ["ENOLCK", "ENOSYS", "EOPNOTSUPP", "EINVAL"])
def test_a_file_system_without_locks(name, tmp_path, monkeypatch):
    def flock(*args):
        raise OSError(getattr(errno, name), name)

    monkeypatch.setattr(fcntl, "flock", flock)
    said = []
    with folder.RunFolder(tmp_path, said.append) as used:
        used.lock()
        used.save(OLD)
        (tmp_path / ".lock").unlink()
        used.save(NEW)
    assert said == [
        f"{tmp_path}: this file system has no locks ({name}): see to it that no other training "
        "uses the folder"
    ]
    assert contents(tmp_path) == NEW


@pytest.mark.parametrize(
    "name, said", [("EAGAIN", "another training"), ("EIO", "cannot be locked")]
)
def test_a_lock_that_is_refused(name, said, tmp_path, monkeypatch):
    def flock(*args):
        raise OSError(getattr(errno, name), name)

    monkeypatch.setattr(fcntl, "flock", flock)
    with folder.RunFolder(tmp_path) as used, pytest.raises(CheckpointError, match=said):
        used.lock()


@pytest.mark.parametrize("kind", [stat.S_ISDIR, stat.S_ISREG])
@pytest.mark.parametrize("name", ["EINVAL", "ENOSYS", "ENOTSUP", "EBADF"])
def test_a_file_system_that_cannot_be_told_to_write(name, kind, tmp_path, monkeypatch):
    def fsync(descriptor):
        if kind(os.fstat(descriptor).st_mode):
            raise OSError(getattr(errno, name), name)

    monkeypatch.setattr(os, "fsync", fsync)
    said = []
    with folder.RunFolder(tmp_path / "a" / "b", said.append) as used:
        used.save(OLD)
        used.save(NEW)
    assert contents(tmp_path / "a" / "b") == NEW
    assert len(said) == 1  # once
    assert f"cannot be told to write to the disk ({name})" in said[0]


def test_the_parents_that_are_made_are_on_the_disk(tmp_path, monkeypatch):
    synced, real = [], os.fsync

    def fsync(descriptor):
        synced.append(os.fstat(descriptor).st_ino)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    path = tmp_path / "a" / "b" / "run"
    with folder.RunFolder(path) as used:
        used.save(NEW)
    assert {p.stat().st_ino for p in (tmp_path, path.parent, path.parent.parent, path)} <= set(
        synced
    )
    synced.clear()
    with folder.RunFolder(path):
        assert synced == []  # nothing was made


# --- other things in the place of its files -----------------------------------------------------


def put(kind, path, other):
    other.write_bytes(b"mine")
    if kind == "FIFO":
        os.mkfifo(path)
    elif kind == "1 TB":
        path.touch()
        os.truncate(path, 1 << 40)
    else:
        path.symlink_to({"link": other, "zero": "/dev/zero", "loop": path.name, "lost": "no"}[kind])


KINDS = "FIFO", "1 TB", "link", "zero", "loop", "lost"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["checkpoint.npz", "config.json", ".checkpoint.npz.part"])
def test_it_writes_through_nothing(name, kind, run, tmp_path):
    """A file takes the place of whatever is there, as soon as it is saved."""
    (run.path / name).unlink(missing_ok=True)
    put(kind, run.path / name, tmp_path / "other")
    run.save(NEW)
    assert contents(run.path) == NEW
    assert (tmp_path / "other").read_bytes() == b"mine"


@pytest.mark.parametrize("kind", KINDS)
def test_a_table_or_a_picture_is_not_written_through_anything(kind, run, tmp_path):
    for name, write in (
        ("history.csv", lambda: run.save_history(b"a,b\n", rewrite=True)),
        ("a.png", lambda: run.write("a.png", b"picture")),
    ):
        put(kind, run.path / name, tmp_path / "other")
        write()
        assert (run.path / name).read_bytes() in (b"a,b\n", b"picture")
        assert not (run.path / name).is_symlink()
        assert (tmp_path / "other").read_bytes() == b"mine"


@pytest.mark.parametrize("kind", ["FIFO", "link", "zero", "loop", "lost", "folder"])
def test_a_lock_is_a_file(kind, tmp_path):
    if kind == "folder":
        (tmp_path / ".lock").mkdir()
    else:
        put(kind, tmp_path / ".lock", tmp_path / "other")
    with (
        folder.RunFolder(tmp_path) as used,
        pytest.raises(CheckpointError, match=r"\.lock: is a (link|folder|pipe or device); remove"),
    ):
        used.lock()
    assert kind == "folder" or (tmp_path / "other").read_bytes() == b"mine"


@pytest.mark.parametrize("name", ["checkpoint.npz", "config.json", ".checkpoint.npz.part"])
def test_a_folder_in_the_place_of_a_file_leaves_all_untouched(name, run):
    (run.path / name).unlink(missing_ok=True)
    (run.path / name).mkdir()
    (run.path / name / "mine").write_bytes(b"mine")
    with pytest.raises(CheckpointError, match=r"cannot be written .*untouched"):
        run.save(NEW)
    assert (run.path / name / "mine").read_bytes() == b"mine"
    (run.path / name / "mine").unlink()
    (run.path / name).rmdir()
    assert contents(run.path) == {n: c for n, c in OLD.items() if n != name}


def test_regular_files_alone_are_read(tmp_path):
    path, other = tmp_path / "x", tmp_path / "other"
    for kind in "FIFO", "zero":
        put(kind, path, other)
        with pytest.raises(files.NotRegular):
            files.open_regular(path)
        path.unlink()
    put("link", path, other)
    assert files.read_regular(path, 10) == b"mine"
    with pytest.raises(files.NotRegular):
        files.read_regular(path, 10, follow=False)
    path.unlink()
    put("1 TB", path, other)
    with pytest.raises(ValueError, match="1,099,511,627,776 bytes"):
        files.read_regular(path, 1000)


@pytest.mark.parametrize("name, kinds", [("config.json", KINDS[:2]), ("checkpoint.npz", KINDS)])
def test_a_run_is_read_from_files(name, kinds, tmp_path):
    model = checkpoint.VAE.create(3, [2], 1, rng=np.random.default_rng(0))
    for kind in kinds:
        path = tmp_path / kind.replace(" ", "")
        checkpoint.save(path, model)
        (path / name).unlink()
        put(kind, path / name, tmp_path / "other")
        with pytest.raises(CheckpointError, match=str(path)) as caught:
            checkpoint.load(path)
        assert "\n" not in str(caught.value)


def test_a_configuration_that_is_a_link_is_not_followed(tmp_path):
    checkpoint.save(
        tmp_path / "run", checkpoint.VAE.create(3, [2], 1, rng=np.random.default_rng(0))
    )
    for kind in "link", "zero", "loop", "lost":
        (tmp_path / "run" / "config.json").unlink()
        put(kind, tmp_path / "run" / "config.json", tmp_path / "other")
        assert checkpoint.load(tmp_path / "run").latent_dim == 1


# --- the table for people -----------------------------------------------------------------------


def test_only_new_rows_are_written(run):
    assert run.save_history(b"epoch\n1\n", rewrite=True)
    before = (run.path / "history.csv").stat().st_ino
    assert run.save_history(b"2\n")
    assert (run.path / "history.csv").read_bytes() == b"epoch\n1\n2\n"
    assert (run.path / "history.csv").stat().st_ino == before


@pytest.mark.parametrize("change", ["edited", "replaced", "lost", "a link"])
def test_a_table_that_somebody_changed_is_not_added_to(change, run, tmp_path):
    run.save_history(b"epoch\n1\n", rewrite=True)
    path = run.path / "history.csv"
    content = path.read_bytes()
    if change == "edited":
        path.write_bytes(content + b"mine\n")
    else:
        path.rename(tmp_path / "kept")
        if change == "replaced":
            path.write_bytes(content)
        elif change == "a link":
            path.symlink_to(tmp_path / "kept")
    assert not run.save_history(b"2\n")
    assert run.save_history(b"epoch\n1\n2\n", rewrite=True)
    assert path.read_bytes() == b"epoch\n1\n2\n"
    assert not path.is_symlink()


SMALL = ["train", "digits", "--hidden", "4", "--batch-size", "500"]


def test_a_table_that_cannot_be_written_stops_no_training(tmp_path, capsys):
    run_ = tmp_path / "run"
    assert cli.main([*SMALL, "--epochs", "1", "--out", str(run_)]) == 0
    (run_ / "history.csv").unlink()
    (run_ / "history.csv").mkdir()
    capsys.readouterr()
    assert cli.main(["train", "--out", str(run_), "--resume", "--epochs", "4"]) == 0
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "history.csv cannot be written (Is a directory); training goes on" in err
    assert len(checkpoint.load_run(run_).history) == 4
    (run_ / "history.csv").rmdir()
    assert cli.main(["train", "--out", str(run_), "--resume"]) == 0
    assert len((run_ / "history.csv").read_text().splitlines()) == 5


def test_an_epoch_costs_as_much_after_many_as_after_few():
    """The copy of a run and its new row, counted in rows that are looked at"""
    from tinyvae.optim import Adam

    model = checkpoint.VAE.create(3, [2], 1, rng=np.random.default_rng(0))
    looked_at = []

    class Row(dict):
        def get(self, *args):
            looked_at.append(1)
            return super().get(*args)

    def row(epoch):
        return Row(epoch=epoch, recon=1.0, kl=1.0, elbo=-2.0)

    run_ = checkpoint.Run(model, {}, Adam(model.params), None, [row(i + 1) for i in range(20_000)])
    snapshot = checkpoint.Snapshot(run_)
    looked_at.clear()
    for epoch in range(20_001, 20_011):
        run_.history.append(row(epoch))
        snapshot.take()
    assert len(looked_at) == 10 * len(checkpoint.COLUMNS)
    assert snapshot.table[: snapshot.epochs, 0].tolist() == [*range(1, 20_011)]
