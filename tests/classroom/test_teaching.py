"""The teacher's pages hold what their lessons ask: answers, claims, minutes, names and links."""

import math
import re
from collections import Counter

import pytest

from tinyvae.classroom.museum.catalogue import MUSEUM
from tinyvae.classroom.presenter.script import read_steps
from tools.expected import LESSONS, ROOT, path_of
from tools.tries import suggestions

GUIDE = ROOT / "docs" / "teaching"
SECTIONS = (
    'Answers to "Predict first"',
    'Answers to "Try it"',
    "What students believe instead",
    "What to ask",
    "On the board",
)
LONGEST = {"in all": 90, "kept": 45}  # minutes

# lesson -> numbers in its answers that it does not print itself, and where they come from
DERIVED = {
    3: {"19.7": -25.004 + 44.695},  # 3.12: the ELBO after 60 epochs and before
    6: {"1.39": 2 * math.log(2)},  # two pixels at logits of 0
    7: {"0.45": -23.232 + 23.684, "0.88": -162.42 + 163.30},  # 7.3, 7.8: log p(x) - bound
    11: {"45.5": 45.5},  # the floor over all 10,000 test digits of MNIST, which are not shipped
}


def page_of(lesson):
    return GUIDE / f"lesson-{lesson[:2]}.md"


def sections(page):
    """title -> text, of a page in Markdown; the text above the first "## " has the title ""."""
    top, *rest = re.split(r"(?m)^## ", page)
    return {"": top} | {part.partition("\n")[0]: part.partition("\n")[2] for part in rest}


def rows(text):
    """The cells of each table row that begins with a step's number: [["1 two", "7.1", ...], ...]"""
    lines = [line for line in text.splitlines() if re.match(r"\| \d", line)]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def leading_number(text):
    return int(re.match(r"\d+", text)[0])


def questions(source):
    """step's number -> how many questions the lesson asks there"""
    asked, step = Counter(), 0
    for cell in read_steps(source):
        if heading := re.match(r"Step (\d+):", cell.heading):
            step = int(heading[1])
        asked[step] += bool(cell.question)
    return asked


def gaps_of_predictions(source, answers):
    answered = Counter(leading_number(row[0]) for row in rows(answers))
    empty = [row[0] for row in rows(answers) if len(row) < 2 or not row[1]]
    return [f"an empty answer: {label}" for label in empty] + [
        f"step {step}: {count} questions, {answered[step]} answers"
        for step, count in questions(source).items()
        if answered[step] < count
    ]


def gaps_of_numbers(number, expected, answers):
    """Numbers with a decimal point that the lesson does not print, rounded or in per cent."""
    printed = [abs(float(text)) for text in re.findall(r"\d+\.?\d*(?:e[-+]?\d+)?", expected)]
    known = [*printed, *(100 * value for value in printed), *DERIVED.get(number, {}).values()]
    found = []
    for text in re.findall(r"\d+\.\d+", answers):
        half = 0.5000001 * 10.0 ** -len(text.partition(".")[2])
        if not any(abs(value - float(text)) <= half for value in known):
            found.append(f"the lesson does not print {text}")
    return found


def gaps_of_suggestions(source, answers):
    answered = re.findall(r"(?m)^- `([^`]+)`: \S", answers)
    return [f"no answer to {one}" for one in suggestions(source) if one not in answered]


def gaps_of_steps(number, source, expected, table):
    """What the table of steps lacks: steps, claims in their order, minutes that fit."""
    steps = [leading_number(row[0]) for row in rows(table)]
    named = [claim for row in rows(table) for claim in re.findall(r"\d+\.\d+", row[1])]
    claims = re.findall(rf"(?m)^ +({number}\.\d+)  ", expected)
    minutes = {
        "in all": sum(int(row[2]) for row in rows(table)),
        "kept": sum(int(row[2]) for row in rows(table) if row[3] == "yes"),
    }
    found = []
    if steps != [step for step in questions(source) if step]:
        found += [f"steps {steps}"]
    if named != claims:
        found += [f"claims {named}, the lesson prints {claims}"]
    return found + [
        f"{total} minutes {which}, of {LONGEST[which]}"
        for which, total in minutes.items()
        if total > LONGEST[which]
    ]


def gaps_of_names(page):
    """Mistakes that the museum does not have, and links that lead nowhere."""
    ticked = re.findall(r"`(?:tinyvae bugs )?([a-z0-9]+(?:-[a-z0-9]+)+)`", page)
    links = re.findall(r"\]\((?!http)([^)#]+)", page)
    return [f"not in the museum: {name}" for name in ticked if name not in MUSEUM] + [
        f"no such file: {link}" for link in links if not (GUIDE / link).exists()
    ]


def gaps(number, source, expected, page):
    """What a teacher's page lacks of its lesson, as sentences; [] where it lacks nothing."""
    parts = sections(page)
    absent = [f"no section {title}" for title in SECTIONS if not parts.get(title, "").strip()]
    return absent or [
        *gaps_of_steps(number, source, expected, parts[""]),
        *gaps_of_predictions(source, parts[SECTIONS[0]]),
        *gaps_of_numbers(number, expected, parts[SECTIONS[0]]),
        *gaps_of_suggestions(source, parts[SECTIONS[1]]),
        *gaps_of_names(page),
    ]


def read(lesson):
    """number, the lesson's source, what it prints, its page"""
    assert page_of(lesson).exists(), f"{lesson} has no page {page_of(lesson)}"
    paths = LESSONS[lesson], path_of(lesson), page_of(lesson)
    return int(lesson[:2]), *(path.read_text(encoding="utf-8") for path in paths)


@pytest.mark.parametrize("lesson", LESSONS)
def test_every_lesson_has_a_page_that_answers_all_that_it_asks(lesson):
    assert gaps(*read(lesson)) == []


@pytest.mark.parametrize("lesson", LESSONS)
def test_an_answer_that_is_taken_out_is_missed(lesson):
    number, source, expected, page = read(lesson)
    first, second = (sections(page)[title] for title in SECTIONS[:2])
    lines = [line for line in first.splitlines() if re.match(r"\| \d", line)]
    lines += re.findall(r"(?m)^- `[A-Z][^`]+`: .*$", second)
    assert len(lines) >= 4
    for line in lines:
        assert gaps(number, source, expected, page.replace(line + "\n", "", 1)), line


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("| 7.1 |", "| 7.11 |", "claims"),
        ("| 2 train |", "| 3 train |", "steps"),
        ("| 7.1 | 5 |", "| 7.1 | 25 |", "minutes"),
        ("`BETA = 4.0`:", "`BETA = 2.0`:", "no answer to BETA = 4.0"),
        ("64 log 2 = 44.36", "64 log 2 = 44.63", "the lesson does not print 44.63"),
        ("0.88 nats", "0.98 nats", "the lesson does not print 0.98"),
        ("beta-ignored", "beta-forgotten", "not in the museum: beta-forgotten"),
        ("(article.md)", "(articles.md)", "no such file: articles.md"),
        ("## On the board", "## On the wall", "no section On the board"),
    ],
)
def test_a_slip_on_a_page_is_found(right, wrong, said):
    number, source, expected, page = read("07_vae")
    assert right in page
    assert any(said in gap for gap in gaps(number, source, expected, page.replace(right, wrong)))


def test_the_course_leads_to_every_page():
    course = (GUIDE / "course.md").read_text(encoding="utf-8")
    for lesson in LESSONS:
        assert f"({page_of(lesson).name})" in course
