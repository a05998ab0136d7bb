"""`tinyvae exercise`: files to work on, of each kind, and that each is what it says it is."""

import ast
import doctest
import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tinyvae import cli
from tinyvae.classroom.checker import exercises
from tinyvae.classroom.checker.exercise_laws import HOLES, TITLES
from tinyvae.classroom.checker.function import LocalFile
from tinyvae.classroom.marking import handout
from tinyvae.classroom.marking.derive import WORDS

FOLDER = Path(__file__).parents[2] / "lessons" / "exercises"
SOLUTIONS = {int(path.name[:2]): path for path in (FOLDER / "solutions").glob("*.py")}
DEBUG = handout.exercises("debug")

# what the museum calls the mistakes that are planted, where it has them
PLANTED = {
    (3, "recon"): "sigmoid-twice",
    (3, "kl"): "mean-over-dimensions",
    (3, "elbo"): "",
    (3, "gap"): "",
    (4, "kl_to_standard_normal"): "two-conventions",
    (4, "kl_diagonal"): "distance-in-q",
    (4, "kl"): "cholesky-without-two",
    (5, "reparameterize"): "std-is-exp-logvar",
    (5, "reparameterize_backward"): "half-lost-in-backward",
    (5, "score_gradient"): "",
    (6, "linear_backward"): "",
    (6, "tanh"): "",
    (6, "tanh_backward"): "",
    (6, "nll"): "probabilities-clipped",
    (6, "nll_backward"): "mean-over-pixels",
    (6, "kl_backward"): "",
    (7, "loss"): "summed-over-batch",
    (7, "q_backward"): "",
    (7, "adam_step"): "",
}


def space_of(source, name="mine"):
    space = {"__name__": name}
    exec(compile(source, name, "exec"), space)
    return space


def module_of(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(capsys, *words):
    status = cli.main(["exercise", *words])
    return status, capsys.readouterr()


# ---- the command ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["write", "derive", "debug"])
def test_exercise_is_put_here_once(capsys, tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    status, printed = run(capsys, "5", "--kind", kind)
    (path,) = tmp_path.iterdir()
    assert (status, printed.err) == (0, "") and f"tinyvae check {path.name}" in printed.out
    source = path.read_text(encoding="utf-8")
    assert f"tinyvae check {path.name}\n" in source and source.isascii()
    path.write_text("my work\n", encoding="utf-8")
    status, printed = run(capsys, "5", "--kind", kind)
    assert (status, printed.out) == (2, "") and path.read_text(encoding="utf-8") == "my work\n"
    assert printed.err == f"tinyvae exercise: {path.name} is here already; move it away first\n"


def test_kinds_have_names_of_their_own():
    assert len({handout.handout(5, kind)[0] for kind in ("write", "derive", "debug")}) == 3


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["99"], "there is no exercise 99 of the kind write; there are 1, 2, 3"),
        (
            ["2", "--kind", "debug"],
            "there is no exercise 2 of the kind debug; there are 3, 4, 5, 6",
        ),
    ],
)
def test_what_is_not_there_gets_a_sentence(capsys, words, says):
    status, printed = run(capsys, *words)
    assert (status, printed.out) == (2, "")
    assert says in printed.err and printed.err.count("\n") == 1


def test_a_folder_that_cannot_be_written_gets_a_sentence(capsys, tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    status, printed = run(capsys, "5")
    assert status == 2 and "cannot be written here: No such file" in printed.err


def test_installation_without_exercises_says_so(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(handout, "PLACES", (tmp_path,))
    for words in [], ["5"]:
        status, printed = run(capsys, *words)
        assert status == 2 and "has no exercises" in printed.err


def test_list_has_a_line_for_each(capsys):
    status, printed = run(capsys)
    assert status == 0 and max(map(len, printed.out.splitlines())) <= 78
    for number, title in TITLES.items():
        (line,) = [row for row in printed.out.splitlines() if title in row]
        assert line.split()[0] == str(number) and (" debug" in line) == (number in DEBUG)


def test_wheel_has_what_is_handed_out():
    setup = (FOLDER.parents[1] / "setup.cfg").read_text(encoding="utf-8")
    for folder in "exercises", "exercises/debug", "exercises/explain", "exercises/final":
        assert f"{folder}/*.py" in setup and list(FOLDER.parent.glob(f"{folder}/*.py"))
    assert {place.parts[-3:] for place in handout.PLACES} > {("tinyvae", "lessons", "exercises")}


# ---- derive --------------------------------------------------------------------------------------


def functions(source):
    return {n.name: n for n in ast.parse(source).body if isinstance(n, ast.FunctionDef)}


@pytest.mark.parametrize("number", TITLES)
def test_derived_docstrings_keep_shapes_and_examples_and_no_formula(number):
    _, text = handout.handout(number, "derive")
    written = functions(handout.handout(number)[1])
    derived = functions(text)
    assert list(derived) == list(written)
    assert text.isascii() and max(map(len, text.splitlines())) <= 100
    for name, node in derived.items():
        doc, before = ast.get_docstring(node), ast.get_docstring(written[name])
        assert ast.dump(node.args) == ast.dump(written[name].args)
        assert re.findall(r"(?m)^>>> .*", doc) == re.findall(r"(?m)^>>> .*", before)
        assert "->" in doc
        if (number, name) not in WORDS:
            assert doc == before and "\n    " not in doc, "a formula stands here: it needs words"
            continue
        formulas = [p for p in before.split("\n\n") if p.startswith("    ") and "->" not in p]
        for formula in [line.strip() for p in formulas for line in p.splitlines()]:
            assert formula not in doc
        assert "By hand" not in doc


def test_words_are_of_functions_that_there_are():
    assert set(WORDS) <= {(n, hole.name) for n, holes in HOLES.items() for hole in holes}


@pytest.mark.parametrize("number", TITLES)
def test_solutions_agree_with_the_derived_examples(number):
    space = space_of(handout.handout(number, "derive")[1])
    solution = module_of(SOLUTIONS[number])
    finder, runner = doctest.DocTestFinder(), doctest.DocTestRunner(verbose=False)
    for hole in HOLES[number]:
        examples = finder.find(space[hole.name], hole.name, globs=vars(solution))[0]
        assert examples.examples and runner.run(examples).failed == 0


def test_derived_holes_are_to_do():
    report = exercises.judge_file(LocalFile(space_of(handout.handout(3, "derive")[1])))
    assert report.exercise == 3 and {hole.status for hole in report.holes} == {"todo"}


# ---- debug ---------------------------------------------------------------------------------------


def test_debug_is_there_for_lessons_3_to_7():
    assert set(DEBUG) == {3, 4, 5, 6, 7}


@pytest.mark.parametrize("number", DEBUG)
def test_each_planted_mistake_is_found_alone_and_named(number):
    """All others mended by the solution, each mistake is red; all mended, the file is right."""
    solution, source = vars(module_of(SOLUTIONS[number])), DEBUG[number].read_text(encoding="utf-8")
    names = [hole.name for hole in HOLES[number]]
    planted = [name for of, name in PLANTED if of == number]
    for name in planted:
        space = space_of(source)
        assert space["EXERCISE"] == number
        space.update({other: solution[other] for other in names if other != name})
        report = exercises.judge_file(LocalFile(space), function=name)
        assert [hole.status for hole in report.holes] == ["wrong"], name
        named = PLANTED[number, name]
        assert report.holes[0].names == ([named] if named else report.holes[0].names)
    space = space_of(source)
    space.update({name: solution[name] for name in planted})
    report = exercises.judge_file(LocalFile(space))
    assert {hole.status for hole in report.holes} == {"right"}


@pytest.mark.parametrize("number", DEBUG)
def test_debug_code_runs_and_looks_as_if_it_worked(number):
    done = subprocess.run(
        [sys.executable, "-W", "error", DEBUG[number]], capture_output=True, text=True, check=True
    )
    assert len(done.stdout.splitlines()) == 1 and done.stderr == ""
    assert "nan" not in done.stdout and "inf" not in done.stdout


@pytest.mark.parametrize("number", DEBUG)
def test_debug_files_say_nothing_of_the_mistake(number):
    source = DEBUG[number].read_text(encoding="utf-8").lower()
    assert not re.search(r"museum|mistake:|\bbug|wrong|todo|fixme", source)


# ---- as a notebook -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "kind"), [(5, "write"), (3, "derive"), *((n, "debug") for n in DEBUG)]
)
def test_notebook_has_the_code_of_the_file_and_checks_itself(number, kind):
    name, text = handout.handout(number, kind)
    book, made = handout.as_notebook(name, text)
    made = json.loads(made)
    first, *cells = made["cells"]
    assert book == name.replace(".py", ".ipynb") and f"tinyvae check {book}" in first["source"]
    assert first["cell_type"] == "markdown"
    assert cells[-1]["source"].endswith("check_here()")
    joined = "\n".join(cell["source"] for cell in cells[:-1])
    assert ast.dump(ast.parse(joined)) == ast.dump(ast.Module(ast.parse(text).body[1:], []))
    of_one = [len(functions(cell["source"])) for cell in cells]
    assert max(of_one) == 1 and sum(of_one) == len(functions(text))
    assert len({cell["id"] for cell in made["cells"]}) == len(made["cells"])


def test_notebook_is_put_here_and_checked(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, printed = run(capsys, "5", "--notebook")
    assert status == 0 and "tinyvae check 05_reparameterization.ipynb" in printed.out
    assert run(capsys, "5", "--notebook")[0] == 2
    assert cli.main(["check", "05_reparameterization.ipynb"]) == 1
    assert "3 to do." in capsys.readouterr().out
    cells = json.loads((tmp_path / "05_reparameterization.ipynb").read_text("utf-8"))["cells"]
    space = {"__name__": "__main__"}
    for cell in cells[1:]:
        exec(cell["source"], space)
    assert capsys.readouterr().out.count("todo") == 3
    for words in ["final"], ["3", "--kind", "explain"]:
        status, printed = run(capsys, *words, "--notebook")
        assert status == 2 and "take the file" in printed.err
