"""The pages that are made: by `tinyvae explore`, and those in the repository."""

import re

import numpy as np
import pytest

from tests.web.helpers import digits_of, packed_of, vae_of
from tinyvae import VAE, Autoencoder, bernoulli, checkpoint, cli, data
from tinyvae.layers import sigmoid
from tinyvae.web import export
from tools import explorers


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Folders of runs, by name"""
    folder = tmp_path_factory.mktemp("runs")
    train = ["train", "digits", "--epochs", "1", "--batch-size", "500"]
    for name, *options in (
        ("vae",), ("grey", "--no-binarize"), ("ae", "--autoencoder"), ("3d", "--latent-dim", "3"),
        ("deep", "--hidden", "32", "16", "--activation", "relu"), ("wide", "--hidden", "1000"),
    ):  # fmt: skip
        assert cli.main([*train, *options, "--out", str(folder / name)]) == 0
    return folder


def explore(capsys, *arguments):
    status = cli.main(["explore", *map(str, arguments)])
    return status, *capsys.readouterr()


def test_pages_in_the_repository_are_what_the_command_makes():
    made = explorers.pages("digits")
    kept = {path.name: path.read_text("utf-8") for path in explorers.FOLDER.glob("*.html")}
    assert kept.keys() == made.keys()
    assert kept == made, "run: python -m tools.explorers"


def test_pages_are_small(page_28x28, runs, tmp_path, capsys):
    for page in explorers.FOLDER.glob("*.html"):
        assert page.stat().st_size <= 150_000
    assert len(page_28x28.encode()) <= 700_000
    status, out, err = explore(capsys, runs / "vae", "-o", tmp_path / "page.html")
    size = (tmp_path / "page.html").stat().st_size
    assert (status, err, size <= 150_000) == (0, "", True)
    assert out == f"{tmp_path / 'page.html'}: {size:,} bytes; open it in a browser\n"


@pytest.mark.parametrize(
    "name, dtype", [("vae", "float16"), ("deep", "float32"), ("grey", "float16")]
)
def test_page_holds_the_run_and_says_what_rounding_costs(runs, name, dtype):
    run, dataset = checkpoint.load_run(runs / name), data.load("digits")
    page = export.explorer(run.model, dataset, "digits", run.options["binarize"])
    packed = packed_of(page)
    vae, x = vae_of(packed), digits_of(packed)
    assert packed["dtype"] == dtype
    for key, p in run.model.params.items():
        np.testing.assert_array_equal(vae.params[key], p.astype(dtype))
    assert (x == (np.asarray(dataset.x_test) >= 0.5)).all()
    assert packed["labels"] == dataset.y_test.tolist()
    assert ("grey pixels" in page) == (name == "grey")
    if dtype == "float32":
        assert "The weights are the run's own, float32 to the last bit." in page
        return
    exact = VAE({k: p.astype(float) for k, p in run.model.params.items()}, 64,
                run.model.hidden_dims, 2, run.model.activation)  # fmt: skip
    z = exact.encode(x)[0]
    pixels = np.abs(sigmoid(exact.decode(z)) - sigmoid(vae.decode(z))).max()
    nats = np.abs(bernoulli.nll(exact.decode(z), x) - bernoulli.nll(vae.decode(z), x)).max()
    said = re.search(r"rounded to float16: .* at most (\S+), and recon by at most (\S+) nats", page)
    assert said.groups() == (f"{pixels:.1g}", f"{nats:.1g}")


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["3d"], "has 3 latent dimensions, and a plane has 2"),
        (["ae"], "holds an autoencoder"),
        (["wide"], "has 136,068 parameters, too many for a page of 150,000 bytes"),
        (["nothing"], "no such folder"),
        ([""], "no checkpoint.npz"),
        (["vae", "-o", "vae/checkpoint.npz"], "is no name for a page"),
        (["vae", "-o", "vae/checkpoint.npz/page.html"], "cannot be written"),
        (["vae", "-o", "folder.html"], "cannot be written"),
        (["vae", "--gaussians"], "give either"),
        ([], "give either"),
    ],
)
def test_explore_refuses_in_one_sentence(runs, capsys, monkeypatch, arguments, said):
    monkeypatch.chdir(runs)
    (runs / "folder.html").mkdir(exist_ok=True)
    before = {path: path.read_bytes() for path in runs.rglob("*") if path.is_file()}
    arguments = [str(runs) if a == "" else a for a in arguments]
    status, out, err = explore(capsys, *arguments)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert said in err and err.startswith("tinyvae explore: ")
    assert {path: path.read_bytes() for path in runs.rglob("*") if path.is_file()} == before


def test_explore_writes_beside_the_run_and_the_gaussians_without_one(runs, capsys, monkeypatch):
    monkeypatch.chdir(runs)
    assert explore(capsys, "deep")[0] == 0
    assert "Explore a VAE: digits" in (runs / "deep" / "explore.html").read_text("utf-8")
    assert checkpoint.load(runs / "deep").hidden_dims == (32, 16)  # still a run
    assert explore(capsys, "--gaussians")[0] == 0
    assert (runs / "gaussians.html").read_text("utf-8") == export.gaussians()


def test_data_of_any_name_shape_and_labels_make_a_page():
    rng = np.random.default_rng(0)
    x = rng.random((20, 35)).astype(np.float32)
    vae = VAE.create(35, (8,), 2, rng=rng)
    odd = data.Dataset(x, x, None, None, (5, 7))
    page = export.explorer(vae, odd, "</script><b>&")
    packed = packed_of(page)
    assert packed["labels"] is None and packed["shape"] == [5, 7]
    assert "<b>&" not in page and "&lt;/script&gt;&lt;b&gt;&amp;" in page
    assert (digits_of(packed) == (x >= 0.5)).all()
    with pytest.raises(export.PageError, match="autoencoder"):
        export.explorer(Autoencoder.create(35, (8,), 2, rng=rng), odd, "odd")


def test_unlabelled_odd_data_work_in_a_browser(opens):
    rng = np.random.default_rng(0)
    x = rng.random((20, 35)).astype(np.float32)
    vae = VAE.create(35, (8,), 2, rng=rng, activation="relu")
    page = export.explorer(vae, data.Dataset(x, x, None, None, (5, 7)), "odd")
    with opens(page) as page:
        page.locator("#number").fill("19")
        page.locator("#number").press("Enter")
        assert page.evaluate("[...state.x]") == (x[19] >= 0.5).astype(float).tolist()
        assert page.locator("#labels button").count() == 0
        page.locator("#x").press("Space")
        page.wait_for_timeout(300)
        drawn, address = page.evaluate("[...state.x]"), page.url.split("#")[1]
        page.evaluate("setX(digit(0), 0)")
        page.wait_for_timeout(300)
        page.evaluate("(address) => { location.hash = address }", address)
        page.wait_for_timeout(100)
        assert page.evaluate("[...state.x]") == drawn  # 35 pixels: no whole number of fours
