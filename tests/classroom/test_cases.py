"""Cases as people write them: each gets the verdict that is true, and wrong ones their name.

Those that need PyTorch, JAX or Keras run by `python -m tools.check_cases`.
"""

import importlib.util
import sys

import pytest

from tinyvae.classroom.checker import kl
from tinyvae.classroom.checker.function import LocalFile
from tools import check_cases

HERE = check_cases.CASES
ROWS = [row for row in check_cases.rows() if not row["needs"]]
GROUPS = 12


def judged(row):
    """The report on a case, in this process"""
    path = HERE / row["file"]
    spec = importlib.util.spec_from_file_location(f"case_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    file = LocalFile(module, str(path))
    file.shown = path.name
    return kl.judge(kl.choose(file), examples=8)


@pytest.mark.parametrize("group", range(GROUPS))
def test_verdict_is_true_and_wrong_ones_are_named(group):
    for row in ROWS[group::GROUPS]:
        report = judged(row)
        assert report.right == (row["truth"] == "right"), f"{row['file']}\n{report}"
        assert check_cases.is_named(row, str(report)), f"{row['file']}: {row['said']}\n{report}"


def test_there_are_many_cases_of_each_truth():
    truths = [row["truth"] for row in check_cases.rows()]
    assert truths.count("right") > 60 and truths.count("wrong") > 60
    assert {row["file"] for row in check_cases.rows()} == {path.name for path in HERE.glob("*.py")}


def test_command_sees_a_false_verdict(tmp_path, capsys):
    """A table that says wrong of a right function gets exit status 1"""
    (tmp_path / "46_lambda.py").write_text((HERE / "46_lambda.py").read_text())
    head = "file,kind,needs,truth,said\n46_lambda.py,kl,,"
    (tmp_path / "cases.csv").write_text(head + "right,\n")
    assert check_cases.main([str(tmp_path)]) == 0
    (tmp_path / "cases.csv").write_text(head + "wrong,\n")
    assert check_cases.main([str(tmp_path)]) == 1
    assert "0 of 1 verdicts" in capsys.readouterr().out
