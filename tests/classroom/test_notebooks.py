"""Every lesson as a notebook, as `python -m tools.notebooks` writes it, run from top to bottom.

It needs the extra "notebooks"; without it these tests are skipped.
"""

import subprocess
import sys

import pytest

from tinyvae.classroom.presenter.script import read_steps
from tools import notebooks
from tools.expected import LESSONS, difference, environment, path_of

pytest.importorskip("jupytext")
nbformat = pytest.importorskip("nbformat")
pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

TIME_LIMIT = 300  # seconds a notebook, on a crowded machine

EXECUTE = """
import sys, nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, kernel_name="python3").execute()
nbformat.write(notebook, sys.argv[1])
"""


def executed(lesson, folder):
    """Convert the lesson and execute it.    ->  the notebook with its outputs"""
    path = folder / f"{lesson}.ipynb"
    nbformat.write(notebooks.notebook(LESSONS[lesson]), path)
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
def test_answers_are_folded_and_nothing_else_but_figures(lesson):
    source = LESSONS[lesson].read_text(encoding="utf-8")
    cells = [c for c in notebooks.notebook(LESSONS[lesson]).cells if c.cell_type == "code"]
    steps = [step for step in read_steps(source) if step.code]
    folded = [cell.metadata.get("jupyter") == {"source_hidden": True} for cell in cells]
    assert folded == [bool(step.question) or step.draws for step in steps]
    assert any(folded) and not folded[0]


def test_notebook_for_the_browser_installs_first(tmp_path):
    path = notebooks.write_notebooks(tmp_path, lite=True)[0]
    made = nbformat.read(path, as_version=4)
    assert made.cells[0].source == notebooks.FIRST_CELL
    assert made.metadata.kernelspec.name == "python"
    nbformat.validate(made)


@pytest.mark.slow
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
