"""Settings that every test shares."""

import os
import signal

# A shell's script ignores Ctrl-C in what it starts with &, and so would the programs under test.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Before NumPy is imported: the tests' matrices are small, and the suite runs on all cores already.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

from hypothesis import settings

# One run of the suite is like another: no time limit per example, no examples remembered on disk.
settings.register_profile("tinyvae", deadline=None, derandomize=True, database=None)
settings.load_profile("tinyvae")

# Code as people write it: it is judged, not collected, and some of it needs other libraries.
collect_ignore_glob = ["classroom/cases/*"]
