"""Which law sees which mistake: the museum's wrong KLs against the laws of the checker, computed.

    python -m tools.kill_matrix        writes docs/kill-matrix.md

A law sees a mistake if more than one in 25 of 100 cases breaks it.  The table is kept in the
museum's checks.json, where `tinyvae bugs`, docs/bugs.md and the page read it.
"""

import functools
import json
import sys
import textwrap
import warnings
from pathlib import Path

import numpy as np

from tinyvae.classroom.checker import kl_laws as laws
from tinyvae.classroom.checker.function import Function, Outcome
from tinyvae.classroom.checker.kl import cases
from tinyvae.classroom.museum import catalogue as bugs
from tinyvae.classroom.museum import kl as bugs_kl
from tinyvae.classroom.museum.entry import CHECKED, checked

EXAMPLES = 100
OFTEN = 1 / 25  # what is seen more rarely depends on the draw


def given(f, signature):
    """The full-covariance KL f as a function of that signature"""

    def diagonal(mu_q, logvar_q, mu_p, logvar_p):
        matrices = bugs_kl.diagonal_matrix(logvar_q), bugs_kl.diagonal_matrix(logvar_p)
        return f(mu_q, matrices[0], mu_p, matrices[1])

    def standard_normal(mu, logvar):
        return diagonal(mu, logvar, 0 * mu, 0 * logvar)

    return {"full": f, "diagonal": diagonal, "standard-normal": standard_normal}[signature]


class Trusted(Function):
    """A function of ours: what it takes and gives are arrays, and it changes no argument"""

    def __init__(self, f):
        self.f = f

    def call(self, arguments, **_):
        return Outcome(np.asarray(self.f(*arguments)))


def subject(f, signature="full"):
    """f under the usual reading of that signature, batches first"""
    return laws.Subject(Trusted(given(f, signature)), laws.plain_reading(signature))


def seen(f, signature="full", examples=30):
    """The names of the laws that f breaks in one case or more"""
    return list(_breaches(f, signature, examples, at_least=0.0))


@functools.cache
def table():
    """The names of the laws that see a mistake, by the mistake's code"""
    return {
        bug.code: list(_breaches(bug.f, "full", EXAMPLES, at_least=OFTEN))
        for bug in bugs.in_area("kl")
    }


@functools.cache
def entries():
    """For each mistake the laws that see it, and the Gaussians among which it is right

    Right means: on 300 pairs, a fifth of them near each other, as exact values have it.
    """
    found = {}
    for bug in bugs.in_area("kl"):
        right = [words for words, form in FORMS.items() if right_among(bug.f, form)]
        found[bug.name] = {"laws": table()[bug.code], "right": right}
    return found


FORMS = {
    "diagonal": laws.Form("diagonal", "var"),
    "one dimension": laws.Form("full", "cov", largest=1),
    "standard normal": laws.Form("standard-normal", "cov"),
}


def right_among(f, form, count=300):
    """Whether f agrees with the cubature on all pairs of this form"""
    from tinyvae.classroom.checker.diagnosis import random_pairs

    for pair in random_pairs(form, np.random.default_rng(9), count):
        true = laws.truth(pair)
        if not abs(float(f(*pair)) - true) <= 1e-6 * (1 + abs(true)):
            return False
    return True


def _breaches(f, signature, examples, at_least):
    """The laws that more than this part of the cases break"""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        kl = subject(f, signature)
        for law in laws.LAWS:
            if signature not in law.signatures or law.name == "gradient":
                continue
            drawn, broken = cases(law.draw, kl.form, 0, examples), 0
            for case in drawn:
                try:
                    laws.check_case(law, kl, case)
                except laws.Broken:
                    broken += 1
                    if broken > at_least * len(drawn):
                        yield law.name
                        break


def in_a_cell(text):
    """A bar inside a Markdown table would end the cell."""
    return text.replace("|", r"\|")


def page():
    """docs/kill-matrix.md"""
    mistakes = bugs.in_area("kl")
    found = checked()["kl"]
    kills = {bug.code: found[bug.name]["laws"] for bug in mistakes}
    names = [law.name for law in laws.LAWS if law.name != "gradient"]
    formulas = {law.name: law.formula for law in laws.LAWS}
    lines = [
        "# Which law sees which mistake",
        "",
        f"The laws of `tinyvae check kl` against the {len(mistakes)} wrong KLs of the museum, with",
        f"full covariance matrices: x if more than one in 25 of {EXAMPLES} cases breaks the law.",
        "Computed by",
        "",
        "    python -m tools.kill_matrix",
        "",
        "| law | |",
        "|---:|---|",
        *(f"| {i} | {name}: `{in_a_cell(formulas[name])}` |" for i, name in enumerate(names, 1)),
        "",
        "| mistake | " + " | ".join(str(i) for i in range(1, len(names) + 1)) + " |",
        "|---|" + ":-:|" * len(names),
    ]
    for bug in mistakes:
        cells = ["x" if name in kills[bug.code] else " " for name in names]
        lines.append(f"| {bug.code} {in_a_cell(bug.title)} | " + " | ".join(cells) + " |")
    totals = [sum(name in broken for broken in kills.values()) for name in names]
    lines.append(f"| **seen, of {len(mistakes)}** | " + " | ".join(map(str, totals)) + " |")
    for said in (_gaps(kills), *_other_signatures(mistakes)):
        lines += ["", textwrap.fill(said, 100)]
    lines += ["", "The law on gradients needs PyTorch or JAX; these mistakes are in NumPy."]
    return "\n".join(lines) + "\n"


def _gaps(table):
    """What a test suite of the usual algebra does not see"""
    algebra = {"zero at equality", "never negative", "additive over blocks", "affine map"}
    missed = [code for code, broken in table.items() if not algebra & set(broken)]
    return (
        "Zero at equality, never negative, additive and invariant under affine maps: a function "
        f"can be all four and wrong.  {len(missed)} of {len(table)} are: {', '.join(missed)}."
    )


def _other_signatures(mistakes):
    found = checked()["kl"]
    for signature, form in (("diagonal", "diagonal"), ("standard-normal", "standard normal")):
        right = [bug.code for bug in mistakes if form in found[bug.name]["right"]]
        yield (
            f"In the signature `{signature}`, {len(mistakes) - len(right)} of {len(mistakes)} give "
            f"wrong numbers for a pair; {', '.join(right)} are no mistakes there."
        )


def main():
    """Compute the table, keep it in checks.json, write docs/kill-matrix.md"""
    found = json.loads(CHECKED.read_text(encoding="utf-8"))
    found["kl"] = entries()
    CHECKED.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    checked.cache_clear()
    Path("docs/kill-matrix.md").write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    if not Path("docs").is_dir():
        sys.exit("there is no folder docs/ here: run this at the top of a checkout")
    main()
