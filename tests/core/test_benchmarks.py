"""What the benchmarks promise about themselves; what they measure is not a test."""

import numpy as np
import pytest

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
