"""Every lesson as a notebook: `jupytext --to ipynb`, then all cells from top to bottom.

It needs the extra "notebooks"; without it these tests are skipped.
"""

import subprocess
import sys

import pytest

from tools.expected import LESSONS, difference, environment, path_of

pytest.importorskip("jupytext")
nbformat = pytest.importorskip("nbformat")
pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

pytestmark = pytest.mark.slow

TIME_LIMIT = 300  # seconds a notebook, on a crowded machine

EXECUTE = """
import sys, nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, kernel_name="python3").execute()
nbformat.write(notebook, sys.argv[1])
"""


def executed(lesson, folder):
    """Convert the lesson as a user does, and execute it.    ->  the notebook with its outputs"""
    path = folder / f"{lesson}.ipynb"
    run("-m", "jupytext", "--to", "ipynb", "--output", path, LESSONS[lesson], folder=folder)
    run("-c", EXECUTE, path, folder=folder)
    return nbformat.read(path, as_version=4)


def run(*command, folder):
    ran = subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("lesson", LESSONS)
def test_notebook_runs_and_says_what_the_lesson_says(lesson, tmp_path):
    notebook = executed(lesson, tmp_path)
    assert {cell.cell_type for cell in notebook.cells} == {"code", "markdown"}
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert not [output for output in outputs if output.output_type == "error"]
    printed = "".join(o.text for o in outputs if o.output_type == "stream" and o.name == "stdout")
    assert not difference(printed, path_of(lesson).read_text(encoding="utf-8"))
    assert any("image/png" in output.get("data", {}) for output in outputs), "figures are shown"
    assert not [o.text for o in outputs if o.output_type == "stream" and o.name == "stderr"]
