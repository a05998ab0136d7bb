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
from tools.plant import EDITS
from tools.tries import changed, suggestions, try_one

# lesson -> mistake (of the museum, or of tools/plant.py) -> the first claim that it turns red, and
# others that it does
PLANTED = {
    "01_generative_model": {
        "mean-over-pixels": "1.1 1.2 1.4",
        "target-as-prediction": "1.1 1.2 1.4",
        "grey-pixels": "1.2",
        "density-without-half": "1.3 1.7 1.8",
        "sample-with-one-noise": "1.3 1.5 1.6 1.8",
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
        "density-without-half": "3.1 3.3 3.4",
        "entropy-without-dimension": "3.3",
        "half-missing": "3.1 3.2 3.4 3.5 3.8",
        "swapped-arguments": "3.1",
        "log-of-bracket": "3.1",
        "means-left-out": "3.1",
        "sign-turned": "3.1",
        "std-is-exp-logvar": "3.9 3.10 3.11",
        "mean-of-logs": "3.9",
        "mean-over-pixels": "3.9",
        "expectation-inside-log": "3.10",
        "no-noise-at-test": "3.10",
        "two-conventions": "3.10",
    },
    "04_gaussian_kl": {
        "half-missing": "4.1 4.7 4.8 4.9 4.10 4.11 4.12",
        "swapped-arguments": "4.1 4.7 4.8 4.9 4.10 4.11 4.12",
        "log-of-bracket": "4.1 4.7 4.8 4.9 4.10 4.11 4.12",
        "logdet-inverted": "4.1 4.7 4.8 4.9 4.10 4.11 4.12",
        "trace-of-diagonals": "4.1 4.7 4.8 4.12",
        "density-without-half": "4.1 4.5 4.6",
        "sample-with-covariance-as-root": "4.1 4.2 4.3",
        "floor-of-a-tenth": "4.8 4.11",
        "two-conventions": "4.10 4.11",
        "kl-to-itself": "4.10 4.11",
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
        "std-is-exp-logvar": "7.3 7.4",
        "mean-of-logs": "7.3",
        "posterior-at-generation": "7.10",
    },
    "08_autoencoder": {
        "mean-over-pixels": "8.1",
        "gradient-blocked": "8.1",
        "posterior-at-generation": "8.7",
    },
    "09_importance_weights": {
        "weights-without-prior": "9.1 9.2 9.4 9.8",
        "mean-of-log-weights": "9.1 9.2 9.4 9.8",
        "sum-of-weights": "9.1 9.2 9.4 9.8",
        "equal-weights": "9.4 9.5 9.8",
        "weights-not-squared": "9.5",
        "slope-with-score": "9.6",
    },
    "10_linear_vae": {
        "spread-left-out": "10.1 10.2 10.3",
        "log-of-noise-left-out": "10.1 10.2 10.3",
        "half-missing": "10.1 10.2 10.3",
        "two-conventions": "10.1 10.2 10.3",
        "spread-left-out-of-backward": "10.3",
        "half-lost-for-noise": "10.3",
    },
    "11_right_likelihood": {
        "mean-over-pixels": "11.2",
        "normalizer-left-out": "11.4",
        "probability-as-mean": "11.4",
        "log-variance-left-out": "11.5 11.7 11.9",
        "gradient-without-log-variance": "11.5",
    },
    "12_where_the_nats_go": {
        "half-missing": "12.1 12.2 12.6",
        "swapped-arguments": "12.1 12.2 12.6",
        "spread-left-out": "12.3 12.6",
        "free-bits-of-each": "12.5",
        "root-without-exp": "12.6 12.7",
        "root-backward-without-exp": "12.6",
        "kl-without-log-det": "12.6 12.7",
    },
    "13_discrete_latent": {
        "class-kl-without-log-classes": "13.1",
        "class-nll-without-offset": "13.1",
        "softmax-backward-of-each": "13.2",
        "score-without-mean": "13.3",
        "temperature-left-out": "13.5",
    },
    "14_a_sandwich": {
        "half-missing": "14.1 14.2",
        "swapped-arguments": "14.1 14.2",
        "weight-after-the-move": "14.1 14.2 14.4 14.7",
        "noise-not-shrunk": "14.4",
        "whole-kicks": "14.5 14.6",
        "prior-left-out-of-slope": "14.5 14.6 14.7",
        "prior-left-out-of-joint": "14.5 14.6 14.7",
        "coin-turned": "14.6 14.7",
        "pixel-left-out": "14.5 14.6",
    },
    "15_find_the_bug": {
        "half-missing": "15.1 15.5",
        "mean-over-pixels": "15.1 15.2 15.7 15.8",
        "std-is-exp-logvar": "15.1 15.6 15.8",
        "no-noise-at-test": "15.1 15.7 15.8",
    },
}

CLAIM = re.compile(r"^  (\d+\.\d+)  \S", re.MULTILINE)
SLOW = {
    "07_vae",
    "08_autoencoder",
    "09_importance_weights",
    "10_linear_vae",
    "12_where_the_nats_go",
    "13_discrete_latent",
    "14_a_sandwich",
    "15_find_the_bug",
}  # they train for longer than the others all together


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
    for mistake, end in json.loads(ran.stdout).items():
        expected = PLANTED[lesson][mistake].split()
        assert (end["failed"] or [end["ended"]])[0] == expected[0], mistake
        assert set(expected) <= set(end["failed"]), mistake


@each(EDITS)
def test_slips_in_a_lesson_are_seen(lesson, tmp_path):
    ran = run(ROOT / "tools" / "plant.py", lesson, "edited", folder=tmp_path)
    assert ran.returncode == 0, ran.stderr
    end = json.loads(ran.stdout)["edited"]
    assert {claim for _, _, claim in EDITS[lesson]} <= set(end["failed"]), end


@pytest.mark.parametrize("lesson", EDITS)
def test_every_claim_has_a_mistake_that_turns_it_red(lesson):
    claims = re.findall(CLAIM, path_of(lesson).read_text(encoding="utf-8"))
    seen = {claim for _, _, claim in EDITS[lesson]}
    seen |= {claim for claims in PLANTED[lesson].values() for claim in claims.split()}
    assert set(claims) == seen


def test_every_lesson_has_mistakes_to_see():
    assert set(PLANTED) == set(LESSONS)
    assert all(len(mistakes) >= 3 for mistakes in PLANTED.values())


# ---- what they suggest to try -----------------------------------------------------------------

SLOW_TO_TRY = {"02_intractable_integral", "03_elbo", "05_reparameterization"} | SLOW

# lesson -> suggestion -> the claims that fail then, and what figures' titles or text say
TRIED = {
    "01_generative_model": {
        "P_TOPIC = (0.30, 0.01, 0.49, 0.20)": ("", " 9.6% of the sum"),
        "STRETCH = 0.25": ("", "x = z/4 + z/|z|"),
        "NOISE_STD = 0.01": ("1.6", "The ring keeps 0%"),
        "NOISE_STD = 0.01; DISTANCES = 80; DIRECTIONS = 1000": ("", "The ring keeps 0%"),
    },
    "02_intractable_integral": {
        "NOISE_VAR = 1": ("2.4", "draws from the prior"),
        "WIDER = 0.8": ("2.8", "draws from the prior"),
        "LATENT_DIM = 20": ("", "z from the prior explain this 3"),
    },
    "03_elbo": {
        "EPOCHS = 400": ("", "it touches log p(x) where q is the posterior"),
        "NARROW = 0.1": ("", "at its best it misses log p(x) by 1.40 nats"),
        "LATENT_DIM = 3": ("", "it touches log p(x) where q is the posterior"),
    },
    "04_gaussian_kl": {
        "MEAN_Q = (0.0, 0.5, -1.0)": ("", "+ 0.0000 - 3"),
        "COV_Q = ((2.0, 0.3, 0.5), (0.3, 1.0, 0.2), (0.5, 0.2, 1.5))": ("4.8 4.12", "+ 0.0000)"),
        "CENTERS = (-0.7, 0.7)": ("4.14", "KL(q || p) covers both bumps, too"),
    },
    "05_reparameterization": {
        "DATA = (5.4, -1.0)": ("", "One draw along the path is worth 2"),
        "NOISE_VAR = 0.05": ("", "One draw along the path is worth"),
        "LOG_VARIANCE = 0.0": ("5.8", "One draw along the path is worth"),
    },
    "06_backprop": {
        "X2 = 1.0": ("", "Two paths lead from mu to the loss"),
        "EPS = 0.0": ("", "Two paths lead from mu to the loss"),
    },
}


@pytest.mark.parametrize(
    ("lesson", "suggestion"),
    [
        pytest.param(lesson, one, marks=[pytest.mark.slow] if lesson in SLOW_TO_TRY else [])
        for lesson, tried in TRIED.items()
        for one in tried
    ],
)
def test_what_is_suggested_runs_and_says_nothing_false(lesson, suggestion):
    fails, says = TRIED[lesson][suggestion]
    printed, titles, failed, errors = try_one(lesson, suggestion)
    assert "Traceback" not in errors, errors
    assert sorted(failed) == sorted(fails.split())
    assert says in printed + "\n".join(titles)


@pytest.mark.parametrize("lesson", TRIED)
def test_every_suggestion_is_tried(lesson):
    assert list(TRIED[lesson]) == suggestions(LESSONS[lesson].read_text(encoding="utf-8"))


# ---- their form ----------------------------------------------------------------------------------


@pytest.mark.parametrize("lesson", LESSONS)
def test_lesson_says_what_it_is(lesson):
    found = installed_lessons()[int(lesson[:2])]
    assert re.fullmatch(rf"Lesson {found.number}: [A-Z].*[^.]", found.heading)
    assert found.summary.endswith(".") and len(found.summary) <= 95


def raw_cells(source):
    """(whether it is text, its lines without the mark) of each cell."""
    parts = re.split(r"(?m)^# %%(.*)$\n?", source)[1:]
    return [
        ("[markdown]" in mark, body) for mark, body in zip(parts[::2], parts[1::2], strict=True)
    ]


@pytest.mark.parametrize("lesson", LESSONS)
def test_a_question_ends_its_text_and_the_next_cell_answers_it(lesson):
    found = raw_cells(LESSONS[lesson].read_text(encoding="utf-8"))
    asked = 0
    for n, (is_text, body) in enumerate(found):
        if not is_text or "Predict first" not in body:
            continue
        asked += 1
        paragraphs = re.sub(r"(?m)^# ?", "", body).strip().split("\n\n")
        assert paragraphs[-1].startswith("Predict first:"), paragraphs[-1]
        assert body.count("Predict first") == 1, body
        answer_is_text, answer = found[n + 1]
        assert not answer_is_text
        assert re.search(r"(?m)^claim\(", answer), f"no claim after: {paragraphs[-1]}"
    assert asked >= 3


@pytest.mark.parametrize("lesson", LESSONS)
def test_a_figure_is_a_cell_of_its_own(lesson):
    for is_text, body in raw_cells(LESSONS[lesson].read_text(encoding="utf-8")):
        if not is_text and "plt.show()" in body:
            assert not re.search(r"(?m)^(claim|check\w*)\(", body), body


@pytest.mark.parametrize("lesson", LESSONS)
def test_a_slow_cell_says_how_long_it_takes(lesson):
    for is_text, body in raw_cells(LESSONS[lesson].read_text(encoding="utf-8")):
        if not is_text and "takes about" in body:
            assert re.match(r"# takes about \d+ s\n", body), body


@pytest.mark.parametrize("lesson", LESSONS)
def test_a_lesson_ends_with_things_to_try(lesson):
    source = LESSONS[lesson].read_text(encoding="utf-8")
    is_text, last = raw_cells(source)[-1]
    assert is_text and "## Try it" in last
    found = suggestions(source)
    assert len(found) >= 2
    assert found == suggestions(last), "suggestions stand in the last cell"
    for suggestion in found:
        assert changed(source, suggestion) != source


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
