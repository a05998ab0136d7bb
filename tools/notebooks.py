"""Write the lessons and exercises as notebooks, and a JupyterLite folder with them.

    python -m tools.notebooks                  build/notebooks: the lessons and the exercises
    python -m tools.notebooks --lite           build/jupyterlite as well, for any web server

The cell that answers a "Predict first" is folded: a reader runs it once they have answered.
JupyterLite fetches its Python, Pyodide, from a content network when a page is opened; tinyvae's own
wheel lies in the folder.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tools.expected import ROOT

FIRST_CELL = "%pip install -q tinyvae"  # where the notebook's Python has no tinyvae yet
FOLDED = {"jupyter": {"source_hidden": True}, "collapsed": False}


def notebook(path, kernel="python3"):
    """The script at this path as a notebook, answers folded.    ->  nbformat's NotebookNode

    The kernel's name is "python3" in Jupyter and "python" in JupyterLite.
    """
    import jupytext

    made = jupytext.read(path)
    made.metadata["kernelspec"] = {"name": kernel, "display_name": "Python", "language": "python"}
    made.metadata.pop("jupytext", None)
    asked = False
    for number, cell in enumerate(made.cells):
        cell["id"] = f"{path.stem}-{number}"
        if cell.cell_type == "markdown":
            asked = cell.source.rpartition("\n\n")[2].startswith("Predict first")
        elif asked or "plt.show()" in cell.source:
            cell.metadata.update(FOLDED)
            asked = False
    return made


def write_notebooks(folder, lite=False):
    """NN_name.ipynb for each lesson, exercises/NN_name.ipynb for each exercise.    ->  their paths

    For JupyterLite (``lite``) each begins with a cell that installs tinyvae.
    """
    import nbformat

    lessons = ROOT / "lessons"
    scripts = [*lessons.glob("[0-9][0-9]_*.py"), *(lessons / "exercises").glob("[0-9][0-9]_*.py")]
    written = []
    for path in sorted(scripts):
        made = notebook(path, "python" if lite else "python3")
        if lite:
            made.cells.insert(0, nbformat.v4.new_code_cell(FIRST_CELL, id="install"))
        target = folder / path.relative_to(lessons).with_suffix(".ipynb")
        target.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(made, target, version=4)
        written.append(target)
    return written


def write_jupyterlite(folder):
    """A JupyterLite site with the notebooks and our wheel.    Raises CalledProcessError."""
    with tempfile.TemporaryDirectory(prefix="tinyvae-lite-") as made:
        made = Path(made)
        (made / "pypi").mkdir()
        wheel = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w"]
        subprocess.run([*wheel, str(made / "pypi"), str(ROOT)], check=True)
        write_notebooks(made / "content", lite=True)
        build = [sys.executable, "-m", "jupyter", "lite", "build", "--contents", "content"]
        subprocess.run([*build, "--output-dir", "site"], cwd=made, check=True)
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(made / "site", folder)


def main(argv=None):
    """`python -m tools.notebooks`    ->  exit status"""
    parser = argparse.ArgumentParser(
        "python -m tools.notebooks", description=__doc__.split("\n")[0]
    )
    parser.add_argument("-o", "--out", default="build", help="the folder (%(default)s)")
    parser.add_argument("--lite", action="store_true", help="a JupyterLite folder as well")
    args = parser.parse_args(argv)
    written = write_notebooks(Path(args.out, "notebooks"))
    print(f"{len(written)} notebooks in {Path(args.out, 'notebooks')}")
    if args.lite:
        try:
            write_jupyterlite(Path(args.out, "jupyterlite"))
        except subprocess.CalledProcessError as error:
            print(f"tools.notebooks: {error}; is the extra `jupyterlite` there?", file=sys.stderr)
            return 2
        print(f"JupyterLite in {Path(args.out, 'jupyterlite')}: any static web server serves it")
    return 0


if __name__ == "__main__":
    sys.exit(main())
