"""Run lessons with other seeds, and list the rows that do not hold.

    python -m tools.seeds             all lessons, 30 seeds each: hours on one core
    python -m tools.seeds 3 5         these lessons
    python -m tools.seeds 3 -n 10     seeds 0 to 9

Prints a line for each row that failed somewhere, with its seeds, and a count for each lesson.  Exit
status 1 if there was one.
"""

import argparse
import re
import sys
import tempfile
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tools.expected import AT_ONCE, LESSONS, run


def failures(printed):
    """The rows that fail, as "claim: label", in what a lesson printed."""
    claim, before, found = "?", "", []
    for line in printed.splitlines():
        number = re.match(r"  (\d+\.\d+)  \S", line)
        claim = number[1] if number else claim
        if line.endswith("FAILS"):
            label = line[3:].split("  ")[0].strip() or before.strip()
            found.append(f"{claim}: {label}")
        before = line
    return found


def with_seed(source, seed):
    """The lesson's source with that SEED."""
    changed, count = re.subn(r"(?m)^SEED = \d+", f"SEED = {seed}", source)
    if count != 1:
        raise ValueError("the lesson has no line SEED = ...")
    return changed


def try_seed(lesson, seed):
    """->  the rows that fail with that seed, and the last line of an exception"""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lesson.py"
        path.write_text(with_seed(LESSONS[lesson].read_text(encoding="utf-8"), seed))
        ran = run(path, folder=folder)
    found = failures(ran.stdout)
    if "Traceback" in ran.stderr:
        found.append(ran.stderr.splitlines()[-1])
    return found


def main(chosen, seeds):
    wrong = False
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for lesson in chosen:
            by_row = defaultdict(list)
            for seed, found in enumerate(pool.map(lambda s: try_seed(lesson, s), range(seeds))):  # noqa: B023
                for row in found:
                    by_row[row].append(seed)
            bad = {seed for at in by_row.values() for seed in at}
            print(f"{lesson}: {seeds - len(bad)} of {seeds} seeds hold", flush=True)
            for row, at in sorted(by_row.items()):
                print(f"    {row:<50} seeds {', '.join(map(str, at))}", flush=True)
            wrong |= bool(bad)
    return 1 if wrong else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tools.seeds")
    parser.add_argument("lessons", nargs="*", type=int)
    parser.add_argument("-n", type=int, default=30, help="how many seeds (30)")
    args = parser.parse_args()
    named = [name for name in LESSONS if not args.lessons or int(name[:2]) in args.lessons]
    sys.exit(main(named, args.n))
