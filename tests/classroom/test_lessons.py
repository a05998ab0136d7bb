"""Every lesson, run as a user runs it; and every lesson again with mistakes planted.

What they print is kept in lessons/expected/, which `python -m tools.expected` rewrites.
"""

import ast
import json
import re

import matplotlib.font_manager  # noqa: F401  (builds its cache here, not in a lesson)
import pytest

from tinyvae.classroom.lesson import WIDTH
from tinyvae.classroom.presenter.plain import markdown
from tinyvae.classroom.presenter.script import installed_lessons, read_steps
from tools.expected import LESSONS, ROOT, difference, path_of, run

# lesson -> mistake (of the museum, or of tools/plant.py) -> the claim that it turns red
PLANTED = {
    "01_generative_model": {
        "mean-over-pixels": "1.1",
        "target-as-prediction": "1.1",
        "grey-pixels": "1.2",
        "density-without-half": "1.3",
        "sample-with-one-noise": "1.3",
        "std-is-exp-logvar": "1.6",
        "one-noise-for-both-latents": "1.6",
    },
    "02_intractable_integral": {
        "normaliser-missing": "2.1",
        "sample-with-one-noise": "2.1",
        "std-is-exp-logvar": "2.6",
        "mean-of-logs": "2.10",
        "expectation-inside-log": "2.10",
    },
    "03_elbo": {
        "sample-with-covariance-as-root": "3.1",
        "sample-with-one-noise": "3.1",
        "density-without-half": "3.1",
        "entropy-without-dimension": "3.1",
        "half-missing": "3.2",
        "swapped-arguments": "3.2",
        "log-of-bracket": "3.2",
        "means-left-out": "3.2",
        "sign-turned": "3.2",
        "std-is-exp-logvar": "3.7",
        "mean-of-logs": "3.7",
        "mean-over-pixels": "3.7",
        "expectation-inside-log": "3.8",
        "no-noise-at-test": "3.8",
        "two-conventions": "3.8",
    },
    "04_gaussian_kl": {
        "half-missing": "4.1",
        "swapped-arguments": "4.1",
        "log-of-bracket": "4.1",
        "logdet-inverted": "4.1",
        "trace-of-diagonals": "4.1",
        "density-without-half": "4.1",
        "floor-of-a-tenth": "4.8",
        "two-conventions": "4.10",
        "kl-to-itself": "4.10",
        "std-is-exp-logvar": "4.12",
        "one-noise-for-both-latents": "4.12",
    },
    "05_reparameterization": {
        "std-is-exp-logvar": "5.1",
        "noise-too-small": "5.1",
        "half-lost-in-backward": "5.2",
        "gradient-blocked": "5.2",
        "kl-subtracted": "5.4",
    },
    "06_backprop": {
        "std-is-exp-logvar": "6.1",
        "mean-over-pixels": "6.1",
        "two-conventions": "6.1",
        "half-lost-in-backward": "6.4",
        "fresh-noise-in-backward": "6.4",
        "gradient-blocked": "6.4",
        "kl-subtracted": "6.5",
        "trunk-overwritten": "6.5",
        "summed-over-batch": "6.6",
        "one-noise-for-both-latents": "6.6",
    },
    "07_vae": {
        "mean-over-pixels": "7.1",
        "kl-subtracted": "7.2",
        "gradient-blocked": "7.2",
        "std-is-exp-logvar": "7.3",
        "mean-of-logs": "7.3",
        "posterior-at-generation": "7.8",
    },
    "08_autoencoder": {
        "mean-over-pixels": "8.1",
        "gradient-blocked": "8.1",
        "posterior-at-generation": "8.6",
    },
    "09_importance_weights": {
        "weights-without-prior": "9.1",
        "mean-of-log-weights": "9.1",
        "sum-of-weights": "9.1",
        "equal-weights": "9.4",
        "weights-not-squared": "9.5",
        "slope-with-score": "9.6",
    },
    "10_linear_vae": {
        "spread-left-out": "10.1",
        "log-of-noise-left-out": "10.1",
        "half-missing": "10.1",
        "two-conventions": "10.1",
        "spread-left-out-of-backward": "10.3",
        "half-lost-for-noise": "10.3",
    },
    "11_right_likelihood": {
        "mean-over-pixels": "11.2",
        "normalizer-left-out": "11.4",
        "probability-as-mean": "11.4",
        "log-variance-left-out": "11.5",
        "gradient-without-log-variance": "11.5",
    },
}

CLAIM = re.compile(r"^  (\d+\.\d+)  \S", re.MULTILINE)
SLOW = {"07_vae", "08_autoencoder"}  # they train for longer than the others all together


def each(lessons):
    """A test for each of these lessons."""
    return pytest.mark.parametrize(
        "lesson",
        [
            pytest.param(lesson, marks=[pytest.mark.slow] if lesson in SLOW else [])
            for lesson in lessons
        ],
    )


# ---- they hold -----------------------------------------------------------------------------------


@each(LESSONS)
def test_lesson_holds_and_prints_what_is_expected(lesson, tmp_path):
    ran = run(LESSONS[lesson], folder=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    assert not list(tmp_path.iterdir()), "a lesson leaves no files behind"
    unexpected = difference(ran.stdout, path_of(lesson).read_text(encoding="utf-8"))
    assert not unexpected, f"{unexpected}\nif that is meant: python -m tools.expected {lesson[:2]}"


@pytest.mark.parametrize("lesson", LESSONS)
def test_lesson_prints_claims_that_a_projector_can_show(lesson):
    printed = path_of(lesson).read_text(encoding="utf-8")
    claims = re.findall(CLAIM, printed)
    assert claims, "a lesson makes claims"
    assert claims == [f"{int(lesson[:2])}.{n}" for n in range(1, len(claims) + 1)]
    assert printed.count(" holds\n") >= len(claims), "a claim has evidence"
    assert "FAILS" not in printed
    assert printed.isascii()
    assert max(map(len, printed.splitlines())) <= WIDTH


# ---- and they can fail ---------------------------------------------------------------------------


@each(PLANTED)
def test_planted_mistakes_are_seen(lesson, tmp_path):
    ran = run(ROOT / "tools" / "plant.py", lesson, *PLANTED[lesson], folder=tmp_path)
    assert ran.returncode == 0, ran.stderr
    ends = json.loads(ran.stdout)
    first = {mistake: (end["failed"] or [end["ended"]])[0] for mistake, end in ends.items()}
    assert first == PLANTED[lesson]


def test_every_lesson_has_mistakes_to_see():
    assert set(PLANTED) == set(LESSONS)
    assert all(len(mistakes) >= 3 for mistakes in PLANTED.values())


# ---- their form ----------------------------------------------------------------------------------


@pytest.mark.parametrize("lesson", LESSONS)
def test_lesson_says_what_it_is(lesson):
    found = installed_lessons()[int(lesson[:2])]
    assert re.fullmatch(rf"Lesson {found.number}: [A-Z].*[^.]", found.heading)
    assert found.summary.endswith(".") and len(found.summary) <= 95


@pytest.mark.parametrize("lesson", LESSONS)
def test_lesson_asks_before_it_answers(lesson):
    found = read_steps(LESSONS[lesson].read_text(encoding="utf-8"))
    asked = sum(bool(step.question) for step in found)
    assert asked >= 3
    assert "## Try it" in found[-1].text and not found[-1].code


@pytest.mark.parametrize("lesson", LESSONS)
def test_lesson_is_a_straight_line(lesson):
    tree = ast.parse(LESSONS[lesson].read_text(encoding="utf-8"))
    imports = (ast.Import, ast.ImportFrom)
    kinds = [isinstance(node, imports) for node in tree.body]
    assert kinds == sorted(kinds, reverse=True), "all imports stand at the top"
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert not names & {"__name__", "__file__", "argparse", "open", "input"}


@pytest.mark.parametrize("lesson", LESSONS)
def test_lesson_has_formulas_that_a_terminal_can_show(lesson):
    for step in read_steps(LESSONS[lesson].read_text(encoding="utf-8")):
        plain = markdown(step.text, width=80, ascii=True)
        assert not re.search(r"\\[a-zA-Z]|\$|\*\*|\{\}", plain), plain
        assert max(map(len, [*plain.splitlines(), ""])) <= 80, plain


# ---- how outputs are compared --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("printed", "expected", "same"),
    [
        ("left  -3.2417", "left -3.2418", True),  # one in the last digit
        ("left  -3.2417", "left -3.2419", False),
        ("9.999 apart", "10.000 apart", True),
        ("-0.000", "0.000", True),
        ("297 digits", "298 digits", False),
        ("3.2e-05", "3.3e-05", True),
        ("3.2e-05", "3.2e-04", False),
        ("0.5 holds", "0.5 FAILS", False),
        ("one\ntwo", "one", False),
    ],
)
def test_outputs_are_compared_within_the_digits_shown(printed, expected, same):
    assert (difference(printed, expected) == "") is same
