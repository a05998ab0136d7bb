"""Write docs/bugs.md, the museum of mistakes as one page.

python -m tools.museum_pages
"""

import re
import sys
import textwrap
from pathlib import Path

from tinyvae.classroom.museum import catalogue, kl
from tinyvae.classroom.museum.entry import Bug, checked, measurements
from tinyvae.classroom.museum.symptoms import SYMPTOMS

PREFACE = """\
# The bug museum

Classic mistakes in variational autoencoders, each with the formula, why it tempts, where it was
made in public, what it does to a trained model, and which check sees it.  Some of the threads
are about the same slip in a neighbouring formula: a likelihood, a filter, a dropout mask.

`tinyvae bugs` lists them, `tinyvae bugs NAME` explains one, `tinyvae quiz` asks about them.
This page is made by `python -m tools.museum_pages`; the effects, all in nats, are measured by
`python -m tools.effects`, which trains a small VAE on digits with each mistake planted,
takes it out again, and judges the model by right code: means over the test digits and over {seeds}
seeds, {epochs} epochs each.  Without a mistake log p(x) is {log_px:.1f} and the ELBO {elbo:.1f};
from seed to seed they differ by {spread:.2f} (standard deviation).
"""

CHECKS = """\
`x`: the check fails when the mistake is planted into the package; `.`: the mistake passes.  The
gradient check compares the backward pass with the forward: it sees the mistakes in the backward
pass, and no other.  The wrong KLs have [a table of their own](#what-sees-which-wrong-kl).

The checks are the tests of `tests/core/test_identities.py`.  `python -m tools.checks` plants the
mistakes and runs them, before this page is made; `tests/core/test_planted_bugs.py` does so
again and compares.
"""
GRADIENT = "test_gradient_of_every_parameter_is_the_difference_quotient"

KL_CHECKS = {
    "cubature": "test_kl_is_what_cubature_finds",
    "400 dimensions": "test_kl_of_many_dimensions_is_the_sum_over_them",
    "batch": "test_kl_of_a_batch_is_that_of_its_pairs",
    "gradient check": GRADIENT,
}
MATRIX = """\
### What sees which wrong KL

`x`: the law of the checker, or a test of exact values with nothing but such Gaussians, sees the
mistake; `.`: the mistake passes.  `python -m tools.checks` computes these columns; the last
four are tests of the package, as above.  [kill-matrix.md](kill-matrix.md) has all laws.
"""

PICTURE = """\
## What they look like

![Test digits redrawn, and samples, by VAEs that were trained with a mistake](figures/mistakes.png)

The mistakes that cost a nat of log p(x) or more, and the one in `generate`.  The mistake is taken
out after training, so what is wrong here is the model.  `python -m tools.pictures` draws it.
"""

NOTATION = """\
q = N(mq, Sq), p = N(mp, Sp), k dimensions, d = mq - mp, |S| a determinant, L the Cholesky factor of
S.  The right formula is

    KL(q || p) = {right}
"""


def preface() -> str:
    found = measurements()
    return PREFACE.format(
        seeds=len(found["settings"]["seeds"]),
        epochs=found["settings"]["epochs"],
        log_px=found["right"]["log p(x)"],
        elbo=found["right"]["ELBO"],
        spread=found["spread over seeds"]["log p(x)"],
    )


def page() -> str:
    """docs/bugs.md: the famous mistake, then all the others, area by area."""
    famous = catalogue.MUSEUM[catalogue.FAMOUS]
    parts = [
        preface(),
        symptoms(),
        by_lesson(),
        PICTURE,
        "## The famous one\n",
        entry(famous),
        "## What sees which\n",
        CHECKS,
    ]
    parts += checks_matrix()
    for area, title in catalogue.AREAS.items():
        parts.append(f"## {title}\n")
        if area == "kl":
            parts += [NOTATION.format(right=kl.RIGHT), MATRIX, matrix()]
        parts += [entry(bug) for bug in catalogue.in_area(area) if bug is not famous]
    return "\n".join(parts)


def symptoms() -> str:
    """What one sees, and the mistakes that look like that, linked."""
    said = [[s.says, ", ".join(link(catalogue.MUSEUM[n]) for n in s.causes())] for s in SYMPTOMS]
    return "\n".join(
        [
            "## By symptom\n",
            '`tinyvae bugs --symptom "kl negative"` finds these in the terminal.\n',
            table([["what one sees", "mistakes that look like that"], ["---", "---"], *said]),
        ]
    )


def by_lesson() -> str:
    """The mistakes that one can meet in each lesson, linked."""
    met = []
    for number in catalogue.lessons():
        found = catalogue.of_lesson(number)
        whole = [a for a in catalogue.AREAS if all(bug in found for bug in catalogue.in_area(a))]
        links = [f"all of [{catalogue.AREAS[a]}](#{anchor(catalogue.AREAS[a])})" for a in whole]
        links += [link(bug) for bug in found if bug.area not in whole]
        met.append([str(number), ", ".join(links)])
    return "\n".join(
        ["## By lesson\n", table([["lesson", "mistakes"], [":-:", "---"], *met])],
    )


def link(bug: Bug) -> str:
    """A Markdown link to an entry of this page."""
    return f"[{bug.name}](#{anchor(heading(bug))})"


def anchor(title: str) -> str:
    """The name that GitHub gives to a heading."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def heading(bug: Bug) -> str:
    return f"{bug.name}: {bug.title} ({bug.code})"


def entry(bug: Bug) -> str:
    """One mistake in Markdown."""
    formulas = [f"    wrong:  {bug.wrong}"]
    if bug.area != "kl":
        formulas.append(f"    right:  {bug.right}")
    threads = ", ".join(linked(thread) for thread in bug.thread.split(", "))
    facts = {
        "Why it tempts:": bug.tempts,
        "Made in:": f"{threads}.",
        "Effect:": bug.effect,
        "Seen by:": bug.seen_by,
    }
    text = [
        textwrap.fill(f"**{label}** {fact}", 100, **catalogue.UNBROKEN)
        for label, fact in facts.items()
    ]
    return "\n\n".join([f"### {heading(bug)}", "\n".join(formulas), *text, ""])


def checks_matrix() -> list[str]:
    """The checks by number, and the mistakes against them, but for those in the KL."""
    seen_by = {
        name: seen
        for name, seen in checked()["seen by"].items()
        if catalogue.MUSEUM[name].area != "kl"
    }
    sees = {c: sum(c in seen for seen in seen_by.values()) for c in checked()["checks"]}
    checks = [GRADIENT, *(c for c in sees if c != GRADIENT and sees[c])]
    legend = [["", "check", "sees"], [":-:", "---", ":-:"]]
    for number, check in enumerate(checks, 1):
        sentence = check.removeprefix("test_").replace("_", " ")
        legend.append([str(number), sentence, str(sees[check])])
    rows = [["mistake", "1 gradient", *map(str, range(2, len(checks) + 1))]]
    rows.append(["---"] + [":-:"] * len(checks))
    for name, seen in seen_by.items():
        rows.append([named(catalogue.MUSEUM[name]), *marks(c in seen for c in checks)])
    return [table(legend), table(rows)]


def matrix() -> str:
    """Mistakes in the KL against laws, as a Markdown table."""
    heads = [*kl.LAWS, *kl.ONLY, *KL_CHECKS]
    rows = [["mistake", *heads], ["---"] + [":-:"] * len(heads)]
    for name, found in checked()["kl"].items():
        checks = checked()["seen by"][name]
        seen = [law in found["laws"] for law in kl.LAWS]
        seen += [case not in found["right"] for case in kl.ONLY]
        seen += [check in checks for check in KL_CHECKS.values()]
        rows.append([named(catalogue.MUSEUM[name]), *marks(seen)])
    return table(rows)


def named(bug: Bug) -> str:
    return f"{bug.code} {bug.name}"


def marks(seen) -> list[str]:
    return ["x" if sees else "." for sees in seen]


def table(rows: list[list[str]]) -> str:
    """Rows of cells as a Markdown table"""
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def linked(thread: str) -> str:
    """owner/repo#7  ->  a Markdown link"""
    repository, number = re.fullmatch(r"(.+)#(\d+)", thread).groups()
    return f"[{thread}](https://github.com/{repository}/issues/{number})"


if __name__ == "__main__":
    if not Path("docs").is_dir():
        sys.exit("there is no folder docs/ here: run this at the top of a checkout")
    Path("docs/bugs.md").write_text(page(), encoding="utf-8")
