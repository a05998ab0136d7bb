"""More to ask about the quiz's snippets: what belongs into a line, and which line is wrong.

CHOICES has, by a snippet's name, the number of a line and three others for it.  One of the four,
with the line that stands there, is right: the first of the three where the snippet is wrong, and
the line that stands there where it is right.  tests/classroom/test_quiz.py runs all of them.
"""

import random
from dataclasses import dataclass

from tinyvae.classroom.museum.questions import SNIPPETS, Snippet

KINDS = "four", "line", "bug"  # the one that asks for most first
LETTERS = "abcd"

LESSONS = {  # in which one can meet it
    "the-minus-in-front": (3,),
    "the-second-head": (5,),
    "pixels-and-latents": (7,),
    "cost-minus-term": (3,),
    "target-first": (6,),
    "no-half-on-the-logarithm": (2,),
    "one-sigmoid-more": (6,),
    "which-random": (5,),
    "which-random-now": (5,),
    "kl-at-a-sample": (3,),
    "importance-weights": (2, 9),
    "where-is-the-variance-of-q": (3,),
    "logsumexp": (2, 9),
    "an-error-in-nats": (11,),
    "the-inner-derivative": (5, 6),
}
KL_LESSON = (4,)  # of all others

CHOICES = {
    "the-minus-in-front": (
        3,
        "return np.mean(recon - kl)",
        "return np.mean(-recon - kl)",
        "return np.sum(recon + kl)",
    ),
    "the-second-head": (
        2,
        "return mu + np.exp(logvar / 2) * eps",
        "return mu + np.exp(2 * logvar) * eps",
        "return mu + np.exp(logvar / 2) + eps",
    ),
    "factors-of-two": (
        2,
        "return -0.5 * np.sum(1 + log_sigma - mu**2 - np.exp(log_sigma), axis=1)",
        "return -0.5 * np.sum(1 + 2 * log_sigma - mu**2 - np.exp(log_sigma), axis=1)",
        "return 0.5 * np.sum(1 + 2 * log_sigma - mu**2 - np.exp(2 * log_sigma), axis=1)",
    ),
    "mean-or-sum": (
        2,
        "return -0.5 * np.sum(1 + logvar - mu**2 - np.exp(logvar), axis=-1)",
        "return -0.5 * np.sum(1 + logvar - mu**2 - np.exp(logvar))",
        "return 0.5 * np.sum(1 + logvar - mu**2 - np.exp(logvar), axis=-1)",
    ),
    "one-half-or-two": (
        3,
        "return 0.5 * (np.log(sigma_p) - np.log(sigma_q) + squares / (2 * sigma_p**2) - 0.5)",
        "return np.log(sigma_p) - np.log(sigma_q) + squares / sigma_p**2 - 0.5",
        "return np.log(sigma_q) - np.log(sigma_p) + squares / (2 * sigma_p**2) - 0.5",
    ),
    "pixels-and-latents": (
        2,
        "recon = np.sum(np.logaddexp(0, logits) - x * logits, axis=1)",
        "recon = np.mean(np.logaddexp(0, logits) - x * logits)",
        "recon = np.sum(x * logits - np.logaddexp(0, logits), axis=1)",
    ),
    "log-sigma-squared": (
        2,
        "return 0.5 * np.sum(np.exp(2 * log_sigma) + mu**2 - 1 - 2 * log_sigma, axis=1)",
        "return 0.5 * np.sum(np.exp(2 * log_sigma) + mu**2 - 1 + 2 * log_sigma, axis=1)",
        "return 0.5 * np.sum(np.exp(2 * log_sigma) + mu**2 - 1 - log_sigma, axis=1)",
    ),
    "cost-minus-term": (
        4,
        "return cost + term",
        "return term - cost",
        "return np.sum(cost - term)",
    ),
    "where-the-bracket-ends": (
        4,
        "return 0.5 * (np.log(ratio) + np.trace(precision @ cov_q) + d @ precision @ d - len(d))",
        "return 0.5 * np.log(ratio) + np.trace(precision @ cov_q) + d @ precision @ d - len(d)",
        "return 0.5 * (np.trace(precision @ cov_q) + d @ precision @ d - len(d) - np.log(ratio))",
    ),
    "squares-in-the-trace": (
        3,
        "return np.sum(0.5 * mu**2 + 0.5 * sd - log_sd - 0.5, axis=1)",
        "return np.sum(0.5 * mu**2 + 0.5 * sd * sd - 0.5 * log_sd - 0.5, axis=1)",
        "return np.sum(0.5 * mu**2 + 0.5 * sd * sd - log_sd - 1, axis=1)",
    ),
    "target-first": (
        2,
        "a, b = np.clip(x_hat, 1e-6, 1 - 1e-6), x",
        "a, b = np.clip(x, 1e-6, 1 - 1e-6), 1 - x_hat",
        "a, b = np.clip(x_hat, 1e-6, 1 - 1e-6), 1 - x",
    ),
    "one-sigmoid-more": (
        3,
        "return np.sum(np.logaddexp(0, logits) - x * logits, axis=1)",
        "return np.sum(np.logaddexp(0, x_hat) - x * logits, axis=1)",
        "return np.sum(np.logaddexp(0, logits) - x * x_hat, axis=1)",
    ),
    "which-random-now": (
        3,
        "eps = rng.standard_normal(std.shape)",
        "eps = 2 * rng.random(std.shape) - 1",
        "eps = rng.normal(0, std)",
    ),
    "importance-weights": (
        2,
        "return np.log(np.mean(np.exp(log_w)))",
        "return np.log(np.sum(np.exp(log_w)))",
        "return np.max(log_w)",
    ),
    "logsumexp": (
        3,
        "return top + np.log(np.mean(np.exp(log_w - top)))",
        "return np.log(np.mean(np.exp(log_w - top)))",
        "return top + np.mean(log_w - top)",
    ),
    "minus-one": (
        2,
        "return 0.5 * np.sum(mu**2 + np.exp(logvar) - logvar - 1, axis=1)",
        "return 0.5 * (np.sum(mu**2 + np.exp(logvar) - logvar, axis=1) + 1)",
        "return 0.5 * np.sum(mu**2 + np.exp(logvar) - logvar, axis=1) - 1",
    ),
    "one-pair-of-parentheses": (
        3,
        "return 0.5 * (np.exp(d) + (mu_q - mu_p) ** 2 / np.exp(logvar_p) - 1.0 - d)",
        "return 0.5 * (np.exp(d) + (mu_q - mu_p) ** 2 - 1.0 - d)",
        "return 0.5 * (np.exp(-d) + (mu_q - mu_p) ** 2 / np.exp(logvar_p) - 1.0 + d)",
    ),
    "just-the-means": (
        2,
        "return np.sum((mu_q - mu_p) ** 2, axis=1)",
        "return 0.5 * np.sum(np.abs(mu_q - mu_p), axis=1)",
        "return 0.5 * np.sum(mu_q**2 - mu_p**2, axis=1)",
    ),
    "an-error-in-nats": (
        4,
        "return error + D * log_sigma + 0.5 * D * np.log(2 * np.pi)",
        "return error + log_sigma + 0.5 * D * np.log(2 * np.pi)",
        "return error + 0.5 * D * log_sigma + 0.5 * D * np.log(2 * np.pi)",
    ),
    "which-mean-first": (
        4,
        "return 0.5 * (np.trace(precision @ cov_q) + d @ precision @ d - len(d) - log_ratio)",
        "return 0.5 * (log_ratio + np.trace(precision @ cov_q) - d @ precision @ d - len(d))",
        "return 0.5 * (log_ratio + np.trace(precision @ cov_q) + d @ precision @ d - 1)",
    ),
    "the-inner-derivative": (
        2,
        "return dz * eps * np.exp(0.5 * logvar) / 2",
        "return dz * np.exp(0.5 * logvar) / 2",
        "return dz * eps * np.exp(logvar) / 2",
    ),
}
NOT_BY_LINE = "one-sigmoid-more", "target-first"  # two lines could be mended


@dataclass(frozen=True)
class Question:
    """A snippet, and one way to ask about it.

    asks     the question
    options  (what one types, what it means), in the order in which they are shown
    right    what one types if one is right
    """

    snippet: Snippet
    kind: str
    asks: str
    options: tuple[tuple[str, str], ...]
    right: str

    @property
    def number(self):
        """Of the snippet in the quiz's list, from 1"""
        return SNIPPETS.index(self.snippet) + 1

    @property
    def solution(self):
        """The right option's text"""
        return dict(self.options)[self.right]


def lessons_of(snippet):
    return LESSONS.get(snippet.name, KL_LESSON)


def kinds_of(snippet):
    """The ways to ask about a snippet, the one that asks for most first"""
    there = {"bug"}
    if snippet.name in CHOICES:
        there.add("four")
        if len(body(snippet)) > 1 and snippet.name not in NOT_BY_LINE:
            there.add("line")
    return [kind for kind in KINDS if kind in there]


def body(snippet):
    """(number, line) of the lines after `def`"""
    return [(n, line.strip()) for n, line in enumerate(snippet.code.splitlines(), 1) if n > 1]


def question_of(snippet, kind):
    """The Question of a kind about a snippet.    Raises KeyError if it has none."""
    if kind == "bug":
        options = ("b", "it is a bug"), ("r", "it is right")
        return Question(snippet, kind, "Is it a bug?", options, "r" if snippet.right else "b")
    line, *others = CHOICES[snippet.name]
    present = dict(body(snippet))[line]
    if kind == "line":
        options = ("0", "none: it is right"), *((str(n), text) for n, text in body(snippet))
        right = "0" if snippet.right else str(line)
        return Question(snippet, kind, "Which line is wrong? 0 if none is.", options, right)
    right = present if snippet.right else others[0]
    texts = [present, *others]
    random.Random(snippet.name).shuffle(texts)
    options = tuple(zip(LETTERS, texts, strict=True))
    asks = f"Which of these is right in line {line}?"
    return Question(snippet, kind, asks, options, LETTERS[texts.index(right)])
