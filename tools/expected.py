"""What the lessons print, as a user runs them: kept in lessons/expected/.

python -m tools.expected          run all lessons and rewrite what has changed
python -m tools.expected 3 4      these alone
"""

import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import tinyvae

ROOT = Path(__file__).resolve().parents[1]
LESSONS = {path.stem: path for path in sorted((ROOT / "lessons").glob("[0-9][0-9]_*.py"))}
AT_ONCE = 2  # lessons that run at the same time
TIME_LIMIT = 900  # seconds: for a crowded machine; a lesson itself promises 20 on two idle cores

NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?")


def path_of(lesson):
    return ROOT / "lessons" / "expected" / f"{lesson}.txt"


def environment():
    """No screen, one thread for the linear algebra, and the very package that is tested."""
    dropped = ("DISPLAY", "WAYLAND_DISPLAY", "MPLBACKEND", "PYTHONWARNINGS")
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    return kept | one_thread | {"PYTHONPATH": str(Path(tinyvae.__file__).parents[1])}


def run(*command, folder):
    """Run Python in that folder, as a user without a screen; a warning is an error.

    ->  subprocess.CompletedProcess with text
    """
    return subprocess.run(
        [sys.executable, "-W", "error", *map(str, command)],
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT,
        check=False,
    )


def difference(printed, expected):
    """Where the two texts differ, in words, or "".

    Numbers may differ by one in the last digit that is shown, whole numbers not at all; between
    words, any number of spaces is as good as any other.
    """
    lines, expected_lines = printed.splitlines(), expected.splitlines()
    for n, (line, wanted) in enumerate(zip(lines, expected_lines, strict=False), start=1):
        if not same_line(line, wanted):
            return f"line {n}:\n  printed   {line}\n  expected  {wanted}"
    if len(lines) != len(expected_lines):
        return f"{len(lines)} lines instead of {len(expected_lines)}"
    return ""


def same_line(line, wanted):
    words = [" ".join(part.split()) for part in NUMBER.split(line)]
    wanted_words = [" ".join(part.split()) for part in NUMBER.split(wanted)]
    numbers, wanted_numbers = NUMBER.findall(line), NUMBER.findall(wanted)
    return words == wanted_words and all(map(same_number, numbers, wanted_numbers))


def same_number(number, wanted):
    mantissa, _, power = wanted.partition("e")
    decimals = len(mantissa.partition(".")[2])
    if not decimals and not power:
        return number == wanted
    last_digit = 10.0 ** (int(power or 0) - decimals)
    return abs(float(number) - float(wanted)) <= 1.001 * last_digit


def rewrite(lesson):
    """Run the lesson and keep what it prints.    ->  what to say about it"""
    with tempfile.TemporaryDirectory() as folder:
        ran = run(LESSONS[lesson], folder=folder)
    if ran.returncode != 0:
        return f"{lesson} fails, left as it was: {ran.stderr.splitlines()[-1]}"
    path = path_of(lesson)
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    path.parent.mkdir(exist_ok=True)
    path.write_text(ran.stdout, encoding="utf-8")
    return f"{lesson} " + ("unchanged" if before == ran.stdout else "rewritten")


if __name__ == "__main__":
    wanted = [int(number) for number in sys.argv[1:]]
    chosen = [lesson for lesson in LESSONS if not wanted or int(lesson[:2]) in wanted]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for said in pool.map(rewrite, chosen):
            print(said)
