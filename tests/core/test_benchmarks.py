"""What the benchmarks promise about themselves; what they measure is not a test."""

import inspect

import numpy as np
import pytest

import tinyvae

peers = pytest.importorskip("benchmarks.peers")
benchmarks = pytest.importorskip("benchmarks.__main__")


def test_a_busy_machine_writes_no_results(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(benchmarks, "HERE", tmp_path)
    monkeypatch.setattr(benchmarks.os, "getloadavg", lambda: (0.6, 0, 0))
    with pytest.raises(SystemExit) as ended:
        benchmarks.main(["step"])
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "busy" in error and "--even-if-busy" in error
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("load, words", [(0.4, []), (0.6, ["--even-if-busy"])])
def test_an_idle_machine_or_an_order_does(load, words, monkeypatch, tmp_path):
    monkeypatch.setattr(benchmarks, "HERE", tmp_path)
    monkeypatch.setattr(benchmarks.os, "getloadavg", lambda: (load, 0, 0))
    monkeypatch.setattr(benchmarks, "machine", lambda: "a machine")

    def part():
        """What it is."""
        yield "a table"

    monkeypatch.setattr(benchmarks, "PARTS", {"step": part})
    benchmarks.main(["step", *words])
    assert "## Step\n\nWhat it is.\n\na table" in (tmp_path / "RESULTS.md").read_text()


def test_a_ratio_tells_its_quartiles():
    ratio = benchmarks.compare.__globals__["Ratio"](np.array([1.0, 2.0, 3.0, 4.0, 5.0]), 1.0, 2.0)
    assert str(ratio) == "3.00 (2.00-4.00)"


def test_the_kernel_of_blas_is_named():
    assert any(character.isdigit() for character in benchmarks.kernels())


# ---- published numbers ---------------------------------------------------------------------------

published = benchmarks.published
FALLING = -140, -120, -105, -101, -101


def test_a_row_that_misses_says_no():
    row = published.ROWS["pytorch-example"]
    right = {"test loss": 105.3, "test loss at z = mu": 97.0}
    assert published.verdict(row, right) == "holds"
    assert published.verdict(row, right | {"test loss": 106.5}) == "no"
    more_latents = published.ROWS["figure-2-adam"]
    bounds = {f"N_z = {n}": nats for n, nats in zip(published.WIDTHS, FALLING, strict=True)}
    assert published.verdict(more_latents, bounds) == "holds"
    assert published.verdict(more_latents, bounds | {"N_z = 200": -110}) == "no"


def test_results_are_kept_row_by_row(monkeypatch, tmp_path, capsys):
    row = published.ROWS["grey-floor"]
    monkeypatch.setattr(
        published, "ROWS", {"one": row._replace(run=lambda: {"nats": 45.5}), "two": row}
    )
    published.main(["--only", "one"], tmp_path)
    text = (tmp_path / "PUBLISHED.md").read_text(encoding="utf-8")
    assert "| 45.50 | holds |" in text and text.count("not run yet") == 2  # the legend, row two
    capsys.readouterr()
    published.main(["--list"], tmp_path)
    assert [line.split()[1] for line in capsys.readouterr().out.splitlines()] == ["run", "not"]
    with pytest.raises(SystemExit, match="--only with one of one, two"):
        published.main(["--only", "three"], tmp_path)


def test_published_page_is_what_its_results_say(tmp_path):
    published.write(published.read(), tmp_path)
    page = (published.HERE / "PUBLISHED.md").read_text(encoding="utf-8")
    assert (tmp_path / "PUBLISHED.md").read_text(encoding="utf-8") == page


# ---- peers ---------------------------------------------------------------------------------------


def test_page_of_peers_shows_the_code_that_is_compared():
    page = peers.PAGE.read_text(encoding="utf-8")
    for peer in peers.PEERS.values():
        assert inspect.getsource(peer).rstrip() in page


def test_a_wrong_peer_is_far_apart():
    def wrong(params, x, eps):
        vae = tinyvae.VAE(params, 784, (400,), 20, "tanh")
        loss, _, _, grads = vae.loss_and_grads(x, eps, beta=0.99)
        return loss, grads

    _, found = peers.differences(np.float32, {"wrong": wrong})
    assert max(found["wrong"].values()) > 100 * peers.TOLERANCE
