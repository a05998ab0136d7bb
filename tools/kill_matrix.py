"""Which law sees which mistake: the thirty wrong KLs of the museum against the laws, computed.

    $ python -m tools.kill_matrix        writes docs/kill-matrix.md

A law sees a mistake if more than one in 25 of 200 cases breaks it.
"""

import sys
import textwrap
import warnings
from pathlib import Path

import numpy as np

from tinyvae.classroom.checker import kl_laws as laws
from tinyvae.classroom.checker.adapter import TO_VARIANCE, form, probe
from tinyvae.classroom.checker.kl import cases
from tinyvae.classroom.museum import catalogue as bugs

EXAMPLES = 200
OFTEN = 1 / 25  # what is seen more rarely depends on the draw


def given(f, signature):
    """The full-covariance KL f as a function of that signature"""

    def matrix(logvar):
        variance = TO_VARIANCE["logvar"](logvar)
        return variance[..., None] * np.eye(variance.shape[-1])

    def diagonal(mu_q, logvar_q, mu_p, logvar_p):
        return f(mu_q, matrix(logvar_q), mu_p, matrix(logvar_p))

    def standard_normal(mu, logvar):
        return diagonal(mu, logvar, 0 * mu, 0 * logvar)

    return {"full": f, "diagonal": diagonal, "standard-normal": standard_normal}[signature]


def seen(f, signature="full", examples=30):
    """The names of the laws that f breaks in one case or more"""
    return [law.name for law in _breaches(f, signature, examples, at_least=0.0)]


def table():
    """The names of the laws that see a mistake, by the mistake's code"""
    return {
        bug.code: [law.name for law in _breaches(bug.f, "full", EXAMPLES, at_least=OFTEN)]
        for bug in bugs.in_area("kl")
    }


def _breaches(f, signature, examples, at_least):
    """The laws that more than this part of the cases break"""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        subject = probe(given(f, signature), form(signature))
        for law in laws.LAWS:
            if signature not in law.signatures or (law.batch and not subject.per_example):
                continue
            drawn, broken = cases(law.draw, subject.form, 0, examples), 0
            for case in drawn:
                try:
                    laws.unhurt(law, subject, case)
                except laws.Broken:
                    broken += 1
                    if broken > at_least * len(drawn):
                        yield law
                        break


def in_a_cell(text):
    """A bar inside a Markdown table would end the cell."""
    return text.replace("|", r"\|")


def page():
    """docs/kill-matrix.md"""
    mistakes = bugs.in_area("kl")
    kills = table()
    names = [law.name for law in laws.LAWS]
    lines = [
        "# Which law sees which mistake",
        "",
        "The laws of `tinyvae check kl` against the thirty wrong KLs of the museum, with full",
        f"covariance matrices: x if more than one in 25 of {EXAMPLES} cases breaks the law.",
        "Computed by",
        "",
        "    python -m tools.kill_matrix",
        "",
        "| law | |",
        "|---:|---|",
        *(
            f"| {i} | {law.name}: `{in_a_cell(law.formula)}` |"
            for i, law in enumerate(laws.LAWS, 1)
        ),
        "",
        "| mistake | " + " | ".join(str(i) for i in range(1, len(names) + 1)) + " |",
        "|---|" + ":-:|" * len(names),
    ]
    for bug in mistakes:
        cells = ["x" if name in kills[bug.code] else " " for name in names]
        lines.append(f"| {bug.code} {bug.title} | " + " | ".join(cells) + " |")
    totals = [sum(name in broken for broken in kills.values()) for name in names]
    lines.append("| **seen, of 30** | " + " | ".join(map(str, totals)) + " |")
    manners = [i for i, law in enumerate(laws.LAWS, 1) if not law.values]
    for said in (
        f"Laws {', '.join(map(str, manners))} are about manners: the museum's mistakes have good "
        "ones.",
        _gaps(kills),
        *_other_signatures(mistakes),
    ):
        lines += ["", textwrap.fill(said, 100)]
    return "\n".join(lines) + "\n"


def _gaps(table):
    """What a test suite of the usual algebra does not see"""
    algebra = {"zero at equality", "never negative", "additive over blocks", "affine map"}
    missed = [code for code, broken in table.items() if not algebra & set(broken)]
    return (
        "Zero at equality, never negative, additive and invariant under affine maps: a function "
        f"can be all four and wrong.  {len(missed)} of 30 are: {', '.join(missed)}."
    )


def _other_signatures(mistakes):
    for signature in ("diagonal", "standard-normal"):
        right = [bug.code for bug in mistakes if not seen(bug.f, signature)]
        yield (
            f"In the signature `{signature}`, {len(mistakes) - len(right)} of 30 break a law; "
            f"{', '.join(right)} are no mistakes there: they give the right numbers."
        )


if __name__ == "__main__":
    if not Path("docs").is_dir():
        sys.exit("there is no folder docs/ here: run this at the top of a checkout")
    Path("docs/kill-matrix.md").write_text(page(), encoding="utf-8")
