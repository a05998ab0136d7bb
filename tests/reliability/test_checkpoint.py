"""tinyvae.checkpoint: what is saved comes back, and what is not a run is refused by name."""

import io
import json
import os
import resource
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.strategies import rngs, sizes
from tinyvae import VAE, Autoencoder, archive, checkpoint, fit
from tinyvae.checkpoint import CheckpointError, Run
from tinyvae.optim import SGD, Adam
from tinyvae.train import silent

X = np.random.default_rng(1).random((30, 6), dtype=np.float32)


def a_run(epochs=2, cls=VAE, optimizer=Adam, seed=0, **options):
    rng = np.random.default_rng(seed)
    model = cls.create(6, (4, 3), 2, rng=rng, **options)
    run = Run(model, {"dataset": "digits", "beta": 0.5}, optimizer(model.params, 1e-2), rng, [])
    return go_on(run, epochs)


def go_on(run, epochs):
    fit(run.model, X, epochs=epochs, batch_size=8, rng=run.rng, report=silent, x_test=X[:5],
        optimizer=run.optimizer, history=run.history)  # fmt: skip
    return run


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def same(a, b):
    return (
        type(a) is type(b)
        and a.params.keys() == b.params.keys()
        and all(a.params[k].dtype == b.params[k].dtype for k in a.params)
        and all(np.array_equal(a.params[k], b.params[k]) for k in a.params)
    )


# --- what is saved comes back -------------------------------------------------------------------


@pytest.mark.parametrize("cls", [VAE, Autoencoder])
@pytest.mark.parametrize("optimizer", [Adam, SGD])
def test_a_run_goes_on_bit_for_bit(cls, optimizer, tmp_path):
    checkpoint.save(tmp_path / "whole", *a_run(5, cls, optimizer))
    checkpoint.save(tmp_path / "parted", *a_run(2, cls, optimizer))
    run = go_on(checkpoint.load_run(tmp_path / "parted"), 5)
    checkpoint.save(tmp_path / "parted", *run)
    assert contents(tmp_path / "parted") == contents(tmp_path / "whole")
    assert contents(tmp_path / "whole").keys() == {"checkpoint.npz", "config.json", "history.csv"}


@settings(max_examples=30)
@given(
    rngs, sizes, st.lists(sizes, min_size=1, max_size=3), sizes,
    st.sampled_from([VAE, Autoencoder]), st.sampled_from(["tanh", "relu"]),
    st.sampled_from([np.float32, np.float64]),
)  # fmt: skip
def test_a_model_comes_back_whatever_its_size(
    tmp_path_factory, rng, data_dim, hidden, latent_dim, cls, activation, dtype
):
    folder = tmp_path_factory.mktemp("run")
    model = cls.create(data_dim, hidden, latent_dim, rng=rng, activation=activation, dtype=dtype)
    checkpoint.save(folder, model)
    loaded = checkpoint.load(folder)
    assert same(loaded, model)
    assert vars(loaded) | {"params": 0} == vars(model) | {"params": 0}
    x = rng.random((3, data_dim)).astype(dtype)
    assert np.array_equal(loaded.reconstruct(x), model.reconstruct(x))


def test_the_state_of_training_comes_back(tmp_path):
    run = a_run()
    checkpoint.save(tmp_path, *run)
    loaded = checkpoint.load_run(tmp_path)
    assert loaded.options == run.options
    assert loaded.history == run.history
    assert loaded.rng.bit_generator.state == run.rng.bit_generator.state
    assert loaded.optimizer.t == run.optimizer.t == 8
    assert loaded.optimizer.learning_rate == 1e-2
    for moment in "m", "v":
        for name, array in run.optimizer.moments[moment].items():
            assert np.array_equal(loaded.optimizer.moments[moment][name], array)


def test_what_was_not_saved_is_none(tmp_path):
    checkpoint.save(tmp_path, a_run().model)
    run = checkpoint.load_run(tmp_path)
    assert (run.optimizer, run.rng, run.history, run.options) == (None, None, [], {})


def test_parameters_stored_by_columns_come_back(tmp_path):
    model = a_run().model
    model.params["mu.W"] = np.asfortranarray(model.params["mu.W"])
    checkpoint.save(tmp_path, model)
    assert same(checkpoint.load(tmp_path), model)


def test_a_loaded_model_can_be_trained(tmp_path):
    checkpoint.save(tmp_path, *a_run())
    assert all(p.flags.writeable for p in checkpoint.load(tmp_path).params.values())


def test_the_files_for_people_say_what_the_checkpoint_holds(tmp_path):
    run = a_run()
    checkpoint.save(tmp_path, *run)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["model"] == {
        "class": "VAE", "data_dim": 6, "hidden_dims": [4, 3], "latent_dim": 2,
        "activation": "tanh", "dtype": "float32",
    }  # fmt: skip
    assert config["training"] == run.options
    header, *rows = (tmp_path / "history.csv").read_text().splitlines()
    assert header == "epoch,recon,kl,elbo,test_recon,test_kl,test_elbo"
    assert [dict(zip(header.split(","), map(float, row.split(",")), strict=True)) for row in rows]\
        == run.history  # fmt: skip


def test_the_checkpoint_alone_is_enough(tmp_path):
    run = a_run()
    checkpoint.save(tmp_path, *run)
    (tmp_path / "config.json").unlink()
    (tmp_path / "history.csv").unlink()
    assert same(checkpoint.load(tmp_path), run.model)


def test_bytes_depend_on_nothing_but_the_training(tmp_path):
    checkpoint.save(tmp_path / "a", *a_run())
    checkpoint.save(tmp_path / "elsewhere" / "b", *a_run())
    assert contents(tmp_path / "a") == contents(tmp_path / "elsewhere" / "b")
    checkpoint.save(tmp_path / "c", *a_run(seed=1))
    assert contents(tmp_path / "a") != contents(tmp_path / "c")


def test_numpy_reads_it_without_us_and_without_pickle(tmp_path):
    run = a_run()
    checkpoint.save(tmp_path, *run)
    with np.load(tmp_path / "checkpoint.npz", allow_pickle=False) as arrays:
        assert np.array_equal(arrays["params.mu.W"], run.model.params["mu.W"])
        assert all(not arrays[name].dtype.hasobject for name in arrays)


# --- the last good one is always there ----------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.*history.csv cannot be written")
@pytest.mark.parametrize("failing", ["replace", "fsync", "open", "unlink", "stat"])
def test_a_save_that_fails_leaves_a_run_that_is_whole(tmp_path, monkeypatch, failing):
    """Each call in turn, until none is left to fail; and what the sentence says is true."""
    new, real = checkpoint.pack(*a_run(2)._replace(options={"beta": 2.0})), getattr(os, failing)
    for at in range(50):
        folder, calls = tmp_path / str(at), []
        checkpoint.save(folder, *a_run(1))
        old = contents(folder)

        def full(*args, calls=calls, at=at, **options):
            calls.append(args)
            if len(calls) == at + 1:
                raise OSError(28, "No space left on device")
            return real(*args, **options)

        monkeypatch.setattr(os, failing, full)
        said = None
        try:
            checkpoint.write(folder, new)
        except CheckpointError as error:
            said = str(error)
        monkeypatch.undo()
        now = contents(folder)
        assert checkpoint.load_run(folder)  # and a config.json, if it is there, goes with it
        assert now["checkpoint.npz"] in (old["checkpoint.npz"], new["checkpoint.npz"])
        if said is None:
            assert now["checkpoint.npz"] == new["checkpoint.npz"]
        else:
            assert "cannot be written (No space left on device)" in said
            if "what was saved before is untouched" in said or "choose another folder" in said:
                assert {name: now[name] for name in old} == old
            else:
                assert "saved" in said
                assert now["checkpoint.npz"] == new["checkpoint.npz"]
        if len(calls) <= at:
            break
    assert 3 < at < 49
    assert not [name for name in now if name not in new]


def test_the_disk_has_all_of_it_before_the_first_rename(tmp_path, monkeypatch):
    done = []

    def spy_on(name, real):
        def spy(*args, **options):
            done.append(name)
            return real(*args, **options)

        monkeypatch.setattr(os, name, spy)

    checkpoint.save(tmp_path, *a_run(1)._replace(options={"beta": 2.0}))
    spy_on("fsync", os.fsync)
    spy_on("replace", os.replace)
    checkpoint.save(tmp_path, *a_run())
    saved = ["fsync"] * 2 + ["replace"] * 3 + ["fsync"]  # config.json is put aside meanwhile
    assert done == [*saved, "fsync", "replace"]  # and the table for people


def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "run").write_text("mine")
    for action in (
        lambda: checkpoint.save(tmp_path / "run", *a_run()),
        lambda: checkpoint.lock(tmp_path / "run").__enter__(),
    ):
        with pytest.raises(CheckpointError, match="run: cannot be written"):
            action()
    assert (tmp_path / "run").read_text() == "mine"


def test_what_could_not_be_read_again_is_not_saved(tmp_path):
    checkpoint.save(tmp_path, *a_run())
    before = contents(tmp_path)
    run = a_run()
    run.model.params["mu.b"][1] = np.nan
    with pytest.raises(CheckpointError, match=r"params\.mu\.b is not finite"):
        checkpoint.save(tmp_path, *run)
    run = a_run()
    run.model.params["mu.b"] = np.zeros(3, np.float32)
    with pytest.raises(CheckpointError, match=r"mu\.b .* shape \(3,\), .* wants .* \(2,\)"):
        checkpoint.save(tmp_path, *run)
    run = a_run()._replace(rng=np.random.Generator(np.random.MT19937(0)))
    with pytest.raises(CheckpointError, match="rng must use one of PCG64"):
        checkpoint.save(tmp_path, *run)

    run = a_run()._replace(history=[{"epoch": 1}])
    with pytest.raises(CheckpointError, match="a history that no training has"):
        checkpoint.save(tmp_path, *run)
    for value in {1}, np.nan, np.float32(1):
        with pytest.raises(CheckpointError, match="options must be what JSON can hold"):
            checkpoint.save(tmp_path, *a_run()._replace(options={"a": value}))

    class MyVAE(VAE):
        pass

    with pytest.raises(CheckpointError, match="only VAE and Autoencoder can be saved"):
        checkpoint.save(tmp_path, MyVAE.create(6, (4,), 2, rng=np.random.default_rng(0)))
    assert contents(tmp_path) == before


def test_an_epoch_that_is_half_copied_is_not_saved(monkeypatch):
    """There is no memory in the middle of copying: what is there is neither epoch."""
    run, calls, copyto = a_run(1), [], np.copyto
    snapshot = checkpoint.Snapshot(run)

    def failing(*args):
        calls.append(args)
        if len(calls) == 3:
            raise MemoryError
        copyto(*args)

    go_on(run, 2)
    monkeypatch.setattr(np, "copyto", failing)
    with pytest.raises(MemoryError):
        snapshot.take()
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match="the last epoch could not be copied"):
        snapshot.files()
    snapshot.take()
    assert snapshot.files() == {n: c for n, c in checkpoint.pack(*run).items() if "csv" not in n}


def test_one_training_at_a_time(tmp_path):
    with (
        checkpoint.lock(tmp_path),
        pytest.raises(CheckpointError, match="another training is at work"),
        checkpoint.lock(tmp_path),
    ):
        pass
    with checkpoint.lock(tmp_path):
        assert contents(tmp_path) == {".lock": b""}


# --- what is not a run is refused by name -------------------------------------------------------


def members(folder):
    with zipfile.ZipFile(folder / "checkpoint.npz") as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


def rewrite(folder, contents, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(folder / "checkpoint.npz", "w", compression) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)


def npy(array, **options):
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asarray(array), **options)
    return file.getvalue()


def seal(contents):
    """With a checksum that is right, as somebody who means harm would"""
    arrays = {
        name[:-4]: np.lib.format.read_array(io.BytesIO(content))
        for name, content in contents.items()
        if name != "sha256.npy"
    }
    return contents | {"sha256.npy": npy(archive.digest(arrays))}


def with_state(change):
    """Damage that changes the state's JSON, and seals it again"""

    def damage(folder):
        inside = members(folder)
        state = json.loads(np.lib.format.read_array(io.BytesIO(inside["state.npy"])).tobytes())
        state = change(state) or state
        text = json.dumps(state).encode()
        (folder / "config.json").unlink()
        rewrite(folder, seal(inside | {"state.npy": npy(np.frombuffer(text, np.uint8))}))

    return damage


def with_member(name, content, sealed=True):
    def damage(folder):
        inside = members(folder) | {name: content}
        rewrite(folder, seal(inside) if sealed else inside)

    return damage


def without_member(name):
    return lambda folder: rewrite(folder, {k: v for k, v in members(folder).items() if k != name})


def compressed(folder):
    """A few hundred bytes that promise a gigabyte"""
    rewrite(folder, members(folder) | {"bomb.npy": bytes(30_000_000)}, zipfile.ZIP_DEFLATED)


def promising(folder):
    """A stored member that says it is longer than the file"""
    content = (folder / "checkpoint.npz").read_bytes()
    at = content.index(b"PK\x01\x02") + 20  # sizes of the first member, in the table of contents
    long = (1 << 30).to_bytes(4, "little")
    (folder / "checkpoint.npz").write_bytes(content[:at] + long + long + content[at + 8 :])


def twice(folder):
    with zipfile.ZipFile(folder / "checkpoint.npz", "a") as archive, pytest.warns(UserWarning):
        archive.writestr("params.mu.b.npy", npy(np.zeros(2, np.float32)))


def many_members(folder):
    """A table of contents that names one member again and again"""
    content = (folder / "checkpoint.npz").read_bytes()
    start, end = content.index(b"PK\1\2"), content.rindex(b"PK\5\6")
    line = content[start : content.index(b"PK\1\2", start + 4)]
    table = 60_000 * line
    tail = content[end:][:12] + len(table).to_bytes(4, "little") + content[end:][16:]
    (folder / "checkpoint.npz").write_bytes(content[:start] + table + tail)


def huge_header(folder):
    header = npy(np.zeros(2, np.float32)).replace(b"(2,), }        ", b"(999999999999,)}", 1)
    with_member("params.mu.b.npy", header, sealed=False)(folder)


def cut_off(folder):
    content = (folder / "checkpoint.npz").read_bytes()
    (folder / "checkpoint.npz").write_bytes(content[: len(content) // 2])


def one_bit(folder):
    content = bytearray((folder / "checkpoint.npz").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "checkpoint.npz").write_bytes(content)


def swapped(name):
    def damage(folder):
        other = a_run(1, seed=5, activation="relu")
        (folder / name).write_bytes(checkpoint.pack(*other)[name])

    return damage


def edited(folder):
    path = folder / "config.json"
    path.write_text(path.read_text().replace('"latent_dim": 2', '"latent_dim": 20'))


def newer(state):
    state["format"] = 99
    state["surprise"] = True


MU_W, INF = np.zeros((3, 2), np.float32), np.float32(np.inf)
ROW = np.ones((1, 7))
REFUSED = {
    "cut off": (cut_off, "cannot be read as a checkpoint"),
    "one bit": (one_bit, "cannot be read as a checkpoint"),
    "empty": (lambda folder: (folder / "checkpoint.npz").write_bytes(b""), "cannot be read"),
    "no zip": (lambda folder: (folder / "checkpoint.npz").write_text("hello"), "cannot be read"),
    "another npz": (lambda folder: rewrite(folder, {"a.npy": npy(MU_W)}), "has no member state"),
    "compression bomb": (compressed, "is compressed"),
    "promises": (promising, "promises more bytes than it has"),
    "huge header": (huge_header, "promises 3999999999996"),
    "twice": (twice, "holds a member twice"),
    "very many members": (many_members, "holds more than 50,000 members, which no model"),
    "path": (with_member("../mu.npy", npy(MU_W)), "or paths"),
    "absolute path": (with_member("C:mu.npy", npy(MU_W)), "or paths"),
    "not an array": (with_member("a.txt", b"a", sealed=False), "not arrays"),
    "pickle": (
        with_member("params.mu.W.npy", npy(np.array([[{}]]), allow_pickle=True), sealed=False),
        r"params\.mu\.W as Python objects",
    ),
    "version 2": (
        with_member("params.mu.W.npy", npy(MU_W, version=(2, 0))), "another version of"),
    "changed": (
        with_member("params.mu.W.npy", npy(MU_W), sealed=False), "its checksum is another"),
    "no checksum": (without_member("sha256.npy"), "has no member sha256"),
    "lost": (without_member("params.mu.W.npy"), "its checksum is another"),
    "wrong shape": (
        with_member("params.mu.W.npy", npy(MU_W.T)),
        r"params\.mu\.W is float32 of shape \(2, 3\), and the configuration wants .* \(3, 2\)",
    ),
    "wrong type": (
        with_member("params.mu.W.npy", npy(MU_W.astype(int))), r"params\.mu\.W is int64"),
    "one too many": (with_member("params.x.npy", npy(MU_W)), r"see params\.x"),
    "nan": (with_member("params.mu.W.npy", npy(MU_W * np.nan)), r"params\.mu\.W is not finite"),
    "inf in a moment": (with_member("v.mu.W.npy", npy(MU_W + INF)), r"v\.mu\.W is not finite"),
    "newer": (with_state(newer), "was made by a newer tinyvae, in format 99"),
    "a huge model": (
        with_state(lambda s: s["model"].update(hidden_dims=[10**9, 10**9])), "wants float32"),
    "a million layers": (
        with_state(lambda s: s["model"].update(hidden_dims=[1] * 10**5)), "no model of"),
    "a negative size": (with_state(lambda s: s["model"].update(latent_dim=-2)), "no model of"),
    "a size that is no number": (
        with_state(lambda s: s["model"].update(latent_dim=True)), "no model of"),
    "another class": (with_state(lambda s: s["model"].update({"class": "os"})), "no model of"),
    "another optimiser": (
        with_state(lambda s: s["optimizer"].update({"class": "os"})), "arrays are not those"),
    "a setting lost": (
        with_state(lambda s: s["optimizer"].pop("learning_rate") and None), "no tinyvae has saved"),
    "another generator": (
        with_state(lambda s: s["rng"].update(bit_generator="seed")), "an unknown seed"),
    "a broken generator": (with_state(lambda s: s["rng"].update(state=-1)), "cannot be read"),
    "a history that jumps": (with_member("history.npy", npy(ROW + 1)), "no training has"),
    "a history of half epochs": (with_member("history.npy", npy(ROW + 0.5)), "no training has"),
    "a history without an end": (with_member("history.npy", npy(ROW * np.inf)), "cannot be read"),
    "a history of words": (with_member("history.npy", npy(ROW.astype(str))), "cannot be read"),
    "a history that is narrow": (with_member("history.npy", npy(ROW[:, :4])), "cannot be read"),
    "options": (with_state(lambda s: s.update(training=[1])), "no tinyvae has saved"),
    "a long text": (
        with_state(lambda s: s.update(training={"a": " " * 2_000_000})), "no run needs"),
    "a list": (with_state(lambda s: [s]), "cannot be read as a checkpoint"),
    "config edited": (edited, r"config\.json: is not the configuration of the checkpoint\.npz"),
    "config swapped": (swapped("config.json"), r"config\.json: is not the configuration"),
    "checkpoint swapped": (swapped("checkpoint.npz"), r"config\.json: is not the configuration"),
    "config no JSON": (
        lambda folder: (folder / "config.json").write_text("{"),
        r"config\.json: cannot be read as a configuration",
    ),
    "config deep": (
        lambda folder: (folder / "config.json").write_text("[" * 100_000),
        r"config\.json: cannot be read as a configuration",
    ),
}  # fmt: skip


@pytest.mark.parametrize("damage, said", REFUSED.values(), ids=REFUSED)
def test_refused_in_one_sentence_by_name(damage, said, tmp_path):
    folder = tmp_path / "run"
    checkpoint.save(folder, *a_run())
    damage(folder)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CheckpointError, match=said) as caught:
        checkpoint.load(folder)
    assert str(caught.value).startswith(str(folder))
    assert "\n" not in str(caught.value)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown * 1024 < 10 * (folder / "checkpoint.npz").stat().st_size + 100_000_000


def test_the_damage_above_is_what_is_refused(tmp_path):
    """Rewriting and sealing without a change leaves a run that loads."""
    checkpoint.save(tmp_path, *a_run())
    with_state(lambda state: None)(tmp_path)
    rewrite(tmp_path, members(tmp_path))
    assert same(checkpoint.load(tmp_path), a_run().model)


def test_a_newer_format_is_named_whatever_else_it_changed(tmp_path):
    checkpoint.save(tmp_path, *a_run())
    with_state(newer)(tmp_path)
    inside = members(tmp_path)
    rewrite(tmp_path, {k: v for k, v in inside.items() if not k.startswith(("params", "m."))})
    with pytest.raises(CheckpointError, match="made by a newer tinyvae"):
        checkpoint.load(tmp_path)


def test_no_run_there(tmp_path):
    for path, said in (
        (tmp_path / "nowhere", "no such folder"),
        (tmp_path, r"holds no checkpoint\.npz"),
        (tmp_path / "file", "is not a folder"),
    ):
        (tmp_path / "file").write_text("")
        with pytest.raises(CheckpointError, match=said):
            checkpoint.load(path)


@pytest.mark.parametrize("value", [None, 5, b"run", ["run"]])
def test_what_is_no_path_is_no_run(value):
    with pytest.raises(CheckpointError, match=f"not {type(value).__name__}"):
        checkpoint.load(value)


def test_a_pipe_does_not_keep_it_waiting(tmp_path):
    os.mkfifo(tmp_path / "checkpoint.npz")
    with pytest.raises(CheckpointError, match=r"a pipe or a device, not a checkpoint; remove it"):
        checkpoint.load(tmp_path)
