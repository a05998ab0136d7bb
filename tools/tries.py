"""Run a lesson as its "Try it" suggests, and show what changes.

    python -m tools.tries 3        every suggestion of lesson 3

A suggestion is a line "# Try it: NAME = value" of the lesson's last cell (or a list item that
starts with `NAME = value`); several constants are parted by "; ".
"""

import json
import re
import sys
import tempfile
from pathlib import Path

from tinyvae.classroom.presenter.script import with_constant
from tools.expected import LESSONS, run
from tools.seeds import failures

# a lesson whose figures print their titles; argv: the lesson, where to keep the titles
RUNNER = """
import json, sys
from pathlib import Path
import matplotlib
matplotlib.use("Agg")
import matplotlib.pyplot as plt
titles = []
def show():
    for number in plt.get_fignums():
        figure = plt.figure(number)
        texts = [figure.get_suptitle(), *(axes.get_title() for axes in figure.axes)]
        titles.append(" | ".join(" ".join(text.split()) for text in texts if text))
    plt.close("all")
plt.show = show
path, keep = map(Path, sys.argv[1:])
try:
    exec(compile(path.read_text(encoding="utf-8"), path, "exec"), globals())
finally:
    keep.write_text(json.dumps(titles), encoding="utf-8")
"""


def suggestions(source):
    """The suggestions of a lesson's source, as text: "NOISE_VAR = 1"."""
    return re.findall(r"(?m)^# (?:Try it: |- `)([A-Z][A-Z0-9_]* = [^`\n]+?)(?:`.*)?$", source)


def changed(source, suggestion):
    """The source with the constants that the suggestion names."""
    for setting in suggestion.split("; "):
        source = with_constant(source, setting)
    return source


def try_one(lesson, suggestion=""):
    """->  what the lesson prints, its figures' titles, the claims whose rows fail, its stderr"""
    source = LESSONS[lesson].read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        runner, path, titles = (Path(folder) / name for name in ("run.py", "lesson.py", "titles"))
        runner.write_text(RUNNER, encoding="utf-8")
        path.write_text(changed(source, suggestion) if suggestion else source, encoding="utf-8")
        ran = run(runner, path, titles, folder=folder)
        said = json.loads(titles.read_text(encoding="utf-8"))
    failed = sorted({row.partition(":")[0] for row in failures(ran.stdout)})
    return ran.stdout, said, failed, ran.stderr


if __name__ == "__main__":
    wanted = [int(number) for number in sys.argv[1:]]
    for lesson, path in LESSONS.items():
        if wanted and int(lesson[:2]) not in wanted:
            continue
        for suggestion in suggestions(path.read_text(encoding="utf-8")):
            printed, titles, failed, errors = try_one(lesson, suggestion)
            print(f"\n{lesson}  {suggestion}\n  fails: {', '.join(failed) or 'nothing'}")
            print(*(f"  figure: {title}" for title in titles), sep="\n")
            if "Traceback" in errors:
                print("  " + errors.splitlines()[-1])
