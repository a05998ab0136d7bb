"""Train the models of lesson 15, each with one mistake planted, and write what they leave behind.

    python -m tools.bug_cases

About 10 s; writes tinyvae/classroom/museum/cases.npz.  The file names no mistake: which is which
stands here.
"""

from pathlib import Path

from tinyvae.classroom.museum import cases

MISTAKES = {
    "A": "mean-over-pixels",
    "B": "no-noise-at-test",
    "C": "kl-subtracted",
    "D": "gradient-blocked",
    "E": "kl-weighted-by-batch",
    "F": "sigmoid-twice",
    "G": "log-std-of-q",
}
PATH = Path(cases.__file__).parent / "cases.npz"

if __name__ == "__main__":
    trained = {letter: cases.train(cases.SEEDS[letter], MISTAKES[letter]) for letter in MISTAKES}
    cases.save(PATH, trained)
    print(f"{PATH.name}: {PATH.stat().st_size / 1000:.0f} kB")
