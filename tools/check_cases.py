"""All cases of tests/classroom/cases through `tinyvae check`: is each verdict what it should be?

    python -m tools.check_cases                the table, and the rates
    python -m tools.check_cases --only right   files whose name or truth has that word in it

cases.csv says of each file: kind, what it needs (torch, jax, keras), the true verdict, and a word
that the report must have in it.  Exit status 0 if no verdict is wrong.
"""

import argparse
import csv
import importlib.util
import sys
from pathlib import Path

from tinyvae.classroom.checker import kl
from tinyvae.classroom.checker.function import CannotRun

CASES = Path("tests/classroom/cases")


def rows(folder=CASES):
    """The lines of cases.csv, as dicts"""
    with open(folder / "cases.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def runnable(row):
    """Whether what the case needs is installed"""
    return all(importlib.util.find_spec(name) for name in row["needs"].split())


def judged(path, kind="kl"):
    """(verdict, report as text) of a file: "right", "wrong" or "cannot" """
    try:
        report = kl.run_file(path)
    except CannotRun as reason:
        return "cannot", str(reason)
    return ("right" if report.right else "wrong"), str(report)


def is_named(row, text):
    """Whether the report has the word that it must have"""
    text = " ".join(text.split())
    return all(word in text for word in row["said"].split(" & ")) if row["said"] else True


def main(argv=None):
    """Print the table; exit status 1 if a verdict is not what it should be"""
    parser = argparse.ArgumentParser("python -m tools.check_cases", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=CASES)
    parser.add_argument("--only", default="", help="files whose name or truth has this in it")
    args = parser.parse_args(argv)
    counts = {"cases": 0, "verdict": 0, "wrong": 0, "named": 0}
    for row in rows(args.folder):
        if args.only not in row["file"] + " " + row["truth"] or not runnable(row):
            continue
        verdict, text = judged(args.folder / row["file"], row["kind"])
        good = verdict == row["truth"]
        named = is_named(row, text)
        counts["cases"] += 1
        counts["verdict"] += good
        if row["truth"] == "wrong":
            counts["wrong"] += 1
            counts["named"] += named
        line = next((t for t in text.splitlines() if t.startswith(("Right", "Wrong"))), text)
        mark = "ok " if good and named else "?? "
        print(f"{mark} {row['truth']:6} {verdict:7} {row['file']:38} {line[:90]}", flush=True)
    print(f"\n{counts['verdict']} of {counts['cases']} verdicts are right;", end=" ")
    print(f"{counts['named']} of {counts['wrong']} wrong ones are named as what they are.")
    return 0 if counts["verdict"] == counts["cases"] else 1


if __name__ == "__main__":
    sys.exit(main())
