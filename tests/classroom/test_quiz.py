"""Every snippet is run: the right ones agree with an oracle, the wrong ones do not."""

import argparse
import html
import io
import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.special
import scipy.stats

from tests.strategies import covariance
from tinyvae import cli
from tinyvae.classroom.checker import kl
from tinyvae.classroom.checker.function import LocalFunction
from tinyvae.classroom.museum import choices, gift, quiz
from tinyvae.classroom.museum.questions import SNIPPETS
from tinyvae.oracles import central_difference, estimate, gaussian_kl

rng = np.random.default_rng(0)
MU, LOGVAR = rng.standard_normal((2, 4, 3))
X, LOGITS = rng.integers(0, 2, (4, 5)).astype(float), rng.standard_normal((4, 5))
RECON, EPS, DZ = rng.random(4), *rng.standard_normal((2, 4, 3))
LOG_W = rng.standard_normal(1000)
FULL = (
    rng.standard_normal(3),
    1.7 * covariance(rng, 3),
    rng.standard_normal(3),
    0.6 * covariance(rng, 3),
)
ONE = (0.3, -0.4, 1.1, 0.7)  # mu_q, logvar_q, mu_p, logvar_p

KL_STANDARD = [gaussian_kl(m, np.diag(np.exp(v)), 0 * m, np.eye(3)) for m, v in zip(MU, LOGVAR)]  # noqa: B905
KL_ONE = gaussian_kl(ONE[0], np.exp(ONE[1]), ONE[2], np.exp(ONE[3]))
NLL = -scipy.stats.bernoulli.logpmf(X, scipy.special.expit(LOGITS)).sum(axis=1)


def drawn(sample):
    """Means and variances of 200,000 draws, rounded to what that many can tell."""
    mu, logvar = np.tile(MU[:1], (200_000, 1)), np.tile(LOGVAR[:1], (200_000, 1))
    z = sample(mu, logvar)
    far = [estimate(z[:, i]).z(MU[0, i]) for i in range(3)]
    far += [estimate((z[:, i] - MU[0, i]) ** 2).z(np.exp(LOGVAR[0, i])) for i in range(3)]
    return max(far) < 5, True


def with_rng(sample):
    return drawn(lambda mu, logvar: sample(mu, logvar, np.random.default_rng(1)))


def with_eps(sample):
    noise = np.random.default_rng(1).standard_normal((200_000, 3))
    return drawn(lambda mu, logvar: sample(mu, logvar, noise))


def unbiased_kl(f):
    mu, std = np.tile(MU[:1], (200_000, 1)), np.tile(np.exp(LOGVAR[:1] / 2), (200_000, 1))
    return estimate(f(mu, std, np.random.default_rng(1))).z(KL_STANDARD[0]) < 5, True


def unbiased_kl_in_one_dimension(f):
    z = ONE[0] + np.exp(ONE[1] / 2) * np.random.default_rng(1).standard_normal(200_000)
    return estimate(f(z, ONE[1] / 2, ONE[2], ONE[3] / 2)).z(KL_ONE) < 5, True


def derivative(f):
    z = lambda v: MU + np.exp(v / 2) * EPS  # noqa: E731
    return f(DZ, LOGVAR, EPS), central_difference(lambda v: np.sum(DZ * z(v)), LOGVAR)


def gaussian_nll(f):
    expected = -scipy.stats.norm.logpdf(X, LOGITS, np.exp(0.3)).sum(axis=1)
    return f(X, LOGITS, 0.3), expected


def log_density(f):
    mean, cov, x, _ = FULL
    return f(x, mean, cov), scipy.stats.multivariate_normal.logpdf(x, mean, cov)


# name -> what it gave and what is true
HOLD = {
    "the-minus-in-front": lambda f: (f(RECON, MU, LOGVAR), np.mean(RECON + KL_STANDARD)),
    "the-second-head": with_eps,
    "factors-of-two": lambda f: (f(MU, LOGVAR / 2), KL_STANDARD),
    "mean-or-sum": lambda f: (f(MU, LOGVAR), KL_STANDARD),
    "one-half-or-two": lambda f: (
        f(ONE[0], np.exp(ONE[1] / 2), ONE[2], np.exp(ONE[3] / 2)),
        KL_ONE,
    ),
    "pixels-and-latents": lambda f: (f(LOGITS, X, MU, LOGVAR), NLL + KL_STANDARD),
    "half-a-difference-of-logvars": lambda f: (f(*ONE), KL_ONE),
    "log-sigma-squared": lambda f: (f(MU, LOGVAR / 2), KL_STANDARD),
    "cost-minus-term": lambda f: (f(RECON, MU, LOGVAR / 2), RECON + KL_STANDARD),
    "where-the-bracket-ends": lambda f: (f(*FULL), gaussian_kl(*FULL)),
    "squares-in-the-trace": lambda f: (f(MU, LOGVAR / 2), KL_STANDARD),
    "which-way-round": lambda f: (f(*ONE), KL_ONE),
    "sum-of-all-squares": lambda f: (
        f(FULL[1], FULL[3]),
        np.trace(np.linalg.inv(FULL[3]) @ FULL[1]),
    ),
    "target-first": lambda f: (f(scipy.special.expit(LOGITS), X), NLL),
    "no-half-on-the-logarithm": log_density,
    "one-sigmoid-more": lambda f: (f(LOGITS, X), NLL),
    "which-random": with_rng,
    "which-random-now": with_rng,
    "kl-at-a-sample": unbiased_kl,
    "importance-weights": lambda f: (f(LOG_W), np.log(np.mean(np.exp(LOG_W)))),
    "where-is-the-variance-of-q": unbiased_kl_in_one_dimension,
    "logsumexp": lambda f: (f(LOG_W), np.log(np.mean(np.exp(LOG_W)))),
    "zeros-for-the-prior": lambda f: (f(MU, LOGVAR), KL_STANDARD),
    "minus-one": lambda f: (f(MU, LOGVAR), KL_STANDARD),
    "minus-dimension": lambda f: (f(MU, LOGVAR), KL_STANDARD),
    "one-pair-of-parentheses": lambda f: (f(*ONE), KL_ONE),
    "just-the-means": lambda f: (
        f(MU, EPS),
        [gaussian_kl(m, np.eye(3), e, np.eye(3)) for m, e in zip(MU, EPS, strict=True)],
    ),
    "an-error-in-nats": gaussian_nll,
    "which-mean-first": lambda f: (f(*FULL), gaussian_kl(*FULL)),
    "the-inner-derivative": derivative,
}


@pytest.mark.parametrize("snippet", SNIPPETS, ids=lambda snippet: snippet.name)
def test_verdict_is_what_the_numbers_say(snippet):
    names = {"np": np}
    exec(snippet.code, names)
    (function,) = (f for name, f in names.items() if callable(f) and name != "np")
    got, expected = HOLD[snippet.name](function)
    assert np.shape(got) == np.shape(expected)
    assert np.allclose(got, expected, rtol=1e-7) == snippet.right


def is_about_a_kl(snippet):
    return "KL" in snippet.claim and not any(word in snippet.claim for word in ("loss", "cost"))


KLS = [snippet for snippet in SNIPPETS if is_about_a_kl(snippet)]


@pytest.mark.parametrize("snippet", KLS, ids=lambda snippet: snippet.name)
def test_checker_says_what_the_quiz_says(snippet):
    names = {"np": np}
    exec(snippet.code, names)
    (function,) = (f for name, f in names.items() if callable(f) and name != "np")
    report = kl.judge(LocalFunction(function), examples=5, source=snippet.code)
    assert report.right == snippet.right, f"\n{report}"


def test_most_questions_go_through_the_checker():
    assert len(KLS) >= 15


def test_questions_are_many_and_mixed():
    assert len(SNIPPETS) == len(HOLD) == len({snippet.name for snippet in SNIPPETS}) >= 24
    assert 0.4 < np.mean([snippet.right for snippet in SNIPPETS]) < 0.6
    for snippet in SNIPPETS:
        assert snippet.thread and snippet.because.isascii() and snippet.claim.isascii()
        assert max(map(len, snippet.code.splitlines())) <= 95


def play(monkeypatch, capsys, said, *arguments):
    """Run `tinyvae quiz` with this on its standard input.    ->  exit status, what it printed"""
    parser = argparse.ArgumentParser()
    quiz.arguments(parser)
    monkeypatch.setattr("sys.stdin", io.StringIO(said))
    status = quiz.run(parser.parse_args(arguments))
    return status, capsys.readouterr()


def test_answers_come_over_a_pipe_and_end_with_it(monkeypatch, capsys):
    status, printed = play(monkeypatch, capsys, "b\nr\n")
    assert status == 0
    assert " of 2 right." in printed.out
    assert "3 of 30" in printed.out and "4 of 30" not in printed.out


def test_all_right_answers_score_all(monkeypatch, capsys):
    for number, snippet in enumerate(SNIPPETS, 1):
        good, bad = ("right", "bug") if snippet.right else ("B", " r ")
        _, printed = play(monkeypatch, capsys, good, "--number", str(number))
        assert "1 of 1 right." in printed.out and "Yes, " in printed.out
        assert snippet.code.splitlines()[0] in printed.out and snippet.thread in printed.out
        _, printed = play(monkeypatch, capsys, bad, "--number", str(number))
        assert "0 of 1 right." in printed.out and "No, " in printed.out
        assert printed.out.isascii()


def test_what_is_no_answer_is_asked_again(monkeypatch, capsys):
    status, printed = play(monkeypatch, capsys, "maybe\n\n\u0431\nq\n")
    assert status == 0
    assert printed.out.count("Please type b, r or q.") == 3
    assert "No question answered." in printed.out


def test_no_input_at_all(monkeypatch, capsys):
    status, printed = play(monkeypatch, capsys, "")
    assert (status, printed.err) == (0, "")


def test_interrupt_ends_with_the_score(monkeypatch, capsys):
    def interrupted(prompt):
        raise KeyboardInterrupt

    monkeypatch.setattr("builtins.input", interrupted)
    status, printed = play(monkeypatch, capsys, "")
    assert status == 130 and "No question answered." in printed.out


def test_seed_decides_the_order(monkeypatch, capsys):
    first = play(monkeypatch, capsys, "q", "--seed", "1")[1].out
    assert first == play(monkeypatch, capsys, "q", "--seed", "1")[1].out
    assert (
        len({play(monkeypatch, capsys, "q", "--seed", str(seed))[1].out for seed in range(9)}) > 1
    )


def test_list_gives_no_answer_away(monkeypatch, capsys):
    status, printed = play(monkeypatch, capsys, "", "--list")
    lines = printed.out.splitlines()
    assert status == 0 and max(map(len, lines)) <= 95
    assert sum(line[:3].strip().isdigit() for line in lines) == len(SNIPPETS)
    for snippet in SNIPPETS:
        assert snippet.claim in " ".join(printed.out.split()) and snippet.name not in printed.out


@pytest.mark.parametrize("number", ["0", "31", "-1", "1000000000000000000000"])
def test_no_such_question(monkeypatch, capsys, number):
    status, printed = play(monkeypatch, capsys, "", "--number", number)
    assert status == 2 and printed.err.count("\n") == 1 and "1 to 30" in printed.err


# ---- four answers, which line, for a class, for Moodle -------------------------------------------


def with_line(snippet, number, line):
    """The snippet's function, with another line in that place"""
    lines = snippet.code.splitlines()
    indent = lines[number - 1][: len(lines[number - 1]) - len(lines[number - 1].lstrip())]
    lines[number - 1] = indent + line
    space = {"np": np}
    exec("\n".join(lines), space)
    return next(f for name, f in space.items() if name not in ("np", "__builtins__"))


def agrees(snippet, f):
    """Does the oracle say the same?"""
    with np.errstate(all="ignore"):
        found, true = HOLD[snippet.name](f)
    found = np.asarray(found)
    return found.shape == np.shape(true) and np.allclose(found, true, rtol=1e-4, atol=1e-8)


BY_NAME = {snippet.name: snippet for snippet in SNIPPETS}


@pytest.mark.parametrize("name", choices.CHOICES)
def test_one_of_four_lines_is_right_and_the_oracle_says_which(name):
    question = choices.question_of(BY_NAME[name], "four")
    number = choices.CHOICES[name][0]
    assert [key for key, _ in question.options] == list("abcd")
    assert len({text for _, text in question.options}) == 4
    right = [
        key
        for key, text in question.options
        if agrees(BY_NAME[name], with_line(BY_NAME[name], number, text))
    ]
    assert right == [question.right]


def test_there_are_enough_of_each_kind():
    kinds = [choices.kinds_of(snippet) for snippet in SNIPPETS]
    assert sum("four" in there for there in kinds) >= 20
    assert sum("line" in there for there in kinds) >= 10
    assert all("bug" in there for there in kinds)
    four = [choices.question_of(BY_NAME[name], "four").right for name in choices.CHOICES]
    assert len(set(four)) == 4 and max(map(four.count, "abcd")) < len(four) / 2


LINES = [snippet for snippet in SNIPPETS if "line" in choices.kinds_of(snippet)]


@pytest.mark.parametrize("snippet", LINES, ids=lambda snippet: snippet.name)
def test_wrong_line_is_the_one_whose_change_mends_it(snippet):
    question = choices.question_of(snippet, "line")
    if snippet.right:
        assert question.right == "0"
    else:
        number = int(question.right)
        assert agrees(snippet, with_line(snippet, number, choices.CHOICES[snippet.name][1]))
    assert question.options[0][0] == "0" and len(question.options) >= 3


def test_kinds_are_asked_and_counted(monkeypatch, capsys):
    for kind in "four", "line":
        for snippet in SNIPPETS:
            if kind in choices.kinds_of(snippet):
                question = choices.question_of(snippet, kind)
                keys = [key for key, _ in question.options]
                wrong = next(key for key in keys if key != question.right)
                words = "--kind", kind, "--number", str(question.number)
                _, printed = play(monkeypatch, capsys, question.right, *words)
                assert "1 of 1 right." in printed.out and "Yes, " in printed.out
                _, printed = play(monkeypatch, capsys, f"7\n{wrong}", *words)
                assert "0 of 1 right." in printed.out and "Please type" in printed.out
                assert max(map(len, printed.out.splitlines())) <= 100


def test_question_says_nothing_of_its_answer():
    for snippet in SNIPPETS:
        for kind in choices.kinds_of(snippet):
            said = quiz.shown(choices.question_of(snippet, kind), "1 of 1")
            assert snippet.name not in said and snippet.because not in said


def test_lesson_chooses(monkeypatch, capsys):
    _, printed = play(monkeypatch, capsys, "", "--list", "--lesson", "5")
    rows = [line for line in printed.out.splitlines() if line[:3].strip().isdigit()]
    assert {row.split()[2].strip(",") for row in rows} == {"5"}
    assert len(rows) == sum(5 in choices.lessons_of(s) for s in SNIPPETS)
    assert set(choices.LESSONS) <= set(BY_NAME) and set(choices.CHOICES) <= set(BY_NAME)


def test_class_sees_the_question_then_the_answer(monkeypatch, capsys):
    status, printed = play(monkeypatch, capsys, "", "--class", "--number", "4")
    assert status == 0 and "Enter shows the answer" in printed.out
    assert "the sum" not in printed.out and "answer is" not in printed.out
    status, printed = play(monkeypatch, capsys, "\n", "--class", "--number", "4")
    assert status == 0 and "The answer is c: the code above has a bug." in printed.out
    status, printed = play(monkeypatch, capsys, "\n\nq\n", "--class")
    assert "2 of 30" in printed.out and "3 of 30" not in printed.out
    assert "right." not in printed.out.splitlines()[-1]  # nothing is counted


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--lesson", "99"], "lessons with questions: 2, 3, 4, 5, 6, 7, 9, 11"),
        (["--kind", "four", "--number", "17"], "no question among these is of the kind four"),
        (["--gift", "no-such-folder/q.gift"], "cannot be written"),
    ],
)
def test_what_cannot_be_asked_gets_a_sentence(monkeypatch, capsys, words, says):
    status, printed = play(monkeypatch, capsys, "", *words)
    assert (status, printed.out) == (2, "")
    assert says in printed.err and printed.err.count("\n") == 1


def read_gift(text):
    """[(title, text, [(right, answer)], feedback)] by the format's rules, written here again."""
    text = "\n".join(line for line in text.splitlines() if not line.startswith("//"))
    found = []
    for block in filter(None, (block.strip() for block in text.split("\n\n"))):
        tokens, i = [], 0  # (character, is it special?)
        while i < len(block):
            if block[i] == "\\":
                assert block[i + 1] in "~=#{}:\\n", block[i : i + 2]
                tokens.append(("\n" if block[i + 1] == "n" else block[i + 1], False))
                i += 2
            else:
                tokens.append((block[i], block[i] in "~=#{}:"))
                i += 1
        marks = "".join(c if special else "." for c, special in tokens)
        plain = "".join(c for c, _ in tokens)
        shape = re.fullmatch(r"::(\.+)::(\.+)\{(\.*[~=][^{}:]*?)####(\.+)\}", marks)
        assert shape, marks
        title, said, _, feedback = (plain[slice(*shape.span(n))] for n in (1, 2, 3, 4))
        start, end = shape.span(3)
        at = [n for n in range(start, end) if marks[n] in "~="] + [end]
        answers = [(marks[a] == "=", plain[a + 1 : b].strip()) for a, b in itertools.pairwise(at)]
        found.append((title, said, answers, feedback.strip()))
    return found


@pytest.mark.parametrize("kind", [None, *choices.KINDS])
def test_gift_is_read_back_by_its_rules(kind, tmp_path, capsys):
    path = tmp_path / "quiz.gift"
    assert cli.main(["quiz", "--gift", str(path), *(["--kind", kind] if kind else [])]) == 0
    asked = [
        choices.question_of(s, kind or choices.kinds_of(s)[0])
        for s in SNIPPETS
        if kind is None or kind in choices.kinds_of(s)
    ]
    read = read_gift(path.read_text(encoding="utf-8"))
    assert len(read) == len(asked)
    for (title, said, answers, feedback), question in zip(read, asked, strict=True):
        snippet = question.snippet
        said = html.unescape(said)
        code = snippet.code if question.kind == "bug" else gift.numbered(snippet.code)
        assert said.startswith("[html]<p>") and f"<pre>{code}</pre>" in said
        assert snippet.claim in said and html.unescape(feedback) == snippet.because
        assert title == f"tinyvae {question.number}"
        texts = [re.sub(r"</?code>", "", html.unescape(text)) for _, text in answers]
        assert len(texts) == len(set(texts)) == len(question.options)
        assert [right for right, _ in answers].count(True) == 1
        (right,) = [text for (is_right, _), text in zip(answers, texts, strict=True) if is_right]
        assert right.endswith(question.solution)
    capsys.readouterr()
    assert cli.main(["quiz", "--gift", str(path)]) == 2
    assert "is there already" in capsys.readouterr().err


@pytest.mark.parametrize("character", "~=#{}:\\")
def test_gift_escapes_what_the_format_needs(character):
    assert gift.escaped(f"a{character}b") == f"a\\{character}b"


def test_on_a_terminal():
    """Driven through a pseudo-terminal: a wrong key, an answer, quit."""
    pty = pytest.importorskip("pty")
    code = (
        "import argparse; from tinyvae.classroom.museum import quiz;"
        "parser = argparse.ArgumentParser();"
        "quiz.arguments(parser); raise SystemExit(quiz.run(parser.parse_args([])))"
    )
    shell, terminal = pty.openpty()
    root = Path(quiz.__file__).parents[3]
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=terminal, stdout=terminal, stderr=terminal, cwd=root
    ) as process:
        os.close(terminal)
        os.write(shell, b"?\nb\nq\n")
        assert process.wait(timeout=60) == 0
    said = os.read(shell, 65536).decode()
    os.close(shell)
    assert "Please type b, r or q." in said and "of 1 right." in said and "Traceback" not in said
