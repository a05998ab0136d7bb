"""Every lesson, run as a user runs it; and every lesson again with mistakes planted.

What they print is kept in lessons/expected/, which `python -m tests.expected` rewrites.
"""

import ast
import json
import re
from concurrent.futures import ThreadPoolExecutor

import matplotlib.font_manager  # noqa: F401  (builds its cache here, not in a lesson)
import pytest
from expected import AT_ONCE, LESSONS, ROOT, difference, path_of, run

from tinyvae.classroom.plain import markdown
from tinyvae.classroom.stepper import find, steps

# lesson -> mistake (of the museum, or of tests/plant.py) -> the claim that it turns red
PLANTED = {
    "03_elbo": {
        "half-missing": "3.2",
        "swapped-arguments": "3.2",
        "log-of-bracket": "3.2",
        "means-left-out": "3.2",
        "sign-turned": "3.2",
        "sample-with-covariance-as-root": "3.1",
        "sample-with-one-noise": "3.1",
        "density-without-half": "3.1",
        "entropy-without-dimension": "3.1",
        "mean-of-logs": "3.7",
        "largest-weight-lost": "3.7",
        "closed-form-kl-in-weights": "3.7",
        "std-is-exp-logvar": "3.7",
        "expectation-inside-log": "3.8",
        "no-noise-at-test": "3.8",
        "one-noise-for-both-latents": "3.7",
        "two-conventions": "3.8",
        "mean-over-pixels": "3.7",
    },
}

CLAIM = re.compile(r"^  (\d+\.\d+)  \S", re.MULTILINE)
SLOW = {"07_vae", "08_autoencoder"}  # they train for longer than the others all together


def cases(pairs):
    """Parameters for pytest, those of the slow lessons marked so."""
    return [
        pytest.param(*case, marks=[pytest.mark.slow] if case[0] in SLOW else [], id=" ".join(case))
        for case in pairs
    ]


every_lesson = pytest.mark.parametrize("lesson", cases((lesson,) for lesson in LESSONS))
every_mistake = pytest.mark.parametrize(
    ("lesson", "mistake", "claim"),
    cases((lesson, mistake, PLANTED[lesson][mistake]) for lesson in PLANTED
          for mistake in PLANTED[lesson]),
)  # fmt: skip


@pytest.fixture(scope="module")
def running(request, tmp_path_factory):
    """What this session's tests need, run two at a time from the start.

    ->  future results: by lesson those of the lesson, by ("planted", lesson) those with mistakes
    """
    lessons, mistakes = [], {}
    for item in request.session.items:
        if item.path == request.path and "running" in item.fixturenames:
            lesson, mistake = item.callspec.params["lesson"], item.callspec.params.get("mistake")
            if mistake:
                mistakes.setdefault(lesson, []).append(mistake)
            else:
                lessons.append(lesson)
    commands = {lesson: [LESSONS[lesson]] for lesson in lessons} | {
        ("planted", lesson): [ROOT / "tests" / "plant.py", lesson, *names]
        for lesson, names in mistakes.items()
    }
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {
            name: pool.submit(run_in, tmp_path_factory.mktemp("empty"), command)
            for name, command in commands.items()
        }
        pool.shutdown(cancel_futures=True)


def run_in(folder, command):
    ran = run(*command, folder=folder)
    assert not list(folder.iterdir()), "a lesson leaves files behind"
    return ran


# ---- they hold -----------------------------------------------------------------------------------


@every_lesson
def test_lesson_holds_and_prints_what_is_expected(lesson, running):
    ran = running[lesson].result()
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    assert "FAILS" not in ran.stdout
    expected = path_of(lesson).read_text(encoding="utf-8")
    assert not difference(ran.stdout, expected), (
        difference(ran.stdout, expected) + "\nif that is meant: python -m tests.expected"
    )


@every_lesson
def test_lesson_prints_claims_that_a_projector_can_show(lesson, running):
    printed = running[lesson].result().stdout
    number = int(lesson[:2])
    claims = re.findall(CLAIM, printed)
    assert claims, "a lesson makes claims"
    assert claims == [f"{number}.{n}" for n in range(1, len(claims) + 1)]
    assert printed.count(" holds\n") >= len(claims), "a claim has evidence"
    assert printed.isascii()
    assert max(map(len, printed.splitlines())) <= 100


# ---- and they can fail ---------------------------------------------------------------------------


@every_mistake
def test_planted_mistake_is_seen(lesson, mistake, claim, running):
    ran = running["planted", lesson].result()
    assert ran.returncode == 0, ran.stderr
    planted = json.loads(ran.stdout)[mistake]
    assert planted["ended"] == "Refuted", f"{lesson} ended with {planted['ended'] or 'success'}"
    assert planted["printed"].rstrip().endswith("FAILS")
    assert re.findall(CLAIM, planted["printed"])[-1] == claim


def test_failed_claim_ends_a_lesson_with_a_status(tmp_path):
    script = tmp_path / "lesson.py"
    script.write_text("from tinyvae.classroom.lesson import check\ncheck('one', 1, 2)\n")
    ran = run(script, folder=tmp_path)
    assert ran.returncode == 1
    assert ran.stdout.endswith("FAILS\n")
    assert ran.stderr.splitlines()[-1].startswith("tinyvae.classroom.lesson.Refuted: one: 1.0")


def test_every_lesson_has_mistakes_to_see():
    assert set(PLANTED) == set(LESSONS)
    assert all(len(mistakes) >= 3 for mistakes in PLANTED.values())


# ---- their form ----------------------------------------------------------------------------------


@every_lesson
def test_lesson_says_what_it_is(lesson):
    found = find()[int(lesson[:2])]
    assert re.fullmatch(rf"Lesson {found.number}: [A-Z].*[^.]", found.heading)
    assert found.summary.endswith(".") and len(found.summary) <= 95


@every_lesson
def test_lesson_asks_before_it_answers(lesson):
    found = steps(LESSONS[lesson].read_text(encoding="utf-8"))
    asked = sum("Predict first" in step.text for step in found)
    assert asked >= 3
    assert "## Try it" in found[-1].text and not found[-1].code


@every_lesson
def test_lesson_is_a_straight_line(lesson):
    tree = ast.parse(LESSONS[lesson].read_text(encoding="utf-8"))
    imports = (ast.Import, ast.ImportFrom)
    kinds = [isinstance(node, imports) for node in tree.body]
    assert kinds == sorted(kinds, reverse=True), "all imports stand at the top"
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert not names & {"__name__", "__file__", "argparse", "open", "input"}


@every_lesson
def test_lesson_has_formulas_that_a_terminal_can_show(lesson):
    for step in steps(LESSONS[lesson].read_text(encoding="utf-8")):
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
