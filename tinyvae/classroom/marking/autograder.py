"""The zip file that Gradescope wants: setup.sh, run_autograder, and tinyvae itself.

$ tinyvae mark --make-autograder exercise5.zip --exercise 5 --points 2 --hints 1
"""

import shlex
import zipfile
from importlib import metadata
from pathlib import Path

from tinyvae.classroom.checker.function import CannotRun
from tinyvae.classroom.checker.values import escape

SETUP = """\
#!/usr/bin/env bash
set -e
apt-get update -qq && apt-get install -qq -y python3 python3-pip python3-venv
python3 -m venv /autograder/venv
/autograder/venv/bin/pip install --quiet {requirements}
"""
RUN = """\
#!/usr/bin/env bash
# Gradescope runs this once for each submission.
HERE="${{AUTOGRADER:-/autograder}}"
PYTHON="$HERE/venv/bin/python"
[ -x "$PYTHON" ] || PYTHON="${{PYTHON_OF_TINYVAE:-python3}}"
mkdir -p "$HERE/results"
PYTHONPATH="$HERE/source" "$PYTHON" -m tinyvae mark "$HERE/submission" {options} \\
    --jobs 1 --again --json --gradescope "$HERE/results/results.json" > "$HERE/marks.json" && exit 0
"$PYTHON" - "$HERE" <<'END'
import json, pathlib, sys
here = pathlib.Path(sys.argv[1])
try:
    error = json.loads((here / "marks.json").read_text())["error"]
except Exception:
    error = "The autograder failed; please tell your teacher."
(here / "results" / "results.json").write_text(json.dumps({{"score": 0, "output": error}}))
END
"""


def requirements():
    """What tinyvae needs at run time, as pip takes it"""
    try:
        found = metadata.requires("tinyvae") or []
    except metadata.PackageNotFoundError:
        found = ["numpy", "scipy", "matplotlib", "hypothesis", "tqdm", "threadpoolctl"]
    return [text.partition(";")[0].strip() for text in found if "extra ==" not in text]


def make(path, args):
    """Write the zip file at that path, with these options of `tinyvae mark`"""
    import tinyvae

    given = ["--points", args.points, "--seed", str(args.seed), "--hints", str(args.hints)]
    given += ["--timeout", f"{args.timeout:g}", "--limit", f"{args.limit:g}"]
    if args.exercise is not None:
        given += ["--exercise", str(args.exercise)]
    scripts = {
        "setup.sh": SETUP.format(requirements=shlex.join(requirements())),
        "run_autograder": RUN.format(options=shlex.join(given)),
    }
    package = Path(tinyvae.__file__).parent
    try:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
            for name, text in scripts.items():
                entry = zipfile.ZipInfo(name)
                entry.external_attr = 0o755 << 16
                made.writestr(entry, text)
            for file in sorted(package.rglob("*")):
                name = file.relative_to(package.parent).as_posix()
                if file.is_file() and "__pycache__" not in name and "/lessons/" not in name:
                    made.write(file, name)
    except OSError as error:
        raise CannotRun(f"{escape(path)} cannot be written: {error.strerror}") from None
