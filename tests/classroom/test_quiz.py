"""Every snippet is run: the right ones agree with an oracle, the wrong ones do not."""

import argparse
import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.special
import scipy.stats

from tests.strategies import covariance
from tinyvae.classroom.checker import kl
from tinyvae.classroom.checker.function import LocalFunction
from tinyvae.classroom.museum import quiz
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
        assert " ".join(f"{snippet.name} {snippet.claim}".split()) in " ".join(printed.out.split())


@pytest.mark.parametrize("number", ["0", "31", "-1", "1000000000000000000000"])
def test_no_such_question(monkeypatch, capsys, number):
    status, printed = play(monkeypatch, capsys, "", "--number", number)
    assert status == 2 and printed.err.count("\n") == 1 and "1 to 30" in printed.err


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
